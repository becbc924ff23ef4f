#include "server/admin_service.h"

#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/memory.h"
#include "cairn/v1/admin.pb-c.h"
#include "controller/placement.h"
#include "proto/pack.h"
#include "security/random.h"
#include "server/services.h"

#define PAGE_TOPICS_DEFAULT 100u
#define PAGE_TOPICS_MAX 1000u

/* A request and, as it goes on, its change and its answer. */
struct admin_call {
  struct task task;
  struct look look; /* of what changes nothing */
  struct replica_read read;
  struct rpc_call *call;
  struct services *services;
  struct arena *arena; /* of the unpacked request and the answer's parts */
  const ProtobufCMessage *request;
  struct change change;
  struct map_follower_wait wait;
  struct blob_part answer; /* of CreateTopic, until the partitions are open */
};

static void finish(struct admin_call *this) {
  rpc_call_release(this->call);
  services_end(this->services);
  arena_free(this->arena);
  memory_free(this);
}

static void finish_with(struct admin_call *this, struct failure *failure) {
  services_fail(this->call, failure);
  finish(this);
}

/* Unpacks, for lane 0. NULL: the call was refused. Takes over the hold on `message`. */
static struct admin_call *accept_request(struct services *services, struct rpc_call *call, struct blob *message,
                                         const ProtobufCMessageDescriptor *descriptor) {
  if (services_refuse(services, call)) {
    blob_release(message);
    return NULL;
  }
  struct arena *arena = arena_new(PACK_ARENA_BYTES_MAX);
  const ProtobufCMessage *request = NULL;
  enum status status = pack_unpack(arena, descriptor, bytes_of(message->data, message->size), &request);
  blob_release(message);
  if (status != STATUS_OK) {
    arena_free(arena);
    failure_refuse_call(call, status,
                        status == STATUS_BAD_NAME ? "a text in the request has NUL or is not UTF-8"
                                                  : "the message is not a %s; compare the client's .proto files",
                        descriptor->name);
    return NULL;
  }
  struct admin_call *this = NEW(struct admin_call);
  this->call = rpc_call_hold(call);
  this->services = services;
  this->arena = arena;
  this->request = request;
  services_begin(services);
  return this;
}

static void start_change(struct services *services, struct rpc_call *call, struct blob *message,
                         const ProtobufCMessageDescriptor *descriptor, void (*run)(struct task *task)) {
  struct admin_call *this = accept_request(services, call, message, descriptor);
  if (this == NULL) return;
  this->task.run = run;
  loop_post(services->hosts[0].loop, &this->task);
}

static void look_confirmed(struct replica_read *read, enum status status) {
  struct admin_call *this = container_of(read, struct admin_call, read);
  bool own_word = status == STATUS_FENCED && this->services->alone;
  if (status == STATUS_OK || own_word) looks_add(&this->services->looks[0], &this->look);
  else if (status == STATUS_NOT_LEADER)
    finish_with(this, services_not_leader(this->services, controller_leader(this->services->controller)));
  else finish_with(this, refusal_of_status(status));
}

/* What was done before it was asked for is told: the leader of group 0 knows. */
static void confirm_look(struct task *task) {
  struct admin_call *this = container_of(task, struct admin_call, task);
  this->read.done = look_confirmed;
  controller_read(this->services->controller, &this->read);
}

/* Of this broker alone. */
static void join_looks(struct task *task) {
  struct admin_call *this = container_of(task, struct admin_call, task);
  looks_add(&this->services->looks[0], &this->look);
}

static void start_look(struct services *services, struct rpc_call *call, struct blob *message,
                       const ProtobufCMessageDescriptor *descriptor, void (*run)(struct look *look), bool confirm) {
  struct admin_call *this = accept_request(services, call, message, descriptor);
  if (this == NULL) return;
  this->look.run = run;
  this->task.run = confirm ? confirm_look : join_looks;
  loop_post(services->hosts[0].loop, &this->task);
}

/* ---- Topics as messages ---- */

static void fill_config(Cairn__V1__TopicConfig *config, const struct topic_settings *settings) {
  cairn__v1__topic_config__init(config);
  config->retention_bytes_presence_case = CAIRN__V1__TOPIC_CONFIG__RETENTION_BYTES_PRESENCE_RETENTION_BYTES;
  config->retention_bytes = settings->retention_bytes;
  config->retention_ms_presence_case = CAIRN__V1__TOPIC_CONFIG__RETENTION_MS_PRESENCE_RETENTION_MS;
  config->retention_ms = settings->retention_ms;
  config->segment_bytes_presence_case = CAIRN__V1__TOPIC_CONFIG__SEGMENT_BYTES_PRESENCE_SEGMENT_BYTES;
  config->segment_bytes = settings->segment_bytes;
  config->record_bytes_max_presence_case = CAIRN__V1__TOPIC_CONFIG__RECORD_BYTES_MAX_PRESENCE_RECORD_BYTES_MAX;
  config->record_bytes_max = settings->record_bytes_max;
}

/* A topic with its config; the name is borrowed. */
struct topic_message {
  Cairn__V1__Topic topic;
  Cairn__V1__TopicConfig config;
};

static void fill_topic(struct topic_message *message, const struct map_topic *topic) {
  cairn__v1__topic__init(&message->topic);
  fill_config(&message->config, &topic->settings);
  message->topic.name = topic->name;
  message->topic.id = topic->id;
  message->topic.partitions = topic->partition_count;
  message->topic.replicas = topic->replicas;
  message->topic.config = &message->config;
  message->topic.created_ms = topic->created_ms;
}

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

/* False when the name cannot be anybody's: a longer one would be cut. */
static bool take_name(struct admin_call *this, const char *name) {
  size_t size = strlen(name);
  if (size > TOPIC_NAME_MAX) {
    finish_with(this, refusal_new(STATUS_BAD_NAME, "the topic's name has %zu characters and may have %u", size, TOPIC_NAME_MAX));
    return false;
  }
  memcpy(this->change.name, name, size + 1);
  return true;
}

static struct failure *change_failure(struct services *services, const struct change *change) {
  if (change->status == STATUS_NOT_LEADER || change->status == STATUS_REPLACED) {
    struct failure *failure = services_not_leader(services, controller_leader(services->controller));
    failure->reason = change->status;
    return failure;
  }
  if (change->status == STATUS_UNKNOWN_TOPIC)
    return refusal_new(change->status, "there is no topic \"%s\"; cairn topic list shows those there are", change->name);
  if (change->problem[0] == '\0') return refusal_of_status(change->status);
  return refusal_new(change->status, "topic \"%s\": %s: %s", change->name, status_text(change->status), change->problem);
}

static struct admin_call *of_change(struct change *change) { return container_of(change, struct admin_call, change); }

static void topic_is_open(struct map_follower_wait *wait) {
  struct admin_call *this = container_of(wait, struct admin_call, wait);
  if (wait->status == STATUS_OK) {
    services_answer(this->call, this->answer);
  } else {
    blob_part_release(this->answer);
    struct failure *failure =
        wait->status == STATUS_UNKNOWN_TOPIC
            ? refusal_new(STATUS_UNKNOWN_TOPIC, "topic \"%s\" was created and deleted again", this->change.name)
            : refusal_of_status(wait->status);
    failure->executed = EXECUTED_YES;
    services_fail(this->call, failure);
  }
  finish(this);
}

static void created(struct change *change) {
  struct admin_call *this = of_change(change);
  if (change->status != STATUS_OK) {
    finish_with(this, change_failure(this->services, change));
    return;
  }
  struct topic_message message;
  fill_topic(&message, change->topic);
  Cairn__V1__CreateTopicResponse response;
  cairn__v1__create_topic_response__init(&response);
  response.topic = &message.topic;
  this->answer = pack_part(&response.base);
  this->wait.done = topic_is_open;
  if (!change->validate_only) {
    map_follower_when_open(this->services->follower, change->topic->id, &this->wait);
    return;
  }
  services_answer(this->call, this->answer);
  finish(this);
}

static void create_run(struct task *task) {
  struct admin_call *this = container_of(task, struct admin_call, task);
  const Cairn__V1__CreateTopicRequest *request = (const void *)this->request;
  struct change *change = &this->change;
  if (!take_name(this, request->name)) return;
  change->kind = COMMAND_CREATE_TOPIC;
  change->validate_only = request->validate_only != 0;
  change->partition_count = request->partitions;
  change->replicas = request->replicas;
  change->settings = topic_settings_default;
  change->settings.segment_bytes = (int64_t)this->services->options->segment_bytes;
  change->settings.record_bytes_max = (int64_t)this->services->options->record_bytes_max;
  read_config(change, request->config);
  change->done = created;
  controller_change(this->services->controller, change);
}

static void altered(struct change *change) {
  struct admin_call *this = of_change(change);
  if (change->status != STATUS_OK) {
    finish_with(this, change_failure(this->services, change));
    return;
  }
  struct topic_message message;
  fill_topic(&message, change->topic);
  Cairn__V1__AlterTopicResponse response;
  cairn__v1__alter_topic_response__init(&response);
  response.topic = &message.topic;
  services_answer(this->call, pack_part(&response.base));
  finish(this);
}

static void alter_run(struct task *task) {
  struct admin_call *this = container_of(task, struct admin_call, task);
  const Cairn__V1__AlterTopicRequest *request = (const void *)this->request;
  if (!take_name(this, request->name)) return;
  this->change.kind = COMMAND_ALTER_TOPIC;
  this->change.validate_only = request->validate_only != 0;
  read_config(&this->change, request->config);
  this->change.done = altered;
  controller_change(this->services->controller, &this->change);
}

static void deleted(struct change *change) {
  struct admin_call *this = of_change(change);
  if (change->status != STATUS_OK) {
    finish_with(this, change_failure(this->services, change));
    return;
  }
  Cairn__V1__DeleteTopicResponse response;
  cairn__v1__delete_topic_response__init(&response);
  response.id = change->topic_id;
  services_answer(this->call, pack_part(&response.base));
  finish(this);
}

static void delete_run(struct task *task) {
  struct admin_call *this = container_of(task, struct admin_call, task);
  const Cairn__V1__DeleteTopicRequest *request = (const void *)this->request;
  if (!take_name(this, request->name)) return;
  this->change.kind = COMMAND_DELETE_TOPIC;
  this->change.done = deleted;
  controller_change(this->services->controller, &this->change);
}

static void moved(struct change *change) {
  struct admin_call *this = of_change(change);
  if (change->status != STATUS_OK) {
    finish_with(this, change_failure(this->services, change));
    return;
  }
  Cairn__V1__MovePartitionResponse response;
  cairn__v1__move_partition_response__init(&response);
  services_answer(this->call, pack_part(&response.base));
  finish(this);
}

static void move_run(struct task *task) {
  struct admin_call *this = container_of(task, struct admin_call, task);
  const Cairn__V1__MovePartitionRequest *request = (const void *)this->request;
  struct change *change = &this->change;
  if (!take_name(this, request->topic)) return;
  if (request->n_replicas == 0 || request->n_replicas > MAP_REPLICAS_MAX) {
    finish_with(this, refusal_new(STATUS_INVALID, "partition %u of topic \"%s\" is to have %zu replicas: name 1 to %u brokers",
                                  request->partition, request->topic, request->n_replicas, MAP_REPLICAS_MAX));
    return;
  }
  change->kind = COMMAND_MOVE_PARTITION;
  change->validate_only = request->validate_only != 0;
  change->partition = request->partition;
  for (size_t i = 0; i < request->n_replicas; i++) change->to[change->to_count++] = request->replicas[i];
  change->done = moved;
  controller_change(this->services->controller, change);
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
  struct topic_message *messages = memory_new_array(page, sizeof *messages);
  response.topics = memory_new_array(page, sizeof *response.topics);
  const struct map_topic *last = NULL;
  const struct map_topic *topic = cluster_map_topic_after(map, bytes_of_string(request->page_token));
  for (; topic != NULL && response.n_topics < page; topic = cluster_map_topic_after(map, bytes_of_string(topic->name))) {
    struct topic_message *message = &messages[response.n_topics];
    fill_topic(message, topic);
    response.topics[response.n_topics++] = &message->topic;
    last = topic;
  }
  if (topic != NULL && last != NULL) response.next_page_token = last->name;
  services_tell(this->services, this->call, &response.base);
  memory_free(response.topics);
  memory_free(messages);
  finish(this);
}

/* A partition with the numbers of its brokers, and where its leader is. */
struct partition_message {
  Cairn__V1__Partition partition;
  uint32_t replicas[MAP_REPLICAS_MAX];
  uint32_t moving_to[MAP_REPLICAS_MAX];
  char leader[ADDRESS_TEXT_SIZE];
};

static void fill_replicas(const struct services *services, const struct map_partition *partition,
                          struct partition_message *message) {
  message->replicas[0] = services->identity.broker_id; /* made before there were others */
  for (uint32_t i = 0; i < partition->replica_count; i++) message->replicas[i] = partition->replicas[i].broker;
  message->partition.n_replicas = partition->replica_count == 0 ? 1 : partition->replica_count;
  message->partition.replicas = message->replicas;
  const struct map_move *move = cluster_map_move(controller_map(services->controller), partition->group);
  if (move == NULL) return;
  for (uint32_t i = 0; i < move->target_count; i++) message->moving_to[i] = move->target[i].broker;
  message->partition.n_moving_to = move->target_count;
  message->partition.moving_to = message->moving_to;
}

static void fill_partition(struct services *services, const struct map_topic *topic, uint32_t i,
                           struct partition_message *of_partition) {
  Cairn__V1__Partition *message = &of_partition->partition;
  cairn__v1__partition__init(message);
  message->partition = topic->partitions[i].number;
  message->group_id = topic->partitions[i].group;
  fill_replicas(services, &topic->partitions[i], of_partition);
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
    finish_with(this, services_cannot_tell(bytes_of_string(request->name)));
    return;
  }
  if (topic == NULL) {
    finish_with(this, refusal_new(STATUS_UNKNOWN_TOPIC, "there is no topic \"%.*s\"; cairn topic list shows those there are",
                                  (int)TOPIC_NAME_MAX, request->name));
    return;
  }
  struct topic_message message;
  fill_topic(&message, topic);
  Cairn__V1__DescribeTopicResponse response;
  cairn__v1__describe_topic_response__init(&response);
  response.topic = &message.topic;
  response.n_partitions = topic->partition_count;
  struct partition_message *partitions = memory_new_array(topic->partition_count, sizeof *partitions);
  response.partitions = memory_new_array(topic->partition_count, sizeof *response.partitions);
  for (uint32_t i = 0; i < topic->partition_count; i++) {
    fill_partition(services, topic, i, &partitions[i]);
    response.partitions[i] = &partitions[i].partition;
  }
  services_tell(this->services, this->call, &response.base);
  memory_free(response.partitions);
  memory_free(partitions);
  finish(this);
}

static void broker_run(struct look *look) {
  struct admin_call *this = container_of(look, struct admin_call, look);
  struct services *services = this->services;
  const struct cluster_map *map = controller_map(services->controller);
  char cluster[RANDOM_ID_HEX_SIZE];
  char incarnation[RANDOM_ID_HEX_SIZE];
  char version[] = CAIRND_VERSION;
  random_id_hex(this->services->identity.cluster, cluster);
  random_id_hex(services->identity.incarnation, incarnation);
  Cairn__V1__DescribeBrokerResponse response;
  cairn__v1__describe_broker_response__init(&response);
  response.broker_id = services->identity.broker_id;
  response.cluster_id = cluster;
  response.incarnation = incarnation;
  response.version = version;
  response.advertised = services->advertised;
  response.topics = (uint32_t)cluster_map_topic_count(map);
  response.partitions = (uint32_t)cluster_map_partition_count(map);
  services_tell(this->services, this->call, &response.base);
  finish(this);
}

/* A broker with its incarnation in digits; it has what it names. */
struct broker_message {
  Cairn__V1__Broker broker;
  struct map_broker known;
  char incarnation[RANDOM_ID_HEX_SIZE];
};

static void fill_broker(struct broker_message *message, const struct map_broker *broker, const struct placement_load *load,
                        uint32_t controller) {
  cairn__v1__broker__init(&message->broker);
  message->known = *broker;
  random_id_hex(broker->incarnation, message->incarnation);
  message->broker.id = broker->id;
  message->broker.advertised = message->known.advertised;
  message->broker.peer_address = message->known.peer_address;
  message->broker.incarnation = message->incarnation;
  message->broker.controller = broker->id == controller;
  message->broker.replicas = load->replicas;
  message->broker.preferred = load->firsts;
}

static void cluster_run(struct look *look) {
  struct admin_call *this = container_of(look, struct admin_call, look);
  const struct controller *controller = this->services->controller;
  const struct cluster_map *map = controller_map(controller);
  char cluster[RANDOM_ID_HEX_SIZE];
  random_id_hex(this->services->identity.cluster, cluster);
  Cairn__V1__DescribeClusterResponse response;
  cairn__v1__describe_cluster_response__init(&response);
  response.cluster_id = cluster;
  response.controller_id = controller_leader(controller);
  response.topics = (uint32_t)cluster_map_topic_count(map);
  response.partitions = (uint32_t)cluster_map_partition_count(map);
  size_t count = cluster_map_broker_count(map);
  struct broker_message *brokers = memory_new_array(count, sizeof *brokers);
  struct placement_load *loads = memory_new_array(count, sizeof *loads);
  response.brokers = memory_new_array(count, sizeof *response.brokers);
  response.n_brokers = placement_loads(map, loads);
  for (size_t i = 0; i < count; i++) {
    fill_broker(&brokers[i], cluster_map_broker(map, loads[i].broker), &loads[i], response.controller_id);
    response.brokers[i] = &brokers[i].broker;
  }
  services_tell(this->services, this->call, &response.base);
  memory_free(response.brokers);
  memory_free(loads);
  memory_free(brokers);
  finish(this);
}

/* ---- The handlers ---- */

void admin_service_create_topic(void *services, struct rpc_call *call, struct blob *message) {
  start_change(services, call, message, &cairn__v1__create_topic_request__descriptor, create_run);
}
void admin_service_list_topics(void *services, struct rpc_call *call, struct blob *message) {
  start_look(services, call, message, &cairn__v1__list_topics_request__descriptor, list_run, true);
}
void admin_service_describe_topic(void *services, struct rpc_call *call, struct blob *message) {
  start_look(services, call, message, &cairn__v1__describe_topic_request__descriptor, describe_run, true);
}
void admin_service_alter_topic(void *services, struct rpc_call *call, struct blob *message) {
  start_change(services, call, message, &cairn__v1__alter_topic_request__descriptor, alter_run);
}
void admin_service_delete_topic(void *services, struct rpc_call *call, struct blob *message) {
  start_change(services, call, message, &cairn__v1__delete_topic_request__descriptor, delete_run);
}
void admin_service_move_partition(void *services, struct rpc_call *call, struct blob *message) {
  start_change(services, call, message, &cairn__v1__move_partition_request__descriptor, move_run);
}
void admin_service_describe_broker(void *services, struct rpc_call *call, struct blob *message) {
  start_look(services, call, message, &cairn__v1__describe_broker_request__descriptor, broker_run, false);
}
void admin_service_describe_cluster(void *services, struct rpc_call *call, struct blob *message) {
  start_look(services, call, message, &cairn__v1__describe_cluster_request__descriptor, cluster_run, false);
}
