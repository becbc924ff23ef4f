/* Racks: which brokers fall together. Pure.
 *
 * A broker that told no rack is one of its own. What is asked of a partition is that no rack has more of its replicas than it must: as many racks as
 * replicas, and each has one; two racks, and of three replicas one has two. Racks are of any size, so one of few brokers may have to take more
 * of all replicas than its brokers' share, or may not be able to.
 */
#ifndef CAIRN_CONTROLLER_RACKS_H
#define CAIRN_CONTROLLER_RACKS_H

#include <stddef.h>
#include <stdint.h>

#include "controller/cluster_map.h"

#define RACK_NOWHERE UINT32_MAX

struct racks {
  uint32_t *brokers; /* of the map, those that are gone too; their numbers rise */
  uint32_t *racks;   /* of each: the same where two stand in one; below `count` */
  size_t count;      /* of brokers */
};
/* The caller's to deinit. Later changes of the map are not seen. */
void racks_init(struct racks *racks, const struct cluster_map *map);
void racks_deinit(struct racks *racks);
/* RACK_NOWHERE: the map had no such broker. */
uint32_t racks_of(const struct racks *racks, uint32_t broker);

/* The most replicas of one partition that a rack must have: the least that lets all of them find a place. `room`: by rack, how many brokers there
 * may have one. Where they find none at all it is `replicas`. */
uint32_t racks_share(const uint32_t *room, size_t count, uint32_t replicas);

#endif
