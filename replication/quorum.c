#include "replication/quorum.h"

static unsigned size_of(member_set set) { return (unsigned)__builtin_popcount(set); }

bool quorum_majority(member_set voters, member_set yes) { return voters != 0 && size_of(voters & yes) > size_of(voters) / 2; }

bool quorum_reached(const struct quorum *quorum, member_set yes) {
  return quorum_majority(quorum->now, yes) && (quorum->then == 0 || quorum_majority(quorum->then, yes));
}

enum quorum_vote quorum_vote(const struct quorum *quorum, member_set yes, member_set no) {
  if (quorum_reached(quorum, yes)) return QUORUM_WON;
  return quorum_reached(quorum, ~no) ? QUORUM_OPEN : QUORUM_LOST;
}

/* The greatest of the voters' indexes that more than half of them have reached. Sets are small: no sorting. */
static entry_index majority_index(member_set voters, const entry_index *reached) {
  entry_index best = 0;
  for (size_t i = 0; i < QUORUM_MEMBERS_MAX; i++) {
    if ((voters & member_set_of(i)) == 0 || reached[i] <= best) continue;
    member_set have = 0;
    for (size_t j = 0; j < QUORUM_MEMBERS_MAX; j++) {
      if (reached[j] >= reached[i]) have |= member_set_of(j);
    }
    if (quorum_majority(voters, have)) best = reached[i];
  }
  return best;
}

entry_index quorum_index(const struct quorum *quorum, const entry_index reached[QUORUM_MEMBERS_MAX]) {
  entry_index now = majority_index(quorum->now, reached);
  if (quorum->then == 0) return now;
  entry_index then = majority_index(quorum->then, reached);
  return now < then ? now : then;
}
