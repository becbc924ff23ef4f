"""What strangers send, by mistake or on purpose. Nothing crashes, every answer tells what to do, memory stays bounded."""

import gzip
import os
import resource
import socket
import struct
import subprocess
import tempfile
import time

import grpc

import harness
from cairn.v1 import admin_pb2, log_pb2, record_pb2
from harness import batch, read_values

INVALID = grpc.StatusCode.INVALID_ARGUMENT
# The stated bound: what the idle broker has, the tail cache (64 MiB), and requests of 4 MiB in flight.
RESIDENT_BYTES_MAX = 256 << 20


def field(number, wire_type, payload):
    return varint(number << 3 | wire_type) + payload


def varint(value):
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def bytes_field(number, data):
    return field(number, 2, varint(len(data)) + data)


class BadInputTest(harness.Case):
    @classmethod
    def setUpClass(cls):
        cls.broker = harness.Broker(environment=harness.MEASURED).start()
        cls.client = harness.Client(cls.broker.address, options=[("grpc.max_send_message_length", -1)])
        cls.client.create_topic(name="t", partitions=2)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.broker.close()

    def tearDown(self):
        self.assertTrue(self.broker.alive(), self.broker.said())
        self.client.append(topic="t", partition=1, batch=batch(b"still serving"))
        self.assertLess(self.broker.resident_bytes(), self.broker.bound(RESIDENT_BYTES_MAX))

    def append_bytes(self, batch_bytes, partition=0):
        request = bytes_field(1, b"t") + field(2, 0, varint(partition)) + bytes_field(3, batch_bytes)
        return self.client.raw("Log/Append")(request, timeout=10)

    def append_batch(self, **fields):
        return self.client.append(topic="t", partition=0, batch=record_pb2.RecordBatch(**fields))

    # Messages

    def test_malformed_protobuf(self):
        for name in ("Log/Append", "Log/Read", "Log/Trim", "Admin/CreateTopic", "Log/DescribePartition"):
            self.refused(INVALID, "MALFORMED", self.client.raw(name), b"\xff\xff\xff\xff", timeout=5)

    def test_null_message(self):
        status = http2_call_without_message(self.broker.address, "/cairn.v1.Log/Append")
        self.assertIn(status, (3, 13), "no message at all")

    def test_nul_in_names(self):
        for name in ("a\0b", "t\0", "\0"):
            self.refused(INVALID, "BAD_NAME", self.client.create_topic, name=name)
            self.refused(INVALID, "BAD_NAME", self.client.append, topic=name, partition=0, batch=batch(b"x"))

    def test_invalid_utf8_in_names(self):
        raw = bytes_field(1, b"\xff\xfe")
        self.refused(INVALID, "BAD_NAME", self.client.raw("Admin/CreateTopic"), raw, timeout=5)
        self.refused(INVALID, "BAD_NAME", self.client.raw("Log/Append"), raw, timeout=5)

    def test_names_that_are_not_allowed(self):
        for name in ("", ".", "..", "a/b", "x" * 250, "a b"):
            self.refused(INVALID, "BAD_NAME", self.client.create_topic, name=name)

    def test_names_that_are_kept(self):
        for name in ("__cairn", "__cairn_groups", "__consumer_offsets", "__transaction_state"):
            for tried in (False, True):
                failure = self.refused(INVALID, "BAD_NAME", self.client.create_topic, name=name, validate_only=tried)
                self.assertIn("choose another", failure.text)
            self.refused(grpc.StatusCode.NOT_FOUND, "UNKNOWN_TOPIC", self.client.describe_topic, name=name)

    def test_millions_of_empty_submessages_cost_little(self):
        before = self.broker.resident_bytes()
        flood = b"\x0a\x00" * (1 << 19)
        self.refused(INVALID, "BAD_BATCH", self.append_bytes, bytes_field(14, flood) * 2)
        with self.assertRaises(grpc.RpcError):
            self.client.raw("Admin/ListTopics")(b"\x9a\x06\x00" * (1 << 20), timeout=10)
        self.assertLess(self.broker.resident_bytes() - before, self.broker.bound(64 << 20))

    # Batches

    def test_batch_whose_checksum_lies(self):
        self.refused(INVALID, "BAD_CHECKSUM", self.append_batch, records=batch(b"x").records, crc32c=1)

    def test_batch_whose_count_lies(self):
        self.refused(INVALID, "BAD_BATCH", self.append_batch, records=batch(b"x").records, record_count=2)

    def test_batch_whose_declared_size_lies(self):
        self.refused(INVALID, "BAD_BATCH", self.append_batch, records=batch(b"x").records, uncompressed_bytes=9)

    def test_batch_whose_greatest_time_lies(self):
        self.refused(INVALID, "BAD_BATCH", self.append_batch, records=batch(b"x").records, max_timestamp_ms=9)

    def test_batch_without_records(self):
        self.refused(INVALID, "BAD_BATCH", self.append_batch, records=record_pb2.Records())
        self.refused(INVALID, "BAD_BATCH", self.append_batch)

    def test_batch_with_two_payloads(self):
        records = batch(b"x").records.SerializeToString()
        self.refused(INVALID, "BAD_BATCH", self.append_bytes, bytes_field(14, records) * 2)
        self.refused(INVALID, "BAD_BATCH", self.append_bytes, bytes_field(14, records) + bytes_field(15, b"zzz"))

    def test_batch_with_unknown_fields(self):
        records = bytes_field(14, batch(b"x").records.SerializeToString())
        self.refused(INVALID, "BAD_BATCH", self.append_bytes, records + field(99, 0, varint(1)))

    def test_records_that_are_not_records(self):
        for payload in (b"\xff", bytes_field(2, b"x"), bytes_field(1, b"\xff\xff"), bytes_field(1, bytes_field(2, b"a") * 2)):
            self.refused(INVALID, "BAD_BATCH", self.append_bytes, bytes_field(14, payload))

    def test_compressed_records_that_are_not(self):
        for codec in (1, 2):
            self.refused(
                INVALID, "BAD_BATCH", self.append_batch, codec=codec, compressed_records=b"rubbish", uncompressed_bytes=100
            )
        self.refused(
            grpc.StatusCode.UNIMPLEMENTED,
            "UNSUPPORTED",
            self.append_batch,
            codec=7,
            compressed_records=b"rubbish",
            uncompressed_bytes=100,
        )

    def test_decompression_bomb_in_a_batch(self):
        with tempfile.TemporaryDirectory() as home:
            plain = os.path.join(home, "plain")
            with open(plain, "wb") as f:
                f.truncate(200 << 20)
            bomb = subprocess.run(["zstd", "-q", "-c", plain], stdout=subprocess.PIPE, check=True).stdout
        before = self.broker.resident_bytes()
        for declared in (1000, 4 << 20, 0xFFFFFFFF):
            with self.assertRaises(grpc.RpcError) as caught:
                self.append_batch(codec=1, compressed_records=bomb, uncompressed_bytes=declared)
            failure = harness.Failure(caught.exception)
            self.assertIn(failure.reason, ("BAD_BATCH", "TOO_LARGE"))
            self.assertEqual(failure.executed, "no")
        self.assertLess(self.broker.resident_bytes() - before, self.broker.bound(32 << 20))

    def test_oversized_record(self):
        exhausted = grpc.StatusCode.RESOURCE_EXHAUSTED
        self.refused(exhausted, "TOO_LARGE", self.append_batch, records=batch(b"x" * (1 << 20) + b"y").records)
        self.client.alter_topic(name="t", config=admin_pb2.TopicConfig(record_bytes_max=10))
        self.refused(exhausted, "TOO_LARGE", self.append_batch, records=batch(b"x" * 11).records)
        self.client.alter_topic(name="t", config=admin_pb2.TopicConfig(record_bytes_max=1 << 20))

    def test_oversized_message(self):
        with self.assertRaises(grpc.RpcError) as caught:
            self.append_batch(records=batch(*[b"x" * 1_000_000] * 5).records)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)

    def test_compressed_grpc_message(self):
        request = log_pb2.AppendRequest(topic="t", partition=0, batch=batch(b"x" * 500_000))
        method = self.client.append.method
        with self.assertRaises(grpc.RpcError) as caught:
            method(request, timeout=10, compression=grpc.Compression.Gzip)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNIMPLEMENTED)

    def test_compressed_grpc_bomb(self):
        before = self.broker.resident_bytes()
        bomb = gzip.compress(b"\0" * (100 << 20))
        http2_call(self.broker.address, "/cairn.v1.Log/Append", b"\x01" + struct.pack(">I", len(bomb)) + bomb, b"gzip")
        self.assertLess(self.broker.resident_bytes() - before, self.broker.bound(32 << 20))

    def test_message_that_is_too_large_for_a_stream(self):
        good = batch(*[b"x" * 900_000] * 4)

        def requests():
            for i in range(1, 5):
                yield log_pb2.AppendRequest(topic="t", partition=0, batch=good, request_id=i)
            yield log_pb2.AppendRequest(topic="t", partition=0, batch=batch(*[b"x" * 900_000] * 5), request_id=5)
            yield log_pb2.AppendRequest(topic="t", partition=0, batch=batch(b"behind"), request_id=6)

        for _ in range(5):
            end = self.client.describe_partition(topic="t", partition=0).next_offset
            answers = list(self.client.append_stream(requests(), timeout=20))
            self.assertEqual([a.request_id for a in answers], [1, 2, 3, 4, 5, 6])
            self.assertEqual([a.base_offset for a in answers[:4]], [end, end + 4, end + 8, end + 12])
            self.assertEqual([a.error.reason for a in answers], ["", "", "", "", "TOO_LARGE", "SESSION_BROKEN"])
            self.assertEqual([a.error.executed for a in answers[4:]], [1, 1])
            self.assertEqual(self.client.describe_partition(topic="t", partition=0).next_offset, end + 16)

    # Places

    def test_unknown_topic_and_partition(self):
        for call, fields in (
            (self.client.append, {"batch": batch(b"x")}),
            (self.client.read, {"offset": 0}),
            (self.client.describe_partition, {}),
            (self.client.find_offset, {"timestamp_ms": 1}),
            (self.client.trim, {"before_offset": 0}),
        ):
            failure = self.refused(
                grpc.StatusCode.NOT_FOUND, "UNKNOWN_TOPIC", call, topic="nowhere", partition=0, **fields
            )
            self.assertIn("cairn topic create nowhere", failure.text)
            self.refused(grpc.StatusCode.NOT_FOUND, "UNKNOWN_PARTITION", call, topic="t", partition=2, **fields)

    def test_offset_below_and_above(self):
        self.client.create_topic(name="range")
        for value in (b"0", b"1", b"2"):
            self.client.append(topic="range", partition=0, batch=batch(value))
        self.client.trim(topic="range", partition=0, before_offset=1)
        out = grpc.StatusCode.OUT_OF_RANGE
        below = self.refused(out, "BELOW_START", self.client.read, topic="range", partition=0, offset=0)
        above = self.refused(out, "BEYOND_END", self.client.read, topic="range", partition=0, offset=4)
        self.assertEqual((below.next_offset, above.next_offset), ("1", "3"))
        with self.assertRaises(grpc.RpcError) as caught:
            self.client.read(topic="range", partition=0, offset=-1)
        self.assertIn(harness.Failure(caught.exception).reason, ("BELOW_START", "INVALID"))
        self.assertEqual(len(self.client.read(topic="range", partition=0, offset=3).batches), 0)

    def test_unknown_method(self):
        with self.assertRaises(grpc.RpcError) as caught:
            self.client.raw("Log/Nothing")(b"", timeout=5)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNIMPLEMENTED)


class ConnectionsTest(harness.Case):
    def test_out_of_descriptors_and_back(self):
        with harness.Broker() as broker:
            with harness.Client(broker.address) as client:
                client.create_topic(name="t")
                client.append(topic="t", partition=0, batch=batch(b"before"))
            pid = broker.process.pid
            soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            limit = len(os.listdir("/proc/%d/fd" % pid)) + 20
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, hard))
            host, port = broker.address.rsplit(":", 1)
            idle = []
            for _ in range(80):
                try:
                    idle.append(socket.create_connection((host, int(port)), timeout=1))
                except OSError:
                    break
            time.sleep(3)
            for connection in idle:
                connection.close()
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
            began = time.monotonic()
            while True:
                try:
                    with harness.Client(broker.address) as client:
                        client.append(topic="t", partition=0, batch=batch(b"after"), timeout=2)
                        values = read_values(client, "t", 0)
                    break
                except grpc.RpcError:
                    self.assertLess(time.monotonic() - began, 20, "no service after the descriptors came back")
            self.assertEqual((values[0], values[-1]), (b"before", b"after"))
            self.show("served again %.1f s after %d idle connections went away" % (time.monotonic() - began, len(idle)))


class StartTest(harness.Case):
    def refusal(self, data=None, options=(), address=None, expected=1, files=None):
        broker = harness.Broker(data=data, options=options, files=files)
        self.addCleanup(broker.close)
        broker.address = address
        broker.start(wait=False)
        status = broker.process.wait(20)
        self.assertEqual(status, expected, broker.said())
        return broker.said()

    def test_two_brokers_on_one_directory(self):
        with harness.Broker() as broker:
            said = self.refusal(data=broker.data)
            self.assertIn(broker.data, said)
            self.assertRegex(said, "another|in use|running")

    def test_two_brokers_on_one_port(self):
        with harness.Broker() as broker:
            self.assertIn(broker.address, self.refusal(address=broker.address))

    def test_foreign_directory(self):
        with tempfile.TemporaryDirectory() as home:
            with open(os.path.join(home, "thesis.tex"), "w") as f:
                f.write("years of work")
            self.assertIn(home, self.refusal(data=home))
            self.assertEqual(os.listdir(home), ["thesis.tex"])

    def test_unwritable_directory(self):
        self.assertIn("/proc", self.refusal(data="/proc/cairn"))

    def test_too_few_descriptors(self):
        said = self.refusal(files=(300, 300))
        self.assertRegex(said, "lets this process open 300 files, and it needs [0-9]+")
        self.assertIn("LimitNOFILE", said)
        many_files = ["--journal-bytes", "2GiB", "--journal-file-bytes", "1MiB", "--journal-group-bytes", "256KiB"]
        self.assertIn("journal-file-bytes", self.refusal(files=(2048, 2048), options=many_files))

    def test_descriptors_of_a_modest_machine(self):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        for soft, hard in ((64, 1024), (1024, 4096), (1024, most)):
            with harness.Broker(files=(soft, hard)) as broker, harness.Client(broker.address) as client:
                self.assertEqual(resource.prlimit(broker.process.pid, resource.RLIMIT_NOFILE), (hard, hard))
                self.assertEqual("event=few_files" in broker.said(), hard < 4096)
                client.create_topic(name="t")

    def test_unknown_option_and_bad_value(self):
        self.assertIn("journal-bytes", self.refusal(options=["--journal-byte", "1GiB"], expected=2))
        self.assertIn("journal-bytes", self.refusal(options=["--journal-bytes", "many"], expected=2))

    def test_open_listener_needs_a_word(self):
        self.assertIn("--advertise", self.refusal(address="0.0.0.0:0", expected=2))
        self.assertIn("--insecure", self.refusal(address="0.0.0.0:0", options=["--advertise", "127.0.0.1:1"], expected=2))


# A client so small that it can do what no library lets one do.

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def header(name, value):
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def http2_call(address, path, data, encoding=b"identity"):
    """One call whose DATA is exactly `data`; returns grpc-status, or None when the server only closed."""
    host, port = address.rsplit(":", 1)
    headers = (
        header(b":method", b"POST")
        + header(b":scheme", b"http")
        + header(b":path", path.encode())
        + header(b":authority", address.encode())
        + header(b"content-type", b"application/grpc")
        + header(b"te", b"trailers")
        + header(b"grpc-encoding", encoding)
    )
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(PREFACE + frame(4, 0, 0) + frame(1, 4, 1, headers))
        for at in range(0, len(data), 16384):
            connection.sendall(frame(0, 0, 1, data[at : at + 16384]))
        connection.sendall(frame(0, 1, 1))
        received = b""
        try:
            while b"grpc-status" not in received:
                chunk = connection.recv(65536)
                if not chunk:
                    break
                received += chunk
        except OSError:
            pass
    at = received.find(b"grpc-status")
    if at < 0:
        return None
    length = received[at + 11]
    return int(received[at + 12 : at + 12 + length]) if length < 3 else None


def http2_call_without_message(address, path):
    return http2_call(address, path, b"")


if __name__ == "__main__":
    harness.main()
