#include "clients/cli/reassignment.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/world.h"
#include "clients/cli/report.h"
#include "clients/cli/stuck.h"
#include "clients/cli/terminal.h"

#define TEXT_SIZE 768u
#define WHY_SIZE (2 * STUCK_SIZE + 256u)

enum state { PLANNED, BEGUN, ARRIVED, REFUSED };
static const char *const state_words[] = {"planned", "moving", "arrived", "refused"};

/* How often moves under way give a broker a replica, or take one from it. */
struct busy {
  uint32_t broker;
  uint32_t moves;
  char stuck[STUCK_SIZE]; /* the first of these that waits itself, and for what; "": none does */
};

struct carrying {
  const struct reassignment *order;
  enum state *states; /* by row */
  bool *listed;       /* by row: it is on its way, as planned */
  struct busy *busy;
  size_t busy_count;
  uint32_t counts[4];
  uint64_t bytes_to_go, bytes_per_second;
  char in_the_way[STUCK_SIZE]; /* of what is to begin: a move that holds its place and waits itself, and for what; "": no such */
  char stuck[STUCK_SIZE];      /* the first of ours that waits, and for what; "": none does */
};

size_t reassignment_brokers(const json_t *row, const char *field, uint32_t *out_brokers) {
  const json_t *list = json_object_get(row, field);
  size_t count = json_array_size(list);
  if (count > CAIRN_REPLICAS_MAX) return 0;
  for (size_t i = 0; i < count; i++) {
    json_int_t id = json_integer_value(json_array_get(list, i));
    if (id <= 0 || id > UINT32_MAX) return 0;
    out_brokers[i] = (uint32_t)id;
  }
  return count;
}

static struct cairn_planned_move move_of(const json_t *row, uint32_t *from, uint32_t *to) {
  return (struct cairn_planned_move){.topic = json_string_value(json_object_get(row, "topic")),
                                     .topic_id = (uint64_t)json_integer_value(json_object_get(row, "topic_id")),
                                     .partition = (uint32_t)json_integer_value(json_object_get(row, "partition")),
                                     .from = from,
                                     .from_count = reassignment_brokers(row, "from", from),
                                     .to = to,
                                     .to_count = reassignment_brokers(row, "to", to)};
}

static size_t row_count(const struct carrying *carrying) { return json_array_size(carrying->order->rows); }

static void set_state(struct carrying *carrying, size_t i, enum state state) {
  carrying->counts[carrying->states[i]]--;
  carrying->counts[state]++;
  carrying->states[i] = state;
  json_object_set_new(json_array_get(carrying->order->rows, i), "state", json_string(state_words[state]));
}

static void refuse(struct carrying *carrying, size_t i, const char *why) {
  set_state(carrying, i, REFUSED);
  json_object_set_new(json_array_get(carrying->order->rows, i), "why", json_string(why));
}

/* ---- What is under way ---- */

/* Borrowed. */
struct places {
  const uint32_t *brokers;
  size_t count;
};

static bool has(struct places places, uint32_t broker) {
  for (size_t i = 0; i < places.count; i++)
    if (places.brokers[i] == broker) return true;
  return false;
}

static void count_busy(struct carrying *carrying, uint32_t broker, const char *stuck) {
  size_t i = 0;
  while (i < carrying->busy_count && carrying->busy[i].broker != broker) i++;
  if (i == carrying->busy_count) {
    carrying->busy = memory_grow_array(carrying->busy, i + 1, sizeof *carrying->busy);
    carrying->busy[carrying->busy_count++] = (struct busy){.broker = broker};
  }
  carrying->busy[i].moves++;
  if (carrying->busy[i].stuck[0] == '\0') snprintf(carrying->busy[i].stuck, STUCK_SIZE, "%s", stuck);
}

/* Those that the one has and the other has not. */
static void count_difference(struct carrying *carrying, struct places some, struct places others, const char *stuck) {
  for (size_t i = 0; i < some.count; i++)
    if (!has(others, some.brokers[i])) count_busy(carrying, some.brokers[i], stuck);
}

static void note_busy(struct carrying *carrying, struct places from, struct places to, const char *stuck) {
  count_difference(carrying, from, to, stuck);
  count_difference(carrying, to, from, stuck);
}

static void move_visit(void *context, const struct cairn_move *move) {
  struct carrying *carrying = context;
  char stuck[STUCK_SIZE];
  stuck_text(stuck, move);
  note_busy(carrying, (struct places){move->from, move->from_count}, (struct places){move->to, move->to_count}, stuck);
  for (size_t i = 0; i < row_count(carrying); i++) {
    uint32_t from[CAIRN_REPLICAS_MAX], to[CAIRN_REPLICAS_MAX];
    struct cairn_planned_move ours = move_of(json_array_get(carrying->order->rows, i), from, to);
    if (ours.partition != move->partition || strcmp(ours.topic, move->topic) != 0) continue;
    carrying->listed[i] = ours.to_count == move->to_count && memcmp(to, move->to, ours.to_count * sizeof *to) == 0;
    if (!carrying->listed[i]) continue;
    carrying->bytes_to_go += move->bytes_to_go;
    carrying->bytes_per_second += move->bytes_per_second;
    if (carrying->stuck[0] == '\0') memcpy(carrying->stuck, stuck, STUCK_SIZE);
  }
}

static int look(struct carrying *carrying) {
  struct cairn_error error;
  carrying->busy_count = 0;
  carrying->bytes_to_go = carrying->bytes_per_second = 0;
  carrying->stuck[0] = '\0';
  memset(carrying->listed, 0, row_count(carrying) * sizeof *carrying->listed);
  if (cairn_move_list(carrying->order->cli->client, move_visit, carrying, &error) != CAIRN_OK)
    return report_error(
        carrying->order->cli, &error, (struct report_subject){0},
        "cannot see how far the moves are; %u of them go on by themselves, and the same command goes on with the rest",
        carrying->counts[BEGUN]);
  return CLI_OK;
}

/* ---- One move ---- */

/* One that the one has and the other has not, with as many moves as it may have; NULL: none is. */
static const struct busy *find_full(const struct carrying *carrying, struct places some, struct places others) {
  for (size_t i = 0; i < carrying->busy_count; i++) {
    const struct busy *busy = &carrying->busy[i];
    bool counts = has(some, busy->broker) && !has(others, busy->broker);
    if (counts && busy->moves >= carrying->order->per_broker) return busy;
  }
  return NULL;
}

static bool has_room(struct carrying *carrying, struct places from, struct places to) {
  const struct busy *full = find_full(carrying, from, to);
  if (full == NULL) full = find_full(carrying, to, from);
  if (full == NULL) return true;
  if (carrying->in_the_way[0] == '\0') memcpy(carrying->in_the_way, full->stuck, STUCK_SIZE);
  return false;
}

/* What can be said of this move alone; of anything else the next ones would be told the same. */
static bool is_its_own(const struct cairn_error *error) {
  static const char *const reasons[] = {"PLAN_STALE", "UNKNOWN_TOPIC", "UNKNOWN_PARTITION", "NOT_FOUND",
                                        "INVALID",    "UNSUPPORTED",   "TOO_FEW_BROKERS",   "BAD_NAME"};
  for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
    if (strcmp(error->reason, reasons[i]) == 0) return true;
  return false;
}

/* Its answer says that it is on its way, or there already. */
static int begin(struct carrying *carrying, size_t i) {
  json_t *row = json_array_get(carrying->order->rows, i);
  uint32_t from[CAIRN_REPLICAS_MAX], to[CAIRN_REPLICAS_MAX];
  struct cairn_planned_move move = move_of(row, from, to);
  const struct places before = {from, move.from_count}, after = {to, move.to_count};
  struct cairn_error error;
  if (!carrying->listed[i] && !has_room(carrying, before, after)) return CLI_OK;
  int code = cairn_partition_move_planned(carrying->order->cli->client, &move, carrying->order->bytes_per_second, false, &error);
  if (code == CAIRN_OK) {
    set_state(carrying, i, BEGUN);
    note_busy(carrying, before, after, "");
    return CLI_OK;
  }
  if (strcmp(error.reason, "BUSY") == 0) return CLI_OK; /* 1,000 are under way: later */
  if (!is_its_own(&error))
    return report_error(
        carrying->order->cli, &error, (struct report_subject){.topic = move.topic},
        "cannot move partition %u of \"%s\"; %u moves go on by themselves, and the same command goes on with the rest",
        move.partition, move.topic, carrying->counts[BEGUN]);
  refuse(carrying, i, error.message);
  return CLI_OK;
}

/* ---- All of them ---- */

/* What waits of ours is mostly what is in the way of the rest, too. */
static int report_interrupted(const struct carrying *carrying) {
  char what[TEXT_SIZE], why[WHY_SIZE];
  const char *in_the_way = carrying->in_the_way;
  const char *stuck = strcmp(carrying->stuck, in_the_way) == 0 ? "" : carrying->stuck;
  snprintf(what, sizeof what, "it was interrupted: %u of %zu moves have arrived", carrying->counts[ARRIVED], row_count(carrying));
  snprintf(why, sizeof why, "%u have begun and go on by themselves, whether somebody waits or not%s%s; %u have not begun%s%s",
           carrying->counts[BEGUN], stuck[0] == '\0' ? "" : ", but ", stuck, carrying->counts[PLANNED],
           in_the_way[0] == '\0' ? "" : ", as a move is in the way: ", in_the_way);
  return report_failure(carrying->order->cli, CLI_INTERRUPTED, "INTERRUPTED", what, why,
                        "the same command again goes on with the rest; cairn cluster moves shows what is under way");
}

/* What has begun and is not listed any more is over. */
static int step(struct carrying *carrying) {
  int code = look(carrying);
  if (terminal_interrupted()) return code; /* what was in the way when it was looked at is told */
  carrying->in_the_way[0] = '\0';
  for (size_t i = 0; code == CLI_OK && i < row_count(carrying) && !terminal_interrupted(); i++) {
    if (carrying->states[i] == BEGUN && !carrying->listed[i]) set_state(carrying, i, ARRIVED);
    if (carrying->states[i] == PLANNED) code = begin(carrying, i);
  }
  return code;
}

static void wait_a_while(const struct carrying *carrying, struct progress *progress) {
  char text[TEXT_SIZE];
  snprintf(text, sizeof text, "%u of %zu have arrived, %u are on their way (%.1f MiB to go, %.1f MiB/s), %u to begin",
           carrying->counts[ARRIVED], row_count(carrying), carrying->counts[BEGUN], (double)carrying->bytes_to_go / 1048576.0,
           (double)carrying->bytes_per_second / 1048576.0, carrying->counts[PLANNED]);
  if (carrying->stuck[0] != '\0')
    snprintf(text, sizeof text, "%u of %zu have arrived, %u are on their way, %u to begin: %s", carrying->counts[ARRIVED],
             row_count(carrying), carrying->counts[BEGUN], carrying->counts[PLANNED], carrying->stuck);
  else if (carrying->counts[BEGUN] == 0 && carrying->in_the_way[0] != '\0')
    snprintf(text, sizeof text, "%u to begin: %s", carrying->counts[PLANNED], carrying->in_the_way);
  progress_wait(progress, world_now_ns(carrying->order->cli->world), text);
}

static int carry_on(struct carrying *carrying) {
  struct progress progress;
  progress_begin(&progress, world_now_ns(carrying->order->cli->world));
  for (;;) {
    int code = step(carrying);
    bool left = carrying->counts[PLANNED] > 0 || (carrying->order->waits && carrying->counts[BEGUN] > 0);
    bool interrupted = left && terminal_interrupted();
    if (code != CLI_OK || !left || interrupted) progress_end(&progress);
    if (interrupted) return report_interrupted(carrying);
    if (code != CLI_OK || !left) return code;
    wait_a_while(carrying, &progress);
  }
}

/* ---- Did they come to where they were to go? ---- */

struct check {
  struct carrying *carrying;
  const char *topic;
};

static void place_visit(void *context, const struct cairn_partition *partition) {
  const struct check *check = context;
  struct carrying *carrying = check->carrying;
  for (size_t i = 0; i < row_count(carrying); i++) {
    json_t *row = json_array_get(carrying->order->rows, i);
    uint32_t from[CAIRN_REPLICAS_MAX], to[CAIRN_REPLICAS_MAX];
    struct cairn_planned_move ours = move_of(row, from, to);
    if (carrying->states[i] != ARRIVED || ours.partition != partition->partition || strcmp(ours.topic, check->topic) != 0)
      continue;
    bool there = partition->moving_to_count == 0 && partition->replica_count == ours.to_count &&
                 memcmp(partition->replicas, to, ours.to_count * sizeof *to) == 0;
    if (!there) refuse(carrying, i, "another move took its place, or it was taken back");
  }
}

/* What was deleted did not arrive; another topic may have its name by now. `topic_id` 0: none has. */
static void refuse_deleted(struct carrying *carrying, const char *topic, uint64_t topic_id) {
  for (size_t i = 0; i < row_count(carrying); i++) {
    uint32_t from[CAIRN_REPLICAS_MAX], to[CAIRN_REPLICAS_MAX];
    struct cairn_planned_move ours = move_of(json_array_get(carrying->order->rows, i), from, to);
    bool arrived = carrying->states[i] == ARRIVED && strcmp(ours.topic, topic) == 0;
    if (arrived && ours.topic_id != topic_id) refuse(carrying, i, "its topic was deleted");
  }
}

static int check_arrived(struct carrying *carrying) {
  const char *last = "";
  for (size_t i = 0; i < row_count(carrying) && !terminal_interrupted(); i++) {
    struct check check = {carrying, json_string_value(json_object_get(json_array_get(carrying->order->rows, i), "topic"))};
    struct cairn_error error;
    if (carrying->states[i] != ARRIVED || strcmp(check.topic, last) == 0) continue;
    last = check.topic;
    struct cairn_topic topic = {0};
    int code = cairn_topic_describe(carrying->order->cli->client, check.topic, &topic, place_visit, &check, &error);
    if (code != CAIRN_OK && code != CAIRN_NOT_FOUND)
      return report_error(carrying->order->cli, &error, (struct report_subject){.topic = check.topic},
                          "cannot see where the partitions of \"%s\" are", check.topic);
    refuse_deleted(carrying, check.topic, code == CAIRN_OK ? topic.id : 0);
  }
  return CLI_OK;
}

int reassignment_carry_out(const struct reassignment *reassignment, struct reassignment_result *out_result) {
  size_t count = json_array_size(reassignment->rows);
  struct carrying carrying = {.order = reassignment, .counts = {[PLANNED] = (uint32_t)count}};
  carrying.states = memory_new_array(count + 1, sizeof *carrying.states);
  carrying.listed = memory_new_array(count + 1, sizeof *carrying.listed);
  int code = carry_on(&carrying);
  if (code == CLI_OK) code = check_arrived(&carrying);
  *out_result = (struct reassignment_result){
      .begun = carrying.counts[BEGUN], .arrived = carrying.counts[ARRIVED], .refused = carrying.counts[REFUSED]};
  memory_free(carrying.states);
  memory_free(carrying.listed);
  memory_free(carrying.busy);
  return code;
}
