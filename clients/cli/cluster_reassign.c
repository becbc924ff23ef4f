#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/world.h"
#include "clients/cli/commands.h"
#include "clients/cli/map_json.h"
#include "clients/cli/output.h"
#include "clients/cli/quantity.h"
#include "clients/cli/reassignment.h"
#include "clients/cli/report.h"
#include "clients/cli/stuck.h"
#include "clients/cli/table.h"
#include "clients/cli/terminal.h"

#define TOPICS_MAX 1000u
#define TEXT_SIZE 512u
#define AT_ONCE 2
#define AT_ONCE_MAX 1000

/* What is asked for. Names point into `names`. */
struct goal {
  struct cli *cli;
  char *names;
  const char *topics[TOPICS_MAX];
  size_t topic_count;
  uint32_t brokers[REASSIGNMENT_BROKERS_MAX];
  size_t broker_count;
  int64_t at_once;
  int64_t bytes_per_second;
  json_t *plan;           /* an object; its "moves" are the rows */
  char stuck[STUCK_SIZE]; /* of what was on its way already: the first that waits, and for what; "": none does */
};

/* ---- The command line ---- */

static int read_topics(struct goal *goal, const char *option) {
  const char *text = cli_option(goal->cli, option);
  if (text == NULL) return CLI_OK;
  goal->names = memory_copy_string(text);
  char *rest = goal->names;
  for (char *name; (name = strsep(&rest, ",")) != NULL;) {
    if (*name == '\0' || goal->topic_count == TOPICS_MAX)
      return report_usage(goal->cli, "\"%s\" is not a list of 1 to %u topics, as in --%s orders,payments", text, TOPICS_MAX,
                          option);
    goal->topics[goal->topic_count++] = name;
  }
  return CLI_OK;
}

static int read_bounds(struct goal *goal) {
  goal->at_once = AT_ONCE;
  int code = cli_option_number(goal->cli, "at-once", 1, AT_ONCE_MAX, &goal->at_once);
  if (code == CLI_OK) code = cli_option_bytes(goal->cli, "throttle", 1, INT64_MAX, &goal->bytes_per_second);
  if (code == CLI_OK && cli_flag(goal->cli, "dry-run") && cli_flag(goal->cli, "wait"))
    return report_usage(goal->cli, "there is nothing to --wait for with --dry-run");
  return code;
}

/* ---- Plans ---- */

static void plan_visit(void *context, const struct cairn_planned_move *move) {
  json_t *row = json_pack("{s:s, s:I, s:I, s:o, s:o, s:I}", "topic", move->topic, "topic_id", (json_int_t)move->topic_id,
                          "partition", (json_int_t)move->partition, "from", brokers_json(move->from, move->from_count), "to",
                          brokers_json(move->to, move->to_count), "copies", (json_int_t)move->copies);
  if (move->bytes_known) json_object_set_new(row, "bytes", json_integer((json_int_t)move->bytes));
  json_array_append_new(context, row);
}

/* What the broker that made the plan has no replica of, its leader tells. Who does not answer leaves a size unknown. */
static void ask_sizes(const struct goal *goal, json_t *rows, struct cairn_plan *plan) {
  size_t i;
  json_t *row;
  json_array_foreach(rows, i, row) {
    struct cairn_partition_state state;
    if (json_object_get(row, "bytes") != NULL) continue;
    if (cairn_partition_describe(goal->cli->client, json_string_value(json_object_get(row, "topic")),
                                 (uint32_t)json_integer_value(json_object_get(row, "partition")), &state, NULL) != CAIRN_OK)
      return;
    json_int_t bytes = (json_int_t)state.log_bytes * json_integer_value(json_object_get(row, "copies"));
    json_object_set_new(row, "bytes", json_integer(bytes));
    plan->bytes += (uint64_t)bytes;
    plan->partitions_of_unknown_size--;
  }
}

static int make_plan(struct goal *goal) {
  const struct cairn_reassignment_goal wanted = {
      .topics = goal->topics, .topic_count = goal->topic_count, .brokers = goal->brokers, .broker_count = goal->broker_count};
  struct cairn_plan plan;
  struct cairn_error error;
  json_t *rows = json_array();
  int code = cairn_reassignment_plan(goal->cli->client, &wanted, &plan, plan_visit, rows, &error);
  if (code != CAIRN_OK) {
    json_decref(rows);
    if (strcmp(error.reason, "TOO_FEW_BROKERS") == 0)
      return report_failure(goal->cli, report_exit_code(&error), error.reason, "cannot plan where the partitions are to be",
                            error.message,
                            "cairn topic describe TOPIC shows how many replicas it has, cairn broker list who there is");
    return report_error(goal->cli, &error, (struct report_subject){0}, "cannot plan where the partitions are to be");
  }
  ask_sizes(goal, rows, &plan);
  goal->plan = json_pack(
      "{s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "moves", rows, "more_moves", (json_int_t)plan.more_moves, "partitions",
      (json_int_t)plan.partitions, "partitions_moving", (json_int_t)plan.partitions_moving, "partitions_without_quorum",
      (json_int_t)plan.partitions_without_quorum, "copies", (json_int_t)plan.copies, "leads", (json_int_t)plan.leads, "bytes",
      (json_int_t)plan.bytes, "partitions_of_unknown_size", (json_int_t)plan.partitions_of_unknown_size);
  return CLI_OK;
}

/* What is written like a row of ours; the broker says what it means. */
static bool row_is_sound(const json_t *row) {
  uint32_t brokers[CAIRN_REPLICAS_MAX];
  json_int_t partition = json_integer_value(json_object_get(row, "partition"));
  return json_is_string(json_object_get(row, "topic")) && json_is_integer(json_object_get(row, "topic_id")) &&
         json_is_integer(json_object_get(row, "partition")) && partition >= 0 && partition <= UINT32_MAX &&
         reassignment_brokers(row, "from", brokers) > 0 && reassignment_brokers(row, "to", brokers) > 0;
}

static int read_plan(struct goal *goal, const char *path) {
  char what[TEXT_SIZE], why[TEXT_SIZE];
  json_error_t error;
  snprintf(what, sizeof what, "cannot read the plan in %.300s", path);
  goal->plan = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
  if (goal->plan == NULL) {
    snprintf(why, sizeof why, "line %d: %s", error.line, error.text);
    return report_failure(goal->cli, CLI_FAILED, "BAD_PLAN", what, error.line < 0 ? error.text : why,
                          "cairn cluster reassign --save FILE writes one");
  }
  const json_t *rows = json_object_get(goal->plan, "moves");
  bool sound = json_is_array(rows);
  for (size_t i = 0; sound && i < json_array_size(rows); i++) sound = row_is_sound(json_array_get(rows, i));
  if (sound) { /* what was left out of it is nobody's business any more */
    json_object_del(goal->plan, "partitions_moving");
    json_object_del(goal->plan, "more_moves");
    return CLI_OK;
  }
  return report_failure(goal->cli, CLI_FAILED, "BAD_PLAN", what,
                        "it has no \"moves\", or one that lacks topic, topic_id, partition, from or to",
                        "cairn cluster reassign --save FILE writes one");
}

static int save_plan(struct goal *goal, const char *path) {
  char what[TEXT_SIZE];
  if (json_dump_file(goal->plan, path, JSON_INDENT(2)) == 0) return CLI_OK;
  snprintf(what, sizeof what, "cannot write the plan to %.300s", path);
  return report_failure(goal->cli, CLI_FAILED, "IO", what, "the file could not be opened or written", "name another file");
}

/* ---- What is said ---- */

static const struct column move_columns[] = {
    {"TOPIC", "topic", COLUMN_TEXT}, {"PARTITION", "partition", COLUMN_NUMBER}, {"FROM", "from", COLUMN_TEXT},
    {"TO", "to", COLUMN_TEXT},       {"COPIES", "copies", COLUMN_NUMBER},       {"BYTES", "bytes", COLUMN_BYTES},
    {NULL, NULL, COLUMN_TEXT},
};

static json_int_t number_of(const struct goal *goal, const char *field) {
  return json_integer_value(json_object_get(goal->plan, field));
}

static void print_left_out(const struct goal *goal) {
  json_int_t moving = number_of(goal, "partitions_moving"), dead = number_of(goal, "partitions_without_quorum");
  if (moving > 0)
    output_printf(goal->cli->output, "%lld left out: on their way already; ask again when they have arrived\n",
                  (long long)moving);
  if (dead > 0) output_printf(goal->cli->output, "%lld left out: most of their brokers are down\n", (long long)dead);
}

static int print_plan(const struct goal *goal) {
  json_t *rows = json_object_get(goal->plan, "moves");
  char bytes[32];
  if (goal->cli->json) return table_print_json(goal->cli, goal->plan);
  if (json_array_size(rows) == 0) {
    output_printf(goal->cli->output, "nothing is to move: all is as even as it can be, or where it is to be\n");
    print_left_out(goal);
    return CLI_OK;
  }
  table_print(goal->cli, move_columns, rows);
  output_printf(
      goal->cli->output, "%zu moves: %lld replicas to copy, %s%s; %lld partitions get another leader\n", json_array_size(rows),
      (long long)number_of(goal, "copies"), quantity_format_bytes(bytes, sizeof bytes, (double)number_of(goal, "bytes")),
      number_of(goal, "partitions_of_unknown_size") > 0 ? " and what is not known" : "", (long long)number_of(goal, "leads"));
  if (number_of(goal, "more_moves") > 0)
    output_printf(goal->cli->output, "%lld more: run the same command again when these have arrived\n",
                  (long long)number_of(goal, "more_moves"));
  print_left_out(goal);
  return CLI_OK;
}

static int print_refused(const struct goal *goal, const struct reassignment_result *result) {
  char what[TEXT_SIZE], why[TEXT_SIZE];
  size_t i, total = json_array_size(json_object_get(goal->plan, "moves"));
  json_t *row;
  json_array_foreach(json_object_get(goal->plan, "moves"), i, row) {
    if (json_object_get(row, "why") == NULL) continue;
    snprintf(why, sizeof why, "the first of them, partition %lld of \"%.200s\": %.200s",
             (long long)json_integer_value(json_object_get(row, "partition")), json_string_value(json_object_get(row, "topic")),
             json_string_value(json_object_get(row, "why")));
    break;
  }
  snprintf(what, sizeof what, "%u of %zu moves were not made, as they are planned", result->refused, total);
  return report_failure(goal->cli, CLI_PARTIAL, "PLAN_STALE", what, why, "make a new plan: it says what is left");
}

static int print_result(const struct goal *goal, const struct reassignment_result *result) {
  if (goal->cli->json) {
    json_object_set_new(goal->plan, "begun", json_integer(result->begun));
    json_object_set_new(goal->plan, "arrived", json_integer(result->arrived));
    json_object_set_new(goal->plan, "refused", json_integer(result->refused));
    table_print_json(goal->cli, goal->plan);
  } else {
    if (result->begun > 0)
      output_printf(goal->cli->output, "%u partitions are on their way, and go on by themselves: cairn cluster moves\n",
                    result->begun);
    if (result->arrived > 0) output_printf(goal->cli->output, "%u partitions are where they are to be\n", result->arrived);
    if (result->begun + result->arrived + result->refused == 0) print_plan(goal);
  }
  return result->refused > 0 ? print_refused(goal, result) : CLI_OK;
}

/* ---- What both commands do ---- */

static int report_interrupted(const struct goal *goal) {
  char what[TEXT_SIZE], why[STUCK_SIZE + TEXT_SIZE];
  snprintf(what, sizeof what, "waiting for %lld partitions that were on their way already was interrupted",
           (long long)number_of(goal, "partitions_moving"));
  snprintf(why, sizeof why, "they go on by themselves, whether somebody waits or not%s%s", goal->stuck[0] == '\0' ? "" : ", but ",
           goal->stuck);
  return report_failure(goal->cli, CLI_INTERRUPTED, "INTERRUPTED", what, why,
                        "the same command again goes on with what is left; cairn cluster moves shows what is under way");
}

/* Until it is worth while to ask for another plan. */
static void wait_a_while(struct goal *goal, struct progress *progress) {
  char text[STUCK_SIZE + TEXT_SIZE];
  stuck_find(goal->stuck, goal->cli, goal->topics, goal->topic_count);
  snprintf(text, sizeof text, "%lld partitions were on their way already%s%s", (long long)number_of(goal, "partitions_moving"),
           goal->stuck[0] == '\0' ? "" : ": ", goal->stuck);
  for (unsigned i = 0; i < 5 && !terminal_interrupted(); i++) progress_wait(progress, world_now_ns(goal->cli->world), text);
}

/* A plan leaves out what is on its way already, and what an answer has no room for: whoever waits goes on with another one. */
static int plan_what_is_left(struct goal *goal) {
  struct progress progress;
  int code = CLI_OK;
  progress_begin(&progress, world_now_ns(goal->cli->world));
  do {
    if (number_of(goal, "partitions_moving") > 0) wait_a_while(goal, &progress);
    if (terminal_interrupted()) break;
    json_decref(goal->plan);
    goal->plan = NULL;
    code = make_plan(goal);
  } while (code == CLI_OK && json_array_size(json_object_get(goal->plan, "moves")) == 0 &&
           number_of(goal, "partitions_moving") > 0);
  progress_end(&progress);
  return code == CLI_OK && terminal_interrupted() ? report_interrupted(goal) : code;
}

static int carry_out(struct goal *goal) {
  struct reassignment_result result;
  bool waits = cli_flag(goal->cli, "wait");
  uint32_t arrived = 0;
  for (;;) {
    const struct reassignment order = {.cli = goal->cli,
                                       .rows = json_object_get(goal->plan, "moves"),
                                       .per_broker = (uint32_t)goal->at_once,
                                       .bytes_per_second = (uint64_t)goal->bytes_per_second,
                                       .waits = waits};
    int code = reassignment_carry_out(&order, &result);
    result.arrived += arrived;
    arrived = result.arrived;
    bool more = waits && (number_of(goal, "partitions_moving") > 0 || number_of(goal, "more_moves") > 0);
    if (code == CLI_OK && !more) return print_result(goal, &result);
    if (code == CLI_OK) code = plan_what_is_left(goal);
    if (code != CLI_OK) return code;
  }
}

/* `plan`, `save`: files, or NULL. */
static int run(struct goal *goal, const char *plan, const char *save) {
  int code = cli_connect(goal->cli);
  if (code == CLI_OK) code = plan != NULL ? read_plan(goal, plan) : make_plan(goal);
  if (code == CLI_OK && save != NULL) code = save_plan(goal, save);
  if (code != CLI_OK) return code;
  if (cli_flag(goal->cli, "dry-run") || save != NULL) return print_plan(goal);
  return carry_out(goal);
}

static void goal_deinit(struct goal *goal) {
  memory_free(goal->names);
  json_decref(goal->plan);
}

/* ---- rebalance ---- */

static int rebalance_run(struct cli *cli) {
  struct goal goal = {.cli = cli};
  int code = read_topics(&goal, "topic");
  if (code == CLI_OK) code = read_bounds(&goal);
  if (code == CLI_OK) code = run(&goal, NULL, NULL);
  goal_deinit(&goal);
  return code;
}

#define BOUND_OPTIONS                                                                                                \
  {"at-once", 0, "N", "moves at a time that give one broker a replica, or take one from it; default 2"},             \
      {"throttle", 0, "SIZE", "bytes a second that each move copies at most; the brokers' own bound holds besides"}, \
      {"wait", 0, NULL, "until all have arrived; else until all have begun"}, {                                      \
    "dry-run", 0, NULL, "show the plan, change nothing"                                                              \
  }

static const struct option rebalance_options[] = {
    {"topic", 0, "TOPICS", "only these: orders,payments; default: all"},
    BOUND_OPTIONS,
    {NULL, 0, NULL, NULL},
};

static const char *const rebalance_examples[] = {
    "What would move, and how much is that?",
    "cairn cluster rebalance --dry-run",
    "Spread the load on a broker that was added",
    "cairn cluster rebalance --wait",
    NULL,
};

const struct command cluster_rebalance_command = {
    .noun = "cluster",
    .verb = "rebalance",
    .summary = "Spread replicas and leaders evenly over the brokers",
    .changes = CHANGES_TOPICS,
    .details =
        "No rack has more replicas of a partition than it must then; as far as that allows no broker has two of a topic more "
        "than\n"
        "another, nor two more in all; and as little moves as that takes. Who is down, drained or leaving gets nothing, and "
        "keeps\n"
        "what it has. Partitions are read and appended to all the while. What has begun goes on by itself; run the same command\n"
        "again after Ctrl-C, and it goes on with the rest.\n",
    .options = rebalance_options,
    .examples = rebalance_examples,
    .run = rebalance_run,
};

/* ---- reassign ---- */

static int reassign_run(struct cli *cli) {
  struct goal goal = {.cli = cli};
  const char *plan = cli_option(cli, "plan"), *save = cli_option(cli, "save");
  int code = read_topics(&goal, "topics");
  if (code == CLI_OK) code = cli_option_brokers(cli, "to-brokers", REASSIGNMENT_BROKERS_MAX, goal.brokers, &goal.broker_count);
  if (code == CLI_OK) code = read_bounds(&goal);
  bool asks = goal.topic_count > 0 || goal.broker_count > 0;
  if (code == CLI_OK && plan != NULL && (asks || save != NULL))
    code = report_usage(cli, "--plan FILE says what is to move: leave out --topics, --to-brokers and --save");
  else if (code == CLI_OK && plan == NULL && (goal.topic_count == 0 || goal.broker_count == 0))
    code = report_usage(cli, "--topics TOPICS and --to-brokers BROKERS say what is to move and where to, or --plan FILE does");
  if (code == CLI_OK && save != NULL && cli_flag(cli, "wait"))
    code = report_usage(cli, "there is nothing to --wait for with --save");
  if (code == CLI_OK) code = run(&goal, plan, save);
  goal_deinit(&goal);
  return code;
}

static const struct option reassign_options[] = {
    {"topics", 0, "TOPICS", "whose partitions: orders,payments"},
    {"to-brokers", 0, "BROKERS", "that are to have them, and nobody else: 2,3,4"},
    {"save", 0, "FILE", "write the plan there, and change nothing"},
    {"plan", 0, "FILE", "carry out one that was saved"},
    BOUND_OPTIONS,
    {NULL, 0, NULL, NULL},
};

static const char *const reassign_examples[] = {
    "Everything of orders goes to brokers 2, 3 and 4",
    "cairn cluster reassign --topics orders --to-brokers 2,3,4 --wait",
    "What would that be? It is written down, and nothing is changed",
    "cairn cluster reassign --topics orders --to-brokers 2,3,4 --save plan.json",
    "Just that is carried out, gently",
    "cairn cluster reassign --plan plan.json --throttle 10MiB",
    NULL,
};

const struct command cluster_reassign_command = {
    .noun = "cluster",
    .verb = "reassign",
    .summary = "Move the partitions of topics to other brokers",
    .changes = CHANGES_TOPICS,
    .details =
        "They are spread evenly over these brokers, and as little moves as that takes. A move is made only where the partition "
        "still\n"
        "is where the plan found it. What has begun goes on by itself; run the same command again after Ctrl-C, and it goes on "
        "with\n"
        "the rest. cairn cluster moves shows how far they are; cairn partition move TOPIC PARTITION --cancel takes one back.\n",
    .options = reassign_options,
    .examples = reassign_examples,
    .run = reassign_run,
};
