# SPDX-License-Identifier: LGPL-2.1-or-later
"""The guest's surroundings: its kernel log, its processes, time."""

import contextlib
import os
import pwd
import re
import subprocess
import time
import uuid
from pathlib import Path

from jeepney import DBusAddress, MessageType, new_method_call
from jeepney.io.blocking import open_dbus_connection

HOLD = "/run/mdevd-test/out/hold"

# Put before a command's words to run it as an ordinary user; unlike runuser this waits for no PAM.
AS_TESTER = ("setpriv", "--reuid=tester", "--regid=tester", "--clear-groups")

KERNEL = tuple(int(number) for number in re.findall(r"\d+", os.uname().release)[:2])

# How the kernel's own complaints begin.
TROUBLE = re.compile(
    r"cut here|^(WARNING|BUG|Oops|INFO: task|Kernel panic|general protection|list_(add|del) corruption|UBSAN"
    r"|unable to handle|refcount_t)|Call Trace",
    re.IGNORECASE,
)


class KernelLog:
    """What the kernel has logged since this was made: `lines`, as far as it was read."""

    def __init__(self):
        self.lines = []
        self._fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.lseek(self._fd, 0, os.SEEK_END)

    def read(self):
        """Take in what is new."""
        while True:
            try:
                record = os.read(self._fd, 8192).decode(errors="replace")
            except BlockingIOError:
                return
            except BrokenPipeError:
                self.lines.append("(some lines were lost)")
                continue
            # The rest of a record are properties of it.
            self.lines.append(record.partition(";")[2].partition("\n")[0])

    def troubles(self):
        """The lines from the first complaint on, if there is one."""
        for number, line in enumerate(self.lines):
            if TROUBLE.search(line):
                return self.lines[number:]
        return []

    def close(self):
        os.close(self._fd)


@contextlib.contextmanager
def kernel_log():
    """A KernelLog whose `lines`, after the block, are what the kernel logged during it."""
    log = KernelLog()
    try:
        yield log
        log.read()
    finally:
        log.close()


def move_to(group):
    Path(f"/sys/fs/cgroup{group}/cgroup.procs").write_text(str(os.getpid()))


@contextlib.contextmanager
def session(name):
    """A user's session at this machine's screen and keyboard, as a login would make it: the active one. This process is in
    it, for who connects from here as that user."""
    user = pwd.getpwnam(name)
    manager = DBusAddress("/org/freedesktop/login1", "org.freedesktop.login1", "org.freedesktop.login1.Manager")
    with subprocess.Popen(["setpriv", f"--reuid={name}", f"--regid={name}", "--clear-groups", "sleep", "infinity"]) as leader, \
            open_dbus_connection("SYSTEM", enable_fds=True) as connection:

        def call(member, signature, *arguments):
            reply = connection.send_and_get_reply(new_method_call(manager, member, signature, arguments), timeout=60)
            assert reply.header.message_type is MessageType.method_return, reply.body
            return reply.body

        number, _, _, end, *_ = call("CreateSession", "uusssssussbssa(sv)", user.pw_uid, leader.pid, "login", "tty", "user",
                                     "", "seat0", 1, "tty1", "", False, "", "", [])
        try:
            call("ActivateSession", "s", number)
            path = Path(f"/run/systemd/sessions/{number}")
            wait_until(lambda: "ACTIVE=1" in path.read_text().split())
            here = Path("/proc/self/cgroup").read_text().strip().partition("::")[2]
            move_to(f"/user.slice/user-{user.pw_uid}.slice/session-{number}.scope")
            try:
                yield
            finally:
                move_to(here)
        finally:
            # That is how a session ends.
            end.close()
            leader.kill()
            wait_until(lambda: not path.exists())


def wait_until(predicate, timeout=30):
    """Wait for PREDICATE() to hold and return what it returned. Only for what sends no event to wait for."""
    deadline = time.monotonic() + timeout
    while not (result := predicate()):
        assert time.monotonic() < deadline, f"not so within {timeout} s: {predicate!r}"
        time.sleep(0.01)
    return result


def new_uuid():
    return str(uuid.uuid4())


@contextlib.contextmanager
def held(device, how="device"):
    """Be the user of DEVICE, or (how="group") of no more than its vfio group."""
    with subprocess.Popen([HOLD, how, device], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n", f"{device} cannot be opened"
        try:
            yield process
        finally:
            process.stdin.close()
