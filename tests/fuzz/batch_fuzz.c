/* A batch's payload from a stranger. The first byte chooses: plain, zstd or lz4; two more say how large it claims to be. */
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "base/codec.h"
#include "log/batch.h"

static const struct batch_limits limits = {.record_bytes_max = 4096, .uncompressed_bytes_max = 65536};

static void walk(struct bytes payload, const struct batch_summary *summary) {
  struct batch_cursor cursor = batch_cursor_of(payload);
  struct batch_record record;
  uint32_t count = 0;
  enum status status = STATUS_OK;
  while ((status = batch_next(&cursor, &record)) == STATUS_OK) {
    count++;
    CHECK(IMPLIES(!record.has_key, record.key.size == 0) && IMPLIES(!record.has_value, record.value.size == 0));
    CHECK(record.key.size + record.value.size <= summary->record_bytes_max);
    CHECK(record.encoded.data >= payload.data && record.encoded.data + record.encoded.size <= payload.data + payload.size);
  }
  CHECK(status == STATUS_END && count == summary->record_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 3) return 0;
  struct bytes payload = bytes_of(data + 3, size - 3);
  struct batch_summary summary;
  if (data[0] % 3 == 0) {
    if (batch_check(payload, &limits, &summary) == STATUS_OK) walk(payload, &summary);
    return 0;
  }
  enum entry_codec codec = data[0] % 3 == 1 ? ENTRY_CODEC_ZSTD : ENTRY_CODEC_LZ4;
  uint32_t claimed = (uint32_t)get_u16(data + 1) + (data[0] >= 128 ? 65536 : 0);
  enum status status = batch_check_compressed(codec, payload, claimed, &limits, &summary);
  CHECK(IMPLIES(claimed > limits.uncompressed_bytes_max, status == STATUS_TOO_LARGE));
  if (status != STATUS_OK) return 0;
  struct buffer plain;
  buffer_init(&plain, limits.uncompressed_bytes_max);
  status = batch_inflate(codec, payload, claimed, &plain);
  CHECK(status == STATUS_OK && plain.size == claimed);
  walk(buffer_bytes(&plain), &summary);
  buffer_deinit(&plain);
  return 0;
}
