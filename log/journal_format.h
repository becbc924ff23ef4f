/* The journal's bytes: file head, group head, directory row, hard states. Internal to log/; docs/FORMATS.md has golden examples.
 *
 * All numbers are little endian. A file:
 *
 *     block 0            file head
 *     block 1 ..         groups, one behind the other, each from a 4 KiB boundary on; the rest is zeros or an earlier lap
 *     last block but one kept free for a closing group
 *     last block         copy of the file head
 *
 * The file head, one block. One of its two copies is whole after any crash: the copy is written first, the head after it.
 *
 *   offset size
 *        0    8  magic "CRNJRNL1"
 *        8    8  XXH3 of bytes 16 .. 4095, seeded with the magic
 *       16    8  sequence of the file
 *       24    8  salt: random, new in every lap; seeds every checksum below
 *       32    8  size of the file, bytes
 *       40   16  owner: the broker's incarnation
 *       56       zeros
 *
 * A group: its head, its directory (a row for each frame or part of a frame), then the bodies in the directory's order, without
 * gaps, then zeros up to the next boundary. The head:
 *
 *        0    4  magic "CRNG"
 *        4    4  version, 1
 *        8    8  hash: XXH3, seeded with the salt, of byte 16 up to the end of the directory
 *       16    8  sequence, from 1, dense over the journal's life
 *       24    8  predecessor: the hash of the group before; 0 before the first
 *       32    8  synced_through: the highest group known durable when this one was issued
 *       40    8  sequence of the file
 *       48    8  sequence of the first group of this file
 *       56    4  where it is in the file, in blocks
 *       60    4  size: head, directory and bodies, bytes
 *       64    4  rows in the directory
 *       68    4  flags (enum journal_group_flags)
 *       72    8  frames_before: how many rows that are no table all groups before it had; shows whether a lost group held any
 *       80    8  released_below: no frame in files below this sequence counts any more; only such files are ever recycled
 *
 * A directory row:
 *
 *        0    8  group
 *        8    8  instance
 *       16    8  first index
 *       24    4  size of this part, bytes
 *       28    4  size of the whole body, bytes
 *       32    4  start of this part in the whole body; 0: the frame begins here
 *       36    4  crc: CRC32C of this part, starting from the file's seed
 *       40    4  kind (enum frame_kind)
 *       44    4  zeros
 *
 * A hard state, the body of a HARD_STATE frame; and a table, the body of a TABLE frame: a count (u64), then rows:
 *
 *        0    8  term                        0    8  group
 *        8    8  commit                      8    8  instance
 *       16    4  vote                       16   24  hard state
 *       20    4  zeros
 */
#ifndef CAIRN_LOG_JOURNAL_FORMAT_H
#define CAIRN_LOG_JOURNAL_FORMAT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/disk.h"
#include "base/status.h"
#include "log/journal.h"

#define JOURNAL_BLOCK DISK_BLOCK_SIZE
#define JOURNAL_GROUP_HEAD_SIZE 88u
#define JOURNAL_ROW_SIZE 48u
#define JOURNAL_GROUP_ROWS_MAX 4096u
#define JOURNAL_GROUP_BYTES_MAX (64u << 20)
#define JOURNAL_BODY_MAX (256u << 20) /* of one frame: far more than an entry; a table of 6 million rows */
#define JOURNAL_HARD_STATE_SIZE 24u
#define JOURNAL_TABLE_ROW_SIZE 40u
#define JOURNAL_TABLE_HEAD_SIZE 8u
#define JOURNAL_TABLE_SHARE 4u /* of a file, one in so many bytes may be its table */

static inline uint64_t journal_round_up(uint64_t size) { return (size + JOURNAL_BLOCK - 1) & ~(uint64_t)(JOURNAL_BLOCK - 1); }

struct journal_file_head {
  uint64_t sequence;
  uint64_t salt;
  uint64_t size;
  uint8_t owner[JOURNAL_OWNER_SIZE];
};

void journal_file_head_encode(const struct journal_file_head *head, uint8_t out[JOURNAL_BLOCK]);
/* STATUS_END: nothing but zeros. STATUS_CORRUPT. STATUS_FOREIGN: whole, but from a newer build. */
enum status journal_file_head_decode(const uint8_t in[JOURNAL_BLOCK], struct journal_file_head *out_head) MUST_CHECK;

/* Where groups may lie in a file of this size: from the first block to (not including) this offset. */
static inline uint64_t journal_groups_end(uint64_t file_size) { return file_size - JOURNAL_BLOCK; }

enum journal_group_flags {
  GROUP_CARRIED = 1 << 0,      /* written by journal_start(): counts only together with all of its kind around it ... */
  GROUP_CARRY_BEGINS = 1 << 1, /* ... from this one ... */
  GROUP_CARRY_ENDS = 1 << 2    /* ... to this one */
};

struct journal_group_head {
  uint64_t hash;
  uint64_t sequence;
  uint64_t predecessor;
  uint64_t synced_through;
  uint64_t file;
  uint64_t file_first;
  uint64_t frames_before;
  uint64_t released_below;
  uint32_t block;
  uint32_t size;
  uint32_t rows;
  uint32_t flags;
};

/* Writes the head in front of a directory that is in place, and fills in head->hash. */
void journal_group_head_seal(struct journal_group_head *head, uint64_t salt, uint8_t *group);
/* `group`: what was read of it, at least head and directory. STATUS_CORRUPT: not a whole head and directory of this file at this
 * block; or beyond what was read. */
enum status journal_group_head_decode(struct bytes group, const struct journal_file_head *file, uint32_t block,
                                      struct journal_group_head *out_head) MUST_CHECK;
/* Is it at least meant to be one of this file at this block? Whatever else it says is not to be believed. */
bool journal_group_head_resembles(const uint8_t head[JOURNAL_GROUP_HEAD_SIZE], const struct journal_file_head *file,
                                  uint32_t block);
/* The bytes of head and directory, as the head claims; 0 when it cannot be a head. */
size_t journal_group_directory_end(const uint8_t head[JOURNAL_GROUP_HEAD_SIZE]);

struct journal_row {
  group_id group;
  instance_id instance;
  entry_index first_index;
  uint32_t size;
  uint32_t total;
  uint32_t start;
  uint32_t crc;
  enum frame_kind kind;
};

void journal_row_encode(const struct journal_row *row, uint8_t out[JOURNAL_ROW_SIZE]);
struct journal_row journal_row_decode(const uint8_t in[JOURNAL_ROW_SIZE]);

/* What body CRCs of a file start from. */
uint32_t journal_crc_seed(const struct journal_file_head *file);

void journal_hard_state_encode(const struct hard_state *state, uint8_t out[JOURNAL_HARD_STATE_SIZE]);

struct journal_table_row {
  group_id group;
  instance_id instance;
  struct hard_state state;
};
void journal_table_row_encode(const struct journal_table_row *row, uint8_t out[JOURNAL_TABLE_ROW_SIZE]);
struct journal_table_row journal_table_row_decode(const uint8_t in[JOURNAL_TABLE_ROW_SIZE]);

#endif
