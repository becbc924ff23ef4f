/* The store is gone or cannot be believed: its tables are made anew from the newest good dump and by scanning all segments. */
#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/trace.h"
#include "log/dump.h"
#include "log/identity.h"
#include "log/index.h"
#include "log/recovery.h"

#define NAMES_FIRST 64u

struct numbers {
  uint64_t *at;
  size_t count;
};

static void add_number(struct numbers *numbers, uint64_t number) {
  if ((numbers->count & (numbers->count - 1)) == 0) {
    numbers->at = memory_grow_array(numbers->at, numbers->count == 0 ? 1 : numbers->count * 2, sizeof *numbers->at);
  }
  numbers->at[numbers->count++] = number;
}

/* ---- The dump ---- */

static void take_dumped(void *context, unsigned table, struct bytes key, struct bytes value) {
  enum status status = STATUS_OK;
  recovery_take_row(context, table, key, value, &status);
  if (status != STATUS_OK) trace_warn("dump_row_refused", "table=%u status=%s", table, status_name(status));
  if (table == TABLE_STATE || table == TABLE_GROUP) {
    struct recovery *recovery = context;
    table_changes_put(&recovery->changes, (enum table)table, key, value);
  }
}

struct owner {
  const struct log_identity *wanted; /* NULL: anybody's will do */
  bool ours;
};
static void find_owner(void *context, unsigned table, struct bytes key, struct bytes value) {
  struct owner *owner = context;
  struct log_identity identity;
  (void)key;
  if (table != TABLE_IDENTITY || identity_decode(value, &identity) != STATUS_OK) return;
  owner->ours = owner->wanted == NULL || memcmp(&identity, owner->wanted, sizeof identity) == 0;
}

enum status recovery_check_dump(const struct recovery *recovery, uint64_t generation) {
  struct owner owner = {.wanted = recovery->owner_known ? &recovery->set->identity : NULL};
  enum status status = dump_read(recovery->set->world->disk, generation, find_owner, &owner);
  return status == STATUS_OK && !owner.ours ? STATUS_EXISTS : status;
}

bool recovery_dump_is_foreign(const struct recovery *recovery) {
  uint64_t generations[DUMP_LIST_MAX];
  size_t count = dump_list(recovery->set->world->disk, generations, DUMP_LIST_MAX);
  return count > 0 && recovery_check_dump(recovery, generations[0]) == STATUS_FOREIGN;
}

static void take_newest_dump(struct recovery *recovery) {
  uint64_t generations[DUMP_LIST_MAX];
  size_t count = dump_list(recovery->set->world->disk, generations, DUMP_LIST_MAX);
  for (size_t i = 0; i < count; i++) {
    enum status status = recovery_check_dump(recovery, generations[i]);
    if (status == STATUS_OK) status = dump_read(recovery->set->world->disk, generations[i], take_dumped, recovery);
    trace_info("dump_read", "generation=%" PRIu64 " status=%s", generations[i], status_name(status));
    if (status == STATUS_OK) return;
  }
}

/* ---- One segment ---- */

struct scan {
  struct recovery *recovery;
  struct recovered *log;
  struct segment_info info;
  struct index_builder index;
  const struct segment_header *next; /* the segment behind it, NULL: it is the last */
};

static void note_scanned(struct scan *scan, const struct entry_head *head, uint64_t position) {
  struct segment_info *info = &scan->info;
  info->length = position;
  index_note(&scan->index, info, head);
  info->last_index = head->index;
  info->end_offset = entry_end_offset(head);
  info->last_chain = head->chain;
  info->last_term = head->term;
  info->leader_time_ms = head->leader_time_ms;
  if (head->record_count > 0 && head->max_time_ms > info->max_time_ms) info->max_time_ms = head->max_time_ms;
  struct group_row *row = &scan->log->image->row;
  if (row->term_count == 0 ||
      (row->terms[row->term_count - 1].term < head->term && row->terms[row->term_count - 1].first < head->index)) {
    row->terms = memory_grow_array(row->terms, row->term_count + 1, sizeof *row->terms);
    row->terms[row->term_count++] = (struct log_term_run){.first = head->index, .term = head->term};
  }
}

/* Behind a bad entry; false when nothing more can be told. */
static bool pass(struct scan *scan, struct segment_cursor *cursor) {
  if (cursor->skippable) {
    segment_cursor_skip(cursor);
    return true;
  }
  if (scan->next == NULL) return false;
  struct segment_anchor anchor = {.position = cursor->limit,
                                  .index = scan->next->first_index,
                                  .chain = scan->next->previous_chain,
                                  .offset = scan->next->base_offset};
  return segment_resync(cursor, &anchor) == STATUS_OK;
}

/* Everything of the last segment that follows from its beginning; of others, everything. */
static enum status scan_entries(struct scan *scan, struct disk_file *file, uint64_t size) {
  struct segment_cursor cursor;
  scan->info.length = size;
  segment_cursor_init(&cursor, file, &scan->info, NULL, SEGMENT_CHUNK_BYTES);
  uint64_t end = SEGMENT_HEADER_SIZE;
  enum status status = STATUS_OK;
  for (;;) {
    struct entry entry;
    status = segment_cursor_next(&cursor, &entry);
    if (status == STATUS_CORRUPT) {
      uint64_t bad = cursor.position;
      if (pass(scan, &cursor) && cursor.position > bad) continue;
      break;
    }
    if (status != STATUS_OK) break;
    uint64_t position = cursor.position - entry_size(&entry.head);
    note_scanned(scan, &entry.head, position);
    blob_part_release(entry.payload);
    end = cursor.position;
  }
  segment_cursor_deinit(&cursor);
  scan->info.length = (end + DISK_BLOCK_SIZE - 1) / DISK_BLOCK_SIZE * DISK_BLOCK_SIZE;
  bool ends_before_next = scan->next != NULL && scan->info.last_index < scan->next->first_index;
  if (ends_before_next) { /* sealed: what is missing at its end is damage, not the end */
    scan->info.length = size / DISK_BLOCK_SIZE * DISK_BLOCK_SIZE;
    scan->info.sealed = true;
    if (scan->info.end_offset != scan->next->base_offset && scan->next->chained) {
      scan->info.last_index = scan->next->first_index - 1;
      scan->info.end_offset = scan->next->base_offset;
      scan->info.last_chain = scan->next->previous_chain;
    }
  }
  return status == STATUS_CORRUPT || status == STATUS_END ? STATUS_OK : status;
}

static enum status open_segment(struct recovery *recovery, const struct group_row *row, entry_index first,
                                struct disk_file **out_file, struct segment_header *out_header, uint64_t *out_size) {
  char path[DISK_PATH_MAX];
  segment_path(path, row->group, row->instance, first);
  struct disk_file *file = NULL;
  enum status status = disk_open(recovery->set->world->disk, path, DISK_READ_ONLY, &file);
  if (status != STATUS_OK) return status;
  uint8_t *block = memory_new(SEGMENT_HEADER_SIZE);
  size_t got = 0;
  struct disk_stat stat = {0};
  status = disk_stat_file(file, &stat);
  if (status == STATUS_OK) status = disk_read(file, 0, block, SEGMENT_HEADER_SIZE, &got);
  if (status == STATUS_OK) status = got < SEGMENT_HEADER_SIZE ? STATUS_CORRUPT : segment_header_decode(block, out_header);
  if (status == STATUS_OK) {
    bool named = out_header->group == row->group && out_header->instance == row->instance && out_header->first_index == first;
    bool ours = memcmp(out_header->owner, recovery->set->identity.incarnation, SEGMENT_OWNER_SIZE) == 0;
    if (!named || (recovery->owner_known && !ours)) status = STATUS_CORRUPT;
  }
  memory_free(block);
  if (status != STATUS_OK) {
    disk_close(file);
    return status;
  }
  *out_file = file;
  *out_size = stat.size;
  return STATUS_OK;
}

static void add_scanned(struct scan *scan) {
  struct image *image = scan->log->image;
  image->segments = memory_grow_array(image->segments, image->segment_count + 1, sizeof *image->segments);
  image->segments[image->segment_count++] = scan->info;
  struct buffer value;
  buffer_init(&value, 1024);
  CHECK(segment_row_encode(&scan->info, &value) == STATUS_OK);
  struct table_key key = table_key_segment(image->row.group, image->row.instance, scan->info.first_index);
  table_changes_put(&scan->recovery->changes, TABLE_SEGMENT, table_key_bytes(&key), buffer_bytes(&value));
  buffer_deinit(&value);
}

static enum status scan_segment(struct recovery *recovery, struct recovered *log, entry_index first, entry_index next_first) {
  struct group_row *row = &log->image->row;
  struct segment_header header;
  struct segment_header next;
  struct disk_file *file = NULL;
  uint64_t size = 0;
  bool has_next = false;
  if (next_first != 0) {
    struct disk_file *other = NULL;
    uint64_t other_size = 0;
    has_next = open_segment(recovery, row, next_first, &other, &next, &other_size) == STATUS_OK;
    disk_close(other);
  }
  enum status status = open_segment(recovery, row, first, &file, &header, &size);
  if (status == STATUS_CORRUPT) {
    recovered_damage(log, UINT64_MAX);
    trace_error("segment_unreadable", "group=%" PRIu64 " first=%" PRIu64, row->group, first);
    return STATUS_OK;
  }
  if (status != STATUS_OK) return status;
  struct scan scan = {
      .recovery = recovery,
      .log = log,
      .info = {.first_index = first,
               .last_index = first - 1,
               .first_offset = header.base_offset,
               .end_offset = header.base_offset,
               .previous_chain = header.previous_chain,
               .last_chain = header.previous_chain,
               .chained = header.chained},
      .index = {.group = row->group, .instance = row->instance, .changes = &recovery->changes},
      .next = has_next ? &next : NULL,
  };
  status = scan_entries(&scan, file, size);
  disk_close(file);
  if (status == STATUS_OK && scan.info.last_index >= first) add_scanned(&scan);
  return status;
}

/* ---- One group ---- */

static void note_segment_name(void *context, const char *name) {
  entry_index first = 0;
  if (segment_name_parse(name, &first)) add_number(context, first);
}

/* The row says what the segments show. */
static void settle(struct recovered *log) {
  struct image *image = log->image;
  struct group_row *row = &image->row;
  if (image->segment_count == 0) return;
  const struct segment_info *first = &image->segments[0];
  const struct segment_info *last = &image->segments[image->segment_count - 1];
  if (row->start_index < first->first_index) {
    row->start_index = first->first_index;
    row->start_chain = first->previous_chain;
    if (row->start_offset < first->first_offset) row->start_offset = first->first_offset;
  }
  if (last->last_index < row->flushed_index) {
    recovered_damage(log, UINT64_MAX); /* a segment that the dump knew is not there */
    return;
  }
  row->flushed_index = last->last_index;
  row->flushed_offset = last->end_offset;
  row->flushed_chain = last->last_chain;
  row->leader_time_ms = last->leader_time_ms;
  for (size_t i = 0; i < image->segment_count; i++) {
    if (image->segments[i].max_time_ms > row->max_time_ms) row->max_time_ms = image->segments[i].max_time_ms;
  }
}

/* A name alone makes no log: does the dump know it, or at least one file say the same? */
static bool is_a_log(struct recovery *recovery, group_id group, instance_id instance, const struct numbers *firsts) {
  if (recovery_get(recovery, group, instance, false) != NULL) return true;
  const struct group_row row = {.group = group, .instance = instance};
  for (size_t i = 0; i < firsts->count; i++) {
    struct segment_header header;
    struct disk_file *file = NULL;
    uint64_t size = 0;
    if (open_segment(recovery, &row, firsts->at[i], &file, &header, &size) != STATUS_OK) continue;
    disk_close(file);
    return true;
  }
  return false;
}

/* A checkpoint that did not come to its end began it, and what it was about to hold went into the one before it later on. */
static bool overlaps(const struct image *image, entry_index first) {
  return image->segment_count > 0 && image->segments[image->segment_count - 1].last_index >= first;
}

static enum status scan_group(struct recovery *recovery, group_id group, instance_id instance) {
  char path[DISK_PATH_MAX];
  segment_dir_path(path, group, instance);
  struct numbers firsts = {0};
  enum status status = disk_list(recovery->set->world->disk, path, note_segment_name, &firsts);
  if (status != STATUS_OK || firsts.count == 0 || !is_a_log(recovery, group, instance, &firsts)) {
    memory_free(firsts.at);
    return status;
  }
  struct recovered *log = recovery_get(recovery, group, instance, true);
  log->told = true;
  for (size_t i = 0; i < firsts.count && status == STATUS_OK; i++) {
    if (log->closed && recovery->looks) break;
    if (log->closed) { /* a tombstone names them */
      segment_path(path, group, instance, firsts.at[i]);
      status = disk_remove(recovery->set->world->disk, path);
      continue;
    }
    bool below = i + 1 < firsts.count && firsts.at[i + 1] <= log->image->row.start_index;
    if (below) continue; /* below the log's start */
    if (overlaps(log->image, firsts.at[i])) {
      trace_warn("segment_left_behind", "group=%" PRIu64 " instance=%" PRIu64 " first=%" PRIu64, group, instance, firsts.at[i]);
      continue;
    }
    status = scan_segment(recovery, log, firsts.at[i], i + 1 < firsts.count ? firsts.at[i + 1] : 0);
  }
  memory_free(firsts.at);
  settle(log);
  return status;
}

struct dirs {
  struct numbers groups;
  struct numbers instances;
};

static void note_dir_name(void *context, const char *name) {
  struct dirs *dirs = context;
  group_id group = 0;
  instance_id instance = 0;
  if (!segment_dir_parse(name, &group, &instance)) return;
  add_number(&dirs->groups, group);
  add_number(&dirs->instances, instance);
}

enum status recovery_rebuild(struct recovery *recovery) {
  take_newest_dump(recovery);
  struct dirs dirs = {0};
  enum status status = disk_list(recovery->set->world->disk, "p", note_dir_name, &dirs);
  for (size_t i = 0; i < dirs.groups.count && status == STATUS_OK; i++) {
    status = scan_group(recovery, dirs.groups.at[i], dirs.instances.at[i]);
  }
  memory_free(dirs.groups.at);
  memory_free(dirs.instances.at);
  return status;
}
