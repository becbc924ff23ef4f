"""What an append promises to those who send it again: producers that retry by hand across kill -9, racing conditions, every named error.

TEST_APPENDS sets how many batches the kill test appends (in the suite 20,000), TEST_RACERS and TEST_RACES how many race how often,
TEST_SEED the seed.
"""

import glob
import os
import random
import subprocess
import time

import grpc

import harness
from cairn.v1 import log_pb2
from harness import Failure, batch, read_values
from producers import Producer, Race, check_producers, told

APPENDS = int(os.environ.get("TEST_APPENDS", "20000"))
SEED = int(os.environ.get("TEST_SEED", "1"))
PRODUCERS = 8
RACERS = int(os.environ.get("TEST_RACERS", "16"))
RACES = int(os.environ.get("TEST_RACES", "200"))

ABORTED = grpc.StatusCode.ABORTED
INVALID = grpc.StatusCode.INVALID_ARGUMENT
PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION
# Small, so that rounds go through checkpoints and recycled files.
SMALL_JOURNAL = ("--journal-bytes", "32MiB", "--journal-file-bytes", "4MiB")


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
            Producer([self.broker.address], "t", "producer-%d" % i, APPENDS // PRODUCERS, random.Random(chance.random()))
            for i in range(PRODUCERS)
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
        self.restart(kill=False)
        check_producers(self, producers, read_values(self.client, "t", 0))
        self.assertGreater(kills, 3)
        self.assertGreater(sum(producer.duplicates for producer in producers), 0)
        for producer in producers:  # and once more, after all of it
            i = chance.randrange(len(producer.batches) - 1000, len(producer.batches))
            answer = self.client.append.method(producer.request(i), timeout=10)
            self.assertTrue(answer.duplicate)
            self.assertEqual(answer.base_offset, producer.offsets[i])
        self.show(told(producers, SEED, "%d kills" % kills))


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
        pace = 8 if harness.sanitized() else 1  # a client must find it between two kills
        while process.poll() is None:
            time.sleep(pace * chance.uniform(0.05, 0.5))
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
        chance = random.Random(SEED)
        kills = 0

        def disturb():
            nonlocal kills
            if chance.random() < 0.06:
                time.sleep(chance.uniform(0, 0.02))
                self.broker.kill()
                self.broker.start()
                kills += 1

        race = Race([self.broker.address], "t", RACERS, RACES)
        race.run(disturb)
        self.client.close()
        self.client = harness.Client(self.broker.address)
        race.check(self, read_values(self.client, "t", 0))
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
