/* A partition: what append, read, follow and trim mean on this broker's copy of one log. It owns a data group: replication decides
 * and keeps, the partition checks what comes in, waits for what is committed, and answers.
 *
 * It lives on the lane of its group; every function runs there unless it says otherwise. Requests are structs of the caller's that the
 * partition keeps until it calls their `done`, once, on the lane. A request that fails brings a `failure` that the caller frees;
 * every failure says whether anything was appended.
 *
 * 1. An append is answered OK only after its entry was applied: it is durable on a quorum, and its offsets are final.
 * 2. Conditions are decided in the order of the log, against everything before in it, uncommitted entries included: first whether it is a
 *    repetition, then (a seat) the writers' fence, then the expected offset. An answer that rests on entries which are not committed is given
 *    after they are. If they are cut, or leadership is lost first, a refusal becomes NOT_LEADER (FENCED: the disk failed), executed no, since
 *    this attempt was never proposed; a repetition becomes UNKNOWN_OUTCOME, since its original may come through all the same.
 *    Among several replicas a refusal waits, too, until a majority has confirmed that this one leads.
 * 3. Appends are proposed in the order in which they were handed in, if plain; a compressed one when it has been checked.
 * 4. Nothing that waits holds payloads: it holds an offset.
 * 5. What waits is bounded by `waiters_max`, and appends of all partitions by PARTITION_STALLED_MAX.
 * 6. Appends of a lane that find no room in the journal get it in the order in which they came, before any that come later.
 *
 * partition.c         life, apply, snapshot, waking
 * partition_append.c  check, admit, propose, answer
 * partition_stall.c   appends that wait
 * partition_read.c    read with or without waiting
 * partition_tail.c    followers of the end
 * partition_trim.c    trim, retention, find by time
 * partition_producer.c  open, list and forget producers
 * partition_move.c    its way to other brokers
 * partition_lead.c    how it comes to be led by whom the map has first
 * partition_transfer.c  by whom somebody asks for
 */
#ifndef CAIRN_SERVER_PARTITION_H
#define CAIRN_SERVER_PARTITION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/loop.h"
#include "controller/cluster_map.h"
#include "log/batch.h"
#include "log/log.h"
#include "proto/log_wire.h"
#include "replication/lane.h"
#include "replication/replica.h"
#include "server/leads.h"
#include "server/offload.h"
#include "server/producer_state.h"
#include "server/refusal.h"

struct partition;

/* What all partitions of a lane share. Filled by the node; `loop` is also for other threads. */
struct partition_host {
  struct lane *lane;
  struct loop *loop;
  struct offload *inflater; /* one compressed batch at a time: no more memory than the largest may declare */
  struct replica_id self;
  uint32_t uncompressed_bytes_max;
  uint32_t waiters_max; /* of one partition */
  uint64_t append_stall_ns;
  uint64_t retention_interval_ns;
  uint32_t producers_max; /* of one partition; told to the replicas with each open */
  uint64_t hash_seed;     /* of maps that strangers fill */
  struct leads leads;     /* filled: the settings */
  atomic_uint led;        /* partitions that are led here; @any-thread */
  /* Where clients reach a broker; false: not known here. May be NULL. On the lane. */
  bool (*address_of)(void *context, broker_id broker, char out_address[FAILURE_LEADER_SIZE]);
  void *address_context;

  struct list partitions;
  struct list stalled; /* those with appends that wait */
  struct list room;    /* the appends of all of them that wait for room in the journal, in the order in which they came */
  uint32_t stalled_count;
  bool draining;
  struct timer stall_timer;
  struct timer retention_timer;
};

void partition_host_init(struct partition_host *host);
/* On the lane: takes the recovered logs of its partitions, which were opened before. */
void partition_host_adopt(struct partition_host *host);
/* On the lane: from now on retention is looked after. */
void partition_host_start(struct partition_host *host);
/* On the lane: as often from now on. */
void partition_host_set_retention(struct partition_host *host, uint64_t interval_ns);
/* On the lane: from now on leaderships go back to whom the map has first like this. */
void partition_host_set_leads(struct partition_host *host, const struct leads_settings *settings);
/* On the lane: something happened to a broker. `host`: a struct partition_host; for lane_watch(). */
void partition_host_edge(void *host, broker_id broker, enum peer_edge edge);
/* On the lane: the broker is shutting down. Waiting reads are answered with what is there, followers end. */
void partition_host_drain(struct partition_host *host);
/* After the lane stopped: frees what is left. */
void partition_host_close(struct partition_host *host);

/* ---- Life ---- */

/* The logs of one placement of a replica are a series: each that comes whole from the leader takes the next number. */
static inline instance_id partition_first_instance(uint64_t placement) { return placement << INSTANCE_SERIES_BITS; }
static inline uint64_t partition_placement(instance_id instance) { return instance_series(instance); }

struct partition_place {
  uint64_t topic_id;
  uint32_t number;
  group_id group;
  instance_id instance;               /* of the log that was opened: says which placement of a replica it is */
  const struct raft_config *founding; /* its replicas, by the map; NULL: this broker alone. Borrowed for partition_open(). */
};

struct log_settings partition_log_settings(const struct topic_settings *settings);

/* A recovered log: on the opening thread, which may block, before partition_host_adopt(). A new one: on the lane. The caller gets a
 * hold, the host has its own. */
enum status partition_open(struct partition_host *host, struct log *log, const struct partition_place *place,
                           const struct topic_settings *settings, struct partition **out_partition) MUST_CHECK;
/* On the lane, once its log is adopted (partition_host_adopt() does it) or when it is new: takes part in its group from now on. */
void partition_start(struct partition *partition);
/* It was founded just now, and this replica is the one that is to lead it: asks the others for their votes at once. */
void partition_campaign(struct partition *partition);
/* Its topic is deleted, or (`left`) it is on other brokers now: answers all who wait, then deletes the log. The host's hold goes when that is
 * durable. */
void partition_close(struct partition *partition, bool left);
void partition_set_settings(struct partition *partition, const struct topic_settings *settings);
/* Where the map has it by now, the first to lead it; while it moves its leader is nobody's business. At first: its founding replicas. */
struct partition_places {
  uint32_t count;
  broker_id brokers[MAP_REPLICAS_MAX];
  bool moving;
};
void partition_set_places(struct partition *partition, const struct partition_places *places);

/* What replication says through the state machine: entries from `from` on, none of which was applied, are gone from the log. All that rests on
 * them goes with them: the head of the producers, and the answers that wait for them. */
void partition_cut(struct partition *partition, entry_index from);

struct partition *partition_hold(struct partition *partition); /* @any-thread */
void partition_release(struct partition *partition);           /* @any-thread */

struct partition_host *partition_host_of(const struct partition *partition);  /* @any-thread */
struct partition_place partition_place_of(const struct partition *partition); /* @any-thread */
struct partition_glimpse {
  record_offset log_start_offset;
  record_offset high_watermark;
  broker_id leader; /* 0: not known here */
  uint64_t bytes;   /* of the entries kept */
};
/* As of a moment ago. @any-thread */
struct partition_glimpse partition_glimpse(const struct partition *partition);

/* ---- Append ---- */

struct partition_append {
  struct partition *partition;
  struct wire_append_request request;                /* borrows from `message` */
  struct blob *message;                              /* the partition takes over this hold */
  const atomic_bool *abandoned;                      /* may be NULL; true: nobody waits any more, so do not begin */
  uint64_t patience_ns;                              /* how long the caller still waits; UINT64_MAX: as long as it takes */
  void (*accepted)(struct partition_append *append); /* proposed: `done` will tell the outcome. May be NULL */
  void (*done)(struct partition_append *append);

  struct failure *failure;  /* NULL: appended */
  struct proposal proposal; /* its entry's head is the answer */
  bool duplicate;           /* it was in the log before: of the head only base_offset and record_count are set */

  /* The partition's. */
  struct list_node node;
  struct offload_job job;
  struct batch_summary summary;
  struct batch_limits limits;
  struct blob *named; /* the message, for its producer's name: until the outcome is known */
  struct replica_read confirm;
  entry_index depends_on;
  struct failure *refusal;    /* what is answered when that is committed; NULL: it is a repetition */
  struct list_node room_node; /* of host->room */
  struct timer patience;
  enum status stalled_for;
};
void partition_append(struct partition_append *append);

/* ---- Read ---- */

struct partition_read {
  struct partition *partition;
  record_offset offset;
  uint32_t bytes_max;
  uint32_t bytes_min;
  uint64_t wait_until_ns; /* loop_now_ns(); 0: no waiting */
  void (*done)(struct partition_read *read);

  struct failure *failure;
  struct log_read log; /* OK: its entries; the caller resets it */
  record_offset high_watermark;
  record_offset start_offset;
  record_offset next_offset;

  /* The partition's. */
  struct list_node node;
  struct replica_read confirm;
  struct timer timer;
  uint64_t wake_at_bytes;
  uint64_t mend_until_ns;
  bool mending;   /* it waits for that, and may look once more */
  bool last_look; /* answer with whatever is there */
};
void partition_read(struct partition_read *read);
/* Nobody waits any more: answers now, if it is still waiting. */
void partition_read_hurry(struct partition_read *read);

/* ---- Tail ---- */

#define TAIL_CHUNKS_MAX 8u            /* in flight per stream, unless ... */
#define TAIL_BYTES_MAX (512u * 1024u) /* ... they are this large already; one is always allowed */

struct partition_tail {
  struct partition *partition;
  record_offset offset;
  uint32_t bytes_max;
  /* One chunk: `log` has its entries, perhaps none. Takes what it needs before it returns. */
  void (*chunk)(struct partition_tail *tail);
  /* The last call; `failure` is NULL when it was asked for. */
  void (*ended)(struct partition_tail *tail);

  struct failure *failure;
  struct log_read log;
  record_offset high_watermark;
  record_offset start_offset;
  bool caught_up; /* this chunk says so */

  /* The partition's. */
  struct list_node node;
  struct timer timer;
  uint64_t mend_until_ns;
  record_offset opened_at;
  bool told_caught_up;
  bool reading;
  bool ending;
  uint32_t chunks;
  uint32_t first_chunk;
  uint32_t chunk_bytes[TAIL_CHUNKS_MAX];
  uint32_t bytes;
};
void partition_tail_start(struct partition_tail *tail);
/* The transport took that many more chunks. */
void partition_tail_taken(struct partition_tail *tail, uint32_t chunks);
/* Ends it; `ended` follows, perhaps at once. */
void partition_tail_stop(struct partition_tail *tail);

/* ---- Moving ---- */

/* What has to be done for a move, by whoever leads the partition, in two halves: look() says what the next step would be, and in which term it was
 * said; act() takes it, when it was confirmed meanwhile that the map is as new as the look, and if it still leads in that term. So nobody changes
 * the members by what an older map says. */
struct partition_move {
  struct partition *partition;
  struct map_partition place; /* by the map, fresh for each half */
  struct map_move move;
  void (*done)(struct partition_move *move);

  bool leads;                       /* look: it does, and there is a step to take */
  struct replica_learning learning; /* look: how far its new replicas are, if it leads */
  bool over; /* act: a majority has confirmed that it leads, and its members are just those that they are to be */

  entry_term term; /* the partition's */
  struct replica_read confirm;
};
void partition_move_look(struct partition_move *move);
void partition_move_act(struct partition_move *move);

/* ---- Another leader ---- */

#define PARTITION_TRANSFER_NS_MAX ((uint64_t)30000000000u)

/* Hands the lead to the replica on `to`, by this broker, which leads it, and waits until that one is seen to lead; also where it leads already. It
 * stays there, though the map may have another one first, for leads_settings.hold_ns, or until the leader changes or the map. Failures: NOT_LEADER,
 * LOADING, FENCED; CANNOT_LEAD, CANNOT_LEAD_YET: nothing was begun; DEADLINE, UNKNOWN_OUTCOME: it may lead yet. */
struct partition_transfer {
  struct partition *partition;
  broker_id to;
  bool validate_only;   /* nothing is begun */
  uint64_t patience_ns; /* how long the caller waits, at most PARTITION_TRANSFER_NS_MAX; UINT64_MAX: as long as it takes */
  void (*done)(struct partition_transfer *transfer);

  struct failure *failure;
  bool stranger; /* CANNOT_LEAD, for there is no replica on `to`: perhaps there is no such broker */
  broker_id before;
  broker_id after; /* validate_only: the same */
  entry_term term; /* of `after` */

  /* The partition's. */
  struct list_node node;
  struct timer timer;
  struct replica_read confirm;
};
void partition_transfer(struct partition_transfer *transfer);

/* ---- The rest ---- */

struct partition_trim {
  struct partition *partition;
  record_offset before;
  void (*done)(struct partition_trim *trim);

  struct failure *failure;
  record_offset start_offset;

  struct proposal proposal; /* the partition's */
};
void partition_trim(struct partition_trim *trim);

struct partition_find {
  struct partition *partition;
  int64_t time_ms;
  void (*done)(struct partition_find *find);

  struct failure *failure;
  bool found;
  record_offset offset;
  int64_t found_time_ms;

  struct log_find log; /* the partition's */
  struct timer timer;
  uint64_t mend_until_ns;
};
void partition_find(struct partition_find *find);

/* ---- Producers ---- */

/* Open: the next epoch of a name is its own from then on. Forget: nobody has the name any more. */
struct partition_producer {
  struct partition *partition;
  enum producer_entry_kind kind;
  struct bytes name; /* checked by the partition; lives until `done` */
  void (*done)(struct partition_producer *request);

  struct failure *failure;
  bool known;                /* it was there before */
  struct producer_info info; /* OPEN: as of that entry; the name is borrowed during `done` */

  struct proposal proposal; /* the partition's */
};
void partition_change_producer(struct partition_producer *request);

/* What is remembered, as of the newest applied entry: producers by name behind `after`. The names are borrowed until the lane goes on.
 * STATUS_UNKNOWN_PARTITION when it was deleted, NOT_LEADER when it is elsewhere. */
enum status partition_list_producers(struct partition *partition, struct bytes after, struct producer_info *out_infos, size_t max,
                                     size_t *out_count, struct producer_totals *out_totals) MUST_CHECK;

/* Equal on replicas that applied the same entries. Dear. */
uint64_t partition_producers_hash(const struct partition *partition);

#define PARTITION_DAMAGED_RANGES_MAX 64u
struct partition_description {
  record_offset start_offset;
  record_offset next_offset;
  record_offset high_watermark;
  entry_term term;
  group_id group;
  uint64_t bytes;
  int64_t max_time_ms;
  bool leader;
  broker_id leader_id; /* 0: not known */
  bool fenced;
  size_t damaged_count;
  struct log_range damaged[PARTITION_DAMAGED_RANGES_MAX];
};
/* As of a moment between the call and `done`: nothing that was answered before the call is missing. By the leader alone. A replica that has no
 * other beside it describes itself also when it is fenced. */
struct partition_describe {
  struct partition *partition;
  void (*done)(struct partition_describe *request);

  struct failure *failure;
  struct partition_description description;

  struct replica_read read; /* the partition's */
};
void partition_describe(struct partition_describe *request);

#endif
