#include <stdio.h>

#include "cairn/v1/log.pb-c.h"
#include "clients/c/client_internal.h"

static void damaged_unpack(const Cairn__V1__DescribePartitionResponse *in, struct cairn_partition_state *out) {
  out->damaged_count = in->n_damaged;
  for (size_t i = 0; i < in->n_damaged && i < CAIRN_DAMAGED_MAX; i++) {
    out->damaged[i] =
        (struct cairn_offset_range){.first_offset = in->damaged[i]->first_offset, .end_offset = in->damaged[i]->end_offset};
  }
}

int cairn_partition_describe(struct cairn_client *client, const char *topic, uint32_t partition,
                             struct cairn_partition_state *out_state, struct cairn_error *error) {
  Cairn__V1__DescribePartitionRequest request;
  cairn__v1__describe_partition_request__init(&request);
  request.topic = pack_text(topic);
  request.partition = partition;
  const struct exchange exchange = {.method = "/cairn.v1.Log/DescribePartition",
                                    .request = &request.base,
                                    .idempotent = true,
                                    .answer = &cairn__v1__describe_partition_response__descriptor};
  Cairn__V1__DescribePartitionResponse *answer = NULL;
  struct arena *arena = NULL;
  int code = call_for(client, &exchange, &answer, &arena, error);
  if (code != CAIRN_OK) return code;
  *out_state = (struct cairn_partition_state){
      .log_start_offset = answer->log_start_offset,
      .next_offset = answer->next_offset,
      .high_watermark = answer->high_watermark,
      .leader_id = answer->leader_id,
      .term = answer->term,
      .group_id = answer->group_id,
      .log_bytes = answer->log_bytes,
      .max_timestamp_ms = answer->max_timestamp_ms,
      .fenced = answer->fenced,
  };
  snprintf(out_state->leader, sizeof out_state->leader, "%s", answer->leader);
  damaged_unpack(answer, out_state);
  arena_free(arena);
  return CAIRN_OK;
}

int cairn_find_offset(struct cairn_client *client, const char *topic, uint32_t partition, int64_t timestamp_ms,
                      int64_t *out_offset, bool *out_found, struct cairn_error *error) {
  Cairn__V1__FindOffsetRequest request;
  cairn__v1__find_offset_request__init(&request);
  request.topic = pack_text(topic);
  request.partition = partition;
  request.timestamp_ms = timestamp_ms;
  const struct exchange exchange = {.method = "/cairn.v1.Log/FindOffset",
                                    .request = &request.base,
                                    .idempotent = true,
                                    .answer = &cairn__v1__find_offset_response__descriptor};
  Cairn__V1__FindOffsetResponse *answer = NULL;
  struct arena *arena = NULL;
  int code = call_for(client, &exchange, &answer, &arena, error);
  if (code != CAIRN_OK) return code;
  if (out_offset != NULL) *out_offset = answer->offset;
  if (out_found != NULL) *out_found = answer->found;
  arena_free(arena);
  return CAIRN_OK;
}

int cairn_trim(struct cairn_client *client, const char *topic, uint32_t partition, int64_t before_offset,
               int64_t *out_log_start_offset, struct cairn_error *error) {
  Cairn__V1__TrimRequest request;
  cairn__v1__trim_request__init(&request);
  request.topic = pack_text(topic);
  request.partition = partition;
  request.before_offset = before_offset;
  const struct exchange exchange = {.method = "/cairn.v1.Log/Trim",
                                    .request = &request.base,
                                    .idempotent = true, /* the start of the log never moves back */
                                    .answer = &cairn__v1__trim_response__descriptor};
  Cairn__V1__TrimResponse *answer = NULL;
  struct arena *arena = NULL;
  int code = call_for(client, &exchange, &answer, &arena, error);
  if (code != CAIRN_OK) return code;
  if (out_log_start_offset != NULL) *out_log_start_offset = answer->log_start_offset;
  arena_free(arena);
  return CAIRN_OK;
}
