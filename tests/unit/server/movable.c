#include "tests/unit/server/movable.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

void movable_register(struct crew *crew) {
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) crew_register(crew, broker, "there:1");
}

void movable_create(struct crew *crew, const char *name, uint32_t partitions, uint32_t replicas) {
  struct change wanted = change_of_topic(COMMAND_CREATE_TOPIC, name);
  wanted.partition_count = partitions;
  wanted.replicas = replicas;
  crew_change(crew, &wanted);
}

void movable_put(struct crew *crew, const char *name, uint32_t partition, const char *to) {
  struct change wanted = {.kind = COMMAND_MOVE_PARTITION, .partition = partition};
  snprintf(wanted.name, sizeof wanted.name, "%s", name);
  for (; *to != '\0'; to++) wanted.to[wanted.to_count++] = (uint32_t)(*to - '0');
  crew_change(crew, &wanted);
  (void)movable_arrive(crew);
}

void movable_stand(struct crew *crew, broker_id broker, enum map_standing standing) {
  crew_change(crew, &(struct change){.kind = COMMAND_SET_STANDING, .broker = {.id = broker, .standing = standing}});
}

const struct cluster_map *movable_map(struct crew *crew) { return controller_map(crew->members[crew_leader(crew)].controller); }

uint32_t movable_under_way(struct crew *crew) { return (uint32_t)cluster_map_move_count(movable_map(crew)); }

uint32_t movable_arrive(struct crew *crew) {
  uint32_t count = 0;
  for (const struct map_move *move; (move = cluster_map_move_after(movable_map(crew), 0)) != NULL; count++)
    crew_change(crew, &(struct change){.kind = COMMAND_PARTITION_MOVED,
                                       .topic_id = move->topic_id,
                                       .partition = move->partition,
                                       .move = move->number});
  return count;
}
