#include "log/journal_states.h"

#include "base/check.h"
#include "base/codec.h"
#include "base/map.h"
#include "base/memory.h"
#include "log/journal_format.h"

struct journal_states {
  struct map *rows; /* (group, instance) -> struct journal_table_row */
};

#define KEY_SIZE 16u

static struct bytes key_of(uint8_t into[KEY_SIZE], group_id group, instance_id instance) {
  put_u64(into, group);
  put_u64(into + 8, instance);
  return bytes_of(into, KEY_SIZE);
}

struct journal_states *journal_states_new(uint64_t seed) {
  struct journal_states *states = NEW(struct journal_states);
  states->rows = map_new(seed);
  return states;
}

void journal_states_free(struct journal_states *states) {
  if (states == NULL) return;
  struct map_cursor cursor = {0};
  for (void *row = map_next(states->rows, &cursor); row != NULL; row = map_next(states->rows, &cursor)) memory_free(row);
  map_free(states->rows);
  memory_free(states);
}

size_t journal_states_count(const struct journal_states *states) { return map_count(states->rows); }

static struct journal_table_row *row_of(struct journal_states *states, group_id group, instance_id instance) {
  uint8_t key[KEY_SIZE];
  struct journal_table_row *row = map_get(states->rows, key_of(key, group, instance));
  if (row != NULL) return row;
  row = NEW(struct journal_table_row);
  row->group = group;
  row->instance = instance;
  map_put(states->rows, key_of(key, group, instance), row);
  return row;
}

void journal_states_note(struct journal_states *states, enum frame_kind kind, group_id group, instance_id instance,
                         struct bytes body) {
  uint8_t key[KEY_SIZE];
  struct hard_state state;
  switch (kind) {
    case FRAME_OPEN: row_of(states, group, instance); return;
    case FRAME_CLOSE: memory_free(map_remove(states->rows, key_of(key, group, instance))); return;
    case FRAME_HARD_STATE:
      if (journal_hard_state_decode(body, &state) == STATUS_OK) row_of(states, group, instance)->state = state;
      return;
    case FRAME_ENTRY:
    case FRAME_CUT:
    case FRAME_CHECKPOINT:
    case FRAME_TABLE: return;
  }
}

void journal_states_table(const struct journal_states *states, struct buffer *out_table) {
  buffer_reset(out_table);
  size_t count = map_count(states->rows);
  uint8_t *at = buffer_extend(out_table, JOURNAL_TABLE_HEAD_SIZE + count * JOURNAL_TABLE_ROW_SIZE);
  CHECK_MSG(at != NULL, "a table of %zu replicas", count);
  put_u64(at, count);
  at += JOURNAL_TABLE_HEAD_SIZE;
  struct map_cursor cursor = {0};
  for (void *row = map_next(states->rows, &cursor); row != NULL; row = map_next(states->rows, &cursor)) {
    journal_table_row_encode(row, at);
    at += JOURNAL_TABLE_ROW_SIZE;
  }
}
