#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"

#define BUFFER_CAPACITY_FIRST 64u

struct bytes bytes_of_string(const char *text) {
  return bytes_of(text, strlen(text));
}

bool bytes_equal(struct bytes a, struct bytes b) {
  return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

int bytes_compare(struct bytes a, struct bytes b) {
  size_t common = a.size < b.size ? a.size : b.size;
  int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
  if (order != 0) return order;
  return (a.size > b.size) - (a.size < b.size);
}

struct bytes bytes_after(struct bytes bytes, size_t count) {
  PRE(count <= bytes.size);
  if (count == 0) return bytes; /* also keeps a NULL a NULL */
  return bytes_of(bytes.data + count, bytes.size - count);
}

void buffer_init(struct buffer *buffer, size_t max) { *buffer = (struct buffer){.max = max}; }

void buffer_deinit(struct buffer *buffer) {
  memory_free(buffer->data);
  *buffer = (struct buffer){.max = buffer->max};
}

void buffer_reset(struct buffer *buffer) { buffer->size = 0; }

struct bytes buffer_bytes(const struct buffer *buffer) {
  return bytes_of(buffer->data, buffer->size);
}

uint8_t *buffer_extend(struct buffer *buffer, size_t size) {
  PRE(buffer->size <= buffer->max);
  if (size > buffer->max - buffer->size) return NULL;
  size_t wanted = buffer->size + size;
  if (wanted > buffer->capacity || buffer->data == NULL) {
    size_t capacity = buffer->capacity < BUFFER_CAPACITY_FIRST ? BUFFER_CAPACITY_FIRST : buffer->capacity;
    while (capacity < wanted) capacity = capacity > buffer->max / 2 ? buffer->max : capacity * 2;
    if (capacity > buffer->max) capacity = buffer->max;
    buffer->data = memory_grow_array(buffer->data, capacity, 1);
    buffer->capacity = capacity;
  }
  uint8_t *at = buffer->data + buffer->size;
  buffer->size = wanted;
  return at;
}

enum status buffer_append(struct buffer *buffer, const void *data, size_t size) {
  uint8_t *at = buffer_extend(buffer, size);
  if (at == NULL) return STATUS_TOO_LARGE;
  if (size > 0) memcpy(at, data, size);
  return STATUS_OK;
}

enum status buffer_append_string(struct buffer *buffer, const char *text) { return buffer_append(buffer, text, strlen(text)); }

enum status buffer_printf(struct buffer *buffer, const char *format, ...) {
  char small[512];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(small, sizeof small, format, arguments);
  va_end(arguments);
  CHECK_MSG(length >= 0, "format \"%s\"", format);
  size_t size = (size_t)length;
  if (size < sizeof small) return buffer_append(buffer, small, size);
  if (size > buffer->max - buffer->size) return STATUS_TOO_LARGE;

  char *large = memory_grow_array(NULL, size + 1, 1);
  va_start(arguments, format);
  vsnprintf(large, size + 1, format, arguments);
  va_end(arguments);
  enum status status = buffer_append(buffer, large, size);
  memory_free(large);
  return status;
}
