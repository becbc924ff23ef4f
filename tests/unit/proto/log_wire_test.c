#include "proto/log_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cairn/v1/log.pb-c.h"

/* Every encoder is read back by protobuf-c, which follows the .proto files, and every decoder reads what protobuf-c wrote. */

static struct bytes text(const char *string) { return bytes_of_string(string); }

/* Parts one behind the other, as a reader sees them; releases them. */
static struct blob *join(struct blob_part *parts, size_t count) {
  size_t size = 0;
  for (size_t i = 0; i < count; i++) size += parts[i].bytes.size;
  struct blob *whole = NULL;
  assert_int_equal(blob_new(NULL, size, &whole), STATUS_OK);
  uint8_t *at = whole->data;
  for (size_t i = 0; i < count; i++) {
    if (parts[i].bytes.size > 0) memcpy(at, parts[i].bytes.data, parts[i].bytes.size);
    at += parts[i].bytes.size;
    blob_part_release(parts[i]);
  }
  return whole;
}

static struct bytes contents(const struct blob *blob) { return bytes_of(blob->data, blob->size); }

static struct blob_part payload_of(const void *data, size_t size) {
  struct blob *blob = NULL;
  assert_int_equal(blob_new(NULL, size, &blob), STATUS_OK);
  if (size > 0) memcpy(blob->data, data, size);
  return (struct blob_part){.blob = blob, .bytes = contents(blob)};
}

static const struct wire_batch full_batch = {.codec = WIRE_CODEC_ZSTD,
                                             .uncompressed_bytes = 4000000000u,
                                             .record_count = 70000,
                                             .base_timestamp_ms = 1700000000000,
                                             .max_timestamp_ms = -5,
                                             .has_crc32c = true,
                                             .crc32c = 0,
                                             .producer_id = UINT64_MAX,
                                             .producer_epoch = 3,
                                             .first_sequence = UINT64_MAX - 1};

static void assert_batch_equal(const struct wire_batch *a, const struct wire_batch *b) {
  assert_int_equal(a->codec, b->codec);
  assert_int_equal(a->uncompressed_bytes, b->uncompressed_bytes);
  assert_int_equal(a->record_count, b->record_count);
  assert_int_equal(a->base_timestamp_ms, b->base_timestamp_ms);
  assert_int_equal(a->max_timestamp_ms, b->max_timestamp_ms);
  assert_int_equal(a->has_crc32c, b->has_crc32c);
  assert_int_equal(a->crc32c, b->crc32c);
  assert_int_equal(a->producer_id, b->producer_id);
  assert_int_equal(a->producer_epoch, b->producer_epoch);
  assert_int_equal(a->first_sequence, b->first_sequence);
}

static void assert_message_is(const Cairn__V1__RecordBatch *message, const struct wire_batch *batch, const char *payload) {
  assert_int_equal(message->codec, batch->codec);
  assert_int_equal(message->uncompressed_bytes, batch->uncompressed_bytes);
  assert_int_equal(message->record_count, batch->record_count);
  assert_int_equal(message->base_timestamp_ms, batch->base_timestamp_ms);
  assert_int_equal(message->max_timestamp_ms, batch->max_timestamp_ms);
  assert_int_equal(message->checksum_case == CAIRN__V1__RECORD_BATCH__CHECKSUM_CRC32C, batch->has_crc32c);
  if (batch->has_crc32c) assert_int_equal(message->crc32c, batch->crc32c);
  assert_int_equal(message->producer_id, batch->producer_id);
  assert_int_equal(message->producer_epoch, batch->producer_epoch);
  assert_int_equal(message->first_sequence, batch->first_sequence);
  assert_int_equal(message->compressed_records.len, strlen(payload));
  assert_memory_equal(message->compressed_records.data, payload, strlen(payload));
}

/* ---- AppendRequest ---- */

static struct blob *encode_append(const struct wire_append_request *request, const char *payload) {
  struct blob_part parts[LOG_WIRE_APPEND_PARTS];
  log_wire_encode_append_request(request, payload_of(payload, strlen(payload)), parts);
  return join(parts, LOG_WIRE_APPEND_PARTS);
}

static void append_request_goes_out_and_comes_back(void **state) {
  (void)state;
  struct wire_append_request request = {.topic = text("orders"),
                                        .partition = 7,
                                        .request_id = 1u << 31,
                                        .has_expected_offset = true,
                                        .expected_offset = 0,
                                        .producer = text("writer-1"),
                                        .batch = full_batch};
  struct blob *message = encode_append(&request, "squeezed");

  struct wire_append_request back;
  const char *why = NULL;
  assert_int_equal(log_wire_decode_append_request(contents(message), &back, &why), STATUS_OK);
  assert_true(bytes_equal(back.topic, request.topic));
  assert_int_equal(back.partition, 7);
  assert_int_equal(back.request_id, 1u << 31);
  assert_true(back.has_expected_offset);
  assert_int_equal(back.expected_offset, 0);
  assert_true(bytes_equal(back.producer, request.producer));
  assert_batch_equal(&back.batch, &full_batch);
  assert_true(bytes_equal(back.payload, text("squeezed")));
  assert_true(back.payload.data > message->data && back.payload.data < message->data + message->size); /* borrowed */
  assert_int_equal(log_wire_find_request_id(contents(message)), 1u << 31);

  Cairn__V1__AppendRequest *stock = cairn__v1__append_request__unpack(NULL, message->size, message->data);
  assert_non_null(stock);
  assert_string_equal(stock->topic, "orders");
  assert_string_equal(stock->producer, "writer-1");
  assert_int_equal(stock->partition, 7);
  assert_int_equal(stock->expect_case, CAIRN__V1__APPEND_REQUEST__EXPECT_EXPECTED_OFFSET);
  assert_message_is(stock->batch, &full_batch, "squeezed");
  cairn__v1__append_request__free_unpacked(stock, NULL);
  blob_release(message);
}

static void append_request_of_a_stock_client_is_read(void **state) {
  (void)state;
  Cairn__V1__Record record;
  cairn__v1__record__init(&record);
  record.value_presence_case = CAIRN__V1__RECORD__VALUE_PRESENCE_VALUE;
  record.value = (ProtobufCBinaryData){.data = (uint8_t[]){1, 2, 3}, .len = 3};
  Cairn__V1__Record *list[2] = {&record, &record};
  Cairn__V1__Records records;
  cairn__v1__records__init(&records);
  records.n_records = 2;
  records.records = list;
  Cairn__V1__RecordBatch batch;
  cairn__v1__record_batch__init(&batch);
  batch.records = &records;
  Cairn__V1__AppendRequest request;
  cairn__v1__append_request__init(&request);
  char topic[] = "t";
  request.topic = topic;
  request.batch = &batch;
  uint8_t bytes[256], alone[64];
  size_t size = cairn__v1__append_request__pack(&request, bytes);
  size_t alone_size = cairn__v1__records__pack(&records, alone);

  struct wire_append_request back;
  const char *why = NULL;
  assert_int_equal(log_wire_decode_append_request(bytes_of(bytes, size), &back, &why), STATUS_OK);
  assert_int_equal(back.batch.codec, WIRE_CODEC_NONE);
  assert_false(back.has_expected_offset);
  assert_false(back.batch.has_crc32c);
  assert_true(bytes_equal(back.payload, bytes_of(alone, alone_size)));
}

/* A message put together field by field. */
struct writer {
  uint8_t data[1024];
  size_t size;
};

static void put(struct writer *writer, uint32_t number, const void *data, size_t size) {
  writer->size = (size_t)(wire_put_bytes(writer->data + writer->size, number, bytes_of(data, size)) - writer->data);
}
static void put_number(struct writer *writer, uint32_t number, uint64_t value) {
  uint8_t *at = wire_put_tag(writer->data + writer->size, number, WIRE_VARINT);
  writer->size = (size_t)(wire_put_varint(at, value) - writer->data);
}

static enum status decode(const struct writer *writer) {
  struct wire_append_request request = {.partition = 99};
  const char *why = NULL;
  enum status status = log_wire_decode_append_request(bytes_of(writer->data, writer->size), &request, &why);
  if (status != STATUS_OK) {
    assert_non_null(why);
    assert_int_equal(request.partition, 99); /* untouched */
  }
  return status;
}

static enum status decode_with_batch(const struct writer *batch) {
  struct writer request = {.size = 0};
  put(&request, 1, "t", 1);
  put(&request, 3, batch->data, batch->size);
  return decode(&request);
}

static void batch_is_read_strictly(void **state) {
  (void)state;
  struct writer batch = {.size = 0};
  assert_int_equal(decode_with_batch(&batch), STATUS_BAD_BATCH); /* no payload */
  put(&batch, 14, "r", 1);
  assert_int_equal(decode_with_batch(&batch), STATUS_OK);
  struct writer twice = batch;
  put(&twice, 14, "r", 1);
  assert_int_equal(decode_with_batch(&twice), STATUS_BAD_BATCH);
  struct writer both = batch;
  put(&both, 15, "r", 1);
  assert_int_equal(decode_with_batch(&both), STATUS_BAD_BATCH);
  struct writer unknown = batch;
  put_number(&unknown, 10, 1);
  assert_int_equal(decode_with_batch(&unknown), STATUS_BAD_BATCH);
  struct writer codec = batch;
  put_number(&codec, 1, 1);
  assert_int_equal(decode_with_batch(&codec), STATUS_BAD_BATCH);
  struct writer size = batch;
  put_number(&size, 2, 1);
  assert_int_equal(decode_with_batch(&size), STATUS_OK);
  put_number(&size, 2, 2);
  assert_int_equal(decode_with_batch(&size), STATUS_BAD_BATCH);
  struct writer wide = batch;
  put_number(&wide, 3, UINT64_C(1) << 32);
  assert_int_equal(decode_with_batch(&wide), STATUS_MALFORMED);
  struct writer type = batch;
  put_number(&type, 6, 1);
  assert_int_equal(decode_with_batch(&type), STATUS_MALFORMED);
  struct writer empty = {.size = 0};
  put(&empty, 14, "", 0);
  assert_int_equal(decode_with_batch(&empty), STATUS_BAD_BATCH);
}

static void compressed_batch_needs_codec_and_size(void **state) {
  (void)state;
  struct writer batch = {.size = 0};
  put(&batch, 15, "z", 1);
  assert_int_equal(decode_with_batch(&batch), STATUS_BAD_BATCH);
  put_number(&batch, 1, 2);
  assert_int_equal(decode_with_batch(&batch), STATUS_BAD_BATCH);
  put_number(&batch, 2, 100);
  assert_int_equal(decode_with_batch(&batch), STATUS_OK);
  put_number(&batch, 1, 3);
  assert_int_equal(decode_with_batch(&batch), STATUS_UNSUPPORTED);
  put_number(&batch, 1, UINT64_MAX);
  assert_int_equal(decode_with_batch(&batch), STATUS_UNSUPPORTED);
}

static void envelope_is_read_as_proto3_reads_it(void **state) {
  (void)state;
  struct writer batch = {.size = 0}, request = {.size = 0};
  put(&batch, 14, "r", 1);
  assert_int_equal(decode(&request), STATUS_BAD_BATCH); /* nothing there */
  put(&request, 1, "first", 5);
  put(&request, 1, "t", 1);
  put_number(&request, 99, 1); /* a newer client's */
  put(&request, 98, "x", 1);
  put(&request, 3, batch.data, batch.size);
  assert_int_equal(decode(&request), STATUS_OK);
  struct writer twice = request;
  put(&twice, 3, batch.data, batch.size);
  assert_int_equal(decode(&twice), STATUS_MALFORMED);
  struct writer name = request;
  put(&name, 1, "a\0b", 3);
  assert_int_equal(decode(&name), STATUS_BAD_NAME);
  put(&name, 1, "a\xff", 2);
  assert_int_equal(decode(&name), STATUS_BAD_NAME);
  struct writer wide = request;
  put_number(&wide, 2, UINT64_C(1) << 40);
  assert_int_equal(decode(&wide), STATUS_MALFORMED);
}

static void no_prefix_of_a_request_is_taken_for_it(void **state) {
  (void)state;
  struct wire_append_request request = {.topic = text("orders"), .request_id = 5, .batch = full_batch};
  struct blob *message = encode_append(&request, "squeezed");

  for (size_t size = 0; size < message->size; size++) {
    uint8_t *copy = malloc(size + 1); /* its own allocation, so that reading on is seen */
    memcpy(copy, message->data, size);
    struct wire_append_request back;
    const char *why = NULL;
    assert_int_not_equal(log_wire_decode_append_request(bytes_of(copy, size), &back, &why), STATUS_OK);
    log_wire_find_request_id(bytes_of(copy, size));
    free(copy);
  }
  blob_release(message);
}

static void random_damage_is_survived(void **state) {
  (void)state;
  struct wire_append_request request = {.topic = text("orders"), .request_id = 5, .batch = full_batch};
  struct blob *message = encode_append(&request, "squeezed");
  uint64_t seed = 88172645463325252u;
  uint8_t *copy = malloc(message->size);
  for (unsigned round = 0; round < 20000; round++) {
    memcpy(copy, message->data, message->size);
    for (unsigned i = 0; i < 3; i++) {
      seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
      copy[seed % message->size] = (uint8_t)(seed >> 32);
    }
    struct wire_append_request back;
    struct wire_append_response response;
    struct wire_read_response read;
    struct wire_cursor batches;
    struct wire_stored_batch stored;
    struct failure failure;
    bool failed = false;
    const char *why = NULL;
    struct bytes bytes = bytes_of(copy, message->size);
    if (log_wire_decode_append_request(bytes, &back, &why) == STATUS_OK) {
      assert_true(back.payload.data >= copy && back.payload.data + back.payload.size <= copy + message->size);
    }
    if (log_wire_decode_append_response(bytes, &response, &failed, &failure) == STATUS_OK) continue;
    if (log_wire_decode_read_response(bytes, &read, &batches) != STATUS_OK) continue;
    while (log_wire_next_stored_batch(&batches, &stored) == STATUS_OK) continue;
  }
  free(copy);
  blob_release(message);
}

/* ---- AppendResponse ---- */

/* ---- Several in one message ---- */

static void requests_go_together_and_come_apart(void **state) {
  (void)state;
  struct blob_part parts[3 * LOG_WIRE_APPEND_PARTS];
  for (uint32_t i = 0; i < 3; i++) {
    const struct wire_append_request request = {
        .topic = text("orders"), .partition = i, .request_id = 7 + i, .batch = full_batch, .together = i == 0};
    struct blob_part payload = payload_of("squeezed", i + 1);
    if (i == 0) log_wire_encode_append_request(&request, payload, parts);
    else log_wire_encode_further_request(&request, payload, &parts[i * LOG_WIRE_APPEND_PARTS]);
  }
  struct blob *message = join(parts, 3 * LOG_WIRE_APPEND_PARTS);

  struct wire_append_request back;
  const char *why = NULL;
  assert_int_equal(log_wire_decode_append_request(contents(message), &back, &why), STATUS_OK);
  assert_true(back.has_more);
  assert_true(back.together);
  assert_int_equal(back.request_id, 7);
  assert_int_equal(back.payload.size, 1);
  assert_int_equal(log_wire_find_request_id(contents(message)), 7);
  struct wire_cursor more = wire_cursor_of(contents(message));
  struct bytes further;
  for (uint32_t i = 1; i < 3; i++) {
    assert_int_equal(log_wire_next_append_request(&more, &further), STATUS_OK);
    assert_int_equal(log_wire_decode_append_request(further, &back, &why), STATUS_OK);
    assert_false(back.has_more);
    assert_int_equal(back.request_id, 7 + i);
    assert_int_equal(back.payload.size, i + 1);
    assert_true(back.payload.data > message->data); /* borrowed */
  }
  assert_int_equal(log_wire_next_append_request(&more, &further), STATUS_END);

  Cairn__V1__AppendRequest *stock = cairn__v1__append_request__unpack(NULL, message->size, message->data);
  assert_non_null(stock);
  assert_true(stock->together);
  assert_int_equal(stock->n_more, 2);
  assert_int_equal(stock->more[1]->request_id, 9);
  assert_message_is(stock->more[1]->batch, &full_batch, "squ");
  cairn__v1__append_request__free_unpacked(stock, NULL);
  blob_release(message);
}

static void answers_go_together_and_come_apart(void **state) {
  (void)state;
  struct buffer gathered;
  buffer_init(&gathered, 1000);
  struct failure failure;
  failure_set(&failure, STATUS_SESSION_BROKEN, NULL);
  struct blob_part answers[] = {
      log_wire_encode_append_response(&(struct wire_append_response){.request_id = 1, .last_offset = 5, .takes_more = true}),
      log_wire_encode_append_response(&(struct wire_append_response){.request_id = 2, .last_offset = 6}),
      log_wire_encode_append_failure(3, &failure)};
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(log_wire_gather_append_answer(&gathered, answers[i].bytes), STATUS_OK);
    blob_part_release(answers[i]);
  }
  size_t size = gathered.size;
  assert_int_equal(log_wire_gather_append_answer(&gathered, bytes_of(gathered.data, 990)), STATUS_TOO_LARGE);
  assert_int_equal(gathered.size, size);

  struct wire_append_response back;
  bool failed = true;
  assert_int_equal(log_wire_decode_append_response(buffer_bytes(&gathered), &back, &failed, &failure), STATUS_OK);
  assert_false(failed);
  assert_true(back.takes_more);
  assert_int_equal(back.last_offset, 5);
  struct wire_cursor more = wire_cursor_of(buffer_bytes(&gathered));
  struct bytes further;
  assert_int_equal(log_wire_next_append_response(&more, &further), STATUS_OK);
  assert_int_equal(log_wire_decode_append_response(further, &back, &failed, &failure), STATUS_OK);
  assert_int_equal(back.last_offset, 6);
  assert_int_equal(log_wire_next_append_response(&more, &further), STATUS_OK);
  assert_int_equal(log_wire_decode_append_response(further, &back, &failed, &failure), STATUS_OK);
  assert_true(failed);
  assert_int_equal(back.request_id, 3);
  assert_int_equal(log_wire_next_append_response(&more, &further), STATUS_END);

  Cairn__V1__AppendResponse *stock = cairn__v1__append_response__unpack(NULL, gathered.size, gathered.data);
  assert_non_null(stock);
  assert_int_equal(stock->n_more, 2);
  assert_string_equal(stock->more[1]->error->reason, "SESSION_BROKEN");
  cairn__v1__append_response__free_unpacked(stock, NULL);
  buffer_deinit(&gathered);
}

static void what_goes_together_is_a_message(void **state) {
  (void)state;
  const uint8_t number[] = {7 << 3, 1}; /* `more`, a varint */
  struct wire_cursor more = wire_cursor_of(bytes_of(number, sizeof number));
  struct bytes further;
  assert_int_equal(log_wire_next_append_request(&more, &further), STATUS_MALFORMED);
  const uint8_t cut[] = {7 << 3 | 2, 9, 1}; /* longer than what there is */
  more = wire_cursor_of(bytes_of(cut, sizeof cut));
  assert_int_equal(log_wire_next_append_request(&more, &further), STATUS_MALFORMED);
}

static void append_response_goes_out_and_comes_back(void **state) {
  (void)state;
  struct wire_append_response response = {.request_id = 9,
                                          .base_offset = INT64_MAX - 4,
                                          .last_offset = INT64_MAX,
                                          .term = 3,
                                          .leader_time_ms = 1700000000123,
                                          .durability = WIRE_DURABILITY_QUORUM_SYNC,
                                          .synced_replicas = 2,
                                          .chain = 0,
                                          .duplicate = true};
  struct blob_part part = log_wire_encode_append_response(&response);
  struct blob *message = join(&part, 1);

  struct wire_append_response back;
  struct failure failure;
  bool failed = true;
  assert_int_equal(log_wire_decode_append_response(contents(message), &back, &failed, &failure), STATUS_OK);
  assert_false(failed);
  assert_memory_equal(&back, &response, offsetof(struct wire_append_response, duplicate));
  assert_true(back.duplicate);
  Cairn__V1__AppendResponse *stock = cairn__v1__append_response__unpack(NULL, message->size, message->data);
  assert_non_null(stock);
  assert_int_equal(stock->last_offset, INT64_MAX);
  assert_true(stock->duplicate);
  assert_int_equal(stock->durability, CAIRN__V1__DURABILITY__DURABILITY_QUORUM_SYNC);
  assert_null(stock->error);
  cairn__v1__append_response__free_unpacked(stock, NULL);
  blob_release(message);
}

static void append_failure_goes_out_and_comes_back(void **state) {
  (void)state;
  struct failure failure;
  failure_set(&failure, STATUS_UNKNOWN_OUTCOME, "the quorum did not answer in %d ms; ask for the offset", 500);
  memcpy(failure.leader, "broker-1:7411", sizeof "broker-1:7411");
  failure.has_next_offset = true;
  failure.next_offset = 0;
  struct blob_part part = log_wire_encode_append_failure(77, &failure);
  struct blob *message = join(&part, 1);

  struct wire_append_response back;
  struct failure failure_back;
  bool failed = false;
  assert_int_equal(log_wire_decode_append_response(contents(message), &back, &failed, &failure_back), STATUS_OK);
  assert_true(failed);
  assert_int_equal(back.request_id, 77);
  assert_memory_equal(&failure_back.text, &failure.text, strlen(failure.text) + 1);
  assert_int_equal(failure_back.reason, STATUS_UNKNOWN_OUTCOME);
  assert_int_equal(failure_back.executed, EXECUTED_MAYBE);
  assert_true(failure_back.has_next_offset);
  Cairn__V1__AppendResponse *stock = cairn__v1__append_response__unpack(NULL, message->size, message->data);
  assert_non_null(stock);
  assert_string_equal(stock->error->reason, "UNKNOWN_OUTCOME");
  assert_int_equal(stock->error->code, GRPC_CODE_DEADLINE_EXCEEDED);
  assert_int_equal(stock->error->executed, CAIRN__V1__EXECUTED__EXECUTED_MAYBE);
  assert_int_equal(stock->error->next_offset_presence_case, CAIRN__V1__ERROR__NEXT_OFFSET_PRESENCE_NEXT_OFFSET);
  cairn__v1__append_response__free_unpacked(stock, NULL);
  blob_release(message);
}

/* ---- Read ---- */

static void read_request_goes_out_and_comes_back(void **state) {
  (void)state;
  struct wire_read_request request = {
      .topic = text("orders"), .partition = 1, .offset = 1000000, .max_bytes = 7, .min_bytes = 8, .max_wait_ms = 60000};
  struct blob_part part = log_wire_encode_read_request(&request);
  struct blob *message = join(&part, 1);

  struct wire_read_request back;
  assert_int_equal(log_wire_decode_read_request(contents(message), &back), STATUS_OK);
  assert_true(bytes_equal(back.topic, request.topic));
  assert_int_equal(back.partition, 1);
  assert_int_equal(back.offset, 1000000);
  assert_int_equal(back.max_bytes, 7);
  assert_int_equal(back.min_bytes, 8);
  assert_int_equal(back.max_wait_ms, 60000);
  Cairn__V1__ReadRequest *stock = cairn__v1__read_request__unpack(NULL, message->size, message->data);
  assert_non_null(stock);
  assert_int_equal(stock->max_wait_ms, 60000);
  cairn__v1__read_request__free_unpacked(stock, NULL);
  blob_release(message);
}

static void read_response_is_heads_and_payloads_in_turn(void **state) {
  (void)state;
  struct wire_read_response response = {.high_watermark = 100, .log_start_offset = 0, .next_offset = 12, .caught_up = true};
  struct wire_stored_batch batches[3];
  for (unsigned i = 0; i < 3; i++) {
    batches[i] = (struct wire_stored_batch){.base_offset = i * 4,
                                            .last_offset = i * 4 + 3,
                                            .term = 2,
                                            .leader_time_ms = 1700000000000 + i,
                                            .batch = full_batch,
                                            .payload = payload_of("payload", 7)};
  }
  struct blob_part parts[LOG_WIRE_READ_PARTS(3)];
  const uint8_t *payload = batches[1].payload.bytes.data;

  size_t count = log_wire_encode_read_response(&response, batches, 3, parts);

  assert_int_equal(count, 6);
  assert_ptr_equal(parts[3].bytes.data, payload); /* not copied */
  struct blob *message = join(parts, count);
  struct wire_read_response back;
  struct wire_cursor cursor;
  assert_int_equal(log_wire_decode_read_response(contents(message), &back, &cursor), STATUS_OK);
  assert_int_equal(back.high_watermark, 100);
  assert_int_equal(back.next_offset, 12);
  assert_true(back.caught_up);
  struct wire_stored_batch stored;
  for (unsigned i = 0; i < 3; i++) {
    assert_int_equal(log_wire_next_stored_batch(&cursor, &stored), STATUS_OK);
    assert_int_equal(stored.base_offset, i * 4);
    assert_int_equal(stored.last_offset, i * 4 + 3);
    assert_int_equal(stored.leader_time_ms, 1700000000000 + i);
    assert_batch_equal(&stored.batch, &full_batch);
    assert_true(bytes_equal(stored.payload.bytes, text("payload")));
    assert_null(stored.payload.blob);
  }
  assert_int_equal(log_wire_next_stored_batch(&cursor, &stored), STATUS_END);

  Cairn__V1__TailResponse *stock = cairn__v1__tail_response__unpack(NULL, message->size, message->data);
  assert_non_null(stock);
  assert_int_equal(stock->n_batches, 3);
  assert_int_equal(stock->batches[2]->last_offset, 11);
  assert_message_is(stock->batches[2]->batch, &full_batch, "payload");
  assert_true(stock->caught_up);
  cairn__v1__tail_response__free_unpacked(stock, NULL);
  blob_release(message);
}

static void read_response_without_batches_is_one_part(void **state) {
  (void)state;
  struct wire_read_response response = {.high_watermark = 5, .next_offset = 5};
  struct blob_part parts[LOG_WIRE_READ_PARTS(0)];
  assert_int_equal(log_wire_encode_read_response(&response, NULL, 0, parts), 1);
  struct blob *message = join(parts, 1);

  struct wire_read_response back;
  struct wire_cursor cursor;
  struct wire_stored_batch stored;
  assert_int_equal(log_wire_decode_read_response(contents(message), &back, &cursor), STATUS_OK);
  assert_int_equal(back.high_watermark, 5);
  assert_int_equal(log_wire_next_stored_batch(&cursor, &stored), STATUS_END);
  blob_release(message);
}

static void head_of_a_stored_batch_stays_below_its_bound(void **state) {
  (void)state;
  struct wire_batch widest = {.codec = WIRE_CODEC_LZ4,
                              .uncompressed_bytes = UINT32_MAX,
                              .record_count = UINT32_MAX,
                              .base_timestamp_ms = -1,
                              .max_timestamp_ms = -1,
                              .has_crc32c = true,
                              .crc32c = UINT32_MAX,
                              .producer_id = UINT64_MAX,
                              .producer_epoch = UINT32_MAX,
                              .first_sequence = UINT64_MAX};
  struct wire_stored_batch batch = {.base_offset = -1,
                                    .last_offset = -1,
                                    .term = UINT64_MAX,
                                    .leader_time_ms = -1,
                                    .batch = widest,
                                    .payload = payload_of("", 0)};
  batch.payload.bytes.size = 0;
  struct wire_read_response response = {0};
  struct blob_part parts[LOG_WIRE_READ_PARTS(1)];
  assert_int_equal(log_wire_encode_read_response(&response, &batch, 1, parts), 2);
  assert_true(parts[0].bytes.size + 4 * 4 <=
              LOG_WIRE_STORED_BATCH_HEAD_MAX); /* four lengths of up to five bytes, one each here */
  blob_part_release(parts[0]);
  blob_part_release(parts[1]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(append_request_goes_out_and_comes_back),
      cmocka_unit_test(append_request_of_a_stock_client_is_read),
      cmocka_unit_test(batch_is_read_strictly),
      cmocka_unit_test(compressed_batch_needs_codec_and_size),
      cmocka_unit_test(envelope_is_read_as_proto3_reads_it),
      cmocka_unit_test(no_prefix_of_a_request_is_taken_for_it),
      cmocka_unit_test(random_damage_is_survived),
      cmocka_unit_test(requests_go_together_and_come_apart),
      cmocka_unit_test(answers_go_together_and_come_apart),
      cmocka_unit_test(what_goes_together_is_a_message),
      cmocka_unit_test(append_response_goes_out_and_comes_back),
      cmocka_unit_test(append_failure_goes_out_and_comes_back),
      cmocka_unit_test(read_request_goes_out_and_comes_back),
      cmocka_unit_test(read_response_is_heads_and_payloads_in_turn),
      cmocka_unit_test(read_response_without_batches_is_one_part),
      cmocka_unit_test(head_of_a_stored_batch_stays_below_its_bound),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
