/* A lane as small as can be: one loop that owns logs, one journal write per turn, commit as soon as it is durable. Its script runs
 * as blocking code on the process's fiber and hands each turn over.
 */
#ifndef CAIRN_TESTS_CRASH_CRASH_LANE_H
#define CAIRN_TESTS_CRASH_CRASH_LANE_H

#include "log/log_set.h"
#include "tests/crash/crash_model.h"

#define LANE_TURN_MAX 12u

enum lane_act {
  LANE_CREATE,
  LANE_APPEND,    /* `size` bytes, `count` records */
  LANE_AHEAD,     /* an append that is committed and applied at once, as when others have it before this disk */
  LANE_HOLD_BACK, /* an append that is not committed when it is durable */
  LANE_CUT,       /* voids what was held back */
  LANE_TRIM,      /* to `size` */
  LANE_HARD_STATE,
  LANE_DELETE
};
struct lane_step {
  enum lane_act act;
  group_id group;
  uint64_t size;
  uint32_t count;
};

struct lane_log {
  struct crash_lane *lane;
  struct log *log;
  struct model_log *model;
  entry_index applied;
  entry_index held_from; /* entries from here on are held back; 0: none */
};

struct crash_lane {
  struct crash_lab *lab;
  struct crash_model *model;
  struct log_set *set;
  struct loop *loop;
  struct lane_log logs[MODEL_LOGS];
  struct log_settings settings;
  unsigned in_flight;
  bool standing; /* an admission that nothing is appended for: too much given back would show in it */
  bool failed;
};

/* Opens the set and checks what it holds against the model; what is there is the truth afterwards. False: it cannot go on, but
 * is to be closed all the same. (crash_open.c) */
bool crash_lane_open(struct crash_lane *lane, struct crash_lab *lab, const struct log_set_options *options);
void crash_lane_close(struct crash_lane *lane, bool checkpoint);

bool crash_lane_going(const struct crash_lane *lane);
/* Has the lane run something, and waits for it. */
void crash_lane_call(struct crash_lane *lane, void (*run)(struct crash_lane *lane, void *argument), void *argument);
/* What the lane tells the checkpoint of an owner's state: the index, and a hash over all payloads up to it. */
#define LANE_STATE_SIZE 16u
enum status crash_lane_snapshot(void *context, struct buffer *out);
/* Waits for room and until fewer than `in_flight_max` turns are on their way, then submits one. */
void crash_lane_turn(struct crash_lane *lane, const struct lane_step *steps, size_t count, unsigned in_flight_max);
void crash_lane_wait(struct crash_lane *lane); /* for all turns */
void crash_lane_checkpoint(struct crash_lane *lane);
/* Reads everything back, from memory or files, and compares. Returns whether the entries behind a cut were the old ones, by log. */
void crash_lane_read_all(struct crash_lane *lane, bool old_tails[MODEL_LOGS]);

#endif
