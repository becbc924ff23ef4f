"""Power cuts under load: the disk image is copied while the broker writes, and a broker is started on the copy.

kill -9 keeps the page cache and proves nothing about syncing; this does. A broker whose syncs do nothing must fail it, and the second
test sees that it does. TEST_ROUNDS sets the number of rounds (in the suite 4; before a release 20).
"""

import ctypes
import os
import random
import statistics
import subprocess
import tempfile
import time

import harness
import load
import loop_disk

ROUNDS = int(os.environ.get("TEST_ROUNDS", "4"))
SEED = int(os.environ.get("TEST_SEED", "1"))
LYING_ROUNDS = 4
PARTITIONS = 8
OPTIONS = ["--journal-bytes", "32MiB", "--journal-file-bytes", "4MiB", "--disk-reserve-bytes", "8MiB"]

# What a disk does that only says it has synced: all of it, or (JOURNAL_ONLY) just the files of the journal.
NO_SYNC = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#ifndef JOURNAL_ONLY
#define JOURNAL_ONLY 0
#endif
#define SYNCED (O_SYNC | O_DSYNC | O_DIRECT)
static atomic_bool lied_to[1 << 16];
static int lies(int fd) { return !JOURNAL_ONLY || (fd >= 0 && fd < 1 << 16 && lied_to[fd]); }
static int opened(const char *name, int dir, const char *path, int flags, int mode) {
  int (*real)(int, const char *, int, ...) = (int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, name);
  int lie = !JOURNAL_ONLY || strstr(path, "journal/") != NULL;
  int fd = real(dir, path, lie ? flags & ~SYNCED : flags, mode);
  if (fd >= 0 && fd < 1 << 16) lied_to[fd] = lie;
  return fd;
}
int openat(int dir, const char *path, int flags, ...) {
  va_list list; va_start(list, flags); int mode = va_arg(list, int); va_end(list);
  return opened("openat", dir, path, flags, mode);
}
int openat64(int dir, const char *path, int flags, ...) {
  va_list list; va_start(list, flags); int mode = va_arg(list, int); va_end(list);
  return opened("openat64", dir, path, flags, mode);
}
int fcntl(int fd, int command, ...) {
  va_list list; va_start(list, command); long argument = va_arg(list, long); va_end(list);
  int (*real)(int, int, ...) = (int (*)(int, int, ...))dlsym(RTLD_NEXT, "fcntl");
  return real(fd, command, command == F_SETFL && lies(fd) ? argument & ~(long)SYNCED : argument);
}
static int synced(const char *name, int fd) { return lies(fd) ? 0 : ((int (*)(int))dlsym(RTLD_NEXT, name))(fd); }
int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }
"""


def power_cut_round(chance, round_number, environment=None):
    """One broker on a fresh disk, cut off under load. Returns (ms to ready, records found, records acknowledged)."""
    disk = loop_disk.LoopDisk(192)
    copy = broker = survivor = None
    try:
        broker = harness.Broker(
            data=os.path.join(disk.mount(), "data"), options=OPTIONS, environment=environment
        ).start()
        with harness.Client(broker.address) as client:
            client.create_topic(name="t", partitions=PARTITIONS)
        appenders = [load.Appender(broker.address, "t", p, round_number, chance.random()) for p in range(PARTITIONS)]
        for appender in appenders:
            appender.start()
        time.sleep(chance.uniform(0.5, 1.5))
        # What is acknowledged before the cut must be in the copy. Stopped, the broker issues no write while the image is copied, so the
        # copy is of one instant; what it had not synced is in the page cache all the same.
        told = [list(appender.acknowledged) for appender in appenders]
        broker.pause()
        copy = disk.power_cut()
        for appender in appenders:
            appender.stop()
        broker.kill()
        for appender, acknowledged in zip(appenders, told):
            appender.join()
            appender.acknowledged = acknowledged
        survivor = harness.Broker(data=os.path.join(copy.mount(), "data"), options=OPTIONS).start()
        histories = [load.History("t", p) for p in range(PARTITIONS)]
        with harness.Client(survivor.address) as client:
            found = load.check_all(histories, appenders, client)
            for p in range(PARTITIONS):
                client.append(topic="t", partition=p, batch=harness.batch(b"after"))
        return survivor.start_ms, found, sum(h.acknowledged_records for h in histories)
    finally:
        for thing in (broker, survivor, copy, disk):
            if thing is not None:
                thing.close()


class PowerCutTest(harness.Case):
    def test_nothing_acknowledged_is_lost_by_a_power_cut(self):
        chance = random.Random(SEED)
        recoveries, found, acknowledged = [], 0, 0
        for round_number in range(ROUNDS):
            ms, records, told = power_cut_round(chance, round_number)
            recoveries.append(ms)
            found += records
            acknowledged += told
        self.assertGreater(acknowledged, ROUNDS * PARTITIONS)
        self.show(
            "seed %d: %d power cuts, %d records acknowledged before, %d found after, 0 lost, 0 duplicated, 0 reordered; "
            "ready after %.0f ms (median), %.0f ms (worst)"
            % (SEED, ROUNDS, acknowledged, found, statistics.median(recoveries), max(recoveries))
        )

    def test_a_broker_without_syncs_fails_the_same_check(self):
        self.show("without syncs: " + self.loss(journal_only=False).splitlines()[0][:160])

    def test_a_journal_without_syncs_fails_the_same_check(self):
        self.show("a journal without syncs: " + self.loss(journal_only=True).splitlines()[0][:160])

    def loss(self, journal_only):
        """What the check says of a broker whose syncs do nothing. Now and then the system happens to write everything by itself."""
        with tempfile.TemporaryDirectory() as home:
            source, library = os.path.join(home, "lie.c"), os.path.join(home, "lie.so")
            with open(source, "w") as f:
                f.write(NO_SYNC)
            define = "-DJOURNAL_ONLY=%d" % journal_only
            subprocess.run(["gcc", "-shared", "-fPIC", define, "-o", library, source, "-ldl"], check=True)
            ctypes.CDLL(library)
            for attempt in range(LYING_ROUNDS):
                try:
                    power_cut_round(random.Random(SEED + attempt), 0, {"LD_PRELOAD": library})
                except (AssertionError, RuntimeError, harness.grpc.RpcError) as loss:
                    return str(loss)
            self.fail("without syncs nothing was lost in %d rounds" % LYING_ROUNDS)


if __name__ == "__main__":
    harness.main()
