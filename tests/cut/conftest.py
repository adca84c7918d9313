# SPDX-License-Identifier: LGPL-2.1-or-later

"""Finds the modules of this folder and of the other tests, and makes stages of plain files."""

import os
import pathlib
import sys
import tempfile

import pytest

TESTS = pathlib.Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / "cut"), str(TESTS / "contract")]

from host import Bus, Tree  # noqa: E402
from trial import Daemon, Stage  # noqa: E402


@pytest.fixture(scope="module")
def stage():
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        directory = pathlib.Path(directory)
        tree = Tree(directory / "root")
        bus = Bus(directory)
        patch.setenv("DBUS_SYSTEM_BUS_ADDRESS", bus.address)
        words = [os.path.abspath(os.environ["MDEVD"]), f"--root={tree.path}",
                 f"--worker={os.path.abspath(os.environ['MDEVD_WORKER'])}"]
        s = Stage(os.path.abspath(os.environ["CUT"]), Daemon(words, directory, bus.environment), tree.path)
        try:
            s.start()
            yield s
        finally:
            s.stop()
            bus.stop()
