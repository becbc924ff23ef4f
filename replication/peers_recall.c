/* What this broker remembers of another: how far that one's journal was durable, by its own word in beats. A broker that starts asks for it before it
 * promises anything: one whose directory was put back from an older copy has forgotten what it promised since, and would not know.
 */
#include "base/check.h"
#include "base/memory.h"
#include "base/trace.h"
#include "proto/failure.h"
#include "replication/peers_internal.h"

#include <inttypes.h>

bool peers_note_journal(struct peer_broker *broker, const struct replica_id *id, uint64_t boot, uint64_t journal) {
  enum peer_news news = peer_memory_note(&broker->memory, id, boot, journal);
  if (news == PEER_WENT_BACK)
    trace_error("peer_went_back",
                "broker=%u journal=%" PRIu64 " seen=%" PRIu64 " do=\"its data directory is an older copy of itself: it is not "
                "believed; stop it and see what it says when it starts again\"",
                broker->id, journal, broker->memory.journal);
  return news == PEER_NEWS;
}

struct recall {
  struct task task;
  struct peers *peers;
  struct rpc_call *call;
  struct replica_id who;
};

static void answer(struct task *task) {
  struct recall *recall = container_of(task, struct recall, task);
  const struct peer_broker *broker = peers_find(recall->peers, recall->who.broker);
  bool known = broker != NULL && replica_id_equal(&broker->memory.id, &recall->who);
  struct blob_part part = peer_wire_encode_recall_answer(known ? broker->memory.journal : 0);
  rpc_call_send(recall->call, &part, 1);
  rpc_call_finish(recall->call, GRPC_CODE_OK, NULL, NULL, 0);
  rpc_call_release(recall->call);
  memory_free(recall);
}

/* @any-thread: the transport's. */
void peers_recall(void *service, struct rpc_call *call, struct blob *message) {
  struct peer_hello hello;
  bool given = false;
  enum status status = peer_wire_decode_hello(bytes_of(message->data, message->size), &given, &hello);
  blob_release(message);
  if (status != STATUS_OK || !given) {
    failure_refuse_call(call, STATUS_MALFORMED, "a broker that asks what is remembered of it says who it is");
    return;
  }
  struct recall *recall = NEW(struct recall);
  *recall = (struct recall){.task = {.run = answer}, .peers = service, .call = rpc_call_hold(call), .who = hello.from};
  loop_post(recall->peers->loop, &recall->task);
}
