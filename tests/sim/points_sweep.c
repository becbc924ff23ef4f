#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/memory.h"
#include "tests/sim/points.h"
#include "tests/sim/report.h"

struct sweep {
  struct run_result first;
  uint64_t *seeds;
  size_t count;
};

static void got_first(void *context, const struct run_result *result) { *(struct run_result *)context = *result; }

static void add(struct sweep *sweep, uint64_t seed) {
  sweep->seeds = memory_grow_array(sweep->seeds, sweep->count + 1, sizeof *sweep->seeds);
  sweep->seeds[sweep->count++] = seed;
}

static bool count_role(const struct jobs_options *options, enum point_role role, struct sweep *sweep) {
  struct jobs_options one = *options;
  static struct jobs_report report;
  uint64_t base = options->first * POINTS_STORY + (uint64_t)role * POINTS_WAYS * POINTS_KS;
  one.first = base;
  one.count = 1;
  jobs_run(&one, got_first, &sweep->first, &report);
  if (sweep->first.failed) {
    report_result(&sweep->first, &one);
    return false;
  }
  uint64_t operations = sweep->first.point_operations, messages = sweep->first.point_messages;
  printf("  %-10s %6" PRIu64 " operations %6" PRIu64 " messages\n", point_role_name(role), operations, messages);
  CHECK(operations < POINTS_KS && messages < POINTS_KS);
  for (unsigned way = 0; way < POINTS_WAYS; way++) {
    uint64_t last = way < POINTS_BY_MESSAGE ? operations : messages;
    for (uint64_t k = 1; k <= last; k++) add(sweep, base + way * POINTS_KS + k);
  }
  return true;
}

/* A stride that does not come to the same ways again and again. */
static void thin(struct sweep *sweep, uint64_t every, uint64_t first) {
  size_t kept = 0;
  for (size_t i = first % every; i < sweep->count; i += every) sweep->seeds[kept++] = sweep->seeds[i];
  sweep->count = kept;
}

int points_run(const struct jobs_options *options, uint64_t every, const char *json, bool probes) {
  struct sweep sweep = {0};
  bool healthy = true;
  printf("sim: a reassignment, story %" PRIu64 ", and what its victims do meanwhile:\n", options->first);
  for (unsigned role = 0; role < POINT_ROLE_COUNT; role++)
    healthy = healthy && count_role(options, (enum point_role)role, &sweep);
  if (!healthy) return EXIT_FAILURE;
  size_t all = sweep.count;
  thin(&sweep, every, options->first);
  printf("sim: %zu of %zu crash points\n", sweep.count, all);
  fflush(stdout);
  struct jobs_options jobs = *options;
  jobs.list = sweep.seeds;
  jobs.count = sweep.count;
  int code = report_run(&jobs, json, probes);
  memory_free(sweep.seeds);
  return code;
}
