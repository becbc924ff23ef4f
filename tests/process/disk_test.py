"""A disk that is full, and a disk whose syncs fail: real ones."""

import os
import time

import grpc

import harness
import loop_disk
from harness import batch, read_values

OPTIONS = ["--journal-bytes", "24MiB", "--journal-file-bytes", "4MiB", "--disk-reserve-bytes", "8MiB"]


class FullDiskTest(harness.Case):
    def test_a_full_disk_refuses_appends_serves_reads_and_resumes(self):
        disk = loop_disk.LoopDisk(96)
        self.addCleanup(disk.close)
        mount = disk.mount()
        broker = harness.Broker(data=os.path.join(mount, "data"), options=OPTIONS).start()
        self.addCleanup(broker.close)
        with harness.Client(broker.address) as client:
            client.create_topic(name="t")
            value = os.urandom(200_000)
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
            self.assertEqual(len(read_values(client, "t", 0)), appended)

            # Somebody makes room: the appends go on without a restart.
            client.trim(topic="t", partition=0, before_offset=appended)
            began = time.monotonic()
            while True:
                try:
                    client.append(topic="t", partition=0, batch=batch(b"after"))
                    break
                except grpc.RpcError:
                    self.assertLess(time.monotonic() - began, 10)
                    time.sleep(0.1)
            self.show(
                "%d appends of 200 kB until the disk was full; appends resumed %.1f s after there was room"
                % (appended, time.monotonic() - began)
            )
            self.assertEqual(read_values(client, "t", 0, offset=appended), [b"after"])


class FailedSyncTest(harness.Case):
    def test_after_a_failed_sync_nothing_is_acknowledged_and_nothing_is_lost(self):
        disk = loop_disk.ThinDisk(160, 120)
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
            journal = os.path.join(data, "journal")
            for name in sorted(os.listdir(journal)):
                disk.break_syncs(os.path.join(journal, name))
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
