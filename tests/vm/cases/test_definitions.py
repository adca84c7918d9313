# SPDX-License-Identifier: LGPL-2.1-or-later
"""Definitions: the files that mdevctl knows, byte for byte, and what follows from them."""

import subprocess

import service
import sysfs
from bus import DEVICE, device_path, error
from definitions import file_of, files, text_of
from guest import new_uuid
from mdevsim import LARGE, SMALL


def busctl(*words):
    result = subprocess.run(["busctl", "call", "org.mdevd1", "/org/mdevd1", "org.mdevd1.Manager", *words],
                            capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def mdevctl(*words):
    return subprocess.run(["mdevctl", *words], capture_output=True, text=True, check=True, timeout=60).stdout


def test_one_life_by_busctl(mdevd, parent):
    uuid = new_uuid()

    answer = busctl("Define", "sssa(ss)a{sv}", uuid, parent.name, SMALL, "2", "log", "one", "log", "two", "0")
    assert answer == f'so "{uuid}" "{device_path(uuid)}"'
    assert file_of(parent, uuid).read_text() == text_of(SMALL, attributes=[("log", "one"), ("log", "two")])
    assert mdevctl("list", "-d").strip() == f"{uuid} {parent.name} {SMALL} manual"

    assert busctl("Start", "ssa{sv}", uuid, "", "0") == f'o "{device_path(uuid)}"'
    assert sysfs.devices() == {uuid}
    assert sysfs.DEVICES.joinpath(uuid, "log").read_text() == "one\ntwo\n"
    assert mdevctl("list").strip() == f"{uuid} {parent.name} {SMALL} manual (defined)"

    assert busctl("Stop", "sa{sv}", uuid, "0") == ""
    assert sysfs.devices() == set()
    assert mdevd.state(uuid) == "defined"

    assert busctl("Undefine", "ssa{sv}", uuid, "", "0") == ""
    assert files() == [] and mdevd.devices() == []


def test_autostart_is_written(mdevd, parent):
    uuid = mdevd.define(parent, SMALL, autostart=True)

    assert file_of(parent, uuid).read_text() == text_of(SMALL, "auto")
    assert mdevd.device(uuid).autostart


def test_a_definition_is_there_when_the_signal_comes(mdevd, parent):
    mdevd.subscribe()
    uuid = new_uuid()

    call = mdevd.begin_define(parent, SMALL, uuid)
    mdevd.wait_for_added(device_path(uuid))
    assert file_of(parent, uuid).read_text() == text_of(SMALL)
    call.result()


def test_defined_twice(mdevd, parents):
    uuid = mdevd.define(parents[0], SMALL)
    text = file_of(parents[0], uuid).read_text()

    assert mdevd.begin_define(parents[0], LARGE, uuid).failure().name == error("Exists")
    failure = mdevd.begin_define(parents[1], SMALL, uuid).failure()
    assert failure.name == error("Exists") and parents[0].name in failure.sentence
    assert files() == [file_of(parents[0], uuid)] and files()[0].read_text() == text


def test_alternates(mdevd, parents):
    uuid = mdevd.define(parents[0], SMALL)
    mdevd.define(parents[1], LARGE, uuid, alternate=True)

    assert len(files()) == 2 and len(mdevd.devices(uuid=uuid)) == 2
    failure = mdevd.begin_start(uuid).failure()
    assert failure.name == error("Ambiguous")
    assert parents[0].name in failure.sentence and parents[1].name in failure.sentence

    mdevd.start(uuid, parents[1])
    assert sysfs.parent_of(uuid) == parents[1].name
    rows = {row.parent: row for row in mdevd.devices(uuid=uuid)}
    assert rows[parents[1].name].active and not rows[parents[0].name].active
    mdevd.undefine(uuid, parents[0])
    assert files() == [file_of(parents[1], uuid)]
    mdevd.undefine(uuid)
    assert files() == [] and mdevd.state(uuid) == "active"


def test_promotion_of_a_transient_device(mdevd, parent):
    uuid = mdevd.create(parent, LARGE)

    mdevd.define("", "", uuid)

    assert file_of(parent, uuid).read_text() == text_of(LARGE)
    row = mdevd.device(uuid)
    assert row.active and row.defined
    mdevd.stop(uuid)
    assert mdevd.state(uuid) == "defined"


def test_a_parent_that_is_not_there_can_have_definitions(mdevd):
    uuid = mdevd.define("0000:ff:00.0", "nvidia-35")

    assert file_of("0000:ff:00.0", uuid).exists()
    assert mdevd.begin_start(uuid).failure().name == error("ParentAbsent")
    assert ["0000:ff:00.0", "", False, ""] in [list(row) for row in mdevd.parents()]
    mdevd.undefine(uuid)
    assert "0000:ff:00.0" not in [row[0] for row in mdevd.parents()]


def test_files_of_others_are_taken_in_by_rescan(mdevd, parent):
    uuid = new_uuid()
    file_of(parent, uuid).parent.mkdir()
    file_of(parent, uuid).write_text(text_of(SMALL, "auto", [("log", "x")]))

    mdevd.rescan()

    row = mdevd.device(uuid)
    assert (row.type, row.autostart, row.attributes) == (SMALL, True, [("log", "x")])
    file_of(parent, uuid).unlink()
    mdevd.rescan()
    assert mdevd.devices() == []


def test_a_broken_file_hinders_nothing(mdevd, parent):
    good, broken = mdevd.define(parent, SMALL), new_uuid()
    file_of(parent, broken).write_text('{\n  "mdev_type": "x",\n  oops\n}')

    mdevd.rescan()

    assert [row.uuid for row in mdevd.devices()] == [good]
    [(path, reason)] = mdevd.property("/org/mdevd1", "org.mdevd1.Manager", "InvalidDefinitions")
    assert path == str(file_of(parent, broken)) and reason.startswith("line 3, column ")
    assert mdevd.begin_define(parent, SMALL, broken).failure().name == error("Exists")
    assert "oops" in file_of(parent, broken).read_text()


def test_last_error_is_kept_with_a_definition(mdevd, parent):
    uuid = mdevd.define(parent, SMALL)
    parent.create_errno = 5
    failure = mdevd.begin_start(uuid).failure()

    assert mdevd.property(device_path(uuid), DEVICE, "LastError") == (failure.name, failure.sentence)
    parent.create_errno = 0
    mdevd.start(uuid)
    assert mdevd.property(device_path(uuid), DEVICE, "LastError") == ("", "")


def test_the_disk_says_no(mdevd, parent):
    uuid = mdevd.define(parent, SMALL)
    etc = "/etc/mdevctl.d"
    # The daemon has mounts of its own.
    there = ["nsenter", f"--target={service.main_pid()}", "--mount"]
    subprocess.run([*there, "mount", "--bind", etc, etc], check=True)
    try:
        subprocess.run([*there, "mount", "-o", "remount,bind,ro", etc], check=True)
        failure = mdevd.begin_define(parent, SMALL).failure()
        assert failure.name == error("Store") and "errno 30" in failure.sentence
        assert mdevd.begin_undefine(uuid).failure().name == error("Store")
    finally:
        subprocess.run([*there, "umount", etc], check=True)
    assert [row.uuid for row in mdevd.devices()] == [uuid] and files() == [file_of(parent, uuid)]
    mdevd.undefine(uuid)

