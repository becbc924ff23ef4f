#include "log/log.h"

#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"
#include "base/probe.h"
#include "log/log_internal.h"
#include "log/retention.h"

#define ENTRY_CHAIN_AT 96u

struct log *log_new(struct log_set *set, group_id group, instance_id instance) {
  struct log *log = NEW(struct log);
  log->set = set;
  log->group = group;
  log->instance = instance;
  log->start_index = 1;
  log->next_instance = instance + 1;
  tail_init(&log->tail, 0);
  buffer_init(&log->recovered_state, TABLE_STATE_MAX);
  return log;
}

void log_free(struct log *log) {
  if (log == NULL) return;
  atomic_fetch_sub_explicit(&log->set->unflushed_bytes, log->unflushed_bytes, memory_order_relaxed);
  tail_deinit(&log->tail);
  buffer_deinit(&log->recovered_state);
  memory_free(log->terms);
  memory_free(log->segments);
  memory_free(log->damage);
  memory_free(log);
}

/* ---- What is known ---- */

/* What is trimmed stays until a round has recorded the new start. */
entry_index log_first_kept(const struct log *log) {
  return log->start_index <= log->flushed_index ? log->start_index : log->flushed_index + 1;
}

static entry_index damage_through(const struct log *log) {
  if (!log->damaged) return 0;
  return log->damage_through > log->last_index ? log->damage_through : log->last_index;
}

struct log_view log_view(const struct log *log) {
  struct log_view view = {
      .group = log->group,
      .instance = log->instance,
      .start_offset = log->start_offset,
      .start_index = log_first_kept(log),
      .next_offset = log->next_offset,
      .last_index = log->last_index,
      .last_term = log->last_term,
      .last_chain = log->last_chain,
      .last_leader_time_ms = log->last_leader_time_ms,
      .max_time_ms = log->max_time_ms,
      .commit_index = log->commit_index,
      .durable_index = log->durable_index,
      .flushed_index = log->flushed_index,
      .bytes = log->segment_bytes + log->unflushed_bytes,
      .hard_state = log->hard_state,
      .stored_index = log->stored_index,
      .spare = log->is_spare,
      .damage_through = damage_through(log),
      .damaged = log->damaged,
  };
  return view;
}

void log_take_segments(struct log *log, struct segment_info *segments, size_t count) {
  memory_free(log->segments);
  log->segments = segments;
  log->segment_count = count;
  log->segment_bytes = 0;
  for (size_t i = 0; i < count; i++) log->segment_bytes += segments[i].length;
}

size_t log_damaged_ranges(const struct log *log, struct log_range *out_ranges, size_t max) {
  size_t count = log->damage_count < max ? log->damage_count : max;
  if (count > 0) memcpy(out_ranges, log->damage, count * sizeof *out_ranges);
  return log->damage_count;
}

void log_note_damage(struct log *log, struct log_range range) {
  for (size_t i = 0; i < log->damage_count; i++) {
    struct log_range *known = &log->damage[i];
    if (range.first > known->end || range.end < known->first) continue;
    if (range.first < known->first) known->first = range.first;
    if (range.end > known->end) known->end = range.end;
    return;
  }
  if (log->damage_count == LOG_DAMAGED_RANGES_MAX) return; /* reads find it again */
  log->damage = memory_grow_array(log->damage, log->damage_count + 1, sizeof *log->damage);
  log->damage[log->damage_count++] = range;
}

void log_set_owner(struct log *log, const struct log_owner *owner) {
  log->owner = *owner;
  if (!log->is_spare || owner->snapshot == NULL) return;
  log->row_dirty = true; /* its state is to be stored, whatever else there is */
  log_mark_dirty(log);
}

void log_mark_dirty(struct log *log) {
  struct log_lane *lane = log->lane;
  if (lane == NULL || log->closed) return;
  if (!list_node_linked(&log->dirty_node)) {
    bool clean = list_empty(&lane->dirty) && list_empty(&lane->closed);
    if (clean && atomic_load_explicit(&lane->joining, memory_order_relaxed) == 0) {
      atomic_store(&lane->floor, journal_usage(log->set->journal).current_file);
    }
    list_push_back(&lane->dirty, &log->dirty_node);
  }
  log_lane_wake(lane);
}

void log_owe_state(struct log *log) {
  log->state_owed = true;
  log_mark_dirty(log);
}

void log_hurry(struct log *log) {
  if (log->lane != NULL) log_lane_wake(log->lane);
}

void log_set_settings(struct log *log, const struct log_settings *settings) {
  if (memcmp(&log->settings, settings, sizeof *settings) == 0) return;
  log->settings = *settings;
  log->row_dirty = true;
  log_mark_dirty(log);
}

void log_note_term(struct log *log, entry_index index, entry_term term) {
  if (log->term_count > 0 && log->terms[log->term_count - 1].term == term) return;
  if (log->term_count == log->term_capacity) {
    log->term_capacity = log->term_capacity == 0 ? 2 : log->term_capacity * 2;
    log->terms = memory_grow_array(log->terms, log->term_capacity, sizeof *log->terms);
  }
  log->terms[log->term_count++] = (struct log_term_run){.first = index, .term = term};
}

enum status log_term_at(const struct log *log, entry_index index, entry_term *out_term) {
  if (index == 0 || index > log->last_index || index + 1 < log_first_kept(log)) return STATUS_END;
  for (size_t i = log->term_count; i > 0; i--) {
    if (log->terms[i - 1].first > index) continue;
    *out_term = log->terms[i - 1].term;
    return STATUS_OK;
  }
  return STATUS_END;
}

static uint64_t slot_file(const struct log *log, const struct tail_slot *slot) {
  return slot->durable ? slot->place.file : log->lane->durable_file;
}

uint64_t log_pinned_file(const struct log *log) {
  uint64_t pinned = log->pinned_file == 0 ? UINT64_MAX : log->pinned_file;
  if (log->closed) return pinned;
  /* Frames are in the order of indexes, but for those that were appended again. */
  for (entry_index index = log->flushed_index + 1; index <= log->last_index; index++) {
    const struct tail_slot *slot = tail_at(&log->tail, index);
    bool gone = slot != NULL && slot->lost && (!log->loss_owed || slot->place.file == 0);
    if (slot == NULL || gone) continue;
    uint64_t file = slot_file(log, slot);
    if (file < pinned) pinned = file;
    if (index > log->carried_through) break;
  }
  return pinned;
}

bool log_chain_at(const struct log *log, entry_index index, uint64_t *out_chain) {
  const struct tail_slot *slot = tail_at(&log->tail, index);
  if (index > log->last_index || index + 1 < log_first_kept(log)) return false;
  if (index == log->last_index) {
    *out_chain = log->last_chain;
  } else if (index == log->flushed_index) {
    *out_chain = log->flushed_chain;
  } else if (index + 1 == log_first_kept(log)) {
    *out_chain = log->start_chain;
  } else if (slot != NULL && !slot->lost) {
    *out_chain = slot->entry.head.chain;
  } else {
    return false;
  }
  return true;
}

size_t log_terms(const struct log *log, entry_index base, struct log_term_run *out_runs, size_t max) {
  PRE(base <= log->last_index && base + 1 >= log_first_kept(log));
  size_t count = 0;
  for (size_t i = 0; i < log->term_count && base < log->last_index; i++) {
    if (i + 1 < log->term_count && log->terms[i + 1].first <= base + 1) continue;
    if (count < max) out_runs[count] = log->terms[i];
    if (count < max && out_runs[count].first <= base) out_runs[count].first = base + 1;
    count++;
  }
  return count;
}

/* ---- Writing ---- */

static void note_last(struct log *log, const struct entry_head *head) {
  log->last_index = head->index;
  log->last_term = head->term;
  log->last_chain = head->chain;
  log->next_offset = entry_end_offset(head);
  log->last_leader_time_ms = head->leader_time_ms;
  if (head->record_count > 0 && head->max_time_ms > log->max_time_ms) log->max_time_ms = head->max_time_ms;
}

void log_append_sealed(struct log *log, struct journal_write *write, const struct entry *entry) {
  const struct entry_head *head = &entry->head;
  PRE(head->index == log->last_index + 1);
  PRE(head->term >= log->last_term);
  PRE(head->base_offset == log->next_offset);
  PRE(head->payload_size == entry->payload.bytes.size);
  PRE(!log->deleting);
  struct journal_frame *frame = journal_write_add(write, log->group, log->instance, FRAME_ENTRY);
  frame->from_reserve = !entry_needs_room(head->kind);
  frame->first_index = head->index;
  frame->head_size = ENTRY_HEAD_SIZE;
  entry_encode_head(head, frame->head);
  frame->payload = blob_part_hold(entry->payload);
  write->bytes += entry_size(head);

  note_last(log, head);
  log_note_term(log, head->index, head->term);
  log_mark_dirty(log);
  tail_push(&log->tail, entry, true)->cuts = log->cuts;
  tail_pool_evict(&log->lane->pool);
  log->unflushed_bytes += entry_size(head);
  uint64_t before = atomic_fetch_add_explicit(&log->set->unflushed_bytes, entry_size(head), memory_order_relaxed);
  uint64_t due = log->set->options.tail_bytes / 2;
  if (before + entry_size(head) >= due) checkpoint_kick(log->set->checkpoint);
}

uint64_t log_append(struct log *log, struct journal_write *write, const struct entry *entry) {
  struct entry sealed = *entry;
  entry_seal(&sealed.head, entry->payload.bytes, log->last_chain);
  log_append_sealed(log, write, &sealed);
  return sealed.head.chain;
}

/* What the log ends with when `last` is its last entry. */
static void end_at(struct log *log, entry_index last) {
  while (log->term_count > 0 && log->terms[log->term_count - 1].first > last) log->term_count--;
  log->last_index = log->flushed_index;
  log->last_chain = log->flushed_chain;
  log->next_offset = log->flushed_offset;
  log->last_leader_time_ms = log->flushed_leader_time_ms;
  log->max_time_ms = log->flushed_max_time_ms;
  for (entry_index index = log->flushed_index + 1; index <= last; index++)
    note_last(log, &tail_at(&log->tail, index)->entry.head);
  log->last_term = log->term_count > 0 ? log->terms[log->term_count - 1].term : 0;
}

void log_cut(struct log *log, struct journal_write *write, entry_index from) {
  PRE(from > log->commit_index);
  PRE(from > log->flushed_index);
  PRE(!log->deleting);
  struct journal_frame *frame = journal_write_add(write, log->group, log->instance, FRAME_CUT);
  frame->first_index = from;
  log->cuts++;
  if (from > log->last_index) return;
  uint64_t bytes = log_bytes_between(log, from, log->last_index);
  log->unflushed_bytes -= bytes;
  atomic_fetch_sub_explicit(&log->set->unflushed_bytes, bytes, memory_order_relaxed);
  tail_cut(&log->tail, from);
  end_at(log, from - 1);
  if (log->durable_index >= from) log->durable_index = from - 1;
  if (log->carried_through >= from) log->carried_through = from - 1;
  log_mark_dirty(log);
}

void log_set_hard_state(struct log *log, struct journal_write *write, const struct hard_state *state) {
  struct hard_state kept = *state;
  if (kept.commit > log->durable_index) kept.commit = log->durable_index;
  if (kept.commit < log->hard_state.commit) kept.commit = log->hard_state.commit;
  log->hard_state = kept;
  log->row_dirty = true;
  journal_write_add_hard_state(write, log->group, log->instance, &kept);
}

/* The CLOSE is durable: from here on only the lane knows the log, until the next round has removed it. */
static void become_closed(struct log *log, uint64_t file) {
  struct log_lane *lane = log->lane;
  log->closed = true;
  log->pinned_file = file;
  if (list_node_linked(&log->dirty_node)) list_remove(&log->dirty_node);
  if (list_node_linked(&log->mark_node)) list_remove(&log->mark_node);
  list_push_back(&lane->closed, &log->dirty_node);
  atomic_fetch_sub_explicit(&log->set->unflushed_bytes, log->unflushed_bytes, memory_order_relaxed);
  log->unflushed_bytes = 0;
  tail_deinit(&log->tail);
  atomic_store(&log->set->deleted, true);
  log_lane_wake(lane);
}

void log_take_place(struct log *log, const struct journal_frame *frame) {
  struct tail_slot *slot = tail_at(&log->tail, frame->first_index);
  /* Cut meanwhile, or cut and come back: then only its own frame makes it durable, because the cut stands between the two. */
  if (slot == NULL || slot->entry.head.chain != get_u64(frame->head + ENTRY_CHAIN_AT) || !slot->durable) return;
  slot->place = frame->place;
}

/* Frames are told in the order in which they were issued, so the cuts told so far say which entry at an index this one is. */
static void entry_durable(struct log *log, const struct journal_frame *frame) {
  struct tail_slot *slot = tail_at(&log->tail, frame->first_index);
  if (slot == NULL || slot->cuts != log->cuts_durable) return; /* cut meanwhile */
  slot->place = frame->place;
  slot->durable = true;
  if (frame->first_index == log->durable_index + 1) log->durable_index = frame->first_index;
  tail_pool_evict(&log->lane->pool);
}

void log_frame_durable(struct log *log, const struct journal_frame *frame) {
  struct log_lane *lane = log->lane;
  if (frame->place.file > lane->durable_file) lane->durable_file = frame->place.file;
  if (frame->kind == FRAME_OPEN && log->pinned_file != 0) log->pinned_file = frame->place.file;
  if (frame->kind == FRAME_CLOSE) become_closed(log, frame->place.file);
  if (frame->kind == FRAME_CUT) log->cuts_durable++;
  if (frame->kind == FRAME_ENTRY) entry_durable(log, frame);
}

void log_set_commit(struct log *log, entry_index commit) {
  PRE(commit <= log->last_index);
  if (commit <= log->commit_index) return;
  for (entry_index index = log->commit_index + 1; index <= commit; index++) {
    const struct tail_slot *slot = tail_at(&log->tail, index);
    if (slot != NULL) log->unmarked_bytes += entry_size(&slot->entry.head);
  }
  log->commit_index = commit;
  if (log->lane != NULL && log->unmarked_bytes >= LOG_WATERMARK_BYTES && !list_node_linked(&log->mark_node)) {
    list_push_back(&log->lane->marks, &log->mark_node);
    log_lane_turn_soon(log->lane);
  }
}

void log_set_applied(struct log *log, entry_index applied) {
  PRE(applied <= log->commit_index);
  if (applied > log->applied_index) log->applied_index = applied;
}

/* ---- The start ---- */

void log_forget_terms(struct log *log) {
  size_t gone = 0;
  while (gone + 1 < log->term_count && log->terms[gone + 1].first + 1 <= log_first_kept(log)) gone++;
  if (gone == 0) return;
  log->term_count -= gone;
  memmove(log->terms, log->terms + gone, log->term_count * sizeof *log->terms);
}

/* Over whole segments, and then over entries in memory: those that end at `offset` or before, up to `last`. */
static void move_start(struct log *log, record_offset offset, entry_index last) {
  entry_index index = log->start_index;
  uint64_t chain = log->start_chain;
  for (size_t i = 0; i < log->segment_count; i++) {
    const struct segment_info *segment = &log->segments[i];
    if (segment->end_offset > offset || segment->last_index > last) break;
    index = segment->last_index + 1;
    chain = segment->last_chain;
  }
  bool in_tail = index > log->flushed_index;
  for (entry_index at = index; in_tail && at <= log->applied_index && at <= last; at++) {
    const struct tail_slot *slot = tail_at(&log->tail, at);
    if (slot == NULL || entry_end_offset(&slot->entry.head) > offset) break;
    if (slot->lost) continue; /* nobody knows its chain link */
    index = at + 1;
    chain = slot->entry.head.chain;
  }
  log->start_index = index;
  log->start_chain = chain;
  log->row_dirty = true;
  log_mark_dirty(log);
}

void log_set_start(struct log *log, record_offset start) {
  if (start <= log->start_offset) return;
  if (start > log->next_offset) start = log->next_offset;
  log->start_offset = start;
  move_start(log, start, UINT64_MAX);
}

/* The last of what may go, so that what stays has so much. */
static entry_index last_beyond(const struct log *log, uint64_t entries, uint64_t bytes) {
  entry_index last = log->last_index > entries ? log->last_index - entries : 0;
  uint64_t behind = log->unflushed_bytes;
  for (size_t i = log->segment_count; i > 0; i--) {
    const struct segment_info *segment = &log->segments[i - 1];
    if (behind >= bytes) return segment->last_index > last ? segment->last_index : last;
    behind += segment->length;
  }
  return last;
}

void log_keep_newest(struct log *log, uint64_t entries, uint64_t bytes) {
  entry_index last = last_beyond(log, entries, bytes), before = log->start_index;
  if (last > log->dumped_index) last = log->dumped_index;
  if (last > log->applied_index) last = log->applied_index;
  if (last >= before && !log->damaged) move_start(log, log->next_offset, last);
  if (log->start_index > before) REACHED(covered_entries_go);
}

record_offset log_retention_start(const struct log *log, int64_t now_ms) {
  return retention_start(&log->settings, log->segments, log->segment_count, log->unflushed_bytes, log->start_offset, now_ms);
}

void log_delete(struct log *log, struct journal_write *write) {
  PRE(!log->deleting);
  PRE(log->spare == NULL);
  if (log->spare_of != NULL) log->spare_of->spare = NULL;
  log->spare_of = NULL;
  log->deleting = true;
  journal_write_add(write, log->group, log->instance, FRAME_CLOSE);
  log_mark_dirty(log);
}

/* ---- Opening ---- */

void log_forget_owner(struct log *log) {
  PRE(log->owner.snapshot == NULL);
  if (log->recovered_start_index == 0) return; /* it was not recovered but made */
  log->start_offset = log->recovered_start;
  log->start_index = log->recovered_start_index;
  log->start_chain = log->recovered_start_chain;
}

struct bytes log_recovered_state(const struct log *log, entry_index *out_applied) {
  *out_applied = log->recovered_applied;
  return buffer_bytes(&log->recovered_state);
}
