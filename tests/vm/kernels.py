# SPDX-License-Identifier: LGPL-2.1-or-later
"""The kernels that the guest can boot: those that are installed, and some more of Debian's, which are fetched.

Fetching installs nothing: the packages are unpacked below build/kernels, and apt works there with a source, an index and a
status of its own. Whatever this machine boots stays as it is.
"""

import fcntl
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

# What Debian has beside the kernel of its release 12, and in which suite.
SUITES = {"5.10": "bullseye", "6.12": "bookworm-backports"}

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class Unavailable(Exception):
    """There is no such kernel to be had; the text is for the user."""


@dataclass
class Kernel:
    version: str
    image: Path
    modules: Path
    headers: Path
    # Below which modprobe finds lib/modules
    root: Path

    @classmethod
    def below(cls, root, version):
        modules = root / "lib/modules" / version
        headers = modules / "build" if root == Path("/") else root / "usr/src" / f"linux-headers-{version}"
        return cls(version, root / "boot" / f"vmlinuz-{version}", modules, headers, root)


def find(prefix, cache):
    """The newest installed kernel of that version, or one that was or now is fetched into CACHE."""
    found = newest(Path("/"), prefix)
    if not found and prefix in SUITES:
        found = newest(fetched(prefix, cache), prefix)
    if not found:
        raise Unavailable(f"no kernel {prefix} with headers is installed (linux-image-amd64, linux-headers-amd64), and those"
                          f" that can be fetched are called {' and '.join(SUITES)}")
    return found


def newest(root, prefix):
    """The newest kernel below ROOT that is called that way and that modules can be built for."""
    installed = [path.name.removeprefix("vmlinuz-") for path in (root / "boot").glob("vmlinuz-*")]
    candidates = [Kernel.below(root, version) for version in installed if is_version(version, prefix)]
    candidates = [kernel for kernel in candidates if kernel.headers.exists()]
    return max(candidates, key=lambda kernel: [int(number) for number in re.findall(r"\d+", kernel.version)], default=None)


def is_version(version, prefix):
    """6.1 is how 6.1.0-56-amd64 begins, but not how 6.12 does."""
    return not prefix or re.match(re.escape(prefix) + r"(?!\d)", version)


def fetched(name, cache):
    """The directory with an unpacked kernel and its headers. Removing it makes the next run fetch the newest again."""
    root = cache / name
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            fetch(SUITES[name], root)
    return root


def fetch(suite, root):
    """All or nothing: ROOT appears when everything is in it."""
    scratch = root.with_name(root.name + ".new")
    shutil.rmtree(scratch, ignore_errors=True)
    apt = scratch / "apt"
    (apt / "lists/partial").mkdir(parents=True)
    (apt / "cache/archives/partial").mkdir(parents=True)
    (apt / "status").touch()
    if not KEYRING.exists():
        raise Unavailable("first: apt-get install debian-archive-keyring")
    mirror = debian_mirror()
    (apt / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror} {suite} main\n")
    (apt / "apt.conf").write_text(
        f'Dir::State "{apt}";\nDir::State::status "{apt}/status";\nDir::Cache "{apt}/cache";\n'
        f'Dir::Etc::sourcelist "{apt}/sources.list";\nDir::Etc::sourceparts "-";\nDir::Etc::preferencesparts "-";\n'
        'APT::Sandbox::User "root";\nAcquire::Languages "none";\nAcquire::Retries "3";\n')
    run(apt, "apt-get", "--error-on=any", "update", problem=f"{suite} cannot be had from {mirror}")
    packages = closure(apt, ["linux-image-amd64", "linux-headers-amd64"])
    run(apt, "apt-get", "download", *packages, problem=f"packages of {suite} cannot be had from {mirror}")
    for package in apt.glob("*.deb"):
        run(apt, "dpkg", "--extract", package, scratch)
    shutil.rmtree(apt)
    for makefile in (scratch / "usr/src").glob("linux-headers-*/Makefile"):
        beside = "$(dir $(realpath $(lastword $(MAKEFILE_LIST))))../"
        makefile.write_text(makefile.read_text().replace("include /usr/src/", f"include {beside}"))
    for modules in (scratch / "lib/modules").iterdir():
        run(scratch, "/sbin/depmod", "--basedir", scratch, modules.name)
    scratch.rename(root)


def debian_mirror():
    """Where this machine gets Debian from."""
    uris = output("apt-get", "indextargets", "--format", "$(REPO_URI)", "Identifier: Packages", "Origin: Debian",
                  "Label: Debian").split()
    if not uris:
        raise Unavailable("apt knows no mirror of Debian; first: apt-get update")
    return uris[0]


def closure(apt, packages):
    """PACKAGES and what they need of the kernel's own; that includes no compiler."""
    found = []
    while packages:
        package = packages.pop()
        if package in found:
            continue
        found.append(package)
        about = run(apt, "apt-cache", "show", "--no-all-versions", package)
        for depends in re.findall(r"^Depends: (.*)", about, re.MULTILINE):
            packages += [word.split()[0] for word in depends.split(", ")
                         if re.match(r"linux-(image|headers|kbuild)-", word)]
    return found


def run(apt, *words, problem=None):
    """Run a program on what apt keeps in APT."""
    environment = {**os.environ, "APT_CONFIG": str(apt / "apt.conf"), "LC_ALL": "C"}
    return output(*words, cwd=apt, env=environment, problem=problem)


def output(*words, problem=None, **options):
    words = [str(word) for word in words]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if done.returncode != 0:
        raise Unavailable(f"{problem or 'failed: ' + ' '.join(words)}\n{done.stderr}")
    return done.stdout
