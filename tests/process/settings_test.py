"""What a broker is given besides its data: settings, signals, standard streams."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

import harness
from cairn.v1 import admin_pb2
from harness import batch


SEGMENT_BYTES = 1 << 20


class ReloadTest(harness.Case):
    def setUp(self):
        self.home = tempfile.mkdtemp(prefix="cairn-test-")
        self.addCleanup(shutil.rmtree, self.home)
        self.config = os.path.join(self.home, "cairn.conf")
        self.write("retention-check-interval-ms = 1h\nreaders = 2\n")
        self.broker = harness.Broker(options=["--config", self.config, "--checkpoint-interval-ms", "50ms"])
        self.addCleanup(self.broker.close)

    def write(self, text):
        with open(self.config, "w") as file:
            file.write(text)

    def await_said(self, words):
        deadline = time.monotonic() + 20
        while words not in self.broker.said():
            self.assertTrue(self.broker.alive(), self.broker.said())
            self.assertLess(time.monotonic(), deadline, self.broker.said())
            time.sleep(0.02)

    def hang_up(self, awaited):
        self.broker.process.send_signal(signal.SIGHUP)
        self.await_said(awaited)

    def test_what_may_change_changes_and_the_rest_is_named(self):
        self.broker.start()
        client = harness.Client(self.broker.address)
        self.addCleanup(client.close)
        config = admin_pb2.TopicConfig(retention_bytes=0, segment_bytes=SEGMENT_BYTES)
        client.create_topic(name="t", config=config)
        for _ in range(6):
            client.append(topic="t", partition=0, batch=batch(b"x" * (SEGMENT_BYTES // 2)))
        self.assertEqual(client.describe_partition(topic="t", partition=0).log_start_offset, 0)

        self.write("retention-check-interval-ms = 20ms\nreaders = 3\nlog-level = debug\n")
        self.hang_up("event=settings_reloaded changed=2 need_restart=1")
        said = self.broker.said()
        self.assertIn('event=setting_changed name=log-level was="info" is="debug"', said)
        self.assertIn('event=setting_needs_restart name=readers in_force="2" given="3"', said)
        self.await_said("event=retention_trimmed")
        self.assertGreater(client.describe_partition(topic="t", partition=0).log_start_offset, 0)
        self.assertEqual(self.broker.stop(), 0)

    def test_a_bad_file_changes_nothing(self):
        self.broker.start()
        self.write("log-level = debug\nreaders = many\n")
        self.hang_up("event=settings_not_reloaded")
        self.assertIn("cairn.conf:2", self.broker.said())
        os.remove(self.config)
        self.hang_up("cannot read the configuration file")
        self.write("retention-check-interval-ms = 1h\nreaders = 2\n")
        self.hang_up("event=settings_reloaded changed=0 need_restart=0")
        self.assertEqual(self.broker.stop(), 0)

    def test_the_signal_that_stops_it_is_not_lost_while_it_reads_its_settings(self):
        self.broker.start()
        for _ in range(200):
            self.broker.process.send_signal(signal.SIGHUP)
        self.assertEqual(self.broker.stop(), 0)

    def status_of(self, pid, task):
        with open("/proc/%d/task/%s/status" % (pid, task)) as status:
            return dict(line.split(":", 1) for line in status.read().splitlines() if ":" in line)

    def test_no_thread_takes_a_signal_but_the_first(self):
        """Or main() would wait for it in vain."""
        self.broker.start()
        pid = self.broker.process.pid
        asked = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2}
        others = [task for task in os.listdir("/proc/%d/task" % pid) if int(task) != pid]
        self.assertGreater(len(others), 5)
        for task in others:
            fields = self.status_of(pid, task)
            while int(fields["voluntary_ctxt_switches"]) == 0:  # it has not run yet: until then all is blocked
                time.sleep(0.02)
                fields = self.status_of(pid, task)
            blocked = int(fields["SigBlk"], 16)
            taken = [number.name for number in asked if not blocked >> (number - 1) & 1]
            self.assertEqual(taken, [], fields["Name"].strip())

    def test_a_terminal_that_hangs_up_early_does_not_end_it(self):
        self.broker.prefix = ["nohup"]  # and neither what nohup does to the signal
        self.broker.start(wait=False)
        self.await_said("level=info")
        self.broker.process.send_signal(signal.SIGHUP)
        self.broker.wait_ready()
        self.await_said("event=settings_reloaded changed=0")
        self.assertEqual(self.broker.stop(), 0)


class StreamsTest(unittest.TestCase):
    def test_settings_that_cannot_be_printed_are_told_of(self):
        for action in ("--print-config", "--help"):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([harness.CAIRND, action], stdout=full, stderr=subprocess.PIPE, timeout=30)
            self.assertEqual(done.returncode, 1)
            self.assertIn(b"cairnd: cannot write to standard output: No space left", done.stderr)

    def test_nothing_takes_the_place_of_a_closed_stream(self):
        with tempfile.TemporaryDirectory(prefix="cairn-test-") as home:
            command = 'exec "$0" --data-dir "$1" --listen 127.0.0.1:0 <&- >&- 2>&-'
            process = subprocess.Popen(["sh", "-c", command, harness.CAIRND, os.path.join(home, "data")])
            try:
                self.await_store(process, home)
                for number in range(3):
                    self.assertEqual(os.readlink("/proc/%d/fd/%d" % (process.pid, number)), "/dev/null")
            finally:
                process.send_signal(signal.SIGTERM)
                self.assertEqual(process.wait(30), 0)

    def await_store(self, process, home):
        deadline = time.monotonic() + 30
        while not os.path.exists(os.path.join(home, "data", "store.mdb")):
            self.assertIsNone(process.poll())
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)


if __name__ == "__main__":
    harness.main()
