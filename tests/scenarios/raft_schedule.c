#include "tests/scenarios/raft_schedule.h"

#include <stdio.h>
#include <string.h>

#include "tests/scenarios/raft_cluster.h"

#define FAULTS_MS 9000u
#define SETTLE_MS_MAX 40000u

enum feature {
  LOSS,
  DUPLICATES,
  REORDER,
  CRASHES,
  PARTITIONS,
  ONE_WAY,
  MEMBERS,
  TRANSFERS,
  READS,
  COMPACTION,
  LOSSES,
  SLOW_DISKS,
  DISK_FAILURES,
  PAUSES,
  IDLE,
  STORM,
  WISHES,
  FEATURES
};

struct schedule {
  struct cluster *cluster;
  struct chance chance;
  bool on[FEATURES];
  unsigned nodes;
  unsigned voters;
  bool lost_one; /* one replica was wiped or damaged: no second one */
  uint64_t faults;
};

static broker_id any(struct schedule *schedule) { return 1 + (broker_id)chance_below(&schedule->chance, schedule->nodes); }

/* ---- The world ---- */

static void draw(struct schedule *schedule, uint64_t seed) {
  static const unsigned sizes[] = {1, 2, 3, 3, 3, 5, 5};
  schedule->chance.state = seed;
  struct chance *chance = &schedule->chance;
  for (unsigned i = 0; i < FEATURES; i++) schedule->on[i] = chance_in(chance, i == IDLE || i == STORM ? 200 : 500);
  schedule->voters = sizes[chance_below(chance, sizeof sizes / sizeof sizes[0])];
  if (schedule->on[LOSSES]) schedule->on[MEMBERS] = schedule->on[MEMBERS] && schedule->voters == 5;
  schedule->nodes = schedule->on[MEMBERS] ? schedule->voters + 2 : schedule->voters;
  static const unsigned elections_ms[] = {100, 300, 1000};
  unsigned election_ms = elections_ms[schedule->on[STORM] ? 0 : chance_below(chance, 3)];
  struct cluster *cluster = cluster_new(chance_next(chance), schedule->nodes, schedule->voters, election_ms);
  schedule->cluster = cluster;
  if (seed % 4 == 0) cluster_gather(cluster, RAFT_GATHER_NS);
  static const unsigned delays[] = {0, 2, 40, 300};
  static const unsigned disks[] = {0, 3, 60, 400};
  cluster->delay_more_ns = delays[chance_below(chance, schedule->on[REORDER] ? 4 : 2)] * (uint64_t)MS;
  cluster->disk_more_ns = disks[chance_below(chance, 4)] * (uint64_t)MS;
  if (schedule->on[STORM]) cluster->delay_more_ns = cluster->disk_more_ns = 60 * (uint64_t)MS;
  cluster->entries_max = schedule->on[STORM] ? 1 : 1 + (uint32_t)chance_below(chance, CLUSTER_PACKET_ENTRIES_MAX);
  if (schedule->on[LOSS]) cluster->drop = (unsigned)chance_below(chance, 250);
  if (schedule->on[DUPLICATES]) cluster->duplicate = (unsigned)chance_below(chance, 250);
  cluster->replay_ns = 20 * cluster->election_ns;
}

/* ---- What clients and operators do ---- */

static void propose(struct schedule *schedule) {
  for (broker_id broker = 1; broker <= schedule->nodes; broker++) {
    struct cluster_node *node = &schedule->cluster->nodes[broker];
    bool leads = node->up && !node->paused && (node->raft.role == RAFT_LEADER || schedule->voters == 1);
    if (leads) (void)cluster_propose(schedule->cluster, broker, 1 + (uint32_t)chance_below(&schedule->chance, 4));
  }
}

static void read_somewhere(struct schedule *schedule) {
  broker_id broker = any(schedule);
  const struct cluster_node *node = &schedule->cluster->nodes[broker];
  if (node->up && !node->paused) (void)cluster_read(schedule->cluster, broker);
}

/* Voters: any of the nodes, at least three once somebody has lost a disk, so that what is lost stays a minority. */
static void change_members(struct schedule *schedule) {
  broker_id leader = cluster_leader(schedule->cluster);
  if (leader == 0 || schedule->cluster->nodes[leader].paused) return;
  unsigned least = schedule->on[LOSSES] ? 3 : 1;
  unsigned voters = 0;
  unsigned learners = 0;
  while ((unsigned)__builtin_popcount(voters) < least)
    voters |= (unsigned)chance_below(&schedule->chance, 1u << schedule->nodes) << 1;
  if (chance_in(&schedule->chance, 300)) learners = 1u << any(schedule);
  (void)cluster_change(schedule->cluster, leader, voters, learners & ~voters);
}

/* Some are offers: which of them chance has no say in, so that everything else stays as it was drawn. */
static void transfer(struct schedule *schedule) {
  struct cluster *cluster = schedule->cluster;
  broker_id leader = cluster_leader(cluster);
  if (leader == 0 || cluster->nodes[leader].paused) return;
  broker_id to = chance_in(&schedule->chance, 300) ? 0 : any(schedule);
  if (to != 0 && cluster->steps % 3 == 0) (void)cluster_offer(cluster, leader, to, cluster->steps % 2 == 0);
  else (void)cluster_transfer(cluster, leader, to);
}

static void wish(struct schedule *schedule) {
  broker_id broker = any(schedule);
  struct cluster_node *node = &schedule->cluster->nodes[broker];
  if (node->up && !node->paused) cluster_wish(schedule->cluster, broker, !node->reluctant);
}

static void compact(struct schedule *schedule) {
  broker_id broker = any(schedule);
  const struct cluster_node *node = &schedule->cluster->nodes[broker];
  if (!node->up || node->paused || node->applied == 0) return;
  cluster_compact(schedule->cluster, broker,
                  node->applied - chance_below(&schedule->chance, node->applied < 4 ? node->applied : 4));
}

/* ---- What goes wrong ---- */

static void crash(struct schedule *schedule) {
  broker_id broker = any(schedule);
  struct cluster_node *node = &schedule->cluster->nodes[broker];
  if (!node->up) return;
  cluster_crash(schedule->cluster, broker, chance_below(&schedule->chance, node->write_count + 1));
  schedule->faults++;
  if (chance_in(&schedule->chance, 400)) cluster_restart(schedule->cluster, broker);
}

static void restart(struct schedule *schedule) {
  broker_id broker = any(schedule);
  if (!schedule->cluster->nodes[broker].up) cluster_restart(schedule->cluster, broker);
}

/* A member that is down has lost its directory, or the end of its log. Once in a schedule: a minority. */
static void lose(struct schedule *schedule) {
  broker_id broker = any(schedule);
  struct cluster_node *node = &schedule->cluster->nodes[broker];
  if (schedule->lost_one || node->up || schedule->voters < 3) return;
  schedule->lost_one = true;
  schedule->faults++;
  if (chance_in(&schedule->chance, 400) && !schedule->on[MEMBERS]) {
    cluster_wipe(schedule->cluster, broker);
  } else if (node->disk.last > node->disk.base) {
    entry_index kept = chance_below(&schedule->chance, node->disk.last - node->disk.base);
    entry_index from = node->disk.last - (kept < 6 ? kept : 6);
    if (chance_in(&schedule->chance, 500)) cluster_forget(schedule->cluster, broker, from);
    else cluster_damage(schedule->cluster, broker, from);
  }
}

static void partition(struct schedule *schedule) {
  struct cluster *cluster = schedule->cluster;
  unsigned side = (unsigned)chance_next(&schedule->chance);
  bool one_way = schedule->on[ONE_WAY] && chance_in(&schedule->chance, 500);
  bool partial = chance_in(&schedule->chance, 300);
  broker_id a = any(schedule);
  broker_id b = any(schedule);
  for (broker_id from = 1; from <= schedule->nodes; from++) {
    for (broker_id to = 1; to <= schedule->nodes; to++) {
      bool apart = partial ? (from == a && to == b) || (!one_way && from == b && to == a)
                           : ((side >> from) & 1) != ((side >> to) & 1) && (!one_way || ((side >> from) & 1));
      cluster->links[from][to] = apart ? LINK_CUT : LINK_OPEN;
    }
  }
  schedule->faults++;
}

static void mend_links(struct schedule *schedule) {
  for (broker_id from = 1; from <= schedule->nodes; from++)
    for (broker_id to = 1; to <= schedule->nodes; to++) schedule->cluster->links[from][to] = LINK_OPEN;
}

static void change_disk(struct schedule *schedule) {
  struct cluster_node *node = &schedule->cluster->nodes[any(schedule)];
  node->slow = chance_in(&schedule->chance, 300);
  node->stuck = node->up && !node->raft.stopped && chance_in(&schedule->chance, 200);
  schedule->faults++;
}

/* Leaders live just long enough to begin something (Figure 8 of the Raft paper is a story of five such lives). */
static void strike_leader(struct schedule *schedule) {
  broker_id leader = cluster_leader(schedule->cluster);
  if (leader == 0) return;
  size_t writes = schedule->cluster->nodes[leader].write_count;
  cluster_crash(schedule->cluster, leader, chance_below(&schedule->chance, writes + 1));
  schedule->faults++;
}

static void pause_one(struct schedule *schedule) {
  broker_id leader = cluster_leader(schedule->cluster);
  broker_id broker = leader != 0 && chance_in(&schedule->chance, 600) ? leader : any(schedule);
  if (!schedule->cluster->nodes[broker].up) return;
  schedule->cluster->nodes[broker].paused = true;
  schedule->faults++;
}

static void resume_one(struct schedule *schedule) {
  broker_id broker = any(schedule);
  struct cluster_node *node = &schedule->cluster->nodes[broker];
  if (node->up && node->paused) cluster_resume(schedule->cluster, broker, chance_in(&schedule->chance, 500));
}

static void fail_disk(struct schedule *schedule) {
  broker_id broker = any(schedule);
  if (!schedule->cluster->nodes[broker].up || schedule->cluster->nodes[broker].paused) return;
  cluster_disk_fails(schedule->cluster, broker);
  schedule->faults++;
}

/* ---- The two phases ---- */

struct action {
  enum feature feature; /* FEATURES: always */
  unsigned per_mille;
  void (*run)(struct schedule *schedule);
};

static const struct action actions[] = {
    {FEATURES, 300, propose},      {READS, 200, read_somewhere}, {MEMBERS, 40, change_members},
    {TRANSFERS, 30, transfer},     {COMPACTION, 60, compact},    {CRASHES, 30, crash},
    {CRASHES, 60, restart},        {LOSSES, 25, crash},          {LOSSES, 40, lose},
    {LOSSES, 40, restart},         {PARTITIONS, 20, partition},  {PARTITIONS, 15, mend_links},
    {STORM, 120, strike_leader},   {STORM, 250, restart},        {STORM, 60, crash},
    {PAUSES, 20, pause_one},       {PAUSES, 60, resume_one},     {SLOW_DISKS, 20, change_disk},
    {DISK_FAILURES, 8, fail_disk}, {WISHES, 30, wish},
};

static void act(struct schedule *schedule) {
  for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
    const struct action *action = &actions[i];
    bool may =
        action->feature == FEATURES ? !schedule->on[IDLE] || chance_in(&schedule->chance, 50) : schedule->on[action->feature];
    if (may && chance_in(&schedule->chance, action->per_mille)) action->run(schedule);
  }
}

static void fault_phase(struct schedule *schedule) {
  struct cluster *cluster = schedule->cluster;
  uint64_t end = FAULTS_MS * (uint64_t)MS;
  while (cluster->now_ns < end && cluster->violation[0] == '\0') {
    act(schedule);
    cluster_run(cluster, (1 + chance_below(&schedule->chance, schedule->on[STORM] ? 25 : 60)) * MS);
  }
}

static void heal(struct schedule *schedule) {
  struct cluster *cluster = schedule->cluster;
  cluster_heal(cluster);
  cluster->delay_more_ns = cluster->disk_more_ns = MS;
  for (broker_id broker = 1; broker <= schedule->nodes; broker++) {
    struct cluster_node *node = &cluster->nodes[broker];
    node->slow = node->stuck = node->paused = false;
    if (node->up && node->raft.stopped) cluster_crash(cluster, broker, 0);
    if (!node->up) cluster_restart(cluster, broker);
  }
}

/* One that is alone leads when it is asked to: docs/decisions/0005. */
static void ask_the_lonely(struct cluster *cluster) {
  for (broker_id broker = 1; broker <= CLUSTER_NODES_MAX; broker++) {
    const struct cluster_node *node = &cluster->nodes[broker];
    if (node->up && raft_config_alone(&node->raft.config, &node->id)) (void)cluster_propose(cluster, broker, 1);
  }
}

/* A process for which more arrived than it has room for dies (cluster_step), also now. */
static void restart_the_dead(struct schedule *schedule) {
  for (broker_id broker = 1; broker <= schedule->nodes; broker++) {
    if (!schedule->cluster->nodes[broker].up) cluster_restart(schedule->cluster, broker);
  }
}

static bool settle(struct schedule *schedule) {
  struct cluster *cluster = schedule->cluster;
  uint64_t end = cluster->now_ns + SETTLE_MS_MAX * (uint64_t)MS;
  while (cluster->now_ns < end && cluster->violation[0] == '\0') {
    cluster_run(cluster, 50 * (uint64_t)MS);
    restart_the_dead(schedule);
    if (cluster_unsettled(cluster) == NULL) return true;
    if (cluster_leader(cluster) == 0) ask_the_lonely(cluster);
  }
  if (cluster->violation[0] == '\0') cluster_fail(cluster, "liveness: %s", cluster_unsettled(cluster));
  return false;
}

static void healing_phase(struct schedule *schedule, struct schedule_result *result) {
  struct cluster *cluster = schedule->cluster;
  heal(schedule);
  uint64_t healed = cluster->now_ns;
  if (!settle(schedule)) return;
  result->settle_ms = (cluster->now_ns - healed) / MS;
  entry_index before = cluster->committed_last;
  enum status status = cluster_propose(cluster, cluster_leader(cluster), 1);
  if (status == STATUS_BUSY || !settle(schedule)) return;
  if (status != STATUS_OK || cluster->committed_last <= before)
    cluster_fail(cluster, "liveness: a healthy group commits nothing");
}

static void conclude(struct schedule *schedule, struct schedule_result *out_result) {
  struct cluster *cluster = schedule->cluster;
  memcpy(out_result->violation, cluster->violation, sizeof out_result->violation);
  out_result->hash = cluster->hash;
  out_result->steps = cluster->steps;
  out_result->committed = cluster->committed_last;
  out_result->reads = cluster->reads_done;
  out_result->leader_changes = cluster->leader_changes;
  out_result->faults = schedule->faults;
  cluster_free(cluster);
}

/* ---- One link ---- */

/* An idle group in which the leader and one follower do not hear each other. Everybody else hears the leader, so it goes on leading. */
void schedule_disrupt(uint64_t seed, struct schedule_result *out_result) {
  struct schedule schedule = {.chance = {seed}};
  schedule.nodes = schedule.voters = chance_in(&schedule.chance, 500) ? 3 : 5;
  struct cluster *cluster = schedule.cluster = cluster_new(seed, schedule.nodes, schedule.voters, 300);
  cluster->delay_more_ns = cluster->disk_more_ns = 1 + chance_below(&schedule.chance, 20) * MS;
  *out_result = (struct schedule_result){0};
  if (settle(&schedule)) {
    broker_id leader = cluster_leader(cluster);
    broker_id deaf = 1 + (leader + (broker_id)chance_below(&schedule.chance, schedule.nodes - 1)) % schedule.nodes;
    bool one_way = chance_in(&schedule.chance, 300);
    cluster->links[leader][deaf] = LINK_CUT;
    if (!one_way) cluster->links[deaf][leader] = LINK_CUT;
    uint64_t before = cluster->leader_changes;
    cluster_run(cluster, 6000 * (uint64_t)MS);
    if (cluster->leader_changes != before) cluster_fail(cluster, "stickiness: one bad link changed the leader");
    healing_phase(&schedule, out_result);
  }
  conclude(&schedule, out_result);
}

/* A vote is on its way when whoever gave it forgets it, while the leader of the term before goes on. Whatever their luck with time is: what the one
 * commits the other has, or does not lead. */
void schedule_forget(uint64_t seed, struct schedule_result *out_result) {
  struct schedule schedule = {.chance = {seed}};
  schedule.nodes = schedule.voters = 3;
  struct cluster *cluster = schedule.cluster = cluster_new(seed, 3, 3, 300);
  *out_result = (struct schedule_result){0};
  if (settle(&schedule)) {
    broker_id leader = cluster_leader(cluster);
    broker_id forgetful = 1 + (leader + (broker_id)chance_below(&schedule.chance, 2)) % 3;
    broker_id rival = 6 - leader - forgetful;
    (void)cluster_propose(cluster, leader, 1 + (uint32_t)chance_below(&schedule.chance, 4));
    cluster_run(cluster, 50 * (uint64_t)MS);
    cluster->links[leader][rival] = cluster->links[leader][forgetful] = LINK_CUT;
    cluster_run(cluster, (310 + chance_below(&schedule.chance, 20)) * MS);
    cluster_campaign(cluster, rival);
    cluster_run(cluster, (2 + chance_below(&schedule.chance, 3)) * MS);
    cluster->links[forgetful][rival] = LINK_HELD;
    cluster_run(cluster, (3 + chance_below(&schedule.chance, 10)) * MS);
    cluster_crash(cluster, forgetful, chance_below(&schedule.chance, 2));
    cluster_forget(cluster, forgetful, cluster->nodes[forgetful].disk.last);
    cluster->links[rival][forgetful] = LINK_CUT;
    cluster->links[leader][forgetful] = LINK_OPEN;
    cluster_restart(cluster, forgetful);
    for (int i = 0; i < 8; i++) {
      if (cluster->nodes[leader].raft.role == RAFT_LEADER) (void)cluster_propose(cluster, leader, 1);
      cluster_run(cluster, (1 + chance_below(&schedule.chance, 30)) * MS);
    }
    cluster_release(cluster, forgetful, rival, false);
    cluster_run(cluster, chance_below(&schedule.chance, 500) * MS);
    healing_phase(&schedule, out_result);
  }
  conclude(&schedule, out_result);
}

void schedule_run(uint64_t seed, struct buffer *trace, struct schedule_result *out_result) {
  struct schedule schedule = {0};
  draw(&schedule, seed);
  schedule.cluster->trace = trace;
  *out_result = (struct schedule_result){0};
  fault_phase(&schedule);
  if (schedule.cluster->violation[0] == '\0') healing_phase(&schedule, out_result);

  if (trace != NULL) cluster_show(schedule.cluster);
  conclude(&schedule, out_result);
}
