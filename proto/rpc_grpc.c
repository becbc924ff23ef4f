#include "proto/rpc_grpc.h"

#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "proto/rpc_grpc_internal.h"

static const struct rpc_ops ops = {
    .call_hold = rpc_grpc_call_hold,
    .call_release = rpc_grpc_call_release,
    .call_time_left_ns = rpc_grpc_call_time_left_ns,
    .call_receive = rpc_grpc_call_receive,
    .call_send = rpc_grpc_call_send,
    .call_queued = rpc_grpc_call_queued,
    .call_finish = rpc_grpc_call_finish,
    .request_start = rpc_grpc_request_start,
    .request_send = rpc_grpc_request_send,
    .request_receive = rpc_grpc_request_receive,
    .request_half_close = rpc_grpc_request_half_close,
    .request_cancel = rpc_grpc_request_cancel,
    .request_queued = rpc_grpc_request_queued,
    .request_release = rpc_grpc_request_release,
    .serve = rpc_grpc_serve,
    .serve_stop = rpc_grpc_serve_stop,
    .channel_open = rpc_grpc_channel_open,
    .channel_close = rpc_grpc_channel_close,
};

uint64_t rpc_grpc_now_ns(void) {
  gpr_timespec now = gpr_now(GPR_CLOCK_MONOTONIC);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- Life ---- */

static struct rpc *open_on(struct poller *poller) {
  struct transport *transport = NEW(struct transport);
  transport->base.ops = &ops;
  transport->poller = poller;
  pthread_mutex_init(&transport->lock, NULL);
  return &transport->base;
}

enum status rpc_grpc_open(struct rpc **out_rpc) {
  struct poller *poller = poller_start();
  if (poller == NULL) return STATUS_IO;
  *out_rpc = open_on(poller);
  return STATUS_OK;
}

struct rpc *rpc_grpc_open_beside(struct rpc *rpc) {
  return open_on(poller_hold(transport_of(rpc)->poller));
}

struct loop *rpc_grpc_loop_new(struct rpc *rpc, const char *name) {
  return poller_guest_new(transport_of(rpc)->poller, name);
}

void rpc_grpc_close(struct rpc *rpc) {
  if (rpc == NULL) return;
  struct transport *transport = transport_of(rpc);
  struct poller *poller = transport->poller;
  PRE(!rpc_grpc_on_thread(transport));
  PRE(atomic_load(&transport->channels) == 0);
  rpc_grpc_serve_stop(rpc, 0);
  pthread_mutex_destroy(&transport->lock);
  memory_free(transport);
  poller_release(poller);
}

uint64_t rpc_grpc_listener_rebuilds(const struct rpc *rpc) {
  const struct transport *transport = (const struct transport *)(const void *)rpc;
  return atomic_load_explicit(&transport->listener_rebuilds, memory_order_relaxed);
}

/* ---- Bytes out ---- */

static void release_blob(void *blob) { blob_release(blob); }

static grpc_slice slice_of_part(struct blob_part part) {
  if (part.blob == NULL) return grpc_slice_from_static_buffer(part.bytes.data, part.bytes.size);
  void *data = part.blob->data + (part.bytes.data - part.blob->data); /* the same, without const */
  return grpc_slice_new_with_user_data(data, part.bytes.size, release_blob, part.blob);
}

/* How many of the parts are small and stand at the start, and their size. */
static size_t small_run(const struct blob_part *parts, size_t count, size_t *out_size) {
  size_t run = 0;
  *out_size = 0;
  for (; run < count && parts[run].bytes.size < SLICE_BYTES_MIN; run++) *out_size += parts[run].bytes.size;
  return run;
}

static grpc_slice slice_of_copies(const struct blob_part *parts, size_t count, size_t size) {
  grpc_slice slice = grpc_slice_malloc(size);
  uint8_t *at = GRPC_SLICE_START_PTR(slice);
  for (size_t i = 0; i < count; i++) {
    if (parts[i].bytes.size > 0) memcpy(at, parts[i].bytes.data, parts[i].bytes.size);
    at += parts[i].bytes.size;
    blob_part_release(parts[i]);
  }
  return slice;
}

grpc_byte_buffer *rpc_grpc_buffer_of(const struct blob_part *parts, size_t count) {
  grpc_slice few[16];
  grpc_slice *slices = count <= sizeof few / sizeof few[0] ? few : memory_new_array(count, sizeof *slices);
  size_t slice_count = 0;
  for (size_t i = 0; i < count;) {
    size_t size = 0;
    size_t run = small_run(parts + i, count - i, &size);
    if (run > 0) {
      slices[slice_count++] = slice_of_copies(parts + i, run, size);
      i += run;
    } else {
      slices[slice_count++] = slice_of_part(parts[i++]);
    }
  }
  grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(slices, slice_count);
  for (size_t i = 0; i < slice_count; i++) grpc_slice_unref(slices[i]);
  if (slices != few) memory_free(slices);
  return buffer;
}

/* ---- Bytes in ---- */

enum status rpc_grpc_blob_of(const grpc_byte_buffer *buffer, struct account *account, size_t bytes_max, struct blob **out_blob) {
  struct blob *blob = NULL;
  const grpc_slice_buffer *slices = &buffer->data.raw.slice_buffer;
  if (buffer->type != GRPC_BB_RAW || buffer->data.raw.compression != GRPC_COMPRESS_NONE) return STATUS_UNSUPPORTED;
  if (slices->length > bytes_max) return STATUS_TOO_LARGE;
  enum status status = blob_new(account, slices->length, &blob);
  if (status != STATUS_OK) return status;
  uint8_t *at = blob->data;
  slices_read_begin();
  for (size_t i = 0; i < slices->count; i++) {
    size_t size = GRPC_SLICE_LENGTH(slices->slices[i]);
    if (size > 0) memcpy(at, GRPC_SLICE_START_PTR(slices->slices[i]), size);
    at += size;
  }
  slices_read_end();
  CHECK(at == blob->data + blob->size);
  *out_blob = blob;
  return STATUS_OK;
}

/* ---- Messages that wait ---- */

void rpc_grpc_outbox_push(struct outbox *outbox, grpc_byte_buffer *buffer) {
  if (outbox->count == outbox->capacity) {
    size_t capacity = outbox->capacity == 0 ? 4 : outbox->capacity * 2;
    grpc_byte_buffer **ring = memory_new_array(capacity, sizeof *ring);
    for (size_t i = 0; i < outbox->count; i++) ring[i] = outbox->ring[(outbox->first + i) & (outbox->capacity - 1)];
    memory_free(outbox->ring);
    outbox->ring = ring;
    outbox->capacity = capacity;
    outbox->first = 0;
  }
  outbox->ring[(outbox->first + outbox->count) & (outbox->capacity - 1)] = buffer;
  outbox->count++;
}

grpc_byte_buffer *rpc_grpc_outbox_pop(struct outbox *outbox) {
  if (outbox->count == 0) return NULL;
  grpc_byte_buffer *buffer = outbox->ring[outbox->first];
  outbox->first = (outbox->first + 1) & (outbox->capacity - 1);
  outbox->count--;
  return buffer;
}

void rpc_grpc_outbox_deinit(struct outbox *outbox) {
  for (grpc_byte_buffer *buffer = rpc_grpc_outbox_pop(outbox); buffer != NULL; buffer = rpc_grpc_outbox_pop(outbox)) {
    grpc_byte_buffer_destroy(buffer);
  }
  memory_free(outbox->ring);
  *outbox = (struct outbox){0};
}
