"""What is measured: floors, one broker, a cluster of three, etcd and NATS JetStream; each a thing that is started and stopped.

A system of three has its processes on this machine, each with a directory of its own on the disk that is measured, and knows the address of
whoever leads: a client that asks somebody else is sent on or has its request carried on, and that is not what is measured.
"""

import atexit
import glob
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

BIN = os.environ.get("BENCH_BIN", "bazel-bin/tools/bench")
CAIRND, CAIRN = os.environ.get("CAIRND", "out/cairnd"), os.environ.get("CAIRN", "out/cairn")
RING_BYTES = 512 << 20  # cairnd's default
PATIENCE_S = 60
MEMBERS = 3


def tool(name, *arguments):
    done = subprocess.run([os.path.join(BIN, name), *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    if not done.stdout:
        sys.exit("bench: %s ended with %d and printed nothing" % (name, done.returncode))
    result = json.loads(done.stdout)
    if result.get("failures"):
        sys.exit("bench: %s %s had %d failures" % (name, " ".join(map(str, arguments)), result["failures"]))
    return result


def until(what, attempt):
    """The first answer of `attempt` that is something."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        answer = attempt()
        if answer:
            return answer
        time.sleep(0.05)
    sys.exit("bench: within %d seconds not so: %s" % (PATIENCE_S, what))


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Process:
    """What it says goes to a file without a name, and is shown when it ends too early."""

    def __init__(self, command):
        self.command = command
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(list(map(str, command)), stdout=self.log, stderr=self.log)
        atexit.register(self.process.kill)  # where a measurement fails nobody stops it

    def said(self, mark):
        """The first word behind `mark` in a line that begins so, once there is one."""
        self.check()
        self.log.seek(0)
        for line in self.log.read().splitlines():
            if line.startswith(mark):
                return line[len(mark) :].split()[0]
        return None

    def check(self):
        if self.process.poll() is not None:
            self.log.seek(0)
            sys.exit("bench: %s ended: %s" % (self.command[0], self.log.read()[-4000:]))

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.log.close()


class Server(Process):
    """A floor or a broker: serves when it says so."""

    def __init__(self, command, mark):
        super().__init__(command)
        self.address = until("%s serves" % command[0], lambda: self.said(mark))


def floor(*options):
    server = Server([os.path.join(BIN, "floor_server"), *options], "ready ")
    server.address = "127.0.0.1:" + server.address
    return server


def ring_made(data):
    """A broker serves when two files of its journal are made; the others are made meanwhile."""
    files = glob.glob(os.path.join(data, "journal", "[0-9]*"))
    return sum(os.path.getsize(name) for name in files if os.path.exists(name)) >= RING_BYTES


def cairn(address, *arguments):
    command = [CAIRN, "--server", address, "-o", "json", *arguments]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


class Broker(Server):
    def __init__(self, directory, *options):
        self.data = os.path.join(directory, "data")
        super().__init__([CAIRND, "--data-dir", self.data, "--listen", "127.0.0.1:0", *options], "cairnd: ready on ")

    def topic(self, partitions):
        cairn(self.address, "topic", "create", "bench", "--partitions", str(partitions))
        until("the journal's ring is made", lambda: ring_made(self.data))


class Members:
    """Three processes in directories of their own, which are removed when they have stopped."""

    def __init__(self, home, name):
        self.home = os.path.join(home, name)
        self.directories = [os.path.join(self.home, str(i + 1)) for i in range(MEMBERS)]
        for directory in self.directories:
            os.makedirs(directory)
        self.processes = []

    def stop(self):
        for process in self.processes:
            process.process.terminate()
        for process in self.processes:
            process.stop()
        shutil.rmtree(self.home, ignore_errors=True)


class Cluster(Members):
    """Three brokers with a topic of one partition and three replicas."""

    def __init__(self, home):
        super().__init__(home, "cairn")
        ports = free_ports(2 * MEMBERS)
        self.join = ",".join("%d=127.0.0.1:%d" % (i + 1, ports[MEMBERS + i]) for i in range(MEMBERS))
        self.processes = [
            Process(self.command(i + 1, directory, ports[i], ports[MEMBERS + i])) for i, directory in enumerate(self.directories)
        ]
        for process in self.processes:
            until("the brokers serve", lambda: process.said("cairnd: ready on "))
        self.addresses = ",".join("127.0.0.1:%d" % port for port in ports[:MEMBERS])
        cairn(self.addresses, "topic", "create", "bench", "--replicas", str(MEMBERS))
        until("the journals' rings are made", lambda: all(ring_made(directory) for directory in self.directories))
        self.address = until("somebody leads", lambda: cairn(self.addresses, "partition", "describe", "bench", "0")["leader"])

    def command(self, number, directory, port, peer_port):
        addresses = ["--listen", "127.0.0.1:%d" % port, "--peer-listen", "127.0.0.1:%d" % peer_port]
        return [CAIRND, "--broker-id", number, "--data-dir", directory, *addresses, "--join", self.join]

    def command_of_next(self):
        """Of a broker that is not one of the three."""
        self.directories.append(os.path.join(self.home, str(len(self.directories) + 1)))
        os.makedirs(self.directories[-1])
        return self.command(len(self.directories), self.directories[-1], *free_ports(2))


class ReplicaFloor(Members):
    """A leader and two followers on plain sockets: replica_floor. Takes one client."""

    def __init__(self, home):
        super().__init__(home, "floor")
        program = os.path.join(BIN, "replica_floor")
        followers = [Server([program, "follower", directory], "ready ") for directory in self.directories[1:]]
        leader = Server([program, "leader", self.directories[0], *(follower.address for follower in followers)], "ready ")
        self.processes = [leader, *followers]
        self.port = leader.address


class Etcd(Members):
    """Three members as Debian ships them, with room for what is put: each put is synced by a majority before it is answered."""

    def __init__(self, home):
        super().__init__(home, "etcd")
        ports = free_ports(2 * MEMBERS)
        client = ["http://127.0.0.1:%d" % port for port in ports[:MEMBERS]]
        peer = ["http://127.0.0.1:%d" % port for port in ports[MEMBERS:]]
        self.processes = [
            Process([
                "etcd", "--name", "m%d" % i, "--data-dir", directory, "--listen-client-urls", client[i], "--advertise-client-urls", client[i],
                "--listen-peer-urls", peer[i], "--initial-advertise-peer-urls", peer[i], "--initial-cluster-state", "new",
                "--initial-cluster", ",".join("m%d=%s" % pair for pair in enumerate(peer)), "--quota-backend-bytes", 8 << 30,
            ])
            for i, directory in enumerate(self.directories)
        ]  # fmt: skip
        self.address = until("etcd has a leader", lambda: next((url[len("http://") :] for url in client if self.leads(url)), None))

    def leads(self, url):
        for process in self.processes:
            process.check()
        try:
            asked = urllib.request.Request(url + "/v3/maintenance/status", b"{}", {"Content-Type": "application/json"})
            status = json.load(urllib.request.urlopen(asked, timeout=1))
        except (urllib.error.URLError, OSError, ValueError):
            return False
        return status.get("leader") == status["header"]["member_id"]


class JetStream(Members):
    """Three NATS servers as Debian ships them, with a stream of three replicas in files. It acknowledges what a majority has written, not
    synced: version 2.9 has no setting for that."""

    SUBJECT = "bench"

    def __init__(self, home):
        super().__init__(home, "jetstream")
        ports = free_ports(2 * MEMBERS)
        routes = ", ".join("nats://127.0.0.1:%d" % port for port in ports[MEMBERS:])
        for i, directory in enumerate(self.directories):
            with open(os.path.join(directory, "conf"), "w") as conf:
                conf.write(
                    'server_name: "m%d"\nlisten: "127.0.0.1:%d"\njetstream { store_dir: "%s", max_file_store: 64G }\n'
                    'cluster { name: "bench", listen: "127.0.0.1:%d", routes: [%s] }\n'
                    % (i, ports[i], directory, ports[MEMBERS + i], routes)
                )
            self.processes.append(Process(["nats-server", "-c", os.path.join(directory, "conf")]))
        leader = until("JetStream has made the stream", lambda: self.make_stream(ports[0]))
        self.port = ports[int(leader[1:])]

    def make_stream(self, port):
        """The name of the server that leads the stream; None: not yet."""
        for process in self.processes:
            process.check()
        wanted = {"name": "bench", "subjects": [self.SUBJECT], "num_replicas": MEMBERS, "storage": "file", "retention": "limits",
                  "discard": "old", "max_consumers": -1, "max_msgs": -1, "max_bytes": -1, "max_age": 0}  # fmt: skip
        answer = self.ask(port, "$JS.API.STREAM.CREATE.bench", wanted)
        if answer is None or "error" in answer:
            answer = self.ask(port, "$JS.API.STREAM.INFO.bench", {}) or {}
        return answer.get("cluster", {}).get("leader")

    @staticmethod
    def ask(port, subject, body):
        text = json.dumps(body)
        lines = ["CONNECT " + json.dumps({"verbose": False}), "SUB _INBOX.ask 1", "PUB %s _INBOX.ask %d" % (subject, len(text)), text]
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
                stream = connection.makefile("rwb")
                stream.write(("\r\n".join(lines) + "\r\n").encode())
                stream.flush()
                for line in stream:
                    if line.startswith(b"MSG _INBOX.ask"):
                        return json.loads(stream.read(int(line.split()[-1])))
        except (OSError, ValueError):
            pass
        return None
