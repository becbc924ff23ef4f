"""A cluster of brokers on this machine, in the foreground: `./dev cluster 3`.

Starts them, prints their addresses on one line of standard output once all of them serve ("cluster: A,B,C"), and stops them on SIGINT and
SIGTERM. A broker that ends meanwhile is told of, and the others go on: that is what a cluster is for. A directory that holds
a cluster already is started as it is, on the same ports.
"""

import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading

READY = re.compile(r"cairnd: ready on (\S+)")
BROKERS_MAX = 7
STOP_SECONDS = 40


def free_ports(count):
    """Ports that nobody listens on just now."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def ports_of(directory, brokers, base):
    """(client port, peer port) of each broker; kept in the directory, because brokers know each other by them."""
    path = os.path.join(directory, "ports")
    if os.path.exists(path):
        with open(path) as kept:
            ports = json.load(kept)
        if len(ports) != brokers:
            sys.exit("cluster: %s holds a cluster of %d brokers; start that many, or name another --dir" % (directory, len(ports)))
        return ports
    if base == 0:
        drawn = free_ports(2 * brokers)
        ports = [[drawn[2 * i], drawn[2 * i + 1]] for i in range(brokers)]
    else:
        ports = [[base + i, base + 100 + i] for i in range(brokers)]
    with open(path, "w") as kept:
        json.dump(ports, kept)
    return ports


class Broker:
    """One process. What it says goes to a file beside its data."""

    def __init__(self, program, directory, number, ports, options):
        self.number = number
        self.address = "127.0.0.1:%d" % ports[number - 1][0]
        self.log = os.path.join(directory, "%d.log" % number)
        join = ",".join("%d=127.0.0.1:%d" % (i + 1, peer) for i, (_, peer) in enumerate(ports))
        self.command = [
            program, "--broker-id", str(number), "--data-dir", os.path.join(directory, str(number)), "--listen", self.address,
            "--peer-listen", "127.0.0.1:%d" % ports[number - 1][1], "--join", join, *options,
        ]
        self.ready = threading.Event()
        self.ended = threading.Event()
        self.process = None

    def start(self, told):
        # A group of its own: Ctrl-C is for this program, which asks the brokers to stop.
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True
        )
        threading.Thread(target=self._follow, args=(told,), daemon=True).start()

    def _follow(self, told):
        with open(self.log, "a") as log:
            for line in self.process.stderr:
                log.write(line)
                log.flush()
                if READY.search(line):
                    self.ready.set()
                    told.set()
        self.process.wait()
        self.ended.set()
        told.set()

    def last_words(self):
        with open(self.log) as log:
            return "".join("  | " + line for line in log.readlines()[-5:])


def arguments():
    parser = argparse.ArgumentParser(prog="./dev cluster", description=__doc__.split("\n\n")[0])
    parser.add_argument("brokers", type=int, help="how many: 1 to %d" % BROKERS_MAX)
    parser.add_argument("--dir", default="cairn-cluster", help="where their data are; made when absent (default: %(default)s)")
    parser.add_argument(
        "--port", type=int, default=7411, help="of the first broker, the others follow; peers 100 above; 0: free ones (default: %(default)s)"
    )
    parser.add_argument("--cairnd", default="out/cairnd", help=argparse.SUPPRESS)
    parser.add_argument("options", nargs="*", metavar="OPTION", help="behind --: further options for each cairnd")
    parsed = parser.parse_args()
    if not 1 <= parsed.brokers <= BROKERS_MAX:
        parser.error("a cluster has 1 to %d brokers" % BROKERS_MAX)
    return parsed


def wait_until_ready(brokers, told, stopping):
    while not stopping.is_set():
        told.wait()
        told.clear()
        for broker in brokers:
            if broker.ended.is_set():
                sys.stderr.write("cluster: broker %d ended before it was ready:\n%s" % (broker.number, broker.last_words()))
                return False
        if all(broker.ready.is_set() for broker in brokers):
            return True
    return False


def tell_of_ends(brokers, told, stopping):
    """Until somebody stops the cluster, or nobody is left."""
    known = set()
    while not stopping.is_set() and len(known) < len(brokers):
        told.wait()
        told.clear()
        for broker in brokers:
            if not broker.ended.is_set() or broker.number in known or stopping.is_set():
                continue
            known.add(broker.number)
            sys.stderr.write(
                "cluster: broker %d ended (%s); the others go on. To start it again:\n  %s\n"
                % (broker.number, broker.process.returncode, " ".join(broker.command))
            )
    return stopping.is_set()


def stop_all(brokers):
    living = [broker for broker in brokers if broker.process is not None and broker.process.poll() is None]
    for broker in living:
        broker.process.terminate()
    for broker in living:
        if not broker.ended.wait(STOP_SECONDS):
            broker.process.kill()
            broker.ended.wait()


def main():
    wanted = arguments()
    os.makedirs(wanted.dir, exist_ok=True)
    directory = os.path.abspath(wanted.dir)
    ports = ports_of(directory, wanted.brokers, wanted.port)
    told, stopping = threading.Event(), threading.Event()

    def stop(_number, _frame):
        stopping.set()
        told.set()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    brokers = [Broker(wanted.cairnd, directory, i + 1, ports, wanted.options) for i in range(wanted.brokers)]
    well = False
    try:
        for broker in brokers:
            broker.start(told)
        if wait_until_ready(brokers, told, stopping):
            print("cluster: " + ",".join(broker.address for broker in brokers), flush=True)
            well = tell_of_ends(brokers, told, stopping)
        else:
            well = stopping.is_set()
    finally:
        stop_all(brokers)
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
