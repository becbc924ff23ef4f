/* Opening a set after a crash, and everything that is checked then. */
#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "tests/crash/crash_lane.h"

static const struct log_identity identity = {.cluster = "crash-points",
                                             .incarnation = "one",
                                             .broker_id = 1,
                                             .founder_count = 1,
                                             .founders = {{.broker_id = 1, .incarnation = "one"}}};

static void meet(void *context, struct log *log) {
  struct crash_lane *lane = context;
  struct log_view view = log_view(log);
  if (view.group >= MODEL_LOGS || view.instance != 1) {
    crash_violation(lane->lab, "group %llu instance %llu: nobody made it", (unsigned long long)view.group,
                    (unsigned long long)view.instance);
    return;
  }
  struct lane_log *lane_log = &lane->logs[view.group];
  struct log_owner owner = {.snapshot = crash_lane_snapshot, .context = lane_log};
  lane_log->log = log;
  model_check_log(lane->lab, lane_log->model, &view);
  log_adopt(log, lane->loop);
  log_set_owner(log, &owner);
}

struct replaying {
  entry_index next;
  record_offset trim;
  struct crash_lane *lane;
};

static enum status visit(void *context, const struct entry *entry) {
  struct replaying *replaying = context;
  if (entry->head.index != replaying->next) {
    crash_violation(replaying->lane->lab, "replay tells entry %llu instead of %llu", (unsigned long long)entry->head.index,
                    (unsigned long long)replaying->next);
  }
  replaying->next = entry->head.index + 1;
  if (entry->head.kind == ENTRY_TRIM && entry->payload.bytes.size == 8) {
    replaying->trim = (record_offset)get_u64(entry->payload.bytes.data);
  }
  return STATUS_OK;
}

/* The owner's part: its stored state, then the entries after it. Returns the start that trims ask for. */
static record_offset replay(struct crash_lane *lane, struct lane_log *log, const struct log_view *view) {
  struct crash_lab *lab = lane->lab;
  unsigned long long group = view->group;
  entry_index covered = 0;
  struct bytes state = log_recovered_state(log->log, &covered);
  log->applied = 0;
  if (state.size == LANE_STATE_SIZE) {
    log->applied = get_u64(state.data);
    uint64_t running = log->applied == 0 || log->applied > log->model->last ? 0 : log->model->entries[log->applied - 1].running;
    if (log->applied > view->last_index || get_u64(state.data + 8) != running || covered != log->applied) {
      crash_violation(lab, "group %llu: the owner's state of entry %llu (stored for %llu) is not that of its log", group,
                      (unsigned long long)log->applied, (unsigned long long)covered);
    }
  } else if (state.size != 0) {
    crash_violation(lab, "group %llu: an owner's state of %zu bytes", group, state.size);
  }
  struct replaying replaying = {.next = log->applied + 1, .lane = lane};
  enum status status = log_replay(log->log, log->applied, view->last_index, visit, &replaying);
  if (!crash_lane_going(lane)) return 0;
  if (status != STATUS_OK || replaying.next != view->last_index + 1) {
    crash_violation(lab, "group %llu: replay after %llu stops at %llu of %llu: %s", group, (unsigned long long)log->applied,
                    (unsigned long long)replaying.next, (unsigned long long)view->last_index, status_name(status));
  }
  return replaying.trim;
}

static void commit_all(struct crash_lane *lane, void *argument) {
  const record_offset *starts = argument;
  for (group_id group = 0; group < MODEL_LOGS; group++) {
    struct log *log = lane->logs[group].log;
    if (log == NULL) continue;
    log_set_commit(log, log_view(log).last_index);
    log_set_start(log, starts[group]);
  }
}

static void settle_all(struct crash_lane *lane, void *argument) {
  const bool *old_tails = argument;
  for (group_id group = 0; group < MODEL_LOGS; group++) {
    struct lane_log *log = &lane->logs[group];
    if (log->log == NULL) {
      model_settle_absent(lane->lab, log->model, group);
      continue;
    }
    struct log_view view = log_view(log->log);
    model_settle(log->model, &view, old_tails[group]);
    log->applied = view.last_index;
    log_set_applied(log->log, view.last_index);
    if (view.start_offset < model_start(log->model, log->model->last)) {
      crash_violation(lane->lab, "group %llu: a trim is forgotten: starts at %lld", (unsigned long long)group,
                      (long long)view.start_offset);
    }
  }
}

static enum status open_set(struct crash_lane *lane, const struct log_set_options *options, struct log_set_report *report) {
  struct log_identity found;
  struct buffer reason;
  buffer_init(&reason, 1024);
  memset(&found, 0, sizeof found);
  enum status status = log_set_open(sim_world_doors(lane->lab->world), options, &identity, &lane->set, &found, report, &reason);
  if (status != STATUS_OK && !crash_dead(lane->lab) && !lane->lab->faulty) {
    crash_violation(lane->lab, "open: %s: %.*s", status_name(status), (int)reason.size, (const char *)reason.data);
  }
  if (status == STATUS_OK && memcmp(&found, &identity, sizeof found) != 0) crash_violation(lane->lab, "another identity");
  buffer_deinit(&reason);
  return status;
}

/* Until then the directory may be half formatted. */
static bool anything_acknowledged(const struct crash_model *model) {
  for (group_id group = 0; group < MODEL_LOGS; group++) {
    if (model->logs[group].stage >= MODEL_OPEN) return true;
  }
  return false;
}

bool crash_lane_open(struct crash_lane *lane, struct crash_lab *lab, const struct log_set_options *options) {
  struct log_set_report report = {0};
  lane->lab = lab;
  lane->model = lab->model;
  lane->loop = world_loop_new(sim_world_doors(lab->world), "lane", 0);
  for (group_id group = 0; group < MODEL_LOGS; group++) {
    lane->logs[group] = (struct lane_log){.lane = lane, .model = &lane->model->logs[group]};
  }
  if (open_set(lane, options, &report) != STATUS_OK) return false;
  if (report.damaged_logs > 0) crash_violation(lab, "%u logs called damaged", report.damaged_logs);
  if (report.journal.rotten_groups > 0) crash_violation(lab, "journal groups called rotten");
  bool may_be_broken = lab->scrambled || !anything_acknowledged(lane->model);
  if (report.store_rebuilt && !may_be_broken) crash_violation(lab, "the store is said to be broken");
  log_set_each(lane->set, meet, lane);
  if (lab->violations > 0) return false;

  record_offset starts[MODEL_LOGS] = {0};
  bool old_tails[MODEL_LOGS] = {false};
  for (group_id group = 0; group < MODEL_LOGS && crash_lane_going(lane); group++) {
    if (lane->logs[group].log == NULL) continue;
    struct log_view view = log_view(lane->logs[group].log);
    starts[group] = replay(lane, &lane->logs[group], &view);
  }
  if (!crash_lane_going(lane)) return false;
  crash_lane_call(lane, commit_all, starts);
  crash_lane_read_all(lane, old_tails);
  if (!crash_lane_going(lane) || lab->violations > 0) return false;
  crash_lane_call(lane, settle_all, old_tails);
  lane->standing = log_set_admit(lane->set, 1) == STATUS_OK;
  return crash_lane_going(lane);
}

/* Once everything is quiet, what was admitted has come back to the byte. */
static void check_account(struct crash_lane *lane) {
  uint64_t admitted = journal_usage(log_set_journal(lane->set)).admitted_bytes;
  uint64_t expected = lane->standing ? journal_cost(ENTRY_HEAD_SIZE + 1) : 0;
  if (!crash_lane_going(lane) || lane->lab->faulty || admitted == expected) return;
  crash_violation(lane->lab, "%llu bytes are admitted, not %llu", (unsigned long long)admitted, (unsigned long long)expected);
}

void crash_lane_close(struct crash_lane *lane, bool checkpoint) {
  if (lane->set != NULL) crash_lane_wait(lane);
  if (lane->set != NULL) check_account(lane);
  loop_stop(lane->loop);
  log_set_close(lane->set, checkpoint);
}
