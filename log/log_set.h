/* All logs of one broker: its journal, its segments, its tables, and the two kinds of loop that block for them.
 *
 * Opening recovers everything: the newest checkpoint (the store; if that is damaged, the newest good dump), then the journal after it.
 * What was accepted and is not flushed is flushed or carried into a fresh journal file before log_set_open() returns, so that
 * what is acknowledged from then on stands on bytes that were synced by this process.
 *
 * Layout of the data directory:
 *   identity            who this is: checksummed, written once, two copies (identity, identity.copy)
 *   founding            until there is one: who this is going to be (log/identity.h)
 *   lineage             which processes went on from where (log/lineage.h), two copies
 *   seen                what this broker has seen of others (replication/peer_memory.h)
 *   journal/<seq>       the ring
 *   store.mdb           LMDB (and its lock)
 *   dump/<generation>   checksummed copies of the tables that cannot be derived, the newest two
 *   p/<group>-<instance>/<first index>.segment
 *
 * Tables of the store (log/tables.h): identity, group (instance, hard state, start, flushed index, open segment and its length,
 * settings), segment (first and last index and offset, size, greatest time, sealed), index (sparse offset -> segment and
 * position), state (the owner's snapshot and the index it covers).
 *
 * The checkpoint runs on a loop of its own, when the journal is a quarter full, when asked, and every `checkpoint_interval_ms`
 * while anything waits. Order: segment writes and syncs, directory syncs, one store transaction, a synced CHECKPOINT frame, only
 * then journal_release() and the removal of files that the transaction no longer names. A failed step leaves the checkpoint
 * before it in force and is tried again (no space) or fences the set (I/O error on a store or journal).
 */
#ifndef CAIRN_LOG_LOG_SET_H
#define CAIRN_LOG_LOG_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/status.h"
#include "base/world.h"
#include "log/journal.h"
#include "log/log.h"

#define LOG_ID_SIZE 16u
#define LOG_FOUNDERS_MAX 7u  /* as many voters as a group may have */
#define LOG_ADDRESS_SIZE 64u /* HOST:PORT with its NUL */

/* A broker that founded the cluster: from the first on a member of group 0. */
struct log_founder {
  uint32_t broker_id;
  uint8_t incarnation[LOG_ID_SIZE];
  char address[LOG_ADDRESS_SIZE]; /* where other brokers reached it then; "": it founded alone */
};

/* Written when a directory is formatted, never changed. Without a byte that is not named: compared as memory. */
struct log_identity {
  uint8_t cluster[LOG_ID_SIZE];
  uint8_t incarnation[LOG_ID_SIZE];
  uint32_t broker_id;
  uint32_t founder_count;                        /* 0: of a directory that belongs to no cluster yet */
  struct log_founder founders[LOG_FOUNDERS_MAX]; /* by broker id */
};

struct log_set_report {
  bool fresh;         /* the directory was empty but for an identity: nothing was recovered */
  bool store_rebuilt; /* from a dump, the segments and the journal */
  bool doubt;         /* the journal lost something to rot, now or before an earlier start had settled: log_set_settle() */
  uint32_t damaged_logs;
  uint64_t recovered_logs;
  uint64_t recovered_bytes;
  uint64_t recovery_ms;
  struct journal_report journal;
};

struct log_set_options {
  struct journal_options journal;
  uint64_t tail_bytes;             /* tail cache: 64 MiB */
  uint64_t store_bytes_max;        /* LMDB's fixed map: 16 GiB of address space */
  uint64_t disk_reserve_bytes;     /* appends stop when less than this, plus what waits for a checkpoint, is free: 64 MiB */
  uint32_t readers;                /* loops that read cold data: 2 */
  uint32_t checkpoint_interval_ms; /* 60,000 */
  struct account *account;         /* blobs read back are charged here */
  /* Asked once, on the opening thread, when everything was read and judged and nothing of the journal, the segments or the store was changed
   * yet. Another answer than OK ends the opening with it; the reason goes into `out_reason`. NULL: it may. */
  enum status (*may_go_on)(void *context, const struct log_identity *identity, const struct log_set_report *report,
                           struct buffer *out_reason);
  void *may_context;
};

struct log_set;

/* Looks, and touches nothing: may this directory be a broker's? STATUS_FOREIGN: it is not empty and holds nothing of Cairn. For whoever wants
 * to know before taking a lock in it. */
enum status log_set_survey(struct disk *disk) MUST_CHECK;
/* The same, and whether it is a broker's already: an identity was written, or anything behind it. */
enum status log_set_formatted(struct disk *disk, bool *out_formatted) MUST_CHECK;

/* So many files may be open at once: the ring, what the readers keep, and what a checkpoint or a recovery works on. */
uint64_t log_set_files_max(const struct log_set_options *options);

/* `format`: the identity to write when the directory is empty; without founders, it founds alone. On a directory that has one it is ignored,
 * and `out_identity` tells who it is. STATUS_FOREIGN: not empty and not ours, or the identity is gone (the message is traced and in `out_reason`). */
enum status log_set_open(struct world *world, const struct log_set_options *options, const struct log_identity *format,
                         struct log_set **out_set, struct log_identity *out_identity, struct log_set_report *out_report,
                         struct buffer *out_reason) MUST_CHECK;

/* @any-thread. The lanes are about to be stopped: nothing waits any more for room in the journal that may never come. What it refuses for that
 * fails its lane. NULL is fine. */
void log_set_hasten(struct log_set *set);

/* Takes a last checkpoint when `checkpoint`, stops the loops, frees all logs. After the lanes have stopped. NULL is fine. */
void log_set_close(struct log_set *set, bool checkpoint);

/* All logs, by group. Before the lanes run. */
void log_set_each(struct log_set *set, void (*visit)(void *context, struct log *log), void *context);

struct journal *log_set_journal(struct log_set *set);

/* A new, empty log, its OPEN frame in `write`. On the lane that will own it. PRE: this (group, instance) never existed. */
struct log *log_create(struct log_set *set, struct loop *lane, struct journal_write *write, group_id group, instance_id instance,
                       const struct log_settings *settings);
/* The same in place of one that rot has taken as a whole: empty and damaged, so that no later start makes it anew. Whoever has others to have
 * it from may open it, and put another instance in its place; nobody else does, and then any lane will do. */
struct log *log_create_lost(struct log_set *set, struct loop *lane, struct journal_write *write, group_id group,
                            instance_id instance, const struct log_settings *settings);
/* Gives a recovered log to its lane, before the lanes run. No journal file is recycled before the last one is given. */
void log_adopt(struct log *log, struct loop *lane);
/* Those that nobody opened: a lane keeps for them what the journal has of them. */
void log_set_adopt_rest(struct log_set *set, struct loop *lane);

/* @any-thread. May an entry with a payload of this many bytes be appended? Asks the journal, the disk and the checkpoint. STATUS_JOURNAL_FULL (also for
 * some ten milliseconds while more is appended than can be flushed: ask again), STATUS_DISK_FULL, STATUS_FENCED (after an I/O
 * error). OK takes the room: it comes back by itself. */
enum status log_set_admit(struct log_set *set, uint64_t payload_bytes) MUST_CHECK;
/* @any-thread. Would it be anything but the disk's lack of space that refused so many bytes now? Takes nothing. */
bool log_set_has_space(const struct log_set *set, uint64_t payload_bytes);
/* @any-thread. Gives it back when nothing was appended after all. */
void log_set_admit_undo(struct log_set *set, uint64_t payload_bytes);

/* @any-thread. All that may have gone with what the journal lost has been made anew, marked as lost, or is known not to have been here; what the
 * caller has made for it is on its lanes. The next round that stores all of that says so, and no later start doubts. */
void log_set_settle(struct log_set *set);

/* @any-thread. Runs a checkpoint soon; `done`, if not NULL, is posted to `loop` after it. */
void log_set_checkpoint(struct log_set *set, struct loop *loop, struct task *done);

#endif
