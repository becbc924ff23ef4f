/* A cluster before its replicas are spread and what becomes of it: what the tests of spread stand on. */
#ifndef CAIRN_TESTS_UNIT_CONTROLLER_SPREAD_RIG_H
#define CAIRN_TESTS_UNIT_CONTROLLER_SPREAD_RIG_H

#include "controller/spread.h"

#define BROKERS_MAX 16u
#define PARTITIONS_MAX 120u

extern struct rig_cluster {
  struct spread_broker brokers[BROKERS_MAX];
  size_t broker_count;
  struct spread_partition before[PARTITIONS_MAX];
  struct spread_partition after[PARTITIONS_MAX];
  size_t count;
} cluster; /* empty when a test begins */

int rig_set_up(void **state);
/* Spreads what was before. */
enum status rig_run(void);

bool rig_has(const struct spread_partition *partition, uint32_t id);
/* Replicas that are on brokers that did not have them. */
uint32_t rig_moved(const struct spread_partition *before, const struct spread_partition *after);
/* Replicas of it that a rack has. */
uint32_t rig_racks_of(const struct spread_partition *partition, uint32_t rack);

/* Below `bound`, as the seed says, which goes on. */
uint32_t rig_below(uint64_t *seed, uint32_t bound);
/* A new cluster of at most so many, where some brokers have more than others. `racks`: so many of one size, and no partition has more replicas
 * than there are; 0: none is known. */
void rig_draw(uint64_t *seed, uint32_t brokers_max, uint32_t partitions_max, uint32_t racks);

#endif
