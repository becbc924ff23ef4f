/* Three brokers with the map of one cluster (tests/unit/controller/crew.h), and partitions in it that nobody has: what the tests of those stand on
 * who move partitions by themselves. A move is over when a test says so.
 */
#ifndef CAIRN_TESTS_UNIT_SERVER_MOVABLE_H
#define CAIRN_TESTS_UNIT_SERVER_MOVABLE_H

#include "tests/unit/controller/crew.h"

#define SECOND_MS 1000u

/* The three are in the map, and hear each other. */
void movable_register(struct crew *crew);
void movable_create(struct crew *crew, const char *name, uint32_t partitions, uint32_t replicas);
/* It is on these brokers, whatever it was before. `to`: digits, the first is to lead. */
void movable_put(struct crew *crew, const char *name, uint32_t partition, const char *to);
void movable_stand(struct crew *crew, broker_id broker, enum map_standing standing);

/* As whoever leads has it. */
const struct cluster_map *movable_map(struct crew *crew);
uint32_t movable_under_way(struct crew *crew);
/* All that are under way have arrived. Returns how many these were. */
uint32_t movable_arrive(struct crew *crew);

#endif
