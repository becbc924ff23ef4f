#include "controller/map_jump.h"

#include <string.h>

void map_jump_tell_gone(const struct map_jump *jump) {
  const struct map_topic *topic;
  for (size_t place = 0; (topic = cluster_map_topic_at(jump->before, place)) != NULL; place++) {
    if (cluster_map_topic_by_id(jump->after, topic->id) == NULL) jump->watch->topic_deleted(jump->watch->context, topic);
  }
}

static bool is_placed_anew(const struct map_jump *jump, const struct map_partition *earlier, const struct map_partition *place) {
  const struct map_move *was = earlier == NULL ? NULL : cluster_map_move(jump->before, place->group);
  const struct map_move *is = cluster_map_move(jump->after, place->group);
  bool moves_otherwise = (was == NULL ? 0 : was->number) != (is == NULL ? 0 : is->number);
  return moves_otherwise || (earlier != NULL && (earlier->replica_count != place->replica_count ||
                                                 memcmp(earlier->replicas, place->replicas, sizeof place->replicas) != 0));
}

static void tell_places(const struct map_jump *jump, const struct map_topic *known, const struct map_topic *topic) {
  for (uint32_t i = 0; i < topic->partition_count; i++) {
    const struct map_partition *place = &topic->partitions[i];
    const struct map_partition *earlier = known != NULL && i < known->partition_count ? &known->partitions[i] : NULL;
    if (is_placed_anew(jump, earlier, place))
      jump->watch->partition_placed(jump->watch->context, topic, i, cluster_map_move(jump->after, place->group));
  }
}

static void tell_topics(const struct map_jump *jump) {
  const struct map_topic *topic;
  for (size_t place = 0; (topic = cluster_map_topic_at(jump->after, place)) != NULL; place++) {
    const struct map_topic *known = cluster_map_topic_by_id(jump->before, topic->id);
    if (known == NULL) jump->watch->topic_created(jump->watch->context, topic);
    else if (memcmp(&known->settings, &topic->settings, sizeof topic->settings) != 0)
      jump->watch->topic_altered(jump->watch->context, topic);
    if (known != NULL && known->partition_count < topic->partition_count)
      jump->watch->topic_grown(jump->watch->context, topic, known->partition_count);
    if (jump->places) tell_places(jump, known, topic);
  }
}

static void tell_brokers(const struct map_jump *jump) {
  if (jump->brokers->registered == NULL) return;
  const struct map_broker *broker = cluster_map_broker_after(jump->after, 0);
  for (; broker != NULL; broker = cluster_map_broker_after(jump->after, broker->id)) {
    const struct map_broker *known = cluster_map_broker(jump->before, broker->id);
    bool same = known != NULL && memcmp(known, broker, sizeof *broker) == 0;
    if (!same) jump->brokers->registered(jump->brokers->context, broker);
  }
}

void map_jump_tell_new(const struct map_jump *jump) {
  tell_topics(jump);
  tell_brokers(jump);
}
