#include "server/recall.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "replication/peer_wire.h"
#include "replication/peers.h"

#define SAY(problem, ...)                                          \
  do {                                                             \
    if (buffer_printf((problem), __VA_ARGS__) != STATUS_OK) break; \
  } while (0)

struct asking {
  struct recall_run *run;
  uint32_t broker;
  uint32_t place; /* in question.others */
  struct rpc_channel *channel;
  struct rpc_request *request;
  bool answered;                    /* the transport's until `open` has counted it, and ... */
  struct peer_recall_answer answer; /* ... this */
};

struct recall_run {
  struct asking asked[JOIN_MAX];
  uint32_t count;
  atomic_uint open;
  atomic_bool over;
};

/* @any-thread: the transport's. */
static void take_answer(void *context, struct rpc_request *request, struct blob *message) {
  struct asking *asking = context;
  (void)request;
  enum status status = peer_wire_decode_recall_answer(bytes_of(message->data, message->size), &asking->answer);
  asking->answered = status == STATUS_OK;
  blob_release(message);
}

static void one_less(struct recall_run *run) {
  if (atomic_fetch_sub(&run->open, 1) == 1) atomic_store_explicit(&run->over, true, memory_order_release);
}

static void is_over(void *context, struct rpc_request *request, const struct rpc_result *result) {
  struct asking *asking = context;
  (void)request;
  if (result->code != GRPC_CODE_OK) asking->answered = false;
  one_less(asking->run);
}

static const struct rpc_client_handler handler = {.message = take_answer, .done = is_over};

static void ask(struct world *world, struct recall_run *run, const struct recall_question *question) {
  struct replica_id self = replica_id_of(question->self->broker_id, question->self->incarnation);
  uint8_t lineage[LINEAGE_SIZE_MAX];
  struct peer_hello hello = {.from = self, .to = self, .boot = question->lineage->links[0].boot};
  hello.lineage = bytes_of(lineage, lineage_encode(question->lineage, lineage));
  memcpy(hello.cluster, question->self->cluster, sizeof hello.cluster);
  for (uint32_t i = 0; i < question->others->count; i++) {
    const struct join_broker *other = &question->others->brokers[i];
    if (other->broker == question->self->broker_id) continue;
    struct asking *asking = &run->asked[run->count++];
    *asking = (struct asking){
        .run = run, .broker = other->broker, .place = i, .channel = rpc_channel_open(world->peers, other->address)};
    atomic_fetch_add(&run->open, 1);
    asking->request =
        rpc_request_start(asking->channel, PEER_RECALL_METHOD, RPC_UNARY, question->patience_ns, true, &handler, asking);
    struct blob_part part = peer_wire_encode_recall(&hello);
    rpc_request_send(asking->request, &part, 1);
  }
  one_less(run);
  world_wait(world, &run->over);
}

static void explain(const struct recall_question *question, const struct asking *asking, enum status status,
                    struct buffer *out_problem) {
  const struct lineage *lineage = question->lineage;
  const struct peer_recall_answer *answer = &asking->answer;
  if (status == STATUS_LOCKED) {
    SAY(out_problem,
        "broker %" PRIu32 " still hears another process of broker %" PRIu32
        ", which runs on the directory that %s is a copy of. Nothing was changed. Stop one of the two; a further broker needs an "
        "empty "
        "directory and a --broker-id of its own",
        asking->broker, question->self->broker_id, question->directory);
    return;
  }
  SAY(out_problem,
      "data directory %s is older than what broker %" PRIu32 " has seen of this one, or a copy of it (start %" PRIu64
      ", journal group %" PRIu64 "; this would be start %" PRIu64 ", from group %" PRIu64
      "): it was put back from an older copy, its newest bytes are lost, or another process has gone on with a copy; promises to "
      "the others "
      "are not in it. Nothing was changed. Put the newest directory back; if that is gone, or in use elsewhere, start with an "
      "empty one, as a "
      "new member of the cluster",
      question->directory, asking->broker, answer->generation, answer->journal, lineage->generation,
      lineage->links[0].from_group);
}

static enum status judge(const struct recall_question *question, const struct asking *asking) {
  if (!asking->answered) return STATUS_OK;
  switch (asking->answer.recalled) {
    case PEER_RECALLED_UNJUDGED:
      return asking->answer.journal > question->lineage->links[0].from_group ? STATUS_DIRECTORY_SUPERSEDED : STATUS_OK;
    case PEER_RECALLED_GOOD: return STATUS_OK;
    case PEER_RECALLED_LIVES: return STATUS_LOCKED;
    case PEER_RECALLED_OLDER:
    case PEER_RECALLED_ANOTHER: break;
  }
  return STATUS_DIRECTORY_SUPERSEDED;
}

/* Who has seen newer says more than who still hears somebody. */
static const struct asking *worst(const struct recall_question *question, const struct recall_run *run) {
  const struct asking *worst = NULL;
  for (uint32_t i = 0; i < run->count; i++) {
    enum status status = judge(question, &run->asked[i]);
    if (status == STATUS_DIRECTORY_SUPERSEDED) return &run->asked[i];
    if (status != STATUS_OK) worst = &run->asked[i];
  }
  return worst;
}

/* True: a process that somebody has heard of lives still. */
static bool note_heard(const struct recall_question *question, const struct recall_run *run) {
  bool more = false;
  for (uint32_t i = 0; i < run->count; i++) {
    uint64_t *beats = &question->heard->beats[run->asked[i].place];
    if (judge(question, &run->asked[i]) != STATUS_LOCKED) continue;
    more = more || (*beats != 0 && run->asked[i].answer.beats > *beats);
    *beats = run->asked[i].answer.beats;
  }
  return more;
}

enum status recall_ask(struct world *world, const struct recall_question *question, bool *out_more, struct buffer *out_problem) {
  PRE(question->lineage->count > 0);
  struct recall_run *run = NEW(struct recall_run);
  enum status status = STATUS_OK;
  atomic_init(&run->open, 1); /* this function's own */
  atomic_init(&run->over, false);
  ask(world, run, question);
  *out_more = note_heard(question, run);
  const struct asking *asking = worst(question, run);
  if (asking != NULL) {
    status = judge(question, asking);
    buffer_reset(out_problem);
    explain(question, asking, status, out_problem);
  }
  for (uint32_t i = 0; i < run->count; i++) {
    rpc_request_release(run->asked[i].request);
    rpc_channel_close(run->asked[i].channel);
  }
  memory_free(run);
  return status;
}
