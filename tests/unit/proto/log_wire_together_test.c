#include "tests/unit/proto/wire_rig.h"

static void requests_go_together_and_come_apart(void **state) {
  (void)state;
  struct blob_part parts[3 * LOG_WIRE_APPEND_PARTS];
  for (uint32_t i = 0; i < 3; i++) {
    const struct wire_append_request request = {
        .topic = rig_text("orders"), .partition = i, .request_id = 7 + i, .batch = rig_full_batch, .together = i == 0};
    struct blob_part payload = rig_payload("squeezed", i + 1);
    if (i == 0) log_wire_encode_append_request(&request, payload, parts);
    else log_wire_encode_further_request(&request, payload, &parts[i * LOG_WIRE_APPEND_PARTS]);
  }
  struct blob *message = parts_join(parts, 3 * LOG_WIRE_APPEND_PARTS);

  struct wire_append_request back;
  const char *why = NULL;
  assert_int_equal(log_wire_decode_append_request(rig_contents(message), &back, &why), STATUS_OK);
  assert_true(back.has_more);
  assert_true(back.together);
  assert_int_equal(back.request_id, 7);
  assert_int_equal(back.payload.size, 1);
  assert_int_equal(log_wire_find_request_id(rig_contents(message)), 7);
  struct wire_cursor more = wire_cursor_of(rig_contents(message));
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
  rig_assert_message(stock->more[1]->batch, &rig_full_batch, "squ");
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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(requests_go_together_and_come_apart),
      cmocka_unit_test(answers_go_together_and_come_apart),
      cmocka_unit_test(what_goes_together_is_a_message),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
