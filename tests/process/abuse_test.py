"""Clients that take, and give nothing back: what they ask for stays bounded, and everybody else is served.

Each abuse is done on bare sockets, because no library lets one do it.
"""

import os
import struct
import time

import grpc

import harness
from cairn.v1 import log_pb2
from harness import batch
from http2 import Connection, data, headers

NO_WINDOW = struct.pack(">HI", 4, 0)  # SETTINGS_INITIAL_WINDOW_SIZE 0: nothing may be sent to us


class AbuseTest(harness.Case):
    def setUp(self):
        self.broker = harness.Broker(options=["--checkpoint-interval-ms", "300ms", *self.options()]).start()
        self.addCleanup(self.broker.close)
        self.client = harness.Client(self.broker.address, options=[("grpc.max_receive_message_length", -1)])
        self.addCleanup(self.client.close)
        self.client.create_topic(name="t", partitions=2)

    def options(self):
        return ["--memory-bytes", "64MiB", "--tail-cache-bytes", "8MiB"] if "stalled" in self.id() else []

    def served(self, size=100):
        """Somebody else's append, and how long it took."""
        began = time.monotonic()
        self.client.append(topic="t", partition=1, batch=batch(b"x" * size))
        return time.monotonic() - began

    def fill(self, count):
        """So much that only a little of it is in memory, once it is in segments."""
        values = [os.urandom(700_000) for _ in range(4)]
        for _ in range(count):
            self.client.append(topic="t", partition=0, batch=batch(*values))
        time.sleep(1)

    def stall(self, method, requests):
        connection = Connection(self.broker.address, settings=NO_WINDOW)
        self.addCleanup(connection.close)
        for i, request in enumerate(requests):
            connection.send(headers(connection, 1 + 2 * i, method) + data(1 + 2 * i, request.SerializeToString(), end=True))
        time.sleep(2)

    def test_answers_to_appends_that_nobody_reads(self):
        before = self.broker.resident_bytes()
        connection = Connection(self.broker.address, settings=NO_WINDOW)
        self.addCleanup(connection.close)
        request = log_pb2.AppendRequest(topic="t", partition=0, batch=batch(b"y")).SerializeToString()
        requests = 600
        for i in range(requests):
            stream = 1 + 2 * i
            connection.send(headers(connection, stream, "Log/AppendStream") + data(stream, request) * 1100)
        time.sleep(1)
        self.served()
        grown = self.broker.resident_bytes() - before
        appended = self.client.describe_partition(topic="t", partition=0).high_watermark
        self.show("%d MiB for %d appends on %d streams" % (grown >> 20, appended, requests))
        self.assertGreater(appended, 60_000)
        self.assertLess(grown, 160 << 20)

        def others():
            for i in range(200):
                yield log_pb2.AppendRequest(topic="t", partition=1, batch=batch(b"z"), request_id=i + 1)

        answers = list(self.client.append_stream(others(), timeout=20))
        self.assertEqual([a.request_id for a in answers if not a.HasField("error")], list(range(1, 201)))

    def test_stalled_reads_leave_memory_for_appends(self):
        self.fill(60)
        self.stall("Log/Read", [log_pb2.ReadRequest(topic="t", offset=4 * (i % 60), max_bytes=3 << 20) for i in range(200)])
        self.show("%d MiB resident" % (self.broker.resident_bytes() >> 20))
        self.assertLess(self.broker.resident_bytes(), 160 << 20)
        for _ in range(8):
            self.served(1_000_000)

    def test_stalled_tails_leave_memory_for_appends(self):
        self.fill(60)
        self.stall("Log/Tail", [log_pb2.TailRequest(topic="t", offset=4 * (i % 60), max_bytes=3 << 20) for i in range(200)])
        self.show("%d MiB resident" % (self.broker.resident_bytes() >> 20))
        self.assertLess(self.broker.resident_bytes(), 160 << 20)
        for _ in range(8):
            self.served(1_000_000)


if __name__ == "__main__":
    harness.main()
