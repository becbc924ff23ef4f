/* libcairn: append to and read from a Cairn cluster. cairn_admin.h is the other public header: topics, brokers, who leads and has what. Both
 * need nothing but C99.
 *
 * Handles:
 *   cairn_client     who the brokers are; synchronous calls: positions, trim, one append, one read, and all of cairn_admin.h
 *   cairn_producer   many records fast: grouped into batches, several batches on their way, results by callback
 *   cairn_consumer   records of one partition in order, one after the other, up to an end or for ever
 *   cairn_watch      (cairn_admin.h) brokers, topics and partitions: the map of the cluster, and every change of it
 *
 * Threads. A client may be used by any number of threads at once, and so may a producer. A consumer belongs to one thread at a
 * time, and so does a watch. The library runs two threads of its own; they never call you, except `notify` where you set it. Delivery callbacks run in
 * cairn_producer_poll(), cairn_producer_flush() and a cairn_producer_add() that has to wait, on the thread that called these.
 * It installs no signal handler, prints nothing (short of an abort that reports a bug), and keeps no global state.
 *
 * Ownership. What you pass in is copied or used up before the call returns. What you get is yours until you free it with the
 * function of the same name; what a callback or an iterator shows is borrowed, and its comment says until when.
 *
 * Options. Zero-initialise the structs ({0}): a field that is 0 or NULL takes its default.
 *
 * Units are in the names: _ms, _bytes. Times are milliseconds since 1970, UTC. Timeouts are relative; CAIRN_FOREVER waits.
 *
 * Names of topics are never NULL: 1 to CAIRN_NAME_MAX of [a-zA-Z0-9._-], not "." or "..".
 *
 * Errors. Functions that can fail return CAIRN_OK (0) or a code below, and fill `error`, which may be NULL; outputs stay as they were.
 * `reason` is the stable name to decide on (docs/ERRORS.md); `executed` tells whether the request took effect, which no code alone
 * can tell. The comments of the functions name the reasons of their own. Beside these any call to a broker may end with
 *   TRANSPORT             no broker was reached (executed NO), or the connection broke with the request on it (MAYBE)
 *   DEADLINE              the time of the call was up (MAYBE)
 *   DRAINING LOADING BUSY NO_MEMORY   a broker could not do it now, up to the end of that time (NO)
 *   NOT_LEADER FENCED     no broker could be found that may do it (NO)
 *   UNSUPPORTED           the broker is older than this library (NO)
 */
#ifndef CAIRN_H
#define CAIRN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CAIRN_DEFAULT_SERVER "127.0.0.1:7411"
#define CAIRN_FOREVER UINT32_MAX
#define CAIRN_ANY_PARTITION (-1)
#define CAIRN_NAME_MAX 249
#define CAIRN_PRODUCER_NAME_MAX 128
#define CAIRN_ADDRESS_SIZE 64
#define CAIRN_REASON_SIZE 48
#define CAIRN_MESSAGE_SIZE 512

/* The version of the library: "0.1.0". */
const char *cairn_version(void);

/* ---- Errors ---- */

/* gRPC's codes, and below zero what is not an error. */
enum cairn_code {
  CAIRN_END = -1,  /* an iterator: nothing more will come */
  CAIRN_WAIT = -2, /* nothing yet within the timeout, or no room yet */
  CAIRN_OK = 0,
  CAIRN_CANCELLED = 1,
  CAIRN_UNKNOWN = 2,
  CAIRN_INVALID_ARGUMENT = 3,
  CAIRN_DEADLINE_EXCEEDED = 4,
  CAIRN_NOT_FOUND = 5,
  CAIRN_ALREADY_EXISTS = 6,
  CAIRN_PERMISSION_DENIED = 7,
  CAIRN_RESOURCE_EXHAUSTED = 8,
  CAIRN_FAILED_PRECONDITION = 9,
  CAIRN_ABORTED = 10,
  CAIRN_OUT_OF_RANGE = 11,
  CAIRN_UNIMPLEMENTED = 12,
  CAIRN_INTERNAL = 13,
  CAIRN_UNAVAILABLE = 14,
  CAIRN_DATA_LOSS = 15,
  CAIRN_UNAUTHENTICATED = 16
};

/* Did the request take effect? */
enum cairn_executed {
  CAIRN_EXECUTED_NO,    /* it did not and never will */
  CAIRN_EXECUTED_MAYBE, /* nobody can tell: read the log before you send it again */
  CAIRN_EXECUTED_YES
};

struct cairn_error {
  enum cairn_code code;
  enum cairn_executed executed;
  char reason[CAIRN_REASON_SIZE];   /* "UNKNOWN_TOPIC" */
  char message[CAIRN_MESSAGE_SIZE]; /* what happened, why, what to do; for people */
  char leader[CAIRN_ADDRESS_SIZE];  /* HOST:PORT of the broker to ask instead, or "" */
  bool has_next_offset;
  int64_t next_offset;     /* where the log is, or where it goes on behind the damage */
  uint32_t retry_after_ms; /* 0: no advice */
  bool has_producer;       /* the next two are of the producer that an append named */
  uint64_t next_sequence;
  uint32_t producer_epoch; /* its newest */
};

/* ---- Bytes and records ---- */

/* `data` is NULL when there is none: an absent key or value is not an empty one. */
struct cairn_bytes {
  const void *data;
  size_t size;
};

struct cairn_header {
  struct cairn_bytes name; /* UTF-8, up to 1 KiB */
  struct cairn_bytes value;
};

/* A record on its way in. */
struct cairn_message {
  const char *topic;
  int32_t partition; /* a number, or CAIRN_ANY_PARTITION: by the key, as Kafka's default partitioner; without a key, any */
  struct cairn_bytes key;
  struct cairn_bytes value;
  const struct cairn_header *headers;
  size_t header_count;
  int64_t timestamp_ms; /* 0: the leader's time at the append */
  void *opaque;         /* comes back in the delivery */
};

/* A record on its way out. Borrowed from where it came from. */
struct cairn_record {
  const char *topic;
  uint32_t partition;
  int64_t offset;
  int64_t timestamp_ms;
  struct cairn_bytes key;
  struct cairn_bytes value;
  const struct cairn_header *headers;
  size_t header_count;
};

/* Where Kafka's default partitioner puts a key: murmur2(key) & 0x7fffffff, modulo `partitions`. */
uint32_t cairn_partition_of_key(struct cairn_bytes key, uint32_t partitions);

/* ---- The client ---- */

struct cairn_client;

struct cairn_client_options {
  const char *servers;       /* "HOST:PORT,HOST:PORT", at most 64, any of the brokers; NULL: CAIRN_DEFAULT_SERVER */
  uint32_t call_timeout_ms;  /* a synchronous call in all, retries included; 0: 30,000 */
  uint32_t reach_timeout_ms; /* but no longer than this while no broker can be reached at all; 0: 3,000 */
  uint32_t retry_backoff_ms; /* before the first retry; doubles, up to 2,000; 0: 50 */
  /* A thread that waits for the answer to a synchronous call asks this ten times a second; NULL: it waits on. Once it is true the answer may
   * take another second, then the call ends with CAIRN_CANCELLED (executed NO where it surely had no effect, else MAYBE). */
  bool (*given_up)(void *context);
  void *given_up_context;
};

/* Connects when something is asked, not before. INVALID: a server that is not HOST:PORT, or there are too many. */
int cairn_client_new(const struct cairn_client_options *options, struct cairn_client **out_client, struct cairn_error *error);
/* After its producers, consumers, watches and results were freed. NULL is fine. */
void cairn_client_free(struct cairn_client *client);

/* ---- One partition ---- */

struct cairn_offset_range {
  int64_t first_offset;
  int64_t end_offset; /* behind the last */
};

#define CAIRN_DAMAGED_MAX 64

struct cairn_partition_state {
  int64_t log_start_offset;
  int64_t next_offset;
  int64_t high_watermark;
  char leader[CAIRN_ADDRESS_SIZE];
  uint32_t leader_id;
  uint64_t term;
  uint64_t group_id;
  uint64_t log_bytes;
  int64_t max_timestamp_ms;
  bool fenced;
  size_t damaged_count; /* how many there are; the first CAIRN_DAMAGED_MAX are in `damaged` */
  struct cairn_offset_range damaged[CAIRN_DAMAGED_MAX];
};

/* These ask about a partition: UNKNOWN_TOPIC, UNKNOWN_PARTITION. */

/* Linearizable: includes every append that was acknowledged before the call. */
int cairn_partition_describe(struct cairn_client *client, const char *topic, uint32_t partition,
                             struct cairn_partition_state *out_state, struct cairn_error *error);

/* The first offset whose record is of `timestamp_ms` or later; `*out_found` false: there is none, and the offset is the end.
 * DAMAGED: it may stand where bytes are damaged; error->next_offset is behind them. */
int cairn_find_offset(struct cairn_client *client, const char *topic, uint32_t partition, int64_t timestamp_ms,
                      int64_t *out_offset, bool *out_found, struct cairn_error *error);

/* Gives up everything before an offset, for good; at or below the log start: nothing happens. BEYOND_END: there is no such offset yet,
 * error->next_offset is the greatest allowed. */
int cairn_trim(struct cairn_client *client, const char *topic, uint32_t partition, int64_t before_offset,
               int64_t *out_log_start_offset, struct cairn_error *error);

struct cairn_append_options {
  bool has_expected_offset;
  int64_t expected_offset; /* append only if the first record gets this offset; else OFFSET_MISMATCH */
  const char *
      producer; /* who appends, by name; NULL: nobody in particular. With a name the call may be made again as often as one likes: the
                            * records are in the log once, and the library itself tries again when the connection breaks */
  uint32_t producer_epoch; /* as cairn_open_producer() gave it; 0: it was never opened */
  uint64_t first_sequence; /* of the first record among the producer's records in this partition, from 0 */
};

struct cairn_appended {
  int64_t base_offset;
  int64_t last_offset;
  uint64_t term;
  int64_t leader_time_ms;
  uint64_t chain; /* equal on every replica */
  bool duplicate; /* it was there before, at these offsets; term, leader_time_ms and chain are 0 */
};

/* Appends `count` records as one batch, whole or not at all, and waits until a majority has it on stable storage. topic, partition
 * and opaque of the messages are not looked at. `options` and `out_appended` may be NULL.
 *
 * An outcome that cannot be known is an error with executed MAYBE (UNKNOWN_OUTCOME, TRANSPORT, DEADLINE), and is not sent again: read
 * the log, or append with an expected offset. Executed NO: UNKNOWN_TOPIC, UNKNOWN_PARTITION, OFFSET_MISMATCH (error->next_offset is
 * where the log ends), TOO_LARGE (a record beyond the topic's bound, or more than 4,080 KiB in all), BAD_BATCH (no records, or a
 * header whose name is not UTF-8), DISK_FULL, JOURNAL_FULL, FENCED. */
int cairn_append(struct cairn_client *client, const char *topic, uint32_t partition, const struct cairn_message *messages,
                 size_t count, const struct cairn_append_options *options, struct cairn_appended *out_appended,
                 struct cairn_error *error);

/* ---- Producers of a partition: who appended what, so that a repetition is recognised ---- */

struct cairn_opened {
  uint64_t producer_id;
  uint32_t epoch;         /* who appends with an older one is PRODUCER_FENCED from now on */
  uint64_t next_sequence; /* everything before it is in the log; nothing of an older epoch will be behind it */
  int64_t last_offset;    /* of its last record; -1: none is remembered */
  bool created;           /* nobody of that name was remembered */
};

/* Makes the caller the one who appends under `name`, 1 to CAIRN_PRODUCER_NAME_MAX bytes. */
int cairn_open_producer(struct cairn_client *client, const char *topic, uint32_t partition, const char *name,
                        struct cairn_opened *out_opened, struct cairn_error *error);

/* Borrowed during the visit. */
struct cairn_producer_state {
  const char *name;
  uint64_t producer_id;
  uint32_t epoch;
  uint64_t next_sequence;
  uint64_t window_sequence; /* of the oldest batch that would be recognised */
  uint32_t batches;         /* that would be */
  int64_t last_offset;      /* of its last record; -1: none is remembered */
};

/* By name. `out_given_up`, how many were given up ever, may be NULL. */
int cairn_list_producers(struct cairn_client *client, const char *topic, uint32_t partition,
                         void (*visit)(void *context, const struct cairn_producer_state *state), void *context,
                         uint64_t *out_given_up, struct cairn_error *error);

/* For a producer of whom nothing will be sent again. `out_forgotten`, whether it was there, may be NULL. */
int cairn_forget_producer(struct cairn_client *client, const char *topic, uint32_t partition, const char *name,
                          bool *out_forgotten, struct cairn_error *error);

/* What one read brought. */
struct cairn_records;

struct cairn_read_options {
  uint32_t max_bytes;   /* 0: 1 MiB; at most 3 MiB */
  uint32_t min_bytes;   /* wait until so much is there; 0: answer at once */
  uint32_t max_wait_ms; /* but no longer; at most 60,000 */
};

/* One read from `offset` on: for those who keep the position themselves. cairn_consumer is faster. Free the result before the client.
 * BELOW_START, BEYOND_END, DAMAGED: error->next_offset tells where the log is, or goes on. INVALID: a max_wait_ms that is too long. */
int cairn_read(struct cairn_client *client, const char *topic, uint32_t partition, int64_t offset,
               const struct cairn_read_options *options, struct cairn_records **out_records, struct cairn_error *error);
/* CAIRN_OK: `*out_record` is borrowed until the next call on these records. CAIRN_END. CORRUPT (CAIRN_DATA_LOSS): a batch does not match
 * its checksum or cannot be inflated; the walk cannot go on. */
int cairn_records_next(struct cairn_records *records, struct cairn_record *out_record, struct cairn_error *error);
int64_t cairn_records_next_offset(const struct cairn_records *records);    /* where to read on */
int64_t cairn_records_high_watermark(const struct cairn_records *records); /* behind the last committed record */
int64_t cairn_records_log_start_offset(const struct cairn_records *records);
void cairn_records_free(struct cairn_records *records);

/* ---- The producer ---- */

struct cairn_producer;

enum cairn_codec { CAIRN_CODEC_NONE = 0, CAIRN_CODEC_ZSTD = 1, CAIRN_CODEC_LZ4 = 2 };

/* What became of one batch. Borrowed during the callback. Within a partition, deliveries come in the order of the adds. */
struct cairn_delivery {
  const char *topic;
  uint32_t partition;
  size_t record_count;
  int64_t base_offset; /* of the first record, the others follow; -1 unless error is NULL */
  int64_t leader_time_ms;
  void *const *opaques;            /* one per record; NULL when no record of the batch has one */
  const struct cairn_error *error; /* NULL: on stable storage on a majority of the replicas, for good */
};

struct cairn_producer_options {
  const char *name; /* who appends, 1 to CAIRN_PRODUCER_NAME_MAX bytes; NULL: nobody in particular. With a name every record is in
                                  * the log once, whatever breaks, and an unknown outcome is cleared up by sending again, until
                                  * delivery_timeout_ms. One at a time: whoever starts later under the same name takes over, and the one
                                  * before fails with PRODUCER_FENCED. A program that starts again does not know what the one before it
                                  * had delivered: ask cairn_open_producer() */
  uint32_t batch_bytes;         /* send when so many bytes gathered; 0: 256 KiB; at most 3 MiB */
  uint32_t linger_ms;           /* how long records may wait for company. 0: not at all while nothing of their partition is on its
                                  * way; while something is, they gather until an answer comes */
  uint32_t in_flight_max;       /* batches of one partition on their way; 0: 8 */
  size_t memory_bytes_max;      /* records that were added and are not delivered; 0: 32 MiB; at least 8 MiB */
  uint32_t request_timeout_ms;  /* an answer that takes longer counts as unknown; 0: 30,000 */
  uint32_t delivery_timeout_ms; /* how long a batch that was not sent is tried; 0: 120,000 */
  enum cairn_codec codec;       /* compress batches */
  bool non_blocking;            /* cairn_producer_add() returns CAIRN_WAIT instead of waiting */
  bool stop_on_error;           /* after a failed batch, everything behind it in the same partition fails too (SESSION_BROKEN,
                                  * executed NO): what is in the log is then a prefix of what was added */
  void (*delivered)(void *context, const struct cairn_delivery *delivery); /* may be NULL. May call cairn_producer_add() */
  void (*notify)(void *context); /* on the library's thread: deliveries wait for cairn_producer_poll(). Must not block */
  void *context;
};

/* Within a partition records are never reordered. What surely had no effect is sent again until delivery_timeout_ms; without a name an
 * unknown outcome is never sent again by itself: it is delivered with executed MAYBE, like everything behind it that was on its way. */
int cairn_producer_new(struct cairn_client *client, const struct cairn_producer_options *options,
                       struct cairn_producer **out_producer, struct cairn_error *error);

/* Copies the record. CAIRN_WAIT (non_blocking only): no room, or the topic is still being looked up; poll and try again.
 * Errors of the topic (UNKNOWN_TOPIC) come here when the partition must be chosen, else with the delivery. BAD_NAME, INVALID (a
 * partition below CAIRN_ANY_PARTITION), TOO_LARGE (more than 4,080 KiB, or more than 1,024 headers), SESSION_BROKEN (stop_on_error).
 * A record that was not taken is not delivered either. */
int cairn_producer_add(struct cairn_producer *producer, const struct cairn_message *message, struct cairn_error *error);

/* Runs the callbacks that wait, or waits for the first, no longer than that; returns how many ran. */
size_t cairn_producer_poll(struct cairn_producer *producer, uint32_t timeout_ms);

/* Sends what gathered, waits until everything was delivered, also what other threads add meanwhile. Returns CAIRN_OK, CAIRN_WAIT when
 * the time was not enough, or the first failure of a delivery since the last flush. */
int cairn_producer_flush(struct cairn_producer *producer, uint32_t timeout_ms, struct cairn_error *error);

/* Gives up what is not delivered; callbacks get CAIRN_CANCELLED (executed NO if it was not sent, else MAYBE), on this thread. No other
 * thread may use the producer any more. NULL is fine. */
void cairn_producer_free(struct cairn_producer *producer);

/* ---- The consumer ---- */

struct cairn_consumer;

enum cairn_position_kind {
  CAIRN_AT_DEFAULT = 0, /* where reading begins: the start; where it ends: never */
  CAIRN_AT_START,       /* the oldest record that is kept */
  CAIRN_AT_END,         /* behind the newest committed record */
  CAIRN_AT_OFFSET,      /* `value` */
  CAIRN_BEFORE_END,     /* `value` records before the end, or the start */
  CAIRN_AT_TIME         /* the first record of `value` ms or later */
};

struct cairn_position {
  enum cairn_position_kind kind;
  int64_t value;
};

struct cairn_consumer_options {
  struct cairn_position from;
  struct cairn_position to;      /* ends before it. Both are resolved once, when reading begins */
  uint64_t count_max;            /* ends after so many records; 0: no bound */
  uint32_t message_bytes;        /* size of an answer; 0: 1 MiB; at most 3 MiB */
  size_t prefetch_bytes;         /* answers that may wait for you; 0: 8 MiB */
  uint32_t retry_timeout_ms;     /* how long to try to reconnect before an error; 0: 30,000 */
  void (*notify)(void *context); /* on the library's thread: cairn_consumer_next() has something. Must not block */
  void *context;
};

/* Begins to read at once, in the background. `topic` is copied. BAD_NAME, INVALID; what the broker says (UNKNOWN_TOPIC, BELOW_START,
 * BEYOND_END, DAMAGED, ...) comes from cairn_consumer_next(). */
int cairn_consumer_new(struct cairn_client *client, const char *topic, uint32_t partition,
                       const struct cairn_consumer_options *options, struct cairn_consumer **out_consumer,
                       struct cairn_error *error);

/* CAIRN_OK: `*out_record` is borrowed until the next call on this consumer. CAIRN_WAIT: nothing came in time. CAIRN_END: the stop is
 * reached. Else an error, which ends the consumer until cairn_consumer_seek(): BELOW_START and DAMAGED tell in error->next_offset
 * where the log goes on. Every batch that carries a checksum was checked against it. */
int cairn_consumer_next(struct cairn_consumer *consumer, uint32_t timeout_ms, struct cairn_record *out_record,
                        struct cairn_error *error);

/* Goes on from an offset, forgetting what was fetched and any error. */
void cairn_consumer_seek(struct cairn_consumer *consumer, int64_t offset);

int64_t cairn_consumer_position(const struct cairn_consumer *consumer); /* offset of the next record; -1 while unknown */
int64_t cairn_consumer_end_offset(struct cairn_consumer *consumer);     /* the stop, once resolved; -1: none or unknown */
int64_t cairn_consumer_high_watermark(struct cairn_consumer *consumer); /* as last heard; -1 while unknown */
void cairn_consumer_free(struct cairn_consumer *consumer);              /* NULL is fine */

#ifdef __cplusplus
}
#endif

#endif
