#include "server/recall.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>

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
  struct rpc_channel *channel;
  struct rpc_request *request;
  uint64_t journal; /* that it has seen; the transport's until `open` has counted it */
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
  uint64_t journal = 0;
  enum status status = peer_wire_decode_recall_answer(bytes_of(message->data, message->size), &journal);
  if (status == STATUS_OK) asking->journal = journal;
  blob_release(message);
}

static void one_less(struct recall_run *run) {
  if (atomic_fetch_sub(&run->open, 1) == 1) atomic_store_explicit(&run->over, true, memory_order_release);
}

static void is_over(void *context, struct rpc_request *request, const struct rpc_result *result) {
  struct asking *asking = context;
  (void)request;
  if (result->code != GRPC_CODE_OK) asking->journal = 0; /* it says nothing */
  one_less(asking->run);
}

static const struct rpc_client_handler handler = {.message = take_answer, .done = is_over};

static void ask(struct world *world, struct recall_run *run, const struct recall_question *question) {
  struct replica_id self = replica_id_of(question->self->broker_id, question->self->incarnation);
  struct peer_hello hello = {.from = self, .to = self, .boot = 1};
  memcpy(hello.cluster, question->self->cluster, sizeof hello.cluster);
  for (uint32_t i = 0; i < question->others->count; i++) {
    const struct join_broker *other = &question->others->brokers[i];
    if (other->broker == question->self->broker_id) continue;
    struct asking *asking = &run->asked[run->count++];
    *asking = (struct asking){.run = run, .broker = other->broker, .channel = rpc_channel_open(world->peers, other->address)};
    atomic_fetch_add(&run->open, 1);
    asking->request =
        rpc_request_start(asking->channel, PEER_RECALL_METHOD, RPC_UNARY, question->patience_ns, true, &handler, asking);
    struct blob_part part = peer_wire_encode_recall(&hello);
    rpc_request_send(asking->request, &part, 1);
  }
  one_less(run);
  world_wait(world, &run->over);
}

enum status recall_ask(struct world *world, const struct recall_question *question, struct buffer *out_problem) {
  struct recall_run *run = NEW(struct recall_run);
  enum status status = STATUS_OK;
  atomic_init(&run->open, 1); /* this function's own */
  atomic_init(&run->over, false);
  ask(world, run, question);
  for (uint32_t i = 0; i < run->count; i++) {
    const struct asking *asking = &run->asked[i];
    rpc_request_release(asking->request);
    rpc_channel_close(asking->channel);
    if (asking->journal <= question->journal || status != STATUS_OK) continue;
    SAY(out_problem,
        "data directory %s is older than what broker %" PRIu32 " has seen of this one (journal group %" PRIu64 ", and %" PRIu64
        " here): it was put back from an older copy, or its newest bytes are lost, and with them promises to the others. Nothing "
        "was "
        "changed. Put the newest directory back; if that is gone, start with an empty one, as a new member of the cluster",
        question->directory, asking->broker, asking->journal, question->journal);
    status = STATUS_FOREIGN;
  }
  memory_free(run);
  return status;
}
