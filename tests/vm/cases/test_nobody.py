# SPDX-License-Identifier: LGPL-2.1-or-later
"""Nobody gets in. Who may do what, and what those try who may not: to be somebody else, to answer in polkit's place, to
move files while they are worked on. (The person who is asked, and a polkit that is not there: test_polkit.py. Names
that lead elsewhere: test_bad_input.py, test_callouts.py. One who never reads his answers: tests/contract/test_flood.py.)
"""

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import threading
import types
from pathlib import Path

import pytest
from jeepney import DBusAddress, HeaderFields, new_method_call, new_method_return
from jeepney.io.blocking import DBusConnection

import bus
import sysfs
from bus import ACCESS_DENIED, MANAGER, PATH
from definitions import DIRECTORY, files, text_of
from guest import AS_TESTER, new_uuid, wait_until
from mdevsim import LARGE, SMALL
from test_polkit import Eavesdropper, a_rule_that_takes_long, make_fifo, thinking

BUS_SOCKET = "/run/dbus/system_bus_socket"
POLKIT = "org.freedesktop.PolicyKit1"
RULES = Path("/etc/polkit-1/rules.d/10-test.rules")
INTERACTIVE = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
TESTER = str(pwd.getpwnam("tester").pw_uid)

# A user who is root, in a user namespace of his own.
AS_ROOT_OF_A_NAMESPACE = (*AS_TESTER, "unshare", "--user", "--map-root-user")


def attempts(client, parent, active, defined):
    """One of each thing that not everybody may do."""
    yield client.begin_create(parent, SMALL)
    yield client.begin_create_from_json(parent, text_of(SMALL))
    yield client.begin_define(parent, SMALL)
    yield client.begin_define_from_json(parent, text_of(SMALL))
    yield client.begin_modify(defined, type=LARGE)
    yield client.begin_start(defined)
    yield client.begin_stop(active)
    yield client.begin_undefine(defined)
    yield client.begin_manager("StartParent", "s", parent.name)
    yield client.begin_manager("Rescan")


def picture():
    return sysfs.devices(), [(path, path.read_text()) for path in files()]


def is_refused(client, parent, mdevd, name):
    """That each attempt ends with that error, changes nothing, and that reading is free."""
    active, defined = mdevd.create(parent, SMALL), mdevd.define(parent, SMALL)
    before = picture()
    assert {call.failure().name for call in attempts(client, parent, active, defined)} == {name}
    assert picture() == before
    assert {row.uuid for row in client.devices()} == {active, defined}
    mdevd.stop(active)
    return True


def is_allowed(client, parent, mdevd):
    active, defined = mdevd.create(parent, SMALL), mdevd.define(parent, SMALL)
    for call in attempts(client, parent, active, defined):
        call.result()
    return active not in sysfs.devices() and defined in sysfs.devices()


# Who

def test_root(mdevd, clients, parent):
    assert is_allowed(clients(), parent, mdevd)


@pytest.mark.parametrize("name", ["tester", "nobody"])
def test_a_user(mdevd, users, parent, name):
    assert is_refused(users(name), parent, mdevd, INTERACTIVE)


def rescan_ends_with(client, name):
    try:
        client.rescan()
    except bus.BusError as failure:
        return failure.name == name
    return name is None


@contextlib.contextmanager
def rule(client, body, outcome):
    """What polkit answers in the user tester's case; in force inside the block."""
    RULES.write_text(f"""polkit.addRule(function(action, subject) {{
        if (action.id.indexOf("org.mdevd1.") == 0 && subject.user == "tester") {{ {body} }}
    }});""")
    try:
        wait_until(lambda: rescan_ends_with(client, outcome), timeout=30)
        yield
    finally:
        RULES.unlink()
        wait_until(lambda: rescan_ends_with(client, INTERACTIVE), timeout=30)


def test_a_user_who_may(mdevd, users, parent):
    user = users()
    with rule(user, "return polkit.Result.YES;", None):
        # And nobody else.
        assert is_refused(users("nobody"), parent, mdevd, INTERACTIVE)
        assert is_allowed(user, parent, mdevd)


def test_a_user_who_may_not(mdevd, users, parent):
    user = users()
    with rule(user, "return polkit.Result.NO;", ACCESS_DENIED):
        assert is_refused(user, parent, mdevd, ACCESS_DENIED)


# Somebody else

CONNECT = """
import socket, sys
parent, connection = socket.socket(fileno=int(sys.argv[1])), socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[2])
connection.sendall(b"\\0AUTH EXTERNAL " + sys.argv[3].encode().hex().encode() + b"\\r\\n")
answer = connection.recv(512)
connection.sendall(b"BEGIN\\r\\n" if answer.startswith(b"OK") else b"")
socket.send_fds(parent, [answer], [connection.fileno()])
"""


def connect(prefix, claimed_uid):
    """Have a process of somebody else connect and say that it is a certain user. Returns its number, the bus's answer and
    the connection, which outlives the process."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        words = [*prefix, "python3", "-c", CONNECT, str(theirs.fileno()), BUS_SOCKET, claimed_uid]
        process = subprocess.Popen(words, pass_fds=[theirs.fileno()])
        theirs.close()
        answer, fds, _, _ = socket.recv_fds(ours, 512, 1)
        assert process.wait(60) == 0
    return process.pid, answer, socket.socket(fileno=fds[0])


class Handed(bus.Mdevd):
    """A client on a connection that another process has made."""

    def __init__(self, connection):
        self._connection = DBusConnection(connection)
        self.name = self._connection.unique_name
        self.replies, self.signals, self.calls = {}, [], []


@pytest.mark.parametrize("prefix", [AS_TESTER, AS_ROOT_OF_A_NAMESPACE], ids=["user", "namespace"])
def test_who_says_he_is_root(prefix):
    _, answer, connection = connect(prefix, "0")
    connection.close()
    assert answer.startswith(b"REJECTED")


def test_root_of_a_user_namespace(mdevd, parent):
    _, answer, connection = connect(AS_ROOT_OF_A_NAMESPACE, TESTER)
    assert answer.startswith(b"OK")
    with Handed(connection) as client:
        assert is_refused(client, parent, mdevd, INTERACTIVE)


def test_root_with_the_connection_of_a_user(mdevd, users, parent):
    """Who connected is who asks, whoever has the connection now: this process is root's when it calls."""
    assert os.getresuid() == (0, 0, 0)
    assert is_refused(users(), parent, mdevd, INTERACTIVE)


def test_a_user_with_the_connection_of_root(mdevd, clients, parent):
    """And so the other way round."""
    client = clients()
    with bus.as_user(int(TESTER)):
        call = client.begin_create(parent, SMALL)
        assert call.result()[0] in sysfs.devices()


def be_process(pid):
    """A process of root's that has a certain number."""
    for _ in range(1000):
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        child = os.fork()
        if child == 0:
            # Nobody is to wait for its end of a FIFO.
            os.closerange(3, os.sysconf("SC_OPEN_MAX"))
            signal.pause()
        if child == pid:
            return
        end_process(child)
    pytest.fail(f"process {pid} cannot be had")


def end_process(pid):
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_the_number_of_a_process_that_is_roots_now(mdevd, parent):
    pid, _, connection = connect(AS_TESTER, TESTER)
    be_process(pid)
    try:
        with Handed(connection) as client:
            assert client.pid_of(client.name) == pid and os.stat(f"/proc/{pid}").st_uid == 0
            assert is_refused(client, parent, mdevd, INTERACTIVE)
    finally:
        end_process(pid)


# Somebody else by the time of the answer

BECOME_ROOT = Path("/usr/local/bin/become-root")

CALL = CONNECT + """
import os
while words := parent.recv(65536):
    verb, _, argument = words.partition(b" ")
    if verb == b"call":
        connection.sendall(argument)
    elif verb == b"be":
        os.setuid(int(argument))
    elif verb == b"execute":
        os.set_inheritable(connection.fileno(), True)
        os.execv(argument.split()[0], argument.split())
    else:
        break
    parent.send(b"done")
"""


class Caller:
    """A process that makes a call and then becomes somebody else. It shares its connection with this process, which reads
    the answers."""

    def __init__(self, prefix=(), claimed_uid="0"):
        self._socket, theirs = socket.socketpair()
        with theirs:
            words = [*prefix, "python3", "-c", CALL, str(theirs.fileno()), BUS_SOCKET, claimed_uid]
            self._process = subprocess.Popen(words, pass_fds=[theirs.fileno()])
        answer, fds, _, _ = socket.recv_fds(self._socket, 512, 1)
        assert answer.startswith(b"OK")
        self.pid = self._process.pid
        self.client = Handed(socket.socket(fileno=fds[0]))

    def begin_create(self, parent, uuid, type=SMALL):
        """Return when it has called."""
        message = new_method_call(DBusAddress(PATH, bus.NAME, MANAGER), "Create", "sssa(ss)a{sv}",
                                  (uuid, parent.name, type, [], {}))
        serial = next(self.client._connection.outgoing_serial)
        self._tell(b"call " + message.serialise(serial=serial))
        self._is_done()
        return bus.Call(self.client, serial)

    def _tell(self, words):
        self._socket.sendall(words)

    def _is_done(self):
        assert self._socket.recv(4) == b"done"

    def leave(self):
        self._tell(b"leave")
        assert self._process.wait(60) == 0

    def be(self, uid):
        self._tell(b"be %d" % uid)
        self._is_done()

    def become_root(self):
        """By a program that everybody may run as root. The process is the same one."""
        self._tell(f"execute {BECOME_ROOT} --reuid=0 --regid=0 --clear-groups sleep infinity".encode())
        wait_until(lambda: uids_of(self.pid) == {0}, timeout=60)

    def close(self):
        self.client.close()
        self._socket.close()
        self._process.kill()
        self._process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def uids_of(pid):
    """Real, effective, saved, of the file system."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {int(uid) for line in status if line.startswith("Uid:") for uid in line.split()[1:]}


@pytest.fixture
def become_root():
    shutil.copy("/usr/bin/setpriv", BECOME_ROOT)
    BECOME_ROOT.chmod(0o4755)
    yield
    BECOME_ROOT.unlink()


@contextlib.contextmanager
def root_by_a_program(caller):
    caller.become_root()
    yield


@contextlib.contextmanager
def root_with_the_number(caller):
    caller.leave()
    be_process(caller.pid)
    try:
        assert uids_of(caller.pid) == {0}
        yield
    finally:
        end_process(caller.pid)


@contextlib.contextmanager
def root_with_the_connection(caller):
    """This process is, and it is the only one then."""
    caller.leave()
    yield


CHANGES = pytest.mark.parametrize("change", [root_by_a_program, root_with_the_number, root_with_the_connection],
                                  ids=lambda change: change.__name__)


@CHANGES
def test_who_is_root_when_the_bus_is_asked_who_it_is(mdevd, parent, become_root, change):
    mdevd_pid = mdevd.pid_of()
    with Caller(AS_TESTER, TESTER) as caller, contextlib.ExitStack() as stack:
        with stopped(mdevd_pid):
            call = caller.begin_create(parent, new_uuid())
            stack.enter_context(change(caller))
        assert call.failure().name == INTERACTIVE
        assert caller.client.begin_manager("Rescan").failure().name == INTERACTIVE
    assert sysfs.devices() == set()


@CHANGES
def test_who_is_root_when_polkit_answers(mdevd, users, parent, become_root, change):
    """It is the user's call: what he may is done, and what only others may is not."""
    result = f"""subject.user == "tester" && action.lookup("type") == "{LARGE}" || subject.user == "root"
                 ? polkit.Result.YES : polkit.Result.NO"""
    unwanted, wanted = new_uuid(), new_uuid()
    with a_rule_that_takes_long(users(), result):
        for uuid, type in ((unwanted, SMALL), (wanted, LARGE)):
            make_fifo(uuid)
            with Caller(AS_TESTER, TESTER) as caller, contextlib.ExitStack() as stack:
                call = caller.begin_create(parent, uuid, type)
                # polkit's own patience with such a rule is ten seconds.
                with wait_until(lambda: thinking(uuid), timeout=30):
                    stack.enter_context(change(caller))
                    assert not call.is_done()
                if uuid == wanted:
                    assert call.result()[0] == wanted
                else:
                    assert call.failure().name == ACCESS_DENIED
    assert sysfs.devices() == {wanted}


def test_root_that_becomes_a_user(mdevd, parent):
    """What was root's connection stays root's: who gives up rights has to give up that too."""
    with Caller() as caller, Eavesdropper() as eavesdropper:
        caller.be(int(TESTER))
        assert uids_of(caller.pid) == {int(TESTER)}
        uuid = new_uuid()
        assert caller.begin_create(parent, uuid).result()[0] == uuid
        assert eavesdropper.bodies("CheckAuthorization") == []


# What is said on the bus

@contextlib.contextmanager
def stopped(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_an_answer_that_is_not_polkits(mdevd, users, parent):
    """While polkit thinks, the one who asks for something answers in its place."""
    user, forger, uuid = users(), users(), new_uuid()
    assert rescan_ends_with(user, INTERACTIVE)
    mdevd_name = mdevd.begin("/org/freedesktop/DBus", "org.freedesktop.DBus", "GetNameOwner", "s", bus.NAME,
                             destination="org.freedesktop.DBus").result()

    with Eavesdropper() as eavesdropper, stopped(mdevd.pid_of(POLKIT)):
        creation = user.begin_create(parent, SMALL, uuid)
        eavesdropper.wait_for(lambda: eavesdropper.calls)
        question = eavesdropper.calls[0]
        assert question.header.fields[HeaderFields.sender] == mdevd_name
        for client in (user, forger):
            for sender in (None, question.header.fields[HeaderFields.destination]):
                call = types.SimpleNamespace(header=types.SimpleNamespace(
                    serial=question.header.serial, fields={HeaderFields.sender: mdevd_name}))
                answer = new_method_return(call, "(bba{ss})", ((True, False, {}),))
                if sender:
                    answer.header.fields[HeaderFields.sender] = sender
                client._connection.send(answer)
            # That one has got through, so the others have.
            client.devices()
        assert sysfs.devices() == set() and not creation.is_done()

    assert creation.failure().name == INTERACTIVE
    assert sysfs.devices() == set()


def test_a_sender_that_is_not_the_sender(mdevd, users, parent):
    uuid = mdevd.create(parent, SMALL)
    user = users()
    message = new_method_call(DBusAddress(PATH, bus.NAME, MANAGER), "Stop", "sa{sv}", (uuid, {}))
    message.header.fields[HeaderFields.sender] = mdevd.name
    serial = next(user._connection.outgoing_serial)
    user._connection.send(message, serial=serial)
    assert bus.Call(user, serial).failure().name == INTERACTIVE
    assert sysfs.devices() == {uuid}


def lies(message):
    """Messages that are not what they say they are."""
    whole = bytearray(message.serialise(serial=7))
    body = len(whole) - message.header.body_length

    def with_number(offset, number):
        data = bytearray(whole)
        struct.pack_into("<I", data, offset, number)
        return bytes(data)

    # The whole body, the fields of the header, a string in the body, its array of attributes.
    behind = whole.index(b"mdevsim-small\0") + len("mdevsim-small\0")
    for offset in (4, 12, body, behind + (body - behind) % 4):
        for number in (0x7fffffff, 0xffffffff, 1 << 26, struct.unpack_from("<I", whole, offset)[0] + 1):
            yield with_number(offset, number)
    yield with_number(8, 0)  # no serial
    yield bytes(whole[:1] + b"\x09" + whole[2:])  # no such kind of message
    yield bytes(whole[:3] + b"\x02" + whole[4:])  # no such protocol


def test_sizes_that_are_lies(mdevd, users, parent):
    pid = mdevd.pid_of()
    create = new_method_call(DBusAddress(PATH, bus.NAME, MANAGER), "Create", "sssa(ss)a{sv}",
                             (new_uuid(), parent.name, SMALL, [("log", "x")], {}))
    for lie in lies(create):
        liar = users()._connection.sock
        liar.settimeout(bus.PATIENCE)
        with contextlib.suppress(ConnectionError):
            liar.sendall(lie)
            # Of what promises more than there is, no more comes.
            liar.shutdown(socket.SHUT_WR)
            while liar.recv(4096):
                pass
    assert mdevd.pid_of() == pid and sysfs.devices() == set()
    assert mdevd.create(parent, SMALL) in sysfs.devices()


# Files that are moved while they are worked on

AT_FDCWD, RENAME_EXCHANGE = -100, 2


@contextlib.contextmanager
def exchanging(one, other):
    """Two names of which each is now this and now that."""
    libc = ctypes.CDLL(None, use_errno=True)
    done, n = threading.Event(), 0

    def exchange():
        nonlocal n
        while not done.wait(0.001):
            assert libc.renameat2(AT_FDCWD, bytes(one), AT_FDCWD, bytes(other), RENAME_EXCHANGE) == 0
            n += 1

    thread = threading.Thread(target=exchange)
    thread.start()
    try:
        yield lambda: n
    finally:
        done.set()
        thread.join()


def wait_for_all(calls):
    """Whether they succeed is a matter of luck."""
    for call in calls:
        with contextlib.suppress(bus.BusError):
            call.result()


def test_a_directory_that_is_a_link_now_and_then(mdevd, parent):
    """Nothing is made, changed or removed where it leads."""
    inside, link = DIRECTORY / "0000:ff:1f.7", DIRECTORY / "scripts.d" / "link"
    target = DIRECTORY / "scripts.d" / "notifiers"
    uuids = [new_uuid() for _ in range(20)]
    inside.mkdir()
    link.symlink_to(target)
    for uuid in uuids[:10]:
        (inside / uuid).write_text(text_of(SMALL))
        (target / uuid).write_text(text_of(SMALL))
    wait_until(lambda: len(mdevd.devices()) == 10, timeout=30)
    before = sorted((path.name, path.read_text()) for path in target.iterdir())

    try:
        with exchanging(inside, link) as n:
            calls = [mdevd.begin_define(inside.name, SMALL, uuid) for uuid in uuids[10:]]
            calls += [mdevd.begin_modify(uuid, type=LARGE) for uuid in uuids[:5]]
            calls += [mdevd.begin_undefine(uuid) for uuid in uuids[5:10]]
            wait_for_all(calls)
            assert n() > len(calls)
        assert sorted((path.name, path.read_text()) for path in target.iterdir()) == before
    finally:
        for path in target.iterdir():
            path.unlink()
        for path in (inside, link):
            if path.is_symlink():
                path.unlink()
        if link.exists():
            link.rename(inside)
    mdevd.rescan()
    assert {row.uuid for row in mdevd.devices()} == {path.name for path in inside.iterdir()}


def test_a_file_that_is_a_link_now_and_then(mdevd, parent):
    """What is read is the definition, and what it leads to is neither read nor changed."""
    secret = DIRECTORY / "scripts.d" / "secret"
    secret.write_text('{"mdev_type": "secret", "start": "manual", "attrs": []}')
    uuid = mdevd.define(parent, SMALL)
    path = DIRECTORY / parent.name / uuid
    link = DIRECTORY / "scripts.d" / "link"
    link.symlink_to(secret)

    try:
        with exchanging(path, link) as n:
            for _ in range(10):
                wait_for_all([mdevd.begin_modify(uuid, type=type) for type in (LARGE, SMALL)])
                assert "secret" not in str(mdevd.device_property(uuid, "Definitions"))
                assert '"secret"' not in str(mdevd.properties(PATH, MANAGER))
            assert n() > 10
        assert secret.read_text() == '{"mdev_type": "secret", "start": "manual", "attrs": []}'
    finally:
        for place in (path, link):
            if place.is_symlink():
                place.unlink()
        for place in (link, secret):
            place.unlink(missing_ok=True)
