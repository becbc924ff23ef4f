/* A partition on its way to other brokers: what whoever leads it does for that, and when it says that it is over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/codec.h"
#include "tests/unit/server/crew.h"

#define NUMBER 5u

/* A half of a step, taken on the lane of one member. */
struct half {
  struct partition_move move;
  struct member *member;
  void (*take)(struct partition_move *move);
  bool done;
};

static void taken(struct partition_move *move) { container_of(move, struct half, move)->done = true; }
static void take(void *context) {
  struct half *half = context;
  half->move.done = taken;
  half->take(&half->move);
}
static bool is_taken(void *context) { return ((struct half *)context)->done; }

static void run_half(struct half *half, void (*how)(struct partition_move *move)) {
  half->take = how;
  half->done = false;
  stage_on_lane(&half->member->stage, take, half);
  stage_wait(&half->member->stage, is_taken, half);
}

static struct map_replica replica_on(const struct crew *crew, broker_id broker) {
  const struct replica_id *id = &crew->members[broker].host.self;
  struct map_replica replica = {.broker = broker};
  put_u64(replica.incarnation, id->incarnation[0]);
  put_u64(replica.incarnation + 8, id->incarnation[1]);
  return replica;
}

/* From all three to these, in this order. */
static struct half step_of(struct crew *crew, broker_id at, const broker_id *to, uint32_t count) {
  struct half half = {.member = &crew->members[at], .move.partition = crew->members[at].partition};
  half.move.place = (struct map_partition){.group = GROUP, .instance = 1, .replica_count = BROKERS};
  for (broker_id broker = 1; broker <= BROKERS; broker++) half.move.place.replicas[broker - 1] = replica_on(crew, broker);
  half.move.move = (struct map_move){.group = GROUP, .number = NUMBER, .target_count = count};
  for (uint32_t i = 0; i < count; i++) half.move.move.target[i] = replica_on(crew, to[i]);
  return half;
}

static bool looks(struct half *half) {
  run_half(half, partition_move_look);
  return half->move.leads;
}

static bool acts(struct half *half) {
  run_half(half, partition_move_act);
  return half->move.over;
}

static void who_does_not_lead_has_nothing_to_do(void **state) {
  struct crew *crew = *state;
  broker_id leader = crew_find_leader(crew, 0), other = leader % 3 + 1;
  struct half half = step_of(crew, other, &other, 1);
  assert_false(looks(&half));
  assert_false(acts(&half));
}

static void members_change_and_then_it_is_over(void **state) {
  struct crew *crew = *state;
  broker_id leader = crew_find_leader(crew, 0), other = leader % 3 + 1;
  struct half half = step_of(crew, leader, (const broker_id[]){leader, other}, 2);

  assert_true(looks(&half));
  assert_false(acts(&half)); /* it has begun */
  crew_run_ms(crew, 2000);
  assert_true(looks(&half));
  assert_true(acts(&half));
}

/* What was looked at may have been decided by another leader, with a newer map, in between. */
static void a_look_of_an_earlier_term_is_not_acted_upon(void **state) {
  struct crew *crew = *state;
  broker_id leader = crew_find_leader(crew, 0);
  struct half half = step_of(crew, leader, &leader, 1);
  assert_true(looks(&half));
  half.move.term--;
  assert_false(acts(&half));
  crew_run_ms(crew, 2000);

  assert_true(looks(&half));
  assert_false(acts(&half)); /* it has not been begun before */
  crew_run_ms(crew, 2000);
  assert_true(looks(&half));
  assert_true(acts(&half));
}

static void who_is_first_is_offered_the_lead_at_the_end(void **state) {
  struct crew *crew = *state;
  broker_id leader = crew_find_leader(crew, 0), first = leader % 3 + 1, third = first % 3 + 1;
  const broker_id to[] = {first, leader, third};
  struct half half = step_of(crew, leader, to, 3);

  assert_true(looks(&half));
  assert_false(acts(&half)); /* it hands over first */
  crew_run_ms(crew, 2000);
  assert_int_equal(crew_find_leader(crew, 0), first);

  half = step_of(crew, first, to, 3);
  assert_true(looks(&half));
  assert_true(acts(&half));
}

/* It had better not lead, for its disk is full, say: that is no reason to wait. */
static void who_does_not_take_the_lead_is_not_waited_for(void **state) {
  struct crew *crew = *state;
  broker_id leader = crew_find_leader(crew, 0), first = leader % 3 + 1, third = first % 3 + 1;
  struct half half = step_of(crew, leader, (const broker_id[]){first, leader, third}, 3);
  wires_wish(&crew->wires, first, true);
  crew_run_ms(crew, 500);

  assert_true(looks(&half));
  assert_true(acts(&half));
  assert_int_equal(crew_find_leader(crew, 0), leader);
}

static void cut_off(struct crew *crew, broker_id broker) {
  for (broker_id other = 1; other <= BROKERS; other++)
    if (other != broker) crew->wires.cut[broker][other] = crew->wires.cut[other][broker] = true;
}

/* Another leads by now, perhaps, and another move may be under way. */
static void who_is_cut_off_does_not_say_that_it_is_over(void **state) {
  struct crew *crew = *state;
  broker_id leader = crew_find_leader(crew, 0), second = leader % 3 + 1, third = second % 3 + 1;
  struct half half = step_of(crew, leader, (const broker_id[]){leader, second, third}, 3);
  cut_off(crew, leader);
  assert_true(looks(&half));
  assert_false(acts(&half));
  wires_heal(&crew->wires);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, crew_set_up, crew_tear_down)
int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(who_does_not_lead_has_nothing_to_do),          TEST(members_change_and_then_it_is_over),
      TEST(a_look_of_an_earlier_term_is_not_acted_upon),  TEST(who_is_first_is_offered_the_lead_at_the_end),
      TEST(who_does_not_take_the_lead_is_not_waited_for), TEST(who_is_cut_off_does_not_say_that_it_is_over),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
