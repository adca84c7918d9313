# SPDX-License-Identifier: LGPL-2.1-or-later

"""The disk says no at each system call of the store: a named error, nothing changed, and the next attempt works.

Here at some of them; tests/cut/run tries all.
"""

import errno
import os
import re

import pytest
from plays import PLAYS, RESCAN
from trial import Figures, let_fail

SOME = None if os.environ.get("MDEVD_CUTS") == "all" else 2

WAYS = {name: getattr(errno, name) for name in ("ENOSPC", "EIO", "EROFS", "EDQUOT", "EINTR")} | {"short": "short"}


PLAYS = {**PLAYS, "rescan": RESCAN}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", PLAYS)
def test_the_disk_says_no(stage, name, way):
    figures = Figures(f"{name}, {way}: failures")
    # The definitions and the way to them, but not the scripts beside them.
    root = re.escape(str(stage.definitions.parents[1]))
    pattern = f"^{root}/(\\.|etc|etc/mdevctl\\.d|etc/mdevctl\\.d/([^s].*))$"
    let_fail(stage, PLAYS[name], name, WAYS[way], pattern, SOME, figures)
    print(figures)
    assert figures.tried and not figures.violations, "\n".join(figures.violations)
