#include "base/store.h"

#include "base/codec.h"

/* OFFSET SIZE
 *      0    4  crc32c of: table (u32), size of the key (u32), key, value
 *      4       value
 */
static uint32_t seal_of(unsigned table, struct bytes key, struct bytes value) {
  uint8_t head[8];
  put_u32(head, table);
  put_u32(head + 4, (uint32_t)key.size);
  return crc32c(crc32c(crc32c(0, bytes_of(head, sizeof head)), key), value);
}

void store_seal(unsigned table, struct bytes key, struct bytes value, uint8_t out_seal[STORE_SEAL_SIZE]) {
  put_u32(out_seal, seal_of(table, key, value));
}

enum status store_unseal(unsigned table, struct bytes key, struct bytes kept, struct bytes *out_value) {
  if (kept.size < STORE_SEAL_SIZE) return STATUS_CORRUPT;
  struct bytes value = bytes_after(kept, STORE_SEAL_SIZE);
  if (get_u32(kept.data) != seal_of(table, key, value)) return STATUS_CORRUPT;
  *out_value = value;
  return STATUS_OK;
}
