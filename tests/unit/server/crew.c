#include "tests/unit/server/crew.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/trace.h"

static void drop_line(void *context, const char *line) {
  (void)context;
  (void)line;
}

/* ---- Starting and stopping ---- */

static struct replica_id id_of(broker_id broker) { return (struct replica_id){.broker = broker, .incarnation = {broker, 1}}; }

void crew_address_of(broker_id broker, char out_address[FAILURE_LEADER_SIZE]) {
  snprintf(out_address, FAILURE_LEADER_SIZE, "broker-%u:7411", broker);
}

static bool address_of(void *context, broker_id broker, char out_address[FAILURE_LEADER_SIZE]) {
  (void)context;
  crew_address_of(broker, out_address);
  return true;
}

static void open_partition(void *context) {
  struct member *member = context;
  struct partition_place place = {.topic_id = 1, .group = GROUP, .instance = 1, .founding = &member->crew->founding};
  assert_int_equal(partition_open(&member->host, member->stage.log[GROUP], &place, &topic_settings_default, &member->partition),
                   STATUS_OK);
}

static void make_partition(void *context) {
  struct member *member = context;
  stage_make_log(&member->stage, GROUP);
  open_partition(member);
  partition_start(member->partition);
}

static void edge_came(void *context, broker_id broker, enum peer_edge edge) {
  struct member *member = context;
  if (member->host.loop != NULL) partition_host_edge(&member->host, broker, edge);
}

static void start(struct crew *crew, broker_id broker) {
  struct member *member = &crew->members[broker];
  struct replica_id id = id_of(broker);
  member->stage.peers = wires_join(&crew->wires, &id);
  member->stage.timing = &crew->timing;
  member->stage.watch = edge_came;
  member->stage.watch_context = member;
  stage_open(&member->stage);
  member->inflater = offload_new(sim_world_doors(member->stage.node), "inflater");
  member->host = (struct partition_host){.lane = member->stage.lane,
                                         .loop = lane_loop(member->stage.lane),
                                         .inflater = member->inflater,
                                         .self = id,
                                         .uncompressed_bytes_max = 1u << 20,
                                         .waiters_max = 20,
                                         .append_stall_ns = SECOND_NS,
                                         .retention_interval_ns = 3600 * SECOND_NS,
                                         .producers_max = 10,
                                         .leads.settings = {.after_ns = 3 * SECOND_NS, .hold_ns = 20 * SECOND_NS},
                                         .address_of = address_of};
  partition_host_init(&member->host);
  stage_on_lane(&member->stage, make_partition, member);
}

static void free_inflater(void *context) { offload_free(((struct member *)context)->inflater); }

static void stop(struct member *member) {
  wires_silence(member->stage.peers);
  stage_blocking(&member->stage, free_inflater, member);
  stage_stop(&member->stage, false);
  partition_host_close(&member->host);
  partition_release(member->partition);
  stage_close(&member->stage);
  wires_leave(member->stage.peers);
}

int crew_set_up(void **state) {
  struct crew *crew = NEW(struct crew);
  trace_set_sink(drop_line, NULL);
  crew->sim = sim_new(5);
  crew->timing = (struct raft_timing){.election_ns = SECOND_NS, .heartbeat_ns = 100 * MS_NS};
  wires_init(&crew->wires, crew->sim, 9, &crew->timing);
  for (broker_id broker = 1; broker <= BROKERS; broker++) {
    struct replica_id id = id_of(broker);
    crew->members[broker].crew = crew;
    crew->members[broker].stage.forgets = true;
    raft_config_add(&crew->founding, &id, RAFT_VOTER, RAFT_VOTER);
    stage_init_in(&crew->members[broker].stage, crew->sim, broker);
  }
  for (broker_id broker = 1; broker <= BROKERS; broker++) start(crew, broker);
  *state = crew;
  return 0;
}

int crew_tear_down(void **state) {
  struct crew *crew = *state;
  for (broker_id broker = 1; broker <= BROKERS; broker++) stop(&crew->members[broker]);
  wires_deinit(&crew->wires);
  for (broker_id broker = 1; broker <= BROKERS; broker++) stage_deinit(&crew->members[broker].stage);
  sim_free(crew->sim);
  memory_free(crew);
  trace_set_sink(NULL, NULL);
  return 0;
}

/* ---- Waiting ---- */

void crew_run_ms(struct crew *crew, unsigned ms) { sim_run_for(crew->sim, (uint64_t)ms * MS_NS); }

struct description {
  struct partition_describe request;
  struct member *member;
  bool done;
};

static void described(struct partition_describe *request) { container_of(request, struct description, request)->done = true; }

static void describe(void *context) {
  struct description *description = context;
  description->request.partition = description->member->partition;
  description->request.done = described;
  partition_describe(&description->request);
}

static bool is_described(void *context) { return ((struct description *)context)->done; }

broker_id crew_find_leader(struct crew *crew, broker_id not ) {
  for (unsigned tries = 0; tries < 100; tries++) {
    for (broker_id broker = 1; broker <= BROKERS; broker++) {
      struct description description = {.member = &crew->members[broker]};
      if (broker == not ) continue;
      stage_on_lane(&description.member->stage, describe, &description);
      stage_wait(&description.member->stage, is_described, &description);
      bool leads = description.request.failure == NULL && description.request.description.leader;
      memory_free(description.request.failure);
      if (leads) return broker;
    }
    crew_run_ms(crew, 100);
  }
  fail_msg("nobody leads");
  return 0;
}
