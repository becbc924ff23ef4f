#include "tests/sim/rot.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "log/journal_format.h"

#define FLIPS_MAX 6u
#define VOUCHING_GROUPS \
  2u /* the newest two stay: the last may be on its way, and the one before says what was synced before it */

struct choice {
  struct sim_random *chance;
  uint64_t seen; /* that were passed */
  char path[DISK_PATH_MAX];
  uint64_t size;
};

/* Keeps one, each with the same chance. */
static bool takes(struct choice *choice) { return sim_random_below(choice->chance, ++choice->seen) == 0; }

static void take_file(struct choice *choice, const char *path, uint64_t size) {
  snprintf(choice->path, sizeof choice->path, "%s", path);
  choice->size = size;
}

static void flip(struct run *run, struct sim_random *chance, unsigned which, const char *path, uint64_t position) {
  (void)sim_disk_flip(sim_node_disk(run->nodes[which]), path, position, (uint8_t)(1u << sim_random_below(chance, 8)));
  run_trace(run, "nemesis", "rot on node %u: %s at %llu", which, path, (unsigned long long)position);
}

/* ---- Anything ---- */

struct anything {
  struct choice choice;
  char tables[DISK_PATH_MAX]; /* the one copy of the tables that may rot; "" while none has */
};

static bool holds_tables(const char *path) { return strcmp(path, "store.mdb") == 0 || strncmp(path, "dump/", 5) == 0; }
static bool is_journal(const char *path) { return strncmp(path, "journal/", 8) == 0; }

static void pick_file(void *context, const char *path, uint64_t size) {
  struct anything *any = context;
  if (size == 0 || strncmp(path, "lock", 4) == 0) return;
  if (holds_tables(path) && any->tables[0] != '\0' && strcmp(path, any->tables) != 0) return;
  if (is_journal(path) && sim_random_chance(any->choice.chance, 80)) return; /* there are many, and little is left in most */
  if (takes(&any->choice)) take_file(&any->choice, path, size);
}

void rot_anything(struct run *run, struct sim_random *chance, unsigned which) {
  uint64_t flips = 1 + sim_random_below(chance, FLIPS_MAX);
  struct anything any = {.choice = {.chance = chance}};
  for (uint64_t i = 0; i < flips; i++) {
    any.choice.seen = any.choice.size = 0;
    sim_disk_each(sim_node_disk(run->nodes[which]), pick_file, &any);
    if (any.choice.size == 0) continue;
    if (holds_tables(any.choice.path)) memcpy(any.tables, any.choice.path, sizeof any.tables);
    flip(run, chance, which, any.choice.path, sim_random_below(chance, any.choice.size));
  }
}

/* ---- Groups of the journal ---- */

struct groups {
  const struct sim_disk *disk;
  struct choice *choice; /* NULL: only the newest is asked for */
  uint64_t newest;
  uint64_t position; /* of the one that was chosen, in its file */
  uint64_t bytes;
};

static bool is_of_the_map(const uint8_t *directory, const struct journal_group_head *head) {
  for (uint32_t i = 0; i < head->rows; i++) {
    struct journal_row row = journal_row_decode(directory + JOURNAL_GROUP_HEAD_SIZE + (size_t)i * JOURNAL_ROW_SIZE);
    if (row.group == 0 && row.kind != FRAME_CHECKPOINT) return true;
  }
  return false;
}

static bool read_group(const struct groups *groups, const char *path, const struct journal_file_head *file, uint64_t at,
                       struct journal_group_head *out_head, bool *out_spared) {
  uint8_t block[JOURNAL_BLOCK];
  if (!sim_disk_peek(groups->disk, path, at, block, sizeof block)) return false;
  size_t size = journal_group_directory_end(block);
  if (size == 0) return false;
  if (size < sizeof block) size = sizeof block;
  uint8_t *directory = memory_new(size);
  bool whole = sim_disk_peek(groups->disk, path, at, directory, size) &&
               journal_group_head_decode(bytes_of(directory, size), file, (uint32_t)(at / JOURNAL_BLOCK), out_head) == STATUS_OK;
  *out_spared = whole && is_of_the_map(directory, out_head);
  memory_free(directory);
  return whole;
}

static void see_group(struct groups *groups, const char *path, uint64_t at, const struct journal_group_head *head) {
  if (groups->choice == NULL) {
    if (head->sequence > groups->newest) groups->newest = head->sequence;
    return;
  }
  if (head->sequence + VOUCHING_GROUPS > groups->newest || !takes(groups->choice)) return;
  take_file(groups->choice, path, 0);
  groups->position = at;
  groups->bytes = head->size;
}

/* Behind a group that cannot be made out any more the next one is looked for, block by block. */
static void see_file(void *context, const char *path, uint64_t size) {
  struct groups *groups = context;
  uint8_t block[JOURNAL_BLOCK];
  struct journal_file_head file;
  if (!is_journal(path) || size < 2 * JOURNAL_BLOCK || !sim_disk_peek(groups->disk, path, 0, block, sizeof block)) return;
  if (journal_file_head_decode(block, &file) != STATUS_OK) return;
  for (uint64_t at = JOURNAL_BLOCK; at < journal_groups_end(size);) {
    struct journal_group_head head;
    bool spared = false;
    bool there = read_group(groups, path, &file, at, &head, &spared);
    if (there && !(spared && groups->choice != NULL)) see_group(groups, path, at, &head);
    at += there ? journal_round_up(head.size) : JOURNAL_BLOCK;
  }
}

static bool rot_journal(struct run *run, struct sim_random *chance, unsigned which) {
  struct choice choice = {.chance = chance};
  struct groups groups = {.disk = sim_node_disk(run->nodes[which])};
  sim_disk_each(sim_node_disk(run->nodes[which]), see_file, &groups);
  groups.choice = &choice;
  sim_disk_each(sim_node_disk(run->nodes[which]), see_file, &groups);
  if (groups.bytes == 0) return false;
  uint64_t flips = 1 + sim_random_below(chance, FLIPS_MAX);
  for (uint64_t i = 0; i < flips; i++)
    flip(run, chance, which, choice.path, groups.position + sim_random_below(chance, groups.bytes));
  return true;
}

/* ---- Segments ---- */

static void pick_segment(void *context, const char *path, uint64_t size) {
  struct choice *choice = context;
  bool map = strncmp(path, "p/0-", 4) == 0;
  if (size > 0 && strncmp(path, "p/", 2) == 0 && !map && takes(choice)) take_file(choice, path, size);
}

static bool rot_segment(struct run *run, struct sim_random *chance, unsigned which) {
  struct choice choice = {.chance = chance};
  sim_disk_each(sim_node_disk(run->nodes[which]), pick_segment, &choice);
  if (choice.size == 0) return false;
  uint64_t flips = 1 + sim_random_below(chance, FLIPS_MAX);
  for (uint64_t i = 0; i < flips; i++) flip(run, chance, which, choice.path, sim_random_below(chance, choice.size));
  return true;
}

bool rot_what_others_have(struct run *run, struct sim_random *chance, unsigned which) {
  if (sim_random_chance(chance, 70)) return rot_journal(run, chance, which) || rot_segment(run, chance, which);
  return rot_segment(run, chance, which) || rot_journal(run, chance, which);
}
