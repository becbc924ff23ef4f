/* What a batch of seeds came to: lines for people, a file for programs. */
#ifndef CAIRN_TESTS_SIM_REPORT_H
#define CAIRN_TESTS_SIM_REPORT_H

#include "tests/sim/jobs.h"

/* The line of a seed that failed, which replays it; of one that did not, what it came to. */
void report_result(const struct run_result *result, const struct jobs_options *options);

/* Runs the seeds, prints their failures and one line for all. `json` may be NULL. `probes`: one that is required and was not reached
 * is a failure. Returns the exit code. */
int report_run(const struct jobs_options *options, const char *json, bool probes);

#endif
