/* What this broker remembers of another, told to it. A broker that starts asks for it before it changes or promises anything: one whose
 * directory was put back from an older copy has forgotten what it promised since, and would not know.
 */
#include "base/memory.h"
#include "proto/failure.h"
#include "replication/peers_internal.h"

/* ---- Asked by another way ---- */

static void answer_question(struct task *task) {
  struct peers_question *question = container_of(task, struct peers_question, task);
  const struct peer_guest *guest = peers_guest(question->peers, &question->who);
  enum status status = STATUS_OK;
  if (guest != NULL && guest->memory.boot != 0) {
    uint64_t boot = question->boot == 0 ? UINT64_MAX : question->boot;
    enum peer_verdict verdict = peer_memory_judge(&guest->memory, boot, &question->lineage, 0);
    bool told_its_own = question->lineage.count == 0 || question->lineage.links[0].boot == question->boot;
    if (!told_its_own || !peer_verdict_good(verdict)) status = STATUS_DIRECTORY_SUPERSEDED;
    else if (verdict == PEER_CONTINUES && peer_guest_lives(question->peers, guest)) status = STATUS_LOADING;
  }
  question->answered(question, status);
}

void peers_ask(struct peers *peers, struct peers_question *question) {
  question->task.run = answer_question;
  question->peers = peers;
  loop_post(peers->loop, &question->task);
}

/* ---- Asked by a broker that starts ---- */

struct recall {
  struct task task;
  struct peers *peers;
  struct rpc_call *call;
  struct replica_id who;
  uint64_t boot;
  struct lineage lineage;
};

static enum peer_recalled recalled_of(const struct peers *peers, const struct peer_guest *guest, const struct recall *recall) {
  if (recall->lineage.count == 0) return PEER_RECALLED_UNJUDGED;
  switch (peer_memory_judge(&guest->memory, recall->boot, &recall->lineage, 0)) {
    case PEER_KNOWN: return PEER_RECALLED_GOOD;
    case PEER_CONTINUES: return peer_guest_lives(peers, guest) ? PEER_RECALLED_LIVES : PEER_RECALLED_GOOD;
    case PEER_OLDER: return PEER_RECALLED_OLDER;
    default: return PEER_RECALLED_ANOTHER;
  }
}

static void answer(struct task *task) {
  struct recall *recall = container_of(task, struct recall, task);
  const struct peer_guest *guest = peers_guest(recall->peers, &recall->who);
  struct peer_recall_answer told = {.recalled = recall->lineage.count == 0 ? PEER_RECALLED_UNJUDGED : PEER_RECALLED_GOOD};
  if (guest != NULL) {
    told.recalled = recalled_of(recall->peers, guest, recall);
    told.journal = guest->memory.journal;
    told.generation = guest->memory.generation;
    told.beats = guest->beats;
  }
  struct blob_part part = peer_wire_encode_recall_answer(&told);
  rpc_call_send(recall->call, &part, 1);
  rpc_call_finish(recall->call, GRPC_CODE_OK, NULL, NULL, 0);
  rpc_call_release(recall->call);
  memory_free(recall);
}

/* @any-thread: the transport's. */
void peers_recall(void *service, struct rpc_call *call, struct blob *message) {
  struct peer_hello hello;
  bool given = false;
  struct recall *recall = NEW(struct recall);
  enum status status = peer_wire_decode_hello(bytes_of(message->data, message->size), &given, &hello);
  if (status == STATUS_OK && given) status = peer_hello_lineage(&hello, &hello.from, &recall->lineage);
  blob_release(message);
  if (status != STATUS_OK || !given) {
    memory_free(recall);
    failure_refuse_call(call, STATUS_MALFORMED, "a broker that asks what is remembered of it says who it is");
    return;
  }
  recall->task.run = answer;
  recall->peers = service;
  recall->call = rpc_call_hold(call);
  recall->who = hello.from;
  recall->boot = hello.boot;
  loop_post(recall->peers->loop, &recall->task);
}
