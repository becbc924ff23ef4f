/* A few machines with a broker each, one cluster, and one with an application: for tests that tell one story in pretended time. */
#ifndef CAIRN_TESTS_SIM_SIM_CLUSTER_H
#define CAIRN_TESTS_SIM_SIM_CLUSTER_H

#include "tests/sim/sim_app.h"
#include "tests/sim/sim_node.h"

#define SIM_CLUSTER_MAX 3u
#define SIM_SECOND_NS ((uint64_t)1000000000)

struct sim_cluster {
  struct sim *sim;
  struct sim_net *net;
  unsigned count;
  struct sim_node *nodes[SIM_CLUSTER_MAX];
  struct sim_app *app; /* knows all brokers */
  void (*what)(void *context);
  void *context;
  bool said;
};

/* `options` of each broker; addresses, numbers and --join are filled in. Nobody is up yet. The brokers' words go nowhere. */
void sim_cluster_init(struct sim_cluster *cluster, unsigned count, const struct options *options, uint32_t call_timeout_ms);
void sim_cluster_deinit(struct sim_cluster *cluster); /* stops all */

void sim_cluster_start_all(struct sim_cluster *cluster);
void sim_cluster_start(struct sim_cluster *cluster, unsigned node); /* and waits until it is up */
void sim_cluster_stop_all(struct sim_cluster *cluster);
void sim_cluster_stop(struct sim_cluster *cluster, unsigned node);
void sim_cluster_pass(struct sim_cluster *cluster, uint64_t ns); /* lets so much time go by */

/* Runs it on a thread of the application, until it returns; at most two days. */
void sim_cluster_say(struct sim_cluster *cluster, void (*what)(void *context), void *context);

#endif
