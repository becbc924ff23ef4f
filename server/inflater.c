#include "server/inflater.h"

#include "base/list.h"
#include "base/memory.h"

struct inflater {
  struct loop *loop;
};

struct inflater *inflater_new(struct world *world) {
  struct inflater *inflater = NEW(struct inflater);
  inflater->loop = world_loop_new(world, "inflater", LOOP_MAY_BLOCK);
  return inflater;
}

void inflater_free(struct inflater *inflater) {
  if (inflater == NULL) return;
  loop_stop(inflater->loop);
  memory_free(inflater);
}

static void finish(struct task *task) {
  struct inflater_job *job = container_of(task, struct inflater_job, task);
  job->done(job);
}

static void work(struct task *task) {
  struct inflater_job *job = container_of(task, struct inflater_job, task);
  job->work(job);
  job->task.run = finish;
  loop_post(job->loop, &job->task);
}

void inflater_run(struct inflater *inflater, struct inflater_job *job) {
  job->task.run = work;
  loop_post(inflater->loop, &job->task);
}
