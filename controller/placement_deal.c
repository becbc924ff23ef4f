/* Dealing out: first how many replicas each broker gets, then one partition after the other.
 *
 * How many: one after the other goes to a broker that carries the fewest by then and has room. A broker has room for each partition once, a rack for
 * its share of each. These bounds lie within one another, and of such ones the greedy way ends as evenly as any can (Federgruen and Groenevelt,
 * The greedy procedure for resource allocation problems, 1986).
 *
 * Which: of those that are still owed some. Whoever is owed as many as there are partitions left must have this one, and so must as many of a rack as
 * it is owed beyond its share of the partitions after this one. These are never more than the partition has replicas; and so what is left can be dealt
 * out among the partitions that are left, to the last.
 */
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/mutant.h"
#include "base/probe.h"
#include "controller/placement_internal.h"
#include "controller/racks.h"

#define NOBODY UINT32_MAX
_Static_assert(TOPIC_PARTITIONS_MAX < 1u << 24, "merit() has room for what a broker is owed");

struct deal {
  struct placement_load *loads;
  size_t count;
  uint32_t partitions; /* that are still to be dealt out */
  uint32_t replicas;
  uint32_t share;      /* of a partition's replicas, that a rack may have */
  uint32_t *owed;      /* by broker's place in the loads */
  bool *has;           /* the partition that is being dealt out */
  size_t rack_count;   /* one more than the greatest */
  uint32_t *rack_owed; /* by rack */
  uint32_t *leads;     /* by broker's place: how many it might lead then */
  uint32_t level;      /* nobody that has room carries fewer */
  /* By rack: brokers that carry no more than that; then, replicas of the partition that is being dealt out. */
  uint32_t *in_rack;
};

static void clear_racks(struct deal *deal) { memset(deal->in_rack, 0, deal->rack_count * sizeof *deal->in_rack); }

/* ---- How many ---- */

static bool has_room(const struct deal *deal, uint32_t i) {
  return deal->owed[i] < deal->partitions && deal->rack_owed[deal->loads[i].rack] < deal->share * deal->partitions;
}

static uint32_t carries(const struct deal *deal, uint32_t i) { return deal->loads[i].replicas + deal->owed[i]; }

/* To what those carry that carry the fewest and have room; by rack, how many carry no more, room or not. */
static void raise_level(struct deal *deal) {
  deal->level = UINT32_MAX;
  for (uint32_t i = 0; i < deal->count; i++)
    if (has_room(deal, i) && carries(deal, i) < deal->level) deal->level = carries(deal, i);
  CHECK(deal->level < UINT32_MAX);
  clear_racks(deal);
  for (uint32_t i = 0; i < deal->count; i++) deal->in_rack[deal->loads[i].rack] += carries(deal, i) <= deal->level;
}

/* Of equals the first to be chosen is who leads the fewest, and the others are who lead the most: so that whoever leads few is still there to lead the
 * next partition. */
static bool is_first(uint32_t firsts, uint32_t other_firsts, bool to_lead) {
  return to_lead ? firsts < other_firsts : firsts > other_firsts;
}

/* Of those at the level one of the rack in which the most are no higher: it has the longest way to go. NOBODY: none is left there. */
static uint32_t lowest(const struct deal *deal, bool to_lead) {
  uint32_t best = NOBODY, best_beside = 0;
  for (uint32_t i = 0; i < deal->count; i++) {
    if (carries(deal, i) != deal->level || !has_room(deal, i)) continue;
    uint32_t beside = deal->in_rack[deal->loads[i].rack];
    if (beside < best_beside) continue;
    if (beside == best_beside && !is_first(deal->leads[i], deal->leads[best], to_lead)) continue;
    best = i;
    best_beside = beside;
  }
  return best;
}

static void owe_one(struct deal *deal, bool to_lead) {
  uint32_t i;
  while ((i = lowest(deal, to_lead)) == NOBODY) raise_level(deal);
  deal->owed[i]++;
  deal->rack_owed[deal->loads[i].rack]++;
  deal->in_rack[deal->loads[i].rack]--;
  deal->leads[i] += to_lead;
}

static void owe_all(struct deal *deal) {
  for (uint32_t i = 0; i < deal->count; i++) deal->leads[i] = deal->loads[i].firsts;
  raise_level(deal);
  for (uint32_t i = 0; i < deal->partitions; i++)
    for (uint32_t at = 0; at < deal->replicas; at++) owe_one(deal, at == 0);
}

/* ---- Which ---- */

static bool must_have(const struct deal *deal, uint32_t i) {
  return deal->owed[i] == deal->partitions || deal->rack_owed[deal->loads[i].rack] > deal->share * (deal->partitions - 1);
}

static bool may_have(const struct deal *deal, uint32_t i) {
  return !deal->has[i] && deal->owed[i] > 0 && deal->in_rack[deal->loads[i].rack] < deal->share;
}

/* Whoever must comes before whoever may; then a rack that has few of it, then whoever is owed much, then is_first(). */
static uint64_t merit(const struct deal *deal, uint32_t i, bool to_lead) {
  const struct placement_load *load = &deal->loads[i];
  uint64_t must = must_have(deal, i), apart = MAP_REPLICAS_MAX - deal->in_rack[load->rack];
  return must << 63 | apart << 56 | (uint64_t)deal->owed[i] << 32 | (to_lead ? UINT32_MAX - load->firsts : load->firsts);
}

static uint32_t choose(const struct deal *deal, bool to_lead) {
  uint32_t best = NOBODY;
  uint64_t most = 0;
  for (uint32_t i = 0; i < deal->count; i++) {
    uint64_t has = may_have(deal, i) ? merit(deal, i, to_lead) : 0;
    if (has <= most) continue;
    best = i;
    most = has;
  }
  CHECK(best != NOBODY);
  return best;
}

static void give(struct deal *deal, uint32_t i) {
  deal->has[i] = true;
  deal->owed[i]--;
  deal->rack_owed[deal->loads[i].rack]--;
  deal->in_rack[deal->loads[i].rack]++;
  deal->loads[i].replicas++;
}

/* Of its replicas the one is to lead it that leads the fewest. */
static void deal_partition(struct deal *deal, uint32_t *out_places) {
  uint32_t leads = 0; /* which of them */
  memset(deal->has, 0, deal->count * sizeof *deal->has);
  clear_racks(deal);
  for (uint32_t at = 0; at < deal->replicas; at++) {
    uint32_t i = choose(deal, at == 0);
    give(deal, i);
    out_places[at] = i;
    if (deal->loads[i].firsts < deal->loads[out_places[leads]].firsts) leads = at;
  }
  uint32_t leader = out_places[leads];
  deal->loads[leader].firsts++;
  out_places[leads] = out_places[0];
  out_places[0] = leader;
  deal->partitions--;
}

/* ---- All of it ---- */

static uint32_t share_of(struct deal *deal) {
  clear_racks(deal);
  for (uint32_t i = 0; i < deal->count; i++) deal->in_rack[deal->loads[i].rack]++;
  uint32_t share = racks_share(deal->in_rack, deal->rack_count, deal->replicas);
  for (size_t rack = 0; share < deal->replicas && rack < deal->rack_count; rack++)
    if (deal->in_rack[rack] > share) REACHED(topic_spread_over_racks);
  return MUTANT(racks_ignored) ? deal->replicas : share;
}

void placement_deal(struct placement_load *loads, size_t count, uint32_t partitions, uint32_t replicas, uint32_t *out_brokers) {
  PRE(partitions > 0 && replicas > 0 && replicas <= count);
  struct deal deal = {.loads = loads, .count = count, .partitions = partitions, .replicas = replicas};
  for (size_t i = 0; i < count; i++)
    if (loads[i].rack >= deal.rack_count) deal.rack_count = (size_t)loads[i].rack + 1;
  deal.owed = memory_new_array(count, sizeof *deal.owed);
  deal.has = memory_new_array(count, sizeof *deal.has);
  deal.leads = memory_new_array(count, sizeof *deal.leads);
  deal.rack_owed = memory_new_array(deal.rack_count, sizeof *deal.rack_owed);
  deal.in_rack = memory_new_array(deal.rack_count, sizeof *deal.in_rack);
  deal.share = share_of(&deal);
  owe_all(&deal);
  for (uint32_t i = 0; i < partitions; i++) deal_partition(&deal, &out_brokers[(size_t)i * replicas]);
  placement_even_firsts(&(struct placement_dealt){loads, count, out_brokers, partitions, replicas});
  for (size_t i = 0; i < (size_t)partitions * replicas; i++) out_brokers[i] = loads[out_brokers[i]].broker;
  memory_free(deal.owed);
  memory_free(deal.has);
  memory_free(deal.leads);
  memory_free(deal.rack_owed);
  memory_free(deal.in_rack);
}
