"""Every method of the API, by a stock client in another language."""

import threading
import time

import grpc

import harness
from cairn.v1 import admin_pb2, log_pb2, record_pb2
from harness import batch, read_values


class ManyPartitionsTest(harness.Case):
    def test_more_partitions_than_a_small_journal_has_files_for_are_refused(self):
        options = ["--journal-bytes", "6MiB", "--journal-file-bytes", "1MiB", "--journal-group-bytes", "64KiB"]
        options += ["--request-bytes-max", "1MiB"]
        with harness.Broker(options=options) as broker:
            with harness.Client(broker.address) as client:
                for i in range(6):
                    client.create_topic(name="t%d" % i, partitions=1000, timeout=30)
                failure = self.refused(
                    grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_LARGE", client.create_topic, name="more", partitions=1000
                )
                self.assertIn("journal-file-bytes", failure.text)
                client.create_topic(name="few", partitions=500, timeout=30)
                for _ in range(80):  # through all files of the ring
                    client.append(topic="few", partition=0, batch=batch(b"v" * 200_000), timeout=30)
            broker.kill()
            broker.start()
            with harness.Client(broker.address) as client:
                self.assertEqual(len(read_values(client, "few", 0)), 80)
                client.append(topic="t0", partition=999, batch=batch(b"v"))


PLANS_MAX = 4  # that are made or wait for that at a time
PLANS_ASKED = 64


class ManyPlansTest(harness.Case):
    """Each has the whole map, copied: whoever asks for many at once is told to wait."""

    def asked(self, client, count):
        """How each of so many plans that are asked for at once comes out: None, or why it is refused."""
        calls = [client.plan_reassignment.method.future(admin_pb2.PlanReassignmentRequest(), timeout=60) for _ in range(count)]
        failures = [call.exception() for call in calls]
        return [failure and harness.Failure(failure) for failure in failures]

    def test_a_few_plans_are_made_at_a_time_and_no_more(self):
        with harness.Broker() as broker, harness.Client(broker.address) as client:
            client.create_topic(name="t", partitions=2000, timeout=60)
            for _ in range(10):
                answers = self.asked(client, PLANS_ASKED)
                refused = [failure for failure in answers if failure is not None]
                self.assertGreaterEqual(len(answers) - len(refused), PLANS_MAX)
                for failure in refused:
                    self.assertEqual((failure.code, failure.reason, failure.executed), (grpc.StatusCode.RESOURCE_EXHAUSTED, "BUSY", "no"))
                    self.assertIn("4 are being made on this broker, or wait for that", failure.text)
                if refused:
                    break
            self.assertGreater(len(refused), 0)
            for _ in range(3):  # every place is given back
                self.assertEqual(self.asked(client, PLANS_MAX), [None] * PLANS_MAX)
            self.assertEqual(client.plan_reassignment().partitions, 2000)


class ApiTest(harness.Case):
    @classmethod
    def setUpClass(cls):
        cls.broker = harness.Broker().start()
        cls.client = harness.Client(cls.broker.address)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.broker.close()

    def setUp(self):
        self.topic = self.id().rsplit(".", 1)[-1][:200]
        self.client.create_topic(name=self.topic, partitions=2)

    def append(self, *values, partition=0, **fields):
        return self.client.append(topic=self.topic, partition=partition, batch=batch(*values), **fields)

    def test_append_answers_with_dense_offsets(self):
        first = self.append(b"a", b"b")
        second = self.append(b"c")
        other = self.append(b"d", partition=1)
        self.assertEqual((first.base_offset, first.last_offset), (0, 1))
        self.assertEqual((second.base_offset, second.last_offset), (2, 2))
        self.assertEqual(other.base_offset, 0)
        self.assertGreaterEqual(first.term, 1)
        self.assertEqual(first.durability, log_pb2.DURABILITY_QUORUM_SYNC)
        self.assertEqual(first.synced_replicas, 1)
        self.assertLess(abs(first.leader_time_ms - time.time() * 1000), 60_000)

    def test_read_gives_back_what_was_appended_byte_for_byte(self):
        records = [
            record_pb2.Record(key=b"k", value=b"v", timestamp_ms=5),
            record_pb2.Record(key=b"", value=b""),
            record_pb2.Record(),
            record_pb2.Record(value=bytes(range(256)), headers=[record_pb2.RecordHeader(name="h", value=b"x")] * 2),
        ]
        sent = record_pb2.Records(records=records)
        self.client.append(topic=self.topic, partition=0, batch=record_pb2.RecordBatch(records=sent, base_timestamp_ms=7))
        stored = self.client.read(topic=self.topic, partition=0, offset=0).batches[0]
        self.assertEqual(stored.batch.records, sent)
        self.assertEqual(stored.batch.record_count, 4)
        self.assertEqual(stored.batch.base_timestamp_ms, 7)
        self.assertEqual(stored.batch.max_timestamp_ms, 7)
        self.assertFalse(stored.batch.records.records[2].HasField("key"))
        self.assertTrue(stored.batch.records.records[1].HasField("key"))

    def test_read_begins_with_the_batch_that_holds_the_offset(self):
        self.append(b"0", b"1", b"2")
        self.append(b"3")
        answer = self.client.read(topic=self.topic, partition=0, offset=1)
        self.assertEqual([b.base_offset for b in answer.batches], [0, 3])
        self.assertEqual((answer.next_offset, answer.high_watermark), (4, 4))

    def test_read_stops_at_max_bytes_but_gives_one_batch(self):
        for _ in range(4):
            self.append(b"x" * 1000)
        answer = self.client.read(topic=self.topic, partition=0, offset=0, max_bytes=10)
        self.assertEqual(len(answer.batches), 1)
        answer = self.client.read(topic=self.topic, partition=0, offset=1, max_bytes=2500)
        self.assertIn(len(answer.batches), (1, 2))

    def test_read_waits_for_min_bytes(self):
        def later():
            time.sleep(0.3)
            self.append(b"late")

        thread = threading.Thread(target=later)
        began = time.monotonic()
        thread.start()
        answer = self.client.read(topic=self.topic, partition=0, offset=0, min_bytes=1, max_wait_ms=5000)
        took = time.monotonic() - began
        thread.join()
        self.assertEqual(len(answer.batches), 1)
        self.assertGreater(took, 0.2)
        self.assertLess(took, 3)

    def test_read_waits_no_longer_than_max_wait(self):
        began = time.monotonic()
        answer = self.client.read(topic=self.topic, partition=0, offset=0, min_bytes=1, max_wait_ms=200)
        self.assertEqual(len(answer.batches), 0)
        self.assertGreater(time.monotonic() - began, 0.15)

    def test_append_stream_answers_in_order(self):
        def requests():
            for i in range(500):
                yield log_pb2.AppendRequest(
                    topic=self.topic, partition=i % 2, batch=batch(b"%d" % i), request_id=i + 1
                )

        answers = list(self.client.append_stream(requests(), timeout=20))
        self.assertEqual([a.request_id for a in answers], list(range(1, 501)))
        self.assertFalse(any(a.HasField("error") for a in answers))
        self.assertEqual([a.base_offset for a in answers[::2]], list(range(250)))
        self.assertEqual(read_values(self.client, self.topic, 1), [b"%d" % i for i in range(1, 500, 2)])

    def test_append_stream_appends_nothing_behind_a_refusal(self):
        def requests():
            yield log_pb2.AppendRequest(topic=self.topic, partition=0, batch=batch(b"good"), request_id=1)
            yield log_pb2.AppendRequest(topic=self.topic, partition=9, batch=batch(b"bad"), request_id=2)
            for i in range(3, 20):
                yield log_pb2.AppendRequest(topic=self.topic, partition=0, batch=batch(b"behind"), request_id=i)

        answers = list(self.client.append_stream(requests(), timeout=10))
        self.assertEqual([a.request_id for a in answers], list(range(1, 20)))
        self.assertFalse(answers[0].HasField("error"))
        self.assertEqual(answers[1].error.reason, "UNKNOWN_PARTITION")
        self.assertEqual(answers[1].error.code, grpc.StatusCode.NOT_FOUND.value[0])
        for answer in answers[2:]:
            self.assertEqual(answer.error.reason, "SESSION_BROKEN")
            self.assertEqual(answer.error.executed, 1)
        self.assertEqual(read_values(self.client, self.topic, 0), [b"good"])

    def test_expected_offset_is_a_compare_and_append(self):
        self.assertEqual(self.append(b"a", expected_offset=0).base_offset, 0)
        failure = self.refused(grpc.StatusCode.ABORTED, "OFFSET_MISMATCH", self.append, b"b", expected_offset=0)
        self.assertEqual(failure.next_offset, "1")
        self.assertEqual(self.append(b"b", expected_offset=1).base_offset, 1)
        self.assertEqual(read_values(self.client, self.topic, 0), [b"a", b"b"])

    def test_tail_catches_up_says_so_once_and_pushes(self):
        for i in range(10):
            self.append(b"%d" % i)
        stream = self.client.tail(log_pb2.TailRequest(topic=self.topic, partition=0, offset=0), timeout=20)
        values, caught_up = [], 0
        for answer in stream:
            for stored in answer.batches:
                values.extend(r.value for r in stored.batch.records.records)
            caught_up += answer.caught_up
            if answer.caught_up:
                self.assertEqual(values, [b"%d" % i for i in range(10)])
                self.append(b"pushed")
            if len(values) == 11:
                break
        stream.cancel()
        self.assertEqual((values[-1], caught_up), (b"pushed", 1))

    def test_describe_partition_is_where_appends_are(self):
        for i in range(3):
            self.append(b"x")
        answer = self.client.describe_partition(topic=self.topic, partition=0)
        self.assertEqual((answer.log_start_offset, answer.next_offset, answer.high_watermark), (0, 3, 3))
        self.assertEqual(answer.leader, self.broker.address)
        self.assertEqual(answer.leader_id, 1)
        self.assertGreater(answer.log_bytes, 0)
        self.assertGreater(answer.group_id, 0)

    def test_find_offset_by_record_time(self):
        for t in (1000, 2000, 3000):
            self.client.append(
                topic=self.topic,
                partition=0,
                batch=record_pb2.RecordBatch(
                    records=record_pb2.Records(
                        records=[
                            record_pb2.Record(value=b"a", timestamp_ms=t),
                            record_pb2.Record(value=b"b", timestamp_ms=t + 500),
                        ]
                    )
                ),
            )
        cases = [(0, 0), (1000, 0), (1001, 1), (1501, 2), (2500, 3), (3500, 5)]
        for timestamp, offset in cases:
            answer = self.client.find_offset(topic=self.topic, partition=0, timestamp_ms=timestamp)
            self.assertEqual((answer.found, answer.offset), (True, offset), timestamp)
        answer = self.client.find_offset(topic=self.topic, partition=0, timestamp_ms=3501)
        self.assertEqual((answer.found, answer.offset), (False, 6))

    def test_trim_moves_the_start_to_the_record(self):
        self.append(b"0", b"1", b"2")
        self.append(b"3")
        self.assertEqual(self.client.trim(topic=self.topic, partition=0, before_offset=2).log_start_offset, 2)
        self.assertEqual(self.client.describe_partition(topic=self.topic, partition=0).log_start_offset, 2)
        failure = self.refused(
            grpc.StatusCode.OUT_OF_RANGE, "BELOW_START", self.client.read, topic=self.topic, partition=0, offset=1
        )
        self.assertEqual(failure.next_offset, "2")
        self.assertEqual(read_values(self.client, self.topic, 0, offset=2), [b"2", b"3"])
        self.assertEqual(self.client.trim(topic=self.topic, partition=0, before_offset=1).log_start_offset, 2)
        self.refused(
            grpc.StatusCode.OUT_OF_RANGE, "BEYOND_END", self.client.trim, topic=self.topic, partition=0, before_offset=9
        )

    def test_client_checksum_is_checked_and_kept(self):
        records = record_pb2.Records(records=[record_pb2.Record(value=b"checked")])
        good = harness.crc32c(records.SerializeToString())
        sent = record_pb2.RecordBatch(records=records, crc32c=good)
        self.client.append(topic=self.topic, partition=0, batch=sent)
        self.assertEqual(self.client.read(topic=self.topic, partition=0, offset=0).batches[0].batch.crc32c, good)
        self.refused(
            grpc.StatusCode.INVALID_ARGUMENT,
            "BAD_CHECKSUM",
            self.client.append,
            topic=self.topic,
            partition=0,
            batch=record_pb2.RecordBatch(records=records, crc32c=good ^ 1),
        )

    def test_topic_life(self):
        name = self.topic + "-2"
        config = admin_pb2.TopicConfig(retention_ms=1000, segment_bytes=1 << 20)
        made = self.client.create_topic(name=name, partitions=3, config=config).topic
        self.assertEqual((made.partitions, made.replicas), (3, 1))
        self.assertEqual((made.config.retention_ms, made.config.segment_bytes), (1000, 1 << 20))
        self.assertEqual((made.config.retention_bytes, made.config.record_bytes_max), (-1, 1 << 20))
        self.refused(grpc.StatusCode.ALREADY_EXISTS, "TOPIC_EXISTS", self.client.create_topic, name=name)

        altered = self.client.alter_topic(name=name, config=admin_pb2.TopicConfig(retention_bytes=5)).topic
        self.assertEqual((altered.config.retention_bytes, altered.config.retention_ms), (5, 1000))
        described = self.client.describe_topic(name=name)
        self.assertEqual([p.partition for p in described.partitions], [0, 1, 2])
        self.assertEqual(described.topic.config.retention_bytes, 5)

        self.client.append(topic=name, partition=2, batch=batch(b"old"))
        self.client.delete_topic(name=name)
        self.refused(grpc.StatusCode.NOT_FOUND, "UNKNOWN_TOPIC", self.client.describe_topic, name=name)
        again = self.client.create_topic(name=name, partitions=3).topic
        self.assertGreater(again.id, made.id)
        self.assertEqual(self.client.describe_partition(topic=name, partition=2).next_offset, 0)

    def test_a_topic_grows(self):
        name = self.topic + "-grows"
        self.client.create_topic(name=name, partitions=2)
        self.client.append(topic=name, partition=1, batch=batch(b"kept"))
        self.refused(grpc.StatusCode.NOT_FOUND, "UNKNOWN_PARTITION", self.client.append, topic=name, partition=4, batch=batch(b"x"))
        self.assertEqual(self.client.add_partitions(topic=name, partitions=5, validate_only=True).topic.partitions, 5)
        self.assertEqual(self.client.describe_topic(name=name).topic.partitions, 2)

        self.assertEqual(self.client.add_partitions(topic=name, partitions=5).topic.partitions, 5)

        self.assertEqual(self.client.append(topic=name, partition=4, batch=batch(b"new")).base_offset, 0)
        self.assertEqual(self.client.describe_partition(topic=name, partition=1).next_offset, 1)
        self.assertEqual([p.partition for p in self.client.describe_topic(name=name).partitions], [0, 1, 2, 3, 4])
        self.assertEqual(self.client.add_partitions(topic=name, partitions=5).topic.partitions, 5)
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID", self.client.add_partitions, topic=name, partitions=4)
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID", self.client.add_partitions, topic=name, partitions=10001)
        self.refused(grpc.StatusCode.NOT_FOUND, "UNKNOWN_TOPIC", self.client.add_partitions, topic=name + "-not", partitions=5)

    def test_validate_only_changes_nothing(self):
        name = self.topic + "-3"
        self.assertEqual(self.client.create_topic(name=name, partitions=4, validate_only=True).topic.partitions, 4)
        self.refused(grpc.StatusCode.NOT_FOUND, "UNKNOWN_TOPIC", self.client.describe_topic, name=name)
        self.refused(grpc.StatusCode.NOT_FOUND, "UNKNOWN_TOPIC", self.client.delete_topic, name=name, validate_only=True)
        topic = self.client.create_topic(name=name).topic
        self.assertEqual(self.client.delete_topic(name=name, validate_only=True).id, topic.id)
        self.assertEqual(self.client.describe_topic(name=name).topic, topic)
        self.refused(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", self.client.cancel_move, topic=name, partition=0, validate_only=True)

    def test_list_topics_in_pages(self):
        for i in range(5):
            self.client.create_topic(name="page-%d" % i)
        names, token = [], ""
        while True:
            answer = self.client.list_topics(page_size=2, page_token=token)
            self.assertLessEqual(len(answer.topics), 2)
            names.extend(t.name for t in answer.topics)
            token = answer.next_page_token
            if not token:
                break
        self.assertEqual(names, sorted(names))
        self.assertTrue({"page-%d" % i for i in range(5)} <= set(names))

    def test_describe_broker(self):
        answer = self.client.describe_broker()
        self.assertEqual(answer.broker_id, 1)
        self.assertRegex(answer.cluster_id, "^[0-9a-f]{32}$")
        self.assertRegex(answer.incarnation, "^[0-9a-f]{32}$")
        self.assertEqual(answer.advertised, self.broker.address)

    def test_describe_cluster(self):
        self.client.create_topic(name=self.topic + "-cluster", partitions=3)
        broker = self.client.describe_broker()
        answer = self.client.describe_cluster()
        self.assertEqual((answer.cluster_id, answer.controller_id), (broker.cluster_id, 1))
        self.assertEqual((answer.topics, answer.partitions), (broker.topics, broker.partitions))
        (only,) = answer.brokers
        self.assertEqual((only.id, only.advertised, only.peer_address), (1, self.broker.address, ""))
        self.assertEqual((only.incarnation, only.controller), (broker.incarnation, True))
        self.assertEqual((only.replicas, only.preferred), (answer.partitions, answer.partitions))
        self.assertEqual((only.standing, only.liveness), (admin_pb2.BROKER_STANDING_IN, admin_pb2.BROKER_LIVENESS_UP))
        self.assertEqual((answer.partitions_without_quorum, answer.partitions_short_of_replicas, answer.partitions_moving), (0, 0, 0))

    def test_set_broker_standing(self):
        set_standing, drained, leaving = self.client.set_broker_standing, admin_pb2.BROKER_STANDING_DRAINED, admin_pb2.BROKER_STANDING_LEAVING
        invalid = grpc.StatusCode.INVALID_ARGUMENT
        for standing in (admin_pb2.BROKER_STANDING_UNSPECIFIED, admin_pb2.BROKER_STANDING_GONE, 17):
            self.refused(invalid, "INVALID", set_standing, broker_id=1, standing=standing)
        self.refused(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", set_standing, broker_id=9, standing=drained)
        failure = self.refused(grpc.StatusCode.FAILED_PRECONDITION, "TOO_FEW_BROKERS", set_standing, broker_id=1, standing=leaving)
        self.assertIn("nobody would be left: start another broker first", failure.text)

        name = self.topic + "-needs-it"
        self.client.create_topic(name=name)
        described = set_standing(broker_id=1, standing=drained, validate_only=True).broker
        self.assertEqual(described, self.client.describe_cluster().brokers[0])
        self.assertEqual(described.standing, admin_pb2.BROKER_STANDING_IN)
        for standing in (drained, drained, admin_pb2.BROKER_STANDING_IN):
            self.assertEqual(set_standing(broker_id=1, standing=standing).broker.standing, standing)
            self.assertEqual(self.client.describe_cluster().brokers[0].standing, standing)
            self.client.append(topic=name, partition=0, batch=batch(b"goes on: nobody else could lead it"))

    def test_replicas_are_bound_by_the_brokers(self):
        name = self.topic + "-copies"
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID", self.client.create_topic, name=name, replicas=3)
        self.client.create_topic(name=name, replicas=1, partitions=2)
        described = self.client.describe_topic(name=name)
        self.assertEqual(described.topic.replicas, 1)
        self.assertEqual([list(p.replicas) for p in described.partitions], [[1], [1]])
        self.assertEqual([p.leader_id for p in described.partitions], [1, 1])

    def test_places_are_bound_by_the_brokers(self):
        name, place = self.topic + "-places", lambda *replicas: admin_pb2.Place(replicas=replicas)
        create = self.client.create_topic
        self.refused(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", create, name=name, places=[place(1), place(2)])
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID", create, name=name, places=[place(1), place(*[1] * 1000)])
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID", create, name=name, places=[place(1)] * 2, partitions=3)
        self.refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID", create, name=name, places=[place(1)] * 10001)
        self.refused(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_LARGE", create, name=name, places=[place(1)] * 100000)
        self.assertEqual(create(name=name, places=[place(1)] * 10000, validate_only=True).topic.partitions, 10000)
        self.assertEqual(create(name=name, places=[place(1)] * 2, validate_only=True).topic.partitions, 2)
        self.assertEqual(create(name=name, places=[place(1)] * 2).topic.partitions, 2)
        self.assertEqual([list(p.replicas) for p in self.client.describe_topic(name=name).partitions], [[1], [1]])

    def test_places_of_new_partitions_are_bound_by_the_topic(self):
        name, place = self.topic + "-more-places", lambda *replicas: admin_pb2.Place(replicas=replicas)
        add, invalid = self.client.add_partitions, grpc.StatusCode.INVALID_ARGUMENT
        self.client.create_topic(name=name)
        self.refused(grpc.StatusCode.NOT_FOUND, "NOT_FOUND", add, topic=name, partitions=2, places=[place(2)])
        self.refused(invalid, "INVALID", add, topic=name, partitions=2, places=[place(1)] * 2)
        self.refused(invalid, "INVALID", add, topic=name, partitions=2, places=[place(*[1] * 1000)])
        self.refused(invalid, "INVALID", add, topic=name, partitions=10001, places=[place(1)] * 10000)
        self.assertEqual(add(topic=name, partitions=3, places=[place(1)] * 2, validate_only=True).topic.partitions, 3)
        self.assertEqual(self.client.describe_topic(name=name).topic.partitions, 1)
        for _ in range(2):  # the second time it has them
            self.assertEqual(add(topic=name, partitions=3, places=[place(1)] * 2).topic.partitions, 3)
        self.assertEqual([list(p.replicas) for p in self.client.describe_topic(name=name).partitions], [[1]] * 3)
        self.refused(invalid, "INVALID", add, topic=name, partitions=3, places=[place(2)])
        self.assertEqual(self.client.append(topic=name, partition=2, batch=batch(b"new")).base_offset, 0)


if __name__ == "__main__":
    harness.main()
