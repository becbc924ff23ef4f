#include "controller/racks.h"

#include <string.h>

#include "base/memory.h"

/* Whose rack it is: that of the first broker that told the same. */
static uint32_t first_of_rack(const struct racks *racks, const char *const *told, const char *rack) {
  for (size_t i = 0; rack[0] != '\0' && i < racks->count; i++)
    if (racks->racks[i] == i && strcmp(told[i], rack) == 0) return (uint32_t)i;
  return (uint32_t)racks->count; /* its own */
}

void racks_init(struct racks *racks, const struct cluster_map *map) {
  size_t brokers = cluster_map_broker_count(map);
  const char **told = memory_new_array(brokers + 1, sizeof *told);
  *racks = (struct racks){.brokers = memory_new_array(brokers + 1, sizeof *racks->brokers),
                          .racks = memory_new_array(brokers + 1, sizeof *racks->racks)};
  const struct map_broker *broker = cluster_map_broker_after(map, 0);
  for (; broker != NULL; broker = cluster_map_broker_after(map, broker->id)) {
    told[racks->count] = broker->rack;
    racks->brokers[racks->count] = broker->id;
    racks->racks[racks->count] = first_of_rack(racks, told, broker->rack);
    racks->count++;
  }
  memory_free(told);
}

void racks_deinit(struct racks *racks) {
  memory_free(racks->brokers);
  memory_free(racks->racks);
  *racks = (struct racks){0};
}

uint32_t racks_of(const struct racks *racks, uint32_t broker) {
  size_t low = 0, high = racks->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (racks->brokers[middle] < broker) low = middle + 1;
    else high = middle;
  }
  return low < racks->count && racks->brokers[low] == broker ? racks->racks[low] : RACK_NOWHERE;
}

uint32_t racks_share(const uint32_t *room, size_t count, uint32_t replicas) {
  for (uint32_t share = 1; share < replicas; share++) {
    uint32_t places = 0;
    for (size_t i = 0; i < count; i++) places += room[i] < share ? room[i] : share;
    if (places >= replicas) return share;
  }
  return replicas;
}
