#include "base/check.h"
#include "base/memory.h"
#include "base/probe.h"
#include "cairn/v1/admin.pb-c.h"
#include "clients/c/producer_internal.h"
#include "proto/pack.h"

/* ---- How many partitions it has: asked once, and told from then on ---- */

static void topic_changed(struct interest *interest, uint32_t partitions) {
  struct producer_topic *topic = container_of(interest, struct producer_topic, interest);
  struct cairn_producer *producer = topic->producer;
  pthread_mutex_lock(&producer->lock);
  bool known = topic->stage == TOPIC_KNOWN;
  if (known && partitions == 0) topic->stage = TOPIC_UNKNOWN; /* the next add asks again */
  if (known && partitions > topic->partition_count) {
    REACHED(producer_sees_new_partitions);
    topic->partition_count = partitions;
  }
  pthread_mutex_unlock(&producer->lock);
}

static enum status read_description(struct blob *answer, uint32_t *out_count, uint64_t *out_id) {
  struct arena *arena = arena_new(16u * PACK_ARENA_BYTES_MAX);
  Cairn__V1__DescribeTopicResponse *response = NULL;
  enum status status = pack_unpack(arena, &cairn__v1__describe_topic_response__descriptor, bytes_of(answer->data, answer->size),
                                   (void *)&response);
  if (status == STATUS_OK && (response->topic == NULL || response->topic->partitions == 0)) status = STATUS_MALFORMED;
  if (status == STATUS_OK) {
    *out_count = response->topic->partitions;
    *out_id = response->topic->id;
  }
  arena_free(arena);
  return status;
}

static void topic_answered(struct call *call, struct blob *answer) {
  struct producer_topic *topic = container_of(call, struct producer_topic, ask);
  struct cairn_producer *producer = topic->producer;
  struct failure failure = call->failure;
  uint32_t count = 0;
  uint64_t id = 0;
  if (answer != NULL) {
    enum status status = read_description(answer, &count, &id);
    if (status != STATUS_OK) failure_set(&failure, status, "the description of topic \"%s\" cannot be read", topic->name);
    blob_release(answer);
  }
  if (count > 0 && !producer->closing) count = interests_follow(producer->client->interests, &topic->interest, id, count);
  pthread_mutex_lock(&producer->lock);
  topic->stage = count > 0 ? TOPIC_KNOWN : TOPIC_FAILED;
  topic->failure = failure;
  topic->partition_count = count;
  if (count > 0) sticky_start(&topic->sticky, count, entropy_next(producer->client->world->entropy));
  pthread_mutex_unlock(&producer->lock);
  bell_ring(producer->client->world, &producer->bell);
  if (producer->options.notify != NULL) producer->options.notify(producer->options.context);
  producer_stopped_one(producer);
}

static void topic_ask(struct task *task) {
  struct producer_topic *topic = container_of(task, struct producer_topic, ask_task);
  struct cairn_producer *producer = topic->producer;
  Cairn__V1__DescribeTopicRequest request;
  cairn__v1__describe_topic_request__init(&request);
  request.name = pack_text(topic->name);
  topic->ask = (struct call){
      .client = producer->client,
      .method = "/cairn.v1.Admin/DescribeTopic",
      .request = {pack_part(&request.base)},
      .request_parts = 1,
      .idempotent = true,
      .deadline_ns = client_deadline_ns(producer->client, producer->client->call_timeout_ms),
      .done = topic_answered,
  };
  producer->running++;
  call_start(&topic->ask);
}

/* ---- Life ---- */

struct producer_topic *producer_topic_of(struct cairn_producer *producer, const char *name) {
  struct bytes key = bytes_of_string(name);
  struct producer_topic *last = producer->last_topic;
  if (last != NULL && bytes_equal(bytes_of_string(last->name), key)) return last;
  struct producer_topic *topic = map_get(producer->topics, key);
  if (topic == NULL) {
    topic = NEW(struct producer_topic);
    topic->producer = producer;
    topic->name = memory_copy_string(name);
    topic->queues = map_new(entropy_next(producer->client->world->entropy));
    topic->ask_task.run = topic_ask;
    topic->interest = (struct interest){.topic = topic->name, .changed = topic_changed};
    map_put(producer->topics, key, topic);
  }
  producer->last_topic = topic;
  return topic;
}

struct queue *producer_topic_queue(struct producer_topic *topic, uint32_t partition) {
  struct queue *queue = map_get_number(topic->queues, partition);
  if (queue != NULL) return queue;
  queue = NEW(struct queue);
  queue->producer = topic->producer;
  queue->topic = topic;
  queue->partition = partition;
  list_init(&queue->ready);
  list_init(&queue->again);
  map_put_number(topic->queues, partition, queue);
  return queue;
}

void producer_topic_free(struct producer_topic *topic) {
  struct map_cursor cursor = {0};
  for (struct queue *queue = map_next(topic->queues, &cursor); queue != NULL; queue = map_next(topic->queues, &cursor)) {
    CHECK(queue->open == NULL && list_empty(&queue->ready) && list_empty(&queue->again));
    memory_free(queue);
  }
  map_free(topic->queues);
  memory_free(topic->name);
  memory_free(topic);
}

/* ---- Choosing ---- */

/* Sticks to a partition while its batch has room, so that batches get full. */
static uint32_t choose_sticky(struct producer_topic *topic, size_t record_size) {
  struct queue *queue = map_get_number(topic->queues, topic->sticky.partition);
  bool room = queue != NULL && queue->open != NULL && queue->open->size + record_size <= topic->producer->options.batch_bytes;
  if (!room) sticky_advance(&topic->sticky, topic->partition_count);
  return topic->sticky.partition;
}

int producer_topic_choose(struct producer_topic *topic, const struct cairn_message *message, size_t record_size,
                          uint32_t *out_partition, struct cairn_error *error) {
  if (message->partition != CAIRN_ANY_PARTITION) {
    *out_partition = (uint32_t)message->partition;
    return CAIRN_OK;
  }
  switch (topic->stage) {
    case TOPIC_UNKNOWN:
      topic->stage = TOPIC_ASKING;
      loop_post(topic->producer->client->loop, &topic->ask_task);
      return CAIRN_WAIT;
    case TOPIC_ASKING: return CAIRN_WAIT;
    case TOPIC_FAILED:
      topic->stage = TOPIC_UNKNOWN; /* the next add asks again */
      return error_from_failure(error, &topic->failure);
    case TOPIC_KNOWN: break;
  }
  if (message->key.data == NULL) *out_partition = choose_sticky(topic, record_size);
  else *out_partition = partitioner_of_key(bytes_of(message->key.data, message->key.size), topic->partition_count);
  return CAIRN_OK;
}
