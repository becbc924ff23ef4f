/* A packet taken apart: counted first, so that what it costs is known and bounded before anything is made. */
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "replication/peer_wire_internal.h"

#define KINDS RAFT_MESSAGE_KINDS
#define VERDICTS ((unsigned)RAFT_UNPROVEN + 1u)

static enum status decode_vote(struct bytes bytes, struct raft_vote_request *vote) {
  struct wire_cursor cursor = wire_cursor_of(bytes);
  struct wire_field field;
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    switch (field.number) {
      case VOTE_LAST_TERM: status = take_number(&field, &vote->last_term); break;
      case VOTE_LAST_INDEX: status = take_number(&field, &vote->last_index); break;
      case VOTE_TRANSFER: status = take_flag(&field, &vote->transfer); break;
      default: break;
    }
    if (status != STATUS_OK) return status;
  }
  return status == STATUS_END ? STATUS_OK : status;
}

static enum status decode_vote_answer(struct bytes bytes, struct raft_vote_answer *answer) {
  struct wire_cursor cursor = wire_cursor_of(bytes);
  struct wire_field field;
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    switch (field.number) {
      case VOTED_ASKED_TERM: status = take_number(&field, &answer->asked_term); break;
      case VOTED_GRANTED: status = take_flag(&field, &answer->granted); break;
      default: break;
    }
    if (status != STATUS_OK) return status;
  }
  return status == STATUS_END ? STATUS_OK : status;
}

static enum status decode_append_answer(struct bytes bytes, struct raft_append_answer *answer) {
  struct wire_cursor cursor = wire_cursor_of(bytes);
  struct wire_field field;
  uint64_t verdict = 0;
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    switch (field.number) {
      case APPENDED_VERDICT: status = take_number(&field, &verdict); break;
      case APPENDED_MATCH: status = take_number(&field, &answer->match); break;
      case APPENDED_COMMIT: status = take_number(&field, &answer->commit); break;
      case APPENDED_LAST_INDEX: status = take_number(&field, &answer->last_index); break;
      case APPENDED_REJECTED: status = take_number(&field, &answer->rejected); break;
      case APPENDED_HINT_INDEX: status = take_number(&field, &answer->hint_index); break;
      case APPENDED_HINT_TERM: status = take_number(&field, &answer->hint_term); break;
      case APPENDED_GENERATION: status = take_number(&field, &answer->generation); break;
      default: break;
    }
    if (status != STATUS_OK) return status;
  }
  if (status != STATUS_END) return status;
  if (verdict == 0 || verdict > VERDICTS) return STATUS_MALFORMED;
  answer->verdict = (enum raft_verdict)(verdict - 1);
  return STATUS_OK;
}

static enum status decode_snapshot(struct bytes bytes, struct raft_snapshot *snapshot, struct raft_config *config) {
  struct wire_cursor cursor = wire_cursor_of(bytes);
  struct wire_field field;
  struct bytes encoded = {0};
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    switch (field.number) {
      case SNAPSHOT_INDEX: status = take_number(&field, &snapshot->index); break;
      case SNAPSHOT_INDEX_TERM: status = take_number(&field, &snapshot->index_term); break;
      case SNAPSHOT_CONFIG_INDEX: status = take_number(&field, &snapshot->config_index); break;
      case SNAPSHOT_CONFIG: status = take_bytes(&field, &encoded); break;
      default: break;
    }
    if (status != STATUS_OK) return status;
  }
  if (status != STATUS_END) return status;
  snapshot->config = config;
  return raft_config_decode(encoded, config);
}

/* Where a message's things go: rooms that were counted before. */
struct rooms {
  const struct replica_id *from;
  const struct replica_id *to;
  struct blob *blob;
  struct entry *entry;
  const struct entry *entries_end;
  struct raft_config *config;
  const struct raft_config *configs_end;
};

static enum status decode_entry(struct bytes bytes, entry_index index, struct blob *blob, struct entry *out_entry) {
  if (bytes.size < ENTRY_HEAD_SIZE) return STATUS_MALFORMED;
  struct entry entry;
  enum status status = entry_decode_head(bytes.data, &entry.head);
  if (status != STATUS_OK) return status;
  struct bytes payload = bytes_after(bytes, ENTRY_HEAD_SIZE);
  if (entry.head.payload_size != payload.size || entry.head.index != index) return STATUS_MALFORMED;
  entry.payload = (struct blob_part){.blob = blob, .bytes = payload};
  *out_entry = entry;
  return STATUS_OK;
}

static enum status decode_append(struct bytes bytes, struct rooms *rooms, struct peer_message *message) {
  struct raft_append *append = &message->raft.append;
  struct wire_cursor cursor = wire_cursor_of(bytes);
  struct wire_field field;
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    switch (field.number) {
      case APPEND_PREV_INDEX: status = take_number(&field, &append->prev_index); break;
      case APPEND_PREV_TERM: status = take_number(&field, &append->prev_term); break;
      case APPEND_PREV_CHAIN: status = take_fixed64(&field, &append->prev_chain); break;
      case APPEND_COMMIT: status = take_number(&field, &append->commit); break;
      default: break;
    }
    if (status != STATUS_OK) return status;
  }
  if (status != STATUS_END) return status;
  if (append->prev_index > UINT64_MAX - RAFT_ENTRIES_MAX) return STATUS_MALFORMED;

  message->entries = rooms->entry;
  cursor = wire_cursor_of(bytes);
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    if (field.number != APPEND_ENTRIES) continue;
    if (field.type != WIRE_BYTES || message->count == RAFT_ENTRIES_MAX) return STATUS_MALFORMED;
    CHECK(rooms->entry < rooms->entries_end);
    status = decode_entry(field.bytes, append->prev_index + 1 + message->count, rooms->blob, rooms->entry);
    if (status != STATUS_OK) return status;
    rooms->entry++;
    message->count++;
    append->bytes_max += (uint32_t)field.bytes.size;
  }
  append->count = (uint32_t)message->count;
  return STATUS_OK;
}

/* A message's own fields; the body is decoded when the kind is known. */
struct outer {
  uint64_t kind;
  uint64_t from_placement;
  uint64_t to_placement;
  bool wished;
  uint32_t body_number;
  struct bytes bodies[MESSAGE_SNAPSHOT + 1]; /* by field number */
  bool given[MESSAGE_SNAPSHOT + 1];
};

static enum status take_outer(struct bytes bytes, struct peer_received *received, struct outer *outer) {
  struct wire_cursor cursor = wire_cursor_of(bytes);
  struct wire_field field;
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    switch (field.number) {
      case MESSAGE_GROUP: status = take_number(&field, &received->group); break;
      case MESSAGE_KIND: status = take_number(&field, &outer->kind); break;
      case MESSAGE_TERM: status = take_number(&field, &received->message.raft.term); break;
      case MESSAGE_SEQUENCE: status = take_number(&field, &received->message.raft.sequence); break;
      case MESSAGE_FROM_PLACEMENT: status = take_number(&field, &outer->from_placement); break;
      case MESSAGE_TO_PLACEMENT: status = take_number(&field, &outer->to_placement); break;
      case MESSAGE_WISHED: status = take_flag(&field, &outer->wished); break;
      case MESSAGE_VOTE:
      case MESSAGE_VOTE_ANSWER:
      case MESSAGE_APPEND:
      case MESSAGE_APPEND_ANSWER:
      case MESSAGE_SNAPSHOT:
        if (outer->given[field.number]) return STATUS_MALFORMED;
        outer->given[field.number] = true;
        status = take_bytes(&field, &outer->bodies[field.number]);
        break;
      default: break;
    }
    if (status != STATUS_OK) return status;
  }
  return status == STATUS_END ? STATUS_OK : status;
}

static enum status decode_body(const struct outer *outer, struct rooms *rooms, struct peer_message *message) {
  struct raft_message *raft = &message->raft;
  switch (raft->kind) {
    case RAFT_PRE_VOTE:
    case RAFT_VOTE: return decode_vote(outer->bodies[MESSAGE_VOTE], &raft->vote);
    case RAFT_PRE_VOTE_ANSWER:
    case RAFT_VOTE_ANSWER: return decode_vote_answer(outer->bodies[MESSAGE_VOTE_ANSWER], &raft->vote_answer);
    case RAFT_APPEND:
    case RAFT_FETCH_STATE:
    case RAFT_FETCH_ENTRIES:
    case RAFT_SHIPPED_STATE:
    case RAFT_SHIPPED_ENTRIES:
    case RAFT_SHIPS_NOT:
    case RAFT_WANT:
    case RAFT_GIVEN:
    case RAFT_GIVES_NOT: {
      enum status status = decode_append(outer->bodies[MESSAGE_APPEND], rooms, message);
      bool misplaced = message->count > 0 && !raft_carries_entries(raft->kind);
      return status == STATUS_OK && misplaced ? STATUS_MALFORMED : status;
    }
    case RAFT_APPEND_ANSWER: return decode_append_answer(outer->bodies[MESSAGE_APPEND_ANSWER], &raft->append_answer);
    case RAFT_SNAPSHOT:
      if (!outer->given[MESSAGE_SNAPSHOT]) return STATUS_MALFORMED;
      CHECK(rooms->config < rooms->configs_end);
      return decode_snapshot(outer->bodies[MESSAGE_SNAPSHOT], &raft->snapshot, rooms->config++);
    case RAFT_TIMEOUT_NOW: raft->summons.wished = outer->wished; return STATUS_OK;
    case RAFT_READ_PROBE:
    case RAFT_READ_ANSWER:
    case RAFT_RESIGN:
    case RAFT_PROVEN: return STATUS_OK;
  }
  return STATUS_OK;
}

/* STATUS_UNSUPPORTED: of a kind that a newer broker knows. */
static enum status decode_message(struct bytes bytes, struct rooms *rooms, struct peer_received *out_received) {
  struct outer outer = {0};
  struct peer_received received = {0};
  enum status status = take_outer(bytes, &received, &outer);
  if (status != STATUS_OK) return status;
  if (outer.kind == 0) return STATUS_MALFORMED;
  if (outer.kind > KINDS) return STATUS_UNSUPPORTED;
  received.message.raft.kind = (enum raft_message_kind)(outer.kind - 1);
  received.message.raft.from = *rooms->from;
  received.message.raft.to = *rooms->to;
  received.message.raft.from.placement = outer.from_placement;
  received.message.raft.to.placement = outer.to_placement;
  status = decode_body(&outer, rooms, &received.message);
  if (status == STATUS_OK) *out_received = received;
  return status;
}

/* How much there is of what needs room: an upper bound, found without understanding it. */
struct census {
  size_t messages;
  size_t entries;
  size_t configs;
};

static enum status count_entries(struct bytes append, struct census *census) {
  struct wire_cursor cursor = wire_cursor_of(append);
  struct wire_field field;
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    if (field.number != APPEND_ENTRIES) continue;
    if (field.type != WIRE_BYTES || field.bytes.size < ENTRY_HEAD_SIZE) return STATUS_MALFORMED;
    census->entries++;
  }
  return status == STATUS_END ? STATUS_OK : status;
}

static enum status count_message(struct bytes message, struct census *census) {
  struct wire_cursor cursor = wire_cursor_of(message);
  struct wire_field field;
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    if (field.number == MESSAGE_SNAPSHOT) census->configs++;
    if (field.number != MESSAGE_APPEND || field.type != WIRE_BYTES) continue;
    status = count_entries(field.bytes, census);
    if (status != STATUS_OK) return status;
  }
  return status == STATUS_END ? STATUS_OK : status;
}

static enum status take_census(struct bytes packet, struct census *census) {
  struct wire_cursor cursor = wire_cursor_of(packet);
  struct wire_field field;
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    if (field.number != PACKET_MESSAGES) continue;
    if (field.type != WIRE_BYTES) return STATUS_MALFORMED;
    if (++census->messages > PEER_PACKET_MESSAGES_MAX) return STATUS_TOO_LARGE;
    status = count_message(field.bytes, census);
    if (status != STATUS_OK) return status;
  }
  if (status != STATUS_END) return status;
  /* A SNAPSHOT body given many times is refused later; until then it must not cost more than one for each message. */
  if (census->configs > census->messages) census->configs = census->messages;
  return STATUS_OK;
}

static struct peer_packet *packet_new(struct blob *blob, const struct census *census, struct rooms *rooms) {
  size_t messages = census->messages * sizeof(struct peer_received);
  size_t entries = census->entries * sizeof(struct entry);
  size_t configs = census->configs * sizeof(struct raft_config);
  struct peer_packet *packet = memory_new(sizeof *packet + messages + entries + configs);
  packet->messages = (struct peer_received *)(void *)(packet + 1);
  packet->blob = blob_hold(blob);
  rooms->blob = blob;
  rooms->entry = (struct entry *)(void *)((uint8_t *)packet->messages + messages);
  rooms->entries_end = rooms->entry + census->entries;
  rooms->config = (struct raft_config *)(void *)((uint8_t *)rooms->entry + entries);
  rooms->configs_end = rooms->config + census->configs;
  return packet;
}

void peer_packet_free(struct peer_packet *packet) {
  if (packet == NULL) return;
  blob_release(packet->blob);
  memory_free(packet);
}

enum status peer_wire_decode_packet(struct blob *blob, const struct replica_id *from, const struct replica_id *to,
                                    struct peer_packet **out_packet) {
  struct bytes bytes = bytes_of(blob->data, blob->size);
  struct census census = {0};
  enum status status = take_census(bytes, &census);
  if (status != STATUS_OK) return status;
  struct rooms rooms = {.from = from, .to = to};
  struct peer_packet *packet = packet_new(blob, &census, &rooms);
  struct wire_cursor cursor = wire_cursor_of(bytes);
  struct wire_field field;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    if (field.number != PACKET_MESSAGES) continue;
    status = decode_message(field.bytes, &rooms, &packet->messages[packet->count]);
    if (status == STATUS_OK) packet->count++;
    else if (status != STATUS_UNSUPPORTED) break;
  }
  if (status != STATUS_END) {
    peer_packet_free(packet);
    return status;
  }
  *out_packet = packet;
  return STATUS_OK;
}
