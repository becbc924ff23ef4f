/* What this broker has seen of others, kept in the file `seen` of its data directory: it outlives a restart, so a directory that was put back from
 * an older copy is found out by brokers that were started anew since. What the rows say: replication/peer_memory.h.
 *
 * Written on a loop of its own, LOOP_MAY_BLOCK.
 */
#ifndef CAIRN_SERVER_SEEN_H
#define CAIRN_SERVER_SEEN_H

#include "base/world.h"
#include "replication/peer_memory.h"

struct seen;

/* Also tells what was kept; a file that is missing or damaged says nothing, which is traced. STATUS_IO, STATUS_FOREIGN: of a newer Cairn. Blocks. */
enum status seen_open(struct world *world, struct peer_memory out_rows[PEER_MEMORIES_MAX], size_t *out_count,
                      struct seen **out_seen) MUST_CHECK;
void seen_close(struct seen *seen); /* after peers_stop(). NULL is fine */

/* peers_options.keep */
void seen_keep(void *context, const struct peer_memory *rows, size_t count, struct loop *loop, struct task *done);

/* STATUS_FOREIGN: there is one of a newer Cairn, which must not be replaced. Else STATUS_OK. */
enum status seen_check(struct disk *disk) MUST_CHECK;

#endif
