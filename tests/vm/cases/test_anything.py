# SPDX-License-Identifier: LGPL-2.1-or-later
"""Calls that may or may not make sense, of an ordinary user, with the real polkit: nothing comes of them.

On the host, where all is faster, tests/contract/test_fuzz.py sends thousands, also as root. MDEVD_FUZZ_SEED asks for
other calls.
"""

import os
import pwd
import sys
import types
from pathlib import Path

from jeepney import HeaderFields, MessageType

import sysfs
from definitions import files
from mdevsim import SMALL

SOURCE = Path(__file__).parents[3]
sys.path += [str(SOURCE / "api"), str(SOURCE / "tests/contract")]

from anything import UUIDS, Anything, Caller, documented_errors, method_of  # noqa: E402
from interfaces import read_interfaces  # noqa: E402

CALLS = 150
SEED = int(os.environ.get("MDEVD_FUZZ_SEED", 2018))
PATIENCE = 30
REFUSED = {"org.freedesktop.DBus.Error." + name for name in ("AccessDenied", "InteractiveAuthorizationRequired")}

MANAGER = read_interfaces((SOURCE / "api/org.mdevd1.Manager.xml").read_text())["org.mdevd1.Manager"]


def picture(mdevd):
    return mdevd.managed_objects(), sysfs.devices(), [(path, path.read_bytes()) for path in files()]


def test_of_an_ordinary_user(mdevd, parent):
    mdevd.create(parent, SMALL, UUIDS[0])
    mdevd.define(parent, SMALL, UUIDS[1])
    # What is left of the types is told a moment later, unless somebody asks.
    mdevd.begin_manager("ListTypes", "s", "").result()
    pid, before = mdevd.pid_of(), picture(mdevd)

    anything = Anything(SEED)
    caller = Caller(types.SimpleNamespace(address="SYSTEM"), pwd.getpwnam("tester").pw_uid, PATIENCE)
    n_refused = 0
    for number in range(CALLS):
        message = anything.call(MANAGER)
        reply = caller.ask(message)
        if reply and reply.header.message_type is MessageType.error:
            name = reply.header.fields[HeaderFields.error_name]
            # What the bus's own policy refuses does not come as far as to mdevd.
            is_ours = method_of(message, MANAGER) or name not in REFUSED
            assert not is_ours or name in documented_errors(message, MANAGER), (
                f"MDEVD_FUZZ_SEED={SEED}, call {number}: {message.header.fields}: {reply.body}")
            n_refused += name in REFUSED
    caller.close()

    assert n_refused > CALLS / 20, f"MDEVD_FUZZ_SEED={SEED}"
    assert picture(mdevd) == before, f"MDEVD_FUZZ_SEED={SEED}"
    assert mdevd.pid_of() == pid
