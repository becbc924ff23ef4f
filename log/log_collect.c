/* What the logs of a lane give to a round of the checkpoint. */
#include <string.h>

#include "base/memory.h"
#include "log/log_internal.h"

/* What is committed may be flushed before the journal has it: it is in memory, and durable by that. Not while a cut is on its way, though: a
 * crash might find it in the segment, and behind it in the journal what the cut was to void. */
static entry_index flush_target(const struct log *log) {
  entry_index target = log->applied_index;
  if (log->cuts != log->cuts_durable && log->durable_index < target) target = log->durable_index;
  for (; target > log->flushed_index; target--) {
    const struct tail_slot *slot = tail_at(&log->tail, target);
    if (slot != NULL && !slot->lost) break;
  }
  return target > log->flushed_index ? target : log->flushed_index;
}

uint64_t log_bytes_between(const struct log *log, entry_index first, entry_index last) {
  uint64_t bytes = 0;
  for (entry_index index = first; index <= last; index++) {
    const struct tail_slot *slot = tail_at(&log->tail, index);
    if (slot != NULL && !slot->lost) bytes += entry_size(&slot->entry.head);
  }
  return bytes;
}

static void take_entry(const struct log *log, struct checkpoint_item *item, const struct tail_slot *slot) {
  struct flush_entry *entry = &item->entries[item->entry_count++];
  *entry = (struct flush_entry){.entry.head = slot->entry.head, .place = slot->place, .lost = slot->lost};
  if (slot->lost || !tail_cached(&log->tail, slot->entry.head.index)) return;
  entry->cached = true;
  entry->entry.payload = blob_part_hold(slot->entry.payload);
}

static void take_entries(const struct log *log, struct checkpoint_item *item, entry_index first, entry_index last) {
  if (last < first) return;
  item->entries = memory_new_array((size_t)(last - first + 1), sizeof *item->entries);
  for (entry_index index = first; index <= last; index++) take_entry(log, item, tail_at(&log->tail, index));
}

static struct checkpoint_item *item_new(struct log *log) {
  struct checkpoint_item *item = NEW(struct checkpoint_item);
  item->log = log;
  item->group = log->group;
  item->instance = log->instance;
  item->row = (struct group_row){
      .group = log->group,
      .instance = log->instance,
      .replaces = log->replaces,
      .closed = log->closed,
      .damaged = log->damaged,
      .settings = log->settings,
      .hard_state = log->hard_state,
      .start_offset = log->start_offset,
      .start_index = log->start_index,
      .start_chain = log->start_chain,
      .terms = memory_new_array(log->term_count + 1, sizeof *log->terms),
      .term_count = log->term_count,
  };
  item->flushed = (struct log_base){.index = log->flushed_index,
                                    .chain = log->flushed_chain,
                                    .leader_time_ms = log->flushed_leader_time_ms,
                                    .next_offset = log->flushed_offset,
                                    .max_time_ms = log->flushed_max_time_ms};
  if (log->term_count > 0) memcpy(item->row.terms, log->terms, log->term_count * sizeof *log->terms);
  entry_index commit = log->commit_index < log->durable_index ? log->commit_index : log->durable_index;
  if (item->row.hard_state.commit < commit) item->row.hard_state.commit = commit;
  buffer_init(&item->state, TABLE_STATE_MAX);
  return item;
}

/* Of any record up to there, those that are trimmed before they come to a segment included. */
static int64_t max_time_through(const struct log *log, entry_index last) {
  int64_t max_time_ms = log->flushed_max_time_ms;
  for (entry_index index = log->flushed_index + 1; index <= last; index++) {
    const struct entry_head *head = &tail_at(&log->tail, index)->entry.head;
    if (head->record_count > 0 && head->max_time_ms > max_time_ms) max_time_ms = head->max_time_ms;
  }
  return max_time_ms;
}

/* Only what of the terms is flushed is stored with the row; the journal tells the rest. */
static void end_row_at(const struct log *log, struct group_row *row, entry_index target) {
  while (row->term_count > 0 && row->terms[row->term_count - 1].first > target) row->term_count--;
  const struct tail_slot *slot = tail_at(&log->tail, target);
  if (slot == NULL) return;
  row->flushed_index = target;
  row->flushed_offset = entry_end_offset(&slot->entry.head);
  row->flushed_chain = slot->entry.head.chain;
  row->leader_time_ms = slot->entry.head.leader_time_ms;
  row->max_time_ms = max_time_through(log, target);
}

/* Entries in old journal files. */
static void collect_carry(const struct log *log, struct checkpoint_item *item, const struct checkpoint_request *request,
                          uint64_t *carried) {
  item->carry = true;
  size_t capacity = 0;
  for (entry_index index = log->flushed_index + 1; index <= log->last_index && *carried < request->carry_max; index++) {
    const struct tail_slot *slot = tail_at(&log->tail, index);
    if (slot == NULL || slot->lost) continue;
    bool old = slot->durable && slot->place.file < request->carry_below;
    if (!old && index > log->carried_through) break; /* all behind it are newer still */
    if (!old) continue;
    if (item->entry_count == capacity) {
      capacity = capacity == 0 ? 16 : capacity * 2;
      item->entries = memory_grow_array(item->entries, capacity, sizeof *item->entries);
    }
    take_entry(log, item, slot);
    *carried += entry_size(&slot->entry.head);
  }
}

static void collect_state(const struct log *log, struct checkpoint_item *item) {
  if (log->owner.snapshot == NULL) return;
  item->status = log->owner.snapshot(log->owner.context, &item->state);
  item->has_state = item->status == STATUS_OK;
  bool came_first = log->recovered_applied > log->applied_index; /* it has what rot has taken from the log since */
  item->state_applied = came_first ? log->recovered_applied : log->applied_index;
}

/* The cluster's map is a few commands that seldom fill a segment, and what all partitions are found by: rot in the one file of the journal that
 * has them must not take it. */
bool log_owes_map(const struct log *log) {
  return log->group == 0 && log->owner.snapshot != NULL && log->applied_index > log->dumped_index &&
         log->applied_index <= log->durable_index;
}

/* What it covers has to be in the journal: nothing of it is flushed for that. */
static bool owes_state(const struct log *log) {
  return log->state_owed && log->owner.snapshot != NULL && log->applied_index <= log->durable_index;
}

static uint64_t small_tail_bytes(const struct log *log) {
  return log->unflushed_bytes < CHECKPOINT_SMALL_BYTES ? log->unflushed_bytes : 0;
}

static struct checkpoint_item *collect_log(struct log *log, const struct checkpoint_request *request, uint64_t *carried,
                                           uint64_t *staying) {
  entry_index target = flush_target(log);
  entry_index first = log->flushed_index + 1;
  if (log->start_index > first) first = log->start_index;
  bool ahead = log->applied_index > log->durable_index;
  bool owed = owes_state(log);
  bool state = log_owes_map(log) || owed;
  struct checkpoint_facts facts = {
      .flushable_bytes = log_bytes_between(log, first, target),
      .pinned_file = log_pinned_file(log),
      .carried_bytes = *carried,
      .staying_bytes = *staying,
      .row_dirty = log->row_dirty || log->start_index > log->flushed_index + 1 || log->pinned_file != 0 || state,
      .ahead = ahead,
      .flush_waits = ahead && target < log->applied_index,
  };
  enum checkpoint_plan plan = checkpoint_plan(&facts, request);
  if (plan == PLAN_NOTHING) return NULL;
  struct checkpoint_item *item = item_new(log);
  if (plan == PLAN_CARRY) {
    collect_carry(log, item, request, carried);
    return item;
  }
  if (plan == PLAN_FLUSH) *staying -= small_tail_bytes(log);
  entry_index trimmed = log->start_index - 1;
  if (plan != PLAN_FLUSH) target = trimmed > log->flushed_index ? trimmed : log->flushed_index;
  if (plan == PLAN_FLUSH) take_entries(log, item, first, target);
  item->flush = plan == PLAN_FLUSH || target > log->flushed_index;
  item->ahead = ahead;
  end_row_at(log, &item->row, target);
  if (item->flush || state || log->start_index > 1 || log->start_offset > 0 || log->is_spare) collect_state(log, item);
  item->row_given = true;
  item->state_owed = owed;
  if (plan == PLAN_ROW_AND_CARRY && !item->flush) collect_carry(log, item, request, carried);
  return item;
}

static struct checkpoint_item *collect_closed(struct log *log) {
  struct checkpoint_item *item = item_new(log);
  item->row.term_count = 0;
  item->row_given = true;
  return item;
}

void log_lane_collect(struct log_lane *lane) {
  uint64_t carried = 0;
  uint64_t staying = 0;
  list_for_each(&lane->dirty, small_node, next_small) staying += small_tail_bytes(list_entry(small_node, struct log, dirty_node));
  list_for_each(&lane->dirty, node, next) {
    struct log *log = list_entry(node, struct log, dirty_node);
    if (log->deleting || log->in_round) continue;
    struct checkpoint_item *item = collect_log(log, &lane->wanted, &carried, &staying);
    if (item == NULL) continue;
    if (item->status != STATUS_OK) { /* the owner has no state to give: nothing of it may go */
      checkpoint_item_free(item);
      continue;
    }
    log->in_round = true;
    if (item->row_given) log->row_dirty = false;
    if (item->state_owed) log->state_owed = false;
    list_push_back(&lane->items, &item->node);
  }
  list_for_each(&lane->closed, node, next) {
    struct log *log = list_entry(node, struct log, dirty_node);
    if (log->in_round) continue;
    log->in_round = true;
    list_push_back(&lane->items, &collect_closed(log)->node);
  }
}
