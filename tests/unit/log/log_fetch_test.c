/* Entries by index, from memory, journal and segments, of every kind, committed or not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/trace.h"
#include "tests/unit/log/log_hand.h"

#define GROUP 1u

static void drop_line(void *context, const char *line) {
  (void)context;
  (void)line;
}

static int set_up(void **state) {
  trace_set_sink(drop_line, NULL);
  struct fixture *fixture = fixture_new();
  fixture->options.tail_bytes = 1u << 20;
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, GROUP, 512u << 10);
  *state = fixture;
  return 0;
}
static int tear_down(void **state) {
  fixture_free(*state);
  trace_set_sink(NULL, NULL);
  return 0;
}

/* Of five entries four have records, one has a payload of another kind. */
static void append_mixed(struct fixture *fixture, size_t count, size_t size, entry_index commit) {
  struct hand hand;
  hand_init(&hand, fixture, GROUP);
  for (size_t i = 1; i <= count; i++) {
    bool other = i % 5 == 0;
    hand_append(&hand, &(struct hand_entry){.kind = other ? ENTRY_CONFIG : ENTRY_RECORDS,
                                            .size = other ? 30 : size,
                                            .fill = (uint8_t)i,
                                            .records = other ? 0 : 2,
                                            .term = 1 + i / 50});
    if (i % 16 == 0 || i == count) hand_submit(&hand);
  }
  hand_commit(fixture, GROUP, commit);
  hand_deinit(&hand);
}

/* Fetches from `first` to `last` in steps. Returns how many steps came from a file. */
static size_t fetch_all(struct fixture *fixture, entry_index first, entry_index last, size_t count_max, size_t bytes_max) {
  struct log_fetch fetch = {.count_max = count_max, .bytes_max = bytes_max};
  size_t cold = 0;
  uint64_t chain = 0;
  for (entry_index at = first; at <= last;) {
    fetch.first = at;
    fetch.last = last;
    hand_fetch(fixture, GROUP, &fetch);
    assert_int_equal(fetch.status, STATUS_OK);
    assert_true(fetch.count >= 1 && fetch.count <= count_max);
    size_t bytes = 0;
    for (size_t i = 0; i < fetch.count; i++, at++) {
      const struct entry *entry = &fetch.entries[i];
      assert_int_equal(entry->head.index, at);
      assert_int_equal(entry_check_payload(&entry->head, entry->payload.bytes), STATUS_OK);
      assert_int_equal(entry->payload.bytes.data[0], (uint8_t)at);
      if (at > first) assert_true(entry_chain(&entry->head, entry->payload.bytes, chain) == entry->head.chain);
      chain = entry->head.chain;
      bytes += (size_t)entry_size(&entry->head);
    }
    assert_true(fetch.count == 1 || bytes <= bytes_max);
    cold += fetch.cold;
    log_fetch_reset(&fetch);
  }
  return cold;
}

static void what_is_in_memory_is_answered_at_once(void **state) {
  struct fixture *fixture = *state;
  append_mixed(fixture, 20, 1000, 7);

  assert_int_equal(fetch_all(fixture, 1, 20, 1024, 1u << 20), 0);
  assert_int_equal(fetch_all(fixture, 3, 20, 4, 1u << 20), 0);
  assert_int_equal(fetch_all(fixture, 3, 20, 1024, 1), 0);
  struct log_fetch fetch = {.first = 19, .last = 500, .count_max = 10, .bytes_max = 1u << 20};
  hand_fetch(fixture, GROUP, &fetch);
  assert_int_equal(fetch.count, 2);
  log_fetch_reset(&fetch);
}

static void what_left_memory_comes_from_the_journal(void **state) {
  struct fixture *fixture = *state;
  append_mixed(fixture, 100, 30000, 7); /* 2.4 MB of 1 MB that may stay */

  assert_int_equal(fixture_view(fixture, GROUP).flushed_index, 0);
  assert_true(fetch_all(fixture, 1, 100, 1024, 1u << 20) >= 2);
  assert_true(fetch_all(fixture, 2, 100, 7, 100000) >= 6);
}

static void what_is_flushed_comes_from_segments(void **state) {
  struct fixture *fixture = *state;
  append_mixed(fixture, 200, 10000, 180);
  fixture_checkpoint(fixture);
  assert_int_equal(fixture_view(fixture, GROUP).flushed_index, 180);
  fixture_reopen(fixture, false);

  char names[64][64];
  assert_true(fixture_list(fixture, "p/1-1", names, 64) >= 3);
  assert_true(fetch_all(fixture, 1, 200, 1024, 1u << 20) >= 4);
  assert_true(fetch_all(fixture, 77, 200, 10, 50000) >= 20);
  assert_true(fetch_all(fixture, 200, 200, 10, 1) == 1);
}

static void what_is_not_there_has_its_own_answers(void **state) {
  struct fixture *fixture = *state;
  append_mixed(fixture, 100, 10000, 100);
  fixture_checkpoint(fixture);
  fixture_set_start(fixture, GROUP, 120);
  fixture_checkpoint(fixture);
  entry_index start = fixture_view(fixture, GROUP).start_index;
  assert_true(start > 1);

  struct log_fetch fetch = {.first = start - 1, .last = 100, .count_max = 10, .bytes_max = 1000};
  hand_fetch(fixture, GROUP, &fetch);
  assert_int_equal(fetch.status, STATUS_BELOW_START);
  fetch.first = 101;
  fetch.last = 200;
  hand_fetch(fixture, GROUP, &fetch);
  assert_int_equal(fetch.status, STATUS_BEYOND_END);
  fetch_all(fixture, start, 100, 10, 50000);
}

static void damage_is_told_where_it_is(void **state) {
  struct fixture *fixture = *state;
  append_mixed(fixture, 40, 1000, 40);
  fixture_checkpoint(fixture);
  fixture_reopen(fixture, false);
  fixture_flip(fixture, "p/1-1/00000000000000000001.segment", 4096 + 10 * 1000);

  struct log_fetch fetch = {.first = 1, .last = 40, .count_max = 1024, .bytes_max = 1u << 20};
  hand_fetch(fixture, GROUP, &fetch);
  assert_int_equal(fetch.status, STATUS_OK);
  entry_index good = fetch.entries[fetch.count - 1].head.index;
  assert_true(good >= 8 && good < 12);
  log_fetch_reset(&fetch);

  fetch.first = good + 1;
  hand_fetch(fixture, GROUP, &fetch);
  assert_int_equal(fetch.status, STATUS_DAMAGED);
  assert_int_equal(fetch.count, 0);
}

/* ---- While it is fetched ---- */

struct race {
  struct fixture *fixture;
  struct log_fetch fetch;
  struct hand hand;
  bool at_once;
  atomic_bool done;
};
static void race_done(struct task *task) {
  struct log_fetch *fetch = container_of(task, struct log_fetch, done);
  atomic_store(&container_of(fetch, struct race, fetch)->done, true);
}

static void fetch_and_cut(void *context) {
  struct race *race = context;
  struct log *log = race->fixture->logs[GROUP];
  race->at_once = log_fetch(log, &race->fetch);
  log_cut(log, &race->hand.write, 5);
  struct entry other = {.head = {.kind = ENTRY_NOOP, .index = 5, .term = 9, .base_offset = log_view(log).next_offset}};
  log_append(log, &race->hand.write, &other);
}

static void wait_for(const struct race *race) {
  while (!atomic_load(&race->done)) usleep(100);
}

static void what_is_cut_while_it_is_fetched_is_not_told(void **state) {
  struct fixture *fixture = *state;
  append_mixed(fixture, 100, 30000, 4);
  struct race race = {.fixture = fixture,
                      .fetch = {.first = 5, .last = 20, .count_max = 10, .bytes_max = 1u << 20, .loop = fixture->lanes[1]}};
  race.fetch.done.run = race_done;
  hand_init(&race.hand, fixture, GROUP);

  fixture_run(fixture, GROUP, fetch_and_cut, &race);
  assert_false(race.at_once);
  wait_for(&race);

  assert_int_equal(race.fetch.status, STATUS_OK);
  assert_int_equal(race.fetch.count, 1);
  assert_int_equal(race.fetch.entries[0].head.term, 9);
  log_fetch_reset(&race.fetch);
  hand_submit(&race.hand);
  hand_deinit(&race.hand);
}

static void fetch_and_delete(void *context) {
  struct race *race = context;
  struct log *log = race->fixture->logs[GROUP];
  race->at_once = log_fetch(log, &race->fetch);
  log_delete(log, &race->hand.write);
}

static void a_log_that_is_deleted_answers(void **state) {
  struct fixture *fixture = *state;
  append_mixed(fixture, 100, 30000, 4);
  struct race race = {.fixture = fixture,
                      .fetch = {.first = 5, .last = 20, .count_max = 10, .bytes_max = 1u << 20, .loop = fixture->lanes[1]}};
  race.fetch.done.run = race_done;
  hand_init(&race.hand, fixture, GROUP);

  fixture_run(fixture, GROUP, fetch_and_delete, &race);
  assert_false(race.at_once);
  hand_submit(&race.hand);
  wait_for(&race);

  assert_int_equal(race.fetch.status, STATUS_NOT_FOUND);
  hand_deinit(&race.hand);
}

int main(int argc, char **argv) {
  if (argc == 2) cmocka_set_test_filter(argv[1]);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(what_is_in_memory_is_answered_at_once, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_left_memory_comes_from_the_journal, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_is_flushed_comes_from_segments, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_is_not_there_has_its_own_answers, set_up, tear_down),
      cmocka_unit_test_setup_teardown(damage_is_told_where_it_is, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_is_cut_while_it_is_fetched_is_not_told, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_log_that_is_deleted_answers, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
