# SPDX-License-Identifier: LGPL-2.1-or-later

"""What is JSON and what is not is the same to mdevctl and to us: one file that mdevctl cannot read ends its list of all
definitions, so none may come from here."""

import json

import pytest

from conftest import Cli, Tree, program

UUID = "11111111-2222-4333-8444-555555555555"

# What stands as the value of a key that neither of the two knows.
VALUES = [
    "0", "-0", "0.50", "1E+300", "1e-999", "123456789012345678901234567890", "true", "null", '"\x7f"', '"\\ud83d\\ude00"',
    '"\\\\ud800"', '"\\u0001"', "NaN", "nan", "Infinity", "-Infinity", "-", "+1", ".5", "1.", "1.e5", "1e", "01", "1e999",
    "-1e999", "0x1", "True", "'x'", '"\t"', '"\n"', '"\x1f"', '"\\ud800"', '"\\ud800\\u0041"', '"\\udfff"', '"\\x41"',
    '"\\v"', "[1,]", "{'a':1}", "[1 2]", "/**/1", "1//",
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES)
def test_peer_reads_what_we_read(tmp_path, peer, value):
    program("MDEVDCTL")
    cli = Cli(tmp_path)
    tree = Tree(tmp_path / "tree")
    text = f'{{"mdev_type":"T","start":"auto","attrs":[],"x":{value}}}'
    given = tmp_path / "given"
    given.write_text(text, newline="")

    # An empty line is what mdevctl writes of no definitions, and nothing what it writes of one that it does not like.
    other = peer(tree)
    tree.definition("p", UUID).parent.mkdir()
    tree.definition("p", UUID).write_text(text, newline="")
    is_json = other("list", "-d").stdout.startswith(UUID.encode())
    tree.definition("p", UUID).unlink()

    done = cli("--root", tree.path, "define", "-u", UUID, "-p", "p", "--jsonfile", given)
    assert (done.returncode == 0) == is_json, done.stderr
    if is_json:
        assert other("list", "-d").stdout.startswith(UUID.encode())
        json.loads(tree.definition("p", UUID).read_text())
    else:
        assert not tree.definition("p", UUID).exists()
