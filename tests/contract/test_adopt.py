# SPDX-License-Identifier: LGPL-2.1-or-later

"""A daemon that comes while workers of an earlier one are still at it: what it says meanwhile and at the end, and to whom
waits for the same. (The same with a driver: tests/vm/cases/test_restart.py and test_crash.py.)"""

import contextlib
import os
import pathlib
import shutil
import signal
import sys
import time

import pytest
from host import PATIENCE, TOP

sys.path.append(str(TOP / "tests/vm/cases"))

from bus import MANAGER, PARENT, PATH, Mdevd, error  # noqa: E402

U, OTHER = (f"00000000-0000-0000-0000-00000000000{i}" for i in (1, 2))
FAILED = "org.freedesktop.DBus.Error.Failed"


def wait_until(condition, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return result


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
        self.clients = []
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

    def client(self):
        self.clients.append(Mdevd())
        return self.clients[-1]

    def start(self):
        self.host.start()
        return self.client()

    def restart(self):
        """The next daemon, and the worker that the one before it left."""
        self.host.client.connection.close()
        self.host.daemon.terminate()
        assert self.host.daemon.wait(PATIENCE) == 0
        worker, = wait_until(lambda: len(left := self.workers()) == 1 and left)
        return self.start(), worker

    def kill_who_waits(self, worker):
        """And those that wait for work, who are not to be told from him."""
        self.send(signal.SIGKILL, wait_until(lambda: self.workers() - {worker}))

    @staticmethod
    def send(number, workers):
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, number)

    def end(self):
        for client in self.clients:
            client.close()
        for gate in self.gates:
            with contextlib.suppress(OSError):
                os.close(os.open(gate.path, os.O_RDONLY | os.O_NONBLOCK))


@pytest.fixture
def stuck(host, monkeypatch):
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", host.bus.address)
    s = Stuck(host)
    yield s
    s.end()


def begin_creation(stuck, client):
    client.begin_create("p", "t", U)
    # Its worker writes that down before it asks the driver.
    wait_until(lambda: client.state(U) == "creating" and (stuck.tree.path / "run/mdevd/devices" / U).exists())


def test_what_a_parent_offers_after_a_removal(stuck):
    """Nobody tells of an instance that comes back: the daemon asks."""
    stuck.add_device("p", True)
    available = stuck.tree.sys / "devices/p/mdev_supported_types/t/available_instances"
    available.write_text("0\n")
    stuck.tree.define("p", OTHER, '{"mdev_type": "t", "start": "auto"}')
    gate = stuck.gate_script()
    client = stuck.start()
    client.begin_stop(U)
    wait_until(stuck.script_began.exists)

    client, _ = stuck.restart()
    parent = client.begin_manager("GetParent", "s", "p").result()
    assert client.state(U) == "removing" and client.device_property(OTHER, "Pending") == "no-capacity"
    available.write_text("1\n")
    stuck.take_away("p")
    gate.open()
    wait_until(lambda: client.property(parent, PARENT, "Types")[0][4] == 1)
    wait_until(lambda: client.device_property(OTHER, "Pending") != "no-capacity")


CHANGES = {
    "define": lambda client: client.begin_define("p", "t", U),
    "modify": lambda client: client.begin_modify(U, "p", autostart=False),
    "undefine": lambda client: client.begin_undefine(U, "p"),
}


@pytest.mark.parametrize("ours", [True, False])
@pytest.mark.parametrize("kind", sorted(CHANGES))
def test_active_during_what_is_about_definitions(stuck, kind, ours):
    stuck.add_device("p", ours)
    origin = "mdevd" if ours else "external"
    if kind != "define":
        stuck.tree.define("p", U, '{"mdev_type": "t", "start": "manual"}')
    gate = stuck.gate_script()
    client = stuck.start()
    CHANGES[kind](client)
    wait_until(stuck.script_began.exists)

    client, _ = stuck.restart()
    assert client.device(U)[1:5] == ("active", "p", "t", True)
    assert client.property(PATH, MANAGER, "NActive") == 1
    assert client.device_property(U, "Origin") == origin
    assert client.begin_stop(U).failure().name == error("TryAgain")
    gate.open()
    wait_until(lambda: not stuck.busy())
    assert client.device(U)[1:5] == ("active", "p", "t", True)
    assert client.device_property(U, "Origin") == origin


def test_gone_during_what_is_about_definitions(stuck):
    """What lives comes and goes whatever somebody is writing down."""
    stuck.add_device("p", True)
    stuck.tree.define("p", U, '{"mdev_type": "t", "start": "manual"}')
    gate = stuck.gate_script()
    client = stuck.start()
    CHANGES["modify"](client)
    wait_until(stuck.script_began.exists)

    client, _ = stuck.restart()
    stuck.take_away("p")
    assert client.state(U) == "defined" and stuck.busy()
    assert not (stuck.tree.path / "run/mdevd/devices" / U).exists()
    stuck.tree.add_device("p", "t", U)
    assert client.state(U) == "active" and stuck.busy()
    gate.open()
    wait_until(lambda: not stuck.busy())
    assert client.state(U) == "active" and client.device_property(U, "Origin") == "external"


def test_leaving_during_what_is_about_definitions(stuck):
    stuck.add_device("p", True)
    stuck.tree.define("p", U, '{"mdev_type": "t", "start": "manual"}')
    gate = stuck.gate_script()
    client = stuck.start()
    CHANGES["undefine"](client)
    wait_until(stuck.script_began.exists)

    client, _ = stuck.restart()
    (stuck.tree.sys / "bus/mdev/devices" / U).unlink()
    assert client.state(U) == "removing" and stuck.busy()
    gate.open()
    wait_until(lambda: not stuck.busy())
    assert client.device(U)[1:4] == ("removing", "p", "t")


@pytest.mark.parametrize("ours", [True, False])
def test_whose_it_is_that_is_being_removed(stuck, ours):
    stuck.add_device("p", ours)
    origin = "mdevd" if ours else "external"
    gate = stuck.gate_script()
    client = stuck.start()
    client.begin_stop(U)
    wait_until(stuck.script_began.exists)

    client, _ = stuck.restart()
    assert client.device(U)[1:4] == ("removing", "p", "t")
    assert client.device_property(U, "Origin") == origin
    # Files do not remove a device: it fails, and is there as before.
    gate.open()
    wait_until(lambda: client.state(U) == "active")
    assert client.device(U)[1:4] == ("active", "p", "t")
    assert client.device_property(U, "Origin") == origin



class Outcome:
    """What an earlier daemon's creation comes to, and what is said of it to who waits for just that device."""

    def __init__(self, stuck):
        self.stuck = stuck
        gate = stuck.gate_creations("p")
        client = stuck.start()
        begin_creation(stuck, client)
        self.client, self.worker = stuck.restart()
        self.call = self.client.begin_create("p", "t", U, exist_ok=True)
        assert self.client.state(U) == "creating" and not self.call.is_done()
        self.let_on = gate.open


def test_joined_and_made(stuck):
    outcome = Outcome(stuck)
    stuck.tree.add_device("p", "t", U)
    outcome.let_on()
    assert outcome.call.result()[0] == U
    assert outcome.client.device(U)[1:4] == ("active", "p", "t")
    assert outcome.client.device_property(U, "Origin") == "mdevd"


def test_joined_and_refused(stuck):
    stuck.tree.define("p", U, '{"mdev_type": "t", "start": "manual"}')
    outcome = Outcome(stuck)
    outcome.let_on()
    failure = outcome.call.failure()
    assert failure.name == FAILED and "an earlier mdevd" in failure.sentence
    assert outcome.client.state(U) == "defined"
    assert outcome.client.device_property(U, "LastError") == (FAILED, failure.sentence)


def test_joined_and_cut_off(stuck):
    outcome = Outcome(stuck)
    stuck.tree.add_device("p", "t", U)
    os.kill(outcome.worker, signal.SIGKILL)
    failure = outcome.call.failure()
    assert failure.name == FAILED and "interrupted before all its attributes were set" in failure.sentence
    assert outcome.client.state(U) == "active"
    assert outcome.client.device_property(U, "LastError") == (FAILED, failure.sentence)


@pytest.mark.parametrize("parent, type_name", [("q", "t"), ("p", "other")])
def test_joined_and_another_is_there(stuck, parent, type_name):
    stuck.tree.add_type("p", "other", 4)
    outcome = Outcome(stuck)
    stuck.tree.add_device(parent, type_name, U)
    outcome.let_on()
    assert outcome.call.failure().name == FAILED
    assert outcome.client.device(U)[1:4] == ("active", parent, type_name)


@pytest.mark.parametrize("broken", ["look", "store"])
def test_who_waits_for_the_earlier_worker_fails(stuck, broken):
    """The UUID is the earlier worker's for as long as that is at it, whatever becomes of who waits for its end."""
    gate = stuck.gate_creations("p")
    client = stuck.start()
    begin_creation(stuck, client)
    if broken == "store":
        shutil.rmtree(stuck.tree.definitions)
        stuck.tree.definitions.write_text("no directory\n")
    client, worker = stuck.restart()
    if broken == "look":
        stuck.kill_who_waits(worker)
    for _ in range(3):
        time.sleep(0.5)
        assert client.state(U) == "creating" and stuck.busy()
        assert client.begin_create("q", "t", U).failure().name == error("Exists")
    stuck.tree.add_device("p", "t", U)
    gate.open()
    wait_until(lambda: client.state(U) == "active")
    assert not stuck.busy() and client.device_property(U, "Origin") == "mdevd"
    assert client.device_property(U, "LastError") == ("", "")


def test_who_waits_dies_when_the_work_is_done(stuck):
    """Another looks."""
    outcome = Outcome(stuck)
    waiting = stuck.workers() - {outcome.worker}
    stuck.send(signal.SIGSTOP, waiting)
    stuck.tree.add_device("p", "t", U)
    outcome.let_on()
    wait_until(lambda: outcome.worker not in stuck.workers())
    assert outcome.client.state(U) == "creating" and stuck.busy()
    stuck.send(signal.SIGKILL, waiting)
    assert outcome.call.result()[0] == U
    assert outcome.client.device(U)[1:4] == ("active", "p", "t") and not stuck.busy()
    assert outcome.client.device_property(U, "Origin") == "mdevd"


def test_who_waits_is_told_when_the_daemon_ends(stuck):
    gate = stuck.gate_creations("p")
    client = stuck.start()
    first = client.begin_create("p", "t", U)
    wait_until(lambda: client.state(U) == "creating" and stuck.busy())
    stuck.host.daemon.terminate()
    failure = first.failure()
    assert failure.name == error("Pending") and "mdevd is stopping" in failure.sentence
    gate.open()


def test_a_daemon_that_ends_before_it_waits_again(stuck):
    outcome = Outcome(stuck)
    stuck.kill_who_waits(outcome.worker)
    wait_until(lambda: "trying again" in stuck.host.logs[-1].read_text())
    stuck.host.daemon.terminate()
    assert outcome.call.failure().name == error("Pending")
    assert stuck.busy()
