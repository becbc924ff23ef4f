#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "log/tables.h"

static void a_group_row_comes_back(void **state) {
  (void)state;
  struct log_term_run terms[] = {{.first = 1, .term = 1}, {.first = 40, .term = 3}};
  struct group_row row = {.group = 7,
                          .instance = 2,
                          .damaged = true,
                          .settings = {.segment_bytes = 1, .retention_bytes = -1, .retention_ms = 5},
                          .hard_state = {.term = 3, .vote = 4, .commit = 50},
                          .start_offset = 11,
                          .start_index = 12,
                          .start_chain = 13,
                          .flushed_index = 45,
                          .flushed_offset = 46,
                          .flushed_chain = 47,
                          .leader_time_ms = -1,
                          .max_time_ms = 49,
                          .terms = terms,
                          .term_count = 2};
  struct buffer value;
  buffer_init(&value, 4096);
  assert_int_equal(group_row_encode(&row, &value), STATUS_OK);

  struct table_key key = table_key_group(7, 2);
  struct group_row back;
  assert_int_equal(group_row_decode(table_key_bytes(&key), buffer_bytes(&value), &back), STATUS_OK);

  assert_int_equal(back.group, 7);
  assert_true(back.damaged);
  assert_false(back.closed);
  assert_int_equal(back.settings.retention_bytes, -1);
  assert_int_equal(back.hard_state.vote, 4);
  assert_int_equal(back.flushed_chain, 47);
  assert_int_equal(back.term_count, 2);
  assert_int_equal(back.terms[1].term, 3);
  group_row_deinit(&back);
  for (size_t size = 0; size < value.size; size++) {
    assert_int_not_equal(group_row_decode(table_key_bytes(&key), bytes_of(value.data, size), &back), STATUS_OK);
  }
  value.data[0] = 9;
  assert_int_equal(group_row_decode(table_key_bytes(&key), buffer_bytes(&value), &back), STATUS_FOREIGN);
  buffer_deinit(&value);
}

static void segment_and_index_rows_come_back(void **state) {
  (void)state;
  struct segment_info info = {.first_index = 1,
                              .last_index = 2,
                              .first_offset = 3,
                              .end_offset = 4,
                              .length = 8192,
                              .previous_chain = 6,
                              .last_chain = 7,
                              .last_term = 8,
                              .max_time_ms = 9,
                              .leader_time_ms = 10,
                              .chained = true,
                              .sealed = true};
  struct buffer value;
  buffer_init(&value, 4096);
  assert_int_equal(segment_row_encode(&info, &value), STATUS_OK);
  struct segment_info info_back;
  assert_int_equal(segment_row_decode(buffer_bytes(&value), &info_back), STATUS_OK);
  assert_int_equal(info_back.length, 8192);
  assert_true(info_back.sealed && info_back.chained && !info_back.dropped);

  struct index_row row = {.segment = 1, .position = 4096, .index = 2, .offset = 3, .previous_chain = 4, .time_before_ms = 5};
  buffer_reset(&value);
  assert_int_equal(index_row_encode(&row, &value), STATUS_OK);
  struct table_key key = table_key_index(7, 2, 3);
  struct index_row back;
  assert_int_equal(index_row_decode(table_key_bytes(&key), buffer_bytes(&value), &back), STATUS_OK);
  assert_int_equal(back.offset, 3);
  assert_int_equal(back.time_before_ms, 5);
  buffer_deinit(&value);
}

static void keys_sort_like_numbers(void **state) {
  (void)state;
  struct table_key a = table_key_index(1, 1, 255);
  struct table_key b = table_key_index(1, 1, 256);
  struct table_key c = table_key_index(2, 1, 0);

  assert_true(bytes_compare(table_key_bytes(&a), table_key_bytes(&b)) < 0);
  assert_true(bytes_compare(table_key_bytes(&b), table_key_bytes(&c)) < 0);
}

static void changes_can_be_taken_back(void **state) {
  (void)state;
  struct table_changes changes;
  table_changes_init(&changes);
  for (int i = 0; i < 200; i++) table_changes_put(&changes, TABLE_GROUP, bytes_of(&i, sizeof i), bytes_of_string("value"));

  table_changes_truncate(&changes, 3);

  assert_int_equal(changes.count, 3);
  assert_int_equal(changes.changes[2].value.size, 5);
  table_changes_deinit(&changes);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_group_row_comes_back),
      cmocka_unit_test(segment_and_index_rows_come_back),
      cmocka_unit_test(keys_sort_like_numbers),
      cmocka_unit_test(changes_can_be_taken_back),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
