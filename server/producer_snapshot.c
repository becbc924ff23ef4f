/* The applied view: stored, taken back, looked at. */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"
#include "server/producer_state_internal.h"

/* The producers of a partition, little endian. Those who appended least recently come first.
 *
 *   offset size
 *        0    4  number of producers
 *        4    4  producers_max, as the newest open told it; 0 before the first
 *        8    4  batches_max
 *       12    4  0
 *       16    8  bytes_max
 *       24    8  how many were ever given up
 *       32       producers:
 *
 *        0    8  id
 *        8    8  sequence of its next record
 *       16    8  index of its newest entry
 *       24    4  epoch
 *       28    2  size of the name
 *       30    2  0
 *       32    4  number of runs
 *       36    4  number of batches
 *       40       name, runs, and a CRC32C (u32) for each batch, the oldest first
 *
 *   a run: first sequence u64, base offset i64, records of a batch u32, stride u32, epoch u32, batches u32
 */
#define STATE_HEAD 32u
#define PRODUCER_HEAD 40u
#define RUN_SIZE 32u

/* ---- Out ---- */

static void put_run(uint8_t *at, const struct producer_run *run) {
  put_u64(at, run->first_sequence);
  put_u64(at + 8, (uint64_t)run->base_offset);
  put_u32(at + 16, run->count);
  put_u32(at + 20, run->batches > 1 ? run->stride : 0);
  put_u32(at + 24, run->epoch);
  put_u32(at + 28, run->batches);
}

static enum status encode_producer(const struct producer *producer, struct buffer *out) {
  const struct producer_ring *ring = &producer->ring;
  size_t runs_size = (size_t)ring->run_count * RUN_SIZE;
  uint8_t *at = buffer_extend(out, PRODUCER_HEAD + producer->name_size + runs_size + (size_t)ring->batch_count * 4);
  if (at == NULL) return STATUS_TOO_LARGE;
  memset(at, 0, PRODUCER_HEAD);
  put_u64(at, producer->id);
  put_u64(at + 8, producer->next_sequence);
  put_u64(at + 16, producer->last_index);
  put_u32(at + 24, producer->epoch);
  put_u16(at + 28, producer->name_size);
  put_u32(at + 32, ring->run_count);
  put_u32(at + 36, ring->batch_count);
  at += PRODUCER_HEAD;
  memcpy(at, producer->name, producer->name_size);
  at += producer->name_size;
  for (uint32_t i = 0; i < ring->run_count; i++, at += RUN_SIZE) {
    struct producer_run run = producer_ring_run(ring, i);
    put_run(at, &run);
  }
  for (uint32_t i = 0; i < ring->batch_count; i++, at += 4) put_u32(at, producer_ring_crc(ring, i));
  return STATUS_OK;
}

enum status producer_state_encode(const struct producer_state *state, struct buffer *out) {
  const struct producer_view *view = &state->applied;
  uint8_t *at = buffer_extend(out, STATE_HEAD);
  if (at == NULL) return STATUS_TOO_LARGE;
  memset(at, 0, STATE_HEAD);
  put_u32(at, (uint32_t)view->count);
  put_u32(at + 4, view->bounds.producers_max);
  put_u32(at + 8, view->bounds.batches_max);
  put_u64(at + 16, view->bounds.bytes_max);
  put_u64(at + 24, view->given_up);
  list_for_each(&view->recent, node, following) {
    enum status status = encode_producer(list_entry(node, struct producer, recent), out);
    if (status != STATUS_OK) return status;
  }
  return STATUS_OK;
}

uint64_t producer_state_hash(const struct producer_state *state) {
  struct buffer encoded;
  buffer_init(&encoded, SIZE_MAX / 2);
  enum status status = producer_state_encode(state, &encoded);
  CHECK(status == STATUS_OK);
  uint64_t hash = xxh3(0, buffer_bytes(&encoded));
  buffer_deinit(&encoded);
  return hash;
}

/* ---- In ---- */

static struct bytes take(struct bytes *from, size_t size) {
  struct bytes taken = bytes_of(from->data, size);
  *from = bytes_after(*from, size);
  return taken;
}

static enum status restore_runs(struct producer *producer, struct bytes runs, struct bytes crcs) {
  struct producer_ring *ring = &producer->ring;
  while (runs.size > 0) {
    const uint8_t *at = take(&runs, RUN_SIZE).data;
    struct producer_run run = {
        .first_sequence = get_u64(at),
        .base_offset = (record_offset)get_u64(at + 8),
        .count = get_u32(at + 16),
        .stride = get_u32(at + 20),
        .epoch = get_u32(at + 24),
        .batches = get_u32(at + 28),
    };
    if (run.batches > crcs.size / 4 || run.epoch > producer->epoch) return STATUS_CORRUPT;
    if (run.batches == 1 && run.stride != 0) return STATUS_CORRUPT;
    enum status status = producer_ring_restore_run(ring, &run, take(&crcs, (size_t)run.batches * 4).data);
    if (status != STATUS_OK) return status;
  }
  if (crcs.size > 0) return STATUS_CORRUPT;
  if (ring->batch_count == 0) return STATUS_OK;
  struct producer_batch last = producer_ring_last(ring);
  return last.first_sequence + last.count == producer->next_sequence ? STATUS_OK : STATUS_CORRUPT;
}

/* A producer whose fields make sense by themselves; the caller frees what it made when they do not. */
static enum status restore_producer(struct producer_state *state, struct bytes *encoded, entry_index after) {
  if (encoded->size < PRODUCER_HEAD) return STATUS_CORRUPT;
  const uint8_t *at = take(encoded, PRODUCER_HEAD).data;
  size_t name_size = get_u16(at + 28);
  uint32_t batches = get_u32(at + 36);
  uint64_t runs_size = (uint64_t)get_u32(at + 32) * RUN_SIZE;
  if (name_size + runs_size + (uint64_t)batches * 4 > encoded->size || get_u16(at + 30) != 0) return STATUS_CORRUPT;
  producer_id id = get_u64(at);
  struct bytes name = take(encoded, name_size);
  struct bytes runs = take(encoded, (size_t)runs_size);
  struct bytes crcs = take(encoded, (size_t)batches * 4);
  entry_index last_index = get_u64(at + 16);
  if (!producer_name_valid(name) || last_index <= after || batches > state->applied.bounds.batches_max) return STATUS_CORRUPT;
  if (map_get(state->by_name, name) != NULL || map_get_number(state->by_id, id) != NULL || id == 0) return STATUS_CORRUPT;

  struct producer *producer = producer_state_add(state, id, name);
  producer->applied = true;
  producer->next_sequence = get_u64(at + 8);
  producer->last_index = last_index;
  producer->epoch = get_u32(at + 24);
  list_push_back(&state->applied.recent, &producer->recent);
  enum status status = restore_runs(producer, runs, crcs);
  state->applied.count++;
  state->applied.bytes += producer_cost(producer, producer->ring.batch_count);
  return status;
}

static enum status restore_all(struct producer_state *state, struct bytes encoded) {
  if (encoded.size < STATE_HEAD) return STATUS_CORRUPT;
  const uint8_t *at = take(&encoded, STATE_HEAD).data;
  uint32_t count = get_u32(at);
  struct producer_view *view = &state->applied;
  view->bounds =
      (struct producer_bounds){.producers_max = get_u32(at + 4), .batches_max = get_u32(at + 8), .bytes_max = get_u64(at + 16)};
  view->given_up = get_u64(at + 24);
  struct producer_bounds none = {0};
  bool unset = memcmp(&view->bounds, &none, sizeof none) == 0;
  if (get_u32(at + 12) != 0 || (unset ? count > 0 : !producer_bounds_valid(&view->bounds))) return STATUS_CORRUPT;
  entry_index after = 0;
  for (uint32_t i = 0; i < count; i++) {
    enum status status = restore_producer(state, &encoded, after);
    if (status != STATUS_OK) return status;
    after = list_entry(list_last(&view->recent), struct producer, recent)->last_index;
  }
  if (encoded.size > 0) return STATUS_CORRUPT;
  bool fits = unset || (view->count <= view->bounds.producers_max && view->bytes <= view->bounds.bytes_max);
  return fits ? STATUS_OK : STATUS_CORRUPT;
}

enum status producer_state_restore(struct producer_state *state, struct bytes encoded) {
  PRE(map_count(state->by_id) == 0 && state->proposed_count == 0);
  enum status status = restore_all(state, encoded);
  if (status != STATUS_OK) producer_state_clear(state);
  producer_state_copy_head(state);
  return status;
}

/* ---- Looking ---- */

static struct producer_info info_of(const struct producer *producer) {
  struct producer_info info = {
      .name = producer_name(producer),
      .id = producer->id,
      .epoch = producer->epoch,
      .next_sequence = producer->next_sequence,
      .window_sequence = producer->next_sequence,
      .batches = producer->ring.batch_count,
      .last_offset = -1,
      .last_index = producer->last_index,
  };
  if (info.batches == 0) return info;
  struct producer_batch last = producer_ring_last(&producer->ring);
  info.window_sequence = producer_ring_first_sequence(&producer->ring);
  info.last_offset = last.base_offset + (record_offset)last.count - 1;
  return info;
}

bool producer_state_find(const struct producer_state *state, struct bytes name, struct producer_info *out_info) {
  const struct producer *at_head = map_get(state->by_name, name);
  if (at_head != NULL && at_head->applied) {
    *out_info = info_of(at_head);
    return true;
  }
  list_for_each(&state->applied.recent, node, following) {
    const struct producer *producer = list_entry(node, struct producer, recent);
    if (!bytes_equal(producer_name(producer), name)) continue;
    *out_info = info_of(producer);
    return true;
  }
  return false;
}

static int by_name(const void *a, const void *b) {
  const struct producer *const *left = a;
  const struct producer *const *right = b;
  return bytes_compare(producer_name(*left), producer_name(*right));
}

size_t producer_state_list(const struct producer_state *state, struct bytes after, struct producer_info *out_infos, size_t max) {
  const struct producer **sorted = memory_new_array(state->applied.count + 1, sizeof *sorted);
  size_t count = 0;
  list_for_each(&state->applied.recent, node, following) {
    const struct producer *producer = list_entry(node, struct producer, recent);
    if (after.size == 0 || bytes_compare(producer_name(producer), after) > 0) sorted[count++] = producer;
  }
  qsort(sorted, count, sizeof *sorted, by_name);
  if (count > max) count = max;
  for (size_t i = 0; i < count; i++) out_infos[i] = info_of(sorted[i]);
  memory_free(sorted);
  return count;
}

struct producer_totals producer_state_totals(const struct producer_state *state) {
  const struct producer_view *view = &state->applied;
  return (struct producer_totals){
      .producers = view->count, .bytes = view->bytes, .given_up = view->given_up, .bounds = view->bounds};
}

/* ---- What must hold ---- */

static void check_ring(const struct producer *producer, const struct producer_bounds *bounds) {
  const struct producer_ring *ring = &producer->ring;
  uint64_t sequence = ring->batch_count == 0 ? producer->next_sequence : producer_ring_first_sequence(ring);
  uint32_t batches = 0;
  for (uint32_t i = 0; i < ring->run_count; i++) {
    struct producer_run run = producer_ring_run(ring, i);
    CHECK(run.first_sequence == sequence && run.batches > 0 && run.count > 0 && run.epoch <= producer->epoch);
    sequence += (uint64_t)run.count * run.batches;
    batches += run.batches;
  }
  CHECK(batches == ring->batch_count && sequence == producer->next_sequence); /* P2 */
  CHECK(batches <= bounds->batches_max);                                      /* P4 */
}

void producer_state_check(const struct producer_state *state) {
  const struct producer_view *view = &state->applied;
  size_t count = 0;
  uint64_t bytes = 0;
  entry_index last_index = 0;
  list_for_each(&view->recent, node, following) {
    const struct producer *producer = list_entry(node, struct producer, recent);
    check_ring(producer, &view->bounds);
    CHECK(producer->applied && producer->last_index > last_index);
    last_index = producer->last_index;
    bytes += producer_cost(producer, producer->ring.batch_count);
    count++;
    if (state->proposed_count > 0) continue;
    CHECK(!producer->given_up && producer->head_epoch == producer->epoch); /* P1 */
    CHECK(producer->head_sequence == producer->next_sequence && producer->pending.batch_count == 0);
    CHECK(producer->head_batches == producer->ring.batch_count);
  }
  CHECK(count == view->count && bytes == view->bytes);
  CHECK(view->count <= view->bounds.producers_max && view->bytes <= view->bounds.bytes_max); /* P4 */
  if (state->proposed_count > 0) return;
  CHECK(state->head.count == view->count && state->head.bytes == view->bytes && state->head.given_up == view->given_up);
  CHECK(map_count(state->by_id) == count && map_count(state->by_name) == count);
}
