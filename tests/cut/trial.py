# SPDX-License-Identifier: LGPL-2.1-or-later

"""One operation cut off, or let down by the disk, at one of its system calls; and what must hold then.

The same on a tree of plain files and in the guest: a Stage is what there is to look at, a Play what is asked for.
"""

import contextlib
import dataclasses
import errno
import itertools
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid

TOP = pathlib.Path(__file__).parents[2]
sys.path.append(str(TOP / "tests/vm/cases"))

from bus import MANAGER, NAME, PATH, BusError, Mdevd, error  # noqa: E402
from cutter import BOTH, DAEMON, WORKER, Cutter  # noqa: E402, F401 (for the cases)
from definitions import text_of  # noqa: E402
from follower import definitions_in  # noqa: E402
from guest import wait_until  # noqa: E402

# What a program on a busy machine may take.
PATIENCE = 60

DONE = "done"
FAILED = "org.freedesktop.DBus.Error.Failed"


class Daemon:
    """mdevd without a systemd, that can be killed and started as often as one likes."""

    def __init__(self, words, directory, environment=None):
        self.words = words
        self.directory = directory
        self.environment = environment or os.environ
        self.process = None

    def start(self):
        address = self.directory / "notify"
        address.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready, open(self.directory / "log", "ab") as log:
            ready.bind(str(address))
            ready.settimeout(PATIENCE)
            environment = {**self.environment, "NOTIFY_SOCKET": str(address)}
            self.process = subprocess.Popen(self.words, env=environment, stdout=log, stderr=log)
            while b"READY=1" not in ready.recv(4096):
                pass

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)

    def is_alive(self):
        return self.process.poll() is None


@dataclasses.dataclass
class State:
    """What there is of one UUID: definitions by parent, each (type, autostart, attributes), and the device, if any,
    as (parent, type, attributes)."""

    definitions: dict
    device: tuple = None


class Stage:
    """A daemon, and the places where its work shows. Between two trials it knows of no device."""

    # Devices by UUID as the kernel shows them.
    def devices(self):
        return {}

    def attributes(self, uuid):
        """Those that a device of the kernel's was given."""
        return []

    def __init__(self, program, daemon, root):
        self.program = program
        self.daemon = daemon
        self.definitions = root / "etc/mdevctl.d"
        self.run = root / "run/mdevd"
        self.client = None

    def start(self):
        self.daemon.start()
        self.client = Mdevd()

    def stop(self):
        if self.daemon.process:
            self.daemon.kill()
        if self.client:
            # Else the next one may ask for the name before the bus has noticed the death of this one.
            wait_until(lambda: not has_owner(self.client), timeout=PATIENCE)
            self.client.close()
            self.client = None

    def restart(self):
        self.stop()
        self.start()

    def files(self):
        return sorted(path for path in self.definitions.glob("*/*") if path.parent.name != "scripts.d")

    def directories(self):
        return {path.name for path in self.definitions.iterdir() if path.is_dir()} - {"scripts.d"}

    def strays(self):
        """Temporary files, and locks of what is over. Each is told once."""
        temporary = [path for directory in (self.definitions, self.run) for path in directory.rglob(".mdevd-*")]
        paths = [*temporary, *(self.run / "busy").iterdir()]
        for path in paths:
            path.unlink(missing_ok=True)
        return [str(path) for path in paths]

    def is_quiet(self):
        return self.client.property(PATH, MANAGER, "NPending") == 0

    # Looks

    def picture_troubles(self, known=None):
        """Where the daemon's picture differs from what is there. It is given the time that events take. KNOWN: why
        something that could not be read may be named."""
        troubles = []

        def is_true():
            troubles[:] = self.differences(known)
            return not troubles

        with contextlib.suppress(AssertionError):
            wait_until(is_true, timeout=PATIENCE / 4)
        return troubles

    def differences(self, known):
        try:
            defined = definitions_in(self.files())
        except FileNotFoundError:
            return ["definitions that come and go"]
        except ValueError as failure:
            return [f"a definition does not parse: {failure}"]
        told = {}
        live = {}
        for row in self.client.devices():
            if row.defined:
                told[row.uuid, row.parent] = row.type, row.autostart, row.attributes
            if row.active:
                live[row.uuid] = row.parent, row.type
            if row.state not in ("defined", "active"):
                live[row.uuid] = row.state
        return [f"{what}: the bus says {a}, but there is {b}" for what, a, b in (
            ("definitions", told, defined),
            ("devices", live, self.devices()),
            ("invalid definitions", [row for row in self.client.property(PATH, MANAGER, "InvalidDefinitions")
                                     if row[1] != known], []),
            ("operations", self.client.property(PATH, MANAGER, "NPending"), 0),
        ) if a != b]

    def found(self, uuid):
        """The definitions on disk: their texts by parent."""
        return {path.parent.name: path.read_text() for path in self.files() if path.name == uuid}

    def file_troubles(self, uuid, before, after, answer):
        """Whether each definition is wholly the one or the other, and what the client was told."""
        troubles = []
        was, becomes, found = texts(before), texts(after), self.found(uuid)
        for parent in {*was, *becomes, *found}:
            if found.get(parent) not in (was.get(parent), becomes.get(parent)):
                troubles.append(f"{parent}: neither old nor new: {found.get(parent)!r}")
        if answer == DONE and found != becomes:
            troubles.append(f"told that it was done, but there is {found}")
        if answer and answer != DONE and found != was:
            troubles.append(f"told that it was refused ({answer}), but there is {found}")
        if answer and answer != DONE and self.directories() != set(was):
            troubles.append(f"told that it was refused ({answer}), but there is a new directory")
        return troubles

    def device_troubles(self, uuid, before, after, answer):
        device = self.devices().get(uuid)
        states = [state.device and state.device[:2] for state in (before, after)]
        troubles = []
        if device not in states:
            troubles.append(f"neither the old nor the new device: {device}")
        if answer == DONE and device != states[1]:
            troubles.append(f"told that it was done, but the device is {device}")
        if answer and answer != DONE and device != states[0]:
            troubles.append(f"told that it was refused ({answer}), but the device is {device}")
        if device and after.device and self.attributes(uuid) != after.device[2]:
            if answer == DONE or not self.client.device_property(uuid, "LastError")[0]:
                troubles.append(f"half made, and nobody says so: {self.attributes(uuid)}")
        return troubles

    def clean_up(self, uuid):
        """Further operations on the UUID, which must work: so it is in nobody's hand any more."""
        troubles = []
        try:
            if uuid in self.devices():
                self.client.stop(uuid)
            if any(path.name == uuid for path in self.files()):
                self.client.undefine(uuid)
            self.exercise(uuid)
        except (BusError, TimeoutError) as failure:
            troubles.append(f"a further operation: {failure}")
        troubles += [f"left behind: {path}" for path in [*self.files(), *self.devices()]]
        # Each trial finds no parent's directory, and has to make one.
        for name in self.directories():
            shutil.rmtree(self.definitions / name)
        return troubles

    def exercise(self, uuid):
        self.client.define("elsewhere", "small", uuid)
        self.client.undefine(uuid)


def has_owner(client):
    return client.begin("/org/freedesktop/DBus", "org.freedesktop.DBus", "NameHasOwner", "s", NAME,
                        destination="org.freedesktop.DBus").result()


def texts(state):
    return {parent: text_of(type, "auto" if autostart else "manual", attributes)
            for parent, (type, autostart, attributes) in state.definitions.items()}


class Play:
    """An operation, from one state to another."""

    # Whether there is somebody who asked for it, and hears what became of it.
    has_asker = True

    def __init__(self, before, after, begin):
        self.before, self.after = before, after
        self._begin = begin

    def subject(self, uuid):
        """Whose operation the worker is given: see Cutter."""
        return uuid

    def prepare(self, stage, uuid):
        for parent, (type, autostart, attributes) in self.before.definitions.items():
            stage.client.define(parent, type, uuid, attributes, autostart=autostart, alternate=True)
        if self.before.device:
            parent, type, attributes = self.before.device
            if parent in self.before.definitions:
                stage.client.start(uuid, parent)
            else:
                stage.client.create(parent, type, uuid, attributes)

    def begin(self, stage, uuid):
        """Something with a result()."""
        return self._begin(stage.client, uuid)

    def troubles(self, stage, uuid, who):
        """What else must be true at the end."""
        return []


def answer_of(call):
    """DONE, the name of the error that it was refused with, or None if nobody says what became of it."""
    try:
        call.result()
        return DONE
    except BusError as failure:
        # That the worker died, or that the daemon did, is no word about the work.
        is_refusal = failure.name.startswith(f"{NAME}.") and failure.name != error("Pending")
        return failure.name if is_refusal else None


def cut_once(stage, play, who, nth):
    """Returns where it was cut, None if the operation has not that many calls; and what is wrong then."""
    name = str(uuid.uuid4())
    play.prepare(stage, name)
    cutter = Cutter(stage.program, stage.daemon.process.pid, who, play.subject(name), nth)
    answer = answer_of(play.begin(stage, name))
    cut = cutter.end()
    troubles = []
    if not play.has_asker:
        answer = None

    # A daemon that lost a worker must know what there is now, before a restart makes it look.
    if who == WORKER:
        troubles += stage.picture_troubles()
    stage.restart()
    wait_until(stage.is_quiet, timeout=PATIENCE)
    troubles += play.troubles(stage, name, who)
    troubles += stage.picture_troubles()
    troubles += stage.file_troubles(name, play.before, play.after, answer)
    troubles += stage.device_troubles(name, play.before, play.after, answer)
    troubles += [f"stray: {path}" for path in stage.strays()]
    troubles += stage.clean_up(name)
    return cut, troubles


def fail_once(stage, play, what, nth, pattern):
    """The same for a worker whose NTH call on the store fails; the daemon is not restarted."""
    name = str(uuid.uuid4())
    play.prepare(stage, name)
    cutter = Cutter(stage.program, stage.daemon.process.pid, WORKER, play.subject(name), nth, what, pattern)
    call = play.begin(stage, name)
    try:
        call.result()
        answer, troubles = DONE, []
    except BusError as failure:
        answer, troubles = failure.name, refusal_troubles(failure.name, failure.sentence, what)
    cut = cutter.end()
    if answer == DONE and cut and is_vital(what, cut):
        troubles.append("told that it was done, without the disk")

    # A reading that failed is named, and what was known before stands; with the next one it is forgotten.
    troubles += stage.picture_troubles(None if what == "short" else os.strerror(what))
    stage.client.rescan()
    troubles += stage.picture_troubles()
    troubles += stage.file_troubles(name, play.before, play.after, answer)
    troubles += stage.device_troubles(name, play.before, play.after, answer)
    troubles += [f"stray: {path}" for path in stage.strays()]
    if answer != DONE:
        # The next attempt, now that the disk works.
        call = play.begin(stage, name)
        again = answer_of(call)
        troubles += [] if again == DONE else [f"the next attempt: {again}"]
        troubles += stage.file_troubles(name, play.before, play.after, again)
    troubles += stage.clean_up(name)
    return cut, troubles


# What the sentence of an error of the store ends with.
UNCHANGED = "Nothing has changed."
CHANGED = "It could not be undone either: the definitions may have changed."


def fail_for_good(stage, play, error_number, nth, pattern, how):
    """The same for a disk that from that call on goes on saying no (HOW: see cut.c), to undoing as well, until the
    operation is over. What it does not let be undone the answer must tell of, and the daemon must know."""
    name = str(uuid.uuid4())
    play.prepare(stage, name)
    what = f"{error_number}{how}"
    cutter = Cutter(stage.program, stage.daemon.process.pid, WORKER, play.subject(name), nth, what, pattern)
    call = play.begin(stage, name)
    try:
        call.result()
        answer, sentence = DONE, ""
    except BusError as failure:
        answer, sentence = failure.name, failure.sentence
    cut = cutter.end()
    troubles = []
    if answer == DONE:
        troubles += [f"told that it was done, without {c[1]} {c[2]}" for c in cutter.cuts() if is_vital(error_number, c)]
    else:
        troubles += refusal_troubles(answer, sentence, error_number)

    # First from what the worker told; then with the disk well again.
    troubles += stage.picture_troubles(os.strerror(error_number))
    if nth % 2:
        stage.restart()
        wait_until(stage.is_quiet, timeout=PATIENCE)
    else:
        stage.client.rescan()
    troubles += stage.picture_troubles()
    found, becomes = stage.found(name), texts(play.after)
    is_told = CHANGED in sentence
    # That a directory stays is no change that anybody has to be told of.
    troubles += stage.file_troubles(name, play.before, play.after, answer if answer == DONE else None)
    if answer != DONE and not is_told and found != texts(play.before):
        troubles.append(f"told that nothing has changed, but there is {found}")
    troubles += stage.device_troubles(name, play.before, play.after, answer)
    troubles += [f"stray: {path}" for path in stage.strays()]
    if answer != DONE and not (is_told and found == becomes):
        again = answer_of(play.begin(stage, name))
        troubles += [] if again == DONE else [f"the next attempt: {again}"]
        troubles += stage.file_troubles(name, play.before, play.after, again)
    troubles += stage.clean_up(name)
    return cut, troubles, is_told


def refusal_troubles(answer, sentence, error_number):
    """Whether a refusal names the matter, and says what became of the files."""
    troubles = [] if answer == error("Store") else [f"an answer that does not name the matter: {answer}: {sentence}"]
    if os.strerror(error_number) not in sentence:
        troubles.append(f"a sentence that does not name the errno: {sentence}")
    if (UNCHANGED in sentence) == (CHANGED in sentence):
        troubles.append(f"a sentence that does not say what became of the files: {sentence}")
    return troubles


def is_vital(what, cut):
    """Calls without which nothing is written, or nothing lasts; a write that was interrupted is repeated."""
    return cut[1] in ("fsync", "mkdirat", "renameat", "renameat2") or (cut[1] == "write" and what not in ("short", errno.EINTR))


class Figures:
    """What was tried, and what was wrong."""

    def __init__(self, what):
        self.what = what
        self.tried = 0
        self.violations = []
        self.began = time.monotonic()

    def add(self, label, cut, troubles):
        self.tried += bool(cut)
        where = f"call {cut[0]} ({cut[1]} {cut[2]})" if cut else "uncut"
        self.violations += [f"{label}, {where}: {trouble}" for trouble in troubles]

    def __str__(self):
        seconds = time.monotonic() - self.began
        return f"{self.what} tried: {self.tried}, violations: {len(self.violations)} ({seconds:.0f} s)"


def cut_off(stage, play, label, who, some, figures):
    """Kill at SOME of the calls, or at all of them."""
    total = count_calls(stage, play, who, "kill", "")
    try_calls(total, some, lambda nth: cut_once(stage, play, who, nth), label, figures)


def let_fail(stage, play, label, what, pattern, some, figures):
    """The same with calls on the store that fail."""
    total = count_calls(stage, play, WORKER, what, pattern)
    try_calls(total, some, lambda nth: fail_once(stage, play, what, nth, pattern), label, figures)


def let_fail_for_good(stage, play, label, error_number, how, pattern, some, figures):
    """The same with a disk that goes on saying no. Returns how often the answer was that something may have changed."""
    total = count_calls(stage, play, WORKER, f"{error_number}{how}", pattern)
    told = []

    def attempt(nth):
        cut, troubles, is_told = fail_for_good(stage, play, error_number, nth, pattern, how)
        told.append(is_told)
        return cut, troubles

    try_calls(total, some, attempt, label, figures)
    return sum(told)


def count_calls(stage, play, who, what, pattern):
    name = str(uuid.uuid4())
    play.prepare(stage, name)
    cutter = Cutter(stage.program, stage.daemon.process.pid, who, play.subject(name), 0, what, pattern)
    play.begin(stage, name).result()
    cutter.end()
    assert not stage.clean_up(name)
    return cutter.count()


def try_calls(total, some, attempt, label, figures):
    """Try to cut at SOME of TOTAL calls, or at all, and beyond until there are no more."""
    step = max(1, total // some) if some else 1
    for nth in range(1 + step // 2, total + 1, step) if some else itertools.count(1):
        cut, troubles = attempt(nth)
        figures.add(label, cut, troubles)
        if not cut and nth > total:
            break
