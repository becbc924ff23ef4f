#include "controller/decide.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "controller/decide_internal.h"
#include "controller/placement.h"
#include "controller/registration.h"

enum status decide_refuse(struct change *change, enum status status, const char *problem) {
  snprintf(change->problem, sizeof change->problem, "%s", problem);
  return status;
}

/* Brokers of the map that get no new replicas. */
static uint32_t count_leaving(const struct cluster_map *map) {
  uint32_t leaving = 0;
  const struct map_broker *broker = cluster_map_broker_after(map, 0);
  for (; broker != NULL; broker = cluster_map_broker_after(map, broker->id)) leaving += broker->standing >= STANDING_LEAVING;
  return leaving;
}

static enum status check_replicas(const struct decision_facts *facts, struct change *change, uint32_t replicas) {
  uint32_t leaving = count_leaving(facts->map);
  uint32_t brokers = facts->brokers - leaving;
  size_t known = cluster_map_broker_count(facts->map) - leaving;
  if (replicas > MAP_REPLICAS_MAX) {
    snprintf(change->problem, sizeof change->problem, "%u replicas are wanted, and a partition has at most %u", replicas,
             MAP_REPLICAS_MAX);
    return STATUS_INVALID;
  }
  if (known > 0 && replicas <= known && (known == brokers || facts->brokers_are_late)) return STATUS_OK;
  if (replicas <= brokers && brokers == 1) return STATUS_OK; /* the first one, about to be written */
  if (replicas <= brokers) {
    snprintf(change->problem, sizeof change->problem,
             "%u replica%s wanted, and of the cluster's %u brokers %zu have told where they are so far", replicas,
             replicas == 1 ? " is" : "s are", brokers, known);
    return STATUS_LOADING;
  }
  snprintf(
      change->problem, sizeof change->problem,
      "%u replicas are wanted, each on a broker of its own, and the cluster has %u broker%s: ask for %s%u, or start more brokers",
      replicas, brokers, brokers == 1 ? "" : "s", brokers == 1 ? "" : "at most ", brokers);
  return STATUS_INVALID;
}

static enum status check_partitions(const struct decision_facts *facts, struct change *change, uint32_t topic_has,
                                    uint32_t more) {
  if (topic_has + more > TOPIC_PARTITIONS_MAX)
    return decide_refuse(change, STATUS_INVALID, "a topic has at most 10000 partitions");
  if (cluster_map_partition_count(facts->map) + more > MAP_PARTITIONS_MAX)
    return decide_refuse(change, STATUS_TOO_LARGE, "a cluster has at most 200000 partitions: delete some topics first");
  if (cluster_map_partition_count(facts->map) + more + 1 > facts->logs_max) /* and the controller's own */
    return decide_refuse(change, STATUS_TOO_LARGE,
                         "this broker's journal has files for fewer partitions: delete some, or raise journal-file-bytes");
  return STATUS_OK;
}

static enum status decide_create(const struct decision_facts *facts, struct change *change, struct command *command) {
  const struct cluster_map *map = facts->map;
  struct map_topic *topic = &command->topic;
  enum status named = decide_name(change);
  if (named != STATUS_OK) return named;
  if (cluster_map_topic(map, bytes_of_string(change->name)) != NULL)
    return decide_refuse(change, STATUS_TOPIC_EXISTS, "choose another name, or delete it first");
  uint32_t partitions = change->partition_count, replicas = change->replicas;
  enum status enough = decide_read_places(change, 0, &partitions, &replicas);
  if (partitions == 0) partitions = 1;
  if (replicas == 0) replicas = placement_replicas_default(facts->brokers - count_leaving(map));
  if (enough == STATUS_OK) enough = check_replicas(facts, change, replicas);
  if (enough == STATUS_OK) enough = check_partitions(facts, change, 0, partitions);
  if (enough != STATUS_OK) return enough;
  if (cluster_map_topic_count(map) >= MAP_TOPICS_MAX)
    return decide_refuse(change, STATUS_TOO_LARGE, "a cluster has at most 100000 topics: delete some first");
  const char *problem = topic_settings_problem(&change->settings);
  if (problem != NULL) return decide_refuse(change, STATUS_INVALID, problem);

  topic->name = memory_copy_string(change->name);
  topic->id = cluster_map_next_topic_id(map);
  topic->replicas = replicas;
  topic->settings = change->settings;
  topic->created_ms = command->time_ms;
  decide_make_partitions(map, 0, partitions, replicas, topic);
  return decide_put(map, change, topic);
}

/* As many as partition 0: moves may have given them more or fewer since the topic was made. */
static uint32_t replicas_of_new(const struct cluster_map *map, const struct map_topic *topic) {
  const struct map_replica *replicas;
  uint32_t count = decide_places_of(map, &topic->partitions[0], &replicas);
  return count == 0 ? 1 : count;
}

/* Records stay where they are, and keys may belong to other partitions from then on: whoever needs an order per key makes a new topic. */
static enum status decide_grow(const struct decision_facts *facts, struct change *change, struct command *command) {
  const struct map_topic *topic = cluster_map_topic(facts->map, bytes_of_string(change->name));
  if (topic == NULL) return decide_refuse(change, STATUS_UNKNOWN_TOPIC, "");
  if (change->partition_count == 0) return decide_refuse(change, STATUS_INVALID, "a topic has 1 to 10000 partitions");
  if (change->partition_count < topic->partition_count) {
    snprintf(change->problem, sizeof change->problem,
             "it has %u partitions, and none is ever taken away: make a new topic with %u, and copy what it has",
             topic->partition_count, change->partition_count);
    return STATUS_INVALID;
  }
  command->topic_id = topic->id;
  change->unchanged = change->partition_count == topic->partition_count;
  if (change->unchanged) return decide_check_put(facts->map, change, topic);
  uint32_t more = change->partition_count - topic->partition_count;
  uint32_t replicas = replicas_of_new(facts->map, topic);
  enum status status = decide_read_places(change, topic->partition_count, &more, &replicas);
  if (status == STATUS_OK) status = check_replicas(facts, change, replicas);
  if (status == STATUS_OK) status = check_partitions(facts, change, topic->partition_count, more);
  if (status != STATUS_OK) return status;
  decide_make_partitions(facts->map, topic->partition_count, more, replicas, &command->topic);
  return decide_put(facts->map, change, &command->topic);
}

static enum status decide_alter(const struct decision_facts *facts, struct change *change, struct command *command) {
  const struct map_topic *topic = cluster_map_topic(facts->map, bytes_of_string(change->name));
  if (topic == NULL) return decide_refuse(change, STATUS_UNKNOWN_TOPIC, "");
  command->topic_id = topic->id;
  command->settings = topic->settings;
  if (change->set_retention_bytes) command->settings.retention_bytes = change->settings.retention_bytes;
  if (change->set_retention_ms) command->settings.retention_ms = change->settings.retention_ms;
  if (change->set_segment_bytes) command->settings.segment_bytes = change->settings.segment_bytes;
  if (change->set_record_bytes_max) command->settings.record_bytes_max = change->settings.record_bytes_max;
  const char *problem = topic_settings_problem(&command->settings);
  if (problem != NULL) return decide_refuse(change, STATUS_INVALID, problem);
  return STATUS_OK;
}

static enum status decide_delete(const struct decision_facts *facts, struct change *change, struct command *command) {
  const struct map_topic *topic = cluster_map_topic(facts->map, bytes_of_string(change->name));
  if (topic == NULL) return decide_refuse(change, STATUS_UNKNOWN_TOPIC, "");
  command->topic_id = topic->id;
  return STATUS_OK;
}

/* ---- Brokers that come and go ---- */

uint32_t decide_count_others(const struct cluster_map *map, uint32_t leaving) {
  uint32_t others = 0;
  const struct map_broker *broker = cluster_map_broker_after(map, 0);
  for (; broker != NULL; broker = cluster_map_broker_after(map, broker->id))
    others += broker->id != leaving && broker->standing < STANDING_LEAVING && broker->peer_address[0] != '\0';
  return others;
}

/* Does it leave, where this one does too? */
static bool leaves(const struct cluster_map *map, uint32_t broker, uint32_t too) {
  const struct map_broker *known = cluster_map_broker(map, broker);
  return broker == too || (known != NULL && known->standing == STANDING_LEAVING);
}

static bool is_stuck(const struct cluster_map *map, const struct map_partition *partition, uint32_t leaving, uint32_t others,
                     uint32_t *out_count) {
  const struct map_replica *replicas;
  bool any = false;
  *out_count = decide_places_of(map, partition, &replicas);
  for (uint32_t i = 0; i < *out_count; i++) any = any || leaves(map, replicas[i].broker, leaving);
  return any && *out_count > others;
}

/* Every partition on one that leaves needs another broker in its place: as many others as it has replicas. */
static enum status check_leaving(const struct cluster_map *map, struct change *change) {
  uint32_t others = decide_count_others(map, change->broker.id), stuck = 0, count = 0;
  size_t at = 0;
  if (others == 0) return decide_refuse(change, STATUS_TOO_FEW_BROKERS, "nobody would be left: start another broker first");
  const struct map_topic *topic;
  for (size_t place = 0; (topic = cluster_map_topic_at(map, place)) != NULL; place++) {
    for (uint32_t i = 0; i < topic->partition_count; i++) {
      if (!is_stuck(map, &topic->partitions[i], change->broker.id, others, &count) || stuck++ >= 3) continue;
      int size = snprintf(change->problem + at, sizeof change->problem - at, "%s%.32s/%u (%u replica%s)", at == 0 ? "" : ", ",
                          topic->name, i, count, count == 1 ? "" : "s");
      at += size > 0 ? (size_t)size : 0;
    }
  }
  if (stuck == 0) return STATUS_OK;
  snprintf(change->problem + at, sizeof change->problem - at,
           "%s: %u brokers would be left for %s: start more brokers, or give %s fewer replicas first", stuck > 3 ? ", ..." : "",
           others, stuck == 1 ? "it" : "them", stuck == 1 ? "it" : "them");
  return STATUS_TOO_FEW_BROKERS;
}

static enum status decide_standing(const struct decision_facts *facts, struct change *change, struct command *command) {
  const struct map_broker *broker = cluster_map_broker(facts->map, change->broker.id);
  if (broker == NULL) {
    snprintf(change->problem, sizeof change->problem, "the cluster has no broker %u: cairn broker list shows those it has",
             change->broker.id);
    return STATUS_NOT_FOUND;
  }
  if (broker->standing == STANDING_GONE) {
    snprintf(change->problem, sizeof change->problem,
             "broker %u has left the cluster: it comes in again when it is started with an empty directory", change->broker.id);
    return STATUS_BROKER_GONE;
  }
  change->unchanged = change->broker.standing == broker->standing;
  if (change->broker.standing == STANDING_LEAVING && broker->standing != STANDING_LEAVING) {
    enum status status = check_leaving(facts->map, change);
    if (status != STATUS_OK) return status;
  }
  if (change->broker.standing == STANDING_DRAINED && broker->standing == STANDING_LEAVING)
    return decide_refuse(change, STATUS_INVALID, "it is leaving, and leads nothing already: let it stay first");
  bool goes = change->broker.standing == STANDING_GONE;
  if (goes && broker->standing != STANDING_LEAVING)
    return decide_refuse(change, STATUS_BUSY, "it is not about to leave: it has been asked to stay since");
  if (goes && cluster_map_replicas_of(facts->map, broker->id) > 0)
    return decide_refuse(change, STATUS_BUSY, "it has replicas: they have to go to others first");
  command->broker.id = change->broker.id;
  command->broker.standing = change->broker.standing;
  return STATUS_OK;
}

enum status decide_whose_number(const struct cluster_map *map, struct change *change, bool is_up) {
  const struct map_broker *known = cluster_map_broker(map, change->broker.id);
  bool same = known != NULL && memcmp(known->incarnation, change->broker.incarnation, CLUSTER_ID_SIZE) == 0;
  if (same && known->standing == STANDING_GONE) {
    snprintf(
        change->problem, sizeof change->problem,
        "broker %u has left the cluster: its directory is never part of it again: stop this process, or give it an empty one",
        known->id);
    return STATUS_DIRECTORY_REPLACED;
  }
  if (known == NULL || same) return STATUS_OK;
  if (map_broker_had(known, change->broker.incarnation)) {
    snprintf(
        change->problem, sizeof change->problem,
        "broker %u came back with another directory, at %.63s; this one is never part of the cluster again: stop this process, "
        "or give it an empty directory and another broker-id",
        known->id, known->peer_address);
    return STATUS_DIRECTORY_REPLACED;
  }
  if (!is_up) return STATUS_OK;
  snprintf(change->problem, sizeof change->problem,
           "broker %u is up at %.63s with a data directory of its own: give this one another broker-id, or stop that one first",
           known->id, known->peer_address);
  return STATUS_BROKER_ID_TAKEN;
}

/* It belongs to group 0, is told the map, and may have replicas. One that takes no peers is alone. */
static bool is_present(const struct map_broker *broker) {
  return broker->standing != STANDING_GONE && broker->peer_address[0] != '\0';
}

/* All that ever were are remembered by their numbers, so that a directory that was replaced stays so. */
static enum status check_numbers(const struct cluster_map *map, struct change *change) {
  bool is_known = cluster_map_broker(map, change->broker.id) != NULL;
  if (is_known || cluster_map_broker_count(map) < MAP_BROKERS_MAX) return STATUS_OK;
  snprintf(change->problem, sizeof change->problem,
           "the cluster has had brokers of %u numbers, and remembers no more: give this one the number of a broker that is gone",
           MAP_BROKERS_MAX);
  return STATUS_TOO_LARGE;
}

/* A broker more than group 0 has room for would be given replicas and never hear of them. */
static enum status check_present(const struct decision_facts *facts, struct change *change) {
  const struct map_broker *broker = cluster_map_broker(facts->map, change->broker.id);
  uint32_t present = facts->untold_count;
  if ((broker != NULL && is_present(broker)) || !is_present(&change->broker)) return STATUS_OK;
  for (broker = cluster_map_broker_after(facts->map, 0); broker != NULL;
       broker = cluster_map_broker_after(facts->map, broker->id))
    present += is_present(broker);
  if (present < MAP_BROKERS_PRESENT_MAX) return STATUS_OK;
  snprintf(change->problem, sizeof change->problem,
           "the cluster has %u brokers, and can have %u: let one leave first (cairn broker decommission), until it is gone",
           present, MAP_BROKERS_PRESENT_MAX);
  return STATUS_TOO_LARGE;
}

static enum status decide_register(const struct decision_facts *facts, struct change *change, struct command *command) {
  enum status status = decide_whose_number(facts->map, change, facts->broker_is_up);
  if (status == STATUS_OK) status = check_numbers(facts->map, change);
  if (status == STATUS_OK) status = check_present(facts, change);
  if (status == STATUS_OK) status = decide_features(facts->map, change);
  if (status != STATUS_OK) return status;
  change->unchanged = registration_is_known(facts->map, &change->broker);
  command->broker = registration_of(facts->map, &change->broker);
  memcpy(command->cluster_id, change->cluster_id, CLUSTER_ID_SIZE);
  return STATUS_OK;
}

enum status decide(const struct decision_facts *facts, struct change *change, struct command *command) {
  command->kind = change->kind;
  command->time_ms = facts->time_ms;
  switch (change->kind) {
    case COMMAND_CREATE_TOPIC: return decide_create(facts, change, command);
    case COMMAND_ALTER_TOPIC: return decide_alter(facts, change, command);
    case COMMAND_GROW_TOPIC: return decide_grow(facts, change, command);
    case COMMAND_DELETE_TOPIC: return decide_delete(facts, change, command);
    case COMMAND_REGISTER_BROKER: return decide_register(facts, change, command);
    case COMMAND_MOVE_PARTITION: return decide_move(facts, change, command);
    case COMMAND_PARTITION_MOVED: return decide_moved(facts, change, command);
    case COMMAND_SET_STANDING: return decide_standing(facts, change, command);
    case COMMAND_SET_FEATURE_LEVEL: return decide_feature_level(facts, change, command);
  }
  return STATUS_BUG;
}
