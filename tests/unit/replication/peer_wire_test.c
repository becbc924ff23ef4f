#include "replication/peer_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "cairn/internal/v1/peer.pb-c.h"
#include "tests/unit/base/parts.h"
#include "tests/unit/replication/chance.h"

/* Every encoder is read back by protobuf-c, which follows peer.proto, and every decoder reads what protobuf-c wrote. */

static const struct replica_id one = {.broker = 1, .incarnation = {11, UINT64_MAX}};
static const struct replica_id two = {.broker = 2, .incarnation = {0, 22}};

static struct blob *seal(struct peer_draft *draft) {
  size_t count = 0, bytes = draft->bytes;
  struct blob_part *parts = peer_draft_seal(draft, &count);
  struct blob *whole = parts_join(parts, count);
  memory_free(parts);
  assert_int_equal(whole->size, bytes);
  return whole;
}

static struct peer_hello a_hello(void) {
  struct peer_hello hello = {.from = one, .to = two, .boot = 77};
  memcpy(hello.cluster, "0123456789abcdef", 16);
  return hello;
}

static struct entry an_entry(entry_index index, size_t payload_size) {
  struct entry entry = {
      .head = {.kind = ENTRY_COMMAND, .index = index, .term = 3, .base_offset = 7, .leader_time_ms = 1700000000000}};
  struct blob *blob = NULL;
  assert_int_equal(blob_new(NULL, payload_size, &blob), STATUS_OK);
  memset(blob->data, (int)index, payload_size);
  entry.payload = (struct blob_part){.blob = blob, .bytes = bytes_of(blob->data, payload_size)};
  entry_seal(&entry.head, entry.payload.bytes, index);
  return entry;
}

static struct raft_config a_config(void) {
  struct raft_config config = {.phase = RAFT_STABLE};
  raft_config_add(&config, &one, RAFT_VOTER, RAFT_VOTER);
  raft_config_add(&config, &two, RAFT_VOTER, RAFT_VOTER);
  return config;
}

static enum status decode(struct blob *blob, struct peer_packet **out_packet) {
  return peer_wire_decode_packet(blob, &one, &two, out_packet);
}

/* One message there and back. */
static struct peer_packet *echo(const struct raft_message *message) {
  struct peer_draft draft;
  struct peer_packet *packet = NULL;
  peer_draft_init(&draft);
  peer_draft_add(&draft, 12345678901, message, NULL, 0);
  struct blob *blob = seal(&draft);
  assert_int_equal(decode(blob, &packet), STATUS_OK);
  assert_int_equal(packet->count, 1);
  assert_int_equal(packet->messages[0].group, 12345678901);
  assert_int_equal(packet->messages[0].message.count, 0);
  const struct raft_message *raft = &packet->messages[0].message.raft;
  assert_int_equal(raft->kind, message->kind);
  assert_int_equal(raft->term, message->term);
  assert_int_equal(raft->sequence, message->sequence);
  assert_true(replica_same_directory(&raft->from, &one) && replica_same_directory(&raft->to, &two));
  assert_int_equal(raft->from.placement, message->from.placement);
  assert_int_equal(raft->to.placement, message->to.placement);
  blob_release(blob);
  peer_draft_deinit(&draft);
  return packet;
}

static void every_kind_comes_back_as_it_went(void **state) {
  (void)state;
  struct raft_config config = a_config();
  struct raft_message message = {.term = 9, .sequence = UINT64_MAX};

  for (unsigned kind = RAFT_PRE_VOTE; kind < RAFT_MESSAGE_KINDS; kind++) {
    message.kind = (enum raft_message_kind)kind;
    memset(&message.append, 0, sizeof message.append);
    switch (message.kind) {
      case RAFT_PRE_VOTE:
      case RAFT_VOTE:
        message.vote = (struct raft_vote_request){.last_term = 8, .last_index = 300, .transfer = kind == RAFT_VOTE};
        break;
      case RAFT_PRE_VOTE_ANSWER:
      case RAFT_VOTE_ANSWER: message.vote_answer = (struct raft_vote_answer){.asked_term = 9, .granted = true}; break;
      case RAFT_APPEND:
      case RAFT_FETCH_STATE:
      case RAFT_FETCH_ENTRIES:
      case RAFT_SHIPPED_STATE:
      case RAFT_SHIPPED_ENTRIES:
      case RAFT_SHIPS_NOT:
        message.append = (struct raft_append){.prev_index = 300, .prev_term = 8, .prev_chain = 5, .commit = 299};
        break;
      case RAFT_APPEND_ANSWER:
        message.append_answer = (struct raft_append_answer){.verdict = RAFT_DIVERGED,
                                                            .match = 1,
                                                            .commit = 2,
                                                            .last_index = 3,
                                                            .rejected = 4,
                                                            .hint_index = 5,
                                                            .hint_term = 6,
                                                            .generation = 7};
        break;
      case RAFT_SNAPSHOT:
        message.snapshot = (struct raft_snapshot){.index = 4, .index_term = 3, .config_index = 2, .config = &config};
        break;
      case RAFT_TIMEOUT_NOW: message.summons.wished = true; break;
      default: break;
    }

    struct peer_packet *packet = echo(&message);

    const struct raft_message *raft = &packet->messages[0].message.raft;
    switch (message.kind) {
      case RAFT_PRE_VOTE:
      case RAFT_VOTE: assert_memory_equal(&raft->vote, &message.vote, sizeof message.vote); break;
      case RAFT_PRE_VOTE_ANSWER:
      case RAFT_VOTE_ANSWER:
        assert_int_equal(raft->vote_answer.asked_term, 9);
        assert_true(raft->vote_answer.granted);
        break;
      case RAFT_APPEND:
      case RAFT_FETCH_STATE:
      case RAFT_FETCH_ENTRIES:
      case RAFT_SHIPPED_STATE:
      case RAFT_SHIPPED_ENTRIES:
      case RAFT_SHIPS_NOT:
        assert_int_equal(raft->append.prev_index, 300);
        assert_int_equal(raft->append.prev_term, 8);
        assert_int_equal(raft->append.prev_chain, 5);
        assert_int_equal(raft->append.commit, 299);
        assert_int_equal(raft->append.count, 0);
        break;
      case RAFT_APPEND_ANSWER:
        assert_memory_equal(&raft->append_answer, &message.append_answer, sizeof message.append_answer);
        break;
      case RAFT_TIMEOUT_NOW: assert_true(raft->summons.wished); break;
      case RAFT_SNAPSHOT:
        assert_int_equal(raft->snapshot.index, 4);
        assert_int_equal(raft->snapshot.index_term, 3);
        assert_int_equal(raft->snapshot.config_index, 2);
        assert_true(raft_config_equal(raft->snapshot.config, &config));
        break;
      default: break;
    }
    peer_packet_free(packet);
  }
}

/* Several replicas of a broker's directory, one after the other, speak over one connection. */
static void placements_come_along_with_each_message(void **state) {
  (void)state;
  struct raft_message message = {.kind = RAFT_READ_PROBE, .from = one, .to = two, .term = 9, .sequence = 8};
  peer_packet_free(echo(&message));
  message.from.placement = UINT64_MAX;
  peer_packet_free(echo(&message));
  message.to.placement = 1;
  peer_packet_free(echo(&message));
}

static void payloads_are_parts_of_the_blob_they_came_in(void **state) {
  (void)state;
  static const size_t sizes[] = {0, 1, PEER_PAYLOAD_COPY_MAX - 1, PEER_PAYLOAD_COPY_MAX, 70000};
  struct entry entries[5];
  for (size_t i = 0; i < 5; i++) entries[i] = an_entry(101 + i, sizes[i]);
  struct raft_message message = {.kind = RAFT_APPEND, .term = 3, .append = {.prev_index = 100, .prev_term = 3, .commit = 99}};
  struct peer_draft draft;
  peer_draft_init(&draft);
  struct peer_hello hello = a_hello();
  peer_draft_hello(&draft, &hello);
  size_t before = draft.bytes;

  peer_draft_add(&draft, 5, &message, entries, 5);

  assert_true(draft.bytes - before <= peer_wire_message_bytes_max(entries, 5));
  assert_int_equal(draft.cut_count, 2); /* the large ones are held, not copied */
  assert_int_equal(atomic_load(&entries[4].payload.blob->holders), 2);
  struct blob *blob = seal(&draft);
  assert_int_equal(atomic_load(&entries[4].payload.blob->holders), 1);
  struct peer_packet *packet = NULL;
  assert_int_equal(decode(blob, &packet), STATUS_OK);
  const struct peer_message *received = &packet->messages[0].message;
  assert_int_equal(received->count, 5);
  assert_int_equal(received->raft.append.count, 5);
  assert_null(received->raft.append.entries);
  for (size_t i = 0; i < 5; i++) {
    const struct entry *entry = &received->entries[i];
    assert_int_equal(entry->head.index, 101 + i);
    assert_int_equal(entry->head.chain, entries[i].head.chain);
    assert_true(bytes_equal(entry->payload.bytes, entries[i].payload.bytes));
    assert_ptr_equal(entry->payload.blob, blob);
    if (sizes[i] > 0)
      assert_in_range((uintptr_t)entry->payload.bytes.data, (uintptr_t)blob->data, (uintptr_t)blob->data + blob->size);
    assert_int_equal(entry_check_payload(&entry->head, entry->payload.bytes), STATUS_OK);
    entry_release(&entries[i]);
  }
  assert_int_equal(atomic_load(&blob->holders), 2);
  blob_release(blob);
  peer_packet_free(packet);
  peer_draft_deinit(&draft);
}

static void protobuf_reads_what_a_draft_says(void **state) {
  (void)state;
  struct entry entry = an_entry(8, 3000);
  struct raft_message append = {
      .kind = RAFT_APPEND, .term = 3, .sequence = 6, .append = {.prev_index = 7, .prev_term = 2, .prev_chain = 99, .commit = 5}};
  struct raft_message answer = {.kind = RAFT_APPEND_ANSWER, .term = 4, .append_answer = {.verdict = RAFT_MATCHED, .match = 12}};
  struct raft_message resign = {.kind = RAFT_RESIGN, .term = 4};
  struct peer_hello hello = a_hello();
  struct peer_draft draft;
  peer_draft_init(&draft);
  peer_draft_hello(&draft, &hello);
  peer_draft_add(&draft, 0, &append, &entry, 1);
  peer_draft_add(&draft, 2, &answer, NULL, 0);
  peer_draft_add(&draft, 3, &resign, NULL, 0);
  struct blob *blob = seal(&draft);

  Cairn__Internal__V1__Packet *packet = cairn__internal__v1__packet__unpack(NULL, blob->size, blob->data);

  assert_non_null(packet);
  assert_int_equal(packet->hello->boot, 77);
  assert_int_equal(packet->hello->from->broker, 1);
  assert_int_equal(packet->hello->to->incarnation.len, 16);
  assert_memory_equal(packet->hello->cluster.data, "0123456789abcdef", 16);
  assert_int_equal(packet->n_messages, 3);
  const Cairn__Internal__V1__Message *first = packet->messages[0];
  assert_int_equal(first->kind, CAIRN__INTERNAL__V1__MESSAGE_KIND__MESSAGE_KIND_APPEND);
  assert_int_equal(first->group, 0);
  assert_int_equal(first->term, 3);
  assert_int_equal(first->sequence, 6);
  assert_int_equal(first->append->prev_index, 7);
  assert_int_equal(first->append->prev_term, 2);
  assert_int_equal(first->append->prev_chain, 99);
  assert_int_equal(first->append->commit, 5);
  assert_int_equal(first->append->n_entries, 1);
  assert_int_equal(first->append->entries[0].len, ENTRY_HEAD_SIZE + 3000);
  assert_int_equal(packet->messages[1]->append_answer->verdict, CAIRN__INTERNAL__V1__VERDICT__VERDICT_MATCHED);
  assert_int_equal(packet->messages[1]->append_answer->match, 12);
  assert_int_equal(packet->messages[2]->kind, CAIRN__INTERNAL__V1__MESSAGE_KIND__MESSAGE_KIND_RESIGN);
  cairn__internal__v1__packet__free_unpacked(packet, NULL);
  entry_release(&entry);
  blob_release(blob);
  peer_draft_deinit(&draft);
}

static struct blob *packed(const Cairn__Internal__V1__Packet *packet) {
  struct blob *blob = NULL;
  assert_int_equal(blob_new(NULL, cairn__internal__v1__packet__get_packed_size(packet), &blob), STATUS_OK);
  cairn__internal__v1__packet__pack(packet, blob->data);
  return blob;
}

static enum status decode_one(Cairn__Internal__V1__Message *message, size_t *out_count) {
  Cairn__Internal__V1__Packet packet;
  cairn__internal__v1__packet__init(&packet);
  packet.n_messages = 1;
  packet.messages = &message;
  struct blob *blob = packed(&packet);
  struct peer_packet *decoded = NULL;
  enum status status = decode(blob, &decoded);
  *out_count = status == STATUS_OK ? decoded->count : 0;
  peer_packet_free(decoded);
  blob_release(blob);
  return status;
}

static void what_contradicts_itself_is_refused(void **state) {
  (void)state;
  struct entry entry = an_entry(8, 40);
  uint8_t bytes[ENTRY_HEAD_SIZE + 40];
  entry_encode_head(&entry.head, bytes);
  memcpy(bytes + ENTRY_HEAD_SIZE, entry.payload.bytes.data, 40);
  ProtobufCBinaryData data = {.len = sizeof bytes, .data = bytes};
  Cairn__Internal__V1__Append append;
  cairn__internal__v1__append__init(&append);
  append.n_entries = 1;
  append.entries = &data;
  append.prev_index = 7;
  Cairn__Internal__V1__Message message;
  cairn__internal__v1__message__init(&message);
  size_t count = 0;

  assert_int_equal(decode_one(&message, &count), STATUS_MALFORMED); /* no kind */
  message.kind = 99;
  assert_int_equal(decode_one(&message, &count), STATUS_OK); /* of a newer broker */
  assert_int_equal(count, 0);
  message.kind = CAIRN__INTERNAL__V1__MESSAGE_KIND__MESSAGE_KIND_APPEND_ANSWER;
  assert_int_equal(decode_one(&message, &count), STATUS_MALFORMED); /* no verdict */
  message.kind = CAIRN__INTERNAL__V1__MESSAGE_KIND__MESSAGE_KIND_SNAPSHOT;
  assert_int_equal(decode_one(&message, &count), STATUS_MALFORMED); /* no configuration */
  message.kind = CAIRN__INTERNAL__V1__MESSAGE_KIND__MESSAGE_KIND_APPEND;
  message.append = &append;
  assert_int_equal(decode_one(&message, &count), STATUS_OK);
  assert_int_equal(count, 1);
  append.prev_index = 6; /* not the next */
  assert_int_equal(decode_one(&message, &count), STATUS_MALFORMED);
  append.prev_index = UINT64_MAX;
  assert_int_equal(decode_one(&message, &count), STATUS_MALFORMED);
  append.prev_index = 7;
  data.len--; /* not the size that the head says */
  assert_int_equal(decode_one(&message, &count), STATUS_MALFORMED);
  data.len = ENTRY_HEAD_SIZE - 1;
  assert_int_equal(decode_one(&message, &count), STATUS_MALFORMED);
  data.len = sizeof bytes;
  bytes[20] ^= 1; /* in the head */
  assert_int_equal(decode_one(&message, &count), STATUS_CORRUPT);
  entry_release(&entry);
}

static void packet_has_so_many_messages_at_most(void **state) {
  (void)state;
  struct raft_message probe = {.kind = RAFT_READ_PROBE, .term = 1};
  struct peer_draft draft;
  struct peer_packet *packet = NULL;
  peer_draft_init(&draft);
  for (unsigned i = 0; i < PEER_PACKET_MESSAGES_MAX; i++) peer_draft_add(&draft, i, &probe, NULL, 0);
  struct blob *blob = seal(&draft);
  assert_int_equal(decode(blob, &packet), STATUS_OK);
  assert_int_equal(packet->count, PEER_PACKET_MESSAGES_MAX);
  peer_packet_free(packet);

  struct blob *twice = NULL;
  assert_int_equal(blob_new(NULL, 2 * blob->size, &twice), STATUS_OK);
  memcpy(twice->data, blob->data, blob->size);
  memcpy(twice->data + blob->size, blob->data, blob->size);
  assert_int_equal(decode(twice, &packet), STATUS_TOO_LARGE);
  blob_release(twice);
  blob_release(blob);
  peer_draft_deinit(&draft);
}

static void hello_comes_first_and_whole(void **state) {
  (void)state;
  struct peer_hello hello = a_hello(), back;
  uint8_t bytes[PEER_HELLO_BYTES_MAX];
  bool given = false;
  size_t size = (size_t)(peer_wire_put_hello(bytes, &hello) - bytes);

  assert_int_equal(peer_wire_decode_hello(bytes_of(bytes, size), &given, &back), STATUS_OK);

  assert_true(given && replica_id_equal(&back.from, &one) && replica_id_equal(&back.to, &two));
  assert_int_equal(back.boot, 77);
  assert_memory_equal(back.cluster, hello.cluster, 16);
  assert_int_equal(peer_wire_decode_hello(bytes_of(NULL, 0), &given, &back), STATUS_OK);
  assert_false(given);
  for (size_t cut = 1; cut < size; cut++)
    assert_int_equal(peer_wire_decode_hello(bytes_of(bytes, cut), &given, &back), STATUS_MALFORMED);
  hello.boot = 0;
  size = (size_t)(peer_wire_put_hello(bytes, &hello) - bytes);
  assert_int_equal(peer_wire_decode_hello(bytes_of(bytes, size), &given, &back), STATUS_MALFORMED);
}

static void pulse_says_the_same_to_protobuf_and_to_us(void **state) {
  (void)state;
  struct peer_leadership list[3] = {{0, 1}, {7, UINT64_MAX}, {UINT64_MAX, 3}};
  struct peer_pulse pulse = {.digest = 0xabcdef,
                             .count = 3,
                             .lane_count = 2,
                             .lanes = {{.turn_us = 5}, {.turn_us = 1, .unsynced_us = UINT64_MAX}},
                             .wall_ms = -5,
                             .silent_us = 400,
                             .reluctant = true,
                             .has_list = true};
  struct peer_hello hello = a_hello();

  struct blob_part part = peer_wire_encode_pulse(&hello, &pulse, list, 3);

  struct peer_pulse back;
  assert_int_equal(peer_wire_decode_pulse(part.bytes, &back), STATUS_OK);
  assert_int_equal(back.digest, pulse.digest);
  assert_int_equal(back.count, 3);
  assert_int_equal(back.lane_count, 2);
  assert_memory_equal(back.lanes, pulse.lanes, 2 * sizeof back.lanes[0]);
  assert_int_equal(back.wall_ms, -5);
  assert_int_equal(back.silent_us, 400);
  assert_true(back.reluctant);
  struct wire_cursor cursor = wire_cursor_of(back.list);
  struct peer_leadership leadership;
  for (size_t i = 0; i < 3; i++) {
    assert_int_equal(peer_wire_next_leadership(&cursor, &leadership), STATUS_OK);
    assert_memory_equal(&leadership, &list[i], sizeof leadership);
  }
  assert_int_equal(peer_wire_next_leadership(&cursor, &leadership), STATUS_END);
  Cairn__Internal__V1__Pulse *stock = cairn__internal__v1__pulse__unpack(NULL, part.bytes.size, part.bytes.data);
  assert_non_null(stock);
  assert_int_equal(stock->digest, 0xabcdef);
  assert_int_equal(stock->list->n_leaderships, 3);
  assert_int_equal(stock->list->leaderships[1]->term, UINT64_MAX);
  assert_int_equal(stock->n_lanes, 2);
  assert_int_equal(stock->lanes[1]->unsynced_us, UINT64_MAX);
  assert_int_equal(stock->wall_ms, -5);
  assert_int_equal(stock->silent_us, 400);
  assert_true(stock->reluctant);
  assert_int_equal(stock->hello->boot, 77);
  cairn__internal__v1__pulse__free_unpacked(stock, NULL);
  blob_part_release(part);
}

static void list_may_be_empty_and_there(void **state) {
  (void)state;
  struct peer_pulse pulse = {.has_list = true}, back;
  struct blob_part part = peer_wire_encode_pulse(NULL, &pulse, NULL, 0);
  assert_int_equal(peer_wire_decode_pulse(part.bytes, &back), STATUS_OK);
  assert_true(back.has_list);
  assert_int_equal(back.list.size, 0);
  blob_part_release(part);
  pulse.has_list = false;
  part = peer_wire_encode_pulse(NULL, &pulse, NULL, 0);
  assert_int_equal(peer_wire_decode_pulse(part.bytes, &back), STATUS_OK);
  assert_false(back.has_list);
  blob_part_release(part);
}

static void what_is_remembered_comes_back(void **state) {
  (void)state;
  struct peer_recall_answer answer = {.journal = 77777777777u, .recalled = PEER_RECALLED_OLDER, .generation = 12}, told;
  struct blob_part part = peer_wire_encode_recall_answer(&answer);
  assert_int_equal(peer_wire_decode_recall_answer(part.bytes, &told), STATUS_OK);
  assert_int_equal(told.journal, 77777777777u);
  assert_int_equal(told.recalled, PEER_RECALLED_OLDER);
  assert_int_equal(told.generation, 12);
  blob_part_release(part);

  static const uint8_t of_a_version_before[] = {8, 5}, unknown[] = {16, 9};
  assert_int_equal(peer_wire_decode_recall_answer(bytes_of(of_a_version_before, 2), &told), STATUS_OK);
  assert_int_equal(told.journal, 5);
  assert_int_equal(told.recalled, PEER_RECALLED_UNJUDGED);
  assert_int_equal(peer_wire_decode_recall_answer(bytes_of(NULL, 0), &told), STATUS_OK);
  assert_int_equal(told.journal, 0);
  assert_int_equal(peer_wire_decode_recall_answer(bytes_of(unknown, 2), &told), STATUS_MALFORMED);
}

static void hello_tells_which_processes_the_directory_has_had(void **state) {
  (void)state;
  struct lineage lineage = {.incarnation = {1, 2, 3}}, told;
  for (uint64_t boot = 1; boot <= LINEAGE_LINKS_MAX + 5; boot++) lineage_continue(&lineage, boot, 10 * boot);
  uint8_t bytes[LINEAGE_SIZE_MAX];
  struct peer_hello hello = {.from = {.broker = 2, .incarnation = {3, 4}}, .to = {.broker = 2, .incarnation = {3, 4}}, .boot = 1},
                    back;
  hello.lineage = bytes_of(bytes, lineage_encode(&lineage, bytes));
  bool given = false;

  struct blob_part part = peer_wire_encode_recall(&hello);
  assert_int_equal(peer_wire_decode_hello(part.bytes, &given, &back), STATUS_OK);

  assert_true(given && replica_id_equal(&back.from, &hello.from));
  assert_int_equal(lineage_decode(back.lineage, &told), STATUS_OK);
  assert_memory_equal(&told, &lineage, sizeof lineage);
  blob_part_release(part);
}

static void answer_to_a_pulse_comes_back(void **state) {
  (void)state;
  bool wanted = false;
  struct blob_part part = peer_wire_encode_pulse_answer(true);
  assert_int_equal(peer_wire_decode_pulse_answer(part.bytes, &wanted), STATUS_OK);
  assert_true(wanted);
  blob_part_release(part);
  assert_int_equal(peer_wire_decode_pulse_answer(bytes_of(NULL, 0), &wanted), STATUS_OK);
  assert_false(wanted);
}

/* Whatever a byte is changed to: refused, or as many messages as protobuf-c finds, where it can read that too. */
static void damaged_packets_never_harm(void **state) {
  (void)state;
  struct chance chance = {.state = chance_seed()};
  struct raft_config config = a_config();
  struct entry entry = an_entry(8, 300);
  struct raft_message append = {.kind = RAFT_APPEND, .term = 3, .append = {.prev_index = 7, .prev_term = 2}};
  struct raft_message snapshot = {.kind = RAFT_SNAPSHOT, .term = 3, .snapshot = {.index = 4, .config = &config}};
  struct raft_message vote = {.kind = RAFT_VOTE, .term = 3, .vote = {.last_term = 3, .last_index = 4}};
  struct peer_hello hello = a_hello();
  struct peer_draft draft;
  peer_draft_init(&draft);
  peer_draft_hello(&draft, &hello);
  peer_draft_add(&draft, 1, &append, &entry, 1);
  peer_draft_add(&draft, 2, &snapshot, NULL, 0);
  peer_draft_add(&draft, 3, &vote, NULL, 0);
  struct blob *blob = seal(&draft);
  unsigned taken = 0;

  for (unsigned round = 0; round < 20000; round++) {
    size_t at = chance_below(&chance, blob->size);
    uint8_t was = blob->data[at];
    blob->data[at] = (uint8_t)chance_next(&chance);
    struct peer_packet *packet = NULL;
    if (decode(blob, &packet) == STATUS_OK) {
      Cairn__Internal__V1__Packet *stock = cairn__internal__v1__packet__unpack(NULL, blob->size, blob->data);
      if (stock != NULL) assert_true(packet->count <= stock->n_messages);
      if (stock != NULL) cairn__internal__v1__packet__free_unpacked(stock, NULL);
      taken++;
    }
    peer_packet_free(packet);
    blob->data[at] = was;
  }

  assert_in_range(taken, 1, 19999);
  assert_int_equal(atomic_load(&blob->holders), 1);
  blob_release(blob);
  entry_release(&entry);
  peer_draft_deinit(&draft);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_kind_comes_back_as_it_went),
      cmocka_unit_test(placements_come_along_with_each_message),
      cmocka_unit_test(payloads_are_parts_of_the_blob_they_came_in),
      cmocka_unit_test(protobuf_reads_what_a_draft_says),
      cmocka_unit_test(what_contradicts_itself_is_refused),
      cmocka_unit_test(packet_has_so_many_messages_at_most),
      cmocka_unit_test(hello_comes_first_and_whole),
      cmocka_unit_test(pulse_says_the_same_to_protobuf_and_to_us),
      cmocka_unit_test(list_may_be_empty_and_there),
      cmocka_unit_test(answer_to_a_pulse_comes_back),
      cmocka_unit_test(what_is_remembered_comes_back),
      cmocka_unit_test(hello_tells_which_processes_the_directory_has_had),
      cmocka_unit_test(damaged_packets_never_harm),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
