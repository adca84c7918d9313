# SPDX-License-Identifier: LGPL-2.1-or-later

"""What somebody may have put among the definitions: told by name, read no further than needed, left as it is, and no
hindrance for the others, who are answered meanwhile."""

import os
import socket
import stat
import threading
import time

import pytest
from host import Client
from test_contract import MANAGER, PLAIN
from test_flood import memory

PROPERTIES = "org.freedesktop.DBus.Properties"
GOOD = "00000000-0000-0000-0000-00000000900d"
GROWTH_KIB = 64 * 1024
# For one answer, on a machine that is busy with other things: no more than a moment, and not as long as all files take.
AT_ONCE = 5
SECONDS = 30

# Told one by one, says api/.
TOLD_MAX = 1024


def uuid(number):
    return f"00000000-0000-0000-0000-{number:012x}"


def write(text):
    return lambda path: path.write_bytes(text if isinstance(text, bytes) else text.encode())


def sparse(path):
    with open(path, "wb") as f:
        f.truncate(10 << 30)


def bound(path):
    """A socket. Its path is too long for the system call."""
    folder = os.open(path.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)


def keys(n):
    """A definition with so many keys that are not ours."""
    return PLAIN.rstrip("}") + "".join(f',"{i:x}":0' for i in range(n)) + "}"


def attribute(name, value="1"):
    return PLAIN.rstrip("}") + f',"attrs":[{{"{name}":"{value}"}}]}}'


# What makes it, and words of the reason.
BAD = {
    "link": (lambda path: path.symlink_to("/etc/passwd"), "symbolic link"),
    "link to a definition": (lambda path: path.symlink_to(GOOD), "symbolic link"),
    "link to nothing": (lambda path: path.symlink_to("nothing"), "symbolic link"),
    "link to itself": (lambda path: path.symlink_to(path.name), "symbolic link"),
    "FIFO": (os.mkfifo, "not a regular file"),
    "socket": (bound, "not a regular file"),
    "directory": (os.mkdir, "not a regular file"),
    "10 GiB": (sparse, "too large"),
    "a million keys": (write(keys(1_000_000)), "too large"),
    "one byte too many": (write(PLAIN + " " * (512 * 1024 + 1 - len(PLAIN))), "too large"),
    "empty": (write(""), "ends too early"),
    "deep": (write("[" * 100_000), "nesting too deep"),
    "deep within": (write('{"x":' * 60_000), "nesting too deep"),
    "NULs": (write(b"\0" * (512 * 1024)), "line 1"),
    "a NUL at the end": (write(PLAIN + "\0"), "unexpected character"),
    "no UTF-8": (write(PLAIN.encode().replace(b'"t"', b'"\xff\xfe"')), "line 1"),
    "a mark in front": (write("\ufeff" + PLAIN), "line 1"),
    "random": (write(bytes(i * i % 251 for i in range(100_000))), "line 1"),
    "long name": (write(attribute("../" + "x" * 500_000)), "…"),
    "long name in UTF-8": (write(attribute("é" * 200_000)), "…"),
    "long value": (write(attribute("a", "v" * 500_000)), "attribute 0"),
    "name that leads out": (write(attribute("../../../remove")), "attribute 0"),
    "name that is no text": (write(attribute("\uffff")), "attribute 0"),
}


def invalid(client):
    rows = client.call("/org/mdevd1", PROPERTIES, "Get", "ss", MANAGER.name, "InvalidDefinitions")[1]
    return {path.removeprefix("/etc/mdevctl.d/"): reason for path, reason in rows}


def known(client):
    return {(row[0], row[2]) for row in client.manager("ListDevices", "a{sv}", {"defined": ("b", True)})}


def picture(directory):
    """All that mdevd must leave as it is."""
    found = {}
    for folder, folders, names in os.walk(os.fsencode(directory)):
        for name in folders + names:
            st = os.lstat(os.path.join(folder, name))
            found[folder, name] = (st.st_ino, st.st_mode, st.st_size, st.st_nlink, st.st_mtime_ns, st.st_ctime_ns)
    return found


@pytest.fixture
def others(host):
    """Another client, who asks all the time: how to begin, and how to end, which tells the longest that it waited."""
    waited, over = [0], threading.Event()

    def ask():
        client = Client(host.bus)
        while not over.is_set():
            began = time.monotonic()
            client.manager("GetDevice", "s", GOOD)
            waited[0] = max(waited[0], time.monotonic() - began)
        client.connection.close()

    thread = threading.Thread(target=ask)

    def stop():
        over.set()
        if thread.ident:
            thread.join(SECONDS)
        return waited[0]

    yield thread.start, stop
    stop()


@pytest.fixture
def tree(host):
    host.bus.environment["ASAN_OPTIONS"] = "quarantine_size_mb=8"
    host.tree.define("p", GOOD, PLAIN)
    return host.tree


def test_files(host, tree, others):
    client = host.start()
    start, stop = others
    start()
    before, _ = memory(host.daemon.pid)
    expected = {}
    for number, (make, reason) in enumerate(BAD.values()):
        make(tree.definitions / "p" / uuid(number))
        expected[f"p/{uuid(number)}"] = reason
    (tree.definitions / "p/no uuid").write_text(PLAIN)
    expected["p/no uuid"] = "not a UUID"
    with open(os.fsencode(tree.definitions / "p") + b"/\xff\xfe", "w") as f:
        f.write(PLAIN)
    expected["p/??"] = "not a UUID"
    made = picture(tree.definitions)

    for _ in range(2):
        client.manager("Rescan")
        told = invalid(client)
        assert told.keys() == expected.keys()
        for path, reason in expected.items():
            assert reason in told[path] and len(told[path]) <= 1024, told[path]
    assert known(client) == {(GOOD, "p")}
    assert picture(tree.definitions) == made
    waited = stop()
    now, peak = memory(host.daemon.pid)
    print(f"others waited {waited:.3f} s at the most; {before} KiB before, {peak} KiB at the most, {now} KiB after")
    assert waited < AT_ONCE
    assert peak - before < GROWTH_KIB


def test_places(host, tree):
    """Things in the place of a parent's directory, and directories in the place of things."""
    definitions = tree.definitions
    tree.define("elsewhere", uuid(1), PLAIN)
    (definitions / "link").symlink_to("elsewhere")
    (definitions / "loop").symlink_to("loop")
    (definitions / "file").write_text(PLAIN)
    os.mkfifo(definitions / "fifo")
    bound(definitions / "socket")
    sparse(definitions / uuid(2))
    (definitions / "p" / "deeper" / "still").mkdir(parents=True)
    (definitions / "p" / "deeper" / uuid(3)).write_text(PLAIN)
    os.mkdir(os.fsencode(definitions) + b"/\xff\xfe")
    with open(os.fsencode(definitions) + b"/\xff\xfe/" + uuid(4).encode(), "w") as f:
        f.write(PLAIN)
    made = picture(definitions)

    client = host.start()
    client.manager("Rescan")
    assert known(client) == {(GOOD, "p"), (uuid(1), "elsewhere")}
    assert invalid(client) == {uuid(2): "not in the directory of a parent", "link": "a symbolic link",
                               "??": "not a name that a parent can have"}
    assert picture(definitions) == made

    (definitions / "link").unlink()
    os.rename(os.fsencode(definitions) + b"/\xff\xfe", definitions / "named")
    client.manager("Rescan")
    assert known(client) == {(GOOD, "p"), (uuid(1), "elsewhere"), (uuid(4), "named")}
    assert invalid(client).keys() == {uuid(2)}


def test_many(host, tree, others):
    """As many are told as api/ says; and the others come up when these are gone."""
    (tree.definitions / "q").mkdir()
    for number in range(5000):
        (tree.definitions / "q" / f"bad{number}").touch()
    client = host.start()
    start, stop = others
    start()
    for _ in range(3):
        client.manager("Rescan")
        assert len(invalid(client)) == TOLD_MAX
    waited = stop()
    print(f"others waited {waited:.3f} s at the most")
    assert waited < AT_ONCE
    assert known(client) == {(GOOD, "p")}
    # Nor is the journal filled by those that are not told.
    assert host.logs[-1].read_bytes().count(b"is not a definition") <= TOLD_MAX

    for number in range(4990):
        (tree.definitions / "q" / f"bad{number}").unlink()
    client.manager("Rescan")
    assert len(invalid(client)) == 10


def test_keys(host, tree):
    """As many as fit into a definition are no fault, and survive a change of it."""
    tree.define("p", uuid(1), keys(30_000))
    client = host.start()
    assert known(client) == {(GOOD, "p"), (uuid(1), "p")}
    client.manager("Modify", "ssa{sv}a{sv}", uuid(1), "p", {"autostart": ("b", True)}, {})
    text = (tree.definitions / "p" / uuid(1)).read_text()
    assert '"start": "auto"' in text and text.count('": 0') + text.count('":0') == 30_000


def test_hard_links(host, tree):
    """One file under two names is two definitions as soon as one of them is changed."""
    good = tree.definitions / "p" / GOOD
    os.link(good, tree.definitions / "p" / uuid(1))
    outside = host.directory / "outside"
    os.link(good, outside)
    client = host.start()
    assert known(client) == {(GOOD, "p"), (uuid(1), "p")}
    client.manager("Modify", "ssa{sv}a{sv}", uuid(1), "p", {"type": ("s", "other")}, {})
    assert "other" in (tree.definitions / "p" / uuid(1)).read_text()
    client.manager("Undefine", "ssa{sv}", GOOD, "p", {})
    assert known(client) == {(uuid(1), "p")}
    assert outside.read_text() == PLAIN


@pytest.fixture
def without_override(host, monkeypatch):
    """Permissions hold for mdevd, too."""
    if os.geteuid() == 0:
        wrapper = host.directory / "mdevd"
        daemon = os.path.abspath(os.environ["MDEVD"])
        wrapper.write_text(f'#!/bin/sh\nexec setpriv --bounding-set -dac_override,-dac_read_search "{daemon}" "$@"\n')
        wrapper.chmod(0o755)
        monkeypatch.setenv("MDEVD", str(wrapper))


@pytest.mark.parametrize("place", [f"p/{GOOD}", "p"])
def test_permissions_withdrawn(host, tree, without_override, place):
    """It is told, and what was known stands: that it cannot be read does not mean that it is gone."""
    client = host.start()
    path = tree.definitions / place
    mode = stat.S_IMODE(path.stat().st_mode)
    path.chmod(0)
    client.manager("Rescan")
    assert {p.rstrip("/"): r for p, r in invalid(client).items()} == {place: "Permission denied"}
    assert known(client) == {(GOOD, "p")}
    error = client.refused("Modify", "ssa{sv}a{sv}", GOOD, "p", {"autostart": ("b", True)}, {})
    assert error.name == "org.mdevd1.Error.Store" and "EACCES" in error.sentence
    path.chmod(mode)
    client.manager("Rescan")
    assert invalid(client) == {} and known(client) == {(GOOD, "p")}


def test_permissions_of_all_withdrawn(host, tree, without_override):
    client = host.start()
    tree.definitions.chmod(0)
    error = client.refused("Rescan")
    assert error.name == "org.mdevd1.Error.Store" and "EACCES" in error.sentence
    assert known(client) == {(GOOD, "p")}
    tree.definitions.chmod(0o755)
    client.manager("Rescan")
    assert known(client) == {(GOOD, "p")}
