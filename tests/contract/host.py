# SPDX-License-Identifier: LGPL-2.1-or-later

"""A private bus, and mdevd on a tree of plain files. MDEVD and MDEVD_WORKER name the programs that were built."""

import pathlib
import subprocess

import pytest
from jeepney import DBusAddress, MessageType, new_method_call
from jeepney.io.blocking import open_dbus_connection

from private import PATIENCE, PrivateBus, reports, start_daemon

TOP = pathlib.Path(__file__).parents[2]


class Bus(PrivateBus):
    """One that programs and connections are sent to."""

    def run(self, *words):
        """A client's program, with what it says."""
        return subprocess.run(
            words, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE
        )

    def connect(self):
        return open_dbus_connection(bus=self.address)

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


class BusError(Exception):
    def __init__(self, name, sentence):
        super().__init__(f"{name}: {sentence}")
        self.name = name
        self.sentence = sentence


class Client:
    """Calls mdevd and waits for its answers."""

    def __init__(self, bus):
        self.connection = bus.connect()

    def call(self, path, interface, member, signature=None, *arguments):
        message = new_method_call(DBusAddress(path, "org.mdevd1", interface), member, signature, arguments)
        reply = self.connection.send_and_get_reply(message, timeout=PATIENCE)
        if reply.header.message_type is MessageType.error:
            raise BusError(reply.header.fields[4], reply.body[0])
        return reply.body[0] if len(reply.body) == 1 else reply.body

    def begin(self, member, signature=None, *arguments):
        """A call of the Manager whose answer nobody waits for."""
        address = DBusAddress("/org/mdevd1", "org.mdevd1", "org.mdevd1.Manager")
        self.connection.send(new_method_call(address, member, signature, arguments))

    def manager(self, member, signature=None, *arguments):
        return self.call("/org/mdevd1", "org.mdevd1.Manager", member, signature, *arguments)

    def refused(self, member, signature=None, *arguments):
        """The error that a call of the Manager ends with."""
        with pytest.raises(BusError) as caught:
            self.manager(member, signature, *arguments)
        return caught.value

    def troubles(self):
        """What is wrong: sentences and times by names, the first of each."""
        rows = self.call("/org/mdevd1", "org.freedesktop.DBus.Properties", "Get", "ss", "org.mdevd1.Manager", "Troubles")[1]
        return {name: (sentence, since_usec) for name, sentence, since_usec in reversed(rows)}

    def introspect(self, path):
        return self.call(path, "org.freedesktop.DBus.Introspectable", "Introspect")


class Tree:
    """What mdevd looks at, below a directory: sysfs as the kernel lays it out, and the definitions."""

    def __init__(self, path):
        self.path = path
        self.sys = path / "sys"
        self.definitions = path / "etc/mdevctl.d"
        for name in ("sys/class/mdev_bus", "sys/bus/mdev/devices", "sys/devices", "etc/mdevctl.d", "run"):
            (path / name).mkdir(parents=True)

    def add_type(self, parent, name, available, description="A card, cut"):
        device = self.sys / "devices" / parent
        path = device / "mdev_supported_types" / name
        path.mkdir(parents=True)
        if not (self.sys / "class/mdev_bus" / parent).is_symlink():
            (self.sys / "class/mdev_bus" / parent).symlink_to(f"../../devices/{parent}")
        for file, text in (("name", "Label"), ("device_api", "vfio-pci"), ("description", description)):
            (path / file).write_text(text + "\n")
        (path / "create").touch()
        (path / "available_instances").write_text(f"{available}\n")
        return path

    def add_device(self, parent, type_name, uuid):
        path = self.sys / "devices" / parent / uuid
        path.mkdir()
        (path / "remove").touch()
        (path / "mdev_type").symlink_to(f"../mdev_supported_types/{type_name}")
        (self.sys / "bus/mdev/devices" / uuid).symlink_to(f"../../../devices/{parent}/{uuid}")

    def define(self, parent, uuid, text):
        path = self.definitions / parent / uuid
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


class Host:
    """A tree, a bus, and once it is started mdevd on them."""

    def __init__(self, directory):
        self.directory = directory
        self.tree = Tree(directory / "root")
        self.bus = Bus(directory)
        self.daemon = None
        self.client = None
        self.logs = []  # of each start one: a worker may live longer than its daemon

    def start(self, until=None):
        """Returns a client when mdevd is ready; before, UNTIL(process, socket) is called when it has begun."""
        self.logs.append(self.directory / f"log-{len(self.logs)}")
        self.daemon = start_daemon(self.tree.path, self.bus, self.logs[-1], until)
        self.client = Client(self.bus)
        return self.client

    def stop(self):
        try:
            if self.client:
                self.client.connection.close()
            if self.daemon:
                self.daemon.terminate()
                assert self.daemon.wait(PATIENCE) == 0
                said = "".join(map(reports, self.logs))
                assert not said, said
        finally:
            self.bus.stop()
