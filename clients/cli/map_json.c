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

json_t *move_json(const struct cairn_move *move) {
  return json_pack("{s:s, s:I, s:I, s:I, s:o, s:o, s:I, s:b, s:I, s:I, s:I, s:I, s:s}", "topic", move->topic, "topic_id",
                   (json_int_t)move->topic_id, "partition", (json_int_t)move->partition, "number", (json_int_t)move->number,
                   "from", brokers_json(move->from, move->from_count), "to", brokers_json(move->to, move->to_count),
                   "bytes_per_second_max", (json_int_t)move->bytes_per_second_max, "told", (int)move->told, "learners",
                   (json_int_t)move->learners, "bytes_done", (json_int_t)move->bytes_done, "bytes_to_go",
                   (json_int_t)move->bytes_to_go, "bytes_per_second", (json_int_t)move->bytes_per_second, "stuck", move->stuck);
}
