#include "controller/cluster_map.h"

#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/mutant.h"
#include "base/wire.h"
#include "controller/cluster_map_internal.h"
#include "controller/command.h"
#include "controller/feature_level.h"
#include "controller/map_message.h"

#define MIB (INT64_C(1) << 20)

const struct topic_settings topic_settings_default = {
    .retention_bytes = -1,
    .retention_ms = -1,
    .segment_bytes = 256 * MIB,
    .record_bytes_max = 1 * MIB,
};

/* ---- Names and settings ---- */

bool topic_name_valid(struct bytes name) {
  if (name.size == 0 || name.size > TOPIC_NAME_MAX) return false;
  if (bytes_equal(name, bytes_of_string(".")) || bytes_equal(name, bytes_of_string(".."))) return false;
  return plain_text(name);
}

bool rack_name_valid(struct bytes name) { return name.size > 0 && name.size < MAP_RACK_SIZE && plain_text(name); }

const char *topic_settings_problem(const struct topic_settings *settings) {
  if (settings->retention_bytes < -1) return "retention_bytes must be -1 (no bound) or a number of bytes from 0 on";
  if (settings->retention_ms < -1) return "retention_ms must be -1 (for ever) or a number of milliseconds from 0 on";
  if (settings->segment_bytes < 1 * MIB || settings->segment_bytes > 1024 * MIB)
    return "segment_bytes must be between 1 MiB (1048576) and 1 GiB (1073741824)";
  if (settings->record_bytes_max < 1 || settings->record_bytes_max > 3 * MIB)
    return "record_bytes_max must be between 1 byte and 3 MiB (3145728)";
  return NULL;
}

/* ---- Life ---- */

struct cluster_map *cluster_map_new(uint64_t seed) {
  struct cluster_map *map = NEW(struct cluster_map);
  map->next_topic_id = 1;
  map->next_group_id = 1;
  map->feature_level = FEATURE_LEVEL_FIRST;
  map->brokers = map_new(seed);
  map->by_name = map_new(seed);
  map->by_id = map_new(seed);
  return map;
}

static void topic_free(struct map_topic *topic) {
  map_topic_deinit(topic);
  memory_free(topic);
}

void cluster_map_free(struct cluster_map *map) {
  if (map == NULL) return;
  for (size_t i = 0; i < map->topic_count; i++) topic_free(map->sorted[i]);
  for (size_t i = 0; i < map->broker_count; i++) memory_free(map->brokers_sorted[i]);
  memory_free(map->brokers_sorted);
  map_free(map->brokers);
  map_free(map->by_name);
  map_free(map->by_id);
  memory_free(map->sorted);
  memory_free(map->moves);
  memory_free(map);
}

/* ---- Looking ---- */

uint64_t cluster_map_version(const struct cluster_map *map) { return map->version; }
const uint8_t *cluster_map_cluster_id(const struct cluster_map *map) { return map->cluster_id; }
size_t cluster_map_topic_count(const struct cluster_map *map) { return map->topic_count; }
size_t cluster_map_partition_count(const struct cluster_map *map) { return map->partition_count; }
uint64_t cluster_map_next_topic_id(const struct cluster_map *map) { return map->next_topic_id; }
uint64_t cluster_map_next_group_id(const struct cluster_map *map) { return map->next_group_id; }
uint32_t cluster_map_feature_level(const struct cluster_map *map) { return map->feature_level; }

const struct map_topic *cluster_map_topic(const struct cluster_map *map, struct bytes name) {
  return map_get(map->by_name, name);
}
const struct map_topic *cluster_map_topic_by_id(const struct cluster_map *map, uint64_t id) {
  return map_get_number(map->by_id, id);
}
const struct map_broker *cluster_map_broker(const struct cluster_map *map, uint32_t id) {
  return map_get_number(map->brokers, id);
}

size_t cluster_map_broker_count(const struct cluster_map *map) { return map->broker_count; }

/* How many brokers have numbers that are not above `id`. */
static size_t broker_rank(const struct cluster_map *map, uint32_t id) {
  size_t low = 0, high = map->broker_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (map->brokers_sorted[middle]->id <= id) low = middle + 1;
    else high = middle;
  }
  return low;
}

const struct map_broker *cluster_map_broker_after(const struct cluster_map *map, uint32_t after) {
  size_t place = broker_rank(map, after);
  return place < map->broker_count ? map->brokers_sorted[place] : NULL;
}

/* How many moves are of groups that are not above `group`. */
static size_t move_rank(const struct cluster_map *map, uint64_t group) {
  size_t low = 0, high = map->move_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (map->moves[middle].group <= group) low = middle + 1;
    else high = middle;
  }
  return low;
}

const struct map_move *cluster_map_move_after(const struct cluster_map *map, uint64_t after) {
  size_t place = move_rank(map, after);
  return place < map->move_count ? &map->moves[place] : NULL;
}

const struct map_move *cluster_map_move(const struct cluster_map *map, uint64_t group) {
  size_t place = move_rank(map, group);
  return place > 0 && map->moves[place - 1].group == group ? &map->moves[place - 1] : NULL;
}

size_t cluster_map_move_count(const struct cluster_map *map) { return map->move_count; }

/* How many topics have names that are not above `name`. */
static size_t rank(const struct cluster_map *map, struct bytes name) {
  size_t low = 0, high = map->topic_count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (bytes_compare(bytes_of_string(map->sorted[middle]->name), name) <= 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

const struct map_topic *cluster_map_topic_after(const struct cluster_map *map, struct bytes after) {
  return cluster_map_topic_at(map, rank(map, after));
}

const struct map_topic *cluster_map_topic_at(const struct cluster_map *map, size_t place) {
  return place < map->topic_count ? map->sorted[place] : NULL;
}

/* ---- Changing ---- */

void cluster_map_add_topic(struct cluster_map *map, struct map_topic *topic) {
  struct bytes name = bytes_of_string(topic->name);
  size_t place = rank(map, name);
  map->sorted = memory_grow_array(map->sorted, map->topic_count + 1, sizeof *map->sorted);
  memmove(&map->sorted[place + 1], &map->sorted[place], (map->topic_count - place) * sizeof *map->sorted);
  map->sorted[place] = topic;
  map->topic_count++;
  map->partition_count += topic->partition_count;
  map_put(map->by_name, name, topic);
  map_put_number(map->by_id, topic->id, topic);
}

static struct map_topic *copy_topic(const struct map_topic *topic) {
  struct map_topic *copy = NEW(struct map_topic);
  *copy = *topic;
  copy->name = memory_copy_string(topic->name);
  copy->partitions = memory_new_array(topic->partition_count, sizeof *topic->partitions);
  memcpy(copy->partitions, topic->partitions, topic->partition_count * sizeof *topic->partitions);
  return copy;
}

static enum status create_topic(struct cluster_map *map, const struct map_topic *topic) {
  if (map_get(map->by_name, bytes_of_string(topic->name)) != NULL) return STATUS_TOPIC_EXISTS;
  if (topic->id < map->next_topic_id) return STATUS_INVALID;
  if (topic->partition_count == 0 || topic->partitions[0].group < map->next_group_id) return STATUS_INVALID;

  map->next_group_id = topic->partitions[topic->partition_count - 1].group + 1; /* they rise: map_message.c */
  map->next_topic_id = topic->id + 1;
  cluster_map_add_topic(map, copy_topic(topic));
  return STATUS_OK;
}

static enum status alter_topic(struct cluster_map *map, uint64_t id, const struct topic_settings *settings) {
  struct map_topic *topic = map_get_number(map->by_id, id);
  if (topic == NULL) return STATUS_UNKNOWN_TOPIC;
  topic->settings = *settings;
  return STATUS_OK;
}

/* The numbers of partitions that are there stay what they are, and so do their groups. */
static enum status grow_topic(struct cluster_map *map, uint64_t id, const struct map_topic *more) {
  struct map_topic *topic = map_get_number(map->by_id, id);
  if (topic == NULL) return STATUS_UNKNOWN_TOPIC;
  if (more->partition_count == 0 || more->partitions[0].number != topic->partition_count) return STATUS_INVALID;
  if (more->partitions[0].group < map->next_group_id) return STATUS_INVALID;
  uint32_t count = topic->partition_count + more->partition_count;
  if (count > TOPIC_PARTITIONS_MAX) return STATUS_INVALID;
  topic->partitions = memory_grow_array(topic->partitions, count, sizeof *topic->partitions);
  memcpy(topic->partitions + topic->partition_count, more->partitions, more->partition_count * sizeof *more->partitions);
  topic->partition_count = count;
  map->partition_count += more->partition_count;
  map->next_group_id = topic->partitions[count - 1].group + 1;
  return STATUS_OK;
}

/* ---- Moving ---- */

void cluster_map_put_move(struct cluster_map *map, const struct map_move *move) {
  size_t place = move_rank(map, move->group);
  if (place > 0 && map->moves[place - 1].group == move->group) {
    map->moves[place - 1] = *move;
    return;
  }
  map->moves = memory_grow_array(map->moves, map->move_count + 1, sizeof *map->moves);
  memmove(&map->moves[place + 1], &map->moves[place], (map->move_count - place) * sizeof *map->moves);
  map->moves[place] = *move;
  map->move_count++;
}

static void remove_move(struct cluster_map *map, uint64_t group) {
  size_t place = move_rank(map, group);
  if (place == 0 || map->moves[place - 1].group != group) return;
  memmove(&map->moves[place - 1], &map->moves[place], (map->move_count - place) * sizeof *map->moves);
  map->move_count--;
}

static bool same_replicas(const struct map_replica *a, uint32_t a_count, const struct map_replica *b, uint32_t b_count) {
  if (a_count != b_count) return false;
  for (uint32_t i = 0; i < a_count; i++)
    if (a[i].broker != b[i].broker || memcmp(a[i].incarnation, b[i].incarnation, CLUSTER_ID_SIZE) != 0) return false;
  return true;
}

enum status cluster_map_find_partition(struct cluster_map *map, const struct map_move *move,
                                       struct map_partition **out_partition) {
  struct map_topic *topic = map_get_number(map->by_id, move->topic_id);
  if (topic == NULL) return STATUS_UNKNOWN_TOPIC;
  if (move->partition >= topic->partition_count) return STATUS_UNKNOWN_PARTITION;
  *out_partition = &topic->partitions[move->partition];
  return STATUS_OK;
}

/* Every one is a broker of today, with the directory that it has today. */
static bool can_be(const struct cluster_map *map, const struct map_replica *replicas, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    const struct map_broker *broker = map_get_number(map->brokers, replicas[i].broker);
    if (broker == NULL || memcmp(broker->incarnation, replicas[i].incarnation, CLUSTER_ID_SIZE) != 0) return false;
  }
  return count > 0;
}

const struct map_replica *map_move_known(const struct map_move *move, const struct map_replica *wanted) {
  for (uint32_t i = 0; i < move->known_count; i++) {
    const struct map_replica *known = &move->known[i];
    if (same_replicas(known, 1, wanted, 1)) return known;
  }
  return NULL;
}

/* Who may belong to it stays who he is; others are placed by this move. False: there are too many to be remembered. */
static bool place_targets(struct map_move *move, const struct map_move *before, const struct map_partition *partition) {
  move->known_count = before != NULL ? before->known_count : partition->replica_count;
  if (before != NULL) memcpy(move->known, before->known, sizeof move->known);
  else memcpy(move->known, partition->replicas, partition->replica_count * sizeof *move->known);
  for (uint32_t i = 0; i < move->target_count; i++) {
    const struct map_replica *known = map_move_known(move, &move->target[i]);
    if (known == NULL && move->known_count == MAP_MOVE_KNOWN_MAX) return false;
    move->target[i].placement = known != NULL ? known->placement : move->number;
    if (known == NULL) move->known[move->known_count++] = move->target[i];
  }
  return true;
}

static void set_pace(struct cluster_map *map, uint64_t group, uint64_t bytes_per_second) {
  size_t place = move_rank(map, group);
  if (place > 0 && map->moves[place - 1].group == group) map->moves[place - 1].bytes_per_second = bytes_per_second;
}

/* Takes the place of one that is under way, also of one that leads the other way. The same again is no other, and may have another pace. */
static enum status move_partition(struct cluster_map *map, const struct map_move *wanted) {
  struct map_partition *partition = NULL;
  enum status status = cluster_map_find_partition(map, wanted, &partition);
  if (status != STATUS_OK) return status;
  if (partition->replica_count == 0) return STATUS_UNSUPPORTED; /* where it is, the map does not say */
  if (!can_be(map, wanted->target, wanted->target_count)) return STATUS_NOT_FOUND;
  const struct map_move *known = cluster_map_move(map, partition->group);
  const struct map_replica *going = known == NULL ? partition->replicas : known->target;
  uint32_t going_count = known == NULL ? partition->replica_count : known->target_count;
  if (same_replicas(going, going_count, wanted->target, wanted->target_count)) {
    set_pace(map, partition->group, wanted->bytes_per_second);
    return STATUS_OK;
  }
  if (known == NULL && map->move_count >= MAP_MOVES_MAX) return STATUS_BUSY;
  struct map_move move = *wanted;
  move.group = partition->group;
  move.number = map->version;
  if (!place_targets(&move, known, partition)) return STATUS_BUSY;
  cluster_map_put_move(map, &move);
  return STATUS_OK;
}

static enum status partition_moved(struct cluster_map *map, const struct map_move *over) {
  struct map_partition *partition = NULL;
  enum status status = cluster_map_find_partition(map, over, &partition);
  if (status != STATUS_OK) return status;
  const struct map_move *known = cluster_map_move(map, partition->group);
  if (known == NULL || known->number != over->number) return STATUS_NOT_FOUND;
  partition->replica_count = known->target_count;
  memcpy(partition->replicas, known->target, sizeof partition->replicas);
  remove_move(map, partition->group);
  return STATUS_OK;
}

static enum status delete_topic(struct cluster_map *map, uint64_t id) {
  struct map_topic *topic = map_remove_number(map->by_id, id);
  if (topic == NULL) return STATUS_UNKNOWN_TOPIC;
  struct bytes name = bytes_of_string(topic->name);
  size_t place = rank(map, name) - 1;
  CHECK(map->sorted[place] == topic);
  memmove(&map->sorted[place], &map->sorted[place + 1], (map->topic_count - place - 1) * sizeof *map->sorted);
  map->topic_count--;
  map->partition_count -= topic->partition_count;
  map_remove(map->by_name, name);
  for (uint32_t i = 0; map->move_count > 0 && i < topic->partition_count; i++) remove_move(map, topic->partitions[i].group);
  topic_free(topic);
  return STATUS_OK;
}

bool map_broker_had(const struct map_broker *broker, const uint8_t incarnation[CLUSTER_ID_SIZE]) {
  for (uint32_t i = 0; i < broker->earlier_count; i++)
    if (memcmp(broker->earlier[i], incarnation, CLUSTER_ID_SIZE) == 0) return true;
  return false;
}

/* The directories that `known` had, and the one it had last if this is another. */
static void remember_earlier(const struct map_broker *known, struct map_broker *broker) {
  broker->earlier_count = known->earlier_count;
  memcpy(broker->earlier, known->earlier, sizeof broker->earlier);
  if (memcmp(known->incarnation, broker->incarnation, CLUSTER_ID_SIZE) == 0) return;
  if (broker->earlier_count == MAP_EARLIER_MAX)
    memmove(broker->earlier[0], broker->earlier[1], (size_t)--broker->earlier_count * CLUSTER_ID_SIZE);
  memcpy(broker->earlier[broker->earlier_count++], known->incarnation, CLUSTER_ID_SIZE);
}

/* In place of what was known of that number. */
void cluster_map_put_broker(struct cluster_map *map, const struct map_broker *broker) {
  struct map_broker *known = map_get_number(map->brokers, broker->id);
  if (known != NULL) {
    *known = *broker;
    return;
  }
  size_t place = broker_rank(map, broker->id);
  known = NEW(struct map_broker);
  *known = *broker;
  map->brokers_sorted = memory_grow_array(map->brokers_sorted, map->broker_count + 1, sizeof *map->brokers_sorted);
  memmove(&map->brokers_sorted[place + 1], &map->brokers_sorted[place],
          (map->broker_count - place) * sizeof *map->brokers_sorted);
  map->brokers_sorted[place] = known;
  map->broker_count++;
  map_put_number(map->brokers, broker->id, known);
}

static enum status register_broker(struct cluster_map *map, const struct command *command) {
  const struct map_broker *known = map_get_number(map->brokers, command->broker.id);
  if (known == NULL && map->broker_count >= MAP_BROKERS_MAX) return STATUS_TOO_LARGE;
  static const uint8_t none[CLUSTER_ID_SIZE];
  if (memcmp(map->cluster_id, none, CLUSTER_ID_SIZE) == 0) memcpy(map->cluster_id, command->cluster_id, CLUSTER_ID_SIZE);
  else if (memcmp(map->cluster_id, command->cluster_id, CLUSTER_ID_SIZE) != 0) return STATUS_FOREIGN;
  struct map_broker broker = command->broker;
  broker.earlier_count = 0;
  memset(broker.earlier, 0, sizeof broker.earlier);
  if (known != NULL && map_broker_had(known, broker.incarnation)) return STATUS_DIRECTORY_REPLACED;
  bool same = known != NULL && memcmp(known->incarnation, broker.incarnation, CLUSTER_ID_SIZE) == 0;
  if (same && known->standing == STANDING_GONE) return STATUS_DIRECTORY_REPLACED;
  broker.standing = known == NULL || known->standing == STANDING_GONE ? STANDING_IN : known->standing;
  if (known != NULL) remember_earlier(known, &broker);
  cluster_map_put_broker(map, &broker);
  return STATUS_OK;
}

bool map_replicas_have(const struct map_replica *replicas, uint32_t count, uint32_t broker) {
  for (uint32_t i = 0; i < count; i++)
    if (replicas[i].broker == broker) return true;
  return false;
}

bool map_replicas_are(const struct map_replica *replicas, uint32_t count, const uint32_t *brokers, uint32_t broker_count) {
  if (count != broker_count) return false;
  for (uint32_t i = 0; i < count; i++)
    if (replicas[i].broker != brokers[i]) return false;
  return true;
}

size_t cluster_map_replicas_of(const struct cluster_map *map, uint32_t broker) {
  size_t count = 0;
  for (size_t i = 0; i < map->topic_count; i++) {
    const struct map_topic *topic = map->sorted[i];
    for (uint32_t at = 0; at < topic->partition_count; at++) {
      const struct map_partition *partition = &topic->partitions[at];
      const struct map_move *move = cluster_map_move(map, partition->group);
      bool counts = map_replicas_have(partition->replicas, partition->replica_count, broker);
      count += counts || (move != NULL && map_replicas_have(move->known, move->known_count, broker));
    }
  }
  return count;
}

/* Who is gone comes back only with another directory. */
static enum status set_standing(struct cluster_map *map, uint32_t id, enum map_standing standing) {
  struct map_broker *broker = map_get_number(map->brokers, id);
  if (broker == NULL || broker->standing == STANDING_GONE) return STATUS_NOT_FOUND;
  if (standing == STANDING_GONE && (broker->standing != STANDING_LEAVING || cluster_map_replicas_of(map, id) > 0))
    return STATUS_BUSY;
  broker->standing = standing;
  return STATUS_OK;
}

/* Whoever decided it has seen that all can. A map that a Cairn from before there were levels once had may have lost what they told, and comes to
 * the same. */
static enum status set_feature_level(struct cluster_map *map, uint32_t level) {
  if (level <= map->feature_level) return STATUS_INVALID;
  map->feature_level = level;
  return STATUS_OK;
}

enum status cluster_map_apply(struct cluster_map *map, const struct command *command) {
  map->version++;
  switch (command->kind) {
    case COMMAND_REGISTER_BROKER: return register_broker(map, command);
    case COMMAND_CREATE_TOPIC: return create_topic(map, &command->topic);
    case COMMAND_ALTER_TOPIC: return alter_topic(map, command->topic_id, &command->settings);
    case COMMAND_DELETE_TOPIC: return MUTANT(deletion_forgotten) ? STATUS_OK : delete_topic(map, command->topic_id);
    case COMMAND_MOVE_PARTITION: return move_partition(map, &command->move);
    case COMMAND_PARTITION_MOVED: return partition_moved(map, &command->move);
    case COMMAND_GROW_TOPIC: return grow_topic(map, command->topic_id, &command->topic);
    case COMMAND_SET_STANDING: return set_standing(map, command->broker.id, command->broker.standing);
    case COMMAND_SET_FEATURE_LEVEL: return set_feature_level(map, command->feature_level);
  }
  return STATUS_FOREIGN;
}
