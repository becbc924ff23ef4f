/* A ReadRequest or TailRequest from a stranger: any bytes. What decodes must come back when it is encoded, and say what protobuf-c
 * reads, where that can read it too. */
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "base/wire.h"
#include "cairn/v1/log.pb-c.h"
#include "proto/log_wire.h"
#include "proto/pack.h"

static void check_again(const struct wire_read_request *request) {
  struct blob_part part = log_wire_encode_read_request(request);
  struct wire_read_request again;
  enum status status = log_wire_decode_read_request(part.bytes, &again);
  CHECK(status == STATUS_OK);
  CHECK(bytes_equal(again.topic, request->topic) && again.partition == request->partition);
  CHECK(again.offset == request->offset && again.max_bytes == request->max_bytes);
  CHECK(again.min_bytes == request->min_bytes && again.max_wait_ms == request->max_wait_ms);
  blob_part_release(part);
}

static void check_against_stock(struct bytes message, const struct wire_read_request *request) {
  struct arena *arena = arena_new(PACK_ARENA_BYTES_MAX);
  Cairn__V1__ReadRequest *read = NULL;
  if (pack_unpack(arena, &cairn__v1__read_request__descriptor, message, &read) == STATUS_OK) {
    CHECK(bytes_equal(request->topic, bytes_of_string(read->topic)) && request->partition == read->partition);
    CHECK(request->offset == read->offset && request->max_bytes == read->max_bytes);
    CHECK(request->min_bytes == read->min_bytes && request->max_wait_ms == read->max_wait_ms);
  }
  Cairn__V1__TailRequest *tail = NULL;
  if (pack_unpack(arena, &cairn__v1__tail_request__descriptor, message, &tail) == STATUS_OK) {
    CHECK(bytes_equal(request->topic, bytes_of_string(tail->topic)) && request->partition == tail->partition);
    CHECK(request->offset == tail->offset && request->max_bytes == tail->max_bytes);
  }
  arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct bytes message = bytes_of(data, size);
  struct wire_read_request request;
  if (log_wire_decode_read_request(message, &request) != STATUS_OK) return 0;
  CHECK(utf8_valid_text(request.topic));
  check_again(&request);
  check_against_stock(message, &request);
  return 0;
}
