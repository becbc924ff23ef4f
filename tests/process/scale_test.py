"""What a broker costs when nothing happens: memory, processor, and how long it takes to be there again. The times are printed, not judged."""

import os
import time

import harness

MIB = 1 << 20
TOPICS, PARTITIONS = 10, 1000
IDLE_SECONDS = 5
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_ticks(process):
    """Of all its threads, user and system."""
    with open("/proc/%d/stat" % process.pid) as stat:
        fields = stat.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


class ScaleTest(harness.Case):
    def assert_below(self, resident, bound):
        self.assertLess(resident, bound * (4 if harness.sanitized() else 1))

    def test_one_topic_is_small(self):
        with harness.Broker() as broker, harness.Client(broker.address) as client:
            client.create_topic(name="t")
            client.append(topic="t", partition=0, batch=harness.batch(b"v"))
            resident = broker.resident_bytes()
            self.show("1 topic: %.1f MiB resident" % (resident / MIB))
            self.assert_below(resident, 40 * MIB)

    def test_ten_thousand_partitions_are_small_idle_and_soon_back(self):
        broker = harness.Broker()
        self.addCleanup(broker.close)
        broker.start()
        with harness.Client(broker.address) as client:
            began = time.monotonic()
            for i in range(TOPICS):
                client.create_topic(timeout=60, name="topic-%d" % i, partitions=PARTITIONS)
            made = time.monotonic() - began
            for i in range(TOPICS):
                for p in range(0, PARTITIONS, 100):
                    client.append(topic="topic-%d" % i, partition=p, batch=harness.batch(b"v"))
        broker.kill()
        broker.start()
        with harness.Client(broker.address) as client:
            for i in range(TOPICS):
                for p in range(0, PARTITIONS, 100):
                    self.assertEqual(harness.read_values(client, "topic-%d" % i, p), [b"v"])
        time.sleep(1)
        before = cpu_ticks(broker.process)
        time.sleep(IDLE_SECONDS)
        ticks = cpu_ticks(broker.process) - before
        resident = broker.resident_bytes()
        self.show(
            "%d partitions: made in %.1f s, ready %.0f ms after kill -9, %.1f MiB resident, %.2f %% of a core while idle"
            % (TOPICS * PARTITIONS, made, broker.start_ms, resident / MIB, 100.0 * ticks / TICKS / IDLE_SECONDS)
        )
        self.assert_below(resident, 200 * MIB)
        self.assertLess(ticks, TICKS * IDLE_SECONDS / 100)


if __name__ == "__main__":
    harness.main()
