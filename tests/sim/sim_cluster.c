#include "tests/sim/sim_cluster.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/trace.h"
#include "security/random.h"

#define DAY_NS (24 * 3600 * SIM_SECOND_NS)

static void drop_line(void *context, const char *line) {
  (void)context;
  (void)line;
}

static void name_broker(struct options *options, unsigned number, unsigned count) {
  options->insecure = true;
  options->broker_id = number;
  if (count == 1) return;
  CHECK(count == 3);
  snprintf(options->peer_listen, sizeof options->peer_listen, "10.0.0.%u:7412", number);
  snprintf(options->join, sizeof options->join, "1=10.0.0.1:7412,2=10.0.0.2:7412,3=10.0.0.3:7412");
}

void sim_cluster_init(struct sim_cluster *cluster, unsigned count, const struct options *options, uint32_t call_timeout_ms) {
  *cluster = (struct sim_cluster){.sim = sim_new(count), .count = count};
  CHECK(random_start() == STATUS_OK);
  random_use_seed(count);
  trace_set_sink(drop_line, NULL);
  cluster->net = sim_net_new(cluster->sim);
  const struct sim_rpc_options rpc = {.window_bytes = 65536, .release_ns_max = 1000000};
  char servers[128] = "";
  for (unsigned i = 0; i < count; i++) {
    char host[16];
    snprintf(host, sizeof host, "10.0.0.%hhu", (uint8_t)(i + 1));
    struct sim_node_options node = {.host = host, .disk_bytes = 256u << 20, .options = *options, .rpc = rpc};
    name_broker(&node.options, i + 1, count);
    cluster->nodes[i] = sim_node_new(cluster->sim, cluster->net, &node);
    size_t at = strlen(servers);
    snprintf(servers + at, sizeof servers - at, "%s%s", i > 0 ? "," : "", sim_node_address(cluster->nodes[i]));
  }
  const struct cairn_client_options client = {.servers = servers, .call_timeout_ms = call_timeout_ms};
  cluster->app = sim_app_new(cluster->sim, cluster->net, "10.0.1.1", &client, &rpc);
}

/* ---- Waiting ---- */

static bool all_up(void *context) {
  const struct sim_cluster *cluster = context;
  for (unsigned i = 0; i < cluster->count; i++) {
    if (sim_node_stage(cluster->nodes[i]) != SIM_NODE_UP) return false;
  }
  return true;
}

static bool all_quiet(void *context) {
  const struct sim_cluster *cluster = context;
  for (unsigned i = 0; i < cluster->count; i++) {
    if (!sim_node_quiet(cluster->nodes[i])) return false;
  }
  return true;
}

static bool is_up(void *node) { return sim_node_stage(node) == SIM_NODE_UP; }
static bool is_quiet(void *node) { return sim_node_quiet(node); }
static bool has_said(void *context) { return ((const struct sim_cluster *)context)->said; }

static bool never(void *context) {
  (void)context;
  return false;
}

static void until(struct sim_cluster *cluster, bool (*reached)(void *context), void *context) {
  bool in_time = sim_run_until(cluster->sim, reached, context, sim_now_ns(cluster->sim) + 2 * DAY_NS);
  CHECK_MSG(in_time, "it does not come to it in two days");
}

/* ---- Telling ---- */

void sim_cluster_start_all(struct sim_cluster *cluster) {
  for (unsigned i = 0; i < cluster->count; i++) sim_node_start(cluster->nodes[i]);
  until(cluster, all_up, cluster);
}

void sim_cluster_start(struct sim_cluster *cluster, unsigned node) {
  sim_node_start(cluster->nodes[node]);
  until(cluster, is_up, cluster->nodes[node]);
}

void sim_cluster_stop_all(struct sim_cluster *cluster) {
  for (unsigned i = 0; i < cluster->count; i++) {
    if (sim_node_stage(cluster->nodes[i]) == SIM_NODE_UP) sim_node_stop(cluster->nodes[i]);
  }
  until(cluster, all_quiet, cluster);
}

void sim_cluster_stop(struct sim_cluster *cluster, unsigned node) {
  sim_node_stop(cluster->nodes[node]);
  until(cluster, is_quiet, cluster->nodes[node]);
}

void sim_cluster_pass(struct sim_cluster *cluster, uint64_t ns) {
  sim_run_until(cluster->sim, never, NULL, sim_now_ns(cluster->sim) + ns);
}

static void run_thread(void *context) {
  struct sim_cluster *cluster = context;
  cluster->what(cluster->context);
  cluster->said = true;
}

void sim_cluster_say(struct sim_cluster *cluster, void (*what)(void *context), void *context) {
  cluster->said = false;
  cluster->what = what;
  cluster->context = context;
  sim_app_thread(cluster->app, "app", run_thread, cluster);
  until(cluster, has_said, cluster);
}

void sim_cluster_deinit(struct sim_cluster *cluster) {
  sim_cluster_stop_all(cluster);
  sim_app_free(cluster->app);
  for (unsigned i = 0; i < cluster->count; i++) sim_node_free(cluster->nodes[i]);
  sim_net_free(cluster->net);
  sim_free(cluster->sim);
  trace_set_sink(NULL, NULL);
}
