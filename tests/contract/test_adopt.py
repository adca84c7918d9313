# SPDX-License-Identifier: LGPL-2.1-or-later

"""A daemon that comes while workers of an earlier one are still at it: what it says meanwhile and at the end, and to whom
waits for the same. (The same with a driver: tests/vm/cases/test_restart.py and test_crash.py.)"""

import contextlib
import os
import pathlib
import shutil
import signal
import time

import pytest
from host import PATIENCE, BusError, Client

U, OTHER = (f"00000000-0000-0000-0000-00000000000{i}" for i in (1, 2))
FAILED = "org.freedesktop.DBus.Error.Failed"


def wait_until(condition, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return result


def error(name):
    return f"org.mdevd1.Error.{name}"


def row(client, uuid):
    rows = client.manager("ListDevices", "a{sv}", {"uuid": ("s", uuid)})
    return rows[0] if rows else None


def state(client, uuid):
    found = row(client, uuid)
    return found and found[1]


def get(client, path, interface, name):
    return client.call(path, "org.freedesktop.DBus.Properties", "Get", "ss", f"org.mdevd1.{interface}", name)[1]


def of_device(client, uuid, name):
    return get(client, client.manager("GetDevice", "s", uuid), "Device", name)


def options(**values):
    return {name.replace("_", "-"): ("b", value) for name, value in values.items()}


class Gate:
    """A file in whose place a fifo is: who opens it to write waits until it is opened here."""

    def __init__(self, path, other_name):
        # By its other name it is there when the first one is gone.
        self.path = other_name
        path.unlink(missing_ok=True)
        os.mkfifo(self.path)
        os.link(self.path, path)

    def open(self):
        return self.path.read_bytes()


class Stuck:
    """A host with parents p and q, and operations that do not get on until they are let."""

    def __init__(self, host):
        self.host = host
        self.tree = host.tree
        self.gates = []
        for parent in ("p", "q"):
            self.tree.add_type(parent, "t", 4)

    def gate(self, path):
        self.gates.append(Gate(path, self.tree.path / f"gate-{len(self.gates)}"))
        return self.gates[-1]

    def gate_creations(self, parent):
        return self.gate(self.tree.sys / f"devices/{parent}/mdev_supported_types/t/create")

    def gate_script(self):
        """Every action waits in a script, which is named like a gate when it has begun."""
        directory = self.tree.definitions / "scripts.d/callouts"
        directory.mkdir(parents=True)
        gate = self.gate(self.tree.path / "script-gate")
        script = directory / "waits"
        script.write_text(f'#!/bin/sh\ncase "$4" in pre) : >{self.tree.path}/script-began; echo >{gate.path} ;; esac\n')
        script.chmod(0o755)
        self.script_began = self.tree.path / "script-began"
        return gate

    def add_device(self, parent, ours):
        self.tree.add_device(parent, "t", U)
        if ours:
            life = (self.tree.sys / "devices" / parent / U).stat().st_ino
            record = self.tree.path / "run/mdevd/devices" / U
            record.parent.mkdir(parents=True, exist_ok=True)
            record.write_text(f"whole {life}\n")

    def take_away(self, parent):
        (self.tree.sys / "bus/mdev/devices" / U).unlink()
        shutil.rmtree(self.tree.sys / "devices" / parent / U)

    def busy(self):
        return (self.tree.path / "run/mdevd/busy" / U).exists()

    def workers(self):
        found = set()
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (process / "cmdline").read_bytes().split(b"\0")
                if b"mdevd-worker" in words[0] + (process / "comm").read_bytes() \
                        and f"--root={self.tree.path}".encode() in words:
                    found.add(int(process.name))
        return found

    def restart(self):
        """The next daemon, and the worker that the one before it left."""
        self.host.client.connection.close()
        self.host.daemon.terminate()
        assert self.host.daemon.wait(PATIENCE) == 0
        worker, = wait_until(lambda: len(left := self.workers()) == 1 and left)
        return self.host.start(), worker

    def let_go(self):
        for gate in self.gates:
            with contextlib.suppress(OSError):
                os.close(os.open(gate.path, os.O_RDONLY | os.O_NONBLOCK))


@pytest.fixture
def stuck(host):
    s = Stuck(host)
    yield s
    s.let_go()


def begin_creation(stuck, client):
    client.begin("Create", "sssa(ss)a{sv}", U, "p", "t", [], {})
    wait_until(lambda: state(client, U) == "creating" and stuck.busy())


def test_what_a_parent_offers_after_a_removal(stuck):
    """Nobody tells of an instance that comes back: the daemon asks."""
    stuck.add_device("p", True)
    available = stuck.tree.sys / "devices/p/mdev_supported_types/t/available_instances"
    available.write_text("0\n")
    gate = stuck.gate(stuck.tree.sys / "devices/p" / U / "remove")
    stuck.tree.define("p", OTHER, '{"mdev_type": "t", "start": "auto"}')
    client = stuck.host.start()
    client.begin("Stop", "sa{sv}", U, {})
    wait_until(lambda: state(client, U) == "removing")

    client, _ = stuck.restart()
    parent = client.manager("GetParent", "s", "p")
    assert state(client, U) == "removing" and of_device(client, OTHER, "Pending") == "no-capacity"
    available.write_text("1\n")
    stuck.take_away("p")
    gate.open()
    wait_until(lambda: get(client, parent, "Parent", "Types")[0][4] == 1)
    wait_until(lambda: of_device(client, OTHER, "Pending") != "no-capacity")


def change(kind):
    """A call that is about definitions."""
    return {
        "define": ("Define", "sssa(ss)a{sv}", OTHER, "p", "t", [], {}),
        "define-live": ("Define", "sssa(ss)a{sv}", U, "q", "t", [], options(alternate=True)),
        "modify": ("Modify", "ssa{sv}a{sv}", U, "p", {"autostart": ("b", False)}, {}),
        "undefine": ("Undefine", "ssa{sv}", U, "p", {}),
    }[kind]


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("kind", ["define-live", "modify", "undefine"])
def test_active_during_what_is_about_definitions(stuck, kind, ours):
    stuck.add_device("p", ours)
    origin = "mdevd" if ours else "external"
    if kind != "define-live":
        stuck.tree.define("p", U, '{"mdev_type": "t", "start": "manual"}')
    gate = stuck.gate_script()
    client = stuck.host.start()
    client.begin(*change(kind))
    wait_until(stuck.script_began.exists)

    client, _ = stuck.restart()
    assert row(client, U)[1:5] == ("active", "p", "t", True)
    assert get(client, "/org/mdevd1", "Manager", "NActive") == 1
    assert of_device(client, U, "Origin") == origin
    assert client.refused("Stop", "sa{sv}", U, {}).name == error("TryAgain")
    gate.open()
    wait_until(lambda: not stuck.busy())
    assert row(client, U)[1:5] == ("active", "p", "t", True)
    assert of_device(client, U, "Origin") == origin


def test_gone_during_what_is_about_definitions(stuck):
    """What lives comes and goes whatever somebody is writing down."""
    stuck.add_device("p", True)
    stuck.tree.define("p", U, '{"mdev_type": "t", "start": "manual"}')
    gate = stuck.gate_script()
    client = stuck.host.start()
    client.begin(*change("modify"))
    wait_until(stuck.script_began.exists)

    client, _ = stuck.restart()
    stuck.take_away("p")
    assert state(client, U) == "defined" and stuck.busy()
    assert not (stuck.tree.path / "run/mdevd/devices" / U).exists()
    stuck.tree.add_device("p", "t", U)
    assert state(client, U) == "active" and stuck.busy()
    gate.open()
    wait_until(lambda: not stuck.busy())
    assert state(client, U) == "active" and of_device(client, U, "Origin") == "external"


def test_leaving_during_what_is_about_definitions(stuck):
    stuck.add_device("p", True)
    stuck.tree.define("p", U, '{"mdev_type": "t", "start": "manual"}')
    gate = stuck.gate_script()
    client = stuck.host.start()
    client.begin(*change("undefine"))
    wait_until(stuck.script_began.exists)

    client, _ = stuck.restart()
    (stuck.tree.sys / "bus/mdev/devices" / U).unlink()
    assert state(client, U) == "removing" and stuck.busy()
    gate.open()
    wait_until(lambda: not stuck.busy())
    assert row(client, U)[1:4] == ("removing", "p", "t")


@pytest.mark.parametrize("ours", [True, False])
def test_whose_it_is_that_is_being_removed(stuck, ours):
    stuck.add_device("p", ours)
    origin = "mdevd" if ours else "external"
    gate = stuck.gate_script()
    client = stuck.host.start()
    client.begin("Stop", "sa{sv}", U, {})
    wait_until(stuck.script_began.exists)

    client, _ = stuck.restart()
    assert row(client, U)[1:4] == ("removing", "p", "t")
    assert of_device(client, U, "Origin") == origin
    # Files do not remove a device: it fails, and is there as before.
    gate.open()
    wait_until(lambda: state(client, U) == "active")
    assert row(client, U)[1:4] == ("active", "p", "t")
    assert of_device(client, U, "Origin") == origin
