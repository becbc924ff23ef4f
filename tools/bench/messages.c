#include "tools/bench/messages.h"

#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc.h>
#include <grpc/slice.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/wire.h"

#define RECORD_BYTES 1000u
#define SINGLE_BYTES_MAX 1024u
#define PARTITIONS_MAX 1024u
#define NAME_SIZE 32u

static struct {
  grpc_byte_buffer *(*make)(void);
  uint64_t number; /* of requests made */
  uint64_t left;   /* that are still to be made */
  unsigned many;   /* partitions, keys or topics that they go round */
  uint32_t partitions;
  grpc_byte_buffer *appends[PARTITIONS_MAX];
  grpc_slice further[PARTITIONS_MAX]; /* the same, as they stand in AppendRequest.more */
  grpc_slice value;
} of;

/* ---- Cairn's log ---- */

static grpc_byte_buffer *buffer_of(const uint8_t *bytes, size_t size) {
  grpc_slice slice = grpc_slice_from_copied_buffer((const char *)bytes, size);
  grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
  grpc_slice_unref(slice);
  return buffer;
}

/* An AppendRequest: topic 1, partition 2, batch 3 { records 14 { record 1 { value 2 } } }. */
static grpc_byte_buffer *append_request(unsigned partition, size_t batch_bytes, size_t record_bytes) {
  size_t count = batch_bytes / record_bytes == 0 ? 1 : batch_bytes / record_bytes;
  uint8_t *memory = calloc(3, count * (record_bytes + 32) + 64);
  uint8_t *records = memory + count * (record_bytes + 32) + 64;
  if (memory == NULL) abort();
  uint8_t *value = calloc(1, record_bytes);
  for (size_t i = 0; i < record_bytes; i++) value[i] = (uint8_t)('a' + i * 7 % 26);

  uint8_t *at = records;
  for (size_t i = 0; i < count; i++) {
    uint8_t record_head[2 * WIRE_VARINT_SIZE_MAX];
    size_t head = (size_t)(wire_put_bytes_head(record_head, 2, record_bytes) - record_head);
    at = wire_put_bytes_head(at, 1, head + record_bytes);
    memcpy(at, record_head, head);
    memcpy(at + head, value, record_bytes);
    at += head + record_bytes;
  }
  size_t records_size = (size_t)(at - records);
  uint8_t batch_head[2 * WIRE_VARINT_SIZE_MAX];
  size_t batch_head_size = (size_t)(wire_put_bytes_head(batch_head, 14, records_size) - batch_head);

  at = wire_put_bytes(memory, 1, bytes_of("bench", 5));
  at = wire_put_uint(at, 2, partition);
  at = wire_put_bytes_head(at, 3, batch_head_size + records_size);
  memcpy(at, batch_head, batch_head_size);
  at += batch_head_size;
  memmove(at, records, records_size);
  grpc_byte_buffer *buffer = buffer_of(memory, (size_t)(at + records_size - memory));
  free(value);
  free(memory);
  return buffer;
}

static grpc_slice value_of(size_t size) {
  grpc_slice value = grpc_slice_malloc(size);
  for (size_t i = 0; i < size; i++) GRPC_SLICE_START_PTR(value)[i] = (uint8_t)('a' + i * 7 % 26);
  return value;
}

grpc_byte_buffer *messages_tail(size_t max_bytes) {
  uint8_t memory[64];
  uint8_t *at = wire_put_bytes(memory, 1, bytes_of("bench", 5));
  at = wire_put_uint(at, 4, max_bytes);
  return buffer_of(memory, (size_t)(at - memory));
}

enum { REQUEST_MORE = 7, REQUEST_TOGETHER = 8 };

static grpc_slice further_of(grpc_byte_buffer *request) {
  grpc_byte_buffer_reader reader;
  if (!grpc_byte_buffer_reader_init(&reader, request)) abort();
  grpc_slice whole = grpc_byte_buffer_reader_readall(&reader);
  grpc_byte_buffer_reader_destroy(&reader);
  uint8_t head[1 + WIRE_VARINT_SIZE_MAX];
  size_t head_size = (size_t)(wire_put_bytes_head(head, REQUEST_MORE, GRPC_SLICE_LENGTH(whole)) - head);
  grpc_slice further = grpc_slice_malloc(head_size + GRPC_SLICE_LENGTH(whole));
  memcpy(GRPC_SLICE_START_PTR(further), head, head_size);
  memcpy(GRPC_SLICE_START_PTR(further) + head_size, GRPC_SLICE_START_PTR(whole), GRPC_SLICE_LENGTH(whole));
  grpc_slice_unref(whole);
  return further;
}

/* The first is whole, the flag follows it, then the others. */
grpc_byte_buffer *messages_together(unsigned count) {
  static const uint8_t takes_answers_together[] = {REQUEST_TOGETHER << 3, 1};
  grpc_slice slices[MESSAGES_TOGETHER_MAX + 1];
  grpc_byte_buffer *first = messages_next();
  size_t used = 0;
  slices[used++] = grpc_slice_ref(first->data.raw.slice_buffer.slices[0]);
  slices[used++] = grpc_slice_from_copied_buffer((const char *)takes_answers_together, sizeof takes_answers_together);
  while (used <= count) slices[used++] = grpc_slice_ref(of.further[of.number++ % of.many]);
  grpc_byte_buffer_destroy(first);
  grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(slices, used);
  for (size_t i = 0; i < used; i++) grpc_slice_unref(slices[i]);
  return buffer;
}

/* ---- etcd ---- */

/* A key of eight bytes. */
static uint8_t *put_key(uint8_t *at, uint64_t number) {
  uint8_t key[8];
  for (unsigned i = 0; i < sizeof key; i++) key[i] = (uint8_t)(number >> (8 * (7 - i)));
  return wire_put_bytes(at, 1, bytes_of(key, sizeof key));
}

/* etcdserverpb.PutRequest { key 1, value 2 }: a key that is never the same, before the one value. */
static grpc_byte_buffer *make_put(void) {
  uint8_t memory[64];
  uint8_t *at = put_key(memory, of.number);
  at = wire_put_bytes_head(at, 2, GRPC_SLICE_LENGTH(of.value));
  grpc_slice slices[] = {grpc_slice_from_copied_buffer((const char *)memory, (size_t)(at - memory)), of.value};
  grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(slices, 2);
  grpc_slice_unref(slices[0]);
  return buffer;
}

/* etcdserverpb.RangeRequest { key 1 }: linearizable, as it is unless told otherwise. */
static grpc_byte_buffer *make_get(void) {
  uint8_t memory[64];
  return buffer_of(memory, (size_t)(put_key(memory, 1 + of.number % of.many) - memory));
}

/* ---- Topics ---- */

static uint8_t *put_name(uint8_t *at, uint64_t number) {
  char name[NAME_SIZE];
  snprintf(name, sizeof name, "topic-%08" PRIu64, number);
  return wire_put_bytes(at, 1, bytes_of_string(name));
}

/* CreateTopicRequest { name 1, partitions 2 }: as many replicas as a topic gets when nobody says. */
static grpc_byte_buffer *make_create(void) {
  uint8_t memory[128];
  uint8_t *at = put_name(memory, of.number - 1);
  at = wire_put_uint(at, 2, of.partitions);
  return buffer_of(memory, (size_t)(at - memory));
}

/* AlterTopicRequest { name 1, config 2 { retention_ms 2 } }: never the one that the topic has. */
static grpc_byte_buffer *make_alter(void) {
  uint8_t memory[128], config[32];
  size_t size = (size_t)(wire_put_uint(config, 2, of.number) - config);
  uint8_t *at = put_name(memory, of.number % of.many);
  at = wire_put_bytes(at, 2, bytes_of(config, size));
  return buffer_of(memory, (size_t)(at - memory));
}

/* DescribeTopicRequest { name 1 } */
static grpc_byte_buffer *make_describe(void) {
  uint8_t memory[128];
  return buffer_of(memory, (size_t)(put_name(memory, of.number % of.many) - memory));
}

/* DeleteTopicRequest { name 1 } */
static grpc_byte_buffer *make_delete(void) {
  uint8_t memory[128];
  return buffer_of(memory, (size_t)(put_name(memory, of.number - 1) - memory));
}

/* ---- What is asked for ---- */

/* C core takes the slices out of what it sends: each send gets a buffer of its own over the same bytes. */
static grpc_byte_buffer *make_append(void) { return grpc_byte_buffer_copy(of.appends[(of.number - 1) % of.many]); }

bool messages_begin(const char *kind, unsigned many, size_t bytes) {
  static const struct {
    const char *kind;
    grpc_byte_buffer *(*make)(void);
    bool once; /* each thing has one, and then there is no more */
  } kinds[] = {{"unary", make_append, false},      {"stream", make_append, false},
               {"flock", make_append, false},      {"put", make_put, false},
               {"get", make_get, false},           {"create", make_create, true},
               {"alter", make_alter, false},       {"delete", make_delete, true},
               {"describe", make_describe, false}, {NULL, NULL, false}};
  of.many = many == 0 ? 1 : many;
  of.left = UINT64_MAX;
  of.partitions = (uint32_t)bytes;
  for (size_t i = 0; kinds[i].kind != NULL; i++) {
    if (strcmp(kind, kinds[i].kind) != 0) continue;
    of.make = kinds[i].make;
    if (kinds[i].once) of.left = of.many;
  }
  if (of.make == make_append && of.many > PARTITIONS_MAX) return false;
  if (of.make == make_put) of.value = value_of(bytes);
  size_t record_bytes = strcmp(kind, "unary") != 0 && bytes > SINGLE_BYTES_MAX ? RECORD_BYTES : bytes;
  for (unsigned p = 0; of.make == make_append && p < of.many; p++) of.appends[p] = append_request(p, bytes, record_bytes);
  for (unsigned p = 0; strcmp(kind, "flock") == 0 && p < of.many; p++) of.further[p] = further_of(of.appends[p]);
  return of.make != NULL;
}

bool messages_more(void) { return of.left > 0; }

bool messages_are_counted(void) { return of.left != UINT64_MAX; }

grpc_byte_buffer *messages_next(void) {
  of.number++;
  if (of.left != UINT64_MAX) of.left--;
  return of.make();
}
