# SPDX-License-Identifier: LGPL-2.1-or-later

"""Ten thousand random operations by several clients, and files and devices that come and go behind mdevd's back; who
follows the signals is never wrong. The guest's tests do the same, fewer times, with a driver.

MDEVD_ORDER_SEED repeats what was done: who gets through first is not in its hands.
"""

import contextlib
import os
import random
import shutil
import sys
import time

import pytest
from host import TOP

sys.path.append(str(TOP / "tests/vm/cases"))

from bus import DEVICE, INVALID_ARGS, MANAGER, PATH, Mdevd, error  # noqa: E402
from follower import Follower, Traffic, definitions_in, definitions_told  # noqa: E402

OPERATIONS = int(os.environ.get("MDEVD_ORDER_OPERATIONS", 10000))
TYPES = ["small", "large"]
PRESENT = ["0000:3b:00.0", "0000:3b:00.1", "mtty"]
ABSENT = ["0000:af:00.0", "elsewhere"]

# What may become of an operation in this traffic; anything else is worth a look. The tree's parents make no devices.
EXPECTED = {error(name) for name in ("Exists", "TryAgain", "NotFound", "NotActive", "Ambiguous", "ParentAbsent", "Kernel", "Attribute",
                                     "InvalidDefinition")}
EXPECTED |= {INVALID_ARGS, None}


class HostTraffic(Traffic):
    def __init__(self, seed, clients, tree):
        super().__init__(seed, clients, PRESENT + ABSENT)
        self.tree = tree
        self.garbage = set()

    def begin(self, client):
        verb = self.random.choices(["define", "modify", "undefine", "create", "start", "rescan"], [12, 14, 8, 2, 2, 1])[0]
        if verb in ("define", "modify", "undefine"):
            return self.begin_definition(client, verb, TYPES)
        uuid = self.random.choice(self.uuids)
        if verb == "create":
            return verb, client.begin_create(self.random.choice(self.parents), "small", uuid)
        if verb == "start":
            return verb, client.begin_start(uuid, any=self.random.random() < 0.5)
        return verb, client.begin_manager("Rescan")

    def by_hand(self):
        if self.random.random() >= 0.05:
            return False
        verb, change = self.random.choice([("write", self.write), ("garble", self.garble), ("delete", self.delete),
                                           ("device", self.toggle_device)])
        change(self.random.choice(self.uuids))
        self.outcomes[f"{verb} by hand", None] += 1
        return True

    def files(self):
        return sorted(self.tree.definitions.glob("*/*-*"))

    def put(self, uuid, text):
        """As an editor does."""
        path = self.tree.definitions / self.random.choice(self.parents) / uuid
        path.parent.mkdir(exist_ok=True)
        temporary = self.tree.path / "temporary"
        temporary.write_text(text)
        temporary.rename(path)
        return path

    def write(self, uuid):
        type = self.random.choice(TYPES)
        self.garbage.discard(self.put(uuid, f'{{"mdev_type": "{type}", "start": "auto", "attrs": [{{"n": "{self.n}"}}]}}'))

    def garble(self, uuid):
        self.garbage.add(self.put(uuid, "no JSON"))

    def delete(self, _):
        if files := self.files():
            path = self.random.choice(files)
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            self.garbage.discard(path)

    def toggle_device(self, uuid):
        link = self.tree.sys / "bus/mdev/devices" / uuid
        if not link.is_symlink():
            self.tree.add_device(self.random.choice(PRESENT), self.random.choice(TYPES), uuid)
            return
        path = link.resolve()
        link.unlink()
        shutil.rmtree(path)


def complain(troubles, traffic, seed):
    assert not troubles, f"after {traffic.n} operations, MDEVD_ORDER_SEED={seed}:\n" + "\n".join(troubles[:20])


def check(follower, traffic, seed):
    """At a quiet point: the picture is what a new client is told, and what is told is what is there."""
    follower.rescan()
    follower.receive_all()
    complain(follower.glance(), traffic, seed)

    picture, tree = follower.picture, traffic.tree
    told = {properties["UUID"][1]: (properties["Parent"][1], properties["Type"][1])
            for properties in (interfaces.get(DEVICE) for interfaces in picture.values())
            if properties and properties["Active"][1]}
    there = {path.name: (path.resolve().parent.name, (path / "mdev_type").resolve().name)
             for path in (tree.sys / "bus/mdev/devices").iterdir()}
    invalid = {tree.path / path.lstrip("/") for path, _ in picture[PATH][MANAGER]["InvalidDefinitions"][1]}
    garbage = {path for path in traffic.files() if path.read_text() == "no JSON"}
    facts = [
        (told, there),
        (definitions_told(picture), definitions_in(path for path in traffic.files() if path not in garbage)),
        (invalid, garbage),
        (picture[PATH][MANAGER]["NPending"][1], 0),
        (picture[PATH][MANAGER]["NActive"][1], len(there)),
    ]
    complain([f"told {a}, but it is {b}" for a, b in facts if a != b], traffic, seed)


def test_the_model_client(host, monkeypatch):
    for parent in PRESENT:
        for type in TYPES:
            host.tree.add_type(parent, type, 9)
    host.start()
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", host.bus.address)
    seed = int(os.environ.get("MDEVD_ORDER_SEED", 0)) or random.SystemRandom().randrange(1, 1 << 32)
    print(f"MDEVD_ORDER_SEED={seed}")
    began = time.monotonic()

    with contextlib.ExitStack() as stack:
        traffic = HostTraffic(seed, [stack.enter_context(Mdevd()) for _ in range(4)], host.tree)
        followers = [stack.enter_context(Follower())]
        while traffic.n < OPERATIONS:
            traffic.step()
            # One of them comes when all is in full swing.
            if traffic.n == OPERATIONS // 3:
                followers.append(stack.enter_context(Follower()))
            for follower in followers:
                follower.receive_all()
                if traffic.n % 100 == 0:
                    complain(follower.glance(), traffic, seed)
            if traffic.n % 1000 == 0 or traffic.n == OPERATIONS:
                traffic.finish()
                for follower in followers:
                    check(follower, traffic, seed)
        n_signals = followers[0].n_signals

    print(f"{traffic.n} operations, {n_signals} signals, {time.monotonic() - began:.0f} s")
    for (verb, outcome), n in sorted(traffic.outcomes.items(), key=str):
        print(f"{n:6} {verb}: {outcome or 'done'}")
    unexpected = {outcome: traffic.sentences[outcome] for _, outcome in traffic.outcomes if outcome not in EXPECTED}
    assert not unexpected, f"MDEVD_ORDER_SEED={seed}"
    if OPERATIONS >= 10000:
        assert n_signals > OPERATIONS / 2
