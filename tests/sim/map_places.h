/* Where the replicas of partitions are and may be, by the newest version of the map: what brokers have and who votes is held against it.
 *
 *   M6 voters-kept      a configuration of a partition's group has as many voters as the fewest that the partition has had, or was to have, since it was
 *                       last at rest, now and then; only a broker that is about to have another replica of it is out in between. Nobody votes
 *                       whom the map has not named since
 *   M7 nothing-left     once all is well no broker has a replica, in its journal or in a directory, that the map does not give it
 */
#ifndef CAIRN_TESTS_SIM_MAP_PLACES_H
#define CAIRN_TESTS_SIM_MAP_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct checker;
struct cluster_map;
struct map_places;
struct sim_disk;

struct map_places *map_places_new(struct checker *checker);
void map_places_free(struct map_places *places); /* NULL is fine */

/* The next version of the map, the first time that any broker has it. */
void map_places_see(struct map_places *places, const struct cluster_map *map);
/* A replica applies a configuration (replication/raft_config.h). */
void map_places_configure(struct map_places *places, uint64_t group, uint64_t index, const void *config, size_t size);

/* The map gives this broker a replica, of which this log is. */
bool map_places_has(const struct map_places *places, uint32_t broker, uint64_t group, uint64_t instance);
/* A broker has found this log at its start, when nothing was under way before. */
void map_places_find(struct map_places *places, uint32_t broker, uint64_t group, uint64_t instance);
/* Its disk has directories of no other replicas. */
bool map_places_are_all(const struct map_places *places, uint32_t broker, struct sim_disk *disk);

#endif
