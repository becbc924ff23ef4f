/* What replicas of a group say to each other. Plain data: the host puts it on the wire, with the bytes of the entries it names.
 *
 * A message names its sender and its addressee by broker and incarnation: what is addressed to another incarnation is dropped, and answers
 * count only from members of the configuration. Requests are taken from whoever makes them, because a replica that lags does not
 * know yet who has joined since; terms and logs decide about them.
 */
#ifndef CAIRN_REPLICATION_RAFT_MESSAGE_H
#define CAIRN_REPLICATION_RAFT_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log/entry.h"
#include "replication/raft_config.h"
#include "replication/trail.h"

enum raft_message_kind {
  RAFT_PRE_VOTE, /* would you vote for me? changes nothing at whoever is asked */
  RAFT_PRE_VOTE_ANSWER,
  RAFT_VOTE,
  RAFT_VOTE_ANSWER,
  RAFT_APPEND,        /* entries first .. first + count - 1 behind (prev_index, prev_term), and the commit index */
  RAFT_APPEND_ANSWER, /* also to RAFT_SNAPSHOT */
  RAFT_SNAPSHOT,      /* log and state up to (index, term) are on offer; the host ships them */
  RAFT_READ_PROBE,    /* am I still your leader? */
  RAFT_READ_ANSWER,
  RAFT_TIMEOUT_NOW, /* campaign at once */
  RAFT_RESIGN,      /* I lead no longer: do not wait for me */

  /* Between hosts: what RAFT_SNAPSHOT has offered is fetched, part by part. The core never sees these. `sequence` is the install's, and `append`
   * says where it stands. */
  RAFT_FETCH_STATE,     /* the part of the state behind prev_index */
  RAFT_FETCH_ENTRIES,   /* entries behind prev_index, up to `commit`; none are wanted when that is prev_index: still at it */
  RAFT_SHIPPED_STATE,   /* one part, in the shape of an entry that is in no log */
  RAFT_SHIPPED_ENTRIES, /* some, from prev_index + 1 on */
  RAFT_SHIPS_NOT,       /* it is not to be had any more: be offered it anew */

  RAFT_PROVEN, /* of the core again: what you may have promised and forgotten binds nobody any more. `sequence`: the entry that shows it */

  /* Between hosts again, whoever leads: entries that rot has taken of a segment. */
  RAFT_WANT,     /* those behind prev_index, up to `commit` */
  RAFT_GIVEN,    /* some, from prev_index + 1 on */
  RAFT_GIVES_NOT /* I do not have them either; silence says nothing */
};
#define RAFT_MESSAGE_KINDS ((unsigned)RAFT_GIVES_NOT + 1u)

static inline bool raft_carries_entries(enum raft_message_kind kind) {
  return kind == RAFT_APPEND || kind == RAFT_SHIPPED_STATE || kind == RAFT_SHIPPED_ENTRIES || kind == RAFT_GIVEN;
}

/* An entry as the protocol sees it. A follower's host fills in `own_chain`: the link of its own log's entry at this index, 0 when it has none
 * or would have to read a disk for it. */
struct raft_entry {
  entry_term term;
  uint64_t chain;
  uint64_t own_chain;
  const struct raft_config *config; /* of a CONFIG entry, decoded; else NULL */
};

struct raft_vote_request {
  entry_term last_term;
  entry_index last_index;
  bool transfer; /* the leader has asked for it: no stickiness */
};

struct raft_vote_answer {
  entry_term asked_term; /* of the request: an answer whose own term is lower is an answer all the same */
  bool granted;
};

struct raft_summons {
  bool wished; /* somebody asked for this very leader */
};

struct raft_append {
  entry_index prev_index;
  entry_term prev_term;
  uint64_t prev_chain;     /* filled in by the sender's host; 0: not known */
  uint64_t own_prev_chain; /* filled in by the receiver's host; 0: not known */
  entry_index commit;
  uint32_t count;                   /* sent: how many at most; received: how many there are */
  uint32_t bytes_max;               /* sent: stop before this, but the first always fits */
  const struct raft_entry *entries; /* received; borrowed for the step */
};

enum raft_verdict {
  RAFT_MATCHED,  /* durable here up to `match`, in this term's leader's words */
  RAFT_REJECTED, /* my log does not have prev; try (hint_index, hint_term) */
  RAFT_OUTDATED, /* your term has passed: mine says so, and nothing else is said */
  RAFT_DAMAGED,  /* my log has a hole: count nothing of mine until I am repaired */
  RAFT_DIVERGED, /* same index, same term, other bytes: one of us is wrong, and nobody knows who */
  RAFT_UNPROVEN  /* as MATCHED, but count me for nothing: I do not know what I have promised */
};

struct raft_append_answer {
  enum raft_verdict verdict;
  entry_index match;
  entry_index commit;     /* that the follower knows of */
  entry_index last_index; /* of the follower's log */
  entry_index rejected;   /* the prev_index that is not there */
  entry_index hint_index;
  entry_term hint_term;
  log_generation generation; /* of the follower's log, when it promised */
};

struct raft_snapshot {
  entry_index index;
  entry_term index_term;
  entry_index config_index;
  const struct raft_config *config; /* in force at `index`; borrowed for the step */
};

struct raft_message {
  enum raft_message_kind kind;
  struct replica_id from;
  struct replica_id to;
  entry_term term;   /* the sender's; of a pre-vote the one in which it would campaign */
  uint64_t sequence; /* of a request; its answer repeats it */
  union {
    struct raft_vote_request vote;
    struct raft_vote_answer vote_answer;
    struct raft_append append;
    struct raft_append_answer append_answer;
    struct raft_snapshot snapshot;
    struct raft_summons summons; /* TIMEOUT_NOW */
  };
};

#endif
