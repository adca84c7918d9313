#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Writes org.mdevd1(5) to standard output, from the D-Bus interfaces' XML files given. Their first one introduces the API."""

import pathlib
import re
import sys
import textwrap

from interfaces import DOC, read_interfaces

HEADER = """.\\" SPDX-License-Identifier: LGPL-2.1-or-later
.\\" Made by make-man.py from org.mdevd1.*.xml; changes belong there.
.TH ORG.MDEVD1 5 "" mdevd "D-Bus Interfaces"
.SH NAME
org.mdevd1 \\- the D-Bus API of mdevd
"""

FOOTER = """.SH SEE ALSO
.BR mdevd (8),
.BR mdevdctl (1),
.BR busctl (1),
.BR polkit (8)
"""

CHARACTERS = {"\\": "\\e", "-": "\\-", "−": "\\-", "…": "\\&...", "~": "\\(ti", "^": "\\(ha", "'": "\\(aq", "`": "\\(ga"}


def escape(text):
    text = "".join(CHARACTERS.get(c, c) for c in text)
    text.encode("ascii")
    return text


def literal(text):
    """Lines that stay as they are."""
    return "\n".join("\\&" + escape(line) if line.startswith(".") else escape(line) for line in text.strip("\n").split("\n"))


def bold(text):
    """A literal, which is not hyphenated."""
    return f"\\fB\\%{escape(text)}\\fP"


def flow(element):
    """The text of an element, one sentence a line."""
    parts = [escape(element.text or "")]
    for child in element:
        assert child.tag == DOC + "tt", child.tag
        parts.append(bold(child.text) + escape(child.tail or ""))
    text = re.sub(r"\s+", " ", "".join(parts)).strip()
    sentences = re.split(r"(?<=\.) (?=[A-Z\\])", text)
    lines = [line for s in sentences for line in textwrap.wrap(s, 78, break_long_words=False, break_on_hyphens=False)]
    return "\n".join("\\&" + line if line.startswith(".") else line for line in lines)


def item(title, text):
    return [".TP", title, text or "\\&"]


def item_of_list(element):
    return item(bold(element.find(DOC + "term").text), flow(element.find(DOC + "definition")))


def option(element):
    default = f", by default {escape(element.get('default'))}" if element.get("default") else ""
    return item(f"{bold(element.get('name'))} ({escape(element.get('type'))}{default})", flow(element))


def limit(element):
    setting = f" ({bold(element.get('setting') + '=')})" if element.get("setting") else ""
    return item(f"{escape(element.get('name'))}: {element.get('value')}{setting}", flow(element))


def error(element):
    errno = f" ({element.get('errno')})" if element.get("errno") else ""
    return item(bold(element.get("name")) + errno, flow(element))


def permission(elements):
    """One sentence for all actions of a method."""
    first = elements[0]
    return [".PP", f"polkit action: {bold(first.get('action'))}.", *filter(None, [flow(first)])]


def short_errors(element):
    """Of a method: those that mean what they always mean are only named."""
    names = {e: bold(e.get("name").rpartition(".")[2]) for e in element}
    lines = [".PP", "Errors:", ".RS"]
    lines += [line for e in element if e.text for line in item(names[e], flow(e))]
    plain = [names[e] for e in element if not e.text]
    return [*lines, ".TP", ", ".join(plain), "\\&", ".RE"] if plain else [*lines, ".RE"]


def section(element):
    return [f".SS {element.get('title')}", *body(element)]


def blocks(element):
    return [line for e in element for line in item_of_list(e)]


def errors(element):
    return [line for e in element for line in error(e)]


WRITERS = {
    "para": lambda e: [".PP", flow(e)],
    "example": lambda e: [".PP", ".in +4n", ".EX", literal(e.text), ".EE", ".in"],
    "list": blocks,
    "option": option,
    "limit": limit,
    "errors": errors,
    "section": section,
    "summary": lambda e: [],
    "permission": lambda e: [],
}


def body(element):
    """Everything in a piece of documentation but its summary and what is told elsewhere."""
    lines = []
    for e in element:
        lines += WRITERS[e.tag.removeprefix(DOC)](e)
    return lines


def argument(a):
    lines = item(f"{escape(a.type)} \\fI{escape(a.name)}\\fP", flow(a.doc.find(DOC + "summary")))
    options = a.documented("option")
    if options:
        lines += [".RS", *(line for o in options for line in option(o)), ".RE"]
    return lines


def arguments(title, side):
    if not side:
        return []
    return [".PP", title, ".RS", *(line for a in side for line in argument(a)), ".RE"]


def method(m):
    lines = [f".SS {escape(m.name)}()"]
    lines += [line for e in m.doc if e.tag != DOC + "errors" for line in WRITERS[e.tag.removeprefix(DOC)](e)]
    lines += arguments("Takes:", m.side("in")) + arguments("Returns:", m.side("out"))
    if m.documented("permission"):
        lines += permission(m.documented("permission"))
    for e in m.doc.findall(DOC + "errors"):
        lines += short_errors(e)
    return lines


def a_property(p):
    emits = {"true": "", "const": ", never changes", "false": ", changes are not told", "invalidates": ", invalidated"}
    text = [line for line in body(p.doc) if line != ".PP"]
    lines = item(f"{bold(p.name)} ({escape(p.type)}{emits[p.emits]})", text[0])
    return lines + ([".RS", *text[1:], ".RE"] if text[1:] else [])


def members(interface):
    lines = []
    for m in interface.methods.values():
        lines += method(m)
    if interface.properties:
        lines += [".SS Properties"]
    for p in interface.properties.values():
        lines += a_property(p)
    return lines


def page(interfaces):
    first, *others = interfaces
    lines = [".SH DESCRIPTION", *body(first.doc), f".SH INTERFACE {escape(first.name)}", *members(first)]
    for i in others:
        lines += [f".SH INTERFACE {escape(i.name)}", flow(i.doc.find(DOC + 'summary')) + ".", *body(i.doc), *members(i)]
    # A heading begins a paragraph anyway.
    lines = [line for before, line in zip(["", *lines], lines) if not (line == ".PP" and before[:3] in (".SH", ".SS"))]
    return HEADER + "\n".join(lines) + "\n" + FOOTER


def main(paths):
    interfaces = [i for path in paths for i in read_interfaces(pathlib.Path(path).read_text(encoding="utf-8")).values()]
    sys.stdout.write(page(interfaces))


if __name__ == "__main__":
    main(sys.argv[1:])
