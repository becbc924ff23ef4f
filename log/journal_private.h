/* What struct journal is made of. For journal_pack.c, which puts groups together and writes them, journal.c, which says when, journal_start.c,
 * which begins, and journal_read.c. */
#ifndef CAIRN_LOG_JOURNAL_PRIVATE_H
#define CAIRN_LOG_JOURNAL_PRIVATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/world.h"
#include "log/journal.h"
#include "log/journal_group.h"
#include "log/journal_ring.h"
#include "log/journal_states.h"

/* The writes that wait, in the order of submission, and how far they are packed into groups. */
struct journal_queue {
  struct journal_write *first; /* not answered yet */
  struct journal_write *last;
  struct journal_write *packing; /* the first one that is not wholly in a group; NULL: none */
  size_t frame;                  /* of `packing`: the next to be packed ... */
  uint64_t start;                /* ... from this byte of its body on */
};

struct journal {
  /* Set when it was made. */
  struct world *world;
  uint64_t idle_close_ns;
  uint32_t files_ready;
  uint64_t disk_reserve_bytes;
  const atomic_uint_fast64_t *claimed_bytes;
  void (*room_wanted)(void *context);
  void *room_context;
  struct loop *loop; /* NULL until started */

  /* The loop's own. */
  struct journal_ring ring;
  struct journal_states *states;
  struct journal_group group; /* being put together */
  struct journal_queue queue;
  struct buffer table;
  uint64_t sequence;             /* of the newest group written */
  uint64_t hash;                 /* of that group */
  uint64_t frames;               /* in all groups up to that one, tables not counted */
  uint64_t file_first;           /* first group of the current file */
  uint32_t carry_flags;          /* of the groups that a start writes */
  uint32_t start_files_max;      /* while there is no loop: so many files may there be */
  uint64_t group_supersedes;     /* what counts in found files below is carried, in groups up to the one being put together ... */
  uint64_t superseded_below;     /* ... and durably */
  struct journal_write *carried; /* by a start that is under way; NULL: nothing */
  struct loop *carried_owner;
  bool carry_done;
  bool closed_group; /* the newest group is a closing one, or there is none to close */
  bool closing;
  bool stalled;  /* no file to write into; waits for a job, for room on the disk or for a release */
  bool held;     /* the next file is of the reserve: whoever can make room was asked to ... */
  bool tried;    /* ... and has, or took too long */
  bool hastened; /* waits for nobody any more, nor for long */
  bool again_posted;
  bool broken; /* a write or sync failed: nothing is written any more */
  uint64_t last_write_ns;
  struct timer idle_timer;
  struct timer space_timer; /* while it is set no file is made */
  struct timer hold_timer;
  struct timer patience_timer; /* hastened and stalled: when it fires, waiting is over */
  struct task arrived;
  struct task again;
  struct task close_task;
  struct task release_task;
  struct task tried_task;
  struct task hasten_task;

  /* The helper's while `job_running`. */
  struct loop *helper; /* NULL before the start and when closing: jobs are run in place */
  struct journal_job job;
  bool job_running;
  struct task job_task; /* on the helper */
  struct task job_done; /* back on the loop */

  /* Any thread's. */
  _Atomic(struct task *) submitted; /* the newest; each points at the one before */
  _Atomic(uint64_t) admitted;       /* taken by appends that are not written yet */
  _Atomic(int64_t) room;            /* what they may take */
  _Atomic(uint64_t) lacking;        /* how much more there would be on a disk with space */
  _Atomic(uint64_t) reachable;      /* how much there would be if all files were released */
  _Atomic(uint64_t) release_below;
  atomic_bool release_posted;
  atomic_bool tried_posted;
  atomic_bool hasten_posted;
  atomic_bool hasten_done;
  atomic_bool waits;
  atomic_bool idle;
  atomic_bool failed;
  _Atomic(uint64_t) used_bytes;
  _Atomic(uint64_t) current_file;
  _Atomic(uint64_t) oldest_file;
  _Atomic(uint64_t) durable_group;
};

static inline struct journal_write *journal_write_of(struct task *task) { return container_of(task, struct journal_write, task); }

/* ---- Packing and writing (journal_pack.c): on the loop, or before there is one ---- */

/* Appends to the queue. */
void journal_queue_put(struct journal *journal, struct journal_write *write);

/* Writes the next group of what is queued, and answers what became durable. STATUS_END: nothing to write. STATUS_NO_SPACE: no file
 * to write into, just now. Else the journal is broken. */
enum status journal_write_next(struct journal *journal) MUST_CHECK;

/* Makes the next ready file the current one and writes its table. STATUS_NO_SPACE: none is ready, or room is waited for. */
enum status journal_next_file(struct journal *journal) MUST_CHECK;

/* Writes a group of nothing. */
enum status journal_write_closing(struct journal *journal) MUST_CHECK;

/* A group says which files are released, if there is a block for it; then they may be recycled. */
enum status journal_say_released(struct journal *journal) MUST_CHECK;

/* Answers everything that waits. */
void journal_answer_all(struct journal *journal, enum status status);

/* Nothing is written any more, and everything is answered STATUS_IO, which this returns. */
enum status journal_break_down(struct journal *journal);

/* ---- When, and with what room (journal.c) ---- */

/* Loop side, once started. */
void journal_loop_begin(struct journal *journal);

/* What must always be possible could fill the reserve before a checkpoint has even looked: it gets its turn for each file. True until it has
 * had it, or took too long. */
bool journal_has_to_wait_for_room(struct journal *journal);

/* What a file that is not wanted urgently has to leave free. */
uint64_t journal_keep_free(const struct journal *journal);

/* @any-thread. Room that was admitted and is written now, or is not going to be. */
void journal_give_back(struct journal *journal, uint64_t bytes);

/* Tells other threads how full it is. */
void journal_publish_usage(struct journal *journal);

#endif
