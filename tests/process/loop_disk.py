"""Real disks made of files: what only root can make, and only on Linux.

LoopDisk     an ext4 file system in an image file. Copying the image while it is mounted is a power cut: what was synced is in the
             image, what only the page cache has is not. Freezing its file system makes it a disk that is stuck; again and again, a slow one.
ThinDisk     the same, the image being inside a tmpfs of its own, which can be filled up: then its writes succeed, and its syncs fail.
"""

import os
import shutil
import subprocess
import tempfile
import threading
import typing


COPIES_MAX = 20


class Lacking(Exception):
    """The machine cannot do this; the text names what it lacks."""


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise Lacking("%s: %s" % (" ".join(command), done.stdout.strip()))
    return done.stdout


def need_root():
    if os.geteuid() != 0:
        raise Lacking("this test mounts file systems and needs root")


class Writes(typing.NamedTuple):
    """Of a block device, as Linux's Documentation/block/stat.rst has it."""

    done: int
    in_flight: int


class LoopDisk:
    def __init__(self, size_mib, image=None, home=None):
        need_root()
        self.home = home or tempfile.mkdtemp(prefix="cairn-disk-")
        self.image = image or os.path.join(self.home, "image")
        self.mount_point = os.path.join(self.home, "mnt")
        self.mounted = self.frozen = False
        if image is None:
            with open(self.image, "wb") as f:
                f.truncate(size_mib << 20)
            run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", self.image)

    def mount(self):
        os.makedirs(self.mount_point, exist_ok=True)
        run("mount", "-o", "loop", self.image, self.mount_point)
        self.mounted = True
        return self.mount_point

    def unmount(self):
        self.thaw()
        if self.mounted:
            subprocess.run(["umount", "-l", self.mount_point], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.mounted = False

    def freeze(self):
        """From now on whoever writes waits, until thaw()."""
        if not self.frozen:
            run("fsfreeze", "--freeze", self.mount_point)
            self.frozen = True

    def thaw(self):
        if self.frozen:
            self.frozen = False
            run("fsfreeze", "--unfreeze", self.mount_point)

    def power_cut(self):
        """A disk as it would be if the power failed now: a copy of the image. Whoever writes has to be stopped; what they had under way,
        and the file system's own writes, may still go on for a moment. So a copy counts only if nothing reached the disk meanwhile:
        else it is not of one instant, and can miss what was synced."""
        home = tempfile.mkdtemp(prefix="cairn-disk-")
        copy = os.path.join(home, "image")
        for _ in range(COPIES_MAX):
            before = self._writes()
            shutil.copyfile(self.image, copy)
            if before == self._writes() and before.in_flight == 0:
                return LoopDisk(0, image=copy, home=home)
        raise Lacking("the disk did not come to rest in %d copies" % COPIES_MAX)

    def _writes(self):
        device = os.path.basename(run("findmnt", "-n", "-o", "SOURCE", self.mount_point).strip())
        with open("/sys/block/%s/stat" % device) as stat:
            fields = [int(field) for field in stat.read().split()]
        return Writes(done=fields[4], in_flight=fields[8])

    def close(self):
        self.unmount()
        shutil.rmtree(self.home, ignore_errors=True)


class SlowDisk(threading.Thread):
    """While it runs, a disk takes writes only now and then."""

    FROZEN_S, THAWED_S = 0.1, 0.005

    def __init__(self, disk):
        super().__init__(daemon=True)
        self.disk = disk
        self.stopping = threading.Event()

    def run(self):
        while not self.stopping.wait(self.THAWED_S):
            self.disk.freeze()
            self.stopping.wait(self.FROZEN_S)
            self.disk.thaw()

    def stop(self):
        self.stopping.set()
        self.join()


class ThinDisk(LoopDisk):
    """There is memory for all of it and a little more: with less it would lie as soon as it is used enough, long before anybody breaks it. Its
    blocks are as large as pages of memory: of smaller ones a page holds several, and would be lost with its neighbours."""

    def __init__(self, size_mib):
        need_root()
        self.tmpfs = tempfile.mkdtemp(prefix="cairn-thin-")
        run("mount", "-t", "tmpfs", "-o", "size=%dm" % (size_mib + 4), "tmpfs", self.tmpfs)
        image = os.path.join(self.tmpfs, "image")
        with open(image, "wb") as f:
            f.truncate(size_mib << 20)
        run("mkfs.ext4", "-q", "-F", "-b", str(BLOCK), "-O", "^has_journal", "-E", "lazy_itable_init=0", image)
        super().__init__(0, image=image)

    def break_syncs(self, path, kept):
        """Gives the blocks of a file behind its first `kept` bytes back to the tmpfs and fills that up: from now on nothing that is written there
        can reach the disk. Nobody may write to the file meanwhile."""
        while self._punch(path, kept):
            self._fill()

    def _punch(self, path, kept):
        """True if there was something to give back. Not one page may stay: of a write that finds room for its first page only, Linux's
        loop device says that it succeeded."""
        found = False
        with open(self.image, "rb") as image:
            for logical, physical, length in extents(path):
                start = max(logical, kept)
                size = logical + length - start
                if size > 0:
                    at = physical + start - logical
                    if holds_data(image, at, size):
                        run("fallocate", "-p", "-o", str(at), "-l", str(size), self.image)
                        found = True
        return found

    def _fill(self):
        with open(os.path.join(self.tmpfs, "filler"), "ab", buffering=0) as filler:
            try:
                while filler.write(b"\0" * (64 << 10)):
                    pass
            except OSError:
                pass

    def close(self):
        super().close()
        subprocess.run(["umount", "-l", self.tmpfs], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.tmpfs, ignore_errors=True)


BLOCK = 4096


def extents(path):
    """(offset in the file, offset on the device, length), in bytes, of the blocks of a file."""
    found = []
    for line in run("filefrag", "-v", "-b%d" % BLOCK, path).splitlines():
        parts = line.replace("..", " ").replace(":", " ").split()
        if len(parts) >= 6 and parts[0].isdigit():
            found.append((int(parts[1]) * BLOCK, int(parts[3]) * BLOCK, int(parts[5]) * BLOCK))
    return found


def holds_data(file, offset, size):
    """Does a sparse file have a page of its own anywhere in this range?"""
    try:
        return os.lseek(file.fileno(), offset, os.SEEK_DATA) < offset + size
    except OSError:  # nothing but a hole up to the end
        return False
