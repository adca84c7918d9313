# SPDX-License-Identifier: LGPL-2.1-or-later

"""The example clients, as far as that goes without a kernel: what they send, what they do with the answer, and that mdevd
takes their calls. That devices appear is for the guest's tests."""

import os
import re
import subprocess
import threading

import pytest
from host import TOP
from jeepney import (
    DBusAddress,
    HeaderFields,
    MessageFlag,
    MessageType,
    message_bus,
    new_error,
    new_method_call,
    new_method_return,
)
from jeepney.io.blocking import Proxy
from test_contract import MANAGER, U

EXAMPLES = TOP / "api/examples"
CREATE = EXAMPLES / "create-define-autostart.sh"
FILL = EXAMPLES / "fill-parent.sh"
WATCH = EXAMPLES / "watch-capacity.py"
UUID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"

PARENT = "0000:3b:00.0"
ROWS = [
    (PARENT, "big", "Big", "vfio-pci", 'quotes " and [brackets] \\ "big" 7', 1),
    (PARENT, "small", "Small", "vfio-pci", "two\nlines", 3),
    (PARENT, "full", "Full", "vfio-pci", "", 0),
]


class FakeDaemon(threading.Thread):
    """Stands for mdevd on a bus: writes down what it is asked, and answers that it is done."""

    def __init__(self, bus, failures=0):
        super().__init__(daemon=True)
        self.connection = bus.connect()
        self.failures = failures
        self.calls = []
        Proxy(message_bus, self.connection).RequestName("org.mdevd1")
        self.start()

    def answer(self, call):
        member = call.header.fields[HeaderFields.member]
        if member == "ListTypes":
            return new_method_return(call, "a(sssssu)", (ROWS,))
        if self.failures:
            self.failures -= 1
            return new_error(call, "org.mdevd1.Error.NoCapacity", "s", ("No instance is left.",))
        uuid = call.body[0] or U[len(self.calls)]
        return new_method_return(call, "so", (uuid, "/org/mdevd1/device/x"))

    def run(self):
        while True:
            try:
                call = self.connection.receive()
            except ConnectionError:
                return
            if call.header.message_type is MessageType.method_call and not call.header.flags & MessageFlag.no_reply_expected:
                self.calls.append(call)
                self.connection.send(self.answer(call))

    def bodies(self, member):
        """Arguments of the calls of one method; their types must be the documented ones."""
        found = [c for c in self.calls if c.header.fields[HeaderFields.member] == member]
        for c in found:
            expected = "".join(a.type for a in MANAGER.methods[member].side("in"))
            assert c.header.fields[HeaderFields.signature] == expected
            assert c.header.fields[HeaderFields.interface] == MANAGER.name
            assert c.header.fields[HeaderFields.path] == "/org/mdevd1"
        return [c.body for c in found]


def check_options(member, body):
    """Each option that a call has is a documented one, of its type."""
    for argument, value in zip(MANAGER.methods[member].side("in"), body):
        if argument.type == "a{sv}":
            documented = {o.get("name"): o.get("type") for o in argument.documented("option")}
            assert {k: v[0] for k, v in value.items()}.items() <= documented.items()


class TestCreateDefineAutostart:
    def test_what_it_asks_for(self, host):
        fake = FakeDaemon(host.bus)
        done = host.bus.run(CREATE, PARENT, "small")
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{U[1]}\n", "")
        (body,) = fake.bodies("Create")
        assert body == ("", PARENT, "small", [], {"define": ("b", True), "autostart": ("b", True)})
        check_options("Create", body)

    def test_with_a_uuid_and_no_parent(self, host):
        fake = FakeDaemon(host.bus)
        assert host.bus.run(CREATE, "", "small", U[5]).stdout == f"{U[5]}\n"
        assert fake.bodies("Create")[0][:3] == (U[5], "", "small")

    def test_a_refusal(self, host):
        FakeDaemon(host.bus, failures=1)
        done = host.bus.run(CREATE, PARENT, "small")
        assert done.returncode != 0 and done.stdout == "" and "No instance is left." in done.stderr

    def test_mdevd_takes_the_call(self, host):
        """It gets as far as the driver, or what stands for it."""
        create = host.tree.add_type(PARENT, "small", 1) / "create"
        host.start()
        host.bus.run(CREATE, PARENT, "small", U[5])
        assert create.read_text() == U[5]

    def test_mdevd_refuses(self, host):
        host.tree.add_type(PARENT, "small", 0)
        host.start()
        done = host.bus.run(CREATE, PARENT, "other", U[5])
        assert done.returncode != 0 and "does not offer type other" in done.stderr
        assert list(host.tree.definitions.rglob("*")) == []


class TestFillParent:
    @pytest.mark.parametrize("type_name, n", [("small", 3), ("big", 1), ("full", 0), ("none", 0)])
    def test_as_many_as_there_is_room_for(self, host, type_name, n):
        fake = FakeDaemon(host.bus)
        done = host.bus.run(FILL, PARENT, type_name)
        assert (done.returncode, done.stderr) == (0, "")
        assert len(re.findall(rf"^{UUID}$", done.stdout, re.M)) == len(done.stdout.splitlines()) == n
        assert fake.bodies("ListTypes") == [(PARENT,)]
        assert fake.bodies("Create") == [("", PARENT, type_name, [], {})] * n

    def test_one_that_fails_is_told_and_the_others_are_made(self, host):
        FakeDaemon(host.bus, failures=1)
        done = host.bus.run(FILL, PARENT, "small")
        assert done.returncode == 1 and len(done.stdout.splitlines()) == 2 and "No instance is left." in done.stderr

    def test_mdevd_takes_the_calls(self, host):
        create = host.tree.add_type(PARENT, "small", 1, description='a "good" one') / "create"
        host.start()
        host.bus.run(FILL, PARENT, "small")
        assert re.fullmatch(UUID, create.read_text())

    def test_a_parent_that_is_not_there(self, host):
        host.start()
        done = host.bus.run(FILL, "nowhere", "small")
        assert done.returncode != 0 and "There is no parent nowhere" in done.stderr and done.stdout == ""


@pytest.mark.parametrize("script, words", [(CREATE, ["p"]), (CREATE, list("abcd")), (FILL, ["p"]), (FILL, list("abc"))])
def test_usage(host, script, words):
    done = host.bus.run(script, *words)
    assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith(f"Usage: {script.name} PARENT TYPE")


class Watch:
    """watch-capacity.py at work."""

    def __init__(self, bus):
        self.process = subprocess.Popen([WATCH], env=bus.environment, stdout=subprocess.PIPE, text=True)

    def line(self):
        return self.process.stdout.readline().rstrip("\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


class TestWatchCapacity:
    def test_what_there_is_and_what_changes(self, host):
        left = host.tree.add_type(PARENT, "small", 3) / "available_instances"
        host.tree.add_type(PARENT, "big", 1)
        client = host.start()
        path = client.manager("GetParent", "s", PARENT)
        with Watch(host.bus) as watch:
            assert {watch.line(), watch.line()} == {f"{path} small 3", f"{path} big 1"}
            left.write_text("2\n")
            client.manager("ListTypes", "s", PARENT)
            assert watch.line() == f"{path} small 2"
            left.write_text("0\n")
            client.manager("ListTypes", "s", PARENT)
            assert watch.line() == f"{path} small 0"

    def test_a_parent_that_comes(self, host):
        host.tree.add_type(PARENT, "small", 3)
        client = host.start()
        with Watch(host.bus) as watch:
            assert watch.line().endswith(" small 3")
            host.tree.add_type("second", "big", 1)
            client.manager("Rescan")
            client.manager("ListTypes", "s", "")
            assert watch.line() == "/org/mdevd1/parent/second big 1"

    def test_creations_by_others_are_seen(self, host):
        left = host.tree.add_type(PARENT, "small", 3) / "available_instances"
        client = host.start()
        with Watch(host.bus) as watch:
            assert watch.line().endswith(" small 3")
            left.write_text("2\n")
            host.tree.add_device(PARENT, "small", U[5])
            client.manager("Rescan")
            assert watch.line().endswith(" small 2")


class TestSignals:
    """What the documentation promises of them, on definitions."""

    def test_they_come_before_the_reply(self, host):
        client = host.start()
        seen = client.connection
        for member in ("InterfacesAdded", "InterfacesRemoved", "PropertiesChanged"):
            Proxy(message_bus, seen).AddMatch(f"type='signal',sender='org.mdevd1',member='{member}'")
        for call, expected in (
            (("Define", "sssa(ss)a{sv}", U[1], "p", "t", [], {}), "InterfacesAdded"),
            (("Modify", "ssa{sv}a{sv}", U[1], "p", {"autostart": ("b", True)}, {}), "PropertiesChanged"),
            (("Undefine", "ssa{sv}", U[1], "", {}), "InterfacesRemoved"),
        ):
            assert expected in members_before_the_reply(seen, *call)


def members_before_the_reply(connection, member, signature, *arguments):
    address = DBusAddress("/org/mdevd1", "org.mdevd1", MANAGER.name)
    connection.send(new_method_call(address, member, signature, arguments), serial=999)
    members = []
    while True:
        message = connection.receive(timeout=30)
        if message.header.message_type is MessageType.signal:
            members.append(message.header.fields[HeaderFields.member])
        else:
            assert message.header.message_type is MessageType.method_return
            return members


class TestDocumentedCommands:
    """The command lines of org.mdevd1(5) are ones that busctl and mdevd take."""

    @staticmethod
    def lines():
        text = "\n".join(e.text for e in MANAGER.documented("example")).replace("\\\n", " ")
        return [line for line in text.splitlines() if " call " in line]

    def test_each_is_documented_as_its_method_is(self, host):
        fake = FakeDaemon(host.bus)
        for line in self.lines():
            done = host.bus.run("sh", "-c", line.replace("UUID", U[5]))
            assert (done.returncode, done.stderr) == (0, "")
        members = [c.header.fields[HeaderFields.member] for c in fake.calls]
        assert members == ["ListTypes", "Create", "Modify", "Stop"]
        for member in set(members):
            (body,) = fake.bodies(member)
            check_options(member, body)


def test_no_example_is_long():
    for path in (CREATE, FILL, WATCH):
        assert len(path.read_text().splitlines()) < 40 and os.access(path, os.X_OK)
