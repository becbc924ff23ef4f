#include "log/journal_judge.h"

#include "base/probe.h"

/* Rule 1: from the newest file back, the lowest first group of all files after this one bounds it. */
static void void_given_up_groups(struct journal_seen *seen, size_t count) {
  uint64_t bound = UINT64_MAX;      /* from the files after this group's file */
  uint64_t next_bound = UINT64_MAX; /* and from this file */
  for (size_t i = count; i-- > 0;) {
    if (i + 1 < count && seen[i + 1].file != seen[i].file) bound = next_bound;
    if (seen[i].head.file_first < next_bound) next_bound = seen[i].head.file_first;
    seen[i].verdict = seen[i].head.sequence >= bound ? VERDICT_VOID : VERDICT_GOOD;
    seen[i].lost_before = 0;
    seen[i].lost_frames = false;
  }
}

/* Void groups have no say: the numbers that they vouch for may have been given to others since. */
static uint64_t known_durable(const struct journal_seen *seen, size_t count, uint64_t durable_through) {
  for (size_t i = 0; i < count; i++) {
    if (seen[i].verdict == VERDICT_VOID) continue;
    if (seen[i].head.synced_through > durable_through) durable_through = seen[i].head.synced_through;
  }
  return durable_through;
}

/* Where the walk along the groups stands. */
struct walk {
  uint64_t next;
  uint64_t hash;
  bool hash_known;
  uint64_t frames; /* up to here; known as soon as one group was seen */
  bool frames_known;
  bool torn;
};

/* Rule 2, for the next group that is not void. */
static void judge_one(struct walk *walk, struct journal_seen *group, uint64_t durable) {
  const struct journal_group_head *head = &group->head;
  if (head->sequence < walk->next) {
    group->verdict = VERDICT_VOID;
    return;
  }
  if (head->sequence > walk->next) {
    uint64_t last_missing = head->sequence - 1;
    walk->torn = last_missing > durable;
    if (walk->torn) last_missing = durable;
    if (last_missing >= walk->next) {
      group->lost_before = last_missing - walk->next + 1;
      group->lost_frames = walk->torn || !walk->frames_known || head->frames_before != walk->frames;
      walk->next = last_missing + 1;
      walk->hash_known = false;
    }
  }
  bool bad = !group->whole || (walk->hash_known && head->predecessor != walk->hash);
  if (bad && head->sequence > durable) walk->torn = true;
  if (walk->torn) {
    group->verdict = VERDICT_TORN;
    return;
  }
  group->verdict = bad ? VERDICT_ROTTEN : VERDICT_GOOD;
  walk->next = head->sequence + 1;
  walk->hash = head->hash;
  walk->hash_known = true;
  walk->frames = head->frames_before + group->frames;
  walk->frames_known = true;
}

/* The beginning of a start that did not finish is lost, and perhaps something of what was there before it: rule 4. */
static void take_back_to(struct journal_judgement *judgement, uint64_t next, uint64_t first_left, uint64_t durable_through) {
  bool known = durable_through + 1 >= next && durable_through < first_left;
  uint64_t before = known ? durable_through : first_left - 1; /* the last group before the start */
  judgement->lost_at_end = before + 1 - next;
  judgement->next_sequence = before + 1;
}

/* Rule 3. A start that did not come to its end is the last thing in a journal: whatever came after gave it up (rule 1). */
static void drop_unfinished_start(struct journal_seen *seen, size_t count, uint64_t durable_through,
                                  struct journal_judgement *judgement) {
  size_t end = count;
  while (end > 0 && seen[end - 1].verdict <= VERDICT_TORN) end--;
  if (end == 0 || (seen[end - 1].head.flags & (GROUP_CARRIED | GROUP_CARRY_ENDS)) != GROUP_CARRIED) return;
  uint64_t first_left = 0; /* of the start's groups */
  uint64_t next = 0;       /* behind the last group that was seen before it */
  for (size_t i = end; i-- > 0 && (seen[i].head.flags & GROUP_CARRIED) != 0;) {
    if (seen[i].verdict <= VERDICT_TORN) continue;
    uint64_t lost_before = seen[i].lost_before;
    seen[i].verdict = VERDICT_TORN;
    seen[i].lost_before = 0;
    first_left = seen[i].head.sequence;
    next = first_left - lost_before;
    if ((seen[i].head.flags & GROUP_CARRY_BEGINS) == 0) continue;
    REACHED(unfinished_start_dropped);
    judgement->lost_at_end = lost_before; /* they belong to the history before the start */
    judgement->next_sequence = first_left;
    return;
  }
  take_back_to(judgement, next, first_left, durable_through);
}

static void count_verdicts(const struct journal_seen *seen, size_t count, struct journal_judgement *judgement) {
  judgement->rotten_groups = judgement->lost_at_end;
  for (size_t i = 0; i < count; i++) {
    if (seen[i].verdict == VERDICT_TORN) judgement->torn_groups++;
    if (seen[i].verdict == VERDICT_ROTTEN) judgement->rotten_groups++;
    judgement->rotten_groups += seen[i].lost_before;
    if (seen[i].verdict < VERDICT_ROTTEN || seen[i].head.sequence >= judgement->next_sequence) continue;
    judgement->last_hash = seen[i].head.hash;
    judgement->frames = seen[i].head.frames_before + seen[i].frames;
  }
}

struct journal_judgement journal_judge(struct journal_seen *seen, size_t count, uint64_t durable_through) {
  void_given_up_groups(seen, count);
  uint64_t durable = known_durable(seen, count, durable_through);
  struct walk walk = {.next = count > 0 ? seen[0].head.file_first : 1};
  for (size_t i = 0; i < count; i++) {
    if (seen[i].verdict == VERDICT_VOID) continue;
    if (walk.torn) seen[i].verdict = VERDICT_TORN;
    else judge_one(&walk, &seen[i], durable);
  }
  struct journal_judgement judgement = {.next_sequence = walk.next};
  if (!walk.torn && walk.next <= durable) {
    judgement.lost_at_end = durable - walk.next + 1;
    judgement.next_sequence = durable + 1;
  } else {
    drop_unfinished_start(seen, count, durable_through, &judgement);
  }
  count_verdicts(seen, count, &judgement);
  return judgement;
}
