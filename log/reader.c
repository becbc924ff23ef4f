#include "log/reader.h"

#include "base/check.h"
#include "base/list.h"
#include "base/memory.h"
#include "log/index.h"
#include "log/log_internal.h"

#define READER_CHUNK_FIRST 131072u /* of a read that goes on from nowhere */

struct open_file {
  group_id group;
  instance_id instance;
  entry_index first_index;
  struct disk_file *file; /* NULL: free */
  uint64_t used;
  struct blob *chunk; /* what the newest sequential read has in memory: the next one begins there */
  size_t chunk_offset;
  uint64_t chunk_position;
  size_t chunk_size;
};

struct reader {
  struct log_set *set;
  struct loop *loop;
  struct open_file files[READER_FILES_MAX];
  uint64_t uses;
  struct task forget;
  atomic_bool forgetting;
};

static void close_one(struct open_file *open) {
  disk_close(open->file);
  blob_release(open->chunk);
  *open = (struct open_file){0};
}

static void forget_run(struct task *task) {
  struct reader *reader = container_of(task, struct reader, forget);
  atomic_store(&reader->forgetting, false);
  for (size_t i = 0; i < READER_FILES_MAX; i++) close_one(&reader->files[i]);
}

void reader_forget_files(struct reader *reader) {
  if (!atomic_exchange(&reader->forgetting, true)) loop_post(reader->loop, &reader->forget);
}

struct reader *reader_new(struct log_set *set, struct loop *loop) {
  struct reader *reader = NEW(struct reader);
  reader->set = set;
  reader->loop = loop;
  reader->forget.run = forget_run;
  return reader;
}

void reader_free(struct reader *reader) {
  if (reader == NULL) return;
  forget_run(&reader->forget);
  memory_free(reader);
}

struct loop *reader_loop(struct reader *reader) {
  return reader->loop;
}
struct log_set *reader_set(struct reader *reader) {
  return reader->set;
}

struct store *reader_store(struct log_set *set) {
  return atomic_load(&set->store_failed) ? NULL : set->store;
}

static enum status find_open(struct reader *reader, group_id group, instance_id instance, entry_index first_index,
                             struct open_file **out_open) {
  struct open_file *oldest = &reader->files[0];
  for (size_t i = 0; i < READER_FILES_MAX; i++) {
    struct open_file *known = &reader->files[i];
    if (known->file != NULL && known->group == group && known->instance == instance && known->first_index == first_index) {
      known->used = ++reader->uses;
      *out_open = known;
      return STATUS_OK;
    }
    if (known->file == NULL || (oldest->file != NULL && known->used < oldest->used)) oldest = known;
  }
  char path[DISK_PATH_MAX];
  segment_path(path, group, instance, first_index);
  struct disk_file *file = NULL;
  enum status status = disk_open(reader->set->world->disk, path, DISK_READ_ONLY | DISK_DIRECT, &file);
  if (status != STATUS_OK) return status;
  status = segment_check_owner(file, group, instance, first_index, reader->set->identity.incarnation);
  if (status != STATUS_OK) {
    disk_close(file);
    return segment_owner_trouble(status);
  }
  close_one(oldest);
  *oldest =
      (struct open_file){.group = group, .instance = instance, .first_index = first_index, .file = file, .used = ++reader->uses};
  *out_open = oldest;
  return STATUS_OK;
}

enum status reader_open(struct reader *reader, group_id group, instance_id instance, entry_index first_index,
                        struct disk_file **out_file) {
  struct open_file *open = NULL;
  enum status status = find_open(reader, group, instance, first_index, &open);
  if (status == STATUS_OK) *out_file = open->file;
  return status;
}

/* ---- Damage ---- */

static enum status offset_here(struct segment_cursor *cursor, record_offset otherwise, record_offset *out_offset) {
  struct segment_cursor before = *cursor;
  struct entry entry;
  enum status status = segment_cursor_next(cursor, &entry);
  *out_offset = otherwise;
  if (status == STATUS_OK) {
    *out_offset = entry.head.base_offset;
    blob_part_release(entry.payload);
  }
  cursor->position = before.position;
  cursor->next_index = before.next_index;
  cursor->chain = before.chain;
  cursor->chained = before.chained;
  return status == STATUS_CORRUPT || status == STATUS_END ? STATUS_OK : status;
}

enum status reader_pass_damage(struct log_set *set, group_id group, instance_id instance, const struct segment_info *segment,
                               struct segment_cursor *cursor, record_offset offset, record_offset *out_end) {
  if (cursor->skippable) {
    *out_end = cursor->bad_end;
    segment_cursor_skip(cursor);
    return STATUS_OK;
  }
  struct segment_anchor anchor = {
      .position = segment->length, .index = segment->last_index + 1, .chain = segment->last_chain, .offset = segment->end_offset};
  struct index_row row;
  if (index_after(reader_store(set), group, instance, segment, offset, cursor->position, &row) == STATUS_OK) {
    anchor =
        (struct segment_anchor){.position = row.position, .index = row.index, .chain = row.previous_chain, .offset = row.offset};
  }
  enum status status = segment_resync(cursor, &anchor);
  if (status != STATUS_OK) return status;
  if (cursor->position >= anchor.position) {
    *out_end = anchor.offset;
    return STATUS_OK;
  }
  return offset_here(cursor, anchor.offset, out_end);
}

/* ---- Segments ---- */

struct segment_read {
  struct log_set *set;
  struct reader_work *work;
  const struct segment_info *segment;
  struct segment_cursor cursor;
  record_offset expected; /* base offset of the entry at the cursor */
  size_t bytes;
  bool hinted; /* it began where the index said, and nothing is verified yet */
  bool continued;
};

static void begin_at_start(struct segment_read *read) {
  read->cursor.position = SEGMENT_HEADER_SIZE;
  read->cursor.next_index = read->segment->first_index;
  read->cursor.chain = read->segment->previous_chain;
  read->cursor.chained = read->segment->chained;
  read->expected = read->segment->first_offset;
  read->hinted = false;
}

static void begin_read(struct segment_read *read) {
  struct reader_work *work = read->work;
  begin_at_start(read);
  const struct log_cursor *cursor = &work->cursor;
  struct index_row row;
  if (cursor->segment == read->segment->first_index && cursor->offset == work->offset && cursor->index != 0 &&
      cursor->position < read->segment->length) {
    read->cursor.position = cursor->position;
    read->cursor.next_index = cursor->index;
    read->cursor.chain = cursor->chain;
    read->expected = cursor->offset;
    read->continued = true;
  } else if (index_floor(reader_store(read->set), work->group, work->instance, read->segment, work->offset, &row) == STATUS_OK) {
    read->cursor.position = row.position;
    read->cursor.next_index = row.index;
    read->cursor.chain = row.previous_chain;
    read->expected = row.offset;
  } else {
    return;
  }
  read->cursor.chained = true;
  read->hinted = true;
}

/* Takes the entry; false when the read is full without it. */
static bool take(struct segment_read *read, struct entry *entry) {
  struct reader_work *work = read->work;
  size_t size = (size_t)entry_size(&entry->head);
  bool full = work->found_count == LOG_READ_ENTRIES_MAX || (work->found_count > 0 && read->bytes + size > work->bytes_max);
  if (full || entry->head.base_offset >= work->limit) return false;
  if ((work->found_count & (work->found_count - 1)) == 0) {
    size_t room = work->found_count == 0 ? 1 : work->found_count * 2;
    work->found = memory_grow_array(work->found, room, sizeof *work->found);
  }
  work->found[work->found_count++] = *entry;
  read->bytes += size;
  return true;
}

static void leave_cursor(struct segment_read *read) {
  read->work->next_offset = read->expected;
  read->work->cursor = (struct log_cursor){
      .segment = read->segment->first_index,
      .position = read->cursor.position,
      .offset = read->expected,
      .index = read->cursor.next_index,
      .chain = read->cursor.chain,
  };
}

/* STATUS_OK: go on behind it. STATUS_DAMAGED: what was wanted is in it. */
static enum status meet_damage(struct segment_read *read) {
  struct reader_work *work = read->work;
  if (read->hinted) {
    begin_at_start(read);
    return STATUS_OK;
  }
  if (work->found_count > 0) return STATUS_END;
  record_offset end = 0;
  record_offset begin = read->expected;
  enum status status = reader_pass_damage(read->set, work->group, work->instance, read->segment, &read->cursor, begin, &end);
  if (status != STATUS_OK) return status;
  read->expected = end;
  if (end <= work->offset) return STATUS_OK;
  work->damage = (struct log_range){.first = begin, .end = end};
  work->next_offset = end;
  return STATUS_DAMAGED;
}

static enum status read_on(struct segment_read *read) {
  struct reader_work *work = read->work;
  for (;;) {
    if (work->found_count > 0 && !segment_cursor_ready(&read->cursor)) return STATUS_END;
    struct segment_cursor before = read->cursor;
    struct entry entry;
    enum status status = segment_cursor_next(&read->cursor, &entry);
    if (status == STATUS_OK && entry.head.base_offset != read->expected) { /* a row that lies, or an entry of elsewhere */
      blob_part_release(entry.payload);
      read->cursor.skippable = false;
      status = STATUS_CORRUPT;
      if (!read->hinted) return STATUS_DAMAGED;
    }
    if (status == STATUS_CORRUPT) {
      status = meet_damage(read);
      if (status != STATUS_OK) return status;
      continue;
    }
    if (status != STATUS_OK) return status;
    read->hinted = false;
    bool wanted = entry.head.record_count > 0 && entry_end_offset(&entry.head) > work->offset;
    if (wanted && !take(read, &entry)) {
      blob_part_release(entry.payload);
      read->cursor.position = before.position;
      read->cursor.next_index = before.next_index;
      read->cursor.chain = before.chain;
      return STATUS_END;
    }
    if (!wanted) blob_part_release(entry.payload);
    read->expected = entry_end_offset(&entry.head);
  }
}

/* A stream of reads takes its chunks of 1 MiB over from one to the next, past the page cache: a long replay pushes nothing out of it. */
static void take_chunk(struct segment_read *read, struct open_file *open) {
  if (!read->continued) return;
  read->cursor.chunk = open->chunk;
  read->cursor.chunk_offset = open->chunk_offset;
  read->cursor.chunk_position = open->chunk_position;
  read->cursor.chunk_size = open->chunk_size;
  open->chunk = NULL;
}

/* What is kept for streams that may never come back leaves half of the memory to those who read now. */
static bool may_keep(const struct segment_read *read) {
  const struct account *account = read->set->options.account;
  return account == NULL || account_used(account) <= account->limit / 2;
}

static void leave_chunk(struct segment_read *read, struct open_file *open) {
  if (!read->continued || read->cursor.chunk == NULL || !may_keep(read)) {
    segment_cursor_deinit(&read->cursor);
    return;
  }
  blob_release(open->chunk);
  open->chunk = read->cursor.chunk;
  open->chunk_offset = read->cursor.chunk_offset;
  open->chunk_position = read->cursor.chunk_position;
  open->chunk_size = read->cursor.chunk_size;
}

/* While the lane sends what was read, the next chunk is fetched. */
static void read_ahead(struct reader *reader, struct segment_read *read, struct open_file *open) {
  if (!read->continued || open->chunk == NULL || atomic_load(&reader->forgetting)) return;
  if (segment_cursor_ready(&read->cursor)) return;
  open->chunk = NULL; /* the cursor still has it */
  segment_cursor_prefetch(&read->cursor);
  leave_chunk(read, open);
}

static void read_segment(struct reader *reader, struct open_file *open, struct reader_work *work) {
  struct log_set *set = reader->set;
  struct segment_read read = {.set = set, .work = work, .segment = &work->segments[0]};
  segment_cursor_init(&read.cursor, open->file, read.segment, set->options.account, SEGMENT_CHUNK_BYTES);
  begin_read(&read);
  if (!read.continued && work->bytes_max < READER_CHUNK_FIRST) read.cursor.chunk_bytes = READER_CHUNK_FIRST;
  take_chunk(&read, open);
  enum status status = read_on(&read);
  work->status = status == STATUS_END ? STATUS_OK : status;
  if (status == STATUS_END) leave_cursor(&read);
  if (status == STATUS_DAMAGED && work->damage.end == 0) { /* nothing of the rest can be told apart */
    work->damage = (struct log_range){.first = read.expected, .end = read.segment->end_offset};
    work->next_offset = read.segment->end_offset;
  }
  leave_chunk(&read, open);
  loop_post(work->lane, &work->finish); /* the work is the lane's from here on */
  read_ahead(reader, &read, open);
}

/* ---- The journal ---- */

static void read_journal(struct log_set *set, struct reader_work *work) {
  work->found = memory_new_array(work->entry_count, sizeof *work->found);
  work->status = STATUS_OK;
  for (size_t i = 0; i < work->entry_count; i++) {
    const struct flush_entry *wanted = &work->entries[i];
    struct entry entry;
    enum status status =
        journal_read_entry(set->journal, wanted->place, work->group, wanted->entry.head.index, set->options.account, &entry);
    if (status == STATUS_OK && entry.head.chain != wanted->entry.head.chain) {
      entry_release(&entry);
      status = STATUS_CORRUPT;
    }
    if (status != STATUS_OK) {
      if (work->found_count > 0) return;
      work->status = status == STATUS_CORRUPT ? STATUS_DAMAGED : status;
      work->lost = wanted;
      work->damage = (struct log_range){wanted->entry.head.base_offset, entry_end_offset(&wanted->entry.head)};
      work->next_offset = work->damage.end;
      return;
    }
    work->found[work->found_count++] = entry;
    work->next_offset = entry_end_offset(&entry.head);
  }
}

/* ---- Work ---- */

static void run(struct task *task) {
  struct reader_work *work = container_of(task, struct reader_work, task);
  struct log_set *set = work->reader->set;
  if (work->job == READER_JOURNAL) read_journal(set, work);
  if (work->job == READER_TIME) reader_find_time(work->reader, work);
  if (work->job == READER_FETCH) reader_fetch(work->reader, work);
  if (work->job == READER_MEND) reader_mend_find(set, work);
  if (work->job == READER_FILL) reader_mend_fill(set, work);
  if (work->job == READER_SEGMENT) {
    struct open_file *open = NULL;
    work->status = find_open(work->reader, work->group, work->instance, work->segments[0].first_index, &open);
    if (work->status == STATUS_OK) {
      read_segment(work->reader, open, work);
      return;
    }
  }
  loop_post(work->lane, &work->finish);
}

void reader_submit(struct log_set *set, struct reader_work *work) {
  unsigned next = atomic_fetch_add_explicit(&set->next_reader, 1, memory_order_relaxed);
  /* Reads of one log go to one reader: its files are open there. */
  size_t which = work->job == READER_TIME ? next % set->reader_count : (size_t)(work->group % set->reader_count);
  work->reader = set->readers[which];
  work->task.run = run;
  loop_post(work->reader->loop, &work->task);
}

void reader_work_free(struct reader_work *work) {
  if (work == NULL) return;
  for (size_t i = 0; i < work->entry_count; i++) {
    if (work->entries[i].cached) blob_part_release(work->entries[i].entry.payload);
  }
  for (size_t i = 0; i < work->found_count; i++) entry_release(&work->found[i]);
  memory_free(work->found);
  memory_free(work->segments);
  memory_free(work->entries);
  memory_free(work);
}
