"""Copies standard input to a file and says, at its end, for how many milliseconds at most nothing came: `stamp.py FILE`."""

import os
import sys
import time

longest, last = 0.0, None
with open(sys.argv[1], "wb", buffering=0) as copy:
    while chunk := os.read(0, 1 << 20):
        now = time.monotonic()
        longest = max(longest, now - (last or now))
        last = now
        copy.write(chunk)
print("%.0f" % (1000 * longest))
