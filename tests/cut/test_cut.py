# SPDX-License-Identifier: LGPL-2.1-or-later

"""An operation on the files, cut off at each of its system calls: nothing is half done, and nothing is lost.

Here at some of them; MDEVD_CUTS=all tries all, which takes minutes and is what tests/cut/run does.
"""

import os

import pytest
from plays import PLAYS
from trial import BOTH, DAEMON, WORKER, Figures, cut_off

SOME = None if os.environ.get("MDEVD_CUTS") == "all" else 4


@pytest.mark.parametrize("who", [DAEMON, WORKER, BOTH])
@pytest.mark.parametrize("name", PLAYS)
def test_cut_off(stage, name, who):
    figures = Figures(f"{name}, {who} killed: cuts")
    cut_off(stage, PLAYS[name], name, who, SOME, figures)
    print(figures)
    assert figures.tried and not figures.violations, "\n".join(figures.violations)
