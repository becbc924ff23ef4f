#include "base/check.h"
#include "base/memory.h"
#include "base/probe.h"
#include "clients/c/consumer_internal.h"
#include "proto/log_wire.h"

struct arrival {
  struct task task;
  struct cairn_consumer *consumer;
  struct blob *message;
};

static void consumer_tell(struct cairn_consumer *consumer) {
  bell_ring(consumer->client->world, &consumer->bell);
  if (consumer->options.notify != NULL) consumer->options.notify(consumer->options.context);
}

void consumer_fail(struct cairn_consumer *consumer, const struct failure *failure) {
  pthread_mutex_lock(&consumer->lock);
  consumer->failed = true;
  consumer->failure = *failure;
  pthread_mutex_unlock(&consumer->lock);
  consumer_tell(consumer);
}

/* ---- The transport's thread: note it, post it ---- */

static void consumer_arrived(struct task *task);

static void on_message(void *context, struct rpc_request *request, struct blob *message) {
  (void)request;
  struct cairn_consumer *consumer = context;
  struct arrival *arrival = NEW(struct arrival);
  arrival->task.run = consumer_arrived;
  arrival->consumer = consumer;
  arrival->message = message;
  loop_post(consumer->client->loop, &arrival->task);
}

static void on_done(void *context, struct rpc_request *request, const struct rpc_result *result) {
  (void)request;
  struct cairn_consumer *consumer = context;
  failure_from_result(&consumer->end, result);
  loop_post(consumer->client->loop, &consumer->end_task);
}

static const struct rpc_client_handler consumer_handler = {.message = on_message, .done = on_done};

/* ---- Asking for more ---- */

static bool stream_current(const struct cairn_consumer *consumer) {
  return consumer->request != NULL && !consumer->starting_over && !consumer->stopping && !consumer->closing;
}

/* One more answer, if there is room for it. */
static void consumer_receive(struct cairn_consumer *consumer) {
  if (consumer->receiving || !stream_current(consumer)) return;
  pthread_mutex_lock(&consumer->lock);
  bool room = consumer->fetched_bytes < consumer->options.prefetch_bytes;
  consumer->paused = !room;
  pthread_mutex_unlock(&consumer->lock);
  if (!room) return;
  consumer->receiving = true;
  rpc_request_receive(consumer->request);
}

static void consumer_resume(struct task *task) {
  struct cairn_consumer *consumer = container_of(task, struct cairn_consumer, resume_task);
  pthread_mutex_lock(&consumer->lock);
  consumer->resume_posted = false;
  pthread_mutex_unlock(&consumer->lock);
  consumer_receive(consumer);
}

void consumer_open(struct cairn_consumer *consumer) {
  PRE(consumer->request == NULL);
  if (consumer->fetch_offset >= consumer->stop_offset) return;
  struct connection *connection = client_connection(consumer->client, consumer->address);
  const struct wire_read_request request = {
      .topic = bytes_of_string(consumer->topic),
      .partition = consumer->partition,
      .offset = consumer->fetch_offset,
      .max_bytes = consumer->options.message_bytes,
  };
  struct blob_part part = log_wire_encode_read_request(&request);
  consumer->request = rpc_request_start(connection->channel, "/cairn.v1.Log/Tail", RPC_SERVER_STREAM, UINT64_MAX, false,
                                        &consumer_handler, consumer);
  rpc_request_send(consumer->request, &part, 1);
  consumer_receive(consumer);
}

/* ---- What came ---- */

static void keep(struct cairn_consumer *consumer, struct blob *message, const struct wire_read_response *head, bool empty) {
  struct fetched *fetched = NULL;
  if (!empty) {
    fetched = NEW(struct fetched);
    fetched->message = message;
    fetched->generation = consumer->stream_generation;
  }
  pthread_mutex_lock(&consumer->lock);
  consumer->high_watermark = head->high_watermark;
  if (fetched != NULL && fetched->generation == consumer->generation) {
    list_push_back(&consumer->fetched, &fetched->node);
    consumer->fetched_bytes += message->size;
    fetched = NULL;
    message = NULL;
  }
  pthread_mutex_unlock(&consumer->lock);
  memory_free(fetched); /* of an earlier generation */
  blob_release(message);
}

static void consumer_arrived(struct task *task) {
  struct arrival *arrival = container_of(task, struct arrival, task);
  struct cairn_consumer *consumer = arrival->consumer;
  struct blob *message = arrival->message;
  memory_free(arrival);
  consumer->receiving = false;
  if (!stream_current(consumer)) {
    blob_release(message);
    return;
  }
  struct wire_read_response head;
  struct wire_cursor batches;
  enum status status = log_wire_decode_read_response(bytes_of(message->data, message->size), &head, &batches);
  if (status != STATUS_OK) {
    blob_release(message);
    struct failure failure;
    failure_set(&failure, status, "the broker's answer is not a TailResponse");
    consumer->stopping = true;
    rpc_request_cancel(consumer->request);
    consumer_fail(consumer, &failure);
    return;
  }
  consumer->attempts = 0;
  if (head.next_offset > consumer->fetch_offset) consumer->fetch_offset = head.next_offset;
  struct wire_stored_batch first;
  keep(consumer, message, &head, log_wire_next_stored_batch(&batches, &first) == STATUS_END);
  consumer_tell(consumer);
  if (consumer->fetch_offset >= consumer->stop_offset) {
    consumer->stopping = true;
    rpc_request_cancel(consumer->request);
    return;
  }
  consumer_receive(consumer);
}

/* ---- The end of a stream ---- */

static void consumer_again(struct timer *timer) { consumer_open(container_of(timer, struct cairn_consumer, timer)); }

static void reconnect_or_fail(struct cairn_consumer *consumer) {
  struct cairn_client *client = consumer->client;
  if (consumer->end.reason == STATUS_OK) failure_set(&consumer->end, STATUS_TRANSPORT, "the broker ended the stream");
  uint64_t now_ns = loop_now_ns(client->loop);
  if (consumer->attempts == 0) consumer->failing_since_ns = now_ns;
  const struct retry_case question = {
      .failure = &consumer->end,
      .idempotent = true,
      .attempts = ++consumer->attempts,
      .backoff_ms = client->retry_backoff_ms,
      .now_ns = now_ns,
      .deadline_ns = consumer->failing_since_ns + (uint64_t)consumer->options.retry_timeout_ms * NS_PER_MS,
      .reach_deadline_ns = UINT64_MAX,
      .chance = entropy_next(client->world->entropy),
  };
  struct retry_decision decision = retry_decide(&question);
  if (!decision.again) {
    consumer_fail(consumer, &consumer->end);
    return;
  }
  REACHED(consumer_reconnects);
  if (decision.elsewhere) client_redirect(client, &consumer->end, consumer->address);
  loop_timer_set(client->loop, &consumer->timer, now_ns + decision.after_ns);
}

static void consumer_ended(struct task *task) {
  struct cairn_consumer *consumer = container_of(task, struct cairn_consumer, end_task);
  rpc_request_release(consumer->request);
  consumer->request = NULL;
  consumer->receiving = false;
  bool over = consumer->starting_over;
  bool stopped = consumer->stopping;
  consumer->starting_over = false;
  consumer->stopping = false;
  if (consumer->closing) consumer_ring_if_closed(consumer);
  else if (over) consumer_open(consumer);
  else if (!stopped) reconnect_or_fail(consumer);
}

/* ---- Seeking ---- */

static void consumer_seek_on_loop(struct task *task) {
  struct cairn_consumer *consumer = container_of(task, struct cairn_consumer, seek_task);
  pthread_mutex_lock(&consumer->lock);
  consumer->seek_posted = false;
  int64_t offset = consumer->seek_offset;
  consumer->stream_generation = consumer->generation;
  bool resolved = consumer->resolved;
  consumer->failed = false; /* of what went before */
  pthread_mutex_unlock(&consumer->lock);
  consumer->attempts = 0;
  loop_timer_cancel(consumer->client->loop, &consumer->timer);
  if (!resolved) {
    consumer->options.from = (struct cairn_position){.kind = CAIRN_AT_OFFSET, .value = offset};
    if (!consumer->asking) consumer_start(consumer); /* the questions had failed */
    return;
  }
  consumer->fetch_offset = offset;
  if (consumer->request == NULL) {
    consumer_open(consumer);
  } else {
    consumer->starting_over = true;
    rpc_request_cancel(consumer->request);
  }
}

void consumer_tail_init(struct cairn_consumer *consumer) {
  consumer->resume_task.run = consumer_resume;
  consumer->seek_task.run = consumer_seek_on_loop;
  consumer->end_task.run = consumer_ended;
  consumer->timer.fire = consumer_again;
}
