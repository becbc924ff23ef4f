#include "tests/sim/told.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/witness.h"
#include "tests/sim/aim.h"
#include "tests/sim/claims.h"
#include "tests/sim/faults.h"
#include "tests/sim/map_places.h"
#include "tests/sim/map_truth.h"
#include "tests/sim/operations.h"

/* Who leads. */
void told_line(struct run *run, const char *line) {
  uint64_t group = 0, term = 0;
  unsigned leader = 0;
  const char *at = strstr(line, "event=replica_role group=");
  if (at == NULL ||
      sscanf(at, "event=replica_role group=%" SCNu64 " term=%" SCNu64 " leads=%*d leader=%u", &group, &term, &leader) != 3)
    return;
  if (leader != 0) check_leader(run->checker, group, term, leader);
}

#ifdef CAIRN_SIMULATED
static struct run *told;

static void told_applied(uint32_t broker, uint64_t group, uint64_t term, uint64_t index, uint64_t entry_term, uint64_t chain) {
  check_applied(told->checker, broker, group, index,
                &(struct check_applied){.entry_term = entry_term, .chain = chain, .term = term});
  if (group == 0) aim_applied(told->aim, broker - 1, index);
}

static void told_leads(uint32_t broker, uint64_t group, uint64_t term, uint64_t last_index) {
  check_leads(told->checker, broker, group, term, last_index);
  told->leader = broker;
  if (group != 0) return;
  if (told->controller != 0 && told->controller != broker) operations_blow(told->operations);
  told->controller = broker;
}

/* What rot has left of it may be less. */
static void told_map(const void *map) {
  uint64_t newest = map_truth_newest(told->truth);
  if (told->rotten) return;
  map_truth_take(told->truth, map);
  if (map_truth_newest(told->truth) == newest) return;
  told->map_changed_ns = sim_now_ns(told->sim);
  claims_see(told->claims, map);
  map_places_see(told->places, map);
  operations_see(told->operations, map);
}

static void told_proposes(uint32_t broker, int command) { aim_proposed(told->aim, broker - 1, command); }

static void told_configured(uint32_t broker, uint64_t group, uint64_t index, const void *config, size_t size) {
  (void)broker;
  map_places_configure(told->places, group, index, config, size);
}

static void told_found(uint32_t broker, uint64_t group, uint64_t instance) {
  bool calm = told->swept_version != 0 && map_truth_newest(told->truth) == told->swept_version;
  if (calm) map_places_find(told->places, broker, group, instance);
}

static void told_command(uint32_t most, uint32_t level) {
  if (level > most)
    checker_violation(told->checker, "M4 readable",
                      "a broker that can feature levels up to %u is given a command that raises it to %u", most, level);
}

static void told_votes(uint32_t broker, uint64_t group, uint64_t term) {
  (void)group;
  (void)term;
  if (told->faults != NULL && broker <= told->plan->nodes) faults_vote(told->faults, broker - 1);
}
#endif

void told_listen(struct run *run) {
#ifdef CAIRN_SIMULATED
  told = run;
  witness = (struct witness){0};
  if (run == NULL) return;
  witness = (struct witness){.applied = told_applied,
                             .votes = told_votes,
                             .leads = told_leads,
                             .map = told_map,
                             .proposes = told_proposes,
                             .configured = told_configured,
                             .found = told_found,
                             .command = told_command};
#else
  (void)run;
#endif
}
