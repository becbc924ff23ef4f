/* `./dev sim`: one seed, told; many seeds, counted; every mutant, killed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "tests/sim/jobs.h"
#include "tests/sim/mutants.h"
#include "tests/sim/points.h"
#include "tests/sim/report.h"

#define STORIES 1000000000u /* with their points they are seeds */

struct arguments {
  struct jobs_options jobs;
  bool one;
  enum run_trace trace;
  bool mutants;
  const char *only; /* mutant */
  const char *json;
  uint64_t every; /* of --points: each so-many-th */
  bool probes;    /* those that are missing fail the run */
};

static const char usage[] =
    "usage: sim --seed N [--trace | --disks]            one seed; --trace tells its story, --disks also what disks do\n"
    "       sim --seeds N [--jobs J] [--json FILE]      many fresh ones\n"
    "       sim --seconds S ...                         as many as fit\n"
    "       sim --mutants [--only NAME] [--seeds N]     every bug on purpose must be noticed within N seeds\n"
    "  --from N      the first seed (default: $TEST_SEED, or another one each time)\n"
    "  --nodes N     brokers, one cluster (default: 1; of mutants: what each needs)\n"
    "  --points      one reassignment, and each death at each moment of it (with --every E: each E-th; --from: the story)\n"
    "  --rot         of a cluster one broker's disk rots, too\n"
    "  --controller  everything that admins do, and whoever leads the map is hit in the middle of it (3 brokers or more)\n"
    "  --twice N     run each N-th seed twice and compare (default: 10)\n"
    "  --mutant NAME one seed or many with this mutant on\n"
    "  --probes      a required probe that no seed reached is a failure\n";

static uint64_t fresh_seed(void) {
  const char *wanted = getenv("TEST_SEED");
  if (wanted != NULL) return strtoull(wanted, NULL, 0) * 1000003u;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return (uint64_t)now.tv_sec * 1000003u + (uint64_t)now.tv_nsec;
}

static bool parse(struct arguments *arguments, int argc, char **argv) {
  struct jobs_options *jobs = &arguments->jobs;
  arguments->every = 1;
  *jobs = (struct jobs_options){.jobs = 1, .twice_every = 10, .first = fresh_seed()};
  for (int i = 1; i < argc; i++) {
    const char *name = argv[i];
    bool has_value = i + 1 < argc;
    const char *value = has_value ? argv[i + 1] : "";
    i++;
    if (strcmp(name, "--seed") == 0 && has_value) arguments->one = true, jobs->first = strtoull(value, NULL, 0), jobs->count = 1;
    else if (strcmp(name, "--seeds") == 0 && has_value) jobs->count = strtoull(value, NULL, 0);
    else if (strcmp(name, "--seconds") == 0 && has_value) jobs->seconds = strtod(value, NULL);
    else if (strcmp(name, "--from") == 0 && has_value) jobs->first = strtoull(value, NULL, 0);
    else if (strcmp(name, "--jobs") == 0 && has_value) jobs->jobs = (unsigned)strtoul(value, NULL, 0);
    else if (strcmp(name, "--nodes") == 0 && has_value) jobs->nodes = (unsigned)strtoul(value, NULL, 0);
    else if (strcmp(name, "--twice") == 0 && has_value) jobs->twice_every = (unsigned)strtoul(value, NULL, 0);
    else if (strcmp(name, "--json") == 0 && has_value) arguments->json = value;
    else if (strcmp(name, "--only") == 0 && has_value) arguments->only = value;
    else if (strcmp(name, "--every") == 0 && has_value) arguments->every = strtoull(value, NULL, 0);
    else if (strcmp(name, "--mutant") == 0 && has_value) jobs->mutant = mutant_find(value);
    else {
      i--;
      if (strcmp(name, "--trace") == 0) arguments->trace = TRACE_STORY;
      else if (strcmp(name, "--disks") == 0) arguments->trace = TRACE_DISKS;
      else if (strcmp(name, "--mutants") == 0) arguments->mutants = true;
      else if (strcmp(name, "--probes") == 0) arguments->probes = true;
      else if (strcmp(name, "--rot") == 0) jobs->kind = PLAN_ROT;
      else if (strcmp(name, "--controller") == 0) jobs->kind = PLAN_CONTROLLER;
      else if (strcmp(name, "--points") == 0) jobs->kind = PLAN_POINTS;
      else return false;
    }
    if (strcmp(name, "--mutant") == 0 && jobs->mutant == NULL) return false;
  }
  bool of_three = jobs->kind == PLAN_CONTROLLER || jobs->kind == PLAN_POINTS;
  unsigned nodes_min = of_three ? 3 : 1;
  if (jobs->nodes == 0 && !arguments->mutants) jobs->nodes = nodes_min;
  bool enough = jobs->nodes == 0 || jobs->nodes >= nodes_min;
  if (jobs->kind == PLAN_POINTS) return jobs->nodes == 3 && arguments->every > 0;
  return enough && jobs->nodes <= PLAN_NODES_MAX && (jobs->count > 0 || jobs->seconds > 0 || arguments->mutants);
}

/* In this process, so that a debugger can follow. */
static int trace_one(const struct jobs_options *options, enum run_trace trace) {
  struct plan plan;
  struct run_result result;
  char words[600];
  plan_draw(&plan, options->first, options->nodes, options->kind);
  plan_print(&plan, words, sizeof words);
  printf("%s\n", words);
  mutant_switch_on(options->mutant);
  setvbuf(stdout, NULL, _IOLBF, 0);
  run_seed(&plan, trace, &result);
  report_result(&result, options);
  return result.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv) {
  struct arguments arguments = {0};
  if (!parse(&arguments, argc, argv)) {
    fputs(usage, stderr);
    return 2;
  }
  if (arguments.mutants) return mutants_run(&arguments.jobs, arguments.only);
  if (arguments.one && arguments.trace != TRACE_NOTHING) return trace_one(&arguments.jobs, arguments.trace);
  if (arguments.jobs.kind == PLAN_POINTS && !arguments.one) {
    arguments.jobs.first %= STORIES;
    return points_run(&arguments.jobs, arguments.every, arguments.json, arguments.probes);
  }
  if (arguments.jobs.count == 0) arguments.jobs.count = UINT64_MAX;
  if (!arguments.one) printf("sim: seeds from %" PRIu64 "\n", arguments.jobs.first);
  fflush(stdout);
  return report_run(&arguments.jobs, arguments.json, arguments.probes);
}
