"""Three replicas on one machine beside one broker, etcd, NATS JetStream and plain sockets; see COMPARISONS.

In each round every system is started on empty directories, measured, and stopped before the next. All clients are one process with one
connection, to whoever leads; records are of 1 KiB, and as many are outstanding. etcd is sent Put, each with a key of its own, which like an
append is answered when a majority has synced it. JetStream is sent what a publisher sends that waits for acknowledgements; those do not
mean that anything was synced.
"""

from systems import Broker, Cluster, Etcd, JetStream, ReplicaFloor, tool

RECORD_BYTES, BATCH_BYTES, BATCHES_BYTES = 1024, 65536, 1 << 30
UNBOUNDED_S = 3600
BATCHES = ("batches", 64)


class Alone(Broker):
    """The single broker."""

    def __init__(self, home):
        super().__init__(home)
        self.topic(1)


def grpc_load(system, kind, outstanding, seconds):
    method = {"stream": "/cairn.v1.Log/AppendStream", "flock": "/cairn.v1.Log/AppendStream", "unary": "/cairn.v1.Log/Append", "put": "/etcdserverpb.KV/Put"}[kind]
    return tool("load", kind, system.address, method, outstanding, 1, RECORD_BYTES, seconds)


def cairn_load(system, kind, outstanding, seconds):
    if kind != "batches":
        return grpc_load(system, kind, outstanding, seconds)
    method = "/cairn.v1.Log/AppendStream"
    return tool("load", "stream", system.address, method, outstanding, 1, BATCH_BYTES, UNBOUNDED_S, BATCHES_BYTES)


def socket_load(system, kind, outstanding, seconds):
    if kind != "batches":
        return tool("socket_load", kind, system.port, getattr(system, "SUBJECT", "-"), outstanding, RECORD_BYTES, seconds)
    return tool("socket_load", "bytes", system.port, "-", outstanding, BATCH_BYTES, UNBOUNDED_S, BATCHES_BYTES)


# In this order in each round.
SYSTEMS = {
    "etcd": (Etcd, grpc_load),
    "jetstream": (JetStream, socket_load),
    "floor": (ReplicaFloor, socket_load),
    "single": (Alone, cairn_load),
    "cluster": (Cluster, cairn_load),
}

NAMES = {
    "etcd": "etcd, 3 members, each put synced",
    "jetstream": "JetStream, 3 replicas, not synced",
    "floor": "plain sockets, 3 processes, synced by a majority",
    "single": "one broker",
}


def compare(name, ours, against, theirs, figure="per_second"):
    return {"name": name, "ours": ours, "against": against, "theirs": theirs, "figure": figure}


def comparisons():
    for n in (1, 64, 1024):
        figure = "p50_us" if n == 1 else "per_second"
        ours = ("flock", n)
        yield compare("cluster_%d" % n, ours, "etcd", ("put", n), figure)
        if n == 1:
            yield compare("cluster_1_p99", ours, "etcd", ("put", 1), "p99_us")
        else:
            yield compare("cluster_%d_apart" % n, ("stream", n), "etcd", ("put", n), figure)
        yield compare("cluster_%d_unary" % n, ("unary", n), "etcd", ("put", n), figure)
        yield compare("cluster_%d_of_jetstream" % n, ours, "jetstream", ("nats", n), figure)
        yield compare("cluster_%d_of_single" % n, ours, "single", ours, figure)
    yield compare("cluster_batches", BATCHES, "floor", BATCHES, "bytes_per_second")
    yield compare("cluster_batches_of_single", BATCHES, "single", BATCHES, "bytes_per_second")


def wanted_loads(wanted):
    """(system, load) of all that is compared."""
    loads = {}
    for one in wanted:
        loads[("cluster", one["ours"])] = True
        loads[(one["against"], one["theirs"])] = True
    return list(loads)


def run_round(bench, loads):
    seen = {}
    for system, (make, load) in SYSTEMS.items():
        mine = [what for of, what in loads if of == system]
        # A floor takes one client; and what many small records leave behind is not to be in the way of batches.
        for group in ([what for what in mine if what != BATCHES], [what for what in mine if what == BATCHES]):
            if not group:
                continue
            running = make(bench.fresh(system))
            for kind, outstanding in group:
                seen[(system, (kind, outstanding))] = load(running, kind, outstanding, bench.options.seconds)
            running.stop()
            bench.remove(system)
    return seen


def conditions(one):
    kind, outstanding = one["ours"]
    if kind == "batches":
        return "1 GiB, 64 KiB batches, %d unanswered, one AppendStream" % outstanding
    how = {
        "unary": "unary",
        "stream": "one AppendStream, a message each",
        "flock": "one AppendStream, what is at hand in one message",
    }[kind]
    return "%d outstanding, 1 KiB, %s, one connection" % (outstanding, how)


SCALES = {"p50_us": (1, "us"), "p99_us": (1, "us"), "per_second": (1, "records/s"), "bytes_per_second": (1e6, "MB/s")}


def measure(bench):
    wanted = [one for one in comparisons() if bench.wanted(one["name"])]
    if not wanted:
        return
    loads = wanted_loads(wanted)
    rounds = [run_round(bench, loads) for _ in range(bench.options.rounds)]
    for one in wanted:
        scale, unit = SCALES[one["figure"]]
        ours, theirs = ("cluster", one["ours"]), (one["against"], one["theirs"])
        pairs = [(seen[ours][one["figure"]] / scale, seen[theirs][one["figure"]] / scale) for seen in rounds]
        against = NAMES[one["against"]] + ({"p50_us": ", p50", "p99_us": ", p99"}.get(one["figure"], ""))
        bench.result(one["name"], pairs, unit, against, conditions(one), rounds[-1][ours], rounds[-1][theirs])
