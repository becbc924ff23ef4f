#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/trace.h"
#include "security/random.h"
#include "tests/sim/sim_app.h"
#include "tests/sim/sim_node.h"

/* A year in which nobody appends (in the suite a month), and then the same batches once more: what a partition remembers does not hang on time.
 * Once with brokers that are up all the while, once with brokers that are down. Beats and checkpoints go every ten minutes, so that it is short. */

#define NODES_MAX 3u
#define BATCHES 5u
#define RECORDS 3u
#define SECOND_NS ((uint64_t)1000000000)
#define DAY_NS (24 * 3600 * SECOND_NS)
#define DAYS 30 /* in the suite; TEST_DAYS=365 */
#define TEN_MINUTES_MS (10u * 60 * 1000)

struct year {
  struct sim *sim;
  struct sim_net *net;
  unsigned count;
  struct sim_node *nodes[NODES_MAX];
  struct sim_app *app;
  int64_t offsets[BATCHES];
  bool said;
};

static void drop_line(void *context, const char *line) {
  (void)context;
  (void)line;
}

static void year_init(struct year *year, unsigned count) {
  *year = (struct year){.sim = sim_new(count), .count = count};
  assert_int_equal(random_start(), STATUS_OK);
  random_use_seed(count);
  trace_set_sink(drop_line, NULL);
  year->net = sim_net_new(year->sim);
  const struct sim_rpc_options rpc = {.window_bytes = 65536, .release_ns_max = 1000000};
  char servers[128] = "";
  for (unsigned i = 0; i < count; i++) {
    char host[16];
    snprintf(host, sizeof host, "10.0.0.%u", i + 1);
    struct sim_node_options options = {.host = host, .disk_bytes = 256u << 20, .rpc = rpc};
    options_init(&options.options);
    options.options.insecure = true;
    options.options.broker_id = i + 1;
    options.options.heartbeat_ms = options.options.checkpoint_interval_ms = options.options.retention_check_interval_ms =
        TEN_MINUTES_MS;
    options.options.election_timeout_ms = 10 * TEN_MINUTES_MS;
    options.options.journal_bytes = 8u << 20;
    options.options.journal_file_bytes = 1u << 20;
    if (count > 1) {
      snprintf(options.options.peer_listen, sizeof options.options.peer_listen, "%s:7412", host);
      snprintf(options.options.join, sizeof options.options.join, "1=10.0.0.1:7412,2=10.0.0.2:7412,3=10.0.0.3:7412");
    }
    year->nodes[i] = sim_node_new(year->sim, year->net, &options);
    size_t at = strlen(servers);
    snprintf(servers + at, sizeof servers - at, "%s%s", i > 0 ? "," : "", sim_node_address(year->nodes[i]));
  }
  const struct cairn_client_options client = {.servers = servers, .call_timeout_ms = 24u * 3600 * 1000};
  year->app = sim_app_new(year->sim, year->net, "10.0.1.1", &client, &rpc);
}

static bool all_up(void *context) {
  const struct year *year = context;
  for (unsigned i = 0; i < year->count; i++) {
    if (sim_node_stage(year->nodes[i]) != SIM_NODE_UP) return false;
  }
  return true;
}

static bool all_quiet(void *context) {
  const struct year *year = context;
  for (unsigned i = 0; i < year->count; i++) {
    if (!sim_node_quiet(year->nodes[i])) return false;
  }
  return true;
}

static bool has_said(void *context) { return ((const struct year *)context)->said; }

static void until(struct year *year, bool (*reached)(void *context), uint64_t for_ns) {
  assert_true(sim_run_until(year->sim, reached, year, sim_now_ns(year->sim) + for_ns));
}

static void start_all(struct year *year) {
  for (unsigned i = 0; i < year->count; i++) sim_node_start(year->nodes[i]);
  until(year, all_up, 24 * 3600 * SECOND_NS);
}

static void stop_all(struct year *year) {
  for (unsigned i = 0; i < year->count; i++) sim_node_stop(year->nodes[i]);
  until(year, all_quiet, 24 * 3600 * SECOND_NS);
}

static bool never(void *context) {
  (void)context;
  return false;
}

static void let_a_year_pass(struct year *year) {
  const char *days = getenv("TEST_DAYS");
  uint64_t idle_ns = (days != NULL ? strtoull(days, NULL, 10) : DAYS) * DAY_NS;
  sim_run_until(year->sim, never, NULL, sim_now_ns(year->sim) + idle_ns);
}

static void year_deinit(struct year *year) {
  stop_all(year);
  sim_app_free(year->app);
  for (unsigned i = 0; i < year->count; i++) sim_node_free(year->nodes[i]);
  sim_net_free(year->net);
  sim_free(year->sim);
  trace_set_sink(NULL, NULL);
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
  int code = cairn_append(sim_app_client(year->app), "t", 0, messages, RECORDS, &options, &appended, &error);
  CHECK_MSG(code == CAIRN_OK, "batch %u: %s: %s", i, error.reason, error.message);
  return appended;
}

static void append_all(void *context) {
  struct year *year = context;
  struct cairn_error error;
  const struct cairn_topic_options options = {.replicas = year->count, .partitions = 1};
  int code = cairn_topic_create(sim_app_client(year->app), "t", &options, NULL, &error);
  CHECK_MSG(code == CAIRN_OK, "%s: %s", error.reason, error.message);
  for (unsigned i = 0; i < BATCHES; i++) {
    struct cairn_appended appended = append_batch(year, i);
    CHECK(!appended.duplicate);
    year->offsets[i] = appended.base_offset;
  }
  year->said = true;
}

/* All are known, at the offsets of the first time. */
static void append_all_again(void *context) {
  struct year *year = context;
  for (unsigned i = 0; i < BATCHES; i++) {
    struct cairn_appended appended = append_batch(year, i);
    CHECK_MSG(appended.duplicate, "batch %u is there a second time", i);
    CHECK(appended.base_offset == year->offsets[i]);
  }
  year->said = true;
}

/* And the next one is the next one. */
static void append_next(void *context) {
  struct year *year = context;
  struct cairn_appended appended = append_batch(year, BATCHES);
  CHECK(!appended.duplicate && appended.base_offset == (int64_t)(BATCHES * RECORDS));
  year->said = true;
}

static void say(struct year *year, void (*what)(void *year)) {
  year->said = false;
  sim_app_thread(year->app, "app", what, year);
  until(year, has_said, 48 * 3600 * SECOND_NS);
}

static void a_year_up_and_a_year_down(unsigned nodes) {
  struct year year;
  year_init(&year, nodes);
  start_all(&year);
  say(&year, append_all);

  let_a_year_pass(&year);
  say(&year, append_all_again);
  stop_all(&year);
  let_a_year_pass(&year);
  start_all(&year);
  say(&year, append_all_again);
  say(&year, append_next);

  year_deinit(&year);
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
