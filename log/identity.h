/* Who this data directory belongs to, and who founded its cluster: written when it is formatted, in two files and one row of the store,
 * never changed.
 *
 *   offset size
 *        0    4  magic "CRNI"
 *        4    4  CRC32C of everything behind it
 *        8    1  version, 2
 *        9    1  founders, 0 to 7
 *       10    2  0
 *       12    4  broker id
 *       16   16  cluster
 *       32   16  incarnation of the broker
 *       48   16  0
 *       64   84  each founder, by broker id: broker id u32, incarnation 16, address 64 (text, then zeros)
 *
 * Version 1 ends at offset 64: whom it names founded alone.
 *
 * A broker that is to found a cluster with others belongs to none yet, but must be the same broker after a crash: its draft is an identity
 * without cluster and founders, in the file `founding`, which goes when the identity is there. Until then the directory becomes this broker or none.
 */
#ifndef CAIRN_LOG_IDENTITY_H
#define CAIRN_LOG_IDENTITY_H

#include <stdint.h>

#include "base/disk.h"
#include "base/status.h"
#include "base/store.h"
#include "log/log_set.h"

#define IDENTITY_HEAD_SIZE 64u
#define IDENTITY_FOUNDER_SIZE (4u + LOG_ID_SIZE + LOG_ADDRESS_SIZE)
#define IDENTITY_SIZE_MAX (IDENTITY_HEAD_SIZE + LOG_FOUNDERS_MAX * IDENTITY_FOUNDER_SIZE)

/* Returns the size. PRE: founders by broker id, addresses filled up with zeros. */
size_t identity_encode(const struct log_identity *identity, uint8_t out[IDENTITY_SIZE_MAX]);
/* STATUS_CORRUPT, STATUS_FOREIGN: a newer version. */
enum status identity_decode(struct bytes bytes, struct log_identity *out_identity) MUST_CHECK;

/* Makes this broker the only founder. */
void identity_found_alone(struct log_identity *identity);
/* The founder of that number; NULL: it is none. */
const struct log_founder *identity_founder(const struct log_identity *identity, uint32_t broker_id);
/* This very directory, not an older one of the same broker, is of those that founded the cluster. */
bool identity_founded(const struct log_identity *identity);

/* Writes both files, synced, each under another name first. */
enum status identity_write(struct disk *disk, const struct log_identity *identity) MUST_CHECK;

/* From either file; a bad or missing one is written again from the good one. STATUS_NOT_FOUND: neither is there. STATUS_CORRUPT: none that
 * is there can be read. STATUS_FOREIGN: of a newer Cairn. */
enum status identity_read(struct disk *disk, struct log_identity *out_identity) MUST_CHECK;
/* The store's copy. STATUS_NOT_FOUND, STATUS_CORRUPT, STATUS_FOREIGN. */
enum status identity_read_store(struct store *store, struct log_identity *out_identity) MUST_CHECK;
/* From one file, mending nothing. */
enum status identity_read_file(struct disk *disk, const char *path, struct log_identity *out_identity) MUST_CHECK;

/* Writes the draft, synced. */
enum status identity_write_draft(struct disk *disk, const struct log_identity *identity) MUST_CHECK;
/* STATUS_NOT_FOUND, STATUS_CORRUPT (also: not a draft), STATUS_FOREIGN. */
enum status identity_read_draft(struct disk *disk, struct log_identity *out_identity) MUST_CHECK;
/* Once the identity is there. A draft that stays does no harm. */
void identity_remove_draft(struct disk *disk);

#endif
