# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon dies at any moment: what the next one says is what is there, and the devices live on."""

import json
import os
import signal
import subprocess

import bus
import sysfs
from bus import device_path, error
from definitions import file_of, files, text_of
from guest import new_uuid, wait_until
from mdevsim import SMALL

SERVICE = "mdevd.service"


def main_pid():
    return int(subprocess.run(["systemctl", "show", "--property=MainPID", "--value", SERVICE],
                              stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout)


def bus_owner():
    """The process that a call would reach now: the bus hears of a death somewhat later than /proc shows it."""
    question = ["busctl", "call", "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                "GetConnectionUnixProcessID", "s", "org.mdevd1"]
    answer = subprocess.run(question, capture_output=True, text=True, timeout=60)
    return int(answer.stdout.split()[1]) if answer.returncode == 0 else None


def kill_daemon():
    # systemd gives up on a service that dies too often; here it is meant.
    systemctl("reset-failed")
    pid = main_pid()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: bus_owner() != pid)


def systemctl(verb):
    subprocess.run(["systemctl", verb, SERVICE], check=True, timeout=60)


def test_killed_in_the_middle_of_a_creation(mdevd, parents, clients):
    uuid, living = new_uuid(), mdevd.create(parents[1], SMALL)
    parents[0].create_block = 1
    mdevd.begin_create(parents[0], SMALL, uuid, [("log", "one"), ("log", "two")])
    wait_until(lambda: parents[0].creating == 1)

    kill_daemon()
    client = clients()

    # The worker of the one that died is still at it, and the new one knows.
    client.subscribe()
    assert client.state(uuid) == "creating" and client.state(living) == "active"
    assert client.begin_stop(uuid).failure().name == error("TryAgain")
    assert client.begin_create(parents[1], SMALL, uuid).failure().name == error("Exists")

    parents[0].create_block = 0
    client.wait_for_property(device_path(uuid), "State", "active")
    assert sysfs.devices() == {uuid, living}
    assert sysfs.DEVICES.joinpath(uuid, "log").read_text() == "one\ntwo\n"
    assert client.property(device_path(uuid), bus.DEVICE, "Origin") == "mdevd"
    client.stop(uuid)
    client.stop(living)
    assert sysfs.devices() == set()


def test_killed_in_the_middle_of_a_creation_that_fails(mdevd, parent, clients):
    uuid = new_uuid()
    parent.create_errno = 5
    parent.create_block = 1
    mdevd.begin_create(parent, SMALL, uuid)
    wait_until(lambda: parent.creating == 1)

    kill_daemon()
    client = clients()
    client.subscribe()
    assert client.state(uuid) == "creating"
    parent.create_block = 0

    client.wait_for_removed(device_path(uuid))
    parent.create_errno = 0
    assert client.create(parent, SMALL, uuid) == uuid


def test_killed_in_the_middle_of_a_removal(mdevd, parent, clients):
    uuid = mdevd.create(parent, SMALL)
    parent.remove_block = 1
    mdevd.begin_stop(uuid)
    wait_until(lambda: parent.removing == 1)

    kill_daemon()
    client = clients()
    client.subscribe()
    assert client.state(uuid) == "removing"
    assert client.begin_stop(uuid).failure().name == error("TryAgain")
    parent.remove_block = 0

    client.wait_for_removed(device_path(uuid))
    assert sysfs.devices() == set()


def test_killed_in_the_middle_of_definitions(mdevd, parent, clients):
    told, wanted = set(), {}
    for round_number in range(5):
        with bus.Mdevd() as client:
            calls = {}
            for _ in range(40):
                uuid = new_uuid()
                wanted[uuid] = text_of(SMALL, attributes=[("log", uuid)])
                calls[uuid] = client.begin_define(parent, SMALL, uuid, [("log", uuid)])
            some = 3 + 7 * round_number
            wait_until(lambda: sum(call.is_done() for call in calls.values()) >= some)
            kill_daemon()
            for uuid, call in calls.items():
                try:
                    if call.is_done() and call.result():
                        told.add(uuid)
                except bus.BusError:
                    pass

    client = clients()
    client.rescan()
    wait_until(lambda: client.property("/org/mdevd1", bus.MANAGER, "NPending") == 0)
    on_disk = {path.name: path.read_text() for path in files()}
    assert told <= set(on_disk) and len(told) >= 5
    assert all(on_disk[uuid] == wanted[uuid] and json.loads(on_disk[uuid]) for uuid in on_disk)
    assert {row.uuid for row in client.devices()} == set(on_disk)
    assert [path for path in file_of(parent, "x").parent.parent.iterdir() if path.name.startswith(".")] == []


def test_restart_and_stop_leave_devices_alone(mdevd, parent, clients):
    uuid, defined = mdevd.create(parent, SMALL), mdevd.define(parent, SMALL)
    mdevd.start(defined)

    systemctl("restart")
    client = clients()
    assert {row.uuid: (row.state, row.defined) for row in client.devices()} == {
        uuid: ("active", False), defined: ("active", True)}

    systemctl("stop")
    assert sysfs.devices() == {uuid, defined}
    # Asking starts it again.
    assert {row.uuid for row in clients().devices()} == {uuid, defined}


def times_killed():
    """How often systemd had to kill a daemon that did not end."""
    subprocess.run(["journalctl", "--sync"], check=True, timeout=60)
    words = ["journalctl", "--output=cat", "_PID=1", f"UNIT={SERVICE}"]
    return subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True).stdout.count("timed out. Killing")


def test_a_restart_does_not_wait_for_what_is_stuck(mdevd, parent, clients):
    uuid = mdevd.create(parent, SMALL)
    parent.remove_block = 1
    removal = mdevd.begin_stop(uuid)
    wait_until(lambda: parent.removing == 1)

    n_killed = times_killed()
    systemctl("restart")
    # Or systemd would have lost its patience, after ten seconds.
    assert times_killed() == n_killed
    assert removal.failure().name == error("Pending")
    assert clients().state(uuid) == "removing"
    parent.remove_block = 0


def test_a_worker_that_dies(mdevd, parent):
    uuid = new_uuid()
    parent.create_block = 1
    creation = mdevd.begin_create(parent, SMALL, uuid)
    wait_until(lambda: parent.creating == 1)
    for line in subprocess.run(["pgrep", "-x", "mdevd-worker"], stdout=subprocess.PIPE, text=True).stdout.split():
        os.kill(int(line), signal.SIGKILL)
    parent.create_block = 0

    # The kernel finishes what it began; nobody knows more than what is there now.
    failure = creation.failure()
    assert "killed by signal 9" in failure.sentence
    assert mdevd.state(uuid) == "active" and sysfs.devices() == {uuid}
    mdevd.stop(uuid)


def test_systemd_knows_it(mdevd):
    show = subprocess.run(["systemctl", "show", SERVICE], stdout=subprocess.PIPE, text=True, check=True).stdout
    properties = dict(line.split("=", 1) for line in show.splitlines() if "=" in line)
    assert properties["ActiveState"] == "active" and properties["SubState"] == "running"
    assert properties["KillMode"] == "process" and properties["Type"] == "notify"
    assert "devices active" in properties["StatusText"]
    assert properties["WatchdogUSec"] != "0"
