#include "base/map.h"

#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"

/* Entries stand in the order of insertion in one array; an open-addressed table of their indexes finds them by hash. Removing
 * leaves a dead entry (its value is NULL) behind, which its table slot keeps pointing at, so that probes go on past it. When
 * dead entries are too many, or the array is full, both are rebuilt.
 *
 * 1. Entries are in ascending order of `sequence`, which is never used again: a cursor is a sequence, and so survives a rebuild.
 * 2. The table has at least twice as many slots as the array, so a probe always ends.
 */
struct entry {
  void *value; /* NULL: removed */
  uint64_t hash;
  size_t sequence;
  uint8_t *key;    /* NULL: the key is the number */
  uint64_t number; /* the number, or the size of the key */
};

#define TABLE_FREE UINT32_MAX
#define ENTRIES_FIRST 8u
#define ENTRIES_MAX (1u << 30)
#define DEAD_TOLERATED 32u

struct map {
  struct entry *entries;
  uint32_t *table;
  size_t used;     /* entries in the array, dead ones too */
  size_t capacity; /* a power of two, or 0; the table has twice as many */
  size_t count;
  size_t sequence_next;
  uint64_t seed;
};

/* A key being looked for. */
struct wanted {
  struct bytes key;
  uint64_t number;
  uint64_t hash;
  bool is_number;
};

static struct wanted wanted_bytes(const struct map *map, struct bytes key) {
  return (struct wanted){.key = key, .number = key.size, .hash = xxh3(map->seed, key)};
}

static struct wanted wanted_number(const struct map *map, uint64_t number) {
  return (struct wanted){.number = number, .hash = xxh3(~map->seed, bytes_of(&number, sizeof number)), .is_number = true};
}

static bool entry_matches(const struct entry *entry, const struct wanted *wanted) {
  if (entry->value == NULL || entry->hash != wanted->hash || entry->number != wanted->number) return false;
  if (wanted->is_number || entry->key == NULL) return wanted->is_number && entry->key == NULL;
  return wanted->key.size == 0 || memcmp(entry->key, wanted->key.data, wanted->key.size) == 0;
}

static struct entry *find(const struct map *map, const struct wanted *wanted) {
  if (map->count == 0) return NULL;
  size_t mask = map->capacity * 2 - 1;
  for (size_t slot = wanted->hash & mask; map->table[slot] != TABLE_FREE; slot = (slot + 1) & mask) {
    struct entry *entry = &map->entries[map->table[slot]];
    if (entry_matches(entry, wanted)) return entry;
  }
  return NULL;
}

static void table_add(struct map *map, size_t index) {
  size_t mask = map->capacity * 2 - 1;
  size_t slot = map->entries[index].hash & mask;
  while (map->table[slot] != TABLE_FREE) slot = (slot + 1) & mask;
  map->table[slot] = (uint32_t)index;
}

/* Drops the dead and makes room for `capacity` entries. */
static void rebuild(struct map *map, size_t capacity) {
  CHECK(capacity >= map->count && capacity <= ENTRIES_MAX);
  struct entry *entries = memory_new_array(capacity, sizeof *entries);
  size_t used = 0;
  for (size_t i = 0; i < map->used; i++) {
    if (map->entries[i].value != NULL) entries[used++] = map->entries[i];
  }
  CHECK(used == map->count);
  memory_free(map->entries);
  memory_free(map->table);
  map->entries = entries;
  map->used = used;
  map->capacity = capacity;
  map->table = memory_new_array(capacity * 2, sizeof *map->table);
  memset(map->table, 0xff, capacity * 2 * sizeof *map->table);
  for (size_t i = 0; i < used; i++) table_add(map, i);
}

static void *put(struct map *map, const struct wanted *wanted, void *value) {
  PRE(value != NULL);
  struct entry *entry = find(map, wanted);
  if (entry != NULL) {
    void *earlier = entry->value;
    entry->value = value;
    return earlier;
  }
  if (map->used == map->capacity) {
    /* Grow only when at least half are alive; otherwise dropping the dead makes room enough. */
    size_t capacity = map->capacity == 0 ? ENTRIES_FIRST : map->capacity;
    if (map->count * 2 >= capacity) capacity *= 2;
    rebuild(map, capacity);
  }
  entry = &map->entries[map->used];
  *entry = (struct entry){.value = value, .hash = wanted->hash, .sequence = map->sequence_next++, .number = wanted->number};
  if (!wanted->is_number) {
    entry->key = memory_grow_array(NULL, wanted->key.size, 1);
    if (wanted->key.size > 0) memcpy(entry->key, wanted->key.data, wanted->key.size);
  }
  table_add(map, map->used);
  map->used++;
  map->count++;
  return NULL;
}

static void *take(struct map *map, const struct wanted *wanted) {
  struct entry *entry = find(map, wanted);
  if (entry == NULL) return NULL;
  void *value = entry->value;
  memory_free(entry->key);
  entry->value = NULL;
  entry->key = NULL;
  map->count--;
  size_t dead = map->used - map->count;
  if (dead > DEAD_TOLERATED && dead > map->count * 2) {
    size_t capacity = map->capacity;
    while (capacity > ENTRIES_FIRST && capacity / 4 > map->count) capacity /= 2;
    rebuild(map, capacity);
  }
  return value;
}

struct map *map_new(uint64_t seed) {
  struct map *map = NEW(struct map);
  map->seed = seed;
  return map;
}

void map_free(struct map *map) {
  if (map == NULL) return;
  for (size_t i = 0; i < map->used; i++) memory_free(map->entries[i].key);
  memory_free(map->entries);
  memory_free(map->table);
  memory_free(map);
}

size_t map_count(const struct map *map) { return map->count; }

void *map_get(const struct map *map, struct bytes key) {
  if (map->count == 0) return NULL;
  struct wanted wanted = wanted_bytes(map, key);
  struct entry *entry = find(map, &wanted);
  return entry == NULL ? NULL : entry->value;
}

void *map_put(struct map *map, struct bytes key, void *value) {
  struct wanted wanted = wanted_bytes(map, key);
  return put(map, &wanted, value);
}

void *map_remove(struct map *map, struct bytes key) {
  struct wanted wanted = wanted_bytes(map, key);
  return take(map, &wanted);
}

void *map_get_number(const struct map *map, uint64_t key) {
  if (map->count == 0) return NULL;
  struct wanted wanted = wanted_number(map, key);
  struct entry *entry = find(map, &wanted);
  return entry == NULL ? NULL : entry->value;
}

void *map_put_number(struct map *map, uint64_t key, void *value) {
  struct wanted wanted = wanted_number(map, key);
  return put(map, &wanted, value);
}

void *map_remove_number(struct map *map, uint64_t key) {
  struct wanted wanted = wanted_number(map, key);
  return take(map, &wanted);
}

/* The index of the first entry at or behind `sequence`. */
static size_t index_of_sequence(const struct map *map, size_t sequence) {
  /* Entries that were dropped make indexes smaller than sequences, never greater. */
  size_t low = 0;
  size_t high = sequence < map->used ? sequence : map->used;
  if (high < map->used && map->entries[high].sequence == sequence) return high; /* none was ever dropped */
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (map->entries[middle].sequence < sequence) low = middle + 1;
    else high = middle;
  }
  return low;
}

void *map_next(const struct map *map, struct map_cursor *cursor) {
  for (size_t i = index_of_sequence(map, cursor->slot); i < map->used; i++) {
    if (map->entries[i].value == NULL) continue;
    cursor->slot = map->entries[i].sequence + 1;
    return map->entries[i].value;
  }
  cursor->slot = map->sequence_next;
  return NULL;
}
