/* An entry: one step of a group's log, as it stands in journals and segments and travels between brokers.
 *
 * A fixed head, laid out by hand, and a payload that is kept byte for byte. An entry that carries records takes as many offsets
 * as it has records; one that does not (no-op, command, trim) takes an index but no offset, and its base offset is the offset
 * that the next record will get. Both numbers stand in the head, so no table ever translates between them.
 *
 * The head, little endian. docs/FORMATS.md has a golden example.
 *
 *   offset size
 *        0    4  magic "CRNE"
 *        4    4  head_crc: CRC32C of bytes 8 .. 103
 *        8    1  version, 1
 *        9    1  kind (enum entry_kind)
 *       10    1  codec (enum entry_codec)
 *       11    1  flags, 0
 *       12    4  payload size, bytes
 *       16    8  index, from 1, consecutive in a group
 *       24    8  term, never decreasing in a group
 *       32    8  base offset
 *       40    4  record count, 0 unless kind is RECORDS
 *       44    4  payload size before compression
 *       48    8  producer id, 0: none
 *       56    4  producer epoch
 *       60    4  payload_crc: CRC32C of the payload
 *       64    8  first sequence of the producer
 *       72    8  base record time, ms since 1970
 *       80    8  greatest record time, ms
 *       88    8  leader time, ms; never decreasing in a group
 *       96    8  chain link over the link before, the head and the payload:
 *               XXH3(payload, seed = XXH3(bytes 8 .. 95 of the head, seed = the link before)); 0 is before the first
 *
 * 1. Index i+1 follows index i; its term is at least i's; its base offset is i's base offset plus i's record count.
 * 2. Equal chain links at an index mean equal logs up to it (with the odds of a 64-bit hash; it guards against rot, not forgers).
 */
#ifndef CAIRN_LOG_ENTRY_H
#define CAIRN_LOG_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/blob.h"
#include "base/bytes.h"
#include "base/status.h"

typedef uint64_t group_id;    /* a Raft group; 0 is the controller's; never reused */
typedef uint64_t instance_id; /* which founding of the group on this broker; from 1 */

/* Instances come in series. Within one a log takes the place of another that stays until it is whole (log_create_at()); a later series begins only
 * after all that was of an earlier one is closed, durably. */
#define INSTANCE_SERIES_BITS 24u
static inline uint64_t instance_series(instance_id instance) { return instance >> INSTANCE_SERIES_BITS; }
typedef uint64_t entry_index; /* 0: before the first */
typedef uint64_t entry_term;
typedef int64_t record_offset;

#define ENTRY_HEAD_SIZE 104u
#define ENTRY_PAYLOAD_MAX (4u << 20)

/* On disk: numbers are never given a new meaning. */
enum entry_kind {
  ENTRY_RECORDS = 1,
  ENTRY_NOOP = 2,    /* the start of a term */
  ENTRY_CONFIG = 3,  /* voters and learners of the group */
  ENTRY_TRIM = 4,    /* payload: the new log start offset, u64 */
  ENTRY_COMMAND = 5, /* a command of the group's owner (group 0: cairn.internal.v1.Command) */
  ENTRY_PRODUCER = 6 /* what becomes of a producer (server/producer_entry.h) */
  /* 7 .. 15 are kept for fences, writers, checkpoints and multi-partition appends. */
};

enum entry_codec { ENTRY_CODEC_NONE = 0, ENTRY_CODEC_ZSTD = 1, ENTRY_CODEC_LZ4 = 2 };

struct entry_head {
  enum entry_kind kind;
  enum entry_codec codec;
  uint32_t payload_size;
  uint32_t payload_crc;
  uint32_t record_count;
  uint32_t uncompressed_size;
  entry_index index;
  entry_term term;
  record_offset base_offset;
  uint64_t producer_id;
  uint32_t producer_epoch;
  uint64_t first_sequence;
  int64_t base_time_ms;
  int64_t max_time_ms;
  int64_t leader_time_ms;
  uint64_t chain;
};

/* An entry in memory. Holds its payload; release with entry_release(). */
struct entry {
  struct entry_head head;
  struct blob_part payload;
};

static inline record_offset entry_end_offset(const struct entry_head *head) {
  return head->base_offset + (record_offset)head->record_count;
}
/* What clients append is written only where log_set_admit() gave room for it; the rest always is. So are group 0's commands, which are few: some
 * of them make room, and whoever cannot keep them cannot go on with the others. */
static inline bool entry_needs_room(enum entry_kind kind) { return kind == ENTRY_RECORDS || kind == ENTRY_PRODUCER; }
static inline uint64_t entry_size(const struct entry_head *head) { return ENTRY_HEAD_SIZE + (uint64_t)head->payload_size; }

/* Writes the head, head_crc included. PRE: payload_crc and chain are set. */
void entry_encode_head(const struct entry_head *head, uint8_t out[ENTRY_HEAD_SIZE]);

/* STATUS_CORRUPT: not a head, or a damaged one. STATUS_FOREIGN: a version that this build does not know. */
enum status entry_decode_head(const uint8_t in[ENTRY_HEAD_SIZE], struct entry_head *out_head) MUST_CHECK;

/* Fills payload_size and payload_crc from the payload, then the chain link that follows `previous_chain`. */
void entry_seal(struct entry_head *head, struct bytes payload, uint64_t previous_chain);

/* The link that belongs in this head. */
uint64_t entry_chain(const struct entry_head *head, struct bytes payload, uint64_t previous_chain);

/* STATUS_CORRUPT unless size and payload_crc fit the payload. The chain is the caller's to compare: it needs the link before. */
enum status entry_check_payload(const struct entry_head *head, struct bytes payload) MUST_CHECK;

void entry_release(struct entry *entry);

#endif
