#include "server/node.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/trace.h"
#include "security/random.h"
#include "server/handlers.h"
#include "server/node_internal.h"

#define SAY(problem, ...)                                          \
  do {                                                             \
    if (buffer_printf((problem), __VA_ARGS__) != STATUS_OK) break; \
  } while (0)

/* ---- Lanes ---- */

static struct leads_settings leads_settings(const struct options *options) {
  return (struct leads_settings){.on = options->preferred_leaders == PREFERRED_LEADERS_ON,
                                 .after_ns = options->preferred_leaders_after_ms * NS_PER_MS,
                                 .hold_ns = options->preferred_leaders_hold_ms * NS_PER_MS};
}

static void start_lanes(struct node *node) {
  const struct options *options = node->options;
  unsigned count = options->lanes == 0 ? 1 : (unsigned)options->lanes;
  node->lanes = memory_new_array(count, sizeof(struct lane *));
  node->hosts = memory_new_array(count, sizeof *node->hosts);
  node->looks = memory_new_array(count, sizeof *node->looks);
  node->streams = memory_new_array(count, sizeof *node->streams);
  node->lane_count = count;
  node->inflater = offload_new(node->world, "inflater");
  node->planner = offload_new(node->world, "planner");
  struct raft_timing timing = node_timing(node);
  pace_init(&node->pace, options->catch_up_bytes_per_second);
  for (unsigned i = 0; i < count; i++) {
    node->lanes[i] = lane_new(node->world, node->logs, i, node->peers, &timing);
    lane_set_pace(node->lanes[i], &node->pace);
    node->hosts[i] = (struct partition_host){
        .lane = node->lanes[i],
        .loop = lane_loop(node->lanes[i]),
        .inflater = node->inflater,
        .self = node_replica_id(node),
        .uncompressed_bytes_max = (uint32_t)options->uncompressed_bytes_max,
        .waiters_max = (uint32_t)options->waiters_max,
        .append_stall_ns = options->append_stall_ms * NS_PER_MS,
        .retention_interval_ns = options->retention_check_interval_ms * NS_PER_MS,
        .producers_max = (uint32_t)options->producers_max,
        .hash_seed = entropy_next(node->world->entropy),
        .leads.settings = leads_settings(options),
    };
    partition_host_init(&node->hosts[i]);
    lane_watch(node->lanes[i], partition_host_edge, &node->hosts[i]);
    looks_init(&node->looks[i], node->hosts[i].loop);
    list_init(&node->streams[i]);
  }
}

static void errand_run(struct task *task) {
  struct lane_errand *errand = container_of(task, struct lane_errand, task);
  errand->run(errand);
}

void errand_done(struct lane_errand *errand) { atomic_store_explicit(&errand->done, true, memory_order_release); }

enum status node_on_lane(struct node *node, unsigned lane, void (*run)(struct lane_errand *errand)) {
  struct lane_errand errand = {.node = node, .lane = lane, .run = run, .task = {.run = errand_run}};
  atomic_init(&errand.done, false);
  loop_post(node->hosts[lane].loop, &errand.task);
  world_wait(node->world, &errand.done);
  return errand.status;
}

/* ---- Group 0 and the map ---- */

struct search {
  struct log *controller_log;
  size_t count;
};

static void find_controller_log(void *context, struct log *log) {
  struct search *search = context;
  struct log_view view = log_view(log);
  search->count++;
  if (view.group == 0 && !view.spare) search->controller_log = log;
}

static enum status open_controller(struct node *node, struct log *log) {
  struct controller_watch watch = map_follower_watch(node->follower);
  watch.map_changed = map_watches_map_changed;
  watch.map_came = map_watches_map_came;
  watch.map_context = node->watches;
  watch.outgrown = node_outgrown;
  watch.outgrown_context = node;
  struct raft_config founding;
  node_founding(node, &founding);
  struct replica_options options = {.self = node_replica_id(node), .founding = &founding};
  enum status status =
      controller_open(node->world, node->lanes[0], log, &options, node_features(node), &watch, &node->controller);
  if (status == STATUS_OK) controller_keep_newest(node->controller, node->options->map_history_changes);
  return status;
}

/* Small segments: what the stored map covers goes by whole ones. */
static const struct log_settings group_0_settings = {.segment_bytes = 1u << 20, .retention_bytes = -1, .retention_ms = -1};

static void found_group_0(struct lane_errand *errand) {
  struct node *node = errand->node;
  struct log *log = log_create(node->logs, node->hosts[0].loop, lane_write(node->lanes[0]), 0, 1, &group_0_settings);
  errand->status = open_controller(node, log);
  errand_done(errand);
}

static enum status start_controller(struct node *node, struct buffer *out_problem) {
  struct search search = {0};
  log_set_each(node->logs, find_controller_log, &search);
  enum status status = STATUS_OK;
  if (search.controller_log != NULL) {
    node->controller_log = search.controller_log;
    node->doubt = log_view(search.controller_log).damaged;
    log_set_settings(search.controller_log, &group_0_settings); /* it was larger once */
    status = open_controller(node, search.controller_log);
  } else if (search.count == 0 && !node->report.doubt) {
    status = node_on_lane(node, 0, found_group_0);
  } else {
    SAY(out_problem,
        "the data directory has %zu logs, but that of group 0, which says what they are, is lost to damage; nothing was "
        "changed: run cairn verify on it, and restore it from a copy",
        search.count);
    return STATUS_DAMAGED;
  }
  if (status != STATUS_OK)
    SAY(out_problem,
        "group 0, the map of topics, cannot be read (%s): run cairn verify on the data directory; if a newer Cairn wrote it, "
        "run that",
        status_name(status));
  return status;
}

/* What was recovered is opened on this thread, because that reads files; then each lane takes what is its own, one lane after the other.
 * Nothing comes to a lane by the wires before. */
static void adopt_on_lane(struct lane_errand *errand) {
  struct node *node = errand->node;
  lane_join(node->lanes[errand->lane]);
  if (errand->lane == 0 && node->controller_log != NULL) log_adopt(node->controller_log, node->hosts[0].loop);
  if (errand->lane == 0) controller_start(node->controller);
  partition_host_adopt(&node->hosts[errand->lane]);
  errand_done(errand);
}

/* After all lanes: logs that no partition claims, or whose partition could not be opened. */
static void adopt_rest(struct lane_errand *errand) {
  log_set_adopt_rest(errand->node->logs, errand->node->hosts[errand->lane].loop);
  errand_done(errand);
}

static void make_missing(struct lane_errand *errand) {
  map_follower_make(errand->node->follower, controller_map(errand->node->controller));
  errand_done(errand);
}

static void start_partitions(struct node *node) {
  if (node->report.doubt) node->doubt = true;
  struct cluster_map *ahead = controller_map_ahead(node->controller), *passing = controller_map_passing(node->controller);
  const struct known_map known = {.today = controller_map(node->controller),
                                  .ahead = ahead,
                                  .passing = passing,
                                  .whole = node->controller_log == NULL || !log_view(node->controller_log).damaged};
  struct map_follower_report report = map_follower_adopt(node->follower, &known, node->doubt);
  cluster_map_free(ahead);
  cluster_map_free(passing);
  if (report.damaged + report.unread + report.orphans + report.missing + report.deleted > 0)
    trace_warn("partitions_settled", "opened=%zu early=%zu made=%zu damaged=%zu unread=%zu deleted=%zu unclaimed=%zu",
               report.opened, report.early, report.missing, report.damaged, report.unread, report.deleted, report.orphans);
  for (unsigned i = 0; i < node->lane_count; i++) (void)node_on_lane(node, i, adopt_on_lane);
  (void)node_on_lane(node, 0, adopt_rest);
  (void)node_on_lane(node, 0, make_missing);
  node->partition_count = report.opened + report.early + report.missing;
}

/* ---- Being known ---- */

_Static_assert(RACK_TEXT_SIZE == MAP_RACK_SIZE, "what is set is what is told");

static struct map_broker map_entry(const struct node *node) {
  struct map_broker self = {.id = node->identity.broker_id};
  memcpy(self.incarnation, node->identity.incarnation, CLUSTER_ID_SIZE);
  snprintf(self.advertised, sizeof self.advertised, "%s", node->services.advertised);
  options_peer_address(node->options, self.peer_address);
  options_rack(node->options, self.rack);
  map_broker_set_features(&self, node_features(node));
  return self;
}

static void registered(void *context, enum status status) {
  struct lane_errand *errand = context;
  errand->status = status;
  errand_done(errand);
}

static void tell_standing(enum map_standing standing) {
  switch (standing) {
    case STANDING_IN: trace_info("broker_in", "leads=\"what it can\""); break;
    case STANDING_DRAINED: trace_info("broker_drained", "leads=\"what nobody else can\""); break;
    case STANDING_LEAVING: trace_info("broker_leaves", "leads=\"what nobody else can\" replicas=\"go to others\""); break;
    case STANDING_GONE:
      trace_warn("broker_is_gone",
                 "why=\"this broker has left the cluster, and has nothing of it any more\" do=\"stop it, or give it "
                 "an empty directory\"");
      break;
  }
}

/* On lane 0. */
static void brokers_changed(void *context) {
  struct node *node = context;
  const struct map_broker *self = cluster_map_broker(controller_map(node->controller), node->identity.broker_id);
  bool mine = self != NULL && memcmp(self->incarnation, node->identity.incarnation, CLUSTER_ID_SIZE) == 0;
  enum map_standing standing = mine ? self->standing : STANDING_IN;
  if (standing != node->standing) tell_standing(standing);
  node->standing = standing;
  if (mine) map_follower_known(node->follower, controller_map(node->controller));
  atomic_store_explicit(&node->drained, standing != STANDING_IN, memory_order_release);
  steward_wake(node->steward);
  balancer_wake(node->balancer);
  upgrader_wake(node->upgrader);
  bool serves = atomic_load(&node->services.stage) == SERVICES_SERVING; /* or whoever sets that sees that it is refused */
  if (serves && brokers_refused(node->brokers)) health_set_all(node->services.health, false);
}

static void start_brokers(struct lane_errand *errand) {
  struct node *node = errand->node;
  const struct brokers_wiring wiring = {.loop = node->hosts[0].loop,
                                        .controller = node->controller,
                                        .routing = node->routing,
                                        .peers = node->peers,
                                        .self = map_entry(node),
                                        .lineage = &node->lineage,
                                        .superseded = node_superseded_by,
                                        .outgrown = node_refused_by,
                                        .changed = brokers_changed,
                                        .changed_context = node};
  const struct movers_wiring moving = {.world = node->world,
                                       .loop = node->hosts[0].loop,
                                       .controller = node->controller,
                                       .routing = node->routing,
                                       .self = node->identity.broker_id,
                                       .cluster_id = node->identity.cluster,
                                       .board = node->board};
  map_questions_start(node->questions, node->hosts[0].loop, node->controller, node->board);
  movers_start(node->movers, &moving);
  steward_start(node->steward, &(struct steward_wiring){.lane = node->lanes[0],
                                                        .controller = node->controller,
                                                        .self = node->identity.broker_id,
                                                        .replace_after_ns = node->options->replace_after_ms * NS_PER_MS});
  balancer_start(node->balancer, &(struct balancer_wiring){.lane = node->lanes[0],
                                                           .controller = node->controller,
                                                           .planner = node->planner,
                                                           .self = node->identity.broker_id,
                                                           .wanted = node->options->auto_balance != 0,
                                                           .calm_ns = node->options->balance_after_ms * NS_PER_MS});
  upgrader_start(node->upgrader, &(struct upgrader_wiring){.lane = node->lanes[0],
                                                           .controller = node->controller,
                                                           .self = node->identity.broker_id,
                                                           .wanted = node->options->auto_upgrade != 0});
  brokers_start(node->brokers, &wiring, registered, errand);
}

struct settling {
  struct lane_errand *errand;
  struct map_follower_wait wait;
};

static void settled(struct map_follower_wait *wait) {
  struct settling *settling = container_of(wait, struct settling, wait);
  settling->errand->status = wait->status;
  errand_done(settling->errand);
  memory_free(settling);
}

void node_settle_partitions(struct lane_errand *errand) {
  struct settling *settling = NEW(struct settling);
  settling->errand = errand;
  settling->wait.done = settled;
  map_follower_when_settled(errand->node->follower, &settling->wait);
}

/* ---- Serving ---- */

static enum status start_services(struct node *node) {
  struct services *services = &node->services;
  *services = (struct services){
      .options = node->options,
      .world = node->world,
      .routing = node->routing,
      .hosts = node->hosts,
      .looks = node->looks,
      .streams = node->streams,
      .lane_count = node->lane_count,
      .alone = node->peers == NULL,
      .controller = node->controller,
      .follower = node->follower,
      .planner = node->planner,
      .brokers = node->brokers,
      .watches = node->watches,
      .board = node->board,
      .identity = node->identity,
      .answers = node->read_account,
  };
  atomic_init(&services->stage, SERVICES_LOADING);
  atomic_init(&services->in_work, 1);
  atomic_init(&services->idle, false);
  services->health = health_new();
  health_set(services->health, "", false);
  health_set(services->health, "cairn.v1.Log", false);
  health_set(services->health, "cairn.v1.Admin", false);
  enum status status = reflection_new_embedded(&services->reflection);
  if (status == STATUS_OK) reflection_charge(services->reflection, node->read_account);
  return status;
}

static void name_address(struct node *node, uint16_t port) {
  struct address address;
  bool parsed = address_parse(node->options->listen, &address);
  CHECK(parsed);
  address.port = port;
  bool fits = address_print(&address, node->address, sizeof node->address);
  CHECK(fits);
  const char *advertised = node->options->advertise[0] != '\0' ? node->options->advertise : node->address;
  size_t size = strlen(advertised);
  CHECK(size < sizeof node->services.advertised); /* as options_check() saw to */
  memcpy(node->services.advertised, advertised, size + 1);
}

static enum status serve(struct node *node, struct buffer *out_problem) {
  const struct options *options = node->options;
  struct rpc_serve_options serve_options = {
      .listen = options->listen,
      .handlers = service_handlers,
      .handler_count = service_handler_count,
      .service = &node->services,
      .message_bytes_max = options->request_bytes_max,
      .memory_bytes_max = options->transport_memory_bytes,
      .streams_max = (unsigned)options->streams_max,
      .calls_max = (unsigned)options->calls_max,
      .peer_calls_max = (unsigned)((options->calls_max * options->peer_share_percent + 99) / 100),
      .message_wait_ns = options->message_wait_ms * NS_PER_MS,
      .hash_seed = random_seed(),
      .account = node->account,
  };
  uint16_t port = 0;
  enum status status = rpc_serve(node->world->rpc, &serve_options, &port);
  if (status == STATUS_EXISTS)
    SAY(out_problem, "another process listens on %s; stop it, or choose another --listen (port 0 picks a free one)",
        options->listen);
  else if (status != STATUS_OK)
    SAY(out_problem, "cannot listen on %s (%s): is it an address of this machine, and may you use the port?", options->listen,
        status_name(status));
  if (status != STATUS_OK) return status;
  node->serving = true;
  name_address(node, port);
  return STATUS_OK;
}

static void start_watches(struct lane_errand *errand) {
  map_watches_start(errand->node->watches, &errand->node->services);
  errand_done(errand);
}

static void start_host(struct lane_errand *errand) {
  partition_host_start(&errand->node->hosts[errand->lane]);
  errand_done(errand);
}

static enum status become_ready(struct node *node, struct buffer *out_problem) {
  enum status status = node_on_lane(node, 0, start_brokers);
  if (status != STATUS_OK) {
    /* A disk that is full or fenced must not take the reads away. */
    bool first_time = cluster_map_version(controller_map(node->controller)) == 0 && node->identity.founder_count <= 1;
    if (first_time) SAY(out_problem, "cannot write the first entry of group 0 (%s): is the disk full?", status_name(status));
    if (first_time) return status;
  }
  status = node_on_lane(node, 0, node_settle_partitions);
  if (status != STATUS_OK) trace_error("partitions_not_made", "reason=%s", status_name(status));
  for (unsigned i = 0; i < node->lane_count; i++) (void)node_on_lane(node, i, start_host);
  (void)node_on_lane(node, 0, start_watches);
  atomic_store(&node->services.stage, SERVICES_SERVING);
  health_set_all(node->services.health, true);
  if (brokers_refused(node->brokers)) health_set_all(node->services.health, false);
  return STATUS_OK;
}

/* ---- Start ---- */

static bool address_of(void *routing, broker_id broker, char out_address[FAILURE_LEADER_SIZE]) {
  routing_address(routing, broker, out_address);
  return out_address[0] != '\0';
}

static void moving(void *movers) { movers_wake(movers); }

static const struct cluster_map *todays_map(void *context) { return controller_map(((const struct node *)context)->controller); }

enum status node_start(struct world *world, const struct options *options, const atomic_bool *cancelled, struct node **out_node,
                       struct buffer *out_problem) {
  struct node *node = NEW(struct node);
  node->world = world;
  node->options = options;
  node->started_ns = world_now_ns(world);
  atomic_init(&node->leaving, false);
  atomic_init(&node->drained, false);
  atomic_init(&node->ending, false);
  atomic_init(&node->must_end, false);
  atomic_init(&node->watched, false);
  node->account = account_new(NULL, options->memory_bytes);
  node->read_account = account_new(node->account, options->memory_bytes / 2);

  enum status status = node_recover(node, cancelled, out_problem);
  if (status != STATUS_OK) goto failed;
  node->brokers = brokers_new(world, &node->identity);
  node->movers = movers_new();
  node->watches = map_watches_new(options, node->read_account);
  node->steward = steward_new();
  node->balancer = balancer_new();
  node->upgrader = upgrader_new();
  node->questions = map_questions_new(node->identity.cluster);
  node->board = progress_board_new();
  status = node_open_peers(node, out_problem);
  if (status != STATUS_OK) goto failed;
  start_lanes(node);
  node->routing = routing_new(random_seed());
  for (unsigned i = 0; i < node->lane_count; i++) {
    node->hosts[i].address_of = address_of;
    node->hosts[i].address_context = node->routing;
  }
  node->follower = map_follower_new(&(struct map_follower_options){.world = world,
                                                                   .logs = node->logs,
                                                                   .routing = node->routing,
                                                                   .hosts = node->hosts,
                                                                   .lane_count = node->lane_count,
                                                                   .moving = moving,
                                                                   .moving_context = node->movers,
                                                                   .map = todays_map,
                                                                   .map_context = node});
  status = start_controller(node, out_problem);
  if (status == STATUS_OK) status = node_check_features(node, out_problem);
  if (status != STATUS_OK) goto failed;
  start_partitions(node);
  status = start_services(node);
  if (status != STATUS_OK) goto failed;
  status = serve(node, out_problem);
  if (status != STATUS_OK) goto failed;
  status = become_ready(node, out_problem);
  if (status != STATUS_OK) goto failed;
  node->recovered_ms = (world_now_ns(world) - node->started_ns) / NS_PER_MS;
  *out_node = node;
  return STATUS_OK;

failed:
  node_stop(node, false);
  return status;
}

static void reload_host(struct lane_errand *errand) {
  struct node *node = errand->node;
  struct leads_settings leads = leads_settings(node->options);
  partition_host_set_retention(&node->hosts[errand->lane], node->options->retention_check_interval_ms * NS_PER_MS);
  partition_host_set_leads(&node->hosts[errand->lane], &leads);
  if (errand->lane == 0) balancer_set(node->balancer, node->options->auto_balance != 0);
  if (errand->lane == 0) upgrader_set(node->upgrader, node->options->auto_upgrade != 0);
  errand_done(errand);
}

/* What else is reloadable is looked at when it is needed, or by main(). */
void node_reload(struct node *node) {
  for (unsigned i = 0; i < node->lane_count; i++) (void)node_on_lane(node, i, reload_host);
}

struct node_info node_info(const struct node *node) {
  return (struct node_info){.address = node->address,
                            .advertised = node->services.advertised,
                            .broker_id = node->identity.broker_id,
                            .recovered_ms = node->recovered_ms,
                            .partitions = node->partition_count};
}
