/* The checkpoint: writes segments and tables behind the journal, then lets the journal recycle its files.
 *
 * Runs on a loop of its own. A round: every lane that has something gathers it (collect); then, in this order, segment writes and syncs,
 * directory syncs, one store transaction, the dump if it is due, a CHECKPOINT frame; then lanes are told (apply) and answer which journal
 * files they still need; then journal files are released and files that the transaction no longer names are removed.
 *
 * Lanes are asked, never posted to: they look at `log_lane.request` in their turns and on a timer of their own, so a lane may stop at any time.
 *
 * 1. Nothing is flushed beyond what is committed and covered by the owner's state of the same transaction, and no state covers what is
 *    neither in the journal, durably, nor flushed with it.
 * 2. A round that fails leaves the one before in force; the journal keeps everything.
 * 3. After STATUS_IO from the store or the journal the set is fenced: no further round.
 *
 * The body of a CHECKPOINT frame, little endian: version u8 (1), 7 zeros, sequence u64, durable journal group u64.
 */
#ifndef CAIRN_LOG_CHECKPOINT_H
#define CAIRN_LOG_CHECKPOINT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/loop.h"
#include "log/image.h"
#include "log/log_set.h"

#define CHECKPOINT_SMALL_BYTES 65536u    /* less than this is carried in the journal, not flushed */
#define CHECKPOINT_CARRY_MAX (16u << 20) /* bytes that all lanes append again in one round, at most */
#define CHECKPOINT_STAY_SHARE \
  8u /* of the ring: small tails that are together more than one part in so many would chase each other round it */
#define CHECKPOINT_DUMP_EVERY 16u         /* rounds */
#define CHECKPOINT_DELETED_NS 5000000000u /* of a log that was deleted the files go so soon after the round before, at least */
#define CHECKPOINT_FRAME_SIZE 24u

struct log_lane;

/* What a round wants of the lanes. */
struct checkpoint_request {
  bool everything;        /* flush small tails too */
  uint64_t release_below; /* journal files that should become free */
  uint64_t
      carry_below; /* of them those whose entries may be appended again: when room is short the oldest alone, so that it becomes free */
  uint64_t carry_max; /* bytes that one lane appends again */
  uint64_t stay_max;  /* bytes of small tails that one lane leaves to the journal */
};

/* What one log gives to a round, and what comes back to it. */
struct checkpoint_item {
  struct list_node node;
  struct log *log; /* for its lane alone, where it stays as long as a round has an item of it */
  group_id group;
  instance_id instance;
  struct group_row row; /* as it shall be stored, flushed_* as of the last entry given; owns terms */
  struct flush_entry *entries;
  size_t entry_count;
  struct log_base flushed; /* what the log had flushed before */
  bool flush;              /* entries go to segments and row.flushed_* holds */
  bool carry;              /* entries go to the head of the journal */
  bool row_given;          /* row is to be stored, whatever becomes of the entries */
  bool ahead;              /* the state covers entries that the journal may not have yet: flush them, or store nothing */
  struct buffer state;
  entry_index state_applied;
  bool has_state;
  bool state_owed; /* it is given for its own sake */
  /* The answer. */
  bool stored;                /* row, and entries if `flush`, are in the store's image */
  entry_index dumped_applied; /* what its state in the newest dump covers */
  enum status status;
  const struct flush_entry *lost; /* of `entries`: one that could not be read back; NULL: none */
  struct segment_info *segments;  /* a copy for the log */
  size_t segment_count;
};
void checkpoint_item_free(struct checkpoint_item *item); /* NULL is fine */

/* What a log should do in a round. Pure. */
enum checkpoint_plan { PLAN_NOTHING, PLAN_ROW, PLAN_FLUSH, PLAN_CARRY, PLAN_ROW_AND_CARRY };
struct checkpoint_facts {
  uint64_t flushable_bytes;
  uint64_t pinned_file;   /* oldest journal file it needs; UINT64_MAX: none */
  uint64_t carried_bytes; /* of this lane in this round already */
  uint64_t staying_bytes; /* of all small tails of this lane, less those that this round flushes */
  bool row_dirty;
  bool ahead;       /* the owner's state covers what is not durable yet: it is stored with that, or not at all */
  bool flush_waits; /* and a flush could not store all that it covers, just now */
};
enum checkpoint_plan checkpoint_plan(const struct checkpoint_facts *facts, const struct checkpoint_request *request);

/* Should a round begin? Pure. */
struct checkpoint_load {
  uint64_t unflushed_bytes;
  uint64_t tail_bytes; /* of them as many are in memory: what is flushed later has to be read back */
  uint64_t used_bytes; /* of the ring, ... */
  uint64_t ring_bytes; /* ... which has so many */
  bool pressed;        /* an append waits for room */
  bool short_of_space; /* on the disk: what was trimmed or deleted gives some back */
  bool deleted;        /* a log was, since the last round began: its files wait for the next one */
  uint64_t idle_ns;    /* since a round began */
  uint64_t interval_ns;
  bool failed;            /* the last round did, a moment ago */
  bool in_vain;           /* the last round moved nothing, a moment ago, ... */
  uint64_t in_vain_bytes; /* ... and left so much unflushed; 0: it moved something */
};
bool checkpoint_is_due(const struct checkpoint_load *load);

struct checkpoint;

struct checkpoint *checkpoint_new(struct log_set *set);
void checkpoint_free(struct checkpoint *checkpoint);

/* Begins to work: timers, rounds. After recovery, the images being complete. */
void checkpoint_start(struct checkpoint *checkpoint);
/* From outside, after the lanes stopped: one last round if asked, on the checkpoint's loop; then stops the loop. The frame may still be on its way
 * in the journal. */
void checkpoint_stop(struct checkpoint *checkpoint, bool last_round);

/* @any-thread. There may be a reason for a round: look. */
void checkpoint_kick(struct checkpoint *checkpoint);
/* @any-thread. A round soon; `done` is posted to `loop` after it. */
void checkpoint_request_round(struct checkpoint *checkpoint, struct loop *loop, struct task *done);
/* @any-thread: a lane has answered. */
void checkpoint_lane_answered(struct checkpoint *checkpoint);

void checkpoint_frame_body(uint8_t out[CHECKPOINT_FRAME_SIZE], const struct checkpoint_row *row);
enum status checkpoint_frame_decode(struct bytes body, struct checkpoint_row *out_row) MUST_CHECK;

#endif
