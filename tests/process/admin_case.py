"""A cluster as whoever administers it meets it: its map changes, brokers come and go, and `cairn` is asked to see to that."""

import json
import signal
import subprocess

import cluster
import harness
from cairn.v1 import admin_pb2

# Journals that are soon there, and elections that are soon over.
OPTIONS = ["--journal-bytes", "64MiB", "--journal-file-bytes", "8MiB", "--election-timeout-ms", "500", "--heartbeat-ms", "50"]
ENDED = (0, -signal.SIGKILL)  # how a broker ends that is stopped, or killed


def ups(told):
    """How many brokers are up, by one's own word."""
    return [broker.liveness for broker in told.brokers].count(admin_pb2.BROKER_LIVENESS_UP)


class AdminCase(cluster.Case):
    """Three brokers found it, and `newcomers` come to it at once. A test begins when each knows of all of them, and hears them."""

    options = OPTIONS
    newcomers = 0

    def setUp(self):
        super().setUp()
        self.wait_all_up()
        for _ in range(self.newcomers):
            self.add_broker()

    def add_broker(self, *more):
        self.cluster.add([*self.options, *more]).start()
        self.follower = cluster.Follower(self.cluster.addresses)
        self.wait_all_up()

    def call(self, method, **fields):
        return self.follower.call(method, patience=self.patience_s, timeout=5, **fields)

    # Of topics whoever leads the map tells; of brokers each tells what it has heard so far, so what one of them knows another may not.

    def knows(self, number, holds):
        """Does this broker have the cluster so, by its own word?"""
        told, _ = cluster.Follower([self.cluster.addresses[number - 1]]).once("describe_cluster", timeout=5)
        return told is not None and holds(told)

    def all_know(self, holds):
        """All but those that the test has killed or stopped; one that ended by itself knows nothing."""
        numbers = [number for number, broker in enumerate(self.cluster.brokers, 1) if broker.process.poll() not in ENDED]
        return all(self.knows(number, holds) for number in numbers)

    def wait_all_up(self, count=None):
        count = len(self.cluster.brokers) if count is None else count
        self.wait_for("all know that %d brokers are up" % count, lambda: self.all_know(lambda told: ups(told) == count))

    # The command.

    def command(self, *words):
        return [harness.CAIRN, "--server", ",".join(self.follower.addresses), *words]

    def ended(self, *words, code=0):
        """One that was run, and ended so."""
        done = subprocess.run(self.command(*words), capture_output=True, text=True, timeout=2 * self.patience_s)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def run_cairn(self, *words, code=0):
        """What it says; where it fails, what of."""
        done = self.ended(*words, code=code)
        return done.stderr if code else done.stdout

    def told(self, *words):
        return json.loads(self.run_cairn(*words, "-o", "json"))

    def begin(self, *words, stderr=subprocess.PIPE):
        """One that runs on."""
        process = subprocess.Popen(self.command(*words), stdout=subprocess.PIPE, stderr=stderr)
        self.addCleanup(process.__exit__, None, None, None)  # waits, and closes its pipes
        self.addCleanup(process.kill)
        return process
