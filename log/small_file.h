/* A file that is written as a whole, and never in place: a crash leaves the one before or the new one. For what is small and changes seldom. */
#ifndef CAIRN_LOG_SMALL_FILE_H
#define CAIRN_LOG_SMALL_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/disk.h"
#include "base/status.h"

#define SMALL_FILE_BYTES_MAX 4096u

/* Under `path`.tmp first, synced, then renamed; the directory is synced. `path` lies in the data directory itself. Blocks. */
enum status small_file_write(struct disk *disk, const char *path, struct bytes bytes) MUST_CHECK;
/* The same, filled up with zeros to SMALL_FILE_BYTES_MAX: so one that is there can be written where the disk is full, then in place. Whoever
 * needs what it says has a second one, or can do without. */
enum status small_file_keep(struct disk *disk, const char *path, struct bytes bytes) MUST_CHECK;
/* What is there, at most SMALL_FILE_BYTES_MAX of it. STATUS_NOT_FOUND. */
enum status small_file_read(struct disk *disk, const char *path, uint8_t into[SMALL_FILE_BYTES_MAX],
                            struct bytes *out_bytes) MUST_CHECK;

/* Of files that begin with a magic, a CRC32C and, at byte 8, their version, and that are filled up with zeros: how much of a later version counts is
 * not known here, so its CRC covers all that is behind it, the zeros too. True: it is such a one, and not rot. The caller knows the magic. */
bool small_file_is_later(struct bytes bytes, uint8_t version);

#endif
