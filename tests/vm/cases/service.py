# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon as systemd has it: stopped, started, killed, configured."""

import contextlib
import os
import signal
import subprocess
from pathlib import Path

from guest import wait_until

SERVICE = "mdevd.service"
CONFIGURATION = Path("/etc/mdevd/mdevd.conf.d/50-test.conf")


def systemctl(*words):
    return subprocess.run(["systemctl", *words], stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout


def reset_failed():
    """systemd gives up on a service that ends too often; here it is meant."""
    # Fails if systemd has forgotten the unit altogether.
    subprocess.run(["systemctl", "reset-failed", SERVICE], capture_output=True, timeout=60)


def start():
    reset_failed()
    systemctl("start", SERVICE)


def stop():
    systemctl("stop", SERVICE)


def restart():
    reset_failed()
    systemctl("restart", SERVICE)


def main_pid():
    return int(systemctl("show", "--property=MainPID", "--value", SERVICE))


def kill():
    """SIGKILL; returns when another one is up, for systemd starts it again."""
    reset_failed()
    pid = main_pid()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: main_pid() not in (0, pid), timeout=30)
    systemctl("start", SERVICE)


def workers():
    """Processes of the daemon's workers, those of earlier daemons included."""
    found = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if path.read_text() == "mdevd-worker\n":
                found.append(int(path.parent.name))
    return found


@contextlib.contextmanager
def configured(**limits):
    """A daemon with other limits than it has by itself."""
    CONFIGURATION.parent.mkdir(parents=True, exist_ok=True)
    CONFIGURATION.write_text("\n".join(["[Limits]", *(f"{key}={value}" for key, value in limits.items())]) + "\n")
    try:
        restart()
        yield
    finally:
        CONFIGURATION.unlink()
        restart()


@contextlib.contextmanager
def settings(*lines):
    """A daemon with other settings of the unit's section [Service]."""
    drop_in = Path("/run/systemd/system/mdevd.service.d/50-test.conf")
    drop_in.parent.mkdir(parents=True, exist_ok=True)
    drop_in.write_text("\n".join(["[Service]", *lines]) + "\n")
    systemctl("daemon-reload")
    restart()
    try:
        yield
    finally:
        drop_in.unlink()
        systemctl("daemon-reload")
        restart()


def quiet():
    """A daemon of whose lines the journal keeps none but warnings: each costs the guest milliseconds."""
    return settings("LogLevelMax=warning")


def messages(message_id, **fields):
    """Lines of the journal with a message id and fields."""
    subprocess.run(["journalctl", "--sync"], check=True, timeout=60)
    matches = [f"MESSAGE_ID={message_id}", *(f"{name}={value}" for name, value in fields.items())]
    return subprocess.run(["journalctl", "--quiet", "--output=cat", *matches], stdout=subprocess.PIPE, text=True,
                          check=True, timeout=60).stdout.splitlines()
