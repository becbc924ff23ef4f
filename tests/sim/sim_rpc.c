#include "tests/sim/sim_rpc.h"

#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"
#include "tests/sim/sim_rpc_internal.h"

#define WINDOW_BYTES (64u * 1024) /* what HTTP/2 begins with */
#define RELEASE_NS_MAX 200000u
#define RELEASE_LATE_NS_MAX 300000000u
#define THREAD_NS_MAX 15000u
#define THREAD_STALL_NS_MAX 2000000u
#define LOOK_AGAIN_NS 50000u

const struct rpc_ops sim_rpc_ops = {
    .call_hold = sim_call_hold,
    .call_release = sim_call_release,
    .call_time_left_ns = sim_call_time_left_ns,
    .call_receive = sim_call_receive,
    .call_send = sim_call_send,
    .call_queued = sim_call_queued,
    .call_finish = sim_call_finish,
    .request_start = sim_request_start,
    .request_send = sim_request_send,
    .request_receive = sim_request_receive,
    .request_half_close = sim_request_half_close,
    .request_cancel = sim_request_cancel,
    .request_queued = sim_request_queued,
    .request_release = sim_request_release,
    .serve = sim_rpc_serve,
    .serve_stop = sim_rpc_serve_stop,
    .channel_open = sim_channel_open,
    .channel_close = sim_channel_close,
};

/* ---- The thread ---- */

static void wake_thread(struct sim_rpc *rpc) {
  if (rpc->thread.slot != 0 || list_node_linked(&rpc->thread.held)) return;
  bool stalls = sim_random_below(&rpc->chance, 1000) == 0;
  uint64_t delay_ns = 500 + sim_random_below(&rpc->chance, stalls ? THREAD_STALL_NS_MAX : THREAD_NS_MAX);
  sim_event_set(rpc->sim, &rpc->thread, sim_now_ns(rpc->sim) + delay_ns);
}

void sim_rpc_errand(struct sim_rpc *rpc, struct sim_errand *errand) {
  if (list_node_linked(&errand->node)) return;
  list_push_back(&rpc->errands, &errand->node);
  wake_thread(rpc);
}

/* What was there when it began; each may free what it lives in. */
static void run_errands(struct sim_event *event) {
  struct sim_rpc *rpc = container_of(event, struct sim_rpc, thread);
  if (sim_process_holds(rpc->process, event)) return;
  size_t count = 0;
  list_for_each(&rpc->errands, node, following) count++;
  for (; count > 0 && !list_empty(&rpc->errands); count--) {
    struct sim_errand *errand = list_entry(list_pop_front(&rpc->errands), struct sim_errand, node);
    errand->run(errand);
  }
  if (!list_empty(&rpc->errands)) wake_thread(rpc);
}

void sim_rpc_wait(struct sim_rpc *rpc, bool (*reached)(void *context), void *context, uint64_t until_ns) {
  struct sim_fiber *fiber = sim_fiber_current(rpc->sim);
  if (fiber == NULL) {
    sim_run_until(rpc->sim, reached, context, until_ns);
    return;
  }
  while (!reached(context) && sim_now_ns(rpc->sim) < until_ns) {
    sim_fiber_wake(fiber, sim_now_ns(rpc->sim) + LOOK_AGAIN_NS);
    sim_fiber_park(rpc->sim);
  }
}

/* ---- Messages ---- */

static uint64_t sum_of(const struct sim_message *message) {
  uint64_t sum = 0;
  for (size_t i = 0; i < message->count; i++) sum = xxh3(sum, message->parts[i].bytes);
  return sum;
}

struct sim_message *sim_message_new(const struct blob_part *parts, size_t count) {
  struct sim_message *message = NEW(struct sim_message);
  message->parts = memory_new_array(count, sizeof *parts);
  message->count = count;
  for (size_t i = 0; i < count; i++) {
    message->parts[i] = parts[i];
    message->size += parts[i].bytes.size;
  }
  message->sum = sum_of(message);
  return message;
}

void sim_message_copy(const struct sim_message *message, uint8_t *into) {
  CHECK_MSG(sum_of(message) == message->sum, "the bytes of a message changed between its send and its way out");
  for (size_t i = 0; i < message->count; i++) {
    const struct bytes bytes = message->parts[i].bytes;
    if (bytes.size > 0) memcpy(into, bytes.data, bytes.size);
    into += bytes.size;
  }
}

/* ---- Blobs whose holds go later ---- */

struct release {
  struct list_node node;
  struct sim_event event;
  struct sim_rpc *rpc;
  struct sim_message *message;
};

static void release_now(struct release *release) {
  for (size_t i = 0; i < release->message->count; i++) blob_part_release(release->message->parts[i]);
  list_remove(&release->node);
  release->rpc->held--;
  memory_free(release->message->parts);
  memory_free(release->message);
  memory_free(release);
}

static void release_fires(struct sim_event *event) {
  struct release *release = container_of(event, struct release, event);
  if (!sim_process_holds(release->rpc->process, event)) release_now(release);
}

void sim_message_free(struct sim_rpc *rpc, struct sim_message *message) {
  if (message == NULL) return;
  struct release *release = NEW(struct release);
  release->event.fire = release_fires;
  release->rpc = rpc;
  release->message = message;
  list_push_back(&rpc->releases, &release->node);
  rpc->held++;
  bool late = sim_random_below(&rpc->chance, 200) == 0;
  uint64_t delay_ns = sim_random_below(&rpc->chance, late ? RELEASE_LATE_NS_MAX : rpc->options.release_ns_max + 1);
  sim_event_set(rpc->sim, &release->event, sim_now_ns(rpc->sim) + delay_ns);
}

size_t sim_rpc_held(const struct rpc *rpc) { return ((const struct sim_rpc *)(const void *)rpc)->held; }

/* ---- Death: the kernel closes what a process leaves open ---- */

static void close_all(struct sim_event *event) {
  struct sim_rpc *rpc = container_of(event, struct sim_rpc, closing);
  struct list_node *node = NULL;
  sim_serving_died(rpc);
  while ((node = list_first(&rpc->links)) != NULL) sim_connection_close(list_entry(node, struct sim_connection, node));
  sim_channels_died(rpc);
}

static void died(struct sim_death *death) {
  struct sim_rpc *rpc = container_of(death, struct sim_rpc, death);
  sim_event_set(rpc->sim, &rpc->closing, sim_now_ns(rpc->sim));
}

/* ---- Life ---- */

struct rpc *sim_rpc_new(struct sim_process *process, struct sim_net *net, struct sim_host *host,
                        const struct sim_rpc_options *options) {
  struct sim_rpc *rpc = NEW(struct sim_rpc);
  rpc->base.ops = &sim_rpc_ops;
  rpc->sim = process->sim;
  rpc->process = process;
  rpc->net = net;
  rpc->host = host;
  if (options != NULL) rpc->options = *options;
  if (rpc->options.window_bytes == 0) rpc->options.window_bytes = WINDOW_BYTES;
  if (rpc->options.release_ns_max == 0) rpc->options.release_ns_max = RELEASE_NS_MAX;
  sim_random_init(&rpc->chance, sim_seed(rpc->sim) + sim_now_ns(rpc->sim), process->name);
  rpc->thread.fire = run_errands;
  rpc->death.told = died;
  rpc->closing.fire = close_all;
  list_init(&rpc->errands);
  list_init(&rpc->links);
  list_init(&rpc->channels);
  list_init(&rpc->releases);
  sim_process_watch(process, &rpc->death);
  return &rpc->base;
}

void sim_rpc_free(struct rpc *base) {
  if (base == NULL) return;
  struct sim_rpc *rpc = sim_rpc_of(base);
  PRE(list_empty(&rpc->channels));
  sim_rpc_serve_stop(base, 0);
  struct list_node *node = NULL;
  while ((node = list_first(&rpc->links)) != NULL) sim_connection_close(list_entry(node, struct sim_connection, node));
  while ((node = list_first(&rpc->releases)) != NULL) {
    struct release *release = list_entry(node, struct release, node);
    sim_event_cancel(rpc->sim, &release->event);
    release_now(release);
  }
  CHECK(list_empty(&rpc->errands));
  sim_event_cancel(rpc->sim, &rpc->thread);
  sim_event_cancel(rpc->sim, &rpc->closing);
  if (list_node_linked(&rpc->death.node)) list_remove(&rpc->death.node);
  memory_free(rpc);
}
