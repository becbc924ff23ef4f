#include "server/looks.h"

static void post(struct looks *looks) {
  looks->posted = true;
  loop_post(looks->loop, &looks->task);
}

static void run_one(struct task *task) {
  struct looks *looks = container_of(task, struct looks, task);
  struct look *look = list_entry(list_pop_front(&looks->waiting), struct look, node);
  looks->posted = false;
  if (!list_empty(&looks->waiting)) post(looks);
  look->run(look);
}

void looks_init(struct looks *looks, struct loop *loop) {
  *looks = (struct looks){.loop = loop, .task = {.run = run_one}};
  list_init(&looks->waiting);
}

void looks_add(struct looks *looks, struct look *look) {
  list_push_back(&looks->waiting, &look->node);
  if (!looks->posted) post(looks);
}
