/* Who leads a partition of three brokers, where the map has one of them first, and where somebody asks for another. In pretended time, with
 * a small network in the place of the wires.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "server/leadership.h"
#include "tests/unit/server/crew.h"

#define AFTER_MS 3000u
#define HOLD_MS 20000u
#define ANY 0u

/* ---- Doing things on lanes ---- */

struct order {
  struct member *member;
  struct partition_places places;
  struct leads_settings settings;
};

static void set_places(void *context) {
  struct order *order = context;
  partition_set_places(order->member->partition, &order->places);
}

static void set_leads(void *context) {
  struct order *order = context;
  partition_host_set_leads(&order->member->host, &order->settings);
}

/* "213": 2 is to lead, and so on. */
static void place(struct crew *crew, const char *brokers, bool moving) {
  for (broker_id broker = 1; broker <= BROKERS; broker++) {
    struct order order = {.member = &crew->members[broker], .places = {.count = (uint32_t)strlen(brokers), .moving = moving}};
    for (uint32_t i = 0; i < order.places.count; i++) order.places.brokers[i] = (broker_id)(brokers[i] - '0');
    stage_on_lane(&order.member->stage, set_places, &order);
  }
}

static void prefer(struct crew *crew, bool on) {
  for (broker_id broker = 1; broker <= BROKERS; broker++) {
    struct order order = {.member = &crew->members[broker],
                          .settings = {.on = on, .after_ns = AFTER_MS * (uint64_t)MS_NS, .hold_ns = HOLD_MS * (uint64_t)MS_NS}};
    stage_on_lane(&order.member->stage, set_leads, &order);
  }
}

struct transfer {
  struct partition_transfer request;
  struct member *member;
  bool done;
};

static void transferred(struct partition_transfer *request) { container_of(request, struct transfer, request)->done = true; }
static bool is_transferred(void *context) { return ((struct transfer *)context)->done; }

static void hand_in(void *context) {
  struct transfer *transfer = context;
  transfer->request.partition = transfer->member->partition;
  transfer->request.done = transferred;
  if (transfer->request.patience_ns == 0) transfer->request.patience_ns = UINT64_MAX;
  partition_transfer(&transfer->request);
}

static void ask(struct crew *crew, struct transfer *transfer, broker_id at, broker_id to) {
  transfer->member = &crew->members[at];
  transfer->request.to = to;
  stage_on_lane(&transfer->member->stage, hand_in, transfer);
}

/* OK, or why not. */
static enum status transfer(struct crew *crew, broker_id at, broker_id to) {
  struct transfer transfer = {0};
  ask(crew, &transfer, at, to);
  stage_wait(&transfer.member->stage, is_transferred, &transfer);
  enum status status = transfer.request.failure == NULL ? STATUS_OK : transfer.request.failure->reason;
  memory_free(transfer.request.failure);
  return status;
}

static void lead(struct crew *crew, broker_id broker) {
  broker_id leader = crew_find_leader(crew, ANY);
  assert_int_equal(transfer(crew, leader, broker), STATUS_OK);
  assert_int_equal(crew_find_leader(crew, ANY), broker);
}

static void assert_led_by(struct crew *crew, broker_id broker) { assert_int_equal(crew_find_leader(crew, ANY), broker); }

/* 1 is first and leads, everybody wants it so, and all are steady. */
static void lead_as_the_map_has_it(struct crew *crew) {
  place(crew, "123", false);
  lead(crew, 1);
  prefer(crew, true);
  crew_run_ms(crew, 2 * AFTER_MS);
}

/* Another one than the first, and nobody has asked for it. */
static void lead_astray(struct crew *crew, broker_id broker) {
  place(crew, "123", false);
  lead(crew, broker);
  place(crew, "132", false); /* the hold ends */
  place(crew, "123", false);
}

/* ---- By the map ---- */

static void lead_comes_to_whom_the_map_has_first(void **state) {
  struct crew *crew = *state;
  place(crew, "123", false);
  prefer(crew, true);
  lead(crew, 1);
  place(crew, "213", false);
  crew_run_ms(crew, AFTER_MS + 2000);
  assert_led_by(crew, 2);

  place(crew, "312", false);
  crew_run_ms(crew, 2000);
  assert_led_by(crew, 3);
}

static void lead_stays_while_it_is_not_wanted(void **state) {
  struct crew *crew = *state;
  lead(crew, 1);
  place(crew, "213", false);
  crew_run_ms(crew, 10 * AFTER_MS + HOLD_MS);
  assert_led_by(crew, 1);

  prefer(crew, true);
  crew_run_ms(crew, 2000);
  assert_led_by(crew, 2);
}

static void lead_stays_while_the_partition_moves(void **state) {
  struct crew *crew = *state;
  prefer(crew, true);
  place(crew, "123", false);
  lead(crew, 1);
  place(crew, "213", true);
  crew_run_ms(crew, 10 * AFTER_MS);
  assert_led_by(crew, 1);

  place(crew, "213", false);
  crew_run_ms(crew, 2000);
  assert_led_by(crew, 2);
}

static void cut_off(struct crew *crew, broker_id broker, bool cut) {
  for (broker_id other = 1; other <= BROKERS; other++) crew->wires.cut[broker][other] = crew->wires.cut[other][broker] = cut;
}

static void lead_comes_back_to_who_was_away_when_it_has_been_back_for_a_while(void **state) {
  struct crew *crew = *state;
  lead_as_the_map_has_it(crew);

  cut_off(crew, 1, true);
  crew_run_ms(crew, 5000);
  assert_int_not_equal(crew_find_leader(crew, 1), 1);
  cut_off(crew, 1, false);
  crew_run_ms(crew, AFTER_MS / 2);
  assert_int_not_equal(crew_find_leader(crew, ANY), 1);

  crew_run_ms(crew, AFTER_MS + 3000);
  assert_led_by(crew, 1);
}

static void lead_passes_over_who_is_reluctant_for_long(void **state) {
  struct crew *crew = *state;
  lead_astray(crew, 3);
  wires_wish(&crew->wires, 1, true);
  crew_run_ms(crew, 1000);
  prefer(crew, true);

  crew_run_ms(crew, AFTER_MS / 2);
  assert_led_by(crew, 3);
  crew_run_ms(crew, AFTER_MS + 1000);
  assert_led_by(crew, 2);
  wires_wish(&crew->wires, 1, false);
  crew_run_ms(crew, AFTER_MS + 2000);
  assert_led_by(crew, 1);
}

/* The summons gets lost. */
static void lead_that_is_not_taken_is_offered_again_later(void **state) {
  struct crew *crew = *state;
  lead_astray(crew, 2);
  crew->wires.cut[2][1] = true;
  prefer(crew, true);
  crew_run_ms(crew, AFTER_MS + 1000);
  assert_led_by(crew, 2);
  assert_int_equal(crew->members[2].host.leads.targets[0].failures, 1);

  crew->wires.cut[2][1] = false;
  crew_run_ms(crew, LEADERSHIP_FAILED_NS / MS_NS / 2);
  assert_led_by(crew, 2);
  crew_run_ms(crew, LEADERSHIP_FAILED_NS / MS_NS);
  assert_led_by(crew, 1);
  assert_int_equal(crew->members[2].host.leads.targets[0].failures, 0);
}

static void close_partition(void *context) { partition_close(((struct member *)context)->partition, false); }

static void offer_that_ends_with_its_partition_counts_against_nobody(void **state) {
  struct crew *crew = *state;
  struct member *leader = &crew->members[2];
  const struct leads_target *target = &leader->host.leads.targets[0];
  lead_astray(crew, 2);
  crew->wires.cut[2][1] = true;
  prefer(crew, true);
  for (unsigned ms = 0; ms < AFTER_MS + 1000 && target->under_way == 0; ms++) crew_run_ms(crew, 1);
  assert_int_equal(target->under_way, 1);

  stage_on_lane(&leader->stage, close_partition, leader);

  assert_int_equal(target->under_way, 0);
  assert_int_equal(target->failures, 0);
  assert_int_equal(target->again_ns, 0);
}

/* ---- By somebody's wish ---- */

static void wish_holds_against_the_map_for_its_time(void **state) {
  struct crew *crew = *state;
  lead_as_the_map_has_it(crew);

  lead(crew, 3);
  crew_run_ms(crew, HOLD_MS - 3000);
  assert_led_by(crew, 3);
  crew_run_ms(crew, 5000);
  assert_led_by(crew, 1);
}

static void wish_ends_when_the_map_changes(void **state) {
  struct crew *crew = *state;
  lead_as_the_map_has_it(crew);

  lead(crew, 3);
  place(crew, "213", false);
  crew_run_ms(crew, 2000);
  assert_led_by(crew, 2);
}

static void wish_for_who_leads_already_changes_nothing_but_holds(void **state) {
  struct crew *crew = *state;
  place(crew, "123", false);
  lead(crew, 2);
  struct transfer again = {0};
  ask(crew, &again, 2, 2);
  stage_wait(&again.member->stage, is_transferred, &again);
  assert_null(again.request.failure);
  assert_int_equal(again.request.before, 2);
  assert_int_equal(again.request.after, 2);

  prefer(crew, true);
  assert_int_equal(transfer(crew, 2, 2), STATUS_OK);
  crew_run_ms(crew, HOLD_MS - 1000);
  assert_led_by(crew, 2);
}

static void wish_tells_who_led_who_leads_and_in_which_term(void **state) {
  struct crew *crew = *state;
  broker_id leader = crew_find_leader(crew, ANY), to = leader % BROKERS + 1;
  struct transfer transfer = {0};
  ask(crew, &transfer, leader, to);
  stage_wait(&transfer.member->stage, is_transferred, &transfer);

  assert_null(transfer.request.failure);
  assert_int_equal(transfer.request.before, leader);
  assert_int_equal(transfer.request.after, to);
  assert_true(transfer.request.term > 1);
  assert_led_by(crew, to);
}

static void wish_that_is_only_tried_changes_nothing(void **state) {
  struct crew *crew = *state;
  broker_id leader = crew_find_leader(crew, ANY);
  struct transfer transfer = {.request.validate_only = true};
  ask(crew, &transfer, leader, leader % BROKERS + 1);
  assert_true(transfer.done);
  assert_null(transfer.request.failure);
  assert_int_equal(transfer.request.after, leader);

  crew_run_ms(crew, 1000);
  assert_led_by(crew, leader);
}

static void wish_for_who_cannot_lead_is_refused(void **state) {
  struct crew *crew = *state;
  broker_id leader = crew_find_leader(crew, ANY), other = leader % BROKERS + 1, third = other % BROKERS + 1;
  struct transfer nobody = {0};
  ask(crew, &nobody, leader, 9);
  assert_int_equal(nobody.request.failure->reason, STATUS_CANNOT_LEAD);
  assert_true(nobody.request.stranger);
  assert_non_null(strstr(nobody.request.failure->text, "1, 2 and 3"));
  memory_free(nobody.request.failure);

  wires_wish(&crew->wires, other, true);
  crew_run_ms(crew, 500);
  assert_int_equal(transfer(crew, leader, other), STATUS_CANNOT_LEAD);
  cut_off(crew, third, true);
  crew_run_ms(crew, 3000);
  assert_int_equal(transfer(crew, leader, third), STATUS_CANNOT_LEAD_YET);
  assert_led_by(crew, leader);
  cut_off(crew, third, false);
  wires_wish(&crew->wires, other, false);
}

static void wish_is_refused_by_who_does_not_lead(void **state) {
  struct crew *crew = *state;
  broker_id leader = crew_find_leader(crew, ANY), other = leader % BROKERS + 1;
  struct transfer transfer = {0};
  ask(crew, &transfer, other, other);
  stage_wait(&transfer.member->stage, is_transferred, &transfer);

  char address[FAILURE_LEADER_SIZE];
  crew_address_of(leader, address);
  assert_int_equal(transfer.request.failure->reason, STATUS_NOT_LEADER);
  assert_string_equal(transfer.request.failure->leader, address);
  memory_free(transfer.request.failure);
}

/* It dies just then: the leader goes on, and says that it does not know. */
static void wish_that_does_not_come_about_ends(void **state) {
  struct crew *crew = *state;
  broker_id leader = crew_find_leader(crew, ANY), other = leader % BROKERS + 1;
  cut_off(crew, other, true);
  struct transfer transfer = {0};
  ask(crew, &transfer, leader, other);
  assert_false(transfer.done);
  stage_wait(&transfer.member->stage, is_transferred, &transfer);

  assert_int_equal(transfer.request.failure->reason, STATUS_UNKNOWN_OUTCOME);
  assert_int_equal(transfer.request.failure->executed, EXECUTED_MAYBE);
  memory_free(transfer.request.failure);
  assert_int_equal(crew_find_leader(crew, other), leader);
  cut_off(crew, other, false);
}

static void wish_waits_no_longer_than_its_caller(void **state) {
  struct crew *crew = *state;
  broker_id leader = crew_find_leader(crew, ANY), other = leader % BROKERS + 1;
  cut_off(crew, other, true);
  struct transfer transfer = {.request.patience_ns = 50 * (uint64_t)MS_NS};
  ask(crew, &transfer, leader, other);
  crew_run_ms(crew, 60);

  assert_true(transfer.done);
  assert_int_equal(transfer.request.failure->reason, STATUS_DEADLINE);
  memory_free(transfer.request.failure);
  cut_off(crew, other, false);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, crew_set_up, crew_tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(lead_comes_to_whom_the_map_has_first),
      TEST(lead_stays_while_it_is_not_wanted),
      TEST(lead_stays_while_the_partition_moves),
      TEST(lead_comes_back_to_who_was_away_when_it_has_been_back_for_a_while),
      TEST(lead_passes_over_who_is_reluctant_for_long),
      TEST(lead_that_is_not_taken_is_offered_again_later),
      TEST(offer_that_ends_with_its_partition_counts_against_nobody),
      TEST(wish_holds_against_the_map_for_its_time),
      TEST(wish_ends_when_the_map_changes),
      TEST(wish_for_who_leads_already_changes_nothing_but_holds),
      TEST(wish_tells_who_led_who_leads_and_in_which_term),
      TEST(wish_that_is_only_tried_changes_nothing),
      TEST(wish_for_who_cannot_lead_is_refused),
      TEST(wish_is_refused_by_who_does_not_lead),
      TEST(wish_that_does_not_come_about_ends),
      TEST(wish_waits_no_longer_than_its_caller),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
