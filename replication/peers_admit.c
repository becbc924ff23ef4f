/* Who is let in: processes of other brokers, judged by the lineage that their first beat tells. On the peers loop.
 *
 *   a stream begins ──> waits ──its process is the newest known, and that is kept──> admitted
 *                         │                                                              │
 *                         └──────> dismissed: it does not go on from what is known <─────┘ another process went on
 *
 * Nothing of a stream is delivered before it is admitted, and nothing more of it when it is dismissed. So of one directory at most one process
 * is listened to here, and never an older state of it than was heard of.
 *
 * A process that goes on from one that was heard of a moment ago, on a connection that still stands, is told to come again: either the earlier
 * one falls silent, or these are two processes on two copies of the directory; then the one that was here first stays.
 */
#include <inttypes.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/probe.h"
#include "base/trace.h"
#include "proto/failure.h"
#include "replication/peers_internal.h"

#define LIVES_ELECTIONS 4u /* a process that is heard of for so many election timeouts after the next one spoke lives beside it */
#define KEEP_EVERY_NS 5000000000u /* how far journals are; who is the newest is kept at once */

/* ---- Guests ---- */

struct peer_guest *peers_guest(const struct peers *peers, const struct replica_id *id) {
  for (struct list_node *node = list_first(&peers->guests); node != NULL; node = list_next(&peers->guests, node)) {
    struct peer_guest *guest = list_entry(node, struct peer_guest, node);
    if (replica_same_directory(&guest->memory.id, id)) return guest;
  }
  return NULL;
}

/* Of the directories that nobody speaks for the one that was heard of last longest ago. NULL: there is none. */
static struct peer_guest *longest_away(struct peers *peers) {
  struct peer_guest *away = NULL;
  list_for_each(&peers->guests, node, following) {
    struct peer_guest *guest = list_entry(node, struct peer_guest, node);
    const struct peer_broker *broker = peers_find(peers, guest->memory.id.broker);
    bool belongs = broker != NULL && broker->link != NULL && replica_same_directory(&broker->link->address.id, &guest->memory.id);
    if (belongs || !list_empty(&guest->streams)) continue;
    if (away == NULL || guest->heard_ns < away->heard_ns) away = guest;
  }
  return away;
}

static void forget(struct peers *peers, struct peer_guest *guest) {
  list_remove(&guest->node);
  peers->guest_count--;
  memory_free(guest);
}

/* NULL: there are too many. */
static struct peer_guest *guest_for(struct peers *peers, const struct replica_id *id) {
  struct peer_guest *guest = peers_guest(peers, id);
  if (guest != NULL) return guest;
  if (peers->guest_count == PEER_MEMORIES_MAX) {
    guest = longest_away(peers);
    if (guest == NULL) return NULL;
    forget(peers, guest);
  }
  guest = NEW(struct peer_guest);
  guest->memory.id = *id;
  list_init(&guest->streams);
  list_push_back(&peers->guests, &guest->node);
  peers->guest_count++;
  return guest;
}

void peers_guests_init(struct peers *peers, const struct peer_memory *known, size_t count) {
  list_init(&peers->guests);
  for (size_t i = 0; i < count; i++) {
    struct peer_guest *guest = guest_for(peers, &known[i].id);
    if (guest == NULL) return;
    guest->memory = known[i];
    guest->settled_boot = known[i].boot;
    guest->kept_journal = known[i].journal;
  }
}

void peers_guests_deinit(struct peers *peers) {
  for (struct list_node *node; (node = list_first(&peers->guests)) != NULL;)
    forget(peers, list_entry(node, struct peer_guest, node));
}

/* ---- Admitted, dismissed ---- */

static const char *why(enum peer_verdict verdict) {
  if (verdict == PEER_OLDER) return "it was put back from an older copy, or its newest bytes are lost";
  if (verdict == PEER_EARLIER) return "another process has gone on with it, or with a copy of it, meanwhile";
  return "it is a copy of a directory that another process has gone on with";
}

/* Text for whoever runs that broker: it stops itself, and says this. */
static void dismiss(struct peers *peers, struct peer_inbound *inbound, enum peer_verdict verdict) {
  const struct peer_guest *guest = inbound->guest;
  atomic_store_explicit(&inbound->standing, PEER_STANDS_OVER, memory_order_release);
  if (verdict != PEER_EARLIER) REACHED(superseded_process_is_dismissed);
  failure_refuse_call(inbound->call, STATUS_DIRECTORY_SUPERSEDED,
                      "broker %u does not listen to this process: of its data directory it has seen more (start %" PRIu64
                      ", journal group %" PRIu64 "): %s",
                      peers->options.self.broker, guest->memory.generation, guest->memory.journal, why(verdict));
}

static void tell_dismissed(struct peer_guest *guest, uint64_t boot, enum peer_verdict verdict) {
  if (guest->told_boot == boot || verdict == PEER_EARLIER) return; /* what is left of the process before is no news */
  guest->told_boot = boot;
  trace_error("peer_superseded",
              "broker=%u boot=%016" PRIx64 " why=\"%s\" seen_start=%" PRIu64 " seen_journal=%" PRIu64
              " do=\"nothing of it counts here; it is told, and stops itself\"",
              guest->memory.id.broker, boot, why(verdict), guest->memory.generation, guest->memory.journal);
}

static void admit(struct peer_inbound *inbound) {
  atomic_store_explicit(&inbound->standing, PEER_STANDS_ADMITTED, memory_order_release);
  if (!inbound->is_beats) peer_inbound_go_on(inbound);
}

/* The newest process of a directory is known, and will be after a restart. */
static void settle(struct peers *peers, struct peer_guest *guest) {
  guest->settled_boot = guest->memory.boot;
  list_for_each(&guest->streams, node, following) {
    struct peer_inbound *inbound = list_entry(node, struct peer_inbound, node);
    enum peer_standing standing = atomic_load_explicit(&inbound->standing, memory_order_relaxed);
    bool earlier = standing == PEER_STANDS_ADMITTED || inbound->hello.boot == guest->memory.earlier_boot;
    if (standing == PEER_STANDS_OVER) continue;
    if (inbound->hello.boot == guest->settled_boot && standing == PEER_STANDS_WAITING) admit(inbound);
    if (inbound->hello.boot != guest->settled_boot && earlier) dismiss(peers, inbound, PEER_EARLIER);
    /* Others wait: they may have gone on since, and their beats will tell. */
  }
}

/* ---- Kept ---- */

static void kept(struct task *task) {
  struct peers *peers = container_of(task, struct peers, kept_task);
  peers->keeping = false;
  list_for_each(&peers->guests, node, following) {
    struct peer_guest *guest = list_entry(node, struct peer_guest, node);
    if (guest->memory.boot != guest->settled_boot && guest->memory.boot == guest->keeping_boot) settle(peers, guest);
  }
  if (peers->keep_owed) peers_keep(peers);
  peers_settle(peers);
}

void peers_keep(struct peers *peers) {
  struct peer_memory rows[PEER_MEMORIES_MAX];
  size_t count = 0;
  peers->keep_owed = peers->keeping;
  if (peers->keeping) return;
  list_for_each(&peers->guests, node, following) {
    struct peer_guest *guest = list_entry(node, struct peer_guest, node);
    guest->keeping_boot = guest->memory.boot;
    guest->kept_journal = guest->memory.journal;
    if (guest->memory.boot != 0) rows[count++] = guest->memory;
  }
  peers->keeping = true;
  peers->kept_ns = loop_now_ns(peers->loop);
  peers->kept_task.run = kept;
  if (peers->options.keep != NULL) peers->options.keep(peers->options.keep_context, rows, count, peers->loop, &peers->kept_task);
  else kept(&peers->kept_task);
}

void peers_keep_now_and_then(struct peers *peers, uint64_t now_ns) {
  if (peers->options.keep == NULL || now_ns - peers->kept_ns < KEEP_EVERY_NS) return;
  bool news = false;
  list_for_each(&peers->guests, node, following) {
    const struct peer_guest *guest = list_entry(node, struct peer_guest, node);
    news = news || guest->memory.journal != guest->kept_journal;
  }
  if (news) peers_keep(peers);
}

/* ---- Judged ---- */

static uint64_t patience_ns(const struct peers *peers) { return PEER_STILL_BEATS * peers->options.timing.heartbeat_ns; }

/* Whoever stood still has not listened: that is no silence. */
static bool is_silent(const struct peers *peers, const struct peer_guest *guest) {
  uint64_t now_ns = loop_now_ns(peers->loop);
  bool stands_still = peers->ticked_ns != 0 && now_ns - peers->ticked_ns > patience_ns(peers);
  return !stands_still && now_ns - guest->heard_ns >= peers->options.timing.election_ns;
}

bool peer_guest_lives(const struct peers *peers, const struct peer_guest *guest) {
  if (is_silent(peers, guest)) return false;
  for (struct list_node *node = list_first(&guest->streams); node != NULL; node = list_next(&guest->streams, node)) {
    const struct peer_inbound *inbound = list_entry(node, struct peer_inbound, node);
    bool open = atomic_load_explicit(&inbound->standing, memory_order_relaxed) == PEER_STANDS_ADMITTED;
    if (open && inbound->is_beats && inbound->hello.boot == guest->memory.boot) return true;
  }
  return false;
}

void peers_forgive_guests(struct peers *peers, uint64_t now_ns) {
  uint64_t heard_ns = now_ns + patience_ns(peers) - peers->options.timing.election_ns;
  list_for_each(&peers->guests, node, following) {
    struct peer_guest *guest = list_entry(node, struct peer_guest, node);
    guest->candidate_boot = 0;
    if (guest->heard_ns < heard_ns) guest->heard_ns = heard_ns;
  }
}

/* It goes on from a process that lives. What such a process still says may have been on its way, but not for so long. */
static void let_wait(struct peers *peers, struct peer_inbound *inbound) {
  struct peer_guest *guest = inbound->guest;
  uint64_t now_ns = loop_now_ns(peers->loop);
  uint64_t boot = inbound->hello.boot;
  if (guest->candidate_boot != boot) guest->candidate_ns = now_ns;
  guest->candidate_boot = boot;
  if (now_ns - guest->candidate_ns >= LIVES_ELECTIONS * peers->options.timing.election_ns) {
    tell_dismissed(guest, boot, PEER_ANOTHER);
    dismiss(peers, inbound, PEER_ANOTHER);
    return;
  }
  atomic_store_explicit(&inbound->standing, PEER_STANDS_OVER, memory_order_release);
  failure_refuse_call(inbound->call, STATUS_LOADING, "an earlier process of broker %u is still heard of here",
                      guest->memory.id.broker);
}

static void judge(struct peers *peers, struct peer_inbound *inbound, const struct lineage *lineage, uint64_t journal) {
  struct peer_guest *guest = inbound->guest;
  uint64_t boot = inbound->hello.boot;
  enum peer_verdict verdict = peer_memory_judge(&guest->memory, boot, lineage, journal);
  if (!peer_verdict_good(verdict)) {
    if (lineage->count == 0) guest->memory.refused_boot = boot;
    tell_dismissed(guest, boot, verdict);
    dismiss(peers, inbound, verdict);
    return;
  }
  if (verdict == PEER_CONTINUES && peer_guest_lives(peers, guest)) {
    let_wait(peers, inbound);
    return;
  }
  if (verdict == PEER_CONTINUES) {
    peer_memory_take(&guest->memory, boot, lineage, journal);
    guest->beats = 0;
    peers_keep(peers);
  } else if (guest->settled_boot == boot) {
    admit(inbound);
  }
}

static bool enter(struct peers *peers, struct peer_inbound *inbound) {
  inbound->guest = guest_for(peers, &inbound->hello.from);
  if (inbound->guest != NULL) {
    list_push_back(&inbound->guest->streams, &inbound->node);
    return true;
  }
  atomic_store_explicit(&inbound->standing, PEER_STANDS_OVER, memory_order_release);
  failure_refuse_call(inbound->call, STATUS_BUSY, "too many brokers speak to this one");
  return false;
}

void peers_knock(struct task *task) {
  struct peer_inbound *inbound = container_of(task, struct peer_inbound, knock_task);
  struct peers *peers = inbound->peers;
  if (peers->stopping || !enter(peers, inbound)) return;
  const struct peer_guest *guest = inbound->guest;
  uint64_t boot = inbound->hello.boot;
  if (boot == guest->settled_boot && boot == guest->memory.boot) admit(inbound);
  else if (boot == guest->memory.earlier_boot) dismiss(peers, inbound, PEER_EARLIER);
  else if (boot == guest->told_boot) dismiss(peers, inbound, PEER_OLDER);
}

void peers_leave(struct task *task) {
  struct peer_inbound *inbound = container_of(task, struct peer_inbound, leave_task);
  if (inbound->guest != NULL) list_remove(&inbound->node);
  inbound->guest = NULL;
  peer_inbound_release(inbound);
}

/* What the first beat tells. STATUS_MALFORMED, STATUS_CORRUPT, STATUS_FOREIGN. */
static enum status read_lineage(const struct peer_inbound *inbound, struct bytes message, struct lineage *out_lineage) {
  struct peer_hello hello;
  bool given = false;
  *out_lineage = (struct lineage){0};
  enum status status = peer_wire_decode_hello(message, &given, &hello);
  if (status != STATUS_OK || !given) return STATUS_MALFORMED;
  return peer_hello_lineage(&hello, &inbound->hello.from, out_lineage);
}

enum status peer_hello_lineage(const struct peer_hello *hello, const struct replica_id *from, struct lineage *out_lineage) {
  *out_lineage = (struct lineage){0};
  if (hello->lineage.size == 0) return STATUS_OK;
  enum status status = lineage_decode(hello->lineage, out_lineage);
  if (status != STATUS_OK) return status;
  struct replica_id told = replica_id_of(from->broker, out_lineage->incarnation);
  bool fits = replica_same_directory(&told, from) && out_lineage->links[0].boot == hello->boot;
  return fits ? STATUS_OK : STATUS_MALFORMED;
}

bool peers_hear_of(struct peer_inbound *inbound, struct bytes message, uint64_t journal) {
  struct peers *peers = inbound->peers;
  if (inbound->guest == NULL) {
    struct lineage lineage;
    if (!enter(peers, inbound)) return false;
    enum status status = read_lineage(inbound, message, &lineage);
    if (status != STATUS_OK) {
      atomic_store_explicit(&inbound->standing, PEER_STANDS_OVER, memory_order_release);
      failure_refuse_call(inbound->call, STATUS_MALFORMED, "the lineage of a data directory cannot be read: %s",
                          status_name(status));
      return false;
    }
    judge(peers, inbound, &lineage, journal);
  }
  if (atomic_load_explicit(&inbound->standing, memory_order_relaxed) != PEER_STANDS_ADMITTED) return false;
  inbound->guest->heard_ns = loop_now_ns(peers->loop);
  inbound->guest->beats++;
  return peer_memory_hear(&inbound->guest->memory, journal);
}
