#include "clients/cli/histogram.h"

#define STEPS (1u << HISTOGRAM_STEP_BITS)

/* Values below STEPS have a bucket each; above, every power of two has STEPS buckets. */
static unsigned bucket_of(uint64_t value) {
  if (value < STEPS) return (unsigned)value;
  unsigned shift = 63 - (unsigned)__builtin_clzll(value) - HISTOGRAM_STEP_BITS;
  return ((shift + 1) << HISTOGRAM_STEP_BITS) + (unsigned)((value >> shift) - STEPS);
}

static uint64_t bucket_end(unsigned bucket) {
  if (bucket < STEPS) return bucket;
  unsigned shift = (bucket >> HISTOGRAM_STEP_BITS) - 1;
  return ((((uint64_t)STEPS + bucket % STEPS) + 1) << shift) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t value) {
  histogram->count++;
  histogram->buckets[bucket_of(value)]++;
  if (value > histogram->max) histogram->max = value;
}

uint64_t histogram_at(const struct histogram *histogram, double fraction) {
  uint64_t wanted = (uint64_t)(fraction * (double)histogram->count + 0.5);
  uint64_t seen = 0;
  for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
    seen += histogram->buckets[i];
    if (seen < wanted || seen == 0) continue;
    uint64_t end = bucket_end(i);
    return end < histogram->max ? end : histogram->max;
  }
  return histogram->max;
}
