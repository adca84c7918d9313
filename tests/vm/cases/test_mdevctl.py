# SPDX-License-Identifier: LGPL-2.1-or-later
"""mdevctl as the judge: Debian's 1.2.0 and ours under its name, given the same command lines on the same kernel, from the
same state. After each one standard output, exit status, definitions byte for byte, devices, and what reached the
parents' driver have to be the same; what is meant to differ is in DIFFERENCES, with the reason.

In a script a line is a command line without the program's name, and may end in "<TEXT", a text from INPUTS for its
standard input. A line that begins with "!" is done by neither program: "! file PARENT/NAME TEXT" writes a definition past
them, "! create PARENT TYPE UUID" and "! remove UUID" go to sysfs, "! limit PARENT N" is the parent's capacity.
"""

import re
import shlex
import subprocess

import pytest

import bus
import mdevsim
import sysfs
from definitions import DIRECTORY, remove_definitions, text_of
from guest import held, wait_until
from mdevsim import LARGE, NOGROUP, SMALL

JUDGE = "/usr/bin/mdevctl"
OURS = "/usr/bin/mdevdctl"

# Longer than any of these command lines should take on a busy machine.
PATIENCE = 60

UUID_LINE = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\n"

NAMES = {letter: f"{letter.lower() * 8}-0000-4000-8000-000000000000" for letter in "ABCDEF"}
NAMES.update(G="01234567-89ab-cdef-0123-456789abcdef", S=SMALL, L=LARGE, N=NOGROUP)

INPUTS = {
    "plain": '{"mdev_type":"%s","start":"manual"}' % SMALL,
    "auto": '{"mdev_type":"%s","start":"auto","attrs":[]}' % SMALL,
    "large": '{ "start" : "manual",\n\t"attrs" : [ ], "mdev_type" : "%s" }\n\n' % LARGE,
    "attributes": '{"mdev_type":"%s","start":"manual","attrs":[{"assign":"5"},{"assign":"6"},{"enable":"1"},'
                  '{"level":"7"}]}' % SMALL,
    "strings": '{"mdev_type":"%s","start":"auto","attrs":[{"quiet":"\\u00fc \\"x\\" \\\\ / \\t\\u0001\\u007f"},'
               '{"log":""}]}' % SMALL,
    "wrong order": '{"mdev_type":"%s","start":"manual","attrs":[{"log":"a"},{"level":"7"},{"enable":"1"}]}' % SMALL,
    "no such attribute": '{"mdev_type":"%s","start":"manual","attrs":[{"log":"a"},{"nonexistent":"7"}]}' % SMALL,
    "start 5": '{"mdev_type":"%s","start":5}' % SMALL,
    "start AUTO": '{"mdev_type":"%s","start":"AUTO","attrs":null}' % SMALL,
    "twice": '{"mdev_type":"x","start":"auto","mdev_type":"%s","start":"manual"}' % SMALL,
    "no such type": '{"mdev_type":"nonexistent","start":"manual"}',
    "auto, no such type": '{"mdev_type":"nonexistent","start":"auto"}',
    "other keys": '{"mdev_type":"%s","start":"manual","description":"ours","x":{"y":[1]}}' % SMALL,
    "half": '{"mdev_type":"%s",' % SMALL,
    "bom": '\ufeff{"mdev_type":"%s","start":"manual"}' % SMALL,
    "array": "[]",
    "no type": '{"start":"manual"}',
    "null start": '{"mdev_type":"%s","start":null}' % SMALL,
    "attrs object": '{"mdev_type":"%s","start":"manual","attrs":{}}' % SMALL,
    "attribute empty": '{"mdev_type":"%s","start":"manual","attrs":[{}]}' % SMALL,
    "attribute two": '{"mdev_type":"%s","start":"manual","attrs":[{"a":"1","b":"2"}]}' % SMALL,
    "attribute number": '{"mdev_type":"%s","start":"manual","attrs":[{"a":1}]}' % SMALL,
    "type number": '{"mdev_type":5,"start":"manual"}',
    "type empty": '{"mdev_type":"","start":"manual"}',
}

SCRIPTS = {
    "define": """
        define -u {A} -p {P} -t {S}
        define -u {A} -p {P} -t {S}
        define --uuid={B} --parent={P} --type={L} --auto
        define -u={D} -p={P} -t={S} -a
        define --uuid AAAAAAAA000040008000000000000000 -p {P} -t {S}
        define -t {N} -u {{E}} -p {Q} --auto
        define -u urn:uuid:{F} -p gone -t nonsense
        define -u 0123456789ABCDEF0123456789ABCDEF -p {P} -t {S}
        define -p first -t {S}
        define -ap second -t {L}
        list -d
        define -u {A} -p {Q} -t {L}
        list -dv
        list -d --dumpjson
        list -d -u {A} --dumpjson
        list -d -u {A} -p {Q} --dumpjson
        list --defined --parent=nowhere
        list -dp {P} -u {F} --dumpjson
        list --dumpjson
        undefine -u {A} -p {Q}
        undefine --uuid={A}
        undefine --uuid {A}
        list -d
    """,
    "define, not enough": """
        define -u {A}
        define -u {A} -p {P}
        define -u {A} -t {S}
        define -p {P} -a
    """,
    "define, a file": """
        define --parent={P} --jsonfile=/dev/stdin --uuid={A} <plain
        define --parent={P} --jsonfile=/dev/stdin --uuid={A} <auto
        define -p {P} --jsonfile /dev/stdin -u {B} <attributes
        define -p {P} --jsonfile /dev/stdin -u {C} <strings
        define -p {P} --jsonfile /dev/stdin -u {D} <start 5
        define -p {P} --jsonfile /dev/stdin -u {E} <start AUTO
        define -p {Q} --jsonfile /dev/stdin -u {G} <twice
        define -p first --jsonfile /dev/stdin <large
        list -dv
        list -d --dumpjson
        list -d --dumpjson -u {C}
        define --jsonfile /dev/stdin -u {A} <plain
        define -p {P} --jsonfile /nonexistent
    """,
    "a file that is none": """
        define -u {A} -p {P} --jsonfile /dev/stdin <half
        define -u {A} -p {P} --jsonfile /dev/stdin <bom
        define -u {A} -p {P} --jsonfile /dev/stdin <array
        define -u {A} -p {P} --jsonfile /dev/stdin <no type
        define -u {A} -p {P} --jsonfile /dev/stdin <null start
        define -u {A} -p {P} --jsonfile /dev/stdin <attrs object
        define -u {A} -p {P} --jsonfile /dev/stdin <attribute empty
        define -u {A} -p {P} --jsonfile /dev/stdin <attribute two
        define -u {A} -p {P} --jsonfile /dev/stdin <attribute number
        define -u {A} -p {P} --jsonfile /dev/stdin <type number
        start -u {A} -p {P} --jsonfile /dev/stdin <half
        start -u {A} -p {P} --jsonfile /nonexistent
        start -u {A} --jsonfile /dev/stdin <plain
    """,
    "a file without a type": "define -u {A} -p {P} --jsonfile /dev/stdin <type empty",
    "a file with other keys": "define -u {A} -p {P} --jsonfile /dev/stdin <other keys",
    "modify": """
        ! file {P}/{A} auto
        modify -u {A}
        modify -u {A} --manual
        modify -au {A}
        modify -u {A} -t nonsense -a
        modify -u {A} --addattr log --value one
        modify -u {A} --addattr log --value two --index 1
        modify -u {A} --addattr log --value= -i4
        modify -u {A} --addattr log --value= -i3
        modify -u {A} --addattr log --value=-5 -i 0
        modify -u {A} --addattr log --value x -i 4294967295
        modify -u {A} --delattr -i 3
        modify -u {A} --delattr --index=0
        modify -u {A} --delattr -i +1
        modify -u {A} -m -t {S} --addattr enable --value 1 -i 0
        modify -u {A} -a -t {L} --delattr -i 0
        modify -u {A} --value ignored --index 1
        modify -u {A} --delattr
        modify -u {A} --delattr
        modify -u {A} --delattr -m
        list -d --dumpjson
    """,
    "modify, which": """
        ! file {P}/{A} start 5
        ! file {Q}/{A} large
        ! file {Q}/{B} twice
        modify -u {C} -a
        modify -u {B} -p {P} -a
        modify -u {A} -a
        modify -u {A} -p {Q} -a
        modify -u {A} -p {P}
        modify -u {B} -t {L}
    """,
    "modify, an active device": """
        ! file {P}/{A} plain
        start -u {A}
        modify -u {A} -a --addattr enable --value 1
        list -u {A}
        modify -u {A} -t {L}
        list
        list -d
        stop -u {A}
    """,
    "start and stop": """
        ! file {P}/{A} plain
        ! file {P}/{B} attributes
        start -u {A}
        list -d
        start -u {A}
        start -u {A} -p {P} -t {L}
        start -u {A} -p {Q} -t {S}
        start --uuid={B}
        list -d
        list -u {A} --dumpjson
        list -u {C} --dumpjson
        list -p {P}
        list -p {Q} --dumpjson
        stop -u {A}
        stop -u {A}
        stop -u {C}
        start -u {A} -t {S}
        stop --uuid {A}
        list -d
    """,
    "transient devices": """
        start -u {A} -p {P} -t {S}
        start --parent={Q} --type={S}
        start -u {A} -p {P} -t {S}
        start -u {A} -p {Q} -t {S}
        start -u {A} -p {P} -t {L}
        list
        stop -u {A}
        start --parent={P} --jsonfile=/dev/stdin --uuid={{B}} <attributes
        start -p {Q} --jsonfile /dev/stdin -u {B} <plain
        start -p {Q} --jsonfile /dev/stdin -u {C} <no such type
        list -vp {P}
        stop -u {B}
        start -p {P} --jsonfile /dev/stdin <attributes
    """,
    "start, a file and a definition": """
        ! file {P}/{A} attributes
        start -u {A} -p {Q} --jsonfile /dev/stdin <plain
        list
        stop -u {A}
        start -u {A} -p {P} --jsonfile /dev/stdin <large
        list -p {P}
        list -d
    """,
    "start, which": """
        ! file {P}/{A} plain
        ! file {Q}/{A} large
        ! file gone/{B} plain
        ! file {P}/{C} no such type
        start -u {A}
        start -u {A} -t {S}
        start -u {A} -p {Q}
        list -d
        stop -u {A}
        start -u {A} -p {P} -t {S}
        start -u {B}
        start -u {B} -p {P}
        start -u {C}
        start -u {D}
        start -u {D} -p {P}
        start -u {D} -t {S}
        start -u {D} -p {P} -t nonexistent
        list -d
    """,
    "start, full": """
        ! limit {Q} 2
        start -u {A} -p {Q} -t {L}
        start -u {B} -p {Q} -t {S}
        stop -u {A}
        start -u {B} -p {Q} -t {S}
        types -p {Q} --dumpjson
        start -u {A} -p {Q} -t {L}
    """,
    "attributes": """
        ! file {P}/{A} attributes
        ! file {P}/{B} wrong order
        ! file {P}/{C} no such attribute
        start -u {A}
        start -u {B}
        start -u {C}
        start -u {B} -p {Q} -t {S}
        list -p {Q} -v
        list -p {P} -v
        list -u {A} --dumpjson
    """,
    "promotion": """
        ! create {P} {S} {A}
        ! create {P} {L} {B}
        list
        list -d
        define -u {A}
        list
        list -d
        define -u {A}
        define -u {B} -t {L}
        define -u {B} -a
        list -d --dumpjson
        stop -u {A}
        start -u {A}
        undefine -u {B}
        undefine -u {A}
        list --dumpjson
        define -u {A} -p {Q}
        define -u {A} -p gone -t {L}
        list -d
        define -u {A} -p {P}
        list -d
    """,
    "past the program": """
        ! file {P}/{A} plain
        ! create {P} {S} {A}
        ! create {Q} {L} {B}
        stop -u {B}
        ! remove {A}
        list
        start -u {A}
        ! remove {A}
        stop -u {A}
    """,
    "types": """
        types
        types --dumpjson
        types --parent={Q} --dumpjson
        types -p nowhere
        ! create {P} {L} {A}
        types -p {P}
    """,
    "start-parent-mdevs": """
        ! file {P}/{A} auto
        ! file {P}/{B} plain
        ! file {P}/{C} auto, no such type
        ! file {Q}/{D} auto
        ! file gone/{E} auto
        list
        start-parent-mdevs {P}
        start-parent-mdevs gone
        start-parent-mdevs ''
        start-parent-mdevs -- {Q}
        list
    """,
    "lenient reading": """
        ! file {P}/{A} start 5
        ! file {P}/{B} start AUTO
        ! file {P}/{C} twice
        ! file {P}/{D} other keys
        ! file {P}/{E} large
        ! file {P}/{F} type empty
        ! file {P}/{G} strings
        ! file {P}/not-a-uuid plain
        ! file {P}/{A}~ plain
        list -dv
        list -d --dumpjson
        start -u {C}
    """,
    "a bad file, and others meant": """
        ! file {P}/{A} half
        ! file {P}/{B} plain
        ! file {Q}/{C} plain
        list -d -u {B}
        list -d -p {Q} --dumpjson
        start -u {B}
        list
        modify -u {C} -a
        undefine -u {B}
    """,
    "a bad file": """
        ! file {P}/{A} half
        ! file {P}/{B} auto
        list -d
        list -d -p {P}
        list -d -u {A}
        start-parent-mdevs {P}
    """,
    "an odd name of a file": """
        ! file {P}/ABCDEFABCDEF4000800000000000ABCD plain
        list -d
        list -d --dumpjson
    """,
    "a parent below another": "define -u {A} -p a/b -t {S}",
    "an empty parent": "define -u {A} -p '' -t {S}",
    "a type below another": "define -u {A} -p {P} -t a/b",
    "an attribute of something else": "! file {P}/{A} plain\n modify -u {A} --addattr ../x --value 1",
    "an attribute of the kernel's": "! file {P}/{A} plain\n modify -u {A} --addattr remove --value 1",
    "usage": """
        define -t {S}
        define -u {A} -p -5
        undefine -p {P}
        modify -u {A} --addattr x
        modify -u {A} --delattr -i -1
        undefine {A}
        types -v
        lis
    """,
    "help": """
        help start-parent-mdevs
        modify --uuid nonsense --help
    """,
    "since 1.3": """
        ! file {P}/{A} plain
        modify --defined --live --jsonfile b --help
        modify -u {A} -d -a
        modify --parent={P} --jsonfile=/dev/stdin --uuid={A} --defined <attributes
        modify -p {Q} --jsonfile /dev/stdin -u {A} <large
        modify -u {A} -p {P} --live --auto
        define -f -u {B} -p {P} -t {S}
        undefine -fu {B}
        start -f -u {A} -p {P}
        stop --force -u {A}
    """,
}

# What 1.2.0 does not know yet, and what does the same with it.
SINCE_1_3 = {
    "modify --defined --live --jsonfile b --help": ["modify --help"],
    "modify -u {A} -d -a": ["modify -u {A} -a"],
    "modify --parent={P} --jsonfile=/dev/stdin --uuid={A} --defined <attributes": [
        "undefine -p {P} -u {A}",
        "define -p {P} -u {A} --jsonfile /dev/stdin <attributes",
    ],
    "modify -p {Q} --jsonfile /dev/stdin -u {A} <large": ["define -p {Q} --jsonfile /dev/stdin -u {A} <large"],
    # Refused only when it is done, and not as bad usage: here like an attribute that there is not.
    "modify -u {A} -p {P} --live --auto": ["modify -u {A} -p {P} --delattr -i 9"],
    "define -f -u {B} -p {P} -t {S}": ["define -u {B} -p {P} -t {S}"],
    "undefine -fu {B}": ["undefine -u {B}"],
    "start -f -u {A} -p {P}": ["start -u {A} -p {P}"],
    "stop --force -u {A}": ["stop -u {A}"],
}

ABOUT_ITSELF = re.compile(r"(^| )(-h|--help|-V|--version|help)( |$)")

# What differs in many places: the reason, and what makes the other's outcome of one. What both say in their own words is
# left out of both.
EVERYWHERE = [
    ("later versions print no empty line behind a list",
     lambda line, judge, ours: ({**judge, "stdout": without_newline(judge["stdout"])}, ours)
     if line.split()[0] in ("list", "types") and judge["status"] == 0 else (judge, ours)),
    ("help and version are about the program itself",
     lambda line, judge, ours: ({**judge, "stdout": bool(judge["stdout"])}, {**ours, "stdout": bool(ours["stdout"])})
     if ABOUT_ITSELF.search(line) else (judge, ours)),
    ("errors have each program's own words; later versions have changed theirs, too",
     lambda line, judge, ours: ({**judge, "stderr": ""}, {**ours, "stderr": ""})),
    ("whether there is room for a device is for the driver to say when it is created, and not before, when the answer may "
     "be another; so what reaches the driver may be refused there",
     lambda line, judge, ours: (judge, {**ours, "driver": re.sub(r"\S+ create \S+ \S+ -28\n", "", ours["driver"])})
     if "driver" in ours else (judge, ours)),
]


def without_newline(text):
    assert text.endswith("\n")
    return text[:-1]


PANIC = "mdevctl panics with status 101"
ONE_BAD_FILE = "one bad file is no reason to do nothing about the others"
DEFINITION_IS_NOT_LIVE = "since 1.3 mdevctl lists an active device as it is, and not as it is defined"
NAMES_ARE_NO_PATHS = "names that lead elsewhere are refused; mdevctl writes there"

# The rest, by script and line: the reason, and what it comes to here instead.
DIFFERENCES = {
    "a file that is none": {
        "define -u {A} -p {P} --jsonfile /dev/stdin <attribute number": (PANIC, {"status": 1}),
        "define -u {A} -p {P} --jsonfile /dev/stdin <type number": (PANIC, {"status": 1}),
    },
    "a file without a type": {
        "define -u {A} -p {P} --jsonfile /dev/stdin <type empty": (
            "nothing can be started from it", {"status": 1, "files": {}},
        ),
    },
    "a file with other keys": {
        "define -u {A} -p {P} --jsonfile /dev/stdin <other keys": (
            "keys of others are kept",
            {"files": {"{P}/{A}": text_of(SMALL).removesuffix("\n}")
                       + ',\n  "description": "ours",\n  "x": {"y":[1]}\n}'}},
        ),
    },
    "modify": {
        "modify -u {A} --delattr -i 3": (PANIC, {"status": 1}),
    },
    "modify, an active device": {
        "list": (DEFINITION_IS_NOT_LIVE, {"stdout": "{A} {P} {S} auto (defined)\n"}),
    },
    "start, a file and a definition": {
        "list -p {P}": (DEFINITION_IS_NOT_LIVE, {"stdout": "{A} {P} {L} manual (defined)\n"}),
    },
    "attributes": {
        "list -p {P} -v": (DEFINITION_IS_NOT_LIVE, {"stdout": "{A} {P} {S} manual (defined)\n"}),
        "list -u {A} --dumpjson": (DEFINITION_IS_NOT_LIVE, {"stdout": text_of(SMALL)}),
    },
    "a bad file": {
        "list -d": (ONE_BAD_FILE, {"status": 0, "stdout": "{B} {P} {S} auto\n"}),
        "list -d -p {P}": (ONE_BAD_FILE, {"status": 0, "stdout": "{B} {P} {S} auto\n"}),
        "list -d -u {A}": (ONE_BAD_FILE, {"status": 0}),
        "start-parent-mdevs {P}": (
            ONE_BAD_FILE,
            {"status": 0, "devices": "{B} {P} {S}\n", "driver": "{P} create {B} small 0\n"},
        ),
    },
    "an odd name of a file": {
        "list -d": ("mdevctl lists it as JSON only", {"stdout": "abcdefab-cdef-4000-8000-00000000abcd {P} {S} manual\n"}),
    },
    "a parent below another": {
        "define -u {A} -p a/b -t {S}": (NAMES_ARE_NO_PATHS, {"status": 1, "files": {}}),
    },
    "an empty parent": {
        "define -u {A} -p '' -t {S}": (NAMES_ARE_NO_PATHS, {"status": 1, "files": {}}),
    },
    "a type below another": {
        "define -u {A} -p {P} -t a/b": (NAMES_ARE_NO_PATHS, {"status": 1, "files": {}}),
    },
    "an attribute of something else": {
        "modify -u {A} --addattr ../x --value 1": (
            NAMES_ARE_NO_PATHS, {"status": 1, "files": {"{P}/{A}": INPUTS["plain"]}},
        ),
    },
    "an attribute of the kernel's": {
        "modify -u {A} --addattr remove --value 1": (
            "to write there is to remove the device", {"status": 1, "files": {"{P}/{A}": INPUTS["plain"]}},
        ),
    },
}


class Side:
    """One of the two programs."""

    def __init__(self, program, parents, client=None):
        self.program = program
        # Of mdevd, if the program is one.
        self.client = client
        self.parents = parents
        self.names = {**NAMES, "P": parents[0].name, "Q": parents[1].name}
        # UUIDs that it made up.
        self.new = []

    def play(self, script, instead=None):
        """What each line of a script came to. INSTEAD says of some lines what is done in their place."""
        outcomes = []
        self.reset()
        is_known = False
        for line in map(str.strip, script.strip().splitlines()):
            if line.startswith("! "):
                self.do(*self.expand(line[2:]).split(maxsplit=2))
                is_known = False
                continue
            if not is_known and self.client:
                # What was done past mdevd it need not have heard of.
                self.client.rescan()
            is_known = True
            for other in (instead or {}).get(line, [line]):
                outcome = self.run(other)
            outcomes.append((line, outcome))
        return outcomes

    def expand(self, text):
        for name, value in self.names.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def reset(self):
        for device in sysfs.devices():
            sysfs.remove(device)
        for parent in self.parents:
            parent.reset()
            if parent.limit != mdevsim.LIMIT:
                parent.limit = mdevsim.LIMIT
        remove_definitions()

    def do(self, verb, first, rest=""):
        if verb == "file":
            (DIRECTORY / first).parent.mkdir(exist_ok=True)
            (DIRECTORY / first).write_text(INPUTS[rest])
        elif verb == "create":
            sysfs.create(mdevsim.Parent(first), *rest.split())
        elif verb == "remove":
            sysfs.remove(first)
        else:
            assert verb == "limit"
            mdevsim.Parent(first).limit = int(rest)

    def run(self, line):
        line, _, text = line.partition(" <")
        words = shlex.split(self.expand(line))
        done = subprocess.run([self.program, *words], input=INPUTS[text] if text else "", capture_output=True, text=True,
                              timeout=PATIENCE)
        if words[0] in ("define", "start") and re.fullmatch(UUID_LINE, done.stdout):
            self.new.append(done.stdout.rstrip("\n"))
        outcome = {"status": done.returncode, "stdout": self.normal(done.stdout), "stderr": done.stderr}
        # If something that only reads has changed anything, the next one will show it.
        return outcome if words[0] in ("list", "types", "help") else {**outcome, **self.state()}

    def state(self):
        """The definitions, the devices, and what the driver was asked for."""
        texts = {path.relative_to(DIRECTORY): path.read_text() for path in DIRECTORY.rglob("*") if path.is_file()}
        devices = [f"{d} {sysfs.parent_of(d)} {sysfs.type_of(d)}\n" for d in sysfs.devices()]
        history = [f"{parent.name} {entry}\n" for parent in self.parents for entry in parent.history()]
        return {
            "files": {self.normal(str(path)): text for path, text in texts.items()},
            "devices": "".join(sorted(map(self.normal, devices))),
            "driver": self.normal("".join(history)),
        }

    def normal(self, text):
        """With names for what was made up."""
        for number, new in enumerate(self.new):
            text = text.replace(new, f"NEW{number}")
        return text


def expanded(side, value):
    """With the names in what a difference comes to."""
    if isinstance(value, dict):
        return {side.expand(key): side.expand(text) for key, text in value.items()}
    return side.expand(value) if isinstance(value, str) else value


def comparable(line, judge, ours):
    for _, change in EVERYWHERE:
        judge, ours = change(line, judge, ours)
    return judge, ours


def check_errors(line, outcome):
    """What is wrong is said in one line, which comes first, and nothing but results is on standard output."""
    first = outcome["stderr"].partition("\n")[0]
    assert "\33" not in outcome["stderr"], line
    if outcome["status"] == 1:
        assert re.fullmatch(r"Error: .{20,}", first) and outcome["stdout"] == "", (line, outcome)
    elif outcome["status"] == 2:
        assert first.startswith("error: ") and "\nUsage: mdevctl " in outcome["stderr"], (line, outcome)
        assert outcome["stdout"] == "", line
    else:
        assert outcome["status"] == 0 and re.fullmatch(r"(Warning: .+)?", first), (line, outcome)


@pytest.fixture(scope="module")
def under_its_name(tmp_path_factory):
    path = tmp_path_factory.mktemp("bin") / "mdevctl"
    path.symlink_to(OURS)
    return path


@pytest.fixture(scope="module")
def client():
    with bus.Mdevd() as client:
        yield client


def test_the_judge_is_mdevctl():
    assert subprocess.run([JUDGE, "--version"], capture_output=True, text=True).stdout == "mdevctl 1.2.0\n"


def test_a_device_in_use(client, parent, under_its_name):
    """mdevctl waits until it is not, for ever if need be, which nothing takes back; here that has to be asked for."""

    def command(*words):
        return [under_its_name, "stop", "-u", NAMES["A"], *words]

    sysfs.create(parent, SMALL, NAMES["A"])
    client.rescan()
    with held(NAMES["A"]):
        done = subprocess.run(command(), capture_output=True, text=True, timeout=PATIENCE)
        assert (done.returncode, done.stdout) == (1, "")
        assert "is in use by" in done.stderr and "with --wait-for-release the removal waits" in done.stderr
        assert sysfs.devices() == {NAMES["A"]}

        waiting = subprocess.Popen(command("--wait-for-release"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        wait_until(lambda: sysfs.devices() == set(), timeout=PATIENCE)
        assert waiting.poll() is None
    assert waiting.communicate(timeout=PATIENCE) == (b"", None) and waiting.returncode == 0
    assert sysfs.devices() == set()


def test_each_difference_has_its_line():
    for name, lines in DIFFERENCES.items():
        assert lines.keys() <= {line.strip() for line in SCRIPTS[name].splitlines()}


@pytest.mark.parametrize("name", SCRIPTS)
def test_same(client, parents, under_its_name, name):
    side = Side(JUDGE, parents[:2])
    judged = side.play(SCRIPTS[name], SINCE_1_3)
    done = Side(under_its_name, parents[:2], client).play(SCRIPTS[name])

    for (line, judge), (_, ours) in zip(judged, done, strict=True):
        check_errors(line, ours)
        left, right = comparable(line, judge, ours)
        _, wanted = DIFFERENCES.get(name, {}).get(line, (None, {}))
        assert {key: right[key] for key in right if right[key] != left[key]} == {
            key: expanded(side, value) for key, value in wanted.items()
        }, (line, left)
