#include "server/peer_question.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/list.h"

#define TIMEOUT_NS 2000000000u

static void on_answer(void *context, struct rpc_request *request, struct blob *message) {
  struct peer_question *question = context;
  (void)request;
  blob_release(question->answer);
  question->answer = message;
}

static void on_done(void *context, struct rpc_request *request, const struct rpc_result *result) {
  struct peer_question *question = context;
  (void)request;
  failure_from_result(&question->failure, result);
  loop_post(question->loop, &question->answered);
}

static const struct rpc_client_handler handler = {.message = on_answer, .done = on_done};

/* An answer without an answer is none. */
static void take_answer(struct task *task) {
  struct peer_question *question = container_of(task, struct peer_question, answered);
  rpc_request_release(question->request);
  question->request = NULL;
  if (question->failure.reason == STATUS_OK && question->answer == NULL) question->failure.reason = STATUS_MALFORMED;
  if (question->failure.reason != STATUS_OK) peer_question_hang_up(question);
  struct blob *answer = question->answer;
  question->done(question); /* which may have freed it */
  blob_release(answer);
}

void peer_question_init(struct peer_question *question, struct world *world, struct loop *loop, const char *method,
                        void (*done)(struct peer_question *question)) {
  *question =
      (struct peer_question){.world = world, .loop = loop, .method = method, .done = done, .answered = {.run = take_answer}};
}

void peer_question_deinit(struct peer_question *question) { peer_question_hang_up(question); }

void peer_question_ask(struct peer_question *question, const char *address, struct blob_part message) {
  PRE(question->request == NULL);
  if (strcmp(question->address, address) != 0) peer_question_hang_up(question);
  snprintf(question->address, sizeof question->address, "%s", address);
  if (question->channel == NULL) question->channel = rpc_channel_open(question->world->peers, question->address);
  question->answer = NULL;
  question->request = rpc_request_start(question->channel, question->method, RPC_UNARY, TIMEOUT_NS, true, &handler, question);
  rpc_request_send(question->request, &message, 1);
}

bool peer_question_asks(const struct peer_question *question) { return question->request != NULL; }

void peer_question_cancel(struct peer_question *question) {
  if (question->request != NULL) rpc_request_cancel(question->request);
}

void peer_question_hang_up(struct peer_question *question) {
  PRE(question->request == NULL);
  if (question->channel != NULL) rpc_channel_close(question->channel);
  question->channel = NULL;
}
