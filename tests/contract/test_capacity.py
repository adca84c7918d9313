# SPDX-License-Identifier: LGPL-2.1-or-later

"""What parents have left: on which one a device is created, if that is left to mdevd, while drivers are at others; and
drivers that do not say it. Those are FIFOs, who creates there waits until the test reads it, and the test says what is
left; these tests/unit/hapless-worker.c stands for."""

import os
import pathlib
import threading

import pytest
from host import BusError, Client
from test_files import AUTO, pending, prop, wait_until

U = [f"00000000-0000-0000-0000-0000000000{i:02x}" for i in range(16)]


class Drivers:
    def __init__(self, host):
        self.host = host
        self.n = 0
        self.fifos = []

    def add(self, parent, available):
        path = self.host.tree.add_type(parent, "t", available)
        (path / "create").unlink()
        os.mkfifo(path / "create")
        self.fifos.append(path / "create")

    def leaves(self, parent, available):
        types = self.host.tree.sys / "devices" / parent / "mdev_supported_types/t"
        (types / "available_instances").write_text(f"{available}\n")

    def begin(self, parent=""):
        """Begins to create one. Returns on which parent, or None if on none."""
        uuid = U[self.n]
        self.n += 1
        errors = []

        def create():
            try:
                Client(self.host.bus).manager("Create", "sssa(ss)a{sv}", uuid, parent, "t", [], {})
            except BusError as e:
                errors.append(e.name)

        threading.Thread(target=create, daemon=True).start()
        rows = wait_until(lambda: errors or self.host.client.manager("ListDevices", "a{sv}", {"uuid": ("s", uuid)}))
        if errors:
            assert errors == ["org.mdevd1.Error.NoCapacity"]
        return None if errors else rows[0][2]

    def look(self):
        self.host.client.manager("ListTypes", "s", "")

    def let_go(self):
        """Whoever waits there goes on."""

        def read(path):
            with open(path, "rb") as f:
                f.read()

        def waiting():
            return [row for row in self.host.client.manager("ListDevices", "a{sv}", {}) if row[1] == "creating"]

        while waiting():
            for parent in {row[2] for row in waiting()}:
                path, = [p for p in self.fifos if p.parts[-4] == parent]
                reader = threading.Thread(target=read, args=[path], daemon=True)
                reader.start()
                reader.join(1)


@pytest.fixture
def drivers(host):
    d = Drivers(host)
    yield d
    d.let_go()


def test_what_the_driver_has_counted_is_not_counted_again(host, drivers):
    drivers.add("p", 8)
    host.start()
    assert [drivers.begin() for _ in range(4)] == ["p"] * 4
    drivers.leaves("p", 4)
    drivers.look()
    assert [drivers.begin() for _ in range(5)] == ["p"] * 4 + [None]


def test_those_begun_since_are_counted(host, drivers):
    drivers.add("p", 3)
    drivers.add("q", 2)
    host.start()
    # The first of those with as many.
    assert [drivers.begin() for _ in range(6)] == ["p", "p", "q", "p", "q", None]


def test_room_for_sure_comes_first(host, drivers):
    """A creation that is under way may not have got to its driver, when that says what is left."""
    drivers.add("p", 2)
    drivers.add("q", 1)
    host.start()
    assert [drivers.begin(), drivers.begin("p")] == ["p", "p"]
    drivers.look()
    assert drivers.begin() == "q"
    # Nor need it be so: it is tried.
    assert drivers.begin() == "p"


class Questions:
    """What drivers are asked and do not answer."""

    def __init__(self, directory):
        self.hold, self.held = directory / "hold", directory / "held"

    def next_hangs(self):
        self.hold.touch()

    def wait(self):
        wait_until(self.held.exists)

    def answer(self):
        self.held.unlink()

    def none_hangs(self):
        self.hold.unlink(missing_ok=True)
        self.held.unlink(missing_ok=True)


@pytest.fixture
def questions(host, monkeypatch):
    built = pathlib.Path(os.environ["MDEVD"]).absolute().parents[1] / "tests/unit"
    monkeypatch.setenv("MDEVD_WORKER", str(built / "hapless-worker"))
    q = Questions(host.directory)
    yield q
    q.none_hangs()


@pytest.mark.parametrize("which", ["the old one", "the new one"])
def test_a_parent_that_comes_anew_while_it_is_asked(host, questions, which):
    """Autostart does not wait for ever to hear what it offers now."""
    sys = host.tree.sys
    host.tree.add_type("p", "t", 0)
    host.tree.define("p", U[1], AUTO)
    client = host.start()
    wait_until(lambda: prop(client, "Settled"))
    questions.next_hangs()
    client.begin("ListTypes", "s", "p")
    questions.wait()

    (sys / "devices/p").rename(sys / "gone")
    (sys / "class/mdev_bus/p").unlink()
    host.tree.add_type("p", "t", 0)
    client.manager("Rescan")
    assert not prop(client, "Settled")
    if which == "the new one":
        questions.next_hangs()
        questions.answer()
        questions.wait()
    wait_until(lambda: prop(client, "Settled"))
    assert pending(client, U[1]) == "type-absent"

    # It has not been forgotten.
    questions.answer()
    wait_until(lambda: pending(client, U[1]) == "no-capacity")
