"""Bytes that rot on the disk of a single broker: never served as good, named, and everything else goes on."""

import glob
import os
import shutil
import subprocess

import grpc

import harness
from cairn.v1 import admin_pb2
from damage import FRAME_OPEN, flip, journal_frames
from harness import batch, read_values

# Small files, so that a few records make several of each.
OPTIONS = ["--journal-bytes", "24MiB", "--journal-file-bytes", "4MiB"]


def time_of(i):
    """Of the i-th record that fill() appends."""
    return 1_000_000 + 10 * i


class DamageTest(harness.Case):
    def setUp(self):
        self.broker = harness.Broker(options=OPTIONS).start()
        self.addCleanup(self.broker.close)
        self.client = harness.Client(self.broker.address)
        self.addCleanup(lambda: self.client.close())

    def restart(self):
        self.client.close()
        self.broker.start()
        self.client = harness.Client(self.broker.address)

    def fill(self, topic, count, partition=0, size=10_000):
        values = []
        for i in range(count):
            value = b"%s-%d-%d:" % (topic.encode(), partition, i) + b"v" * size
            self.client.append(topic=topic, partition=partition, batch=batch(value, base_timestamp_ms=time_of(i)))
            values.append(value)
        return values

    def verify(self):
        done = subprocess.run([harness.CAIRN, "verify", self.broker.data], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        return done.returncode, done.stdout.decode()

    def segments(self, group):
        return sorted(glob.glob(os.path.join(self.broker.data, "p", "%d-*" % group, "*.segment")))

    def create(self, topic, partitions=1):
        made = self.client.create_topic(
            name=topic, partitions=partitions, config=admin_pb2.TopicConfig(segment_bytes=1 << 20)
        )
        self.assertEqual(made.topic.partitions, partitions)
        return [
            self.client.describe_partition(topic=topic, partition=p).group_id for p in range(partitions)
        ]

    def test_a_flipped_byte_in_a_sealed_segment(self):
        (group,) = self.create("t")
        values = self.fill("t", 400)
        self.assertEqual(self.broker.stop(), 0)
        self.assertEqual(self.verify()[0], 0)
        sealed = self.segments(group)[1]
        flip(sealed, os.path.getsize(sealed) // 2)
        status, said = self.verify()
        self.assertEqual(status, 8)
        self.assertIn(os.path.basename(sealed), said)

        self.restart()
        good, offset, lost = {}, 0, []
        end = self.client.describe_partition(topic="t", partition=0).high_watermark
        self.assertEqual(end, len(values))
        while offset < end:
            try:
                answer = self.client.read(topic="t", partition=0, offset=offset, max_bytes=100_000)
                for stored in answer.batches:
                    good[stored.base_offset] = stored.batch.records.records[0].value
                offset = answer.next_offset
            except grpc.RpcError as error:
                failure = harness.Failure(error)
                self.assertEqual((failure.code, failure.reason), (grpc.StatusCode.DATA_LOSS, "DAMAGED"))
                after = int(failure.next_offset)
                self.assertGreater(after, offset)
                self.assertIn("from offset %d to %d cannot be read" % (offset, after - 1), failure.text)
                lost.extend(range(offset, after))
                offset = after
        self.assertEqual(len(lost), 1, "one entry is damaged, no more are given up")
        for i, value in enumerate(values):
            if i not in lost:
                self.assertEqual(good[i], value)
        with self.assertRaises(grpc.RpcError) as caught:  # a time that the damaged record might be of
            self.client.find_offset(topic="t", partition=0, timestamp_ms=time_of(lost[0]))
        failure = harness.Failure(caught.exception)
        self.assertEqual(
            (failure.code, failure.reason, failure.next_offset), (grpc.StatusCode.DATA_LOSS, "DAMAGED", str(lost[0] + 1))
        )
        answer = self.client.find_offset(topic="t", partition=0, timestamp_ms=time_of(0))
        self.assertEqual((answer.found, answer.offset), (True, 0))
        answer = self.client.append(topic="t", partition=0, batch=batch(b"new"))
        self.assertEqual(answer.base_offset, end)
        ranges = self.client.describe_partition(topic="t", partition=0).damaged
        self.assertEqual([(r.first_offset, r.end_offset) for r in ranges], [(lost[0], lost[0] + 1)])

    def damaged_store(self, damage):
        self.create("t", 3)
        values = [self.fill("t", 150, partition=p) for p in range(3)]
        self.client.trim(topic="t", partition=1, before_offset=20)
        self.assertEqual(self.broker.stop(), 0)
        for store in glob.glob(os.path.join(self.broker.data, "store.mdb*")):
            if os.path.isdir(store):
                store = os.path.join(store, "data.mdb")
            if not store.endswith("lock"):
                damage(store)
        self.restart()
        for p in range(3):
            start = 20 if p == 1 else 0
            self.assertEqual(self.client.describe_partition(topic="t", partition=p).log_start_offset, start)
            self.assertEqual(read_values(self.client, "t", p, offset=start), values[p][start:])
        self.assertEqual(self.client.append(topic="t", partition=0, batch=batch(b"new")).base_offset, 150)

    def test_an_empty_store_is_rebuilt(self):
        self.damaged_store(lambda path: os.truncate(path, 0))

    def test_a_truncated_store_is_rebuilt(self):
        self.damaged_store(lambda path: os.truncate(path, 3 * 4096))

    def test_a_bit_flipped_store_is_rebuilt(self):
        def damage(path):
            for position in range(2 * 4096 + 100, os.path.getsize(path), 4096):
                flip(path, position)

        self.damaged_store(damage)

    def test_a_missing_store_is_rebuilt(self):
        self.damaged_store(os.remove)

    def test_with_every_copy_of_the_tables_gone_what_is_kept_can_be_read(self):
        (group,) = self.create("t")
        values = self.fill("t", 400)
        self.client.trim(topic="t", partition=0, before_offset=250)
        self.assertEqual(self.broker.stop(), 0)
        self.restart()
        self.assertEqual(self.broker.stop(), 0)
        self.assertGreater(os.path.basename(self.segments(group)[0]), "%020d.segment" % 1, "nothing was trimmed")
        for path in [os.path.join(self.broker.data, "store.mdb"), *glob.glob(os.path.join(self.broker.data, "dump", "*"))]:
            for position in range(40, os.path.getsize(path), 512):
                flip(path, position)
        for _ in range(2):
            self.restart()
            start = self.client.describe_partition(topic="t", partition=0).log_start_offset
            self.assertLessEqual(start, 250)
            self.assertEqual(read_values(self.client, "t", 0, offset=250), values[250:])
            # What the trimmed records had done to its state is not known any more, so it decides on nothing new.
            with self.assertRaises(grpc.RpcError) as caught:
                self.client.append(topic="t", partition=0, batch=batch(b"new"))
            self.assertEqual(harness.Failure(caught.exception).executed, "no")
            self.broker.kill()

    def test_a_copied_directory_is_no_second_log(self):
        (group,) = self.create("t")
        values = self.fill("t", 50)
        self.assertEqual(self.broker.stop(), 0)
        shutil.copytree(
            os.path.join(self.broker.data, "p", "%d-1" % group), os.path.join(self.broker.data, "p", "%d-2" % group)
        )
        os.truncate(os.path.join(self.broker.data, "store.mdb"), 0)
        self.restart()
        self.assertIn("stray_directory", self.broker.said())
        self.assertEqual(read_values(self.client, "t", 0), values)
        self.client.append(topic="t", partition=0, batch=batch(b"new"))

    def test_without_any_identity_it_refuses(self):
        self.create("t")
        self.fill("t", 5)
        self.assertEqual(self.broker.stop(), 0)
        for path in glob.glob(os.path.join(self.broker.data, "identity*")):
            os.remove(path)
        for path in glob.glob(os.path.join(self.broker.data, "store.mdb*")):
            subprocess.run(["rm", "-rf", path], check=True)
        before = sorted(os.listdir(self.broker.data))
        self.broker.start(wait=False)
        status = self.broker.process.wait(20)
        self.assertNotIn(status, (0, -6, -7, -11))
        said = self.broker.said()
        self.assertIn("identity", said)
        self.assertIn(self.broker.data, said)
        self.assertEqual(sorted(os.listdir(self.broker.data)), before, "nothing was made anew")

    def test_a_flipped_byte_in_the_journal_fences_only_what_it_hit(self):
        self.create("t", 2)
        first = self.fill("t", 30, partition=0, size=500)
        second = self.fill("t", 30, partition=1, size=500)
        self.broker.kill()
        needle = b"t-0-10:"
        hits = []
        for path in glob.glob(os.path.join(self.broker.data, "journal", "*")):
            with open(path, "rb") as f:
                data = f.read()
            at = data.find(needle)
            if at >= 0:
                hits.append((path, at))
        self.assertEqual(len(hits), 1)
        flip(*hits[0])
        self.restart()
        self.assertIn("damaged", self.broker.said())
        self.assertEqual(read_values(self.client, "t", 1), second)
        self.assertEqual(self.client.append(topic="t", partition=1, batch=batch(b"new")).base_offset, 30)
        self.assertTrue(self.client.describe_partition(topic="t", partition=0).fenced)
        self.refused(
            grpc.StatusCode.UNAVAILABLE, "FENCED", self.client.append, topic="t", partition=0, batch=batch(b"new")
        )
        self.assertEqual(read_values(self.client, "t", 0, limit=10)[:10], first[:10])

    def test_a_partition_whose_log_is_lost_stays_lost(self):
        groups = self.create("t", 3)
        values = self.fill("t", 20, partition=0, size=500)
        self.broker.kill()
        opened = [frame for frame in journal_frames(self.broker.data) if frame[1] == FRAME_OPEN and frame[2] == groups[1]]
        self.assertEqual(len(opened), 1)
        flip(opened[0][0], opened[0][3] + 9)
        # Soon nothing is left of the damage but what the broker has made of it: first in the journal, then in the tables.
        for way in (self.broker.kill, self.broker.kill, self.broker.stop, self.broker.kill):
            self.restart()
            self.refused(
                grpc.StatusCode.DATA_LOSS, "DAMAGED", self.client.append, topic="t", partition=1, batch=batch(b"new")
            )
            self.refused(grpc.StatusCode.DATA_LOSS, "DAMAGED", self.client.read, topic="t", partition=1, offset=0)
            self.assertEqual(read_values(self.client, "t", 0, limit=20)[:20], values)
            self.fill("t", 250, partition=2, size=100_000)
            way()
        self.assertFalse(os.path.exists(opened[0][0]), "the damaged file should have been recycled long ago")

    def test_garbage_after_the_last_group_is_dropped_quietly(self):
        self.create("t")
        values = self.fill("t", 20)
        self.broker.kill()
        for path in glob.glob(os.path.join(self.broker.data, "journal", "*")):
            with open(path, "rb") as f:
                data = f.read()
            end = (len(data.rstrip(b"\0")) + 4095) // 4096 * 4096
            if end == 0 or end >= len(data) - 8192:
                continue
            with open(path, "r+b") as f:
                f.seek(end)
                f.write(os.urandom(8192))
        self.restart()
        self.assertEqual(read_values(self.client, "t", 0), values)
        self.assertFalse(self.client.describe_partition(topic="t", partition=0).fenced)
        self.client.append(topic="t", partition=0, batch=batch(b"new"))


if __name__ == "__main__":
    harness.main()
