/* The thread that changes the map: makes topics, trims, alters, deletes, and asks who is there. */
#include <stdio.h>
#include <string.h>

#include "tests/sim/claims.h"
#include "tests/sim/operations.h"
#include "tests/sim/workload.h"

/* ---- Making and deleting ---- */

static struct run_topic *topic_new(struct worker *worker) {
  struct run *run = worker->run;
  const struct plan *plan = run->plan;
  struct run_topic *topic = &run->topics[run->topic_count];
  *topic = (struct run_topic){.stage = TOPIC_CREATING};
  snprintf(topic->name, sizeof topic->name, "t%u", run->topic_count++);
  topic->partition_count = 1 + (uint32_t)sim_random_below(&worker->chance, plan->partitions_max);
  topic->replicas = plan->replicas_max > 1 && sim_random_chance(&worker->chance, 80) ? plan->replicas_max : plan->replicas_min;
  topic->retains = plan->retains && sim_random_chance(&worker->chance, 60);
  for (uint32_t i = 0; i < topic->partition_count; i++) {
    topic->partitions[i] = checker_partition_new(run->checker, topic->name, i, topic->retains);
  }
  return topic;
}

static void topic_created(struct worker *worker, struct run_topic *topic, const struct cairn_topic *made) {
  if (made->partitions != topic->partition_count)
    checker_violation(worker->run->checker, "A8 map-kept", "topic %s was made with %u partitions and has %u", topic->name,
                      topic->partition_count, made->partitions);
  topic->id = made->id;
  topic->stage = TOPIC_LIVE;
}

static int look_at_topic(struct worker *worker, const struct run_topic *topic, struct cairn_topic *out_topic,
                         struct cairn_error *error) {
  run_call_begin(worker->run);
  int code = cairn_topic_describe(worker->client, topic->name, out_topic, NULL, NULL, error);
  run_call_end(worker->run);
  return code;
}

/* Sometimes somebody knows better where it is to be, and looks at no racks (M3 does): each partition on brokers that follow one another. Where that is
 * refused, as some of them are about to leave, it is made as it comes. */
static size_t choose_places(struct worker *worker, uint32_t partitions, uint32_t replicas, struct cairn_place *out_places) {
  unsigned nodes = worker->run->plan->nodes;
  if (worker->run->plan->racks > 0 || replicas == 0 || replicas > nodes || !sim_random_chance(&worker->chance, 25)) return 0;
  for (uint32_t i = 0; i < partitions; i++) {
    uint64_t first = sim_random_below(&worker->chance, nodes);
    out_places[i].count = replicas;
    for (uint32_t at = 0; at < replicas; at++) out_places[i].brokers[at] = (uint32_t)((first + at) % nodes) + 1;
  }
  return partitions;
}

/* Until it is known to be there: what became of an attempt may be unknown. */
void workload_create_topic(struct worker *worker) {
  struct run *run = worker->run;
  struct run_topic *topic = topic_new(worker);
  struct cairn_topic_options options = {.partitions = topic->partition_count, .replicas = topic->replicas};
  if (topic->retains) options.config = (struct cairn_topic_config){.retention_bytes = 256 << 10, .segment_bytes = 1 << 20};
  struct cairn_place places[RUN_PARTITIONS_MAX];
  options.places = places;
  options.place_count = choose_places(worker, options.partitions, options.replicas, places);
  bool doubt = false;
  while (topic->stage == TOPIC_CREATING && !run->stopping) {
    struct cairn_topic made = {0};
    struct cairn_error error = {0};
    struct operation operation = operation_begin(run, OPERATION_create);
    struct claim *claim = claim_begin(run->claims, "create %s %u", topic->name, topic->partition_count);
    int code = cairn_topic_create(worker->client, topic->name, &options, &made, &error);
    claim_end(run->claims, claim, &error);
    operation_end(run, &operation, &error);
    if (code == CAIRN_ALREADY_EXISTS && doubt) code = look_at_topic(worker, topic, &made, &error);
    run_trace(run, worker->name, "create %s partitions=%u -> %s", topic->name, topic->partition_count,
              code == CAIRN_OK ? "OK" : error.reason);
    if (code == CAIRN_OK) {
      topic_created(worker, topic, &made);
      return;
    }
    worker_error(worker, NULL, "create", &error);
    if (code == CAIRN_ALREADY_EXISTS && !doubt)
      checker_violation(run->checker, "A1 executed-no", "topic %s exists, though every attempt to make it was refused",
                        topic->name);
    doubt = doubt || error.executed != CAIRN_EXECUTED_NO;
    options.place_count = 0;
    sim_app_sleep(worker->app, 20000000);
    if (run->plan->leaves)
      (void)workload_look_at_brokers(worker); /* there may be too few: they come back once they are seen to be gone */
  }
}

/* Until it is known to have them, or to be deleted. */
void workload_grow_topic(struct worker *worker, struct run_topic *topic) {
  struct run *run = worker->run;
  uint32_t has = topic->partition_count;
  if (has == RUN_PARTITIONS_MAX || topic->grows) return;
  uint32_t wanted = has + 1 + (uint32_t)sim_random_below(&worker->chance, RUN_PARTITIONS_MAX - has);
  struct cairn_place places[RUN_PARTITIONS_MAX];
  struct cairn_growth_options options = {.places = places,
                                         .place_count = choose_places(worker, wanted - has, topic->replicas, places)};
  topic->grows = true;
  for (uint32_t i = has; i < wanted; i++)
    topic->partitions[i] = checker_partition_new(run->checker, topic->name, i, topic->retains);
  while (topic->stage == TOPIC_LIVE && !run->stopping) {
    struct cairn_topic grown = {0};
    struct cairn_error error = {0};
    struct operation operation = operation_begin(run, OPERATION_grow);
    struct claim *claim = claim_begin(run->claims, "grow %s %u", topic->name, wanted);
    int code = cairn_topic_grow(worker->client, topic->name, wanted, &options, &grown, &error);
    claim_end(run->claims, claim, &error);
    operation_end(run, &operation, &error);
    run_trace(run, worker->name, "grow %s to %u -> %s", topic->name, wanted, code == CAIRN_OK ? "OK" : error.reason);
    if (code == CAIRN_OK) {
      if (grown.partitions != wanted)
        checker_violation(run->checker, "A8 map-kept", "topic %s was to have %u partitions and has %u", topic->name, wanted,
                          grown.partitions);
      topic->partition_count = wanted;
      break;
    }
    worker_error(worker, topic, "grow", &error);
    options.place_count = 0;
    sim_app_sleep(worker->app, 20000000);
    if (run->plan->leaves) (void)workload_look_at_brokers(worker);
  }
  topic->grows = false;
}

void workload_delete_topic(struct worker *worker, struct run_topic *topic) {
  struct run *run = worker->run;
  topic->stage = TOPIC_DELETING;
  for (uint32_t i = 0; i < RUN_PARTITIONS_MAX && topic->partitions[i] != NULL; i++) check_partition_deleted(topic->partitions[i]);
  while (topic->stage == TOPIC_DELETING && !run->stopping) {
    uint64_t id = 0;
    struct cairn_error error = {0};
    struct operation operation = operation_begin(run, OPERATION_delete);
    struct claim *claim = claim_begin(run->claims, "delete %s", topic->name);
    int code = cairn_topic_delete(worker->client, topic->name, false, &id, &error);
    claim_end(run->claims, claim, &error);
    operation_end(run, &operation, &error);
    run_trace(run, worker->name, "delete %s -> %s", topic->name, code == CAIRN_OK ? "OK" : error.reason);
    if (code == CAIRN_OK || code == CAIRN_NOT_FOUND) topic->stage = TOPIC_GONE;
    else worker_error(worker, NULL, "delete", &error);
    if (topic->stage == TOPIC_DELETING) sim_app_sleep(worker->app, 20000000);
  }
}

/* ---- Trimming ---- */

static void trim(struct worker *worker, struct run_topic *topic, uint32_t number) {
  struct run *run = worker->run;
  struct check_partition *partition = topic->partitions[number];
  int64_t start = check_partition_start(partition);
  int64_t end = check_partition_end(partition);
  int64_t before = end > start ? start + (int64_t)sim_random_below(&worker->chance, (uint64_t)(end - start)) : start;
  int64_t log_start = -1;
  struct cairn_error error = {0};
  check_trim_begin(partition, before);
  run_call_begin(run);
  int code = cairn_trim(worker->client, topic->name, number, before, &log_start, &error);
  run_call_end(run);
  run_trace(run, worker->name, "trim %s/%u before=%lld -> %s start=%lld", topic->name, number, (long long)before,
            code == CAIRN_OK ? "OK" : error.reason, (long long)log_start);
  if (code != CAIRN_OK) worker_error(worker, topic, "trim", &error);
  else if (log_start < before && !check_partition_is_deleted(partition))
    checker_violation(run->checker, "A7 trim", "%s/%u: trimmed to %lld, and the log is said to start at %lld", topic->name,
                      number, (long long)before, (long long)log_start);
  else check_trim_end(partition, log_start);
}

/* ---- Asking ---- */

struct listing {
  struct worker *worker;
  bool seen[TOPICS_MAX];
};

static void check_listed(void *context, const struct cairn_topic *found) {
  struct listing *listing = context;
  struct run *run = listing->worker->run;
  for (unsigned i = 0; i < run->topic_count; i++) {
    struct run_topic *topic = &run->topics[i];
    if (strcmp(topic->name, found->name) != 0) continue;
    listing->seen[i] = true;
    if (topic->id != 0 && topic->id != found->id)
      checker_violation(run->checker, "A8 map-kept", "topic %s has another id than before", topic->name);
  }
}

/* Live before and after: listed. Gone before: not listed. */
void workload_list_topics(struct worker *worker) {
  struct run *run = worker->run;
  struct listing listing = {.worker = worker};
  struct cairn_error error = {0};
  enum topic_stage before[TOPICS_MAX];
  unsigned count = run->topic_count;
  for (unsigned i = 0; i < count; i++) before[i] = run->topics[i].stage;
  run_call_begin(run);
  int code = cairn_topic_list(worker->client, check_listed, &listing, &error);
  run_call_end(run);
  if (code != CAIRN_OK) {
    worker_error(worker, NULL, "list", &error);
    return;
  }
  for (unsigned i = 0; i < count; i++) {
    const struct run_topic *topic = &run->topics[i];
    if (before[i] == TOPIC_LIVE && topic->stage == TOPIC_LIVE && !listing.seen[i])
      checker_violation(run->checker, "A8 map-kept", "topic %s is not listed", topic->name);
    if (before[i] == TOPIC_GONE && listing.seen[i])
      checker_violation(run->checker, "A8 map-kept", "topic %s is listed, and was deleted before", topic->name);
  }
}

static void ask_who(struct worker *worker) {
  struct run *run = worker->run;
  struct cairn_broker broker = {0};
  struct cairn_error error = {0};
  char *known = run->cluster_id;
  run_call_begin(run);
  int code = cairn_broker_describe(worker->client, &broker, &error);
  run_call_end(run);
  if (code != CAIRN_OK) {
    worker_error(worker, NULL, "broker", &error);
    return;
  }
  if (known[0] != '\0' && strcmp(known, broker.cluster_id) != 0)
    checker_violation(run->checker, "L9 identity-kept", "the cluster is called %s; it was called %s", broker.cluster_id, known);
  snprintf(known, sizeof run->cluster_id, "%s", broker.cluster_id);
}

/* Each to a value of its own. What is only tried must not be seen either. */
void workload_alter_topic(struct worker *worker, struct run_topic *topic) {
  struct run *run = worker->run;
  uint64_t number = claims_number(run->claims);
  bool tries = sim_random_chance(&worker->chance, 20);
  const struct cairn_topic_config config = {
      .record_bytes_max = 1 << 20, .has_retention_ms = true, .retention_ms = CLAIMS_RETENTION_MS + (int64_t)number};
  struct cairn_error error = {0};
  struct operation operation = operation_begin(run, OPERATION_alter);
  struct claim *claim = tries ? NULL : claim_begin(run->claims, "alter %s %llu", topic->name, (unsigned long long)number);
  int code = cairn_topic_alter(worker->client, topic->name, &config, tries, NULL, &error);
  if (claim != NULL) claim_end(run->claims, claim, &error);
  operation_end(run, &operation, &error);
  run_trace(run, worker->name, "alter %s%s -> %s", topic->name, tries ? ", perhaps" : "", code == CAIRN_OK ? "OK" : error.reason);
  if (code != CAIRN_OK) worker_error(worker, topic, "alter", &error);
}

static unsigned live_topics(const struct worker *worker) {
  unsigned live = 0;
  for (unsigned i = 0; i < worker->run->topic_count; i++) {
    if (worker->run->topics[i].stage == TOPIC_LIVE) live++;
  }
  return live;
}

static void do_something(struct worker *worker) {
  const struct plan *plan = worker->run->plan;
  if (plan->kind == PLAN_CONTROLLER && sim_random_chance(&worker->chance, 80)) {
    workload_want(worker);
    return;
  }
  if (plan->leaves && sim_random_chance(&worker->chance, 20)) (void)workload_look_at_brokers(worker);
  if (plan->leaves && !worker->run->healed && sim_random_chance(&worker->chance, 8)) workload_set_standing(worker);
  if (plan->held != 0 && sim_random_chance(&worker->chance, 10)) workload_raise_level(worker);
  uint32_t number = 0;
  uint64_t what = sim_random_below(&worker->chance, 100);
  struct run_topic *topic = worker_pick(worker, &number);
  if (topic != NULL && plan->transfers && sim_random_chance(&worker->chance, 25)) workload_transfer(worker, topic, number);
  else if (topic == NULL || what < 15) workload_list_topics(worker);
  else if (what < 25) ask_who(worker);
  else if (what < 32) workload_alter_topic(worker, topic);
  else if (what < 36 && plan->deletes) workload_delete_topic(worker, topic);
  else if (what < 60 && plan->moves && !worker->run->healed) workload_move(worker, topic, number);
  else if (what < 90 && plan->trims) trim(worker, topic, number);
  else if (plan->grows) workload_grow_topic(worker, topic);
}

void workload_admin(void *context) {
  struct worker *worker = context;
  struct run *run = worker->run;
  while (!run->stopping) {
    bool few = live_topics(worker) < run->plan->topics_max;
    if (few && run->topic_count < TOPICS_MAX) workload_create_topic(worker);
    else do_something(worker);
    sim_app_sleep(worker->app, sim_random_below(&worker->chance, 200000000));
  }
}

/* ---- At the end ---- */

static void count_moving(void *context, const struct cairn_partition *partition) {
  *(unsigned *)context += partition->moving_to_count > 0;
}

/* What moves arrives when all is well. */
static bool has_arrived(struct worker *worker, struct run_topic *topic) {
  unsigned moving = 0;
  struct cairn_error error = {0};
  run_call_begin(worker->run);
  int code = cairn_topic_describe(worker->client, topic->name, NULL, count_moving, &moving, &error);
  run_call_end(worker->run);
  if (code != CAIRN_OK) worker_error(worker, topic, "describe", &error);
  return code == CAIRN_OK ? moving == 0 : topic->stage != TOPIC_LIVE;
}

bool workload_probe(struct worker *worker) {
  struct run *run = worker->run;
  for (unsigned i = 0; i < run->topic_count; i++) {
    struct run_topic *topic = &run->topics[i];
    if (topic->stage != TOPIC_LIVE) continue;
    if (run->plan->moves && !run->stopping && !has_arrived(worker, topic)) return false;
    for (uint32_t number = 0; number < topic->partition_count; number++) {
      if (!workload_append_probe(worker, topic, number)) return false;
    }
  }
  workload_list_topics(worker);
  return true;
}
