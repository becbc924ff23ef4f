"""Several brokers, one cluster, as processes; and workers that use it as a careful application with a stock gRPC client does."""

import os
import random
import socket
import threading
import time

# Whoever gets refusals at once, again and again, never waits inside the transport; only this then looks whether a connection was made.
os.environ["GRPC_CLIENT_CHANNEL_BACKUP_POLL_INTERVAL_MS"] = "50"

import grpc

import harness
import history
from history import MAYBE, NO, YES

SEED = int(os.environ.get("TEST_SEED", "1"))
CALL_S = 1.0  # how long one call may take; a broker that stands still is found out by it
DONE = {"create_topic": "TOPIC_EXISTS", "delete_topic": "UNKNOWN_TOPIC"}  # what says that a call that nobody answered was executed


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Cluster:
    """`hosts`: an address for each broker, with the command that runs a process there; by default all on the loopback. `data`: a
    directory for each."""

    def __init__(self, count=3, options=(), hosts=None, data=None):
        hosts = hosts or [("127.0.0.1", ())] * count
        ports = free_ports(2 * count)
        peers = ["%s:%d" % (host, ports[2 * i + 1]) for i, (host, _) in enumerate(hosts)]
        join = ",".join("%d=%s" % (i + 1, peer) for i, peer in enumerate(peers))
        beyond = [] if all(host == "127.0.0.1" for host, _ in hosts) else ["--insecure"]
        self.brokers = [
            harness.Broker(
                data=data and data[i],
                options=["--broker-id", str(i + 1), "--peer-listen", peers[i], "--join", join, *beyond, *options],
                address="%s:%d" % (host, ports[2 * i]),
                prefix=prefix,
            )
            for i, (host, prefix) in enumerate(hosts)
        ]
        self.addresses = [broker.address for broker in self.brokers]

    def move(self, i):
        """To other ports of its machine; while it is down."""
        broker, (client, peer) = self.brokers[i], free_ports(2)
        host = broker.address.rpartition(":")[0]
        join = broker.options.index("--join") + 1
        brokers = dict(one.split("=") for one in broker.options[join].split(","))
        brokers[str(i + 1)] = "%s:%d" % (host, peer)
        broker.options[join] = ",".join("%s=%s" % one for one in brokers.items())
        broker.options[broker.options.index("--peer-listen") + 1] = brokers[str(i + 1)]
        broker.address = self.addresses[i] = "%s:%d" % (host, client)

    def add(self, options=()):
        """A broker more, with an empty directory, that is told of the others; not started."""
        client, peer = free_ports(2)
        known = self.brokers[0].options
        join = known[known.index("--join") + 1]
        number = ["--broker-id", str(len(self.brokers) + 1), "--peer-listen", "127.0.0.1:%d" % peer, "--join", join]
        broker = harness.Broker(options=[*number, *options], address="127.0.0.1:%d" % client)
        self.brokers.append(broker)
        self.addresses.append(broker.address)
        return broker

    def start(self, timeout=60):
        for broker in self.brokers:
            broker.start(wait=False)
        for broker in self.brokers:
            broker.wait_ready(timeout)
        return self

    def close(self):
        for broker in self.brokers:
            broker.close()

    def close_after(self, case):
        """As a test's cleanup: when it failed, what the brokers said is shown first."""
        if case.failed():
            for broker in self.brokers:
                broker.tell()
        self.close()

    def broker_at(self, address):
        return self.brokers[self.addresses.index(address)]

    def leader(self, topic, partition=0, timeout=30):
        """The broker that leads a partition."""
        end = time.monotonic() + timeout
        while True:
            try:
                return self.broker_at(Follower(self.addresses).call("describe_partition", topic=topic, partition=partition).leader)
            except (grpc.RpcError, ValueError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)


class Case(harness.Case):
    """Three brokers with these `options`, who calls them, and chance of the test's own: TEST_SEED sets it."""

    options = ()

    def setUp(self):
        self.chance = random.Random("%d %s" % (SEED, self.id()))
        self.cluster = Cluster(3, options=self.options)
        self.addCleanup(self.cluster.close_after, self)
        self.prepare()
        self.cluster.start()
        self.follower = Follower(self.cluster.addresses)

    def prepare(self):
        """Before the brokers start."""


class Follower:
    """Calls whoever leads: takes the leader's address from refusals, and tries the next broker when one does not answer. Sends again only what
    surely was not executed, or what is told to be repeatable."""

    channels = {}  # shared: address -> Client
    lock = threading.Lock()

    def __init__(self, addresses, first=0):
        self.addresses = list(addresses)
        self.address = self.addresses[first % len(self.addresses)]

    @classmethod
    def client(cls, address):
        with cls.lock:
            if address not in cls.channels:
                options = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.min_reconnect_backoff_ms", 2000), ("grpc.max_reconnect_backoff_ms", 500)]
                cls.channels[address] = harness.Client(address, options=options)
            return cls.channels[address]

    def next(self):
        at = self.addresses.index(self.address) if self.address in self.addresses else -1
        self.address = self.addresses[(at + 1) % len(self.addresses)]

    def go_to(self, leader, reason):
        """After a refusal: where it says that the leader is, or somewhere else when this one cannot serve."""
        if leader and leader != self.address:
            self.address = leader
        elif reason in (None, "NOT_LEADER", "LOADING", "DRAINING", "FENCED"):
            self.next()

    def once(self, method, timeout=CALL_S, **fields):
        """(answer, None), or (None, failure)."""
        try:
            return getattr(self.client(self.address), method)(timeout=timeout, **fields), None
        except grpc.RpcError as error:
            failure = harness.Failure(error)
            self.go_to(failure.leader, failure.reason)
            return None, failure

    def call(self, method, patience=30, repeatable=True, **fields):
        """The answer. None: it is done, by a call that was not answered."""
        end, unanswered = time.monotonic() + patience, False
        while True:
            answer, failure = self.once(method, **fields)
            if failure is None or (unanswered and failure.reason == DONE.get(method, "")):
                return answer
            unanswered |= failure.executed != "no"
            retry = failure.code == grpc.StatusCode.UNAVAILABLE or failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED
            retry = retry or failure.reason in (None, "UNKNOWN_OUTCOME", "DEADLINE")
            safe = repeatable or failure.executed == "no"
            if not retry or not safe or time.monotonic() > end:
                raise RuntimeError("%s: %s" % (method, failure))
            time.sleep(0.02)


class Worker(threading.Thread):
    """Works on one partition until stop(), and keeps its history."""

    def __init__(self, cluster, topic, partition, name, seed):
        super().__init__(daemon=True)
        self.follower = Follower(cluster.addresses, first=seed)
        self.topic, self.partition, self.title = topic, partition, name
        self.chance = random.Random(seed)
        self.history = history.Partition()
        self.reasons = set()  # of all refusals
        self.last_refusal = None
        self.stopping = threading.Event()
        self.failure = None

    def run(self):
        try:
            while not self.stopping.is_set():
                self.step()
        except Exception as error:  # noqa: BLE001 - told by join_all()
            self.failure = error

    def stop(self):
        self.stopping.set()


class Writer(Worker):
    """Plain appends, one at a time."""

    sent = 0

    def value(self):
        self.sent += 1
        return b"%s.%d:" % (self.title.encode(), self.sent) + b"x" * self.chance.randint(0, 900)

    def fields(self, value):
        return {"batch": harness.batch(value)}

    def step(self):
        value = self.value()
        began = time.monotonic()
        answer, failure = self.follower.once("append", topic=self.topic, partition=self.partition, **self.fields(value))
        ended = time.monotonic()
        if failure is None:
            self.history.appends.append(history.Append(value, began, ended, YES, answer.base_offset))
            return
        self.check_failure(failure)
        self.reasons.add(failure.reason)
        self.last_refusal = "%s, now at %s" % (failure, self.follower.address)
        executed = NO if failure.executed == "no" else MAYBE
        self.history.appends.append(history.Append(value, began, ended, executed))
        time.sleep(0.01)

    def check_failure(self, failure):
        if failure.code == grpc.StatusCode.INTERNAL:
            raise history.Violation("internal: %s" % failure)


class Conditional(Writer):
    """Appends that expect an offset: at most one of those that expect the same one gets it."""

    expected = 0

    def fields(self, value):
        return {"batch": harness.batch(value), "expected_offset": self.expected}

    def step(self):
        before = len(self.history.appends)
        super().step()
        for append in self.history.appends[before:]:
            if append.executed == YES and append.offset != self.expected:
                raise history.Violation("an append that expected offset %d got %d" % (self.expected, append.offset))
        self.expected = self.follower.call("describe_partition", topic=self.topic, partition=self.partition).high_watermark


class Looker(Worker):
    """Linearizable looks at the end."""

    def step(self):
        began = time.monotonic()
        answer, failure = self.follower.once("describe_partition", topic=self.topic, partition=self.partition)
        ended = time.monotonic()
        if failure is None:
            self.history.looks.append(history.Look(began, ended, answer.high_watermark))
        time.sleep(0.005)


class Reader(Worker):
    """Reads one broker from the start, over and over: any replica answers with what is committed."""

    offset = 0

    def step(self):
        answer, failure = self.follower.once(
            "read", topic=self.topic, partition=self.partition, offset=self.offset, max_bytes=1 << 20, min_bytes=1, max_wait_ms=100
        )
        if failure is not None:
            time.sleep(0.02)
            return
        for stored in answer.batches:
            if stored.base_offset > self.offset:
                raise history.Violation("gap: a read from %d begins at %d" % (self.offset, stored.base_offset))
            for index, record in enumerate(stored.batch.records.records):
                self.history.saw(stored.base_offset + index, record.value)
            self.offset = stored.last_offset + 1
        if not answer.batches and self.chance.random() < 0.02:
            self.offset = 0


def start_workers(cluster, kinds, topic, partitions, chance):
    """Of each kind one for each partition."""
    workers = []
    for partition in range(partitions):
        for kind in kinds:
            name = "%s%d.%08x" % (kind.__name__, partition, chance.getrandbits(32))
            workers.append(kind(cluster, topic, partition, name, chance.getrandbits(30)))
    for worker in workers:
        worker.start()
    return workers


def tell_all(workers):
    """What each of them is at, for whoever has to find out why nothing happens."""
    told = []
    for worker in workers:
        appends, now = worker.history.appends, time.monotonic()
        last = "last append ended %.1f s ago" % (now - appends[-1].ended) if appends else "no append"
        state = "failed: %r" % worker.failure if worker.failure else "runs" if worker.is_alive() else "is over"
        told.append("%s %s, %s, %s" % (worker.title, state, last, worker.last_refusal))
    return "; ".join(told)


def join_all(workers, timeout=60):
    for worker in workers:
        worker.stop()
    for worker in workers:
        worker.join(timeout)
        if worker.is_alive():
            raise RuntimeError("worker %s does not end" % worker.title)
        if worker.failure is not None:
            raise worker.failure


def read_all(address, topic, partition, end, timeout=30):
    """Everything below `end`, from this broker, which may have to catch up first."""
    values, until = [], time.monotonic() + timeout
    follower = Follower([address])
    while len(values) < end:
        answer, failure = follower.once("read", topic=topic, partition=partition, offset=len(values), max_bytes=3 << 20, min_bytes=1, max_wait_ms=200)
        if failure is None:
            for stored in answer.batches:
                records = stored.batch.records.records
                values.extend(record.value for record in records[len(values) - stored.base_offset :])
        elif time.monotonic() > until:
            raise RuntimeError("%s does not answer: %s" % (address, failure))
        if time.monotonic() > until:
            raise RuntimeError("%s has %d records of %d" % (address, len(values), end))
    return values


def check_all(cluster, topic, partitions, workers):
    """The verdict over all partitions, on every replica. Returns the joined histories."""
    joined = []
    for partition in range(partitions):
        whole = history.Partition()
        for worker in workers:
            if worker.partition == partition and worker.topic == topic:
                whole.merge(worker.history)
        end = Follower(cluster.addresses).call("describe_partition", topic=topic, partition=partition).high_watermark
        logs = [read_all(address, topic, partition, end) for address in cluster.addresses]
        for log in logs[1:]:
            if log != logs[0]:
                raise history.Violation("diverged: two replicas of partition %d differ" % partition)
        whole.check(logs[0])
        joined.append(whole)
    return joined
