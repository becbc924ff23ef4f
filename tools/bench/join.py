"""A partition of 1 GiB gets one replica more, on a broker that is new, while it is appended to.

In each round: three brokers and a partition with three replicas is filled; the appends' latency is measured; a fourth broker starts, and it
is measured again while the partition moves to all four. What the move took is counted from the command to the partition's arrival.
"""

import threading
import time

from systems import Cluster, Process, cairn, tool, until

STREAM, UNARY = "/cairn.v1.Log/AppendStream", "/cairn.v1.Log/Append"
TOTAL_BYTES, BATCH_BYTES, RECORD_BYTES, OUTSTANDING = 1 << 30, 65536, 1024, 4
UNBOUNDED_S = 3600
LIVE_S = 20  # how long is measured, before and while it moves: about as long as that takes


class Growing(Cluster):
    def add(self):
        """A fourth broker, as soon as the map has it."""
        process = Process(self.command_of_next())
        self.processes.append(process)
        until("the new broker serves", lambda: process.said("cairnd: ready on "))
        until("the map has the new broker", lambda: len(cairn(self.address, "broker", "list")) == len(self.processes))

    def move(self, brokers):
        """Until it has arrived."""
        cairn(self.addresses, "partition", "move", "bench", "0", "--to", brokers, "--wait")


def beside(live, act):
    """What `live` measures, before and from just before `act` on; and the seconds that this took."""
    before, during = live(), {}
    thread = threading.Thread(target=lambda: during.update(live()))
    thread.start()
    time.sleep(0.2)
    began = time.monotonic()
    act()
    took = time.monotonic() - began
    thread.join()
    return before, during, took


def live(running, seconds):
    address = cairn(running.addresses, "partition", "describe", "bench", "0")["leader"]
    return tool("load", "unary", address, UNARY, OUTSTANDING, 1, RECORD_BYTES, seconds)


def run_round(bench):
    running = Growing(bench.fresh("join"))
    tool("load", "stream", running.address, STREAM, 16, 1, BATCH_BYTES, UNBOUNDED_S, TOTAL_BYTES)
    running.add()
    before, during, took = beside(lambda: live(running, LIVE_S), lambda: running.move("1,2,3,4"))
    running.stop()
    bench.remove("join")
    return before, during, took


def measure(bench):
    if not bench.wanted("join"):
        return
    rounds = [run_round(bench) for _ in range(bench.options.rounds)]
    before, during, _ = rounds[-1]
    rates = sorted(TOTAL_BYTES / took / 1e6 for _, _, took in rounds)
    conditions = "%d outstanding, 1 KiB, unary, for %d s; 1 GiB caught up at %.0f MB/s [%.0f %.0f]" % (
        *(OUTSTANDING, LIVE_S, rates[len(rates) // 2], rates[0], rates[-1]),
    )
    pairs = [(during["p99_us"], before["p99_us"]) for before, during, _ in rounds]
    bench.result("join", pairs, "us", "before a new replica joins, p99", conditions, during, before)
