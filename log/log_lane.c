/* A lane's side of the checkpoint: gathers what logs have to give, takes in what was stored, appends small old tails again.
 *
 * The checkpoint never posts to a lane. It sets `request`; the lane sees it when it appends or when its tick fires. The tick runs only while
 * the lane has something dirty, and the slower the less happens; but not while a round is under way or appends wait for one. Between the two
 * requests of a round it is fastest, or a lane whose appends all wait for that round would hear of its end a tick later, with the disk idle
 * meanwhile.
 */
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "log/log_internal.h"
#include "log/reader.h"

#define TICK_ROUND_NS \
  1000000u /* while a round has something of the lane, at first; twice as long each time, up to TICK_FAST_NS */
#define TICK_FAST_NS 20000000u
#define TICK_SLOW_NS 320000000u

/* ---- The tick ---- */

static bool has_work(const struct log_lane *lane) {
  return !list_empty(&lane->dirty) || !list_empty(&lane->closed) || !list_empty(&lane->marks) || lane->own_busy ||
         tail_pool_over_share(&lane->pool);
}

void log_lane_turn_soon(struct log_lane *lane) {
  atomic_store(&lane->ticking, true);
  loop_timer_set(lane->loop, &lane->tick, 0);
}

void log_lane_wake(struct log_lane *lane) {
  bool asked = atomic_load_explicit(&lane->request, memory_order_relaxed) != LANE_NOTHING;
  if (asked) {
    log_lane_turn_soon(lane);
  } else if (!lane->active && (lane->tick.slot == 0 || (lane->tick_ns > TICK_FAST_NS && !lane->in_round))) {
    lane->tick_ns = TICK_FAST_NS;
    atomic_store(&lane->ticking, true);
    loop_timer_set(lane->loop, &lane->tick, loop_now_ns(lane->loop) + lane->tick_ns);
  }
  lane->active = true;
}

static uint64_t next_tick_ns(struct log_lane *lane) {
  if (!lane->in_round) return lane->tick_ns;
  uint64_t round_ns = lane->round_tick_ns;
  if (2 * round_ns <= TICK_FAST_NS) lane->round_tick_ns = 2 * round_ns;
  return round_ns;
}

static void tick(struct timer *timer) {
  struct log_lane *lane = container_of(timer, struct log_lane, tick);
  log_lane_turn(lane);
  if (lane->active || atomic_load_explicit(&lane->set->hurried, memory_order_relaxed)) {
    lane->tick_ns = TICK_FAST_NS;
  } else if (lane->tick_ns < TICK_SLOW_NS && !lane->in_round) {
    lane->tick_ns *= 2;
  }
  lane->active = false;
  if (!has_work(lane)) {
    atomic_store(&lane->ticking, false);
    if (atomic_load(&lane->request) == LANE_NOTHING) return;
    atomic_store(&lane->ticking, true);
  }
  loop_timer_set(lane->loop, timer, loop_now_ns(lane->loop) + next_tick_ns(lane));
}

static void own_done(struct task *task) {
  /* On a reader's loop: the lane may be gone, its memory is not. */
  struct journal_write *write = container_of(task, struct journal_write, done);
  atomic_store(&container_of(write, struct log_lane, own)->own_done, true);
}

struct log_lane *log_lane_get(struct log_set *set, struct loop *loop) {
  for (size_t i = 0; i < LOG_LANES_MAX; i++) {
    struct log_lane *known = atomic_load(&set->lanes[i]);
    if (known != NULL && known->loop == loop) return known;
  }
  struct log_lane *lane = NEW(struct log_lane);
  lane->set = set;
  lane->loop = loop;
  list_init(&lane->logs);
  list_init(&lane->dirty);
  list_init(&lane->marks);
  list_init(&lane->closed);
  list_init(&lane->items);
  tail_pool_init(&lane->pool, &set->tail_budget);
  lane->tick.fire = tick;
  lane->tick_ns = TICK_SLOW_NS;
  lane->durable_file = journal_usage(set->journal).current_file;
  journal_write_init(&lane->own, reader_loop(set->readers[0]), own_done);
  atomic_init(&lane->floor, lane->durable_file);
  for (size_t i = 0; i < LOG_LANES_MAX; i++) {
    struct log_lane *empty = NULL;
    if (atomic_compare_exchange_strong(&set->lanes[i], &empty, lane)) return lane;
  }
  CHECK_MSG(false, "more than %u lanes", LOG_LANES_MAX);
  return NULL;
}

void log_lane_free(struct log_lane *lane) {
  if (lane == NULL) return;
  list_for_each(&lane->items, node, next) {
    list_remove(node);
    checkpoint_item_free(list_entry(node, struct checkpoint_item, node));
  }
  list_for_each(&lane->logs, node, next) log_free(list_entry(node, struct log, node));
  tail_pool_deinit(&lane->pool);
  journal_write_deinit(&lane->own);
  memory_free(lane);
}

static void publish_floor(struct log_lane *lane) {
  if (atomic_load(&lane->joining) > 0) return;
  /* What is appended from now on is in files not below the current one. It is told to log_mark_dirty() only while nothing is dirty. */
  bool clean = list_empty(&lane->dirty) && list_empty(&lane->closed);
  uint64_t floor = clean ? UINT64_MAX : journal_usage(lane->set->journal).current_file;
  list_for_each(&lane->dirty, node, next) {
    uint64_t pinned = log_pinned_file(list_entry(node, struct log, dirty_node));
    if (pinned < floor) floor = pinned;
  }
  list_for_each(&lane->closed, closed_node, next_closed) {
    uint64_t pinned = log_pinned_file(list_entry(closed_node, struct log, dirty_node));
    if (pinned < floor) floor = pinned;
  }
  atomic_store(&lane->floor, floor);
}

/* On the lane: an adopted log takes its place. */
static void join(struct task *task) {
  struct log *log = container_of(task, struct log, join);
  struct log_lane *lane = log->lane;
  list_push_back(&lane->logs, &log->node);
  bool dirty = log->last_index > log->flushed_index || log->row_dirty || log->state_owed;
  if (dirty && !list_node_linked(&log->dirty_node)) { /* it may have been written to already */
    list_push_back(&lane->dirty, &log->dirty_node);
    log_lane_wake(lane);
  }
  /* A lane on which nothing ever happens would hold the journal where it was when it began. */
  if (atomic_fetch_sub(&lane->joining, 1) == 1) publish_floor(lane);
}

void log_lane_adopt(struct log_lane *lane, struct log *log) {
  log->lane = lane;
  tail_adopt(&log->tail, &lane->pool);
  atomic_fetch_add(&lane->joining, 1);
  uint64_t pinned = log_pinned_file(log);
  if (pinned < atomic_load(&lane->floor)) atomic_store(&lane->floor, pinned);
  log->join.run = join;
  loop_post(lane->loop, &log->join);
}

/* ---- Apply ---- */

/* Those that had their turn come last in the next round. */
static void take_log(struct log_lane *lane, struct log *log) {
  list_remove(&log->dirty_node);
  list_push_back(log->closed ? &lane->closed : &lane->dirty, &log->dirty_node);
  log->in_round = false;
}

static void apply_flushed(struct log *log, struct checkpoint_item *item) {
  log_take_segments(log, item->segments, item->segment_count);
  item->segments = NULL;
  if (!item->flush || log->closed || item->row.flushed_index <= log->flushed_index) return;
  uint64_t bytes = log_bytes_between(log, log->flushed_index + 1, item->row.flushed_index);
  log->unflushed_bytes -= bytes;
  atomic_fetch_sub_explicit(&log->set->unflushed_bytes, bytes, memory_order_relaxed);
  for (entry_index index = log->flushed_index + 1; index <= item->row.flushed_index; index++) {
    const struct tail_slot *slot = tail_at(&log->tail, index);
    if (slot != NULL && slot->lost && slot->entry.head.record_count > 0) {
      log_note_damage(log, (struct log_range){slot->entry.head.base_offset, entry_end_offset(&slot->entry.head)});
    }
  }
  log->flushed_index = item->row.flushed_index;
  log->flushed_offset = item->row.flushed_offset;
  log->flushed_chain = item->row.flushed_chain;
  log->flushed_leader_time_ms = item->row.leader_time_ms;
  log->flushed_max_time_ms = item->row.max_time_ms;
  if (log->durable_index < log->flushed_index) log->durable_index = log->flushed_index;
  tail_set_flushed(&log->tail, log->flushed_index);
}

static void carry(struct log_lane *lane, struct log *log, struct checkpoint_item *item) {
  if (lane->own_busy || log->deleting || log->closed) return;
  for (size_t i = 0; i < item->entry_count; i++) {
    struct flush_entry *entry = &item->entries[i];
    const struct tail_slot *slot = tail_at(&log->tail, entry->entry.head.index);
    if (!entry->cached || slot == NULL || slot->entry.head.chain != entry->entry.head.chain || !slot->durable) continue;
    if (slot->place.file >= lane->wanted.carry_below || lane->own.bytes >= lane->wanted.carry_max) continue;
    struct journal_frame *frame = journal_write_add(&lane->own, log->group, log->instance, FRAME_ENTRY);
    frame->first_index = entry->entry.head.index;
    frame->head_size = ENTRY_HEAD_SIZE;
    frame->from_reserve = true;
    frame->owner = log;
    log->reads++; /* stays until the frame is answered */
    if (frame->first_index > log->carried_through) log->carried_through = frame->first_index;
    entry_encode_head(&entry->entry.head, frame->head);
    frame->payload = blob_part_hold(entry->entry.payload);
    lane->own.bytes += entry_size(&entry->entry.head);
  }
}

static void clean_up(struct log *log) {
  bool clean =
      log->flushed_index == log->last_index && !log->row_dirty && !log->state_owed && log->pinned_file == 0 && !log_owes_map(log);
  if (clean && !log->deleting && list_node_linked(&log->dirty_node)) list_remove(&log->dirty_node);
}

static void apply_one(struct log_lane *lane, struct checkpoint_item *item) {
  struct log *log = item->log;
  take_log(lane, log);
  if (item->row.closed && item->stored) {
    list_remove(&log->dirty_node);
    log_lane_read_ended(log);
    return;
  }
  if (item->lost != NULL && !log->closed) (void)log_lose(log, item->lost);
  if (item->stored && !log->closed) {
    log->pinned_file = 0;
    if (item->row.damaged) log->loss_owed = false;
    if (item->has_state && item->state.size > 0) log->stored_index = item->state_applied;
    log->dumped_index = item->dumped_applied;
    apply_flushed(log, item);
    log_forget_terms(log);
  }
  if (!item->stored && (item->flush || !item->carry || item->row_given)) log->row_dirty = true;
  if (!item->stored && item->state_owed) log->state_owed = true;
  if (item->carry) carry(lane, log, item);
  if (!log->closed) clean_up(log);
}

static void apply(struct log_lane *lane) {
  for (struct list_node *node = NULL; (node = list_pop_front(&lane->items)) != NULL;) {
    struct checkpoint_item *item = list_entry(node, struct checkpoint_item, node);
    apply_one(lane, item);
    checkpoint_item_free(item);
  }
}

void log_lane_read_ended(struct log *log) {
  if (!log->closed || log->reads > 0 || list_node_linked(&log->dirty_node)) return;
  list_remove(&log->node);
  log_free(log);
}

/* ---- The lane's own frames ---- */

/* They say nothing about where the newest frames of others are: those may stand in an older file and be told later, because these are told
 * past the lane's mailbox. */
static void take_own_places(struct log_lane *lane) {
  for (size_t i = 0; i < lane->own.count; i++) {
    const struct journal_frame *frame = &lane->own.frames[i];
    struct log *log = frame->owner;
    if (log == NULL) continue;
    if (lane->own.status == STATUS_OK && !log->closed) log_take_place(log, frame);
    log->reads--;
    log_lane_read_ended(log);
  }
  journal_write_reset(&lane->own);
  lane->own_busy = false;
}

static void mark_commits(struct log_lane *lane) {
  for (struct list_node *node = NULL; (node = list_pop_front(&lane->marks)) != NULL;) {
    struct log *log = list_entry(node, struct log, mark_node);
    if (log->deleting) continue;
    entry_index commit = log->commit_index < log->durable_index ? log->commit_index : log->durable_index;
    log->unmarked_bytes = log_bytes_between(log, commit + 1, log->commit_index);
    if (commit <= log->hard_state.commit) continue;
    log->hard_state.commit = commit;
    journal_write_add_hard_state(&lane->own, log->group, log->instance, &log->hard_state);
  }
}

/* The checkpoint calls off what it asked of a lane that seemed to sleep: whoever swaps first has it. */
static int take_request(struct log_lane *lane) {
  int request = atomic_load(&lane->request);
  if (request == LANE_NOTHING) return LANE_NOTHING;
  return atomic_compare_exchange_strong(&lane->request, &request, LANE_WORKING) ? request : LANE_NOTHING;
}

void log_lane_turn(struct log_lane *lane) {
  bool stopped = atomic_load_explicit(&lane->set->lanes_stopped, memory_order_relaxed);
  bool changed = false;
  if (lane->own_busy && atomic_exchange(&lane->own_done, false)) {
    take_own_places(lane);
    changed = true;
  }
  int request = take_request(lane);
  if (request == LANE_COLLECT) {
    publish_floor(lane); /* what was on its way when it was published last is known by now */
    log_lane_collect(lane);
    lane->in_round = !list_empty(&lane->items);
    lane->round_tick_ns = TICK_ROUND_NS;
  }
  if (request == LANE_APPLY) {
    apply(lane);
    lane->in_round = false;
    changed = true;
  }
  if (!lane->own_busy && !stopped) mark_commits(lane);
  if (!lane->own_busy && lane->own.count > 0 && !stopped) {
    lane->own_busy = true;
    journal_submit(lane->set->journal, &lane->own);
  }
  tail_pool_evict(&lane->pool);
  if (changed) {
    publish_floor(lane);
    checkpoint_kick(lane->set->checkpoint);
  }
  if (request == LANE_NOTHING) return;
  atomic_store(&lane->request, LANE_NOTHING);
  checkpoint_lane_answered(lane->set->checkpoint);
}
