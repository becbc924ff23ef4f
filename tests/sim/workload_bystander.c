/* A thread with a topic of its own, which grows, and a producer that chooses among its partitions: what the library has to know of the map for that
 * it hears by itself, whatever breaks. Nobody looks at the records. */
#include "base/check.h"
#include "tests/sim/claims.h"
#include "tests/sim/operations.h"
#include "tests/sim/workload.h"

#define TOPIC "bystander"
#define TURN_NS 300000000u

static void try_create(struct worker *worker) {
  const struct cairn_topic_options options = {.partitions = 1, .replicas = 1};
  struct cairn_error error = {0};
  struct claims *claims = worker->run->claims;
  struct operation operation = operation_begin(worker->run, OPERATION_create);
  struct claim *claim = claim_begin(claims, "create %s %u", TOPIC, options.partitions);
  int code = cairn_topic_create(worker->client, TOPIC, &options, NULL, &error);
  claim_end(claims, claim, &error);
  operation_end(worker->run, &operation, &error);
  if (code != CAIRN_OK) worker_error(worker, NULL, "bystander", &error);
}

static void try_grow(struct worker *worker) {
  struct cairn_error error = {0};
  uint32_t wanted = 1 + (uint32_t)sim_random_below(&worker->chance, 6);
  struct claims *claims = worker->run->claims;
  struct operation operation = operation_begin(worker->run, OPERATION_grow);
  struct claim *claim = claim_begin(claims, "grow %s %u", TOPIC, wanted);
  int code = cairn_topic_grow(worker->client, TOPIC, wanted, NULL, NULL, &error);
  claim_end(claims, claim, &error);
  operation_end(worker->run, &operation, &error);
  if (code != CAIRN_OK) worker_error(worker, NULL, "bystander", &error);
}

/* In no hurry: what the topic is like is heard between two records. */
static void produce(struct worker *worker) {
  const struct run *run = worker->run;
  const struct cairn_producer_options options = {.non_blocking = true, .memory_bytes_max = 8u << 20};
  const struct cairn_message message = {.topic = TOPIC, .partition = CAIRN_ANY_PARTITION, .value = {"x", 1}};
  struct cairn_producer *producer = NULL;
  int code = cairn_producer_new(worker->client, &options, &producer, NULL);
  CHECK(code == CAIRN_OK);
  uint64_t turns = 5 + sim_random_below(&worker->chance, 60);
  for (uint64_t i = 0; i < turns && !run->stopping; i++) {
    struct cairn_error error = {0};
    code = cairn_producer_add(producer, &message, &error);
    if (code != CAIRN_OK && code != CAIRN_WAIT) worker_error(worker, NULL, "bystander", &error);
    if (!run->healed && sim_random_chance(&worker->chance, 10)) try_grow(worker);
    sim_app_sleep(worker->app, sim_random_below(&worker->chance, TURN_NS));
    (void)cairn_producer_poll(producer, 0);
  }
  cairn_producer_free(producer);
}

void workload_bystander(void *context) {
  struct worker *worker = context;
  const struct run *run = worker->run;
  while (!run->stopping) {
    if (!run->healed) try_create(worker);
    produce(worker);
  }
}
