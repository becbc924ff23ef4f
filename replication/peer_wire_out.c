/* A packet that fills up: messages of many groups, one behind the other. */
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "replication/peer_wire_internal.h"

#define BODY_SIZE_MAX (96u + RAFT_CONFIG_BYTES_MAX)
#define MESSAGE_HEAD_MAX 96u
#define ENTRY_FRAME_MAX (8u + ENTRY_HEAD_SIZE) /* tag, length, head */
#define HEADS_MAX ((size_t)64 << 20)

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
    case RAFT_SHIPS_NOT:
    case RAFT_WANT:
    case RAFT_GIVEN:
    case RAFT_GIVES_NOT: *out_number = MESSAGE_APPEND; return put_append(at, &message->append);
    case RAFT_APPEND_ANSWER: *out_number = MESSAGE_APPEND_ANSWER; return put_append_answer(at, &message->append_answer);
    case RAFT_SNAPSHOT: *out_number = MESSAGE_SNAPSHOT; return put_snapshot(at, &message->snapshot);
    case RAFT_READ_PROBE:
    case RAFT_READ_ANSWER:
    case RAFT_TIMEOUT_NOW:
    case RAFT_RESIGN:
    case RAFT_PROVEN: break;
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
  if (message->from.placement != 0) at = wire_put_uint(at, MESSAGE_FROM_PLACEMENT, message->from.placement);
  if (message->to.placement != 0) at = wire_put_uint(at, MESSAGE_TO_PLACEMENT, message->to.placement);
  if (message->kind == RAFT_TIMEOUT_NOW && message->summons.wished) at = wire_put_uint(at, MESSAGE_WISHED, 1);
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
