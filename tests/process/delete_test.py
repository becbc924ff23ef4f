"""A topic that is deleted frees its disk on every broker, also on one that was down meanwhile, and nothing of another topic goes with it."""

import os

import cluster
import harness
from admin_case import AdminCase

FREED_S = 60  # within which the disk is free
RECORD, RECORDS, MIB = b"x" * 50_000, 20, 1 << 20
JOURNAL_MIB, GONE_MIB, KEPT_MIB = 32, 48, 8


def files_under(path):
    """Bytes that the files under it take on the disk; one that goes meanwhile takes none."""
    taken = 0
    for directory, _, names in os.walk(path):
        for name in names:
            try:
                taken += os.stat(os.path.join(directory, name)).st_blocks * 512
            except FileNotFoundError:
                pass
    return taken


class DeleteTest(AdminCase):
    options = ["--journal-bytes", "%dMiB" % JOURNAL_MIB, "--journal-file-bytes", "4MiB", "--election-timeout-ms", "500", "--heartbeat-ms", "50"]

    def make(self, topic):
        """Returns the numbers of its groups: their directories begin with them."""
        self.follower.call("create_topic", name=topic, partitions=2, replicas=3, timeout=10)
        return [str(place.group_id) for place in self.follower.call("describe_topic", name=topic).partitions]

    def fill(self, topic, mib):
        batch = harness.batch(*[RECORD] * RECORDS)
        for i in range(mib * MIB // (len(RECORD) * RECORDS)):
            self.follower.call("append", topic=topic, partition=i % 2, batch=batch, timeout=10)

    @staticmethod
    def directories_of(broker, groups):
        home = os.path.join(broker.data, "p")
        return [os.path.join(home, name) for name in os.listdir(home) if name.partition("-")[0] in groups]

    def bytes_of(self, broker, groups):
        return sum(files_under(directory) for directory in self.directories_of(broker, groups))

    def has_freed(self, broker, groups):
        """Within FREED_S. Seconds."""
        return self.wait_for("its disk is free", lambda: not self.directories_of(broker, groups), FREED_S)

    def filled(self):
        """Two topics on all brokers, and what the second has takes disk on each of them beside the journal."""
        kept = self.make("kept")
        gone = self.make("gone")
        self.fill("kept", KEPT_MIB)
        self.fill("gone", GONE_MIB)
        for broker in self.cluster.brokers:
            self.wait_for("it has segments", lambda broker=broker: self.bytes_of(broker, gone) > GONE_MIB // 4 * MIB)
        return kept, gone

    def check_kept(self):
        end = self.follower.call("describe_partition", topic="kept", partition=1).high_watermark
        self.assertGreaterEqual(end, KEPT_MIB * MIB // len(RECORD) // 2 // RECORDS * RECORDS)
        for broker in self.cluster.brokers:
            self.assertEqual(cluster.read_all(broker.address, "kept", 1, end), [RECORD] * end)

    def test_the_disk_is_free_on_all_and_on_one_that_was_down(self):
        _, gone = self.filled()
        down = self.cluster.brokers[2]
        down.kill()
        self.follower.call("delete_topic", name="gone", timeout=10)
        took = [self.has_freed(broker, gone) for broker in self.cluster.brokers[:2]]
        held = self.bytes_of(down, gone)
        self.assertGreater(held, 0, "it has heard of nothing")

        down.start()
        late = self.has_freed(down, gone)
        self.show("free after %.1f s on those that were up, and %.1f s after its start on one that was down (%.1f MiB)" % (max(took), late, held / MIB))
        self.check_kept()
        self.assertEqual(self.cluster.brokers[2].stop(), 0)
        down.start()  # and so it stays
        self.assertEqual(self.directories_of(down, gone), [])

    def test_another_of_the_same_name_is_not_touched_by_what_is_left_of_the_first(self):
        _, gone = self.filled()
        down = self.cluster.brokers[2]
        down.kill()
        self.follower.call("delete_topic", name="gone", timeout=10)
        again = self.make("gone")
        self.assertEqual(set(again) & set(gone), set())
        self.follower.call("append", topic="gone", partition=0, batch=harness.batch(b"new"), timeout=10)
        down.start()
        self.has_freed(down, gone)
        self.assertEqual(cluster.read_all(down.address, "gone", 0, 1), [b"new"])
        self.check_kept()


if __name__ == "__main__":
    harness.main()
