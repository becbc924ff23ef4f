#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/list.h"
#include "base/memory.h"
#include "tests/sim/sim_cluster.h"
#include "tests/sim/sim_random.h"

/* 64 applications' threads race for the same expected offset, round after round, while leaders are killed and brokers paused, in and between the
 * rounds: each offset has one winner (A5), who was told so or does not know, and nobody who was told no is in the log (A1).
 * TEST_RACES: how many offsets (100,000 before a release). TEST_SEED: what is drawn. */

#define APPS 8u
#define RACERS 64u
#define RACES 3000u /* in the suite */
#define MS_NS ((uint64_t)1000000)
#define HARM_PERCENT 10u

enum told { TOLD_UNKNOWN, TOLD_NO, TOLD_OK };

/* All racing once. After one in which nobody won there is another for the same offset. */
struct heat {
  int64_t offset;
  uint8_t told[RACERS];
};

struct racer {
  struct race *race;
  struct sim_app *app;
  struct sim_fiber *fiber;
  unsigned number;
  size_t heats; /* that it took part in */
};

struct race {
  struct sim_cluster cluster;
  struct sim_app *apps[APPS];
  struct racer racers[RACERS];
  struct sim_random chance;
  struct sim_fiber *referee;
  struct heat *heats;
  size_t heat_count;
  unsigned running;
  bool mismatch; /* somebody was told so in this heat */
  bool over;
  int64_t races;
  /* What breaks: one broker at a time. */
  struct sim_event harm;
  bool harmed;
  bool paused;
  unsigned victim;
  unsigned leader; /* the node, as last heard */
  uint64_t term;
  uint64_t told_ok, told_unknown, told_no, leader_changes, kills, pauses;
};

static uint64_t number_from(const char *name, uint64_t otherwise) {
  const char *text = getenv(name);
  return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static uint64_t now_ns(const struct race *race) { return sim_now_ns(race->cluster.sim); }

/* ---- What breaks ---- */

static void mend(struct race *race) {
  struct sim_node *node = race->cluster.nodes[race->victim];
  if (race->paused) sim_node_resume(node);
  else sim_node_start(node);
  race->harmed = false;
}

static void do_harm(struct race *race) {
  bool leads = sim_random_chance(&race->chance, 75);
  race->victim = leads ? race->leader : (unsigned)sim_random_below(&race->chance, race->cluster.count);
  struct sim_node *node = race->cluster.nodes[race->victim];
  if (sim_node_stage(node) != SIM_NODE_UP) return; /* it still starts */
  race->paused = sim_random_chance(&race->chance, 50);
  race->harmed = true;
  if (race->paused) sim_node_pause(node);
  else sim_node_kill(node);
  race->pauses += race->paused;
  race->kills += !race->paused;
  sim_event_set(race->cluster.sim, &race->harm, now_ns(race) + MS_NS * sim_random_between(&race->chance, 1, 3000));
}

static void harm_fires(struct sim_event *event) {
  struct race *race = container_of(event, struct race, harm);
  if (race->harmed) mend(race);
  else do_harm(race);
}

static void perhaps_plan_harm(struct race *race) {
  if (race->harm.slot != 0 || !sim_random_chance(&race->chance, HARM_PERCENT)) return;
  sim_event_set(race->cluster.sim, &race->harm, now_ns(race) + sim_random_below(&race->chance, 20 * MS_NS));
}

/* ---- Who races ---- */

static enum told append_own(struct racer *racer, size_t heat, int64_t offset) {
  char value[48];
  snprintf(value, sizeof value, "heat %zu racer %u", heat, racer->number);
  const struct cairn_message message = {.value = {.data = value, .size = strlen(value)}};
  const struct cairn_append_options options = {.has_expected_offset = true, .expected_offset = offset};
  struct cairn_appended appended;
  struct cairn_error error;
  int code = cairn_append(sim_app_client(racer->app), "t", 0, &message, 1, &options, &appended, &error);
  if (code == CAIRN_OK) {
    CHECK_MSG(appended.base_offset == offset, "%" PRId64 " was expected, and it is %" PRId64, offset, appended.base_offset);
    return TOLD_OK;
  }
  if (strcmp(error.reason, "OFFSET_MISMATCH") == 0) {
    CHECK_MSG(error.executed == CAIRN_EXECUTED_NO && error.next_offset > offset, "refused at %" PRId64 ": %s", offset,
              error.message);
    racer->race->mismatch = true;
  }
  return error.executed == CAIRN_EXECUTED_NO ? TOLD_NO : TOLD_UNKNOWN;
}

static void run_racer(void *context) {
  struct racer *racer = context;
  struct race *race = racer->race;
  racer->fiber = sim_fiber_current(race->cluster.sim);
  for (;;) {
    while (racer->heats == race->heat_count && !race->over) sim_fiber_park(race->cluster.sim);
    if (race->over) return;
    size_t heat = racer->heats++;
    enum told told = append_own(racer, heat, race->heats[heat].offset);
    race->heats[heat].told[racer->number] = (uint8_t)told;
    if (--race->running == 0) sim_fiber_wake(race->referee, now_ns(race));
  }
}

/* ---- Who looks at it ---- */

/* Of what is committed. */
static int64_t look_where_it_ends(struct race *race) {
  struct cairn_partition_state state;
  struct cairn_error error;
  while (cairn_partition_describe(sim_app_client(race->cluster.app), "t", 0, &state, &error) != CAIRN_OK)
    sim_app_sleep(race->cluster.app, 10 * MS_NS);
  if (race->term != 0 && race->leader != state.leader_id - 1) race->leader_changes++;
  race->term = state.term;
  race->leader = state.leader_id - 1;
  return state.high_watermark; /* next_offset may be that of a record which is lost with its leader */
}

static struct heat *run_heat(struct race *race, int64_t offset) {
  size_t at = race->heat_count;
  race->heats = memory_grow_array(race->heats, at + 1, sizeof *race->heats);
  race->heats[at] = (struct heat){.offset = offset};
  race->running = RACERS;
  race->mismatch = false;
  perhaps_plan_harm(race);
  race->heat_count++;
  for (unsigned i = 0; i < RACERS; i++)
    sim_fiber_wake(race->racers[i].fiber, now_ns(race) + sim_random_below(&race->chance, MS_NS));
  while (race->running > 0) sim_fiber_park(race->cluster.sim);
  return &race->heats[at];
}

static void judge_heat(struct race *race, const struct heat *heat, int64_t end) {
  unsigned counts[3] = {0};
  for (unsigned i = 0; i < RACERS; i++) counts[heat->told[i]]++;
  CHECK_MSG(counts[TOLD_OK] <= 1, "%u were told that they won %" PRId64, counts[TOLD_OK], heat->offset);
  CHECK_MSG(end == heat->offset || end == heat->offset + 1, "a race for %" PRId64 " and the end is %" PRId64, heat->offset, end);
  bool settled = counts[TOLD_OK] > 0 || race->mismatch;
  CHECK_MSG(!settled || end > heat->offset, "%" PRId64 " was won, and is not there", heat->offset);
  race->told_ok += counts[TOLD_OK];
  race->told_no += counts[TOLD_NO];
  race->told_unknown += counts[TOLD_UNKNOWN];
}

/* ---- The log, read back ---- */

static void judge_record(struct race *race, const struct cairn_record *record, uint64_t *winners) {
  char text[48] = "";
  size_t heat;
  unsigned racer;
  CHECK(record->value.size < sizeof text);
  memcpy(text, record->value.data, record->value.size);
  bool known = sscanf(text, "heat %zu racer %u", &heat, &racer) == 2 && heat < race->heat_count && racer < RACERS;
  CHECK_MSG(known, "nobody sent what is at %" PRId64 ": %s", record->offset, text);
  CHECK_MSG(race->heats[heat].offset == record->offset, "at %" PRId64 " is who raced for %" PRId64, record->offset,
            race->heats[heat].offset);
  enum told told = (enum told)race->heats[heat].told[racer];
  CHECK_MSG(told != TOLD_NO, "at %" PRId64 " is one that was told no: %s", record->offset, text);
  *winners += told == TOLD_OK;
}

/* Where the next one is. */
static int64_t read_some(struct race *race, int64_t from, uint64_t *winners) {
  struct cairn_records *records = NULL;
  struct cairn_error error;
  const struct cairn_read_options options = {.max_bytes = 65536};
  if (cairn_read(sim_app_client(race->cluster.app), "t", 0, from, &options, &records, &error) != CAIRN_OK) {
    sim_app_sleep(race->cluster.app, 10 * MS_NS);
    return from;
  }
  struct cairn_record record;
  int code;
  while ((code = cairn_records_next(records, &record, &error)) == CAIRN_OK) {
    CHECK_MSG(record.offset == from, "behind %" PRId64 " comes %" PRId64, from - 1, record.offset);
    judge_record(race, &record, winners);
    from++;
  }
  CHECK_MSG(code == CAIRN_END, "%s", error.message);
  cairn_records_free(records);
  return from;
}

/* Everybody who was told OK is there: as many as were told so, each at an offset of its own. */
static void judge_log(struct race *race) {
  uint64_t winners = 0;
  for (int64_t at = 0; at < race->races;) at = read_some(race, at, &winners);
  CHECK_MSG(winners == race->told_ok, "%" PRIu64 " were told that they won, %" PRIu64 " of them did", race->told_ok, winners);
  CHECK(look_where_it_ends(race) == race->races);
}

static bool all_well(const struct race *race) {
  if (race->harm.slot != 0) return false;
  for (unsigned i = 0; i < race->cluster.count; i++) {
    if (sim_node_stage(race->cluster.nodes[i]) != SIM_NODE_UP) return false;
  }
  return true;
}

static void run_races(void *context) {
  struct race *race = context;
  const struct cairn_topic_options options = {.replicas = 3, .partitions = 1};
  struct cairn_error error;
  int code = cairn_topic_create(sim_app_client(race->cluster.app), "t", &options, NULL, &error);
  CHECK_MSG(code == CAIRN_OK, "%s: %s", error.reason, error.message);
  race->referee = sim_fiber_current(race->cluster.sim);
  for (int64_t offset = look_where_it_ends(race); offset < race->races;) {
    const struct heat *heat = run_heat(race, offset);
    offset = look_where_it_ends(race);
    judge_heat(race, heat, offset);
  }
  while (!all_well(race)) sim_app_sleep(race->cluster.app, 10 * MS_NS);
  judge_log(race);
  race->over = true;
  for (unsigned i = 0; i < RACERS; i++) sim_fiber_wake(race->racers[i].fiber, now_ns(race));
}

/* ---- The story ---- */

static void set_up(struct race *race, uint64_t seed) {
  struct options options;
  options_init(&options);
  options.lanes = 1;
  options.heartbeat_ms = 50;
  options.election_timeout_ms = 500;
  options.journal_bytes = 8u << 20;
  options.journal_file_bytes = 1u << 20;
  sim_cluster_init(&race->cluster, 3, &options, 60000);
  sim_random_init(&race->chance, seed, "race");
  race->harm.fire = harm_fires;
  const struct sim_rpc_options rpc = {.window_bytes = 65536, .release_ns_max = 1000000};
  const struct cairn_client_options client = {.servers = "10.0.0.1:7411,10.0.0.2:7411,10.0.0.3:7411", .call_timeout_ms = 2000};
  for (unsigned i = 0; i < APPS; i++) {
    char host[16];
    snprintf(host, sizeof host, "10.0.1.%u", (2 + i) & 0xffu);
    race->apps[i] = sim_app_new(race->cluster.sim, race->cluster.net, host, &client, &rpc);
  }
  sim_cluster_start_all(&race->cluster);
  for (unsigned i = 0; i < RACERS; i++) {
    race->racers[i] = (struct racer){.race = race, .app = race->apps[i % APPS], .number = i};
    sim_app_thread(race->racers[i].app, "racer", run_racer, &race->racers[i]);
  }
  sim_cluster_pass(&race->cluster, SIM_SECOND_NS);
}

static void each_offset_has_one_winner(void **state) {
  (void)state;
  struct race race = {.races = (int64_t)number_from("TEST_RACES", RACES)};
  uint64_t seed = number_from("TEST_SEED", 1);
  printf("    to repeat: TEST_SEED=%" PRIu64 " TEST_RACES=%" PRId64 "\n", seed, race.races);
  set_up(&race, seed);

  sim_cluster_say(&race.cluster, run_races, &race);

  printf("    %" PRId64 " rounds in %zu heats, told: %" PRIu64 " won, %" PRIu64 " no, %" PRIu64 " unknown\n", race.races,
         race.heat_count, race.told_ok, race.told_no, race.told_unknown);
  printf("    %" PRIu64 " leader changes, %" PRIu64 " kills, %" PRIu64 " pauses, %.1f s of virtual time\n", race.leader_changes,
         race.kills, race.pauses, (double)now_ns(&race) / 1e9);
  sim_cluster_pass(&race.cluster, SIM_SECOND_NS); /* the racers go home */
  for (unsigned i = 0; i < APPS; i++) sim_app_free(race.apps[i]);
  memory_free(race.heats);
  sim_cluster_deinit(&race.cluster);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_offset_has_one_winner),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
