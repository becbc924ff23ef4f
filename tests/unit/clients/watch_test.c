/* A watch of the map against brokers that say what a script tells them to: what it makes of gaps, of older maps, of brokers that end it. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/memory.h"
#include "cairn/v1/admin.pb-c.h"
#include "clients/c/cairn_admin.h"
#include "proto/failure.h"
#include "proto/pack.h"
#include "proto/rpc_grpc.h"

#define STEPS_MAX 16u
#define CALLS_MAX 4u
#define HERE "0123456789abcdef0123456789abcdef"
#define THERE "fedcba9876543210fedcba9876543210"

/* One message of a broker, or the end of a call. */
struct step {
  uint64_t follows, version;
  bool begins, partial;
  const char *cluster; /* NULL: HERE */
  uint32_t topics;     /* changes in it: topic 1, 2, ..., with so many partitions */
  enum status end;     /* not OK: the call ends with it */
};

struct teller {
  struct rpc *rpc;
  char address[32];
  pthread_mutex_t lock;
  struct step script[CALLS_MAX][STEPS_MAX]; /* by call; a step of version 0 is the last */
  unsigned calls;
  uint64_t from[CALLS_MAX]; /* what was asked */
  bool from_now[CALLS_MAX];
  char cluster[CALLS_MAX][40];
  const char *other; /* whom the first message of a call names; NULL: nobody */
};

static struct teller tellers[2];

static void send_step(const struct teller *teller, struct rpc_call *call, const struct step *step, bool first) {
  Cairn__V1__WatchClusterResponse response;
  Cairn__V1__ClusterChange changes[64], *list[64];
  Cairn__V1__Topic topics[64];
  char names[64][16];
  char *addresses[1] = {(char *)(uintptr_t)teller->other};
  cairn__v1__watch_cluster_response__init(&response);
  response.cluster_id = (char *)(uintptr_t)(step->cluster == NULL ? HERE : step->cluster);
  response.broker_id = response.controller_id = 1;
  response.follows = step->follows;
  response.version = step->version;
  response.begins = step->begins;
  response.partial = step->partial;
  response.n_addresses = first && teller->other != NULL ? 1 : 0;
  response.addresses = addresses;
  for (uint32_t i = 0; i < step->topics; i++) {
    cairn__v1__cluster_change__init(&changes[i]);
    cairn__v1__topic__init(&topics[i]);
    snprintf(names[i], sizeof names[i], "t%u", i + 1);
    topics[i].name = names[i];
    topics[i].id = i + 1;
    topics[i].partitions = 3;
    changes[i].kind = CAIRN__V1__CLUSTER_CHANGE_KIND__CLUSTER_CHANGE_KIND_TOPIC;
    changes[i].version = step->begins || step->partial ? step->version : step->follows + i + 1;
    changes[i].topic = &topics[i];
    list[i] = &changes[i];
  }
  response.n_changes = step->topics;
  response.changes = list;
  struct blob_part part = pack_part(&response.base);
  rpc_call_send(call, &part, 1);
}

static void on_watch(void *service, struct rpc_call *call, struct blob *message) {
  struct teller *teller = service;
  struct arena *arena = arena_new(PACK_ARENA_BYTES_MAX);
  const Cairn__V1__WatchClusterRequest *request = NULL;
  enum status status =
      pack_unpack(arena, &cairn__v1__watch_cluster_request__descriptor, bytes_of(message->data, message->size), &request);
  CHECK(status == STATUS_OK);
  pthread_mutex_lock(&teller->lock);
  unsigned number = teller->calls++;
  CHECK(number < CALLS_MAX);
  teller->from[number] = request->from_version;
  teller->from_now[number] = request->from_now;
  snprintf(teller->cluster[number], sizeof teller->cluster[number], "%s", request->cluster_id);
  pthread_mutex_unlock(&teller->lock);
  blob_release(message);
  arena_free(arena);
  for (unsigned i = 0; i < STEPS_MAX; i++) {
    const struct step *step = &teller->script[number][i];
    if (step->end != STATUS_OK) failure_refuse_call(call, step->end, "the script says so");
    else if (step->version != 0) send_step(teller, call, step, i == 0);
    if (step->end != STATUS_OK || step->version == 0) return;
  }
}

static const struct rpc_handler handlers[] = {
    {.method = "/cairn.v1.Admin/WatchCluster", .kind = RPC_SERVER_STREAM, .message = on_watch},
};

static void start_teller(struct teller *teller) {
  *teller = (struct teller){0};
  pthread_mutex_init(&teller->lock, NULL);
  assert_int_equal(rpc_grpc_open(&teller->rpc), STATUS_OK);
  const struct rpc_serve_options options = {.listen = "127.0.0.1:0",
                                            .handlers = handlers,
                                            .handler_count = 1,
                                            .service = teller,
                                            .message_bytes_max = 1u << 20,
                                            .memory_bytes_max = 64u << 20,
                                            .streams_max = 100,
                                            .calls_max = 100};
  uint16_t port = 0;
  assert_int_equal(rpc_serve(teller->rpc, &options, &port), STATUS_OK);
  snprintf(teller->address, sizeof teller->address, "127.0.0.1:%u", port);
}

static void stop_teller(struct teller *teller) {
  rpc_serve_stop(teller->rpc, 0);
  rpc_grpc_close(teller->rpc);
  pthread_mutex_destroy(&teller->lock);
}

/* ---- A client of both, and its watch ---- */

static struct cairn_client *client;
static struct cairn_watch *watch;
static struct cairn_error error;

static int set_up(void **state) {
  (void)state;
  for (size_t i = 0; i < 2; i++) start_teller(&tellers[i]);
  return 0;
}

static int tear_down(void **state) {
  (void)state;
  cairn_watch_free(watch);
  cairn_client_free(client);
  for (size_t i = 0; i < 2; i++) stop_teller(&tellers[i]);
  return 0;
}

/* What either side has written by now the other one sees. */
static void agree(void) {
  for (size_t i = 0; i < 2; i++) {
    pthread_mutex_lock(&tellers[i].lock);
    pthread_mutex_unlock(&tellers[i].lock);
  }
}

static void open_watch(bool both, const struct cairn_watch_options *options) {
  char servers[80];
  snprintf(servers, sizeof servers, both ? "%s,%s" : "%s", tellers[0].address, tellers[1].address);
  agree();
  const struct cairn_client_options of_client = {.servers = servers, .retry_backoff_ms = 5};
  assert_int_equal(cairn_client_new(&of_client, &client, &error), CAIRN_OK);
  assert_int_equal(cairn_watch_new(client, options, &watch, &error), CAIRN_OK);
}

/* What comes next, as words with versions. */
static void expect(const char *story) {
  char told[512] = "";
  struct cairn_change change;
  size_t at = 0, size = strlen(story);
  while (at < size) {
    int code = cairn_watch_next(watch, 10000, &change, &error);
    const char *word = code != CAIRN_OK                         ? error.reason
                       : change.kind == CAIRN_CHANGE_MAP_BEGINS ? "begins"
                       : change.kind == CAIRN_CHANGE_MAP_WHOLE  ? "whole"
                                                                : change.topic->name;
    at += (size_t)snprintf(told + at, sizeof told - at, "%s%s@%llu", at == 0 ? "" : " ", word,
                           code == CAIRN_OK ? (unsigned long long)change.version : 0ull);
    if (code != CAIRN_OK) break;
  }
  agree();
  assert_string_equal(told, story);
}

static void the_whole_map_and_what_comes_then(void **state) {
  (void)state;
  struct step *script = tellers[0].script[0];
  script[0] = (struct step){.version = 4, .begins = true, .partial = true, .topics = 1};
  script[1] = (struct step){.follows = 4, .version = 5, .topics = 1};
  script[2] = (struct step){.follows = 5, .version = 9};
  script[3] = (struct step){.follows = 9, .version = 11, .topics = 2};
  open_watch(false, NULL);
  struct cairn_change change;
  assert_int_equal(cairn_watch_next(watch, 10000, &change, &error), CAIRN_OK);
  assert_int_equal(cairn_watch_version(watch), 0); /* not yet a whole map */
  expect("t1@4 t1@5 whole@5");
  assert_int_equal(cairn_watch_version(watch), 5);
  expect("t1@10");
  assert_int_equal(cairn_watch_version(watch), 10);
  expect("t2@11");
  assert_string_equal(cairn_watch_cluster_id(watch), HERE);
  assert_int_equal(cairn_watch_next(watch, 0, &change, &error), CAIRN_WAIT);
}

static void it_goes_on_at_another_broker_from_where_it_was(void **state) {
  (void)state;
  tellers[0].script[0][0] = (struct step){.version = 4, .begins = true, .topics = 1};
  tellers[0].script[0][1] = (struct step){.follows = 4, .version = 5, .topics = 1};
  tellers[0].script[0][2] = (struct step){.end = STATUS_DRAINING};
  tellers[1].script[0][0] = (struct step){.follows = 5, .version = 7, .topics = 2};
  tellers[0].other = tellers[1].address;
  open_watch(false, NULL); /* which the client was not told of */
  expect("begins@4 t1@4 whole@4 t1@5 t1@6 t2@7");
  assert_int_equal(tellers[1].from[0], 5);
  assert_string_equal(tellers[1].cluster[0], HERE);
}

static void from_a_version_with_its_cluster(void **state) {
  (void)state;
  tellers[0].script[0][0] = (struct step){.follows = 20, .version = 21, .topics = 1};
  open_watch(false, &(struct cairn_watch_options){.from_version = 20, .cluster_id = HERE});
  assert_int_equal(cairn_watch_version(watch), 20);
  expect("t1@21");
  assert_int_equal(tellers[0].from[0], 20);
  assert_string_equal(tellers[0].cluster[0], HERE);
}

static void from_now_on_once(void **state) {
  (void)state;
  tellers[0].script[0][0] = (struct step){.follows = 8, .version = 8};
  tellers[0].script[0][1] = (struct step){.end = STATUS_BUSY};
  tellers[1].script[0][0] = (struct step){.follows = 8, .version = 9, .topics = 1};
  open_watch(true, &(struct cairn_watch_options){.from_now = true});
  expect("t1@9");
  assert_true(tellers[0].from_now[0]);
  assert_false(tellers[1].from_now[0]);
  assert_int_equal(tellers[1].from[0], 8);
}

static void a_gap_is_an_error(void **state) {
  (void)state;
  tellers[0].script[0][0] = (struct step){.version = 4, .begins = true, .topics = 1};
  tellers[0].script[0][1] = (struct step){.follows = 5, .version = 6, .topics = 1};
  open_watch(true, NULL);
  expect("begins@4 t1@4 whole@4 MALFORMED@0");
  assert_non_null(strstr(error.message, "does not follow"));
  expect("MALFORMED@0"); /* and stays one */
}

static void another_cluster_is_an_error(void **state) {
  (void)state;
  tellers[0].script[0][0] = (struct step){.version = 4, .begins = true};
  tellers[0].script[0][1] = (struct step){.end = STATUS_DRAINING};
  tellers[1].script[0][0] = (struct step){.follows = 4, .version = 5, .cluster = THERE, .topics = 1};
  open_watch(true, NULL);
  expect("begins@4 whole@4 MALFORMED@0");
}

/* What was told of a whole map was not all of it; who is asked for it anew is behind. */
static void an_older_map_is_not_taken(void **state) {
  (void)state;
  tellers[0].script[0][0] = (struct step){.version = 9, .begins = true};
  tellers[0].script[0][1] = (struct step){.version = 10, .begins = true, .partial = true, .topics = 1};
  tellers[0].script[0][2] = (struct step){.end = STATUS_DRAINING};
  tellers[1].script[0][0] = (struct step){.version = 8, .begins = true, .topics = 2};
  tellers[0].script[1][0] = (struct step){.version = 11, .begins = true, .topics = 1};
  open_watch(true, NULL);
  expect("begins@9 whole@9 begins@10 t1@10 begins@11 t1@11 whole@11");
  assert_int_equal(tellers[1].from[0], 0);
}

/* Whoever asks from a version gets the whole map from who knows that the version is none: also an older one. */
static void what_the_cluster_has_lost_is_lost(void **state) {
  (void)state;
  tellers[0].script[0][0] = (struct step){.version = 3, .begins = true, .topics = 1};
  open_watch(false, &(struct cairn_watch_options){.from_version = 20});
  expect("begins@3 t1@3 whole@3");
}

static void what_no_retry_helps_ends_it(void **state) {
  (void)state;
  tellers[0].script[0][0] = (struct step){.end = STATUS_FOREIGN};
  open_watch(true, &(struct cairn_watch_options){.from_version = 3, .cluster_id = THERE});
  expect("FOREIGN@0");
  assert_int_equal(tellers[1].calls, 0);
}

static void options_that_make_no_sense_are_refused(void **state) {
  (void)state;
  static const char *names[CAIRN_WATCH_TOPICS_MAX + 1];
  struct cairn_watch *none = NULL;
  for (size_t i = 0; i <= CAIRN_WATCH_TOPICS_MAX; i++) names[i] = "t";
  open_watch(false, NULL);
  const struct cairn_watch_options many = {.topics = names, .topic_count = CAIRN_WATCH_TOPICS_MAX + 1};
  assert_int_equal(cairn_watch_new(client, &many, &none, &error), CAIRN_INVALID_ARGUMENT);
  names[0] = "";
  const struct cairn_watch_options nameless = {.topics = names, .topic_count = 1};
  assert_int_equal(cairn_watch_new(client, &nameless, &none, &error), CAIRN_INVALID_ARGUMENT);
  const struct cairn_watch_options twice = {.from_version = 1, .from_now = true};
  assert_int_equal(cairn_watch_new(client, &twice, &none, &error), CAIRN_INVALID_ARGUMENT);
  assert_null(none);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_whole_map_and_what_comes_then),
      TEST(it_goes_on_at_another_broker_from_where_it_was),
      TEST(from_a_version_with_its_cluster),
      TEST(from_now_on_once),
      TEST(a_gap_is_an_error),
      TEST(another_cluster_is_an_error),
      TEST(an_older_map_is_not_taken),
      TEST(what_the_cluster_has_lost_is_lost),
      TEST(what_no_retry_helps_ends_it),
      TEST(options_that_make_no_sense_are_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
