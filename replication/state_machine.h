/* What the owner of a group implements: the one shape of replicated state. Data partitions, the controller (group 0) and every later
 * owner are the same few functions to replication/, called on the group's lane, in log order.
 *
 * An owner that decides against what it has proposed (the next sequence, a map with a change in flight) keeps two views: what is applied, and
 * what is proposed on top of it. The second one is worth something only while this replica leads in one term: role_changed() voids it.
 * No apply() of another leader's entry comes before that.
 */
#ifndef CAIRN_REPLICATION_STATE_MACHINE_H
#define CAIRN_REPLICATION_STATE_MACHINE_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/status.h"
#include "log/entry.h"
#include "log/log.h"
#include "replication/raft_config.h"

struct state_machine_ops {
  /* A committed entry: deterministic, no clock, no chance, never fails. RECORDS entries come without payload after a restart, and
   * on replicas that do not lead. */
  void (*apply)(void *owner, const struct entry *entry);
  /* Appends the whole state, as of the last applied entry. */
  enum status (*snapshot)(void *owner, struct buffer *out);
  /* Replaces the state. Before the first apply, or after replaced(): then the disk still has the state before, and a crash brings it back
   * until installed(). `state` may be empty: a new group. STATUS_CORRUPT: not what snapshot() wrote. */
  enum status (*restore)(void *owner, struct bytes state);
  /* This replica began to lead, or ceased to (everything that was proposed and is not applied is void from here on), or another leader is
   * known in `term` (broker 0: none is known). A leadership that ends and one that begins are two calls. May be NULL. */
  void (*role_changed)(void *owner, bool leads, entry_term term, const struct replica_id *leader);
  /* A leadership that was being handed over stays here after all: what was refused for that may be asked for again. May be NULL. */
  void (*stays)(void *owner);
  /* A snapshot has come in: `log` is the group's from now on, the one before is not to be touched any more. restore() follows with a state that
   * is ahead of everything applied here; what was applied between is never told entry by entry. May be NULL. */
  void (*replaced)(void *owner, struct log *log);
  /* After such a restore(): the log and the state are this replica's for good, on its disk, whatever happens. What the state says is acted upon
   * from here on, and not in restore(). Nothing is applied between the two, and no snapshot taken; roles may change. It does not come
   * where the disk fails or the lane stops before. May be NULL: for who acts on nothing. */
  void (*installed)(void *owner);
  /* What is applied makes other logs come and go. None of their frames may be in the journal before the entry that says so: an entry is
   * applied only when it is durable here too, as long as anything becomes durable here. The others: as soon as a majority has it. For a
   * state that comes as a whole there is installed(). */
  bool makes_logs;
};

struct state_machine {
  const struct state_machine_ops *ops;
  void *owner;
};

#endif
