# SPDX-License-Identifier: LGPL-2.1-or-later

"""In place of mdevctl: what the option of that name adds to an installation."""

import os
import pathlib
import subprocess

SOURCES = pathlib.Path(__file__).resolve().parents[2]


def meson(*words):
    done = subprocess.run(["meson", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout


def files(root):
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def installed(directory, *options):
    """Where it is, and the names of what the option adds; the rest is not built for this."""
    build, root = directory / "build", directory / "root"
    for name in "bin/mdevdctl", "share/man/man1/mdevdctl.1":
        path = root / "usr" / name
        path.parent.mkdir(parents=True)
        path.touch()
    before = files(root)
    meson("setup", "--prefix=/usr", *options, str(build), str(SOURCES))
    meson("install", "-C", str(build), "--no-rebuild", "--tags", "mdevctl", "--destdir", str(root))
    return root, sorted(files(root) - before)


def test_names_and_rule(tmp_path):
    root, names = installed(tmp_path, "-Dmdevctl=true")
    assert names == [
        "usr/bin/lsmdev",
        "usr/bin/mdevctl",
        "usr/lib/udev/rules.d/60-mdevctl.rules",
        "usr/sbin/lsmdev",
        "usr/sbin/mdevctl",
        "usr/share/man/man8/lsmdev.8",
        "usr/share/man/man8/mdevctl.8",
    ]
    for name in names:
        path = root / name
        if name.endswith(".rules"):
            lines = path.read_text().splitlines()
            assert lines and all(line.startswith("#") or not line for line in lines)
        else:
            target = "share/man/man1/mdevdctl.1" if "man8" in name else "bin/mdevdctl"
            assert os.path.normpath(path.parent / os.readlink(path)) == str(root / "usr" / target)


def test_not_unless_wanted(tmp_path):
    assert installed(tmp_path)[1] == []
