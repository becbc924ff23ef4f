#include "controller/map_public.h"

#include "controller/feature_level.h"
#include "security/random.h"

_Static_assert(RANDOM_ID_HEX_SIZE == 2 * CLUSTER_ID_SIZE + 1, "an id in hex digits fits");

const Cairn__V1__BrokerStanding public_standings[STANDINGS] = {
    [STANDING_IN] = CAIRN__V1__BROKER_STANDING__BROKER_STANDING_IN,
    [STANDING_DRAINED] = CAIRN__V1__BROKER_STANDING__BROKER_STANDING_DRAINED,
    [STANDING_LEAVING] = CAIRN__V1__BROKER_STANDING__BROKER_STANDING_LEAVING,
    [STANDING_GONE] = CAIRN__V1__BROKER_STANDING__BROKER_STANDING_GONE,
};

/* ---- Topics ---- */

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

void public_topic_fill(struct public_topic *message, const struct map_topic *topic) {
  cairn__v1__topic__init(&message->topic);
  fill_config(&message->config, &topic->settings);
  message->topic.name = topic->name;
  message->topic.id = topic->id;
  message->topic.partitions = topic->partition_count;
  message->topic.replicas = topic->replicas;
  message->topic.config = &message->config;
  message->topic.created_ms = topic->created_ms;
}

void public_partition_fill(struct public_partition *message, const struct cluster_map *map,
                           const struct map_partition *partition) {
  const struct map_move *move = cluster_map_move(map, partition->group);
  cairn__v1__partition__init(&message->partition);
  message->partition.partition = partition->number;
  message->partition.group_id = partition->group;
  for (uint32_t i = 0; i < partition->replica_count; i++) message->replicas[i] = partition->replicas[i].broker;
  message->partition.n_replicas = partition->replica_count;
  message->partition.replicas = message->replicas;
  if (move == NULL) return;
  for (uint32_t i = 0; i < move->target_count; i++) message->moving_to[i] = move->target[i].broker;
  message->partition.n_moving_to = move->target_count;
  message->partition.moving_to = message->moving_to;
}

/* ---- Brokers ---- */

void public_broker_fill(struct public_broker *message, const struct map_broker *broker) {
  cairn__v1__broker__init(&message->broker);
  message->known = *broker;
  random_id_hex(broker->incarnation, message->incarnation);
  message->broker.id = broker->id;
  message->broker.advertised = message->known.advertised;
  message->broker.peer_address = message->known.peer_address;
  message->broker.rack = message->known.rack;
  message->broker.incarnation = message->incarnation;
  message->broker.standing = public_standings[broker->standing];
  struct feature_range features = map_broker_features(broker);
  message->broker.feature_least = features.least;
  message->broker.feature_most = features.most;
}
