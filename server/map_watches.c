#include "server/map_watches.h"

#include "base/check.h"
#include "base/memory.h"
#include "base/probe.h"
#include "server/refusal.h"

#define NS_PER_MS 1000000u
#define LOOK_NS (500u * NS_PER_MS)   /* how often it is looked who was told nothing for long */
#define IDLE_NS (2000u * NS_PER_MS)  /* after so long a watcher hears that nothing has happened */
#define AHEAD_NS (1000u * NS_PER_MS) /* how long a version that is not here yet is waited for */
#define TURN_WATCHES_MAX 64u         /* looked at in one turn of the lane; then others have theirs */

struct map_watches {
  struct map_history *history;
  struct account *account;
  size_t count_max;
  struct services *services; /* NULL: nobody can watch yet */
  struct loop *loop;
  struct list all;
  size_t count;
  struct list_node *next; /* whom the turn goes on with; NULL: with the first */
  size_t left;            /* so many are still to be told of what has changed */
  struct task turn_task;
  bool turn_posted;
  struct timer timer;
  bool ticks;
  bool draining;
};

struct map_watches *map_watches_new(const struct options *options, struct account *account) {
  struct map_watches *watches = NEW(struct map_watches);
  watches->history = map_history_new((size_t)options->map_history_changes);
  watches->account = account;
  watches->count_max = (size_t)options->map_watches_max;
  list_init(&watches->all);
  return watches;
}

void map_watches_free(struct map_watches *watches) {
  if (watches == NULL) return;
  CHECK(list_empty(&watches->all));
  map_history_free(watches->history);
  memory_free(watches);
}

/* ---- The end of one ---- */

static void free_if_over(struct watching *watching) {
  if (!watching->ended || !watching->closed || watching->confirming) return;
  if (watching->began) map_watch_deinit(&watching->watch);
  else map_filter_deinit(&watching->filter);
  rpc_call_release(watching->call);
  memory_free(watching);
}

/* The broker does not wait for it any more, whatever its call still does. */
static void let_go(struct watching *watching) {
  if (!watching->ended || watching->confirming || !watching->counted) return;
  watching->counted = false;
  services_end(watching->services);
}

static void end(struct watching *watching) {
  struct map_watches *watches = watching->watches;
  watching->ended = true;
  if (list_node_linked(&watching->node)) {
    if (watches->next == &watching->node) watches->next = list_next(&watches->all, &watching->node);
    list_remove(&watching->node);
    watches->count--;
  }
  let_go(watching);
}

static void refuse(struct watching *watching, struct failure *failure) {
  services_fail(watching->call, failure);
  end(watching);
}

/* ---- Telling ---- */

static void tell(struct watching *watching, bool idle) {
  struct map_watches *watches = watching->watches;
  struct map_message message;
  if (watching->ended || !watching->began || watching->under_way) return;
  const struct map_teller teller = {.history = watches->history,
                                    .map = controller_map(watches->services->controller),
                                    .account = watches->account,
                                    .cluster = watches->services->identity.cluster,
                                    .broker = watches->services->identity.broker_id,
                                    .controller = controller_leader(watches->services->controller)};
  enum status status = map_watch_next(&watching->watch, &teller, idle, &message);
  if (status != STATUS_OK) {
    refuse(watching, refusal_of_status(status));
    return;
  }
  if (message.count == 0) return;
  watching->under_way = true;
  watching->told_ns = loop_now_ns(watches->loop);
  rpc_call_send(watching->call, message.parts, message.count);
}

static void begin(struct watching *watching, uint64_t from) {
  map_watch_init(&watching->watch, watching->filter, from);
  watching->filter = (struct map_filter){0};
  watching->began = true;
  if (from == 0) REACHED(watch_gets_the_whole_map);
  else REACHED(watch_goes_on);
  tell(watching, true);
}

/* What it asks from is here by now. */
static void see_if_here(struct watching *watching) {
  const struct cluster_map *map = controller_map(watching->services->controller);
  if (watching->ended || watching->began || watching->from > cluster_map_version(map)) return;
  begin(watching, watching->from_now ? cluster_map_version(map) : watching->from);
}

/* ---- A version that is not here ---- */

static struct failure *is_behind(const struct watching *watching) {
  struct services *services = watching->services;
  uint32_t leader = controller_leader(services->controller);
  struct failure *failure = refusal_new(
      STATUS_NOT_LEADER,
      "this broker's map is of version %llu, and older than %llu, which the watch goes on from: ask another broker",
      (unsigned long long)cluster_map_version(controller_map(services->controller)), (unsigned long long)watching->from);
  if (leader != services->identity.broker_id) routing_address(services->routing, leader, failure->leader);
  return failure;
}

/* Who leads group 0, and knows it, has everything that was ever decided: what it does not have then was lost, or is of nobody's map. */
static void confirmed(struct replica_read *read, enum status status) {
  struct watching *watching = container_of(read, struct watching, confirm);
  watching->confirming = false;
  see_if_here(watching);
  if (!watching->ended && !watching->began) {
    if (status == STATUS_OK) begin(watching, 0);
    else refuse(watching, is_behind(watching));
  }
  let_go(watching);
  free_if_over(watching);
}

static void ask_if_decided(struct watching *watching) {
  REACHED(watch_from_a_version_to_come);
  watching->confirming = true;
  watching->confirm.done = confirmed;
  controller_read(watching->services->controller, &watching->confirm);
}

/* ---- All of them: some in each turn, so that a thousand of them do not hold up a lane ---- */

static void go_on(struct map_watches *watches) {
  if (watches->turn_posted) return;
  watches->turn_posted = true;
  loop_post(watches->loop, &watches->turn_task);
}

static void look_at(struct watching *watching, uint64_t now_ns) {
  uint64_t for_ns = now_ns - watching->told_ns;
  see_if_here(watching);
  if (watching->ended) return;
  if (watching->began) tell(watching, for_ns >= IDLE_NS);
  else if (!watching->confirming && for_ns >= AHEAD_NS) ask_if_decided(watching);
}

static void look_at_some(struct task *task) {
  struct map_watches *watches = container_of(task, struct map_watches, turn_task);
  uint64_t now_ns = loop_now_ns(watches->loop);
  watches->turn_posted = false;
  for (unsigned i = 0; i < TURN_WATCHES_MAX && watches->left > 0; i++) {
    struct list_node *node = watches->next != NULL ? watches->next : list_first(&watches->all);
    watches->left = node == NULL ? 0 : watches->left - 1;
    if (node == NULL) return;
    watches->next = list_next(&watches->all, node);
    look_at(list_entry(node, struct watching, node), now_ns);
  }
  if (watches->left > 0) go_on(watches);
}

/* The round that is under way goes on where it is, and once more. */
static void look_at_all(struct map_watches *watches) {
  if (watches->services == NULL || list_empty(&watches->all)) return;
  watches->left = watches->count;
  go_on(watches);
}

static void look_fires(struct timer *timer) {
  struct map_watches *watches = container_of(timer, struct map_watches, timer);
  look_at_all(watches);
  watches->ticks = watches->count > 0;
  if (watches->ticks) loop_timer_set(watches->loop, timer, loop_now_ns(watches->loop) + LOOK_NS);
}

static void add(struct map_watches *watches, struct watching *watching) {
  list_push_back(&watches->all, &watching->node);
  watches->count++;
  if (watches->ticks) return;
  watches->ticks = true;
  loop_timer_set(watches->loop, &watches->timer, loop_now_ns(watches->loop) + LOOK_NS);
}

/* ---- What comes from the transport ---- */

void map_watches_add(struct watching *watching) {
  struct map_watches *watches = watching->watches;
  if (watches->draining) {
    refuse(watching, refusal_of_status(STATUS_DRAINING));
  } else if (watches->count == watches->count_max) {
    REACHED(watch_is_one_too_many);
    refuse(watching, refusal_new(STATUS_BUSY,
                                 "%zu watches of the map are open on this broker, as many as map-watches-max lets it have: ask "
                                 "another broker, or later",
                                 watches->count));
  } else {
    add(watches, watching);
    watching->told_ns = loop_now_ns(watches->loop);
    see_if_here(watching);
  }
  free_if_over(watching);
}

void map_watches_taken(struct watching *watching) {
  watching->under_way = false;
  tell(watching, false);
  free_if_over(watching);
}

void map_watches_closed(struct watching *watching) {
  watching->closed = true;
  if (!watching->ended) end(watching);
  free_if_over(watching);
}

/* ---- What comes from the map, and the end of all ---- */

/* Without room for it nobody can be told of it: whoever does not have it gets the whole map. */
void map_watches_map_changed(void *context, const struct cluster_map *map, const struct map_delta *delta) {
  struct map_watches *watches = context;
  struct blob *blob = NULL;
  bool changed = delta->kind != CAIRN__V1__CLUSTER_CHANGE_KIND__CLUSTER_CHANGE_KIND_UNSPECIFIED;
  enum status status = changed ? map_delta_pack(delta, map, watches->account, &blob) : STATUS_OK;
  if (status == STATUS_OK) map_history_add(watches->history, delta, blob);
  else map_history_begin(watches->history, delta->version);
  look_at_all(watches);
}

void map_watches_map_came(void *context, const struct cluster_map *map) {
  struct map_watches *watches = context;
  map_history_begin(watches->history, cluster_map_version(map));
  look_at_all(watches);
}

void map_watches_start(struct map_watches *watches, struct services *services) {
  watches->services = services;
  watches->loop = services->hosts[0].loop;
  watches->turn_task.run = look_at_some;
  watches->timer.fire = look_fires;
}

void map_watches_drain(struct map_watches *watches) {
  watches->draining = true;
  if (watches->loop != NULL) loop_timer_cancel(watches->loop, &watches->timer);
  list_for_each(&watches->all, node, following) {
    struct watching *watching = list_entry(node, struct watching, node);
    refuse(watching, refusal_of_status(STATUS_DRAINING));
    free_if_over(watching);
  }
}
