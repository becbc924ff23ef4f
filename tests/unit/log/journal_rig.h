/* A journal on the real disk, in a directory of its own: opened, started, written to, closed, tampered with, opened again, and
 * everything it tells written down.
 */
#ifndef CAIRN_TESTS_UNIT_LOG_JOURNAL_RIG_H
#define CAIRN_TESTS_UNIT_LOG_JOURNAL_RIG_H

#include "tests/unit/log/cmocka_log.h"

#include <stdatomic.h>
#include <stdbool.h>

#include "base/os/world_os.h"
#include "log/journal.h"

#define RIG_FRAMES_MAX 65536u
#define RIG_SMALL_FILE (256u << 10)

struct rig_frame {
  group_id group;
  instance_id instance;
  enum frame_kind kind;
  entry_index index;
  struct hard_state state; /* HARD_STATE */
  uint64_t size;
  uint64_t hash; /* of the body */
  struct journal_place place;
};
struct rig_damage {
  bool known;
  group_id group;
  instance_id instance;
  entry_index index;
};

struct rig {
  char directory[256];
  struct world *world;
  struct loop *lane;
  struct journal_options options;
  struct journal *journal;
  struct journal_report report;

  /* What the last opening told. */
  struct rig_frame *found;
  size_t found_count;
  struct rig_damage damage[64];
  size_t damage_count;
  struct journal_loss dropped[64];
  size_t dropped_count;
};

/* Small files: 256 KiB, groups of 32 KiB, a ring of 2 MiB. */
void rig_init(struct rig *rig);
void rig_deinit(struct rig *rig);
int rig_set_up(void **state);
int rig_tear_down(void **state);

enum status rig_try_open(struct rig *rig, uint64_t durable_through);
void rig_open(struct rig *rig); /* and must succeed */
void rig_start(struct rig *rig);
void rig_close(struct rig *rig);

/* One turn of a lane. Add frames, then submit and wait. */
struct rig_turn {
  struct journal_write write;
  atomic_int answered; /* its place among the answers, from 1 */
};
void rig_turn_init(struct rig *rig, struct rig_turn *turn);
void rig_turn_deinit(struct rig_turn *turn);
/* The payload's contents follow from group and index. */
void rig_add_entry(struct rig_turn *turn, group_id group, entry_index index, size_t size);
void rig_submit(struct rig *rig, struct rig_turn *turn);
enum status rig_wait(struct rig_turn *turn);

/* One entry, alone in its group; waits. Returns where it is. */
struct journal_place rig_append(struct rig *rig, group_id group, entry_index index, size_t size);
void rig_hard_state(struct rig *rig, group_id group, entry_term term);
/* Appends entries of `size` until the journal writes into another file; returns the next index. */
entry_index rig_fill_file(struct rig *rig, group_id group, entry_index index, size_t size);
/* Waits until the journal has nothing more to do to its files. */
void rig_settle(struct rig *rig);

uint64_t rig_body_hash(group_id group, entry_index index, size_t size);
/* Found entries of a group are first .. last, each whole and once, in order. */
void rig_expect_entries(const struct rig *rig, group_id group, entry_index first, entry_index last, size_t size);
size_t rig_count(const struct rig *rig, enum frame_kind kind, group_id group);
/* The newest told; term 0: none. */
struct hard_state rig_found_state(const struct rig *rig, group_id group);

/* ---- Tampering: while the journal is closed ---- */

void rig_flip(const struct rig *rig, uint64_t file, uint64_t offset, uint8_t mask);
void rig_overwrite(const struct rig *rig, uint64_t file, uint64_t offset, const void *bytes, size_t size);
void rig_read(const struct rig *rig, uint64_t file, uint64_t offset, void *into, size_t size);
/* The whole directory's files, in memory, and back. */
struct rig_image;
struct rig_image *rig_image_take(const struct rig *rig);
void rig_image_restore(const struct rig *rig, const struct rig_image *image);
void rig_image_free(struct rig_image *image);

#endif
