# SPDX-License-Identifier: LGPL-2.1-or-later

"""A device that somebody else has made, and of which no event has come yet: an answer is about what is there."""

import pytest
from host import BusError
from test_contract import U

UUID = U[1]


@pytest.fixture
def client(host):
    host.tree.add_type("p", "t", 1)
    client = host.start()
    host.tree.add_device("p", "t", UUID)
    return client


def test_stop(host, client):
    client.manager("Stop", "sa{sv}", UUID, {})
    assert (host.tree.sys / "devices/p" / UUID / "remove").read_text() == "1"


def test_create_if_it_is_not_there(client):
    path = client.manager("Create", "sssa(ss)a{sv}", UUID, "p", "t", [], {"exist-ok": ("b", True)})
    assert path[1] == client.manager("GetDevice", "s", UUID)


def test_create(client):
    with pytest.raises(BusError) as caught:
        client.manager("Create", "sssa(ss)a{sv}", UUID, "p", "t", [], {})
    assert caught.value.name == "org.mdevd1.Error.Exists" and "active on parent p" in caught.value.sentence


def test_define_what_is_active(client):
    client.manager("Define", "sssa(ss)a{sv}", UUID, "", "", [], {})
    (row,) = client.manager("ListDevices", "a{sv}", {"uuid": ("s", UUID)})
    assert row[2:6] == ("p", "t", True, True)
