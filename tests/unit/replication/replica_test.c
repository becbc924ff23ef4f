/* Replicas and their lane on a real log: what is answered when, what a restart finds, what a failing disk leaves. */
#include "replication/replica.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/codec.h"
#include "base/memory.h"
#include "tests/unit/replication/stage.h"

#define GROUPS 3u /* 1 and 2 are there from the start */
#define ASKS_MAX 64u
#define APPLIED_MAX 256u
#define BIG_BYTES ENTRY_PAYLOAD_MAX

/* A state machine that remembers what it was told. Its state is the number of entries and a sum over their bytes. */
struct ledger {
  struct rig *rig;
  struct replica *replica;
  entry_index applied[APPLIED_MAX]; /* indexes, in the order of the calls, of this process */
  enum entry_kind kinds[APPLIED_MAX];
  size_t applied_count;
  uint64_t entries; /* state: survives in snapshots */
  entry_index last; /* state */
  bool restored;    /* from a state that was not empty */
  unsigned roles;
  bool leader;
  entry_term role_term;
};

/* A proposal and what became of it. */
struct ask {
  struct rig *rig;
  group_id group;
  struct proposal proposal;
  size_t size;
  enum status refused; /* by replica_propose() */
  unsigned answers;
  enum status answer;
  unsigned order;      /* among all answers, from 1 */
  bool applied_before; /* when it was answered, the ledger had it */
};

struct rig {
  struct stage stage;
  struct ledger ledgers[GROUPS]; /* by group, from 1 */
  struct ask asks[ASKS_MAX];
  size_t ask_count;
  unsigned answers;
  unsigned deleted; /* how often a replica_delete() was done */
  group_id group;   /* argument of the errand at hand */
};

/* ---- The state machine ---- */

static void apply(void *owner, const struct entry *entry) {
  struct ledger *ledger = owner;
  assert_true(ledger->applied_count < APPLIED_MAX);
  ledger->kinds[ledger->applied_count] = entry->head.kind;
  ledger->applied[ledger->applied_count++] = entry->head.index;
  assert_int_equal(entry->head.index, ledger->last + 1);
  ledger->last = entry->head.index;
  ledger->entries++;
}

static enum status snapshot(void *owner, struct buffer *out) {
  struct ledger *ledger = owner;
  uint8_t state[16];
  put_u64(state, ledger->entries);
  put_u64(state + 8, ledger->last);
  return buffer_append(out, state, sizeof state);
}

static enum status restore(void *owner, struct bytes state) {
  struct ledger *ledger = owner;
  if (state.size == 0) return STATUS_OK;
  if (state.size != 16) return STATUS_CORRUPT;
  ledger->entries = get_u64(state.data);
  ledger->last = get_u64(state.data + 8);
  ledger->restored = true;
  return STATUS_OK;
}

static void role_changed(void *owner, bool leads, entry_term term, const struct replica_id *leader) {
  (void)leader;
  struct ledger *ledger = owner;
  ledger->roles++;
  ledger->leader = leads;
  ledger->role_term = term;
}

static const struct state_machine_ops ledger_ops = {
    .apply = apply, .snapshot = snapshot, .restore = restore, .role_changed = role_changed};

/* ---- The rig ---- */

static struct ledger *ledger_of(struct rig *rig, group_id group) { return &rig->ledgers[group - 1]; }

static void open_replica(void *context) {
  struct rig *rig = context;
  struct ledger *ledger = ledger_of(rig, rig->group);
  struct state_machine machine = {.ops = &ledger_ops, .owner = ledger};
  *ledger = (struct ledger){.rig = rig};
  struct replica_options options = {.self = {.broker = 1}};
  assert_int_equal(replica_open(rig->stage.lane, rig->stage.log[rig->group], &options, &machine, &ledger->replica), STATUS_OK);
}

static void make_replica(void *context) {
  struct rig *rig = context;
  stage_make_log(&rig->stage, rig->group);
  open_replica(rig);
}

static void begin(struct rig *rig) {
  stage_open(&rig->stage);
  rig->ask_count = 0;
  rig->answers = 0;
  for (rig->group = 1; rig->group <= GROUPS; rig->group++) {
    if (rig->stage.log[rig->group] != NULL) stage_blocking(&rig->stage, open_replica, rig);
    else if (rig->group < GROUPS) stage_on_lane(&rig->stage, make_replica, rig);
  }
}

static void free_replicas(struct rig *rig) {
  for (size_t i = 0; i < GROUPS; i++) {
    replica_free(rig->ledgers[i].replica);
    rig->ledgers[i].replica = NULL;
  }
}

static void end(struct rig *rig, bool checkpoint) {
  stage_stop(&rig->stage, checkpoint);
  free_replicas(rig);
  stage_close(&rig->stage);
}

/* The process dies here; what was not synced is gone. */
static void crash(struct rig *rig) {
  stage_kill(&rig->stage);
  free_replicas(rig);
  stage_close(&rig->stage);
  sim_disk_power_cut(rig->stage.device, SIM_POWER_DROP, 1);
}

static int set_up(void **state) {
  struct rig *rig = NEW(struct rig);
  stage_init(&rig->stage);
  begin(rig);
  *state = rig;
  return 0;
}

static int tear_down(void **state) {
  struct rig *rig = *state;
  if (rig->stage.node != NULL) end(rig, false);
  stage_deinit(&rig->stage);
  memory_free(rig);
  return 0;
}

/* ---- Asking ---- */

static void answered(struct proposal *proposal, enum status status) {
  struct ask *ask = container_of(proposal, struct ask, proposal);
  ask->answers++;
  ask->answer = status;
  ask->order = ++ask->rig->answers;
  ask->applied_before = ledger_of(ask->rig, ask->group)->last >= proposal->entry.head.index;
}

static void propose(void *context) {
  struct ask *ask = context;
  struct log_set *logs = ask->rig->stage.logs;
  struct blob *blob = NULL;
  assert_int_equal(blob_new(NULL, ask->size, &blob), STATUS_OK);
  memset(blob->data, 'x', ask->size);
  ask->proposal = (struct proposal){.done = answered};
  ask->proposal.entry.head = (struct entry_head){
      .kind = ENTRY_RECORDS, .record_count = 1, .uncompressed_size = (uint32_t)ask->size, .base_time_ms = 1, .max_time_ms = 1};
  ask->proposal.entry.payload = (struct blob_part){.blob = blob, .bytes = bytes_of(blob->data, ask->size)};
  /* A journal that failed in a write of its own (an idle one closes its group) says so here before the lane hears of it. */
  ask->refused = log_set_admit(logs, ask->size);
  if (ask->refused == STATUS_OK) {
    ask->refused = replica_propose(ledger_of(ask->rig, ask->group)->replica, &ask->proposal);
    if (ask->refused == STATUS_OK) return;
    log_set_admit_undo(logs, ask->size);
  }
  blob_release(blob);
}

static struct ask *ask_new(struct rig *rig, group_id group, size_t size) {
  assert_true(rig->ask_count < ASKS_MAX);
  struct ask *ask = &rig->asks[rig->ask_count++];
  *ask = (struct ask){.rig = rig, .group = group, .size = size};
  return ask;
}

/* In a turn of its own; not waited for. */
static struct ask *ask(struct rig *rig, group_id group, size_t size) {
  struct ask *ask = ask_new(rig, group, size);
  stage_on_lane(&rig->stage, propose, ask);
  return ask;
}

static bool all_answered(void *context) {
  struct rig *rig = context;
  for (size_t i = 0; i < rig->ask_count; i++) {
    if (rig->asks[i].refused == STATUS_OK && rig->asks[i].answers == 0) return false;
  }
  return true;
}

static void wait_for_answers(struct rig *rig) { stage_wait(&rig->stage, all_answered, rig); }

static void assert_each_answered_once(const struct rig *rig, enum status status) {
  for (size_t i = 0; i < rig->ask_count; i++) {
    assert_int_equal(rig->asks[i].refused, STATUS_OK);
    assert_int_equal(rig->asks[i].answers, 1);
    assert_int_equal(rig->asks[i].answer, status);
  }
}

static void ask_many_in_one_turn(void *context) {
  struct rig *rig = context;
  for (int i = 0; i < 20; i++) propose(ask_new(rig, 1 + (group_id)i % 2, 100));
}

static struct log_view view_of(struct rig *rig, group_id group) { return log_view(rig->stage.log[group]); }

/* ---- Answers ---- */

static void proposals_are_answered_once_in_order_after_they_were_applied(void **state) {
  struct rig *rig = *state;
  stage_on_lane(&rig->stage, ask_many_in_one_turn, rig);
  for (int i = 0; i < 20; i++) ask(rig, 1 + (group_id)i % 2, 100);

  wait_for_answers(rig);

  assert_each_answered_once(rig, STATUS_OK);
  for (size_t i = 0; i < rig->ask_count; i++) {
    assert_true(rig->asks[i].applied_before);
    if (i >= 2) assert_true(rig->asks[i].order > rig->asks[i - 2].order); /* of the same group */
    assert_int_equal(rig->asks[i].proposal.entry.head.base_offset, i / 2);
    assert_int_equal(rig->asks[i].proposal.entry.head.index, i / 2 + 2);
  }
  assert_int_equal(replica_high_watermark(ledger_of(rig, 1)->replica), 20);
}

static void nothing_is_answered_before_it_is_on_the_disk(void **state) {
  struct rig *rig = *state;
  ask(rig, 1, 100);
  wait_for_answers(rig);
  stage_slow_journal(&rig->stage);
  uint64_t written = sim_disk_stats(rig->stage.device).bytes_written;

  struct ask *slow = ask(rig, 1, 100);

  while (slow->answers == 0) {
    assert_int_equal(view_of(rig, 1).next_offset, 2); /* appended, and that is all */
    assert_int_equal(replica_high_watermark(ledger_of(rig, 1)->replica), 1);
    assert_int_equal(ledger_of(rig, 1)->last, 2);
    assert_true(sim_step(rig->stage.sim));
  }
  assert_true(sim_disk_stats(rig->stage.device).bytes_written > written);
  assert_int_equal(replica_high_watermark(ledger_of(rig, 1)->replica), 2);
}

static bool fifth_is_answered(void *context) { return ((struct rig *)context)->asks[4].answers > 0; }

static void what_was_answered_survives_a_power_cut(void **state) {
  struct rig *rig = *state;
  stage_slow_journal(&rig->stage);
  for (int i = 0; i < 10; i++) {
    ask(rig, 1, 5000);
    sim_run_for(rig->stage.sim, 300000);
  }
  stage_wait(&rig->stage, fifth_is_answered, rig);
  entry_index index = rig->asks[4].proposal.entry.head.index;

  crash(rig);
  begin(rig);

  assert_true(ledger_of(rig, 1)->last >= index);
  assert_true(view_of(rig, 1).next_offset >= 5);
}

static void too_much_that_is_uncommitted_is_busy(void **state) {
  struct rig *rig = *state;
  stage_slow_journal(&rig->stage);
  unsigned accepted = 0;
  while (ask(rig, 1, BIG_BYTES)->refused == STATUS_OK) accepted++;

  assert_int_equal(rig->asks[accepted].refused, STATUS_BUSY);
  assert_int_equal(accepted, REPLICA_UNCOMMITTED_BYTES_MAX / BIG_BYTES);
  assert_int_equal(rig->asks[accepted].proposal.entry.payload.bytes.size, BIG_BYTES); /* it stayed the caller's */
  assert_int_equal(ask(rig, 2, 100)->refused, STATUS_OK);                             /* each group has its own bound */
  stage_heal(&rig->stage);
  wait_for_answers(rig);
  assert_int_equal(ask(rig, 1, BIG_BYTES)->refused, STATUS_OK);
  wait_for_answers(rig);
}

/* ---- Terms ---- */

static void first_proposal_begins_a_term_with_a_noop(void **state) {
  struct rig *rig = *state;
  struct ledger *ledger = ledger_of(rig, 1);
  assert_int_equal(view_of(rig, 1).last_index, 0);
  assert_int_equal(ledger->roles, 0);
  assert_true(replica_is_leader(ledger->replica));

  ask(rig, 1, 100);
  wait_for_answers(rig);

  assert_int_equal(ledger->applied_count, 2);
  assert_int_equal(ledger->kinds[0], ENTRY_NOOP);
  assert_int_equal(ledger->kinds[1], ENTRY_RECORDS);
  assert_int_equal(ledger->roles, 1);
  assert_true(ledger->leader);
  assert_int_equal(ledger->role_term, 1);
  assert_int_equal(view_of(rig, 1).hard_state.term, 1);
  assert_int_equal(view_of(rig, 1).hard_state.vote, 1);
  assert_int_equal(rig->asks[0].proposal.entry.head.term, 1);
  assert_int_equal(view_of(rig, 2).last_index, 0); /* an idle group does nothing */
}

static void restart_and_expect(struct rig *rig, entry_term term) {
  for (int i = 0; i < 3; i++) ask(rig, 1, 50000); /* enough for a checkpoint to move them */
  wait_for_answers(rig);
  assert_int_equal(rig->asks[0].proposal.entry.head.term, term);
  assert_int_equal(replica_term(ledger_of(rig, 1)->replica), term);

  bool checkpoint = term % 2 == 0;
  end(rig, checkpoint);
  begin(rig);

  const struct ledger *ledger = ledger_of(rig, 1);
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
  ask(rig, 1, 100);
  wait_for_answers(rig);
  int64_t before = rig->asks[0].proposal.entry.head.leader_time_ms;

  sim_world_jump_wall(rig->stage.node, -3600000);
  ask(rig, 1, 100);
  wait_for_answers(rig);

  assert_int_equal(rig->asks[1].proposal.entry.head.leader_time_ms, before);
}

/* ---- A journal that fails ---- */

static void assert_fenced(struct rig *rig, group_id group) {
  struct ask *late = ask(rig, group, 100);
  assert_int_equal(late->refused, STATUS_FENCED);
  assert_true(replica_fenced(ledger_of(rig, group)->replica));
  assert_false(replica_is_leader(ledger_of(rig, group)->replica));
  rig->ask_count--;
}

static void a_failing_journal_leaves_in_doubt_what_was_in_flight_and_fences(void **state) {
  struct rig *rig = *state;
  ask(rig, 1, 100);
  wait_for_answers(rig);
  stage_slow_journal(&rig->stage);
  stage_fail_journal(&rig->stage);
  rig->ask_count = 0;

  for (int i = 0; i < 5; i++) ask(rig, 1, 100);
  stage_on_lane(&rig->stage, ask_many_in_one_turn, rig);
  wait_for_answers(rig);

  assert_each_answered_once(rig, STATUS_UNKNOWN_OUTCOME);
  assert_true(lane_failed(rig->stage.lane));
  assert_fenced(rig, 1);
  assert_fenced(rig, 2);
  assert_false(ledger_of(rig, 1)->leader);
  assert_int_equal(ledger_of(rig, 1)->last, 2); /* nothing of it was applied */
  assert_int_equal(replica_high_watermark(ledger_of(rig, 1)->replica), 1);
}

static void another_process_on_a_good_disk_goes_on_after_a_failure(void **state) {
  struct rig *rig = *state;
  for (int i = 0; i < 3; i++) ask(rig, 1, 100);
  wait_for_answers(rig);
  stage_fail_journal(&rig->stage);
  ask(rig, 1, 100);
  wait_for_answers(rig);

  end(rig, true);
  stage_heal(&rig->stage);
  begin(rig);

  assert_true(ledger_of(rig, 1)->last >= 4); /* what was in doubt is there or not */
  assert_int_equal(ask(rig, 1, 100)->refused, STATUS_OK);
  wait_for_answers(rig);
  assert_each_answered_once(rig, STATUS_OK);
}

static void a_replica_that_is_opened_after_the_journal_failed_is_fenced(void **state) {
  struct rig *rig = *state;
  stage_fail_journal(&rig->stage);
  ask(rig, 1, 100);
  wait_for_answers(rig);

  rig->group = 3;
  stage_on_lane(&rig->stage, make_replica, rig);

  assert_fenced(rig, 3);
}

/* ---- Deleting ---- */

static void deleted(void *context) {
  struct ledger *ledger = context;
  ledger->replica = NULL;
  ledger->rig->deleted++;
}

static void delete_replica(void *context) {
  struct rig *rig = context;
  struct ledger *ledger = ledger_of(rig, rig->group);
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
  for (int i = 0; i < 3; i++) ask(rig, 1, 100);
  uint64_t before_ns = sim_now_ns(rig->stage.sim);

  delete_group(rig, 1);

  assert_each_answered_once(rig, STATUS_UNKNOWN_PARTITION);
  assert_int_equal(rig->deleted, 0);
  assert_int_equal(ask(rig, 1, 100)->refused, STATUS_UNKNOWN_PARTITION);
  stage_wait(&rig->stage, is_deleted, rig);
  assert_true(sim_now_ns(rig->stage.sim) - before_ns > 1000000u); /* as slow as the journal */
  crash(rig);
  stage_open(&rig->stage);
  assert_null(rig->stage.log[1]);
  assert_non_null(rig->stage.log[2]);
  stage_stop(&rig->stage, false);
  stage_close(&rig->stage);
  assert_int_equal(rig->deleted, 1);
}

static void a_deleted_group_leaves_the_others_alone(void **state) {
  struct rig *rig = *state;
  ask(rig, 1, 100);
  struct ask *other = ask(rig, 2, 100);

  delete_group(rig, 1);
  stage_wait(&rig->stage, is_deleted, rig);
  wait_for_answers(rig);

  assert_int_equal(other->answer, STATUS_OK);
  stage_checkpoint(&rig->stage);
  assert_int_equal(ask(rig, 2, 100)->refused, STATUS_OK);
  wait_for_answers(rig);
  assert_int_equal(replica_high_watermark(ledger_of(rig, 2)->replica), 2);
}

static void deleting_is_done_when_the_journal_fails_under_it(void **state) {
  struct rig *rig = *state;
  ask(rig, 1, 100);
  wait_for_answers(rig);
  stage_slow_journal(&rig->stage);
  stage_fail_journal(&rig->stage);

  delete_group(rig, 1);
  stage_wait(&rig->stage, is_deleted, rig);

  assert_int_equal(rig->deleted, 1);
  crash(rig);
  begin(rig);
  assert_int_equal(ledger_of(rig, 1)->last, 2); /* it is for its owner to delete it again */
}

static void deleting_is_done_at_once_when_the_journal_has_failed(void **state) {
  struct rig *rig = *state;
  ask(rig, 1, 100);
  wait_for_answers(rig);
  stage_fail_journal(&rig->stage);
  ask(rig, 2, 100);
  wait_for_answers(rig);

  delete_group(rig, 1);

  assert_int_equal(rig->deleted, 1);
  end(rig, true); /* and nobody asks the freed replica for its state */
}

/* ---- The lane ---- */

static void stopping_the_lane_waits_for_what_is_in_flight(void **state) {
  struct rig *rig = *state;
  stage_slow_journal(&rig->stage);
  for (int i = 0; i < 20; i++) ask(rig, 1 + (group_id)i % 2, 100);

  stage_stop(&rig->stage, false);

  assert_each_answered_once(rig, STATUS_OK);
  free_replicas(rig);
  stage_close(&rig->stage);
}

static void turns_gather_while_all_writes_are_in_flight(void **state) {
  struct rig *rig = *state;
  stage_slow_journal(&rig->stage);
  for (unsigned i = 0; i < 3 * LANE_WRITES_MAX; i++) ask(rig, 1, 100);
  assert_int_equal(rig->answers, 0);

  wait_for_answers(rig);

  assert_each_answered_once(rig, STATUS_OK);
  for (unsigned i = 0; i < rig->ask_count; i++) assert_int_equal(rig->asks[i].order, i + 1);
}

struct fencing {
  struct lane_fence fence;
  struct rig *rig;
  unsigned answers_before;
  bool told;
  enum status status;
};

static void fence_told(struct lane_fence *fence, enum status status) {
  struct fencing *fencing = container_of(fence, struct fencing, fence);
  fencing->told = true;
  fencing->status = status;
  fencing->answers_before = fencing->rig->answers;
}

static void propose_with_fence(void *context) {
  struct fencing *fencing = context;
  propose(ask_new(fencing->rig, 1, 100));
  fencing->fence.done = fence_told;
  lane_when_durable(fencing->rig->stage.lane, &fencing->fence);
}

static bool fence_is_told(void *context) { return ((struct fencing *)context)->told; }

static void a_fence_is_told_after_the_answers_of_its_turn(void **state) {
  struct rig *rig = *state;
  struct fencing good = {.rig = rig}, bad = {.rig = rig};
  stage_on_lane(&rig->stage, propose_with_fence, &good);
  assert_false(good.told);
  stage_wait(&rig->stage, fence_is_told, &good);
  assert_int_equal(good.status, STATUS_OK);
  assert_int_equal(good.answers_before, 1);

  stage_fail_journal(&rig->stage);
  stage_on_lane(&rig->stage, propose_with_fence, &bad);
  stage_wait(&rig->stage, fence_is_told, &bad);
  assert_int_equal(bad.status, STATUS_IO);
  assert_int_equal(bad.answers_before, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(proposals_are_answered_once_in_order_after_they_were_applied),
      TEST(nothing_is_answered_before_it_is_on_the_disk),
      TEST(what_was_answered_survives_a_power_cut),
      TEST(too_much_that_is_uncommitted_is_busy),
      TEST(first_proposal_begins_a_term_with_a_noop),
      TEST(a_restart_replays_each_entry_once_and_terms_grow),
      TEST(leader_time_never_goes_back),
      TEST(a_failing_journal_leaves_in_doubt_what_was_in_flight_and_fences),
      TEST(another_process_on_a_good_disk_goes_on_after_a_failure),
      TEST(a_replica_that_is_opened_after_the_journal_failed_is_fenced),
      TEST(deleting_answers_what_is_in_flight_and_is_done_when_the_close_is_durable),
      TEST(a_deleted_group_leaves_the_others_alone),
      TEST(deleting_is_done_when_the_journal_fails_under_it),
      TEST(deleting_is_done_at_once_when_the_journal_has_failed),
      TEST(stopping_the_lane_waits_for_what_is_in_flight),
      TEST(turns_gather_while_all_writes_are_in_flight),
      TEST(a_fence_is_told_after_the_answers_of_its_turn),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
