# SPDX-License-Identifier: LGPL-2.1-or-later

"""The CLI, and a host made of plain files for it to work on.

MDEVDCTL, MDEVD and MDEVD_WORKER name the programs that were built.
"""

import fcntl
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile

import pytest

# Who runs this in the background has it ignored, and so have all that are started from here.
signal.signal(signal.SIGINT, signal.default_int_handler)

BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  <limit name="max_replies_per_connection">50000</limit>
  <policy context="default">
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    <allow user="*"/>
  </policy>
</busconfig>
"""


def program(variable):
    path = os.environ.get(variable)
    if not path:
        pytest.skip(f"{variable} names no program")
    return os.path.abspath(path)


class Cli:
    """Runs the CLI under any of its names."""

    def __init__(self, directory, environment=None):
        self.directory = directory
        self.environment = {**os.environ, **(environment or {})}
        for name in ("mdevdctl", "mdevctl", "lsmdev"):
            # A copy: where it was built may be a place that only root sees.
            shutil.copy(program("MDEVDCTL"), directory / name)

    def __call__(self, *words, name="mdevdctl", **keywords):
        keywords.setdefault("stdin", subprocess.DEVNULL)
        if "input" in keywords:
            del keywords["stdin"]
        keywords.setdefault("stdout", subprocess.PIPE)
        keywords.setdefault("env", self.environment)
        return subprocess.run([self.directory / name, *words], stderr=subprocess.PIPE, timeout=60, **keywords)

    def ok(self, *words, **keywords):
        """What it writes, as text; it must succeed without a word on stderr."""
        done = self(*words, **keywords)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode()

    def fails(self, *words, status=1, **keywords):
        """What it says on stderr; it must fail without a word on stdout."""
        done = self(*words, **keywords)
        assert (done.returncode, done.stdout) == (status, b"")
        text = done.stderr.decode()
        assert text.startswith("Error: " if status == 1 else "error: ")
        return text


class Tree:
    """A root directory with what mdevd looks at: sysfs as the kernel lays it out, and the definitions."""

    def __init__(self, path):
        self.path = path
        self.sys = path / "sys"
        self.definitions = path / "etc/mdevctl.d"
        for name in ("sys/class/mdev_bus", "sys/bus/mdev/devices", "sys/devices", "etc/mdevctl.d", "run", "usr/lib"):
            (path / name).mkdir(parents=True)

    def add_parent(self, name):
        parent = self.sys / "devices" / name
        (parent / "mdev_supported_types").mkdir(parents=True)
        (self.sys / "class/mdev_bus" / name).symlink_to(f"../../devices/{name}")
        return parent

    def add_type(self, parent, name, available=1, device_api="vfio-pci", label=None, description=None):
        path = self.sys / "devices" / parent / "mdev_supported_types" / name
        (path / "devices").mkdir(parents=True)
        (path / "create").touch()
        (path / "available_instances").write_text(f"{available}\n")
        (path / "device_api").write_text(f"{device_api}\n")
        if label is not None:
            (path / "name").write_text(f"{label}\n")
        if description is not None:
            (path / "description").write_text(f"{description}\n")
        return path

    def add_device(self, parent, type_name, uuid):
        path = self.sys / "devices" / parent / uuid
        path.mkdir()
        (path / "remove").touch()
        (path / "mdev_type").symlink_to(f"../mdev_supported_types/{type_name}")
        (self.sys / "bus/mdev/devices" / uuid).symlink_to(f"../../../devices/{parent}/{uuid}")
        return path

    def remove_device(self, parent, uuid):
        (self.sys / "bus/mdev/devices" / uuid).unlink()
        shutil.rmtree(self.sys / "devices" / parent / uuid)

    def definition(self, parent, uuid):
        return self.definitions / parent / uuid

    def define(self, parent, uuid, text):
        path = self.definition(parent, uuid)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


class Bus:
    """A private system bus."""

    def __init__(self, directory):
        path = directory / "bus"
        config = directory / "bus.conf"
        config.write_text(BUS_CONFIG.format(path=path))
        self.address = f"unix:path={path}"
        self.process = subprocess.Popen(
            ["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address=1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self.process.stdout.readline()

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()


# What the sanitizers begin with, in a build with them.
REPORT = re.compile(r"runtime error:|ERROR: \w+Sanitizer")


def reports(log):
    """What sanitizers have to say in the log of a daemon that has ended, and of its workers, which may end later: they
    hold the lock that the log was opened with."""
    with open(log, errors="replace") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        # What is no report is told with a level.
        lines = [line for line in file if not line.startswith("<")]
    return "".join(lines) if any(REPORT.search(line) for line in lines) else ""


class Daemon:
    """mdevd on a tree and a bus of its own; it is ready when the constructor returns."""

    def __init__(self, tree, bus, directory):
        self.environment = {"DBUS_SYSTEM_BUS_ADDRESS": bus.address}
        notify = directory / "notify"
        self.log = directory / "mdevd.log"
        notify.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready, open(self.log, "wb") as log:
            fcntl.flock(log, fcntl.LOCK_EX)
            ready.bind(str(notify))
            ready.settimeout(30)
            self.process = subprocess.Popen(
                [program("MDEVD"), f"--root={tree.path}", f"--worker={program('MDEVD_WORKER')}"],
                env={**os.environ, **self.environment, "NOTIFY_SOCKET": str(notify)},
                stdout=log,
                stderr=log,
            )
            while b"READY=1" not in ready.recv(4096):
                pass

    def _manager(self, command, *words):
        return subprocess.run(
            ["busctl", command, "org.mdevd1", "/org/mdevd1", "org.mdevd1.Manager", *words],
            env={**os.environ, **self.environment},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout.strip()

    def rescan(self):
        self._manager("call", "Rescan")

    def property(self, name):
        """As busctl writes it."""
        return self._manager("get-property", name)

    def stop(self):
        self.process.terminate()
        assert self.process.wait(30) == 0
        said = reports(self.log)
        assert not said, said


class Host:
    """A tree, its daemon, and the CLI that talks to it."""

    def __init__(self, directory):
        self.tree = Tree(directory / "root")
        self.bus = Bus(directory)
        self.daemon = None
        self.directory = directory
        self.environment = {"DBUS_SYSTEM_BUS_ADDRESS": self.bus.address}
        self.cli = Cli(directory, self.environment)

    def start(self):
        self.daemon = Daemon(self.tree, self.bus, self.directory)
        return self.cli

    def stop(self):
        try:
            if self.daemon:
                self.daemon.stop()
        finally:
            self.bus.stop()


@pytest.fixture
def cli(tmp_path):
    """The CLI where there is no daemon and no bus."""
    return Cli(tmp_path, {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={tmp_path}/no-bus"})


@pytest.fixture
def host():
    """A host that everybody may look at; its daemon obeys root only."""
    if os.geteuid() != 0:
        pytest.skip("only root may change anything without polkit")
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        h = Host(pathlib.Path(directory))
        yield h
        h.stop()


PEER = "/usr/bin/mdevctl"


class Peer:
    """mdevctl 1.2.0, shown a tree in place of the host's own files."""

    def __init__(self, tree):
        for name in ("callouts", "notifiers"):
            (tree.definitions / "scripts.d" / name).mkdir(parents=True)
        self.script = (
            f"mount --bind {tree.definitions} /etc/mdevctl.d && mount --bind {tree.sys} /sys && exec \"$@\""
        )

    def __call__(self, *words):
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", self.script, "sh", PEER, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert b"mount:" not in done.stderr and b"unshare:" not in done.stderr
        return done


def pytest_configure(config):
    config.addinivalue_line("markers", "mdevctl: compares with mdevctl 1.2.0, which is Debian 12's")


def pytest_collection_modifyitems(items):
    for item in items:
        if "peer" in item.fixturenames:
            item.add_marker("mdevctl")


@pytest.fixture
def peer(tmp_path):
    """Makes a Peer for a tree, where there is one that can be used."""

    def make(tree=None):
        if os.geteuid() != 0 or subprocess.run(["unshare", "--mount", "true"], check=False).returncode != 0:
            pytest.skip("no mount namespaces")
        if not os.path.exists(PEER) or not os.path.isdir("/etc/mdevctl.d"):
            pytest.skip("no mdevctl")
        if subprocess.run([PEER, "--version"], capture_output=True, check=False).stdout != b"mdevctl 1.2.0\n":
            pytest.skip("another version of mdevctl")
        return Peer(tree or Tree(tmp_path / "peer"))

    return make
