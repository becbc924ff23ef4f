/* A snapshot comes in: a second instance of a group, filled beside the one in force, and the one frame that puts it in its place.
 *
 * Which one is in force follows from what is closed: a spare names the instance that it replaces, and counts only once that is closed. So the CLOSE
 * frame of the old one, which is whole or not there, decides; everything the spare needs is durable before.
 */
#include "base/check.h"
#include "log/log_internal.h"
#include "log/recovery.h"

struct log *log_spare(const struct log *log) {
  return log->spare;
}

void log_take_base(struct log *log, const struct log_base *base) {
  log->start_index = base->index + 1;
  log->start_offset = base->next_offset;
  log->start_chain = base->chain;
  log->flushed_index = base->index;
  log->flushed_offset = base->next_offset;
  log->flushed_chain = base->chain;
  log->flushed_leader_time_ms = base->leader_time_ms;
  log->flushed_max_time_ms = base->max_time_ms;
  log->last_index = base->index;
  log->last_term = base->term;
  log->last_chain = base->chain;
  log->next_offset = base->next_offset;
  log->last_leader_time_ms = base->leader_time_ms;
  log->max_time_ms = base->max_time_ms;
  log->commit_index = log->durable_index = log->applied_index = base->index;
  if (base->index > 0) log_note_term(log, base->index, base->term);
  tail_init(&log->tail, base->index);
}

struct log *log_create_at(struct log *log, struct journal_write *write, const struct log_base *base) {
  PRE(!log->is_spare && log->spare == NULL && !log->deleting);
  struct log *spare = log_new(log->set, log->group, log->next_instance++);
  log_take_base(spare, base);
  spare->settings = log->settings;
  spare->replaces = log->instance;
  spare->is_spare = true;
  spare->spare_of = log;
  log->spare = spare;
  log_open(spare, log->lane, write, &(struct open_frame){.settings = log->settings, .replaces = log->instance, .base = *base});
  log_set_hard_state(spare, write,
                     &(struct hard_state){.term = log->hard_state.term, .vote = log->hard_state.vote, .commit = base->index});
  return spare;
}

void log_replace(struct log *spare, struct journal_write *write) {
  struct log *log = spare->spare_of;
  PRE(spare->is_spare && log != NULL && !spare->deleting && !spare->damaged);
  PRE(spare->stored_index + 1 >= spare->start_index && spare->stored_index > 0);
  PRE(spare->durable_index == spare->last_index && spare->commit_index == spare->last_index);
  spare->is_spare = false;
  spare->spare_of = NULL;
  spare->next_instance = log->next_instance;
  log->spare = NULL;
  log_set_hard_state(
      spare, write,
      &(struct hard_state){.term = log->hard_state.term, .vote = log->hard_state.vote, .commit = spare->commit_index});
  log_delete(log, write);
}
