# SPDX-License-Identifier: LGPL-2.1-or-later
"""libvirt's node device driver, unmodified, with our command line where it looks for mdevctl; and virsh, its client."""

import collections
import os
import re
import select
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import service

UNIT = "mdevd-test-libvirt.service"
URI = "nodedev:///system"

# Of its drivers only this one, which is all that is wanted.
WORK = Path("/run/mdevd-test-libvirt")
DRIVER = "lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_nodedev.so"

# Debian's own, and that of the backports, which tests/install puts next to it.
RELEASES = {"9.0": Path("/usr"), "11.3": Path("/opt/libvirt-backports/usr")}

# Longer than any of virsh's commands should take on a busy machine.
PATIENCE = 60

PROMPT = b"virsh # "

# What it says of a device. `autostart` and `attributes` belong to a definition and are not compared without one.
View = collections.namedtuple("View", "parent type active defined autostart attributes")


class VirshError(Exception):
    """A command of virsh that failed: what it said."""


def node_name(device, parent):
    """What libvirt calls a device."""
    return re.sub(r"\W", "_", f"mdev_{device}_{parent.name}")


def parent_name(parent):
    return re.sub(r"\W", "_", f"pci_{parent.name}")


def xml_of(parent, type, device=None, attributes=()):
    """With the name that libvirt gives the device where there is a UUID: for an update it has to be there."""
    name = node_name(device, parent) if device else "new"
    words = [f"<device><name>{name}</name><parent>{parent_name(parent)}</parent><capability type='mdev'>",
             f"<type id='{type}'/>", f"<uuid>{device}</uuid>" if device else "",
             *(f"<attr name='{name}' value='{value}'/>" for name, value in attributes),
             "</capability></device>"]
    return "".join(words)


def attributes_in(xml):
    return [(attr.get("name"), attr.get("value")) for attr in xml.iter("attr")]


class Shell:
    """One virsh for many commands: it takes half a second to start."""

    def __init__(self, virsh, environment):
        # With fewer columns it would write long commands in several lines, which are in front of what it answers.
        environment = {**os.environ, **environment, "TERM": "dumb", "COLUMNS": "100000"}
        self._process = subprocess.Popen([virsh, f"--connect={URI}"], env=environment, bufsize=0,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        os.set_blocking(self._process.stderr.fileno(), False)
        self._read_answer()

    def ask(self, command):
        """What it answers, and what it complains of."""
        self._process.stdin.write(command.encode() + b"\n")
        answer = self._read_answer()
        # It has complained before it asks for the next command.
        complaint = self._process.stderr.read() or b""
        return answer.partition("\n")[2], complaint.decode()

    def _read_answer(self):
        """Up to the prompt; the first line is the command itself."""
        answer = b""
        deadline = time.monotonic() + PATIENCE
        while not answer.endswith(PROMPT):
            ready, _, _ = select.select([self._process.stdout], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"virsh says nothing more after: {answer}"
            chunk = os.read(self._process.stdout.fileno(), 65536)
            assert chunk, f"virsh ended: {self._process.stderr.read()}"
            answer += chunk
        return answer[:-len(PROMPT)].decode()

    def close(self):
        self._process.stdin.close()
        self._process.wait(PATIENCE)
        self._process.stdout.close()
        self._process.stderr.close()


class Libvirt:
    def __init__(self, release):
        self.release = release
        self.prefix = RELEASES[release]
        assert (self.prefix / "bin/virsh").exists(), f"libvirt {release} is not here; tests/install guest says why"
        self.updates = release != "9.0"
        self.environment = {"LD_LIBRARY_PATH": str(self.prefix / "lib/x86_64-linux-gnu"),
                            "LIBVIRT_DRIVER_DIR": str(WORK)}

    def start(self):
        """It takes the first mdevctl in its path, and has ours there: the others of the guest keep theirs."""
        WORK.mkdir(exist_ok=True)
        link = WORK / Path(DRIVER).name
        link.unlink(missing_ok=True)
        link.symlink_to(self.prefix / DRIVER)
        environment = [f"--setenv={name}={value}" for name, value in self.environment.items()]
        subprocess.run(["systemd-run", "--quiet", f"--unit={UNIT}", "--service-type=notify", "--collect",
                        "--property=BindReadOnlyPaths=/usr/bin/mdevdctl:/usr/bin/mdevctl", *environment,
                        self.prefix / "sbin/libvirtd"], check=True, timeout=PATIENCE)
        pid = service.systemctl("show", "--property=MainPID", "--value", UNIT).strip()
        assert os.path.samefile(f"/proc/{pid}/root/usr/bin/mdevctl", "/usr/bin/mdevdctl")
        self.shell = Shell(self.prefix / "bin/virsh", self.environment)
        # Of a daemon without a hypervisor it does not tell more.
        assert f"Using library: libvirt {self.release}." in self.shell.ask("version")[0]

    def stop(self):
        self.shell.close()
        service.systemctl("stop", UNIT)

    def restart(self):
        self.stop()
        self.start()

    def virsh(self, command, xml=None):
        """What a command says, to which a file with XML may be added; VirshError if it complains."""
        if xml:
            (WORK / "device.xml").write_text(xml)
            command += f" {WORK}/device.xml"
        said, complaint = self.shell.ask(command)
        if complaint:
            raise VirshError(complaint)
        return said

    def define(self, xml):
        """Returns libvirt's name of the device."""
        return re.search(r"\bmdev_\w+", self.virsh("nodedev-define", xml)).group()

    def create(self, xml):
        return re.search(r"\bmdev_\w+", self.virsh("nodedev-create", xml)).group()

    def names(self, *options):
        return self.virsh(" ".join(["nodedev-list --cap mdev", *options])).split()

    def attributes(self, name):
        """Those of a definition; none as long as it does not know it."""
        said = self.shell.ask(f"nodedev-dumpxml {name}")[0]
        return attributes_in(ElementTree.fromstring(said)) if said.strip() else []

    def view(self, only=None):
        """What it knows of devices, or of ONLY some, by their UUIDs; None if that changed while it was being read."""
        views = [self._view_of(name) for name in only or self.names("--all")]
        return None if None in views else dict(views)

    def _view_of(self, name):
        info = dict(re.findall(r"^(\w+): +(\S+)", self.shell.ask(f"nodedev-info {name}")[0], re.MULTILINE))
        live = self.shell.ask(f"nodedev-dumpxml {name}")[0]
        if not info or not live.strip():
            return None
        live = ElementTree.fromstring(live).find("capability")
        if live.find("type") is None:
            # 11.3 has it from the list of active devices, and udev has not told it yet.
            return None
        defined = info["Persistent"] == "yes"
        attributes = []
        if defined:
            # A newer one has a device as it is and as it is defined.
            definition = self.shell.ask(f"nodedev-dumpxml --inactive {name}")[0] if self.updates else ""
            attributes = attributes_in(ElementTree.fromstring(definition) if definition.strip() else live)
        return live.findtext("uuid"), View(live.findtext("parent_addr"), live.find("type").get("id"),
                                           info["Active"] == "yes", defined,
                                           defined and info["Autostart"] == "yes", attributes)
