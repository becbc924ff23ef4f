/* An entry from a disk or a peer: any bytes. What decodes must encode to the same bytes again. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "log/entry.h"

static void decode(const uint8_t in[ENTRY_HEAD_SIZE], struct bytes payload) {
  struct entry_head head;
  if (entry_decode_head(in, &head) != STATUS_OK) return;
  uint8_t again[ENTRY_HEAD_SIZE];
  entry_encode_head(&head, again);
  CHECK(memcmp(in, again, sizeof again) == 0);
  if (entry_check_payload(&head, payload) != STATUS_OK) return;
  uint64_t chain = entry_chain(&head, payload, 1);
  entry_seal(&head, payload, 1);
  CHECK(head.chain == chain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < ENTRY_HEAD_SIZE) return 0;
  struct bytes payload = bytes_of(data + ENTRY_HEAD_SIZE, size - ENTRY_HEAD_SIZE);
  decode(data, payload);

  /* The same with checksums that fit, so that what lies behind them is reached. */
  uint8_t mended[ENTRY_HEAD_SIZE];
  memcpy(mended, data, sizeof mended);
  memcpy(mended, "CRNE", 4);
  put_u32(mended + 12, (uint32_t)payload.size);
  put_u32(mended + 60, crc32c(0, payload));
  put_u32(mended + 4, crc32c(0, bytes_of(mended + 8, sizeof mended - 8)));
  decode(mended, payload);
  return 0;
}
