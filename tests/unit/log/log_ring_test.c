/* The ring behind a set of logs: what is flushed or carried so that its files come free, and when a round of that is over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/list.h"
#include "log/checkpoint.h"
#include "tests/unit/log/log_hand.h"

/* ---- Rounds ---- */

static void streaming_flushes_by_itself_and_recycles(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, 1, 16u << 20);
  fixture_create(fixture, 2, 16u << 20);
  fixture_append(fixture, 2, 10, 100, true);

  for (int i = 0; i < 40; i++) fixture_append(fixture, 1, 64, 60000, true);

  assert_true(fixture_view(fixture, 1).flushed_index > 1000);
  assert_true(journal_usage(log_set_journal(fixture->set)).oldest_file > 1);
  assert_int_equal(fixture_read_all(fixture, 1, 0, 1u << 20, 60000), 2560);
  assert_int_equal(fixture_read_all(fixture, 2, 0, 1u << 20, 100), 10);
  fixture_reopen(fixture, false);
  fixture_commit_all(fixture, 1);
  fixture_commit_all(fixture, 2);
  assert_int_equal(fixture_read_all(fixture, 1, 0, 1u << 20, 60000), 2560);
  assert_int_equal(fixture_read_all(fixture, 2, 0, 1u << 20, 100), 10);
}

/* The lane hears of a round's end although nothing happens on it: appends that wait for room, so that there are none, wait for just that.
 * When it hears of the beginning depends on where its tick stands, so the beginning is tried all along it. */
static void quiet_lane_hears_soon_that_a_round_is_over(void **state) {
  struct fixture *fixture = *state;
  fixture->options.checkpoint_interval_ms = 60000;
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, 1, 1u << 20);
  uint64_t shortest_ns = UINT64_MAX;

  for (unsigned wait_ms = 0; wait_ms < 22; wait_ms++) {
    fixture_append(fixture, 1, 1, 1000, true);
    usleep(wait_ms * 1000);
    uint64_t begin_ns = world_now_ns(fixture->world);
    fixture_checkpoint(fixture);
    uint64_t took_ns = world_now_ns(fixture->world) - begin_ns;
    if (took_ns < shortest_ns) shortest_ns = took_ns;
  }

  print_message("the shortest round took %llu us\n", (unsigned long long)shortest_ns / 1000u);
  assert_true(shortest_ns < 18000000u);
}

/* The stop comes upon a round, ends it and begins the last one, while the frame of the first is still on its way. */
static void a_stop_in_the_middle_of_a_round_ends(void **state) {
  struct fixture *fixture = *state;
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, 1, 1u << 20);
  for (int i = 0; i < 5; i++) {
    fixture_append(fixture, 1, 10, 20000, true);
    atomic_store(&fixture->fault.journal_write_ms, 100);
    log_set_checkpoint(fixture->set, NULL, NULL);
    usleep(2000); /* it has asked the lanes; their next look comes later */
    alarm(30);    /* it would never have ended */

    fixture_close(fixture, true);

    alarm(0);
    atomic_store(&fixture->fault.journal_write_ms, 0);
    assert_int_equal(fixture_open(fixture), STATUS_OK);
    assert_int_equal(fixture_read_all(fixture, 1, 0, 1 << 20, 20000), 10 * (i + 1));
  }
}

/* ---- A small ring ---- */

static void make_ring_small(struct fixture *fixture) {
  fixture->options.journal.file_bytes = 256u << 10;
  fixture->options.journal.ring_bytes = 6 * (256u << 10);
}

static size_t count_journal_files(const struct fixture *fixture) {
  static char names[64][64];
  return fixture_list(fixture, "journal", names, 64);
}

static void append_when_there_is_room(struct fixture *fixture, group_id group, size_t size) {
  unsigned tries = 0;
  while (log_set_admit(fixture->set, size) != STATUS_OK) {
    assert_true(++tries < 1000);
    usleep(10000);
  }
  log_set_admit_undo(fixture->set, size);
  fixture_append(fixture, group, 1, size, true);
}

/* Of logs 1 to `count`, whose entries are of this size. */
static uint64_t unflushed_bytes(struct fixture *fixture, group_id count, uint64_t size) {
  uint64_t bytes = 0;
  for (group_id group = 1; group <= count; group++) {
    struct log_view view = fixture_view(fixture, group);
    bytes += (view.last_index - view.flushed_index) * size;
  }
  return bytes;
}

/* Many small tails: together they are more than the ring has room for, each for itself is not worth a segment. */
static void small_tails_do_not_chase_each_other_round_the_ring(void **state) {
  struct fixture *fixture = *state;
  make_ring_small(fixture);
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create_many(fixture, 1, 16);

  uint64_t most = 0, least = UINT64_MAX; /* of what stays in the journal, once that was too much */
  uint64_t may_stay = fixture->options.journal.ring_bytes / CHECKPOINT_STAY_SHARE;
  for (int round = 0; round < 60; round++) {
    for (group_id group = 1; group <= 16; group++) append_when_there_is_room(fixture, group, 3000);
    uint64_t staying = unflushed_bytes(fixture, 16, 3000);
    if (staying > most) most = staying;
    if (most > may_stay && staying < least) least = staying;
  }

  assert_true(most > may_stay);
  assert_true(least > may_stay / 4); /* no more is flushed than has to be */
}

/* A start finds nothing to flush for the logs of one lane, and nobody speaks to them: they need no file of the journal. */
static void a_lane_on_which_nothing_happens_does_not_hold_the_journal(void **state) {
  struct fixture *fixture = *state;
  make_ring_small(fixture);
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  for (group_id group = 1; group <= 2; group++) {
    fixture_create(fixture, group, 1u << 20);
    fixture_append(fixture, group, 5, 1000, true);
  }
  fixture_reopen(fixture, true);

  for (int i = 0; i < 200; i++) append_when_there_is_room(fixture, 1, 20000);
}

static uint64_t oldest_file(const struct fixture *fixture) { return journal_usage(log_set_journal(fixture->set)).oldest_file; }
static uint64_t current_file(const struct fixture *fixture) { return journal_usage(log_set_journal(fixture->set)).current_file; }

/* While it is on its way nobody can tell in which file an entry is going to be. Once that is known, an older one is not kept for it. */
static void an_entry_that_has_come_to_rest_holds_the_file_that_it_is_in(void **state) {
  struct fixture *fixture = *state;
  make_ring_small(fixture);
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  for (group_id group = 1; group <= 2; group++) fixture_create(fixture, group, 1u << 20);
  fixture_append(fixture, 1, 3, 1000, true);
  struct hand hand;
  hand_init(&hand, fixture, 1);
  hand_append(&hand, &(struct hand_entry){.size = 1000});
  uint64_t first = current_file(fixture);
  while (current_file(fixture) < first + 2) append_when_there_is_room(fixture, 2, 20000);
  fixture_checkpoint(fixture);
  assert_int_equal(oldest_file(fixture), first);

  hand_submit(&hand);
  hand_deinit(&hand);

  for (unsigned i = 0; oldest_file(fixture) == first; i++) {
    assert_true(i < 20); /* nothing can be flushed: these rounds have nothing but that to find out */
    fixture_checkpoint(fixture);
  }
}

/* What nobody knows to be committed cannot be flushed, and what is less than a segment is worth is not: each start carries it, and after many
 * starts there is still one copy of it. */
static void start_after_start_leaves_one_copy(void **state) {
  struct fixture *fixture = *state;
  make_ring_small(fixture);
  for (group_id group = 1; group <= 2; group++) {
    bool committed = group == 1;
    assert_int_equal(fixture_open(fixture), STATUS_OK);
    fixture_create(fixture, group, 1u << 20);
    if (committed) fixture_append(fixture, group, 3, 20000, true);
    else fixture_append(fixture, group, 25, 20000, false);
    size_t last = fixture_view(fixture, group).last_index;
    for (int start = 0; start < 20; start++) {
      fixture_reopen(fixture, false);
      assert_int_equal(fixture_view(fixture, group).last_index, last);
      assert_in_range(count_journal_files(fixture), 1, 6);
    }
    assert_int_equal(log_set_admit(fixture->set, 100000), STATUS_OK);
    log_set_admit_undo(fixture->set, 100000);
    fixture_commit_all(fixture, group);
    assert_int_equal(fixture_read_all(fixture, group, 0, 1u << 20, 20000), last);
    fixture_close(fixture, true);
  }
}

struct ballot {
  struct fixture *fixture;
  struct journal_write write;
  entry_term term;
  atomic_bool answered;
};

static void ballot_answered(struct task *task) {
  struct ballot *ballot = container_of(container_of(task, struct journal_write, done), struct ballot, write);
  atomic_store(&ballot->answered, true);
}

static void cast_ballot(void *context) {
  struct ballot *ballot = context;
  struct fixture *fixture = ballot->fixture;
  journal_write_init(&ballot->write, fixture->lanes[1], ballot_answered);
  log_set_hard_state(fixture->logs[1], &ballot->write, &(struct hard_state){.term = ballot->term, .vote = 1});
  journal_submit(log_set_journal(fixture->set), &ballot->write);
}

/* One election after the other, and each changes a row: what is not committed pins the oldest file all the while, and goes to the head. */
static void elections_without_end_do_not_fill_the_ring(void **state) {
  struct fixture *fixture = *state;
  make_ring_small(fixture);
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, 1, 1u << 20);
  fixture_append(fixture, 1, 20, 5000, false);
  for (entry_term term = 2; term < 1500; term++) {
    struct ballot ballot = {.fixture = fixture, .term = term};
    fixture_run(fixture, 1, cast_ballot, &ballot);
    for (unsigned i = 0; !atomic_load(&ballot.answered); i++) {
      assert_true(i < 100000);
      usleep(100);
    }
    assert_int_equal(ballot.write.status, STATUS_OK);
    journal_write_deinit(&ballot.write);
  }
  /* They took 24 files. A machine with no time for checkpoints may have to go beyond the ring's 6: a vote is always written. */
  assert_in_range(count_journal_files(fixture), 1, 12);
  fixture_reopen(fixture, false);
  assert_int_equal(fixture_view(fixture, 1).last_index, 20);
  assert_int_equal(fixture_view(fixture, 1).hard_state.term, 1499);
  fixture_commit_all(fixture, 1);
  assert_int_equal(fixture_read_all(fixture, 1, 0, 1u << 20, 5000), 20);
}

/* ---- The state of group 0 ---- */

static enum status give_state(void *context, struct buffer *out) {
  (void)context;
  return buffer_append_string(out, "state");
}
static void own(void *context) { log_set_owner(context, &(struct log_owner){.snapshot = give_state}); }

static entry_index recovered_applied(const struct fixture *fixture, group_id group) {
  entry_index applied = 0;
  (void)log_recovered_state(fixture->logs[group], &applied);
  return applied;
}

/* Groups 0 and 2 have three small entries each, and the ring goes round. */
static void open_with_small_tails(struct fixture *fixture) {
  make_ring_small(fixture);
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  for (group_id group = 0; group <= 2; group++) fixture_create(fixture, group, 1u << 20);
  for (group_id group = 0; group <= 2; group += 2) {
    fixture_run(fixture, group, own, fixture->logs[group]);
    fixture_append(fixture, group, 3, 100, true);
  }
  for (int i = 0; i < 100; i++) append_when_there_is_room(fixture, 1, 20000);
}

/* Its entries are in the ring, in one copy, for a tail so small is not worth a segment. What they come to is in the store. */
static void the_state_of_group_0_is_stored_as_soon_as_it_changed(void **state) {
  struct fixture *fixture = *state;
  open_with_small_tails(fixture);

  assert_int_equal(fixture_view(fixture, 0).flushed_index, 0);
  assert_int_equal(fixture_view(fixture, 0).stored_index, 3);
  assert_int_equal(fixture_view(fixture, 2).flushed_index, 0);
  assert_int_equal(fixture_view(fixture, 2).stored_index, 0); /* of others there are too many, and they say more */
  fixture_close(fixture, false);
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  assert_int_equal(recovered_applied(fixture, 0), 3);
  assert_int_equal(fixture_view(fixture, 0).last_index, 3);
}

static void wipe_journal(const struct fixture *fixture) {
  char names[64][64];
  size_t count = fixture_list(fixture, "journal", names, 64);
  for (size_t i = 0; i < count; i++) {
    for (long at = 4096; at < (long)fixture->options.journal.file_bytes; at += 4096) {
      char path[128];
      snprintf(path, sizeof path, "journal/%s", names[i]);
      fixture_flip(fixture, path, at);
    }
  }
}

static void the_state_of_group_0_outlives_its_entries(void **state) {
  struct fixture *fixture = *state;
  open_with_small_tails(fixture);
  fixture_close(fixture, false);

  wipe_journal(fixture);
  assert_int_equal(fixture_open(fixture), STATUS_OK);

  assert_int_equal(fixture_view(fixture, 0).last_index, 0);
  assert_int_equal(recovered_applied(fixture, 0), 3);
  assert_true(fixture_view(fixture, 0).damaged);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(streaming_flushes_by_itself_and_recycles),
      TEST(quiet_lane_hears_soon_that_a_round_is_over),
      TEST(a_stop_in_the_middle_of_a_round_ends),
      TEST(small_tails_do_not_chase_each_other_round_the_ring),
      TEST(a_lane_on_which_nothing_happens_does_not_hold_the_journal),
      TEST(an_entry_that_has_come_to_rest_holds_the_file_that_it_is_in),
      TEST(start_after_start_leaves_one_copy),
      TEST(elections_without_end_do_not_fill_the_ring),
      TEST(the_state_of_group_0_is_stored_as_soon_as_it_changed),
      TEST(the_state_of_group_0_outlives_its_entries),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
