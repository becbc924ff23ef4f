"""`cairn verify` and `cairn segment dump`: what they say of directories that are well, that run, that may only be read, and that are not."""

import glob
import json
import os
import shutil
import stat
import subprocess
import tempfile

import harness
from cairn.v1 import admin_pb2
from damage import FRAME_ENTRY, flip, journal_frames
from harness import batch

OPTIONS = ["--journal-bytes", "24MiB", "--journal-file-bytes", "4MiB"]
BLOCK = 4096
POWERLESS = ["setpriv", "--bounding-set", "-all"] if os.geteuid() == 0 else []  # root that files refuse like anybody


def snapshot(directory):
    """All names, sizes, times and contents below."""
    found = {}
    for path, _, names in sorted(os.walk(directory)):
        for name in [""] + names:
            whole = os.path.join(path, name)
            status = os.lstat(whole)
            content = b""
            if stat.S_ISREG(status.st_mode):
                with open(whole, "rb") as file:
                    content = file.read()
            found[whole] = (status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns, hash(content))
    return found


class VerifyTest(harness.Case):
    def setUp(self):
        self.broker = harness.Broker(options=OPTIONS).start()
        self.addCleanup(self.broker.close)
        self.client = harness.Client(self.broker.address)
        self.addCleanup(lambda: self.client.close())

    def create(self, topic):
        self.client.create_topic(name=topic, partitions=1, config=admin_pb2.TopicConfig(segment_bytes=1 << 20))
        return self.client.describe_partition(topic=topic, partition=0).group_id

    def fill(self, topic, count, size=10_000):
        for i in range(count):
            self.client.append(topic=topic, partition=0, batch=batch(b"%s-%d:" % (topic.encode(), i) + b"v" * size))

    def stop(self):
        self.client.close()
        self.assertEqual(self.broker.stop(), 0)

    def filled(self, *topics):
        """Topics of several segments each, and the broker stopped. Their groups."""
        groups = [self.create(topic) for topic in topics]
        for topic in topics:
            self.fill(topic, 400)
        self.stop()
        return groups

    def run_cairn(self, *arguments, prefix=()):
        done = subprocess.run(
            [*prefix, harness.CAIRN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return done.returncode, done.stdout

    def verify(self, directory=None, **how):
        return self.run_cairn("verify", directory or self.broker.data, **how)

    def findings(self):
        """What verify finds, and its report."""
        status, said = self.run_cairn("verify", self.broker.data, "-o", "json")
        lines = [json.loads(line) for line in said.splitlines()]
        self.assertEqual(status, 8 if lines[-1]["findings"] > 0 else 0, said)
        return lines[:-1], lines[-1]

    def well(self):
        found, report = self.findings()
        self.assertEqual((found, report["findings"]), ([], 0))
        return report

    def crash(self):
        self.client.close()
        self.broker.kill()

    def entries(self, group):
        """The frames of the journal that hold them."""
        return [frame for frame in journal_frames(self.broker.data) if frame[1] == FRAME_ENTRY and frame[2] == group]

    def segments(self, group):
        return sorted(glob.glob(os.path.join(self.broker.data, "p", "%d-*" % group, "*.segment")))

    def short(self, path):
        return os.path.relpath(path, self.broker.data)

    # ---- Directories that are well ----

    def test_nothing_changes(self):
        self.filled("t")
        before = snapshot(self.broker.data)
        report = self.well()
        self.assertEqual(report["records"] + report["journal_records"], 400)
        self.assertEqual(snapshot(self.broker.data), before)

    def test_a_broker_runs_on_it(self):
        self.create("t")
        self.fill("t", 5)
        status, said = self.verify()
        self.assertEqual(status, 4, said)
        self.assertIn("error[LOCKED]", said)
        self.assertIn("a broker runs on it", said)
        self.assertIn("stop the broker, or verify a copy", said)
        self.client.append(topic="t", partition=0, batch=batch(b"goes on"))

    def test_what_is_only_in_the_journal_is_counted(self):
        self.create("t")
        self.fill("t", 300, size=10)
        self.crash()
        report = self.well()
        self.assertEqual((report["records"], report["journal_records"]), (0, 300))
        self.assertIn("only in the journal", self.verify()[1])
        self.assertIn("300 records (of ", self.verify()[1])

    def test_a_deleted_topic_that_was_lost_is_no_finding(self):
        group = self.create("t")
        self.fill("t", 20, size=500)
        self.crash()
        path, _, _, body, _ = self.entries(group)[5]
        flip(path, body + 200)
        found, _ = self.findings()
        self.assertEqual([(one["severity"], one["group_id"]) for one in found], [("lost", group)])
        self.broker.start()
        self.client = harness.Client(self.broker.address)
        self.stop()
        found, _ = self.findings()
        self.assertIn(group, [one.get("group_id") for one in found])
        self.broker.start()
        self.client = harness.Client(self.broker.address)
        self.client.delete_topic(name="t")
        self.stop()
        self.well()

    def test_a_mount_that_is_read_only(self):
        self.filled("t")
        if os.geteuid() != 0:
            self.skipTest("needs root to mount")
        mounted = tempfile.mkdtemp(prefix="cairn-mount-")
        self.addCleanup(shutil.rmtree, mounted, ignore_errors=True)
        run = lambda *command: subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).returncode
        if run("mount", "--bind", self.broker.data, mounted) != 0:
            self.skipTest("may not mount")
        self.addCleanup(run, "umount", "-l", mounted)
        self.assertEqual(run("mount", "-o", "remount,bind,ro", mounted), 0)
        with self.assertRaises(OSError):
            open(os.path.join(mounted, "new"), "w")
        status, said = self.verify(mounted)
        self.assertEqual(status, 0, said)
        self.assertIn("0 findings", said)

    def test_a_user_who_may_read_but_not_write(self):
        self.filled("t")
        for path, _, files in os.walk(self.broker.data):
            for name in files:
                os.chmod(os.path.join(path, name), 0o400)
            os.chmod(path, 0o500)
        writing = ["sh", "-c", "echo > %s/store.mdb" % self.broker.data]
        self.assertNotEqual(subprocess.run([*POWERLESS, *writing], stderr=subprocess.DEVNULL).returncode, 0)
        status, said = self.verify(prefix=POWERLESS)
        self.assertEqual(status, 0, said)
        os.chmod(os.path.join(self.broker.data, "store.mdb"), 0)
        status, said = self.verify(prefix=POWERLESS)
        self.assertEqual(status, 5, said)
        self.assertIn("error[DENIED]", said)

    # ---- What is no data directory ----

    def test_what_is_not_ours(self):
        foreign = os.path.join(self.broker.home, "foreign")
        os.mkdir(foreign)
        file = os.path.join(foreign, "file")
        with open(file, "w") as made:
            made.write("not Cairn's")
        for arguments, status, words in [
            (["verify", foreign], 4, ["error[FOREIGN]", "--data-dir"]),
            (["verify", file], 1, ["error[WRONG_KIND]", "it is a file", "--data-dir"]),
            (["verify", os.path.join(file, "below")], 1, ["error[WRONG_KIND]"]),
            (["verify", os.path.join(foreign, "none")], 3, ["error[NOT_FOUND]"]),
            (["verify", "n" * 300], 1, ["error[NAME_TOO_LONG]", "longer than"]),
            (["segment", "dump", foreign], 1, ["error[WRONG_KIND]", "it is a directory", "DATA_DIR/p"]),
            (["segment", "dump", os.path.join(file, "below")], 1, ["error[WRONG_KIND]"]),
        ]:
            with self.subTest(arguments):
                got, said = self.run_cairn(*arguments)
                self.assertEqual(got, status, said)
                for word in words:
                    self.assertIn(word, said)
                self.assertNotIn("the disk failed", said)
        self.assertEqual(os.listdir(foreign), ["file"])

    def test_a_broker_says_what_is_wrong_with_a_path(self):
        file = os.path.join(self.broker.home, "file")
        open(file, "w").close()
        for arguments, words in [
            (["--config", self.broker.home], "is a directory"),
            (["--data-dir", file], "is a file"),
            (["--data-dir", os.path.join(self.broker.home, "n" * 300)], "longer than"),
        ]:
            with self.subTest(arguments):
                done = subprocess.run(
                    [harness.CAIRND, *arguments, "--listen", "127.0.0.1:0"],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    timeout=20,
                )
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(words, done.stdout)
                self.assertIn("--config" if "--config" in arguments else "--data-dir", done.stdout)
                self.assertNotIn("the disk failed", done.stdout)

    def test_whose_it_is(self):
        self.filled("t")
        data = self.broker.data
        shutil.copyfile(os.path.join(data, "identity"), os.path.join(data, "kept"))
        for name in ("identity", "identity.copy"):
            os.remove(os.path.join(data, name))
        found, report = self.findings()  # the store tells
        self.assertEqual([(one["file"], one["severity"]) for one in found], [("identity", "damaged"), ("identity.copy", "damaged")])
        self.assertEqual(report["records"] + report["journal_records"], 400)
        os.remove(os.path.join(data, "store.mdb"))
        found, report = self.findings()  # nothing does, and what is there is looked at all the same
        self.assertEqual([one["file"] for one in found if one["severity"] == "lost"], ["identity"])
        self.assertEqual(report["records"] + report["journal_records"], 400)

    def rot(self, name):
        with open(os.path.join(self.broker.data, name), "r+b") as file:
            file.seek(20)
            file.write(b"rot")

    def test_which_processes_it_has_had(self):
        self.filled("t")
        self.rot("lineage")
        self.assert_one(self.findings()[0], severity="damaged", file="lineage")
        self.broker.start()
        self.assertEqual(self.broker.stop(), 0)
        self.well()  # it wrote it again from the other one

        os.remove(os.path.join(self.broker.data, "lineage.copy"))
        self.assert_one(self.findings()[0], severity="damaged", file="lineage.copy", what="missing")
        self.rot("lineage")
        self.assert_one(self.findings()[0], severity="lost", file="lineage")
        os.remove(os.path.join(self.broker.data, "lineage"))
        self.well()  # as a version before left it

    def test_the_lineage_of_another_broker(self):
        self.filled("t")
        with harness.Broker(options=OPTIONS) as other:
            other.stop()
            shutil.copyfile(os.path.join(other.data, "lineage"), os.path.join(self.broker.data, "lineage.copy"))
        self.assert_one(self.findings()[0], severity="damaged", file="lineage.copy")

    def test_what_it_has_seen_of_others(self):
        self.filled("t")
        with open(os.path.join(self.broker.data, "seen"), "wb") as file:
            file.write(b"CRNMrot".ljust(4096, b"\0"))
        self.assert_one(self.findings()[0], severity="damaged", file="seen")

    # ---- Files in each other's place ----

    def assert_lost(self, found, paths):
        self.assertEqual([one["file"] for one in found], [self.short(path) for path in paths], found)
        for one in found:
            self.assertEqual(one["severity"], "lost")
            self.assertLess(one["first_offset"], one["end_offset"])
            self.assertIn("in this file's place", one["what"])

    def test_a_segment_of_another_group(self):
        one, two = self.filled("a", "b")
        shutil.copyfile(self.segments(one)[-1], self.segments(two)[0])
        self.assert_lost(self.findings()[0], [self.segments(two)[0]])
        self.broker.start()
        self.client = harness.Client(self.broker.address)
        with self.assertRaises(Exception) as caught:
            self.client.read(topic="b", partition=0, offset=0)
        self.assertEqual(harness.Failure(caught.exception).reason, "DAMAGED")

    def test_another_segment_of_the_same_group(self):
        (group,) = self.filled("t")
        shutil.copyfile(self.segments(group)[2], self.segments(group)[0])
        self.assert_lost(self.findings()[0], [self.segments(group)[0]])

    def test_segments_that_changed_places(self):
        one, two = self.filled("a", "b")
        first, second = self.segments(one)[0], self.segments(two)[0]
        os.rename(first, first + ".kept")
        os.rename(second, first)
        os.rename(first + ".kept", second)
        self.assert_lost(self.findings()[0], [first, second])

    # ---- Damage ----

    def assert_one(self, found, **wanted):
        self.assertEqual(len(found), 1, found)
        self.assertEqual({key: found[0].get(key) for key in wanted}, wanted)

    def last_entry(self, path):
        """Where it begins, and its last offset."""
        status, said = self.run_cairn("segment", "dump", path, "--headers-only", "-o", "json")
        self.assertEqual(status, 0)
        entry = json.loads(said.splitlines()[-1])
        return entry["position"], entry["base_offset"]

    def test_a_damaged_last_entry_is_one_finding(self):
        (group,) = self.filled("t")
        sealed = self.segments(group)[0]
        position, offset = self.last_entry(sealed)
        for byte in (position + 500, position + 20):  # its payload, its head
            flip(sealed, byte)
            found, _ = self.findings()
            self.assert_one(
                found,
                severity="lost",
                file=self.short(sealed),
                position=position,
                first_offset=offset,
                end_offset=offset + 1,
            )
            said = self.verify()[1]
            self.assertIn("offset %d: " % offset, said)
            self.assertIn(": 1 finding, 1 with loss", said)
            flip(sealed, byte)
        self.well()

    def test_a_segment_that_is_cut_or_gone(self):
        (group,) = self.filled("t")
        sealed = self.segments(group)[1]
        position, offset = self.last_entry(sealed)
        kept = sealed + ".kept"
        shutil.copyfile(sealed, kept)
        os.truncate(sealed, (position + 5000) // BLOCK * BLOCK)
        self.assert_one(self.findings()[0], severity="lost", first_offset=offset, end_offset=offset + 1)
        os.remove(sealed)
        self.assert_one(self.findings()[0], severity="lost", what="the file is missing", end_offset=offset + 1)

    def test_without_a_store_all_that_is_there_is_checked(self):
        (group,) = self.filled("t")
        before = self.well()
        files = self.segments(group)
        store = os.path.join(self.broker.data, "store.mdb")
        os.truncate(store, 0)
        found, report = self.findings()
        self.assert_one(found, severity="damaged", file="store.mdb")
        self.assertEqual(report["segments"], before["segments"])
        self.assertEqual(report["records"] + report["journal_records"], 400)

        for path in (files[1], files[-1]):
            position, offset = self.last_entry(path)
            flip(path, position + 500)
            if os.path.exists(store):
                os.remove(store)
            found, _ = self.findings()
            lost = [one for one in found if one["severity"] == "lost"]
            self.assertEqual(len(lost), 1, found)
            self.assertEqual(lost[0]["file"], self.short(path))
            flip(path, position + 500)
        position, offset = self.last_entry(files[1])
        flip(files[1], position + 500)
        found, _ = self.findings()
        self.assertEqual((found[1]["first_offset"], found[1]["end_offset"]), (offset, offset + 1))
        flip(files[1], position + 500)

        flip(files[2], 100)  # the header, which nothing else says now
        found, _ = self.findings()
        self.assertIn(self.short(files[2]), [one["file"] for one in found if one["severity"] == "lost"])

    def test_a_store_of_another_broker(self):
        self.filled("t")
        with harness.Broker(options=OPTIONS) as other:
            other.stop()
            shutil.copyfile(os.path.join(other.data, "store.mdb"), os.path.join(self.broker.data, "store.mdb"))
        found, report = self.findings()
        self.assert_one(found, severity="damaged", file="store.mdb", what="another broker's")
        self.assertEqual(report["records"] + report["journal_records"], 400)

    def test_a_dump_of_another_broker(self):
        self.filled("t")
        with harness.Broker(options=OPTIONS) as other:
            other.stop()
            theirs = glob.glob(os.path.join(other.data, "dump", "*"))[0]
            place = os.path.join(self.broker.data, "dump", os.path.basename(theirs))
            shutil.copyfile(theirs, place)
        self.assert_one(self.findings()[0], severity="damaged", file=self.short(place), what="another broker's")

    def test_a_store_of_an_earlier_day(self):
        self.create("t")
        self.fill("t", 150)
        self.stop()
        store = os.path.join(self.broker.data, "store.mdb")
        shutil.copyfile(store, store + ".kept")
        self.broker.start()
        self.client = harness.Client(self.broker.address)
        self.fill("t", 150)
        self.stop()
        self.well()
        os.replace(store + ".kept", store)
        found, report = self.findings()
        self.assert_one(found, severity="damaged", file="store.mdb")
        self.assertIn("older than the journal", found[0]["what"])
        self.assertEqual(report["records"] + report["journal_records"], 300)

    # ---- The journal ----

    def test_a_damaged_frame_is_named(self):
        group = self.create("t")
        self.fill("t", 30, size=500)
        self.crash()
        path, _, _, body, _ = self.entries(group)[10]
        flip(path, body + 300)
        found, report = self.findings()
        self.assertEqual(len(found), 1, found)
        self.assertEqual((found[0]["severity"], found[0]["file"]), ("lost", self.short(path)))
        self.assertEqual(found[0]["first_index"], found[0]["last_index"])
        self.assertEqual(found[0]["end_offset"] - found[0]["first_offset"], 1)
        self.assertEqual(found[0]["position"] % BLOCK, 0)
        self.assertLess(found[0]["position"], body)
        self.assertEqual(report["journal_records"], 29)

    def torn_end(self, at):
        """The newest group of the journal, which nothing vouches for, damaged; its path and position."""
        group = self.create("t")
        self.fill("t", 30, size=500)
        self.crash()
        path, _, _, body, size = self.entries(group)[-1]
        begin = body // BLOCK * BLOCK
        with open(path, "r+b") as file:  # a closing group may be behind it, or not
            file.seek((body + size + BLOCK - 1) // BLOCK * BLOCK)
            file.write(bytes(BLOCK))
        flip(path, begin + at if at < 100 else body + at)
        return group, path, begin

    def test_what_was_dropped_at_the_end_is_named(self):
        group, path, begin = self.torn_end(300)
        found, report = self.findings()
        self.assertEqual(report["findings"], 0)
        self.assert_one(
            found,
            severity="dropped",
            file=self.short(path),
            position=begin,
            group_id=group,
            first_offset=29,
            end_offset=30,
        )
        self.assertEqual(report["journal_records"], 29)
        self.broker.start()
        self.assertRegex(self.broker.said(), r"event=journal_dropped .*group=%d .*first_offset=29 end_offset=30" % group)

    def test_a_damaged_head_at_the_end_is_named(self):
        _, path, begin = self.torn_end(10)
        found, report = self.findings()
        self.assertEqual(report["findings"], 0)
        self.assert_one(found, severity="dropped", file=self.short(path), position=begin, group_id=None)


if __name__ == "__main__":
    harness.main()
