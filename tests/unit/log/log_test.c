/* A log as a replica among several needs it: entries that others sealed, cuts, and commits that its own disk does not have yet. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/codec.h"
#include "base/trace.h"
#include "tests/unit/log/log_hand.h"

#define GROUP 1u
#define MAP 0u /* group 0: its state is in each dump as soon as it changed */

static void drop_line(void *context, const char *line) {
  (void)context;
  (void)line;
}

static int set_up(void **state) {
  trace_set_sink(drop_line, NULL);
  struct fixture *fixture = fixture_new();
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, GROUP, 1u << 20);
  *state = fixture;
  return 0;
}
static int tear_down(void **state) {
  fixture_free(*state);
  trace_set_sink(NULL, NULL);
  return 0;
}

/* ---- Entries that others sealed ---- */

static void sealed_entries_stay_as_they_came(void **state) {
  struct fixture *fixture = *state;
  fixture_create(fixture, 3, 1u << 20);
  struct hand leader;
  struct hand follower;
  hand_init(&leader, fixture, GROUP);
  hand_init(&follower, fixture, 3);
  hand_append(&leader, &(struct hand_entry){.kind = ENTRY_NOOP, .term = 2, .time_ms = 700});
  hand_append(&leader, &(struct hand_entry){.size = 300, .fill = 1, .records = 5, .time_ms = 800});
  hand_append(&leader, &(struct hand_entry){.kind = ENTRY_CONFIG, .size = 40, .fill = 2});
  hand_append(&leader, &(struct hand_entry){.size = 2u << 20, .fill = 3, .term = 4, .records = 2});

  struct log_fetch fetch = {.first = 1, .last = 4, .count_max = 10, .bytes_max = 4u << 20};
  hand_fetch(fixture, GROUP, &fetch);
  assert_int_equal(fetch.count, 4);
  for (size_t i = 0; i < fetch.count; i++) hand_append_sealed(&follower, &fetch.entries[i]);
  log_fetch_reset(&fetch);
  hand_submit(&leader);
  hand_submit(&follower);

  struct log_view views[2] = {fixture_view(fixture, GROUP), fixture_view(fixture, 3)};
  assert_true(views[0].last_chain == views[1].last_chain);
  assert_int_equal(views[1].last_index, 4);
  assert_int_equal(views[1].durable_index, 4);
  assert_int_equal(views[1].last_term, 4);
  assert_int_equal(views[1].next_offset, 7);
  assert_int_equal(views[1].max_time_ms, 1000);
  hand_deinit(&leader);
  hand_deinit(&follower);
  fixture_reopen(fixture, false);
  struct log_view again = fixture_view(fixture, 3);
  assert_true(again.last_chain == views[0].last_chain);
  assert_false(again.damaged);
}

/* ---- Cuts ---- */

static void assert_same_end(const struct log_view *a, const struct log_view *b) {
  assert_int_equal(a->last_index, b->last_index);
  assert_int_equal(a->last_term, b->last_term);
  assert_true(a->last_chain == b->last_chain);
  assert_int_equal(a->next_offset, b->next_offset);
  assert_int_equal(a->last_leader_time_ms, b->last_leader_time_ms);
  assert_int_equal(a->max_time_ms, b->max_time_ms);
  assert_int_equal(a->bytes, b->bytes);
  assert_int_equal(a->durable_index, b->durable_index);
}

static void append_some(struct hand *hand) {
  for (unsigned i = 0; i < 20; i++) {
    hand_append(hand, &(struct hand_entry){.size = 100 + i, .fill = (uint8_t)i, .term = 5 + i / 8, .time_ms = 2000 + i});
  }
  hand_submit(hand);
}

static void a_cut_takes_everything_back(void **state) {
  struct fixture *fixture = *state;
  struct hand hand;
  hand_init(&hand, fixture, GROUP);
  for (unsigned i = 0; i < 4; i++) hand_append(&hand, &(struct hand_entry){.size = 5000, .term = 1 + i / 2, .time_ms = 1500 - i});
  hand_submit(&hand);
  struct log_view before = fixture_view(fixture, GROUP);

  append_some(&hand);
  hand_cut(&hand, 5);
  struct log_view cut = fixture_view(fixture, GROUP);
  hand_submit(&hand);

  assert_same_end(&cut, &before);
  append_some(&hand);
  hand_cut(&hand, 5);
  hand_submit(&hand);
  hand_deinit(&hand);
  fixture_reopen(fixture, false);
  struct log_view after = fixture_view(fixture, GROUP);
  assert_same_end(&after, &before);
  assert_false(after.damaged);
}

/* What is flushed may not be in any segment: it was trimmed before it came there. */
static void a_cut_down_to_what_is_flushed_takes_everything_back(void **state) {
  struct fixture *fixture = *state;
  struct hand hand;
  hand_init(&hand, fixture, GROUP);
  for (unsigned i = 0; i < 4; i++) hand_append(&hand, &(struct hand_entry){.size = 500, .time_ms = 1500 - i});
  hand_submit(&hand);
  hand_commit(fixture, GROUP, 4);
  fixture_set_start(fixture, GROUP, 4);
  fixture_checkpoint(fixture);
  struct log_view before = fixture_view(fixture, GROUP);
  assert_int_equal(before.flushed_index, 4);
  assert_int_equal(before.start_index, 5);

  append_some(&hand);
  hand_cut(&hand, 5);
  struct log_view cut = fixture_view(fixture, GROUP);
  hand_submit(&hand);
  hand_deinit(&hand);

  assert_same_end(&cut, &before);
  fixture_reopen(fixture, false);
  struct log_view after = fixture_view(fixture, GROUP);
  assert_same_end(&after, &before);
}

/* One disk has A; C cut it for B; then the leader with A came back. The frame of the first A says nothing about the second: a crash
 * could leave A, the cut and B. */
static void what_comes_back_is_durable_by_its_own_frame(void **state) {
  struct fixture *fixture = *state;
  struct hand first;
  struct hand second;
  hand_init(&first, fixture, GROUP);
  hand_init(&second, fixture, GROUP);
  hand_append(&first, &(struct hand_entry){.size = 100, .fill = 1, .term = 1});
  uint64_t chain = fixture_view(fixture, GROUP).last_chain;
  hand_cut(&second, 1);
  hand_append(&second, &(struct hand_entry){.size = 100, .fill = 2, .term = 2});
  hand_cut(&second, 1);
  hand_append(&second, &(struct hand_entry){.size = 100, .fill = 1, .term = 1});
  assert_true(fixture_view(fixture, GROUP).last_chain == chain);

  hand_submit(&first);
  hand_commit(fixture, GROUP, 1);

  assert_int_equal(fixture_view(fixture, GROUP).durable_index, 0);
  fixture_checkpoint(fixture);
  assert_int_equal(fixture_view(fixture, GROUP).flushed_index, 0); /* a crash could find A, the cut and B behind it */
  hand_submit(&second);
  assert_int_equal(fixture_view(fixture, GROUP).durable_index, 1);
  fixture_checkpoint(fixture);
  assert_int_equal(fixture_view(fixture, GROUP).flushed_index, 1);
  hand_deinit(&first);
  hand_deinit(&second);
}

/* ---- Commits that the disk does not have ---- */

static enum status give_state(void *context, struct buffer *out) {
  (void)context;
  return buffer_append_string(out, "state");
}
static void own(void *context) { log_set_owner(context, &(struct log_owner){.snapshot = give_state}); }

static entry_index recovered_applied(struct fixture *fixture, group_id group) {
  entry_index applied = 0;
  struct bytes state = log_recovered_state(fixture->logs[group], &applied);
  assert_true(applied == 0 || state.size == strlen("state"));
  return applied;
}

static void a_commit_ahead_of_the_disk_is_flushed_from_memory(void **state) {
  struct fixture *fixture = *state;
  fixture_run(fixture, GROUP, own, fixture->logs[GROUP]);
  struct hand durable;
  struct hand late;
  hand_init(&durable, fixture, GROUP);
  hand_init(&late, fixture, GROUP);
  hand_append(&durable, &(struct hand_entry){.size = 100, .records = 3});
  hand_submit(&durable);
  for (unsigned i = 0; i < 3; i++) hand_append(&late, &(struct hand_entry){.size = 100, .records = 2, .term = 2});
  hand_commit(fixture, GROUP, 4);
  hand_hard_state(&late, &(struct hard_state){.term = 2, .commit = 4});
  assert_int_equal(fixture_view(fixture, GROUP).durable_index, 1);
  assert_int_equal(fixture_view(fixture, GROUP).hard_state.commit, 1);

  fixture_checkpoint(fixture);

  struct log_view view = fixture_view(fixture, GROUP);
  assert_int_equal(view.flushed_index, 4);
  assert_int_equal(view.durable_index, 4);
  fixture_close(fixture, false); /* the late write never came */
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  view = fixture_view(fixture, GROUP);
  assert_int_equal(view.last_index, 4);
  assert_int_equal(view.commit_index, 4);
  assert_int_equal(view.next_offset, 9);
  assert_int_equal(recovered_applied(fixture, GROUP), 4);
  hand_deinit(&durable);
  hand_deinit(&late);
}

/* The start moved, and that alone has to be recorded: the state which covers it may not be ahead of the log. */
static void a_row_waits_for_what_its_state_covers(void **state) {
  struct fixture *fixture = *state;
  fixture_run(fixture, GROUP, own, fixture->logs[GROUP]);
  struct hand durable;
  struct hand late;
  hand_init(&durable, fixture, GROUP);
  hand_init(&late, fixture, GROUP);
  hand_append(&durable, &(struct hand_entry){.size = 100, .records = 3});
  hand_append(&durable, &(struct hand_entry){.size = 100, .records = 3});
  hand_submit(&durable);
  hand_append(&late, &(struct hand_entry){.size = 100, .records = 2});
  hand_commit(fixture, GROUP, 3);
  fixture_set_start(fixture, GROUP, 2);
  atomic_store(&fixture->fault.full, true);

  fixture_checkpoint(fixture);

  assert_int_equal(fixture_view(fixture, GROUP).flushed_index, 0);
  fixture_close(fixture, false);
  atomic_store(&fixture->fault.full, false);
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  struct log_view view = fixture_view(fixture, GROUP);
  assert_int_equal(view.last_index, 2);
  assert_true(recovered_applied(fixture, GROUP) <= 2);
  assert_int_equal(view.start_offset, 0);
  hand_deinit(&durable);
  hand_deinit(&late);
}

static void a_stored_commit_is_durable(void **state) {
  struct fixture *fixture = *state;
  struct hand hand;
  hand_init(&hand, fixture, GROUP);
  hand_append(&hand, &(struct hand_entry){.size = 10});
  hand_append(&hand, &(struct hand_entry){.size = 10});

  hand_hard_state(&hand, &(struct hard_state){.term = 3, .vote = 2, .commit = 2});
  struct log_view before = fixture_view(fixture, GROUP);
  hand_submit(&hand);
  hand_hard_state(&hand, &(struct hard_state){.term = 3, .vote = 2, .commit = 1});
  struct log_view after = fixture_view(fixture, GROUP);

  assert_int_equal(before.hard_state.commit, 0);
  assert_int_equal(before.hard_state.vote, 2);
  assert_int_equal(after.hard_state.commit, 1);
  hand_submit(&hand);
  hand_deinit(&hand);
}

/* ---- What is known from memory ---- */

struct known {
  struct log *log;
  entry_index index;
  uint64_t chain;
  bool found;
  struct log_term_run runs[8];
  size_t count;
};
static void find_chain(void *context) {
  struct known *known = context;
  known->found = log_chain_at(known->log, known->index, &known->chain);
}
static void find_terms(void *context) {
  struct known *known = context;
  known->count = log_terms(known->log, known->index, known->runs, 3);
}
static bool chain_at(struct fixture *fixture, entry_index index, uint64_t *out_chain) {
  struct known known = {.log = fixture->logs[GROUP], .index = index};
  fixture_run(fixture, GROUP, find_chain, &known);
  *out_chain = known.chain;
  return known.found;
}
static struct known terms_above(struct fixture *fixture, entry_index base) {
  struct known known = {.log = fixture->logs[GROUP], .index = base};
  fixture_run(fixture, GROUP, find_terms, &known);
  return known;
}

static void chain_links_are_known_from_memory(void **state) {
  struct fixture *fixture = *state;
  struct hand hand;
  uint64_t chains[31] = {0};
  uint64_t found = 0;
  hand_init(&hand, fixture, GROUP);
  for (unsigned i = 1; i <= 30; i++) {
    hand_append(&hand, &(struct hand_entry){.size = 60000, .fill = (uint8_t)i});
    chains[i] = fixture_view(fixture, GROUP).last_chain;
  }
  for (entry_index i = 0; i <= 30; i++) assert_true(chain_at(fixture, i, &found) && found == chains[i]);
  assert_false(chain_at(fixture, 31, &found));
  hand_submit(&hand);
  hand_commit(fixture, GROUP, 25);
  fixture_set_start(fixture, GROUP, 20);
  fixture_checkpoint(fixture);

  assert_int_equal(fixture_view(fixture, GROUP).flushed_index, 25);
  hand_deinit(&hand);
  fixture_reopen(fixture, false); /* memory of what is flushed is gone */

  struct log_view view = fixture_view(fixture, GROUP);
  assert_true(view.start_index > 1 && view.start_index < 25);
  assert_false(chain_at(fixture, view.start_index - 2, &found));
  assert_true(chain_at(fixture, view.start_index - 1, &found) && found == chains[view.start_index - 1]);
  assert_false(chain_at(fixture, 24, &found));
  for (entry_index i = 25; i <= 30; i++) assert_true(chain_at(fixture, i, &found) && found == chains[i]);
}

static void terms_are_told_from_a_base_on(void **state) {
  struct fixture *fixture = *state;
  struct hand hand;
  hand_init(&hand, fixture, GROUP);
  assert_int_equal(terms_above(fixture, 0).count, 0);
  static const entry_term terms[] = {1, 1, 1, 3, 3, 4, 7, 7};
  for (size_t i = 0; i < 8; i++) hand_append(&hand, &(struct hand_entry){.size = 10, .term = terms[i]});
  hand_submit(&hand);
  hand_deinit(&hand);

  struct known from_start = terms_above(fixture, 0);
  struct known within = terms_above(fixture, 4);
  struct known at_border = terms_above(fixture, 5);

  assert_int_equal(from_start.count, 4); /* of which three are filled in */
  assert_int_equal(from_start.runs[1].first, 4);
  assert_int_equal(from_start.runs[2].term, 4);
  assert_int_equal(from_start.runs[3].term, 0);
  assert_int_equal(within.count, 3);
  assert_int_equal(within.runs[0].first, 5);
  assert_int_equal(within.runs[0].term, 3);
  assert_int_equal(at_border.count, 2);
  assert_int_equal(at_border.runs[0].first, 6);
  assert_int_equal(at_border.runs[0].term, 4);
  assert_int_equal(terms_above(fixture, 8).count, 0);
}

/* ---- Replay ---- */

struct replaying {
  entry_index last;
  struct bytes config;
  uint8_t found[64];
};
static enum status visit(void *context, const struct entry *entry) {
  struct replaying *replaying = context;
  replaying->last = entry->head.index;
  if (entry->head.kind != ENTRY_CONFIG) return STATUS_OK;
  replaying->config.size = entry->payload.bytes.size;
  memcpy(replaying->found, entry->payload.bytes.data, entry->payload.bytes.size);
  return STATUS_OK;
}

static void a_configuration_is_told_before_it_is_committed(void **state) {
  struct fixture *fixture = *state;
  struct hand hand;
  hand_init(&hand, fixture, GROUP);
  hand_append(&hand, &(struct hand_entry){.size = 1000});
  hand_append(&hand, &(struct hand_entry){.kind = ENTRY_CONFIG, .size = 40, .fill = 9});
  hand_append(&hand, &(struct hand_entry){.size = 1000});
  hand_submit(&hand);
  hand_commit(fixture, GROUP, 1);
  hand_deinit(&hand);
  fixture_reopen(fixture, false);

  struct replaying replaying = {0};
  enum status status = log_replay(fixture->logs[GROUP], 0, 3, visit, &replaying); /* the lane does nothing yet */

  assert_int_equal(status, STATUS_OK);
  assert_int_equal(replaying.last, 3);
  assert_int_equal(replaying.config.size, 40);
  assert_int_equal(replaying.found[39], 9);
}

/* ---- Entries that a stored state stands for ---- */

struct keeping {
  struct log *log;
  uint64_t entries;
  uint64_t bytes;
};
static void keep_newest(void *context) {
  const struct keeping *keeping = context;
  log_keep_newest(keeping->log, keeping->entries, keeping->bytes);
}

/* The start that the disk knows after that. */
static entry_index kept_from(struct fixture *fixture, uint64_t entries, uint64_t bytes) {
  struct keeping keeping = {.log = fixture->logs[MAP], .entries = entries, .bytes = bytes};
  fixture_run(fixture, MAP, keep_newest, &keeping);
  fixture_checkpoint(fixture);
  return fixture_view(fixture, MAP).start_index;
}

static void append_commands(struct fixture *fixture, unsigned count) {
  struct hand hand;
  hand_init(&hand, fixture, MAP);
  for (unsigned i = 0; i < count; i++) hand_append(&hand, &(struct hand_entry){.kind = ENTRY_COMMAND, .size = 300000});
  hand_submit(&hand);
  hand_deinit(&hand);
  hand_commit(fixture, MAP, fixture_view(fixture, MAP).last_index);
}

/* Four of them fill a segment. */
static void what_a_stored_state_stands_for_goes_but_for_the_newest(void **state) {
  struct fixture *fixture = *state;
  fixture_create(fixture, MAP, 1u << 20);
  append_commands(fixture, 12);
  fixture_checkpoint(fixture);
  assert_int_equal(kept_from(fixture, 0, 0), 1); /* it has no state */
  fixture_run(fixture, MAP, own, fixture->logs[MAP]);
  append_commands(fixture, 4);
  assert_int_equal(kept_from(fixture, 0, 0), 1); /* none that was stored before it was asked for */

  assert_int_equal(kept_from(fixture, 9, UINT64_MAX), 5);
  assert_int_equal(kept_from(fixture, 100, UINT64_MAX), 5);
  assert_int_equal(kept_from(fixture, 100, 1u << 20), 13);

  char files[8][64];
  assert_int_equal(fixture_list(fixture, "p/0-1", files, 8), 1);
  fixture_reopen(fixture, false);
  assert_int_equal(fixture_view(fixture, MAP).start_index, 13);
  assert_int_equal(recovered_applied(fixture, MAP), 16);
}

static void what_went_is_below_the_start(void **state) {
  struct fixture *fixture = *state;
  fixture_create(fixture, MAP, 1u << 20);
  fixture_run(fixture, MAP, own, fixture->logs[MAP]);
  append_commands(fixture, 4);
  fixture_checkpoint(fixture);
  append_commands(fixture, 1);
  assert_int_equal(kept_from(fixture, 0, UINT64_MAX), 5); /* the one that came since is not covered yet */
  struct log_fetch fetch = {.first = 4, .last = 5, .count_max = 10, .bytes_max = 4u << 20};
  hand_fetch(fixture, MAP, &fetch);
  assert_int_equal(fetch.status, STATUS_BELOW_START);
  log_fetch_reset(&fetch);
}

int main(int argc, char **argv) {
  if (argc == 2) cmocka_set_test_filter(argv[1]);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(sealed_entries_stay_as_they_came, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_cut_takes_everything_back, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_cut_down_to_what_is_flushed_takes_everything_back, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_comes_back_is_durable_by_its_own_frame, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_commit_ahead_of_the_disk_is_flushed_from_memory, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_row_waits_for_what_its_state_covers, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_stored_commit_is_durable, set_up, tear_down),
      cmocka_unit_test_setup_teardown(chain_links_are_known_from_memory, set_up, tear_down),
      cmocka_unit_test_setup_teardown(terms_are_told_from_a_base_on, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_configuration_is_told_before_it_is_committed, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_a_stored_state_stands_for_goes_but_for_the_newest, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_went_is_below_the_start, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
