/* The inside of a producer: who holds a batch, and on which side of the lock.
 *
 *   application threads   add() encodes a record into its queue's open batch, poll() runs callbacks   producer.c, producer_topic.c
 *   the client's loop     closes batches, finds the leader, sends, retries                            queue.c, session.c
 *
 * A batch's way:  open -> ready -> in flight -> finished
 *                           ^---- again ----'    (surely without effect, and worth another try)
 *
 * 1. A queue sends its batches in the order in which they were closed, and sends one again only before any that is behind it.
 * 2. A batch is sent again only after an answer with `executed: no`, or when the transport never took it.
 * 3. A session sends nothing before a question to the same broker was answered: so a broker that is not there costs a wait, never a
 *    `maybe`.
 *    A producer with a name sends again after an unknown outcome too: the broker recognises the sequences.
 * 4. After a refusal a session sends nothing any more; what is behind it is decided by the answers that still come.
 */
#ifndef CAIRN_CLIENTS_C_PRODUCER_INTERNAL_H
#define CAIRN_CLIENTS_C_PRODUCER_INTERNAL_H

#include <pthread.h>

#include "base/map.h"
#include "clients/c/batcher.h"
#include "clients/c/client_internal.h"
#include "clients/c/interests.h"
#include "clients/c/partitioner.h"

/* Streams to one broker. A stream answers in order, so one refusal or one slow partition holds up the others on it. */
#define SESSIONS_PER_BROKER 8u
/* Below what a broker takes from one stream (16 MiB, 1,024 requests). */
#define SESSION_REQUESTS_MAX 512u
#define SESSION_BYTES_MAX (12u * 1024 * 1024)
/* Questions for leaders at one time. */
#define LOOKUPS_MAX 32u
/* Batches that wait for their callbacks. */
#define FINISHED_MAX 1024u

struct cairn_producer {
  struct cairn_client *client;
  struct cairn_producer_options options; /* with the defaults filled in */
  struct account *account;               /* the transport may give back a batch when the producer is gone */
  char *name;                            /* NULL: none */

  pthread_mutex_t lock; /* guards what follows, and what struct queue and struct producer_topic say */
  struct map *topics;
  struct producer_topic *last_topic;
  struct list touched; /* queues that the loop shall look at */
  bool pump_posted;
  bool hurry;      /* a flush: open batches are closed at once */
  bool hurry_once; /* memory is short: the same, until the next pump */
  struct list finished;
  size_t finished_count;
  uint64_t unfinished; /* batches that exist */
  bool has_failure;
  struct failure first_failure; /* since the last flush */

  struct bell bell; /* rung when something finished or a topic is known */
  struct task pump_task;

  /* The loop's. */
  struct list sessions;
  struct list lookups_waiting;
  unsigned lookups;
  uint64_t last_request_id;
  bool closing;
  unsigned running; /* sessions and calls that will still call back */
  struct task close_task;
  struct bell closed; /* rung once */
};

enum topic_stage { TOPIC_UNKNOWN, TOPIC_ASKING, TOPIC_KNOWN, TOPIC_FAILED };

/* Under the lock, but for `ask` and `interest`. */
struct producer_topic {
  struct cairn_producer *producer;
  char *name;
  enum topic_stage stage;
  uint32_t partition_count;
  struct failure failure;
  struct sticky sticky;
  struct map *queues;
  struct task ask_task;
  struct call ask;
  struct interest interest; /* the loop's: in what becomes of it */
};

enum queue_stage {
  QUEUE_LOST,    /* no broker is known; the next batch asks for one */
  QUEUE_LOOKING, /* asking */
  QUEUE_RESTING, /* waiting before it asks again */
  QUEUE_HOME     /* has a session */
};

/* The batches of one partition. */
struct queue {
  struct cairn_producer *producer;
  struct producer_topic *topic;
  uint32_t partition;

  /* Under the lock. */
  struct list_node touched_node;
  struct batch *open;
  struct list ready;
  size_t size_hint;
  bool stopped; /* stop_on_error, and there was one */

  /* The loop's. */
  enum queue_stage stage;
  struct session *session;
  struct list_node session_node;
  struct list_node waiting_node; /* for room in the session, or for a lookup */
  struct list again;             /* refused, to go out once more, in order */
  size_t in_flight;
  unsigned attempts; /* since something succeeded */
  uint64_t rest_ns;
  char address[CAIRN_ADDRESS_SIZE]; /* whom to ask first; "" : any */
  /* Of a producer with a name. It is opened again, which takes the next epoch and tells which sequences are in the log, whenever one that was
   * given away may be missing: then those behind it are given anew, and nothing of an older epoch can come in between. */
  bool opened;
  bool fenced; /* somebody else opened it: never again by us */
  uint32_t epoch;
  uint64_t next_sequence;
  struct timer timer;
  struct call lookup;
};

/* ---- producer.c ---- */

/* Under the lock: the loop shall look at this queue. */
void producer_touch(struct cairn_producer *producer, struct queue *queue);
/* On the loop: the batch's fate is known; failed if batch->failed. */
void producer_finish(struct cairn_producer *producer, struct batch *batch);
void producer_fail(struct cairn_producer *producer, struct batch *batch, const struct failure *failure);
/* On the loop: one of `running` is over. */
void producer_stopped_one(struct cairn_producer *producer);

/* ---- producer_topic.c; under the lock ---- */

struct producer_topic *producer_topic_of(struct cairn_producer *producer, const char *name);
struct queue *producer_topic_queue(struct producer_topic *topic, uint32_t partition);
/* The partition for a message. CAIRN_WAIT: being looked up. Else an error of the topic. */
int producer_topic_choose(struct producer_topic *topic, const struct cairn_message *message, size_t record_size,
                          uint32_t *out_partition, struct cairn_error *error);
void producer_topic_free(struct producer_topic *topic);

/* ---- queue.c; on the loop, without the lock ---- */

void queue_pump(struct queue *queue);
void queue_acknowledged(struct queue *queue, struct batch *batch);
void queue_refused(struct queue *queue, struct batch *batch, const struct failure *failure);
/* Its session is over: what waits goes elsewhere. */
void queue_lost(struct queue *queue);
void queue_close(struct queue *queue);

/* ---- session.c; on the loop ---- */

struct session;
/* The session to a broker that a partition uses; made when it is not there. */
struct session *session_of(struct cairn_producer *producer, const char *address, uint32_t partition);
void session_attach(struct session *session, struct queue *queue);
bool session_has_room(const struct session *session);
bool session_is_ending(const struct session *session); /* its queues will be told that they lost it */
/* When there is room again, or none any more, queue_pump() or queue_lost() is called. */
void session_wait(struct session *session, struct queue *queue);
/* PRE has room. Keeps the batch until queue_acknowledged() or queue_refused(). */
void session_send(struct session *session, struct batch *batch);
/* All of a producer. They end later; a session counts in `running` while it has a stream. */
void sessions_close(struct cairn_producer *producer);
void sessions_free(struct cairn_producer *producer);

#endif
