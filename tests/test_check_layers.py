# SPDX-License-Identifier: LGPL-2.1-or-later
"""That check-layers.py finds what it is there to find."""

import importlib.util
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
spec = importlib.util.spec_from_file_location("check_layers", HERE / "check-layers.py")
layers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(layers)


def test_the_tree_is_in_order():
    n, found = layers.check(HERE.parent)
    assert n > 30
    assert found == []


@pytest.mark.parametrize("name, line", [
    ("base/file.c", '#include "model/uuid.h"'),
    ("model/registry.c", '#include "base/log.h"'),
    ("model/registry.c", '#include "host/sysfs.h"'),
    ("model/registry.c", "#include <systemd/sd-event.h>"),
    ("model/name.c", "int fd = open(path, 0);"),
    ("host/sysfs.c", '#include "host/store.h"'),
    ("host/sysfs.h", '#include "core/manager.h"'),
    ("host/sysfs.c", "#include <libudev.h>"),
    ("core/verbs.c", '#include "host/driver.h"'),
    ("core/verbs.c", '#include "host/callout.h"'),
    ("core/verbs.c", '#include "bus/bus.h"'),
    ("core/verbs.c", "#include <systemd/sd-bus.h>"),
    ("bus/bus.c", '#include "core/manager-private.h"'),
    ("bus/bus.c", '#include "host/sysfs.h"'),
    ("worker-main.c", "#include <systemd/sd-bus.h>"),
    ("worker-main.c", '#include "core/manager.h"'),
    ("core/operation.c", "        kill(pid, SIGTERM);"),
    ("core/operation.c", "        r = fork();"),
    ("host/worker.c", "        pthread_create(&t, NULL, f, NULL);"),
    ("tools/mdevdctl.c", '#include "core/manager.h"'),
    ("core/verbs.c", "int x;\n" * 800),
])
def test_a_breach_is_found(name, line):
    found = [*layers.check_includes(name, line), *layers.check_words(name, line), *layers.check_length(name, line)]
    assert found, f"{name}: {line[:60]}"


@pytest.mark.parametrize("name, line", [
    ("model/registry.c", "/* open( and fork( in a comment */"),
    ("bus/error.c", 'puts("never kill(1) it");'),
    ("host/effect-private.h", '#include "host/store.h"'),
    ("core/reconcile.c", '#include "host/sysfs.h"'),
    ("host/worker.c", "        r = posix_spawn(&pid, path, NULL, NULL, argv, env);"),
    ("host/script.c", "        (void) kill(-pid, SIGKILL);"),
])
def test_what_is_allowed_is_not_found(name, line):
    assert [*layers.check_includes(name, line), *layers.check_words(name, line)] == []
