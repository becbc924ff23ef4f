/* What a broker remembers of another one's data directory: which process had it last, and how far that one's journal was durable, by its word in
 * beats. One of an incarnation; pure.
 *
 * Directories never go back. Each process that starts on one adds a link to its lineage (log/lineage.h), so who is heard of for the first
 * time either goes on from the process that is known here, and from all that this one said to have; or it runs on an older copy of the
 * directory, or on another copy of it: then it has forgotten what was promised meanwhile, or somebody else is making promises in the same name.
 *
 * Rows, as they are kept in the file `seen` of the data directory (written as a whole; a damaged one is an empty one):
 *
 *   offset size                                offset size
 *        0    4  magic "CRNM"                      0    4  broker id
 *        4    4  CRC32C of all behind it           4    4  0
 *        8    1  version, 1                        8   16  incarnation
 *        9    1  0                                24    8  boot of the newest process, not 0
 *       10    2  rows                             32    8  its generation; 0: it told no lineage
 *       12    4  0                                40    8  newest group of its journal that it called durable
 *       16   48  each row; then zeros. Of a later version the CRC covers them too
 */
#ifndef CAIRN_REPLICATION_PEER_MEMORY_H
#define CAIRN_REPLICATION_PEER_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "log/lineage.h"
#include "replication/raft_config.h"

#define PEER_MEMORIES_PATH "seen"
#define PEER_MEMORIES_MAX 80u /* more than brokers in a cluster: also those that have left, or were replaced, not long ago */
#define PEER_MEMORIES_BYTES_MAX (16u + PEER_MEMORIES_MAX * 48u)

struct peer_memory {
  struct replica_id id;
  uint64_t boot;         /* of the newest process; 0: none was heard */
  uint64_t generation;   /* of its link; 0: it told of no lineage */
  uint64_t journal;      /* how far its journal was durable at most; a group's sequence */
  uint64_t earlier_boot; /* of the process before; not kept in the file */
  uint64_t refused_boot; /* of the last process that was refused without a lineage; not kept in the file */
};

enum peer_verdict {
  PEER_KNOWN,     /* the newest process itself */
  PEER_CONTINUES, /* a new process, which goes on from the newest known one */
  PEER_EARLIER,   /* the one before the newest: another one has gone on since */
  PEER_OLDER,     /* a process that does not have all that the newest known one had */
  PEER_ANOTHER    /* nor is it in one line with it: a copy of the directory goes its own way */
};
static inline bool peer_verdict_good(enum peer_verdict verdict) { return verdict <= PEER_CONTINUES; }

/* A process speaks for the first time on a connection. Without links (of a version before lineage) it is judged by how far its journal is. */
enum peer_verdict peer_memory_judge(const struct peer_memory *memory, uint64_t boot, const struct lineage *lineage,
                                    uint64_t journal);
/* It is the newest one from now on. PRE: the verdict was PEER_CONTINUES. */
void peer_memory_take(struct peer_memory *memory, uint64_t boot, const struct lineage *lineage, uint64_t journal);
/* How far the newest process says to be. False: it was farther before, so this was said earlier, and says nothing now. */
bool peer_memory_hear(struct peer_memory *memory, uint64_t journal);

/* Returns the size. PRE: count <= PEER_MEMORIES_MAX. */
size_t peer_memories_encode(const struct peer_memory *memories, size_t count, uint8_t out[PEER_MEMORIES_BYTES_MAX]);
/* STATUS_CORRUPT, STATUS_FOREIGN: of a newer version. */
enum status peer_memories_decode(struct bytes bytes, struct peer_memory out[PEER_MEMORIES_MAX], size_t *out_count) MUST_CHECK;

#endif
