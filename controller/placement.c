#include "controller/placement.h"

#include "controller/racks.h"

#define REPLICAS_DEFAULT 3u

static struct placement_load *load_of(struct placement_load *loads, size_t count, uint32_t broker) {
  size_t low = 0, high = count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (loads[middle].broker < broker) low = middle + 1;
    else high = middle;
  }
  return low < count && loads[low].broker == broker ? &loads[low] : NULL;
}

size_t placement_loads(const struct cluster_map *map, struct placement_load *out_loads) {
  struct racks racks;
  racks_init(&racks, map);
  size_t count = racks.count;
  for (size_t i = 0; i < count; i++) out_loads[i] = (struct placement_load){.broker = racks.brokers[i], .rack = racks.racks[i]};
  racks_deinit(&racks);
  const struct map_topic *topic;
  for (size_t place = 0; (topic = cluster_map_topic_at(map, place)) != NULL; place++) {
    for (uint32_t i = 0; i < topic->partition_count; i++) {
      const struct map_partition *partition = &topic->partitions[i];
      for (uint32_t at = 0; at < partition->replica_count; at++) {
        struct placement_load *load = load_of(out_loads, count, partition->replicas[at].broker);
        if (load == NULL) continue; /* it left the cluster */
        load->replicas++;
        if (at == 0) load->firsts++;
      }
    }
  }
  return count;
}

size_t placement_candidates(const struct cluster_map *map, struct placement_load *loads, size_t count) {
  size_t kept = 0;
  for (size_t i = 0; i < count; i++)
    if (cluster_map_broker(map, loads[i].broker)->standing < STANDING_LEAVING) loads[kept++] = loads[i];
  return kept;
}

void placement_count_moves(const struct cluster_map *map, struct placement_load *loads, size_t count) {
  const struct map_move *move = cluster_map_move_after(map, 0);
  for (; move != NULL; move = cluster_map_move_after(map, move->group)) {
    const struct map_partition *from = &cluster_map_topic_by_id(map, move->topic_id)->partitions[move->partition];
    for (size_t i = 0; i < count; i++) {
      loads[i].replicas += map_replicas_have(move->target, move->target_count, loads[i].broker);
      loads[i].replicas -= map_replicas_have(from->replicas, from->replica_count, loads[i].broker);
      loads[i].firsts += move->target[0].broker == loads[i].broker;
      loads[i].firsts -= from->replicas[0].broker == loads[i].broker;
    }
  }
}

uint32_t placement_replicas_default(size_t brokers) { return brokers < REPLICAS_DEFAULT ? (uint32_t)brokers : REPLICAS_DEFAULT; }
