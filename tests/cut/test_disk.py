# SPDX-License-Identifier: LGPL-2.1-or-later

"""The disk says no at each system call of the store: a named error, nothing changed, and the next attempt works.

Once, and from that call on: then what was done may not let itself be undone, and just that is said.

Here at some of them; tests/cut/run tries all.
"""

import errno
import os
import re

import pytest
from plays import PLAYS, RESCAN
from trial import Figures, let_fail, let_fail_for_good

SOME = None if os.environ.get("MDEVD_CUTS") == "all" else 2

WAYS = {name: getattr(errno, name) for name in ("ENOSPC", "EIO", "EROFS", "EDQUOT", "EINTR")} | {"short": "short"}


PLAYS = {**PLAYS, "rescan": RESCAN}


def pattern_of(stage):
    """The definitions and the way to them, but not the scripts beside them."""
    root = re.escape(str(stage.definitions.parents[1]))
    return f"^{root}/(\\.|etc|etc/mdevctl\\.d|etc/mdevctl\\.d/([^s].*))$"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", PLAYS)
def test_the_disk_says_no(stage, name, way):
    figures = Figures(f"{name}, {way}: failures")
    let_fail(stage, PLAYS[name], name, WAYS[way], pattern_of(stage), SOME, figures)
    print(figures)
    assert figures.tried and not figures.violations, "\n".join(figures.violations)


# To what changes something; and a broken one to what looks, too.
FOR_GOOD = {name: (getattr(errno, name), "+") for name in ("ENOSPC", "EIO", "EROFS", "EDQUOT")}
FOR_GOOD["EIO, broken"] = errno.EIO, "++"


@pytest.mark.parametrize("way", FOR_GOOD)
@pytest.mark.parametrize("name", sorted(PLAYS.keys() - {"rescan"}))
def test_the_disk_goes_on_saying_no(stage, name, way):
    figures = Figures(f"{name}, {way} for good: failures")
    told = let_fail_for_good(stage, PLAYS[name], name, *FOR_GOOD[way], pattern_of(stage), SOME, figures)
    print(f"{figures}, told that something may have changed: {told}")
    assert figures.tried and not figures.violations, "\n".join(figures.violations)
