#include "tests/unit/base/parts.h"

#include <string.h>

#include "base/memory.h"
#include "tests/unit/base/cmocka_base.h"

struct blob *parts_join(struct blob_part *parts, size_t count) {
  size_t size = 0;
  for (size_t i = 0; i < count; i++) size += parts[i].bytes.size;
  struct blob *whole = NULL;
  assert_int_equal(blob_new(NULL, size, &whole), STATUS_OK);
  uint8_t *at = whole->data;
  for (size_t i = 0; i < count; i++) {
    if (parts[i].bytes.size > 0) memcpy(at, parts[i].bytes.data, parts[i].bytes.size);
    at += parts[i].bytes.size;
    blob_part_release(parts[i]);
  }
  return whole;
}
