#include "clients/c/map_words.h"

#include <stdio.h>

/* A setting that is not there reads as 0. */
void topic_unpack(const Cairn__V1__Topic *in, struct cairn_topic *out) {
  *out = (struct cairn_topic){0};
  if (in == NULL) return;
  snprintf(out->name, sizeof out->name, "%s", in->name);
  out->id = in->id;
  out->partitions = in->partitions;
  out->replicas = in->replicas;
  out->created_ms = in->created_ms;
  if (in->config == NULL) return;
  out->config.has_retention_bytes =
      in->config->retention_bytes_presence_case == CAIRN__V1__TOPIC_CONFIG__RETENTION_BYTES_PRESENCE_RETENTION_BYTES;
  out->config.has_retention_ms =
      in->config->retention_ms_presence_case == CAIRN__V1__TOPIC_CONFIG__RETENTION_MS_PRESENCE_RETENTION_MS;
  out->config.retention_bytes = in->config->retention_bytes;
  out->config.retention_ms = in->config->retention_ms;
  out->config.segment_bytes = in->config->segment_bytes;
  out->config.record_bytes_max = in->config->record_bytes_max;
}

void partition_unpack(const Cairn__V1__Partition *in, struct cairn_partition *out) {
  *out = (struct cairn_partition){
      .partition = in->partition,
      .group_id = in->group_id,
      .leader_id = in->leader_id,
      .leader = in->leader,
      .replicas = in->replicas,
      .replica_count = in->n_replicas,
      .moving_to = in->moving_to,
      .moving_to_count = in->n_moving_to,
      .log_start_offset = in->log_start_offset,
      .high_watermark = in->high_watermark,
  };
}

static enum cairn_broker_standing standing_unpack(Cairn__V1__BrokerStanding standing) {
  switch (standing) {
    case CAIRN__V1__BROKER_STANDING__BROKER_STANDING_IN: return CAIRN_BROKER_IN;
    case CAIRN__V1__BROKER_STANDING__BROKER_STANDING_DRAINED: return CAIRN_BROKER_DRAINED;
    case CAIRN__V1__BROKER_STANDING__BROKER_STANDING_LEAVING: return CAIRN_BROKER_LEAVING;
    case CAIRN__V1__BROKER_STANDING__BROKER_STANDING_GONE: return CAIRN_BROKER_GONE;
    default: return CAIRN_BROKER_UNKNOWN;
  }
}

void member_unpack(const Cairn__V1__Broker *in, struct cairn_member *out) {
  *out = (struct cairn_member){
      .broker_id = in->id,
      .advertised = in->advertised,
      .peer_address = in->peer_address,
      .incarnation = in->incarnation,
      .controller = in->controller != 0,
      .replicas = in->replicas,
      .preferred = in->preferred,
      .standing = standing_unpack(in->standing),
      .feature_least = in->feature_least,
      .feature_most = in->feature_most,
      .votes = in->votes != 0,
      .liveness = in->liveness == CAIRN__V1__BROKER_LIVENESS__BROKER_LIVENESS_UP     ? CAIRN_BROKER_UP
                  : in->liveness == CAIRN__V1__BROKER_LIVENESS__BROKER_LIVENESS_DOWN ? CAIRN_BROKER_DOWN
                                                                                     : CAIRN_BROKER_UNTOLD,
      .rack = in->rack,
  };
}
