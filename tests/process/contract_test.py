"""What an answer means at the edges: while the broker shuts down, when too many wait, when the caller gives up."""

import queue
import random
import signal
import struct
import threading
import time

import grpc

import harness
from cairn.v1 import admin_pb2, error_pb2, log_pb2
from harness import Failure, batch, read_values
from http2 import Connection, headers

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
NO_WINDOW = struct.pack(">HI", 4, 0)
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"


class WithBroker(harness.Case):
    OPTIONS = ()

    def setUp(self):
        self.broker = harness.Broker(options=self.OPTIONS).start()
        self.addCleanup(self.broker.close)
        self.client = harness.Client(self.broker.address)
        self.addCleanup(self.client.close)
        self.client.create_topic(name="t", partitions=2)

    def in_background(self, work):
        """Runs it on a thread; what it returns or raises is in the list, in the end."""
        results = []

        def run():
            try:
                results.append(work())
            except grpc.RpcError as error:
                results.append(Failure(error))

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread, results

    def health(self):
        check = self.client.channel.unary_unary("/grpc.health.v1.Health/Check")
        return check(b"", timeout=5)


class TogetherTest(WithBroker):
    """Several requests in a message of an AppendStream, several answers in one."""

    def request(self, value, number, **fields):
        return log_pb2.AppendRequest(topic="t", batch=batch(value), request_id=number, **fields)

    def answers(self, *requests):
        """Of a stream of these messages, one after the other, taken apart; and how many messages they came in."""
        apart, messages = [], 0
        for message in self.client.append_stream(iter(requests), timeout=20):
            further, messages = list(message.more), messages + 1
            del message.more[:]
            apart += [message] + further
        return apart, messages

    def test_each_has_its_answer_in_its_turn(self):
        first = self.request(b"0", 1, together=True)
        first.more.extend(self.request(b"%d" % i, 1 + i, partition=i % 2) for i in range(1, 300))
        second = self.request(b"300", 301)
        second.more.append(self.request(b"301", 302, partition=1))
        answers, messages = self.answers(first, second)
        self.assertEqual([answer.request_id for answer in answers], list(range(1, 303)))
        self.assertTrue(all(answer.takes_more and not answer.HasField("error") for answer in answers))
        self.assertLess(messages, 200)
        self.assertEqual(read_values(self.client, "t", 0), [b"%d" % i for i in range(0, 302, 2)])
        self.assertEqual(read_values(self.client, "t", 1), [b"%d" % i for i in range(1, 302, 2)])

    def test_who_did_not_ask_gets_a_message_each(self):
        first = self.request(b"0", 1)
        first.more.extend(self.request(b"%d" % i, 1 + i) for i in range(1, 10))
        answers, messages = self.answers(first)
        self.assertEqual((len(answers), messages), (10, 10))
        self.assertFalse(any(answer.takes_more for answer in answers))

    def test_behind_a_refusal_nothing_is_begun(self):
        first = self.request(b"0", 1, together=True)
        first.more.append(self.request(b"1", 2, expected_offset=7))
        first.more.extend(self.request(b"%d" % i, 1 + i) for i in range(2, 20))
        answers, _ = self.answers(first, self.request(b"late", 99))
        self.assertEqual([answer.request_id for answer in answers], list(range(1, 21)) + [99])
        self.assertEqual([answer.error.reason for answer in answers], ["", "OFFSET_MISMATCH"] + ["SESSION_BROKEN"] * 19)
        self.assertEqual(read_values(self.client, "t", 0), [b"0"])

    def test_more_within_more_is_refused(self):
        inner = self.request(b"1", 2)
        inner.more.append(self.request(b"2", 3))
        first = self.request(b"0", 1, together=True)
        first.more.extend([inner, self.request(b"3", 4)])
        answers, _ = self.answers(first)
        self.assertEqual([answer.error.reason for answer in answers], ["", "MALFORMED", "SESSION_BROKEN"])
        self.assertEqual([answer.request_id for answer in answers], [1, 2, 4])
        self.assertEqual(read_values(self.client, "t", 0), [b"0"])

    def test_a_request_that_cannot_be_decoded_spoils_only_what_is_behind_it(self):
        first = self.request(b"0", 1, together=True)
        first.more.extend([log_pb2.AppendRequest(topic="t", request_id=2), self.request(b"2", 3)])
        answers, _ = self.answers(first)
        self.assertEqual([answer.error.reason for answer in answers], ["", "BAD_BATCH", "SESSION_BROKEN"])
        first = log_pb2.AppendRequest(topic="t", request_id=1, together=True)
        first.more.append(self.request(b"1", 2))
        answers, _ = self.answers(first)
        self.assertEqual([answer.error.reason for answer in answers], ["BAD_BATCH", "SESSION_BROKEN"])
        self.assertEqual(read_values(self.client, "t", 0), [b"0"])

    def test_there_is_a_bound(self):
        first = self.request(b"0", 1, together=True)
        first.more.extend(self.request(b"%d" % i, 1 + i) for i in range(1, 1024))
        answers, _ = self.answers(first, self.request(b"1024", 1025))
        self.assertEqual([answer.error.reason for answer in answers], [""] * 1025)
        first.more.append(self.request(b"late", 1025))
        answers, _ = self.answers(first)
        self.assertEqual([answer.error.reason for answer in answers], ["TOO_LARGE"])
        self.assertEqual(len(read_values(self.client, "t", 0)), 1025)

    def test_a_call_of_one_request_has_no_more(self):
        request = self.request(b"0", 1)
        request.more.append(self.request(b"1", 2))
        with self.assertRaises(grpc.RpcError) as caught:
            self.client.append.method(request, timeout=5)
        failure = Failure(caught.exception)
        self.assertEqual((failure.reason, failure.executed), ("MALFORMED", "no"))
        self.assertEqual(read_values(self.client, "t", 0), [])

    def test_what_nobody_takes_the_answers_of_is_bounded(self):
        """65,536 are in flight on all streams; each stream may have one more, but no flock."""
        crowd = log_pb2.AppendRequest(together=True)
        crowd.more.extend(log_pb2.AppendRequest() for _ in range(1023))
        stalled = Connection(self.broker.address, settings=NO_WINDOW)
        self.addCleanup(stalled.close)
        for number in range(66):
            stalled.send(headers(stalled, 2 * number + 1, "Log/AppendStream"))
            stalled.send_data(2 * number + 1, [crowd.SerializeToString()])
        first = self.request(b"0", 1, together=True)
        first.more.append(self.request(b"1", 2))

        def refused():
            return [(answer.error.reason, answer.error.executed) for answer in self.answers(first)[0]]

        end = time.monotonic() + 30
        while refused() != [("BUSY", error_pb2.EXECUTED_NO)]:
            self.assertLess(time.monotonic(), end)
        answers, _ = self.answers(self.request(b"alone", 1, together=True))
        self.assertEqual([answer.error.reason for answer in answers], [""])
        stalled.close()
        while refused() != [("", 0), ("", 0)]:
            self.assertLess(time.monotonic(), end + 30)

    def test_many_of_them_go_on_for_long(self):
        """More than is in flight at a time, in messages that fill what is left."""

        def messages():
            number = 0
            while number < 40_000:
                first = self.request(b"%d" % number, number + 1, together=True)
                for i in range(1, min(1 + number % 777, 40_000 - number)):
                    first.more.append(self.request(b"%d" % (number + i), number + i + 1))
                number += 1 + len(first.more)
                yield first

        numbers = []
        for message in self.client.append_stream(messages(), timeout=60):
            self.assertFalse(message.HasField("error"))
            numbers += [message.request_id] + [further.request_id for further in message.more]
        self.assertEqual(numbers, list(range(1, 40_001)))
        self.assertEqual(read_values(self.client, "t", 0), [b"%d" % i for i in range(40_000)])


class DrainTest(WithBroker):
    OPTIONS = ("--drain-ms", "3s")

    def stall(self):
        """A follower that takes nothing: until drain-ms is over the broker waits for it."""
        self.client.append(topic="t", partition=1, batch=batch(b"x" * 1000))
        connection = Connection(self.broker.address, settings=NO_WINDOW)
        self.addCleanup(connection.close)
        connection.send(headers(connection, 1, "Log/Tail"))
        connection.send_data(1, [log_pb2.TailRequest(topic="t", partition=1).SerializeToString()], end=True)
        time.sleep(0.5)

    def test_new_requests_are_refused_and_surely_not_done(self):
        self.stall()
        self.assertEqual(self.health(), SERVING)
        self.broker.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        self.assertEqual(self.health(), NOT_SERVING)
        for call, fields in (
            (self.client.append, {"topic": "t", "batch": batch(b"late")}),
            (self.client.read, {"topic": "t"}),
            (self.client.describe_partition, {"topic": "t"}),
            (self.client.trim, {"topic": "t"}),
            (self.client.create_topic, {"name": "u"}),
            (self.client.list_topics, {}),
        ):
            self.refused(UNAVAILABLE, "DRAINING", call, **fields)
        for stream in (
            self.client.append_stream(iter([log_pb2.AppendRequest(topic="t", batch=batch(b"late"))]), timeout=5),
            self.client.tail(log_pb2.TailRequest(topic="t"), timeout=5),
        ):
            self.refused(UNAVAILABLE, "DRAINING", list, stream)
        began = time.monotonic()
        self.assertEqual(self.broker.process.wait(10), 0)
        self.assertLess(time.monotonic() - began, 5)
        self.broker.start()
        with harness.Client(self.broker.address) as client:
            self.assertEqual(read_values(client, "t", 0), [])

    def silent_stream(self):
        """An open AppendStream, and the queue of what it will send: None ends it."""
        requests = queue.Queue()
        self.addCleanup(requests.put, None)
        stream = self.client.append_stream(iter(requests.get, None), timeout=20)
        time.sleep(0.5)
        return stream, requests

    def test_a_stream_that_never_asked_anything_hears_that_nothing_was_done(self):
        stream, _ = self.silent_stream()
        self.assertEqual(self.broker.stop(), 0)
        self.refused(UNAVAILABLE, "DRAINING", list, stream)

    def test_a_stream_that_begins_to_ask_meanwhile_is_ended(self):
        self.stall()
        stream, requests = self.silent_stream()
        self.broker.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        began = time.monotonic()
        requests.put(log_pb2.AppendRequest(topic="t", batch=batch(b"late"), request_id=7))
        answer = next(stream)
        self.assertEqual((answer.request_id, answer.error.reason, answer.error.executed), (7, "DRAINING", 1))
        self.refused(UNAVAILABLE, "DRAINING", list, stream)
        self.assertLess(time.monotonic() - began, 1.5, "it waited for others")

    def test_what_is_in_work_is_finished_or_told_that_it_was_not_begun(self):
        sent = []

        def requests():
            for i in range(100_000):
                sent.append(i)
                yield log_pb2.AppendRequest(topic="t", partition=0, batch=batch(b"%d" % i), request_id=i + 1)

        answers = []

        def append():
            for answer in self.client.append_stream(requests()):
                answers.append(answer)

        def follow():
            for _ in self.client.tail(log_pb2.TailRequest(topic="t", partition=1)):
                pass

        appending, appended = self.in_background(append)
        following, followed = self.in_background(follow)
        polling, polled = self.in_background(
            lambda: self.client.read(topic="t", partition=1, min_bytes=1, max_wait_ms=60_000, timeout=60)
        )
        while len(answers) < 500:
            time.sleep(0.01)
        began = time.monotonic()
        self.assertEqual(self.broker.stop(), 0)
        self.assertLess(time.monotonic() - began, 3)
        for thread in (appending, following, polling):
            thread.join(10)

        for failure in (appended[0], followed[0]):
            self.assertEqual((failure.code, failure.reason, failure.executed), (UNAVAILABLE, "DRAINING", "no"), str(failure))
        self.assertEqual(polled[0].next_offset, 0)  # answered with what there was: nothing
        good = [answer for answer in answers if not answer.HasField("error")]
        for answer in answers[len(good) :]:
            self.assertIn(answer.error.reason, ("DRAINING", "SESSION_BROKEN"))
            self.assertEqual(answer.error.executed, 1)
        self.broker.start()
        with harness.Client(self.broker.address) as client:
            kept = read_values(client, "t", 0)
        self.assertEqual(kept, [b"%d" % i for i in range(len(good))])
        self.show("%d sent, %d acknowledged, %d kept" % (len(sent), len(good), len(kept)))

    def test_a_second_signal_ends_it_at_once(self):
        self.stall()
        self.broker.process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        began = time.monotonic()
        self.broker.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.broker.process.wait(5), 1)
        self.assertLess(time.monotonic() - began, 2 if harness.sanitized() else 1)  # ThreadSanitizer sleeps for a second
        self.assertIn("second signal", self.broker.said())


class BoundsTest(WithBroker):
    OPTIONS = ("--waiters-max", "2", "--calls-max", "40", "--peer-share-percent", "100")

    def test_one_more_that_waits_is_refused(self):
        polls = [
            self.in_background(lambda: self.client.read(topic="t", min_bytes=1, max_wait_ms=3000, timeout=20)) for _ in range(2)
        ]
        time.sleep(0.5)
        failure = self.refused(EXHAUSTED, "BUSY", self.client.read, topic="t", min_bytes=1, max_wait_ms=3000)
        self.assertGreater(int(failure.retry_after_ms), 0)
        self.refused(EXHAUSTED, "BUSY", list, self.client.tail(log_pb2.TailRequest(topic="t"), timeout=5))
        self.assertEqual(len(self.client.read(topic="t").batches), 0)  # who does not wait is served
        self.client.append(topic="t", batch=batch(b"now"))
        for thread, results in polls:
            thread.join(10)
            self.assertEqual(len(results[0].batches), 1)

    def test_one_more_call_is_refused(self):
        connection = Connection(self.broker.address)
        self.addCleanup(connection.close)
        for i in range(40):
            connection.send(headers(connection, 1 + 2 * i, "Log/Append"))
        time.sleep(0.5)
        failure = self.refused(EXHAUSTED, "BUSY", self.client.append, topic="t", batch=batch(b"x"))
        self.assertGreater(int(failure.retry_after_ms), 0)
        connection.close()
        time.sleep(0.5)
        self.client.append(topic="t", batch=batch(b"x"))


class GivingUpTest(WithBroker):
    def test_a_wait_ends_before_the_deadline_does(self):
        began = time.monotonic()
        self.assertEqual(len(self.client.read(topic="t", min_bytes=1, max_wait_ms=30_000, timeout=1).batches), 0)
        self.assertGreater(time.monotonic() - began, 0.5)

    def test_a_call_whose_time_is_up_says_nothing_of_what_it_did(self):
        self.client.append(topic="t", batch=batch(b"0"))
        self.broker.pause()
        with self.assertRaises(grpc.RpcError) as caught:
            self.client.append(topic="t", batch=batch(b"1"), timeout=0.5)
        self.broker.resume()
        failure = Failure(caught.exception)
        self.assertEqual((failure.code, failure.executed), (grpc.StatusCode.DEADLINE_EXCEEDED, None))  # which means: maybe
        self.client.append(topic="t", batch=batch(b"2"))
        self.assertIn(read_values(self.client, "t", 0), ([b"0", b"2"], [b"0", b"1", b"2"]))

    def test_cancelled_at_any_point(self):
        chance = random.Random(7)
        big = batch(*[b"x" * 50_000] * 20)

        def pause():
            time.sleep(chance.random() * 0.004)

        def appends():
            for i in range(50):
                yield log_pb2.AppendRequest(topic="t", partition=i % 2, batch=big, request_id=i + 1)

        for _ in range(150):
            calls = [
                self.client.append.method.future(log_pb2.AppendRequest(topic="t", batch=big)),
                self.client.read.method.future(log_pb2.ReadRequest(topic="t", min_bytes=1 << 20, max_wait_ms=9000)),
                self.client.list_topics.method.future(admin_pb2.ListTopicsRequest()),
                self.client.append_stream(appends()),
                self.client.tail(log_pb2.TailRequest(topic="t", partition=1)),
            ]
            chance.shuffle(calls)
            for call in calls:
                pause()
                call.cancel()
        time.sleep(1)  # what was proposed is not withdrawn
        for partition in (0, 1):
            end = self.client.describe_partition(topic="t", partition=partition).high_watermark
            self.assertEqual(end % 20, 0, "batches are whole")
            self.assertEqual(len(read_values(self.client, "t", partition)), end)
        began = time.monotonic()
        self.assertEqual(self.broker.stop(), 0)
        self.assertLess(time.monotonic() - began, 5, "something was never ended")


if __name__ == "__main__":
    harness.main()
