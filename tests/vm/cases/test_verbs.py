# SPDX-License-Identifier: LGPL-2.1-or-later
"""The verbs' options, and those verbs that are not in the other files."""

import json

import pytest

import sysfs
from bus import INVALID_ARGS, error
from definitions import file_of, files, text_of
from guest import new_uuid, wait_until
from mdevsim import LARGE, SMALL

END = 4294967295


def file_text(parent, uuid):
    return file_of(parent, uuid).read_text()


# Modify

def test_modify_type_and_autostart(mdevd, parent):
    uuid = mdevd.define(parent, SMALL, attributes=[("log", "x")])

    mdevd.modify(uuid, type=LARGE, autostart=True)

    assert file_text(parent, uuid) == text_of(LARGE, "auto", [("log", "x")])
    row = mdevd.device(uuid)
    assert (row.type, row.autostart) == (LARGE, True)


@pytest.mark.parametrize("changes, expected", [
    ({"attributes": ("a(ss)", [("q", "9")])}, [("q", "9")]),
    ({"attributes": ("a(ss)", [])}, []),
    ({"add_attribute": ("(uss)", (0, "q", "9"))}, [("q", "9"), ("a", "1"), ("b", "2")]),
    ({"add_attribute": ("(uss)", (1, "q", "9"))}, [("a", "1"), ("q", "9"), ("b", "2")]),
    ({"add_attribute": ("(uss)", (2, "q", "9"))}, [("a", "1"), ("b", "2"), ("q", "9")]),
    ({"add_attribute": ("(uss)", (END, "q", "9"))}, [("a", "1"), ("b", "2"), ("q", "9")]),
    ({"remove_attribute": ("u", 0)}, [("b", "2")]),
    ({"remove_attribute": ("u", END)}, [("a", "1")]),
    ({"remove_attribute": ("u", 0), "add_attribute": ("(uss)", (0, "a", "3"))}, [("a", "3"), ("b", "2")]),
])
def test_modify_attributes(mdevd, parent, changes, expected):
    uuid = mdevd.define(parent, SMALL, attributes=[("a", "1"), ("b", "2")])

    mdevd.modify(uuid, **changes)

    assert file_text(parent, uuid) == text_of(SMALL, attributes=expected)
    assert mdevd.device(uuid).attributes == expected


def test_modify_keeps_keys_of_others(mdevd, parent):
    uuid = new_uuid()
    file_of(parent, uuid).parent.mkdir()
    file_of(parent, uuid).write_text('{"mdev_type": "x", "start": "auto", "owner": {"name": "me", "n": [1, 2]}}')
    mdevd.rescan()

    mdevd.modify(uuid, autostart=False)

    content = json.loads(file_text(parent, uuid))
    assert content == {"mdev_type": "x", "start": "manual", "attrs": [], "owner": {"name": "me", "n": [1, 2]}}


def test_modify_changes_what_the_file_says_now(mdevd, parent):
    uuid = mdevd.define(parent, SMALL)
    file_of(parent, uuid).write_text(text_of(SMALL, attributes=[("by", "hand")]))

    mdevd.modify(uuid, autostart=True)

    assert file_text(parent, uuid) == text_of(SMALL, "auto", [("by", "hand")])
    assert mdevd.device(uuid).attributes == [("by", "hand")]


def test_modify_by_json(mdevd, parent):
    uuid = mdevd.define(parent, SMALL, attributes=[("a", "1")], autostart=True)

    mdevd.modify(uuid, json=json.dumps({"mdev_type": LARGE, "start": "manual", "mine": 5}))

    assert json.loads(file_text(parent, uuid)) == {"mdev_type": LARGE, "start": "manual", "attrs": [], "mine": 5}
    assert mdevd.device(uuid).type == LARGE


def test_modify_leaves_the_device_alone(mdevd, parent):
    uuid = mdevd.define(parent, SMALL)
    mdevd.start(uuid)

    mdevd.modify(uuid, type=LARGE)

    assert sysfs.type_of(uuid) == SMALL
    assert mdevd.device(uuid).active


@pytest.mark.parametrize("changes, words", [
    ({}, "nothing"),
    ({"colour": "blue"}, "colour"),
    ({"type": "a/b"}, "a/b"),
    ({"type": ""}, "type"),
    ({"type": True}, "string"),
    ({"attributes": ("a(ss)", [("../x", "1")])}, "../x"),
    ({"add_attribute": ("(uss)", (3, "q", "9"))}, "3"),
    ({"add_attribute": ("(uss)", (0, "remove", "9"))}, "remove"),
    ({"remove_attribute": ("u", 2)}, "2"),
    ({"json": "{"}, "line 1"),
    ({"json": "{}", "type": SMALL}, "json"),
])
def test_modify_that_makes_no_sense(mdevd, parent, changes, words):
    uuid = mdevd.define(parent, SMALL, attributes=[("a", "1"), ("b", "2")])
    before = file_text(parent, uuid)

    failure = mdevd.begin_modify(uuid, **changes).failure()

    assert failure.name in (INVALID_ARGS, error("InvalidDefinition")) and words in failure.sentence
    assert file_text(parent, uuid) == before and len(files()) == 1


def test_modify_of_several(mdevd, parents):
    uuid = mdevd.define(parents[0], SMALL)
    mdevd.define(parents[1], SMALL, uuid, alternate=True)

    assert mdevd.begin_modify(uuid, type=LARGE).failure().name == error("Ambiguous")
    mdevd.modify(uuid, parents[1], type=LARGE)
    assert file_text(parents[0], uuid) == text_of(SMALL) and file_text(parents[1], uuid) == text_of(LARGE)


def test_modify_of_nothing(mdevd, parent):
    assert mdevd.begin_modify(new_uuid(), type=LARGE).failure().name == error("NotFound")
    uuid = mdevd.create(parent, SMALL)
    assert mdevd.begin_modify(uuid, type=LARGE).failure().name == error("NotFound")


# JSON

def test_define_from_json(mdevd, parent):
    uuid, _ = mdevd.begin_define_from_json(parent, json.dumps(
        {"mdev_type": SMALL, "start": "auto", "attrs": [{"log": "a"}, {"log": "b"}], "note": "kept"})).result()

    assert json.loads(file_text(parent, uuid)) == {
        "mdev_type": SMALL, "start": "auto", "attrs": [{"log": "a"}, {"log": "b"}], "note": "kept"}
    assert mdevd.device(uuid).autostart


def test_create_from_json(mdevd, parent):
    text = json.dumps({"mdev_type": SMALL, "start": "manual", "attrs": [{"log": "a"}]})
    uuid, _ = mdevd.begin_create_from_json(parent, text).result()

    assert sysfs.DEVICES.joinpath(uuid, "log").read_text() == "a\n"
    assert files() == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"mdev_type": 5, "start": "auto"}', '{"mdev_type": "x"}',
                                  '{"mdev_type": "x", "start": "auto", "attrs": {}}', "{}x", "x" * 600_000])
def test_json_that_is_no_definition(mdevd, parent, text):
    for begin in (mdevd.begin_define_from_json, mdevd.begin_create_from_json):
        assert begin(parent, text).failure().name == error("InvalidDefinition")
    assert files() == [] and mdevd.devices() == []


# Create and define in one

def test_create_define_autostart_in_one_call(mdevd, parent):
    uuid = mdevd.create(parent, SMALL, attributes=[("log", "x")], define=True, autostart=True)

    assert file_text(parent, uuid) == text_of(SMALL, "auto", [("log", "x")])
    row = mdevd.device(uuid)
    assert row.active and row.defined and row.autostart


def test_create_and_define_is_all_or_nothing(mdevd, parent):
    uuid = new_uuid()
    parent.attr_errno = 5
    assert mdevd.begin_create(parent, SMALL, uuid, [("fail", "x")], define=True).failure().name == error("Attribute")
    assert files() == [] and sysfs.devices() == set()

    file_of(parent, uuid).parent.mkdir(exist_ok=True)
    file_of(parent, uuid).write_text("not JSON")
    assert mdevd.begin_create(parent, SMALL, uuid, define=True).failure().name == error("Exists")
    assert sysfs.devices() == set() and file_text(parent, uuid) == "not JSON"


def test_create_of_what_is_defined_elsewhere(mdevd, parents):
    uuid = mdevd.define(parents[0], SMALL)

    assert mdevd.begin_create(parents[1], SMALL, uuid, define=True).failure().name == error("Exists")
    mdevd.create(parents[1], SMALL, uuid, define=True, alternate=True)
    assert len(files()) == 2


# exist-ok

def test_exist_ok(mdevd, parents):
    uuid = mdevd.create(parents[0], SMALL)

    assert mdevd.create(parents[0], SMALL, uuid, exist_ok=True) == uuid
    assert mdevd.create("", SMALL, uuid, exist_ok=True) == uuid
    assert mdevd.begin_create(parents[0], LARGE, uuid, exist_ok=True).failure().name == error("Exists")
    assert mdevd.begin_create(parents[1], SMALL, uuid, exist_ok=True).failure().name == error("Exists")
    assert parents[0].creates == 1

    defined = mdevd.define(parents[0], SMALL)
    mdevd.start(defined)
    assert mdevd.begin_start(defined).failure().name == error("Exists")
    mdevd.start(defined, exist_ok=True)


# Several definitions

def test_start_any(mdevd, parents):
    uuid = mdevd.define("0000:00:01.0", SMALL)
    mdevd.define(parents[1], SMALL, uuid, alternate=True)

    assert mdevd.begin_start(uuid).failure().name == error("Ambiguous")
    mdevd.start(uuid, any=True)
    assert sysfs.parent_of(uuid) == parents[1].name


# StartParent

def test_start_parent(mdevd, parents):
    auto = {mdevd.define(parents[0], SMALL, autostart=True) for _ in range(3)}
    manual = mdevd.define(parents[0], SMALL)
    elsewhere = mdevd.define(parents[1], SMALL, autostart=True)
    bad = mdevd.define(parents[0], "mdevsim-none", autostart=True)

    failures = mdevd.start_parent(parents[0])

    assert set(failures) == {bad} and "mdevsim-none" in failures[bad]
    assert sysfs.devices() == auto
    assert set(mdevd.start_parent(parents[0])) == {bad}
    assert manual not in sysfs.devices() and elsewhere not in sysfs.devices()
    assert mdevd.start_parent(parents[2]) == {}


def test_start_parent_is_parallel(mdevd, parent):
    for _ in range(6):
        mdevd.define(parent, SMALL, autostart=True)
    parent.create_block = 1
    call = mdevd.begin_manager("StartParent", "s", parent.name)
    wait_until(lambda: parent.creating == 6)
    parent.create_block = 0
    assert call.result() == []


def test_start_parent_that_is_not_there(mdevd):
    assert mdevd.begin_manager("StartParent", "s", "none").failure().name == error("NotFound")
    mdevd.define("0000:ff:00.0", SMALL, autostart=True)
    assert mdevd.begin_manager("StartParent", "s", "0000:ff:00.0").failure().name == error("ParentAbsent")


# Filters

def test_filters(mdevd, parents):
    active = mdevd.create(parents[0], SMALL)
    defined = mdevd.define(parents[1], LARGE)
    both = mdevd.define(parents[1], SMALL)
    mdevd.start(both)

    def found(**filters):
        return {row.uuid for row in mdevd.devices(**filters)}

    assert found() == {active, defined, both}
    assert found(active=True) == {active, both} and found(active=False) == {defined}
    assert found(defined=True) == {defined, both} and found(defined=False) == {active}
    assert found(state="active") == {active, both} and found(state="orphaned") == set()
    assert found(parent=parents[1].name) == {defined, both} and found(type=SMALL) == {active, both}
    assert found(uuid=both.upper()) == {both} and found(uuid=new_uuid()) == set()
    assert found(active=True, defined=True, type=SMALL, parent=parents[1].name) == {both}
