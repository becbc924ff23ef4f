#include "tests/crash/crash_lane.h"

#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"
#include "tests/sim/sim_random.h"

#define WAIT_NS 100000u
#define READ_BYTES 20000u

struct lane_turn {
  struct journal_write write;
  struct crash_lane *lane;
  size_t count;
  struct lane_step steps[LANE_TURN_MAX];
  entry_index last[MODEL_LOGS]; /* submitted with or before it */
  uint32_t cuts[MODEL_LOGS];    /* the same */
  struct hard_state states[MODEL_LOGS];
};

bool crash_lane_going(const struct crash_lane *lane) { return !lane->failed && !crash_dead(lane->lab); }

/* ---- Calls: blocking code has the lane do something ---- */

struct lane_call {
  struct task task;
  void (*run)(struct crash_lane *lane, void *argument);
  struct crash_lane *lane;
  void *argument;
  bool done;
};

static void run_call(struct task *task) {
  struct lane_call *call = container_of(task, struct lane_call, task);
  call->run(call->lane, call->argument);
  call->done = true;
}

void crash_lane_call(struct crash_lane *lane, void (*run)(struct crash_lane *lane, void *argument), void *argument) {
  struct lane_call call = {.task = {.run = run_call}, .run = run, .lane = lane, .argument = argument};
  loop_post(lane->loop, &call.task);
  while (!call.done) crash_sleep(lane->lab, WAIT_NS);
}

/* ---- Applying ---- */

enum status crash_lane_snapshot(void *context, struct buffer *out) {
  const struct lane_log *log = context;
  uint8_t state[LANE_STATE_SIZE];
  put_u64(state, log->applied);
  put_u64(state + 8, log->applied == 0 ? 0 : log->model->entries[log->applied - 1].running);
  return buffer_append(out, state, sizeof state);
}

static void apply(struct lane_log *log, entry_index through) {
  if (log->held_from != 0 && through >= log->held_from) through = log->held_from - 1;
  if (through <= log->applied) return;
  log_set_commit(log->log, through);
  log->applied = through;
  log_set_applied(log->log, through);
  log_set_start(log->log, model_start(log->model, through));
}

static void note_durable(struct lane_turn *turn, const struct journal_frame *frame) {
  struct lane_log *log = &turn->lane->logs[frame->group];
  if (log->log == NULL) return;
  log_frame_durable(log->log, frame);
  if (frame->kind == FRAME_OPEN) log->model->stage = MODEL_OPEN;
  if (frame->kind == FRAME_CUT) model_cut_acked(log->model);
  if (frame->kind == FRAME_CLOSE) {
    log->model->stage = MODEL_CLOSED;
    log->log = NULL;
  }
}

static void note_acknowledged(struct lane_turn *turn) {
  for (group_id group = 0; group < MODEL_LOGS; group++) {
    struct model_log *model = turn->lane->logs[group].model;
    entry_index last = turn->last[group] < model->last ? turn->last[group] : model->last;
    if (turn->cuts[group] != model->cuts && last >= model->cut_from) last = model->cut_from - 1;
    if (last > model->acked) model->acked = last;
    model->acked_state = turn->states[group];
  }
}

static void turn_done(struct task *task) {
  struct lane_turn *turn = container_of(container_of(task, struct journal_write, done), struct lane_turn, write);
  struct crash_lane *lane = turn->lane;
  lane->in_flight--;
  if (turn->write.status != STATUS_OK) {
    lane->failed = true;
  } else {
    for (size_t i = 0; i < turn->write.count; i++) note_durable(turn, &turn->write.frames[i]);
    note_acknowledged(turn);
    for (group_id group = 0; group < MODEL_LOGS; group++) {
      if (lane->logs[group].log != NULL) apply(&lane->logs[group], lane->logs[group].model->acked);
    }
  }
  journal_write_deinit(&turn->write);
  memory_free(turn);
}

/* ---- Turns ---- */

static void append(struct lane_turn *turn, struct lane_log *log, enum entry_kind kind, const struct lane_step *step) {
  size_t size = kind == ENTRY_TRIM ? 8 : step->size;
  struct blob *blob = NULL;
  enum status status = blob_new(NULL, size, &blob);
  CHECK(status == STATUS_OK);
  struct sim_random filling;
  sim_random_init(&filling, ++turn->lane->model->serial, "payload");
  for (size_t i = 0; i < size; i++) blob->data[i] = (uint8_t)sim_random_next(&filling);
  if (kind == ENTRY_TRIM) put_u64(blob->data, step->size);
  struct log_view view = log_view(log->log);
  entry_term term = log->model->submitted.term;
  struct entry entry = {.payload = blob_part_of(blob, 0, size)};
  entry.head = (struct entry_head){.kind = kind,
                                   .index = view.last_index + 1,
                                   .term = view.last_term > term ? view.last_term : term,
                                   .base_offset = view.next_offset,
                                   .record_count = kind == ENTRY_RECORDS ? step->count : 0,
                                   .uncompressed_size = (uint32_t)size,
                                   .base_time_ms = 1000,
                                   .max_time_ms = 1000,
                                   .leader_time_ms = 1000};
  struct model_entry expected = {.kind = kind,
                                 .count = entry.head.record_count,
                                 .hash = xxh3(0, entry.payload.bytes),
                                 .trim = kind == ENTRY_TRIM ? (record_offset)step->size : 0};
  bool sealed = turn->lane->model->serial % 3 == 0; /* as if by another broker */
  if (sealed) entry_seal(&entry.head, entry.payload.bytes, view.last_chain);
  if (sealed) log_append_sealed(log->log, &turn->write, &entry);
  if (!sealed) log_append(log->log, &turn->write, &entry);
  model_append(log->model, &expected);
  blob_part_release(entry.payload);
  blob_release(blob);
}

static void set_hard_state(struct lane_turn *turn, struct lane_log *log) {
  struct hard_state *state = &log->model->submitted;
  state->term++;
  state->vote = (uint32_t)(state->term % 3 + 1);
  state->commit = log->applied;
  log_set_hard_state(log->log, &turn->write, state);
}

static void create(struct lane_turn *turn, struct lane_log *log, group_id group) {
  struct log_owner owner = {.snapshot = crash_lane_snapshot, .context = log};
  struct crash_lane *lane = turn->lane;
  *log = (struct lane_log){.lane = lane, .model = &lane->model->logs[group]};
  log->log = log_create(lane->set, lane->loop, &turn->write, group, 1, &lane->settings);
  log_set_owner(log->log, &owner);
  log->model->stage = MODEL_OPENING;
}

static bool takes_room(const struct lane_step *step) {
  return step->act == LANE_APPEND || step->act == LANE_AHEAD || step->act == LANE_HOLD_BACK;
}

/* What makes no sense now (an append to a log that is not there) is left out. */
static void do_step(struct lane_turn *turn, const struct lane_step *step) {
  struct lane_log *log = &turn->lane->logs[step->group];
  bool there = log->log != NULL && log->model->stage != MODEL_CLOSING;
  if (there == (step->act == LANE_CREATE)) {
    if (takes_room(step)) log_set_admit_undo(turn->lane->set, step->size);
    return;
  }
  switch (step->act) {
    case LANE_CREATE: create(turn, log, step->group); break;
    case LANE_HOLD_BACK:
      if (log->held_from == 0) log->held_from = log->model->last + 1;
      append(turn, log, ENTRY_RECORDS, step);
      break;
    case LANE_APPEND: append(turn, log, ENTRY_RECORDS, step); break;
    case LANE_AHEAD:
      append(turn, log, ENTRY_RECORDS, step);
      apply(log, log->model->last);
      break;
    case LANE_TRIM: append(turn, log, ENTRY_TRIM, step); break;
    case LANE_HARD_STATE: set_hard_state(turn, log); break;
    case LANE_CUT:
      if (log->held_from == 0) break;
      log_cut(log->log, &turn->write, log->held_from);
      model_cut(log->model, log->held_from);
      log->held_from = 0;
      break;
    case LANE_DELETE:
      log_delete(log->log, &turn->write);
      log->model->stage = MODEL_CLOSING;
      break;
  }
}

static void submit(struct crash_lane *lane, void *argument) {
  struct lane_turn *turn = argument;
  journal_write_init(&turn->write, lane->loop, turn_done);
  for (size_t i = 0; i < turn->count; i++) do_step(turn, &turn->steps[i]);
  for (group_id group = 0; group < MODEL_LOGS; group++) {
    turn->last[group] = lane->model->logs[group].last;
    turn->cuts[group] = lane->model->logs[group].cuts;
    turn->states[group] = lane->model->logs[group].submitted;
  }
  lane->in_flight++;
  if (lane->lab->acknowledge_early) note_acknowledged(turn);
  journal_submit(log_set_journal(lane->set), &turn->write);
}

static bool admit(struct crash_lane *lane, uint64_t bytes) {
  for (int i = 0; i < 300 && crash_lane_going(lane); i++) {
    enum status status = log_set_admit(lane->set, bytes);
    if (status == STATUS_OK) return true;
    if (status != STATUS_JOURNAL_FULL) {
      if (crash_lane_going(lane) && !lane->lab->faulty)
        crash_violation(lane->lab, "an append is refused: %s", status_name(status));
      return false;
    }
    crash_lane_checkpoint(lane);
    crash_sleep(lane->lab, 2000000);
  }
  struct journal_usage usage = journal_usage(log_set_journal(lane->set));
  if (crash_lane_going(lane) && !lane->lab->faulty) {
    crash_violation(lane->lab, "the journal stays full: %llu of %llu bytes, files %llu to %llu, asked for %llu",
                    (unsigned long long)usage.used_bytes, (unsigned long long)usage.ring_bytes,
                    (unsigned long long)usage.oldest_file, (unsigned long long)usage.current_file, (unsigned long long)bytes);
  }
  return false;
}

void crash_lane_turn(struct crash_lane *lane, const struct lane_step *steps, size_t count, unsigned in_flight_max) {
  CHECK(count <= LANE_TURN_MAX);
  while (lane->in_flight >= in_flight_max) crash_sleep(lane->lab, WAIT_NS);
  for (size_t i = 0; i < count; i++) {
    if (takes_room(&steps[i]) && !admit(lane, steps[i].size)) lane->failed = true;
  }
  if (!crash_lane_going(lane)) return;
  struct lane_turn *turn = NEW(struct lane_turn);
  turn->lane = lane;
  turn->count = count;
  memcpy(turn->steps, steps, count * sizeof *steps);
  crash_lane_call(lane, submit, turn);
}

void crash_lane_wait(struct crash_lane *lane) {
  while (lane->in_flight > 0) crash_sleep(lane->lab, WAIT_NS);
}

static void nothing(struct crash_lane *lane, void *argument) {
  (void)lane;
  (void)argument;
}

void crash_lane_checkpoint(struct crash_lane *lane) {
  struct lane_call call = {.task = {.run = run_call}, .run = nothing, .lane = lane};
  log_set_checkpoint(lane->set, lane->loop, &call.task);
  while (!call.done) crash_sleep(lane->lab, WAIT_NS);
}

/* ---- Reading back ---- */

struct reading {
  struct log_read read;
  struct lane_log *log;
  bool answered;
};

static void read_done(struct task *task) {
  container_of(container_of(task, struct log_read, done), struct reading, read)->answered = true;
}

static void start_read(struct crash_lane *lane, void *argument) {
  struct reading *reading = argument;
  (void)lane;
  reading->answered = log_read(reading->log->log, &reading->read);
}

static void check_read(struct crash_lane *lane, struct reading *reading, group_id group, bool *old_tail) {
  struct log_read *read = &reading->read;
  record_offset expected = read->offset;
  for (size_t i = 0; i < read->count; i++) {
    const struct entry *entry = &read->entries[i];
    bool first = i == 0 && entry->head.base_offset <= expected;
    if (entry->head.base_offset != expected && !first) {
      crash_violation(lane->lab, "group %llu: offset %lld follows %lld", (unsigned long long)group,
                      (long long)entry->head.base_offset, (long long)expected);
    }
    model_check_entry(lane->lab, reading->log->model, group, entry, old_tail);
    expected = entry_end_offset(&entry->head);
  }
  read->offset = expected;
}

/* False: nothing more to read. */
static bool read_some(struct crash_lane *lane, struct reading *reading, group_id group, bool *old_tail) {
  struct log_read *read = &reading->read;
  reading->answered = false;
  crash_lane_call(lane, start_read, reading);
  while (!reading->answered) crash_sleep(lane->lab, WAIT_NS);
  bool usable = crash_lane_going(lane) && read->status == STATUS_OK;
  bool more = usable && read->count > 0;
  if (usable) check_read(lane, reading, group, old_tail);
  else if (crash_lane_going(lane) && !lane->lab->faulty) {
    crash_violation(lane->lab, "group %llu: reading at %lld: %s", (unsigned long long)group, (long long)read->offset,
                    status_name(read->status));
  }
  log_read_reset(read);
  return more && read->offset < read->limit;
}

static void look(struct crash_lane *lane, void *argument) {
  struct log_view *views = argument;
  for (group_id group = 0; group < MODEL_LOGS; group++) {
    if (lane->logs[group].log != NULL) views[group] = log_view(lane->logs[group].log);
  }
}

static record_offset committed_end(const struct lane_log *log, const struct log_view *view) {
  if (view->commit_index == view->last_index) return view->next_offset;
  const struct model_entry *last = log->applied == 0 ? NULL : &log->model->entries[log->applied - 1];
  return last == NULL ? 0 : last->base + (record_offset)last->count;
}

void crash_lane_read_all(struct crash_lane *lane, bool old_tails[MODEL_LOGS]) {
  struct log_view views[MODEL_LOGS] = {{0}};
  crash_lane_call(lane, look, views);
  for (group_id group = 0; group < MODEL_LOGS; group++) {
    struct lane_log *log = &lane->logs[group];
    if (log->log == NULL || log->model->stage == MODEL_CLOSING) continue;
    struct reading reading = {.log = log};
    reading.read = (struct log_read){.offset = views[group].start_offset,
                                     .limit = committed_end(log, &views[group]),
                                     .bytes_max = READ_BYTES,
                                     .loop = lane->loop,
                                     .done = {.run = read_done}};
    while (reading.read.offset < reading.read.limit && read_some(lane, &reading, group, &old_tails[group])) {}
    bool short_of_end = reading.read.offset < reading.read.limit;
    if (short_of_end && crash_lane_going(lane) && !lane->lab->faulty && lane->lab->violations == 0) {
      crash_violation(lane->lab, "group %llu: reads end at %lld of %lld", (unsigned long long)group,
                      (long long)reading.read.offset, (long long)reading.read.limit);
    }
  }
}
