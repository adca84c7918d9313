# SPDX-License-Identifier: LGPL-2.1-or-later

"""Whatever polkit answers, only a well-formed yes is one. (What the real one does, tests/vm has.)"""

import contextlib
import os
import threading

import pytest
from jeepney import HeaderFields, MessageType, message_bus, new_error, new_method_return

from host import Client

NOBODY = 65534
DENIED = "org.freedesktop.DBus.Error.AccessDenied"
INTERACTIVE = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
POLKIT = "org.freedesktop.PolicyKit1"

# A signature and a body, or the name of an error; and what comes of it.
ANSWERS = {
    "yes": ("(bba{ss})", ((True, False, {}),), None),
    "yes-with-details": ("(bba{ss})", ((True, False, {"polkit.retains_authorization_after_challenge": "1"}),), None),
    "no": ("(bba{ss})", ((False, False, {}),), DENIED),
    "ask": ("(bba{ss})", ((False, True, {}),), INTERACTIVE),
    "error": (None, "org.freedesktop.PolicyKit1.Error.Failed", DENIED),
    "nothing": (None, (), DENIED),
    "no-structure": ("bba{ss}", (True, False, {}), DENIED),
    "no-details": ("(bb)", ((True, False),), DENIED),
    "other-details": ("(bba{sv})", ((True, False, {}),), DENIED),
    "a-number": ("(uba{ss})", ((1, False, {}),), DENIED),
    "a-string": ("s", ("yes",), DENIED),
}


@contextlib.contextmanager
def polkit(bus, signature, answer):
    """One that answers all questions alike; a list of who and what was asked for."""
    asked = []
    with bus.connect() as connection:
        connection.send_and_get_reply(message_bus.RequestName(POLKIT))

        def serve():
            with contextlib.suppress(OSError, EOFError):
                while True:
                    call = connection.receive()
                    if call.header.message_type is not MessageType.method_call:
                        continue
                    # The other one takes a question back.
                    if call.header.fields[HeaderFields.member] == "CheckAuthorization":
                        asked.append(call.body)
                    reply = new_error(call, answer) if isinstance(answer, str) else new_method_return(call, signature, answer)
                    connection.send(reply)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield asked
        connection.sock.shutdown(2)
        thread.join()


@pytest.fixture
def nobody(host):
    """A client that may do nothing without polkit."""
    host.tree.add_type("parent", "type", 1)
    host.start()
    host.directory.chmod(0o755)
    os.seteuid(NOBODY)
    try:
        client = Client(host.bus)
    finally:
        os.seteuid(0)
    yield client
    client.connection.close()


@pytest.mark.parametrize("answer", ANSWERS)
def test_only_yes_is_yes(host, nobody, answer):
    signature, body, expected = ANSWERS[answer]
    define = ("Define", "sssa(ss)a{sv}", "", "parent", "type", [], {})
    with polkit(host.bus, signature, body) as asked:
        if expected:
            assert nobody.refused(*define).name == expected
            assert not (host.tree.definitions / "parent").exists()
        else:
            uuid, _ = nobody.manager(*define)
            assert (host.tree.definitions / "parent" / uuid).exists()
    assert [(subject, action) for subject, action, *_ in asked] == [
        (("system-bus-name", {"name": ("s", nobody.connection.unique_name)}), "org.mdevd1.define")
    ]
