# SPDX-License-Identifier: LGPL-2.1-or-later
"""Call-outs and notifiers around everything that is done, and what is done by them."""

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

import bus
import sysfs
from bus import ACCESS_DENIED, INVALID_ARGS, device_path, error
from definitions import file_of, text_of
from guest import held, new_uuid, wait_until
from mdevsim import LARGE, SMALL
from scripts import DIRECTORIES, WORK

SERVICE = "mdevd.service"
CONFIG = Path("/etc/mdevd/mdevd.conf")
NOT_SUPPORTED = "org.freedesktop.DBus.Error.NotSupported"


@pytest.fixture
def gate(scripts):
    """For scripts: `read x <gate` waits until the case lets one go."""
    made = scripts.fifo("gate")
    yield made
    # Whoever still waits is let go.
    made.let_go(100)
    made.close()


def restart_with(config):
    CONFIG.parent.mkdir(exist_ok=True)
    CONFIG.write_text(config)
    subprocess.run(["systemctl", "reset-failed", SERVICE], check=True, timeout=60)
    subprocess.run(["systemctl", "restart", SERVICE], check=True, timeout=60)


@pytest.fixture
def short_timeout(mdevd):
    """A client of a daemon that gives scripts two seconds."""
    restart_with("[CallOuts]\nTimeoutSec=2\n")
    with bus.Mdevd() as client:
        yield client
    CONFIG.unlink()
    subprocess.run(["systemctl", "restart", SERVICE], check=True, timeout=60)


# Every event of every action, in every outcome

def start(mdevd, parent, uuid, **options):
    return mdevd.begin_create(parent, SMALL, uuid, **options)


def stop(mdevd, parent, uuid, **options):
    return mdevd.begin_stop(uuid, **options)


def define(mdevd, parent, uuid, **options):
    return mdevd.begin_define(parent, SMALL, uuid, **options)


def undefine(mdevd, parent, uuid, **options):
    return mdevd.begin_undefine(uuid, **options)


def modify(mdevd, parent, uuid, **options):
    return begin_modify(mdevd, uuid, {"autostart": True}, **options)


def begin_modify(mdevd, uuid, changes, parent="", **options):
    return mdevd.begin_manager("Modify", "ssa{sv}a{sv}", uuid, bus.name_of(parent), bus.variants(changes),
                               bus.variants(options))


def prepare(mdevd, action, parent, uuid):
    if action is stop:
        mdevd.create(parent, SMALL, uuid)
    elif action in (undefine, modify):
        mdevd.define(parent, SMALL, uuid)


# What is there before and after: "d" the device, "f" its file.
BEFORE = {start: "-", stop: "d", define: "-", undefine: "f", modify: "f"}
AFTER = {start: "d", stop: "-", define: "f", undefine: "-", modify: "f"}
ACTIONS = list(BEFORE)


@pytest.mark.parametrize("action", ACTIONS, ids=lambda a: a.__name__)
def test_success(mdevd, parent, scripts, action):
    uuid, name, before, after = new_uuid(), action.__name__, BEFORE[action], AFTER[action]
    prepare(mdevd, action, parent, uuid)
    scripts.add("script")
    scripts.add_notifier("notifier")

    action(mdevd, parent, uuid).result()

    assert scripts.take() == [f"script pre {name} none {before}", f"script post {name} success {after}",
                              f"notifier notify {name} success {after}"]


@pytest.mark.parametrize("action", ACTIONS, ids=lambda a: a.__name__)
def test_refused(mdevd, parent, scripts, action):
    uuid, name, before = new_uuid(), action.__name__, BEFORE[action]
    prepare(mdevd, action, parent, uuid)
    path = scripts.add("script", 'if [ "$1" = pre ]; then echo "not today" >&2; exit 3; fi')
    scripts.add_notifier("notifier")

    failure = action(mdevd, parent, uuid).failure()

    assert failure.name == error("CallOut")
    assert str(path) in failure.sentence and "status 3" in failure.sentence and "not today" in failure.sentence
    assert scripts.take() == [f"script pre {name} none {before}", f"notifier notify {name} none {before}"]
    assert parent.creates == (action is stop) and parent.removes == 0

    # And in spite of that.
    action(mdevd, parent, uuid, force=True).result()
    assert scripts.take() == [f"script pre {name} none {before}", f"script post {name} success {AFTER[action]}",
                              f"notifier notify {name} success {AFTER[action]}"]


# How each action is made to fail after "pre": what the script does then, and the error.
FAILURES = {
    start: ("", "Kernel"),
    stop: ("", "InUse"),
    define: ('mkdir -p "/etc/mdevctl.d/$5"; echo "{" >"/etc/mdevctl.d/$5/$4"', "Exists"),
    undefine: ('rm "/etc/mdevctl.d/$5/$4"', "NotFound"),
    modify: ('rm "/etc/mdevctl.d/$5/$4"', "NotFound"),
}


@pytest.mark.parametrize("action", ACTIONS, ids=lambda a: a.__name__)
def test_failure(mdevd, parent, scripts, action):
    uuid, name, before = new_uuid(), action.__name__, BEFORE[action]
    prepare(mdevd, action, parent, uuid)
    body, expected = FAILURES[action]
    scripts.add("script", f'if [ "$1" = pre ]; then {body or ":"}; fi')
    scripts.add_notifier("notifier")
    after = {start: "-", stop: "d", define: "f", undefine: "-", modify: "-"}[action]

    parent.create_errno = 5 if action is start else 0
    with held(uuid) if action is stop else contextlib.nullcontext():
        failure = action(mdevd, parent, uuid).failure()

    assert failure.name == error(expected)
    assert scripts.take() == [f"script pre {name} none {before}", f"script post {name} failure {after}",
                              f"notifier notify {name} failure {after}"]
    if action is define:
        file_of(parent, uuid).unlink()


@pytest.mark.parametrize("action", ACTIONS, ids=lambda a: a.__name__)
def test_nobodys(mdevd, parent, scripts, action):
    """All say "not mine": it goes on, and all are told."""
    uuid, name, before, after = new_uuid(), action.__name__, BEFORE[action], AFTER[action]
    prepare(mdevd, action, parent, uuid)
    scripts.add("a", "exit 2")
    scripts.add("b", "exit 2", directory=DIRECTORIES[1])

    action(mdevd, parent, uuid).result()

    assert scripts.take() == [f"{s} {event}" for event in (f"pre {name} none {before}", f"post {name} success {after}")
                              for s in ("a", "b")]


@pytest.mark.parametrize("action", ACTIONS, ids=lambda a: a.__name__)
def test_unsupported_by_the_versioned_one(mdevd, parent, scripts, action):
    uuid = new_uuid()
    prepare(mdevd, action, parent, uuid)
    scripts.add("a")
    scripts.add("v", begin="""[ "$2" = capabilities ] && exec echo '{"supports":{"version":2,"actions":[],"events":[]}}'\n""")

    failure = action(mdevd, parent, uuid).failure()

    assert failure.name == error("CallOut") and "does not support" in failure.sentence
    action(mdevd, parent, uuid, force=True).result()
    assert scripts.take() == []


def test_a_definition_with_several_parents(mdevd, parents, scripts):
    uuid = new_uuid()
    mdevd.define(parents[0], SMALL, uuid)
    mdevd.define(parents[1], SMALL, uuid, alternate=True)
    scripts.add("script", f'[ "$1" = pre ] && [ "$5" = {parents[1].name} ] && exit 1; exit 0')

    assert mdevd.begin_undefine(uuid).failure().name == error("CallOut")

    assert scripts.take() == ["script pre undefine none f", "script pre undefine none f",
                              "script post undefine failure f"]
    assert all(file_of(p, uuid).exists() for p in parents[:2])


def test_created_and_defined(mdevd, parent, scripts):
    uuid = new_uuid()
    scripts.add("script")
    scripts.add_notifier("notifier")

    mdevd.create(parent, SMALL, uuid, define=True)

    assert scripts.take() == ["script pre start none -", "script post start success d", "notifier notify start success d",
                              "script pre define none d", "script post define success df",
                              "notifier notify define success df"]


def test_created_and_not_to_be_defined(mdevd, parent, scripts):
    uuid = new_uuid()
    scripts.add("script", '[ "$1 $2" = "pre define" ] && exit 1; exit 0')

    assert mdevd.begin_create(parent, SMALL, uuid, define=True).failure().name == error("CallOut")

    assert sysfs.devices() == set() and mdevd.devices() == []
    assert scripts.take() == ["script pre start none -", "script post start success d", "script pre define none d",
                              "script pre stop none d", "script post stop success -"]


def test_autostart(mdevd, parent, scripts):
    good, bad = (mdevd.define(parent, SMALL, autostart=True) for _ in range(2))
    scripts.add("script", f'[ "$1" = pre ] && [ "$4" = {bad} ] && echo no >&2 && exit 1; exit 0')

    failures = mdevd.start_parent(parent)

    assert list(failures) == [bad] and "no" in failures[bad]
    assert sysfs.devices() == {good}


# What a script is given

def test_definition_on_standard_input(mdevd, parent, scripts):
    uuid = new_uuid()
    scripts.add("script", 'cat >"$1-$2"')
    scripts.add_notifier("notifier", 'cat >"$1-$2"')

    mdevd.define(parent, SMALL, uuid, [("log", 'ä/"\n'), ("log", "2")], autostart=True)
    expected = '{"mdev_type":"%s","start":"auto","attrs":[{"log":"ä/\\"\\n"},{"log":"2"}]}' % SMALL
    assert [scripts.text(f"{event}-define") for event in ("pre", "post", "notify")] == [expected] * 3

    mdevd.start(uuid)
    assert scripts.text("pre-start") == expected
    mdevd.stop(uuid)
    assert scripts.text("pre-stop") == '{"mdev_type":"%s","start":"manual","attrs":[]}' % SMALL
    begin_modify(mdevd, uuid, {"type": LARGE, "attributes": ("a(ss)", [])}).result()
    assert scripts.text("pre-modify") == '{"mdev_type":"%s","start":"auto","attrs":[]}' % LARGE
    mdevd.undefine(uuid)
    assert scripts.text("post-undefine") == '{"mdev_type":"%s","start":"auto","attrs":[]}' % LARGE


def test_surroundings(mdevd, parent, scripts):
    """As the service runs it: nothing of the daemon's gets through."""
    scripts.add("script", """
        [ "$1" = pre ] || exit 0
        env | grep -v '^PWD=\\|^OLDPWD=\\|^_=' | sort >env
        ls /proc/self/fd >fds
        sed -n 's/^Sig[BI].*\\(.......\\)$/\\1/p' /proc/self/status >signals
        id -u >uid; cat /proc/$PPID/comm >parent; ls -l /proc/self/fd/ | grep -c socket >sockets
        cut -d' ' -f19 /proc/$$/stat >nice
        readlink /proc/$$/cwd >/dev/null; umask >umask""")

    mdevd.create(parent, SMALL)

    assert scripts.text("env") == ("LC_ALL=C.UTF-8\n"
                                   "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n")
    assert scripts.text("fds") == "0\n1\n2\n3\n"  # the last is ls's own
    assert scripts.text("signals") == "0000000\n0000000\n"
    assert (scripts.text("uid"), scripts.text("umask")) == ("0\n", "0022\n")
    assert scripts.text("parent") == "mdevd-worker\n"
    assert scripts.text("nice") == "0\n"
    assert scripts.text("sockets") == "0\n"


@pytest.mark.seconds(200)
def test_a_lock_by_the_parents_pid(mdevd, parents, scripts, gate):
    """As s390-tools' ap-check has it: taken in "pre" for the parent process, given back by the same in "post"."""
    scripts.add("lock", """
        case $1 in
        pre) read -r x <gate; echo $PPID >owner; echo "$4 $PPID" >>holders ;;
        post) [ "$(cat owner)" = $PPID ] || echo "$4: the lock is not mine" >>troubles
              echo "$4 $PPID" >>holders; rm owner; echo >gate ;;
        esac""")

    calls = [mdevd.begin_create(parents[n % 8], SMALL) for n in range(12)]
    gate.let_go()
    uuids = [call.result(timeout=150)[0] for call in calls]

    assert sysfs.devices() == set(uuids)
    assert not (WORK / "troubles").exists()
    # Nobody had it between somebody's "pre" and "post", and each had a parent of its own.
    holders = [tuple(line.split()) for line in scripts.text("holders").splitlines()]
    assert len(holders) == 24 and holders[::2] == holders[1::2]
    assert len({ppid for _, ppid in holders}) == 12


def test_the_uuid_stays_taken_and_others_go_on(mdevd, parents, scripts, gate):
    uuid = new_uuid()
    scripts.add("script", f'[ "$1" = post ] && [ "$4" = {uuid} ] && read -r x <gate; exit 0')

    waiting = mdevd.begin_create(parents[0], SMALL, uuid)
    wait_until(lambda: any(c.event == "post" for c in scripts.calls()), timeout=60)

    assert uuid in sysfs.devices()
    assert mdevd.state(uuid) == "creating"
    assert mdevd.begin_create(parents[1], SMALL, uuid).failure().name == error("Exists")
    assert mdevd.begin_stop(uuid).failure().name == error("TryAgain")
    other = mdevd.create(parents[0], SMALL)
    mdevd.stop(other)
    assert not waiting.is_done()

    gate.let_go()
    waiting.result()
    assert mdevd.state(uuid) == "active"


def test_the_daemon_goes_while_a_script_is_at_work(mdevd, parent, scripts, gate, clients):
    """The worker goes on to the last notifier, and the next daemon waits for that."""
    uuid = new_uuid()
    scripts.add("script", '[ "$1" = pre ] && read -r x <gate; exit 0')
    scripts.add_notifier("notifier")
    mdevd.begin_create(parent, SMALL, uuid)
    wait_until(lambda: scripts.calls(), timeout=60)

    subprocess.run(["systemctl", "restart", SERVICE], check=True, timeout=60)
    client = clients()
    client.subscribe()
    assert client.state(uuid) == "creating"
    gate.let_go()
    client.wait_for_property(device_path(uuid), "State", "active")

    assert scripts.take() == ["script pre start none -", "script post start success d", "notifier notify start success d"]


def test_the_worker_dies(mdevd, parents, scripts):
    """Killed by somebody in the middle of it: another one tells the scripts."""
    scripts.add("script")
    scripts.add_notifier("notifier")
    parents[0].create_block = 1
    call = mdevd.begin_create(parents[0], SMALL)
    wait_until(lambda: parents[0].creating == 1, timeout=60)
    begun, = scripts.calls()

    os.kill(int(begun.ppid), signal.SIGKILL)
    parents[0].create_block = 0
    failure = call.failure()

    assert failure.name == "org.freedesktop.DBus.Error.Failed" and "signal 9" in failure.sentence
    assert {c.uuid for c in scripts.calls()} == {begun.uuid}
    after = "d" if sysfs.devices() else "-"
    assert scripts.take() == ["script pre start none -", f"script post start failure {after}",
                              f"notifier notify start failure {after}"]


# What none should do

def processes_of(text):
    """Command lines with TEXT in them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if text in path.read_bytes().decode(errors="replace"):
                found.append(int(path.parent.name))
    return found


def test_hanging(short_timeout, parent, scripts):
    uuid = new_uuid()
    path = scripts.add("script", "trap '' TERM; sleep 98765 & sleep 98765; exit 0")
    scripts.add_notifier("notifier")

    failure = short_timeout.begin_create(parent, SMALL, uuid).failure()

    assert failure.name == error("CallOut") and str(path) in failure.sentence and "2 s" in failure.sentence
    assert scripts.take() == ["script pre start none -", "notifier notify start none -"]
    wait_until(lambda: not processes_of("98765"))
    assert short_timeout.devices() == [] and parent.creates == 0


def test_hanging_afterwards(short_timeout, parent, scripts):
    scripts.add("script", '[ "$1" = post ] && sleep 98765; exit 0')
    scripts.add_notifier("notifier", "sleep 98765")

    uuid = short_timeout.create(parent, SMALL)

    assert short_timeout.state(uuid) == "active"
    assert scripts.take() == ["script pre start none -", "script post start success d", "notifier notify start success d"]
    wait_until(lambda: not processes_of("98765"))


def test_flooding(short_timeout, parent, scripts):
    scripts.add("script", "yes flood | tee /dev/stderr")

    failure = short_timeout.begin_create(parent, SMALL).failure()

    assert failure.name == error("CallOut") and "flood" in failure.sentence and len(failure.sentence) < 5000
    wait_until(lambda: not processes_of("flood"))


def test_daemonising(mdevd, parent, scripts):
    scripts.add("script", 'sleep 87654 & echo "left one" >&2; exit 0')

    uuid = mdevd.create(parent, SMALL)
    mdevd.stop(uuid)

    left = processes_of("87654")
    assert len(left) >= 4
    for pid in left:
        os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("number, name", [(9, "Killed"), (15, "Terminated"), (11, "Segmentation fault")])
def test_killed(mdevd, parent, scripts, number, name):
    scripts.add("script", f'[ "$1" = pre ] && kill -{number} $$; exit 0')
    scripts.add("zz")

    failure = mdevd.begin_create(parent, SMALL).failure()

    assert failure.name == error("CallOut") and f"signal {number} ({name})" in failure.sentence
    assert scripts.take() == ["script pre start none -"]
    assert parent.creates == 0


def test_no_text(mdevd, parent, scripts):
    """What is printed and is no text is shown as far as it can be."""
    scripts.add("script", "printf 'caf\\351 \\000x\\200\\n' >&2; exit 1")

    failure = mdevd.begin_create(parent, SMALL).failure()

    assert failure.sentence.endswith("and said: caf?  x?")


def test_large(mdevd, parent, scripts):
    attributes = [("log", "x" * 60) for _ in range(950)]
    scripts.add("script", 'head -c 1000000 /dev/zero | tee /dev/stderr; wc -c >"$1"')

    uuid = mdevd.define(parent, SMALL, attributes=attributes)

    assert int(scripts.text("pre")) > 65536
    assert len(mdevd.device(uuid).attributes) == 950


def test_said_in_the_journal(mdevd, parent, scripts):
    uuid = new_uuid()
    path = scripts.add("script", '[ "$1" = post ] && echo "all is well" >&2; exit 0')
    mdevd.create(parent, SMALL, uuid)

    def entries():
        done = subprocess.run(["journalctl", "--output=json", f"MDEVD_SCRIPT={path}", f"MDEVD_UUID={uuid}"],
                              stdout=subprocess.PIPE, check=True, timeout=60)
        return [json.loads(line) for line in done.stdout.splitlines()]

    entry, = wait_until(entries, timeout=30)
    assert "all is well" in entry["MESSAGE"] and entry["PRIORITY"] == "6"
    assert entry["MESSAGE_ID"] == "4e6b0a97c3d24f18a5d1e8f06b2c79d3"


# Capabilities

def test_asked_once(mdevd, parents, scripts):
    """Once per script and type, however many devices and workers; again when something there changes."""
    scripts.add("a", "exit 2")
    scripts.add("b")
    scripts.settle()

    uuids = [mdevd.create(parents[n % 8], SMALL) for n in range(10)]
    assert scripts.asked() == ["a", "b"]
    mdevd.create(parents[0], LARGE)
    assert scripts.asked() == ["a", "b"]

    for uuid in uuids[:5]:
        mdevd.stop(uuid)
    assert scripts.asked() == []

    scripts.add_versioned("c", directory=DIRECTORIES[1])
    scripts.settle()
    scripts.take()
    mdevd.stop(uuids[5])
    mdevd.stop(uuids[6])
    assert scripts.asked() == ["a", "b", "c"]
    assert scripts.take() == ["c pre stop none d", "c post stop success -"] * 2

    mdevd.rescan()
    mdevd.stop(uuids[7])
    assert scripts.asked() == ["a", "b", "c"]


@pytest.mark.seconds(300)
def test_a_list_costs_no_process(mdevd, parents, scripts):
    """Fifty active devices, two scripts."""
    for call in [mdevd.begin_create(parents[n % 8], SMALL) for n in range(50)]:
        call.result(timeout=200)
    scripts.add("a", "exit 2")
    scripts.add("b")

    assert len(mdevd.devices()) == 50
    mdevd.managed_objects()

    assert scripts.asked() == [] and scripts.take() == []


@pytest.mark.parametrize("answer", [
    "echo", "true", "echo '[]'", "echo '{\"supports\":null}'", "echo '{\"supports\":{\"version\":\"2\"}}'",
    "echo '{\"supports\":{\"version\":2,\"actions\":[null],\"events\":[]}}'", "printf '\\377\\376\\000'",
    "head -c 20000000 /dev/zero", "echo 'usage' >&2; exit 1", "kill -SEGV $$", "echo '{\"supports\":'; exit 2",
])
def test_garbage_for_capabilities(mdevd, parent, scripts, answer):
    scripts.add("script", begin=f'[ "$2" = capabilities ] && {{ {answer}; exit; }}\n')

    mdevd.create(parent, SMALL)

    assert scripts.take() == ["script pre start none -", "script post start success d"]


# Attributes of active devices

def get_attributes(mdevd, uuid):
    return mdevd.begin_manager("GetAttributes", "s", uuid)


ATTRIBUTES = """[ "$1" = get ] && { %s; exit; }; exit 0"""


def test_attributes(mdevd, parent, scripts):
    uuid = mdevd.create(parent, SMALL)
    assert get_attributes(mdevd, uuid).result() == []

    scripts.add("script", ATTRIBUTES % """echo '[{"assign":"5"},{"assign":"0x7"}]'""")

    assert get_attributes(mdevd, uuid).result() == [("assign", "5"), ("assign", "0x7")]
    assert scripts.take() == ["script get attributes none d"]


@pytest.mark.parametrize("answer", ["true", "printf '[{}]'", "echo '[{}]'", "printf '[{}]\\000'", "printf '[]\\n\\000'"])
def test_no_attributes(mdevd, parent, scripts, answer):
    uuid = mdevd.create(parent, SMALL)
    scripts.add("script", ATTRIBUTES % answer)

    assert get_attributes(mdevd, uuid).result() == []


@pytest.mark.parametrize("answer", [
    "echo '{}'", "echo '[{},{}]'", "echo '[{\"a\":1}]'", "echo '[{\"a\":\"1\",\"b\":\"2\"}]'", "echo '[\"a\"]'",
    "echo '[{\"../a\":\"1\"}]'", "echo '[{\"a\":'", "printf '\\377'", "head -c 20000000 /dev/zero | tr '\\000' ' '", "exit 1",
    "kill -9 $$", "echo '[{\"a\":\"1\"}]'; exit 5",
])
def test_garbage_for_attributes(mdevd, parent, scripts, answer):
    uuid = mdevd.create(parent, SMALL)
    path = scripts.add("script", ATTRIBUTES % answer)

    failure = get_attributes(mdevd, uuid).failure()
    assert failure.name == error("CallOut") and str(path) in failure.sentence

    # Nor is it written down, with force neither.
    assert mdevd.begin_define("", "", uuid, force=True).failure().name == error("CallOut")
    assert not file_of(parent, uuid).exists()


def test_an_active_device_is_defined_with_its_attributes(mdevd, parent, scripts):
    uuid = mdevd.create(parent, SMALL)
    scripts.add("script", ATTRIBUTES % """echo '[{"assign":"5"},{"log":"x"}]'""")

    mdevd.define("", "", uuid)

    assert file_of(parent, uuid).read_text() == text_of(SMALL, attributes=[("assign", "5"), ("log", "x")])
    assert scripts.take() == ["script pre define none d", "script get attributes none d", "script post define success df"]


def test_who_may_ask(mdevd, parent, scripts):
    uuid = mdevd.create(parent, SMALL)
    scripts.add("script")
    with bus.as_user(1999):
        other = bus.Mdevd()

    with other:
        assert get_attributes(other, uuid).failure().name in (ACCESS_DENIED,
                                                              "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired")
    assert scripts.take() == []


# Live

def live(mdevd, uuid, attributes, **options):
    return begin_modify(mdevd, uuid, {"attributes": ("a(ss)", attributes)}, live=True, **options)


def test_live_by_a_script(mdevd, parent, scripts):
    uuid = mdevd.create(parent, SMALL)
    scripts.add_versioned("script", 'cat >"$1"')
    scripts.add_notifier("notifier")

    live(mdevd, uuid, [("assign", "1")]).result()

    assert scripts.take() == ["script live modify none d", "notifier notify modify none d"]
    assert scripts.text("live") == '{"mdev_type":"%s","start":"manual","attrs":[{"assign":"1"}]}' % SMALL
    assert not [line for line in parent.history() if line.startswith("write")]


def test_live_and_defined_by_a_script(mdevd, parent, scripts):
    uuid = mdevd.define(parent, SMALL, attributes=[("log", "old")])
    mdevd.start(uuid)
    scripts.add_versioned("script", 'cat >"$1"')
    scripts.add_notifier("notifier")
    text = text_of(SMALL, "auto", [("log", "new")])

    begin_modify(mdevd, uuid, {"json": text}, live=True, defined=True).result()

    assert scripts.take() == ["script live modify none df", "notifier notify modify none df",
                              "script pre modify none df", "script post modify success df",
                              "notifier notify modify success df"]
    assert scripts.text("live") == scripts.text("pre")
    assert file_of(parent, uuid).read_text() == text


def test_live_refused_by_a_script(mdevd, parent, scripts):
    uuid = mdevd.define(parent, SMALL)
    mdevd.start(uuid)
    scripts.add_versioned("script", '[ "$1" = live ] && echo "not so" >&2 && exit 2; exit 0')

    failure = live(mdevd, uuid, [("log", "x")], defined=True, direct=True, force=True).failure()

    assert failure.name == error("CallOut") and "not so" in failure.sentence
    assert file_of(parent, uuid).read_text() == text_of(SMALL)
    assert mdevd.state(uuid) == "active"


def test_live_and_then_refused(mdevd, parent, scripts):
    uuid = mdevd.define(parent, SMALL)
    mdevd.start(uuid)
    scripts.add_versioned("script", '[ "$1" = pre ] && exit 1; exit 0')

    failure = live(mdevd, uuid, [("log", "x")], defined=True).failure()

    assert failure.name == error("CallOut") and "The active device has been changed" in failure.sentence
    assert file_of(parent, uuid).read_text() == text_of(SMALL)


def test_not_live(mdevd, parent, scripts):
    uuid = mdevd.create(parent, SMALL)
    assert live(mdevd, uuid, [("log", "x")]).failure().name == NOT_SUPPORTED
    scripts.add("script")
    assert live(mdevd, uuid, [("log", "x")]).failure().name == NOT_SUPPORTED
    assert scripts.take() == []


def test_direct(mdevd, parent, scripts):
    """In order, on the device; the definition too if that is asked for."""
    uuid = mdevd.define(parent, SMALL)
    mdevd.start(uuid)
    wanted = [("enable", "1"), ("level", "40"), ("log", "a"), ("log", "b"), ("sim/params", "x=1")]

    live(mdevd, uuid, wanted, direct=True).result()

    device = sysfs.DEVICES / uuid
    assert (device / "level").read_text() == "40\n" and (device / "log").read_text() == "a\nb\n"
    assert file_of(parent, uuid).read_text() == text_of(SMALL)

    live(mdevd, uuid, wanted, direct=True, defined=True).result()
    assert file_of(parent, uuid).read_text() == text_of(SMALL, attributes=wanted)
    assert mdevd.device(uuid).attributes == wanted


def test_direct_says_what_was_done(mdevd, parent):
    uuid = mdevd.define(parent, SMALL)
    mdevd.start(uuid)

    failure = live(mdevd, uuid, [("log", "a"), ("enable", "1"), ("level", "400"), ("log", "b")], direct=True,
                   defined=True).failure()

    assert failure.name == error("Attribute")
    assert 'Attribute 2, "level"' in failure.sentence and "EINVAL" in failure.sentence
    assert "2 in number, have been written, and none behind it" in failure.sentence
    assert (sysfs.DEVICES / uuid / "log").read_text() == "a\n"
    assert file_of(parent, uuid).read_text() == text_of(SMALL)
    assert mdevd.state(uuid) == "active" and parent.removes == 0


@pytest.mark.parametrize("name", ["remove", "uevent", "driver", "driver/unbind", "power", "power/control", "..", ".", "",
                                  "../x", "/etc/passwd", "sim/../remove", "subsystem/drivers_probe", "iommu_group/type"])
def test_names_that_lead_elsewhere(mdevd, parent, name):
    uuid = mdevd.create(parent, SMALL)

    failure = live(mdevd, uuid, [("log", "a"), (name, "1")], direct=True).failure()

    assert failure.name == INVALID_ARGS
    assert uuid in sysfs.devices() and (sysfs.DEVICES / uuid / "log").read_text() == ""


@pytest.mark.parametrize("changes, options", [
    ({"autostart": True}, {}),
    ({"type": SMALL, "attributes": ("a(ss)", [])}, {}),
    ({"add_attribute": ("(uss)", (0, "log", "x"))}, {}),
    ({"json": text_of(LARGE)}, {}),
    ({"attributes": ("a(ss)", [])}, {"live": False, "direct": True}),
    ({"attributes": ("a(ss)", [])}, {"live": False, "defined": False}),
])
def test_what_makes_no_sense(mdevd, parent, changes, options):
    uuid = mdevd.create(parent, SMALL)

    assert begin_modify(mdevd, uuid, changes, **{"live": True, **options}).failure().name == INVALID_ARGS


def test_live_needs_a_device(mdevd, parents):
    uuid = mdevd.define(parents[0], SMALL)
    assert live(mdevd, new_uuid(), [], direct=True).failure().name == error("NotFound")
    assert live(mdevd, uuid, [], direct=True).failure().name == error("NotActive")
    mdevd.create(parents[1], SMALL, uuid)
    assert live(mdevd, uuid, [], direct=True, parent=parents[0]).failure().name == error("NotActive")
    assert live(mdevd, uuid, [], direct=True, defined=True).failure().name == error("NotFound")
    live(mdevd, uuid, [], direct=True).result()


# The other one

RECORD = """#!/bin/sh
[ "$6" = capabilities ] && exit 2
echo "$0 $*" >>/run/lock/mdevd-test-scripts/record
[ "$4" = get ] || cat >>/run/lock/mdevd-test-scripts/record
echo >>/run/lock/mdevd-test-scripts/record
case $4-$6 in
%s) exit 3 ;;
esac
"""


@pytest.mark.parametrize("refused", ["nothing", "pre-start", "pre-stop", "pre-undefine", "post-*"])
def test_as_mdevctl_calls_them(mdevd, parent, scripts, refused):
    """The same words and the same input, in the same order."""
    uuid = new_uuid()
    for kind in ("callouts", "notifiers"):
        path = DIRECTORIES[1] / kind / "record"
        path.write_text(RECORD % refused)
        path.chmod(0o755)

    def record():
        path = WORK / "record"
        text = path.read_text()
        path.unlink()
        return text

    def mdevctl(*words):
        return subprocess.run(["mdevctl", *words], capture_output=True, timeout=60).returncode == 0

    def outcome(call):
        try:
            call.result()
        except bus.BusError as failure:
            assert failure.name in (error("CallOut"), error("NotFound"), error("NotActive"))
            return False
        return True

    theirs = [
        mdevctl("define", "-u", uuid, "-p", parent.name, "-t", SMALL, "-a"),
        mdevctl("modify", "-u", uuid, "--addattr", "log", "--value", "ä"),
        mdevctl("start", "-u", uuid),
        mdevctl("stop", "-u", uuid),
        mdevctl("undefine", "-u", uuid) and not file_of(parent, uuid).exists(),
    ]
    if refused == "pre-stop":
        sysfs.remove(uuid)
    their_record = record()
    file_of(parent, uuid).unlink(missing_ok=True)
    mdevd.rescan()

    ours = [
        outcome(mdevd.begin_define(parent, SMALL, uuid, autostart=True)),
        outcome(mdevd.begin_modify(uuid, add_attribute=("(uss)", (0, "log", "ä")))),
        outcome(mdevd.begin_start(uuid)),
        outcome(mdevd.begin_stop(uuid)),
        outcome(mdevd.begin_undefine(uuid)),
    ]

    assert record() == their_record
    assert ours == theirs
