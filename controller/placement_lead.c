/* Who is to lead what was dealt out. Where one broker leads two more than another, there may be a way from the one to the other: it gives a partition to
 * another of its replicas, that one gives up one of its own, and so on. The shortest ways are gone, from whoever leads the most on down, until there
 * is none: then nothing is more even (what leads there is a flow, and its cost a sum of squares: Ahuja, Magnanti, Orlin, Network Flows, 14.3). Whom
 * those with the most can reach no way from lower down leads through; so they are not looked at again.
 */
#include "base/memory.h"
#include "controller/placement_internal.h"

#define NONE UINT32_MAX

struct ways {
  const struct placement_dealt *dealt;
  uint32_t *led;     /* by broker: a partition that it leads, or NONE */
  uint32_t *another; /* by partition: the next one of whoever leads it, or NONE */
  uint32_t *through; /* by broker: the partition whose lead was given to it on the way; NONE: the way begins here */
  bool *come_to;
  uint32_t *line; /* of brokers */
};

static uint32_t *places_of(const struct placement_dealt *dealt, uint32_t partition) {
  return &dealt->places[(size_t)partition * dealt->replicas];
}

static void list_leads(struct ways *ways) {
  for (size_t broker = 0; broker < ways->dealt->count; broker++) ways->led[broker] = NONE;
  for (uint32_t i = 0; i < ways->dealt->partitions; i++) {
    uint32_t leader = places_of(ways->dealt, i)[0];
    ways->another[i] = ways->led[leader];
    ways->led[leader] = i;
  }
}

/* From those that lead `most` to one that leads two fewer, or NONE. */
static uint32_t find_way(struct ways *ways, uint32_t most) {
  const struct placement_dealt *dealt = ways->dealt;
  uint32_t waiting = 0;
  list_leads(ways);
  for (uint32_t broker = 0; broker < dealt->count; broker++) {
    ways->come_to[broker] = dealt->loads[broker].firsts == most;
    ways->through[broker] = NONE;
    if (ways->come_to[broker]) ways->line[waiting++] = broker;
  }
  for (uint32_t next = 0; next < waiting; next++) {
    for (uint32_t i = ways->led[ways->line[next]]; i != NONE; i = ways->another[i]) {
      for (uint32_t at = 1; at < dealt->replicas; at++) {
        uint32_t other = places_of(dealt, i)[at];
        if (ways->come_to[other]) continue;
        ways->come_to[other] = true;
        ways->through[other] = i;
        ways->line[waiting++] = other;
        if (dealt->loads[other].firsts + 2 <= most) return other;
      }
    }
  }
  return NONE;
}

static void go_way(const struct ways *ways, uint32_t end) {
  const struct placement_dealt *dealt = ways->dealt;
  dealt->loads[end].firsts++;
  for (uint32_t i = ways->through[end]; i != NONE; i = ways->through[end]) {
    uint32_t *places = places_of(dealt, i), leader = places[0], at = 1;
    while (places[at] != end) at++;
    places[0] = end;
    places[at] = leader;
    end = leader;
  }
  dealt->loads[end].firsts--;
}

/* The most firsts that one has below `bound`; NONE: nobody has fewer. */
static uint32_t most_below(const struct placement_dealt *dealt, uint32_t bound) {
  uint32_t most = NONE;
  for (size_t i = 0; i < dealt->count; i++) {
    uint32_t firsts = dealt->loads[i].firsts;
    if (firsts < bound && (most == NONE || firsts > most)) most = firsts;
  }
  return most;
}

void placement_even_firsts(const struct placement_dealt *dealt) {
  struct ways ways = {.dealt = dealt};
  ways.led = memory_new_array(dealt->count, sizeof *ways.led);
  ways.another = memory_new_array(dealt->partitions, sizeof *ways.another);
  ways.through = memory_new_array(dealt->count, sizeof *ways.through);
  ways.come_to = memory_new_array(dealt->count, sizeof *ways.come_to);
  ways.line = memory_new_array(dealt->count, sizeof *ways.line);
  for (uint32_t most = NONE; (most = most_below(dealt, most)) != NONE;)
    for (uint32_t end; (end = find_way(&ways, most)) != NONE;) go_way(&ways, end);
  memory_free(ways.led);
  memory_free(ways.another);
  memory_free(ways.through);
  memory_free(ways.come_to);
  memory_free(ways.line);
}
