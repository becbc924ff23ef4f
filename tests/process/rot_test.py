"""Bits rot in the journal of a broker that runs, in records of which it has no other copy, under load: it gives up its rights, the others go on
without it, and have it whole again without a restart.

TEST_SEED sets what is written.
"""

import glob
import os
import time

import grpc

import cluster
import damage
import harness
import history

# Nothing is flushed by itself: what a start has found stays in the journal alone. A quarter of the ring has room for two seconds of load, 4 KiB for each
# append on a fast machine.
OPTIONS = ["--journal-bytes", "128MiB", "--journal-file-bytes", "8MiB", "--checkpoint-interval-ms", "60000"]
RECORDS = 20
RECORD_BYTES = 2000
RECOVERY_S = 60
LOAD_S = 2


class RunningRotTest(cluster.Case):
    options = OPTIONS

    def setUp(self):
        super().setUp()
        self.follower.call("create_topic", name="t", partitions=1, replicas=3, repeatable=False)
        self.group = self.follower.call("describe_partition", topic="t", partition=0).group_id
        self.values = [b"marked-%08x-%d:" % (cluster.SEED, i) + self.chance.randbytes(RECORD_BYTES) for i in range(RECORDS)]
        self.marked = []
        for value in self.values:
            began = time.monotonic()
            answer = self.follower.call("append", topic="t", partition=0, batch=harness.batch(value), repeatable=False)
            self.marked.append(history.Append(value, began, time.monotonic(), history.YES, answer.base_offset))
        for address in self.cluster.addresses:
            cluster.read_all(address, "t", 0, RECORDS)
        for broker in self.cluster.brokers:
            broker.kill()
        self.cluster.start()

    def rot(self, broker):
        """A bit in the middle of each record, wherever its journal has it."""
        flips = 0
        for path in sorted(glob.glob(os.path.join(broker.data, "journal", "*"))):
            with open(path, "rb") as file:
                bytes_of_file = file.read()
            for value in self.values:
                at = bytes_of_file.find(value)
                while at >= 0:
                    damage.flip(path, at + RECORD_BYTES // 2)
                    flips += 1
                    at = bytes_of_file.find(value, at + 1)
        self.assertGreaterEqual(flips, RECORDS)

    def served_again(self, address):
        """Seconds until this very broker answers with the first record. Never does it say that the record is lost."""
        began = time.monotonic()
        while True:
            answer, failure = cluster.Follower([address]).once("read", topic="t", partition=0, offset=0, max_bytes=10_000, timeout=10)
            if failure is None:
                self.assertEqual(answer.batches[0].batch.records.records[0].value, self.values[0])
                return time.monotonic() - began
            self.assertEqual(failure.code, grpc.StatusCode.UNAVAILABLE, failure)
            self.assertLess(time.monotonic(), began + RECOVERY_S, failure)
            time.sleep(0.02)

    def wait_said(self, broker, word, since):
        while word not in broker.said()[since:]:
            self.assertLess(time.monotonic(), self.end, "%s does not say %s" % (broker.address, word))
            time.sleep(0.01)

    def lose(self, victim, role):
        kinds = (cluster.Writer, cluster.Writer, cluster.Looker, cluster.Reader)
        workers = cluster.start_workers(self.cluster, kinds, "t", 1, self.chance)
        workers[0].history.appends.extend(self.marked)
        time.sleep(LOAD_S)
        process, since = victim.process.pid, len(victim.said())
        self.rot(victim)
        began = time.monotonic()
        self.end = began + RECOVERY_S
        served_s = self.served_again(victim.address)
        self.wait_said(victim, "event=replica_installed group=%d " % self.group, since)
        whole_s = time.monotonic() - began
        said = victim.said()[since:]
        self.assertIn("event=replica_lost_entries group=%d " % self.group, said)
        if role == "leader":
            self.assertIn("event=replica_role group=%d " % self.group, said)
        time.sleep(LOAD_S)
        ended = time.monotonic()
        cluster.join_all(workers)
        self.assertEqual(victim.process.pid, process)
        self.assertIsNone(victim.process.poll())
        whole = self.check(workers)
        self.show(
            "rot in the journal of the %s: its records served by it again after %.2f s, whole after %.2f s; %d appends acknowledged "
            "meanwhile, none of %d lost; the longest silence %.2f s"
            % (role, served_s, whole_s, whole.acknowledged_between(began, ended), len(whole.appends), whole.longest_silence(began, ended))
        )

    def check(self, workers):
        """Every replica has everything, and each is needed and enough: one after the other is gone."""
        whole = cluster.check_all(self.cluster, "t", 1, workers)[0]
        for broker in self.cluster.brokers:
            broker.kill()
            self.follower.call("append", topic="t", partition=0, batch=harness.batch(b"on"), patience=RECOVERY_S)
            broker.start()
        return whole

    def test_of_a_leader(self):
        self.lose(self.cluster.leader("t"), "leader")

    def test_of_a_follower(self):
        leader = self.cluster.leader("t")
        victim = next(broker for broker in self.cluster.brokers if broker.address != leader.address)
        self.lose(victim, "follower")


if __name__ == "__main__":
    harness.main()
