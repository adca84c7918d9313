# SPDX-License-Identifier: LGPL-2.1-or-later
"""The limits of mdevd.conf(5), each reached and kept; those of questions to polkit are test_polkit.py's."""

import subprocess
from pathlib import Path

import pytest

import sysfs
from bus import error
from guest import new_uuid, wait_until
from mdevsim import SMALL

CONFIGURATION = Path("/etc/mdevd/mdevd.conf.d/10-test.conf")


def restart():
    for words in (["reset-failed"], ["restart", "mdevd.service"]):
        subprocess.run(["systemctl", *words], check=True, timeout=60)


@pytest.fixture
def limited(mdevd):
    """A function that restarts the daemon with limits."""

    def limit(**limits):
        CONFIGURATION.parent.mkdir(parents=True, exist_ok=True)
        CONFIGURATION.write_text("\n".join(["[Limits]", *(f"{key}={value}" for key, value in limits.items())]))
        restart()

    yield limit
    CONFIGURATION.unlink()
    restart()


def limit_of(call):
    """The sentence that it was refused with."""
    failure = call.failure()
    assert failure.name == error("LimitsExceeded")
    return failure.sentence


def test_devices(limited, mdevd, parent):
    limited(DevicesMax=3)
    uuids = [mdevd.define(parent, SMALL), mdevd.define(parent, SMALL), mdevd.create(parent, SMALL)]
    assert "devices: the limit is 3" in limit_of(mdevd.begin_define(parent, SMALL))
    assert "devices: the limit is 3" in limit_of(mdevd.begin_create(parent, SMALL))

    # What is there may be used, and what somebody else makes is shown.
    mdevd.start(uuids[0])
    sysfs.create(parent, SMALL, other := new_uuid())
    mdevd.rescan()
    assert mdevd.state(other) == "active"
    for uuid in (other, uuids[2]):
        mdevd.stop(uuid)
    assert mdevd.define(parent, SMALL) in {row.uuid for row in mdevd.devices()}


def test_operations(limited, mdevd, clients, parent, other_parent):
    limited(CreationsPerDriverMax=2, OperationsQueuedMax=2)
    there = mdevd.create(other_parent, SMALL)
    parent.create_block = 1
    crowd = [clients().begin_create(parent, SMALL) for _ in range(4)]
    # All four are under way: a client that is not known yet is overtaken by one that is.
    wait_until(lambda: parent.creating == 2 and len(mdevd.devices()) == 5)
    assert "4" not in (sentence := limit_of(mdevd.begin_create(parent, SMALL))) and "the limit is 2" in sentence

    # Definitions, removals and readings need none of that room.
    mdevd.undefine(mdevd.define(other_parent, SMALL))
    mdevd.stop(there)
    assert {row.state for row in mdevd.devices()} == {"creating"}
    parent.reset()
    assert len({call.result()[0] for call in crowd}) == 4
    assert parent.peak_creates <= 2 and mdevd.define(parent, SMALL)


def test_calls_of_one_client(limited, mdevd, clients, parent):
    limited(CallsPerClientMax=3)
    busy, other = clients(), clients()
    parent.create_block = 1
    calls = [busy.begin_create(parent, SMALL) for _ in range(3)]
    wait_until(lambda: parent.creating == 3)
    assert "the limit is 3" in limit_of(busy.begin_create(parent, SMALL))
    assert "the limit is 3" in limit_of(busy.begin_manager("ListTypes", "s", parent.name))
    assert len(busy.devices()) == 3

    assert other.begin_define(parent, SMALL).result()
    parent.reset()
    for call in calls:
        call.result()
    assert busy.create(parent, SMALL) in sysfs.devices()
