#include "log/checkpoint_dump.h"

#include <inttypes.h>

#include "base/map.h"
#include "base/trace.h"
#include "log/dump.h"
#include "log/log_internal.h"

void checkpoint_dump_note(struct checkpoint_round *round, const struct image *image, const struct checkpoint_item *item) {
  bool set_changed = !image->stored || item->row.closed;
  bool map_changed = item->group == 0 && item->has_state && item->state_applied != image->dumped_applied;
  bool passed = item->has_state && item->row.start_index > image->dumped_applied + 1;
  round->dump_owed = round->dump_owed || set_changed || map_changed || passed;
}

static void write_when_due(struct checkpoint_round *round) {
  struct log_set *set = round->set;
  bool due = round->dump_owed || round->last || round->rounds % CHECKPOINT_DUMP_EVERY == 0;
  if (!due) return;
  enum status status = dump_write(set->world->disk, set->store, set->checkpointed.dump + 1);
  if (status != STATUS_OK) {
    trace_warn("dump_failed", "generation=%" PRIu64 " status=%s", set->checkpointed.dump + 1, status_name(status));
    /* On a full disk what was trimmed goes without a dump, or there would never be space for one. */
    round->release_held = round->dump_owed && status != STATUS_NO_SPACE;
    return;
  }
  round->dump_owed = false;
  round->release_held = false;
  set->checkpointed.dump++;
  set->checkpointed.dump_owed = false;
  struct map_cursor cursor = {0};
  for (struct image *image = NULL; (image = map_next(set->images.map, &cursor)) != NULL;) {
    image->dumped_applied = image->state_applied;
  }
}

static void tell_dumped(struct checkpoint_round *round) {
  for (size_t i = 0; i < round->update_count; i++) {
    struct checkpoint_item *item = round->updated[i];
    const struct image *image = images_get(&round->set->images, item->group, item->instance);
    if (image != NULL) item->dumped_applied = image->dumped_applied;
  }
}

void checkpoint_dump_write(struct checkpoint_round *round) {
  write_when_due(round);
  tell_dumped(round);
  round->may_release = !round->release_held;
}

void checkpoint_dump_again(struct checkpoint_round *round) {
  bool owed = round->dump_owed && !round->failed; /* else perhaps for what has failed */
  if (!owed && !round->release_held) return;
  write_when_due(round);
  round->may_release = !round->release_held;
  round->failed = round->failed || round->release_held;
}
