/* From a topic's name and a partition's number to the partition: asked by the transport's thread for every request, changed on
 * lane 0 when the cluster map changes.
 *
 * It holds the one lock in the house, a reader-writer lock that is held for the length of a look-up. Partitions are counted: a
 * request keeps the one it found alive, whatever happens to the topic meanwhile.
 *
 * 1. A topic is here from the moment its deletion is not yet told until it is; its partitions appear one by one as they open.
 * 2. A partition that is known and not here has a reason: being opened (STATUS_LOADING) or lost to rot (STATUS_DAMAGED).
 */
#ifndef CAIRN_SERVER_ROUTING_H
#define CAIRN_SERVER_ROUTING_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

struct partition;
struct routing;

struct routing *routing_new(uint64_t seed);
void routing_free(struct routing *routing); /* releases the partitions; NULL is fine */

/* @any-thread. Holds what it finds: partition_release() it. STATUS_UNKNOWN_TOPIC; STATUS_UNKNOWN_PARTITION, with the number of partitions
 * in `out_partition_count`; STATUS_LOADING, STATUS_DAMAGED. */
enum status routing_find(struct routing *routing, struct bytes topic, uint32_t number, struct partition **out_partition,
                         uint32_t *out_partition_count) MUST_CHECK;

/* On lane 0. All partitions of a new topic are absent at first, for the reason LOADING. PRE: the name is not here. */
void routing_add_topic(struct routing *routing, struct bytes topic, uint32_t partition_count);
/* Takes over the hold. Nothing happens (but a release) when the topic is gone. */
void routing_set_partition(struct routing *routing, struct bytes topic, uint32_t number, struct partition *partition);
/* Why an absent partition is absent. */
void routing_set_absent(struct routing *routing, struct bytes topic, uint32_t number, enum status reason);
/* Forgets the topic and releases its partitions, after telling each. */
void routing_remove_topic(struct routing *routing, struct bytes topic, void (*visit)(void *context, struct partition *partition),
                          void *context);

#endif
