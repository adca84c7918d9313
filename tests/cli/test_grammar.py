# SPDX-License-Identifier: LGPL-2.1-or-later

"""The command line, without a daemon: a command line that is understood ends at the bus that is not there."""

import os
import re
import subprocess

import pytest

U = "00000000-0000-0000-0000-00000000000a"

# Understood, and beyond the grammar nothing is wrong.
ACCEPTED = [
    ["define", "--uuid", U, "--parent", "p", "--type", "t"],
    ["define", f"--uuid={U}", "--parent=p", "--type=t", "--auto"],
    ["define", "-u", U, "-p", "p", "-t", "t", "-a"],
    ["define", f"-u{U}", "-pp", "-tt"],
    ["define", f"-u={U}", "-p=p", "-t=t"],
    ["define", "-app", "-tt"],
    ["define", "-ap=p", "-t", "t"],
    ["define", "-u", U],
    ["define", "-p", "p"],
    ["define", "-t", "t", "-a", "-u", U],
    ["define", "--type=-t", "-p", "-"],
    ["undefine", "-u", U],
    ["undefine", "-p", "p", "-u", U],
    ["modify", "-u", U],
    ["modify", "-u", U, "-p", "p", "-t", "t", "-a", "--addattr", "x", "--value", "y"],
    ["modify", "--uuid", U, "--type=t"],
    ["modify", "-mu", U],
    ["modify", "-u", U, "--auto"],
    ["modify", "-u", U, "--addattr=a", "--value=", "-i0"],
    ["modify", "-u", U, "--addattr", "", "--value=-5", "--index", "4294967294"],
    ["modify", "-u", U, "--delattr", "-i=007"],
    ["modify", "-u", U, "--delattr", "--index", "+1"],
    ["modify", "-u", U, "--delattr", "--value", "ignored"],
    ["modify", "-u", U, "--value", "ignored", "-i", "1"],
    ["modify", "-u", U, "--auto", "-i", "1", "--value", "ignored"],
    ["start", "-u", U],
    ["start", "-p", "p", "-t", "t"],
    ["start-parent-mdevs", "p"],
    ["start-parent-mdevs", ""],
    ["start-parent-mdevs", "--", "-p"],
    ["stop", "--uuid", U],
    ["list"],
    ["list", "-d", "-v", "--dumpjson", "-u", U, "-p", "p"],
    ["list", "-dvp", "p"],
    ["list", "-dvp=p"],
    ["list", "-vpd"],
    ["list", "-p", ""],
    ["list", "-p", "-"],
    ["list", "-p="],
    ["list", "--parent="],
    ["list", "--parent=--dumpjson"],
    ["list", "--parent=a=b"],
    ["list", "--"],
    ["list", "-u", U.upper()],
    ["list", "-u", U.replace("-", "")],
    ["list", "-u", "{" + U + "}"],
    ["list", "-u", "urn:uuid:" + U],
    ["types"],
    ["types", "--dumpjson", "-p", "p"],
]

# The same for what mdevctl 1.2.0 does not have yet.
ACCEPTED_SINCE = [
    ["stop", U],
    ["define", "-f", "-u", U],
    ["define", "--alternate", "-u", U],
    ["undefine", "-fu", U],
    ["modify", "-dfu", U, "--auto"],
    ["modify", "-d", "-u", U, "-p", "p", "--jsonfile", "/dev/null"],
    ["modify", "-lu", U, "--jsonfile", "/dev/null"],
    ["modify", "--live", "--defined", "--parent=p", f"--uuid={U}", "--jsonfile=/dev/null"],
    ["modify", "-lu", U, "--jsonfile", "/dev/null", "--direct"],
    ["modify", "--alternate", "-u", U, "-p", "p", "--jsonfile", "/dev/null"],
    ["start", "--force", "-u", U],
    ["stop", "-u", U, "-f"],
    ["stop", "-u", U, "--wait-for-release"],
]

# All that libvirt runs, up to 11.3; its questions for the help are below.
LIBVIRT = [
    ["list", "--dumpjson", "--defined"],
    ["list", "--dumpjson"],
    ["start", "--parent=0000:3b:00.0", "--jsonfile=/dev/stdin"],
    ["start", "--parent=0000:3b:00.0", "--jsonfile=/dev/stdin", f"--uuid={U}"],
    ["define", "--parent=0000:3b:00.0", "--jsonfile=/dev/stdin"],
    ["define", "--parent=0000:3b:00.0", "--jsonfile=/dev/stdin", f"--uuid={U}"],
    ["modify", "--parent=0000:3b:00.0", "--jsonfile=/dev/stdin", f"--uuid={U}", "--defined"],
    ["modify", "--parent=0000:3b:00.0", "--jsonfile=/dev/stdin", f"--uuid={U}", "--live"],
    ["modify", "--parent=0000:3b:00.0", "--jsonfile=/dev/stdin", f"--uuid={U}", "--defined", "--live"],
    ["modify", "--uuid", U, "--auto"],
    ["modify", "--uuid", U, "--manual"],
    ["start", f"--uuid={U}"],
    ["stop", f"--uuid={U}"],
    ["undefine", f"--uuid={U}"],
]

HELP = [
    ["--help"],
    ["-h"],
    ["help"],
    ["help", "define"],
    ["help", "help"],
    ["--help", "nonsense"],
    ["define", "--help"],
    ["define", "-h"],
    ["define", "-ah"],
    ["define", "-hx"],
    ["define", "--help", "--nonsense"],
    ["define", "--uuid", "nonsense", "--help"],
    ["define", "--uuid", "--help"],
    ["define", "-p", "--uuid", "--help"],
    ["define", "-a", "-a", "--help"],
    ["define", "--jsonfile", "x", "--type", "y", "--help"],
    ["list", "--defined", "--dumpjson", "--help"],
]

# How libvirt asks whether a version has these options, none of which mdevctl 1.2.0 has.
HELP_SINCE = [
    ["modify", "--defined", "--live", "--jsonfile", "b", "--help"],
]

WRONG = [
    [""],
    ["nonsense"],
    ["lis"],
    ["version"],
    ["List"],
    ["-x"],
    ["--nonsense"],
    ["--hel"],
    ["--", "list"],
    ["nonsense", "--help"],
    ["--help=1"],
    ["help", "nonsense"],
    ["help", "list", "types"],
    ["help", "--nonsense"],
    ["define"],
    ["define", "-a"],
    ["define", "-t", "t"],
    ["define", "nonsense", "--help"],
    ["define", "--nonsense", "--help"],
    ["define", "--", "--help"],
    ["define", "-u", U, "-a=1"],
    ["define", "-u", U, "--auto="],
    ["define", "-u", U, "--auto=yes"],
    ["define", "-p", "p", "--jsonfile", "f", "--type", "t"],
    ["define", "-p", "p", "--jsonfile", "f", "--auto"],
    ["define", "-u", U, "-V"],
    ["define", "-u", U, "-d"],
    ["undefine"],
    ["undefine", "-p", "p"],
    ["undefine", "-u", ""],
    ["undefine", "-u", U, "-t", "t"],
    ["modify"],
    ["modify", "-p", "p", "-a"],
    ["modify", "-u", U, "-a", "-m"],
    ["modify", "-u", U, "--addattr", "x"],
    ["modify", "-u", U, "--addattr", "x", "--delattr"],
    ["modify", "-u", U, "--addattr", "x", "--value", "y", "--delattr"],
    ["modify", "-u", U, "--addattr", "x", "--value", "-5"],
    ["modify", "-u", U, "--delattr", "--index", "-1"],
    ["modify", "-u", U, "--delattr", "--index=-1"],
    ["modify", "-u", U, "--delattr", "--index", "4294967296"],
    ["modify", "-u", U, "--delattr", "--index", "99999999999999999999"],
    ["modify", "-u", U, "--delattr", "--index", "x"],
    ["modify", "-u", U, "--delattr", "--index", "1x"],
    ["modify", "-u", U, "--delattr", "--index", "+"],
    ["modify", "-u", U, "--delattr", "--index="],
    ["start"],
    ["start", "-t", "t"],
    ["start", "-p", "p", "-t", "t", "--jsonfile", "f"],
    ["start", "-u", U, "-a"],
    ["start-parent-mdevs"],
    ["start-parent-mdevs", "p", "q"],
    ["start-parent-mdevs", "-p", "p"],
    ["stop"],
    ["stop", "-u", U, "-p", "p"],
    ["list", "nonsense"],
    ["list", ""],
    ["list", "--", "nonsense"],
    ["list", "-vv"],
    ["list", "-v", "--verbose"],
    ["list", "-p", "a", "-p", "a"],
    ["list", "--dumpjson", "--dumpjson"],
    ["list", "-p"],
    ["list", "--parent"],
    ["list", "-du"],
    ["list", "-p", "-d"],
    ["list", "--parent", "--dumpjson"],
    ["list", "--parent", "--"],
    ["list", "--parent", "--", "x"],
    ["list", "-p", "-5"],
    ["list", "--parentx"],
    ["list", "--paren", "p"],
    ["list", "--PARENT", "p"],
    ["list", "-p", b"\xff"],
    ["list", "-u", "nonsense"],
    ["list", "-u", "-"],
    ["list", "-u", U + "0"],
    ["list", "-u", U[:-1]],
    ["list", "-u", U[:-1] + "g"],
    ["list", "-u", " " + U[1:]],
    ["list", "-u", "0x" + U[2:]],
    ["list", "-u", "{" + U],
    ["list", "-u", "{urn:uuid:" + U + "}"],
    ["list", "-u", U.replace("-", "")[:-1] + "-"],
    ["list", "-u", "0-" + U[2:]],
    ["types", "-v"],
    ["types", "-u", U],
    ["types", "-V"],
]

# What 1.2.0 does not have and later versions refuse.
WRONG_SINCE = [
    ["modify", "-u", U, "-p", "p", "--live"],
    ["modify", "-u", U, "-p", "p", "--live", "--jsonfile", "f", "--type", "t"],
    ["modify", "-u", U, "-p", "p", "--jsonfile", "f", "--auto"],
    ["modify", "-u", U, "-p", "p", "--jsonfile", "f", "--addattr", "a", "--value", "b"],
    ["modify", "-u", U, "-p", "p", "--jsonfile", "f", "--delattr"],
    ["modify", "-u", U, "-p", "p", "--jsonfile", "f", "--index", "1"],
    ["modify", "-u", U, "--live", "--addattr", "a", "--value", "b"],
    ["modify", "-u", U, "-a", "--direct"],
]


@pytest.mark.parametrize("words", ACCEPTED + ACCEPTED_SINCE + LIBVIRT, ids=repr)
def test_accepted(cli, words):
    if words[0] in ("list", "types"):
        # What can be read is read.
        cli.ok(*words)
    else:
        assert "system bus" in cli.fails(*words)


@pytest.mark.parametrize("words", HELP + HELP_SINCE, ids=repr)
def test_help(cli, words):
    text = cli.ok(*words)
    assert "\nUsage: mdevdctl " in text and "--help" in text


@pytest.mark.parametrize("words", WRONG + WRONG_SINCE, ids=repr)
def test_wrong(cli, words):
    text = cli.fails(*words, status=2)
    assert "\n\nUsage: mdevdctl " in text
    assert text.endswith("\n\nFor more information try '--help'\n")


@pytest.mark.parametrize("words", HELP + WRONG, ids=repr)
def test_peer_agrees(cli, peer, words):
    done = peer()(*words)
    assert done.returncode == cli(*words).returncode
    assert bool(done.stdout) == (done.returncode == 0)


@pytest.mark.parametrize("words", ACCEPTED, ids=repr)
def test_peer_accepts(peer, words):
    assert peer()(*words).returncode in (0, 1)


def test_wrong_says_which_form_is_right(cli):
    text = cli.fails("undefine", "-p", "p", status=2)
    assert "  --uuid <UUID>\n\nUsage: mdevdctl undefine -u UUID" in text
    text = cli.fails("define", "-t", "t", status=2)
    assert "  --uuid <UUID>\n  --parent <PARENT>\n" in text


def test_the_first_fault_is_told(cli):
    text = cli.fails("list", "-vv", "-u", "nonsense", status=2)
    assert "'--verbose' was provided more than once" in text
    text = cli.fails("list", "-vv", "--nonsense", status=2)
    assert "'--nonsense'" in text and "--verbose" not in text


def test_bare_program(cli):
    for words in [], ["--"]:
        done = cli(*words)
        assert (done.returncode, done.stdout) == (2, b"")
        assert done.stderr.decode() == cli.ok("--help")


def test_help_is_one_text(cli):
    assert cli.ok("help") == cli.ok("--help") == cli.ok("-h")
    for verb in "define", "undefine", "modify", "start", "stop", "list", "types", "help":
        assert f"\n  {verb} " in cli.ok("help")
        assert cli.ok("help", verb) == cli.ok(verb, "--help")


def test_options_are_told_in_mdevctls_order(cli):
    def named(verb):
        return re.findall(r"^  (?:-., |    )(--\w+)", cli.ok("help", verb), re.MULTILINE)

    assert named("define")[:6] == ["--uuid", "--auto", "--parent", "--type", "--jsonfile", "--force"]
    assert named("modify")[:13] == [
        *("--uuid", "--parent", "--type", "--addattr", "--delattr", "--index", "--value"),
        *("--auto", "--manual", "--live", "--defined", "--jsonfile", "--force"),
    ]
    assert named("list")[:5] == ["--defined", "--dumpjson", "--verbose", "--uuid", "--parent"]


def test_a_hidden_verb_is_explained(cli):
    assert "start-parent-mdevs" not in cli.ok("help")
    assert "Usage: mdevdctl start-parent-mdevs PARENT\n" in cli.ok("help", "start-parent-mdevs")


def test_live_without_a_file(cli):
    """Of an active device mdevctl changes only what a file says; that is found out at run time, hence 1 and not 2."""
    assert "'auto' cannot be changed on active mdev" in cli.fails("modify", "-u", U, "-l", "-a")
    assert "must be used with 'jsonfile'" in cli.fails("modify", "-u", U, "-l", "--delattr")


def test_version(cli):
    version = cli.ok("--version").removeprefix("mdevdctl ")
    assert cli.ok("-V") == cli.ok("-V", "nonsense") == f"mdevdctl {version}"
    assert cli.ok("list", "-V") == cli.ok("list", "-dV") == f"mdevdctl-list {version}"
    assert cli.ok("--version", name="mdevctl") == f"mdevctl {version}"


def test_lsmdev_lists(cli):
    assert cli.ok("-d", name="lsmdev") == cli.ok("list", "-d")
    assert cli.ok("--help", name="lsmdev").startswith("List devices\n")
    cli.fails("list", status=2, name="lsmdev")
    cli.fails("-x", status=2, name="lsmdev")


def test_an_empty_name_is_no_choice(cli):
    """To the daemon an empty name means "choose one" or "all": what an unset variable of a script must not do."""
    for words in (
        ["undefine", "-u", U, "-p", ""],
        ["start", "-u", U, "-p", ""],
        ["start", "-p", "p", "-t", ""],
        ["define", "-u", U, "-p", "", "-t", "t"],
        ["define", "-u", U, "-p", "p", "-t", ""],
        ["modify", "-u", U, "-p", ""],
        ["modify", "-u", U, "-t", ""],
    ):
        assert "is empty" in cli.fails(*words)


def test_no_daemon_for_that_root(cli, tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "DBUS_SYSTEM_BUS_ADDRESS"}
    environment["MDEVCTL_ENV_ROOT"] = str(tmp_path)
    for words in ["list"], ["types"], ["define", "-u", U], ["stop", "-u", U]:
        text = cli.fails(*words, env=environment)
        assert "no daemon serves that root" in text and str(tmp_path) in text
    assert cli.ok("list", "--help", env=environment)


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["help", "define"]], ids=repr)
def test_full_stdout(cli, words):
    with open("/dev/full", "wb") as full:
        done = cli(*words, stdout=full)
    assert done.returncode == 1
    assert done.stderr == b"Error: The result could not be written: No space left on device\n"


def test_closed_streams(cli):
    done = subprocess.run(
        ["sh", "-c", '"$0" --help >&-', cli.directory / "mdevdctl"], stderr=subprocess.PIPE, check=False
    )
    assert done.returncode == 1 and done.stderr.startswith(b"Error: The result could not be written: ")
    for streams in "<&-", "2>&-", "<&- 2>&-":
        done = subprocess.run(
            ["sh", "-c", f'"$0" --help {streams}', cli.directory / "mdevdctl"], stdout=subprocess.PIPE, check=False
        )
        assert done.returncode == 0 and done.stdout.decode() == cli.ok("--help")


def test_broken_pipe(cli):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = cli("--help", stdout=writer)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"Error: The result could not be written: Broken pipe\n")


def test_an_empty_name(cli):
    # In a directory of its own, because posix_spawn(), which newer Pythons take where they can, refuses such a name.
    done = subprocess.run([""], executable=cli.directory / "mdevdctl", cwd=cli.directory, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")


class TestJsonFile:
    """What is refused of a file before the daemon is asked."""

    @pytest.mark.parametrize("verb", ["define", "start", "modify"])
    def test_wants_a_parent(self, cli, verb):
        assert "Parent device required" in cli.fails(verb, "-u", U, "--jsonfile", "/nonexistent")

    @pytest.mark.parametrize("verb", ["define", "start", "modify"])
    def test_missing(self, cli, verb):
        text = cli.fails(verb, "-u", U, "-p", "p", "--jsonfile", "/nonexistent")
        assert text == 'Error: Unable to read file "/nonexistent": No such file or directory\n'
        assert "Is a directory" in cli.fails(verb, "-u", U, "-p", "p", "--jsonfile", "/")

    @pytest.mark.parametrize(
        "text, complaint",
        [
            (b"\xff", "not a valid definition"),
            (b'{"mdev_type":"t","start":"auto"}\0', "not a valid definition"),
            ("\n" * 600000, "File too large"),
        ],
        ids=lambda x: repr(x)[:40],
    )
    def test_bad(self, cli, text, complaint):
        data = text.encode() if isinstance(text, str) else text
        said = cli.fails("define", "-p", "p", "--jsonfile", "/dev/stdin", input=data)
        assert complaint in said and '"/dev/stdin"' in said

    @pytest.mark.parametrize(
        "text",
        [
            '{"mdev_type":"t","start":"auto"}',
            '{"mdev_type":"t","start":5}\n\n',
            '{"mdev_type":"t","start":"AUTO","attrs":null,"other":[1,{"x":2}]}',
            '{"mdev_type":"t","start":"auto","attrs":[{"a":"1"},{"a":""}]}',
        ],
    )
    def test_good(self, cli, tmp_path, text):
        path = tmp_path / "file"
        path.write_text(text)
        assert "system bus" in cli.fails("define", "-p", "p", "--jsonfile", str(path))
        assert "system bus" in cli.fails("start", "-p", "p", "--jsonfile", "/dev/stdin", input=text.encode())
