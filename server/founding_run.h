/* Founding a cluster with others, done: asks and answers over the peers' door until the rule (founding.h) has decided, and keeps what it
 * decides in the data directory. What node_recover() calls before it opens the logs when --join is given.
 *
 *   identity there ───────────────────────────────────────────> FOUNDING_RUN_IN_USE    (join only says where the others are)
 *   empty ──draft──> serve Meet on --peer-listen, ask everybody ─> FOUNDING_RUN_FOUNDED   (the identity is durable)
 *                                                              └> FOUNDING_RUN_ENTERS    (a cluster is there without this one)
 *
 * Blocks, outside every loop, for as long as the others let it wait; says now and then in a log line for whom. The port is free again
 * when it returns: the broker that runs serves meet_running_handler there, from which those that still wait learn.
 */
#ifndef CAIRN_SERVER_FOUNDING_RUN_H
#define CAIRN_SERVER_FOUNDING_RUN_H

#include <stdatomic.h>

#include "base/world.h"
#include "log/log_set.h"
#include "server/options.h"

enum founding_outcome { FOUNDING_RUN_IN_USE, FOUNDING_RUN_FOUNDED, FOUNDING_RUN_ENTERS };

struct founding_result {
  enum founding_outcome outcome;
  /* IN_USE: empty, log_set_open() will tell. FOUNDED: what stands in the directory now. ENTERS: not written anywhere. Number and incarnation of this directory, and the cluster and founders that it is to join: the
   * `format` of log_set_open() once it may. */
  struct log_identity identity;
};

/* PRE: the directory is locked, world->peers is there and serves nobody, options were checked and have join. `cancelled`, if not NULL, is
 * looked at a few times a second: STATUS_CANCELLED. On any failure `out_problem` says what happened, why and what to do, and nothing
 * was written but perhaps the draft: the next start goes on where this one stopped. */
enum status founding_run(struct world *world, const struct options *options, const atomic_bool *cancelled,
                         struct founding_result *out_result, struct buffer *out_problem) MUST_CHECK;

#endif
