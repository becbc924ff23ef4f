"""How long a broker takes to be ready when as much of its journal as possible is not in segments yet: a figure, and no loss.

Many partitions with a little each: less than a checkpoint would flush, so all of it stays in the ring, as full as the broker lets it
become. A start then reads the ring, writes what it accepted to the head of a fresh one, and syncs it.
TEST_ROUNDS sets the number of starts.
"""

import os
import threading

import harness
from cairn.v1 import log_pb2
from harness import batch, read_values

ROUNDS = int(os.environ.get("TEST_ROUNDS", "3"))
TOPICS, PARTITIONS, BATCHES, SIZE = 6, 1000, 6, 9000


class RecoveryTest(harness.Case):
    def test_a_full_journal_is_recovered_whole(self):
        broker = harness.Broker().start()
        self.addCleanup(broker.close)
        with harness.Client(broker.address) as client:
            for topic in range(TOPICS):
                client.create_topic(name="t%d" % topic, partitions=PARTITIONS, timeout=60)
        kept = {}
        writers = [threading.Thread(target=self.write, args=(broker.address, topic, kept)) for topic in range(TOPICS)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        broker.kill()
        total = sum(kept.values()) * SIZE
        self.assertGreater(total, 128 << 20)

        times, resident = [], 0
        for _ in range(ROUNDS):
            broker.start(timeout=120)
            times.append(broker.start_ms)
            resident = max(resident, broker.resident_bytes())
            broker.kill()
        self.show(
            "%d MiB in %d partitions; ready after %s ms; %d MiB resident"
            % (total >> 20, len(kept), ", ".join("%.0f" % ms for ms in times), resident >> 20)
        )

        broker.start(timeout=120)
        with harness.Client(broker.address) as client:
            for (topic, partition), count in kept.items():
                values = read_values(client, "t%d" % topic, partition)
                self.assertGreaterEqual(len(values), count)
                for i, value in enumerate(values[:count]):
                    self.assertTrue(value.startswith(b"%d.%d.%d:" % (topic, partition, i)))

    @staticmethod
    def write(address, topic, kept):
        """A round over all partitions, and another, until one append is refused. `kept`: how many each acknowledged."""
        order = [(round_number, partition) for round_number in range(BATCHES) for partition in range(PARTITIONS)]

        def requests():
            for number, (round_number, partition) in enumerate(order):
                head = b"%d.%d.%d:" % (topic, partition, round_number)
                yield log_pb2.AppendRequest(
                    topic="t%d" % topic,
                    partition=partition,
                    request_id=number + 1,
                    batch=batch(head + b"x" * (SIZE - len(head))),
                )

        with harness.Client(address) as client:
            for answer in client.append_stream(requests()):
                if not answer.HasField("error"):
                    place = (topic, order[answer.request_id - 1][1])
                    kept[place] = kept.get(place, 0) + 1


if __name__ == "__main__":
    harness.main()
