#include "tests/unit/controller/spread_rig.h"

#include <string.h>

struct rig_cluster cluster;

int rig_set_up(void **state) {
  (void)state;
  memset(&cluster, 0, sizeof cluster);
  return 0;
}

enum status rig_run(void) {
  memcpy(cluster.after, cluster.before, sizeof cluster.after);
  return spread(cluster.brokers, cluster.broker_count, cluster.after, cluster.count);
}

static uint64_t chance(uint64_t *seed) {
  *seed ^= *seed << 13;
  *seed ^= *seed >> 7;
  *seed ^= *seed << 17;
  return *seed;
}

uint32_t rig_below(uint64_t *seed, uint32_t bound) { return (uint32_t)(chance(seed) % bound); }

bool rig_has(const struct spread_partition *partition, uint32_t id) {
  for (uint32_t i = 0; i < partition->count; i++)
    if (partition->replicas[i] == id) return true;
  return false;
}

uint32_t rig_moved(const struct spread_partition *before, const struct spread_partition *after) {
  uint32_t count = 0;
  for (size_t i = 0; i < cluster.count; i++)
    for (uint32_t k = 0; k < after[i].count; k++) count += !rig_has(&before[i], after[i].replicas[k]);
  return count;
}

uint32_t rig_racks_of(const struct spread_partition *partition, uint32_t rack) {
  uint32_t count = 0;
  for (size_t b = 0; b < cluster.broker_count; b++)
    count += cluster.brokers[b].rack == rack && rig_has(partition, cluster.brokers[b].id);
  return count;
}

void rig_draw(uint64_t *seed, uint32_t brokers_max, uint32_t partitions_max, uint32_t racks) {
  memset(&cluster, 0, sizeof cluster);
  cluster.broker_count = 2 + rig_below(seed, brokers_max - 1);
  if (racks > 0) cluster.broker_count = racks * (1 + rig_below(seed, brokers_max / racks));
  uint32_t id = 0;
  for (size_t b = 0; b < cluster.broker_count; b++) {
    cluster.brokers[b].id = id += 1 + rig_below(seed, 3);
    if (racks > 0) cluster.brokers[b].rack = 1 + (uint32_t)b % racks;
  }
  uint32_t replicas = 1 + rig_below(seed, cluster.broker_count < 4 ? (uint32_t)cluster.broker_count : 4);
  if (racks > 0 && replicas > racks) replicas = racks;
  size_t wanted = 1 + rig_below(seed, partitions_max);
  uint64_t topic = 1;
  uint32_t crowded = 1 + rig_below(seed, (uint32_t)cluster.broker_count); /* most are on these */
  if (crowded < replicas) crowded = replicas;
  while (cluster.count < wanted) {
    struct spread_partition *partition = &cluster.before[cluster.count++];
    if (rig_below(seed, 6) == 0) topic++;
    partition->topic = topic;
    while (partition->count < replicas) {
      uint32_t within = rig_below(seed, 4) == 0 ? (uint32_t)cluster.broker_count : crowded;
      uint32_t broker = cluster.brokers[rig_below(seed, within)].id;
      if (!rig_has(partition, broker)) partition->replicas[partition->count++] = broker;
    }
  }
}
