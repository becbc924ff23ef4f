#include "tests/sim/sim_pairs.h"

#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"
#include "base/store.h"

static int compare(const struct sim_pair *pair, unsigned table, struct bytes key) {
  if (pair->table != table) return pair->table < table ? -1 : 1;
  return bytes_compare(sim_pair_key(pair), key);
}

size_t sim_pairs_place(const struct sim_pairs *pairs, unsigned table, struct bytes key) {
  size_t low = 0;
  for (size_t high = pairs->count; low < high;) {
    size_t middle = (low + high) / 2;
    if (compare(pairs->items[middle], table, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

struct sim_pair *sim_pairs_get(const struct sim_pairs *pairs, unsigned table, struct bytes key) {
  size_t at = sim_pairs_place(pairs, table, key);
  bool found = at < pairs->count && compare(pairs->items[at], table, key) == 0;
  return found ? pairs->items[at] : NULL;
}

struct sim_pair *sim_pairs_floor(const struct sim_pairs *pairs, unsigned table, struct bytes key) {
  size_t at = sim_pairs_place(pairs, table, key);
  if (at < pairs->count && compare(pairs->items[at], table, key) == 0) return pairs->items[at];
  return at > 0 && pairs->items[at - 1]->table == table ? pairs->items[at - 1] : NULL;
}

static struct sim_pair *pair_new(unsigned table, struct bytes key, size_t kept_size) {
  struct sim_pair *pair = memory_new(sizeof *pair + key.size + kept_size);
  pair->holders = 1;
  pair->table = table;
  pair->key_size = key.size;
  pair->kept_size = kept_size;
  memcpy(pair->bytes, key.data, key.size);
  return pair;
}

static void pair_release(struct sim_pair *pair) {
  if (--pair->holders == 0) memory_free(pair);
}

static void make_room(struct sim_pairs *pairs, size_t count) {
  if (count <= pairs->capacity) return;
  pairs->capacity = count * 2;
  pairs->items = memory_grow_array(pairs->items, pairs->capacity, sizeof(struct sim_pair *));
}

void sim_pairs_put(struct sim_pairs *pairs, unsigned table, struct bytes key, struct bytes value) {
  struct sim_pair *pair = pair_new(table, key, STORE_SEAL_SIZE + value.size);
  store_seal(table, key, value, pair->bytes + key.size);
  if (value.size > 0) memcpy(pair->bytes + key.size + STORE_SEAL_SIZE, value.data, value.size);
  sim_pairs_remove(pairs, table, key);
  size_t at = sim_pairs_place(pairs, table, key);
  make_room(pairs, pairs->count + 1);
  memmove(&pairs->items[at + 1], &pairs->items[at], (pairs->count - at) * sizeof(struct sim_pair *));
  pairs->items[at] = pair;
  pairs->count++;
}

void sim_pairs_remove(struct sim_pairs *pairs, unsigned table, struct bytes key) {
  size_t at = sim_pairs_place(pairs, table, key);
  if (at == pairs->count || compare(pairs->items[at], table, key) != 0) return;
  pair_release(pairs->items[at]);
  pairs->count--;
  memmove(&pairs->items[at], &pairs->items[at + 1], (pairs->count - at) * sizeof(struct sim_pair *));
}

void sim_pairs_copy(struct sim_pairs *into, const struct sim_pairs *from) {
  PRE(into->items == NULL);
  make_room(into, from->count);
  for (size_t i = 0; i < from->count; i++) {
    from->items[i]->holders++;
    into->items[i] = from->items[i];
  }
  into->count = from->count;
}

void sim_pairs_deinit(struct sim_pairs *pairs) {
  for (size_t i = 0; i < pairs->count; i++) pair_release(pairs->items[i]);
  memory_free(pairs->items);
  *pairs = (struct sim_pairs){0};
}

void sim_pairs_encode(const struct sim_pairs *pairs, struct buffer *out) {
  for (size_t i = 0; i < pairs->count; i++) {
    const struct sim_pair *pair = pairs->items[i];
    uint8_t *at = buffer_extend(out, 12 + pair->key_size + pair->kept_size);
    CHECK(at != NULL);
    put_u32(at, pair->table);
    put_u32(at + 4, (uint32_t)pair->key_size);
    put_u32(at + 8, (uint32_t)pair->kept_size);
    memcpy(at + 12, pair->bytes, pair->key_size + pair->kept_size);
  }
}

bool sim_pairs_decode(struct sim_pairs *pairs, struct bytes bytes) {
  while (bytes.size > 0) {
    if (bytes.size < 12) return false;
    uint64_t key_size = get_u32(bytes.data + 4);
    uint64_t kept_size = get_u32(bytes.data + 8);
    unsigned table = get_u32(bytes.data);
    bytes = bytes_after(bytes, 12);
    if (key_size == 0 || key_size > STORE_KEY_MAX || table >= STORE_TABLES_MAX || bytes.size < key_size + kept_size) return false;
    struct bytes key = bytes_of(bytes.data, key_size);
    struct bytes kept = bytes_of(bytes.data + key_size, kept_size);
    struct bytes value = {0};
    if (store_unseal(table, key, kept, &value) != STATUS_OK) return false;
    if (pairs->count > 0 && compare(pairs->items[pairs->count - 1], table, key) >= 0) return false;
    struct sim_pair *pair = pair_new(table, key, kept_size);
    memcpy(pair->bytes + key_size, kept.data, kept_size);
    make_room(pairs, pairs->count + 1);
    pairs->items[pairs->count++] = pair;
    bytes = bytes_after(bytes, key_size + kept_size);
  }
  return true;
}
