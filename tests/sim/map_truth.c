#include "tests/sim/map_truth.h"

#include <string.h>

#include "base/map.h"
#include "base/memory.h"
#include "controller/cluster_map.h"
#include "controller/map_public.h"
#include "tests/sim/checker.h"
#include "tests/sim/map_racks.h"

#define PARTITIONS_MAX 16u

/* ---- Sums: of each thing one, and of a map the sum of these, so that no order matters ---- */

static uint64_t mix(uint64_t hash, const void *data, size_t size) { /* FNV-1a */
  const uint8_t *at = data;
  for (size_t i = 0; i < size; i++) hash = (hash ^ at[i]) * 0x100000001b3u;
  return hash;
}
static uint64_t mix_number(uint64_t hash, uint64_t number) { return mix(hash, &number, sizeof number); }
static uint64_t mix_text(uint64_t hash, const char *text) { return mix(hash, text, strlen(text) + 1); }
static uint64_t begin(char kind) { return mix(0xcbf29ce484222325u, &kind, 1); }

static uint64_t level_sum(uint32_t level) { return mix_number(begin('f'), level); }

/* Of what the map says of it; who tells it fills in more. */
static uint64_t broker_sum(const struct cairn_member *broker) {
  uint64_t hash = mix_number(begin('b'), broker->broker_id);
  hash = mix_number(mix_number(hash, broker->feature_least), broker->feature_most);
  hash = mix_text(mix_text(mix_text(hash, broker->advertised), broker->peer_address), broker->incarnation);
  return mix_text(mix_number(hash, broker->standing), broker->rack);
}

static uint64_t topic_sum(const char *name, uint64_t id, uint32_t partitions, uint32_t replicas, const int64_t config[4]) {
  uint64_t hash = mix_number(mix_text(begin('t'), name), id);
  hash = mix_number(mix_number(hash, partitions), replicas);
  for (int i = 0; i < 4; i++) hash = mix_number(hash, (uint64_t)config[i]);
  return hash;
}

struct place {
  uint64_t topic;
  uint32_t number;
  uint64_t group;
  const uint32_t *replicas, *moving_to;
  size_t replica_count, moving_to_count;
};

static uint64_t place_sum(const struct place *place) {
  uint64_t hash = mix_number(mix_number(mix_number(begin('p'), place->topic), place->number), place->group);
  for (size_t i = 0; i < place->replica_count; i++) hash = mix_number(hash, place->replicas[i]);
  hash = mix_text(hash, "to");
  for (size_t i = 0; i < place->moving_to_count; i++) hash = mix_number(hash, place->moving_to[i]);
  return hash;
}

/* ---- What is so ---- */

struct map_truth {
  struct checker *checker;
  uint64_t *sums; /* by version, from 1 on; 0: nobody has come to it */
  uint64_t count;
  uint64_t next_group; /* of the newest version: what has a greater one came later */
  uint32_t level;      /* the greatest feature level that any version had, ... */
  uint64_t since;      /* ... and the earliest of those that were seen with it */
};

struct map_truth *map_truth_new(struct checker *checker) {
  struct map_truth *truth = NEW(struct map_truth);
  truth->checker = checker;
  return truth;
}

void map_truth_free(struct map_truth *truth) {
  if (truth == NULL) return;
  memory_free(truth->sums);
  memory_free(truth);
}

static uint64_t sum_of_topic(const struct cluster_map *map, const struct map_topic *topic) {
  const int64_t config[] = {topic->settings.retention_bytes, topic->settings.retention_ms, topic->settings.segment_bytes,
                            topic->settings.record_bytes_max};
  uint64_t sum = topic_sum(topic->name, topic->id, topic->partition_count, topic->replicas, config);
  for (uint32_t i = 0; i < topic->partition_count; i++) {
    struct public_partition told;
    public_partition_fill(&told, map, &topic->partitions[i]);
    sum += place_sum(&(struct place){.topic = topic->id,
                                     .number = i,
                                     .group = told.partition.group_id,
                                     .replicas = told.replicas,
                                     .replica_count = told.partition.n_replicas,
                                     .moving_to = told.moving_to,
                                     .moving_to_count = told.partition.n_moving_to});
  }
  return sum;
}

static uint64_t sum_of_map(const struct cluster_map *map) {
  uint64_t sum = level_sum(cluster_map_feature_level(map));
  const struct map_broker *broker = cluster_map_broker_after(map, 0);
  for (; broker != NULL; broker = cluster_map_broker_after(map, broker->id)) {
    struct public_broker told;
    public_broker_fill(&told, broker);
    sum += broker_sum(&(struct cairn_member){.broker_id = broker->id,
                                             .advertised = broker->advertised,
                                             .peer_address = broker->peer_address,
                                             .incarnation = told.incarnation,
                                             .standing = (enum cairn_broker_standing)told.broker.standing,
                                             .rack = broker->rack,
                                             .feature_least = told.broker.feature_least,
                                             .feature_most = told.broker.feature_most});
  }
  const struct map_topic *topic = cluster_map_topic_after(map, bytes_of_string(""));
  for (; topic != NULL; topic = cluster_map_topic_after(map, bytes_of_string(topic->name))) sum += sum_of_topic(map, topic);
  return sum == 0 ? 1 : sum;
}

static void take_level(struct map_truth *truth, const struct cluster_map *map) {
  uint32_t level = cluster_map_feature_level(map);
  uint64_t version = cluster_map_version(map);
  if (level < truth->level && version >= truth->since)
    checker_violation(truth->checker, "M4 readable", "feature level %u went back to %u by version %llu", truth->level, level,
                      (unsigned long long)version);
  if (level > truth->level || (level == truth->level && version < truth->since)) truth->since = version;
  if (level > truth->level) truth->level = level;
}

void map_truth_take(struct map_truth *truth, const struct cluster_map *map) {
  uint64_t version = cluster_map_version(map);
  uint64_t sum = sum_of_map(map);
  if (version == 0) return;
  if (version == truth->count + 1) map_racks_check(truth->checker, map, truth->next_group);
  take_level(truth, map);
  if (version > truth->count) {
    truth->next_group = cluster_map_next_group_id(map);
    truth->sums = memory_grow_array(truth->sums, version, sizeof *truth->sums);
    memset(truth->sums + truth->count, 0, (version - truth->count) * sizeof *truth->sums);
    truth->count = version;
  }
  uint64_t *known = &truth->sums[version - 1];
  if (*known != 0 && *known != sum)
    checker_violation(truth->checker, "M1 one-map", "version %llu of the map is not the same on two brokers, or at two times",
                      (unsigned long long)version);
  *known = sum;
}

uint64_t map_truth_newest(const struct map_truth *truth) { return truth->count; }

/* ---- What is seen ---- */

struct seen_topic {
  uint64_t sum;
  uint32_t partitions;
  uint64_t places[PARTITIONS_MAX]; /* 0: not told */
};

struct map_sight {
  struct checker *checker;
  const struct map_truth *truth;
  struct map *topics;  /* struct seen_topic, by id */
  struct map *brokers; /* uint64_t, by id */
  uint64_t version;
  uint64_t newest; /* that was ever whole */
  bool whole;
  uint32_t feature_level;
};

struct map_sight *map_sight_new(struct checker *checker, const struct map_truth *truth) {
  struct map_sight *sight = NEW(struct map_sight);
  sight->checker = checker;
  sight->truth = truth;
  sight->feature_level = 1;
  sight->topics = map_new(0);
  sight->brokers = map_new(0);
  return sight;
}

static void forget_all(struct map *map) {
  struct map_cursor cursor = {0};
  for (void *value; (value = map_next(map, &cursor)) != NULL;) memory_free(value);
  map_free(map);
}

void map_sight_free(struct map_sight *sight) {
  if (sight == NULL) return;
  forget_all(sight->topics);
  forget_all(sight->brokers);
  memory_free(sight);
}

static void take_broker(struct map_sight *sight, const struct cairn_member *member) {
  uint64_t *sum = NEW(uint64_t);
  *sum = broker_sum(member);
  memory_free(map_put_number(sight->brokers, member->broker_id, sum));
}

static void take_topic(struct map_sight *sight, const struct cairn_change *change) {
  const struct cairn_topic *topic = change->topic;
  const int64_t config[] = {topic->config.retention_bytes, topic->config.retention_ms, topic->config.segment_bytes,
                            topic->config.record_bytes_max};
  struct seen_topic *seen = map_get_number(sight->topics, topic->id);
  if (seen == NULL) {
    seen = NEW(struct seen_topic);
    map_put_number(sight->topics, topic->id, seen);
  }
  seen->sum = topic_sum(topic->name, topic->id, topic->partitions, topic->replicas, config);
  seen->partitions = topic->partitions;
  for (size_t i = 0; i < change->partition_count; i++) {
    const struct cairn_partition *partition = &change->partitions[i];
    if (partition->partition >= PARTITIONS_MAX) continue;
    seen->places[partition->partition] = place_sum(&(struct place){.topic = topic->id,
                                                                   .number = partition->partition,
                                                                   .group = partition->group_id,
                                                                   .replicas = partition->replicas,
                                                                   .replica_count = partition->replica_count,
                                                                   .moving_to = partition->moving_to,
                                                                   .moving_to_count = partition->moving_to_count});
  }
}

static uint64_t sum_of_sight(const struct map_sight *sight) {
  uint64_t sum = level_sum(sight->feature_level);
  struct map_cursor cursor = {0};
  for (uint64_t *broker; (broker = map_next(sight->brokers, &cursor)) != NULL;) sum += *broker;
  cursor = (struct map_cursor){0};
  for (struct seen_topic *topic; (topic = map_next(sight->topics, &cursor)) != NULL;) {
    sum += topic->sum;
    for (uint32_t i = 0; i < topic->partitions && i < PARTITIONS_MAX; i++) sum += topic->places[i];
  }
  return sum == 0 ? 1 : sum;
}

/* Whoever told it had that version. */
static void compare(const struct map_sight *sight) {
  uint64_t known = sight->version <= sight->truth->count && sight->version > 0 ? sight->truth->sums[sight->version - 1] : 0;
  if (sight->version == 0 || known == sum_of_sight(sight)) return;
  checker_violation(sight->checker, "M2 watched-map", "at version %llu a watcher has another map than the brokers%s",
                    (unsigned long long)sight->version, known == 0 ? ", none of which has come to it" : "");
}

static void become(struct map_sight *sight, uint64_t version) {
  if (version < sight->newest)
    checker_violation(sight->checker, "M2 watched-map", "a watcher that had version %llu was brought back to %llu",
                      (unsigned long long)sight->newest, (unsigned long long)version);
  sight->version = version;
  sight->newest = version;
  compare(sight);
}

void map_sight_take(struct map_sight *sight, const struct cairn_change *change) {
  if (change->kind == CAIRN_CHANGE_MAP_BEGINS) {
    forget_all(sight->topics);
    forget_all(sight->brokers);
    sight->topics = map_new(0);
    sight->brokers = map_new(0);
    sight->version = 0;
    sight->whole = false;
    sight->feature_level = 1;
    return;
  }
  if (change->kind == CAIRN_CHANGE_TOPIC_DELETED) memory_free(map_remove_number(sight->topics, change->topic->id));
  else if (change->topic != NULL) take_topic(sight, change);
  else if (change->member != NULL) take_broker(sight, change->member);
  else if (change->kind == CAIRN_CHANGE_FEATURE_LEVEL) sight->feature_level = change->feature_level;
  if (change->kind == CAIRN_CHANGE_MAP_WHOLE) sight->whole = true;
  else if (sight->whole && change->version <= sight->version)
    checker_violation(sight->checker, "M2 watched-map", "a change of version %llu came to a watcher who had version %llu",
                      (unsigned long long)change->version, (unsigned long long)sight->version);
  if (sight->whole) become(sight, change->version);
}

uint64_t map_sight_version(const struct map_sight *sight) { return sight->whole ? sight->version : 0; }
