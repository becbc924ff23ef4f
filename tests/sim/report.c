#include "tests/sim/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "tests/sim/mutants.h"
#include "tests/sim/operations.h"
#include "tests/sim/probes.h"

struct medians {
  uint64_t *values[3]; /* acked, faults, leader changes */
  size_t count;
  size_t capacity;
};

#define FAILURES_TOLD_AGAIN 5u

struct batch {
  const struct jobs_options *options;
  struct run_result failures[FAILURES_TOLD_AGAIN];
  unsigned failure_count;
  uint64_t acked, records, calls, faults, leader_changes, restarts, counted_ns, virtual_ns;
  uint64_t fault_kinds;
  uint64_t controller_faults;
  struct operation_count operations[OPERATION_COUNT];
  struct medians medians;
};

void report_result(const struct run_result *result, const struct jobs_options *options) {
  char more[96] = "";
  if (options->nodes != 1) snprintf(more, sizeof more, " --nodes %u", options->nodes);
  snprintf(more + strlen(more), sizeof more - strlen(more), "%s", plan_kind_option(options->kind));
  if (options->mutant != NULL) snprintf(more + strlen(more), sizeof more - strlen(more), " --mutant %s", options->mutant->name);
  if (result->failed) {
    printf("sim: FAILED seed=%" PRIu64 " check=\"%s\" at=%.6fs -> ./dev sim --seed %" PRIu64 "%s --trace\n", result->seed,
           result->check, result->at_s, result->seed, more);
    printf("     %s\n", result->what);
  } else if (options->count == 1) {
    printf("sim: seed=%" PRIu64 " ok acked=%" PRIu64 " records=%" PRIu64 " refused=%" PRIu64 " unknown=%" PRIu64
           " faults=%" PRIu64 " leader_changes=%" PRIu64 " restarts=%" PRIu64 " virtual=%.3fs counted=%.3fs hash=%016" PRIx64
           "\n",
           result->seed, result->acked, result->records, result->refused, result->unknown, result->faults, result->leader_changes,
           result->restarts, (double)result->virtual_ns / 1e9, (double)result->counted_ns / 1e9, result->hash);
  }
  fflush(stdout);
}

/* ---- Medians ---- */

static void medians_add(struct medians *medians, const struct run_result *result) {
  if (medians->count == medians->capacity) {
    medians->capacity = medians->capacity == 0 ? 256 : medians->capacity * 2;
    for (int i = 0; i < 3; i++) medians->values[i] = memory_grow_array(medians->values[i], medians->capacity, sizeof(uint64_t));
  }
  medians->values[0][medians->count] = result->acked;
  medians->values[1][medians->count] = result->faults;
  medians->values[2][medians->count] = result->leader_changes;
  medians->count++;
}

static int by_value(const void *a, const void *b) {
  uint64_t one = *(const uint64_t *)a, other = *(const uint64_t *)b;
  return one < other ? -1 : one > other;
}

static uint64_t median(struct medians *medians, int which) {
  if (medians->count == 0) return 0;
  qsort(medians->values[which], medians->count, sizeof(uint64_t), by_value);
  return medians->values[which][medians->count / 2];
}

/* ---- What admins did ---- */

static void add_operations(struct operation_count *sum, const struct operation_count *count) {
  sum->begun += count->begun;
  sum->hit += count->hit;
  sum->done += count->done;
  sum->absent += count->absent;
  sum->unknown += count->unknown;
}

static void print_operations(const struct batch *batch) {
  printf("sim: controller_faults=%" PRIu64
         "; what admins wanted, how often the controller failed in the middle of it, and its end:\n",
         batch->controller_faults);
  printf("  %-14s %9s %9s %9s %9s %9s\n", "", "begun", "hit", "done", "absent", "unknown");
  for (int i = 0; i < OPERATION_COUNT; i++) {
    const struct operation_count *count = &batch->operations[i];
    printf("  %-14s %9" PRIu32 " %9" PRIu32 " %9" PRIu32 " %9" PRIu32 " %9" PRIu32 "\n", operation_name((enum operation_kind)i),
           count->begun, count->hit, count->done, count->absent, count->unknown);
  }
}

static void write_operations(FILE *file, const struct batch *batch) {
  fprintf(file, ", \"controller_faults\": %" PRIu64 ", \"operations\": {", batch->controller_faults);
  for (int i = 0; i < OPERATION_COUNT; i++) {
    const struct operation_count *count = &batch->operations[i];
    fprintf(file,
            "%s\"%s\": {\"begun\": %" PRIu32 ", \"hit\": %" PRIu32 ", \"done\": %" PRIu32 ", \"absent\": %" PRIu32
            ", \"unknown\": %" PRIu32 "}",
            i > 0 ? ", " : "", operation_name((enum operation_kind)i), count->begun, count->hit, count->done, count->absent,
            count->unknown);
  }
  fprintf(file, "}");
}

/* ---- A batch ---- */

static void got(void *context, const struct run_result *result) {
  struct batch *batch = context;
  if (result->failed || batch->options->count == 1) report_result(result, batch->options);
  if (result->failed && batch->failure_count < FAILURES_TOLD_AGAIN) batch->failures[batch->failure_count++] = *result;
  batch->acked += result->acked;
  batch->records += result->records;
  batch->calls += result->calls;
  batch->faults += result->faults;
  batch->fault_kinds |= result->fault_kinds;
  batch->leader_changes += result->leader_changes;
  batch->restarts += result->restarts;
  batch->controller_faults += result->controller_faults;
  for (int i = 0; i < OPERATION_COUNT; i++) add_operations(&batch->operations[i], &result->operations[i]);
  batch->counted_ns += result->counted_ns;
  batch->virtual_ns += result->virtual_ns;
  if (!result->failed) medians_add(&batch->medians, result);
}

static bool write_json(const char *path, const struct batch *batch, const struct jobs_report *report, unsigned missing) {
  FILE *file = fopen(path, "w");
  if (file == NULL) return false;
  fprintf(file,
          "{\"seeds\": %" PRIu64 ", \"first_seed\": %" PRIu64 ", \"virtual_hours\": %.4f, \"violations\": %" PRIu64
          ", \"probes_missing\": %u, \"cpu_minutes\": %.3f, \"acked\": %" PRIu64 ", \"records\": %" PRIu64
          ", \"faults\": %" PRIu64 ", \"leader_changes\": %" PRIu64 ", \"restarts\": %" PRIu64 ", \"nodes\": %u",
          report->seeds, batch->options->first, (double)batch->counted_ns / 3.6e12, report->failures, missing,
          report->cpu_seconds / 60, batch->acked, batch->records, batch->faults, batch->leader_changes, batch->restarts,
          batch->options->nodes);
  write_operations(file, batch);
  fprintf(file, "}\n");
  return fclose(file) == 0;
}

int report_run(const struct jobs_options *options, const char *json, bool probes) {
  struct batch batch = {.options = options};
  static struct jobs_report report;
  jobs_run(options, got, &batch, &report);
  if (options->count == 1) return report.failures > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
  unsigned missing = probes_report(&report, options->nodes, options->kind, probes);
  double hours = (double)batch.counted_ns / 3.6e12;
  double minutes = report.cpu_seconds / 60;
  printf("sim: seeds=%" PRIu64 " violations=%" PRIu64 " acked=%" PRIu64 " records=%" PRIu64 " calls=%" PRIu64 " faults=%" PRIu64
         " leader_changes=%" PRIu64 " restarts=%" PRIu64
         " virtual_hours=%.3f cpu_minutes=%.2f hours_per_cpu_minute=%.2f probes_missing=%u\n",
         report.seeds, report.failures, batch.acked, batch.records, batch.calls, batch.faults, batch.leader_changes,
         batch.restarts, hours, minutes, minutes > 0 ? hours / minutes : 0, missing);
  printf("sim: in the median seed acked=%" PRIu64 " faults=%" PRIu64 " leader_changes=%" PRIu64 "\n", median(&batch.medians, 0),
         median(&batch.medians, 1), median(&batch.medians, 2));
  if (options->kind == PLAN_CONTROLLER) print_operations(&batch);
  /* At the end once more: of a long run often only that is kept. */
  for (unsigned i = 0; i < batch.failure_count; i++) report_result(&batch.failures[i], options);
  for (int i = 0; i < 3; i++) memory_free(batch.medians.values[i]);
  if (json != NULL && !write_json(json, &batch, &report, missing)) {
    fprintf(stderr, "sim: cannot write %s\n", json);
    return EXIT_FAILURE;
  }
  return report.failures > 0 || (probes && missing > 0) ? EXIT_FAILURE : EXIT_SUCCESS;
}
