# SPDX-License-Identifier: LGPL-2.1-or-later

"""The name on the bus: whoever has it yet is waited for, for a bus that has not noticed the end of a daemon is no reason
to fail; but not for ever."""

import os
import signal
import time

import pytest
from host import PATIENCE
from jeepney import message_bus

NAME = "org.mdevd1"


class Holder:
    """Somebody who has mdevd's name."""

    def __init__(self, bus):
        self.connection = bus.connect()
        assert self.call(message_bus.RequestName(NAME)) == 1

    def call(self, message):
        return self.connection.send_and_get_reply(message, timeout=PATIENCE).body[0]

    def wait_for_second(self):
        end = time.monotonic() + PATIENCE
        while len(self.call(message_bus.ListQueuedOwners(NAME))) < 2:
            assert time.monotonic() < end
            time.sleep(0.01)


@pytest.fixture
def holder(host):
    h = Holder(host.bus)
    yield h
    h.connection.close()


def test_the_name_is_free_soon(host, holder):
    def release(_, ready):
        holder.wait_for_second()
        # It is not ready yet, and has not given up.
        ready.setblocking(False)
        with pytest.raises(BlockingIOError):
            while b"READY=1" not in ready.recv(4096):
                pass
        ready.settimeout(PATIENCE)
        holder.call(message_bus.ReleaseName(NAME))

    client = host.start(release)
    assert client.manager("ListParents") == []


def test_the_name_is_not_free(host, holder):
    def end(process, _):
        assert process.wait(PATIENCE) == 1
        raise EOFError

    with pytest.raises(EOFError):
        host.start(end)
    host.daemon = None
    assert "Cannot take the name org.mdevd1 on the bus: another process has it" in host.logs[-1].read_text()


def test_killed_and_started_at_once(host):
    """Before the bus has had a moment to notice."""
    host.start()
    for _ in range(5):
        host.client.connection.close()
        os.kill(host.bus.process.pid, signal.SIGSTOP)
        try:
            host.daemon.kill()
            host.daemon.wait(PATIENCE)
            client = host.start(lambda *_: os.kill(host.bus.process.pid, signal.SIGCONT))
        finally:
            os.kill(host.bus.process.pid, signal.SIGCONT)
        assert client.manager("ListParents") == []
