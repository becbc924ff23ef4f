#include "base/memory.h"
#include "base/trace.h"
#include "replication/lane.h"
#include "server/log_service.h"
#include "server/node_internal.h"

/* At the end of a drain: what finished just now may still be on its way to the wire. */
#define LAST_WORDS_NS (200u * NS_PER_MS)

/* How often it is looked whether others lead by now. */
#define HAND_OVER_LOOK_NS (2u * NS_PER_MS)

/* ---- Leadership goes to others: nobody has to wait until this broker is missed ---- */

static void hand_over_more(struct timer *timer) {
  struct node *node = container_of(timer, struct node, hand_over_timer);
  struct lane_errand *errand = node->handing_over;
  struct loop *loop = node->hosts[errand->lane].loop;
  uint64_t now_ns = loop_now_ns(loop);
  size_t leaving = lane_hand_over(node->lanes[errand->lane]);
  if (leaving > 0 && now_ns < node->hand_over_until_ns) {
    loop_timer_set(loop, timer, now_ns + HAND_OVER_LOOK_NS);
    return;
  }
  size_t kept = lane_leaderships(node->lanes[errand->lane]);
  if (kept > 0)
    trace_warn("leadership_kept", "lane=%u groups=%zu do=\"others elect a leader when this broker is missed\"", errand->lane,
               kept);
  errand_done(errand);
}

static void leave_lane(struct lane_errand *errand) {
  lane_leave(errand->node->lanes[errand->lane]);
  errand_done(errand);
}

static void hand_over_lane(struct lane_errand *errand) {
  errand->node->handing_over = errand;
  errand->node->hand_over_timer.fire = hand_over_more;
  hand_over_more(&errand->node->hand_over_timer);
}

/* Requests are still served: those that come meanwhile are sent on to whoever leads. The others are told first, so that brokers which stop
 * together do not hand to each other. */
static void hand_over(struct node *node) {
  if (node->peers == NULL) return;
  atomic_store_explicit(&node->leaving, true, memory_order_release);
  peers_beat_now(node->peers);
  node->hand_over_until_ns = world_now_ns(node->world) + node_timing(node).election_ns;
  for (unsigned i = 0; i < node->lane_count; i++) (void)node_on_lane(node, i, leave_lane);
  for (unsigned i = 0; i < node->lane_count; i++) (void)node_on_lane(node, i, hand_over_lane);
}

/* ---- What is in work ends ---- */

static void drain_lane(struct lane_errand *errand) {
  if (errand->lane == 0) map_watches_drain(errand->node->watches);
  partition_host_drain(&errand->node->hosts[errand->lane]);
  log_service_drain_streams(&errand->node->services, errand->lane);
  errand_done(errand);
}

static void drain_is_over(struct timer *timer) {
  struct node *node = container_of(timer, struct node, drain_timer);
  atomic_store_explicit(&node->services.idle, true, memory_order_release);
}

static void set_drain_timer(struct lane_errand *errand) {
  struct node *node = errand->node;
  struct loop *loop = node->hosts[0].loop;
  node->drain_timer.fire = drain_is_over;
  loop_timer_set(loop, &node->drain_timer, loop_now_ns(loop) + node->options->drain_ms * NS_PER_MS);
  errand_done(errand);
}

static void cancel_drain_timer(struct lane_errand *errand) {
  loop_timer_cancel(errand->node->hosts[0].loop, &errand->node->drain_timer);
  errand_done(errand);
}

/* New requests are refused from here on; what is in work may finish, but not for ever. */
static void drain(struct node *node) {
  struct services *services = &node->services;
  health_set_all(services->health, false);
  hand_over(node);
  atomic_store_explicit(&services->stage, SERVICES_DRAINING, memory_order_release);
  for (unsigned i = 0; i < node->lane_count; i++) (void)node_on_lane(node, i, drain_lane);
  (void)node_on_lane(node, 0, set_drain_timer);
  services_end(services); /* the node's own */
  world_wait(node->world, &services->idle);
  (void)node_on_lane(node, 0, cancel_drain_timer);
  rpc_serve_stop(node->world->rpc, LAST_WORDS_NS);
  /* Every call is over now; what some of them left on the lanes ends by itself. */
  if (atomic_load_explicit(&services->in_work, memory_order_acquire) == 0) return;
  atomic_store_explicit(&services->idle, false, memory_order_release);
  services_begin(services);
  services_end(services);
  world_wait(node->world, &services->idle);
}

static void brokers_stopped(void *errand) { errand_done(errand); }

/* What lane 0 still applies, as writes of its own become durable, must not reach wires and lanes that are gone. */
static void end_telling(struct lane_errand *errand) {
  controller_hush(errand->node->controller);
  brokers_stop(errand->node->brokers, brokers_stopped, errand);
}

static void movers_stopped(void *errand) { errand_done(errand); }

static void stop_movers(struct lane_errand *errand) { movers_stop(errand->node->movers, movers_stopped, errand); }

static void steward_stopped(void *errand) { errand_done(errand); }

static void stop_steward(struct lane_errand *errand) { steward_stop(errand->node->steward, steward_stopped, errand); }

static void balancer_stopped(void *errand) { errand_done(errand); }

static void stop_balancer(struct lane_errand *errand) { balancer_stop(errand->node->balancer, balancer_stopped, errand); }

static void upgrader_stopped(void *errand) { errand_done(errand); }

static void stop_upgrader(struct lane_errand *errand) { upgrader_stop(errand->node->upgrader, upgrader_stopped, errand); }

static void stop_lanes(struct node *node) {
  if (node->controller != NULL) (void)node_on_lane(node, 0, stop_upgrader);
  if (node->controller != NULL) (void)node_on_lane(node, 0, stop_balancer);
  if (node->controller != NULL) (void)node_on_lane(node, 0, stop_steward);
  if (node->controller != NULL) (void)node_on_lane(node, 0, stop_movers);
  if (node->controller != NULL) (void)node_on_lane(node, 0, end_telling);
  peers_stop(node->peers);
  if (node->controller != NULL)
    (void)node_on_lane(node, 0, node_settle_partitions); /* nothing travels between lanes after this */
  offload_free(node->inflater);
  offload_free(node->planner);
  for (unsigned i = 0; i < node->lane_count; i++) lane_stop(node->lanes[i]);
}

/* After the last checkpoint, which asks each owner for its state. */
static void free_partitions(struct node *node) {
  for (unsigned i = 0; i < node->lane_count; i++) partition_host_close(&node->hosts[i]);
  controller_free(node->controller);
  routing_free(node->routing);
  map_follower_free(node->follower);
  for (unsigned i = 0; i < node->lane_count; i++) lane_free(node->lanes[i]);
  peers_close(node->peers);
  seen_close(node->seen);
  brokers_free(node->brokers);
  upgrader_free(node->upgrader);
  balancer_free(node->balancer);
  steward_free(node->steward);
  movers_free(node->movers);
  map_watches_free(node->watches);
  map_questions_free(node->questions);
  progress_board_free(node->board);
}

void node_stop(struct node *node, bool checkpoint) {
  if (node == NULL) return;
  if (node->serving) drain(node);
  log_set_hasten(node->logs);
  if (node->lane_count > 0) stop_lanes(node);
  log_set_close(node->logs, checkpoint);
  free_partitions(node);
  health_free(node->services.health);
  reflection_free(node->services.reflection);
  account_free(node->read_account);
  account_free(node->account);
  memory_free(node->lanes);
  memory_free(node->hosts);
  memory_free(node->looks);
  memory_free(node->streams);
  memory_free(node);
}
