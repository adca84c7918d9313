# SPDX-License-Identifier: LGPL-2.1-or-later
"""Call-out scripts and notifiers made for a case, and what they noted of their calls."""

import collections
import os
import shutil
import time
from pathlib import Path

from guest import wait_until

DIRECTORIES = [Path("/usr/lib/mdevctl/scripts.d"), Path("/etc/mdevctl.d/scripts.d")]
WORK = Path("/run/lock/mdevd-test-scripts")
LOG = WORK / "log"

# What one line of the log says; `there`: of the device and its file, "d", "f", "df" or "-".
Called = collections.namedtuple("Called", "name event action state uuid parent ppid there")

# Every script begins so: $1 is the event, $2 the action, $3 the state, $4 the UUID, $5 the parent. It does not
# answer the question for its capabilities, which is noted in a file of its own, unless ANSWER is in front of the rest.
BEGIN = f"""#!/bin/sh
cd {WORK} || exit 99
set -- "$4" "$6" "$8" "${{10}}" "${{12}}"
[ "$2" = capabilities ] && echo "${{0##*/}}" >>asked
t=
[ -e "/sys/bus/mdev/devices/$4" ] && t=d
[ -e "/etc/mdevctl.d/$5/$4" ] && t=${{t}}f
[ "$2" = capabilities ] || echo "${{0##*/}} $1 $2 $3 $4 $5 $PPID ${{t:--}}" >>log
"""
NOT_VERSIONED = '[ "$2" = capabilities ] && exit 2\n'
VERSIONED = """[ "$2" = capabilities ] && exec echo '{"supports":{"version":2,"actions":["start","stop","define",\
"undefine","modify","attributes","capabilities"],"events":["pre","post","notify","get","live"]}}'
"""


class Scripts:
    def __init__(self):
        self.remove()
        WORK.mkdir()
        for directory in DIRECTORIES:
            for kind in ("callouts", "notifiers"):
                (directory / kind).mkdir(parents=True, exist_ok=True)

    def remove(self):
        shutil.rmtree(WORK, ignore_errors=True)
        for directory in DIRECTORIES:
            for kind in ("callouts", "notifiers"):
                for path in (directory / kind).glob("*"):
                    path.unlink()

    def add(self, name, body="exit 0", kind="callouts", directory=DIRECTORIES[0], begin=NOT_VERSIONED):
        path = directory / kind / name
        # In place at once, and never open for writing while somebody executes it.
        new = WORK / f"new-{name}"
        new.write_text(BEGIN + begin + body + "\n")
        new.chmod(0o755)
        shutil.copy2(new, path.with_name(f".{name}"))
        os.replace(path.with_name(f".{name}"), path)
        return path

    def add_versioned(self, name, body="exit 0", **where):
        return self.add(name, body, begin=VERSIONED, **where)

    def add_notifier(self, name, body="exit 0", **where):
        return self.add(name, body, kind="notifiers", **where)

    def fifo(self, name):
        """A FIFO that scripts can wait on: each read(1) takes one line of those that are let go."""
        os.mkfifo(WORK / name)
        return Gate(WORK / name)

    def calls(self):
        """What was noted until now."""
        return [Called(*line.split()) for line in LOG.read_text().splitlines()] if LOG.exists() else []

    def take(self, uuid=None):
        """The same in short, "name event action state there", and forgotten; what is about UUID, or all."""
        calls = [c for c in self.calls() if uuid in (None, c.uuid)]
        LOG.unlink(missing_ok=True)
        return [f"{c.name} {c.event} {c.action} {c.state} {c.there}" for c in calls]

    def asked(self):
        """Who was asked for capabilities, and forgets it."""
        path = WORK / "asked"
        names = path.read_text().split() if path.exists() else []
        path.unlink(missing_ok=True)
        return names

    def settle(self):
        """What is as new as the clock's tick is not remembered."""
        newest = max(path.stat().st_ctime for d in DIRECTORIES for path in [*d.glob("callouts/*"), *d.glob("callouts")])
        wait_until(lambda: time.time() > newest + 0.1)

    def text(self, name):
        return (WORK / name).read_text()


class Gate:
    def __init__(self, path):
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def let_go(self, n=1):
        # One byte is a line, so two readers never share one.
        os.write(self._fd, b"\n" * n)

    def close(self):
        os.close(self._fd)
