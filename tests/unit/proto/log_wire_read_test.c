#include "tests/unit/proto/wire_rig.h"

static void read_request_goes_out_and_comes_back(void **state) {
  (void)state;
  struct wire_read_request request = {
      .topic = rig_text("orders"), .partition = 1, .offset = 1000000, .max_bytes = 7, .min_bytes = 8, .max_wait_ms = 60000};
  struct blob_part part = log_wire_encode_read_request(&request);
  struct blob *message = parts_join(&part, 1);

  struct wire_read_request back;
  assert_int_equal(log_wire_decode_read_request(rig_contents(message), &back), STATUS_OK);
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
                                            .batch = rig_full_batch,
                                            .payload = rig_payload("payload", 7)};
  }
  struct blob_part parts[LOG_WIRE_READ_PARTS(3)];
  const uint8_t *payload = batches[1].payload.bytes.data;

  size_t count = log_wire_encode_read_response(&response, batches, 3, parts);

  assert_int_equal(count, 6);
  assert_ptr_equal(parts[3].bytes.data, payload); /* not copied */
  struct blob *message = parts_join(parts, count);
  struct wire_read_response back;
  struct wire_cursor cursor;
  assert_int_equal(log_wire_decode_read_response(rig_contents(message), &back, &cursor), STATUS_OK);
  assert_int_equal(back.high_watermark, 100);
  assert_int_equal(back.next_offset, 12);
  assert_true(back.caught_up);
  struct wire_stored_batch stored;
  for (unsigned i = 0; i < 3; i++) {
    assert_int_equal(log_wire_next_stored_batch(&cursor, &stored), STATUS_OK);
    assert_int_equal(stored.base_offset, i * 4);
    assert_int_equal(stored.last_offset, i * 4 + 3);
    assert_int_equal(stored.leader_time_ms, 1700000000000 + i);
    rig_assert_batch(&stored.batch, &rig_full_batch);
    assert_true(bytes_equal(stored.payload.bytes, rig_text("payload")));
    assert_null(stored.payload.blob);
  }
  assert_int_equal(log_wire_next_stored_batch(&cursor, &stored), STATUS_END);

  Cairn__V1__TailResponse *stock = cairn__v1__tail_response__unpack(NULL, message->size, message->data);
  assert_non_null(stock);
  assert_int_equal(stock->n_batches, 3);
  assert_int_equal(stock->batches[2]->last_offset, 11);
  rig_assert_message(stock->batches[2]->batch, &rig_full_batch, "payload");
  assert_true(stock->caught_up);
  cairn__v1__tail_response__free_unpacked(stock, NULL);
  blob_release(message);
}

static void read_response_without_batches_is_one_part(void **state) {
  (void)state;
  struct wire_read_response response = {.high_watermark = 5, .next_offset = 5};
  struct blob_part parts[LOG_WIRE_READ_PARTS(0)];
  assert_int_equal(log_wire_encode_read_response(&response, NULL, 0, parts), 1);
  struct blob *message = parts_join(parts, 1);

  struct wire_read_response back;
  struct wire_cursor cursor;
  struct wire_stored_batch stored;
  assert_int_equal(log_wire_decode_read_response(rig_contents(message), &back, &cursor), STATUS_OK);
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
                                    .payload = rig_payload("", 0)};
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
      cmocka_unit_test(read_request_goes_out_and_comes_back),
      cmocka_unit_test(read_response_is_heads_and_payloads_in_turn),
      cmocka_unit_test(read_response_without_batches_is_one_part),
      cmocka_unit_test(head_of_a_stored_batch_stays_below_its_bound),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
