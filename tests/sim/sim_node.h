/* A machine with one broker on it: its disk, its address, and the processes that come and go there. Each process does what
 * cairnd's main() does: looks at the directory, locks it, node_start(), waits until it is told to stop, node_stop().
 *
 * A process that was killed unwinds by itself, while the next one may run already: nothing it does reaches disk or network.
 *
 *   DOWN ──start──> STARTING ──> UP ──stop──> STOPPING ──> DOWN
 *     ^                 └─────────┴──────────────┴─ kill, power cut, or a start that failed
 */
#ifndef CAIRN_TESTS_SIM_SIM_NODE_H
#define CAIRN_TESTS_SIM_SIM_NODE_H

#include "server/options.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_rpc.h"
#include "tests/sim/sim_world.h"

#define SIM_PROBLEM_SIZE 512u

struct sim_node;

enum sim_node_stage { SIM_NODE_DOWN, SIM_NODE_STARTING, SIM_NODE_UP, SIM_NODE_STOPPING };

struct sim_node_options {
  const char *host; /* its address, "10.0.0.1" */
  uint64_t disk_bytes;
  struct options options; /* listen is filled in */
  struct sim_rpc_options rpc;
};

#define SIM_NODE_PORT 7411u

struct sim_node *sim_node_new(struct sim *sim, struct sim_net *net, const struct sim_node_options *options);
void sim_node_free(struct sim_node *node); /* PRE: DOWN, and sim_node_quiet() */

void sim_node_start(struct sim_node *node); /* PRE: DOWN */
void sim_node_stop(struct sim_node *node);  /* SIGTERM. PRE: UP */
void sim_node_kill(struct sim_node *node);  /* kill -9; fine when DOWN */
/* The same, and the machine with it: what was not synced is lost, in one of the ways of sim_disk.h. */
void sim_node_cut_power(struct sim_node *node, enum sim_power_cut mode, uint64_t salt);
/* The machine gets another, empty disk. PRE: DOWN */
void sim_node_erase(struct sim_node *node);
/* The machine gets another disk, which has what that one has. PRE: DOWN */
void sim_node_put(struct sim_node *node, const struct sim_disk *disk);
void sim_node_pause(struct sim_node *node);
void sim_node_resume(struct sim_node *node);
void sim_node_set_rack(struct sim_node *node, const char *rack);                   /* of the processes to come */
void sim_node_set_clock(struct sim_node *node, int64_t jump_ms, int32_t rate_ppm); /* also for the processes to come */

/* The next process can feature levels up to this one (0: all). PRE: DOWN */
void sim_node_set_feature_level_most(struct sim_node *node, uint32_t level);

enum sim_node_stage sim_node_stage(const struct sim_node *node);
/* Also true when the disk's own crash point has killed it and nobody has noticed yet. */
bool sim_node_died(const struct sim_node *node);
const char *sim_node_problem(const struct sim_node *node); /* of the last start that failed, "" if none did */
enum status sim_node_status(const struct sim_node *node);  /* of the last start */
bool sim_node_paused(const struct sim_node *node);
const struct options *sim_node_settings(const struct sim_node *node);
struct sim_disk *sim_node_disk(const struct sim_node *node);
struct sim_host *sim_node_host(const struct sim_node *node);
const char *sim_node_address(const struct sim_node *node); /* for clients */
unsigned sim_node_starts(const struct sim_node *node);
/* No process of it is left, not even one that unwinds. */
bool sim_node_quiet(const struct sim_node *node);

#endif
