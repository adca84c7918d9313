# SPDX-License-Identifier: LGPL-2.1-or-later
"""Who follows the signals is never wrong: they are there before the reply, and the last of them is the last word.

MDEVD_ORDER_OPERATIONS says how many random operations the model client has to follow (tests/vm/run --setenv …), and
MDEVD_ORDER_SEED repeats what was done: who gets through first is not in its hands. On the host, where processes start
faster, tests/contract/test_order.py has it follow ten thousand, without a driver.
"""

import collections
import contextlib
import os
import random
import time

import pytest

import bus
import sysfs
from bus import DEVICE, MANAGER, PARENT, PATH, device_path, error
from definitions import file_of, files, text_of
from follower import Follower, Traffic, failure_of, definitions_in, definitions_told, signal_of
from guest import new_uuid, wait_until
from mdevsim import LARGE, NOGROUP, SMALL

OPERATIONS = int(os.environ.get("MDEVD_ORDER_OPERATIONS", 1000))
SECONDS = 120 + OPERATIONS // 20

def parent_path(parent):
    return f"{PATH}/parent/" + "".join(c if c.isalnum() and not (i == 0 and c.isdigit()) else f"_{ord(c):02x}"
                                       for i, c in enumerate(parent.name))


@pytest.fixture
def subscriber(mdevd):
    mdevd.subscribe()
    mdevd.receive_all()
    return mdevd


def heard(client):
    """The signals that were there before the last reply, and are now forgotten."""
    signals = [signal_of(message) for message in client.signals]
    client.signals.clear()
    return signals


def states(signals, path):
    """The states that an object was told to be in, one after the other; None: gone."""
    for signal in signals:
        if signal.member == "InterfacesAdded" and signal.body[0] == path:
            yield signal.body[1][DEVICE]["State"][1]
        elif signal.member == "InterfacesRemoved" and signal.body[0] == path:
            yield None
        elif signal.member == "PropertiesChanged" and signal.path == path and "State" in signal.body[1]:
            yield signal.body[1]["State"][1]


def last(signals, path, name):
    """What a property was last told to be."""
    values = [signal.body[1][name][1] for signal in signals
              if signal.member == "PropertiesChanged" and signal.path == path and name in signal.body[1]]
    return values[-1] if values else None


def small_left(types):
    return types and next(row[4] for row in types if row[0] == SMALL)


def wait_for_small_left(client, parent, number):
    """What is left is read of the driver after the reply, which does not wait for that."""
    client.wait_for_signal(lambda member, path, body: member == "PropertiesChanged" and path == parent_path(parent)
                           and small_left(body[1].get("Types", (None, None))[1]) == number)


# Signals, then the reply

def test_define_and_undefine(subscriber, parent):
    uuid = subscriber.define(parent, SMALL, attributes=[("log", "x")])
    signals = heard(subscriber)
    assert list(states(signals, device_path(uuid))) == ["defined"]
    added = next(signal.body[1][DEVICE] for signal in signals if signal.member == "InterfacesAdded")
    assert added["Definitions"][1] == [(parent.name, SMALL, False, [("log", "x")])]
    assert last(signals, PATH, "NDevices") == 1

    subscriber.undefine(uuid)
    signals = heard(subscriber)
    assert list(states(signals, device_path(uuid))) == [None]
    assert last(signals, PATH, "NDevices") == 0


def test_create_and_stop(subscriber, parent):
    uuid = subscriber.create(parent, SMALL)
    signals = heard(subscriber)
    assert list(states(signals, device_path(uuid))) == ["creating", "active"]
    assert last(signals, device_path(uuid), "SysfsPath").endswith(uuid)
    assert last(signals, PATH, "NActive") == 1
    wait_for_small_left(subscriber, parent, 7)

    subscriber.stop(uuid)
    signals = heard(subscriber)
    assert list(states(signals, device_path(uuid))) == ["removing", None]
    assert last(signals, PATH, "NActive") == 0 and last(signals, PATH, "NPending") == 0
    wait_for_small_left(subscriber, parent, 8)


def test_start_modify_stop(subscriber, parent):
    uuid = subscriber.define(parent, SMALL)
    heard(subscriber)

    subscriber.start(uuid)
    signals = heard(subscriber)
    assert list(states(signals, device_path(uuid))) == ["creating", "active"]
    wait_for_small_left(subscriber, parent, 7)

    subscriber.modify(uuid, type=LARGE, autostart=True, attributes=("a(ss)", [("log", "y")]))
    signals = heard(subscriber)
    assert last(signals, device_path(uuid), "Definitions") == [(parent.name, LARGE, True, [("log", "y")])]
    assert last(signals, device_path(uuid), "AutoStart") is True
    assert last(signals, device_path(uuid), "Attributes") == [("log", "y")]

    subscriber.stop(uuid)
    signals = heard(subscriber)
    assert list(states(signals, device_path(uuid))) == ["removing", "defined"]
    assert last(signals, device_path(uuid), "Type") == LARGE
    wait_for_small_left(subscriber, parent, 8)


def test_create_and_define(subscriber, parent):
    uuid = subscriber.create(parent, SMALL, define=True)
    signals = heard(subscriber)
    assert list(states(signals, device_path(uuid))) == ["creating", "active"]
    assert last(signals, device_path(uuid), "Defined") is True

    subscriber.undefine(uuid)
    signals = heard(subscriber)
    assert list(states(signals, device_path(uuid))) == []
    assert last(signals, device_path(uuid), "Defined") is False


def test_what_fails(subscriber, parent):
    parent.create_errno = 5
    uuid = new_uuid()
    subscriber.begin_create(parent, SMALL, uuid).failure()
    signals = heard(subscriber)
    assert list(states(signals, device_path(uuid))) == ["creating", None]
    assert last(signals, PATH, "NPending") == 0

    defined = subscriber.define(parent, SMALL)
    heard(subscriber)
    subscriber.begin_start(defined).failure()
    signals = heard(subscriber)
    assert list(states(signals, device_path(defined))) == ["creating", "defined"]
    assert last(signals, device_path(defined), "LastError")[0] == error("Kernel")


def test_a_file_that_somebody_wrote(subscriber, parent):
    uuid = subscriber.define(parent, SMALL)
    subscriber.undefine(uuid)
    other = subscriber.define(parent, SMALL)
    heard(subscriber)
    file_of(parent, uuid).write_text(text_of(SMALL))
    file_of(parent, other).write_text("no JSON")

    subscriber.rescan()

    signals = heard(subscriber)
    assert list(states(signals, device_path(uuid))) == ["defined"]
    assert list(states(signals, device_path(other))) == [None]
    assert [path for path, _ in last(signals, PATH, "InvalidDefinitions")] == [str(file_of(parent, other))]


def test_what_is_removed_is_named_with_its_interfaces(subscriber, parent):
    uuid = subscriber.create(parent, SMALL)
    subscriber.stop(uuid)
    removed = subscriber.wait_for_removed(device_path(uuid))
    assert DEVICE in removed.body[1]

    parent.unbind()
    removed = subscriber.wait_for_removed(parent_path(parent))
    assert PARENT in removed.body[1]


# Many changes, few signals, the last of which is right

def test_changes_of_capacity_are_told_together(subscriber, parents):
    """A driver that takes long to say what is left is not asked once for each device."""
    parent = next(parent for parent in parents if parent.capacity)
    parent.types_delay_ms = 100
    uuids = [new_uuid() for _ in range(8)]
    changes = 0
    for _ in range(10):
        for uuid in uuids:
            sysfs.create(parent, SMALL, uuid)
        for uuid in uuids:
            sysfs.remove(uuid)
        changes += 2 * len(uuids)
    for uuid in uuids[:3]:
        sysfs.create(parent, SMALL, uuid)

    path = parent_path(parent)
    subscriber.wait_for(lambda: small_left(last_of(subscriber, path, "Types")) == 5 and
                        small_left(subscriber.property(path, PARENT, "Types")) == 5)
    assert subscriber.available_instances(parent, SMALL) == 5
    signals = heard(subscriber)
    told = [signal for signal in signals if signal.member == "PropertiesChanged" and signal.path == path]
    assert small_left(last(signals, path, "Types")) == 5
    assert 1 <= len(told) < changes / 2


def last_of(client, path, name):
    return last([signal_of(message) for message in client.signals], path, name)


def test_the_last_value_is_told(subscriber, parent):
    """Modifications and states, as fast as they come: the last signal says what is asked for afterwards."""
    uuid = subscriber.define(parent, SMALL)
    path = device_path(uuid)
    for number in range(30):
        calls = [subscriber.begin_modify(uuid, attributes=("a(ss)", [("log", f"{number}.{n}")])) for n in range(4)]
        calls.append(subscriber.begin_start(uuid))
        for call in calls:
            failure_of(call)
        failure_of(subscriber.begin_stop(uuid))
        properties = subscriber.properties(path, DEVICE)
        for name in ("Attributes", "Definitions", "State", "Active"):
            told = last_of(subscriber, path, name)
            assert told is None or told == properties[name][1], name
    subscriber.modify(uuid, attributes=("a(ss)", [("log", "last")]))
    assert last(heard(subscriber), path, "Attributes") == [("log", "last")]


# The model client

class GuestTraffic(Traffic):
    """With a driver that makes devices, others who make some by hand, and parents that go and come."""

    def begin(self, client):
        verb = self.random.choices(["define", "modify", "undefine", "create", "create+define", "start", "stop"],
                                   [5, 6, 4, 5, 2, 6, 9])[0]
        if verb in ("define", "modify", "undefine"):
            return self.begin_definition(client, verb, [NOGROUP, SMALL, LARGE])
        uuid, parent = self.random.choice(self.uuids), self.random.choice(self.parents)
        options = {"exist_ok": True} if self.random.random() < 0.1 else {}
        if verb == "create":
            call = client.begin_create(self.random.choice(["", parent]), NOGROUP, uuid, self.attributes(), **options)
        elif verb == "create+define":
            call = client.begin_create(parent, NOGROUP, uuid, define=True, alternate=True, **options)
        elif verb == "start":
            call = client.begin_start(uuid, self.random.choice(["", parent]), any=self.random.random() < 0.5, **options)
        else:
            call = client.begin_stop(uuid)
        return verb, call

    def by_hand(self):
        kind = self.random.random()
        if kind < 0.005:
            self.toggle(self.random.choice(self.parents))
        elif kind < 0.2:
            self.foreign()
        return kind < 0.2

    def foreign(self):
        """Somebody who does not ask mdevd."""
        uuid = self.random.choice(self.uuids)
        verb = self.random.choice(["foreign create", "foreign remove"])
        try:
            if verb == "foreign create":
                sysfs.create(self.random.choice(self.parents), NOGROUP, uuid)
            else:
                sysfs.remove(uuid)
            self.outcomes[verb, None] += 1
        except OSError as failure:
            self.outcomes[verb, os.strerror(failure.errno)] += 1

    def toggle(self, parent):
        """A parent that goes, with all that is on it, or comes back."""
        present = parent.is_present()
        parent.registered = not present
        self.outcomes[f"parent {'gone' if present else 'back'}", None] += 1

    def finish(self):
        """And for all parents to be there."""
        for parent in self.parents:
            if not parent.is_present():
                self.toggle(parent)
        super().finish()


# What may become of an operation in this traffic; anything else is worth a look.
EXPECTED = {error(name) for name in ("Exists", "TryAgain", "NotFound", "NotActive", "NoCapacity", "Attribute", "Ambiguous",
                                     "ParentAbsent", "Kernel")} | {bus.INVALID_ARGS}


def complain(troubles, seed, n):
    if troubles:
        pytest.fail(f"after {n} operations, MDEVD_ORDER_SEED={seed}:\n" + "\n".join(troubles[:20]), pytrace=False)


def check(follower, parents, seed, n):
    """At a quiet point: the picture is what a new client is told, and what is told is what is there."""

    def settled():
        # Events of udev that are under way, and readings of capacity that are owed, come in with these.
        follower.rescan()
        follower.begin_manager("ListTypes", "s", "").result()
        complain(follower.glance(), seed, n)
        return follower.picture[PATH][MANAGER]["NPending"][1] == 0 and follower.picture == follower.ask()

    wait_until(settled, timeout=bus.PATIENCE)
    told = {properties["UUID"][1]: (properties["Parent"][1], properties["Type"][1])
            for properties in (interfaces.get(DEVICE) for interfaces in follower.picture.values())
            if properties and properties["Active"][1]}
    there = {uuid: (sysfs.parent_of(uuid), sysfs.type_of(uuid)) for uuid in sysfs.devices()}
    left = {parent.name: parent.available_instances(SMALL) for parent in parents}
    told_left = {parent.name: small_left(follower.picture[parent_path(parent)][PARENT]["Types"][1])
                 for parent in parents}
    facts = [(told, there), (told_left, left), (definitions_told(follower.picture), definitions_in(files()))]
    complain([f"told {a}, but it is {b}" for a, b in facts if a != b], seed, n)


@pytest.mark.seconds(SECONDS)
def test_the_model_client(mdevd, clients, parents):
    seed = int(os.environ.get("MDEVD_ORDER_SEED", 0)) or random.SystemRandom().randrange(1, 1 << 32)
    print(f"MDEVD_ORDER_SEED={seed}")
    traffic = GuestTraffic(seed, [clients() for _ in range(4)], parents[:5])
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        followers = [stack.enter_context(Follower())]
        while traffic.n < OPERATIONS:
            traffic.step()
            # One of them comes when all is in full swing.
            if traffic.n == OPERATIONS // 3:
                followers.append(stack.enter_context(Follower()))
            for follower in followers:
                follower.receive_all()
                if traffic.n % 50 == 0:
                    complain(follower.glance(), seed, traffic.n)
            if traffic.n % 250 == 0 or traffic.n == OPERATIONS:
                traffic.finish()
                for follower in followers:
                    check(follower, parents, seed, traffic.n)
        n_signals = followers[0].n_signals

    done = collections.Counter(verb for verb, outcome in traffic.outcomes.elements() if outcome is None)
    print(f"{traffic.n} operations, {n_signals} signals, {time.monotonic() - began:.0f} s")
    for (verb, outcome), n in sorted(traffic.outcomes.items(), key=str):
        print(f"{n:6} {verb}: {outcome or 'done'}")
    unexpected = [pair for pair in traffic.outcomes
                  if pair[1] and not pair[0].startswith("foreign") and pair[1] not in EXPECTED]
    assert not unexpected, f"MDEVD_ORDER_SEED={seed}"
    # All of them met, and some of each were done.
    assert len(done) == 11, f"MDEVD_ORDER_SEED={seed}"
