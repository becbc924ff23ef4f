#include "server/map_question.h"

#include <stdatomic.h>
#include <string.h>

#include "base/arena.h"
#include "base/memory.h"
#include "cairn/internal/v1/move.pb-c.h"
#include "controller/map_message.h"
#include "proto/failure.h"
#include "proto/pack.h"

#define ARENA_BYTES 262144u /* 256 of each: unpacked some 100 bytes apiece */

/* ---- Asking ---- */

static void tell_next(struct map_question *question);

static void looked(struct replica_read *read, enum status status) {
  struct map_question *question = container_of(read, struct map_question, read);
  question->status = status;
  question->version = cluster_map_version(controller_map(question->controller));
  question->done(question);
}

/* One that was told before, or that another has taken the place of, is nothing to stop for. */
static void told(struct change *change) {
  struct map_question *question = container_of(change, struct map_question, change);
  bool passed = change->status == STATUS_OK || change->status == STATUS_NOT_FOUND || change->status == STATUS_UNKNOWN_TOPIC ||
                change->status == STATUS_UNKNOWN_PARTITION;
  if (passed) {
    tell_next(question);
    return;
  }
  question->status = change->status;
  question->done(question);
}

static void tell_next(struct map_question *question) {
  if (question->next == question->count) {
    question->read = (struct replica_read){.done = looked};
    controller_read(question->controller, &question->read);
    return;
  }
  const struct map_moved *moved = &question->moved[question->next++];
  question->change = (struct change){.kind = COMMAND_PARTITION_MOVED,
                                     .topic_id = moved->topic_id,
                                     .partition = moved->partition,
                                     .move = moved->move,
                                     .done = told};
  controller_change(question->controller, &question->change);
}

void map_question_ask(struct map_question *question, struct controller *controller) {
  question->controller = controller;
  question->next = 0;
  tell_next(question);
}

void map_question_post(const struct map_question *question, struct progress_board *board, uint64_t now_ns) {
  for (uint32_t i = 0; i < question->progress_count; i++) progress_board_put(board, now_ns, &question->progress[i]);
}

/* ---- As messages ---- */

struct blob_part map_question_pack(const struct map_question *question, const uint8_t cluster_id[CLUSTER_ID_SIZE]) {
  Cairn__Internal__V1__MovesRequest message;
  cairn__internal__v1__moves_request__init(&message);
  Cairn__Internal__V1__Moved moved[MAP_MOVED_MAX];
  Cairn__Internal__V1__Moved *list[MAP_MOVED_MAX];
  for (uint32_t i = 0; i < question->count; i++) {
    cairn__internal__v1__moved__init(&moved[i]);
    moved[i].topic_id = question->moved[i].topic_id;
    moved[i].partition = question->moved[i].partition;
    moved[i].move = question->moved[i].move;
    list[i] = &moved[i];
  }
  Cairn__Internal__V1__MoveProgress progress[MAP_MOVED_MAX];
  Cairn__Internal__V1__MoveProgress *progress_list[MAP_MOVED_MAX];
  for (uint32_t i = 0; i < question->progress_count; i++) {
    const struct move_progress *told = &question->progress[i];
    cairn__internal__v1__move_progress__init(&progress[i]);
    progress[i].group_id = told->group;
    progress[i].move = told->move;
    progress[i].learners = told->learners;
    progress[i].bytes_done = told->bytes_done;
    progress[i].bytes_to_go = told->bytes_to_go;
    progress_list[i] = &progress[i];
  }
  message.cluster_id = id_to_message(cluster_id);
  message.n_moved = question->count;
  message.moved = list;
  message.n_progress = question->progress_count;
  message.progress = progress_list;
  return pack_part(&message.base);
}

enum status map_question_unpack_answer(struct bytes bytes, uint64_t *out_version) {
  struct arena *arena = arena_new(ARENA_BYTES);
  const Cairn__Internal__V1__MovesResponse *message = NULL;
  enum status status = pack_unpack(arena, &cairn__internal__v1__moves_response__descriptor, bytes, &message);
  if (status == STATUS_OK) *out_version = message->version;
  arena_free(arena);
  return status;
}

/* ---- Questions of others ---- */

struct map_questions {
  const uint8_t *cluster_id;
  struct loop *loop;
  struct controller *controller;
  struct progress_board *board;
  atomic_bool started;
};

struct asked {
  struct task task;
  struct map_questions *questions;
  struct rpc_call *call;
  struct map_question question;
};

struct map_questions *map_questions_new(const uint8_t *cluster_id) {
  struct map_questions *questions = NEW(struct map_questions);
  questions->cluster_id = cluster_id;
  atomic_init(&questions->started, false);
  return questions;
}

void map_questions_free(struct map_questions *questions) { memory_free(questions); }

void map_questions_start(struct map_questions *questions, struct loop *loop, struct controller *controller,
                         struct progress_board *board) {
  questions->loop = loop;
  questions->controller = controller;
  questions->board = board;
  atomic_store_explicit(&questions->started, true, memory_order_release);
}

static void answer(struct map_question *question) {
  struct asked *asked = container_of(question, struct asked, question);
  if (question->status == STATUS_OK) {
    Cairn__Internal__V1__MovesResponse response;
    cairn__internal__v1__moves_response__init(&response);
    response.version = question->version;
    struct blob_part part = pack_part(&response.base);
    rpc_call_send(asked->call, &part, 1);
    rpc_call_finish(asked->call, GRPC_CODE_OK, NULL, NULL, 0);
  } else {
    failure_refuse_call(asked->call, question->status, "%s", status_text(question->status));
  }
  rpc_call_release(asked->call);
  memory_free(asked);
}

static void run_asked(struct task *task) {
  struct asked *asked = container_of(task, struct asked, task);
  map_question_post(&asked->question, asked->questions->board, loop_now_ns(asked->questions->loop));
  map_question_ask(&asked->question, asked->questions->controller);
}

static enum status take(struct bytes bytes, const uint8_t *cluster_id, struct map_question *question) {
  uint8_t cluster[CLUSTER_ID_SIZE] = {0};
  struct arena *arena = arena_new(ARENA_BYTES);
  const Cairn__Internal__V1__MovesRequest *message = NULL;
  enum status status = pack_unpack(arena, &cairn__internal__v1__moves_request__descriptor, bytes, &message);
  bool too_many = status == STATUS_OK && (message->n_moved > MAP_MOVED_MAX || message->n_progress > MAP_MOVED_MAX);
  if (status == STATUS_OK && (too_many || !id_from_message(&message->cluster_id, cluster))) status = STATUS_MALFORMED;
  if (status == STATUS_OK && memcmp(cluster, cluster_id, CLUSTER_ID_SIZE) != 0) status = STATUS_FOREIGN;
  for (size_t i = 0; status == STATUS_OK && i < message->n_moved; i++) {
    const Cairn__Internal__V1__Moved *moved = message->moved[i];
    question->moved[question->count++] =
        (struct map_moved){.topic_id = moved->topic_id, .partition = moved->partition, .move = moved->move};
  }
  for (size_t i = 0; status == STATUS_OK && i < message->n_progress; i++) {
    const Cairn__Internal__V1__MoveProgress *told = message->progress[i];
    question->progress[question->progress_count++] = (struct move_progress){.group = told->group_id,
                                                                            .move = told->move,
                                                                            .learners = told->learners,
                                                                            .bytes_done = told->bytes_done,
                                                                            .bytes_to_go = told->bytes_to_go};
  }
  arena_free(arena);
  return status;
}

static void on_moves(void *service, struct rpc_call *call, struct blob *message) {
  struct map_questions *questions = service;
  struct asked *asked = NEW(struct asked);
  enum status status = take(bytes_of(message->data, message->size), questions->cluster_id, &asked->question);
  blob_release(message);
  if (status == STATUS_OK && !atomic_load_explicit(&questions->started, memory_order_acquire)) status = STATUS_LOADING;
  if (status != STATUS_OK) {
    failure_refuse_call(call, status, "%s", status_text(status));
    memory_free(asked);
    return;
  }
  asked->task.run = run_asked;
  asked->questions = questions;
  asked->call = rpc_call_hold(call);
  asked->question.done = answer;
  loop_post(questions->loop, &asked->task);
}

struct rpc_handler map_questions_handler(struct map_questions *questions) {
  return (struct rpc_handler){.method = MAP_QUESTION_METHOD, .kind = RPC_UNARY, .message = on_moves, .own_service = questions};
}
