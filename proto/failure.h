/* What went wrong, in full: the reason, whether the request took effect, and what a client needs to go on. It travels as a gRPC
 * status with trailing metadata (`cairn-reason`, `cairn-executed`, `cairn-leader`, `cairn-next-offset`,
 * `cairn-next-sequence`, `cairn-producer-epoch`, `retry-after-ms`), or
 * inside a stream as a cairn.v1.Error. docs/ERRORS.md is the table.
 *
 * Plain data, no owner, no thread.
 */
#ifndef CAIRN_PROTO_FAILURE_H
#define CAIRN_PROTO_FAILURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/rpc.h"
#include "base/status.h"

#define FAILURE_TEXT_SIZE 512u
#define FAILURE_LEADER_SIZE 64u
/* No cairn.v1.Error that failure_encode() writes is longer. */
#define FAILURE_ENCODED_MAX (FAILURE_TEXT_SIZE + FAILURE_LEADER_SIZE + 128u)

struct failure {
  enum status reason;
  enum executed executed;
  char text[FAILURE_TEXT_SIZE];
  char leader[FAILURE_LEADER_SIZE]; /* HOST:PORT, or "" */
  bool has_next_offset;
  int64_t next_offset;
  bool has_producer; /* next_sequence and producer_epoch are of the producer that an append named */
  uint64_t next_sequence;
  uint32_t producer_epoch;
  uint32_t retry_after_ms; /* 0: no advice */
};

/* Fills all fields: `executed` from status.def, no leader, no offset; retry after 50 ms where the reason is one of passing overload
 * (RESOURCE_EXHAUSTED and safe to retry). The text says what happened, why, and what to do; NULL: the words of status.def. */
void failure_set(struct failure *failure, enum status reason, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Ends the call with it. @any-thread */
void failure_finish_call(struct rpc_call *call, const struct failure *failure);

/* The same in one line, for failures that need nothing but a reason and words. @any-thread */
void failure_refuse_call(struct rpc_call *call, enum status reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* What a finished request means; also for code OK (reason OK, executed YES). An answer without `cairn-executed` is MAYBE, or NO if no
 * connection ever had the request; one without a reason that we know gets the reason that fits its code best. */
void failure_from_result(struct failure *failure, const struct rpc_result *result);

/* As a cairn.v1.Error. `into` has FAILURE_ENCODED_MAX bytes; returns the size. */
size_t failure_encode(const struct failure *failure, uint8_t *into);
/* STATUS_MALFORMED: not a cairn.v1.Error. Texts that do not fit are cut. */
enum status failure_decode(struct bytes message, struct failure *out_failure) MUST_CHECK;

#endif
