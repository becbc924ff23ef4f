#include "tests/sim/claims.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/list.h"
#include "base/map.h"
#include "base/memory.h"
#include "controller/cluster_map.h"
#include "tests/sim/checker.h"

#define NAME_SIZE 80u
#define PLACE_SIZE 128u
#define BROKERS_MAX 16u

struct claim {
  char name[NAME_SIZE];
  unsigned open;         /* calls that are not answered */
  bool asked;            /* once */
  bool kept;             /* of one the outcome is unknown, or it was answered OK */
  bool seen;             /* it has been in the map, for the sake of whoever claimed it */
  bool there;            /* or it was so, for whatever reason */
  struct list_node node; /* among those that wait for a place; a move's number is its own, so it is one call's */
  char place[PLACE_SIZE];
};

/* A topic that is in the map, or was. */
struct known_topic {
  char name[TOPIC_NAME_MAX + 1];
  uint64_t id; /* 0: it is gone */
  uint32_t partitions;
  bool here; /* in the version that is being looked at */
};

struct claims {
  struct checker *checker;
  struct map *by_name; /* struct claim */
  struct map *topics;  /* struct known_topic, by name */
  struct map *places;  /* char *, by group: where a partition is, or goes */
  struct list waiting; /* claims */
  enum map_standing standings[BROKERS_MAX];
  uint64_t numbers;
};

struct claims *claims_new(struct checker *checker) {
  struct claims *claims = NEW(struct claims);
  claims->checker = checker;
  claims->by_name = map_new(0);
  claims->topics = map_new(0);
  claims->places = map_new(0);
  list_init(&claims->waiting);
  return claims;
}

static void free_all(struct map *map) {
  struct map_cursor cursor = {0};
  for (void *value; (value = map_next(map, &cursor)) != NULL;) memory_free(value);
  map_free(map);
}

void claims_free(struct claims *claims) {
  if (claims == NULL) return;
  free_all(claims->by_name);
  free_all(claims->topics);
  free_all(claims->places);
  memory_free(claims);
}

uint64_t claims_number(struct claims *claims) { return ++claims->numbers; }

/* ---- Asking ---- */

static struct claim *claim_of(struct claims *claims, const char *name) {
  struct claim *claim = map_get(claims->by_name, bytes_of_string(name));
  if (claim != NULL) return claim;
  claim = NEW(struct claim);
  snprintf(claim->name, sizeof claim->name, "%s", name);
  map_put(claims->by_name, bytes_of_string(name), claim);
  return claim;
}

struct claim *claim_begin(struct claims *claims, const char *format, ...) {
  char name[NAME_SIZE];
  va_list arguments;
  va_start(arguments, format);
  int size = vsnprintf(name, sizeof name, format, arguments);
  va_end(arguments);
  CHECK(size > 0 && (size_t)size < sizeof name);
  struct claim *claim = claim_of(claims, name);
  claim->open++;
  claim->asked = true;
  return claim;
}

static bool may_be(const struct claim *claim) { return claim != NULL && (claim->open > 0 || claim->kept); }

void claim_end(struct claims *claims, struct claim *claim, const struct cairn_error *error) {
  CHECK(claim->open > 0);
  claim->open--;
  if (claim->open == 0 && list_node_linked(&claim->node)) list_remove(&claim->node);
  bool refused = error->code != CAIRN_OK && error->executed == CAIRN_EXECUTED_NO;
  claim->kept = claim->kept || !refused;
  if (error->code == CAIRN_OK && !claim->seen && !claim->there)
    checker_violation(claims->checker, "M5 whole", "\"%s\" was answered OK, and no version of the map has it", claim->name);
  if (refused && claim->seen && !may_be(claim))
    checker_violation(claims->checker, "M5 whole", "\"%s\" was refused (%s, executed: no), and the map has it", claim->name,
                      error->reason);
}

/* ---- Places ---- */

static void print_place(char into[PLACE_SIZE], const char *topic, uint32_t partition, const uint32_t *brokers, size_t count) {
  int at = snprintf(into, PLACE_SIZE, "%s/%u", topic, partition);
  for (size_t i = 0; i < count && at > 0 && (unsigned)at < PLACE_SIZE; i++)
    at += snprintf(into + at, PLACE_SIZE - (size_t)at, ",%u", brokers[i]);
}

void claim_place(struct claims *claims, struct claim *claim, const char *topic, uint32_t partition, const uint32_t *brokers,
                 size_t count) {
  struct map_cursor cursor = {0};
  print_place(claim->place, topic, partition, brokers, count);
  for (const char *place; (place = map_next(claims->places, &cursor)) != NULL;)
    if (strcmp(place, claim->place) == 0) claim->there = true;
  list_push_back(&claims->waiting, &claim->node);
}

static void see_place(struct claims *claims, const struct map_topic *topic, uint32_t number, const struct map_move *move) {
  const struct map_partition *partition = &topic->partitions[number];
  const struct map_replica *going = move == NULL ? partition->replicas : move->target;
  uint32_t brokers[MAP_REPLICAS_MAX], count = move == NULL ? partition->replica_count : move->target_count;
  for (uint32_t i = 0; i < count; i++) brokers[i] = going[i].broker;
  char text[PLACE_SIZE];
  print_place(text, topic->name, number, brokers, count);
  char *known = map_get_number(claims->places, partition->group);
  if (known != NULL && strcmp(known, text) == 0) return;
  memory_free(map_put_number(claims->places, partition->group, memory_copy_string(text)));
  list_for_each(&claims->waiting, node, following) {
    struct claim *claim = list_entry(node, struct claim, node);
    if (strcmp(claim->place, text) == 0) claim->there = true;
  }
}

/* ---- Seeing ---- */

static void see(struct claims *claims, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void see(struct claims *claims, const char *format, ...) {
  char name[NAME_SIZE];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(name, sizeof name, format, arguments);
  va_end(arguments);
  struct claim *claim = map_get(claims->by_name, bytes_of_string(name));
  if (!may_be(claim))
    checker_violation(claims->checker, "M5 whole", "the map has \"%s\", which %s", name,
                      claim == NULL || !claim->asked ? "nobody asked for" : "was refused each time (executed: no)");
  else claim->seen = true;
}

/* It is so, for whatever reason. */
static void note_there(struct claims *claims, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void note_there(struct claims *claims, const char *format, ...) {
  char name[NAME_SIZE];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(name, sizeof name, format, arguments);
  va_end(arguments);
  claim_of(claims, name)->there = true;
}

static void see_topic(struct claims *claims, const struct map_topic *topic) {
  struct known_topic *known = map_get(claims->topics, bytes_of_string(topic->name));
  if (known == NULL) {
    known = NEW(struct known_topic);
    snprintf(known->name, sizeof known->name, "%s", topic->name);
    map_put(claims->topics, bytes_of_string(topic->name), known);
  }
  if (known->id != topic->id || known->partitions != topic->partition_count)
    note_there(claims, "grow %s %u", topic->name, topic->partition_count);
  if (known->id != topic->id) see(claims, "create %s %u", topic->name, topic->partition_count);
  else if (known->partitions != topic->partition_count) see(claims, "grow %s %u", topic->name, topic->partition_count);
  known->id = topic->id;
  known->partitions = topic->partition_count;
  known->here = true;
  if (topic->settings.retention_ms > CLAIMS_RETENTION_MS)
    see(claims, "alter %s %llu", topic->name, (unsigned long long)(topic->settings.retention_ms - CLAIMS_RETENTION_MS));
}

static void see_who_is_gone(struct claims *claims) {
  struct map_cursor cursor = {0};
  for (struct known_topic *known; (known = map_next(claims->topics, &cursor)) != NULL;) {
    if (known->id != 0 && !known->here) {
      see(claims, "delete %s", known->name);
      known->id = 0;
    }
    known->here = false;
  }
}

/* What is wanted of a broker; what the map adds by itself is that it is in at first, and gone at last. */
static void see_broker(struct claims *claims, const struct map_broker *broker) {
  if (broker->id >= BROKERS_MAX) return;
  enum map_standing *before = &claims->standings[broker->id];
  bool stays = broker->standing == STANDING_IN && (*before == STANDING_DRAINED || *before == STANDING_LEAVING);
  *before = broker->standing;
  if (broker->standing == STANDING_DRAINED) see(claims, "broker %u drained", broker->id);
  if (broker->standing == STANDING_LEAVING || broker->standing == STANDING_GONE) see(claims, "broker %u leaving", broker->id);
  if (stays) see(claims, "broker %u in", broker->id);
  if (broker->standing == STANDING_IN) note_there(claims, "broker %u in", broker->id);
}

/* ---- Is it whole? ---- */

static bool are_brokers(const struct cluster_map *map, const struct map_replica *replicas, uint32_t count) {
  if (count == 0 || count > MAP_REPLICAS_MAX) return false;
  for (uint32_t i = 0; i < count; i++) {
    const struct map_broker *broker = cluster_map_broker(map, replicas[i].broker);
    if (broker == NULL || broker->standing == STANDING_GONE || map_replicas_have(replicas, i, replicas[i].broker)) return false;
  }
  return true;
}

/* Of a new one: as many as the topic is made with, and later as many as its first partition has, or is to have. */
static uint32_t count_wanted(const struct cluster_map *map, const struct map_topic *topic, uint32_t number) {
  const struct map_move *move = cluster_map_move(map, topic->partitions[0].group);
  if (number == 0) return topic->replicas;
  return move == NULL ? topic->partitions[0].replica_count : move->target_count;
}

static void see_partition(struct claims *claims, const struct cluster_map *map, const struct map_topic *topic, uint32_t number) {
  const struct map_partition *partition = &topic->partitions[number];
  const struct map_move *move = cluster_map_move(map, partition->group);
  bool is_new = map_get_number(claims->places, partition->group) == NULL;
  bool sound = are_brokers(map, partition->replicas, partition->replica_count) && partition->number == number &&
               partition->group < cluster_map_next_group_id(map) &&
               (move == NULL || are_brokers(map, move->target, move->target_count));
  if (!sound || (is_new && partition->replica_count != count_wanted(map, topic, number)))
    checker_violation(claims->checker, "M5 whole", "at version %llu of the map partition %s/%u has not all that it is to have",
                      (unsigned long long)cluster_map_version(map), topic->name, number);
  see_place(claims, topic, number, move);
  if (move != NULL && move->bytes_per_second > CLAIMS_PACE)
    see(claims, "move %llu", (unsigned long long)(move->bytes_per_second - CLAIMS_PACE));
}

void claims_see(struct claims *claims, const struct cluster_map *map) {
  const struct map_topic *topic = cluster_map_topic_after(map, bytes_of_string(""));
  for (; topic != NULL; topic = cluster_map_topic_after(map, bytes_of_string(topic->name))) {
    see_topic(claims, topic);
    for (uint32_t i = 0; i < topic->partition_count; i++) see_partition(claims, map, topic, i);
  }
  see_who_is_gone(claims);
  const struct map_broker *broker = cluster_map_broker_after(map, 0);
  for (; broker != NULL; broker = cluster_map_broker_after(map, broker->id)) see_broker(claims, broker);
}
