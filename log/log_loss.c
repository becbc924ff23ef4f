/* What a running broker finds lost: entries of which the journal had the only bytes on this disk, and these are not what was written.
 *
 * The log is damaged from then on, as one is that a start finds so. Its owner is told at once; the store with the next round, and until that
 * has it the files of the journal stay in which the entries stood: a start that finds neither would take a shorter log for a whole one.
 */
#include <inttypes.h>

#include "base/probe.h"
#include "base/trace.h"
#include "log/log_internal.h"

static bool same_place(struct journal_place a, struct journal_place b) {
  return a.file == b.file && a.offset == b.offset && a.slot == b.slot;
}

static void lose(struct log *log, struct tail_slot *slot) {
  const struct entry_head *head = &slot->entry.head;
  REACHED(journal_loses_an_entry);
  trace_error("entry_lost", "group=%" PRIu64 " instance=%" PRIu64 " index=%" PRIu64 " term=%" PRIu64 " file=%" PRIu64, log->group,
              log->instance, head->index, head->term, slot->place.file);
  log->unflushed_bytes -= entry_size(head);
  atomic_fetch_sub_explicit(&log->set->unflushed_bytes, entry_size(head), memory_order_relaxed);
  slot->lost = true;
  log->loss_owed = log->loss_owed || !log->damaged;
  log->damaged = true;
  log->row_dirty = true;
  if (head->record_count > 0) log_note_damage(log, (struct log_range){head->base_offset, entry_end_offset(head)});
  if (atomic_load_explicit(&log->set->lanes_stopped, memory_order_relaxed))
    return; /* nobody is there any more: the next start finds it */
  log_mark_dirty(log);
  if (log->owner.lost != NULL) log->owner.lost(log->owner.context);
}

bool log_lose(struct log *log, const struct flush_entry *entry) {
  const struct entry_head *head = &entry->entry.head;
  struct tail_slot *slot = head->index > log->flushed_index ? tail_at(&log->tail, head->index) : NULL;
  bool there = slot != NULL && slot->entry.head.chain == head->chain && same_place(slot->place, entry->place);
  if (!there || tail_cached(&log->tail, head->index)) return false;
  if (!slot->lost) lose(log, slot);
  return true;
}
