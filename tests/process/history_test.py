"""The checker of histories, given histories that are wrong: it must say so, and by name."""

import copy
import random
import os
import unittest

import history
from history import MAYBE, NO, YES, Append, Look, Partition, Violation

SEED = int(os.environ.get("TEST_SEED", "1"))


def good(seed, count=200):
    """Concurrent writers on one log that did nothing wrong, and the log."""
    chance = random.Random(seed)
    partition, log, now = Partition(), [], 0.0
    for number in range(count):
        value = b"v%d" % number
        began, now = now, now + chance.uniform(0.001, 0.01)
        applied = now
        executed = chance.choices([YES, MAYBE, NO], [8, 1, 1])[0]
        offset = -1
        if executed == YES or (executed == MAYBE and chance.random() < 0.5):
            offset = len(log)
            log.append(value)
        # Answers come late, so operations overlap.
        partition.appends.append(Append(value, began, applied + chance.uniform(0, 0.003), executed, offset if executed == YES else -1))
        if chance.random() < 0.3:
            partition.looks.append(Look(now - 0.0005, now, len(log)))
        if log and chance.random() < 0.3:
            place = chance.randrange(len(log))
            partition.saw(place, log[place])
        now += 0.004
    return partition, log


class HistoryTest(unittest.TestCase):
    def setUp(self):
        self.chance = random.Random(SEED)
        self.partition, self.log = good(SEED)
        self.acknowledged = [append for append in self.partition.appends if append.executed == YES]

    def wrong(self, name, partition=None, log=None):
        with self.assertRaisesRegex(Violation, "^" + name):
            (partition or self.partition).check(self.log if log is None else log)

    def test_good_histories_pass(self):
        for seed in range(SEED, SEED + 50):
            partition, log = good(seed)
            partition.check(log)

    def test_a_lost_record_is_found(self):
        last = self.acknowledged[-1]
        self.wrong("lost", log=self.log[: last.offset])

    def test_a_lost_record_in_the_middle_is_found(self):
        victim = self.acknowledged[len(self.acknowledged) // 2]
        self.wrong("lost", log=self.log[: victim.offset] + self.log[victim.offset + 1 :])

    def test_two_records_that_changed_places_are_found(self):
        one, other = self.acknowledged[3], self.acknowledged[9]
        log = list(self.log)
        log[one.offset], log[other.offset] = log[other.offset], log[one.offset]
        self.wrong("lost", log=log)

    def test_a_duplicate_is_found(self):
        self.wrong("duplicate", log=self.log + [self.log[5]])

    def test_a_refused_record_in_the_log_is_found(self):
        refused = next(append for append in self.partition.appends if append.executed == NO)
        self.wrong("phantom", log=self.log + [refused.value])

    def test_a_record_that_nobody_sent_is_found(self):
        self.wrong("phantom", log=self.log + [b"nobody's"])

    def test_an_order_against_time_is_found(self):
        """The log and the answers agree, but the later append stands first."""
        one, other = self.acknowledged[4], self.acknowledged[5]
        self.assertLess(one.ended, other.began + 1)
        one.ended = other.began - 0.0001
        one.began = one.ended - 0.0001
        log = list(self.log)
        log[one.offset], log[other.offset] = log[other.offset], log[one.offset]
        one.offset, other.offset = other.offset, one.offset
        self.partition.reads.clear()
        self.wrong("reordered", log=log)

    def test_a_stale_look_is_found(self):
        look = copy.copy(self.partition.looks[-1])
        before = max(append.offset for append in self.acknowledged if append.ended < look.began)
        look.end = before
        self.partition.looks.append(look)
        self.wrong("stale")

    def test_a_look_that_goes_back_behind_a_look_is_found(self):
        end = self.partition.looks[-1]
        self.partition.looks.append(Look(end.ended + 1, end.ended + 2, end.end + 7))
        self.partition.looks.append(Look(end.ended + 3, end.ended + 4, end.end + 6))
        self.wrong("stale")

    def test_two_replicas_that_differ_are_found(self):
        with self.assertRaisesRegex(Violation, "^diverged"):
            self.partition.saw(3, self.log[3])
            self.partition.saw(3, b"something else")

    def test_what_a_read_showed_and_is_gone_is_found(self):
        self.partition.saw(len(self.log), b"shown and lost")
        self.wrong("lost")

    def test_random_mutations_of_the_log_are_found(self):
        for _ in range(200):
            log = list(self.log)
            place = self.chance.choice(self.acknowledged).offset
            kind = self.chance.randrange(3)
            if kind == 0:
                del log[place]
            elif kind == 1:
                log.insert(place, log[self.chance.randrange(len(log))])
            else:
                log[place] = b"another"
            with self.assertRaises(Violation):
                self.partition.check(log)

    def test_the_longest_silence(self):
        partition = history.Partition()
        partition.appends = [Append(b"a", 0, 1.0, YES, 0), Append(b"b", 1, 4.5, YES, 1), Append(b"c", 1, 9.0, NO)]
        self.assertAlmostEqual(partition.longest_silence(0.5, 6.0), 3.5)


if __name__ == "__main__":
    unittest.main(verbosity=2)
