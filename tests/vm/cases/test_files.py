# SPDX-License-Identifier: LGPL-2.1-or-later
"""Hands on the definition files are seen, whosever they are. Nothing here asks the daemon to look."""

import collections
import contextlib
import ctypes
import itertools
import json
import os
import shutil
import socket
import stat
import struct
import subprocess
import threading
import time

import pytest
from jeepney import HeaderFields

import service
from bus import MANAGER, PATH, BusError, Mdevd, device_path, error
from definitions import DIRECTORY, file_of, files, remove_definitions, text_of
from guest import new_uuid, wait_until
from mdevsim import LARGE, SMALL

# Names of parents that nobody has.
ELSEWHERE = "elsewhere"
OTHER = "other"

SECONDS = 20

# A message id of mdevd's.
INVALID_DEFINITION = "3fa9d6c15e7b4280b4c8e1f0927d5a36"


def put(parent, uuid, type=SMALL, start="manual"):
    path = file_of(parent, uuid)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text_of(type, start))
    return path


def definitions(mdevd, uuid):
    """Parents and types that the daemon knows definitions of."""
    rows = mdevd.device_property(uuid, "Definitions")
    return {row[0]: row[1] for row in rows or []}


def wait_for(mdevd, uuid, **known):
    wait_until(lambda: definitions(mdevd, uuid) == known, SECONDS)


def invalid(mdevd):
    """Paths below the tree, and reasons."""
    rows = mdevd.property(PATH, MANAGER, "InvalidDefinitions")
    return {path.removeprefix(f"{DIRECTORY}/"): reason for path, reason in rows}


def wait_for_invalid(mdevd, *paths):
    """Returns the reasons, in the order of PATHS."""
    wait_until(lambda: set(invalid(mdevd)) == set(paths), SECONDS)
    reasons = invalid(mdevd)
    return [reasons[path] for path in paths]


def barrier(mdevd):
    """Until the daemon has taken in what was done before."""
    put("zzz-barrier", uuid := new_uuid())
    wait_until(lambda: definitions(mdevd, uuid), SECONDS)
    file_of("zzz-barrier", uuid).unlink()
    wait_until(lambda: not definitions(mdevd, uuid), SECONDS)


def count(mdevd):
    return mdevd.property(PATH, MANAGER, "NDevices")


def test_put_edited_renamed_and_removed(mdevd):
    mdevd.subscribe()
    uuid = new_uuid()
    path = put(ELSEWHERE, uuid)
    mdevd.wait_for_added(device_path(uuid))
    assert definitions(mdevd, uuid) == {ELSEWHERE: SMALL}

    # In place, as mdevctl does; and by a rename, as editors do.
    path.write_text(text_of(LARGE))
    wait_for(mdevd, uuid, elsewhere=LARGE)
    new = DIRECTORY / f".{uuid}.new"
    new.write_text(text_of(SMALL))
    os.replace(new, path)
    wait_for(mdevd, uuid, elsewhere=SMALL)

    # From one parent to another, with no moment in which there is none.
    put(OTHER, new_uuid())
    os.replace(path, file_of(OTHER, uuid))
    wait_for(mdevd, uuid, other=SMALL)

    mdevd.signals.clear()
    file_of(OTHER, uuid).unlink()
    mdevd.wait_for_removed(device_path(uuid))
    assert mdevd.device(uuid) is None


def test_marked_by_hand(mdevd):
    uuid = new_uuid()
    put(ELSEWHERE, uuid, start="auto")
    wait_until(lambda: mdevd.device_property(uuid, "Pending") == "parent-absent", SECONDS)
    put(ELSEWHERE, uuid)
    wait_until(lambda: mdevd.device_property(uuid, "Pending") == "", SECONDS)


def test_another_name_for_a_file(mdevd):
    first, second = new_uuid(), new_uuid()
    path = put(ELSEWHERE, first)
    wait_for(mdevd, first, elsewhere=SMALL)
    os.link(path, file_of(ELSEWHERE, second))
    wait_for(mdevd, second, elsewhere=SMALL)


def test_whole_directories(mdevd):
    uuids = [new_uuid() for _ in range(5)]
    # Made, with its files at once.
    for uuid in uuids:
        put(ELSEWHERE, uuid)
    for uuid in uuids:
        wait_for(mdevd, uuid, elsewhere=SMALL)
    # To another name, away, and back.
    os.rename(DIRECTORY / ELSEWHERE, DIRECTORY / OTHER)
    for uuid in uuids:
        wait_for(mdevd, uuid, other=SMALL)
    away = DIRECTORY / "scripts.d" / "away"
    os.rename(DIRECTORY / OTHER, away)
    wait_until(lambda: count(mdevd) == 0, SECONDS)
    # What happens there is nobody's business, but what is in it counts when it is back.
    (away / uuids[0]).write_text(text_of(LARGE))
    barrier(mdevd)
    assert count(mdevd) == 0
    os.rename(away, DIRECTORY / OTHER)
    for uuid in uuids:
        wait_for(mdevd, uuid, other=LARGE if uuid == uuids[0] else SMALL)
    put(OTHER, uuids[1], LARGE)
    wait_for(mdevd, uuids[1], other=LARGE)

    shutil.rmtree(DIRECTORY / OTHER)
    wait_until(lambda: count(mdevd) == 0, SECONDS)


def test_odd_names(mdevd):
    upper, bare = new_uuid(), new_uuid()
    path = put(ELSEWHERE, upper.upper())
    put(ELSEWHERE, bare.replace("-", ""))
    for uuid in (upper, bare):
        wait_for(mdevd, uuid, elsewhere=SMALL)
    assert invalid(mdevd) == {}
    # Not renamed, and changed under the name that they have.
    mdevd.modify(upper, autostart=True)
    assert json.loads(path.read_text())["start"] == "auto"
    assert {path.name for path in files()} == {upper.upper(), bare.replace("-", "")}
    path.write_text(text_of(LARGE))
    wait_for(mdevd, upper, elsewhere=LARGE)
    mdevd.undefine(upper)
    file_of(ELSEWHERE, bare.replace("-", "")).unlink()
    wait_until(lambda: count(mdevd) == 0, SECONDS)


def test_two_files_of_one_device(mdevd):
    uuid = new_uuid()
    odd = f"{ELSEWHERE}/{uuid.upper()}"
    put(ELSEWHERE, uuid.upper(), LARGE)
    wait_for(mdevd, uuid, elsewhere=LARGE)
    # The usual form is what counts, and the other one is told of.
    path = put(ELSEWHERE, uuid, SMALL)
    wait_for(mdevd, uuid, elsewhere=SMALL)
    assert "another file of the same device" in wait_for_invalid(mdevd, odd)[0]
    path.unlink()
    wait_for(mdevd, uuid, elsewhere=LARGE)
    wait_for_invalid(mdevd)


def test_half_written(mdevd):
    new, known = new_uuid(), new_uuid()
    put(ELSEWHERE, known)
    wait_for(mdevd, known, elsewhere=SMALL)
    text = text_of(LARGE)
    for uuid, before in ((new, {}), (known, {ELSEWHERE: SMALL})):
        with open(file_of(ELSEWHERE, uuid), "w") as file:
            file.write(text[: len(text) // 2])
            file.flush()
            barrier(mdevd)
            assert definitions(mdevd, uuid) == before and invalid(mdevd) == {}
            file.write(text[len(text) // 2:])
        wait_for(mdevd, uuid, elsewhere=LARGE)
    assert invalid(mdevd) == {}


def test_broken_and_mended(mdevd):
    uuid, neighbour = new_uuid(), new_uuid()
    path = put(ELSEWHERE, uuid)
    wait_for(mdevd, uuid, elsewhere=SMALL)
    path.write_text('{\n  "mdev_type": "x",\n  "start" "auto"\n}')
    reason, = wait_for_invalid(mdevd, f"{ELSEWHERE}/{uuid}")
    assert "line 3, column" in reason
    # What was there before is not there any more, and nobody else is hindered.
    wait_for(mdevd, uuid)
    put(ELSEWHERE, neighbour)
    wait_for(mdevd, neighbour, elsewhere=SMALL)
    assert any("line 3, column" in line for line in service.messages(INVALID_DEFINITION, MDEVD_PATH=path))

    path.write_text("")
    assert "line 3" not in wait_until(lambda: "line 3" not in (why := invalid(mdevd)[f"{ELSEWHERE}/{uuid}"]) and why)
    path.write_text(text_of(LARGE))
    wait_for(mdevd, uuid, elsewhere=LARGE)
    wait_for_invalid(mdevd)

    # And one that was never anything, removed.
    path = put(ELSEWHERE, other := new_uuid())
    path.write_text("[]")
    wait_for_invalid(mdevd, f"{ELSEWHERE}/{other}")
    path.unlink()
    wait_for_invalid(mdevd)


def make_directory(path):
    path.mkdir()


def make_fifo(path):
    os.mkfifo(path)


def make_link(path):
    path.symlink_to("/etc/passwd")


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(path))


def make_device(path):
    """One without an end."""
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))


def remove(path):
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink()


@pytest.mark.parametrize("make", [make_directory, make_fifo, make_link, make_socket, make_device])
def test_what_is_no_file(mdevd, make):
    uuid, neighbour = new_uuid(), new_uuid()
    put(ELSEWHERE, neighbour)
    wait_for(mdevd, neighbour, elsewhere=SMALL)
    path = file_of(ELSEWHERE, uuid)
    make(path)
    reason, = wait_for_invalid(mdevd, f"{ELSEWHERE}/{uuid}")
    assert reason in ("not a regular file", "a symbolic link")
    remove(path)
    wait_for_invalid(mdevd)

    # In the place of one that was there.
    put(ELSEWHERE, uuid)
    wait_for(mdevd, uuid, elsewhere=SMALL)
    path.unlink()
    make(path)
    wait_for_invalid(mdevd, f"{ELSEWHERE}/{uuid}")
    wait_for(mdevd, uuid)
    remove(path)
    wait_for_invalid(mdevd)
    assert definitions(mdevd, neighbour) == {ELSEWHERE: SMALL}


def test_in_the_wrong_place(mdevd):
    uuid, other = new_uuid(), new_uuid()
    (DIRECTORY / uuid).write_text(text_of(SMALL))
    assert wait_for_invalid(mdevd, uuid) == ["not in the directory of a parent"]
    put(ELSEWHERE, other)
    (DIRECTORY / ELSEWHERE / "notes.txt").write_text("not a definition")
    reasons = wait_for_invalid(mdevd, uuid, f"{ELSEWHERE}/notes.txt")
    assert reasons[1] == "the file's name is not a UUID"
    # Moved where it belongs.
    os.replace(DIRECTORY / uuid, DIRECTORY / ELSEWHERE / uuid)
    wait_for(mdevd, uuid, elsewhere=SMALL)
    (DIRECTORY / ELSEWHERE / "notes.txt").unlink()
    wait_for_invalid(mdevd)


def test_a_parents_directory_that_is_none(mdevd):
    uuid = new_uuid()
    put(ELSEWHERE, uuid)
    wait_for(mdevd, uuid, elsewhere=SMALL)
    real = DIRECTORY / "scripts.d" / "real"
    os.rename(DIRECTORY / ELSEWHERE, real)
    try:
        for make in (make_link, make_fifo):
            make(DIRECTORY / ELSEWHERE)
            wait_for(mdevd, uuid)
            put(OTHER, new_uuid())
            remove(DIRECTORY / ELSEWHERE)
    finally:
        os.rename(real, DIRECTORY / ELSEWHERE)
    wait_for(mdevd, uuid, elsewhere=SMALL)


@contextlib.contextmanager
def no_mount():
    """The tree as a directory that can be removed, not the mount that the guest has there."""
    service.stop()
    subprocess.run(["umount", DIRECTORY], check=True, timeout=60)
    shutil.rmtree(DIRECTORY)
    DIRECTORY.mkdir()
    yield
    service.stop()
    shutil.rmtree(DIRECTORY)
    DIRECTORY.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", DIRECTORY], check=True, timeout=60)
    for kind in ("callouts", "notifiers"):
        (DIRECTORY / "scripts.d" / kind).mkdir(parents=True)
    service.start()


@pytest.fixture
def movable(mdevd):
    """A client, and a tree that can be removed and made again, by the daemon too."""
    with no_mount(), service.settings("ReadWritePaths=/etc"), Mdevd() as client:
        yield client


@pytest.fixture
def replaceable(mdevd):
    """The same where the daemon may do what the unit lets it."""
    with no_mount():
        service.start()
        with Mdevd() as client:
            yield client


def test_the_tree_replaced(replaceable, clients):
    """What the unit lets the daemon write to is the tree that was there at its start; the man page says so."""
    mdevd = replaceable
    uuid, kept = new_uuid(), new_uuid()
    put(OTHER, kept)
    wait_for(mdevd, kept, other=SMALL)
    os.rename(DIRECTORY, DIRECTORY.parent / "aside")
    shutil.copytree(DIRECTORY.parent / "aside", DIRECTORY)
    shutil.rmtree(DIRECTORY.parent / "aside")

    failure = mdevd.begin_define(ELSEWHERE, SMALL, uuid).failure()
    assert failure.name == error("Store") and "EROFS" in failure.sentence
    assert definitions(mdevd, uuid) == {}
    # It is read all the same.
    put(ELSEWHERE, uuid)
    wait_for(mdevd, uuid, elsewhere=SMALL)

    service.restart()
    mdevd = clients()
    mdevd.modify(uuid, type=LARGE)
    assert definitions(mdevd, uuid) == {ELSEWHERE: LARGE} and definitions(mdevd, kept) == {OTHER: SMALL}

    # Where there is none at all, there is one as soon as the daemon is started.
    service.stop()
    shutil.rmtree(DIRECTORY)
    service.start()
    uuid = clients().define(ELSEWHERE, SMALL)
    assert files() == [file_of(ELSEWHERE, uuid)]


def test_the_tree_removed_and_made_again(movable):
    mdevd = movable
    uuid, other = new_uuid(), new_uuid()
    put(ELSEWHERE, uuid)
    wait_for(mdevd, uuid, elsewhere=SMALL)
    shutil.rmtree(DIRECTORY)
    wait_until(lambda: count(mdevd) == 0, SECONDS)
    for _ in range(2):
        put(ELSEWHERE, uuid)
        wait_for(mdevd, uuid, elsewhere=SMALL)
        put(ELSEWHERE, uuid, LARGE)
        wait_for(mdevd, uuid, elsewhere=LARGE)
        put(OTHER, other)
        wait_for(mdevd, other, other=SMALL)
        # Another tree in the place of this one.
        os.rename(DIRECTORY, DIRECTORY.parent / "aside")
        wait_until(lambda: count(mdevd) == 0, SECONDS)
        shutil.rmtree(DIRECTORY.parent / "aside")
    # And we make it ourselves.
    mdevd.define(ELSEWHERE, SMALL, uuid)
    put(ELSEWHERE, uuid, LARGE)
    wait_for(mdevd, uuid, elsewhere=LARGE)


@pytest.fixture
def quiet(mdevd):
    with service.quiet(), Mdevd() as client:
        yield client


@pytest.mark.seconds(240)
def test_ten_thousand_at_once(quiet):
    mdevd, n = quiet, 10_000
    parents = [f"many{number}" for number in range(10)]
    kept = new_uuid()
    put(ELSEWHERE, kept)
    uuids = [new_uuid() for _ in range(n)]
    for parent in parents:
        (DIRECTORY / parent).mkdir()
    text = text_of(SMALL).encode()

    def write_all(content):
        for number, uuid in enumerate(uuids):
            fd = os.open(DIRECTORY / parents[number % 10] / uuid, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.write(fd, content)
            os.close(fd)

    def settled_after(change, is_so):
        change()
        began = time.monotonic()
        wait_until(lambda: is_so() and mdevd.is_settled(), timeout=100)
        return time.monotonic() - began

    times = [settled_after(lambda: write_all(text), lambda: count(mdevd) == n + 1)]
    last = uuids[-1]
    times.append(settled_after(lambda: write_all(text_of(LARGE).encode()),
                               lambda: set(definitions(mdevd, last).values()) == {LARGE}))
    rows = mdevd.devices(type=LARGE)
    assert len(rows) == n
    times.append(settled_after(remove_definitions, lambda: count(mdevd) == 0))
    # Seconds on a real machine; this one is emulated, and may be busy.
    assert max(times) < 60, times


class Readings:
    """Listings of a directory, by whomever: the daemon makes one when it reads what is there anew, and none for what it
    writes itself."""

    IN_ACCESS, IN_ISDIR, IN_NONBLOCK = 0x1, 0x40000000, 0o4000

    def __init__(self, directory):
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(self.IN_NONBLOCK)
        assert libc.inotify_add_watch(self._fd, os.fsencode(directory), self.IN_ACCESS) >= 0

    def take(self):
        """How many there were since the last question."""
        n = 0
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._fd, 65536):
                while data:
                    _, mask, _, length = struct.unpack_from("iIII", data)
                    n += mask & self.IN_ISDIR != 0
                    data = data[16 + length:]
        return n

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        os.close(self._fd)


def test_what_we_write_ourselves_is_not_read(mdevd, clients):
    mdevd.define(ELSEWHERE, SMALL)
    barrier(mdevd)
    watcher = clients()
    watcher.subscribe()
    with Readings(DIRECTORY / ELSEWHERE) as readings:
        uuids = []
        for _ in range(5):
            uuids.append(uuid := mdevd.define(ELSEWHERE, SMALL))
            mdevd.modify(uuid, type=LARGE)
            mdevd.modify(uuid, autostart=True)
        barrier(mdevd)
        assert readings.take() == 0
        # While what somebody else writes is; so there is no reading that would not be seen here.
        put(ELSEWHERE, other := new_uuid())
        wait_for(mdevd, other, elsewhere=SMALL)
        assert readings.take() > 0

        # A removal looks for other files of the UUID, once.
        mdevd.undefine(uuids[0])
        once = readings.take()
        for uuid in uuids[1:]:
            mdevd.undefine(uuid)
        barrier(mdevd)
        assert readings.take() <= 4 * once

    # Each change was told once, and nothing else.
    watcher.receive_all()
    told = [message.header.fields[HeaderFields.path] for message in watcher.signals]
    changes = [path for path in told if path in {device_path(uuid) for uuid in uuids}]
    assert len(changes) == 2 * len(uuids), changes
    assert not any("Settled" in message.body[1] for message in watcher.signals
                   if message.header.fields[HeaderFields.member] == "PropertiesChanged")


def agrees_with_disk(mdevd, uuid):
    """Whether the daemon has of a definition what is in the file; what cannot be believed is not."""
    try:
        there = {ELSEWHERE: json.loads(file_of(ELSEWHERE, uuid).read_text())["mdev_type"]}
    except (FileNotFoundError, ValueError):
        there = {}
    return definitions(mdevd, uuid) == there


def test_a_hand_at_the_same_moment_as_ours(mdevd):
    uuid = mdevd.define(ELSEWHERE, SMALL)
    path = file_of(ELSEWHERE, uuid)
    winners = collections.Counter()
    began = time.monotonic()
    mdevd.modify(uuid, type="first")
    takes = time.monotonic() - began
    for number in range(40):
        ours, theirs = f"ours-{number}", f"theirs-{number}"
        call = mdevd.begin_modify(uuid, type=ours)
        # From before ours begins to after it has ended.
        time.sleep(2 * takes * number / 40)
        path.write_text(text_of(theirs))
        with contextlib.suppress(BusError):
            call.result()
        wait_until(lambda: agrees_with_disk(mdevd, uuid), SECONDS)
        winners[json.loads(path.read_text())["mdev_type"].partition("-")[0]] += 1
        wait_until(lambda: definitions(mdevd, uuid), SECONDS)
    assert winners["theirs"] > 0, winners


MDEVCTL = """
i=0
while [ ! -e "$1/stop" ]; do
    i=$((i+1))
    u=$(cat /proc/sys/kernel/random/uuid)
    /usr/bin/mdevctl define --uuid $u --parent elsewhere --type theirs-$i || exit 1
    /usr/bin/mdevctl modify --uuid $u --parent elsewhere --auto || exit 1
    [ $i -lt 4 ] || : >"$1/enough"
    [ $((i % 3)) = 0 ] && { /usr/bin/mdevctl undefine --uuid $u --parent elsewhere || exit 1; }
done
echo $i
"""


def test_mdevctl_and_we_at_the_same_time(mdevd, tmp_path):
    """Debian's mdevctl and a writer of our own, in the same directory as we, for some seconds."""
    mdevd.define(ELSEWHERE, SMALL, new_uuid())
    end = threading.Event()
    theirs = [new_uuid() for _ in range(20)]

    def write_theirs():
        number = 0
        while not end.is_set():
            number += 1
            put(ELSEWHERE, theirs[number % 20], f"python-{number}")
            if number % 7 == 0:
                file_of(ELSEWHERE, theirs[number % 20]).unlink()

    writer = threading.Thread(target=write_theirs)
    writer.start()
    script = tmp_path / "writer"
    script.write_text(MDEVCTL)
    with subprocess.Popen(["sh", script, tmp_path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        ours = {}
        deadline = time.monotonic() + 8
        for number in itertools.count(1):
            uuid = mdevd.define(ELSEWHERE, "ours", attributes=[("log", "one")])
            mdevd.modify(uuid, type=f"ours-{number}")
            ours[uuid] = f"ours-{number}"
            if number % 4 == 0:
                gone = next(iter(ours))
                mdevd.undefine(gone)
                del ours[gone]
            enough = (tmp_path / "enough").exists() or process.poll() is not None
            if enough and time.monotonic() >= deadline and len(ours) > 5:
                break
        (tmp_path / "stop").touch()
        output, errors = process.communicate(timeout=60)
    end.set()
    writer.join()
    assert process.returncode == 0 and int(output) > 3, errors

    def picture():
        return {row.uuid: row.type for row in mdevd.devices()}

    on_disk = {path.name: json.loads(path.read_text())["mdev_type"] for path in files()}
    assert ours.items() <= on_disk.items()
    wait_until(lambda: picture() == on_disk, SECONDS)
    assert invalid(mdevd) == {}
    assert not [path for path in DIRECTORY.iterdir() if path.name.startswith(".")]


def test_what_we_write_while_everything_is_read(movable):
    """A reading of a large tree takes a while; what is defined meanwhile is newer than what it saw."""
    mdevd = movable
    for _ in range(300):
        put(OTHER, new_uuid())
    wait_until(lambda: count(mdevd) == 300 and mdevd.is_settled(), 60)
    mdevd.subscribe()
    os.rename(DIRECTORY, DIRECTORY.parent / "aside")
    os.rename(DIRECTORY.parent / "aside", DIRECTORY)
    mdevd.wait_for_property(PATH, "Settled", False)
    ours = [mdevd.define(ELSEWHERE, SMALL) for _ in range(3)]
    gone = next((DIRECTORY / OTHER).iterdir()).name
    mdevd.undefine(gone)
    wait_until(mdevd.is_settled, 60)
    for uuid in ours:
        assert definitions(mdevd, uuid) == {ELSEWHERE: SMALL}
    assert definitions(mdevd, gone) == {} and count(mdevd) == 302
