#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "clients/c/producer_internal.h"

#define BATCH_BYTES_DEFAULT (256u * 1024)
#define BATCH_BYTES_OPTION_MAX (3u * 1024 * 1024)
#define IN_FLIGHT_DEFAULT 8u
#define MEMORY_BYTES_DEFAULT (32u * 1024 * 1024)
#define MEMORY_BYTES_MIN (8u * 1024 * 1024) /* the largest batch while it grows, and one more */
#define REQUEST_TIMEOUT_MS 30000u
#define DELIVERY_TIMEOUT_MS 120000u
/* Only a safeguard: whoever makes room rings. */
#define ROOM_WAIT_NS (100u * NS_PER_MS)

/* ---- Between the application and the loop ---- */

void producer_touch(struct cairn_producer *producer, struct queue *queue) {
  if (!list_node_linked(&queue->touched_node)) list_push_back(&producer->touched, &queue->touched_node);
  if (producer->pump_posted) return;
  producer->pump_posted = true;
  loop_post(producer->client->loop, &producer->pump_task);
}

static void touch_all(struct cairn_producer *producer) {
  struct map_cursor topics = {0};
  for (struct producer_topic *topic = map_next(producer->topics, &topics); topic != NULL;
       topic = map_next(producer->topics, &topics)) {
    struct map_cursor queues = {0};
    for (struct queue *queue = map_next(topic->queues, &queues); queue != NULL; queue = map_next(topic->queues, &queues)) {
      if (queue->open != NULL || !list_empty(&queue->ready)) producer_touch(producer, queue);
    }
  }
}

static struct queue *next_touched(struct cairn_producer *producer) {
  pthread_mutex_lock(&producer->lock);
  struct list_node *node = list_pop_front(&producer->touched);
  if (node == NULL) {
    producer->pump_posted = false;
    producer->hurry_once = false;
  }
  pthread_mutex_unlock(&producer->lock);
  return node == NULL ? NULL : list_entry(node, struct queue, touched_node);
}

static void producer_pump(struct task *task) {
  struct cairn_producer *producer = container_of(task, struct cairn_producer, pump_task);
  for (struct queue *queue = next_touched(producer); queue != NULL; queue = next_touched(producer)) {
    if (!producer->closing) queue_pump(queue);
  }
}

void producer_finish(struct cairn_producer *producer, struct batch *batch) {
  blob_release(batch->blob);
  batch->blob = NULL;
  bool deliver = producer->options.delivered != NULL;
  pthread_mutex_lock(&producer->lock);
  if (batch->failed && !producer->has_failure) {
    producer->has_failure = true;
    producer->first_failure = batch->failure;
  }
  if (deliver) {
    list_push_back(&producer->finished, &batch->node);
    producer->finished_count++;
  } else {
    producer->unfinished--;
  }
  pthread_mutex_unlock(&producer->lock);
  if (!deliver) batch_free(batch);
  bell_ring(producer->client->world, &producer->bell);
  if (deliver && producer->options.notify != NULL) producer->options.notify(producer->options.context);
}

void producer_fail(struct cairn_producer *producer, struct batch *batch, const struct failure *failure) {
  batch->failed = true;
  batch->failure = *failure;
  producer_finish(producer, batch);
}

/* ---- Life ---- */

static void options_fill(struct cairn_producer_options *options) {
  if (options->batch_bytes == 0) options->batch_bytes = BATCH_BYTES_DEFAULT;
  if (options->in_flight_max == 0) options->in_flight_max = IN_FLIGHT_DEFAULT;
  if (options->memory_bytes_max == 0) options->memory_bytes_max = MEMORY_BYTES_DEFAULT;
  if (options->memory_bytes_max < MEMORY_BYTES_MIN) options->memory_bytes_max = MEMORY_BYTES_MIN;
  if (options->request_timeout_ms == 0) options->request_timeout_ms = REQUEST_TIMEOUT_MS;
  if (options->delivery_timeout_ms == 0) options->delivery_timeout_ms = DELIVERY_TIMEOUT_MS;
}

static void producer_close_on_loop(struct task *task);

int cairn_producer_new(struct cairn_client *client, const struct cairn_producer_options *options,
                       struct cairn_producer **out_producer, struct cairn_error *error) {
  struct cairn_producer_options given = options == NULL ? (struct cairn_producer_options){0} : *options;
  if (given.batch_bytes > BATCH_BYTES_OPTION_MAX) {
    return error_set(error, STATUS_INVALID, "batch_bytes is %u; at most %u", given.batch_bytes, BATCH_BYTES_OPTION_MAX);
  }
  if ((unsigned)given.codec > CAIRN_CODEC_LZ4) return error_set(error, STATUS_INVALID, "there is no codec %d", (int)given.codec);
  if (given.name != NULL && (given.name[0] == '\0' || strlen(given.name) > CAIRN_PRODUCER_NAME_MAX)) {
    return error_set(error, STATUS_BAD_NAME, "a producer's name has 1 to %d bytes", CAIRN_PRODUCER_NAME_MAX);
  }
  options_fill(&given);
  struct cairn_producer *producer = NEW(struct cairn_producer);
  producer->client = client;
  producer->options = given;
  producer->account = account_new(NULL, given.memory_bytes_max);
  if (given.name != NULL) producer->name = memory_copy_string(given.name);
  pthread_mutex_init(&producer->lock, NULL);
  producer->topics = map_new(entropy_next(client->world->entropy));
  list_init(&producer->touched);
  list_init(&producer->finished);
  list_init(&producer->sessions);
  list_init(&producer->lookups_waiting);
  producer->pump_task.run = producer_pump;
  producer->close_task.run = producer_close_on_loop;
  *out_producer = producer;
  error_clear(error);
  return CAIRN_OK;
}

/* ---- Adding ---- */

static int message_check(const struct cairn_message *message, size_t *out_size, struct cairn_error *error) {
  if (message->topic == NULL || message->topic[0] == '\0' || strlen(message->topic) > CAIRN_NAME_MAX) {
    return error_set(error, STATUS_BAD_NAME, "a topic's name has 1 to %d characters", CAIRN_NAME_MAX);
  }
  if (message->partition < CAIRN_ANY_PARTITION)
    return error_set(error, STATUS_INVALID, "there is no partition %d", message->partition);
  if (message->header_count > RECORD_HEADERS_MAX) {
    return error_set(error, STATUS_TOO_LARGE, "a record has at most %u headers", RECORD_HEADERS_MAX);
  }
  *out_size = batcher_record_size(message);
  if (*out_size > BATCH_BYTES_MAX) {
    return error_set(error, STATUS_TOO_LARGE, "the record makes %zu bytes; one request carries at most %u", *out_size,
                     BATCH_BYTES_MAX);
  }
  return CAIRN_OK;
}

static void close_open(struct queue *queue) {
  queue->size_hint = queue->open->blob->size;
  list_push_back(&queue->ready, &queue->open->node);
  queue->open = NULL;
  producer_touch(queue->producer, queue);
}

/* Large enough for its first record: an open batch is never empty. */
static enum status open_batch(struct queue *queue, size_t record_size) {
  struct cairn_producer *producer = queue->producer;
  size_t size = queue->size_hint > record_size ? queue->size_hint : record_size;
  enum status status = batch_new(producer->account, size, &queue->open);
  if (status != STATUS_OK) return status;
  queue->open->queue = queue;
  queue->open->opened_ns = world_now_ns(producer->client->world);
  producer->unfinished++;
  return STATUS_OK;
}

/* STATUS_NO_MEMORY: no room now. */
static enum status queue_add(struct queue *queue, const struct cairn_message *message, size_t record_size) {
  struct cairn_producer *producer = queue->producer;
  if (producer->finished_count >= FINISHED_MAX) return STATUS_NO_MEMORY;
  for (;;) {
    if (queue->open == NULL) {
      enum status status = open_batch(queue, record_size);
      if (status != STATUS_OK) return status;
    }
    struct batch *batch = queue->open;
    enum status status = batch_add(batch, producer->account, message, record_size, producer->options.batch_bytes);
    if (status == STATUS_OK && batch->record_count == 1) producer_touch(producer, queue);
    if (status != STATUS_TOO_LARGE) return status;
    close_open(queue);
  }
}

/* Under the lock. CAIRN_WAIT: no room, or the topic is being looked up. */
static int try_add(struct cairn_producer *producer, const struct cairn_message *message, size_t record_size,
                   struct cairn_error *error) {
  struct producer_topic *topic = producer_topic_of(producer, message->topic);
  uint32_t partition = 0;
  int code = producer_topic_choose(topic, message, record_size, &partition, error);
  if (code != CAIRN_OK) return code;
  struct queue *queue = producer_topic_queue(topic, partition);
  if (queue->stopped) {
    return error_set(error, STATUS_SESSION_BROKEN, "partition %u of \"%s\" was stopped by an earlier failure (stop_on_error)",
                     partition, topic->name);
  }
  enum status status = queue_add(queue, message, record_size);
  if (status == STATUS_OK) return CAIRN_OK;
  if (status != STATUS_NO_MEMORY) return error_set(error, status, "%s", status_text(status));
  producer->hurry_once = true;
  touch_all(producer);
  return CAIRN_WAIT;
}

int cairn_producer_add(struct cairn_producer *producer, const struct cairn_message *message, struct cairn_error *error) {
  size_t record_size = 0;
  int code = message_check(message, &record_size, error);
  if (code != CAIRN_OK) return code;
  for (;;) {
    pthread_mutex_lock(&producer->lock);
    unsigned seen = bell_listen(&producer->bell);
    code = try_add(producer, message, record_size, error);
    pthread_mutex_unlock(&producer->lock);
    if (code != CAIRN_WAIT || producer->options.non_blocking) return code;
    if (cairn_producer_poll(producer, 0) == 0) bell_wait(producer->client->world, &producer->bell, seen, ROOM_WAIT_NS);
  }
}

/* ---- Deliveries ---- */

static struct batch *next_finished(struct cairn_producer *producer) {
  pthread_mutex_lock(&producer->lock);
  struct list_node *node = list_pop_front(&producer->finished);
  if (node != NULL) producer->finished_count--;
  pthread_mutex_unlock(&producer->lock);
  return node == NULL ? NULL : list_entry(node, struct batch, node);
}

static void deliver(struct cairn_producer *producer, struct batch *batch) {
  struct cairn_error error;
  if (batch->failed) error_from_failure(&error, &batch->failure);
  const struct cairn_delivery delivery = {
      .topic = batch->queue->topic->name,
      .partition = batch->queue->partition,
      .record_count = batch->record_count,
      .base_offset = batch->failed ? -1 : batch->base_offset,
      .leader_time_ms = batch->leader_time_ms,
      .opaques = batch->opaques,
      .error = batch->failed ? &error : NULL,
  };
  producer->options.delivered(producer->options.context, &delivery);
  batch_free(batch);
  pthread_mutex_lock(&producer->lock);
  producer->unfinished--;
  pthread_mutex_unlock(&producer->lock);
}

static size_t deliver_all(struct cairn_producer *producer) {
  size_t count = 0;
  for (struct batch *batch = next_finished(producer); batch != NULL; batch = next_finished(producer), count++) {
    deliver(producer, batch);
  }
  return count;
}

size_t cairn_producer_poll(struct cairn_producer *producer, uint32_t timeout_ms) {
  unsigned seen = bell_listen(&producer->bell);
  size_t count = deliver_all(producer);
  if (count > 0 || timeout_ms == 0) return count;
  uint64_t deadline_ns = client_deadline_ns(producer->client, timeout_ms);
  for (;;) {
    uint64_t left_ns = client_left_ns(producer->client, deadline_ns);
    bell_wait(producer->client->world, &producer->bell, seen, left_ns);
    seen = bell_listen(&producer->bell);
    count = deliver_all(producer);
    if (count > 0 || client_left_ns(producer->client, deadline_ns) == 0) return count;
  }
}

static int take_failure(struct cairn_producer *producer, struct cairn_error *error) {
  pthread_mutex_lock(&producer->lock);
  bool failed = producer->has_failure;
  struct failure failure = producer->first_failure; /* the loop may write the next one as soon as this was taken */
  producer->has_failure = false;
  pthread_mutex_unlock(&producer->lock);
  if (failed) return error_from_failure(error, &failure);
  error_clear(error);
  return CAIRN_OK;
}

int cairn_producer_flush(struct cairn_producer *producer, uint32_t timeout_ms, struct cairn_error *error) {
  uint64_t deadline_ns = client_deadline_ns(producer->client, timeout_ms);
  bool empty = false;
  pthread_mutex_lock(&producer->lock);
  producer->hurry = true;
  touch_all(producer);
  pthread_mutex_unlock(&producer->lock);
  for (;;) {
    unsigned seen = bell_listen(&producer->bell);
    deliver_all(producer);
    pthread_mutex_lock(&producer->lock);
    empty = producer->unfinished == 0;
    pthread_mutex_unlock(&producer->lock);
    uint64_t left_ns = client_left_ns(producer->client, deadline_ns);
    if (empty || left_ns == 0) break;
    bell_wait(producer->client->world, &producer->bell, seen, left_ns);
  }
  pthread_mutex_lock(&producer->lock);
  producer->hurry = false;
  pthread_mutex_unlock(&producer->lock);
  return empty ? take_failure(producer, error) : CAIRN_WAIT;
}

/* ---- The end ---- */

/* Whoever waits for `closed` frees the producer as soon as it rings. */
static void ring_if_closed(struct cairn_producer *producer) {
  if (producer->closing && producer->running == 0) bell_ring(producer->client->world, &producer->closed);
}

void producer_stopped_one(struct cairn_producer *producer) {
  CHECK(producer->running > 0);
  producer->running--;
  ring_if_closed(producer);
}

static void close_topic(struct producer_topic *topic) {
  interests_unfollow(topic->producer->client->interests, &topic->interest);
  if (topic->stage == TOPIC_ASKING && topic->ask.client != NULL) call_cancel(&topic->ask);
  struct map_cursor cursor = {0};
  for (struct queue *queue = map_next(topic->queues, &cursor); queue != NULL; queue = map_next(topic->queues, &cursor)) {
    queue_close(queue);
  }
}

static void producer_close_on_loop(struct task *task) {
  struct cairn_producer *producer = container_of(task, struct cairn_producer, close_task);
  producer->closing = true;
  producer->running++; /* this function */
  sessions_close(producer);
  struct map_cursor cursor = {0};
  for (struct producer_topic *topic = map_next(producer->topics, &cursor); topic != NULL;
       topic = map_next(producer->topics, &cursor)) {
    close_topic(topic);
  }
  producer_stopped_one(producer);
}

void cairn_producer_free(struct cairn_producer *producer) {
  if (producer == NULL) return;
  loop_post(producer->client->loop, &producer->close_task);
  while (bell_listen(&producer->closed) == 0) bell_wait(producer->client->world, &producer->closed, 0, UINT64_MAX);
  deliver_all(producer);
  struct map_cursor cursor = {0};
  for (struct producer_topic *topic = map_next(producer->topics, &cursor); topic != NULL;
       topic = map_next(producer->topics, &cursor)) {
    producer_topic_free(topic);
  }
  map_free(producer->topics);
  sessions_free(producer);
  account_free(producer->account);
  memory_free(producer->name);
  pthread_mutex_destroy(&producer->lock);
  memory_free(producer);
}
