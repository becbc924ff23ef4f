#include "server/producer_ring.h"

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"

#define CAPACITY_FIRST 4u

/* ---- Circular arrays; capacities are powers of two ---- */

static uint32_t place(uint32_t begin, uint32_t i, uint32_t capacity) { return (begin + i) & (capacity - 1); }

static struct producer_run *run_at(const struct producer_ring *ring, uint32_t i) {
  return &ring->runs[place(ring->run_begin, i, ring->run_capacity)];
}

static struct producer_run *last_run(const struct producer_ring *ring) {
  return ring->run_count == 0 ? NULL : run_at(ring, ring->run_count - 1);
}

static void add_run(struct producer_ring *ring, const struct producer_run *run) {
  if (ring->run_count == ring->run_capacity) {
    uint32_t capacity = ring->run_capacity == 0 ? CAPACITY_FIRST : ring->run_capacity * 2;
    struct producer_run *runs = memory_new_array(capacity, sizeof *runs);
    for (uint32_t i = 0; i < ring->run_count; i++) runs[i] = *run_at(ring, i);
    memory_free(ring->runs);
    ring->runs = runs;
    ring->run_begin = 0;
    ring->run_capacity = capacity;
  }
  ring->runs[place(ring->run_begin, ring->run_count, ring->run_capacity)] = *run;
  ring->run_count++;
}

static void add_crc(struct producer_ring *ring, uint32_t crc) {
  if (ring->batch_count == ring->crc_capacity) {
    uint32_t capacity = ring->crc_capacity == 0 ? CAPACITY_FIRST : ring->crc_capacity * 2;
    uint32_t *crcs = memory_new_array(capacity, sizeof *crcs);
    for (uint32_t i = 0; i < ring->batch_count; i++) crcs[i] = producer_ring_crc(ring, i);
    memory_free(ring->crcs);
    ring->crcs = crcs;
    ring->crc_begin = 0;
    ring->crc_capacity = capacity;
  }
  ring->crcs[place(ring->crc_begin, ring->batch_count, ring->crc_capacity)] = crc;
  ring->batch_count++;
}

void producer_ring_deinit(struct producer_ring *ring) {
  memory_free(ring->runs);
  memory_free(ring->crcs);
  *ring = (struct producer_ring){0};
}

/* ---- Pushing and popping ---- */

static uint64_t end_sequence(const struct producer_run *run) { return run->first_sequence + (uint64_t)run->count * run->batches; }

/* True when the batch became the last one of this run. */
static bool extend(struct producer_run *run, const struct producer_batch *batch) {
  if (run == NULL || run->count != batch->count || run->epoch != batch->epoch || run->batches == UINT32_MAX) return false;
  if (run->batches == 1) {
    record_offset stride = batch->base_offset - run->base_offset;
    if (stride <= 0 || stride > UINT32_MAX) return false;
    run->stride = (uint32_t)stride;
  }
  if (run->base_offset + (record_offset)run->batches * run->stride != batch->base_offset) return false;
  run->batches++;
  return true;
}

void producer_ring_push(struct producer_ring *ring, const struct producer_batch *batch, uint32_t batches_max) {
  PRE(batch->count > 0 && batches_max > 0);
  struct producer_run *last = last_run(ring);
  if (last != NULL && end_sequence(last) != batch->first_sequence) {
    producer_ring_deinit(ring);
    last = NULL;
  }
  uint64_t ordinal = last == NULL ? 0 : last->ordinal + last->batches;
  if (!extend(last, batch)) {
    add_run(ring, &(struct producer_run){.first_sequence = batch->first_sequence,
                                         .base_offset = batch->base_offset,
                                         .count = batch->count,
                                         .epoch = batch->epoch,
                                         .batches = 1,
                                         .ordinal = ordinal});
  }
  add_crc(ring, batch->crc);
  while (ring->batch_count > batches_max) producer_ring_pop(ring);
}

void producer_ring_pop(struct producer_ring *ring) {
  PRE(ring->batch_count > 0);
  ring->crc_begin = place(ring->crc_begin, 1, ring->crc_capacity);
  ring->batch_count--;
  struct producer_run *run = run_at(ring, 0);
  run->first_sequence += run->count;
  run->base_offset += run->stride;
  run->ordinal++;
  run->batches--;
  if (run->batches > 0) return;
  ring->run_begin = place(ring->run_begin, 1, ring->run_capacity);
  ring->run_count--;
}

/* ---- Looking ---- */

static struct producer_batch batch_of(const struct producer_ring *ring, const struct producer_run *run, uint32_t i) {
  uint32_t at = (uint32_t)(run->ordinal - run_at(ring, 0)->ordinal) + i;
  return (struct producer_batch){
      .first_sequence = run->first_sequence + (uint64_t)i * run->count,
      .count = run->count,
      .epoch = run->epoch,
      .crc = producer_ring_crc(ring, at),
      .base_offset = run->base_offset + (record_offset)i * run->stride,
  };
}

bool producer_ring_find(const struct producer_ring *ring, uint64_t sequence, struct producer_batch *out_batch) {
  if (ring->run_count == 0 || sequence < run_at(ring, 0)->first_sequence) return false;
  uint32_t low = 0;
  uint32_t high = ring->run_count; /* run `low` begins at or before the sequence, run `high` behind it */
  while (high - low > 1) {
    uint32_t middle = low + (high - low) / 2;
    if (run_at(ring, middle)->first_sequence <= sequence) low = middle;
    else high = middle;
  }
  const struct producer_run *run = run_at(ring, low);
  uint64_t i = (sequence - run->first_sequence) / run->count;
  if (i >= run->batches) return false;
  *out_batch = batch_of(ring, run, (uint32_t)i);
  return true;
}

uint64_t producer_ring_first_sequence(const struct producer_ring *ring) {
  PRE(ring->batch_count > 0);
  return run_at(ring, 0)->first_sequence;
}

struct producer_batch producer_ring_last(const struct producer_ring *ring) {
  PRE(ring->batch_count > 0);
  const struct producer_run *run = last_run(ring);
  return batch_of(ring, run, run->batches - 1);
}

/* ---- Storing ---- */

struct producer_run producer_ring_run(const struct producer_ring *ring, uint32_t i) {
  PRE(i < ring->run_count);
  return *run_at(ring, i);
}

uint32_t producer_ring_crc(const struct producer_ring *ring, uint32_t i) {
  PRE(i < ring->batch_count);
  return ring->crcs[place(ring->crc_begin, i, ring->crc_capacity)];
}

static bool makes_sense(const struct producer_run *run) {
  if (run->count == 0 || run->batches == 0 || run->base_offset < 0) return false;
  if (run->batches > 1 && run->stride == 0) return false;
  uint64_t sequences = (uint64_t)run->count * run->batches; /* of two numbers of 32 bits */
  uint64_t offsets = (uint64_t)run->stride * run->batches;
  return sequences <= UINT64_MAX - run->first_sequence && offsets <= (uint64_t)INT64_MAX - (uint64_t)run->base_offset;
}

enum status producer_ring_restore_run(struct producer_ring *ring, const struct producer_run *run, const uint8_t *crcs) {
  if (!makes_sense(run)) return STATUS_CORRUPT;
  const struct producer_run *last = last_run(ring);
  if (last != NULL && end_sequence(last) != run->first_sequence) return STATUS_CORRUPT;
  struct producer_run taken = *run;
  taken.ordinal = last == NULL ? 0 : last->ordinal + last->batches;
  add_run(ring, &taken);
  for (uint32_t i = 0; i < run->batches; i++) add_crc(ring, get_u32(crcs + (size_t)i * 4));
  return STATUS_OK;
}
