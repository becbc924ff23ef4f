/* Dump files: checksummed copies of the tables that cannot be derived, `dump/<generation, 20 digits>`, the newest two kept.
 *
 * When the store is damaged, the newest good dump, the segments and the journal make a new one. A dump is written before anything goes
 * that only newer owner states cover, and when the set of replicas changes, so it is never too old for what is left.
 *
 *   offset size
 *        0    4  magic "CRND"
 *        4    4  CRC32C of bytes 8 .. 47
 *        8    1  version, 1
 *        9    7  0
 *       16    8  generation
 *       24    8  number of rows
 *       32    8  bytes of all rows
 *       40    4  CRC32C of all rows
 *       44    4  0
 *       48       rows: table u8, key size u8, 0 u16, value size u32, key, value
 */
#ifndef CAIRN_LOG_DUMP_H
#define CAIRN_LOG_DUMP_H

#include <stdint.h>

#include "base/disk.h"
#include "base/store.h"

#define DUMP_KEEP 2u
#define DUMP_LIST_MAX 64u /* generations that are looked at; more than DUMP_KEEP only where somebody put them there */

/* Writes the tables identity, group, state and meta of the store as this generation, synced, and removes all but the newest. */
enum status dump_write(struct disk *disk, struct store *store, uint64_t generation) MUST_CHECK;

/* Reads and checks one whole file, then visits its rows. STATUS_CORRUPT, STATUS_FOREIGN: nothing was visited. */
enum status dump_read(struct disk *disk, uint64_t generation,
                      void (*visit)(void *context, unsigned table, struct bytes key, struct bytes value),
                      void *context) MUST_CHECK;

/* The generations that are there, newest first; how many. */
size_t dump_list(struct disk *disk, uint64_t *out_generations, size_t max);

#endif
