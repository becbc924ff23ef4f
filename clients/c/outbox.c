#include "clients/c/outbox.h"

#include "base/check.h"

bool outbox_is_full(const struct outbox *outbox, size_t payload_bytes) {
  if (outbox->requests == 0) return false;
  return outbox->requests == OUTBOX_REQUESTS_MAX || outbox->bytes + OUTBOX_HEAD_BYTES_MAX + payload_bytes > OUTBOX_BYTES_MAX;
}

void outbox_add(struct outbox *outbox, const struct wire_append_request *request, struct blob_part payload) {
  PRE(outbox->requests < OUTBOX_REQUESTS_MAX);
  struct blob_part *parts = &outbox->parts[outbox->requests * LOG_WIRE_APPEND_PARTS];
  if (outbox->requests++ == 0) log_wire_encode_append_request(request, payload, parts);
  else log_wire_encode_further_request(request, payload, parts);
  for (size_t i = 0; i < LOG_WIRE_APPEND_PARTS; i++) outbox->bytes += parts[i].bytes.size;
}

static void empty(struct outbox *outbox) {
  outbox->requests = 0;
  outbox->bytes = 0;
}

void outbox_send(struct outbox *outbox, struct rpc_request *stream) {
  PRE(outbox->requests > 0);
  rpc_request_send(stream, outbox->parts, outbox->requests * LOG_WIRE_APPEND_PARTS);
  empty(outbox);
}

void outbox_drop(struct outbox *outbox) {
  for (size_t i = 0; i < outbox->requests * LOG_WIRE_APPEND_PARTS; i++) blob_part_release(outbox->parts[i]);
  empty(outbox);
}
