/* Raft: one event in, the required effects out. No I/O, no clock, no chance, no payloads.
 *
 * Ongaro, "Consensus: Bridging Theory and Practice", 2014 (cited by section). This is the seat of the whole protocol; what it
 * speaks today is a cluster of one: the sole voter elects itself when there is something to propose, and a quorum is its own
 * stable storage. The rules that hold for any size hold already:
 *
 * 1. Term and vote are durable before they count (section 3.8): `hard_state` goes into the journal ahead of the entries of the
 *    same effects, and nothing is answered before that write is durable.
 * 2. Only entries of the own term are committed by counting (section 3.6.2); a no-op begins each term.
 * 3. The leader counts itself only up to what its own disk has (section 10.2.1): PERSISTED events say so.
 * 4. commit never goes back; term never goes back.
 *
 * The host obeys effects in the order of the struct: hard state, appends, then what the commit index allows.
 */
#ifndef CAIRN_REPLICATION_RAFT_H
#define CAIRN_REPLICATION_RAFT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "log/entry.h"
#include "log/journal.h"

typedef uint32_t broker_id; /* from 1; 0 is nobody */

enum raft_role { RAFT_FOLLOWER, RAFT_LEADER };

struct raft {
  broker_id self;
  enum raft_role role;
  struct hard_state hard_state;
  entry_index last_index;
  entry_index persisted_index; /* on this broker's stable storage */
  entry_index term_start;      /* index of the no-op of the leader's term; 0: not leader */
  bool stopped;                /* its disk failed: proposes and commits nothing any more */
};

/* What recovery knows. `last_index` is durable, and with one voter therefore committed. */
struct raft_start {
  broker_id self;
  struct hard_state hard_state;
  entry_term last_term;
  entry_index last_index;
};

enum raft_event_kind {
  RAFT_PROPOSE,   /* append one entry, if leader or able to become it */
  RAFT_PERSISTED, /* hard state and entries up to `index`, of `term`, are durable here */
  RAFT_DISK_FAILED
};

struct raft_event {
  enum raft_event_kind kind;
  entry_index index;
  entry_term term;
};

struct raft_effects {
  bool save_hard_state; /* first, and ahead of the appends in the same write */
  struct hard_state hard_state;
  bool append_noop; /* at noop_index, of the new term */
  entry_index noop_index;
  bool append_proposal; /* at proposal_index, of `term` */
  entry_index proposal_index;
  entry_term term;
  bool commit_advanced;
  entry_index commit;
  bool role_changed;
  enum raft_role role;
  enum status status; /* of RAFT_PROPOSE: OK, NOT_LEADER, FENCED */
};

void raft_init(struct raft *raft, const struct raft_start *start);
struct raft_effects raft_step(struct raft *raft, const struct raft_event *event);
void raft_check_invariants(const struct raft *raft);

#endif
