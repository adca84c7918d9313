# SPDX-License-Identifier: LGPL-2.1-or-later
"""Stopping what somebody uses: not by accident, and if it is meant, nobody else waits for it."""

import os

import pytest

import sysfs
from bus import device_path, error
from guest import held, new_uuid, wait_until
from mdevsim import NOGROUP, SMALL


def test_a_device_in_use_is_left_alone_and_its_user_is_named(mdevd, parent):
    uuid = mdevd.create(parent, SMALL)
    remove = os.stat(sysfs.DEVICES / uuid / "remove").st_ino

    with held(uuid) as holder:
        failure = mdevd.begin_stop(uuid).failure()
        assert failure.name == error("InUse")
        assert f"process {holder.pid} (hold)" in failure.sentence and uuid in failure.sentence
        assert os.stat(sysfs.DEVICES / uuid / "remove").st_ino == remove
        assert parent.requests == 0 and mdevd.state(uuid) == "active"

    mdevd.stop(uuid)
    assert sysfs.devices() == set()


def test_a_bare_group_does_not_count(mdevd, parent):
    uuid = mdevd.create(parent, SMALL)

    with held(uuid, "group"):
        mdevd.stop(uuid)
        assert sysfs.devices() == set()


def test_a_bare_group_beside_the_user_of_another_device(mdevd, parent):
    uuid, other = mdevd.create(parent, SMALL), mdevd.create(parent, SMALL)

    with held(uuid, "group"), held(other):
        mdevd.stop(uuid)
        assert mdevd.begin_stop(other).failure().name == error("InUse")
        assert sysfs.devices() == {other}


def test_a_user_with_the_group_of_a_second_one_bare(mdevd, parent):
    uuid, other = mdevd.create(parent, SMALL), mdevd.create(parent, SMALL)

    # Two holders of one group: libvirt's descriptor and the VM's.
    with held(other, "group"):
        with held(uuid):
            assert mdevd.begin_stop(uuid).failure().name == error("InUse")
        mdevd.stop(other)


def test_wait_for_release(mdevd, parents):
    uuid = mdevd.create(parents[0], SMALL)

    with held(uuid):
        removal = mdevd.begin_stop(uuid, wait_for_release=True)
        wait_until(lambda: uuid not in sysfs.devices())
        assert mdevd.state(uuid) == "removing" and not removal.is_done()
        # Nothing else waits meanwhile, on no parent.
        for parent in parents[:2]:
            mdevd.stop(mdevd.create(parent, SMALL))
        assert mdevd.begin_stop(uuid).failure().name == error("TryAgain")
        assert mdevd.begin_create(parents[1], SMALL, uuid).failure().name == error("Exists")

    removal.result()
    assert mdevd.device(uuid) is None


def test_a_deadline_answers_and_the_work_goes_on(mdevd, parent):
    mdevd.subscribe()
    uuid = mdevd.create(parent, SMALL)

    with held(uuid):
        failure = mdevd.begin_stop(uuid, wait_for_release=True, timeout_usec=300_000).failure()
        assert failure.name == error("Pending")
        assert mdevd.state(uuid) == "removing"

    mdevd.wait_for_removed(device_path(uuid))


def test_a_deadline_that_is_not_needed(mdevd, parent):
    uuid = mdevd.create(parent, SMALL)
    mdevd.stop(uuid, timeout_usec=60_000_000)
    assert sysfs.devices() == set()


@pytest.mark.parametrize("type", [SMALL, NOGROUP])
def test_nobody_uses_it(mdevd, parent, type):
    uuid = mdevd.create(parent, type)
    mdevd.stop(uuid)
    assert sysfs.devices() == set() and parent.removes == 1


def test_thirty_removals_wait_and_the_host_goes_on(mdevd, parents):
    """Removals that are stuck do not use up the room that creations need."""
    for parent in parents[:4]:
        parent.remove_block = 1
    stuck = [mdevd.create(parents[number % 4], SMALL) for number in range(30)]
    removals = [mdevd.begin_stop(uuid) for uuid in stuck]
    wait_until(lambda: sum(parent.removing for parent in parents) == 30, timeout=60)

    for parent in parents[4:]:
        mdevd.stop(mdevd.create(parent, SMALL, new_uuid()))
    for parent in parents[:4]:
        parent.remove_block = 0
    for removal in removals:
        removal.result()
