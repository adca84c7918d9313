# SPDX-License-Identifier: LGPL-2.1-or-later
"""What every case begins and ends with: idle parents, no devices, a kernel without complaints, a bound in time."""

import contextlib
import pwd
import re
import signal
import threading

import pytest

import bus
import mdevsim
import service
import sysfs
from definitions import remove_definitions
from guest import KERNEL, kernel_log, wait_until
from reports import SANITIZED, Reports
from scripts import Scripts

# Longer than any case should take on a busy machine. A case that hangs costs this much and its own result.
CASE_SECONDS = 120

REMOVE_SECONDS = 20


# What was left out, and why.
LEFT_OUT = pytest.StashKey()


def pytest_collection_modifyitems(config, items):
    """Leave out what this kernel, or a build with sanitizers, cannot show."""
    left_out = [(item, f"on {KERNEL[0]}.{KERNEL[1]}", marker.args[2])
                for item in items for marker in item.iter_markers("since") if KERNEL < marker.args[:2]]
    left_out += [(item, "of a sanitized build", marker.args[0])
                 for item in items for marker in item.iter_markers("unsanitized") if SANITIZED]
    config.stash[LEFT_OUT] = left_out
    out = {item for item, _, _ in left_out}
    config.hook.pytest_deselected(items=list(out))
    items[:] = [item for item in items if item not in out]


def pytest_terminal_summary(terminalreporter, config):
    for item, where, reason in config.stash.get(LEFT_OUT, []):
        terminalreporter.write_line(f"left out {where}: {item.nodeid}: {reason}")


@pytest.fixture
def parents():
    return mdevsim.parents()


@pytest.fixture
def parent(parents):
    return parents[0]


@pytest.fixture
def other_parent(parents):
    return parents[1]


@pytest.fixture
def mdevd():
    """A client of a daemon that knows no devices; the first one starts it."""
    remove_definitions()
    with bus.Mdevd() as client:
        wait_until(lambda: is_empty(client))
        for parent in mdevsim.parents():
            parent.reset()
        yield client


def is_empty(client):
    """What a parent that came back has had started in the meantime is stopped."""
    client.rescan()
    for row in client.devices():
        with contextlib.suppress(bus.BusError):
            client.stop(row.uuid)
    return client.devices() == []


@pytest.fixture
def clients():
    """A function that makes one more client."""
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(bus.Mdevd())


@pytest.fixture
def users():
    """A function that makes a client that is an ordinary user's."""
    with contextlib.ExitStack() as stack:

        def make(name="tester"):
            with bus.as_user(pwd.getpwnam(name).pw_uid):
                client = bus.Mdevd()
            return stack.enter_context(client)

        yield make


@pytest.fixture
def scripts():
    """Call-outs and notifiers, of which there are none yet."""
    made = Scripts()
    yield made
    made.remove()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    marker = item.get_closest_marker("seconds")
    bound = marker.args[0] if marker else CASE_SECONDS

    def give_up(number, frame):
        pytest.fail(f"not done after {bound} s")

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(bound)
    yield
    signal.alarm(0)


@pytest.fixture(autouse=True)
def clean_guest():
    with kernel_log() as log:
        yield
        # First these: a parent that comes back is a reason to start what is marked.
        remove_definitions()
        restore_parents()
    if log.troubles():
        pytest.fail("\n".join(["the kernel complained:", *log.troubles()]))


@pytest.fixture(scope="session")
def reports():
    """At the end the daemon ends too, and its workers, for only then it is known what they have lost."""
    if not SANITIZED:
        yield None
        return
    found = Reports()
    yield found
    service.stop()
    wait_until(lambda: service.workers() == [])
    if lines := found.last():
        pytest.fail("\n".join(["the sanitizers complained:", *lines]))


@pytest.fixture(autouse=True)
def no_reports(reports):
    yield
    if reports and (lines := reports.new()):
        pytest.fail("\n".join(["the sanitizers complained:", *lines]))


def restore_parents():
    for parent in mdevsim.parents():
        parent.reset()
    wait_until(nothing_under_way, timeout=REMOVE_SECONDS)
    remove_devices()
    for parent in mdevsim.parents():
        restore_parent(parent)
    # What was done to clean up is no figure of the next case.
    for parent in mdevsim.parents():
        parent.reset()


def nothing_under_way():
    return not any(parent.creating or parent.removing for parent in mdevsim.parents())


def remove_devices():
    """In a thread, because the removal of a device that is still in use does not end."""
    leftovers = sysfs.devices()
    remover = threading.Thread(target=lambda: [remove_device(uuid) for uuid in leftovers], daemon=True)
    remover.start()
    remover.join(REMOVE_SECONDS)
    if remover.is_alive():
        pytest.fail("a device is still in use: " + " ".join(leftovers))


def remove_device(uuid):
    try:
        sysfs.remove(uuid)
    except FileNotFoundError:
        # An orphan, or one that its parent took along.
        parent = mdevsim.Parent(sysfs.parent_of(uuid))
        if parent.is_present():
            parent.registered = 0


def restore_parent(parent):
    """Back to what the guest started with."""
    device = mdevsim.PCI / "devices" / parent.name
    if not re.match(r"[0-9a-f]{4}:", parent.name):
        mdevsim.delete_parent(parent)
        return
    if not device.exists():
        mdevsim.rescan()
    if not (device / "driver").exists():
        parent.bind()
    parent.registered = 1
    if parent.types() != set(mdevsim.TYPES):
        parent.registered = 0
        parent.registered = 1
    wait_until(lambda: parent.takes_limit(mdevsim.LIMIT))
