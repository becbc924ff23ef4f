/* The lineage of a data directory: which process went on from where on it, newest first. A process that starts adds a link before it changes
 * anything else, so a directory that was put back from an older copy, or that is a copy of one which is in use, does not have what others have
 * seen of it: it does not continue the newest process that they know.
 *
 * A link is the process (its boot: a random number) and the group of the journal that it went on from. The newest LINEAGE_LINKS_MAX are kept;
 * their generations are dense, so one that is older than all of them is known to be.
 *
 *   offset size
 *        0    4  magic "CRNL"
 *        4    4  CRC32C of everything behind it
 *        8    1  version, 1
 *        9    1  0
 *       10    2  links, at least 1
 *       12    4  0
 *       16   16  incarnation of the broker
 *       32    8  generation of the newest link; it counts from 1
 *       40    8  0
 *       48   16  each link, newest first: boot u64, not 0; journal group u64; then zeros, or the end
 *
 * Of a later version the CRC covers the zeros too: how much of it counts is not known here.
 *
 * In two files, lineage and lineage.copy, each written as a whole: after a crash between them, or rot in one, the newest that can be read
 * counts. A directory that an earlier version wrote has none, and gets one. Hellos between brokers carry the same bytes.
 */
#ifndef CAIRN_LOG_LINEAGE_H
#define CAIRN_LOG_LINEAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/disk.h"
#include "base/status.h"
#include "log/log_set.h"

#define LINEAGE_LINKS_MAX 240u
#define LINEAGE_HEAD_SIZE 48u
#define LINEAGE_LINK_SIZE 16u
#define LINEAGE_SIZE_MAX (LINEAGE_HEAD_SIZE + LINEAGE_LINKS_MAX * LINEAGE_LINK_SIZE)

struct lineage_link {
  uint64_t boot;
  uint64_t from_group; /* the newest group of the journal that it recovered */
};

struct lineage {
  uint8_t incarnation[LOG_ID_SIZE];
  uint64_t generation; /* of links[0]; 0: there is no link */
  size_t count;
  struct lineage_link links[LINEAGE_LINKS_MAX]; /* newest first */
};

/* A process that goes on. The oldest link makes room. PRE: boot != 0. */
void lineage_continue(struct lineage *lineage, uint64_t boot, uint64_t from_group);
/* NULL: there is none of that generation, or not any more. */
const struct lineage_link *lineage_at(const struct lineage *lineage, uint64_t generation);
static inline uint64_t lineage_oldest(const struct lineage *lineage) { return lineage->generation + 1 - lineage->count; }

/* Returns the size. PRE: count > 0. */
size_t lineage_encode(const struct lineage *lineage, uint8_t out[LINEAGE_SIZE_MAX]);
/* STATUS_CORRUPT. STATUS_FOREIGN: a newer version. */
enum status lineage_decode(struct bytes bytes, struct lineage *out_lineage) MUST_CHECK;

/* Of the directory of that incarnation; empty where there is none. Both files damaged, or of another incarnation: STATUS_CORRUPT, and
 * an empty one. STATUS_FOREIGN: of a newer Cairn. STATUS_IO. Blocks. */
enum status lineage_read(struct disk *disk, const uint8_t incarnation[LOG_ID_SIZE], struct lineage *out_lineage) MUST_CHECK;
/* The two files; the first is written first. */
#define LINEAGE_FILES 2u
extern const char *const lineage_paths[LINEAGE_FILES];
/* One of them. STATUS_NOT_FOUND, STATUS_CORRUPT: also of another incarnation than that; STATUS_FOREIGN, STATUS_IO. Blocks. */
enum status lineage_read_file(struct disk *disk, const char *path, const uint8_t incarnation[LOG_ID_SIZE],
                              struct lineage *out_lineage) MUST_CHECK;
/* Both files, synced. Blocks. */
enum status lineage_write(struct disk *disk, const struct lineage *lineage) MUST_CHECK;

#endif
