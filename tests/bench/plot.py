# SPDX-License-Identifier: LGPL-2.1-or-later

"""A plot as SVG: times over numbers of definitions, both axes logarithmic, a line for each program."""

import html
import math

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 80, 190, 30, 50
COLOURS = ["#1565c0", "#00838f", "#c62828", "#2e7d32", "#6a1b9a", "#ef6c00"]


class Axis:
    """Decades from `low` to `high` on the pixels from `begin` to `end`."""

    def __init__(self, values, begin, end):
        self.low = math.floor(math.log10(min(values)))
        self.high = max(math.ceil(math.log10(max(values))), self.low + 1)
        self.begin, self.end = begin, end

    def place(self, value):
        return self.begin + (math.log10(value) - self.low) / (self.high - self.low) * (self.end - self.begin)

    def decades(self):
        return [10.0**n for n in range(self.low, self.high + 1)]


def text(x, y, words, anchor="middle", fill="#444"):
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="{fill}">{html.escape(words)}</text>'


def line(x1, y1, x2, y2):
    return f'<line x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}" stroke="#ddd"/>'


def seconds(nsec):
    return next(f"{nsec / size:g} {unit}" for size, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1, "ns")) if nsec >= size)


def svg(title, series):
    """`series`: for each name its [(number, nanoseconds), …]."""
    points = [point for line_points in series.values() for point in line_points]
    across = Axis([x for x, _ in points], LEFT, WIDTH - RIGHT)
    up = Axis([y for _, y in points], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        text((LEFT + WIDTH - RIGHT) / 2, TOP - 12, title),
        text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, "definitions"),
    ]
    for x in across.decades():
        parts += [line(across.place(x), up.begin, across.place(x), up.end), text(across.place(x), up.begin + 18, f"{x:,.0f}")]
    for y in up.decades():
        parts += [line(across.begin, up.place(y), across.end, up.place(y)), text(LEFT - 8, up.place(y) + 4, seconds(y), "end")]
    labels = []
    for colour, (name, line_points) in zip(COLOURS, series.items()):
        places = [(across.place(x), up.place(y)) for x, y in line_points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        labels.append((places[-1], name, colour))
    # Beside the ends of their lines, but not on one another.
    previous = -math.inf
    for (x, y), name, colour in sorted(labels, key=lambda label: label[0][1]):
        previous = max(y + 4, previous + 14)
        parts.append(text(x + 8, previous, name, "start", colour))
    return "\n".join([*parts, "</svg>"]) + "\n"
