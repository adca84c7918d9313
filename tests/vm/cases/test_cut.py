# SPDX-License-Identifier: LGPL-2.1-or-later
"""An operation in the kernel, cut off at each of its system calls: no device is lost, no UUID is taken for ever, and
the next daemon knows what there is.

Here at some of them; `tests/cut/run --guest` tries all, which takes hours. The program that does it,
and what is held to be true, are in tests/cut, where the same is done with operations on files.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mdevsim
import service
import sysfs
from definitions import remove_definitions
from guest import wait_until
from mdevsim import SMALL

TOP = Path(__file__).parents[3]
sys.path.append(str(TOP / "tests/cut"))

from cutter import BOTH, DAEMON, WORKER  # noqa: E402
from trial import PATIENCE, Daemon, Figures, Play, Stage, State, cut_off  # noqa: E402

SOME = None if os.environ.get("MDEVD_CUTS") == "all" else 1

LOG = [("log", "one"), ("log", "two")]


class GuestStage(Stage):
    def __init__(self, parent):
        super().__init__("/run/mdevd-test/out/cut", Daemon(["/usr/libexec/mdevd"], Path("/run/mdevd-test")), Path("/"))
        self.parent = parent

    def devices(self):
        return {uuid: (sysfs.parent_of(uuid), sysfs.type_of(uuid)) for uuid in sysfs.devices()}

    def attributes(self, uuid):
        return [("log", line) for line in (sysfs.DEVICES / uuid / "log").read_text().splitlines()]

    def exercise(self, uuid):
        self.client.create(self.parent, SMALL, uuid, LOG)
        self.client.stop(uuid)


class Autostart(Play):
    """The parent comes, and nobody asks for anything."""

    has_asker = False

    def __init__(self, parent):
        definitions = {parent.name: (SMALL, True, LOG)}
        super().__init__(State(definitions), State(definitions, (parent.name, SMALL, LOG)), None)
        self.parent = parent

    def prepare(self, stage, uuid):
        super().prepare(stage, uuid)
        self.parent.registered = 0
        wait_until(lambda: not stage.client.has_parent(self.parent))

    def begin(self, stage, uuid):
        self.parent.registered = 1
        return Arrival(stage, uuid)

    def troubles(self, stage, uuid, who):
        """It is started sooner or later, by whatever daemon there is then; only who has lost its worker gives up, and
        says so."""
        def is_over():
            return stage.client.state(uuid) == "active" or who == WORKER and self.has_failed(stage, uuid)

        wait_until(is_over, timeout=PATIENCE)
        if stage.client.state(uuid) != "active":
            failures = stage.client.start_parent(self.parent)
            return [f"started by hand: {sentence}" for sentence in failures.values()]
        return []

    @staticmethod
    def has_failed(stage, uuid):
        return stage.client.device_property(uuid, "Pending") == "failed"


class Arrival:
    """What to wait for, as if it were a call: that it has begun; that it is over shows when all is quiet."""

    def __init__(self, stage, uuid):
        self.stage, self.uuid = stage, uuid

    def result(self):
        wait_until(self.is_over, timeout=PATIENCE)

    def is_over(self):
        if not self.stage.daemon.is_alive():
            return True
        return self.uuid in sysfs.devices() or Autostart.has_failed(self.stage, self.uuid)


@pytest.fixture(scope="module")
def stage():
    service.stop()
    service.systemctl("mask", "--runtime", service.SERVICE)
    remove_definitions()
    # Those of earlier daemons have something to do only as long as a case lasts.
    wait_until(lambda: not service.workers())
    s = GuestStage(mdevsim.parents()[0])
    try:
        s.start()
        yield s
    finally:
        s.stop()
        subprocess.run(["systemctl", "unmask", "--runtime", service.SERVICE], check=True, timeout=60)


def play_of(name):
    parent = mdevsim.parents()[0]
    definitions = {parent.name: (SMALL, False, LOG)}
    device = (parent.name, SMALL, LOG)
    if name == "create":
        return Play(State({}), State({}, device), lambda mdevd, uuid: mdevd.begin_create(parent, SMALL, uuid, LOG))
    if name == "create-and-define":
        return Play(State({}), State(definitions, device),
                    lambda mdevd, uuid: mdevd.begin_create(parent, SMALL, uuid, LOG, define=True))
    if name == "start":
        return Play(State(definitions), State(definitions, device), lambda mdevd, uuid: mdevd.begin_start(uuid))
    if name == "stop":
        return Play(State(definitions, device), State(definitions), lambda mdevd, uuid: mdevd.begin_stop(uuid))
    return Autostart(parent)


@pytest.mark.seconds(120 if SOME else 3600)
@pytest.mark.parametrize("name", ["create", "create-and-define", "start", "stop", "autostart"])
def test_cut_off(stage, name):
    figures = Figures(f"{name}: cuts")
    for who in (DAEMON, WORKER, BOTH):
        cut_off(stage, play_of(name), f"{name}, {who} killed", who, SOME, figures)
    print(figures)
    assert figures.tried and not figures.violations, "\n".join(figures.violations)
