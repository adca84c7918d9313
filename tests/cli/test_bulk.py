# SPDX-License-Identifier: LGPL-2.1-or-later

"""start and stop of more devices than may be under way at a time, whatever it is that bounds them."""

import contextlib
import os
import pathlib
import subprocess
import tempfile
import time

import pytest
from conftest import Host

PATIENCE = 60
UUIDS = [f"33333333-0000-0000-0000-{i:012x}" for i in range(300)]
PLAIN = '{"mdev_type": "t", "start": "manual", "attrs": []}'

# In place of a driver that takes its time: before the kernel is told it waits until it may go on, and does what the kernel
# would.
SCRIPT = """#!/bin/sh
# -t TYPE -e EVENT -a ACTION -s STATE -u UUID -p PARENT
[ "$4" = pre ] && [ "$6" = start ] || exit 2
: >"{directory}/began-${{10}}"
read -r _ <"{directory}/gate"
device="{sys}/devices/p/${{10}}"
mkdir "$device" && : >"$device/remove" && ln -s "../mdev_supported_types/t" "$device/mdev_type" &&
    ln -s "../../../devices/p/${{10}}" "{sys}/bus/mdev/devices/"
"""


class Slow(Host):
    """A host whose starts wait until they are let go."""

    def __init__(self, directory, **keywords):
        super().__init__(directory, **keywords)
        self.tree.add_parent("p")
        self.tree.add_type("p", "t", len(UUIDS))
        self.gate = directory / "gate"
        os.mkfifo(self.gate)
        script = self.tree.definitions / "scripts.d/callouts/script"
        script.parent.mkdir(parents=True)
        script.write_text(SCRIPT.format(directory=directory, sys=self.tree.sys))
        script.chmod(0o755)

    def begin(self, *words):
        return subprocess.Popen(
            [self.cli.directory / "mdevdctl", *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, n):
        """Until so many have begun."""
        end = time.monotonic() + PATIENCE
        while len(list(self.directory.glob("began-*"))) < n:
            assert time.monotonic() < end
            time.sleep(0.01)

    def configure(self, **limits):
        path = self.tree.path / "etc/mdevd/mdevd.conf"
        path.parent.mkdir()
        path.write_text("[Limits]\n" + "".join(f"{name}={value}\n" for name, value in limits.items()))

    def let_go(self, *processes):
        """Lets all go on until these programs have ended. Returns what each wrote."""
        # Open for reading, too, so that it is never at its end: whoever comes reads a line.
        gate = os.open(self.gate, os.O_RDWR)
        os.write(gate, b"\n" * len(UUIDS))
        try:
            return [process.communicate(timeout=PATIENCE) for process in processes]
        finally:
            os.close(gate)


@contextlib.contextmanager
def slow_host(**keywords):
    if os.geteuid() != 0:
        pytest.skip("only root may change anything without polkit")
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        host = Slow(pathlib.Path(directory), **keywords)
        try:
            yield host
        finally:
            host.stop()


def all_are_started(host, uuids, at_once):
    for uuid in uuids:
        host.tree.define("p", uuid, PLAIN)
    host.start()
    start = host.begin("start", "--all")
    host.wait_for(at_once)
    ((out, error),) = host.let_go(start)
    assert error == "" and start.returncode == 0
    assert sorted(out.splitlines()) == [f"{uuid} started" for uuid in uuids]


def test_the_bus_has_its_own_limits():
    """dbus-daemon lets nobody wait for more than 128 answers unless it is told otherwise."""
    with slow_host() as host:
        all_are_started(host, UUIDS, 64)


def test_the_bus_allows_few():
    with slow_host(max_replies=8) as host:
        all_are_started(host, UUIDS[:60], 8)


@pytest.mark.parametrize("limit", [1, 5])
def test_the_daemon_allows_few(limit):
    with slow_host() as host:
        host.configure(CallsPerClientMax=limit)
        all_are_started(host, UUIDS[:40], limit)


def test_others_have_the_room():
    """As long as these are there nothing of one's own is under way whose end could be waited for."""
    with slow_host() as host:
        host.configure(CreationsPerDriverMax=1, OperationsQueuedMax=2)
        for uuid in UUIDS[:20]:
            host.tree.define("p", uuid, PLAIN)
        host.start()
        others = [host.begin("start", "-u", uuid) for uuid in UUIDS[:3]]
        host.wait_for(1)
        end = time.monotonic() + PATIENCE
        while host.daemon.property("NPending") != "u 3":
            assert time.monotonic() < end
        start = host.begin("start", *UUIDS[3:20])
        with pytest.raises(subprocess.TimeoutExpired):
            start.wait(0.5)
        *_, (out, error) = host.let_go(*others, start)
        assert (error, start.returncode) == ("", 0) and all(other.returncode == 0 for other in others)
        assert sorted(out.splitlines()) == [f"{uuid} started" for uuid in UUIDS[3:20]]


def test_others_keep_the_room():
    """Then it is told, in the end."""
    with slow_host() as host:
        host.configure(CreationsPerDriverMax=1, OperationsQueuedMax=1)
        host.start()
        others = [host.begin("start", "-p", "p", "-t", "t", "-u", uuid) for uuid in UUIDS[:2]]
        end = time.monotonic() + PATIENCE
        while host.daemon.property("NPending") != "u 2":
            assert time.monotonic() < end
        for uuid in UUIDS[2:20]:
            host.tree.define("p", uuid, PLAIN)
        host.daemon.rescan()
        start = host.begin("start", *UUIDS[2:20])
        out, error = start.communicate(timeout=PATIENCE)
        assert (out, start.returncode) == ("", 1)
        assert sorted(line[:43] for line in error.splitlines()) == [f"Error: {uuid}" for uuid in UUIDS[2:20]]
        assert error.count("Too many operations under way: the limit is 1.") == 18
        host.let_go(*others)
