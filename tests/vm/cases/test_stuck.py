# SPDX-License-Identifier: LGPL-2.1-or-later
"""Everything that mdevd depends on is stuck, all of it at once and for longer than the watchdog waits: who has nothing
to do with that does not notice. (What of it each thing does alone: test_stop.py, test_crash.py, test_restart.py,
test_polkit.py. The bounds of a second and of two: tests/contract/test_stuck.py, where time means something.)"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest

import bus
import service
import sysfs
from bus import error
from definitions import DIRECTORY, file_of
from guest import new_uuid, wait_until
from mdevsim import SMALL

JOURNAL_SOCKET = "/run/systemd/journal/socket"
POLKIT = "org.freedesktop.PolicyKit1"
WATCHDOG_SECONDS = 30


def status():
    """What the daemon says is wrong: sentences by names."""
    words = ["mdevdctl", "status", "--json"]
    answer = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, timeout=60)
    troubles = json.loads(answer.stdout)["daemon"]["troubles"]
    return {name: [t["message"] for t in troubles if t["name"] == name] for name in (t["name"] for t in troubles)}


def show(name, unit=service.SERVICE):
    return int(service.systemctl("show", f"--property={name}", "--value", unit))


@contextlib.contextmanager
def standing_still(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def journal_that_blocks():
    """Whoever has a line for it waits."""
    with standing_still(show("MainPID", "systemd-journald.service")), contextlib.ExitStack() as stack:
        while True:
            sender = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK))
            n = 0
            with contextlib.suppress(BlockingIOError):
                while True:
                    sender.sendto(b"MESSAGE=There is no room for another line.\n", JOURNAL_SOCKET)
                    n += 1
            # A sender has a bound of its own.
            if n == 0:
                break
        yield


@contextlib.contextmanager
def small_disk():
    """Where the definitions are; also for the daemons that are started in the block."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0755", "tmpfs", DIRECTORY], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", DIRECTORY], check=True)
        # One that has begun in the block has it still.
        service.restart()


def fill_disk():
    with contextlib.suppress(OSError), open(DIRECTORY / "filler", "wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))


def messages():
    return subprocess.run(["journalctl", "--output=cat", "--unit=mdevd"], stdout=subprocess.PIPE, text=True, check=True,
                          timeout=60).stdout


def others_are_served(client, parent):
    """Returns what was created for it, and is gone again."""
    uuid = client.create(parent, SMALL)
    assert client.state(uuid) == "active"
    client.stop(uuid)
    assert client.state(uuid) is None
    return uuid


@pytest.mark.seconds(300)
def test_everything_is_stuck(mdevd, parents, clients, users):
    # The last one says by itself what is left.
    removing_on, creating_on, idle, silent = parents[0], parents[1], parents[2], parents[3]
    with small_disk(), service.settings(f"WatchdogSec={WATCHDOG_SECONDS}"):
        client, user = clients(), users()
        pid, n_restarts = service.main_pid(), show("NRestarts")

        uuids = removed, created, defined = client.create(removing_on, SMALL), new_uuid(), client.define(idle, SMALL)
        removing_on.remove_block = creating_on.create_block = 1
        silent.types_delay_ms = 3_600_000
        removal, creation = client.begin_stop(removed), client.begin_create(creating_on, SMALL, created)
        client.begin_manager("ListTypes", "s", silent.name)
        fill_disk()
        # So that polkit is there.
        assert user.begin_create(idle, SMALL).failure()
        wait_until(lambda: removing_on.removing == 1 and creating_on.creating == 1)

        def is_stuck():
            return not removal.is_done() and not creation.is_done() and not question.is_done()

        def picture(client):
            return [client.state(uuid) for uuid in uuids]

        def is_full(client):
            failure = client.begin_define(idle, SMALL).failure()
            return failure.name == error("Store") and "errno 28" in failure.sentence

        with standing_still(client.pid_of(POLKIT)):
            # One that a person could answer waits for ever, the other is given up in the end.
            question = user.begin_manager("Create", "sssa(ss)a{sv}", "", idle.name, SMALL, [], {}, interactive=True)
            user.begin_create(idle, SMALL)
            with journal_that_blocks():
                since = time.monotonic()
                wanted = {"operation", "driver", "store", "polkit", "journal"}
                assert is_full(client)
                # The watchdog has been fed when it would have been too late for one that stands still.
                while show("WatchdogTimestampMonotonic") < (since + WATCHDOG_SECONDS) * 1e6:
                    assert others_are_served(client, idle) and is_stuck() and time.monotonic() < since + 120
                wait_until(lambda: status().keys() == wanted, 60)
                assert is_stuck() and picture(client) == ["removing", "creating", "defined"]
                assert (service.main_pid(), show("NRestarts")) == (pid, n_restarts)
                told = status()
                assert told.keys() == wanted
                assert any(removed in sentence for sentence in told["operation"])
                assert any(created in sentence for sentence in told["operation"])
                assert silent.name in told["driver"][0] and "No space left" in told["store"][0]
                for_people = subprocess.run(["mdevdctl", "status"], stdout=subprocess.PIPE, text=True, check=True,
                                            timeout=60).stdout
                _, _, stuck = for_people.partition("\nStuck:\n")
                assert re.search(rf"^  Removing device {removed} .* \(for \d+ s\)$", stuck, re.MULTILINE)

                began = time.monotonic()
                service.restart()
                took = time.monotonic() - began
                # Two seconds on a real machine; systemd's own patience would be ten, and then some for the start.
                assert took < 10, f"the restart took {took} s"
                client = clients()
                assert service.main_pid() not in (0, pid)
                assert picture(client) == ["removing", "creating", "defined"]
                assert is_full(client)
                served = others_are_served(client, idle)
                assert "store" in status()
                assert removing_on.removing == creating_on.creating == 1

        # And all goes on.
        (DIRECTORY / "filler").unlink()
        removing_on.remove_block = creating_on.create_block = silent.types_delay_ms = 0
        wait_until(lambda: picture(client) == [None, "active", "defined"])
        assert sysfs.devices() == {created}
        another = client.define(idle, SMALL)
        assert file_of(idle, another).exists()
        wait_until(lambda: status() == {})
        assert user.begin_create(idle, SMALL).failure().name != bus.ACCESS_DENIED
        for uuid in (defined, another):
            client.undefine(uuid)
    # What was said to a journal that stood still was kept for it.
    wait_until(lambda: f"Device {served} on {idle.name}: creating → active" in messages())
