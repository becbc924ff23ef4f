/* The newest batches of one producer, run-length coded: where each sequence went, so that a retry gets its original offset.
 *
 * Batches follow each other by sequence. A run is a stretch of batches with equal counts, of one epoch, whose offsets are evenly spaced:
 * a producer that is alone, or that takes turns with others, needs a few runs for a thousand batches. Beside the runs stands one
 * checksum per batch.
 *
 * 1. The sequences of the batches are one stretch without gap. A batch that does not follow clears the ring first: that happens only
 *    where rot took entries out of the log.
 * 2. The same pushes give the same runs, and runs that were stored and taken back go on as if they never had been.
 *
 * Plain data, pure.
 */
#ifndef CAIRN_SERVER_PRODUCER_RING_H
#define CAIRN_SERVER_PRODUCER_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "log/entry.h"

struct producer_batch {
  uint64_t first_sequence;
  uint32_t count; /* of records; a sequence each */
  uint32_t epoch;
  uint32_t crc; /* CRC32C of the payload */
  record_offset base_offset;
};

/* Batch i of a run: first_sequence + i * count, base_offset + i * stride. */
struct producer_run {
  uint64_t first_sequence;
  record_offset base_offset;
  uint32_t count;
  uint32_t stride; /* says nothing while there is one batch */
  uint32_t epoch;
  uint32_t batches;
  uint64_t ordinal; /* of its first batch, counted from the first that was ever pushed */
};

/* All zero is an empty one. */
struct producer_ring {
  struct producer_run *runs; /* circular, as the next */
  uint32_t run_begin;
  uint32_t run_count;
  uint32_t run_capacity;
  uint32_t *crcs;
  uint32_t crc_begin;
  uint32_t batch_count;
  uint32_t crc_capacity;
};

void producer_ring_deinit(struct producer_ring *ring); /* empty again */

/* Adds the newest; the oldest go while there are more than `batches_max`. PRE: batch->count and batches_max are not 0. */
void producer_ring_push(struct producer_ring *ring, const struct producer_batch *batch, uint32_t batches_max);
/* Takes the oldest away. PRE: there is one. */
void producer_ring_pop(struct producer_ring *ring);

/* The batch in which a sequence lies; false when none has it. */
bool producer_ring_find(const struct producer_ring *ring, uint64_t sequence, struct producer_batch *out_batch);
/* PRE: not empty, both. */
uint64_t producer_ring_first_sequence(const struct producer_ring *ring);
struct producer_batch producer_ring_last(const struct producer_ring *ring);

/* Run i, the oldest first, and the checksum of batch i: for storing. */
struct producer_run producer_ring_run(const struct producer_ring *ring, uint32_t i);
uint32_t producer_ring_crc(const struct producer_ring *ring, uint32_t i);
/* For taking back: a run as it was stored, with as many checksums, little endian. STATUS_CORRUPT: it cannot follow what is there. */
enum status producer_ring_restore_run(struct producer_ring *ring, const struct producer_run *run, const uint8_t *crcs) MUST_CHECK;

#endif
