/* Has a broker been the same for long enough to act upon it? For what is nice to have and costs a little: a leadership that goes back to whom the
 * map has first. One to a broker; pure: edges and time in, a word out.
 *
 *   unsteady ──up and willing for the patience──> steady ──down, reluctant or cut off──> unsteady
 *   unsteady ──reluctant for the patience──> out of the question ──willing──> unsteady
 *
 * One that stops is reluctant for its last moments: that is no more than being down.
 *
 * A broker that falls again soon has to be steady for longer: twice as long for each fall, up to 2^STEADY_FALLS_MAX times. Falls are forgiven
 * once it has been steady STEADY_FORGIVEN times the patience. So one that flaps gets nothing, and one that was started anew after long gets
 * what is its own after the patience.
 *
 * Nobody is steady before he was heard of.
 */
#ifndef CAIRN_REPLICATION_STEADY_H
#define CAIRN_REPLICATION_STEADY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log/entry.h"
#include "replication/peers.h"

#define STEADY_FALLS_MAX 5u
#define STEADY_FORGIVEN 8u
#define STEADY_NEVER UINT64_MAX

enum steadiness {
  UNSTEADY,
  STEADY,       /* up and willing, and has been */
  STEADILY_OUT, /* reluctant, and has been: it is drained, or its disk has been full for long */
};

struct steady {
  bool up;
  bool reluctant;
  uint64_t since_ns; /* it is up and willing, or reluctant */
  uint64_t down_ns;  /* it went down the last time */
  unsigned falls;
};

/* `patience_ns` counts for what is forgiven. */
void steady_edge(struct steady *steady, enum peer_edge edge, uint64_t patience_ns, uint64_t now_ns);
/* `*out_due_ns`: when it is another word if nothing happens until then; STEADY_NEVER: not without an edge. */
enum steadiness steady_of(const struct steady *steady, uint64_t patience_ns, uint64_t now_ns, uint64_t *out_due_ns);

/* The brokers that a lane hears of. */
struct steady_brokers {
  uint64_t patience_ns;
  size_t count;
  struct steady_broker {
    broker_id broker;
    struct steady steady;
  } rows[PEER_BROKERS_MAX];
};
/* One more than PEER_BROKERS_MAX takes the place of one that is down. */
void steady_brokers_edge(struct steady_brokers *brokers, broker_id broker, enum peer_edge edge, uint64_t now_ns);
enum steadiness steady_brokers_of(const struct steady_brokers *brokers, broker_id broker, uint64_t now_ns, uint64_t *out_due_ns);

#endif
