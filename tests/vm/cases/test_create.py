# SPDX-License-Identifier: LGPL-2.1-or-later
"""Creating devices: one UUID, one device, whoever asks, however it is written, and whatever the driver does."""

import errno
import os
import time

import pytest

import sysfs
from bus import device_path, error
from guest import KERNEL, kernel_log, new_uuid, wait_until
from mdevsim import LARGE, NOGROUP, SMALL

# Every errno that kernel.md lists as one that a driver's probe may end in; 517 is EPROBE_DEFER, which the driver core
# makes EAGAIN of if it has a part in it, and 512, 513 and 524 are the kernel's own that come out as they are.
PROBE_ERRNOS = [1, 2, 4, 5, 11, 12, 13, 16, 17, 19, 22, 28, 77, 95, 110, 512, 513, 517, 524]


def noise(log):
    """What the kernel logged beyond the one line that each device with a group is worth to it."""
    return [line for line in log.lines if "iommu group" not in line and "MDEV: group_id" not in line]


def inode_of_remove(uuid):
    """None while it is not there: up to 5.18 it comes last."""
    try:
        return os.stat(f"/sys/bus/mdev/devices/{uuid}/remove").st_ino
    except FileNotFoundError:
        return None


def test_create_makes_a_device(mdevd, parent):
    uuid = mdevd.create(parent, SMALL)

    assert sysfs.devices() == {uuid}
    assert sysfs.type_of(uuid) == SMALL and sysfs.parent_of(uuid) == parent.name
    row = mdevd.device(uuid)
    assert (row.state, row.parent, row.type) == ("active", parent.name, SMALL)
    assert (row.active, row.defined, row.autostart, row.attributes) == (True, False, False, [])


def test_properties_of_a_device(mdevd, parent):
    uuid = mdevd.create(parent, LARGE)

    properties = {name: value for name, (_, value) in
                  mdevd.properties(device_path(uuid), "org.mdevd1.Device").items()}
    group = os.path.basename(os.readlink(f"/sys/bus/mdev/devices/{uuid}/iommu_group"))
    assert properties["UUID"] == uuid
    assert properties["State"] == "active" and properties["Active"] is True and properties["Defined"] is False
    assert properties["Parent"] == parent.name and properties["Type"] == LARGE
    assert properties["Origin"] == "mdevd"
    assert properties["SysfsPath"] == os.path.realpath(f"/sys/bus/mdev/devices/{uuid}")
    assert properties["IOMMUGroup"] == int(group) and properties["DeviceNode"] == f"/dev/vfio/{group}"
    assert properties["LastError"] == ("", "")


@pytest.mark.since(5, 14, "vfio_mdev makes a vfio device, with a group, of every mediated device")
def test_device_without_a_group(mdevd, parent):
    uuid = mdevd.create(parent, NOGROUP)

    assert mdevd.property(device_path(uuid), "org.mdevd1.Device", "IOMMUGroup") == -1
    assert mdevd.property(device_path(uuid), "org.mdevd1.Device", "DeviceNode") == ""


def test_sixteen_clients_create_one_uuid_on_four_parents(mdevd, parents, clients):
    uuid = new_uuid()
    sixteen = [clients() for _ in range(16)]

    with kernel_log() as log:
        calls = [client.begin_create(parents[number % 4], SMALL, uuid) for number, client in enumerate(sixteen)]
        wait_until(lambda: all(call.is_done() for call in calls), timeout=60)

    failures = []
    for call in calls:
        try:
            assert call.result()[0] == uuid
        except Exception as failure:
            failures.append(failure.name)
    assert failures == [error("Exists")] * 15
    assert noise(log) == []
    assert sysfs.devices() == {uuid}
    assert sum(parent.creates for parent in parents) == 1
    assert sum(parent.create_failures for parent in parents) == 0


@pytest.mark.parametrize("spell", [
    str.upper,
    str.title,
    lambda uuid: uuid.replace("-", ""),
    lambda uuid: uuid.replace("-", "").upper(),
    lambda uuid: f"{{{uuid}}}",
    lambda uuid: f"urn:uuid:{uuid}",
])
def test_another_spelling_is_the_same_uuid(mdevd, parents, spell):
    uuid = mdevd.create(parents[0], SMALL)

    with kernel_log() as log:
        failure = mdevd.begin_create(parents[1], SMALL, spell(uuid)).failure()

    assert failure.name == error("Exists")
    assert uuid in failure.sentence and parents[0].name in failure.sentence
    assert noise(log) == []
    assert parents[1].creates == 0


def test_the_kernels_name_is_canonical(mdevd, parent):
    uuid = new_uuid()

    assert mdevd.create(parent, SMALL, f"{{{uuid.upper()}}}") == uuid
    assert sysfs.devices() == {uuid}


def test_creations_on_one_parent_are_in_the_driver_side_by_side(mdevd, parent):
    parent.create_block = 1
    calls = [mdevd.begin_create(parent, SMALL) for _ in range(8)]
    wait_until(lambda: parent.creating == 8, timeout=60)

    parent.create_block = 0
    uuids = {call.result()[0] for call in calls}
    assert sysfs.devices() == uuids and len(uuids) == 8


def test_eight_slow_creations_on_one_parent_take_the_time_of_one(mdevd, parent):
    parent.create_delay_ms = 1000

    began = time.monotonic()
    calls = [mdevd.begin_create(parent, SMALL) for _ in range(8)]
    for call in calls:
        call.result()
    took = time.monotonic() - began

    # One after the other is eight seconds at least; the bound leaves a busy machine some time.
    assert took < 4 and len(sysfs.devices()) == 8


def test_while_a_creation_runs(mdevd, parent):
    uuid = new_uuid()
    parent.create_block = 1
    creation = mdevd.begin_create(parent, SMALL, uuid)
    wait_until(lambda: parent.creating == 1)
    remove = inode_of_remove(uuid)
    assert (remove is None) == (KERNEL < (5, 19))

    with kernel_log() as log:
        failure = mdevd.begin_stop(uuid).failure()
        assert failure.name == error("TryAgain") and "being created" in failure.sentence
        assert mdevd.begin_create(parent, SMALL, uuid).failure().name == error("Exists")
        assert mdevd.begin_define(parent, SMALL, uuid).failure().name == error("TryAgain")
        assert mdevd.begin_undefine(uuid).failure().name == error("TryAgain")
        assert mdevd.state(uuid) == "creating"
    assert noise(log) == []

    # The others on the same parent go their way.
    parent.create_block = 0
    assert creation.result()[0] == uuid
    assert remove in (inode_of_remove(uuid), None)
    mdevd.stop(uuid)
    assert sysfs.devices() == set()


def test_others_on_the_same_parent_go_on_while_a_creation_runs(mdevd, parent):
    other = mdevd.create(parent, SMALL)
    parent.create_block = 1
    slow = mdevd.begin_create(parent, SMALL)
    wait_until(lambda: parent.creating == 1)

    assert mdevd.available_instances(parent, SMALL) == 6
    mdevd.stop(other)
    mdevd.undefine(mdevd.define(parent, SMALL))
    assert not slow.is_done()
    parent.create_block = 0
    slow.result()


def test_others_are_created_while_attributes_are_slow(mdevd, parent):
    parent.attr_delay_ms = 60000
    slow = mdevd.begin_create(parent, SMALL, attributes=[("slow", "x")])
    wait_until(lambda: sysfs.devices())

    other = mdevd.create(parent, SMALL)
    mdevd.stop(other)
    assert not slow.is_done()
    parent.attr_delay_ms = 0
    slow.result()


@pytest.mark.parametrize("number", PROBE_ERRNOS)
def test_a_driver_that_fails_gives_the_uuid_back(mdevd, parent, number):
    uuid = new_uuid()
    parent.create_errno = number
    parent.create_errno_count = 1
    shown = errno.EAGAIN if number == 517 and KERNEL >= (5, 14) else number

    failure = mdevd.begin_create(parent, SMALL, uuid).failure()

    # EEXIST and ENOSPC have names of their own, whoever says them.
    expected = {errno.EEXIST: "Exists", errno.ENOSPC: "NoCapacity"}.get(number, "Kernel")
    assert failure.name == error(expected)
    assert f"errno {shown}" in failure.sentence
    assert uuid in failure.sentence
    assert mdevd.device(uuid) is None and sysfs.devices() == set()

    assert mdevd.create(parent, SMALL, uuid) == uuid


@pytest.mark.since(5, 14, "the driver core, whose words these are, has no part in a creation")
def test_the_kernels_own_words_are_passed_on(mdevd, parent):
    uuid = new_uuid()
    parent.create_errno = errno.EIO
    parent.create_errno_count = 1

    failure = mdevd.begin_create(parent, SMALL, uuid).failure()

    # "probe of UUID failed with error -5", or since 6.12 "DRIVER UUID: probe with driver DRIVER failed with error -5".
    said = failure.sentence.partition("log says")[2]
    assert uuid in said and "failed with error -5" in said


def test_attributes_are_written_in_order(mdevd, parent):
    attributes = [("log", "one"), ("enable", "1"), ("level", "50"), ("log", "two"), ("log", "one")]

    uuid = mdevd.create(parent, SMALL, attributes=attributes)

    assert sysfs.DEVICES.joinpath(uuid, "log").read_text() == "one\ntwo\none\n"
    assert sysfs.DEVICES.joinpath(uuid, "level").read_text() == "50\n"


def test_the_third_of_four_attributes_fails(mdevd, parent):
    uuid = new_uuid()
    parent.attr_errno = errno.ENODEV
    attributes = [("log", "one"), ("log", "two"), ("fail", "x"), ("log", "four")]

    failure = mdevd.begin_create(parent, SMALL, uuid, attributes).failure()

    assert failure.name == error("Attribute")
    assert 'Attribute 2, "fail"' in failure.sentence and f"errno {errno.ENODEV}" in failure.sentence
    assert uuid in failure.sentence and parent.name in failure.sentence
    assert sysfs.devices() == set() and mdevd.device(uuid) is None
    assert parent.creates == 1 and parent.removes == 1
    assert mdevd.create(parent, SMALL, uuid, attributes[:2]) == uuid


def test_an_attribute_that_is_not_there(mdevd, parent):
    failure = mdevd.begin_create(parent, SMALL, attributes=[("log", "x"), ("no/such", "y")]).failure()

    assert failure.name == error("Attribute")
    assert 'Attribute 1, "no/such"' in failure.sentence and f"errno {errno.ENOENT}" in failure.sentence
    assert sysfs.devices() == set()


# Even parents are limited by the mdev core, odd ones by the driver: EUSERS and ENOSPC.
@pytest.mark.parametrize("which", [0, 1])
def test_capacity_is_exhausted(mdevd, parents, which):
    parent = parents[which]
    parent.limit = 2
    uuids = {mdevd.create(parent, SMALL) for _ in range(2)}
    assert mdevd.available_instances(parent, SMALL) == 0

    refused = new_uuid()
    failure = mdevd.begin_create(parent, SMALL, refused).failure()

    assert failure.name == error("NoCapacity")
    assert parent.name in failure.sentence and SMALL in failure.sentence and refused in failure.sentence
    assert sysfs.devices() == uuids
    assert {row.uuid for row in mdevd.devices()} == uuids
    mdevd.stop(uuids.pop())
    assert mdevd.create(parent, SMALL, refused) == refused


def test_a_driver_that_says_enomem_when_it_is_full(mdevd, parent):
    parent.limit = 1
    mdevd.create(parent, SMALL)
    parent.create_errno = errno.ENOMEM
    # The core's own limit answers first; where it does not (before 6.1), ENOMEM of a full type means the same.
    assert mdevd.begin_create(parent, SMALL).failure().name == error("NoCapacity")


def test_stop_and_create_again(mdevd, parents):
    uuid = mdevd.create(parents[0], SMALL)
    mdevd.stop(uuid)
    assert sysfs.devices() == set() and mdevd.device(uuid) is None

    assert mdevd.create(parents[1], LARGE, uuid) == uuid
    assert sysfs.parent_of(uuid) == parents[1].name


def test_stop_of_what_is_not_there(mdevd, parent):
    assert mdevd.begin_stop(new_uuid()).failure().name == error("NotFound")
    defined = mdevd.define(parent, SMALL)
    assert mdevd.begin_stop(defined).failure().name == error("NotActive")


def test_while_a_removal_runs(mdevd, parents):
    uuid = mdevd.create(parents[0], SMALL)
    parents[0].remove_block = 1
    removal = mdevd.begin_stop(uuid)
    wait_until(lambda: parents[0].removing == 1)

    assert mdevd.state(uuid) == "removing"
    assert mdevd.begin_stop(uuid).failure().name == error("TryAgain")
    assert mdevd.begin_create(parents[1], SMALL, uuid).failure().name == error("Exists")
    mdevd.stop(mdevd.create(parents[1], SMALL))

    parents[0].remove_block = 0
    removal.result()
    assert mdevd.create(parents[1], SMALL, uuid) == uuid


def test_a_parent_is_chosen_by_what_is_left(mdevd, parents):
    for parent in parents[1:]:
        parent.limit = 3
    mdevd.rescan()
    mdevd.begin_manager("ListTypes", "s", "").result()

    assert mdevd.device(mdevd.create("", SMALL)).parent == parents[0].name
