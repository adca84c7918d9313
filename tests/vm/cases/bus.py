# SPDX-License-Identifier: LGPL-2.1-or-later
"""mdevd as its clients see it: a connection to the system bus, with calls that may be under way side by side."""

import collections
import contextlib
import os
import time

from jeepney import DBusAddress, HeaderFields, MatchRule, MessageFlag, MessageType
from jeepney import message_bus, new_error, new_method_call, new_method_return
from jeepney.io.blocking import open_dbus_connection

NAME = "org.mdevd1"
PATH = "/org/mdevd1"
MANAGER = "org.mdevd1.Manager"
DEVICE = "org.mdevd1.Device"
PARENT = "org.mdevd1.Parent"
PROPERTIES = "org.freedesktop.DBus.Properties"
OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"
INVALID_ARGS = "org.freedesktop.DBus.Error.InvalidArgs"
UNKNOWN_OBJECT = "org.freedesktop.DBus.Error.UnknownObject"
ACCESS_DENIED = "org.freedesktop.DBus.Error.AccessDenied"

# Longer than anything that is waited for here should take on a busy machine.
PATIENCE = 60

Row = collections.namedtuple("Row", "uuid state parent type active defined autostart attributes")


def error(name):
    return f"org.mdevd1.Error.{name}"


def device_path(uuid):
    return f"{PATH}/device/{uuid.replace('-', '_')}"


class BusError(Exception):
    """An error reply: its name and its sentence."""

    def __init__(self, name, sentence):
        super().__init__(f"{name}: {sentence}")
        self.name = name
        self.sentence = sentence


class Call:
    """One method call under way."""

    def __init__(self, connection, serial):
        self._connection = connection
        self._serial = serial

    def is_done(self):
        """Whether the answer is there; takes in what has arrived."""
        self._connection.receive_all()
        return self._serial in self._connection.replies

    def has_answer(self):
        """Whether the answer has been taken in."""
        return self._serial in self._connection.replies

    def result(self, timeout=PATIENCE):
        """The answer: nothing, one value, or a tuple; or a BusError."""
        reply = self._connection.wait_for(lambda: self._connection.replies.pop(self._serial, None), timeout)
        if reply.header.message_type is MessageType.error:
            name = reply.header.fields[HeaderFields.error_name]
            raise BusError(name, reply.body[0] if reply.body else "")
        return reply.body[0] if len(reply.body) == 1 else reply.body or None

    def failure(self, timeout=PATIENCE):
        """The error that it must have ended with."""
        try:
            result = self.result(timeout)
        except BusError as failure:
            return failure
        raise AssertionError(f"no error but {result!r}")


class Connection:
    """A client of the system bus. Signals that were asked for are kept in the order of their arrival, and so are the
    calls of others."""

    def __init__(self):
        self._connection = open_dbus_connection("SYSTEM", auth_timeout=PATIENCE)
        self.name = self._connection.unique_name
        self.replies = {}
        self.signals = []
        self.calls = []

    def close(self):
        self._connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def fileno(self):
        return self._connection.sock.fileno()

    def begin(self, path, interface, member, signature=None, *arguments, interactive=False, destination=NAME):
        address = DBusAddress(path, bus_name=destination, interface=interface)
        message = new_method_call(address, member, signature, arguments)
        if interactive:
            message.header.flags |= MessageFlag.allow_interactive_authorization
        serial = next(self._connection.outgoing_serial)
        self._connection.send(message, serial=serial)
        return Call(self, serial)

    def begin_raw(self, path, interface, member, signature, body):
        """A call whose BODY is bytes made by hand."""
        message = new_method_call(DBusAddress(path, bus_name=NAME, interface=interface), member)
        message.header.fields[HeaderFields.signature] = signature
        message.header.body_length = len(body)
        serial = next(self._connection.outgoing_serial)
        header = message.header.serialise(serial=serial)
        # The body begins at a multiple of eight.
        self._connection.sock.sendall(header + b"\0" * (-len(header) % 8) + body)
        return Call(self, serial)

    def pid_of(self, name=NAME):
        """The process that has a name on the bus."""
        return self.begin("/org/freedesktop/DBus", "org.freedesktop.DBus", "GetConnectionUnixProcessID", "s", name,
                          destination="org.freedesktop.DBus").result()

    def subscribe(self):
        """Keep from now on all signals that mdevd sends."""
        self._connection.send_and_get_reply(message_bus.AddMatch(MatchRule(type="signal", sender=NAME)))

    def _take(self, message):
        if message.header.message_type is MessageType.signal:
            self.signals.append(message)
        elif message.header.message_type is MessageType.method_call:
            self.calls.append(message)
        else:
            self.replies[message.header.fields[HeaderFields.reply_serial]] = message

    def answer(self, call, signature=None, *results):
        """Answer one of `calls`, for a client that is somebody's service."""
        self._connection.send(new_method_return(call, signature, results))

    def refuse(self, call, name, sentence):
        self._connection.send(new_error(call, name, "s", (sentence,)))

    def receive_all(self):
        with contextlib.suppress(TimeoutError):
            while True:
                self._take(self._connection.receive(timeout=0))

    def wait_for(self, predicate, timeout=PATIENCE):
        """Take in messages until PREDICATE() is true, and return what it returned."""
        deadline = time.monotonic() + timeout
        while not (found := predicate()):
            self._take(self._connection.receive(timeout=max(0, deadline - time.monotonic())))
        return found


class Mdevd(Connection):
    """mdevd's API, in Python's words. `begin_…` return a Call."""

    def begin_manager(self, member, signature=None, *arguments, **how):
        return self.begin(PATH, MANAGER, member, signature, *arguments, **how)

    def begin_create(self, parent, type, uuid="", attributes=(), **options):
        return self.begin_manager("Create", "sssa(ss)a{sv}", uuid, name_of(parent), type, list(attributes),
                                  variants(options))

    def create(self, parent, type, uuid="", attributes=(), **options):
        """Returns the UUID."""
        return self.begin_create(parent, type, uuid, attributes, **options).result()[0]

    def begin_define(self, parent, type, uuid="", attributes=(), **options):
        return self.begin_manager("Define", "sssa(ss)a{sv}", uuid, name_of(parent), type, list(attributes),
                                  variants(options))

    def define(self, parent, type, uuid="", attributes=(), **options):
        """Returns the UUID."""
        return self.begin_define(parent, type, uuid, attributes, **options).result()[0]

    def begin_undefine(self, uuid, parent="", **options):
        return self.begin_manager("Undefine", "ssa{sv}", uuid, name_of(parent), variants(options))

    def undefine(self, uuid, parent="", **options):
        self.begin_undefine(uuid, parent, **options).result()

    def begin_start(self, uuid, parent="", **options):
        return self.begin_manager("Start", "ssa{sv}", uuid, name_of(parent), variants(options))

    def start(self, uuid, parent="", **options):
        return self.begin_start(uuid, parent, **options).result()

    def begin_stop(self, uuid, **options):
        return self.begin_manager("Stop", "sa{sv}", uuid, variants(options))

    def stop(self, uuid, **options):
        self.begin_stop(uuid, **options).result()

    def begin_modify(self, uuid, parent="", **changes):
        return self.begin_manager("Modify", "ssa{sv}a{sv}", uuid, name_of(parent), variants(changes), {})

    def modify(self, uuid, parent="", **changes):
        self.begin_modify(uuid, parent, **changes).result()

    def begin_define_from_json(self, parent, json, uuid="", **options):
        return self.begin_manager("DefineFromJSON", "sssa{sv}", uuid, name_of(parent), json, variants(options))

    def begin_create_from_json(self, parent, json, uuid="", **options):
        return self.begin_manager("CreateFromJSON", "sssa{sv}", uuid, name_of(parent), json, variants(options))

    def start_parent(self, parent):
        """What could not be started: a dictionary of UUIDs and sentences."""
        return dict(self.begin_manager("StartParent", "s", name_of(parent)).result())

    def rescan(self):
        self.begin_manager("Rescan").result()

    def devices(self, **filters):
        """The rows of ListDevices."""
        return [Row(*row) for row in self.begin_manager("ListDevices", "a{sv}", variants(filters)).result()]

    def device(self, uuid):
        """The only row of a device, or None."""
        rows = self.devices(uuid=uuid)
        assert len(rows) <= 1, rows
        return rows[0] if rows else None

    def state(self, uuid):
        row = self.device(uuid)
        return row.state if row else None

    def device_property(self, uuid, name):
        """As the daemon has it, which does not look at the host for it; None if there is no such device."""
        try:
            return self.property(device_path(uuid), DEVICE, name)
        except BusError as failure:
            if failure.name != UNKNOWN_OBJECT:
                raise
            return None

    def is_settled(self):
        return self.property(PATH, MANAGER, "Settled")

    def parents(self):
        return self.begin_manager("ListParents").result()

    def has_parent(self, parent):
        return any(row[0] == name_of(parent) and row[2] for row in self.parents())

    def available_instances(self, parent, type):
        rows = self.begin_manager("ListTypes", "s", name_of(parent)).result()
        return next(row[5] for row in rows if row[1] == type)

    def properties(self, path, interface):
        return self.begin(path, PROPERTIES, "GetAll", "s", interface).result()

    def property(self, path, interface, name):
        return self.begin(path, PROPERTIES, "Get", "ss", interface, name).result()[1]

    def managed_objects(self):
        return self.begin(PATH, OBJECT_MANAGER, "GetManagedObjects").result()

    def wait_for_signal(self, predicate, timeout=PATIENCE):
        """The first kept signal of which PREDICATE(member, path, body) is true, that one and those before dropped."""

        def find():
            for number, message in enumerate(self.signals):
                fields = message.header.fields
                if predicate(fields[HeaderFields.member], fields[HeaderFields.path], message.body):
                    del self.signals[: number + 1]
                    return message
            return None

        return self.wait_for(find, timeout)

    def wait_for_added(self, path):
        return self.wait_for_signal(lambda member, _, body: member == "InterfacesAdded" and body[0] == path)

    def wait_for_removed(self, path):
        return self.wait_for_signal(lambda member, _, body: member == "InterfacesRemoved" and body[0] == path)

    def wait_for_property(self, path, name, value):
        """For the object to appear with, or to change to, a value."""

        def tells(member, signal_path, body):
            if member == "PropertiesChanged" and signal_path == path:
                return body[1].get(name, (None, None))[1] == value
            if member == "InterfacesAdded" and body[0] == path:
                return any(properties.get(name, (None, None))[1] == value for properties in body[1].values())
            return False

        return self.wait_for_signal(tells)


def name_of(parent):
    return parent if isinstance(parent, str) else parent.name


def variants(options):
    """Python's values as an a{sv}; names with dashes are written with underscores."""
    kinds = {bool: "b", str: "s", int: "t"}
    return {
        name.replace("_", "-"): value if isinstance(value, tuple) else (kinds[type(value)], value)
        for name, value in options.items()
    }


@contextlib.contextmanager
def as_user(uid):
    """Be somebody else for as long as it takes to connect: the bus asks the socket who its client is."""
    os.setresuid(uid, uid, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
