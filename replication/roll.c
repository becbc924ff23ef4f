#include "replication/roll.h"

#include "base/codec.h"
#include "base/memory.h"

struct roll_item {
  group_id group;
  entry_term term;
};

/* Summed up, so that the order does not matter, and one that goes takes away just what it brought. */
static uint64_t item_digest(group_id group, entry_term term) {
  uint8_t bytes[16];
  put_u64(bytes, group);
  put_u64(bytes + 8, term);
  return xxh3(0, bytes_of(bytes, sizeof bytes));
}

void roll_init(struct roll *roll, uint64_t seed) { *roll = (struct roll){.items = map_new(seed)}; }

void roll_clear(struct roll *roll) {
  struct map_cursor cursor = {0};
  for (struct roll_item *item; (item = map_next(roll->items, &cursor)) != NULL;) {
    map_remove_number(roll->items, item->group);
    memory_free(item);
  }
  roll->digest = 0;
}

void roll_deinit(struct roll *roll) {
  roll_clear(roll);
  map_free(roll->items);
}

void roll_set(struct roll *roll, group_id group, entry_term term) {
  struct roll_item *item = map_get_number(roll->items, group);
  if (item != NULL) roll->digest -= item_digest(group, item->term);
  if (term == 0) {
    map_remove_number(roll->items, group);
    memory_free(item);
    return;
  }
  if (item == NULL) {
    item = NEW(struct roll_item);
    item->group = group;
    map_put_number(roll->items, group, item);
  }
  item->term = term;
  roll->digest += item_digest(group, term);
}

entry_term roll_term(const struct roll *roll, group_id group) {
  const struct roll_item *item = map_get_number(roll->items, group);
  return item == NULL ? 0 : item->term;
}

void roll_copy(struct roll *to, const struct roll *from) {
  roll_clear(to);
  struct map_cursor cursor = {0};
  group_id group = 0;
  entry_term term = 0;
  while (roll_next(from, &cursor, &group, &term)) roll_set(to, group, term);
}

struct roll_digest roll_digest(const struct roll *roll) {
  return (struct roll_digest){.digest = roll->digest, .count = map_count(roll->items)};
}

bool roll_next(const struct roll *roll, struct map_cursor *cursor, group_id *out_group, entry_term *out_term) {
  const struct roll_item *item = map_next(roll->items, cursor);
  if (item == NULL) return false;
  *out_group = item->group;
  *out_term = item->term;
  return true;
}
