"""What rots, and where: bytes of a file, and the frames of a journal."""

import glob
import os
import struct


def flip(path, position):
    with open(path, "r+b") as f:
        f.seek(position)
        byte = f.read(1)
        f.seek(position)
        f.write(bytes([byte[0] ^ 0x40]))


def journal_frames(data):
    """(path, kind, group, position of the body, its size) of what stands in the journal's groups; log/journal_format.h has the bytes."""
    for path in sorted(glob.glob(os.path.join(data, "journal", "*"))):
        with open(path, "rb") as f:
            file = f.read()
        for at in range(4096, len(file) - 4096, 4096):
            if file[at : at + 4] != b"CRNG":
                continue
            (rows,) = struct.unpack_from("<I", file, at + 64)
            body = at + 88 + rows * 48
            for slot in range(rows):
                group, _, _, size, _, _, _, kind = struct.unpack_from("<QQQIIIII", file, at + 88 + slot * 48)
                yield path, kind, group, body, size
                body += size


FRAME_ENTRY = 1
FRAME_OPEN = 4
