# SPDX-License-Identifier: LGPL-2.1-or-later
"""The parents that the driver mdevsim makes, and its knobs; tests/vm/driver/README.md tells what each one does."""

import contextlib
from pathlib import Path

import sysfs

DEBUGFS = Path("/sys/kernel/debug/mdevsim")
PCI = Path("/sys/bus/pci")

# Types that every parent has; the last one is without vfio, and so without an IOMMU group.
SMALL = "mdevsim-small"
LARGE = "mdevsim-large"
NOGROUP = "mdevsim-nogroup"
TYPES = (SMALL, LARGE, NOGROUP)

# The limit that a parent begins with.
LIMIT = 8


class Knob:
    """A number in debugfs as an attribute of a Parent."""

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, parent, owner=None):
        return int((parent.debugfs / self.name).read_text())

    def __set__(self, parent, value):
        sysfs.write(parent.debugfs / self.name, str(value))


class Counter(Knob):
    """A number that the driver keeps."""

    def __set__(self, parent, value):
        raise AttributeError(f"{self.name} is the driver's own")


class Parent:
    """A parent device, there or not; what is set here outlasts hot-unplug."""

    __slots__ = ("name",)

    create_delay_ms = Knob()
    create_killable = Knob()
    create_errno = Knob()
    create_errno_count = Knob()
    create_block = Knob()
    remove_delay_ms = Knob()
    remove_block = Knob()
    open_errno = Knob()
    attr_errno = Knob()
    attr_delay_ms = Knob()
    types_delay_ms = Knob()
    register_delay_ms = Knob()
    limit = Knob()
    capacity = Knob()
    hide = Knob()
    registered = Knob()

    creates = Counter()
    create_failures = Counter()
    removes = Counter()
    opens = Counter()
    requests = Counter()
    peak_creates = Counter()
    peak_removes = Counter()

    # Not since the last reset, but now.
    creating = Counter()
    removing = Counter()
    live = Counter()

    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return f"Parent({self.name!r})"

    @property
    def debugfs(self):
        return DEBUGFS / self.name

    @property
    def path(self):
        """Its directory in /sys/devices; fails if it is not there or not registered."""
        return Path("/sys/class/mdev_bus", self.name).resolve(strict=True)

    def is_present(self):
        return Path("/sys/class/mdev_bus", self.name).exists()

    def type_path(self, type):
        return self.path / "mdev_supported_types" / type

    def types(self):
        return {path.name for path in self.type_path(".").iterdir()}

    def available_instances(self, type):
        return int((self.type_path(type) / "available_instances").read_text())

    def history(self):
        """What the driver did since the last reset, line by line."""
        return (self.debugfs / "history").read_text().splitlines()

    def takes_limit(self, limit):
        """Whether it does: the core counts a device that is gone until nobody has anything of it open."""
        with contextlib.suppress(OSError):
            self.limit = limit
        return self.limit == limit

    def reset(self):
        """Forget all faults and figures, and let go of everything that is blocked. Limit and capacity stay."""
        sysfs.write(self.debugfs / "reset", "1")

    def unplug(self):
        """As if somebody pulled the card; waits for devices in use."""
        sysfs.write(PCI / "devices" / self.name / "remove", "1")

    def unbind(self):
        sysfs.write(PCI / "drivers/mdevsim/unbind", self.name)

    def bind(self):
        sysfs.write(PCI / "drivers/mdevsim/bind", self.name)


def parents():
    """All that the driver knows, also those that are unplugged, in the order of their names."""
    return [Parent(path.name) for path in sorted(DEBUGFS.iterdir()) if path.is_dir()]


def add_parent(name):
    """A parent with any name, which is a platform device and not a card."""
    sysfs.write(DEBUGFS / "add_parent", name)
    return Parent(name)


def delete_parent(parent):
    sysfs.write(DEBUGFS / "del_parent", parent.name)


def rescan():
    """Plug in again what was unplugged."""
    sysfs.write(PCI / "rescan", "1")
