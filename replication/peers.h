/* The wires between brokers: what replicas say to each other, and who of the others is alive. One instance to a broker that has others; a
 * broker alone has none, and nothing here runs for it.
 *
 * It has a loop of its own, a server on --peer-listen and, to each other broker, two connections: one for what carries entries and
 * one for what must not wait behind them (beats, votes, answers). They are on world->peers, a transport with its own thread, so that
 * nothing of it waits behind clients.
 *
 *   lane                                  peers loop                              transport's thread
 *   peer_lane_send, flush ──────────────────────────────────────────────────────> stream of this lane to that broker
 *   ops.message  <─────────────────────────────────────────────────────────────── decoded, one task to a message and lane
 *   peer_lane_led, followed ──> rolls ──> a beat to each broker, each interval ──>
 *   ops.edge, ops.leads  <──── liveness <──────────────────────────────────────── a beat of another broker
 *
 * Alive is who has been heard of within an election timeout, by beats of the same boot that tell of no lane standing still and of no write
 * that waits for the disk so long. A beat carries a digest of what its sender leads with the receiver as a member; where it differs from
 * what the receiver believes, the next beat brings the list. So an idle pair of brokers costs two beats an interval, whatever the
 * number of groups.
 *
 * 1. Between two PEER_RESETs the messages of one lane to one broker arrive in order, each once, or from some one on not at all. Across a
 *    PEER_RESET nothing is in order: what was sent before it may be lost, or come late, but not twice. Those that carry entries
 *    (RAFT_APPEND, RAFT_SNAPSHOT, RAFT_RESIGN, what is shipped) and the others go by two connections and have no order between them.
 * 2. Nothing goes to, or is taken from, another cluster or another incarnation. Nor is anything taken from a process that does not go on from
 *    the newest one that is known of its directory (peer_memory.h); of two that both live the first is heard.
 * 3. Every queue has a bound: PEER_OUTBOX_* to each broker, PEER_INBOX_MAX messages from each stream, all received bytes in the account.
 * 4. ops are called on their lane only, never from within a call of the lane's.
 * 5. A broker is up or down, reluctant or willing at a lane by its last edge; it is told to be reluctant before it is told to be up. leads(true)
 *    comes only while it is up, and once for each followed().
 */
#ifndef CAIRN_REPLICATION_PEERS_H
#define CAIRN_REPLICATION_PEERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/world.h"
#include "log/entry.h"
#include "replication/peer_memory.h"
#include "replication/peer_wire.h"
#include "replication/raft.h"

#define PEER_ADDRESS_SIZE 64u
#define PEER_BROKERS_MAX 64u
#define PEER_LANES_MAX 64u
#define PEER_OUTBOX_BYTES_MAX \
  ((size_t)16 << 20) /* of one lane to one broker: queued, or given to the transport and not taken yet */
#define PEER_OUTBOX_MESSAGES_MAX 65536u
#define PEER_APPEND_BYTES_MAX ((size_t)2 << 20) /* of an append of several entries, heads and all; one entry always fits */
#define PEER_INBOX_MAX 4u                       /* messages of one stream that lanes have not looked at yet */

struct peers;
struct peer_lane;

/* A broker as others reach it. */
struct peer_address {
  struct replica_id id;
  char address[PEER_ADDRESS_SIZE]; /* "HOST:PORT" of its --peer-listen, as advertised */
};

/* Had this broker better not lead? */
enum peers_wish {
  PEERS_WILLING,
  PEERS_KEEPS, /* the others are not to hand anything to it */
  PEERS_LEAVES /* nor are its own lanes to keep what they lead */
};

struct peers_options {
  struct world *world; /* with a door `peers` */
  struct replica_id self;
  uint8_t cluster[16];
  const char *listen;      /* "HOST:PORT"; port 0 picks one. Borrowed for the call. */
  struct account *account; /* received messages are charged here */
  unsigned lane_count;
  struct raft_timing timing; /* beats go each heartbeat_ns; silence of election_ns is death */
  uint64_t boot;             /* another number each time that this broker starts; not 0 */
  /* How far this broker's journal is durable, as a number that never goes back; for the others to remember. NULL: they are told nothing. @any-thread */
  uint64_t (*journal)(void *context);
  void *journal_context;
  /* Asked at each beat, and by peers_beat_now(). NULL: always willing. @any-thread */
  enum peers_wish (*wish)(void *context);
  void *wish_context;
  /* Which processes this broker's directory has had, this one first: the others let it in by that. Copied. NULL: they are told none. */
  const struct lineage *lineage;
  /* What was kept of others, as `keep` was told. Copied. */
  const struct peer_memory *known;
  size_t known_count;
  /* Keeps what is known of others, of which only the newest call counts, and posts `done` to `loop` when it is durable, or cannot be made so.
   * Not called again before. On the peers loop, which it must not hold up. Borrows `rows`. NULL: nothing is kept. */
  void (*keep)(void *context, const struct peer_memory *rows, size_t count, struct loop *loop, struct task *done);
  void *keep_context;
  /* Another broker has seen more of this broker's directory than this process has: nothing that it says counts there. Perhaps many times. NULL:
   * nobody wants to know. @any-thread */
  void (*superseded)(void *context, const char *text);
  void *superseded_context;
  const struct rpc_handler *more; /* answered on the same port; Copied, but not what they point to. */
  size_t more_count;              /* at most PEERS_MORE_MAX */
  void *more_service;             /* of those of `more` that have no own_service */
};
#define PEERS_MORE_MAX 16u

/* What brokers ask of each other before they start: server/recall.h. */
#define PEER_RECALL_METHOD "/cairn.internal.v1.Peer/Recall"

/* Serves from now on. STATUS_EXISTS: the address is in use. STATUS_INVALID: it is none. STATUS_IO. */
enum status peers_open(const struct peers_options *options, struct peers **out_peers) MUST_CHECK;
const char *peers_address(const struct peers *peers); /* "HOST:PORT", with the port that it has */

/* @any-thread. Who there is from now on; this broker itself is skipped. Copied. A broker whose incarnation or address changed is taken for
 * another. PRE: count <= PEER_BROKERS_MAX, no broker twice. */
void peers_set(struct peers *peers, const struct peer_address *brokers, size_t count);

/* Is a process that speaks by another way than its streams, with the words of a hello, listened to? */
struct peers_question {
  struct task task;
  struct peers *peers;
  struct replica_id who;
  uint64_t boot;          /* 0: of a version that tells none */
  struct lineage lineage; /* without links: it tells none */
  /* STATUS_OK; STATUS_DIRECTORY_SUPERSEDED; STATUS_LOADING: not while an earlier process of it is heard of. On the peers loop. */
  void (*answered)(struct peers_question *question, enum status status);
};
/* @any-thread. Until `answered` the question is the wires'. PRE: not stopped */
void peers_ask(struct peers *peers, struct peers_question *question);

/* Two steps, from outside of all loops, because lanes and wires hold each other: stop while the lanes still run, close when
 * they have stopped. After peers_stop() nothing is posted to a lane any more, what lanes send goes nowhere, and the port is closed. */
void peers_stop(struct peers *peers);  /* NULL is fine */
void peers_close(struct peers *peers); /* stops if need be; NULL is fine */

/* @any-thread. What this broker's beats tell has changed: they go at once. */
void peers_beat_now(struct peers *peers);

/* @any-thread. By how many milliseconds the median of the wall clocks of all live brokers, this one's among them, is ahead of this one's;
 * 0 while nobody else is alive. */
int64_t peers_clock_offset_ms(const struct peers *peers);

/* ---- A lane's side; everything below runs on that lane ---- */

enum peer_edge {
  PEER_UP,
  PEER_DOWN,
  PEER_RESET,     /* a connection of this lane's to it was lost, with what was on it or queued for it */
  PEER_ROOM,      /* peer_lane_room() is true again after it was false */
  PEER_RELUCTANT, /* it had better not lead, whether it is up or down, until PEER_WILLING */
  PEER_WILLING
};

struct peer_lane_ops {
  void (*message)(void *context, group_id group, const struct peer_message *message);
  void (*edge)(void *context, broker_id broker, enum peer_edge edge);
  /* The broker leads `group` in `term`, by its own word (RAFT_LEADER_HEARD); or it does no longer (RAFT_LEADER_GONE), which comes only after
   * the former. */
  void (*leads)(void *context, broker_id broker, group_id group, entry_term term, bool leads);
  /* This very broker had better not lead, or may again. */
  void (*reluctant)(void *context, bool reluctant);
};

/* Lane `number` of lane_count begins to take part, once: before its loop is given work, or on it. A group belongs to lane group %
 * lane_count. Never NULL; lives as long as `peers`. Brokers that are up already are told by edges. */
struct peer_lane *peers_lane(struct peers *peers, unsigned number, struct loop *loop, const struct peer_lane_ops *ops,
                             void *context);

/* Queues a message to the replica of `group` that message->to names, for the end of the turn. Holds the payloads; all else is copied. Of a
 * RAFT_APPEND `entries` are those that go with it: first index prev_index + 1, at most RAFT_ENTRIES_MAX of PEER_APPEND_BYTES_MAX; their number and not
 * append.count is sent. Dropped when that broker is not known (by this incarnation), or its queue is full. */
void peer_lane_send(struct peer_lane *lane, group_id group, const struct raft_message *message, const struct entry *entries,
                    size_t count);
/* False: keep entries until PEER_ROOM. Also false while that broker is not known. */
bool peer_lane_room(const struct peer_lane *lane, broker_id broker);
/* The lane's turn ended: what it queued leaves, one rpc message to each broker and connection (more when it is over 1 MiB). */
void peer_lane_flush(struct peer_lane *lane);

/* This broker leads `group` in `term` and `member` belongs to it; term 0: not any more. Told to `member` by digest. Leaves with
 * peer_lane_flush(). */
void peer_lane_led(struct peer_lane *lane, broker_id member, group_id group, entry_term term);
/* This broker's replica of `group` follows `leader` in `term`; term 0: not any more. A new leader of the group wants a 0 for the one before
 * first. Answered by ops.leads(). Leaves with peer_lane_flush(). */
void peer_lane_followed(struct peer_lane *lane, broker_id leader, group_id group, entry_term term);

bool peer_lane_up(const struct peer_lane *lane, broker_id broker);
bool peer_lane_reluctant(const struct peer_lane *lane, broker_id broker);

/* Once per turn: when the oldest write of this lane that is not durable yet was given to the journal, by loop_now_ns(); 0: there is none.
 * Beats tell it to the others. */
void peer_lane_alive(struct peer_lane *lane, uint64_t oldest_unsynced_ns);

/* Opens the connections to that broker anew: they may be stuck where beats are not (effects.reconnect). At most once in two election
 * timeouts; PEER_RESET follows. */
void peer_lane_reconnect(struct peer_lane *lane, broker_id broker);

#endif
