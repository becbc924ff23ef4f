#include "tests/unit/controller/crew.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/trace.h"

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
static void topic_grown(void *context, const struct map_topic *topic, uint32_t first) {
  (void)first;
  tell(context, "grown", topic->name);
}
static void topic_deleted(void *context, const struct map_topic *topic) { tell(context, "deleted", topic->name); }
static void registered(void *context, const struct map_broker *broker) { tell(context, "broker", broker->advertised); }

static void leader_changed(void *context, bool here, broker_id leader) {
  struct member *member = context;
  member->leads = here;
  member->leader = leader;
}

/* ---- Starting and stopping ---- */

static struct replica_id id_of(broker_id broker) { return (struct replica_id){.broker = broker, .incarnation = {broker, 1}}; }

static void partition_placed(void *context, const struct map_topic *topic, uint32_t partition, const struct map_move *move) {
  ((struct member *)context)->placed++;
  (void)topic;
  (void)partition;
  (void)move;
}

static void caught_up(void *context, const struct cluster_map *map) {
  struct member *member = context;
  assert_ptr_equal(controller_map(member->controller), map);
  member->caught_up++;
}

static void outgrown(void *context, uint32_t level) { ((struct member *)context)->outgrown = level; }

static void open_controller(void *context) {
  struct member *member = context;
  struct replica_options options = {.self = id_of(member->stage.broker), .founding = &member->crew->founding};
  struct controller_watch watch = {.topic_created = topic_created,
                                   .topic_altered = topic_altered,
                                   .topic_grown = topic_grown,
                                   .topic_deleted = topic_deleted,
                                   .partition_placed = partition_placed,
                                   .caught_up = caught_up,
                                   .context = member,
                                   .outgrown = outgrown,
                                   .outgrown_context = member};
  assert_int_equal(controller_open(sim_world_doors(member->stage.node), member->stage.lane, member->stage.log[0], &options,
                                   member->features, &watch, &member->controller),
                   STATUS_OK);
  controller_watch_brokers(member->controller,
                           &(struct broker_watch){.registered = registered, .leader_changed = leader_changed, .context = member});
}

static void start_controller(void *context) { controller_start(((struct member *)context)->controller); }

static void found_controller(void *context) {
  struct member *member = context;
  stage_make_log(&member->stage, 0);
  open_controller(member);
  start_controller(member);
}

void crew_start(struct crew *crew, broker_id broker) {
  struct member *member = &crew->members[broker];
  struct replica_id id = id_of(broker);
  member->told[0] = '\0';
  member->caught_up = 0;
  member->placed = 0;
  member->outgrown = 0;
  member->leader = 0;
  member->leads = false;
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

static void end_process(struct member *member) {
  controller_free(member->controller);
  member->controller = NULL;
  stage_close(&member->stage);
  wires_leave(member->stage.peers);
}

void crew_stop(struct member *member) {
  wires_silence(member->stage.peers);
  stage_stop(&member->stage, false);
  end_process(member);
}

void crew_crash(struct member *member) {
  wires_silence(member->stage.peers);
  stage_kill(&member->stage);
  end_process(member);
  sim_disk_power_cut(member->stage.device, SIM_POWER_DROP, 1);
}

static void drop_line(void *context, const char *line) {
  (void)context;
  (void)line;
}

int crew_set_up(void **state) {
  struct crew *crew = NEW(struct crew);
  trace_set_sink(drop_line, NULL);
  crew->sim = sim_new(5);
  crew->timing = (struct raft_timing){.election_ns = 1000u * MS_NS, .heartbeat_ns = 100 * MS_NS};
  wires_init(&crew->wires, crew->sim, 9, &crew->timing);
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) {
    struct replica_id id = id_of(broker);
    crew->members[broker].crew = crew;
    crew->members[broker].features = feature_range_own(0);
    raft_config_add(&crew->founding, &id, RAFT_VOTER, RAFT_VOTER);
    stage_init_in(&crew->members[broker].stage, crew->sim, broker);
  }
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) crew_start(crew, broker);
  *state = crew;
  return 0;
}

int crew_tear_down(void **state) {
  struct crew *crew = *state;
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) crew_stop(&crew->members[broker]);
  wires_deinit(&crew->wires);
  for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) stage_deinit(&crew->members[broker].stage);
  sim_free(crew->sim);
  memory_free(crew);
  trace_set_sink(NULL, NULL);
  return 0;
}

/* ---- Changes ---- */

void crew_run_ms(struct crew *crew, unsigned ms) { sim_run_for(crew->sim, (uint64_t)ms * MS_NS); }

broker_id crew_leader(struct crew *crew) {
  for (int i = 0; i < 1000; i++) {
    for (broker_id broker = 1; broker <= CREW_BROKERS; broker++) {
      const struct controller *controller = crew->members[broker].controller;
      if (controller != NULL && controller_leads(controller)) return broker;
    }
    crew_run_ms(crew, 10);
  }
  fail_msg("nobody leads");
  return 0;
}

static void change_done(struct change *change) { container_of(change, struct request, change)->answered = true; }
static void ask(void *context) {
  struct request *request = context;
  controller_change(request->member->controller, &request->change);
}

void crew_ask(struct crew *crew, broker_id broker, const struct change *wanted, struct request *out_request) {
  *out_request = (struct request){.change = *wanted, .member = &crew->members[broker]};
  out_request->change.done = change_done;
  stage_on_lane(&out_request->member->stage, ask, out_request);
}

enum status crew_answer(struct crew *crew, struct request *request) {
  for (int i = 0; i < 1000 && !request->answered; i++) crew_run_ms(crew, 10);
  assert_true(request->answered);
  return request->change.status;
}

void crew_change(struct crew *crew, const struct change *wanted) {
  struct request request;
  crew_ask(crew, crew_leader(crew), wanted, &request);
  assert_int_equal(crew_answer(crew, &request), STATUS_OK);
}

void crew_isolate(struct crew *crew, broker_id broker) {
  for (broker_id other = 1; other <= CREW_BROKERS; other++)
    if (other != broker) crew->wires.cut[broker][other] = crew->wires.cut[other][broker] = true;
}

static void register_broker(struct crew *crew, broker_id broker, const char *advertised, const char *rack) {
  struct change wanted = {.kind = COMMAND_REGISTER_BROKER, .broker = {.id = broker}};
  snprintf(wanted.broker.rack, sizeof wanted.broker.rack, "%s", rack);
  wanted.broker.incarnation[0] = (uint8_t)broker; /* as id_of() has it, little endian */
  wanted.broker.incarnation[8] = 1;
  snprintf(wanted.broker.advertised, sizeof wanted.broker.advertised, "%s", advertised);
  snprintf(wanted.broker.peer_address, sizeof wanted.broker.peer_address, "peer-%u:1", broker);
  crew_change(crew, &wanted);
}

void crew_register(struct crew *crew, broker_id broker, const char *advertised) { register_broker(crew, broker, advertised, ""); }
void crew_register_in_rack(struct crew *crew, broker_id broker, const char *rack) {
  register_broker(crew, broker, "there:1", rack);
}

struct change change_of_topic(enum command_kind kind, const char *name) {
  struct change wanted = {.kind = kind, .partition_count = 100, .settings = topic_settings_default};
  snprintf(wanted.name, sizeof wanted.name, "%s", name);
  if (kind == COMMAND_ALTER_TOPIC) wanted.settings.retention_ms = 1234567;
  wanted.set_retention_ms = kind == COMMAND_ALTER_TOPIC;
  return wanted;
}
