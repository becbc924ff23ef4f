/* Every change to the cluster's map, as data. A command is an entry of group 0's log before it is true.
 *
 * On disk it is cairn.internal.v1.Command; in memory this struct. Fields are added, never changed; a kind that this build does not know
 * is STATUS_FOREIGN, and the broker refuses to go on rather than to skip it.
 */
#ifndef CAIRN_CONTROLLER_COMMAND_H
#define CAIRN_CONTROLLER_COMMAND_H

#include <stdint.h>

#include "base/blob.h"
#include "base/bytes.h"
#include "base/status.h"
#include "controller/cluster_map.h"

enum command_kind {
  COMMAND_REGISTER_BROKER = 2,
  COMMAND_CREATE_TOPIC = 3,
  COMMAND_ALTER_TOPIC = 4,
  COMMAND_DELETE_TOPIC = 5,
  COMMAND_MOVE_PARTITION = 6,
  COMMAND_PARTITION_MOVED = 7,
  COMMAND_SET_STANDING = 8,
  COMMAND_GROW_TOPIC = 9,
  COMMAND_SET_FEATURE_LEVEL = 10
};

struct command {
  enum command_kind kind;
  int64_t time_ms;
  struct map_broker broker;            /* REGISTER_BROKER; SET_STANDING: id and standing */
  uint8_t cluster_id[CLUSTER_ID_SIZE]; /* REGISTER_BROKER, the first of all */
  struct map_topic topic; /* CREATE_TOPIC: all of it, ids included; GROW_TOPIC: its new partitions; owned by the command */
  uint64_t topic_id;      /* ALTER_TOPIC, DELETE_TOPIC, GROW_TOPIC */
  struct topic_settings settings; /* ALTER_TOPIC */
  uint32_t feature_level;         /* SET_FEATURE_LEVEL */
  struct map_move move;           /* MOVE_PARTITION: all but group and number; PARTITION_MOVED: topic_id, partition, number */
};

void command_deinit(struct command *command);
enum status command_encode(const struct command *command, struct blob **out_blob) MUST_CHECK;
enum status command_decode(struct bytes bytes, struct command *out_command) MUST_CHECK; /* STATUS_CORRUPT, STATUS_FOREIGN */

#endif
