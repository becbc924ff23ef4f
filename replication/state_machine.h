/* What the owner of a group implements: the one shape of replicated state. Data partitions, the controller (group 0) and every later
 * owner are the same few functions to replication/, called on the group's lane, in log order.
 */
#ifndef CAIRN_REPLICATION_STATE_MACHINE_H
#define CAIRN_REPLICATION_STATE_MACHINE_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/status.h"
#include "log/entry.h"

struct state_machine_ops {
  /* A committed entry: deterministic, no clock, no chance, never fails. After a restart RECORDS entries come without payload. */
  void (*apply)(void *owner, const struct entry *entry);
  /* Appends the whole state, as of the last applied entry. */
  enum status (*snapshot)(void *owner, struct buffer *out);
  /* Replaces the state. Before the first apply; `state` may be empty: a new group. STATUS_CORRUPT: not what snapshot() wrote. */
  enum status (*restore)(void *owner, struct bytes state);
  /* The entries from index `from` on, none of which was applied, are gone from this replica's log. Called before the proposals among them are
   * answered, each STATUS_UNKNOWN_OUTCOME: another replica may still have such an entry, be elected, and commit it. May be NULL. */
  void (*cut)(void *owner, entry_index from);
  /* This replica became, or ceased to be, the leader. May be NULL. */
  void (*role_changed)(void *owner, bool leader, entry_term term);
};

struct state_machine {
  const struct state_machine_ops *ops;
  void *owner;
};

#endif
