#include "controller/map_head.h"

#include <string.h>

#include "base/codec.h"
#include "controller/feature_level.h"

#define MAGIC_SIZE 8u
#define VERSION 1u

static const uint8_t magic[MAGIC_SIZE] = {'C', 'R', 'N', 'T', 'H', 'M', 'A', 'P'};

bool map_head_put(uint32_t level, struct buffer *out) {
  if (level == FEATURE_LEVEL_FIRST) return true;
  uint8_t *head = buffer_extend(out, MAP_HEAD_SIZE);
  if (head == NULL) return false;
  memset(head, 0, MAP_HEAD_SIZE);
  memcpy(head, magic, MAGIC_SIZE);
  head[8] = VERSION;
  put_u32(head + 12, level);
  return true;
}

enum status map_head_take(struct bytes *bytes, uint32_t *out_level) {
  bool given = bytes->size >= MAGIC_SIZE && memcmp(bytes->data, magic, MAGIC_SIZE) == 0;
  if (!given) {
    *out_level = FEATURE_LEVEL_FIRST;
    return STATUS_OK;
  }
  if (bytes->size < MAP_HEAD_SIZE) return STATUS_CORRUPT;
  uint32_t level = get_u32(bytes->data + 12);
  if (bytes->data[8] != VERSION) return STATUS_FOREIGN;
  if (level <= FEATURE_LEVEL_FIRST) return STATUS_CORRUPT;
  *bytes = bytes_after(*bytes, MAP_HEAD_SIZE);
  *out_level = level;
  return STATUS_OK;
}
