"""Brokers that are drained, or leave the cluster for good, under load by stock gRPC clients."""

import json
import os
import shutil
import signal
import subprocess
import time

import grpc

import cluster
import harness
from admin_case import OPTIONS, AdminCase
from cairn.v1 import admin_pb2

PARTITIONS = 4
WORKERS = [cluster.Writer, cluster.Conditional, cluster.Looker, cluster.Reader]
IN, DRAINED, LEAVING, GONE = (
    admin_pb2.BROKER_STANDING_IN,
    admin_pb2.BROKER_STANDING_DRAINED,
    admin_pb2.BROKER_STANDING_LEAVING,
    admin_pb2.BROKER_STANDING_GONE,
)

DRAIN_S = 30


class StandingCase(AdminCase):
    newcomers = 1

    def create(self, topic, replicas=3):
        self.call("create_topic", name=topic, partitions=PARTITIONS, replicas=replicas)

    def spread(self, topic, broker):
        """Every partition gets a replica on it, and as many as before."""
        for place in self.call("describe_topic", name=topic).partitions:
            others = [other for other in place.replicas if other != broker]
            if len(others) == len(place.replicas):
                others.pop()
            self.call("move_partition", topic=topic, partition=place.partition, replicas=[broker, *others])
        self.wait_for("all is on %d" % broker, lambda: all(self.rests_on(place, broker) for place in self.call("describe_topic", name=topic).partitions))

    @staticmethod
    def rests_on(place, broker):
        return not place.moving_to and broker in place.replicas

    def standing(self, broker):
        """As whoever leads the map has it; GONE: it has no such broker any more."""
        try:
            return self.call("set_broker_standing", broker_id=broker, standing=IN, validate_only=True).broker.standing
        except RuntimeError as error:
            if "BROKER_GONE" not in str(error):
                raise
            return GONE

    def set_standing(self, broker, standing):
        self.assertEqual(self.call("set_broker_standing", broker_id=broker, standing=standing).broker.standing, standing)

    def leads(self, topic, broker):
        leaders = [self.call("describe_partition", topic=topic, partition=partition).leader_id for partition in range(PARTITIONS)]
        return leaders.count(broker)

    def map_leader(self):
        """The number of the broker that leads group 0, as another one knows it; None: unknown just now."""
        answer, failure = self.follower.once("describe_cluster", timeout=5)
        return None if failure or answer.controller_id == 0 else answer.controller_id

    def replicas_on(self, topic, broker):
        return [place for place in self.call("describe_topic", name=topic).partitions if broker in [*place.replicas, *place.moving_to]]

    def logs_of(self, broker):
        """Partitions that its directory has files of; group 0 is none."""
        return sorted(os.listdir(os.path.join(self.cluster.brokers[broker - 1].data, "p")))

    def forget(self, broker):
        """Whoever works from now on does not know it."""
        address = self.cluster.brokers[broker - 1].address
        self.follower = cluster.Follower([other for other in self.cluster.addresses if other != address])

    def check(self, topic, workers, without=()):
        cluster.join_all(workers)
        left = Left([broker.address for broker in self.cluster.brokers if broker not in without])
        return sum(joined.acknowledged() for joined in cluster.check_all(left, topic, PARTITIONS, workers))


class Left:
    """What is left of a cluster: all that cluster.check_all() wants of one."""

    def __init__(self, addresses):
        self.addresses = addresses


class DrainTest(StandingCase):
    def test_a_drained_broker_is_stopped_and_nobody_waits(self):
        self.create("t")
        self.spread("t", 2)
        self.wait_for("2 leads something", lambda: self.leads("t", 2) > 0)
        workers = cluster.start_workers(self.cluster, WORKERS, "t", PARTITIONS, self.chance)

        began = time.monotonic()
        self.set_standing(2, DRAINED)
        self.wait_for("2 leads nothing", lambda: self.leads("t", 2) == 0 and self.map_leader() not in (None, 2), DRAIN_S)
        drained_s = time.monotonic() - began
        self.assertEqual(len(self.replicas_on("t", 2)), PARTITIONS)

        before = [len(worker.history.appends) for worker in workers]
        self.assertEqual(self.cluster.brokers[1].stop(), 0)
        time.sleep(1)
        self.cluster.brokers[1].start()
        self.wait_for("2 is up", lambda: cluster.Follower([self.cluster.addresses[1]]).once("describe_cluster")[1] is None)
        unknown = [append for worker, count in zip(workers, before) for append in worker.history.appends[count:] if append.executed == "maybe"]
        self.assertEqual(unknown, [], "an append whose leader did not change has an outcome")
        self.assertEqual(self.leads("t", 2), 0, "it is still drained after a restart")

        self.set_standing(2, IN)
        for other in (1, 3, 4):
            self.set_standing(other, DRAINED)
        self.wait_for("2 leads all", lambda: self.leads("t", 2) == PARTITIONS)
        self.wait_for("2 leads the map", lambda: self.map_leader() == 2)
        acknowledged = self.check("t", workers)
        self.show("seed %d: drained in %.1f s, %d acknowledged, 0 lost, 0 duplicated, 0 reordered, 0 stale" % (cluster.SEED, drained_s, acknowledged))

    def test_what_nobody_else_has_stays_with_it(self):
        self.create("alone", replicas=1)
        broker = self.call("describe_topic", name="alone").partitions[0].replicas[0]
        self.set_standing(broker, DRAINED)
        time.sleep(2)
        self.assertEqual(self.call("describe_partition", topic="alone", partition=0).leader_id, broker)
        self.call("append", topic="alone", partition=0, batch=harness.batch(b"goes on"))


class DecommissionTest(StandingCase):
    def test_a_broker_leaves_under_load_while_the_leader_of_the_map_is_killed(self):
        self.create("t")
        self.spread("t", 3)
        workers = cluster.start_workers(self.cluster, WORKERS, "t", PARTITIONS, self.chance)
        self.set_standing(3, LEAVING)
        time.sleep(self.chance.uniform(0, 0.3))
        victim = self.cluster.brokers[(self.map_leader() or 1) - 1]
        if victim is not self.cluster.brokers[2]:
            victim.kill()
            time.sleep(self.chance.uniform(0.5, 1.5))
            victim.start()
        self.wait_for("3 is gone", lambda: self.standing(3) == GONE)
        self.assertEqual(self.replicas_on("t", 3), [])
        self.wait_for("its files are gone", lambda: self.logs_of(3) == [], 10)

        gone = self.cluster.brokers[2]
        self.forget(3)
        acknowledged = self.check("t", workers, without=[gone])
        self.come_back(gone)
        self.show("seed %d: %d acknowledged, 0 lost, 0 duplicated, 0 reordered, 0 stale" % (cluster.SEED, acknowledged))

    def come_back(self, gone):
        """With its old directory it is nobody; with an empty one it comes in again."""
        self.wait_for("it is told to stop", lambda: "reason=DIRECTORY_REPLACED" in gone.said())
        self.assertEqual(gone.stop(), 0)
        gone.start()
        self.wait_for("the old directory is told to stop", lambda: "reason=DIRECTORY_REPLACED" in gone.said())
        self.assertEqual(self.standing(3), GONE)
        self.create("u")
        self.assertEqual(self.replicas_on("u", 3), [])
        gone.kill()

        shutil.rmtree(gone.data)
        gone.start(timeout=self.patience_s)
        self.wait_for("3 is in again", lambda: self.standing(3) == IN)
        self.create("v", replicas=4)
        self.assertEqual(len(self.replicas_on("v", 3)), PARTITIONS)

    def test_a_dead_broker_is_replaced_from_the_others(self):
        self.create("t")
        self.spread("t", 4)
        values = [b"v%d" % i for i in range(50)]
        for sequence, value in enumerate(values):
            batch = harness.batch(value, first_sequence=sequence)
            self.call("append", topic="t", partition=0, producer="p", batch=batch)
        self.cluster.brokers[3].kill()
        self.forget(4)
        self.set_standing(4, LEAVING)
        self.wait_for("4 is gone", lambda: self.standing(4) == GONE)

        for place in self.call("describe_topic", name="t").partitions:
            self.assertEqual(sorted(place.replicas), [1, 2, 3])
        for broker in self.cluster.brokers[:3]:
            self.assertEqual(cluster.read_all(broker.address, "t", 0, len(values)), values)
        self.cluster.brokers[0].kill()  # those that replace it vote: without them nothing could be appended now
        self.call("append", topic="t", partition=0, batch=harness.batch(b"last"))
        self.cluster.brokers[0].start()

        late = self.cluster.brokers[3]  # its map has it still, and nobody would tell it anything
        late.start()
        self.wait_for("it is told to stop", lambda: "reason=DIRECTORY_REPLACED" in late.said())
        self.assertEqual(self.standing(4), GONE)

    def test_one_that_was_away_meanwhile_is_told(self):
        """It has nothing, so it is gone at once, and nobody speaks to it of the map any more."""
        away = self.cluster.brokers[3]
        away.pause()
        time.sleep(1.5)  # the others take it for dead, and keep nothing for it
        self.forget(4)
        self.set_standing(4, LEAVING)
        self.wait_for("4 is gone", lambda: self.standing(4) == GONE)
        away.resume()
        self.wait_for("it is told to stop", lambda: "reason=DIRECTORY_REPLACED" in away.said())

    def test_what_nobody_has_touched_since_a_restart_goes_too(self):
        self.create("quiet", replicas=1)
        for partition in range(PARTITIONS):
            self.call("append", topic="quiet", partition=partition, batch=harness.batch(b"kept"))
        for broker in self.cluster.brokers:
            self.assertEqual(broker.stop(), 0)
        for broker in self.cluster.brokers:
            broker.start(wait=False)
        for broker in self.cluster.brokers:
            broker.wait_ready()
        leaving = self.call("describe_topic", name="quiet").partitions[0].replicas[0]
        self.forget(leaving)
        self.set_standing(leaving, LEAVING)
        self.wait_for("it is gone", lambda: self.standing(leaving) == GONE)
        for partition in range(PARTITIONS):
            self.assertEqual(cluster.read_all(self.follower.addresses[0], "quiet", partition, 1), [b"kept"])

    def test_a_vote_that_the_map_needs_is_kept(self):
        """Of three that vote one is down, and so is the one that could vote in its place: without broker 3 the map could not go on."""
        self.create("t", replicas=1)
        for down in (2, 4):
            self.cluster.brokers[down - 1].kill()
        self.follower = cluster.Follower([self.cluster.addresses[0], self.cluster.addresses[2]])
        self.set_standing(3, LEAVING)
        self.wait_for("why it waits is said", lambda: any("its vote on the map is needed" in broker.said() for broker in self.up()))
        self.create("meanwhile", replicas=1)
        self.assertEqual(self.standing(3), LEAVING)
        self.cluster.brokers[3].start()
        self.forget(3)
        self.wait_for("3 is gone", lambda: self.standing(3) == GONE)

    def refusal(self, broker, validate_only=False):
        """Of a wish that it leaves: what whoever leads the map says."""
        end = time.monotonic() + self.patience_s
        while True:
            answer, failure = self.follower.once("set_broker_standing", timeout=5, broker_id=broker, standing=LEAVING, validate_only=validate_only)
            self.assertIsNone(answer, "it may leave")
            if failure.reason not in (None, "NOT_LEADER", "LOADING"):
                return failure
            self.assertLess(time.monotonic(), end, failure)

    def assert_names(self, failure, broker, *words):
        self.assertEqual((failure.code, failure.reason, failure.executed), (grpc.StatusCode.FAILED_PRECONDITION, "TOO_FEW_BROKERS", "no"))
        self.assertIn("broker %d" % broker, failure.text)
        for word in words:
            self.assertIn(word, failure.text)

    def test_it_is_refused_where_partitions_would_have_too_few_brokers(self):
        """Those are named; nothing is changed; and whoever leaves already counts for nobody."""
        self.create("t")
        self.create("wide", replicas=4)
        before = [list(place.replicas) for place in self.call("describe_topic", name="t").partitions]
        for validate_only in (True, False):
            self.assert_names(self.refusal(2, validate_only), 2, "wide/0 (4 replicas)", "wide/1 (4 replicas)", "3 brokers would be left")
        self.assertEqual([self.standing(broker) for broker in (1, 2, 3, 4)], [IN] * 4)
        self.assertEqual([list(place.replicas) for place in self.call("describe_topic", name="t").partitions], before)

        self.call("delete_topic", name="wide")
        self.set_standing(4, LEAVING)
        self.assert_names(self.refusal(3), 3, "t/0 (3 replicas)", "2 brokers would be left")  # 4 may still be there
        self.forget(4)
        self.wait_for("4 is gone", lambda: self.standing(4) == GONE)
        self.assert_names(self.refusal(3), 3, "t/0 (3 replicas)", "2 brokers would be left")
        self.assertEqual(self.standing(3), IN)
        for partition in range(PARTITIONS):
            self.call("append", topic="t", partition=partition, batch=harness.batch(b"goes on"))

    def up(self):
        return [broker for broker in self.cluster.brokers if broker.alive()]

    def test_what_goes_to_a_directory_that_is_lost_goes_to_the_next(self):
        self.create("t")
        self.spread("t", 3)
        taker = self.cluster.brokers[3]
        for attempt in range(5):
            if self.goes_to_paused("t", taker):
                break
            self.set_standing(3, IN)
            taker.resume()
            self.wait_all_up()
        else:
            self.fail("in %d attempts nothing was to go to a broker that stood still" % (attempt + 1))
        taker.resume()
        taker.kill()
        shutil.rmtree(taker.data)
        taker.start(timeout=self.patience_s)
        self.forget(3)
        self.wait_for("3 is gone", lambda: self.standing(3) == GONE)
        self.assertEqual(len(self.replicas_on("t", 4)), PARTITIONS)

    def goes_to_paused(self, topic, taker):
        """3 is to leave while `taker`, number 4, stands still. False: that was seen before anything was to go there."""
        taker.pause()
        self.set_standing(3, LEAVING)
        end = time.monotonic() + 5
        while time.monotonic() < end:
            if any(4 in place.moving_to for place in self.call("describe_topic", name=topic).partitions):
                return True
            time.sleep(0.05)
        return False


class MissedTest(StandingCase):
    options = [*OPTIONS, "--replace-after-ms", "1s"]

    def test_a_broker_that_is_missed_is_emptied_and_comes_back_empty(self):
        self.create("t")
        self.spread("t", 4)
        values = [b"v%d" % i for i in range(50)]
        for sequence, value in enumerate(values):
            self.call("append", topic="t", partition=0, producer="p", batch=harness.batch(value, first_sequence=sequence))
        missed = self.cluster.brokers[3]
        missed.kill()
        self.forget(4)

        self.wait_for("nothing is on 4", lambda: self.replicas_on("t", 4) == [])
        for place in self.call("describe_topic", name="t").partitions:
            self.assertEqual(sorted(place.replicas), [1, 2, 3])
        for broker in self.cluster.brokers[:3]:
            self.wait_for("it has everything", lambda: cluster.read_all(broker.address, "t", 0, len(values)) == values)

        missed.start()
        self.wait_for("its files are gone", lambda: self.logs_of(4) == [])
        self.assertEqual(self.standing(4), IN)

    def test_where_nobody_can_take_it_nothing_happens(self):
        self.create("t")
        for broker in self.cluster.brokers[2:]:
            broker.kill()
            self.forget(self.cluster.brokers.index(broker) + 1)
        time.sleep(3)
        for broker in self.cluster.brokers[2:]:
            broker.start()
        for partition in range(PARTITIONS):
            self.call("append", topic="t", partition=partition, batch=harness.batch(b"on"))


class CommandTest(StandingCase):
    """`cairn broker drain` and `decommission`, and what they say on the way."""

    def all_know_standing(self, broker, standing):
        return self.all_know(lambda told: (broker, standing) in [(one.id, one.standing) for one in told.brokers])

    def test_drain_and_undo(self):
        self.create("t")
        self.spread("t", 2)
        self.assertEqual(self.told("broker", "drain", "2", "--dry-run")["state"], "validated")
        self.assertEqual(self.standing(2), IN)
        self.assertEqual(self.run_cairn("broker", "drain", "2", "--wait"), "broker 2 is drained: it leads nothing that another broker could lead\n")
        self.assertEqual(self.leads("t", 2), 0)
        self.wait_for("all know that 2 is drained", lambda: self.all_know_standing(2, DRAINED))
        self.assertEqual([row["standing"] for row in self.told("broker", "list")], ["in", "drained", "in", "in"])
        self.assertIn("error[BROKER_DRAINED]", self.run_cairn("broker", "decommission", "2", "--undo", code=4))
        self.assertEqual(self.told("broker", "drain", "2", "--undo"), {"broker_id": 2, "standing": "in", "state": "in", "replicas": PARTITIONS})
        self.assertEqual(self.run_cairn("broker", "drain", "2", "--undo"), "broker 2 is \"in\" already\n")

    def test_a_drain_does_not_wait_for_what_nobody_else_can_lead(self):
        self.create("t")
        self.create("alone", replicas=1)
        alone = [place.replicas[0] for place in self.call("describe_topic", name="alone").partitions]
        said = self.run_cairn("broker", "drain", str(alone[0]), "--wait")
        self.assertIn("but for %d that nobody else could lead just now" % alone.count(alone[0]), said)

    def test_a_drain_does_not_wait_for_a_broker_without_a_vote_to_lead_the_map(self):
        self.wait_for("three votes are told", lambda: [row["votes"] for row in self.told("broker", "list")] == [True, True, True, False])
        last = self.call("describe_cluster").controller_id
        for voter in {1, 2, 3} - {last}:
            self.run_cairn("broker", "drain", str(voter))
        self.assertIn("but for 1 that nobody else could lead just now", self.run_cairn("broker", "drain", str(last), "--wait"))

    def test_decommission_waits_and_can_be_interrupted_and_undone(self):
        self.create("t")
        self.spread("t", 4)
        self.cluster.brokers[0].kill()  # what is to go there waits for it
        self.follower = cluster.Follower(self.cluster.addresses[1:])
        process = self.begin("broker", "decommission", "4", "--wait")
        self.wait_for("4 is leaving", lambda: self.standing(4) == LEAVING)
        process.send_signal(signal.SIGINT)
        said, error = process.communicate(timeout=self.patience_s)
        self.assertEqual((process.returncode, said), (130, b""), error)
        self.assertIn(b"error[INTERRUPTED]", error)
        self.assertIn(b"it goes on", error)

        self.assertIn("error[BROKER_LEAVES]", self.run_cairn("broker", "drain", "4", code=4))
        self.assertEqual(self.told("broker", "decommission", "4", "--undo")["standing"], "in")
        self.cluster.brokers[0].start()
        said = self.run_cairn("broker", "decommission", "4", "--wait")
        self.assertEqual(said, "broker 4 is gone: it has no replica any more, and can be stopped\n")
        self.assertEqual(self.run_cairn("broker", "decommission", "4"), "broker 4 is gone already\n")
        self.assertEqual(self.told("broker", "decommission", "4")["state"], "gone")
        self.assertIn("error[NOT_FOUND]", self.run_cairn("broker", "drain", "4", code=3))

    def test_one_that_is_gone_sends_on(self):
        """It never hears what became of it by the log, and what it has is old."""
        leaving = self.cluster.brokers[3]
        self.follower = cluster.Follower([leaving.address, *self.cluster.addresses[:3]])
        said = self.run_cairn("broker", "decommission", "4", "--wait")
        self.assertEqual(said, "broker 4 is gone: it has no replica any more, and can be stopped\n")
        self.wait_for("it is told", lambda: "reason=DIRECTORY_REPLACED" in leaving.said())
        self.wait_for("the list says so", lambda: [row["standing"] for row in self.told("broker", "list")] == ["in", "in", "in", "gone"])
        self.assertEqual(leaving.said().count("reason=DIRECTORY_REPLACED"), 1)

    def health(self, code):
        done = subprocess.run(self.command("-o", "json", "cluster", "health"), capture_output=True, timeout=self.patience_s)
        return json.loads(done.stdout) if done.returncode == code else None

    def test_health_is_in_the_exit_code(self):
        self.create("t")
        self.spread("t", 4)
        self.create("alone", replicas=1)
        self.wait_for("all know both topics", lambda: self.all_know(lambda told: told.topics == 2 and told.partitions_moving == 0))
        self.wait_for("all is well", lambda: self.health(0))
        well = self.health(0)
        self.assertEqual((well["health"], well["brokers"], well["brokers_down"], well["topics"], well["partitions"]), ("ok", 4, 0, 2, 2 * PARTITIONS))
        alone = [place.replicas[0] for place in self.call("describe_topic", name="alone").partitions].count(4)

        self.cluster.brokers[3].kill()
        self.forget(4)
        code = 6 if alone else 7
        self.wait_for("4 is missed", lambda: (self.health(code) or {}).get("brokers_down") == 1)
        missed = self.health(code)
        self.assertEqual((missed["partitions_short_of_replicas"], missed["partitions_without_quorum"]), (PARTITIONS, alone))
        self.assertEqual(missed["health"], "unavailable" if alone else "degraded")
        self.assertIn("brokers     4: 1 down, 0 drained, 0 leaving", self.run_cairn("cluster", "status"))
        self.assertEqual([row["liveness"] for row in self.told("broker", "list")], ["up", "up", "up", "down"])

        self.cluster.brokers[3].start()
        self.wait_for("all is well again", lambda: self.health(0))

    def test_work_says_what_is_left_what_is_in_the_way_and_how_it_is_taken_back(self):
        self.create("t")
        for partition in range(PARTITIONS):
            self.call("move_partition", topic="t", partition=partition, replicas=[4, 2, 3])
        self.assertEqual(self.run_cairn("cluster", "work", "--wait"), "nothing is under way\n")
        self.assertEqual([list(place.replicas) for place in self.call("describe_topic", name="t").partitions], [[4, 2, 3]] * PARTITIONS)
        self.cluster.brokers[0].kill()  # there is nobody else to take what 4 has
        self.forget(1)
        self.wait_all_up(3)
        self.run_cairn("broker", "decommission", "4")

        def rows():
            return self.told("cluster", "work")

        self.wait_for("it says what is in the way", lambda: any(row["kind"] == "decommission" and row["stuck"] for row in rows()))
        (row,) = rows()
        told = {field: row[field] for field in ("kind", "broker_id", "replicas", "moving", "bytes_per_second", "seconds_left")}
        self.assertEqual(told, {"kind": "decommission", "broker_id": 4, "replicas": PARTITIONS, "moving": 0, "bytes_per_second": 0, "seconds_left": None})
        self.assertRegex(row["stuck"], r"^partition \d of t: there is no other broker for it: start one, or let this one stay$")
        said = self.run_cairn("cluster", "work")
        self.assertIn("broker 4 leaves: %d replicas left, 0 on their way" % PARTITIONS, said)
        self.assertIn("broker 4 waits: " + row["stuck"], said)
        self.assertIn(row["undo"], said)

        self.assertEqual(row["undo"], "cairn broker decommission 4 --undo")
        self.run_cairn(*row["undo"].split()[1:])  # as it is told
        self.assertEqual(self.run_cairn("cluster", "work"), "nothing is under way\n")

        self.cluster.brokers[0].start()
        self.run_cairn("broker", "decommission", "4")
        self.assertEqual(self.run_cairn("cluster", "work", "--wait"), "nothing is under way\n")
        self.assertEqual(self.standing(4), GONE)

    def test_too_few_brokers_would_be_left(self):
        self.create("narrow", replicas=4)
        error = self.run_cairn("broker", "decommission", "2", code=4)
        self.assertIn("error[TOO_FEW_BROKERS]: broker 2 cannot leave", error)
        self.assertIn("narrow/0 (4 replicas), narrow/1 (4 replicas), narrow/2 (4 replicas), ...: 3 brokers would be left", error)
        self.assertIn("try: start another broker", error)
        self.assertIn("error[NOT_FOUND]", self.run_cairn("broker", "decommission", "9", code=3))
        self.assertEqual(self.standing(2), IN)


if __name__ == "__main__":
    harness.main()
