# SPDX-License-Identifier: LGPL-2.1-or-later

"""The verbs, with a daemon on a tree of plain files: "create" and "remove" take what is written, and do nothing."""

import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

import pytest

U = [f"00000000-0000-0000-0000-00000000000{i:x}" for i in range(16)]
UUID_LINE = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\n"

PLAIN = """{
  "mdev_type": "t",
  "start": "manual",
  "attrs": []
}"""

FULL = """{
  "mdev_type": "t",
  "start": "auto",
  "attrs": [
    {
      "assign_adapter": "5"
    },
    {
      "assign_adapter": "6"
    }
  ]
}"""


def new_uuid(text):
    assert re.fullmatch(UUID_LINE, text)
    return text.strip()


class TestDefine:
    def test_a_uuid_that_is_given_is_not_printed(self, host):
        cli = host.start()
        assert cli.ok("define", "-u", U[1], "-p", "p", "-t", "t") == ""
        assert host.tree.definition("p", U[1]).read_text() == PLAIN

    def test_a_uuid_that_is_made_up_is_printed(self, host):
        cli = host.start()
        uuid = new_uuid(cli.ok("define", "-p", "p", "-t", "t", "--auto"))
        assert host.tree.definition("p", uuid).read_text() == PLAIN.replace("manual", "auto")

    def test_any_form_of_a_uuid(self, host):
        cli = host.start()
        for i, form in enumerate([U[0].upper(), U[1].replace("-", ""), f"{{{U[2]}}}", f"urn:uuid:{U[3]}"]):
            assert cli.ok("define", "-u", form, "-p", "p", "-t", "t") == ""
            assert host.tree.definition("p", U[i]).exists()
            assert cli.ok("list", "-d", "-u", form) == f"{U[i]} p t manual\n"

    @pytest.mark.parametrize("via", ["stdin", "file", "fifo"])
    def test_jsonfile(self, host, via):
        cli = host.start()
        text = json.dumps(json.loads(FULL), separators=(",", ":"))
        path = host.directory / "json"
        if via == "stdin":
            uuid = new_uuid(cli.ok("define", "--parent=p", "--jsonfile=/dev/stdin", input=text.encode()))
        elif via == "file":
            path.write_text(text)
            uuid = new_uuid(cli.ok("define", "--parent=p", f"--jsonfile={path}"))
        else:
            os.mkfifo(path)
            writer = threading.Thread(target=path.write_text, args=(text,))
            writer.start()
            uuid = new_uuid(cli.ok("define", "--parent=p", f"--jsonfile={path}"))
            writer.join()
        assert host.tree.definition("p", uuid).read_text() == FULL

    def test_jsonfile_with_uuid_prints_nothing(self, host):
        cli = host.start()
        assert cli.ok("define", f"--uuid={U[1]}", "--parent=p", "--jsonfile=/dev/stdin", input=FULL.encode()) == ""
        assert host.tree.definition("p", U[1]).read_text() == FULL

    def test_what_list_prints_can_be_defined_again(self, host):
        cli = host.start()
        host.tree.define("p", U[1], FULL)
        host.daemon.rescan()
        text = cli.ok("list", "-d", "--dumpjson", "-u", U[1])
        uuid = new_uuid(cli.ok("define", "-p", "p", "--jsonfile", "/dev/stdin", input=text.encode()))
        assert host.tree.definition("p", uuid).read_text() == FULL

    def test_taken(self, host):
        cli = host.start()
        cli.ok("define", "-u", U[1], "-p", "p", "-t", "t")
        assert U[1] in cli.fails("define", "-u", U[1], "-p", "p", "-t", "t")
        assert "defined on parent p" in cli.fails("define", "-u", U[1], "-p", "q", "-t", "t")
        assert not (host.tree.definitions / "q").exists()

    @pytest.mark.parametrize("name, words", [("mdevdctl", ["--alternate"]), ("mdevctl", [])])
    def test_alternate(self, host, name, words):
        cli = host.start()
        cli.ok("define", "-u", U[1], "-p", "p", "-t", "t")
        assert cli.ok("define", "-u", U[1], "-p", "q", "-t", "t", *words, name=name) == ""
        assert cli.ok("list", "-d") == f"{U[1]} p t manual\n{U[1]} q t manual\n"

    def test_underspecified(self, host):
        cli = host.start()
        assert "No parent" in cli.fails("define", "-u", U[1])
        assert "No parent" in cli.fails("define", "-u", U[1], "-t", "t")
        assert "No type" in cli.fails("define", "-p", "p")
        assert "No type" in cli.fails("define", "-u", U[1], "-p", "p")

    def test_promotes_an_active_device(self, host):
        host.tree.add_parent("p")
        host.tree.add_type("p", "t")
        host.tree.add_device("p", "t", U[1])
        cli = host.start()
        assert "No parent" in cli.fails("define", "-u", U[1], "-t", "t")
        assert cli.ok("define", "-u", U[1]) == ""
        assert cli.ok("list") == f"{U[1]} p t manual (defined)\n"
        assert cli.ok("list", "-d") == f"{U[1]} p t manual (active)\n"
        assert host.tree.definition("p", U[1]).read_text() == PLAIN

    @pytest.mark.parametrize("parent", ["../p", "/p", "a/b", ".", "..", "scripts.d"])
    def test_bad_parent(self, host, parent):
        cli = host.start()
        cli.fails("define", "-p", parent, "-t", "t")
        assert list(host.tree.definitions.iterdir()) == []

    def test_force_is_taken(self, host):
        cli = host.start()
        uuid = new_uuid(cli.ok("define", "-fp", "p", "-t", "t"))
        assert cli.ok("undefine", "-fu", uuid) == ""

    def test_full_stdout_tells_the_uuid(self, host):
        cli = host.start()
        with open("/dev/full", "wb") as full:
            done = cli("define", "-p", "p", "-t", "t", stdout=full)
        (uuid,) = os.listdir(host.tree.definitions / "p")
        assert done.returncode == 1
        assert done.stderr.decode() == (
            f"Error: Device {uuid} has been defined, but its UUID could not be written to stdout: "
            "No space left on device\n"
        )

    def test_closed_stdout_is_not_the_bus(self, host):
        cli = host.start()
        done = subprocess.run(
            ["sh", "-c", '"$0" define -p p -t t >&-', cli.directory / "mdevdctl"],
            env=cli.environment,
            stderr=subprocess.PIPE,
            check=False,
        )
        assert done.returncode == 1 and b"has been defined, but" in done.stderr


    def test_on_another_parent_than_the_active_device(self, host):
        """Its type is meant, as with mdevctl."""
        host.tree.add_parent("p")
        host.tree.add_type("p", "live")
        host.tree.add_device("p", "live", U[1])
        cli = host.start()
        assert cli.ok("define", "-u", U[1], "-p", "q") == ""
        assert host.tree.definition("q", U[1]).read_text() == PLAIN.replace('"t"', '"live"')
        assert cli.ok("define", "-u", U[1], "-p", "r", "-t", "t", name="mdevctl") == ""
        assert host.tree.definition("r", U[1]).read_text() == PLAIN


class TestJsonFile:
    """What the daemon says of a file, by the name that it has here."""

    @pytest.mark.parametrize(
        "text, complaint",
        [
            ("", "line 1, column 1: the text ends too early"),
            ("{", "line 1, column 2: the text ends too early"),
            ("[]", "not a JSON object"),
            ('"x"', "not a JSON object"),
            ('{"mdev_type":"t","start":"auto"} x', "line 1, column 34"),
            ('{\n "mdev_type": t}', "line 2, column 1"),
            ('{"start":"auto"}', '"mdev_type" is missing'),
            ('{"mdev_type":5,"start":"auto"}', '"mdev_type" is missing or not a string'),
            ('{"mdev_type":"a\\u0000b","start":"auto"}', "a NUL in a string"),
            ('{"mdev_type":"t"}', '"start" is missing'),
            ('{"mdev_type":"t","start":null}', '"start" is missing'),
            ('{"mdev_type":"t","start":"auto","attrs":{}}', '"attrs" is not an array'),
            ('{"mdev_type":"t","start":"auto","attrs":"x"}', '"attrs" is not an array'),
            ('{"mdev_type":"t","start":"auto","attrs":["x"]}', "attribute 0 is not an object"),
            ('{"mdev_type":"t","start":"auto","attrs":[{}]}', "attribute 0 has 0 names instead of one"),
            ('{"mdev_type":"t","start":"auto","attrs":[{"a":"1"},{"a":"1","b":"2"}]}', "attribute 1"),
            ('{"mdev_type":"t","start":"auto","attrs":[{"a":1}]}', "the value is not a string"),
            ("[" * 100000, "nesting"),
            ("\ufeff{}", "line 1, column 1"),
        ],
        ids=lambda x: repr(x)[:40],
    )
    @pytest.mark.parametrize("verb", ["define", "start", "modify"])
    def test_bad(self, host, verb, text, complaint):
        cli = host.start()
        said = cli.fails(verb, "-u", U[1], "-p", "p", "--jsonfile", "/dev/stdin", input=text.encode())
        assert complaint in said and said.startswith('Error: "/dev/stdin": ')
        assert list(host.tree.definitions.iterdir()) == []

    @pytest.mark.parametrize("verb", ["define", "modify"])
    def test_keys_of_others_survive(self, host, verb):
        cli = host.start()
        text = '{"mdev_type":"t","start":"auto","other":{"x":[1,2]}}'
        assert cli.ok(verb, "-u", U[1], "-p", "p", "--jsonfile", "/dev/stdin", input=text.encode()) == ""
        assert json.loads(host.tree.definition("p", U[1]).read_text()) == {**json.loads(text), "attrs": []}


class TestModify:
    @pytest.fixture
    def cli(self, host):
        self.host = host
        host.tree.define("p", U[1], FULL)
        host.tree.define("p", U[2], PLAIN)
        host.tree.define("q", U[2], PLAIN)
        return host.start()

    def definition(self, uuid=U[1], parent="p"):
        d = json.loads(self.host.tree.definition(parent, uuid).read_text())
        return d["mdev_type"], d["start"], [(k, v) for a in d["attrs"] for k, v in a.items()]

    def test_one_thing(self, cli):
        five, six = ("assign_adapter", "5"), ("assign_adapter", "6")
        for words, expected in (
            (["--manual"], ("t", "manual", [five, six])),
            (["--auto"], ("t", "auto", [five, six])),
            (["-t", "u"], ("u", "auto", [five, six])),
            (["--addattr", "a", "--value", "1"], ("u", "auto", [five, six, ("a", "1")])),
            (["--addattr", "b", "--value=", "-i", "0"], ("u", "auto", [("b", ""), five, six, ("a", "1")])),
            (["--addattr", "c", "--value", "2", "-i4"], ("u", "auto", [("b", ""), five, six, ("a", "1"), ("c", "2")])),
            (["--delattr"], ("u", "auto", [("b", ""), five, six, ("a", "1")])),
            (["--delattr", "-i", "1"], ("u", "auto", [("b", ""), six, ("a", "1")])),
        ):
            assert cli.ok("modify", "-u", U[1], *words) == ""
            assert self.definition() == expected

    def test_all_at_once(self, cli):
        assert cli.ok("modify", "-u", U[1], "-p", "p", "-mt", "x", "--addattr", "n", "--value", "v", "-i0") == ""
        assert self.definition() == ("x", "manual", [("n", "v"), ("assign_adapter", "5"), ("assign_adapter", "6")])
        assert cli.ok("modify", "-u", U[1], "-dat", "y", "--delattr") == ""
        assert self.definition() == ("y", "auto", [("n", "v"), ("assign_adapter", "5")])

    def test_nothing(self, cli):
        """The file is only written anew."""
        path = self.host.tree.definition("p", U[1])
        path.write_text(json.dumps(json.loads(FULL)))
        for words in [], ["--value", "x"], ["-i", "1"]:
            assert cli.ok("modify", "-u", U[1], *words) == ""
            assert path.read_text() == FULL

    def test_no_attribute_to_remove(self, cli):
        assert cli.ok("modify", "-u", U[2], "-p", "p", "--delattr") == ""
        assert cli.ok("modify", "-u", U[2], "-p", "p", "--delattr", "--auto") == ""
        assert self.definition(U[2]) == ("t", "auto", [])
        assert "no attribute 0" in cli.fails("modify", "-u", U[2], "-p", "p", "--delattr", "-i0")

    def test_bad_index(self, cli):
        for words in ["--delattr", "-i2"], ["--addattr", "a", "--value", "1", "-i3"]:
            text = cli.fails("modify", "-u", U[1], *words)
            assert f"no attribute {words[-1][2:]}" in text and "4294967295" not in text
        text = cli.fails("modify", "-u", U[1], "--delattr", "-i", "4294967295")
        assert text == "Error: Attribute index 4294967295 is invalid\n"
        assert self.host.tree.definition("p", U[1]).read_text() == FULL

    def test_which(self, cli):
        assert U[3] in cli.fails("modify", "-u", U[3], "-a")
        assert f"q/{U[1]}" in cli.fails("modify", "-u", U[1], "-p", "q", "-a")
        assert "specify a parent" in cli.fails("modify", "-u", U[2], "-a")
        assert cli.ok("modify", "-u", U[2], "-p", "q", "-a") == ""
        assert self.definition(U[2], "q")[1] == "auto" and self.definition(U[2], "p")[1] == "manual"

    def test_jsonfile_replaces(self, cli):
        words = ["modify", "--parent=p", "--jsonfile=/dev/stdin", f"--uuid={U[1]}", "--defined"]
        assert cli.ok(*words, input=b'{"mdev_type":"n","start":"manual","attrs":[{"a":"b"}]}') == ""
        assert self.definition() == ("n", "manual", [("a", "b")])

    def test_jsonfile_defines(self, cli):
        words = ["modify", "-p", "r", "--jsonfile", "/dev/stdin", "-u"]
        assert cli.ok(*words, U[3], input=FULL.encode()) == ""
        assert self.host.tree.definition("r", U[3]).read_text() == FULL
        assert "--alternate" in cli.fails(*words, U[1], input=FULL.encode())
        assert cli.ok(*words, U[1], "--alternate", input=FULL.encode()) == ""
        assert cli.ok(*words, U[2], input=FULL.encode(), name="mdevctl") == ""
        assert len(list((self.host.tree.definitions / "r").iterdir())) == 3


class TestUndefine:
    def test_one_of_two(self, host):
        cli = host.start()
        for parent in "p", "q":
            host.tree.define(parent, U[1], PLAIN)
        host.daemon.rescan()
        assert cli.ok("undefine", "-u", U[1], "-p", "q") == ""
        assert cli.ok("list", "-d") == f"{U[1]} p t manual\n"
        assert not host.tree.definition("q", U[1]).exists()

    def test_all(self, host):
        cli = host.start()
        for parent in "p", "q":
            host.tree.define(parent, U[1], PLAIN)
        host.daemon.rescan()
        assert cli.ok("undefine", "--uuid", U[1]) == ""
        assert cli.ok("list", "-d") == ""

    def test_none(self, host):
        cli = host.start()
        assert U[1] in cli.fails("undefine", "-u", U[1])
        host.tree.define("p", U[1], PLAIN)
        host.daemon.rescan()
        assert U[1] in cli.fails("undefine", "-u", U[1], "-p", "q")
        assert host.tree.definition("p", U[1]).exists()


class TestStart:
    """What reaches "create" is what was asked for; that a device appears needs a kernel."""

    @pytest.fixture
    def cli(self, host):
        host.tree.add_parent("p")
        self.create = host.tree.add_type("p", "t", available=2) / "create"
        host.tree.add_type("p", "other")
        host.tree.add_parent("q")
        host.tree.define("p", U[1], PLAIN)
        host.tree.define("p", U[2], PLAIN)
        host.tree.define("q", U[2], PLAIN)
        return host.start()

    def test_defined(self, cli):
        assert cli.ok("start", f"--uuid={U[1]}") == ""
        assert self.create.read_text() == U[1]

    @pytest.mark.parametrize("words", [["-p", "p"], ["-t", "t"], ["-p", "p", "-t", "t"]], ids=repr)
    def test_defined_and_said_again(self, cli, words):
        assert cli.ok("start", "-u", U[1], *words) == ""
        assert self.create.read_text() == U[1]

    def test_defined_with_another_type(self, cli):
        text = cli.fails("start", "-u", U[1], "-p", "p", "-t", "other")
        assert text == f"Error: Device {U[1]} already exists on parent p with type t\n"
        assert self.create.read_text() == ""

    def test_several_definitions(self, cli):
        assert "several definitions" in cli.fails("start", "-u", U[2])
        assert "several definitions" in cli.fails("start", "-u", U[2], "-t", "t")
        assert cli.ok("start", "-u", U[2], "-p", "p") == ""
        assert self.create.read_text() == U[2]

    def test_a_definition_elsewhere_does_not_count(self, cli):
        assert "offer type" in cli.fails("start", "-u", U[1], "-p", "q", "-t", "t")
        assert "insufficiently" in cli.fails("start", "-u", U[1], "-p", "q")

    def test_transient(self, cli):
        assert cli.ok("start", "-u", U[3], "-p", "p", "-t", "t") == ""
        assert self.create.read_text() == U[3]

    def test_a_uuid_that_is_made_up_is_printed(self, cli):
        uuid = new_uuid(cli.ok("start", "-p", "p", "-t", "t"))
        assert self.create.read_text() == uuid

    def test_jsonfile(self, cli):
        uuid = new_uuid(cli.ok("start", "--parent=p", "--jsonfile=/dev/stdin", input=PLAIN.encode()))
        assert self.create.read_text() == uuid
        words = ["start", "--parent=p", "--jsonfile=/dev/stdin", f"--uuid={U[4]}"]
        assert cli.ok(*words, input=PLAIN.encode()) == ""
        assert self.create.read_text() == U[4]

    def test_underspecified(self, cli):
        cli.fails("start", "-u", U[3])
        assert "insufficiently" in cli.fails("start", "-u", U[3], "-p", "p")
        assert "without a parent" in cli.fails("start", "-u", U[3], "-t", "t")
        assert "insufficiently" in cli.fails("start", "-p", "p")
        assert self.create.read_text() == ""

    def test_refused(self, host, cli):
        assert "Parent x" in cli.fails("start", "-p", "x", "-t", "t")
        assert "type x" in cli.fails("start", "-p", "p", "-t", "x")
        host.tree.add_device("p", "other", U[5])
        assert "active on parent p" in cli.fails("start", "-u", U[5], "-p", "p", "-t", "other")
        self.create.unlink()
        self.create.symlink_to("/dev/full")
        cli.fails("start", "-u", U[1])


class TestStartParent:
    def test_starts_what_is_marked(self, host):
        host.tree.add_parent("p")
        create = host.tree.add_type("p", "t") / "create"
        host.tree.define("p", U[1], PLAIN)
        host.tree.define("p", U[2], PLAIN.replace("manual", "auto"))
        cli = host.start()
        assert cli.ok("start-parent-mdevs", "p") == ""
        assert create.read_text() == U[2]

    def test_what_fails_is_a_warning(self, host):
        host.tree.add_parent("p")
        host.tree.define("p", U[2], PLAIN.replace("manual", "auto"))
        host.tree.define("gone", U[3], PLAIN.replace("manual", "auto"))
        cli = host.start()
        for parent, subject in ("p", U[2]), ("gone", "gone"):
            done = cli("start-parent-mdevs", parent)
            assert (done.returncode, done.stdout) == (0, b"")
            assert done.stderr.decode().startswith(f"Warning: {subject}: ")

    @pytest.mark.parametrize("parent", ["unknown", "", "../p"])
    def test_nothing_to_do(self, host, parent):
        assert host.start().ok("start-parent-mdevs", parent) == ""


class TestStop:
    def test_active(self, host):
        host.tree.add_parent("p")
        host.tree.add_type("p", "t")
        remove = host.tree.add_device("p", "t", U[1]) / "remove"
        cli = host.start()
        assert cli.ok("stop", f"--uuid={U[1]}") == ""
        assert remove.read_text() == "1"

    def test_not_active(self, host):
        cli = host.start()
        assert U[1] in cli.fails("stop", "-u", U[1])
        cli.ok("define", "-u", U[1], "-p", "p", "-t", "t")
        assert "not active" in cli.fails("stop", "-u", U[1])


def fill(tree):
    """Devices of every kind: defined, active, both, both with another type, on parents that are there or not."""
    tree.add_parent("p")
    tree.add_type("p", "t-155", 3, label="Fine  ", description="  first\nsecond\n")
    tree.add_type("p", "t-36", 0, device_api="vfio-ccw")
    tree.add_parent("0000:3b:00.0")
    tree.add_type("0000:3b:00.0", "t-155", 16)
    tree.add_parent("idle")
    tree.add_device("p", "t-155", U[0])
    tree.add_device("p", "t-36", U[1])
    tree.add_device("0000:3b:00.0", "t-155", U[2])
    tree.add_device("p", "t-36", U[3])
    tree.define("p", U[1], FULL.replace('"t"', '"t-36"'))
    tree.define("p", U[3], FULL.replace('"t"', '"t-155"'))
    tree.define("p", U[4], PLAIN)
    tree.define("0000:3b:00.0", U[1], PLAIN)
    tree.define("gone", U[5], '{"mdev_type":"tüp","start":5,"attrs":[{"a":"q\\"b\\\\s/\\t\\u0001\\u007fü"},{"b":""}]}')


LIST = f"""{U[2]} 0000:3b:00.0 t-155 manual
{U[0]} p t-155 manual
{U[1]} p t-36 auto (defined)
{U[3]} p t-36 auto (defined)
"""

LIST_DEFINED = f"""{U[1]} 0000:3b:00.0 t manual
{U[5]} gone tüp manual
  Attrs:
    @{{0}}: {{"a":"q"b\\s/\t\x01\x7fü"}}
    @{{1}}: {{"b":""}}
{U[1]} p t-36 auto (active)
  Attrs:
    @{{0}}: {{"assign_adapter":"5"}}
    @{{1}}: {{"assign_adapter":"6"}}
{U[3]} p t-155 auto
  Attrs:
    @{{0}}: {{"assign_adapter":"5"}}
    @{{1}}: {{"assign_adapter":"6"}}
{U[4]} p t manual
"""

LIST_JSON = f"""[
  {{
    "0000:3b:00.0": [
      {{
        "{U[2]}": {{
          "mdev_type": "t-155",
          "start": "manual",
          "attrs": []
        }}
      }}
    ],
    "p": [
      {{
        "{U[0]}": {{
          "mdev_type": "t-155",
          "start": "manual",
          "attrs": []
        }}
      }},
      {{
        "{U[1]}": {{
          "mdev_type": "t-36",
          "start": "auto",
          "attrs": []
        }}
      }},
      {{
        "{U[3]}": {{
          "mdev_type": "t-36",
          "start": "auto",
          "attrs": []
        }}
      }}
    ]
  }}
]"""

GONE_JSON = """[
  {
    "gone": [
      {
        "%s": {
          "mdev_type": "tüp",
          "start": "manual",
          "attrs": [
            {
              "a": "q\\"b\\\\s/\\t\\u0001\x7fü"
            },
            {
              "b": ""
            }
          ]
        }
      }
    ]
  }
]""" % U[5]

TYPES = """0000:3b:00.0
  t-155
    Available instances: 16
    Device API: vfio-pci
idle
p
  t-155
    Available instances: 3
    Device API: vfio-pci
    Name: Fine
    Description: first, second
  t-36
    Available instances: 0
    Device API: vfio-ccw
"""

TYPES_JSON = """[
  {
    "0000:3b:00.0": [
      {
        "t-155": {
          "available_instances": 16,
          "device_api": "vfio-pci"
        }
      }
    ],
    "idle": [],
    "p": [
      {
        "t-155": {
          "available_instances": 3,
          "device_api": "vfio-pci",
          "name": "Fine",
          "description": "first, second"
        }
      },
      {
        "t-36": {
          "available_instances": 0,
          "device_api": "vfio-ccw"
        }
      }
    ]
  }
]"""


class TestList:
    @pytest.fixture
    def cli(self, host):
        fill(host.tree)
        return host.start()

    def test_active(self, cli):
        assert cli.ok("list") == cli.ok("list", "-v") == cli.ok(name="lsmdev") == LIST
        assert cli.ok("list", "--dumpjson") == cli.ok("list", "-v", "--dumpjson") == LIST_JSON

    def test_defined(self, cli):
        assert cli.ok("list", "-dv") == LIST_DEFINED
        short = [line + "\n" for line in LIST_DEFINED.split("\n")[:-1] if not line.startswith(" ")]
        assert cli.ok("list", "--defined") == "".join(short)

    def test_defined_json(self, cli):
        assert cli.ok("list", "-d", "--dumpjson", "-p", "gone") == GONE_JSON
        everything = json.loads(cli.ok("list", "-d", "--dumpjson"))
        assert [list(x) for x in everything] == [["0000:3b:00.0", "gone", "p"]]
        assert [list(x) for x in everything[0]["p"]] == [[U[1]], [U[3]], [U[4]]]

    def test_one_uuid(self, cli):
        bare = json.loads(LIST_JSON)[0]["0000:3b:00.0"][0][U[2]]
        assert cli.ok("list", "--dumpjson", "-u", U[2]) == json.dumps(bare, indent=2)
        assert cli.ok("list", "-d", "--dumpjson", "-u", U[3]) == FULL.replace('"t"', '"t-155"')
        assert cli.ok("list", "--dumpjson", "-u", U[2], "-p", "p") == "[]"
        assert cli.ok("list", "-u", U[2]) == LIST.split("\n", maxsplit=1)[0] + "\n"

    def test_one_uuid_twice(self, cli):
        whole = json.loads(cli.ok("list", "-d", "--dumpjson", "-u", U[1]))
        assert [list(x) for x in whole] == [["0000:3b:00.0", "p"]]
        assert cli.ok("list", "-d", "--dumpjson", "-u", U[1], "-p", "0000:3b:00.0") == PLAIN

    def test_one_parent(self, cli):
        assert cli.ok("list", "-p", "0000:3b:00.0") == LIST.split("\n", maxsplit=1)[0] + "\n"
        assert list(json.loads(cli.ok("list", "--dumpjson", "-p", "0000:3b:00.0"))[0]) == ["0000:3b:00.0"]

    @pytest.mark.parametrize("words", [["-u", U[9]], ["-p", "x"], ["-p", ""], ["-d", "-p", "a/b"]], ids=repr)
    def test_nothing(self, cli, words):
        assert cli.ok("list", *words) == ""
        assert cli.ok("list", "--dumpjson", *words) == "[]"

    def test_what_others_do_is_seen_at_once(self, host, cli):
        host.tree.remove_device("0000:3b:00.0", U[2])
        host.tree.add_device("0000:3b:00.0", "t-155", U[6])
        assert cli.ok("list", "-p", "0000:3b:00.0") == f"{U[6]} 0000:3b:00.0 t-155 manual\n"

    def test_a_bad_file_hinders_nothing(self, host, cli):
        host.tree.define("p", U[7].upper(), "{")
        host.daemon.rescan()
        for words in [], ["-p", "p"], ["-u", U[7]], ["-u", f"urn:uuid:{U[7].replace('-', '')}"]:
            done = cli("list", "-dv", *words)
            assert done.returncode == 0
            if not words:
                assert done.stdout.decode() == LIST_DEFINED
            assert done.stderr.decode().startswith(f"Warning: /etc/mdevctl.d/p/{U[7].upper()} is not a valid definition: line 1")
        for words in ["-p", "gone"], ["-u", U[5]]:
            cli.ok("list", "-d", *words)
        assert cli.ok("list") == LIST

    def test_orphaned(self, host, cli):
        """It is in the kernel and takes its UUID, so mdevctl lists it."""
        (host.tree.sys / "bus/mdev/devices" / U[0] / "remove").unlink()
        host.daemon.rescan()
        assert cli.ok("list") == LIST
        assert "orphaned" in cli.fails("stop", "-u", U[0])

    def test_many(self, host, cli):
        for i in range(300):
            host.tree.define("many", f"00000000-0000-0000-0001-{i:012x}", PLAIN)
        host.daemon.rescan()
        lines = cli.ok("list", "-d", "-p", "many").splitlines()
        assert len(lines) == 300 and lines == sorted(lines)
        with open("/dev/full", "wb") as full:
            done = cli("list", "-d", stdout=full)
        assert done.returncode == 1 and done.stderr.startswith(b"Error: The result could not be written: ")


class TestScripts:
    """What call-out scripts tell of active devices, and do to them."""

    SCRIPT = """#!/bin/sh
[ "$1 $3 $5" = "-t -e -a" ] || exit 99
case "$4 $6 ${10}" in
"get capabilities "*) echo '{"supports":{"version":2,"actions":["modify","attributes"],"events":["get","live","pre","post"]}}' ;;
"get attributes %s") echo '[{"a":"1"},{"b":"x y"}]' ;;
"get attributes %s") echo broken >&2; exit 1 ;;
"get attributes "*) echo '[]' ;;
"live modify "*) cat >"%s" ;;
esac
"""

    @pytest.fixture
    def cli(self, host):
        fill(host.tree)
        host.live = host.directory / "live"
        path = host.tree.definitions / "scripts.d/callouts/script"
        path.parent.mkdir(parents=True)
        path.write_text(self.SCRIPT % (U[2], U[3], host.live))
        path.chmod(0o755)
        cli = host.start()
        cli.environment["MDEVCTL_ENV_ROOT"] = str(host.tree.path)
        return cli

    def test_attributes(self, cli):
        attributes = '  Attrs:\n    @{0}: {"a":"1"}\n    @{1}: {"b":"x y"}\n'
        assert cli.ok("list", "-vu", U[2]) == f"{U[2]} 0000:3b:00.0 t-155 manual\n{attributes}"
        assert json.loads(cli.ok("list", "--dumpjson", "-u", U[2]))["attrs"] == [{"a": "1"}, {"b": "x y"}]
        assert cli.ok("list", "-vu", U[1]) == f"{U[1]} p t-36 auto (defined)\n"
        assert cli.ok("list", "-d", "-vu", U[1]).count("@") == 2
        assert cli.ok("list") == LIST

    @pytest.mark.parametrize("name", [".script", "script~", "..."])
    def test_whatever_its_name_is(self, host, cli, name):
        """To mdevctl every entry is a script, and so it is to mdevd."""
        script = host.tree.definitions / "scripts.d/callouts/script"
        script.rename(script.with_name(name))
        assert cli.ok("list", "-vu", U[2]).count("@") == 2

    def test_a_script_that_fails(self, cli):
        done = cli("list", "-v")
        assert done.returncode == 0 and done.stdout.decode().replace(
            '  Attrs:\n    @{0}: {"a":"1"}\n    @{1}: {"b":"x y"}\n', ""
        ) == LIST
        said = done.stderr.decode()
        assert said.startswith(f"Warning: {U[3]}: ") and "broken" in said

    def test_who_may_not_ask(self, cli):
        assert cli.ok("list", "-v", user=65534) == LIST

    def test_live(self, host, cli):
        text = '{"mdev_type":"t-36","start":"auto","attrs":[{"a":"2"}]}'
        words = ["modify", f"--uuid={U[1]}", "--parent=p", "--jsonfile=/dev/stdin", "--live"]
        before = host.tree.definition("p", U[1]).read_text()
        assert cli.ok(*words, input=text.encode()) == ""
        assert json.loads(host.live.read_text())["attrs"] == [{"a": "2"}]
        assert host.tree.definition("p", U[1]).read_text() == before
        assert cli.ok(*words, "--defined", input=text.encode()) == ""
        assert json.loads(host.tree.definition("p", U[1]).read_text()) == json.loads(text)

    def test_live_without_a_script(self, host, cli):
        (host.tree.definitions / "scripts.d/callouts/script").unlink()
        host.daemon.rescan()
        device = host.tree.sys / "bus/mdev/devices" / U[1]
        (device / "a").write_text("1")
        text = '{"mdev_type":"t-36","start":"auto","attrs":[{"a":"2"}]}'
        words = ["modify", f"--uuid={U[1]}", "--jsonfile=/dev/stdin", "--live"]
        assert " --direct writes its attributes" in cli.fails(*words, input=text.encode())
        assert cli.ok(*words, "--direct", input=text.encode()) == ""
        assert (device / "a").read_text() == "2"


class TestTypes:
    @pytest.fixture
    def cli(self, host):
        fill(host.tree)
        return host.start()

    def test_all(self, cli):
        assert cli.ok("types") == TYPES
        assert cli.ok("types", "--dumpjson") == TYPES_JSON

    def test_one_parent(self, cli):
        assert cli.ok("types", "-p", "idle") == "idle\n"
        assert cli.ok("types", "--parent=0000:3b:00.0") == "".join(TYPES.splitlines(keepends=True)[:4])
        assert json.loads(cli.ok("types", "--dumpjson", "-p", "p")) == [{"p": json.loads(TYPES_JSON)[0]["p"]}]

    @pytest.mark.parametrize("parent", ["x", "", "a/b", "gone", ".."])
    def test_nothing(self, cli, parent):
        assert cli.ok("types", "-p", parent) == ""
        assert cli.ok("types", "--dumpjson", "-p", parent) == "[]"

    def test_what_changes_is_seen(self, host, cli):
        path = host.tree.sys / "devices/p/mdev_supported_types/t-155/available_instances"
        path.write_text("2\n")
        assert "Available instances: 2\n" in cli.ok("types", "-p", "p")


def test_empty_host(host):
    cli = host.start()
    for verb in ["list"], ["list", "-d"], ["types"]:
        assert cli.ok(*verb) == ""
        assert cli.ok(*verb, "--dumpjson") == "[]"


def test_anybody_may_look_but_not_touch(host):
    fill(host.tree)
    cli = host.start()
    assert cli.ok("list", user=65534) == LIST
    assert cli.ok("list", "-dv", user=65534) == LIST_DEFINED
    assert cli.ok("types", user=65534) == TYPES
    cli.fails("define", "-p", "p", "-t", "t", user=65534)
    cli.fails("stop", "-u", U[0], user=65534)


def test_a_daemon_for_that_root(host):
    fill(host.tree)
    host.start()
    environment = {**host.cli.environment, "MDEVCTL_ENV_ROOT": str(host.tree.path)}
    assert host.cli.ok("list", env=environment) == LIST


def test_no_daemon(host):
    for words in ["stop", "-u", U[1]], ["status"], ["tree"], ["show", U[1]], ["monitor"], ["wait", U[1]]:
        text = host.cli.fails(*words)
        assert text.startswith("Error: mdevd is not running and cannot be started: ")
        assert "systemctl start mdevd" in text


def test_the_daemon_dies(host):
    """A request whose answer never comes ends with the daemon, not never."""
    host.tree.add_parent("p")
    create = host.tree.add_type("p", "t") / "create"
    create.unlink()
    os.mkfifo(create)
    cli = host.start()
    call = subprocess.Popen(
        [cli.directory / "mdevdctl", "start", "-u", U[1], "-p", "p", "-t", "t"],
        env=cli.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with open(create, "rb") as f:
        host.daemon.process.kill()
        host.daemon.process.wait()
        host.daemon = None
        out, error = call.communicate(timeout=30)
        assert f.read(36) == U[1].encode()
    assert (call.returncode, out) == (1, b"") and error.startswith(b"Error: ")


class TestSignals:
    """The program ends, the operation does not."""

    @pytest.fixture
    def begun(self, host):
        """A start that is under way until its fifo is opened."""
        host.tree.add_parent("p")
        self.create = host.tree.add_type("p", "t") / "create"
        self.create.unlink()
        os.mkfifo(self.create)
        cli = host.start()

        def begin(*words):
            words = [*words, cli.directory / "mdevdctl", "start", "-u", U[1], "-p", "p", "-t", "t"]
            call = subprocess.Popen(words, env=cli.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            deadline = time.monotonic() + 30
            while host.daemon.property("NPending") != "u 1":
                assert time.monotonic() < deadline and call.poll() is None
            return call

        return begin

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_caught(self, begun, number):
        call = begun()
        call.send_signal(number)
        out, error = call.communicate(timeout=30)
        assert (call.returncode, out) == (-number, b"")
        assert error.startswith(b"Error: Interrupted. What was asked of mdevd goes on there")
        assert self.create.read_text() == U[1]

    def test_ignored(self, begun):
        call = begun("sh", "-c", 'trap "" INT; exec "$@"', "sh")
        call.send_signal(signal.SIGINT)
        assert self.create.read_text() == U[1]
        assert call.communicate(timeout=30) == (b"", b"") and call.returncode == 0


class TestWording:
    """What the API's sentences say of the API is said of the program's own verbs and options."""

    SOURCES = pathlib.Path(__file__).resolve().parents[2]

    def test_what_is_translated_is_what_the_daemon_says(self):
        said = re.sub(r'(?<!\\)"\s*"', "", (self.SOURCES / "daemon/bus/error.c").read_text()).replace("{uuid}", "uuid")
        table = re.sub(r'(?<!\\)"\s*"', "", (self.SOURCES / "tools/wording.c").read_text())
        phrases = re.findall(r'^\s+\{ "((?:[^"\\]|\\.)*)",', table, re.MULTILINE)
        assert len(phrases) > 10
        for phrase in phrases:
            # A sentence may begin with it, or not.
            said, n = re.subn(re.escape(phrase).replace(r"\{\}", "[a-z-]+"), "", said, flags=re.IGNORECASE)
            assert n > 0 or phrase.startswith("The option"), phrase
        assert not re.search(r"ListDevices|ListParents|ListTypes|Rescan|Create\b|option \\\"|4294967295", said)

    def test_in_place(self, host):
        host.tree.add_parent("p")
        host.tree.add_type("p", "t")
        host.tree.add_device("p", "t", U[1])
        host.tree.define("p", U[2], PLAIN)
        cli = host.start()
        said = cli.fails("start", "-u", U[1], "-p", "p", "-t", "t")
        assert said.startswith(f"Error: Device already exists: {U[1]} is active on parent p")
        assert '"list" and "list --defined" show all.' in cli.fails("stop", "-u", U[3])
        assert "give --alternate if" in cli.fails("define", "-u", U[2], "-p", "q", "-t", "t")
        assert '"types" shows what it offers' in cli.fails("start", "-p", "p", "-t", "x")


class TestPeer:
    """Byte for byte what mdevctl writes; 1.2.0 writes one more newline, and knows attributes of active devices."""

    @pytest.fixture
    def both(self, host, peer):
        fill(host.tree)
        cli = host.start()
        other = peer(host.tree)

        def compare(*words):
            done = other(*words)
            assert done.returncode == 0
            assert cli.ok(*words) + "\n" == done.stdout.decode()

        return compare

    @pytest.mark.parametrize(
        "words",
        [
            ["types"],
            ["types", "--dumpjson"],
            ["types", "-p", "p"],
            ["types", "-p", "x"],
            ["types", "-p", "x", "--dumpjson"],
            ["list", "-u", U[0]],
            ["list", "-u", U[0], "--dumpjson"],
            ["list", "-p", "0000:3b:00.0"],
            ["list", "-p", "0000:3b:00.0", "--dumpjson"],
            ["list", "-p", ""],
            ["list", "-u", U[9], "--dumpjson"],
            ["list", "-d"],
            ["list", "-dv"],
            ["list", "-d", "--dumpjson"],
            ["list", "-d", "--dumpjson", "-u", U[1]],
            ["list", "-d", "--dumpjson", "-u", U[5]],
            ["list", "-d", "--dumpjson", "-p", "gone"],
        ],
        ids=repr,
    )
    def test_same(self, both, words):
        both(*words)
