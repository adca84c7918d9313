#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prints how many instances of each type each parent has left, now and whenever that changes: "PATH TYPE LEFT"."""

from jeepney import DBusAddress, HeaderFields, MatchRule, message_bus, new_method_call
from jeepney.io.blocking import Proxy, open_dbus_connection

PARENT = "org.mdevd1.Parent"
OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"
told = {}


def show(path, properties):
    """Of properties of one parent, all or those that have changed, tells what is new."""
    for name, _, _, _, left in properties["Types"][1] if "Types" in properties else ():
        if told.get((path, name)) != left:
            told[path, name] = left
            print(path, name, left, flush=True)


bus = open_dbus_connection("SYSTEM")

# Subscribe first, look then, and follow: a signal that comes before the answer is in the answer already.
changed = MatchRule(type="signal", sender="org.mdevd1", interface="org.freedesktop.DBus.Properties")
changed.add_arg_condition(0, PARENT)
added = MatchRule(type="signal", sender="org.mdevd1", interface=OBJECT_MANAGER, member="InterfacesAdded")
for rule in (changed, added):
    Proxy(message_bus, bus).AddMatch(rule)
question = new_method_call(DBusAddress("/org/mdevd1", "org.mdevd1", OBJECT_MANAGER), "GetManagedObjects")
for path, interfaces in bus.send_and_get_reply(question).body[0].items():
    show(path, interfaces.get(PARENT, {}))

while True:
    signal = bus.receive()
    if signal.header.fields.get(HeaderFields.member) == "InterfacesAdded":
        show(signal.body[0], signal.body[1].get(PARENT, {}))
    elif signal.header.fields.get(HeaderFields.member) == "PropertiesChanged":
        show(signal.header.fields[HeaderFields.path], signal.body[1])
