/* Appends that wait until they can be tried again.
 *
 * They stand in their partition's order, each behind those that were handed in before it. Those that want room in the journal stand in
 * one queue of the lane as well, in the order in which they came: room goes to the first of it and to nobody who came later, so that a
 * partition which is written to rarely has its turn like all others. Whoever is first there but waits for something of its partition's
 * (too much uncommitted, not loaded) steps aside and holds up nobody else.
 *
 * Waiting is worth it: moments without room are normal under load, when a checkpoint is about to give some back, and a refusal would only make
 * the client send it all again.
 */
#include "base/check.h"
#include "base/probe.h"
#include "server/partition_internal.h"

static struct partition_append *append_of(struct list_node *node) { return list_entry(node, struct partition_append, node); }

static void enter_room(struct partition_append *append) {
  if (!list_node_linked(&append->room_node)) list_push_back(&append->partition->host->room, &append->room_node);
}

static void leave_room(struct partition_append *append) {
  if (list_node_linked(&append->room_node)) list_remove(&append->room_node);
}

/* ---- Coming and going ---- */

static void leave(struct partition_append *append) {
  struct partition *partition = append->partition;
  leave_room(append);
  list_remove(&append->node);
  loop_timer_cancel(partition->host->loop, &append->patience);
  partition->waiting--;
  partition->host->stalled_count--;
}

static void forget_if_idle(struct partition *partition) {
  bool idle = list_empty(&partition->stalled) && list_node_linked(&partition->stalled_node);
  if (idle) list_remove(&partition->stalled_node);
}

static void patience_over(struct timer *timer) {
  struct partition_append *append = container_of(timer, struct partition_append, patience);
  struct partition *partition = append->partition;
  leave(append);
  forget_if_idle(partition);
  partition_append_refuse(append, partition_refusal(append->partition, append->stalled_for));
}

static bool may_wait(struct partition *partition) {
  struct partition_host *host = partition->host;
  if (host->stalled_count >= PARTITION_STALLED_MAX || !partition_may_wait(partition)) return false;
  host->stalled_count++;
  return true;
}

void partition_append_stall(struct partition_append *append) {
  struct partition *partition = append->partition;
  struct partition_host *host = partition->host;
  struct list_node *ahead = list_first(&partition->stalled);
  if (ahead != NULL) append->stalled_for = append_of(ahead)->stalled_for;
  uint64_t patience_ns = append->patience_ns / 2; /* an answer in time tells more than a deadline */
  if (patience_ns > host->append_stall_ns) patience_ns = host->append_stall_ns;
  if (patience_ns == 0 || !may_wait(partition)) {
    partition_append_refuse(append, partition_refusal(append->partition, append->stalled_for));
    return;
  }
  uint64_t now_ns = loop_now_ns(host->loop);
  REACHED(append_stalled);
  append->patience = (struct timer){.fire = patience_over};
  loop_timer_set(host->loop, &append->patience, now_ns + patience_ns);
  list_push_back(&partition->stalled, &append->node);
  bool for_room = ahead == NULL ? append->stalled_for == STATUS_JOURNAL_FULL : list_node_linked(&append_of(ahead)->room_node);
  if (for_room) enter_room(append);
  if (list_node_linked(&partition->stalled_node)) return;
  if (list_empty(&host->stalled)) loop_timer_set(host->loop, &host->stall_timer, now_ns + STALL_RETRY_NS);
  list_push_back(&host->stalled, &partition->stalled_node);
}

/* ---- Trying again ---- */

/* The first of a partition's. False: it goes on waiting. */
static bool try_first(struct partition_append *append) {
  struct partition *partition = append->partition;
  struct partition_host *host = partition->host;
  bool in_queue = list_node_linked(&append->room_node);
  bool its_turn = list_empty(&host->room) || list_first(&host->room) == &append->room_node;
  if (in_queue && !its_turn) return false;
  uint64_t until_ns = append->patience.deadline_ns;
  leave(append);
  if (partition_append_try(append, its_turn)) {
    forget_if_idle(partition);
    return true;
  }
  list_push_front(&partition->stalled, &append->node);
  partition->waiting++;
  host->stalled_count++;
  loop_timer_set(host->loop, &append->patience, until_ns);
  if (append->stalled_for != STATUS_JOURNAL_FULL) return false;
  if (its_turn) list_push_front(&host->room, &append->room_node);
  else enter_room(append);
  return false;
}

static void retry_queue(struct partition_host *host) {
  for (struct list_node *node; (node = list_first(&host->room)) != NULL;) {
    struct partition_append *append = list_entry(node, struct partition_append, room_node);
    /* One that was handed in before it steps aside; this one comes back when it is the first of its partition's. */
    if (list_first(&append->partition->stalled) != &append->node) leave_room(append);
    else if (!try_first(append) && list_node_linked(&append->room_node)) return;
  }
}

void partition_append_retry(struct partition *partition) {
  for (struct list_node *node; (node = list_first(&partition->stalled)) != NULL;) {
    if (!try_first(append_of(node))) return;
  }
}

static void retry_all(struct timer *timer) {
  struct partition_host *host = container_of(timer, struct partition_host, stall_timer);
  retry_queue(host);
  list_for_each(&host->stalled, node, following) partition_append_retry(list_entry(node, struct partition, stalled_node));
  if (!list_empty(&host->stalled)) loop_timer_set(host->loop, timer, loop_now_ns(host->loop) + STALL_RETRY_NS);
}

void partition_append_fail_stalled(struct partition *partition, enum status reason) {
  for (struct list_node *node; (node = list_first(&partition->stalled)) != NULL;) {
    struct partition_append *append = append_of(node);
    leave(append);
    partition_append_refuse(append, partition_refusal(partition, reason));
  }
  forget_if_idle(partition);
}

void partition_stall_init(struct partition_host *host) {
  list_init(&host->stalled);
  list_init(&host->room);
  host->stalled_count = 0;
  host->stall_timer = (struct timer){.fire = retry_all};
}
