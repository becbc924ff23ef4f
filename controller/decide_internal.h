/* Between the files of decide. */
#ifndef CAIRN_CONTROLLER_DECIDE_INTERNAL_H
#define CAIRN_CONTROLLER_DECIDE_INTERNAL_H

#include "controller/decide.h"

/* As many as can have replicas once this one has left, and all those that are to leave. */
uint32_t decide_count_others(const struct cluster_map *map, uint32_t leaving);

/* decide_name.c: may a new topic have the name? BAD_NAME. */
enum status decide_name(struct change *change) MUST_CHECK;

/* decide_places.c */

/* Where it is, or is to be once it has moved. Returns how many they are. */
uint32_t decide_places_of(const struct cluster_map *map, const struct map_partition *partition,
                          const struct map_replica **out_replicas);

/* A broker that one partition is to have. */
struct decide_target {
  uint32_t broker;
  uint32_t partition;
  const char *is; /* "to go to" */
  bool has_it;    /* it may be about to leave */
};
/* Puts one more into `replicas`, with the directory that it has now. A broker that takes no peers cannot be told anything, so it is none, unless
 * nobody else is there. */
enum status decide_add_replica(const struct cluster_map *map, struct change *change, const struct decide_target *target,
                               struct map_replica *replicas, uint32_t *count) MUST_CHECK;
/* Says how many partitions and replicas are asked for by name, if any are. 0: it was not said; else it has to be as many. `first`: the number of the first of
 * them, 0 of a topic that is new. */
enum status decide_read_places(struct change *change, uint32_t first, uint32_t *partitions, uint32_t *replicas) MUST_CHECK;
/* So many, with the next free groups, from this number on, where placement has them. */
void decide_make_partitions(const struct cluster_map *map, uint32_t first, uint32_t count, uint32_t replicas,
                            struct map_topic *topic);
/* They go where they are to be instead. */
enum status decide_put(const struct cluster_map *map, struct change *change, struct map_topic *topic) MUST_CHECK;
/* Of a topic that has as many partitions already: are its last ones where they are to be, or on their way there? INVALID. */
enum status decide_check_put(const struct cluster_map *map, struct change *change, const struct map_topic *topic) MUST_CHECK;

/* decide_move.c */
enum status decide_move(const struct decision_facts *facts, struct change *change, struct command *command) MUST_CHECK;
enum status decide_moved(const struct decision_facts *facts, struct change *change, struct command *command) MUST_CHECK;

/* decide_features.c */
enum status decide_feature_level(const struct decision_facts *facts, struct change *change, struct command *command) MUST_CHECK;
/* May this broker be part of the cluster at the level that it has? */
enum status decide_features(const struct cluster_map *map, struct change *change) MUST_CHECK;

#endif
