/* Ways: where no single shift makes it better, several together may, as when one broker has too many of a topic, and whoever has too few has a
 * replica of each of these partitions. A way leads through the brokers of topics and ends where it began:
 *
 *   the end ─> broker ─> topic's at broker ─shift─> topic's at another ─> that broker ─> the end
 *                                                      └─shift─> ...         └─> another topic's there ─shift─> ...
 *
 * Leaving a broker saves what one unit fewer saves there, coming to it costs what one more costs, and so it is with a topic's at a broker. A way that
 * saves more than it costs makes it better by just that, for costs are sums of squares and of moves; and where there is no such way nothing is
 * better at all (it is a flow of least convex cost: Ahuja, Magnanti, Orlin, Network Flows, 9.2 and 14.3). They are found as Bellman and Ford do.
 */
#include "base/check.h"
#include "base/memory.h"
#include "controller/spread_internal.h"

/* The cheapest shift between two brokers in a topic. */
struct shift {
  uint32_t spot; /* SPREAD_NOWHERE: there is none */
  int32_t moved;
};

/* Places on a way: a topic's at a broker, the brokers, and the end. */
struct ways {
  struct spreading *spreading;
  struct shift *shifts; /* by topic, from, to */
  bool *stale;          /* topics whose shifts are to be looked for anew */
  uint32_t end;         /* the last place */
  struct spread_cost *costs;
  uint32_t *before; /* the place before; SPREAD_NOWHERE: it was not come to */
  uint32_t *seen;   /* by which walk back */
  uint32_t *way;
  uint32_t way_count;
  uint64_t work;
};

static struct shift *shift_of(const struct ways *ways, uint32_t topic, uint32_t from, uint32_t to) {
  size_t brokers = ways->spreading->broker_count;
  return &ways->shifts[(topic * brokers + from) * brokers + to];
}

/* ---- What may be shifted ---- */

static void offer(struct ways *ways, uint32_t i, uint32_t from) {
  const struct spreading *spreading = ways->spreading;
  const struct spot *spot = &spreading->spots[i];
  for (uint32_t to = 0; to < spreading->broker_count; to++) {
    if (!spread_may_shift(spreading, spot, from, to)) continue;
    struct shift *shift = shift_of(ways, spot->topic, from, to);
    int moved = spread_moved_more(spreading, spot, from, to);
    if (shift->spot == SPREAD_NOWHERE || moved < shift->moved) *shift = (struct shift){i, moved};
  }
  ways->work += spreading->broker_count;
}

static void look_for_shifts(struct ways *ways, uint32_t topic) {
  const struct spreading *spreading = ways->spreading;
  size_t arcs = (size_t)spreading->broker_count * spreading->broker_count;
  for (size_t i = 0; i < arcs; i++) shift_of(ways, topic, 0, 0)[i] = (struct shift){.spot = SPREAD_NOWHERE};
  for (uint32_t i = spreading->topic_begins[topic]; i < spreading->topic_begins[topic + 1]; i++) {
    const struct spot *spot = &spreading->spots[i];
    uint32_t units = spreading->unit == SPREAD_FIRSTS ? 1 : spot->count;
    for (uint32_t at = 0; at < units && !spot->passed_over; at++) offer(ways, i, spot->now[at]);
  }
  ways->stale[topic] = false;
}

/* ---- The search ---- */

static bool come_to(struct ways *ways, uint32_t from, uint32_t to, struct spread_cost arc) {
  struct spread_cost cost = spread_cost_sum(ways->costs[from], arc);
  if (spread_cost_compare(cost, ways->costs[to]) >= 0) return false;
  ways->costs[to] = cost;
  ways->before[to] = from;
  return true;
}

static int64_t one_more(uint32_t units) { return 2 * (int64_t)units + 1; }
static int64_t one_fewer(uint32_t units) { return 1 - 2 * (int64_t)units; }

static bool go_on_from_topic(struct ways *ways, uint32_t topic, uint32_t from) {
  const struct spreading *spreading = ways->spreading;
  uint32_t brokers = spreading->broker_count, here = topic * brokers + from;
  bool any = come_to(ways, here, spreading->topic_count * brokers + from,
                     (struct spread_cost){.topic = one_more(*spread_in_topic(spreading, topic, from))});
  for (uint32_t to = 0; to < brokers; to++) {
    const struct shift *shift = shift_of(ways, topic, from, to);
    if (shift->spot == SPREAD_NOWHERE) continue;
    any = come_to(ways, here, topic * brokers + to, (struct spread_cost){.moved = shift->moved}) || any;
  }
  ways->work += brokers;
  return any;
}

static bool go_on_from_broker(struct ways *ways, uint32_t broker) {
  const struct spreading *spreading = ways->spreading;
  uint32_t brokers = spreading->broker_count, here = spreading->topic_count * brokers + broker;
  if (spreading->brokers[broker].use != SPREAD_TAKES) return false;
  bool any = come_to(ways, here, ways->end, (struct spread_cost){.all = one_more(spreading->in_all[broker])});
  any = come_to(ways, ways->end, here, (struct spread_cost){.all = one_fewer(spreading->in_all[broker])}) || any;
  for (uint32_t topic = 0; topic < spreading->topic_count; topic++) {
    uint32_t units = *spread_in_topic(spreading, topic, broker);
    if (units > 0) any = come_to(ways, here, topic * brokers + broker, (struct spread_cost){.topic = one_fewer(units)}) || any;
  }
  ways->work += spreading->topic_count;
  return any;
}

/* A place that leads back to itself is on a way that saves something. SPREAD_NOWHERE: there is none yet. */
static uint32_t find_round(struct ways *ways) {
  for (uint32_t i = 0; i <= ways->end; i++) ways->seen[i] = 0;
  for (uint32_t i = 0; i <= ways->end; i++) {
    uint32_t walk = i + 1, place = i;
    while (place != SPREAD_NOWHERE && ways->seen[place] == 0) {
      ways->seen[place] = walk;
      place = ways->before[place];
    }
    if (place != SPREAD_NOWHERE && ways->seen[place] == walk) return place;
  }
  return SPREAD_NOWHERE;
}

static void note_way(struct ways *ways, uint32_t first) {
  uint32_t place = first;
  ways->way_count = 0;
  do {
    ways->way[ways->way_count++] = place;
    place = ways->before[place];
  } while (place != first);
}

/* Backwards: each place is followed by the one before it. */
static bool find_way(struct ways *ways) {
  const struct spreading *spreading = ways->spreading;
  for (uint32_t i = 0; i <= ways->end; i++) {
    ways->costs[i] = (struct spread_cost){0};
    ways->before[i] = SPREAD_NOWHERE;
  }
  for (bool any = true; any && ways->work < SPREAD_WORK_MAX;) {
    any = false;
    for (uint32_t broker = 0; broker < spreading->broker_count; broker++) any = go_on_from_broker(ways, broker) || any;
    for (uint32_t topic = 0; topic < spreading->topic_count; topic++)
      for (uint32_t from = 0; from < spreading->broker_count; from++) any = go_on_from_topic(ways, topic, from) || any;
    uint32_t place = any ? find_round(ways) : SPREAD_NOWHERE;
    if (place == SPREAD_NOWHERE) continue;
    note_way(ways, place);
    return true;
  }
  return false;
}

/* ---- Going it ---- */

/* The step that comes to way[i]; NULL: it is none between brokers of a topic. */
static const struct shift *step_of(const struct ways *ways, uint32_t i, uint32_t *out_from, uint32_t *out_to) {
  uint32_t brokers = ways->spreading->broker_count, places = ways->spreading->topic_count * brokers;
  uint32_t to = ways->way[i], from = ways->way[(i + 1) % ways->way_count];
  if (to >= places || from >= places) return NULL;
  *out_from = from % brokers;
  *out_to = to % brokers;
  return shift_of(ways, to / brokers, *out_from, *out_to);
}

static void go_back(struct ways *ways, uint32_t gone) {
  uint32_t from = 0, to = 0;
  while (gone-- > 0) {
    const struct shift *shift = step_of(ways, gone, &from, &to);
    if (shift != NULL) spread_shift(ways->spreading, &ways->spreading->spots[shift->spot], to, from);
  }
}

/* Two steps of one partition, each of which its racks allow, may together be too many for a rack: then it is passed over for a while. */
static bool go(struct ways *ways) {
  struct spreading *spreading = ways->spreading;
  uint32_t from = 0, to = 0;
  for (uint32_t i = 0; i < ways->way_count; i++) {
    const struct shift *shift = step_of(ways, i, &from, &to);
    if (shift == NULL) continue;
    struct spot *spot = &spreading->spots[shift->spot];
    ways->stale[spot->topic] = true;
    if (spread_may_shift(spreading, spot, from, to)) {
      spread_shift(spreading, spot, from, to);
      continue;
    }
    go_back(ways, i);
    spot->passed_over = true;
    return false;
  }
  return true;
}

/* Each is tried again once another way was gone. */
static void stop_passing_over(struct ways *ways) {
  struct spreading *spreading = ways->spreading;
  for (uint32_t i = 0; i < spreading->spot_count; i++) {
    struct spot *spot = &spreading->spots[i];
    if (spot->passed_over) ways->stale[spot->topic] = true;
    spot->passed_over = false;
  }
}

void spread_go_ways(struct spreading *spreading) {
  uint64_t brokers = spreading->broker_count, topics = spreading->topic_count;
  if (topics * brokers * brokers > SPREAD_ARCS_MAX) return;
  struct ways ways = {.spreading = spreading, .end = (uint32_t)(topics * brokers + brokers)};
  ways.shifts = memory_new_array((size_t)(topics * brokers * brokers) + 1, sizeof *ways.shifts);
  ways.stale = memory_new_array((size_t)topics + 1, sizeof *ways.stale);
  ways.costs = memory_new_array((size_t)ways.end + 1, sizeof *ways.costs);
  ways.before = memory_new_array((size_t)ways.end + 1, sizeof *ways.before);
  ways.seen = memory_new_array((size_t)ways.end + 1, sizeof *ways.seen);
  ways.way = memory_new_array((size_t)ways.end + 1, sizeof *ways.way);
  for (uint32_t topic = 0; topic < topics; topic++) ways.stale[topic] = true;
  while (ways.work < SPREAD_WORK_MAX) {
    for (uint32_t topic = 0; topic < topics; topic++)
      if (ways.stale[topic]) look_for_shifts(&ways, topic);
    if (!find_way(&ways)) break;
    if (go(&ways)) stop_passing_over(&ways);
  }
  stop_passing_over(&ways);
  memory_free(ways.shifts);
  memory_free(ways.stale);
  memory_free(ways.costs);
  memory_free(ways.before);
  memory_free(ways.seen);
  memory_free(ways.way);
}
