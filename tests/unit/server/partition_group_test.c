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
#include "base/wire.h"
#include "tests/unit/server/crew.h"

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
  broker_id leader = crew_find_leader(crew, 0);
  char address[FAILURE_LEADER_SIZE];
  crew_address_of(leader, address);
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
  broker_id leader = crew_find_leader(crew, 0);
  assert_int_equal(append_ok(crew, leader, ""), 0);
  crew_run_ms(crew, 500);

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
  broker_id leader = crew_find_leader(crew, 0);
  struct member *behind = &crew->members[leader % 3 + 1];
  for (int i = 0; i < 15; i++) append_ok(crew, leader, "");
  crew_run_ms(crew, 500);
  stage_checkpoint(&behind->stage);
  crew_run_ms(crew, 500);
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
  crew_run_ms(crew, 10);
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
  broker_id leader = crew_find_leader(crew, 0);
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
  broker_id old = crew_find_leader(crew, 0);
  append_ok(crew, old, "");
  crew_run_ms(crew, 500);
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
  broker_id old = crew_find_leader(crew, 0);
  append_ok(crew, old, "");
  crew_run_ms(crew, 500);
  isolate(crew, old);
  struct append plain, named, repeated;
  begin_append(crew, &plain, old, "");
  begin_append(crew, &named, old, "somebody");
  begin_append(crew, &repeated, old, "twice");
  broker_id next = crew_find_leader(crew, old);
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
  broker_id old = crew_find_leader(crew, 0);
  crew_run_ms(crew, 500);
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
  broker_id old = crew_find_leader(crew, 0);
  record_offset first = append_ok(crew, old, "p");
  crew_run_ms(crew, 500);
  isolate(crew, old);
  broker_id next = crew_find_leader(crew, old);
  struct append again;

  begin_append(crew, &again, next, "p");
  wait_append(&again);

  assert_null(again.append.failure);
  assert_true(again.append.duplicate);
  assert_int_equal(again.append.proposal.entry.head.base_offset, first);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, crew_set_up, crew_tear_down)
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
