/* From recovered images and entries to logs that a lane can take. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/mutant.h"
#include "log/recovery.h"

static void fill_log(struct log *log, struct recovered *from) {
  struct image *image = from->image;
  struct group_row *row = &image->row;
  log->settings = row->settings;
  log->replaces = row->replaces;
  log->hard_state = row->hard_state;
  log->start_offset = row->start_offset;
  log->start_index = row->start_index;
  log->start_chain = row->start_chain;
  log->recovered_start = row->start_offset;
  log->recovered_start_index = row->start_index;
  log->recovered_start_chain = row->start_chain;
  log->damaged = row->damaged || from->damaged;
  log->damage_through = from->damage_through;
  log->flushed_index = row->flushed_index;
  log->flushed_offset = row->flushed_offset;
  log->flushed_chain = row->flushed_chain;
  log->flushed_leader_time_ms = row->leader_time_ms;
  log->flushed_max_time_ms = row->max_time_ms;
  log->last_index = row->flushed_index;
  log->last_chain = row->flushed_chain;
  log->next_offset = row->flushed_offset;
  log->last_leader_time_ms = row->leader_time_ms;
  log->max_time_ms = row->max_time_ms;
  for (size_t i = 0; i < row->term_count; i++) log_note_term(log, row->terms[i].first, row->terms[i].term);
  if (log->term_count > 0) log->last_term = log->terms[log->term_count - 1].term;
  struct segment_info *segments = memory_new_array(image->segment_count + 1, sizeof *segments);
  if (image->segment_count > 0) memcpy(segments, image->segments, image->segment_count * sizeof *segments);
  log_take_segments(log, segments, image->segment_count);
  log->recovered_applied = log->stored_index = image->state_applied;
  struct buffer state = log->recovered_state;
  log->recovered_state = from->state;
  from->state = state;
  image->dumped_applied = 0;
}

static void fill_tail(struct log *log, const struct recovered *from) {
  tail_deinit(&log->tail);
  tail_init(&log->tail, log->flushed_index);
  uint64_t newest_file = 0;
  for (size_t i = 0; i < from->count; i++) {
    const struct entry_head *head = &from->entries[i].entry.head;
    uint64_t file = from->entries[i].place.file;
    if (!from->entries[i].lost && file < newest_file) log->carried_through = head->index;
    if (!from->entries[i].lost && file > newest_file) newest_file = file;
    struct tail_slot *slot = tail_push(&log->tail, &(struct entry){.head = *head}, false);
    slot->place = from->entries[i].place;
    slot->durable = !from->entries[i].lost;
    slot->lost = from->entries[i].lost;
    log_note_term(log, head->index, head->term);
    log->last_index = head->index;
    log->last_term = head->term;
    log->last_chain = head->chain;
    log->next_offset = entry_end_offset(head) - (MUTANT(offset_reused) ? 1 : 0);
    log->last_leader_time_ms = head->leader_time_ms;
    if (head->record_count > 0 && head->max_time_ms > log->max_time_ms) log->max_time_ms = head->max_time_ms;
    if (slot->lost && head->record_count > 0) {
      log_note_damage(log, (struct log_range){head->base_offset, entry_end_offset(head)});
    }
    if (!slot->lost) log->unflushed_bytes += entry_size(head);
  }
  log->durable_index = log->last_index;
  log->commit_index = log->hard_state.commit;
  if (log->commit_index < log->flushed_index) log->commit_index = log->flushed_index;
  if (log->commit_index > log->last_index) log->commit_index = log->last_index;
  atomic_fetch_add(&log->set->unflushed_bytes, log->unflushed_bytes);
}

static int by_group(const void *a, const void *b) {
  const struct recovered *const *left = a;
  const struct recovered *const *right = b;
  const struct group_row *x = &(*left)->image->row;
  const struct group_row *y = &(*right)->image->row;
  if (x->group != y->group) return x->group < y->group ? -1 : 1;
  return x->instance < y->instance ? -1 : x->instance > y->instance;
}

/* One instance of a group is in force: the first that is not closed and waits for no other to be closed. The others are spares. */
struct ranking {
  group_id group;
  instance_id newest;
  struct log *in_force;
  bool any;
};

static void begin_group(struct ranking *ranking, group_id group) {
  if (ranking->any && ranking->group == group) return;
  *ranking = (struct ranking){.group = group, .any = true};
}

static bool waits(struct recovery *recovery, const struct group_row *row) {
  if (row->replaces == 0) return false;
  const struct recovered *before = recovery_get(recovery, row->group, row->replaces, false);
  return before == NULL || !before->closed; /* one that is lost is not closed */
}

static void rank(struct recovery *recovery, struct ranking *ranking, struct log *log, const struct group_row *row) {
  log->is_spare = ranking->in_force != NULL || waits(recovery, row);
  if (!log->is_spare) ranking->in_force = log;
  struct log *before = ranking->in_force;
  if (log->is_spare && before != NULL && before->spare == NULL && row->replaces == before->instance) {
    before->spare = log;
    log->spare_of = before;
  }
  /* The state that covered what was trimmed went with all copies of the tables: what is kept can be read, and no more decided upon. */
  if (log->is_spare || log->recovered_applied + 1 >= log->start_index) return;
  log->damaged = true;
  log->damage_through = UINT64_MAX;
}

void recovery_make_logs(struct recovery *recovery) {
  struct ranking ranking = {0};
  struct recovered **sorted = memory_new_array(map_count(recovery->logs) + 1, sizeof(struct recovered *));
  size_t count = 0;
  struct map_cursor cursor = {0};
  for (struct recovered *log = NULL; (log = map_next(recovery->logs, &cursor)) != NULL;) sorted[count++] = log;
  qsort(sorted, count, sizeof *sorted, by_group);
  for (size_t i = 0; i < count; i++) {
    struct recovered *from = sorted[i];
    begin_group(&ranking, from->image->row.group);
    ranking.newest = from->image->row.instance;
    if (ranking.in_force != NULL) ranking.in_force->next_instance = ranking.newest + 1;
    if (from->closed) {
      images_remove(&recovery->set->images, from->image->row.group, from->image->row.instance);
      continue;
    }
    struct log *log = log_new(recovery->set, from->image->row.group, from->image->row.instance);
    fill_log(log, from);
    fill_tail(log, from);
    rank(recovery, &ranking, log, &from->image->row);
    list_push_back(&recovery->set->logs, &log->node);
    atomic_fetch_add(&recovery->set->unadopted, 1);
  }
  memory_free(sorted);
}
