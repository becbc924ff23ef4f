"""`cairn` against a real broker: what it prints on which stream, and how it exits.

CAIRN and CAIRND name the programs; by default those that Bazel built.
"""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

CAIRN = os.path.abspath(os.environ.get("CAIRN", "clients/cli/cairn"))
CAIRND = os.path.abspath(os.environ.get("CAIRND", "server/cairnd"))
READY = re.compile(r"^cairnd: ready on (\S+)", re.MULTILINE)


class Broker:
    """One broker in a directory of its own; it keeps its port over restarts."""

    def __init__(self, *options):
        self.options = options
        self.home = tempfile.mkdtemp(prefix="cairn-cli-")
        self.data = os.path.join(self.home, "data")
        self.address = "127.0.0.1:0"
        self.process = None

    def start(self):
        log = os.path.join(self.home, "log")
        with open(log, "wb") as stderr:
            self.process = subprocess.Popen([CAIRND, "--data-dir", self.data, "--listen", self.address, *self.options], stderr=stderr)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with open(log, encoding="utf-8") as file:
                ready = READY.search(file.read())
            if ready:
                self.address = ready.group(1)
                return
            time.sleep(0.02)
        raise AssertionError("the broker is not ready after 30 s")

    def stop(self, how=signal.SIGTERM):
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
        self.process = None

    def freeze(self):
        """Stops all of its threads, and waits until they stand: until then it may still answer."""
        self.process.send_signal(signal.SIGSTOP)
        tasks = "/proc/%d/task" % self.process.pid
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            states = []
            for task in os.listdir(tasks):
                with open(os.path.join(tasks, task, "stat"), encoding="utf-8") as file:
                    states.append(file.read().rpartition(")")[2].split()[0])
            if set(states) == {"T"}:
                return
            time.sleep(0.01)
        raise AssertionError("the broker does not stand still")

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def remove(self):
        self.stop(signal.SIGKILL)
        shutil.rmtree(self.home)


class WithBroker(unittest.TestCase):
    OPTIONS = ("--checkpoint-interval-ms", "100ms")

    @classmethod
    def setUpClass(cls):
        cls.broker = Broker(*cls.OPTIONS)
        cls.broker.start()
        cls.names = 0

    @classmethod
    def tearDownClass(cls):
        cls.broker.remove()

    def command(self, *words):
        return [CAIRN, *words]

    def environment(self):
        return dict(os.environ, CAIRN_SERVER=self.broker.address, LANG="C.UTF-8")

    def run_cairn(self, *words, stdin=b"", code=0):
        done = subprocess.run(
            self.command(*words), input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment(), timeout=60
        )
        self.assertEqual(done.returncode, code, done.stderr.decode())
        return done

    def out(self, *words, stdin=b""):
        return self.run_cairn(*words, stdin=stdin).stdout

    def topic(self, partitions=1):
        type(self).names += 1
        name = f"topic-{type(self).names}"
        self.out("topic", "create", name, "--partitions", str(partitions))
        return name

    def assert_refused(self, code, reason, *words, stdin=b"", suggests=None):
        error = self.run_cairn(*words, stdin=stdin, code=code).stderr.decode()
        lines = error.splitlines()
        self.assertEqual(len(lines), 3, error)
        self.assertTrue(lines[0].startswith(f"error[{reason}]: "), error)
        self.assertTrue(lines[1].startswith("why: "), error)
        self.assertTrue(lines[2].startswith("try: "), error)
        if suggests:
            self.assertIn(suggests, lines[2])
        return error


class CliTest(WithBroker):
    """One broker, always there."""

    # ---- the map ----

    def watched(self, *words, until):
        """What cluster watch prints until a line has it, and what it says at the end."""
        process = subprocess.Popen(
            self.command("cluster", "watch", *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment()
        )
        lines = []
        for line in process.stdout:
            lines.append(line.decode().rstrip("\n"))
            if until in lines[-1]:
                break
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130)
        return lines, said.decode()

    def test_the_map_is_watched_from_any_version(self):
        name = self.topic(partitions=2)
        lines, said = self.watched("--from", "0", until="that was the whole map")
        self.assertRegex(lines[0], r"^[0-9]+  the whole map of cluster [0-9a-f]{32}:$")
        self.assertIn(f"broker 1 in, at {self.broker.address}", "\n".join(lines))
        self.assertIn(f"topic {name}: 2 partitions, replicas 1", "\n".join(lines))
        version = int(lines[0].split()[0])
        self.assertIn(f"watched to version {version}; it goes on with --from {version}", said)
        self.out("topic", "alter", name, "--partitions", "3", "--retention", "7d")
        self.out("topic", "delete", name)
        lines, _ = self.watched("--from", str(version), "--topic", f"{name},another", until="deleted")
        self.assertEqual([int(line.split()[0]) for line in lines], [version + 1, version + 2, version + 3])
        self.assertIn("retention-ms 604800000", lines[0])
        self.assertEqual(lines[1].split("  ")[1], f"topic {name} grown: 3 partitions")

    def test_the_map_is_watched_as_json(self):
        name = self.topic(partitions=2)
        lines, _ = self.watched("--from", "0", "-o", "json", "--topic", name, until="map_whole")
        told = [json.loads(line) for line in lines]
        self.assertEqual([one["change"] for one in told], ["map_begins", "feature_level", "broker", "topic", "map_whole"])
        self.assertEqual(told[1]["feature_level"], 2)
        self.assertEqual(told[3]["topic"]["name"], name)
        self.assertEqual([place["replicas"] for place in told[3]["partitions"]], [[1], [1]])
        self.assertEqual(told[2]["broker"]["standing"], "in")
        self.assertEqual((told[2]["broker"]["feature_least"], told[2]["broker"]["feature_most"]), (1, 2))
        self.assertEqual({one["version"] for one in told}, {told[0]["version"]})

    def test_a_watch_of_another_cluster_is_refused(self):
        self.assert_refused(4, "FOREIGN", "cluster", "watch", "--from", "1", "--cluster", "0" * 32)
        self.assert_refused(2, "USAGE", "cluster", "watch", "--topic", "a,,b")
        self.assert_refused(2, "USAGE", "cluster", "watch", "--from", "soon")

    # ---- append and read ----

    def test_lines_come_back_byte_for_byte(self):
        name = self.topic()
        data = b"one\n\n\xff\x00three\r\n" + b"x" * 100000 + b"\n"
        self.out("append", name, stdin=data)
        self.assertEqual(self.out("read", name, "--raw"), data)
        self.assertEqual(self.out("read", name), data)

    def test_a_last_line_without_newline_counts(self):
        name = self.topic()
        self.out("append", name, stdin=b"a\nb")
        self.assertEqual(self.out("read", name), b"a\nb\n")
        empty = self.topic()
        self.out("append", empty, stdin=b"")
        self.assertEqual(self.out("read", empty), b"")

    def test_a_million_lines_take_seconds(self):
        name = self.topic()
        data = b"".join(b"line %d\n" % i for i in range(1000000))
        begun = time.monotonic()
        self.out("produce", name, stdin=data)
        self.assertLess(time.monotonic() - begun, 30)
        self.assertEqual(self.out("consume", name, "--raw"), data)

    def test_offsets_are_printed_for_every_record(self):
        name = self.topic(4)
        lines = self.out("append", name, "--print-offsets", stdin=b"".join(b"%d\n" % i for i in range(20000))).split()
        self.assertEqual(len(lines), 20000)
        by_partition = {}
        for line in lines:
            partition, offset = map(int, line.split(b":"))
            by_partition.setdefault(partition, []).append(offset)
        for offsets in by_partition.values():
            self.assertEqual(offsets, list(range(len(offsets))))

    def test_offsets_are_printed_while_the_input_stays_open(self):
        name = self.topic()
        with subprocess.Popen(
            self.command("append", name, "--print-offsets"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.environment()
        ) as process:
            for i in range(3):
                process.stdin.write(b"line\n")
                process.stdin.flush()
                self.assertEqual(process.stdout.readline(), b"0:%d\n" % i)
            process.stdin.close()
            self.assertEqual(process.wait(30), 0)

    def test_keys_go_where_kafka_puts_them(self):
        name = self.topic(8)
        self.out("append", name, "--key-separator", "::", stdin=b"21::a\nfoobar::b\nno key\n::empty key\n")
        records = [json.loads(line) for line in self.out("read", name, "-o", "json").splitlines()]
        where = {record["key"]: record for record in records}
        self.assertEqual(where["21"]["partition"], (-973932308 & 0x7FFFFFFF) % 8)
        self.assertEqual(where["foobar"]["partition"], (-790332482 & 0x7FFFFFFF) % 8)
        self.assertEqual(where[None]["value"], "no key")
        self.assertEqual(where[""]["value"], "empty key")
        self.out("append", name, "--key", "21", "--partition", "3", stdin=b"forced\n")
        self.assertEqual(self.out("read", name, "-p", "3", "--from", "-1", "-f", "%k=%v\\n"), b"21=forced\n")

    def test_compressed_batches_read_the_same(self):
        for codec in ("zstd", "lz4"):
            name = self.topic()
            data = b"the same line again\n" * 50000
            self.out("append", name, "--codec", codec, stdin=data)
            self.assertEqual(self.out("read", name), data)
            state = json.loads(self.out("partition", "describe", name, "0", "-o", "json"))
            self.assertLess(state["log_bytes"], len(data) / 2)

    def test_positions(self):
        name = self.topic()
        self.out("append", name, "--batch-bytes", "100", stdin=b"".join(b"%d\n" % i for i in range(100)))
        offsets = ["-f", "%o "]
        self.assertEqual(self.out("read", name, "--from", "95", *offsets), b"95 96 97 98 99 ")
        self.assertEqual(self.out("read", name, "--from", "-2", *offsets), b"98 99 ")
        self.assertEqual(self.out("read", name, "--from", "10", "--to", "13", *offsets), b"10 11 12 ")
        self.assertEqual(self.out("read", name, "--to", "-98", *offsets), b"0 1 ")
        self.assertEqual(self.out("read", name, "--count", "3", *offsets), b"0 1 2 ")
        self.assertEqual(self.out("read", name, "--from", "98", "--to", "1000", *offsets), b"98 99 ")
        self.assertEqual(self.out("read", name, "--from", "end"), b"")
        self.assertEqual(self.out("read", name, "--from", "@-1h", "--count", "1", *offsets), b"0 ")
        self.assertEqual(self.out("read", name, "--from", "@2001-01-01", "--to", "@2002-01-01"), b"")

    def test_follow_pushes_what_is_appended(self):
        name = self.topic(2)
        with subprocess.Popen(
            self.command("read", name, "--follow", "-f", "%v\\n"), stdout=subprocess.PIPE, env=self.environment()
        ) as process:
            for i in range(4):
                self.out("append", name, "--partition", str(i % 2), stdin=b"%d\n" % i)
                self.assertEqual(process.stdout.readline(), b"%d\n" % i)
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(30), 130)

    def test_json_carries_any_bytes(self):
        name = self.topic()
        self.out("append", name, stdin=b'"quoted\\"\n\xff\n\xc3\xa9\n')
        values = [json.loads(line)["value"] for line in self.out("read", name, "-o", "json").splitlines()]
        self.assertEqual(values, ['"quoted\\"', {"base64": "/w=="}, "\u00e9"])

    # ---- interruptions ----

    def test_interrupt_finishes_what_is_on_its_way(self):
        name = self.topic()
        with subprocess.Popen(
            self.command("append", name, "--print-offsets"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environment(),
        ) as process:
            process.stdin.write(b"one\ntwo\n")
            process.stdin.flush()
            self.assertEqual(process.stdout.readline(), b"0:0\n")
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(30), 130)
            self.assertIn(b"error[INTERRUPTED]", process.stderr.read())
        self.assertEqual(self.out("read", name), b"one\ntwo\n")

    def test_a_reader_that_goes_away_is_no_error(self):
        name = self.topic()
        self.out("append", name, stdin=b"line\n" * 500000)
        with subprocess.Popen(
            self.command("read", name), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment()
        ) as process:
            self.assertEqual(process.stdout.readline(), b"line\n")
            process.stdout.close()
            self.assertEqual(process.wait(30), 0)
            self.assertEqual(process.stderr.read(), b"")

    # ---- topics, partitions, brokers ----

    def test_topics_are_created_listed_changed_and_deleted(self):
        created = json.loads(self.out("topic", "create", "life", "-p", "3", "--retention", "7d", "-o", "json"))
        self.assertEqual((created["partitions"], created["config"]["retention_ms"]), (3, 604800000))
        self.assertIn("life", [topic["name"] for topic in json.loads(self.out("topic", "list", "-o", "json"))])
        self.assertRegex(self.out("topic", "list").decode(), r"NAME +PARTITIONS[^\n]*\n(.*\n)*life +3 .*\n")
        self.out("topic", "alter", "life", "--retention", "-1", "--segment-bytes", "1MiB")
        before = json.loads(self.out("-o", "json", "topic", "describe", "life"))["topic"]["partitions"]
        grown = json.loads(self.out("-o", "json", "topic", "alter", "life", "--partitions", str(before + 2)))
        self.assertEqual(grown["partitions"], before + 2)
        self.assert_refused(2, "INVALID", "topic", "alter", "life", "--partitions", str(before), "--retention", "5d")
        self.assertEqual(json.loads(self.out("-o", "json", "topic", "describe", "life"))["topic"]["config"]["retention_ms"], -1)
        described = json.loads(self.out("topic", "describe", "life", "-o", "json"))
        self.assertEqual(described["topic"]["config"]["retention_ms"], -1)
        self.assertEqual(described["topic"]["config"]["segment_bytes"], 1 << 20)
        self.assertEqual(len(described["partitions"]), before + 2)
        self.out("topic", "rm", "life")
        self.assert_refused(3, "UNKNOWN_TOPIC", "topic", "describe", "life", suggests="cairn topic list")

    def test_a_retention_of_zero_is_zero(self):
        def config(*words):
            return json.loads(self.out("-o", "json", "topic", *words))["config"]

        created = config("create", "fleeting", "--retention", "0", "--retention-bytes", "0")
        self.assertEqual((created["retention_ms"], created["retention_bytes"]), (0, 0))
        altered = config("alter", "fleeting", "--retention", "1h")
        self.assertEqual((altered["retention_ms"], altered["retention_bytes"]), (3600000, 0))
        self.assertEqual(config("alter", "fleeting", "--retention", "0")["retention_ms"], 0)
        self.assertRegex(self.out("topic", "describe", "fleeting").decode(), r"(?m)^retention +0ms$")

    def test_a_dry_run_changes_nothing(self):
        self.assertIn(b"would create", self.out("topic", "create", "dry", "--dry-run"))
        self.assert_refused(3, "UNKNOWN_TOPIC", "topic", "describe", "dry")
        name = self.topic()
        self.assert_refused(3, "UNKNOWN_TOPIC", "topic", "delete", "dry", "--dry-run")
        self.assertEqual(self.out("topic", "delete", name, "--dry-run"), b"would delete topic %s\n" % name.encode())
        before = self.out("-o", "json", "topic", "describe", name)
        self.assertRegex(self.out("topic", "alter", name, "--partitions", "9", "--dry-run").decode(), r"\Awould change topic (.|\n)*\npartitions +9\n")
        self.assertEqual(self.out("-o", "json", "topic", "describe", name), before)

    def test_trim_moves_the_start(self):
        name = self.topic()
        self.out("append", name, stdin=b"a\nb\nc\n")
        self.assertIn(b"offset 2", self.out("partition", "trim", name, "0", "--before", "2"))
        self.assertEqual(self.out("read", name), b"c\n")
        self.out("partition", "trim", name, "0", "--before", "3")
        self.assertIn("is empty and begins at 3", self.assert_refused(1, "BELOW_START", "read", name, "--from", "0"))
        self.assertEqual(json.loads(self.out("-o", "json", "partition", "describe", name, "0"))["log_start_offset"], 3)

    def test_producers_are_listed_with_where_they_are(self):
        name = self.topic()
        self.assertEqual(self.out("partition", "producers", name, "0", "-o", "json"), b"[]\n")
        for run in (1, 2):  # the second goes on behind the first
            self.out("append", name, "--producer", "loader", stdin=b"a\nb\nc\n")
            (row,) = json.loads(self.out("partition", "producers", name, "0", "-o", "json"))
            self.assertEqual((row["name"], row["epoch"], row["next_sequence"], row["last_offset"]), ("loader", run, 3 * run, 3 * run - 1))
        self.assertIn(b"loader", self.out("partition", "producers", name, "0"))
        self.assertEqual(self.out("read", name), b"a\nb\nc\n" * 2)
        self.assert_refused(3, "UNKNOWN_TOPIC", "partition", "producers", "nowhere", "0")

    def test_the_broker_says_who_it_is(self):
        broker = json.loads(self.out("broker", "describe", "-o", "json"))
        self.assertRegex(broker["cluster_id"], "^[0-9a-f]{32}$")
        self.assertEqual(broker["advertised"], self.broker.address)

    def test_the_brokers_are_listed(self):
        described = json.loads(self.out("broker", "describe", "-o", "json"))
        (row,) = json.loads(self.out("broker", "list", "-o", "json"))
        self.assertEqual((row["broker_id"], row["advertised"]), (1, self.broker.address))
        self.assertEqual((row["controller"], row["incarnation"]), (True, described["incarnation"]))
        self.assertEqual(row["standing"], "in")
        self.assertRegex(self.out("broker", "ls").decode(), r"(?m)^BROKER +ADDRESS .*\n +1 +%s +- +- +controller +up +in " % self.broker.address)
        self.assertEqual(row["rack"], "")
        status = json.loads(self.out("cluster", "status", "-o", "json"))
        self.assertEqual((status["racks"], status["brokers_without_rack"]), ({}, 1))

    def test_the_feature_level_is_shown_and_raised(self):
        status = json.loads(self.out("cluster", "status", "-o", "json"))
        self.assertEqual((status["feature_level"], status["feature_level_possible"]), (2, 2))
        self.assertRegex(self.out("cluster", "status").decode(), r"(?m)^features +level 2$")
        (row,) = json.loads(self.out("broker", "list", "-o", "json"))
        self.assertEqual((row["features"], row["feature_least"], row["feature_most"]), ("1-2", 1, 2))
        self.assertEqual(self.out("cluster", "upgrade"), b"the cluster is at feature level 2 already\n")
        self.assertEqual(json.loads(self.out("cluster", "upgrade", "-o", "json")), {"state": "unchanged", "level_before": 2, "level": 2})
        self.assertIn("never lowered", self.assert_refused(2, "INVALID", "cluster", "upgrade", "--to", "1"))
        error = self.assert_refused(4, "FEATURE_LEVEL", "cluster", "upgrade", "--to", "3", suggests="cairn broker list")
        self.assertIn("broker 1 can levels 1 to 2", error)
        self.run_cairn("cluster", "upgrade", "--to", "0", code=2)

    def test_a_broker_is_drained_and_in_again(self):
        self.topic()
        self.assertIn(b"could be drained", self.out("broker", "drain", "1", "--dry-run"))
        self.assertIn(b"could be drained", self.out("cluster", "drain", "1", "--dry-run"))
        self.assertEqual(self.out("broker", "drain", "1"), b"broker 1 is being drained: others take over what it leads\n")
        (row,) = json.loads(self.out("broker", "list", "-o", "json"))
        self.assertEqual(row["standing"], "drained")
        self.assertIn(b"nobody else could lead just now", self.out("broker", "drain", "1", "--wait"))
        undone = json.loads(self.out("broker", "drain", "1", "--undo", "-o", "json"))
        self.assertEqual((undone["broker_id"], undone["standing"], undone["state"]), (1, "in", "in"))
        self.assertEqual(self.out("broker", "decommission", "1", "--undo"), b"broker 1 is \"in\" already\n")

    def test_a_cluster_of_one_has_nothing_to_move(self):
        name = self.topic()
        self.assertIn(b"nothing is to move", self.out("cluster", "rebalance", "--dry-run"))
        self.assertIn(b"nothing is to move", self.out("cluster", "rebalance", "--wait"))
        self.assertEqual(json.loads(self.out("cluster", "rebalance", "--dry-run", "-o", "json"))["moves"], [])
        self.assertEqual(self.out("cluster", "moves"), b"nothing is on its way\n")
        self.assertEqual(json.loads(self.out("cluster", "moves", "--watch", "-o", "json")), [])
        self.assertIn(b"is not on its way", self.out("partition", "move", name, "0", "--cancel"))

    def test_a_reassignment_that_makes_no_sense_is_refused(self):
        for words in (
            ("cluster", "reassign"),
            ("cluster", "reassign", "--topics", "a"),
            ("cluster", "reassign", "--topics", "a,,b", "--to-brokers", "1"),
            ("cluster", "reassign", "--topics", "a", "--to-brokers", "1;2"),
            ("cluster", "reassign", "--topics", "a", "--to-brokers", "0"),
            ("cluster", "reassign", "--plan", "p.json", "--topics", "a"),
            ("cluster", "reassign", "--topics", "a", "--to-brokers", "1", "--save", "p.json", "--wait"),
            ("cluster", "rebalance", "--dry-run", "--wait"),
            ("cluster", "rebalance", "--at-once", "0"),
            ("cluster", "rebalance", "--throttle", "fast"),
            ("partition", "move", "a", "0", "--cancel", "--to", "1"),
        ):
            self.run_cairn(*words, code=2)
        self.assert_refused(1, "BAD_PLAN", "cluster", "reassign", "--plan", "/nowhere/plan.json")
        for words in (("reassign", "--topics", "nowhere", "--to-brokers", "1"), ("rebalance", "--topic", "nowhere")):
            said = self.assert_refused(3, "UNKNOWN_TOPIC", "cluster", *words)
            self.assertRegex(said, r"(?m)^try: cairn topic list$")
        name = self.topic()
        self.assert_refused(3, "NOT_FOUND", "cluster", "reassign", "--topics", name, "--to-brokers", "9", suggests="broker list")

    def test_a_topic_is_where_it_is_asked_to_be(self):
        name = "in-places"
        self.assertEqual(self.out("topic", "create", name, "--places", "1,1", "--dry-run"), b"would create topic %s with 2 partitions\n" % name.encode())
        self.assertEqual(self.out("topic", "create", name, "--places", "1,1"), b"created topic %s with 2 partitions\n" % name.encode())
        described = json.loads(self.out("topic", "describe", name, "-o", "json"))
        self.assertEqual([partition["replicas"] for partition in described["partitions"]], [[1], [1]])
        for wrong in ("", "1,", ",1", "1:", "1:2:3:4:5:6:7:8", "1;1", "0", "-1", " 1", "one"):
            self.run_cairn("topic", "create", name + "-not", "--places", wrong, code=2)
        self.assert_refused(3, "NOT_FOUND", "topic", "create", name + "-not", "--places", "9", suggests="broker list")

        self.run_cairn("topic", "grow", name, "--places", "1", code=2)
        self.assert_refused(2, "INVALID", "topic", "grow", name, "--partitions", "4", "--places", "1")
        self.assert_refused(3, "NOT_FOUND", "topic", "grow", name, "--partitions", "3", "--places", "9", suggests="broker list")
        self.out("topic", "grow", name, "--partitions", "4", "--places", "1,1", "--dry-run")
        self.assertEqual(len(json.loads(self.out("topic", "describe", name, "-o", "json"))["partitions"]), 2)
        self.out("topic", "grow", name, "--partitions", "4", "--places", "1,1")
        described = json.loads(self.out("topic", "describe", name, "-o", "json"))
        self.assertEqual([partition["replicas"] for partition in described["partitions"]], [[1]] * 4)

    def test_more_replicas_than_brokers_are_refused_with_numbers(self):
        said = self.assert_refused(2, "INVALID", "topic", "create", "copies", "--replicas", "3")
        self.assertIn("3 replicas are wanted, each on a broker of its own, and the cluster has 1 broker", said)

    # ---- errors ----

    def test_errors_say_what_why_and_what_to_do(self):
        name = self.topic()
        self.out("append", name, stdin=b"x\n")
        self.assert_refused(3, "UNKNOWN_TOPIC", "append", "nowhere", suggests="cairn topic create nowhere")
        self.assert_refused(3, "UNKNOWN_TOPIC", "read", "nowhere", suggests="cairn topic create nowhere")
        said = self.assert_refused(3, "UNKNOWN_PARTITION", "append", name, "-p", "7")
        self.assertIn(f'cannot append to partition 7 of topic "{name}": 0 records acknowledged, 0 not appended, 0 unknown', said)
        self.assert_refused(3, "UNKNOWN_PARTITION", "read", name, "-p", "7", suggests=f"cairn topic describe {name}")
        self.assert_refused(4, "TOPIC_EXISTS", "topic", "create", name, suggests=f"cairn topic describe {name}")
        self.assert_refused(2, "BAD_NAME", "topic", "create", "no such name")
        self.assert_refused(2, "INVALID", "topic", "alter", name, "--segment-bytes", "5")
        self.assert_refused(1, "BEYOND_END", "read", name, "--from", "99", suggests=f"cairn read {name} --partition 0 --from 1")
        self.assert_refused(
            1, "BEYOND_END", "partition", "trim", name, "0", "--before", "9", suggests=f"cairn partition describe {name} 0"
        )
        self.assert_refused(3, "NOT_FOUND", "partition", "move", name, "0", "--to", "1,9", suggests="cairn broker list")
        self.assert_refused(3, "UNKNOWN_TOPIC", "partition", "move", "nowhere", "0", "--to", "1", suggests="cairn topic list")
        self.assert_refused(2, "USAGE", "partition", "move", name, "0", "--to", "1,,2", suggests="cairn partition move --help")
        self.assert_refused(3, "NOT_FOUND", "partition", "transfer", name, "0", "--to", "9", suggests="cairn broker list")
        self.assert_refused(3, "UNKNOWN_TOPIC", "partition", "transfer", "nowhere", "0", "--to", "1", suggests="cairn topic list")
        self.assert_refused(2, "USAGE", "partition", "transfer", name, "0", "--to", "1,2", suggests="cairn partition transfer --help")
        self.assertIn(b"is led by broker 1 already", self.out("partition", "transfer", name, "0", "--to", "1"))
        stays = json.loads(self.out("-o", "json", "partition", "transfer", name, "0", "--to", "1", "--dry-run"))
        self.assertEqual((stays["leader_before"], stays["leader_after"], stays["state"]), (1, 1, "already"))
        self.assert_refused(3, "NOT_FOUND", "broker", "drain", "9", suggests="cairn broker list")
        self.assert_refused(3, "NOT_FOUND", "broker", "decommission", "9", "--undo", suggests="cairn broker list")
        self.assert_refused(4, "TOO_FEW_BROKERS", "broker", "decommission", "1", suggests="start another broker")
        self.assert_refused(2, "USAGE", "broker", "drain", "first", suggests="cairn broker drain --help")
        self.assert_refused(2, "USAGE", "broker", "drain", suggests="cairn broker drain --help")
        self.assert_refused(2, "USAGE", "broker", "decommission", "1", "--wait", "--undo", suggests="cairn broker decommission --help")
        self.assert_refused(2, "USAGE", "topic", "frobnicate", suggests="cairn topic --help")
        self.assert_refused(1, "TOO_LARGE", "append", name, stdin=b"x" * 2000000, suggests="--record-bytes-max")
        self.assertIn('"/nowhere"', self.assert_refused(3, "NOT_FOUND", "append", name, "--file", "/nowhere", suggests="another --file"))
        self.assert_refused(2, "INVALID", "append", name, "--file", "/", suggests="--file")
        self.assert_refused(2, "USAGE", "append", suggests="cairn append --help")
        self.assert_refused(2, "USAGE", "topic", "creat", "x")
        self.assert_refused(2, "USAGE", "read", name, "-f", "%q")

    def test_too_large_is_not_told_as_badly_written(self):
        for words, bounds in (
            (("topic", "create", "t", "--retention", "99999999999999d"), "it can be -1 to 9223372036854775807 ms"),
            (("partition", "trim", "t", "0", "--before", "99999999999999999999"), "it can be 0 to 9223372036854775807"),
            (("read", "t", "--from", "99999999999999999999"), "further than any record can be"),
            (("--timeout", "9999999999d", "topic", "list"), "it can be 1ms to 2147483s"),
        ):
            self.assertIn(bounds, self.assert_refused(2, "USAGE", *words))
        self.assert_refused(2, "USAGE", "read", "t", "--from", "@2024-02-30")
        self.assertIn("UTC", self.out("help", "positions").decode())

    def test_what_is_suggested_can_be_done(self):
        for never in ("bad name", "", "..", "x" * 250):
            said = self.assert_refused(3, "UNKNOWN_TOPIC", "append", "--", never, suggests="cairn topic list")
            self.assertIn("0 records acknowledged", said)
        name = self.topic()
        self.out("topic", "alter", name, "--record-bytes-max", "3MiB")
        said = self.assert_refused(1, "TOO_LARGE", "append", name, stdin=b"x" * 4000000)
        self.assertRegex(said, r"(?m)^try: smaller records$")

    def test_an_outcome_that_is_unknown_is_looked_up_where_it_would_be(self):
        name = self.topic()
        self.out("append", name, stdin=b"x\n")
        self.broker.freeze()
        try:
            for words, suggests in (
                (("read", name), "the same with a longer --timeout"),
                (("topic", "list"), "the same with a longer --timeout"),
                (("topic", "create", "late"), "cairn topic describe late, to see what was done"),
                (("partition", "trim", name, "0", "--before", "1"), f"cairn topic describe {name}, to see what was done"),
                (("broker", "drain", "1", "--undo"), "cairn broker list, to see what was done"),
            ):
                self.assert_refused(6, "DEADLINE", "--timeout", "700ms", *words, suggests=suggests)
        finally:
            self.broker.thaw()

    def test_a_table_with_nothing_in_it_has_its_head(self):
        name = self.topic()
        said = self.out("partition", "producers", name, "0").decode()
        self.assertRegex(said, r"\Aproducer +epoch[^\n]*\n\Z")
        self.assertEqual(json.loads(self.out("partition", "producers", name, "0", "-o", "json")), [])

    def interrupted_at(self, address, *words):
        """What a command says that gets no answer, and is told to stop: it ends soon after."""
        process = subprocess.Popen(
            [CAIRN, "--server", address, "--timeout", "5m", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment()
        )
        self.addCleanup(process.kill)
        with self.assertRaises(subprocess.TimeoutExpired):
            process.wait(1)
        process.send_signal(signal.SIGINT)
        said, error = process.communicate(timeout=30)
        self.assertEqual((process.returncode, said), (130, b""), error)
        return error.decode()

    def test_ctrl_c_ends_a_call_that_nobody_answers(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def speak_no_more():
                for _ in range(3):
                    connection, _ = listener.accept()
                    self.addCleanup(connection.close)
                    connection.sendall(b"\0\0\0\4\0\0\0\0\0")  # HTTP/2's settings, and nothing behind them

            speaker = threading.Thread(target=speak_no_more, daemon=True)
            speaker.start()
            address = "127.0.0.1:%d" % listener.getsockname()[1]
            error = self.interrupted_at(address, "topic", "list")
            self.assertIn("error[INTERRUPTED]: cannot list topics\nwhy: it was interrupted before an answer came\n", error)
            error = self.interrupted_at(address, "topic", "create", "late")
            self.assertIn("why: it was interrupted before an answer came: whether it was done is not known\n", error)
            self.assertIn("topic describe late, to see what was done", error)
            error = self.interrupted_at(address, "broker", "drain", "1", "--wait", "-o", "json")
            self.assertEqual(json.loads(error)["error"]["reason"], "INTERRUPTED")
            speaker.join()

    def test_a_line_that_is_too_long_leaves_a_prefix_and_counts(self):
        name = self.topic(2)
        data = b"a\n" + b"x" * (5 << 20) + b"\nb\n"
        done = self.run_cairn("append", name, "-p", "1", "--print-offsets", stdin=data, code=7)
        self.assertEqual(done.stdout, b"1:0\n")
        said = done.stderr.decode()
        self.assertIn("1 records acknowledged, 0 not appended, 0 unknown", said)
        self.assertIn("why: line 2 is longer than 4 MiB", said)
        self.assert_refused(1, "TOO_LARGE", "append", name, stdin=b"x" * (5 << 20))
        self.assertEqual(self.out("read", name), b"a\n")

    def test_streams_that_are_closed_are_told_of(self):
        name = self.topic()

        def run(redirections, *words):
            line = shlex.join(self.command(*words)) + " " + redirections
            return subprocess.run(["sh", "-c", line], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment(), timeout=30)

        done = run("<&-", "append", name)
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn(b"error[DENIED]: cannot read standard input", done.stderr)
        self.out("append", name, stdin=b"x\n")
        done = run(">&-", "read", name)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"error[OUTPUT]", done.stderr)
        self.assertEqual(run("<&- 2>&-", "read", name).stdout, b"x\n")

    def test_who_follows_ends_when_its_reader_goes_though_nothing_more_comes(self):
        name = self.topic()
        self.out("append", name, stdin=b"x\ny\n")
        for words, first in ((("read", name, "--follow"), b"x\n"), (("cluster", "watch", "--from", "0"), b"the whole map")):
            process = subprocess.Popen(self.command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment())
            self.addCleanup(process.kill)
            self.assertIn(first, process.stdout.readline())
            process.stdout.close()
            self.assertEqual((process.wait(30), process.stderr.read()), (0, b""))
            process.stderr.close()

    def test_a_watch_that_cannot_be_written_does_not_say_where_to_go_on(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                self.command("cluster", "watch", "--from", "0"), stdout=full, stderr=subprocess.PIPE, env=self.environment(), timeout=30
            )
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"error[OUTPUT]", done.stderr)
        self.assertNotIn(b"--from", done.stderr)

    def test_errors_are_json_when_asked(self):
        done = self.run_cairn("-o", "json", "read", "nowhere", code=3)
        error = json.loads(done.stderr)["error"]
        self.assertEqual(error["reason"], "UNKNOWN_TOPIC")
        self.assertEqual(error["executed"], "no")
        self.assertEqual(done.stdout, b"")

    def test_nobody_there_is_told_soon(self):
        begun = time.monotonic()
        self.assert_refused(6, "TRANSPORT", "-s", "127.0.0.1:1", "topic", "list", suggests="cairnd")
        self.assertLess(time.monotonic() - begun, 10)

    # ---- bench and help ----

    def test_bench_prints_result_and_conditions(self):
        lines = self.out("bench", "append", "bench-topic", "--records", "2000", "--record-bytes", "100").decode().splitlines()
        self.assertRegex(lines[0], r"^append: \d+ records/s, .*p50 .*p99 .*p99\.9 .*max")
        self.assertRegex(lines[1], r"^conditions: .*records=2000 record_bytes=100")
        result = json.loads(self.out("bench", "read", "bench-topic", "-o", "json"))
        self.assertEqual(result["records"], 2000)
        rated = json.loads(self.out("bench", "append", "bench-topic", "--records", "500", "--rate", "1000", "-o", "json"))
        self.assertAlmostEqual(rated["seconds"], 0.5, delta=0.4)

    def test_bench_that_is_interrupted_counts_what_was_due(self):
        name = self.topic()
        with subprocess.Popen(
            self.command("bench", "append", name, "--rate", "1", "--records", "2000", "-o", "json"),
            stdout=subprocess.PIPE,
            env=self.environment(),
        ) as process:
            while self.out("read", name, "-f", "%o ") != b"0 ":
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            result = json.loads(process.stdout.read())
            self.assertEqual(process.wait(30), 130)
        self.assertEqual(result["records"], len(self.out("read", name, "-f", "%o ").split()))
        self.assertLess(result["latency_us"]["max"], 60e6)

    def test_bench_measures_what_it_was_asked_for(self):
        name = self.topic()
        self.assert_refused(4, "TOO_FEW_PARTITIONS", "bench", "append", name, "-p", "5", suggests=f"cairn topic alter {name} --partitions 5")
        self.assertEqual(self.out("read", name), b"")

    def test_every_command_has_help_with_examples(self):
        overview = self.out().decode()
        for line in overview[overview.index("Commands:") :].splitlines()[1:]:
            if not line.startswith("  "):
                break
            words = line[2:22].split()
            page = self.out(*words, "--help").decode()
            self.assertIn("Usage: cairn " + " ".join(words), page)
            if words != ["version"]:
                self.assertIn("Examples:", page)
        self.assertEqual(self.out("--version"), self.out("version"))
        for noun in ("topic", "partition", "segment", "bench", "broker"):
            for page in (self.out(noun, "--help").decode(), self.out(noun).decode(), self.out("help", noun).decode()):
                self.assertRegex(page, r"(?m)^  # .*\n  cairn %s " % noun)
        for topic in ("format", "positions", "exit-codes", "environment"):
            self.assertGreater(len(self.out("help", topic)), 100)


class SmallJournalTest(WithBroker):
    """A broker whose journal has files for a few thousand partitions."""

    OPTIONS = ("--journal-bytes", "12MiB", "--journal-file-bytes", "1MiB", "--journal-group-bytes", "64KiB")

    def test_too_many_partitions_are_no_matter_of_their_records(self):
        self.assert_refused(1, "TOO_LARGE", "topic", "create", "wide", "-p", "9999", suggests="fewer partitions")


class RestartTest(WithBroker):
    """Brokers that stop, die and come back; and what needs one that is stopped."""

    def test_append_rides_out_a_restart(self):
        name = self.topic()
        with subprocess.Popen(
            self.command("append", name, "--print-offsets"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.environment()
        ) as process:
            for i in range(6):
                if i == 3:
                    self.broker.stop()
                    self.broker.start()
                process.stdin.write(b"%d\n" % i)
                process.stdin.flush()
                self.assertEqual(process.stdout.readline(), b"0:%d\n" % i)
            process.stdin.close()
            self.assertEqual(process.wait(30), 0)

    def test_append_leaves_a_prefix_when_the_broker_is_killed(self):
        name = self.topic()
        with tempfile.TemporaryFile() as offsets:
            process = subprocess.Popen(
                self.command("append", name, "--print-offsets", "--batch-bytes", "4KiB"),
                stdin=subprocess.PIPE,
                stdout=offsets,
                stderr=subprocess.PIPE,
                env=self.environment(),
            )
            process.stdin.write(b"".join(b"%d\n" % i for i in range(200000)))
            self.broker.stop(signal.SIGKILL)
            error = process.communicate(timeout=90)[1]
            self.broker.start()
            offsets.seek(0)
            acknowledged = len(offsets.read().split())
        self.assertIn(process.returncode, (0, 6, 7), error)
        if b"0 unknown" not in error and process.returncode != 0:
            self.assertIn(b"error[TRANSPORT]: cannot append", error)
            self.assertIn(f"why: the connection to {self.broker.address} broke".encode(), error)
            self.assertIn(f"try: cairn read {name} --from -".encode(), error)
        values = self.out("read", name).split()
        self.assertGreaterEqual(len(values), acknowledged)
        self.assertEqual(values, [b"%d" % i for i in range(len(values))])

    def segments(self):
        found = []
        for folder, _, files in os.walk(self.broker.data):
            found += [os.path.join(folder, file) for file in files if file.endswith(".segment")]
        return found

    def test_offline_commands_read_what_was_written(self):
        name = self.topic()
        self.out("append", name, stdin=b"inspected\n" * 100000)
        deadline = time.monotonic() + 20
        while not self.segments() and time.monotonic() < deadline:
            time.sleep(0.1)  # until a checkpoint has written one
        self.broker.stop()
        try:
            self.assertIn(b"0 findings", self.out("verify", self.broker.data))
            segments = self.segments()
            self.assertTrue(any(b'value="inspected"' in self.out("segment", "dump", path) for path in segments), segments)
            for path in segments:
                for line in self.out("segment", "dump", path, "-o", "json", "--headers-only").splitlines():
                    json.loads(line)
            self.assert_refused(3, "NOT_FOUND", "segment", "dump", "/nowhere.segment")
        finally:
            self.broker.start()


if __name__ == "__main__":
    unittest.main()
