#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "cairn/v1/admin.pb-c.h"
#include "cairn/v1/log.pb-c.h"
#include "proto/pack.h"
#include "tests/unit/clients/fake_broker_internal.h"

/* What topics it has, and what is asked of one or of a partition. */

struct fake_partition *fake_find(struct fake_broker *broker, struct bytes name, uint32_t number, enum status *out_status) {
  *out_status = STATUS_UNKNOWN_TOPIC;
  for (unsigned i = 0; i < broker->topic_count; i++) {
    struct fake_topic *topic = &broker->topics[i];
    if (!bytes_equal(bytes_of_string(topic->name), name)) continue;
    *out_status = number < topic->partition_count ? STATUS_OK : STATUS_UNKNOWN_PARTITION;
    return number < topic->partition_count ? &topic->partitions[number] : NULL;
  }
  return NULL;
}

static void answer_packed(struct rpc_call *call, const ProtobufCMessage *message) {
  struct blob_part part = pack_part(message);
  rpc_call_send(call, &part, 1);
  rpc_call_finish(call, GRPC_CODE_OK, NULL, NULL, 0);
}

void fake_describe_topic(void *service, struct rpc_call *call, struct blob *message) {
  struct fake_broker *broker = service;
  struct arena *arena = arena_new(PACK_ARENA_BYTES_MAX);
  Cairn__V1__DescribeTopicRequest *request = NULL;
  enum status status = pack_unpack(arena, &cairn__v1__describe_topic_request__descriptor, bytes_of(message->data, message->size),
                                   (void *)&request);
  CHECK(status == STATUS_OK);
  pthread_mutex_lock(&broker->lock);
  const struct fake_topic *found = NULL;
  for (unsigned i = 0; i < broker->topic_count; i++) {
    if (strcmp(broker->topics[i].name, request->name) == 0) found = &broker->topics[i];
  }
  pthread_mutex_unlock(&broker->lock);
  if (found == NULL) {
    failure_refuse_call(call, STATUS_UNKNOWN_TOPIC, "there is no topic \"%s\"", request->name);
  } else {
    Cairn__V1__Topic topic;
    cairn__v1__topic__init(&topic);
    topic.name = request->name;
    topic.partitions = found->partition_count;
    Cairn__V1__DescribeTopicResponse response;
    cairn__v1__describe_topic_response__init(&response);
    response.topic = &topic;
    answer_packed(call, &response.base);
  }
  arena_free(arena);
  blob_release(message);
}

void fake_create_topic(void *service, struct rpc_call *call, struct blob *message) {
  struct fake_broker *broker = service;
  struct arena *arena = arena_new(PACK_ARENA_BYTES_MAX);
  Cairn__V1__CreateTopicRequest *request = NULL;
  enum status status =
      pack_unpack(arena, &cairn__v1__create_topic_request__descriptor, bytes_of(message->data, message->size), (void *)&request);
  CHECK(status == STATUS_OK);
  fake_broker_add_topic(broker, request->name, request->partitions == 0 ? 1 : request->partitions);
  Cairn__V1__Topic topic;
  cairn__v1__topic__init(&topic);
  topic.name = request->name;
  topic.config = request->config; /* as it came, also what would not be in force */
  Cairn__V1__CreateTopicResponse response;
  cairn__v1__create_topic_response__init(&response);
  response.topic = &topic;
  answer_packed(call, &response.base);
  arena_free(arena);
  blob_release(message);
}

/* Nobody but who loses one asks for any. */
void fake_alter_topic(void *service, struct rpc_call *call, struct blob *message) {
  struct fake_broker *broker = service;
  pthread_mutex_lock(&broker->lock);
  bool lost = broker->alterations++ == 0;
  pthread_mutex_unlock(&broker->lock);
  if (lost) rpc_call_finish(call, GRPC_CODE_UNAVAILABLE, "lost", NULL, 0);
  else failure_refuse_call(call, STATUS_LOADING, NULL);
  blob_release(message);
}

void fake_describe_partition(void *service, struct rpc_call *call, struct blob *message) {
  struct fake_broker *broker = service;
  struct wire_read_request request; /* topic and partition have the same numbers */
  enum status status = log_wire_decode_read_request(bytes_of(message->data, message->size), &request);
  CHECK(status == STATUS_OK);
  pthread_mutex_lock(&broker->lock);
  const struct fake_partition *partition = fake_find(broker, request.topic, request.partition, &status);
  Cairn__V1__DescribePartitionResponse response;
  cairn__v1__describe_partition_response__init(&response);
  if (partition != NULL) response.next_offset = response.high_watermark = partition->end;
  pthread_mutex_unlock(&broker->lock);
  if (partition == NULL) failure_refuse_call(call, status, NULL);
  else answer_packed(call, &response.base);
  blob_release(message);
}

void fake_answer_open(struct fake_broker *broker, struct rpc_call *call, struct blob *message) {
  struct arena *arena = arena_new(PACK_ARENA_BYTES_MAX);
  Cairn__V1__OpenProducerRequest *asked = NULL;
  enum status status =
      pack_unpack(arena, &cairn__v1__open_producer_request__descriptor, bytes_of(message->data, message->size), (void *)&asked);
  CHECK(status == STATUS_OK);
  pthread_mutex_lock(&broker->lock);
  struct fake_partition *partition = fake_find(broker, bytes_of_string(asked->topic), asked->partition, &status);
  Cairn__V1__OpenProducerResponse response;
  cairn__v1__open_producer_response__init(&response);
  if (partition != NULL) {
    response.created = partition->epoch == 0;
    response.epoch = ++partition->epoch;
    response.next_sequence = partition->next_sequence;
  }
  pthread_mutex_unlock(&broker->lock);
  if (partition == NULL) failure_refuse_call(call, status, NULL);
  else answer_packed(call, &response.base);
  arena_free(arena);
  blob_release(message);
}

void fake_open_producer(void *service, struct rpc_call *call, struct blob *message) {
  struct fake_broker *broker = service;
  pthread_mutex_lock(&broker->lock);
  bool held = fake_hold(&broker->opens, call, message);
  pthread_mutex_unlock(&broker->lock);
  if (!held) fake_answer_open(broker, call, message);
}

void fake_broker_add_topic(struct fake_broker *broker, const char *name, uint32_t partitions) {
  pthread_mutex_lock(&broker->lock);
  CHECK(broker->topic_count < FAKE_TOPICS_MAX);
  struct fake_topic *topic = &broker->topics[broker->topic_count++];
  snprintf(topic->name, sizeof topic->name, "%s", name);
  topic->partition_count = partitions;
  topic->partitions = memory_new_array(partitions, sizeof *topic->partitions);
  for (uint32_t i = 0; i < partitions; i++) list_init(&topic->partitions[i].batches);
  pthread_mutex_unlock(&broker->lock);
}

int64_t fake_broker_end(struct fake_broker *broker, const char *name, uint32_t partition) {
  pthread_mutex_lock(&broker->lock);
  enum status status;
  const struct fake_partition *found = fake_find(broker, bytes_of_string(name), partition, &status);
  int64_t end = found == NULL ? -1 : found->end;
  pthread_mutex_unlock(&broker->lock);
  return end;
}
