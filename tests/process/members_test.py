"""Brokers that come to a running cluster: a new one, and one that has lost its directory. By a stock gRPC client."""

import datetime
import os
import re
import time

import cluster
import harness

RETURN = ["from=3 to=2", "from=2 to=3", "settled voters=3 learners=0"]  # of a broker with another directory, until it votes


class MembersTest(cluster.Case):
    options = ["--journal-bytes", "64MiB", "--journal-file-bytes", "8MiB"]

    def make_topic(self, name, replicas, partitions=1):
        """As soon as the map has enough brokers for it; one that exists was made by a call that was not answered."""

        def is_made():
            _, failure = self.follower.once("create_topic", timeout=5, name=name, partitions=partitions, replicas=replicas)
            return failure is None or failure.reason == "TOPIC_EXISTS"

        self.wait_for("topic %s is made" % name, is_made)

    def append(self, topic, values):
        for sequence, value in enumerate(values):  # by name, so that it may be sent again to a broker that has only just come back
            batch = harness.batch(value, first_sequence=sequence)
            self.follower.call("append", topic=topic, partition=0, producer="of-%d" % len(values), batch=batch)

    def now(self):
        """As a line of a broker's begins that is written now."""
        return datetime.datetime.now(datetime.timezone.utc).strftime("time=%Y-%m-%dT%H:%M:%S.%f")[:-3]

    def wait_settled(self, members, since=""):
        """Until the brokers have said one after the other, whoever leads group 0 at the time, what these patterns are of."""
        pattern = re.compile(".*".join(members), re.DOTALL)

        def is_said():
            lines = [line for broker in self.cluster.brokers for line in broker.said().splitlines() if "controller_members" in line]
            return pattern.search("\n".join(sorted(line for line in lines if line >= since)))

        self.wait_for("brokers say %s" % pattern.pattern, is_said)

    def wait_said(self, broker, words):
        self.wait_for("it says %s" % words, lambda: words in broker.said())

    def test_a_fourth_broker_joins(self):
        values = [b"v%d" % i for i in range(20)]
        self.make_topic("before", replicas=3)
        self.append("before", values)

        fourth = self.cluster.add(self.options).start()
        self.assertIn("event=entering_cluster", fourth.said())
        self.wait_settled(["settled voters=3 learners=1"])
        self.make_topic("after", replicas=4)
        self.append("after", values)

        self.assertEqual(cluster.read_all(fourth.address, "after", 0, len(values)), values)
        sent_on = cluster.Follower([fourth.address])
        sent_on.call("append", topic="before", partition=0, batch=harness.batch(b"last"), repeatable=False)
        self.assertEqual(cluster.read_all(self.cluster.addresses[0], "before", 0, len(values) + 1), values + [b"last"])
        fourth.kill()
        fourth.start()
        self.assertEqual(cluster.read_all(fourth.address, "after", 0, len(values)), values)

    def test_a_broker_that_lost_its_directory_comes_back_as_another(self):
        values = [b"v%d" % i for i in range(20)]
        self.make_topic("before", replicas=3, partitions=3)
        self.append("before", values)
        wiped, killed, _ = self.cluster.brokers
        wiped.kill()
        old = wiped.data + "-old"
        os.rename(wiped.data, old)

        wiped.start(timeout=self.patience_s)
        self.assertIn("event=entering_cluster", wiped.said())
        self.wait_settled(RETURN)

        # Each was to be led by another of the three: it sends on to who has them now.
        for partition in range(3):
            cluster.Follower([wiped.address]).call("describe_partition", topic="before", partition=partition)

        # It votes again: without it, nothing could be decided now.
        killed.kill()
        self.make_topic("meanwhile", replicas=1)
        killed.start()

        self.append("before", [b"last"])
        self.assertEqual(cluster.read_all(killed.address, "before", 0, len(values) + 1), values + [b"last"])
        self.check_old_is_refused(wiped, old)

    def test_all_lose_their_directories_one_after_the_other(self):
        """The last one knows the others only as they were when the cluster was founded."""
        values = [b"v%d" % i for i in range(20)]
        for at, wiped in enumerate(self.cluster.brokers):
            self.make_topic("before-%d" % at, replicas=3)
            wiped.kill()
            os.rename(wiped.data, wiped.data + "-old")
            lost = self.now()
            wiped.start(timeout=self.patience_s)
            self.assertIn("event=entering_cluster", wiped.said())
            self.wait_settled(RETURN, since=lost)  # whoever leads next says of the old one, too, that it votes

            self.make_topic("after-%d" % at, replicas=3)
            self.append("after-%d" % at, values)
            self.assertEqual(cluster.read_all(wiped.address, "after-%d" % at, 0, len(values)), values)

    def test_a_number_that_is_taken_is_refused(self):
        """As that of a machine that was set up like another one: whoever has it and is up stays who it is."""
        self.make_topic("before", replicas=3)
        for taken in (1, 2):
            client, peer = cluster.free_ports(2)
            known = self.cluster.brokers[taken - 1].options
            join = known[known.index("--join") + 1]
            options = ["--broker-id", str(taken), "--peer-listen", "127.0.0.1:%d" % peer, "--join", join, *self.options]
            intruder = harness.Broker(options=options, address="127.0.0.1:%d" % client)
            self.addCleanup(intruder.close)
            intruder.start(wait=False)
            self.wait_said(intruder, "reason=BROKER_ID_TAKEN")
            time.sleep(1)
            intruder.kill()

        for broker in self.cluster.brokers:
            self.assertTrue(broker.alive())
            self.assertNotIn("DIRECTORY_REPLACED", broker.said())
        self.make_topic("after", replicas=3)
        self.append("after", [b"v"])
        for broker in self.cluster.brokers:
            self.assertEqual(cluster.read_all(broker.address, "after", 0, 1), [b"v"])

    def check_old_is_refused(self, wiped, old):
        client, peer = cluster.free_ports(2)
        options = list(wiped.options)
        options[options.index("--peer-listen") + 1] = "127.0.0.1:%d" % peer
        self.returned = harness.Broker(data=old, options=options, address="127.0.0.1:%d" % client)
        self.addCleanup(self.returned.close)
        self.returned.start()
        self.wait_said(self.returned, "reason=DIRECTORY_REPLACED")
        self.make_topic("later", replicas=3)


if __name__ == "__main__":
    harness.main()
