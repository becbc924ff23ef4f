/* Which brokers get the replicas of new partitions. Pure: same map, same answer, on whichever broker it is asked.
 *
 * 1. A partition has no broker twice.
 * 2. No rack has more replicas of a partition than it must (racks.h).
 * 3. All brokers together then carry as evenly as 1 and 2 allow: no replica could be another broker's that would have fewer for it. So where it was
 *    even before, and racks are of one size or not known, no broker has two more than another.
 * 4. The first of a partition's replicas is the one that is to lead it, as long as it can. Firsts are spread as evenly as those replicas, and what brokers
 *    lead already, allow: of a first topic nobody leads two more than another, where 3 has it so.
 */
#ifndef CAIRN_CONTROLLER_PLACEMENT_H
#define CAIRN_CONTROLLER_PLACEMENT_H

#include <stddef.h>
#include <stdint.h>

#include "controller/cluster_map.h"

/* What a broker has to carry already. */
struct placement_load {
  uint32_t broker;
  uint32_t replicas;
  uint32_t firsts;
  uint32_t rack; /* the same of two that stand in one; below the number of brokers of the map */
};

/* Of every broker of the map, by number; those that leave, or are gone, too. Returns how many; PRE: `out_loads` has room for all of them. */
size_t placement_loads(const struct cluster_map *map, struct placement_load *out_loads);

/* Without those of brokers that get no new replicas. Returns how many are left. */
size_t placement_candidates(const struct cluster_map *map, struct placement_load *loads, size_t count);

/* What is on its way counts where it goes from then on: else all that go at a time would go to the same one. */
void placement_count_moves(const struct cluster_map *map, struct placement_load *loads, size_t count);

/* So many partitions more: fills `out_brokers` with `replicas` numbers for one after the other, and adds them to the loads. Takes some times
 * partitions * replicas * count steps. PRE: 0 < partitions, 0 < replicas <= count. */
void placement_deal(struct placement_load *loads, size_t count, uint32_t partitions, uint32_t replicas, uint32_t *out_brokers);

/* What is asked for when nobody says: min(3, brokers). */
uint32_t placement_replicas_default(size_t brokers);

#endif
