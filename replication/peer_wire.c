#include "replication/peer_wire.h"

#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"

/* Field numbers of proto/cairn/internal/v1/peer.proto. */
enum { REPLICA_BROKER = 1, REPLICA_INCARNATION = 2 };
enum { HELLO_CLUSTER = 1, HELLO_FROM = 2, HELLO_TO = 3, HELLO_BOOT = 4 };
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
  MESSAGE_SNAPSHOT = 9
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

#define REPLICA_SIZE_MAX 32u
#define BODY_SIZE_MAX (96u + RAFT_CONFIG_BYTES_MAX)
#define MESSAGE_HEAD_MAX 64u
#define ENTRY_FRAME_MAX (8u + ENTRY_HEAD_SIZE) /* tag, length, head */
#define HEADS_MAX ((size_t)64 << 20)
#define KINDS RAFT_MESSAGE_KINDS
#define VERDICTS ((unsigned)RAFT_DIVERGED + 1u)

/* The numbers on the wire are the core's plus one: 0 is what proto3 leaves out. */
_Static_assert(RAFT_PRE_VOTE == 0 && RAFT_APPEND == 4 && RAFT_RESIGN == 10 && RAFT_SHIPS_NOT == 15,
               "MessageKind follows raft_message.h");
_Static_assert(RAFT_MATCHED == 0 && RAFT_DIVERGED == 4, "Verdict follows raft_message.h");

/* ---- Who ---- */

static uint8_t *put_replica(uint8_t *at, uint32_t number, const struct replica_id *id) {
  uint8_t inner[REPLICA_SIZE_MAX], incarnation[INCARNATION_SIZE];
  put_u64(incarnation, id->incarnation[0]);
  put_u64(incarnation + 8, id->incarnation[1]);
  uint8_t *end = wire_put_uint(inner, REPLICA_BROKER, id->broker);
  end = wire_put_bytes(end, REPLICA_INCARNATION, bytes_of(incarnation, sizeof incarnation));
  return wire_put_bytes(at, number, bytes_of(inner, (size_t)(end - inner)));
}

uint8_t *peer_wire_put_hello(uint8_t *at, const struct peer_hello *hello) {
  uint8_t inner[PEER_HELLO_BYTES_MAX];
  uint8_t *end = wire_put_bytes(inner, HELLO_CLUSTER, bytes_of(hello->cluster, sizeof hello->cluster));
  end = put_replica(end, HELLO_FROM, &hello->from);
  end = put_replica(end, HELLO_TO, &hello->to);
  end = wire_put_fixed64(end, HELLO_BOOT, hello->boot);
  return wire_put_bytes(at, PEER_WIRE_HELLO, bytes_of(inner, (size_t)(end - inner)));
}

static enum status take_number(const struct wire_field *field, uint64_t *out_value) {
  if (field->type != WIRE_VARINT) return STATUS_MALFORMED;
  *out_value = field->value;
  return STATUS_OK;
}

static enum status take_fixed64(const struct wire_field *field, uint64_t *out_value) {
  if (field->type != WIRE_FIXED64) return STATUS_MALFORMED;
  *out_value = field->value;
  return STATUS_OK;
}

static enum status take_bytes(const struct wire_field *field, struct bytes *out_bytes) {
  if (field->type != WIRE_BYTES) return STATUS_MALFORMED;
  *out_bytes = field->bytes;
  return STATUS_OK;
}

static enum status take_flag(const struct wire_field *field, bool *out_flag) {
  uint64_t value = 0;
  enum status status = take_number(field, &value);
  if (status == STATUS_OK) *out_flag = value != 0;
  return status;
}

static enum status decode_replica(struct bytes bytes, struct replica_id *out_id) {
  struct wire_cursor cursor = wire_cursor_of(bytes);
  struct wire_field field;
  uint64_t broker = 0;
  struct bytes incarnation = {0};
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    if (field.number == REPLICA_BROKER) status = take_number(&field, &broker);
    else if (field.number == REPLICA_INCARNATION) status = take_bytes(&field, &incarnation);
    if (status != STATUS_OK) return status;
  }
  if (status != STATUS_END) return status;
  if (broker == 0 || broker > UINT32_MAX || incarnation.size != INCARNATION_SIZE) return STATUS_MALFORMED;
  *out_id = replica_id_of((broker_id)broker, incarnation.data);
  return STATUS_OK;
}

static enum status decode_hello(struct bytes bytes, struct peer_hello *out_hello) {
  struct wire_cursor cursor = wire_cursor_of(bytes);
  struct wire_field field;
  struct bytes cluster = {0}, from = {0}, to = {0};
  uint64_t boot = 0;
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    switch (field.number) {
      case HELLO_CLUSTER: status = take_bytes(&field, &cluster); break;
      case HELLO_FROM: status = from.data != NULL ? STATUS_MALFORMED : take_bytes(&field, &from); break;
      case HELLO_TO: status = to.data != NULL ? STATUS_MALFORMED : take_bytes(&field, &to); break;
      case HELLO_BOOT: status = take_fixed64(&field, &boot); break;
      default: break;
    }
    if (status != STATUS_OK) return status;
  }
  if (status != STATUS_END) return status;
  struct peer_hello hello = {.boot = boot};
  if (cluster.size != sizeof hello.cluster || boot == 0) return STATUS_MALFORMED;
  memcpy(hello.cluster, cluster.data, sizeof hello.cluster);
  status = decode_replica(from, &hello.from);
  if (status == STATUS_OK) status = decode_replica(to, &hello.to);
  if (status == STATUS_OK) *out_hello = hello;
  return status;
}

enum status peer_wire_decode_hello(struct bytes message, bool *out_given, struct peer_hello *out_hello) {
  struct wire_cursor cursor = wire_cursor_of(message);
  struct wire_field field;
  enum status status = wire_next(&cursor, &field);
  if (status != STATUS_OK && status != STATUS_END) return status;
  *out_given = status == STATUS_OK && field.number == PEER_WIRE_HELLO;
  if (!*out_given) return STATUS_OK;
  return field.type == WIRE_BYTES ? decode_hello(field.bytes, out_hello) : STATUS_MALFORMED;
}

/* ---- Messages, out ---- */

/* Behind heads[0 .. at) stands this payload. */
struct peer_cut {
  size_t at;
  struct blob_part payload;
};

void peer_draft_init(struct peer_draft *draft) {
  *draft = (struct peer_draft){0};
  buffer_init(&draft->heads, HEADS_MAX);
}

void peer_draft_deinit(struct peer_draft *draft) {
  for (size_t i = 0; i < draft->cut_count; i++) blob_part_release(draft->cuts[i].payload);
  memory_free(draft->cuts);
  buffer_deinit(&draft->heads);
}

static void add(struct peer_draft *draft, const uint8_t *data, size_t size) {
  uint8_t *into = buffer_extend(&draft->heads, size);
  CHECK(into != NULL);
  if (size > 0) memcpy(into, data, size);
  draft->bytes += size;
}

void peer_draft_hello(struct peer_draft *draft, const struct peer_hello *hello) {
  PRE(draft->bytes == 0);
  uint8_t bytes[PEER_HELLO_BYTES_MAX];
  add(draft, bytes, (size_t)(peer_wire_put_hello(bytes, hello) - bytes));
}

static uint8_t *put_vote(uint8_t *at, const struct raft_vote_request *vote) {
  at = wire_put_uint(at, VOTE_LAST_TERM, vote->last_term);
  at = wire_put_uint(at, VOTE_LAST_INDEX, vote->last_index);
  return wire_put_uint(at, VOTE_TRANSFER, vote->transfer);
}

static uint8_t *put_vote_answer(uint8_t *at, const struct raft_vote_answer *answer) {
  at = wire_put_uint(at, VOTED_ASKED_TERM, answer->asked_term);
  return wire_put_uint(at, VOTED_GRANTED, answer->granted);
}

static uint8_t *put_append(uint8_t *at, const struct raft_append *append) {
  at = wire_put_uint(at, APPEND_PREV_INDEX, append->prev_index);
  at = wire_put_uint(at, APPEND_PREV_TERM, append->prev_term);
  if (append->prev_chain != 0) at = wire_put_fixed64(at, APPEND_PREV_CHAIN, append->prev_chain);
  return wire_put_uint(at, APPEND_COMMIT, append->commit);
}

static uint8_t *put_append_answer(uint8_t *at, const struct raft_append_answer *answer) {
  at = wire_put_uint(at, APPENDED_VERDICT, (uint64_t)answer->verdict + 1);
  at = wire_put_uint(at, APPENDED_MATCH, answer->match);
  at = wire_put_uint(at, APPENDED_COMMIT, answer->commit);
  at = wire_put_uint(at, APPENDED_LAST_INDEX, answer->last_index);
  at = wire_put_uint(at, APPENDED_REJECTED, answer->rejected);
  at = wire_put_uint(at, APPENDED_HINT_INDEX, answer->hint_index);
  at = wire_put_uint(at, APPENDED_HINT_TERM, answer->hint_term);
  return wire_put_uint(at, APPENDED_GENERATION, answer->generation);
}

static uint8_t *put_snapshot(uint8_t *at, const struct raft_snapshot *snapshot) {
  uint8_t config[RAFT_CONFIG_BYTES_MAX];
  at = wire_put_uint(at, SNAPSHOT_INDEX, snapshot->index);
  at = wire_put_uint(at, SNAPSHOT_INDEX_TERM, snapshot->index_term);
  at = wire_put_uint(at, SNAPSHOT_CONFIG_INDEX, snapshot->config_index);
  return wire_put_bytes(at, SNAPSHOT_CONFIG, bytes_of(config, raft_config_encode(snapshot->config, config)));
}

/* What belongs to the kind, without entries; `*out_number` is its field, 0: it has none. */
static uint8_t *put_body(uint8_t *at, const struct raft_message *message, uint32_t *out_number) {
  *out_number = 0;
  switch (message->kind) {
    case RAFT_PRE_VOTE:
    case RAFT_VOTE: *out_number = MESSAGE_VOTE; return put_vote(at, &message->vote);
    case RAFT_PRE_VOTE_ANSWER:
    case RAFT_VOTE_ANSWER: *out_number = MESSAGE_VOTE_ANSWER; return put_vote_answer(at, &message->vote_answer);
    case RAFT_APPEND:
    case RAFT_FETCH_STATE:
    case RAFT_FETCH_ENTRIES:
    case RAFT_SHIPPED_STATE:
    case RAFT_SHIPPED_ENTRIES:
    case RAFT_SHIPS_NOT: *out_number = MESSAGE_APPEND; return put_append(at, &message->append);
    case RAFT_APPEND_ANSWER: *out_number = MESSAGE_APPEND_ANSWER; return put_append_answer(at, &message->append_answer);
    case RAFT_SNAPSHOT: *out_number = MESSAGE_SNAPSHOT; return put_snapshot(at, &message->snapshot);
    case RAFT_READ_PROBE:
    case RAFT_READ_ANSWER:
    case RAFT_TIMEOUT_NOW:
    case RAFT_RESIGN: break;
  }
  return at;
}

static size_t framed_size(uint32_t number, size_t contents) {
  return wire_varint_size(number << 3) + wire_varint_size(contents) + contents;
}

static void cut(struct peer_draft *draft, struct blob_part payload) {
  if (draft->cut_count == draft->cut_capacity) {
    draft->cut_capacity = draft->cut_capacity == 0 ? 16 : 2 * draft->cut_capacity;
    draft->cuts = memory_grow_array(draft->cuts, draft->cut_capacity, sizeof *draft->cuts);
  }
  draft->cuts[draft->cut_count++] = (struct peer_cut){.at = draft->heads.size, .payload = blob_part_hold(payload)};
  draft->bytes += payload.bytes.size;
}

static void add_entry(struct peer_draft *draft, const struct entry *entry) {
  uint8_t frame[ENTRY_FRAME_MAX];
  PRE(entry->head.payload_size == entry->payload.bytes.size);
  uint8_t *at = wire_put_bytes_head(frame, APPEND_ENTRIES, (size_t)entry_size(&entry->head));
  entry_encode_head(&entry->head, at);
  add(draft, frame, (size_t)(at - frame) + ENTRY_HEAD_SIZE);
  if (entry->payload.bytes.size < PEER_PAYLOAD_COPY_MAX) add(draft, entry->payload.bytes.data, entry->payload.bytes.size);
  else cut(draft, entry->payload);
}

size_t peer_wire_message_bytes_max(const struct entry *entries, size_t count) {
  size_t size = BODY_SIZE_MAX + MESSAGE_HEAD_MAX;
  for (size_t i = 0; i < count; i++) size += ENTRY_FRAME_MAX + entries[i].head.payload_size;
  return size;
}

void peer_draft_add(struct peer_draft *draft, group_id group, const struct raft_message *message, const struct entry *entries,
                    size_t count) {
  PRE(count == 0 || raft_carries_entries(message->kind));
  PRE(count <= RAFT_ENTRIES_MAX);
  PRE(draft->messages < PEER_PACKET_MESSAGES_MAX);
  uint8_t body[BODY_SIZE_MAX], head[MESSAGE_HEAD_MAX], frame[16];
  uint32_t body_number = 0;
  size_t body_size = (size_t)(put_body(body, message, &body_number) - body);
  size_t inner_size = body_size;
  for (size_t i = 0; i < count; i++) {
    PRE(entries[i].head.index == message->append.prev_index + 1 + i);
    inner_size += framed_size(APPEND_ENTRIES, (size_t)entry_size(&entries[i].head));
  }
  uint8_t *at = wire_put_uint(head, MESSAGE_GROUP, group);
  at = wire_put_uint(at, MESSAGE_KIND, (uint64_t)message->kind + 1);
  at = wire_put_uint(at, MESSAGE_TERM, message->term);
  at = wire_put_uint(at, MESSAGE_SEQUENCE, message->sequence);
  if (body_number != 0) at = wire_put_bytes_head(at, body_number, inner_size);
  size_t head_size = (size_t)(at - head);
  add(draft, frame, (size_t)(wire_put_bytes_head(frame, PACKET_MESSAGES, head_size + inner_size) - frame));
  add(draft, head, head_size);
  add(draft, body, body_size);
  for (size_t i = 0; i < count; i++) add_entry(draft, &entries[i]);
  draft->messages++;
}

struct blob_part *peer_draft_seal(struct peer_draft *draft, size_t *out_count) {
  struct blob *heads = NULL;
  enum status status = blob_new(NULL, draft->heads.size, &heads);
  CHECK(status == STATUS_OK);
  if (heads->size > 0) memcpy(heads->data, draft->heads.data, heads->size);
  struct blob_part *parts = memory_new_array(2 * draft->cut_count + 1, sizeof *parts);
  size_t count = 0, begin = 0;
  for (size_t i = 0; i < draft->cut_count; i++) {
    parts[count++] = blob_part_of(heads, begin, draft->cuts[i].at - begin);
    parts[count++] = draft->cuts[i].payload;
    begin = draft->cuts[i].at;
  }
  if (begin < heads->size || count == 0) parts[count++] = blob_part_of(heads, begin, heads->size - begin);
  blob_release(heads);
  draft->cut_count = 0;
  draft->bytes = 0;
  draft->messages = 0;
  buffer_reset(&draft->heads);
  *out_count = count;
  return parts;
}

/* ---- Messages, in ---- */

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
    case RAFT_SHIPS_NOT: {
      enum status status = decode_append(outer->bodies[MESSAGE_APPEND], rooms, message);
      bool misplaced = message->count > 0 && !raft_carries_entries(raft->kind);
      return status == STATUS_OK && misplaced ? STATUS_MALFORMED : status;
    }
    case RAFT_APPEND_ANSWER: return decode_append_answer(outer->bodies[MESSAGE_APPEND_ANSWER], &raft->append_answer);
    case RAFT_SNAPSHOT:
      if (!outer->given[MESSAGE_SNAPSHOT]) return STATUS_MALFORMED;
      CHECK(rooms->config < rooms->configs_end);
      return decode_snapshot(outer->bodies[MESSAGE_SNAPSHOT], &raft->snapshot, rooms->config++);
    case RAFT_READ_PROBE:
    case RAFT_READ_ANSWER:
    case RAFT_TIMEOUT_NOW:
    case RAFT_RESIGN: return STATUS_OK;
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
