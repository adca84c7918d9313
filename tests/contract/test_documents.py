# SPDX-License-Identifier: LGPL-2.1-or-later

"""The man pages and the catalog are what the programs that show them take, and definitions what their schema says."""

import json
import re
import subprocess
import sys

import contract
import pytest
from host import TOP
from test_contract import DOCUMENTED, U

API = TOP / "api"
INTERFACES = [API / f"org.mdevd1.{name}.xml" for name in ("Manager", "Device", "Parent")]


def run(*words, **keywords):
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, **keywords)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def render(page):
    """What a reader sees, on lines that are as long as they get; groff must have nothing to complain of."""
    text = run("groff", "-man", "-ww", "-Tascii", "-P-c", "-P-b", "-P-u", "-rLL=2000n", input=page)
    return re.sub(r"\s+", " ", text)


@pytest.fixture(scope="module")
def page():
    return run(sys.executable, API / "make-man.py", *INTERFACES)


class TestManPages:
    def test_every_member_is_in_the_page(self, page):
        text = render(page)
        for interface in DOCUMENTED.values():
            assert f"INTERFACE {interface.name}" in text
            for m in interface.methods.values():
                assert f" {m.name}() " in text
                for a in m.arguments:
                    assert f"{a.type} {a.name}" in text
                    assert all(f"{o.get('name')} ({o.get('type')}" in text for o in a.documented("option"))
            for p in interface.properties.values():
                assert f"{p.name} ({p.type}" in text

    def test_every_text_is_in_the_page(self, page):
        text = render(page)
        for interface in DOCUMENTED.values():
            for node in [interface, *interface.methods.values(), *interface.properties.values()]:
                for tag in ("para", "definition", "option", "example"):
                    for e in node.documented(tag):
                        assert plain(e) in text
            for a in (a for m in interface.methods.values() for a in m.arguments):
                assert all(plain(e) in text for e in [*a.documented("summary"), *a.documented("option")])

    def test_every_error_and_limit_is_in_the_page(self, page):
        text = render(page)
        manager = DOCUMENTED["org.mdevd1.Manager"]
        assert all(e.get("name") in text for e in manager.documented("error"))
        assert all(f"{e.get('name')}: {e.get('value')}" in text for e in manager.documented("limit"))

    def test_the_daemon(self):
        text = render((API / "mdevd.8").read_text())
        main = (TOP / "daemon/main.c").read_text()
        options = re.findall(r'\{ "([\w-]+)", (?:required|no)_argument', main)
        assert len(options) >= 5
        for option in options:
            assert f"--{option}" in text
        for action in contract.header_actions(contract.strings_of_header((API / "mdevd-names.h").read_text())):
            assert action in text


def plain(element):
    """An element's text as the page has it."""
    text = re.sub(r"\s+", " ", "".join(element.itertext())).strip()
    return text.replace("−", "-").replace("…", "...")


class TestCatalog:
    def test_journald_takes_it(self, tmp_path):
        folder = tmp_path / "usr/lib/systemd/catalog"
        folder.mkdir(parents=True)
        (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
        (folder / "mdevd.catalog").write_text((API / "mdevd.catalog").read_text())
        run("journalctl", f"--root={tmp_path}", "--update-catalog")
        listed = run("journalctl", f"--root={tmp_path}", "--list-catalog").split("\n")
        ids = {line.split()[0] for line in listed if line}
        assert ids == set(contract.header_messages((API / "mdevd-messages.h").read_text()))


# Definitions

SCHEMA = json.loads((API / "definition.schema.json").read_text())
TYPES = {"object": dict, "array": list, "string": str, "number": (int, float), "boolean": bool, "null": type(None)}


def is_of_type(value, names):
    names = names if isinstance(names, list) else [names]
    return any(isinstance(value, TYPES[n]) and (n == "boolean" or not isinstance(value, bool)) for n in names)


def satisfies(value, schema):
    """As much of JSON schema as definition.schema.json needs; a word that is not known here is an error."""
    said = schema.keys() - {"$schema", "$comment", "title", "description", "examples"}
    checks = {
        "type": lambda s: is_of_type(value, s),
        # In a schema's pattern the end is the end, not what is before a last newline.
        "pattern": lambda s: not isinstance(value, str) or re.search(s.removesuffix("$") + r"\Z", value) is not None,
        "maxLength": lambda s: not isinstance(value, str) or len(value) <= s,
        "maxItems": lambda s: not isinstance(value, list) or len(value) <= s,
        "items": lambda s: not isinstance(value, list) or all(satisfies(v, s) for v in value),
        "required": lambda s: not isinstance(value, dict) or set(s) <= value.keys(),
        "minProperties": lambda s: not isinstance(value, dict) or len(value) >= s,
        "maxProperties": lambda s: not isinstance(value, dict) or len(value) <= s,
        "propertyNames": lambda s: not isinstance(value, dict) or all(satisfies(k, s) for k in value),
        "properties": lambda s: not isinstance(value, dict) or all(satisfies(value[k], s[k]) for k in value.keys() & s),
        "additionalProperties": lambda s: not isinstance(value, dict)
        or all(satisfies(value[k], s) for k in value.keys() - schema.get("properties", {}).keys()),
    }
    return all(checks[word](schema[word]) for word in said)


def attribute(name, value="1"):
    return json.dumps({"mdev_type": "t", "start": "auto", "attrs": [{name: value}]})


EXAMPLES = sorted((API / "examples").glob("definition-*.json"))
assert len(EXAMPLES) >= 4

GOOD = {
    **{p.name: p.read_text() for p in EXAMPLES},
    "no attributes": '{"mdev_type": "t", "start": "manual"}',
    "attributes null": '{"mdev_type": "t", "start": "manual", "attrs": null}',
    "odd start": '{"mdev_type": "t", "start": ["auto"]}',
    "start is false": '{"mdev_type": "t", "start": false}',
    "other keys": '{"x": {"y": [1]}, "mdev_type": "t", "start": "auto", "mdevd": {}}',
    "attribute in a folder": attribute("a/b/c"),
    "attribute that begins like the kernel's": attribute("removed"),
    "attribute below a name of the kernel's": attribute("a/remove"),
    "attribute without a value": attribute("a", ""),
    "attribute of the largest size": attribute("a", "x" * 4095),
    "type with spaces": '{"mdev_type": "GRID P4-1B", "start": "auto"}',
    "type with a dot": '{"mdev_type": "...", "start": "auto"}',
}

BAD = {
    "no object": "[]",
    "no type": '{"start": "auto"}',
    "type null": '{"mdev_type": null, "start": "auto"}',
    "type a number": '{"mdev_type": 5, "start": "auto"}',
    "type a path": '{"mdev_type": "a/b", "start": "auto"}',
    "type dots": '{"mdev_type": "..", "start": "auto"}',
    "type too long": json.dumps({"mdev_type": "t" * 256, "start": "auto"}),
    "type with a newline": '{"mdev_type": "a\\n", "start": "auto"}',
    "type with a NUL": '{"mdev_type": "a\\u0000b", "start": "auto"}',
    "no start": '{"mdev_type": "t"}',
    "start null": '{"mdev_type": "t", "start": null}',
    "attributes no array": '{"mdev_type": "t", "start": "auto", "attrs": {}}',
    "attribute no object": '{"mdev_type": "t", "start": "auto", "attrs": ["a"]}',
    "attribute without a name": '{"mdev_type": "t", "start": "auto", "attrs": [{}]}',
    "attribute with two names": '{"mdev_type": "t", "start": "auto", "attrs": [{"a": "1", "b": "2"}]}',
    "attribute with a number": attribute("a", 1),
    "attribute with null": attribute("a", None),
    "attribute of the kernel's": attribute("remove"),
    "attribute below one of the kernel's": attribute("driver/unbind"),
    "attribute upwards": attribute("a/../b"),
    "attribute here": attribute("."),
    "attribute absolute": attribute("/a"),
    "attribute ends in a slash": attribute("a/"),
    "attribute with an empty name": attribute(""),
    "attribute with a NUL": attribute("a", "x\0y"),
    "attribute with a newline in its name": attribute("a\n"),
    "attribute too long": attribute("a", "x" * 4096),
    "attribute's name too long": attribute("a" * 256),
    "attribute's path too long": attribute("/".join(["a" * 127] * 5)),
    "too many attributes": json.dumps({"mdev_type": "t", "start": "auto", "attrs": [{"a": "1"}] * 1025}),
}

# What no schema says about a text.
BAD_TEXT = {
    "nothing": "",
    "two objects": '{"mdev_type": "t", "start": "auto"} {}',
    "a comma too many": '{"mdev_type": "t", "start": "auto",}',
    "a comment": '{"mdev_type": "t", "start": "auto"} // yes',
    "too deep": '{"mdev_type": "t", "start": "auto", "x": ' + "[" * 40 + "]" * 40 + "}",
    "too large": '{"mdev_type": "t", "start": "auto", "x": "' + "x" * 524288 + '"}',
}


class TestDefinitions:
    """The schema and mdevd agree on each of them."""

    @pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
    def test_good(self, text):
        assert satisfies(json.loads(text), SCHEMA)

    @pytest.mark.parametrize("text", BAD.values(), ids=BAD)
    def test_bad(self, text):
        assert not satisfies(json.loads(text), SCHEMA)

    def test_mdevd_takes_the_good(self, host):
        client = host.start()
        for name, text in GOOD.items():
            uuid, _ = client.manager("DefineFromJSON", "sssa{sv}", "", "p", text, {})
            (row,) = client.manager("ListDevices", "a{sv}", {"uuid": ("s", uuid)})
            given = json.loads(text)
            attributes = [(k, v) for a in given.get("attrs") or [] for k, v in a.items()]
            assert (name, *row[3:]) == (name, given["mdev_type"], False, True, given["start"] == "auto", attributes)

    def test_mdevd_refuses_the_bad(self, host):
        client = host.start()
        for name, text in {**BAD, **BAD_TEXT}.items():
            error = client.refused("DefineFromJSON", "sssa{sv}", "", "p", text, {})
            assert (name, error.name) == (name, "org.mdevd1.Error.InvalidDefinition")
        assert client.manager("ListDevices", "a{sv}", {}) == []

    def test_files_are_read_alike(self, host):
        uuids = [f"00000000-0000-0000-0000-{i:012x}" for i in range(len(GOOD) + len(BAD))]
        for uuid, text in zip(uuids, [*GOOD.values(), *BAD.values()]):
            host.tree.define("p", uuid, text)
        client = host.start()
        rows = client.manager("ListDevices", "a{sv}", {})
        assert [row[0] for row in rows] == uuids[: len(GOOD)]
        properties = client.call("/org/mdevd1", "org.freedesktop.DBus.Properties", "GetAll", "s", "org.mdevd1.Manager")
        invalid = [path for path, _ in properties["InvalidDefinitions"][1]]
        assert sorted(invalid) == [f"/etc/mdevctl.d/p/{uuid}" for uuid in uuids[len(GOOD) :]]

    def test_an_empty_type_is_read_from_a_file_only(self, host):
        text = '{"mdev_type": "", "start": "auto"}'
        assert satisfies(json.loads(text), SCHEMA)
        host.tree.define("p", U[1], text)
        client = host.start()
        assert len(client.manager("ListDevices", "a{sv}", {})) == 1
        client.refused("DefineFromJSON", "sssa{sv}", "", "p", text, {})

    @pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
    def test_examples_are_as_mdevd_writes_them(self, host, path):
        """But for a newline at the end, which the file's own editors want."""
        client = host.start()
        uuid, _ = client.manager("DefineFromJSON", "sssa{sv}", "", "p", path.read_text(), {})
        assert (host.tree.definitions / "p" / uuid).read_text() == path.read_text().rstrip("\n")


def test_a_word_of_the_schema_that_is_not_checked_is_an_error():
    with pytest.raises(KeyError):
        satisfies({}, {"minimum": 1})
