/* Raft: one event in, the effects that it requires out. No I/O, no clock, no chance, no payloads.
 *
 * Ongaro, "Consensus: Bridging Theory and Practice", 2014, cited by section. One chapter to a file:
 *
 *   raft_start.c     what recovery knows
 *   raft.c           events to chapters, terms, roles, what every step ends with
 *   raft_peer.c      what the host tells of other brokers
 *   raft_election.c  pre-vote, votes, stickiness, timers
 *   raft_append.c    the leader's side of replication, commit
 *   raft_follow.c    the follower's: append, conflict, cut
 *   raft_member.c    joint consensus, learners, who may leave
 *   raft_read.c      linearizable reads
 *   raft_transfer.c  handing leadership over, offering it, and giving it up
 *   raft_snapshot.c  replicas that are too far behind
 *   raft_repair.c    replicas that have forgotten what they promised
 *   raft_config.h, raft_message.h, quorum.h, trail.h, progress.h    the nouns
 *
 * ---- The host's part ----
 *
 * The host (a replica on its lane) owns struct raft, steps it with one event at a time and obeys the effects before the next step, in the
 * order of the struct:
 *
 *   1. hard_state, cut, appends: into one journal write, in this order. Entries get index and term from the effect; a RAFT_APPEND_MESSAGE
 *      effect takes its bytes from the message of the event, a CONFIG entry from effects.config. When the write (and all before it)
 *      is durable: RAFT_PERSISTED with what the log was after that step (raft_mark()). Later marks stand for earlier ones.
 *   2. send_now: at once. send_after_sync: when raft_held() says so; ask after each RAFT_PERSISTED. It may say drop.
 *      Of a RAFT_APPEND the core names first index, most entries and most bytes; the host sends as many as it likes, at least one if there
 *      are any, now or after a read from disk, and says RAFT_SENT. Until then that follower gets no other. If it sends
 *      nothing after all, it says RAFT_PEER_RESET.
 *   3. commit: apply up to it. Then role, leader, read results, and the rest.
 *   4. deadline_ns: step with RAFT_TIMER then, or later. RAFT_NEVER: this group costs nothing.
 *
 * Messages may be lost, repeated, late and out of order. Bytes were verified (payload CRC, chain link from prev_chain on) before the step.
 * Everything borrowed in an event is borrowed for the step; what effects point to (config) is the raft's, until the next step.
 *
 * ---- Who is alive ----
 *
 * Liveness is per pair of brokers and the host's: one heartbeat stream for all groups. The core is told edges, per group:
 *
 *   RAFT_LEADER_HEARD  the broker that this follower follows leads this group in this term, by its digest, and its heartbeats arrive:
 *                      no election timer runs until one of the next two. Once after each change of effects.leader is enough.
 *   RAFT_LEADER_GONE   its digest no longer has the group, or its boot id is new. Only for a leader that was vouched for: a digest
 *                      may be older than the append by which this replica has just learnt of it.
 *   RAFT_PEER_DOWN     nothing heard of that broker for an election timeout (or a lane of it stands still, or its disk does).
 *   RAFT_PEER_UP       heard again. A leader wants this for every live member when its role begins, for every live new member when
 *                      effects.config_changed, and at each return.
 *   RAFT_PEER_RESET    the data connection was lost: nothing of what was under way will arrive.
 *
 *   RAFT_RELUCTANT     that broker, or this one, had better not lead; RAFT_WILLING: it may again. Of others a leader wants it when its role begins,
 *                      for new members, and at each change; of this one it lasts until the other.
 *
 * Who is reluctant is offered no leadership and takes none; it campaigns an election timeout later than others would, so only when they do
 * not. If it leads, it hands over to whoever is willing and has what is committed; while there is nobody it leads on.
 *
 * A leader without a majority of live voters steps down; a follower hears of its leader by messages too, but only LEADER_HEARD lets it sleep.
 * A leader is quiet, without a deadline, when every live follower has acknowledged (term, last index = commit) and knows the commit
 * index, and nothing is asked of it. So an idle group has no deadline anywhere, and is woken by the edges above.
 *
 * ---- Invariants (docs/INVARIANTS.md) ----
 *
 *  R1 apply-once        commit never goes back, and never passes what matched
 *  R2 own-term          only entries of the leader's own term are committed by counting; a no-op begins each term (3.6.2)
 *  R3 vote-durable      term and vote are durable before they are answered and before the own vote counts (3.8)
 *  R4 one-leader        a term has at most one leader
 *  R5 cut-above-commit  a cut never reaches a committed entry
 *  R6 durable-counts    a replica counts for an entry only when its own disk has that very entry: (term, index, generation)
 *  R7 members-count     answers count only from members of the newest configuration in the log, by incarnation; learners never
 *  R8 one-change        the next configuration is proposed when the one before is committed
 *  R9 reads-asked       a read is confirmed by a majority that answered an attempt begun after the read came, in a term with a commit
 *  R10 chain            equal (index, term) with different chain links cut nothing: both replicas lose their rights
 *  R11 less-trust       damaged: never campaigns, acknowledges nothing, votes only for who surely has what it may have lost; one that
 *                       cannot tell what it has promised counts for nothing until others have committed without it
 *  R12 windows          what is under way to a follower is bounded, and returns to nothing when the group is idle
 */
#ifndef CAIRN_REPLICATION_RAFT_H
#define CAIRN_REPLICATION_RAFT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "log/entry.h"
#include "log/journal.h"
#include "replication/progress.h"
#include "replication/raft_config.h"
#include "replication/raft_message.h"
#include "replication/trail.h"

#define RAFT_NEVER UINT64_MAX
#define RAFT_ENTRIES_MAX 1024u /* in one RAFT_APPEND */
#define RAFT_SENDS_MAX (3u * RAFT_MEMBERS_MAX)
#define RAFT_GATHER_NS 2000000u
#define RAFT_HELD_MAX (RAFT_MEMBERS_MAX + 1u)
#define RAFT_APPENDS_MAX 4u

enum raft_role { RAFT_FOLLOWER, RAFT_PRE_CANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

/* Durable here, as of one moment. Answers of the disk carry it, so that one which is late is seen to be late. */
struct raft_mark {
  entry_term term;
  broker_id vote;
  entry_index index;
  log_generation generation;
};

/* What this replica once had and may have lost, as bounds from above: it votes for nobody who has less, and does not campaign while
 * its own log has less. The bounds outlive the hole: a snapshot may fill it and yet end before what was promised once. */
struct raft_damage {
  bool damaged; /* there is a hole: acknowledges nothing */
  entry_index
      through;     /* UINT64_MAX: unknown, and votes may be lost too: it counts for nothing until it is proven (raft_repair.c) */
  entry_term term; /* 0: the recovered term */
};

struct raft_timing {
  uint64_t election_ns;  /* 1 s; elections are randomised up to twice that */
  uint64_t heartbeat_ns; /* 100 ms: how often a leader that is not quiet asks again */
  uint64_t gather_ns;    /* RAFT_GATHER_NS: so long at most few entries wait for others (progress.h); 0: not at all */
};

/* What recovery knows. `terms` name the entries above base, where each term begins; base is at or below the durable commit index. A
 * sole member's log is committed as far as it is durable, whatever the hard state says. */
struct raft_start {
  struct replica_id self;
  struct hard_state hard_state;
  entry_index base_index;
  entry_term base_term;
  const struct trail_run *terms; /* generation is ignored */
  size_t term_count;
  entry_index last_index;
  const struct raft_config *config;          /* the newest in log or snapshot, or the founding one */
  entry_index config_index;                  /* 0: the founding one */
  const struct raft_config *previous_config; /* before it; NULL when config_index is not above the commit index */
  entry_index previous_config_index;
  struct raft_damage damage;
  struct raft_timing timing;
  uint64_t now_ns;
  uint64_t seed; /* of the election jitter */
};

enum raft_event_kind {
  RAFT_TIMER,
  RAFT_MESSAGE,
  RAFT_PERSISTED,
  RAFT_DISK_FAILED, /* nothing more becomes durable here: stops for good */
  RAFT_PROPOSE,     /* append `count` entries, if leader or able to become it at once */
  RAFT_SENT,
  RAFT_READ,           /* effects.read_ticket; confirmed when effects.reads_done reaches it */
  RAFT_CHANGE_MEMBERS, /* to `config`: each member's `then` */
  RAFT_TRANSFER,       /* to `peer`, or to whoever is best placed (broker 0) */
  RAFT_OFFER,          /* to `peer`, if nobody has to wait for that: effects.offer says what came of it */
  RAFT_CAMPAIGN,       /* begin an election now, by pre-vote */
  RAFT_LEADER_HEARD,   /* peer, term */
  RAFT_LEADER_GONE,    /* peer, term */
  RAFT_PEER_UP,
  RAFT_PEER_DOWN,
  RAFT_PEER_RESET,
  RAFT_RELUCTANT,       /* the broker of `peer`, which may be this one, had better not lead: it is stopping, or has no room */
  RAFT_WILLING,         /* it may lead again */
  RAFT_CATCH_UP_FAILED, /* leader: what was shipped to `peer` did not arrive, or its answer did not. It is offered anew. */
  RAFT_INSTALLED, /* follower: the snapshot of effects.install is in place, durably, with its hard state. With `config`: a later one, up to
                           (index, term), where the configuration of config_index is in force */
  RAFT_INSTALL_FAILED,
  RAFT_COMPACTED, /* entries up to `index` are not kept any more */
  RAFT_REPAIRED,  /* the hole is filled again with what was there; the bounds go on binding */
  RAFT_HOLED      /* entries of this log are lost, none above the last, and no promise: it is to be had anew. A leader resigns. */
};

struct raft_sent {
  struct replica_id to;
  entry_term term;
  uint64_t sequence;
  entry_index last; /* of the entries sent; prev_index when there were none */
  uint32_t bytes;
};

struct raft_event {
  enum raft_event_kind kind;
  uint64_t now_ns; /* monotonic */
  struct replica_id peer;
  entry_term term;   /* LEADER_HEARD, LEADER_GONE; PROPOSE: the term in which it was decided, 0: whichever; INSTALLED */
  entry_index index; /* COMPACTED; INSTALLED */
  uint32_t count;    /* PROPOSE */
  bool wished;       /* OFFER: somebody asked for it, and whoever takes it is to know (raft_wished()) */
  bool tries;        /* OFFER: nothing begins, it is only said what would come of it */
  const struct raft_message *message;
  const struct raft_config *config;
  entry_index config_index; /* INSTALLED */
  struct raft_mark persisted;
  struct raft_sent sent;
};

/* What comes of an offer (raft_transfer.c). Only the first begins anything. */
enum raft_offer {
  RAFT_OFFER_BEGUN,
  RAFT_OFFER_NOT_LEADER,
  RAFT_OFFER_STRANGER,    /* no other voter of the group, or not for long any more */
  RAFT_OFFER_RELUCTANT,   /* its broker had better not lead */
  RAFT_OFFER_UNREACHABLE, /* nothing is heard of it */
  RAFT_OFFER_UNSOUND,     /* it has lost something of its log, or of its promises */
  RAFT_OFFER_BEHIND,      /* appends would stand still until it has what it lacks */
  RAFT_OFFER_BUSY         /* another hand-over is under way, or a change of members, or this leadership has only begun */
};

enum raft_append_kind { RAFT_APPEND_NOOP, RAFT_APPEND_CONFIG, RAFT_APPEND_PROPOSAL, RAFT_APPEND_MESSAGE };

/* Entries first .. first + count - 1. Those of a message keep the terms they came with, all others are of `term`. */
struct raft_appended {
  enum raft_append_kind kind;
  entry_index first;
  uint32_t count;
  entry_term term;
};

/* A message, and what must be durable before it may leave. */
struct raft_held_message {
  struct raft_message message;
  struct raft_mark needs;
};

struct raft_effects {
  enum status
      status; /* of PROPOSE, READ, CHANGE_MEMBERS, TRANSFER: OK, NOT_LEADER, FENCED, BUSY, INVALID; of MESSAGE: OK, CORRUPT */
  enum raft_offer offer; /* of OFFER */
  bool save_hard_state;
  struct hard_state hard_state;
  bool cut;
  entry_index cut_from;
  size_t append_count;
  struct raft_appended appends[RAFT_APPENDS_MAX];
  const struct raft_config *config; /* of RAFT_APPEND_CONFIG */

  size_t now_count;
  struct raft_message send_now[RAFT_SENDS_MAX];
  size_t held_count;
  struct raft_held_message send_after_sync[RAFT_HELD_MAX];

  bool commit_advanced;
  entry_index commit;
  bool role_changed; /* began or ceased to lead, or another leader or term */
  enum raft_role role;
  entry_term term;
  struct replica_id leader; /* broker 0: not known */
  bool config_changed;
  bool stays; /* this leadership was being handed over, and is no more */

  uint64_t read_ticket; /* of RAFT_READ */
  uint64_t reads_done;  /* tickets up to this one are confirmed: answer them when read_index is applied. 0: none */
  entry_index read_index;
  bool reads_failed; /* every ticket not confirmed: leadership ended */

  bool install;  /* RAFT_SNAPSHOT of the event: take its log and state, then RAFT_INSTALLED */
  bool diverged; /* R10: this replica is damaged from now on; trace it, call for repair */
  entry_index diverged_index;
  bool reverted; /* a follower's log went back below what it had acknowledged: its disk lies. Eject it. */
  struct replica_id reverted_peer;
  bool proven;    /* this replica had forgotten what it promised, and has its rights back */
  bool reconnect; /* nothing was committed for too long: open the data connections anew */

  uint64_t deadline_ns;
};

struct raft_leadership; /* of a leader; raft_internal.h */

struct raft_install {
  entry_index index;
  entry_term index_term;
  entry_index config_index;
  struct raft_config config;
  struct raft_message answer;
};

struct raft {
  struct replica_id self;
  struct raft_timing timing;
  enum raft_role role;
  bool stopped;
  struct raft_damage damage;
  struct hard_state hard_state; /* commit is the newest known one; what is saved is never above the durable index */
  struct replica_id voted_for;  /* whom, with incarnation; broker 0 after a restart: then a vote is not repeated */
  struct raft_mark durable;
  struct trail trail;
  struct raft_config config;          /* the newest in the log */
  struct raft_config previous_config; /* committed for sure, see raft_member.c */
  entry_index config_index;
  entry_index previous_config_index;

  struct replica_id leader;
  bool vouched;   /* the host vouches for the leader */
  bool reluctant; /* this broker had better not lead */
  uint64_t contact_ns;
  uint64_t election_deadline_ns;
  uint64_t disk_since_ns; /* since when the disk owes something; RAFT_NEVER: it does not */
  uint64_t ballot;        /* of the newest campaign */
  member_set granted;
  member_set refused;
  uint64_t jitter;
  uint64_t read_id;
  struct raft_install *install;       /* under way */
  struct raft_leadership *leadership; /* NULL unless leader */
  entry_term wished_term;             /* in which it was asked to lead because somebody wished it; 0: in none */

  struct raft_effects *effects; /* inside a step */
  uint64_t now_ns;              /* the same */
};

void raft_init(struct raft *raft, const struct raft_start *start);
void raft_deinit(struct raft *raft);

/* Fills `out_effects`; arrays beyond their counts are not written. Deadline of the beginning: raft_deadline(). */
void raft_step(struct raft *raft, const struct raft_event *event, struct raft_effects *out_effects);

/* What a write issued now will have made durable. */
struct raft_mark raft_mark(const struct raft *raft);

enum raft_hold { RAFT_HOLD, RAFT_SEND, RAFT_DROP };
/* May this message leave? */
enum raft_hold raft_held(const struct raft *raft, const struct raft_held_message *held);

uint64_t raft_deadline(const struct raft *raft);
static inline entry_term raft_term(const struct raft *raft) { return raft->hard_state.term; }
/* This replica founded the group and is its only member to this day: nobody else can ever have led. A group that has shrunk to one holds
 * elections. */
static inline bool raft_alone(const struct raft *raft) {
  return raft->config_index == 0 && raft_config_alone(&raft->config, &raft->self);
}
static inline entry_index raft_commit(const struct raft *raft) { return raft->hard_state.commit; }
static inline entry_index raft_last_index(const struct raft *raft) { return raft->trail.last_index; }
/* What the leader knows of the member at this position of its configuration; NULL unless leader. */
const struct progress *raft_progress(const struct raft *raft, size_t position);
bool raft_quiet(const struct raft *raft);
/* Leadership is being handed over. */
bool raft_transferring(const struct raft *raft);
/* It leads because somebody asked for just that (RAFT_OFFER, wished), and not by the way of things. */
static inline bool raft_wished(const struct raft *raft) {
  return raft->role == RAFT_LEADER && raft->wished_term == raft->hard_state.term;
}

void raft_check_invariants(const struct raft *raft);

#endif
