# SPDX-License-Identifier: LGPL-2.1-or-later
"""What mdevd.service may do: what it needs, and nothing else. That it gets along with it is what all other cases say."""

import contextlib
import os
import pwd
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

import bus
import service
import sysfs
from bus import error
from definitions import DIRECTORY, file_of, text_of
from guest import AS_TESTER, HOLD, held, new_uuid, wait_until
from mdevsim import LARGE, SMALL

# In tenths, as systemd-analyze wants it.
EXPOSURE = 20

# What a script, and so whoever should get hold of the daemon or a worker, tries in there and must fail at.
FORBIDDEN = {
    "make a file in /etc": ": >/etc/mdevd-test",
    "make a file in /usr": ": >/usr/mdevd-test",
    "make a file in /var": ": >/var/mdevd-test",
    "make a file in /run": ": >/run/mdevd-test-file",
    "set a kernel parameter": "echo x >/proc/sys/kernel/domainname",
    "use the switches of a bus": "echo 1 >/sys/bus/pci/rescan",
    "set a parameter of a module": "echo 1 >/sys/module/printk/parameters/time",
    "make a control group": "mkdir /sys/fs/cgroup/mdevd-test",
    "write into a process": "exec 3<>/proc/1/mem",
    "write into a process, directly": """python3 -c '
import ctypes, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.process_vm_readv(int(sys.argv[1]), None, 0, None, 0, 0)
sys.exit(ctypes.get_errno() == 1)' $PPID""",
    "see the modules": "ls -A /usr/lib/modules | grep -q .",
    "see the homes": "[ -e /root/mdevd-test ]",
    "see the /tmp of others": "[ -e /tmp/mdevd-test ]",
    "write to the kernel's log": "echo mdevd-test >/dev/kmsg",
    "see other devices": "[ -e /dev/vport0p1 ]",
    "make a device": "mknod /tmp/device c 1 1",
    "use vfio": "exec 3<>/dev/vfio/vfio",
    "give a file away": ": >/tmp/file; chown nobody /tmp/file",
    "make a file that runs as root": ": >/tmp/file; chmod 4755 /tmp/file",
    "be another user": "setpriv --reuid=nobody true",
    "have a user namespace": "unshare --user true",
    "have a mount namespace": "unshare --mount true",
    "mount": "mount -t tmpfs tmpfs /tmp",
    "set the clock": 'date --set="$(date)"',
    "set the host's name": 'hostname "$(hostname)"',
    "have another personality": "setarch --addr-no-randomize true",
    "come before others": "renice -n -5 $$",
    "come before all others": "chrt --fifo 1 true",
    "use the network": "python3 -c 'import socket; socket.socket(socket.AF_INET)'",
    "listen to the network": "python3 -c 'import socket; socket.socket(socket.AF_PACKET)'",
    "write code and run it": "python3 -c 'import mmap; mmap.mmap(-1, 4096, prot=7)'",
}

ALLOWED = {
    "have temporary files": "mktemp",
    "have a lock file": ": >/run/lock/mdevd-test-lock && rm /run/lock/mdevd-test-lock",
    "keep something with the definitions": ": >/etc/mdevctl.d/scripts.d/kept && rm /etc/mdevctl.d/scripts.d/kept",
    "read the kernel's log": "exec 3</dev/kmsg",
    "read about other processes": "readlink /proc/1/exe",
    "read about the kernel": "cat /proc/modules",
    "ask the bus": "busctl --timeout=60 status org.freedesktop.DBus",
}


def test_only_the_daemon_comes_before_others(mdevd):
    """Workers and, as test_callouts.py shows, their scripts do not."""
    assert os.getpriority(os.PRIO_PROCESS, service.main_pid()) == -5
    workers = service.workers()
    assert workers and {os.getpriority(os.PRIO_PROCESS, pid) for pid in workers} == {0}


@pytest.mark.unsanitized("it looks for leaks by ptrace(2), which the unit forbids otherwise")
def test_exposure():
    done = subprocess.run(["systemd-analyze", "security", "--no-pager", f"--threshold={EXPOSURE}", service.SERVICE],
                          stdout=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
    assert "Overall exposure level for mdevd.service" in done.stdout


def test_inside(mdevd, parent, scripts):
    tries = {**FORBIDDEN, **ALLOWED}
    body = "".join(f'if ({command}) >/dev/null 2>&1; then echo "{name}" >>managed; fi\n'
                   for name, command in tries.items())
    scripts.add("script", f'[ "$1" = pre ] || exit 0\n{body}echo "all tried" >>managed')
    for path in (Path("/root/mdevd-test"), Path("/tmp/mdevd-test")):
        path.touch()

    mdevd.create(parent, SMALL)

    assert scripts.text("managed").splitlines() == [*ALLOWED, "all tried"]


def test_outside(scripts):
    """The tries are such that they would succeed otherwise."""
    Path("/root/mdevd-test").touch()
    Path("/tmp/mdevd-test").touch()
    harmless = ["see the modules", "see the homes", "see the /tmp of others", "see other devices", "make a device",
                "give a file away", "make a file that runs as root", "be another user", "have a user namespace",
                "have a mount namespace", "have another personality", "use the network", "write code and run it",
                "write into a process", "write into a process, directly", "make a control group"]
    failed = [name for name in harmless
              if subprocess.run(["sh", "-c", FORBIDDEN[name]], capture_output=True, timeout=60).returncode != 0]
    for path in (Path("/tmp/device"), Path("/tmp/file")):
        path.unlink()
    Path("/sys/fs/cgroup/mdevd-test").rmdir()
    assert failed == []


def test_a_drop_in_gives_more(mdevd, parent, scripts, clients):
    """Some of the example in mdevd(8)."""
    place = Path("/var/lib/mdevd-test")
    place.mkdir()
    scripts.add("script", f"""[ "$1" = pre ] || exit 0
        touch {place}/there && chown nobody {place}/there || exit 1""")
    assert mdevd.begin_create(parent, SMALL).failure().name == error("CallOut")

    with service.settings(f"ReadWritePaths=-{place}", "CapabilityBoundingSet=CAP_CHOWN", "SystemCallFilter=@chown"):
        assert clients().create(parent, SMALL) in sysfs.devices()
    assert (place / "there").stat().st_uid == pwd.getpwnam("nobody").pw_uid
    shutil.rmtree(place)


def test_whose_files_are(mdevd, parent):
    def mode(path):
        st = os.lstat(path)
        assert (st.st_uid, st.st_gid) == (0, 0)
        return stat.S_IMODE(st.st_mode)

    uuid = mdevd.create(parent, SMALL, define=True)
    assert mode("/run/mdevd") == 0o755
    for name in ("busy", "devices", "autostart"):
        assert mode(f"/run/mdevd/{name}") == 0o700
    assert mode(f"/run/mdevd/autostart/{parent.name}") == 0o600
    # Everybody may read what is defined, as with mdevctl.
    assert (mode(DIRECTORY), mode(DIRECTORY / parent.name), mode(file_of(parent, uuid))) == (0o755, 0o755, 0o644)


def test_a_definition_of_another_user(mdevd, parent):
    """It can be read and removed, and is not taken away from its owner by a change."""
    uuid = mdevd.define(parent, SMALL)
    path = file_of(parent, uuid)
    os.chown(path, pwd.getpwnam("tester").pw_uid, 0)
    path.chmod(0o600)
    mdevd.rescan()

    failure = mdevd.begin_modify(uuid, type=LARGE).failure()
    assert failure.name == error("Store") and "EPERM" in failure.sentence and str(path) in failure.sentence
    assert (path.read_text(), path.owner()) == (text_of(SMALL), "tester")
    mdevd.undefine(uuid)
    assert not path.exists()


def test_what_is_large_gets_through(mdevd, parent):
    """Though the socket's buffer is no larger than the system allows everybody."""
    uuid = new_uuid()
    text = text_of(SMALL).replace("{", '{"note": "%s",' % ("x" * 450_000), 1)
    mdevd.begin_define_from_json(parent, text, uuid).result()
    assert len(file_of(parent, uuid).read_text()) > 450_000
    mdevd.modify(uuid, type=LARGE)
    attributes = [("log", "v" * 60)] * 1000
    assert len(mdevd.device_property(mdevd.define(parent, SMALL, attributes=attributes), "Attributes")) == 1000


# Who uses a device

@contextlib.contextmanager
def held_by_tester(uuid):
    """As libvirt has it: the group's node belongs to the user that the VM runs as, until that has ended."""
    node = Path("/dev/vfio") / os.path.basename(os.readlink(sysfs.DEVICES / uuid / "iommu_group"))
    os.chown(node, pwd.getpwnam("tester").pw_uid, 0)
    with subprocess.Popen([*AS_TESTER, HOLD, "device", uuid], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        try:
            yield process
        finally:
            process.stdin.close()
    os.chown(node, 0, 0)


def test_a_user_that_is_not_root_is_named(mdevd, parent):
    uuid = mdevd.create(parent, SMALL)
    with held_by_tester(uuid) as holder:
        failure = mdevd.begin_stop(uuid).failure()
        assert failure.name == error("InUse") and f"process {holder.pid} (hold)" in failure.sentence
    mdevd.stop(uuid)


@pytest.fixture
def bare(mdevd):
    """A client of a daemon without any capability."""
    with service.settings("CapabilityBoundingSet="), bus.Mdevd() as client:
        yield client


@pytest.mark.seconds(240)
def test_without_any_capability(bare, parents):
    """All works but to say who uses a device."""
    status = Path(f"/proc/{service.main_pid()}/status").read_text()
    assert "CapPrm:\t0000000000000000\n" in status and "CapBnd:\t0000000000000000\n" in status

    uuid = bare.create(parents[0], SMALL, attributes=[("log", "a")], define=True)
    assert (sysfs.DEVICES / uuid / "log").read_text() == "a\n"
    bare.modify(uuid, autostart=True)
    for hold in (held, held_by_tester):
        with hold(uuid):
            failure = bare.begin_stop(uuid).failure()
            assert failure.name == error("InUse") and "process" not in failure.sentence
            assert uuid in sysfs.devices()
    bare.stop(uuid)
    bare.start(uuid)
    bare.stop(uuid)
    bare.undefine(uuid)
    foreign = new_uuid()
    sysfs.create(parents[1], LARGE, foreign)
    wait_until(lambda: bare.state(foreign) == "active")
    bare.stop(foreign)
    parents[1].create_errno = 121
    failure = bare.begin_create(parents[1], SMALL).failure()
    assert failure.name == error("Kernel") and "EREMOTEIO" in failure.sentence
    assert bare.devices() == [] and sysfs.devices() == set()
