#include "tests/unit/proto/wire_rig.h"

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
  struct blob *message = parts_join(&part, 1);

  struct wire_append_response back;
  struct failure failure;
  bool failed = true;
  assert_int_equal(log_wire_decode_append_response(rig_contents(message), &back, &failed, &failure), STATUS_OK);
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
  struct blob *message = parts_join(&part, 1);

  struct wire_append_response back;
  struct failure failure_back;
  bool failed = false;
  assert_int_equal(log_wire_decode_append_response(rig_contents(message), &back, &failed, &failure_back), STATUS_OK);
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

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(append_response_goes_out_and_comes_back),
      cmocka_unit_test(append_failure_goes_out_and_comes_back),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
