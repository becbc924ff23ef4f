#include "clients/cli/map_json.h"

json_t *topic_json(const struct cairn_topic *topic) {
  const struct cairn_topic_config *config = &topic->config;
  return json_pack("{s:s, s:I, s:I, s:I, s:{s:I, s:I, s:I, s:I}, s:I}", "name", topic->name, "id", (json_int_t)topic->id,
                   "partitions", (json_int_t)topic->partitions, "replicas", (json_int_t)topic->replicas, "config",
                   "retention_bytes", (json_int_t)config->retention_bytes, "retention_ms", (json_int_t)config->retention_ms,
                   "segment_bytes", (json_int_t)config->segment_bytes, "record_bytes_max", (json_int_t)config->record_bytes_max,
                   "created_ms", (json_int_t)topic->created_ms);
}

json_t *brokers_json(const uint32_t *brokers, size_t count) {
  json_t *array = json_array();
  for (size_t i = 0; i < count; i++) json_array_append_new(array, json_integer(brokers[i]));
  return array;
}
