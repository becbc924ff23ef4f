#include <stdlib.h>

#include "tests/unit/proto/wire_rig.h"

static struct blob *encode_append(const struct wire_append_request *request, const char *payload) {
  struct blob_part parts[LOG_WIRE_APPEND_PARTS];
  log_wire_encode_append_request(request, rig_payload(payload, strlen(payload)), parts);
  return parts_join(parts, LOG_WIRE_APPEND_PARTS);
}

static void append_request_goes_out_and_comes_back(void **state) {
  (void)state;
  struct wire_append_request request = {.topic = rig_text("orders"),
                                        .partition = 7,
                                        .request_id = 1u << 31,
                                        .has_expected_offset = true,
                                        .expected_offset = 0,
                                        .producer = rig_text("writer-1"),
                                        .batch = rig_full_batch};
  struct blob *message = encode_append(&request, "squeezed");

  struct wire_append_request back;
  const char *why = NULL;
  assert_int_equal(log_wire_decode_append_request(rig_contents(message), &back, &why), STATUS_OK);
  assert_true(bytes_equal(back.topic, request.topic));
  assert_int_equal(back.partition, 7);
  assert_int_equal(back.request_id, 1u << 31);
  assert_true(back.has_expected_offset);
  assert_int_equal(back.expected_offset, 0);
  assert_true(bytes_equal(back.producer, request.producer));
  rig_assert_batch(&back.batch, &rig_full_batch);
  assert_true(bytes_equal(back.payload, rig_text("squeezed")));
  assert_true(back.payload.data > message->data && back.payload.data < message->data + message->size); /* borrowed */
  assert_int_equal(log_wire_find_request_id(rig_contents(message)), 1u << 31);

  Cairn__V1__AppendRequest *stock = cairn__v1__append_request__unpack(NULL, message->size, message->data);
  assert_non_null(stock);
  assert_string_equal(stock->topic, "orders");
  assert_string_equal(stock->producer, "writer-1");
  assert_int_equal(stock->partition, 7);
  assert_int_equal(stock->expect_case, CAIRN__V1__APPEND_REQUEST__EXPECT_EXPECTED_OFFSET);
  rig_assert_message(stock->batch, &rig_full_batch, "squeezed");
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
  struct wire_append_request request = {.topic = rig_text("orders"), .request_id = 5, .batch = rig_full_batch};
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
  struct wire_append_request request = {.topic = rig_text("orders"), .request_id = 5, .batch = rig_full_batch};
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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(append_request_goes_out_and_comes_back),
      cmocka_unit_test(append_request_of_a_stock_client_is_read),
      cmocka_unit_test(batch_is_read_strictly),
      cmocka_unit_test(compressed_batch_needs_codec_and_size),
      cmocka_unit_test(envelope_is_read_as_proto3_reads_it),
      cmocka_unit_test(no_prefix_of_a_request_is_taken_for_it),
      cmocka_unit_test(random_damage_is_survived),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
