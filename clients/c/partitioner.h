/* Which partition a record goes to. Keys: as Kafka's default partitioner, so that both systems agree. Pure. */
#ifndef CAIRN_CLIENTS_C_PARTITIONER_H
#define CAIRN_CLIENTS_C_PARTITIONER_H

#include <stdint.h>

#include "base/bytes.h"

/* Kafka's 32-bit murmur2 (org.apache.kafka.common.utils.Utils.murmur2), seed 0x9747b28c. */
uint32_t murmur2(struct bytes bytes);

/* PRE partitions > 0. */
uint32_t partitioner_of_key(struct bytes key, uint32_t partitions);

/* Records without a key stick to one partition until its batch is closed, then go to the next: full batches, even load. */
struct sticky {
  uint32_t partition;
};
/* `chance` spreads many producers over the partitions. */
void sticky_start(struct sticky *sticky, uint32_t partitions, uint64_t chance);
void sticky_advance(struct sticky *sticky, uint32_t partitions);

#endif
