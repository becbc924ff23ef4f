/* The payload of a PRODUCER entry: what becomes of a producer from this entry on. Whoever proposes it decides the epoch and the bounds, and
 * every replica takes them as they stand: so brokers that are set up differently never disagree on what a partition remembers.
 *
 *   offset size
 *        0    1  version, 1
 *        1    1  what: 1 open, 2 forget
 *        2    2  size of the name, 1 .. 128
 *        4    4  epoch that the producer has from here on (open)
 *        8    4  producers_max, of the partition (open)
 *       12    4  batches_max, of one producer (open)
 *       16    8  bytes_max, of the partition (open)
 *       24       name
 */
#ifndef CAIRN_SERVER_PRODUCER_ENTRY_H
#define CAIRN_SERVER_PRODUCER_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

#define PRODUCER_NAME_MAX 128u
#define PRODUCER_ENTRY_HEAD 24u

/* Bytes are counted, not measured, so that all replicas count alike: this and the name for a producer, and so much for each of its
 * batches, which is what they take where nothing can be run-length coded. */
#define PRODUCER_COST 256u
#define PRODUCER_BATCH_COST 44u

/* What a partition remembers of its producers, at most. Beyond it the producer that appended least recently goes. */
struct producer_bounds {
  uint32_t producers_max;
  uint32_t batches_max; /* of each, the newest */
  uint64_t bytes_max;   /* one producer with all its batches fits */
};

/* On disk: numbers are never given a new meaning. */
enum producer_entry_kind { PRODUCER_OPEN = 1, PRODUCER_FORGET = 2 };

struct producer_entry {
  enum producer_entry_kind kind;
  struct bytes name;
  uint32_t epoch;
  struct producer_bounds bounds;
};

/* UTF-8 without NUL, 1 to PRODUCER_NAME_MAX bytes. */
bool producer_name_valid(struct bytes name);
bool producer_bounds_valid(const struct producer_bounds *bounds);

static inline size_t producer_entry_size(const struct producer_entry *entry) { return PRODUCER_ENTRY_HEAD + entry->name.size; }
/* PRE: name and bounds are valid, and `into` has producer_entry_size() bytes. */
void producer_entry_encode(const struct producer_entry *entry, uint8_t *into);
/* STATUS_CORRUPT, STATUS_FOREIGN (of a newer Cairn). `name` is borrowed from `payload`. */
enum status producer_entry_decode(struct bytes payload, struct producer_entry *out_entry) MUST_CHECK;

#endif
