#include "tests/unit/controller/map_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"

struct cluster_map *map;
uint32_t rig_down;

int rig_set_up(void **state) {
  (void)state;
  map = cluster_map_new(1);
  rig_down = 0;
  return 0;
}

int rig_tear_down(void **state) {
  (void)state;
  cluster_map_free(map);
  return 0;
}

struct command rig_create_command(const char *name, uint32_t partitions) {
  struct command command = {.kind = COMMAND_CREATE_TOPIC, .time_ms = 1000};
  command.topic.name = memory_copy_string(name);
  command.topic.id = cluster_map_next_topic_id(map);
  command.topic.replicas = 1;
  command.topic.settings = topic_settings_default;
  command.topic.created_ms = 1000;
  command.topic.partition_count = partitions;
  command.topic.partitions = memory_new_array(partitions, sizeof *command.topic.partitions);
  for (uint32_t i = 0; i < partitions; i++)
    command.topic.partitions[i] = (struct map_partition){.number = i, .group = cluster_map_next_group_id(map) + i, .instance = 1};
  return command;
}

enum status rig_create(const char *name, uint32_t partitions) {
  struct command command = rig_create_command(name, partitions);
  enum status status = cluster_map_apply(map, &command);
  command_deinit(&command);
  return status;
}

enum status rig_delete(uint64_t id) {
  struct command command = {.kind = COMMAND_DELETE_TOPIC, .topic_id = id};
  return cluster_map_apply(map, &command);
}

const struct map_topic *rig_find(const char *name) { return cluster_map_topic(map, bytes_of_string(name)); }

void rig_put_on(struct map_partition *partition, const char *brokers) {
  for (const char *digit = brokers; *digit != '\0'; digit++) {
    uint32_t id = (uint32_t)(*digit - '0');
    partition->replicas[partition->replica_count++] = (struct map_replica){.broker = id, .incarnation = {(uint8_t)id}};
  }
}

void rig_create_on(const char *name, const char *const *partitions, uint32_t count) {
  struct command command = rig_create_command(name, count);
  for (uint32_t i = 0; i < count; i++) rig_put_on(&command.topic.partitions[i], partitions[i]);
  assert_int_equal(cluster_map_apply(map, &command), STATUS_OK);
  command_deinit(&command);
}

void rig_put_replicas(struct map_partition *partition, uint32_t count) {
  partition->replica_count = count;
  for (uint32_t i = 0; i < count; i++)
    partition->replicas[i] = (struct map_replica){.broker = 9 - i, .incarnation = {(uint8_t)(i + 1), 7}};
}

static void register_broker(uint32_t id, const char *peer_address, const char *rack) {
  struct command command = {.kind = COMMAND_REGISTER_BROKER, .broker = {.id = id, .incarnation = {(uint8_t)id}}};
  command.cluster_id[0] = 1;
  snprintf(command.broker.advertised, sizeof command.broker.advertised, "b%u:7411", id);
  snprintf(command.broker.peer_address, sizeof command.broker.peer_address, "%s", peer_address);
  snprintf(command.broker.rack, sizeof command.broker.rack, "%s", rack);
  assert_int_equal(rig_apply_through_bytes(&command), STATUS_OK);
}

void rig_register_broker(uint32_t id, const char *peer_address) { register_broker(id, peer_address, ""); }
void rig_register_in_rack(uint32_t id, const char *rack) { register_broker(id, "peer:1", rack); }

bool rig_is_up(void *context, uint32_t broker) {
  (void)context;
  return (rig_down >> broker & 1) == 0;
}

enum status rig_stand(uint32_t broker, enum map_standing standing) {
  return rig_apply_through_bytes(&(struct command){.kind = COMMAND_SET_STANDING, .broker = {.id = broker, .standing = standing}});
}

enum status rig_begin_move(uint64_t topic_id, uint32_t partition, const uint32_t *to, uint32_t to_count) {
  struct command command = {.kind = COMMAND_MOVE_PARTITION, .move = {.topic_id = topic_id, .partition = partition}};
  for (uint32_t i = 0; i < to_count; i++)
    command.move.target[command.move.target_count++] = (struct map_replica){.broker = to[i], .incarnation = {(uint8_t)to[i]}};
  return rig_apply_through_bytes(&command);
}

void rig_end_move(const struct map_move *move) {
  assert_int_equal(rig_apply_through_bytes(&(struct command){
                       .kind = COMMAND_PARTITION_MOVED,
                       .move = {.topic_id = move->topic_id, .partition = move->partition, .number = move->number}}),
                   STATUS_OK);
}

enum status rig_apply_through_bytes(const struct command *command) {
  struct blob *blob = NULL;
  struct command copy = {0};
  assert_int_equal(command_encode(command, &blob), STATUS_OK);
  assert_int_equal(command_decode(bytes_of(blob->data, blob->size), &copy), STATUS_OK);
  blob_release(blob);
  enum status status = cluster_map_apply(map, &copy);
  command_deinit(&copy);
  return status;
}
