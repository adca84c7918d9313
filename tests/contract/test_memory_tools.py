# SPDX-License-Identifier: LGPL-2.1-or-later

"""Memory that cannot be had, in the command line: each command is run with its first allocation failing, then its second,
and so on until it gets through. It does what it was told and writes just what it else writes, or says that it could not
and why; what is there afterwards is as it was before or as it is after.

The program is linked with tests/unit/without-memory-tools.c. $MDEVD_MEMORY_STEP is as in test_memory.py."""

import os
import pathlib
import subprocess

import pytest
from host import PATIENCE
from test_memory import STEP, Memory

U = [f"00000000-0000-0000-0000-00000000000{i}" for i in range(4)]
SMALL = '{\n  "mdev_type": "t",\n  "start": "manual",\n  "attrs": [\n    {\n      "a": "1"\n    }\n  ]\n}'


class Desk:
    """The program on a host with two definitions, with a daemon or without one."""

    def __init__(self, host):
        self.host = host
        built = pathlib.Path(os.environ["MDEVD"]).absolute().parents[1] / "tests/unit"
        self.program = built / "mdevdctl-without-memory"
        self.memory = Memory(host.directory / "memory")
        types = host.tree.sys / "devices/pci0000:3a/p/mdev_supported_types/t"
        types.mkdir(parents=True)
        (host.tree.sys / "class/mdev_bus/p").symlink_to("../../devices/pci0000:3a/p")
        for file, text in (("device_api", "vfio-pci\n"), ("available_instances", "8\n"), ("create", "")):
            (types / file).write_text(text)
        self.reset()

    def reset(self):
        for path in self.host.tree.definitions.rglob("*"):
            if path.is_file():
                path.unlink()
        for uuid in U[:2]:
            (self.host.tree.definitions / "p").mkdir(exist_ok=True)
            (self.host.tree.definitions / "p" / uuid).write_text(SMALL)
        if self.host.daemon:
            self.client.manager("Rescan")

    def start(self):
        self.client = self.host.start()

    def files(self):
        return {str(f): f.read_text() for f in self.host.tree.definitions.rglob("*") if f.is_file()}

    def run(self, words, n):
        self.memory.write(n)
        done = subprocess.run([self.program, *words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=PATIENCE,
                              env={**self.host.bus.environment, "MDEVDCTL_MEMORY": str(self.host.directory / "memory")})
        return done, self.memory.read() < 0


@pytest.fixture
def desk(host):
    d = Desk(host)
    yield d
    d.memory.file.close()


READING = {
    "list": ["list"],
    "list --defined": ["list", "--defined", "--verbose"],
    "list --json": ["list", "--defined", "--json"],
    "list --dumpjson": ["list", "--defined", "--dumpjson"],
    "types": ["types"],
    "types --dumpjson": ["types", "--dumpjson"],
    "verify": ["verify"],
    "verify --json": ["verify", "--json"],
}
CHANGING = {
    "define": ["define", "--uuid", U[2], "--parent", "p", "--type", "t", "--auto"],
    "modify": ["modify", "--uuid", U[0], "--addattr", "b", "--value", "2"],
    "undefine": ["undefine", "--uuid", U[0]],
}
ONLINE = {
    "show": ["show", U[0]],
    "show --json": ["show", U[0], "--json"],
    "status": ["status"],
    "status --json": ["status", "--json"],
    "tree": ["tree"],
    "tree --json": ["tree", "--json"],
    "wait": ["wait", U[0], "--state", "defined", "--timeout", "5"],
    "monitor": ["monitor", "--json", "--timeout", "0"],
    "stop many": ["stop", U[0], U[1]],
}
WRONG = {
    "no UUID": ["list", "--uuid", "x"],
    "conflict": ["define", "--uuid", U[2], "--auto", "--manual", "--parent", "p", "--type", "t"],
    "missing": ["undefine"],
    "no verb": ["no-verb"],
    "twice": ["list", "--parent", "p", "--parent", "q"],
}


@pytest.mark.parametrize("name", [*READING, *CHANGING, *WRONG])
def test_without_a_daemon(desk, name):
    words = {**READING, **CHANGING, **WRONG}[name]
    play(desk, [words[0], f"--root={desk.host.tree.path}", *words[1:]])


@pytest.mark.parametrize("name", [*READING, *CHANGING, *ONLINE])
def test_with_a_daemon(desk, name):
    desk.start()
    play(desk, {**READING, **CHANGING, **ONLINE}[name])


def says_why(text):
    # A list of what is not valid is beside the answer.
    return "emory" in text or "there may be files" in text


def play(desk, words):
    before = desk.files()
    plain, _ = desk.run(words, -1)
    after = desk.files()
    failures, n = 0, 0
    while True:
        desk.reset()
        done, failed = desk.run(words, n)
        where = f"allocation {n}: {done.returncode}, {done.stdout!r}, {done.stderr!r}"
        if not failed:
            break
        failures += 1
        files = desk.files()
        assert files in (before, after), where
        # Not killed, and no leak (which a sanitizer ends with another status).
        assert done.returncode in (plain.returncode, 1, 2), where
        if done.returncode == plain.returncode and done.stdout == plain.stdout:
            assert files == after, where
            # What is only told to people may be shorter.
            assert done.stderr == plain.stderr or says_why(done.stderr) or plain.returncode, where
        else:
            assert done.returncode != 0, where
            assert says_why(done.stderr), where
        n += STEP
    assert (done.returncode, done.stdout, done.stderr) == (plain.returncode, plain.stdout, plain.stderr)
    assert failures
