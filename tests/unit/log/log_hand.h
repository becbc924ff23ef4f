/* A journal write that a test fills and submits by hand, so that a log can be looked at while its frames are not on the disk. Every function
 * runs on the log's lane and waits for it.
 */
#ifndef CAIRN_TESTS_UNIT_LOG_LOG_HAND_H
#define CAIRN_TESTS_UNIT_LOG_LOG_HAND_H

#include "tests/unit/log/log_fixture.h"

struct hand {
  struct fixture *fixture;
  group_id group;
  struct log *log;   /* NULL: that of the group */
  struct log *other; /* whose frames of another instance are */
  struct journal_write write;
  atomic_bool durable;
};

struct hand_entry {
  enum entry_kind kind; /* 0: records */
  entry_term term;      /* 0: that of the last one, or 1 */
  uint32_t records;     /* 0: one, of an entry with records */
  size_t size;          /* of the payload */
  uint8_t fill;
  int64_t time_ms; /* 0: 1000 */
};

void hand_init(struct hand *hand, struct fixture *fixture, group_id group);
void hand_deinit(struct hand *hand);

/* At the end of the log. */
void hand_append(struct hand *hand, const struct hand_entry *wanted);
void hand_append_sealed(struct hand *hand, const struct entry *entry);
void hand_cut(struct hand *hand, entry_index from);
void hand_hard_state(struct hand *hand, const struct hard_state *state);
void hand_create_at(struct hand *hand, const struct log_base *base); /* hand->log is the spare from then on */
void hand_replace(struct hand *hand);
void hand_delete(struct hand *hand);
/* Submits what was gathered, waits until it is durable, tells the log. */
void hand_submit(struct hand *hand);

void hand_commit(struct fixture *fixture, group_id group, entry_index commit);
void hand_commit_log(struct hand *hand, entry_index commit);
/* Fetches one answer. The caller resets it. */
void hand_fetch(struct fixture *fixture, group_id group, struct log_fetch *fetch);

#endif
