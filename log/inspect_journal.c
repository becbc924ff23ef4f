/* Verifying: what the journal has, lost and dropped. */
#include <stdio.h>

#include "log/inspect_private.h"
#include "log/journal_ring.h"

static const char *lost_what(const struct journal_loss *loss, bool harmless) {
  if (!loss->known) return "a frame is damaged, and it cannot be told whose it was";
  if (harmless) return "a frame is damaged, and what it said is kept elsewhere or not needed";
  return loss->kind == FRAME_ENTRY ? "entries of this log are damaged" : "a frame of this log is damaged";
}

static const char *lost_advice(const struct journal_loss *loss, bool harmless) {
  if (harmless) return "the file is recycled in time";
  if (!loss->known) return "when the broker starts, every log that may have had a frame there is fenced until it is repaired";
  return "when the broker starts, the log is fenced until it is repaired from another replica; the rest of it is served";
}

static const char *dropped_what(const struct journal_loss *loss) {
  if (!loss->known)
    return "a group whose head is damaged stands behind the last that counts: whose frames it held cannot be read";
  return loss->kind == FRAME_ENTRY ? "entries at the journal's end are not whole, and count for nothing"
                                   : "a frame at the journal's end is not whole, and counts for nothing";
}

static void tell_loss(struct inspection *inspection, const struct journal_loss *loss, struct inspect_finding finding) {
  char path[DISK_PATH_MAX];
  snprintf(path, sizeof path, "%s", JOURNAL_DIRECTORY);
  if (loss->place.file != 0) journal_file_path(path, loss->place.file);
  finding.file = path;
  finding.has_position = loss->place.file != 0;
  finding.position = loss->place.offset;
  if (loss->known) {
    finding.group = loss->group;
    finding.instance = loss->instance;
  }
  if (loss->kind == FRAME_ENTRY) {
    finding.first_index = loss->first_index;
    finding.last_index = loss->last_index;
    finding.first = loss->first_offset;
    finding.end = loss->end_offset;
  }
  inspect_tell(inspection, &finding);
}

void inspect_journal_losses(struct inspection *inspection) {
  struct recovery *recovery = &inspection->recovery;
  struct recovery_losses *damage = &recovery->damage;
  damage->count = journal_losses_merge(damage->at, damage->count);
  for (size_t i = 0; i < damage->count; i++) {
    const struct journal_loss *loss = &damage->at[i];
    bool harmless = recovery_is_harmless(recovery, loss);
    tell_loss(inspection, loss,
              (struct inspect_finding){.severity = harmless ? INSPECT_DAMAGED : INSPECT_LOST,
                                       .what = lost_what(loss, harmless),
                                       .advice = lost_advice(loss, harmless)});
  }
  for (size_t i = 0; i < recovery->dropped.count; i++) { /* merged when they were traced */
    tell_loss(inspection, &recovery->dropped.at[i],
              (struct inspect_finding){.severity = INSPECT_DROPPED,
                                       .what = dropped_what(&recovery->dropped.at[i]),
                                       .advice = "a crash leaves this, and then nobody was told that it is durable; rot in the "
                                                 "very last group looks the same"});
  }
}

void inspect_log_unflushed(struct inspection *inspection, const struct recovered *log) {
  for (size_t i = 0; i < log->count; i++) {
    if (log->entries[i].lost) continue;
    inspection->report->journal_entries++;
    inspection->report->journal_records += log->entries[i].entry.head.record_count;
  }
}
