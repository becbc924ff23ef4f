/* Times in nanoseconds, counted in buckets that are at most 1/64 wide: percentiles of any number of them in fixed memory. Pure. */
#ifndef CAIRN_CLIENTS_CLI_HISTOGRAM_H
#define CAIRN_CLIENTS_CLI_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_STEP_BITS 6u
#define HISTOGRAM_BUCKETS ((64u - HISTOGRAM_STEP_BITS + 1) << HISTOGRAM_STEP_BITS)

struct histogram {
  uint64_t count;
  uint64_t max;
  uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t value);
/* The value below which `fraction` (0 to 1) of all are; at most 1.6 % too large. 0 when it is empty. */
uint64_t histogram_at(const struct histogram *histogram, double fraction);

#endif
