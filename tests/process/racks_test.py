"""Brokers in racks: where replicas are put, who is told, and what goes on when a rack falls."""

import collections

import harness
from admin_case import AdminCase


def racks_of(told):
    return [broker.rack for broker in told.brokers]


class RacksCase(AdminCase):
    patience_s = 120
    racks = ()  # of broker 1, 2, ...; the first three found the cluster

    def prepare(self):
        for broker, rack in zip(self.cluster.brokers, self.racks):
            broker.options += ["--rack", rack]

    def setUp(self):
        super().setUp()
        for rack in self.racks[3:]:
            self.add_broker("--rack", rack)
        self.wait_for("all racks are known", lambda: self.all_know(lambda told: racks_of(told) == list(self.racks)))

    def places(self, topic):
        return [list(place.moving_to or place.replicas) for place in self.call("describe_topic", name=topic).partitions]

    def rests(self, topic):
        return not any(place.moving_to for place in self.call("describe_topic", name=topic).partitions)

    def carry(self, broker, rack):
        """It stands in another rack from its next start on."""
        running = self.cluster.brokers[broker - 1]
        self.assertEqual(running.stop(), 0)
        running.options[running.options.index("--rack") + 1] = rack
        running.start()
        self.wait_for("all know its new rack", lambda: self.all_know(lambda told: racks_of(told)[broker - 1] == rack))
        self.wait_all_up()

    def expect_apart(self, topic):
        """No two replicas of a partition in one rack."""
        racks = racks_of(self.call("describe_cluster"))
        for replicas in self.places(topic):
            stand = [racks[broker - 1] for broker in replicas]
            self.assertEqual(len(set(stand)), len(replicas), (replicas, stand))

    def status(self):
        return self.told("cluster", "status")


class TwoRacksTest(RacksCase):
    racks = ("a", "a", "b")

    def test_two_replicas_never_stand_in_one_rack(self):
        for number in range(5):
            self.call("create_topic", name="one-%d" % number, partitions=1, replicas=2)
            self.expect_apart("one-%d" % number)
        self.call("create_topic", name="many", partitions=20, replicas=2)
        self.expect_apart("many")
        self.call("add_partitions", topic="many", partitions=41)
        self.expect_apart("many")

        has = collections.Counter(broker for topic in ["many", *("one-%d" % i for i in range(5))] for place in self.places(topic) for broker in place)
        self.assertEqual((has[1], has[2], has[3]), (23, 23, 46))  # 3 has one of each, and 1 and 2 share the others
        leads = collections.Counter(place[0] for place in self.places("many"))
        self.assertLessEqual(max(leads.values()) - min(leads.values()), 2)

    def test_racks_are_shown(self):
        self.assertEqual([row["rack"] for row in self.told("broker", "list")], ["a", "a", "b"])
        self.assertRegex(self.run_cairn("broker", "list"), r"(?m)^BROKER .* PEERS +RACK +ROLE")
        self.assertRegex(self.run_cairn("cluster", "status"), r"(?m)^racks +2: 1 to 2 brokers each$")
        self.assertEqual((self.status()["racks"], self.status()["brokers_without_rack"]), ({"a": 2, "b": 1}, 0))

    def test_a_broker_that_is_carried_elsewhere(self):
        self.call("create_topic", name="t", partitions=12, replicas=2)
        self.carry(3, "a")
        self.carry(2, "b")
        crowded = [place for place in self.places("t") if sorted(place) == [1, 3]]
        self.assertEqual(len(crowded), 6)  # nothing moves by itself
        self.run_cairn("cluster", "rebalance", "--wait")
        self.wait_for("all has arrived", lambda: self.rests("t"))
        self.expect_apart("t")
        self.assertEqual({2 in place for place in self.places("t")}, {True})

        moved = self.ended("partition", "move", "t", "0", "--to", "1,3", "--dry-run")
        self.assertEqual(moved.stderr, "note: brokers 1 and 3 stand in one rack, a, and another rack has none of them: what falls there takes both\n")
        self.assertEqual(self.ended("partition", "move", "t", "0", "--to", "1,2,3", "--dry-run").stderr, "")

        self.carry(2, "")
        self.assertRegex(self.run_cairn("cluster", "status"), r"(?m)^racks +1: 2 brokers each, 1 in none$")

    def test_a_rack_that_is_no_name_is_refused(self):
        broker = harness.Broker(options=["--rack", "row 3"])
        self.addCleanup(broker.close)
        with self.assertRaisesRegex(RuntimeError, r'rack = "row 3" is not a name of 1 to 63 characters of a-z A-Z 0-9 \. _ -'):
            broker.start()


class LeavingTest(RacksCase):
    racks = ("a", "a", "b", "b")

    def test_what_leaves_goes_to_its_own_rack(self):
        self.call("create_topic", name="t", partitions=12, replicas=2)
        self.expect_apart("t")
        self.run_cairn("broker", "decommission", "1", "--wait")
        self.expect_apart("t")
        has = collections.Counter(broker for place in self.places("t") for broker in place)
        self.assertEqual((has[1], has[2], has[3], has[4]), (0, 12, 6, 6))


class FallingTest(RacksCase):
    racks = ("a", "b", "c", "a", "b", "c")

    def test_everything_goes_on_without_a_rack(self):
        self.call("create_topic", name="t", partitions=12, replicas=3)
        self.expect_apart("t")
        for partition in range(12):
            self.call("append", topic="t", partition=partition, batch=harness.batch(b"before"), repeatable=False)
        for broker in (self.cluster.brokers[1], self.cluster.brokers[4]):
            broker.kill()
        for partition in range(12):
            self.call("append", topic="t", partition=partition, batch=harness.batch(b"after"))
        self.wait_for("they are seen to be down", lambda: self.status()["brokers_down"] == 2)
        self.assertEqual((self.status()["health"], self.status()["partitions_without_quorum"]), ("degraded", 0))


if __name__ == "__main__":
    harness.main()
