"""What a broker is given besides its data: settings, signals, standard streams."""

import os
import signal
import subprocess
import tempfile
import time
import unittest

import harness


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
