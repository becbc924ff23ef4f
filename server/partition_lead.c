/* A lane's partitions that are led here in another one's place, and how they come to it. See leads.h. */
#include <inttypes.h>

#include "base/check.h"
#include "base/probe.h"
#include "base/trace.h"
#include "server/partition_internal.h"

static struct leads *leads_of(const struct partition *partition) { return &partition->host->leads; }

static void look_by(struct partition_host *host, uint64_t at_ns) {
  struct leads *leads = &host->leads;
  if (!leads->settings.on || host->draining || leads->astray_count == 0 || at_ns >= leads->due_ns) return;
  leads->due_ns = at_ns;
  loop_timer_set(host->loop, &leads->timer, at_ns);
}

static void look_soon(struct partition_host *host) { look_by(host, loop_now_ns(host->loop) + LEADS_LOOK_NS); }

/* ---- Who is astray ---- */

static bool is_astray(const struct partition *partition) {
  const struct partition_places *places = &partition->places;
  bool elsewhere = places->count > 1 && places->brokers[0] != partition->self.broker;
  return elsewhere && partition->leads && !places->moving && !partition->closed;
}

static void settle_astray(struct partition *partition) {
  struct leads *leads = leads_of(partition);
  bool listed = list_node_linked(&partition->astray_node);
  if (is_astray(partition) == listed) return;
  if (listed) {
    list_remove(&partition->astray_node);
    leads->astray_count--;
  } else {
    list_push_back(&leads->astray, &partition->astray_node);
    leads->astray_count++;
    look_soon(partition->host);
  }
}

void partition_set_places(struct partition *partition, const struct partition_places *places) {
  bool same = places->count == partition->places.count;
  for (uint32_t i = 0; same && i < places->count; i++) same = places->brokers[i] == partition->places.brokers[i];
  if (!same) partition->leadership.held_until_ns = 0;
  partition->places = *places;
  settle_astray(partition);
  if (!same) look_soon(partition->host);
}

void partition_lead_hold(struct partition *partition) {
  partition->leadership.held_until_ns = loop_now_ns(partition->host->loop) + leads_of(partition)->settings.hold_ns;
}

/* ---- Offers ---- */

/* NULL: there are too many to keep count of. */
static struct leads_target *target_of(struct leads *leads, broker_id broker) {
  for (size_t i = 0; i < leads->target_count; i++)
    if (leads->targets[i].broker == broker) return &leads->targets[i];
  if (leads->target_count == PEER_BROKERS_MAX) return NULL;
  struct leads_target *target = &leads->targets[leads->target_count++];
  *target = (struct leads_target){.broker = broker};
  return target;
}

/* It is not under way any more. Returns to whom it was made; NULL: none was. */
static struct leads_target *end_offer(struct partition *partition) {
  if (partition->offered_to == 0) return NULL;
  struct leads_target *target = target_of(leads_of(partition), partition->offered_to);
  partition->offered_to = 0;
  CHECK(target != NULL && target->under_way > 0);
  target->under_way--;
  return target;
}

static void offer(struct partition *partition, struct leads_target *target) {
  struct replica_offer offer = {0};
  enum raft_offer answer = RAFT_OFFER_STRANGER;
  if (partition_find_member(partition, target->broker, &offer.to)) answer = replica_offer(partition->replica, &offer);
  if (answer == RAFT_OFFER_BEGUN) {
    partition->offered_to = target->broker;
    target->under_way++;
    return;
  }
  REACHED(preferred_leader_refused);
  leadership_refused(&partition->leadership, loop_now_ns(partition->host->loop));
}

/* ---- A look ---- */

static struct leadership_choice choose(const struct partition *partition, uint64_t now_ns) {
  const struct partition_places *places = &partition->places;
  struct leadership_candidate candidates[MAP_REPLICAS_MAX];
  for (uint32_t i = 0; i < places->count; i++) {
    struct leadership_candidate *candidate = &candidates[i];
    candidate->self = places->brokers[i] == partition->self.broker;
    candidate->steadiness = steady_brokers_of(&leads_of(partition)->brokers, places->brokers[i], now_ns, &candidate->due_ns);
  }
  return leadership_choose(&partition->leadership, candidates, places->count, now_ns);
}

/* When something may be offered to it; now_ns: now. */
static uint64_t free_ns(const struct leads_target *target, uint64_t now_ns) {
  if (now_ns < target->again_ns) return target->again_ns;
  return target->under_way < LEADS_UNDER_WAY_MAX ? now_ns : now_ns + LEADS_LOOK_NS;
}

/* When it is to be looked at again; now_ns: it has waited for others. */
static uint64_t look_at(struct partition *partition, uint64_t now_ns) {
  struct leadership_choice choice = choose(partition, now_ns);
  if (choice.step != LEADERSHIP_OFFERS || partition->offered_to != 0) return choice.due_ns;
  struct leads_target *target = target_of(leads_of(partition), partition->places.brokers[choice.to]);
  if (target == NULL) return LEADERSHIP_NEVER;
  uint64_t at_ns = free_ns(target, now_ns);
  if (at_ns > now_ns) return at_ns;
  offer(partition, target);
  return partition->offered_to != 0 ? LEADERSHIP_NEVER : partition->leadership.again_ns;
}

static void look(struct timer *timer) {
  struct leads *leads = container_of(timer, struct leads, timer);
  struct partition_host *host = container_of(leads, struct partition_host, leads);
  uint64_t now_ns = loop_now_ns(host->loop), due_ns = LEADERSHIP_NEVER;
  unsigned paced = 0;
  leads->due_ns = LEADERSHIP_NEVER;
  if (!leads->settings.on || host->draining) return;
  for (size_t left = leads->astray_count; left > 0; left--) {
    if (paced == LEADS_PACED_MAX || list_empty(&leads->astray)) break;
    struct list_node *node = list_pop_front(&leads->astray);
    list_push_back(&leads->astray, node);
    uint64_t at_ns = look_at(list_entry(node, struct partition, astray_node), now_ns);
    if (at_ns <= now_ns + LEADS_LOOK_NS) paced++;
    if (at_ns < due_ns) due_ns = at_ns;
  }
  if (due_ns != LEADERSHIP_NEVER) look_by(host, due_ns > now_ns + LEADS_LOOK_NS ? due_ns : now_ns + LEADS_LOOK_NS);
}

/* ---- What happens to the partition ---- */

void partition_lead_role_changed(struct partition *partition, bool led, bool leads) {
  if (led == leads) return;
  struct leads_target *target = end_offer(partition);
  if (target != NULL) {
    REACHED(preferred_leader_takes_over);
    target->failures = 0;
  }
  partition->leadership = (struct leadership){0};
  if (leads && replica_wished(partition->replica)) partition_lead_hold(partition);
  settle_astray(partition);
}

void partition_lead_stays(struct partition *partition) {
  uint64_t now_ns = loop_now_ns(partition->host->loop);
  struct leads_target *target = end_offer(partition);
  if (target == NULL) return;
  REACHED(preferred_leader_does_not_take_over);
  leadership_failed(&partition->leadership, now_ns);
  target->again_ns = now_ns + leadership_failed_pause_ns(target->failures++);
  trace_warn("leadership_not_taken", "group=%" PRIu64 " broker=%u again_ms=%" PRIu64, partition->place.group, target->broker,
             (target->again_ns - now_ns) / 1000000);
  look_by(partition->host, partition->leadership.again_ns);
}

/* Whether it would have been taken nobody knows. */
void partition_lead_end(struct partition *partition) {
  (void)end_offer(partition);
  settle_astray(partition);
}

/* ---- The lane ---- */

void partition_lead_init(struct partition_host *host) {
  list_init(&host->leads.astray);
  host->leads.due_ns = LEADERSHIP_NEVER;
  host->leads.timer.fire = look;
  host->leads.brokers.patience_ns = host->leads.settings.after_ns;
}

void partition_lead_drain(struct partition_host *host) {
  host->leads.due_ns = LEADERSHIP_NEVER;
  loop_timer_cancel(host->loop, &host->leads.timer);
}

void partition_host_set_leads(struct partition_host *host, const struct leads_settings *settings) {
  host->leads.settings = *settings;
  host->leads.brokers.patience_ns = settings->after_ns;
  look_soon(host);
}

void partition_host_edge(void *context, broker_id broker, enum peer_edge edge) {
  struct partition_host *host = context;
  steady_brokers_edge(&host->leads.brokers, broker, edge, loop_now_ns(host->loop));
  if (edge != PEER_ROOM) look_soon(host);
}
