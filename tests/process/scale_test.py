"""What many partitions cost: how soon they are made, memory, processor while nothing happens, how long a broker takes to be there again, and how
soon clients hear of a change. Most times are printed, not judged.

TEST_TOPICS sets how many topics of ten partitions three brokers have (in the suite 200; before a release 1,000).
"""

import os
import time

import cluster
import grpc
import harness
from cairn.v1 import admin_pb2, log_pb2
from watches import CURRENT_S, Watcher

MIB = 1 << 20
TOPICS, PARTITIONS = 10, 1000
CLUSTER_TOPICS, CLUSTER_PARTITIONS = int(os.environ.get("TEST_TOPICS", "200")), 10
MADE_S = 60  # within which a thousand topics are
CHANGES = 30
IDLE_SECONDS = 5
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_ticks(process):
    """Of all its threads, user and system."""
    with open("/proc/%d/stat" % process.pid) as stat:
        fields = stat.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


class Scale(harness.Case):
    def assert_below(self, resident, bound):
        self.assertLess(resident, bound * (4 if harness.sanitized() else 1))

    def idle(self, brokers):
        """What each takes of a core while nothing happens, in percent."""
        before = [cpu_ticks(broker.process) for broker in brokers]
        time.sleep(IDLE_SECONDS)
        return [100.0 * (cpu_ticks(broker.process) - ticks) / TICKS / IDLE_SECONDS for broker, ticks in zip(brokers, before)]


class ScaleTest(Scale):
    def test_one_topic_is_small(self):
        with harness.Broker() as broker, harness.Client(broker.address) as client:
            client.create_topic(name="t")
            client.append(topic="t", partition=0, batch=harness.batch(b"v"))
            resident = broker.resident_bytes()
            self.show("1 topic: %.1f MiB resident" % (resident / MIB))
            self.assert_below(resident, 40 * MIB)

    def test_ten_thousand_partitions_are_small_idle_and_soon_back(self):
        broker = harness.Broker()
        self.addCleanup(broker.close)
        broker.start()
        before = broker.resident_bytes()
        with harness.Client(broker.address) as client:
            began = time.monotonic()
            for i in range(TOPICS):
                client.create_topic(timeout=60, name="topic-%d" % i, partitions=PARTITIONS)
            made = time.monotonic() - began
            for i in range(TOPICS):
                for p in range(0, PARTITIONS, 100):
                    client.append(topic="topic-%d" % i, partition=p, batch=harness.batch(b"v"))
        broker.kill()
        broker.start()
        with harness.Client(broker.address) as client:
            for i in range(TOPICS):
                for p in range(0, PARTITIONS, 100):
                    self.assertEqual(harness.read_values(client, "topic-%d" % i, p), [b"v"])
        time.sleep(1)
        (percent,) = self.idle([broker])
        resident = broker.resident_bytes()
        self.show(
            "%d partitions: made in %.1f s, ready %.0f ms after kill -9, %.1f MiB resident, %.1f without any, %.2f %% of a core while idle"
            % (TOPICS * PARTITIONS, made, broker.start_ms, resident / MIB, before / MIB, percent)
        )
        self.assert_below(resident, 200 * MIB)
        self.assertLess(percent, 1)


class ClusterScaleTest(Scale, cluster.Case):
    """Groups of three. Only every tenth is asked for: the others elect whoever leads them all the same. A sanitizer makes three brokers too slow for
    many on one machine: there are a tenth of them then."""

    TOPICS = max(20, CLUSTER_TOPICS // (10 if harness.sanitized() else 1))
    SAMPLE = [("topic-%d" % i, i % CLUSTER_PARTITIONS) for i in range(TOPICS)]

    def setUp(self):
        super().setUp()
        self.before = max(broker.resident_bytes() for broker in self.cluster.brokers)

    def make_topics(self):
        """One after the other, each when the one before is answered. Seconds."""
        began = time.monotonic()
        for i in range(self.TOPICS):
            self.follower.call("create_topic", timeout=10, name="topic-%d" % i, partitions=CLUSTER_PARTITIONS, replicas=3)
        return time.monotonic() - began

    def leaders(self, client, partitions):
        """Who leads each, as one broker knows it; None where nobody is known to."""
        describe = client.describe_partition.method
        calls = [describe.future(log_pb2.DescribePartitionRequest(topic=topic, partition=p), timeout=5) for topic, p in partitions]
        found = []
        for call in calls:
            try:
                found.append(call.result().leader)
            except grpc.RpcError as error:
                found.append(harness.Failure(error).leader)
        return found

    def late(self, watchers):
        """How long after their answer each watcher heard of some changes, in order."""
        late = []
        for i in range(1, CHANGES + 1):
            name = "topic-%d" % (i * 7 % self.TOPICS)
            self.follower.call("alter_topic", timeout=10, name=name, config=admin_pb2.TopicConfig(retention_ms=i))
            answered = time.monotonic()
            for watcher in watchers:
                watcher.wait(lambda view, name=name, i=i: view.map()[2][name]["retention"] == i)
                late.append(time.monotonic() - answered)
        return sorted(late)

    def taken_over(self, victim, other):
        """Kills a broker. Seconds until others lead the sampled partitions that it led, and how many these are."""
        with harness.Client(other.address) as client:
            orphans = [one for one, leader in zip(self.SAMPLE, self.leaders(client, self.SAMPLE)) if leader == victim.address]
            victim.kill()
            began = time.monotonic()
            left = orphans
            while left:
                self.assertLess(time.monotonic() - began, 60, "still led by nobody: %s" % left[:5])
                left = [one for one, leader in zip(left, self.leaders(client, left)) if leader in (None, "", victim.address)]
            return time.monotonic() - began, len(orphans)

    def knows_all(self, broker):
        """Seconds until a broker that has just been started has the whole map."""
        began = time.monotonic()
        while True:
            answer, _ = cluster.Follower([broker.address]).once("describe_cluster")
            if answer is not None and answer.topics == self.TOPICS:
                return time.monotonic() - began
            self.assertLess(time.monotonic() - began, 60)

    def test_many_partitions_of_three_are_small_idle_and_soon_led_by_others(self):
        brokers = self.cluster.brokers
        made = self.make_topics()
        for topic, p in self.SAMPLE:
            self.follower.call("append", topic=topic, partition=p, batch=harness.batch(b"v"))
        time.sleep(2)
        percents = self.idle(brokers)
        residents = [broker.resident_bytes() for broker in brokers]
        victim, other = brokers[0], brokers[1]
        taken, orphans = self.taken_over(victim, other)
        for topic, p in self.SAMPLE[:: len(self.SAMPLE) // 20]:
            self.assertEqual(harness.read_values(cluster.Follower.client(other.address), topic, p), [b"v"])
        knows = self.knows_all(victim.start())

        self.show(
            "3 brokers, %d topics of %d partitions: made in %.1f s, at most %.1f MiB resident (%.1f without any) and %.2f %% of a core each while "
            "idle; %d sampled partitions of a killed broker led by others after %.2f s; it is ready %.0f ms after its start, with the map %.2f s later"
            % (self.TOPICS, CLUSTER_PARTITIONS, made, max(residents) / MIB, self.before / MIB, max(percents), orphans, taken, victim.start_ms, knows)
        )
        self.assertLess(made, other.bound(MADE_S))
        self.assertGreater(orphans, len(self.SAMPLE) // 6)
        self.assert_below(max(residents), 400 * MIB)
        self.assertLess(max(percents), 3)

    def test_watchers_of_a_large_map_hear_of_a_change_at_once(self):
        self.make_topics()
        watchers = [Watcher(broker.address) for broker in self.cluster.brokers]
        for watcher in watchers:
            self.addCleanup(watcher.stop)
        began = time.monotonic()
        for watcher in watchers:
            self.assertEqual(len(watcher.wait(lambda view: view.whole).topics), self.TOPICS)
        whole = time.monotonic() - began
        late = self.late(watchers)
        self.show(
            "3 brokers, %d partitions: the whole map told to 3 watchers in %.2f s, a change %.0f ms after its answer (median), %.0f ms at most"
            % (self.TOPICS * CLUSTER_PARTITIONS, whole, late[len(late) // 2] * 1000, late[-1] * 1000)
        )
        self.assertLess(late[-1], self.cluster.brokers[0].bound(CURRENT_S))


if __name__ == "__main__":
    harness.main()
