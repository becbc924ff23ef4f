#include "log/checkpoint_round.h"

#include <inttypes.h>
#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"
#include "base/mutant.h"
#include "base/probe.h"
#include "base/trace.h"
#include "log/checkpoint_dump.h"
#include "log/log_internal.h"
#include "log/reader.h"

void checkpoint_item_free(struct checkpoint_item *item) {
  if (item == NULL) return;
  for (size_t i = 0; i < item->entry_count; i++) {
    if (item->entries[i].cached) blob_part_release(item->entries[i].entry.payload);
  }
  memory_free(item->entries);
  memory_free(item->segments);
  group_row_deinit(&item->row);
  buffer_deinit(&item->state);
  memory_free(item);
}

void checkpoint_round_begin(struct checkpoint_round *round, struct log_set *set, bool last) {
  struct checkpoint_removal *removals = round->removals;
  *round = (struct checkpoint_round){.set = set,
                                     .last = last,
                                     .removals = removals,
                                     .removal_count = round->removal_count,
                                     .rounds = round->rounds + 1,
                                     .dump_owed = round->dump_owed || set->dump_owed,
                                     .settles = atomic_load(&set->settled),
                                     .release_held = round->release_held};
  set->dump_owed = false;
  table_changes_init(&round->changes);
}

/* ---- One group ---- */

static struct image *image_of(struct checkpoint_round *round, const struct checkpoint_item *item) {
  struct image *image = images_get(&round->set->images, item->group, item->instance);
  if (image != NULL) return image;
  image = images_add(&round->set->images, item->group, item->instance);
  image->row.flushed_index = item->flushed.index; /* a spare begins behind its base */
  image->row.flushed_offset = item->flushed.next_offset;
  image->row.flushed_chain = item->flushed.chain;
  image->row.leader_time_ms = item->flushed.leader_time_ms;
  image->row.max_time_ms = item->flushed.max_time_ms;
  return image;
}

/* What the lane says, but for how far it is flushed. */
static void merge_row(struct image_update *update, struct checkpoint_item *item) {
  struct group_row *row = &update->row;
  struct group_row *from = &item->row;
  row->closed = from->closed;
  row->replaces = from->replaces;
  row->damaged = row->damaged || from->damaged;
  row->settings = from->settings;
  row->hard_state = from->hard_state;
  row->start_offset = from->start_offset;
  row->start_index = from->start_index;
  row->start_chain = from->start_chain;
  memory_free(row->terms);
  row->terms = from->terms;
  row->term_count = from->term_count;
  from->terms = NULL;
  from->term_count = 0;
}

static void put_state(struct checkpoint_round *round, const struct checkpoint_item *item) {
  struct table_key key = table_key_group(item->group, item->instance);
  if (item->row.closed) {
    table_changes_remove(&round->changes, TABLE_STATE, table_key_bytes(&key));
    return;
  }
  if (!item->has_state) return;
  struct buffer value;
  buffer_init(&value, TABLE_STATE_MAX + 8);
  uint8_t applied[8];
  put_u64(applied, item->state_applied);
  CHECK(buffer_append(&value, applied, sizeof applied) == STATUS_OK);
  CHECK(buffer_append(&value, item->state.data, item->state.size) == STATUS_OK);
  table_changes_put(&round->changes, TABLE_STATE, table_key_bytes(&key), buffer_bytes(&value));
  buffer_deinit(&value);
}

/* A group failed: its part of the transaction is taken back; the others go on. */
static void fail_group(struct checkpoint_round *round, struct image_update *update, struct checkpoint_item *item,
                       enum status status) {
  item->status = status;
  if (status == STATUS_DAMAGED) item->lost = &item->entries[update->bad_entry];
  if (status == STATUS_IO) update->image->abandoned = true;
  item->carry = item->entry_count > 0;
  round->failed = true;
  trace_warn("flush_failed", "group=%" PRIu64 " instance=%" PRIu64 " status=%s", item->group, item->instance,
             status_name(status));
  image_update_discard(update, round->set->world->disk, &round->changes);
}

/* Its entries stay in the journal, those that keep its oldest file at its head; only the row is recorded. */
static void leave_entries(const struct image *image, struct checkpoint_item *item) {
  struct group_row *row = &item->row;
  item->flush = false;
  item->carry = item->entry_count > 0;
  while (row->term_count > 0 && row->terms[row->term_count - 1].first > image->row.flushed_index) row->term_count--;
}

static enum status flush_group(struct checkpoint_round *round, struct image_update *update, struct checkpoint_item *item) {
  struct log_set *set = round->set;
  const struct group_row *flushed = &item->row;
  enum status status =
      image_update_flush(update, set->world->disk, set->journal, &round->pace, item->entries, item->entry_count, &round->changes);
  update->row.flushed_index = flushed->flushed_index;
  update->row.flushed_offset = flushed->flushed_offset;
  update->row.flushed_chain = flushed->flushed_chain;
  update->row.leader_time_ms = flushed->leader_time_ms;
  update->row.max_time_ms = flushed->max_time_ms;
  if (status != STATUS_NO_SPACE || item->ahead) return status;
  REACHED(checkpoint_lacks_space);
  trace_warn("checkpoint_lacks_space", "group=%" PRIu64 " do=\"free space on the disk; it goes on by itself\"", item->group);
  round->full = true;
  round->failed = true;
  item->row.terms = update->row.terms;
  item->row.term_count = update->row.term_count;
  update->row.terms = NULL;
  image_update_discard(update, set->world->disk, &round->changes);
  return status;
}

static void write_group(struct checkpoint_round *round, struct checkpoint_item *item) {
  struct log_set *set = round->set;
  struct image *image = image_of(round, item);
  checkpoint_dump_note(round, image, item);
  struct image_update *update = &round->updates[round->update_count];
  /* Without space for entries rows are recorded all the same: what was trimmed or deleted gives some back. */
  bool no_space = round->full && item->flush && item->entry_count > 0;
  if (no_space && !item->ahead) leave_entries(image, item);
  image_update_begin(update, image, &round->changes);
  merge_row(update, item);
  enum status status = no_space && item->ahead ? STATUS_NO_SPACE : item->flush ? flush_group(round, update, item) : STATUS_OK;
  if (status == STATUS_NO_SPACE && !item->ahead) {
    leave_entries(image, item);
    image_update_begin(update, image, &round->changes);
    merge_row(update, item);
  } else if (status != STATUS_OK) {
    fail_group(round, update, item, status);
    return;
  }
  image_update_drop(update, set->store, &round->changes);
  image_update_row(update, &round->changes);
  put_state(round, item);
  round->entries += item->flush ? item->entry_count : 0;
  round->read_back += update->read_back;
  round->updated[round->update_count++] = item;
}

/* A small old tail: its bytes are brought into memory for its lane to append again. */
static void load_carried(struct checkpoint_round *round, struct checkpoint_item *item) {
  round->carried = round->carried || item->entry_count > 0;
  if (round->carried) REACHED(small_tail_carried);
  for (size_t i = 0; i < item->entry_count; i++) {
    struct flush_entry *entry = &item->entries[i];
    if (entry->cached || entry->lost || entry->place.file >= round->request.carry_below) continue;
    if (entry->entry.head.payload_size == 0) {
      entry->cached = true;
      continue;
    }
    struct entry read;
    enum status status = journal_read_entry(round->set->journal, entry->place, item->group, entry->entry.head.index, NULL, &read);
    if (status == STATUS_OK && read.head.chain != entry->entry.head.chain) {
      entry_release(&read);
      status = STATUS_CORRUPT;
    }
    if (status != STATUS_OK) {
      if (status == STATUS_CORRUPT) item->lost = entry;
      return;
    }
    entry->entry.payload = read.payload;
    entry->cached = true;
  }
}

/* ---- The transaction ---- */

static enum status sync_dirs(struct checkpoint_round *round) {
  struct disk *disk = round->set->world->disk;
  bool made_dir = false;
  if (MUTANT(segment_name_not_synced)) return STATUS_OK;
  for (size_t i = 0; i < round->update_count; i++) {
    const struct image_update *update = &round->updates[i];
    made_dir = made_dir || update->made_dir;
    if (!update->made_file) continue;
    char path[DISK_PATH_MAX];
    segment_dir_path(path, update->row.group, update->row.instance);
    enum status status = disk_sync_dir(disk, path);
    if (status != STATUS_OK) return status;
  }
  return made_dir ? disk_sync_dir(disk, "p") : STATUS_OK;
}

static void add_gone(struct checkpoint_round *round) {
  const struct table_changes *gone = &round->set->gone;
  for (size_t i = 0; i < gone->count; i++) {
    table_changes_remove(&round->changes, (enum table)gone->changes[i].table, gone->changes[i].key);
  }
}

/* All that was made for what may have been lost is in this transaction, or in an earlier one. */
static bool ends_doubt(const struct checkpoint_round *round) {
  return round->set->checkpointed.doubt && round->settles && !round->failed;
}

static enum status commit(struct checkpoint_round *round) {
  struct log_set *set = round->set;
  enum status status = sync_dirs(round);
  if (status != STATUS_OK) return status;
  struct checkpoint_row row = {
      .sequence = set->checkpointed.sequence + 1,
      .durable_group = journal_usage(set->journal).durable_group,
      .dump = set->checkpointed.dump,
      .doubt = set->checkpointed.doubt && !ends_doubt(round),
      .dump_owed = round->dump_owed,
  };
  struct buffer value;
  buffer_init(&value, 256);
  CHECK(checkpoint_row_encode(&row, &value) == STATUS_OK);
  table_changes_put(&round->changes, TABLE_META, bytes_of_string("checkpoint"), buffer_bytes(&value));
  buffer_deinit(&value);
  add_gone(round);
  if (!MUTANT(tables_not_committed)) status = store_commit(set->store, round->changes.changes, round->changes.count);
  if (status != STATUS_OK) {
    if (status != STATUS_NO_SPACE) atomic_store(&set->store_failed, true);
    return status;
  }
  set->checkpointed = row;
  table_changes_deinit(&set->gone);
  return STATUS_OK;
}

static void add_removal(struct checkpoint_round *round, group_id group, instance_id instance, entry_index first_index) {
  round->removals = memory_grow_array(round->removals, round->removal_count + 1, sizeof *round->removals);
  round->removals[round->removal_count++] =
      (struct checkpoint_removal){.group = group, .instance = instance, .first_index = first_index};
}

static void accept(struct checkpoint_round *round) {
  for (size_t i = 0; i < round->update_count; i++) {
    struct image_update *update = &round->updates[i];
    struct checkpoint_item *item = round->updated[i];
    struct image *image = update->image;
    for (size_t k = 0; k < update->dropped_count; k++) {
      add_removal(round, item->group, item->instance, update->dropped[k].first_index);
    }
    bool closed = update->row.closed;
    image_update_apply(update);
    if (item->has_state) image->state_applied = item->state_applied;
    item->stored = true;
    item->row.closed = closed;
    if (closed) {
      add_removal(round, item->group, item->instance, 0);
      images_remove(&round->set->images, item->group, item->instance);
      continue;
    }
    item->segments = memory_new_array(image->segment_count + 1, sizeof *item->segments);
    item->segment_count = image->segment_count;
    if (image->segment_count > 0) memcpy(item->segments, image->segments, image->segment_count * sizeof *item->segments);
  }
}

static void abandon(struct checkpoint_round *round, enum status status) {
  struct disk *disk = status == STATUS_NO_SPACE ? round->set->world->disk : NULL;
  for (size_t i = round->update_count; i > 0; i--) {
    round->updated[i - 1]->status = status;
    image_update_discard(&round->updates[i - 1], disk, &round->changes);
  }
  round->update_count = 0;
  round->failed = true;
}

/* ---- The round ---- */

static uint64_t bytes_of_item(const struct checkpoint_item *item) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < item->entry_count && item->flush; i++) bytes += entry_size(&item->entries[i].entry.head);
  return bytes;
}

/* How many items there are, and how much they bring to write. */
static size_t count_items(const struct log_set *set, uint64_t *out_bytes) {
  size_t count = 0;
  *out_bytes = 0;
  for (size_t i = 0; i < LOG_LANES_MAX; i++) {
    struct log_lane *lane = atomic_load(&set->lanes[i]);
    if (lane == NULL) continue;
    list_for_each(&lane->items, node, next) {
      *out_bytes += bytes_of_item(list_entry(node, struct checkpoint_item, node));
      count++;
    }
  }
  return count;
}

static void write_items(struct checkpoint_round *round) {
  for (size_t i = 0; i < LOG_LANES_MAX; i++) {
    struct log_lane *lane = atomic_load(&round->set->lanes[i]);
    if (lane == NULL) continue;
    list_for_each(&lane->items, node, next) {
      struct checkpoint_item *item = list_entry(node, struct checkpoint_item, node);
      if (item->row_given) write_group(round, item);
      if (item->carry) load_carried(round, item);
    }
  }
}

void checkpoint_round_write(struct checkpoint_round *round) {
  struct log_set *set = round->set;
  uint64_t begin_ns = world_now_ns(set->world);
  uint64_t bytes = 0;
  size_t count = count_items(set, &bytes);
  checkpoint_pace_begin(&round->pace, set, bytes, round->room_bytes);
  round->updates = memory_new_array(count + 1, sizeof *round->updates);
  round->updated = memory_new_array(count + 1, sizeof(struct checkpoint_item *));
  write_items(round);
  uint64_t written_ns = world_now_ns(set->world);
  bool changes = round->update_count > 0 || round->removal_count > 0 || set->gone.count > 0;
  if (!changes && !round->last && !ends_doubt(round)) {
    checkpoint_dump_again(round);
    return;
  }
  enum status status = commit(round);
  if (status != STATUS_OK) {
    if (status == STATUS_NO_SPACE)
      trace_error("checkpoint_failed", "status=NO_SPACE do=\"make room on the disk; where it has enough, start with a larger "
                                       "store-bytes-max: until then the journal fills up\"");
    else trace_error("checkpoint_failed", "status=%s", status_name(status));
    if (status != STATUS_NO_SPACE) atomic_store(&set->fenced, true);
    abandon(round, status);
    return;
  }
  round->committed = true;
  accept(round);
  uint64_t committed_ns = world_now_ns(set->world);
  checkpoint_dump_write(round);
  trace_debug("checkpoint",
              "sequence=%" PRIu64 " logs=%zu entries=%" PRIu64 " read_back=%" PRIu64 " write_us=%" PRIu64 " commit_us=%" PRIu64
              " dump_us=%" PRIu64,
              set->checkpointed.sequence, round->update_count, round->entries, round->read_back, (written_ns - begin_ns) / 1000u,
              (committed_ns - written_ns) / 1000u, (world_now_ns(set->world) - committed_ns) / 1000u);
}

static bool remove_one(struct checkpoint_round *round, const struct checkpoint_removal *removal) {
  struct disk *disk = round->set->world->disk;
  char path[DISK_PATH_MAX];
  if (removal->first_index == 0) return segment_remove_dir(disk, removal->group, removal->instance) == STATUS_OK;
  segment_path(path, removal->group, removal->instance, removal->first_index);
  enum status status = disk_remove(disk, path);
  if (status != STATUS_OK && status != STATUS_NOT_FOUND) return false;
  struct table_key key = table_key_segment(removal->group, removal->instance, removal->first_index);
  table_changes_remove(&round->set->gone, TABLE_SEGMENT, table_key_bytes(&key));
  return true;
}

void checkpoint_round_remove_files(struct checkpoint_round *round) {
  size_t kept = 0;
  if (round->removal_count == 0) return;
  for (size_t i = 0; i < round->set->reader_count; i++) reader_forget_files(round->set->readers[i]);
  for (size_t i = 0; i < round->removal_count; i++) {
    if (!remove_one(round, &round->removals[i])) round->removals[kept++] = round->removals[i];
  }
  round->removal_count = kept;
}

void checkpoint_round_end(struct checkpoint_round *round) {
  table_changes_deinit(&round->changes);
  memory_free(round->updates);
  memory_free(round->updated);
  round->updates = NULL;
  round->updated = NULL;
}

void checkpoint_round_deinit(struct checkpoint_round *round) {
  memory_free(round->removals);
  round->removals = NULL;
}
