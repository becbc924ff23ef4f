/* A roll: which groups somebody leads, and in which term. Two rolls with the same contents have the same digest, however they came to
 * be; so two brokers can find out in 16 bytes that they agree about ten thousand groups.
 *
 * Pure; owned by whoever made it. Walks go in the order in which groups were first set.
 */
#ifndef CAIRN_REPLICATION_ROLL_H
#define CAIRN_REPLICATION_ROLL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "log/entry.h"

struct roll {
  struct map *items;
  uint64_t digest;
};

/* What two rolls are compared by. Equal rolls have equal ones; of unequal ones 1 in 2^64 has. An empty roll's is all 0. */
struct roll_digest {
  uint64_t digest;
  uint64_t count;
};

void roll_init(struct roll *roll, uint64_t seed); /* of the map's hash */
void roll_deinit(struct roll *roll);
void roll_clear(struct roll *roll);

/* Term 0 takes the group off the roll. */
void roll_set(struct roll *roll, group_id group, entry_term term);
entry_term roll_term(const struct roll *roll, group_id group); /* 0: not on it */
void roll_copy(struct roll *to, const struct roll *from);

struct roll_digest roll_digest(const struct roll *roll);
static inline bool roll_digest_equal(struct roll_digest a, struct roll_digest b) {
  return a.digest == b.digest && a.count == b.count;
}

/* Begins with a zero cursor; false at the end. What the walk stands at may be taken off. */
bool roll_next(const struct roll *roll, struct map_cursor *cursor, group_id *out_group, entry_term *out_term);

#endif
