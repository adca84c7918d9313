# SPDX-License-Identifier: LGPL-2.1-or-later

"""What mdev@.service runs, where the device has an operation under way that ends without a trace. (As a unit of systemd's:
tests/vm/cases/test_units.py.)"""

import os
import pathlib
import subprocess
import time

import pytest
from conftest import program

PATIENCE = 30
U = "44444444-0000-0000-0000-000000000001"
PLAIN = '{"mdev_type": "t", "start": "manual", "attrs": []}'

# Changes of a definition wait before they are refused; of a start it does what the kernel would.
SCRIPT = """#!/bin/sh
# -t TYPE -e EVENT -a ACTION -s STATE -u UUID -p PARENT
[ "$4" = pre ] || exit 2
case $6 in
undefine | modify)
    : >"{directory}/began"
    read -r _ <"{directory}/gate"
    exit 1
    ;;
start)
    device="{sys}/devices/p/${{10}}"
    mkdir "$device" && : >"$device/remove" && ln -s "../mdev_supported_types/t" "$device/mdev_type" &&
        ln -s "../../../devices/p/${{10}}" "{sys}/bus/mdev/devices/"
    ;;
esac
"""


class Unit:
    """The program, with its output read while it runs."""

    def __init__(self, host):
        self.host = host
        self.processes = []
        self.directory = host.directory / "unit"
        self.directory.mkdir()
        self.started = self.directory / "started"

    def begin(self, verb):
        process = subprocess.Popen(
            [pathlib.Path(program("MDEVDCTL")).with_name("mdevd-unit"), verb, U],
            env={**self.host.environment, "RUNTIME_DIRECTORY": str(self.directory)},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def end(self, process):
        _, error = process.communicate(timeout=PATIENCE)
        return process.returncode, error

    def close(self):
        for process in self.processes:
            process.kill()
            process.communicate()


@pytest.fixture
def slow(host):
    """A host with a definition whose changes wait at a gate."""
    host.tree.add_parent("p")
    host.device_type = host.tree.add_type("p", "t")
    host.tree.define("p", U, PLAIN)
    host.gate = host.directory / "gate"
    os.mkfifo(host.gate)
    script = host.tree.definitions / "scripts.d/callouts/script"
    script.parent.mkdir(parents=True)
    script.write_text(SCRIPT.format(directory=host.directory, sys=host.tree.sys))
    script.chmod(0o755)
    host.start()
    return host


@pytest.fixture
def unit(slow):
    unit = Unit(slow)
    yield unit
    unit.close()


def begin_change(host, *words):
    change = subprocess.Popen(
        [host.cli.directory / "mdevdctl", *words, "-u", U],
        env=host.environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    end = time.monotonic() + PATIENCE
    while not (host.directory / "began").exists():
        assert time.monotonic() < end and change.poll() is None
    return change


def end_change(host, change):
    """It is refused, so that nothing has changed."""
    host.gate.write_text("\n")
    _, error = change.communicate(timeout=PATIENCE)
    assert change.returncode == 1 and b"script" in error


def read_waiting(process):
    """What it says while it waits."""
    line = process.stderr.readline()
    assert line.startswith("Waiting: ") and "under way" in line
    return line


@pytest.mark.parametrize("words", [["undefine"], ["modify", "--auto"]], ids=repr)
def test_start_waits_for_what_ends_without_a_trace(slow, unit, words):
    change = begin_change(slow, *words)
    start = unit.begin("start")
    read_waiting(start)
    # Longer than until it is tried again, which is told once.
    with pytest.raises(subprocess.TimeoutExpired):
        start.wait(1.2)
    end_change(slow, change)
    assert unit.end(start) == (0, "")
    assert unit.started.exists() and slow.cli.ok("list") == f"{U} p t manual (defined)\n"


def test_stop_waits_too(slow, unit):
    assert unit.end(unit.begin("start")) == (0, "")
    change = begin_change(slow, "undefine")
    stop = unit.begin("stop")
    read_waiting(stop)
    with pytest.raises(subprocess.TimeoutExpired):
        stop.wait(1.2)
    remove = slow.tree.sys / "bus/mdev/devices" / U / "remove"
    assert unit.started.exists() and remove.read_text() == ""
    end_change(slow, change)
    assert unit.end(stop) == (0, "")
    assert not unit.started.exists() and remove.read_text() == "1"


def test_what_is_not_ours_is_left_alone(slow, unit):
    slow.tree.add_device("p", "t", U)
    slow.daemon.rescan()
    assert unit.end(unit.begin("start")) == (0, "") and not unit.started.exists()
    assert unit.end(unit.begin("stop")) == (0, "")
    assert (slow.tree.sys / "bus/mdev/devices" / U / "remove").read_text() == ""
