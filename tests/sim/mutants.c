#include "tests/sim/mutants.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS_MAX 400u

/* What a fault of the protocol needs that brokers do not do yet, or that no plan draws: members that change, directories that are wiped, rot. And
 * votes given against a leader that lives cost a change of leaders, which no check forbids. */
static bool clusters_come_to(enum raft_mutant mutant) {
  switch (mutant) {
    case RAFT_MUTANT_SINGLE_STEP:
    case RAFT_MUTANT_CONFIG_ON_COMMIT:
    case RAFT_MUTANT_CONFIG_NOT_REVERTED:
    case RAFT_MUTANT_TWO_CHANGES:
    case RAFT_MUTANT_LEARNER_COUNTS:
    case RAFT_MUTANT_STRANGERS_COUNT:
    case RAFT_MUTANT_DAMAGED_VOTES:
    case RAFT_MUTANT_UNPROVEN_COUNTS:
    case RAFT_MUTANT_NO_STICKINESS: return false;
    default: return true;
  }
}

static struct sim_mutant rows[MUTANT_COUNT + RAFT_MUTANT_COUNT];
static size_t row_count;

static void add(const char *name, const char *where, const char *what, enum mutant in_broker, enum raft_mutant in_protocol) {
  unsigned nodes = in_protocol == RAFT_MUTANT_NONE ? 1 : clusters_come_to(in_protocol) ? 3 : 0;
  rows[row_count++] = (struct sim_mutant){
      .name = name, .where = where, .what = what, .nodes = nodes, .in_broker = in_broker, .in_protocol = in_protocol};
}

static void list_all(void) {
  if (row_count > 0) return;
#define ADD(name, where, what) add(#name, where, what, MUTANT_##name, RAFT_MUTANT_NONE);
  MUTANTS(ADD)
#undef ADD
#define ADD(name, what) add(#name, "protocol", what, MUTANT_NONE, RAFT_MUTANT_##name);
  RAFT_MUTANTS(ADD)
#undef ADD
}

const struct sim_mutant *mutant_find(const char *name) {
  list_all();
  for (size_t i = 0; i < row_count; i++) {
    if (strcmp(rows[i].name, name) == 0) return &rows[i];
  }
  return NULL;
}

#ifdef CAIRN_SIMULATED
enum raft_mutant raft_mutant;
#endif

void mutant_switch_on(const struct sim_mutant *mutant) {
#ifdef CAIRN_SIMULATED
  mutant_on = mutant == NULL ? MUTANT_NONE : mutant->in_broker;
  raft_mutant = mutant == NULL ? RAFT_MUTANT_NONE : mutant->in_protocol;
#else
  (void)mutant;
#endif
}

/* ---- The hunt ---- */

struct hunt {
  uint64_t seeds;
  struct run_result first; /* the failure of the lowest seed */
};

static void got(void *context, const struct run_result *result) {
  struct hunt *hunt = context;
  hunt->seeds++;
  bool sooner = !hunt->first.failed || result->seed < hunt->first.seed;
  if (result->failed && sooner) hunt->first = *result;
}

/* The same seed, unharmed, must pass. */
static bool is_healthy(const struct jobs_options *options, uint64_t seed) {
  struct jobs_options one = *options;
  struct hunt hunt = {0};
  static struct jobs_report report;
  one.mutant = NULL;
  one.first = seed;
  one.count = 1;
  jobs_run(&one, got, &hunt, &report);
  return !hunt.first.failed;
}

static bool hunt_one(const struct jobs_options *options, const struct sim_mutant *mutant) {
  struct jobs_options jobs = *options;
  struct hunt hunt = {0};
  static struct jobs_report report;
  jobs.mutant = mutant;
  jobs.nodes = options->nodes > 0 ? options->nodes : mutant->nodes > 0 ? mutant->nodes : 3;
  jobs.stop_at_failure = true;
  jobs.twice_every = 0;
  if (jobs.count == 0) jobs.count = SEEDS_MAX;
  jobs_run(&jobs, got, &hunt, &report);
  if (!hunt.first.failed) {
    printf("LIVES   %-26s after %4" PRIu64 " seeds: %s\n", mutant->name, hunt.seeds, mutant->what);
    return false;
  }
  bool healthy = is_healthy(&jobs, hunt.first.seed);
  printf("%s  %-26s after %4" PRIu64 " seeds, by \"%s\" in %" PRIu64 " of %u brokers: %s\n", healthy ? "killed" : "UNFAIR",
         mutant->name, hunt.seeds, hunt.first.check, hunt.first.seed, jobs.nodes, mutant->what);
  return healthy;
}

/* Is it one of these words? */
static bool is_named(const char *list, const char *name) {
  size_t size = strlen(name);
  for (const char *at = list; (at = strstr(at, name)) != NULL; at += size) {
    bool begins = at == list || at[-1] == ',';
    if (begins && (at[size] == ',' || at[size] == '\0')) return true;
  }
  return false;
}

int mutants_run(const struct jobs_options *options, const char *only) {
  unsigned count = 0;
  unsigned killed = 0;
  unsigned left_out = 0;
  list_all();
  for (size_t i = 0; i < row_count; i++) {
    if (only == NULL ? rows[i].nodes == 0 : !is_named(only, rows[i].name)) {
      left_out += only == NULL;
      continue;
    }
    count++;
    if (hunt_one(options, &rows[i])) killed++;
    fflush(stdout);
  }
  printf("sim: %u of %u mutants killed, seeds from %" PRIu64, killed, count, options->first);
  if (left_out > 0)
    printf("; %u more are of what no cluster comes to yet: tests/unit/replication:raft_mutant_test kills them", left_out);
  putchar('\n');
  return killed == count && count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
