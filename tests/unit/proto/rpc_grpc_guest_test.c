/* A loop on the transport's own thread, and what each of the two owes the other. That it is a loop like any other, and the transport one like any
 * other, is for the contracts (tests/unit/sim). */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/list.h"
#include "base/os/world_os.h"
#include "proto/rpc_grpc.h"
#include "tests/unit/base/child.h"
#include "tests/unit/proto/echo.h"

#define MESSAGE_MAX (1024u * 1024u)
#define CALLS_MAX 64u
#define MILLISECOND_NS UINT64_C(1000000)
#define PATIENCE_S 60

/* A server with a guest, and a client that has its own thread. */
struct fixture {
  struct echo echo;
  struct account account;
  struct rpc *server;
  struct rpc *client;
  struct loop *guest;
  uint16_t port;
  char address[32];
  struct rpc_channel *channel;
  struct exchange exchange;
};

static void set_up_here(struct fixture *f) {
  echo_init(&f->echo);
  account_init(&f->account, 16u * 1024 * 1024);
  assert_int_equal(rpc_grpc_open(&f->server), STATUS_OK);
  assert_int_equal(rpc_grpc_open(&f->client), STATUS_OK);
  f->guest = rpc_grpc_loop_new(f->server, "guest");
  f->echo.loop = f->guest;
  struct rpc_serve_options options = {.listen = "127.0.0.1:0",
                                      .handlers = echo_handlers,
                                      .handler_count = echo_handler_count,
                                      .service = &f->echo,
                                      .message_bytes_max = MESSAGE_MAX,
                                      .memory_bytes_max = 64u * 1024 * 1024,
                                      .streams_max = 1000,
                                      .calls_max = CALLS_MAX,
                                      .account = &f->account};
  assert_int_equal(rpc_serve(f->server, &options, &f->port), STATUS_OK);
  snprintf(f->address, sizeof f->address, "127.0.0.1:%u", f->port);
  f->channel = rpc_channel_open(f->client, f->address);
}

static int set_up(void **state) {
  struct fixture *f = calloc(1, sizeof *f);
  set_up_here(f);
  *state = f;
  return 0;
}

/* In the order in which a broker ends. */
static int tear_down(void **state) {
  struct fixture *f = *state;
  rpc_channel_close(f->channel);
  rpc_serve_stop(f->server, 0);
  echo_deinit(&f->echo);
  if (f->guest != NULL) loop_stop(f->guest);
  rpc_grpc_close(f->client);
  rpc_grpc_close(f->server);
  assert_int_equal(account_used(&f->account), 0);
  free(f);
  return 0;
}

/* ---- Something that runs on the guest, and says so ---- */

struct job {
  struct task task;
  struct timer timer;
  struct loop *loop;
  void (*then)(struct job *job);
  unsigned left;
  pthread_t ran_on;
  uint64_t late_most_ns;
  sem_t done;
};

static void job_task(struct task *task) {
  struct job *job = list_entry(task, struct job, task);
  job->ran_on = pthread_self();
  if (job->then != NULL) job->then(job);
  else sem_post(&job->done);
}

static void job_timer(struct timer *timer) {
  struct job *job = list_entry(timer, struct job, timer);
  uint64_t late_ns = loop_now_ns(job->loop) - timer->deadline_ns;
  if (late_ns > job->late_most_ns) job->late_most_ns = late_ns;
  if (job->then != NULL) job->then(job);
  else sem_post(&job->done);
}

static void job_init(struct job *job, struct loop *loop, void (*then)(struct job *job)) {
  *job = (struct job){.task.run = job_task, .timer.fire = job_timer, .loop = loop, .then = then};
  sem_init(&job->done, 0, 0);
}

static bool job_wait(struct job *job) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += PATIENCE_S;
  int result = 0;
  do result = sem_timedwait(&job->done, &until);
  while (result != 0 && errno == EINTR);
  return result == 0;
}

static bool post_and_wait(struct job *job) {
  loop_post(job->loop, &job->task);
  return job_wait(job);
}

/* ---- The thread ---- */

static pthread_t told_on;

static void note_thread(void *context, struct rpc_request *request, const struct rpc_result *result) {
  (void)request, (void)result;
  told_on = pthread_self();
  sem_post(context);
}

static void drop_message(void *context, struct rpc_request *request, struct blob *message) {
  (void)context, (void)request;
  blob_release(message);
}

static void a_guest_runs_on_the_transports_thread(void **state) {
  struct fixture *f = *state;
  static const struct rpc_client_handler handler = {.message = drop_message, .done = note_thread};
  struct job job;
  sem_t told;
  job_init(&job, f->guest, NULL);
  sem_init(&told, 0, 0);
  struct rpc_channel *channel = rpc_channel_open(f->server, f->address);

  struct rpc_request *request = rpc_request_start(channel, "/test.Echo/Unary", RPC_UNARY, UINT64_MAX, true, &handler, &told);
  rpc_request_send(request, NULL, 0);
  while (sem_wait(&told) != 0) continue;
  assert_true(post_and_wait(&job));

  assert_true(pthread_equal(told_on, job.ran_on));
  assert_false(pthread_equal(pthread_self(), job.ran_on));
  rpc_request_release(request);
  rpc_channel_close(channel);
}

static void a_thread_has_one_guest_at_a_time(void **state) {
  struct fixture *f = *state;
  struct rpc *beside = rpc_grpc_open_beside(f->server);
  assert_null(rpc_grpc_loop_new(f->server, "second"));
  assert_null(rpc_grpc_loop_new(beside, "second"));

  for (unsigned i = 0; i < 200; i++) {
    struct job job;
    loop_stop(f->guest);
    f->guest = rpc_grpc_loop_new(beside, "next");
    assert_non_null(f->guest);
    job_init(&job, f->guest, NULL);
    assert_true(post_and_wait(&job));
  }

  rpc_grpc_close(beside);
}

/* ---- Waking ---- */

static void no_post_is_lost_while_nothing_else_happens(void **state) {
  struct fixture *f = *state;
  struct job job;
  job_init(&job, f->guest, NULL);

  for (unsigned i = 0; i < 5000; i++) {
    if (i % 16 == 0) usleep(200); /* now it surely sleeps */
    assert_true(post_and_wait(&job));
  }
}

static void set_a_while_ahead(struct job *job) {
  if (job->left-- == 0) sem_post(&job->done);
  else loop_timer_set(job->loop, &job->timer, loop_now_ns(job->loop) + 7 * MILLISECOND_NS);
}

static void timers_fire_while_nothing_else_happens(void **state) {
  struct fixture *f = *state;
  struct job job;
  job_init(&job, f->guest, set_a_while_ahead);
  job.left = 20;
  uint64_t began_ns = loop_now_ns(f->guest);

  assert_true(post_and_wait(&job));

  assert_true(loop_now_ns(f->guest) - began_ns >= 20 * 7 * MILLISECOND_NS);
}

/* ---- Fairness ---- */

/* A client that never waits for its answers: there is always something at hand. */
struct flood {
  atomic_bool over;
  struct rpc_request *streams[4];
  atomic_uint answers;
  sem_t done;
};

static void flood_message(void *context, struct rpc_request *request, struct blob *message) {
  struct flood *flood = context;
  blob_release(message);
  atomic_fetch_add(&flood->answers, 1);
  struct blob *blob = NULL;
  if (atomic_load(&flood->over) || blob_new(NULL, 100, &blob) != STATUS_OK) return;
  memset(blob->data, 1, 100);
  struct blob_part part = {.blob = blob, .bytes = bytes_of(blob->data, blob->size)};
  rpc_request_send(request, &part, 1);
}

static void flood_done(void *context, struct rpc_request *request, const struct rpc_result *result) {
  struct flood *flood = context;
  (void)request, (void)result;
  sem_post(&flood->done);
}

static void flood_begin(struct flood *flood, struct fixture *f) {
  static const struct rpc_client_handler handler = {.message = flood_message, .done = flood_done};
  memset(flood, 0, sizeof *flood);
  sem_init(&flood->done, 0, 0);
  for (unsigned i = 0; i < 4; i++) {
    flood->streams[i] = rpc_request_start(f->channel, "/test.Echo/Chat", RPC_BIDI_STREAM, UINT64_MAX, true, &handler, flood);
    for (unsigned k = 0; k < 64; k++) rpc_request_send(flood->streams[i], &(struct blob_part){.bytes = bytes_of_string("x")}, 1);
  }
  while (atomic_load(&flood->answers) < 100) usleep(1000);
}

static void flood_end(struct flood *flood) {
  atomic_store(&flood->over, true);
  for (unsigned i = 0; i < 4; i++) rpc_request_cancel(flood->streams[i]);
  for (unsigned i = 0; i < 4; i++) {
    while (sem_wait(&flood->done) != 0) continue;
  }
  for (unsigned i = 0; i < 4; i++) rpc_request_release(flood->streams[i]);
}

/* What a disk's thread would post, and a timer. The bound is one that a starved guest would miss by far, and a slow machine does not. */
static void a_flood_of_messages_keeps_neither_timers_nor_posts_from_the_guest(void **state) {
  struct fixture *f = *state;
  struct flood flood;
  struct job timed, posted;
  flood_begin(&flood, f);
  job_init(&timed, f->guest, set_a_while_ahead);
  job_init(&posted, f->guest, NULL);
  timed.left = 30;

  loop_post(f->guest, &timed.task);
  unsigned posts = 0;
  for (; sem_trywait(&timed.done) != 0 && posts < 100000; posts++) assert_true(post_and_wait(&posted));
  unsigned answers = atomic_load(&flood.answers);

  flood_end(&flood);
  assert_in_range(posts, 1, 99999);
  assert_true(answers > 100);
  assert_true(timed.late_most_ns < 2000 * MILLISECOND_NS);
}

static void post_again(struct job *job) {
  if (job->left == 0) sem_post(&job->done);
  else loop_post(job->loop, &job->task);
}

static struct job busy;

static void stop_posting(struct job *job) {
  busy.left = 0;
  sem_post(&job->done);
}

/* One task that posts itself, so that no turn finds the guest idle. */
static void a_guest_that_never_rests_keeps_no_call_waiting(void **state) {
  struct fixture *f = *state;
  struct job stopper;
  job_init(&stopper, f->guest, stop_posting);
  job_init(&busy, f->guest, post_again);
  busy.left = 1;
  loop_post(f->guest, &busy.task);

  for (unsigned i = 0; i < 100; i++) {
    exchange_unary(&f->exchange, f->channel, "/test.Echo/Unary", "x", 1);
    assert_int_equal(f->exchange.code, GRPC_CODE_OK);
    exchange_end(&f->exchange);
  }

  assert_true(post_and_wait(&stopper));
  assert_true(job_wait(&busy));
}

/* An event that has something for another thread, and for the guest, who is busy until that thread has had it. */
struct both {
  struct job other;
  struct job guest;
  bool in_time;
};

static void post_to_both(void *context, struct rpc_request *request, const struct rpc_result *result) {
  struct both *both = context;
  (void)request, (void)result;
  loop_post(both->other.loop, &both->other.task);
  loop_post(both->guest.loop, &both->guest.task);
}

static void wait_for_the_other(struct job *job) {
  struct both *both = container_of(job, struct both, guest);
  both->in_time = job_wait(&both->other);
  sem_post(&job->done);
}

static void a_wake_that_is_held_does_not_wait_for_the_guest(void **state) {
  struct fixture *f = *state;
  static const struct rpc_client_handler handler = {.message = drop_message, .done = post_to_both};
  struct loop *loop = loop_os_new("other", 0);
  struct rpc_channel *channel = rpc_channel_open(f->server, f->address);
  struct both both = {0};
  job_init(&both.other, loop, NULL);
  job_init(&both.guest, f->guest, wait_for_the_other);
  usleep(20000); /* now it surely sleeps */

  struct rpc_request *request = rpc_request_start(channel, "/test.Echo/Unary", RPC_UNARY, UINT64_MAX, true, &handler, &both);
  rpc_request_send(request, NULL, 0);

  while (sem_wait(&both.guest.done) != 0) continue;
  assert_true(both.in_time);
  rpc_request_release(request);
  rpc_channel_close(channel);
  loop_stop(loop);
}

/* ---- Calls from the guest ---- */

struct caller {
  struct job job;
  struct fixture *fixture;
  struct rpc_channel *channel;
  struct rpc_request *request;
  struct task answered;
  enum grpc_status code;
};

static void caller_done(void *context, struct rpc_request *request, const struct rpc_result *result) {
  struct caller *caller = context;
  (void)request;
  caller->code = result->code;
  loop_post(caller->job.loop, &caller->answered);
}

/* As server/peer_question.c does. */
static void hang_up(struct task *task) {
  struct caller *caller = container_of(task, struct caller, answered);
  rpc_request_release(caller->request);
  rpc_channel_close(caller->channel);
  sem_post(&caller->job.done);
}

static void ask_and_cancel(struct job *job) {
  static const struct rpc_client_handler handler = {.message = drop_message, .done = caller_done};
  struct caller *caller = container_of(job, struct caller, job);
  caller->answered.run = hang_up;
  caller->channel = rpc_channel_open(caller->fixture->server, caller->fixture->address);
  caller->request = rpc_request_start(caller->channel, "/test.Echo/Hang", RPC_UNARY, UINT64_MAX, true, &handler, caller);
  rpc_request_send(caller->request, &(struct blob_part){.bytes = bytes_of_string("x")}, 1);
  rpc_request_cancel(caller->request);
}

static void a_guest_may_call_cancel_and_hang_up(void **state) {
  struct fixture *f = *state;

  for (unsigned i = 0; i < 50; i++) {
    struct caller caller = {.fixture = f};
    job_init(&caller.job, f->guest, ask_and_cancel);
    assert_true(post_and_wait(&caller.job));
    assert_int_equal(caller.code, GRPC_CODE_CANCELLED);
  }
}

static void hang_up_on_an_open_request(struct job *job) {
  struct caller *caller = container_of(job, struct caller, job);
  ask_and_cancel(job);
  rpc_channel_close(caller->channel);
}

static void wait_for_itself(void) {
  static struct fixture f;
  struct caller caller = {.fixture = &f};
  set_up_here(&f);
  job_init(&caller.job, f.guest, hang_up_on_an_open_request);
  (void)post_and_wait(&caller.job);
}

/* Before this process has a transport: what forks with one has half of it. */
static void whoever_would_wait_for_its_own_thread_is_stopped(void **state) {
  (void)state;
  char words[CHILD_WORDS_SIZE];

  int how = child_run(wait_for_itself, words);

  assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGABRT);
  assert_non_null(strstr(words, "rpc_grpc_on_thread"));
}

/* ---- The end ---- */

static void a_guest_stops_while_calls_are_open_and_more_come(void **state) {
  struct fixture *f = *state;
  struct flood flood;
  exchange_start(&f->exchange, f->channel, "/test.Echo/Hang", RPC_UNARY, UINT64_MAX, true);
  exchange_send(&f->exchange, "x", 1);
  flood_begin(&flood, f);

  loop_stop(f->guest);
  f->guest = NULL;

  unsigned answers = atomic_load(&flood.answers);
  for (unsigned i = 0; i < 10000 && atomic_load(&flood.answers) < answers + 100; i++) usleep(1000);
  assert_true(atomic_load(&flood.answers) >= answers + 100); /* the transport goes on */
  flood_end(&flood);
  rpc_request_cancel(f->exchange.request);
  exchange_wait_done(&f->exchange);
  exchange_end(&f->exchange);
}

static void the_server_stops_while_the_guest_answers(void **state) {
  struct fixture *f = *state;
  struct exchange *many = calloc(CALLS_MAX / 2, sizeof *many);
  for (unsigned i = 0; i < CALLS_MAX / 2; i++) {
    exchange_start(&many[i], f->channel, i % 4 == 0 ? "/test.Echo/Hang" : "/test.Echo/Later", RPC_UNARY, UINT64_MAX, true);
    exchange_send(&many[i], &i, sizeof i);
  }
  assert_true(echo_wait_opened(&f->echo, CALLS_MAX / 2));

  rpc_serve_stop(f->server, SECOND_NS);

  for (unsigned i = 0; i < CALLS_MAX / 2; i++) {
    exchange_wait_done(&many[i]);
    assert_true((many[i].code == GRPC_CODE_OK) == (i % 4 != 0));
    exchange_end(&many[i]);
  }
  free(many);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(whoever_would_wait_for_its_own_thread_is_stopped),
      cmocka_unit_test_setup_teardown(a_guest_runs_on_the_transports_thread, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_thread_has_one_guest_at_a_time, set_up, tear_down),
      cmocka_unit_test_setup_teardown(no_post_is_lost_while_nothing_else_happens, set_up, tear_down),
      cmocka_unit_test_setup_teardown(timers_fire_while_nothing_else_happens, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_flood_of_messages_keeps_neither_timers_nor_posts_from_the_guest, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_guest_that_never_rests_keeps_no_call_waiting, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_wake_that_is_held_does_not_wait_for_the_guest, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_guest_may_call_cancel_and_hang_up, set_up, tear_down),
      cmocka_unit_test_setup_teardown(a_guest_stops_while_calls_are_open_and_more_come, set_up, tear_down),
      cmocka_unit_test_setup_teardown(the_server_stops_while_the_guest_answers, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
