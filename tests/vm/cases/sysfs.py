# SPDX-License-Identifier: LGPL-2.1-or-later
"""Mediated devices as the kernel has them, used as anybody with a shell would use them.

All of these raise OSError with the kernel's errno.
"""

import os
from pathlib import Path

DEVICES = Path("/sys/bus/mdev/devices")


def write(path, text):
    """One write(2), and no O_TRUNC and no retry between the kernel's answer and the caller."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def create(parent, type, uuid):
    """Returns when the parent's driver is done."""
    write(parent.type_path(type) / "create", uuid)


def remove(uuid):
    """Returns when the parent's driver is done and nobody has the device open any more."""
    write(DEVICES / uuid / "remove", "1")


def devices():
    """UUIDs of the devices on the bus. One whose removal waits for its user is not among them."""
    return {path.name for path in DEVICES.iterdir()}


def type_of(uuid):
    return (DEVICES / uuid / "mdev_type").resolve().name


def parent_of(uuid):
    return (DEVICES / uuid).resolve().parent.name
