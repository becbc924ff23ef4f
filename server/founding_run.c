#include "server/founding_run.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/trace.h"
#include "log/identity.h"
#include "proto/failure.h"
#include "security/random.h"
#include "server/founding.h"
#include "server/meet.h"

#define NS_PER_MS ((uint64_t)1000000)
#define PAUSE_NS (150 * NS_PER_MS) /* between two rounds, and as much again by chance */
#define CALL_TIMEOUT_NS (1000 * NS_PER_MS)
#define LAST_WORDS_NS (200 * NS_PER_MS) /* for answers that are under way at the end */
#define SAY_AGAIN_NS (10000 * NS_PER_MS)
#define CALLS_MAX 64u
#define MEMORY_BYTES_MAX ((size_t)16 << 20)

#define SAY(problem, ...)                                          \
  do {                                                             \
    if (buffer_printf((problem), __VA_ARGS__) != STATUS_OK) break; \
  } while (0)

/* One call to one of the others; used again in every round. */
struct call_out {
  struct runner *runner;
  uint32_t place;
  struct rpc_channel *channel;
  struct rpc_request *request; /* under way */
  struct blob *answer;
  struct task task; /* it is over */
};

/* All on `loop` but where it says so. */
struct runner {
  struct world *world;
  const atomic_bool *cancelled;
  struct loop *loop;
  struct founding founding;
  struct call_out calls[JOIN_MAX];
  uint32_t open_calls;
  struct timer next_round;
  struct task first_round;
  uint64_t said_ns;
  char said[FOUNDING_PROBLEM_SIZE];
  char problem[FOUNDING_PROBLEM_SIZE];
  enum status status;
  atomic_bool over; /* any thread: read after it was set, nothing is asked any more */
};

/* ---- Being asked: on the transport's thread, answered on the loop ---- */

struct call_in {
  struct task task;
  struct runner *runner;
  struct rpc_call *call;
  struct meet_request request;
};

static void answer(struct task *task) {
  struct call_in *this = container_of(task, struct call_in, task);
  struct meet_answer answer = founding_asked(&this->runner->founding, &this->request);
  struct blob_part part = meet_answer_pack(&answer);
  rpc_call_send(this->call, &part, 1);
  rpc_call_finish(this->call, GRPC_CODE_OK, NULL, NULL, 0);
  rpc_call_release(this->call);
  memory_free(this);
}

static void meet(void *service, struct rpc_call *call, struct blob *message) {
  struct runner *runner = service;
  struct meet_request request;
  enum status status = meet_request_unpack(bytes_of(message->data, message->size), &request);
  blob_release(message);
  if (status != STATUS_OK) {
    failure_refuse_call(call, status, "this is no MeetRequest: do these brokers run the same version?");
    return;
  }
  struct call_in *this = NEW(struct call_in);
  *this = (struct call_in){.task = {.run = answer}, .runner = runner, .call = rpc_call_hold(call), .request = request};
  loop_post(runner->loop, &this->task);
}

static const struct rpc_handler meet_handler = {MEET_METHOD, RPC_UNARY, .message = meet};

/* ---- Asking ---- */

static void decide(struct runner *runner);

/* @any-thread: the transport's. */
static void keep_answer(void *context, struct rpc_request *request, struct blob *message) {
  struct call_out *call = context;
  (void)request;
  blob_release(call->answer);
  call->answer = message;
}

static void post_end(void *context, struct rpc_request *request, const struct rpc_result *result) {
  struct call_out *call = context;
  (void)request;
  if (result->code != GRPC_CODE_OK) {
    blob_release(call->answer);
    call->answer = NULL;
  }
  loop_post(call->runner->loop, &call->task);
}

static const struct rpc_client_handler asking = {.message = keep_answer, .done = post_end};

static void call_is_over(struct task *task) {
  struct call_out *call = container_of(task, struct call_out, task);
  struct runner *runner = call->runner;
  struct meet_answer answer;
  rpc_request_release(call->request);
  call->request = NULL;
  if (call->answer != NULL) {
    enum status status = meet_answer_unpack(bytes_of(call->answer->data, call->answer->size), &answer);
    if (status == STATUS_OK) founding_answered(&runner->founding, call->place, &answer);
    else
      trace_warn("founding_answer_refused", "broker=%u do=\"run the same version on both\"",
                 runner->founding.named.brokers[call->place].broker);
    blob_release(call->answer);
    call->answer = NULL;
  }
  if (--runner->open_calls == 0) decide(runner);
}

static void end(struct runner *runner, enum status status) {
  runner->status = status;
  atomic_store_explicit(&runner->over, true, memory_order_release);
}

/* Was it cancelled, or did somebody take the directory away, and with it what this broker has promised to be? */
static bool may_go_on(struct runner *runner) {
  if (runner->cancelled != NULL && atomic_load_explicit(runner->cancelled, memory_order_acquire)) {
    snprintf(runner->problem, sizeof runner->problem, "stopped while it waited to found a cluster: %.300s", runner->said);
    end(runner, STATUS_CANCELLED);
    return false;
  }
  struct log_identity draft;
  enum status status = identity_read_draft(runner->world->disk, &draft);
  if (status == STATUS_OK && memcmp(&draft, &runner->founding.draft, sizeof draft) == 0) return true;
  snprintf(runner->problem, sizeof runner->problem,
           "the file founding in the data directory is gone or another (%s): leave the directory alone while a broker runs",
           status_name(status));
  end(runner, status == STATUS_OK ? STATUS_FOREIGN : status);
  return false;
}

static void begin_round(struct runner *runner) {
  if (!may_go_on(runner)) return;
  struct meet_request request = founding_begin_round(&runner->founding);
  runner->open_calls = 1; /* this function's own: no answer may decide before all are asked */
  for (uint32_t i = 0; i < runner->founding.named.count; i++) {
    struct call_out *call = &runner->calls[i];
    if (i == runner->founding.self) continue;
    runner->open_calls++;
    call->request = rpc_request_start(call->channel, MEET_METHOD, RPC_UNARY, CALL_TIMEOUT_NS, true, &asking, call);
    struct blob_part part = meet_request_pack(&request);
    rpc_request_send(call->request, &part, 1);
  }
  if (--runner->open_calls == 0) decide(runner);
}

static void next_round(struct timer *timer) { begin_round(container_of(timer, struct runner, next_round)); }
static void first_round(struct task *task) { begin_round(container_of(task, struct runner, first_round)); }

/* ---- What was decided ---- */

static void write_record(struct runner *runner) {
  enum status status = identity_write(runner->world->disk, &runner->founding.record);
  if (status != STATUS_OK) {
    snprintf(runner->problem, sizeof runner->problem,
             "cannot write the identity into the data directory (%s): see to its disk and start again", status_name(status));
    end(runner, status);
    return;
  }
  founding_written(&runner->founding);
  identity_remove_draft(runner->world->disk);
  end(runner, STATUS_OK);
}

static void wait_more(struct runner *runner) {
  uint64_t now_ns = loop_now_ns(runner->loop);
  bool news = strcmp(runner->said, runner->problem) != 0 && now_ns - runner->said_ns >= SAY_AGAIN_NS / 10;
  if (news || now_ns - runner->said_ns >= SAY_AGAIN_NS) {
    trace_info("founding_waits", "for=\"%s\"", runner->problem);
    runner->said_ns = now_ns;
    memcpy(runner->said, runner->problem, sizeof runner->said);
  }
  uint64_t pause_ns = PAUSE_NS + entropy_next(runner->world->entropy) % PAUSE_NS;
  loop_timer_set(runner->loop, &runner->next_round, now_ns + pause_ns);
}

static void decide(struct runner *runner) {
  switch (founding_decide(&runner->founding, runner->problem)) {
    case FOUNDING_WAITING: wait_more(runner); return;
    case FOUNDING_WRITING: write_record(runner); return;
    case FOUNDING_FOUNDED: break; /* only founding_written() goes there */
    case FOUNDING_ENTERING: end(runner, STATUS_OK); return;
    case FOUNDING_REFUSED: end(runner, STATUS_INVALID); return;
  }
  CHECK(false);
}

/* ---- Life ---- */

/* What this directory is going to be, durable before anybody is told. */
static enum status settle_draft(struct disk *disk, uint32_t broker_id, struct log_identity *out_draft,
                                struct buffer *out_problem) {
  enum status status = identity_read_draft(disk, out_draft);
  if (status == STATUS_OK && out_draft->broker_id != broker_id) {
    SAY(out_problem,
        "the data directory waits to found a cluster as broker %u, and broker-id says %u; correct the one or the other",
        out_draft->broker_id, broker_id);
    return STATUS_FOREIGN;
  }
  if (status == STATUS_CORRUPT)
    trace_warn("founding_draft_damaged", "do=\"drawn anew: as a new broker it cannot be taken for the old one\"");
  if (status == STATUS_NOT_FOUND || status == STATUS_CORRUPT) {
    *out_draft = (struct log_identity){.broker_id = broker_id};
    random_id(out_draft->incarnation);
    status = identity_write_draft(disk, out_draft);
  }
  if (status != STATUS_OK)
    SAY(out_problem,
        "cannot keep the file founding in the data directory (%s): see to its disk, or run the newer Cairn that wrote it",
        status_name(status));
  return status;
}

static enum status serve(struct runner *runner, const char *listen, struct account *account, struct buffer *out_problem) {
  struct rpc_serve_options options = {.listen = listen,
                                      .handlers = &meet_handler,
                                      .handler_count = 1,
                                      .service = runner,
                                      .message_bytes_max = MEET_BYTES_MAX,
                                      .memory_bytes_max = MEMORY_BYTES_MAX,
                                      .streams_max = CALLS_MAX,
                                      .calls_max = CALLS_MAX,
                                      .account = account};
  uint16_t port = 0;
  enum status status = rpc_serve(runner->world->peers, &options, &port);
  if (status == STATUS_EXISTS)
    SAY(out_problem, "another process listens on %s; stop it, or choose another --peer-listen", listen);
  else if (status != STATUS_OK)
    SAY(out_problem, "cannot listen on %s (%s): is it an address of this machine, and may you use the port?", listen,
        status_name(status));
  return status;
}

static void open_channels(struct runner *runner) {
  for (uint32_t i = 0; i < runner->founding.named.count; i++) {
    struct call_out *call = &runner->calls[i];
    *call = (struct call_out){.runner = runner, .place = i, .task = {.run = call_is_over}};
    if (i != runner->founding.self)
      call->channel = rpc_channel_open(runner->world->peers, runner->founding.named.brokers[i].address);
  }
}

static void close_channels(struct runner *runner) {
  for (uint32_t i = 0; i < runner->founding.named.count; i++)
    if (runner->calls[i].channel != NULL) rpc_channel_close(runner->calls[i].channel);
}

/* Waits until it is decided. */
static enum status confer(struct runner *runner, const struct options *options, struct buffer *out_problem) {
  struct account *account = account_new(NULL, MEMORY_BYTES_MAX);
  runner->loop = world_loop_new(runner->world, "founding", LOOP_MAY_BLOCK);
  enum status status = serve(runner, options->peer_listen, account, out_problem);
  if (status == STATUS_OK) {
    open_channels(runner);
    loop_post(runner->loop, &runner->first_round);
    world_wait(runner->world, &runner->over);
    rpc_serve_stop(runner->world->peers, LAST_WORDS_NS);
    close_channels(runner);
    status = runner->status;
    if (status != STATUS_OK) SAY(out_problem, "%s", runner->problem);
  }
  loop_stop(runner->loop);
  account_free(account);
  return status;
}

static void trace_outcome(const struct founding_result *result) {
  char cluster[RANDOM_ID_HEX_SIZE];
  random_id_hex(result->identity.cluster, cluster);
  trace_info(result->outcome == FOUNDING_RUN_FOUNDED ? "cluster_founded" : "cluster_found", "cluster=%s broker=%u founders=%u",
             cluster, result->identity.broker_id, result->identity.founder_count);
}

static enum status found(struct world *world, const struct options *options, const atomic_bool *cancelled,
                         struct founding_result *out_result, struct buffer *out_problem) {
  struct log_identity draft;
  uint8_t fresh[LOG_ID_SIZE];
  struct join named;
  options_named(options, &named);
  enum status status = settle_draft(world->disk, (uint32_t)options->broker_id, &draft, out_problem);
  if (status != STATUS_OK) return status;
  random_id(fresh);

  struct runner *runner = NEW(struct runner);
  runner->world = world;
  runner->cancelled = cancelled;
  runner->next_round.fire = next_round;
  runner->first_round.run = first_round;
  atomic_init(&runner->over, false);
  founding_init(&runner->founding, &draft, &named, fresh);
  status = confer(runner, options, out_problem);
  if (status == STATUS_OK) {
    out_result->outcome = runner->founding.stage == FOUNDING_FOUNDED ? FOUNDING_RUN_FOUNDED : FOUNDING_RUN_ENTERS;
    out_result->identity = runner->founding.record;
    trace_outcome(out_result);
  }
  memory_free(runner);
  return status;
}

enum status founding_run(struct world *world, const struct options *options, const atomic_bool *cancelled,
                         struct founding_result *out_result, struct buffer *out_problem) {
  PRE(world->peers != NULL && options->join[0] != '\0');
  bool formatted = false;
  enum status status = random_start();
  if (status == STATUS_OK) status = log_set_formatted(world->disk, &formatted);
  if (status != STATUS_OK) {
    SAY(out_problem, "cannot look into data directory %s: %s (%s)", options->data_dir, status_text(status), status_name(status));
    return status;
  }
  if (!formatted) return found(world, options, cancelled, out_result, out_problem);
  *out_result = (struct founding_result){.outcome = FOUNDING_RUN_IN_USE};
  return STATUS_OK;
}
