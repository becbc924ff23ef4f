"""Brokers of an earlier feature level become later ones, one after the other, under load by stock gRPC clients. What holds a broker at the earlier level
is its own setting, feature-level-most: it tells, takes and writes what a Cairn from before there were levels does."""

import json
import subprocess
import time

import cluster
import harness
from admin_case import OPTIONS, AdminCase

PARTITIONS = 3
WORKERS = [cluster.Writer, cluster.Conditional, cluster.Looker, cluster.Reader]
HELD = ["--feature-level-most", "1"]


class UpgradeCase(AdminCase):
    options = [*OPTIONS, *HELD]
    level = 1  # that its cluster begins with

    def setUp(self):
        super().setUp()
        self.wait_for("its level", lambda: self.levels() == (self.level, self.level))  # before it has a topic: then it stays
        self.call("create_topic", name="t", partitions=PARTITIONS, replicas=3)

    def levels(self):
        """(that the cluster has, that all its brokers can)"""
        cluster_now = self.call("describe_cluster")
        return cluster_now.feature_level, cluster_now.feature_level_possible

    def all_know_most(self, number, most):
        return self.all_know(lambda told: (number, most) in [(broker.id, broker.feature_most) for broker in told.brokers])

    def all_have(self, level):
        return self.all_know(lambda told: told.feature_level == level)

    def upgrade(self, *words):
        """All that it says of it."""
        done = self.ended("cluster", "upgrade", *words)
        return done.stdout + done.stderr

    def restart(self, number, held, more=()):
        """With the later version, or the earlier one again."""
        broker = self.cluster.brokers[number - 1]
        if broker.alive():
            self.assertEqual(broker.stop(), 0)
        self.set_held(number, held, more)
        if self.follower.address == broker.address:
            self.follower.next()
        broker.start()
        self.wait_for("broker %d is known" % number, lambda: self.all_know_most(number, 1 if held else 2))

    def set_held(self, number, held, more=()):
        broker = self.cluster.brokers[number - 1]
        plain = list(broker.options)
        if HELD[0] in plain:
            at = plain.index(HELD[0])
            del plain[at : at + len(HELD)]
        broker.options = [*plain, *more, *(HELD if held else ())]

    def ends(self, number):
        """The process is over by itself, and said why."""
        broker = self.cluster.brokers[number - 1]
        self.wait_for("broker %d has ended" % number, lambda: not broker.alive())
        self.assertEqual(broker.process.returncode, 1, broker.said())
        return broker.said()


class RollingTest(UpgradeCase):
    racks = ("a", "b", "c")  # of the later version, which the earlier one would lose

    def racks_told(self):
        return [broker.rack for broker in self.call("describe_cluster").brokers]

    def test_one_broker_after_the_other_under_load(self):
        self.assertEqual(self.levels(), (1, 1))
        workers = cluster.start_workers(self.cluster, WORKERS, "t", PARTITIONS, self.chance)
        self.assertEqual(self.upgrade(), "the cluster is at feature level 1 already\n")

        for number in (1, 2):
            self.restart(number, held=False, more=("--rack", self.racks[number - 1]))
            self.assertEqual(self.levels(), (1, 1))
        refused = self.run_cairn("cluster", "upgrade", "--dry-run", code=4)
        self.assertIn("error[FEATURE_LEVEL]", refused)
        self.assertIn("broker 3 can levels 1 to 1: run a newer Cairn on it", refused)

        self.restart(3, held=False, more=("--rack", self.racks[2]))
        self.assertEqual(self.levels(), (1, 2))
        self.assertEqual(self.racks_told(), ["", "", ""])
        self.wait_for("it says why", lambda: "event=rack_not_told rack=c" in self.cluster.brokers[2].said())
        self.assertIn("level 1; all brokers can 2: cairn cluster upgrade", self.run_cairn("cluster", "status"))
        self.wait_for("who leads the map says so", lambda: any("event=upgrade_possible level=1 all_can=2" in one.said() for one in self.cluster.brokers))

        # Until somebody raises it there is a way back, for each of them.
        self.restart(2, held=True)
        self.assertIn("broker 2 can levels 1 to 1", self.run_cairn("cluster", "upgrade", code=4))
        self.restart(2, held=False)

        said = self.upgrade("--dry-run")
        self.assertEqual(said, "the cluster is at feature level 1, and could be raised to 2: all its brokers can\n")
        self.assertEqual(self.levels(), (1, 2))
        raised = json.loads(self.upgrade("-o", "json"))
        self.assertEqual(raised, {"state": "raised", "level_before": 1, "level": 2})
        self.wait_for("all have it", lambda: self.all_have(2))
        self.wait_for("where the brokers stand is told", lambda: self.racks_told() == list(self.racks))
        self.assertIn("event=rack_is_told rack=c", self.cluster.brokers[2].said())
        self.assertIn("error[INVALID]", self.run_cairn("cluster", "upgrade", "--to", "1", code=2))

        self.kill_all()
        self.wait_for("all have it again", lambda: self.all_have(2))
        cluster.join_all(workers)
        joined = cluster.check_all(self.cluster, "t", PARTITIONS, workers)
        self.show("seed %d: %d acknowledged, 0 lost, 0 duplicated, 0 reordered, 0 stale" % (cluster.SEED, sum(one.acknowledged() for one in joined)))

    def kill_all(self):
        for broker in self.cluster.brokers:
            broker.kill()
        for broker in self.cluster.brokers:
            broker.start(wait=False)
        for broker in self.cluster.brokers:
            broker.wait_ready(self.patience_s)


class NoWayBackTest(UpgradeCase):
    options = OPTIONS
    level = 2

    def test_a_broker_of_before_does_not_start_and_loses_nothing(self):
        self.follower.call("append", topic="t", partition=0, batch=harness.batch(b"kept"))
        broker = self.cluster.brokers[2]
        self.assertEqual(broker.stop(), 0)
        self.set_held(3, held=True)
        for _ in range(2):
            broker.start(wait=False)
            said = self.ends(3)
            self.assertIn("the cluster is at feature level 2, and broker 3 can levels 1 to 1; a level is never lowered: run a newer Cairn", said)
            self.assertIn("feature-level-most", said)
            self.assertNotIn("CHECK failed", said)
        self.set_held(3, held=False)
        broker.start()
        self.wait_for("it has the level", lambda: self.knows(3, lambda told: told.feature_level == 2))
        self.assertEqual(cluster.read_all(broker.address, "t", 0, 1), [b"kept"])

    def test_a_new_broker_of_before_is_refused(self):
        self.cluster.add([*OPTIONS, *HELD]).start(wait=False)
        said = self.ends(4)
        self.assertIn("the cluster is at feature level 2, and broker 4 can levels 1 to 1", said)
        self.assertNotIn(4, [broker.id for broker in self.call("describe_cluster").brokers])


class MeanwhileTest(UpgradeCase):
    def test_one_that_was_away_when_the_level_rose_stops_when_it_hears_of_it(self):
        for number in (1, 2, 3):
            self.restart(number, held=False)
        broker = self.cluster.brokers[2]
        self.assertEqual(broker.stop(), 0)
        self.upgrade()  # by its own word it can
        for i in range(20):
            self.call("create_topic", name="later%d" % i, partitions=1, replicas=2)

        self.set_held(3, held=True)
        broker.start(wait=False)
        said = self.ends(3)
        self.assertIn("the cluster is at feature level 2, and broker 3 can levels 1 to 1", said)
        self.assertNotIn("CHECK failed", said)

        self.set_held(3, held=False)
        broker.start()
        self.wait_for("it has caught up", lambda: self.knows(3, lambda told: (told.feature_level, told.topics) == (2, 21)))


class ByItselfTest(UpgradeCase):
    def test_where_it_is_wanted_the_level_rises_with_the_last_broker(self):
        on = ["--auto-upgrade", "on"]
        for number in (1, 2):
            self.restart(number, held=False, more=on)
            time.sleep(1)
            self.assertEqual(self.levels(), (1, 1))
        self.restart(3, held=False, more=on)
        self.wait_for("it rises", lambda: self.levels() == (2, 2))

    def test_a_new_cluster_begins_with_all_that_it_can(self):
        fresh = cluster.Cluster(3, options=OPTIONS)
        self.addCleanup(fresh.close)
        fresh.start()
        follower = cluster.Follower(fresh.addresses)
        self.wait_for("it rises", lambda: follower.call("describe_cluster").feature_level == 2)
        told = subprocess.run(
            ["timeout", "5", harness.CAIRN, "--server", fresh.addresses[0], "cluster", "watch", "--from", "0", "-o", "json"], capture_output=True, text=True
        )
        changes = [json.loads(line) for line in told.stdout.splitlines()]
        self.assertIn(2, [change.get("feature_level") for change in changes])
        brokers = [change["broker"] for change in changes if change["change"] == "broker"]
        self.assertEqual({(broker["feature_least"], broker["feature_most"]) for broker in brokers}, {(1, 2)})


if __name__ == "__main__":
    harness.main()
