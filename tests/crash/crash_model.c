#include "tests/crash/crash_model.h"

#include <string.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/memory.h"

void *crash_model_new(void) { return NEW(struct crash_model); }

record_offset model_next_offset(const struct model_log *log) {
  const struct model_entry *last = log->last == 0 ? NULL : &log->entries[log->last - 1];
  return last == NULL ? 0 : last->base + (record_offset)last->count;
}

record_offset model_start(const struct model_log *log, entry_index through) {
  record_offset start = 0;
  for (entry_index i = 0; i < through && i < log->last; i++) {
    if (log->entries[i].kind == ENTRY_TRIM && log->entries[i].trim > start) start = log->entries[i].trim;
  }
  return start;
}

void model_append(struct model_log *log, const struct model_entry *entry) {
  CHECK(log->last < MODEL_ENTRIES);
  struct model_entry *added = &log->entries[log->last];
  uint64_t before = log->last == 0 ? 0 : log->entries[log->last - 1].running;
  *added = *entry;
  added->base = model_next_offset(log);
  added->running = xxh3(before, bytes_of(&entry->hash, sizeof entry->hash));
  log->last++;
}

void model_cut(struct model_log *log, entry_index from) {
  CHECK(from <= log->last && log->last - from < MODEL_CUT_MAX && log->cut_from == 0);
  log->cuts++;
  log->cut_from = from;
  log->cut_count = log->last - from + 1;
  memcpy(log->cut, &log->entries[from - 1], log->cut_count * sizeof *log->cut);
  log->last = from - 1;
  if (log->acked > log->last) log->acked = log->last;
}

void model_cut_acked(struct model_log *log) { log->cut_from = 0; }

/* ---- After a recovery ---- */

static entry_index last_possible(const struct model_log *model) {
  entry_index old = model->cut_from == 0 ? 0 : model->cut_from + model->cut_count - 1;
  return old > model->last ? old : model->last;
}

void model_check_log(struct crash_lab *lab, const struct model_log *model, const struct log_view *view) {
  unsigned long long group = view->group;
  if (model->stage == MODEL_ABSENT) crash_violation(lab, "group %llu: nobody made it", group);
  if (model->stage == MODEL_CLOSED) crash_violation(lab, "group %llu: deleted, and back again", group);
  if (view->damaged) crash_violation(lab, "group %llu: called damaged", group);
  if (view->last_index < model->acked || view->last_index > last_possible(model)) {
    crash_violation(lab, "group %llu: ends at entry %llu, %llu acknowledged, %llu submitted", group,
                    (unsigned long long)view->last_index, (unsigned long long)model->acked, (unsigned long long)model->last);
  }
  if (view->hard_state.term < model->acked_state.term || view->hard_state.term > model->submitted.term) {
    crash_violation(lab, "group %llu: term %llu, acknowledged %llu, submitted %llu", group,
                    (unsigned long long)view->hard_state.term, (unsigned long long)model->acked_state.term,
                    (unsigned long long)model->submitted.term);
  }
  if (view->hard_state.term == model->submitted.term && view->hard_state.vote != model->submitted.vote) {
    crash_violation(lab, "group %llu: another vote in term %llu", group, (unsigned long long)view->hard_state.term);
  }
  if (view->start_offset > model_start(model, view->last_index)) {
    crash_violation(lab, "group %llu: starts at %lld, trimmed to %lld", group, (long long)view->start_offset,
                    (long long)model_start(model, view->last_index));
  }
  if (view->commit_index > view->last_index) crash_violation(lab, "group %llu: commit beyond the end", group);
}

static const struct model_entry *entry_at(const struct model_log *model, entry_index index, bool old_tail) {
  if (!old_tail) return index <= model->last ? &model->entries[index - 1] : NULL;
  entry_index behind = index - model->cut_from;
  return behind < model->cut_count ? &model->cut[behind] : NULL;
}

void model_check_entry(struct crash_lab *lab, const struct model_log *model, group_id group, const struct entry *entry,
                       bool *old_tail) {
  const struct entry_head *head = &entry->head;
  uint64_t hash = xxh3(0, entry->payload.bytes);
  const struct model_entry *expected = entry_at(model, head->index, *old_tail && head->index >= model->cut_from);
  bool may_be_old = model->cut_from != 0 && head->index >= model->cut_from && !*old_tail;
  if (may_be_old && (expected == NULL || expected->hash != hash)) {
    *old_tail = true;
    expected = entry_at(model, head->index, true);
  }
  if (expected == NULL || expected->hash != hash || expected->base != head->base_offset ||
      expected->count != head->record_count || expected->kind != head->kind) {
    crash_violation(lab, "group %llu: entry %llu at offset %lld is not what was appended", (unsigned long long)group,
                    (unsigned long long)head->index, (long long)head->base_offset);
  }
}

void model_settle(struct model_log *model, const struct log_view *view, bool old_tail) {
  if (old_tail) {
    model->last = model->cut_from - 1;
    for (entry_index i = 0; i < model->cut_count; i++) model_append(model, &model->cut[i]);
  }
  model->cut_from = 0;
  if (view->last_index < model->last) model->last = view->last_index;
  model->acked = model->last;
  model->submitted = view->hard_state;
  model->acked_state = view->hard_state;
  model->stage = MODEL_OPEN;
}

void model_settle_absent(struct crash_lab *lab, struct model_log *model, group_id group) {
  if (model->stage == MODEL_OPEN) crash_violation(lab, "group %llu is gone", (unsigned long long)group);
  bool was_there = model->stage == MODEL_CLOSING || model->stage == MODEL_CLOSED;
  *model = (struct model_log){.stage = was_there ? MODEL_CLOSED : MODEL_ABSENT};
}
