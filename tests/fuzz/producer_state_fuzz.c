/* What a partition keeps of its producers, of any bytes. The first byte chooses: a snapshot, which is taken back and must encode to the same
 * bytes, also after decisions, proposals and a lost leadership; or the payload of a PRODUCER entry, applied to a state that has producers. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "server/producer_state.h"

#define GROUP 3u
#define LISTED 16u

static void check_encodes_to(const struct producer_state *state, struct bytes expected) {
  struct buffer encoded;
  buffer_init(&encoded, 256u << 20);
  enum status status = producer_state_encode(state, &encoded);
  CHECK(status == STATUS_OK && bytes_equal(buffer_bytes(&encoded), expected));
  buffer_deinit(&encoded);
}

static struct entry batch_of(const struct producer_info *info, entry_index index) {
  return (struct entry){.head = {.kind = ENTRY_RECORDS,
                                 .index = index,
                                 .base_offset = info->last_offset + 1,
                                 .record_count = 2,
                                 .producer_id = info->id,
                                 .producer_epoch = info->epoch,
                                 .first_sequence = info->next_sequence}};
}

/* Everybody's next batch is accepted, once. */
static void go_on(struct producer_state *state) {
  struct producer_info infos[LISTED];
  size_t count = producer_state_list(state, bytes_of(NULL, 0), infos, LISTED);
  for (size_t i = 0; i < count; i++) {
    if (infos[i].next_sequence > UINT64_MAX - 8 || infos[i].last_offset > INT64_MAX - 8 || infos[i].last_index > UINT64_MAX - 8)
      return;
    struct producer_claim claim = {
        .id = infos[i].id, .epoch = infos[i].epoch, .first_sequence = infos[i].next_sequence, .count = 2};
    struct producer_decision decision = producer_state_decide(state, &claim);
    CHECK(decision.verdict == PRODUCER_ACCEPTS || decision.verdict == PRODUCER_UNKNOWN); /* given up for one before it */
    if (decision.verdict != PRODUCER_ACCEPTS) continue;
    struct entry entry = batch_of(&infos[i], UINT64_MAX - LISTED + i);
    producer_state_propose(state, &entry);
    decision = producer_state_decide(state, &claim);
    CHECK(decision.verdict == PRODUCER_DUPLICATE && decision.uncommitted);
  }
}

static void run_snapshot(struct bytes bytes) {
  struct producer_state *state = producer_state_new(GROUP, 1);
  enum status status = producer_state_restore(state, bytes);
  CHECK(status == STATUS_OK || status == STATUS_CORRUPT);
  producer_state_check(state);
  if (status == STATUS_OK) {
    check_encodes_to(state, bytes);
    go_on(state);
    check_encodes_to(state, bytes); /* nothing of that is applied */
    producer_state_cut(state, 0);
    producer_state_check(state);
    check_encodes_to(state, bytes);
  }
  producer_state_free(state);
}

static void apply(struct producer_state *state, entry_index index, struct bytes payload) {
  struct entry entry = {.head = {.kind = ENTRY_PRODUCER, .index = index, .payload_size = (uint32_t)payload.size},
                        .payload = {.bytes = payload}};
  enum status status = producer_state_apply(state, &entry);
  CHECK(status == STATUS_OK || status == STATUS_CORRUPT || status == STATUS_FOREIGN);
  producer_state_check(state);
}

static void run_entry(struct bytes bytes) {
  struct producer_state *state = producer_state_new(GROUP, 1);
  static const char *const names[] = {"a", "b", "c"};
  for (size_t i = 0; i < 3; i++) {
    const struct producer_entry open = {.kind = PRODUCER_OPEN,
                                        .name = bytes_of_string(names[i]),
                                        .bounds = {.producers_max = 3, .batches_max = 8, .bytes_max = 1u << 20}};
    uint8_t payload[PRODUCER_ENTRY_HEAD + 1];
    producer_entry_encode(&open, payload);
    apply(state, i + 1, bytes_of(payload, sizeof payload));
  }
  apply(state, 4, bytes);
  apply(state, 5, bytes);
  struct producer_entry decoded;
  if (producer_entry_decode(bytes, &decoded) == STATUS_OK) {
    uint8_t again[PRODUCER_ENTRY_HEAD + PRODUCER_NAME_MAX];
    producer_entry_encode(&decoded, again);
    CHECK(bytes_equal(bytes, bytes_of(again, producer_entry_size(&decoded))));
  }
  producer_state_free(state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1) return 0;
  struct bytes bytes = bytes_of(data + 1, size - 1);
  if (data[0] % 2 == 0) run_snapshot(bytes);
  else run_entry(bytes);
  return 0;
}
