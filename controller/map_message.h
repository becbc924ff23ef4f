/* The parts of the cluster map as protobuf messages, and back: shared by command.c (what stands in the log) and cluster_map_bytes.c (what
 * stands in a snapshot). Messages made here live in the arena and borrow strings; structs made here own theirs.
 *
 * `..._from_message` answers STATUS_CORRUPT to anything that `..._to_message` cannot have written.
 */
#ifndef CAIRN_CONTROLLER_MAP_MESSAGE_H
#define CAIRN_CONTROLLER_MAP_MESSAGE_H

#include "base/arena.h"
#include "cairn/internal/v1/controller.pb-c.h"
#include "controller/cluster_map.h"

void map_topic_deinit(struct map_topic *topic);

ProtobufCBinaryData id_to_message(const uint8_t id[CLUSTER_ID_SIZE]);
bool id_from_message(const ProtobufCBinaryData *data, uint8_t out_id[CLUSTER_ID_SIZE]);

Cairn__Internal__V1__TopicSettings settings_to_message(const struct topic_settings *settings);
enum status settings_from_message(const Cairn__Internal__V1__TopicSettings *message, struct topic_settings *out) MUST_CHECK;

enum status standing_from_message(uint32_t number, enum map_standing *out_standing) MUST_CHECK; /* STATUS_FOREIGN */
Cairn__Internal__V1__Broker *broker_to_message(struct arena *arena, const struct map_broker *broker);
enum status broker_from_message(const Cairn__Internal__V1__Broker *message, struct map_broker *out) MUST_CHECK;

Cairn__Internal__V1__Move *move_to_message(struct arena *arena, const struct map_move *move);
enum status move_from_message(const Cairn__Internal__V1__Move *message, struct map_move *out) MUST_CHECK; /* all but the group */

Cairn__Internal__V1__PartitionPlace **partitions_to_message(struct arena *arena, const struct map_partition *partitions,
                                                            uint32_t count);
/* Some of a topic, whatever number they begin with: into `topic`, which has none yet. STATUS_CORRUPT: it has none after it either. */
enum status partitions_from_message(Cairn__Internal__V1__PartitionPlace *const *messages, size_t count,
                                    struct map_topic *topic) MUST_CHECK;

Cairn__Internal__V1__TopicPlace *topic_to_message(struct arena *arena, const struct map_topic *topic);
enum status topic_from_message(const Cairn__Internal__V1__TopicPlace *message, struct map_topic *out) MUST_CHECK;

#endif
