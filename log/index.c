#include "log/index.h"

#include "base/check.h"

void index_note(struct index_builder *builder, const struct segment_info *info, const struct entry_head *head) {
  if (head->record_count == 0) return;
  if (builder->last_position != 0 && info->length < builder->last_position + INDEX_EVERY_BYTES) return;
  struct index_row row = {
      .segment = info->first_index,
      .position = info->length,
      .index = head->index,
      .offset = head->base_offset,
      .previous_chain = info->last_chain,
      .time_before_ms = info->max_time_ms,
  };
  struct table_key key = table_key_index(builder->group, builder->instance, row.offset);
  struct buffer value;
  buffer_init(&value, 256);
  CHECK(index_row_encode(&row, &value) == STATUS_OK);
  table_changes_put(builder->changes, TABLE_INDEX, table_key_bytes(&key), buffer_bytes(&value));
  buffer_deinit(&value);
  builder->last_position = info->length;
}

/* May this row be followed in this segment? */
static bool fits(const struct segment_info *segment, const struct index_row *row) {
  return row->segment == segment->first_index && row->position >= SEGMENT_HEADER_SIZE && row->position < segment->length &&
         row->index >= segment->first_index && row->index <= segment->last_index;
}

enum status index_floor(struct store *store, group_id group, instance_id instance, const struct segment_info *segment,
                        record_offset offset, struct index_row *out_row) {
  if (store == NULL) return STATUS_NOT_FOUND;
  struct table_key key = table_key_index(group, instance, offset);
  struct buffer found;
  struct buffer value;
  buffer_init(&found, STORE_KEY_MAX);
  buffer_init(&value, 1024);
  struct index_row row = {0};
  enum status status = store_floor(store, TABLE_INDEX, table_key_bytes(&key), &found, &value);
  if (status == STATUS_OK) status = index_row_decode(buffer_bytes(&found), buffer_bytes(&value), &row);
  if (status == STATUS_OK) {
    uint64_t numbers[3];
    status = table_key_parse(buffer_bytes(&found), 3, numbers);
    if (status == STATUS_OK && (numbers[0] != group || numbers[1] != instance || !fits(segment, &row))) {
      status = STATUS_NOT_FOUND;
    }
  }
  buffer_deinit(&found);
  buffer_deinit(&value);
  if (status != STATUS_OK) return STATUS_NOT_FOUND; /* a damaged hint is none */
  *out_row = row;
  return STATUS_OK;
}

struct walk {
  group_id group;
  instance_id instance;
  const struct segment_info *segment;
  struct table_changes *removals;
  enum { FIRST_BEHIND, LAST_BEFORE_TIME, LAST_BEFORE_INDEX } what;
  uint64_t position;
  int64_t time_ms;
  entry_index index;
  bool found;
  struct index_row row;
};

static bool in_segment(const struct walk *walk, struct bytes key, struct bytes value, struct index_row *out_row) {
  uint64_t numbers[3];
  if (table_key_parse(key, 3, numbers) != STATUS_OK) return false;
  if (numbers[0] != walk->group || numbers[1] != walk->instance) return false;
  return index_row_decode(key, value, out_row) == STATUS_OK && fits(walk->segment, out_row);
}

static bool visit_row(void *context, struct bytes key, struct bytes value) {
  struct walk *walk = context;
  struct index_row row;
  if (!in_segment(walk, key, value, &row)) return false;
  if (walk->what == FIRST_BEHIND && row.position <= walk->position) return true;
  if (walk->what == LAST_BEFORE_TIME && row.time_before_ms >= walk->time_ms) return false;
  if (walk->what == LAST_BEFORE_INDEX && row.index > walk->index) return false;
  walk->found = true;
  walk->row = row;
  return walk->what != FIRST_BEHIND;
}

static enum status run_walk(struct store *store, struct walk *walk, record_offset from, struct index_row *out_row) {
  if (store == NULL) return STATUS_NOT_FOUND;
  struct table_key key = table_key_index(walk->group, walk->instance, from);
  enum status status = store_walk(store, TABLE_INDEX, table_key_bytes(&key), visit_row, walk);
  if (!walk->found) return STATUS_NOT_FOUND;
  if (status != STATUS_OK && walk->what != FIRST_BEHIND) return STATUS_NOT_FOUND;
  *out_row = walk->row;
  return STATUS_OK;
}

enum status index_after(struct store *store, group_id group, instance_id instance, const struct segment_info *segment,
                        record_offset offset, uint64_t position, struct index_row *out_row) {
  struct walk walk = {.group = group, .instance = instance, .segment = segment, .what = FIRST_BEHIND, .position = position};
  return run_walk(store, &walk, offset, out_row);
}

enum status index_find_time(struct store *store, group_id group, instance_id instance, const struct segment_info *segment,
                            int64_t time_ms, struct index_row *out_row) {
  struct walk walk = {.group = group, .instance = instance, .segment = segment, .what = LAST_BEFORE_TIME, .time_ms = time_ms};
  return run_walk(store, &walk, segment->first_offset, out_row);
}

enum status index_find_index(struct store *store, group_id group, instance_id instance, const struct segment_info *segment,
                             entry_index index, struct index_row *out_row) {
  struct walk walk = {.group = group, .instance = instance, .segment = segment, .what = LAST_BEFORE_INDEX, .index = index};
  return run_walk(store, &walk, segment->first_offset, out_row);
}

static bool visit_removal(void *context, struct bytes key, struct bytes value) {
  struct walk *walk = context;
  uint64_t numbers[3];
  (void)value;
  if (table_key_parse(key, 3, numbers) != STATUS_OK) return false;
  if (numbers[0] != walk->group || numbers[1] != walk->instance) return false;
  if ((record_offset)numbers[2] >= walk->segment->end_offset) return false;
  table_changes_remove(walk->removals, TABLE_INDEX, key);
  return true;
}

void index_remove(struct store *store, group_id group, instance_id instance, const struct segment_info *segment,
                  struct table_changes *changes) {
  struct walk walk = {.group = group, .instance = instance, .segment = segment, .removals = changes};
  struct table_key key = table_key_index(group, instance, segment->first_offset);
  enum status status = store_walk(store, TABLE_INDEX, table_key_bytes(&key), visit_removal, &walk);
  (void)status; /* a row that stays behind is a hint that no segment fits */
}
