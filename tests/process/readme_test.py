"""README.md is true: its commands are run as they stand, in their order, by somebody who has nothing else.

    readme_test.py README_MD CLI_README_MD DEV

The two programs stand in out/, as ./dev build leaves them. Only the ports differ: CAIRN_LISTEN and CAIRN_SERVER name a free one, and those that
stand in a line are exchanged for free ones.
"""

import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import grpc

import harness
from cairn.v1 import log_pb2, record_pb2


def blocks_of(text):
    """The indented blocks, each a list of lines without the indent."""
    blocks, block = [], []
    for line in text.splitlines() + ["end"]:
        if line.startswith("    "):
            block.append(line[4:])
        elif block and line.strip():
            blocks.append(block)
            block = []
    return blocks


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Reader(unittest.TestCase):
    """Somebody with a shell, in an empty directory but for out/."""

    def setUp(self):
        self.home = tempfile.TemporaryDirectory(prefix="cairn-readme-")
        self.addCleanup(self.home.cleanup)
        out = os.path.join(self.home.name, "out")
        os.mkdir(out)
        for name, path in (("cairnd", harness.CAIRND), ("cairn", harness.CAIRN)):
            os.symlink(os.path.abspath(path), os.path.join(out, name))
        self.address = "127.0.0.1:%d" % free_port()
        self.environment = {**os.environ, "CAIRN_LISTEN": self.address, "CAIRN_SERVER": self.address}
        self.broker = None
        self.addCleanup(self.stop_broker)

    def shell(self, line, **options):
        return subprocess.Popen(["bash", "-c", "exec " + line if options.pop("alone", False) else line],
                                cwd=self.home.name, env=self.environment, **options)  # fmt: skip

    def run_line(self, line):
        process = self.shell(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        out, error = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, "%s\n%s" % (line, error.decode()))
        return out.decode()

    def start_broker(self, line):
        self.assertTrue(line.endswith(" &"))
        self.log = os.path.join(self.home.name, "log")
        with open(self.log, "wb") as log:
            self.broker = self.shell(line[:-2], alone=True, stderr=log)
        deadline = time.monotonic() + 30
        while "cairnd: ready on " + self.address not in pathlib.Path(self.log).read_text():
            self.assertLess(time.monotonic(), deadline, pathlib.Path(self.log).read_text())
            time.sleep(0.02)

    def stop_broker(self):
        if self.broker is None:
            return
        self.broker.send_signal(signal.SIGTERM)
        self.assertEqual(self.broker.wait(30), 0)
        self.broker = None


def on_free_ports(line, ports):
    """The line with other ports, for each of its own always the same one; `ports` remembers which."""
    return re.sub(r"(?<=127\.0\.0\.1:)\d+", lambda port: str(ports.setdefault(port[0], free_port())), line)


class Shell:
    """One shell for several lines, which may leave something running: variables and jobs live from one line to the next."""

    MARK = "--- ended with "
    PATIENCE_S = 120

    def __init__(self, home, environment):
        self.errors = open(os.path.join(home, "errors"), "w+b")
        self.process = subprocess.Popen(
            ["bash"], cwd=home, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, start_new_session=True
        )

    def run(self, line):
        """What it printed. It must end well."""
        said, end = "", time.monotonic() + self.PATIENCE_S
        self.process.stdin.write(("%s\necho '%s'$?\n" % (line, self.MARK)).encode())
        self.process.stdin.flush()
        while self.MARK not in said or not said.endswith("\n"):
            if not select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError("%s: not over in %d s" % (line, self.PATIENCE_S))
            said += os.read(self.process.stdout.fileno(), 1 << 16).decode()
        said, _, status = said.partition(self.MARK)
        if status.strip() != "0":
            raise AssertionError("%s ended with %s: %s" % (line, status.strip(), pathlib.Path(self.errors.name).read_text()))
        return said

    def close(self):
        """With everything that it has started."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.communicate()
        self.errors.close()


class ReadmeTest(Reader):
    def test_the_commands_of_the_readme(self):
        lines = [line for block in blocks_of(README.split("## Three brokers")[0]) for line in block]
        shown = [line for line in lines if line.startswith(("out/", "printf "))]
        self.assertEqual(len(shown), 7, "the lines this test knows what to expect of; teach it the new ones")
        start, create, append, read, follow, trim, describe = shown

        self.start_broker(start)
        self.assertTrue(os.path.isdir(os.path.join(self.home.name, "cairn-data")))
        self.assertEqual(self.run_line(create), "created topic orders with 4 partitions\n")
        self.assertEqual(self.run_line(append), "")
        out = self.run_line(read)
        self.assertRegex(out, r"(?m)^\d:0 alice -> 1 apple$")
        self.assertRegex(out, r"(?m)^\d:0 bob -> 2 pears$")

        following = self.shell(follow, alone=True, stdout=subprocess.PIPE)
        deadline = time.monotonic() + 30
        os.set_blocking(following.stdout.fileno(), False)
        seen = b""
        while not seen:  # it may not have begun to follow yet
            self.run_line("echo carol:3 figs | out/cairn append orders --key-separator :")
            time.sleep(0.3)
            seen = following.stdout.read() or b""
            self.assertLess(time.monotonic(), deadline, "nothing was followed")
        self.assertEqual(seen.splitlines()[0], b"3 figs")
        following.send_signal(signal.SIGINT)
        self.assertEqual(following.wait(30), 130)
        following.stdout.close()

        self.assertRegex(self.run_line(trim), r"begins at offset 1 now")
        self.assertRegex(self.run_line(describe), r"(?m)^ +1 +%s +1 +1 +\d+$" % re.escape(self.address))

    def test_the_three_brokers_of_the_readme(self):
        *lines, cluster = [line for block in blocks_of(THREE) for line in block]
        self.assertTrue(cluster.startswith("./dev "), cluster)
        shell, ports = Shell(self.home.name, self.environment), {}
        self.addCleanup(shell.close)
        said = {}
        for line in lines:
            said.setdefault(re.sub(r"^out/| \W.*", "", line), []).append(shell.run(on_free_ports(line, ports)))

        self.assertEqual(said["cairn topic create payments"], ["created topic payments with 1 partition\n"])
        before, after = [dict(re.findall(r"(?m)^(\w[\w ]*?)  +(.*)$", card)) for card in said["cairn partition describe payments 0"]]
        self.assertEqual((before["leader id"], before["high watermark"]), ("1", "0"))
        self.assertIn(after["leader id"], ("2", "3"))
        self.assertEqual(after["high watermark"], "500000")
        self.assertEqual(said["cairn read payments"], ["500000\n"])
        drained, undone = said["cairn broker drain 3"]
        self.assertEqual(drained, "broker 3 is drained: it leads nothing that another broker could lead\n")
        self.assertIn('broker 3 is "in" again', undone)
        (brokers,) = said["cairn broker list"]
        self.assertEqual(re.findall(r"(?m)^ +(\d).* (?:up|down) +(\w+) +1 ", brokers), [("1", "in"), ("2", "in"), ("3", "drained")])
        self.assertRegex(said["cairn cluster status"][0], r"(?m)^partitions +1: 0 without a quorum")
        for number in (1, 2, 3):
            self.assertTrue(os.path.isdir(os.path.join(self.home.name, "broker-%d" % number)))

    def start_cluster(self, line):
        """`./dev cluster` without building first, and on free ports. Returns the addresses."""
        self.assertRegex(line, r"^\./dev cluster 3 --port 7421 &$")
        told = open(os.path.join(self.home.name, "told"), "wb")
        self.addCleanup(told.close)
        tool = [sys.executable, str(DEV.parent / "tools/cluster/cluster.py"), "3", "--port", "0"]
        cluster = subprocess.Popen(tool, cwd=self.home.name, stdout=subprocess.PIPE, stderr=told)
        self.addCleanup(cluster.stdout.close)
        self.addCleanup(cluster.wait, 60)
        self.addCleanup(cluster.terminate)
        said = cluster.stdout.readline().decode()
        self.assertTrue(said.startswith("cluster: "), said + pathlib.Path(told.name).read_text())
        self.assertTrue(os.path.isdir(os.path.join(self.home.name, "cairn-cluster")))
        return said.split()[1].split(",")

    def test_the_cluster_of_dev(self):
        addresses = self.start_cluster(blocks_of(THREE)[-1][-1])
        self.assertEqual(len(addresses), 3)
        self.environment["CAIRN_SERVER"] = ",".join(addresses)
        self.run_line("out/cairn topic create payments --replicas 3")
        self.run_line("echo paid | out/cairn append payments")
        self.assertEqual(self.run_line("out/cairn read payments"), "paid\n")

    def test_the_python_of_the_readme(self):
        block = next(block for block in blocks_of(README) if block[0].startswith("append = channel"))
        self.start_broker("out/cairnd &")
        self.run_line("out/cairn topic create orders")
        said = []
        with grpc.insecure_channel(self.address) as channel:
            names = {
                "channel": channel,
                "print": said.append,
                "AppendRequest": log_pb2.AppendRequest,
                "AppendResponse": log_pb2.AppendResponse,
                "RecordBatch": record_pb2.RecordBatch,
                "Records": record_pb2.Records,
                "Record": record_pb2.Record,
            }
            exec("\n".join(block), names)
        self.assertEqual(said, [0])
        self.assertEqual(self.run_line("out/cairn read orders -f '%k=%v'"), "k=v")

    def test_the_commands_of_dev_exist(self):
        menu = DEV.read_text(encoding="utf-8")
        named = set(re.findall(r"\./dev ([a-z]+)", README))
        self.assertGreaterEqual(named, {"build", "demo", "test"})
        for command in named:
            self.assertRegex(menu, r"(?m)^cmd_%s\(\)" % command)

    def test_the_links_of_the_readme_lead_somewhere(self):
        for target in re.findall(r"\]\(([^)#]+)\)", README):
            self.assertTrue((DEV.parent / target).exists(), target)

    def test_the_commands_of_the_page_of_cairn(self):
        create, append, read = [line for line in blocks_of(CLI)[0] if re.match("cairn [a-z]", line)]
        self.start_broker("out/cairnd &")
        pathlib.Path(self.home.name, "orders.txt").write_text("a\nb\n")
        self.environment["PATH"] = os.path.join(self.home.name, "out") + ":" + self.environment["PATH"]
        self.run_line(create)
        self.run_line(append)
        following = self.shell(read, alone=True, stdout=subprocess.PIPE)
        self.assertEqual({following.stdout.readline(), following.stdout.readline()}, {b"a\n", b"b\n"})
        following.send_signal(signal.SIGINT)
        self.assertEqual(following.wait(30), 130)
        following.stdout.close()


if __name__ == "__main__":
    README = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
    THREE = README.split("## Three brokers")[1].split("\n## ")[0]
    CLI = pathlib.Path(sys.argv[2]).read_text(encoding="utf-8")
    DEV = pathlib.Path(sys.argv[3]).resolve()
    unittest.main(argv=sys.argv[:1], verbosity=2)
