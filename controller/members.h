/* Who is to belong to group 0, and the next step towards it. Pure: same map, same members, the same brokers up, same answer.
 *
 *   a broker that stands in the map            is told everything: a voter stays one, all others are learners
 *   a broker that leaves                       gives its vote up, to a learner if there is one that is up, and goes when it is gone
 *   a broker whose directory is another now    its earlier self goes first, whatever it was; then it is a broker like any new one
 *   fewer voters than there are to be          learners that are up become voters, lowest numbers first, but never from an odd number to an even one
 *
 * 1. A step takes nobody's vote but that of a directory which is no more, or is given up; and that one only where most of the voters which are
 *    left are up: without them nothing could be decided any more, nor taken back.
 * 2. No target has a broker twice: a broker's new directory waits until the old one is out.
 * 3. Step by step it ends: where nothing is left to do, there is no step. Who was to become a voter and is down is not waited for.
 */
#ifndef CAIRN_CONTROLLER_MEMBERS_H
#define CAIRN_CONTROLLER_MEMBERS_H

#include <stdbool.h>

#include "controller/cluster_map.h"
#include "replication/raft_config.h"

struct members_facts {
  const struct cluster_map *map;
  uint32_t founders; /* as many voters are wanted, but three where there were fewer, once there are brokers for it */
  bool (*is_up)(void *context, broker_id broker);
  void *context;
};

/* `today`: the newest configuration of group 0. False: there is nothing to do, or nothing that can be done now. `out_target` is for
 * replica_change_members(). */
bool members_next(const struct raft_config *today, const struct members_facts *facts, struct raft_config *out_target);

#endif
