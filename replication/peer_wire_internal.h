/* Between the files of peer_wire.h: peer_wire.c says who speaks, peer_wire_out.c fills a draft, peer_wire_in.c takes a packet apart, and
 * peer_wire_pulse.c does beats.
 */
#ifndef CAIRN_REPLICATION_PEER_WIRE_INTERNAL_H
#define CAIRN_REPLICATION_PEER_WIRE_INTERNAL_H

#include "replication/peer_wire.h"

/* Field numbers of proto/cairn/internal/v1/peer.proto. */
enum { PACKET_MESSAGES = 2 };
enum {
  MESSAGE_GROUP = 1,
  MESSAGE_KIND = 2,
  MESSAGE_TERM = 3,
  MESSAGE_SEQUENCE = 4,
  MESSAGE_VOTE = 5,
  MESSAGE_VOTE_ANSWER = 6,
  MESSAGE_APPEND = 7,
  MESSAGE_APPEND_ANSWER = 8,
  MESSAGE_SNAPSHOT = 9,
  MESSAGE_FROM_PLACEMENT = 10,
  MESSAGE_TO_PLACEMENT = 11,
  MESSAGE_WISHED = 12
};
enum { VOTE_LAST_TERM = 1, VOTE_LAST_INDEX = 2, VOTE_TRANSFER = 3 };
enum { VOTED_ASKED_TERM = 1, VOTED_GRANTED = 2 };
enum { APPEND_PREV_INDEX = 1, APPEND_PREV_TERM = 2, APPEND_PREV_CHAIN = 3, APPEND_COMMIT = 4, APPEND_ENTRIES = 5 };
enum {
  APPENDED_VERDICT = 1,
  APPENDED_MATCH = 2,
  APPENDED_COMMIT = 3,
  APPENDED_LAST_INDEX = 4,
  APPENDED_REJECTED = 5,
  APPENDED_HINT_INDEX = 6,
  APPENDED_HINT_TERM = 7,
  APPENDED_GENERATION = 8
};
enum { SNAPSHOT_INDEX = 1, SNAPSHOT_INDEX_TERM = 2, SNAPSHOT_CONFIG_INDEX = 3, SNAPSHOT_CONFIG = 4 };

/* The numbers on the wire are the core's plus one: 0 is what proto3 leaves out. */
_Static_assert(RAFT_PRE_VOTE == 0 && RAFT_APPEND == 4 && RAFT_RESIGN == 10 && RAFT_PROVEN == 16 && RAFT_GIVES_NOT == 19,
               "MessageKind follows raft_message.h");
_Static_assert(RAFT_MATCHED == 0 && RAFT_UNPROVEN == 5, "Verdict follows raft_message.h");

static inline MUST_CHECK enum status take_number(const struct wire_field *field, uint64_t *out_value) {
  if (field->type != WIRE_VARINT) return STATUS_MALFORMED;
  *out_value = field->value;
  return STATUS_OK;
}

static inline MUST_CHECK enum status take_fixed64(const struct wire_field *field, uint64_t *out_value) {
  if (field->type != WIRE_FIXED64) return STATUS_MALFORMED;
  *out_value = field->value;
  return STATUS_OK;
}

static inline MUST_CHECK enum status take_bytes(const struct wire_field *field, struct bytes *out_bytes) {
  if (field->type != WIRE_BYTES) return STATUS_MALFORMED;
  *out_bytes = field->bytes;
  return STATUS_OK;
}

static inline MUST_CHECK enum status take_flag(const struct wire_field *field, bool *out_flag) {
  uint64_t value = 0;
  enum status status = take_number(field, &value);
  if (status == STATUS_OK) *out_flag = value != 0;
  return status;
}

#endif
