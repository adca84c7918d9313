# SPDX-License-Identifier: LGPL-2.1-or-later

"""The program `cut` at work on a daemon: counts system calls, and at one of them kills, or lets it fail."""

import re
import subprocess

DAEMON = "daemon"
WORKER = "worker"
BOTH = "both"


class Cutter:
    """Follows a daemon, or the worker to which it gives the next operation on UUID (""; the next reading of all files),
    from the moment that this is made until end()."""

    def __init__(self, program, daemon, who, uuid, nth, what="kill", pattern=""):
        words = [program, str(nth), str(what), pattern, who, uuid, str(daemon)]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        self.lines = [self.process.stdout.readline()]

    def end(self):
        """What it came to, as (number, call, path), or None if there were not that many calls; where they go on failing,
        the first of them."""
        self.process.terminate()
        self.lines += self.process.stdout.readlines()
        self.process.stdout.close()
        assert self.process.wait() == 0 and "ready\n" in self.lines, self.lines
        return next(iter(self.cuts()), None)

    def cuts(self):
        """All of them."""
        found = re.finditer(r"^cut (\d+) (\S+) (.*)$", "".join(self.lines), re.MULTILINE)
        return [(int(cut[1]), cut[2], cut[3]) for cut in found]

    def count(self):
        return int(re.search(r"^count (\d+)$", "".join(self.lines), re.MULTILINE)[1])
