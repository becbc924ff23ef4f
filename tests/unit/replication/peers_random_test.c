/* The wires between brokers, whatever happens to them: cuts, resets, restarts, pauses, slow links, at random. TEST_SEED repeats a run. */
#include "replication/peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/replication/chance.h"
#include "tests/unit/replication/peer_stage.h"

static struct peer_stage *stage;

static int tear_down(void **state) {
  (void)state;
  peer_stage_free(stage);
  return 0;
}

static void reconnect(struct stage_lane *lane, void *context) { peer_lane_reconnect(lane->lane, *(broker_id *)context); }

/* What each lane sends to each broker by each road is numbered from 1, anew after each loss that it was told of: a stretch. Within one
 * everything arrives in order and without a gap, up to where it was lost; and nothing arrives twice. */
struct stretch {
  uint64_t number;
  uint64_t last;
};
#define LANES 2u
static struct stretch sent[STAGE_BROKERS_MAX][LANES][STAGE_BROKERS_MAX + 1][2];
static struct stretch heard[STAGE_BROKERS_MAX + 1][LANES][STAGE_BROKERS_MAX][2];
static uint64_t stretches; /* no two have the same number, and later ones have greater ones */

static size_t position(const struct stage_lane *lane) { return (size_t)(lane - lane->broker->lanes); }

static void begin_stretch(struct stage_lane *lane, broker_id broker, enum peer_edge edge) {
  struct stretch *ways = sent[lane->broker->id - 1][position(lane)][broker];
  if (edge != PEER_RESET) return;
  for (size_t way = 0; way < 2; way++) ways[way] = (struct stretch){.number = ++stretches};
}

static void note(struct stage_lane *lane, group_id group, const struct peer_message *message) {
  size_t way = message->raft.kind == RAFT_APPEND;
  struct stretch *stretch = &heard[message->raft.from.broker][group % LANES][lane->broker->id - 1][way];
  if (message->raft.term < stretch->number) return; /* late, from before a loss */
  if (message->raft.term > stretch->number) *stretch = (struct stretch){.number = message->raft.term};
  assert_int_equal(message->raft.sequence, stretch->last + 1);
  stretch->last++;
}

static void watch(struct stage_broker *broker) {
  for (unsigned i = 0; i < broker->lane_count; i++) {
    broker->lanes[i].heard = note;
    broker->lanes[i].edged = begin_stretch;
    for (broker_id to = 1; to <= 3; to++) begin_stretch(&broker->lanes[i], to, PEER_RESET);
  }
}

struct shot {
  struct stage_broker *to;
  group_id group;
  bool append;
  size_t count;
  size_t payload_bytes;
};

static void shoot(struct stage_lane *lane, void *context) {
  const struct shot *shot = context;
  struct stretch *stretch = &sent[lane->broker->id - 1][position(lane)][shot->to->id][shot->append];
  struct entry entries[4] = {0};
  if (!peer_lane_room(lane->lane, shot->to->id)) return;
  struct raft_message message = {.kind = shot->append ? RAFT_APPEND : RAFT_VOTE,
                                 .to = stage_address(shot->to).id,
                                 .term = stretch->number,
                                 .sequence = ++stretch->last};
  for (size_t i = 0; shot->append && i < shot->count; i++) {
    struct blob *blob = NULL;
    assert_int_equal(blob_new(NULL, shot->payload_bytes, &blob), STATUS_OK);
    memset(blob->data, (int)message.sequence, blob->size);
    entries[i].head = (struct entry_head){.kind = ENTRY_COMMAND, .index = 1 + i, .term = 3};
    entries[i].payload = (struct blob_part){.blob = blob, .bytes = bytes_of(blob->data, blob->size)};
    entry_seal(&entries[i].head, entries[i].payload.bytes, 0);
  }
  peer_lane_send(lane->lane, shot->group, &message, entries, shot->append ? shot->count : 0);
  for (size_t i = 0; shot->append && i < shot->count; i++) entry_release(&entries[i]);
}

static void something_happens(struct chance *chance) {
  struct stage_broker *a = &stage->brokers[chance_below(chance, 3)];
  struct stage_broker *b = &stage->brokers[chance_below(chance, 3)];
  switch (chance_below(chance, 40)) {
    case 0: stage_cut(a, b, true); break;
    case 1:
    case 2:
    case 3: stage_cut(a, b, false); break;
    case 4: (void)sim_net_reset(stage->net, NULL, 50); break;
    case 5:
      if (chance_in(chance, 500)) stage_kill(a);
      else stage_stop(a);
      watch(a);
      stage_start(a);
      stage_meet(stage);
      break;
    case 6:
      sim_process_pause(sim_world_process(a->process));
      stage_run_ms(stage, (unsigned)chance_below(chance, 1500));
      sim_process_resume(sim_world_process(a->process));
      break;
    case 7: {
      broker_id id = b->id;
      stage_on(&a->lanes[0], reconnect, &id);
      break;
    }
    case 8: stage_speed(a, b, chance_in(chance, 500) ? 0 : 1u << 20); break;
    default: {
      struct shot shot = {.to = b,
                          .group = chance_below(chance, 8),
                          .append = chance_in(chance, 500),
                          .count = chance_below(chance, 4),
                          .payload_bytes = chance_below(chance, 30000)};
      unsigned shots = chance_in(chance, 50) ? 60 : 1;
      for (unsigned i = 0; i < shots && a != b; i++) stage_on(&a->lanes[shot.group % LANES], shoot, &shot);
      if (shots > 1 && chance_in(chance, 300)) (void)sim_net_reset(stage->net, NULL, 100);
      if (chance_in(chance, 300)) stage_run_ms(stage, (unsigned)chance_below(chance, 100));
      break;
    }
  }
}

static void mend_everything(void) {
  for (size_t i = 0; i < 3; i++) {
    for (size_t j = 0; j < 3; j++) {
      stage_cut(&stage->brokers[i], &stage->brokers[j], false);
      stage_speed(&stage->brokers[i], &stage->brokers[j], 0);
    }
  }
  stage_run_ms(stage, 8000);
}

static void assert_they_speak(struct stage_broker *from, struct stage_broker *to) {
  char up[16], down[16];
  snprintf(up, sizeof up, "up%u", from->id);
  snprintf(down, sizeof down, "down%u", from->id);
  assert_int_equal(stage_count(&to->lanes[0], up), stage_count(&to->lanes[0], down) + 1);
  size_t before = to->lanes[1].messages;
  struct shot append = {.to = to, .group = 7, .append = true, .count = 1, .payload_bytes = 100}, vote = {.to = to, .group = 7};
  stage_on(&from->lanes[1], shoot, &append);
  stage_on(&from->lanes[1], shoot, &vote);
  stage_run_ms(stage, 500);
  assert_int_equal(to->lanes[1].messages, before + 2);
}

static void whatever_happens_messages_stay_in_order_and_all_ends_well(void **state) {
  (void)state;
  struct chance chance = {.state = chance_seed()};
  stage = peer_stage_new(false, 3, LANES, chance_next(&chance));
  memset(heard, 0, sizeof heard);
  for (size_t i = 0; i < 3; i++) {
    watch(&stage->brokers[i]);
    stage_start(&stage->brokers[i]);
  }
  stage_meet(stage);

  for (unsigned round = 0; round < 2000; round++) something_happens(&chance);
  mend_everything();

  for (size_t i = 0; i < 3; i++) {
    for (size_t j = 0; j < 3; j++) {
      if (i != j) assert_they_speak(&stage->brokers[i], &stage->brokers[j]);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(whatever_happens_messages_stay_in_order_and_all_ends_well, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
