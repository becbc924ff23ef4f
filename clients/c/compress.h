/* Batches compressed and inflated: zstd and the LZ4 frame format. Bounded: what claims to be larger than it may be is refused
 * before a byte is inflated, and what turns out larger than it claimed, as soon as it does. */
#ifndef CAIRN_CLIENTS_C_COMPRESS_H
#define CAIRN_CLIENTS_C_COMPRESS_H

#include "base/blob.h"
#include "base/bytes.h"
#include "proto/log_wire.h"

#define INFLATED_BYTES_MAX (64u * 1024 * 1024)

/* NULL when it would not become smaller. Not charged to any account. PRE codec is not WIRE_CODEC_NONE. */
struct blob *compress(enum wire_codec codec, struct bytes plain);

/* STATUS_CORRUPT: not the codec's format, or not `inflated_bytes` large. STATUS_TOO_LARGE: above INFLATED_BYTES_MAX.
 * STATUS_UNSUPPORTED: a codec we do not know. */
enum status inflate(enum wire_codec codec, struct bytes compressed, uint32_t inflated_bytes, struct blob **out_plain) MUST_CHECK;

#endif
