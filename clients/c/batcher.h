/* Records into the bytes of a batch: each record is encoded once, where it will be sent from.
 *
 * A batch starts small and grows fourfold up to its bound, so that many thin partitions cost little and a thick one copies
 * little. Plain data with no owner but its holder; no locks, no clock.
 */
#ifndef CAIRN_CLIENTS_C_BATCHER_H
#define CAIRN_CLIENTS_C_BATCHER_H

#include "base/blob.h"
#include "base/list.h"
#include "clients/c/cairn.h"
#include "proto/log_wire.h"

/* What a request may carry, so that it stays below the 4 MiB that every gRPC server takes. */
#define BATCH_BYTES_MAX (4u * 1024 * 1024 - 16 * 1024)
#define BATCH_BYTES_FIRST 4096u
#define RECORD_HEADERS_MAX 1024u

struct batch {
  struct list_node node;
  struct blob *blob; /* the encoded Records; `size` of it is used */
  size_t size;
  uint32_t record_count;
  void **opaques; /* NULL while no record has one */
  size_t opaque_capacity;

  /* The producer's; untouched here. */
  struct queue *queue;
  uint64_t opened_ns;
  uint64_t sent_ns;
  uint64_t request_id;
  uint64_t place; /* among the messages of its stream, from 1 on */
  bool sequenced; /* by a producer with a name: first_sequence is set, and stays as long as it may be in the log */
  bool in_doubt;  /* it was sent, and nobody knows what became of it */
  uint64_t first_sequence;
  bool failed;
  struct failure failure;
  int64_t base_offset;
  int64_t leader_time_ms;
};

/* Bytes that the message takes in a batch. */
size_t batcher_record_size(const struct cairn_message *message);

/* STATUS_NO_MEMORY: the account has no room for the first bytes. */
enum status batch_new(struct account *account, size_t size_hint, struct batch **out_batch) MUST_CHECK;
void batch_free(struct batch *batch);

/* Adds a record of `record_size` (as batcher_record_size() gave it). An empty batch takes any record up to BATCH_BYTES_MAX.
 * STATUS_TOO_LARGE: it would grow beyond `batch_bytes`: close it. STATUS_NO_MEMORY: no room now. Unchanged on failure. */
enum status batch_add(struct batch *batch, struct account *account, const struct cairn_message *message, size_t record_size,
                      size_t batch_bytes) MUST_CHECK;

/* The batch as it travels: header and payload with its checksum. Compresses when `codec` says so and it helps. The payload is a
 * hold for the caller; the batch keeps its own, so that it can be sent again. */
void batch_seal(const struct batch *batch, enum wire_codec codec, struct wire_batch *out_header, struct blob_part *out_payload);

#endif
