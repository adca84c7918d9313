# SPDX-License-Identifier: LGPL-2.1-or-later

"""Values of any D-Bus type, and calls that may or may not make sense, from a seed."""

import contextlib
import json
import os
import random

import contract
from jeepney import DBusAddress, Endianness, HeaderFields, MessageFlag, MessageType, new_method_call
from jeepney.io.blocking import open_dbus_connection

NOBODY = 65534
ROOT_PATH = "/org/mdevd1"
OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"
PROPERTIES = "org.freedesktop.DBus.Properties"
STANDARD = ("org.freedesktop.DBus.Introspectable", "org.freedesktop.DBus.Peer", PROPERTIES, OBJECT_MANAGER)

UUIDS = [f"00000000-0000-0000-0000-00000000000{i:x}" for i in range(8)]
PARENTS = ["p", "q", "absent"]
TYPES = ["t", "full", "none"]

INTEGERS = {"y": 8, "n": -16, "q": 16, "i": -32, "u": 32, "x": -64, "t": 64}
BASIC = "ybnqiuxtdsog"
PLAIN_TEXT = '{"mdev_type": "t", "start": "manual", "attrs": [{"a": "1"}], "mine": {"x": [1.5, null]}}'


# What sd-bus answers in mdevd's place: the call is for nothing that is there.
STANDARD_ERRORS = {
    "org.freedesktop.DBus.Error." + name
    for name in ("UnknownMethod", "UnknownObject", "UnknownInterface", "UnknownProperty", "PropertyReadOnly", "InvalidArgs",
                 "InconsistentMessage")
}
# Any method may run into these.
GENERAL = {"org.mdevd1.Error.LimitsExceeded", "org.freedesktop.DBus.Error.NoMemory"}


def method_of(message, interface):
    """As documented; None if the call is for none of ours, and sd-bus has the answer."""
    fields = message.header.fields
    if fields[HeaderFields.path] != ROOT_PATH or fields.get(HeaderFields.interface, interface.name) != interface.name:
        return None
    return interface.methods.get(fields[HeaderFields.member])


def documented_errors(message, interface):
    """@interface: the Manager's, as documented."""
    method = method_of(message, interface)
    if not method:
        return STANDARD_ERRORS | GENERAL
    errors = GENERAL | {"org.freedesktop.DBus.Error.InvalidArgs"} | {e.get("name") for e in method.documented("error")}
    # Without an interface sd-bus looks for one that has such a method with such arguments.
    return errors if HeaderFields.interface in message.header.fields else errors | STANDARD_ERRORS


class Anything:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def one_in(self, n):
        return self.random.randrange(n) == 0

    def choose(self, *values):
        return self.random.choice(values)

    # Types

    def signature(self, depth=3):
        """One complete type."""
        kind = self.random.randrange(8) if depth > 0 else 0
        if kind < 4:
            return self.choose(*BASIC)
        if kind == 4:
            return "v"
        if kind == 5:
            return "a" + self.signature(depth - 1)
        if kind == 6:
            return "a{" + self.choose(*BASIC) + self.signature(depth - 1) + "}"
        return "(" + "".join(self.signature(depth - 1) for _ in range(self.random.randrange(1, 4))) + ")"

    def altered(self, signature):
        """Another one, that is not much different."""
        types = split(signature)
        place = self.random.randrange(len(types) + 1)
        if self.one_in(3) or not types:
            types.insert(place, self.signature())
        elif self.one_in(2):
            del types[place % len(types)]
        else:
            types[place % len(types)] = self.signature()
        return "".join(types)

    # Values

    def text(self):
        kind = self.random.randrange(16)
        if kind == 0:
            return "x" * self.choose(255, 256, 511, 512, 4095, 4096, 65535, 65536, 600_000)
        if kind == 1:
            return "é\u20ac\U0001f600\ufffd\ufffe\ufdd0"[self.random.randrange(6):] * self.choose(1, 100, 2000)
        if kind == 2:
            return "".join(chr(self.random.randrange(1, 128)) for _ in range(self.random.randrange(40)))
        if kind == 3:
            return self.json()
        return self.choose("", *UUIDS, *PARENTS, *TYPES, "..", "../x", "a/b", "/", "\n", "%s%n", "scripts.d", "remove",
                           UUIDS[1].upper(), "{" + UUIDS[2] + "}", "urn:uuid:" + UUIDS[3].replace("-", ""), "active")

    def json(self):
        """A definition, or what was one."""
        definition = {"mdev_type": self.choose("t", "", "a/b", 5, None), "start": self.choose("auto", "manual", None)}
        if self.one_in(2):
            pairs = [{self.choose("a", "b/c", "", "../x", "n" * 600, "é"): self.choose("1", "", "v" * 5000, 7, [])}]
            definition["attrs"] = self.choose([], pairs, pairs * 3, pairs * 1100, {}, "x", [[]], [{}])
        if self.one_in(4):
            definition[self.choose("x", "mdevd", "\0", "\uffff")] = self.choose(1e308, 10**30, [[[]]], "\0", "x" * 600_000)
        text = self.choose(PLAIN_TEXT, json.dumps(definition), json.dumps(definition, indent=2))
        if self.one_in(8):
            text = '{"mdev_type":"t","start":"auto","deep":' + "[" * self.choose(20, 31, 32, 5000) + "]}"
        if self.one_in(3):
            place = self.random.randrange(len(text))
            text = text[:place] + self.choose("", "\\u0000", "}", '"', ",", "1e999") + text[place + self.choose(0, 1) :]
        return text

    def integer(self, bits):
        low, high = (0, (1 << bits) - 1) if bits > 0 else (-(1 << (-bits - 1)), (1 << (-bits - 1)) - 1)
        return self.choose(low, high, low + 1, high - 1, 0, 1, 2, 3, self.random.randint(low, high))

    def path(self):
        known = [f"{ROOT_PATH}/device/{u.replace('-', '_')}" for u in UUIDS[:2]]
        odd = [f"{ROOT_PATH}/device/{UUIDS[0].replace('-', '_')}x", f"{ROOT_PATH}/device/_2e", "/x" * 100]
        return self.choose("/", "/org", ROOT_PATH, f"{ROOT_PATH}/device", f"{ROOT_PATH}/parent/p",
                           f"{ROOT_PATH}/parent/_2f", f"{ROOT_PATH}/parent/_", *known, *odd)

    def value(self, signature, depth=0):
        first = signature[0]
        if first in INTEGERS:
            return self.integer(INTEGERS[first])
        if first == "b":
            return self.one_in(2)
        if first == "d":
            return self.choose(0.0, -1.5, 1e308, float("inf"), float("nan"))
        if first == "s":
            return self.text()
        if first == "o":
            return self.path()
        if first == "g":
            return self.choose("", self.signature(), "a" * 32 + "y")
        if first == "v":
            return self.variant(depth)
        if first == "(":
            return tuple(self.value(t, depth + 1) for t in split(signature[1:-1]))
        # Of a long list all elements are the same: what counts is their number. Tens of megabytes take the bus that long.
        n = self.choose(0, 1, 1, 2, 3, 1100 if self.one_in(10) and depth == 0 else 1)
        if signature[1] == "{":
            key, value = split(signature[2:-1])
            return Pairs([(self.value(key, depth + 1), self.value(value, depth + 1)) for _ in range(min(n, 3))])
        if signature == "ay":
            return bytes(n)
        if n > 3:
            element = self.value(signature[1:], depth + 1)
            return [element] * (n if len(repr(element)) < 3000 else 1)
        return [self.value(signature[1:], depth + 1) for _ in range(n)]

    def variant(self, depth):
        """Now and then as deep as the bus lets through, or deeper."""
        levels = self.choose(1, 1, 1, 2, 8, 50, 62, 70) if depth == 0 and self.one_in(4) else 0
        inner = self.signature(max(0, 2 - depth))
        value = (inner, self.value(inner, depth + 1))
        for _ in range(levels):
            value = ("v", value)
        return value

    # Calls

    def options(self, known):
        """@known: the documented ones with their types."""
        pairs = []
        for _ in range(self.choose(0, 0, 1, 1, 2, 4)):
            name = self.choose(*known, *known, "colour", self.text()) if known else self.text()
            if name in known and not self.one_in(3):
                pairs.append((name, (known[name], self.value(known[name], 1))))
            else:
                pairs.append((name, self.variant(0)))
        return Pairs(pairs)

    def argument(self, argument, dictionaries):
        if argument.type == "a{sv}":
            return self.options(dictionaries.pop(0))
        if self.one_in(4):
            return self.value(argument.type)
        return {
            "uuid": lambda: self.choose(*UUIDS, ""),
            "parent": lambda: self.choose(*PARENTS, ""),
            "name": lambda: self.choose(*PARENTS),
            "type": lambda: self.choose(*TYPES, ""),
            "json": self.json,
            "attributes": lambda: self.choose([], [("a", "1")], [("a", "1")] * 3),
        }[argument.name]()

    def of_method(self, interface, method):
        """A call of a documented method: as it should be, nearly so, or not at all."""
        arguments = method.side("in")
        signature = "".join(a.type for a in arguments)
        if self.one_in(5):
            signature = self.choose(self.altered(signature), self.signature(), "")
            return method.name, signature, tuple(self.value(t) for t in split(signature))
        dictionaries = contract.documented_options(method)
        return method.name, signature, tuple(self.argument(a, dictionaries) for a in arguments)

    def of_standard(self):
        interface = self.choose(*STANDARD)
        member, signature = self.choose(("Get", "ss"), ("Set", "ssv"), ("GetAll", "s"), ("Introspect", ""), ("Ping", ""),
                                        ("GetManagedObjects", ""), ("GetMachineId", ""), ("Nothing", ""))
        if self.one_in(4):
            signature = self.altered(signature)
        arguments = [self.value(t) for t in split(signature)]
        if arguments and split(signature)[0] == "s" and not self.one_in(4):
            arguments[0] = self.choose("org.mdevd1.Manager", "org.mdevd1.Device", "org.mdevd1.Parent", *STANDARD)
        if len(arguments) > 1 and split(signature)[1] == "s" and not self.one_in(4):
            arguments[1] = self.choose("Version", "NDevices", "InvalidDefinitions", "State", "Types", "Name", "Attributes")
        return interface, member, signature, tuple(arguments)

    def call(self, interface):
        """A message. @interface: the Manager's, as documented."""
        if self.one_in(6):
            path, (name, member, signature, arguments) = self.path(), self.of_standard()
        else:
            method = self.choose(*interface.methods.values())
            path, name = ROOT_PATH, interface.name
            member, signature, arguments = self.of_method(interface, method)
            if self.one_in(30):
                path, name = self.choose((self.path(), name), (path, None), (path, "org.mdevd1.Device"), (path, "a.b"))
            if self.one_in(30):
                member = self.choose("NoSuchMethod", "x" * 255, "_")
        message = new_method_call(DBusAddress(path, "org.mdevd1", name), member, signature or None, arguments)
        if self.one_in(20):
            message.header.endianness = Endianness.big
        if self.one_in(10):
            message.header.flags |= MessageFlag.allow_interactive_authorization
        if self.one_in(20):
            message.header.flags |= MessageFlag.no_reply_expected
        if self.one_in(50):
            # Nobody waits for it.
            message.header.message_type = self.choose(MessageType.method_return, MessageType.error)
            message.header.flags |= MessageFlag.no_reply_expected
            message.header.fields[HeaderFields.reply_serial] = self.integer(32) or 1
            message.header.fields[HeaderFields.error_name] = "a.b"
        return message

    def damaged(self, data):
        """A message with bytes that are others: lengths that lie, text that is none. Mostly the bus will not have it."""
        data = bytearray(data)
        for _ in range(self.choose(1, 1, 2, 8)):
            data[self.random.randrange(len(data))] = self.choose(0, 1, 0x7F, 0xFF, self.random.randrange(256))
        return data


class Pairs(list):
    """A dictionary that may have a key twice."""

    def items(self):
        return self


def split(signature):
    """Its complete types."""
    types, begin, depth = [], 0, 0
    for i, c in enumerate(signature):
        depth += (c in "({") - (c in ")}")
        if depth == 0 and c != "a":
            types.append(signature[begin : i + 1])
            begin = i + 1
    return types


class Caller:
    """A client that sends what it is told to, as root or as nobody, and begins anew when the bus has enough of it."""

    def __init__(self, bus, uid, patience):
        self.address = bus.address
        self.uid = uid
        self.patience = patience
        self.connection = None
        self.n_thrown_out = 0

    def connect(self):
        """The bus knows a client by what it was when it connected."""
        with contextlib.ExitStack() as stack:
            if self.uid != os.geteuid():
                stack.callback(os.seteuid, os.geteuid())
                os.seteuid(self.uid)
            return open_dbus_connection(bus=self.address)

    def lost(self):
        self.n_thrown_out += 1
        self.close()

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def send_raw(self, data):
        with contextlib.suppress(OSError):
            self.connection = self.connection or self.connect()
            self.connection.sock.sendall(data)
        self.close()

    def ask(self, message):
        """The answer; None if there is none to wait for, or the bus did not like the question."""
        self.connection = self.connection or self.connect()
        try:
            if message.header.flags & MessageFlag.no_reply_expected:
                self.connection.send(message)
                return None
            return self.connection.send_and_get_reply(message, timeout=self.patience)
        except (ConnectionError, EOFError, BrokenPipeError):
            self.lost()
            return None
