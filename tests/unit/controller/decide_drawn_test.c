/* What is decided, of changes that are drawn: whatever admins, brokers and movers ask for, in whatever order, what is not refused is a command that the log
 * can hold and the map takes, and the map stays one that can be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "controller/decide.h"
#include "tests/unit/controller/map_rig.h"

#define BROKERS 8u
#define NAMES 6u
#define PLACES_MAX 8u
#define RUNS 60u
#define CHANGES 400u

static struct change_place places[PLACES_MAX];
static uint8_t directories[BROKERS + 2]; /* by broker, the newest that it registered with */
static uint64_t groups_seen, topics_seen;
static unsigned done[COMMAND_SET_FEATURE_LEVEL + 1], refused[COMMAND_SET_FEATURE_LEVEL + 1];

static uint32_t below(uint64_t *seed, uint32_t bound) {
  *seed = *seed * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)((*seed >> 33) % bound);
}

/* ---- Changes, sound ones and others ---- */

static uint32_t draw_broker(uint64_t *seed) { return below(seed, 30) == 0 ? BROKERS + 1 : 1 + below(seed, BROKERS); }

static void draw_name(uint64_t *seed, struct change *change) {
  snprintf(change->name, sizeof change->name, "%s%u", below(seed, 40) == 0 ? "__cairn" : "t", below(seed, NAMES));
}

static uint32_t draw_count(uint64_t *seed, uint32_t usual) {
  static const uint32_t odd[] = {0, MAP_REPLICAS_MAX + 1, TOPIC_PARTITIONS_MAX + 1, UINT32_MAX};
  return below(seed, 25) == 0 ? odd[below(seed, 4)] : 1 + below(seed, usual);
}

/* Now and then one of them twice, or too many. */
static uint32_t draw_brokers(uint64_t *seed, uint32_t *out_brokers) {
  uint32_t first = draw_broker(seed), step = below(seed, 20) == 0 ? 0 : 1 + below(seed, 2) * 2;
  for (uint32_t i = 0; i < MAP_REPLICAS_MAX; i++) out_brokers[i] = first > BROKERS ? first : 1 + (first + i * step) % BROKERS;
  return below(seed, 25) == 0 ? MAP_REPLICAS_MAX + below(seed, 3) : below(seed, 5);
}

static void draw_places(uint64_t *seed, struct change *change) {
  uint32_t count = 1 + below(seed, 4);
  change->places = places;
  change->place_count = 1 + below(seed, PLACES_MAX);
  for (size_t i = 0; i < change->place_count; i++) {
    places[i].count = draw_brokers(seed, places[i].brokers);
    if (below(seed, 20) > 0) places[i].count = count;
  }
}

static void draw_create(uint64_t *seed, struct change *change) {
  change->kind = COMMAND_CREATE_TOPIC;
  change->settings = topic_settings_default;
  if (below(seed, 3) > 0) change->partition_count = draw_count(seed, 5);
  if (below(seed, 3) > 0) change->replicas = draw_count(seed, 4);
  if (below(seed, 2) == 0) return;
  if (below(seed, 4) > 0) change->partition_count = change->replicas = 0;
  draw_places(seed, change);
}

static void draw_move(uint64_t *seed, struct change *change) {
  change->kind = COMMAND_MOVE_PARTITION;
  change->partition = below(seed, 4);
  change->to_count = draw_brokers(seed, change->to);
  change->take_back = below(seed, 4) == 0;
}

/* Of one that is under way, or of none. */
static void draw_moved(uint64_t *seed, struct change *change) {
  const struct map_move *move = cluster_map_move_after(map, below(seed, (uint32_t)cluster_map_next_group_id(map)));
  change->kind = COMMAND_PARTITION_MOVED;
  if (move == NULL) return;
  change->topic_id = move->topic_id;
  change->partition = move->partition;
  change->move = move->number - (below(seed, 5) == 0);
}

/* Again, or elsewhere, or with another directory. */
static void draw_registration(uint64_t *seed, struct change *change) {
  uint32_t id = 1 + below(seed, BROKERS);
  if (below(seed, 4) == 0) directories[id]++;
  change->kind = COMMAND_REGISTER_BROKER;
  change->cluster_id[0] = 1;
  change->broker = (struct map_broker){.id = id, .incarnation = {(uint8_t)id, directories[id]}};
  if (below(seed, 10) == 0) change->broker.incarnation[1] = (uint8_t)below(seed, 200);
  snprintf(change->broker.advertised, sizeof change->broker.advertised, "b%u:%u", id, below(seed, 3));
  snprintf(change->broker.peer_address, sizeof change->broker.peer_address, "p%u:1", id);
  if (below(seed, 3) == 0) snprintf(change->broker.rack, sizeof change->broker.rack, "r%u", below(seed, 3));
}

static struct change draw(uint64_t *seed) {
  struct change change = {.kind = COMMAND_ALTER_TOPIC, .set_retention_ms = true};
  draw_name(seed, &change);
  switch (below(seed, 12)) {
    case 0:
    case 1: draw_create(seed, &change); break;
    case 2:
      change.kind = COMMAND_GROW_TOPIC;
      change.partition_count = draw_count(seed, 9);
      if (below(seed, 3) == 0) draw_places(seed, &change);
      break;
    case 3: change.kind = COMMAND_DELETE_TOPIC; break;
    case 4:
    case 5:
    case 6: draw_move(seed, &change); break;
    case 7:
    case 8: draw_moved(seed, &change); break;
    case 9: draw_registration(seed, &change); break;
    case 10:
      change.kind = COMMAND_SET_STANDING;
      change.broker.id = draw_broker(seed);
      change.broker.standing = (enum map_standing)below(seed, STANDINGS);
      break;
    default: change.settings.retention_ms = (int64_t)below(seed, 10) - 2; break;
  }
  return change;
}

/* ---- What is so whatever was done ---- */

static void expect_once_each(const struct map_replica *replicas, uint32_t count) {
  assert_in_range(count, 1, MAP_REPLICAS_MAX);
  for (uint32_t i = 0; i < count; i++) {
    assert_false(map_replicas_have(replicas, i, replicas[i].broker));
    assert_int_not_equal(cluster_map_broker(map, replicas[i].broker)->standing, STANDING_GONE);
  }
}

static void expect_all_known(const struct map_move *move, const struct map_replica *replicas, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) assert_non_null(map_move_known(move, &replicas[i]));
}

static uint32_t count_staying(void) {
  uint32_t staying = 0;
  for (uint32_t id = 1; id <= BROKERS; id++) {
    const struct map_broker *broker = cluster_map_broker(map, id);
    staying += broker != NULL && broker->standing < STANDING_LEAVING;
  }
  return staying;
}

/* Whoever leaves can be emptied: there are as many others as a partition on it has replicas. */
static void expect_way_out(const struct map_replica *replicas, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    bool leaves = cluster_map_broker(map, replicas[i].broker)->standing == STANDING_LEAVING;
    if (leaves) assert_true(count <= count_staying());
  }
}

static void expect_sound_partition(const struct map_partition *partition) {
  const struct map_move *move = cluster_map_move(map, partition->group);
  expect_once_each(partition->replicas, partition->replica_count);
  assert_true(partition->group < cluster_map_next_group_id(map));
  if (move == NULL) {
    expect_way_out(partition->replicas, partition->replica_count);
    return;
  }
  expect_once_each(move->target, move->target_count);
  expect_way_out(move->target, move->target_count);
  expect_all_known(move, partition->replicas, partition->replica_count);
  expect_all_known(move, move->target, move->target_count);
}

static void expect_sound_map(void) {
  size_t partitions = 0;
  const struct map_topic *topic;
  for (size_t at = 0; (topic = cluster_map_topic_at(map, at)) != NULL; at++) {
    partitions += topic->partition_count;
    for (uint32_t i = 0; i < topic->partition_count; i++) expect_sound_partition(&topic->partitions[i]);
  }
  assert_int_equal(partitions, cluster_map_partition_count(map));
  assert_true(cluster_map_next_group_id(map) >= groups_seen && cluster_map_next_topic_id(map) >= topics_seen);
  groups_seen = cluster_map_next_group_id(map);
  topics_seen = cluster_map_next_topic_id(map);
}

static void expect_same_from_bytes(void) {
  struct buffer once, twice;
  struct cluster_map *copy = cluster_map_new(7);
  buffer_init(&once, SIZE_MAX);
  buffer_init(&twice, SIZE_MAX);
  assert_int_equal(cluster_map_encode(map, &once), STATUS_OK);
  assert_int_equal(cluster_map_decode(copy, buffer_bytes(&once)), STATUS_OK);
  assert_int_equal(cluster_map_encode(copy, &twice), STATUS_OK);
  assert_true(bytes_equal(buffer_bytes(&once), buffer_bytes(&twice)));
  cluster_map_free(copy);
  buffer_deinit(&once);
  buffer_deinit(&twice);
}

/* ---- Runs ---- */

static void carry_out(struct change *change) {
  uint64_t version = cluster_map_version(map);
  const struct decision_facts facts = {.map = map,
                                       .brokers = (uint32_t)cluster_map_broker_count(map),
                                       .brokers_are_late = true,
                                       .logs_max = UINT64_MAX,
                                       .time_ms = (int64_t)version};
  struct command command = {0};
  enum status status = decide(&facts, change, &command);
  if (status == STATUS_OK && !change->unchanged) { /* else nothing is written */
    assert_int_equal(rig_apply_through_bytes(&command), STATUS_OK);
    assert_int_equal(cluster_map_version(map), version + 1);
    done[change->kind]++;
  } else if (status != STATUS_OK) {
    assert_true(change->problem[0] != '\0' || status == STATUS_UNKNOWN_TOPIC || status == STATUS_UNKNOWN_PARTITION);
    assert_true(strlen(change->problem) < sizeof change->problem - 1); /* nothing was cut off */
    refused[change->kind]++;
  }
  command_deinit(&command);
}

static void what_is_not_refused_is_done(void **state) {
  (void)state;
  for (uint64_t run = 1; run <= RUNS; run++) {
    uint64_t seed = run;
    map = cluster_map_new(run);
    groups_seen = topics_seen = 0;
    memset(directories, 1, sizeof directories);
    for (uint32_t id = 1; id <= 3 + run % 3; id++) rig_register_broker(id, "peer:1");
    for (unsigned i = 0; i < CHANGES; i++) {
      struct change change = draw(&seed);
      carry_out(&change);
      expect_sound_map();
    }
    expect_same_from_bytes();
    cluster_map_free(map);
  }
  for (int kind = COMMAND_REGISTER_BROKER; kind <= COMMAND_GROW_TOPIC; kind++) {
    assert_in_range(done[kind], 20, UINT32_MAX);
    assert_in_range(refused[kind], 20, UINT32_MAX);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_not_refused_is_done),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
