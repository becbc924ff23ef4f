"""Plans of moves: many partitions go to other brokers under load, and the load is spread on brokers that come."""

import collections
import json
import os
import signal
import subprocess
import tempfile
import time

import cluster
import harness
from admin_case import OPTIONS, AdminCase
from cairn.v1 import admin_pb2

PARTITIONS = int(os.environ.get("TEST_PARTITIONS", "100"))
LOADED = 6  # partitions that are appended to and read meanwhile
WORKERS = [cluster.Writer, cluster.Looker, cluster.Reader]
DRAINED, IN = admin_pb2.BROKER_STANDING_DRAINED, admin_pb2.BROKER_STANDING_IN


class ReassignCase(AdminCase):
    patience_s = 120

    def create(self, topic, partitions, replicas=3):
        self.call("create_topic", name=topic, partitions=partitions, replicas=replicas)

    def places(self, topic):
        return self.call("describe_topic", name=topic).partitions

    def fill(self, topic, partitions, first=0):
        for partition in range(first, partitions):
            self.call("append", topic=topic, partition=partition, repeatable=False, batch=harness.batch(b"first of %d" % partition, b"second"))

    def loads(self, topics):
        """How many replicas each broker has, and how many it is to lead."""
        replicas, firsts = collections.Counter(), collections.Counter()
        for topic in topics:
            for place in self.places(topic):
                replicas.update(place.replicas)
                firsts[place.replicas[0]] += 1
        return replicas, firsts

    def assert_even(self, topics, brokers):
        for counts in self.loads(topics):
            self.assertLessEqual(max(counts[broker] for broker in brokers) - min(counts[broker] for broker in brokers), 1, counts)

    def moving(self):
        return self.call("list_moves").moves


class ReassignTest(ReassignCase):
    def kill_leader_of_map(self):
        answer, failure = self.follower.once("describe_cluster", timeout=5)
        victim = self.cluster.brokers[(answer.controller_id if failure is None and answer.controller_id else 1) - 1]
        victim.kill()
        time.sleep(self.chance.uniform(0.5, 1.5))
        victim.start()

    def test_many_partitions_move_under_load_while_the_leader_of_the_map_is_killed(self):
        self.create("t", PARTITIONS)
        self.fill("t", PARTITIONS, LOADED)
        self.add_broker()
        workers = cluster.start_workers(self.cluster, WORKERS, "t", LOADED, self.chance)

        began = time.monotonic()
        process = self.begin("cluster", "reassign", "--topics", "t", "--to-brokers", "2,3,4", "--at-once", "4", "--wait", "-o", "json")
        for _ in range(2):
            self.wait_for("some are on their way", lambda: len(self.moving()) > 0 or process.poll() is not None)
            time.sleep(self.chance.uniform(0.2, 0.8))
            self.kill_leader_of_map()
        said, error = process.communicate(timeout=2 * self.patience_s)
        if process.returncode != 0:  # no leader was found for longer than a call waits: whoever asks again goes on
            self.assertEqual(process.returncode, 6, error.decode())
            said = self.run_cairn("cluster", "reassign", "--topics", "t", "--to-brokers", "2,3,4", "--wait", "-o", "json").encode()
        took_s = time.monotonic() - began

        self.assertEqual(json.loads(said)["refused"], 0)
        for place in self.places("t"):
            self.assertEqual((sorted(place.replicas), list(place.moving_to)), ([2, 3, 4], []))
        self.assert_even(["t"], [2, 3, 4])
        left = cluster.Follower([broker.address for broker in self.cluster.brokers[1:]])
        cluster.join_all(workers)
        histories = cluster.check_all(left, "t", LOADED, workers)
        for partition in range(LOADED, PARTITIONS):
            values = cluster.read_all(self.cluster.brokers[3].address, "t", partition, 2)
            self.assertEqual(values, [b"first of %d" % partition, b"second"])
        self.show(
            "seed %d: %d partitions in %.0f s, %d acknowledged meanwhile, 0 lost, 0 duplicated, 0 reordered, 0 stale"
            % (cluster.SEED, PARTITIONS, took_s, sum(one.acknowledged() for one in histories))
        )

    def test_a_dry_run_changes_nothing_and_says_what_would_be(self):
        self.create("t", 8)
        self.fill("t", 8)
        self.add_broker()
        before = [list(place.replicas) for place in self.places("t")]
        plan = self.told("cluster", "reassign", "--topics", "t", "--to-brokers", "2,3,4", "--dry-run")
        self.assertEqual([list(place.replicas) for place in self.places("t")], before)
        self.assertEqual(len(self.moving()), 0)
        self.assertEqual((plan["partitions"], plan["copies"]), (8, 8))
        for move in plan["moves"]:
            self.assertEqual(move["from"], before[move["partition"]])
            self.assertEqual(sorted(move["to"]), [2, 3, 4])
            self.assertGreater(move["bytes"], 0)
        self.assertIn("8 moves: 8 replicas to copy", self.run_cairn("cluster", "reassign", "--topics", "t", "--to-brokers", "2,3,4", "--dry-run"))
        self.cluster.brokers[3].kill()
        self.wait_all_up(3)
        error = self.run_cairn("cluster", "reassign", "--topics", "t", "--to-brokers", "2,3,4", "--dry-run", code=2)
        self.assertIn("broker 4 is to have replicas, and it is down", error)

    def test_a_stale_plan_does_no_harm(self):
        self.create("t", 6)
        self.fill("t", 6)
        self.add_broker()
        plan = os.path.join(tempfile.mkdtemp(), "plan.json")
        self.run_cairn("cluster", "reassign", "--topics", "t", "--to-brokers", "2,3,4", "--save", plan)
        self.assertEqual(len(self.moving()), 0)
        planned = json.load(open(plan))["moves"]
        self.assertEqual(len(planned), 6)
        self.call("move_partition", topic="t", partition=0, replicas=[1, 2])
        self.wait_for("it is elsewhere", lambda: list(self.places("t")[0].replicas) == [1, 2])

        error = self.run_cairn("cluster", "reassign", "--plan", plan, "--wait", code=7)
        self.assertIn("error[PLAN_STALE]: 1 of 6 moves were not made", error)
        self.assertIn("partition 0 has other replicas by now", error)
        places = self.places("t")
        self.assertEqual(list(places[0].replicas), [1, 2])
        for move in planned[1:]:
            self.assertEqual(list(places[move["partition"]].replicas), move["to"])

        self.call("delete_topic", name="t")
        self.create("t", 6)
        self.refused_as_stale(planned[1])
        self.assertIn("6 of 6 moves were not made", self.run_cairn("cluster", "reassign", "--plan", plan, code=7))
        with open(plan, "w") as file:
            file.write("{\"moves\": [{}]}")
        self.assertIn("error[BAD_PLAN]", self.run_cairn("cluster", "reassign", "--plan", plan, code=1))

    def refused_as_stale(self, move):
        with self.assertRaises(RuntimeError) as caught:
            self.call(
                "move_partition",
                topic="t",
                partition=move["partition"],
                replicas=move["to"],
                expected_topic_id=move["topic_id"],
                expected_replicas=move["from"],
            )
        self.assertIn("PLAN_STALE", str(caught.exception))

    def test_it_goes_on_where_it_was_interrupted(self):
        self.create("t", 8)
        self.fill("t", 8)
        self.add_broker()
        self.cluster.brokers[3].pause()
        words = ("cluster", "reassign", "--topics", "t", "--to-brokers", "2,3,4", "--wait")
        process = self.begin(*words)
        self.wait_for("two are on their way, and 4 takes no more at a time", lambda: len(self.moving()) == 2 or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        said, error = process.communicate(timeout=self.patience_s)
        self.assertEqual((process.returncode, said), (130, b""), error)
        self.assertIn(b"2 have begun and go on by themselves", error)
        self.assertIn(b"6 have not begun", error)
        self.assertEqual(len(self.moving()), 2)

        self.cluster.brokers[3].resume()
        self.wait_all_up()
        self.run_cairn(*words)
        for place in self.places("t"):
            self.assertEqual(sorted(place.replicas), [2, 3, 4])
        self.assertIn("nothing is to move", self.run_cairn(*words))

    def test_what_cannot_begin_says_which_move_is_in_the_way(self):
        self.create("t", 2)
        self.fill("t", 2)
        self.add_broker()
        self.cluster.brokers[3].kill()
        self.wait_all_up(3)
        first, second = [list(place.replicas) for place in self.places("t")]
        self.call("move_partition", topic="t", partition=0, replicas=[*first[:2], 4])  # and another one gives a replica up
        less = [broker for broker in second if broker != first[2]]
        topic_id = self.call("describe_topic", name="t").topic.id
        plan = os.path.join(tempfile.mkdtemp(), "plan.json")
        with open(plan, "w", encoding="utf-8") as file:
            json.dump({"moves": [{"topic": "t", "topic_id": topic_id, "partition": 1, "from": second, "to": less}]}, file)
        error = self.interrupted("cluster", "reassign", "--plan", plan, "--at-once", "1", "--wait")
        self.assertIn("1 have not begun, as a move is in the way: partition 0 of t waits: broker 4 is down: start it", error)
        self.assertEqual([move.partition for move in self.moving()], [0])

        self.cluster.brokers[3].start()
        self.wait_all_up()
        self.run_cairn("cluster", "reassign", "--plan", plan, "--at-once", "1", "--wait")
        self.assertEqual([list(place.replicas) for place in self.places("t")], [[*first[:2], 4], less])

    def interrupted(self, *words):
        """What a command says that waits, and is told to stop."""
        process = self.begin(*words)
        with self.assertRaises(subprocess.TimeoutExpired):
            process.wait(3)
        process.send_signal(signal.SIGINT)
        said, error = process.communicate(timeout=self.patience_s)
        self.assertEqual((process.returncode, said), (130, b""), error)
        return error.decode()

    def test_what_has_begun_and_waits_is_named(self):
        self.create("t", 1)
        self.fill("t", 1)
        self.add_broker()
        self.cluster.brokers[3].kill()
        self.wait_all_up(3)
        home = list(self.places("t")[0].replicas)
        goal = [*home[:2], 4]
        self.call("move_partition", topic="t", partition=0, replicas=goal)
        waits = "partition 0 of t waits: broker 4 is down: start it, or take the move back"
        self.wait_for("what it waits for is told", lambda: waits in self.run_cairn("cluster", "moves"))
        topic_id = self.call("describe_topic", name="t").topic.id
        plan = os.path.join(tempfile.mkdtemp(), "plan.json")
        with open(plan, "w", encoding="utf-8") as file:
            json.dump({"moves": [{"topic": "t", "topic_id": topic_id, "partition": 0, "from": home, "to": goal}]}, file)

        error = self.interrupted("cluster", "reassign", "--plan", plan, "--wait")
        self.assertIn("1 have begun and go on by themselves, whether somebody waits or not, but %s; 0 have not begun\n" % waits, error)
        error = self.interrupted("cluster", "rebalance", "--wait")
        self.assertIn("1 partitions that were on their way already was interrupted", error)
        self.assertIn("they go on by themselves, whether somebody waits or not, but %s\n" % waits, error)

        self.cluster.brokers[3].start()
        self.wait_all_up()
        self.run_cairn("cluster", "reassign", "--plan", plan, "--wait")
        self.assertEqual(list(self.places("t")[0].replicas), goal)

    def test_what_is_deleted_meanwhile_has_not_arrived(self):
        self.create("t", 1)
        self.fill("t", 1)
        self.add_broker()
        for again in (False, True):
            plan = os.path.join(tempfile.mkdtemp(), "plan.json")
            self.run_cairn("cluster", "reassign", "--topics", "t", "--to-brokers", "2,3,4", "--save", plan)
            self.cluster.brokers[3].pause()
            process = self.begin("cluster", "reassign", "--plan", plan, "--wait")
            self.wait_for("it is on its way", lambda: len(self.moving()) == 1)
            self.call("delete_topic", name="t")
            if again:
                self.create("t", 1)
            said, error = process.communicate(timeout=self.patience_s)
            self.assertEqual((process.returncode, said), (7, b""), error)
            self.assertRegex(error, b"(?s)error\\[PLAN_STALE\\].*(its topic was deleted|another move took its place)")
            self.cluster.brokers[3].resume()
            self.wait_all_up()
            if not again:
                self.create("t", 1)
                self.fill("t", 1)

    def test_a_move_that_is_taken_back_leaves_the_partition_as_it_was(self):
        self.create("t", 1)
        self.fill("t", 1)
        home = list(self.places("t")[0].replicas)
        self.add_broker()
        self.cluster.brokers[3].pause()
        self.call("move_partition", topic="t", partition=0, replicas=[4, *home[1:]])
        self.wait_for("its leader tells how far it is", lambda: [(move.told, move.learners) for move in self.moving()] == [(True, 1)])
        move = self.moving()[0]
        self.assertEqual((move.topic, move.partition, list(getattr(move, "from")), list(move.to)), ("t", 0, home, [4, *home[1:]]))
        self.assertGreater(move.bytes_to_go, 0)
        self.assertIn("4,%d,%d" % tuple(home[1:]), self.run_cairn("cluster", "moves"))
        (row,) = self.told("cluster", "work")
        self.assertEqual((row["kind"], row["topic"], row["partition"], row["undo"]), ("move", "t", 0, "cairn partition move t 0 --cancel"))
        self.assertGreater(row["bytes_to_go"], 0)
        self.assertIn("partition 0 of t moves from %d,%d,%d to 4,%d,%d" % (*home, *home[1:]), self.run_cairn("cluster", "work"))

        said = self.run_cairn("partition", "move", "t", "0", "--cancel", "--wait")
        self.assertRegex(said, "^partition 0 of t (is on|has moved to) %d,%d,%d" % tuple(home))
        self.assertEqual(list(self.places("t")[0].replicas), home)
        self.assertEqual(len(self.moving()), 0)
        self.assertIn("nothing is on its way", self.run_cairn("cluster", "moves"))
        self.assertIn("is not on its way", self.run_cairn("partition", "move", "t", "0", "--cancel"))
        for broker in home:
            self.assertEqual(cluster.read_all(self.cluster.brokers[broker - 1].address, "t", 0, 2), [b"first of 0", b"second"])
        self.call("append", topic="t", partition=0, batch=harness.batch(b"third"))


class RebalanceTest(ReassignCase):
    def test_a_new_broker_gets_its_share(self):
        for topic, partitions, replicas in (("a", 12, 3), ("b", 5, 2), ("c", 1, 1)):
            self.create(topic, partitions, replicas)
            self.fill(topic, partitions)
        self.add_broker()
        before = self.loads("abc")[0]
        plan = self.told("cluster", "rebalance", "--dry-run")
        self.assertEqual(plan["copies"], sum(before.values()) // 4)  # what it lacks, and nothing else
        self.assertIn("partitions are where they are to be", self.run_cairn("cluster", "rebalance", "--wait"))
        for topics in ("a", "b", "c", "abc"):
            self.assert_even(topics, [1, 2, 3, 4])
        self.assertIn("nothing is to move", self.run_cairn("cluster", "rebalance", "--wait"))
        self.assertIn("error[UNKNOWN_TOPIC]", self.run_cairn("cluster", "rebalance", "--topic", "d", code=3))


class PaceTest(ReassignCase):
    def test_a_move_goes_no_faster_than_it_may(self):
        self.create("t", 1)
        for _ in range(31):  # few, and large
            self.call("append", topic="t", partition=0, repeatable=False, batch=harness.batch(b"x" * 256000))
        self.add_broker()
        began = time.monotonic()
        process = self.begin("cluster", "reassign", "--topics", "t", "--to-brokers", "2,3,4", "--throttle", "2MiB", "--wait")
        self.wait_for("its leader tells how fast it goes", lambda: any(move.bytes_per_second > 0 for move in self.moving()))
        move = self.moving()[0]
        self.assertEqual(move.bytes_per_second_max, 2 << 20)
        self.assertEqual(process.wait(self.patience_s), 0, process.stderr.read())
        took_s = time.monotonic() - began
        self.assertGreater(took_s, 2.5)  # 7.6 MiB, of which the last one is paid for by nobody
        self.show("7.6 MiB at 2 MiB/s took %.1f s; told: %.1f MiB/s" % (took_s, move.bytes_per_second / (1 << 20)))


class AutoBalanceTest(ReassignCase):
    options = [*OPTIONS, "--auto-balance", "on", "--balance-after-ms", "1s"]

    def test_it_spreads_the_load_by_itself_when_everything_is_calm(self):
        self.create("t", 24)
        self.fill("t", 24)
        self.call("set_broker_standing", broker_id=2, standing=DRAINED)
        self.add_broker()
        for _ in range(30):
            self.assertEqual(len(self.moving()), 0, "a broker is drained, and something moves")
            time.sleep(0.1)
        self.call("set_broker_standing", broker_id=2, standing=IN)

        most = 0
        end = time.monotonic() + self.patience_s
        while max(self.loads("t")[0].values()) - min(self.loads("t")[0][broker] for broker in (1, 2, 3, 4)) > 1 or self.moving():
            most = max(most, len(self.moving()))
            self.assertLess(time.monotonic(), end, "it does not become even: %s" % self.loads("t")[0])
            time.sleep(0.02)
        self.assertLessEqual(most, 2)
        self.assert_even("t", [1, 2, 3, 4])


class SwitchTest(ReassignCase):
    def setUp(self):
        self.config = os.path.join(tempfile.mkdtemp(), "cairn.conf")
        self.switch("on")
        self.options = [*OPTIONS, "--balance-after-ms", "1s", "--config", self.config]
        super().setUp()

    def switch(self, wanted):
        with open(self.config, "w", encoding="utf-8") as file:
            file.write("auto-balance = %s\n" % wanted)

    def test_switched_off_it_begins_nothing_more(self):
        self.create("t", 60)
        self.add_broker()
        self.wait_for("it begins", lambda: len(self.moving()) > 0)
        self.switch("off")
        for broker in self.cluster.brokers:
            broker.process.send_signal(signal.SIGHUP)
        for broker in self.cluster.brokers:
            self.wait_for("it has read that", lambda: "event=settings_reloaded" in broker.said())
        self.wait_for("what has begun has arrived", lambda: len(self.moving()) == 0)
        replicas = self.loads("t")[0]
        self.assertLess(replicas[4], 40, "it was even before it was switched off")
        for _ in range(30):
            self.assertEqual(len(self.moving()), 0)
            time.sleep(0.1)
        self.assertEqual(self.loads("t")[0], replicas)

        self.switch("on")
        for broker in self.cluster.brokers:
            broker.process.send_signal(signal.SIGHUP)
        self.wait_for("it goes on", lambda: self.loads("t")[0][4] == 45 and not self.moving())
        self.assert_even("t", [1, 2, 3, 4])


if __name__ == "__main__":
    harness.main()
