# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is marked to be started is, when its parent arrives; and what is not, says why."""

import contextlib
import fcntl
import os
import signal
import time
from pathlib import Path

import pytest

import service
import sysfs
from bus import DEVICE, MANAGER, PATH, Mdevd, device_path, error
from definitions import file_of, text_of
from guest import new_uuid, wait_until
from mdevsim import LARGE, LIMIT, SMALL, TYPES
from scripts import WORK

EIO = 5
EAGAIN = 11
ENOSPC = 28
EPROBE_DEFER = 517

# For the knob "hide".
BITS = {type: 1 << number for number, type in enumerate(TYPES)}


def leave(mdevd, parent):
    parent.registered = 0
    wait_until(lambda: not mdevd.has_parent(parent))


def arrive(mdevd, parent):
    """Returns when the daemon is done with whatever it does then."""
    parent.registered = 1
    wait_until(lambda: mdevd.has_parent(parent))
    wait_until(mdevd.is_settled, timeout=60)


def come_back(mdevd, parent):
    leave(mdevd, parent)
    arrive(mdevd, parent)


def states(mdevd, uuids):
    return [mdevd.device_property(uuid, "State") for uuid in uuids]


def reasons(mdevd, uuids):
    return [mdevd.device_property(uuid, "Pending") for uuid in uuids]


def wait_for_state(mdevd, uuid, state, timeout=30):
    wait_until(lambda: mdevd.device_property(uuid, "State") == state, timeout)


def define(mdevd, parent, type=SMALL, **options):
    return mdevd.define(parent, type, autostart=True, **options)


@contextlib.contextmanager
def held(uuid):
    """As a worker would hold it that the daemon knows nothing of."""
    path = Path("/run/mdevd/busy") / uuid
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    path.unlink()


@pytest.fixture
def gone(mdevd, parent):
    """A parent that is not there yet."""
    leave(mdevd, parent)
    return parent


def test_marked_devices_are_started_with_their_parent(mdevd, gone):
    marked = [define(mdevd, gone) for _ in range(3)]
    manual = mdevd.define(gone, SMALL)
    assert reasons(mdevd, marked) == ["parent-absent"] * 3 and reasons(mdevd, [manual]) == [""]
    assert mdevd.is_settled()

    arrive(mdevd, gone)
    assert states(mdevd, [*marked, manual]) == ["active"] * 3 + ["defined"]
    assert reasons(mdevd, marked) == [""] * 3
    assert sysfs.devices() == set(marked)
    assert {mdevd.device_property(uuid, "Origin") for uuid in marked} == {"mdevd"}
    assert gone.creates == 3


def test_signals_tell_the_story(mdevd, gone):
    uuid = define(mdevd, gone)
    gone.create_block = 1
    mdevd.subscribe()
    gone.registered = 1

    mdevd.wait_for_property(PATH, "Settled", False)
    mdevd.wait_for_property(device_path(uuid), "Pending", "")
    wait_until(lambda: gone.creating == 1)
    assert not mdevd.is_settled() and mdevd.device_property(uuid, "State") == "creating"
    gone.create_block = 0
    mdevd.wait_for_property(device_path(uuid), "State", "active")
    mdevd.wait_for_property(PATH, "Settled", True)

    gone.registered = 0
    mdevd.wait_for_property(device_path(uuid), "Pending", "parent-absent")


def test_attributes_are_written(mdevd, gone):
    uuid = mdevd.define(gone, SMALL, "", [("log", "one"), ("log", "two")], autostart=True)
    arrive(mdevd, gone)
    assert sysfs.DEVICES.joinpath(uuid, "log").read_text() == "one\ntwo\n"


def test_marking_does_not_start(mdevd, parent):
    uuid = define(mdevd, parent)
    assert mdevd.is_settled() and states(mdevd, [uuid]) == ["defined"] and reasons(mdevd, [uuid]) == [""]
    come_back(mdevd, parent)
    assert states(mdevd, [uuid]) == ["active"]


def test_at_the_start_of_the_daemon(mdevd, parent, clients):
    marked, made_by_others = define(mdevd, parent), define(mdevd, parent)
    service.stop()
    parent.registered = 0
    parent.registered = 1
    sysfs.create(parent, SMALL, made_by_others)
    service.start()

    wait_until(lambda: sysfs.devices() == {marked, made_by_others})
    client = clients()
    wait_until(client.is_settled)
    assert states(client, [marked, made_by_others]) == ["active"] * 2
    assert client.device_property(made_by_others, "Origin") == "external"
    assert client.device_property(made_by_others, "LastError") == ("", "")

    # Nobody tries what is there.
    for _ in range(2):
        service.restart()
        with Mdevd() as again:
            wait_until(again.is_settled)
            assert states(again, [marked, made_by_others]) == ["active"] * 2
    assert parent.creates == 2 and parent.create_failures == 0


def test_defined_while_the_daemon_is_away(mdevd, gone, clients):
    service.stop()
    file_of(gone, uuid := new_uuid()).parent.mkdir(exist_ok=True)
    file_of(gone, uuid).write_text(text_of(SMALL, "auto"))
    service.start()
    client = clients()
    assert reasons(client, [uuid]) == ["parent-absent"]
    arrive(client, gone)
    assert states(client, [uuid]) == ["active"]


def test_what_was_stopped_stays_so_until_the_parent_comes_back(mdevd, gone, clients):
    uuid, other = define(mdevd, gone), define(mdevd, gone)
    arrive(mdevd, gone)
    mdevd.stop(uuid)
    assert mdevd.is_settled() and reasons(mdevd, [uuid]) == [""]

    service.restart()
    client = clients()
    wait_until(client.is_settled)
    assert states(client, [uuid, other]) == ["defined", "active"]
    service.kill()
    client = clients()
    wait_until(client.is_settled)
    assert states(client, [uuid, other]) == ["defined", "active"]

    come_back(client, gone)
    assert states(client, [uuid, other]) == ["active", "active"]


def test_a_parent_that_comes_with_other_definitions_each_time(mdevd, gone):
    """What was tried in its earlier lives takes none of the instances of this one."""
    for _ in range(2):
        marked = [define(mdevd, gone) for _ in range(LIMIT)]
        arrive(mdevd, gone)
        assert states(mdevd, marked) == ["active"] * LIMIT
        for uuid in marked:
            mdevd.stop(uuid)
            mdevd.undefine(uuid)
        leave(mdevd, gone)


def reader(parent):
    """The worker that is just asking the driver of PARENT what is left."""
    for pid in service.workers():
        with contextlib.suppress(OSError):
            for path in Path(f"/proc/{pid}/fd").iterdir():
                name = os.readlink(path)
                if f"/{parent.name}/" in name and name.endswith("/available_instances"):
                    return pid
    return None


def test_a_reading_that_was_cut_off_is_done_anew(mdevd, other_parent):
    leave(mdevd, other_parent)
    uuid = define(mdevd, other_parent)
    other_parent.types_delay_ms = 60_000
    other_parent.registered = 1
    os.kill(wait_until(lambda: reader(other_parent)), signal.SIGKILL)
    other_parent.types_delay_ms = 0
    wait_for_state(mdevd, uuid, "active")
    assert mdevd.is_settled()


def test_what_was_read_before_it_came_back(mdevd, gone):
    """A parent is read when its devices go; that there was nothing to read says nothing of the one that comes."""
    marked = [define(mdevd, gone) for _ in range(3)]
    arrive(mdevd, gone)
    for _ in range(15):
        come_back(mdevd, gone)
        assert states(mdevd, marked) == ["active"] * 3 and reasons(mdevd, marked) == [""] * 3


def test_a_type_that_is_not_offered(mdevd, gone):
    uuid, other = define(mdevd, gone), define(mdevd, gone, LARGE)
    gone.hide = BITS[SMALL]
    arrive(mdevd, gone)
    assert reasons(mdevd, [uuid, other]) == ["type-absent", ""]
    assert states(mdevd, [uuid, other]) == ["defined", "active"]
    assert gone.creates == 1

    leave(mdevd, gone)
    assert reasons(mdevd, [uuid]) == ["parent-absent"]
    gone.hide = 0
    arrive(mdevd, gone)
    assert states(mdevd, [uuid, other]) == ["active", "active"]


def test_capacity_that_somebody_gives_back(mdevd, gone):
    gone.limit = 2
    marked = {define(mdevd, gone) for _ in range(4)}
    arrive(mdevd, gone)
    for round_number in range(2):
        active = sysfs.devices()
        waiting = marked - active
        assert len(active) == 2 and set(reasons(mdevd, waiting)) == {"no-capacity"}
        # By us, and by others.
        stopped = active.pop()
        if round_number:
            sysfs.remove(stopped)
        else:
            mdevd.stop(stopped)
        wait_until(lambda: len(sysfs.devices()) == 2, timeout=30)
        assert sysfs.devices() > active and stopped not in sysfs.devices()
        wait_until(mdevd.is_settled)
        marked.remove(stopped)
        assert reasons(mdevd, [stopped]) == [""]


def test_a_failure_is_told_and_not_repeated(mdevd, gone):
    uuid, other = define(mdevd, gone), define(mdevd, gone, LARGE)
    gone.create_errno = EIO
    arrive(mdevd, gone)
    assert states(mdevd, [uuid, other]) == ["defined"] * 2 and reasons(mdevd, [uuid, other]) == ["failed"] * 2
    name, sentence = mdevd.device_property(uuid, "LastError")
    assert name == error("Kernel") and "Input/output error" in sentence

    # Not because of something else, and not by a restart of the daemon.
    mdevd.subscribe()
    gone.create_errno = 0
    third = mdevd.create(gone, SMALL)
    mdevd.stop(third)
    mdevd.wait_for_property(PATH, "NActive", 0)
    wait_until(mdevd.is_settled)
    assert gone.create_failures == 2 and gone.creates == 1

    # But because it has been mended.
    mdevd.modify(uuid, attributes=("a(ss)", [("log", "mended")]))
    wait_for_state(mdevd, uuid, "active")
    assert mdevd.device_property(uuid, "LastError") == ("", "") and reasons(mdevd, [uuid, other]) == ["", "failed"]
    file_of(gone, other).write_text(text_of(SMALL, "auto"))
    wait_for_state(mdevd, other, "active")
    assert sysfs.type_of(other) == SMALL


@pytest.mark.parametrize("errno", [EAGAIN, EPROBE_DEFER])
def test_a_driver_that_says_not_yet(mdevd, gone, errno):
    uuid = define(mdevd, gone)
    gone.create_errno_count = 3
    gone.create_errno = errno
    gone.registered = 1
    wait_until(lambda: gone.create_failures == 1)
    assert not mdevd.is_settled()
    wait_for_state(mdevd, uuid, "active")
    wait_until(mdevd.is_settled)
    assert gone.create_failures == 3 and gone.creates == 1
    assert mdevd.device_property(uuid, "LastError") == ("", "")


def test_a_driver_that_never_says_anything_else(mdevd, gone):
    uuid = define(mdevd, gone)
    gone.create_errno = EAGAIN
    arrive(mdevd, gone)
    assert reasons(mdevd, [uuid]) == ["failed"] and 2 <= gone.create_failures <= 10
    assert mdevd.device_property(uuid, "LastError")[0] == error("Kernel")


def test_not_yet_is_counted_anew_when_the_parent_comes_back(mdevd, gone):
    uuid = define(mdevd, gone)
    gone.create_errno = EAGAIN
    gone.registered = 1
    # As often as it is asked again; the next one would be the last.
    wait_until(lambda: gone.create_failures == 6, timeout=30)
    leave(mdevd, gone)
    gone.create_errno_count = 1
    gone.create_errno = EAGAIN
    arrive(mdevd, gone)
    assert states(mdevd, [uuid]) == ["active"] and reasons(mdevd, [uuid]) == [""]


def test_full_for_a_moment(mdevd, gone):
    """Somebody had the instance and gave it back, all between two readings: they say the same."""
    uuid = define(mdevd, gone)
    gone.create_errno_count = 1
    gone.create_errno = ENOSPC
    gone.registered = 1
    wait_for_state(mdevd, uuid, "active")
    assert gone.create_failures == 1 and reasons(mdevd, [uuid]) == [""]


def test_a_driver_that_is_full_whatever_it_says(mdevd, gone):
    uuid = define(mdevd, gone)
    gone.create_errno = ENOSPC
    arrive(mdevd, gone)
    for _ in range(5):
        mdevd.rescan()
        wait_until(mdevd.is_settled)
    assert reasons(mdevd, [uuid]) == ["no-capacity"] and gone.create_failures <= 2


def test_a_driver_that_says_not_yet_and_is_full_then(mdevd, gone):
    uuid = define(mdevd, gone)
    gone.create_errno = EAGAIN
    gone.registered = 1
    wait_until(lambda: gone.create_failures >= 2)
    wait_until(lambda: gone.takes_limit(0))
    mdevd.rescan()
    wait_until(mdevd.is_settled)
    assert reasons(mdevd, [uuid]) == ["no-capacity"]
    gone.create_errno = 0
    gone.limit = 1
    mdevd.rescan()
    wait_for_state(mdevd, uuid, "active")


def test_an_instance_that_was_not_taken_after_all(mdevd, gone):
    """The first of two cannot be begun: somebody holds what is to keep others from it."""
    gone.limit = 1
    first, second = sorted(define(mdevd, gone) for _ in range(2))
    with held(first):
        gone.registered = 1
        wait_for_state(mdevd, second, "active")
        wait_until(mdevd.is_settled)
    assert reasons(mdevd, [first, second]) == ["no-capacity", ""]
    mdevd.stop(second)
    wait_for_state(mdevd, first, "active")


@pytest.mark.seconds(180)
def test_a_worker_that_dies_each_time(mdevd, gone, scripts):
    scripts.add("kills", '[ "$1 $2" = "pre start" ] || exit 2\necho >>attempts\nkill -9 "$PPID"')
    uuid = define(mdevd, gone)
    arrive(mdevd, gone)
    assert reasons(mdevd, [uuid]) == ["failed"] and uuid not in sysfs.devices()
    assert 2 <= len((WORK / "attempts").read_text()) <= 10
    name, sentence = mdevd.device_property(uuid, "LastError")
    assert name == "org.freedesktop.DBus.Error.Failed" and gone.name in sentence


def test_alternates_in_order(mdevd, parents):
    first, second = parents[:2]
    for parent in (first, second):
        leave(mdevd, parent)
    uuid = define(mdevd, first)
    define(mdevd, second, uuid=uuid, alternate=True)
    assert reasons(mdevd, [uuid]) == ["parent-absent"]

    # One is absent.
    arrive(mdevd, second)
    assert sysfs.parent_of(uuid) == second.name
    arrive(mdevd, first)
    assert sysfs.parent_of(uuid) == second.name and first.creates == 0

    # Both are there when it is looked for one.
    service.stop()
    for parent in (first, second):
        parent.registered = 0
        parent.registered = 1
    service.start()
    wait_until(lambda: uuid in sysfs.devices())
    assert sysfs.parent_of(uuid) == first.name


def test_alternates_of_which_one_is_full_or_fails(mdevd, parents):
    full, failing, last = parents[:3]
    for parent in (full, failing, last):
        leave(mdevd, parent)
    full.limit = 0
    failing.create_errno = EIO
    uuid = define(mdevd, full)
    for parent in (failing, last):
        define(mdevd, parent, uuid=uuid, alternate=True)

    arrive(mdevd, full)
    assert reasons(mdevd, [uuid]) == ["no-capacity"]
    arrive(mdevd, failing)
    assert states(mdevd, [uuid]) == ["defined"] and failing.create_failures == 1
    arrive(mdevd, last)
    assert sysfs.parent_of(uuid) == last.name and reasons(mdevd, [uuid]) == [""]
    assert failing.create_failures == 1


def test_the_cap_of_a_driver(mdevd, parent, clients):
    with service.configured(CreationsPerDriverMax=2):
        client = clients()
        leave(client, parent)
        marked = [define(client, parent) for _ in range(6)]
        parent.create_delay_ms = 100
        arrive(client, parent)
        assert states(client, marked) == ["active"] * 6
        assert parent.peak_creates == 2


@pytest.mark.parametrize("cap", [64, 2])
def test_no_more_attempts_than_there_is_room(mdevd, other_parent, clients, cap):
    parent = other_parent
    with service.configured(CreationsPerDriverMax=cap):
        client = clients()
        leave(client, parent)
        parent.limit = 5
        marked = [define(client, parent) for _ in range(12)]
        parent.create_delay_ms = 100
        arrive(client, parent)
        assert sorted(states(client, marked)) == ["active"] * 5 + ["defined"] * 7
        assert sorted(reasons(client, marked)) == [""] * 5 + ["no-capacity"] * 7
        # All that reach this driver, which counts for itself.
        assert (parent.creates, parent.create_failures) == (5, 0)


@pytest.mark.seconds(240)
def test_thirty_two_side_by_side(mdevd, gone):
    gone.limit = 32
    file_of(gone, "x").parent.mkdir(exist_ok=True)
    marked = [new_uuid() for _ in range(32)]
    for uuid in marked:
        file_of(gone, uuid).write_text(text_of(SMALL, "auto"))
    wait_until(lambda: None not in states(mdevd, marked))

    def take():
        began = time.monotonic()
        gone.registered = 1
        wait_until(lambda: gone.live == 32, timeout=60)
        took = time.monotonic() - began
        wait_until(mdevd.is_settled)
        assert set(states(mdevd, marked)) == {"active"}
        leave(mdevd, gone)
        return took

    # What this machine needs for 32 processes is not the point; what the driver's delay adds to it is.
    quick = take()
    gone.create_delay_ms = 200
    slow = take()
    assert gone.peak_creates > 2
    assert slow - quick < 32 * 0.2 / 3, (quick, slow)


def test_starting_a_parent_by_hand(mdevd, parent, other_parent):
    parent.limit = 2
    marked = [define(mdevd, parent) for _ in range(3)]
    mdevd.define(parent, SMALL)
    mdevd.start(marked[0])
    failures = mdevd.start_parent(parent)
    assert len(failures) == 1 and set(failures) < set(marked[1:])
    assert all(parent.name in sentence for sentence in failures.values())
    assert len(sysfs.devices()) == 2
    assert mdevd.start_parent(other_parent) == {}

    leave(mdevd, parent)
    assert mdevd.begin_manager("StartParent", "s", parent.name).failure().name == error("ParentAbsent")
    assert mdevd.begin_manager("StartParent", "s", "0000:ff:1f.7").failure().name == error("NotFound")


def test_undefined_or_unmarked_while_it_waits(mdevd, gone):
    gone.limit = 0
    undefined, unmarked = define(mdevd, gone), define(mdevd, gone)
    arrive(mdevd, gone)
    assert reasons(mdevd, [undefined, unmarked]) == ["no-capacity"] * 2
    mdevd.undefine(undefined)
    mdevd.modify(unmarked, autostart=False)
    wait_until(lambda: reasons(mdevd, [undefined, unmarked]) == [None, ""])
    assert mdevd.property(PATH, MANAGER, "NDevices") == 1 and mdevd.property(device_path(unmarked), DEVICE, "State")


def test_what_becomes_possible_while_somebody_is_at_it(mdevd, gone, scripts):
    """A change of the definition is under way when an instance becomes free, and in the end there is no change."""
    gone.limit = 1
    marked = {define(mdevd, gone) for _ in range(2)}
    arrive(mdevd, gone)
    active, = sysfs.devices()
    waiting, = marked - {active}
    scripts.add("refuses", '[ "$1 $2" = "pre modify" ] || exit 2\ntouch asked-for\n'
                "while [ ! -e go ]; do sleep 0.05; done\nexit 1")
    change = mdevd.begin_modify(waiting, type=LARGE)
    wait_until((WORK / "asked-for").exists, 30)
    mdevd.stop(active)
    wait_until(lambda: mdevd.available_instances(gone, SMALL) == 1, 30)
    assert states(mdevd, [waiting]) == ["defined"]
    (WORK / "go").touch()
    assert change.failure().name == error("CallOut")
    wait_for_state(mdevd, waiting, "active")
