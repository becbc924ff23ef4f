/* From what was found to a set that can work: link up, judge, flush, record and carry. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/trace.h"
#include "log/dump.h"
#include "log/identity.h"
#include "log/recovery.h"

/* ---- Linking up ---- */

/* Gives a hole the offsets that its neighbours leave. */
static void fill_hole(struct recovered *log, size_t first, size_t behind, record_offset begin) {
  record_offset end = log->entries[behind].entry.head.base_offset;
  for (size_t i = first; i < behind; i++) {
    struct entry_head *head = &log->entries[i].entry.head;
    *head = (struct entry_head){.kind = ENTRY_RECORDS, .index = log->image->row.flushed_index + 1 + i, .base_offset = end};
    head->term = log->entries[behind].entry.head.term;
  }
  if (end < begin) return;
  log->entries[first].entry.head.base_offset = begin;
  log->entries[first].entry.head.record_count = (uint32_t)(end - begin);
}

static bool follows(const struct flush_entry *entry, record_offset offset, entry_term term, uint64_t chain, bool chained) {
  const struct entry_head *head = &entry->entry.head;
  if (head->term < term) return false;
  if (!chained) return head->base_offset >= offset;
  return head->base_offset == offset && entry_chain(head, entry->entry.payload.bytes, chain) == head->chain;
}

static void link_up(struct recovered *log) {
  const struct group_row *row = &log->image->row;
  record_offset offset = row->flushed_offset;
  entry_term term = row->term_count > 0 ? row->terms[row->term_count - 1].term : 0;
  uint64_t chain = row->flushed_chain;
  bool chained = true;
  size_t hole = SIZE_MAX;
  for (size_t i = 0; i < log->count; i++) {
    if (log->entries[i].lost) {
      if (hole == SIZE_MAX) hole = i;
      chained = false;
      continue;
    }
    if (!follows(&log->entries[i], offset, term, chain, chained)) {
      trace_error("log_broken",
                  "group=%" PRIu64 " instance=%" PRIu64 " index=%" PRIu64
                  " do=\"the entries from there on do not follow: repair this replica from another one\"",
                  row->group, row->instance, row->flushed_index + 1 + i);
      recovered_damage(log, row->flushed_index + log->count);
      for (size_t k = i; k < log->count; k++) {
        if (log->entries[k].cached) entry_release(&log->entries[k].entry);
      }
      log->count = hole != SIZE_MAX ? hole : i;
      return;
    }
    if (hole != SIZE_MAX) fill_hole(log, hole, i, offset);
    if (hole != SIZE_MAX) recovered_damage(log, row->flushed_index + i);
    hole = SIZE_MAX;
    const struct entry_head *head = &log->entries[i].entry.head;
    offset = entry_end_offset(head);
    term = head->term;
    chain = head->chain;
    chained = true;
  }
}

static bool has_index(const struct recovered *log, entry_index index) {
  if (index == 0) return false;
  if (index <= log->image->row.flushed_index) return true;
  size_t at = (size_t)(index - log->image->row.flushed_index - 1);
  return at < log->count && !log->entries[at].lost;
}

bool recovery_is_harmless(struct recovery *recovery, const struct journal_loss *loss) {
  if (!loss->known) return false;
  const struct recovered *log = recovery_get(recovery, loss->group, loss->instance, false);
  return log != NULL && (log->closed || has_index(log, loss->first_index));
}

static void judge_losses(struct recovery *recovery) {
  for (size_t i = 0; i < recovery->damage.count; i++) {
    const struct journal_loss *damage = &recovery->damage.at[i];
    struct map_cursor cursor = {0};
    for (struct recovered *log = NULL; (log = map_next(recovery->logs, &cursor)) != NULL;) {
      const struct group_row *row = &log->image->row;
      if (damage->known && (row->group != damage->group || row->instance != damage->instance)) continue;
      if (damage->known && has_index(log, damage->first_index)) continue;
      /* Without an index it was a hard state, perhaps. */
      recovered_damage(log, damage->known && damage->first_index > 0 ? damage->first_index : UINT64_MAX);
    }
  }
}

void recovery_judge(struct recovery *recovery) {
  struct map_cursor cursor = {0};
  for (struct recovered *log = NULL; (log = map_next(recovery->logs, &cursor)) != NULL;) link_up(log);
  judge_losses(recovery);
}

/* ---- Flushing and recording ---- */

static void release_entries(struct recovered *log, size_t count) {
  if (count == 0) return;
  for (size_t i = 0; i < count; i++) {
    if (log->entries[i].cached) entry_release(&log->entries[i].entry);
  }
  memmove(log->entries, log->entries + count, (log->count - count) * sizeof *log->entries);
  log->count -= count;
}

static size_t committed_count(const struct recovered *log, uint64_t *out_bytes) {
  const struct group_row *row = &log->image->row;
  size_t count = 0;
  *out_bytes = 0;
  while (count < log->count && row->flushed_index + 1 + count <= row->hard_state.commit) {
    if (!log->entries[count].lost) *out_bytes += entry_size(&log->entries[count].entry.head);
    count++;
  }
  while (count > 0 && log->entries[count - 1].lost) count--;
  return count;
}

static void add_terms(struct group_row *row, const struct recovered *log, size_t count) {
  for (size_t i = 0; i < count; i++) {
    const struct entry_head *head = &log->entries[i].entry.head;
    if (row->term_count > 0 && row->terms[row->term_count - 1].term == head->term) continue;
    row->terms = memory_grow_array(row->terms, row->term_count + 1, sizeof *row->terms);
    row->terms[row->term_count++] = (struct log_term_run){.first = head->index, .term = head->term};
  }
}

struct record {
  struct image_update update;
  struct recovered *log;
  size_t flushed;
};

static enum status begin_record(struct recovery *recovery, struct record *record, size_t flush) {
  struct recovered *log = record->log;
  record->flushed = flush;
  image_update_begin(&record->update, log->image, &recovery->changes);
  struct group_row *row = &record->update.row;
  row->damaged = row->damaged || log->damaged;
  row->closed = log->closed;
  if (flush == 0) return STATUS_OK;
  add_terms(row, log, flush);
  return image_update_flush(&record->update, recovery->set->world->disk, NULL, NULL, log->entries, flush, &recovery->changes);
}

static enum status record_one(struct recovery *recovery, struct recovered *log, struct record *record) {
  uint64_t bytes = 0;
  size_t count = committed_count(log, &bytes);
  if (bytes < CHECKPOINT_SMALL_BYTES || log->closed) count = 0;
  record->log = log;
  enum status status = begin_record(recovery, record, count);
  if (status == STATUS_NO_SPACE) { /* the journal goes on keeping them: a start should need no space */
    image_update_discard(&record->update, recovery->set->world->disk, &recovery->changes);
    status = begin_record(recovery, record, 0);
  }
  if (status != STATUS_OK) return status;
  image_update_drop(&record->update, NULL, &recovery->changes);
  image_update_row(&record->update, &recovery->changes);
  return STATUS_OK;
}

static enum status sync_dirs(struct disk *disk, const struct record *records, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (!records[i].update.made_file) continue;
    char path[DISK_PATH_MAX];
    segment_dir_path(path, records[i].update.row.group, records[i].update.row.instance);
    enum status status = disk_sync_dir(disk, path);
    if (status != STATUS_OK) return status;
  }
  return disk_sync_dir(disk, "p");
}

static void put_checkpoint(const struct checkpoint_row *row, struct table_changes *changes) {
  struct buffer value;
  buffer_init(&value, 256);
  CHECK(checkpoint_row_encode(row, &value) == STATUS_OK);
  table_changes_put(changes, TABLE_META, bytes_of_string("checkpoint"), buffer_bytes(&value));
  buffer_deinit(&value);
}

static uint64_t newest_dump(const struct log_set *set) {
  uint64_t newest = 0;
  return dump_list(set->world->disk, &newest, 1) == 1 ? newest : 0;
}

/* The checkpoint that was found had to do without one. */
static bool is_dump_missing(const struct checkpoint_row *found, uint64_t newest) {
  return found->dump_owed && newest <= found->dump;
}

static enum status commit(struct recovery *recovery) {
  struct log_set *set = recovery->set;
  struct checkpoint_row row = set->checkpointed;
  uint64_t newest = newest_dump(set);
  recovery->dump_owed = recovery->dump_owed || recovery->report->doubt != row.doubt || is_dump_missing(&row, newest);
  if (newest > row.dump) row.dump = newest;
  if (recovery->newest_frame.sequence > row.sequence) row.sequence = recovery->newest_frame.sequence;
  row.sequence++;
  row.durable_group = recovery->report->journal.last_group;
  row.doubt = recovery->report->doubt;
  row.dump_owed = recovery->dump_owed;
  put_checkpoint(&row, &recovery->changes);
  uint8_t identity[IDENTITY_SIZE_MAX];
  size_t identity_size = identity_encode(&set->identity, identity);
  table_changes_put(&recovery->changes, TABLE_IDENTITY, bytes_of_string("identity"), bytes_of(identity, identity_size));
  for (size_t i = 0; i < set->gone.count; i++) table_changes_remove(&recovery->changes, TABLE_SEGMENT, set->gone.changes[i].key);
  enum status status = store_commit(set->store, recovery->changes.changes, recovery->changes.count);
  if (status != STATUS_OK) return status;
  set->checkpointed = row;
  table_changes_deinit(&set->gone);
  return STATUS_OK;
}

static void remove_closed(struct recovery *recovery, struct record *record) {
  struct disk *disk = recovery->set->world->disk;
  struct image_update *update = &record->update;
  char path[DISK_PATH_MAX];
  for (size_t i = 0; i < update->dropped_count; i++) {
    segment_path(path, update->row.group, update->row.instance, update->dropped[i].first_index);
    enum status status = disk_remove(disk, path);
    (void)status; /* its row says dropped: the next opening tries again */
  }
  if (!update->row.closed) return;
  enum status status = segment_remove_dir(disk, update->row.group, update->row.instance);
  (void)status;
}

/* Segments that begin behind what is flushed: a checkpoint that did not come to its end began them, and the journal has what is in them. Where
 * anything is in doubt they stay. */
static void remove_unrecorded(struct recovery *recovery, const struct recovered *log) {
  const struct log_set_report *report = recovery->report;
  const struct group_row *row = &log->image->row;
  if (report->store_rebuilt || report->doubt || log->damaged || row->damaged || log->closed) return;
  segment_remove_above(recovery->set->world->disk, row->group, row->instance, row->flushed_index);
}

static enum status record_all(struct recovery *recovery) {
  struct log_set *set = recovery->set;
  struct record *records = memory_new_array(map_count(recovery->logs) + 1, sizeof *records);
  size_t count = 0;
  enum status status = STATUS_OK;
  struct map_cursor cursor = {0};
  for (struct recovered *log = NULL; status == STATUS_OK && (log = map_next(recovery->logs, &cursor)) != NULL;) {
    if (!log->told && !log->damaged && log->image->stored && !(log->closed && log->image->segment_count > 0)) continue;
    recovery->dump_owed = recovery->dump_owed || !log->image->stored || log->closed;
    status = record_one(recovery, log, &records[count++]);
  }
  if (status == STATUS_OK) status = sync_dirs(set->world->disk, records, count);
  if (status == STATUS_OK) status = commit(recovery);
  for (size_t i = count; i > 0; i--) {
    struct record *record = &records[i - 1];
    if (status != STATUS_OK) {
      image_update_discard(&record->update, set->world->disk, &recovery->changes);
      continue;
    }
    remove_closed(recovery, record);
    image_update_apply(&record->update);
    if (record->log->count > 0) remove_unrecorded(recovery, record->log);
    release_entries(record->log, record->flushed);
  }
  memory_free(records);
  return status;
}

static void remove_if_closed(void *context, const char *name) {
  struct recovery *recovery = context;
  group_id group = 0;
  instance_id instance = 0;
  if (!segment_dir_parse(name, &group, &instance)) return;
  const struct recovered *log = recovery_get(recovery, group, instance, false);
  if (log == NULL || !log->closed) return;
  enum status status = segment_remove_dir(recovery->set->world->disk, group, instance);
  (void)status; /* the next start tries again */
}

/* A process that ended between the transaction which says that a log is gone and the removal of what it had, or a power cut behind it. */
static void remove_leftovers(struct recovery *recovery) {
  enum status status = disk_list(recovery->set->world->disk, "p", remove_if_closed, recovery);
  (void)status; /* whoever looks for strays lists it again */
}

/* The frames that told of logs which began or ended are in files that are about to go, and nothing of that is carried; nor of what the last
 * checkpoint could not write a dump of. Without a dump the store would be the only one to know. On a full disk it has to wait for a checkpoint; a
 * start should need no space. */
static void dump_if_owed(struct recovery *recovery) {
  struct log_set *set = recovery->set;
  if (!recovery->dump_owed) return;
  enum status status = dump_write(set->world->disk, set->store, set->checkpointed.dump + 1);
  if (status == STATUS_OK) {
    set->checkpointed.dump++;
    set->checkpointed.dump_owed = false;
    return;
  }
  trace_warn("dump_failed", "generation=%" PRIu64 " status=%s", set->checkpointed.dump + 1, status_name(status));
  set->dump_owed = true;
}

/* ---- Carrying ---- */

/* An entry that stays in the journal, and whose it is. */
struct carried_entry {
  struct flush_entry *entry;
  const struct group_row *row;
};

/* By the file that it stands in; in a file by log, and in a log by index. */
static int by_file(const void *a, const void *b) {
  const struct carried_entry *x = a;
  const struct carried_entry *y = b;
  if (x->entry->place.file != y->entry->place.file) return x->entry->place.file < y->entry->place.file ? -1 : 1;
  if (x->row->group != y->row->group) return x->row->group < y->row->group ? -1 : 1;
  if (x->row->instance != y->row->instance) return x->row->instance < y->row->instance ? -1 : 1;
  return x->entry->entry.head.index < y->entry->entry.head.index ? -1 : 1;
}

static struct carried_entry *gather_entries(struct recovery *recovery, size_t *out_count) {
  size_t capacity = 0;
  size_t count = 0;
  struct map_cursor cursor = {0};
  for (struct recovered *log = NULL; (log = map_next(recovery->logs, &cursor)) != NULL;) capacity += log->closed ? 0 : log->count;
  struct carried_entry *entries = memory_new_array(capacity + 1, sizeof *entries);
  cursor = (struct map_cursor){0};
  for (struct recovered *log = NULL; (log = map_next(recovery->logs, &cursor)) != NULL;) {
    for (size_t i = 0; !log->closed && i < log->count; i++) {
      if (!log->entries[i].lost) entries[count++] = (struct carried_entry){.entry = &log->entries[i], .row = &log->image->row};
    }
  }
  qsort(entries, count, sizeof *entries, by_file);
  *out_count = count;
  return entries;
}

/* Oldest file first: each can be recycled as soon as what it holds is carried. */
static void carry_entries(struct recovery *recovery) {
  size_t count = 0;
  struct carried_entry *entries = gather_entries(recovery, &count);
  for (size_t i = 0; i < count; i++) {
    const struct entry *entry = &entries[i].entry->entry;
    struct journal_frame *frame =
        journal_write_add(&recovery->carried, entries[i].row->group, entries[i].row->instance, FRAME_ENTRY);
    frame->first_index = entry->head.index;
    frame->supersedes = i + 1 < count ? entries[i + 1].entry->place.file : 0;
    frame->head_size = ENTRY_HEAD_SIZE;
    frame->owner = entries[i].entry;
    entry_encode_head(&entry->head, frame->head);
    frame->payload = blob_part_hold(entry->payload);
    recovery->carried.bytes += entry_size(&entry->head);
  }
  memory_free(entries);
}

/* The hard states come last: the table at the head of the file has them too, but for what only the store knew. */
static void carry_all(struct recovery *recovery) {
  carry_entries(recovery);
  struct map_cursor cursor = {0};
  for (struct recovered *log = NULL; (log = map_next(recovery->logs, &cursor)) != NULL;) {
    const struct group_row *row = &log->image->row;
    if (!log->closed) journal_write_add_hard_state(&recovery->carried, row->group, row->instance, &row->hard_state);
  }
  struct journal_frame *frame = journal_write_add(&recovery->carried, 0, 0, FRAME_CHECKPOINT);
  frame->supersedes = UINT64_MAX;
  frame->head_size = CHECKPOINT_FRAME_SIZE;
  checkpoint_frame_body(frame->head, &recovery->set->checkpointed);
  recovery->carried.bytes += CHECKPOINT_FRAME_SIZE;
}

static void take_places(struct recovery *recovery) {
  for (size_t i = 0; i < recovery->carried.count; i++) {
    const struct journal_frame *frame = &recovery->carried.frames[i];
    struct flush_entry *entry = frame->owner;
    if (entry != NULL) entry->place = frame->place;
  }
}

/* The fresh file begins with all that is not in segments, and soon holds what is acknowledged from now on. Nothing in the others says that it
 * should be there: without this word a journal that lost just this file would look like one that was killed before it was made. */
static enum status vouch_for_start(struct recovery *recovery) {
  struct log_set *set = recovery->set;
  struct checkpoint_row row = set->checkpointed;
  row.durable_group = journal_usage(set->journal).durable_group;
  struct table_changes changes;
  table_changes_init(&changes);
  put_checkpoint(&row, &changes);
  enum status status = store_commit(set->store, changes.changes, changes.count);
  table_changes_deinit(&changes);
  if (status == STATUS_NO_SPACE) return STATUS_OK; /* a start should need no space; the next checkpoint says it */
  if (status == STATUS_OK) set->checkpointed = row;
  return status;
}

/* What was found goes only when both the journal and the store know where its copies are. */
static enum status carry(struct recovery *recovery) {
  struct journal *journal = recovery->set->journal;
  carry_all(recovery);
  enum status status = journal_carry(journal, &recovery->carried);
  bool all = recovery->carried.frames[recovery->carried.count - 1].place.file != 0;
  if (status == STATUS_OK) status = vouch_for_start(recovery);
  if (status == STATUS_OK) status = journal_start(journal);
  if (status == STATUS_OK && !all) status = vouch_for_start(recovery);
  if (status == STATUS_OK) take_places(recovery);
  return status;
}

enum status recovery_finish(struct recovery *recovery) {
  struct map_cursor cursor = {0};
  for (struct recovered *log = NULL; (log = map_next(recovery->logs, &cursor)) != NULL;) {
    if (log->closed) continue;
    recovery->report->recovered_logs++;
    for (size_t i = 0; i < log->count; i++) {
      if (!log->entries[i].lost) recovery->report->recovered_bytes += entry_size(&log->entries[i].entry.head);
    }
    if (!log->damaged && !log->image->row.damaged) continue;
    recovery->report->damaged_logs++;
    trace_error("log_damaged",
                "group=%" PRIu64 " instance=%" PRIu64
                " do=\"entries of it were lost to rot: it takes no appends until it is repaired\"",
                log->image->row.group, log->image->row.instance);
  }
  recovery_find_gone(recovery);
  enum status status = record_all(recovery);
  if (status == STATUS_OK) status = recovery_forget_gone(recovery);
  if (status != STATUS_OK) return status;
  dump_if_owed(recovery);
  remove_leftovers(recovery);
  return carry(recovery);
}
