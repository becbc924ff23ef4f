/* Whether a cluster had better be balanced by itself: it is calm, and uneven enough for that to be worth its while. Pure.
 *
 * Uneven: a rack has more replicas of a partition than it must (racks.h), or a broker has many more than another one, of replicas or of firsts. What racks
 * of different sizes keep a broker from having does not count against it.
 *
 * Calm: every broker is in and up, each partition has all of its replicas where the map has them, and nothing moves but what the caller moves.
 */
#ifndef CAIRN_CONTROLLER_IMBALANCE_H
#define CAIRN_CONTROLLER_IMBALANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "controller/cluster_map.h"

#define IMBALANCE_LEAST 2u    /* so many more than another a broker may have, whatever the average is, ... */
#define IMBALANCE_PERCENT 10u /* ... and so much of the average */

struct imbalance {
  uint32_t replicas_most, replicas_fewest; /* of one broker, what is on its way counted where it goes */
  uint32_t firsts_most, firsts_fewest;     /* that it is to lead */
  uint32_t crowded;                        /* partitions of which a rack has more replicas than it must */
  bool is_worth_it;
};
struct imbalance imbalance_of(const struct cluster_map *map);

/* What whoever asks again and again was told of a version of one map. Each takes a look at every partition, tens of milliseconds where there are 90,000,
 * and both depend on the map alone: that a replica is missing is asked only where all brokers are up. Zeroed at first. */
struct imbalance_memory {
  uint64_t worth_version; /* of the map, whose versions begin at 1, ... */
  bool is_worth_it;       /* ... and what imbalance_of() says of it */
  uint64_t missing_version;
  bool is_missing;
};
/* imbalance_of() of a map that may be the same as last time. */
bool imbalance_is_worth_it(const struct cluster_map *map, struct imbalance_memory *memory);
/* Of moves under way those that are not the caller's count against it. NULL: it is calm; else why not, in words. */
const char *imbalance_unrest(const struct cluster_map *map, struct imbalance_memory *memory,
                             bool (*is_up)(void *context, uint32_t broker),
                             bool (*is_own)(void *context, const struct map_move *move), void *context);

#endif
