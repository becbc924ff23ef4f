#include "tests/unit/server/held_offload.h"

#include "base/check.h"
#include "base/list.h"

static void post(struct loop *loop, struct task *task) {
  struct held_offload *held = container_of(loop, struct held_offload, loop);
  held->asked++;
  if (!held->holds) {
    loop_post(held->behind, task);
    return;
  }
  task->next = NULL;
  *held->last = task;
  held->last = &task->next;
}

static void stop(struct loop *loop) {
  struct held_offload *held = container_of(loop, struct held_offload, loop);
  PRE(held->first == NULL);
  loop_stop(held->behind);
}

static struct loop *loop_new(struct world *world, const char *name, unsigned flags) {
  (void)name;
  (void)flags;
  return &container_of(world, struct held_offload, world)->loop;
}

void held_offload_init(struct held_offload *held, struct world *world) {
  static const struct loop_ops loop_ops = {.post = post, .stop = stop};
  static const struct world_ops world_ops = {.loop_new = loop_new};
  *held = (struct held_offload){.world = {.ops = &world_ops}, .loop = {.ops = &loop_ops}};
  held->behind = world_loop_new(world, "offload", LOOP_MAY_BLOCK);
  held->last = &held->first;
  held->offload = offload_new(&held->world, "offload");
}

void held_offload_deinit(struct held_offload *held) { offload_free(held->offload); }

void held_offload_hold(struct held_offload *held) { held->holds = true; }

void held_offload_let_go(struct held_offload *held) {
  held->holds = false;
  while (held->first != NULL) {
    struct task *task = held->first;
    held->first = task->next;
    loop_post(held->behind, task);
  }
  held->last = &held->first;
}
