/* Random schedules: N cores, a network and disks that misbehave, and what must hold after every step (tests/scenarios/raft_cluster.h).
 *
 * TEST_ROUNDS: how many schedules, 1,500 unless given. TEST_SEED: where they begin. RAFT_TRACE=1 with TEST_ROUNDS=1 tells the story.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "tests/scenarios/raft_schedule.h"
#include "tests/unit/replication/chance.h"

#define ROUNDS 1500u
#define TRACE_BYTES_MAX (1u << 30)

static uint64_t seed;
static uint64_t rounds;

static void fail_with(uint64_t at, const char *test, const struct schedule_result *result) {
  print_error("%s\n", result->violation);
  print_error("to repeat: TEST_SEED=%llu TEST_ROUNDS=1 RAFT_TRACE=1 raft_random_test (%s)\n", (unsigned long long)at, test);
  fail();
}

static void print_trace(uint64_t at) {
  struct buffer trace = {.max = TRACE_BYTES_MAX};
  struct schedule_result result;
  schedule_run(at, &trace, &result);
  fwrite(trace.data, 1, trace.size, stdout);
  memory_free(trace.data);
}

static void raft_is_safe_under_faults_and_lives_after_them(void **state) {
  (void)state;
  struct schedule_result sum = {0};
  if (getenv("RAFT_TRACE") != NULL) print_trace(seed);

  for (uint64_t i = 0; i < rounds; i++) {
    struct schedule_result result;
    schedule_run(seed + i, NULL, &result);
    if (result.violation[0] != '\0') fail_with(seed + i, "schedule", &result);
    sum.steps += result.steps;
    sum.committed += result.committed;
    sum.reads += result.reads;
    sum.leader_changes += result.leader_changes;
    sum.faults += result.faults;
    if (result.settle_ms > sum.settle_ms) sum.settle_ms = result.settle_ms;
  }

  print_message(
      "%llu schedules: %llu steps, %llu entries committed, %llu reads, %llu leaders, %llu faults; asleep after %llu ms\n",
      (unsigned long long)rounds, (unsigned long long)sum.steps, (unsigned long long)sum.committed, (unsigned long long)sum.reads,
      (unsigned long long)sum.leader_changes, (unsigned long long)sum.faults, (unsigned long long)sum.settle_ms);
  /* A model that does nothing finds nothing. */
  assert_true(sum.committed > rounds * 20 && sum.reads > rounds && sum.leader_changes > rounds * 2 && sum.faults > rounds * 4);
}

static void raft_does_the_same_twice_from_one_seed(void **state) {
  (void)state;
  for (uint64_t i = 0; i < rounds / 20 + 1; i++) {
    struct schedule_result once, again;
    schedule_run(seed + i, NULL, &once);
    schedule_run(seed + i, NULL, &again);
    assert_int_equal(once.hash, again.hash);
    assert_int_equal(once.steps, again.steps);
  }
}

static void raft_keeps_its_leader_behind_one_bad_link(void **state) {
  (void)state;
  for (uint64_t i = 0; i < rounds / 10 + 1; i++) {
    struct schedule_result result;
    schedule_disrupt(seed + i, &result);
    if (result.violation[0] != '\0') fail_with(seed + i, "one bad link", &result);
  }
}

static void raft_does_not_count_who_has_forgotten_a_vote(void **state) {
  (void)state;
  for (uint64_t i = 0; i < rounds / 4 + 1; i++) {
    struct schedule_result result;
    schedule_forget(seed + i, &result);
    if (result.violation[0] != '\0') fail_with(seed + i, "a vote is forgotten", &result);
  }
}

int main(void) {
  const char *wanted = getenv("TEST_ROUNDS");
  rounds = wanted != NULL ? strtoull(wanted, NULL, 10) : ROUNDS;
  seed = chance_seed();
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(raft_is_safe_under_faults_and_lives_after_them),
      cmocka_unit_test(raft_does_the_same_twice_from_one_seed),
      cmocka_unit_test(raft_keeps_its_leader_behind_one_bad_link),
      cmocka_unit_test(raft_does_not_count_who_has_forgotten_a_vote),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
