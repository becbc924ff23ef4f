#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "tests/sim/sim_cluster.h"

/* A year in which nobody appends (in the suite a month), and then the same batches once more: what a partition remembers does not hang on time.
 * Once with brokers that are up all the while, once with brokers that are down. Beats and checkpoints go every ten minutes, so that it is short. */

#define BATCHES 5u
#define RECORDS 3u
#define DAY_NS (24 * 3600 * SIM_SECOND_NS)
#define DAYS 30 /* in the suite; TEST_DAYS=365 */
#define TEN_MINUTES_MS (10u * 60 * 1000)

struct year {
  struct sim_cluster cluster;
  int64_t offsets[BATCHES];
};

static void year_init(struct year *year, unsigned nodes) {
  struct options options;
  options_init(&options);
  options.heartbeat_ms = options.checkpoint_interval_ms = options.retention_check_interval_ms = TEN_MINUTES_MS;
  options.election_timeout_ms = 10 * TEN_MINUTES_MS;
  options.journal_bytes = 8u << 20;
  options.journal_file_bytes = 1u << 20;
  sim_cluster_init(&year->cluster, nodes, &options, 24u * 3600 * 1000);
}

static void let_a_year_pass(struct year *year) {
  const char *days = getenv("TEST_DAYS");
  sim_cluster_pass(&year->cluster, (days != NULL ? strtoull(days, NULL, 10) : DAYS) * DAY_NS);
}

/* ---- What the application does ---- */

static struct cairn_appended append_batch(struct year *year, unsigned i) {
  struct cairn_message messages[RECORDS];
  char values[RECORDS][32];
  for (unsigned k = 0; k < RECORDS; k++) {
    snprintf(values[k], sizeof values[k], "record %u of batch %u", k, i);
    messages[k] = (struct cairn_message){.value = {.data = values[k], .size = strlen(values[k])}};
  }
  const struct cairn_append_options options = {.producer = "who sleeps long", .first_sequence = (uint64_t)i * RECORDS};
  struct cairn_appended appended;
  struct cairn_error error;
  int code = cairn_append(sim_app_client(year->cluster.app), "t", 0, messages, RECORDS, &options, &appended, &error);
  CHECK_MSG(code == CAIRN_OK, "batch %u: %s: %s", i, error.reason, error.message);
  return appended;
}

static void append_all(void *context) {
  struct year *year = context;
  struct cairn_error error;
  const struct cairn_topic_options options = {.replicas = year->cluster.count, .partitions = 1};
  int code = cairn_topic_create(sim_app_client(year->cluster.app), "t", &options, NULL, &error);
  CHECK_MSG(code == CAIRN_OK, "%s: %s", error.reason, error.message);
  for (unsigned i = 0; i < BATCHES; i++) {
    struct cairn_appended appended = append_batch(year, i);
    CHECK(!appended.duplicate);
    year->offsets[i] = appended.base_offset;
  }
}

/* All are known, at the offsets of the first time. */
static void append_all_again(void *context) {
  struct year *year = context;
  for (unsigned i = 0; i < BATCHES; i++) {
    struct cairn_appended appended = append_batch(year, i);
    CHECK_MSG(appended.duplicate, "batch %u is there a second time", i);
    CHECK(appended.base_offset == year->offsets[i]);
  }
}

/* And the next one is the next one. */
static void append_next(void *context) {
  struct year *year = context;
  struct cairn_appended appended = append_batch(year, BATCHES);
  CHECK(!appended.duplicate && appended.base_offset == (int64_t)(BATCHES * RECORDS));
}

static void a_year_up_and_a_year_down(unsigned nodes) {
  struct year year = {0};
  year_init(&year, nodes);
  sim_cluster_start_all(&year.cluster);
  sim_cluster_say(&year.cluster, append_all, &year);

  let_a_year_pass(&year);
  sim_cluster_say(&year.cluster, append_all_again, &year);
  sim_cluster_stop_all(&year.cluster);
  let_a_year_pass(&year);
  sim_cluster_start_all(&year.cluster);
  sim_cluster_say(&year.cluster, append_all_again, &year);
  sim_cluster_say(&year.cluster, append_next, &year);

  sim_cluster_deinit(&year.cluster);
}

static void of_one_broker_a_year_changes_nothing(void **state) {
  (void)state;
  a_year_up_and_a_year_down(1);
}

static void of_three_brokers_a_year_changes_nothing(void **state) {
  (void)state;
  a_year_up_and_a_year_down(3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(of_one_broker_a_year_changes_nothing),
      cmocka_unit_test(of_three_brokers_a_year_changes_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
