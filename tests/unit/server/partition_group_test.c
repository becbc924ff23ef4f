/* A partition on three brokers: who answers what, and what becomes of appends when their leader falls. With a small network in the place of
 * the wires between brokers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/codec.h"
#include "base/memory.h"
#include "base/trace.h"
#include "base/wire.h"
#include "server/partition.h"
#include "tests/unit/replication/stage.h"
#include "tests/unit/replication/wires.h"

#define BROKERS 3u
#define GROUP 1u
#define MS_NS 1000000u
#define SECOND_NS ((uint64_t)1000000000u)

struct crew;
struct member {
  struct crew *crew;
  struct stage stage;
  struct inflater *inflater;
  struct partition_host host;
  struct partition *partition;
};

struct crew {
  struct sim *sim;
  struct wires wires;
  struct raft_timing timing;
  struct raft_config founding;
  struct member members[BROKERS + 1];
};

static void drop_line(void *context, const char *line) {
  (void)context;
  (void)line;
}

/* ---- Starting and stopping ---- */

static struct replica_id id_of(broker_id broker) { return (struct replica_id){.broker = broker, .incarnation = {broker, 1}}; }

static bool address_of(void *context, broker_id broker, char out_address[FAILURE_LEADER_SIZE]) {
  (void)context;
  snprintf(out_address, FAILURE_LEADER_SIZE, "broker-%u:7411", broker);
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

static void start(struct crew *crew, broker_id broker) {
  struct member *member = &crew->members[broker];
  struct replica_id id = id_of(broker);
  member->stage.peers = wires_join(&crew->wires, &id);
  member->stage.timing = &crew->timing;
  stage_open(&member->stage);
  member->inflater = inflater_new(sim_world_doors(member->stage.node));
  member->host = (struct partition_host){.lane = member->stage.lane,
                                         .loop = lane_loop(member->stage.lane),
                                         .inflater = member->inflater,
                                         .self = id,
                                         .uncompressed_bytes_max = 1u << 20,
                                         .waiters_max = 20,
                                         .append_stall_ns = SECOND_NS,
                                         .retention_interval_ns = 3600 * SECOND_NS,
                                         .producers_max = 10,
                                         .address_of = address_of};
  partition_host_init(&member->host);
  stage_on_lane(&member->stage, make_partition, member);
}

static void free_inflater(void *context) { inflater_free(((struct member *)context)->inflater); }

static void stop(struct member *member) {
  wires_silence(member->stage.peers);
  stage_blocking(&member->stage, free_inflater, member);
  stage_stop(&member->stage, false);
  partition_host_close(&member->host);
  partition_release(member->partition);
  stage_close(&member->stage);
  wires_leave(member->stage.peers);
}

static int set_up(void **state) {
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

/* ---- Waiting ---- */

static void run_ms(struct crew *crew, unsigned ms) { sim_run_for(crew->sim, (uint64_t)ms * MS_NS); }

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

/* Who says of itself that it leads, and was confirmed. */
static broker_id find_leader(struct crew *crew, broker_id not ) {
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
    run_ms(crew, 100);
  }
  fail_msg("nobody leads");
  return 0;
}

/* ---- Appends and reads ---- */

struct append {
  struct partition_append append;
  struct member *member;
  char producer[16];
  bool done;
};

static void appended(struct partition_append *append) { container_of(append, struct append, append)->done = true; }
static bool is_appended(void *context) { return ((struct append *)context)->done; }

/* One record, and behind it the producer's name, in one blob, as a request comes. */
static void hand_in(void *context) {
  struct append *append = context;
  const char *value = "value";
  uint8_t record[64];
  size_t size = (size_t)(wire_put_bytes(record, 2, bytes_of_string(value)) - record);
  uint8_t head[16];
  size_t head_size = (size_t)(wire_put_bytes_head(head, 1, size) - head);
  struct blob *blob = NULL;
  size_t name_size = strlen(append->producer);
  assert_int_equal(blob_new(NULL, head_size + size + name_size, &blob), STATUS_OK);
  memcpy(blob->data, head, head_size);
  memcpy(blob->data + head_size, record, size);
  memcpy(blob->data + head_size + size, append->producer, name_size);
  append->append.partition = append->member->partition;
  append->append.message = blob;
  append->append.request.payload = bytes_of(blob->data, head_size + size);
  append->append.request.producer = bytes_of(blob->data + head_size + size, name_size);
  append->append.patience_ns = UINT64_MAX;
  append->append.done = appended;
  partition_append(&append->append);
}

static void begin_append(struct crew *crew, struct append *append, broker_id broker, const char *producer) {
  *append = (struct append){.member = &crew->members[broker]};
  snprintf(append->producer, sizeof append->producer, "%s", producer);
  stage_on_lane(&append->member->stage, hand_in, append);
}

static void wait_append(struct append *append) { stage_wait(&append->member->stage, is_appended, append); }

static record_offset append_ok(struct crew *crew, broker_id broker, const char *producer) {
  struct append append;
  begin_append(crew, &append, broker, producer);
  wait_append(&append);
  assert_null(append.append.failure);
  return append.append.proposal.entry.head.base_offset;
}

struct reading {
  struct partition_read read;
  struct member *member;
  record_offset offset;
  bool done;
};

static void read_finished(struct partition_read *read) { container_of(read, struct reading, read)->done = true; }
static bool is_read(void *context) { return ((struct reading *)context)->done; }

static void begin_read(void *context) {
  struct reading *reading = context;
  reading->read = (struct partition_read){
      .partition = reading->member->partition, .offset = reading->offset, .bytes_max = 1u << 20, .done = read_finished};
  partition_read(&reading->read);
}

static void read_at(struct crew *crew, struct reading *reading, broker_id broker, record_offset offset) {
  *reading = (struct reading){.member = &crew->members[broker], .offset = offset};
  stage_on_lane(&reading->member->stage, begin_read, reading);
  stage_wait(&reading->member->stage, is_read, reading);
}

static void isolate(struct crew *crew, broker_id broker) {
  for (broker_id other = 1; other <= BROKERS; other++)
    if (other != broker) crew->wires.cut[broker][other] = crew->wires.cut[other][broker] = true;
}

/* ---- Tests ---- */

static void others_say_who_leads_and_that_nothing_was_executed(void **state) {
  struct crew *crew = *state;
  broker_id leader = find_leader(crew, 0);
  char address[FAILURE_LEADER_SIZE];
  address_of(NULL, leader, address);
  struct append append;

  begin_append(crew, &append, leader % 3 + 1, "");
  wait_append(&append);

  assert_int_equal(append.append.failure->reason, STATUS_NOT_LEADER);
  assert_int_equal(append.append.failure->executed, EXECUTED_NO);
  assert_string_equal(append.append.failure->leader, address);
  memory_free(append.append.failure);
}

static void what_is_committed_can_be_read_anywhere(void **state) {
  struct crew *crew = *state;
  broker_id leader = find_leader(crew, 0);
  assert_int_equal(append_ok(crew, leader, ""), 0);
  run_ms(crew, 500);

  for (broker_id broker = 1; broker <= BROKERS; broker++) {
    struct reading reading;
    read_at(crew, &reading, broker, 0);
    assert_null(reading.read.failure);
    assert_int_equal(reading.read.log.count, 1);
    assert_int_equal(reading.read.high_watermark, 1);
    log_read_reset(&reading.read.log);
  }
}

struct trimming {
  struct partition_trim trim;
  struct member *member;
  bool done;
};

static void trimmed(struct partition_trim *trim) { container_of(trim, struct trimming, trim)->done = true; }
static bool is_trimmed(void *context) { return ((struct trimming *)context)->done; }
static void begin_trim(void *context) {
  struct trimming *trimming = context;
  trimming->trim.partition = trimming->member->partition;
  trimming->trim.done = trimmed;
  partition_trim(&trimming->trim);
}

static bool has_installed(void *context) {
  const struct member *member = context;
  return partition_glimpse(member->partition).high_watermark >= 20;
}

/* It is far behind, and gets the whole log from the leader while it reads its own: that one is gone then, and the partition is not. */
static void a_read_of_a_log_that_gives_way_goes_on_in_the_next_one(void **state) {
  struct crew *crew = *state;
  broker_id leader = find_leader(crew, 0);
  struct member *behind = &crew->members[leader % 3 + 1];
  for (int i = 0; i < 15; i++) append_ok(crew, leader, "");
  run_ms(crew, 500);
  stage_checkpoint(&behind->stage);
  run_ms(crew, 500);
  isolate(crew, behind->stage.broker);
  for (int i = 0; i < 10; i++) append_ok(crew, leader, "");
  struct trimming trimming = {.member = &crew->members[leader], .trim.before = 20};
  stage_on_lane(&trimming.member->stage, begin_trim, &trimming);
  stage_wait(&trimming.member->stage, is_trimmed, &trimming);
  assert_null(trimming.trim.failure);
  stage_checkpoint(&trimming.member->stage);

  struct reading old = {.member = behind, .offset = 1}, kept = {.member = behind, .offset = 20};
  sim_disk_fault(behind->stage.device, "slow every read on *.segment by 1000000");
  stage_on_lane(&behind->stage, begin_read, &old);
  run_ms(crew, 10);
  assert_false(old.done);
  wires_heal(&crew->wires);
  stage_wait(&behind->stage, has_installed, behind);
  assert_false(old.done);
  stage_heal(&behind->stage);
  stage_wait(&behind->stage, is_read, &old);
  read_at(crew, &kept, behind->stage.broker, 20);

  assert_non_null(old.read.failure);
  assert_int_equal(old.read.failure->reason, STATUS_BELOW_START);
  assert_int_equal(old.read.failure->next_offset, 20);
  memory_free(old.read.failure);
  assert_null(kept.read.failure);
  assert_int_equal(kept.read.log.count, 5);
  log_read_reset(&kept.read.log);
}

static void only_the_leader_knows_where_the_log_ends(void **state) {
  struct crew *crew = *state;
  broker_id leader = find_leader(crew, 0);
  append_ok(crew, leader, "");
  struct reading reading;

  read_at(crew, &reading, leader, 5);
  assert_int_equal(reading.read.failure->reason, STATUS_BEYOND_END);
  memory_free(reading.read.failure);
  read_at(crew, &reading, leader % 3 + 1, 5);
  assert_null(reading.read.failure);
  assert_int_equal(reading.read.log.count, 0);

  isolate(crew, leader);
  read_at(crew, &reading, leader, 5); /* answered when it knows that it does not lead */
  assert_null(reading.read.failure);
}

static void a_mismatch_of_a_leader_that_was_deposed_is_not_told(void **state) {
  struct crew *crew = *state;
  broker_id old = find_leader(crew, 0);
  append_ok(crew, old, "");
  run_ms(crew, 500);
  isolate(crew, old);
  struct append append = {.member = &crew->members[old]};
  append.append.request.has_expected_offset = true;
  append.append.request.expected_offset = 7;

  stage_on_lane(&append.member->stage, hand_in, &append);
  assert_false(append.done);
  wait_append(&append);

  assert_int_equal(append.append.failure->reason, STATUS_NOT_LEADER);
  assert_int_equal(append.append.failure->executed, EXECUTED_NO);
  memory_free(append.append.failure);
}

static void what_was_replaced_was_not_executed(void **state) {
  struct crew *crew = *state;
  broker_id old = find_leader(crew, 0);
  append_ok(crew, old, "");
  run_ms(crew, 500);
  isolate(crew, old);
  struct append plain, named, repeated;
  begin_append(crew, &plain, old, "");
  begin_append(crew, &named, old, "somebody");
  begin_append(crew, &repeated, old, "twice");
  broker_id next = find_leader(crew, old);
  record_offset there = append_ok(crew, next, "twice");
  for (int i = 0; i < 8; i++) append_ok(crew, next, "");

  wires_heal(&crew->wires);
  wait_append(&plain);
  wait_append(&named);
  wait_append(&repeated);

  assert_int_equal(plain.append.failure->reason, STATUS_REPLACED);
  assert_int_equal(plain.append.failure->executed, EXECUTED_NO);
  assert_int_equal(named.append.failure->reason, STATUS_REPLACED);
  assert_int_equal(named.append.failure->executed, EXECUTED_NO);
  assert_null(repeated.append.failure); /* its producer had sent it to the next leader, too */
  assert_true(repeated.append.duplicate);
  assert_int_equal(repeated.append.proposal.entry.head.base_offset, there);
  memory_free(plain.append.failure);
  memory_free(named.append.failure);
  for (broker_id broker = 1; broker <= BROKERS; broker++)
    assert_int_equal(partition_producers_hash(crew->members[broker].partition),
                     partition_producers_hash(crew->members[next].partition));
}

static void an_outcome_that_nobody_tells_is_maybe(void **state) {
  struct crew *crew = *state;
  broker_id old = find_leader(crew, 0);
  run_ms(crew, 500);
  isolate(crew, old);
  struct append append, again;
  begin_append(crew, &append, old, "p");
  begin_append(crew, &again, old, "p"); /* a repetition of what is not committed */

  wait_append(&append);
  wait_append(&again);

  assert_int_equal(append.append.failure->reason, STATUS_UNKNOWN_OUTCOME);
  assert_int_equal(append.append.failure->executed, EXECUTED_MAYBE);
  assert_int_equal(again.append.failure->reason, STATUS_UNKNOWN_OUTCOME);
  assert_int_equal(again.append.failure->executed, EXECUTED_MAYBE);
  memory_free(append.append.failure);
  memory_free(again.append.failure);
}

static void the_next_leader_recognises_what_the_last_one_took(void **state) {
  struct crew *crew = *state;
  broker_id old = find_leader(crew, 0);
  record_offset first = append_ok(crew, old, "p");
  run_ms(crew, 500);
  isolate(crew, old);
  broker_id next = find_leader(crew, old);
  struct append again;

  begin_append(crew, &again, next, "p");
  wait_append(&again);

  assert_null(again.append.failure);
  assert_true(again.append.duplicate);
  assert_int_equal(again.append.proposal.entry.head.base_offset, first);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(others_say_who_leads_and_that_nothing_was_executed),
      TEST(what_is_committed_can_be_read_anywhere),
      TEST(a_read_of_a_log_that_gives_way_goes_on_in_the_next_one),
      TEST(only_the_leader_knows_where_the_log_ends),
      TEST(a_mismatch_of_a_leader_that_was_deposed_is_not_told),
      TEST(what_was_replaced_was_not_executed),
      TEST(an_outcome_that_nobody_tells_is_maybe),
      TEST(the_next_leader_recognises_what_the_last_one_took),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
