/* What people type: quantities, times, positions, formats; and the histogram of the bench. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "clients/cli/format.h"
#include "clients/cli/histogram.h"
#include "clients/cli/input.h"
#include "clients/cli/output.h"
#include "clients/cli/position.h"
#include "clients/cli/quantity.h"

/* ---- Quantities and times ---- */

static void quantity_reads_sizes_and_durations(void **state) {
  (void)state;
  int64_t value = 0;
  assert_true(quantity_parse_bytes("4096", &value) == STATUS_OK && value == 4096);
  assert_true(quantity_parse_bytes("64KiB", &value) == STATUS_OK && value == 65536);
  assert_true(quantity_parse_bytes("2g", &value) == STATUS_OK && value == 2147483648);
  assert_true(quantity_parse_bytes("-1", &value) == STATUS_OK && value == -1);
  assert_int_equal(quantity_parse_bytes("KiB", &value), STATUS_INVALID);
  assert_int_equal(quantity_parse_bytes("9999999999T", &value), STATUS_TOO_LARGE);
  assert_true(quantity_parse_duration_ms("7d", &value) == STATUS_OK && value == 604800000);
  assert_true(quantity_parse_duration_ms("250", &value) == STATUS_OK && value == 250);
  assert_int_equal(quantity_parse_duration_ms("7 days", &value), STATUS_INVALID);
  assert_int_equal(quantity_parse_duration_ms("99999999999999d", &value), STATUS_TOO_LARGE);
  assert_int_equal(quantity_parse_duration_ms("99999999999999999999 days", &value), STATUS_INVALID);
  assert_int_equal(quantity_parse_number("12x", &value), STATUS_INVALID);
  assert_int_equal(quantity_parse_number("", &value), STATUS_INVALID);
  assert_int_equal(quantity_parse_number("99999999999999999999", &value), STATUS_TOO_LARGE);
}

static void quantity_reads_times(void **state) {
  (void)state;
  int64_t value = 0;
  assert_true(quantity_parse_time_ms("1970-01-01", 0, &value) == STATUS_OK && value == 0);
  assert_true(quantity_parse_time_ms("2024-05-01T10:00:00Z", 0, &value) == STATUS_OK && value == 1714557600000);
  assert_true(quantity_parse_time_ms("2024-05-01T10:00", 0, &value) == STATUS_OK && value == 1714557600000);
  assert_true(quantity_parse_time_ms("2024-05-01T12:00:00.250+02:00", 0, &value) == STATUS_OK && value == 1714557600250);
  assert_true(quantity_parse_time_ms("2000-02-29 23:59:59", 0, &value) == STATUS_OK && value == 951868799000);
  assert_true(quantity_parse_time_ms("-15m", 1000000, &value) == STATUS_OK && value == 100000);
  assert_true(quantity_parse_time_ms("1714557600000", 0, &value) == STATUS_OK && value == 1714557600000);
  assert_int_equal(quantity_parse_time_ms("2024-13-01", 0, &value), STATUS_INVALID);
  assert_int_equal(quantity_parse_time_ms("2024-02-30", 0, &value), STATUS_INVALID);
  assert_int_equal(quantity_parse_time_ms("2023-02-29", 0, &value), STATUS_INVALID);
  assert_int_equal(quantity_parse_time_ms("1900-02-29", 0, &value), STATUS_INVALID);
  assert_int_equal(quantity_parse_time_ms("2024-04-31", 0, &value), STATUS_INVALID);
  assert_int_equal(quantity_parse_time_ms("2024-02-29", 0, &value), STATUS_OK);
  assert_int_equal(quantity_parse_time_ms("2024-05-01T25:00", 0, &value), STATUS_INVALID);
  assert_int_equal(quantity_parse_time_ms("yesterday", 0, &value), STATUS_INVALID);
}

static void quantity_prints_what_it_reads(void **state) {
  (void)state;
  char text[40];
  for (int64_t time_ms = -5000000000000; time_ms < 5000000000000; time_ms += 86399999777) {
    int64_t value = 0;
    assert_int_equal(quantity_parse_time_ms(quantity_format_time(text, sizeof text, time_ms), 0, &value), STATUS_OK);
    assert_int_equal(value, time_ms);
  }
  assert_string_equal(quantity_format_bytes(text, sizeof text, 1536), "1.5 KiB");
  assert_string_equal(quantity_format_bytes(text, sizeof text, 12), "12 B");
  assert_string_equal(quantity_format_duration(text, sizeof text, 604800000), "7d");
  assert_string_equal(quantity_format_duration(text, sizeof text, 5400000), "90m");
}

/* ---- Positions ---- */

static void expect_position(const char *text, enum cairn_position_kind kind, int64_t value) {
  struct cairn_position position = {0};
  assert_int_equal(position_parse(text, 1000000, &position), STATUS_OK);
  assert_int_equal(position.kind, kind);
  assert_int_equal(position.value, value);
}

static void position_reads_all_its_forms(void **state) {
  (void)state;
  expect_position("start", CAIRN_AT_START, 0);
  expect_position("end", CAIRN_AT_END, 0);
  expect_position("42", CAIRN_AT_OFFSET, 42);
  expect_position("-10", CAIRN_BEFORE_END, 10);
  expect_position("-0", CAIRN_BEFORE_END, 0);
  expect_position("@-1s", CAIRN_AT_TIME, 999000);
  expect_position("@2024-05-01", CAIRN_AT_TIME, 1714521600000);
  struct cairn_position position;
  assert_int_equal(position_parse("middle", 0, &position), STATUS_INVALID);
  assert_int_equal(position_parse("@", 0, &position), STATUS_INVALID);
  assert_int_equal(position_parse("1.5", 0, &position), STATUS_INVALID);
  assert_int_equal(position_parse("99999999999999999999", 0, &position), STATUS_TOO_LARGE);
}

/* ---- The format language ---- */

/* What is written comes out of a pipe. */
static void expect_written(const char *format_text, const struct cairn_record *record, const char *expected) {
  int fds[2];
  assert_int_equal(pipe(fds), 0);
  struct output *output = output_new(fds[1]);
  if (format_text == NULL) {
    format_write_json(record, output);
  } else {
    const char *why = NULL;
    size_t at = 0;
    struct format *format = format_new(format_text, &why, &at);
    assert_non_null(format);
    format_write(format, record, output);
    format_free(format);
  }
  output_free(output);
  close(fds[1]);
  char text[512];
  ssize_t size = read(fds[0], text, sizeof text - 1);
  close(fds[0]);
  assert_true(size >= 0);
  text[size] = '\0';
  assert_string_equal(text, expected);
}

static void format_knows_every_letter(void **state) {
  (void)state;
  const struct cairn_header headers[] = {{{"a", 1}, {"1", 1}}, {{"b", 1}, {"2", 1}}};
  const struct cairn_record record = {.topic = "orders",
                                      .partition = 3,
                                      .offset = 17,
                                      .timestamp_ms = 99,
                                      .key = {"k", 1},
                                      .value = {"some value", 10},
                                      .headers = headers,
                                      .header_count = 2};
  expect_written("%t %p %o %k %K %v|%s %S %T %h %%", &record, "orders 3 17 k 1 some value|some value 10 99 a=1,b=2 %");
  expect_written("\\n\\t\\r\\\\\\x41\\x7a|", &record, "\n\t\r\\Az|");
  const struct cairn_record empty = {.topic = "t"};
  expect_written("[%k][%K][%v][%S][%h]", &empty, "[][-1][][-1][]");
  expect_written("%R", &empty, "\xff\xff\xff\xff");
  const struct cairn_record large = {.topic = "t", .value = {"only the size is looked at", 0x01020304}};
  expect_written("%R", &large, "\x01\x02\x03\x04");
}

static void format_says_where_it_is_wrong(void **state) {
  (void)state;
  const char *why = NULL;
  size_t at = 0;
  assert_null(format_new("ab%q", &why, &at));
  assert_int_equal(at, 2);
  assert_null(format_new("%", &why, &at));
  assert_null(format_new("\\x4", &why, &at));
  assert_null(format_new("\\q", &why, &at));
  assert_non_null(why);
}

static void format_writes_json_for_any_bytes(void **state) {
  (void)state;
  const struct cairn_record record = {.topic = "t", .offset = 5, .key = {"q\"\\\n\x01", 5}, .value = {"\xff\xfe", 2}};
  expect_written(NULL, &record,
                 "{\"topic\":\"t\",\"partition\":0,\"offset\":5,\"timestamp_ms\":0,\"key\":\"q\\\"\\\\\\n\\u0001\","
                 "\"value\":{\"base64\":\"//4=\"},\"headers\":[]}\n");
  const struct cairn_record absent = {.topic = "t", .value = {"", 0}};
  expect_written(
      NULL, &absent,
      "{\"topic\":\"t\",\"partition\":0,\"offset\":0,\"timestamp_ms\":0,\"key\":null,\"value\":\"\",\"headers\":[]}\n");
}

/* ---- Lines ---- */

static void expect_line(struct input *input, const char *expected) {
  struct bytes line;
  enum status status = input_next_line(input, &line);
  while (status == STATUS_END) {
    enum status filled = input_fill(input, -1);
    assert_true(filled == STATUS_OK);
    status = input_next_line(input, &line);
  }
  assert_true(bytes_equal(line, bytes_of_string(expected)));
}

static void input_gives_empty_lines_and_a_last_one_without_newline(void **state) {
  (void)state;
  char path[] = "/tmp/cairn_input_XXXXXX";
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, "one\n\ntwo\nlast", 13), 13);
  close(fd);
  struct input *input = NULL;
  assert_int_equal(input_open(path, &input), STATUS_OK);
  assert_int_equal(input_bytes_total(input), 13);
  expect_line(input, "one");
  expect_line(input, "");
  expect_line(input, "two");
  expect_line(input, "last");
  struct bytes line;
  assert_int_equal(input_next_line(input, &line), STATUS_END);
  assert_int_equal(input_fill(input, -1), STATUS_END);
  input_close(input);
  unlink(path);
  assert_int_equal(input_open("/nowhere/at/all", &input), STATUS_NOT_FOUND);
}

static void input_joins_lines_across_pieces(void **state) {
  (void)state;
  char path[] = "/tmp/cairn_input_XXXXXX";
  int fd = mkstemp(path);
  assert_true(fd >= 0);
  const size_t sizes[] = {700000, 1500000, 3, 3900000};
  uint8_t *data = memory_new(4000000);
  memset(data, 'z', 4000000);
  for (unsigned i = 0; i < 4; i++) {
    assert_int_equal(write(fd, data, sizes[i]), sizes[i]);
    assert_int_equal(write(fd, "\n", 1), 1);
  }
  close(fd);
  struct input *input = NULL;
  assert_int_equal(input_open(path, &input), STATUS_OK);
  struct bytes line;
  for (unsigned i = 0; i < 4; i++) {
    while (input_next_line(input, &line) == STATUS_END) assert_int_equal(input_fill(input, -1), STATUS_OK);
    assert_int_equal(line.size, sizes[i]);
    assert_memory_equal(line.data, data, line.size);
  }
  memory_free(data);
  input_close(input);
  unlink(path);
}

/* ---- Percentiles ---- */

static void histogram_is_close_to_the_truth(void **state) {
  (void)state;
  struct histogram *histogram = NEW(struct histogram);
  for (uint64_t i = 1; i <= 100000; i++) histogram_add(histogram, i * 1000);
  uint64_t p50 = histogram_at(histogram, 0.5);
  uint64_t p99 = histogram_at(histogram, 0.99);
  assert_true(p50 >= 50000000 && p50 <= 50000000 * 1.02);
  assert_true(p99 >= 99000000 && p99 <= 99000000 * 1.02);
  assert_int_equal(histogram_at(histogram, 1.0), 100000000);
  histogram_add(histogram, UINT64_MAX);
  assert_true(histogram->max == UINT64_MAX);
  memory_free(histogram);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(quantity_reads_sizes_and_durations),
      cmocka_unit_test(quantity_reads_times),
      cmocka_unit_test(quantity_prints_what_it_reads),
      cmocka_unit_test(position_reads_all_its_forms),
      cmocka_unit_test(format_knows_every_letter),
      cmocka_unit_test(format_says_where_it_is_wrong),
      cmocka_unit_test(format_writes_json_for_any_bytes),
      cmocka_unit_test(input_gives_empty_lines_and_a_last_one_without_newline),
      cmocka_unit_test(input_joins_lines_across_pieces),
      cmocka_unit_test(histogram_is_close_to_the_truth),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
