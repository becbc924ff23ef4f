/* The inside of a consumer.
 *
 *   the application's thread   takes answers, walks their records            consumer.c
 *   the client's loop          resolves positions                            consumer_start.c
 *                              keeps one Tail open, as far as there is room  consumer_tail.c
 *
 * 1. Answers are queued in offset order without a gap; a stream that is opened again goes on at `fetch_offset`.
 * 2. At most `prefetch_bytes` and one answer are queued; the broker is not asked for more.
 * 3. After a seek nothing that was fetched before is shown: answers carry the generation in which they were fetched.
 */
#ifndef CAIRN_CLIENTS_C_CONSUMER_INTERNAL_H
#define CAIRN_CLIENTS_C_CONSUMER_INTERNAL_H

#include <pthread.h>

#include "clients/c/client_internal.h"
#include "clients/c/records.h"

#define OFFSET_NONE INT64_MAX /* as a stop: there is none */

struct fetched {
  struct list_node node;
  struct blob *message;
  uint64_t generation;
};

/* What it takes to turn positions into offsets. The loop's. */
struct consumer_start {
  bool described;
  int64_t log_start_offset;
  int64_t end_offset;
  bool from_found, to_found; /* by time */
  int64_t from_offset, to_offset;
};

struct cairn_consumer {
  struct cairn_client *client;
  char *topic;
  uint32_t partition;
  struct cairn_consumer_options options; /* with the defaults filled in */

  pthread_mutex_t lock; /* guards what follows */
  struct list fetched;
  size_t fetched_bytes;
  bool paused; /* the loop waits for room */
  uint64_t generation;
  bool resolved;
  int64_t first_offset;
  int64_t stop_offset;
  int64_t high_watermark;
  bool failed;
  struct failure failure;

  int64_t seek_offset;
  bool resume_posted;
  bool seek_posted;

  struct bell bell; /* rung when any of it changed */
  struct task resume_task;
  struct task seek_task;

  /* The application's. */
  struct records_reader reader;
  int64_t position; /* -1 until resolved */
  int64_t stop_seen;
  uint64_t count;
  int broken; /* the code of `broken_error`, or CAIRN_OK */
  struct cairn_error broken_error;

  /* The loop's. */
  struct task start_task;
  struct task close_task;
  struct consumer_start start;
  struct call ask;
  bool asking;
  struct rpc_request *request;
  uint64_t stream_generation; /* as of the last seek that the loop has seen */
  bool receiving;
  bool starting_over; /* the stream was cancelled because of a seek */
  bool stopping;      /* the stream was cancelled because the stop is reached */
  int64_t fetch_offset;
  unsigned attempts;
  uint64_t failing_since_ns; /* while attempts > 0 */
  char address[CAIRN_ADDRESS_SIZE];
  struct timer timer;
  struct failure end;
  struct task end_task;
  bool closing;
  bool closed_rung;
  struct bell closed; /* rung once */
};

/* All on the loop. */
void consumer_start(struct cairn_consumer *consumer); /* then opens the stream */
void consumer_open(struct cairn_consumer *consumer);
void consumer_fail(struct cairn_consumer *consumer, const struct failure *failure);
void consumer_ring_if_closed(struct cairn_consumer *consumer);
void consumer_tail_init(struct cairn_consumer *consumer);

#endif
