"""Concurrent appends whose every value names itself, and the check of what a log holds after a crash.

A value is `ROUND.BATCH.INDEX/COUNT:padding`. So from the log alone it can be told whether a batch is whole, whether batches
are in the order in which they were sent, and whether any is there twice; and with the acknowledgements, whether any is lost.
"""

import queue
import random
import threading

import grpc

import harness
from cairn.v1 import log_pb2


class Appender(threading.Thread):
    """One partition's client: a stream of batches, some of them in flight, until the connection breaks or stop()."""

    def __init__(self, address, topic, partition, round_number, seed, window=8, records_max=8, bytes_max=2000):
        super().__init__(daemon=True)
        self.address, self.topic, self.partition, self.round = address, topic, partition, round_number
        self.random = random.Random(seed)
        self.window = threading.Semaphore(window)
        self.records_max, self.bytes_max = records_max, bytes_max
        self.sent = 0
        self.acknowledged = []  # (batch, base offset, count)
        self.counts = {}  # batch: count
        self.maybe = 0
        self.errors = []
        self.stopping = threading.Event()

    def values(self, batch):
        count = self.random.randint(1, self.records_max)
        self.counts[batch] = count
        return [
            b"%d.%d.%d/%d:" % (self.round, batch, i, count) + b"x" * self.random.randint(0, self.bytes_max)
            for i in range(count)
        ]

    def requests(self):
        while not self.stopping.is_set():
            if not self.window.acquire(timeout=0.05):
                continue
            batch = self.sent
            values = self.values(batch)
            self.sent += 1
            yield log_pb2.AppendRequest(
                topic=self.topic, partition=self.partition, request_id=batch + 1, batch=harness.batch(*values)
            )

    def run(self):
        with harness.Client(self.address) as client:
            try:
                for answer in client.append_stream(self.requests()):
                    if answer.HasField("error"):
                        self.errors.append(answer.error)
                        if answer.error.executed != 1:
                            self.maybe += 1
                        continue
                    batch = answer.request_id - 1
                    self.acknowledged.append((batch, answer.base_offset, answer.last_offset - answer.base_offset + 1))
                    self.window.release()
            except grpc.RpcError:
                pass
            self.stopping.set()

    def stop(self):
        self.stopping.set()


class Violation(AssertionError):
    pass


class History:
    """What one partition was told over many rounds, and where the last check ended."""

    def __init__(self, topic, partition):
        self.topic, self.partition = topic, partition
        self.checked = 0
        self.acknowledged_records = 0

    def check(self, client, appender):
        """Reads what is new since the last check and compares it with what `appender` sent and was told. Returns the records found."""
        values = harness.read_values(client, self.topic, self.partition, offset=self.checked)
        batches = self._whole_batches(values, appender)
        order = [batch for batch, _ in batches]
        if order != sorted(set(order)):
            raise Violation("partition %d: duplicated or reordered: %s" % (self.partition, order))
        places = dict(batches)
        for batch, base, count in appender.acknowledged:
            if places.get(batch) != base or appender.counts[batch] != count:
                raise Violation(
                    "partition %d: batch %d was acknowledged at offset %d and is at %s"
                    % (self.partition, batch, base, places.get(batch))
                )
        self.acknowledged_records += sum(count for _, _, count in appender.acknowledged)
        self.checked += len(values)
        return len(values)

    def _whole_batches(self, values, appender):
        batches, i = [], 0
        while i < len(values):
            head, _, _ = values[i].partition(b":")
            name, _, count = head.partition(b"/")
            round_number, batch, index = (int(part) for part in name.split(b"."))
            count = int(count)
            if round_number != appender.round or index != 0 or appender.counts.get(batch) != count:
                raise Violation("partition %d offset %d: not sent like this: %r" % (self.partition, self.checked + i, head))
            for k in range(count):
                expected = b"%d.%d.%d/%d:" % (round_number, batch, k, count)
                if i + k >= len(values) or not values[i + k].startswith(expected):
                    raise Violation("partition %d: batch %d is there in part" % (self.partition, batch))
            batches.append((batch, self.checked + i))
            i += count
        return batches


def check_all(histories, appenders, client):
    """Checks all partitions, a few at a time; returns the number of records found."""
    results = queue.Queue()

    def work(history, appender):
        try:
            results.put(history.check(client, appender))
        except Exception as error:  # noqa: BLE001 - handed to the caller
            results.put(error)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(histories, appenders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total = 0
    while not results.empty():
        result = results.get()
        if isinstance(result, Exception):
            raise result
        total += result
    return total
