# SPDX-License-Identifier: LGPL-2.1-or-later

"""More devices than the daemon is asked for at a time: whoever lists need not know."""

import json
import random
import time

import pytest

AT_A_TIME = 500
PATIENCE = 30


def uuid_of(number):
    text = f"{number:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def spread(n):
    """As random UUIDs are; the same in each run."""
    numbers = random.Random(n)
    return [numbers.getrandbits(128) for _ in range(n)]


def in_front(n):
    return list(range(n))


def at_the_end(n):
    return [2**128 - 1 - number for number in range(n)]


def in_heaps(n):
    """Where the first ones lie close together, and others do not."""
    return in_front(n) + spread(n) + [(0x8000 << 112) + number for number in range(n)] + at_the_end(n)


NUMBERS = {
    "none": [],
    "one": [2**127],
    "nearly as many as in a part": spread(AT_A_TIME - 1),
    "as many": spread(AT_A_TIME),
    "one more": spread(AT_A_TIME + 1),
    "twice as many": spread(2 * AT_A_TIME),
    "many": spread(12 * AT_A_TIME),
    "all in front": in_front(3 * AT_A_TIME),
    "all at the end": at_the_end(3 * AT_A_TIME),
    "in heaps": in_heaps(2 * AT_A_TIME),
}


@pytest.mark.parametrize("numbers", NUMBERS.values(), ids=NUMBERS)
def test_each_is_listed_once(host, numbers):
    text = json.dumps({"mdev_type": "t", "start": "auto", "attrs": []})
    rows = []
    for i, number in enumerate(numbers):
        parents = [f"p{i % 3}", "q"] if i % 7 == 0 else [f"p{i % 3}"]
        for parent in parents:
            host.tree.define(parent, uuid_of(number), text)
            rows.append((parent, uuid_of(number)))
    cli = host.start()
    assert cli.ok("list", "-d") == "".join(f"{uuid} {parent} t auto\n" for parent, uuid in sorted(rows))
    assert cli.ok("list", "-d", "-p", "p1") == "".join(f"{uuid} p1 t auto\n" for parent, uuid in sorted(rows) if parent == "p1")
    assert cli.ok("list") == ""


def test_active_ones(host):
    host.tree.add_parent("p")
    host.tree.add_type("p", "t")
    host.tree.add_type("p", "u")
    uuids = sorted(uuid_of(number) for number in spread(2 * AT_A_TIME))
    for i, uuid in enumerate(uuids):
        host.tree.add_device("p", "t", uuid)
        if i % 4 == 0:
            host.tree.define("p", uuid, json.dumps({"mdev_type": "u", "start": "manual", "attrs": []}))
    cli = host.start()
    end = time.monotonic() + PATIENCE
    for uuid in uuids[::3]:
        (host.tree.sys / "bus/mdev/devices" / uuid / "remove").unlink()
    host.daemon.rescan()
    # A look later: such a file may be missing because the device is on its way.
    while host.cli.ok("list", "-d", "--json").count('"orphaned"') < len(uuids[::12]):
        assert time.monotonic() < end
    assert [line.split()[0] for line in cli.ok("list").splitlines()] == uuids
    rows = json.loads(cli.ok("list", "-d", "--json"))
    assert [row["uuid"] for row in rows] == uuids[::4] and {row["type"] for row in rows} == {"u"}
    assert "(active)" not in cli.ok("list", "-d")


@pytest.mark.parametrize("numbers", [spread(AT_A_TIME), in_front(AT_A_TIME), in_heaps(AT_A_TIME // 4)], ids=["spread", "in front", "in heaps"])
def test_more_than_fits_into_an_answer(host, numbers):
    attributes = [{"a": "x" * 4000}] * 15
    for i, number in enumerate(numbers):
        host.tree.define(f"p{i % 5}", uuid_of(number), json.dumps({"mdev_type": "t", "start": "auto", "attrs": attributes}))
    cli = host.start()
    (listed,) = json.loads(cli.ok("list", "-d", "--dumpjson"))
    found = [next(iter(device.items())) for parent in listed.values() for device in parent]
    assert sorted(uuid for uuid, _ in found) == sorted(uuid_of(number) for number in numbers)
    assert all(device["attrs"] == attributes for _, device in found)
