#include "proto/rpc_grpc_silence.h"

#include "base/check.h"
#include "proto/failure.h"

void silence_init(struct silence *silence, uint64_t patience_ns) {
  *silence = (struct silence){.patience_ns = patience_ns};
  pthread_mutex_init(&silence->lock, NULL);
  list_init(&silence->calls);
  list_init(&silence->streams);
}

void silence_deinit(struct silence *silence) {
  PRE(list_empty(&silence->calls) && list_empty(&silence->streams));
  pthread_mutex_destroy(&silence->lock);
}

bool silence_begin(struct silence *silence, struct silent *silent, struct rpc_call *call, bool owes, uint64_t now_ns) {
  silent->call = call;
  silent->until_ns = now_ns + silence->patience_ns;
  pthread_mutex_lock(&silence->lock);
  bool over = silence->over;
  if (!over) list_push_back(owes ? &silence->calls : &silence->streams, &silent->node);
  pthread_mutex_unlock(&silence->lock);
  return !over;
}

bool silence_end(struct silence *silence, struct silent *silent) {
  pthread_mutex_lock(&silence->lock);
  if (list_node_linked(&silent->node)) list_remove(&silent->node);
  bool heard = !silent->given_up;
  pthread_mutex_unlock(&silence->lock);
  return heard;
}

/* Under the lock: as long as it is on a list, the transport holds the call. */
static struct rpc_call *give_up(struct silent *silent) {
  list_remove(&silent->node);
  silent->given_up = true;
  return rpc_call_hold(silent->call);
}

static struct rpc_call *next_overdue(struct silence *silence, uint64_t now_ns) {
  struct rpc_call *call = NULL;
  pthread_mutex_lock(&silence->lock);
  struct list_node *first = list_first(&silence->calls);
  struct silent *silent = first == NULL ? NULL : list_entry(first, struct silent, node);
  if (silent != NULL && silent->until_ns <= now_ns) call = give_up(silent);
  pthread_mutex_unlock(&silence->lock);
  return call;
}

void silence_give_up_overdue(struct silence *silence, uint64_t now_ns) {
  if (silence->patience_ns == 0) return;
  struct failure failure;
  failure_set(&failure, STATUS_DEADLINE,
              "the call was opened %llu ms ago and its message has not come; nothing was done, open a call when there is "
              "something to send",
              (unsigned long long)(silence->patience_ns / 1000000u));
  failure.executed = EXECUTED_NO;
  for (struct rpc_call *call; (call = next_overdue(silence, now_ns)) != NULL;) {
    failure_finish_call(call, &failure);
    rpc_call_release(call);
  }
}

static struct rpc_call *next_of_all(struct silence *silence) {
  struct rpc_call *call = NULL;
  pthread_mutex_lock(&silence->lock);
  silence->over = true;
  struct list_node *first = list_first(&silence->calls);
  if (first == NULL) first = list_first(&silence->streams);
  if (first != NULL) call = give_up(list_entry(first, struct silent, node));
  pthread_mutex_unlock(&silence->lock);
  return call;
}

void silence_give_up_all(struct silence *silence) {
  for (struct rpc_call *call; (call = next_of_all(silence)) != NULL;) {
    failure_refuse_call(call, STATUS_DRAINING, NULL);
    rpc_call_release(call);
  }
}
