"""What of a journal's files a recovery needs: as log/journal_format.h draws them, no checksum looked at. Whoever writes has to be stopped."""

import os
import struct
import typing

BLOCK = 4096
FILE_MAGIC = b"CRNJRNL1"
GROUP_MAGIC = b"CRNG"


class Scan(typing.NamedTuple):
    sequence: int  # of the file; 0: it is none yet
    end: int  # behind its last group of this lap
    newest_group: int
    newest_hash: typing.Optional[bytes]
    released_below: int  # as the newest group says


def scan(path):
    """What an earlier lap has left behind the newest group is told by the hash of its predecessor that each group names."""
    with open(path, "rb") as file:
        head = file.read(BLOCK)
        if head[:8] != FILE_MAGIC:
            return Scan(0, 0, 0, None, 0)
        (sequence,) = struct.unpack_from("<Q", head, 16)
        found = Scan(sequence, BLOCK, 0, None, 0)
        while True:
            file.seek(found.end)
            group = file.read(88)
            if len(group) < 88 or group[:4] != GROUP_MAGIC:
                return found
            of_file, _, block, size = struct.unpack_from("<QQII", group, 40)
            follows = found.newest_hash is None or group[24:32] == found.newest_hash
            if of_file != sequence or block * BLOCK != found.end or size == 0 or not follows:
                return found
            newest, released = struct.unpack_from("<Q", group, 16)[0], struct.unpack_from("<Q", group, 80)[0]
            found = Scan(sequence, found.end + (size + BLOCK - 1) // BLOCK * BLOCK, newest, group[8:16], released)


def kept(directory):
    """Path of each file: how many bytes at its start count. Of those that wait to be used again, none."""
    scans = {os.path.join(directory, name): scan(os.path.join(directory, name)) for name in sorted(os.listdir(directory))}
    newest = max(scans.values(), key=lambda one: one.newest_group)
    return {path: one.end if one.sequence >= max(newest.released_below, 1) else 0 for path, one in scans.items()}
