#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/check.h"
#include "tests/sim/sim_cluster.h"

/* Brokers are restarted, and in the end each leads what the map has it first for, without anybody asking for that: in pretended time, so that
 * how long it takes can be judged, and with so many partitions that they do not all come at once. */

#define PARTITIONS 300u
#define VICTIM 1u /* the node */
#define AFTER_NS (30 * SIM_SECOND_NS)
#define BACK_NS (10 * SIM_SECOND_NS) /* a third of them, four of each of two brokers in a tenth of a second: some 1.3 s */

static void make_topic(void *context) {
  struct sim_cluster *cluster = context;
  const struct cairn_topic_options options = {.replicas = 3, .partitions = PARTITIONS};
  struct cairn_error error;
  int code = cairn_topic_create(sim_app_client(cluster->app), "t", &options, NULL, &error);
  CHECK_MSG(code == CAIRN_OK, "%s: %s", error.reason, error.message);
}

/* Who leads, by the partitions' own words. */
struct look {
  struct sim_cluster *cluster;
  uint32_t preferred[PARTITIONS];
  unsigned strays; /* partitions that another one leads than the map's first */
  unsigned led[SIM_CLUSTER_MAX + 1];
};

static void note_preferred(void *context, const struct cairn_partition *partition) {
  struct look *look = context;
  look->preferred[partition->partition] = partition->replicas[0];
}

static void count(void *context) {
  struct look *look = context;
  struct cairn_client *client = sim_app_client(look->cluster->app);
  struct cairn_error error;
  int code = cairn_topic_describe(client, "t", NULL, note_preferred, look, &error);
  CHECK_MSG(code == CAIRN_OK, "%s: %s", error.reason, error.message);
  look->strays = 0;
  for (unsigned broker = 0; broker <= SIM_CLUSTER_MAX; broker++) look->led[broker] = 0;
  for (uint32_t partition = 0; partition < PARTITIONS; partition++) {
    struct cairn_partition_state state;
    code = cairn_partition_describe(client, "t", partition, &state, &error);
    CHECK_MSG(code == CAIRN_OK, "%s: %s", error.reason, error.message);
    look->led[state.leader_id]++;
    look->strays += state.leader_id != look->preferred[partition];
  }
}

static struct look look_at(struct sim_cluster *cluster) {
  struct look look = {.cluster = cluster};
  sim_cluster_say(cluster, count, &look);
  return look;
}

static void set_up(struct sim_cluster *cluster, bool on) {
  struct options options;
  options_init(&options);
  options.lanes = 1;
  options.journal_bytes = 8u << 20;
  options.journal_file_bytes = 1u << 20;
  options.preferred_leaders = on ? PREFERRED_LEADERS_ON : PREFERRED_LEADERS_OFF;
  options.preferred_leaders_after_ms = AFTER_NS / 1000000;
  sim_cluster_init(cluster, 3, &options, 60000);
  sim_cluster_start_all(cluster);
  sim_cluster_say(cluster, make_topic, cluster);
  sim_cluster_pass(cluster, 2 * AFTER_NS);
}

static void restart(struct sim_cluster *cluster) {
  sim_cluster_stop(cluster, VICTIM);
  sim_cluster_pass(cluster, 5 * SIM_SECOND_NS);
  assert_int_equal(look_at(cluster).led[VICTIM + 1], 0);
  sim_cluster_start(cluster, VICTIM);
}

static void leaders_come_back_after_a_restart(void **state) {
  (void)state;
  struct sim_cluster cluster;
  set_up(&cluster, true);
  struct look before = look_at(&cluster);
  assert_int_equal(before.strays, 0);

  restart(&cluster);
  sim_cluster_pass(&cluster, AFTER_NS / 2);
  assert_int_equal(look_at(&cluster).led[VICTIM + 1], 0);
  sim_cluster_pass(&cluster, AFTER_NS / 2 + BACK_NS);

  struct look after = look_at(&cluster);
  printf("    %u, %u and %u partitions are led by the three, %u not by the first\n", after.led[1], after.led[2], after.led[3],
         after.strays);
  assert_int_equal(after.strays, 0);
  assert_int_equal(after.led[VICTIM + 1], PARTITIONS / 3);
  sim_cluster_deinit(&cluster);
}

static void leaders_stay_where_they_are_if_nobody_wants_them_back(void **state) {
  (void)state;
  struct sim_cluster cluster;
  set_up(&cluster, false);

  restart(&cluster);
  sim_cluster_pass(&cluster, 10 * AFTER_NS);

  assert_int_equal(look_at(&cluster).led[VICTIM + 1], 0);
  sim_cluster_deinit(&cluster);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(leaders_come_back_after_a_restart),
      cmocka_unit_test(leaders_stay_where_they_are_if_nobody_wants_them_back),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
