/* A Packet or a Pulse from another broker: any bytes. What decodes must come back when it is encoded, and say what protobuf-c reads, where
 * that can read it too. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "cairn/internal/v1/peer.pb-c.h"
#include "proto/pack.h"
#include "replication/peer_wire.h"

static const struct replica_id from = {.broker = 1, .incarnation = {1, 2}};
static const struct replica_id to = {.broker = 2, .incarnation = {3, 4}};

static struct blob *blob_of(struct bytes bytes) {
  struct blob *blob = NULL;
  enum status status = blob_new(NULL, bytes.size, &blob);
  CHECK(status == STATUS_OK);
  if (bytes.size > 0) memcpy(blob->data, bytes.data, bytes.size);
  return blob;
}

static struct blob *join(struct blob_part *parts, size_t count) {
  struct buffer all = {.max = SIZE_MAX / 4};
  for (size_t i = 0; i < count; i++) {
    enum status status = buffer_append(&all, parts[i].bytes.data, parts[i].bytes.size);
    CHECK(status == STATUS_OK);
    blob_part_release(parts[i]);
  }
  struct blob *blob = blob_of(buffer_bytes(&all));
  buffer_deinit(&all);
  return blob;
}

static void check_entries(const struct peer_message *a, const struct peer_message *b) {
  CHECK(a->count == b->count && a->count == a->raft.append.count);
  for (size_t i = 0; i < a->count; i++) {
    CHECK(a->entries[i].head.index == a->raft.append.prev_index + 1 + i);
    CHECK(a->entries[i].head.chain == b->entries[i].head.chain);
    CHECK(bytes_equal(a->entries[i].payload.bytes, b->entries[i].payload.bytes));
  }
}

static void check_same(const struct peer_message *a, const struct peer_message *b) {
  CHECK(a->raft.kind == b->raft.kind && a->raft.term == b->raft.term && a->raft.sequence == b->raft.sequence);
  switch (a->raft.kind) {
    case RAFT_PRE_VOTE:
    case RAFT_VOTE:
      CHECK(a->raft.vote.last_term == b->raft.vote.last_term && a->raft.vote.last_index == b->raft.vote.last_index);
      CHECK(a->raft.vote.transfer == b->raft.vote.transfer);
      break;
    case RAFT_PRE_VOTE_ANSWER:
    case RAFT_VOTE_ANSWER:
      CHECK(a->raft.vote_answer.asked_term == b->raft.vote_answer.asked_term);
      CHECK(a->raft.vote_answer.granted == b->raft.vote_answer.granted);
      break;
    case RAFT_APPEND:
    case RAFT_FETCH_STATE:
    case RAFT_FETCH_ENTRIES:
    case RAFT_SHIPPED_STATE:
    case RAFT_SHIPPED_ENTRIES:
    case RAFT_SHIPS_NOT:
      CHECK(a->raft.append.prev_index == b->raft.append.prev_index && a->raft.append.prev_term == b->raft.append.prev_term);
      CHECK(a->raft.append.prev_chain == b->raft.append.prev_chain && a->raft.append.commit == b->raft.append.commit);
      check_entries(a, b);
      break;
    case RAFT_APPEND_ANSWER:
      CHECK(memcmp(&a->raft.append_answer, &b->raft.append_answer, sizeof a->raft.append_answer) == 0);
      break;
    case RAFT_SNAPSHOT:
      CHECK(a->raft.snapshot.index == b->raft.snapshot.index && a->raft.snapshot.index_term == b->raft.snapshot.index_term);
      CHECK(raft_config_equal(a->raft.snapshot.config, b->raft.snapshot.config));
      break;
    case RAFT_TIMEOUT_NOW: CHECK(a->raft.summons.wished == b->raft.summons.wished); break;
    default: break;
  }
}

static void check_again(const struct peer_packet *packet) {
  struct peer_draft draft;
  struct peer_packet *again = NULL;
  size_t count = 0;
  peer_draft_init(&draft);
  for (size_t i = 0; i < packet->count; i++) {
    const struct peer_received *received = &packet->messages[i];
    peer_draft_add(&draft, received->group, &received->message.raft, received->message.entries, received->message.count);
  }
  struct blob_part *parts = peer_draft_seal(&draft, &count);
  struct blob *blob = join(parts, count);
  enum status status = peer_wire_decode_packet(blob, &from, &to, &again);
  CHECK(status == STATUS_OK && again->count == packet->count);
  for (size_t i = 0; i < packet->count; i++) {
    CHECK(again->messages[i].group == packet->messages[i].group);
    check_same(&packet->messages[i].message, &again->messages[i].message);
  }
  peer_packet_free(again);
  blob_release(blob);
  memory_free(parts);
  peer_draft_deinit(&draft);
}

static void check_against_stock(struct bytes bytes, const struct peer_packet *packet) {
  struct arena *arena = arena_new(PACK_ARENA_BYTES_MAX);
  Cairn__Internal__V1__Packet *stock = NULL;
  if (pack_unpack(arena, &cairn__internal__v1__packet__descriptor, bytes, &stock) == STATUS_OK) {
    size_t at = 0;
    for (size_t i = 0; i < stock->n_messages; i++) {
      const Cairn__Internal__V1__Message *message = stock->messages[i];
      if ((uint32_t)message->kind > RAFT_MESSAGE_KINDS) continue;
      CHECK(at < packet->count);
      const struct peer_received *received = &packet->messages[at++];
      CHECK(received->group == message->group && received->message.raft.term == message->term);
      CHECK(received->message.raft.kind + 1 == (unsigned)message->kind);
      if (received->message.raft.kind == RAFT_TIMEOUT_NOW) CHECK(received->message.raft.summons.wished == (message->wished != 0));
      if (received->message.raft.kind != RAFT_APPEND || message->append == NULL) continue;
      CHECK(received->message.count == message->append->n_entries);
      CHECK(received->message.raft.append.prev_index == message->append->prev_index);
    }
  }
  arena_free(arena);
}

static void try_pulse(struct bytes bytes) {
  struct peer_pulse pulse;
  struct peer_hello hello;
  bool given = false;
  enum status status = peer_wire_decode_hello(bytes, &given, &hello);
  if (status == STATUS_OK && given) CHECK(hello.boot != 0 && hello.from.broker != 0);
  bool wanted = false;
  status = peer_wire_decode_pulse_answer(bytes, &wanted);
  if (status == STATUS_OK && wanted) CHECK(bytes.size > 0);
  if (peer_wire_decode_pulse(bytes, &pulse) != STATUS_OK) return;
  CHECK(pulse.lane_count <= PEER_PULSE_LANES_MAX);
  struct arena *arena = arena_new(PACK_ARENA_BYTES_MAX);
  Cairn__Internal__V1__Pulse *stock = NULL;
  if (pack_unpack(arena, &cairn__internal__v1__pulse__descriptor, bytes, &stock) == STATUS_OK) {
    CHECK(pulse.digest == stock->digest && pulse.count == stock->count && pulse.wall_ms == stock->wall_ms);
    CHECK(pulse.silent_us == stock->silent_us && pulse.lane_count == stock->n_lanes);
    CHECK(pulse.has_list == (stock->list != NULL));
    struct wire_cursor cursor = wire_cursor_of(pulse.list);
    struct peer_leadership leadership;
    for (size_t i = 0; stock->list != NULL && i < stock->list->n_leaderships; i++) {
      status = peer_wire_next_leadership(&cursor, &leadership);
      CHECK(status == STATUS_OK && leadership.term == stock->list->leaderships[i]->term);
    }
  }
  arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct bytes bytes = bytes_of(data, size);
  try_pulse(bytes);
  struct blob *blob = blob_of(bytes);
  struct peer_packet *packet = NULL;
  if (peer_wire_decode_packet(blob, &from, &to, &packet) == STATUS_OK) {
    check_again(packet);
    check_against_stock(bytes, packet);
  }
  peer_packet_free(packet);
  CHECK(atomic_load(&blob->holders) == 1);
  blob_release(blob);
  return 0;
}
