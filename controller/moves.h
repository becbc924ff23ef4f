/* What whoever leads a partition's group has to do for the map: who is to belong to it, and the next step towards that. Pure: same map, same
 * members, same answer, so what one leader has begun the next one goes on with.
 *
 *   a move is under way    its target's brokers vote, and nobody else belongs
 *   none is                the partition's replicas do: what a leader with an older map has begun is taken back
 *
 * 1. No step has a broker twice: where it is to have a replica in another directory, the earlier one goes first.
 * 2. No step leaves nobody to vote.
 * 3. Step by step it ends. A move is over only where a stable configuration is committed that is its target and nothing besides.
 */
#ifndef CAIRN_CONTROLLER_MOVES_H
#define CAIRN_CONTROLLER_MOVES_H

#include <stdbool.h>

#include "controller/cluster_map.h"
#include "replication/raft_config.h"

/* The replica as its group knows it. */
static inline struct replica_id map_replica_id(const struct map_replica *replica) {
  struct replica_id id = replica_id_of(replica->broker, replica->incarnation);
  id.placement = replica->placement;
  return id;
}

enum move_step {
  MOVE_REST,   /* nothing is to be done, or what was begun has to come to its end first */
  MOVE_CHANGE, /* `out_target` is for replica_change_members() */
  MOVE_OVER    /* the move's number may be told */
};

/* `today`: the newest configuration of the group; `committed`: its entry is. `move`: NULL, none is under way. */
enum move_step move_next(const struct raft_config *today, bool committed, const struct map_partition *place,
                         const struct map_move *move, struct raft_config *out_target);

#endif
