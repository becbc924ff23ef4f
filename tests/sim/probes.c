#include "tests/sim/probes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const required[] = {
    "append_not_admitted",
    "append_stalled",
    "batch_sent_again",
    "call_tried_again",
    "checkpoint_lacks_space",
    "consumer_reconnects",
    "journal_file_recycled",
    "journal_waits_for_a_file",
    "mismatch_waits_for_its_reason",
    "partition_deleted_under_waiters",
    "read_from_a_segment",
    "read_from_the_journal",
    "read_waits",
    "retention_trims",
    "session_broken",
    "small_tail_carried",
    "torn_tail_cut",
    "unfinished_start_dropped",
    NULL,
};

static uint64_t count_of(const struct jobs_report *report, const char *name) {
  for (size_t i = 0; i < report->probe_count; i++) {
    if (strcmp(report->probes[i].name, name) == 0) return report->probes[i].count;
  }
  return 0;
}

unsigned probes_report(const struct jobs_report *report, bool all) {
  unsigned missing = 0;
  for (size_t i = 0; required[i] != NULL; i++) {
    uint64_t count = count_of(report, required[i]);
    if (count == 0) {
      missing++;
      if (all) printf("sim: never reached: %s\n", required[i]);
    } else if (all) {
      printf("  %8" PRIu64 "  %s\n", count, required[i]);
    }
  }
  return missing;
}
