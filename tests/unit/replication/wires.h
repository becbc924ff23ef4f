/* A small network in the place of replication/peers: what several brokers in one process say to each other, in pretended time. It offers the
 * lane's side of peers.h, so whoever links it must not link the real one. Each broker has one lane.
 *
 * Messages of one broker to another arrive in order, after a delay; each may be lost. Brokers hear each other's heartbeats, and are told who
 * is up and who leads what, as peers.h says.
 */
#ifndef CAIRN_TESTS_UNIT_REPLICATION_WIRES_H
#define CAIRN_TESTS_UNIT_REPLICATION_WIRES_H

#include <stdbool.h>
#include <stdint.h>

#include "replication/peers.h"
#include "tests/sim/sim.h"
#include "tests/unit/replication/chance.h"

#define WIRES_BROKERS_MAX 5u

struct wires {
  struct sim *sim;
  struct chance chance;
  struct raft_timing timing;
  struct peers *brokers[WIRES_BROKERS_MAX + 1]; /* by number; NULL: down */
  bool cut[WIRES_BROKERS_MAX + 1][WIRES_BROKERS_MAX + 1];
  bool full[WIRES_BROKERS_MAX + 1][WIRES_BROKERS_MAX + 1]; /* no room */
  bool reluctant[WIRES_BROKERS_MAX + 1];                   /* by the beats of each */
  uint64_t last_ns[WIRES_BROKERS_MAX + 1][WIRES_BROKERS_MAX + 1];
  unsigned drop; /* in thousandths */
  uint64_t delay_least_ns;
  uint64_t delay_more_ns;
  uint64_t boots;
  uint64_t messages;
  uint64_t entries;
  bool (*corrupt)(struct entry *entry); /* a test's: changes what travels, true if it did. NULL: nobody does */
};

void wires_init(struct wires *wires, struct sim *sim, uint64_t seed, const struct raft_timing *timing);
void wires_deinit(struct wires *wires); /* PRE: nobody is up. What is under way is dropped. */

/* A broker starts; all others hear of it by its heartbeats. */
struct peers *wires_join(struct wires *wires, const struct replica_id *id);
/* Its process was killed, or stops: nothing of it leaves any more, nothing reaches it. */
void wires_silence(struct peers *peers);
void wires_leave(struct peers *peers); /* after its lane stopped */

/* The connection is lost: what is under way from the one to the other, and the former is told. */
void wires_reset(struct wires *wires, broker_id from, broker_id to);
/* That broker had better not lead, or may again: its own lane hears of it now, others by its next beats. */
void wires_wish(struct wires *wires, broker_id broker, bool reluctant);
/* There is room again. */
void wires_make_room(struct wires *wires, broker_id from, broker_id to);
void wires_heal(struct wires *wires);

#endif
