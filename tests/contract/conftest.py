# SPDX-License-Identifier: LGPL-2.1-or-later

"""Finds the modules of this folder and of api/, and makes hosts."""

import pathlib
import sys
import tempfile

import pytest

TESTS = pathlib.Path(__file__).parent
sys.path[:0] = [str(TESTS), str(TESTS.parents[1] / "api")]

from host import Host  # noqa: E402


LONG = {"test_flood", "test_large", "test_memory", "test_memory_tools", "test_order", "test_stuck", "test_fuzz", "test_name"}


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes seconds, or many of them; not for one's own loop")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.module.__name__ in LONG:
            item.add_marker("long")


@pytest.fixture
def host():
    with tempfile.TemporaryDirectory() as directory:
        h = Host(pathlib.Path(directory))
        try:
            yield h
        finally:
            h.stop()
