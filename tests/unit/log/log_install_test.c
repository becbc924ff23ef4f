/* A spare is filled beside the log in force, and takes its place by one frame. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/trace.h"
#include "log/inspect.h"
#include "tests/unit/log/log_hand.h"

#define GROUP 1u
#define BASE_INDEX 1000u
#define BASE_OFFSET 700
#define BASE_CHAIN 0x123456789abcdefu

static const struct log_base base = {
    .index = BASE_INDEX, .term = 4, .chain = BASE_CHAIN, .leader_time_ms = 5000, .next_offset = BASE_OFFSET, .max_time_ms = 6000};

static void drop_line(void *context, const char *line) {
  (void)context;
  (void)line;
}

/* A log of ten entries, in term 3 with a vote. */
static int set_up(void **state) {
  trace_set_sink(drop_line, NULL);
  struct fixture *fixture = fixture_new();
  assert_int_equal(fixture_open(fixture), STATUS_OK);
  fixture_create(fixture, GROUP, 1u << 20);
  fixture_append(fixture, GROUP, 10, 100, true);
  struct hand hand;
  hand_init(&hand, fixture, GROUP);
  hand_hard_state(&hand, &(struct hard_state){.term = 5, .vote = 2, .commit = 10});
  hand_submit(&hand);
  hand_deinit(&hand);
  *state = fixture;
  return 0;
}
static int tear_down(void **state) {
  fixture_free(*state);
  trace_set_sink(NULL, NULL);
  return 0;
}

static enum status give_state(void *context, struct buffer *out) {
  (void)context;
  return buffer_append_string(out, "the snapshot's");
}
static void own(void *context) { log_set_owner(context, &(struct log_owner){.snapshot = give_state}); }

static struct log_view view_of(struct fixture *fixture, struct log *log) {
  struct log *kept = fixture->logs[GROUP];
  fixture->logs[GROUP] = log;
  struct log_view view = fixture_view(fixture, GROUP);
  fixture->logs[GROUP] = kept;
  return view;
}

/* Appends to the spare, of terms that its base goes on to. */
static void fill(struct hand *hand, unsigned count) {
  for (unsigned i = 0; i < count; i++)
    hand_append(hand, &(struct hand_entry){.size = 3000, .fill = 7, .term = 5, .time_ms = 7000});
  hand_submit(hand);
  hand_commit_log(hand, view_of(hand->fixture, hand->log).last_index);
}

static void store_state(struct hand *hand) {
  fixture_run(hand->fixture, GROUP, own, hand->log);
  fixture_checkpoint(hand->fixture);
  struct log_view view = view_of(hand->fixture, hand->log);
  assert_int_equal(view.stored_index, view.last_index);
}

static void assert_old_in_force(struct fixture *fixture) {
  struct log_view view = fixture_view(fixture, GROUP);
  assert_int_equal(view.instance, 1);
  assert_int_equal(view.last_index, 10);
  assert_false(view.spare);
  assert_false(view.damaged);
}

static void assert_new_in_force(struct fixture *fixture, entry_index last) {
  struct log_view view = fixture_view(fixture, GROUP);
  entry_index applied = 0;
  struct bytes state = log_recovered_state(fixture->logs[GROUP], &applied);
  assert_int_equal(view.instance, 2);
  assert_false(view.spare);
  assert_false(view.damaged);
  assert_int_equal(view.start_index, BASE_INDEX + 1);
  assert_int_equal(view.start_offset, BASE_OFFSET);
  assert_int_equal(view.last_index, last);
  assert_int_equal(view.next_offset, BASE_OFFSET + (record_offset)(last - BASE_INDEX));
  assert_int_equal(view.commit_index, last);
  assert_int_equal(view.hard_state.term, 6);
  assert_int_equal(view.hard_state.vote, 3);
  assert_int_equal(applied, last);
  assert_int_equal(state.size, strlen("the snapshot's"));
  assert_null(log_spare(fixture->logs[GROUP]));
}

struct instances {
  size_t in_force;
  size_t spares;
};
static void count_instances(void *context, struct log *log) {
  struct instances *instances = context;
  struct log_view view = log_view(log);
  if (view.group == GROUP) *(view.spare ? &instances->spares : &instances->in_force) += 1;
}
static void assert_instances(struct fixture *fixture, size_t spares) {
  struct instances instances = {0};
  fixture_view(fixture, GROUP); /* the lane has met them all */
  log_set_each(fixture->set, count_instances, &instances);
  assert_int_equal(instances.in_force, 1);
  assert_int_equal(instances.spares, spares);
}

static void a_spare_begins_behind_its_base(void **state) {
  struct fixture *fixture = *state;
  struct hand hand;
  hand_init(&hand, fixture, GROUP);
  hand_create_at(&hand, &base);
  hand_submit(&hand);

  struct log_view view = view_of(fixture, hand.log);

  assert_true(view.spare);
  assert_int_equal(view.instance, 2);
  assert_int_equal(view.start_index, BASE_INDEX + 1);
  assert_int_equal(view.last_index, BASE_INDEX);
  assert_int_equal(view.last_term, 4);
  assert_true(view.last_chain == BASE_CHAIN);
  assert_int_equal(view.durable_index, BASE_INDEX);
  assert_int_equal(view.next_offset, BASE_OFFSET);
  assert_int_equal(view.last_leader_time_ms, 5000);
  assert_int_equal(view.max_time_ms, 6000);
  assert_int_equal(view.hard_state.term, 5);
  assert_int_equal(view.hard_state.vote, 2);
  assert_old_in_force(fixture);
  fill(&hand, 3);
  hand_cut(&hand, BASE_INDEX + 4);
  hand_submit(&hand);
  assert_int_equal(view_of(fixture, hand.log).last_index, BASE_INDEX + 3);
  hand_deinit(&hand);
}

static void install(struct fixture *fixture, struct hand *hand, unsigned entries) {
  hand_init(hand, fixture, GROUP);
  hand_create_at(hand, &base);
  fill(hand, entries);
  store_state(hand);
  struct hand vote; /* goes on while the spare is filled */
  hand_init(&vote, fixture, GROUP);
  hand_hard_state(&vote, &(struct hard_state){.term = 6, .vote = 3});
  hand_submit(&vote);
  hand_deinit(&vote);
}

static void a_filled_spare_takes_the_place(void **state) {
  struct fixture *fixture = *state;
  struct hand hand;
  install(fixture, &hand, 40);

  hand_replace(&hand);
  hand_submit(&hand);

  assert_false(view_of(fixture, hand.log).spare);
  fixture_reopen(fixture, false); /* the CLOSE frame is in the journal only */
  assert_new_in_force(fixture, BASE_INDEX + 40);
  assert_instances(fixture, 0);
  hand_deinit(&hand);
  hand_init(&hand, fixture, GROUP);
  hand_append(&hand, &(struct hand_entry){.size = 10});
  hand_submit(&hand);
  hand_commit(fixture, GROUP, BASE_INDEX + 41);
  fixture_checkpoint(fixture);
  fixture_reopen(fixture, true);
  assert_false(fixture_has(fixture, "p/1-1"));
  for (int start = 0; start < 3; start++) fixture_reopen(fixture, true); /* that the one before is closed is known for good */
  assert_int_equal(fixture_view(fixture, GROUP).instance, 2);
  assert_false(fixture_view(fixture, GROUP).spare);
  assert_int_equal(fixture_view(fixture, GROUP).last_index, BASE_INDEX + 41);
  struct log_fetch fetch = {.first = BASE_INDEX + 1, .last = BASE_INDEX + 41, .count_max = 100, .bytes_max = 1u << 20};
  hand_fetch(fixture, GROUP, &fetch);
  assert_int_equal(fetch.status, STATUS_OK);
  assert_int_equal(fetch.entries[0].head.index, BASE_INDEX + 1);
  assert_true(entry_chain(&fetch.entries[0].head, fetch.entries[0].payload.bytes, BASE_CHAIN) == fetch.entries[0].head.chain);
  log_fetch_reset(&fetch);
  hand_deinit(&hand);
}

static void until_the_close_is_durable_the_old_one_is_in_force(void **state) {
  struct fixture *fixture = *state;
  struct hand hand;
  install(fixture, &hand, 40);

  hand_replace(&hand); /* and never submitted */
  fixture_reopen(fixture, false);

  assert_old_in_force(fixture);
  assert_instances(fixture, 1);
  struct log *spare = log_spare(fixture->logs[GROUP]);
  assert_non_null(spare);
  assert_int_equal(view_of(fixture, spare).last_index, BASE_INDEX + 40);
  hand_deinit(&hand);
}

static void a_spare_is_filled_on_after_a_restart(void **state) {
  struct fixture *fixture = *state;
  struct hand hand;
  hand_init(&hand, fixture, GROUP);
  hand_create_at(&hand, &base);
  fill(&hand, 5);
  hand_deinit(&hand);
  for (int flushed = 0; flushed < 3; flushed++) {
    if (flushed == 1) fixture_checkpoint(fixture);
    fixture_reopen(fixture, flushed == 2);
    assert_old_in_force(fixture);
    assert_instances(fixture, 1);
    hand_init(&hand, fixture, GROUP);
    hand.log = log_spare(fixture->logs[GROUP]);
    assert_false(view_of(fixture, hand.log).damaged);
    assert_int_equal(view_of(fixture, hand.log).last_index, BASE_INDEX + 5 + 30u * (unsigned)flushed);
    fill(&hand, 30);
    if (flushed < 2) hand_deinit(&hand);
  }
  struct hand vote;
  hand_init(&vote, fixture, GROUP);
  hand_hard_state(&vote, &(struct hard_state){.term = 6, .vote = 3});
  hand_submit(&vote);
  hand_deinit(&vote);

  store_state(&hand);
  hand_replace(&hand);
  hand_submit(&hand);
  hand_deinit(&hand);
  fixture_reopen(fixture, false);

  assert_new_in_force(fixture, BASE_INDEX + 95);
}

/* Nothing is left but the state: all was trimmed. */
static void a_snapshot_without_entries_is_installed_too(void **state) {
  struct fixture *fixture = *state;
  struct hand hand;
  install(fixture, &hand, 0);

  hand_replace(&hand);
  hand_submit(&hand);
  hand_deinit(&hand);
  fixture_reopen(fixture, false);

  assert_new_in_force(fixture, BASE_INDEX);
  fixture_reopen(fixture, true);
  assert_new_in_force(fixture, BASE_INDEX);
}

static void an_instance_is_never_used_again(void **state) {
  struct fixture *fixture = *state;
  for (instance_id expected = 2; expected < 6; expected++) {
    struct hand hand;
    hand_init(&hand, fixture, GROUP);
    hand_create_at(&hand, &base);
    hand_submit(&hand);
    assert_int_equal(view_of(fixture, hand.log).instance, expected);
    hand_delete(&hand);
    hand_submit(&hand);
    hand_deinit(&hand);
    assert_null(log_spare(fixture->logs[GROUP]));
    if (expected % 2 == 0) fixture_checkpoint(fixture);
    if (expected > 2) fixture_reopen(fixture, false);
    if (expected > 2) assert_instances(fixture, 0);
  }
  assert_old_in_force(fixture);
}

static void count_finding(void *context, const struct inspect_finding *finding) {
  (void)finding;
  ++*(size_t *)context;
}

static void a_spare_is_no_partition_and_no_finding(void **state) {
  struct fixture *fixture = *state;
  struct hand hand;
  install(fixture, &hand, 40);
  fixture_close(fixture, true);
  hand_deinit(&hand);

  struct inspect_report report;
  size_t findings = 0;
  enum status status = inspect_directory(fixture->world, count_finding, &findings, &report);

  assert_int_equal(status, STATUS_OK);
  assert_int_equal(findings, 0);
  assert_int_equal(report.logs, 1);
  assert_int_equal(report.spares, 1);
  assert_int_equal(report.entries, 50);
  assert_int_equal(fixture_open(fixture), STATUS_OK);
}

static void lose_store(struct fixture *fixture) {
  char path[512];
  fixture_path(fixture, "store.mdb", path, sizeof path);
  assert_int_equal(unlink(path), 0);
}

static void a_store_made_anew_knows_which_one_is_in_force(void **state) {
  struct fixture *fixture = *state;
  struct hand hand;
  install(fixture, &hand, 40);
  fixture_close(fixture, true);
  hand_deinit(&hand);
  lose_store(fixture);

  assert_int_equal(fixture_open(fixture), STATUS_OK);
  assert_true(fixture->report.store_rebuilt);
  assert_old_in_force(fixture);
  assert_instances(fixture, 1);
  hand_init(&hand, fixture, GROUP);
  hand.log = log_spare(fixture->logs[GROUP]);
  assert_non_null(hand.log);
  assert_int_equal(view_of(fixture, hand.log).last_index, BASE_INDEX + 40);
  hand_replace(&hand);
  hand_submit(&hand);
  fixture_close(fixture, true);
  hand_deinit(&hand);
  lose_store(fixture);

  assert_int_equal(fixture_open(fixture), STATUS_OK);
  assert_true(fixture->report.store_rebuilt);
  assert_new_in_force(fixture, BASE_INDEX + 40);
  assert_instances(fixture, 0);
}

int main(int argc, char **argv) {
  if (argc == 2) cmocka_set_test_filter(argv[1]);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_spare_begins_behind_its_base, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_filled_spare_takes_the_place, set_up, tear_down),
      cmocka_unit_test_setup_teardown(until_the_close_is_durable_the_old_one_is_in_force, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_spare_is_filled_on_after_a_restart, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_snapshot_without_entries_is_installed_too, set_up, tear_down),
      cmocka_unit_test_setup_teardown(an_instance_is_never_used_again, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_spare_is_no_partition_and_no_finding, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_store_made_anew_knows_which_one_is_in_force, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
