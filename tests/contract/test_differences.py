# SPDX-License-Identifier: LGPL-2.1-or-later

"""The test of the contract finds each kind of difference: altered texts are compared with those that agree."""

import contract
import pytest
from interfaces import read_interfaces
from test_contract import HEADER, MANAGER, SOURCES, TOP

INTERFACE = """<node xmlns:doc="http://www.freedesktop.org/dbus/1.0/doc.dtd">
  <interface name="org.mdevd1.X">
    <method name="Do">
      <arg name="uuid" type="s" direction="in"/>
      <arg name="parent" type="s" direction="in"/>
      <arg name="device" type="o" direction="out"/>
    </method>
    <method name="Be"></method>
    <signal name="Done"><arg name="uuid" type="s"/></signal>
    <property name="State" type="s" access="read"/>
    <property name="Version" type="s" access="read">
      <annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="const"/>
    </property>
  </interface>
</node>"""

DEPRECATED = '<annotation name="org.freedesktop.DBus.Deprecated" value="true"/>'

INTERFACE_MUTATIONS = {
    "interface": ('name="org.mdevd1.X"', 'name="org.mdevd1.Y"'),
    "no method": ('<method name="Be"></method>', ""),
    "method's name": ('name="Be"', 'name="Been"'),
    "argument's name": ('name="uuid" type="s" direction="in"', 'name="id" type="s" direction="in"'),
    "argument's type": ('name="parent" type="s"', 'name="parent" type="as"'),
    "result's type": ('type="o"', 'type="s"'),
    "result's name": ('name="device"', 'name="path"'),
    "direction": ('name="parent" type="s" direction="in"', 'name="parent" type="s" direction="out"'),
    "order": ('name="uuid" type="s" direction="in"/>\n      <arg name="parent"', 'name="parent" type="s"/><arg name="uuid"'),
    "one argument less": ('<arg name="parent" type="s" direction="in"/>', ""),
    "method's annotation": ('<method name="Be">', f'<method name="Be">{DEPRECATED}'),
    "no signal": ('<signal name="Done"><arg name="uuid" type="s"/></signal>', ""),
    "signal's argument": ('<arg name="uuid" type="s"/></signal>', '<arg name="uuid" type="u"/></signal>'),
    "no property": ('<property name="State" type="s" access="read"/>', ""),
    "property's type": ('name="State" type="s"', 'name="State" type="u"'),
    "property's access": ('name="State" type="s" access="read"', 'name="State" type="s" access="readwrite"'),
    "emits": ('value="const"', 'value="false"'),
}


def replaced(text, mutation):
    old, new = mutation
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize("mutation", INTERFACE_MUTATIONS.values(), ids=INTERFACE_MUTATIONS)
def test_interface(mutation):
    same, other = read_interfaces(INTERFACE), read_interfaces(replaced(INTERFACE, mutation))
    assert contract.interface_differences(same, same) == []
    assert contract.interface_differences(same, other)
    assert contract.interface_differences(other, same)


def test_an_emitting_property_needs_no_annotation():
    emits = '<annotation name="org.freedesktop.DBus.Property.EmitsChangedSignal" value="true"/></property>'
    other = replaced(INTERFACE, ('name="State" type="s" access="read"/>', f'name="State" type="s" access="read">{emits}'))
    assert contract.interface_differences(read_interfaces(INTERFACE), read_interfaces(other)) == []


MANAGER_TEXT = (TOP / "api/org.mdevd1.Manager.xml").read_text()


def altered(*mutation):
    """The Manager's documentation, altered."""
    return read_interfaces(replaced(MANAGER_TEXT, mutation))["org.mdevd1.Manager"]


UNDOCUMENTED_MUTATIONS = {
    "interface": ("<doc:summary>All that can be asked for and changed</doc:summary>", ""),
    "method": ("<doc:para>Finds the object of a device.</doc:para>", ""),
    "argument": ('<doc:doc><doc:summary>The UUID; "" for a random one</doc:summary></doc:doc>', ""),
    "empty text": ('<doc:summary>The UUID; "" for a random one</doc:summary>', "<doc:summary> </doc:summary>"),
    "option": ("It is to be started with its parent.</doc:option>", "</doc:option>"),
    "property": ("<doc:para>mdevd's version.</doc:para>", ""),
}


@pytest.mark.parametrize("mutation", UNDOCUMENTED_MUTATIONS.values(), ids=UNDOCUMENTED_MUTATIONS)
def test_undocumented(mutation):
    assert len(contract.undocumented(altered(*mutation))) == 1


NAMES = {"MDEVD_ERROR_PREFIX": "x.", "MDEVD_ERROR_EXISTS": "x.Exists", "MDEVD_ERROR_LIMIT": "x.Limit"}

ERROR_SOURCES = {
    "bus/error.c": """
static const Wording wordings[_FAILURE_MAX] = {
        [FAILURE_EXISTS] = { MDEVD_ERROR_EXISTS,
                        "It exists." },
        [FAILURE_BAD_UUID] = { SD_BUS_ERROR_INVALID_ARGS, "No." },
};
int f(void) { return sd_bus_error_set(e, SD_BUS_ERROR_NO_MEMORY, "x"); }
""",
    "bus/auth.c": "/* MDEVD_ERROR_EXISTS */ setf(error, MDEVD_ERROR_LIMIT, _cleanup_ SD_BUS_ERROR_NULL);",
    "model/rules.c": "return refuse(f, FAILURE_EXISTS, d);",
    "core/other.c": "if (f->kind == FAILURE_BAD_UUID) /* FAILURE_BAD_UUID */ case FAILURE_BAD_UUID: [FAILURE_BAD_UUID] = 1",
}


def test_what_is_raised_is_what_something_makes():
    found = contract.raised_errors(ERROR_SOURCES, NAMES)
    assert found == {"x.Exists", "x.Limit", "org.freedesktop.DBus.Error.NoMemory"}


EXISTS = "org.mdevd1.Error.Exists"
ALL_ERRORS = {e.get("name") for e in MANAGER.documented("error")}
IN_HEADER = contract.header_errors(HEADER)

ERROR_MUTATIONS = {
    "raised, undocumented": (MANAGER, IN_HEADER, ALL_ERRORS | {"x.New"}),
    "in the header, undocumented": (MANAGER, IN_HEADER | {"x.New"}, ALL_ERRORS),
    "documented, not raised": (MANAGER, IN_HEADER, ALL_ERRORS - {EXISTS}),
    "raised, another documented in its place": (
        altered('<doc:error name="org.mdevd1.Error.CallOut"', '<doc:error name="org.mdevd1.Error.Kernel"'),
        IN_HEADER,
        ALL_ERRORS,
    ),
    "of a method, not explained": (
        altered('<doc:error name="org.mdevd1.Error.Ambiguous">No parent', '<doc:error name="org.mdevd1.Error.Odd">No parent'),
        IN_HEADER,
        ALL_ERRORS,
    ),
    "explained without a word": (
        altered('errno="ENOMEM">Memory is short.', 'errno="ENOMEM">'),
        IN_HEADER,
        ALL_ERRORS,
    ),
}


@pytest.mark.parametrize("interface, in_header, raised", ERROR_MUTATIONS.values(), ids=ERROR_MUTATIONS)
def test_errors(interface, in_header, raised):
    assert contract.error_differences([MANAGER], IN_HEADER, ALL_ERRORS) == []
    assert contract.error_differences([interface], in_header, raised)


def test_an_error_that_no_method_has():
    text = MANAGER_TEXT.replace('<doc:error name="org.mdevd1.Error.InUse">', '<doc:error name="org.mdevd1.Error.Kernel">')
    interface = read_interfaces(text)["org.mdevd1.Manager"]
    found = contract.error_differences([interface], IN_HEADER, ALL_ERRORS)
    assert found == ["error org.mdevd1.Error.InUse is documented, but no method has it"]


OPTION_XML = """<node xmlns:doc="http://www.freedesktop.org/dbus/1.0/doc.dtd"><interface name="x">
  <method name="Change">
    <arg name="changes" type="a{sv}" direction="in"><doc:doc><doc:option name="type" type="s"/></doc:doc></arg>
    <arg name="options" type="a{sv}" direction="in"><doc:doc><doc:option name="timeout" type="t"/></doc:doc></arg>
  </method>
  <method name="List">
    <arg name="filter" type="a{sv}" direction="in"><doc:doc><doc:option name="active" type="b"/></doc:doc></arg>
  </method>
  <method name="Look"/>
</interface></node>"""

OPTION_SOURCES = {
    "bus/arguments.c": '[OPTION_BOOL] = { "b", "a boolean" }, [OPTION_U64] = { "t", "" }, [OPTION_STRING] = { "s", "" },',
    "bus/manager-object.c": """
        SD_BUS_METHOD_WITH_ARGS("Change", SD_BUS_ARGS("a{sv}", changes, "a{sv}", options), SD_BUS_NO_RESULT,
                        method_change, SD_BUS_VTABLE_UNPRIVILEGED),
        SD_BUS_METHOD_WITH_ARGS("List", SD_BUS_ARGS("a{sv}", filter), SD_BUS_NO_RESULT, method_list, 0),
        SD_BUS_METHOD_WITH_ARGS("Look", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_look, 0),
""",
    "bus/manager-verbs.c": """
/* What is to change. */
static int read_changes(sd_bus_message *m, int (*check)(const char *),
                sd_bus_error *error) {
        const Option options[] = { { "type", OPTION_STRING, &type }, {} };

        return read_options(m, options, error);
}

int method_change(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const Option options[] = {
                { "timeout", OPTION_U64, &timeout },
                {},
        };

        r = read_changes(m, check, error);
        if (r < 0)
                return r;
        return read_options(m, options, error);
}
""",
    "bus/manager-lists.c": """
int method_list(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const Option options[] = { { "active", OPTION_BOOL, &active }, {} };

        return read_options(m, options, error);
}

int method_look(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        return auth_check(MDEVD_ACTION_RESCAN);
}
""",
}

OPTION_MUTATIONS = {
    "an option accepted": ("bus/manager-verbs.c", '{ "timeout", OPTION_U64, &timeout },', '{ "new", OPTION_BOOL, &new },'),
    "none accepted": ("bus/manager-verbs.c", '{ "timeout", OPTION_U64, &timeout },', ""),
    "another type": ("bus/manager-verbs.c", "OPTION_U64", "OPTION_STRING"),
    "in a function called": ("bus/manager-verbs.c", '{ "type",', '{ "kind",'),
    "a filter": ("bus/manager-lists.c", '{ "active",', '{ "inactive",'),
    "a type's signature": ("bus/arguments.c", '[OPTION_U64] = { "t"', '[OPTION_U64] = { "u"'),
    "a dictionary less": ("bus/manager-verbs.c", "r = read_changes(m, check, error);", ""),
    "a dictionary more": ("bus/manager-lists.c", "return auth_check(MDEVD_ACTION_RESCAN);", "read_options(m, options, error);"),
    "a method": ("bus/manager-object.c", '"Look"', '"Lock"'),
}


def option_differences(xml, sources):
    return contract.option_differences(read_interfaces(xml)["x"], contract.accepted_options(sources))


@pytest.mark.parametrize("path, old, new", OPTION_MUTATIONS.values(), ids=OPTION_MUTATIONS)
def test_options(path, old, new):
    assert option_differences(OPTION_XML, OPTION_SOURCES) == []
    assert option_differences(OPTION_XML, {**OPTION_SOURCES, path: replaced(OPTION_SOURCES[path], (old, new))})


def test_options_documented_only():
    xml = replaced(OPTION_XML, ('<doc:option name="active"', '<doc:option name="passive" type="b"/><doc:option name="active"'))
    assert option_differences(xml, OPTION_SOURCES) == ["List: option passive (b) is documented, but not accepted"]


POLICY = "".join(p.read_text() for p in (TOP / "policy").glob("*.policy"))
USED = contract.used_actions(SOURCES, HEADER)
ACTIONS = contract.header_actions(HEADER)

ACTION_MUTATIONS = {
    "not shipped": (MANAGER, USED, ACTIONS, replaced(POLICY, ('id="org.mdevd1.define"', 'id="org.mdevd1.defines"'))),
    "not used": (MANAGER, {**USED, "Rescan": set()}, ACTIONS, POLICY),
    "not in the header": (MANAGER, USED, ACTIONS - {"org.mdevd1.define"}, POLICY),
    "only in the header": (MANAGER, USED, ACTIONS | {"org.mdevd1.new"}, POLICY),
    "of no method": (
        altered('<doc:permission action="org.mdevd1.rescan">', '<doc:permission action="">'),
        USED,
        ACTIONS,
        POLICY,
    ),
    "of another method": (MANAGER, {**USED, "Stop": {"org.mdevd1.define"}}, ACTIONS, POLICY),
}


@pytest.mark.parametrize("interface, used, header, policy", ACTION_MUTATIONS.values(), ids=ACTION_MUTATIONS)
def test_actions(interface, used, header, policy):
    assert contract.action_differences(MANAGER, USED, ACTIONS, POLICY) == []
    assert contract.action_differences(interface, used, header, policy)


def test_an_action_is_used_by_who_calls_who_uses_it():
    assert USED["Create"] == {"org.mdevd1.start-stop", "org.mdevd1.define"}
    assert USED["ListDevices"] == set()


MESSAGES = """/* A thing. Fields: MDEVD_UUID, ERRNO. */
#define MDEVD_MESSAGE_A "00000000000000000000000000000001"
"""
CATALOG = """-- 00000000000000000000000000000001
Subject: A thing @MDEVD_UUID@
Defined-By: mdevd

What it means.
"""

MESSAGE_MUTATIONS = {
    "id without an entry": (MESSAGES.replace("1\"", "2\""), CATALOG),
    "entry without an id": (MESSAGES, CATALOG + "\n" + CATALOG.replace("1\n", "2\n")),
    "id used twice": (MESSAGES + MESSAGES, CATALOG),
    "id without a comment": (MESSAGES.replace("/* A thing. Fields: MDEVD_UUID, ERRNO. */\n", ""), CATALOG),
    "entry twice": (MESSAGES, CATALOG + "\n" + CATALOG),
    "no subject": (MESSAGES, CATALOG.replace("Subject: A thing @MDEVD_UUID@\n", "")),
    "no text": (MESSAGES, CATALOG.replace("What it means.\n", "")),
    "another field": (MESSAGES, CATALOG.replace("What it means.", "What @MDEVD_PATH@ means.")),
}


@pytest.mark.parametrize("header, catalog", MESSAGE_MUTATIONS.values(), ids=MESSAGE_MUTATIONS)
def test_messages(header, catalog):
    assert contract.message_differences(MESSAGES, CATALOG) == []
    assert contract.message_differences(header, catalog)


SETTINGS = contract.limit_settings(SOURCES["host/config.c"])


CONFIG_C = '{ "Limits", "NMax", offsetof(Config, n_max), 1, 2 },'
CONFIG_H = "(Config){ .n_max = 7, }"
CONFIG_PAGE = '.SH "[LIMITS] SECTION"\n.TP\n.I NMax=\nHow many.\nDefault: 7.\n.SH EXAMPLE\n'

SETTING_MUTATIONS = {
    "another default": (CONFIG_H.replace("7", "8"), CONFIG_PAGE),
    "another name": (CONFIG_H, CONFIG_PAGE.replace("NMax", "MMax")),
    "another section": (CONFIG_H, CONFIG_PAGE.replace("LIMITS", "OTHERS")),
    "no default": (CONFIG_H, CONFIG_PAGE.replace("Default: 7.\n", "")),
}


@pytest.mark.parametrize("header, page", SETTING_MUTATIONS.values(), ids=SETTING_MUTATIONS)
def test_settings(header, page):
    assert contract.setting_differences(contract.settings(CONFIG_C, CONFIG_H), CONFIG_PAGE) == []
    assert contract.setting_differences(contract.settings(CONFIG_C, header), page)


def with_bound(line):
    header = replaced(SOURCES["model/name.h"], ("#define ATTRIBUTES_MAX 1024U", line))
    return {**SOURCES, "model/name.h": header}


LIMIT_MUTATIONS = {
    "another number": (altered('name="attributes" value="1024"', 'name="attributes" value="1000"'), SOURCES, SETTINGS),
    "another name": (altered('name="attributes" value="1024"', 'name="attribute" value="1024"'), SOURCES, SETTINGS),
    "another setting": (altered('setting="DevicesMax"', 'setting="DeviceMax"'), SOURCES, SETTINGS),
    "a new setting": (MANAGER, SOURCES, SETTINGS | {"NewMax"}),
    "another bound": (MANAGER, with_bound("#define ATTRIBUTES_MAX 1025U"), SETTINGS),
    "no bound": (MANAGER, with_bound(""), SETTINGS),
}


@pytest.mark.parametrize("interface, sources, settings", LIMIT_MUTATIONS.values(), ids=LIMIT_MUTATIONS)
def test_limits(interface, sources, settings):
    assert contract.limit_differences(MANAGER, SOURCES, SETTINGS) == []
    assert contract.limit_differences(interface, sources, settings)
