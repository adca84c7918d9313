# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the command line has for people, on devices that are really made."""

import contextlib
import ctypes
import json
import os
import re
import select
import subprocess

import pytest

import sysfs
from definitions import file_of
from guest import held, new_uuid, wait_until
from mdevsim import LARGE, NOGROUP, SMALL

PATIENCE = 60
IN_OPEN = 0x20


def run(*words, expected=0):
    result = subprocess.run(["mdevdctl", *words], capture_output=True, text=True, timeout=PATIENCE)
    assert result.returncode == expected, result.stderr
    return result.stderr if expected else result.stdout


def run_json(*words):
    return json.loads(run(*words, "--json"))


class Reader:
    """The command line at work, line by line."""

    def __init__(self, *words):
        self.process = subprocess.Popen(
            ["mdevdctl", *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        self.text = b""

    def line(self):
        while b"\n" not in self.text:
            ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
            assert ready, f"no line came, but {self.text!r}"
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, self.process.stderr.read()
            self.text += data
        line, _, self.text = self.text.partition(b"\n")
        return line.decode()

    def until(self, predicate):
        """The lines up to and with the first of which PREDICATE is true, as JSON."""
        lines = []
        while not lines or not predicate(lines[-1]):
            lines.append(json.loads(self.line()))
        return lines

    def end(self):
        stdout, stderr = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, (self.text + stdout).decode(), stderr.decode()


@contextlib.contextmanager
def monitor(*words):
    reader = Reader("monitor", *words)
    try:
        yield reader
    finally:
        reader.process.kill()
        reader.end()


@contextlib.contextmanager
def no_daemon():
    """mdevd is stopped and must not be started."""
    subprocess.run(["systemctl", "mask", "--now", "--runtime", "mdevd.service"], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["systemctl", "unmask", "--runtime", "mdevd.service"], check=True, capture_output=True)


def of_device(uuid, **values):
    return lambda line: line.get("uuid") == uuid and values.items() <= line.get("changes", {}).items()


def left(line, parent, type):
    if line.get("parent") != parent.name or "types" not in line.get("changes", {}):
        return None
    return next(t["available_instances"] for t in line["changes"]["types"] if t["type"] == type)


def test_a_life_is_watched(mdevd, parent):
    uuid = new_uuid()
    with monitor("--json") as lines:
        picture = json.loads(lines.line())
        assert picture["event"] == "picture" and picture["devices"] == [] and len(picture["parents"]) >= 8

        run("define", "-u", uuid, "-p", parent.name, "-t", SMALL)
        added = lines.until(lambda line: line["event"] == "added")[-1]
        assert (added["uuid"], added["value"]["state"]) == (uuid, "defined")

        run("start", "-u", uuid)
        states = [
            line["changes"]["state"]
            for line in lines.until(of_device(uuid, state="active"))
            if "state" in line.get("changes", {})
        ]
        assert states == ["creating", "active"]
        assert lines.until(lambda line: left(line, parent, SMALL) is not None)

        run("stop", "-u", uuid)
        lines.until(of_device(uuid, state="defined"))

        sysfs.create(parent, SMALL, uuid)
        lines.until(of_device(uuid, state="active"))


def test_status_and_tree(mdevd, parent):
    parent.limit = 4
    uuids = [new_uuid() for _ in range(2)]
    for uuid in uuids:
        run("start", "-u", uuid, "-p", parent.name, "-t", SMALL)
    text = run("status")
    assert "2 devices, 2 active" in text
    assert re.search(rf"^{parent.name} +\S+ +", text, re.MULTILINE)
    assert re.search(rf"{SMALL} +2 +2 +\[#####\.\.\.\.\.\]$", text, re.MULTILINE)
    for uuid in uuids:
        assert re.search(rf"^{uuid} +{parent.name} +{SMALL} +active +transient$", text, re.MULTILINE)

    tree = next(p for p in run_json("tree") if p["parent"] == parent.name)
    small = next(t for t in tree["types"] if t["type"] == SMALL)
    assert sorted(d["uuid"] for d in small["devices"]) == sorted(uuids) and small["available_instances"] == 2


def test_what_failed_is_told(mdevd, parent):
    uuid = new_uuid()
    run("define", "-u", uuid, "-p", parent.name, "-t", SMALL)
    parent.create_errno = 5
    run("start", "-u", uuid, expected=1)
    text = run("status")
    assert "\nWaiting or failed:\n" in text and "EIO" in text.partition("Waiting or failed:")[2]
    (device,) = run_json("show", uuid)
    assert device["last_error"]["name"] == "org.mdevd1.Error.Kernel"
    assert "     Trouble: " in run("show", uuid)


def test_show_has_the_holder_and_the_journal(mdevd, parent):
    uuid = new_uuid()
    run("start", "-u", uuid, "-p", parent.name, "-t", SMALL)
    with held(uuid) as holder:
        (device,) = run_json("show", uuid)
        assert device["holder"] == {"pid": holder.pid, "command": "hold"}
        assert device["device_node"] == f"/dev/vfio/{device['iommu_group']}"
        assert f"In use by: hold (process {holder.pid})\n" in run("show", uuid)
    assert run_json("show", uuid)[0]["holder"] is None

    subprocess.run(["journalctl", "--sync"], check=True)
    messages = [entry["message"] for entry in run_json("show", uuid)[0]["journal"]]
    assert f"Device {uuid} on {parent.name}: creating → active" in messages
    assert messages[-1] in run("show", uuid)


def test_showing_opens_nothing(mdevd, parent):
    """Not even for a moment: who is about to use the device would find the group busy."""
    uuid = new_uuid()
    run("start", "-u", uuid, "-p", parent.name, "-t", SMALL)
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        assert libc.inotify_add_watch(watch, run_json("show", uuid)[0]["device_node"].encode(), IN_OPEN) >= 0
        run("show", uuid)
        with pytest.raises(BlockingIOError):
            os.read(watch, 4096)
        with held(uuid):
            assert os.read(watch, 4096)
    finally:
        os.close(watch)


def test_wait_for_a_slow_driver(mdevd, parent):
    uuid = new_uuid()
    run("define", "-u", uuid, "-p", parent.name, "-t", SMALL)
    parent.create_block = 1
    start = Reader("start", "-u", uuid)
    wait_until(lambda: parent.creating == 1)
    assert run("wait", uuid, "--state", "creating") == ""
    assert "it is creating" in run("wait", uuid, "--timeout", "0.1", expected=1)
    wait = Reader("wait", uuid, "--timeout", "60")
    parent.create_block = 0
    assert wait.end() == (0, "", "")
    assert start.end()[0] == 0

    gone = Reader("wait", uuid, "--state=defined")
    run("stop", uuid)
    assert gone.end() == (0, "", "")


def test_wait_for_room(mdevd, parent):
    parent.limit = 1
    uuid = run("start", "-p", parent.name, "-t", SMALL).strip()
    words = ["wait", "-p", parent.name, "-t", SMALL, "--available", "1"]
    assert "there are 0" in run(*words, "--timeout", "0", expected=1)
    wait = Reader(*words)
    run("stop", uuid)
    assert wait.end() == (0, "", "")


def test_all_at_once(mdevd, parents):
    """All creations are in the driver before one of them is let go."""
    uuids = {}
    for parent in parents[:2]:
        for _ in range(3):
            uuid = new_uuid()
            uuids[uuid] = parent
            run("define", "-u", uuid, "-p", parent.name, "-t", SMALL)
        parent.create_block = 1
    start = Reader("start", "--all")
    wait_until(lambda: all(parent.creating == 3 for parent in parents[:2]), timeout=PATIENCE)
    for parent in parents[:2]:
        parent.create_block = 0
    status, text, _ = start.end()
    assert status == 0 and sorted(text.splitlines()) == sorted(f"{uuid} started" for uuid in uuids)
    assert sysfs.devices() == set(uuids)
    assert run("start", "--all") == ""

    first = next(iter(uuids))
    with held(first):
        done = subprocess.run(["mdevdctl", "stop", "--all"], capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 1
        assert done.stderr.startswith(f"Error: {first}: ") and "in use by process" in done.stderr
        assert sysfs.devices() == {first}
    with held(first) as holder:
        stop = Reader("stop", "--all", "--wait-for-release")
        wait_until(lambda: not sysfs.devices())
        assert stop.process.poll() is None
        holder.stdin.close()
        assert stop.end() == (0, f"{first} stopped\n", "")


def test_verify(mdevd, parents):
    uuid = new_uuid()
    run("define", "-u", uuid, "-p", parents[0].name, "-t", SMALL)
    run("start", "-u", uuid)
    assert run("verify") == ""
    path = file_of(parents[0], new_uuid())
    path.write_text('{\n  "mdev_type": 5,\n  "start": "auto"\n}')
    done = subprocess.run(["mdevdctl", "verify"], capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1 and f'{path}:2:16: error: "mdev_type" is missing or not a string\n' in done.stdout


def test_without_the_daemon(mdevd, parents):
    active, defined = new_uuid(), new_uuid()
    run("define", "-u", defined, "-p", parents[0].name, "-t", LARGE, "--auto")
    run("start", "-u", active, "-p", parents[1].name, "-t", NOGROUP)
    forms = [["list"], ["list", "-d"], ["list", "--dumpjson"], ["types"], ["types", "--dumpjson"], ["list", "--json"]]
    told = [run(*words) for words in forms]
    with no_daemon():
        assert [run(*words) for words in forms] == told
        assert "the daemon is not running" in run("verify")
        for words in ["status"], ["stop", "-u", active], ["start", "--all"], ["monitor"]:
            text = run(*words, expected=1)
            assert text.startswith("Error: mdevd is not running and cannot be started: ")
            assert "systemctl start mdevd" in text
    assert "2 devices, 1 active" in run("status")


def test_an_ordinary_user_may_look(mdevd, parent):
    uuid = run("start", "-p", parent.name, "-t", SMALL).strip()
    for words in ["status"], ["tree"], ["show", uuid], ["list"], ["verify"]:
        done = subprocess.run(
            ["setpriv", "--reuid=tester", "--regid=tester", "--clear-groups", "mdevdctl", *words],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert (done.returncode, done.stderr) == (0, ""), words


def test_completion_of_what_is_there(mdevd, parent):
    uuid = run("start", "-p", parent.name, "-t", SMALL).strip()
    script = (
        "source /usr/share/bash-completion/completions/mdevdctl; "
        "COMP_LINE='mdevdctl stop '; COMP_POINT=${#COMP_LINE}; _mdevdctl mdevdctl; echo ${COMPREPLY[@]}"
    )
    assert subprocess.run(["bash", "-c", script], capture_output=True, text=True).stdout == f"{uuid}\n"
