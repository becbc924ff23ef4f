#include "tests/unit/base/cmocka_base.h"

#include <string.h>

static void every_status_has_a_name_a_text_and_a_code(void **state) {
  (void)state;
  for (unsigned i = 0; i < STATUS_COUNT; i++) {
    enum status back = STATUS_BUG;
    assert_true(strlen(status_name((enum status)i)) > 0);
    assert_true(strlen(status_text((enum status)i)) > 0);
    assert_true(status_grpc_code((enum status)i) <= GRPC_CODE_UNAUTHENTICATED);
    assert_true(status_from_name(status_name((enum status)i), &back));
    assert_int_equal(back, i);
  }
}

static void unknown_name_leaves_the_output_alone(void **state) {
  (void)state;
  enum status status = STATUS_IO;

  assert_false(status_from_name("NO_SUCH_STATUS", &status));
  assert_false(status_from_name("", &status));

  assert_int_equal(status, STATUS_IO);
}

static void only_ok_is_ok(void **state) {
  (void)state;
  for (unsigned i = 1; i < STATUS_COUNT; i++) assert_int_not_equal(status_grpc_code((enum status)i), GRPC_CODE_OK);
  assert_int_equal(status_executed(STATUS_OK), EXECUTED_YES);
}

static void unknown_outcomes_are_maybe_and_not_leader_is_no(void **state) {
  (void)state;
  assert_string_equal(executed_name(status_executed(STATUS_UNKNOWN_OUTCOME)), "maybe");
  assert_string_equal(executed_name(status_executed(STATUS_NOT_LEADER)), "no");
  assert_string_equal(executed_name(EXECUTED_YES), "yes");
  assert_int_equal(status_retry(STATUS_NOT_LEADER), RETRY_LEADER);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_status_has_a_name_a_text_and_a_code),
      cmocka_unit_test(unknown_name_leaves_the_output_alone),
      cmocka_unit_test(only_ok_is_ok),
      cmocka_unit_test(unknown_outcomes_are_maybe_and_not_leader_is_no),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
