/* Somebody asks for another leader, by name. */
#include <stdio.h>

#include "base/memory.h"
#include "base/probe.h"
#include "server/partition_internal.h"

#define REPLICAS_TEXT_SIZE 96u
#define BEHIND_MS 200u /* when to ask again: by then it may have what it lacks */
#define BUSY_MS 100u
#define ABSENT_MS 1000u

/* ---- Why not ---- */

/* "1, 2 and 3": who votes. */
static const char *name_voters(const struct partition *partition, char into[REPLICAS_TEXT_SIZE]) {
  const struct raft_config *config = replica_config(partition->replica);
  size_t voters = 0, said = 0, used = 0;
  for (size_t i = 0; i < config->count; i++) voters += config->members[i].then == RAFT_VOTER;
  into[0] = '\0';
  for (size_t i = 0; i < config->count; i++) {
    if (config->members[i].then != RAFT_VOTER) continue;
    const char *before = said == 0 ? "" : said + 1 == voters ? " and " : ", ";
    int size = snprintf(into + used, REPLICAS_TEXT_SIZE - used, "%s%u", before, config->members[i].id.broker);
    if (size > 0 && used + (size_t)size < REPLICAS_TEXT_SIZE) used += (size_t)size;
    said++;
  }
  return into;
}

static struct failure *not_yet(uint32_t retry_after_ms, struct failure *failure) {
  failure->retry_after_ms = retry_after_ms;
  return failure;
}

static struct failure *stranger(struct partition_transfer *transfer, bool member) {
  char voters[REPLICAS_TEXT_SIZE];
  if (member)
    return refusal_new(
        STATUS_CANNOT_LEAD,
        "broker %u cannot lead the partition: its replica does not vote, it is on its way in or out; wait until the "
        "move is over (cairn topic describe), or choose another broker",
        transfer->to);
  transfer->stranger = true;
  return refusal_new(STATUS_CANNOT_LEAD,
                     "broker %u cannot lead the partition: it has no replica of it; the replicas are on %s: choose one of these, "
                     "or give the broker one first: cairn partition move",
                     transfer->to, name_voters(transfer->partition, voters));
}

static struct failure *refusal_of(struct partition_transfer *transfer, enum raft_offer offer, bool member) {
  switch (offer) {
    case RAFT_OFFER_BEGUN: break;
    case RAFT_OFFER_NOT_LEADER: return partition_refusal(transfer->partition, partition_may_decide(transfer->partition));
    case RAFT_OFFER_STRANGER: return stranger(transfer, member);
    case RAFT_OFFER_RELUCTANT:
      return refusal_new(STATUS_CANNOT_LEAD,
                         "broker %u cannot lead the partition: it is drained, leaves, stops, or its disk has no room; see cairn "
                         "broker list and its log, or choose another broker",
                         transfer->to);
    case RAFT_OFFER_UNREACHABLE:
      return not_yet(ABSENT_MS, refusal_new(STATUS_CANNOT_LEAD_YET,
                                            "broker %u cannot lead the partition: this broker hears nothing of it; is it up? Ask "
                                            "again when it is",
                                            transfer->to));
    case RAFT_OFFER_UNSOUND:
      return not_yet(ABSENT_MS, refusal_new(STATUS_CANNOT_LEAD_YET,
                                            "broker %u cannot lead the partition yet: its replica has lost something, and has it "
                                            "from the others just now; ask again when it has, its log says so",
                                            transfer->to));
    case RAFT_OFFER_BEHIND:
      return not_yet(BEHIND_MS, refusal_new(STATUS_CANNOT_LEAD_YET,
                                            "broker %u cannot lead the partition yet: it does not have what was appended lately, "
                                            "and appends would wait for it; ask again in a moment",
                                            transfer->to));
    case RAFT_OFFER_BUSY:
      return not_yet(BUSY_MS,
                     refusal_new(STATUS_CANNOT_LEAD_YET,
                                 "broker %u cannot be given the lead just now: another hand-over or a change of replicas "
                                 "is under way, or this leader has only begun; ask again in a moment",
                                 transfer->to));
  }
  return NULL;
}

/* ---- Waiting for it ---- */

static void end(struct partition_transfer *transfer, struct failure *failure) {
  struct partition *partition = transfer->partition;
  if (list_node_linked(&transfer->node)) {
    list_remove(&transfer->node);
    partition->waiting--;
    loop_timer_cancel(partition->host->loop, &transfer->timer);
  }
  transfer->failure = failure;
  transfer->done(transfer);
}

/* What was asked of it may still be on its way to it, so nobody can tell. */
static struct failure *unknown(const struct partition_transfer *transfer, enum status status, const char *why) {
  struct failure *failure = refusal_new(status,
                                        "broker %u was asked to lead the partition, and %s: whether it will is not known; see "
                                        "cairn partition describe, and ask again: that does no harm",
                                        transfer->to, why);
  failure->executed = EXECUTED_MAYBE;
  return failure;
}

static void deadline_passed(struct timer *timer) {
  struct partition_transfer *transfer = container_of(timer, struct partition_transfer, timer);
  end(transfer, unknown(transfer, STATUS_DEADLINE, "was not seen to lead in time"));
}

static void wait_for(struct partition_transfer *transfer) {
  struct partition *partition = transfer->partition;
  struct loop *loop = partition->host->loop;
  partition->waiting++;
  list_push_back(&partition->transfers, &transfer->node);
  transfer->timer.fire = deadline_passed;
  uint64_t patience_ns = transfer->patience_ns < PARTITION_TRANSFER_NS_MAX ? transfer->patience_ns : PARTITION_TRANSFER_NS_MAX;
  loop_timer_set(loop, &transfer->timer, loop_now_ns(loop) + patience_ns);
}

/* Whoever began to lead in a later term shows that the summons has gone out of date: it was taken, or it never will be. */
static void leader_known(struct partition_transfer *transfer, broker_id leader, entry_term term) {
  transfer->after = leader;
  transfer->term = term;
  if (leader == transfer->to) REACHED(transfer_is_over);
  if (leader == transfer->to) end(transfer, NULL);
  else end(transfer, partition_refusal(transfer->partition, STATUS_NOT_LEADER));
}

void partition_transfer_role_changed(struct partition *partition, entry_term term, broker_id leader) {
  list_for_each(&partition->transfers, node, following) {
    struct partition_transfer *transfer = list_entry(node, struct partition_transfer, node);
    if (leader != 0 && term > transfer->term) leader_known(transfer, leader, term);
  }
}

static void end_all(struct partition *partition, enum status status, const char *why) {
  for (struct list_node *node; (node = list_first(&partition->transfers)) != NULL;) {
    struct partition_transfer *transfer = list_entry(node, struct partition_transfer, node);
    REACHED(transfer_does_not_come_about);
    end(transfer, unknown(transfer, status, why));
  }
}

void partition_transfer_stays(struct partition *partition) {
  end_all(partition, STATUS_UNKNOWN_OUTCOME, "did not do so in time, so this broker goes on leading");
}

void partition_transfer_end_all(struct partition *partition, const char *why) { end_all(partition, STATUS_UNKNOWN_OUTCOME, why); }

/* ---- Asking ---- */

/* It leads already, by its own word: a majority is asked as well. */
static void confirmed(struct replica_read *confirm, enum status status) {
  struct partition_transfer *transfer = container_of(confirm, struct partition_transfer, confirm);
  struct partition *partition = transfer->partition;
  if (partition->closed) {
    end(transfer, partition_closed_failure(partition));
  } else if (status != STATUS_OK) {
    end(transfer, partition_refusal(partition, status));
  } else {
    if (!transfer->validate_only) partition_lead_hold(partition);
    transfer->after = partition->self.broker;
    transfer->term = replica_term(partition->replica);
    end(transfer, NULL);
  }
}

/* A voter rather than one that goes, where a broker changes directories. */
bool partition_find_member(const struct partition *partition, broker_id broker, struct replica_id *out_id) {
  const struct raft_config *config = replica_config(partition->replica);
  bool found = false;
  for (size_t i = 0; i < config->count; i++) {
    const struct raft_member *member = &config->members[i];
    if (member->id.broker != broker || (found && member->then != RAFT_VOTER)) continue;
    *out_id = member->id;
    found = true;
  }
  return found;
}

static void hand_over(struct partition_transfer *transfer) {
  struct partition *partition = transfer->partition;
  struct replica_offer wish = {.wished = true, .tries = transfer->validate_only};
  bool member = partition_find_member(partition, transfer->to, &wish.to);
  enum raft_offer offer = member ? replica_offer(partition->replica, &wish) : RAFT_OFFER_STRANGER;
  if (offer != RAFT_OFFER_BEGUN) {
    REACHED(transfer_refused);
    end(transfer, refusal_of(transfer, offer, member));
    return;
  }
  if (transfer->validate_only) {
    transfer->after = transfer->before;
    end(transfer, NULL);
    return;
  }
  REACHED(transfer_begun);
  wait_for(transfer);
}

void partition_transfer(struct partition_transfer *transfer) {
  struct partition *partition = transfer->partition;
  transfer->failure = NULL;
  if (partition->closed) {
    end(transfer, partition_closed_failure(partition));
    return;
  }
  enum status status = partition->host->draining ? STATUS_DRAINING : partition_may_decide(partition);
  if (status != STATUS_OK) {
    end(transfer, partition_refusal(partition, status));
    return;
  }
  transfer->before = partition->self.broker;
  transfer->term = replica_term(partition->replica);
  if (transfer->to == partition->self.broker) {
    transfer->confirm = (struct replica_read){.done = confirmed};
    replica_read(partition->replica, &transfer->confirm);
  } else if (partition->waiting >= partition->host->waiters_max) {
    end(transfer, refusal_of_status(STATUS_BUSY));
  } else {
    hand_over(transfer);
  }
}
