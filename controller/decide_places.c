/* Where new partitions are to be. */
#include <string.h>

#include "base/memory.h"
#include "controller/decide_internal.h"
#include "controller/placement.h"

/* Puts each partition on brokers, with the directories that these have now. */
static void place(const struct cluster_map *map, uint32_t replicas, struct map_topic *topic) {
  size_t count = cluster_map_broker_count(map);
  if (count == 0) return;
  struct placement_load *loads = memory_new_array(count, sizeof *loads);
  uint32_t *brokers = memory_new_array((size_t)topic->partition_count * replicas, sizeof *brokers), *next = brokers;
  count = placement_candidates(map, loads, placement_loads(map, loads));
  placement_deal(loads, count, topic->partition_count, replicas, brokers);
  for (uint32_t i = 0; i < topic->partition_count; i++) {
    struct map_partition *partition = &topic->partitions[i];
    partition->replica_count = replicas;
    for (uint32_t at = 0; at < replicas; at++, next++) {
      partition->replicas[at].broker = *next;
      memcpy(partition->replicas[at].incarnation, cluster_map_broker(map, *next)->incarnation, CLUSTER_ID_SIZE);
    }
  }
  memory_free(brokers);
  memory_free(loads);
}

void decide_make_partitions(const struct cluster_map *map, uint32_t first, uint32_t count, uint32_t replicas,
                            struct map_topic *topic) {
  topic->partition_count = count;
  topic->partitions = memory_new_array(count, sizeof *topic->partitions);
  for (uint32_t i = 0; i < count; i++)
    topic->partitions[i] =
        (struct map_partition){.number = first + i, .group = cluster_map_next_group_id(map) + i, .instance = 1};
  place(map, replicas, topic);
}
