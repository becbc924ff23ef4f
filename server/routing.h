/* From a topic's name and a partition's number to the partition, or to the broker that has it: asked by the transport's thread for every
 * request, changed on lane 0 when the cluster map or its leader changes.
 *
 * It holds the one lock in the house, a reader-writer lock that is held for the length of a look-up. Partitions are counted: a
 * request keeps the one it found alive, whatever happens to the topic meanwhile.
 *
 * 1. A topic is here from the moment its deletion is not yet told until it is; its partitions appear one by one as they open.
 * 2. A partition that is known and not here has a reason: being opened (STATUS_LOADING), lost to rot (STATUS_DAMAGED), there but not to be
 *    read (STATUS_UNREADABLE), or placed on other brokers (STATUS_NOT_LEADER).
 * 3. Only the broker that leads group 0 says that there is no such topic, or no such partition of it. Another one's map may be behind: it says whom
 *    to ask. And one that
 *    is alone and whose map has lost something to rot cannot tell, and says so.
 */
#ifndef CAIRN_SERVER_ROUTING_H
#define CAIRN_SERVER_ROUTING_H

#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "server/address.h"

struct partition;
struct routing;

struct routing *routing_new(uint64_t seed);
void routing_free(struct routing *routing); /* releases the partitions; NULL is fine */

struct route_found {
  struct partition *partition; /* OK: held, partition_release() it */
  uint32_t partition_count;    /* 0: the topic is not known */
  uint32_t ask;                /* NOT_LEADER: this broker instead; 0: any other */
};

/* @any-thread. STATUS_UNKNOWN_TOPIC, UNKNOWN_PARTITION, LOADING, DAMAGED, UNREADABLE, NOT_LEADER. */
enum status routing_find(struct routing *routing, struct bytes topic, uint32_t number, struct route_found *out_found) MUST_CHECK;
/* @any-thread. Where clients reach a broker; "" when that is not known. */
void routing_address(struct routing *routing, uint32_t broker, char out_address[ADDRESS_TEXT_SIZE]);

/* On lane 0. All partitions of a new topic are absent at first, for the reason LOADING. PRE: the name is not here. */
void routing_add_topic(struct routing *routing, struct bytes topic, uint32_t partition_count);
/* The same for more partitions of a topic that is here, so that it has so many. PRE: it has fewer. */
void routing_grow_topic(struct routing *routing, struct bytes topic, uint32_t partition_count);
/* Takes over the hold. Nothing happens (but a release) when the topic is gone. */
void routing_set_partition(struct routing *routing, struct bytes topic, uint32_t number, struct partition *partition);
/* It is not here any more, and absent for the reason LOADING until another is said. The caller's hold; NULL: it was not here. */
struct partition *routing_take_partition(struct routing *routing, struct bytes topic, uint32_t number);
/* Why an absent partition is absent. */
void routing_set_absent(struct routing *routing, struct bytes topic, uint32_t number, enum status reason);
/* It is on other brokers; `broker` is one of them. */
void routing_set_elsewhere(struct routing *routing, struct bytes topic, uint32_t number, uint32_t broker);
/* Forgets the topic and releases its partitions, after telling each. */
void routing_remove_topic(struct routing *routing, struct bytes topic, void (*visit)(void *context, struct partition *partition),
                          void *context);
void routing_set_broker(struct routing *routing, uint32_t broker, const char *address);
/* What is to be said of a topic that is not known here: STATUS_UNKNOWN_TOPIC, for this broker knows them all (so until something else is
 * said); NOT_LEADER, for `broker` does (0: nobody knows who); DAMAGED, for nobody does any more. */
void routing_set_authority(struct routing *routing, enum status unknown, uint32_t broker);

#endif
