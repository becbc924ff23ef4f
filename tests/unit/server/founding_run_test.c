/* Founding on simulated machines: three and five brokers that are started, killed, cut off, lose their power, and whose directories are
 * emptied, at any time. Whatever happens, there is one cluster; and once nothing fails any more, everybody has found it.
 * TEST_SEED: where the rounds of chance begin. TEST_ROUNDS: how many of each kind, 40 unless given.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/trace.h"
#include "log/identity.h"
#include "security/random.h"
#include "server/founding_run.h"
#include "server/meet.h"
#include "tests/sim/sim_rpc.h"
#include "tests/sim/sim_world.h"

#define MACHINES_MAX 5u
#define SECOND ((uint64_t)1000000000)
#define DISK_BYTES (16u << 20)
#define ROUNDS 40u

struct machine;

/* One process, until it is taken apart. */
struct life {
  struct machine *machine;
  struct life *before; /* lives that still unwind */
  struct sim_world *world;
  struct account *account;
  struct founding_result result;
  struct log_identity identity; /* what it serves while it runs */
  enum status status;
  char problem[600];
  atomic_bool cancelled;
  bool decided, serving, over;
};

struct machine {
  struct cluster *cluster;
  struct sim_host *host;
  struct sim_disk *disks[16]; /* emptied: the next one */
  unsigned disk;
  struct options options;
  struct life *life;
};

struct cluster {
  struct sim *sim;
  struct sim_net *net;
  struct sim_random random;
  uint32_t count;
  struct machine machines[MACHINES_MAX];
};

/* ---- Processes ---- */

static void live(void *context) {
  struct life *life = context;
  struct world *world = sim_world_doors(life->world);
  struct buffer problem;
  buffer_init(&problem, sizeof life->problem - 1);
  life->status = founding_run(world, &life->machine->options, &life->cancelled, &life->result, &problem);
  if (problem.size > 0) memcpy(life->problem, problem.data, problem.size);
  buffer_deinit(&problem);
  if (life->status == STATUS_OK && life->result.outcome != FOUNDING_RUN_ENTERS) {
    life->status = identity_read(world->disk, &life->identity);
    struct rpc_serve_options serve = {.listen = life->machine->options.peer_listen,
                                      .handlers = &meet_running_handler,
                                      .handler_count = 1,
                                      .service = &life->identity,
                                      .message_bytes_max = MEET_BYTES_MAX,
                                      .memory_bytes_max = 1u << 20,
                                      .streams_max = 100,
                                      .calls_max = 100,
                                      .account = life->account};
    uint16_t port = 0;
    if (life->status == STATUS_OK) life->serving = rpc_serve(world->peers, &serve, &port) == STATUS_OK;
  }
  life->decided = true;
}

static struct sim_disk *disk_of(struct machine *machine) { return machine->disks[machine->disk]; }

static void start(struct machine *machine) {
  struct cluster *cluster = machine->cluster;
  struct life *life = NEW(struct life);
  life->machine = machine;
  life->before = machine->life;
  life->world = sim_world_new(cluster->sim, disk_of(machine), sim_host_name(machine->host));
  life->account = account_new(NULL, 1u << 20);
  atomic_init(&life->cancelled, false);
  sim_host_power(machine->host, true);
  sim_world_doors(life->world)->peers = sim_rpc_new(sim_world_process(life->world), cluster->net, machine->host, NULL);
  machine->life = life;
  sim_world_boot(life->world, live, life);
}

static bool is_up(const struct machine *machine) {
  return machine->life != NULL && !sim_world_process(machine->life->world)->dead;
}

static void stop(struct machine *machine) {
  if (is_up(machine)) sim_world_kill(machine->life->world);
}

static void cut_power(struct machine *machine, enum sim_power_cut mode, uint64_t salt) {
  sim_host_power(machine->host, false);
  stop(machine);
  sim_disk_power_cut(disk_of(machine), mode, salt);
}

static void empty(struct machine *machine) {
  stop(machine);
  machine->disk++;
  assert_true(machine->disk < 16);
  machine->disks[machine->disk] = sim_disk_new(machine->cluster->sim, sim_host_name(machine->host), DISK_BYTES);
}

static void set_up_machine(struct cluster *cluster, uint32_t i) {
  struct machine *machine = &cluster->machines[i];
  char name[SIM_HOST_NAME_SIZE];
  snprintf(name, sizeof name, "10.0.0.%u", i + 1);
  machine->cluster = cluster;
  machine->host = sim_host_new(cluster->net, name);
  machine->disks[0] = sim_disk_new(cluster->sim, name, DISK_BYTES);
  options_init(&machine->options);
  machine->options.broker_id = i + 1;
  machine->options.insecure = true;
  snprintf(machine->options.listen, sizeof machine->options.listen, "%s:7411", name);
  snprintf(machine->options.peer_listen, sizeof machine->options.peer_listen, "%s:7412", name);
  size_t at = 0;
  char *join = machine->options.join;
  for (uint32_t n = 1; n <= cluster->count; n++)
    at += (size_t)snprintf(join + at, sizeof machine->options.join - at, "%s%u=10.0.0.%u:7412", n == 1 ? "" : ",", n, n);
  struct buffer problem;
  buffer_init(&problem, 1000);
  assert_int_equal(options_check(&machine->options, &problem), STATUS_OK);
  buffer_deinit(&problem);
}

static struct cluster *cluster_new(uint64_t seed, uint32_t count) {
  struct cluster *cluster = NEW(struct cluster);
  random_use_seed(seed);
  trace_set_level(TRACE_ERROR);
  cluster->sim = sim_new(seed);
  cluster->net = sim_net_new(cluster->sim);
  cluster->count = count;
  sim_random_init(&cluster->random, seed, "founding");
  for (uint32_t i = 0; i < count; i++) set_up_machine(cluster, i);
  return cluster;
}

static bool is_over(void *context) { return sim_world_booted(((struct life *)context)->world); }

static void cluster_free(struct cluster *cluster) {
  for (uint32_t i = 0; i < cluster->count; i++) stop(&cluster->machines[i]);
  for (uint32_t i = 0; i < cluster->count; i++) {
    struct machine *machine = &cluster->machines[i];
    for (struct life *life = machine->life, *before; life != NULL; life = before) {
      before = life->before;
      assert_true(sim_run_until(cluster->sim, is_over, life, sim_now_ns(cluster->sim) + 60 * SECOND));
      if (life->serving) rpc_serve_stop(sim_world_doors(life->world)->peers, 0);
      sim_rpc_free(sim_world_doors(life->world)->peers);
      assert_int_equal(account_used(life->account), 0);
      account_free(life->account);
      sim_world_free(life->world);
      memory_free(life);
    }
    for (unsigned d = 0; d <= machine->disk; d++) sim_disk_free(machine->disks[d]);
  }
  sim_net_free(cluster->net);
  sim_free(cluster->sim);
  memory_free(cluster);
}

/* ---- What must hold ---- */

static void fail_at(uint64_t seed, const char *what) {
  print_error("to repeat: TEST_SEED=%lu TEST_ROUNDS=1 founding_run_test\n", (unsigned long)seed);
  fail_msg("%s", what);
}

/* What would be found there after a kill now; false: nothing. */
static bool look(struct machine *machine, struct log_identity *out_identity) {
  static const char *const paths[] = {"identity", "identity.copy"};
  for (size_t i = 0; i < 2; i++) {
    uint8_t bytes[IDENTITY_SIZE_MAX];
    uint64_t size = 0;
    if (!sim_disk_size(disk_of(machine), paths[i], &size) || size > sizeof bytes) continue;
    if (!sim_disk_peek(disk_of(machine), paths[i], 0, bytes, size)) continue;
    if (identity_decode(bytes_of(bytes, size), out_identity) == STATUS_OK) return true;
  }
  return false;
}

static void check(struct cluster *cluster, uint64_t seed) {
  struct log_identity first, found;
  bool any = false;
  for (uint32_t i = 0; i < cluster->count; i++) {
    if (!look(&cluster->machines[i], &found)) continue;
    if (!any) first = found;
    any = true;
    if (memcmp(first.cluster, found.cluster, LOG_ID_SIZE) != 0) fail_at(seed, "two clusters");
    if (found.founder_count != cluster->count) fail_at(seed, "founded without all");
    if (memcmp(first.founders, found.founders, sizeof first.founders) != 0) fail_at(seed, "two records");
    if (found.broker_id != i + 1 || !identity_founded(&found)) fail_at(seed, "not its own");
  }
}

/* Belongs to the cluster, or, when directories were emptied, knows that it has to enter. */
static bool is_settled(struct cluster *cluster, bool emptied) {
  struct log_identity found;
  bool anybody = false;
  for (uint32_t i = 0; i < cluster->count; i++) anybody = anybody || look(&cluster->machines[i], &found);
  if (!anybody) return false;
  for (uint32_t i = 0; i < cluster->count; i++) {
    struct machine *machine = &cluster->machines[i];
    bool enters = emptied && is_up(machine) && machine->life->decided && machine->life->result.outcome == FOUNDING_RUN_ENTERS;
    if (!enters && !(is_up(machine) && machine->life->serving && look(machine, &found))) return false;
  }
  return true;
}

static void run_for(struct cluster *cluster, uint64_t ns, uint64_t seed) {
  uint64_t until = sim_now_ns(cluster->sim) + ns;
  while (sim_now_ns(cluster->sim) < until) {
    uint64_t left = until - sim_now_ns(cluster->sim);
    sim_run_for(cluster->sim, left < SECOND / 50 ? left : SECOND / 50);
    check(cluster, seed);
  }
}

/* What a supervisor does with a broker that ends because the cluster that it was to enter is gone. */
static void restart_those_who_enter(struct cluster *cluster) {
  struct log_identity found;
  for (uint32_t i = 0; i < cluster->count; i++)
    if (look(&cluster->machines[i], &found)) return;
  for (uint32_t i = 0; i < cluster->count; i++) {
    struct machine *machine = &cluster->machines[i];
    if (!is_up(machine) || !machine->life->decided || machine->life->result.outcome != FOUNDING_RUN_ENTERS) continue;
    stop(machine);
    start(machine);
  }
}

static void settle(struct cluster *cluster, bool emptied, uint64_t seed) {
  for (unsigned i = 0; i < 120 && !is_settled(cluster, emptied); i++) {
    if (i % 10 == 9) restart_those_who_enter(cluster);
    run_for(cluster, SECOND, seed);
  }
  if (is_settled(cluster, emptied)) return;
  for (uint32_t i = 0; i < cluster->count; i++) {
    struct life *life = cluster->machines[i].life;
    if (life != NULL)
      print_message("broker %u: decided=%d %s %s\n", i + 1, life->decided, status_name(life->status), life->problem);
  }
  fail_at(seed, "they wait for ever");
}

/* ---- Without faults ---- */

static void brokers_found_a_cluster_together(void **state) {
  (void)state;
  for (uint32_t count = 1; count <= MACHINES_MAX; count++) {
    struct cluster *cluster = cluster_new(count, count);
    for (uint32_t i = 0; i < count; i++) start(&cluster->machines[i]);
    settle(cluster, false, count);
    assert_true(sim_now_ns(cluster->sim) < 5 * SECOND);
    for (uint32_t i = 0; i < count; i++) {
      assert_int_equal(cluster->machines[i].life->result.outcome, FOUNDING_RUN_FOUNDED);
      struct log_identity found;
      assert_true(look(&cluster->machines[i], &found));
      assert_memory_equal(&found, &cluster->machines[i].life->result.identity, sizeof found);
    }
    cluster_free(cluster);
  }
}

static void nobody_founds_without_the_last_one(void **state) {
  (void)state;
  struct cluster *cluster = cluster_new(7, 3);
  struct log_identity found;
  start(&cluster->machines[0]);
  start(&cluster->machines[2]);
  run_for(cluster, 60 * SECOND, 7);
  for (uint32_t i = 0; i < 3; i++) assert_false(look(&cluster->machines[i], &found));

  start(&cluster->machines[1]);
  settle(cluster, false, 7);
  cluster_free(cluster);
}

static void one_that_is_told_to_stop_stops(void **state) {
  (void)state;
  struct cluster *cluster = cluster_new(8, 3);
  struct life *life;
  start(&cluster->machines[0]);
  run_for(cluster, 3 * SECOND, 8);
  life = cluster->machines[0].life;
  assert_false(life->decided);

  atomic_store(&life->cancelled, true);
  run_for(cluster, 3 * SECOND, 8);

  assert_true(life->decided);
  assert_int_equal(life->status, STATUS_CANCELLED);
  assert_non_null(strstr(life->problem, "broker 2 at 10.0.0.2:7412 does not answer"));
  cluster_free(cluster);
}

static void a_founder_that_comes_back_is_the_same(void **state) {
  (void)state;
  struct cluster *cluster = cluster_new(9, 3);
  for (uint32_t i = 0; i < 3; i++) start(&cluster->machines[i]);
  settle(cluster, false, 9);
  for (uint32_t i = 0; i < 3; i++) stop(&cluster->machines[i]);
  for (uint32_t i = 0; i < 3; i++) start(&cluster->machines[i]);
  settle(cluster, false, 9);
  for (uint32_t i = 0; i < 3; i++) assert_int_equal(cluster->machines[i].life->result.outcome, FOUNDING_RUN_IN_USE);
  cluster_free(cluster);
}

static void an_emptied_directory_enters_as_somebody_new(void **state) {
  (void)state;
  struct cluster *cluster = cluster_new(10, 3);
  for (uint32_t i = 0; i < 3; i++) start(&cluster->machines[i]);
  settle(cluster, false, 10);
  struct log_identity before = cluster->machines[0].life->identity, found;
  empty(&cluster->machines[0]);
  start(&cluster->machines[0]);
  settle(cluster, true, 10);

  const struct founding_result *result = &cluster->machines[0].life->result;
  assert_int_equal(result->outcome, FOUNDING_RUN_ENTERS);
  assert_memory_equal(result->identity.cluster, before.cluster, LOG_ID_SIZE);
  assert_memory_not_equal(result->identity.incarnation, before.incarnation, LOG_ID_SIZE);
  assert_false(identity_founded(&result->identity));
  assert_false(look(&cluster->machines[0], &found)); /* that is for whoever lets it in */
  cluster_free(cluster);
}

static void lists_that_differ_are_refused(void **state) {
  (void)state;
  struct cluster *cluster = cluster_new(11, 3);
  snprintf(cluster->machines[1].options.join, OPTION_TEXT_SIZE, "1=10.0.0.1:7412,2=10.0.0.2:7412");
  for (uint32_t i = 0; i < 3; i++) start(&cluster->machines[i]);
  run_for(cluster, 10 * SECOND, 11);
  struct life *life = cluster->machines[0].life;
  assert_true(life->decided);
  assert_int_equal(life->status, STATUS_INVALID);
  assert_non_null(strstr(life->problem, "was told to found a cluster of 2 brokers (1, 2), and this one of 3 (1, 2, 3)"));
  cluster_free(cluster);
}

/* A second process says that it is broker 1, elsewhere: it is told of a cluster perhaps, and never founds one. */
static void a_second_broker_of_a_number_founds_nothing(void **state) {
  (void)state;
  struct cluster *cluster = cluster_new(12, 5);
  struct machine *second = &cluster->machines[4];
  second->options.broker_id = 1;
  cluster->count = 5;
  for (uint32_t i = 0; i < 3; i++)
    snprintf(cluster->machines[i].options.join, OPTION_TEXT_SIZE, "1=10.0.0.1:7412,2=10.0.0.2:7412,3=10.0.0.3:7412");
  snprintf(second->options.join, OPTION_TEXT_SIZE, "1=10.0.0.1:7412,2=10.0.0.2:7412,3=10.0.0.3:7412");
  start(second);
  start(&cluster->machines[1]);
  start(&cluster->machines[2]);
  sim_run_for(cluster->sim, 30 * SECOND);
  struct log_identity found;
  assert_false(look(second, &found));
  for (uint32_t i = 0; i < 3; i++) assert_false(look(&cluster->machines[i], &found));
  cluster_free(cluster);
}

/* ---- With faults ---- */

static void set_cut(struct cluster *cluster, uint32_t a, uint32_t b, bool cut) {
  struct sim_host *from = cluster->machines[a].host, *to = cluster->machines[b].host;
  struct sim_link link = sim_net_link(cluster->net, from, to);
  link.cut = cut;
  sim_net_set_link(cluster->net, from, to, link);
}

static void one_fault(struct cluster *cluster, bool empties, unsigned *emptied) {
  struct machine *machine = &cluster->machines[sim_random_below(&cluster->random, cluster->count)];
  uint32_t a = (uint32_t)sim_random_below(&cluster->random, cluster->count);
  uint32_t b = (uint32_t)sim_random_below(&cluster->random, cluster->count);
  switch (sim_random_below(&cluster->random, empties ? 7 : 6)) {
    case 0: stop(machine); break;
    case 1:
      cut_power(machine, (enum sim_power_cut)sim_random_below(&cluster->random, SIM_POWER_COUNT),
                sim_random_next(&cluster->random));
      break;
    case 2:
      if (a != b) set_cut(cluster, a, b, true);
      break; /* one way */
    case 3:
      if (a != b) set_cut(cluster, a, b, false);
      break;
    case 4: (void)sim_net_reset(cluster->net, NULL, 50); break;
    case 5:
      sim_disk_crash_at(disk_of(machine), sim_disk_operations(disk_of(machine)) + sim_random_between(&cluster->random, 1, 30),
                        (enum sim_crash_point)sim_random_below(&cluster->random, 3));
      break;
    case 6:
      if (*emptied >= 3) break;
      empty(machine);
      ++*emptied;
      break;
    default: break;
  }
}

static void start_those_down(struct cluster *cluster, uint32_t percent) {
  for (uint32_t i = 0; i < cluster->count; i++)
    if (!is_up(&cluster->machines[i]) && sim_random_chance(&cluster->random, percent)) start(&cluster->machines[i]);
}

static void trouble(uint64_t seed, uint32_t count, bool empties) {
  struct cluster *cluster = cluster_new(seed, count);
  unsigned emptied = 0;
  for (unsigned i = 0; i < 30; i++) {
    start_those_down(cluster, 40);
    run_for(cluster, sim_random_between(&cluster->random, 1, SECOND / 2), seed);
    one_fault(cluster, empties, &emptied);
    check(cluster, seed);
  }
  for (uint32_t a = 0; a < count; a++) {
    sim_disk_crash_at(disk_of(&cluster->machines[a]), 0, SIM_CRASH_BEFORE);
    for (uint32_t b = 0; b < count; b++)
      if (a != b) set_cut(cluster, a, b, false);
  }
  for (unsigned i = 0; i < 20; i++) {
    start_those_down(cluster, 100); /* also whom the disk's own crash killed */
    run_for(cluster, SECOND / 10, seed);
  }
  settle(cluster, emptied > 0, seed);
  cluster_free(cluster);
}

static void rounds(bool empties) {
  const char *seed_text = getenv("TEST_SEED"), *rounds_text = getenv("TEST_ROUNDS");
  uint64_t first = seed_text == NULL ? 1 : strtoull(seed_text, NULL, 10);
  uint64_t count = rounds_text == NULL ? ROUNDS : strtoull(rounds_text, NULL, 10);
  for (uint64_t seed = first; seed - first < count; seed++) trouble(seed, seed % 2 == 0 ? 3 : 5, empties);
}

static void whatever_fails_there_is_one_cluster(void **state) {
  (void)state;
  rounds(false);
}

static void whatever_fails_and_is_emptied_there_is_one_cluster(void **state) {
  (void)state;
  rounds(true);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(brokers_found_a_cluster_together),
      cmocka_unit_test(nobody_founds_without_the_last_one),
      cmocka_unit_test(one_that_is_told_to_stop_stops),
      cmocka_unit_test(a_founder_that_comes_back_is_the_same),
      cmocka_unit_test(an_emptied_directory_enters_as_somebody_new),
      cmocka_unit_test(lists_that_differ_are_refused),
      cmocka_unit_test(a_second_broker_of_a_number_founds_nothing),
      cmocka_unit_test(whatever_fails_there_is_one_cluster),
      cmocka_unit_test(whatever_fails_and_is_emptied_there_is_one_cluster),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
