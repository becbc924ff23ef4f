/* Feature levels: what may be written, so that every broker can read it. A level is a number; the cluster has one, in its map, and a broker tells
 * which it can (a range) when it registers. What belongs to a level is written only when the cluster has reached it, and it reaches it only when
 * all brokers that are part of it can. It never goes back. Pure.
 *
 *   level  what it lets be written
 *     1    everything from before there were levels, with all that a reader from then may skip
 *     2    a level in the map, and the head of the map's state that says which level a reader has to be able to (map_head.h); brokers' racks, if the
 *          cluster has had a topic without any (registration.h)
 *
 * Whoever adds something that an earlier version cannot read, or would lose, adds a line here, raises FEATURE_LEVEL_MOST, and writes it only where
 * cluster_map_feature_level() says so. FEATURE_LEVEL_LEAST rises when what is only of an older level is no longer written: a cluster that is below it
 * is to be raised by the version before.
 */
#ifndef CAIRN_CONTROLLER_FEATURE_LEVEL_H
#define CAIRN_CONTROLLER_FEATURE_LEVEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FEATURE_LEVEL_FIRST 1u /* of a map, or a broker, that says nothing of levels */
#define FEATURE_LEVEL_LEAST 1u /* that this version can: both ... */
#define FEATURE_LEVEL_MOST 2u  /* ... inclusive */
#define FEATURE_LEVEL_RACKS 2u
#define FEATURE_LEVEL_PROBLEM_SIZE 256u

struct cluster_map;
struct map_broker;

/* Both inclusive. */
struct feature_range {
  uint32_t least;
  uint32_t most;
};
/* What this version can, and no more than `held_at` of it (0: all of it). */
struct feature_range feature_range_own(uint64_t held_at);
bool feature_range_has(struct feature_range range, uint32_t level);

/* What it told when it registered; of a Cairn from before there were levels, level 1 alone. */
struct feature_range map_broker_features(const struct map_broker *broker);
void map_broker_set_features(struct map_broker *broker, struct feature_range range);

/* How far a cluster could go. Brokers that are gone do not count. */
struct feature_reach {
  uint32_t level;  /* that it has */
  uint32_t all;    /* that all of them can; never below `level` */
  uint32_t anyone; /* that some of them can */
};
struct feature_reach feature_reach_of(const struct cluster_map *map);
/* The first of them above `after` that cannot this level; NULL: none. */
const struct map_broker *feature_holder(const struct cluster_map *map, uint32_t level, uint32_t after);

/* A cluster that never had a topic has nothing that anybody could want to go back with. */
bool feature_is_fresh(const struct cluster_map *map);

/* Why a broker of this range can be no part of a cluster at this level, and what to do. PRE: it cannot */
void feature_problem(uint32_t broker, struct feature_range range, uint32_t level, char out_problem[FEATURE_LEVEL_PROBLEM_SIZE]);

#endif
