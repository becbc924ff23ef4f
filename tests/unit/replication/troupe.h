/* Several replicas of one group, each on a lane and a log of its own, on pretended disks in one pretended time, with a small network between
 * them (wires.h), and with checks of what must hold whatever happens:
 *
 *   - what one replica applies at an index every other one applies there, by chain link, also after it was started anew
 *   - a proposal that was answered OK is the entry at its index; one that was REPLACED is not, and never will be
 *   - a read that was answered OK was on a replica that had applied everything that had been answered OK before it was asked
 *   - owners are told of roles in order: a leadership begins once, and ends before anything of another leader is applied
 *   - a state that comes in is said to be in force once, when the log before is closed for good, and before anything behind it is applied
 */
#ifndef CAIRN_TESTS_UNIT_REPLICATION_TROUPE_H
#define CAIRN_TESTS_UNIT_REPLICATION_TROUPE_H

#include <stdbool.h>

#include "tests/unit/replication/stage.h"
#include "tests/unit/replication/wires.h"

#define TROUPE_MAX WIRES_BROKERS_MAX
#define TROUPE_ENTRIES_MAX 20000u
#define TROUPE_GROUP 1u

struct troupe;

struct player {
  struct troupe *troupe;
  struct stage stage;
  struct replica_id id;
  struct replica *replica; /* NULL: down */
  /* Its state, as its snapshots keep it. */
  entry_index last;
  uint64_t sum;
  /* Of this process. */
  uint64_t applied; /* calls */
  bool restored;
  bool leads;
  entry_term led_term;
  struct replica_id leader;
  unsigned leaderships;
  unsigned installs;  /* replaced() */
  unsigned installed; /* as many, a little later */
};

/* A proposal and what became of it. Lives as long as the troupe. */
struct troupe_ask {
  struct list_node node;
  struct player *player;
  struct proposal proposal;
  size_t size;
  bool taken; /* replica_propose() said OK */
  enum status refused;
  unsigned answers;
  enum status answer;
};

struct troupe_read {
  struct list_node node;
  struct player *player;
  struct replica_read read;
  entry_index required;
  unsigned answers;
  enum status answer;
};

struct troupe {
  struct sim *sim;
  struct chance chance;
  struct wires wires;
  struct raft_timing timing;
  struct state_machine_ops ops; /* of all players */
  struct raft_config founding;
  unsigned count;
  struct player players[TROUPE_MAX + 1]; /* by broker, from 1 */
  struct list asks;
  struct list reads;
  uint64_t committed[TROUPE_ENTRIES_MAX]; /* chain links */
  entry_index committed_last;
  size_t state_padding;     /* behind each snapshot */
  entry_index acknowledged; /* the greatest index that was answered OK */
  uint64_t acks, replaced, unknown, reads_ok;
};

/* All are up. Broker b has incarnation {b, 1}. */
struct troupe *troupe_new(uint64_t seed, unsigned count);
void troupe_free(struct troupe *troupe); /* stops whoever is up, checks all answers */

static inline struct player *player_of(struct troupe *troupe, broker_id broker) { return &troupe->players[broker]; }
static inline struct log *log_of(struct troupe *troupe, broker_id broker) {
  return player_of(troupe, broker)->stage.log[TROUPE_GROUP];
}

void troupe_start(struct troupe *troupe, broker_id broker);
void troupe_stop(struct troupe *troupe, broker_id broker, bool checkpoint);
/* Its process is killed and its machine loses power: what was not synced is gone, as `mode` says. */
void troupe_crash(struct troupe *troupe, broker_id broker, enum sim_power_cut mode);
void troupe_isolate(struct troupe *troupe, broker_id broker);

void troupe_run(struct troupe *troupe, unsigned ms);
struct troupe_ask *troupe_propose(struct troupe *troupe, broker_id broker, size_t size);
struct troupe_read *troupe_ask_read(struct troupe *troupe, broker_id broker);
enum status troupe_change(struct troupe *troupe, broker_id broker, const struct raft_config *target);
enum status troupe_transfer(struct troupe *troupe, broker_id broker, broker_id to);

/* The one of the newest term that leads and is ready; 0: none. */
broker_id troupe_leader(const struct troupe *troupe);
/* Waits for a leader that is none of `not`. */
broker_id troupe_wait_leader(struct troupe *troupe, broker_id not );
void troupe_wait_answer(struct troupe *troupe, const struct troupe_ask *ask);
/* One after the other, at whoever leads; each is answered OK. */
void troupe_append(struct troupe *troupe, unsigned count, size_t size);
/* Waits until one leads and everybody who is up has applied all that it has, and is told of what it took. Fails after a minute. */
void troupe_settle(struct troupe *troupe);

#endif
