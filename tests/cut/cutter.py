# SPDX-License-Identifier: LGPL-2.1-or-later

"""The program `cut` at work on a daemon: counts system calls, and at one of them kills, or lets it fail."""

import pathlib
import re
import subprocess
import time

DAEMON = "daemon"
WORKER = "worker"
BOTH = "both"

PATIENCE = 60
ATTEMPTS = 5

# Longer than the daemon lets changes of files gather before it reads them.
QUIET = 0.06

# Numbers of calls on x86-64.
EPOLL_WAIT = "232"
RECVMSG = "47"


class Cutter:
    """Follows a daemon, or the worker that will do its next operation, from the moment that this is made until end()."""

    def __init__(self, program, daemon, who, nth, what="kill", pattern=""):
        first = ""
        # A worker that something else came for at the last moment is gone.
        for _ in range(ATTEMPTS):
            worker = spare_of(daemon)
            pids = {DAEMON: [daemon], WORKER: [worker], BOTH: [worker, daemon]}[who]
            self.process = subprocess.Popen(
                [program, str(nth), str(what), pattern, *map(str, pids)], stdout=subprocess.PIPE, text=True
            )
            first = self.process.stdout.readline()
            if first:
                break
            self.process.stdout.close()
            self.process.wait()
        self.lines = [first]

    def end(self):
        """What it came to, as (number, call, path), or None if there were not that many calls."""
        self.process.terminate()
        self.lines += self.process.stdout.readlines()
        self.process.stdout.close()
        assert self.process.wait() == 0 and "ready\n" in self.lines, self.lines
        found = re.search(r"^cut (\d+) (\S+) (.*)$", "".join(self.lines), re.MULTILINE)
        return (int(found[1]), found[2], found[3]) if found else None

    def count(self):
        return int(re.search(r"^count (\d+)$", "".join(self.lines), re.MULTILINE)[1])


def spare_of(daemon):
    """The worker that waits for the next operation, once the daemon has nothing else to do, or about to be done."""
    began = quiet_since = time.monotonic()
    last = None
    while True:
        spare = waiting_spare(daemon)
        now = time.monotonic()
        if not spare or spare != last:
            quiet_since = now
        elif now - quiet_since > QUIET:
            return spare
        assert now - began < PATIENCE, "the daemon has no rest"
        last = spare
        time.sleep(0.002)


def waiting_spare(daemon):
    try:
        children = pathlib.Path(f"/proc/{daemon}/task/{daemon}/children").read_text().split()
        is_quiet = len(children) == 1 and is_waiting(daemon) and is_waiting(children[0])
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(children[0]) if is_quiet else None


def is_waiting(pid):
    """For its next event, or request."""
    return pathlib.Path(f"/proc/{pid}/syscall").read_text().split()[0] in (EPOLL_WAIT, RECVMSG)
