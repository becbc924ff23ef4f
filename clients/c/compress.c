#include "clients/c/compress.h"

#include <lz4frame.h>
#include <string.h>
#include <zstd.h>

#include "base/check.h"

#define ZSTD_LEVEL 1 /* 0.6 GB/s a core; higher levels cost more than they save on the way to a disk */

/* A blob without an account always fits. */
static struct blob *blob_of_size(size_t size) {
  struct blob *blob = NULL;
  enum status status = blob_new(NULL, size, &blob);
  CHECK(status == STATUS_OK);
  return blob;
}

/* How much was written, or 0. */
static size_t compress_into(enum wire_codec codec, struct bytes plain, uint8_t *into, size_t room) {
  if (codec == WIRE_CODEC_ZSTD) {
    size_t size = ZSTD_compress(into, room, plain.data, plain.size, ZSTD_LEVEL);
    return ZSTD_isError(size) ? 0 : size;
  }
  size_t size = LZ4F_compressFrame(into, room, plain.data, plain.size, NULL);
  return LZ4F_isError(size) ? 0 : size;
}

struct blob *compress(enum wire_codec codec, struct bytes plain) {
  PRE(codec == WIRE_CODEC_ZSTD || codec == WIRE_CODEC_LZ4);
  size_t room = codec == WIRE_CODEC_ZSTD ? ZSTD_compressBound(plain.size) : LZ4F_compressFrameBound(plain.size, NULL);
  struct blob *wide = blob_of_size(room);
  size_t size = compress_into(codec, plain, wide->data, room);
  struct blob *result = NULL;
  if (size > 0 && size < plain.size) {
    result = blob_of_size(size);
    memcpy(result->data, wide->data, size);
  }
  blob_release(wide);
  return result;
}

static bool inflate_zstd(struct bytes compressed, struct blob *into) {
  size_t size = ZSTD_decompress(into->data, into->size, compressed.data, compressed.size);
  return !ZSTD_isError(size) && size == into->size;
}

static bool inflate_lz4(struct bytes compressed, struct blob *into) {
  LZ4F_dctx *context = NULL;
  if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION))) return false;
  size_t written = 0;
  size_t hint = 1;
  while (hint != 0 && compressed.size > 0) {
    size_t room = into->size - written;
    size_t taken = compressed.size;
    hint = LZ4F_decompress(context, into->data + written, &room, compressed.data, &taken, NULL);
    if (LZ4F_isError(hint) || (room == 0 && taken == 0)) break;
    written += room;
    compressed = bytes_after(compressed, taken);
  }
  LZ4F_freeDecompressionContext(context);
  return hint == 0 && compressed.size == 0 && written == into->size;
}

enum status inflate(enum wire_codec codec, struct bytes compressed, uint32_t inflated_bytes, struct blob **out_plain) {
  if (codec != WIRE_CODEC_ZSTD && codec != WIRE_CODEC_LZ4) return STATUS_UNSUPPORTED;
  if (inflated_bytes > INFLATED_BYTES_MAX) return STATUS_TOO_LARGE;
  struct blob *plain = blob_of_size(inflated_bytes);
  bool whole = codec == WIRE_CODEC_ZSTD ? inflate_zstd(compressed, plain) : inflate_lz4(compressed, plain);
  if (!whole) {
    blob_release(plain);
    return STATUS_CORRUPT;
  }
  *out_plain = plain;
  return STATUS_OK;
}
