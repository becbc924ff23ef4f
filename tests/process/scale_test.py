"""What a broker costs when nothing happens: memory, processor, and how long it takes to be there again. The times are printed, not judged."""

import os
import time

import cluster
import grpc
import harness
from cairn.v1 import log_pb2

MIB = 1 << 20
TOPICS, PARTITIONS = 10, 1000
CLUSTER_TOPICS, CLUSTER_PARTITIONS = 1000, 10
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
            "%d partitions: made in %.1f s, ready %.0f ms after kill -9, %.1f MiB resident, %.2f %% of a core while idle"
            % (TOPICS * PARTITIONS, made, broker.start_ms, resident / MIB, percent)
        )
        self.assert_below(resident, 200 * MIB)
        self.assertLess(percent, 1)


class ClusterScaleTest(Scale):
    """Ten thousand groups of three. Only every tenth is asked for: the others elect whoever leads them all the same. A sanitizer makes three
    brokers too slow for that many on one machine: they are a thousand then."""

    TOPICS = CLUSTER_TOPICS // (10 if harness.sanitized() else 1)
    SAMPLE = [("topic-%d" % i, i % CLUSTER_PARTITIONS) for i in range(TOPICS)]

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

    def test_ten_thousand_partitions_of_three_are_small_idle_and_soon_led_by_others(self):
        brokers = cluster.Cluster()
        self.addCleanup(brokers.close_after, self)
        brokers.start()
        follower = cluster.Follower(brokers.addresses)
        began = time.monotonic()
        for i in range(self.TOPICS):
            follower.call("create_topic", timeout=10, name="topic-%d" % i, partitions=CLUSTER_PARTITIONS, replicas=3)
        made = time.monotonic() - began
        for topic, p in self.SAMPLE:
            follower.call("append", topic=topic, partition=p, batch=harness.batch(b"v"))
        time.sleep(2)
        percents = self.idle(brokers.brokers)
        residents = [broker.resident_bytes() for broker in brokers.brokers]

        victim, other = brokers.brokers[0], brokers.brokers[1]
        with harness.Client(other.address) as client:
            orphans = [one for one, leader in zip(self.SAMPLE, self.leaders(client, self.SAMPLE)) if leader == victim.address]
            victim.kill()
            began = time.monotonic()
            left = orphans
            while left:
                self.assertLess(time.monotonic() - began, 60, "still led by nobody: %s" % left[:5])
                left = [one for one, leader in zip(left, self.leaders(client, left)) if leader in (None, "", victim.address)]
            taken = time.monotonic() - began
        for topic, p in self.SAMPLE[:: len(self.SAMPLE) // 20]:
            self.assertEqual(harness.read_values(cluster.Follower.client(other.address), topic, p), [b"v"])

        self.show(
            "3 brokers, %d topics of %d partitions: made in %.1f s, at most %.1f MiB resident and %.2f %% of a core each while idle; "
            "%d sampled partitions of a killed broker led by others after %.2f s"
            % (self.TOPICS, CLUSTER_PARTITIONS, made, max(residents) / MIB, max(percents), len(orphans), taken)
        )
        self.assertGreater(len(orphans), len(self.SAMPLE) // 6)
        self.assert_below(max(residents), 400 * MIB)
        self.assertLess(max(percents), 3)


if __name__ == "__main__":
    harness.main()
