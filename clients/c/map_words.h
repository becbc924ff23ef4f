/* Topics, partitions and brokers as the application sees them, from the messages that tell of them. */
#ifndef CAIRN_CLIENTS_C_MAP_WORDS_H
#define CAIRN_CLIENTS_C_MAP_WORDS_H

#include "cairn/v1/admin.pb-c.h"
#include "clients/c/cairn_admin.h"

void topic_unpack(const Cairn__V1__Topic *in, struct cairn_topic *out);
/* These borrow from the message. */
void partition_unpack(const Cairn__V1__Partition *in, struct cairn_partition *out);
void member_unpack(const Cairn__V1__Broker *in, struct cairn_member *out);

#endif
