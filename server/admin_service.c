#include "server/admin_service.h"

#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/probe.h"
#include "cairn/v1/admin.pb-c.h"
#include "controller/map_public.h"
#include "server/admin_call.h"

#define PAGE_TOPICS_DEFAULT 100u
#define PAGE_TOPICS_MAX 1000u

static void read_config(struct change *change, const Cairn__V1__TopicConfig *config) {
  if (config == NULL) return;
  change->set_retention_bytes =
      config->retention_bytes_presence_case == CAIRN__V1__TOPIC_CONFIG__RETENTION_BYTES_PRESENCE_RETENTION_BYTES;
  change->set_retention_ms = config->retention_ms_presence_case == CAIRN__V1__TOPIC_CONFIG__RETENTION_MS_PRESENCE_RETENTION_MS;
  change->set_segment_bytes =
      config->segment_bytes_presence_case == CAIRN__V1__TOPIC_CONFIG__SEGMENT_BYTES_PRESENCE_SEGMENT_BYTES;
  change->set_record_bytes_max =
      config->record_bytes_max_presence_case == CAIRN__V1__TOPIC_CONFIG__RECORD_BYTES_MAX_PRESENCE_RECORD_BYTES_MAX;
  if (change->set_retention_bytes) change->settings.retention_bytes = config->retention_bytes;
  if (change->set_retention_ms) change->settings.retention_ms = config->retention_ms;
  if (change->set_segment_bytes) change->settings.segment_bytes = config->segment_bytes;
  if (change->set_record_bytes_max) change->settings.record_bytes_max = config->record_bytes_max;
}

/* ---- Changes ---- */

static struct admin_call *of_change(struct change *change) { return container_of(change, struct admin_call, change); }

static void topic_is_open(struct map_follower_wait *wait) {
  struct admin_call *this = container_of(wait, struct admin_call, wait);
  if (wait->status == STATUS_OK) {
    services_answer(this->call, this->answer);
  } else {
    blob_part_release(this->answer);
    struct failure *failure =
        wait->status == STATUS_UNKNOWN_TOPIC
            ? refusal_new(STATUS_UNKNOWN_TOPIC, "topic \"%s\" was changed, and is deleted by now", this->change.name)
            : refusal_of_status(wait->status);
    failure->executed = EXECUTED_YES;
    services_fail(this->call, failure);
  }
  admin_call_finish(this);
}

/* When its partitions are open here. */
static void answer_when_open(struct admin_call *this, struct blob_part answer) {
  this->answer = answer;
  this->wait.done = topic_is_open;
  if (!this->change.validate_only) {
    map_follower_when_open(this->services->follower, this->change.topic->id, &this->wait);
    return;
  }
  services_answer(this->call, this->answer);
  admin_call_finish(this);
}

static void created(struct change *change) {
  struct admin_call *this = of_change(change);
  if (change->status == STATUS_OK && change->place_count > 0) REACHED(topic_is_put);
  memory_free(change->places);
  if (admin_call_refuse_change(this)) return;
  struct public_topic message;
  public_topic_fill(&message, change->topic);
  Cairn__V1__CreateTopicResponse response;
  cairn__v1__create_topic_response__init(&response);
  response.topic = &message.topic;
  answer_when_open(this, pack_part(&response.base));
}

/* One that has more than there is room for is refused by whoever decides. */
static void read_places(struct change *change, Cairn__V1__Place *const *wanted, size_t count) {
  if (count == 0) return;
  struct change_place *places = memory_new_array(count, sizeof *places);
  for (size_t i = 0; i < count; i++) {
    const Cairn__V1__Place *place = wanted[i];
    places[i].count = place->n_replicas > UINT32_MAX ? UINT32_MAX : (uint32_t)place->n_replicas;
    for (size_t at = 0; at < place->n_replicas && at < MAP_REPLICAS_MAX; at++) places[i].brokers[at] = place->replicas[at];
  }
  change->places = places;
  change->place_count = count;
}

static void create_run(struct task *task) {
  struct admin_call *this = container_of(task, struct admin_call, task);
  const Cairn__V1__CreateTopicRequest *request = (const void *)this->request;
  struct change *change = &this->change;
  if (!admin_call_take_name(this, request->name)) return;
  change->kind = COMMAND_CREATE_TOPIC;
  change->validate_only = request->validate_only != 0;
  change->partition_count = request->partitions;
  change->replicas = request->replicas;
  change->settings = topic_settings_default;
  change->settings.segment_bytes = (int64_t)this->services->options->segment_bytes;
  change->settings.record_bytes_max = (int64_t)this->services->options->record_bytes_max;
  read_config(change, request->config);
  read_places(change, request->places, request->n_places);
  change->done = created;
  controller_change(this->services->controller, change);
}

static void altered(struct change *change) {
  struct admin_call *this = of_change(change);
  if (admin_call_refuse_change(this)) return;
  struct public_topic message;
  public_topic_fill(&message, change->topic);
  Cairn__V1__AlterTopicResponse response;
  cairn__v1__alter_topic_response__init(&response);
  response.topic = &message.topic;
  services_answer(this->call, pack_part(&response.base));
  admin_call_finish(this);
}

static void alter_run(struct task *task) {
  struct admin_call *this = container_of(task, struct admin_call, task);
  const Cairn__V1__AlterTopicRequest *request = (const void *)this->request;
  if (!admin_call_take_name(this, request->name)) return;
  this->change.kind = COMMAND_ALTER_TOPIC;
  this->change.validate_only = request->validate_only != 0;
  read_config(&this->change, request->config);
  this->change.done = altered;
  controller_change(this->services->controller, &this->change);
}

static void grown(struct change *change) {
  struct admin_call *this = of_change(change);
  if (change->status == STATUS_OK && change->place_count > 0) REACHED(growth_is_put);
  memory_free(change->places);
  if (admin_call_refuse_change(this)) return;
  struct public_topic message;
  public_topic_fill(&message, change->topic);
  Cairn__V1__AddPartitionsResponse response;
  cairn__v1__add_partitions_response__init(&response);
  response.topic = &message.topic;
  answer_when_open(this, pack_part(&response.base));
}

static void grow_run(struct task *task) {
  struct admin_call *this = container_of(task, struct admin_call, task);
  const Cairn__V1__AddPartitionsRequest *request = (const void *)this->request;
  if (!admin_call_take_name(this, request->topic)) return;
  this->change.kind = COMMAND_GROW_TOPIC;
  this->change.validate_only = request->validate_only != 0;
  this->change.partition_count = request->partitions;
  read_places(&this->change, request->places, request->n_places);
  this->change.done = grown;
  controller_change(this->services->controller, &this->change);
}

static void deleted(struct change *change) {
  struct admin_call *this = of_change(change);
  if (admin_call_refuse_change(this)) return;
  Cairn__V1__DeleteTopicResponse response;
  cairn__v1__delete_topic_response__init(&response);
  response.id = change->topic_id;
  services_answer(this->call, pack_part(&response.base));
  admin_call_finish(this);
}

static void delete_run(struct task *task) {
  struct admin_call *this = container_of(task, struct admin_call, task);
  const Cairn__V1__DeleteTopicRequest *request = (const void *)this->request;
  if (!admin_call_take_name(this, request->name)) return;
  this->change.kind = COMMAND_DELETE_TOPIC;
  this->change.validate_only = request->validate_only != 0;
  this->change.done = deleted;
  controller_change(this->services->controller, &this->change);
}

/* ---- Looking ---- */

static void list_run(struct look *look) {
  struct admin_call *this = container_of(look, struct admin_call, look);
  const Cairn__V1__ListTopicsRequest *request = (const void *)this->request;
  const struct cluster_map *map = controller_map(this->services->controller);
  uint32_t page = request->page_size == 0 ? PAGE_TOPICS_DEFAULT : request->page_size;
  if (page > PAGE_TOPICS_MAX) page = PAGE_TOPICS_MAX;

  Cairn__V1__ListTopicsResponse response;
  cairn__v1__list_topics_response__init(&response);
  struct public_topic *messages = memory_new_array(page, sizeof *messages);
  response.topics = memory_new_array(page, sizeof *response.topics);
  const struct map_topic *last = NULL;
  const struct map_topic *topic = cluster_map_topic_after(map, bytes_of_string(request->page_token));
  for (; topic != NULL && response.n_topics < page; topic = cluster_map_topic_after(map, bytes_of_string(topic->name))) {
    struct public_topic *message = &messages[response.n_topics];
    public_topic_fill(message, topic);
    response.topics[response.n_topics++] = &message->topic;
    last = topic;
  }
  if (topic != NULL && last != NULL) response.next_page_token = last->name;
  services_tell(this->services, this->call, &response.base);
  memory_free(response.topics);
  memory_free(messages);
  admin_call_finish(this);
}

/* A partition, and where its leader is. */
struct partition_message {
  struct public_partition place;
  char leader[ADDRESS_TEXT_SIZE];
};

static void fill_partition(struct services *services, const struct map_topic *topic, uint32_t i,
                           struct partition_message *of_partition) {
  Cairn__V1__Partition *message = &of_partition->place.partition;
  public_partition_fill(&of_partition->place, controller_map(services->controller), &topic->partitions[i]);
  if (message->n_replicas == 0) { /* made before there were others */
    of_partition->place.replicas[0] = services->identity.broker_id;
    message->n_replicas = 1;
  }
  struct route_found found;
  enum status status = routing_find(services->routing, bytes_of_string(topic->name), i, &found);
  if (status != STATUS_OK) return; /* it is not here: others know more */
  struct partition_glimpse glimpse = partition_glimpse(found.partition);
  partition_release(found.partition);
  routing_address(services->routing, glimpse.leader, of_partition->leader);
  message->leader_id = glimpse.leader;
  message->leader = of_partition->leader;
  message->log_start_offset = glimpse.log_start_offset;
  message->high_watermark = glimpse.high_watermark;
}

static void describe_run(struct look *look) {
  struct admin_call *this = container_of(look, struct admin_call, look);
  const Cairn__V1__DescribeTopicRequest *request = (const void *)this->request;
  struct services *services = this->services;
  const struct map_topic *topic = cluster_map_topic(controller_map(services->controller), bytes_of_string(request->name));
  if (topic == NULL && controller_has_lost(services->controller)) {
    admin_call_refuse(this, services_cannot_tell(bytes_of_string(request->name)));
    return;
  }
  if (topic == NULL) {
    admin_call_refuse(this,
                      refusal_new(STATUS_UNKNOWN_TOPIC, "there is no topic \"%.*s\"; cairn topic list shows those there are",
                                  (int)TOPIC_NAME_MAX, request->name));
    return;
  }
  struct public_topic message;
  public_topic_fill(&message, topic);
  Cairn__V1__DescribeTopicResponse response;
  cairn__v1__describe_topic_response__init(&response);
  response.topic = &message.topic;
  response.n_partitions = topic->partition_count;
  struct partition_message *partitions = memory_new_array(topic->partition_count, sizeof *partitions);
  response.partitions = memory_new_array(topic->partition_count, sizeof *response.partitions);
  for (uint32_t i = 0; i < topic->partition_count; i++) {
    fill_partition(services, topic, i, &partitions[i]);
    response.partitions[i] = &partitions[i].place.partition;
  }
  services_tell(this->services, this->call, &response.base);
  memory_free(response.partitions);
  memory_free(partitions);
  admin_call_finish(this);
}

/* ---- The handlers ---- */

void admin_service_create_topic(void *services, struct rpc_call *call, struct blob *message) {
  admin_call_start_change(services, call, message, &cairn__v1__create_topic_request__descriptor, create_run);
}
void admin_service_list_topics(void *services, struct rpc_call *call, struct blob *message) {
  admin_call_start_look(services, call, message, &cairn__v1__list_topics_request__descriptor, list_run, true);
}
void admin_service_describe_topic(void *services, struct rpc_call *call, struct blob *message) {
  admin_call_start_look(services, call, message, &cairn__v1__describe_topic_request__descriptor, describe_run, true);
}
void admin_service_alter_topic(void *services, struct rpc_call *call, struct blob *message) {
  admin_call_start_change(services, call, message, &cairn__v1__alter_topic_request__descriptor, alter_run);
}
void admin_service_add_partitions(void *services, struct rpc_call *call, struct blob *message) {
  admin_call_start_change(services, call, message, &cairn__v1__add_partitions_request__descriptor, grow_run);
}
void admin_service_delete_topic(void *services, struct rpc_call *call, struct blob *message) {
  admin_call_start_change(services, call, message, &cairn__v1__delete_topic_request__descriptor, delete_run);
}
