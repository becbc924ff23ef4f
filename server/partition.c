#include "server/partition.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"
#include "base/mutant.h"
#include "base/probe.h"
#include "base/trace.h"
#include "server/partition_internal.h"

/* ---- Counted ---- */

struct partition *partition_hold(struct partition *partition) {
  unsigned before = atomic_fetch_add_explicit(&partition->holders, 1, memory_order_relaxed);
  CHECK(before > 0);
  return partition;
}

void partition_release(struct partition *partition) {
  unsigned before = atomic_fetch_sub_explicit(&partition->holders, 1, memory_order_acq_rel);
  CHECK(before > 0);
  if (before > 1) return;
  CHECK(partition->replica == NULL && partition->waiting == 0);
  producer_state_free(partition->producers);
  memory_free(partition);
}

struct partition_host *partition_host_of(const struct partition *partition) {
  return partition->host;
}
struct partition_place partition_place_of(const struct partition *partition) {
  return partition->place;
}

struct partition_glimpse partition_glimpse(const struct partition *partition) {
  return (struct partition_glimpse){
      .log_start_offset = atomic_load_explicit(&partition->published_start, memory_order_relaxed),
      .high_watermark = atomic_load_explicit(&partition->published_high_watermark, memory_order_relaxed),
      .leader = (broker_id)atomic_load_explicit(&partition->published_leader, memory_order_relaxed),
      .bytes = atomic_load_explicit(&partition->published_bytes, memory_order_relaxed),
  };
}

static void publish_leader(struct partition *partition, broker_id leader) {
  broker_id self = partition->host->self.broker;
  broker_id before = (broker_id)atomic_exchange_explicit(&partition->published_leader, leader, memory_order_relaxed);
  if (before == leader) return;
  if (leader == self) atomic_fetch_add_explicit(&partition->host->led, 1, memory_order_relaxed);
  if (before == self) atomic_fetch_sub_explicit(&partition->host->led, 1, memory_order_relaxed);
}

void partition_publish_range(struct partition *partition) {
  struct log_view view = log_view(partition->log);
  atomic_store_explicit(&partition->published_start, view.start_offset, memory_order_relaxed);
  atomic_store_explicit(&partition->published_bytes, view.bytes, memory_order_relaxed);
  atomic_store_explicit(&partition->published_high_watermark, replica_high_watermark(partition->replica), memory_order_relaxed);
}

/* ---- Waking ---- */

static void wake(struct task *task) {
  struct partition *partition = container_of(task, struct partition, wake);
  partition->wake_posted = false;
  if (!partition->closed) {
    partition_publish_range(partition);
    partition_append_wake(partition);
    partition_read_wake(partition);
    partition_tail_wake(partition);
  }
  partition_release(partition);
}

/* A task of its own rather than a call: what one journal write committed is told in one go. */
void partition_wake_soon(struct partition *partition) {
  if (partition->wake_posted) return;
  partition->wake_posted = true;
  partition->wake.run = wake;
  partition_hold(partition);
  loop_post(partition->host->loop, &partition->wake);
}

/* ---- The state machine ---- */

static void apply_trim(struct partition *partition, const struct entry *entry) {
  if (entry->payload.bytes.size != sizeof(uint64_t)) {
    trace_error("trim_ignored", "group=%" PRIu64 " index=%" PRIu64 " size=%zu", partition->place.group, entry->head.index,
                entry->payload.bytes.size);
    return;
  }
  record_offset start = (record_offset)get_u64(entry->payload.bytes.data);
  /* Whoever proposed it looked at a high watermark that can only have risen. */
  if (start > entry->head.base_offset) start = entry->head.base_offset;
  if (start > log_view(partition->log).start_offset) log_set_start(partition->log, start);
}

static void apply_to_producers(struct partition *partition, const struct entry *entry) {
  if (MUTANT(followers_forget) && !partition->leads && entry->head.kind == ENTRY_RECORDS) return;
  enum status status = producer_state_apply(partition->producers, entry);
  if (status == STATUS_NOT_FOUND) { /* rot took the entry that opened it: the log is fenced, and what is left of it is served */
    trace_warn("producer_unknown", "group=%" PRIu64 " index=%" PRIu64 " producer_id=%" PRIu64, partition->place.group,
               entry->head.index, entry->head.producer_id);
    return;
  }
  /* The entry's checksum held, so a newer Cairn wrote this. To skip it would be to disagree with the other replicas. */
  CHECK_MSG(status == STATUS_OK,
            "group %" PRIu64 " holds an entry about a producer at index %" PRIu64
            " that this version cannot read (%s): run the newer one",
            partition->place.group, entry->head.index, status_name(status));
}

static void apply(void *owner, const struct entry *entry) {
  struct partition *partition = owner;
  const struct entry_head *head = &entry->head;
  partition->applied_index = head->index;
  if (head->kind == ENTRY_TRIM) apply_trim(partition, entry);
  if (head->kind == ENTRY_PRODUCER || (head->kind == ENTRY_RECORDS && head->producer_id != 0))
    apply_to_producers(partition, entry);
  if (!partition->history_over) return;
  if (entry->head.kind == ENTRY_RECORDS) partition->committed_bytes += entry->head.payload_size;
  partition_wake_soon(partition);
}

/* The state of a partition, little endian:
 *   0  1  version: 1, or 2 with producers
 *   1  8  log start offset
 *   9     version 2: the producers (producer_snapshot.c)
 * As long as nobody was ever a producer version 1 is written, which an older Cairn can read.
 */
#define STATE_PLAIN 1u
#define STATE_WITH_PRODUCERS 2u
#define STATE_SIZE 9u

static enum status snapshot(void *owner, struct buffer *out) {
  struct partition *partition = owner;
  struct producer_totals totals = producer_state_totals(partition->producers);
  bool plain = totals.producers == 0 && totals.given_up == 0;
  uint8_t state[STATE_SIZE] = {plain ? STATE_PLAIN : STATE_WITH_PRODUCERS};
  put_u64(state + 1, (uint64_t)log_view(partition->log).start_offset);
  enum status status = buffer_append(out, state, sizeof state);
  if (status != STATUS_OK || plain) return status;
  return producer_state_encode(partition->producers, out);
}

static enum status restore(void *owner, struct bytes state) {
  struct partition *partition = owner;
  if (state.size == 0) return STATUS_OK;
  uint8_t version = state.data[0];
  if (version != STATE_PLAIN && version != STATE_WITH_PRODUCERS) return STATUS_FOREIGN;
  if (state.size < STATE_SIZE || (version == STATE_PLAIN && state.size != STATE_SIZE)) return STATUS_CORRUPT;
  record_offset start = (record_offset)get_u64(state.data + 1);
  if (start < 0) return STATUS_CORRUPT;
  if (version == STATE_WITH_PRODUCERS) {
    enum status status = producer_state_restore(partition->producers, bytes_after(state, STATE_SIZE));
    if (status != STATUS_OK) return status;
  }
  if (start > log_view(partition->log).start_offset) log_set_start(partition->log, start);
  return STATUS_OK;
}

void partition_cut(struct partition *partition, entry_index from) {
  PRE(from > partition->applied_index);
  producer_state_cut(partition->producers, from);
  if (partition->proposed_index >= from) partition->proposed_index = from - 1;
  partition_append_cut(partition, from, replica_fenced(partition->replica) ? STATUS_FENCED : STATUS_NOT_LEADER);
}

/* What was proposed and is not applied another leader may keep or cut: either way it is no longer this one that decides on it. */
static void role_changed(void *owner, bool leads, entry_term term, const struct replica_id *leader) {
  struct partition *partition = owner;
  bool led = partition->leads;
  partition->leads = leads;
  publish_leader(partition, leader->broker);
  partition_lead_role_changed(partition, led, leads);
  partition_transfer_role_changed(partition, term, leader->broker);
  if (leads || !led) return;
  trace_warn("partition_lost_leadership", "group=%" PRIu64 " term=%" PRIu64 " leader=%u", partition->place.group, term,
             leader->broker);
  partition_cut(partition, partition->applied_index + 1);
  partition_append_fail_all(partition, replica_fenced(partition->replica) ? STATUS_FENCED : STATUS_NOT_LEADER);
}

static void stays(void *owner) {
  partition_lead_stays(owner);
  partition_transfer_stays(owner);
}

/* Only where another broker leads: nothing is proposed, and nobody waits for an append. */
static void replaced(void *owner, struct log *log) {
  struct partition *partition = owner;
  struct log_settings settings = partition_log_settings(&partition->settings);
  entry_index last = log_view(log).last_index;
  partition->log = log;
  log_set_settings(log, &settings);
  producer_state_free(partition->producers);
  partition->producers = producer_state_new(partition->place.group, partition->host->hash_seed);
  partition->applied_index = partition->proposed_index = last;
  partition_wake_soon(partition);
}

static const struct state_machine_ops partition_machine = {
    .apply = apply, .snapshot = snapshot, .restore = restore, .role_changed = role_changed, .stays = stays, .replaced = replaced};

enum status partition_propose(struct partition *partition, struct proposal *proposal) {
  enum status status = replica_propose(partition->replica, proposal);
  if (status != STATUS_OK) return status;
  const struct entry_head *head = &proposal->entry.head;
  partition->proposed_index = head->index;
  if (head->kind == ENTRY_PRODUCER || head->producer_id != 0) producer_state_propose(partition->producers, &proposal->entry);
  return STATUS_OK;
}

/* ---- Life ---- */

struct log_settings partition_log_settings(const struct topic_settings *settings) {
  return (struct log_settings){.segment_bytes = (uint64_t)settings->segment_bytes,
                               .retention_bytes = settings->retention_bytes,
                               .retention_ms = settings->retention_ms};
}

static struct partition_places founding_places(const struct raft_config *founding, broker_id self) {
  struct partition_places places = {.count = 1, .brokers = {self}};
  if (founding == NULL) return places;
  places.count = founding->count < MAP_REPLICAS_MAX ? founding->count : MAP_REPLICAS_MAX;
  for (uint32_t i = 0; i < places.count; i++) places.brokers[i] = founding->members[i].id.broker;
  return places;
}

enum status partition_open(struct partition_host *host, struct log *log, const struct partition_place *place,
                           const struct topic_settings *settings, struct partition **out_partition) {
  struct partition *partition = NEW(struct partition);
  atomic_init(&partition->holders, 2);
  partition->host = host;
  partition->place = *place;
  partition->place.founding = NULL;
  partition->place.instance = log_view(log).instance;
  partition->self = host->self;
  partition->self.placement = partition_placement(partition->place.instance);
  partition->log = log;
  list_init(&partition->stalled);
  list_init(&partition->depending);
  list_init(&partition->readers);
  list_init(&partition->tails);
  list_init(&partition->transfers);
  partition->places = founding_places(place->founding, partition->self.broker);
  partition_set_settings(partition, settings);
  partition->producers = producer_state_new(place->group, host->hash_seed);

  struct state_machine machine = {.ops = &partition_machine, .owner = partition};
  struct replica_options options = {.self = partition->self, .founding = place->founding};
  enum status status = replica_open(host->lane, log, &options, &machine, &partition->replica);
  if (status != STATUS_OK) {
    producer_state_free(partition->producers);
    memory_free(partition);
    return status;
  }
  partition->history_over = true;
  partition->applied_index = log_view(log).commit_index; /* the state may have covered all of it */
  partition_publish_range(partition);
  if (partition_alone(partition)) publish_leader(partition, host->self.broker);
  list_push_back(&host->partitions, &partition->node);
  *out_partition = partition;
  return STATUS_OK;
}

void partition_set_settings(struct partition *partition, const struct topic_settings *settings) {
  if (partition->closed) return;
  partition->settings = *settings;
  struct log_settings log_settings = partition_log_settings(settings);
  log_set_settings(partition->log, &log_settings);
}

void partition_start(struct partition *partition) { replica_start(partition->replica); }

void partition_campaign(struct partition *partition) {
  if (!partition->closed && replica_leader(partition->replica).broker == 0) replica_campaign(partition->replica);
}

static void deleted(void *context) {
  struct partition *partition = context;
  partition->log = NULL;
  partition->replica = NULL;
  list_remove(&partition->node);
  partition_release(partition);
}

void partition_close(struct partition *partition, bool left) {
  PRE(!partition->closed);
  if (partition->waiting > 0) REACHED(partition_deleted_under_waiters);
  partition->closed = true;
  partition->left = left;
  partition_append_fail_all(partition, partition_closed_status(partition));
  partition_read_hurry_all(partition);
  partition_tail_end_all(partition, partition_closed_status(partition));
  partition_transfer_end_all(partition, "is not asked any more: the partition is deleted here");
  partition_lead_end(partition);
  publish_leader(partition, 0);
  replica_delete(partition->replica, deleted, partition);
}

/* ---- What is common to those who ask ---- */

enum status partition_closed_status(const struct partition *partition) {
  return partition->left ? STATUS_NOT_LEADER : STATUS_UNKNOWN_PARTITION;
}

struct failure *partition_closed_failure(const struct partition *partition) {
  if (partition->left) return refusal_new(STATUS_NOT_LEADER, "the partition has moved to other brokers: ask another one");
  return refusal_new(STATUS_UNKNOWN_PARTITION, "the partition is gone: its topic was deleted; create it again if you need it");
}

struct failure *partition_refusal(const struct partition *partition, enum status status) {
  if (status == STATUS_UNKNOWN_PARTITION && partition->left) return partition_closed_failure(partition);
  bool elsewhere = status == STATUS_NOT_LEADER || status == STATUS_REPLACED || status == STATUS_FENCED;
  broker_id leader = elsewhere && partition->replica != NULL ? replica_leader(partition->replica).broker : 0;
  const struct partition_host *host = partition->host;
  if (leader == 0 || leader == host->self.broker) return refusal_of_status(status);
  char address[FAILURE_LEADER_SIZE] = "";
  bool known = host->address_of != NULL && host->address_of(host->address_context, leader, address);
  struct failure *failure = refusal_new(status, "%s; broker %u%s%s leads it now: send it there", status_text(status), leader,
                                        known ? " at " : "", known ? address : "");
  if (known) snprintf(failure->leader, sizeof failure->leader, "%s", address);
  return failure;
}

struct failure *partition_proposal_failure(const struct partition *partition, enum status status) {
  if (status == STATUS_UNKNOWN_PARTITION && partition->left) status = STATUS_UNKNOWN_OUTCOME;
  struct failure *failure = partition_refusal(partition, status);
  if (status != STATUS_REPLACED) failure->executed = EXECUTED_MAYBE; /* it was in the journal's hands */
  return failure;
}

static void describe(struct partition *partition, struct partition_description *out_description) {
  struct log_view view = log_view(partition->log);
  *out_description = (struct partition_description){
      .start_offset = view.start_offset,
      .next_offset = view.next_offset,
      .high_watermark = replica_high_watermark(partition->replica),
      .term = replica_term(partition->replica),
      .group = partition->place.group,
      .bytes = view.bytes,
      .max_time_ms = view.max_time_ms,
      .leader = replica_is_leader(partition->replica),
      .leader_id = replica_leader(partition->replica).broker,
      .fenced = replica_fenced(partition->replica),
  };
  out_description->damaged_count = log_damaged_ranges(partition->log, out_description->damaged, PARTITION_DAMAGED_RANGES_MAX);
}

static void described(struct replica_read *read, enum status status) {
  struct partition_describe *request = container_of(read, struct partition_describe, read);
  struct partition *partition = request->partition;
  request->failure = NULL;
  if (partition->closed) request->failure = partition_closed_failure(partition);
  else if (status == STATUS_OK) describe(partition, &request->description);
  else request->failure = partition_refusal(partition, status);
  request->done(request);
}

/* Whoever is alone knows everything that there is, also when its disk has failed. */
void partition_describe(struct partition_describe *request) {
  struct partition *partition = request->partition;
  request->read.done = described;
  if (partition->closed) described(&request->read, STATUS_UNKNOWN_PARTITION);
  else if (partition_alone(partition)) described(&request->read, STATUS_OK);
  else replica_read(partition->replica, &request->read);
}

/* ---- All partitions of a lane ---- */

static void retention_timer_fired(struct timer *timer) {
  struct partition_host *host = container_of(timer, struct partition_host, retention_timer);
  int64_t now_ms = loop_wall_ms(host->loop);
  list_for_each(&host->partitions, node, following) partition_keep_retention(list_entry(node, struct partition, node), now_ms);
  loop_timer_set(host->loop, &host->retention_timer, loop_now_ns(host->loop) + host->retention_interval_ns);
}

void partition_host_init(struct partition_host *host) {
  list_init(&host->partitions);
  partition_stall_init(host);
  partition_lead_init(host);
  atomic_init(&host->led, 0);
  host->retention_timer.fire = retention_timer_fired;
}

void partition_host_adopt(struct partition_host *host) {
  list_for_each(&host->partitions, node, following) {
    struct partition *partition = list_entry(node, struct partition, node);
    log_adopt(partition->log, host->loop);
    partition_start(partition);
  }
}

void partition_host_start(struct partition_host *host) {
  loop_timer_set(host->loop, &host->retention_timer, loop_now_ns(host->loop) + host->retention_interval_ns);
}

void partition_host_set_retention(struct partition_host *host, uint64_t interval_ns) {
  host->retention_interval_ns = interval_ns;
  partition_host_start(host);
}

void partition_host_drain(struct partition_host *host) {
  host->draining = true;
  loop_timer_cancel(host->loop, &host->retention_timer);
  partition_lead_drain(host);
  list_for_each(&host->partitions, node, following) {
    struct partition *partition = list_entry(node, struct partition, node);
    partition_read_hurry_all(partition);
    partition_tail_end_all(partition, STATUS_DRAINING);
    partition_transfer_end_all(partition, "this one is shutting down");
  }
}

void partition_host_close(struct partition_host *host) {
  for (struct list_node *node; (node = list_pop_front(&host->partitions)) != NULL;) {
    struct partition *partition = list_entry(node, struct partition, node);
    replica_free(partition->replica);
    partition->replica = NULL;
    partition->log = NULL;
    partition->closed = true;
    partition_release(partition);
  }
}
