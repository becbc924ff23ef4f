#include "tests/sim/mutants.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/mutants_alone.h"

#define SEEDS_MAX 400u
#define LAST_CHANCE 10u /* times as many seeds, for what nothing else would find */

/* Not: members that change and directories that are wiped, which few plans draw; rot, of which nobody knows yet how many clusters it takes; a leader that
 * loses its office for nothing, which no check forbids; and what takes so many steps in one order that thousands of clusters did not come to it: a commit by
 * counting, for one, wants the old leader's last entries and the new one's no-op in different messages. */
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
    case RAFT_MUTANT_NO_STICKINESS:
    case RAFT_MUTANT_COMMIT_OLD_TERM:
    case RAFT_MUTANT_STALE_PERSIST:
    case RAFT_MUTANT_STALE_ACK:
    case RAFT_MUTANT_READ_ID_REUSED:
    case RAFT_MUTANT_SNAPSHOT_TERM_LOST: return false;
    default: return true;
  }
}

/* What goes wrong only where the controller fails in the middle of a command, or where it is looked at what is left of what is no more. */
static enum plan_kind kind_for(enum mutant mutant) {
  switch (mutant) {
    case MUTANT_lost_command_called_no:
    case MUTANT_lost_command_called_done:
    case MUTANT_voters_go_first:
    case MUTANT_replica_kept: return PLAN_CONTROLLER;
    default: return PLAN_ANY;
  }
}

static struct sim_mutant rows[MUTANT_COUNT + RAFT_MUTANT_COUNT];
static size_t row_count;

static void add(const char *name, const char *where, const char *what, enum mutant in_broker, enum raft_mutant in_protocol) {
  bool shows_alone = in_broker != MUTANT_NONE && in_broker != MUTANT_followers_forget && in_broker != MUTANT_answered_too_early &&
                     in_broker != MUTANT_older_copy_let_in && in_broker != MUTANT_racks_ignored &&
                     in_broker != MUTANT_level_unasked && kind_for(in_broker) == PLAN_ANY;
  unsigned nodes = shows_alone ? 1 : clusters_come_to(in_protocol) ? 3 : 0;
  rows[row_count++] = (struct sim_mutant){.name = name,
                                          .where = where,
                                          .what = what,
                                          .nodes = nodes,
                                          .kind = kind_for(in_broker),
                                          .in_broker = in_broker,
                                          .in_protocol = in_protocol};
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

enum fate { LIVES, KILLED, UNFAIR };

static enum fate hunt_one(const struct jobs_options *options, const struct sim_mutant *mutant, bool last_chance) {
  struct jobs_options jobs = *options;
  struct hunt hunt = {0};
  static struct jobs_report report;
  jobs.mutant = mutant;
  jobs.nodes = options->nodes > 0 ? options->nodes : mutant->nodes > 0 ? mutant->nodes : 3;
  if (options->nodes == 0) jobs.kind = mutant->kind;
  jobs.stop_at_failure = true;
  jobs.twice_every = 0;
  if (jobs.count == 0) jobs.count = SEEDS_MAX;
  if (last_chance) jobs.count *= LAST_CHANCE;
  jobs_run(&jobs, got, &hunt, &report);
  if (!hunt.first.failed) {
    printf("%s %-26s after %4" PRIu64 " seeds: %s\n", last_chance ? "LIVES  " : "escapes", mutant->name, hunt.seeds,
           mutant->what);
    return LIVES;
  }
  bool healthy = is_healthy(&jobs, hunt.first.seed);
  printf("%s  %-26s after %4" PRIu64 " seeds, by \"%s\" in %" PRIu64 " of %u brokers: %s\n", healthy ? "killed" : "UNFAIR",
         mutant->name, hunt.seeds, hunt.first.check, hunt.first.seed, jobs.nodes, mutant->what);
  return healthy ? KILLED : UNFAIR;
}

static enum fate hunt_alone(const struct sim_mutant *mutant) {
  struct lone_hunt hunt;
  mutants_hunt_alone(mutant, &hunt);
  if (hunt.found[0] == '\0') {
    printf("LIVES   %-26s after %4u schedules of the protocol alone: %s\n", mutant->name, SCHEDULES_MAX, mutant->what);
    return LIVES;
  }
  printf("%s  %-26s after %4" PRIu64 " schedules of the protocol alone, by \"%.*s\": %s\n", hunt.healthy ? "killed" : "UNFAIR",
         mutant->name, hunt.schedules, (int)strcspn(hunt.found, ":"), hunt.found, mutant->what);
  return hunt.healthy ? KILLED : UNFAIR;
}

/* In clusters, if these come to it; what escapes them, and is the protocol's, by what can go wrong with the protocol alone. */
static enum fate hunt_down(const struct jobs_options *options, const struct sim_mutant *mutant) {
  bool may_be_alone = mutant->in_protocol != RAFT_MUTANT_NONE && options->nodes == 0;
  enum fate fate = LIVES;
  if (mutant->nodes > 0 || !may_be_alone) fate = hunt_one(options, mutant, !may_be_alone);
  return fate == LIVES && may_be_alone ? hunt_alone(mutant) : fate;
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
  list_all();
  for (size_t i = 0; i < row_count; i++) {
    const struct sim_mutant *mutant = &rows[i];
    if (only != NULL && !is_named(only, mutant->name)) continue;
    count++;
    if (hunt_down(options, mutant) == KILLED) killed++;
    fflush(stdout);
  }
  printf("sim: %u of %u mutants killed, seeds from %" PRIu64 "\n", killed, count, options->first);
  return killed == count && count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
