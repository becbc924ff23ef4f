/* Which brokers are to found a cluster together: "1=db1:7412,2=db2:7412,3=[::1]:7412", as --join has it. Plain data, by broker number. */
#ifndef CAIRN_SERVER_JOIN_H
#define CAIRN_SERVER_JOIN_H

#include <stdbool.h>
#include <stdint.h>

#include "server/address.h"

#define JOIN_MAX 7u /* as many as group 0 may have voters */

struct join_broker {
  uint32_t broker;
  char address[ADDRESS_TEXT_SIZE];
};
struct join {
  uint32_t count;
  struct join_broker brokers[JOIN_MAX]; /* ascending */
};
/* Their numbers alone. */
struct join_ids {
  uint32_t count;
  uint32_t ids[JOIN_MAX];
};

/* NULL: fine. Else what is wrong with the text, in words. The empty text names nobody. */
const char *join_parse(const char *text, struct join *out_join);
/* Puts in one more, unless it is there; false when there are too many. */
bool join_add(struct join *join, uint32_t broker, const char *address);
/* Its place, or JOIN_MAX. */
uint32_t join_find(const struct join *join, uint32_t broker);
struct join_ids join_ids_of(const struct join *join);
bool join_ids_equal(const struct join_ids *a, const struct join_ids *b);

#endif
