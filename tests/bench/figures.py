# SPDX-License-Identifier: LGPL-2.1-or-later

"""A figure: what was measured, against what, and what it should be; and tables of them."""

import dataclasses
import math
import statistics

# Name of a unit, and how many of what was measured it is.
UNITS = {"s": 1e9, "ms": 1e6, "µs": 1e3, "KiB": 1024, "bytes": 1, "": 1}


@dataclasses.dataclass
class Figure:
    """`ours` and `theirs`: nanoseconds (or what else `unit` is made of), one for each run. `bound`: how large the ratio
    of their medians may be, or the median of ours if there is nothing to compare with."""

    what: str
    unit: str
    ours: list
    against: str = ""
    theirs: list = ()
    goal: str = ""
    bound: float = math.inf

    @property
    def ratio(self):
        return statistics.median(self.ours) / statistics.median(self.theirs) if self.theirs else None

    @property
    def is_reached(self):
        return (self.ratio if self.theirs else statistics.median(self.ours)) <= self.bound

    def cells(self):
        return [
            self.what,
            spread(self.ours, self.unit),
            f"{self.against}: {spread(self.theirs, self.unit)}" if self.theirs else self.against or "–",
            ratio_text(self.ratio) if self.theirs else "–",
            self.goal or "–",
            ("yes" if self.is_reached else "**no**") if self.goal else "–",
        ]


HEAD = ["what", "mdevd", "against", "ratio", "goal", "reached"]


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 or value == 0 else f"{value:.2f}"


def spread(values, unit):
    """The median, and between what the middle half lies."""
    scaled = [value / UNITS[unit] for value in values]
    text = f"{number(statistics.median(scaled))} {unit}".rstrip()
    if len(scaled) < 3:
        return text
    low, _, high = statistics.quantiles(scaled, n=4, method="inclusive")
    return f"{text} ({number(low)}–{number(high)})"


def ratio_text(ratio):
    return f"{ratio:.2f}" if ratio >= 0.1 else f"1 / {1 / ratio:.0f}"


def exponent(sizes, values):
    """Of the growth: the slope of a line through all points, both axes logarithmic."""
    xs = [math.log(size) for size in sizes]
    ys = [math.log(value) for value in values]
    return statistics.linear_regression(xs, ys).slope if len(xs) > 1 else math.nan


def markdown(head, rows):
    """A table that reads well as text, too."""
    rows = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |" for line in lines) + "\n"
