#include "server/brokers.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/check.h"
#include "base/memory.h"
#include "base/trace.h"
#include "cairn/internal/v1/register.pb-c.h"
#include "controller/map_message.h"
#include "controller/registration.h"
#include "proto/failure.h"
#include "proto/pack.h"
#include "server/introduction.h"
#include "server/peer_question.h"
#include "server/whereabouts.h"

#define REGISTER_METHOD "/cairn.internal.v1.Peer/Register"
#define REGISTER_ARENA_BYTES 16384u
#define NS_PER_MS 1000000u
#define ASK_AGAIN_NS ((uint64_t)200 * NS_PER_MS) /* while the map has this broker otherwise; doubles ... */
#define ASK_AGAIN_NS_MAX ((uint64_t)5000 * NS_PER_MS)
#define LOOK_AGAIN_NS ((uint64_t)2500 * NS_PER_MS) /* while it has it as it is */

struct brokers {
  struct world *world;
  const struct log_identity *identity;
  struct whereabouts whereabouts;
  struct brokers_wiring wiring;
  atomic_bool started;
  atomic_bool refused; /* for good: no broker of the cluster has this directory */

  struct timer ask_timer;
  uint64_t ask_again_ns;
  unsigned asked; /* times */
  bool rack_held; /* registration_holds_rack(), when it looked last */
  bool silent;    /* nobody was known to lead group 0 when it looked last */
  struct introduction introduction;
  struct change change; /* of this broker itself, where it leads group 0 */
  bool changing;
  void (*told)(void *context, enum status status); /* NULL: it was */
  void *told_context;

  struct peer_question question; /* of whoever leads, or may */

  bool stopping;
  void (*stopped)(void *context);
  void *stopped_context;
};

struct brokers *brokers_new(struct world *world, const struct log_identity *identity) {
  struct brokers *brokers = NEW(struct brokers);
  brokers->world = world;
  brokers->identity = identity;
  brokers->whereabouts.identity = identity;
  atomic_init(&brokers->started, false);
  atomic_init(&brokers->refused, false);
  return brokers;
}

void brokers_free(struct brokers *brokers) {
  if (brokers == NULL) return;
  peer_question_deinit(&brokers->question);
  memory_free(brokers);
}

/* ---- Telling the wires and the routing ---- */

static void tell_peers(struct brokers *brokers) {
  if (brokers->wiring.peers == NULL) return;
  struct address_list list;
  whereabouts_peers(&brokers->whereabouts, controller_map(brokers->wiring.controller), &list);
  peers_set(brokers->wiring.peers, list.rows, list.count);
}

static bool is_known(const struct brokers *brokers);
static void ask_later(struct brokers *brokers);

static void tell_changed(const struct brokers *brokers) {
  if (brokers->wiring.changed != NULL) brokers->wiring.changed(brokers->wiring.changed_context);
}

static void registered(void *context, const struct map_broker *broker) {
  struct brokers *brokers = context;
  tell_changed(brokers);
  routing_set_broker(brokers->wiring.routing, broker->id, broker->advertised);
  /* Who has just gone may still have to hear of it, and stays until the next change. */
  if (broker->standing != STANDING_GONE) tell_peers(brokers);
  if (broker->id != brokers->wiring.self.id) return;
  brokers->ask_again_ns = ASK_AGAIN_NS;
  if (!is_known(brokers)) ask_later(brokers);
}

static void leader_changed(void *context, bool here, broker_id leader) {
  struct brokers *brokers = context;
  enum status unknown = here ? STATUS_UNKNOWN_TOPIC : STATUS_NOT_LEADER;
  if (controller_has_lost(brokers->wiring.controller)) unknown = STATUS_DAMAGED;
  routing_set_authority(brokers->wiring.routing, unknown, leader);
  brokers->ask_again_ns = ASK_AGAIN_NS; /* it may be one that can */
  introduction_lead_changed(&brokers->introduction);
  tell_changed(brokers);
}

/* ---- Being known ---- */

static bool is_known(const struct brokers *brokers) {
  return registration_is_known(controller_map(brokers->wiring.controller), &brokers->wiring.self);
}

static void end_stop(struct brokers *brokers) {
  if (!brokers->stopping || peer_question_asks(&brokers->question) || brokers->changing) return;
  loop_timer_cancel(brokers->wiring.loop, &brokers->ask_timer);
  if (brokers->stopped != NULL) brokers->stopped(brokers->stopped_context);
  brokers->stopped = NULL;
}

static void ask_later(struct brokers *brokers) {
  struct loop *loop = brokers->wiring.loop;
  if (brokers->stopping) {
    end_stop(brokers);
    return;
  }
  if (is_known(brokers) || brokers_refused(brokers)) {
    loop_timer_set(loop, &brokers->ask_timer, loop_now_ns(loop) + LOOK_AGAIN_NS);
    return;
  }
  loop_timer_set(loop, &brokers->ask_timer, loop_now_ns(loop) + brokers->ask_again_ns);
  brokers->ask_again_ns *= 2;
  if (brokers->ask_again_ns > ASK_AGAIN_NS_MAX) brokers->ask_again_ns = ASK_AGAIN_NS_MAX;
}

static void tell_first(struct brokers *brokers, enum status status) {
  void (*told)(void *context, enum status status) = brokers->told;
  brokers->told = NULL;
  if (told != NULL) told(brokers->told_context, status);
}

static void changed(struct change *change) {
  struct brokers *brokers = container_of(change, struct brokers, change);
  brokers->changing = false;
  if (change->status == STATUS_OK) introduction_end(&brokers->introduction);
  else trace_warn("broker_not_registered", "reason=%s", status_name(change->status));
  ask_later(brokers);
  tell_first(brokers, change->status);
}

static void register_here(struct brokers *brokers) {
  brokers->changing = true;
  brokers->change = (struct change){.kind = COMMAND_REGISTER_BROKER, .broker = brokers->wiring.self, .done = changed};
  memcpy(brokers->change.cluster_id, brokers->identity->cluster, CLUSTER_ID_SIZE);
  controller_change(brokers->wiring.controller, &brokers->change);
}

static void take_whereabouts(struct brokers *brokers, const struct blob *answer) {
  struct whereabouts *whereabouts = &brokers->whereabouts;
  broker_id before = whereabouts->leader;
  enum status status = whereabouts_take(whereabouts, bytes_of(answer->data, answer->size));
  if (status == STATUS_OK) tell_peers(brokers);
  else trace_warn("whereabouts_not_taken", "reason=%s", status_name(status));
  if (status == STATUS_OK && !whereabouts->elsewhere) introduction_end(&brokers->introduction);
  if (status != STATUS_OK || !whereabouts->elsewhere || is_known(brokers)) return;
  trace_info("broker_not_registered", "reason=NOT_LEADER leader=%u", whereabouts->leader);
  bool earlier_self = whereabouts->leader == brokers->wiring.self.id;
  if (whereabouts->leader == 0 || earlier_self) return;
  brokers->asked += brokers->asked % 2;                                    /* that one is next, ... */
  if (whereabouts->leader != before) brokers->ask_again_ns = ASK_AGAIN_NS; /* ... and soon */
}

/* Whatever the map says of it by then. */
static void take_refusal(struct brokers *brokers, const struct failure *failure) {
  trace_warn("broker_not_registered", "reason=%s text=\"%s\" do=\"it answers nobody any more\"", status_name(failure->reason),
             failure->text);
  atomic_store(&brokers->refused, true);
  tell_changed(brokers);
}

/* The map will say so, or this broker asks again. Who is known already only wants to hear that it is not. */
static void answered(struct peer_question *question) {
  struct brokers *brokers = container_of(question, struct brokers, question);
  enum status reason = question->failure.reason;
  if (reason == STATUS_DIRECTORY_SUPERSEDED && brokers->wiring.superseded != NULL)
    brokers->wiring.superseded(brokers->wiring.changed_context, question->failure.text);
  if (reason == STATUS_FEATURE_LEVEL && brokers->wiring.outgrown != NULL)
    brokers->wiring.outgrown(brokers->wiring.changed_context, question->failure.text);
  if (reason == STATUS_DIRECTORY_REPLACED) take_refusal(brokers, &question->failure);
  else if (reason != STATUS_OK && !is_known(brokers))
    trace_info("broker_not_registered", "reason=%s text=\"%s\"", status_name(reason), question->failure.text);
  if (question->failure.reason == STATUS_OK && question->answer != NULL) take_whereabouts(brokers, question->answer);
  peer_question_hang_up(question);
  ask_later(brokers);
}

/* Who leads, every other time; else one after the other: whom nobody reaches at its new address, hears of no leader before it is registered.
 * False: there is nobody to ask. */
static bool choose_whom(struct brokers *brokers, char out_address[PEER_ADDRESS_SIZE]) {
  struct address_list list;
  whereabouts_anybody(&brokers->whereabouts, controller_map(brokers->wiring.controller), &list);
  broker_id leader = controller_leader(brokers->wiring.controller);
  if (leader == 0) leader = brokers->whereabouts.leader;
  if (leader == brokers->wiring.self.id) leader = 0; /* it was, with another directory */
  const struct peer_address *chosen = NULL;
  unsigned turn = brokers->asked++;
  for (size_t i = 0; i < list.count; i++)
    if (list.rows[i].id.broker == leader && turn % 2 == 0) chosen = &list.rows[i];
  for (size_t i = 0; i < list.count && chosen == NULL; i++) {
    const struct peer_address *row = &list.rows[(turn + i) % list.count];
    if (row->id.broker != brokers->wiring.self.id) chosen = row;
  }
  if (chosen == NULL) return false;
  snprintf(out_address, PEER_ADDRESS_SIZE, "%s", chosen->address);
  return true;
}

static void ask(struct brokers *brokers, const char *address) {
  struct arena *arena = arena_new(REGISTER_ARENA_BYTES);
  Cairn__Internal__V1__RegisterRequest message;
  cairn__internal__v1__register_request__init(&message);
  message.broker = broker_to_message(arena, &brokers->wiring.self);
  message.cluster_id = id_to_message(brokers->identity->cluster);
  uint8_t lineage[LINEAGE_SIZE_MAX];
  message.boot = brokers->wiring.lineage->links[0].boot;
  message.lineage = (ProtobufCBinaryData){.len = lineage_encode(brokers->wiring.lineage, lineage), .data = lineage};
  struct blob_part part = pack_part(&message.base);
  arena_free(arena);
  peer_question_ask(&brokers->question, address, part);
}

/* Whoever leads group 0 has another directory than the one that this broker would answer. */
static bool is_led_by_a_stranger(const struct brokers *brokers) {
  struct address_list list;
  struct replica_id leader = controller_leader_id(brokers->wiring.controller);
  whereabouts_peers(&brokers->whereabouts, controller_map(brokers->wiring.controller), &list);
  for (size_t i = 0; i < list.count; i++)
    if (list.rows[i].id.broker == leader.broker) return !replica_same_directory(&list.rows[i].id, &leader);
  return leader.broker != 0 && leader.broker != brokers->wiring.self.id;
}

/* To a broker that left while it was away nobody speaks, and in its map it is still there: where nobody leads for long, others are asked. */
static bool has_to_ask(struct brokers *brokers) {
  if (brokers_refused(brokers)) return false;
  bool was_silent = brokers->silent;
  introduction_see_level(&brokers->introduction, cluster_map_feature_level(controller_map(brokers->wiring.controller)));
  brokers->silent = controller_leader(brokers->wiring.controller) == 0;
  return !is_known(brokers) || introduction_is_due(&brokers->introduction) || (was_silent && brokers->silent) ||
         is_led_by_a_stranger(brokers);
}

static void tell_if_rack_is_held(struct brokers *brokers) {
  const struct map_broker *self = &brokers->wiring.self;
  bool held = registration_holds_rack(controller_map(brokers->wiring.controller), self);
  if (held && !brokers->rack_held)
    trace_warn(
        "rack_not_told",
        "rack=%s why=\"the cluster is at an earlier feature level, where an older broker would lose it\" do=\"cairn cluster "
        "upgrade, when all brokers run this version\"",
        self->rack);
  if (!held && brokers->rack_held) trace_info("rack_is_told", "rack=%s", self->rack);
  brokers->rack_held = held;
}

static void ask_fires(struct timer *timer) {
  struct brokers *brokers = container_of(timer, struct brokers, ask_timer);
  tell_if_rack_is_held(brokers);
  if (brokers->stopping || brokers->changing || peer_question_asks(&brokers->question))
    return; /* what is under way ends with ask_later() */
  if (!has_to_ask(brokers)) {
    ask_later(brokers);
    return;
  }
  char address[PEER_ADDRESS_SIZE];
  introduction_begin(&brokers->introduction);
  if (controller_leads(brokers->wiring.controller)) register_here(brokers);
  else if (brokers->wiring.peers != NULL && choose_whom(brokers, address)) ask(brokers, address);
  else ask_later(brokers);
}

bool brokers_refused(const struct brokers *brokers) { return atomic_load(&brokers->refused); }

void brokers_start(struct brokers *brokers, const struct brokers_wiring *wiring, void (*told)(void *context, enum status status),
                   void *context) {
  brokers->wiring = *wiring;
  peer_question_init(&brokers->question, brokers->world, wiring->loop, REGISTER_METHOD, answered);
  const struct cluster_map *map = controller_map(wiring->controller);
  const struct map_broker *broker = cluster_map_broker_after(map, 0);
  for (; broker != NULL; broker = cluster_map_broker_after(map, broker->id))
    routing_set_broker(wiring->routing, broker->id, broker->advertised);
  tell_peers(brokers);
  controller_watch_brokers(
      wiring->controller, &(struct broker_watch){.registered = registered, .leader_changed = leader_changed, .context = brokers});
  leader_changed(brokers, controller_leads(wiring->controller), controller_leader(wiring->controller));
  atomic_store_explicit(&brokers->started, true, memory_order_release);
  brokers->ask_timer.fire = ask_fires;
  brokers->ask_again_ns = ASK_AGAIN_NS;
  brokers->told = told;
  brokers->told_context = context;
  ask_fires(&brokers->ask_timer);
  if (!brokers->changing) tell_first(brokers, STATUS_OK);
}

void brokers_stop(struct brokers *brokers, void (*done)(void *context), void *context) {
  brokers->stopping = true;
  if (!atomic_load_explicit(&brokers->started, memory_order_acquire)) {
    done(context);
    return;
  }
  brokers->stopped = done;
  brokers->stopped_context = context;
  peer_question_cancel(&brokers->question);
  end_stop(brokers);
}

/* ---- Making others known ---- */

struct registration {
  struct task task;
  struct brokers *brokers;
  struct rpc_call *call;
  struct change change;
  struct peers_question question; /* is it listened to? */
};

static void end_registration(struct registration *registration) {
  rpc_call_release(registration->call);
  memory_free(registration);
}

static void registration_changed(struct change *change) {
  struct registration *registration = container_of(change, struct registration, change);
  const struct controller *controller = registration->brokers->wiring.controller;
  bool elsewhere = change->status == STATUS_NOT_LEADER;
  if (change->status == STATUS_OK || elsewhere) {
    struct blob_part part = whereabouts_answer(controller_map(controller), elsewhere, controller_leader(controller));
    rpc_call_send(registration->call, &part, 1);
    rpc_call_finish(registration->call, GRPC_CODE_OK, NULL, NULL, 0);
  } else {
    failure_refuse_call(registration->call, change->status, "%s: %s", status_text(change->status), change->problem);
  }
  end_registration(registration);
}

static void registration_run(struct task *task) {
  struct registration *registration = container_of(task, struct registration, task);
  controller_change(registration->brokers->wiring.controller, &registration->change);
}

/* On the peers loop. */
static void registration_judged(struct peers_question *question, enum status status) {
  struct registration *registration = container_of(question, struct registration, question);
  if (status == STATUS_OK) {
    loop_post(registration->brokers->wiring.loop, &registration->task);
    return;
  }
  failure_refuse_call(registration->call, status, "%s", status_text(status));
  end_registration(registration);
}

static enum status take_lineage(const ProtobufCBinaryData *bytes, struct lineage *out_lineage) {
  *out_lineage = (struct lineage){0};
  return bytes->len == 0 ? STATUS_OK : lineage_decode(bytes_of(bytes->data, bytes->len), out_lineage);
}

static enum status take_request(struct bytes bytes, struct registration *registration) {
  struct change *change = &registration->change;
  struct peers_question *question = &registration->question;
  struct arena *arena = arena_new(REGISTER_ARENA_BYTES);
  const Cairn__Internal__V1__RegisterRequest *message = NULL;
  enum status status = pack_unpack(arena, &cairn__internal__v1__register_request__descriptor, bytes, &message);
  if (status == STATUS_OK && (message->broker == NULL || !id_from_message(&message->cluster_id, change->cluster_id)))
    status = STATUS_MALFORMED;
  if (status == STATUS_OK) status = broker_from_message(message->broker, &change->broker);
  if (status == STATUS_OK) status = take_lineage(&message->lineage, &question->lineage);
  if (status == STATUS_OK) question->boot = message->boot;
  arena_free(arena);
  if (status == STATUS_OK) question->who = replica_id_of(change->broker.id, change->broker.incarnation);
  return status;
}

static void on_register(void *service, struct rpc_call *call, struct blob *message) {
  struct brokers *brokers = service;
  struct registration *registration = NEW(struct registration);
  registration->change = (struct change){.kind = COMMAND_REGISTER_BROKER, .done = registration_changed};
  enum status status = take_request(bytes_of(message->data, message->size), registration);
  blob_release(message);
  if (status != STATUS_OK) {
    failure_refuse_call(call, status, "this is no RegisterRequest: do these brokers run the same version?");
  } else if (memcmp(registration->change.cluster_id, brokers->identity->cluster, CLUSTER_ID_SIZE) != 0) {
    failure_refuse_call(call, STATUS_FOREIGN, "this broker belongs to another cluster; correct the addresses in --join");
  } else if (!atomic_load_explicit(&brokers->started, memory_order_acquire)) {
    failure_refuse_call(call, STATUS_LOADING, NULL);
  } else {
    registration->task.run = registration_run;
    registration->brokers = brokers;
    registration->call = rpc_call_hold(call);
    registration->question.answered = registration_judged;
    peers_ask(brokers->wiring.peers, &registration->question);
    return;
  }
  memory_free(registration);
}

struct rpc_handler brokers_register_handler(struct brokers *brokers) {
  return (struct rpc_handler){.method = REGISTER_METHOD, .kind = RPC_UNARY, .message = on_register, .own_service = brokers};
}
