# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who may: all may read, root may do anything, and for the others polkit decides, knowing what it is about."""

import contextlib
import pwd
from pathlib import Path

import pytest

import bus
import sysfs
from bus import error
from definitions import files
from guest import new_uuid, wait_until
from mdevsim import LARGE, SMALL

RULES = Path("/etc/polkit-1/rules.d/10-test.rules")
INTERACTIVE = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"


@pytest.fixture
def user():
    """A client that is an ordinary user's."""
    with bus.as_user(pwd.getpwnam("tester").pw_uid):
        client = bus.Mdevd()
    with client:
        yield client


def probe_rule(client):
    """polkit takes in changed rules when it gets round to it; this action is only for finding out that it has."""
    return client.begin_manager("Rescan").failure


@contextlib.contextmanager
def polkit_rule(user, condition):
    """A rule that lets the user do what CONDITION, in polkit's JavaScript, says; in force inside the block."""
    RULES.parent.mkdir(parents=True, exist_ok=True)
    RULES.write_text(f"""polkit.addRule(function(action, subject) {{
        if (action.id == "org.mdevd1.rescan") return polkit.Result.YES;
        if ({condition}) return polkit.Result.YES;
    }});""")
    try:
        wait_until(lambda: may_rescan(user), timeout=30)
        yield
    finally:
        RULES.unlink()
        wait_until(lambda: not may_rescan(user), timeout=30)


def may_rescan(user):
    try:
        user.rescan()
        return True
    except bus.BusError:
        return False


def refusals(user, parent, uuid, defined):
    return [
        user.begin_create(parent, SMALL, new_uuid()).failure(),
        user.begin_define(parent, SMALL, new_uuid()).failure(),
        user.begin_start(defined).failure(),
        user.begin_stop(uuid).failure(),
        user.begin_undefine(defined).failure(),
        user.begin_manager("Rescan").failure(),
    ]


def test_an_ordinary_user_may_read_and_nothing_else(mdevd, user, parent):
    uuid = mdevd.create(parent, SMALL)
    defined = mdevd.define(parent, SMALL)

    assert {row.uuid for row in user.devices()} == {uuid, defined}
    assert user.available_instances(parent, SMALL) == 7
    assert parent.name in [row[0] for row in user.parents()]
    assert user.managed_objects()
    for failure in refusals(user, parent, uuid, defined):
        assert failure.name == INTERACTIVE, failure
    assert sysfs.devices() == {uuid} and len(files()) == 1


def test_a_rule_decides_by_the_details(mdevd, user, parents):
    uuid = new_uuid()
    condition = (f'action.id == "org.mdevd1.start-stop" && subject.user == "tester"'
                 f' && action.lookup("uuid") == "{uuid}" && action.lookup("parent") == "{parents[1].name}"'
                 f' && action.lookup("type") == "{LARGE}"')

    with polkit_rule(user, condition):
        assert user.begin_create(parents[0], LARGE, uuid).failure().name == INTERACTIVE
        assert user.begin_create(parents[1], SMALL, uuid).failure().name == INTERACTIVE
        assert user.begin_create(parents[1], LARGE, new_uuid()).failure().name == INTERACTIVE
        assert user.begin_define(parents[1], LARGE, uuid).failure().name == INTERACTIVE
        assert sysfs.devices() == set()

        assert user.create(parents[1], LARGE, uuid) == uuid
        user.stop(uuid)
        mdevd.define(parents[1], LARGE, uuid)
        user.start(uuid)
        assert sysfs.devices() == {uuid}

        # The same UUID elsewhere is another matter.
        mdevd.stop(uuid)
        mdevd.create(parents[0], LARGE, uuid)
        assert user.begin_stop(uuid).failure().name == INTERACTIVE
        assert sysfs.devices() == {uuid}


def test_a_new_uuid_is_no_detail(mdevd, user, parents):
    condition = 'action.id == "org.mdevd1.start-stop" && action.lookup("uuid") == ""'

    with polkit_rule(user, condition):
        uuid = user.create(parents[0], SMALL)
        assert sysfs.devices() == {uuid}
        assert user.begin_stop(uuid).failure().name == INTERACTIVE


def test_who_may_not_is_told_so_whatever_the_state(mdevd, user):
    assert user.begin_stop(new_uuid()).failure().name == INTERACTIVE
    assert user.begin_start(new_uuid()).failure().name == INTERACTIVE


def test_a_client_that_leaves_while_polkit_thinks(mdevd, parent):
    for _ in range(20):
        with bus.as_user(pwd.getpwnam("tester").pw_uid):
            client = bus.Mdevd()
        client.begin_create(parent, SMALL)
        client.close()

    uuid = mdevd.create(parent, SMALL)
    assert sysfs.devices() == {uuid}


def test_a_user_cannot_pile_up_questions(mdevd, user, parent):
    calls = [user.begin_create(parent, SMALL) for _ in range(200)]
    names = {call.failure().name for call in calls}

    # The last is the bus's own, for a client that waits for too many answers.
    assert names <= {INTERACTIVE, error("LimitsExceeded"), "org.freedesktop.DBus.Error.LimitsExceeded"}
    assert mdevd.create(parent, SMALL) in sysfs.devices()
