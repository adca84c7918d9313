# SPDX-License-Identifier: LGPL-2.1-or-later
"""A model under load: clients that do random things side by side, each answer held against the model of history.py,
while the driver is slow and fails, parents go and come, others write to sysfs and to the files, and the daemon and its
workers are killed. Now and then all is quiet, and what the bus, sysfs and the files say must be the same.

What each actor does is decided by the seed alone, so that the same one does the same things; who gets through first
is the kernel's affair.
"""

import collections
import contextlib
import os
import random
import re
import select
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bus
import mdevsim
import service
import sysfs
from bus import DEVICE, MANAGER, PATH
from definitions import DIRECTORY, file_of, files, text_of
from follower import definitions_in
from guest import KernelLog, wait_until
from history import BUSY, DONE, Definition, Device, History, Operation, State
from mdevsim import NOGROUP, SMALL

# Side by side, of each client.
UNDER_WAY = 5
CLIENTS = 6

# Longer than anything takes that has an end.
PATIENCE = 180

# More than are left when there is nothing to do.
WORKERS = 8

# The parents by their place: some go and come, two have little room, the others room for all.
RESTLESS = (5, 6, 7)
NARROW = (4, 7)
ROOM = 1024

ERRNOS = (5, 11, 12, 16, 22)

# What calls may end with where others are at the same UUID; of those, history.py tells what can be.
ANYTHING = {"Exists", "TryAgain", "NotFound", "NotActive", "ParentAbsent", "NoCapacity", "Kernel", "Attribute",
            "Ambiguous", "Orphaned", "Store", "InvalidDefinition", "Failed", DONE, BUSY, "orphaned", "seen"}

# The bus's words for a daemon that died, or stops; the work may be done all the same.
NO_ANSWER = {"NoReply", "Pending"}


class Host:
    """What else happens on the host, as far as it explains answers. Ticks count operations."""

    def __init__(self, parents):
        self.tick = 0
        self.parents = {parent.name: number for number, parent in enumerate(parents)}
        self.disturbed = set()  # parents that went or came since all was quiet
        self.waiting = set()  # UUIDs that are started when there is room, or tried again when what is defined changes
        self.faulty = collections.defaultdict(lambda: -1)  # by parent or attribute: the last tick with faults
        self.killed_worker = -1  # the last tick at which that may show

    def killed_workers_since(self, tick):
        return self.killed_worker >= tick

    def is_restless(self, parent):
        """Whether it may be absent, or on its way."""
        return parent in self.disturbed

    def may_be_at(self, uuid, state):
        """Whether mdevd may be at work on it of its own accord, or the kernel."""
        places = [definition.parent for definition in state.definitions if definition.autostart]
        places += [state.device.parent] if state.device else []
        return uuid in self.waiting or any(self.is_restless(parent) for parent in places)

    def refusals(self, parent, attributes, since):
        """What a creation may end with, for a reason that is not the device's."""
        if parent in self.disturbed:
            yield from ("NoSuchType", "Kernel", "NoCapacity")
        elif self.faulty[parent] >= since:
            yield "Kernel"
        if self.parents[parent] in NARROW:
            yield "NoCapacity"
        if attributes and (not self.takes(attributes) or parent in self.disturbed
                           or (attributes[-1][0] == "fail" and self.faulty[parent, "fail"] >= since)):
            yield "Attribute"

    def takes(self, attributes):
        """Whether there is a driver that does."""
        return not any(name == "nosuch" for name, _ in attributes)

    def drift(self, uuid, state):
        """What STATE may become by itself."""
        if state.device and self.is_restless(state.device.parent):
            yield state._replace(device=None)
        # Whichever of its marked definitions is the reason, they are tried in the order of their parents.
        marked = [definition for definition in state.definitions if definition.autostart]
        if state.device or not (uuid in self.waiting or any(self.is_restless(each.parent) for each in marked)):
            return
        for parent, type, _, attributes in marked:
            if self.takes(attributes):
                yield state._replace(device=Device(parent, type, attributes))
            if self.killed_worker >= 0:
                yield state._replace(device=Device(parent, type, None))


class Client:
    """What it asks for next is decided by its own random numbers only."""

    def __init__(self, number, seed, quota, places):
        self.bus = bus.Mdevd()
        self.random = random.Random(f"{seed} client {number}")
        self.left = quota
        self.places = places  # UUIDs, each with the parents that it is seen on
        self.calls = []  # operations and calls

    def fileno(self):
        return self.bus.fileno()

    def next(self, tick):
        """An operation and what begins it."""
        chance = self.random
        self.left -= 1
        hot = chance.random() < 0.1
        uuid, places = self.places[chance.randrange(8 if hot else len(self.places))]
        parent = places[chance.random() < 0.2].name
        definition = Definition(parent, chance.choice([NOGROUP, NOGROUP, NOGROUP, SMALL]), chance.random() < 0.3,
                                self.attributes())
        alternate, anywhere = chance.random() < 0.5, chance.choice(["", "", parent])
        options = {"autostart": definition.autostart, "alternate": alternate}
        verb = chance.choices(["define", "modify", "undefine", "create", "create+define", "start", "stop", "look"],
                              [6, 5, 4, 4, 2, 9, 11, 25])[0]
        if verb == "define":
            return (Operation(verb, uuid, tick, parent=parent, definition=definition, alternate=alternate),
                    lambda: self.bus.begin_define(parent, definition.type, uuid, definition.attributes, **options))
        if verb == "modify":
            name = chance.choice(["type", "autostart", "attributes"])
            value = getattr(definition, name)
            change = {name: ("a(ss)", list(value)) if name == "attributes" else value}
            return (Operation(verb, uuid, tick, parent=anywhere, change={name: value}),
                    lambda: self.bus.begin_modify(uuid, anywhere, **change))
        if verb == "undefine":
            return (Operation(verb, uuid, tick, parent=anywhere), lambda: self.bus.begin_undefine(uuid, anywhere))
        if verb == "start":
            return Operation(verb, uuid, tick, parent=anywhere), lambda: self.bus.begin_start(uuid, anywhere)
        if verb == "stop":
            return Operation(verb, uuid, tick), lambda: self.bus.begin_stop(uuid)
        if verb == "look":
            return Operation(verb, uuid, tick), lambda: self.bus.begin(bus.device_path(uuid), bus.PROPERTIES, "GetAll",
                                                                       "s", DEVICE)
        define = {"define": True, **options} if verb == "create+define" else {}
        return (Operation("create", uuid, tick, definition=definition, define=bool(define), alternate=alternate),
                lambda: self.bus.begin_create(parent, definition.type, uuid, definition.attributes, **define))

    def attributes(self):
        word = str(self.random.randrange(1000))
        return self.random.choice([(), (), (), (("log", word),), (("log", "a"), ("log", word)),
                                   (("log", word), ("fail", word)), (("log", word), ("nosuch", word))])


def answer_of(operation, call):
    """In the words of history.py."""
    try:
        result = call.result()
    except bus.BusError as failure:
        if operation.verb == "look" and failure.name == bus.UNKNOWN_OBJECT:
            return (), None
        operation.sentence = failure.sentence
        return re.sub(r"^(org\.mdevd1|org\.freedesktop\.DBus)\.Error\.", "", failure.name)
    return DONE if operation.verb != "look" else seen_of(result)


def seen_of(properties):
    """What the properties of a device's object show of its state."""
    state = properties["State"][1]
    definitions = tuple(Definition(parent, type, autostart, tuple(attributes))
                        for parent, type, autostart, attributes in properties["Definitions"][1])
    if state in ("active", "defined"):
        return definitions, (properties["Parent"][1], properties["Type"][1]) if state == "active" else None
    return BUSY if state in ("creating", "removing") else state


def orphans():
    """Devices that the kernel will not remove any more."""
    return {uuid for uuid in sysfs.devices() if not (sysfs.DEVICES / uuid / "remove").exists()}


class Soak:
    """One run. `violations`: what should not be, one line or more each."""

    def __init__(self, seed, operations, uuids):
        self.seed, self.operations = seed, operations
        self.parents = mdevsim.parents()
        self.host = Host(self.parents)
        self.random = random.Random(f"{seed} world")
        self.violations = []
        self.done = collections.Counter()
        self.outcomes = collections.Counter()
        self.away = set()  # parents that will come back
        self.later = []  # ticks, and what is to be done then
        self.memory = []
        self.log = KernelLog()
        self.bus = bus.Mdevd()
        self.hands = ThreadPoolExecutor(3)
        self.hotplug = {parent: ThreadPoolExecutor(1) for parent in self.parents}
        self.under_way = []

        chance = random.Random(f"{seed} places")
        names = [f"50a00000-0000-4000-8000-{number:012x}" for number in range(uuids)]
        places = [(name, chance.sample(self.parents, 2)) for name in names]
        # On each tenth others lay their hands; what becomes of it nobody knows, but it is the same wherever one looks.
        self.loose = places[9::10]
        self.histories = {name: History(name, self.host) for number, name in enumerate(names) if number % 10 != 9}
        self.clients = [Client(number, seed, -(-operations // CLIENTS), places) for number in range(CLIENTS)]

    # The run

    def run(self):
        for number, parent in enumerate(self.parents):
            parent.limit = mdevsim.LIMIT if number in NARROW else ROOM
        while any(client.left for client in self.clients):
            self.work(self.host.tick + min(2500, self.operations // 4))
            self.check()
        self.take_away()

    def work(self, until):
        """Begin what there is room for, and wait for answers; at the end wait for all."""
        ready = self.clients
        while ready:
            for client in ready:
                self.collect(client)
                while client.left and len(client.calls) < UNDER_WAY and self.host.tick < until:
                    self.begin(client)
            busy = [client for client in self.clients if client.calls]
            ready = select.select(busy, [], [], PATIENCE)[0] if busy else []
            if busy and not ready:
                self.complain("no answer:", *(repr(operation) for client in busy for operation, _ in client.calls))

    def begin(self, client):
        self.host.tick += 1
        self.happen()
        operation, begin = client.next(self.host.tick)
        if operation.uuid in self.histories:
            self.histories[operation.uuid].begin(operation)
        client.calls.append((operation, begin()))

    def collect(self, client):
        client.bus.receive_all()
        for operation, call in [pair for pair in client.calls if pair[1].has_answer()]:
            client.calls.remove((operation, call))
            self.take(operation, answer_of(operation, call))

    def take(self, operation, answer):
        told = answer if isinstance(answer, str) else "seen"
        self.outcomes[operation.verb, told] += 1
        history = self.histories.get(operation.uuid)
        if told not in ANYTHING | NO_ANSWER:
            self.complain(f"{operation!r} of {operation.uuid}: {answer}")
        if history and answer in NO_ANSWER:
            history.lose(operation)
        elif history and not history.end(operation, answer):
            self.complain(f"{operation.uuid}: this cannot be", *history.told)

    def complain(self, *lines):
        self.violations.append("\n  ".join(lines))
        print(f"violation at operation {self.host.tick}, seed {self.seed}:", self.violations[-1], flush=True)

    # What happens beside the clients

    def every(self, often):
        """Whether it is time for something that is done every OFTEN operations, or at least some times in a short
        run."""
        return self.host.tick % min(often, max(1, self.operations * often // 5000)) == 0

    def happen(self):
        """The same at the same tick of each run with a seed."""
        chance = self.random
        for due, action in [pair for pair in self.later if pair[0] <= self.host.tick]:
            self.later.remove((due, action))
            action()
        if self.host.tick % 10 == 0:
            self.lay_hands(chance)
        if self.host.tick % 40 == 0:
            self.inject(chance.choice(self.parents), chance)
        if self.host.tick % 100 == 0:
            self.read_log()
        if self.every(400):
            self.take_parent(self.parents[chance.choice(RESTLESS)], chance)
        if self.every(700):
            self.kill_worker(chance)
        # In the last part of the run one daemon lives long enough to lose memory.
        if self.every(1000) and self.host.tick < self.operations * 0.6:
            self.kill_daemon(signal.SIGTERM if chance.random() < 0.25 else signal.SIGKILL)

    def lay_hands(self, chance):
        uuid, places = chance.choice(self.loose)
        parent = chance.choice(places)
        action = chance.choice(["create", "create", "remove", "write", "write", "unlink", "break"])
        self.under_way.append(self.hands.submit(self.lay_hand, action, uuid, parent, chance.random() < 0.5))

    def lay_hand(self, action, uuid, parent, gently):
        """What somebody with a shell might do; GENTLY: as those do who care."""
        path = file_of(parent, uuid)
        with contextlib.suppress(OSError):
            if action == "create":
                sysfs.create(parent, NOGROUP, uuid)
            elif action == "remove":
                sysfs.remove(uuid)
            elif action == "unlink":
                path.unlink()
            else:
                text = text_of(NOGROUP) if action == "write" else '{ "mdev_type": '
                path.parent.mkdir(exist_ok=True)
                if gently:
                    other = DIRECTORY / f".{uuid}.{parent.name}"
                    other.write_text(text)
                    other.rename(path)
                else:
                    path.write_text(text)
            self.done["hands of others"] += 1

    def inject(self, parent, chance):
        """The driver is slow, and fails."""
        parent.create_delay_ms = chance.choice([0, 0, 0, 20, 100, 500])
        parent.remove_delay_ms = chance.choice([0, 0, 0, 20, 100, 500])
        parent.types_delay_ms = chance.choice([0, 0, 0, 50])
        for key, knob, value in ((parent.name, "create_errno", chance.choice([0] * 15 + [*ERRNOS])),
                                 ((parent.name, "fail"), "attr_errno", chance.choice([0, 5]))):
            was = getattr(parent, knob)
            setattr(parent, knob, value)
            if was or value:
                self.host.faulty[key] = float("inf") if value else self.host.tick
            self.done["faults injected"] += bool(value)

    def take_parent(self, parent, chance):
        """In one of the ways in which parents go; and some time later it comes back."""
        go, come = chance.choice([(lambda: setattr(parent, "registered", 0), lambda: setattr(parent, "registered", 1)),
                                  (parent.unbind, parent.bind), (parent.unplug, mdevsim.rescan)])
        after = chance.randrange(60)
        if parent in self.away:
            return
        self.host.disturbed.add(parent.name)
        self.away.add(parent)
        worker = self.hotplug[parent]
        self.under_way.append(worker.submit(go))

        def come_back():
            self.under_way.append(worker.submit(come))
            self.away.remove(parent)

        self.later.append((self.host.tick + after, come_back))
        self.done["parents taken away"] += 1

    def kill_worker(self, chance):
        workers, which = sorted(service.workers()), chance.random()
        if workers:
            # What is asked for a little later may still be given to the one that is dead.
            self.host.killed_worker = self.host.tick + 2 * CLIENTS * UNDER_WAY
            with contextlib.suppress(ProcessLookupError):
                os.kill(workers[int(which * len(workers))], signal.SIGKILL)
                self.done["workers killed"] += 1

    def kill_daemon(self, number):
        with contextlib.suppress(bus.BusError, ProcessLookupError):
            os.kill(self.bus.pid_of(), number)
            self.done["kills" if number == signal.SIGKILL else "stops"] += 1

    def read_log(self):
        self.log.read()
        if self.log.troubles():
            self.complain("the kernel complained", *self.log.troubles())
        self.log.lines.clear()

    # Quiet

    def calm(self):
        """Wait until all parents are back, nobody is at work, and no fault is injected."""
        for _, action in self.later:
            action()
        self.later.clear()
        for future in self.under_way:
            future.result(PATIENCE)
        self.under_way.clear()
        for parent in self.parents:
            parent.reset()
            wait_until(lambda: not parent.creating and not parent.removing, PATIENCE)

    def check(self):
        began = time.monotonic()
        self.calm()
        troubles = []

        def is_one_picture():
            try:
                self.bus.rescan()
                pictures = self.pictures()
            except bus.BusError as failure:
                troubles[:] = [str(failure)]
                return False
            troubles[:] = [f"{what}: the bus says {a}, but there is {b}" for what, a, b in pictures if a != b]
            return not troubles

        try:
            wait_until(is_one_picture, PATIENCE)
        except AssertionError:
            self.complain("at a checkpoint", *troubles)
        self.settle()
        self.read_log()
        self.weigh()
        self.done["checkpoints"] += 1
        print(f"{self.host.tick} operations, checkpoint of {time.monotonic() - began:.1f} s, "
              f"{self.memory[-1][1]} KiB, {len(self.violations)} violations", flush=True)

    def pictures(self):
        """Pairs of what must be the same."""
        objects = self.bus.managed_objects()
        manager = self.bus.properties(PATH, MANAGER)
        devices = [interfaces[DEVICE] for interfaces in objects.values() if DEVICE in interfaces]
        live = {device["UUID"][1]: (device["Parent"][1], device["Type"][1]) for device in devices
                if device["State"][1] != "defined"}
        orphaned = {device["UUID"][1] for device in devices if device["State"][1] == "orphaned"}
        states = {device["State"][1] for device in devices}
        told = {(device["UUID"][1], definition[0]): definition[1:] for device in devices
                for definition in device["Definitions"][1]}
        readable, unreadable = {}, set()
        for path in files():
            try:
                readable |= definitions_in([path])
            except ValueError:
                unreadable.add(str(path))
        self.waiting = {device["UUID"][1] for device in devices if device["Pending"][1] != ""}
        return [("devices", live, {uuid: (sysfs.parent_of(uuid), sysfs.type_of(uuid)) for uuid in sysfs.devices()}),
                ("orphans", orphaned, orphans()),
                ("definitions", told, readable),
                ("invalid definitions", {path for path, _ in manager["InvalidDefinitions"][1]}, unreadable),
                ("operations", (manager["NPending"][1], manager["Settled"][1]), (0, True)),
                ("states", states - {"defined", "active", "orphaned"}, set()),
                # Only somebody who removes what is being created can make one.
                ("orphans of our own", orphaned & self.histories.keys(), set())]

    def settle(self):
        """What there is must be what each client was told, or follow from it."""
        found = definitions_in([path for path in files() if path.name in self.histories])
        definitions = collections.defaultdict(list)
        for (uuid, parent), (type, autostart, attributes) in found.items():
            definitions[uuid].append(Definition(parent, type, autostart, tuple(attributes)))
        devices = sysfs.devices()
        for uuid, history in self.histories.items():
            device = None
            if uuid in devices:
                lines = (sysfs.DEVICES / uuid / "log").read_text().splitlines()
                device = Device(sysfs.parent_of(uuid), sysfs.type_of(uuid), tuple(("log", line) for line in lines))
            if not history.settle(State(tuple(sorted(definitions[uuid])), device)):
                self.complain(f"{uuid}: this does not follow from what was told", *history.told)
        self.host.disturbed.clear()
        self.host.faulty.clear()
        self.host.waiting = self.waiting
        self.host.killed_worker = -1

    def weigh(self):
        """Who serves, how much memory is its own in KiB, how many files it has open beside a socket and a pidfd for each
        of its children, how many workers there are: when those that were kept for more work are gone again."""
        with contextlib.suppress(AssertionError):
            wait_until(lambda: len(service.workers()) <= WORKERS)
        pid = self.bus.pid_of()
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        private = sum(map(int, re.findall(r"^Private_\w+: +(\d+) kB", rollup, re.MULTILINE)))
        # Who has ended, but has not been waited for, is a child and no worker any more.
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        files = len(os.listdir(f"/proc/{pid}/fd")) - 2 * len(children)
        self.memory.append((pid, private, files, len(service.workers())))

    # The end

    def take_away(self):
        """Nothing is left when all has been taken away, and each UUID is free."""
        for parent in {sysfs.parent_of(uuid) for uuid in orphans()}:
            self.host.disturbed.add(parent)
            for value in (0, 1):
                mdevsim.Parent(parent).registered = value
        for path in files():
            with contextlib.suppress(ValueError):
                definitions_in([path])
                continue
            path.unlink()
        self.check()
        # In this order: what waits for room is started as soon as there is some.
        self.all(self.bus.begin_undefine, {path.name for path in files()})
        self.all(self.bus.begin_stop, sysfs.devices())
        self.all(lambda uuid: self.bus.begin_create(self.parents[0], NOGROUP, uuid), self.histories)
        self.all(self.bus.begin_stop, self.histories)
        service.restart()
        left = [*self.bus.devices(), *sysfs.devices(), *files(), *DIRECTORY.rglob(".mdevd-*"),
                *Path("/run/mdevd/busy").iterdir(), *(parent for parent in self.parents if parent.live)]
        if left:
            self.complain("left at the end:", *map(str, left))
        self.read_log()

    def all(self, begin, uuids):
        """Do it to all of them. The bus lets a client wait for no more than 128 answers."""
        uuids = sorted(uuids)
        while uuids:
            calls = [begin(uuid) for uuid in uuids[:100]]
            del uuids[:100]
            for call in calls:
                try:
                    call.result()
                except bus.BusError as failure:
                    self.complain(f"at the end: {failure}")

    def close(self):
        for executor in (self.hands, *self.hotplug.values()):
            executor.shutdown()
        for client in (self.bus, *(client.bus for client in self.clients)):
            client.close()
        self.log.close()

    def grown(self):
        """Memory in KiB, files and workers of the last daemon, when all was quiet: when it was warm, and at the end."""
        last = [weights for pid, *weights in self.memory if pid == self.memory[-1][0]]
        return list(zip(last[len(last) // 3], last[-1]))

    def figure(self):
        counts = ", ".join(f"{count} {what}" for what, count in sorted(self.done.items()))
        return f"{self.host.tick} operations, seed {self.seed}: {counts}, {len(self.violations)} violations"
