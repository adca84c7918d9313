# SPDX-License-Identifier: LGPL-2.1-or-later
"""libvirt as the proof: unmodified, two of its releases, with our command line in mdevctl's place. After each step what
it says of all devices is what mdevd says."""

import json
import time

import pytest

import definitions
import mdevsim
import sysfs
from definitions import file_of, text_of
from guest import held, new_uuid, wait_until
from mdevsim import LARGE, NOGROUP, SMALL
from virsh import RELEASES, Libvirt, View, VirshError, node_name, xml_of

# It looks 100 ms after a change, up to three times for each, and each time takes as long as it takes to start a process
# or two.
AGREEMENT = 60

ATTRIBUTES = [("enable", "1"), ("assign", "5"), ("assign", "6")]


@pytest.fixture(scope="module", autouse=True)
def directories():
    """A parent's directory stays, as it does with mdevctl and with mdevd. libvirt watches each one that is made, and
    never ends that: with every time that one is removed and made again, it asks for its lists twice as often after a
    change in it, and after the fifth time sixty times."""
    definitions.kept |= {definitions.DIRECTORY / parent.name for parent in mdevsim.parents()}
    for directory in definitions.kept:
        directory.mkdir(exist_ok=True)
    yield
    definitions.kept.clear()
    definitions.remove_definitions()


@pytest.fixture(scope="module", params=RELEASES)
def daemon(request, directories):
    """libvirt, started once for all cases of a release."""
    libvirt = Libvirt(request.param)
    libvirt.start()
    yield libvirt
    libvirt.stop()


@pytest.fixture
def libvirt(daemon):
    return daemon


@pytest.fixture
def agreed(libvirt, mdevd, parents):
    """A function that waits until libvirt and mdevd have the same devices, UUIDs and Views; until now there are none.

    libvirt learns of changes by udev and by watching the definitions' directory, and asks for its lists a moment later.
    What it was told to do itself it believes at once; but a list that it asked for before that and gets after it, it
    believes too, until the next one. So each time there is one more change, and when it has seen that, it has a list
    that is newer than all that was done before."""
    parent = parents[-1]
    changing = mdevd.define(parent, NOGROUP)
    name = node_name(changing, parent)
    n = 0

    def agreed(expected):
        nonlocal n
        n += 1
        attributes = [("log", str(n))]
        mdevd.modify(changing, attributes=("a(ss)", attributes))
        expected = {**expected, changing: defined(parent, NOGROUP, attributes=attributes)}
        assert view(mdevd) == expected
        deadline = time.monotonic() + AGREEMENT
        # Asking for everything takes libvirt longer than to become ready to answer.
        while (seen := libvirt.attributes(name)) != attributes or (seen := libvirt.view()) != expected:
            if time.monotonic() > deadline:
                assert seen == expected
            time.sleep(0.2)
        assert view(mdevd) == expected

    agreed({})
    return agreed


def view(mdevd):
    """What mdevd says, in the words that are libvirt's."""
    return {row.uuid: View(row.parent, row.type, row.active, row.defined, row.autostart,
                           [tuple(pair) for pair in row.attributes] if row.defined else [])
            for row in mdevd.devices()}


def defined(parent, type=SMALL, active=False, autostart=False, attributes=()):
    return View(parent.name, type, active, True, autostart, list(attributes))


def transient(parent, type=SMALL):
    return View(parent.name, type, True, False, False, [])


# A device's life


def test_a_defined_device_is_started_marked_stopped_and_undefined(libvirt, agreed, parent):
    uuid = new_uuid()
    name = libvirt.define(xml_of(parent, SMALL, uuid, ATTRIBUTES))
    assert name == node_name(uuid, parent)
    assert json.loads(file_of(parent, uuid).read_text())["attrs"] == [{key: value} for key, value in ATTRIBUTES]
    agreed({uuid: defined(parent, attributes=ATTRIBUTES)})

    libvirt.virsh(f"nodedev-start {name}")
    assert sysfs.type_of(uuid) == SMALL
    assert [line.split()[2:] for line in parent.history() if line.startswith("write ")] == [
        [key, "0", value] for key, value in ATTRIBUTES]
    agreed({uuid: defined(parent, active=True, attributes=ATTRIBUTES)})

    libvirt.virsh(f"nodedev-autostart {name}")
    assert json.loads(file_of(parent, uuid).read_text())["start"] == "auto"
    agreed({uuid: defined(parent, active=True, autostart=True, attributes=ATTRIBUTES)})
    libvirt.virsh(f"nodedev-autostart {name} --disable")
    agreed({uuid: defined(parent, active=True, attributes=ATTRIBUTES)})

    libvirt.virsh(f"nodedev-destroy {name}")
    assert sysfs.devices() == set()
    agreed({uuid: defined(parent, attributes=ATTRIBUTES)})

    libvirt.virsh(f"nodedev-undefine {name}")
    assert not file_of(parent, uuid).exists()
    agreed({})


def test_without_a_uuid_it_takes_the_one_that_it_is_told(libvirt, agreed, mdevd, parent):
    name = libvirt.define(xml_of(parent, LARGE))
    created = libvirt.create(xml_of(parent, SMALL))
    uuids = {row.defined: row.uuid for row in mdevd.devices() if row.parent == parent.name}
    assert name == node_name(uuids[True], parent)
    assert created == node_name(uuids[False], parent)
    agreed({uuids[True]: defined(parent, LARGE), uuids[False]: transient(parent)})


def test_a_transient_device_is_gone_when_it_is_destroyed(libvirt, agreed, parent):
    uuid = new_uuid()
    name = libvirt.create(xml_of(parent, SMALL, uuid, ATTRIBUTES))
    assert name == node_name(uuid, parent)
    assert not file_of(parent, uuid).exists()
    assert [line.split()[2:] for line in parent.history() if line.startswith("write ")] == [
        [key, "0", value] for key, value in ATTRIBUTES]
    agreed({uuid: transient(parent)})
    libvirt.virsh(f"nodedev-destroy {name}")
    agreed({})


@pytest.mark.parametrize("daemon", ["11.3"], indirect=True)
def test_a_definition_is_updated(libvirt, agreed, parent):
    uuid = new_uuid()
    name = libvirt.define(xml_of(parent, SMALL, uuid, ATTRIBUTES))
    agreed({uuid: defined(parent, attributes=ATTRIBUTES)})
    libvirt.virsh(f"nodedev-autostart {name}")
    agreed({uuid: defined(parent, autostart=True, attributes=ATTRIBUTES)})
    # libvirt has no word for it in its XML: a definition that is written anew is one that is started by hand.
    libvirt.virsh(f"nodedev-update {name} --config --file", xml_of(parent, SMALL, uuid, ATTRIBUTES[:1]))
    agreed({uuid: defined(parent, attributes=ATTRIBUTES[:1])})
    libvirt.define(xml_of(parent, LARGE, uuid))
    agreed({uuid: defined(parent, LARGE)})


@pytest.mark.parametrize("daemon", ["11.3"], indirect=True)
def test_an_active_device_is_updated(libvirt, agreed, mdevd, parent, scripts):
    """By a script, where there is one that can."""
    uuid = new_uuid()
    mdevd.define(parent, SMALL, uuid)
    # Seen where the machine was busy: a device that comes while libvirt reads its definition stays inactive to it.
    agreed({uuid: defined(parent)})
    mdevd.start(uuid)
    agreed({uuid: defined(parent, active=True)})
    update = f"nodedev-update {node_name(uuid, parent)} --live --config --file"
    xml = xml_of(parent, SMALL, uuid, [("log", "new")])
    with pytest.raises(VirshError, match="No call-out script"):
        libvirt.virsh(update, xml)
    assert file_of(parent, uuid).read_text() == text_of(SMALL)

    scripts.add_versioned("script", 'cat >"$1"')
    libvirt.virsh(update, xml)
    assert "script live modify none df" in scripts.take(uuid)
    assert json.loads(scripts.text("live"))["attrs"] == [{"log": "new"}]
    agreed({uuid: defined(parent, active=True, attributes=[("log", "new")])})


# What goes wrong


@pytest.mark.parametrize("daemon", ["9.0"], indirect=True)
def test_a_second_definition_of_a_device_is_refused(libvirt, agreed, mdevd, parent):
    uuid = new_uuid()
    mdevd.define(parent, SMALL, uuid)
    content = file_of(parent, uuid).read_bytes()
    with pytest.raises(VirshError, match="is defined on parent"):
        libvirt.define(xml_of(parent, LARGE, uuid))
    assert file_of(parent, uuid).read_bytes() == content
    agreed({uuid: defined(parent)})


def test_what_the_driver_refuses_is_told_in_its_words(libvirt, agreed, parent):
    uuid = new_uuid()
    name = libvirt.define(xml_of(parent, SMALL, uuid))
    agreed({uuid: defined(parent)})
    parent.create_errno = 28
    with pytest.raises(VirshError, match="No space left on device"):
        libvirt.virsh(f"nodedev-start {name}")
    with pytest.raises(VirshError, match="No space left on device"):
        libvirt.create(xml_of(parent, SMALL))
    agreed({uuid: defined(parent)})
    parent.create_errno = 0
    libvirt.virsh(f"nodedev-start {name}")
    agreed({uuid: defined(parent, active=True)})


@pytest.mark.parametrize("how", ["device", "group"])
def test_a_device_that_another_has_open_is_in_use(libvirt, agreed, mdevd, parent, how):
    uuid = new_uuid()
    mdevd.define(parent, SMALL, uuid)
    mdevd.start(uuid)
    agreed({uuid: defined(parent, active=True)})
    name = node_name(uuid, parent)
    with held(uuid, how):
        with pytest.raises(VirshError, match="in use"):
            libvirt.virsh(f"nodedev-destroy {name}")
        # Nobody waits for the device, and it stays what it is.
        assert parent.removing == 0
        agreed({uuid: defined(parent, active=True)})
    libvirt.virsh(f"nodedev-destroy {name}")
    agreed({uuid: defined(parent)})


def test_a_file_that_is_none_hides_no_other(libvirt, agreed, mdevd, parent, other_parent):
    uuid, corrupt, empty = new_uuid(), new_uuid(), new_uuid()
    mdevd.define(parent, SMALL, uuid)
    file_of(parent, corrupt).write_text('{"mdev_type": "mdevsim-small", "sta')
    file_of(other_parent, empty).write_text("")
    agreed({uuid: defined(parent)})
    # With a list that failed when it starts, it would never hear of a device again.
    libvirt.restart()
    agreed({uuid: defined(parent)})
    libvirt.virsh(f"nodedev-start {node_name(uuid, parent)}")
    agreed({uuid: defined(parent, active=True)})
    file_of(parent, corrupt).write_text(text_of(LARGE, "auto"))
    mdevd.rescan()
    agreed({uuid: defined(parent, active=True), corrupt: defined(parent, LARGE, autostart=True)})


# What others do


def test_it_hears_of_what_others_do(libvirt, agreed, mdevd, parent, other_parent):
    uuid, foreign = new_uuid(), new_uuid()
    mdevd.define(parent, SMALL, uuid, [("assign", "5")])
    agreed({uuid: defined(parent, attributes=[("assign", "5")])})
    mdevd.start(uuid)
    sysfs.create(other_parent, SMALL, foreign)
    wait_until(lambda: mdevd.device(foreign))
    agreed({uuid: defined(parent, active=True, attributes=[("assign", "5")]), foreign: transient(other_parent)})
    libvirt.virsh(f"nodedev-destroy {node_name(foreign, other_parent)}")
    mdevd.modify(uuid, autostart=True)
    agreed({uuid: defined(parent, active=True, autostart=True, attributes=[("assign", "5")])})
    mdevd.undefine(uuid)
    agreed({uuid: transient(parent)})
    mdevd.stop(uuid)
    agreed({})


def test_two_hundred_definitions(libvirt, mdevd, parents):
    """They are there when libvirt starts: it asks for its lists once for each file that is written."""
    libvirt.stop()
    uuids = {new_uuid(): parents[number % len(parents)] for number in range(200)}
    for uuid, parent in uuids.items():
        file_of(parent, uuid).write_text(text_of(SMALL, attributes=ATTRIBUTES))
    mdevd.rescan()
    assert {row.uuid for row in mdevd.devices()} == set(uuids)
    libvirt.start()
    names = {node_name(uuid, parent) for uuid, parent in uuids.items()}
    assert set(libvirt.names("--inactive")) == set(libvirt.names("--all")) == names

    # To ask for everything about each of them takes longer than the rest of the case.
    uuid, parent = next(iter(uuids.items()))
    name = node_name(uuid, parent)
    libvirt.virsh(f"nodedev-start {name}")
    active = {uuid: defined(parent, active=True, attributes=ATTRIBUTES)}
    wait_until(lambda: libvirt.view([name]) == active, timeout=AGREEMENT)
    assert libvirt.names() == [name]
    libvirt.virsh(f"nodedev-destroy {name}")
    libvirt.virsh(f"nodedev-undefine {name}")
    wait_until(lambda: set(libvirt.names("--all")) == names - {name}, timeout=AGREEMENT)
    assert {row.uuid for row in mdevd.devices()} == set(uuids) - {uuid}

    definitions.remove_definitions()
    wait_until(lambda: not libvirt.names("--all"), timeout=AGREEMENT)
