#include "replication/steady.h"

static bool is_fit(const struct steady *steady) { return steady->up && !steady->reluctant; }

/* The first fall since anything was forgiven costs nothing: everybody is started anew some time. */
static uint64_t needed_ns(const struct steady *steady, uint64_t patience_ns) {
  return patience_ns << (steady->falls == 0 ? 0 : steady->falls - 1);
}

static void fall(struct steady *steady, uint64_t patience_ns, uint64_t now_ns) {
  uint64_t forgiven_ns = needed_ns(steady, patience_ns) + STEADY_FORGIVEN * patience_ns;
  if (now_ns - steady->since_ns >= forgiven_ns) steady->falls = 0;
  if (steady->falls <= STEADY_FALLS_MAX) steady->falls++;
}

void steady_edge(struct steady *steady, enum peer_edge edge, uint64_t patience_ns, uint64_t now_ns) {
  bool was_fit = is_fit(steady), was_reluctant = steady->reluctant;
  if (edge == PEER_ROOM) return;
  if (edge == PEER_UP) steady->up = true;
  if (edge == PEER_DOWN && steady->up) steady->down_ns = now_ns;
  if (edge == PEER_DOWN) steady->up = false;
  if (edge == PEER_RELUCTANT) steady->reluctant = true;
  if (edge == PEER_WILLING) steady->reluctant = false;
  if (was_fit && !is_fit(steady)) fall(steady, patience_ns, now_ns);
  bool same = was_fit == is_fit(steady) && was_reluctant == steady->reluctant;
  if (!same || (edge == PEER_RESET && is_fit(steady))) steady->since_ns = now_ns;
}

enum steadiness steady_of(const struct steady *steady, uint64_t patience_ns, uint64_t now_ns, uint64_t *out_due_ns) {
  uint64_t due_ns = steady->since_ns + (steady->reluctant ? patience_ns : needed_ns(steady, patience_ns));
  bool stopped = steady->reluctant && !steady->up && steady->down_ns < due_ns;
  bool any = !stopped && (steady->reluctant || is_fit(steady));
  *out_due_ns = any && now_ns < due_ns ? due_ns : STEADY_NEVER;
  if (!any || now_ns < due_ns) return UNSTEADY;
  return steady->reluctant ? STEADILY_OUT : STEADY;
}

static struct steady_broker *find(struct steady_brokers *brokers, broker_id broker) {
  for (size_t i = 0; i < brokers->count; i++)
    if (brokers->rows[i].broker == broker) return &brokers->rows[i];
  return NULL;
}

static struct steady_broker *make(struct steady_brokers *brokers, broker_id broker) {
  struct steady_broker *row = NULL;
  if (brokers->count < PEER_BROKERS_MAX) row = &brokers->rows[brokers->count++];
  for (size_t i = 0; i < brokers->count && row == NULL; i++)
    if (!brokers->rows[i].steady.up) row = &brokers->rows[i];
  if (row != NULL) *row = (struct steady_broker){.broker = broker};
  return row;
}

void steady_brokers_edge(struct steady_brokers *brokers, broker_id broker, enum peer_edge edge, uint64_t now_ns) {
  struct steady_broker *row = find(brokers, broker);
  if (row == NULL) row = make(brokers, broker);
  if (row != NULL) steady_edge(&row->steady, edge, brokers->patience_ns, now_ns);
}

enum steadiness steady_brokers_of(const struct steady_brokers *brokers, broker_id broker, uint64_t now_ns, uint64_t *out_due_ns) {
  for (size_t i = 0; i < brokers->count; i++)
    if (brokers->rows[i].broker == broker) return steady_of(&brokers->rows[i].steady, brokers->patience_ns, now_ns, out_due_ns);
  *out_due_ns = STEADY_NEVER;
  return UNSTEADY;
}
