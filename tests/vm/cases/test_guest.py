# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guest itself: what all other cases take for granted."""

import errno
import subprocess
import time
from pathlib import Path

import pytest

import mdevsim
import sysfs
from guest import AS_TESTER, held, kernel_log, new_uuid
from mdevsim import LARGE, NOGROUP, SMALL


def output_of(*words):
    return subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout.strip()


def test_systemd_is_process_1_and_all_is_well():
    assert Path("/proc/1/comm").read_text() == "systemd\n"
    assert output_of("systemctl", "is-system-running", "--wait") == "running"


def test_udevd_answers():
    output_of("udevadm", "control", "--ping", "--timeout=30")


def test_dbus_answers():
    assert output_of("busctl", "--system", "call", "org.freedesktop.DBus", "/org/freedesktop/DBus",
                     "org.freedesktop.DBus", "NameHasOwner", "s", "org.freedesktop.systemd1") == "b true"


def test_polkit_starts_when_asked():
    assert output_of("busctl", "--system", "get-property", "org.freedesktop.PolicyKit1",
                     "/org/freedesktop/PolicyKit1/Authority", "org.freedesktop.PolicyKit1.Authority",
                     "BackendName").startswith("s ")


def test_there_is_an_ordinary_user():
    assert int(output_of(*AS_TESTER, "id", "-u")) >= 1000


def test_nothing_of_the_machine_is_in_the_way():
    assert not Path("/.dockerenv").exists()
    assert [path.name for path in Path("/etc/mdevctl.d").iterdir()] == ["scripts.d"]
    assert sysfs.devices() == set()


def test_parents_are_cards(parents):
    assert [parent.name for parent in parents] == [f"0000:00:{slot:02x}.0" for slot in range(0x10, 0x18)]
    for parent in parents:
        assert parent.is_present()
        types = parent.path / "mdev_supported_types"
        assert {path.name for path in types.iterdir()} == {SMALL, LARGE, NOGROUP}


@pytest.mark.parametrize("type", [SMALL, LARGE, NOGROUP])
def test_create_and_remove(parent, type):
    uuid = new_uuid()
    sysfs.create(parent, type, uuid)
    assert sysfs.devices() == {uuid}
    assert sysfs.type_of(uuid) == type
    assert sysfs.parent_of(uuid) == parent.name
    sysfs.remove(uuid)
    assert sysfs.devices() == set()
    assert (parent.creates, parent.removes) == (1, 1)


def test_a_duplicate_is_refused_without_a_word(parent, other_parent):
    uuid = new_uuid()
    sysfs.create(parent, SMALL, uuid)
    with kernel_log() as log, pytest.raises(FileExistsError):
        sysfs.create(other_parent, LARGE, uuid)
    assert log.lines == []
    assert other_parent.creates == 0


def test_a_driver_may_take_its_time(parent):
    parent.create_delay_ms = 500
    begin = time.monotonic()
    sysfs.create(parent, SMALL, new_uuid())
    assert time.monotonic() - begin >= 0.5


def test_a_driver_may_fail(parent):
    parent.create_errno = errno.EIO
    with pytest.raises(OSError) as failure:
        sysfs.create(parent, SMALL, new_uuid())
    assert failure.value.errno == errno.EIO
    assert parent.create_failures == 1


def test_the_last_case_left_nothing(parents):
    assert sysfs.devices() == set()
    assert all(parent.create_errno == 0 and parent.create_failures == 0 for parent in parents)


def test_a_parent_is_unplugged_and_comes_back(parent):
    sysfs.create(parent, SMALL, new_uuid())
    parent.unplug()
    assert not parent.is_present()
    assert sysfs.devices() == set()
    mdevsim.rescan()
    assert parent.is_present()


def test_a_parent_of_any_name():
    parent = mdevsim.add_parent("mdevsim.extra")
    assert parent.is_present()
    mdevsim.delete_parent(parent)
    assert not parent.is_present()


def test_a_device_in_use(parent):
    uuid = new_uuid()
    sysfs.create(parent, SMALL, uuid)
    with held(uuid):
        assert parent.opens == 1
    sysfs.remove(uuid)


def test_udev_passes_events_on(parent):
    uuid = new_uuid()
    words = ["stdbuf", "-oL", "udevadm", "monitor", "--udev", "--subsystem-match=mdev"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as monitor:
        try:
            wait_for_line(monitor, "UDEV - ")
            sysfs.create(parent, NOGROUP, uuid)
            assert f"{parent.name}/{uuid} (mdev)" in wait_for_line(monitor, " add ")
        finally:
            monitor.terminate()


def wait_for_line(process, text):
    return next(line for line in process.stdout if text in line)
