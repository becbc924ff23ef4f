/* What a request to append says, held against itself and the bounds of its topic: size, checksum, records, claims, producer. What it finds it
 * leaves in `summary`. Whether the partition agrees is another question, and partition_append.c's.
 *
 * Touches nothing but the request: plain payloads are checked on the partition's lane, compressed ones by the inflater.
 */
#ifndef CAIRN_SERVER_APPEND_CHECK_H
#define CAIRN_SERVER_APPEND_CHECK_H

#include <stdbool.h>

#include "server/partition.h"

/* NULL: it may be appended. @any-thread, one at a time */
struct failure *append_check(struct partition_append *append);
bool append_has_producer(const struct partition_append *append);

#endif
