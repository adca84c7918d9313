# SPDX-License-Identifier: LGPL-2.1-or-later
"""The real polkitd, while it thinks, while it asks a person, when it is not there, and when it dies."""

import collections
import contextlib
import errno
import os
import pwd
import re
import signal
import subprocess
from pathlib import Path

import pytest
from jeepney import HeaderFields

import bus
import sysfs
from bus import ACCESS_DENIED, error
from definitions import file_of, files, text_of
from guest import new_uuid, session, wait_until
from mdevsim import LARGE, SMALL

NAME = "org.freedesktop.PolicyKit1"
PATH = "/org/freedesktop/PolicyKit1/Authority"
AUTHORITY = "org.freedesktop.PolicyKit1.Authority"
SERVICE = "polkit.service"
RULES = Path("/etc/polkit-1/rules.d/10-test.rules")
CONFIGURATION = Path("/etc/mdevd/mdevd.conf.d/10-test.conf")
FIFOS = Path("/run/mdevd-test-polkit")
CANCELLED = "org.freedesktop.PolicyKit1.Error.Cancelled"
INTERACTIVE = "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"
ALLOW_USER_INTERACTION = 1
PENDING_PER_CLIENT = 16

# What is refused "at once": by orders of magnitude less than a person takes, or a timeout of D-Bus.
AT_ONCE = 15

Question = collections.namedtuple("Question", "call action message icon details cookie identities")


def uid_of_tester():
    return pwd.getpwnam("tester").pw_uid


@pytest.fixture
def user(users):
    return users()


class Agent(bus.Connection):
    """Asks the user for a password, on behalf of polkit; here a test decides what the user does."""

    def __init__(self):
        super().__init__()
        start_time = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        process = {"pid": ("u", os.getpid()), "start-time": ("t", start_time), "uid": ("i", uid_of_tester())}
        self._call("RegisterAuthenticationAgent", "(sa{sv})ss", ("unix-process", process), "C", "/org/mdevd1/test")

    def _call(self, member, signature, *arguments):
        return self.begin(PATH, AUTHORITY, member, signature, *arguments, destination=NAME).result()

    def _take_call(self, member):
        for number, call in enumerate(self.calls):
            if call.header.fields[HeaderFields.member] == member:
                return self.calls.pop(number)
        return None

    def question(self):
        """The next one, when it is there."""
        call = self.wait_for(lambda: self._take_call("BeginAuthentication"))
        return Question(call, *call.body)

    def withdrawn(self):
        """The cookie of the next question that polkit does not want an answer to any more."""
        call = self.wait_for(lambda: self._take_call("CancelAuthentication"))
        self.answer(call)
        return call.body[0]

    def no_question(self):
        self.receive_all()
        return not self.calls

    def allow(self, question):
        self._call("AuthenticationAgentResponse2", "us(sa{sv})", 0, question.cookie, question.identities[0])
        self.answer(question.call)

    def dismiss(self, question):
        self.refuse(question.call, CANCELLED, "The user does not want to.")


@pytest.fixture
def agent():
    with Agent() as agent:
        yield agent


class Eavesdropper(bus.Connection):
    """Sees what is said to polkit."""

    def __init__(self):
        super().__init__()
        rules = [f"type='method_call',interface='{AUTHORITY}',member='{member}'"
                 for member in ("CheckAuthorization", "CancelCheckAuthorization")]
        self.begin("/org/freedesktop/DBus", "org.freedesktop.DBus.Monitoring", "BecomeMonitor", "asu", rules, 0,
                   destination="org.freedesktop.DBus").result()

    def bodies(self, member):
        self.receive_all()
        return [call.body for call in self.calls if call.header.fields[HeaderFields.member] == member]

    def subject_of(self, uuid):
        """Parent and type that the latest check about a device was about, and the name that it is cancelled by."""
        details, cookie = [(body[2], body[4]) for body in self.bodies("CheckAuthorization")
                           if body[2]["uuid"] == uuid][-1]
        return details["parent"], details["type"], cookie

    def wait_for_cancelled(self, cookies):
        cookies = set(cookies)
        self.wait_for(lambda: cookies <= {body[0] for body in self.bodies("CancelCheckAuthorization")})


@pytest.fixture
def eavesdropper():
    with Eavesdropper() as eavesdropper:
        yield eavesdropper


def begin_create(client, parent, uuid="", type=SMALL):
    """With leave to ask the user."""
    return client.begin_manager("Create", "sssa(ss)a{sv}", uuid, parent.name, type, [], {}, interactive=True)


def begin_stop(client, uuid):
    return client.begin_manager("Stop", "sa{sv}", uuid, {}, interactive=True)


def others_are_served(mdevd, user, parent):
    """Root gets everything done, and an ordinary user may read."""
    uuid = mdevd.create(parent, SMALL)
    assert user.state(uuid) == "active"
    mdevd.define(parent, SMALL, uuid)
    mdevd.stop(uuid)
    mdevd.undefine(uuid)
    mdevd.rescan()
    assert user.state(uuid) is None
    return True


def systemctl(*words):
    subprocess.run(["systemctl", *words], check=True, timeout=60)


def forgive_starts():
    """systemd gives up on a service that is started too often; here it is meant."""
    systemctl("reset-failed")


def no_polkit_from_now_on():
    systemctl("mask", "--runtime", "--now", SERVICE)


def polkit_again():
    systemctl("unmask", "--runtime", SERVICE)
    forgive_starts()


# To ask, or not to ask

def test_nobody_is_asked_unless_the_call_allows_it(mdevd, user, agent, eavesdropper, parent):
    uuid = mdevd.create(parent, SMALL)
    defined = mdevd.define(parent, SMALL)
    calls = [user.begin_create(parent, SMALL), user.begin_define(parent, SMALL), user.begin_start(defined),
             user.begin_stop(uuid), user.begin_undefine(defined), user.begin_modify(defined, type=LARGE),
             user.begin_manager("StartParent", "s", parent.name), user.begin_manager("Rescan"),
             user.begin_create_from_json(parent, text_of(SMALL)), user.begin_define_from_json(parent, text_of(SMALL))]

    for call in calls:
        assert call.failure(AT_ONCE).name == INTERACTIVE
    assert agent.no_question()
    assert [body[3] for body in eavesdropper.bodies("CheckAuthorization")] == [0] * len(calls)
    assert sysfs.devices() == {uuid} and len(files()) == 1


def test_the_user_is_asked_if_the_call_allows_it(mdevd, user, agent, eavesdropper, parent):
    uuid = new_uuid()
    creation = begin_create(user, parent, uuid)

    question = agent.question()
    assert question.action == "org.mdevd1.start-stop" and "start or stop a mediated device" in question.message
    assert eavesdropper.subject_of(uuid)[:2] == (parent.name, SMALL)
    assert eavesdropper.bodies("CheckAuthorization")[0][3] == ALLOW_USER_INTERACTION
    assert not creation.is_done() and sysfs.devices() == set()
    # A person takes a while.
    assert others_are_served(mdevd, user, parent)
    agent.allow(question)

    assert creation.result()[0] == uuid
    assert sysfs.devices() == {uuid}


def test_the_user_says_no(mdevd, user, agent, parent):
    uuid = mdevd.create(parent, SMALL)
    removal = begin_stop(user, uuid)

    agent.dismiss(agent.question())

    assert removal.failure().name == ACCESS_DENIED
    assert sysfs.devices() == {uuid} and mdevd.state(uuid) == "active"


def test_define_in_one_call_is_two_questions(mdevd, user, agent, parent):
    def begin(uuid):
        return user.begin_manager("Create", "sssa(ss)a{sv}", uuid, parent.name, SMALL, [], {"define": ("b", True)},
                                  interactive=True)

    refused, wanted = new_uuid(), new_uuid()
    call = begin(refused)
    agent.allow(agent.question())
    agent.dismiss(agent.question())
    assert call.failure().name == ACCESS_DENIED
    assert sysfs.devices() == set() and files() == []

    call = begin(wanted)
    questions = [agent.question()]
    agent.allow(questions[0])
    questions.append(agent.question())
    agent.allow(questions[1])
    assert call.result()[0] == wanted
    assert [question.action for question in questions] == ["org.mdevd1.start-stop", "org.mdevd1.define"]
    assert sysfs.devices() == {wanted} and files() == [file_of(parent, wanted)]


# Each action, whoever is asked

ACTIONS = set(re.findall('<action id="(.*)">', Path("/usr/share/polkit-1/actions/org.mdevd1.policy").read_text()))


def arguments_of(member, mdevd, parent):
    """What a call of a verb has, so that all is well if it is allowed. (The devices are there for it.)"""
    if member in ("Create", "Define"):
        return "sssa(ss)a{sv}", new_uuid(), parent.name, SMALL, [], {}
    if member in ("CreateFromJSON", "DefineFromJSON"):
        return "sssa{sv}", new_uuid(), parent.name, text_of(SMALL), {}
    if member == "Stop":
        return "sa{sv}", mdevd.create(parent, SMALL), {}
    if member == "Modify":
        return "ssa{sv}a{sv}", mdevd.define(parent, SMALL), "", {"autostart": ("b", True)}, {}
    if member in ("Start", "Undefine"):
        return "ssa{sv}", mdevd.define(parent, SMALL), "", {}
    return {"StartParent": ("s", parent.name), "Rescan": (None,)}[member]


VERBS = {
    "Create": "org.mdevd1.start-stop",
    "CreateFromJSON": "org.mdevd1.start-stop",
    "Define": "org.mdevd1.define",
    "DefineFromJSON": "org.mdevd1.define",
    "Modify": "org.mdevd1.define",
    "Rescan": "org.mdevd1.rescan",
    "Start": "org.mdevd1.start-stop",
    "StartParent": "org.mdevd1.start-stop",
    "Stop": "org.mdevd1.start-stop",
    "Undefine": "org.mdevd1.define",
}


def begin(client, member, arguments):
    return client.begin_manager(member, *arguments, interactive=True)


def picture():
    return sysfs.devices(), [(path, path.read_text()) for path in files()]


def changes(member, before):
    """Whether something has been done; of these two nothing can be seen."""
    return member in ("Rescan", "StartParent") or picture() != before


def test_each_action_has_a_verb():
    assert set(VERBS.values()) == ACTIONS


@pytest.mark.parametrize("member", VERBS)
def test_the_user_agrees_or_not(mdevd, user, agent, parent, member):
    """To this call: the next one is another question."""
    arguments = arguments_of(member, mdevd, parent)
    before = picture()
    call = begin(user, member, arguments)
    agent.dismiss(agent.question())
    assert call.failure().name == ACCESS_DENIED
    assert picture() == before

    call = begin(user, member, arguments)
    question = agent.question()
    assert question.action == VERBS[member] and not call.is_done() and picture() == before
    agent.allow(question)
    call.result()
    assert changes(member, before)

    call = begin(user, member, arguments_of(member, mdevd, parent))
    agent.dismiss(agent.question())
    assert call.failure().name == ACCESS_DENIED


@pytest.fixture
def active_session():
    """The user sits in front of this machine."""
    with session("tester"):
        yield
    # What it has kept it keeps for minutes.
    systemctl("stop", SERVICE)
    forgive_starts()


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_the_user_is_asked_once_in_an_active_session(mdevd, users, agent, parent, active_session, action):
    """polkit keeps the answer for that process: for all that the action is about, and nothing else."""
    members = [member for member in VERBS if VERBS[member] == action]
    other = next(member for member in VERBS if VERBS[member] != action)

    # A refusal is not kept.
    client = users()
    call = begin(client, members[0], arguments_of(members[0], mdevd, parent))
    agent.dismiss(agent.question())
    assert call.failure().name == ACCESS_DENIED

    call = begin(client, members[0], arguments_of(members[0], mdevd, parent))
    question = agent.question()
    assert question.action == action
    agent.allow(question)
    call.result()

    for member in members:
        arguments = arguments_of(member, mdevd, parent)
        before = picture()
        begin(client, member, arguments).result()
        assert changes(member, before)
    assert agent.no_question()

    call = begin(client, other, arguments_of(other, mdevd, parent))
    question = agent.question()
    assert question.action == VERBS[other]
    agent.dismiss(question)
    assert call.failure().name == ACCESS_DENIED


# Callers that leave

@pytest.fixture
def few_questions(mdevd):
    """A daemon that has no more than two questions of a user pending, and four of all."""
    CONFIGURATION.parent.mkdir(parents=True, exist_ok=True)
    CONFIGURATION.write_text("[Limits]\nAuthorizationsPerUserMax=2\nAuthorizationsMax=4\n")
    forgive_starts()
    systemctl("restart", "mdevd.service")
    mdevd.rescan()
    yield
    CONFIGURATION.unlink()
    forgive_starts()
    systemctl("restart", "mdevd.service")


def test_a_caller_that_leaves_while_the_user_is_asked(few_questions, mdevd, users, agent, eavesdropper, parent):
    """And again and again, until what is not cleaned up would have filled all the room there is."""
    for _ in range(5):
        client = users()
        for _ in range(2):
            begin_create(client, parent)
        questions = {question.cookie: question for question in [agent.question(), agent.question()]}
        assert begin_create(client, parent).failure().name == error("LimitsExceeded")
        client.close()
        while questions:
            # polkit may say so twice: it has noticed by itself that the client is gone.
            if question := questions.pop(agent.withdrawn(), None):
                agent.dismiss(question)
    eavesdropper.wait_for_cancelled(body[4] for body in eavesdropper.bodies("CheckAuthorization"))
    assert len(eavesdropper.bodies("CancelCheckAuthorization")) == 10

    client = users()
    creation = begin_create(client, parent)
    agent.allow(agent.question())
    uuid, _ = creation.result()
    assert sysfs.devices() == {uuid}
    assert others_are_served(mdevd, client, parent)


def test_all_the_room_for_questions(few_questions, mdevd, users, agent, parent):
    """A user has no more of it with more connections, and what one user leaves is for the others."""
    late, another = users("daemon"), users()
    calls = [begin_create(users(), parent) for _ in range(2)]
    questions = [agent.question() for _ in calls]
    failures = [begin_create(another, parent).failure()]

    calls += [begin_create(users("nobody"), parent) for _ in range(2)]
    questions += [agent.question() for _ in range(2)]
    failures.append(begin_create(late, parent).failure())
    for failure in failures:
        assert failure.name == error("LimitsExceeded") and "2 for one user and 4 for all" in failure.sentence
    assert others_are_served(mdevd, late, parent)

    agent.dismiss(questions[0])
    assert calls[0].failure().name == ACCESS_DENIED
    creation = begin_create(late, parent)
    agent.allow(agent.question())
    assert creation.result()[0] in sysfs.devices()


def test_root_gets_in_all_the_same(few_questions, clients, users, agent, parent):
    crowd = [users(), users("nobody")]
    questions = [begin_create(client, parent) and agent.question() for client in crowd for _ in range(2)]

    stranger = clients()
    assert stranger.create(parent, SMALL) in sysfs.devices()
    assert len(questions) == 4


def test_what_a_stranger_sends_at_once_is_done_in_that_order(mdevd, clients, parent):
    """Who it is need be asked once; until that is known its calls wait."""
    stranger, uuid = clients(), new_uuid()
    calls = [stranger.begin_define(parent, SMALL, uuid)]
    calls += [stranger.begin_define(parent, SMALL, uuid) for _ in range(100)]
    assert calls[0].result()[0] == uuid
    assert {call.failure().name for call in calls[1:]} <= {error("TryAgain"), error("Exists")}


@contextlib.contextmanager
def a_rule_that_takes_long(user, result="polkit.Result.YES"):
    """polkit is stuck in a rule until somebody has opened and closed the FIFO that is called like the device. Then it says
    what RESULT, in its JavaScript, is."""
    FIFOS.mkdir(exist_ok=True)
    RULES.parent.mkdir(parents=True, exist_ok=True)
    RULES.write_text(f"""polkit.addRule(function(action, subject) {{
        if (action.id == "org.mdevd1.rescan") return polkit.Result.YES;
        if (action.id == "org.mdevd1.start-stop") {{
            polkit.spawn(["/bin/cat", "{FIFOS}/" + action.lookup("uuid")]);
            return {result};
        }}
    }});""")
    try:
        # polkit takes in changed rules when it gets round to it.
        wait_until(lambda: may_rescan(user), timeout=30)
        yield
    finally:
        RULES.unlink()
        wait_until(lambda: not may_rescan(user), timeout=60)
        for fifo in FIFOS.iterdir():
            fifo.unlink()


def may_rescan(user):
    try:
        user.rescan()
        return True
    except bus.BusError:
        return False


def make_fifo(uuid):
    os.mkfifo(FIFOS / uuid)
    (FIFOS / uuid).chmod(0o666)


def thinking(uuid):
    """Where polkit thinks about a device: what it waits for, to be closed; else None."""
    try:
        return os.fdopen(os.open(FIFOS / uuid, os.O_WRONLY | os.O_NONBLOCK), "w")
    except OSError as failure:
        if failure.errno != errno.ENXIO:
            raise
        return None


def test_a_caller_that_leaves_while_polkit_thinks(mdevd, users, eavesdropper, parent):
    other = users()
    with a_rule_that_takes_long(other):
        leaving, staying = users(), users()
        unwanted, wanted = new_uuid(), new_uuid()
        make_fifo(unwanted)
        make_fifo(wanted)
        leaving.begin_create(parent, SMALL, unwanted)
        # polkit's own patience with such a rule is ten seconds.
        with wait_until(lambda: thinking(unwanted), timeout=30):
            leaving.close()
            # It is told, though it cannot listen now.
            eavesdropper.wait_for_cancelled([eavesdropper.subject_of(unwanted)[2]])
            creation = staying.begin_create(parent, SMALL, wanted)
            assert others_are_served(mdevd, other, parent)
            assert not creation.is_done()

        # The other question gets its answer.
        wait_until(lambda: thinking(wanted), timeout=30).close()
        assert creation.result()[0] == wanted
        assert (eavesdropper.subject_of(wanted)[2],) not in eavesdropper.bodies("CancelCheckAuthorization")
    assert sysfs.devices() == {wanted}


# No polkit

@pytest.fixture
def no_polkit():
    no_polkit_from_now_on()
    yield
    polkit_again()


def test_without_polkit_there_is_only_root(mdevd, user, parent, no_polkit):
    uuid = mdevd.create(parent, SMALL)
    defined = mdevd.define(parent, SMALL)

    calls = [user.begin_create(parent, SMALL), user.begin_define(parent, SMALL), user.begin_start(defined),
             user.begin_stop(uuid), user.begin_undefine(defined), user.begin_modify(defined, type=LARGE),
             user.begin_manager("StartParent", "s", parent.name), user.begin_manager("Rescan"),
             begin_create(user, parent), begin_stop(user, uuid)]
    for call in calls:
        failure = call.failure(AT_ONCE)
        assert failure.name == ACCESS_DENIED and "root" in failure.sentence

    assert sysfs.devices() == {uuid} and len(files()) == 1
    assert user.state(uuid) == "active"
    assert others_are_served(mdevd, user, parent)


def test_polkit_comes_back(mdevd, user, parent):
    no_polkit_from_now_on()
    try:
        assert user.begin_create(parent, SMALL).failure(AT_ONCE).name == ACCESS_DENIED
    finally:
        polkit_again()

    # This one starts it.
    assert user.begin_create(parent, SMALL).failure().name == INTERACTIVE


def kill_polkit(client):
    forgive_starts()
    os.kill(client.pid_of(NAME), signal.SIGKILL)


def test_polkit_dies_while_it_asks(mdevd, user, agent, parent):
    pid = mdevd.pid_of()
    uuid = mdevd.create(parent, SMALL)
    removal = begin_stop(user, uuid)
    agent.question()

    kill_polkit(mdevd)

    failure = removal.failure(AT_ONCE)
    assert failure.name == ACCESS_DENIED and "root" in failure.sentence
    assert mdevd.pid_of() == pid
    assert mdevd.state(uuid) == "active" and sysfs.devices() == {uuid}
    assert others_are_served(mdevd, user, parent)
    # The next one is asked as well, and knows nothing of an agent.
    assert begin_stop(user, uuid).failure().name in (INTERACTIVE, ACCESS_DENIED)
    assert mdevd.state(uuid) == "active"


def test_polkit_dies_while_many_wait(mdevd, users, agent, parent):
    pid = mdevd.pid_of()
    client = users()
    calls = [begin_create(client, parent) for _ in range(PENDING_PER_CLIENT)]
    for _ in calls:
        agent.question()

    kill_polkit(mdevd)

    assert {call.failure(AT_ONCE).name for call in calls} == {ACCESS_DENIED}
    assert mdevd.pid_of() == pid and sysfs.devices() == set()


# What was allowed is what is done

def test_a_stop_is_for_the_device_that_it_was_allowed_for(mdevd, user, agent, eavesdropper, parents):
    uuid = mdevd.create(parents[0], SMALL)
    removal = begin_stop(user, uuid)
    question = agent.question()
    assert eavesdropper.subject_of(uuid)[:2] == (parents[0].name, SMALL)

    mdevd.stop(uuid)
    mdevd.create(parents[1], LARGE, uuid)
    agent.allow(question)

    # What is there now is another matter, and another question.
    question = agent.question()
    assert not removal.is_done()
    assert eavesdropper.subject_of(uuid)[:2] == (parents[1].name, LARGE)
    assert sysfs.devices() == {uuid}
    agent.dismiss(question)
    assert removal.failure().name == ACCESS_DENIED
    assert sysfs.parent_of(uuid) == parents[1].name and parents[1].removes == 0


def test_a_stop_of_what_others_made_anew(mdevd, user, agent, eavesdropper, parents):
    """The same behind mdevd's back, without a request that could be in the way."""
    uuid = mdevd.create(parents[0], SMALL)
    removal = begin_stop(user, uuid)
    question = agent.question()

    sysfs.remove(uuid)
    sysfs.create(parents[1], SMALL, uuid)
    wait_until(lambda: (row := mdevd.device(uuid)) and row.parent == parents[1].name)
    agent.allow(question)

    question = agent.question()
    assert eavesdropper.subject_of(uuid)[:2] == (parents[1].name, SMALL)
    agent.dismiss(question)
    assert removal.failure().name == ACCESS_DENIED
    assert sysfs.parent_of(uuid) == parents[1].name


def test_a_start_is_for_the_definition_that_it_was_allowed_for(mdevd, user, agent, eavesdropper, parents):
    uuid = mdevd.define(parents[0], SMALL)
    start = user.begin_manager("Start", "ssa{sv}", uuid, "", {}, interactive=True)
    question = agent.question()
    assert eavesdropper.subject_of(uuid)[:2] == (parents[0].name, SMALL)

    mdevd.modify(uuid, type=LARGE)
    agent.allow(question)
    question = agent.question()
    assert eavesdropper.subject_of(uuid)[:2] == (parents[0].name, LARGE)

    mdevd.undefine(uuid)
    mdevd.define(parents[1], SMALL, uuid)
    agent.allow(question)
    question = agent.question()
    assert eavesdropper.subject_of(uuid)[:2] == (parents[1].name, SMALL)
    assert sysfs.devices() == set()

    agent.allow(question)
    start.result()
    assert sysfs.parent_of(uuid) == parents[1].name and sysfs.type_of(uuid) == SMALL


def test_what_is_gone_when_the_answer_comes(mdevd, user, agent, eavesdropper, parent):
    uuid = mdevd.create(parent, SMALL)
    removal = begin_stop(user, uuid)
    question = agent.question()
    mdevd.stop(uuid)
    agent.allow(question)

    # That it was allowed for a device that is gone tells nothing about one that is not there.
    question = agent.question()
    assert eavesdropper.subject_of(uuid)[:2] == ("", "")
    agent.allow(question)
    assert removal.failure().name == error("NotFound")
