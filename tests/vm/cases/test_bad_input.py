# SPDX-License-Identifier: LGPL-2.1-or-later
"""What makes no sense is refused by name, in a sentence that says what to do, and changes nothing."""

import json
import struct

import pytest

import sysfs
from bus import DEVICE, INVALID_ARGS, MANAGER, PATH, error
from definitions import DIRECTORY, file_of, files, text_of
from guest import held, new_uuid, wait_until
from mdevsim import LARGE, SMALL

CREATE = "sssa(ss)a{sv}"
FROM_JSON = "sssa{sv}"
END = 4294967295
LONG = "x" * 300
UNKNOWN_METHOD = "org.freedesktop.DBus.Error.UnknownMethod"

# The parents of the scene below, and what is made of them.
IDLE, SECOND, STUCK_CREATING, STUCK_REMOVING, USED, FULL, FAULTY, BLOCKED = (
    f"0000:00:{number}.0" for number in range(10, 18))
ABSENT = "0000:ff:00.0"


def uuid_of(number):
    return f"00000000-0000-4000-8000-{number:012}"


# The devices of the scene.
(FREE, DEFINED, ACTIVE, BOTH, TWICE, CREATING, STARTING, REMOVING, IN_USE, NOWHERE, TYPELESS, FULL_UP, ODD, BROKEN,
 FAILING) = (uuid_of(number) for number in range(15))


class Twice(list):
    """A dictionary that has a key twice."""

    def items(self):
        return self


def define(uuid=FREE, parent=IDLE, type=SMALL, attributes=(), options=None):
    return ("Define", CREATE, uuid, parent, type, list(attributes), options or {})


def create(uuid=FREE, parent=IDLE, type=SMALL, attributes=(), options=None):
    return ("Create", CREATE, uuid, parent, type, list(attributes), options or {})


def define_json(text=text_of(SMALL), uuid=FREE, parent=IDLE, options=None):
    return ("DefineFromJSON", FROM_JSON, uuid, parent, text, options or {})


def create_json(text=text_of(SMALL), uuid=FREE, parent=IDLE, options=None):
    return ("CreateFromJSON", FROM_JSON, uuid, parent, text, options or {})


def modify(uuid=DEFINED, parent="", changes=None, options=None):
    return ("Modify", "ssa{sv}a{sv}", uuid, parent, {"type": ("s", LARGE)} if changes is None else changes,
            options or {})


def undefine(uuid=DEFINED, parent="", options=None):
    return ("Undefine", "ssa{sv}", uuid, parent, options or {})


def start(uuid=DEFINED, parent="", options=None):
    return ("Start", "ssa{sv}", uuid, parent, options or {})


def stop(uuid=ACTIVE, options=None):
    return ("Stop", "sa{sv}", uuid, options or {})


def list_devices(**filters):
    return ("ListDevices", "a{sv}", filters)


def json_of(**keys):
    return json.dumps({"mdev_type": SMALL, "start": "manual", **keys})


# Rows: the call, the error's name, and words that its sentence must have.

UUID_METHODS = [define, create, define_json, create_json, modify, undefine, start, stop,
                lambda uuid: ("GetDevice", "s", uuid), lambda uuid: list_devices(uuid=("s", uuid))]
NO_UUIDS = ["hello", "../../etc/passwd", "0" * 31, "g" * 32, FREE + "\n"]

PARENT_METHODS = [define, create, define_json, create_json, modify, undefine, start,
                  lambda parent: ("StartParent", "s", parent), lambda parent: ("GetParent", "s", parent),
                  lambda parent: ("ListTypes", "s", parent)]
NO_PARENTS = ["../0000:00:10.0", "a\nb", LONG]

MALFORMED = [
    *[(method(uuid=uuid), INVALID_ARGS, f'"{uuid}"', "32 hexadecimal") for method in UUID_METHODS for uuid in NO_UUIDS],
    *[(method(parent=parent), INVALID_ARGS, f'"{parent}"', "one path component")
      for method in PARENT_METHODS for parent in NO_PARENTS],
    (create("x" * 100000), INVALID_ARGS, "UUID"),
    (create("0" * 33), INVALID_ARGS, "UUID"),
    (start(""), INVALID_ARGS, "UUID"),
    (stop(""), INVALID_ARGS, "UUID"),
    (undefine(""), INVALID_ARGS, "UUID"),
    (modify(""), INVALID_ARGS, "UUID"),
    (("GetDevice", "s", ""), INVALID_ARGS, "UUID"),
    (create(parent=".."), INVALID_ARGS, '".."'),
    (create(parent="/sys"), INVALID_ARGS, "/sys"),
    (define(parent="scripts.d"), INVALID_ARGS, "scripts.d"),
    (define(parent="a/../../b"), INVALID_ARGS, "a/../../b"),
    (("StartParent", "s", ""), INVALID_ARGS, "parent"),
    (("GetParent", "s", ""), INVALID_ARGS, "parent"),
    # types
    (create(type="../mdevsim-small"), INVALID_ARGS, "type", "../mdevsim-small"),
    (create(type="a/b"), INVALID_ARGS, "a/b"),
    (create(type=LONG), INVALID_ARGS, "type"),
    (define(type=".."), INVALID_ARGS, "type"),
    (define(type="a\tb"), INVALID_ARGS, "type"),
    (modify(changes={"type": ("s", "a/b")}), INVALID_ARGS, "a/b"),
    (modify(changes={"type": ("s", "")}), INVALID_ARGS, "type"),
    # attributes
    (create(attributes=[("log", "x"), ("../remove", "1")]), INVALID_ARGS, "Attribute 1", "../remove"),
    (create(attributes=[("/etc/passwd", "1")]), INVALID_ARGS, "Attribute 0", "/etc/passwd"),
    (create(attributes=[("a/../../b", "1")]), INVALID_ARGS, "a/../../b"),
    (create(attributes=[("", "1")]), INVALID_ARGS, "Attribute 0"),
    (create(attributes=[("a//b", "1")]), INVALID_ARGS, "a//b"),
    (create(attributes=[("./log", "1")]), INVALID_ARGS, "./log"),
    (create(attributes=[("remove", "1")]), INVALID_ARGS, "remove"),
    (create(attributes=[("uevent", "add")]), INVALID_ARGS, "uevent"),
    (create(attributes=[("power/control", "on")]), INVALID_ARGS, "power/control"),
    (create(attributes=[("driver/unbind", "x")]), INVALID_ARGS, "driver/unbind"),
    (create(attributes=[("mdev_type/create", "x")]), INVALID_ARGS, "mdev_type"),
    (define(attributes=[("a\nb", "1")]), INVALID_ARGS, "Attribute 0"),
    (define(attributes=[("..", "1")]), INVALID_ARGS, "Attribute 0"),
    (define(attributes=[("remove", "1")]), INVALID_ARGS, "remove"),
    (modify(changes={"attributes": ("a(ss)", [("a", "1"), ("../x", "1")])}), INVALID_ARGS, "Attribute 1", "../x"),
    (modify(changes={"add-attribute": ("(uss)", (0, "remove", "9"))}), INVALID_ARGS, "remove"),
    (modify(changes={"add-attribute": ("(uss)", (0, "", "9"))}), INVALID_ARGS, "Attribute 0"),
    # options
    (create(options={"colour": ("s", "blue")}), INVALID_ARGS, '"colour"', "no such option"),
    (create(options={"": ("b", True)}), INVALID_ARGS, '""'),
    (create(options={"define": ("u", 1)}), INVALID_ARGS, '"define"', "boolean"),
    (create(options={"exist-ok": ("as", [])}), INVALID_ARGS, '"exist-ok"', "boolean"),
    (create(options=Twice([("define", ("b", True)), ("define", ("b", False))])), INVALID_ARGS, '"define"', "twice"),
    (create_json(options={"any": ("b", True)}), INVALID_ARGS, '"any"'),
    (create_json(options={"define": ("s", "yes")}), INVALID_ARGS, '"define"', "boolean"),
    (define(options={"autostart": ("s", "yes")}), INVALID_ARGS, '"autostart"', "boolean"),
    (define(options={"define": ("b", True)}), INVALID_ARGS, '"define"', "no such option"),
    (define(options=Twice([("alternate", ("b", True))] * 2)), INVALID_ARGS, '"alternate"', "twice"),
    (define_json(options={"exist-ok": ("b", True)}), INVALID_ARGS, '"exist-ok"'),
    (define_json(options={"alternate": ("i", 1)}), INVALID_ARGS, '"alternate"', "boolean"),
    (modify(changes={"colour": ("s", "blue")}), INVALID_ARGS, '"colour"'),
    (modify(changes={"type": ("b", True)}), INVALID_ARGS, '"type"', "string"),
    (modify(changes={"autostart": ("s", "auto")}), INVALID_ARGS, '"autostart"', "boolean"),
    (modify(changes={"attributes": ("a{ss}", {"a": "1"})}), INVALID_ARGS, '"attributes"', "list"),
    (modify(changes={"add-attribute": ("(ss)", ("a", "1"))}), INVALID_ARGS, '"add-attribute"', "index"),
    (modify(changes={"remove-attribute": ("i", -1)}), INVALID_ARGS, '"remove-attribute"', "index"),
    (modify(changes={"remove-attribute": ("s", "a")}), INVALID_ARGS, '"remove-attribute"', "index"),
    (modify(changes={"json": ("as", ["{}"])}), INVALID_ARGS, '"json"', "string"),
    (modify(changes=Twice([("type", ("s", "a")), ("type", ("s", "b"))])), INVALID_ARGS, '"type"', "twice"),
    (modify(options={"later": ("b", True)}), INVALID_ARGS, '"later"'),
    (modify(options={"defined": ("s", "yes")}), INVALID_ARGS, '"defined"', "boolean"),
    (undefine(options={"x": ("b", True)}), INVALID_ARGS, '"x"'),
    (undefine(options={"force": ("y", 1)}), INVALID_ARGS, '"force"', "boolean"),
    (start(options={"x": ("b", True)}), INVALID_ARGS, '"x"'),
    (start(options={"any": ("s", "yes")}), INVALID_ARGS, '"any"', "boolean"),
    (start(options={"define": ("b", True)}), INVALID_ARGS, '"define"'),
    (stop(options={"now": ("b", True)}), INVALID_ARGS, '"now"'),
    (stop(options={"timeout-usec": ("u", 5)}), INVALID_ARGS, '"timeout-usec"', "number"),
    (stop(options={"timeout-usec": ("d", 0.5)}), INVALID_ARGS, '"timeout-usec"', "number"),
    (stop(options={"wait-for-release": ("v", ("b", True))}), INVALID_ARGS, '"wait-for-release"', "boolean"),
    (stop(options=Twice([("timeout-usec", ("t", 1)), ("timeout-usec", ("t", 2))])), INVALID_ARGS, "twice"),
    (list_devices(active=("s", "yes")), INVALID_ARGS, '"active"', "boolean"),
    (list_devices(defined=("u", 1)), INVALID_ARGS, '"defined"', "boolean"),
    (list_devices(parent=("o", "/x")), INVALID_ARGS, '"parent"', "string"),
    (list_devices(origin=("s", "mdevd")), INVALID_ARGS, '"origin"'),
    # JSON
    *[(method(text), error("InvalidDefinition"), *words) for method in (define_json, create_json) for text, *words in [
        ("", "line 1"),
        ("{", "line 1"),
        ("{\n  \"mdev_type\": \"x\",\n  oops", "line 3", "column"),
        ("[]", "not a JSON object"),
        ("null", "line 1"),
        ("{}", "mdev_type"),
        ("{}x", "line 1, column 3"),
        ('{"mdev_type": "x"}', "start"),
        ('{"mdev_type": 5, "start": "auto"}', "mdev_type"),
        ('{"mdev_type": "a/b", "start": "auto"}', "mdev_type"),
        ('{"mdev_type": "a\\u0000b", "start": "auto"}', "NUL"),
        ('{"mdev_type": "x", "start": "auto", "attrs": [{"a\\uffff": "1"}]}', "attribute 0"),
        (json_of(attrs={}), "attrs", "not an array"),
        (json_of(attrs=["log"]), "attribute 0", "not an object"),
        (json_of(attrs=[{"log": "x"}, {"a": "1", "b": "2"}]), "attribute 1", "2 names"),
        (json_of(attrs=[{"log": 5}]), "attribute 0", "log", "not a string"),
        (json_of(attrs=[{"log": "x"}, {"../remove": "1"}]), "attribute 1", "../remove"),
        (json_of(attrs=[{"log": "v" * 4096}]), "attribute 0", "log"),
    ]],
    (modify(changes={"json": ("s", "{")}), error("InvalidDefinition"), "line 1"),
    (modify(changes={"json": ("s", json_of(attrs=[{"remove": "1"}]))}), error("InvalidDefinition"), "remove"),
    # signatures
    (("Create", "s", "x"), INVALID_ARGS, "ssa(ss)"),
    (("Create", "sss", "", "", ""), INVALID_ARGS, "Create"),
    (("CreateFromJSON", "sss", "", "", ""), INVALID_ARGS, "CreateFromJSON"),
    (("Define", "sssa{ss}a{sv}", FREE, IDLE, SMALL, {}, {}), INVALID_ARGS, "Define"),
    (("DefineFromJSON", "sssas", FREE, IDLE, "{}", []), INVALID_ARGS, "DefineFromJSON"),
    (("Modify", "ssa{sv}", DEFINED, "", {}), INVALID_ARGS, "Modify"),
    (("Undefine", "s", DEFINED), INVALID_ARGS, "Undefine"),
    (("Start", "ssa{ss}", DEFINED, "", {}), INVALID_ARGS, "Start"),
    (("Stop", "u", 5), INVALID_ARGS, "Stop"),
    (("StartParent", None), INVALID_ARGS, "StartParent"),
    (("GetDevice", "o", "/org/mdevd1"), INVALID_ARGS, "GetDevice"),
    (("GetParent", "ss", "a", "b"), INVALID_ARGS, "GetParent"),
    (("ListDevices", None), INVALID_ARGS, "ListDevices"),
    (("ListParents", "s", "x"), INVALID_ARGS, "ListParents"),
    (("ListTypes", "as", ["x"]), INVALID_ARGS, "ListTypes"),
    (("Rescan", "s", "x"), INVALID_ARGS, "Rescan"),
    (("NoSuchMethod", None), UNKNOWN_METHOD, "NoSuchMethod"),
]

CONTRADICTORY = [
    (create(options={"autostart": ("b", True)}), INVALID_ARGS, '"autostart"', '"define"'),
    (create(type=""), INVALID_ARGS, "No type"),
    (create(parent="", type=""), INVALID_ARGS, "No type"),
    (define(type=""), INVALID_ARGS, "No type"),
    (define(parent=""), INVALID_ARGS, "No parent"),
    (define(parent="", type=""), INVALID_ARGS, "No parent"),
    (define(ACTIVE, SECOND, ""), INVALID_ARGS, "No type", ACTIVE),
    (define(ACTIVE, "", LARGE), INVALID_ARGS, "No parent", ACTIVE),
    (define(DEFINED, "", ""), INVALID_ARGS, "No parent", DEFINED),
    (define_json(parent=""), INVALID_ARGS, "No parent"),
    (define_json(text_of("")), INVALID_ARGS, "No type"),
    (create_json(text_of("")), INVALID_ARGS, "No type"),
    (modify(changes={}), INVALID_ARGS, "nothing"),
    (modify(changes={"json": ("s", text_of(SMALL)), "type": ("s", SMALL)}), INVALID_ARGS, '"json"'),
    (modify(changes={"json": ("s", text_of(SMALL)), "autostart": ("b", True)}), INVALID_ARGS, '"json"'),
    (modify(options={"defined": ("b", False)}), INVALID_ARGS, '"defined"'),
    (modify(changes={"add-attribute": ("(uss)", (3, "q", "9"))}), INVALID_ARGS, "attribute 3", DEFINED),
    (modify(changes={"remove-attribute": ("u", 2)}), INVALID_ARGS, "attribute 2", DEFINED),
    (modify(changes={"attributes": ("a(ss)", []), "remove-attribute": ("u", 0)}), INVALID_ARGS, "attribute 0"),
    (modify(BOTH, changes={"remove-attribute": ("u", END)}), INVALID_ARGS, BOTH),
    (modify(BOTH, changes={"remove-attribute": ("u", 0)}), INVALID_ARGS, "attribute 0", BOTH),
]

TOO_LARGE = [
    (create(attributes=[("log", "v" * 4096)]), INVALID_ARGS, "4095"),
    (create(attributes=[("n" * 256, "1")]), INVALID_ARGS, "Attribute 0"),
    (define(attributes=[("n/" * 256 + "n", "1")]), INVALID_ARGS, "Attribute 0"),
    (create(attributes=[("log", "v")] * 1025), error("LimitsExceeded"), "attributes", "1024"),
    (define(attributes=[("log", "v")] * 1025), error("LimitsExceeded"), "attributes", "1024"),
    (create(attributes=[("log", "v" * 4000)] * 17), error("LimitsExceeded"), "bytes", "65536"),
    (define(attributes=[("log", "v" * 4000)] * 17), error("LimitsExceeded"), "bytes", "65536"),
    (modify(changes={"attributes": ("a(ss)", [("log", "v")] * 1025)}), error("LimitsExceeded"), "1024"),
    (modify(changes={"attributes": ("a(ss)", [("log", "v" * 4000)] * 17)}), error("LimitsExceeded"), "65536"),
    (modify(changes={"add-attribute": ("(uss)", (END, "log", "v" * 4096))}), INVALID_ARGS, "4095"),
    (define_json("x" * 600_000), error("InvalidDefinition"), "524288"),
    (create_json(json_of(mine="x" * 600_000)), error("InvalidDefinition"), "524288"),
    (modify(changes={"json": ("s", json_of(mine="x" * 600_000))}), error("InvalidDefinition"), "524288"),
    (define_json(json_of(attrs=[{"log": "v"}] * 1025)), error("InvalidDefinition"), "attribute 1024", "1024"),
    (create_json(json_of(attrs=[{"log": "v" * 4000}] * 17)), error("InvalidDefinition"), "attribute 16", "65536"),
    (define_json('{"mdev_type": "x", "start": "auto", "deep": ' + "[" * 40 + "]" * 40 + "}"),
     error("InvalidDefinition"), "line 1", "nesting"),
]

WRONG_STATE = [
    # what is there already
    (define(DEFINED), error("Exists"), DEFINED, IDLE, SMALL, "defined"),
    (define(DEFINED, options={"alternate": ("b", True)}), error("Exists"), DEFINED, IDLE),
    (define(DEFINED, SECOND), error("Exists"), DEFINED, IDLE, '"alternate"'),
    (define(TWICE, USED), error("Exists"), TWICE, IDLE, '"alternate"'),
    (define(BOTH, "", ""), error("Exists"), BOTH, IDLE, "defined"),
    (define(BROKEN), error("Exists"), str(file_of(IDLE, BROKEN)), "mend it"),
    (define_json(uuid=DEFINED), error("Exists"), DEFINED, IDLE, SMALL),
    (define_json(uuid=DEFINED, parent=SECOND), error("Exists"), DEFINED, IDLE, '"alternate"'),
    (define_json(uuid=BROKEN), error("Exists"), str(file_of(IDLE, BROKEN))),
    (create(ACTIVE), error("Exists"), ACTIVE, IDLE, SMALL, "active"),
    (create(ACTIVE, SECOND), error("Exists"), ACTIVE, IDLE, "active"),
    (create(ACTIVE, type=LARGE, options={"exist-ok": ("b", True)}), error("Exists"), ACTIVE, SMALL),
    (create(ACTIVE, SECOND, options={"exist-ok": ("b", True)}), error("Exists"), ACTIVE, IDLE),
    (create(DEFINED, options={"define": ("b", True)}), error("Exists"), DEFINED, IDLE, "defined"),
    (create(DEFINED, SECOND, options={"define": ("b", True)}), error("Exists"), DEFINED, IDLE, '"alternate"'),
    (create(BROKEN, options={"define": ("b", True)}), error("Exists"), str(file_of(IDLE, BROKEN))),
    (create(CREATING), error("Exists"), CREATING, STUCK_CREATING, "creating"),
    (create(STARTING), error("Exists"), STARTING, STUCK_CREATING, "creating"),
    (create(REMOVING), error("Exists"), REMOVING, STUCK_REMOVING, "removing"),
    (create_json(uuid=ACTIVE), error("Exists"), ACTIVE, IDLE, "active"),
    (create_json(uuid=CREATING), error("Exists"), CREATING, "creating"),
    (create_json(uuid=DEFINED, options={"define": ("b", True)}), error("Exists"), DEFINED, IDLE),
    (start(BOTH), error("Exists"), BOTH, IDLE, "active"),
    (start(STARTING), error("Exists"), STARTING, "creating"),
    # what is under way
    (define(CREATING), error("TryAgain"), CREATING, STUCK_CREATING, "being created"),
    (define(REMOVING), error("TryAgain"), REMOVING, STUCK_REMOVING, "being removed"),
    (define_json(uuid=CREATING), error("TryAgain"), CREATING, "being created"),
    (modify(STARTING), error("TryAgain"), STARTING, "being created"),
    (undefine(STARTING), error("TryAgain"), STARTING, "being created"),
    (undefine(REMOVING), error("TryAgain"), REMOVING, "being removed"),
    (stop(CREATING), error("TryAgain"), CREATING, "being created"),
    (stop(STARTING, {"wait-for-release": ("b", True)}), error("TryAgain"), STARTING, "being created"),
    (stop(REMOVING), error("TryAgain"), REMOVING, "being removed"),
    (stop(IN_USE), error("InUse"), IN_USE, USED, "(hold)", "wait-for-release"),
    (stop(IN_USE, {"force": ("b", True)}), error("InUse"), IN_USE, "(hold)"),
    # what is not running, or not defined
    (stop(DEFINED), error("NotActive"), DEFINED, IDLE),
    (stop(TWICE), error("NotActive"), TWICE),
    (start(ACTIVE), error("Exists"), ACTIVE, "active"),
    (start(CREATING), error("Exists"), CREATING, "creating"),
    (modify(ACTIVE), error("NotFound"), ACTIVE, "no definition"),
    (modify(CREATING), error("TryAgain"), CREATING, "being created"),
    (undefine(ACTIVE), error("NotFound"), ACTIVE, "no definition"),
    (start(DEFINED, SECOND), error("NotFound"), DEFINED, SECOND, "no definition"),
    (modify(DEFINED, SECOND), error("NotFound"), DEFINED, SECOND, "no definition"),
    (undefine(DEFINED, SECOND), error("NotFound"), DEFINED, SECOND, "no definition"),
    (start(BROKEN), error("NotFound"), BROKEN),
    (modify(BROKEN), error("NotFound"), BROKEN),
    # several
    (start(TWICE), error("Ambiguous"), TWICE, IDLE, SECOND),
    (modify(TWICE), error("Ambiguous"), TWICE, IDLE, SECOND),
]

NOT_THERE = [
    *[(call, error("NotFound"), FREE) for call in [start(FREE), stop(FREE), undefine(FREE), modify(FREE),
                                                    undefine(FREE, IDLE), start(FREE, IDLE),
                                                    start(FREE, options={"any": ("b", True)}), ("GetDevice", "s", FREE)]],
    (("GetParent", "s", "none"), error("NotFound"), "none", "ListParents"),
    (("ListTypes", "s", "none"), error("NotFound"), "none", "ListParents"),
    (("StartParent", "s", "none"), error("NotFound"), "none", "ListParents"),
    (("ListTypes", "s", ABSENT), error("ParentAbsent"), ABSENT),
    (("StartParent", "s", ABSENT), error("ParentAbsent"), ABSENT),
    (create(parent="none"), error("ParentAbsent"), "none", FREE),
    (create(parent=ABSENT), error("ParentAbsent"), ABSENT, FREE),
    (create(parent="none", options={"define": ("b", True)}), error("ParentAbsent"), "none", FREE),
    (create_json(parent=ABSENT), error("ParentAbsent"), ABSENT, FREE),
    (start(NOWHERE), error("ParentAbsent"), ABSENT, NOWHERE),
    (start(NOWHERE, ABSENT), error("ParentAbsent"), ABSENT, NOWHERE),
    (create(type="mdevsim-none"), error("NoSuchType"), "mdevsim-none", IDLE, FREE),
    (create(type="mdevsim-none", options={"define": ("b", True)}), error("NoSuchType"), "mdevsim-none", IDLE, FREE),
    (create_json(text_of("mdevsim-none")), error("NoSuchType"), "mdevsim-none", IDLE, FREE),
    (start(TYPELESS), error("NoSuchType"), "mdevsim-none", IDLE, TYPELESS),
    (create(parent="", type="mdevsim-none"), error("NoCapacity"), "mdevsim-none", FREE),
    (create_json(text_of("mdevsim-none"), parent=""), error("NoCapacity"), "mdevsim-none", FREE),
    (create(parent=FULL), error("NoCapacity"), FULL, SMALL, FREE, "errno"),
    (create(parent=FULL, options={"define": ("b", True)}), error("NoCapacity"), FULL, SMALL, FREE, "errno"),
    (create_json(parent=FULL), error("NoCapacity"), FULL, SMALL, FREE, "errno"),
    (start(FULL_UP), error("NoCapacity"), FULL, SMALL, FULL_UP, "errno"),
    # what the kernel, or the disk, says
    (create(parent=FAULTY), error("Kernel"), FAULTY, SMALL, FREE, "EREMOTEIO", "errno 121"),
    (create(parent=FAULTY, options={"define": ("b", True)}), error("Kernel"), FAULTY, FREE, "EREMOTEIO"),
    (create_json(parent=FAULTY), error("Kernel"), FAULTY, SMALL, FREE, "EREMOTEIO"),
    (start(FAILING), error("Kernel"), FAULTY, SMALL, FAILING, "EREMOTEIO"),
    (create(attributes=[("log", "x"), ("nosuch", "1")]), error("Attribute"), "Attribute 1", "nosuch", IDLE, FREE,
     "errno 2"),
    (create(attributes=[("enable", "7")]), error("Attribute"), "Attribute 0", "enable", "EINVAL"),
    (create(attributes=[("level", "5")], options={"define": ("b", True)}), error("Attribute"), "level", "EPERM"),
    (create_json(json_of(attrs=[{"matrix": "1"}])), error("Attribute"), "matrix", IDLE, FREE),
    (start(ODD), error("Attribute"), "Attribute 0", "nosuch", IDLE, ODD),
    (define(parent=BLOCKED), error("Store"), f"{DIRECTORY}/{BLOCKED}/{FREE}", "errno"),
    (define_json(parent=BLOCKED), error("Store"), f"{DIRECTORY}/{BLOCKED}/{FREE}", "errno"),
    (create(parent=BLOCKED, options={"define": ("b", True)}), error("Store"), f"{DIRECTORY}/{BLOCKED}/{FREE}", "errno"),
]

BAD = MALFORMED + CONTRADICTORY + TOO_LARGE + WRONG_STATE + NOT_THERE
METHODS = {call[0] for call, *_ in BAD}

# Those with few rows share a scene.
GROUPS = [{method} for method in ("Create", "CreateFromJSON", "Define", "DefineFromJSON", "Modify", "Undefine", "Start",
                                  "Stop")]
GROUPS.append(METHODS.difference(*GROUPS))


@pytest.fixture
def scene(mdevd, clients, parents):
    """Devices in every state that there is, on parents some of which have faults."""
    idle, second, stuck_creating, stuck_removing, used, full, faulty, blocked = parents
    assert [parent.name for parent in parents] == [IDLE, SECOND, STUCK_CREATING, STUCK_REMOVING, USED, FULL, FAULTY,
                                                   BLOCKED]
    mdevd.define(idle, SMALL, DEFINED, [("a", "1"), ("b", "2")])
    mdevd.create(idle, SMALL, ACTIVE)
    mdevd.create(idle, SMALL, BOTH, define=True)
    mdevd.define(idle, SMALL, TWICE)
    mdevd.define(second, SMALL, TWICE, alternate=True)
    mdevd.define(stuck_creating, SMALL, STARTING)
    mdevd.create(stuck_removing, SMALL, REMOVING)
    mdevd.create(used, SMALL, IN_USE)
    mdevd.define(ABSENT, SMALL, NOWHERE)
    mdevd.define(idle, "mdevsim-none", TYPELESS)
    mdevd.define(full, SMALL, FULL_UP)
    mdevd.define(idle, SMALL, ODD, [("nosuch", "1")])
    mdevd.define(faulty, SMALL, FAILING)

    full.limit = 0
    faulty.create_errno = 121
    file_of(idle, BROKEN).write_text("no JSON")
    (DIRECTORY / BLOCKED).write_text("no directory")
    stuck_creating.create_block = 1
    stuck_removing.remove_block = 1
    # Those of a client that nobody asks.
    other = clients()
    other.begin_create(stuck_creating, SMALL, CREATING)
    other.begin_start(STARTING)
    other.begin_stop(REMOVING)
    wait_until(lambda: stuck_creating.creating == 2 and stuck_removing.removing == 1)
    mdevd.rescan()
    # That much is left is asked of the driver, after the files have been read.
    assert mdevd.available_instances(full, SMALL) == 0
    with held(IN_USE):
        yield mdevd


def picture(client):
    """All that a bad call must leave alone."""
    objects = client.managed_objects()
    for interfaces in objects.values():
        # That something was tried and failed is to be seen.
        interfaces.get(DEVICE, {}).pop("LastError", None)
    contents = [(path, path.stat().st_ino, path.stat().st_mtime_ns, path.read_text()) for path in files()]
    return {"rows": client.devices(), "objects": objects, "files": contents, "sysfs": sysfs.devices()}


def differences(before, after, place=()):
    """Where two pictures differ, in words."""
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from differences(before.get(key), after.get(key), (*place, key))
    else:
        yield f"{' '.join(place)} was {before!r} and is {after!r}"


def complaints(failure, name, words):
    """What is wrong with the answer to a bad call."""
    if failure.name != name:
        yield f"it is not {name}"
    for word in words:
        if word not in failure.sentence:
            yield f"there is no word of {word!r}"
    if len(failure.sentence) <= 20:
        yield "it is no sentence"


@pytest.mark.parametrize("methods", GROUPS, ids=lambda methods: next(iter(methods)) if len(methods) == 1 else "others")
def test_bad_calls(scene, methods):
    rows = [row for row in BAD if row[0][0] in methods]
    troubles = []
    before = picture(scene)
    for call, name, *words in rows:
        failure = scene.begin_manager(*call).failure()
        after = picture(scene)
        found = [*complaints(failure, name, words), *differences(before, after)]
        if found:
            troubles.append("\n    ".join([f"{call!r:.300}", f"{failure!s:.500}", *found]))
        before = after
    if troubles:
        pytest.fail(f"{len(troubles)} of {len(rows)} bad calls:\n" + "\n".join(troubles), pytrace=False)


def test_the_table_is_whole():
    assert len(BAD) >= 150
    assert len({repr(call) for call, *_ in BAD}) == len(BAD), "a row is there twice"
    assert METHODS >= {"Define", "DefineFromJSON", "Modify", "Undefine", "Start", "Create", "CreateFromJSON", "Stop",
                            "StartParent", "GetDevice", "GetParent", "ListDevices", "ListTypes", "Rescan"}


# A file that somebody took away, or made something else of, while mdevd was not looking

@pytest.mark.parametrize("change", ["gone", "broken"])
def test_modify_of_a_file_that_is_not_what_it_was(mdevd, parent, change):
    uuid = mdevd.define(parent, SMALL)
    path = file_of(parent, uuid)
    if change == "gone":
        path.unlink()
    else:
        path.write_text("{")

    failure = mdevd.begin_modify(uuid, type=LARGE).failure()

    # What came of the file may have been seen already.
    assert failure.name in {error("NotFound"), error("NotFound" if change == "gone" else "InvalidDefinition")}
    assert uuid in failure.sentence or str(path) in failure.sentence
    assert [p.read_text() for p in files()] == ([] if change == "gone" else ["{"])


def test_attributes_beyond_the_limit_one_by_one(mdevd, parent):
    uuid = mdevd.define(parent, SMALL, attributes=[("log", "v")] * 1024)
    before = file_of(parent, uuid).read_text()

    failure = mdevd.begin_modify(uuid, add_attribute=("(uss)", (END, "log", "v"))).failure()

    assert failure.name == error("LimitsExceeded") and "1024" in failure.sentence
    assert file_of(parent, uuid).read_text() == before


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
