"""A wall clock for one broker, which a test sets: wall_clock.c, preloaded."""

import mmap
import os
import struct
import tempfile

LIBRARY = os.path.abspath(os.environ.get("WALL_CLOCK_LIBRARY", "tests/process/libwall_clock.so"))


class WallClock:
    def __init__(self):
        self.file = tempfile.NamedTemporaryFile(prefix="cairn-clock-")
        self.file.truncate(16)
        self.shared = mmap.mmap(self.file.fileno(), 16)

    def prefix(self):
        """A command that runs another one by this clock. Sanitizers want to be loaded first, and need not be."""
        return ("env", "WALL_CLOCK=" + self.file.name, "LD_PRELOAD=" + LIBRARY, "ASAN_OPTIONS=verify_asan_link_order=0")

    def set(self, ahead_s):
        """So much ahead of the machine's from now on; negative: behind."""
        self.shared[:8] = struct.pack("<q", int(ahead_s * 1e9))

    def asked(self):
        """How often it was looked at."""
        return struct.unpack("<q", self.shared[8:])[0]

    def close(self):
        self.shared.close()
        self.file.close()
