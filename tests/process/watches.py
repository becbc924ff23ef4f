"""Watches of the map by stock gRPC clients that keep what they are told, and hold it to the promise that nothing is left out."""

import threading
import time

import grpc

import harness
from cairn.v1 import admin_pb2

PATIENCE_S = 60  # a bound on what waits, not a promise
CURRENT_S = 1.0  # within which a watcher hears of a change


class View:
    """The map as somebody has it who does no more than he is told."""

    def __init__(self):
        self.version, self.whole, self.begun, self.cluster = 0, False, 0, ""
        self.topics, self.brokers, self.level = {}, {}, 1
        self.heard = {}  # version -> when

    def take(self, answer):
        if answer.begins:
            self.topics, self.brokers, self.level = {}, {}, 1
            self.begun += 1
            assert answer.follows == 0, answer.follows
        else:
            assert answer.follows == self.version, "%d follows %d" % (answer.follows, self.version)
        assert answer.version >= answer.follows
        newest = answer.follows
        for change in answer.changes:
            assert change.version > newest or answer.begins, "%d after %d" % (change.version, newest)
            newest = max(newest, change.version)
            self.change(change)
        self.version, self.whole, self.cluster = answer.version, not answer.partial, answer.cluster_id
        now = time.monotonic()
        for version in range(answer.follows + 1, answer.version + 1):
            self.heard.setdefault(version, now)

    def change(self, change):
        if change.HasField("broker"):
            self.brokers[change.broker.id] = (change.broker.advertised, change.broker.standing)
        elif change.kind == admin_pb2.CLUSTER_CHANGE_KIND_TOPIC_DELETED:
            self.topics.pop(change.topic.id, None)
        elif change.kind == admin_pb2.CLUSTER_CHANGE_KIND_FEATURE_LEVEL:
            assert change.feature_level > self.level, "level %d after %d" % (change.feature_level, self.level)
            self.level = change.feature_level
        else:
            topic = self.topics.setdefault(change.topic.id, {"partitions": {}})
            topic["name"], topic["retention"] = change.topic.name, change.topic.config.retention_ms
            for place in change.partitions:
                topic["partitions"][place.partition] = (list(place.replicas), list(place.moving_to))
            assert sorted(topic["partitions"]) == list(range(change.topic.partitions))

    def map(self):
        return self.level, self.brokers, {topic["name"]: topic for topic in self.topics.values()}


class Watcher(threading.Thread):
    """Watches until it is stopped, or its broker ends it."""

    def __init__(self, address, view=None, **request):
        super().__init__(daemon=True)
        self.view = view or View()
        self.client = harness.Client(address)
        self.call = self.client.watch_cluster(admin_pb2.WatchClusterRequest(**request))
        self.changed = threading.Condition()
        self.error = self.wrong = None
        self.messages = 0
        self.start()

    def run(self):
        try:
            for answer in self.call:
                with self.changed:
                    self.view.take(answer)
                    self.messages += 1
                    self.changed.notify_all()
        except grpc.RpcError as error:
            self.error = error
        except AssertionError as error:
            self.wrong = error
        with self.changed:
            self.changed.notify_all()

    def wait(self, holds, timeout=PATIENCE_S):
        with self.changed:
            held = self.changed.wait_for(lambda: self.wrong or self.error or holds(self.view), timeout)
        if self.wrong:
            raise self.wrong
        if self.error:
            raise RuntimeError("the watch ended: %s" % harness.Failure(self.error))
        if not held:
            raise RuntimeError("in vain: at version %d" % self.view.version)
        return self.view

    def wait_version(self, version):
        return self.wait(lambda view: view.whole and view.version >= version)

    def stop(self):
        self.call.cancel()
        self.join(PATIENCE_S)
        self.client.close()
