/* What a leader knows of one follower, and how much it lets be under way to it.
 *
 *             +--------- rejected, reset, down ----------+
 *             v                                          |
 *   PROBE: one message at a time  -- acknowledged --> PIPELINE: as many as the window takes
 *      ^  |                                              |
 *      |  +---- what it needs is no longer in the trail -+--> CATCH_UP: the host ships log and state
 *      +------------ shipped, or failed ------------------------+
 *
 * The window bounds what was sent and not acknowledged, in messages and in bytes. It is given back on every path: acknowledged,
 * rejected, reset, down, caught up, no longer leader.
 *
 * While little is under way, few entries wait for the answer to it, raft_timing.gather_ns at most: what many clients append meanwhile costs
 * the follower one message and one sync, not one each. Behind much nothing waits: there the bytes have to flow.
 *
 * 1. match < next. match never goes back: not before the leadership ends.
 * 2. The window's bytes are the sum over its messages; it is empty whenever a probe begins.
 * 3. An answer to a message that was sent before `match` was learnt says nothing about the follower's log as it is now: only one with
 *    a sequence above `match_sequence` does (the message left after the leader knew of match).
 */
#ifndef CAIRN_REPLICATION_PROGRESS_H
#define CAIRN_REPLICATION_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "log/entry.h"

#define PROGRESS_MESSAGES_MAX 64u
#define PROGRESS_BYTES_MAX (8u << 20) /* one message may pass it: the first always fits */
#define PROGRESS_MESSAGE_BYTES_MAX (1u << 20)
#define PROGRESS_GATHER_ENTRIES 16u      /* so many do not wait */
#define PROGRESS_GATHER_BYTES (1u << 17) /* behind so many under way nothing waits */

enum progress_state { PROGRESS_PROBE, PROGRESS_PIPELINE, PROGRESS_CATCH_UP };

struct progress {
  enum progress_state state;
  bool alive;     /* the host vouches for its broker */
  bool gathering; /* the host was asked for an append and has not said yet what it sent */
  bool waiting;   /* PROBE: one is under way */
  bool nudge;     /* ask again where it stands, with an empty append */
  bool moved;     /* it acknowledged something since the last tick */
  bool suspect;   /* CATCH_UP, because it is damaged: what it acknowledged before does not count */
  bool reverted;  /* its log went back below match: the same, for good */
  bool reluctant; /* its broker had better not lead: leadership is not offered to it */
  bool unproven;  /* it does not know what it has promised: it is sent what it needs, and counts for nothing (raft_repair.c) */
  uint64_t forgotten_sequence; /* of the newest append when its disk had lost something: older answers are of another log */
  entry_index proof;           /* when others have committed this entry and it has it, it is as good as new; 0: to be proposed */
  uint64_t proof_sequence;     /* of the newest append when it was told so; 0: it was not */
  entry_index match;
  entry_index next;
  entry_index commit;      /* that it knows of */
  entry_index commit_sent; /* the newest that it was told */
  uint64_t sequence;       /* of the newest append to it */
  uint64_t asked_ns;       /* when the host was asked for it */
  uint64_t match_sequence;
  uint64_t heard_ns;                              /* when its last answer came; 0: never, or it is down */
  uint64_t read_id;                               /* the newest read attempt that it confirmed */
  entry_index window_last[PROGRESS_MESSAGES_MAX]; /* a ring */
  uint32_t window_bytes_each[PROGRESS_MESSAGES_MAX];
  uint32_t window_first;
  uint32_t window_count;
  uint64_t window_bytes;
};

/* `sequence`: the newest that this leadership has given to anybody. Answers to what was sent before, in an earlier membership, are old. */
void progress_init(struct progress *progress, entry_index next, uint64_t sequence, uint64_t now_ns);

/* Starts anew behind what it is known to have, or at `next` if that is later. Gives the window back. */
void progress_probe(struct progress *progress, entry_index next);
/* The host ships everything up to `through`; an acknowledgement of that goes on behind it. */
void progress_catch_up(struct progress *progress, entry_index through);
/* Nothing is known of it any more, not even match: its disk has lost what it had. */
void progress_forget(struct progress *progress, entry_index next);

/* May entries be sent to it, if there are any? */
bool progress_open(const struct progress *progress);
/* Should these entries, the last of which is `last`, wait for more? */
bool progress_gathers(const struct progress *progress, entry_index last);

/* The host was asked for message `sequence`. */
void progress_ask(struct progress *progress, uint64_t sequence, uint64_t now_ns);
/* It sent one, ending at `last`: the entry before its first one, when it is empty. */
void progress_sent(struct progress *progress, entry_index last, uint32_t bytes);

/* It has everything up to `match`, durably, and says so in answer to message `sequence`. */
void progress_acknowledged(struct progress *progress, entry_index match);

void progress_check_invariants(const struct progress *progress);

#endif
