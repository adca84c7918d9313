# SPDX-License-Identifier: LGPL-2.1-or-later

"""On which parent a device is created, if that is left to mdevd, while drivers are at others. They are FIFOs: who creates
there waits until the test reads it; and the test says for the driver what is left."""

import os
import threading

import pytest
from test_files import wait_until

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
        """Begins to create one. Returns on which parent."""
        uuid = U[self.n]
        self.n += 1
        client = self.host.client
        client.begin("Create", "sssa(ss)a{sv}", uuid, parent, "t", [], {})
        rows = client.manager("ListDevices", "a{sv}", {"uuid": ("s", uuid)})
        return rows[0][2] if rows else None

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
