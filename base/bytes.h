/* The type says who owns. `struct bytes` is borrowed: yours until the function you passed it to returns, or until the
 * call you got it from says. `struct buffer` is owned and grows up to its bound. (blob.h has the third: shared by count.)
 */
#ifndef CAIRN_BASE_BYTES_H
#define CAIRN_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct bytes {
  const uint8_t *data; /* may be NULL when size is 0 */
  size_t size;
};

static inline struct bytes bytes_of(const void *data, size_t size) { return (struct bytes){.data = data, .size = size}; }
struct bytes bytes_of_string(const char *text);
bool bytes_equal(struct bytes a, struct bytes b);
int bytes_compare(struct bytes a, struct bytes b);          /* as memcmp, a prefix sorts first */
struct bytes bytes_after(struct bytes bytes, size_t count); /* PRE count <= size */

/* Grows by doubling, never beyond `max`. Zero-initialised memory plus a max is a valid empty buffer. */
struct buffer {
  uint8_t *data;
  size_t size;
  size_t capacity;
  size_t max;
};

void buffer_init(struct buffer *buffer, size_t max);
void buffer_deinit(struct buffer *buffer);
void buffer_reset(struct buffer *buffer); /* empty, keeps the memory */
struct bytes buffer_bytes(const struct buffer *buffer);

/* STATUS_TOO_LARGE when the result would pass `max`; the buffer is then unchanged. */
enum status buffer_append(struct buffer *buffer, const void *data, size_t size) MUST_CHECK;
enum status buffer_append_string(struct buffer *buffer, const char *text) MUST_CHECK;
enum status buffer_printf(struct buffer *buffer, const char *format, ...) MUST_CHECK __attribute__((format(printf, 2, 3)));
/* Makes room for `size` bytes at the end and returns where they go, or NULL beyond `max`. The size counts at once. */
uint8_t *buffer_extend(struct buffer *buffer, size_t size);

#endif
