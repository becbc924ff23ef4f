/* The rare things that a batch of seeds must have seen at least once (base/probe.h). */
#ifndef CAIRN_TESTS_SIM_PROBES_H
#define CAIRN_TESTS_SIM_PROBES_H

#include "tests/sim/jobs.h"

/* Prints which of those are missing that seeds of this kind, of one broker or of a cluster, must come to, and when `all` is set how often each was reached. Returns
 * how many are missing. */
unsigned probes_report(const struct jobs_report *report, unsigned nodes, enum plan_kind kind, bool all);

#endif
