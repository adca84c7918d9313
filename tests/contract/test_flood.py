# SPDX-License-Identifier: LGPL-2.1-or-later

"""One client that floods, in all the ways that the bus allows, and the others, who are served all the same."""

import array
import contextlib
import itertools
import mmap
import os
import pathlib
import resource
import signal
import socket
import struct
import threading
import time
import traceback

import pytest
from host import BusError, Client
from jeepney import DBusAddress, MatchRule, MessageFlag, message_bus, new_method_call
from jeepney.io.blocking import open_dbus_connection
from test_contract import MANAGER, PLAIN

OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"
PROPERTIES = "org.freedesktop.DBus.Properties"
PARENT = "0000:3b:00.0"
NO_REPLY_EXPECTED = 1
NOBODY = 65534

DEVICES = 2000
# How long others are served while the flood goes on, and how long one of their calls may take on a machine that is busy
# with other things, too: some of the flooder's dearest calls, and not all of them, which have no end.
SECONDS = 3
PATIENCE = 30
GROWTH_KIB = 160 * 1024
# Calls of which the answers are more than dbus-daemon keeps of one who sends, and how often others need a turn until these
# had all of theirs.
UNREAD = 110
ROUNDS = 40


def uuid(number):
    return f"00000000-0000-0000-0000-{number:012x}"


class Flooder:
    """The client that behaves badly; lives in a process of its own."""

    def __init__(self, address, counter):
        self.address = address
        self.counter = counter
        self.socket = open_dbus_connection(bus=address).sock
        self.socket.settimeout(None)
        self.serials = itertools.count(1000)

    def read(self):
        """And throw away."""

        def read():
            while self.socket.recv(1 << 20):
                pass

        threading.Thread(target=read, daemon=True).start()

    def send(self, *messages):
        """Each with a serial of its own."""
        for data in messages:
            struct.pack_into("<I", data, 8, next(self.serials))
        self.socket.sendall(b"".join(messages))
        self.count(len(messages))

    def count(self, n):
        self.counter[:8] = struct.pack("<Q", struct.unpack("<Q", self.counter[:8])[0] + n)


def call(member, signature=None, *arguments, interface=MANAGER.name, no_reply=False):
    message = new_method_call(DBusAddress("/org/mdevd1", "org.mdevd1", interface), member, signature, arguments)
    data = bytearray(message.serialise(serial=1))
    data[2] |= NO_REPLY_EXPECTED if no_reply else 0
    return data


def be_the_flood(how, address, counter):
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if os.getuid() == 0:
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        how(Flooder(address, counter))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


@contextlib.contextmanager
def flood(how, enough, address):
    """A process that does HOW(flooder), as an ordinary user; has sent ENOUGH messages when the block begins."""
    counter = mmap.mmap(-1, 8)
    process = os.fork()
    if process == 0:
        be_the_flood(how, address, counter)

    def done():
        assert os.waitpid(process, os.WNOHANG) == (0, 0), "the flood has ended"
        return struct.unpack("<Q", counter[:8])[0]

    try:
        deadline = time.monotonic() + 60
        while done() < enough:
            assert time.monotonic() < deadline, f"{done()} messages"
            time.sleep(0.01)
        yield done
        done()
    finally:
        os.kill(process, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process, 0)


# What floods there are


def all_objects(**how):
    return call("GetManagedObjects", interface=OBJECT_MANAGER, **how)


def lists(**how):
    return call("ListDevices", "a{sv}", {}, **how)


def reading(**how):
    return [
        all_objects(**how),
        call("GetAll", "s", MANAGER.name, interface=PROPERTIES, **how),
        call("Introspect", interface="org.freedesktop.DBus.Introspectable", **how),
        call("Ping", interface="org.freedesktop.DBus.Peer", **how),
        lists(**how),
        call("ListParents", **how),
        call("ListTypes", "s", "", **how),
        call("GetDevice", "s", uuid(7), **how),
        call("NoSuchMethod", **how),
    ]


def writing(**how):
    return [
        call("Define", "sssa(ss)a{sv}", uuid(1 << 20), PARENT, "type", [], {}, **how),
        call("Undefine", "ssa{sv}", uuid(7), "", {}, **how),
        call("Start", "ssa{sv}", uuid(7), "", {}, **how),
        call("Rescan", **how),
    ]


def again_and_again(messages, reads=True):
    def run(flooder):
        if reads:
            flooder.read()
        while True:
            flooder.send(*messages)

    return run


def unread(messages, n=None):
    def run(flooder):
        for _ in range(n) if n else itertools.count():
            flooder.send(*messages)
        signal.pause()

    return run


def descriptors(flooder):
    """As many as a message may have, in each of those that have to wait because no answer is read."""
    flooder.socket = open_dbus_connection(bus=flooder.address, enable_fds=True).sock
    flooder.socket.settimeout(None)
    flooder.send(*[all_objects() for _ in range(UNREAD)])
    null = os.open("/dev/null", os.O_RDONLY)
    fds = array.array("i")
    address = DBusAddress("/org/mdevd1", "org.mdevd1", MANAGER.name)
    message = new_method_call(address, "Define", "ah", ([null] * 16,))
    message.header.flags |= MessageFlag.no_reply_expected
    data = message.serialise(serial=1, fds=fds)
    while True:
        socket.send_fds(flooder.socket, [data], fds)
        flooder.count(1)


def large():
    text = "x" * (1 << 18)
    return [
        call("GetDevice", "s", text),
        call("DefineFromJSON", "sssa{sv}", "", PARENT, text, {}),
        call("Define", "sssa(ss)a{sv}", "", PARENT, "type", [("a", "b")] * (1 << 14), {}, no_reply=True),
    ]


def match_rules(flooder):
    flooder.read()
    for number in itertools.count():
        rule = MatchRule(type="signal", sender="org.mdevd1", path=f"/org/mdevd1/device/x{number}")
        flooder.send(bytearray(message_bus.AddMatch(rule).serialise(serial=1)))


def half_messages(flooder):
    """A connection after the other that begins a large message and never ends it."""
    data = call("GetDevice", "s", "x" * (1 << 20))
    stuck = []
    for _ in range(50):
        stuck.append(open_dbus_connection(bus=flooder.address))
        stuck[-1].sock.sendall(data[: len(data) // 2])
        flooder.count(1)
    signal.pause()


FLOODS = {
    "all-objects": (again_and_again([all_objects()]), 128),
    "lists": (again_and_again([lists()]), 128),
    "reading": (again_and_again(reading()), 500),
    "reading-without-answers": (again_and_again(reading(no_reply=True)), 500),
    "writing": (again_and_again(writing()), 500),
    "writing-without-answers": (again_and_again(writing(no_reply=True)), 500),
    "unread-objects": (unread([all_objects()], UNREAD), UNREAD),
    "unread-small-answers": (unread([call("GetAll", "s", MANAGER.name, interface=PROPERTIES)]), 500),
    "large-messages": (again_and_again(large()), 240),
    "descriptors": (descriptors, UNREAD + 200),
    "match-rules": (match_rules, 600),
    "half-messages": (half_messages, 50),
}


# The others


def others(client, number=1 << 16):
    """What clients do: the longest that one of their calls took."""
    took = []

    def timed(member, *arguments):
        began = time.monotonic()
        result = None
        # dbus-daemon itself refuses what is for somebody whom it has to give more than 127 MiB.
        while result is None:
            try:
                result = client.manager(member, *arguments)
            except BusError as error:
                if "full message queue" not in error.sentence:
                    raise
        took.append(time.monotonic() - began)
        return result

    assert timed("GetDevice", "s", uuid(3)).endswith("3")
    assert len(timed("ListDevices", "a{sv}", {"uuid": ("s", uuid(3))})) == 1
    timed("Define", "sssa(ss)a{sv}", uuid(number), PARENT, "type", [], {})
    timed("Undefine", "ssa{sv}", uuid(number), "", {})
    return max(took)


def memory(pid):
    """Now and at the most, in KiB."""
    lines = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    return [int(lines[name].split()[0]) for name in ("VmRSS", "VmHWM")]


@pytest.fixture
def client(host):
    """Of an mdevd that has some devices."""
    # What the sanitizer keeps of what was freed is no growth.
    host.bus.environment["ASAN_OPTIONS"] = "quarantine_size_mb=8"
    host.directory.chmod(0o755)
    for number in range(DEVICES):
        host.tree.define(PARENT, uuid(number), PLAIN)
    client = host.start()
    resource.prlimit(host.daemon.pid, resource.RLIMIT_NOFILE, (512, 512))
    return client


@pytest.mark.parametrize("how, enough", FLOODS.values(), ids=FLOODS.keys())
def test_others_are_served(request, host, client, how, enough):
    idle = others(client)
    before, _ = memory(host.daemon.pid)
    with flood(how, enough, host.bus.address) as done:
        began, n, most, rounds = time.monotonic(), done(), 0, 0
        while time.monotonic() < began + SECONDS or (rounds < ROUNDS and "unread" in request.node.name):
            most = max(most, others(client))
            rounds += 1
        rate = (done() - n) / (time.monotonic() - began)
        # Newcomers, too.
        with contextlib.closing(Client(host.bus).connection):
            pass
    print(f"{n} and then {rate:.0f} a second; others waited {most:.2f} s at the most, {idle:.3f} s without a flood")
    assert most < PATIENCE
    # What is left of the flood when its client is gone is not for ever either.
    assert others(client) < PATIENCE
    now, peak = memory(host.daemon.pid)
    print(f"{before} KiB before, {peak} KiB at the most, {now} KiB after")
    assert peak - before < GROWTH_KIB


class TestLateReader:
    """Who does not read has no turn, and all its answers when it reads."""

    @staticmethod
    def skip_reply(stream):
        start = stream.read(16)
        body, _, fields = struct.unpack("<III", start[4:16])
        rest = fields + -fields % 8 + body
        assert len(stream.read(rest)) == rest
        return start[1], body

    def test_has_all_answers(self, host, client):
        late = host.bus.connect()
        late.sock.settimeout(None)
        for serial in range(UNREAD):
            data = all_objects()
            struct.pack_into("<I", data, 8, 1000 + serial)
            late.sock.sendall(data)
        for _ in range(ROUNDS):
            assert others(client) < PATIENCE
        with late.sock.makefile("rb") as stream:
            replies = [self.skip_reply(stream) for _ in range(UNREAD)]
        # Method returns, and with all objects.
        assert {kind for kind, _ in replies} == {2}
        assert sum(size for _, size in replies) > 128 << 20
        late.close()
