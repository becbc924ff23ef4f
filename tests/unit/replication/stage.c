#include "tests/unit/replication/stage.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/trace.h"

#define MIB (1u << 20)
#define PATIENCE_NS ((uint64_t)600 * 1000000000u) /* virtual */

static void drop_line(void *context, const char *line) {
  (void)context;
  (void)line;
}

void stage_init(struct stage *stage) {
  trace_set_sink(drop_line, NULL);
  stage->broker = 1;
  stage->sim = sim_new(7);
  stage->device = sim_disk_new(stage->sim, "disk", (uint64_t)1024 * MIB);
}

void stage_init_in(struct stage *stage, struct sim *sim, broker_id broker) {
  stage->shared = true;
  stage->broker = broker;
  stage->sim = sim;
  stage->device = sim_disk_new(sim, "disk", (uint64_t)1024 * MIB);
}

void stage_deinit(struct stage *stage) {
  PRE(stage->node == NULL);
  sim_disk_free(stage->device);
  if (stage->shared) return;
  sim_free(stage->sim);
  trace_set_sink(NULL, NULL);
}

/* ---- Waiting ---- */

void stage_wait(struct stage *stage, bool (*reached)(void *context), void *context) {
  bool came = sim_run_until(stage->sim, reached, context, sim_now_ns(stage->sim) + PATIENCE_NS);
  CHECK_MSG(came, "what the test waits for does not happen");
}

void stage_blocking(struct stage *stage, void (*run)(void *context), void *context) {
  sim_world_boot(stage->node, run, context);
  stage_wait(stage, sim_world_booted, stage->node);
}

struct errand {
  struct task task;
  void (*run)(void *context);
  void *context;
  bool done;
};

static void run_errand(struct task *task) {
  struct errand *errand = container_of(task, struct errand, task);
  errand->run(errand->context);
  errand->done = true;
}

static bool errand_is_done(void *context) { return ((struct errand *)context)->done; }

void stage_on_lane(struct stage *stage, void (*run)(void *context), void *context) {
  struct errand errand = {.task.run = run_errand, .run = run, .context = context};
  loop_post(lane_loop(stage->lane), &errand.task);
  stage_wait(stage, errand_is_done, &errand);
}

/* ---- A process ---- */

static void meet(void *context, struct log *log) {
  struct stage *stage = context;
  group_id group = log_view(log).group;
  if (log_view(log).spare) return; /* the replica's to drop */
  CHECK(group < STAGE_LOGS_MAX);
  stage->log[group] = log;
  log_adopt(log, lane_loop(stage->lane));
}

static void run_open(void *context) {
  struct stage *stage = context;
  struct log_set_options options = {
      .journal = {.ring_bytes = 128 * MIB, .file_bytes = 16 * MIB, .group_bytes_max = MIB, .files_ready = 2, .idle_close_ms = 20},
      .tail_bytes = stage->forgets ? 0 : 64 * MIB,
      .store_bytes_max = 64 * MIB,
      .readers = 2,
      .checkpoint_interval_ms = 60000,
      .account = &stage->account};
  struct log_identity identity = {.broker_id = stage->broker};
  struct log_set_report report;
  struct world *world = sim_world_doors(stage->node);
  enum status status = log_set_open(world, &options, &identity, &stage->logs, &identity, &report, NULL);
  CHECK_MSG(status == STATUS_OK, "%s", status_name(status));
  stage->lane = lane_new(world, stage->logs, 0, stage->peers, stage->timing);
  if (stage->watch != NULL) lane_watch(stage->lane, stage->watch, stage->watch_context);
  lane_join(stage->lane);
  log_set_each(stage->logs, meet, stage);
}

void stage_open(struct stage *stage) {
  for (size_t i = 0; i < STAGE_LOGS_MAX; i++) stage->log[i] = NULL;
  account_init(&stage->account, 64 * MIB);
  stage->node = sim_world_new(stage->sim, stage->device, "node");
  stage_blocking(stage, run_open, stage);
}

static void run_stop(void *context) {
  struct stage *stage = context;
  lane_stop(stage->lane);
  log_set_close(stage->logs, false);
}

static void run_stop_with_checkpoint(void *context) {
  struct stage *stage = context;
  lane_stop(stage->lane);
  log_set_close(stage->logs, true);
}

void stage_stop(struct stage *stage, bool checkpoint) {
  stage_blocking(stage, checkpoint ? run_stop_with_checkpoint : run_stop, stage);
}

void stage_close(struct stage *stage) {
  lane_free(stage->lane);
  CHECK(account_used(&stage->account) == 0);
  sim_world_free(stage->node);
  stage->node = NULL;
  stage->lane = NULL;
}

void stage_kill(struct stage *stage) {
  sim_world_kill(stage->node);
  sim_disk_heal(stage->device);
  stage_stop(stage, false);
}

/* ---- Logs ---- */

struct log *stage_make_log(struct stage *stage, group_id group) {
  struct log_settings settings = {.segment_bytes = 16 * MIB, .retention_bytes = -1, .retention_ms = -1};
  PRE(stage->log[group] == NULL);
  stage->log[group] = log_create(stage->logs, lane_loop(stage->lane), lane_write(stage->lane), group, 1, &settings);
  return stage->log[group];
}

struct checkpointing {
  struct task task;
  bool done;
};

static void checkpoint_done(struct task *task) { container_of(task, struct checkpointing, task)->done = true; }
static bool checkpoint_is_done(void *context) { return ((struct checkpointing *)context)->done; }

void stage_checkpoint(struct stage *stage) {
  struct checkpointing checkpointing = {.task.run = checkpoint_done};
  log_set_checkpoint(stage->logs, lane_loop(stage->lane), &checkpointing.task);
  stage_wait(stage, checkpoint_is_done, &checkpointing);
}

/* ---- The disk's moods ---- */

void stage_slow_journal(struct stage *stage) { sim_disk_fault(stage->device, "slow every any on journal/0* by 1000"); }

void stage_fail_journal(struct stage *stage) { sim_disk_fault(stage->device, "fail every write on journal/0* with io"); }

void stage_heal(struct stage *stage) { sim_disk_heal(stage->device); }
