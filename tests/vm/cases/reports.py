# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the sanitizers say of an mdevd that was built with them (tests/vm/instrumented.py): nothing, if all is well."""

import os
import subprocess
from pathlib import Path

SANITIZED = "ASAN_OPTIONS" in os.environ
DIRECTORY = Path("/run/mdevd-test/out/reports")

# What the daemon and its workers write to standard error. Their own lines come another way.
JOURNAL = ("journalctl", "--quiet", "--output=cat", "_TRANSPORT=stdout", "_SYSTEMD_UNIT=mdevd.service")


class Reports:
    """Reports as they come in. A process that ends with its case may have its say during the next."""

    def __init__(self):
        self._files = set()
        self._bytes = 0
        self._journal = subprocess.Popen([*JOURNAL, "--follow", "--lines=all"], stdout=subprocess.PIPE)
        os.set_blocking(self._journal.stdout.fileno(), False)

    def new(self):
        """Those that were not told before, as lines."""
        data = self._journal.stdout.read() or b""
        self._bytes += len(data)
        return [*data.decode(errors="replace").splitlines(), *self._new_files()]

    def last(self):
        """Those that are left when nothing more is to come."""
        self._journal.terminate()
        subprocess.run(["journalctl", "--sync"], check=True, timeout=60)
        data = subprocess.run(JOURNAL, stdout=subprocess.PIPE, check=True, timeout=60).stdout[self._bytes:]
        return [*data.decode(errors="replace").splitlines(), *self._new_files()]

    def _new_files(self):
        lines = []
        for path in sorted(set(DIRECTORY.iterdir()) - self._files):
            self._files.add(path)
            lines += [f"{path.name}:", *path.read_text(errors="replace").splitlines()]
        return lines
