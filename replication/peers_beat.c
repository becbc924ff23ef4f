/* Beats out and in: who is up, who leads what. On the peers loop, but for the transport's callbacks. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/trace.h"
#include "replication/peers_internal.h"

/* ---- Edges ---- */

static void tell_edge(struct peer_broker *broker, enum peer_edge edge) {
  struct lane_order order = {.kind = LANE_EDGE, .broker = broker->id, .edge = edge};
  peers_order(broker->peers, &order);
}

static void went_down(struct peer_broker *broker, const char *reason) {
  trace_warn("peer_down", "broker=%u reason=%s", broker->id, reason);
  vouch_silence(&broker->vouch);
  tell_edge(broker, PEER_DOWN);
}

/* Before it is told to be up: nobody is to offer it a leadership in between. */
static void take_wish(struct peer_broker *broker, bool reluctant) {
  if (broker->reluctant == reluctant) return;
  broker->reluctant = reluctant;
  trace_info("peer_wish", "broker=%u reluctant=%d", broker->id, reluctant);
  tell_edge(broker, reluctant ? PEER_RELUCTANT : PEER_WILLING);
}

void peers_broker_down(struct peer_broker *broker) {
  bool was_up = broker->liveness.up;
  liveness_init(&broker->liveness, broker->peers->options.timing.election_ns);
  broker->deaf = false;
  take_wish(broker, false);
  if (was_up) went_down(broker, "not_a_member");
  else vouch_silence(&broker->vouch);
}

static void came_up(struct peer_broker *broker) {
  trace_info("peer_up", "broker=%u boot=%016" PRIx64 " clock_ahead_ms=%" PRId64, broker->id, broker->liveness.boot,
             broker->liveness.ahead_ms);
  tell_edge(broker, PEER_UP);
  /* It is there now, while our connection may wait long before it tries again. And a connection to a process that is no more may never be told
   * so: who waits for the other side to take more sends nothing. */
  struct peer_link *link = broker->link;
  bool waits = link->beats == NULL && link->beat_failures > 0;
  bool outlived = link->boot != 0 && link->boot != broker->liveness.boot;
  if (waits || outlived) peer_link_close(link, true);
  else link->boot = broker->liveness.boot;
}

/* ---- In ---- */

static void take_change(struct peer_broker *broker, enum liveness_change change) {
  switch (change) {
    case LIVENESS_SAME: break;
    case LIVENESS_UP: came_up(broker); break;
    case LIVENESS_DOWN: went_down(broker, "stuck"); break;
    case LIVENESS_REBORN:
      vouch_reborn(&broker->vouch);
      went_down(broker, "started_anew");
      came_up(broker);
      break;
  }
}

/* True: understood. */
static bool take_claims(struct vouch *vouch, const struct peer_pulse *pulse) {
  if (pulse->has_list) {
    struct wire_cursor cursor = wire_cursor_of(pulse->list);
    struct peer_leadership leadership;
    vouch_list_begin(vouch);
    while (peer_wire_next_leadership(&cursor, &leadership) == STATUS_OK)
      roll_set(&vouch->claimed, leadership.group, leadership.term);
    vouch_list_end(vouch);
  }
  return vouch_digest(vouch, (struct roll_digest){.digest = pulse->digest, .count = pulse->count});
}

static void take_pulse(struct peer_broker *broker, const struct peer_hello *hello, struct rpc_call *call,
                       const struct peer_pulse *pulse) {
  struct peers *peers = broker->peers;
  uint64_t election_ns = peers->options.timing.election_ns;
  enum liveness_change change =
      liveness_beat(&broker->liveness, hello->boot, pulse, loop_now_ns(peers->loop), loop_wall_ms(peers->loop));
  broker->deaf = pulse->silent_us >= election_ns / 1000;
  take_wish(broker, pulse->reluctant);
  take_change(broker, change);
  if (!broker->liveness.up || take_claims(&broker->vouch, pulse)) return;
  struct blob_part answer = peer_wire_encode_pulse_answer(true);
  rpc_call_send(call, &answer, 1);
}

void peers_beat_heard(struct peer_inbound *inbound, struct blob *blob) {
  struct peers *peers = inbound->peers;
  const struct peer_hello *hello = &inbound->hello;
  struct peer_pulse pulse;
  struct bytes message = bytes_of(blob->data, blob->size);
  enum status status = peer_wire_decode_pulse(message, &pulse);
  struct peer_broker *broker = peers_find(peers, hello->from.broker);
  bool known = broker != NULL && broker->link != NULL && replica_id_equal(&broker->link->address.id, &hello->from);
  if (status != STATUS_OK) trace_warn("peer_beat_refused", "broker=%u reason=%s", hello->from.broker, status_name(status));
  /* Who is not known here yet may lead a group that this broker is in, and is listened to. */
  bool believed = status == STATUS_OK && !peers->stopping && peers_hear_of(inbound, message, pulse.journal);
  if (believed && known) take_pulse(broker, hello, inbound->call, &pulse);
  blob_release(blob);
}

/* ---- Out ---- */

struct answer {
  struct task task;
  struct peer_beat_run *run;
};

/* Before the run's `done`, which was posted later. */
static void take_answer(struct task *task) {
  struct answer *answer = container_of(task, struct answer, task);
  answer->run->link->list_wanted = true;
  memory_free(answer);
}

static void on_message(void *context, struct rpc_request *request, struct blob *message) {
  struct peer_beat_run *run = context;
  bool wanted = false;
  (void)request;
  enum status status = peer_wire_decode_pulse_answer(bytes_of(message->data, message->size), &wanted);
  blob_release(message);
  if (status != STATUS_OK || !wanted) return;
  struct answer *answer = NEW(struct answer);
  answer->task.run = take_answer;
  answer->run = run;
  loop_post(run->peers->loop, &answer->task);
}

static void on_done(void *context, struct rpc_request *request, const struct rpc_result *result) {
  struct peer_beat_run *run = context;
  (void)request;
  run->code = result->code;
  snprintf(run->reason, sizeof run->reason, "%s", result->text);
  peers_superseded(run->peers, result);
  loop_post(run->peers->loop, &run->done_task);
}

static const struct rpc_client_handler handler = {on_message, NULL, on_done};

static void tell_lost(const struct peer_link *link, const struct peer_beat_run *run) {
  char quoted[2 * PEER_REASON_SIZE];
  trace_quote(quoted, sizeof quoted, run->reason, strlen(run->reason));
  bool refused = run->code == GRPC_CODE_FAILED_PRECONDITION;
  if (link->beat_failures > 1) return; /* once for each time that it was lost */
  trace_line(refused ? TRACE_WARN : TRACE_DEBUG, refused ? "peer_refuses" : "peer_beats_lost",
             "broker=%u address=%s code=%u reason=%s", link->address.id.broker, link->address.address, (unsigned)run->code,
             quoted);
}

static void beats_done(struct task *task) {
  struct peer_beat_run *run = container_of(task, struct peer_beat_run, done_task);
  struct peer_link *link = run->link;
  struct peers *peers = run->peers;
  uint64_t now_ns = loop_now_ns(peers->loop);
  if (now_ns - run->began_ns >= PEER_SETTLED_NS) link->beat_failures = 0;
  link->beat_at_ns = now_ns + peers_backoff_ns(peers, link->beat_failures++);
  if (!link->closing) tell_lost(link, run);
  link->beats = NULL;
  link->list_wanted = false;
  rpc_request_release(run->request);
  memory_free(run);
  peer_link_let_go(link);
}

static void begin_beats(struct peer_link *link) {
  struct peer_beat_run *run = NEW(struct peer_beat_run);
  run->peers = link->peers;
  run->link = link;
  run->began_ns = loop_now_ns(link->peers->loop);
  run->done_task.run = beats_done;
  link->beats = run;
  link->greeted = false;
  link->holders++;
  run->request =
      rpc_request_start(link->channels[PEER_SWIFT], PEER_BEAT_METHOD, RPC_BIDI_STREAM, UINT64_MAX, true, &handler, run);
}

static struct peer_leadership *list_of(const struct roll *roll, size_t *out_count) {
  struct peer_leadership *list = memory_new_array(roll_digest(roll).count + 1, sizeof *list);
  struct map_cursor cursor = {0};
  size_t count = 0;
  while (roll_next(roll, &cursor, &list[count].group, &list[count].term)) count++;
  *out_count = count;
  return list;
}

static void send_pulse(struct peer_link *link, const struct peer_pulse *common) {
  const struct peer_broker *broker = link->broker;
  struct peer_pulse pulse = *common;
  struct peer_hello hello = peers_hello(link->peers, &link->address.id);
  hello.lineage = bytes_of(link->peers->lineage, link->peers->lineage_size);
  struct roll_digest digest = roll_digest(&broker->led);
  pulse.digest = digest.digest;
  pulse.count = digest.count;
  pulse.silent_us = liveness_silent_ns(&broker->liveness, loop_now_ns(link->peers->loop)) / 1000;
  pulse.has_list = link->list_wanted;
  size_t count = 0;
  struct peer_leadership *list = link->list_wanted ? list_of(&broker->led, &count) : NULL;
  struct blob_part part = peer_wire_encode_pulse(link->greeted ? NULL : &hello, &pulse, list, count);
  memory_free(list);
  link->greeted = true;
  link->list_wanted = false;
  rpc_request_send(link->beats->request, &part, 1);
}

static void beat(struct peer_link *link, const struct peer_pulse *common) {
  if (link->closing) return;
  if (link->beats == NULL) {
    if (loop_now_ns(link->peers->loop) < link->beat_at_ns) return;
    begin_beats(link);
  }
  if (rpc_request_queued(link->beats->request) < 2) send_pulse(link, common);
}

/* ---- Time ---- */

/* Silence may be the fault of connections: TCP waits ever longer before it tries again, and so does the transport. Theirs to us is theirs to
 * mend: our beats tell them how long we have heard nothing. */
static bool is_suspect(const struct peer_link *link, uint64_t now_ns) {
  uint64_t election_ns = link->peers->options.timing.election_ns;
  const struct peer_broker *broker = link->broker;
  if (link->closing || broker->link != link || now_ns - link->opened_ns < 2 * election_ns) return false;
  return broker->deaf || liveness_silent_ns(&broker->liveness, now_ns) >= election_ns;
}

static void compare_clocks(struct peers *peers) {
  int64_t ahead_ms[PEER_BROKERS_MAX + 1] = {0}; /* the first is our own */
  size_t count = 1;
  list_for_each(&peers->brokers, node, following) {
    const struct peer_broker *broker = list_entry(node, struct peer_broker, node);
    if (broker->liveness.up && count <= PEER_BROKERS_MAX) ahead_ms[count++] = broker->liveness.ahead_ms;
  }
  atomic_store_explicit(&peers->clock_offset_ms, liveness_median(ahead_ms, count), memory_order_relaxed);
}

static enum peers_wish ask_own_wish(struct peers *peers) {
  const struct peers_options *options = &peers->options;
  enum peers_wish wish = options->wish == NULL ? PEERS_WILLING : options->wish(options->wish_context);
  bool leaves = wish == PEERS_LEAVES;
  if (leaves == peers->leaves) return wish;
  peers->leaves = leaves;
  struct lane_order order = {.kind = LANE_RELUCTANT, .reluctant = leaves};
  (void)peers_order(peers, &order);
  return wish;
}

/* Did this loop stand still? Then nobody was listened to, and it is not the others who were silent. */
static bool stood_still(struct peers *peers, uint64_t now_ns) {
  uint64_t late_ns = PEER_STILL_BEATS * peers->options.timing.heartbeat_ns;
  bool still = peers->ticked_ns != 0 && now_ns - peers->ticked_ns > late_ns;
  peers->ticked_ns = now_ns;
  return still;
}

static void look_at(struct peer_broker *broker, uint64_t now_ns, bool still) {
  if (still) liveness_forgive(&broker->liveness, now_ns, PEER_STILL_BEATS * broker->peers->options.timing.heartbeat_ns);
  if (liveness_time(&broker->liveness, now_ns) == LIVENESS_DOWN) went_down(broker, "silent");
  if (broker->link != NULL && is_suspect(broker->link, now_ns)) peer_link_close(broker->link, true);
}

void peers_beat_tick(struct timer *timer) {
  struct peers *peers = container_of(timer, struct peers, tick);
  uint64_t now_ns = loop_now_ns(peers->loop);
  bool still = stood_still(peers, now_ns);
  struct peer_pulse common = {.lane_count = peers->options.lane_count, .wall_ms = loop_wall_ms(peers->loop)};
  common.reluctant = ask_own_wish(peers) != PEERS_WILLING;
  if (peers->options.journal != NULL) common.journal = peers->options.journal(peers->options.journal_context);
  for (unsigned i = 0; i < peers->options.lane_count; i++) {
    common.lanes[i] = peer_lane_health(&peers->lanes[i], now_ns);
    peer_lane_ping(&peers->lanes[i], now_ns);
  }
  list_for_each(&peers->links, node, following) { beat(list_entry(node, struct peer_link, node), &common); }
  list_for_each(&peers->brokers, node, following) { look_at(list_entry(node, struct peer_broker, node), now_ns, still); }
  if (still) peers_forgive_guests(peers, now_ns);
  peers_keep_now_and_then(peers, now_ns);
  compare_clocks(peers);
  if (!list_empty(&peers->links)) loop_timer_set(peers->loop, &peers->tick, now_ns + peers->options.timing.heartbeat_ns);
  else peers->ticked_ns = 0;
}

void peers_beats_begin(struct peers *peers) {
  if (!list_empty(&peers->links) && !peers->stopping) loop_timer_set(peers->loop, &peers->tick, loop_now_ns(peers->loop));
}
