#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The architecture as a test: reads every #include and fails on an edge that the tables below do not have.

base ← model ← host ← core ← bus ← main. A line here that is too generous is how the house rots: each exception says
why it is one. Usage: check-layers.py [SOURCE-ROOT]
"""

import re
import sys
from pathlib import Path

# Which of the project's headers the files of a layer may include: layers, or single headers.
LAYERS = {
    "base": {"base"},
    "model": {"model", "base/util.h"},
    "host": {"base", "model"},
    "core": {"base", "model", "host", "core", "api/mdevd-messages.h"},
    "bus": {"base", "model", "bus", "core/manager.h", "api"},
    "main": {"base", "core/manager.h", "bus/bus.h", "host/config.h"},
    "worker-main": {"base", "host/effect.h"},
    # A client, which knows the API; but for what it does without a daemon, on files, it has no second understanding of
    # them, and the same words for what goes wrong.
    "tools": {"tools", "api", "base/util.h", "base/file.h", "model/uuid.h", "model/name.h"},
    "api": set(),
}

# host: one outside thing per file, siblings do not know each other. But for these:
HOST_SIBLINGS = {
    # the same outside thing, split by who may call it
    "host/driver.c": {"host/sysfs.h"},
    # what passes between the two is what they are about
    "host/worker.h": {"host/wire.h"},
    "host/effect.h": {"host/wire.h"},
    # what JSON is, and what a definition is in it
    "host/codec.c": {"host/json.h"},
    # which scripts there are, what they are told and what they answer
    "host/callout.c": {"host/codec.h", "host/script.h"},
    # the one place where the effects meet
    "host/effect-private.h": {"host/callout.h", "host/effect.h", "host/store.h"},
    "host/effect.c": {"host/codec.h", "host/driver.h", "host/effect-private.h", "host/kmsg.h", "host/sysfs.h"},
    "host/effect-definition.c": {"host/codec.h", "host/effect-private.h", "host/sysfs.h"},
    "host/effect-device.c": {"host/driver.h", "host/effect-private.h", "host/holder.h", "host/kmsg.h", "host/record.h",
                             "host/sysfs.h"},
}

# tools: the files that work without a daemon, and what of it they use in its place.
TOOLS_OFFLINE = {
    "tools/offline.c": {"host/codec.h", "host/driver.h", "host/store.h", "host/sysfs.h"},
    "tools/offline-change.c": {"bus/error.h", "host/codec.h", "host/store.h", "model/modification.h"},
    "tools/usage.c": {"host/holder.h", "host/sysfs.h"},
}

# What enters a driver, waits for the disk or reads what it should not: for workers, never for the main loop.
WORKERS_ONLY = {
    "host/callout.h", "host/driver.h", "host/effect.h", "host/holder.h", "host/kmsg.h", "host/script.h", "host/store.h",
}

# Libraries, and which files may know them.
LIBRARIES = {
    r"systemd/sd-journal\.h": r"base/log\.c|tools/journal\.c",
    r"uuid/.*": r"model/uuid\.c|tools/.*",
    r"json-c/.*": r"host/(codec\.c|json\.[ch])|tools/.*",
    r"libudev\.h": r"host/monitor\.c",
    r"systemd/sd-event\.h": r"core/.*|bus/(auth|turns)\.c|main\.c|tools/(picture|many)\.c",
    r"systemd/sd-daemon\.h": r"core/manager\.c|main\.c",
    r"systemd/sd-bus\.h": r"bus/.*|tools/.*",
}

# Words that must not stand in a layer's code at all.
FORBIDDEN = [
    (r"model/", r"\b(open|openat|read|write|fork|time|clock_gettime|getenv|poll|socket)\s*\(|\bsd_\w+",
     "model is pure: no I/O, no clock, no sd-*"),
    (r"(?!host/(worker|script)\.c)", r"\b(fork|vfork|posix_spawnp?|system|popen|execv\w*|execl\w*)\s*\(",
     "only host/worker.c starts workers, and only host/script.c scripts"),
    (r"", r"\bpthread_\w+", "there are no threads"),
    (r"(?!tools/|host/script\.c)", r"\b(kill|pidfd_send_signal|sigqueue)\s*\(", "nobody signals a worker"),
]

# A file that is longer wants to be two.
LINES_MAX = 700


def sources(root):
    for folder in ("daemon", "tools", "api"):
        for path in sorted((root / folder).rglob("*.[ch]")):
            name = path.relative_to(root / "daemon" if folder == "daemon" else root).as_posix()
            yield name, path.read_text()


def layer_of(name):
    folder = name.split("/")[0]
    return folder.removesuffix(".c") if "/" not in name else folder


def without_comments(text):
    text = re.sub(r"/\*.*?\*/", lambda match: "\n" * match[0].count("\n"), text, flags=re.S)
    return re.sub(r'"(\\.|[^"\\\n])*"', '""', text)


def may_include(name, header):
    layer = layer_of(name)
    if layer == "tools" and "/" not in header:
        return True
    if name == f"{header.removesuffix('.h')}.c":
        return True
    if header in TOOLS_OFFLINE.get(name, ()):
        return True
    if layer == "host" and header.startswith("host/"):
        return header in HOST_SIBLINGS.get(name, ())
    if layer == "core" and header in WORKERS_ONLY:
        return False
    if header.endswith("-private.h") and layer_of(header) != layer:
        return False
    allowed = LAYERS[layer]
    return header in allowed or header.split("/")[0] in allowed


def check_includes(name, text):
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+(["<])([^">]+)[">]', line)
        if not match:
            continue
        kind, header = match.groups()
        if kind == '"' and not may_include(name, header):
            yield f'{name}:{number}: {layer_of(name)} may not include "{header}"'
        if kind == "<":
            for library, where in LIBRARIES.items():
                if re.fullmatch(library, header) and not re.fullmatch(where, name) and \
                        not (name.endswith(".h") and re.fullmatch(where, name.removesuffix("h") + "c")):
                    yield f"{name}:{number}: <{header}> is not for this file"


def check_words(name, text):
    code = without_comments(text)
    for where, word, why in FORBIDDEN:
        if not re.match(where, name):
            continue
        for number, line in enumerate(code.splitlines(), 1):
            match = re.search(word, line)
            if match:
                yield f"{name}:{number}: {match[0].strip()} - {why}"


def check_length(name, text):
    lines = text.count("\n")
    if lines > LINES_MAX:
        yield f"{name}: {lines} lines, more than {LINES_MAX}: is it two things?"


def check(root):
    found = []
    n = 0
    for name, text in sources(root):
        n += 1
        for one in (check_includes, check_words, check_length):
            found.extend(one(name, text))
    return n, found


def main():
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
    n, found = check(root)
    for line in found:
        print(line, file=sys.stderr)
    if n == 0:
        print(f"no sources below {root}", file=sys.stderr)
    return 1 if found or n == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
