"""What an append promises to those who send it again: producers that retry by hand across kill -9, racing conditions, every named error.

TEST_APPENDS sets how many batches the kill test appends (in the suite 20,000), TEST_RACERS and TEST_RACES how many race how often,
TEST_SEED the seed.
"""

import glob
import os
import random
import subprocess
import threading
import time

import grpc

import harness
from cairn.v1 import log_pb2
from harness import Failure, batch, read_values

APPENDS = int(os.environ.get("TEST_APPENDS", "20000"))
SEED = int(os.environ.get("TEST_SEED", "1"))
PRODUCERS = 8
IN_FLIGHT = 64
RACERS = int(os.environ.get("TEST_RACERS", "16"))
RACES = int(os.environ.get("TEST_RACES", "200"))

ABORTED = grpc.StatusCode.ABORTED
INVALID = grpc.StatusCode.INVALID_ARGUMENT
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
# Small, so that rounds go through checkpoints and recycled files.
SMALL_JOURNAL = ("--journal-bytes", "32MiB", "--journal-file-bytes", "4MiB")


class Producer(threading.Thread):
    """Sends its batches, in order, over streams with many in flight; whatever breaks, it begins again at the oldest without an answer."""

    def __init__(self, test, name, count, chance):
        super().__init__(daemon=True)
        self.test, self.name_, self.chance = test, name, chance
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
            topic="t", partition=0, request_id=i, producer=self.name_, batch=batch(*values, first_sequence=sequence)
        )

    def take(self, answer, i):
        if answer.request_id != i:
            raise AssertionError("answer %d in place of %d" % (answer.request_id, i))
        if answer.error.reason:
            return False
        known = self.offsets[i]
        if known is not None and known != answer.base_offset:
            raise AssertionError("batch %d at %d, and then at %d" % (i, known, answer.base_offset))
        self.offsets[i] = answer.base_offset
        self.duplicates += answer.duplicate
        return True

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
            with harness.Client(self.test.broker.address) as client:
                for answer in client.append_stream(requests(), timeout=30):
                    if not self.take(answer, i):
                        break
                    i += 1
                    window.release()
        except grpc.RpcError:
            pass
        finally:
            stop.set()
            window.release()
        return i

    def run(self):
        try:
            done = 0
            while done < len(self.batches):
                done = self.stream(done)
                if done < len(self.batches):
                    # Some that were answered go again too: nobody stops a client from asking twice.
                    done = max(0, done - self.chance.randint(0, 40))
                    time.sleep(0.02)
        except Exception as problem:  # pylint: disable=broad-except
            self.problem = problem


class WithBroker(harness.Case):
    OPTIONS = ()

    def setUp(self):
        self.broker = harness.Broker(options=self.OPTIONS).start()
        self.addCleanup(self.broker.close)
        self.client = harness.Client(self.broker.address)
        self.addCleanup(lambda: self.client.close())
        self.client.create_topic(name="t", partitions=2)

    def call(self, name, **fields):
        request = getattr(log_pb2, name + "Request")
        response = getattr(log_pb2, name + "Response")
        method = self.client.channel.unary_unary(
            "/cairn.v1.Log/" + name, request_serializer=request.SerializeToString, response_deserializer=response.FromString
        )
        return method(request(topic="t", **fields), timeout=10)

    def append(self, *values, producer="w", epoch=0, sequence=0, partition=0, **fields):
        return self.client.append(
            topic="t",
            partition=partition,
            producer=producer,
            batch=batch(*values, producer_epoch=epoch, first_sequence=sequence),
            **fields
        )

    def restart(self, kill=True):
        self.client.close()
        if kill:
            self.broker.kill()
        else:
            self.broker.stop()
        self.broker.start()
        self.client = harness.Client(self.broker.address)


class KillTest(WithBroker):
    OPTIONS = SMALL_JOURNAL

    def test_each_batch_once_and_always_at_its_first_offset(self):
        chance = random.Random(SEED)
        producers = [
            Producer(self, "producer-%d" % i, APPENDS // PRODUCERS, random.Random(chance.random())) for i in range(PRODUCERS)
        ]
        for producer in producers:
            producer.start()
        kills = 0
        while any(producer.is_alive() for producer in producers):
            time.sleep(chance.uniform(0.05, 0.7))
            self.broker.kill()
            self.broker.start()
            kills += 1
        for producer in producers:
            producer.join()
            self.assertIsNone(producer.problem, producer.problem)
        self.restart(kill=False)
        values = read_values(self.client, "t", 0)
        expected = {}
        for producer in producers:
            for (_, records), offset in zip(producer.batches, producer.offsets):
                for k, value in enumerate(records):
                    self.assertNotIn(offset + k, expected, "two batches at one offset")
                    expected[offset + k] = value
            self.assertEqual(producer.offsets, sorted(producer.offsets), "out of order")
        self.assertEqual(len(values), len(expected), "records lost, or there twice")
        for offset, value in expected.items():
            self.assertEqual(values[offset], value)
        duplicates = sum(producer.duplicates for producer in producers)
        self.assertGreater(kills, 3)
        self.assertGreater(duplicates, 0)
        for producer in producers:  # and once more, after all of it
            i = chance.randrange(len(producer.batches) - 1000, len(producer.batches))
            answer = self.client.append.method(producer.request(i), timeout=10)
            self.assertTrue(answer.duplicate)
            self.assertEqual(answer.base_offset, producer.offsets[i])
        self.show(
            "seed %d: %d batches by %d producers, %d sends on %d streams, %d kills, %d repetitions recognised; 0 lost, 0 twice, "
            "0 out of order, 0 at another offset"
            % (SEED, APPENDS // PRODUCERS * PRODUCERS, PRODUCERS, sum(p.sends for p in producers),
               sum(p.streams for p in producers), kills, duplicates)
        )


class KeptTest(WithBroker):
    """What is remembered is there as long as the partition is, whatever becomes of the records and of the tables."""

    OPTIONS = ("--checkpoint-interval-ms", "100ms", *SMALL_JOURNAL)

    def fill(self):
        self.offsets = {}
        for i in range(300):
            for name in ("a", "b"):
                self.offsets[name, i] = self.append(b"%d" % i, producer=name, sequence=i).base_offset

    def expect_kept(self):
        for (name, i), offset in self.offsets.items():
            answer = self.append(b"%d" % i, producer=name, sequence=i)
            self.assertEqual((answer.duplicate, answer.base_offset), (True, offset))

    def test_after_everything_was_trimmed(self):
        self.fill()
        self.client.trim(topic="t", partition=0, before_offset=600)
        time.sleep(0.5)
        self.expect_kept()
        for kill in (True, False):
            self.restart(kill)
            self.expect_kept()
        self.assertEqual(self.append(b"next", producer="a", sequence=300).base_offset, 600)

    def test_after_the_tables_were_lost(self):
        self.fill()
        self.broker.stop()
        for store in glob.glob(os.path.join(self.broker.data, "store.mdb*")):
            data = os.path.join(store, "data.mdb") if os.path.isdir(store) else store
            if not data.endswith("lock"):
                os.truncate(data, 0)
        self.broker.start()
        self.client.close()
        self.client = harness.Client(self.broker.address)
        self.expect_kept()
        self.assertEqual(self.append(b"next", producer="b", sequence=300).base_offset, 600)


class LibraryTest(WithBroker):
    """The C library under `cairn append --producer`, which finds out by itself what became of each record."""

    OPTIONS = SMALL_JOURNAL
    LINES = 400000

    def test_every_line_is_there_once_though_the_broker_dies(self):
        self.client.create_topic(name="lines", partitions=3)
        path = os.path.join(self.broker.home, "lines")
        with open(path, "w") as lines:
            for i in range(self.LINES):
                lines.write("k%d:line %d\n" % (i % 97, i))
        environment = {**os.environ, "CAIRN_SERVER": self.broker.address}
        command = [harness.CAIRN, "append", "lines", "--producer", "loader", "--key-separator", ":", "--file", path]
        command += ["--batch-bytes", "2000", "--timeout", "60s", "--server", self.broker.address]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        chance = random.Random(SEED)
        kills = 0
        while process.poll() is None:
            time.sleep(chance.uniform(0.05, 0.5))
            self.broker.kill()
            self.broker.start()
            kills += 1
        self.assertEqual(process.returncode, 0, process.stderr.read())
        process.stdout.close()
        process.stderr.close()
        self.client.close()
        self.client = harness.Client(self.broker.address)
        found = []
        for partition in range(3):
            numbers = [int(v.split()[1]) for v in read_values(self.client, "lines", partition)]
            by_key = {}
            for number in numbers:  # all of a key are in one partition, in order
                self.assertGreater(number, by_key.get(number % 97, -1), "out of order, or there twice")
                by_key[number % 97] = number
            found += numbers
        self.assertEqual(len(found), self.LINES)
        self.assertEqual(len(set(found)), self.LINES)
        self.assertGreater(kills, 0)
        self.show("%d lines by cairn append --producer, %d kills: each there once, in order" % (self.LINES, kills))


class RaceTest(WithBroker):
    OPTIONS = SMALL_JOURNAL

    def test_exactly_one_winner_per_offset(self):
        """All race for the same offset; each retries by hand what it does not know, and learns whether it won."""
        won = [[] for _ in range(RACERS)]
        barrier = threading.Barrier(RACERS + 1)
        problems = []

        def attempt(client, racer, offset, sequence):
            """True: won, False: lost. Asks again until it knows."""
            while True:
                try:
                    answer = client.append(
                        topic="t", producer="racer-%d" % racer, expected_offset=offset,
                        batch=batch(b"%d by %d" % (offset, racer), first_sequence=sequence),
                    )
                    if answer.base_offset != offset:
                        raise AssertionError("won at %d, not at %d" % (answer.base_offset, offset))
                    return True
                except grpc.RpcError as error:
                    if Failure(error).reason == "OFFSET_MISMATCH":
                        return False
                    time.sleep(0.02)

        def race(racer):
            try:
                sequence = 0
                client = harness.Client(self.broker.address)
                for offset in range(RACES):
                    barrier.wait(60)
                    if attempt(client, racer, offset, sequence):
                        won[racer].append(offset)
                        sequence += 1
                    barrier.wait(60)
                client.close()
            except Exception as problem:  # pylint: disable=broad-except
                problems.append(problem)
                barrier.abort()

        threads = [threading.Thread(target=race, args=(i,), daemon=True) for i in range(RACERS)]
        for thread in threads:
            thread.start()
        chance = random.Random(SEED)
        kills = 0
        for _ in range(RACES):
            barrier.wait(60)
            if chance.random() < 0.06:
                time.sleep(chance.uniform(0, 0.02))
                self.broker.kill()
                self.broker.start()
                kills += 1
            barrier.wait(60)
        for thread in threads:
            thread.join(60)
        self.assertEqual(problems, [])
        winners = sorted(offset for offsets in won for offset in offsets)
        self.assertEqual(winners, list(range(RACES)), "an offset with no winner, or with two")
        self.client.close()
        self.client = harness.Client(self.broker.address)
        values = read_values(self.client, "t", 0)
        self.assertEqual(len(values), RACES)
        for racer, offsets in enumerate(won):
            for offset in offsets:
                self.assertEqual(values[offset], b"%d by %d" % (offset, racer))
        self.show("seed %d: %d races of %d, %d kills; one winner each" % (SEED, RACES, RACERS, kills))


class ErrorTest(WithBroker):
    OPTIONS = ("--producers-max", "2")

    def refused_with(self, code, reason, executed, next_sequence, newest_epoch, **fields):
        with self.assertRaises(grpc.RpcError) as caught:
            self.append(b"x", **fields)
        failure = Failure(caught.exception)
        self.assertEqual((failure.code, failure.reason, failure.executed), (code, reason, executed), str(failure))
        trailing = {pair.key: pair.value for pair in caught.exception.trailing_metadata()}
        self.assertEqual((trailing.get("cairn-next-sequence"), trailing.get("cairn-producer-epoch")), (next_sequence, newest_epoch))

    def test_every_named_error_and_what_comes_with_it(self):
        self.assertEqual(self.append(b"a", b"b").base_offset, 0)
        self.refused_with(PRECONDITION, "SEQUENCE_GAP", "no", "2", "0", sequence=3)
        self.refused_with(INVALID, "SEQUENCE_REUSED", "no", "2", "0", sequence=0)
        self.refused_with(PRECONDITION, "UNKNOWN_PRODUCER", "no", None, None, producer="nobody", sequence=7)
        self.refused_with(PRECONDITION, "UNKNOWN_PRODUCER", "no", "2", "0", epoch=4, sequence=2)
        opened = self.call("OpenProducer", producer="w")
        self.assertEqual((opened.epoch, opened.next_sequence, opened.last_offset, opened.created), (1, 2, 1, False))
        self.refused_with(ABORTED, "PRODUCER_FENCED", "no", "2", "1", sequence=2)
        for sequence in range(2, 1030):
            self.append(b"x", epoch=1, sequence=sequence)
        self.refused_with(grpc.StatusCode.ALREADY_EXISTS, "DUPLICATE_BEYOND_WINDOW", "yes", "1030", "1", epoch=1, sequence=5)
        self.refused_with(ABORTED, "PRODUCER_FENCED", "maybe", "1030", "1", epoch=0, sequence=1)
        self.assertTrue(self.append(b"x", epoch=1, sequence=6).duplicate)
        self.refused(INVALID, "BAD_NAME", self.append, b"x", producer="n" * 129)
        self.refused(INVALID, "INVALID", self.append, b"x", producer="", sequence=1)
        self.refused(INVALID, "INVALID", self.append, b"x", sequence=2**64 - 1)

    def test_who_was_given_up_is_told_so(self):
        for name in ("a", "b"):
            self.append(b"x", producer=name)
        self.append(b"x", producer="c")
        listed = self.call("ListProducers")
        self.assertEqual([p.name for p in listed.producers], ["b", "c"])
        self.assertEqual((listed.remembered, listed.given_up), (2, 1))
        self.refused_with(PRECONDITION, "UNKNOWN_PRODUCER", "maybe", None, None, producer="a")
        self.restart()
        self.refused_with(PRECONDITION, "UNKNOWN_PRODUCER", "maybe", None, None, producer="a")
        self.assertTrue(self.call("OpenProducer", producer="a").created)
        self.assertTrue(self.call("ForgetProducer", producer="a").forgotten)
        self.assertFalse(self.call("ForgetProducer", producer="a").forgotten)

    def test_producers_are_listed_in_pages(self):
        self.append(b"x", producer="a")
        self.append(b"x", b"y", producer="b")
        first = self.call("ListProducers", page_size=1)
        rest = self.call("ListProducers", page_size=1, page_token=first.next_page_token)
        self.assertEqual(([p.name for p in first.producers], [p.name for p in rest.producers]), (["a"], ["b"]))
        self.assertEqual(rest.next_page_token, "")
        self.assertEqual((rest.producers[0].next_sequence, rest.producers[0].last_offset), (2, 2))

    def test_a_reader_sees_who_made_a_batch(self):
        self.append(b"x", b"y")
        self.append(b"z", sequence=2)
        stored = self.client.read(topic="t").batches
        ids = {b.batch.producer_id for b in stored}
        self.assertEqual(len(ids), 1)
        self.assertEqual([b.batch.first_sequence for b in stored], [0, 2])
        by_id = batch(b"z", producer_id=ids.pop(), first_sequence=2)
        self.assertTrue(self.client.append(topic="t", batch=by_id).duplicate)


if __name__ == "__main__":
    harness.main()
