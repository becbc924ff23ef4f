"""What an append promises to those who send it again, when three brokers keep the log: leaders killed and paused, all killed at once.

TEST_APPENDS sets how many batches are appended (in the suite 10,000; before a release 100,000), TEST_RACERS and TEST_RACES how many race
how often (64; 100, before a release 5,000), TEST_SEED the seed.
"""

import os
import random
import time

import cluster
import harness
from producers import Producer, Race, check_producers, told

APPENDS = int(os.environ.get("TEST_APPENDS", "10000"))
SEED = int(os.environ.get("TEST_SEED", "1"))
PRODUCERS = 8
RACERS = int(os.environ.get("TEST_RACERS", "64"))
RACES = int(os.environ.get("TEST_RACES", "100"))
OPTIONS = ["--election-timeout-ms", "500ms", "--heartbeat-ms", "50ms", "--journal-bytes", "32MiB", "--journal-file-bytes", "4MiB"]


class ClusterProducerTest(harness.Case):
    def setUp(self):
        self.chance = random.Random("%d %s" % (SEED, self.id()))
        self.cluster = cluster.Cluster(3, options=OPTIONS)
        self.addCleanup(self.cluster.close_after, self)
        self.cluster.start()
        self.follower = cluster.Follower(self.cluster.addresses)
        self.follower.call("create_topic", name="t", partitions=1, replicas=3, repeatable=False)
        self.hurt = {"killed": 0, "paused": 0, "all killed": 0}

    def kill_leader(self):
        leader = self.cluster.leader("t")
        leader.kill()
        time.sleep(self.chance.uniform(0, 1.0))
        leader.start()
        self.hurt["killed"] += 1

    def pause_leader(self):
        leader = self.cluster.leader("t")
        leader.pause()
        time.sleep(self.chance.uniform(0.1, 1.5))
        leader.resume()
        self.hurt["paused"] += 1

    def kill_all(self):
        for broker in self.cluster.brokers:
            broker.kill()
        self.cluster.start()
        self.hurt["all killed"] += 1

    def disturb(self):
        self.chance.choice([self.kill_leader, self.kill_leader, self.pause_leader, self.kill_all])()

    def what_broke(self):
        return ", ".join("%d times %s" % (times, what) for what, times in self.hurt.items())

    def values(self):
        """All of the partition, the same on every broker."""
        end = self.follower.call("describe_partition", topic="t", partition=0).high_watermark
        logs = [cluster.read_all(address, "t", 0, end) for address in self.cluster.addresses]
        self.assertEqual(logs[1], logs[0])
        self.assertEqual(logs[2], logs[0])
        return logs[0]

    def test_each_batch_once_and_always_at_its_first_offset(self):
        producers = [
            Producer(self.cluster.addresses, "t", "producer-%d" % i, APPENDS // PRODUCERS, random.Random(self.chance.random()))
            for i in range(PRODUCERS)
        ]
        for producer in producers:
            producer.start()
        while any(producer.is_alive() for producer in producers):
            time.sleep(self.chance.uniform(0.1, 0.6))
            self.disturb()
        for producer in producers:
            producer.join()
        check_producers(self, producers, self.values())
        self.assertGreater(sum(self.hurt.values()), 1)
        self.assertGreater(sum(producer.duplicates for producer in producers), 0)

        self.kill_all()
        for producer in producers:
            i = self.chance.randrange(max(0, len(producer.batches) - 1000), len(producer.batches))
            sequence, values = producer.batches[i]
            answer = self.follower.call(
                "append", topic="t", producer=producer.name_, batch=harness.batch(*values, first_sequence=sequence)
            )
            self.assertTrue(answer.duplicate)
            self.assertEqual(answer.base_offset, producer.offsets[i])
        self.show(told(producers, SEED, self.what_broke()))

    def test_exactly_one_winner_per_offset(self):
        def disturb():
            if self.chance.random() < 0.04:
                time.sleep(self.chance.uniform(0, 0.03))
                self.disturb()

        race = Race(self.cluster.addresses, "t", RACERS, RACES)
        race.run(disturb)
        race.check(self, self.values())
        self.show("seed %d: %d races of %d, %s; one winner each, on every broker" % (SEED, RACES, RACERS, self.what_broke()))


if __name__ == "__main__":
    harness.main()
