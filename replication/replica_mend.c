/* A replica mends what rot has taken of its segments with what its peers have: any of them, whoever leads, and whatever each of them has lost itself.
 *
 *   FINDING   a reader looks through the segment for the first hole
 *   ASKING    one peer after another is asked for the entries of the hole, part by part; what nobody has is passed over
 *   FILLING   a reader puts them in their place, if their links say that they were there: nobody is believed
 *   RESTING   some holes are left; after a while, or when another one is met, it begins again
 *
 * Lost is only what every other member says it lacks. Whoever is down, or does not answer, or gave what does not fit may have it, and so may
 * all of them when something else came between.
 *
 * What is lost of a committed entry is lost of a disk, not of the group: the replica keeps its rights meanwhile. Where more is gone than can be put back
 * (a whole file, or more than MEND_BYTES_MAX at once) a follower takes log and state anew from its leader (RAFT_HOLED), and a leader first makes
 * somebody else lead.
 */
#include "base/check.h"
#include "base/memory.h"
#include "base/probe.h"
#include "base/trace.h"
#include "replication/replica_internal.h"

#include <inttypes.h>

#define MEND_BYTES_MAX ((size_t)16 << 20)
#define MEND_ENTRIES_MAX 65536u
#define REST_TIMEOUTS 2u /* election timeouts */

enum mend_stage { MEND_FINDING, MEND_ASKING, MEND_FILLING, MEND_RESTING };

/* On the heap: a reader may have it when nobody wants it any more. */
struct replica_mend {
  struct log_mend hole;
  struct lane *lane;
  struct replica *replica; /* NULL: nobody wants it */
  enum mend_stage stage;
  uint64_t id;
  struct replica_id asked;
  size_t turn; /* among the members */
  unsigned refusals;
  bool unsure;           /* somebody may have what is in this hole who has not said no */
  bool skipped;          /* of one of the holes since it began that was so */
  bool again;            /* more was met meanwhile, perhaps where it has been already */
  struct entry *entries; /* of the hole, as far as they are here */
  size_t count;
  size_t capacity;
  size_t bytes;
  uint64_t due_ns;
  uint64_t began_ns;
  uint64_t mended; /* entries of this segment */
};

static uint64_t now_of(const struct replica *replica) { return loop_now_ns(lane_loop(replica->lane)); }

static uint64_t election_ns(const struct replica *replica) { return lane_timing(replica->lane)->election_ns; }

static void drop_entries(struct replica_mend *mend) {
  for (size_t i = 0; i < mend->count; i++) entry_release(&mend->entries[i]);
  memory_free(mend->entries);
  mend->entries = NULL;
  mend->count = mend->capacity = mend->bytes = 0;
}

static void forget(struct replica *replica) {
  struct replica_mend *mend = replica->mend;
  replica->mend = NULL;
  drop_entries(mend);
  memory_free(mend);
}

static void find(struct replica *replica);

/* From the first segment on. */
static void begin_round(struct replica *replica) {
  struct replica_mend *mend = replica->mend;
  mend->hole.segment = 0;
  mend->hole.passes = 0;
  mend->skipped = false;
  mend->again = false;
  mend->began_ns = now_of(replica);
  find(replica);
}

/* ---- When nothing helps ---- */

static void tell_not_mended(const struct replica *replica, const char *reason) {
  const struct replica_mend *mend = replica->mend;
  trace_warn("segment_not_mended", "group=%" PRIu64 " segment=%" PRIu64 " first=%" PRIu64 " last=%" PRIu64 " reason=%s",
             replica->group, mend->hole.segment, mend->hole.first, mend->hole.last, reason);
}

static void rest(struct replica *replica) {
  struct replica_mend *mend = replica->mend;
  drop_entries(mend);
  mend->stage = MEND_RESTING;
  mend->due_ns = now_of(replica) + REST_TIMEOUTS * election_ns(replica);
}

/* It came to nothing, and nobody was asked, or not all. */
static void give_up(struct replica *replica, const char *reason) {
  tell_not_mended(replica, reason);
  replica->mend->skipped = true;
  rest(replica);
}

/* More is gone than can be put back in its place. */
static void take_all_anew(struct replica *replica) {
  bool leads = replica->raft.role == RAFT_LEADER;
  give_up(replica, "too_much_is_lost");
  if (leads) {
    (void)replica_hand_over(replica);
    return;
  }
  if (replica->raft.leader.broker == 0 || replica->raft.damage.damaged || replica->install != NULL) return;
  struct raft_event event = {.kind = RAFT_HOLED};
  (void)replica_step(replica, &event, NULL);
}

/* ---- Asking ---- */

static void ask(struct replica *replica) {
  struct replica_mend *mend = replica->mend;
  struct raft_message message = {.kind = RAFT_WANT,
                                 .from = replica->raft.self,
                                 .to = mend->asked,
                                 .term = raft_term(&replica->raft),
                                 .sequence = mend->id,
                                 .append = {.prev_index = mend->hole.first - 1 + mend->count, .commit = mend->hole.last}};
  mend->due_ns = now_of(replica) + election_ns(replica) / 2;
  replica_to_wires(replica, &message, NULL, 0);
}

/* Whoever is next of those that live. False: all were asked. */
static bool choose_peer(struct replica *replica) {
  struct replica_mend *mend = replica->mend;
  struct peer_lane *wires = lane_wires(replica->lane);
  const struct raft_config *config = &replica->raft.config;
  if (wires == NULL) mend->unsure = true;
  while (wires != NULL && mend->refusals < config->count) {
    const struct replica_id *id = &config->members[mend->turn++ % config->count].id;
    mend->refusals++;
    if (replica_id_equal(id, &replica->raft.self)) continue;
    if (!peer_lane_up(wires, id->broker)) {
      mend->unsure = true;
      continue;
    }
    mend->asked = *id;
    return true;
  }
  return false;
}

static bool all_are_up(const struct replica *replica) {
  const struct raft_config *config = &replica->raft.config;
  for (size_t i = 0; i < config->count; i++) {
    const struct replica_id *id = &config->members[i].id;
    if (!replica_id_equal(id, &replica->raft.self) && !lane_broker_up(replica->lane, id->broker)) return false;
  }
  return true;
}

/* The log's start is in the middle of it. What is before that others have trimmed as well, and never give; and where the rest stands in the segment
 * cannot be told without. */
static bool is_cut_off(const struct replica *replica) {
  const struct log_mend *hole = &replica->mend->hole;
  record_offset start = log_view(replica->log).start_offset;
  return hole->first_offset < start && start < hole->end_offset;
}

/* There may be other holes, and others may have those. What was in one and is trimmed nobody is told to be lost. */
static void pass_over(struct replica *replica) {
  struct replica_mend *mend = replica->mend;
  if (mend->unsure && is_cut_off(replica) && all_are_up(replica)) {
    REACHED(hole_across_the_start);
    take_all_anew(replica);
    return;
  }
  tell_not_mended(replica, mend->unsure ? "not_everybody_answered" : "nobody_has_it");
  bool trimmed = mend->hole.end_offset <= log_view(replica->log).start_offset;
  mend->skipped = mend->skipped || (mend->unsure && !trimmed);
  mend->hole.passes = mend->hole.last;
  find(replica);
}

static void ask_another(struct replica *replica) {
  struct replica_mend *mend = replica->mend;
  drop_entries(mend);
  mend->stage = MEND_ASKING;
  mend->id = lane_random(replica->lane) | 1;
  if (choose_peer(replica)) ask(replica);
  else pass_over(replica);
}

/* ---- The reader's answers ---- */

static void fill(struct replica *replica);

static void finish_segment(struct replica *replica) {
  struct replica_mend *mend = replica->mend;
  if (!mend->hole.passed)
    trace_info("segment_mended", "group=%" PRIu64 " segment=%" PRIu64 " entries=%" PRIu64 " ms=%" PRIu64, replica->group,
               mend->hole.segment, mend->mended, (now_of(replica) - mend->began_ns) / 1000000);
  mend->began_ns = now_of(replica);
  mend->mended = 0;
  mend->hole.segment++;
  find(replica);
}

static void found(struct replica *replica) {
  struct replica_mend *mend = replica->mend;
  const struct log_mend *hole = &mend->hole;
  mend->refusals = 0;
  mend->unsure = false;
  switch (hole->status) {
    case STATUS_OK:
      if (hole->last < hole->first) fill(replica);
      else if (hole->bytes > MEND_BYTES_MAX || hole->last - hole->first >= MEND_ENTRIES_MAX) take_all_anew(replica);
      else ask_another(replica);
      break;
    case STATUS_END: finish_segment(replica); break;
    case STATUS_NOT_FOUND: find(replica); break; /* it went; perhaps there is another */
    case STATUS_DAMAGED: take_all_anew(replica); break;
    default: give_up(replica, status_name(hole->status)); break;
  }
}

static void filled(struct replica *replica) {
  struct replica_mend *mend = replica->mend;
  enum status status = mend->hole.status;
  if (status == STATUS_CORRUPT && mend->count > 0) {
    trace_warn("segment_not_mended", "group=%" PRIu64 " segment=%" PRIu64 " broker=%u reason=these_were_not_there",
               replica->group, mend->hole.segment, mend->asked.broker);
    mend->unsure = true; /* it may have rotted on behind the hole meanwhile */
    ask_another(replica);
    return;
  }
  if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
    give_up(replica, status_name(status));
    return;
  }
  mend->mended += mend->count;
  drop_entries(mend);
  find(replica);
}

static void reader_done(struct task *task) {
  struct replica_mend *mend = container_of(container_of(task, struct log_mend, done), struct replica_mend, hole);
  struct replica *replica = mend->replica;
  lane_fetch_ended(mend->lane);
  if (replica == NULL) {
    drop_entries(mend);
    memory_free(mend);
    return;
  }
  if (mend->stage == MEND_FINDING) found(replica);
  else filled(replica);
  replica_arm(replica);
}

static void to_reader(struct replica *replica, bool answered) {
  struct replica_mend *mend = replica->mend;
  mend->due_ns = RAFT_NEVER;
  lane_fetch_begins(replica->lane);
  if (answered) loop_post(lane_loop(replica->lane), &mend->hole.done);
}

static void fill(struct replica *replica) {
  struct replica_mend *mend = replica->mend;
  mend->stage = MEND_FILLING;
  mend->hole.entries = mend->entries;
  mend->hole.count = mend->count;
  to_reader(replica, log_mend_fill(replica->log, &mend->hole));
}

static void end_round(struct replica *replica) {
  entry_index left = 0;
  if (!log_next_suspect(replica->log, 0, &left)) forget(replica);
  else if (replica->mend->again) begin_round(replica);
  else rest(replica);
}

static void find(struct replica *replica) {
  struct replica_mend *mend = replica->mend;
  if (!log_next_suspect(replica->log, mend->hole.segment, &mend->hole.segment)) {
    end_round(replica);
    return;
  }
  mend->stage = MEND_FINDING;
  to_reader(replica, log_mend_find(replica->log, &mend->hole));
}

/* ---- Beginning and ending ---- */

static struct replica_mend *mend_new(struct replica *replica) {
  struct replica_mend *mend = NEW(struct replica_mend);
  mend->lane = replica->lane;
  mend->replica = replica;
  mend->turn = (size_t)lane_random(replica->lane) % RAFT_MEMBERS_MAX;
  mend->hole.loop = lane_loop(replica->lane);
  mend->hole.done.run = reader_done;
  return mend;
}

void replica_mend_begin(struct replica *replica) {
  struct peer_lane *wires = lane_wires(replica->lane);
  bool may = replica->started && !replica->deleting && replica->links != NULL && wires != NULL;
  entry_index segment = 0;
  if (!may || lane_failed(replica->lane) || !log_next_suspect(replica->log, 0, &segment)) return;
  if (replica->mend != NULL && replica->mend->stage != MEND_RESTING) {
    replica->mend->again = true;
    return;
  }
  if (replica->mend == NULL) replica->mend = mend_new(replica);
  begin_round(replica);
  replica_arm(replica);
}

void replica_mend_end(struct replica *replica) {
  struct replica_mend *mend = replica->mend;
  replica->mend = NULL;
  if (mend == NULL) return;
  mend->replica = NULL;
  bool busy = mend->stage == MEND_FINDING || mend->stage == MEND_FILLING;
  if (busy) return; /* the same */
  drop_entries(mend);
  memory_free(mend);
}

/* A log that has lost something is had anew from the others, sooner or later; what all of them have said they have not of a segment is not there
 * any more. */
bool replica_mending(const struct replica *replica) {
  const struct replica_mend *mend = replica->mend;
  entry_index segment = 0;
  if (mend != NULL && (mend->stage != MEND_RESTING || mend->skipped)) return true;
  if (!replica_has_others(replica)) return false;
  bool unasked = mend == NULL && log_next_suspect(replica->log, 0, &segment);
  return unasked || replica->raft.damage.damaged || log_view(replica->log).damaged;
}

uint64_t replica_mend_due_ns(const struct replica *replica) { return replica->mend->due_ns; }

void replica_mend_timer(struct replica *replica, uint64_t now_ns) {
  if (replica->mend->due_ns > now_ns) return;
  if (replica->mend->stage != MEND_ASKING) {
    begin_round(replica);
    return;
  }
  replica->mend->unsure = true; /* it may have it, and was not heard */
  ask_another(replica);
}

/* ---- What peers send ---- */

static bool take(struct replica_mend *mend, const struct peer_message *message) {
  for (size_t i = 0; i < message->count; i++) {
    const struct entry *entry = &message->entries[i];
    mend->bytes += (size_t)entry_size(&entry->head);
    if (entry->head.index > mend->hole.last || mend->bytes > MEND_BYTES_MAX + SHIP_PART_BYTES) return false;
    if (mend->count == mend->capacity) {
      mend->capacity = mend->capacity == 0 ? 16 : mend->capacity * 2;
      mend->entries = memory_grow_array(mend->entries, mend->capacity, sizeof *mend->entries);
    }
    mend->entries[mend->count++] = (struct entry){.head = entry->head, .payload = blob_part_hold(entry->payload)};
  }
  return true;
}

void replica_mend_receive(struct replica *replica, const struct peer_message *message) {
  struct replica_mend *mend = replica->mend;
  const struct raft_message *raft = &message->raft;
  bool awaited =
      mend != NULL && mend->stage == MEND_ASKING && raft->sequence == mend->id && replica_id_equal(&raft->from, &mend->asked);
  if (!awaited) return;
  if (raft->kind == RAFT_GIVES_NOT) {
    ask_another(replica);
  } else if (message->count > 0 && raft->append.prev_index == mend->hole.first - 1 + mend->count) {
    if (!take(mend, message)) ask_another(replica);
    else if (mend->hole.first + mend->count > mend->hole.last) fill(replica);
    else ask(replica);
  }
  replica_arm(replica);
}
