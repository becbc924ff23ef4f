/* Requests that change nothing and take their lane for a while: a topic of ten thousand partitions takes it for a millisecond.
 *
 * A thousand of them, one behind the other, would hold up everybody else's appends for a second. So a lane does one of them in a turn, and
 * what came meanwhile is done before the next. Owned by the node, one for each lane; everything runs there.
 */
#ifndef CAIRN_SERVER_LOOKS_H
#define CAIRN_SERVER_LOOKS_H

#include <stdbool.h>

#include "base/list.h"
#include "base/loop.h"

struct look {
  struct list_node node;
  void (*run)(struct look *look);
};

struct looks {
  struct loop *loop;
  struct list waiting; /* in the order in which they came; bounded by the calls that may be open */
  struct task task;
  bool posted;
};

void looks_init(struct looks *looks, struct loop *loop);
/* Runs it soon, behind those that wait already. */
void looks_add(struct looks *looks, struct look *look);

#endif
