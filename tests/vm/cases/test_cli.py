# SPDX-License-Identifier: LGPL-2.1-or-later
"""The command line, on devices that are really made."""

import subprocess

import sysfs
from definitions import file_of, files, text_of
from guest import new_uuid
from mdevsim import LARGE, SMALL


def run(*words, expected=0):
    result = subprocess.run(["mdevdctl", *words], capture_output=True, text=True, timeout=60)
    assert result.returncode == expected, result.stderr
    return result.stderr if expected else result.stdout


def mdevctl(*words):
    return subprocess.run(["mdevctl", *words], capture_output=True, text=True, check=True, timeout=60).stdout


def test_one_life(mdevd, parent):
    uuid = new_uuid()

    assert run("define", "-u", uuid, "-p", parent.name, "-t", SMALL, "--auto") == ""
    assert file_of(parent, uuid).read_text() == text_of(SMALL, "auto")
    assert run("list", "-d") == mdevctl("list", "-d").removesuffix("\n")

    assert run("start", "-u", uuid) == ""
    assert sysfs.devices() == {uuid}
    assert run("list") == f"{uuid} {parent.name} {SMALL} auto (defined)\n" == mdevctl("list").removesuffix("\n")
    assert run("types", "-p", parent.name) == mdevctl("types", "-p", parent.name).removesuffix("\n")

    assert run("stop", "-u", uuid) == "" and sysfs.devices() == set()
    assert run("undefine", "-u", uuid) == "" and files() == []


def test_a_transient_device_gets_a_uuid(mdevd, parent):
    uuid = run("start", "-p", parent.name, "-t", LARGE).strip()

    assert sysfs.devices() == {uuid} and files() == []


def test_what_goes_wrong_is_said(mdevd, parents):
    uuid = run("start", "-p", parents[0].name, "-t", SMALL).strip()

    assert uuid in run("start", "-u", uuid, "-p", parents[1].name, "-t", SMALL, expected=1)
    assert run("stop", "-u", new_uuid(), expected=1).startswith("Error: ")
    assert "--uuid" in run("stop", expected=2)
