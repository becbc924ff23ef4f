#include "server/movers.h"

#include <stdio.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/trace.h"
#include "server/map_question.h"
#include "server/peer_question.h"

#define NS_PER_MS 1000000u
#define ROUND_NS ((uint64_t)100 * NS_PER_MS) /* between rounds, while moves are under way */
#define MAP_LOOK_NS ((uint64_t)5 * NS_PER_MS)
#define MAP_LOOKS_MAX 200u
#define PROGRESS_NS ((uint64_t)1000 * NS_PER_MS) /* between tellings of how far they are, where there is nothing else to tell */

/* One partition in a round. */
struct mover {
  struct task go; /* on its lane */
  struct task back;
  struct movers *movers;
  struct partition_move step;
  bool dropped;
};

enum phase { PHASE_REST, PHASE_LOOK, PHASE_ASK, PHASE_MAP, PHASE_ACT, PHASE_TELL };

struct movers {
  struct movers_wiring wiring;
  bool started;
  struct timer timer;
  enum phase phase;
  struct mover *round[MAP_MOVED_MAX];
  uint32_t count;
  uint32_t left;    /* that are on their lanes */
  uint64_t after;   /* the group behind which the next round begins: more moves than a round has places take turns */
  uint64_t version; /* that the map has to have */
  unsigned map_looks;
  struct map_question question;
  uint64_t progress_ns; /* when it was last told how far they are */
  enum status told;     /* why moves wait, as it was last traced */

  struct peer_question asked; /* the leader, where it is another one */

  bool stopping;
  void (*stopped)(void *context);
  void *stopped_context;
};

struct movers *movers_new(void) {
  return NEW(struct movers);
}

void movers_free(struct movers *movers) {
  if (movers == NULL) return;
  CHECK(movers->phase == PHASE_REST);
  peer_question_deinit(&movers->asked);
  memory_free(movers);
}

static void end_round(struct movers *movers) {
  for (uint32_t i = 0; i < movers->count; i++) {
    partition_release(movers->round[i]->step.partition);
    memory_free(movers->round[i]);
  }
  movers->count = 0;
  movers->phase = PHASE_REST;
  if (movers->stopping || cluster_map_move_count(controller_map(movers->wiring.controller)) == 0)
    peer_question_hang_up(&movers->asked);
  if (!movers->stopping) {
    movers_wake(movers);
  } else if (movers->stopped != NULL) {
    movers->stopped(movers->stopped_context);
    movers->stopped = NULL;
  }
}

void movers_wake(struct movers *movers) {
  if (!movers->started || movers->stopping || movers->phase != PHASE_REST || movers->timer.slot != 0) return;
  if (cluster_map_move_count(controller_map(movers->wiring.controller)) == 0) return;
  loop_timer_set(movers->wiring.loop, &movers->timer, loop_now_ns(movers->wiring.loop) + ROUND_NS);
}

/* ---- On the lanes ---- */

static void step_done(struct partition_move *step) {
  struct mover *mover = container_of(step, struct mover, step);
  loop_post(mover->movers->wiring.loop, &mover->back);
}

static void look_on_lane(struct task *task) { partition_move_look(&container_of(task, struct mover, go)->step); }
static void act_on_lane(struct task *task) { partition_move_act(&container_of(task, struct mover, go)->step); }

static void ask(struct movers *movers);
static void tell(struct movers *movers);

static void came_back(struct task *task) {
  struct movers *movers = container_of(task, struct mover, back)->movers;
  CHECK(movers->left > 0);
  if (--movers->left > 0) return;
  if (movers->phase == PHASE_LOOK) ask(movers);
  else tell(movers);
}

/* Sends those that are not dropped. False: there are none. */
static bool send(struct movers *movers, void (*run)(struct task *task)) {
  movers->left = 0;
  for (uint32_t i = 0; i < movers->count; i++) movers->left += !movers->round[i]->dropped;
  bool any = movers->left > 0;
  for (uint32_t i = 0; i < movers->count; i++) {
    struct mover *mover = movers->round[i];
    if (mover->dropped) continue;
    mover->go.run = run;
    loop_post(partition_host_of(mover->step.partition)->loop, &mover->go);
  }
  return any;
}

/* ---- Asking group 0 ---- */

static void question_answered(struct movers *movers, enum status status, uint64_t version);

static void asked_here(struct map_question *question) {
  question_answered(container_of(question, struct movers, question), question->status, question->version);
}

static void asked_there(struct peer_question *asked) {
  struct movers *movers = container_of(asked, struct movers, asked);
  enum status status = asked->failure.reason;
  uint64_t version = 0;
  if (status == STATUS_OK) status = map_question_unpack_answer(bytes_of(asked->answer->data, asked->answer->size), &version);
  question_answered(movers, status, version);
}

static void put_question(struct movers *movers) {
  const struct movers_wiring *wiring = &movers->wiring;
  const struct map_broker *leader = cluster_map_broker(controller_map(wiring->controller), controller_leader(wiring->controller));
  if (controller_leads(wiring->controller)) {
    movers->question.done = asked_here;
    map_question_post(&movers->question, wiring->board, loop_now_ns(wiring->loop));
    map_question_ask(&movers->question, wiring->controller);
    return;
  }
  if (movers->stopping || leader == NULL || leader->id == wiring->self || leader->peer_address[0] == '\0') {
    question_answered(movers, STATUS_NOT_LEADER, 0);
    return;
  }
  peer_question_ask(&movers->asked, leader->peer_address, map_question_pack(&movers->question, wiring->cluster_id));
}

/* ---- A round ---- */

/* Fresh: what is not under way any more is dropped. */
static void refresh(struct movers *movers) {
  const struct cluster_map *map = controller_map(movers->wiring.controller);
  for (uint32_t i = 0; i < movers->count; i++) {
    struct mover *mover = movers->round[i];
    const struct map_move *move = cluster_map_move(map, mover->step.place.group);
    mover->dropped = mover->dropped || move == NULL;
    if (mover->dropped) continue;
    mover->step.move = *move;
    mover->step.place = cluster_map_topic_by_id(map, move->topic_id)->partitions[move->partition];
  }
}

static void act(struct movers *movers) {
  movers->phase = PHASE_ACT;
  refresh(movers);
  if (movers->stopping || !send(movers, act_on_lane)) end_round(movers);
}

static void look_at_map(struct movers *movers) {
  bool new_enough = cluster_map_version(controller_map(movers->wiring.controller)) >= movers->version;
  movers->phase = PHASE_MAP;
  if (new_enough) act(movers);
  else if (movers->stopping || movers->map_looks++ == MAP_LOOKS_MAX) end_round(movers);
  else loop_timer_set(movers->wiring.loop, &movers->timer, loop_now_ns(movers->wiring.loop) + MAP_LOOK_NS);
}

static void question_answered(struct movers *movers, enum status status, uint64_t version) {
  if (status != STATUS_OK || movers->phase == PHASE_TELL) {
    if (status != STATUS_OK && status != movers->told) trace_info("moves_wait", "reason=%s", status_name(status));
    movers->told = status;
    end_round(movers);
    return;
  }
  movers->version = version;
  movers->map_looks = 0;
  look_at_map(movers);
}

static void note_progress(struct movers *movers) {
  struct map_question *question = &movers->question;
  question->progress_count = 0;
  for (uint32_t i = 0; i < movers->count; i++) {
    const struct partition_move *step = &movers->round[i]->step;
    if (step->learning.learners == 0) continue;
    question->progress[question->progress_count++] = (struct move_progress){.group = step->move.group,
                                                                            .move = step->move.number,
                                                                            .learners = step->learning.learners,
                                                                            .bytes_done = step->learning.bytes_done,
                                                                            .bytes_to_go = step->learning.bytes_to_go};
  }
}

/* Now and then, where no step has to be taken. False: not now. */
static bool tell_progress(struct movers *movers) {
  uint64_t now_ns = loop_now_ns(movers->wiring.loop);
  if (movers->question.progress_count == 0 || movers->stopping || now_ns - movers->progress_ns < PROGRESS_NS) return false;
  movers->progress_ns = now_ns;
  movers->phase = PHASE_TELL;
  movers->question.count = 0;
  put_question(movers);
  return true;
}

static void ask(struct movers *movers) {
  bool any = false;
  note_progress(movers);
  for (uint32_t i = 0; i < movers->count; i++) {
    movers->round[i]->dropped = !movers->round[i]->step.leads;
    any = any || movers->round[i]->step.leads;
  }
  if (!any && tell_progress(movers)) return;
  if (!any || movers->stopping) {
    end_round(movers);
    return;
  }
  movers->phase = PHASE_ASK;
  movers->question.count = 0;
  put_question(movers);
}

static void tell(struct movers *movers) {
  struct map_question *question = &movers->question;
  question->count = 0;
  for (uint32_t i = 0; i < movers->count; i++) {
    const struct mover *mover = movers->round[i];
    if (mover->dropped || !mover->step.over) continue;
    question->moved[question->count++] = (struct map_moved){
        .topic_id = mover->step.move.topic_id, .partition = mover->step.move.partition, .move = mover->step.move.number};
  }
  if (question->count == 0 || movers->stopping) {
    end_round(movers);
    return;
  }
  movers->phase = PHASE_TELL;
  put_question(movers);
}

static void take_in(struct movers *movers, const struct map_move *move) {
  const struct cluster_map *map = controller_map(movers->wiring.controller);
  const struct map_topic *topic = cluster_map_topic_by_id(map, move->topic_id);
  struct route_found found;
  CHECK(topic != NULL);
  if (routing_find(movers->wiring.routing, bytes_of_string(topic->name), move->partition, &found) != STATUS_OK) return;
  if (partition_glimpse(found.partition).leader != movers->wiring.self) {
    partition_release(found.partition);
    return;
  }
  struct mover *mover = NEW(struct mover);
  mover->movers = movers;
  mover->back.run = came_back;
  mover->step = (struct partition_move){
      .partition = found.partition, .place = topic->partitions[move->partition], .move = *move, .done = step_done};
  movers->round[movers->count++] = mover;
}

static void begin_round(struct movers *movers) {
  const struct cluster_map *map = controller_map(movers->wiring.controller);
  const struct map_move *move = cluster_map_move_after(map, movers->after);
  for (; move != NULL && movers->count < MAP_MOVED_MAX; move = cluster_map_move_after(map, move->group)) {
    take_in(movers, move);
    movers->after = move->group;
  }
  if (move == NULL) movers->after = 0;
  movers->phase = PHASE_LOOK;
  if (!send(movers, look_on_lane)) end_round(movers);
}

static void timer_fires(struct timer *timer) {
  struct movers *movers = container_of(timer, struct movers, timer);
  if (movers->phase == PHASE_MAP) look_at_map(movers);
  else begin_round(movers);
}

void movers_start(struct movers *movers, const struct movers_wiring *wiring) {
  movers->wiring = *wiring;
  peer_question_init(&movers->asked, wiring->world, wiring->loop, MAP_QUESTION_METHOD, asked_there);
  movers->started = true;
  movers->timer.fire = timer_fires;
  end_round(movers);
}

void movers_stop(struct movers *movers, void (*done)(void *context), void *context) {
  movers->stopping = true;
  if (!movers->started) {
    done(context);
    return;
  }
  movers->stopped = done;
  movers->stopped_context = context;
  loop_timer_cancel(movers->wiring.loop, &movers->timer);
  peer_question_cancel(&movers->asked);
  if (movers->phase == PHASE_REST || movers->phase == PHASE_MAP) end_round(movers);
}
