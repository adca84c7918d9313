# SPDX-License-Identifier: LGPL-2.1-or-later
"""What makes no sense is refused by name, in a sentence that says what to do, and changes nothing."""

import struct

import pytest

import sysfs
from bus import INVALID_ARGS, MANAGER, PATH, error
from definitions import files
from guest import new_uuid
from mdevsim import SMALL

CREATE = "sssa(ss)a{sv}"
LONG = "x" * 300


def create(uuid="", parent="0000:00:10.0", type=SMALL, attributes=(), options=None):
    return ("Create", CREATE, uuid, parent, type, list(attributes), options or {})


def define(uuid="", parent="0000:00:10.0", type=SMALL, attributes=(), options=None):
    return ("Define", CREATE, uuid, parent, type, list(attributes), options or {})


UNKNOWN = "00000000-0000-0000-0000-00000000dead"

BAD = [
    # UUIDs
    (create("hello"), INVALID_ARGS, "hello"),
    (create("1234"), INVALID_ARGS, "1234"),
    (create("../../etc/passwd"), INVALID_ARGS, "UUID"),
    (create("0" * 31), INVALID_ARGS, "UUID"),
    (create("0" * 33), INVALID_ARGS, "UUID"),
    (create("g" * 32), INVALID_ARGS, "UUID"),
    (create("x" * 100000), INVALID_ARGS, "UUID"),
    (("Start", "ssa{sv}", "", "", {}), INVALID_ARGS, "UUID"),
    (("Stop", "sa{sv}", "", {}), INVALID_ARGS, "UUID"),
    (("Undefine", "ssa{sv}", "nope", "", {}), INVALID_ARGS, "nope"),
    (("GetDevice", "s", "nope"), INVALID_ARGS, "nope"),
    (("ListDevices", "a{sv}", {"uuid": ("s", "nope")}), INVALID_ARGS, "nope"),
    # parents
    (create(parent="no-such-parent"), error("ParentAbsent"), "no-such-parent"),
    (create(parent="../0000:00:10.0"), INVALID_ARGS, "one path component"),
    (create(parent=".."), INVALID_ARGS, "parent"),
    (create(parent="/sys"), INVALID_ARGS, "/sys"),
    (create(parent="a/b"), INVALID_ARGS, "a/b"),
    (create(parent="a\nb"), INVALID_ARGS, "parent"),
    (create(parent=LONG), INVALID_ARGS, "parent"),
    (define(parent="a/../../b"), INVALID_ARGS, "parent"),
    (define(parent="scripts.d"), INVALID_ARGS, "scripts.d"),
    (define(parent=""), INVALID_ARGS, "No parent"),
    (("GetParent", "s", "none"), error("NotFound"), "none"),
    (("GetParent", "s", "../x"), INVALID_ARGS, "../x"),
    (("ListTypes", "s", "none"), error("NotFound"), "none"),
    # types
    (create(type="mdevsim-none"), error("NoSuchType"), "mdevsim-none"),
    (create(type="../mdevsim-small"), INVALID_ARGS, "type"),
    (create(type="a/b"), INVALID_ARGS, "a/b"),
    (create(type=".."), INVALID_ARGS, "type"),
    (create(type=LONG), INVALID_ARGS, "type"),
    (create(type=""), INVALID_ARGS, "No type"),
    (define(type=""), INVALID_ARGS, "No type"),
    (create(parent="", type="mdevsim-none"), error("NoCapacity"), "mdevsim-none"),
    # attributes
    (create(attributes=[("log", "x"), ("../remove", "1")]), INVALID_ARGS, "Attribute 1"),
    (create(attributes=[("/etc/passwd", "1")]), INVALID_ARGS, "Attribute 0"),
    (create(attributes=[("a/../../b", "1")]), INVALID_ARGS, "a/../../b"),
    (create(attributes=[("", "1")]), INVALID_ARGS, "Attribute 0"),
    (create(attributes=[("a//b", "1")]), INVALID_ARGS, "a//b"),
    (create(attributes=[("./log", "1")]), INVALID_ARGS, "./log"),
    (create(attributes=[("remove", "1")]), INVALID_ARGS, "remove"),
    (create(attributes=[("uevent", "add")]), INVALID_ARGS, "uevent"),
    (create(attributes=[("power/control", "on")]), INVALID_ARGS, "power/control"),
    (create(attributes=[("driver/unbind", "x")]), INVALID_ARGS, "driver/unbind"),
    (create(attributes=[("mdev_type/create", "x")]), INVALID_ARGS, "mdev_type"),
    (create(attributes=[("log", "v" * 4096)]), INVALID_ARGS, "4095"),
    (create(attributes=[("log", "v")] * 1025), error("LimitsExceeded"), "1024"),
    (create(attributes=[("log", "v" * 4000)] * 17), error("LimitsExceeded"), "65536"),
    (define(attributes=[("a\nb", "1")]), INVALID_ARGS, "Attribute 0"),
    (define(attributes=[("..", "1")]), INVALID_ARGS, "Attribute 0"),
    # options
    (create(options={"colour": ("s", "blue")}), INVALID_ARGS, "colour"),
    (define(options={"autostart": ("s", "yes")}), INVALID_ARGS, "autostart"),
    (define(options={"autostart": ("u", 1)}), INVALID_ARGS, "boolean"),
    (("Stop", "sa{sv}", UNKNOWN, {"now": ("b", True)}), INVALID_ARGS, "now"),
    (("Start", "ssa{sv}", UNKNOWN, "", {"x": ("b", True)}), INVALID_ARGS, '"x"'),
    (("Undefine", "ssa{sv}", UNKNOWN, "", {"x": ("b", True)}), INVALID_ARGS, '"x"'),
    (("ListDevices", "a{sv}", {"active": ("s", "yes")}), INVALID_ARGS, "active"),
    (("ListDevices", "a{sv}", {"x": ("s", "yes")}), INVALID_ARGS, '"x"'),
    # what is not there
    (("Start", "ssa{sv}", UNKNOWN, "", {}), error("NotFound"), UNKNOWN),
    (("Stop", "sa{sv}", UNKNOWN, {}), error("NotFound"), UNKNOWN),
    (("Undefine", "ssa{sv}", UNKNOWN, "", {}), error("NotFound"), UNKNOWN),
    (("GetDevice", "s", UNKNOWN), error("NotFound"), UNKNOWN),
    # signatures
    (("Create", "s", "x"), INVALID_ARGS, "ssa(ss)"),
    (("Create", "sss", "", "", ""), INVALID_ARGS, ""),
    (("Stop", "u", 5), INVALID_ARGS, ""),
    (("ListTypes", "as", ["x"]), INVALID_ARGS, ""),
    (("Rescan", "s", "x"), INVALID_ARGS, ""),
    (("NoSuchMethod", "", ), "org.freedesktop.DBus.Error.UnknownMethod", "NoSuchMethod"),
]


def picture(client):
    return client.devices(), sorted(client.managed_objects()), files(), sysfs.devices()




@pytest.mark.parametrize("call, name, words", BAD, ids=lambda value: str(value)[:50])
def test_bad_call(mdevd, call, name, words):
    before = picture(mdevd)
    method, signature, *arguments = call

    failure = mdevd.begin_manager(method, signature or None, *arguments).failure()

    assert failure.name == name, failure
    assert words in failure.sentence or not words, failure.sentence
    assert len(failure.sentence) > 20
    assert picture(mdevd) == before


def test_a_million_attributes(mdevd, parent):
    before = picture(mdevd)

    def string(text):
        data = text.encode()
        return struct.pack("<I", len(data)) + data + b"\0"

    def pad(data, to):
        return data + b"\0" * (-len(data) % to)

    pair = pad(pad(string("a"), 4) + string("bcd"), 8)
    pairs = pair * 1_000_000
    head = pad(pad(pad(string(new_uuid()), 4) + string(parent.name), 4) + string(SMALL), 4)
    body = pad(head + struct.pack("<I", len(pairs)), 8) + pairs + struct.pack("<I", 0)
    # The array of options is aligned to 8 behind its length.
    body += b"\0" * (-len(body) % 8)

    failure = mdevd.begin_raw(PATH, MANAGER, "Create", CREATE, body).failure()

    assert failure.name == error("LimitsExceeded") and "1024" in failure.sentence
    assert picture(mdevd) == before


def test_properties_cannot_be_set(mdevd, parent):
    uuid = mdevd.create(parent, SMALL)
    path = f"/org/mdevd1/device/{uuid.replace('-', '_')}"

    failure = mdevd.begin(path, "org.freedesktop.DBus.Properties", "Set", "ssv", "org.mdevd1.Device", "State",
                          ("s", "defined")).failure()

    assert failure.name == "org.freedesktop.DBus.Error.PropertyReadOnly"
    assert mdevd.state(uuid) == "active"


@pytest.mark.parametrize("path", ["/org/mdevd1/device/x", "/org/mdevd1/device/00000000_0000_0000_0000_00000000dead",
                                  "/org/mdevd1/device/" + "0" * 36, "/org/mdevd1/parent/none", "/org"])
def test_objects_that_are_not_there(mdevd, path):
    failure = mdevd.begin(path, "org.freedesktop.DBus.Properties", "GetAll", "s", "org.mdevd1.Device").failure()

    assert failure.name in ("org.freedesktop.DBus.Error.UnknownObject", "org.freedesktop.DBus.Error.UnknownInterface",
                            "org.freedesktop.DBus.Error.UnknownMethod")
