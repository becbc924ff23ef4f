"""What clients of a replicated log did and were told, and whether one log can explain it.

Every append carries a value of its own. Workers note each operation with the time when it began and the time when its answer came; at
the end the whole log is read from every replica. Then:

    lost        an acknowledged value is not at its offset
    phantom     a value refused with `executed: no` is in the log, or one that nobody sent
    duplicate   a value stands at two offsets
    reordered   of two appends, one acknowledged before the other began, the later one has the lower offset
    stale       a linearizable look shows less than was acknowledged, or shown, before it began
    diverged    two replicas, or two reads at different times, show different values at one offset
    gap         a read skips an offset

Times are time.monotonic() of one machine, so "before" is sound. Not thread-safe by itself: workers have histories of their own
and merge() joins them.
"""

import bisect
from dataclasses import dataclass, field

NO, MAYBE, YES = "no", "maybe", "yes"


class Violation(AssertionError):
    pass


@dataclass
class Append:
    value: bytes
    began: float
    ended: float
    executed: str  # YES: acknowledged at `offset`
    offset: int = -1


@dataclass
class Look:
    """A linearizable look at the end of the log."""

    began: float
    ended: float
    end: int  # behind the last committed record


@dataclass
class Partition:
    appends: list = field(default_factory=list)
    looks: list = field(default_factory=list)
    reads: dict = field(default_factory=dict)  # offset: value, as any read has shown it

    def saw(self, offset, value):
        earlier = self.reads.setdefault(offset, value)
        if earlier != value:
            raise Violation("diverged: offset %d shows %r, and showed %r before" % (offset, value[:40], earlier[:40]))

    def merge(self, other):
        self.appends += other.appends
        self.looks += other.looks
        for offset, value in other.reads.items():
            self.saw(offset, value)

    # ---- The verdict ----

    def check(self, final):
        """`final`: all values from offset 0 to the end, as they were read after everything healed."""
        self._check_reads(final)
        self._check_appends(final)
        self._check_order()
        self._check_looks()

    def _check_reads(self, final):
        for offset, value in self.reads.items():
            if offset >= len(final) or final[offset] != value:
                there = final[offset][:40] if offset < len(final) else None
                raise Violation("lost: offset %d was read as %r and is %r" % (offset, value[:40], there))

    def _check_appends(self, final):
        places = {}
        for offset, value in enumerate(final):
            if value in places:
                raise Violation("duplicate: %r stands at %d and %d" % (value[:40], places[value], offset))
            places[value] = offset
        sent = {append.value: append for append in self.appends}
        for value, offset in places.items():
            if value not in sent:
                raise Violation("phantom: nobody sent what stands at %d: %r" % (offset, value[:40]))
            if sent[value].executed == NO:
                raise Violation("phantom: %r at %d was refused as not executed" % (value[:40], offset))
        for append in self.appends:
            if append.executed == YES and places.get(append.value) != append.offset:
                raise Violation(
                    "lost: %r was acknowledged at %d and is at %s" % (append.value[:40], append.offset, places.get(append.value))
                )

    def _check_order(self):
        """Among acknowledged appends: each stands behind all that were acknowledged before it began."""
        acknowledged = [append for append in self.appends if append.executed == YES]
        by_end = sorted(acknowledged, key=lambda append: append.ended)
        ends, highest = [], []
        for append in by_end:
            ends.append(append.ended)
            highest.append(max(append.offset, highest[-1] if highest else -1))
        for append in acknowledged:
            before = bisect.bisect_left(ends, append.began)
            if before > 0 and highest[before - 1] > append.offset:
                raise Violation(
                    "reordered: %r got offset %d, and %d was acknowledged before it began"
                    % (append.value[:40], append.offset, highest[before - 1])
                )

    def _check_looks(self):
        known = [(append.ended, append.offset + 1) for append in self.appends if append.executed == YES]
        known += [(look.ended, look.end) for look in self.looks]
        known.sort()
        times, highest = [], []
        for when, end in known:
            times.append(when)
            highest.append(max(end, highest[-1] if highest else 0))
        for look in self.looks:
            before = bisect.bisect_left(times, look.began)
            if before > 0 and highest[before - 1] > look.end:
                raise Violation("stale: a look shows the end %d; it was %d before that began" % (look.end, highest[before - 1]))

    # ---- Figures ----

    def longest_silence(self, began, ended):
        """Seconds between two acknowledgements, at most, in a stretch of time."""
        times = sorted(append.ended for append in self.appends if append.executed == YES and began <= append.ended <= ended)
        marks = [began, *times, ended]
        return max(after - before for before, after in zip(marks, marks[1:]))

    def acknowledged_between(self, began, ended):
        return sum(1 for append in self.appends if append.executed == YES and began <= append.ended <= ended)

    def acknowledged(self):
        return sum(1 for append in self.appends if append.executed == YES)
