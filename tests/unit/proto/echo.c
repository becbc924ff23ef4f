#include "tests/unit/proto/echo.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/list.h"
#include "base/memory.h"

static struct timespec after_seconds(unsigned seconds) {
  struct timespec deadline;
  clock_gettime(CLOCK_REALTIME, &deadline);
  deadline.tv_sec += seconds;
  return deadline;
}

bool (*echo_work)(void);

/* Under the lock, which is let go meanwhile. False: the time has passed. */
static bool wait_for_change(pthread_cond_t *changed, pthread_mutex_t *lock, const struct timespec *deadline) {
  if (echo_work == NULL) return pthread_cond_timedwait(changed, lock, deadline) == 0;
  pthread_mutex_unlock(lock);
  bool worked = echo_work();
  pthread_mutex_lock(lock);
  return worked;
}

/* ---- The service ---- */

static struct blob_part part_of(struct blob *blob) {
  return (struct blob_part){.blob = blob, .bytes = bytes_of(blob->data, blob->size)};
}

static void on_opened(void *service, struct rpc_call *call) {
  struct echo *echo = service;
  (void)call;
  pthread_mutex_lock(&echo->lock);
  echo->opened++;
  pthread_cond_broadcast(&echo->changed);
  pthread_mutex_unlock(&echo->lock);
}

static void on_closed(void *service, struct rpc_call *call, bool cancelled) {
  struct echo *echo = service;
  (void)call;
  pthread_mutex_lock(&echo->lock);
  echo->closed++;
  if (cancelled) echo->cancelled++;
  pthread_cond_broadcast(&echo->changed);
  pthread_mutex_unlock(&echo->lock);
}

static void on_unary(void *service, struct rpc_call *call, struct blob *message) {
  (void)service;
  struct blob_part part = part_of(message);
  rpc_call_send(call, &part, 1);
  rpc_call_finish(call, GRPC_CODE_OK, NULL, NULL, 0);
}

/* What a lane would do, as a thread of its own. */
struct later {
  struct task task;
  struct timer timer;
  void *(*run)(void *later);
  struct echo *echo;
  struct rpc_call *call;
  struct blob *message;
};

static void later_fires(struct timer *timer) {
  struct later *later = container_of(timer, struct later, timer);
  later->run(later);
}

static void later_waits(struct task *task) {
  struct later *later = container_of(task, struct later, task);
  later->timer.fire = later_fires;
  loop_timer_set(later->echo->loop, &later->timer, loop_now_ns(later->echo->loop) + 20000000);
}

static void begin_later(struct echo *echo, struct rpc_call *call, struct blob *message, void *(*run)(void *later)) {
  struct later *later = NEW(struct later);
  *later =
      (struct later){.task = {.run = later_waits}, .run = run, .echo = echo, .call = rpc_call_hold(call), .message = message};
  pthread_mutex_lock(&echo->lock);
  echo->threads++;
  pthread_mutex_unlock(&echo->lock);
  if (echo->loop != NULL) {
    loop_post(echo->loop, &later->task);
    return;
  }
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, run, later) == 0);
  pthread_detach(thread);
}

static void end_later(struct later *later) {
  struct echo *echo = later->echo;
  rpc_call_release(later->call);
  memory_free(later);
  pthread_mutex_lock(&echo->lock);
  echo->threads--;
  pthread_cond_broadcast(&echo->changed);
  pthread_mutex_unlock(&echo->lock);
}

static void *answer_later(void *argument) {
  struct later *later = argument;
  if (later->echo->loop == NULL) usleep(20000);
  on_unary(NULL, later->call, later->message);
  end_later(later);
  return NULL;
}

static void on_later(void *service, struct rpc_call *call, struct blob *message) {
  begin_later(service, call, message, answer_later);
}

struct many {
  uint32_t left, size, window;
};

static void send_zeros(struct rpc_call *call, size_t size) {
  struct blob *blob = NULL;
  CHECK(blob_new(NULL, size, &blob) == STATUS_OK);
  memset(blob->data, 0, size);
  struct blob_part part = part_of(blob);
  rpc_call_send(call, &part, 1);
}

static void send_more(struct echo *echo, struct rpc_call *call) {
  struct many *many = rpc_call_context(call);
  while (many->left > 0 && rpc_call_queued(call) < many->window) {
    send_zeros(call, many->size);
    many->left--;
  }
  pthread_mutex_lock(&echo->lock);
  size_t queued = rpc_call_queued(call);
  if (queued > echo->queued_most) echo->queued_most = queued;
  pthread_mutex_unlock(&echo->lock);
  if (many->left == 0) rpc_call_finish(call, GRPC_CODE_OK, NULL, NULL, 0);
}

static void on_many(void *service, struct rpc_call *call, struct blob *message) {
  CHECK(message->size == 12);
  struct many *many = NEW(struct many);
  *many = (struct many){.left = get_u32(message->data), .size = get_u32(message->data + 4), .window = get_u32(message->data + 8)};
  blob_release(message);
  rpc_call_set_context(call, many);
  send_more(service, call);
}

static void on_many_sent(void *service, struct rpc_call *call) {
  struct echo *echo = service;
  pthread_mutex_lock(&echo->lock);
  echo->sent++;
  pthread_mutex_unlock(&echo->lock);
  send_more(echo, call);
}

static void on_many_closed(void *service, struct rpc_call *call, bool cancelled) {
  memory_free(rpc_call_context(call));
  on_closed(service, call, cancelled);
}

static void *send_burst(void *argument) {
  struct later *later = argument;
  uint32_t count = get_u32(later->message->data), size = get_u32(later->message->data + 4);
  for (uint32_t i = 0; i < count; i++) send_zeros(later->call, size);
  rpc_call_finish(later->call, GRPC_CODE_OK, NULL, NULL, 0);
  blob_release(later->message);
  end_later(later);
  return NULL;
}

static void on_burst(void *service, struct rpc_call *call, struct blob *message) {
  begin_later(service, call, message, send_burst);
}

static void on_chat_opened(void *service, struct rpc_call *call) {
  on_opened(service, call);
  rpc_call_receive(call);
}

static void on_chat(void *service, struct rpc_call *call, struct blob *message) {
  (void)service;
  struct blob_part part = part_of(message);
  rpc_call_send(call, &part, 1);
  rpc_call_receive(call);
}

static void on_chat_refused(void *service, struct rpc_call *call, enum status reason, struct blob *message) {
  (void)service;
  char text[64];
  int size = snprintf(text, sizeof text, "%s %zu", status_name(reason), message == NULL ? 0 : message->size);
  blob_release(message);
  struct blob *answer = NULL;
  CHECK(blob_new(NULL, (size_t)size, &answer) == STATUS_OK);
  memcpy(answer->data, text, (size_t)size);
  struct blob_part part = part_of(answer);
  rpc_call_send(call, &part, 1);
  rpc_call_receive(call);
}

static void on_chat_half_closed(void *service, struct rpc_call *call) {
  (void)service;
  rpc_call_finish(call, GRPC_CODE_OK, NULL, NULL, 0);
}

static void on_hang(void *service, struct rpc_call *call, struct blob *message) {
  (void)service;
  (void)call;
  blob_release(message);
}

static void on_busy(void *service, struct rpc_call *call, struct blob *message) {
  struct timespec now, end;
  CHECK(message->size == 4);
  clock_gettime(CLOCK_MONOTONIC, &end);
  end.tv_nsec += (long)(get_u32(message->data) % 1000) * 1000000;
  end.tv_sec += get_u32(message->data) / 1000 + end.tv_nsec / 1000000000;
  end.tv_nsec %= 1000000000;
  do clock_gettime(CLOCK_MONOTONIC, &now);
  while (now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec));
  on_unary(service, call, message);
}

static void on_refuse(void *service, struct rpc_call *call, struct blob *message) {
  (void)service;
  struct failure failure;
  failure_set(&failure, STATUS_OFFSET_MISMATCH, "expected %d, the log ends at %d; read from there", 7, 42);
  snprintf(failure.leader, sizeof failure.leader, "%.*s", (int)message->size, (const char *)message->data);
  failure.has_next_offset = true;
  failure.next_offset = 42;
  failure.retry_after_ms = 250;
  blob_release(message);
  failure_finish_call(call, &failure);
}

static void on_health_check(void *service, struct rpc_call *call, struct blob *message) {
  health_check(((struct echo *)service)->health, call, message);
}
static void on_health_watch(void *service, struct rpc_call *call, struct blob *message) {
  health_watch(((struct echo *)service)->health, call, message);
}
static void on_health_watch_sent(void *service, struct rpc_call *call) {
  health_watch_sent(((struct echo *)service)->health, call);
}
static void on_health_watch_closed(void *service, struct rpc_call *call, bool cancelled) {
  health_watch_closed(((struct echo *)service)->health, call, cancelled);
}
static void on_reflection_opened(void *service, struct rpc_call *call) {
  reflection_opened(((struct echo *)service)->reflection, call);
}
static void on_reflection(void *service, struct rpc_call *call, struct blob *message) {
  reflection_message(((struct echo *)service)->reflection, call, message);
}
static void on_reflection_half_closed(void *service, struct rpc_call *call) {
  reflection_half_closed(((struct echo *)service)->reflection, call);
}
static void on_reflection_sent(void *service, struct rpc_call *call) {
  reflection_sent(((struct echo *)service)->reflection, call);
}

const struct rpc_handler echo_handlers[] = {
    {"/test.Echo/Unary", RPC_UNARY, .opened = on_opened, .message = on_unary, .closed = on_closed},
    {"/test.Echo/Later", RPC_UNARY, .opened = on_opened, .message = on_later, .closed = on_closed},
    {"/test.Echo/Many", RPC_SERVER_STREAM, .opened = on_opened, .message = on_many, .sent = on_many_sent,
     .closed = on_many_closed},
    {"/test.Echo/Chat", RPC_BIDI_STREAM, .opened = on_chat_opened, .message = on_chat, .half_closed = on_chat_half_closed,
     .closed = on_closed},
    {"/test.Echo/Patient", RPC_BIDI_STREAM, .opened = on_chat_opened, .message = on_chat, .refused = on_chat_refused,
     .half_closed = on_chat_half_closed, .closed = on_closed},
    {"/test.Echo/Burst", RPC_SERVER_STREAM, .opened = on_opened, .message = on_burst, .closed = on_closed},
    {"/test.Echo/Hang", RPC_UNARY, .opened = on_opened, .message = on_hang, .closed = on_closed},
    {"/test.Echo/Busy", RPC_UNARY, .opened = on_opened, .message = on_busy, .closed = on_closed},
    {"/test.Echo/Refuse", RPC_UNARY, .opened = on_opened, .message = on_refuse, .closed = on_closed},
    {HEALTH_CHECK_METHOD, RPC_UNARY, .message = on_health_check},
    {HEALTH_WATCH_METHOD, RPC_SERVER_STREAM, .message = on_health_watch, .sent = on_health_watch_sent,
     .closed = on_health_watch_closed},
    {REFLECTION_V1_METHOD, RPC_BIDI_STREAM, .opened = on_reflection_opened, .message = on_reflection,
     .half_closed = on_reflection_half_closed, .sent = on_reflection_sent},
    {REFLECTION_V1ALPHA_METHOD, RPC_BIDI_STREAM, .opened = on_reflection_opened, .message = on_reflection,
     .half_closed = on_reflection_half_closed, .sent = on_reflection_sent},
};
const size_t echo_handler_count = sizeof echo_handlers / sizeof echo_handlers[0];

void echo_init(struct echo *echo) {
  *echo = (struct echo){0};
  pthread_mutex_init(&echo->lock, NULL);
  pthread_cond_init(&echo->changed, NULL);
}

void echo_deinit(struct echo *echo) {
  pthread_mutex_lock(&echo->lock);
  struct timespec deadline = after_seconds(30);
  while (echo->threads > 0) CHECK(wait_for_change(&echo->changed, &echo->lock, &deadline));
  pthread_mutex_unlock(&echo->lock);
  pthread_cond_destroy(&echo->changed);
  pthread_mutex_destroy(&echo->lock);
}

bool echo_wait_closed(struct echo *echo, unsigned closed, unsigned cancelled) {
  struct timespec deadline = after_seconds(10);
  pthread_mutex_lock(&echo->lock);
  while (echo->closed < closed && wait_for_change(&echo->changed, &echo->lock, &deadline)) continue;
  bool as_told = echo->closed == closed && echo->cancelled == cancelled;
  pthread_mutex_unlock(&echo->lock);
  return as_told;
}

bool echo_wait_opened(struct echo *echo, unsigned opened) {
  struct timespec deadline = after_seconds(10);
  pthread_mutex_lock(&echo->lock);
  while (echo->opened < opened && wait_for_change(&echo->changed, &echo->lock, &deadline)) continue;
  bool as_told = echo->opened == opened;
  pthread_mutex_unlock(&echo->lock);
  return as_told;
}

/* ---- The client ---- */

static void on_message(void *context, struct rpc_request *request, struct blob *message) {
  struct exchange *exchange = context;
  (void)request;
  pthread_mutex_lock(&exchange->lock);
  CHECK(!exchange->done && exchange->count < EXCHANGE_MESSAGES_MAX);
  exchange->messages[exchange->count++] = message;
  pthread_cond_broadcast(&exchange->changed);
  pthread_mutex_unlock(&exchange->lock);
}

static void on_sent(void *context, struct rpc_request *request) {
  struct exchange *exchange = context;
  (void)request;
  pthread_mutex_lock(&exchange->lock);
  CHECK(!exchange->done);
  exchange->sent++;
  pthread_mutex_unlock(&exchange->lock);
}

static void on_done(void *context, struct rpc_request *request, const struct rpc_result *result) {
  struct exchange *exchange = context;
  (void)request;
  pthread_mutex_lock(&exchange->lock);
  CHECK(!exchange->done);
  exchange->done = true;
  exchange->code = result->code;
  failure_from_result(&exchange->failure, result);
  pthread_cond_broadcast(&exchange->changed);
  pthread_mutex_unlock(&exchange->lock);
}

static const struct rpc_client_handler client_handler = {.message = on_message, .sent = on_sent, .done = on_done};

void exchange_start(struct exchange *exchange, struct rpc_channel *channel, const char *method, enum rpc_kind kind,
                    uint64_t timeout_ns, bool auto_receive) {
  memset(exchange, 0, sizeof *exchange);
  pthread_mutex_init(&exchange->lock, NULL);
  pthread_cond_init(&exchange->changed, NULL);
  exchange->request = rpc_request_start(channel, method, kind, timeout_ns, auto_receive, &client_handler, exchange);
}

void exchange_send(struct exchange *exchange, const void *data, size_t size) {
  struct blob *blob = NULL;
  CHECK(blob_new(NULL, size, &blob) == STATUS_OK);
  if (size > 0) memcpy(blob->data, data, size);
  struct blob_part part = part_of(blob);
  rpc_request_send(exchange->request, &part, 1);
}

bool exchange_wait_count(struct exchange *exchange, size_t count) {
  struct timespec deadline = after_seconds(20);
  pthread_mutex_lock(&exchange->lock);
  while (exchange->count < count && !exchange->done && wait_for_change(&exchange->changed, &exchange->lock, &deadline)) {
    continue;
  }
  bool reached = exchange->count >= count;
  pthread_mutex_unlock(&exchange->lock);
  return reached;
}

void exchange_wait_done(struct exchange *exchange) {
  struct timespec deadline = after_seconds(30);
  pthread_mutex_lock(&exchange->lock);
  while (!exchange->done) CHECK(wait_for_change(&exchange->changed, &exchange->lock, &deadline));
  pthread_mutex_unlock(&exchange->lock);
}

void exchange_end(struct exchange *exchange) {
  CHECK(exchange->done);
  rpc_request_release(exchange->request);
  for (size_t i = 0; i < exchange->count; i++) blob_release(exchange->messages[i]);
  pthread_cond_destroy(&exchange->changed);
  pthread_mutex_destroy(&exchange->lock);
}

void exchange_unary(struct exchange *exchange, struct rpc_channel *channel, const char *method, const void *data, size_t size) {
  exchange_start(exchange, channel, method, RPC_UNARY, 10 * SECOND_NS, true);
  exchange_send(exchange, data, size);
  exchange_wait_done(exchange);
}
