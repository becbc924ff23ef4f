#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "cairn/v1/admin.pb-c.h"
#include "clients/c/cairn_admin.h"
#include "clients/c/client_internal.h"
#include "clients/c/map_words.h"

#define LIST_PAGE_SIZE 1000u

/* ---- Configuration ---- */

static void config_pack(const struct cairn_topic_config *config, Cairn__V1__TopicConfig *out) {
  cairn__v1__topic_config__init(out);
  if (config->has_retention_bytes || config->retention_bytes != 0) {
    out->retention_bytes_presence_case = CAIRN__V1__TOPIC_CONFIG__RETENTION_BYTES_PRESENCE_RETENTION_BYTES;
    out->retention_bytes = config->retention_bytes;
  }
  if (config->has_retention_ms || config->retention_ms != 0) {
    out->retention_ms_presence_case = CAIRN__V1__TOPIC_CONFIG__RETENTION_MS_PRESENCE_RETENTION_MS;
    out->retention_ms = config->retention_ms;
  }
  if (config->segment_bytes != 0) {
    out->segment_bytes_presence_case = CAIRN__V1__TOPIC_CONFIG__SEGMENT_BYTES_PRESENCE_SEGMENT_BYTES;
    out->segment_bytes = config->segment_bytes;
  }
  if (config->record_bytes_max != 0) {
    out->record_bytes_max_presence_case = CAIRN__V1__TOPIC_CONFIG__RECORD_BYTES_MAX_PRESENCE_RECORD_BYTES_MAX;
    out->record_bytes_max = config->record_bytes_max;
  }
}

static void topic_unpack_to(const Cairn__V1__Topic *in, struct cairn_topic *out_topic) {
  if (out_topic != NULL) topic_unpack(in, out_topic);
}

/* ---- Topics ---- */

struct place_message {
  Cairn__V1__Place place;
  uint32_t brokers[CAIRN_REPLICAS_MAX];
};
struct places_message {
  size_t count;
  struct place_message *places;
  Cairn__V1__Place **pointers; /* for a request, which only reads them */
};

static void place_pack(const struct cairn_place *place, struct place_message *out) {
  cairn__v1__place__init(&out->place);
  memcpy(out->brokers, place->brokers, sizeof out->brokers);
  out->place.n_replicas = place->count;
  out->place.replicas = out->brokers;
}

static int places_check(const struct cairn_place *places, size_t count, struct cairn_error *error) {
  for (size_t i = 0; i < count; i++)
    if (places[i].count > CAIRN_REPLICAS_MAX)
      return error_set(error, STATUS_INVALID, "place %zu has %zu brokers; a partition has at most %u", i, places[i].count,
                       CAIRN_REPLICAS_MAX);
  return CAIRN_OK;
}

static struct places_message places_pack(const struct cairn_place *places, size_t count) {
  struct places_message message = {.count = count};
  if (count == 0) return message;
  message.places = memory_new_array(count, sizeof *message.places);
  message.pointers = memory_new_array(count, sizeof(Cairn__V1__Place *));
  for (size_t i = 0; i < count; i++) {
    place_pack(&places[i], &message.places[i]);
    message.pointers[i] = &message.places[i].place;
  }
  return message;
}

static void places_free(struct places_message *message) {
  memory_free(message->pointers);
  memory_free(message->places);
}

int cairn_topic_create(struct cairn_client *client, const char *name, const struct cairn_topic_options *options,
                       struct cairn_topic *out_topic, struct cairn_error *error) {
  static const struct cairn_topic_options defaults;
  if (options == NULL) options = &defaults;
  int code = places_check(options->places, options->place_count, error);
  if (code != CAIRN_OK) return code;
  Cairn__V1__TopicConfig config;
  config_pack(&options->config, &config);
  Cairn__V1__CreateTopicRequest request;
  cairn__v1__create_topic_request__init(&request);
  request.name = pack_text(name);
  request.partitions = options->partitions;
  request.replicas = options->replicas;
  request.config = &config;
  request.validate_only = options->validate_only;
  struct places_message places = places_pack(options->places, options->place_count);
  request.n_places = places.count;
  request.places = places.pointers;
  const struct exchange exchange = {.method = "/cairn.v1.Admin/CreateTopic",
                                    .request = &request.base,
                                    .idempotent = options->validate_only,
                                    .answer = &cairn__v1__create_topic_response__descriptor};
  Cairn__V1__CreateTopicResponse *answer = NULL;
  struct arena *arena = NULL;
  code = call_for(client, &exchange, &answer, &arena, error);
  places_free(&places);
  if (code != CAIRN_OK) return code;
  topic_unpack_to(answer->topic, out_topic);
  arena_free(arena);
  return CAIRN_OK;
}

/* One page; `token` is replaced by the next page's, which is "" behind the last. */
static int list_page(struct cairn_client *client, char token[CAIRN_MESSAGE_SIZE],
                     void (*visit)(void *context, const struct cairn_topic *topic), void *context, struct cairn_error *error) {
  Cairn__V1__ListTopicsRequest request;
  cairn__v1__list_topics_request__init(&request);
  request.page_size = LIST_PAGE_SIZE;
  request.page_token = token;
  const struct exchange exchange = {.method = "/cairn.v1.Admin/ListTopics",
                                    .request = &request.base,
                                    .idempotent = true,
                                    .answer = &cairn__v1__list_topics_response__descriptor};
  Cairn__V1__ListTopicsResponse *answer = NULL;
  struct arena *arena = NULL;
  int code = call_for(client, &exchange, &answer, &arena, error);
  if (code != CAIRN_OK) return code;
  for (size_t i = 0; i < answer->n_topics; i++) {
    struct cairn_topic topic;
    topic_unpack(answer->topics[i], &topic);
    visit(context, &topic);
  }
  snprintf(token, CAIRN_MESSAGE_SIZE, "%s", answer->next_page_token);
  arena_free(arena);
  return CAIRN_OK;
}

int cairn_topic_list(struct cairn_client *client, void (*visit)(void *context, const struct cairn_topic *topic), void *context,
                     struct cairn_error *error) {
  char token[CAIRN_MESSAGE_SIZE] = "";
  do {
    int code = list_page(client, token, visit, context, error);
    if (code != CAIRN_OK) return code;
  } while (token[0] != '\0');
  return CAIRN_OK;
}

static void partition_visit(const Cairn__V1__Partition *in, void (*visit)(void *context, const struct cairn_partition *partition),
                            void *context) {
  struct cairn_partition partition;
  partition_unpack(in, &partition);
  visit(context, &partition);
}

int cairn_topic_describe(struct cairn_client *client, const char *name, struct cairn_topic *out_topic,
                         void (*visit)(void *context, const struct cairn_partition *partition), void *context,
                         struct cairn_error *error) {
  Cairn__V1__DescribeTopicRequest request;
  cairn__v1__describe_topic_request__init(&request);
  request.name = pack_text(name);
  const struct exchange exchange = {.method = "/cairn.v1.Admin/DescribeTopic",
                                    .request = &request.base,
                                    .idempotent = true,
                                    .answer = &cairn__v1__describe_topic_response__descriptor};
  Cairn__V1__DescribeTopicResponse *answer = NULL;
  struct arena *arena = NULL;
  int code = call_for(client, &exchange, &answer, &arena, error);
  if (code != CAIRN_OK) return code;
  topic_unpack_to(answer->topic, out_topic);
  for (size_t i = 0; visit != NULL && i < answer->n_partitions; i++) partition_visit(answer->partitions[i], visit, context);
  arena_free(arena);
  return CAIRN_OK;
}

int cairn_topic_alter(struct cairn_client *client, const char *name, const struct cairn_topic_config *config, bool validate_only,
                      struct cairn_topic *out_topic, struct cairn_error *error) {
  Cairn__V1__TopicConfig packed;
  config_pack(config, &packed);
  Cairn__V1__AlterTopicRequest request;
  cairn__v1__alter_topic_request__init(&request);
  request.name = pack_text(name);
  request.config = &packed;
  request.validate_only = validate_only;
  const struct exchange exchange = {.method = "/cairn.v1.Admin/AlterTopic",
                                    .request = &request.base,
                                    .idempotent = true, /* the same values a second time change nothing */
                                    .answer = &cairn__v1__alter_topic_response__descriptor};
  Cairn__V1__AlterTopicResponse *answer = NULL;
  struct arena *arena = NULL;
  int code = call_for(client, &exchange, &answer, &arena, error);
  if (code != CAIRN_OK) return code;
  topic_unpack_to(answer->topic, out_topic);
  arena_free(arena);
  return CAIRN_OK;
}

int cairn_topic_grow(struct cairn_client *client, const char *name, uint32_t partitions,
                     const struct cairn_growth_options *options, struct cairn_topic *out_topic, struct cairn_error *error) {
  static const struct cairn_growth_options defaults;
  if (options == NULL) options = &defaults;
  int code = places_check(options->places, options->place_count, error);
  if (code != CAIRN_OK) return code;
  Cairn__V1__AddPartitionsRequest request;
  cairn__v1__add_partitions_request__init(&request);
  request.topic = pack_text(name);
  request.partitions = partitions;
  request.validate_only = options->validate_only;
  struct places_message places = places_pack(options->places, options->place_count);
  request.n_places = places.count;
  request.places = places.pointers;
  const struct exchange exchange = {.method = "/cairn.v1.Admin/AddPartitions",
                                    .request = &request.base,
                                    .idempotent = true, /* as many a second time change nothing */
                                    .answer = &cairn__v1__add_partitions_response__descriptor};
  Cairn__V1__AddPartitionsResponse *answer = NULL;
  struct arena *arena = NULL;
  code = call_for(client, &exchange, &answer, &arena, error);
  places_free(&places);
  if (code != CAIRN_OK) return code;
  topic_unpack_to(answer->topic, out_topic);
  arena_free(arena);
  return CAIRN_OK;
}

int cairn_topic_delete(struct cairn_client *client, const char *name, bool validate_only, uint64_t *out_id,
                       struct cairn_error *error) {
  Cairn__V1__DeleteTopicRequest request;
  cairn__v1__delete_topic_request__init(&request);
  request.name = pack_text(name);
  request.validate_only = validate_only;
  const struct exchange exchange = {.method = "/cairn.v1.Admin/DeleteTopic",
                                    .request = &request.base,
                                    .idempotent = validate_only,
                                    .answer = &cairn__v1__delete_topic_response__descriptor};
  Cairn__V1__DeleteTopicResponse *answer = NULL;
  struct arena *arena = NULL;
  int code = call_for(client, &exchange, &answer, &arena, error);
  if (code != CAIRN_OK) return code;
  if (out_id != NULL) *out_id = answer->id;
  arena_free(arena);
  return CAIRN_OK;
}

int cairn_partition_transfer(struct cairn_client *client, const char *topic, uint32_t partition, uint32_t broker,
                             bool validate_only, struct cairn_leadership *out_leadership, struct cairn_error *error) {
  Cairn__V1__TransferLeadershipRequest request;
  cairn__v1__transfer_leadership_request__init(&request);
  request.topic = pack_text(topic);
  request.partition = partition;
  request.broker_id = broker;
  request.validate_only = validate_only;
  const struct exchange exchange = {.method = "/cairn.v1.Admin/TransferLeadership",
                                    .request = &request.base,
                                    .idempotent = true, /* who leads already is not asked to again */
                                    .answer = &cairn__v1__transfer_leadership_response__descriptor};
  Cairn__V1__TransferLeadershipResponse *answer = NULL;
  struct arena *arena = NULL;
  int code = call_for(client, &exchange, &answer, &arena, error);
  if (code != CAIRN_OK) return code;
  if (out_leadership != NULL) {
    *out_leadership = (struct cairn_leadership){
        .leader_before = answer->leader_before, .leader_after = answer->leader_after, .term = answer->term};
    snprintf(out_leadership->leader, sizeof out_leadership->leader, "%s", answer->leader);
  }
  arena_free(arena);
  return CAIRN_OK;
}

/* ---- Brokers ---- */

int cairn_broker_describe(struct cairn_client *client, struct cairn_broker *out_broker, struct cairn_error *error) {
  Cairn__V1__DescribeBrokerRequest request;
  cairn__v1__describe_broker_request__init(&request);
  const struct exchange exchange = {.method = "/cairn.v1.Admin/DescribeBroker",
                                    .request = &request.base,
                                    .idempotent = true,
                                    .answer = &cairn__v1__describe_broker_response__descriptor};
  Cairn__V1__DescribeBrokerResponse *answer = NULL;
  struct arena *arena = NULL;
  int code = call_for(client, &exchange, &answer, &arena, error);
  if (code != CAIRN_OK) return code;
  *out_broker = (struct cairn_broker){
      .broker_id = answer->broker_id, .topics = answer->topics, .partitions = answer->partitions, .leads = answer->leads};
  snprintf(out_broker->cluster_id, sizeof out_broker->cluster_id, "%s", answer->cluster_id);
  snprintf(out_broker->incarnation, sizeof out_broker->incarnation, "%s", answer->incarnation);
  snprintf(out_broker->version, sizeof out_broker->version, "%s", answer->version);
  snprintf(out_broker->advertised, sizeof out_broker->advertised, "%s", answer->advertised);
  arena_free(arena);
  return CAIRN_OK;
}

static void member_visit(const Cairn__V1__Broker *in, void (*visit)(void *context, const struct cairn_member *member),
                         void *context) {
  struct cairn_member member;
  member_unpack(in, &member);
  visit(context, &member);
}

int cairn_cluster_describe(struct cairn_client *client, struct cairn_cluster *out_cluster,
                           void (*visit)(void *context, const struct cairn_member *member), void *context,
                           struct cairn_error *error) {
  Cairn__V1__DescribeClusterRequest request;
  cairn__v1__describe_cluster_request__init(&request);
  const struct exchange exchange = {.method = "/cairn.v1.Admin/DescribeCluster",
                                    .request = &request.base,
                                    .idempotent = true,
                                    .answer = &cairn__v1__describe_cluster_response__descriptor};
  Cairn__V1__DescribeClusterResponse *answer = NULL;
  struct arena *arena = NULL;
  int code = call_for(client, &exchange, &answer, &arena, error);
  if (code != CAIRN_OK) return code;
  if (out_cluster != NULL) {
    *out_cluster = (struct cairn_cluster){.controller_id = answer->controller_id,
                                          .brokers = (uint32_t)answer->n_brokers,
                                          .topics = answer->topics,
                                          .partitions = answer->partitions,
                                          .partitions_without_quorum = answer->partitions_without_quorum,
                                          .partitions_short_of_replicas = answer->partitions_short_of_replicas,
                                          .partitions_moving = answer->partitions_moving,
                                          .feature_level = answer->feature_level,
                                          .feature_level_possible = answer->feature_level_possible};
    snprintf(out_cluster->cluster_id, sizeof out_cluster->cluster_id, "%s", answer->cluster_id);
  }
  for (size_t i = 0; visit != NULL && i < answer->n_brokers; i++) member_visit(answer->brokers[i], visit, context);
  arena_free(arena);
  return CAIRN_OK;
}

int cairn_broker_set_standing(struct cairn_client *client, uint32_t broker_id, enum cairn_broker_standing standing,
                              bool validate_only, void (*visit)(void *context, const struct cairn_member *member), void *context,
                              struct cairn_error *error) {
  Cairn__V1__SetBrokerStandingRequest request;
  cairn__v1__set_broker_standing_request__init(&request);
  request.broker_id = broker_id;
  request.standing = (Cairn__V1__BrokerStanding)standing; /* the same numbers */
  request.validate_only = validate_only;
  const struct exchange exchange = {.method = "/cairn.v1.Admin/SetBrokerStanding",
                                    .request = &request.base,
                                    .idempotent = true,
                                    .answer = &cairn__v1__set_broker_standing_response__descriptor};
  Cairn__V1__SetBrokerStandingResponse *answer = NULL;
  struct arena *arena = NULL;
  int code = call_for(client, &exchange, &answer, &arena, error);
  if (code != CAIRN_OK) return code;
  if (visit != NULL && answer->broker != NULL) member_visit(answer->broker, visit, context);
  arena_free(arena);
  return CAIRN_OK;
}

int cairn_feature_level_raise(struct cairn_client *client, uint32_t level, bool validate_only, uint32_t *out_before,
                              uint32_t *out_level, struct cairn_error *error) {
  Cairn__V1__RaiseFeatureLevelRequest request;
  cairn__v1__raise_feature_level_request__init(&request);
  request.level = level;
  request.validate_only = validate_only;
  const struct exchange exchange = {.method = "/cairn.v1.Admin/RaiseFeatureLevel",
                                    .request = &request.base,
                                    .idempotent = true,
                                    .answer = &cairn__v1__raise_feature_level_response__descriptor};
  Cairn__V1__RaiseFeatureLevelResponse *answer = NULL;
  struct arena *arena = NULL;
  int code = call_for(client, &exchange, &answer, &arena, error);
  if (code != CAIRN_OK) return code;
  if (out_before != NULL) *out_before = answer->level_before;
  if (out_level != NULL) *out_level = answer->level;
  arena_free(arena);
  return CAIRN_OK;
}
