"""A broker in a process of its own, and a stock gRPC client: nothing of Cairn's but the generated messages.

Every test starts its brokers on free ports of the loopback and in directories of its own, and leaves nothing behind.
"""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import grpc

from cairn.v1 import admin_pb2, log_pb2, record_pb2

CAIRND = os.environ.get("CAIRND", "server/cairnd")
CAIRN = os.environ.get("CAIRN", "clients/cli/cairn")

LINES_SHOWN = 40
READY = re.compile(r"^cairnd: ready on (\S+)", re.MULTILINE)


# Of a broker whose memory is measured: AddressSanitizer keeps what was freed, but not 256 MiB of it.
MEASURED = {"ASAN_OPTIONS": "quarantine_size_mb=16"}


def sanitized():
    """Is the broker built with a sanitizer? It needs a multiple of the memory then."""
    with open(CAIRND, "rb") as program:
        content = program.read()
    return b"__asan_init" in content or b"__tsan_init" in content


def thread_states(pid):
    """One letter each, as proc(5) has them."""
    for task in os.listdir("/proc/%d/task" % pid):
        try:
            with open("/proc/%d/task/%s/stat" % (pid, task)) as stat:
                yield stat.read().rpartition(")")[2].split()[0]
        except FileNotFoundError:  # it ended meanwhile
            pass


class Broker:
    """cairnd on a directory. `data` stays from one start to the next; close() removes what this object made. `address`: where it
    listens, None: on a port that it picks. `prefix`: a command that runs it, as `ip netns exec NAME`."""

    def __init__(self, data=None, options=(), environment=None, files=None, address=None, prefix=()):
        self.home = tempfile.mkdtemp(prefix="cairn-test-")
        self.data = data or os.path.join(self.home, "data")
        self.options = list(options)
        self.environment = environment or {}
        self.files = files  # (soft, hard): so many descriptors the system lets it have
        self.process = None
        self.address = address
        self.prefix = list(prefix)
        self.log_path = os.path.join(self.home, "log")
        self.start_ms = None

    def start(self, timeout=30, wait=True):
        log = open(self.log_path, "ab")
        self.log_from = log.tell()
        command = [*self.prefix, CAIRND, "--data-dir", self.data, "--listen", self.address or "127.0.0.1:0", *self.options]
        self.began = time.monotonic()
        limit = self.files and (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, self.files))
        self.process = subprocess.Popen(
            command, stderr=log, stdout=log, env={**os.environ, **self.environment}, preexec_fn=limit
        )
        log.close()
        return self.wait_ready(timeout) if wait else self

    def wait_ready(self, timeout=30):
        while True:
            ready = READY.search(self.said())
            if ready:
                break
            if self.process.poll() is not None:
                raise RuntimeError("cairnd ended with %s: %s" % (self.process.returncode, self.said()))
            if time.monotonic() - self.began > timeout:
                raise RuntimeError("cairnd was not ready in time: " + self.said())
            time.sleep(0.005)
        self.start_ms = (time.monotonic() - self.began) * 1000
        self.address = ready.group(1)
        return self

    def said(self):
        """What it wrote since the last start."""
        with open(self.log_path, errors="replace") as log:
            log.seek(self.log_from)
            return log.read()

    def tell(self):
        """Shows the end of that."""
        print("".join("    | " + line for line in self.said().splitlines(True)[-LINES_SHOWN:]), flush=True)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, timeout=30):
        """Asks it to stop; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def pause(self):
        """Returns when all its threads stand still, also those that were in the middle of a write: until then it may still answer."""
        self.process.send_signal(signal.SIGSTOP)
        while any(state != "T" for state in thread_states(self.process.pid)):
            time.sleep(0.001)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def resident_bytes(self):
        with open("/proc/%d/status" % self.process.pid) as status:
            return int(re.search(r"VmRSS:\s+(\d+) kB", status.read()).group(1)) * 1024

    def peak_bytes(self):
        """The most that was ever resident since it was started."""
        with open("/proc/%d/status" % self.process.pid) as status:
            return int(re.search(r"VmHWM:\s+(\d+) kB", status.read()).group(1)) * 1024

    def bound(self, size):
        """What so much, bytes or seconds, may become where a sanitizer has its own memory beside ours, keeps what was freed, and looks on."""
        with open("/proc/%d/maps" % self.process.pid) as maps:
            loaded = maps.read()
        return size * (12 if "libtsan" in loaded else 4 if "libasan" in loaded else 1)

    def close(self):
        if self.alive():
            self.kill()
        if sys.exc_info()[0] is not None and self.process is not None:  # a test that fails shows what its brokers said
            self.tell()
        shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()


class Client:
    """One channel, all methods."""

    def __init__(self, address, options=()):
        # A connection of its own: one that another client left, and nobody reads from, may be that of a process that has ended.
        self.channel = grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1), *options])
        self.append = self._unary("Log/Append", log_pb2.AppendRequest, log_pb2.AppendResponse)
        self.read = self._unary("Log/Read", log_pb2.ReadRequest, log_pb2.ReadResponse)
        self.describe_partition = self._unary(
            "Log/DescribePartition", log_pb2.DescribePartitionRequest, log_pb2.DescribePartitionResponse
        )
        self.find_offset = self._unary("Log/FindOffset", log_pb2.FindOffsetRequest, log_pb2.FindOffsetResponse)
        self.trim = self._unary("Log/Trim", log_pb2.TrimRequest, log_pb2.TrimResponse)
        self.create_topic = self._unary("Admin/CreateTopic", admin_pb2.CreateTopicRequest, admin_pb2.CreateTopicResponse)
        self.list_topics = self._unary("Admin/ListTopics", admin_pb2.ListTopicsRequest, admin_pb2.ListTopicsResponse)
        self.describe_topic = self._unary(
            "Admin/DescribeTopic", admin_pb2.DescribeTopicRequest, admin_pb2.DescribeTopicResponse
        )
        self.alter_topic = self._unary("Admin/AlterTopic", admin_pb2.AlterTopicRequest, admin_pb2.AlterTopicResponse)
        self.add_partitions = self._unary("Admin/AddPartitions", admin_pb2.AddPartitionsRequest, admin_pb2.AddPartitionsResponse)
        self.transfer_leadership = self._unary(
            "Admin/TransferLeadership", admin_pb2.TransferLeadershipRequest, admin_pb2.TransferLeadershipResponse
        )
        self.move_partition = self._unary("Admin/MovePartition", admin_pb2.MovePartitionRequest, admin_pb2.MovePartitionResponse)
        self.cancel_move = self._unary("Admin/CancelMove", admin_pb2.CancelMoveRequest, admin_pb2.CancelMoveResponse)
        self.list_moves = self._unary("Admin/ListMoves", admin_pb2.ListMovesRequest, admin_pb2.ListMovesResponse)
        self.plan_reassignment = self._unary(
            "Admin/PlanReassignment", admin_pb2.PlanReassignmentRequest, admin_pb2.PlanReassignmentResponse
        )
        self.delete_topic = self._unary("Admin/DeleteTopic", admin_pb2.DeleteTopicRequest, admin_pb2.DeleteTopicResponse)
        self.describe_broker = self._unary(
            "Admin/DescribeBroker", admin_pb2.DescribeBrokerRequest, admin_pb2.DescribeBrokerResponse
        )
        self.describe_cluster = self._unary(
            "Admin/DescribeCluster", admin_pb2.DescribeClusterRequest, admin_pb2.DescribeClusterResponse
        )
        self.set_broker_standing = self._unary(
            "Admin/SetBrokerStanding", admin_pb2.SetBrokerStandingRequest, admin_pb2.SetBrokerStandingResponse
        )
        self.raise_feature_level = self._unary(
            "Admin/RaiseFeatureLevel", admin_pb2.RaiseFeatureLevelRequest, admin_pb2.RaiseFeatureLevelResponse
        )
        self.append_stream = self.channel.stream_stream(
            "/cairn.v1.Log/AppendStream",
            request_serializer=log_pb2.AppendRequest.SerializeToString,
            response_deserializer=log_pb2.AppendResponse.FromString,
        )
        self.tail = self.channel.unary_stream(
            "/cairn.v1.Log/Tail",
            request_serializer=log_pb2.TailRequest.SerializeToString,
            response_deserializer=log_pb2.TailResponse.FromString,
        )
        self.watch_cluster = self.channel.unary_stream(
            "/cairn.v1.Admin/WatchCluster",
            request_serializer=admin_pb2.WatchClusterRequest.SerializeToString,
            response_deserializer=admin_pb2.WatchClusterResponse.FromString,
        )

    def _unary(self, name, request, response):
        method = self.channel.unary_unary(
            "/cairn.v1." + name, request_serializer=request.SerializeToString, response_deserializer=response.FromString
        )

        def call(timeout=10, **fields):
            return method(request(**fields), timeout=timeout)

        call.method = method
        return call

    def raw(self, name):
        """A method that takes and gives bytes."""
        return self.channel.unary_unary("/cairn.v1." + name, request_serializer=None, response_deserializer=None)

    def close(self):
        self.channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def batch(*values, **fields):
    """A batch of records that have only values."""
    records = [record_pb2.Record(value=value) for value in values]
    return record_pb2.RecordBatch(records=record_pb2.Records(records=records), **fields)


def read_values(client, topic, partition, offset=0, limit=None):
    """Every value from an offset to the high watermark, by Read; checks that offsets are dense."""
    values = []
    while limit is None or len(values) < limit:
        answer = client.read(topic=topic, partition=partition, offset=offset, max_bytes=3 << 20)
        for stored in answer.batches:
            records = stored.batch.records.records
            assert stored.base_offset <= offset, "a gap before offset %d" % stored.base_offset
            assert stored.last_offset == stored.base_offset + len(records) - 1
            assert stored.batch.record_count == len(records)
            values.extend(record.value for record in records[offset - stored.base_offset :])
            offset = stored.last_offset + 1
        assert answer.next_offset == offset
        if offset >= answer.high_watermark:
            break
    return values


def crc32c(data):
    """CRC32C (Castagnoli), bit by bit: slow, and independent of the code under test."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


class Failure:
    """A gRPC error, with Cairn's words about it."""

    def __init__(self, error):
        self.code = error.code()
        self.text = error.details()
        trailing = {pair.key: pair.value for pair in error.trailing_metadata()}
        self.executed = trailing.get("cairn-executed")
        self.reason = trailing.get("cairn-reason")
        self.next_offset = trailing.get("cairn-next-offset")
        self.retry_after_ms = trailing.get("retry-after-ms")
        self.leader = trailing.get("cairn-leader")

    def __str__(self):
        return "%s %s executed=%s: %s" % (self.code, self.reason, self.executed, self.text)


class Case(unittest.TestCase):
    """A test case with a refusal checker, patience, and one line per figure worth seeing."""

    patience_s = 60  # a bound on what waits, not a promise

    def wait_for(self, what, holds, patience_s=None):
        """Seconds until it holds."""
        began = time.monotonic()
        while not holds():
            self.assertLess(time.monotonic() - began, patience_s or self.patience_s, "in vain: %s" % what)
            time.sleep(0.05)
        return time.monotonic() - began

    def refused(self, code, reason, call, *arguments, executed="no", **fields):
        with self.assertRaises(grpc.RpcError) as caught:
            call(*arguments, **fields)
        failure = Failure(caught.exception)
        self.assertEqual((failure.code, failure.reason, failure.executed), (code, reason, executed), str(failure))
        self.assertGreater(len(failure.text), 20, "an error says what, why, and what to do")
        return failure

    def failed(self):
        """In a cleanup: did the test fail?"""
        result = self._outcome.result
        return any(test is self for test, _ in result.failures + result.errors)

    @staticmethod
    def show(text):
        print("    " + text, flush=True)


def main():
    unittest.main(verbosity=2)
