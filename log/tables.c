#include "log/tables.h"

#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"

#define ROW_VERSION 1u
#define GROUP_FIXED_SIZE 128u
#define SEGMENT_ROW_SIZE 88u
#define INDEX_ROW_SIZE 48u
#define CHECKPOINT_ROW_SIZE 32u

enum { GROUP_CLOSED = 1, GROUP_DAMAGED = 2 };
enum { SEGMENT_CHAINED = 1, SEGMENT_SEALED = 2, SEGMENT_DROPPED = 4 };

struct bytes table_key_bytes(const struct table_key *key) {
  return bytes_of(key->data, key->size);
}

struct table_key table_key_group(group_id group, instance_id instance) {
  struct table_key key = {.size = 16};
  put_key_u64(key.data, group);
  put_key_u64(key.data + 8, instance);
  return key;
}

static struct table_key key_of_three(group_id group, instance_id instance, uint64_t number) {
  struct table_key key = table_key_group(group, instance);
  put_key_u64(key.data + 16, number);
  key.size = 24;
  return key;
}

struct table_key table_key_segment(group_id group, instance_id instance, entry_index first_index) {
  return key_of_three(group, instance, first_index);
}

struct table_key table_key_index(group_id group, instance_id instance, record_offset offset) {
  PRE(offset >= 0);
  return key_of_three(group, instance, (uint64_t)offset);
}

enum status table_key_parse(struct bytes key, size_t numbers, uint64_t out_numbers[3]) {
  if (key.size != numbers * 8) return STATUS_CORRUPT;
  for (size_t i = 0; i < numbers; i++) out_numbers[i] = get_key_u64(key.data + i * 8);
  return STATUS_OK;
}

/*  offset size                               offset size
 *       0    1  version, 1                       56    8  start offset
 *       1    1  flags: 1 closed, 2 damaged       64    8  start index
 *       2    2  0                                72    8  start chain
 *       4    4  vote                             80    8  flushed index
 *       8    8  segment bytes                    88    8  flushed offset
 *      16    8  retention bytes                  96    8  flushed chain
 *      24    8  retention ms                    104    8  leader time
 *      32    8  term                            112    8  greatest record time
 *      40    8  commit                          120    8  number of term runs
 *      48    8  instance that it replaces or 0  128   16  each: first index, term
 */
enum status group_row_encode(const struct group_row *row, struct buffer *out) {
  uint8_t *at = buffer_extend(out, GROUP_FIXED_SIZE + row->term_count * 16);
  if (at == NULL) return STATUS_TOO_LARGE;
  memset(at, 0, GROUP_FIXED_SIZE);
  at[0] = ROW_VERSION;
  at[1] = (uint8_t)((row->closed ? GROUP_CLOSED : 0) | (row->damaged ? GROUP_DAMAGED : 0));
  put_u32(at + 4, row->hard_state.vote);
  put_u64(at + 8, row->settings.segment_bytes);
  put_u64(at + 16, (uint64_t)row->settings.retention_bytes);
  put_u64(at + 24, (uint64_t)row->settings.retention_ms);
  put_u64(at + 32, row->hard_state.term);
  put_u64(at + 40, row->hard_state.commit);
  put_u64(at + 48, row->replaces);
  put_u64(at + 56, (uint64_t)row->start_offset);
  put_u64(at + 64, row->start_index);
  put_u64(at + 72, row->start_chain);
  put_u64(at + 80, row->flushed_index);
  put_u64(at + 88, (uint64_t)row->flushed_offset);
  put_u64(at + 96, row->flushed_chain);
  put_u64(at + 104, (uint64_t)row->leader_time_ms);
  put_u64(at + 112, (uint64_t)row->max_time_ms);
  put_u64(at + 120, row->term_count);
  for (size_t i = 0; i < row->term_count; i++) {
    put_u64(at + GROUP_FIXED_SIZE + i * 16, row->terms[i].first);
    put_u64(at + GROUP_FIXED_SIZE + i * 16 + 8, row->terms[i].term);
  }
  return STATUS_OK;
}

enum status group_row_decode(struct bytes key, struct bytes value, struct group_row *out_row) {
  uint64_t numbers[3];
  enum status status = table_key_parse(key, 2, numbers);
  if (status != STATUS_OK) return status;
  if (value.size < 1) return STATUS_CORRUPT;
  const uint8_t *at = value.data;
  if (at[0] != ROW_VERSION) return STATUS_FOREIGN;
  if (value.size < GROUP_FIXED_SIZE) return STATUS_CORRUPT;
  uint64_t terms = get_u64(at + 120);
  if (terms != (value.size - GROUP_FIXED_SIZE) / 16 || (value.size - GROUP_FIXED_SIZE) % 16 != 0) return STATUS_CORRUPT;
  *out_row = (struct group_row){
      .group = numbers[0],
      .instance = numbers[1],
      .closed = (at[1] & GROUP_CLOSED) != 0,
      .damaged = (at[1] & GROUP_DAMAGED) != 0,
      .settings = {.segment_bytes = get_u64(at + 8),
                   .retention_bytes = (int64_t)get_u64(at + 16),
                   .retention_ms = (int64_t)get_u64(at + 24)},
      .hard_state = {.term = get_u64(at + 32), .vote = get_u32(at + 4), .commit = get_u64(at + 40)},
      .replaces = get_u64(at + 48),
      .start_offset = (record_offset)get_u64(at + 56),
      .start_index = get_u64(at + 64),
      .start_chain = get_u64(at + 72),
      .flushed_index = get_u64(at + 80),
      .flushed_offset = (record_offset)get_u64(at + 88),
      .flushed_chain = get_u64(at + 96),
      .leader_time_ms = (int64_t)get_u64(at + 104),
      .max_time_ms = (int64_t)get_u64(at + 112),
      .terms = memory_new_array((size_t)terms + 1, sizeof(struct log_term_run)),
      .term_count = (size_t)terms,
  };
  for (size_t i = 0; i < out_row->term_count; i++) {
    out_row->terms[i].first = get_u64(at + GROUP_FIXED_SIZE + i * 16);
    out_row->terms[i].term = get_u64(at + GROUP_FIXED_SIZE + i * 16 + 8);
  }
  return STATUS_OK;
}

void group_row_deinit(struct group_row *row) {
  memory_free(row->terms);
  row->terms = NULL;
  row->term_count = 0;
}

/*  offset size                               offset size
 *       0    1  version, 1                       40    8  length
 *       1    1  flags: 1 chained, 2 sealed,      48    8  chain link before the first
 *               4 dropped                        56    8  chain link of the last
 *       8    8  first index                      64    8  term of the last
 *      16    8  last index                       72    8  greatest record time
 *      24    8  first offset                     80    8  leader time of the last
 *      32    8  end offset
 */
enum status segment_row_encode(const struct segment_info *info, struct buffer *out) {
  uint8_t *at = buffer_extend(out, SEGMENT_ROW_SIZE);
  if (at == NULL) return STATUS_TOO_LARGE;
  memset(at, 0, SEGMENT_ROW_SIZE);
  at[0] = ROW_VERSION;
  at[1] = (uint8_t)((info->chained ? SEGMENT_CHAINED : 0) | (info->sealed ? SEGMENT_SEALED : 0) |
                    (info->dropped ? SEGMENT_DROPPED : 0));
  put_u64(at + 8, info->first_index);
  put_u64(at + 16, info->last_index);
  put_u64(at + 24, (uint64_t)info->first_offset);
  put_u64(at + 32, (uint64_t)info->end_offset);
  put_u64(at + 40, info->length);
  put_u64(at + 48, info->previous_chain);
  put_u64(at + 56, info->last_chain);
  put_u64(at + 64, info->last_term);
  put_u64(at + 72, (uint64_t)info->max_time_ms);
  put_u64(at + 80, (uint64_t)info->leader_time_ms);
  return STATUS_OK;
}

enum status segment_row_decode(struct bytes value, struct segment_info *out_info) {
  if (value.size < 1) return STATUS_CORRUPT;
  const uint8_t *at = value.data;
  if (at[0] != ROW_VERSION) return STATUS_FOREIGN;
  if (value.size != SEGMENT_ROW_SIZE) return STATUS_CORRUPT;
  *out_info = (struct segment_info){
      .first_index = get_u64(at + 8),
      .last_index = get_u64(at + 16),
      .first_offset = (record_offset)get_u64(at + 24),
      .end_offset = (record_offset)get_u64(at + 32),
      .length = get_u64(at + 40),
      .previous_chain = get_u64(at + 48),
      .last_chain = get_u64(at + 56),
      .last_term = get_u64(at + 64),
      .max_time_ms = (int64_t)get_u64(at + 72),
      .leader_time_ms = (int64_t)get_u64(at + 80),
      .chained = (at[1] & SEGMENT_CHAINED) != 0,
      .sealed = (at[1] & SEGMENT_SEALED) != 0,
      .dropped = (at[1] & SEGMENT_DROPPED) != 0,
  };
  return STATUS_OK;
}

/*  offset size                               offset size
 *       0    1  version, 1                       24    8  index
 *       8    8  first index of the segment       32    8  chain link before it
 *      16    8  position                         40    8  greatest record time before it in the segment
 */
enum status index_row_encode(const struct index_row *row, struct buffer *out) {
  uint8_t *at = buffer_extend(out, INDEX_ROW_SIZE);
  if (at == NULL) return STATUS_TOO_LARGE;
  memset(at, 0, 8);
  at[0] = ROW_VERSION;
  put_u64(at + 8, row->segment);
  put_u64(at + 16, row->position);
  put_u64(at + 24, row->index);
  put_u64(at + 32, row->previous_chain);
  put_u64(at + 40, (uint64_t)row->time_before_ms);
  return STATUS_OK;
}

enum status index_row_decode(struct bytes key, struct bytes value, struct index_row *out_row) {
  uint64_t numbers[3];
  enum status status = table_key_parse(key, 3, numbers);
  if (status != STATUS_OK) return status;
  if (value.size < 1) return STATUS_CORRUPT;
  const uint8_t *at = value.data;
  if (at[0] != ROW_VERSION) return STATUS_FOREIGN;
  if (value.size != INDEX_ROW_SIZE) return STATUS_CORRUPT;
  *out_row = (struct index_row){
      .segment = get_u64(at + 8),
      .position = get_u64(at + 16),
      .index = get_u64(at + 24),
      .offset = (record_offset)numbers[2],
      .previous_chain = get_u64(at + 32),
      .time_before_ms = (int64_t)get_u64(at + 40),
  };
  return STATUS_OK;
}

enum status checkpoint_row_encode(const struct checkpoint_row *row, struct buffer *out) {
  uint8_t *at = buffer_extend(out, CHECKPOINT_ROW_SIZE);
  if (at == NULL) return STATUS_TOO_LARGE;
  memset(at, 0, 8);
  at[0] = ROW_VERSION;
  at[1] = row->doubt;
  at[2] = row->dump_owed;
  put_u64(at + 8, row->sequence);
  put_u64(at + 16, row->durable_group);
  put_u64(at + 24, row->dump);
  return STATUS_OK;
}

enum status checkpoint_row_decode(struct bytes value, struct checkpoint_row *out_row) {
  if (value.size < 1) return STATUS_CORRUPT;
  if (value.data[0] != ROW_VERSION) return STATUS_FOREIGN;
  if (value.size != CHECKPOINT_ROW_SIZE) return STATUS_CORRUPT;
  *out_row = (struct checkpoint_row){.sequence = get_u64(value.data + 8),
                                     .durable_group = get_u64(value.data + 16),
                                     .dump = get_u64(value.data + 24),
                                     .doubt = value.data[1] != 0,
                                     .dump_owed = value.data[2] != 0};
  return STATUS_OK;
}

/* ---- Changes ---- */

void table_changes_init(struct table_changes *changes) { *changes = (struct table_changes){0}; }

void table_changes_truncate(struct table_changes *changes, size_t count) {
  for (size_t i = count; i < changes->count; i++) memory_free((void *)(uintptr_t)changes->changes[i].key.data);
  if (count < changes->count) changes->count = count;
}

void table_changes_deinit(struct table_changes *changes) {
  table_changes_truncate(changes, 0);
  memory_free(changes->changes);
  table_changes_init(changes);
}

static void add(struct table_changes *changes, enum table table, struct bytes key, struct bytes value, bool remove) {
  if (changes->count == changes->capacity) {
    changes->capacity = changes->capacity == 0 ? 64 : changes->capacity * 2;
    changes->changes = memory_grow_array(changes->changes, changes->capacity, sizeof *changes->changes);
  }
  uint8_t *copy = memory_new(key.size + value.size);
  memcpy(copy, key.data, key.size);
  if (value.size > 0) memcpy(copy + key.size, value.data, value.size);
  changes->changes[changes->count++] = (struct store_change){
      .table = (unsigned)table,
      .key = bytes_of(copy, key.size),
      .value = bytes_of(copy + key.size, value.size),
      .remove = remove,
  };
}

void table_changes_put(struct table_changes *changes, enum table table, struct bytes key, struct bytes value) {
  add(changes, table, key, value, false);
}

void table_changes_remove(struct table_changes *changes, enum table table, struct bytes key) {
  add(changes, table, key, bytes_of(NULL, 0), true);
}
