#include "tools/bench/tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SAMPLES_MAX (1u << 22)

static struct {
  uint64_t count_from_ns, end_ns;
  uint64_t bytes_max, bytes_all;
  uint64_t messages, bytes, failures;
  uint64_t first_counted_ns, last_ns;
  uint32_t *samples_us_10; /* tenths of a microsecond */
  size_t sample_count;
} run;

uint64_t tally_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void tally_begin(uint64_t duration_ns, uint64_t bytes_max) {
  run.samples_us_10 = calloc(SAMPLES_MAX, sizeof *run.samples_us_10);
  if (run.samples_us_10 == NULL) abort();
  uint64_t now = tally_now_ns();
  run.bytes_max = bytes_max;
  run.count_from_ns = bytes_max > 0 ? now : now + duration_ns / 10;
  run.end_ns = now + duration_ns;
}

void tally_count(uint64_t began_ns, size_t bytes) {
  uint64_t now = tally_now_ns();
  run.bytes_all += bytes;
  run.last_ns = now;
  if (now < run.count_from_ns) return;
  if (run.messages == 0) run.first_counted_ns = now;
  run.messages++;
  run.bytes += bytes;
  if (run.sample_count < SAMPLES_MAX) run.samples_us_10[run.sample_count++] = (uint32_t)((now - began_ns) / 100);
}

void tally_fail(const char *why) {
  if (run.failures++ == 0) fprintf(stderr, "load: the first failure: %s\n", why);
}

bool tally_over(void) { return tally_now_ns() >= run.end_ns || (run.bytes_max > 0 && run.bytes_all >= run.bytes_max); }

static int by_value(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

static double percentile(double share) {
  if (run.sample_count == 0) return 0;
  size_t at = (size_t)(share * (double)run.sample_count);
  return run.samples_us_10[at < run.sample_count ? at : run.sample_count - 1] / 10.0;
}

bool tally_report(void) {
  qsort(run.samples_us_10, run.sample_count, sizeof *run.samples_us_10, by_value);
  double seconds = (double)(run.last_ns - run.first_counted_ns) / 1e9;
  if (seconds <= 0) seconds = 1e-9;
  printf("{\"per_second\": %.1f, \"bytes_per_second\": %.0f, \"messages\": %llu, \"bytes\": %llu, \"failures\": %llu, "
         "\"seconds\": %.3f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f}\n",
         (double)run.messages / seconds, (double)run.bytes / seconds, (unsigned long long)run.messages,
         (unsigned long long)run.bytes, (unsigned long long)run.failures, seconds, percentile(0.5), percentile(0.99),
         percentile(0.999), percentile(1.0));
  return run.failures == 0;
}
