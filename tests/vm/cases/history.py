# SPDX-License-Identifier: LGPL-2.1-or-later
"""What may have become of one UUID, by what its clients were told: a check of linearizability (Wing and Gong, Lowe).

An operation takes effect at one moment between its call and its answer, as a whole; which moment, nobody knows. So
there are several configurations that the UUID may be in: a state, and of the operations under way those that have had
their effect, each with the answer that is to come. An answer leaves those in which it can come. If none is left, what
clients were told cannot be true, however it happened.
"""

import collections

# What is defined, sorted by parent; and what lives, None or a Device. Its attributes are None where nobody can know.
State = collections.namedtuple("State", "definitions device")
Definition = collections.namedtuple("Definition", "parent type autostart attributes")
Device = collections.namedtuple("Device", "parent type attributes")

NOTHING = State((), None)

# Instead of the attributes of a device that will not be there when all is quiet.
LEAVING = "leaving"

# Answers: these, the names of errors, or what a look showed.
DONE = "done"
BUSY = "busy"


class Operation:
    """What is asked for. `contended`: somebody else is, or was, at the UUID meanwhile."""

    def __init__(self, verb, uuid, began=0, **arguments):
        self.verb = verb
        self.uuid = uuid
        self.began = began
        self.contended = False
        self.lost = False
        self.sentence = ""  # of the error that it ended with
        self.arguments = arguments

    def __repr__(self):
        return " ".join([self.verb, *(f"{name}={value!r}" for name, value in self.arguments.items())])

    def outcomes(self, state, host):
        """All answers that it can have in STATE, each with the state that it leaves."""
        found = list(getattr(self, self.verb)(state, host, **self.arguments))
        if self.contended or host.may_be_at(self.uuid, state):
            found.append((BUSY if self.verb == "look" else "TryAgain", state))
            if self.verb in ("create", "start"):
                found.append(("Exists", state))
        if host.killed_workers_since(self.began):
            found += [("Failed", half) for _, new in found for half in halves(state, new)]
        return found

    def define(self, state, host, parent, definition, alternate):
        if refuses(state, parent, alternate):
            yield "Exists", state
        else:
            yield DONE, with_definition(state, definition)

    def modify(self, state, host, parent, change):
        error, definition = find(state, parent)
        yield error or DONE, state if error else with_definition(state, definition._replace(**change))

    def undefine(self, state, host, parent):
        left = tuple(definition for definition in state.definitions if parent not in ("", definition.parent))
        yield DONE if left != state.definitions else "NotFound", state._replace(definitions=left)

    def create(self, state, host, definition, define, alternate):
        if state.device or (define and refuses(state, definition.parent, alternate)):
            yield "Exists", state
        # Whichever is looked at first.
        if host.is_restless(definition.parent):
            yield "ParentAbsent", state
        if not state.device and not (define and refuses(state, definition.parent, alternate)):
            new = with_device(state, definition)
            yield from self.creation(state, with_definition(new, definition) if define else new, host)

    def start(self, state, host, parent):
        error, definition = find(state, parent)
        if error:
            yield error, state
        if state.device:
            yield "Exists", state
        if definition and host.is_restless(definition.parent):
            yield "ParentAbsent", state
        if definition and not state.device:
            yield from self.creation(state, with_device(state, definition), host)

    def creation(self, state, new, host):
        """Of a device that is not there."""
        parent, _, attributes = new.device
        for error in host.refusals(parent, attributes, self.began):
            yield error, state
            # Its parent was on its way out, and takes the device along in its own time.
            if host.is_restless(parent):
                yield error, state._replace(device=new.device._replace(attributes=LEAVING))
        if host.takes(attributes):
            yield DONE, new
        # It was to be removed again, and nobody was left to do it.
        elif host.killed_workers_since(self.began):
            yield from (("Failed", half) for half in halves(state, new))

    def stop(self, state, host):
        if state.device:
            yield DONE, state._replace(device=None)
            if host.is_restless(state.device.parent):
                yield from (("Kernel", state), ("Orphaned", state))
        else:
            yield "NotActive" if state.definitions else "NotFound", state

    def look(self, state, host):
        yield shown(state), state
        if state.device and host.is_restless(state.device.parent):
            yield "orphaned", state


def shown(state):
    """STATE without what the bus does not tell."""
    return state.definitions, state.device and state.device[:2]


def refuses(state, parent, alternate):
    """Whether what is defined forbids a definition on PARENT."""
    return any(definition.parent == parent or not alternate for definition in state.definitions)


def find(state, parent):
    """The name of the error, or None; and the definition that PARENT, or "", means."""
    found = [definition for definition in state.definitions if parent in ("", definition.parent)]
    return ("NotFound" if not found else "Ambiguous" if len(found) > 1 else None,
            found[0] if len(found) == 1 else None)


def with_definition(state, new):
    others = [definition for definition in state.definitions if definition.parent != new.parent]
    return state._replace(definitions=tuple(sorted([*others, new])))


def with_device(state, definition):
    return state._replace(device=Device(definition.parent, definition.type, definition.attributes))


def halves(old, new):
    """What a worker that dies may leave: the one, the other, some of the definitions that were to go, the device
    without its definition, or half of its attributes."""
    gone = set(old.definitions) - set(new.definitions) if len(new.definitions) < len(old.definitions) else ()
    some = [tuple(definition for definition in old.definitions if definition != other) for other in gone]
    for definitions in {old.definitions, new.definitions, *some}:
        for device in {old.device, new.device}:
            yield State(definitions, device)
            if device and device != old.device:
                yield State(definitions, device._replace(attributes=None))


class History:
    """Of one UUID. HOST knows what else may have happened: see soak.Host."""

    def __init__(self, uuid, host):
        self.uuid = uuid
        self.host = host
        self.under_way = []
        self.told = collections.deque(maxlen=30)
        self.configurations = {(NOTHING, frozenset())}

    def begin(self, operation):
        self.told.append(f"{self.host.tick}: {operation!r} …")
        for other in self.under_way:
            other.contended = operation.contended = True
        self.under_way.append(operation)

    def end(self, operation, answer):
        """Return whether ANSWER can be. If it cannot, anything can be until the next time that all is quiet."""
        self.told.append(f"{self.host.tick}: … {operation.verb} of {operation.began}: {answer} {operation.sentence}")
        self.under_way.remove(operation)
        if self.configurations is None:
            return True
        self._let_happen(operation)
        self.configurations = {(state, effects - {(operation, answer)}) for state, effects in self.configurations
                               if (operation, answer) in effects} or None
        return self.configurations is not None

    def lose(self, operation):
        """Nobody will say what became of it, nor when."""
        self.told.append(f"{self.host.tick}: … {operation.verb} of {operation.began} will have no answer")
        operation.lost = True

    def settle(self, state):
        """Nothing is under way, and this is what there is. Return whether that can be."""
        self.told.append(f"{self.host.tick}: there is {state}")
        possible = self.configurations is None or self._may_be(state)
        self.under_way.clear()
        self.configurations = {(state, frozenset())}
        return possible

    def _may_be(self, state):
        self._let_happen()
        return any(is_like(state, other) for other, _ in self.configurations)

    def _let_happen(self, *ended):
        """Add what the configurations may have become meanwhile."""
        operations = [*ended, *self.under_way]
        new = list(self.configurations)
        while new:
            state, effects = new.pop()
            followers = [(after, effects) for after in self.host.drift(self.uuid, state)]
            had_effect = {operation for operation, _ in effects}
            for operation in operations:
                if operation not in had_effect:
                    followers += [(after, effects | {(operation, None if operation.lost else answer)})
                                  for answer, after in operation.outcomes(state, self.host)]
            for follower in followers:
                if follower not in self.configurations:
                    self.configurations.add(follower)
                    new.append(follower)


def is_like(seen, state):
    """Whether STATE can look as SEEN; of a device's attributes only those that are a log can be seen."""
    if shown(seen) != shown(state) or seen.device is None:
        return shown(seen) == shown(state)
    attributes = state.device.attributes
    if attributes is None or attributes == LEAVING:
        return attributes is None
    return tuple(pair for pair in attributes if pair[0] == "log") == seen.device.attributes
