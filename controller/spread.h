/* Where the replicas of partitions had better be: spread evenly over brokers and racks, and moved as little as that takes. Pure: same brokers,
 * same partitions, same answer, so whoever asks again in the middle of it goes on with it.
 *
 * What is looked for, the first before the second and so on:
 *
 *   allowed     no broker twice in a partition, none that is to leave, nothing new where nothing new may go
 *   racks       no rack has more replicas of a partition than it must
 *   topics      each topic's replicas are spread as evenly over the brokers as that allows
 *   in all      so are the replicas of all topics together, those counted that are not asked about
 *   movement    as few replicas as possible go to another broker
 *
 * and then the same of who is to lead, the first of each partition: evenly in each topic, evenly in all, changed as little as possible.
 *
 * 1. Without racks, or with racks of as many brokers each, "evenly" means that no broker has two replicas of a topic more than another, and
 *    none has two more in all, where nothing is counted that cannot move. So it is with firsts, where all partitions have as many replicas.
 * 2. Nothing else could be as even with fewer replicas moved: a way of shifts that ends where it began and saves one would have been found
 *    (spread_ways.c). Beyond SPREAD_ARCS_MAX (topics times brokers times brokers) or SPREAD_WORK_MAX only single shifts are tried: it is
 *    allowed, keeps racks apart, and may be less even and move more than it must.
 *    Single shifts have no bound of their own: 20,000 partitions of three replicas take most of a second on up to 100 brokers, some seconds on 1,000.
 * 3. A partition keeps the order of the replicas that stay, but for the one that is to lead, which comes first.
 */
#ifndef CAIRN_CONTROLLER_SPREAD_H
#define CAIRN_CONTROLLER_SPREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "controller/cluster_map.h"

#define SPREAD_ARCS_MAX ((uint64_t)1 << 20)
#define SPREAD_WORK_MAX \
  ((uint64_t)24 << 20) /* arcs looked at for ways of several: some tenths of a second, as whoever asks stands still meanwhile */

enum spread_use {
  SPREAD_TAKES, /* it may have replicas, and is counted on */
  SPREAD_STAYS, /* it keeps what it has and gets nothing, as one that is down: nothing is balanced against it */
  SPREAD_LEAVES /* it is to have none */
};

struct spread_broker {
  uint32_t id;
  uint32_t rack; /* 0: not known; it is a rack of its own then */
  enum spread_use use;
  uint32_t others;       /* replicas that it has besides, of what is not asked about */
  uint32_t other_firsts; /* and how many of these it is to lead */
};

struct spread_partition {
  uint64_t topic;
  bool stays;     /* it is counted, and is not to go anywhere now */
  uint32_t count; /* 1 to MAP_REPLICAS_MAX; of one that stays it may be 0 */
  uint32_t replicas[MAP_REPLICAS_MAX];
};

/* Puts into the partitions where they had better be. PRE: the brokers' numbers rise; a topic's partitions stand together. A replica on a broker that
 * is not named has to go. TOO_FEW_BROKERS: some partition has more replicas than brokers may have them; nothing is changed. */
enum status spread(const struct spread_broker *brokers, size_t broker_count, struct spread_partition *partitions,
                   size_t count) MUST_CHECK;

#endif
