/* Who this data directory belongs to: written when it is formatted, in two files and one row of the store, never changed.
 *
 *   offset size
 *        0    4  magic "CRNI"
 *        4    4  CRC32C of bytes 8 .. 63
 *        8    1  version, 1
 *        9    3  0
 *       12    4  broker id
 *       16   16  cluster
 *       32   16  incarnation of the broker
 *       48   16  0
 */
#ifndef CAIRN_LOG_IDENTITY_H
#define CAIRN_LOG_IDENTITY_H

#include <stdint.h>

#include "base/disk.h"
#include "base/status.h"
#include "log/log_set.h"

#define IDENTITY_SIZE 64u

void identity_encode(const struct log_identity *identity, uint8_t out[IDENTITY_SIZE]);
/* STATUS_CORRUPT, STATUS_FOREIGN: a newer version. */
enum status identity_decode(struct bytes bytes, struct log_identity *out_identity) MUST_CHECK;

/* Writes both files, synced, each under another name first. */
enum status identity_write(struct disk *disk, const struct log_identity *identity) MUST_CHECK;

/* From either file; a bad or missing one is written again from the good one. STATUS_NOT_FOUND: neither is there. STATUS_CORRUPT: none that
 * is there can be read. STATUS_FOREIGN: of a newer Cairn. */
enum status identity_read(struct disk *disk, struct log_identity *out_identity) MUST_CHECK;

#endif
