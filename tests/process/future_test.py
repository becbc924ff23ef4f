"""Files of a data directory that a newer Cairn wrote: the broker does not start on them, says what to do, and changes nothing."""

import hashlib
import os
import shutil
import struct

import cluster
import harness

LATER = 9  # a version that no format has


def make_later(path):
    """These files are a magic, a CRC32C of all behind it, and behind that the version."""
    with open(path, "rb") as file:
        content = bytearray(file.read())
    content[8] = LATER
    content[4:8] = struct.pack("<I", harness.crc32c(content[8:]))
    with open(path, "wb") as file:
        file.write(content)


def all_of(directory):
    """What every file has, but for the locks."""
    found = {}
    for folder, _, names in os.walk(directory):
        for name in names:
            if name != "lock" and not name.endswith("-lock"):
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    found[os.path.relpath(path, directory)] = hashlib.sha256(file.read()).hexdigest()
    return found


class FutureTest(harness.Case):
    def setUp(self):
        peers = "127.0.0.1:%d" % cluster.free_ports(1)[0]
        self.broker = harness.Broker(options=["--journal-bytes", "64MiB", "--journal-file-bytes", "8MiB", "--peer-listen", peers])
        self.addCleanup(self.broker.close)

    def used(self):
        """It was started, had a record, and was stopped."""
        self.broker.start()
        with harness.Client(self.broker.address) as client:
            client.create_topic(name="t")
            client.append(topic="t", partition=0, batch=harness.batch(b"kept"))
        self.assertEqual(self.broker.stop(), 0)

    def path(self, name):
        return os.path.join(self.broker.data, name)

    def refuses(self, *words):
        before = all_of(self.broker.data)
        for _ in range(2):
            self.broker.start(wait=False)
            self.assertEqual(self.broker.process.wait(30), 1, self.broker.said())
            for word in ("newer Cairn", "start that version", *words):
                self.assertIn(word, self.broker.said())
            self.assertEqual(all_of(self.broker.data), before)

    def is_refused_until_it_is_back(self, names, *words):
        self.used()
        for name in names:
            shutil.copy(self.path(name), self.path(name) + ".kept")
            make_later(self.path(name))
        self.refuses(*words)
        for name in names:
            os.replace(self.path(name) + ".kept", self.path(name))
        self.broker.start()
        with harness.Client(self.broker.address) as client:
            self.assertEqual(harness.read_values(client, "t", 0), [b"kept"])

    def test_identity(self):
        self.is_refused_until_it_is_back(["identity", "identity.copy"])

    def test_one_of_two_identities(self):
        self.is_refused_until_it_is_back(["identity.copy"])

    def test_lineage(self):
        self.is_refused_until_it_is_back(["lineage", "lineage.copy"], "lineage")

    def test_seen(self):
        self.used()
        rows = struct.pack("<BBHI", LATER, 0, 0, 0)
        with open(self.path("seen"), "wb") as file:
            file.write((b"CRNM" + struct.pack("<I", harness.crc32c(rows + bytes(4096 - 16))) + rows).ljust(4096, b"\0"))
        self.refuses("seen")

    def test_founding(self):
        self.used()
        for name in os.listdir(self.broker.data):
            path = self.path(name)
            if name == "identity":
                os.rename(path, self.path("founding"))
            elif os.path.isdir(path):
                shutil.rmtree(path)
            else:
                os.remove(path)
        make_later(self.path("founding"))
        self.refuses("to found a cluster")

    def test_a_setting_of_a_newer_version(self):
        config = os.path.join(self.broker.home, "cairnd.conf")
        with open(config, "w") as file:
            file.write("feature-level-most = 99\n")
        self.broker.options += ["--config", config]
        self.broker.start(wait=False)
        self.assertEqual(self.broker.process.wait(30), 2, self.broker.said())
        self.assertIn("feature-level-most", self.broker.said())
        self.assertFalse(os.path.exists(self.broker.data))


if __name__ == "__main__":
    harness.main()
