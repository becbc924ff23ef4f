/* One broker, put together from a world: recovery, lanes, group 0, the partitions of the map, the services. main() and the simulator
 * start it the same way and it cannot tell them apart: time, disk, tables, network and chance come through the world's doors.
 *
 *   node_start: found, or recover; in between ask the others whether this directory is the newest ─> peers ─> lanes ─> group 0 ─> partitions ─> serve (LOADING) ─> serve, register in the map
 *   node_stop:  refuse ─> end what waits ─> finish what is in work ─> stop peers and lanes ─> checkpoint ─> free
 *
 * They and node_reload() run outside every loop, one after the other, and block.
 */
#ifndef CAIRN_SERVER_NODE_H
#define CAIRN_SERVER_NODE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/world.h"
#include "server/options.h"

struct node;

/* Borrows world and options until node_stop(); of these only what is reloadable may change meanwhile, followed by node_reload(). The caller has locked the data directory and has an rpc door in the world, and one for peers if
 * the options have peer_listen. On failure nothing is left behind, and `out_problem` says what happened, why, and what to do. A broker that is to
 * found a cluster waits for the others, and one whose earlier process others hear still waits for its silence: `cancelled`, if not NULL, ends that with
 * STATUS_CANCELLED. */
enum status node_start(struct world *world, const struct options *options, const atomic_bool *cancelled, struct node **out_node,
                       struct buffer *out_problem) MUST_CHECK;

/* So many files of the data directory may be open at once. */
uint64_t node_files_max(const struct options *options);

/* The options have other values of what is reloadable: from now on they hold. */
void node_reload(struct node *node);

/* Gives open calls at most `drain_ms` of the options. `checkpoint`: take one at the end, so that the next start has nothing to replay.
 * NULL is fine. */
void node_stop(struct node *node, bool checkpoint);

/* This process is to be stopped, without a checkpoint: another broker has seen more of the data directory than it has, and nothing that it says
 * counts there; or the cluster is at a feature level that it cannot. */
struct node_watch {
  void (*must_end)(void *context); /* @any-thread, perhaps at once, perhaps twice */
  void *context;
};
/* Once. Copied. */
void node_watch(struct node *node, const struct node_watch *watch);
/* Why, and what to do: STATUS_DIRECTORY_SUPERSEDED, STATUS_FEATURE_LEVEL. STATUS_OK: it may go on. */
enum status node_must_end(const struct node *node, struct buffer *out_problem) MUST_CHECK;

struct node_info {
  const char *address; /* HOST:PORT it listens on */
  const char *advertised;
  uint32_t broker_id;
  uint64_t recovered_ms;
  size_t partitions;
};
/* Borrowed from the node. */
struct node_info node_info(const struct node *node);

#endif
