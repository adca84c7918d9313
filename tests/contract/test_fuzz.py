# SPDX-License-Identifier: LGPL-2.1-or-later

"""Whatever anybody sends to mdevd, it lives, answers at once, in errors that are documented, and keeps nothing of it.

The same 1500 calls as root and as many as nobody each time. FUZZ_CALLS asks for another number of others, FUZZ_SEED for
those of a run that failed, which told it.
"""

import json
import os
import random
import time

import pytest
from anything import (
    NOBODY, OBJECT_MANAGER, PLAIN_TEXT, PROPERTIES, ROOT_PATH, UUIDS, Anything, Caller, documented_errors, method_of
)
from jeepney import DBusAddress, HeaderFields, MessageType, new_method_call
from test_contract import MANAGER
from test_flood import memory

CALLS = int(os.environ.get("FUZZ_CALLS", 1500))
SEED = int(os.environ.get("FUZZ_SEED", random.SystemRandom().randrange(1 << 32) if "FUZZ_CALLS" in os.environ else 2018))

# For one answer. On a machine that is busy with other things few may be late; none that wait for something would be early.
AT_ONCE = 1
LATE_ONES = 0.01
PATIENCE = 30
# Some of the calls define something, so what is known grows.
GROWTH_KIB = 128 * 1024 + CALLS
SENTENCE_MAX = 8192


def beginning(value):
    return repr(value)[:2000]


class Run:
    """What came of all the calls."""

    def __init__(self, host, uid):
        self.host = host
        self.anything = Anything(f"{SEED} {uid}")
        self.caller = Caller(host.bus, uid, PATIENCE)
        self.answers = {}
        self.n_late = 0

    def check(self, message, reply, took):
        self.n_late += took > AT_ONCE
        if not reply:
            return
        name = ""
        if reply.header.message_type is MessageType.error:
            name = reply.header.fields[HeaderFields.error_name]
            assert name in documented_errors(message, MANAGER), f"{name}: {beginning(reply.body)}"
            # What was wrong is told back to the caller, but not megabytes of it.
            assert reply.body and reply.body[0] and (len(reply.body[0]) < SENTENCE_MAX or not method_of(message, MANAGER))
        self.answers[name] = self.answers.get(name, 0) + 1

    def one(self, number):
        message = self.anything.call(MANAGER)
        if self.anything.one_in(40):
            self.caller.send_raw(self.anything.damaged(message.serialise(serial=1)))
            return
        began = time.monotonic()
        try:
            self.check(message, self.caller.ask(message), time.monotonic() - began)
            assert self.host.daemon.poll() is None, "mdevd has ended"
        except (AssertionError, TimeoutError) as e:
            body = beginning(message.body)
            pytest.fail(f"FUZZ_SEED={SEED}, call {number}: {message.header.fields} {body}: {e or 'no answer'}")

    def all(self):
        try:
            for number in range(CALLS):
                self.one(number)
        finally:
            self.caller.close()
        print(f"seed {SEED}: {CALLS} calls, {self.n_late} late, {self.caller.n_thrown_out} times thrown out")
        for name, n in sorted(self.answers.items(), key=lambda item: -item[1]):
            print(f"  {n:6} {name or 'done'}")
        assert self.n_late <= CALLS * LATE_ONES, f"FUZZ_SEED={SEED}"


@pytest.fixture
def client(host):
    # What the sanitizer keeps of what was freed is no growth.
    host.bus.environment["ASAN_OPTIONS"] = "quarantine_size_mb=8"
    host.directory.chmod(0o755)
    host.tree.add_type("p", "t", 4)
    host.tree.add_type("p", "full", 0)
    host.tree.add_type("q", "t", 1)
    host.tree.add_device("p", "t", UUIDS[0])
    host.tree.define("p", UUIDS[1], PLAIN_TEXT)
    host.tree.define("q", UUIDS[1], PLAIN_TEXT)
    host.tree.define("absent", UUIDS[2], PLAIN_TEXT)
    return host.start()


def contents(host):
    return {str(p.relative_to(host.tree.path)): p.read_bytes() for p in host.tree.definitions.rglob("*") if p.is_file()}


def rows(client):
    return client.manager("ListDevices", "a{sv}", {})


def definitions_of_files(host):
    """Each must be one that can be read."""
    found = set()
    for path, text in contents(host).items():
        found.add((path.split("/")[-1], path.split("/")[-2], json.loads(text)["mdev_type"]))
    return found


def definitions_of_bus(client):
    devices = [o["org.mdevd1.Device"] for o in client.call(ROOT_PATH, OBJECT_MANAGER, "GetManagedObjects").values()
               if "org.mdevd1.Device" in o]
    return {(d["UUID"][1], parent, type) for d in devices for parent, type, *_ in d["Definitions"][1]}


def test_as_root(host, client):
    before, _ = memory(host.daemon.pid)
    run = Run(host, os.geteuid())
    run.all()
    client.manager("Rescan")
    now, peak = memory(host.daemon.pid)
    print(f"{before} KiB before, {peak} KiB at the most, {now} KiB after")
    assert now - before < GROWTH_KIB, f"FUZZ_SEED={SEED}"
    assert client.call(ROOT_PATH, PROPERTIES, "Get", "ss", MANAGER.name, "InvalidDefinitions") == ("a(ss)", [])
    assert definitions_of_bus(client) == definitions_of_files(host), f"FUZZ_SEED={SEED}"
    # The calls were not all nonsense.
    assert run.answers[""] > CALLS / 20 and len(run.answers) > 8


def test_as_nobody(host, client):
    """All that would change something is refused."""
    before, _ = memory(host.daemon.pid)
    picture = rows(client), contents(host)
    run = Run(host, NOBODY)
    run.all()
    now, peak = memory(host.daemon.pid)
    print(f"{before} KiB before, {peak} KiB at the most, {now} KiB after")
    assert now - before < GROWTH_KIB, f"FUZZ_SEED={SEED}"
    assert (rows(client), contents(host)) == picture, f"FUZZ_SEED={SEED}"
    assert run.answers["org.freedesktop.DBus.Error.AccessDenied"] > CALLS / 20


def test_what_is_no_character(host, client):
    """D-Bus lets it through, and sd-bus finds it when it reads; with one call, and behind another one."""
    caller = Caller(host.bus, os.geteuid(), PATIENCE)
    connection = caller.connect()
    for member, signature, arguments in [
        ("GetDevice", "s", ("\ufffe",)),
        ("ListTypes", "s", ("\ufdd0",)),
        ("DefineFromJSON", "sssa{sv}", (UUIDS[5], "p", '{"\uffff": 1}', {})),
        ("Start", "ssa{sv}", (UUIDS[1], "p", {"\U0001ffff": ("b", True)})),
        ("Define", "sssa(ss)a{sv}", (UUIDS[5], "p", "t", [("a", "\ufffe")], {})),
    ]:
        call = new_method_call(DBusAddress(ROOT_PATH, "org.mdevd1", MANAGER.name), member, signature, arguments)
        serials = [connection.outgoing_serial.__next__() for _ in range(3)]
        connection.sock.sendall(b"".join(call.serialise(serial=s) for s in serials))
        replies = {}
        while not replies.keys() >= set(serials):
            reply = connection.receive(timeout=PATIENCE)
            replies[reply.header.fields.get(HeaderFields.reply_serial)] = reply
        for serial in serials:
            reply = replies[serial]
            assert reply.header.fields[HeaderFields.error_name] == "org.freedesktop.DBus.Error.InvalidArgs"
            assert "no character" in reply.body[0]
    connection.close()
