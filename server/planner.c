#include "server/planner.h"

#include <stdio.h>

#include "base/list.h"
#include "base/memory.h"
#include "security/random.h"

/* ---- Beside it ---- */

static bool was_up(void *context, uint32_t broker) {
  const struct planner_job *job = context;
  for (size_t i = 0; i < job->up_count; i++)
    if (job->up[i] == broker) return true;
  return false;
}

static bool asked(void *context, const struct map_topic *topic) {
  const struct planner_job *job = context;
  return job->is_asked == NULL || job->is_asked(job->context, topic);
}

static void work(struct offload_job *offloaded) {
  struct planner_job *job = container_of(offloaded, struct planner_job, job);
  struct cluster_map *map = cluster_map_new(random_seed());
  if (job->status == STATUS_OK) job->status = cluster_map_decode(map, buffer_bytes(&job->map));
  buffer_deinit(&job->map);
  if (job->status == STATUS_OK) {
    const struct reassignment_goal goal = {.map = map,
                                           .is_up = was_up,
                                           .is_asked = asked,
                                           .context = job,
                                           .brokers = job->brokers,
                                           .broker_count = job->broker_count};
    job->status = reassignment_plan(&goal, &job->plan);
  } else {
    snprintf(job->plan.problem, sizeof job->plan.problem, "the map could not be copied: %s", status_name(job->status));
  }
  cluster_map_free(map);
}

static void planned(struct offload_job *offloaded) {
  struct planner_job *job = container_of(offloaded, struct planner_job, job);
  memory_free(job->up);
  job->up = NULL;
  job->done(job);
}

/* ---- On the lane ---- */

static void refused(struct task *task) {
  struct planner_job *job = container_of(task, struct planner_job, refusal);
  job->done(job);
}

static void note_who_is_up(struct planner_job *job, const struct reassignment_goal *goal) {
  job->up_count = 0;
  job->up = memory_new_array(cluster_map_broker_count(goal->map) + 1, sizeof *job->up);
  const struct map_broker *broker = cluster_map_broker_after(goal->map, 0);
  for (; broker != NULL; broker = cluster_map_broker_after(goal->map, broker->id))
    if (goal->is_up(goal->context, broker->id)) job->up[job->up_count++] = broker->id;
}

/* To copy the map takes the lane longer than anything else here: what there is no plan for is found out before. */
void planner_begin(struct offload *planner, struct planner_job *job, struct loop *loop, const struct cluster_map *map,
                   bool (*is_up)(void *context, uint32_t broker), void *is_up_context) {
  const struct reassignment_goal goal = {.map = map,
                                         .is_up = is_up,
                                         .is_asked = job->is_asked,
                                         .context = is_up_context,
                                         .brokers = job->brokers,
                                         .broker_count = job->broker_count};
  job->status = reassignment_check(&goal, &job->plan);
  if (job->status != STATUS_OK) {
    job->refusal.run = refused;
    loop_post(loop, &job->refusal);
    return;
  }
  note_who_is_up(job, &goal);
  buffer_init(&job->map, SIZE_MAX); /* the map has bounds of its own */
  job->status = cluster_map_encode(map, &job->map);
  job->job = (struct offload_job){.loop = loop, .work = work, .done = planned};
  offload_run(planner, &job->job);
}
