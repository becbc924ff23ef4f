#include "tests/sim/mutants.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEEDS_MAX 400u

struct description {
  const char *name;
  const char *where;
  const char *what;
};

static const struct description descriptions[] = {
#define DESCRIPTION(name, where, what) [MUTANT_##name] = {#name, where, what},
    MUTANTS(DESCRIPTION)
#undef DESCRIPTION
};

const char *mutant_name(enum mutant mutant) { return mutant == MUTANT_NONE ? "none" : descriptions[mutant].name; }

enum mutant mutant_find(const char *name) {
  for (int i = 1; i < MUTANT_COUNT; i++) {
    if (strcmp(descriptions[i].name, name) == 0) return (enum mutant)i;
  }
  return MUTANT_NONE;
}

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
  one.mutant = MUTANT_NONE;
  one.first = seed;
  one.count = 1;
  jobs_run(&one, got, &hunt, &report);
  return !hunt.first.failed;
}

static bool hunt_one(const struct jobs_options *options, enum mutant mutant) {
  struct jobs_options jobs = *options;
  struct hunt hunt = {0};
  static struct jobs_report report;
  jobs.mutant = mutant;
  jobs.stop_at_failure = true;
  jobs.twice_every = 0;
  if (jobs.count == 0) jobs.count = SEEDS_MAX;
  jobs_run(&jobs, got, &hunt, &report);
  if (!hunt.first.failed) {
    printf("LIVES   %-26s after %4" PRIu64 " seeds: %s\n", mutant_name(mutant), hunt.seeds, descriptions[mutant].what);
    return false;
  }
  bool healthy = is_healthy(&jobs, hunt.first.seed);
  printf("%s  %-26s after %4" PRIu64 " seeds, by \"%s\" in %" PRIu64 ": %s\n", healthy ? "killed" : "UNFAIR", mutant_name(mutant),
         hunt.seeds, hunt.first.check, hunt.first.seed, descriptions[mutant].what);
  fflush(stdout);
  return healthy;
}

int mutants_run(const struct jobs_options *options, const char *only) {
  unsigned count = 0;
  unsigned killed = 0;
  for (int i = 1; i < MUTANT_COUNT; i++) {
    if (only != NULL && strstr(only, descriptions[i].name) == NULL) continue;
    count++;
    if (hunt_one(options, (enum mutant)i)) killed++;
    fflush(stdout);
  }
  printf("sim: %u of %u mutants killed, seeds from %" PRIu64 "\n", killed, count, options->first);
  return killed == count && count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
