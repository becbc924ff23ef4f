"""Partitions that move to other brokers, by a stock gRPC client that appends and reads meanwhile."""

import os
import pty
import signal
import subprocess
import time

import cluster
import harness
from admin_case import AdminCase

ROUNDS = int(os.environ.get("TEST_ROUNDS", "4"))
PARTITIONS = 4
WORKERS = [cluster.Writer, cluster.Conditional, cluster.Looker, cluster.Reader]


class MoveCase(AdminCase):
    def places(self, topic):
        return self.call("describe_topic", name=topic).partitions

    def move(self, topic, partition, brokers):
        self.call("move_partition", topic=topic, partition=partition, replicas=brokers)

    def wait_arrived(self, topic, brokers):
        self.wait_for("it arrives", lambda: all(not place.moving_to and list(place.replicas) == brokers for place in self.places(topic)))

    def leader(self, topic):
        """Of its first partition; 0: nobody knows just now."""
        return self.call("describe_partition", topic=topic, partition=0).leader_id

    def wait_led_by(self, topic, broker):
        self.wait_for("%d leads it" % broker, lambda: self.leader(topic) == broker)

    def append(self, topic, values):
        for sequence, value in enumerate(values):
            batch = harness.batch(value, first_sequence=sequence)
            self.follower.call("append", topic=topic, partition=0, producer="of-%d" % len(values), batch=batch)


class MoveTest(MoveCase):
    def test_a_partition_goes_to_other_brokers_and_comes_back(self):
        self.call("create_topic", name="t", partitions=1, replicas=3)
        values = [b"v%d" % i for i in range(50)]
        self.append("t", values)
        self.add_broker()
        self.add_broker()

        for target in [[2, 3, 4], [4, 5], [1, 2, 3, 4, 5], [5], [1, 2, 3]]:
            self.move("t", 0, target)
            self.wait_arrived("t", target)
            self.wait_led_by("t", target[0])
            values += [b"on-%d" % len(values)]
            batch = harness.batch(values[-1], first_sequence=len(values) - 51)
            self.follower.call("append", topic="t", partition=0, producer="p", batch=batch)
            for broker in target:
                address = self.cluster.brokers[broker - 1].address
                self.assertEqual(cluster.read_all(address, "t", 0, len(values)), values)

    def test_a_replica_in_a_lost_directory_is_replaced(self):
        self.call("create_topic", name="t", partitions=1, replicas=3)
        values = [b"v%d" % i for i in range(50)]
        self.append("t", values)
        wiped = self.cluster.brokers[2]
        wiped.kill()
        os.rename(wiped.data, wiped.data + "-lost")
        wiped.start(timeout=self.patience_s)

        def moves():  # until the map has its new directory, a move to the three is none
            self.move("t", 0, [1, 2, 3])
            return self.places("t")[0].moving_to

        self.wait_for("it moves", moves)
        self.wait_arrived("t", [1, 2, 3])

        self.assertEqual(cluster.read_all(wiped.address, "t", 0, len(values)), values)
        self.cluster.brokers[0].kill()  # it votes: without it, nothing could be appended now
        self.append("t", [b"last"])
        self.cluster.brokers[0].start()

    def test_members_change_while_brokers_are_killed(self):
        """From three to five and to three others, again and again, and in each step one of the brokers is killed. Then all five have all of it."""
        self.add_broker()
        self.add_broker()
        self.call("create_topic", name="t", partitions=PARTITIONS, replicas=3)
        workers = cluster.start_workers(self.cluster, WORKERS, "t", PARTITIONS, self.chance)
        everywhere = [1, 2, 3, 4, 5]
        for _ in range(ROUNDS):
            for target in (everywhere, sorted(self.chance.sample(everywhere, 3))):
                for partition in range(PARTITIONS):
                    self.move("t", partition, target)
                time.sleep(self.chance.uniform(0, 0.3))
                victim = self.chance.choice(self.cluster.brokers)
                victim.kill()
                time.sleep(self.chance.uniform(0, 0.5))
                victim.start()
                self.wait_arrived("t", target)
        for partition in range(PARTITIONS):
            self.move("t", partition, everywhere)
        self.wait_arrived("t", everywhere)

        cluster.join_all(workers)
        histories = cluster.check_all(self.cluster, "t", PARTITIONS, workers)
        self.show(
            "seed %d, %d rounds: %d acknowledged, 0 lost, 0 duplicated, 0 reordered, 0 stale"
            % (cluster.SEED, ROUNDS, sum(history.acknowledged() for history in histories))
        )


class CommandTest(MoveCase):
    """`cairn partition move`: what it says of a move, on the way and at its end."""

    def setUp(self):
        super().setUp()
        self.call("create_topic", name="t", partitions=1, replicas=3)
        self.home = list(self.places("t")[0].replicas)

    @staticmethod
    def move_to(brokers, *words):
        return ("partition", "move", "t", "0", "--to", ",".join(map(str, brokers)), *words)

    def said_of(self, brokers, *words):
        return self.run_cairn(*self.move_to(brokers, *words))

    def state_of(self, brokers, *words):
        told = self.told(*self.move_to(brokers, *words))
        self.assertEqual((told["topic"], told["partition"], told["replicas"]), ("t", 0, brokers))
        return told["state"]

    def wait_moving(self, brokers):
        self.wait_for("it moves", lambda: list(self.places("t")[0].moving_to) == brokers)

    def start_waiting(self, brokers, stderr=subprocess.PIPE):
        """A command that waits for a move that has begun."""
        process = self.begin(*self.move_to(brokers, "--wait"), stderr=stderr)
        self.wait_moving(brokers)
        return process

    def add_dead_broker(self):
        """It is in the map, and gone. Where the partition is to go then, and never arrives."""
        self.add_broker()
        target = self.home[:2] + [4]
        self.cluster.brokers[3].kill()
        return target

    def test_it_tells_where_the_partition_is_and_where_it_goes(self):
        self.add_broker()
        target = self.home[1:] + [4]
        home, there = (",".join(map(str, brokers)) for brokers in (self.home, target))

        self.assertEqual(self.said_of(target, "--dry-run"), "partition 0 of t could move to %s\n" % there)
        self.assertEqual(self.state_of(target, "--dry-run"), "validated")
        self.assertEqual(self.said_of(self.home, "--dry-run"), "partition 0 of t is on %s already\n" % home)
        self.assertEqual(self.said_of(self.home), "partition 0 of t is on %s already\n" % home)
        self.assertEqual(self.said_of(self.home, "--wait"), "partition 0 of t is on %s already\n" % home)
        self.assertEqual(self.state_of(self.home), "arrived")
        self.assertEqual(list(self.places("t")[0].replicas), self.home)

        self.assertEqual(self.state_of(target, "--wait"), "arrived")
        self.assertEqual(list(self.places("t")[0].replicas), target)
        self.assertIn(self.said_of(self.home, "--wait"), ["partition 0 of t %s\n" % words % home for words in ("has moved to %s", "is on %s already")])

    def test_who_waits_can_stop_and_the_move_goes_on(self):
        target = self.add_dead_broker()
        for number in (signal.SIGINT, signal.SIGTERM):
            self.move("t", 0, self.home)
            self.wait_arrived("t", self.home)
            process = self.start_waiting(target)
            process.send_signal(number)
            said, error = process.communicate(timeout=self.patience_s)
            self.assertEqual((process.returncode, said), (130, b""), error)
            self.assertIn(b"error[INTERRUPTED]", error)
            self.assertIn(b"the move goes on", error)
            self.assertEqual(list(self.places("t")[0].moving_to), target)
        self.assertEqual(self.said_of(target), "partition 0 of t is on its way to %s\n" % ",".join(map(str, target)))
        self.assertEqual(self.state_of(target), "moving")
        self.assertEqual(self.state_of(target, "--dry-run"), "validated")
        waits = "partition 0 of t waits: broker 4 is down: start it, or take the move back\n"
        self.wait_for("what it waits for is told", lambda: waits in self.run_cairn("cluster", "work"))
        self.assertIn(waits, self.run_cairn("cluster", "moves"))
        back = "partition 0 of t could go back to %s\n" % ",".join(map(str, self.home))
        self.assertEqual(self.run_cairn("partition", "move", "t", "0", "--cancel", "--dry-run"), back)
        self.assertEqual(list(self.places("t")[0].moving_to), target)

        self.cluster.brokers[3].start()
        self.wait_arrived("t", target)

    def test_on_a_terminal_it_shows_what_it_waits_for(self):
        target = self.add_dead_broker()
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        process = self.start_waiting(target, stderr=theirs)
        os.close(theirs)
        shown = b""
        while b" s\x1b[K" not in shown:
            shown += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(self.patience_s), 130)
        self.assertIn(b"partition 0 of t is on its way to %s" % ",".join(map(str, target)).encode(), shown)

    def test_a_move_that_was_called_off_has_not_arrived(self):
        target = self.add_dead_broker()
        process = self.start_waiting(target)
        self.move("t", 0, self.home)
        said, error = process.communicate(timeout=self.patience_s)

        self.assertEqual((process.returncode, said), (4, b""), error)
        self.assertIn(b"error[MOVE_REPLACED]", error)
        self.assertRegex(error.decode(), "another move took its place: it is on (its way to )?%s\n" % ",".join(map(str, self.home)))
        self.wait_arrived("t", self.home)


if __name__ == "__main__":
    harness.main()
