# SPDX-License-Identifier: LGPL-2.1-or-later

"""The CLI, and a host made of plain files for it to work on.

MDEVDCTL, MDEVD and MDEVD_WORKER name the programs that were built.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

import pytest

# At the end: a module here comes before one of the same name there.
sys.path.append(str(pathlib.Path(__file__).parents[1] / "contract"))

from private import PrivateBus, reports, start_daemon  # noqa: E402

# Who runs this in the background has it ignored, and so have all that are started from here.
signal.signal(signal.SIGINT, signal.default_int_handler)


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


class Daemon:
    """mdevd on a tree and a bus of its own; it is ready when the constructor returns."""

    def __init__(self, tree, bus, directory):
        self.environment = bus.environment
        self.log = directory / "mdevd.log"
        self.process = start_daemon(tree.path, bus, self.log)

    def _manager(self, command, *words):
        return subprocess.run(
            ["busctl", command, "org.mdevd1", "/org/mdevd1", "org.mdevd1.Manager", *words],
            env=self.environment,
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

    def __init__(self, directory, max_replies=None):
        self.tree = Tree(directory / "root")
        self.bus = PrivateBus(directory, max_replies=max_replies)
        self.daemon = None
        self.directory = directory
        self.environment = self.bus.environment
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
