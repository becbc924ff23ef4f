#include "proto/pack.h"

#include "base/check.h"
#include "base/wire.h"

/* ---- Strings ---- */

static enum status check_strings(const ProtobufCMessageDescriptor *descriptor, struct bytes message, unsigned depth) {
  if (depth > PACK_DEPTH_MAX) return STATUS_MALFORMED;
  struct wire_cursor cursor = wire_cursor_of(message);
  struct wire_field field;
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    if (field.type != WIRE_BYTES) continue;
    const ProtobufCFieldDescriptor *known = protobuf_c_message_descriptor_get_field(descriptor, field.number);
    if (known == NULL) continue;
    if (known->type == PROTOBUF_C_TYPE_STRING && !utf8_valid_text(field.bytes)) return STATUS_BAD_NAME;
    if (known->type == PROTOBUF_C_TYPE_MESSAGE) {
      status = check_strings(known->descriptor, field.bytes, depth + 1);
      if (status != STATUS_OK) return status;
    }
  }
  return status == STATUS_END ? STATUS_OK : status;
}

enum status pack_check_strings(const ProtobufCMessageDescriptor *descriptor, struct bytes message) {
  return check_strings(descriptor, message, 1);
}

/* ---- Unpack ---- */

struct meter {
  struct arena *arena;
  bool exhausted;
};

static void *take(void *context, size_t size) {
  struct meter *meter = context;
  void *memory = meter->exhausted ? NULL : arena_take(meter->arena, size);
  if (memory == NULL) meter->exhausted = true;
  return memory;
}

static void give_back(void *context, void *memory) { /* the arena does, all at once */
  (void)context;
  (void)memory;
}

enum status pack_unpack(struct arena *arena, const ProtobufCMessageDescriptor *descriptor, struct bytes message,
                        void *out_message) {
  enum status status = pack_check_strings(descriptor, message);
  if (status != STATUS_OK) return status;
  struct meter meter = {.arena = arena};
  ProtobufCAllocator allocator = {.alloc = take, .free = give_back, .allocator_data = &meter};
  ProtobufCMessage *unpacked = protobuf_c_message_unpack(descriptor, &allocator, message.size, message.data);
  if (meter.exhausted) return STATUS_TOO_LARGE;
  if (unpacked == NULL) return STATUS_MALFORMED;
  *(ProtobufCMessage **)out_message = unpacked;
  return STATUS_OK;
}

/* ---- Pack ---- */

enum status pack_blob(const ProtobufCMessage *message, struct account *account, struct blob **out_blob) {
  struct blob *blob = NULL;
  enum status status = blob_new(account, protobuf_c_message_get_packed_size(message), &blob);
  if (status != STATUS_OK) return status;
  size_t size = protobuf_c_message_pack(message, blob->data);
  CHECK(size == blob->size);
  *out_blob = blob;
  return STATUS_OK;
}

struct blob_part pack_part(const ProtobufCMessage *message) {
  struct blob *blob = NULL;
  enum status status = pack_blob(message, NULL, &blob);
  CHECK(status == STATUS_OK); /* nothing to be over */
  return (struct blob_part){.blob = blob, .bytes = bytes_of(blob->data, blob->size)};
}
