"""Who leads: leaderships come back to a broker that was killed, under load and without anybody asking; and what an admin asks for."""

import time

import cluster
import harness
from admin_case import OPTIONS, AdminCase
from cairn.v1 import admin_pb2

PARTITIONS = 6
WORKERS = [cluster.Writer, cluster.Reader]
DRAINED, IN = admin_pb2.BROKER_STANDING_DRAINED, admin_pb2.BROKER_STANDING_IN

AFTER_S = 2


class LeadersCase(AdminCase):
    options = [*OPTIONS, "--preferred-leaders-after-ms", "%ds" % AFTER_S]

    def setUp(self):
        super().setUp()
        self.call("create_topic", name="t", partitions=PARTITIONS, replicas=3)
        self.wait_for("each leads its own", lambda: self.leaders() == self.preferred())

    def leader(self, partition):
        return self.call("describe_partition", topic="t", partition=partition).leader_id

    def leaders(self):
        return [self.leader(partition) for partition in range(PARTITIONS)]

    def preferred(self):
        return [place.replicas[0] for place in self.call("describe_topic", name="t").partitions]

    def transfer(self, partition, to, **fields):
        return self.call("transfer_leadership", topic="t", partition=partition, broker_id=to, **fields)

    def refusal(self, at, to, topic="t", **fields):
        """What one broker says, once; None: it does it."""
        client = cluster.Follower([self.cluster.addresses[at - 1]])
        return client.once("transfer_leadership", timeout=5, topic=topic, partition=0, broker_id=to, **fields)[1]

    def wait_refused(self, at, to, reason, words, topic="t"):
        """Until it would be, with these words in it; and then it is."""

        def would_be():
            failure = self.refusal(at(), to, topic, validate_only=True)
            return failure is not None and failure.reason == reason and words in failure.text

        self.wait_for("%s is refused, %s" % (topic, reason), would_be)
        failure = self.refusal(at(), to, topic)
        self.assertEqual((failure.reason, failure.executed), (reason, "no"))
        self.assertIn(words, failure.text)


class ComeBackTest(LeadersCase):
    def test_leaders_come_back_to_who_was_killed_under_load(self):
        preferred = self.preferred()
        self.assertEqual([preferred.count(broker) for broker in (1, 2, 3)], [2, 2, 2])
        workers = cluster.start_workers(self.cluster, WORKERS, "t", PARTITIONS, self.chance)

        self.cluster.brokers[1].kill()
        self.follower.next() if self.follower.address == self.cluster.addresses[1] else None
        self.wait_for("others lead", lambda: 2 not in self.leaders())
        time.sleep(0.5)
        self.cluster.brokers[1].start()
        back_s = self.wait_for("each leads its own again", lambda: self.leaders() == preferred)
        self.assertGreater(back_s, AFTER_S * 0.5, "nobody waited whether it stays")
        time.sleep(1)
        self.assertEqual(self.leaders(), preferred)

        cluster.join_all(workers)
        joined = cluster.check_all(self.cluster, "t", PARTITIONS, workers)
        acknowledged = sum(one.acknowledged() for one in joined)
        self.show("seed %d: back after %.1f s, %d acknowledged, 0 lost, 0 duplicated, 0 reordered, 0 stale" % (cluster.SEED, back_s, acknowledged))


class OffTest(LeadersCase):
    options = [*LeadersCase.options, "--preferred-leaders", "off"]

    def test_leaders_stay_where_they_are(self):
        preferred = self.preferred()
        self.assertEqual(self.cluster.brokers[1].stop(), 0)
        self.wait_for("others lead", lambda: 2 not in self.leaders())
        self.cluster.brokers[1].start()
        time.sleep(3 * AFTER_S)
        self.assertNotIn(2, self.leaders())


class TransferTest(LeadersCase):
    def test_a_leader_that_was_asked_for_leads_and_stays(self):
        first = self.preferred()[0]
        to = first % 3 + 1
        workers = cluster.start_workers(self.cluster, WORKERS, "t", 1, self.chance)

        answer = self.transfer(0, to)
        self.assertEqual((answer.leader_before, answer.leader_after), (first, to))
        self.assertEqual(answer.leader, self.cluster.addresses[to - 1])
        again = self.transfer(0, to)
        self.assertEqual((again.leader_before, again.leader_after, again.term), (to, to, answer.term))
        time.sleep(3 * AFTER_S)
        self.assertEqual(self.leader(0), to, "it was taken back from whom somebody asked for")
        tried = self.transfer(0, first, validate_only=True)
        self.assertEqual((tried.leader_before, tried.leader_after), (to, to))

        for _ in range(10):
            self.transfer(0, self.chance.choice((1, 2, 3)))
        cluster.join_all(workers)
        cluster.check_all(self.cluster, "t", 1, workers)

    def test_errors_say_what_why_and_what_to_do(self):
        leader = self.leader(0)
        other = leader % 3 + 1
        address = self.cluster.addresses[leader - 1]
        self.wait_for("the other one knows who leads", lambda: self.refusal(other, other, validate_only=True).leader == address)
        self.assertEqual((self.refusal(other, other).reason, self.refusal(other, other).leader), ("NOT_LEADER", address))
        for topic, partition, reason in (("nowhere", 0, "UNKNOWN_TOPIC"), ("t", 7, "UNKNOWN_PARTITION")):
            with self.assertRaisesRegex(RuntimeError, reason):
                self.call("transfer_leadership", topic=topic, partition=partition, broker_id=1)
        self.wait_refused(lambda: leader, 9, "NOT_FOUND", "cairn broker list")

        self.call("create_topic", name="one", partitions=1, replicas=1)
        has = self.call("describe_topic", name="one").partitions[0].replicas[0]
        self.wait_refused(lambda: has, has % 3 + 1, "CANNOT_LEAD", "the replicas are on %d" % has, topic="one")

        self.call("set_broker_standing", broker_id=other, standing=DRAINED)
        self.wait_refused(lambda: self.leader(0), other, "CANNOT_LEAD", "it is drained")
        self.call("set_broker_standing", broker_id=other, standing=IN)

        self.cluster.brokers[other - 1].kill()
        self.wait_refused(lambda: self.leader(0), other, "CANNOT_LEAD_YET", "hears nothing of it")

    def test_the_command_line(self):
        leader = self.leader(0)
        to = leader % 3 + 1
        said = self.run_cairn("partition", "transfer", "t", "0", "--to", str(to))
        self.assertIn("partition 0 of t is led by broker %d now, in term " % to, said)
        said = self.run_cairn("partition", "transfer", "t", "0", "--to", str(to))
        self.assertEqual(said, "partition 0 of t is led by broker %d already\n" % to)
        self.assertIn("error[NOT_FOUND]", self.run_cairn("partition", "transfer", "t", "0", "--to", "9", code=3))
        self.wait_for("who led it has counted", lambda: sum(self.leads_listed()) == PARTITIONS)

    def leads_listed(self):
        """Of each broker, by its own word."""
        head, *lines = self.run_cairn("broker", "list").splitlines()
        self.assertIn("LEADS", head)
        return [int(line.split()[-2]) for line in lines]


if __name__ == "__main__":
    harness.main()
