/* Three replicas on real logs and pretended disks under a random schedule: power cuts, kills, restarts, partitions, lost and late messages,
 * slow disks, checkpoints, leaders that hand over. What must hold meanwhile is in troupe.h; afterwards the group heals, everybody has the same
 * log, and what was answered OK is in it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/replication/troupe.h"

#define STEPS 120u

static broker_id any(struct troupe *troupe) { return 1 + (broker_id)chance_below(&troupe->chance, troupe->count); }

static bool is_up(const struct troupe *troupe, broker_id broker) { return troupe->players[broker].replica != NULL; }

static void propose_some(struct troupe *troupe) {
  for (broker_id broker = 1; broker <= troupe->count; broker++) {
    const struct replica *replica = troupe->players[broker].replica;
    if (replica == NULL || !replica_is_leader(replica)) continue;
    unsigned count = 1 + (unsigned)chance_below(&troupe->chance, 8);
    bool large = chance_in(&troupe->chance, 50);
    for (unsigned i = 0; i < count && is_up(troupe, broker); i++)
      (void)troupe_propose(troupe, broker, 1 + chance_below(&troupe->chance, large ? 600000 : 3000));
  }
}

static void read_somewhere(struct troupe *troupe) {
  broker_id broker = any(troupe);
  if (is_up(troupe, broker)) (void)troupe_ask_read(troupe, broker);
}

static void cut_power(struct troupe *troupe) {
  broker_id broker = any(troupe);
  unsigned modes = SIM_POWER_COUNT - SIM_POWER_KEEP;
  if (is_up(troupe, broker))
    troupe_crash(troupe, broker, (enum sim_power_cut)(SIM_POWER_KEEP + chance_below(&troupe->chance, modes)));
}

static void cut_power_of_all(struct troupe *troupe) {
  for (broker_id broker = 1; broker <= troupe->count; broker++) {
    if (is_up(troupe, broker)) troupe_crash(troupe, broker, SIM_POWER_DROP);
  }
}

static void stop_one(struct troupe *troupe) {
  broker_id broker = any(troupe);
  if (is_up(troupe, broker)) troupe_stop(troupe, broker, chance_in(&troupe->chance, 500));
}

static void start_one(struct troupe *troupe) {
  broker_id broker = any(troupe);
  if (!is_up(troupe, broker)) troupe_start(troupe, broker);
}

static void part(struct troupe *troupe) {
  broker_id a = any(troupe), b = any(troupe);
  if (chance_in(&troupe->chance, 400)) troupe_isolate(troupe, a);
  else troupe->wires.cut[a][b] = true;
}

static void mend(struct troupe *troupe) { memset(troupe->wires.cut, 0, sizeof troupe->wires.cut); }

static void change_weather(struct troupe *troupe) {
  static const unsigned delays_ms[] = {0, 1, 20, 300};
  troupe->wires.drop = chance_in(&troupe->chance, 500) ? 0 : (unsigned)chance_below(&troupe->chance, 200);
  troupe->wires.delay_more_ns = delays_ms[chance_below(&troupe->chance, 4)] * (uint64_t)1000000;
}

static void change_disk(struct troupe *troupe) {
  broker_id broker = any(troupe);
  if (!is_up(troupe, broker)) return;
  /* Not so slow that what is on its way when it heals takes for ever. */
  if (chance_in(&troupe->chance, 400)) sim_disk_fault(troupe->players[broker].stage.device, "slow every any on journal/0* by 50");
  else stage_heal(&troupe->players[broker].stage);
}

static void checkpoint(struct troupe *troupe) {
  broker_id broker = any(troupe);
  if (!is_up(troupe, broker)) return;
  stage_heal(&troupe->players[broker].stage);
  stage_checkpoint(&troupe->players[broker].stage);
}

static void fill_up(struct troupe *troupe) {
  broker_id a = any(troupe), b = any(troupe);
  if (a == b) return;
  if (troupe->wires.full[a][b]) wires_make_room(&troupe->wires, a, b);
  else troupe->wires.full[a][b] = chance_in(&troupe->chance, 500);
}

static void reset(struct troupe *troupe) { wires_reset(&troupe->wires, any(troupe), any(troupe)); }

static void hand_over(struct troupe *troupe) {
  broker_id leader = troupe_leader(troupe);
  if (leader != 0) (void)troupe_transfer(troupe, leader, any(troupe));
}

struct action {
  unsigned per_mille;
  void (*run)(struct troupe *troupe);
};

static const struct action actions[] = {
    {700, propose_some},  {200, read_somewhere}, {60, cut_power},  {8, cut_power_of_all},
    {40, stop_one},       {250, start_one},      {60, part},       {80, mend},
    {40, change_weather}, {40, change_disk},     {40, checkpoint}, {30, fill_up},
    {20, reset},          {20, hand_over},
};

static void heal(struct troupe *troupe) {
  wires_heal(&troupe->wires);
  for (broker_id broker = 1; broker <= troupe->count; broker++) {
    stage_heal(&troupe->players[broker].stage);
    struct replica *replica = troupe->players[broker].replica;
    if (replica != NULL && replica_fenced(replica)) troupe_stop(troupe, broker, false);
    if (!is_up(troupe, broker)) troupe_start(troupe, broker);
  }
}

static void live(struct troupe *troupe) {
  for (unsigned step = 0; step < STEPS; step++) {
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
      if (chance_in(&troupe->chance, actions[i].per_mille)) actions[i].run(troupe);
    }
    bool long_one = chance_in(&troupe->chance, 200);
    troupe_run(troupe, 1 + (unsigned)chance_below(&troupe->chance, long_one ? 1500 : 60));
  }
}

static void nothing_that_was_answered_is_lost_whatever_happens(void **state) {
  (void)state;
  const char *wanted = getenv("TEST_ROUNDS");
  unsigned rounds = wanted == NULL ? 12 : (unsigned)strtoul(wanted, NULL, 10);
  uint64_t seed = chance_seed();
  uint64_t acks = 0, replaced = 0, unknown = 0, reads = 0, entries = 0;
  for (unsigned round = 0; round < rounds; round++) {
    printf("round %u: TEST_SEED=%llu TEST_ROUNDS=1\n", round, (unsigned long long)(seed + round));
    fflush(stdout);
    struct troupe *troupe = troupe_new(seed + round, 3);
    live(troupe);
    heal(troupe);
    troupe_settle(troupe);
    entry_index before = troupe->acknowledged;
    struct troupe_ask *last = troupe_propose(troupe, troupe_wait_leader(troupe, 0), 100);
    while (!last->taken || (last->answers > 0 && last->answer != STATUS_OK)) { /* it was about to hand over */
      troupe_run(troupe, 500);
      last = troupe_propose(troupe, troupe_wait_leader(troupe, 0), 100);
    }
    troupe_wait_answer(troupe, last);
    troupe_settle(troupe);
    assert_true(troupe->acknowledged >= before && last->answer == STATUS_OK);
    acks += troupe->acks;
    replaced += troupe->replaced;
    unknown += troupe->unknown;
    reads += troupe->reads_ok;
    entries += troupe->committed_last;
    troupe_free(troupe);
  }
  printf("%u rounds: %llu entries, %llu answered, %llu replaced, %llu unknown, %llu reads\n", rounds, (unsigned long long)entries,
         (unsigned long long)acks, (unsigned long long)replaced, (unsigned long long)unknown, (unsigned long long)reads);
  assert_true(rounds < 12 || (acks > 0 && reads > 0 && replaced + unknown > 0));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_that_was_answered_is_lost_whatever_happens)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
