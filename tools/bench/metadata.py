"""Operations on the map of a cluster of three, beside puts and gets of etcd, which like them are answered when a majority has synced them, or
has confirmed who leads; and on a map of ten thousand partitions, beside an empty one.

In each round etcd runs, is stopped, and then three brokers do the same with an empty map and a large one. All clients are one process with one
connection, to whoever leads. A topic that is created has one partition and three replicas, and counts when the partition is open; a topic
that is altered has another retention each time.
"""

from systems import Cluster, Etcd, cairn, tool

KV, ADMIN = "/etcdserverpb.KV/", "/cairn.v1.Admin/"
METHODS = {"put": KV + "Put", "get": KV + "Range", **{what: "%s%sTopic" % (ADMIN, what.title()) for what in ("create", "alter", "describe", "delete")}}
OUTSTANDING = {1: 400, 64: 2000}  # clients, and topics of theirs
VALUE_BYTES, UNBOUNDED_S = 256, 3600
MANY_TOPICS, MANY_PARTITIONS = 1000, 10
AGAINST = {"create": "put", "alter": "put", "delete": "put", "describe": "get"}
NAMES = {"put": "etcd, 3 members, put of 256 B, synced", "get": "etcd, linearizable get"}


def load(address, kind, outstanding, many, size, seconds):
    return tool("load", kind, address, METHODS[kind], outstanding, many, size, seconds)


def of_etcd(bench):
    running, seen = Etcd(bench.fresh("etcd")), {}
    for n, keys in OUTSTANDING.items():
        seen["put", n] = load(running.address, "put", n, keys, VALUE_BYTES, bench.options.seconds)
        seen["get", n] = load(running.address, "get", n, keys, 0, bench.options.seconds)
    running.stop()
    bench.remove("etcd")
    return seen


def changes(bench, leader, n, topics):
    """Topics are made, changed, looked at and deleted."""
    seen = {"create": load(leader, "create", n, topics, 1, UNBOUNDED_S)}
    for kind in ("alter", "describe"):
        seen[kind] = load(leader, kind, n, topics, 0, bench.options.seconds)
    seen["delete"] = load(leader, "delete", n, topics, 0, UNBOUNDED_S)
    return {(kind, n): figures for kind, figures in seen.items()}


def of_cairn(bench):
    """With an empty map, and with a large one."""
    running = Cluster(bench.fresh("cairn"))
    leader = next(broker["advertised"] for broker in cairn(running.addresses, "broker", "list") if broker["controller"])
    small = {}
    for n, topics in OUTSTANDING.items():
        small.update(changes(bench, leader, n, topics))
    large = {}
    if bench.wanted(*("metadata_%s_64_large" % kind for kind in AGAINST)):
        for i in range(MANY_TOPICS):
            cairn(leader, "topic", "create", "many-%d" % i, "--partitions", str(MANY_PARTITIONS))
        large = changes(bench, leader, 64, OUTSTANDING[64])
    running.stop()
    bench.remove("cairn")
    return small, large


def conditions(kind, n):
    what = {"create": "1 partition, 3 replicas", "alter": "another retention", "describe": "1 partition", "delete": "1 partition"}
    return "%d outstanding, %s, 3 brokers, one connection" % (n, what[kind])


def measure(bench):
    names = {(kind, n): "metadata_%s_%d" % (kind, n) for kind in AGAINST for n in OUTSTANDING}
    if not bench.wanted(*names.values(), *(name + "_large" for name in names.values() if name.endswith("_64"))):
        return
    rounds = [(of_etcd(bench), *of_cairn(bench)) for _ in range(bench.options.rounds)]
    for (kind, n), name in names.items():
        peer = AGAINST[kind]
        etcd, small, large = rounds[-1]
        if bench.wanted(name):
            pairs = [(mine[kind, n]["per_second"], theirs[peer, n]["per_second"]) for theirs, mine, _ in rounds]
            bench.result(name, pairs, "operations/s", NAMES[peer], conditions(kind, n), small[kind, n], etcd[peer, n])
        if bench.wanted(name + "_large") and n == 64:
            pairs = [(much[kind, n]["per_second"], mine[kind, n]["per_second"]) for _, mine, much in rounds]
            against = "the same with no other topic"
            said = conditions(kind, n) + ", beside %d topics of %d partitions" % (MANY_TOPICS, MANY_PARTITIONS)
            bench.result(name + "_large", pairs, "operations/s", against, said, large[kind, n], small[kind, n])
