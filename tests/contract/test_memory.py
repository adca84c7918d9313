# SPDX-License-Identifier: LGPL-2.1-or-later

"""Memory that cannot be had, in the whole daemon: each call is made with its first allocation failing, then its second,
and so on until it gets through. It says that there is no memory, or it succeeds; what is known of devices is as it was
before or as it is after, and is what is there; nothing stays under way, and the daemon goes on.

The daemon is linked with tests/unit/without-memory.c, so what fails is what its own objects ask for, of libsystemd and
json-c too. $MDEVD_MEMORY_STEP (9) is how many allocations are passed over between two that fail; 1 tries each."""

import os
import pathlib
import tempfile
import threading
import time

import pytest
from host import PATIENCE, BusError, Client, Host
from jeepney import DBusAddress, HeaderFields, message_bus, new_method_call, new_method_return
from memory import Memory

ACCESS_DENIED = "org.freedesktop.DBus.Error.AccessDenied"
MANAGER = "org.mdevd1.Manager"
OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"
PROPERTIES = "org.freedesktop.DBus.Properties"
KERNEL = "org.mdevd1.Error.Kernel"
STEP = int(os.environ.get("MDEVD_MEMORY_STEP", "9"))
NOBODY = 65534
U = [f"00000000-0000-0000-0000-00000000000{i}" for i in range(4)]
JSON = '{"mdev_type": "t", "start": "manual", "attrs": [{"a": "1"}], "other": 1}'
ATTRIBUTES = [("a", "1"), ("a", "2")]


class Poor:
    """A host whose daemon has no memory now and then."""

    def __init__(self, host, memory, of_worker):
        self.host = host
        self.memory = memory
        self.of_worker = of_worker
        sys = host.tree.sys
        types = sys / "devices/pci0000:3a/p/mdev_supported_types/t"
        types.mkdir(parents=True)
        (sys / "class/mdev_bus/p").symlink_to("../../devices/pci0000:3a/p")
        for file, text in (("device_api", "vfio-pci\n"), ("available_instances", "8\n"), ("create", "")):
            (types / file).write_text(text)
        self.client = host.start()

    def manager(self, *message):
        return self.client.manager(*message)

    def quiet(self):
        end = time.monotonic() + PATIENCE
        while self.client.call("/org/mdevd1", PROPERTIES, "Get", "ss", MANAGER, "NPending")[1] > 0:
            assert time.monotonic() < end

    def rows(self):
        return sorted(self.manager("ListDevices", "a{sv}", {}))

    def picture(self):
        """What is known, and what is there."""
        files = {str(f): f.read_text() for f in self.host.tree.definitions.rglob("*") if f.is_file()}
        return self.rows(), files, sorted(os.listdir(self.host.tree.sys / "bus/mdev/devices"))

    def reset(self):
        for uuid, state, *_ in self.rows():
            if state == "active":
                self.manager("Stop", "sa{sv}", uuid, {})
        for uuid in {row[0] for row in self.rows()}:
            self.manager("Undefine", "ssa{sv}", uuid, "", {})
        assert self.picture() == ([], {}, [])

    def define(self, uuid=U[1], **options):
        options = {name: ("b", value) for name, value in options.items()}
        self.manager("Define", "sssa(ss)a{sv}", uuid, "p", "t", ATTRIBUTES, options)

    def create(self, uuid=U[1]):
        self.manager("Create", "sssa(ss)a{sv}", uuid, "p", "t", ATTRIBUTES, {})


@pytest.fixture
def poor(monkeypatch):
    built = pathlib.Path(os.environ["MDEVD"]).absolute().parents[1] / "tests/unit"
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        memory = Memory(directory / "memory")
        of_worker = Memory(directory / "memory-of-worker")
        monkeypatch.setenv("MDEVD", str(built / "mdevd-without-memory"))
        monkeypatch.setenv("MDEVD_WORKER", str(built / "worker-with-kernel"))
        monkeypatch.setenv("MDEVD_MEMORY", str(directory / "memory"))
        host = Host(directory)
        try:
            yield Poor(host, memory, of_worker)
        finally:
            memory.write(-1)
            of_worker.write(-1)
            host.stop()
            memory.file.close()
            of_worker.file.close()


def both(p):
    p.define()
    p.manager("Start", "ssa{sv}", U[1], "p", {})


# What there is before, and the call.
PLAYS = {
    "Define": (lambda p: None, ("Define", "sssa(ss)a{sv}", U[1], "p", "t", ATTRIBUTES, {"autostart": ("b", True)})),
    "DefineFromJSON": (lambda p: None, ("DefineFromJSON", "sssa{sv}", U[1], "p", JSON, {})),
    "promote": (Poor.create, ("Define", "sssa(ss)a{sv}", U[1], "", "", [], {})),
    "Modify": (Poor.define, ("Modify", "ssa{sv}a{sv}", U[1], "p", {"attributes": ("a(ss)", [("a", "9")])}, {})),
    "Modify live": (both, ("Modify", "ssa{sv}a{sv}", U[1], "", {"attributes": ("a(ss)", [("a", "9")])},
                           {"live": ("b", True), "direct": ("b", True), "defined": ("b", True)})),
    "Undefine": (Poor.define, ("Undefine", "ssa{sv}", U[1], "", {})),
    "Start": (Poor.define, ("Start", "ssa{sv}", U[1], "", {})),
    "Create": (lambda p: None, ("Create", "sssa(ss)a{sv}", U[1], "", "t", ATTRIBUTES, {})),
    "CreateFromJSON": (lambda p: None, ("CreateFromJSON", "sssa{sv}", U[1], "p", JSON, {"define": ("b", True)})),
    "Stop": (both, ("Stop", "sa{sv}", U[1], {"timeout-usec": ("t", 60_000_000)})),
    "StartParent": (lambda p: p.define(autostart=True), ("StartParent", "s", "p")),
    "Rescan": (both, ("Rescan",)),
    "GetDevice": (both, ("GetDevice", "s", U[1])),
    "GetParent": (both, ("GetParent", "s", "p")),
    "GetAttributes": (both, ("GetAttributes", "s", U[1])),
    "ListDevices": (both, ("ListDevices", "a{sv}", {"parent": ("s", "p")})),
    "ListParents": (both, ("ListParents",)),
    "ListTypes": (both, ("ListTypes", "s", "")),
    "refused": (Poor.define, ("Undefine", "ssa{sv}", U[2], "", {})),
    "refused option": (Poor.define, ("Undefine", "ssa{sv}", U[1], "", {"odd": ("b", True)})),
    "invalid JSON": (Poor.define, ("DefineFromJSON", "sssa{sv}", U[2], "p", "{", {})),
}

# What sd-bus answers by itself, with what it asks the daemon for.
DEVICE = "/org/mdevd1/device/" + U[1].replace("-", "_")
ASKED_OF_OBJECTS = {
    "GetManagedObjects": ("/org/mdevd1", OBJECT_MANAGER, "GetManagedObjects"),
    "Get": ("/org/mdevd1", PROPERTIES, "Get", "ss", MANAGER, "InvalidDefinitions"),
    "GetAll": ("/org/mdevd1", PROPERTIES, "GetAll", "s", MANAGER),
    "Get of a device": (DEVICE, PROPERTIES, "Get", "ss", "org.mdevd1.Device", "Definitions"),
    "GetAll of a device": (DEVICE, PROPERTIES, "GetAll", "s", "org.mdevd1.Device"),
    "GetAll of a parent": ("/org/mdevd1/parent/p", PROPERTIES, "GetAll", "s", "org.mdevd1.Parent"),
    "Introspect": ("/org/mdevd1", "org.freedesktop.DBus.Introspectable", "Introspect"),
    "Introspect the devices": ("/org/mdevd1/device", "org.freedesktop.DBus.Introspectable", "Introspect"),
    "Introspect a device": (DEVICE, "org.freedesktop.DBus.Introspectable", "Introspect"),
}
REFUSED = [name for name in PLAYS if name.startswith(("refused", "invalid"))]


class Polkit:
    """Allows everything."""

    def __init__(self, bus):
        self.connection = bus.connect()
        assert self.connection.send_and_get_reply(message_bus.RequestName("org.freedesktop.PolicyKit1")).body[0] == 1
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        while (call := self.connection.receive()).header.fields[HeaderFields.member] != "End":
            if call.header.fields[HeaderFields.member] == "CheckAuthorization":
                self.connection.send(new_method_return(call, "(bba{ss})", ((True, False, {}),)))

    def end(self, bus):
        address = DBusAddress("/", bus_name=self.connection.unique_name, interface="org.mdevd1.Test")
        with bus.connect() as client:
            client.send(new_method_call(address, "End"))
        self.thread.join()
        self.connection.close()


@pytest.fixture
def polkit(poor):
    p = Polkit(poor.host.bus)
    yield p
    p.end(poor.host.bus)


def call_as_nobody(poor, message):
    """By a client that nobody has seen before."""
    os.seteuid(NOBODY)
    try:
        client = Client(poor.host.bus)
    finally:
        os.seteuid(0)
    with client.connection:
        return client.manager(*message)


@pytest.mark.parametrize("name", PLAYS)
def test_each_allocation(poor, name):
    prepare, message = PLAYS[name]
    play(poor, prepare, lambda: poor.manager(*message), poor.memory, name in REFUSED)


def without_troubles(answer):
    """What was refused for want of memory is a trouble from then on, of the Manager, which is there alone or among all."""
    if isinstance(answer, dict):
        return {name: without_troubles(value) for name, value in answer.items() if name != "Troubles"}
    return answer


@pytest.mark.parametrize("name", ASKED_OF_OBJECTS)
def test_each_allocation_of_an_object(poor, name):
    both(poor)
    poor.quiet()
    message = ASKED_OF_OBJECTS[name]
    expected, failures, n = without_troubles(poor.client.call(*message)), 0, 0
    while True:
        poor.memory.write(n)
        try:
            answer = poor.client.call(*message)
        except BusError as error:
            answer = error
        failed = poor.memory.read() < 0
        poor.memory.write(-1)
        where = f"allocation {n}: {answer!r}"
        if isinstance(answer, BusError):
            assert failed and says_why(answer.sentence), where
        else:
            # Nobody takes a part for the whole.
            assert without_troubles(answer) == expected, where
        if not failed:
            break
        failures += 1
        n += 1
    assert failures
    assert poor.host.daemon.poll() is None


@pytest.mark.parametrize("name", [name for name in PLAYS if not name.startswith(("Get", "ListD", "ListP"))
                                  and name not in REFUSED])
def test_each_allocation_of_a_worker(poor, name):
    prepare, message = PLAYS[name]
    play(poor, prepare, lambda: poor.manager(*message), poor.of_worker)


def test_of_a_stranger(poor, polkit):
    """Who has to be found out, and asked about."""
    os.chmod(poor.host.directory, 0o755)
    play(poor, lambda p: None, lambda: call_as_nobody(poor, PLAYS["Define"][1]), poor.memory)


def says_why(sentence):
    return "emory" in sentence or "The worker process" in sentence


def play(poor, prepare, call, memory, is_refused=False):
    prepare(poor)
    poor.quiet()
    before = poor.picture()
    failures, others, successes, n = 0, [], [], 0
    while True:
        memory.write(n)
        try:
            answer = call()
        except BusError as error:
            answer = error
        except TimeoutError:
            pytest.fail(f"allocation {n}: no answer")
        failed = memory.read() < 0
        memory.write(-1)
        poor.quiet()
        seen = poor.picture()
        if not failed:
            break
        failures += 1
        where = f"allocation {n}: {answer!r}"
        # What the kernel says may be a driver's, and is no matter of the host.
        if isinstance(answer, BusError) and answer.name != KERNEL:
            assert "memory" in poor.client.troubles(), where
        if isinstance(answer, BusError):
            # A worker whose word was lost is as one that has died: what is there is looked at.
            # What a step of the work failed with is told of that step.
            assert says_why(answer.sentence) or is_refused, where
            assert answer.name != ACCESS_DENIED, where
        else:
            # Of several devices each that failed is told.
            if not any(len(row) == 2 and says_why(row[1]) for row in answer if isinstance(row, tuple)):
                successes.append((where, seen))
        assert os.listdir(poor.host.tree.path / "run/mdevd/busy") == [], where
        poor.manager("Rescan")
        assert poor.picture() == seen, where
        if seen != before:
            others.append((where, seen))
            poor.reset()
            prepare(poor)
            assert poor.picture() == before
        n += STEP
    assert isinstance(answer, BusError) == is_refused, answer
    assert failures
    assert [(where, other) for where, other in others if other != seen] == []
    assert [(where, after) for where, after in successes if after != seen] == []
    assert poor.host.daemon.poll() is None
