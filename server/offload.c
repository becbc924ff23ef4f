#include "server/offload.h"

#include "base/list.h"
#include "base/memory.h"

struct offload {
  struct loop *loop;
};

struct offload *offload_new(struct world *world, const char *name) {
  struct offload *offload = NEW(struct offload);
  offload->loop = world_loop_new(world, name, LOOP_MAY_BLOCK);
  return offload;
}

void offload_free(struct offload *offload) {
  if (offload == NULL) return;
  loop_stop(offload->loop);
  memory_free(offload);
}

static void finish(struct task *task) {
  struct offload_job *job = container_of(task, struct offload_job, task);
  job->done(job);
}

static void work(struct task *task) {
  struct offload_job *job = container_of(task, struct offload_job, task);
  job->work(job);
  job->task.run = finish;
  loop_post(job->loop, &job->task);
}

void offload_run(struct offload *offload, struct offload_job *job) {
  job->task.run = work;
  loop_post(offload->loop, &job->task);
}
