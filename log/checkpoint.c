#include "log/checkpoint.h"

#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"
#include "base/mutant.h"
#include "base/trace.h"
#include "log/checkpoint_round.h"
#include "log/log_internal.h"
#include "log/reader.h"

#define POLL_NS 1000000000u    /* disk space, retries, the interval */
#define FRAME_POLL_NS 1000000u /* is the CHECKPOINT frame durable? */
#define BACKOFF_NS 100000000u  /* after a round that moved nothing */

/* A round while it runs; the one that a stop came upon; the last one, which the stop asks for. */
enum frame_of { FRAME_OF_ROUND, FRAME_OF_STOPPED, FRAME_OF_LAST, FRAMES };

enum phase { PHASE_IDLE, PHASE_COLLECT, PHASE_FRAME, PHASE_APPLY };

struct waiter {
  struct list_node node;
  struct task task;
  struct checkpoint *checkpoint;
  struct loop *loop;
  struct task *done;
};

struct checkpoint {
  struct log_set *set;
  struct loop *loop;
  enum phase phase;
  struct checkpoint_round round;
  struct timer poll;
  struct timer frame_poll;
  struct task kick;
  atomic_bool kicked;
  struct task start;
  struct task stop;
  bool last_round;
  bool started;
  bool stopping;
  bool release_later;
  bool after_deletion; /* the round that runs is to remove a deleted log's files */
  struct list waiters; /* of the next round */
  struct list served;  /* of this one */
  uint64_t last_round_ns;
  uint64_t failed_until_ns;
  uint64_t in_vain_until_ns;
  uint64_t in_vain_bytes;
  struct journal_write frames[FRAMES]; /* by what the round is: each may still be on its way when the next begins */
  struct journal_write *frame;
  atomic_bool frame_durable;
};

static void look(struct checkpoint *checkpoint);

/* ---- The frame ---- */

void checkpoint_frame_body(uint8_t out[CHECKPOINT_FRAME_SIZE], const struct checkpoint_row *row) {
  memset(out, 0, CHECKPOINT_FRAME_SIZE);
  out[0] = 1;
  put_u64(out + 8, row->sequence);
  put_u64(out + 16, row->durable_group);
}

enum status checkpoint_frame_decode(struct bytes body, struct checkpoint_row *out_row) {
  if (body.size < 1) return STATUS_CORRUPT;
  if (body.data[0] != 1) return STATUS_FOREIGN;
  if (body.size != CHECKPOINT_FRAME_SIZE) return STATUS_CORRUPT;
  *out_row = (struct checkpoint_row){.sequence = get_u64(body.data + 8), .durable_group = get_u64(body.data + 16)};
  return STATUS_OK;
}

static struct checkpoint *of_frame(struct task *task, size_t which) {
  struct journal_write *write = container_of(task, struct journal_write, done);
  return (struct checkpoint *)(void *)((char *)(write - which) - offsetof(struct checkpoint, frames));
}
/* On a reader's loop, which outlives the journal and this loop. */
static void frame_done(struct task *task) { atomic_store(&of_frame(task, FRAME_OF_ROUND)->frame_durable, true); }
static void late_frame_done(struct task *task) { (void)task; } /* nobody waits for it */

/* A journal that waits for room cannot write it, and only this round can make some: it is not waited for. */
static bool is_frame_due(struct checkpoint *checkpoint) {
  return !checkpoint->stopping && !atomic_load(&checkpoint->frame_durable) && !journal_usage(checkpoint->set->journal).waits;
}

static void submit_frame(struct checkpoint *checkpoint) {
  enum frame_of which = !checkpoint->stopping ? FRAME_OF_ROUND : checkpoint->round.last ? FRAME_OF_LAST : FRAME_OF_STOPPED;
  checkpoint->frame = &checkpoint->frames[which];
  journal_write_reset(checkpoint->frame);
  struct journal_frame *frame = journal_write_add(checkpoint->frame, 0, 0, FRAME_CHECKPOINT);
  frame->head_size = CHECKPOINT_FRAME_SIZE;
  checkpoint_frame_body(frame->head, &checkpoint->set->checkpointed);
  checkpoint->frame->bytes += CHECKPOINT_FRAME_SIZE;
  atomic_store(&checkpoint->frame_durable, false);
  journal_submit(checkpoint->set->journal, checkpoint->frame);
}

/* ---- Lanes ---- */

static void ask_lanes(struct checkpoint *checkpoint, enum lane_request request) {
  struct log_set *set = checkpoint->set;
  for (size_t i = 0; i < LOG_LANES_MAX; i++) {
    struct log_lane *lane = atomic_load(&set->lanes[i]);
    if (lane == NULL || (request == LANE_APPLY && list_empty(&lane->items))) continue;
    lane->wanted = checkpoint->round.request;
    atomic_store(&lane->request, (int)request);
    if (checkpoint->stopping) {
      log_lane_turn(lane);
    } else if (!atomic_load(&lane->ticking)) { /* nothing to say */
      int asked = (int)request;
      atomic_compare_exchange_strong(&lane->request, &asked, LANE_NOTHING);
    }
  }
}

static bool lanes_answered(struct checkpoint *checkpoint) {
  for (size_t i = 0; i < LOG_LANES_MAX; i++) {
    struct log_lane *lane = atomic_load(&checkpoint->set->lanes[i]);
    if (lane != NULL && atomic_load(&lane->request) != LANE_NOTHING) return false;
  }
  return true;
}

static void release_journal(struct checkpoint *checkpoint) {
  struct log_set *set = checkpoint->set;
  if (atomic_load(&set->unadopted) > 0 || checkpoint->round.release_held) return;
  uint64_t floor = journal_usage(set->journal).current_file; /* before the floors: what comes later is in files not below it */
  for (size_t i = 0; i < LOG_LANES_MAX; i++) {
    struct log_lane *lane = atomic_load(&set->lanes[i]);
    uint64_t wanted = lane == NULL ? UINT64_MAX : atomic_load(&lane->floor);
    if (wanted < floor && !MUTANT(recycle_before_checkpoint)) floor = wanted;
  }
  journal_release(set->journal, floor);
}

/* ---- A round ---- */

/* A round may find nothing that can go, as one does that comes right after another, while the ring's oldest file is still in use. It is not
 * repeated at once; but half of what memory has room for that comes meanwhile does not wait. */
bool checkpoint_is_due(const struct checkpoint_load *load) {
  uint64_t many = load->tail_bytes / 2;
  if (load->failed) return false;
  if (load->unflushed_bytes > load->in_vain_bytes + many) return true;
  if (load->in_vain) return false;
  if (load->pressed || load->unflushed_bytes >= many) return true;
  if (load->short_of_space && load->idle_ns >= POLL_NS) return true;
  if (load->deleted && load->idle_ns >= CHECKPOINT_DELETED_NS) return true;
  return load->used_bytes >= load->ring_bytes / 4 || load->idle_ns >= load->interval_ns;
}

static bool is_due(const struct checkpoint *checkpoint, uint64_t now_ns) {
  struct log_set *set = checkpoint->set;
  if (atomic_load(&set->fenced) || !checkpoint->started) return false;
  if (checkpoint->frame != NULL && !atomic_load(&checkpoint->frame_durable)) return false; /* of the round before */
  if (!list_empty(&checkpoint->waiters)) return true;
  uint64_t unflushed = atomic_load_explicit(&set->unflushed_bytes, memory_order_relaxed);
  struct journal_usage usage = journal_usage(set->journal);
  const struct checkpoint_load load = {
      .unflushed_bytes = unflushed,
      .tail_bytes = set->options.tail_bytes,
      .used_bytes = usage.used_bytes,
      .ring_bytes = usage.ring_bytes,
      .pressed = atomic_load(&set->pressed),
      .short_of_space = log_set_free_bytes(set) < 2 * set->options.disk_reserve_bytes + unflushed,
      .deleted = atomic_load(&set->deleted),
      .idle_ns = now_ns - checkpoint->last_round_ns,
      .interval_ns = (uint64_t)set->options.checkpoint_interval_ms * 1000000u,
      .failed = now_ns < checkpoint->failed_until_ns,
      .in_vain = now_ns < checkpoint->in_vain_until_ns,
      .in_vain_bytes = checkpoint->in_vain_bytes,
  };
  return checkpoint_is_due(&load);
}

static uint64_t count_lanes(struct log_set *set) {
  uint64_t lanes = 0;
  for (size_t i = 0; i < LOG_LANES_MAX; i++) lanes += atomic_load(&set->lanes[i]) != NULL;
  return lanes > 0 ? lanes : 1;
}

static void begin_round(struct checkpoint *checkpoint, bool last) {
  struct log_set *set = checkpoint->set;
  struct journal_usage usage = journal_usage(set->journal);
  uint64_t files = set->options.journal.ring_bytes / set->options.journal.file_bytes;
  bool half_full = usage.used_bytes > usage.ring_bytes / 2;
  uint64_t stay_max = usage.ring_bytes / CHECKPOINT_STAY_SHARE; /* what does not fit is flushed, small as it is */
  uint64_t lanes = count_lanes(set);
  bool pressed = atomic_exchange(&set->pressed, false);
  checkpoint->after_deletion = atomic_exchange(&set->deleted, false);
  uint64_t keep = half_full ? files / 4 : files / 2;
  if (pressed || keep == 0) keep = 1;
  uint64_t below = usage.current_file + 1 > keep ? usage.current_file + 1 - keep : 0;
  checkpoint_round_begin(&checkpoint->round, set, last);
  checkpoint->round.request = (struct checkpoint_request){
      .everything = !list_empty(&checkpoint->waiters),
      .release_below = below,
      .carry_below = (pressed || half_full) && usage.oldest_file + 1 < below ? usage.oldest_file + 1 : below,
      .carry_max = (stay_max < CHECKPOINT_CARRY_MAX ? stay_max : CHECKPOINT_CARRY_MAX) / lanes,
      .stay_max = stay_max / lanes,
  };
  for (struct list_node *node = NULL; (node = list_pop_front(&checkpoint->waiters)) != NULL;) {
    list_push_back(&checkpoint->served, node);
  }
  checkpoint->last_round_ns = loop_now_ns(checkpoint->loop);
  atomic_store(&set->hurried, true);
  checkpoint->phase = PHASE_COLLECT;
  ask_lanes(checkpoint, LANE_COLLECT);
}

static void write_round(struct checkpoint *checkpoint) {
  struct log_set *set = checkpoint->set;
  uint64_t unflushed = atomic_load(&set->unflushed_bytes), room = set->options.tail_bytes / 2;
  atomic_store(&set->round_bytes, unflushed + room);
  checkpoint->round.room_bytes = room;
  checkpoint_round_write(&checkpoint->round);
  log_set_see_space(set); /* before the lanes stop counting as waiting what is on the disk now */
  if (checkpoint->round.committed) {
    submit_frame(checkpoint);
    checkpoint->phase = PHASE_FRAME;
    if (!checkpoint->stopping) {
      loop_timer_set(checkpoint->loop, &checkpoint->frame_poll, loop_now_ns(checkpoint->loop) + FRAME_POLL_NS);
    }
    return;
  }
  checkpoint->phase = PHASE_APPLY;
  ask_lanes(checkpoint, LANE_APPLY);
}

static void end_frame(struct checkpoint *checkpoint) {
  struct log_set *set = checkpoint->set;
  bool told = atomic_load(&checkpoint->frame_durable);
  if (!checkpoint->stopping && told && checkpoint->frame->status != STATUS_OK) {
    trace_error("checkpoint_frame_failed", "status=%s do=\"the journal failed: restart on a good disk\"",
                status_name(checkpoint->frame->status));
    atomic_store(&set->fenced, true);
    checkpoint->round.may_release = false;
    checkpoint->round.release_held = true;
  }
  if (checkpoint->stopping) checkpoint->round.may_release = false; /* it may still be on its way */
  checkpoint->phase = PHASE_APPLY;
  ask_lanes(checkpoint, LANE_APPLY);
}

static void answer_waiters(struct checkpoint *checkpoint, struct list *waiters) {
  for (struct list_node *node = NULL; (node = list_pop_front(waiters)) != NULL;) {
    struct waiter *waiter = list_entry(node, struct waiter, node);
    if (waiter->done != NULL) loop_post(waiter->loop, waiter->done);
    memory_free(waiter);
    atomic_fetch_sub(&checkpoint->set->rounds_wanted, 1);
  }
}

static void end_round(struct checkpoint *checkpoint) {
  checkpoint->phase = PHASE_IDLE;
  atomic_store(&checkpoint->set->hurried, atomic_load(&checkpoint->set->pressed));
  atomic_store(&checkpoint->set->round_bytes, UINT64_MAX);
  if (checkpoint->round.may_release) checkpoint_round_remove_files(&checkpoint->round);
  if (checkpoint->round.may_release || (checkpoint->release_later && !checkpoint->stopping)) release_journal(checkpoint);
  checkpoint->release_later = false;
  journal_room_tried(checkpoint->set->journal);
  bool moved = checkpoint->round.committed || checkpoint->round.carried;
  uint64_t now_ns = loop_now_ns(checkpoint->loop);
  if (!moved) checkpoint->in_vain_until_ns = now_ns + BACKOFF_NS;
  if (checkpoint->round.failed) checkpoint->failed_until_ns = now_ns + POLL_NS;
  if (checkpoint->after_deletion && !checkpoint->round.may_release) atomic_store(&checkpoint->set->deleted, true);
  checkpoint->in_vain_bytes = moved ? 0 : atomic_load_explicit(&checkpoint->set->unflushed_bytes, memory_order_relaxed);
  checkpoint_round_end(&checkpoint->round);
  answer_waiters(checkpoint, &checkpoint->served);
}

/* Does whatever can be done next. */
static void look(struct checkpoint *checkpoint) {
  for (;;) {
    switch (checkpoint->phase) {
      case PHASE_IDLE:
        if (checkpoint->stopping || !is_due(checkpoint, loop_now_ns(checkpoint->loop))) return;
        begin_round(checkpoint, false);
        break;
      case PHASE_COLLECT:
        if (!lanes_answered(checkpoint)) return;
        write_round(checkpoint);
        break;
      case PHASE_FRAME:
        if (is_frame_due(checkpoint)) return;
        end_frame(checkpoint);
        break;
      case PHASE_APPLY:
        if (!lanes_answered(checkpoint)) return;
        end_round(checkpoint);
        if (checkpoint->stopping) return;
        break;
    }
  }
}

/* ---- Tasks and timers ---- */

static void kick_run(struct task *task) {
  struct checkpoint *checkpoint = container_of(task, struct checkpoint, kick);
  atomic_store(&checkpoint->kicked, false);
  if (!checkpoint->started) return;
  if (checkpoint->phase == PHASE_IDLE && !checkpoint->stopping) release_journal(checkpoint);
  else checkpoint->release_later = true; /* a floor may have moved; rounds may follow one another without a pause */
  look(checkpoint);
}

void checkpoint_kick(struct checkpoint *checkpoint) {
  if (atomic_load_explicit(&checkpoint->kicked, memory_order_relaxed)) return;
  if (!atomic_exchange(&checkpoint->kicked, true)) loop_post(checkpoint->loop, &checkpoint->kick);
}

void checkpoint_lane_answered(struct checkpoint *checkpoint) {
  if (!atomic_exchange(&checkpoint->kicked, true)) loop_post(checkpoint->loop, &checkpoint->kick);
}

static void refuse_waiters(struct checkpoint *checkpoint) { answer_waiters(checkpoint, &checkpoint->waiters); }

static void waiter_run(struct task *task) {
  struct waiter *waiter = container_of(task, struct waiter, task);
  struct checkpoint *checkpoint = waiter->checkpoint;
  list_push_back(&checkpoint->waiters, &waiter->node);
  if (atomic_load(&checkpoint->set->fenced) || checkpoint->stopping) {
    refuse_waiters(checkpoint);
    return;
  }
  look(checkpoint);
}

void checkpoint_request_round(struct checkpoint *checkpoint, struct loop *loop, struct task *done) {
  struct waiter *waiter = NEW(struct waiter);
  *waiter = (struct waiter){.checkpoint = checkpoint, .loop = loop, .done = done, .task.run = waiter_run};
  atomic_fetch_add(&checkpoint->set->rounds_wanted, 1);
  loop_post(checkpoint->loop, &waiter->task);
}

static void poll_fire(struct timer *timer) {
  struct checkpoint *checkpoint = container_of(timer, struct checkpoint, poll);
  struct log_set *set = checkpoint->set;
  log_set_see_space(set);
  if (journal_usage(set->journal).failed && !atomic_exchange(&set->fenced, true)) {
    trace_error("journal_failed", "do=\"appends are refused, reads go on: restart on a good disk\"");
  }
  if (atomic_load(&set->fenced) && checkpoint->phase == PHASE_IDLE) refuse_waiters(checkpoint);
  look(checkpoint);
  loop_timer_set(checkpoint->loop, timer, loop_now_ns(checkpoint->loop) + POLL_NS);
}

static void frame_poll_fire(struct timer *timer) {
  struct checkpoint *checkpoint = container_of(timer, struct checkpoint, frame_poll);
  look(checkpoint);
  if (checkpoint->phase == PHASE_FRAME) {
    loop_timer_set(checkpoint->loop, timer, loop_now_ns(checkpoint->loop) + FRAME_POLL_NS);
  }
}

static void start_run(struct task *task) {
  struct checkpoint *checkpoint = container_of(task, struct checkpoint, start);
  checkpoint->started = true;
  checkpoint->last_round_ns = loop_now_ns(checkpoint->loop);
  loop_timer_set(checkpoint->loop, &checkpoint->poll, loop_now_ns(checkpoint->loop) + POLL_NS);
}

static void stop_run(struct task *task) {
  struct checkpoint *checkpoint = container_of(task, struct checkpoint, stop);
  checkpoint->stopping = true;
  loop_timer_cancel(checkpoint->loop, &checkpoint->poll);
  loop_timer_cancel(checkpoint->loop, &checkpoint->frame_poll);
  for (size_t i = 0; i < LOG_LANES_MAX; i++) {
    struct log_lane *lane = atomic_load(&checkpoint->set->lanes[i]);
    if (lane != NULL && atomic_load(&lane->request) != LANE_NOTHING) log_lane_turn(lane);
  }
  if (checkpoint->phase != PHASE_IDLE) look(checkpoint);
  CHECK(checkpoint->phase == PHASE_IDLE);
  refuse_waiters(checkpoint);
  if (!checkpoint->last_round || !checkpoint->started || atomic_load(&checkpoint->set->fenced)) return;
  begin_round(checkpoint, true);
  look(checkpoint);
  CHECK(checkpoint->phase == PHASE_IDLE);
}

struct checkpoint *checkpoint_new(struct log_set *set) {
  struct checkpoint *checkpoint = NEW(struct checkpoint);
  checkpoint->set = set;
  checkpoint->loop = world_loop_new(set->world, "checkpoint", LOOP_MAY_BLOCK);
  list_init(&checkpoint->waiters);
  list_init(&checkpoint->served);
  checkpoint->poll.fire = poll_fire;
  checkpoint->frame_poll.fire = frame_poll_fire;
  checkpoint->kick.run = kick_run;
  checkpoint->start.run = start_run;
  checkpoint->stop.run = stop_run;
  for (size_t i = 0; i < FRAMES; i++)
    journal_write_init(&checkpoint->frames[i], reader_loop(set->readers[0]), i == FRAME_OF_ROUND ? frame_done : late_frame_done);
  return checkpoint;
}

void checkpoint_start(struct checkpoint *checkpoint) { loop_post(checkpoint->loop, &checkpoint->start); }

void checkpoint_stop(struct checkpoint *checkpoint, bool last_round) {
  checkpoint->last_round = last_round;
  atomic_store(&checkpoint->set->lanes_stopped, true);
  loop_post(checkpoint->loop, &checkpoint->stop);
  loop_stop(checkpoint->loop);
  checkpoint->loop = NULL;
}

void checkpoint_free(struct checkpoint *checkpoint) {
  if (checkpoint == NULL) return;
  for (size_t i = 0; i < FRAMES; i++) journal_write_deinit(&checkpoint->frames[i]);
  checkpoint_round_deinit(&checkpoint->round);
  memory_free(checkpoint);
}

/* ---- What a log should do ---- */

/* However crowded it is, what is not committed, or waits for its own state, cannot go elsewhere: it may be carried. */
enum checkpoint_plan checkpoint_plan(const struct checkpoint_facts *facts, const struct checkpoint_request *request) {
  bool pins = facts->pinned_file < request->release_below;
  bool room = facts->carried_bytes < request->carry_max;
  bool crowded = facts->staying_bytes > request->stay_max;
  bool carries = facts->pinned_file < request->carry_below && room;
  bool has_to = facts->flushable_bytes >= CHECKPOINT_SMALL_BYTES || request->everything || (pins && (!room || crowded)) ||
                (facts->row_dirty && facts->ahead);
  if (has_to && facts->flushable_bytes > 0 && !facts->flush_waits) return PLAN_FLUSH;
  /* A row that changes all the time, as in one election after the other, must not keep the journal from being freed. */
  if (facts->row_dirty && !facts->ahead) return carries ? PLAN_ROW_AND_CARRY : PLAN_ROW;
  return carries ? PLAN_CARRY : PLAN_NOTHING;
}
