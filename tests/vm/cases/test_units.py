# SPDX-License-Identifier: LGPL-2.1-or-later
"""systemd's units for devices, and what the journal tells."""

import contextlib
import json
import subprocess
import time
from pathlib import Path

import pytest

import bus
import mdevsim
import sysfs
from guest import AS_TESTER, new_uuid, wait_until
from mdevsim import SMALL

SERVICE = "mdevd.service"
CONSUMER = "mdevd-test-consumer.service"
AUTOSTART = "mdev-autostart.target"


def systemctl(*words, check=True, timeout=100):
    done = subprocess.run(["systemctl", *words], capture_output=True, text=True, timeout=timeout)
    assert not check or done.returncode == 0, (words, done.stderr)
    return done


def show(unit, name):
    return systemctl("show", "--value", f"--property={name}", unit).stdout.strip()


def unit_of(uuid):
    return f"mdev@{uuid}.service"


def device_unit(path):
    done = subprocess.run(["systemd-escape", "-p", "--suffix=device", str(path)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def units():
    """Whatever of these is left goes."""
    yield
    systemctl("stop", CONSUMER, "mdev@*.service", AUTOSTART, "mdev-autostart.service", check=False)
    systemctl("reset-failed", check=False)


@contextlib.contextmanager
def consumer(*lines):
    """A unit as a VM's could be."""
    path = Path("/run/systemd/system", CONSUMER)
    path.write_text("\n".join(["[Unit]", *lines, "[Service]", "ExecStart=sleep infinity", ""]))
    systemctl("daemon-reload")
    try:
        yield
    finally:
        systemctl("stop", CONSUMER, check=False)
        path.unlink()
        systemctl("daemon-reload")


def test_required_by_another(mdevd, parent, units):
    uuid = mdevd.define(parent, SMALL)
    with consumer(f"Requires={unit_of(uuid)}", f"After={unit_of(uuid)}"):
        systemctl("start", CONSUMER)
        assert mdevd.state(uuid) == "active"
        systemctl("stop", CONSUMER, unit_of(uuid))
        assert mdevd.state(uuid) == "defined"


def test_one_that_was_there_stays(mdevd, parent, units):
    uuid = mdevd.define(parent, SMALL)
    mdevd.start(uuid)
    systemctl("start", unit_of(uuid))
    systemctl("stop", unit_of(uuid))
    assert mdevd.state(uuid) == "active"


def test_waits_until_it_can(mdevd, parent, units):
    uuid = mdevd.define(parent, SMALL)
    parent.registered = 0
    systemctl("start", "--no-block", unit_of(uuid))
    wait_until(lambda: show(unit_of(uuid), "ActiveState") == "activating")
    assert mdevd.state(uuid) == "defined"

    parent.registered = 1
    wait_until(lambda: show(unit_of(uuid), "ActiveState") == "active", timeout=30)
    assert mdevd.state(uuid) == "active"


def test_gives_up_when_systemd_does(mdevd, parent, units):
    uuid = mdevd.define(parent, SMALL)
    parent.registered = 0
    drop_in = Path("/run/systemd/system/mdev@.service.d/short.conf")
    drop_in.parent.mkdir()
    drop_in.write_text("[Service]\nTimeoutStartSec=2s\n")
    try:
        systemctl("daemon-reload")
        assert systemctl("start", unit_of(uuid), check=False).returncode != 0
        assert show(unit_of(uuid), "Result") == "timeout"
    finally:
        drop_in.unlink()
        drop_in.parent.rmdir()
        systemctl("daemon-reload")
    assert mdevd.state(uuid) == "defined"


def test_a_refusal_is_told(mdevd, parent, units):
    uuid = mdevd.define(parent, SMALL)
    parent.create_errno = 5
    assert systemctl("start", unit_of(uuid), check=False).returncode != 0
    assert show(unit_of(uuid), "Result") == "exit-code"
    subprocess.run(["journalctl", "--sync"], check=True)
    said = subprocess.run(["journalctl", "--output=cat", "--unit", unit_of(uuid)], capture_output=True, text=True).stdout
    assert "EIO" in said and uuid in said


def test_not_a_uuid(mdevd, units):
    assert systemctl("start", unit_of("nonsense"), check=False).returncode != 0
    assert show(unit_of("nonsense"), "Result") == "exit-code"


def test_a_restart_of_the_daemon_stops_nothing(mdevd, parent, units):
    uuid = mdevd.define(parent, SMALL)
    systemctl("start", unit_of(uuid))
    systemctl("restart", SERVICE)
    assert show(unit_of(uuid), "ActiveState") == "active"
    assert uuid in sysfs.devices()
    systemctl("stop", unit_of(uuid))
    assert uuid not in sysfs.devices()


def test_bound_to_a_device(mdevd, parent, units):
    uuid = mdevd.create(parent, SMALL)
    device = device_unit(f"/sys/bus/mdev/devices/{uuid}")
    wait_until(lambda: show(device, "ActiveState") == "active", timeout=30)
    with consumer(f"BindsTo={device}", f"After={device}"):
        systemctl("start", CONSUMER)
        mdevd.stop(uuid)
        wait_until(lambda: show(CONSUMER, "ActiveState") == "inactive", timeout=30)


def test_bound_to_a_parent(mdevd, parent, units):
    device = device_unit(f"/sys/class/mdev_bus/{parent.name}")
    wait_until(lambda: show(device, "ActiveState") == "active", timeout=30)
    with consumer(f"BindsTo={device}", f"After={device}"):
        systemctl("start", CONSUMER)
        parent.unplug()
        wait_until(lambda: show(CONSUMER, "ActiveState") == "inactive", timeout=30)
        mdevsim.rescan()
        wait_until(lambda: show(device, "ActiveState") == "active", timeout=30)


def test_hardware_starts_the_daemon(mdevd, parent, units):
    parent.unplug()
    systemctl("stop", SERVICE)
    mdevsim.rescan()
    wait_until(lambda: show(SERVICE, "ActiveState") == "active", timeout=30)


def test_the_target_waits_for_what_can_be_started(mdevd, parent, other_parent, units):
    """And not for what cannot."""
    parent.registered = other_parent.registered = 0
    uuids = [mdevd.define(parent, SMALL, autostart=True) for _ in range(4)]
    absent = mdevd.define(other_parent, SMALL, autostart=True)
    parent.create_delay_ms = 1000
    systemctl("stop", SERVICE)
    parent.registered = 1
    systemctl("start", AUTOSTART)
    assert sorted(sysfs.devices()) == sorted(uuids)

    with bus.Mdevd() as client:
        assert client.property(bus.PATH, bus.MANAGER, "Settled") is True
        assert client.property(bus.device_path(absent), bus.DEVICE, "Pending") == "parent-absent"


def journal(*matches):
    subprocess.run(["journalctl", "--sync"], check=True)
    done = subprocess.run(["journalctl", "--output=json", *matches], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_each_transition_is_a_line(mdevd, parent):
    uuid = new_uuid()
    call = f"busctl call org.mdevd1 /org/mdevd1 org.mdevd1.Manager Create sssa(ss)a{{sv}} {uuid} {parent.name} {SMALL} 0 0"
    subprocess.run(["systemd-run", "--quiet", "--wait", "--unit=mdevd-test-caller", *call.split()], check=True, timeout=60)
    mdevd.stop(uuid)

    lines = [entry for entry in journal(f"MDEVD_UUID={uuid}") if "MDEVD_STATE" in entry]
    story = [(entry["MDEVD_OLD_STATE"], entry["MDEVD_STATE"], entry["MDEVD_OPERATION"]) for entry in lines]
    assert story == [
        ("unknown", "creating", "create"),
        ("creating", "active", "create"),
        ("active", "removing", "remove"),
        ("removing", "unknown", "remove"),
    ]
    for entry in lines:
        assert entry["MDEVD_PARENT"] == parent.name and entry["MDEVD_TYPE"] == SMALL
        assert entry["MDEVD_SENDER_UID"] == "0" and int(entry["MDEVD_SENDER_PID"]) > 0
        assert len(entry["MESSAGE_ID"]) == 32
    assert [entry["MDEVD_SENDER_UNIT"] for entry in lines[:2]] == ["mdevd-test-caller.service"] * 2
    assert [int(entry.get("MDEVD_DURATION_USEC", 0)) > 0 for entry in lines] == [False, True, False, True]


def test_a_failure_says_who_asked(mdevd, parent):
    uuid = new_uuid()
    parent.create_errno = 5
    with pytest.raises(bus.BusError):
        mdevd.create(parent, SMALL, uuid)
    failed = [entry for entry in journal(f"MDEVD_UUID={uuid}") if entry["PRIORITY"] == "5"]
    assert [(entry["MDEVD_OPERATION"], entry["MDEVD_SENDER_UID"], entry["ERRNO"]) for entry in failed] == [("create", "0", "5")]


def test_nothing_is_said_when_nothing_happens(mdevd, parent):
    """A restart with devices and definitions is nothing, and so are questions."""
    mdevd.define(parent, SMALL)
    uuid = mdevd.create(parent, SMALL)
    # The journal is told after the client.
    wait_until(lambda: journal(f"MDEVD_UUID={uuid}", "MDEVD_STATE=active"))
    since = f"@{time.time():.3f}"
    systemctl("restart", SERVICE)
    with bus.Mdevd() as client:
        client.devices()
        client.rescan()
    subprocess.run([*AS_TESTER, "busctl", "introspect", "org.mdevd1", "/org/mdevd1"], check=True, capture_output=True)
    assert [entry["MESSAGE"] for entry in journal("--since", since, "_COMM=mdevd")] == []
