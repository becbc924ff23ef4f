/* Between the files of decide. */
#ifndef CAIRN_CONTROLLER_DECIDE_INTERNAL_H
#define CAIRN_CONTROLLER_DECIDE_INTERNAL_H

#include "controller/decide.h"

/* As many as can have replicas once this one has left, and all those that are to leave. */
uint32_t decide_count_others(const struct cluster_map *map, uint32_t leaving);

/* decide_name.c: may a new topic have the name? BAD_NAME. */
enum status decide_name(struct change *change) MUST_CHECK;

/* decide_places.c */

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
/* Says how many partitions and replicas are asked for by name, if any are. */
enum status decide_read_places(struct change *change, uint32_t *out_partitions, uint32_t *out_replicas) MUST_CHECK;
/* So many, with the next free groups, from this number on, where placement has them. */
void decide_make_partitions(const struct cluster_map *map, uint32_t first, uint32_t count, uint32_t replicas,
                            struct map_topic *topic);
/* They go where they are to be instead. */
enum status decide_put(const struct cluster_map *map, struct change *change, struct map_topic *topic) MUST_CHECK;

/* decide_move.c */
enum status decide_move(const struct decision_facts *facts, struct change *change, struct command *command) MUST_CHECK;
enum status decide_moved(const struct decision_facts *facts, struct change *change, struct command *command) MUST_CHECK;

/* decide_features.c */
enum status decide_feature_level(const struct decision_facts *facts, struct change *change, struct command *command) MUST_CHECK;
/* May this broker be part of the cluster at the level that it has? */
enum status decide_features(const struct cluster_map *map, struct change *change) MUST_CHECK;

#endif
