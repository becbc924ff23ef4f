"""Data directories that are older copies of themselves, or have a copy that another process runs on: of one directory at most one process is listened
to, never an older state of it than was heard of, and nothing that was acknowledged is lost."""

import os
import shutil
import time

import cluster
import harness

OPTIONS = ["--journal-bytes", "24MiB", "--journal-file-bytes", "4MiB"]
PATIENCE_S = 90  # a bound on what waits, not a promise
BEATS_S = 1.0  # some of them


class CopiesTest(cluster.Case):
    options = OPTIONS

    def setUp(self):
        super().setUp()
        self.one, self.two, self.three = self.cluster.brokers
        self.follower.call("create_topic", name="t", partitions=1, replicas=3, repeatable=False)
        self.values = []

    def fill(self, count):
        for _ in range(count):
            value = b"v%d" % len(self.values)
            batch = harness.batch(value, first_sequence=len(self.values))
            self.follower.call("append", topic="t", partition=0, producer="p", batch=batch, patience=PATIENCE_S)
            self.values.append(value)

    def check_all_there(self, addresses):
        for address in addresses:
            self.assertEqual(cluster.read_all(address, "t", 0, len(self.values), timeout=PATIENCE_S), self.values)

    def check_refused(self, broker, *words):
        """It ends, having said so."""
        self.assertEqual(broker.process.wait(PATIENCE_S), 1, broker.said())
        for word in words:
            self.assertIn(word, broker.said())

    def clone(self, broker, data):
        """Another process of that broker's, on a copy of its directory, as a copied machine would be: with addresses of its own."""
        client, peer = cluster.free_ports(2)
        options = list(broker.options)
        options[options.index("--peer-listen") + 1] = "127.0.0.1:%d" % peer
        clone = harness.Broker(data=data, options=options, address="127.0.0.1:%d" % client)
        self.addCleanup(clone.close)
        return clone

    def test_one_that_started_on_an_older_copy_while_nobody_answered_counts_nowhere(self):
        self.fill(20)
        self.check_all_there(self.cluster.addresses)
        self.assertEqual(self.two.stop(), 0)
        old, new = self.two.data + ".old", self.two.data + ".new"
        shutil.copytree(self.two.data, old)
        self.two.start()
        self.fill(20)
        self.check_all_there(self.cluster.addresses)
        time.sleep(BEATS_S)  # the third hears of it, ...
        self.three.pause()
        self.fill(20)  # ... and not of these: the first and the second have acknowledged them
        self.two.kill()
        self.one.pause()
        os.rename(self.two.data, new)
        shutil.copytree(old, self.two.data)
        self.two.start(wait=False)
        end = time.monotonic() + PATIENCE_S
        while "ready on" not in self.two.said():
            self.assertLess(time.monotonic(), end, "nobody can know better, and it does not start")
            time.sleep(0.05)
        self.one.kill()
        self.three.resume()

        self.check_refused(self.two, "event=superseded", "put the newest one back")
        self.assertIn("event=peer_superseded broker=2", self.three.said())
        self.assertNotIn("event=replica_role group=1 role=leader", self.three.said().split("event=peer_superseded", 1)[1])
        self.one.start(timeout=PATIENCE_S)
        self.check_all_there([self.one.address, self.three.address])
        shutil.rmtree(self.two.data)
        os.rename(new, self.two.data)
        self.two.start(timeout=PATIENCE_S)
        self.fill(5)
        self.check_all_there(self.cluster.addresses)

    def test_others_that_were_started_anew_know_it_still(self):
        self.fill(10)
        self.assertEqual(self.two.stop(), 0)
        old, new = self.two.data + ".old", self.two.data + ".new"
        shutil.copytree(self.two.data, old)
        self.two.start()
        self.fill(10)
        time.sleep(BEATS_S)
        self.two.kill()
        for broker in (self.one, self.three):
            broker.kill()
        os.rename(self.two.data, new)
        shutil.copytree(old, self.two.data)
        for broker in (self.one, self.three):
            broker.start(wait=False)
        for broker in (self.one, self.three):
            broker.wait_ready(PATIENCE_S)
        self.two.start(wait=False)
        self.check_refused(self.two, "older than what broker", "Nothing was changed")
        shutil.rmtree(self.two.data)
        os.rename(new, self.two.data)
        self.two.start(timeout=PATIENCE_S)
        self.fill(5)
        self.check_all_there(self.cluster.addresses)

    def test_a_copy_of_a_stopped_directory_beside_the_original(self):
        self.fill(10)
        self.assertEqual(self.three.stop(), 0)
        copy = self.three.data + ".copy"
        shutil.copytree(self.three.data, copy)
        self.three.start()
        self.fill(10)
        time.sleep(BEATS_S)
        clone = self.clone(self.three, copy)
        for _ in range(3):
            clone.start(wait=False)
            self.check_refused(clone, self.three.data + ".copy", "Nothing was changed")
        self.assertTrue(self.three.alive())
        self.fill(10)
        self.check_all_there(self.cluster.addresses)

    def test_the_original_beside_a_copy_that_was_first(self):
        """Whichever the others have seen first goes on; they cannot know which one somebody calls the copy."""
        self.fill(10)
        self.assertEqual(self.three.stop(), 0)
        copy = self.three.data + ".copy"
        shutil.copytree(self.three.data, copy)
        clone = self.clone(self.three, copy)
        clone.start(timeout=PATIENCE_S)
        time.sleep(BEATS_S)
        for _ in range(3):
            self.three.start(wait=False)
            self.check_refused(self.three, "Nothing was changed")
        self.fill(10)
        self.assertEqual(clone.stop(), 0)
        self.three.start(wait=False)
        self.check_refused(self.three, "Nothing was changed")
        shutil.rmtree(self.three.data)
        os.rename(copy, self.three.data)
        self.three.start(timeout=PATIENCE_S)
        self.fill(10)
        self.check_all_there(self.cluster.addresses)

    def test_a_copy_of_a_running_directory_beside_the_original(self):
        self.fill(10)
        time.sleep(BEATS_S)
        self.three.pause()  # so that the copy is of one moment
        copy = self.three.data + ".copy"
        shutil.copytree(self.three.data, copy)
        self.three.resume()
        self.fill(10)
        time.sleep(BEATS_S)
        clone = self.clone(self.three, copy)
        clone.start(wait=False)
        self.check_refused(clone, "Nothing was changed")
        self.assertTrue(self.three.alive())
        self.fill(10)
        self.check_all_there(self.cluster.addresses)
        self.three.kill()
        self.three.start(timeout=PATIENCE_S)
        self.fill(10)
        self.check_all_there(self.cluster.addresses)

    def test_one_that_waits_for_another_to_fall_silent_stops_when_it_is_told_to(self):
        self.fill(10)
        time.sleep(BEATS_S)
        self.three.pause()
        copy = self.three.data + ".copy"
        shutil.copytree(self.three.data, copy)
        self.three.resume()
        time.sleep(BEATS_S)  # heard again, and as far as the copy is
        clone = self.clone(self.three, copy)
        clone.start(wait=False)
        time.sleep(BEATS_S)
        self.assertTrue(clone.alive(), clone.said())
        clone.process.terminate()
        self.check_refused(clone, "stopped while it waited", "Nothing was changed")
        self.assertTrue(self.three.alive())

    def test_of_two_that_nobody_saw_start_one_at_most_is_left(self):
        """None, where each of the others has heard another one first: decision 0019."""
        self.fill(10)
        time.sleep(BEATS_S)
        self.three.pause()
        copy = self.three.data + ".copy"
        shutil.copytree(self.three.data, copy)
        self.one.pause()
        self.two.pause()
        self.three.resume()
        clone = self.clone(self.three, copy)
        clone.start(wait=False)
        end = time.monotonic() + PATIENCE_S
        while "ready on" not in clone.said():
            self.assertLess(time.monotonic(), end, "nobody can know better, and it does not start")
            time.sleep(0.05)
        self.one.resume()
        self.two.resume()
        end = time.monotonic() + PATIENCE_S
        while clone.alive() and self.three.alive():
            self.assertLess(time.monotonic(), end, "both go on")
            time.sleep(0.05)
        time.sleep(3 * BEATS_S)
        self.assertLessEqual([clone.alive(), self.three.alive()].count(True), 1)
        self.fill(10)
        self.check_all_there([self.one.address, self.two.address])

    def test_a_second_process_on_the_same_directory(self):
        self.fill(5)
        second = self.clone(self.three, self.three.data)
        second.start(wait=False)
        self.check_refused(second, "another broker runs on data directory")
        self.assertTrue(self.three.alive())
        self.fill(5)
        self.check_all_there(self.cluster.addresses)

    def test_restarts_of_every_kind_are_let_in(self):
        """However often, and wherever in a start it is killed."""
        self.fill(5)
        for i in range(12):
            self.two.kill()
            self.two.start(wait=False)
            time.sleep(0.02 * i)  # somewhere in the start
        self.two.kill()
        self.two.start(timeout=PATIENCE_S)
        for path in ("lineage", "seen"):  # one copy of the two, and what others have said of themselves
            self.assertEqual(self.two.stop(), 0)
            with open(os.path.join(self.two.data, path), "r+b") as file:
                file.write(b"rot")
            self.two.start(timeout=PATIENCE_S)
        self.fill(5)
        self.check_all_there(self.cluster.addresses)

    def test_a_directory_without_a_lineage_is_taken_once(self):
        """As a version before has left it."""
        self.fill(5)
        for broker in self.cluster.brokers:
            self.assertEqual(broker.stop(), 0)
        for broker in self.cluster.brokers:
            for name in ("lineage", "lineage.copy", "seen"):
                os.unlink(os.path.join(broker.data, name))
        self.cluster.start(PATIENCE_S)
        self.fill(5)
        time.sleep(BEATS_S)
        self.assertEqual(self.two.stop(), 0)
        for name in ("lineage", "lineage.copy"):
            os.rename(os.path.join(self.two.data, name), os.path.join(self.two.data, name + ".away"))
        self.two.start(wait=False)
        self.check_refused(self.two, "Nothing was changed")
        for name in ("lineage", "lineage.copy"):
            os.replace(os.path.join(self.two.data, name + ".away"), os.path.join(self.two.data, name))
        self.two.start(timeout=PATIENCE_S)
        self.check_all_there(self.cluster.addresses)


if __name__ == "__main__":
    harness.main()
