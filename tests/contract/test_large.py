# SPDX-License-Identifier: LGPL-2.1-or-later

"""Answers that would be too large for the bus, which drops who sends them, are refused; others are given whole."""

import json

import pytest
from host import BusError
from test_contract import MANAGER, PLAIN, U

BYTES_MAX = next(int(e.get("value")) for e in MANAGER.documented("limit") if e.get("name") == "bytes of an answer")
DEFINITIONS_MAX = next(int(e.get("value")) for e in MANAGER.documented("limit") if e.get("name") == "definitions of one device")
OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"
LIMITS_EXCEEDED = "org.mdevd1.Error.LimitsExceeded"

# Nearly all that one definition can have, in few attributes and in as many as there can be.
LONG = [{f"a{i}": "x" * 4095} for i in range(15)]
SHORT = [{"a": ""}] * 1024


def uuid(number):
    return f"00000000-0000-0000-0000-{number:012x}"


def define(host, n, attributes=(), n_parents=1):
    text = json.dumps({"mdev_type": "type", "start": "manual", "attrs": list(attributes)}) if attributes else PLAIN
    for number in range(n):
        host.tree.define(f"0000:3b:{number % n_parents:02x}.0", uuid(number), text)


def managed_objects(client):
    return client.call("/org/mdevd1", OBJECT_MANAGER, "GetManagedObjects")


def too_large(function, *arguments, **filters):
    with pytest.raises(BusError) as caught:
        function(*arguments, **filters)
    return caught.value.name == LIMITS_EXCEEDED and str(BYTES_MAX) in caught.value.sentence and "filter" in caught.value.sentence


def lists(client, **filters):
    return client.manager("ListDevices", "a{sv}", {name: ("s", value) for name, value in filters.items()})


class TestAllObjects:
    def test_as_many_devices_as_documented(self, host):
        define(host, 20000)
        assert len(managed_objects(host.start())) == 20001

    def test_parents_count_too(self, host):
        """Each with the longest name there is, which a path has three times as long."""
        for number in range(6600):
            host.tree.define(f"{number:04}" + "." * 251, uuid(number), PLAIN)
        assert too_large(managed_objects, host.start())

    @pytest.mark.parametrize("n, attributes", [(30000, ()), (220, LONG), (600, SHORT)], ids=["many", "long", "short"])
    def test_too_many_are_refused(self, host, n, attributes):
        define(host, n, attributes, 4)
        client = host.start()
        assert too_large(managed_objects, client)
        assert len(lists(client)) == n
        path = client.manager("GetDevice", "s", uuid(n - 1))
        assert client.call(path, "org.freedesktop.DBus.Properties", "Get", "ss", "org.mdevd1.Device", "State") == ("s", "defined")
        # Names alone are no trouble.
        assert client.introspect("/org/mdevd1/device").count("<node name=") == n

    @pytest.mark.parametrize("n, attributes", [(180, LONG), (350, SHORT)], ids=["long", "short"])
    def test_nearly_too_many_are_told(self, host, n, attributes):
        define(host, n, attributes, 4)
        assert len(managed_objects(host.start())) == n + 4


class TestLists:
    def test_attributes_may_be_left_out(self, host):
        define(host, 3, [{"a": "b"}])
        client = host.start()
        whole, without = (client.manager("ListDevices", "a{sv}", options) for options in ({}, {"attributes": ("b", False)}))
        assert [row[7] for row in whole] == [[("a", "b")]] * 3
        assert without == [(*row[:7], []) for row in whole]

    def test_what_is_too_much_with_attributes_is_not_without(self, host):
        define(host, 420, LONG)
        client = host.start()
        assert too_large(lists, client)
        assert len(client.manager("ListDevices", "a{sv}", {"attributes": ("b", False)})) == 420

    def test_too_many_rows_are_refused_and_some_of_them_told(self, host):
        define(host, 420, LONG, 4)
        client = host.start()
        assert too_large(lists, client)
        assert too_large(lists, client, type="type")
        rows = lists(client, parent="0000:3b:01.0")
        assert len(rows) == 105 and len(rows[0][7]) == len(LONG)
        assert lists(client, parent="elsewhere") == []
        assert [row[0] for row in lists(client, uuid=uuid(7))] == [uuid(7)]


def page(client, **filters):
    kinds = {"limit": "t", "attributes": "b"}
    return client.manager("ListDevices", "a{sv}", {name: (kinds.get(name, "s"), value) for name, value in filters.items()})


def pages(client, limit, **filters):
    """All rows, some devices at a time, as the documentation says."""
    rows = []
    while True:
        part = page(client, limit=limit, **filters)
        rows += part
        if len({row[0] for row in part}) < limit:
            return rows
        filters["after"] = part[-1][0]


class TestPages:
    def test_all_of_them_are_the_whole(self, host):
        define(host, 100, n_parents=3)
        client = host.start()
        whole = lists(client)
        assert [row[0] for row in whole] == [uuid(number) for number in range(100)]
        for limit in (1, 7, 99, 100, 101, 2**64 - 1):
            assert pages(client, limit) == whole
        assert pages(client, 10, parent="0000:3b:01.0") == lists(client, parent="0000:3b:01.0")

    def test_bounds(self, host):
        define(host, 20)
        client = host.start()
        numbers = [int(row[0][-12:], 16) for row in page(client, after=uuid(4), until=uuid(9).upper())]
        assert numbers == [5, 6, 7, 8, 9]
        assert [row[0] for row in page(client, after=uuid(4), limit=2)] == [uuid(5), uuid(6)]
        assert page(client, after=uuid(19)) == [] == page(client, after=uuid(9), until=uuid(9)) == page(client, after=uuid(9), until=uuid(4))
        # Bounds need not exist.
        assert len(page(client, after="{ffffffff-0000-0000-0000-000000000000}")) == 0
        assert len(page(client, until="ffffffff-0000-0000-0000-000000000000")) == 20
        # And hold for the one that is looked up, too.
        assert len(page(client, uuid=uuid(4), after=uuid(3), until=uuid(4))) == 1
        assert page(client, uuid=uuid(4), after=uuid(4)) == [] == page(client, uuid=uuid(4), until=uuid(3))

    def test_a_device_is_not_divided(self, host):
        define(host, 5)
        for number in range(1, 4):
            host.tree.define("p", uuid(number), PLAIN)
        client = host.start()
        part = page(client, limit=2)
        assert [row[0] for row in part] == [uuid(0), uuid(1), uuid(1)]
        # What is filtered out does not count.
        assert [row[0] for row in page(client, limit=2, parent="p")] == [uuid(1), uuid(2)]
        assert pages(client, 2) == lists(client)

    def test_what_comes_and_goes_is_no_trouble(self, host):
        define(host, 50)
        client = host.start()
        first = page(client, limit=20)
        client.manager("Undefine", "ssa{sv}", uuid(19), "", {})
        client.manager("Undefine", "ssa{sv}", uuid(20), "", {})
        client.manager("Define", "sssa(ss)a{sv}", "00000000-0000-0000-0001-000000000000", "p", "t", [], {})
        rest = pages(client, 20, after=first[-1][0])
        assert [row[0] for row in rest] == [uuid(number) for number in range(21, 50)] + ["00000000-0000-0000-0001-000000000000"]

    def test_too_much_for_one_answer(self, host):
        define(host, 420, LONG)
        client = host.start()
        assert too_large(lists, client)
        assert len(pages(client, 100)) == 420

    def test_bad_ones_are_refused(self, host):
        client = host.start()
        for option, value, kind in (("limit", 0, "t"), ("limit", 1, "u"), ("after", "", "s"), ("until", "no", "s"), ("after", 1, "t")):
            failure = client.refused("ListDevices", "a{sv}", {option: (kind, value)})
            assert failure.name == "org.freedesktop.DBus.Error.InvalidArgs", (option, value)


class TestDefinitionsOfOneDevice:
    @staticmethod
    def define(client, number):
        return client.manager("Define", "sssa(ss)a{sv}", U[1], f"p{number}", "t", [], {"alternate": ("b", True)})

    def test_one_too_many_is_refused(self, host):
        client = host.start()
        for number in range(DEFINITIONS_MAX):
            self.define(client, number)
        words = "Define", "sssa(ss)a{sv}", U[1], "one-too-many", "t", [], {"alternate": ("b", True)}
        failure = client.refused(*words)
        assert failure.name == LIMITS_EXCEEDED and f"definitions of one device: the limit is {DEFINITIONS_MAX}" in failure.sentence
        assert len(lists(client)) == DEFINITIONS_MAX and not (host.tree.definitions / "one-too-many").exists()

        create = "Create", *words[1:-1], {"define": ("b", True), "alternate": ("b", True)}
        assert client.refused(*create).sentence == failure.sentence

        client.manager("Undefine", "ssa{sv}", U[1], "p7", {})
        client.manager(*words)

    def test_files_beyond_that_are_invalid(self, host):
        for number in range(DEFINITIONS_MAX + 3):
            host.tree.define(f"p{number}", U[1], PLAIN)
        client = host.start()
        assert len(lists(client)) == DEFINITIONS_MAX
        invalid = client.call("/org/mdevd1", "org.freedesktop.DBus.Properties", "Get", "ss", MANAGER.name, "InvalidDefinitions")[1]
        assert len(invalid) == 3
        for path, reason in invalid:
            assert path.endswith(U[1]) and f"more than {DEFINITIONS_MAX} definitions" in reason
