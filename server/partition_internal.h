/* What the files of the partition share. See partition.h for who does what. */
#ifndef CAIRN_SERVER_PARTITION_INTERNAL_H
#define CAIRN_SERVER_PARTITION_INTERNAL_H

#include <stdatomic.h>

#include "server/leadership.h"
#include "server/partition.h"

#define STALL_RETRY_NS 2000000u      /* how often room in the journal is asked for again */
#define PARTITION_STALLED_MAX 16384u /* appends of one lane that wait; of one partition, `waiters_max` */

struct partition {
  atomic_uint holders;
  struct partition_host *host;
  struct partition_place place;
  struct replica_id self;
  struct topic_settings settings;
  struct log *log;         /* NULL once deleted */
  struct replica *replica; /* the same */
  struct producer_state *producers;
  entry_index applied_index;
  entry_index proposed_index;     /* the newest that was proposed here; may lie below applied_index */
  bool history_over;              /* entries applied before this are replayed: nobody waits for them */
  bool closed;                    /* its topic is deleted, or it ... */
  bool left;                      /* ... is on other brokers now */
  bool leads;                     /* as it was told */
  uint64_t offered;               /* the newest move at whose end the lead was offered to whom the map has first */
  struct partition_places places; /* by the map */
  struct leadership leadership;   /* of today's leadership here */
  broker_id offered_to;           /* it is being handed to this one, for the map has it first; 0: to nobody */
  bool trimming;                  /* retention's own proposal is on its way */
  atomic_int_fast64_t published_start;
  atomic_int_fast64_t published_high_watermark;
  atomic_uint_fast64_t published_bytes;
  atomic_uint_fast32_t published_leader;
  uint64_t committed_bytes; /* of payloads, since the partition was opened here */

  uint32_t waiting;      /* on the lists that follow, but for tails */
  struct list stalled;   /* appends that cannot be done just now, in order */
  struct list depending; /* answers that rest on entries which are not committed yet, in the order in which they were decided */
  struct list readers;   /* reads that wait for more */
  struct list tails;     /* all followers */
  struct list transfers; /* whoever asked for another leader, until it is seen to lead */

  struct list_node node;         /* of host->partitions */
  struct list_node stalled_node; /* of host->stalled */
  struct list_node astray_node;  /* of host->leads.astray */
  struct task wake;
  bool wake_posted;
};

/* Counts one more that waits; false when there are too many. */
static inline bool partition_may_wait(struct partition *partition) {
  if (partition->waiting >= partition->host->waiters_max) return false;
  partition->waiting++;
  return true;
}

/* The newest entry whose effect is known here, applied or not. */
static inline entry_index partition_head_index(const struct partition *partition) {
  return partition->proposed_index > partition->applied_index ? partition->proposed_index : partition->applied_index;
}
/* May something be decided here? FENCED, NOT_LEADER: by nobody's word but the leader's. LOADING: not before everything that earlier leaders
 * left is applied, which this one's first entry brings about. */
static inline enum status partition_may_decide(const struct partition *partition) {
  if (replica_fenced(partition->replica)) return STATUS_FENCED;
  if (!replica_is_leader(partition->replica)) return STATUS_NOT_LEADER;
  return replica_ready(partition->replica) ? STATUS_OK : STATUS_LOADING;
}

/* Nobody else has a word in it: what this replica knows is what there is. */
static inline bool partition_alone(const struct partition *partition) { return replica_alone(partition->replica); }

/* As refusal_of_status(); NOT_LEADER and REPLACED say who leads, as far as is known. */
struct failure *partition_refusal(const struct partition *partition, enum status status);
/* Of a proposal that ended otherwise than OK. */
struct failure *partition_proposal_failure(const struct partition *partition, enum status status);

/* Everything that the partition proposes goes through here, so that the next decision knows of it. As replica_propose(). */
enum status partition_propose(struct partition *partition, struct proposal *proposal) MUST_CHECK;
/* Opens or forgets: fills the proposal's entry but for `done`, and proposes it. `epoch` counts for an open. */
enum status partition_propose_producer(struct partition *partition, struct proposal *proposal, enum producer_entry_kind kind,
                                       struct bytes name, uint32_t epoch) MUST_CHECK;

/* Soon, on the lane: everyone who waits for something committed looks again. */
void partition_wake_soon(struct partition *partition);
void partition_publish_range(struct partition *partition);

/* The failure of whoever asks a partition that is closed. */
struct failure *partition_closed_failure(const struct partition *partition);
enum status partition_closed_status(const struct partition *partition);
/* NULL when `offset` may be read or waited for. Only who is `certain` of where the log ends (it is alone, or was just confirmed as the leader)
 * says that an offset lies beyond. */
struct failure *partition_check_offset(const struct partition *partition, record_offset offset, bool certain);
/* What a read of the log could not have can be had in a moment: damage is being mended from other replicas, or the log that was read has given way
 * to one that came whole from the leader. Then `timer` fires, to look again. False: no, or it was waited for long enough. `*until_ns` is 0 at
 * the first time. */
bool partition_await_mending(struct partition *partition, enum status status, uint64_t *until_ns, struct timer *timer);
/* What a read of the log that failed means to a client. */
struct failure *partition_read_failure(const struct partition *partition, const struct log_read *read);
/* What was waited for has not come yet. */
struct failure *partition_mending_failure(const struct partition *partition);

void partition_append_wake(struct partition *partition);
/* Answers that rest on an entry at `from` or behind are given up: refusals become `reason`, repetitions are in doubt. */
void partition_append_cut(struct partition *partition, entry_index from, enum status reason);
void partition_append_fail_all(struct partition *partition, enum status reason);
void partition_append_refuse(struct partition_append *append, struct failure *failure);
/* False: it cannot be done just now, `stalled_for` says why. Without `may_take_room` one that wants to be appended is not, for want of room. */
bool partition_append_try(struct partition_append *append, bool may_take_room) MUST_CHECK;

/* partition_stall.c */
void partition_stall_init(struct partition_host *host);
void partition_append_stall(
    struct partition_append *append);                     /* waits until it can be tried again, if it may; else it is refused */
void partition_append_retry(struct partition *partition); /* those that wait, as many as can be done now */
void partition_append_fail_stalled(struct partition *partition, enum status reason);
void partition_read_wake(struct partition *partition);
void partition_read_hurry_all(struct partition *partition);
void partition_tail_wake(struct partition *partition);
void partition_tail_end_all(struct partition *partition, enum status reason);
/* partition_lead.c */
void partition_lead_init(struct partition_host *host);
void partition_lead_drain(struct partition_host *host);
void partition_lead_role_changed(struct partition *partition, bool led, bool leads);
void partition_lead_stays(struct partition *partition);
void partition_lead_end(struct partition *partition);  /* it is closed */
void partition_lead_hold(struct partition *partition); /* somebody asked for this leader */

/* partition_transfer.c */
/* The member of the group on that broker; the one that votes where the broker changes directories. */
bool partition_find_member(const struct partition *partition, broker_id broker, struct replica_id *out_id);
void partition_transfer_role_changed(struct partition *partition, entry_term term, broker_id leader);
void partition_transfer_stays(struct partition *partition);
/* `why`: "was stopped", of the broker that was asked. */
void partition_transfer_end_all(struct partition *partition, const char *why);

void partition_keep_retention(struct partition *partition, int64_t now_ms);

#endif
