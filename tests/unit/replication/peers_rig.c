#include "tests/unit/replication/peers_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct peer_stage *stage;
struct stage_broker *one, *two, *three;

void rig_begin(size_t brokers, unsigned lanes) {
  stage = peer_stage_new(false, brokers, lanes, 41);
  one = &stage->brokers[0];
  two = &stage->brokers[1];
  three = &stage->brokers[2];
  for (size_t i = 0; i < brokers; i++) stage_start(&stage->brokers[i]);
  stage_meet(stage);
}

int rig_tear_down(void **state) {
  (void)state;
  peer_stage_free(stage);
  return 0;
}

void rig_assert_told(struct stage_lane *lane, const char *word) {
  if (!stage_told(lane, word, 5000)) fail_msg("%s is missing in:%.*s", word, (int)lane->told.size, (char *)lane->told.data);
}

void rig_assert_all_up(void) {
  for (size_t i = 0; i < stage->count; i++) {
    for (size_t j = 0; j < stage->count; j++) {
      char word[16];
      snprintf(word, sizeof word, "up%u", stage->brokers[j].id);
      if (i != j) rig_assert_told(&stage->brokers[i].lanes[0], word);
    }
  }
}

void rig_forget_all(void) {
  for (size_t i = 0; i < stage->count; i++) {
    struct stage_broker *broker = &stage->brokers[i];
    for (unsigned lane = 0; broker->peers != NULL && lane < broker->lane_count; lane++) stage_forget(&broker->lanes[lane]);
  }
}
