/* How the partitions of a map stand, given which brokers are up. Pure. Whether a replica that is there is caught up the map does not say: a
 * partition's leader knows that.
 */
#ifndef CAIRN_CONTROLLER_CLUSTER_HEALTH_H
#define CAIRN_CONTROLLER_CLUSTER_HEALTH_H

#include "controller/cluster_map.h"

struct cluster_health {
  uint32_t
      without_quorum; /* partitions of whose replicas no majority is up, with the directory that it was on: nothing can be appended */
  uint32_t short_of_some; /* of the others those that miss a replica: it is down, or its directory is lost */
  uint32_t moving;        /* partitions that are on their way to other brokers, whether they miss some or not */
};

struct cluster_health cluster_health_of(const struct cluster_map *map, bool (*is_up)(void *context, uint32_t broker),
                                        void *context);

/* A majority of its replicas is up, each with the directory that it was on. */
bool cluster_health_has_quorum(const struct cluster_map *map, const struct map_partition *partition,
                               bool (*is_up)(void *context, uint32_t broker), void *context);

#endif
