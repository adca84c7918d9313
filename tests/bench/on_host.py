# SPDX-License-Identifier: LGPL-2.1-or-later

"""What can be measured without a kernel that has mediated devices: mdevd on a tree of plain files and a private bus."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(TOP / "tests/contract"))

from figures import Figure  # noqa: E402
from host import Host  # noqa: E402
from jeepney import message_bus  # noqa: E402

PARENTS = 16
TEXT = """{
  "mdev_type": "bench-type",
  "start": "manual",
  "attrs": [
    {
      "assign_adapter": "5"
    },
    {
      "assign_domain": "0x4c"
    }
  ]
}"""


def parent(number):
    return f"0000:3b:{number % PARENTS:02x}.0"


def uuid(number):
    # As random ones would, they come in no order.
    return f"{number * 2654435761 % 2**32:08x}-0000-4000-8000-{number:012x}"


class Machine(Host):
    """mdevd from a build directory, with so many definitions."""

    def __init__(self, build, directory, n):
        os.environ["MDEVD"] = str(build / "daemon/mdevd")
        os.environ["MDEVD_WORKER"] = str(build / "daemon/mdevd-worker")
        super().__init__(pathlib.Path(directory))
        self.build = build
        self.n = n
        # As on any host.
        self.run = tempfile.TemporaryDirectory(dir=memory_directory())
        (self.tree.path / "run").rmdir()
        (self.tree.path / "run").symlink_to(self.run.name)
        # mdevctl insists on these.
        for name in ("callouts", "notifiers"):
            (self.tree.definitions / "scripts.d" / name).mkdir(parents=True)
        for number in range(PARENTS):
            (self.tree.definitions / parent(number)).mkdir()
        for number in range(n):
            with open(f"{self.tree.definitions}/{parent(number)}/{uuid(number)}", "w") as file:
                file.write(TEXT)

    def start_timed(self):
        """How long until it says that it is ready."""
        begin = time.monotonic_ns()
        self.start()
        return time.monotonic_ns() - begin

    def stop_daemon(self):
        self.daemon.terminate()
        assert self.daemon.wait() == 0
        self.daemon = None
        # A busy bus may hear of that later than we do, and the next one could not have the name.
        while self.client.connection.send_and_get_reply(message_bus.NameHasOwner("org.mdevd1")).body[0]:
            pass
        self.client.connection.close()
        self.client = None
        (self.directory / "notify").unlink()

    def tool(self, name, *words, seen_as_etc=False):
        """Output of one of our programs, as {what: [figures]}. With `seen_as_etc` the definitions are in /etc/mdevctl.d
        for it, for mdevctl takes no other place."""
        words = [str(self.build / f"tests/bench/bench-{name}"), *map(str, words)]
        if seen_as_etc:
            mount = 'mount --bind "$0" /etc/mdevctl.d && exec "$@"'
            words = ["unshare", "--mount", "sh", "-c", mount, str(self.tree.definitions), *words]
        done = subprocess.run(words, env=self.bus.environment, stdout=subprocess.PIPE, text=True, check=True)
        return samples(done.stdout)

    def timed(self, rounds, *commands):
        """How long each command took, in turns."""
        words = [word for command in commands for word in [*command, "--"]][:-1]
        figures = self.tool("timed", rounds, *words, seen_as_etc=True)
        return [figures[str(i)] for i in range(len(commands))]

    @property
    def ctl(self):
        return str(self.build / "tools/mdevdctl")

    def memory(self):
        return private_memory(self.daemon.pid)


def samples(text):
    figures = {}
    for line in text.splitlines():
        what, value = line.split()
        figures.setdefault(what, []).append(int(value))
    return figures


def private_memory(pid):
    """Bytes that nobody else shares."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return sum(int(line.split()[1]) * 1024 for line in file if line.startswith("Private_"))


def wake_ups(pid):
    with open(f"/proc/{pid}/status") as file:
        return sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)


@contextlib.contextmanager
def machine(build, n, where=None):
    """`where`: None: on the disk, beside the build."""
    with tempfile.TemporaryDirectory(dir=where or build) as directory:
        m = Machine(build, directory, n)
        try:
            yield m
        finally:
            m.stop()
            m.run.cleanup()


@contextlib.contextmanager
def running(build, n, where=None):
    with machine(build, n, where) as m:
        m.start()
        yield m


# The rows of the table


def lists(build, sizes, rounds):
    figures = []
    for n in sizes:
        with running(build, n) as m:
            ours, theirs = m.timed(rounds, [m.ctl, "list", "-d"], ["mdevctl", "list", "-d"])
            goal, bound = ("≤ 1 / 5", 0.2) if n >= 10000 else ("≤ 1", 1.0)
            figures.append(Figure(f"`list -d` of {n:,}, whole process", "ms", ours, "mdevctl", theirs, goal, bound))
    return figures


def queries(build, few, many, rounds):
    with running(build, many) as m:
        name, place = uuid(many // 2), parent(many // 2)
        ours, theirs = m.timed(rounds, [m.ctl, "list", "-d", "-u", name], ["mdevctl", "list", "-d", "-u", name])
        query = Figure(f"`list -d -u UUID` of {many:,}", "ms", ours, "mdevctl", theirs, "≤ 1 / 8", 0.125)
        # Another one: what mdevctl writes in place is half a file for a moment, and no definition.
        other = uuid(many // 2 + 1), parent(many // 2 + 1)
        ours, theirs = m.timed(rounds, [m.ctl, "modify", "-u", name, "-p", place, "--auto"],
                               ["mdevctl", "modify", "-u", other[0], "-p", other[1], "--auto"])
        modify = Figure(f"`modify` of one of {many:,} (mdevctl's is not durable)", "ms", ours, "mdevctl", theirs, "≤ 1 / 8", 0.125)
        calls = m.tool("client", "query", rounds, name)["query"], m.tool("client", "modify", rounds, name, place)["modify"]
    with running(build, few) as m:
        name, place = uuid(few // 2), parent(few // 2)
        fewer = m.tool("client", "query", rounds, name)["query"], m.tool("client", "modify", rounds, name, place)["modify"]
    return [
        query,
        modify,
        Figure(f"query of one of {many:,}, over the bus", "µs", calls[0], f"of {few:,}", fewer[0], "≤ 1.1", 1.1),
        Figure(f"Modify of one of {many:,}, over the bus", "µs", calls[1], f"of {few:,}", fewer[1], "≤ 1.1", 1.1),
    ]


def defines(build, rounds):
    figures = []
    with running(build, 100) as m:
        for outstanding, batch, goal, bound in ((1, 1, "≤ 2.5", 2.5), (64, 256, "≤ 1", 1.0)):
            times = m.tool("client", "define", rounds if batch == 1 else max(rounds // 20, 1), batch, outstanding, m.directory)
            what = "durable Define, one after the other" if outstanding == 1 else f"durable Define, {outstanding} outstanding, each"
            figures.append(Figure(what, "µs", times["mdevd"], "bare C loop", times["bare"], goal, bound))
    return figures


def starts(build, sizes, rounds):
    """Against mdevctl's listing of the first size, and the last against the first."""
    ready, figures = {}, []
    for n in sizes:
        ready[n], listing = [], []
        with machine(build, n) as m:
            for _ in range(rounds):
                ready[n].append(m.start_timed())
                m.stop_daemon()
                if n == sizes[0]:
                    listing += m.timed(1, ["mdevctl", "list", "-d"])[0]
        if n == sizes[0]:
            figures.append(Figure(f"start to READY with {n:,}", "ms", ready[n], "mdevctl list -d", listing, "≤ 1", 1.0))
        else:
            factor = n / sizes[0]
            figures.append(Figure(f"start to READY with {n:,}", "ms", ready[n], f"with {sizes[0]:,}", ready[sizes[0]],
                                  f"≤ {1.2 * factor:g}", 1.2 * factor))
    return figures


def hostnamed(m):
    """Memory of systemd-hostnamed on the same bus, or [] if this machine has none."""
    program = "/lib/systemd/systemd-hostnamed"
    if not os.access(program, os.X_OK):
        return []
    with subprocess.Popen([program], env=m.bus.environment, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(500):
                if m.bus.run("busctl", "get-property", "org.freedesktop.hostname1", "/org/freedesktop/hostname1",
                             "org.freedesktop.hostname1", "StaticHostname", "--auto-start=no").returncode == 0:
                    return [private_memory(process.pid)]
                time.sleep(0.01)
            return []
        finally:
            process.terminate()


def memory(build, n, churn_rounds, memory_directory):
    figures = []
    with running(build, 0) as m:
        empty = m.memory()
        figures.append(Figure("private memory, idle and empty", "KiB", [empty], "systemd-hostnamed", hostnamed(m), "≤ 2,048 KiB"))
        figures[-1].bound = 2048 * 1024 / (figures[-1].theirs[0] if figures[-1].theirs else 1)
    with running(build, n, memory_directory) as m:
        each = (m.memory() - empty) / n
        figures.append(Figure(f"private memory of each of {n:,} definitions with two attributes", "bytes", [each], "", (),
                              "≤ 700 bytes", 700))
    with running(build, 1000, memory_directory) as m:
        m.tool("client", "churn", churn_rounds, parent(0))
        before = m.memory()
        m.tool("client", "churn", 3 * churn_rounds, parent(0))
        figures.append(Figure(f"private memory after {4 * churn_rounds:,} rounds of churn", "KiB", [m.memory()],
                              f"after {churn_rounds:,}", [before], "≤ 1.02", 1.02))
    return figures


def idle(build, seconds):
    with running(build, 100) as m:
        # It may still have something to do for what was just asked.
        time.sleep(1)
        before = wake_ups(m.daemon.pid)
        time.sleep(seconds)
        return [Figure(f"wake-ups in {seconds} s without an event", "", [wake_ups(m.daemon.pid) - before], "", (), "0", 0)]


# Growth


def growth(build, sizes, rounds, memory_directory):
    """{what: {n: [figures]}}"""
    found = {}

    def put(what, n, values):
        found.setdefault(what, {})[n] = values

    for n in sizes:
        with machine(build, n, memory_directory) as m:
            few = 3 if n >= 10000 else rounds
            times = []
            for _ in range(few):
                times.append(m.start_timed())
                m.stop_daemon()
            put("start to READY", n, times)
            m.start()
            ours, theirs = m.timed(few, [m.ctl, "list", "-d"], ["mdevctl", "list", "-d"])
            put("`list -d`", n, ours)
            put("`list -d`, mdevctl", n, theirs)
            ours, theirs = m.timed(few, [m.ctl, "list", "-d", "-u", uuid(0)], ["mdevctl", "list", "-d", "-u", uuid(0)])
            put("`list -d -u UUID`", n, ours)
            put("`list -d -u UUID`, mdevctl", n, theirs)
            put("Define", n, m.tool("client", "define", 10 * rounds, 1, 1, m.directory)["mdevd"])
            put("private memory, KiB", n, [m.memory()])
    return found


def memory_directory():
    """Where files cost no disk, for what does not measure it."""
    return "/dev/shm" if shutil.disk_usage("/dev/shm").free > 2 << 30 else None
