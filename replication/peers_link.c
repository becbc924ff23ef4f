/* Connections to one broker: made, handed to the lanes, taken back, made anew. On the peers loop. */
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/trace.h"
#include "replication/peers_internal.h"

struct peer_link *peer_link_new(struct peer_broker *broker, const struct peer_address *address) {
  struct peer_link *link = NEW(struct peer_link);
  link->peers = broker->peers;
  link->broker = broker;
  link->address = *address;
  list_push_back(&link->peers->links, &link->node);
  return link;
}

void peer_link_open(struct peer_link *link) {
  struct peers *peers = link->peers;
  link->closing = false;
  link->wanted = false;
  link->boot = link->broker->liveness.up ? link->broker->liveness.boot : 0;
  link->opened_ns = loop_now_ns(peers->loop);
  link->beat_failures = 0;
  link->beat_at_ns = 0;
  struct lane_order order = {.kind = LANE_OPEN, .link = link, .to = link->address.id};
  for (size_t road = 0; road < PEER_ROADS; road++) {
    link->channels[road] = rpc_channel_open(peers->world->peers, link->address.address);
    order.channels[road] = link->channels[road];
  }
  link->holders = peers_order(peers, &order);
}

static void closed(struct peer_link *link) {
  struct peers *peers = link->peers;
  for (size_t road = 0; road < PEER_ROADS; road++) {
    rpc_channel_close(link->channels[road]); /* nothing is open on it any more: it does not wait */
    link->channels[road] = NULL;
  }
  if (link->wanted) {
    trace_debug("peer_reconnects", "broker=%u address=%s", link->address.id.broker, link->address.address);
    peer_link_open(link);
    return;
  }
  list_remove(&link->node);
  memory_free(link);
  peers_settle(peers);
}

void peer_link_close(struct peer_link *link, bool wanted) {
  if (link->closing) {
    link->wanted = link->wanted && wanted;
    return;
  }
  link->closing = true;
  link->wanted = wanted;
  if (link->beats != NULL) rpc_request_cancel(link->beats->request);
  struct lane_order order = {.kind = LANE_CLOSE, .link = link};
  unsigned told = peers_order(link->peers, &order);
  CHECK(told + (link->beats != NULL ? 1 : 0) == link->holders);
  if (link->holders == 0) closed(link);
}

void peer_link_let_go(struct peer_link *link) {
  CHECK(link->holders > 0);
  if (--link->holders == 0 && link->closing) closed(link);
}
