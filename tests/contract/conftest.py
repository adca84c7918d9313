# SPDX-License-Identifier: LGPL-2.1-or-later

"""Finds the modules of this folder and of api/, and makes hosts."""

import pathlib
import sys
import tempfile

import pytest

TESTS = pathlib.Path(__file__).parent
sys.path[:0] = [str(TESTS), str(TESTS.parents[1] / "api")]

from host import Host  # noqa: E402


@pytest.fixture
def host():
    with tempfile.TemporaryDirectory() as directory:
        h = Host(pathlib.Path(directory))
        try:
            yield h
        finally:
            h.stop()
