#include "tests/sim/map_racks.h"

#include <string.h>

/* Who told no rack stands alone. */
static bool together(const struct map_broker *one, const struct map_broker *other) {
  return one->id == other->id || (one->rack[0] != '\0' && strcmp(one->rack, other->rack) == 0);
}

static uint32_t count_beside(const struct map_broker *const *brokers, uint32_t count, const struct map_broker *broker) {
  uint32_t found = 0;
  for (uint32_t i = 0; i < count; i++) found += together(brokers[i], broker);
  return found;
}

/* Who may have one more, in the rack that has the fewest; NULL: nobody. */
static const struct map_broker *next_of(const struct cluster_map *map, const struct map_broker *const *chosen, uint32_t count) {
  const struct map_broker *best = NULL, *broker = cluster_map_broker_after(map, 0);
  for (; broker != NULL; broker = cluster_map_broker_after(map, broker->id)) {
    bool may = broker->standing < STANDING_LEAVING;
    for (uint32_t i = 0; i < count; i++) may = may && chosen[i] != broker;
    if (may && (best == NULL || count_beside(chosen, count, broker) < count_beside(chosen, count, best))) best = broker;
  }
  return best;
}

/* How many of `replicas` one rack must have, where each goes to the rack that has the fewest. */
static uint32_t share_of(const struct cluster_map *map, uint32_t replicas) {
  const struct map_broker *chosen[MAP_REPLICAS_MAX];
  uint32_t share = 0;
  for (uint32_t count = 0; count < replicas; count++) {
    chosen[count] = next_of(map, chosen, count);
    if (chosen[count] == NULL) return replicas;
    uint32_t beside = count_beside(chosen, count, chosen[count]) + 1;
    if (beside > share) share = beside;
  }
  return share;
}

static void check_partition(struct checker *checker, const struct cluster_map *map, const struct map_topic *topic,
                            const struct map_partition *partition) {
  const struct map_broker *brokers[MAP_REPLICAS_MAX];
  uint32_t share = share_of(map, partition->replica_count);
  for (uint32_t i = 0; i < partition->replica_count; i++) {
    brokers[i] = cluster_map_broker(map, partition->replicas[i].broker);
    if (brokers[i] == NULL) return;
    uint32_t beside = count_beside(brokers, i, brokers[i]) + 1;
    if (beside > share)
      checker_violation(checker, "M3 racks-apart", "rack %s has %u replicas of %s/%u, and must have no more than %u",
                        brokers[i]->rack, beside, topic->name, partition->number, share);
  }
}

void map_racks_check(struct checker *checker, const struct cluster_map *map, uint64_t first_group) {
  const struct map_topic *topic = cluster_map_topic_after(map, bytes_of_string(""));
  for (; topic != NULL; topic = cluster_map_topic_after(map, bytes_of_string(topic->name)))
    for (uint32_t i = 0; i < topic->partition_count; i++)
      if (topic->partitions[i].group >= first_group) check_partition(checker, map, topic, &topic->partitions[i]);
}
