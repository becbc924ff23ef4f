#include "tests/unit/base/cmocka_base.h"

#include <string.h>

#include "base/bytes.h"

static void bytes_compare_as_memcmp_with_prefixes_first(void **state) {
  (void)state;
  struct bytes none = bytes_of(NULL, 0);

  assert_true(bytes_compare(bytes_of_string("a"), bytes_of_string("b")) < 0);
  assert_true(bytes_compare(bytes_of_string("ab"), bytes_of_string("a")) > 0);
  assert_true(bytes_compare(bytes_of_string("\xff"), bytes_of_string("a")) > 0);
  assert_int_equal(bytes_compare(none, bytes_of_string("")), 0);
  assert_true(bytes_compare(none, bytes_of_string("a")) < 0);
  assert_true(bytes_equal(none, bytes_of_string("")));
  assert_false(bytes_equal(bytes_of_string("a"), bytes_of_string("b")));
}

static void bytes_after_leaves_the_rest(void **state) {
  (void)state;
  assert_true(bytes_equal(bytes_after(bytes_of_string("abc"), 1), bytes_of_string("bc")));
  assert_int_equal(bytes_after(bytes_of_string("abc"), 3).size, 0);
  assert_int_equal(bytes_after(bytes_of(NULL, 0), 0).size, 0);
}

static void buffer_grows_up_to_its_bound_and_not_beyond(void **state) {
  (void)state;
  struct buffer buffer;
  buffer_init(&buffer, 1000);

  for (unsigned i = 0; i < 1000; i++) assert_ok(buffer_append(&buffer, "x", 1));
  assert_status(buffer_append(&buffer, "y", 1), STATUS_TOO_LARGE);
  assert_null(buffer_extend(&buffer, 1));
  assert_null(buffer_extend(&buffer, SIZE_MAX));

  assert_int_equal(buffer.size, 1000);
  assert_true(buffer.capacity <= 1000);
  for (unsigned i = 0; i < 1000; i++) assert_int_equal(buffer.data[i], 'x');
  assert_ok(buffer_append(&buffer, NULL, 0));
  buffer_deinit(&buffer);
}

static void refused_append_changes_nothing(void **state) {
  (void)state;
  struct buffer buffer = {.max = 8};
  assert_ok(buffer_append_string(&buffer, "seven.."));

  assert_status(buffer_append_string(&buffer, "two"), STATUS_TOO_LARGE);
  assert_status(buffer_printf(&buffer, "%d", 12345), STATUS_TOO_LARGE);

  assert_true(bytes_equal(buffer_bytes(&buffer), bytes_of_string("seven..")));
  buffer_deinit(&buffer);
}

static void zeroed_buffer_holds_nothing_but_takes_nothing(void **state) {
  (void)state;
  struct buffer buffer = {0};

  assert_ok(buffer_append(&buffer, "", 0));
  assert_status(buffer_append(&buffer, "x", 1), STATUS_TOO_LARGE);

  buffer_deinit(&buffer);
}

static void printf_takes_short_and_long_lines(void **state) {
  (void)state;
  char long_text[2001];
  memset(long_text, 'l', 2000);
  long_text[2000] = '\0';
  struct buffer buffer;
  buffer_init(&buffer, 4096);

  assert_ok(buffer_printf(&buffer, "%s=%d ", "n", 7));
  assert_ok(buffer_printf(&buffer, "%s", long_text));
  assert_ok(buffer_printf(&buffer, "%s", ""));

  assert_int_equal(buffer.size, 2004);
  assert_memory_equal(buffer.data, "n=7 lll", 7);
  buffer_deinit(&buffer);
}

static void reset_keeps_the_memory(void **state) {
  (void)state;
  struct buffer buffer;
  buffer_init(&buffer, 4096);
  assert_non_null(buffer_extend(&buffer, 3000));
  size_t capacity = buffer.capacity;

  buffer_reset(&buffer);

  assert_int_equal(buffer.size, 0);
  assert_int_equal(buffer.capacity, capacity);
  buffer_deinit(&buffer);
  assert_int_equal(buffer.max, 4096);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(bytes_compare_as_memcmp_with_prefixes_first),
      cmocka_unit_test(bytes_after_leaves_the_rest),
      cmocka_unit_test(buffer_grows_up_to_its_bound_and_not_beyond),
      cmocka_unit_test(refused_append_changes_nothing),
      cmocka_unit_test(zeroed_buffer_holds_nothing_but_takes_nothing),
      cmocka_unit_test(printf_takes_short_and_long_lines),
      cmocka_unit_test(reset_keeps_the_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
