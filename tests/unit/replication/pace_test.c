#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "replication/pace.h"

#define SECOND_NS 1000000000u

static void what_was_taken_is_paid_for_with_a_pause(void **state) {
  (void)state;
  struct pace pace;
  pace_init(&pace, 1000);
  assert_int_equal(pace_took(&pace, 5 * SECOND_NS, 500), 5 * SECOND_NS + SECOND_NS / 2);
  assert_int_equal(pace_took(&pace, 5 * SECOND_NS, 1500), 7 * SECOND_NS); /* on top of the first */
}

static void what_nobody_took_is_not_saved(void **state) {
  (void)state;
  struct pace pace;
  pace_init(&pace, 1000);
  assert_int_equal(pace_took(&pace, SECOND_NS, 1000), 2 * SECOND_NS);
  assert_int_equal(pace_took(&pace, 900ull * SECOND_NS, 1000), 901ull * SECOND_NS);
}

static void a_rate_of_none_is_no_bound(void **state) {
  (void)state;
  struct pace pace;
  pace_init(&pace, 0);
  assert_int_equal(pace_took(&pace, 7, UINT64_MAX), 7);
}

static void much_at_once_is_counted_whole(void **state) {
  (void)state;
  struct pace pace;
  pace_init(&pace, 3);
  assert_int_equal(pace_took(&pace, 0, 30000000000u), 10000000000ull * SECOND_NS);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_was_taken_is_paid_for_with_a_pause),
      cmocka_unit_test(what_nobody_took_is_not_saved),
      cmocka_unit_test(a_rate_of_none_is_no_bound),
      cmocka_unit_test(much_at_once_is_counted_whole),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
