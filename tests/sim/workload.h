/* What applications do: threads that append, read, follow, trim, and change the map, over the public API of the C library. */
#ifndef CAIRN_TESTS_SIM_WORKLOAD_H
#define CAIRN_TESTS_SIM_WORKLOAD_H

#include "tests/sim/run.h"

/* One thread of an application. */
struct worker {
  struct run *run;
  struct sim_app *app;
  struct cairn_client *client;
  struct sim_random chance;
  uint64_t writer; /* its number, from 1 on */
  uint64_t rounds; /* producers it has had */
  char name[24];
};

/* Adds an application of the plan to the run, with all its threads. */
void workload_add_app(struct run *run, unsigned number);

/* The bodies of threads; each works until run->stopping. (workload_write.c, workload_read.c, workload_admin.c) */
void workload_appender(void *worker);
void workload_producer(void *worker);
void workload_reader(void *worker);
void workload_tailer(void *worker);
void workload_admin(void *worker);
void workload_story(void *worker);     /* in place of an admin, of PLAN_POINTS (workload_story.c) */
void workload_watcher(void *worker);   /* (workload_watch.c) */
void workload_bystander(void *worker); /* (workload_bystander.c) */

/* What an admin does about topics. (workload_admin.c) */
void workload_create_topic(struct worker *worker);
void workload_alter_topic(struct worker *worker, struct run_topic *topic);
void workload_grow_topic(struct worker *worker, struct run_topic *topic);
void workload_delete_topic(struct worker *worker, struct run_topic *topic);
void workload_list_topics(struct worker *worker);
/* One of all that an admin can want of the map. (workload_controller.c) */
void workload_want(struct worker *worker);
/* Another broker is to lead it. (workload_leaders.c) */
void workload_transfer(struct worker *worker, struct run_topic *topic, uint32_t number);
/* What an admin does about places: of one partition, or of many by a plan. (workload_moves.c) */
void workload_move(struct worker *worker, struct run_topic *topic, uint32_t number);
/* What an admin does about brokers: drains one, lets one leave, or lets it stay; and looks what has become of them. (workload_brokers.c) */
void workload_set_standing(struct worker *worker);
/* The feature level is to rise, whether all can it or not. */
void workload_raise_level(struct worker *worker);
/* Asked of whoever leads the map: somebody is to leave, or is gone and the nemesis does not know it; or it cannot be told just now. */
bool workload_some_leave(struct worker *worker);
bool workload_look_at_brokers(struct worker *worker); /* none of them is to leave, as the one that was asked has it */

/* A little time between two calls. */
void worker_think(struct worker *worker);
/* A partition to work on, or NULL while there is none: then it has waited a little. */
struct run_topic *worker_pick(struct worker *worker, uint32_t *out_partition);
/* Looks at an error that came from a call on a topic that was there. */
void worker_error(struct worker *worker, const struct run_topic *topic, const char *call, const struct cairn_error *error);
/* A term that an answer named. */
void worker_term(struct worker *worker, struct run_topic *topic, uint32_t partition, uint64_t term);

/* ---- At the end, from one thread ---- */

/* One record, and wait; false when it was not acknowledged. (workload_write.c) */
bool workload_append_probe(struct worker *worker, struct run_topic *topic, uint32_t partition);
/* True when an append to every partition has succeeded. */
bool workload_probe(struct worker *worker);
/* Watches the map of its broker until it has all that any broker has. False: it was not told. (workload_watch.c) */
bool workload_watch_all(struct worker *worker);
/* Reads everything, and asks for the map. False: something could not be read; `out_why`. */
bool workload_read_all(struct worker *worker, char *out_why, size_t size);

#endif
