#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/world.h"
#include "clients/cli/commands.h"
#include "clients/cli/map_json.h"
#include "clients/cli/output.h"
#include "clients/cli/rack_note.h"
#include "clients/cli/report.h"
#include "clients/cli/table.h"
#include "clients/cli/terminal.h"

#define LIST_SIZE 80u /* seven brokers, as text */

struct brokers {
  uint32_t ids[CAIRN_REPLICAS_MAX];
  size_t count;
};

static struct brokers brokers_of(const uint32_t *ids, size_t count) {
  struct brokers brokers = {.count = count < CAIRN_REPLICAS_MAX ? count : CAIRN_REPLICAS_MAX};
  for (size_t i = 0; i < brokers.count; i++) brokers.ids[i] = ids[i];
  return brokers;
}

/* In this order: the first is to lead, so another order is another place. */
static bool brokers_same(const struct brokers *a, const struct brokers *b) {
  return a->count == b->count && memcmp(a->ids, b->ids, a->count * sizeof *a->ids) == 0;
}

/* "2,3,4". */
static const char *brokers_text(const struct brokers *brokers, char into[LIST_SIZE]) {
  size_t used = 0;
  into[0] = '\0';
  for (size_t i = 0; i < brokers->count; i++)
    used += (size_t)snprintf(into + used, LIST_SIZE - used, "%s%u", i == 0 ? "" : ",", brokers->ids[i]);
  return into;
}

static int read_brokers(const struct cli *cli, struct brokers *out_brokers) {
  if (cli_option(cli, "to") == NULL) return report_usage(cli, "--to BROKERS is missing");
  return cli_option_brokers(cli, "to", CAIRN_REPLICAS_MAX, out_brokers->ids, &out_brokers->count);
}

/* ---- Where it is ---- */

struct move {
  struct cli *cli;
  const char *topic;
  uint32_t partition;
  struct brokers to;
  char to_text[LIST_SIZE];
  struct brokers replicas, moving_to; /* as last seen */
};

enum stage { STAGE_MOVING, STAGE_ARRIVED, STAGE_ELSEWHERE };

static enum stage stage_of(const struct move *move) {
  if (move->moving_to.count == 0) return brokers_same(&move->replicas, &move->to) ? STAGE_ARRIVED : STAGE_ELSEWHERE;
  return brokers_same(&move->moving_to, &move->to) ? STAGE_MOVING : STAGE_ELSEWHERE;
}

static void place_visit(void *context, const struct cairn_partition *partition) {
  struct move *move = context;
  if (partition->partition != move->partition) return;
  move->replicas = brokers_of(partition->replicas, partition->replica_count);
  move->moving_to = brokers_of(partition->moving_to, partition->moving_to_count);
}

/* Whoever leads the map answers, with what was decided before it was asked. */
static int look(struct move *move, struct cairn_error *error) {
  return cairn_topic_describe(move->cli->client, move->topic, NULL, place_visit, move, error);
}

static struct report_subject subject_of(const struct move *move) {
  return (struct report_subject){.topic = move->topic, .has_partition = true, .partition = move->partition};
}

static int report_unseen(const struct move *move, const struct cairn_error *error) {
  return report_error(move->cli, error, subject_of(move), "cannot see where partition %u of \"%s\" is", move->partition,
                      move->topic);
}

/* ---- Waiting ---- */

static int report_replaced(const struct move *move) {
  char what[CAIRN_NAME_MAX + LIST_SIZE + 64], why[LIST_SIZE + 64], try_this[CAIRN_NAME_MAX + 64], place[LIST_SIZE];
  bool rests = move->moving_to.count == 0;
  snprintf(what, sizeof what, "partition %u of \"%s\" does not go to %s", move->partition, move->topic, move->to_text);
  snprintf(why, sizeof why, "another move took its place: it is on %s%s", rests ? "" : "its way to ",
           brokers_text(rests ? &move->replicas : &move->moving_to, place));
  snprintf(try_this, sizeof try_this, "cairn topic describe %s", move->topic);
  return report_failure(move->cli, CLI_PRECONDITION, "MOVE_REPLACED", what, why, try_this);
}

static int report_interrupted(const struct move *move) {
  char what[CAIRN_NAME_MAX + 64], why[LIST_SIZE + 128], try_this[CAIRN_NAME_MAX + 64];
  snprintf(what, sizeof what, "waiting for partition %u of \"%s\" was interrupted", move->partition, move->topic);
  snprintf(why, sizeof why, "the move goes on: it is over when all of brokers %s are up and have caught up", move->to_text);
  snprintf(try_this, sizeof try_this, "cairn topic describe %s", move->topic);
  return report_failure(move->cli, CLI_INTERRUPTED, "INTERRUPTED", what, why, try_this);
}

static void wait_a_while(const struct move *move, struct progress *progress) {
  char text[CAIRN_NAME_MAX + LIST_SIZE + 128];
  snprintf(text, sizeof text, "partition %u of %s is on its way to %s, which must all be up and catch up", move->partition,
           move->topic, move->to_text);
  progress_wait(progress, world_now_ns(move->cli->world), text);
}

/* Until it rests, or once when nobody wants to wait for that. `out_stage`: MOVING or ARRIVED; `out_looks`: how often it was looked at. */
static int follow(struct move *move, bool waits, struct progress *progress, enum stage *out_stage, unsigned *out_looks) {
  struct cairn_error error;
  for (unsigned looks = 1;; looks++) {
    int code = look(move, &error);
    *out_looks = looks;
    *out_stage = stage_of(move);
    bool rests = code != CAIRN_OK || *out_stage != STAGE_MOVING || !waits;
    if (rests || terminal_interrupted()) progress_end(progress);
    if (code != CAIRN_OK) return report_unseen(move, &error);
    if (*out_stage == STAGE_ELSEWHERE) return report_replaced(move);
    if (rests) return CLI_OK;
    if (terminal_interrupted()) return report_interrupted(move);
    wait_a_while(move, progress);
  }
}

/* ---- The command ---- */

static int print_state(const struct move *move, const char *state, const char *words, const char *end) {
  if (!move->cli->json) {
    output_printf(move->cli->output, "partition %u of %s %s %s%s\n", move->partition, move->topic, words, move->to_text, end);
    return CLI_OK;
  }
  json_t *object = json_pack("{s:s, s:I, s:o, s:s}", "topic", move->topic, "partition", (json_int_t)move->partition, "replicas",
                             brokers_json(move->to.ids, move->to.count), "state", state);
  int code = table_print_json(move->cli, object);
  json_decref(object);
  return code;
}

static int validate(struct move *move) {
  struct cairn_error error;
  if (look(move, &error) != CAIRN_OK) return report_unseen(move, &error);
  switch (stage_of(move)) {
    case STAGE_MOVING: return print_state(move, "validated", "is on its way to", " already");
    case STAGE_ARRIVED: return print_state(move, "validated", "is on", " already");
    case STAGE_ELSEWHERE: break;
  }
  return print_state(move, "validated", "could move to", "");
}

/* Where it was is where it is to be: that is waited for as any move is. One that is over, perhaps just now, cannot be taken back: it rests. */
static int take_back(struct move *move, bool dry_run, bool *out_under_way) {
  struct cairn_error error, unseen;
  int code = cairn_partition_move_cancel(move->cli->client, move->topic, move->partition, 0, dry_run, &error);
  if (look(move, &unseen) != CAIRN_OK) return report_unseen(move, &unseen);
  move->to = move->replicas;
  *out_under_way = code == CAIRN_OK;
  if (code == CAIRN_OK) return CLI_OK;
  if (move->moving_to.count == 0 && strcmp(error.reason, "NOT_FOUND") == 0) return CLI_OK;
  return report_error(move->cli, &error, subject_of(move), "cannot take the move of partition %u of \"%s\" back", move->partition,
                      move->topic);
}

static int begin(struct move *move, bool dry_run) {
  struct cairn_error error;
  if (cairn_partition_move(move->cli->client, move->topic, move->partition, move->to.ids, move->to.count, dry_run, &error) ==
      CAIRN_OK) {
    rack_note_tell(move->cli, move->to.ids, move->to.count);
    return CLI_OK;
  }
  return report_error(move->cli, &error, subject_of(move), "cannot move partition %u of \"%s\"", move->partition, move->topic);
}

static int move_run(struct cli *cli) {
  struct move move = {.cli = cli, .topic = cli->operands[0]};
  bool dry_run = cli_flag(cli, "dry-run"), cancels = cli_flag(cli, "cancel"), under_way = true;
  int code = cli_operand_partition(cli, 1, &move.partition);
  if (code == CLI_OK && cancels && cli_option(cli, "to") != NULL)
    code = report_usage(cli, "--cancel takes the move back that is under way: leave out --to");
  if (code == CLI_OK && !cancels) code = read_brokers(cli, &move.to);
  if (code == CLI_OK) code = cli_connect(cli);
  if (code == CLI_OK) code = cancels ? take_back(&move, dry_run, &under_way) : begin(&move, dry_run);
  if (code != CLI_OK) return code;
  brokers_text(&move.to, move.to_text);
  if (!under_way) return print_state(&move, "arrived", "is not on its way: it is on", "");
  if (dry_run && cancels) return print_state(&move, "validated", "could go back to", "");
  if (dry_run) return validate(&move);

  struct progress progress;
  progress_begin(&progress, world_now_ns(cli->world));
  enum stage stage = STAGE_MOVING;
  unsigned looks = 0;
  code = follow(&move, cli_flag(cli, "wait"), &progress, &stage, &looks);
  if (code != CLI_OK) return code;
  if (stage == STAGE_MOVING) return print_state(&move, "moving", "is on its way to", "");
  if (looks == 1) return print_state(&move, "arrived", "is on", " already");
  return print_state(&move, "arrived", "has moved to", "");
}

static const struct option move_options[] = {
    {"to", 0, "BROKERS", "the brokers that are to have it; the first is to lead"},
    {"wait", 0, NULL, "until it has arrived"},
    {"dry-run", 0, NULL, "check everything, change nothing"},
    {"cancel", 0, NULL, "take the move back that is under way: it stays where it was"},
    {NULL, 0, NULL, NULL},
};

static const char *const move_examples[] = {
    "Partition 0 of orders goes to brokers 2, 3 and 4, and leaves every other",
    "cairn partition move orders 0 --to 2,3,4 --wait",
    "A move is taken back: the partition stays where it was",
    "cairn partition move orders 0 --cancel",
    NULL,
};

const struct command partition_move_command = {
    .noun = "partition",
    .verb = "move",
    .alias = "reassign",
    .operands = "TOPIC PARTITION",
    .operands_min = 2,
    .operands_max = 2,
    .summary = "Give a partition other replicas",
    .changes = CHANGES_TOPICS,
    .details =
        "It is read and appended to all the while. New replicas get the records from its leader before they count; old ones are\n"
        "given up when all new ones are in, so all brokers that are named must be up. cairn topic describe shows where "
        "partitions\n"
        "are, and where they are going. --wait has no end of its own: Ctrl-C ends it, and the move goes on.\n",
    .options = move_options,
    .examples = move_examples,
    .run = move_run,
};
