# SPDX-License-Identifier: LGPL-2.1-or-later

"""What is stuck holds up nobody else, measured where time means something: others have their answers within a second,
and a restart takes no more than two. (All that can be stuck, and systemd's watchdog: tests/vm/cases/test_stuck.py.)"""

import os
import time

import pytest
from host import PATIENCE

U = [f"00000000-0000-0000-0000-00000000000{i}" for i in range(4)]


def seconds(function):
    began = time.monotonic()
    function()
    return time.monotonic() - began


@pytest.fixture
def stuck(host):
    """A host with a driver that does not return from a creation, and the client of one who waits for it."""
    for parent in ("p", "q"):
        host.tree.add_type(parent, "t", 4)
    create = host.tree.sys / "devices/p/mdev_supported_types/t/create"
    create.unlink()
    os.mkfifo(create)
    host.tree.define("q", U[2], '{"mdev_type": "t", "start": "manual"}')
    client = host.start()
    message = ("Create", "sssa(ss)a{sv}", U[1], "p", "t", [], {})
    client.begin(*message)
    end = time.monotonic() + PATIENCE
    while state(client, U[1]) != "creating":
        assert time.monotonic() < end
    yield client
    # Whoever waits there goes on.
    with open(create, "rb") as f:
        assert f.read(36) == U[1].encode()


def state(client, uuid):
    rows = client.manager("ListDevices", "a{sv}", {"uuid": ("s", uuid)})
    return rows[0][1] if rows else None


def test_answers_and_restart(host, stuck):
    def others(client):
        return [
            lambda: client.manager("Define", "sssa(ss)a{sv}", U[3], "q", "t", [], {}),
            lambda: client.manager("Undefine", "ssa{sv}", U[3], "q", {}),
            lambda: client.manager("Rescan"),
            lambda: client.manager("ListTypes", "s", ""),
            lambda: client.refused("Stop", "sa{sv}", U[1], {}),
        ]

    client = stuck
    assert max(map(seconds, others(client))) < 1

    def restart():
        client.connection.close()
        host.daemon.terminate()
        assert host.daemon.wait(PATIENCE) == 0
        host.start()

    assert seconds(restart) < 2
    assert state(host.client, U[1]) == "creating" and state(host.client, U[2]) == "defined"
    assert max(map(seconds, others(host.client))) < 1
