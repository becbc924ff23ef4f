#include "server/append_answers.h"

#include <string.h>

#include "base/check.h"
#include "base/list.h"
#include "base/probe.h"
#include "proto/log_wire.h"

#define KEPT_BYTES 1024u /* of the buffer of a stream that may be idle for long */

static void run_flush(struct task *task) {
  struct append_answers *answers = container_of(task, struct append_answers, task);
  answers->waiting = false;
  append_answers_flush(answers);
  answers->flushed(answers);
}

void append_answers_init(struct append_answers *answers, struct rpc_call *call, struct loop *home,
                         void (*flushed)(struct append_answers *answers)) {
  answers->call = call;
  answers->home = home;
  answers->flushed = flushed;
  answers->task.run = run_flush;
  buffer_init(&answers->gathered, SIZE_MAX);
}

void append_answers_deinit(struct append_answers *answers) {
  PRE(!answers->waiting);
  buffer_deinit(&answers->gathered);
}

static void send(struct append_answers *answers, struct blob_part message, uint32_t count) {
  answers->in_message[answers->sent++ % APPEND_ANSWERS_MAX] = (uint16_t)count;
  rpc_call_send(answers->call, &message, 1);
}

static void drop_gathered(struct append_answers *answers) {
  buffer_deinit(&answers->gathered);
  buffer_init(&answers->gathered, SIZE_MAX);
}

void append_answers_flush(struct append_answers *answers) {
  if (answers->count == 0) return;
  if (answers->count > 1) REACHED(answers_go_together);
  struct blob *message = NULL;
  enum status status = blob_new(NULL, answers->gathered.size, &message);
  CHECK(status == STATUS_OK);
  memcpy(message->data, answers->gathered.data, answers->gathered.size);
  send(answers, (struct blob_part){.blob = message, .bytes = bytes_of(message->data, message->size)}, answers->count);
  if (answers->gathered.capacity <= KEPT_BYTES) buffer_reset(&answers->gathered);
  else drop_gathered(answers);
  answers->count = 0;
}

void append_answers_add(struct append_answers *answers, struct blob_part answer) {
  if (!answers->together) {
    send(answers, answer, 1);
    return;
  }
  enum status status = log_wire_gather_append_answer(&answers->gathered, answer.bytes);
  CHECK(status == STATUS_OK);
  blob_part_release(answer);
  answers->count++;
  if (answers->gathered.size >= APPEND_ANSWERS_BYTES) append_answers_flush(answers);
  if (answers->waiting) return;
  answers->waiting = true;
  loop_post(answers->home, &answers->task);
}

uint32_t append_answers_sent(struct append_answers *answers) {
  return answers->in_message[answers->taken++ % APPEND_ANSWERS_MAX];
}
