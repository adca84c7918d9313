# SPDX-License-Identifier: LGPL-2.1-or-later
"""What others do to sysfs is seen."""

import os
import signal
import subprocess

import pytest

import sysfs
from bus import DEVICE, PARENT, PATH, device_path, error
from guest import new_uuid, wait_until
from mdevsim import LARGE, NOGROUP, SMALL


def parent_path(parent):
    return f"{PATH}/parent/" + "".join(c if c.isalnum() and not (i == 0 and c.isdigit()) else f"_{ord(c):02x}"
                                       for i, c in enumerate(parent.name))


def test_a_device_made_and_removed_by_others(mdevd, parents):
    mdevd.subscribe()
    uuid = new_uuid()

    sysfs.create(parents[0], LARGE, uuid)
    mdevd.wait_for_property(device_path(uuid), "State", "active")
    row = mdevd.device(uuid)
    assert (row.state, row.parent, row.type, row.defined) == ("active", parents[0].name, LARGE, False)
    assert mdevd.property(device_path(uuid), DEVICE, "Origin") == "external"
    assert mdevd.begin_create(parents[1], SMALL, uuid).failure().name == error("Exists")

    sysfs.remove(uuid)
    mdevd.wait_for_removed(device_path(uuid))
    assert mdevd.device(uuid) is None
    assert mdevd.create(parents[1], SMALL, uuid) == uuid


def test_capacity_follows_what_others_do(mdevd, parent):
    mdevd.subscribe()
    uuid = new_uuid()

    def small_left(member, path, body):
        if member != "PropertiesChanged" or path != parent_path(parent) or "Types" not in body[1]:
            return None
        return next(type[4] for type in body[1]["Types"][1] if type[0] == SMALL)

    sysfs.create(parent, SMALL, uuid)
    mdevd.wait_for_signal(lambda *signal: small_left(*signal) == 7)
    sysfs.remove(uuid)
    mdevd.wait_for_signal(lambda *signal: small_left(*signal) == 8)


def test_a_failed_creation_of_others_leaves_nothing(mdevd, parent):
    parent.create_errno = 5
    uuid = new_uuid()

    try:
        sysfs.create(parent, SMALL, uuid)
    except OSError:
        pass

    assert mdevd.device(uuid) is None


def test_a_parent_that_goes_and_comes_back(mdevd, parent):
    mdevd.subscribe()
    path = parent_path(parent)
    uuid = mdevd.create(parent, SMALL)
    defined = mdevd.define(parent, SMALL)

    parent.unbind()
    mdevd.wait_for_property(path, "Present", False)
    assert [row.uuid for row in mdevd.devices()] == [defined]
    assert mdevd.begin_start(defined).failure().name == error("ParentAbsent")
    assert mdevd.property(path, PARENT, "Types") == []

    parent.bind()
    mdevd.wait_for_property(path, "Present", True)
    mdevd.wait_for_signal(lambda member, signal_path, body: member == "PropertiesChanged" and signal_path == path
                          and body[1].get("Types", (None, []))[1])
    mdevd.start(defined)
    assert sysfs.devices() == {defined} and uuid not in sysfs.devices()


def test_a_card_that_is_pulled_takes_its_devices_along(mdevd, parent):
    mdevd.subscribe()
    uuid = mdevd.create(parent, SMALL)

    parent.unplug()
    mdevd.wait_for_removed(device_path(uuid))
    assert mdevd.devices() == []
    # The driver lets go of it after its devices.
    wait_until(lambda: not mdevd.has_parent(parent))


def systemctl(*words):
    return subprocess.run(["systemctl", *words], stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout


def overflows():
    message_id = "71b8e3f5a2c64d09b6f0d7c4e8a1935d"
    return subprocess.run(["journalctl", "--quiet", "--output=cat", f"MESSAGE_ID={message_id}"],
                          stdout=subprocess.PIPE, text=True, timeout=60).stdout.count("Events were lost")


@pytest.mark.seconds(300)
def test_lost_events_lead_to_a_look_at_everything(mdevd, parents, clients):
    """The daemon may not enlarge its socket's buffer, so a few hundred events are too many for it."""
    noisy, gone, new = new_uuid(), new_uuid(), new_uuid()
    for uuid in (noisy, gone):
        sysfs.create(parents[0], NOGROUP, uuid)
    client = clients()
    assert {row.uuid for row in client.devices()} == {noisy, gone}
    before = overflows()

    pid = int(systemctl("show", "--property=MainPID", "--value", "mdevd"))
    os.kill(pid, signal.SIGSTOP)
    for _ in range(1000):
        sysfs.write(sysfs.DEVICES / noisy / "uevent", "change")
    sysfs.remove(gone)
    sysfs.create(parents[1], NOGROUP, new)
    subprocess.run(["udevadm", "settle", "--timeout=240"], check=True)
    client.subscribe()
    os.kill(pid, signal.SIGCONT)

    # Told by signals, without being asked; what was lost were the events of these two.
    client.wait_for_added(device_path(new))
    wait_until(lambda: device_path(gone) not in client.managed_objects())
    assert overflows() > before
