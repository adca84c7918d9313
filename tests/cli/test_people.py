# SPDX-License-Identifier: LGPL-2.1-or-later

"""What the command line has for people: status, show, tree, monitor, wait, verify, several devices at once, tables on a
terminal, other hosts, and files without a daemon."""

import contextlib
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time

import pytest
from conftest import program
from jeepney import DBusAddress, HeaderFields, MessageType, new_method_return, new_signal
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import open_dbus_connection
from memory import LIMITLESS, NONE, Memory

U = [f"00000000-0000-0000-0000-00000000000{i:x}" for i in range(16)]
ESCAPE = "\033["
PATIENCE = 30


def definition(type_name="t", start="manual", attributes=()):
    return json.dumps({"mdev_type": type_name, "start": start, "attrs": [{k: v} for k, v in attributes]})


@pytest.fixture
def card(host):
    """A host with a parent p of two types, q without any, and an absent r."""
    tree = host.tree
    tree.add_parent("p")
    tree.add_type("p", "t", 3, label="Tee")
    tree.add_type("p", "u", 0)
    tree.add_parent("q")
    tree.add_device("p", "t", U[1])
    tree.add_device("p", "t", U[2])
    tree.define("p", U[2], definition(start="auto", attributes=[("a", "1")]))
    tree.define("r", U[3], definition())
    return host


class Terminal:
    """A program at a pseudo terminal."""

    def __init__(self, cli, *words, columns=200, stderr=False, **environment):
        self.text = b""
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        kept = {k: v for k, v in cli.environment.items() if k not in ("NO_COLOR", "COLUMNS", "LC_ALL", "LC_CTYPE")}
        self.process = subprocess.Popen(
            [cli.directory / "mdevdctl", *words],
            env={**kept, "LANG": "C.UTF-8", "TERM": "xterm", **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if stderr else slave,
            stderr=slave if stderr else subprocess.PIPE,
        )
        os.close(slave)

    def read_until(self, wanted):
        """What has come, up to and with WANTED; None: up to the end."""
        while wanted is None or wanted.encode() not in self.text:
            ready, _, _ = select.select([self.master], [], [], PATIENCE)
            assert ready, f"{wanted!r} did not come: {self.text!r}"
            try:
                data = os.read(self.master, 65536)
            except OSError:  # nobody has the other end open any more
                data = b""
            if not data:
                assert wanted is None, f"{wanted!r} did not come: {self.text!r}"
                break
            self.text += data
        return self.text.decode().replace("\r\n", "\n")

    def end(self):
        """Everything, and the exit status."""
        text = self.read_until(None)
        status = self.process.wait(PATIENCE)
        for stream in self.process.stdout, self.process.stderr:
            if stream:
                stream.close()
        os.close(self.master)
        return text, status


def on_terminal(cli, *words, **keywords):
    text, status = Terminal(cli, *words, **keywords).end()
    assert status == 0
    return text


def without_colour(text):
    return re.sub(r"\033\[\d*m", "", text)


class TestStatus:
    def test_plain(self, card):
        card.tree.define("p", U[4], "{")
        text = card.start().ok("status")
        assert re.match(r"mdevd \S+: running, settled\n3 devices, 2 active; 0 operations under way\n", text)
        assert re.search(r"^p +- +t +2 +3 +\[####\.{6}\]$", text, re.MULTILINE)
        assert re.search(r"^ +u +0 +0 +\[#{10}\]$", text, re.MULTILINE)
        assert re.search(r"^r +absent", text, re.MULTILINE)
        assert re.search(rf"^{U[1]}  p +t +active +transient$", text, re.MULTILINE)
        assert re.search(rf"^{U[2]}  p +t +active +auto$", text, re.MULTILINE)
        assert re.search(rf"^{U[3]}  r +t +defined +manual$", text, re.MULTILINE)
        assert f"  /etc/mdevctl.d/p/{U[4]}: line 1, column 2: " in text
        assert text.isascii()

    def test_columns_are_aligned(self, card):
        lines = card.start().ok("status").splitlines()
        header = next(line for line in lines if line.startswith("UUID"))
        for name in "PARENT", "TYPE", "STATE", "START":
            column = header.index(name)
            for line in lines[lines.index(header) + 1 :]:
                assert line[column] != " " and line[column - 1] == " "

    def test_json(self, card):
        status = json.loads(card.start().ok("status", "--json"))
        assert list(status) == ["daemon", "parents", "devices"]
        assert status["daemon"]["settled"] is True and status["daemon"]["devices_total"] == 3
        assert [p["parent"] for p in status["parents"]] == ["p", "q", "r"]
        assert status["parents"][0]["types"][0]["available_instances"] == 3
        assert status["parents"][2]["present"] is False and status["parents"][2]["sysfs_path"] is None
        device = status["devices"][1]
        assert device["uuid"] == U[2] and device["iommu_group"] is None and device["last_error"] is None
        assert device["definitions"] == [
            {"parent": "p", "type": "t", "autostart": True, "attributes": [{"name": "a", "value": "1"}]}
        ]

    def test_no_memory(self, card, monkeypatch):
        built = pathlib.Path(program("MDEVD")).parents[1] / "tests/unit"
        memory = Memory(card.directory / "memory")
        monkeypatch.setenv("MDEVD", str(built / "mdevd-without-memory"))
        card.bus.environment["MDEVD_MEMORY"] = str(card.directory / "memory")
        cli = card.start()
        assert "\nStuck:\n" not in cli.ok("status")
        memory.write(NONE)
        assert "emory" in cli.fails("define", "-u", U[5], "-p", "p", "-t", "t")
        memory.write(LIMITLESS)
        _, _, stuck = cli.ok("status").partition("\nStuck:\n")
        assert re.match(r"  There is not enough memory: [^\n]*, the last time \d+ s ago\. \(for \d+ s\)\n\n", stuck)
        troubles = json.loads(cli.ok("status", "--json"))["daemon"]["troubles"]
        assert [trouble["name"] for trouble in troubles] == ["memory"]
        memory.file.close()

    def test_nothing(self, host):
        text = host.start().ok("status")
        assert text.endswith("0 devices, 0 active; 0 operations under way\n")


class TestTerminal:
    def test_colour_and_bars(self, card):
        text = on_terminal(card.start(), "status")
        assert f"{ESCAPE}32mactive{ESCAPE}0m" in text and f"{ESCAPE}4mUUID{ESCAPE}0m" in text
        assert "████░░░░░░" in text

    @pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
    def test_no_colour(self, card, environment):
        text = on_terminal(card.start(), "status", **environment)
        assert ESCAPE not in text and "████░░░░░░" in text

    def test_an_empty_no_color_is_none(self, card):
        assert ESCAPE in on_terminal(card.start(), "status", NO_COLOR="")

    def test_no_utf8(self, card):
        text = on_terminal(card.start(), "status", LANG="C")
        assert text.isascii() and "[####......]" in text

    def test_width(self, card):
        cli = card.start()
        card.tree.define("a-parent-with-a-long-name", U[4], definition("a-type-with-a-long-name"))
        card.daemon.rescan()
        for columns in 60, 80:
            lines = without_colour(on_terminal(cli, "status", columns=columns)).splitlines()
            assert max(map(len, lines)) == columns
            assert any(line.startswith(U[4]) and "…" in line for line in lines)
        assert "…" not in on_terminal(cli, "status", columns=200)
        assert "…" in on_terminal(cli, "status", columns=200, COLUMNS="70")

    def test_what_moves_the_cursor_is_not_shown(self, card):
        cli = card.start()
        card.tree.define("p", U[4], definition(attributes=[("a", "\x1b[2J\u009b2J")]))
        card.daemon.rescan()
        for text in cli.ok("show", U[4]), on_terminal(cli, "show", U[4]):
            assert "\x1b[2J" not in text and "\u009b" not in text and "a = ?[2J" in text

    def test_tree(self, card):
        text = without_colour(on_terminal(card.start(), "tree"))
        assert text.startswith(f"p\n├─t, 3 left\n│ ├─{U[1]} active\n│ └─{U[2]} active (defined)\n└─u, 0 left\n")

    def test_mdevctls_verbs_are_as_ever(self, card):
        cli = card.start()
        for words in ["list"], ["list", "-d"], ["types"]:
            assert on_terminal(cli, *words) == cli.ok(*words)


def test_tree(card):
    cli = card.start()
    assert cli.ok("tree") == (
        f"p\n  t, 3 left\n    {U[1]} active\n    {U[2]} active (defined)\n  u, 0 left\nq\n"
        f"r, absent\n  t, not offered\n    {U[3]} defined\n"
    )
    tree = json.loads(cli.ok("tree", "--json"))
    assert tree[0]["types"][0]["devices"][1] == {"uuid": U[2], "state": "active", "defined": True}
    assert tree[2] == {
        "parent": "r",
        "present": False,
        "types": [
            {
                "type": "t",
                "available_instances": None,
                "devices": [{"uuid": U[3], "state": "defined", "defined": True}],
            }
        ],
    }


class TestShow:
    def test_all(self, card):
        cli = card.start()
        text = cli.ok("show", U[2])
        assert text.startswith(f"{U[2]}\n       State: active, not created by this mdevd\n")
        assert f"  Definition: /etc/mdevctl.d/p/{U[2]}: t, auto\n                a = 1\n" in text
        assert f"Sysfs: /sys/devices/p/{U[2]}\n" in text
        assert cli.ok("show", "-u", U[2].upper()) == text
        assert cli.ok("show", U[2], U[3]) == text + "\n" + cli.ok("show", U[3])

    def test_json(self, card):
        (device,) = json.loads(card.start().ok("show", "--json", U[3]))
        assert device["state"] == "defined" and device["holder"] is None and device["journal"] == []

    def test_none(self, card):
        cli = card.start()
        assert U[9] in cli.fails("show", U[2], U[9])
        cli.fails("show", status=2)
        cli.fails("show", "x", status=2)


def test_rows_as_json(card):
    cli = card.start()
    assert json.loads(cli.ok("list", "--json", "-u", U[2])) == [
        {
            "uuid": U[2],
            "parent": "p",
            "type": "t",
            "state": "active",
            "defined": True,
            "autostart": True,
            "attributes": [{"name": "a", "value": "1"}],
        }
    ]
    assert [row["uuid"] for row in json.loads(cli.ok("list", "-d", "--json"))] == [U[2], U[3]]
    assert json.loads(cli.ok("list", "--json", "-u", U[9])) == []
    assert json.loads(cli.ok("types", "--json", "-p", "p"))[0] == {
        "parent": "p",
        "type": "t",
        "name": "Tee",
        "device_api": "vfio-pci",
        "description": "",
        "available_instances": 3,
    }
    cli.fails("list", "--json", "--dumpjson", status=2)


class Reader:
    """A program whose lines are read as they come."""

    def __init__(self, cli, *words):
        self.process = subprocess.Popen(
            [cli.directory / "mdevdctl", *words],
            env=cli.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def line(self):
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
        assert ready, "no line came"
        text = b""
        while not text.endswith(b"\n"):
            byte = os.read(self.process.stdout.fileno(), 1)
            assert byte, self.process.stderr.read()
            text += byte
        return text.decode()

    def json(self):
        return json.loads(self.line())

    def until(self, **wanted):
        """The first line with these values."""
        while not wanted.items() <= (line := self.json()).items():
            pass
        return line

    def end(self):
        self.process.terminate()
        self.process.communicate(timeout=PATIENCE)


@contextlib.contextmanager
def reading(cli, *words):
    reader = Reader(cli, *words)
    try:
        yield reader
    finally:
        reader.end()


class TestMonitor:
    @pytest.fixture(autouse=True)
    def settled(self, card):
        """The types are read after the daemon is ready; what follows is what the case does."""
        card.start().ok("types")

    def test_json(self, card):
        cli = card.cli
        with reading(cli, "monitor", "--json") as monitor:
            picture = monitor.json()
            assert picture["event"] == "picture" and len(picture["devices"]) == 3
            assert picture["daemon"] == json.loads(cli.ok("status", "--json"))["daemon"]

            cli.ok("define", "-u", U[5], "-p", "p", "-t", "t")
            added = monitor.until(event="added")
            assert (added["object"], added["uuid"], added["value"]["state"]) == ("device", U[5], "defined")
            assert monitor.until(object="daemon")["changes"]["devices_total"] == 4

            cli.ok("modify", "-u", U[5], "--auto")
            changed = monitor.until(event="changed", uuid=U[5])
            assert changed["changes"]["autostart"] is True and "state" not in changed["changes"]

            cli.ok("undefine", "-u", U[5])
            assert monitor.until(event="removed")["uuid"] == U[5]

    def test_capacity(self, card):
        cli = card.cli
        with reading(cli, "monitor") as monitor:
            assert monitor.line().endswith(" daemon is running\n")
            (card.tree.sys / "devices/p/mdev_supported_types/t/available_instances").write_text("7\n")
            cli.ok("types")
            assert monitor.line().endswith(" parent p t: 7 left, were 3\n")

    def test_a_life(self, card):
        cli = card.cli
        with reading(cli, "monitor") as monitor:
            monitor.line()
            card.tree.add_device("p", "t", U[3])
            card.daemon.rescan()
            line = monitor.line()
            while " daemon settled: " in line:  # it is not while it reads
                line = monitor.line()
            assert re.fullmatch(rf"\d\d:\d\d:\d\d device {U[3]} defined → active, parent p, type t\n", line)

    def test_the_daemon_comes_and_goes(self, card):
        cli = card.cli
        with reading(cli, "monitor", "--json") as monitor:
            assert monitor.json()["event"] == "picture"
            card.daemon.stop()
            card.daemon = None
            assert monitor.json()["event"] == "lost"
            card.tree.define("p", U[6], definition())
            card.start()
            assert len(monitor.json()["devices"]) == 4

    def test_the_bus_goes(self, card):
        cli = card.cli
        monitor = Reader(cli, "monitor")
        monitor.line()
        card.bus.process.kill()
        _, stderr = monitor.process.communicate(timeout=PATIENCE)
        assert monitor.process.returncode == 1 and b"Error: " in stderr
        card.daemon.process.kill()
        card.daemon.process.wait()
        card.daemon = None

    def test_the_reader_goes(self, card):
        """As behind "| head -1": at once, and not with the next change."""
        monitor = Reader(card.cli, "monitor")
        monitor.line()
        monitor.process.stdout.close()
        assert monitor.process.wait(PATIENCE) == 0
        assert monitor.process.stderr.read() == b""
        monitor.process.stderr.close()

    def test_to_a_file(self, card, tmp_path):
        cli = card.cli
        with open(tmp_path / "file", "wb") as file:
            monitor = subprocess.Popen([cli.directory / "mdevdctl", "monitor"], env=cli.environment, stdout=file)

        def written(lines):
            deadline = time.monotonic() + PATIENCE
            while (text := (tmp_path / "file").read_text()).count("\n") < lines:
                assert time.monotonic() < deadline, text
                time.sleep(0.01)
            return text

        written(1)
        card.daemon.stop()
        card.daemon = None
        assert re.fullmatch(r"\S+ daemon is running\n\S+ daemon is gone\n", written(2))
        monitor.terminate()
        monitor.wait(PATIENCE)

    def test_nobody_takes_it(self, card):
        cli = card.cli
        with open("/dev/full", "wb") as full:
            done = cli("monitor", stdout=full)
        assert done.returncode == 1 and b"The result could not be written: " in done.stderr


class TestWait:
    def test_at_once(self, card):
        cli = card.start()
        assert cli.ok("wait", U[1]) == cli.ok("wait", "-u", U[2], "--timeout", "0") == ""
        assert cli.ok("wait", U[1], U[2], "--state=active") == ""
        assert cli.ok("wait", U[3], "--state", "defined") == cli.ok("wait", U[9], "--state", "absent") == ""
        assert cli.ok("wait", "-p", "p", "-t", "t") == cli.ok("wait", "-p", "p", "-t", "u", "--available", "0") == ""

    def test_in_vain(self, card):
        cli = card.start()
        text = cli.fails("wait", U[3], "--timeout", "0.2")
        assert text == f"Error: Waited 0.2 s in vain for device {U[3]} to be active; it is defined\n"
        assert "it is absent" in cli.fails("wait", U[9], "--timeout", "0")
        assert "there are 3" in cli.fails("wait", "-p", "p", "-t", "t", "--available", "4", "--timeout", "0")
        assert "it does not" in cli.fails("wait", "-p", "p", "-t", "x", "--timeout", "0")
        assert "it is absent" in cli.fails("wait", "-p", "r", "-t", "t", "--timeout", "0")

    @pytest.mark.parametrize(
        "words",
        [
            [],
            ["--timeout", "5"],
            ["-p", "p"],
            ["-t", "t"],
            [U[1], "-p", "p", "-t", "t"],
            [U[1], "--state", "nonsense"],
            [U[1], "--timeout", "-1"],
            [U[1], "--timeout", ""],
            [U[1], "--timeout", "1x"],
            [U[1], "--timeout", "99999999999"],
            ["-p", "p", "-t", "t", "--available", "x"],
            ["-p", "p", "-t", "t", "--state", "active"],
        ],
        ids=repr,
    )
    def test_wrong(self, cli, words):
        cli.fails("wait", *words, status=2)

    def test_until_it_is_so(self, card):
        cli = card.start()
        wait = Terminal(cli, "wait", U[3], U[4], stderr=True)
        wait.read_until(f"Waiting for device {U[3]} to be active; it is defined\n".replace("\n", ""))
        card.tree.add_device("p", "t", U[3])
        card.daemon.rescan()
        assert wait.process.poll() is None
        card.tree.add_device("p", "t", U[4])
        card.daemon.rescan()
        assert wait.end()[1] == 0

    def test_until_it_is_gone(self, card):
        cli = card.start()
        wait = Terminal(cli, "wait", U[1], "--state", "absent", stderr=True)
        wait.read_until("it is active")
        card.tree.remove_device("p", U[1])
        card.daemon.rescan()
        assert wait.end()[1] == 0

    def test_until_there_is_room(self, card):
        cli = card.start()
        wait = Terminal(cli, "wait", "-p", "p", "-t", "t", "--available", "5", stderr=True)
        wait.read_until("there are 3")
        (card.tree.sys / "devices/p/mdev_supported_types/t/available_instances").write_text("5\n")
        cli.ok("types")
        assert wait.end()[1] == 0

    def test_over_a_restart_of_the_daemon(self, card):
        cli = card.start()
        wait = Terminal(cli, "wait", U[3], stderr=True)
        wait.read_until("it is defined")
        card.daemon.stop()
        card.daemon = None
        card.tree.add_device("p", "t", U[3])
        card.start()
        assert wait.end()[1] == 0


def read_fifo(path):
    """What a driver that is a FIFO is told; whoever writes need not be there yet."""
    return subprocess.run(["cat", path], capture_output=True, text=True, timeout=PATIENCE, check=True).stdout


class TestMany:
    def test_each_is_told(self, card):
        cli = card.start()
        done = cli("stop", U[1], U[9], U[2], U[1])
        assert done.returncode == 1
        assert sorted(done.stdout.decode().splitlines()) == [f"{U[1]} stopped", f"{U[2]} stopped"]
        assert done.stderr.decode().startswith(f"Error: {U[9]}: There is no device")

    def test_json(self, card):
        done = card.start()("stop", U[1], U[9], "--json")
        results = {r["uuid"]: r for r in json.loads(done.stdout)}
        assert done.returncode == 1
        assert results[U[1]] == {"uuid": U[1], "done": True}
        assert results[U[9]]["done"] is False and results[U[9]]["error"] == "org.mdevd1.Error.NotFound"
        assert U[9] in results[U[9]]["message"]

    def test_all(self, card):
        cli = card.start()
        assert sorted(cli.ok("stop", "--all").split()[::2]) == [U[1], U[2]]
        assert sorted(cli.ok("stop", "-p", "p").split()[::2]) == [U[1], U[2]]
        assert cli.ok("stop", "-p", "q") == ""
        assert f"Error: {U[3]}: " in cli.fails("start", "--all")
        assert cli.ok("start", "--all", "-p", "p") == ""

    def test_all_but_those_that_live_elsewhere(self, card):
        """One that has other definitions, or none there, is started all the same; with a parent it is asked for."""
        card.tree.define("p", U[1], definition())
        card.tree.define("q", U[1], definition("x"))
        card.tree.define("q", U[2], definition("x"))
        card.tree.definition("p", U[2]).unlink()
        card.tree.definition("r", U[3]).unlink()
        cli = card.start()
        assert cli.ok("start", "--all") == cli.ok("start", "--all", "-p", "p") == ""
        text = cli.fails("start", "--all", "-p", "q")
        assert text.count("Error: ") == 2 and f"Error: {U[1]}: " in text and f"Error: {U[2]}: " in text

    def test_at_once(self, host):
        """The second is at the driver while the first still is."""
        host.tree.add_parent("p")
        for i in 1, 2:
            create = host.tree.add_type("p", f"t{i}") / "create"
            create.unlink()
            os.mkfifo(create)
            host.tree.define("p", U[i], definition(f"t{i}"))
        cli = host.start()
        start = subprocess.Popen(
            [cli.directory / "mdevdctl", "start", U[1], U[2]],
            env=cli.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for i in 2, 1:
            assert start.poll() is None
            assert read_fifo(host.tree.sys / f"devices/p/mdev_supported_types/t{i}/create") == U[i]
        start.communicate(timeout=PATIENCE)

    def test_a_signal_leaves_the_work(self, host):
        host.tree.add_parent("p")
        create = host.tree.add_type("p", "t") / "create"
        create.unlink()
        os.mkfifo(create)
        host.tree.define("p", U[1], definition())
        cli = host.start()
        start = Terminal(cli, "start", U[1], U[2], stderr=True)
        start.read_until(f"Error: {U[2]}: ")
        start.process.send_signal(signal.SIGINT)
        text, status = start.end()
        assert status == -signal.SIGINT
        assert "Error: Interrupted. Of 2 devices 1 were asked for and not answered; mdevd goes on" in text
        assert read_fifo(create) == U[1]

    def test_more_than_may_be_under_way(self, card):
        uuids = [f"11111111-0000-0000-0000-{i:012x}" for i in range(600)]
        done = card.start()("stop", *uuids, "--json")
        assert sorted(r["uuid"] for r in json.loads(done.stdout)) == uuids and done.returncode == 1
        assert {r["error"] for r in json.loads(done.stdout)} == {"org.mdevd1.Error.NotFound"}

    def test_that_it_takes_long_is_said(self, host):
        host.tree.add_parent("p")
        create = host.tree.add_type("p", "t") / "create"
        create.unlink()
        os.mkfifo(create)
        host.tree.define("p", U[1], definition())
        start = Terminal(host.start(), "start", "-u", U[1], stderr=True)
        start.read_until("Waiting for mdevd to start; this takes as long as the driver does.")
        assert read_fifo(create) == U[1]
        start.end()

    @pytest.mark.parametrize(
        "words",
        [
            ["start", "--all", U[1]],
            ["start", "--all", "-t", "t"],
            ["start", U[1], "-p", "p", "-t", "t"],
            ["start", "-u", U[1], "--json"],
            ["stop", "--all", U[1]],
            ["stop", U[1], "-p", "p"],
            ["stop", "-u", U[1], "--json"],
            ["stop", U[1], "x"],
        ],
        ids=repr,
    )
    def test_wrong(self, cli, words):
        cli.fails(*words, status=2)

    def test_mdevctls_form_is_as_ever(self, card):
        cli = card.start()
        assert cli.ok("stop", "-u", U[1]) == ""
        assert "insufficiently specified" in cli.fails("start", "-p", "p")


class TestVerify:
    def verify(self, host, *words):
        return host.cli("verify", *words, env={**host.cli.environment, "MDEVCTL_ENV_ROOT": str(host.tree.path)})

    def test_nothing_is_wrong(self, card):
        card.start()
        done = self.verify(card)
        assert (done.returncode, done.stderr) == (0, b"")
        assert done.stdout.decode() == f"/etc/mdevctl.d/r/{U[3]}: note: parent r is not there\n"

    @pytest.mark.parametrize(
        "text, position, message",
        [
            ("{", (1, 2), "the text ends too early"),
            ('{\n "mdev_type": t}', (2, 16), "boolean expected"),
            ('{"mdev_type":"t",\n "start": "auto"} x', (2, 19), "unexpected character"),
            ("[]", (1, 1), "not a JSON object"),
            ('{"start":"auto"}', (1, 1), '"mdev_type" is missing or not a string'),
            ('{"x":[{"mdev_type":1}],\n  "mdev_type" : 5, "start":"auto"}', (2, 17), '"mdev_type" is missing or not'),
            ('\n{"mdev_type":"t"}', (2, 1), '"start" is missing'),
            ('{"mdev_type":"t","start":"auto",\n"attrs": {}}', (2, 10), '"attrs" is not an array'),
            (
                '{"mdev_type":"t","start":"auto",\n"attrs": [\n {"a":"1,\\"]"},\n  {"b":1}]}',
                (4, 3),
                'attribute 1, "b": the value is not a string',
            ),
            ('{"mdev_type":"t","start":"auto","attrs":[{"a":"1"},{"b":"2"},7]}', (1, 62), "attribute 2 is not an object"),
        ],
    )
    def test_where(self, card, text, position, message):
        card.tree.define("p", U[4], text)
        card.start()
        line, column = position
        done = self.verify(card)
        assert done.returncode == 1
        assert f"/etc/mdevctl.d/p/{U[4]}:{line}:{column}: error: {message}" in done.stdout.decode()
        finding = next(f for f in json.loads(self.verify(card, "--json").stdout) if f["severity"] == "error")
        assert (finding["line"], finding["column"]) == position
        assert finding["path"] == f"/etc/mdevctl.d/p/{U[4]}"

    def test_files(self, card):
        card.tree.define("p", "nonsense", "{}")
        card.tree.define("p", U[2].replace("-", ""), definition())
        card.tree.define("q", U[2], definition(start="auto"))
        card.tree.define("p", U[5], definition("x"))
        card.tree.define("p", U[1], definition("u"))
        card.start()
        text = self.verify(card).stdout.decode()
        assert "p/nonsense: error: the file's name is not a UUID\n" in text
        assert "error: the same device is defined in another file beside it" in text
        # Which is a way to have it on the first that has room.
        assert "note: marked for autostart, and so is" in text and "error: marked" not in text
        assert f"p/{U[5]}: error: parent p does not offer type x\n" in text
        assert f"p/{U[1]}: error: the device is active with another type, t, than is defined, u\n" in text

    def test_the_daemon_knows_otherwise(self, card):
        """It looks at its own files, so it is made to look at others."""
        card.start()
        other = card.directory / "other"
        subprocess.run(["cp", "-a", card.tree.path, other], check=True)
        environment = {**card.cli.environment, "MDEVCTL_ENV_ROOT": str(other)}
        assert card.cli("verify", env=environment).returncode == 0

        (other / "etc/mdevctl.d/p" / U[2]).write_text(definition(start="manual"))
        (other / "etc/mdevctl.d/p" / U[7]).write_text(definition())
        (other / "etc/mdevctl.d/r" / U[3]).unlink()
        (other / "sys/bus/mdev/devices" / U[1]).unlink()
        subprocess.run(["rm", "-r", other / "sys/devices/p" / U[1]], check=True)
        done = card.cli("verify", env=environment)
        text = done.stdout.decode()
        assert done.returncode == 1
        assert f"p/{U[2]}: error: mdevd knows another content" in text
        assert f"p/{U[7]}: error: mdevd does not know this definition" in text
        assert f"{U[3]}: error: mdevd knows a definition on parent r that has no file" in text
        assert f"{U[1]}: error: mdevd has the device active, and sysfs has it not" in text

    def test_sysfs_has_more(self, card):
        card.start()
        other = card.directory / "other"
        subprocess.run(["cp", "-a", card.tree.path, other], check=True)
        card.tree.remove_device("p", U[1])
        card.daemon.rescan()
        done = card.cli("verify", env={**card.cli.environment, "MDEVCTL_ENV_ROOT": str(other)})
        assert f"{U[1]}: error: sysfs has the device active, and mdevd has it not" in done.stdout.decode()

    def test_an_orphan(self, card):
        card.tree.sys.joinpath("devices/p", U[1], "remove").unlink()
        card.start()
        done = self.verify(card)
        assert done.returncode == 1 and f"{U[1]}: error: the device is orphaned" in done.stdout.decode()

    @pytest.mark.parametrize("ours", [True, False])
    def test_one_that_is_being_created(self, card, ours):
        """As long as the driver is at it the device has no type, and is no other one than is defined."""
        create = card.tree.sys / "devices/p/mdev_supported_types/t/create"
        create.unlink()
        os.mkfifo(create)
        card.tree.define("p", U[4], definition())
        cli = card.start()
        if ours:
            start = Terminal(cli, "start", "-u", U[4], stderr=True)
            assert cli.ok("wait", U[4], "--state=creating") == ""
        card.tree.add_device("p", "t", U[4]).joinpath("mdev_type").unlink()
        if not ours:
            card.daemon.rescan()
        done = self.verify(card)
        alone = card.cli("verify", f"--root={card.tree.path}")
        if ours:
            assert read_fifo(create) == U[4]
            start.end()
        assert (done.returncode, done.stderr) == (0, b"") and U[4] not in done.stdout.decode()
        assert alone.returncode == 0

    def test_no_daemon(self, card):
        done = self.verify(card)
        assert done.returncode == 0 and b"note: the daemon is not running" in done.stdout

    def test_elsewhere(self, cli):
        assert "by ssh" in cli.fails("verify", "-M", "x")


class TestOffline:
    """--root: what is written is what the daemon would have written."""

    @pytest.fixture
    def image(self, cli, tmp_path):
        """The CLI with --root on an empty directory, and that directory."""
        root = tmp_path / "image"
        root.mkdir()
        return (lambda *words, **keywords: cli.ok(f"--root={root}", *words, **keywords)), root

    @pytest.fixture
    def refused(self, cli, tmp_path):
        return lambda *words, **keywords: cli.fails(f"--root={tmp_path}/image", *words, **keywords)

    def test_one_life(self, image, refused):
        run, root = image
        path = root / "etc/mdevctl.d/p" / U[1]
        assert run("list", "-d") == run("list") == run("types") == run("verify") == ""

        assert run("define", "-u", U[1].upper(), "-p", "p", "-t", "t", "--auto") == ""
        assert path.read_text() == '{\n  "mdev_type": "t",\n  "start": "auto",\n  "attrs": []\n}'
        assert "defined on parent p already" in refused("define", "-u", U[1], "-p", "q", "-t", "t")
        refused("define", "-u", U[1], "-p", "p", "-t", "t")

        assert run("modify", "-u", U[1], "--addattr", "a", "--value", "1") == ""
        assert run("modify", "-u", U[1], "--addattr", "b", "--value", "2", "-i", "0", "--manual") == ""
        assert run("list", "-d", "-v") == f'{U[1]} p t manual\n  Attrs:\n    @{{0}}: {{"b":"2"}}\n    @{{1}}: {{"a":"1"}}\n'
        assert run("modify", "-u", U[1], "--delattr", "-t", "k") == ""
        assert json.loads(path.read_text()) == {"mdev_type": "k", "start": "manual", "attrs": [{"b": "2"}]}
        assert "no attribute 5" in refused("modify", "-u", U[1], "--delattr", "-i", "5")

        assert run("verify") == ""
        assert run("undefine", "-u", U[1]) == "" and not path.exists()
        assert "no definition" in refused("undefine", "-u", U[1])
        assert os.listdir(root / "etc/mdevctl.d") in ([], ["p"])

    def test_a_new_uuid_is_printed(self, image):
        run, root = image
        uuid = run("define", "-p", "p", "-t", "t").strip()
        assert (root / "etc/mdevctl.d/p" / uuid).exists()

    def test_jsonfile(self, image, refused):
        run, root = image
        text = b'{"mdev_type":"t","start":"auto","attrs":[{"a":"1"}],"other":{"x":1}}'
        uuid = run("define", "-p", "p", "--jsonfile", "/dev/stdin", input=text).strip()
        assert json.loads((root / "etc/mdevctl.d/p" / uuid).read_text()) == json.loads(text)
        run("modify", "-u", uuid, "-t", "k")
        assert json.loads((root / "etc/mdevctl.d/p" / uuid).read_text())["other"] == {"x": 1}
        assert "line 1, column 2" in refused("define", "-p", "p", "--jsonfile", "/dev/stdin", input=b"{")

    def test_several_definitions(self, image, refused):
        run, root = image
        for parent in "p", "q":
            run("define", "-u", U[1], "-p", parent, "-t", "t", "--alternate")
        assert "specify a parent" in refused("modify", "-u", U[1], "-t", "k")
        run("modify", "-u", U[1], "-p", "q", "-t", "k")
        assert run("list", "-d") == f"{U[1]} p t manual\n{U[1]} q k manual\n"
        run("undefine", "-u", U[1], "-p", "p")
        assert run("list", "-d") == f"{U[1]} q k manual\n"
        assert run("list", "-d", "--dumpjson", "-u", U[1]).startswith('{\n  "mdev_type": "k"')

    LOWER = U[1].replace("0000-0000", "abcd-ef00")
    UPPER = LOWER.upper()

    def test_a_file_in_another_case(self, image, refused):
        """Its name is the UUID all the same: it is a definition."""
        run, root = image
        folder = root / "etc/mdevctl.d/p"
        folder.mkdir(parents=True)
        (folder / self.UPPER).write_text(definition())
        text = definition("k").encode()
        for words in ["-t", "k"], ["-t", "k", "--alternate"], ["--jsonfile=/dev/stdin"]:
            said = refused("define", "-u", self.LOWER, "-p", "p", *words, input=text)
            assert f"Device {self.LOWER} is defined on parent p already" in said
        assert os.listdir(folder) == [self.UPPER]
        run("modify", "-u", self.LOWER, "-t", "k")
        assert json.loads((folder / self.UPPER).read_text())["mdev_type"] == "k" and os.listdir(folder) == [self.UPPER]

    def test_two_files_on_one_parent(self, image):
        """They are one definition, which is in that of the usual name."""
        run, root = image
        folder = root / "etc/mdevctl.d/p"
        folder.mkdir(parents=True)
        (folder / self.UPPER).write_text(definition("u"))
        (folder / self.LOWER).write_text(definition())
        run("modify", "-u", self.LOWER, "-p", "p", "--auto")
        run("modify", "-u", self.LOWER, "-t", "m")
        assert json.loads((folder / self.LOWER).read_text()) == {"mdev_type": "m", "start": "auto", "attrs": []}
        assert json.loads((folder / self.UPPER).read_text())["mdev_type"] == "u"

    def test_modify_defines_on_another_parent(self, image, refused):
        """As with a daemon: a file says all that there is to say."""
        run, root = image
        run("define", "-u", U[1], "-p", "p", "-t", "t")
        words = ["modify", "-u", U[1], "-p", "q", "--jsonfile=/dev/stdin"]
        text = definition("k", "auto").encode()
        assert f"Device {U[1]} is defined on parent p already" in refused(*words, input=text)
        assert run(*words, "--alternate", input=text) == ""
        assert run("list", "-d") == f"{U[1]} p t manual\n{U[1]} q k auto\n"
        assert run(*words, input=definition("m").encode()) == ""
        assert run("list", "-d") == f"{U[1]} p t manual\n{U[1]} q m manual\n"

    def test_underspecified(self, image, refused):
        assert "--parent" in refused("define", "-u", U[1])
        assert "--type" in refused("define", "-u", U[1], "-p", "p")
        assert "is empty" in refused("define", "-u", U[1], "-p", "", "-t", "t")
        assert "not the name of a parent" in refused("define", "-p", "a/b", "-t", "t")
        assert "not defined" in refused("modify", "-u", U[1], "-t", "t")

    def test_what_takes_a_daemon(self, image, refused, cli):
        for words in ["start", "-u", U[1]], ["stop", "-u", U[1]], ["status"], ["monitor"], ["wait", U[1]], ["tree"]:
            assert "takes mdevd" in refused(*words)
        assert "No such file" in cli.fails("--root=/nonexistent", "list", "-d")
        cli.fails("--root=/", "-H", "x", "list", status=2)

    def test_a_bad_file_is_told(self, image, cli):
        run, root = image
        run("define", "-u", U[1], "-p", "p", "-t", "t")
        (root / "etc/mdevctl.d/p" / U[2]).write_text("{")
        done = cli(f"--root={root}", "list", "-d")
        assert done.stdout.decode() == f"{U[1]} p t manual\n"
        assert f"/etc/mdevctl.d/p/{U[2]} is not a valid definition" in done.stderr.decode()
        assert cli(f"--root={root}", "verify").returncode == 1

    def test_the_daemon_agrees(self, card):
        """The same words, with a daemon and on its files."""
        root = f"--root={card.tree.path}"
        forms = [["list"], ["list", "-d"], ["list", "-dv"], ["list", "--dumpjson"], ["list", "-d", "--dumpjson"]]
        forms += [["list", "-d", "--json"], ["list", "--json"], ["types"], ["types", "--dumpjson"], ["types", "--json"]]
        forms += [["list", "-u", U[2]], ["list", "-dp", "r"], ["types", "-p", "p"], ["types", "-p", "r"]]
        offline = [card.cli.ok(root, *words) for words in forms]
        cli = card.start()
        assert [cli.ok(*words) for words in forms] == offline


class TestNoDaemon:
    def test_reading(self, card):
        environment = {**card.cli.environment, "MDEVCTL_ENV_ROOT": str(card.tree.path)}
        assert card.cli.ok("list", env=environment) == f"{U[1]} p t manual\n{U[2]} p t auto (defined)\n"
        assert card.cli.ok("list", "-d", env=environment) == f"{U[2]} p t auto (active)\n{U[3]} r t manual\n"
        assert card.cli.ok("types", env=environment).startswith("p\n  t\n    Available instances: 3\n")

    def test_it_is_said_at_a_terminal(self, card):
        terminal = Terminal(card.cli, "list", stderr=True, MDEVCTL_ENV_ROOT=str(card.tree.path))
        assert "mdevd is not running; this is what sysfs and the definitions say." in terminal.end()[0]


class TestElsewhere:
    def test_ssh(self, card, tmp_path):
        """ssh is a program that is started with the host's name and the bridge's; this one stays here."""
        programs = tmp_path / "programs"
        programs.mkdir()
        ssh = programs / "ssh"
        ssh.write_text(
            f'#!/bin/sh\necho "$@" >{tmp_path}/words\n'
            f"exec systemd-stdio-bridge --bus-path={card.bus.address}\n"
        )
        ssh.chmod(0o755)
        card.start()
        environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
        environment.pop("DBUS_SYSTEM_BUS_ADDRESS", None)
        for words in ["-H", "root@far", "status"], ["status", "--host=root@far"]:
            assert "3 devices, 2 active" in card.cli.ok(*words, env=environment)
            assert "root@far" in (tmp_path / "words").read_text()
        assert card.cli.ok("-Hroot@far", "stop", "-u", U[1], env=environment) == ""

    def test_it_cannot_be_reached(self, cli, tmp_path):
        environment = {**cli.environment, "PATH": str(tmp_path)}
        text = cli.fails("list", "-H", "far", env=environment)
        assert "host far" in text and "ssh" in text
        text = cli.fails("list", "-M", "nobody")
        assert "container nobody" in text and "machinectl list" in text


class FakeDaemon:
    """Owns mdevd's name and answers what it is asked for, with devices that say what no tree of files can make them say."""

    def __init__(self, address, devices):
        self.after = {}  # a signal that follows the answer to a question
        self.answers = {
            "GetAll": ("a{sv}", ({"Version": ("s", "9"), "Settled": ("b", False), "NDevices": ("u", len(devices))},)),
            "ListTypes": ("a(sssssu)", ([],)),
            "GetManagedObjects": ("a{oa{sa{sv}}}", (devices,)),
        }
        self.connection = open_dbus_connection(bus=address)
        self.connection.send_and_get_reply(message_bus.RequestName("org.mdevd1"))
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        with contextlib.suppress(Exception):
            while True:
                message = self.connection.receive()
                member = message.header.fields.get(HeaderFields.member)
                if message.header.message_type is MessageType.method_call and member in self.answers:
                    self.connection.send(new_method_return(message, *self.answers[member]))
                    if member in self.after:
                        self.connection.send(self.after[member])


WAITING = {
    "parent-absent": "waits for parent p, which is absent",
    "type-absent": "waits for parent p to offer type t",
    "no-capacity": "waits for an instance of type t to be left on parent p",
    "failed": "could not be started: It broke.",
    "something-new": "waits: something-new",
}


def test_what_waits_and_why(host):
    devices = {}
    for i, pending in enumerate(WAITING):
        devices[f"/org/mdevd1/device/{U[i].replace('-', '_')}"] = {
            "org.freedesktop.DBus.Peer": {},
            "org.mdevd1.Device": {
                "UUID": ("s", U[i]),
                "State": ("s", "defined"),
                "Parent": ("s", "p"),
                "Type": ("s", "t"),
                "Defined": ("b", True),
                "AutoStart": ("b", True),
                "Pending": ("s", pending),
                "LastError": ("(ss)", ("x.Broken", "It broke.") if pending == "failed" else ("", "")),
                "Unheard": ("a(sa{sv})", [("of", {})]),
            },
        }
    FakeDaemon(host.bus.address, devices)
    text = host.cli.ok("status")
    assert text.startswith("mdevd 9: running, not settled yet\n")
    for i, sentence in enumerate(WAITING.values()):
        assert f"\n  {U[i]}  {sentence}\n" in text
        assert f"     Trouble: {sentence}\n" in host.cli.ok("show", U[i])
    device = json.loads(host.cli.ok("show", "--json", U[3]))[0]
    assert device["pending"] == "failed" and device["last_error"] == {"name": "x.Broken", "message": "It broke."}


def test_a_change_between_the_answers(host):
    """The daemon's own properties are known first, and may change before the devices are."""
    name = "org.mdevd1.Device"
    device = {"UUID": ("s", U[0]), "State": ("s", "defined"), "Parent": ("s", "p"), "Type": ("s", "t")}
    fake = FakeDaemon(host.bus.address, {f"/org/mdevd1/device/{U[0].replace('-', '_')}": {name: device}})
    manager = DBusAddress("/org/mdevd1", interface="org.freedesktop.DBus.Properties")
    changed = ("org.mdevd1.Manager", {"NDevices": ("u", 7)}, [])
    fake.after["GetAll"] = new_signal(manager, "PropertiesChanged", "sa{sv}as", changed)
    assert host.cli.ok("wait", U[0], "--state=defined") == ""


@pytest.mark.parametrize(
    "name, value",
    [
        ("LastError", ("(sss)", ("x.Broken", "It broke.", "twice"))),
        ("Attributes", ("a(sss)", [("a", "1", "2")])),
        ("Attributes", ("a(s" + "s" * 40 + ")", [("a",) + ("1",) * 40])),
        ("Definitions", ("a(ssba(sss))", [("p", "t", True, [("a", "1", "2")])])),
        ("Definitions", ("a(ssba(ss)i)", [("p", "t", True, [("a", "1")], 7)])),
    ],
    ids=repr,
)
def test_structures_with_more_members_than_there_are(host, name, value):
    """What a daemon elsewhere says is not to be believed: there are no names for these."""
    device = {"UUID": ("s", U[0]), "State": ("s", "defined"), "Parent": ("s", "p"), "Type": ("s", "t"), name: value}
    FakeDaemon(host.bus.address, {f"/org/mdevd1/device/{U[0].replace('-', '_')}": {"org.mdevd1.Device": device}})
    for words in ["status"], ["show", "--json", U[0]], ["monitor"]:
        assert host.cli.fails(*words) == "Error: The answer of mdevd cannot be read: Bad message\n"
