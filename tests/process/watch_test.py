"""Watches of the map by stock gRPC clients, and by cairn: nothing is left out, whatever fails in between.

TEST_CHANGES sets how many changes somebody misses (in the suite 2,000; before a release 10,000), TEST_SEED the seed.
"""

import json
import os
import re
import signal
import struct
import subprocess
import tempfile
import threading
import time

import grpc

import harness
import http2
from admin_case import OPTIONS, AdminCase
from cairn.v1 import admin_pb2
from watches import CURRENT_S, PATIENCE_S, View, Watcher

CHANGES = int(os.environ.get("TEST_CHANGES", "2000"))  # that somebody misses
STALLED_S = 600  # longer than anybody stalls


class WatchCase(AdminCase):
    def watch(self, broker=0, **request):
        watcher = Watcher(self.cluster.brokers[broker].address, **request)
        self.addCleanup(watcher.stop)
        return watcher

    def truth(self):
        """The map, asked of whoever leads it, as View.map() has it."""
        topics, token = {}, ""
        while True:
            page = self.call("list_topics", page_token=token)
            for topic in page.topics:
                places = self.call("describe_topic", name=topic.name).partitions
                partitions = {place.partition: (list(place.replicas), list(place.moving_to)) for place in places}
                topics[topic.name] = {"name": topic.name, "retention": topic.config.retention_ms, "partitions": partitions}
            token = page.next_page_token
            if not token:
                break
        now = self.call("describe_cluster")
        brokers = {broker.id: (broker.advertised, broker.standing) for broker in now.brokers}
        return now.feature_level, brokers, topics

    def has_the_truth(self, watcher):
        """Nothing is under way any more."""
        self.wait_for("no partition moves", lambda: not any(move for topic in self.truth()[2].values() for _, move in topic["partitions"].values()))
        truth = self.truth()
        watcher.wait(lambda view: view.whole and view.map() == truth)

    def stir(self, rounds):
        """Changes of all kinds."""
        for _ in range(rounds):
            name = "t%d" % self.chance.randrange(4)
            what = self.chance.randrange(6)
            try:
                if what == 0:
                    self.call("create_topic", name=name, partitions=self.chance.randint(1, 3))
                elif what == 1:
                    self.call("delete_topic", name=name)
                elif what == 2:
                    partitions = len(self.call("describe_topic", name=name).partitions)
                    self.call("add_partitions", topic=name, partitions=partitions + 1)
                elif what == 3:
                    self.call("move_partition", topic=name, partition=0, replicas=self.chance.sample([1, 2, 3], 2))
                else:
                    self.alter(name, self.chance.randrange(10**6))
            except RuntimeError as error:
                if "UNKNOWN_TOPIC" not in str(error) and "TOPIC_EXISTS" not in str(error):
                    raise

    def alter(self, name, retention_ms):
        self.call("alter_topic", name=name, config=admin_pb2.TopicConfig(retention_ms=retention_ms))

    def alter_often(self, name, count):
        """As many changes as fast as they can be had: several on their way at a time."""
        leader = next(broker for broker in self.call("describe_cluster").brokers if broker.controller).advertised
        with harness.Client(leader) as client:
            method, under_way = client.alter_topic.method, []

            def end():
                for future in under_way:
                    if future.exception() is not None:  # another one leads by now
                        self.alter(name, 0)
                under_way.clear()

            for i in range(count):
                config = admin_pb2.TopicConfig(retention_ms=i)
                under_way.append(method.future(admin_pb2.AlterTopicRequest(name=name, config=config), timeout=PATIENCE_S))
                if len(under_way) == 200:
                    end()
            end()


class ChangesTest(WatchCase):
    def test_every_broker_tells_of_every_change_within_a_second(self):
        watchers = [self.watch(i) for i in range(3)]
        for watcher in watchers:
            self.assertTrue(watcher.wait(lambda view: view.whole).cluster)
        late = []
        for i in range(30):
            self.call("create_topic", name="fresh%d" % i) if i % 3 == 0 else self.alter("fresh0", i)
            answered = time.monotonic()
            version = max(watcher.view.version for watcher in watchers)
            for watcher in watchers:
                watcher.wait(lambda view, i=i: self.has_heard(view, i))
                late.append(time.monotonic() - answered)
            self.assertGreaterEqual(max(watcher.view.version for watcher in watchers), version)
        late.sort()
        self.show("heard of a change %.0f ms after its answer (median), %.0f ms at most" % (late[len(late) // 2] * 1000, late[-1] * 1000))
        self.assertLess(late[len(late) // 2], CURRENT_S)
        self.assertLess(late[-1], self.cluster.brokers[0].bound(CURRENT_S))
        self.stir(40)
        for watcher in watchers:
            self.has_the_truth(watcher)
            self.assertEqual(watcher.view.begun, 1)

    @staticmethod
    def has_heard(view, i):
        topics = view.map()[2]
        return "fresh%d" % i in topics if i % 3 == 0 else topics["fresh0"]["retention"] == i

    def test_a_watch_goes_on_at_another_broker_when_its_own_is_killed(self):
        watcher = self.watch(0)
        watcher.wait(lambda view: view.whole)
        self.stir(20)
        self.cluster.brokers[0].kill()
        watcher.join(PATIENCE_S)
        self.assertEqual(watcher.error.code(), grpc.StatusCode.UNAVAILABLE)
        self.stir(20)
        view = watcher.view
        again = Watcher(self.cluster.brokers[1].address, view=view, from_version=view.version, cluster_id=view.cluster)
        self.addCleanup(again.stop)
        self.stir(20)
        self.cluster.brokers[0].start()  # or what moves might stay on its way
        self.has_the_truth(again)
        self.assertEqual(view.begun, 1)  # each was told, and none had to be told anew
        self.assertEqual(sorted(view.heard), list(range(min(view.heard), view.version + 1)))

    def test_of_some_topics_only(self):
        self.call("create_topic", name="mine")
        self.call("create_topic", name="other")
        watcher = self.watch(2, topics=["mine", "later"])
        watcher.wait(lambda view: view.whole)
        self.assertEqual(list(watcher.view.map()[2]), ["mine"])
        self.alter("other", 5)
        self.call("create_topic", name="later", partitions=2)
        watcher.wait(lambda view: "later" in view.map()[2])
        self.assertEqual(sorted(watcher.view.map()[2]), ["later", "mine"])
        self.assertEqual(sorted(watcher.view.brokers), [1, 2, 3])

    def test_quiet_is_not_dead(self):
        watcher = self.watch(1)
        version = watcher.wait(lambda view: view.whole).version
        before = watcher.messages
        self.wait_for("two words in silence", lambda: watcher.messages >= before + 2, patience_s=15)
        self.assertEqual(watcher.view.version, version)

    def test_what_makes_no_sense_is_refused(self):
        with harness.Client(self.cluster.brokers[0].address) as client:

            def watch(**fields):
                return next(iter(client.watch_cluster(admin_pb2.WatchClusterRequest(**fields), timeout=10)))

            version = watch().version
            self.refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID", watch, topics=["t%d" % i for i in range(101)])
            self.refused(grpc.StatusCode.INVALID_ARGUMENT, "BAD_NAME", watch, topics=["no/name"])
            self.refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID", watch, from_version=version, from_now=True)
            self.refused(grpc.StatusCode.FAILED_PRECONDITION, "FOREIGN", watch, from_version=version, cluster_id="0" * 32)
            now = watch(from_now=True)
            self.assertEqual((now.follows, now.begins, len(now.changes)), (now.version, False, 0))
            self.assertEqual(sorted(now.addresses), sorted(self.cluster.addresses))

    def test_a_version_that_never_was_is_answered_by_who_knows_it(self):
        leader = next(broker for broker in self.call("describe_cluster").brokers if broker.controller).advertised
        for address in self.cluster.addresses:
            with harness.Client(address) as client:

                def watch(client=client):
                    return next(iter(client.watch_cluster(admin_pb2.WatchClusterRequest(from_version=10**9), timeout=20)))

                if address == leader:
                    self.assertTrue(watch().begins)  # it has everything that was decided, and this was not
                else:
                    failure = self.refused(grpc.StatusCode.UNAVAILABLE, "NOT_LEADER", watch)
                    self.assertEqual(failure.leader, leader)


class DisconnectedTest(WatchCase):
    def prepare(self):
        self.cluster.brokers[2].options += ["--map-history-changes", "64"]

    def test_who_missed_thousands_of_changes_has_the_map(self):
        self.call("create_topic", name="t0")
        watcher = self.watch(0)
        watcher.wait(lambda view: "t0" in view.map()[2])
        watcher.stop()
        view, missed_from = watcher.view, watcher.view.version
        began = time.monotonic()
        self.alter_often("t0", CHANGES)
        made = time.monotonic() - began
        self.stir(10)
        self.call("create_topic", name="last")  # no map before it is like the one that has it
        took = []
        for broker, anew in ((1, False), (2, True)):  # one has all of them, one does not
            mine = View()
            mine.__dict__.update({**view.__dict__, "topics": {key: {**topic, "partitions": dict(topic["partitions"])} for key, topic in view.topics.items()}, "brokers": dict(view.brokers), "heard": {}})
            began = time.monotonic()
            again = Watcher(self.cluster.brokers[broker].address, view=mine, from_version=missed_from, cluster_id=view.cluster)
            self.addCleanup(again.stop)
            again.wait_version(missed_from + CHANGES)
            took.append(time.monotonic() - began)
            self.has_the_truth(again)
            self.assertEqual(mine.begun, 2 if anew else 1)
            self.assertGreaterEqual(mine.version, missed_from + CHANGES)
            if not anew:
                self.assertEqual(sorted(mine.heard), list(range(missed_from + 1, mine.version + 1)))
        self.show(
            "%d changes made in %.1f s, and missed: told one by one in %.2f s by who has them, the whole map in %.2f s by who has not"
            % (CHANGES, made, *took)
        )


class Stalled(http2.Connection):
    """A watcher that takes `window` bytes and no more, until it opens it. That it is there it says, however long it hears nothing."""

    def __init__(self, address, window):
        self.bytes = b""
        super().__init__(address, settings=struct.pack(">HI", http2.INITIAL_WINDOW_SIZE, window), timeout=STALLED_S)
        self.send(http2.headers(self, 1, "Admin/WatchCluster"))
        self.send_data(1, [admin_pb2.WatchClusterRequest().SerializeToString()], end=True)

    def _take(self, kind, flags, stream, payload):
        if kind == http2.DATA:
            with self.changed:
                self.bytes += payload
        if kind == http2.PING and not flags & http2.ACK:
            self.send(http2.frame(http2.PING, http2.ACK, 0, payload))
        super()._take(kind, flags, stream, payload)

    def open(self):
        for stream in (0, 1):
            self.send(http2.frame(http2.WINDOW_UPDATE, 0, stream, struct.pack(">I", 1 << 28)))

    def answers(self):
        """Those that have come as a whole."""
        answers, at = [], 0
        with self.changed:
            while at + 5 <= len(self.bytes):
                size = int.from_bytes(self.bytes[at + 1 : at + 5], "big")
                if at + 5 + size > len(self.bytes):
                    break
                answers.append(admin_pb2.WatchClusterResponse.FromString(self.bytes[at + 5 : at + 5 + size]))
                at += 5 + size
        return answers


class BoundsTest(WatchCase):
    options = [*OPTIONS, "--map-watches-max", "4", "--map-history-changes", "64"]

    def prepare(self):
        self.cluster.brokers[0].environment.update(harness.MEASURED)

    def test_a_slow_watcher_costs_nothing_and_gets_the_whole_map(self):
        self.call("create_topic", name="t0")
        stalled = Stalled(self.cluster.brokers[0].address, 64)
        self.addCleanup(stalled.close)
        other = self.watch(0)
        before = self.cluster.brokers[0].resident_bytes()
        self.alter_often("t0", 3000)
        self.stir(10)
        self.has_the_truth(other)
        grown = self.cluster.brokers[0].resident_bytes() - before
        self.show("%.1f MiB more resident after 3,000 changes that one watcher did not take" % (grown / (1 << 20)))
        self.assertLess(grown, self.cluster.brokers[0].bound(16 << 20))
        self.assertEqual(stalled.answers(), [])
        stalled.open()
        truth = self.truth()

        def has_it():
            self.assertFalse(stalled.closed, "the broker has ended the connection")
            view = View()
            for answer in stalled.answers():
                view.take(answer)
            return view.whole and view.map() == truth and view.begun >= 2

        self.wait_for("the slow one has the map", has_it)

    def test_too_many_are_refused_and_there_is_room_again(self):
        watchers = [self.watch(0) for _ in range(4)]
        for watcher in watchers:
            watcher.wait(lambda view: view.whole)
        fifth = self.watch(0)
        fifth.join(PATIENCE_S)
        failure = harness.Failure(fifth.error)
        self.assertEqual((failure.code, failure.reason, failure.executed), (grpc.StatusCode.RESOURCE_EXHAUSTED, "BUSY", "no"))
        self.assertIn("map-watches-max", failure.text)
        self.watch(1).wait(lambda view: view.whole)  # another broker has room
        watchers[0].stop()
        self.wait_for("room for one more", lambda: self.gets_in())

    def gets_in(self):
        watcher = self.watch(0)
        try:
            watcher.wait(lambda view: view.whole)
            return True
        except RuntimeError:
            return False

    def test_a_broker_that_stops_waits_for_no_watcher(self):
        stalled = Stalled(self.cluster.brokers[0].address, 64)
        self.addCleanup(stalled.close)
        watcher = self.watch(0)
        watcher.wait(lambda view: view.whole)
        time.sleep(0.5)  # the stalled one has been told something
        bound = self.cluster.brokers[0].bound(5)
        began = time.monotonic()
        self.assertEqual(self.cluster.brokers[0].stop(), 0)
        took = time.monotonic() - began
        self.show("stopped in %.1f s, drain-ms is 10 s" % took)
        self.assertLess(took, bound)
        watcher.join(PATIENCE_S)
        failure = harness.Failure(watcher.error)
        self.assertEqual((failure.code, failure.reason, failure.executed), (grpc.StatusCode.UNAVAILABLE, "DRAINING", "no"))


class CairnTest(WatchCase):
    """The command, which is the C library."""

    def cairn(self, *words, **how):
        environment = dict(os.environ, CAIRN_SERVER=self.cluster.brokers[0].address)
        output = tempfile.NamedTemporaryFile()
        process = subprocess.Popen([harness.CAIRN, *words], stdout=output, stderr=subprocess.PIPE, env=environment, **how)

        def said():
            with open(output.name) as file:
                return file.read()

        process.said = said
        self.addCleanup(output.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    def interrupt(self, process):
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)
        return process.stderr.read().decode()

    def test_cluster_watch_goes_on_over_a_broker_that_dies(self):
        lines = self.cairn("cluster", "watch", "--from", "0")
        objects = self.cairn("cluster", "watch", "--json", "--topic", "seen,later")
        self.wait_for("the whole map", lambda: "that was the whole map" in lines.said())
        time.sleep(1)
        self.call("create_topic", name="seen", partitions=2)
        self.call("create_topic", name="unseen")
        self.wait_for("a line", lambda: "topic unseen created" in lines.said())
        self.cluster.brokers[0].kill()
        self.call("create_topic", name="later")
        self.call("delete_topic", name="seen")
        self.wait_for("the rest", lambda: "topic seen deleted" in lines.said() and "topic_deleted" in objects.said())
        versions = [int(line.split()[0]) for line in lines.said().splitlines()]
        self.assertEqual(versions, sorted(versions))
        told = [json.loads(line) for line in objects.said().splitlines()]
        topics = [(one["change"], one["topic"]["name"]) for one in told if "topic" in one]
        self.assertEqual(topics, [("topic_created", "seen"), ("topic_created", "later"), ("topic_deleted", "seen")])
        self.assertEqual(len(told[0]["partitions"]), 2)
        where = re.search(r"it goes on with --from (\d+)", self.interrupt(lines))
        self.assertEqual(int(where.group(1)), versions[-1])
        self.interrupt(objects)
        self.assertEqual(lines.returncode, 130)

    def test_an_open_producer_and_a_follower_see_partitions_that_come(self):
        self.call("create_topic", name="grows", partitions=1)
        reader = self.cairn("read", "grows", "--follow", "-f", "%p\\n")
        writer = self.cairn("append", "grows", stdin=subprocess.PIPE)
        stop = threading.Event()

        def write():
            while not stop.is_set():
                writer.stdin.write(b"x\n")
                writer.stdin.flush()
                time.sleep(0.01)

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        self.addCleanup(stop.set)
        self.wait_for("records of partition 0", lambda: "0" in reader.said().split())
        self.call("add_partitions", topic="grows", partitions=4)
        grown = time.monotonic()
        self.wait_for("records of all partitions", lambda: set(reader.said().split()) == {"0", "1", "2", "3"})
        self.show("all new partitions were written and read %.1f s after the topic grew" % (time.monotonic() - grown))
        stop.set()
        thread.join()
        writer.stdin.close()
        self.assertEqual(writer.wait(PATIENCE_S), 0)
        self.interrupt(reader)


if __name__ == "__main__":
    harness.main()
