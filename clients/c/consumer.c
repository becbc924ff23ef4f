#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "clients/c/consumer_internal.h"

#define MESSAGE_BYTES_DEFAULT (1024u * 1024)
#define MESSAGE_BYTES_OPTION_MAX (3u * 1024 * 1024)
#define PREFETCH_BYTES_DEFAULT (8u * 1024 * 1024)
#define RETRY_TIMEOUT_MS 30000u

/* ---- Life ---- */

static void consumer_start_on_loop(struct task *task) { consumer_start(container_of(task, struct cairn_consumer, start_task)); }

void consumer_ring_if_closed(struct cairn_consumer *consumer) {
  if (!consumer->closing || consumer->asking || consumer->request != NULL || consumer->closed_rung) return;
  consumer->closed_rung = true;
  bell_ring(consumer->client->world, &consumer->closed);
}

static void consumer_close_on_loop(struct task *task) {
  struct cairn_consumer *consumer = container_of(task, struct cairn_consumer, close_task);
  consumer->closing = true;
  loop_timer_cancel(consumer->client->loop, &consumer->timer);
  if (consumer->request != NULL) rpc_request_cancel(consumer->request);
  if (consumer->asking) call_cancel(&consumer->ask); /* may ring */
  else consumer_ring_if_closed(consumer);
}

int cairn_consumer_new(struct cairn_client *client, const char *topic, uint32_t partition,
                       const struct cairn_consumer_options *options, struct cairn_consumer **out_consumer,
                       struct cairn_error *error) {
  struct cairn_consumer_options given = options == NULL ? (struct cairn_consumer_options){0} : *options;
  if (topic == NULL || topic[0] == '\0' || strlen(topic) > CAIRN_NAME_MAX) {
    return error_set(error, STATUS_BAD_NAME, "a topic's name has 1 to %d characters", CAIRN_NAME_MAX);
  }
  if (given.message_bytes > MESSAGE_BYTES_OPTION_MAX) {
    return error_set(error, STATUS_INVALID, "message_bytes is %u; at most %u", given.message_bytes, MESSAGE_BYTES_OPTION_MAX);
  }
  if (given.from.kind == CAIRN_AT_DEFAULT) given.from.kind = CAIRN_AT_START;
  if (given.message_bytes == 0) given.message_bytes = MESSAGE_BYTES_DEFAULT;
  if (given.prefetch_bytes == 0) given.prefetch_bytes = PREFETCH_BYTES_DEFAULT;
  if (given.retry_timeout_ms == 0) given.retry_timeout_ms = RETRY_TIMEOUT_MS;
  struct cairn_consumer *consumer = NEW(struct cairn_consumer);
  consumer->client = client;
  consumer->topic = memory_copy_string(topic);
  consumer->partition = partition;
  consumer->options = given;
  pthread_mutex_init(&consumer->lock, NULL);
  list_init(&consumer->fetched);
  consumer->stop_offset = OFFSET_NONE;
  consumer->stop_seen = OFFSET_NONE;
  consumer->high_watermark = -1;
  consumer->position = -1;
  consumer->start_task.run = consumer_start_on_loop;
  consumer->close_task.run = consumer_close_on_loop;
  consumer_tail_init(consumer);
  loop_post(client->loop, &consumer->start_task);
  *out_consumer = consumer;
  error_clear(error);
  return CAIRN_OK;
}

/* Under the lock. */
static void drop_fetched(struct cairn_consumer *consumer) {
  for (struct list_node *node = list_pop_front(&consumer->fetched); node != NULL; node = list_pop_front(&consumer->fetched)) {
    struct fetched *fetched = list_entry(node, struct fetched, node);
    blob_release(fetched->message);
    memory_free(fetched);
  }
  consumer->fetched_bytes = 0;
}

void cairn_consumer_free(struct cairn_consumer *consumer) {
  if (consumer == NULL) return;
  loop_post(consumer->client->loop, &consumer->close_task);
  while (bell_listen(&consumer->closed) == 0) bell_wait(consumer->client->world, &consumer->closed, 0, UINT64_MAX);
  drop_fetched(consumer);
  records_reader_deinit(&consumer->reader);
  pthread_mutex_destroy(&consumer->lock);
  memory_free(consumer->topic);
  memory_free(consumer);
}

/* ---- The next record ---- */

/* CAIRN_OK: the reader has something new. CAIRN_WAIT: nothing is there. */
static int take_fetched(struct cairn_consumer *consumer, struct cairn_error *error) {
  struct fetched *fetched = NULL;
  struct failure failure;
  int code = CAIRN_WAIT;
  bool resume = false;
  pthread_mutex_lock(&consumer->lock);
  if (consumer->position < 0 && consumer->resolved) consumer->position = consumer->first_offset;
  if (consumer->resolved) consumer->stop_seen = consumer->stop_offset;
  if (consumer->resolved && consumer->position >= consumer->stop_offset) {
    code = CAIRN_END;
  } else if (!list_empty(&consumer->fetched)) {
    fetched = list_entry(list_pop_front(&consumer->fetched), struct fetched, node);
    consumer->fetched_bytes -= fetched->message->size;
    resume = consumer->paused && !consumer->resume_posted && consumer->fetched_bytes <= consumer->options.prefetch_bytes / 2;
    if (resume) consumer->resume_posted = true;
  } else if (consumer->failed) {
    failure = consumer->failure;
    code = CAIRN_INTERNAL; /* replaced below */
  }
  pthread_mutex_unlock(&consumer->lock);
  if (resume) loop_post(consumer->client->loop, &consumer->resume_task);
  if (fetched == NULL) return code == CAIRN_INTERNAL ? error_from_failure(error, &failure) : code;
  struct blob *message = fetched->message;
  memory_free(fetched);
  return records_reader_open(&consumer->reader, message, consumer->position, error);
}

/* Without waiting. */
static int try_next(struct cairn_consumer *consumer, struct cairn_record *out_record, struct cairn_error *error) {
  for (;;) {
    int code = records_reader_next(&consumer->reader, out_record, error);
    if (code == CAIRN_OK) {
      if (out_record->offset >= consumer->stop_seen) return CAIRN_END;
      consumer->position = out_record->offset + 1;
      consumer->count++;
      out_record->topic = consumer->topic;
      out_record->partition = consumer->partition;
      return CAIRN_OK;
    }
    if (code == CAIRN_END) code = take_fetched(consumer, error);
    if (code != CAIRN_OK) return code;
  }
}

static bool is_error(int code) { return code != CAIRN_OK && code != CAIRN_WAIT && code != CAIRN_END; }

int cairn_consumer_next(struct cairn_consumer *consumer, uint32_t timeout_ms, struct cairn_record *out_record,
                        struct cairn_error *error) {
  if (consumer->broken != CAIRN_OK) {
    if (error != NULL) *error = consumer->broken_error;
    return consumer->broken;
  }
  if (consumer->options.count_max > 0 && consumer->count >= consumer->options.count_max) return CAIRN_END;
  uint64_t deadline_ns = 0;
  for (;;) {
    unsigned seen = bell_listen(&consumer->bell);
    int code = try_next(consumer, out_record, &consumer->broken_error);
    if (is_error(code)) {
      consumer->broken = code;
      if (error != NULL) *error = consumer->broken_error;
    }
    if (code != CAIRN_WAIT || timeout_ms == 0) return code;
    if (deadline_ns == 0) deadline_ns = client_deadline_ns(consumer->client, timeout_ms);
    uint64_t left_ns = client_left_ns(consumer->client, deadline_ns);
    if (left_ns == 0) return CAIRN_WAIT;
    bell_wait(consumer->client->world, &consumer->bell, seen, left_ns);
  }
}

/* ---- Position ---- */

void cairn_consumer_seek(struct cairn_consumer *consumer, int64_t offset) {
  pthread_mutex_lock(&consumer->lock);
  consumer->generation++;
  consumer->seek_offset = offset;
  consumer->failed = false;
  drop_fetched(consumer);
  bool post = !consumer->seek_posted;
  consumer->seek_posted = true;
  pthread_mutex_unlock(&consumer->lock);
  int code = records_reader_open(&consumer->reader, NULL, offset, NULL);
  CHECK(code == CAIRN_OK);
  consumer->broken = CAIRN_OK;
  consumer->position = offset;
  if (post) loop_post(consumer->client->loop, &consumer->seek_task);
}

int64_t cairn_consumer_position(const struct cairn_consumer *consumer) { return consumer->position; }

int64_t cairn_consumer_end_offset(struct cairn_consumer *consumer) {
  pthread_mutex_lock(&consumer->lock);
  int64_t offset = consumer->stop_offset == OFFSET_NONE ? -1 : consumer->stop_offset;
  pthread_mutex_unlock(&consumer->lock);
  return offset;
}

int64_t cairn_consumer_high_watermark(struct cairn_consumer *consumer) {
  pthread_mutex_lock(&consumer->lock);
  int64_t offset = consumer->high_watermark;
  pthread_mutex_unlock(&consumer->lock);
  return offset;
}
