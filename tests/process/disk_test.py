"""A disk that is full, and a disk whose syncs fail: real ones."""

import os
import subprocess
import threading
import time

import grpc

import harness
import journal_files
import loop_disk
from cairn.v1 import log_pb2
from harness import batch, read_values

OPTIONS = ["--journal-bytes", "24MiB", "--journal-file-bytes", "4MiB", "--disk-reserve-bytes", "8MiB"]


class FullDiskTest(harness.Case):
    def start_on_a_small_disk(self):
        disk = loop_disk.LoopDisk(96)
        self.addCleanup(disk.close)
        mount = disk.mount()
        broker = harness.Broker(data=os.path.join(mount, "data"), options=OPTIONS).start()
        self.addCleanup(broker.close)
        return broker

    def fill(self, client, size=200_000):
        """How many appends it took."""
        value = os.urandom(size)
        appended = 0
        refusal = None
        deadline = time.monotonic() + 60
        while refusal is None and time.monotonic() < deadline:
            try:
                client.append(topic="t", partition=0, batch=batch(value))
                appended += 1
            except grpc.RpcError as error:
                refusal = harness.Failure(error)
                if refusal.reason == "JOURNAL_FULL":  # passes by itself: the checkpoint is behind
                    refusal = None
                    time.sleep(0.05)
        self.assertIsNotNone(refusal, "the disk never became full")
        self.assertEqual(
            (refusal.code, refusal.reason, refusal.executed),
            (grpc.StatusCode.RESOURCE_EXHAUSTED, "DISK_FULL", "no"),
        )
        return appended

    def append_as_soon_as_it_goes(self, client, topic):
        """How long that took, in seconds."""
        began = time.monotonic()
        while True:
            try:
                client.append(topic=topic, partition=0, batch=batch(b"after"))
                return time.monotonic() - began
            except grpc.RpcError:
                self.assertLess(time.monotonic() - began, 10)
                time.sleep(0.1)

    def test_a_full_disk_refuses_appends_serves_reads_and_resumes(self):
        broker = self.start_on_a_small_disk()
        with harness.Client(broker.address) as client:
            client.create_topic(name="t")
            appended = self.fill(client)
            self.assertEqual(len(read_values(client, "t", 0)), appended)

            # Somebody makes room: the appends go on without a restart.
            client.trim(topic="t", partition=0, before_offset=appended)
            took = self.append_as_soon_as_it_goes(client, "t")
            self.show(
                "%d appends of 200 kB until the disk was full; appends resumed %.1f s after there was room" % (appended, took)
            )
            self.assertEqual(read_values(client, "t", 0, offset=appended), [b"after"])

    def test_what_makes_room_needs_none(self):
        """On a full disk no topic is made, but one can be deleted."""
        broker = self.start_on_a_small_disk()
        with harness.Client(broker.address) as client:
            client.create_topic(name="t")
            client.create_topic(name="u")
            refusal = None
            for attempt in range(50):  # a checkpoint that is under way may give some room back
                for size in (200_000, 2_000, 20):
                    self.fill(client, size)
                try:
                    client.create_topic(name="v%d" % attempt)
                except grpc.RpcError as error:
                    refusal = harness.Failure(error)
                    break
            self.assertIsNotNone(refusal, "topics are made on a full disk")
            self.assertEqual((refusal.reason, refusal.executed), ("DISK_FULL", "no"))

            client.delete_topic(name="t")
            took = self.append_as_soon_as_it_goes(client, "u")

            self.show("appends to another topic resumed %.1f s after the topic that filled the disk was deleted" % took)
            client.create_topic(name="v")

    def test_fast_writers_leave_the_reserve_free(self):
        """Segments, the journal's files that are made meanwhile, tables and dumps all take from one disk, faster than anybody looks at it."""
        disk = loop_disk.LoopDisk(170)
        self.addCleanup(disk.close)
        mount = disk.mount()
        reserve = 32 << 20
        options = ["--journal-bytes", "96MiB", "--journal-file-bytes", "16MiB", "--disk-reserve-bytes", "32MiB"]
        broker = harness.Broker(data=os.path.join(mount, "data"), options=options).start()
        self.addCleanup(broker.close)
        with harness.Client(broker.address) as client:
            client.create_topic(name="t", partitions=4)
        full = threading.Event()
        writers = [threading.Thread(target=self.write, args=(broker.address, p, full)) for p in range(4)]
        for writer in writers:
            writer.start()
        lowest = 1 << 60
        deadline = time.monotonic() + 60
        while any(writer.is_alive() for writer in writers) and time.monotonic() < deadline:
            space = os.statvfs(mount)
            lowest = min(lowest, space.f_bavail * space.f_frsize)
            time.sleep(0.001)
        self.assertTrue(full.is_set(), "the disk never became full")
        for writer in writers:
            writer.join()
        # What the tables and a dump take is not in the account: it is for such that there is a reserve.
        self.assertGreater(lowest, reserve - (2 << 20))
        self.show("%.1f MiB free at the least, with a reserve of %d MiB" % (lowest / 2**20, reserve >> 20))

    @staticmethod
    def write(address, partition, full):
        """A stream of appends after another, until the disk is full."""
        value = os.urandom(100_000)

        def requests(broken):
            while not broken.is_set():
                yield log_pb2.AppendRequest(topic="t", partition=partition, request_id=1, batch=batch(value))

        with harness.Client(address) as client:
            while not full.is_set():
                broken = threading.Event()
                for answer in client.append_stream(requests(broken)):
                    if answer.HasField("error"):
                        broken.set()
                        if answer.error.reason == "DISK_FULL":
                            full.set()


class FullJournalTest(harness.Case):
    def test_a_start_needs_no_more_memory_than_the_journal_holds(self):
        """Segments that have no room keep the checkpoint from coming through until the ring is full."""
        loop_disk.need_root()
        options = ["--journal-bytes", "96MiB", "--journal-file-bytes", "16MiB", "--append-stall-ms", "0"]
        broker = harness.Broker(options=options).start()
        self.addCleanup(broker.close)
        broker.stop()
        segments = os.path.join(broker.data, "p")
        os.makedirs(segments, exist_ok=True)
        loop_disk.run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", segments)
        self.addCleanup(subprocess.run, ["umount", segments], stderr=subprocess.DEVNULL)
        broker.start()
        value = os.urandom(900_000)
        appended = 0
        with harness.Client(broker.address, options=[("grpc.max_send_message_length", -1)]) as client:
            client.create_topic(name="t")
            with self.assertRaises(grpc.RpcError) as caught:
                while True:
                    client.append(topic="t", partition=0, batch=batch(value, value, value, value))
                    appended += 4
        self.assertEqual(harness.Failure(caught.exception).reason, "JOURNAL_FULL")
        broker.kill()
        loop_disk.run("umount", segments)
        broker.start(timeout=60)
        peak = broker.peak_bytes()
        self.show("%d MiB in the journal, %d MiB at the peak of the start" % (appended * len(value) >> 20, peak >> 20))
        self.assertGreater(appended * len(value), 32 << 20)
        self.assertLess(peak, broker.bound((96 + 64) << 20))
        with harness.Client(broker.address, options=[("grpc.max_receive_message_length", -1)]) as client:
            self.assertEqual(client.describe_partition(topic="t", partition=0).next_offset, appended)


class FailedSyncTest(harness.Case):
    def test_after_a_failed_sync_nothing_is_acknowledged_and_nothing_is_lost(self):
        disk = loop_disk.ThinDisk(160)
        self.addCleanup(disk.close)
        data = os.path.join(disk.mount(), "data")
        broker = harness.Broker(data=data, options=OPTIONS).start()
        self.addCleanup(broker.close)
        acknowledged, unknown = [], []
        with harness.Client(broker.address) as client:
            client.create_topic(name="t")
            for i in range(50):
                client.append(topic="t", partition=0, batch=batch(b"before-%d" % i))
                acknowledged.append(b"before-%d" % i)

            time.sleep(0.5)  # a broker that is idle writes its closing group, and then nothing more
            for path, kept in journal_files.kept(os.path.join(data, "journal")).items():
                disk.break_syncs(path, kept)
            failures = 0
            for i in range(200):
                value = b"during-%d-" % i + b"x" * 8000
                try:
                    client.append(topic="t", partition=0, batch=batch(value), timeout=5)
                    self.assertEqual(failures, 0, "an append was acknowledged after a sync had failed")
                    acknowledged.append(value)
                except grpc.RpcError as error:
                    failures += 1
                    if harness.Failure(error).executed != "no":
                        unknown.append(value)
                    if failures > 5:
                        break
            self.assertGreater(failures, 5, "no sync failed: the disk is not broken enough")
            values = read_values(client, "t", 0)
            self.assertEqual(values[: len(acknowledged)], acknowledged, "reads go on")
            deadline = time.monotonic() + 30
            while "restart on a good disk" not in broker.said():
                self.assertLess(time.monotonic(), deadline, "nobody was told what to do: " + broker.said())
                time.sleep(0.05)
        broker.kill()
        # Copied to a good disk: what the broken one really has.
        good = loop_disk.LoopDisk(160)
        self.addCleanup(good.close)
        there = os.path.join(good.mount(), "data")
        loop_disk.run("cp", "-a", data, there)
        with harness.Broker(data=there, options=OPTIONS) as survivor, harness.Client(survivor.address) as client:
            values = read_values(client, "t", 0)
            self.assertEqual(values[: len(acknowledged)], acknowledged)
            for extra in values[len(acknowledged) :]:
                self.assertIn(extra, unknown)
            client.append(topic="t", partition=0, batch=batch(b"again"))
        self.show("%d acknowledged, %d in doubt, %d of these found" % (
            len(acknowledged), len(unknown), len(values) - len(acknowledged)))


if __name__ == "__main__":
    harness.main()
