/* A segment is one file with a run of a group's committed entries.
 *
 * A header block of 4 KiB, then encoded entries (entry.h) back to back. What one checkpoint wrote is filled up with zeros to the next
 * 4 KiB boundary, so that a block which was synced is never written again: a torn write can harm only what the journal still has.
 * The store records how long a segment is; bytes beyond that do not exist, whatever they look like.
 *
 * The header, little endian:
 *
 *   offset size
 *        0    4  magic "CRNS"
 *        4    4  CRC32C of bytes 8 .. 4095
 *        8    1  version, 1
 *        9    1  flags: 1 = the link before the first entry is known
 *       10    6  0
 *       16    8  group
 *       24    8  instance
 *       32    8  first index
 *       40    8  base offset of the first entry
 *       48    8  chain link before the first entry
 *       56    8  term of the entry before the first, 0: none or unknown
 *       64   16  owner: the incarnation of the broker that wrote it
 *       80 4016  0
 *
 * 1. Entries are consecutive: each index is the one before plus one, each chain link follows from the one before.
 * 2. A recorded length is a multiple of 4 KiB. A sealed segment never changes again; what rot takes of one may be put back (reader_mend.c).
 * 3. After a failed write or sync a file is never written again.
 *
 * Everything here blocks: checkpoint, readers, opening code.
 */
#ifndef CAIRN_LOG_SEGMENT_H
#define CAIRN_LOG_SEGMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/disk.h"
#include "log/entry.h"

#define SEGMENT_HEADER_SIZE 4096u
#define SEGMENT_OWNER_SIZE 16u
#define SEGMENT_CHUNK_BYTES (1u << 20) /* what a sequential read or write moves at once */

/* What the store's row says of a segment. Plain data. */
struct segment_info {
  entry_index first_index;
  entry_index last_index;
  record_offset first_offset;
  record_offset end_offset;
  uint64_t length; /* of the file, header included */
  uint64_t previous_chain;
  uint64_t last_chain;
  entry_term last_term;
  int64_t max_time_ms;    /* of its records */
  int64_t leader_time_ms; /* of its last entry */
  bool chained;           /* previous_chain is known: false only behind a hole */
  bool sealed;
  bool dropped; /* below the log's start: its file goes */
};

void segment_dir_path(char out[DISK_PATH_MAX], group_id group, instance_id instance);
void segment_path(char out[DISK_PATH_MAX], group_id group, instance_id instance, entry_index first_index);
/* The numbers in a name; false if it is not such a name. */
bool segment_dir_parse(const char *name, group_id *out_group, instance_id *out_instance);
bool segment_name_parse(const char *name, entry_index *out_first_index);

/* Removes the segments of a replica that begin above `index`, recorded or not; best effort. */
void segment_remove_above(struct disk *disk, group_id group, instance_id instance, entry_index index);
/* Its directory, and with it every segment that is left. */
enum status segment_remove_dir(struct disk *disk, group_id group, instance_id instance) MUST_CHECK;

struct segment_header {
  group_id group;
  instance_id instance;
  entry_index first_index;
  record_offset base_offset;
  uint64_t previous_chain;
  entry_term previous_term;
  uint8_t owner[SEGMENT_OWNER_SIZE];
  bool chained;
};
void segment_header_encode(const struct segment_header *header, uint8_t out[SEGMENT_HEADER_SIZE]);
/* STATUS_CORRUPT, STATUS_FOREIGN (a version that this build does not know). */
enum status segment_header_decode(const uint8_t in[SEGMENT_HEADER_SIZE], struct segment_header *out_header) MUST_CHECK;

/* Is this open file what its name says, and this broker's? STATUS_FOREIGN: its header is whole and says something else: another file was
 * put in its place, and its entries follow each other just as well. STATUS_UNSUPPORTED: its header is whole and of a version that this build does
 * not know. A damaged header says nothing, and is no reason to refuse. `owner` NULL: any broker's. */
enum status segment_check_owner(struct disk_file *file, group_id group, instance_id instance, entry_index first_index,
                                const uint8_t *owner) MUST_CHECK;
/* What a reader makes of that: what should be there is not (NOT_FOUND), and is had from elsewhere; what a newer Cairn wrote cannot be read (IO), and
 * nothing of it is given up or put in its place. */
enum status segment_owner_trouble(enum status status);

/* ---- Writing ---- */

/* Writes past the page cache, from a buffer of its own: what is flushed is not what is read next, and must not push that out. */
struct segment_writer {
  struct disk_file *file; /* NULL: not open */
  struct segment_info info;
  size_t piece_bytes; /* written at once: SEGMENT_CHUNK_BYTES, or so many blocks that it can be divided by them; may change */
  uint8_t *buffer;    /* SEGMENT_CHUNK_BYTES, aligned */
  size_t buffered;
  uint64_t written; /* in the file */
};

/* A new file; one of that name that no row names is replaced. Makes the directory when `*out_made_dir`. */
enum status segment_create(struct disk *disk, const struct segment_header *header, struct segment_writer *out_writer,
                           bool *out_made_dir) MUST_CHECK;
/* An existing file, at its recorded length. STATUS_CORRUPT: the file is shorter. */
enum status segment_open_append(struct disk *disk, group_id group, instance_id instance, const struct segment_info *info,
                                struct segment_writer *out_writer) MUST_CHECK;
/* Adds entries at the end; they are written in pieces. PRE: payloads are in memory and indexes go on. Not durable. */
enum status segment_append(struct segment_writer *writer, const struct entry *entries, size_t count) MUST_CHECK;
/* Fills up the last block and syncs: now info is what the store may record. */
enum status segment_finish(struct segment_writer *writer) MUST_CHECK;
void segment_writer_close(struct segment_writer *writer);

/* ---- Reading ---- */

/* A place in a segment and what must come next there. `next_index` 0 and `chained` false: unknown, and not checked. */
struct segment_cursor {
  struct disk_file *file;
  struct account *account;
  size_t chunk_bytes; /* a read's size; larger for a larger entry */
  bool heads_only;    /* RECORDS payloads are neither read nor checked */
  uint64_t position;
  uint64_t limit; /* the recorded length */
  entry_index next_index;
  entry_index last_index; /* that has to come before the limit; 0: unknown */
  uint64_t chain;
  bool chained;
  bool skippable; /* after STATUS_CORRUPT: the head is whole, only the payload is not */
  uint64_t bad_size;
  record_offset bad_end;
  struct blob *chunk;
  size_t chunk_offset; /* in the blob: aligned memory, so that a read may pass the page cache */
  uint64_t chunk_position;
  size_t chunk_size;
};

void segment_cursor_init(struct segment_cursor *cursor, struct disk_file *file, const struct segment_info *info,
                         struct account *account, size_t chunk_bytes);
void segment_cursor_deinit(struct segment_cursor *cursor);
/* The entry at the cursor, checked: head, payload, index, chain. Its payload is a part of the chunk (empty with heads_only).
 * STATUS_END at the limit, with the last index seen. STATUS_CORRUPT: the cursor stays; STATUS_IO, STATUS_NO_MEMORY. */
enum status segment_cursor_next(struct segment_cursor *cursor, struct entry *out_entry) MUST_CHECK;
/* Is the next entry in memory already? */
bool segment_cursor_ready(const struct segment_cursor *cursor);
/* Has the next bytes in memory. A failure shows when they are asked for. */
void segment_cursor_prefetch(struct segment_cursor *cursor);
/* After STATUS_CORRUPT with `skippable`: steps over the entry. */
void segment_cursor_skip(struct segment_cursor *cursor);

/* Where entries are known to stand: an index row, or the end of the segment. */
struct segment_anchor {
  uint64_t position;
  entry_index index; /* of the entry that stands there, or would */
  uint64_t chain;    /* the link before it */
  record_offset offset;
};
/* After STATUS_CORRUPT: moves to the next entry whose successors lead, link by link, to the anchor; else to the anchor itself.
 * A payload that looks like an entry cannot pass. */
enum status segment_resync(struct segment_cursor *cursor, const struct segment_anchor *anchor) MUST_CHECK;

#endif
