# SPDX-License-Identifier: LGPL-2.1-or-later

"""Reads D-Bus introspection XML, with the documentation that org.mdevd1.*.xml has and a running daemon has not.

Documentation is a <doc:doc> in an interface, method, argument or property. It holds, in any order: <doc:summary> (a phrase),
<doc:para>, <doc:list> of <doc:item> with <doc:term> and <doc:definition>, <doc:example> (literal text), <doc:section title>,
<doc:option name type default>, <doc:limit name value setting>, <doc:permission action>, <doc:errors> of <doc:error name errno>.
Within their texts <doc:tt> is literal.
"""

import dataclasses
import xml.etree.ElementTree as ElementTree

DOC = "{http://www.freedesktop.org/dbus/1.0/doc.dtd}"
EMITS = "org.freedesktop.DBus.Property.EmitsChangedSignal"


@dataclasses.dataclass
class Node:
    """What the parts of an interface have in common."""

    name: str
    doc: ElementTree.Element  # None: not documented
    annotations: dict

    def documented(self, tag):
        """The elements of its documentation that are called so, at any depth."""
        return [] if self.doc is None else list(self.doc.iter(DOC + tag))


@dataclasses.dataclass
class Argument(Node):
    type: str
    direction: str


@dataclasses.dataclass
class Member(Node):
    arguments: list

    def side(self, direction):
        return [a for a in self.arguments if a.direction == direction]


@dataclasses.dataclass
class Property(Node):
    type: str
    access: str

    @property
    def emits(self):
        """true, invalidates, const or false; without an annotation it is true."""
        return self.annotations.get(EMITS, "true")


@dataclasses.dataclass
class Interface(Node):
    methods: dict
    signals: dict
    properties: dict


def common(element):
    annotations = {a.get("name"): a.get("value") for a in element.findall("annotation")}
    return {"name": element.get("name"), "doc": element.find(DOC + "doc"), "annotations": annotations}


def read_member(element, direction):
    arguments = [
        Argument(**common(a), type=a.get("type"), direction=a.get("direction", direction)) for a in element.findall("arg")
    ]
    return Member(**common(element), arguments=arguments)


def read_interface(element):
    return Interface(
        **common(element),
        methods={e.get("name"): read_member(e, "in") for e in element.findall("method")},
        signals={e.get("name"): read_member(e, "out") for e in element.findall("signal")},
        properties={
            e.get("name"): Property(**common(e), type=e.get("type"), access=e.get("access"))
            for e in element.findall("property")
        },
    )


def read_interfaces(text):
    """The interfaces of one XML text, by name."""
    return {e.get("name"): read_interface(e) for e in ElementTree.fromstring(text).findall("interface")}
