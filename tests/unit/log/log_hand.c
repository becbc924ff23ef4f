#include "tests/unit/log/log_hand.h"

#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/list.h"

struct act {
  struct hand *hand;
  const struct hand_entry *wanted;
  const struct entry *entry;
  const struct hard_state *state;
  const struct log_base *base;
  entry_index index;
};

static struct log *log_of(const struct hand *hand) { return hand->log != NULL ? hand->log : hand->fixture->logs[hand->group]; }

static void write_done(struct task *task) {
  struct hand *hand = container_of(container_of(task, struct journal_write, done), struct hand, write);
  CHECK(hand->write.status == STATUS_OK);
  for (size_t i = 0; i < hand->write.count; i++) {
    const struct journal_frame *frame = &hand->write.frames[i];
    bool own = hand->other == NULL || log_view(hand->other).instance != frame->instance;
    log_frame_durable(own ? log_of(hand) : hand->other, frame);
    if (!own && frame->kind == FRAME_CLOSE) hand->other = NULL;
  }
  journal_write_reset(&hand->write);
  atomic_store(&hand->durable, true);
}

void hand_init(struct hand *hand, struct fixture *fixture, group_id group) {
  *hand = (struct hand){.fixture = fixture, .group = group};
  journal_write_init(&hand->write, fixture->lanes[group % 2], write_done);
}
void hand_deinit(struct hand *hand) { journal_write_deinit(&hand->write); }

static void do_append(void *context) {
  const struct act *act = context;
  const struct hand_entry *wanted = act->wanted;
  struct log_view view = log_view(log_of(act->hand));
  struct blob *blob = NULL;
  struct entry entry = {0};
  if (wanted->size > 0) {
    CHECK(blob_new(NULL, wanted->size, &blob) == STATUS_OK);
    memset(blob->data, wanted->fill, wanted->size);
    entry.payload = (struct blob_part){.blob = blob, .bytes = bytes_of(blob->data, blob->size)};
  }
  int64_t time_ms = wanted->time_ms != 0 ? wanted->time_ms : 1000;
  bool records = wanted->kind == 0 || wanted->kind == ENTRY_RECORDS;
  entry.head = (struct entry_head){
      .kind = records ? ENTRY_RECORDS : wanted->kind,
      .record_count = !records              ? 0
                      : wanted->records > 0 ? wanted->records
                                            : 1,
      .uncompressed_size = (uint32_t)wanted->size,
      .index = view.last_index + 1,
      .term = wanted->term != 0    ? wanted->term
              : view.last_term > 0 ? view.last_term
                                   : 1,
      .base_offset = view.next_offset,
      .base_time_ms = time_ms,
      .max_time_ms = time_ms,
      .leader_time_ms = time_ms,
  };
  log_append(log_of(act->hand), &act->hand->write, &entry);
  blob_release(blob);
}

void hand_append(struct hand *hand, const struct hand_entry *wanted) {
  while (log_set_admit(hand->fixture->set, wanted->size) != STATUS_OK) usleep(1000);
  struct act act = {.hand = hand, .wanted = wanted};
  fixture_run(hand->fixture, hand->group, do_append, &act);
}

static void do_append_sealed(void *context) {
  const struct act *act = context;
  log_append_sealed(log_of(act->hand), &act->hand->write, act->entry);
}
void hand_append_sealed(struct hand *hand, const struct entry *entry) {
  while (log_set_admit(hand->fixture->set, entry->head.payload_size) != STATUS_OK) usleep(1000);
  struct act act = {.hand = hand, .entry = entry};
  fixture_run(hand->fixture, hand->group, do_append_sealed, &act);
}

static void do_cut(void *context) {
  const struct act *act = context;
  log_cut(log_of(act->hand), &act->hand->write, act->index);
}
void hand_cut(struct hand *hand, entry_index from) {
  struct act act = {.hand = hand, .index = from};
  fixture_run(hand->fixture, hand->group, do_cut, &act);
}

static void do_hard_state(void *context) {
  const struct act *act = context;
  log_set_hard_state(log_of(act->hand), &act->hand->write, act->state);
}
void hand_hard_state(struct hand *hand, const struct hard_state *state) {
  struct act act = {.hand = hand, .state = state};
  fixture_run(hand->fixture, hand->group, do_hard_state, &act);
}

static void do_create_at(void *context) {
  const struct act *act = context;
  act->hand->log = log_create_at(act->hand->fixture->logs[act->hand->group], &act->hand->write, act->base);
}
void hand_create_at(struct hand *hand, const struct log_base *base) {
  struct act act = {.hand = hand, .base = base};
  fixture_run(hand->fixture, hand->group, do_create_at, &act);
}

static void do_replace(void *context) {
  struct hand *hand = context;
  hand->other = hand->fixture->logs[hand->group];
  log_replace(hand->log, &hand->write);
  hand->fixture->logs[hand->group] = hand->log;
}
void hand_replace(struct hand *hand) { fixture_run(hand->fixture, hand->group, do_replace, hand); }

static void do_delete(void *context) {
  struct hand *hand = context;
  log_delete(log_of(hand), &hand->write);
}
void hand_delete(struct hand *hand) { fixture_run(hand->fixture, hand->group, do_delete, hand); }

static void do_submit(void *context) {
  struct hand *hand = context;
  atomic_store(&hand->durable, false);
  journal_submit(log_set_journal(hand->fixture->set), &hand->write);
}
void hand_submit(struct hand *hand) {
  fixture_run(hand->fixture, hand->group, do_submit, hand);
  while (!atomic_load(&hand->durable)) usleep(100);
}

static void do_commit(void *context) {
  const struct act *act = context;
  log_set_commit(log_of(act->hand), act->index);
  log_set_applied(log_of(act->hand), act->index);
}
void hand_commit_log(struct hand *hand, entry_index commit) {
  struct act act = {.hand = hand, .index = commit};
  fixture_run(hand->fixture, hand->group, do_commit, &act);
}
void hand_commit(struct fixture *fixture, group_id group, entry_index commit) {
  struct hand hand = {.fixture = fixture, .group = group};
  struct act act = {.hand = &hand, .index = commit};
  fixture_run(fixture, group, do_commit, &act);
}

struct fetching {
  struct log *log;
  struct log_fetch *fetch;
  struct task task;
  atomic_bool done;
};
static struct fetching *fetching_of; /* one at a time */

static void fetch_done(struct task *task) {
  (void)task;
  atomic_store(&fetching_of->done, true);
}
static void do_fetch(void *context) {
  struct fetching *fetching = context;
  if (log_fetch(fetching->log, fetching->fetch)) atomic_store(&fetching->done, true);
}
void hand_fetch(struct fixture *fixture, group_id group, struct log_fetch *fetch) {
  struct fetching fetching = {.log = fixture->logs[group], .fetch = fetch};
  fetching_of = &fetching;
  fetch->loop = fixture->lanes[group % 2];
  fetch->done.run = fetch_done;
  fixture_run(fixture, group, do_fetch, &fetching);
  while (!atomic_load(&fetching.done)) usleep(100);
}
