#include "controller/command.h"

#include <string.h>

#include "base/memory.h"
#include "cairn/internal/v1/controller.pb-c.h"
#include "controller/map_message.h"
#include "proto/pack.h"

/* A command holds one topic of at most TOPIC_PARTITIONS_MAX partitions; unpacked, each costs about 500 bytes where it has MAP_REPLICAS_MAX replicas. */
#define COMMAND_ARENA_BYTES_MAX (8u << 20)

void command_deinit(struct command *command) {
  map_topic_deinit(&command->topic);
  memset(command, 0, sizeof *command);
}

enum status command_encode(const struct command *command, struct blob **out_blob) {
  struct arena *arena = arena_new(COMMAND_ARENA_BYTES_MAX);
  Cairn__Internal__V1__Command message = CAIRN__INTERNAL__V1__COMMAND__INIT;
  Cairn__Internal__V1__RegisterBroker register_broker = CAIRN__INTERNAL__V1__REGISTER_BROKER__INIT;
  Cairn__Internal__V1__CreateTopic create_topic = CAIRN__INTERNAL__V1__CREATE_TOPIC__INIT;
  Cairn__Internal__V1__AlterTopic alter_topic = CAIRN__INTERNAL__V1__ALTER_TOPIC__INIT;
  Cairn__Internal__V1__DeleteTopic delete_topic = CAIRN__INTERNAL__V1__DELETE_TOPIC__INIT;
  Cairn__Internal__V1__PartitionMoved moved = CAIRN__INTERNAL__V1__PARTITION_MOVED__INIT;
  Cairn__Internal__V1__SetStanding set_standing = CAIRN__INTERNAL__V1__SET_STANDING__INIT;
  Cairn__Internal__V1__GrowTopic grow_topic = CAIRN__INTERNAL__V1__GROW_TOPIC__INIT;
  Cairn__Internal__V1__SetFeatureLevel set_feature_level = CAIRN__INTERNAL__V1__SET_FEATURE_LEVEL__INIT;
  Cairn__Internal__V1__TopicSettings settings;

  message.time_ms = command->time_ms;
  switch (command->kind) {
    case COMMAND_REGISTER_BROKER:
      message.change_case = CAIRN__INTERNAL__V1__COMMAND__CHANGE_REGISTER_BROKER;
      message.register_broker = &register_broker;
      register_broker.broker = broker_to_message(arena, &command->broker);
      register_broker.cluster_id = id_to_message(command->cluster_id);
      break;
    case COMMAND_CREATE_TOPIC:
      message.change_case = CAIRN__INTERNAL__V1__COMMAND__CHANGE_CREATE_TOPIC;
      message.create_topic = &create_topic;
      create_topic.topic = topic_to_message(arena, &command->topic);
      break;
    case COMMAND_ALTER_TOPIC:
      message.change_case = CAIRN__INTERNAL__V1__COMMAND__CHANGE_ALTER_TOPIC;
      message.alter_topic = &alter_topic;
      alter_topic.topic_id = command->topic_id;
      settings = settings_to_message(&command->settings);
      alter_topic.settings = &settings;
      break;
    case COMMAND_DELETE_TOPIC:
      message.change_case = CAIRN__INTERNAL__V1__COMMAND__CHANGE_DELETE_TOPIC;
      message.delete_topic = &delete_topic;
      delete_topic.topic_id = command->topic_id;
      break;
    case COMMAND_MOVE_PARTITION:
      message.change_case = CAIRN__INTERNAL__V1__COMMAND__CHANGE_MOVE_PARTITION;
      message.move_partition = move_to_message(arena, &command->move);
      message.move_partition->number = 0;
      break;
    case COMMAND_PARTITION_MOVED:
      message.change_case = CAIRN__INTERNAL__V1__COMMAND__CHANGE_PARTITION_MOVED;
      message.partition_moved = &moved;
      moved.topic_id = command->move.topic_id;
      moved.partition = command->move.partition;
      moved.number = command->move.number;
      break;
    case COMMAND_SET_STANDING:
      message.change_case = CAIRN__INTERNAL__V1__COMMAND__CHANGE_SET_STANDING;
      message.set_standing = &set_standing;
      set_standing.broker = command->broker.id;
      set_standing.standing = command->broker.standing;
      break;
    case COMMAND_GROW_TOPIC:
      message.change_case = CAIRN__INTERNAL__V1__COMMAND__CHANGE_GROW_TOPIC;
      message.grow_topic = &grow_topic;
      grow_topic.topic_id = command->topic_id;
      grow_topic.n_partitions = command->topic.partition_count;
      grow_topic.partitions = partitions_to_message(arena, command->topic.partitions, command->topic.partition_count);
      break;
    case COMMAND_SET_FEATURE_LEVEL:
      message.change_case = CAIRN__INTERNAL__V1__COMMAND__CHANGE_SET_FEATURE_LEVEL;
      message.set_feature_level = &set_feature_level;
      set_feature_level.level = command->feature_level;
      break;
  }
  enum status status = pack_blob(&message.base, NULL, out_blob);
  arena_free(arena);
  return status;
}

static enum status from_message(const Cairn__Internal__V1__Command *message, struct command *command) {
  command->time_ms = message->time_ms;
  switch (message->change_case) {
    case CAIRN__INTERNAL__V1__COMMAND__CHANGE_REGISTER_BROKER:
      command->kind = COMMAND_REGISTER_BROKER;
      if (!id_from_message(&message->register_broker->cluster_id, command->cluster_id)) return STATUS_CORRUPT;
      return broker_from_message(message->register_broker->broker, &command->broker);
    case CAIRN__INTERNAL__V1__COMMAND__CHANGE_CREATE_TOPIC:
      command->kind = COMMAND_CREATE_TOPIC;
      return topic_from_message(message->create_topic->topic, &command->topic);
    case CAIRN__INTERNAL__V1__COMMAND__CHANGE_ALTER_TOPIC:
      command->kind = COMMAND_ALTER_TOPIC;
      command->topic_id = message->alter_topic->topic_id;
      return settings_from_message(message->alter_topic->settings, &command->settings);
    case CAIRN__INTERNAL__V1__COMMAND__CHANGE_DELETE_TOPIC:
      command->kind = COMMAND_DELETE_TOPIC;
      command->topic_id = message->delete_topic->topic_id;
      return STATUS_OK;
    case CAIRN__INTERNAL__V1__COMMAND__CHANGE_MOVE_PARTITION:
      command->kind = COMMAND_MOVE_PARTITION;
      return move_from_message(message->move_partition, &command->move);
    case CAIRN__INTERNAL__V1__COMMAND__CHANGE_PARTITION_MOVED:
      command->kind = COMMAND_PARTITION_MOVED;
      command->move.topic_id = message->partition_moved->topic_id;
      command->move.partition = message->partition_moved->partition;
      command->move.number = message->partition_moved->number;
      return STATUS_OK;
    case CAIRN__INTERNAL__V1__COMMAND__CHANGE_SET_STANDING:
      command->kind = COMMAND_SET_STANDING;
      command->broker.id = message->set_standing->broker;
      return standing_from_message(message->set_standing->standing, &command->broker.standing);
    case CAIRN__INTERNAL__V1__COMMAND__CHANGE_GROW_TOPIC:
      command->kind = COMMAND_GROW_TOPIC;
      command->topic_id = message->grow_topic->topic_id;
      return partitions_from_message(message->grow_topic->partitions, message->grow_topic->n_partitions, &command->topic);
    case CAIRN__INTERNAL__V1__COMMAND__CHANGE_SET_FEATURE_LEVEL:
      command->kind = COMMAND_SET_FEATURE_LEVEL;
      command->feature_level = message->set_feature_level->level;
      return STATUS_OK; /* also of a level that this version cannot: whoever applies it has to know */
    default: return STATUS_FOREIGN;
  }
}

enum status command_decode(struct bytes bytes, struct command *out_command) {
  struct arena *arena = arena_new(COMMAND_ARENA_BYTES_MAX);
  Cairn__Internal__V1__Command *message = NULL;
  struct command command = {0};
  enum status status = pack_unpack(arena, &cairn__internal__v1__command__descriptor, bytes, &message);
  if (status != STATUS_OK) {
    status = STATUS_CORRUPT;
    goto done;
  }
  status = from_message(message, &command);
  if (status == STATUS_OK) *out_command = command;
  else command_deinit(&command);
done:
  arena_free(arena);
  return status;
}
