# SPDX-License-Identifier: LGPL-2.1-or-later

"""The files of api/ and the daemon say the same: the running one, and its sources."""

import os
import subprocess

import contract
import pytest
from host import TOP
from interfaces import read_interfaces

NAMES = ["Manager", "Device", "Parent"]
DOCUMENTED = {
    name: interface
    for n in NAMES
    for name, interface in read_interfaces((TOP / f"api/org.mdevd1.{n}.xml").read_text()).items()
}
MANAGER = DOCUMENTED["org.mdevd1.Manager"]
SOURCES = {str(p.relative_to(TOP / "daemon")): p.read_text() for p in sorted((TOP / "daemon").rglob("*.[ch]"))}
HEADER = contract.strings_of_header((TOP / "api/mdevd-names.h").read_text())

U = [f"00000000-0000-0000-0000-00000000000{i:x}" for i in range(16)]
PLAIN = '{"mdev_type": "t", "start": "manual"}'

# For each argument of a method one that is valid; a dictionary of changes must not be empty.
VALID = {"uuid": U[1], "parent": "p", "name": "p", "type": "t", "attributes": [], "json": PLAIN}
VALID |= {"options": {}, "filter": {}, "changes": {"autostart": ("b", True)}}


class TestIntrospection:
    def test_manager_device_and_parent(self, host):
        host.tree.define("p", U[1], PLAIN)
        client = host.start()
        paths = ["/org/mdevd1", f"/org/mdevd1/device/{U[1].replace('-', '_')}", "/org/mdevd1/parent/p"]
        actual = {}
        for path in paths:
            actual |= read_interfaces(client.introspect(path))
        assert "org.freedesktop.DBus.ObjectManager" in actual
        actual = {k: v for k, v in actual.items() if not k.startswith("org.freedesktop.DBus.")}
        assert contract.interface_differences(DOCUMENTED, actual) == []

    def test_managed_objects_have_the_documented_properties(self, host):
        host.tree.define("p", U[1], PLAIN)
        client = host.start()
        objects = client.call("/org/mdevd1", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects")
        assert len(objects) == 2
        for interfaces in objects.values():
            for name in interfaces.keys() & DOCUMENTED.keys():
                actual = {k: signature for k, (signature, _) in interfaces[name].items()}
                assert actual == {p.name: p.type for p in DOCUMENTED[name].properties.values()}

    @pytest.mark.parametrize("name", DOCUMENTED)
    def test_everything_has_its_text(self, name):
        assert contract.undocumented(DOCUMENTED[name]) == []


class TestSources:
    def test_errors(self):
        raised = contract.raised_errors(SOURCES, HEADER)
        in_header = contract.header_errors(HEADER)
        assert len(in_header) >= 17 and len(raised) >= 20
        assert contract.error_differences(list(DOCUMENTED.values()), in_header, raised) == []

    def test_options(self):
        accepted = contract.accepted_options(SOURCES)
        assert len(accepted["Modify"]) == 2
        assert contract.option_differences(MANAGER, accepted) == []

    def test_actions(self):
        used = contract.used_actions(SOURCES, HEADER)
        assert sum(map(len, used.values())) >= 11
        policy = "".join(p.read_text() for p in (TOP / "policy").glob("*.policy"))
        assert contract.action_differences(MANAGER, used, contract.header_actions(HEADER), policy) == []

    def test_messages(self):
        header = (TOP / "api/mdevd-messages.h").read_text()
        assert contract.message_differences(header, (TOP / "api/mdevd.catalog").read_text()) == []

    def test_limits(self):
        settings = contract.limit_settings(SOURCES["host/config.c"])
        assert settings
        assert contract.limit_differences(MANAGER, SOURCES, settings) == []

    def test_settings(self):
        actual = contract.settings(SOURCES["host/config.c"], SOURCES["host/config.h"])
        assert len(actual) >= 7
        assert contract.setting_differences(actual, (TOP / "api/mdevd.conf.5").read_text()) == []


def arguments(method, **replaced):
    return [{**VALID, **replaced}[a.name] for a in method.side("in")]


def signature(method):
    return "".join(a.type for a in method.side("in"))


def dictionaries():
    for m in MANAGER.methods.values():
        for a in m.side("in"):
            if a.type == "a{sv}":
                yield pytest.param(m, a, id=f"{m.name}-{a.name}")


class TestOptionsAtWork:
    """What sources seem to say is also what happens."""

    @pytest.mark.parametrize("method, argument", dictionaries())
    def test_each_is_known_and_of_its_type(self, host, method, argument):
        client = host.start()
        for option in argument.documented("option"):
            given = {argument.name: {option.get("name"): ("y", 0)}}
            error = client.refused(method.name, signature(method), *arguments(method, **given))
            assert error.name == "org.freedesktop.DBus.Error.InvalidArgs"
            assert f'"{option.get("name")}"' in error.sentence
            assert f"({option.get('type')})" in error.sentence

    @pytest.mark.parametrize("method, argument", dictionaries())
    def test_others_are_refused_by_name(self, host, method, argument):
        given = {argument.name: {"no-such": ("b", True)}}
        error = host.start().refused(method.name, signature(method), *arguments(method, **given))
        assert error.name == "org.freedesktop.DBus.Error.InvalidArgs"
        assert '"no-such"' in error.sentence and "no such option" in error.sentence


def errors_of(method):
    return {e.get("name") for e in MANAGER.methods[method].documented("error")}


# Calls that end in an error, and its name. Definitions: U[1] on p and q, U[2] on p; U[3] is active on the only parent
# that is there, "here".
BAD_CALLS = [
    ("Define", {"uuid": U[1], "parent": "p"}, "Exists"),
    ("Define", {"uuid": U[1], "parent": "r"}, "Exists"),
    ("Define", {"uuid": "no"}, "InvalidArgs"),
    ("Define", {"type": ""}, "InvalidArgs"),
    ("Define", {"uuid": "", "attributes": [("a", "1")] * 1025}, "LimitsExceeded"),
    ("Define", {"uuid": U[9], "parent": "file"}, "Store"),
    ("DefineFromJSON", {"json": "{"}, "InvalidDefinition"),
    ("DefineFromJSON", {"uuid": U[2]}, "Exists"),
    ("DefineFromJSON", {"uuid": U[9], "parent": ""}, "InvalidArgs"),
    ("Modify", {"uuid": U[9]}, "NotFound"),
    ("Modify", {"uuid": U[1], "parent": ""}, "Ambiguous"),
    ("Modify", {"uuid": U[2], "changes": {}}, "InvalidArgs"),
    ("Modify", {"uuid": U[2], "changes": {"remove-attribute": ("u", 7)}}, "InvalidArgs"),
    ("Modify", {"uuid": U[2], "changes": {"json": ("s", "[]")}}, "InvalidDefinition"),
    ("Modify", {"uuid": U[2], "options": {"defined": ("b", False)}}, "InvalidArgs"),
    ("Undefine", {"uuid": U[9]}, "NotFound"),
    ("Undefine", {"uuid": U[2], "parent": "q"}, "NotFound"),
    ("Start", {"uuid": U[9]}, "NotFound"),
    ("Start", {"uuid": U[1], "parent": ""}, "Ambiguous"),
    ("Start", {"uuid": U[2]}, "ParentAbsent"),
    ("Create", {"uuid": U[3], "parent": "here"}, "Exists"),
    ("Create", {"uuid": "", "parent": ""}, "NoCapacity"),
    ("Create", {"uuid": "", "parent": "here", "type": "other"}, "NoSuchType"),
    ("Create", {"uuid": "", "type": ""}, "InvalidArgs"),
    ("Create", {"uuid": "", "options": {"autostart": ("b", True)}}, "InvalidArgs"),
    ("CreateFromJSON", {"json": "[]"}, "InvalidDefinition"),
    ("CreateFromJSON", {"uuid": ""}, "ParentAbsent"),
    ("Stop", {"uuid": U[9]}, "NotFound"),
    ("Stop", {"uuid": U[2]}, "NotActive"),
    ("Modify", {"uuid": U[9], "options": {"live": ("b", True)}}, "InvalidArgs"),
    ("Modify", {"uuid": U[9], "changes": {"attributes": ("a(ss)", [])}, "options": {"live": ("b", True)}}, "NotFound"),
    ("Modify", {"uuid": U[2], "changes": {"attributes": ("a(ss)", [])}, "options": {"live": ("b", True)}}, "NotActive"),
    ("Modify", {"uuid": U[3], "parent": "here", "changes": {"attributes": ("a(ss)", [])}, "options": {"live": ("b", True)}}, "NotSupported"),
    ("Modify", {"uuid": U[2], "options": {"direct": ("b", True)}}, "InvalidArgs"),
    ("GetAttributes", {"uuid": U[9]}, "NotFound"),
    ("GetAttributes", {"uuid": U[2]}, "NotActive"),
    ("GetAttributes", {"uuid": ""}, "InvalidArgs"),
    ("StartParent", {"parent": "nowhere"}, "NotFound"),
    ("StartParent", {"parent": "p"}, "ParentAbsent"),
    ("StartParent", {"parent": "a/b"}, "InvalidArgs"),
    ("GetDevice", {"uuid": U[9]}, "NotFound"),
    ("GetDevice", {"uuid": ""}, "InvalidArgs"),
    ("GetParent", {"name": "nowhere"}, "NotFound"),
    ("GetParent", {"name": ".."}, "InvalidArgs"),
    ("ListDevices", {"filter": {"uuid": ("s", "no")}}, "InvalidArgs"),
    ("ListTypes", {"parent": "nowhere"}, "NotFound"),
    ("ListTypes", {"parent": "p"}, "ParentAbsent"),
    ("ListTypes", {"parent": "."}, "InvalidArgs"),
]


class TestErrorsAtWork:
    def test_what_is_raised_is_documented_for_the_method(self, host):
        for parent, uuid in (("p", U[1]), ("q", U[1]), ("p", U[2])):
            host.tree.define(parent, uuid, PLAIN)
        host.tree.add_type("here", "t", 0)
        host.tree.add_device("here", "t", U[3])
        (host.tree.definitions / "file").touch()
        client = host.start()
        for member, given, expected in BAD_CALLS:
            method = MANAGER.methods[member]
            error = client.refused(member, signature(method), *arguments(method, **given))
            assert (member, given, error.name.rpartition(".")[2]) == (member, given, expected), error.sentence
            assert error.name in errors_of(member)

    def test_who_may_not_is_told_so(self, host):
        """Without polkit only root may; methods that name no action are free."""
        os.chmod(host.directory, 0o755)
        host.tree.define("p", U[1], PLAIN)
        host.start()
        for method in MANAGER.methods.values():
            words = [signature(method), *flat(method)] if method.side("in") else []
            command = ["busctl", "call", "org.mdevd1", "/org/mdevd1", MANAGER.name, method.name, *words]
            done = subprocess.run(
                ["setpriv", "--reuid=65534", "--clear-groups", *command],
                env=host.bus.environment,
                capture_output=True,
                text=True,
                timeout=30,
            )
            # busctl has this sentence of its own for AccessDenied, and no other error has it.
            refused = done.stderr == "Call failed: Access denied\n"
            assert refused == bool(method.documented("permission")), (method.name, done.stderr)


def flat(method):
    """Valid arguments as busctl takes them: dictionaries and lists are empty, but for the changes."""
    for a in method.side("in"):
        if a.name == "changes":
            yield from ("1", "autostart", "b", "true")
        elif a.type[0] == "a":
            yield "0"
        else:
            yield VALID[a.name]
