/* Bugs on purpose (base/mutant.h), one after the other, until a check notices each. */
#ifndef CAIRN_TESTS_SIM_MUTANTS_H
#define CAIRN_TESTS_SIM_MUTANTS_H

#include "tests/sim/jobs.h"

const char *mutant_name(enum mutant mutant);
enum mutant mutant_find(const char *name); /* MUTANT_NONE: there is no such */

/* A line for each, with the seeds that it lived through. Each seed that kills one is run without it too, and must then pass. `only` may
 * be NULL. Returns the exit code: a failure when one lives. */
int mutants_run(const struct jobs_options *options, const char *only);

#endif
