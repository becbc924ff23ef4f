"""Three brokers on machines of their own, what can happen to them, and the histories of those who use them meanwhile.

TEST_ROUNDS sets the rounds of each fault (in the suite 2; before a release 20), TEST_SEED the seed.
"""

import os
import random
import statistics
import time

import cluster
import harness
import namespaces

ROUNDS = int(os.environ.get("TEST_ROUNDS", "2"))
SEED = int(os.environ.get("TEST_SEED", "1"))
PARTITIONS = 3
FAULT_S = 4.0
WORKERS = [cluster.Writer, cluster.Writer, cluster.Conditional, cluster.Looker, cluster.Reader]


class NemesisTest(harness.Case):
    @classmethod
    def setUpClass(cls):
        cls.machines = namespaces.Machines(3)

    def setUp(self):
        self.chance = random.Random(SEED)
        self.cluster = cluster.Cluster(3, options=["--journal-bytes", "64MiB", "--journal-file-bytes", "8MiB"], hosts=self.machines.hosts())
        self.addCleanup(self.cluster.close)
        self.addCleanup(self.machines.heal)
        self.cluster.start()
        cluster.Follower(self.cluster.addresses).call("create_topic", name="t", partitions=PARTITIONS, replicas=3, repeatable=False)

    def rounds(self, name, hurt, mend, fault_s=FAULT_S):
        """Under load, again and again: `hurt(victim)` the leader of a partition, wait, `mend(victim)`, wait. Then the verdict."""
        workers = cluster.start_workers(self.cluster, WORKERS, "t", PARTITIONS, self.chance)
        stretches = []
        for _ in range(ROUNDS):
            time.sleep(self.chance.uniform(0.5, 1.5))
            partition = self.chance.randrange(PARTITIONS)
            victim = self.cluster.brokers.index(self.cluster.leader("t", partition))
            began = time.monotonic()
            hurt(victim)
            time.sleep(fault_s)
            stretches.append((partition, began, time.monotonic()))
            mend(victim)
            time.sleep(1.5)
        cluster.join_all(workers)
        histories = cluster.check_all(self.cluster, "t", PARTITIONS, workers)
        silences = [histories[partition].longest_silence(began, ended) for partition, began, ended in stretches]
        self.show(
            "%-22s seed %d, %d rounds: %d acknowledged, 0 lost, 0 duplicated, 0 reordered, 0 stale; unavailable %.0f ms (median), %.0f ms (worst)"
            % (name, SEED, ROUNDS, sum(h.acknowledged() for h in histories), 1000 * statistics.median(silences), 1000 * max(silences))
        )
        return silences

    def test_kill(self):
        silences = self.rounds("kill -9", lambda i: self.cluster.brokers[i].kill(), lambda i: self.cluster.brokers[i].start())
        self.assertLess(statistics.median(silences), FAULT_S)

    def test_pause(self):
        """The old leader wakes up, and answers nothing stale."""
        self.rounds(
            "SIGSTOP", lambda i: self.cluster.pause(self.cluster.brokers[i]), lambda i: self.cluster.resume(self.cluster.brokers[i])
        )

    def test_isolated(self):
        self.rounds("cut off", self.machines.isolate, lambda i: self.machines.heal())

    def test_deaf(self):
        self.rounds("deaf", self.machines.deafen, lambda i: self.machines.heal())

    def test_partial_partition(self):
        self.rounds("partial partition", lambda i: self.machines.cut(i, (i + 1) % 3), lambda i: self.machines.heal())

    def test_slow_link(self):
        self.rounds("slow link", lambda i: self.machines.slow(i, "1mbit"), lambda i: self.machines.heal())


if __name__ == "__main__":
    namespaces.enter()
    harness.main()
