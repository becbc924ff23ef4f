/* What the files of the wires between brokers share. Nobody else includes it.
 *
 *   peers.c           open, set, stop; the peers loop's picture of the others
 *   peers_link.c      connections to one broker: made, handed to the lanes, taken back, made anew
 *   peers_lane.c      a lane's side: what it is told, what it tells
 *   peers_stream.c    a lane's queue on one connection: drafts, flow, loss, backoff
 *   peers_beat.c      beats out and in: who is up, who leads what
 *   peers_service.c   the server: hellos, packets in, to the lanes
 *   peers_admit.c     which processes of other brokers are let in
 *   peers_recall.c    what is remembered of others, told to them
 *
 * Whose is what. Everything in struct peer_broker and struct peer_link is the peers loop's; everything in struct peer_lane and below (outbox,
 * stream) its lane's; a run's fields are the lane's or loop's that began it, but for its atomics. What crosses goes by loop_post(): an
 * order is made by one side and freed by the other when it has run.
 *
 * Who may touch a channel. The peers loop opens and closes it; lanes start requests on it between LANE_OPEN and their `let go`. A link is
 * closed in three steps, none of which waits: LANE_CLOSE to each lane, each cancels its requests; when the last has let go, the channels
 * are closed; then it is opened anew or forgotten.
 */
#ifndef CAIRN_REPLICATION_PEERS_INTERNAL_H
#define CAIRN_REPLICATION_PEERS_INTERNAL_H

#include <stdatomic.h>

#include "base/list.h"
#include "replication/liveness.h"
#include "replication/peer_memory.h"
#include "replication/peers.h"
#include "replication/vouch.h"

#define PEER_EXCHANGE_METHOD "/cairn.internal.v1.Peer/Exchange"
#define PEER_BEAT_METHOD "/cairn.internal.v1.Peer/Beat"
#define PEERS_HANDLERS 3u
#define PEER_REASON_SIZE 320u /* of why a stream ended */
#define PEER_BACKOFF_NS 50000000u
#define PEER_BACKOFF_NS_MAX 1000000000u
#define PEER_SETTLED_NS 1000000000u /* a stream that lasted so long was a good one: the backoff begins anew */
#define PEER_STILL_BEATS 3u         /* intervals without a tick of our own, and those that others are then given */
#define PEER_SENDS_MAX 4u           /* packets given to the transport and not taken yet, of one stream */

/* The two connections to a broker. */
enum peer_road {
  PEER_SWIFT, /* beats, votes, answers: small, and waited for */
  PEER_BULK   /* whatever may carry entries, or must stay in order with it */
};
#define PEER_ROADS 2u

/* ---- The peers loop's ---- */

struct peer_link;

/* One connection's Beat stream. Freed by the loop after `done` has run there. */
struct peer_beat_run {
  struct peers *peers;
  struct peer_link *link;
  struct rpc_request *request;
  uint64_t began_ns;
  enum grpc_status code;
  char reason[PEER_REASON_SIZE];
  struct task done_task;
};

/* Connections to one broker at one address. */
struct peer_link {
  struct list_node node;
  struct peers *peers;
  struct peer_broker *broker;
  struct peer_address address;
  struct rpc_channel *channels[PEER_ROADS];
  uint64_t boot; /* of the process that it was opened to: which was up then, or was heard first since; 0: none was */
  uint64_t opened_ns;
  unsigned holders; /* lanes and the beat run */
  bool closing;
  bool wanted; /* open it anew when it is closed */
  struct peer_beat_run *beats;
  unsigned beat_failures;
  uint64_t beat_at_ns; /* no attempt before */
  bool greeted;        /* the beat stream has had its hello */
  bool list_wanted;
};

/* What is known of the processes of one directory of a broker, and the streams that they have begun here. */
struct peer_guest {
  struct list_node node;
  struct peer_memory memory;
  struct list streams;     /* struct peer_inbound */
  uint64_t settled_boot;   /* memory.boot, once that is kept: the one process that is let in */
  uint64_t keeping_boot;   /* memory.boot as it is being kept */
  uint64_t kept_journal;   /* memory.journal as it was, or is being, kept */
  uint64_t heard_ns;       /* a beat of the settled process */
  uint64_t beats;          /* of that process */
  uint64_t candidate_boot; /* who wants to go on from a process that lives; 0: nobody */
  uint64_t candidate_ns;   /* since when */
  uint64_t told_boot;      /* of whom it was said that it is not let in */
};

enum peer_standing { PEER_STANDS_WAITING, PEER_STANDS_ADMITTED, PEER_STANDS_OVER };

/* A stream that another broker began. Held until it is closed and the peers loop has taken leave of it, and by each packet on its way. */
struct peer_inbound {
  struct peers *peers;
  struct rpc_call *call; /* a hold */
  atomic_uint holders;
  atomic_uint waiting; /* packets that lanes have not looked at */
  bool is_beats;
  bool greeted;
  struct peer_hello hello; /* without its lineage */
  atomic_int standing;     /* enum peer_standing; written on the peers loop */
  struct task knock_task;
  struct task leave_task;
  /* The peers loop's. */
  struct list_node node;
  struct peer_guest *guest;   /* NULL: it has not knocked */
  struct peer_packet *packet; /* what came with the hello, until it is admitted; NULL */
};

/* What is known of a broker, by its id, whether there are connections or not. */
struct peer_broker {
  struct list_node node;
  struct peers *peers;
  broker_id id;
  struct peer_link *link; /* NULL: nobody told us of it, or not any more */
  struct liveness liveness;
  struct roll led; /* by us, with it as a member */
  struct vouch vouch;
  bool deaf;      /* by its own word it has not heard of us for an election timeout */
  bool reluctant; /* by its last beat it had better not lead */
};

struct peers {
  struct peers_options options; /* listen, more: not kept */
  struct world *world;
  struct loop *loop;
  struct rpc_handler handlers[PEERS_HANDLERS + PEERS_MORE_MAX];
  char address[PEER_ADDRESS_SIZE];
  struct list brokers;
  struct list links; /* also those that are closing */
  struct list guests;
  size_t guest_count;
  bool keeping;   /* what is known of guests is being kept */
  bool keep_owed; /* and has changed since */
  uint64_t kept_ns;
  struct task kept_task;
  uint8_t lineage[LINEAGE_SIZE_MAX]; /* this broker's own, as it is told */
  size_t lineage_size;
  struct timer tick;
  uint64_t ticked_ns;      /* when it last fired; 0: not yet */
  bool leaves;             /* what the lanes were last told of this broker */
  struct peer_lane *lanes; /* lane_count of them */
  unsigned unsettled;      /* while it stops: lanes that have not said farewell */
  bool stopping;
  bool stopped;
  atomic_bool quiet; /* nothing of it is under way */
  atomic_int_fast64_t clock_offset_ms;
};

struct peer_broker *peers_find(struct peers *peers, broker_id id); /* NULL */
struct peer_broker *peers_broker(struct peers *peers, broker_id id);
/* When it stops: nothing is left, or not yet. */
void peers_settle(struct peers *peers);
uint64_t peers_backoff_ns(struct peers *peers, unsigned failures);
struct peer_hello peers_hello(const struct peers *peers, const struct replica_id *to);

struct peer_link *peer_link_new(struct peer_broker *broker, const struct peer_address *address);
void peer_link_open(struct peer_link *link);
void peer_link_close(struct peer_link *link, bool wanted);
void peer_link_let_go(struct peer_link *link);

void peers_beat_tick(struct timer *timer);
void peers_beats_begin(struct peers *peers);
/* A beat came; from its own inbound stream. Takes over `blob`. */
void peers_beat_heard(struct peer_inbound *inbound, struct blob *blob);
void peers_broker_down(struct peer_broker *broker);

extern const struct rpc_handler peers_handlers[PEERS_HANDLERS];

void peers_guests_init(struct peers *peers, const struct peer_memory *known, size_t count);
void peers_guests_deinit(struct peers *peers);
struct peer_guest *peers_guest(const struct peers *peers, const struct replica_id *id); /* NULL */
/* Its newest process was heard of within an election timeout, on a connection that stands. */
bool peer_guest_lives(const struct peers *peers, const struct peer_guest *guest);
void peers_keep(struct peers *peers);
void peers_keep_now_and_then(struct peers *peers, uint64_t now_ns);
/* This loop stood still: what was said meanwhile waits to be heard. */
void peers_forgive_guests(struct peers *peers, uint64_t now_ns);
void peers_knock(struct task *task); /* of a peer_inbound that carries messages */
void peers_leave(struct task *task);
/* A beat that tells of so much journal came on a stream, `message` being the whole of it. False: nothing of it is to be believed. */
bool peers_hear_of(struct peer_inbound *inbound, struct bytes message, uint64_t journal);
/* Empty where none is told. STATUS_CORRUPT, STATUS_FOREIGN, STATUS_MALFORMED: it is another directory's, or another process's. */
enum status peer_hello_lineage(const struct peer_hello *hello, const struct replica_id *from, struct lineage *out_lineage);
/* It was admitted: what came with the hello is delivered, and more is asked for. */
void peer_inbound_go_on(struct peer_inbound *inbound);
void peer_inbound_release(struct peer_inbound *inbound);
/* This broker's own process is not let in. @any-thread */
void peers_superseded(struct peers *peers, const struct rpc_result *result);

void peers_recall(void *service, struct rpc_call *call, struct blob *message);

/* ---- A lane's ---- */

struct peer_stream;

/* One Exchange request. Its counters are the transport's to raise. Freed by the lane after `done` has run there. */
struct peer_run {
  struct peer_lane *lane;
  struct peer_stream *stream;
  struct rpc_request *request;
  uint64_t began_ns;
  atomic_uint taken; /* packets, since the lane last looked */
  atomic_bool telling;
  struct task taken_task;
  enum grpc_status code;
  char reason[PEER_REASON_SIZE];
  struct task done_task;
};

struct peer_stream {
  struct peer_outbox *outbox;
  enum peer_road road;
  struct rpc_channel *channel;
  struct list drafts; /* struct peer_queued; the last one fills */
  size_t bytes;       /* queued and sent */
  size_t messages;    /* queued */
  size_t sent_bytes[PEER_SENDS_MAX];
  unsigned sent_first;
  unsigned sent_count;
  struct peer_run *run;
  unsigned failures;
  struct timer retry;
  uint64_t retry_at_ns;
  bool crowded; /* PEER_ROOM is owed */
};

/* A lane's way to one link. */
struct peer_outbox {
  struct list_node node;
  struct peer_lane *lane;
  struct peer_link *link;
  struct replica_id to;
  bool closing;
  struct peer_stream streams[PEER_ROADS];
};

struct peer_told;

struct peer_lane {
  struct peers *peers;
  unsigned number;
  _Atomic(struct loop *) loop; /* NULL until peers_lane() */
  const struct peer_lane_ops *ops;
  void *context;
  struct list outboxes;
  broker_id up[PEER_BROKERS_MAX];
  size_t up_count;
  broker_id reluctant[PEER_BROKERS_MAX]; /* of the others */
  size_t reluctant_count;
  broker_id lost[PEER_BROKERS_MAX]; /* PEER_RESET is owed when there is a way to them again */
  size_t lost_count;
  struct peer_told *told; /* what led() and followed() gather for the peers loop */
  bool over;              /* farewell was said: everything goes nowhere */
  bool joined;            /* the peers loop's: it knows the lane */

  struct task ping;
  atomic_bool pinged;
  atomic_uint_fast64_t turn_ns;     /* when it last ran something */
  atomic_uint_fast64_t unsynced_ns; /* since when a write waits; 0 */
};

/* From the peers loop to a lane. */
enum lane_order_kind { LANE_OPEN, LANE_CLOSE, LANE_EDGE, LANE_LEADS, LANE_RELUCTANT, LANE_FAREWELL };
struct lane_order {
  struct task task;
  struct peer_lane *lane;
  enum lane_order_kind kind;
  struct peer_link *link;
  struct rpc_channel *channels[PEER_ROADS];
  struct replica_id to;
  broker_id broker;
  enum peer_edge edge;
  group_id group;
  entry_term term;
  bool leads;
  bool reluctant;
};
/* To one lane; to all that joined, which it returns the number of. */
void peer_lane_order(struct peer_lane *lane, const struct lane_order *order);
unsigned peers_order(struct peers *peers, const struct lane_order *order);
void peer_lane_ping(struct peer_lane *lane, uint64_t now_ns);
struct peer_lane_health peer_lane_health(const struct peer_lane *lane, uint64_t now_ns);
void peer_lane_init(struct peer_lane *lane, struct peers *peers, unsigned number);
void peer_lane_deinit(struct peer_lane *lane);
static inline struct loop *peer_lane_loop(const struct peer_lane *lane) {
  return atomic_load_explicit(&lane->loop, memory_order_acquire);
}

void peer_stream_init(struct peer_stream *stream, struct peer_outbox *outbox, enum peer_road road, struct rpc_channel *channel);
void peer_stream_deinit(struct peer_stream *stream);
void peer_stream_put(struct peer_stream *stream, group_id group, const struct raft_message *message, const struct entry *entries,
                     size_t count);
bool peer_stream_room(const struct peer_stream *stream);
bool peer_stream_idle(const struct peer_stream *stream); /* nothing that was sent can be lost with it */
void peer_stream_pump(struct peer_stream *stream);
void peer_stream_close(struct peer_stream *stream); /* peer_outbox_closed() follows, now or later */
void peer_outbox_closed(struct peer_outbox *outbox);

/* From a lane to the peers loop. */
enum peers_errand_kind { PEERS_JOIN, PEERS_LET_GO, PEERS_RECONNECT, PEERS_BEAT, PEERS_FAREWELL };
struct peers_errand {
  struct task task;
  struct peers *peers;
  enum peers_errand_kind kind;
  struct peer_lane *lane;
  struct peer_link *link;
  broker_id broker;
};
void peers_errand(struct peers *peers, const struct peers_errand *errand);

/* What lanes tell of groups: (broker, group, term), led by us or followed. */
struct peer_word {
  bool led;
  broker_id broker;
  group_id group;
  entry_term term;
};
struct peer_told {
  struct task task;
  struct peers *peers;
  size_t count;
  size_t capacity;
  struct peer_word *words;
};

#endif
