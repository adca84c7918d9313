# SPDX-License-Identifier: LGPL-2.1-or-later
"""A model under load, the short version; tests/vm/soak is the long one.

MDEVD_SOAK_SEED repeats what was decided (who gets through first is the kernel's affair), MDEVD_SOAK_OPERATIONS says how
much there is to be done (tests/vm/run --setenv …).
"""

import contextlib
import os
import random
import time
from pathlib import Path

import pytest

import service
from history import BUSY, DONE, NOTHING, Definition, Device, History, Operation, State
from mdevsim import NOGROUP, parents
from soak import WORKERS, Host, Soak

OPERATIONS = int(os.environ.get("MDEVD_SOAK_OPERATIONS", 600))
SEED = int(os.environ.get("MDEVD_SOAK_SEED") or random.SystemRandom().randrange(1, 1 << 32))

# What the daemon may grow by, in KiB, from a quiet moment to another; the sanitizers keep what was freed.
GROWTH = 1024 if "ASAN_OPTIONS" not in os.environ else float("inf")

# Where the host finds it: build/vm.
FIGURE = Path("/run/mdevd-test/out/soak.txt")


@pytest.mark.seconds(300 + OPERATIONS // 5)
def test_soak(mdevd):
    again = f"tests/vm/soak --operations {OPERATIONS} --seed {SEED}"
    print(again, flush=True)
    began = time.monotonic()
    with service.settings("LogLevelMax=warning", "[Unit]", "StartLimitIntervalSec=0"):
        with contextlib.closing(Soak(SEED, OPERATIONS, min(300, OPERATIONS // 10))) as soak:
            soak.run()
    for (verb, answer), count in sorted(soak.outcomes.items()):
        print(f"{count:8} {verb}: {answer}")
    memory, files, workers = soak.grown()
    figure = (f"{soak.figure()}, memory {memory[0]} → {memory[1]} KiB, files {files[0]} → {files[1]}, "
              f"workers {workers[0]} → {workers[1]} ({time.monotonic() - began:.0f} s)")
    FIGURE.write_text(figure + "\n")
    assert not soak.violations, again
    assert memory[1] - memory[0] < GROWTH and files[1] <= files[0] and workers[1] <= WORKERS, figure


# What would be the worth of it if the model believed everything.

HERE = Definition("0000:00:10.0", NOGROUP, False, ())
ELSEWHERE = HERE._replace(parent="0000:00:11.0")
DEFINED = State((HERE, ), None)


@pytest.fixture
def history():
    return History("a UUID", Host(parents()))


def tell(history, verb, answer, **arguments):
    operation = Operation(verb, history.uuid, history.host.tick, **arguments)
    history.begin(operation)
    return history.end(operation, answer)


def define(history, answer, definition=HERE):
    return tell(history, "define", answer, parent=definition.parent, definition=definition, alternate=False)


@pytest.mark.parametrize("answers, expected", [
    ([DONE], True), (["Exists"], False), (["TryAgain"], False), ([DONE, DONE], False), ([DONE, "Exists"], True),
])
def test_the_model_knows_what_one_client_can_be_told(history, answers, expected):
    assert all([define(history, answer) for answer in answers]) == expected


@pytest.mark.parametrize("answers, expected", [
    ((DONE, "Exists"), True), (("TryAgain", DONE), True), ((DONE, DONE), False), (("Exists", "Exists"), False),
    (("Exists", "TryAgain"), False),
])
def test_the_model_knows_what_two_clients_can_be_told(history, answers, expected):
    operations = [Operation("define", history.uuid, parent=definition.parent, definition=definition, alternate=False)
                  for definition in (HERE, ELSEWHERE)]
    for operation in operations:
        history.begin(operation)
    assert all([history.end(*pair) for pair in zip(operations, answers)]) == expected


@pytest.mark.parametrize("verb, arguments, answer, possible", [
    ("start", {"parent": ""}, DONE, True), ("start", {"parent": ""}, "NoCapacity", False),
    ("start", {"parent": ""}, "Kernel", False), ("start", {"parent": ELSEWHERE.parent}, "NotFound", True),
    ("stop", {}, DONE, False), ("stop", {}, "NotActive", True), ("stop", {}, "NotFound", False),
    ("undefine", {"parent": ""}, DONE, True), ("undefine", {"parent": ""}, "NotFound", False),
    ("look", {}, ((HERE, ), None), True), ("look", {}, ((), None), False), ("look", {}, BUSY, False),
    ("modify", {"parent": "", "change": {"autostart": True}}, "Ambiguous", False),
])
def test_the_model_knows_what_a_definition_means(history, verb, arguments, answer, possible):
    define(history, DONE)
    assert tell(history, verb, answer, **arguments) == possible


@pytest.mark.parametrize("state, possible", [
    (NOTHING, True), (DEFINED, True), (State((ELSEWHERE, ), None), False), (State((), Device(*HERE[:2], ())), False),
])
def test_the_model_knows_what_a_lost_call_may_leave(history, state, possible):
    operation = Operation("define", history.uuid, parent=HERE.parent, definition=HERE, alternate=False)
    history.begin(operation)
    history.lose(operation)
    assert history.settle(state) == possible


@pytest.mark.parametrize("answer, possible", [(DONE, False), ("Attribute", True), ("Failed", False)])
def test_the_model_knows_what_no_driver_takes(history, answer, possible):
    define(history, DONE, HERE._replace(attributes=(("nosuch", "1"), )))
    assert tell(history, "start", answer, parent="") == possible


def test_the_model_knows_what_a_dead_worker_leaves(history):
    define(history, DONE, HERE._replace(attributes=(("nosuch", "1"), )))
    history.host.killed_worker = history.host.tick
    assert tell(history, "start", "Failed", parent="") and tell(history, "start", "Exists", parent="")
    assert tell(history, "stop", DONE) and tell(history, "stop", "NotActive")


def test_the_model_knows_what_hardware_explains(history):
    definition = HERE._replace(autostart=True)
    active = State((definition, ), Device(*definition[:2], ()))
    define(history, DONE, definition)
    assert not history.settle(active)
    history.settle(DEFINED._replace(definitions=(definition, )))
    history.host.disturbed.add(definition.parent)
    assert history.settle(active) and tell(history, "start", "ParentAbsent", parent="")


@pytest.mark.parametrize("restless", [False, True])
def test_the_model_knows_what_a_parent_takes_along(history, restless):
    """A creation that failed leaves nothing, if its parent is not just then at it; and in the end nothing at all."""
    definition = HERE._replace(attributes=(("nosuch", "1"), ))
    define(history, DONE, definition)
    history.host.disturbed |= {definition.parent} if restless else set()
    assert tell(history, "start", "Attribute", parent="")
    assert not history.settle(State((definition, ), Device(*definition[:2], ())))
    history.settle(State((definition, ), None))
    assert tell(history, "start", "Attribute", parent="") and tell(history, "start", "Exists", parent="") == restless
