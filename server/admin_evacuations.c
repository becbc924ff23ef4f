#include "server/admin_evacuations.h"

#include <stdio.h>

#include "base/memory.h"
#include "controller/evacuation.h"
#include "server/admin_call.h"
#include "server/steward.h"

#define STUCK_SIZE 160u

struct message {
  Cairn__V1__Evacuation evacuation; /* first: the response points to it, and so to all of it */
  char stuck[STUCK_SIZE];
};

static bool is_on(const struct map_partition *partition, const struct map_move *move, uint32_t broker) {
  if (map_replicas_have(partition->replicas, partition->replica_count, broker)) return true;
  return move != NULL && map_replicas_have(move->known, move->known_count, broker);
}

/* Of what has no replica here the size is not known here. */
static void count_size(struct services *services, const struct map_topic *topic, uint32_t i, Cairn__V1__Evacuation *evacuation) {
  struct route_found found;
  if (routing_find(services->routing, bytes_of_string(topic->name), i, &found) != STATUS_OK) {
    evacuation->partitions_of_unknown_size++;
    return;
  }
  evacuation->bytes += partition_glimpse(found.partition).bytes;
  partition_release(found.partition);
}

static void count_replicas(struct services *services, const struct cluster_map *map, Cairn__V1__Evacuation *evacuation) {
  const struct map_topic *topic;
  for (size_t place = 0; (topic = cluster_map_topic_at(map, place)) != NULL; place++) {
    for (uint32_t i = 0; i < topic->partition_count; i++) {
      const struct map_move *move = cluster_map_move(map, topic->partitions[i].group);
      if (!is_on(&topic->partitions[i], move, evacuation->broker_id)) continue;
      evacuation->replicas++;
      if (move != NULL) evacuation->moving++;
      else count_size(services, topic, i, evacuation);
    }
  }
}

static void say_what_is_in_the_way(struct services *services, const struct cluster_map *map, struct message *message) {
  Cairn__V1__Evacuation *evacuation = &message->evacuation;
  const struct evacuation question = {.map = map,
                                      .broker = evacuation->broker_id,
                                      .full = cluster_map_move_count(map) >= STEWARD_MOVES_MAX,
                                      .is_up = admin_call_broker_is_up,
                                      .context = services};
  struct evacuation_step step = {0};
  enum evacuation_state state = evacuation_next(&question, &step);
  const char *cure = evacuation_cure(state, true);
  bool votes = state == EVACUATION_OVER && controller_counts_on(services->controller, evacuation->broker_id);
  if (votes) cure = evacuation_vote_cure;
  if (cure == NULL) return;
  snprintf(message->stuck, sizeof message->stuck, "%s", cure);
  evacuation->stuck = message->stuck;
  if (votes) return;
  evacuation->stuck_topic = step.topic->name;
  evacuation->stuck_partition = step.partition;
}

void admin_evacuations_fill(struct services *services, Cairn__V1__ListMovesResponse *response) {
  const struct cluster_map *map = controller_map(services->controller);
  response->evacuations = memory_new_array(cluster_map_broker_count(map) + 1, sizeof *response->evacuations);
  for (uint32_t broker = 0; (broker = evacuation_broker(map, broker)) != 0;) {
    struct message *message = NEW(struct message);
    cairn__v1__evacuation__init(&message->evacuation);
    message->evacuation.broker_id = broker;
    count_replicas(services, map, &message->evacuation);
    say_what_is_in_the_way(services, map, message);
    response->evacuations[response->n_evacuations++] = &message->evacuation;
  }
}

void admin_evacuations_free(Cairn__V1__ListMovesResponse *response) {
  for (size_t i = 0; i < response->n_evacuations; i++) memory_free(response->evacuations[i]);
  memory_free(response->evacuations);
}
