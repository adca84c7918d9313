#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prints how many cases of a JUnit report passed and failed: "P F". A skipped case counts as failed: none is meant to be."""

import sys
import xml.etree.ElementTree

cases = list(xml.etree.ElementTree.parse(sys.argv[1]).iter("testcase"))
failed = sum(any(case.find(kind) is not None for kind in ("failure", "error", "skipped")) for case in cases)
print(len(cases) - failed, failed)
