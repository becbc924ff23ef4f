#include "tests/unit/base/cmocka_base.h"

#include <string.h>

#include "base/trace.h"

static char last_line[4096];
static unsigned lines;

static void keep_line(void *context, const char *line) {
  assert_ptr_equal(context, last_line);
  snprintf(last_line, sizeof last_line, "%s", line);
  lines++;
}

static int setup(void **state) {
  (void)state;
  lines = 0;
  last_line[0] = '\0';
  trace_set_level(TRACE_INFO);
  trace_set_sink(keep_line, last_line);
  return 0;
}

static int teardown(void **state) {
  (void)state;
  trace_set_sink(NULL, NULL);
  trace_set_level(TRACE_INFO);
  return 0;
}

static void lines_have_level_event_and_pairs(void **state) {
  (void)state;
  trace_info("journal_recycled", "file=%d name=\"%s\"", 12, "a b");
  assert_string_equal(last_line, "level=info event=journal_recycled file=12 name=\"a b\"");

  trace_error("ring_full", "%s", "");
  assert_string_equal(last_line, "level=error event=ring_full ");
  trace_line(TRACE_WARN, "idle", "%s", "x=1");
  assert_string_equal(last_line, "level=warn event=idle x=1");
}

static void lines_above_the_level_are_dropped(void **state) {
  (void)state;
  trace_debug("quiet", "n=%d", 1);
  assert_int_equal(lines, 0);

  trace_set_level(TRACE_DEBUG);
  trace_debug("loud", "n=%d", 1);
  trace_set_level(TRACE_ERROR);
  trace_warn("quiet", "n=%d", 1);

  assert_int_equal(lines, 1);
}

static void one_event_is_one_line_however_long_or_wild(void **state) {
  (void)state;
  static char text[5000];
  memset(text, 'x', sizeof text - 1);
  memcpy(text, "a\nlevel=error event=forged\r\x01", 27);

  trace_info("long", "text=%s", text);

  assert_int_equal(lines, 1);
  assert_null(strchr(last_line, '\n'));
  assert_null(strchr(last_line, '\r'));
  assert_true(strlen(last_line) < 2100);
}

static void quoted_text_cannot_leave_its_quotes(void **state) {
  (void)state;
  char into[64];

  assert_string_equal(trace_quote(into, sizeof into, "plain", 5), "\"plain\"");
  assert_string_equal(trace_quote(into, sizeof into, "a\"b\\c\nd\0e", 9), "\"a\\\"b\\\\c\\x0ad\\x00e\"");
  assert_string_equal(trace_quote(into, 8, "abcdefghij", 10), "\"abcde\"");
  assert_string_equal(trace_quote(into, 5, "\n\n", 2), "\"\""); /* an escape is never cut in two */
  assert_string_equal(trace_quote(into, 3, "abc", 3), "\"\"");
}

static void without_a_sink_lines_go_to_standard_error_with_the_time(void **state) {
  (void)state;
  int ends[2];
  char line[512] = "";
  int kept = dup(STDERR_FILENO);
  assert_int_equal(pipe(ends), 0);
  trace_set_sink(NULL, NULL);

  dup2(ends[1], STDERR_FILENO);
  trace_info("started", "port=%d", 7411);
  dup2(kept, STDERR_FILENO);
  close(kept);
  close(ends[1]);

  assert_true(read(ends[0], line, sizeof line - 1) > 0);
  close(ends[0]);
  assert_int_equal(strncmp(line, "time=20", 7), 0);
  assert_non_null(strstr(line, "Z level=info event=started port=7411\n"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(lines_have_level_event_and_pairs, setup, teardown),
      cmocka_unit_test_setup_teardown(lines_above_the_level_are_dropped, setup, teardown),
      cmocka_unit_test_setup_teardown(one_event_is_one_line_however_long_or_wild, setup, teardown),
      cmocka_unit_test_setup_teardown(quoted_text_cannot_leave_its_quotes, setup, teardown),
      cmocka_unit_test_setup_teardown(without_a_sink_lines_go_to_standard_error_with_the_time, setup, teardown),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
