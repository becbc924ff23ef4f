/* The twin of LMDB: sorted pairs in memory, the whole of them written to a file of the simulated disk at each commit.
 *
 * It makes its commits as LMDB does: the new body beside the old one, a sync, then one sector that names it, a sync. So each
 * commit is four operations at which a run may crash, and what the disk does to a file it does to the store. When the last of
 * them fails, the cache would show what the disk has not got; as LMDB does, an old meta is then written over it.
 *
 *   offset size
 *        0 4096  meta of even commits: magic u64, commit u64, body offset u64, body size u64, crc32c u32; the rest zero
 *     4096 4096  meta of odd commits
 *     8192       bodies: pairs of (table u32, key size u32, kept size u32, key, kept value)
 */
#ifndef CAIRN_TESTS_SIM_SIM_STORE_H
#define CAIRN_TESTS_SIM_SIM_STORE_H

#include "base/disk.h"
#include "base/store.h"
#include "tests/sim/sim.h"

enum status sim_store_open(struct sim_process *process, struct disk *disk, const char *path, uint64_t size_max, unsigned flags,
                           struct store **out_store) MUST_CHECK;

/* Rot in a page that is in memory: flips a byte of a kept value. False: no such pair, or it is shorter. */
bool sim_store_flip(struct store *store, unsigned table, struct bytes key, size_t position, uint8_t mask);
uint64_t sim_store_commits(const struct store *store);

#endif
