# SPDX-License-Identifier: LGPL-2.1-or-later

"""The man page and the program say the same: verbs, options, and the keys of JSON."""

import json
import os
import pathlib
import re
import subprocess

import pytest

PAGE = pathlib.Path(__file__).parents[2] / "tools/mdevdctl.1"
U = [f"00000000-0000-0000-0000-00000000000{i:x}" for i in range(16)]


@pytest.fixture(scope="module")
def page():
    """What a reader sees; groff has nothing to complain of."""
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tascii", "-P-c", "-P-b", "-P-u", "-rLL=2000n", PAGE],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def section(page, name):
    return re.search(rf"^{name}\n(.*?)^\S", page + "\nEND", re.MULTILINE | re.DOTALL)[1]


def test_verbs_and_options(cli, page):
    verbs = re.findall(r"^  ([a-z-]+) ", section(cli.ok("help").replace("\nVerbs:", "\nVERBS"), "VERBS"), re.MULTILINE)
    assert len(verbs) > 10
    for verb in verbs:
        assert re.search(rf"^\s+{verb}\b", section(page, "VERBS"), re.MULTILINE), verb
        assert re.search(rf"mdevdctl .*\b{verb}\b", section(page, "SYNOPSIS")), verb
        for letter, option in re.findall(r"^  (?:(-.), |    )(--[a-z-]+)", cli.ok("help", verb), re.MULTILINE):
            assert re.search(rf"(?<!\S){option}\b(?!-)", section(page, "OPTIONS")), option
            assert not letter or re.search(rf"^\s+{letter}, {option}\b", page, re.MULTILINE), (letter, option)


def keys_of(value):
    if isinstance(value, dict):
        for key, member in value.items():
            yield key
            yield from keys_of(member)
    elif isinstance(value, list):
        for member in value:
            yield from keys_of(member)


def test_keys_of_json(host, page):
    host.tree.add_parent("p")
    host.tree.add_type("p", "t")
    host.tree.add_device("p", "t", U[1])
    host.tree.define("p", U[1], '{"mdev_type":"t","start":"auto","attrs":[{"a":"1"}]}')
    host.tree.define("p", U[2], "{")
    cli = host.start()
    cli.environment["MDEVCTL_ENV_ROOT"] = str(host.tree.path)
    seen = set()
    for words in ["status"], ["tree"], ["show", U[1]], ["list", "-d"], ["types"], ["verify"], ["stop", U[9]]:
        seen |= set(keys_of(json.loads(cli(*words, "--json").stdout)))
    monitor = subprocess.Popen(
        [cli.directory / "mdevdctl", "monitor", "--json"], env=cli.environment, stdout=subprocess.PIPE
    )
    for change in None, ["define", "-u", U[3], "-p", "p", "-t", "t"], ["undefine", "-u", U[3]]:
        if change:
            cli.ok(*change)
        seen |= set(keys_of(json.loads(monitor.stdout.readline())))
    monitor.kill()
    monitor.communicate()
    assert len(seen) > 30
    text = section(page, "JSON")
    missing = [key for key in seen if not re.search(rf"\b{key}\b", text)]
    assert missing == []


def test_it_is_installed():
    """Where shells and man look for what is theirs; by the build that the program comes from."""
    build = pathlib.Path(os.environ["MDEVDCTL"]).resolve().parents[1]
    plan = subprocess.run(["meson", "introspect", "--install-plan", build], capture_output=True, check=True).stdout
    places = {entry["destination"] for kind in json.loads(plan).values() for entry in kind.values()}
    assert {
        "{prefix}/share/bash-completion/completions/mdevdctl",
        "{prefix}/share/zsh/site-functions/_mdevdctl",
        "{mandir}/man1/mdevdctl.1",
    } <= places
