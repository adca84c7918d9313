# SPDX-License-Identifier: LGPL-2.1-or-later

"""Completion, run by the shells that it is for; on a tree of plain files, without a daemon and without a bus."""

import os
import pathlib
import pty
import select
import shlex
import shutil
import subprocess

import pytest

from conftest import Tree

SOURCE = pathlib.Path(__file__).parents[2] / "tools/completion"
U = [f"00000000-0000-0000-0000-00000000000{i:x}" for i in range(16)]
CARD = "0000:3b:00.0"

BASH = """
source {source}/mdevdctl.bash
COMP_LINE={line} COMP_POINT=${{#COMP_LINE}}
_mdevdctl mdevdctl
printf '%s\\n' "${{COMPREPLY[@]}}"
"""

# Its own compadd can only be called by its line editor.
ZSH = """
compadd() {{ shift; print -rl -- "$@" }}
compset() {{ }}
_files() {{ print files }}
_hosts() {{ print hosts }}
words=({words})
CURRENT=$#words
source {source}/_mdevdctl
"""


@pytest.fixture
def tree(tmp_path):
    tree = Tree(tmp_path / "root")
    tree.add_parent(CARD)
    tree.add_type(CARD, "nvidia-35")
    tree.add_type(CARD, "nvidia-36")
    tree.add_parent("other")
    tree.add_type("other", "some-type")
    tree.add_device(CARD, "nvidia-35", U[1])
    tree.define(CARD, U[1], "{}")
    tree.define("absent", U[2], "{}")
    tree.add_device(CARD, "nvidia-35", U[3])
    (tree.definitions / "scripts.d").mkdir()
    return tree


@pytest.fixture(params=["bash", "zsh"])
def complete(request, cli, tree):
    """What is offered behind the last of some words, as a sorted list; it may be trimmed to what bash leaves to insert."""
    shell = request.param
    assert shutil.which(shell), f"{shell} is missing"

    def run(*words, root=True):
        line = " ".join(["mdevdctl", *words])
        quoted = " ".join(shlex.quote(word) for word in ["mdevdctl", *words])
        script = (BASH if shell == "bash" else ZSH).format(source=SOURCE, line=shlex.quote(line), words=quoted)
        environment = {**cli.environment, "PATH": f"{cli.directory}:{os.environ['PATH']}"}
        if root:
            environment["MDEVCTL_ENV_ROOT"] = str(tree.path)
        done = subprocess.run(
            [shell, *(["--norc"] if shell == "bash" else ["-f"]), "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stderr == ""
        return sorted(filter(None, done.stdout.splitlines()))

    run.shell = shell
    return run


def matching(offered, cur):
    """zsh itself chooses among what is added."""
    return [word for word in offered if word.startswith(cur)]


def test_verbs(complete, cli):
    verbs = complete("")
    assert {"define", "start", "stop", "list", "status", "verify", "help"} <= set(verbs)
    assert all(cli("help", verb).returncode == 0 for verb in verbs)
    assert matching(complete("st"), "st") == ["start", "status", "stop"]
    assert complete("help", "") == verbs
    assert complete("--root", "/x", "") == verbs


def test_options(complete):
    assert {"--parent", "-p", "--uuid", "--json", "--host", "-H", "--help"} <= set(complete("list", "-"))
    assert "--parent" not in complete("-") and "--version" in complete("-")
    assert "--timeout" in complete("wait", U[1], "--")
    assert matching(complete("list", "--dump"), "--dump") == ["--dumpjson"]


def test_uuids(complete):
    assert complete("show", "") == complete("wait", "") == complete("list", "-u", "") == [U[1], U[2], U[3]]
    assert complete("stop", "") == complete("stop", "-u", "") == [U[1], U[3]]
    assert complete("start", "") == complete("undefine", "--uuid", "") == [U[1], U[2]]
    assert complete("stop", U[1], "") == [U[1], U[3]]
    assert matching(complete("list", f"--uuid={U[2][:-1]}"), U[2][:-1])[1:2] == [U[2]]


def test_parents_and_types(complete):
    assert complete("list", "-p", "") == [CARD, "absent", "other"]
    assert complete("define", "-t", "") == ["nvidia-35", "nvidia-36", "some-type"]
    assert complete("define", "-p", CARD, "-t", "") == ["nvidia-35", "nvidia-36"]
    assert complete("define", "--parent=other", "--type", "") == ["some-type"]
    assert complete("start-parent-mdevs", "") == [CARD, "absent", "other"]


def test_a_parent_has_colons(complete):
    offered = complete("list", "-p", "0000:3b:")
    assert offered == ["00.0"] if complete.shell == "bash" else CARD in offered


def test_other_values(complete):
    assert matching(complete("wait", U[1], "--state", "a"), "a") == ["absent", "active"]
    assert complete("wait", U[1], "--timeout", "") == []


def test_elsewhere_nothing_is_known(complete):
    assert complete("-H", "far", "stop", "") == complete("stop", "-M", "box", "-u", "") == []
    assert complete("list", "--host=far", "-p", "") == []


def test_root(complete, tree):
    assert complete(f"--root={tree.path}/", "undefine", "-u", "", root=False) == [U[1], U[2]]
    assert complete("undefine", "--root", str(tree.path), "-u", "", root=False) == [U[1], U[2]]
    assert complete(f"--root={tree.path}/nowhere", "list", "-u", "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_at_the_keyboard(shell, cli, tree, tmp_path):
    """The real thing, once: the shell finds the function, and the key inserts."""
    start = {
        "bash": f"source {SOURCE}/mdevdctl.bash",
        "zsh": f"fpath=({SOURCE} $fpath); autoload -Uz compinit; compinit -u -D",
    }[shell]
    environment = {
        **cli.environment,
        "PATH": f"{cli.directory}:{os.environ['PATH']}",
        "MDEVCTL_ENV_ROOT": str(tree.path),
        "TERM": "dumb",
        "HOME": str(tmp_path),
        "PS1": "$ ",
    }
    pid, master = pty.fork()
    if pid == 0:
        words = ["bash", "--norc", "--noprofile", "-i"] if shell == "bash" else ["zsh", "-f", "-i"]
        os.execvpe(words[0], words, environment)

    def read_until(wanted):
        text = b""
        while wanted not in text:
            ready, _, _ = select.select([master], [], [], 30)
            assert ready, f"{wanted!r} did not come: {text!r}"
            text += os.read(master, 4096)

    try:
        os.write(master, f"{start}; echo rea''dy\n".encode())
        read_until(b"ready")
        os.write(master, b"echo mdevdctl\nmdevdctl stat\t")
        read_until(b"status ")
        os.write(master, b"\x15mdevdctl list -p 0000:3\t")
        read_until(b"b:00.0 ")
    finally:
        os.close(master)
        os.waitpid(pid, 0)
