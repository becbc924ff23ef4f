/* Between the chapters of raft. Functions named here run inside a step: raft->effects and raft->now_ns are set. */
#ifndef CAIRN_REPLICATION_RAFT_INTERNAL_H
#define CAIRN_REPLICATION_RAFT_INTERNAL_H

#include "base/check.h"
#include "base/probe.h"
#include "replication/raft.h"
#include "replication/raft_mutant.h"

/* Something that a quorum is waited for. */
struct raft_patience {
  uint64_t since_ns; /* when it last came, or began to be waited for, or the connections were opened anew for it */
  bool reopened;     /* they were */
};

/* What only a leader has. `followers` has one for each member of raft->config, in its order; its own is not used. */
struct raft_leadership {
  entry_index term_start; /* the no-op of this term */
  uint64_t tick_ns;       /* RAFT_NEVER: quiet */
  uint64_t gather_ns;     /* when entries that wait for more are sent at the latest; RAFT_NEVER: none do */
  struct raft_patience commits;
  struct raft_patience reads;    /* apart: small words may get through where entries do not */
  uint64_t sequence;             /* of the newest append or snapshot to anybody */
  struct replica_id transfer_to; /* broker 0: nobody */
  uint64_t transfer_deadline_ns;
  bool transfer_wished; /* somebody asked for that very one */
  bool timeout_now_sent;
  entry_index ended[2];   /* where the log ended at the last tick, and at the one before */
  entry_index rounds[2];  /* where it ended when this round began, and the one before (raft_member.c) */
  uint64_t round_ns;      /* when this one began */
  uint64_t keep_until_ns; /* a hand-over has failed: the next one of a reluctant leader's own not before */
  uint64_t read_attempt;  /* under way; 0: none */
  bool read_aged;         /* it was under way at the last tick already */
  uint64_t reads_wanted;  /* the newest ticket given */
  uint64_t reads_done;    /* the newest ticket confirmed */
  entry_index read_index;
  size_t count;
  struct progress followers[];
};

/* ---- raft.c ---- */

/* NULL: the leader is not known. Takes over a higher term. */
void raft_become_follower(struct raft *raft, entry_term term, const struct replica_id *leader);
void raft_save_hard_state(struct raft *raft);
struct raft_message raft_message_to(const struct raft *raft, enum raft_message_kind kind, const struct replica_id *to);
void raft_send(struct raft *raft, const struct raft_message *message);
/* At once if what it needs is durable already, else held. */
void raft_send_durable(struct raft *raft, const struct raft_message *message, const struct raft_mark *needs);
/* What reveals the term: the term. */
struct raft_mark raft_needs_term(const struct raft *raft);
void raft_disk_owes(struct raft *raft);
bool raft_disk_stalled(const struct raft *raft);
void raft_diverged(struct raft *raft, entry_index index);
struct quorum raft_quorum(const struct raft *raft);
size_t raft_self_position(const struct raft *raft);

/* ---- raft_peer.c ---- */

bool raft_second_leader(const struct raft *raft, const struct replica_id *from, entry_term term);
void raft_refuse_leader(struct raft *raft, const struct raft_message *request);
void raft_leader_heard(struct raft *raft, const struct replica_id *peer, entry_term term);
void raft_peer_changed(struct raft *raft, enum raft_event_kind kind, const struct replica_id *peer);
void raft_wish_changed(struct raft *raft, const struct replica_id *peer, bool reluctant);

/* ---- raft_election.c ---- */

/* Waits for a leader: at least `least_ns`, and up to an election timeout more. */
void raft_arm_election(struct raft *raft, uint64_t least_ns);
void raft_hear_leader(struct raft *raft);
void raft_lose_leader(struct raft *raft);
void raft_election_timer(struct raft *raft);
bool raft_can_campaign(const struct raft *raft);
void raft_pre_campaign(struct raft *raft);
void raft_campaign(struct raft *raft, bool transfer);
void raft_count_own_vote(struct raft *raft);
void raft_on_vote_request(struct raft *raft, const struct raft_message *message);
void raft_on_vote_answer(struct raft *raft, const struct raft_message *message, size_t position);

/* ---- raft_append.c ---- */

void raft_become_leader(struct raft *raft);
void raft_append_own(struct raft *raft, enum raft_append_kind kind, uint32_t count);
void raft_lead(struct raft *raft); /* ends each step of a leader: sends what may be sent */
void raft_leader_timer(struct raft *raft);
void raft_try_commit(struct raft *raft);
void raft_advance_commit(struct raft *raft, entry_index commit);
void raft_on_append_answer(struct raft *raft, const struct raft_message *message, size_t position);
void raft_on_sent(struct raft *raft, const struct raft_sent *sent);
bool raft_reachable(const struct raft *raft, size_t position);
void raft_check_quorum(struct raft *raft);
void raft_lose_follower(struct progress *progress);
void raft_be_patient(const struct raft *raft, struct raft_patience *patience); /* it came, or is about to be waited for */

/* ---- raft_follow.c ---- */

void raft_on_append(struct raft *raft, const struct raft_message *message);
struct raft_message raft_append_answer_to(const struct raft *raft, const struct raft_message *request, enum raft_verdict verdict);

/* ---- raft_member.c ---- */

void raft_take_config(struct raft *raft, const struct raft_config *config, entry_index index);
void raft_revert_config(struct raft *raft, entry_index cut_from);
void raft_change_members(struct raft *raft, const struct raft_config *target);
/* A leader's: not before a step of a change, a hand-over, or the beginning of its term is over. A step, and not the whole of a change: a new member may
 * need hours for the log, and who leads meanwhile is not its business. */
bool raft_busy(const struct raft *raft);
void raft_advance_members(struct raft *raft);
void raft_note_round(struct raft *raft);      /* at each tick of a leader */
void raft_note_round_rest(struct raft *raft); /* when it begins, and while nothing ticks */

/* ---- raft_read.c ---- */

void raft_read(struct raft *raft);
void raft_advance_reads(struct raft *raft);
void raft_retry_reads(struct raft *raft);
bool raft_reads_wait(const struct raft *raft);
void raft_on_read_probe(struct raft *raft, const struct raft_message *message);
void raft_on_read_answer(struct raft *raft, const struct raft_message *message, size_t position);

/* ---- raft_transfer.c ---- */

void raft_transfer(struct raft *raft, const struct replica_id *to);
void raft_offer(struct raft *raft, const struct raft_event *event);
void raft_note_end(struct raft *raft);  /* at each tick of a leader */
void raft_note_rest(struct raft *raft); /* when it begins, and while nothing ticks */
/* A reluctant leader's: to whoever is willing and has what is committed, if there is one. */
void raft_leave(struct raft *raft);
bool raft_may_leave(const struct raft *raft);
/* That one will not lead: what was offered to it is taken back. */
void raft_withdraw_transfer(struct raft *raft, const struct replica_id *from);
void raft_advance_transfer(struct raft *raft);
void raft_transfer_timer(struct raft *raft);
void raft_on_timeout_now(struct raft *raft, const struct raft_message *message);
void raft_resign(struct raft *raft);

/* ---- raft_snapshot.c ---- */

void raft_offer_snapshot(struct raft *raft, size_t position);
void raft_on_snapshot(struct raft *raft, const struct raft_message *message);
void raft_installed(struct raft *raft, const struct raft_event *event);
void raft_install_failed(struct raft *raft);

/* ---- raft_repair.c ---- */

/* Something of the log is lost, or may be wrong, of entries of this term at most. */
void raft_suspect_log(struct raft *raft, entry_term term);
void raft_repaired(struct raft *raft);
void raft_holed(struct raft *raft);
/* What it has promised is not known here any more. */
static inline bool raft_unproven(const struct raft *raft) { return raft->damage.through == UINT64_MAX; }
/* MATCHED, or UNPROVEN. */
enum raft_verdict raft_matched_verdict(const struct raft *raft);
/* This term's leader speaks: who does not know whether it voted in this term has voted for that one. */
void raft_bind_vote(struct raft *raft);
void raft_on_proven(struct raft *raft, const struct raft_message *message);
/* A leader's: that follower has everything up to its match, and says whether it may be counted. */
void raft_note_proof(struct raft *raft, size_t position, const struct raft_message *answer);
/* Proposes what is to show it, and tells whoever is proven. */
void raft_prove(struct raft *raft);

#endif
