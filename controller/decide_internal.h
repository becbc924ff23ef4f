/* Between the files of decide. */
#ifndef CAIRN_CONTROLLER_DECIDE_INTERNAL_H
#define CAIRN_CONTROLLER_DECIDE_INTERNAL_H

#include "controller/decide.h"

/* As many as can have replicas once this one has left, and all those that are to leave. */
uint32_t decide_count_others(const struct cluster_map *map, uint32_t leaving);

/* decide_places.c */

/* So many, with the next free groups, from this number on, where placement has them. */
void decide_make_partitions(const struct cluster_map *map, uint32_t first, uint32_t count, uint32_t replicas,
                            struct map_topic *topic);

/* decide_move.c */
enum status decide_move(const struct decision_facts *facts, struct change *change, struct command *command) MUST_CHECK;
enum status decide_moved(const struct decision_facts *facts, struct change *change, struct command *command) MUST_CHECK;

/* decide_features.c */
enum status decide_feature_level(const struct decision_facts *facts, struct change *change, struct command *command) MUST_CHECK;
/* May this broker be part of the cluster at the level that it has? */
enum status decide_features(const struct cluster_map *map, struct change *change) MUST_CHECK;

#endif
