"""Power cuts under load: the disk image is copied while the broker writes, and a broker is started on the copy.

kill -9 keeps the page cache and proves nothing about syncing; this does. A broker whose syncs do nothing must fail it, and the second
test sees that it does. TEST_ROUNDS sets the number of rounds (in the suite 4; before a release 20).
"""

import ctypes
import os
import random
import signal
import statistics
import subprocess
import tempfile
import time

import harness
import load
import loop_disk

ROUNDS = int(os.environ.get("TEST_ROUNDS", "4"))
SEED = int(os.environ.get("TEST_SEED", "1"))
PARTITIONS = 8
OPTIONS = ["--journal-bytes", "32MiB", "--journal-file-bytes", "4MiB", "--disk-reserve-bytes", "8MiB"]

# What a disk does that only says it has synced.
NO_SYNC = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
int fsync(int fd) { (void)fd; return 0; }
int fdatasync(int fd) { (void)fd; return 0; }
static int lie(int flags) { return flags & ~(O_SYNC | O_DSYNC | O_DIRECT); }
typedef int (*openat_fn)(int, const char *, int, ...);
int openat(int dir, const char *path, int flags, ...) {
  va_list list; va_start(list, flags); int mode = va_arg(list, int); va_end(list);
  return ((openat_fn)dlsym(RTLD_NEXT, "openat"))(dir, path, lie(flags), mode);
}
int openat64(int dir, const char *path, int flags, ...) {
  va_list list; va_start(list, flags); int mode = va_arg(list, int); va_end(list);
  return ((openat_fn)dlsym(RTLD_NEXT, "openat64"))(dir, path, lie(flags), mode);
}
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
        broker.process.send_signal(signal.SIGSTOP)
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
        with tempfile.TemporaryDirectory() as home:
            source, library = os.path.join(home, "lie.c"), os.path.join(home, "lie.so")
            with open(source, "w") as f:
                f.write(NO_SYNC)
            subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
            ctypes.CDLL(library)
            try:
                _, found, acknowledged = power_cut_round(random.Random(SEED), 0, {"LD_PRELOAD": library})
            except (AssertionError, RuntimeError, harness.grpc.RpcError) as loss:
                self.show("without syncs: " + str(loss)[:160])
                return
            self.fail("a broker that never syncs lost none of %d records (%d found)" % (acknowledged, found))


if __name__ == "__main__":
    harness.main()
