#include "log/recovery.h"

#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"
#include "base/trace.h"

#define OPEN_FLAG_LOST 1u
#define DROPPED_TRACED_MAX 16u
#define RECOVERY_GAP_MAX (1u << 24) /* indexes: a frame further ahead is not believed */

_Static_assert(OPEN_FRAME_SPARE_SIZE <= JOURNAL_FRAME_HEAD_MAX, "it is written as a frame's head");

uint32_t open_frame_encode(const struct open_frame *frame, uint8_t out[OPEN_FRAME_SPARE_SIZE]) {
  memset(out, 0, OPEN_FRAME_SPARE_SIZE);
  out[0] = frame->replaces == 0 ? 1 : 2;
  out[1] = frame->lost ? OPEN_FLAG_LOST : 0;
  put_u64(out + 8, frame->settings.segment_bytes);
  put_u64(out + 16, (uint64_t)frame->settings.retention_bytes);
  put_u64(out + 24, (uint64_t)frame->settings.retention_ms);
  if (frame->replaces == 0) return OPEN_FRAME_SIZE;
  put_u64(out + 32, frame->replaces);
  put_u64(out + 40, frame->base.index);
  put_u64(out + 48, frame->base.term);
  put_u64(out + 56, frame->base.chain);
  put_u64(out + 64, (uint64_t)frame->base.leader_time_ms);
  put_u64(out + 72, (uint64_t)frame->base.next_offset);
  put_u64(out + 80, (uint64_t)frame->base.max_time_ms);
  return OPEN_FRAME_SPARE_SIZE;
}

enum status open_frame_decode(struct bytes body, struct open_frame *out_frame) {
  if (body.size < OPEN_FRAME_SIZE) return STATUS_CORRUPT;
  if (body.data[0] != 1 && body.data[0] != 2) return STATUS_FOREIGN;
  bool spare = body.data[0] == 2;
  if (body.size != (spare ? OPEN_FRAME_SPARE_SIZE : OPEN_FRAME_SIZE)) return STATUS_CORRUPT;
  *out_frame = (struct open_frame){.settings = {.segment_bytes = get_u64(body.data + 8),
                                                .retention_bytes = (int64_t)get_u64(body.data + 16),
                                                .retention_ms = (int64_t)get_u64(body.data + 24)},
                                   .lost = (body.data[1] & OPEN_FLAG_LOST) != 0};
  if (!spare) return STATUS_OK;
  out_frame->replaces = get_u64(body.data + 32);
  out_frame->base = (struct log_base){.index = get_u64(body.data + 40),
                                      .term = get_u64(body.data + 48),
                                      .chain = get_u64(body.data + 56),
                                      .leader_time_ms = (int64_t)get_u64(body.data + 64),
                                      .next_offset = (record_offset)get_u64(body.data + 72),
                                      .max_time_ms = (int64_t)get_u64(body.data + 80)};
  return STATUS_OK;
}

void recovery_init(struct recovery *recovery, struct log_set *set, struct log_set_report *report) {
  *recovery =
      (struct recovery){.set = set, .report = report, .logs = map_new(entropy_next(set->world->entropy)), .owner_known = true};
  table_changes_init(&recovery->changes);
  table_changes_init(&recovery->forgotten);
  journal_write_init(&recovery->carried, NULL, NULL);
}

static void drop_entries(struct recovered *log, size_t from) {
  for (size_t i = from; i < log->count; i++) {
    if (log->entries[i].cached) entry_release(&log->entries[i].entry);
  }
  if (from < log->count) log->count = from;
}

void recovery_deinit(struct recovery *recovery) {
  struct map_cursor cursor = {0};
  for (struct recovered *log = NULL; (log = map_next(recovery->logs, &cursor)) != NULL;) {
    drop_entries(log, 0);
    buffer_deinit(&log->state);
    memory_free(log->entries);
    memory_free(log);
  }
  map_free(recovery->logs);
  memory_free(recovery->damage.at);
  memory_free(recovery->dropped.at);
  table_changes_deinit(&recovery->changes);
  table_changes_deinit(&recovery->forgotten);
  journal_write_deinit(&recovery->carried);
}

struct recovered *recovery_get(struct recovery *recovery, group_id group, instance_id instance, bool add) {
  struct table_key key = table_key_group(group, instance);
  struct recovered *log = map_get(recovery->logs, table_key_bytes(&key));
  if (log != NULL || !add) return log;
  log = NEW(struct recovered);
  buffer_init(&log->state, TABLE_STATE_MAX + 8);
  log->image = images_add(&recovery->set->images, group, instance);
  log->image->row.settings = (struct log_settings){.segment_bytes = 256u << 20, .retention_bytes = -1, .retention_ms = -1};
  CHECK(map_put(recovery->logs, table_key_bytes(&key), log) == NULL);
  return log;
}

void recovered_damage(struct recovered *log, entry_index through) {
  log->damaged = true;
  if (through > log->damage_through) log->damage_through = through;
}

/* ---- The store ---- */

static enum status take_group(struct recovery *recovery, struct bytes key, struct bytes value) {
  struct group_row row;
  enum status status = group_row_decode(key, value, &row);
  if (status != STATUS_OK) return status;
  struct recovered *log = recovery_get(recovery, row.group, row.instance, true);
  group_row_deinit(&log->image->row);
  log->image->row = row;
  log->closed = row.closed;
  if (row.damaged) log->damage_through = UINT64_MAX; /* an earlier start knew how far */
  return STATUS_OK;
}

static enum status take_segment(struct recovery *recovery, struct bytes key, struct bytes value) {
  uint64_t numbers[3];
  struct segment_info info;
  enum status status = table_key_parse(key, 3, numbers);
  if (status == STATUS_OK) status = segment_row_decode(value, &info);
  if (status != STATUS_OK) return status;
  struct recovered *log = recovery_get(recovery, numbers[0], numbers[1], true);
  if (info.dropped && recovery->looks) return STATUS_OK;
  if (info.dropped) { /* its file may still be there */
    char path[DISK_PATH_MAX];
    segment_path(path, numbers[0], numbers[1], info.first_index);
    status = disk_remove(recovery->set->world->disk, path);
    if (status == STATUS_OK || status == STATUS_NOT_FOUND) table_changes_remove(&recovery->set->gone, TABLE_SEGMENT, key);
    else log->files_left = true;
    return STATUS_OK;
  }
  struct image *image = log->image;
  image->segments = memory_grow_array(image->segments, image->segment_count + 1, sizeof *image->segments);
  image->segments[image->segment_count++] = info;
  return STATUS_OK;
}

static enum status take_state(struct recovery *recovery, struct bytes key, struct bytes value) {
  uint64_t numbers[3];
  enum status status = table_key_parse(key, 2, numbers);
  if (status != STATUS_OK || value.size < 8) return STATUS_CORRUPT;
  struct recovered *log = recovery_get(recovery, numbers[0], numbers[1], true);
  log->image->state_applied = get_u64(value.data);
  log->state_read = true;
  buffer_reset(&log->state);
  return buffer_append(&log->state, value.data + 8, value.size - 8);
}

void recovery_take_row(struct recovery *recovery, unsigned table, struct bytes key, struct bytes value, enum status *out_status) {
  if (table == TABLE_GROUP) *out_status = take_group(recovery, key, value);
  if (table == TABLE_SEGMENT) *out_status = take_segment(recovery, key, value);
  if (table == TABLE_STATE) *out_status = take_state(recovery, key, value);
  if (table == TABLE_META) *out_status = checkpoint_row_decode(value, &recovery->set->checkpointed);
}

struct load {
  struct recovery *recovery;
  unsigned table;
  enum status status;
};

static bool load_row(void *context, struct bytes key, struct bytes value) {
  struct load *load = context;
  recovery_take_row(load->recovery, load->table, key, value, &load->status);
  return load->status == STATUS_OK;
}

enum status recovery_load_store(struct recovery *recovery) {
  static const unsigned tables[] = {TABLE_GROUP, TABLE_SEGMENT, TABLE_STATE, TABLE_META};
  for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
    struct load load = {.recovery = recovery, .table = tables[i], .status = STATUS_OK};
    enum status status = store_walk(recovery->set->store, tables[i], bytes_of(NULL, 0), load_row, &load);
    if (status != STATUS_OK) return status;
    if (load.status != STATUS_OK) return load.status;
  }
  struct map_cursor cursor = {0};
  for (struct recovered *log = NULL; (log = map_next(recovery->logs, &cursor)) != NULL;) log->image->stored = true;
  return STATUS_OK;
}

/* ---- The journal ---- */

/* Its checksums hold: it is no rot. To go on without it would be to lose it. */
static void found_foreign(struct recovery *recovery, const struct journal_found *frame, const char *what) {
  if (recovery->foreign != NULL) return;
  recovery->foreign = what;
  recovery->foreign_group = frame->group;
}

static bool is_foreign(const struct journal_found *frame, const char **out_what) {
  struct entry_head head;
  struct open_frame open;
  struct checkpoint_row row;
  bool entry = frame->kind == FRAME_ENTRY && frame->body.size >= ENTRY_HEAD_SIZE;
  *out_what = NULL;
  if (entry && entry_decode_head(frame->body.data, &head) == STATUS_FOREIGN) *out_what = "an entry";
  if (frame->kind == FRAME_OPEN && open_frame_decode(frame->body, &open) == STATUS_FOREIGN) *out_what = "the beginning of a log";
  if (frame->kind == FRAME_CHECKPOINT && checkpoint_frame_decode(frame->body, &row) == STATUS_FOREIGN)
    *out_what = "the word of a checkpoint";
  if (frame->kind < FRAME_ENTRY || frame->kind > FRAME_TABLE) *out_what = "a frame";
  return *out_what != NULL;
}

static void found_entry(struct recovered *log, const struct journal_found *frame) {
  struct entry_head head;
  if (frame->body.size < ENTRY_HEAD_SIZE || entry_decode_head(frame->body.data, &head) != STATUS_OK) return;
  if (entry_size(&head) != frame->body.size || head.index <= log->image->row.flushed_index) return;
  size_t at = (size_t)(head.index - log->image->row.flushed_index - 1);
  if (at > log->count + RECOVERY_GAP_MAX) return;
  if (at < log->count && !log->entries[at].lost) {
    if (log->entries[at].entry.head.chain == head.chain) { /* appended again */
      log->entries[at].place = frame->place;
      return;
    }
    drop_entries(log, at); /* replaced: a cut of which the frame was lost, or which stands before it */
  }
  if (at >= log->capacity) {
    size_t capacity = log->capacity == 0 ? 4 : log->capacity;
    while (capacity <= at) capacity *= 2;
    log->entries = memory_grow_array(log->entries, capacity, sizeof *log->entries);
    log->capacity = capacity;
  }
  for (; log->count <= at; log->count++) log->entries[log->count] = (struct flush_entry){.lost = true};
  struct flush_entry *entry = &log->entries[at];
  *entry = (struct flush_entry){.entry.head = head, .place = frame->place, .cached = true};
  if (head.payload_size == 0) return;
  struct blob *blob = NULL;
  CHECK(blob_new(NULL, head.payload_size, &blob) == STATUS_OK);
  memcpy(blob->data, frame->body.data + ENTRY_HEAD_SIZE, head.payload_size);
  entry->entry.payload = (struct blob_part){.blob = blob, .bytes = bytes_of(blob->data, head.payload_size)};
}

static void found_cut(struct recovered *log, entry_index from) {
  entry_index first = log->image->row.flushed_index + 1;
  drop_entries(log, from > first ? (size_t)(from - first) : 0);
  while (log->count > 0 && log->entries[log->count - 1].lost) log->count--;
}

static void found_hard_state(struct recovered *log, struct bytes body) {
  struct hard_state state;
  if (journal_hard_state_decode(body, &state) != STATUS_OK) return;
  struct hard_state *known = &log->image->row.hard_state;
  if (state.term < known->term) return;
  if (state.commit < known->commit) state.commit = known->commit;
  if (state.term == known->term && state.vote == 0) state.vote = known->vote;
  *known = state;
}

static void found_base(struct image *image, const struct open_frame *open) {
  const struct log_base *base = &open->base;
  struct group_row *row = &image->row;
  row->replaces = open->replaces;
  if (row->flushed_index > base->index || image->segment_count > 0) return; /* a dump or segments know more */
  row->start_index = base->index + 1;
  row->start_offset = base->next_offset;
  row->start_chain = base->chain;
  row->flushed_index = base->index;
  row->flushed_offset = base->next_offset;
  row->flushed_chain = base->chain;
  row->leader_time_ms = base->leader_time_ms;
  row->max_time_ms = base->max_time_ms;
  if (base->index == 0 || row->term_count > 0) return;
  row->terms = memory_grow_array(row->terms, 1, sizeof *row->terms);
  row->terms[row->term_count++] = (struct log_term_run){.first = base->index, .term = base->term};
}

static void found_open(struct recovered *log, const struct journal_found *frame) {
  struct open_frame open;
  if (open_frame_decode(frame->body, &open) != STATUS_OK) {
    trace_warn("open_frame_unknown", "group=%" PRIu64, frame->group);
    return;
  }
  log->image->row.settings = open.settings;
  if (open.lost) recovered_damage(log, UINT64_MAX);
  if (open.replaces != 0) found_base(log->image, &open);
}

static void found(void *context, const struct journal_found *frame) {
  struct recovery *recovery = context;
  const char *what;
  if (is_foreign(frame, &what)) {
    found_foreign(recovery, frame, what);
    return;
  }
  if (frame->kind == FRAME_CHECKPOINT) {
    struct checkpoint_row row;
    if (checkpoint_frame_decode(frame->body, &row) == STATUS_OK && row.sequence > recovery->newest_frame.sequence) {
      recovery->newest_frame = row;
    }
    return;
  }
  struct recovered *log = recovery_get(recovery, frame->group, frame->instance, true);
  log->mentioned = true;
  if (log->closed) return;
  log->told = true;
  if (frame->kind == FRAME_ENTRY) found_entry(log, frame);
  if (frame->kind == FRAME_CUT) found_cut(log, frame->first_index);
  if (frame->kind == FRAME_HARD_STATE) found_hard_state(log, frame->body);
  if (frame->kind == FRAME_OPEN && !log->image->stored) found_open(log, frame);
  if (frame->kind != FRAME_CLOSE) return;
  drop_entries(log, 0);
  log->closed = true;
}

void recovery_close_earlier(struct recovery *recovery) {
  struct map *newest = map_new(0); /* of each group */
  struct map_cursor cursor = {0};
  for (struct recovered *log = NULL; (log = map_next(recovery->logs, &cursor)) != NULL;) {
    const struct recovered *other = map_get_number(newest, log->image->row.group);
    if (other == NULL || other->image->row.instance < log->image->row.instance)
      map_put_number(newest, log->image->row.group, log);
  }
  cursor = (struct map_cursor){0};
  for (struct recovered *log = NULL; (log = map_next(recovery->logs, &cursor)) != NULL;) {
    const struct group_row *row = &log->image->row;
    const struct recovered *last = map_get_number(newest, row->group);
    if (log->closed || instance_series(row->instance) == instance_series(last->image->row.instance)) continue;
    trace_warn("log_closed_without_a_word", "group=%" PRIu64 " instance=%" PRIu64 " newest=%" PRIu64, row->group, row->instance,
               last->image->row.instance);
    drop_entries(log, 0);
    log->closed = true;
    log->told = true;
  }
  map_free(newest);
}

static void add_loss(struct recovery_losses *losses, const struct journal_loss *loss) {
  losses->at = memory_grow_array(losses->at, losses->count + 1, sizeof *losses->at);
  losses->at[losses->count++] = *loss;
}

static void damaged(void *context, const struct journal_loss *loss) {
  struct recovery *recovery = context;
  add_loss(&recovery->damage, loss);
}

static void dropped(void *context, const struct journal_loss *loss) {
  struct recovery *recovery = context;
  add_loss(&recovery->dropped, loss);
}

/* A tear is no damage. But rot in the last group looks like one, so it is said what was there. */
static void trace_dropped(struct recovery *recovery) {
  struct recovery_losses *losses = &recovery->dropped;
  losses->count = journal_losses_merge(losses->at, losses->count);
  for (size_t i = 0; i < losses->count && i < DROPPED_TRACED_MAX; i++) {
    const struct journal_loss *loss = &losses->at[i];
    trace_warn("journal_dropped",
               "file=%" PRIu64 " position=%" PRIu64 " known=%d group=%" PRIu64 " instance=%" PRIu64
               " kind=%d first_index=%" PRIu64 " last_index=%" PRIu64 " first_offset=%" PRId64 " end_offset=%" PRId64,
               loss->place.file, loss->place.offset, loss->known, loss->group, loss->instance, (int)loss->kind, loss->first_index,
               loss->last_index, loss->first_offset, loss->end_offset);
  }
  if (losses->count > DROPPED_TRACED_MAX) trace_warn("journal_dropped_more", "count=%zu", losses->count - DROPPED_TRACED_MAX);
}

enum status recovery_scan_journal(struct recovery *recovery) {
  struct log_set *set = recovery->set;
  struct journal_replay replay = {.found = found, .damaged = damaged, .dropped = dropped, .context = recovery};
  enum status status = journal_open(set->world, &set->options.journal, set->checkpointed.durable_group, &replay, &set->journal,
                                    &recovery->report->journal);
  if (status == STATUS_OK && recovery->foreign != NULL) return STATUS_FOREIGN;
  if (status == STATUS_OK) trace_dropped(recovery);
  return status;
}
