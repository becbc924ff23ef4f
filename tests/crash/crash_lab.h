/* A scenario, crashed at every operation of its disk, in every way, recovered and checked against a model.
 *
 * A subject is two functions that run on a fiber of the process, as blocking code: `live` opens what is under test, works, and
 * notes in its model what was acknowledged; `recover` opens what a crash left, compares it with the model, goes on working for
 * a while, and closes. Both must come to their end whenever the process dies under them.
 *
 * One run: live, killed at the k-th operation; the power cut (or only the kill); recover; and, as things that were recovered must
 * stay, another kill or power cut and recover again. In a sample of runs the first recovery is crashed too.
 */
#ifndef CAIRN_TESTS_CRASH_CRASH_LAB_H
#define CAIRN_TESTS_CRASH_CRASH_LAB_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/sim_world.h"

struct crash_lab {
  struct sim *sim;
  struct sim_disk *device;
  struct sim_world *world; /* of the process that runs now */
  void *model;
  unsigned recoveries;    /* begun */
  bool faulty;            /* the disk fails by itself while `live` runs: refusals are fine then */
  bool scrambled;         /* single sectors may have been destroyed: the store's newest page too */
  bool acknowledge_early; /* mutant: the harness tells its model before the answer came */
  uint64_t violations;
  char first[320]; /* the first of them */
};

struct crash_subject {
  const char *name;
  void *(*model_new)(void);
  void (*model_free)(void *model);
  void (*live)(struct crash_lab *lab);
  void (*recover)(struct crash_lab *lab);
};

/* For subjects. */
bool crash_dead(const struct crash_lab *lab);
void crash_sleep(struct crash_lab *lab, uint64_t ns);
void crash_violation(struct crash_lab *lab, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct crash_options {
  uint64_t seed;
  uint64_t stride;   /* every operation: 1; 0: no crash at all, only kill and power cut at the end */
  const char *fault; /* a sentence for the disk while `live` runs; NULL: none */
  bool acknowledge_early;
  bool quiet;              /* no lines for violations */
  uint64_t violations_max; /* stop after so many; 0: never */
};

struct crash_totals {
  uint64_t operations; /* of the scenario */
  uint64_t crashes;    /* runs */
  uint64_t second_crashes;
  uint64_t violations;
  uint64_t faults_fired; /* in the run without a crash */
  uint64_t hash;         /* over all runs */
};

struct crash_totals crash_sweep(const struct crash_subject *subject, const struct crash_options *options);

/* One run again, with every operation told: "--seed S --crash K:POINT:MODE[:SECOND]". False: not such arguments. */
bool crash_replay(const struct crash_subject *subject, int argc, char **argv, uint64_t *out_violations);

void crash_print(const struct crash_subject *subject, const struct crash_totals *totals);

#endif
