#include "tests/unit/replication/replica_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/codec.h"
#include "base/list.h"
#include "base/memory.h"

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

/* ---- Its process ---- */

struct ledger *rig_ledger(struct rig *rig, group_id group) {
  return &rig->ledgers[group - 1];
}

static void open_replica(void *context) {
  struct rig *rig = context;
  struct ledger *ledger = rig_ledger(rig, rig->group);
  struct state_machine machine = {.ops = &ledger_ops, .owner = ledger};
  *ledger = (struct ledger){.rig = rig};
  struct replica_options options = {.self = {.broker = 1}};
  assert_int_equal(replica_open(rig->stage.lane, rig->stage.log[rig->group], &options, &machine, &ledger->replica), STATUS_OK);
}

void rig_make_replica(void *context) {
  struct rig *rig = context;
  stage_make_log(&rig->stage, rig->group);
  open_replica(rig);
}

void rig_begin(struct rig *rig) {
  stage_open(&rig->stage);
  rig->ask_count = 0;
  rig->answers = 0;
  for (rig->group = 1; rig->group <= GROUPS; rig->group++) {
    if (rig->stage.log[rig->group] != NULL) stage_blocking(&rig->stage, open_replica, rig);
    else if (rig->group < GROUPS) stage_on_lane(&rig->stage, rig_make_replica, rig);
  }
}

void rig_free_replicas(struct rig *rig) {
  for (size_t i = 0; i < GROUPS; i++) {
    replica_free(rig->ledgers[i].replica);
    rig->ledgers[i].replica = NULL;
  }
}

void rig_end(struct rig *rig, bool checkpoint) {
  stage_stop(&rig->stage, checkpoint);
  rig_free_replicas(rig);
  stage_close(&rig->stage);
}

void rig_crash(struct rig *rig) {
  stage_kill(&rig->stage);
  rig_free_replicas(rig);
  stage_close(&rig->stage);
  sim_disk_power_cut(rig->stage.device, SIM_POWER_DROP, 1);
}

int rig_set_up(void **state) {
  struct rig *rig = NEW(struct rig);
  stage_init(&rig->stage);
  rig_begin(rig);
  *state = rig;
  return 0;
}

int rig_tear_down(void **state) {
  struct rig *rig = *state;
  if (rig->stage.node != NULL) rig_end(rig, false);
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
  ask->applied_before = rig_ledger(ask->rig, ask->group)->last >= proposal->entry.head.index;
}

void rig_propose(void *context) {
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
    ask->refused = replica_propose(rig_ledger(ask->rig, ask->group)->replica, &ask->proposal);
    if (ask->refused == STATUS_OK) return;
    log_set_admit_undo(logs, ask->size);
  }
  blob_release(blob);
}

struct ask *rig_ask_new(struct rig *rig, group_id group, size_t size) {
  assert_true(rig->ask_count < ASKS_MAX);
  struct ask *ask = &rig->asks[rig->ask_count++];
  *ask = (struct ask){.rig = rig, .group = group, .size = size};
  return ask;
}

struct ask *rig_ask(struct rig *rig, group_id group, size_t size) {
  struct ask *ask = rig_ask_new(rig, group, size);
  stage_on_lane(&rig->stage, rig_propose, ask);
  return ask;
}

static bool all_answered(void *context) {
  struct rig *rig = context;
  for (size_t i = 0; i < rig->ask_count; i++) {
    if (rig->asks[i].refused == STATUS_OK && rig->asks[i].answers == 0) return false;
  }
  return true;
}

void rig_wait_for_answers(struct rig *rig) { stage_wait(&rig->stage, all_answered, rig); }

void rig_assert_each_answered_once(const struct rig *rig, enum status status) {
  for (size_t i = 0; i < rig->ask_count; i++) {
    assert_int_equal(rig->asks[i].refused, STATUS_OK);
    assert_int_equal(rig->asks[i].answers, 1);
    assert_int_equal(rig->asks[i].answer, status);
  }
}

void rig_ask_many_in_one_turn(void *context) {
  struct rig *rig = context;
  for (int i = 0; i < 20; i++) rig_propose(rig_ask_new(rig, 1 + (group_id)i % 2, 100));
}

struct log_view rig_view(struct rig *rig, group_id group) {
  return log_view(rig->stage.log[group]);
}
