# SPDX-License-Identifier: LGPL-2.1-or-later

"""What is stuck holds up nobody else, measured where time means something, for each thing by itself: others have their
answers within a second, a restart takes no more than two, what is wrong is told as long as it is, and not longer. (All
of it at once, on a real kernel, and systemd's watchdog: tests/vm/cases/test_stuck.py.)"""

import contextlib
import os
import pathlib
import socket
import subprocess
import threading
import time

import pytest
from host import PATIENCE, BusError, Client
from jeepney import HeaderFields, MessageType, message_bus, new_method_return
from memory import LIMITLESS, NONE, Memory

ERROR = "org.mdevd1.Error."
NO_MEMORY = "org.freedesktop.DBus.Error.NoMemory"
NOBODY = 65534
U = [f"00000000-0000-0000-0000-00000000000{i}" for i in range(4)]

# What the project promises. (An answer takes some milliseconds, a restart some tens of them.)
ANSWER_SECONDS = 1
RESTART_SECONDS = 2


def wait_until(is_so):
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def state(client, uuid):
    rows = client.manager("ListDevices", "a{sv}", {"uuid": ("s", uuid)})
    return rows[0][1] if rows else None


class Fault:
    """Something on the host that is stuck, or not there. The device U[1] is its victim, U[2] is defined and has nothing
    to do with it."""

    name = None  # of the trouble that tells of it
    answers = {}  # what others are told where it is not what they asked for: errors by members

    def __init__(self, host):
        self.host = host

    def prepare(self):
        """Before the daemon is started."""

    def begin(self):
        """Returns when it is so."""

    def again(self):
        """After a restart."""

    def out_of_the_way(self):
        """For who has a question that needs what is not there."""
        return contextlib.nullcontext()

    def is_known(self):
        """Whether the daemon that runs now has the true picture."""
        return state(self.host.client, U[2]) == "defined"

    def end(self):
        """All goes on."""

    def close(self):
        """Whatever has come of it."""


def put_pipe(path):
    """Who writes there waits."""
    path.unlink()
    os.mkfifo(path)


def let_go_on(path):
    with open(path, "rb") as file:
        assert file.read()


def let_fail(path):
    """Whoever waits there still."""
    with contextlib.suppress(FileNotFoundError):
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))


class Creation(Fault):
    name = "operation"

    def prepare(self):
        self.create = self.host.tree.sys / "devices/p/mdev_supported_types/t/create"

    def begin(self):
        put_pipe(self.create)
        self.host.client.begin("Create", "sssa(ss)a{sv}", U[1], "p", "t", [], {})
        wait_until(self.is_known)

    def is_known(self):
        return super().is_known() and state(self.host.client, U[1]) == "creating"

    def end(self):
        let_go_on(self.create)
        wait_until(lambda: state(self.host.client, U[1]) is None)

    def close(self):
        let_fail(self.create)


class Removal(Fault):
    name = "operation"

    def prepare(self):
        self.host.tree.add_device("p", "t", U[1])
        self.device = self.host.tree.sys / "devices/p" / U[1]
        self.gone = self.host.directory / "gone"

    def begin(self):
        put_pipe(self.device / "remove")
        self.host.client.begin("Stop", "sa{sv}", U[1], {})
        wait_until(self.is_known)

    def is_known(self):
        return super().is_known() and state(self.host.client, U[1]) == "removing"

    def end(self):
        # It is gone when its driver returns.
        (self.host.tree.sys / "bus/mdev/devices" / U[1]).unlink()
        self.device.rename(self.gone)
        let_go_on(self.gone / "remove")
        wait_until(lambda: state(self.host.client, U[1]) is None)

    def close(self):
        let_fail(self.device / "remove")


class Polkit(Fault):
    """Takes questions."""

    name = "polkit"

    def prepare(self):
        self.questions = []
        self.answers_at_once = False
        self.host.directory.chmod(0o755)
        self.connection = self.host.bus.connect()
        self.connection.send_and_get_reply(message_bus.RequestName("org.freedesktop.PolicyKit1"))
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        with contextlib.suppress(OSError, EOFError):
            while True:
                call = self.connection.receive()
                if call.header.message_type is MessageType.method_call:
                    if call.header.fields[HeaderFields.member] == "CheckAuthorization":
                        self.questions.append(call)
                    if self.answers_at_once:
                        self.answer()

    def answer(self):
        while self.questions:
            self.connection.send(new_method_return(self.questions.pop(), "(bba{ss})", ((False, False, {}),)))

    def begin(self):
        os.seteuid(NOBODY)
        try:
            self.client = Client(self.host.bus)
        finally:
            os.seteuid(0)
        self.client.begin("Create", "sssa(ss)a{sv}", U[1], "p", "t", [], {})
        wait_until(lambda: self.questions)

    def again(self):
        self.questions.clear()
        self.client.connection.close()
        self.begin()

    def end(self):
        self.answers_at_once = True
        self.answer()
        while (answer := self.client.connection.receive(timeout=PATIENCE)).header.message_type is MessageType.signal:
            pass
        assert answer.header.message_type is MessageType.error

    def close(self):
        self.client.connection.close()
        self.connection.sock.shutdown(2)
        self.thread.join()
        self.connection.close()


class Namespace:
    """Mounts that only the daemon has, and whoever looks at its root."""

    def __init__(self, host, monkeypatch, script, program="exec"):
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-ec", f"{script}\necho ready\nexec cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        if self.holder.stdout.readline() != "ready\n":
            self.close()
            pytest.skip("no mount namespaces")
        self.root = pathlib.Path(f"/proc/{self.holder.pid}/root")
        mdevd = os.path.abspath(os.environ["MDEVD"])
        wrapper = host.directory / "mdevd-in-namespace"
        wrapper.write_text(f'#!/bin/sh\n{program} nsenter --mount=/proc/{self.holder.pid}/ns/mnt "{mdevd}" "$@"\n')
        wrapper.chmod(0o755)
        monkeypatch.setenv("MDEVD", str(wrapper))

    def path(self, path):
        return self.root / path.relative_to("/")

    def close(self):
        self.holder.stdin.close()
        self.holder.wait()
        self.holder.stdout.close()


class Disk(Fault):
    name = "store"
    answers = {"Define": ERROR + "Store", "Undefine": ERROR + "NotFound"}

    def __init__(self, host, monkeypatch):
        super().__init__(host)
        where = host.tree.definitions
        self.namespace = Namespace(
            host, monkeypatch,
            f'mkdir "{where}.disk"\nmount -t tmpfs -o size=64k,mode=0755 tmpfs "{where}.disk"\n'
            f'cp -r "{where}/." "{where}.disk"\nmount --move "{where}.disk" "{where}"',
        )
        self.filler = self.namespace.path(where) / "filler"

    def begin(self):
        with contextlib.suppress(OSError), open(self.filler, "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def end(self):
        self.filler.unlink()
        self.host.client.manager("Define", "sssa(ss)a{sv}", U[3], "q", "t", [], {})
        self.host.client.manager("Undefine", "ssa{sv}", U[3], "q", {})

    def close(self):
        self.namespace.close()


class Journal(Fault):
    name = "journal"

    def __init__(self, host, monkeypatch):
        super().__init__(host)
        self.namespace = Namespace(
            host, monkeypatch, "mount -t tmpfs tmpfs /run\nmkdir -p /run/systemd/journal",
            # As systemd starts a service.
            "JOURNAL_STREAM=$(stat --dereference --format=%d:%i /proc/self/fd/2) exec",
        )
        self.address = str(self.namespace.path(pathlib.Path("/run/systemd/journal/socket")))
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.address)
        self.lines = 0
        self.thread = None

    def begin(self):
        # A sender has a bound of its own.
        n = 1
        with contextlib.ExitStack() as stack:
            while n > 0:
                sender = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK))
                n = 0
                with contextlib.suppress(BlockingIOError):
                    while True:
                        sender.sendto(b"MESSAGE=There is no room for another line.\n", self.address)
                        n += 1

    def read(self):
        with contextlib.suppress(OSError):
            while line := self.socket.recv(65536):
                self.lines += f"MDEVD_UUID={U[3]}".encode() in line

    def end(self):
        self.thread = threading.Thread(target=self.read)
        self.thread.start()
        wait_until(lambda: self.lines > 0)

    def close(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
            if self.thread:
                end.sendto(b"", self.address)
                self.thread.join()
        self.socket.close()
        self.namespace.close()


class NoMemory(Fault):
    """None at all: each allocation fails."""

    name = "memory"
    answers = dict.fromkeys(["Define", "Undefine", "Rescan", "ListTypes", "ListDevices"], NO_MEMORY)

    def __init__(self, host, monkeypatch):
        super().__init__(host)
        built = pathlib.Path(os.environ["MDEVD"]).absolute().parents[1] / "tests/unit"
        self.memory = Memory(host.directory / "memory")
        monkeypatch.setenv("MDEVD", str(built / "mdevd-without-memory"))
        host.bus.environment["MDEVD_MEMORY"] = str(host.directory / "memory")

    def begin(self):
        self.memory.write(NONE)

    def again(self):
        self.begin()

    @contextlib.contextmanager
    def out_of_the_way(self):
        self.memory.write(LIMITLESS)
        yield
        self.memory.write(NONE)

    def end(self):
        self.memory.write(LIMITLESS)
        self.host.client.manager("Rescan")

    def close(self):
        self.memory.write(LIMITLESS)
        self.memory.file.close()


FAULTS = {
    "creation": lambda host, monkeypatch: Creation(host),
    "removal": lambda host, monkeypatch: Removal(host),
    "polkit": lambda host, monkeypatch: Polkit(host),
    "disk": Disk,
    "journal": Journal,
    "memory": NoMemory,
}


@pytest.fixture
def fault(host, monkeypatch, request):
    for parent in ("p", "q"):
        host.tree.add_type(parent, "t", 4)
    host.tree.define("q", U[2], '{"mdev_type": "t", "start": "manual"}')
    f = FAULTS[request.param](host, monkeypatch)
    try:
        f.prepare()
        host.start()
        yield f
    finally:
        # Workers that wait for it may hold up whoever looks after them.
        f.close()


def others_are_answered(fault):
    """Each within its time. Returns what took longest."""
    calls = [
        ("Define", "sssa(ss)a{sv}", U[3], "q", "t", [], {}),
        ("Undefine", "ssa{sv}", U[3], "q", {}),
        ("Rescan",),
        ("ListTypes", "s", ""),
        ("ListDevices", "a{sv}", {}),
    ]
    longest = 0
    for call in calls:
        began = time.monotonic()
        try:
            fault.host.client.manager(*call)
            error = None
        except BusError as e:
            error = e.name
        took = time.monotonic() - began
        assert error == fault.answers.get(call[0]), call[0]
        assert took < ANSWER_SECONDS, call[0]
        longest = max(longest, took)
    return longest


def restart(fault):
    host = fault.host
    host.client.connection.close()
    began = time.monotonic()
    host.daemon.terminate()
    assert host.daemon.wait(PATIENCE) == 0
    with fault.out_of_the_way():
        host.start()
    took = time.monotonic() - began
    assert took < RESTART_SECONDS
    return took


@pytest.mark.parametrize("fault", FAULTS, indirect=True)
def test_answers_restart_and_what_is_told(host, fault):
    """Of what is slow it is told after ten seconds, and that memory was missing for as long."""
    longest = others_are_answered(fault) if not fault.answers else 0
    assert host.client.troubles() == {}
    began = time.time()
    fault.begin()

    def is_told():
        nonlocal longest
        longest = max(longest, others_are_answered(fault))
        with fault.out_of_the_way():
            return fault.name in host.client.troubles()

    wait_until(is_told)
    with fault.out_of_the_way():
        troubles = host.client.troubles()
    assert troubles.keys() == {fault.name}
    sentence, since_usec = troubles[fault.name]
    assert sentence.endswith(".") and began - 1 < since_usec / 1e6 < time.time()

    took = restart(fault)
    with fault.out_of_the_way():
        assert fault.is_known()
    fault.again()
    longest = max(longest, others_are_answered(fault))
    print(f"the longest answer took {longest * 1000:.1f} ms, the restart {took * 1000:.1f} ms")

    fault.end()
    wait_until(lambda: host.client.troubles() == {})
    assert not host.client.manager("ListDevices", "a{sv}", {"uuid": ("s", U[1])})
    assert others_are_answered(Fault(host)) < ANSWER_SECONDS
