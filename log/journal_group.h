/* Putting one group together: which frames fit, then their bytes. Memory only; journal_pack.c writes what comes out. Internal to log/.
 *
 * The size of the directory must be known before the first body is placed, so a group is planned first and filled afterwards.
 */
#ifndef CAIRN_LOG_JOURNAL_GROUP_H
#define CAIRN_LOG_JOURNAL_GROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "log/journal.h"
#include "log/journal_format.h"

/* A frame, or the part of one that goes into this group. */
struct journal_part {
  const struct journal_frame *frame;
  uint32_t start;
  uint32_t size;
};

struct journal_group {
  uint8_t *memory; /* aligned for direct I/O */
  uint32_t bytes_max;
  uint32_t limit; /* of this group: bytes_max, or what is left of the file */
  uint32_t size;  /* head, directory and bodies planned so far */
  uint32_t rows;
  uint32_t frames;            /* rows that are no table */
  struct journal_part *parts; /* JOURNAL_GROUP_ROWS_MAX */
};

void journal_group_init(struct journal_group *group, uint32_t bytes_max);
void journal_group_deinit(struct journal_group *group);
void journal_group_begin(struct journal_group *group, uint64_t limit);

static inline uint64_t journal_frame_body_size(const struct journal_frame *frame) {
  return frame->head_size + (uint64_t)frame->payload.bytes.size;
}

/* Plans as much of the frame's body, from `start` on, as belongs into this group; returns the bytes taken in `out_taken`. False when the
 * group is full: nothing was taken. A body is split only if no group could hold it whole. Keeps the pointer until sealed. */
bool journal_group_add(struct journal_group *group, const struct journal_frame *frame, uint64_t start, uint64_t *out_taken);

/* Writes directory, bodies, padding and head; fills in size, rows and hash of `head`. Returns what is to be written: whole blocks. */
struct bytes journal_group_seal(struct journal_group *group, const struct journal_file_head *file,
                                struct journal_group_head *head);

#endif
