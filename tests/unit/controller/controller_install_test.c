/* Group 0 on three brokers: one whose log has rotted takes the map from the leader, and tells its watch what is otherwise than before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/trace.h"
#include "controller/controller.h"
#include "tests/unit/replication/stage.h"
#include "tests/unit/replication/wires.h"

#define BROKERS 3u
#define TOPICS 40u
#define MS_NS 1000000u

struct crew;
struct member {
  struct crew *crew;
  struct stage stage;
  struct controller *controller; /* NULL: down */
  char told[1024];               /* by the watches, of this process */
};

struct crew {
  struct sim *sim;
  struct wires wires;
  struct raft_timing timing;
  struct raft_config founding;
  struct member members[BROKERS + 1];
};

/* ---- What is told ---- */

static void tell(struct member *member, const char *what, const char *name) {
  size_t size = strlen(member->told);
  int added = snprintf(member->told + size, sizeof member->told - size, "%s %s, ", what, name);
  assert_true(added > 0 && (size_t)added < sizeof member->told - size);
}
static void topic_created(void *context, const struct map_topic *topic) {
  struct member *member = context;
  assert_ptr_equal(cluster_map_topic(controller_map(member->controller), bytes_of_string(topic->name)), topic);
  tell(member, "created", topic->name);
}
static void topic_altered(void *context, const struct map_topic *topic) { tell(context, "altered", topic->name); }
static void topic_deleted(void *context, const struct map_topic *topic) { tell(context, "deleted", topic->name); }
static void registered(void *context, const struct map_broker *broker) { tell(context, "broker", broker->advertised); }

/* ---- Starting and stopping ---- */

static struct replica_id id_of(broker_id broker) { return (struct replica_id){.broker = broker, .incarnation = {broker, 1}}; }

static void open_controller(void *context) {
  struct member *member = context;
  struct replica_options options = {.self = id_of(member->stage.broker), .founding = &member->crew->founding};
  struct controller_watch watch = {
      .topic_created = topic_created, .topic_altered = topic_altered, .topic_deleted = topic_deleted, .context = member};
  assert_int_equal(controller_open(sim_world_doors(member->stage.node), member->stage.lane, member->stage.log[0], &options,
                                   &watch, &member->controller),
                   STATUS_OK);
  controller_watch_brokers(member->controller, &(struct broker_watch){.registered = registered, .context = member});
}

static void start_controller(void *context) { controller_start(((struct member *)context)->controller); }

static void found_controller(void *context) {
  struct member *member = context;
  stage_make_log(&member->stage, 0);
  open_controller(member);
  start_controller(member);
}

static void start(struct crew *crew, broker_id broker) {
  struct member *member = &crew->members[broker];
  struct replica_id id = id_of(broker);
  member->told[0] = '\0';
  member->stage.peers = wires_join(&crew->wires, &id);
  member->stage.timing = &crew->timing;
  stage_open(&member->stage);
  if (member->stage.log[0] == NULL) {
    stage_on_lane(&member->stage, found_controller, member);
    return;
  }
  stage_blocking(&member->stage, open_controller, member);
  stage_on_lane(&member->stage, start_controller, member);
}

static void stop(struct member *member) {
  wires_silence(member->stage.peers);
  stage_stop(&member->stage, false);
  controller_free(member->controller);
  member->controller = NULL;
  stage_close(&member->stage);
  wires_leave(member->stage.peers);
}

static void drop_line(void *context, const char *line) {
  (void)context;
  (void)line;
}

static int set_up(void **state) {
  struct crew *crew = NEW(struct crew);
  trace_set_sink(drop_line, NULL);
  crew->sim = sim_new(5);
  crew->timing = (struct raft_timing){.election_ns = 1000u * MS_NS, .heartbeat_ns = 100 * MS_NS};
  wires_init(&crew->wires, crew->sim, 9, &crew->timing);
  for (broker_id broker = 1; broker <= BROKERS; broker++) {
    struct replica_id id = id_of(broker);
    crew->members[broker].crew = crew;
    raft_config_add(&crew->founding, &id, RAFT_VOTER, RAFT_VOTER);
    stage_init_in(&crew->members[broker].stage, crew->sim, broker);
  }
  for (broker_id broker = 1; broker <= BROKERS; broker++) start(crew, broker);
  *state = crew;
  return 0;
}

static int tear_down(void **state) {
  struct crew *crew = *state;
  for (broker_id broker = 1; broker <= BROKERS; broker++) stop(&crew->members[broker]);
  wires_deinit(&crew->wires);
  for (broker_id broker = 1; broker <= BROKERS; broker++) stage_deinit(&crew->members[broker].stage);
  sim_free(crew->sim);
  memory_free(crew);
  trace_set_sink(NULL, NULL);
  return 0;
}

/* ---- Changes ---- */

static void run_ms(struct crew *crew, unsigned ms) { sim_run_for(crew->sim, (uint64_t)ms * MS_NS); }

static broker_id leader_of(struct crew *crew) {
  for (int i = 0; i < 1000; i++) {
    for (broker_id broker = 1; broker <= BROKERS; broker++) {
      const struct controller *controller = crew->members[broker].controller;
      if (controller != NULL && controller_leads(controller)) return broker;
    }
    run_ms(crew, 10);
  }
  fail_msg("nobody leads");
  return 0;
}

struct request {
  struct change change;
  struct member *member;
  bool answered;
};
static void change_done(struct change *change) { container_of(change, struct request, change)->answered = true; }
static void ask(void *context) {
  struct request *request = context;
  controller_change(request->member->controller, &request->change);
}

static void change(struct crew *crew, const struct change *wanted) {
  struct request request = {.change = *wanted, .member = &crew->members[leader_of(crew)]};
  request.change.done = change_done;
  stage_on_lane(&request.member->stage, ask, &request);
  for (int i = 0; i < 1000 && !request.answered; i++) run_ms(crew, 10);
  assert_true(request.answered);
  assert_int_equal(request.change.status, STATUS_OK);
}

static void register_broker(struct crew *crew, broker_id broker, const char *advertised) {
  struct change wanted = {.kind = COMMAND_REGISTER_BROKER, .broker = {.id = broker, .incarnation = {1}}};
  snprintf(wanted.broker.advertised, sizeof wanted.broker.advertised, "%s", advertised);
  snprintf(wanted.broker.peer_address, sizeof wanted.broker.peer_address, "peer-%u:1", broker);
  change(crew, &wanted);
}

static void of_topic(struct crew *crew, enum command_kind kind, const char *name) {
  struct change wanted = {.kind = kind, .partition_count = 100, .settings = topic_settings_default};
  snprintf(wanted.name, sizeof wanted.name, "%s", name);
  if (kind == COMMAND_ALTER_TOPIC) wanted.settings.retention_ms = 1234567;
  wanted.set_retention_ms = kind == COMMAND_ALTER_TOPIC;
  change(crew, &wanted);
}

static void assert_equal_maps(const struct member *a, const struct member *b) {
  const struct cluster_map *one = controller_map(a->controller), *other = controller_map(b->controller);
  assert_int_equal(cluster_map_topic_count(one), cluster_map_topic_count(other));
  const struct map_topic *topic = cluster_map_topic_after(one, bytes_of_string(""));
  for (; topic != NULL; topic = cluster_map_topic_after(one, bytes_of_string(topic->name))) {
    const struct map_topic *same = cluster_map_topic_by_id(other, topic->id);
    assert_non_null(same);
    assert_string_equal(same->name, topic->name);
    assert_int_equal(same->settings.retention_ms, topic->settings.retention_ms);
  }
  assert_int_equal(cluster_map_broker_count(one), cluster_map_broker_count(other));
}

static void a_rotten_group_0_takes_the_map_and_tells_what_is_new(void **state) {
  struct crew *crew = *state;
  char name[16];
  for (broker_id broker = 1; broker <= BROKERS; broker++) register_broker(crew, broker, "first:1");
  broker_id rotten = leader_of(crew) % BROKERS + 1;
  struct member *member = &crew->members[rotten];
  for (unsigned i = 0; i < TOPICS; i++) {
    snprintf(name, sizeof name, "t%02u", i);
    of_topic(crew, COMMAND_CREATE_TOPIC, name);
    if (i == TOPICS / 2) stage_checkpoint(&member->stage); /* what it knows when it starts */
  }
  run_ms(crew, 2000);
  stop(member);
  assert_true(sim_disk_flip(member->stage.device, "journal/0*", 250000, 0xff) > 0);
  start(crew, rotten);
  assert_true(log_view(member->stage.log[0]).damaged);
  size_t known = cluster_map_topic_count(controller_map(member->controller));
  assert_true(known < TOPICS && known > 2);
  crew->wires.cut[leader_of(crew)][rotten] = true; /* until there is something new */
  of_topic(crew, COMMAND_CREATE_TOPIC, "newest");
  of_topic(crew, COMMAND_ALTER_TOPIC, "t01");
  of_topic(crew, COMMAND_DELETE_TOPIC, "t00");
  register_broker(crew, rotten, "second:2");

  wires_heal(&crew->wires);
  run_ms(crew, 20000);

  assert_equal_maps(&crew->members[leader_of(crew)], member);
  assert_non_null(strstr(member->told, "deleted t00, "));
  assert_non_null(strstr(member->told, "created newest, "));
  assert_non_null(strstr(member->told, "altered t01, "));
  assert_non_null(strstr(member->told, "broker second:2, "));
  assert_null(strstr(member->told, "created t01, "));
  of_topic(crew, COMMAND_CREATE_TOPIC, "after");
  run_ms(crew, 1000);
  assert_equal_maps(&crew->members[leader_of(crew)], member);

  stop(member);
  start(crew, rotten);
  run_ms(crew, 2000);
  assert_false(log_view(member->stage.log[0]).damaged);
  assert_equal_maps(&crew->members[leader_of(crew)], member);
  assert_null(strstr(member->told, "deleted")); /* of what is in the state nothing is told again */
  assert_null(strstr(member->told, "created newest"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(a_rotten_group_0_takes_the_map_and_tells_what_is_new, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
