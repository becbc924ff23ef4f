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

    def refusal(self, at, partition, to, topic="t"):
        """What one broker says, once."""
        client = cluster.Follower([self.cluster.addresses[at - 1]])
        answer, failure = client.once("transfer_leadership", timeout=5, topic=topic, partition=partition, broker_id=to)
        self.assertIsNone(answer)
        return failure


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
        self.assertEqual(self.refusal(other, 0, other).reason, "NOT_LEADER")
        self.assertEqual(self.refusal(other, 0, other).leader, self.cluster.addresses[leader - 1])
        for topic, partition, reason in (("nowhere", 0, "UNKNOWN_TOPIC"), ("t", 7, "UNKNOWN_PARTITION")):
            with self.assertRaisesRegex(RuntimeError, reason):
                self.call("transfer_leadership", topic=topic, partition=partition, broker_id=1)
        failure = self.refusal(leader, 0, 9)
        self.assertEqual((failure.reason, failure.executed), ("NOT_FOUND", "no"))
        self.assertIn("cairn broker list", failure.text)

        self.call("create_topic", name="one", partitions=1, replicas=1)
        has = self.call("describe_topic", name="one").partitions[0].replicas[0]
        self.wait_for("it is open, and led", lambda: self.refusal(has, 0, has % 3 + 1, topic="one").reason not in ("LOADING", "NOT_LEADER"))
        failure = self.refusal(has, 0, has % 3 + 1, topic="one")
        self.assertEqual((failure.reason, failure.executed), ("CANNOT_LEAD", "no"))
        self.assertIn("the replicas are on %d" % has, failure.text)

        self.call("set_broker_standing", broker_id=other, standing=DRAINED)
        self.wait_for("it is known to be drained", lambda: self.refusal(self.leader(0), 0, other).reason == "CANNOT_LEAD")
        self.call("set_broker_standing", broker_id=other, standing=IN)

        self.cluster.brokers[other - 1].kill()
        leader = self.leader(0)
        self.wait_for("it is missed", lambda: self.refusal(leader, 0, other).reason in ("CANNOT_LEAD_YET", "UNKNOWN_OUTCOME"))
        time.sleep(1)
        failure = self.refusal(leader, 0, other)
        self.assertEqual((failure.reason, failure.executed), ("CANNOT_LEAD_YET", "no"))
        self.assertIn("hears nothing of it", failure.text)

    def test_the_command_line(self):
        leader = self.leader(0)
        to = leader % 3 + 1
        said = self.run_cairn("partition", "transfer", "t", "0", "--to", str(to))
        self.assertIn("partition 0 of t is led by broker %d now, in term " % to, said)
        said = self.run_cairn("partition", "transfer", "t", "0", "--to", str(to))
        self.assertEqual(said, "partition 0 of t is led by broker %d already\n" % to)
        self.assertIn("error[NOT_FOUND]", self.run_cairn("partition", "transfer", "t", "0", "--to", "9", code=3))
        head, *lines = self.run_cairn("broker", "list").splitlines()
        self.assertIn("LEADS", head)
        self.assertEqual(sum(int(line.split()[-2]) for line in lines), PARTITIONS)


if __name__ == "__main__":
    harness.main()
