/* Many seeds in several processes. A seed whose process dies (a failed CHECK, a signal, a run without an end) has failed, and the
 * others go on.
 */
#ifndef CAIRN_TESTS_SIM_JOBS_H
#define CAIRN_TESTS_SIM_JOBS_H

#include "tests/sim/run.h"

struct sim_mutant;

struct jobs_options {
  uint64_t first; /* seeds follow one another */
  uint64_t count;
  const uint64_t *list; /* these, `count` of them, instead; NULL: none */
  double seconds;       /* begin no seed after so long; 0: no bound */
  unsigned jobs;
  unsigned nodes;
  enum plan_kind kind;
  unsigned twice_every; /* each n-th seed is run twice, and both must tell the same hash; 0: none */
  bool stop_at_failure;
  const struct sim_mutant *mutant; /* NULL: none */
};

#define PROBES_MAX 256u
struct probe_count {
  char name[48];
  uint64_t count;
};

struct jobs_report {
  uint64_t seeds;
  uint64_t failures;
  double cpu_seconds;
  struct probe_count probes[PROBES_MAX];
  size_t probe_count;
};

/* `got` sees each result, in the order in which they come. */
void jobs_run(const struct jobs_options *options, void (*got)(void *context, const struct run_result *result), void *context,
              struct jobs_report *out_report);

#endif
