"""Careful applications with a stock gRPC client and a name: what they do not know they ask again, until they do."""

import threading
import time

import cluster
import grpc
import harness
from cairn.v1 import log_pb2

IN_FLIGHT = 64
# What a careful application asks again for: nothing was done, or it is not known.
PASSING = [code.value[0] for code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED)]


class Producer(threading.Thread):
    """Sends its batches to a partition, in order, over streams with many in flight; whatever breaks, it begins again at the oldest without an
    answer, and goes where refusals say that the leader is."""

    def __init__(self, addresses, topic, name, count, chance):
        super().__init__(daemon=True)
        self.follower = cluster.Follower(addresses, first=chance.randrange(len(addresses)))
        self.topic, self.name_, self.chance = topic, name, chance
        self.batches, sequence = [], 0
        for i in range(count):
            values = [b"%s/%d/%d" % (name.encode(), i, k) for k in range(chance.randint(1, 3))]
            self.batches.append((sequence, values))
            sequence += len(values)
        self.offsets = [None] * count  # as first told; every later answer has to be the same
        self.duplicates = self.sends = self.streams = 0
        self.problem = None

    def request(self, i):
        sequence, values = self.batches[i]
        return log_pb2.AppendRequest(
            topic=self.topic, partition=0, request_id=i, producer=self.name_, batch=harness.batch(*values, first_sequence=sequence)
        )

    def take(self, answer, i):
        if answer.request_id != i:
            raise AssertionError("answer %d in place of %d" % (answer.request_id, i))
        if answer.error.reason:
            if answer.error.code not in PASSING and answer.error.reason != "SESSION_BROKEN":
                raise AssertionError("batch %d of %s: %s" % (i, self.name_, answer.error))
            self.follower.go_to(answer.error.leader, answer.error.reason)
            return False
        self.note(answer, i)
        return True

    def note(self, answer, i):
        known = self.offsets[i]
        if known is not None and known != answer.base_offset:
            raise AssertionError("batch %d at %d, and then at %d" % (i, known, answer.base_offset))
        self.offsets[i] = answer.base_offset
        self.duplicates += answer.duplicate

    def stream(self, first):
        """From batch `first` on; returns the first one without an answer."""
        window = threading.Semaphore(IN_FLIGHT)
        stop = threading.Event()

        def requests():
            for i in range(first, len(self.batches)):
                window.acquire()
                if stop.is_set():
                    return
                self.sends += 1
                yield self.request(i)

        self.streams += 1
        i = first
        try:
            with harness.Client(self.follower.address) as client:
                for answer in client.append_stream(requests(), timeout=30):
                    if not self.take(answer, i):
                        break
                    i += 1
                    window.release()
        except grpc.RpcError:
            self.follower.next()
        finally:
            stop.set()
            window.release()
        return i

    def run(self):
        try:
            done = 0
            while done < len(self.batches):
                # Some that were answered go again too: nobody stops a client from asking twice.
                done = max(done, self.stream(max(0, done - self.chance.randint(0, 40))))
                time.sleep(0.02)
        except Exception as problem:  # pylint: disable=broad-except
            self.problem = problem


def check_producers(case, producers, values):
    """`values`, all of the partition, are exactly what they sent: each batch once, in order, where it was acknowledged."""
    expected = {}
    for producer in producers:
        case.assertIsNone(producer.problem, producer.problem)
        for (_, records), offset in zip(producer.batches, producer.offsets):
            for k, value in enumerate(records):
                case.assertNotIn(offset + k, expected, "two batches at one offset")
                expected[offset + k] = value
        case.assertEqual(producer.offsets, sorted(producer.offsets), "out of order")
    case.assertEqual(len(values), len(expected), "records lost, or there twice")
    for offset, value in expected.items():
        case.assertEqual(values[offset], value)


def told(producers, seed, what_broke):
    """One line about a run that check_producers() found right."""
    return "seed %d: %d batches by %d producers, %d sends on %d streams, %s, %d repetitions recognised; 0 lost, 0 twice, 0 out of order, 0 at another offset" % (
        *(seed, sum(len(p.batches) for p in producers), len(producers), sum(p.sends for p in producers), sum(p.streams for p in producers)),
        *(what_broke, sum(p.duplicates for p in producers)),
    )


class Race:
    """All race for the same offset, one after the other; each asks again what it does not know, and learns whether it won."""

    def __init__(self, addresses, topic, racers, races):
        self.addresses, self.topic, self.races = addresses, topic, races
        self.won = [[] for _ in range(racers)]
        self.barrier = threading.Barrier(racers + 1)
        self.problems = []
        self.threads = [threading.Thread(target=self._race, args=(i,), daemon=True) for i in range(racers)]

    def attempt(self, follower, racer, offset, sequence):
        """True: won, False: lost. Asks again until it knows."""
        while True:
            answer, failure = follower.once(
                "append", timeout=10, topic=self.topic, producer="racer-%d" % racer, expected_offset=offset,
                batch=harness.batch(b"%d by %d" % (offset, racer), first_sequence=sequence),
            )
            if failure is None:
                if answer.base_offset != offset:
                    raise AssertionError("won at %d, not at %d" % (answer.base_offset, offset))
                return True
            if failure.reason == "OFFSET_MISMATCH":
                return False
            time.sleep(0.02)

    def _race(self, racer):
        try:
            sequence = 0
            follower = cluster.Follower(self.addresses, first=racer)
            for offset in range(self.races):
                self.barrier.wait(120)
                if self.attempt(follower, racer, offset, sequence):
                    self.won[racer].append(offset)
                    sequence += 1
                self.barrier.wait(120)
        except Exception as problem:  # pylint: disable=broad-except
            self.problems.append(problem)
            self.barrier.abort()

    def run(self, disturb):
        """`disturb()` in the middle of each race."""
        for thread in self.threads:
            thread.start()
        try:
            for _ in range(self.races):
                self.barrier.wait(120)
                disturb()
                self.barrier.wait(120)
        except threading.BrokenBarrierError:
            pass
        for thread in self.threads:
            thread.join(120)

    def check(self, case, values):
        """`values`, all of the partition: one winner for each offset, and its value."""
        case.assertEqual(self.problems, [])
        winners = sorted(offset for offsets in self.won for offset in offsets)
        case.assertEqual(winners, list(range(self.races)), "an offset with no winner, or with two")
        case.assertEqual(len(values), self.races)
        for racer, offsets in enumerate(self.won):
            for offset in offsets:
                case.assertEqual(values[offset], b"%d by %d" % (offset, racer))
