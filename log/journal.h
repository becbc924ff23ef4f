/* The journal: a broker's one durable write path.
 *
 * Everything that must survive a crash is a frame in it: a partition's entries, a suffix cut, a term and vote, the founding
 * and the end of a replica, a checkpoint. All groups share it, so one sync makes everything that gathered meanwhile durable:
 * the cost of durability does not grow with the number of partitions. Segments and the store are its checkpointed image.
 *
 * It is a ring of files `journal/<sequence, 20 digits>`, zero-filled once, then recycled under new names: overwriting allocated
 * blocks is what makes a sync cheap. A file begins with a header block (magic, version, sequence, a random secret salt, broker
 * identity), written and synced before the file is used; then come groups.
 *
 * A journal group is what one sync covers: at most `group_bytes_max`, starting on a 4 KiB boundary, its blocks never rewritten in
 * the same lap. Its header has its sequence (dense over the journal's life), the hash of its predecessor, `synced_through` (the
 * highest group known durable when it was issued), and a directory of its frames (group, instance, kind, indexes, length, CRC)
 * under a checksum of its own, so that damage to a body can be attributed. Salt and file sequence seed every checksum: neither a frame
 * of an earlier lap nor a payload that looks like a frame can pass. A body larger than a group continues in the next groups
 * and counts only whole. The first group(s) of a file are the table of every live replica's newest hard state.
 *
 * Torn or rotten. Scanning stops being simple at the first bad group n:
 *   rotten   a later valid group, or the checkpoint, says synced_through >= n: it was durable once. Its frames are lost; the groups they
 *            belonged to are reported as damaged (by the directory if that is whole, else every group that may have had a
 *            frame there), and everything valid after it is used.
 *   torn     otherwise: n and all behind it were never acknowledged; dropped, and said. Rot in the last group of all looks the same.
 *
 * 1. A write is answered OK only after its groups, and all before them, are durable.
 * 2. Answers come in the order of submission.
 * 3. After a failed write or sync nothing is written again and every write is answered STATUS_IO, until the process starts anew.
 * 4. A file is recycled only when no frame in it is needed (journal_release) and two newer files hold valid tables.
 *
 * Owned by its own loop (LOOP_MAY_BLOCK); the functions marked @any-thread only post to it or read atomics.
 */
#ifndef CAIRN_LOG_JOURNAL_H
#define CAIRN_LOG_JOURNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/status.h"
#include "base/world.h"
#include "log/entry.h"

#define JOURNAL_OWNER_SIZE 16u

/* Sizes are rounded down to blocks; a ring has at least five files, a file room for at least four groups. */
struct journal_options {
  uint8_t owner
      [JOURNAL_OWNER_SIZE]; /* the broker's incarnation: files of another owner are STATUS_FOREIGN; zeros: whoever only looks */
  uint64_t ring_bytes;      /* 512 MiB: when this much is not checkpointed, appends are refused */
  uint64_t file_bytes;      /* 64 MiB */
  uint32_t group_bytes_max; /* 1 MiB */
  uint32_t files_ready;     /* zero-filled before journal_start() returns: 2; the rest behind */
  uint32_t idle_close_ms;   /* an idle journal writes a small closing group after this long: 20 */
  /* Files are made only while both stay free on the disk, except the first of a start and those that all stands still for. */
  uint64_t disk_reserve_bytes;
  const atomic_uint_fast64_t *claimed_bytes; /* what others are about to write; NULL: nothing */
  /* Called on the journal's loop before it takes a file of the reserve, which then waits a while for journal_room_tried(). NULL: it does not. */
  void (*room_wanted)(void *context);
  void *room_context;
};

/* On disk: numbers are never given a new meaning. */
enum frame_kind {
  FRAME_ENTRY = 1,      /* an encoded entry head and its payload */
  FRAME_CUT = 2,        /* entries from first_index on are void */
  FRAME_HARD_STATE = 3, /* struct hard_state */
  FRAME_OPEN = 4,       /* this replica exists from here on; body: its identity, see log.h */
  FRAME_CLOSE = 5,      /* and no longer from here on */
  FRAME_CHECKPOINT = 6, /* group 0; body: what was checkpointed, see checkpoint.h */
  FRAME_TABLE = 7       /* at the start of a file: hard states of all live replicas */
};

/* What a voter must never forget. Carried by HARD_STATE frames, the table of each file, and the store. */
struct hard_state {
  entry_term term;
  uint32_t vote;      /* broker id; 0: none in this term */
  entry_index commit; /* durable lower bound of what is committed */
};

/* Where a frame is. Valid until the file is recycled; journal_read_entry() notices. */
struct journal_place {
  uint64_t file;   /* sequence of the file; 0: nowhere */
  uint64_t offset; /* of its group in the file */
  uint32_t slot;   /* in the group's directory */
};

#define JOURNAL_FRAME_HEAD_MAX 128u

struct journal_frame {
  group_id group;
  instance_id instance;
  enum frame_kind kind;
  bool from_reserve;       /* an ENTRY for which journal_admit() was not asked: writing it gives no room back */
  entry_index first_index; /* ENTRY: the index. CUT: the first void one. Else 0. */
  uint64_t supersedes; /* of what journal_carry() carries: with it all that counts in files below this one is carried; else 0 */
  uint32_t head_size;
  uint8_t head[JOURNAL_FRAME_HEAD_MAX]; /* the body is the head ... */
  struct blob_part payload;             /* ... and this behind it; the write holds it */
  struct journal_place place;           /* filled in before `done` */
  void *owner;                          /* the submitter's; the journal does not look */
};

/* One turn of a lane: frames that become durable together. Reused by its owner once `done` has run. */
struct journal_write {
  struct task task;   /* the journal's: its place in the queue */
  struct loop *loop;  /* where `done` is posted */
  struct task done;   /* set by the owner */
  enum status status; /* STATUS_OK: durable. Else nothing of it counts as durable, and it may yet be found after a restart. */
  struct journal_frame *frames;
  size_t count;
  size_t capacity;
  uint64_t bytes; /* of all bodies */
};

void journal_write_init(struct journal_write *write, struct loop *loop, void (*done)(struct task *task));
void journal_write_deinit(struct journal_write *write);
/* A new frame at the end, zeroed. Valid until the next add. */
struct journal_frame *journal_write_add(struct journal_write *write, group_id group, instance_id instance, enum frame_kind kind);
void journal_write_add_hard_state(struct journal_write *write, group_id group, instance_id instance,
                                  const struct hard_state *state);
void journal_write_reset(struct journal_write *write); /* releases payloads, keeps memory */

/* The body of a HARD_STATE frame. STATUS_CORRUPT: it is none. */
enum status journal_hard_state_decode(struct bytes body, struct hard_state *out_state) MUST_CHECK;

/* ---- Opening ---- */

/* A frame found by the scan, in journal order. Borrowed. */
struct journal_found {
  group_id group;
  instance_id instance;
  enum frame_kind kind;
  entry_index first_index;
  struct bytes body; /* whole, checked */
  struct journal_place place;
};

/* A frame that is there no more, or does not count. Plain data. */
struct journal_loss {
  bool known; /* whose it was; else only the place is told, and every replica may have lost some */
  group_id group;
  instance_id instance;
  enum frame_kind kind;
  entry_index first_index;
  entry_index last_index; /* the same, until neighbours are merged */
  record_offset first_offset;
  record_offset end_offset;   /* the same: none, or they cannot be read */
  struct journal_place place; /* of its group, or, where that cannot be seen, of the one behind it; file 0: none is */
};
/* Makes one of each stretch of a log's entries in one group. Returns how many are left. */
size_t journal_losses_merge(struct journal_loss *losses, size_t count);

/* What the scan tells. A table's rows are told as HARD_STATE frames, before the file's other frames. */
struct journal_replay {
  void (*found)(void *context, const struct journal_found *frame);
  void (*damaged)(void *context, const struct journal_loss *loss); /* lost to rot */
  /* Taken for torn at the end, and dropped: never acknowledged, unless it was rot that hit the very end, which looks the same. NULL: not
   * told. */
  void (*dropped)(void *context, const struct journal_loss *loss);
  void *context;
};

struct journal_report {
  uint64_t files;
  uint64_t groups;
  uint64_t frames;
  uint64_t bytes;
  uint64_t torn_groups;   /* dropped at the end */
  uint64_t rotten_groups; /* lost in the middle */
  uint64_t last_group;    /* sequence */
  bool empty;             /* no journal file at all */
};

struct journal;

/* Scans the ring, past the page cache, tells what it found, and syncs it. Changes nothing on disk. `durable_through`: the highest group that the
 * last known checkpoint calls durable (0: unknown). STATUS_FOREIGN, STATUS_IO. */
enum status journal_open(struct world *world, const struct journal_options *options, uint64_t durable_through,
                         const struct journal_replay *replay, struct journal **out_journal,
                         struct journal_report *out_report) MUST_CHECK;

/* The first half of a start, which writes what was accepted and is not checkpointed once more, so that the found files can go, and many starts
 * in a row need no more room than one. In a fresh file after all that were found: `carried`, or as much of it as there are
 * files for, synced before this returns. It counts only as a whole. Found files stay as they are, and are released as far as the
 * frames say (`supersedes`). Takes `carried` until journal_start() has returned; nobody is told. Blocks. STATUS_NO_SPACE: no file can be
 * had, and none of those found would become free.
 *
 * From here on new files alone have what was carried: whoever can should note journal_usage().durable_group before the second half. */
enum status journal_carry(struct journal *journal, struct journal_write *carried) MUST_CHECK;

/* The second half: recycles what was superseded, carries the rest, file for file, and takes what is submitted. Without a first half nothing is
 * carried, and the files found stay until released. Blocks. */
enum status journal_start(struct journal *journal) MUST_CHECK;

/* Waits for what was submitted, writes a closing group, stops the loop, frees. Also without start. NULL is fine. */
void journal_close(struct journal *journal);

/* ---- Use ---- */

/* @any-thread. Takes the write until its `done` runs. Empty writes are answered like others, after all before them. */
void journal_submit(struct journal *journal, struct journal_write *write);

/* @any-thread. Appends are admitted before they are proposed: takes `bytes` of the ring's room, which journal_release() gives back
 * with the file that they end up in. STATUS_JOURNAL_FULL, STATUS_DISK_FULL (files cannot be made for want of space), STATUS_IO (failed). Three
 * files are kept: two for what must always be possible (hard states, cuts, trims, re-appends, checkpoints; those need no admission), and one,
 * into which nothing is written at all, for the next start.
 * Everything written, what was admitted has come back; after a failure, which is all there is to say then, the account says nothing. */
enum status journal_admit(struct journal *journal, uint64_t bytes) MUST_CHECK;
/* @any-thread. What it would say, and takes nothing. */
enum status journal_would_admit(const struct journal *journal, uint64_t bytes) MUST_CHECK;
/* @any-thread. The cost in room of a frame with a body of this size; what journal_admit() should be asked for. */
uint64_t journal_cost(uint64_t body_bytes);
/* @any-thread. Gives back admitted room whose frames were never submitted. */
void journal_admit_undo(struct journal *journal, uint64_t bytes);

/* @any-thread. Every file begins with a table of all live replicas: as many as may be opened, so that it leaves three quarters of a file
 * to what comes after it. A journal that finds more when it is opened makes larger files. */
uint64_t journal_replicas_max(const struct journal *journal);

/* @any-thread. No frame in files below `file` is needed any more: they may be recycled. */
void journal_release(struct journal *journal, uint64_t file);

/* @any-thread. Whoever was asked for room has released what could be released. */
void journal_room_tried(struct journal *journal);

/* @any-thread that may block. The process is about to end: from its return on nobody is asked for room, and what finds no file to be written into
 * for a second is answered STATUS_DISK_FULL, and so is all that comes after it. */
void journal_hasten(struct journal *journal);

/* @any-thread. How full: bytes written and not released, and the whole ring; sequence of the file being written, of the oldest one not
 * released, and of the newest durable group. */
struct journal_usage {
  uint64_t used_bytes;
  uint64_t ring_bytes;
  uint64_t current_file;
  uint64_t oldest_file;
  uint64_t durable_group;
  uint64_t admitted_bytes; /* taken by appends that are not written yet */
  uint64_t space_taken;    /* of the disk, by files that were made or are being made, and ... */
  uint64_t space_filled;   /* ... how much of that is written: what is missing is going to be */
  bool waits;              /* for a file to write into */
  bool idle;               /* everything submitted is written, the closing group too: nothing comes by itself any more */
  bool failed;
};
struct journal_usage journal_usage(struct journal *journal);

/* @any-thread that may block. Reads an entry back, past the page cache. Checks everything. STATUS_NOT_FOUND: the file was recycled, look in
 * the segments. STATUS_CORRUPT. */
enum status journal_read_entry(struct journal *journal, struct journal_place place, group_id group, entry_index index,
                               struct account *account, struct entry *out_entry) MUST_CHECK;

#endif
