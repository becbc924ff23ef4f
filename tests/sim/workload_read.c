/* Threads that read: one answer at a time, or following the log's end. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "tests/sim/workload.h"

/* ---- cairn_read() ---- */

/* What a read that begins now must reach. Any replica answers it, with what it knows to be committed, which may be less than all. */
static struct check_look read_begins(const struct run *run, const struct check_partition *partition) {
  return run->plan->nodes == 1 ? check_look_begin(partition) : (struct check_look){0};
}

/* Walks an answer; returns where it ends. */
static int64_t check_records(struct worker *worker, struct check_partition *partition, struct cairn_records *records,
                             int64_t offset) {
  struct cairn_record record;
  struct cairn_error error = {0};
  int code = CAIRN_OK;
  while ((code = cairn_records_next(records, &record, &error)) == CAIRN_OK) {
    if (record.offset != offset)
      checker_violation(worker->run->checker, "L3 dense", "a read that stands at offset %lld was given offset %lld",
                        (long long)offset, (long long)record.offset);
    check_record(partition, &record);
    offset = record.offset + 1;
  }
  if (code != CAIRN_END)
    checker_violation(worker->run->checker, "L6 rot-is-named", "an answer cannot be walked: %s", error.message);
  return offset;
}

static void check_read_error(struct worker *worker, struct run_topic *topic, struct check_partition *partition, int64_t offset,
                             const struct check_look *look, const struct cairn_error *error) {
  worker_error(worker, topic, "read", error);
  if (check_partition_is_deleted(partition)) return;
  if (strcmp(error->reason, "BELOW_START") == 0) check_look_end(partition, look, -1, error->next_offset);
  if (strcmp(error->reason, "BEYOND_END") == 0 && offset <= look->end && !worker->run->rotten)
    checker_violation(worker->run->checker, "A3 read-your-writes",
                      "offset %lld is said to be beyond the end; the log ended at %lld", (long long)offset, (long long)look->end);
}

/* Returns where to read on; -1 after an error. */
static int64_t read_once(struct worker *worker, struct run_topic *topic, uint32_t number, int64_t offset,
                         const struct cairn_read_options *options, struct cairn_error *error) {
  struct run *run = worker->run;
  struct check_partition *partition = topic->partitions[number];
  struct cairn_records *records = NULL;
  const struct check_look look = read_begins(run, partition);
  run_call_begin(run);
  int code = cairn_read(worker->client, topic->name, number, offset, options, &records, error);
  run_call_end(run);
  if (code != CAIRN_OK) {
    run_trace(run, worker->name, "read %s/%u from=%lld -> %s", topic->name, number, (long long)offset, error->reason);
    check_read_error(worker, topic, partition, offset, &look, error);
    return -1;
  }
  int64_t end = check_records(worker, partition, records, offset);
  if (!run->rotten)
    check_look_end(partition, &look, cairn_records_high_watermark(records), cairn_records_log_start_offset(records));
  run_trace(run, worker->name, "read %s/%u from=%lld -> OK to=%lld end=%lld", topic->name, number, (long long)offset,
            (long long)end, (long long)cairn_records_high_watermark(records));
  /* A replica that is behind answers a read beyond its end with nothing, and says where that is. */
  bool behind = run->plan->nodes > 1 && end == offset;
  if (end > cairn_records_high_watermark(records) && !behind && !check_partition_is_deleted(partition))
    checker_violation(run->checker, "L1 acked-durable", "%s/%u: a read shows records up to %lld; the log is said to end at %lld",
                      topic->name, number, (long long)end, (long long)cairn_records_high_watermark(records));
  if (end == offset && offset < look.end && !run->rotten && !check_partition_is_deleted(partition))
    checker_violation(run->checker, "A3 read-your-writes",
                      "%s/%u: a read from offset %lld brought nothing; the log ended at %lld", topic->name, number,
                      (long long)offset, (long long)look.end);
  cairn_records_free(records);
  return end;
}

static int64_t draw_offset(struct worker *worker, const struct check_partition *partition) {
  int64_t start = check_partition_start(partition);
  int64_t end = check_partition_end(partition);
  int64_t kept = end > start ? end - start : 0;
  if (sim_random_chance(&worker->chance, 30)) return end;
  return start + (int64_t)sim_random_below(&worker->chance, (uint64_t)kept + 1);
}

static void describe(struct worker *worker, struct run_topic *topic, uint32_t number) {
  struct run *run = worker->run;
  struct check_partition *partition = topic->partitions[number];
  struct cairn_partition_state state = {0};
  struct cairn_error error = {0};
  const struct check_look look = check_look_begin(partition);
  uint64_t term = topic->acked_terms[number];
  run_call_begin(run);
  int code = cairn_partition_describe(worker->client, topic->name, number, &state, &error);
  run_call_end(run);
  run_trace(run, worker->name, "describe %s/%u -> %s start=%lld end=%lld term=%llu", topic->name, number,
            code == CAIRN_OK ? "OK" : error.reason, (long long)state.log_start_offset, (long long)state.high_watermark,
            (unsigned long long)state.term);
  if (code != CAIRN_OK) {
    worker_error(worker, topic, "describe", &error);
    return;
  }
  check_look_end(partition, &look, state.high_watermark, state.log_start_offset);
  if (topic->stage == TOPIC_LIVE && state.term != 0 && state.term < term)
    checker_violation(run->checker, "L9 identity-kept", "%s/%u: the term is said to be %llu; an append was acknowledged in %llu",
                      topic->name, number, (unsigned long long)state.term, (unsigned long long)term);
  bool excused = run->reads_fail || run->plan->rots; /* until it is mended */
  if (topic->stage == TOPIC_LIVE && state.damaged_count > 0 && !excused)
    checker_violation(run->checker, "L6 rot-is-named", "%s/%u: damage is told where none was done", topic->name, number);
  worker_term(worker, topic, number, state.term);
}

void workload_reader(void *context) {
  struct worker *worker = context;
  const struct run *run = worker->run;
  while (!run->stopping) {
    uint32_t number = 0;
    struct run_topic *topic = worker_pick(worker, &number);
    if (topic == NULL) continue;
    const struct cairn_read_options options = {
        .max_bytes = (uint32_t)(64u << sim_random_below(&worker->chance, 12)),
        .min_bytes = sim_random_chance(&worker->chance, 30) ? 1000 : 0,
        .max_wait_ms = (uint32_t)sim_random_below(&worker->chance, run->plan->wait_ms),
    };
    struct cairn_error error = {0};
    bool asks = run->plan->asks || sim_random_chance(&worker->chance, 25);
    if (asks) describe(worker, topic, number);
    else read_once(worker, topic, number, draw_offset(worker, topic->partitions[number]), &options, &error);
    if (run->plan->asks) sim_app_sleep(worker->app, sim_random_below(&worker->chance, 8 * run->plan->think_ns));
    else worker_think(worker);
  }
}

/* ---- The consumer ---- */

static struct cairn_position draw_position(struct worker *worker, const struct check_partition *partition) {
  if (sim_random_chance(&worker->chance, 40)) return (struct cairn_position){.kind = CAIRN_AT_START};
  if (sim_random_chance(&worker->chance, 20)) return (struct cairn_position){.kind = CAIRN_AT_END};
  if (sim_random_chance(&worker->chance, 20)) return (struct cairn_position){.kind = CAIRN_BEFORE_END, .value = 10};
  return (struct cairn_position){.kind = CAIRN_AT_OFFSET, .value = draw_offset(worker, partition)};
}

/* The log's start went past it, which is told; anything else is an end, too. Returns where to go on, or -1. */
static int64_t after_error(struct worker *worker, struct run_topic *topic, struct check_partition *partition,
                           const struct cairn_error *error) {
  worker_error(worker, topic, "tail", error);
  if (check_partition_is_deleted(partition) || strcmp(error->reason, "BELOW_START") != 0) return -1;
  const struct check_look look = {0};
  check_look_end(partition, &look, -1, error->next_offset);
  return error->next_offset;
}

static void follow(struct worker *worker, struct run_topic *topic, uint32_t number, struct cairn_consumer *consumer) {
  struct run *run = worker->run;
  struct check_partition *partition = topic->partitions[number];
  int64_t position = -1;
  uint64_t steps = 20 + sim_random_below(&worker->chance, 400);
  for (uint64_t i = 0; i < steps && !run->stopping && topic->stage == TOPIC_LIVE; i++) {
    struct cairn_record record;
    struct cairn_error error = {0};
    run_call_begin(run);
    int code = cairn_consumer_next(consumer, (uint32_t)sim_random_below(&worker->chance, run->plan->wait_ms), &record, &error);
    run_call_end(run);
    if (code == CAIRN_OK) {
      if (position >= 0 && record.offset != position)
        checker_violation(run->checker, "L3 dense", "%s/%u: a consumer at offset %lld was given %lld", topic->name, number,
                          (long long)position, (long long)record.offset);
      check_record(partition, &record);
      position = record.offset + 1;
    } else if (code != CAIRN_WAIT) {
      run_trace(run, worker->name, "tail %s/%u at=%lld -> %s", topic->name, number, (long long)position, error.reason);
      position = after_error(worker, topic, partition, &error);
      if (position < 0) return;
      cairn_consumer_seek(consumer, position);
    }
    if (sim_random_chance(&worker->chance, 1)) {
      position = draw_offset(worker, partition);
      cairn_consumer_seek(consumer, position);
    }
  }
  run_trace(run, worker->name, "tail %s/%u at=%lld ends", topic->name, number, (long long)position);
}

void workload_tailer(void *context) {
  struct worker *worker = context;
  while (!worker->run->stopping) {
    uint32_t number = 0;
    struct run_topic *topic = worker_pick(worker, &number);
    if (topic == NULL) continue;
    const struct cairn_consumer_options options = {
        .from = draw_position(worker, topic->partitions[number]),
        .message_bytes = (uint32_t)(256u << sim_random_below(&worker->chance, 12)),
        .prefetch_bytes = 1000u << sim_random_below(&worker->chance, 12),
        .retry_timeout_ms = 5000,
    };
    struct cairn_consumer *consumer = NULL;
    int code = cairn_consumer_new(worker->client, topic->name, number, &options, &consumer, NULL);
    CHECK(code == CAIRN_OK);
    follow(worker, topic, number, consumer);
    cairn_consumer_free(consumer);
    worker_think(worker);
  }
}

/* ---- At the end ---- */

#define PATIENCE_READS 1000u /* each 10 ms apart */

static bool read_partition(struct worker *worker, struct run_topic *topic, uint32_t number, char *out_why, size_t size) {
  struct check_partition *partition = topic->partitions[number];
  struct cairn_partition_state state = {0};
  struct cairn_error error = {0};
  const struct check_look look = check_look_begin(partition);
  if (cairn_partition_describe(worker->client, topic->name, number, &state, &error) != CAIRN_OK) goto failed;
  /* After rot only what is told to be there counts, and that nothing that is shown is wrong. */
  if (!worker->run->rotten) check_look_end(partition, &look, state.high_watermark, state.log_start_offset);
  if (worker->run->rotten && state.high_watermark < look.end && state.damaged_count == 0 && !state.fenced)
    checker_violation(worker->run->checker, "L6 rot-is-named",
                      "%s/%u: the log is said to end at %lld, and no damage is told; it ended at %lld", topic->name, number,
                      (long long)state.high_watermark, (long long)look.end);
  int64_t offset = state.log_start_offset;
  unsigned patience = PATIENCE_READS;
  while (offset >= 0 && offset < state.high_watermark) {
    int64_t next = read_once(worker, topic, number, offset, NULL, &error);
    if (next == offset && worker->run->plan->nodes > 1 && patience-- > 0) { /* a replica that is still catching up */
      sim_app_sleep(worker->app, 10000000);
      continue;
    }
    if (next < 0 && strcmp(error.reason, "BELOW_START") == 0) next = error.next_offset; /* retention */
    if (next < 0 && worker->run->rotten && error.code == CAIRN_DATA_LOSS && error.has_next_offset) next = error.next_offset;
    if (next <= offset) goto failed;
    offset = next;
  }
  if (!worker->run->rotten) check_final(partition, state.log_start_offset, state.high_watermark);
  return true;

failed:
  if (worker->run->rotten && error.code == CAIRN_DATA_LOSS) return true;
  worker_error(worker, topic, "final read", &error);
  snprintf(out_why, size, "%s/%u cannot be read: %s: %.200s", topic->name, number, error.reason, error.message);
  return false;
}

bool workload_read_all(struct worker *worker, char *out_why, size_t size) {
  struct run *run = worker->run;
  for (unsigned i = 0; i < run->topic_count; i++) {
    struct run_topic *topic = &run->topics[i];
    if (topic->stage != TOPIC_LIVE) continue;
    for (uint32_t number = 0; number < topic->partition_count; number++) {
      if (!read_partition(worker, topic, number, out_why, size)) return false;
    }
  }
  return true;
}
