# SPDX-License-Identifier: LGPL-2.1-or-later

"""A private bus, and mdevd on a tree of plain files. MDEVD and MDEVD_WORKER name the programs that were built."""

import fcntl
import os
import pathlib
import re
import socket
import subprocess

import pytest
from jeepney import DBusAddress, MessageType, new_method_call
from jeepney.io.blocking import open_dbus_connection

TOP = pathlib.Path(__file__).parents[2]

BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    <allow user="*"/>
  </policy>
</busconfig>
"""

PATIENCE = 30


class Bus:
    """A bus for one test."""

    def __init__(self, directory):
        path = directory / "bus"
        config = directory / "bus.conf"
        config.write_text(BUS_CONFIG.format(path=path))
        self.address = f"unix:path={path}"
        self.environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self.address}
        self.process = subprocess.Popen(
            ["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address=1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self.process.stdout.readline()

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


# What the sanitizers begin with, in a build with them.
REPORT = re.compile(r"runtime error:|ERROR: \w+Sanitizer")


def reports(log):
    """What sanitizers have to say in the log of a daemon that has ended, and of its workers, which may end later: they
    hold the lock that the log was opened with."""
    with open(log, errors="replace") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        # What is no report is told with a level.
        lines = [line for line in file if not line.startswith("<")]
    return "".join(lines) if any(REPORT.search(line) for line in lines) else ""


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
        """Returns a client when mdevd is ready; before, UNTIL() is called when it has begun."""
        self.logs.append(self.directory / f"log-{len(self.logs)}")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready, open(self.logs[-1], "wb") as log:
            (self.directory / "notify").unlink(missing_ok=True)
            fcntl.flock(log, fcntl.LOCK_EX)
            ready.bind(str(self.directory / "notify"))
            ready.settimeout(PATIENCE)
            self.daemon = subprocess.Popen(
                [
                    os.path.abspath(os.environ["MDEVD"]),
                    f"--root={self.tree.path}",
                    f"--worker={os.path.abspath(os.environ['MDEVD_WORKER'])}",
                ],
                env={**self.bus.environment, "NOTIFY_SOCKET": str(self.directory / "notify")},
                stdout=log,
                stderr=log,
            )
            if until:
                until(ready)
            while b"READY=1" not in ready.recv(4096):
                pass
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
