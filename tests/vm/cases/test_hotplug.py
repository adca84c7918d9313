# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hardware that comes and goes, with devices on it in every state; drivers too; and events that lie, or are too many."""

import contextlib
import os
import subprocess
import threading
from pathlib import Path

import pytest

import mdevsim
import service
import sysfs
from bus import MANAGER, PATH, BusError, device_path, error
from guest import KERNEL, held, kernel_log, new_uuid, wait_until
from mdevsim import NOGROUP, SMALL

PATIENCE = 30
# The mdev core, and what holds it; in the order of unloading.
CORE = ("mdev",) if KERNEL >= (5, 14) else ("vfio_mdev", "mdev")
MODULE = Path("/run/mdevd-test/out") / f"driver-{os.uname().release}" / "mdevsim.ko"


class Meanwhile:
    """An action that may block, beside the block."""

    def __init__(self):
        self._thread = None
        self._failures = []

    def begin(self, action, *arguments):
        def run():
            try:
                action(*arguments)
            except OSError as failure:
                self._failures.append(failure)

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, *exc):
        self._thread.join(60)
        assert kind or (not self._thread.is_alive() and self._failures == [])


def unregister(parent):
    parent.registered = 0


def register(parent):
    parent.registered = 1


def rescan(parent):
    mdevsim.rescan()


# Each is one way for a parent to go, and the way back.
WAYS = pytest.mark.parametrize("go, come", [
    pytest.param(unregister, register, id="registration"),
    pytest.param(mdevsim.Parent.unbind, mdevsim.Parent.bind, id="driver"),
    pytest.param(mdevsim.Parent.unplug, rescan, id="card"),
])


def state(mdevd, uuid):
    return mdevd.device_property(uuid, "State")


def wait_for_state(mdevd, uuid, expected):
    wait_until(lambda: state(mdevd, uuid) == expected, PATIENCE)


def wait_until_gone(mdevd, parent):
    wait_until(lambda: not mdevd.has_parent(parent), PATIENCE)


def agrees(mdevd):
    """Whether the picture is that of sysfs, without the daemon being made to look."""
    objects = mdevd.managed_objects()
    active = {path for path, interfaces in objects.items()
              if interfaces.get("org.mdevd1.Device", {}).get("State", (None, None))[1] == "active"}
    there = {path.name for path in Path("/sys/class/mdev_bus").glob("*")}
    return (active == {device_path(uuid) for uuid in sysfs.devices()}
            and there == {row[0] for row in mdevd.parents() if row[2]})


@WAYS
def test_a_parent_goes_with_idle_devices(mdevd, parent, go, come):
    mdevd.subscribe()
    transient, manual = mdevd.create(parent, SMALL), mdevd.define(parent, SMALL)
    marked = [mdevd.define(parent, type, autostart=True) for type in (SMALL, NOGROUP)]
    for uuid in (manual, *marked):
        mdevd.start(uuid)

    go(parent)
    mdevd.wait_for_removed(device_path(transient))
    wait_until_gone(mdevd, parent)
    for uuid in (manual, *marked):
        wait_for_state(mdevd, uuid, "defined")
    assert {mdevd.device_property(uuid, "Pending") for uuid in marked} == {"parent-absent"}
    assert mdevd.begin_start(manual).failure().name == error("ParentAbsent")
    assert mdevd.begin_create(parent, SMALL).failure().name == error("ParentAbsent")

    come(parent)
    for uuid in marked:
        wait_for_state(mdevd, uuid, "active")
    assert sysfs.devices() == set(marked) and state(mdevd, manual) == "defined"
    assert agrees(mdevd)


@WAYS
def test_a_parent_goes_with_a_device_in_use(mdevd, parent, go, come):
    used, idle = mdevd.create(parent, SMALL), mdevd.define(parent, SMALL, autostart=True)
    mdevd.start(idle)
    with Meanwhile() as meanwhile:
        with held(used):
            meanwhile.begin(go, parent)
            wait_until(lambda: not parent.is_present() and used not in sysfs.devices())
            # The kernel sends no event before its end, but whoever asks is told what is there.
            assert mdevd.device(used).state == "removing"
            assert mdevd.begin_stop(used).failure().name == error("TryAgain")
            assert mdevd.begin_create(parent, SMALL).failure().name == error("ParentAbsent")
            # Nobody else is held up.
            other = mdevsim.parents()[3]
            mdevd.stop(mdevd.create(other, SMALL))
        wait_until(lambda: state(mdevd, used) is None, PATIENCE)
    wait_for_state(mdevd, idle, "defined")
    come(parent)
    wait_for_state(mdevd, idle, "active")
    assert agrees(mdevd)


@WAYS
def test_a_parent_goes_while_a_device_is_created(mdevd, parent, go, come):
    parent.create_block = 1
    uuid = mdevd.define(parent, SMALL, autostart=True)
    start, creation = mdevd.begin_start(uuid), mdevd.begin_create(parent, SMALL)
    wait_until(lambda: parent.creating == 2)
    with kernel_log() as log, Meanwhile() as meanwhile:
        meanwhile.begin(go, parent)
        # It waits for the two.
        wait_until(lambda: log.read() or any("Unregistering" in line for line in log.lines))
        assert state(mdevd, uuid) == "creating"
        parent.create_block = 0
        # They may have been there for a moment.
        for call in (start, creation):
            with contextlib.suppress(BusError):
                call.result()
    wait_until(lambda: mdevd.property(PATH, MANAGER, "NDevices") == 1, PATIENCE)
    wait_for_state(mdevd, uuid, "defined")
    assert sysfs.devices() == set()
    come(parent)
    wait_for_state(mdevd, uuid, "active")
    assert agrees(mdevd)


def test_a_parent_goes_and_comes_back_at_once(mdevd, parent):
    """So quickly that the daemon sees only what is there after it."""
    marked, transient = mdevd.define(parent, SMALL, autostart=True), mdevd.create(parent, SMALL)
    mdevd.start(marked)
    for _ in range(5):
        parent.registered = 0
        parent.registered = 1
    wait_until(lambda: sysfs.devices() == {marked}, PATIENCE)
    wait_until(lambda: agrees(mdevd) and mdevd.is_settled(), PATIENCE)
    assert state(mdevd, transient) is None


def unload(*modules):
    subprocess.run(["rmmod", *modules], check=True, timeout=60)


def load():
    subprocess.run(["modprobe", "--all", *CORE], check=True, timeout=60)
    subprocess.run(["insmod", MODULE], check=True, timeout=60)


def test_the_driver_is_loaded_anew(mdevd, parents):
    marked = [mdevd.define(parent, SMALL, autostart=True) for parent in parents]
    for uuid in marked:
        mdevd.start(uuid)
    unload("mdevsim")
    try:
        wait_until(lambda: not any(row[2] for row in mdevd.parents()), PATIENCE)
        wait_until(mdevd.is_settled, PATIENCE)
        for uuid in marked:
            wait_for_state(mdevd, uuid, "defined")
        assert sysfs.devices() == set()
    finally:
        load()
    for uuid in marked:
        wait_for_state(mdevd, uuid, "active")
    wait_until(mdevd.is_settled, PATIENCE)
    assert agrees(mdevd) and {parent.creates for parent in parents} == {1}


def test_no_bus_at_all_is_a_normal_state(mdevd, parent, clients):
    uuid = mdevd.define(parent, SMALL, autostart=True)
    unload("mdevsim", *CORE)
    try:
        assert not sysfs.DEVICES.exists()
        wait_until(lambda: not mdevd.has_parent(parent), PATIENCE)
        # And to begin in.
        service.restart()
        client = clients()
        wait_until(client.is_settled, PATIENCE)
        assert [(row.uuid, row.state) for row in client.devices()] == [(uuid, "defined")]
        assert client.device_property(uuid, "Pending") == "parent-absent"
        assert client.begin_start(uuid).failure().name == error("ParentAbsent")
        client.rescan()
    finally:
        load()
    wait_for_state(client, uuid, "active")
    assert agrees(client)


def trigger(action, *paths):
    subprocess.run(["udevadm", "trigger", "--settle", f"--action={action}", *paths], check=True, timeout=60)


def test_events_that_are_not_true(mdevd, parents):
    uuids = [mdevd.create(parents[number], SMALL) for number in range(2)]
    marked = mdevd.define(parents[0], SMALL, autostart=True)
    paths = [*(sysfs.DEVICES / uuid for uuid in uuids), parents[0].path]
    mdevd.subscribe()
    for action in ("add", "remove", "change", "bind", "unbind", "offline", "move"):
        trigger(action, *paths)
    # In the kernel's words, and with a word of its own.
    for text in ("remove", "change", f"change {new_uuid()} STATE=unregistered"):
        for path in paths:
            sysfs.write(path / "uevent", text)
    subprocess.run(["udevadm", "settle", "--timeout=60"], check=True)

    # The last thing that happens; all before it has been looked at.
    sysfs.create(parents[2], SMALL, last := new_uuid())
    mdevd.wait_for_added(device_path(last))
    # It may have been seen on its way.
    wait_until(lambda: agrees(mdevd), PATIENCE)
    assert {state(mdevd, uuid) for uuid in uuids} == {"active"}
    # A parent that never went did not come.
    assert state(mdevd, marked) == "defined"
    told = [message.body for message in mdevd.signals if device_path(uuids[0]) in str(message.body)]
    assert told == []


def test_a_device_without_its_driver(mdevd, parent):
    uuid = mdevd.create(parent, NOGROUP)
    driver = (sysfs.DEVICES / uuid / "driver").resolve()
    sysfs.write(driver / "unbind", uuid)
    trigger("change", sysfs.DEVICES / uuid)
    # It is there, has its UUID, and can be removed.
    assert state(mdevd, uuid) == "active" and mdevd.begin_create(parent, SMALL, uuid).failure().name == error("Exists")
    mdevd.stop(uuid)
    assert state(mdevd, uuid) is None and sysfs.devices() == set()


@pytest.mark.since(5, 19, "there is nothing to remove before the end of a creation")
@pytest.mark.parametrize("maker", ["ours", "theirs"])
def test_an_orphan(mdevd, parent, other_parent, clients, maker):
    """A removal in the midst of a creation fails, and takes "remove" away for good."""
    uuid = new_uuid()
    parent.create_block = 1
    with Meanwhile() as meanwhile:
        if maker == "ours":
            meanwhile.begin(lambda: mdevd.begin_create(parent, NOGROUP, uuid))
        else:
            meanwhile.begin(sysfs.create, parent, NOGROUP, uuid)
        wait_until(lambda: uuid in sysfs.devices() and parent.creating)
        with pytest.raises(BlockingIOError):
            sysfs.remove(uuid)
        assert mdevd.device(uuid).state == "creating"
        parent.create_block = 0
    wait_for_state(mdevd, uuid, "orphaned")

    assert mdevd.begin_stop(uuid).failure().name == error("Orphaned")
    assert mdevd.begin_create(other_parent, SMALL, uuid).failure().name == error("Exists")
    service.restart()
    client = clients()
    wait_for_state(client, uuid, "orphaned")
    # Only this helps.
    parent.registered = 0
    wait_until(lambda: state(client, uuid) is None, PATIENCE)
    parent.registered = 1
    wait_until(lambda: client.has_parent(parent), PATIENCE)
    client.create(parent, SMALL, uuid)


@pytest.mark.seconds(240)
def test_ten_thousand_events(mdevd, parents):
    noisy, gone = new_uuid(), new_uuid()
    for uuid in (noisy, gone):
        sysfs.create(parents[0], NOGROUP, uuid)
    wait_until(lambda: agrees(mdevd), PATIENCE)
    uevent = os.open(sysfs.DEVICES / noisy / "uevent", os.O_WRONLY)
    for _ in range(10_000):
        os.write(uevent, b"change")
    os.close(uevent)
    sysfs.remove(gone)
    sysfs.create(parents[1], NOGROUP, new := new_uuid())
    wait_until(lambda: state(mdevd, new) == "active", 200)
    wait_until(lambda: agrees(mdevd), PATIENCE)
    assert state(mdevd, gone) is None
    # What happens to the parent of the noisy one is told when udev is through with it.
    subprocess.run(["udevadm", "settle", "--timeout=200"], check=True)
