/* A replica on a real log: what is answered when, what a restart finds, what is deleted. */
#include "replication/replica.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/replication/replica_rig.h"

#define BIG_BYTES ENTRY_PAYLOAD_MAX

/* ---- Answers ---- */

static void proposals_are_answered_once_in_order_after_they_were_applied(void **state) {
  struct rig *rig = *state;
  stage_on_lane(&rig->stage, rig_ask_many_in_one_turn, rig);
  for (int i = 0; i < 20; i++) rig_ask(rig, 1 + (group_id)i % 2, 100);

  rig_wait_for_answers(rig);

  rig_assert_each_answered_once(rig, STATUS_OK);
  for (size_t i = 0; i < rig->ask_count; i++) {
    assert_true(rig->asks[i].applied_before);
    if (i >= 2) assert_true(rig->asks[i].order > rig->asks[i - 2].order); /* of the same group */
    assert_int_equal(rig->asks[i].proposal.entry.head.base_offset, i / 2);
    assert_int_equal(rig->asks[i].proposal.entry.head.index, i / 2 + 2);
  }
  assert_int_equal(replica_high_watermark(rig_ledger(rig, 1)->replica), 20);
}

static void nothing_is_answered_before_it_is_on_the_disk(void **state) {
  struct rig *rig = *state;
  rig_ask(rig, 1, 100);
  rig_wait_for_answers(rig);
  stage_slow_journal(&rig->stage);
  uint64_t written = sim_disk_stats(rig->stage.device).bytes_written;

  struct ask *slow = rig_ask(rig, 1, 100);

  while (slow->answers == 0) {
    assert_int_equal(rig_view(rig, 1).next_offset, 2); /* appended, and that is all */
    assert_int_equal(replica_high_watermark(rig_ledger(rig, 1)->replica), 1);
    assert_int_equal(rig_ledger(rig, 1)->last, 2);
    assert_true(sim_step(rig->stage.sim));
  }
  assert_true(sim_disk_stats(rig->stage.device).bytes_written > written);
  assert_int_equal(replica_high_watermark(rig_ledger(rig, 1)->replica), 2);
}

static bool fifth_is_answered(void *context) { return ((struct rig *)context)->asks[4].answers > 0; }

static void what_was_answered_survives_a_power_cut(void **state) {
  struct rig *rig = *state;
  stage_slow_journal(&rig->stage);
  for (int i = 0; i < 10; i++) {
    rig_ask(rig, 1, 5000);
    sim_run_for(rig->stage.sim, 300000);
  }
  stage_wait(&rig->stage, fifth_is_answered, rig);
  entry_index index = rig->asks[4].proposal.entry.head.index;

  rig_crash(rig);
  rig_begin(rig);

  assert_true(rig_ledger(rig, 1)->last >= index);
  assert_true(rig_view(rig, 1).next_offset >= 5);
}

static void too_much_that_is_uncommitted_is_busy(void **state) {
  struct rig *rig = *state;
  stage_slow_journal(&rig->stage);
  unsigned accepted = 0;
  while (rig_ask(rig, 1, BIG_BYTES)->refused == STATUS_OK) accepted++;

  assert_int_equal(rig->asks[accepted].refused, STATUS_BUSY);
  assert_int_equal(accepted, REPLICA_UNCOMMITTED_BYTES_MAX / BIG_BYTES);
  assert_int_equal(rig->asks[accepted].proposal.entry.payload.bytes.size, BIG_BYTES); /* it stayed the caller's */
  assert_int_equal(rig_ask(rig, 2, 100)->refused, STATUS_OK);                         /* each group has its own bound */
  stage_heal(&rig->stage);
  rig_wait_for_answers(rig);
  assert_int_equal(rig_ask(rig, 1, BIG_BYTES)->refused, STATUS_OK);
  rig_wait_for_answers(rig);
}

/* ---- Terms ---- */

static void first_proposal_begins_a_term_with_a_noop(void **state) {
  struct rig *rig = *state;
  struct ledger *ledger = rig_ledger(rig, 1);
  assert_int_equal(rig_view(rig, 1).last_index, 0);
  assert_int_equal(ledger->roles, 0);
  assert_true(replica_is_leader(ledger->replica));

  rig_ask(rig, 1, 100);
  rig_wait_for_answers(rig);

  assert_int_equal(ledger->applied_count, 2);
  assert_int_equal(ledger->kinds[0], ENTRY_NOOP);
  assert_int_equal(ledger->kinds[1], ENTRY_RECORDS);
  assert_int_equal(ledger->roles, 1);
  assert_true(ledger->leader);
  assert_int_equal(ledger->role_term, 1);
  assert_int_equal(rig_view(rig, 1).hard_state.term, 1);
  assert_int_equal(rig_view(rig, 1).hard_state.vote, 1);
  assert_int_equal(rig->asks[0].proposal.entry.head.term, 1);
  assert_int_equal(rig_view(rig, 2).last_index, 0); /* an idle group does nothing */
}

static void restart_and_expect(struct rig *rig, entry_term term) {
  for (int i = 0; i < 3; i++) rig_ask(rig, 1, 50000); /* enough for a checkpoint to move them */
  rig_wait_for_answers(rig);
  assert_int_equal(rig->asks[0].proposal.entry.head.term, term);
  assert_int_equal(replica_term(rig_ledger(rig, 1)->replica), term);

  bool checkpoint = term % 2 == 0;
  rig_end(rig, checkpoint);
  rig_begin(rig);

  const struct ledger *ledger = rig_ledger(rig, 1);
  assert_int_equal(ledger->entries, 4 * term); /* a no-op and three records each time */
  assert_int_equal(ledger->last, 4 * term);
  assert_int_equal(ledger->restored, term >= 2);
  assert_int_equal(ledger->applied_count, checkpoint ? 0 : 4); /* what the snapshot has is not told again */
  assert_int_equal(replica_high_watermark(ledger->replica), 3 * term);
  assert_int_equal(ledger->roles, 0);
}

static void a_restart_replays_each_entry_once_and_terms_grow(void **state) {
  for (entry_term term = 1; term <= 6; term++) restart_and_expect(*state, term);
}

static void leader_time_never_goes_back(void **state) {
  struct rig *rig = *state;
  rig_ask(rig, 1, 100);
  rig_wait_for_answers(rig);
  int64_t before = rig->asks[0].proposal.entry.head.leader_time_ms;

  sim_world_jump_wall(rig->stage.node, -3600000);
  rig_ask(rig, 1, 100);
  rig_wait_for_answers(rig);

  assert_int_equal(rig->asks[1].proposal.entry.head.leader_time_ms, before);
}

/* ---- Deleting ---- */

static void deleted(void *context) {
  struct ledger *ledger = context;
  ledger->replica = NULL;
  ledger->rig->deleted++;
}

static void delete_replica(void *context) {
  struct rig *rig = context;
  struct ledger *ledger = rig_ledger(rig, rig->group);
  replica_delete(ledger->replica, deleted, ledger);
}

static void delete_group(struct rig *rig, group_id group) {
  rig->group = group;
  rig->deleted = 0;
  stage_on_lane(&rig->stage, delete_replica, rig);
}

static bool is_deleted(void *context) { return ((struct rig *)context)->deleted > 0; }

static void deleting_answers_what_is_in_flight_and_is_done_when_the_close_is_durable(void **state) {
  struct rig *rig = *state;
  stage_slow_journal(&rig->stage);
  for (int i = 0; i < 3; i++) rig_ask(rig, 1, 100);
  uint64_t before_ns = sim_now_ns(rig->stage.sim);

  delete_group(rig, 1);

  rig_assert_each_answered_once(rig, STATUS_UNKNOWN_PARTITION);
  assert_int_equal(rig->deleted, 0);
  assert_int_equal(rig_ask(rig, 1, 100)->refused, STATUS_UNKNOWN_PARTITION);
  stage_wait(&rig->stage, is_deleted, rig);
  assert_true(sim_now_ns(rig->stage.sim) - before_ns > 1000000u); /* as slow as the journal */
  rig_crash(rig);
  stage_open(&rig->stage);
  assert_null(rig->stage.log[1]);
  assert_non_null(rig->stage.log[2]);
  stage_stop(&rig->stage, false);
  stage_close(&rig->stage);
  assert_int_equal(rig->deleted, 1);
}

static void a_deleted_group_leaves_the_others_alone(void **state) {
  struct rig *rig = *state;
  rig_ask(rig, 1, 100);
  struct ask *other = rig_ask(rig, 2, 100);

  delete_group(rig, 1);
  stage_wait(&rig->stage, is_deleted, rig);
  rig_wait_for_answers(rig);

  assert_int_equal(other->answer, STATUS_OK);
  stage_checkpoint(&rig->stage);
  assert_int_equal(rig_ask(rig, 2, 100)->refused, STATUS_OK);
  rig_wait_for_answers(rig);
  assert_int_equal(replica_high_watermark(rig_ledger(rig, 2)->replica), 2);
}

static void deleting_is_done_when_the_journal_fails_under_it(void **state) {
  struct rig *rig = *state;
  rig_ask(rig, 1, 100);
  rig_wait_for_answers(rig);
  stage_slow_journal(&rig->stage);
  stage_fail_journal(&rig->stage);

  delete_group(rig, 1);
  stage_wait(&rig->stage, is_deleted, rig);

  assert_int_equal(rig->deleted, 1);
  rig_crash(rig);
  rig_begin(rig);
  assert_int_equal(rig_ledger(rig, 1)->last, 2); /* it is for its owner to delete it again */
}

static void deleting_is_done_at_once_when_the_journal_has_failed(void **state) {
  struct rig *rig = *state;
  rig_ask(rig, 1, 100);
  rig_wait_for_answers(rig);
  stage_fail_journal(&rig->stage);
  rig_ask(rig, 2, 100);
  rig_wait_for_answers(rig);

  delete_group(rig, 1);

  assert_int_equal(rig->deleted, 1);
  rig_end(rig, true); /* and nobody asks the freed replica for its state */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(proposals_are_answered_once_in_order_after_they_were_applied),
      TEST(nothing_is_answered_before_it_is_on_the_disk),
      TEST(what_was_answered_survives_a_power_cut),
      TEST(too_much_that_is_uncommitted_is_busy),
      TEST(first_proposal_begins_a_term_with_a_noop),
      TEST(a_restart_replays_each_entry_once_and_terms_grow),
      TEST(leader_time_never_goes_back),
      TEST(deleting_answers_what_is_in_flight_and_is_done_when_the_close_is_durable),
      TEST(a_deleted_group_leaves_the_others_alone),
      TEST(deleting_is_done_when_the_journal_fails_under_it),
      TEST(deleting_is_done_at_once_when_the_journal_has_failed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
