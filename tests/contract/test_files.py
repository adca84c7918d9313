# SPDX-License-Identifier: LGPL-2.1-or-later

"""The definitions on disk, when to read them goes wrong: it is done again until it is done, and what hangs on it with it.
Kills are those of tests/unit/hapless-worker.c."""

import os
import pathlib
import time

import pytest
from host import PATIENCE
from test_contract import MANAGER
from test_hostile_files import PROPERTIES, invalid, known, without_override  # noqa: F401

U = [f"00000000-0000-0000-0000-00000000000{i}" for i in range(8)]
AUTO = '{"mdev_type": "t", "start": "auto"}'
MANUAL = '{"mdev_type": "t", "start": "manual"}'

# That many deaths of a row are made up for at once; and more are a disk that cannot be read, for somewhat longer.
FEW, MANY = 2, 4


@pytest.fixture
def mortal(host, monkeypatch):
    """Kills so many of those that are to read definitions."""
    built = pathlib.Path(os.environ["MDEVD"]).absolute().parents[1] / "tests/unit"
    monkeypatch.setenv("MDEVD_WORKER", str(built / "hapless-worker"))
    deaths = host.directory / "deaths"

    def kill(n):
        deaths.write_text(f"{n:<8}")

    kill(0)
    yield kill
    assert int(deaths.read_text()) == 0


def wait_until(condition):
    end = time.monotonic() + PATIENCE
    while not (result := condition()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return result


def prop(client, name):
    return client.call("/org/mdevd1", PROPERTIES, "Get", "ss", MANAGER.name, name)[1]


def of_store(client):
    return [sentence for name, sentence, _ in prop(client, "Troubles") if name == "store"]


def pending(client, uuid):
    path = "/org/mdevd1/device/" + uuid.replace("-", "_")
    return client.call(path, PROPERTIES, "Get", "ss", "org.mdevd1.Device", "Pending")[1]


def put(tree, parent, name, text):
    """Whole at once, as by a rename."""
    (tree.path / "new").write_text(text)
    os.rename(tree.path / "new", os.fsencode(tree.definitions / parent) + b"/" + os.fsencode(name))


@pytest.fixture
def tree(host):
    """A definition that is to be started, on a parent that is there but has no room."""
    host.tree.add_type("p", "t", 0)
    host.tree.define("p", U[1], AUTO)
    return host.tree


def test_killed_at_the_start(host, tree, mortal):
    mortal(FEW)
    client = host.start()
    assert known(client) == {(U[1], "p")} and of_store(client) == []
    wait_until(lambda: prop(client, "Settled"))
    assert pending(client, U[1]) == "no-capacity"


def started_late(client):
    assert known(client) == set() and not prop(client, "Settled")
    sentence, = of_store(client)
    return sentence


def assert_comes_late(host, client):
    wait_until(lambda: known(client) == {(U[1], "p")})
    wait_until(lambda: prop(client, "Settled"))
    assert of_store(client) == [] and pending(client, U[1]) == "no-capacity"
    # And is remembered for the next one.
    assert U[1] in (host.tree.path / "run/mdevd/autostart/p").read_text()


def test_killed_at_the_start_again_and_again(host, tree, mortal):
    """It does without: what lives can be stopped. But it says so, and is not settled."""
    mortal(MANY)
    client = host.start()
    assert "kill" in started_late(client)
    assert client.manager("ListTypes", "s", "p")[0][1] == "t"
    assert_comes_late(host, client)


def test_unreadable_at_the_start(host, tree, without_override):  # noqa: F811
    tree.definitions.chmod(0)
    client = host.start()
    assert "Permission denied" in started_late(client)
    tree.definitions.chmod(0o755)
    assert_comes_late(host, client)


def test_restarted_before_it_could_be_read(host, tree, without_override):  # noqa: F811
    tree.definitions.chmod(0)
    started_late(host.start())
    host.client.connection.close()
    host.daemon.terminate()
    assert host.daemon.wait(PATIENCE) == 0
    tree.definitions.chmod(0o755)
    assert_comes_late(host, host.start())


@pytest.mark.parametrize("deaths", [FEW, MANY])
def test_killed_at_some_places(host, tree, mortal, deaths):
    client = host.start()
    mortal(deaths)
    put(tree, "p", U[2], MANUAL)
    wait_until(lambda: known(client) == {(U[1], "p"), (U[2], "p")})
    wait_until(lambda: of_store(client) == [])


@pytest.mark.parametrize("deaths", [FEW, MANY])
def test_killed_at_everything(host, tree, mortal, deaths):
    """What is in no folder is seen only with everything."""
    client = host.start()
    mortal(deaths)
    put(tree, "", U[2], MANUAL)
    wait_until(lambda: invalid(client).keys() == {U[2]})
    assert known(client) == {(U[1], "p")}
    wait_until(lambda: of_store(client) == [])


def test_killed_while_somebody_waits(host, tree, mortal):
    client = host.start()
    mortal(FEW)
    client.manager("Rescan")
    mortal(3)
    client.refused("Rescan")
    assert known(client) == {(U[1], "p")}
    client.manager("Rescan")
    assert of_store(client) == []


def test_a_name_that_is_no_text(host, tree):
    """It is told, and those that came with it are read. (Nobody asks for a Rescan.)"""
    client = host.start()
    for name, text in ((b"\xff\xfe", MANUAL), (U[2], MANUAL), ("no uuid", MANUAL)):
        put(tree, "p", name, text)
    wait_until(lambda: invalid(client).keys() == {"p/??", "p/no uuid"})
    assert known(client) == {(U[1], "p"), (U[2], "p")}
    os.unlink(os.fsencode(tree.definitions / "p") + b"/\xff\xfe")
    (tree.definitions / "p/no uuid").unlink()
    wait_until(lambda: invalid(client) == {})


def test_what_can_be_read_again_after_an_operation(host, tree, without_override):  # noqa: F811
    """Nobody tells that permissions have changed; the file is read since its device's others are read again."""
    scripts = tree.path / "usr/lib/mdevctl/scripts.d/callouts"
    scripts.mkdir(parents=True)
    asked, go = host.directory / "asked", host.directory / "go"
    (scripts / "waits").write_text(f"""#!/bin/sh
case "$*" in *"-e pre -a define"*) ;; *) exit 2 ;; esac
touch {asked}
while [ ! -e {go} ]; do sleep 0.01; done
""")
    (scripts / "waits").chmod(0o755)
    tree.define("q", U[2], MANUAL)
    tree.define("r", U[2], MANUAL)
    (tree.definitions / "q" / U[2]).chmod(0)
    client = host.start()
    assert invalid(client) == {f"q/{U[2]}": "Permission denied"}
    client.begin("Define", "sssa(ss)a{sv}", U[2], "p", "t", [], {"alternate": ("b", True)})
    wait_until(asked.exists)

    # Of what is read meanwhile only that the device is to be read again is remembered.
    client.manager("Rescan")
    (tree.definitions / "q" / U[2]).chmod(0o644)
    assert invalid(client).keys() == {f"q/{U[2]}"}
    go.touch()
    wait_until(lambda: (U[2], "q") in known(client))
    wait_until(lambda: invalid(client) == {})
    assert known(client) == {(U[1], "p"), (U[2], "p"), (U[2], "q"), (U[2], "r")}
