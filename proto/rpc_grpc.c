#include "proto/rpc_grpc.h"

#include <grpc/support/log.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/os/wakes.h"
#include "base/trace.h"
#include "proto/rpc_grpc_internal.h"

#define WAKES_HELD_NS 100000 /* about four messages of 64 KiB */

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

/* ---- The thread ---- */

/* The next event. Messages come in flocks, and each would wake a lane that is asleep: those wakes are held until nothing more is at
 * hand, or for WAKES_HELD_NS. */
static grpc_event next_event(struct poller *poller, gpr_timespec *held_since) {
  gpr_timespec now = gpr_now(GPR_CLOCK_MONOTONIC);
  if (!wakes_held()) *held_since = now;
  gpr_timespec until = gpr_time_add(*held_since, gpr_time_from_nanos(WAKES_HELD_NS, GPR_TIMESPAN));
  if (wakes_held() && gpr_time_cmp(now, until) < 0) {
    grpc_event event = grpc_completion_queue_next(poller->queue, gpr_inf_past(GPR_CLOCK_MONOTONIC), NULL);
    if (event.type != GRPC_QUEUE_TIMEOUT) return event;
  }
  wakes_let_go();
  return grpc_completion_queue_next(poller->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
}

static void *poll_forever(void *argument) {
  struct poller *poller = argument;
  check_context("rpc thread");
  atomic_store_explicit(&poller->thread_id, gettid(), memory_order_relaxed);
  wakes_hold();
  gpr_timespec held_since = gpr_now(GPR_CLOCK_MONOTONIC);
  for (;;) {
    grpc_event event = next_event(poller, &held_since);
    if (event.type == GRPC_QUEUE_SHUTDOWN) {
      wakes_let_go();
      return NULL;
    }
    uint64_t turns = atomic_load_explicit(&poller->turns, memory_order_relaxed); /* nobody else writes it */
    atomic_store_explicit(&poller->turns, turns + 1, memory_order_relaxed);
    CHECK(event.type == GRPC_OP_COMPLETE);
    struct tag *tag = event.tag;
    tag_returns(tag);
    tag->run(tag, event.success != 0);
  }
}

uint64_t rpc_grpc_now_ns(void) {
  gpr_timespec now = gpr_now(GPR_CLOCK_MONOTONIC);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bool rpc_grpc_on_thread(const struct transport *transport) {
  return pthread_equal(pthread_self(), transport->poller->thread) != 0;
}

/* ---- Errands ---- */

void rpc_grpc_give_errand(struct transport *transport, struct errand *errand, grpc_call *call) {
  struct poller *poller = transport->poller;
  errand->next = NULL;
  pthread_mutex_lock(&poller->errands_lock);
  bool wake = poller->first_errand == NULL;
  *poller->last_errand = errand;
  poller->last_errand = &errand->next;
  pthread_mutex_unlock(&poller->errands_lock);
  if (!wake) return;
  /* C core's surface has no way to post to a queue but this: an empty batch completes at once. */
  tag_leaves(&poller->woken);
  grpc_call_error error = grpc_call_start_batch(call, NULL, 0, &poller->woken, NULL);
  CHECK_MSG(error == GRPC_CALL_OK, "%s", grpc_call_error_to_string(error));
}

static void on_woken(struct tag *tag, bool ok) {
  struct poller *poller = container_of(tag, struct poller, woken);
  CHECK(ok);
  pthread_mutex_lock(&poller->errands_lock);
  struct errand *errand = poller->first_errand;
  poller->first_errand = NULL;
  poller->last_errand = &poller->first_errand;
  pthread_mutex_unlock(&poller->errands_lock);
  while (errand != NULL) {
    struct errand *next = errand->next; /* it may be given again while it runs */
    errand->run(errand);
    errand = next;
  }
}

/* C core logs by itself, in a form of its own, and some of its errors can be had by any stranger as often as he likes. What matters
 * of it (a port that cannot be had, a listener that fell silent) we report ourselves. */
static void trace_core(gpr_log_func_args *args) {
  char text[512];
  trace_debug("grpc_core", "line=%d text=%s", args->line, trace_quote(text, sizeof text, args->message, strlen(args->message)));
}

/* ---- Life ---- */

static void free_poller(struct poller *poller) {
  grpc_completion_queue_destroy(poller->queue);
  grpc_shutdown();
  pthread_mutex_destroy(&poller->errands_lock);
  memory_free(poller);
}

static struct poller *start_poller(void) {
  struct poller *poller = NEW(struct poller);
  pthread_mutex_init(&poller->errands_lock, NULL);
  poller->last_errand = &poller->first_errand;
  poller->woken.run = on_woken;

  /* C core's threads and ours leave signals to main(). */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  gpr_set_log_function(trace_core);
  grpc_init();
  poller->queue = grpc_completion_queue_create_for_next(NULL);
  int error = pthread_create(&poller->thread, NULL, poll_forever, poller);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error != 0) {
    grpc_completion_queue_shutdown(poller->queue);
    free_poller(poller);
    return NULL;
  }
  pthread_setname_np(poller->thread, "rpc");
  return poller;
}

static struct rpc *open_on(struct poller *poller) {
  struct transport *transport = NEW(struct transport);
  transport->base.ops = &ops;
  transport->poller = poller;
  atomic_fetch_add(&poller->holders, 1);
  pthread_mutex_init(&transport->lock, NULL);
  return &transport->base;
}

enum status rpc_grpc_open(struct rpc **out_rpc) {
  struct poller *poller = start_poller();
  if (poller == NULL) return STATUS_IO;
  *out_rpc = open_on(poller);
  return STATUS_OK;
}

struct rpc *rpc_grpc_open_beside(struct rpc *rpc) {
  return open_on(transport_of(rpc)->poller);
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
  if (atomic_fetch_sub(&poller->holders, 1) > 1) return;
  grpc_completion_queue_shutdown(poller->queue);
  pthread_join(poller->thread, NULL);
  free_poller(poller);
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
