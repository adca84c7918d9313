# SPDX-License-Identifier: LGPL-2.1-or-later

"""The memory of a daemon that is linked with tests/unit/without-memory.c."""

import os
import struct

LIMITLESS = -1
NONE = -(2 ** (8 * struct.calcsize("l") - 1))


class Memory:
    """How many allocations get some before one does not."""

    def __init__(self, path):
        path.write_bytes(struct.pack("l", LIMITLESS))
        self.file = open(path, "r+b", buffering=0)

    def write(self, n):
        os.pwrite(self.file.fileno(), struct.pack("l", n), 0)

    def read(self):
        return struct.unpack("l", os.pread(self.file.fileno(), struct.calcsize("l"), 0))[0]
