/* The parts of the map in the words of the API (cairn.v1): what is told of topics, partitions and brokers, whoever asks. Pure.
 *
 * What is filled borrows from the map and from where it lives itself: it is packed before either changes.
 */
#ifndef CAIRN_CONTROLLER_MAP_PUBLIC_H
#define CAIRN_CONTROLLER_MAP_PUBLIC_H

#include "cairn/v1/admin.pb-c.h"
#include "controller/cluster_map.h"

/* A topic with its settings. */
struct public_topic {
  Cairn__V1__Topic topic;
  Cairn__V1__TopicConfig config;
};
void public_topic_fill(struct public_topic *message, const struct map_topic *topic);

/* A partition: where it is, and where it goes. Where the map does not say where it is, there are no replicas. */
struct public_partition {
  Cairn__V1__Partition partition;
  uint32_t replicas[MAP_REPLICAS_MAX];
  uint32_t moving_to[MAP_REPLICAS_MAX];
};
void public_partition_fill(struct public_partition *message, const struct cluster_map *map,
                           const struct map_partition *partition);

/* A broker as the map has it. */
struct public_broker {
  Cairn__V1__Broker broker;
  struct map_broker known;
  char incarnation[2 * CLUSTER_ID_SIZE + 1];
};
void public_broker_fill(struct public_broker *message, const struct map_broker *broker);

extern const Cairn__V1__BrokerStanding public_standings[STANDINGS];

#endif
