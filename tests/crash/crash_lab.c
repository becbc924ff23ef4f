#include "tests/crash/crash_lab.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"
#include "base/trace.h"

#define DISK_BYTES ((uint64_t)256 << 20)
#define PATIENCE_NS ((uint64_t)600 * 1000000000u) /* virtual: a phase that takes longer hangs */
#define ONLY_KILLED ((int)SIM_POWER_COUNT)
#define SECOND_SAMPLE 7u /* in one of so many runs the recovery is crashed too */

/* One run. */
struct crash_run {
  const struct crash_subject *subject;
  const struct crash_options *options;
  uint64_t operation; /* 0: none */
  enum sim_crash_point point;
  int mode;        /* enum sim_power_cut, or ONLY_KILLED */
  uint64_t second; /* the operation of the first recovery that is crashed; 0: none */
  bool trace;
  uint64_t live_operations;
  uint64_t recovery_operations;
  uint64_t faults_fired;
};

bool crash_dead(const struct crash_lab *lab) { return sim_world_process(lab->world)->dead; }

void crash_sleep(struct crash_lab *lab, uint64_t ns) {
  if (!sim_block(sim_world_process(lab->world), ns) && sim_fiber_current(lab->sim) != NULL) {
    /* A dead process does not wait, but those that it waits for must get their turn. */
    sim_fiber_wake(sim_fiber_current(lab->sim), sim_now_ns(lab->sim) + ns);
    sim_fiber_park(lab->sim);
  }
}

void crash_violation(struct crash_lab *lab, const char *format, ...) {
  if (lab->violations++ > 0) return;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(lab->first, sizeof lab->first, format, arguments);
  va_end(arguments);
}

/* ---- Phases ---- */

struct phase {
  struct crash_lab *lab;
  void (*run)(struct crash_lab *lab);
};

static void run_phase(void *context) {
  struct phase *phase = context;
  phase->run(phase->lab);
}

/* A new process on the disk runs this to its end. Returns whether it was crashed. */
static bool process(struct crash_lab *lab, const char *name, void (*run)(struct crash_lab *lab)) {
  struct phase phase = {.lab = lab, .run = run};
  lab->world = sim_world_new(lab->sim, lab->device, name);
  sim_world_boot(lab->world, run_phase, &phase);
  bool over = sim_run_until(lab->sim, sim_world_booted, lab->world, sim_now_ns(lab->sim) + PATIENCE_NS);
  CHECK_MSG(over, "%s: hangs after %s", name, lab->first);
  bool crashed = sim_disk_crashed(lab->device);
  sim_world_kill(lab->world);
  sim_world_free(lab->world);
  lab->world = NULL;
  return crashed;
}

static void cut_power(struct crash_lab *lab, int mode, uint64_t salt) {
  if (mode != ONLY_KILLED) sim_disk_power_cut(lab->device, (enum sim_power_cut)mode, salt);
}

static void print_line(void *context, const char *text) {
  (void)context;
  printf("  %s\n", text);
}

static void no_line(void *context, const char *line) {
  (void)context;
  (void)line;
}

static void recover_twice(struct crash_run *run, struct crash_lab *lab) {
  uint64_t before = sim_disk_operations(lab->device);
  if (run->second != 0) sim_disk_crash_at(lab->device, before + run->second, run->point);
  lab->recoveries++;
  bool crashed = process(lab, "recover", run->subject->recover);
  run->recovery_operations = sim_disk_operations(lab->device) - before;
  sim_disk_crash_at(lab->device, 0, SIM_CRASH_BEFORE);
  /* What a recovery has seen and answered for must not depend on the cache. */
  cut_power(lab, crashed ? run->mode : (int)SIM_POWER_DROP, run->operation + 1);
  if (lab->violations > 0) return;
  lab->recoveries++;
  process(lab, "again", run->subject->recover);
}

/* Returns the run's hash. */
static uint64_t run_once(struct crash_run *run, struct crash_lab *lab) {
  *lab = (struct crash_lab){.acknowledge_early = run->options->acknowledge_early,
                            .faulty = run->options->fault != NULL,
                            .scrambled = run->mode == SIM_POWER_SCRAMBLE};
  lab->sim = sim_new(run->options->seed);
  lab->device = sim_disk_new(lab->sim, "disk", DISK_BYTES);
  lab->model = run->subject->model_new();
  if (run->trace) sim_disk_set_trace(lab->device, print_line, NULL);
  if (run->options->fault != NULL) sim_disk_fault(lab->device, run->options->fault);
  sim_disk_crash_at(lab->device, run->operation, run->point);

  process(lab, "live", run->subject->live);
  run->live_operations = sim_disk_operations(lab->device);
  run->faults_fired = sim_disk_faults_fired(lab->device);
  lab->faulty = false;
  sim_disk_heal(lab->device);
  sim_disk_crash_at(lab->device, 0, SIM_CRASH_BEFORE);
  cut_power(lab, run->mode, run->operation);
  if (lab->violations == 0) recover_twice(run, lab);

  uint64_t hash = sim_hash(lab->sim);
  run->subject->model_free(lab->model);
  sim_disk_free(lab->device);
  sim_free(lab->sim);
  return hash;
}

/* ---- The sweep ---- */

static const char *mode_name(int mode) { return mode == ONLY_KILLED ? "kill" : sim_power_cut_name((enum sim_power_cut)mode); }
static const char *const point_names[] = {"before", "during", "after"};

static void report(const struct crash_run *run, const struct crash_lab *lab) {
  if (run->options->quiet) return;
  printf("%s: VIOLATION %s -> --seed %llu --crash %llu:%s:%s:%llu\n", run->subject->name, lab->first,
         (unsigned long long)run->options->seed, (unsigned long long)run->operation, point_names[run->point],
         mode_name(run->mode), (unsigned long long)run->second);
}

static void count_run(struct crash_run *run, struct crash_totals *totals) {
  struct crash_lab lab;
  uint64_t hash = run_once(run, &lab);
  uint64_t both[2] = {totals->hash, hash};
  totals->hash = xxh3(0, bytes_of(both, sizeof both));
  totals->crashes++;
  if (run->second != 0) totals->second_crashes++;
  if (lab.violations == 0) return;
  totals->violations++;
  report(run, &lab);
}

static bool enough(const struct crash_options *options, const struct crash_totals *totals) {
  return options->violations_max > 0 && totals->violations >= options->violations_max;
}

/* All modes at one crash point; every so often the recovery is crashed too, somewhere. */
static void sweep_point(struct crash_run *run, struct crash_totals *totals) {
  for (run->mode = 0; run->mode <= ONLY_KILLED && !enough(run->options, totals); run->mode++) {
    /* After a whole operation the tearing modes tell nothing that "during" the next one does not. */
    if (run->point == SIM_CRASH_AFTER && run->mode != SIM_POWER_KEEP && run->mode != SIM_POWER_DROP) continue;
    run->second = 0;
    count_run(run, totals);
    if ((run->operation + (uint64_t)run->mode) % SECOND_SAMPLE != 0 || run->recovery_operations == 0) continue;
    run->second = 1 + xxh3(run->operation, bytes_of(&run->mode, sizeof run->mode)) % run->recovery_operations;
    count_run(run, totals);
  }
}

struct crash_totals crash_sweep(const struct crash_subject *subject, const struct crash_options *options) {
  struct crash_totals totals = {0};
  struct crash_lab lab;
  trace_set_sink(no_line, NULL);
  struct crash_run run = {.subject = subject, .options = options, .mode = ONLY_KILLED};
  run_once(&run, &lab);
  totals.operations = run.live_operations;
  totals.faults_fired = run.faults_fired;
  if (lab.violations > 0) {
    totals.violations++;
    report(&run, &lab);
  }
  for (uint64_t k = 1; options->stride > 0 && k <= totals.operations && !enough(options, &totals); k += options->stride) {
    run.operation = k;
    for (int point = SIM_CRASH_DURING; point <= SIM_CRASH_AFTER; point++) {
      run.point = (enum sim_crash_point)point;
      sweep_point(&run, &totals);
    }
  }
  trace_set_sink(NULL, NULL);
  return totals;
}

void crash_print(const struct crash_subject *subject, const struct crash_totals *totals) {
  printf("%s: %llu operations, %llu crashes, %llu of them also in recovery, %llu violations\n", subject->name,
         (unsigned long long)totals->operations, (unsigned long long)totals->crashes, (unsigned long long)totals->second_crashes,
         (unsigned long long)totals->violations);
}

/* ---- Replay ---- */

static bool parse_run(char *text, struct crash_run *run) {
  char *rest = NULL;
  const char *parts[4] = {NULL};
  for (int i = 0; i < 4; i++) parts[i] = strtok_r(i == 0 ? text : NULL, ":", &rest);
  if (parts[2] == NULL) return false;
  run->operation = strtoull(parts[0], NULL, 10);
  for (int i = 0; i < 3; i++) {
    if (strcmp(parts[1], point_names[i]) == 0) run->point = (enum sim_crash_point)i;
  }
  for (run->mode = 0; run->mode < ONLY_KILLED && strcmp(mode_name(run->mode), parts[2]) != 0;) run->mode++;
  run->second = parts[3] == NULL ? 0 : strtoull(parts[3], NULL, 10);
  return true;
}

bool crash_replay(const struct crash_subject *subject, int argc, char **argv, uint64_t *out_violations) {
  if (argc != 5 || strcmp(argv[1], "--seed") != 0 || strcmp(argv[3], "--crash") != 0) return false;
  struct crash_options options = {.seed = strtoull(argv[2], NULL, 0)};
  struct crash_run run = {.subject = subject, .options = &options, .trace = true};
  struct crash_lab lab;
  if (!parse_run(argv[4], &run)) return false;
  run_once(&run, &lab);
  if (lab.violations > 0) report(&run, &lab);
  *out_violations = lab.violations;
  return true;
}
