# SPDX-License-Identifier: LGPL-2.1-or-later
"""Definition files, as everybody else on the host sees them."""

import shutil
from pathlib import Path

DIRECTORY = Path("/etc/mdevctl.d")

# Directories of parents that stay when the definitions are removed.
kept = set()


def file_of(parent, uuid):
    return DIRECTORY / (parent if isinstance(parent, str) else parent.name) / uuid


def files():
    """All files below the parents' directories."""
    return sorted(path for path in DIRECTORY.glob("*/*") if path.parent.name != "scripts.d")


def remove_definitions():
    for directory in DIRECTORY.iterdir():
        if directory in kept:
            for path in directory.iterdir():
                path.unlink()
        elif directory.is_dir() and directory.name != "scripts.d":
            shutil.rmtree(directory)
        elif not directory.is_dir():
            directory.unlink()


def text_of(type, start="manual", attributes=()):
    """The bytes that mdevctl writes."""
    objects = ",\n".join(f'    {{\n      "{name}": "{value}"\n    }}' for name, value in attributes)
    attrs = f"[\n{objects}\n  ]" if attributes else "[]"
    return f'{{\n  "mdev_type": "{type}",\n  "start": "{start}",\n  "attrs": {attrs}\n}}'
