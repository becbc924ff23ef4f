"""Three brokers on machines of their own, what can happen to them, and the histories of those who use them meanwhile.

TEST_ROUNDS sets the rounds of each fault (in the suite 2; before a release 20), TEST_SECONDS how long a partial partition is looked at (5; 60),
TEST_SEED the seed.
"""

import os
import random
import re
import statistics
import time

import grpc

import cluster
import harness
import journal_files
import loop_disk
import namespaces
import wall_clock

ROUNDS = int(os.environ.get("TEST_ROUNDS", "2"))
SECONDS = int(os.environ.get("TEST_SECONDS", "5"))
SEED = int(os.environ.get("TEST_SEED", "1"))
PARTITIONS = 3
ELECTION_S = 0.5
FAULT_S = 3 * ELECTION_S
FULL_S = 10  # until a full disk is seen (a second) and others lead
RECOVERY_S = 60  # a bound on what waits, not a promise
OPTIONS = [
    *["--election-timeout-ms", "%dms" % (1000 * ELECTION_S), "--heartbeat-ms", "%dms" % (100 * ELECTION_S)],
    *["--journal-bytes", "24MiB", "--journal-file-bytes", "4MiB", "--disk-reserve-bytes", "8MiB"],
]
WORKERS = [cluster.Writer, cluster.Writer, cluster.Conditional, cluster.Looker, cluster.Reader]


class Nemesis(harness.Case):
    """A cluster, workers, one kind of fault in rounds, and the verdict."""

    @classmethod
    def setUpClass(cls):
        cls.machines = namespaces.machines(3)

    def setUp(self):
        self.chance = random.Random("%d %s" % (SEED, self.id()))
        self.cluster = cluster.Cluster(3, options=OPTIONS, hosts=self.hosts(), data=self.directories())
        self.addCleanup(self.cluster.close_after, self)
        self.addCleanup(self.machines.heal)
        self.cluster.start()
        cluster.Follower(self.cluster.addresses).call("create_topic", name="t", partitions=PARTITIONS, replicas=3, repeatable=False)

    def hosts(self):
        return self.machines.hosts()

    def directories(self):
        """Where the brokers' data are; None: each in a directory of its own."""
        return None

    def begin(self):
        self.began = time.monotonic()
        self.workers = cluster.start_workers(self.cluster, WORKERS, "t", PARTITIONS, self.chance)
        self.stretches = []

    def all_go_on(self):
        """Waits until every partition acknowledges again."""
        for partition in range(PARTITIONS):
            writers = [w for w in self.workers if isinstance(w, cluster.Writer) and w.partition == partition]
            before = sum(w.history.acknowledged() for w in writers)
            self.wait_until(
                lambda: sum(w.history.acknowledged() for w in writers) > before,
                lambda: "partition %d does not go on: %s" % (partition, "; ".join(str(w.failure or w.last_refusal) for w in writers)),
            )

    def wait_until(self, true, failure):
        end = time.monotonic() + RECOVERY_S
        while not true():
            if time.monotonic() > end:
                self.fail(failure())
            time.sleep(0.02)

    def verdict(self, name):
        cluster.join_all(self.workers)
        histories = cluster.check_all(self.cluster, "t", PARTITIONS, self.workers)
        silences = [histories[partition].longest_silence(began, ended) for partition, began, ended in self.stretches]
        self.show(
            "%-20s seed %d, %d rounds: %6d acknowledged, 0 lost, 0 duplicated, 0 reordered, 0 stale; unavailable %.0f ms (median), %.0f ms (worst); %.0f s"
            % (
                *(name, SEED, ROUNDS, sum(h.acknowledged() for h in histories)),
                *(1000 * statistics.median(silences), 1000 * max(silences), time.monotonic() - self.began),
            )
        )

    def rounds(self, name, hurt, mend, fault_s=FAULT_S):
        """Under load, again and again: `hurt(victim)` the leader of a partition, wait, `mend(victim)`, wait. Then the verdict. Where nobody
        is left who could take over (fault_s is 0) it is counted from mend() on for how long nothing is acknowledged, else from hurt() on."""
        self.begin()
        for _ in range(ROUNDS):
            time.sleep(self.chance.uniform(0.2, 0.7))
            partition = self.chance.randrange(PARTITIONS)
            victim = self.cluster.brokers.index(self.cluster.leader("t", partition))
            began = time.monotonic()
            hurt(victim)
            time.sleep(fault_s)
            began = began if fault_s > 0 else time.monotonic()
            mend(victim)
            self.all_go_on()
            self.stretches.append((partition, began, time.monotonic()))
        self.verdict(name)


class ProcessTest(Nemesis):
    def test_kill(self):
        self.rounds("kill -9", lambda i: self.cluster.brokers[i].kill(), lambda i: self.cluster.brokers[i].start(timeout=RECOVERY_S))

    def test_pause(self):
        """The old leader wakes up, and answers nothing stale."""
        self.rounds("SIGSTOP", lambda i: self.cluster.brokers[i].pause(), lambda i: self.cluster.brokers[i].resume())

    def test_kill_all(self):
        def hurt(_):
            for broker in self.cluster.brokers:
                broker.kill()

        def mend(_):
            self.cluster.start(timeout=RECOVERY_S)

        self.rounds("kill -9 of all", hurt, mend, fault_s=0)


class NetworkTest(Nemesis):
    def test_who_is_cut_off_does_not_say_what_is_not_there(self):
        """Another leader may have made the topic by now: only who is confirmed says that there is none."""
        follower = cluster.Follower(self.cluster.addresses)
        self.wait_until(lambda: follower.call("describe_cluster").controller_id != 0, lambda: "nobody leads group 0")
        leader = follower.call("describe_cluster").controller_id - 1
        client = cluster.Follower.client(self.cluster.brokers[leader].address)
        self.refused(grpc.StatusCode.NOT_FOUND, "UNKNOWN_TOPIC", client.describe_partition, topic="nobody-made-it", partition=0)
        self.machines.isolate(leader)
        place = {"topic": "nobody-made-it", "partition": 0}
        asks = [
            *[(client.describe_partition, place), (client.append, {**place, "batch": harness.batch(b"x")})],
            (client.describe_topic, {"name": "nobody-made-it"}),
        ]
        for method, fields in asks:
            with self.assertRaises(grpc.RpcError) as caught:
                method(timeout=RECOVERY_S, **fields)
            self.assertNotEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)

    def test_isolated(self):
        self.rounds("cut off", self.machines.isolate, lambda i: self.machines.heal())

    def test_deaf(self):
        self.rounds("one-way: deaf", self.machines.deafen, lambda i: self.machines.heal())

    def test_mute(self):
        self.rounds("one-way: mute", self.machines.mute, lambda i: self.machines.heal())

    def test_partial_partition(self):
        self.rounds("partial partition", lambda i: self.machines.cut(i, (i + 1) % 3), lambda i: self.machines.heal())

    def test_partial_partition_costs_little(self):
        """Two brokers do not hear each other, the third hears both: work goes on nearly as before, and leadership does not go round."""
        self.begin()
        self.all_go_on()
        began = time.monotonic()
        time.sleep(SECONDS)
        leaders = self.times_led()
        self.machines.cut(0, 1)
        time.sleep(2 * ELECTION_S)
        cut = time.monotonic()
        time.sleep(SECONDS)
        changes = self.times_led() - leaders
        self.machines.heal()
        self.all_go_on()
        cluster.join_all(self.workers)
        histories = cluster.check_all(self.cluster, "t", PARTITIONS, self.workers)
        before, after = (sum(h.acknowledged_between(start, start + SECONDS) for h in histories) for start in (began, cut))
        self.show(
            "partial partition for %d s: %.0f %% of the appends before, from two timeouts on; %d new leaders of %d groups"
            % (SECONDS, 100.0 * after / before, changes, PARTITIONS + 1)
        )
        self.assertGreater(after, 0)
        self.assertLessEqual(changes, 2)

    def times_led(self):
        """How often a broker became the leader of a group, so far."""
        return sum(len(re.findall(r"event=replica_role .*leads=1", broker.said())) for broker in self.cluster.brokers)

    def test_slow_link(self):
        self.rounds("slow link", lambda i: self.machines.slow(i, "1mbit"), lambda i: self.machines.heal())


class DiskNemesis(Nemesis):
    """Each broker on a disk of its own, which is replaced when it is hurt for good."""

    def new_disk(self):
        disk = self.make_disk()
        self.addCleanup(disk.close)  # of what is replaced a second time: it does nothing then
        disk.mount()
        return disk

    def directories(self):
        self.disks = [self.new_disk() for _ in range(3)]
        return [self.data_on(disk) for disk in self.disks]

    @staticmethod
    def data_on(disk):
        return os.path.join(disk.mount_point, "data")

    def replace(self, i, disk):
        """PRE: the broker is dead, and `disk` mounted."""
        self.cluster.brokers[i].data = self.data_on(disk)
        self.disks[i].close()
        self.disks[i] = disk


class FullDiskTest(DiskNemesis):
    def make_disk(self):
        return loop_disk.LoopDisk(96)

    def test_full_disk(self):
        """Of the leader: it refuses, and those who have space lead instead of it: while its disk is full every partition goes on. When it has
        space again it catches up."""

        def hurt(i):
            broker = self.cluster.brokers[i]
            told = broker.said().count("event=disk_full")
            began = time.monotonic()
            with open(os.path.join(self.disks[i].mount_point, "filler"), "wb", buffering=0) as filler:
                try:
                    while filler.write(b"\1" * (1 << 20)):
                        pass
                except OSError:
                    pass
            self.wait_until(lambda: broker.said().count("event=disk_full") > told, lambda: "it does not see that its disk is full")
            self.all_go_on()
            self.assertLess(time.monotonic() - began, FULL_S, "nobody else leads in time")
            for partition in range(PARTITIONS):
                self.assertIsNot(self.cluster.leader("t", partition), broker)

        self.rounds("full disk", hurt, lambda i: os.unlink(os.path.join(self.disks[i].mount_point, "filler")))
        self.assertIn("DISK_FULL", set().union(*(worker.reasons for worker in self.workers)), "the disk was never full enough")


class SlowDiskTest(DiskNemesis):
    def make_disk(self):
        return loop_disk.LoopDisk(96)

    def test_slow_disk(self):
        """Of the leader: whatever it writes waits a tenth of a second. It leads on, since it still does what it must within an election timeout."""
        slow = {}

        def hurt(i):
            slow[i] = loop_disk.SlowDisk(self.disks[i])
            slow[i].start()
            self.addCleanup(slow[i].stop)

        self.rounds("slow disk", hurt, lambda i: slow[i].stop())


class ClockTest(Nemesis):
    """Wall clocks that jump by hours, forwards and back. Nothing hangs on them but the time that stands in a record."""

    def setUp(self):
        self.clocks = [wall_clock.WallClock() for _ in range(3)]
        for clock in self.clocks:
            self.addCleanup(clock.close)
        super().setUp()

    def hosts(self):
        return [(address, (*prefix, *clock.prefix())) for (address, prefix), clock in zip(self.machines.hosts(), self.clocks)]

    def test_clock_jump(self):
        def hurt(i):
            self.clocks[i].set(self.chance.choice([-1, 1]) * self.chance.uniform(60, 100000))

        self.rounds("clock jump", hurt, lambda i: self.clocks[i].set(0))
        self.assertTrue(all(clock.asked() for clock in self.clocks), "a broker does not ask the clock of this test")


class FailingSyncTest(DiskNemesis):
    def make_disk(self):
        return loop_disk.ThinDisk(96)

    def test_failing_sync(self):
        def hurt(i):
            broker = self.cluster.brokers[i]
            broker.pause()  # nobody may write meanwhile
            for path, kept in journal_files.kept(os.path.join(broker.data, "journal")).items():
                self.disks[i].break_syncs(path, kept)
            broker.resume()

        def mend(i):
            broker = self.cluster.brokers[i]
            self.wait_until(lambda: "restart on a good disk" in broker.said(), lambda: "no sync failed: the disk is not broken enough")
            broker.kill()
            disk = self.new_disk()
            loop_disk.run("cp", "-a", broker.data, self.data_on(disk))
            self.replace(i, disk)
            broker.start(timeout=RECOVERY_S)

        self.rounds("failing sync", hurt, mend)


class PowerCutTest(DiskNemesis):
    def make_disk(self):
        return loop_disk.LoopDisk(96)

    def test_power_cut_of_all(self):
        """Three brokers stop at once, and start on what their disks have: what only their page cache had is gone. Whatever was acknowledged
        by then, by whomever, is on a majority of the disks."""

        def hurt(_):
            for broker in self.cluster.brokers:
                broker.pause()
            copies = [disk.power_cut() for disk in self.disks]
            for i, copy in enumerate(copies):
                self.addCleanup(copy.close)
                copy.mount()
                self.cluster.brokers[i].kill()
                self.replace(i, copy)

        self.rounds("power cut of all", hurt, lambda _: self.cluster.start(timeout=RECOVERY_S), fault_s=0)


if __name__ == "__main__":
    namespaces.enter()
    harness.main()
