"""What a command of several requests says when a later one is refused: in the place of a broker somebody answers who refuses just that one."""

import concurrent.futures
import json
import os
import subprocess

import grpc

import harness
from cairn.v1 import admin_pb2


class Refusing:
    """A topic that could grow when it is asked whether it could, and cannot when it is to."""

    def __init__(self, code, reason, executed, text):
        self.code, self.reason, self.executed, self.text = code, reason, executed, text
        self.asked = []
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
        methods = {
            "AddPartitions": self.handler(self.add_partitions, admin_pb2.AddPartitionsRequest),
            "AlterTopic": self.handler(self.alter_topic, admin_pb2.AlterTopicRequest),
        }
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("cairn.v1.Admin", methods),))
        self.address = "127.0.0.1:%d" % self.server.add_insecure_port("127.0.0.1:0")

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_):
        self.server.stop(None)

    @staticmethod
    def handler(method, request):
        return grpc.unary_unary_rpc_method_handler(method, request.FromString, lambda answer: answer.SerializeToString())

    def add_partitions(self, request, context):
        self.asked.append(("grow", request.validate_only))
        if not request.validate_only:
            context.set_trailing_metadata((("cairn-reason", self.reason), ("cairn-executed", self.executed)))
            context.abort(self.code, self.text)
        return admin_pb2.AddPartitionsResponse(topic=admin_pb2.Topic(name=request.topic, partitions=request.partitions))

    def alter_topic(self, request, _):
        self.asked.append(("alter", request.validate_only))
        return admin_pb2.AlterTopicResponse(topic=admin_pb2.Topic(name=request.name, partitions=1, config=request.config))


class HalfDoneTest(harness.Case):
    def alter(self, refusing, *words):
        command = [harness.CAIRN, "--server", refusing.address, "topic", "alter", "t", "--partitions", "9", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, env=dict(os.environ, LANG="C.UTF-8"))

    def refusing(self):
        return Refusing(grpc.StatusCode.INVALID_ARGUMENT, "INVALID", "no", "it has 12 partitions, and none is ever taken away")

    def test_settings_that_were_changed_are_told_where_partitions_are_refused(self):
        with self.refusing() as refusing:
            done = self.alter(refusing, "--retention", "7d")
        self.assertEqual(refusing.asked, [("grow", True), ("alter", False), ("grow", False)])
        self.assertEqual((done.returncode, done.stdout), (7, ""), done.stderr)
        what, why, do = done.stderr.splitlines()
        self.assertEqual(what, 'error[INVALID]: the settings of topic "t" have been changed, and it did not get 9 partitions')
        self.assertEqual(why, "why: it has 12 partitions, and none is ever taken away")
        self.assertIn("cairn --server %s topic describe t, to see what was done" % refusing.address, do)

    def test_partitions_that_it_may_have_got_are_not_denied(self):
        refusing = Refusing(grpc.StatusCode.DEADLINE_EXCEEDED, "UNKNOWN_OUTCOME", "maybe", "the leader has changed: look before you ask again")
        with refusing:
            done = self.alter(refusing, "--retention", "7d")
        self.assertEqual(done.returncode, 7, done.stderr)
        self.assertIn('the settings of topic "t" have been changed, and it is not known to have 9 partitions', done.stderr)

    def test_in_json_it_is_not_told_as_if_nothing_had_been_done(self):
        with self.refusing() as refusing:
            done = self.alter(refusing, "--retention", "7d", "-o", "json")
        self.assertEqual(done.returncode, 7, done.stderr)
        error = json.loads(done.stderr)["error"]
        self.assertEqual((error["reason"], error["executed"]), ("INVALID", "maybe"))
        self.assertIn("have been changed", error["what"])

    def test_where_nothing_was_changed_it_is_told_so(self):
        with self.refusing() as refusing:
            done = self.alter(refusing)
        self.assertEqual(refusing.asked, [("grow", False)])
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn('error[INVALID]: cannot change topic "t"', done.stderr)

    def test_a_dry_run_of_both_changes_nothing(self):
        with self.refusing() as refusing:
            done = self.alter(refusing, "--retention", "7d", "--dry-run", "-o", "json")
        self.assertEqual(refusing.asked, [("grow", True), ("alter", True)])
        self.assertEqual((done.returncode, json.loads(done.stdout)["partitions"]), (0, 9), done.stderr)


if __name__ == "__main__":
    harness.main()
