/* What a broker remembers of another one's directory, as long as its own process lives: how far that journal was durable, by its word in beats.
 * One of an incarnation; pure.
 *
 * A journal never goes back. So a process that has less of it than an earlier one said runs on an older copy of its directory, and has
 * forgotten what was promised in between. Beats may come late, though, on a connection that a network held back: those of a process that
 * was heard of already say nothing about what there is now.
 */
#ifndef CAIRN_REPLICATION_PEER_MEMORY_H
#define CAIRN_REPLICATION_PEER_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "replication/raft_config.h"

struct peer_memory {
  struct replica_id id;
  uint64_t journal;      /* how far it was durable at most; a group's sequence, 0: never told */
  uint64_t boot;         /* of the process that said so, or more */
  uint64_t earlier_boot; /* of the one before */
  uint64_t refused_boot; /* of the process that had less */
};

enum peer_news {
  PEER_NEWS,      /* as far as it was, or farther; or nothing was said of it */
  PEER_LATE,      /* from before what is known: to be dropped */
  PEER_WENT_BACK, /* a process that is new here has less: the first time that it says so */
  PEER_REFUSED    /* the same, and it was told of */
};

enum peer_news peer_memory_note(struct peer_memory *memory, const struct replica_id *id, uint64_t boot, uint64_t journal);

#endif
