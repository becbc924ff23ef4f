#include "log/journal_scan.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"
#include "base/mutant.h"
#include "base/probe.h"
#include "log/journal_judge.h"
#include "log/journal_tell.h"

#define READ_STEP (4u << 20)
#define NAME_DIGITS 20u
#define NUMBER_MAX (UINT64_MAX / 4)

enum file_state { FILE_READABLE, FILE_BLANK, FILE_UNREADABLE };

struct scan_file {
  struct journal_file file;
  enum file_state state;
  uint64_t size;     /* as the disk says */
  bool counts;       /* a group of it is good or rotten */
  uint64_t bad_head; /* where the last group stands whose head is damaged; 0: none */
};

struct scan {
  struct disk *disk;
  const uint8_t *owner;
  struct scan_file *files;
  size_t file_count;
  size_t file_capacity;
  struct journal_seen *seen;
  size_t seen_count;
  size_t seen_capacity;
  uint64_t released_below;
  uint8_t *memory; /* one file */
  uint64_t memory_size;
};

/* ---- Files ---- */

static void note_name(void *context, const char *name) {
  struct scan *scan = context;
  uint64_t number = 0;
  size_t length = strlen(name);
  if (length != NAME_DIGITS) return;
  for (size_t i = 0; i < length; i++) {
    if (name[i] < '0' || name[i] > '9' || number > NUMBER_MAX / 10) return; /* nor does any file of ours get that far */
    number = number * 10 + (uint64_t)(name[i] - '0');
  }
  if (scan->file_count == scan->file_capacity) {
    scan->file_capacity = scan->file_capacity == 0 ? 16 : scan->file_capacity * 2;
    scan->files = memory_grow_array(scan->files, scan->file_capacity, sizeof *scan->files);
  }
  scan->files[scan->file_count++] = (struct scan_file){.file = {.name = number}};
}

static enum status open_file(struct scan *scan, const struct scan_file *file, struct disk_file **out_disk) {
  char path[DISK_PATH_MAX];
  journal_file_path(path, file->file.name);
  return disk_open(scan->disk, path, DISK_READ_ONLY | DISK_DIRECT, out_disk);
}

static bool is_owned(const struct scan *scan, const struct journal_file_head *head) {
  static const uint8_t anybody[JOURNAL_OWNER_SIZE];
  return memcmp(scan->owner, anybody, JOURNAL_OWNER_SIZE) == 0 || memcmp(scan->owner, head->owner, JOURNAL_OWNER_SIZE) == 0;
}

/* Either copy of the head will do; which says what is bad when neither does. */
static enum status read_head(struct scan *scan, struct scan_file *file, struct disk_file *disk) {
  uint64_t copy_at = file->size >= 2 * JOURNAL_BLOCK ? (file->size / JOURNAL_BLOCK - 1) * JOURNAL_BLOCK : 0;
  uint64_t places[2] = {0, copy_at};
  bool blank = false;
  for (unsigned i = 0; i < 2; i++) {
    size_t size = 0;
    memset(scan->memory, 0, JOURNAL_BLOCK);
    enum status status = disk_read(disk, places[i], scan->memory, JOURNAL_BLOCK, &size);
    if (status != STATUS_OK) return status;
    status = journal_file_head_decode(scan->memory, &file->file.head);
    if (status == STATUS_FOREIGN) return STATUS_FOREIGN;
    if (status == STATUS_OK) {
      file->state = FILE_READABLE;
      return is_owned(scan, &file->file.head) ? STATUS_OK : STATUS_FOREIGN;
    }
    /* Zeros in front: a new file whose head was never written, so no group was either. Its copy may have been torn. */
    if (status == STATUS_END && i == 0) blank = true;
  }
  file->state = blank ? FILE_BLANK : FILE_UNREADABLE;
  file->file.head = (struct journal_file_head){.sequence = file->file.name, .size = file->size};
  return STATUS_OK;
}

static enum status meet_file(struct scan *scan, struct scan_file *file) {
  struct disk_file *disk = NULL;
  enum status status = open_file(scan, file, &disk);
  if (status != STATUS_OK) return status;
  struct disk_stat stat;
  status = disk_stat_file(disk, &stat);
  if (status == STATUS_OK) {
    file->size = stat.size;
    status = read_head(scan, file, disk);
  }
  disk_close(disk);
  return status;
}

static int by_sequence(const void *a, const void *b) {
  const struct scan_file *one = a;
  const struct scan_file *other = b;
  if (one->file.head.sequence != other->file.head.sequence) {
    return one->file.head.sequence < other->file.head.sequence ? -1 : 1;
  }
  return one->file.name < other->file.name ? -1 : 1;
}

/* No two of our files have the same number in their heads: one of them is a copy that somebody made. The name tells which. */
static void pass_over_copies(struct scan *scan) {
  size_t kept = 0;
  for (size_t i = 0; i < scan->file_count; i++) {
    struct scan_file *file = &scan->files[i];
    struct scan_file *before = kept > 0 ? &scan->files[kept - 1] : NULL;
    if (before == NULL || before->file.head.sequence != file->file.head.sequence) {
      scan->files[kept++] = *file;
    } else if (file->state == FILE_READABLE && (before->state != FILE_READABLE || file->file.name == file->file.head.sequence)) {
      *before = *file;
    }
  }
  scan->file_count = kept;
}

static enum status meet_files(struct scan *scan) {
  enum status status = disk_list(scan->disk, JOURNAL_DIRECTORY, note_name, scan);
  if (status == STATUS_NOT_FOUND) return STATUS_OK;
  if (status != STATUS_OK) return status;
  scan->memory_size = JOURNAL_BLOCK;
  scan->memory = memory_new_aligned(JOURNAL_BLOCK, scan->memory_size);
  uint64_t largest = JOURNAL_BLOCK;
  for (size_t i = 0; i < scan->file_count; i++) {
    status = meet_file(scan, &scan->files[i]);
    if (status != STATUS_OK) return status;
    if (scan->files[i].size > largest) largest = scan->files[i].size;
  }
  memory_free(scan->memory);
  scan->memory_size = journal_round_up(largest);
  scan->memory = memory_new_aligned(JOURNAL_BLOCK, scan->memory_size);
  if (scan->file_count > 0) qsort(scan->files, scan->file_count, sizeof *scan->files, by_sequence);
  pass_over_copies(scan);
  return STATUS_OK;
}

/* The whole file into memory. `out_size`: whole blocks; what a file that was cut short does not have is not there. */
static enum status load(struct scan *scan, const struct scan_file *file, uint64_t *out_size) {
  struct disk_file *disk = NULL;
  enum status status = open_file(scan, file, &disk);
  uint64_t at = 0;
  while (status == STATUS_OK && at < file->size) {
    size_t step = scan->memory_size - at < READ_STEP ? (size_t)(scan->memory_size - at) : READ_STEP;
    size_t size = 0;
    status = disk_read(disk, at, scan->memory + at, step, &size);
    if (status != STATUS_OK || size == 0) break;
    at += size;
  }
  disk_close(disk);
  *out_size = at & ~(uint64_t)(JOURNAL_BLOCK - 1);
  if (*out_size > file->file.head.size) *out_size = file->file.head.size;
  return status;
}

/* ---- Groups ---- */

static bool bodies_are_whole(const struct journal_file_head *file, const struct journal_group_head *head, const uint8_t *group,
                             uint32_t *out_frames) {
  bool whole = true;
  uint32_t frames = 0;
  uint32_t seed = journal_crc_seed(file);
  const uint8_t *body = group + JOURNAL_GROUP_HEAD_SIZE + (size_t)head->rows * JOURNAL_ROW_SIZE;
  for (uint32_t slot = 0; slot < head->rows; slot++) {
    struct journal_row row = journal_row_decode(group + JOURNAL_GROUP_HEAD_SIZE + (size_t)slot * JOURNAL_ROW_SIZE);
    if (crc32c(seed, bytes_of(body, row.size)) != row.crc && !MUTANT(torn_tail_accepted)) whole = false;
    if (row.kind != FRAME_TABLE) frames++;
    body += row.size;
  }
  *out_frames = frames;
  return whole;
}

static void note_group(struct scan *scan, size_t file, const struct journal_group_head *head, bool whole, uint32_t frames) {
  if (scan->seen_count == scan->seen_capacity) {
    scan->seen_capacity = scan->seen_capacity == 0 ? 1024 : scan->seen_capacity * 2;
    scan->seen = memory_grow_array(scan->seen, scan->seen_capacity, sizeof *scan->seen);
  }
  scan->seen[scan->seen_count++] = (struct journal_seen){.head = *head, .file = file, .whole = whole, .frames = frames};
}

/* Is a whole group, body included, within what was read? */
static bool group_at(const struct scan *scan, const struct journal_file_head *file, uint64_t at, uint64_t end,
                     struct journal_group_head *out_head) {
  struct bytes group = bytes_of(scan->memory + at, (size_t)(end - at));
  if (journal_group_head_decode(group, file, (uint32_t)(at / JOURNAL_BLOCK), out_head) != STATUS_OK) return false;
  return out_head->size <= end - at;
}

static enum status see_groups(struct scan *scan, size_t file) {
  const struct journal_file_head *head = &scan->files[file].file.head;
  uint64_t end = 0;
  enum status status = load(scan, &scan->files[file], &end);
  if (status != STATUS_OK) return status;
  uint64_t at = JOURNAL_BLOCK;
  while (at < end) {
    struct journal_group_head group;
    if (!group_at(scan, head, at, end, &group)) {
      if (journal_group_head_resembles(scan->memory + at, head, (uint32_t)(at / JOURNAL_BLOCK))) scan->files[file].bad_head = at;
      at += JOURNAL_BLOCK;
      continue;
    }
    uint32_t frames = 0;
    bool whole = bodies_are_whole(head, &group, scan->memory + at, &frames);
    note_group(scan, file, &group, whole, frames);
    at += journal_round_up(group.size);
  }
  return STATUS_OK;
}

/* ---- Telling ---- */

/* Files below do not count: some group that does says that they were released. */
static uint64_t released_below(const struct scan *scan) {
  uint64_t below = 0;
  for (size_t i = 0; i < scan->seen_count; i++) {
    const struct journal_seen *seen = &scan->seen[i];
    if (seen->verdict == VERDICT_GOOD && seen->head.released_below > below) below = seen->head.released_below;
  }
  return below;
}

/* The first group that counts: what is lost before its file is lost to files that do not. */
static void forget_losses_before(struct journal_seen *first) {
  uint64_t known = first->head.sequence - first->head.file_first;
  if (first->lost_before > known) first->lost_before = known;
}

/* What an unfinished start carried stands where it was found, too. */
static bool is_dropped(const struct journal_seen *seen) {
  return seen->verdict == VERDICT_TORN && (seen->head.flags & GROUP_CARRIED) == 0;
}

static void tell_groups(struct scan *scan, struct scan_file *file, uint64_t end, struct journal_seen *seen, size_t count,
                        struct journal_teller *teller) {
  for (size_t i = 0; i < count; i++) {
    uint64_t at = (uint64_t)seen[i].head.block * JOURNAL_BLOCK;
    struct journal_place place = {.file = seen[i].head.file, .offset = at};
    if (seen[i].lost_before > 0) journal_tell_lost(teller, seen[i].lost_frames, place);
    if (seen[i].verdict <= VERDICT_TORN && !is_dropped(&seen[i])) continue;
    struct journal_group_head head;
    bool there = group_at(scan, &file->file.head, at, end, &head) && head.hash == seen[i].head.hash;
    if (is_dropped(&seen[i])) {
      if (there) journal_tell_dropped(teller, &head, scan->memory + at);
      continue;
    }
    if (!there) {
      journal_tell_lost(teller, true, place); /* it could be read a moment ago */
      continue;
    }
    if (journal_tell_group(teller, &file->file.head, &head, scan->memory + at)) file->file.has_table = true;
    file->file.end = at + journal_round_up(head.size);
    teller->report->groups++;
    teller->report->bytes += journal_round_up(head.size);
  }
}

/* `out_load`: they are to be looked at once more. `out_lost`: some that cannot be seen are. */
static size_t groups_of_file(const struct scan *scan, size_t first, bool *out_counts, bool *out_load, bool *out_lost) {
  size_t count = 0;
  *out_counts = false;
  *out_load = false;
  *out_lost = false;
  while (first + count < scan->seen_count && scan->seen[first + count].file == scan->seen[first].file) {
    const struct journal_seen *seen = &scan->seen[first + count++];
    if (seen->verdict > VERDICT_TORN) *out_counts = true;
    if (seen->verdict > VERDICT_TORN || is_dropped(seen)) *out_load = true;
    if (seen->lost_before > 0) *out_lost = true;
  }
  return count;
}

static enum status tell_files(struct scan *scan, struct journal_teller *teller) {
  bool any = false;
  for (size_t first = 0, count = 0; first < scan->seen_count; first += count) {
    struct scan_file *file = &scan->files[scan->seen[first].file];
    bool load_it = false;
    bool lost = false;
    count = groups_of_file(scan, first, &file->counts, &load_it, &lost);
    if (file->file.head.sequence < scan->released_below) continue;
    if (!any) forget_losses_before(&scan->seen[first]);
    any = true;
    uint64_t end = 0;
    if (!load_it && !lost) continue;
    if (load_it) {
      enum status status = load(scan, file, &end);
      if (status != STATUS_OK) return status;
    }
    tell_groups(scan, file, end, scan->seen + first, count, teller);
  }
  return STATUS_OK;
}

/* A group behind all that counts, with a damaged head: it was torn, or rot hit the end. Whose frames it held cannot be read. */
static void tell_bad_head_at_end(const struct scan *scan, const struct journal_replay *replay) {
  size_t i = scan->file_count;
  while (i > 0 && !scan->files[i - 1].counts) i--;
  for (i = i > 0 ? i - 1 : 0; i < scan->file_count && replay->dropped != NULL; i++) {
    const struct scan_file *file = &scan->files[i];
    if (file->bad_head == 0 || file->bad_head < file->file.end) continue;
    struct journal_place place = {.file = file->file.head.sequence, .offset = file->bad_head};
    replay->dropped(replay->context, &(struct journal_loss){.place = place});
  }
}

/* A file whose head is lost in both copies. Between others the numbers of the groups tell whether it held any; before the oldest
 * and behind the newest nothing does. */
static bool unreadable_matters(const struct scan *scan) {
  bool before_all = false;
  bool behind = false;
  bool any = false;
  for (size_t i = 0; i < scan->file_count; i++) {
    if (scan->files[i].file.head.sequence < scan->released_below) continue;
    if (scan->files[i].state == FILE_UNREADABLE) {
      if (any) behind = true;
      else before_all = true;
    } else if (scan->files[i].counts) {
      any = true;
      behind = false;
    }
  }
  return before_all || behind;
}

static void adopt_files(struct scan *scan, struct journal_ring *ring) {
  for (size_t i = 0; i < scan->file_count; i++) {
    struct scan_file *file = &scan->files[i];
    file->file.blank = file->state != FILE_UNREADABLE && !file->counts;
    file->file.head.size = file->size; /* that of the file itself decides whether it can be recycled */
    if (file->state == FILE_UNREADABLE) file->file.end = file->size;
    journal_ring_adopt(ring, &file->file);
  }
}

static enum status scan_and_tell(struct scan *scan, uint64_t durable_through, struct journal_teller *teller,
                                 struct journal_scan_result *result) {
  enum status status = meet_files(scan);
  for (size_t i = 0; status == STATUS_OK && i < scan->file_count; i++) {
    if (scan->files[i].state == FILE_READABLE) status = see_groups(scan, i);
  }
  if (status != STATUS_OK) return status;
  struct journal_judgement judgement = journal_judge(scan->seen, scan->seen_count, durable_through);
  scan->released_below = released_below(scan);
  status = tell_files(scan, teller);
  if (status != STATUS_OK) return status;
  bool lost = judgement.lost_at_end > 0 || unreadable_matters(scan);
  if (lost) journal_tell_lost(teller, true, (struct journal_place){0});
  else tell_bad_head_at_end(scan, teller->replay);
  journal_tell_end(teller);
  result->next_sequence = judgement.next_sequence;
  result->last_hash = judgement.last_hash;
  result->frames = judgement.frames;
  result->report.files = scan->file_count;
  if (judgement.torn_groups > 0) REACHED(torn_tail_cut);
  result->report.torn_groups = judgement.torn_groups;
  result->report.rotten_groups = judgement.rotten_groups;
  result->report.last_group = judgement.next_sequence - 1;
  result->report.empty = scan->file_count == 0;
  return STATUS_OK;
}

enum status journal_scan(struct journal_ring *ring, struct journal_states *states, uint64_t durable_through,
                         const struct journal_replay *replay, struct journal_scan_result *out_result) {
  struct scan scan = {.disk = ring->disk, .owner = ring->owner};
  struct journal_scan_result result = {0};
  struct journal_teller teller;
  journal_teller_init(&teller, replay, states, &result.report);
  enum status status = scan_and_tell(&scan, durable_through, &teller, &result);
  if (status == STATUS_OK) {
    adopt_files(&scan, ring);
    journal_ring_release(ring, scan.released_below);
    journal_ring_give_up(ring, scan.released_below);
    *out_result = result;
  }
  journal_teller_deinit(&teller);
  memory_free(scan.files);
  memory_free(scan.seen);
  memory_free(scan.memory);
  return status;
}
