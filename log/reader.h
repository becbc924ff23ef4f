/* Cold reads: what is not in memory is fetched on a loop that may block.
 *
 * A lane describes what is wanted and where it must be (a segment as of now, or places in the journal) in a piece of work; a reader does it
 * with nothing else than that, the store's index and the files; the lane takes the result in. If a file went meanwhile the lane is told to
 * look again. Everything read is verified: head, payload, index, chain. Damage is bounded by the next entries that are whole.
 */
#ifndef CAIRN_LOG_READER_H
#define CAIRN_LOG_READER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "log/image.h"
#include "log/log.h"
#include "log/segment.h"

#define READER_FILES_MAX 16u /* segments that one reader keeps open */

struct log_set;
struct reader;

struct reader *reader_new(struct log_set *set, struct loop *loop);
void reader_free(struct reader *reader); /* after its loop stopped */
struct loop *reader_loop(struct reader *reader);

/* @any-thread: files were removed; what is open goes, and with it their space. */
void reader_forget_files(struct reader *reader);

enum reader_job { READER_SEGMENT, READER_JOURNAL, READER_TIME, READER_FETCH, READER_MEND, READER_FILL };

/* One read or search, from lane to reader and back. Made and freed on the lane. */
struct reader_work {
  struct task task;   /* on the reader's loop */
  struct task finish; /* on the lane's */
  struct loop *lane;
  struct reader *reader;
  struct log *log; /* the lane's; a reader does not touch it */
  enum reader_job job;
  group_id group;
  instance_id instance;
  unsigned tries;

  /* SEGMENT, FETCH, TIME: where. TIME: every segment that may hold it, and then entries that are in none. */
  struct segment_info *segments;
  size_t segment_count;
  /* JOURNAL, TIME */
  struct flush_entry *entries;
  size_t entry_count;

  record_offset offset; /* SEGMENT: first wanted. TIME: the log's start. */
  record_offset limit;
  size_t bytes_max;
  entry_index first; /* FETCH */
  entry_index last;
  size_t count_max;
  uint32_t cuts; /* of the log's when it was described */
  int64_t time_ms;
  struct log_cursor cursor;

  /* The answer. STATUS_NOT_FOUND: it went meanwhile, look again. */
  enum status status;
  record_offset next_offset;
  struct log_range damage;        /* with STATUS_DAMAGED */
  entry_index damaged_segment;    /* TIME, with STATUS_DAMAGED; 0: none */
  const struct flush_entry *lost; /* JOURNAL, TIME, with STATUS_DAMAGED: the one of `entries`; NULL: none */
  struct entry *found;
  size_t found_count;
  int64_t found_time_ms;

  struct log_read *read; /* whose it is */
  struct log_find *find;
  struct log_fetch *fetch;
  struct log_mend *mend;
};

/* From the lane: `finish` is posted back. */
void reader_submit(struct log_set *set, struct reader_work *work);
void reader_work_free(struct reader_work *work);

/* ---- For reader_find.c, reader_fetch.c, recovery and tests; on a loop that may block ---- */

/* Looks for the first record at or after work->time_ms. */
void reader_find_time(struct reader *reader, struct reader_work *work);
/* Takes entries of every kind from a segment, from work->first on. */
void reader_fetch(struct reader *reader, struct reader_work *work);
/* What log_mend_find() and log_mend_fill() ask for. */
void reader_mend_find(struct log_set *set, struct reader_work *work);
void reader_mend_fill(struct log_set *set, struct reader_work *work);
/* Where each entry of the hole is to begin; pure. False: they do not fit. */
bool reader_mend_lay_out(const struct log_mend *mend, uint64_t *begins);
/* A segment's file from the reader's few open ones. */
enum status reader_open(struct reader *reader, group_id group, instance_id instance, entry_index first_index,
                        struct disk_file **out_file) MUST_CHECK;
/* Behind a bad entry at the cursor: moves to the next good one. The damaged range ends at *out_end. */
enum status reader_pass_damage(struct log_set *set, group_id group, instance_id instance, const struct segment_info *segment,
                               struct segment_cursor *cursor, record_offset offset, record_offset *out_end) MUST_CHECK;
/* The set's store, unless it failed: then NULL, and everything is found by scanning. */
struct store *reader_store(struct log_set *set);
struct log_set *reader_set(struct reader *reader);

#endif
