#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What takes a kernel with mediated devices: run by tests/bench/run in the guest, with the directory of the programs in
C as argument. Prints each figure as a line of JSON."""

import json
import pathlib
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor

# Where the guest has the source tree; this file was copied to elsewhere.
SOURCE = pathlib.Path("/run/mdevd-test/source")
sys.path.append(str(SOURCE / "tests/vm/cases"))

import mdevsim  # noqa: E402
import service  # noqa: E402

TYPE = mdevsim.SMALL
DEVICES = 32
EVENTS = 10000

# MDEVD_MESSAGE_OVERFLOW: events were lost, and everything was looked at anew.
OVERFLOW = "71b8e3f5a2c64d09b6f0d7c4e8a1935d"

DEFINITION = '{\n  "mdev_type": "%s",\n  "start": "auto",\n  "attrs": []\n}' % TYPE


def tool(name, *words):
    """{what: [nanoseconds]}"""
    program = SOURCE / sys.argv[1] / f"bench-{name}"
    figures = {}
    done = subprocess.run([program, *map(str, words)], stdout=subprocess.PIPE, text=True, check=True)
    for line in done.stdout.splitlines():
        what, value = line.split()
        figures.setdefault(what, []).append(int(value))
    return figures


def settle():
    subprocess.run(["udevadm", "settle", "--timeout=600"], check=True)


def tell(what, unit, ours, against="", theirs=(), goal="", bound=None):
    figure = {"what": what, "unit": unit, "ours": ours, "against": against, "theirs": list(theirs), "goal": goal}
    print(json.dumps(figure if bound is None else {**figure, "bound": bound}), flush=True)


def define(parent, name):
    path = pathlib.Path("/etc/mdevctl.d", parent.name, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(DEFINITION)


def one_device(parents):
    """Turns of some rounds each; mdevd is not there while others are measured, and so takes no time of theirs."""
    parent = parents[0]
    found = {"raw": [], "pings": [], "woven": [], "mdevd": []}
    for _ in range(4):
        service.stop()
        found["raw"] += tool("raw", "devices", 8, parent.name, TYPE)["raw"]
        service.start()
        for what, values in tool("client", "devices", 8, parent.name, TYPE).items():
            found[what] += values
    theirs = [raw + ping for raw, ping in zip(found["raw"], found["pings"])]
    tell("Create and Stop, standing connection", "ms", found["mdevd"], "raw writes + two pings", theirs, "≤ 1.5", 1.5)
    tell("… against the same with udev at work in between", "ms", found["mdevd"], "ping, raw create, ping, raw remove", found["woven"])
    tell("… the raw writes alone", "ms", found["raw"])


def whole_process(parents):
    parent = parents[0]
    name = str(uuid.uuid4())
    define(parent, name)
    found = {}
    bare = tool("timed", 15, "mdevdctl", "--version", "--", "mdevctl", "--version", "--", "true")
    for _ in range(3):
        for program in ("mdevctl", "mdevdctl"):
            service.start() if program == "mdevdctl" else service.stop()
            words = [[program, "start", "-u", name], ["udevadm", "settle"], [program, "stop", "-u", name], ["udevadm", "settle"]]
            times = tool("timed", 5, *[word for command in words for word in [*command, "--"]][:-1])
            for number, verb in ((0, "start"), (2, "stop")):
                found.setdefault((program, verb), []).extend(times[str(number)])
    for verb in ("start", "stop"):
        tell(f"`{verb}`, whole process", "ms", found["mdevdctl", verb], "mdevctl", found["mdevctl", verb], "≤ 0.7", 0.7)
    tell("… of that the start of a process, `--version`", "ms", bare["0"], "mdevctl", bare["1"])
    tell("… the least that one takes, `true`", "ms", bare["2"])
    pathlib.Path("/etc/mdevctl.d", parent.name, name).unlink()
    service.start()


def autostart_on(parents, delay_ms, rounds):
    """Definitions on these parents, in files, so many that they are 32 in all. Stopped by hand in between."""
    service.stop()
    each = DEVICES // len(parents)
    names = [(parent, str(uuid.uuid4())) for parent in parents for _ in range(each)]
    for parent in parents:
        parent.registered = 0
        parent.limit = each
        parent.registered = 1
        parent.create_delay_ms = delay_ms
    # Nothing is started by itself any more: first mdevd has seen these parents, and then there are definitions.
    settle()
    service.start()
    service.stop()
    for parent, name in names:
        define(parent, name)

    def remove_all():
        for _, name in names:
            mdevsim.sysfs.remove(name)
        settle()

    found = {"mdevctl": [], "mdevd": [], "driver": []}
    for _ in range(rounds):
        service.stop()
        found["driver"] += tool("raw", "parallel", TYPE, each, *[parent.name for parent in parents])["parallel"]
        words = ["sh", "-c", 'for p; do mdevctl start-parent-mdevs "$p" || exit; done', "sh", *[parent.name for parent in parents]]
        found["mdevctl"] += tool("timed", 1, *words)["0"]
        remove_all()
        service.start()
        found["mdevd"] += tool("client", "start", 1, *[parent.name for parent in parents])["start"]
        remove_all()

    what = f"autostart of {DEVICES} on {len(parents)} parent{'s'[:len(parents) > 1]}, {delay_ms:,} ms each in the driver"
    tell(what, "ms", found["mdevd"], "mdevctl start-parent-mdevs, each parent", found["mdevctl"], "≤ 1 / 10", 0.1)
    tell(what, "ms", found["mdevd"], "all writes at once", found["driver"], "≤ 1.3", 1.3)
    # It must not know of them any more when the parents come again.
    service.stop()
    for parent, name in names:
        pathlib.Path("/etc/mdevctl.d", parent.name, name).unlink()
    for parent in parents:
        parent.reset()
    service.start()


def autostart(parents):
    """And with a driver that is as much slower as the rest is by emulation, about."""
    for delay_ms, rounds in (200, 3), (2000, 1):
        autostart_on(parents[:1], delay_ms, rounds)
        autostart_on(parents, delay_ms, rounds)


def events(parents, n=EVENTS):
    """A burst from devices that are there, and a client that hears everything and asks all the time."""
    parent = parents[0]
    names = [str(uuid.uuid4()) for _ in range(8)]
    for name in names:
        mdevsim.sysfs.create(parent, TYPE, name)
    settle()
    with subprocess.Popen([SOURCE / sys.argv[1] / "bench-client", "watch"], stdout=subprocess.PIPE, text=True) as client, ThreadPoolExecutor() as threads:
        assert client.stdout.readline() == "ready 0\n"
        # It must never wait for a reader.
        told = threads.submit(client.stdout.read)
        tool("raw", "uevents", n, *[mdevsim.sysfs.DEVICES / name / "uevent" for name in names])
        settle()
        for name in names:
            mdevsim.sysfs.remove(name)
        told = [line.split() for line in told.result().splitlines()]
    answers, others = ([int(value) for who, value in told if who == name] for name in ("answer", "bus"))
    lost = service.messages(OVERFLOW)
    tell(f"longest answer during {n:,} uevents", "ms", [max(answers)], "", (), "≤ 100 ms", 100e6)
    tell("… the longest of the bus itself meanwhile", "ms", [max(others)])
    tell(f"… the median of {len(answers):,}", "ms", answers, "the bus itself", others)
    tell("… events lost", "", [len(lost)], "", (), "0", 0)


PARTS = [one_device, whole_process, autostart, events]


def quiet_journal():
    """The guest shows its journal on the console, which no host does."""
    drop_in = pathlib.Path("/run/systemd/journald.conf.d/bench.conf")
    drop_in.parent.mkdir(parents=True, exist_ok=True)
    drop_in.write_text("[Journal]\nForwardToConsole=no\n")
    subprocess.run(["systemctl", "restart", "systemd-journald"], check=True)
    service.restart()


def main():
    quiet_journal()
    parents = mdevsim.parents()
    wanted = sys.argv[2]
    for part in PARTS:
        if wanted in part.__name__:
            part(parents)


if __name__ == "__main__":
    main()
