#include "controller/cluster_health.h"

#include <string.h>

static bool is_there(const struct cluster_map *map, const struct map_replica *replica,
                     bool (*is_up)(void *context, uint32_t broker), void *context) {
  const struct map_broker *broker = cluster_map_broker(map, replica->broker);
  bool same = broker != NULL && memcmp(broker->incarnation, replica->incarnation, CLUSTER_ID_SIZE) == 0;
  return same && is_up(context, replica->broker);
}

static uint32_t count_there(const struct cluster_map *map, const struct map_partition *partition,
                            bool (*is_up)(void *context, uint32_t broker), void *context) {
  uint32_t there = 0;
  for (uint32_t at = 0; at < partition->replica_count; at++) there += is_there(map, &partition->replicas[at], is_up, context);
  return there;
}

bool cluster_health_has_quorum(const struct cluster_map *map, const struct map_partition *partition,
                               bool (*is_up)(void *context, uint32_t broker), void *context) {
  return 2 * count_there(map, partition, is_up, context) > partition->replica_count;
}

struct cluster_health cluster_health_of(const struct cluster_map *map, bool (*is_up)(void *context, uint32_t broker),
                                        void *context) {
  struct cluster_health health = {.moving = (uint32_t)cluster_map_move_count(map)};
  const struct map_topic *topic;
  for (size_t place = 0; (topic = cluster_map_topic_at(map, place)) != NULL; place++) {
    for (uint32_t i = 0; i < topic->partition_count; i++) {
      const struct map_partition *partition =
          &topic->partitions[i]; /* without replicas: made before there were others, and here */
      uint32_t there = count_there(map, partition, is_up, context);
      if (there == partition->replica_count) continue;
      if (2 * there > partition->replica_count) health.short_of_some++;
      else health.without_quorum++;
    }
  }
  return health;
}
