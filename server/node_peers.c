/* A node among others: the wires, and who founded group 0 with it. */
#include <inttypes.h>

#include "base/check.h"
#include "base/trace.h"
#include "server/meet.h"
#include "server/node_internal.h"

/* Bytes of an append that must find space on the disk for this broker to lead; and for it to lead again. */
#define SPACE_LEAST 65536u
#define SPACE_AMPLE (4u << 20)

#define SAY(problem, ...)                                          \
  do {                                                             \
    if (buffer_printf((problem), __VA_ARGS__) != STATUS_OK) break; \
  } while (0)

struct replica_id node_replica_id(const struct node *node) {
  return replica_id_of(node->identity.broker_id, node->identity.incarnation);
}

struct raft_timing node_timing(const struct node *node) {
  return (struct raft_timing){.election_ns = node->options->election_timeout_ms * NS_PER_MS,
                              .heartbeat_ns = node->options->heartbeat_ms * NS_PER_MS,
                              .gather_ns = node->options->append_gather_ms * NS_PER_MS};
}

void node_founding(const struct node *node, struct raft_config *out_config) {
  *out_config = (struct raft_config){.phase = RAFT_STABLE};
  for (uint32_t i = 0; i < node->identity.founder_count; i++) {
    const struct log_founder *founder = &node->identity.founders[i];
    struct replica_id id = replica_id_of(founder->broker_id, founder->incarnation);
    raft_config_add(out_config, &id, RAFT_VOTER, RAFT_VOTER);
  }
}

/* Founders that cannot speak to each other would wait for ever. */
static enum status check_alone(const struct node *node, struct buffer *out_problem) {
  if (node->identity.founder_count <= 1) return STATUS_OK;
  SAY(out_problem,
      "data directory %s belongs to a cluster of %" PRIu32 " brokers, and this one would not hear them: give it --peer-listen",
      node->options->data_dir, node->identity.founder_count);
  return STATUS_INVALID;
}

static void tell_fitness(enum fitness_state before, enum fitness_state now) {
  if (now == FITNESS_FULL)
    trace_warn("disk_full", "do=\"others lead what they can, the rest is read-only: make room, it goes on by itself\"");
  if (before == FITNESS_FULL) trace_info("disk_has_room", "do=\"nothing: it takes appends, and leaderships soon\"");
}

/* On the peers loop. Its lanes know by themselves that it stops. */
static enum peers_wish wish(void *context) {
  struct node *node = context;
  enum fitness_state before = node->fitness.state;
  struct fitness_look look = {.lacks = !log_set_has_space(node->logs, SPACE_LEAST),
                              .roomy = log_set_has_space(node->logs, SPACE_AMPLE)};
  struct raft_timing timing = node_timing(node);
  enum peers_wish wish = fitness_of(&node->fitness, &look, &timing, world_now_ns(node->world));
  if (before != node->fitness.state) tell_fitness(before, node->fitness.state);
  if (atomic_load_explicit(&node->drained, memory_order_acquire)) return PEERS_LEAVES;
  if (wish == PEERS_WILLING && atomic_load_explicit(&node->leaving, memory_order_acquire)) return PEERS_KEEPS;
  return wish;
}

static uint64_t durable_group(void *journal) { return journal_usage(journal).durable_group; }

enum status node_open_peers(struct node *node, struct buffer *out_problem) {
  const struct options *options = node->options;
  if (options->peer_listen[0] == '\0') return check_alone(node, out_problem);
  struct peer_memory known[PEER_MEMORIES_MAX];
  size_t known_count = 0;
  enum status status = seen_open(node->world, known, &known_count, &node->seen);
  if (status != STATUS_OK) {
    SAY(out_problem, "cannot read the file seen of data directory %s: %s (%s)", options->data_dir, status_text(status),
        status_name(status));
    return status;
  }
  struct rpc_handler more[] = {meet_running_handler, brokers_register_handler(node->brokers),
                               map_questions_handler(node->questions)};
  more[0].own_service = &node->identity;
  struct peers_options wanted = {
      .world = node->world,
      .self = node_replica_id(node),
      .listen = options->peer_listen,
      .account = node->account,
      .lane_count = options->lanes == 0 ? 1 : (unsigned)options->lanes,
      .timing = node_timing(node),
      .boot = node->lineage.links[0].boot,
      .lineage = &node->lineage,
      .known = known,
      .known_count = known_count,
      .keep = seen_keep,
      .keep_context = node->seen,
      .superseded = node_superseded_by,
      .superseded_context = node,
      .journal = durable_group,
      .journal_context = log_set_journal(node->logs),
      .wish = wish,
      .wish_context = node,
      .more = more,
      .more_count = sizeof more / sizeof more[0],
  };
  for (size_t i = 0; i < sizeof wanted.cluster; i++) wanted.cluster[i] = node->identity.cluster[i];
  status = peers_open(&wanted, &node->peers);
  if (status == STATUS_EXISTS)
    SAY(out_problem, "another process listens on %s; stop it, or choose another --peer-listen", options->peer_listen);
  else if (status != STATUS_OK)
    SAY(out_problem, "cannot listen for other brokers on %s (%s): is it an address of this machine, and may you use the port?",
        options->peer_listen, status_name(status));
  return status;
}
