/* Brokers that are nothing but wires: each a peers object and a few lanes that write down what they are told. On the simulated doors, or on
 * real threads and gRPC.
 *
 * What a lane was told is text, one word to an event, in order:
 *
 *   up2 down2 reset2 room2          ops.edge of broker 2; also reluctant2 willing2
 *   reluctant willing               ops.reluctant
 *   +2:7@3 -2:7@3                   ops.leads: broker 2 leads group 7 in term 3, no longer
 *   2:7/vote#9                      a message from broker 2 for group 7, its sequence
 *   2:7/append#9[4..5]              with entries 4 to 5
 */
#ifndef CAIRN_TESTS_UNIT_REPLICATION_PEER_STAGE_H
#define CAIRN_TESTS_UNIT_REPLICATION_PEER_STAGE_H

#include "base/world.h"
#include "replication/peers.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_world.h"

#define STAGE_BROKERS_MAX 4u
#define STAGE_LANES_MAX 4u
#define STAGE_ELECTION_NS 1000000000u
#define STAGE_HEARTBEAT_NS 100000000u
#define STAGE_MS 1000000u

struct peer_stage;
struct stage_broker;

/* A lane. Everything in it is its loop's. */
struct stage_lane {
  struct stage_broker *broker;
  struct loop *loop;
  struct peer_lane *lane;
  struct buffer told;
  size_t messages;
  size_t payload_bytes;
  uint64_t oldest_unsynced_ns;                                                                /* given to peer_lane_alive() */
  void (*heard)(struct stage_lane *lane, group_id group, const struct peer_message *message); /* may be NULL */
  void (*edged)(struct stage_lane *lane, broker_id broker, enum peer_edge edge);              /* may be NULL */
};

struct stage_broker {
  struct peer_stage *stage;
  broker_id id;
  uint64_t incarnation;
  uint8_t cluster;
  uint64_t boots;
  unsigned lane_count;
  unsigned lanes_late; /* of these stage_start() leaves to the test */
  unsigned lanes_open;
  char address[PEER_ADDRESS_SIZE];
  struct world *world;
  struct peers *peers; /* NULL: it does not run */
  struct account account;
  const struct lineage *lineage; /* NULL: it tells none */
  atomic_uint superseded;        /* times that it was told so */
  /* What it keeps of others: there is no file, but a start after it knows them. */
  struct peer_memory kept[PEER_MEMORIES_MAX];
  size_t kept_count;
  bool keeps_late; /* it is not durable before stage_keep() */
  struct loop *keep_loop;
  struct task *keep_done; /* NULL: nothing waits */
  atomic_uint wish;       /* enum peers_wish: what it is to say of itself */
  struct stage_lane lanes[STAGE_LANES_MAX];
  const struct rpc_handler *more;
  size_t more_count;
  /* simulated */
  struct sim_host *host;
  struct sim_disk *disk;
  struct sim_world *process;
  bool over;
};

struct peer_stage {
  bool real;
  struct sim *sim;
  struct sim_net *net;
  size_t count;
  struct stage_broker brokers[STAGE_BROKERS_MAX];
};

struct peer_stage *peer_stage_new(bool real, size_t brokers, unsigned lanes, uint64_t seed);
void peer_stage_free(struct peer_stage *stage); /* stops all; checks that nothing is held any more */

void stage_start(struct stage_broker *broker);
void stage_open_lane(struct stage_broker *broker); /* the next one */
void stage_stop(struct stage_broker *broker);
void stage_kill(struct stage_broker *broker); /* simulated: like a SIGKILL, then taken apart */
void stage_keep(struct stage_broker *broker); /* what it is to keep is durable now; from now on at once */
/* All that run learn of each other. */
void stage_meet(struct peer_stage *stage);
struct peer_address stage_address(const struct stage_broker *broker);

/* Runs it on the lane, and waits. */
void stage_on(struct stage_lane *lane, void (*run)(struct stage_lane *lane, void *context), void *context);
void stage_run_ms(struct peer_stage *stage, unsigned ms);
/* Until the lane has been told this word; false after `ms`. */
bool stage_told(struct stage_lane *lane, const char *word, unsigned ms);
/* Words equal to this one so far. */
size_t stage_count(struct stage_lane *lane, const char *word);
void stage_forget(struct stage_lane *lane);

/* Simulated: nothing passes from the one to the other; or no more than so many bytes in a second, 0: no bound. */
void stage_cut(struct stage_broker *from, struct stage_broker *to, bool cut);
void stage_speed(struct stage_broker *from, struct stage_broker *to, uint64_t bytes_per_second);

/* What tests send. */
void stage_send(struct stage_lane *lane, struct stage_broker *to, group_id group, enum raft_message_kind kind, uint64_t sequence);
void stage_append(struct stage_lane *lane, struct stage_broker *to, group_id group, entry_index prev, size_t count,
                  size_t payload_bytes, uint64_t sequence);
void stage_led(struct stage_lane *lane, broker_id member, group_id group, entry_term term);
void stage_followed(struct stage_lane *lane, broker_id leader, group_id group, entry_term term);
bool stage_room(struct stage_lane *lane, broker_id broker);

#endif
