/* Verifying: the segments of one log. */
#include <string.h>

#include "base/memory.h"
#include "log/inspect_private.h"

struct segment_check {
  struct inspection *inspection;
  const struct segment_info *info;
  struct inspect_finding finding; /* about the damage that is being walked through */
  bool bad;                       /* it is */
  record_offset next;
  entry_index next_index;
  uint64_t rest; /* position behind the last entry that counts, if bytes stand there that are no filling; 0: none do */
};

static struct inspect_finding finding_of(const struct group_row *row, const char *path) {
  return (struct inspect_finding){.severity = INSPECT_LOST, .file = path, .group = row->group, .instance = row->instance};
}

static void end_finding(struct segment_check *check, record_offset end, entry_index index) {
  if (!check->bad) return;
  check->bad = false;
  struct inspect_finding *finding = &check->finding;
  finding->end = end;
  finding->last_index = index - 1;
  if (finding->last_index >= finding->first_index) {
    inspect_tell(check->inspection, finding);
    return;
  }
  struct inspect_finding filling = *finding;
  filling.severity = INSPECT_DAMAGED;
  filling.first_index = filling.last_index = 0;
  filling.what = "the zeros between two entries are damaged";
  filling.advice = "nothing is lost";
  inspect_tell(check->inspection, &filling);
}

static const char *what_of(const struct inspect_entry *found, bool rebuilt) {
  if (strcmp(found->what, "payload") == 0) return "an entry's payload is damaged";
  if (strcmp(found->what, "head") == 0) return "an entry's head is damaged";
  return rebuilt ? "the file ends too early, or one behind it is missing" : "the file ends too early";
}

static bool check_entry(void *context, const struct inspect_entry *found) {
  struct segment_check *check = context;
  struct inspect_report *report = check->inspection->report;
  if (found->damaged) {
    if (check->bad) return true;
    if (check->next_index > check->info->last_index) {
      check->rest = found->position;
      return false;
    }
    check->bad = true;
    check->finding.has_position = true;
    check->finding.position = found->position;
    check->finding.first = check->next;
    check->finding.first_index = check->next_index;
    check->finding.what = what_of(found, check->inspection->rebuilt);
    return true;
  }
  const struct entry_head *head = &found->entry.head;
  end_finding(check, head->base_offset, head->index);
  check->next = entry_end_offset(head);
  check->next_index = head->index + 1;
  report->entries++;
  report->records += head->record_count;
  return true;
}

/* All that a row says is in the file. */
static void tell_whole(struct inspection *inspection, const struct group_row *row, const struct segment_info *info,
                       const char *path, const char *what, const char *advice) {
  struct inspect_finding finding = finding_of(row, path);
  finding.first_index = info->first_index;
  finding.last_index = info->last_index;
  finding.first = info->first_offset;
  finding.end = info->end_offset;
  finding.what = what;
  finding.advice = advice;
  inspect_tell(inspection, &finding);
}

/* Is the file what its name says? What another one holds follows from entry to entry just as well. */
static enum status check_owner(const struct inspection *inspection, const struct group_row *row, entry_index first_index,
                               const char *path) {
  struct disk_file *file = NULL;
  enum status status = disk_open(inspection->world->disk, path, DISK_READ_ONLY, &file);
  if (status != STATUS_OK) return status;
  const uint8_t *owner = inspection->recovery.owner_known ? inspection->set->identity.incarnation : NULL;
  status = segment_check_owner(file, row->group, row->instance, first_index, owner);
  disk_close(file);
  return status;
}

/* Behind the last entry of a segment. Tables that were made of it may have missed what was there. */
static void tell_rest(struct inspection *inspection, const struct group_row *row, const struct segment_info *info,
                      const char *path, uint64_t position) {
  struct inspect_finding finding = finding_of(row, path);
  finding.has_position = true;
  finding.position = position;
  if (inspection->rebuilt) {
    finding.first_index = finding.last_index = info->last_index + 1;
    finding.what =
        "what stands behind the last entry does not follow from it: it is damaged, or a checkpoint did not come to its end";
    finding.advice = "a store made anew knows nothing of it: restore the store before the broker starts, or repair the replica "
                     "from another one";
  } else {
    finding.severity = INSPECT_DAMAGED;
    finding.what = "the zeros behind the last entry are damaged";
    finding.advice = "nothing is lost";
  }
  inspect_tell(inspection, &finding);
}

/* Returns where a rest begins that was told; 0: none. */
static uint64_t check_segment(struct inspection *inspection, const struct group_row *row, const struct segment_info *info) {
  static const char advice[] =
      "these offsets answer DATA_LOSS, all others are served: repair the replica from another one, or restore the file";
  char path[DISK_PATH_MAX];
  segment_path(path, row->group, row->instance, info->first_index);
  struct segment_check check = {.inspection = inspection,
                                .info = info,
                                .finding = finding_of(row, path),
                                .next = info->first_offset,
                                .next_index = info->first_index};
  check.finding.advice = advice;
  inspection->report->segments++;
  inspection->report->segment_bytes += info->length;
  enum status status = check_owner(inspection, row, info->first_index, path);
  if (status == STATUS_FOREIGN) {
    tell_whole(inspection, row, info, path, "another segment, or another broker's, was put in this file's place",
               "put the right one back: these offsets answer DATA_LOSS");
    return 0;
  }
  struct segment_header header;
  if (status == STATUS_UNSUPPORTED) status = STATUS_FOREIGN; /* of a newer Cairn: told below */
  else if (status == STATUS_OK) status = inspect_segment(inspection->world->disk, path, info, &header, check_entry, &check);
  end_finding(&check, info->end_offset, info->last_index + 1);
  if (check.rest != 0) tell_rest(inspection, row, info, path, check.rest);
  if (status == STATUS_OK) return check.rest;
  if (status == STATUS_CORRUPT) {
    inspect_tell_file(inspection, INSPECT_DAMAGED, path, "the header is damaged", "its entries are read all the same");
  } else if (status == STATUS_FOREIGN) {
    tell_whole(inspection, row, info, path, "written by a newer Cairn", "verify the directory with the version that wrote it");
  } else {
    tell_whole(inspection, row, info, path, status == STATUS_NOT_FOUND ? "the file is missing" : "the file cannot be read",
               advice);
  }
  return check.rest;
}

/* ---- What tables that were made of the segments left out ---- */

struct names {
  entry_index *firsts;
  size_t count;
};

static void note_name(void *context, const char *name) {
  struct names *names = context;
  entry_index first = 0;
  if (!segment_name_parse(name, &first)) return;
  names->firsts = memory_grow_array(names->firsts, names->count + 1, sizeof *names->firsts);
  names->firsts[names->count++] = first;
}

static bool is_used(const struct image *image, entry_index first) {
  for (size_t i = 0; i < image->segment_count; i++) {
    const struct segment_info *info = &image->segments[i];
    if (info->first_index <= first && first <= info->last_index)
      return true; /* or left behind by a checkpoint that did not come to its end */
  }
  return false;
}

static void check_left_out(struct inspection *inspection, const struct image *image, entry_index first, entry_index next) {
  const struct group_row *row = &image->row;
  if (is_used(image, first) || (next != 0 && next <= row->start_index)) return;
  char path[DISK_PATH_MAX];
  segment_path(path, row->group, row->instance, first);
  struct inspect_finding finding = finding_of(row, path);
  bool foreign = check_owner(inspection, row, first, path) == STATUS_FOREIGN;
  finding.first_index = first;
  finding.last_index = next != 0 ? next - 1 : first;
  finding.what = foreign ? "another segment, or another broker's, was put in this file's place"
                         : "its header or its first entry is damaged, and without a store nothing else says what it holds";
  finding.advice = "restore the file or the store before the broker starts, or repair the replica from another one";
  inspect_tell(inspection, &finding);
}

/* Behind the last entry that follows in the last file: nothing, or zeros. */
static void check_rest(struct inspection *inspection, const struct image *image) {
  if (image->segment_count == 0) return;
  const struct segment_info *last = &image->segments[image->segment_count - 1];
  char path[DISK_PATH_MAX];
  segment_path(path, image->row.group, image->row.instance, last->first_index);
  struct disk_file *file = NULL;
  struct disk_stat stat = {0};
  enum status status = disk_open(inspection->world->disk, path, DISK_READ_ONLY, &file);
  if (status == STATUS_OK) status = disk_stat_file(file, &stat);
  uint8_t *block = memory_new(DISK_BLOCK_SIZE);
  bool more = false;
  for (uint64_t at = last->length; status == STATUS_OK && !more && at < stat.size; at += DISK_BLOCK_SIZE) {
    size_t got = 0;
    status = disk_read(file, at, block, DISK_BLOCK_SIZE, &got);
    for (size_t i = 0; i < got && status == STATUS_OK; i++) more = more || block[i] != 0;
  }
  memory_free(block);
  disk_close(file);
  if (more) tell_rest(inspection, &image->row, last, path, last->length);
}

static void check_files(struct inspection *inspection, const struct image *image) {
  const struct group_row *row = &image->row;
  char path[DISK_PATH_MAX];
  segment_dir_path(path, row->group, row->instance);
  struct names names = {0};
  enum status status = disk_list(inspection->world->disk, path, note_name, &names);
  if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
    inspect_tell_file(inspection, INSPECT_LOST, path, "the directory cannot be read", "look at the disk");
  }
  for (size_t i = 0; i < names.count; i++) {
    check_left_out(inspection, image, names.firsts[i], i + 1 < names.count ? names.firsts[i + 1] : 0);
  }
  memory_free(names.firsts);
}

/* ---- One log ---- */

/* A file between two others that nobody can miss by its name. */
static void check_gap(struct inspection *inspection, const struct group_row *row, const struct segment_info *before,
                      const struct segment_info *after) {
  if (before->last_index + 1 >= after->first_index || !after->chained) return;
  char path[DISK_PATH_MAX];
  segment_dir_path(path, row->group, row->instance);
  struct segment_info gap = {.first_index = before->last_index + 1,
                             .last_index = after->first_index - 1,
                             .first_offset = before->end_offset,
                             .end_offset = after->first_offset};
  tell_whole(inspection, row, &gap, path, "no segment that can be read has these entries",
             "restore the file that has them, or repair the replica from another one");
}

void inspect_log_segments(struct inspection *inspection, const struct recovered *log) {
  const struct image *image = log->image;
  uint64_t rest = 0; /* of the last segment */
  for (size_t i = 0; i < image->segment_count; i++) {
    if (i > 0) check_gap(inspection, &image->row, &image->segments[i - 1], &image->segments[i]);
    rest = check_segment(inspection, &image->row, &image->segments[i]);
  }
  if (!inspection->rebuilt) return;
  check_files(inspection, image);
  if (rest == 0) check_rest(inspection, image);
}
