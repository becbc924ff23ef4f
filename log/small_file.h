/* A file that is written as a whole, and never in place: a crash leaves the one before or the new one. For what is small and changes seldom. */
#ifndef CAIRN_LOG_SMALL_FILE_H
#define CAIRN_LOG_SMALL_FILE_H

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

#endif
