#include "server/routing.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/map.h"
#include "base/memory.h"
#include "server/partition.h"

struct slot {
  struct partition *partition; /* NULL: absent, for the reason beside it */
  enum status absent;
  uint32_t ask; /* NOT_LEADER: a broker that has it */
};

struct route {
  uint32_t count;
  struct slot slots[];
};

struct routing {
  pthread_rwlock_t lock;
  struct map *topics;  /* routes by name */
  struct map *brokers; /* addresses by number */
  enum status unknown; /* what a topic that is not among them is */
  uint32_t authority;  /* the broker that knows which topics there are; 0: nobody knows who */
};

struct routing *routing_new(uint64_t seed) {
  struct routing *routing = NEW(struct routing);
  int error = pthread_rwlock_init(&routing->lock, NULL);
  CHECK(error == 0);
  routing->topics = map_new(seed);
  routing->brokers = map_new(seed);
  routing->unknown = STATUS_UNKNOWN_TOPIC;
  return routing;
}

static void free_route(struct route *route) {
  for (uint32_t i = 0; i < route->count; i++)
    if (route->slots[i].partition != NULL) partition_release(route->slots[i].partition);
  memory_free(route);
}

void routing_free(struct routing *routing) {
  if (routing == NULL) return;
  struct map_cursor cursor = {0};
  for (struct route *route; (route = map_next(routing->topics, &cursor)) != NULL;) free_route(route);
  map_free(routing->topics);
  cursor = (struct map_cursor){0};
  for (char *address; (address = map_next(routing->brokers, &cursor)) != NULL;) memory_free(address);
  map_free(routing->brokers);
  pthread_rwlock_destroy(&routing->lock);
  memory_free(routing);
}

static enum status find(const struct routing *routing, struct bytes topic, uint32_t number, struct route_found *out_found) {
  const struct route *route = map_get(routing->topics, topic);
  *out_found = (struct route_found){0};
  bool knows = routing->unknown == STATUS_UNKNOWN_TOPIC;
  if (route == NULL || (number >= route->count && !knows)) {
    out_found->ask = routing->authority;
    return routing->unknown;
  }
  out_found->partition_count = route->count;
  if (number >= route->count) return STATUS_UNKNOWN_PARTITION;
  const struct slot *slot = &route->slots[number];
  out_found->ask = slot->ask;
  if (slot->partition == NULL) return slot->absent;
  out_found->partition = partition_hold(slot->partition);
  return STATUS_OK;
}

enum status routing_find(struct routing *routing, struct bytes topic, uint32_t number, struct route_found *out_found) {
  pthread_rwlock_rdlock(&routing->lock);
  enum status status = find(routing, topic, number, out_found);
  pthread_rwlock_unlock(&routing->lock);
  return status;
}

void routing_address(struct routing *routing, uint32_t broker, char out_address[ADDRESS_TEXT_SIZE]) {
  pthread_rwlock_rdlock(&routing->lock);
  const char *address = map_get_number(routing->brokers, broker);
  snprintf(out_address, ADDRESS_TEXT_SIZE, "%s", address == NULL ? "" : address);
  pthread_rwlock_unlock(&routing->lock);
}

static struct route *route_new(uint32_t partition_count) {
  struct route *route = memory_new(sizeof *route + partition_count * sizeof route->slots[0]);
  route->count = partition_count;
  for (uint32_t i = 0; i < partition_count; i++) route->slots[i].absent = STATUS_LOADING;
  return route;
}

void routing_add_topic(struct routing *routing, struct bytes topic, uint32_t partition_count) {
  struct route *route = route_new(partition_count);
  pthread_rwlock_wrlock(&routing->lock);
  void *earlier = map_put(routing->topics, topic, route);
  pthread_rwlock_unlock(&routing->lock);
  CHECK(earlier == NULL);
}

void routing_grow_topic(struct routing *routing, struct bytes topic, uint32_t partition_count) {
  struct route *route = route_new(partition_count);
  pthread_rwlock_wrlock(&routing->lock);
  struct route *earlier = map_get(routing->topics, topic);
  CHECK(earlier != NULL && earlier->count < partition_count);
  memcpy(route->slots, earlier->slots, earlier->count * sizeof route->slots[0]);
  map_put(routing->topics, topic, route);
  pthread_rwlock_unlock(&routing->lock);
  memory_free(earlier);
}

void routing_set_partition(struct routing *routing, struct bytes topic, uint32_t number, struct partition *partition) {
  pthread_rwlock_wrlock(&routing->lock);
  struct route *route = map_get(routing->topics, topic);
  if (route != NULL) {
    CHECK(number < route->count && route->slots[number].partition == NULL);
    route->slots[number].partition = partition;
  }
  pthread_rwlock_unlock(&routing->lock);
  if (route == NULL) partition_release(partition);
}

struct partition *routing_take_partition(struct routing *routing, struct bytes topic, uint32_t number) {
  struct partition *taken = NULL;
  pthread_rwlock_wrlock(&routing->lock);
  struct route *route = map_get(routing->topics, topic);
  if (route != NULL) {
    CHECK(number < route->count);
    taken = route->slots[number].partition;
    route->slots[number].partition = NULL;
    route->slots[number].absent = STATUS_LOADING;
  }
  pthread_rwlock_unlock(&routing->lock);
  return taken;
}

void routing_set_absent(struct routing *routing, struct bytes topic, uint32_t number, enum status reason) {
  pthread_rwlock_wrlock(&routing->lock);
  struct route *route = map_get(routing->topics, topic);
  if (route != NULL) {
    CHECK(number < route->count);
    route->slots[number].absent = reason;
  }
  pthread_rwlock_unlock(&routing->lock);
}

void routing_set_elsewhere(struct routing *routing, struct bytes topic, uint32_t number, uint32_t broker) {
  pthread_rwlock_wrlock(&routing->lock);
  struct route *route = map_get(routing->topics, topic);
  if (route != NULL) {
    CHECK(number < route->count);
    route->slots[number].absent = STATUS_NOT_LEADER;
    route->slots[number].ask = broker;
  }
  pthread_rwlock_unlock(&routing->lock);
}

void routing_set_broker(struct routing *routing, uint32_t broker, const char *address) {
  char *copy = memory_copy_string(address);
  pthread_rwlock_wrlock(&routing->lock);
  char *earlier = map_put_number(routing->brokers, broker, copy);
  pthread_rwlock_unlock(&routing->lock);
  memory_free(earlier);
}

void routing_set_authority(struct routing *routing, enum status unknown, uint32_t broker) {
  pthread_rwlock_wrlock(&routing->lock);
  routing->unknown = unknown;
  routing->authority = broker;
  pthread_rwlock_unlock(&routing->lock);
}

void routing_remove_topic(struct routing *routing, struct bytes topic, void (*visit)(void *context, struct partition *partition),
                          void *context) {
  pthread_rwlock_wrlock(&routing->lock);
  struct route *route = map_remove(routing->topics, topic);
  pthread_rwlock_unlock(&routing->lock);
  if (route == NULL) return;
  for (uint32_t i = 0; i < route->count; i++)
    if (route->slots[i].partition != NULL) visit(context, route->slots[i].partition);
  free_route(route);
}
