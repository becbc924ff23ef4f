#include "log/image.h"

#include <string.h>

#include "base/check.h"
#include "base/memory.h"

#define FLUSH_ENTRIES_MAX 512u

/* ---- Images ---- */

void images_init(struct images *images) { images->map = map_new(0x696d61676573u); }

static void image_free(struct image *image) {
  if (image == NULL) return;
  group_row_deinit(&image->row);
  memory_free(image->segments);
  memory_free(image);
}

void images_deinit(struct images *images) {
  if (images->map == NULL) return;
  struct map_cursor cursor = {0};
  for (struct image *image = NULL; (image = map_next(images->map, &cursor)) != NULL;) image_free(image);
  map_free(images->map);
  images->map = NULL;
}

struct image *images_get(const struct images *images, group_id group, instance_id instance) {
  struct table_key key = table_key_group(group, instance);
  return map_get(images->map, table_key_bytes(&key));
}

struct image *images_add(struct images *images, group_id group, instance_id instance) {
  struct image *image = NEW(struct image);
  image->row.group = group;
  image->row.instance = instance;
  image->row.start_index = 1;
  image->owner = images->owner;
  struct table_key key = table_key_group(group, instance);
  CHECK(map_put(images->map, table_key_bytes(&key), image) == NULL);
  return image;
}

void images_remove(struct images *images, group_id group, instance_id instance) {
  struct table_key key = table_key_group(group, instance);
  image_free(map_remove(images->map, table_key_bytes(&key)));
}

/* ---- Updates ---- */

static void *copy_array(const void *array, size_t count, size_t size) {
  void *copy = memory_new_array(count + 1, size);
  if (count > 0) memcpy(copy, array, count * size);
  return copy;
}

void image_update_begin(struct image_update *update, struct image *image, const struct table_changes *changes) {
  *update = (struct image_update){
      .image = image,
      .row = image->row,
      .segments = copy_array(image->segments, image->segment_count, sizeof *image->segments),
      .segment_count = image->segment_count,
      .segment_capacity = image->segment_count + 1,
      .index_position = image->index_position,
      .changes_begin = changes->count,
  };
  update->row.terms = copy_array(image->row.terms, image->row.term_count, sizeof *image->row.terms);
}

static struct segment_info *last_segment(struct image_update *update) {
  return update->segment_count == 0 ? NULL : &update->segments[update->segment_count - 1];
}

static void put_segment_row(struct image_update *update, const struct segment_info *info, struct table_changes *changes) {
  struct buffer value;
  buffer_init(&value, 1024);
  CHECK(segment_row_encode(info, &value) == STATUS_OK);
  struct table_key key = table_key_segment(update->row.group, update->row.instance, info->first_index);
  table_changes_put(changes, TABLE_SEGMENT, table_key_bytes(&key), buffer_bytes(&value));
  buffer_deinit(&value);
}

static struct segment_info *add_segment(struct image_update *update, const struct segment_info *info) {
  if (update->segment_count == update->segment_capacity) {
    update->segment_capacity *= 2;
    update->segments = memory_grow_array(update->segments, update->segment_capacity, sizeof *update->segments);
  }
  update->segments[update->segment_count] = *info;
  return &update->segments[update->segment_count++];
}

/* ---- Writing entries ---- */

struct flush {
  struct image_update *update;
  struct disk *disk;
  struct journal *journal;
  struct table_changes *changes;
  struct checkpoint_pace *pace;
  struct segment_writer writer; /* of the last segment, while file is not NULL */
  struct index_builder index;
};

static enum status open_last(struct flush *flush, const struct segment_info *info) {
  struct image_update *update = flush->update;
  flush->index = (struct index_builder){.group = update->row.group,
                                        .instance = update->row.instance,
                                        .last_position = update->index_position,
                                        .changes = flush->changes};
  return segment_open_append(flush->disk, update->row.group, update->row.instance, info, &flush->writer);
}

static enum status open_new(struct flush *flush, const struct entry_head *first) {
  struct image_update *update = flush->update;
  struct segment_info *last = last_segment(update);
  if (last != NULL && !last->sealed) {
    last->sealed = true;
    put_segment_row(update, last, flush->changes);
  }
  bool chained = update->row.flushed_index + 1 == first->index;
  struct segment_header header = {
      .group = update->row.group,
      .instance = update->row.instance,
      .first_index = first->index,
      .base_offset = first->base_offset,
      .previous_chain = chained ? update->row.flushed_chain : 0,
      .chained = chained,
  };
  memcpy(header.owner, update->image->owner, sizeof header.owner);
  if (!chained && first->index == update->row.start_index && update->row.start_index > update->row.flushed_index) {
    header.previous_chain = update->row.start_chain;
    header.chained = true;
  }
  flush->index = (struct index_builder){.group = update->row.group, .instance = update->row.instance, .changes = flush->changes};
  bool made_dir = false;
  enum status status = segment_create(flush->disk, &header, &flush->writer, &made_dir);
  /* A round that failed may have made the directory, and nobody synced its name. */
  update->made_dir = update->made_dir || made_dir || update->image->segment_count == 0;
  if (status != STATUS_OK) return status;
  update->made_file = true;
  add_segment(update, &flush->writer.info);
  return STATUS_OK;
}

static enum status close_writer(struct flush *flush) {
  if (flush->writer.file == NULL) return STATUS_OK;
  struct image_update *update = flush->update;
  checkpoint_pace_writes(flush->pace);
  enum status status = segment_finish(&flush->writer);
  checkpoint_pace_wrote(flush->pace, 0);
  segment_writer_close(&flush->writer);
  if (status != STATUS_OK) return status;
  *last_segment(update) = flush->writer.info;
  update->index_position = flush->index.last_position;
  put_segment_row(update, last_segment(update), flush->changes);
  return STATUS_OK;
}

/* A writer that the next entry may go to. */
static enum status ready_writer(struct flush *flush, const struct entry_head *next) {
  struct image_update *update = flush->update;
  if (flush->writer.file != NULL) { /* the last segment's */
    bool goes_on = flush->writer.info.last_index + 1 == next->index;
    if (goes_on && flush->writer.info.length < update->row.settings.segment_bytes) return STATUS_OK;
    enum status status = close_writer(flush);
    if (status != STATUS_OK) return status;
    return open_new(flush, next);
  }
  struct segment_info *last = last_segment(update);
  bool fits = last != NULL && !last->sealed && !update->image->abandoned && last->last_index + 1 == next->index &&
              last->length < update->row.settings.segment_bytes;
  if (!fits) return open_new(flush, next);
  enum status status = open_last(flush, last);
  if (status != STATUS_CORRUPT && status != STATUS_NOT_FOUND) return status;
  return open_new(flush, next); /* a shorter file or none: reads will say so; go on in a new one */
}

static void note_flushed(struct group_row *row, const struct entry_head *head) {
  row->flushed_index = head->index;
  row->flushed_offset = entry_end_offset(head);
  row->flushed_chain = head->chain;
  row->leader_time_ms = head->leader_time_ms;
  if (head->record_count > 0 && head->max_time_ms > row->max_time_ms) row->max_time_ms = head->max_time_ms;
}

/* Writes a run of entries that all have their payloads. */
static enum status write_run(struct flush *flush, struct entry *run, size_t count) {
  if (count == 0) return STATUS_OK;
  struct segment_info noted = flush->writer.info;
  for (size_t i = 0; i < count; i++) {
    index_note(&flush->index, &noted, &run[i].head);
    noted.length += entry_size(&run[i].head);
    noted.last_chain = run[i].head.chain;
    if (run[i].head.record_count > 0 && run[i].head.max_time_ms > noted.max_time_ms) {
      noted.max_time_ms = run[i].head.max_time_ms;
    }
    note_flushed(&flush->update->row, &run[i].head);
  }
  flush->update->written = true;
  flush->writer.piece_bytes = checkpoint_pace_bytes(flush->pace);
  checkpoint_pace_writes(flush->pace);
  uint64_t before = flush->writer.info.length;
  enum status status = segment_append(&flush->writer, run, count);
  checkpoint_pace_wrote(flush->pace, flush->writer.info.length - before);
  return status;
}

static enum status load(struct flush *flush, struct flush_entry *from, struct entry *out_entry) {
  *out_entry = (struct entry){.head = from->entry.head};
  if (from->cached || from->entry.head.payload_size == 0) {
    out_entry->payload = blob_part_hold(from->entry.payload);
    return STATUS_OK;
  }
  struct entry read;
  flush->update->read_back++;
  enum status status =
      journal_read_entry(flush->journal, from->place, flush->update->row.group, from->entry.head.index, NULL, &read);
  if (status == STATUS_CORRUPT || status == STATUS_NOT_FOUND) return STATUS_DAMAGED;
  if (status != STATUS_OK) return status;
  if (read.head.chain != from->entry.head.chain) {
    entry_release(&read);
    return STATUS_DAMAGED;
  }
  *out_entry = read;
  return STATUS_OK;
}

/* Takes entries until a write's worth is together or a new segment is due. */
static enum status write_some(struct flush *flush, struct flush_entry *entries, size_t count, struct entry *run,
                              size_t *out_taken) {
  uint64_t bytes = 0;
  size_t used = 0;
  enum status status = ready_writer(flush, &entries[0].entry.head);
  uint64_t room = flush->update->row.settings.segment_bytes, enough = checkpoint_pace_bytes(flush->pace);
  while (status == STATUS_OK && used < count && used < FLUSH_ENTRIES_MAX && bytes < enough) {
    if (used > 0 && (entries[used].lost || flush->writer.info.length + bytes >= room)) break;
    status = load(flush, &entries[used], &run[used]);
    if (status == STATUS_DAMAGED) flush->update->bad_entry = used;
    if (status != STATUS_OK) break;
    bytes += entry_size(&run[used].head);
    used++;
  }
  if (status == STATUS_OK) status = write_run(flush, run, used);
  for (size_t i = 0; i < used; i++) entry_release(&run[i]);
  *out_taken = used;
  return status;
}

enum status image_update_flush(struct image_update *update, struct disk *disk, struct journal *journal,
                               struct checkpoint_pace *pace, struct flush_entry *entries, size_t count,
                               struct table_changes *changes) {
  struct flush flush = {.update = update, .disk = disk, .journal = journal, .changes = changes, .pace = pace};
  struct entry *run = memory_new_array(FLUSH_ENTRIES_MAX, sizeof *run);
  enum status status = STATUS_OK;
  for (size_t at = 0; at < count && status == STATUS_OK;) {
    if (entries[at].lost) {
      at++;
      continue;
    }
    size_t taken = 0;
    status = write_some(&flush, entries + at, count - at, run, &taken);
    if (status == STATUS_DAMAGED) update->bad_entry += at;
    at += taken;
  }
  memory_free(run);
  if (status == STATUS_OK) status = close_writer(&flush);
  segment_writer_close(&flush.writer);
  return status;
}

/* ---- Rows ---- */

static void drop_segment(struct image_update *update, const struct segment_info *segment, struct store *store,
                         struct table_changes *changes) {
  struct segment_info gone = *segment;
  gone.dropped = true;
  put_segment_row(update, &gone, changes);
  if (store != NULL) index_remove(store, update->row.group, update->row.instance, segment, changes);
  update->dropped[update->dropped_count++] = gone;
}

void image_update_drop(struct image_update *update, struct store *store, struct table_changes *changes) {
  size_t drop = 0;
  while (drop < update->segment_count && (update->row.closed || update->segments[drop].last_index < update->row.start_index)) {
    drop++;
  }
  if (drop == 0) return;
  update->dropped = memory_new_array(drop, sizeof *update->dropped);
  for (size_t i = 0; i < drop; i++) drop_segment(update, &update->segments[i], store, changes);
  update->segment_count -= drop;
  memmove(update->segments, update->segments + drop, update->segment_count * sizeof *update->segments);
}

void image_update_row(struct image_update *update, struct table_changes *changes) {
  struct buffer value;
  buffer_init(&value, TABLE_STATE_MAX);
  CHECK(group_row_encode(&update->row, &value) == STATUS_OK);
  struct table_key key = table_key_group(update->row.group, update->row.instance);
  table_changes_put(changes, TABLE_GROUP, table_key_bytes(&key), buffer_bytes(&value));
  buffer_deinit(&value);
}

void image_update_apply(struct image_update *update) {
  struct image *image = update->image;
  group_row_deinit(&image->row);
  memory_free(image->segments);
  image->row = update->row;
  image->segments = update->segments;
  image->segment_count = update->segment_count;
  image->index_position = update->index_position;
  image->stored = true;
  image->abandoned = image->abandoned && !update->made_file;
  memory_free(update->dropped);
  *update = (struct image_update){0};
}

/* Gives the space back. Best effort: what is beyond the record does not exist anyway. */
static void cut_files(const struct image_update *update, struct disk *disk) {
  const struct image *image = update->image;
  bool removed = false;
  for (size_t i = 0; i < update->segment_count; i++) {
    const struct segment_info *info = &update->segments[i];
    const struct segment_info *last = image->segment_count == 0 ? NULL : &image->segments[image->segment_count - 1];
    bool known = last != NULL && info->first_index <= last->first_index;
    char path[DISK_PATH_MAX];
    segment_path(path, image->row.group, image->row.instance, info->first_index);
    enum status status = STATUS_OK;
    if (!known) {
      status = disk_remove(disk, path);
      removed = true;
    } else if (info->first_index == last->first_index && !last->sealed && !image->abandoned) {
      struct disk_file *file = NULL;
      status = disk_open(disk, path, 0, &file);
      if (status == STATUS_OK) status = disk_truncate(file, last->length);
      disk_close(file);
    }
    (void)status;
  }
  if (!removed) return;
  char dir[DISK_PATH_MAX];
  segment_dir_path(dir, image->row.group, image->row.instance);
  enum status status = disk_sync_dir(disk, dir); /* or they might come back between those that are written next */
  (void)status;
}

void image_update_discard(struct image_update *update, struct disk *disk, struct table_changes *changes) {
  if (disk != NULL && (update->written || update->made_file)) cut_files(update, disk);
  table_changes_truncate(changes, update->changes_begin);
  group_row_deinit(&update->row);
  memory_free(update->segments);
  memory_free(update->dropped);
  *update = (struct image_update){0};
}
