/* A cluster of raft cores in one thread and pretended time: the host of raft.h, as small as it can be, with a network and disks that can
 * be told to misbehave, and with checks of what must hold after every step.
 *
 * Each node keeps a log of entries that are one number each, a queue of writes that become durable in order (a journal), messages that
 * wait for them, and a view of which other brokers are alive by heartbeats, which go over the same network. A crash loses the writes that
 * are not durable, or all but a first few of them.
 *
 * What a check finds is kept in `violation`, the first one, in words; nothing aborts but the CHECKs of raft itself.
 *
 * Time is in nanoseconds; everything that happens is decided by the seed and the commands.
 */
#ifndef CAIRN_TESTS_SCENARIOS_RAFT_CLUSTER_H
#define CAIRN_TESTS_SCENARIOS_RAFT_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "replication/raft.h"
#include "replication/raft_mutant.h"
#include "tests/unit/replication/chance.h"

#define CLUSTER_NODES_MAX 7u
#define CLUSTER_LOG_MAX 640u
#define CLUSTER_PACKET_ENTRIES_MAX 8u
#define CLUSTER_PACKETS_MAX 4096u
#define CLUSTER_WRITES_MAX 512u
#define CLUSTER_HELD_MAX 512u
#define CLUSTER_READS_MAX 64u
#define CLUSTER_CONFIGS_MAX 512u
#define CLUSTER_TERMS_MAX 4096u
#define CLUSTER_FORKS_MAX 12u /* different terms at one index */

#define MS 1000000u

struct cluster_entry {
  entry_term term;
  uint64_t value;
  uint64_t chain;
  uint16_t config; /* of a CONFIG entry: its number in the cluster's list, from 1 */
};

/* A log with what was before it: what a node has in memory, and what its disk has. */
struct cluster_log {
  entry_index base; /* entries up to it are only known by their state */
  entry_term base_term;
  uint64_t base_chain;
  uint64_t base_state;
  uint16_t base_config; /* in force at base */
  entry_index base_config_index;
  entry_index last;
  struct cluster_entry entries[CLUSTER_LOG_MAX];
};

struct cluster_snapshot {
  entry_index index;
  entry_term term;
  uint64_t chain;
  uint64_t state;
  uint16_t config;
  entry_index config_index;
};

struct cluster_write {
  bool hard;
  struct hard_state hard_state;
  bool cut;
  entry_index cut_from;
  uint32_t count; /* entries, copied */
  entry_index first;
  struct cluster_entry entries[CLUSTER_PACKET_ENTRIES_MAX + 4];
  bool install;
  struct cluster_snapshot snapshot;
  struct raft_mark mark;
  uint64_t done_ns;
};

struct cluster_read {
  uint64_t ticket;
  entry_index required; /* what anybody had committed when it came */
};

struct cluster_node {
  struct replica_id id;
  bool exists;
  bool up;
  bool stuck;     /* its disk completes nothing */
  bool slow;      /* its disk takes up to seconds */
  bool paused;    /* its process stands still; what arrives waits */
  bool reluctant; /* it had better not lead; its heartbeats say so */
  uint64_t boot;  /* new with every start */
  struct raft raft;
  struct raft_config config; /* in force before the step at hand: what it commits is counted by it */
  struct cluster_log log;
  struct hard_state disk_state;
  struct cluster_log disk;
  struct raft_damage damage; /* to start with */
  struct replica_id lost_id; /* who it was when its disk lost entries up to lost_through */
  entry_index lost_through;
  struct cluster_write *writes; /* a ring */
  size_t write_first;
  size_t write_count;
  struct raft_held_message *held;
  size_t held_count;
  entry_index applied;
  uint64_t state;
  uint64_t deadline_ns;
  uint64_t heartbeat_ns; /* when it sends the next */
  uint64_t heard_ns[CLUSTER_NODES_MAX + 1];
  uint64_t heard_boot[CLUSTER_NODES_MAX + 1];
  struct replica_id heard_id[CLUSTER_NODES_MAX + 1];
  bool alive[CLUSTER_NODES_MAX + 1];
  bool heard_reluctant[CLUSTER_NODES_MAX + 1];
  bool led;                                    /* at the last step */
  unsigned catching_up[CLUSTER_NODES_MAX + 1]; /* heartbeats since its snapshot was offered */
  struct cluster_read reads[CLUSTER_READS_MAX];
  size_t read_count;
};

struct cluster_packet {
  bool used;
  bool heartbeat;
  uint64_t boot;    /* heartbeat */
  entry_term leads; /* heartbeat: 0: it does not */
  bool reluctant;   /* heartbeat */
  struct raft_message message;
  struct cluster_entry entries[CLUSTER_PACKET_ENTRIES_MAX];
  struct cluster_snapshot snapshot;
  uint64_t arrives_ns;
  uint64_t number; /* order of sending */
};

enum cluster_link { LINK_OPEN, LINK_CUT, LINK_HELD };

struct cluster_fork {
  entry_term term;
  uint64_t chain;
};

struct cluster {
  uint64_t now_ns;
  struct chance chance;
  struct cluster_node nodes[CLUSTER_NODES_MAX + 1]; /* by broker, from 1 */
  struct cluster_packet *packets;
  size_t packets_high; /* none is used from here on */
  uint64_t packet_count;
  enum cluster_link links[CLUSTER_NODES_MAX + 1][CLUSTER_NODES_MAX + 1];
  struct raft_config configs[CLUSTER_CONFIGS_MAX];
  uint16_t config_count;
  uint64_t next_value;
  uint64_t election_ns;
  uint64_t heartbeat_ns;
  uint64_t gather_ns;

  /* The world's moods; in thousandths. */
  unsigned drop;
  unsigned duplicate;
  uint64_t replay_ns; /* half of the duplicates come up to so much later */
  uint64_t delay_least_ns;
  uint64_t delay_more_ns;
  uint64_t disk_least_ns;
  uint64_t disk_more_ns;
  uint32_t entries_max;               /* in one message */
  bool drop_kind[RAFT_MESSAGE_KINDS]; /* every message of these kinds */

  bool disks_lie; /* a scenario rolls one back, or changes its bytes: then raft may say so */

  /* What is known of the whole. */
  uint64_t committed[CLUSTER_LOG_MAX];      /* chain links */
  entry_term committed_in[CLUSTER_LOG_MAX]; /* the term of whoever first knew */
  uint64_t states[CLUSTER_LOG_MAX];         /* of the state machine, behind each */
  entry_index committed_last;
  broker_id leaders[CLUSTER_TERMS_MAX];
  struct cluster_fork forks[CLUSTER_LOG_MAX][CLUSTER_FORKS_MAX];
  uint64_t steps;
  uint64_t reads_done;
  uint64_t leader_changes;
  uint64_t hash; /* of everything that happened */
  char violation[256];
  struct buffer *trace; /* NULL: no words */
};

/* Heartbeats ten times in an election timeout. */
struct cluster *cluster_new(uint64_t seed, unsigned nodes, unsigned voters, unsigned election_ms);
/* raft_timing.gather_ns of all, from now on; at first they do not. */
void cluster_gather(struct cluster *cluster, uint64_t gather_ns);
void cluster_free(struct cluster *cluster);

/* The next thing that is due, if it is due by `until_ns`. False: nothing is, and time is `until_ns`. */
bool cluster_next(struct cluster *cluster, uint64_t until_ns);
void cluster_run(struct cluster *cluster, uint64_t span_ns);

/* ---- What a client or an operator does; the status of raft's answer ---- */
enum status cluster_propose(struct cluster *cluster, broker_id broker, uint32_t count);
enum status cluster_read(struct cluster *cluster, broker_id broker);
enum status cluster_transfer(struct cluster *cluster, broker_id broker, broker_id to);
/* `wished`: by somebody. */
enum status cluster_offer(struct cluster *cluster, broker_id broker, broker_id to, bool wished);
/* Bit b of the sets: broker b. */
enum status cluster_change(struct cluster *cluster, broker_id broker, unsigned voters, unsigned learners);
void cluster_campaign(struct cluster *cluster, broker_id broker);
/* It had better not lead, or may again. Outlives its process. */
void cluster_wish(struct cluster *cluster, broker_id broker, bool reluctant);
void cluster_compact(struct cluster *cluster, broker_id broker, entry_index index);

/* ---- What goes wrong ---- */
void cluster_crash(struct cluster *cluster, broker_id broker, size_t writes_kept);
void cluster_restart(struct cluster *cluster, broker_id broker);
/* From where it stood still: the first thing that it does may be to answer a read. */
void cluster_resume(struct cluster *cluster, broker_id broker, bool with_a_read);
/* Down, PRE. Its directory is empty: another incarnation, member of nothing. */
void cluster_wipe(struct cluster *cluster, broker_id broker);
/* Down, PRE. Entries from `from` on are rotten. */
void cluster_damage(struct cluster *cluster, broker_id broker, entry_index from);
/* Down, PRE. The same, and with them its newest hard states: what it promised is not known any more. */
void cluster_forget(struct cluster *cluster, broker_id broker, entry_index from);
/* Up, PRE. It finds that entries up to its last one are not what was written; what it promised it knows. */
void cluster_hole(struct cluster *cluster, broker_id broker);
void cluster_disk_fails(struct cluster *cluster, broker_id broker);
void cluster_release(struct cluster *cluster, broker_id from, broker_id to, bool newest_first);
void cluster_heal(struct cluster *cluster);

/* ---- Looking ---- */
broker_id cluster_leader(const struct cluster *cluster); /* the live one of the newest term; 0: none */
/* One leader, everybody up has what is committed, nobody waits for anything. NULL, or what is not so. */
const char *cluster_unsettled(const struct cluster *cluster);
void cluster_show(struct cluster *cluster);

/* ---- Between the files of the cluster ---- */
void cluster_step(struct cluster *cluster, struct cluster_node *node, struct raft_event *event,
                  const struct cluster_packet *packet, enum status *out_status);
void cluster_send(struct cluster *cluster, struct cluster_node *node, const struct raft_message *message);
void cluster_fail(struct cluster *cluster, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct cluster_entry cluster_entry_at(const struct cluster_log *log, entry_index index);
void cluster_install(struct cluster_log *log, const struct cluster_snapshot *snapshot);
struct cluster_snapshot cluster_snapshot_of(struct cluster *cluster, struct cluster_node *node, entry_index index);
uint64_t cluster_mix(uint64_t a, uint64_t b);
uint64_t cluster_next_network_ns(const struct cluster *cluster);
bool cluster_deliver_one(struct cluster *cluster);
void cluster_heartbeats(struct cluster *cluster, struct cluster_node *node);

void cluster_check_append(struct cluster *cluster, const struct cluster_log *log, entry_index index);
void cluster_check_commit(struct cluster *cluster, const struct cluster_node *node, entry_index index);
void cluster_check_leader(struct cluster *cluster, const struct cluster_node *node);
void cluster_check_reads(struct cluster *cluster, struct cluster_node *node, const struct raft_effects *effects);

void cluster_say(struct cluster *cluster, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cluster_tell_event(struct cluster *cluster, const struct cluster_node *node, const struct raft_event *event);
void cluster_tell_effects(struct cluster *cluster, const struct cluster_node *node, const struct raft_event *event,
                          const struct raft_effects *effects);

#endif
