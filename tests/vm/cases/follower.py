# SPDX-License-Identifier: LGPL-2.1-or-later
"""The model client: subscribes, asks once, and follows the signals; it must never be wrong. For the guest and the host."""

import collections
import json
import random

from jeepney import HeaderFields

import bus
from bus import DEVICE, MANAGER, OBJECT_MANAGER, PATH, PROPERTIES

Signal = collections.namedtuple("Signal", "member path body")


def signal_of(message):
    return Signal(message.header.fields[HeaderFields.member], message.header.fields[HeaderFields.path], message.body)


class Follower(bus.Mdevd):
    """A client that asks once, whatever goes on meanwhile, and believes the signals from then on. `picture`: paths,
    interfaces, properties."""

    def __init__(self):
        super().__init__()
        self.picture = {}
        self.troubles = []
        self.n_signals = 0
        self.subscribe()
        self._objects = self.begin(PATH, OBJECT_MANAGER, "GetManagedObjects")
        self._manager = self.begin(PATH, PROPERTIES, "GetAll", "s", MANAGER)
        self.wait_for(lambda: self._objects.has_answer() and self._manager.has_answer())

    def ask(self):
        return {**copied(self.managed_objects()), PATH: {MANAGER: dict(self.properties(PATH, MANAGER))}}

    def glance(self):
        """What is wrong now, in the midst of it all: an answer is about the moment between two signals."""
        objects = self.managed_objects()
        wrong = list(differences({path: self.picture[path] for path in self.picture if path != PATH}, objects))
        manager = self.properties(PATH, MANAGER)
        return [*self.troubles, *wrong, *differences({PATH: self.picture[PATH]}, {PATH: {MANAGER: manager}})]

    def _take(self, message):
        knew = self._objects_known(), self._manager_known()
        super()._take(message)
        if not knew[0] and self._objects_known():
            self.picture.update(copied(message.body[0]))
        elif not knew[1] and self._manager_known():
            self.picture[PATH] = {MANAGER: dict(message.body[0])}
        for signal in map(signal_of, self.signals):
            # What is told before an answer is in the answer.
            of_manager = signal.member == "PropertiesChanged" and signal.path == PATH
            if self._manager_known() if of_manager else self._objects_known():
                self.n_signals += 1
                self._follow(signal)
        self.signals.clear()

    def _objects_known(self):
        return "_objects" in vars(self) and self._objects.has_answer()

    def _manager_known(self):
        return "_manager" in vars(self) and self._manager.has_answer()

    def _follow(self, signal):
        if signal.member == "InterfacesAdded":
            path, interfaces = signal.body
            if path in self.picture:
                self.troubles.append(f"{path} was added twice")
            self.picture |= copied({path: interfaces})
        elif signal.member == "InterfacesRemoved":
            path, interfaces = signal.body
            if set(interfaces) != self.picture.pop(path, {}).keys():
                self.troubles.append(f"{path} was removed with other interfaces than it had, or without being there")
        elif signal.member == "PropertiesChanged":
            interface, changed, invalidated = signal.body
            if invalidated or signal.path not in self.picture:
                self.troubles.append(f"{signal.path}: {invalidated} were invalidated, or it is not there")
            else:
                self.picture[signal.path][interface].update(changed)


def copied(objects):
    return {path: {interface: dict(properties) for interface, properties in interfaces.items()}
            for path, interfaces in objects.items()}


def differences(picture, truth):
    for path in sorted(picture.keys() | truth.keys()):
        if path not in picture or path not in truth:
            yield f"{path} is {'not ' if path not in truth else ''}there"
            continue
        for interface in picture[path].keys() | truth[path].keys():
            mine, real = picture[path].get(interface), truth[path].get(interface)
            if mine is None or real is None:
                yield f"{path} {interface}: {mine} {real}"
                continue
            for name in mine.keys() | real.keys():
                if mine.get(name) != real.get(name):
                    yield f"{path} {name}: told {mine.get(name)}, but it is {real.get(name)}"


class Traffic:
    """Clients that do random things, many at a time, with few UUIDs and few parents, so that they meet."""

    UUIDS = 40
    UNDER_WAY = 8

    def __init__(self, seed, clients, parents):
        self.random = random.Random(seed)
        self.clients = clients
        self.parents = parents
        self.uuids = [f"00000000-0000-4000-8000-{number:012x}" for number in range(self.UUIDS)]
        self.under_way = {client: [] for client in clients}  # verbs and calls
        self.outcomes = collections.Counter()  # of verbs, with the names of errors or None
        self.sentences = {}  # the last of each error
        self.n = 0

    def step(self):
        """One more operation, when there is room for it."""
        self.n += 1
        if self.by_hand():
            return
        client = self.random.choice(self.clients)
        client.receive_all()
        self.under_way[client] = [operation for operation in self.under_way[client] if not self._is_over(*operation)]
        while len(self.under_way[client]) >= self.UNDER_WAY:
            self._end(*self.under_way[client].pop(0))
        self.under_way[client].append(self.begin(client))

    def by_hand(self):
        """Now and then do what does not go through mdevd; return whether."""
        raise NotImplementedError

    def begin(self, client):
        """Return a word for what was begun, and the Call."""
        raise NotImplementedError

    def begin_definition(self, client, verb, types):
        uuid, parent = self.random.choice(self.uuids), self.random.choice(self.parents)
        if verb == "define":
            return verb, client.begin_define(parent, self.random.choice(types), uuid, self.attributes(),
                                             alternate=self.random.random() < 0.5, autostart=self.random.random() < 0.5)
        if verb == "modify":
            return verb, client.begin_modify(uuid, self.random.choice(["", parent]), **self.random.choice([
                {"type": self.random.choice(types)}, {"autostart": self.random.random() < 0.5},
                {"attributes": ("a(ss)", self.attributes())},
                {"add_attribute": ("(uss)", (0, "log", str(self.n)))}, {"remove_attribute": ("u", 0)}]))
        return verb, client.begin_undefine(uuid, self.random.choice(["", parent]))

    def attributes(self):
        # The last one is refused by the driver.
        return self.random.choice([[], [], [("log", str(self.n))], [("log", "a"), ("log", "b")], [("nosuch", "1")]])

    def _is_over(self, verb, call):
        if not call.has_answer():
            return False
        self._end(verb, call)
        return True

    def _end(self, verb, call):
        failure = failure_of(call)
        self.outcomes[verb, failure and failure.name] += 1
        if failure:
            self.sentences[failure.name] = failure.sentence

    def finish(self):
        """Wait for what is under way."""
        for operations in self.under_way.values():
            while operations:
                self._end(*operations.pop(0))


def failure_of(call):
    """The error that it ended with, or None."""
    try:
        call.result()
    except bus.BusError as failure:
        return failure
    return None


def definitions_told(picture):
    return {(interfaces[DEVICE]["UUID"][1], parent): (type, autostart, attributes)
            for interfaces in picture.values() if DEVICE in interfaces
            for parent, type, autostart, attributes in interfaces[DEVICE]["Definitions"][1]}


def definitions_in(paths):
    found = {}
    for path in paths:
        text = json.loads(path.read_text())
        attributes = [pair for attribute in text["attrs"] for pair in attribute.items()]
        found[path.name, path.parent.name] = text["mdev_type"], text["start"] == "auto", attributes
    return found
