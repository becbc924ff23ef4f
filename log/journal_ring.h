/* The files of the ring: made, zero-filled, recycled, taken away. Internal to log/; owned by the journal, used on its loop only.
 *
 *     made --> ready --> current --> used --> released --> recycled as a new ready one, or removed
 *
 * What takes long (filling, renaming, syncing a directory, which may wait for everything the file system has to write) is a job: planned on the
 * journal's loop, run wherever blocking is allowed, finished on the journal's loop again. One at a time.
 *
 * Names are hints: the head decides. A new file is filled as `unfinished`, synced, renamed, the directory synced, then its head is written and
 * synced. A recycled one is renamed, the directory synced, then its head is written and synced. Only then may a group go into it.
 *
 * 1. Sequences of ready files are dense and above all that are in use.
 * 2. Files are recycled oldest first, so what has not been recycled is the unbroken newest part of the journal.
 * 3. A file in use is recycled only when it was released, two newer files hold a table, and a durable group says so: a scan must not take what
 *    is left of the released ones for the beginning. Where no block is left to say it in, the file that is made of it says it in its table,
 *    which is the next group that there is.
 * 4. Blank files are recycled newest first: they may hold a start that did not finish, and what is left of it must be its beginning, which tells
 *    a scan where the journal went on. Its end alone looks like a journal that has lost everything before.
 */
#ifndef CAIRN_LOG_JOURNAL_RING_H
#define CAIRN_LOG_JOURNAL_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/disk.h"
#include "base/entropy.h"
#include "base/list.h"
#include "log/journal_format.h"

#define JOURNAL_DIRECTORY "journal"
/* Appends may use all but the reserve. With fewer they could fill that and leave no file that two newer ones allow to recycle. */
#define JOURNAL_FILES_MIN 5u
#define JOURNAL_FILES_EXTRA 4u /* beyond the nominal count, when everything is still needed */
#define JOURNAL_FILES_RESERVE \
  2u /* kept from appends, for what must always be possible: hard states, cuts, checkpoints, re-appends */
#define JOURNAL_FILES_START 1u /* kept ready from everything, for the next start: it frees the others one by one from there */

void journal_file_path(char into[DISK_PATH_MAX], uint64_t name);

struct journal_file {
  struct list_node node;
  struct journal_file_head head;
  uint64_t name;          /* the number in its name */
  uint64_t end;           /* behind its last group */
  struct disk_file *disk; /* open while it is ready or current */
  bool has_table;
  bool blank; /* holds nothing that counts */
};

struct journal_ring {
  struct disk *disk;
  struct entropy *entropy;
  uint8_t owner[JOURNAL_OWNER_SIZE];
  uint64_t file_bytes;
  uint32_t files_nominal;

  struct list used;  /* oldest first; the last one is the current one */
  struct list ready; /* in the order of sequences */
  uint32_t used_count;
  uint32_t ready_count;
  uint32_t in_job_count;   /* 1 while a job makes or recycles a file */
  uint64_t next_name;      /* of the next file that is made */
  uint64_t released_below; /* files below are not needed ... */
  uint64_t given_up_below; /* ... and a durable group says that these do not count */
  uint64_t start_file;     /* the first file of this process */
  bool short_of_space;     /* the last attempt to make a file ended so */

  /* Any thread may read them: see struct journal_usage. */
  atomic_uint_fast64_t space_taken;
  atomic_uint_fast64_t space_filled;
};

enum journal_job_kind { JOB_MAKE, JOB_RECYCLE, JOB_REMOVE };

struct journal_job {
  enum journal_job_kind kind;
  struct disk *disk;
  struct journal_file *file;    /* the job's until it is finished */
  uint64_t old_name;            /* RECYCLE, REMOVE */
  uint64_t keep_free;           /* MAKE: bytes of the disk that must be left; 0 unless the planner's caller sets it */
  atomic_uint_fast64_t *filled; /* MAKE: counts up with what is written */
  atomic_bool cancel;           /* MAKE: give up at the next step; set by whoever waits for it */
  enum status status;
};

void journal_ring_init(struct journal_ring *ring, struct disk *disk, struct entropy *entropy,
                       const struct journal_options *options);
void journal_ring_deinit(struct journal_ring *ring); /* closes files, writes nothing */

/* A file found by the scan; in the order of sequences. */
void journal_ring_adopt(struct journal_ring *ring, const struct journal_file *file);

/* Makes the directory, removes an unfinished file. Before the first job. Blocks. */
enum status journal_ring_prepare(struct journal_ring *ring) MUST_CHECK;

/* Decides what should be done next to have one more ready file, never making more than `files_max` in all. False: nothing. */
bool journal_ring_plan(struct journal_ring *ring, uint32_t files_max, struct journal_job *out_job);
/* @any-thread that may block. */
void journal_job_run(struct journal_job *job);
/* STATUS_NO_SPACE: try again later. STATUS_CANCELLED. Else the ring is not to be trusted. */
enum status journal_ring_finish(struct journal_ring *ring, struct journal_job *job) MUST_CHECK;

/* Is the next file one that is kept from appends? */
bool journal_ring_in_reserve(const struct journal_ring *ring);
/* May a process that runs take the next ready file? Not the last one, which is the next start's, unless another one becomes free by that. */
bool journal_ring_may_advance(const struct journal_ring *ring);
/* Makes the oldest ready file the current one. NULL: none is ready. Closes the one before. */
struct journal_file *journal_ring_advance(struct journal_ring *ring);
struct journal_file *journal_ring_current(const struct journal_ring *ring);

void journal_ring_release(struct journal_ring *ring, uint64_t below);
/* What the next group may say. */
uint64_t journal_ring_releasable(const struct journal_ring *ring);
/* Would that make a file free if the files below were released too? */
bool journal_ring_would_free(const struct journal_ring *ring, uint64_t below);
/* A group that says so is durable. */
void journal_ring_give_up(struct journal_ring *ring, uint64_t below);

struct journal_room {
  int64_t bytes;      /* that appends may still use: the nominal ring without what is in use, the reserve and the start's */
  uint64_t lacking;   /* how much more it would be if files could be made */
  uint64_t reachable; /* how much it would be if all that are there were released */
};
struct journal_room journal_ring_room(const struct journal_ring *ring);
/* Bytes in files that are in use and not released. */
uint64_t journal_ring_used_bytes(const struct journal_ring *ring);
/* The oldest file that is not released; 0: none. */
uint64_t journal_ring_oldest(const struct journal_ring *ring);

#endif
