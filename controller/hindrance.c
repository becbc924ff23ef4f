#include "controller/hindrance.h"

#include <stdio.h>
#include <string.h>

#include "controller/cluster_health.h"

bool hindrance_of_move(const struct cluster_map *map, const struct map_move *move, bool (*is_up)(void *context, uint32_t broker),
                       void *context, char out_text[HINDRANCE_SIZE]) {
  const struct map_topic *topic = cluster_map_topic_by_id(map, move->topic_id);
  if (!cluster_health_has_quorum(map, &topic->partitions[move->partition], is_up, context)) {
    snprintf(out_text, HINDRANCE_SIZE, "too few of its replicas are up: start the brokers that have them");
    return true;
  }
  for (uint32_t i = 0; i < move->target_count; i++) {
    const struct map_replica *target = &move->target[i];
    const struct map_broker *broker = cluster_map_broker(map, target->broker);
    bool is_today = broker != NULL && memcmp(broker->incarnation, target->incarnation, CLUSTER_ID_SIZE) == 0;
    if (is_today && is_up(context, target->broker)) continue;
    snprintf(out_text, HINDRANCE_SIZE,
             is_today ? "broker %u is down: start it, or take the move back"
                      : "broker %u came back with another directory: ask for the same move again",
             target->broker);
    return true;
  }
  return false;
}
