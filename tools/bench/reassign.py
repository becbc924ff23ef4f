"""A hundred partitions go from brokers 1 to 3 to brokers 2 to 4 by one command, with a throttle, while all of them are appended to.

In each round: three brokers and a topic whose partitions are filled; a fourth broker comes; the appends' latency is measured, at a fixed rate over all
partitions, and once more from the moment in which the command begins. What it took is counted until the last partition has arrived.
"""

import os

from join import Growing, beside
from systems import cairn

PARTITIONS, PARTITION_BYTES, RECORD_BYTES = 100, 4 << 20, 1024
THROTTLE = "10MiB"  # of each move; two are under way at a time
RATE, LIVE_S = 400, 20


def fill(running, home):
    path = os.path.join(home, "records")
    with open(path, "w") as f:
        f.writelines("%0*d\n" % (RECORD_BYTES - 1, i) for i in range(PARTITION_BYTES // RECORD_BYTES))
    for partition in range(PARTITIONS):
        cairn(running.addresses, "append", "moved", "--partition", str(partition), "--file", path)
    os.remove(path)


def live(running):
    options = {"partitions": PARTITIONS, "rate": RATE, "records": RATE * LIVE_S, "record-bytes": RECORD_BYTES, "batch-bytes": 1, "in-flight": 64}
    seen = cairn(running.addresses, "bench", "append", "moved", *("--%s=%s" % option for option in options.items()))
    return {"%s_us" % key: value for key, value in seen["latency_us"].items()}


def run_round(bench):
    home = bench.fresh("reassign")
    running = Growing(home)
    cairn(running.addresses, "topic", "create", "moved", "--partitions", str(PARTITIONS), "--replicas", "3")
    fill(running, home)
    running.add()
    words = ("cluster", "reassign", "--topics", "moved", "--to-brokers", "2,3,4", "--throttle", THROTTLE, "--wait")
    before, during, took = beside(lambda: live(running), lambda: cairn(running.addresses, *words))
    running.stop()
    bench.remove("reassign")
    return before, during, took


def measure(bench):
    if not bench.wanted("reassign"):
        return
    rounds = [run_round(bench) for _ in range(bench.options.rounds)]
    before, during, _ = rounds[-1]
    took = sorted(took for _, _, took in rounds)
    conditions = "%d appends of 1 KiB a second over 100 partitions of 4 MiB, for %d s; throttle %s a move, all arrived after %.0f s [%.0f %.0f]" % (
        *(RATE, LIVE_S, THROTTLE, took[len(took) // 2], took[0], took[-1]),
    )
    pairs = [(during["p99_us"], before["p99_us"]) for before, during, _ in rounds]
    bench.result("reassign", pairs, "us", "before the partitions move, p99", conditions, during, before)
