/* The brokers of the cluster, as this one lives with them: their addresses go to whoever needs them, and they learn of this one.
 *
 *   the map's brokers (until it has them: the founders) ──> peers: where the wires go
 *                                                       └─> routing: where clients are sent
 *   who leads group 0 ──> routing: who knows which topics there are
 *   this broker, once to each leader of group 0 (introduction.h), and while the map says something else of it, or nothing ──> that one, or
 *     whoever may be it, again and again: Register
 *
 * On lane 0, except new, free and what the transport calls. A broker without peers has none of these wires, and nobody else to tell.
 */
#ifndef CAIRN_SERVER_BROKERS_H
#define CAIRN_SERVER_BROKERS_H

#include "base/world.h"
#include "controller/controller.h"
#include "log/lineage.h"
#include "log/log_set.h"
#include "replication/peers.h"
#include "server/routing.h"

struct brokers;

struct brokers *brokers_new(struct world *world, const struct log_identity *identity); /* keeps both */
void brokers_free(struct brokers *brokers); /* PRE: not started, or stopped. NULL is fine */

/* A row for peers_options.more: /cairn.internal.v1.Peer/Register. LOADING until brokers_start(). */
struct rpc_handler brokers_register_handler(struct brokers *brokers);

struct brokers_wiring {
  struct loop *loop; /* lane 0's */
  struct controller *controller;
  struct routing *routing;
  struct peers *peers;           /* NULL: there are none */
  struct map_broker self;        /* as the map is to have it */
  const struct lineage *lineage; /* of this broker's directory; kept. NULL where there are no others */
  /* Whoever was to write it has seen more of this directory than this process has. `changed_context`; NULL */
  void (*superseded)(void *context, const char *text);
  /* The cluster is at a feature level that this broker cannot, by whoever was to write it. `changed_context`; NULL */
  void (*outgrown)(void *context, const char *text);
  void (*changed)(
      void *context); /* the map has a broker otherwise than before, group 0 is led by another one, or brokers_refused(); NULL */
  void *changed_context;
};
/* Takes what the map has, follows it from now on, and registers: at each start, whenever another broker leads group 0, and when the feature level
 * has risen, for that one's map may lack what ours has (introduction.h). `told`, once and perhaps at once: OK, also when it is another broker that has to
 * write it; else why this one could not write it, which is tried again. A restart of a broker that the map knows writes nothing. */
void brokers_start(struct brokers *brokers, const struct brokers_wiring *wiring, void (*told)(void *context, enum status status),
                   void *context);
/* @any-thread. The cluster has another directory of this broker, or has let it go, and told it so: it is no part of it any more, for good. */
bool brokers_refused(const struct brokers *brokers);
/* Ends what is under way; then `done`, which may be at once. */
void brokers_stop(struct brokers *brokers, void (*done)(void *context), void *context);

#endif
