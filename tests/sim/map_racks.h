/* M3: of no partition that the map gets anew a rack has more replicas than it must. Counted here by itself, and not with what places them. */
#ifndef CAIRN_TESTS_SIM_MAP_RACKS_H
#define CAIRN_TESTS_SIM_MAP_RACKS_H

#include "controller/cluster_map.h"
#include "tests/sim/checker.h"

/* The map as the command left it that made partitions with groups from this one on. */
void map_racks_check(struct checker *checker, const struct cluster_map *map, uint64_t first_group);

#endif
