/* Beats: the other half of peer_wire.h. */
#include "base/check.h"
#include "base/memory.h"
#include "replication/peer_wire.h"

/* Field numbers of proto/cairn/internal/v1/peer.proto; the hello is PEER_WIRE_HELLO. */
enum {
  PULSE_DIGEST = 2,
  PULSE_COUNT = 3,
  PULSE_LIST = 4,
  PULSE_LANES = 5,
  PULSE_WALL_MS = 6,
  PULSE_SILENT_US = 7,
  PULSE_JOURNAL = 8,
  PULSE_RELUCTANT = 9
};
enum { LANE_TURN_US = 1, LANE_UNSYNCED_US = 2 };
enum { LIST_LEADERSHIPS = 1 };
enum { LEADERSHIP_GROUP = 1, LEADERSHIP_TERM = 2 };
enum { ANSWER_LIST_WANTED = 1 };
enum { RECALLED_JOURNAL = 1, RECALLED_HOW = 2, RECALLED_GENERATION = 3, RECALLED_BEATS = 4 };

#define LEADERSHIP_BYTES_MAX 24u
#define LANE_BYTES_MAX 26u
#define NUMBERS_BYTES_MAX 72u

static struct blob *head_blob(size_t size) {
  struct blob *blob = NULL;
  enum status status = blob_new(NULL, size, &blob);
  CHECK(status == STATUS_OK);
  return blob;
}

/* A submessage of at most two numbers. */
static uint8_t *put_pair(uint8_t *at, uint32_t number, uint64_t first, uint64_t second) {
  uint8_t inner[2 * (1 + WIRE_VARINT_SIZE_MAX)];
  uint8_t *end = wire_put_uint(inner, 1, first);
  end = wire_put_uint(end, 2, second);
  return wire_put_bytes(at, number, bytes_of(inner, (size_t)(end - inner)));
}

_Static_assert(LANE_TURN_US == 1 && LANE_UNSYNCED_US == 2 && LEADERSHIP_GROUP == 1 && LEADERSHIP_TERM == 2, "put_pair");

static uint8_t *put_list(uint8_t *at, const struct peer_leadership *list, size_t count) {
  PRE(count <= PEER_PULSE_LIST_MAX);
  uint8_t *inner = memory_new_array(count + 1, LEADERSHIP_BYTES_MAX);
  uint8_t *end = inner;
  for (size_t i = 0; i < count; i++) end = put_pair(end, LIST_LEADERSHIPS, list[i].group, list[i].term);
  at = wire_put_bytes(at, PULSE_LIST, bytes_of(inner, (size_t)(end - inner)));
  memory_free(inner);
  return at;
}

struct blob_part peer_wire_encode_pulse(const struct peer_hello *hello, const struct peer_pulse *pulse,
                                        const struct peer_leadership *list, size_t list_count) {
  PRE(pulse->lane_count <= PEER_PULSE_LANES_MAX);
  size_t list_bytes = pulse->has_list ? 16 + list_count * LEADERSHIP_BYTES_MAX : 0;
  struct blob *blob = head_blob(PEER_HELLO_BYTES_MAX + NUMBERS_BYTES_MAX + pulse->lane_count * LANE_BYTES_MAX + list_bytes);
  uint8_t *at = blob->data;
  if (hello != NULL) at = peer_wire_put_hello(at, hello);
  at = wire_put_fixed64(at, PULSE_DIGEST, pulse->digest);
  at = wire_put_uint(at, PULSE_COUNT, pulse->count);
  if (pulse->has_list) at = put_list(at, list, list_count);
  for (size_t i = 0; i < pulse->lane_count; i++)
    at = put_pair(at, PULSE_LANES, pulse->lanes[i].turn_us, pulse->lanes[i].unsynced_us);
  at = wire_put_uint(at, PULSE_WALL_MS, (uint64_t)pulse->wall_ms);
  at = wire_put_uint(at, PULSE_SILENT_US, pulse->silent_us);
  at = wire_put_uint(at, PULSE_JOURNAL, pulse->journal);
  at = wire_put_uint(at, PULSE_RELUCTANT, pulse->reluctant);
  size_t size = (size_t)(at - blob->data);
  POST(size <= blob->size);
  return (struct blob_part){.blob = blob, .bytes = bytes_of(blob->data, size)};
}

/* Both numbers of a submessage that has fields 1 and 2. */
static enum status decode_pair(struct bytes bytes, uint64_t *out_first, uint64_t *out_second) {
  struct wire_cursor cursor = wire_cursor_of(bytes);
  struct wire_field field;
  uint64_t numbers[2] = {0};
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    if (field.number != 1 && field.number != 2) continue;
    if (field.type != WIRE_VARINT) return STATUS_MALFORMED;
    numbers[field.number - 1] = field.value;
  }
  if (status != STATUS_END) return status;
  *out_first = numbers[0];
  *out_second = numbers[1];
  return STATUS_OK;
}

static enum status take_lane(const struct wire_field *field, struct peer_pulse *pulse) {
  if (field->type != WIRE_BYTES || pulse->lane_count == PEER_PULSE_LANES_MAX) return STATUS_MALFORMED;
  struct peer_lane_health *lane = &pulse->lanes[pulse->lane_count++];
  return decode_pair(field->bytes, &lane->turn_us, &lane->unsynced_us);
}

static enum status take_list(const struct wire_field *field, struct peer_pulse *pulse) {
  if (field->type != WIRE_BYTES || pulse->has_list) return STATUS_MALFORMED;
  pulse->has_list = true;
  pulse->list = field->bytes;
  struct wire_cursor cursor = wire_cursor_of(field->bytes);
  struct peer_leadership leadership;
  enum status status = STATUS_OK;
  size_t count = 0;
  while ((status = peer_wire_next_leadership(&cursor, &leadership)) == STATUS_OK) {
    if (++count > PEER_PULSE_LIST_MAX) return STATUS_TOO_LARGE;
  }
  return status == STATUS_END ? STATUS_OK : status;
}

static enum status take_field(const struct wire_field *field, struct peer_pulse *pulse) {
  switch (field->number) {
    case PULSE_DIGEST:
      if (field->type != WIRE_FIXED64) return STATUS_MALFORMED;
      pulse->digest = field->value;
      return STATUS_OK;
    case PULSE_COUNT: pulse->count = field->value; return field->type == WIRE_VARINT ? STATUS_OK : STATUS_MALFORMED;
    case PULSE_WALL_MS: pulse->wall_ms = (int64_t)field->value; return field->type == WIRE_VARINT ? STATUS_OK : STATUS_MALFORMED;
    case PULSE_SILENT_US: pulse->silent_us = field->value; return field->type == WIRE_VARINT ? STATUS_OK : STATUS_MALFORMED;
    case PULSE_JOURNAL: pulse->journal = field->value; return field->type == WIRE_VARINT ? STATUS_OK : STATUS_MALFORMED;
    case PULSE_RELUCTANT: pulse->reluctant = field->value != 0; return field->type == WIRE_VARINT ? STATUS_OK : STATUS_MALFORMED;
    case PULSE_LIST: return take_list(field, pulse);
    case PULSE_LANES: return take_lane(field, pulse);
    default: return STATUS_OK;
  }
}

enum status peer_wire_decode_pulse(struct bytes message, struct peer_pulse *out_pulse) {
  struct peer_pulse pulse = {0};
  struct wire_cursor cursor = wire_cursor_of(message);
  struct wire_field field;
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    status = take_field(&field, &pulse);
    if (status != STATUS_OK) return status;
  }
  if (status != STATUS_END) return status;
  *out_pulse = pulse;
  return STATUS_OK;
}

enum status peer_wire_next_leadership(struct wire_cursor *list, struct peer_leadership *out_leadership) {
  struct wire_field field;
  enum status status = STATUS_OK;
  while ((status = wire_next(list, &field)) == STATUS_OK) {
    if (field.number != LIST_LEADERSHIPS) continue;
    if (field.type != WIRE_BYTES) return STATUS_MALFORMED;
    return decode_pair(field.bytes, &out_leadership->group, &out_leadership->term);
  }
  return status;
}

struct blob_part peer_wire_encode_recall(const struct peer_hello *hello) {
  struct blob *blob = head_blob(PEER_HELLO_BYTES_MAX);
  size_t size = (size_t)(peer_wire_put_hello(blob->data, hello) - blob->data);
  return (struct blob_part){.blob = blob, .bytes = bytes_of(blob->data, size)};
}

struct blob_part peer_wire_encode_recall_answer(const struct peer_recall_answer *answer) {
  struct blob *blob = head_blob(4 * (1 + WIRE_VARINT_SIZE_MAX));
  uint8_t *at = wire_put_uint(blob->data, RECALLED_JOURNAL, answer->journal);
  at = wire_put_uint(at, RECALLED_HOW, (uint64_t)answer->recalled);
  at = wire_put_uint(at, RECALLED_GENERATION, answer->generation);
  at = wire_put_uint(at, RECALLED_BEATS, answer->beats);
  return (struct blob_part){.blob = blob, .bytes = bytes_of(blob->data, (size_t)(at - blob->data))};
}

enum status peer_wire_decode_recall_answer(struct bytes message, struct peer_recall_answer *out_answer) {
  struct wire_cursor cursor = wire_cursor_of(message);
  struct wire_field field;
  uint64_t numbers[RECALLED_BEATS + 1] = {0};
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    if (field.number < RECALLED_JOURNAL || field.number > RECALLED_BEATS) continue;
    if (field.type != WIRE_VARINT) return STATUS_MALFORMED;
    numbers[field.number] = field.value;
  }
  if (status != STATUS_END) return status;
  if (numbers[RECALLED_HOW] > PEER_RECALLED_ANOTHER) return STATUS_MALFORMED;
  *out_answer = (struct peer_recall_answer){.journal = numbers[RECALLED_JOURNAL],
                                            .recalled = (enum peer_recalled)numbers[RECALLED_HOW],
                                            .generation = numbers[RECALLED_GENERATION],
                                            .beats = numbers[RECALLED_BEATS]};
  return STATUS_OK;
}

struct blob_part peer_wire_encode_pulse_answer(bool list_wanted) {
  struct blob *blob = head_blob(2);
  size_t size = (size_t)(wire_put_uint(blob->data, ANSWER_LIST_WANTED, list_wanted) - blob->data);
  return (struct blob_part){.blob = blob, .bytes = bytes_of(blob->data, size)};
}

enum status peer_wire_decode_pulse_answer(struct bytes message, bool *out_list_wanted) {
  struct wire_cursor cursor = wire_cursor_of(message);
  struct wire_field field;
  bool wanted = false;
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    if (field.number != ANSWER_LIST_WANTED) continue;
    if (field.type != WIRE_VARINT) return STATUS_MALFORMED;
    wanted = field.value != 0;
  }
  if (status != STATUS_END) return status;
  *out_list_wanted = wanted;
  return STATUS_OK;
}
