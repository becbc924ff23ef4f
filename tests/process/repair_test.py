"""Three brokers whose disks have lost something: everything that any of them still has is served by each of them, and put back.

TEST_SEED sets what is damaged.
"""

import glob
import os
import shutil
import subprocess
import time

import cluster
import damage
import harness
from cairn.v1 import admin_pb2

OPTIONS = ["--journal-bytes", "24MiB", "--journal-file-bytes", "4MiB", "--tail-cache-bytes", "1MiB"]
RECORDS = 600
RECORD_BYTES = 10_000
SECTOR = 512
BLOCK = 4096
RECOVERY_S = 60


class RepairCase(cluster.Case):
    options = OPTIONS

    def setUp(self):
        super().setUp()
        self.follower.call(
            "create_topic", name="t", partitions=1, replicas=3, config=admin_pb2.TopicConfig(segment_bytes=1 << 20), repeatable=False
        )

    def fill(self, count, size=RECORD_BYTES, name=b"v"):
        values = []
        for i in range(0, count, 10):
            some = [b"%s-%d:" % (name, i + k) + self.chance.randbytes(size) for k in range(10)]
            self.follower.call("append", topic="t", partition=0, batch=harness.batch(*some), repeatable=False)
            values += some
        return values

    def settle(self, end):
        for address in self.cluster.addresses:
            cluster.read_all(address, "t", 0, end)

    def stop_all(self):
        for broker in self.cluster.brokers:
            self.assertEqual(broker.stop(), 0)

    def group(self):
        return self.follower.call("describe_partition", topic="t", partition=0).group_id

    @staticmethod
    def segments(broker, group):
        return sorted(glob.glob(os.path.join(broker.data, "p", "%d-*" % group, "*.segment")))

    @staticmethod
    def verify(broker):
        done = subprocess.run([harness.CAIRN, "verify", broker.data], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout.decode()

    def spoil(self, path, position, size):
        with open(path, "r+b") as file:
            file.seek(position)
            file.write(self.chance.randbytes(size))


class SegmentTest(RepairCase):
    def test_each_of_three_has_lost_something_else(self):
        """No record is lost everywhere: each broker serves all of them, and soon has all of them again."""
        group = self.group()
        values = self.fill(RECORDS)
        self.settle(len(values))
        self.stop_all()
        holes = 0
        for i, broker in enumerate(self.cluster.brokers):
            for path in self.segments(broker, group):
                # Each broker has its own third of the places, so that no two of them lose the same record.
                size = os.path.getsize(path)
                for at in range(BLOCK + i * 64 * 1024, size - BLOCK, 3 * 64 * 1024):
                    self.spoil(path, (at + self.chance.randrange(16 * 1024)) // SECTOR * SECTOR, SECTOR)
                    holes += 1
            self.assertEqual(self.verify(broker)[0], 8)
        self.cluster.start()
        began = time.monotonic()
        slowest = 0
        for address in self.cluster.addresses:
            started = time.monotonic()
            self.assertEqual(cluster.read_all(address, "t", 0, len(values), timeout=RECOVERY_S), values)
            slowest = max(slowest, time.monotonic() - started)
        for broker in self.cluster.brokers:
            self.assertIn("event=segment_damaged", broker.said())
        end = began + RECOVERY_S
        while any(broker.said().count("event=segment_damaged") > broker.said().count("event=segment_mended") for broker in self.cluster.brokers):
            self.assertLess(time.monotonic(), end, "not everything is mended")
            time.sleep(0.02)
        took = time.monotonic() - began
        self.assertEqual(list(self.follower.call("describe_partition", topic="t", partition=0).damaged), [])
        self.follower.call("append", topic="t", partition=0, batch=harness.batch(b"on"), repeatable=False)
        self.stop_all()
        for broker in self.cluster.brokers:
            status, said = self.verify(broker)
            self.assertEqual(status, 0, said)
        self.show(
            "%d sectors of %d segments lost on three brokers, none of them on two: all %d records served by each (the slowest took %.1f s), all repaired after %.1f s"
            % (holes, sum(len(self.segments(b, group)) for b in self.cluster.brokers), len(values), slowest, took)
        )


class LostLogTest(RepairCase):
    def test_a_partition_of_which_nothing_is_left_is_had_from_the_others(self):
        group = self.group()
        values = self.fill(50, size=500)
        self.settle(len(values))
        broker = self.cluster.brokers[2]
        broker.kill()
        frames = [frame for frame in damage.journal_frames(broker.data) if frame[2] == group]
        self.assertIn(damage.FRAME_OPEN, [frame[1] for frame in frames])
        for path, _, _, body, _ in frames:
            damage.flip(path, body + 9)
        broker.start()
        began = time.monotonic()
        self.assertEqual(cluster.read_all(broker.address, "t", 0, len(values), timeout=RECOVERY_S), values)
        took = time.monotonic() - began
        self.assertIn("event=partition_lost", broker.said())
        end = time.monotonic() + RECOVERY_S
        while "event=replica_proven group=%d" % group not in broker.said():
            self.assertLess(time.monotonic(), end, "it does not get its rights back")
            time.sleep(0.02)
        self.cluster.brokers[0].kill()  # from here on nothing goes without it
        self.follower = cluster.Follower(self.cluster.addresses[1:])
        self.follower.call("describe_partition", topic="t", partition=0)
        values += self.fill(50, size=500)
        self.assertEqual(cluster.read_all(broker.address, "t", 0, len(values)), values)
        self.show("a partition of which nothing was left: served again after %.1f s" % took)


class RolledBackTest(RepairCase):
    def test_a_directory_that_was_put_back_is_refused(self):
        """It has forgotten what it promised since, and the others know it; with the newest directory all is well."""
        values = self.fill(50)
        self.settle(len(values))
        broker = self.cluster.brokers[1]
        self.assertEqual(broker.stop(), 0)
        old, new = broker.data + ".old", broker.data + ".new"
        shutil.copytree(broker.data, old)
        broker.start()
        values += self.fill(50)
        self.settle(len(values))
        time.sleep(0.5)  # a few beats
        self.assertEqual(broker.stop(), 0)
        os.rename(broker.data, new)
        shutil.copytree(old, broker.data)
        took = 0
        for _ in range(10):  # a refused start changes nothing: the next one is no nearer to what is missing
            began = time.monotonic()
            broker.start(wait=False)
            self.assertEqual(broker.process.wait(RECOVERY_S), 1)
            took = max(took, time.monotonic() - began)
            said = broker.said()
            for word in (broker.data, "older than what broker", "put the newest directory back"):
                self.assertIn(word.lower(), said.lower())
            self.assertNotIn("replica_role", said)

        shutil.rmtree(broker.data)
        os.rename(new, broker.data)
        broker.start()
        values += self.fill(50)
        self.settle(len(values))
        for address in self.cluster.addresses:
            self.assertEqual(cluster.read_all(address, "t", 0, len(values)), values)
        self.show("a directory that was put back from a copy: refused ten times, after %.0f ms at most" % (1000 * took))


if __name__ == "__main__":
    harness.main()
