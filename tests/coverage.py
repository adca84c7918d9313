#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prints what gcovr's tracefiles (--json) say together: of each file and of all, the shares of its lines and of their
branches that were gone through, and the lines that were not."""

import collections
import json
import sys


def merged(paths):
    """How often: of each file, line and branch."""
    lines = collections.defaultdict(collections.Counter)
    branches = collections.defaultdict(collections.Counter)
    for path in paths:
        with open(path, encoding="utf-8") as trace:
            files = json.load(trace)["files"]
        for file in files:
            for line in file["lines"]:
                if line["gcovr/noncode"]:
                    continue
                number = line["line_number"]
                lines[file["file"]][number] += line["count"]
                for index, branch in enumerate(line["branches"]):
                    branches[file["file"]][number, index] += branch["count"]
    return lines, branches


def share(counts):
    passed = sum(count > 0 for count in counts)
    return f"{passed:6} of {len(counts):<6}{100 * passed / len(counts):5.1f} %" if counts else " " * 23


def ranges(numbers):
    """1, 2, 3, 7 as 1-3 7."""
    found = []
    for number in sorted(numbers):
        if found and found[-1][1] == number - 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


def main(paths):
    lines, branches = merged(paths)
    width = max(len(name) for name in lines)
    print(f"{'':{width}} {'lines':>23} {'branches':>24}  not gone through")
    for name in sorted(lines):
        missing = ranges(number for number, count in lines[name].items() if count == 0)
        print(f"{name:{width}} {share(lines[name].values())}  {share(branches[name].values())}  {missing}".rstrip())
    everything = [[count for counts in kind.values() for count in counts.values()] for kind in (lines, branches)]
    print(f"{'all':{width}} {share(everything[0])}  {share(everything[1])}")


main(sys.argv[1:])
