/* Founding over gRPC and on real directories: three brokers, then one of them from those that run. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/memory.h"
#include "base/os/world_os.h"
#include "log/identity.h"
#include "proto/rpc_grpc.h"
#include "server/founding_run.h"
#include "server/meet.h"

#define BROKERS 3u

struct broker {
  char directory[256];
  struct world *world;
  struct options options;
  uint16_t port;
  pthread_t thread;
  enum status status;
  struct founding_result result;
};

static struct broker brokers[BROKERS];
static struct account *account;

static enum status serve(struct broker *broker, const char *listen, const struct log_identity *identity, uint16_t *out_port) {
  union {
    const struct log_identity *in;
    void *out;
  } service = {.in = identity}; /* only read */
  struct rpc_serve_options options = {.listen = listen,
                                      .handlers = &meet_running_handler,
                                      .handler_count = 1,
                                      .service = service.out,
                                      .message_bytes_max = MEET_BYTES_MAX,
                                      .memory_bytes_max = 16u << 20,
                                      .streams_max = 100,
                                      .calls_max = 100,
                                      .account = account};
  return rpc_serve(broker->world->peers, &options, out_port);
}

static int set_up(void **state) {
  (void)state;
  account = account_new(NULL, 16u << 20);
  const char *base = getenv("TEST_TMPDIR");
  static const struct log_identity nobody;
  for (uint32_t i = 0; i < BROKERS; i++) {
    struct broker *broker = &brokers[i];
    snprintf(broker->directory, sizeof broker->directory, "%.200s/founding.XXXXXX", base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(broker->directory));
    assert_int_equal(world_os_open(broker->directory, true, &broker->world), STATUS_OK);
    assert_int_equal(rpc_grpc_open(&broker->world->peers), STATUS_OK);
    assert_int_equal(serve(broker, "127.0.0.1:0", &nobody, &broker->port), STATUS_OK); /* a free port */
  }
  for (uint32_t i = 0; i < BROKERS; i++) {
    struct options *options = &brokers[i].options;
    rpc_serve_stop(brokers[i].world->peers, 0);
    options_init(options);
    options->broker_id = i + 1;
    snprintf(options->peer_listen, sizeof options->peer_listen, "127.0.0.1:%u", brokers[i].port);
    snprintf(options->join, sizeof options->join, "1=127.0.0.1:%u,2=127.0.0.1:%u,3=127.0.0.1:%u", brokers[0].port,
             brokers[1].port, brokers[2].port);
  }
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  for (uint32_t i = 0; i < BROKERS; i++) {
    struct broker *broker = &brokers[i];
    char command[300];
    rpc_grpc_close(broker->world->peers);
    broker->world->peers = NULL;
    world_os_close(broker->world);
    snprintf(command, sizeof command, "rm -rf '%.255s'", broker->directory);
    assert_int_equal(system(command), 0);
  }
  assert_int_equal(account_used(account), 0);
  account_free(account);
  return 0;
}

static void *found(void *context) {
  struct broker *broker = context;
  struct buffer problem;
  buffer_init(&problem, 1000);
  broker->status = founding_run(broker->world, &broker->options, NULL, &broker->result, &problem);
  if (broker->status != STATUS_OK) print_message("%.*s\n", (int)problem.size, (const char *)problem.data);
  buffer_deinit(&problem);
  if (broker->status == STATUS_OK)
    broker->status = serve(broker, broker->options.peer_listen, &broker->result.identity, &broker->port);
  return NULL;
}

static void three_brokers_found_a_cluster(void **state) {
  (void)state;
  for (uint32_t i = 0; i < BROKERS; i++) assert_int_equal(pthread_create(&brokers[i].thread, NULL, found, &brokers[i]), 0);
  for (uint32_t i = 0; i < BROKERS; i++) assert_int_equal(pthread_join(brokers[i].thread, NULL), 0);

  for (uint32_t i = 0; i < BROKERS; i++) {
    struct log_identity identity;
    assert_int_equal(brokers[i].status, STATUS_OK);
    assert_int_equal(brokers[i].result.outcome, FOUNDING_RUN_FOUNDED);
    assert_int_equal(identity_read(brokers[i].world->disk, &identity), STATUS_OK);
    assert_memory_equal(&identity, &brokers[i].result.identity, sizeof identity);
    assert_memory_equal(identity.cluster, brokers[0].result.identity.cluster, LOG_ID_SIZE);
    assert_memory_equal(identity.founders, brokers[0].result.identity.founders, sizeof identity.founders);
    assert_int_equal(identity.broker_id, i + 1);
    assert_true(identity_founded(&identity));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(three_brokers_found_a_cluster, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
