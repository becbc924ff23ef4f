/* Sorted pairs, cheap to copy: a table that is about to be committed beside the one in force. For sim_store.c only. */
#ifndef CAIRN_TESTS_SIM_SIM_PAIRS_H
#define CAIRN_TESTS_SIM_SIM_PAIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

struct sim_pair {
  unsigned holders;
  unsigned table;
  size_t key_size;
  size_t kept_size;
  uint8_t bytes[]; /* key, then the sealed value */
};
struct sim_pairs {
  struct sim_pair **items; /* by table, then key */
  size_t count;
  size_t capacity;
};

static inline struct bytes sim_pair_key(const struct sim_pair *pair) { return bytes_of(pair->bytes, pair->key_size); }
static inline struct bytes sim_pair_kept(const struct sim_pair *pair) {
  return bytes_of(pair->bytes + pair->key_size, pair->kept_size);
}

size_t sim_pairs_place(const struct sim_pairs *pairs, unsigned table, struct bytes key); /* the first that is not before it */
struct sim_pair *sim_pairs_get(const struct sim_pairs *pairs, unsigned table, struct bytes key);
struct sim_pair *sim_pairs_floor(const struct sim_pairs *pairs, unsigned table, struct bytes key);
void sim_pairs_put(struct sim_pairs *pairs, unsigned table, struct bytes key, struct bytes value); /* seals */
void sim_pairs_remove(struct sim_pairs *pairs, unsigned table, struct bytes key);
void sim_pairs_copy(struct sim_pairs *into, const struct sim_pairs *from); /* PRE: `into` is zeroed */
void sim_pairs_deinit(struct sim_pairs *pairs);

void sim_pairs_encode(const struct sim_pairs *pairs, struct buffer *out);
bool sim_pairs_decode(struct sim_pairs *pairs, struct bytes bytes); /* false: not pairs, out of order, or a seal is broken */

#endif
