#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "tests/sim/sim_cluster.h"

/* A broker that was away while all its partitions were trimmed takes log and state of each of them from its leader, a few at a time. Nobody waits
 * longer than for those before him: the time is pretended, so it can be judged. */

#define PARTITIONS 60u
#define LATE 2u                           /* the node that was away */
#define CAUGHT_UP_NS (10 * SIM_SECOND_NS) /* a second or so; waiting for the next offer each time it took over a minute */

static void make_topic(void *context) {
  struct sim_cluster *cluster = context;
  const struct cairn_topic_options options = {.replicas = 3, .partitions = PARTITIONS};
  struct cairn_error error;
  int code = cairn_topic_create(sim_app_client(cluster->app), "t", &options, NULL, &error);
  CHECK_MSG(code == CAIRN_OK, "%s: %s", error.reason, error.message);
}

static void append_and_trim(void *context) {
  struct sim_cluster *cluster = context;
  struct cairn_client *client = sim_app_client(cluster->app);
  for (uint32_t partition = 0; partition < PARTITIONS; partition++) {
    for (int i = 0; i < 3; i++) {
      const struct cairn_message message = {.value = {.data = "value", .size = 5}};
      const struct cairn_append_options options = {.producer = "p", .first_sequence = (uint64_t)i};
      struct cairn_error error;
      int code = cairn_append(client, "t", partition, &message, 1, &options, NULL, &error);
      CHECK_MSG(code == CAIRN_OK, "%s: %s", error.reason, error.message);
    }
    struct cairn_error error;
    int code = cairn_trim(client, "t", partition, 2, NULL, &error);
    CHECK_MSG(code == CAIRN_OK, "%s: %s", error.reason, error.message);
  }
}

struct look {
  struct sim_app *app; /* knows the late one only */
  bool everywhere;
};

static void read_each(void *context) {
  struct look *look = context;
  for (uint32_t partition = 0; partition < PARTITIONS; partition++) {
    for (bool there = false; !there; sim_app_sleep(look->app, 10000000)) {
      struct cairn_error error;
      struct cairn_records *records = NULL;
      const struct cairn_read_options options = {.max_bytes = 65536};
      there = cairn_read(sim_app_client(look->app), "t", partition, 2, &options, &records, &error) == CAIRN_OK &&
              cairn_records_high_watermark(records) == 3;
      cairn_records_free(records);
    }
  }
  look->everywhere = true;
}

static bool is_everywhere(void *context) { return ((const struct look *)context)->everywhere; }

static void all_partitions_of_one_that_was_away_are_soon_there(void **state) {
  struct sim_cluster cluster;
  struct options options;
  (void)state;
  options_init(&options);
  options.lanes = 1;
  options.checkpoint_interval_ms = 100;
  options.journal_bytes = 8u << 20;
  options.journal_file_bytes = 1u << 20;
  sim_cluster_init(&cluster, 3, &options, 60000);
  sim_cluster_start_all(&cluster);
  sim_cluster_say(&cluster, make_topic, &cluster);
  sim_cluster_pass(&cluster, 5 * SIM_SECOND_NS);
  sim_cluster_stop(&cluster, LATE);
  sim_cluster_say(&cluster, append_and_trim, &cluster);
  sim_cluster_pass(&cluster, 5 * SIM_SECOND_NS); /* what was trimmed is gone from the leaders' logs */
  const struct cairn_client_options client = {.servers = sim_node_address(cluster.nodes[LATE]), .call_timeout_ms = 60000};
  const struct sim_rpc_options rpc = {.window_bytes = 65536, .release_ns_max = 1000000};
  struct look look = {.app = sim_app_new(cluster.sim, cluster.net, "10.0.1.2", &client, &rpc)};

  sim_cluster_start(&cluster, LATE);
  uint64_t started_ns = sim_now_ns(cluster.sim);
  sim_app_thread(look.app, "look", read_each, &look);
  bool in_time = sim_run_until(cluster.sim, is_everywhere, &look, started_ns + 300 * SIM_SECOND_NS);
  double seconds = (double)(sim_now_ns(cluster.sim) - started_ns) / 1e9;

  printf("    %u partitions are there after %.2f s\n", PARTITIONS, seconds);
  assert_true(in_time);
  assert_true(sim_now_ns(cluster.sim) - started_ns < CAUGHT_UP_NS);
  sim_app_free(look.app);
  sim_cluster_deinit(&cluster);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(all_partitions_of_one_that_was_away_are_soon_there),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
