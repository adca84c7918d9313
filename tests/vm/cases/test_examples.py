# SPDX-License-Identifier: LGPL-2.1-or-later
"""The example clients, with real devices: what they leave behind is what they are there for."""

import contextlib
import json
import os
import pwd
import selectors
import subprocess
import time
from pathlib import Path

import pytest

import bus
import sysfs
from definitions import file_of, files
from guest import new_uuid, wait_until
from mdevsim import LARGE, SMALL

SOURCE = Path(__file__).resolve().parents[3]
EXAMPLES = SOURCE / "api/examples"
RULE = SOURCE / "policy/examples/60-mdevd-one-parent.rules"
PATIENCE = 60
INTERACTIVE = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"


def run(example, *words):
    return subprocess.run([EXAMPLES / example, *words], capture_output=True, text=True, timeout=PATIENCE)


def printed(done):
    """The UUIDs, if all went well."""
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


# create-define-autostart.sh

def test_a_device_for_good(mdevd, parent):
    (uuid,) = printed(run("create-define-autostart.sh", parent.name, SMALL))

    assert sysfs.parent_of(uuid) == parent.name and sysfs.type_of(uuid) == SMALL
    assert json.loads(file_of(parent, uuid).read_text()) == {"mdev_type": SMALL, "start": "auto", "attrs": []}
    row = mdevd.device(uuid)
    assert row.active and row.defined and row.autostart

    # And that is what it was for.
    mdevd.stop(uuid)
    assert mdevd.start_parent(parent) == {}
    assert sysfs.devices() == {uuid}


def test_a_device_with_a_uuid_wherever_there_is_most_room(mdevd, parents):
    roomy = parents[3]
    uuid = new_uuid()
    for parent in parents:
        parent.limit = 20 if parent == roomy else 4
    mdevd.begin_manager("ListTypes", "s", "").result()

    assert printed(run("create-define-autostart.sh", "", LARGE, uuid)) == [uuid]
    assert sysfs.parent_of(uuid) == roomy.name and files() == [file_of(roomy, uuid)]


def test_a_device_that_cannot_be_leaves_nothing_behind(mdevd, parent):
    parent.create_errno = 5
    done = run("create-define-autostart.sh", parent.name, SMALL)
    assert done.returncode != 0 and done.stdout == "" and "Input/output error" in done.stderr
    assert sysfs.devices() == set() and files() == [] and mdevd.devices() == []


# fill-parent.sh

def test_a_parent_is_filled(mdevd, parent, other_parent):
    parent.limit = 5
    mdevd.create(parent, SMALL)
    there = mdevd.create(other_parent, SMALL)

    uuids = printed(run("fill-parent.sh", parent.name, SMALL))
    assert len(set(uuids)) == 4 and set(uuids) <= sysfs.devices()
    assert {sysfs.type_of(uuid) for uuid in uuids} == {SMALL}
    assert parent.available_instances(SMALL) == 0 and len(sysfs.devices()) == 6
    assert sysfs.parent_of(there) == other_parent.name and files() == []

    assert printed(run("fill-parent.sh", parent.name, SMALL)) == []
    assert mdevd.begin_create(parent, SMALL).failure().name == bus.error("NoCapacity")


def test_one_that_fails_does_not_keep_the_others_from_being_made(mdevd, parent):
    parent.limit = 4
    parent.create_errno, parent.create_errno_count = 5, 1
    done = run("fill-parent.sh", parent.name, SMALL)
    assert done.returncode == 1 and "Input/output error" in done.stderr
    assert set(done.stdout.split()) == sysfs.devices() and len(sysfs.devices()) == 3


# watch-capacity.py

class Watch:
    """What it prints, as long as the block lasts."""

    def __enter__(self):
        self.process = subprocess.Popen([EXAMPLES / "watch-capacity.py"], stdout=subprocess.PIPE)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.text = ""
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()

    def wait_for(self, *lines):
        """All of these, in whatever order; and forget what there was."""
        deadline = time.monotonic() + PATIENCE
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while not set(lines) <= set(self.text.splitlines()):
                assert selector.select(max(0, deadline - time.monotonic())), f"no {lines} in {self.text!r}"
                self.text += self.process.stdout.read().decode()
        self.text = ""


def test_capacity_is_watched(mdevd, parents):
    parent = parents[0]
    path = mdevd.begin_manager("GetParent", "s", parent.name).result()
    paths = [mdevd.begin_manager("GetParent", "s", p.name).result() for p in parents]
    with Watch() as watch:
        watch.wait_for(*(f"{p} {SMALL} 8" for p in paths))
        uuid = mdevd.create(parent, SMALL)
        watch.wait_for(f"{path} {SMALL} 7")
        sysfs.create(parent, SMALL, other := new_uuid())
        watch.wait_for(f"{path} {SMALL} 6")
        sysfs.remove(other)
        mdevd.stop(uuid)
        watch.wait_for(f"{path} {SMALL} 8")

        parent.registered = 0
        wait_until(lambda: path not in mdevd.managed_objects())
        parent.limit = 3
        parent.registered = 1
        watch.wait_for(f"{path} {SMALL} 3")


# The rule in policy/examples

@pytest.fixture
def user():
    with bus.as_user(pwd.getpwnam("tester").pw_uid):
        client = bus.Mdevd()
    with client:
        yield client


@contextlib.contextmanager
def example_rule(user, parent):
    """As it is, but for the names in it; polkit takes it in when it gets round to it."""
    text = RULE.read_text()
    for name, other in (("0000:3b:00.0", parent.name), ("gpu", "tester")):
        assert f'== "{name}"' in text
        text = text.replace(f'== "{name}"', f'== "{other}"')
    place = Path("/etc/polkit-1/rules.d", RULE.name)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    try:
        wait_until(lambda: is_allowed(user.begin_create(parent, SMALL)), timeout=30)
        yield
    finally:
        place.unlink()
        wait_until(lambda: not is_allowed(user.begin_create(parent, SMALL)), timeout=30)


def is_allowed(call):
    try:
        return call.result()
    except bus.BusError as failure:
        assert failure.name == INTERACTIVE
        return False


def test_a_user_has_one_card(mdevd, user, parents):
    mine, other = parents[:2]
    theirs = mdevd.create(other, SMALL)
    defined = mdevd.define(mine, LARGE), mdevd.define(other, LARGE)
    with example_rule(user, mine):
        (uuid,) = sysfs.devices() - {theirs}
        user.stop(uuid)
        user.start(defined[0])
        for call in (user.begin_create(other, SMALL), user.begin_start(defined[1]), user.begin_stop(theirs),
                     user.begin_define(mine, SMALL), user.begin_undefine(defined[0])):
            assert not is_allowed(call)
        assert sysfs.devices() == {theirs, defined[0]}
