/* Recovery: the last checkpoint and the journal after it become images and unflushed entries; what may be flushed is flushed, the rest
 * goes to the head of the journal. Runs once, on the opening thread, before any loop of the set works.
 *
 * 1. Frames at or below what the store has are skipped; entries must follow each other by index, offset, term and chain link.
 * 2. A hole, which only rot can make, is kept as one: what is behind it is served, and the log is damaged.
 * 3. Nothing is removed because something fails to mention it: only a CLOSE frame or a tombstone removes files, and a good checkpoint
 *    what an unfinished one began behind it.
 */
#ifndef CAIRN_LOG_RECOVERY_H
#define CAIRN_LOG_RECOVERY_H

#include <stdbool.h>

#include "log/image.h"
#include "log/log_internal.h"

#define OPEN_FRAME_SIZE 32u
#define OPEN_FRAME_SPARE_SIZE 88u

/* The body of an OPEN frame. Version 1 ends after 32 bytes; version 2 is a spare's.
 *
 *   offset size                                        offset size
 *        0    1  version, 1 or 2                           40    8  index of the entry before the first, 0: none
 *        1    1  flags: 1 log_create_lost() made it        48    8  its term
 *        2    6  0                                         56    8  its chain link
 *        8    8  segment bytes                             64    8  its leader time, ms
 *       16    8  retention, bytes                          72    8  offset of the first record to come
 *       24    8  retention, ms                             80    8  greatest time of any record before, ms
 *       32    8  the instance that it is to replace
 */
struct open_frame {
  struct log_settings settings;
  bool lost;
  instance_id replaces; /* 0: none; then nothing comes before it */
  struct log_base base;
};
uint32_t open_frame_encode(const struct open_frame *frame, uint8_t out[OPEN_FRAME_SPARE_SIZE]); /* returns its size */
enum status open_frame_decode(struct bytes body, struct open_frame *out_frame) MUST_CHECK;

/* An unflushed stretch of one log, as the journal tells it. */
struct recovered {
  struct image *image;
  struct flush_entry *entries; /* from image->row.flushed_index + 1 on; lost: a hole */
  size_t count;
  size_t capacity;
  bool closed;
  bool told;       /* by a frame */
  bool mentioned;  /* by a frame, also where it was known to be closed */
  bool files_left; /* of it that should have gone */
  bool damaged;
  entry_index damage_through; /* log_view.damage_through, but for what is there */
  bool state_read;
  struct buffer state;
};
/* Entries were lost, none of them above `through`. UINT64_MAX: it cannot be told. */
void recovered_damage(struct recovered *log, entry_index through);

struct recovery_losses {
  struct journal_loss *at;
  size_t count;
};

struct recovery {
  struct log_set *set;
  bool looks;       /* changes nothing on the disk: for whoever only wants to know what a start would find */
  bool owner_known; /* else, which only who looks goes on with, files are anybody's */
  struct log_set_report *report;
  struct map *logs;               /* of struct recovered, by group and instance */
  struct recovery_losses damage;  /* of the journal, to rot */
  struct recovery_losses dropped; /* taken for torn */
  const char *foreign;            /* what of the journal a newer Cairn wrote; NULL: nothing. Of this group: */
  group_id foreign_group;
  struct table_changes changes;
  struct table_changes forgotten;
  struct checkpoint_row newest_frame; /* CHECKPOINT */
  bool dump_owed;                     /* a log began or ended, and no dump knows */
  struct journal_write carried;
};

void recovery_init(struct recovery *recovery, struct log_set *set, struct log_set_report *report);
void recovery_deinit(struct recovery *recovery);
struct recovered *recovery_get(struct recovery *recovery, group_id group, instance_id instance, bool add);

/* Reads the store's tables. STATUS_CORRUPT: it cannot be believed. */
enum status recovery_load_store(struct recovery *recovery) MUST_CHECK;
/* rebuild.c: makes the tables anew, from the newest good dump and by scanning segments, into `changes`. */
enum status recovery_rebuild(struct recovery *recovery) MUST_CHECK;
void recovery_take_row(struct recovery *recovery, unsigned table, struct bytes key, struct bytes value, enum status *out_status);

/* Opens the journal and takes in what it tells. */
enum status recovery_scan_journal(struct recovery *recovery) MUST_CHECK;
/* What is of an earlier series than another log of its group was closed before that one began: where no frame says so any more, it was lost. */
void recovery_close_earlier(struct recovery *recovery);
/* Reads a dump, and takes nothing. STATUS_EXISTS: it is another broker's. STATUS_CORRUPT, STATUS_FOREIGN: as dump_read(). */
enum status recovery_check_dump(const struct recovery *recovery, uint64_t generation) MUST_CHECK;
/* The newest dump is of a newer Cairn: to make a store of an older one would be to lose what it knows. */
bool recovery_dump_is_foreign(const struct recovery *recovery);
/* Links entries up, judges damage. */
void recovery_judge(struct recovery *recovery);
/* Is what the journal lost there all the same, or not needed? */
bool recovery_is_harmless(struct recovery *recovery, const struct journal_loss *loss);
/* recovery_forget.c: which rows of logs that are gone nothing needs any more, into `forgotten`; before anything is recorded, or removed. */
void recovery_find_gone(struct recovery *recovery);
/* Takes them away, when all else is recorded. */
enum status recovery_forget_gone(struct recovery *recovery) MUST_CHECK;
/* Flushes, commits, and starts the journal. */
enum status recovery_finish(struct recovery *recovery) MUST_CHECK;
/* recovery_logs.c: makes the logs. */
void recovery_make_logs(struct recovery *recovery);

#endif
