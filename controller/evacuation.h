/* Where the replicas of a broker that leaves, or is gone for long, go: one partition after the other. Pure: same map and the same brokers up,
 * same answer, so whoever leads group 0 goes on with what another one has begun.
 *
 * 1. A partition keeps its replicas but the one that goes, in their order, and as many as it had.
 * 2. The new one is on a broker that stays, is up and has none of it; in a rack that has no more of it then than it must (racks.h), as far as there
 *    is such a one; and of those on the one that has the fewest of all replicas.
 * 3. A partition that is on its way elsewhere waits until it has arrived; one that is on its way to this broker is sent to another. One on its way
 *    to a directory that its broker has no more would never arrive: it is sent to the one that it has, or to another broker.
 * 4. One of whose replicas no majority is up cannot change its members: it is passed over, so that it does not keep others waiting.
 */
#ifndef CAIRN_CONTROLLER_EVACUATION_H
#define CAIRN_CONTROLLER_EVACUATION_H

#include <stdbool.h>
#include <stdint.h>

#include "controller/cluster_map.h"

struct evacuation {
  const struct cluster_map *map;
  uint32_t broker; /* which is to be emptied */
  bool full;       /* enough are on their way: no other one is to begin */
  bool (*is_up)(void *context, uint32_t broker);
  void *context;
};

struct evacuation_step {
  const struct map_topic *topic;
  uint32_t partition;
  uint32_t to[MAP_REPLICAS_MAX];
  uint32_t to_count;
  uint64_t replaces; /* the move that is under way, in whose place it is; 0: none is */
};

enum evacuation_state {
  EVACUATION_STEP,      /* `out_step` is the next one to be taken */
  EVACUATION_WAITS,     /* for those that are on their way */
  EVACUATION_NO_ROOM,   /* there is no broker for what is left: `out_step` says for which partition */
  EVACUATION_NO_QUORUM, /* too few of its replicas are up: the same */
  EVACUATION_OVER       /* nothing is on it any more */
};
extern const char evacuation_vote_cure[]; /* it is over, but for the broker's vote on the map, which the others need */
enum evacuation_state evacuation_next(const struct evacuation *evacuation, struct evacuation_step *out_step);

/* What somebody can do about it, in words; NULL: nothing is in the way. `leaves`: the broker is to, and is not merely missed. */
const char *evacuation_cure(enum evacuation_state state, bool leaves);

/* The broker that leaves with the lowest number above `after`; 0: none does. */
uint32_t evacuation_broker(const struct cluster_map *map, uint32_t after);

#endif
