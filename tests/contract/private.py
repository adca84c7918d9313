# SPDX-License-Identifier: LGPL-2.1-or-later

"""A bus of one's own, and mdevd started on it."""

import fcntl
import os
import re
import socket
import subprocess

BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={path}</listen>
  <auth>EXTERNAL</auth>
  {limits}
  <policy context="default">
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
    <allow user="*"/>
  </policy>
</busconfig>
"""

# What the sanitizers begin with, in a build with them.
REPORT = re.compile(r"runtime error:|ERROR: \w+Sanitizer")

PATIENCE = 30


class PrivateBus:
    """A system bus for one test, with dbus-daemon's own limits or with MAX_REPLIES that a client may wait for."""

    def __init__(self, directory, max_replies=None):
        path = directory / "bus"
        config = directory / "bus.conf"
        limits = f'<limit name="max_replies_per_connection">{max_replies}</limit>' if max_replies else ""
        config.write_text(BUS_CONFIG.format(path=path, limits=limits))
        self.address = f"unix:path={path}"
        self.environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": self.address}
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


def start_daemon(root, bus, log, until=None):
    """mdevd on a tree, ready when this returns; before, UNTIL(process, socket) is called when it has begun. What it says
    goes to LOG, which is locked for as long as it or a worker of it lives."""
    notify = log.with_name("notify")
    notify.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready, open(log, "wb") as output:
        fcntl.flock(output, fcntl.LOCK_EX)
        ready.bind(str(notify))
        ready.settimeout(PATIENCE)
        process = subprocess.Popen(
            [
                os.path.abspath(os.environ["MDEVD"]),
                f"--root={root}",
                f"--worker={os.path.abspath(os.environ['MDEVD_WORKER'])}",
            ],
            env={**bus.environment, "NOTIFY_SOCKET": str(notify)},
            stdout=output,
            stderr=output,
        )
        if until:
            until(process, ready)
        while b"READY=1" not in ready.recv(4096):
            pass
    return process


def reports(log):
    """What sanitizers have to say in the log of a daemon that has ended, and of its workers, which may end later."""
    with open(log, errors="replace") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        # What is no report is told with a level.
        lines = [line for line in file if not line.startswith("<")]
    return "".join(lines) if any(REPORT.search(line) for line in lines) else ""
