"""Three brokers, one cluster: founded, used, hurt, and used on, by a stock gRPC client that follows leaders by itself.

TEST_ROUNDS sets how many leaders are killed (in the suite 5), TEST_SEED the seed.
"""

import json
import os
import random
import re
import statistics
import subprocess
import time

import cluster
import harness

SEED = int(os.environ.get("TEST_SEED", "1"))
ROUNDS = int(os.environ.get("TEST_ROUNDS", "5"))
PARTITIONS = 4
RECOVERY_S = 60  # a bound on what waits, not a promise


def leaderships(log):
    """The groups that a broker leads, by its own words."""
    roles = {}
    for group, leads in re.findall(r"event=replica_role group=(\d+) term=\d+ leads=(\d)", log):
        roles[group] = leads
    return {group for group, leads in roles.items() if leads == "1"}


class ClusterTest(harness.Case):
    def setUp(self):
        self.chance = random.Random(SEED)
        self.cluster = cluster.Cluster(3, options=["--journal-bytes", "64MiB", "--journal-file-bytes", "8MiB"])
        self.addCleanup(self.cluster.close_after, self)
        self.cluster.start()
        self.follower = cluster.Follower(self.cluster.addresses)

    def make_topic(self, name="t", partitions=PARTITIONS, replicas=3):
        self.follower.call("create_topic", name=name, partitions=partitions, replicas=replicas, repeatable=False)

    def start_workers(self, kinds):
        return cluster.start_workers(self.cluster, kinds, "t", PARTITIONS, self.chance)

    def test_what_one_broker_takes_every_broker_shows(self):
        self.make_topic()
        answers = [
            self.follower.call("append", topic="t", partition=0, batch=harness.batch(b"a%d" % i, b"b%d" % i), repeatable=False)
            for i in range(50)
        ]
        self.assertEqual([answer.base_offset for answer in answers], list(range(0, 100, 2)))
        logs = [cluster.read_all(address, "t", 0, 100) for address in self.cluster.addresses]
        self.assertEqual(logs[0], [b"%s%d" % (letter, i) for i in range(50) for letter in (b"a", b"b")])
        self.assertEqual(logs[0], logs[1])
        self.assertEqual(logs[0], logs[2])

    def test_a_broker_that_does_not_lead_names_the_one_that_does(self):
        self.make_topic()
        leader = self.cluster.leader("t", 1)
        for broker in self.cluster.brokers:
            if broker is leader:
                continue
            self.assertEqual(self.named_leader(broker), leader.address)

    def named_leader(self, broker):
        """As soon as the broker has heard of one: until then it refuses and names nobody."""
        client = cluster.Follower.client(broker.address)
        end = time.monotonic() + 60
        while True:
            failure = self.refused(
                harness.grpc.StatusCode.UNAVAILABLE, "NOT_LEADER", client.append, topic="t", partition=1, batch=harness.batch(b"x")
            )
            if failure.leader:
                return failure.leader
            self.assertLess(time.monotonic(), end, "nobody is named: %s" % failure)
            time.sleep(0.02)

    def test_leaders_are_spread(self):
        self.make_topic("spread", partitions=12)
        leaders = [self.cluster.leader("spread", partition) for partition in range(12)]
        for broker in self.cluster.brokers:
            self.assertGreaterEqual(leaders.count(broker), 2)
        described = self.follower.call("describe_topic", name="spread").partitions
        self.assertEqual([p.leader for p in described], [leader.address for leader in leaders])
        self.assertEqual([p.leader_id for p in described], [self.cluster.brokers.index(leader) + 1 for leader in leaders])

    def test_the_command_knows_who_leads_what_is_elsewhere(self):
        """A topic of one replica is on one broker, and whoever leads the map is asked about it."""
        self.make_topic("few", partitions=6, replicas=1)
        leaders = [self.cluster.leader("few", partition).address for partition in range(6)]
        self.assertEqual(len(set(leaders)), 3)
        command = [harness.CAIRN, "--server", ",".join(self.cluster.addresses), "-o", "json", "topic", "describe", "few"]
        told = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
        self.assertEqual([p["leader"] for p in told["partitions"]], leaders)

    def test_the_command_says_of_which_partitions_nobody_leads(self):
        """A broker is gone, and with it the only replica of some of them: the others are described, and soon."""
        self.make_topic("few", partitions=6, replicas=1)
        self.make_topic("many", partitions=120, replicas=1)
        leaders = [self.cluster.leader("few", partition) for partition in range(6)]
        gone = leaders[0]
        gone.kill()
        self.follower.call("alter_topic", name="few", validate_only=True)  # somebody leads the map
        command = [harness.CAIRN, "--server", ",".join(self.cluster.addresses), "topic", "describe"]
        began = time.monotonic()
        told = json.loads(subprocess.run([*command, "few", "-o", "json"], stdout=subprocess.PIPE, check=True, timeout=60).stdout)
        table = subprocess.run([*command, "few"], stdout=subprocess.PIPE, check=True, timeout=60).stdout.decode()
        many = json.loads(subprocess.run([*command, "many", "-o", "json"], stdout=subprocess.PIPE, check=True, timeout=60).stdout)
        self.assertLess(time.monotonic() - began, 25)

        self.assertEqual([p["leader"] for p in told["partitions"]], ["" if leader is gone else leader.address for leader in leaders])
        for partition, leader in enumerate(leaders):
            self.assertRegex(table, r"(?m)^ +%d %s +\d" % (partition, "none found" if leader is gone else leader.address))
            self.assertRegex(table, r"(?m)^ +%d .* %s *$" % (partition, r"- +-" if leader is gone else r"0 +0"))
            ends = [told["partitions"][partition][field] for field in ("log_start_offset", "high_watermark")]
            self.assertEqual(ends, [None, None] if leader is gone else [0, 0])
        number = self.cluster.brokers.index(gone) + 1
        for partition in many["partitions"]:
            self.assertEqual(partition["leader_id"], 0 if partition["replicas"] == [number] else partition["replicas"][0])

    def test_the_leader_is_killed_again_and_again(self):
        self.make_topic()
        workers = self.start_workers([cluster.Writer, cluster.Writer, cluster.Looker, cluster.Reader, cluster.Conditional])
        stretches = []
        for _ in range(ROUNDS):
            time.sleep(self.chance.uniform(0.3, 1.0))
            partition = self.chance.randrange(PARTITIONS)
            victim = self.cluster.leader("t", partition)
            killed = time.monotonic()
            victim.kill()
            self.wait_for_one_begun_after(killed, partition, workers)
            stretches.append((partition, killed, time.monotonic()))
            victim.start()
        cluster.join_all(workers)
        histories = cluster.check_all(self.cluster, "t", PARTITIONS, workers)
        silences = [1000 * histories[partition].longest_silence(killed, again) for partition, killed, again in stretches]
        self.show(
            "seed %d: %d acknowledged, %d leaders killed: 0 lost, 0 duplicated, 0 reordered, 0 stale; unavailable %.0f ms (median), %.0f ms (worst)"
            % (SEED, sum(h.acknowledged() for h in histories), ROUNDS, statistics.median(silences), max(silences))
        )

    def wait_for_one_begun_after(self, when, partition, workers):
        """An append that is acknowledged."""
        end = time.monotonic() + RECOVERY_S
        appends = [worker.history.appends for worker in workers if worker.partition == partition]
        while not any(append.executed == cluster.YES and append.began > when for history in appends for append in history[-20:]):
            self.assertLess(time.monotonic(), end, "partition %d does not go on" % partition)
            time.sleep(0.005)

    def test_all_are_killed_at_once(self):
        self.make_topic()
        kept = []
        for _ in range(3):
            workers = self.start_workers([cluster.Writer, cluster.Writer])
            time.sleep(self.chance.uniform(0.3, 1.0))
            for broker in self.cluster.brokers:
                broker.kill()
            for broker in self.cluster.brokers:
                broker.start(wait=False)
            for broker in self.cluster.brokers:
                broker.wait_ready()
            time.sleep(1)
            cluster.join_all(workers)
            kept += workers
        cluster.check_all(self.cluster, "t", PARTITIONS, kept)

    def test_a_broker_comes_back_at_another_address(self):
        """The others find it there, and so do clients."""
        self.make_topic()
        first, second, mover = self.cluster.brokers
        self.assertEqual(mover.stop(), 0)
        self.cluster.move(2)
        mover.start()
        client = cluster.Follower.client(second.address)
        end = time.monotonic() + 60
        while mover.address not in [broker.advertised for broker in client.describe_cluster().brokers]:
            self.assertLess(time.monotonic(), end, "it is not known at its new address")
            time.sleep(0.02)
        first.kill()  # from here on nothing goes without the one that has moved
        follower = cluster.Follower([second.address, mover.address])
        follower.call("describe_partition", topic="t", partition=0)  # by now one of the two leads
        answer = follower.call("append", topic="t", partition=0, batch=harness.batch(b"x"), repeatable=False)
        self.assertEqual(cluster.read_all(mover.address, "t", 0, answer.last_offset + 1), [b"x"])

    def test_who_has_just_been_started_shows_no_empty_cluster(self):
        """Before it has heard of the map it has none to show: it sends on, and says why."""
        self.make_topic()
        for broker in self.cluster.brokers:
            broker.kill()
        first = self.cluster.brokers[0].start()
        answer, failure = cluster.Follower([first.address]).once("describe_cluster")
        if failure is not None:
            self.assertEqual((failure.reason, failure.executed), ("NOT_LEADER", "no"))
            self.assertIn("broker 1 has just been started", failure.text)
        else:  # it knows by itself that what it has is committed
            self.assertEqual((len(answer.brokers), answer.topics), (3, 1))
        for broker in self.cluster.brokers[1:]:
            broker.start()
        answer = self.follower.call("describe_cluster")
        self.assertEqual((len(answer.brokers), answer.topics), (3, 1))

    def test_without_a_majority_nothing_is_acknowledged_and_all_goes_on_afterwards(self):
        self.make_topic()
        leader = self.cluster.leader("t", 0)
        others = [broker for broker in self.cluster.brokers if broker is not leader]
        self.follower.call("append", topic="t", partition=0, batch=harness.batch(b"before"), repeatable=False)
        for broker in others:
            broker.kill()
        failure = self.refused_somehow(leader.address)
        self.assertIn(failure.executed, ("no", "maybe"))
        end = time.monotonic() + RECOVERY_S
        while failure.executed != "no":  # until it has stepped down
            self.assertLess(time.monotonic(), end, str(failure))
            failure = self.refused_somehow(leader.address)
        for broker in others:
            broker.start()
        answer = self.follower.call("append", topic="t", partition=0, batch=harness.batch(b"after"), repeatable=False)
        log = cluster.read_all(leader.address, "t", 0, answer.last_offset + 1)
        self.assertEqual((log[0], log[-1]), (b"before", b"after"))

    def refused_somehow(self, address):
        follower = cluster.Follower([address])
        answer, failure = follower.once("append", topic="t", partition=0, batch=harness.batch(b"alone"), timeout=4)
        self.assertIsNone(answer, "one of three brokers acknowledged by itself")
        return failure

    def test_sigterm_hands_leadership_over(self):
        """A rolling restart of all: after retries no call fails, and writers hardly notice."""
        self.make_topic()
        workers = self.start_workers([cluster.Writer, cluster.Looker])
        began = time.monotonic()
        led, handed_over = 0, 0
        for broker in self.cluster.brokers:
            time.sleep(1)
            self.assertEqual(broker.stop(), 0)
            # What it led when it was asked to stop, and what it led no more when it ended.
            before, after = broker.said().split("event=stopping")
            left = leaderships(before)
            led += len(left)
            handed_over += len(left - leaderships(before + after))
            broker.start()
        time.sleep(1)
        ended = time.monotonic()
        cluster.join_all(workers)
        histories = cluster.check_all(self.cluster, "t", PARTITIONS, workers)
        self.show(
            "rolling restart: %d of %d leaderships handed over, nothing acknowledged for %.0f ms at most"
            % (handed_over, led, 1000 * max(h.longest_silence(began, ended) for h in histories))
        )
        self.assertGreater(handed_over, 0, "on a machine that is busy some may not be taken over in time, but not all")


if __name__ == "__main__":
    harness.main()
