# SPDX-License-Identifier: LGPL-2.1-or-later
"""What others do to sysfs is seen."""

import sysfs
from bus import DEVICE, PARENT, PATH, device_path, error
from guest import new_uuid
from mdevsim import LARGE, SMALL


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
    assert parent.name not in [row[0] for row in mdevd.parents() if row[2]]
