#include "replication/vouch.h"

void vouch_init(struct vouch *vouch, uint64_t seed, void (*tell)(void *context, group_id group, entry_term term, bool leads),
                void *context) {
  roll_init(&vouch->followed, seed);
  roll_init(&vouch->claimed, seed);
  roll_init(&vouch->vouched, seed);
  vouch->tell = tell;
  vouch->context = context;
}

void vouch_deinit(struct vouch *vouch) {
  roll_deinit(&vouch->followed);
  roll_deinit(&vouch->claimed);
  roll_deinit(&vouch->vouched);
}

static void confirm(struct vouch *vouch, group_id group, entry_term term) {
  if (roll_term(&vouch->claimed, group) != term || roll_term(&vouch->vouched, group) == term) return;
  roll_set(&vouch->vouched, group, term);
  vouch->tell(vouch->context, group, term, true);
}

void vouch_follow(struct vouch *vouch, group_id group, entry_term term) {
  if (roll_term(&vouch->followed, group) == term) return;
  roll_set(&vouch->followed, group, term);
  roll_set(&vouch->vouched, group, 0);
  if (term != 0) confirm(vouch, group, term);
}

/* After claims have changed. */
static void settle(struct vouch *vouch) {
  struct map_cursor cursor = {0};
  group_id group = 0;
  entry_term term = 0;
  while (roll_next(&vouch->vouched, &cursor, &group, &term)) {
    if (roll_term(&vouch->claimed, group) == term) continue;
    roll_set(&vouch->vouched, group, 0);
    vouch->tell(vouch->context, group, term, false);
  }
  cursor = (struct map_cursor){0};
  while (roll_next(&vouch->followed, &cursor, &group, &term)) confirm(vouch, group, term);
}

bool vouch_digest(struct vouch *vouch, struct roll_digest digest) {
  if (roll_digest_equal(digest, roll_digest(&vouch->claimed))) return true;
  if (!roll_digest_equal(digest, roll_digest(&vouch->followed))) return false;
  roll_copy(&vouch->claimed, &vouch->followed);
  settle(vouch);
  return true;
}

void vouch_list_begin(struct vouch *vouch) { roll_clear(&vouch->claimed); }
void vouch_list_end(struct vouch *vouch) { settle(vouch); }

void vouch_silence(struct vouch *vouch) {
  roll_clear(&vouch->claimed);
  roll_clear(&vouch->vouched);
}

void vouch_reborn(struct vouch *vouch) {
  roll_clear(&vouch->claimed);
  settle(vouch);
}
