#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/world.h"
#include "clients/cli/commands.h"
#include "clients/cli/leads.h"
#include "clients/cli/output.h"
#include "clients/cli/report.h"
#include "clients/cli/standing.h"
#include "clients/cli/table.h"
#include "clients/cli/terminal.h"
#include "clients/cli/work.h"

#define LOOKS_EMPTY 2u /* in a row: one look at who leads what may miss what is on its way */
#define TEXT_SIZE 512u

/* What is asked for: a broker is to have this standing, for as long as it has it this command speaks of it. */
struct wish {
  struct cli *cli;
  enum cairn_broker_standing standing;
  const char *done;  /* "drained": what it is in the end */
  const char *going; /* "is drained": what goes on whether somebody waits or not */
  uint32_t broker;
  enum cairn_broker_standing now; /* as last seen */
  uint32_t replicas;
  struct leads leads;
  struct departure departure; /* as last seen; of broker 0: not seen */
};

/* ---- How it stands ---- */

static void broker_visit(void *context, const struct cairn_member *member) {
  struct wish *wish = context;
  wish->now = member->standing;
  wish->replicas = member->replicas;
}

/* Whoever leads the map answers: that a broker could be "in" changes nothing, and tells how it stands. */
static int look(struct wish *wish, struct cairn_error *error) {
  struct cairn_client *client = wish->cli->client;
  int code = cairn_broker_set_standing(client, wish->broker, CAIRN_BROKER_IN, true, broker_visit, wish, error);
  if (code == CAIRN_OK || strcmp(error->reason, "BROKER_GONE") != 0) return code;
  wish->now = CAIRN_BROKER_GONE;
  wish->replicas = 0;
  return CAIRN_OK;
}

static int report_unseen(const struct wish *wish, const struct cairn_error *error) {
  return report_error(wish->cli, error, (struct report_subject){0}, "cannot see how broker %u stands", wish->broker);
}

/* ---- What is said ---- */

static int print_state(const struct wish *wish, const char *state, const char *words) {
  if (!wish->cli->json) {
    output_printf(wish->cli->output, "broker %u %s\n", wish->broker, words);
    return CLI_OK;
  }
  json_t *object = json_pack("{s:I, s:s, s:s, s:I}", "broker_id", (json_int_t)wish->broker, "standing", standing_word(wish->now),
                             "state", state, "replicas", (json_int_t)wish->replicas);
  int code = table_print_json(wish->cli, object);
  json_decref(object);
  return code;
}

static int print_drained(const struct wish *wish) {
  char words[TEXT_SIZE];
  snprintf(words, sizeof words, "is drained: it leads nothing that another broker could lead");
  if (wish->leads.alone > 0)
    snprintf(
        words, sizeof words,
        "is drained, but for %u that nobody else could lead just now: they have no other replica on a live broker that may lead",
        wish->leads.alone);
  return print_state(wish, "drained", words);
}

static int print_gone(const struct wish *wish, bool already) {
  return print_state(wish, "gone", already ? "is gone already" : "is gone: it has no replica any more, and can be stopped");
}

static int report_interrupted(const struct wish *wish) {
  char what[TEXT_SIZE], why[TEXT_SIZE];
  snprintf(what, sizeof what, "waiting for broker %u was interrupted", wish->broker);
  snprintf(why, sizeof why, "it goes on: the broker %s whether somebody waits or not", wish->going);
  return report_failure(wish->cli, CLI_INTERRUPTED, "INTERRUPTED", what, why, "cairn broker list");
}

/* Somebody else asked for another standing. */
static int report_replaced(const struct wish *wish) {
  char what[TEXT_SIZE], why[TEXT_SIZE];
  snprintf(what, sizeof what, "broker %u is not %s", wish->broker, wish->done);
  snprintf(why, sizeof why, "something else was asked for meanwhile: it is \"%s\" now", standing_word(wish->now));
  return report_failure(wish->cli, CLI_PRECONDITION, "STANDING_REPLACED", what, why, "cairn broker list");
}

/* ---- Waiting ---- */

static void wait_a_while(const struct wish *wish, struct progress *progress) {
  char text[2 * TEXT_SIZE], departure[TEXT_SIZE];
  if (wish->standing == CAIRN_BROKER_LEAVING && wish->departure.broker_id == 0)
    snprintf(text, sizeof text, "broker %u is leaving, %u replica%s left to go to others", wish->broker, wish->replicas,
             wish->replicas == 1 ? "" : "s");
  else if (wish->standing == CAIRN_BROKER_LEAVING)
    snprintf(text, sizeof text, "broker %u is leaving, %s%s%s", wish->broker,
             work_departure_text(departure, sizeof departure, &wish->departure),
             wish->departure.stuck[0] == '\0' ? "" : "; waits: ", wish->departure.stuck);
  else snprintf(text, sizeof text, "broker %u still leads %u that others could lead", wish->broker, wish->leads.others);
  progress_wait(progress, world_now_ns(wish->cli->world), text);
}

/* How far it is. Only to be shown: where it cannot be seen nothing is. */
static void look_at_departure(struct wish *wish) {
  struct work work;
  wish->departure = (struct departure){0};
  if (work_look(wish->cli, &work, NULL) != CAIRN_OK) return;
  const struct departure *departure = work_departure(&work, wish->broker);
  if (departure != NULL) wish->departure = *departure;
  work_deinit(&work);
}

/* One look. `out_over`: what was asked for has come about; else it is on its way, or it was reported why not. */
static int look_at_end(struct wish *wish, bool *out_over) {
  struct cairn_error error;
  int code = look(wish, &error);
  if (terminal_interrupted()) return CLI_OK;
  if (code != CAIRN_OK) return report_unseen(wish, &error);
  *out_over = wish->now == CAIRN_BROKER_GONE;
  if (!*out_over && wish->standing == CAIRN_BROKER_LEAVING) look_at_departure(wish);
  if (*out_over || wish->standing == CAIRN_BROKER_LEAVING) return CLI_OK;
  code = leads_count(wish->cli, wish->broker, &wish->leads);
  if (terminal_interrupted()) return CLI_OK;
  *out_over = wish->leads.others == 0;
  return code;
}

static int wait_for_end(struct wish *wish) {
  struct progress progress;
  progress_begin(&progress, world_now_ns(wish->cli->world));
  for (unsigned empty = 0;;) {
    bool over = false;
    int code = look_at_end(wish, &over);
    empty = over ? empty + 1 : 0;
    bool gone = wish->now == CAIRN_BROKER_GONE;
    bool replaced = !gone && wish->now != wish->standing;
    bool ends = code != CLI_OK || replaced || gone || empty == LOOKS_EMPTY || terminal_interrupted();
    if (ends) progress_end(&progress);
    if (code != CLI_OK) return code;
    if (gone) return print_gone(wish, false);
    if (empty == LOOKS_EMPTY && !replaced) return print_drained(wish);
    if (terminal_interrupted()) return report_interrupted(wish);
    if (replaced) return report_replaced(wish);
    wait_a_while(wish, &progress);
  }
}

/* ---- What both commands do ---- */

/* Each takes back only what itself asks for: a broker that leaves leads nothing anyway, and is not to stay because somebody drained it. */
static int refuse_other(const struct wish *wish, bool undo) {
  bool leaves = wish->now == CAIRN_BROKER_LEAVING;
  char what[TEXT_SIZE], why[TEXT_SIZE], try_this[TEXT_SIZE];
  snprintf(what, sizeof what, "broker %u is not %s", wish->broker, undo ? "to be \"in\" again" : wish->done);
  if (wish->now == CAIRN_BROKER_GONE) {
    snprintf(why, sizeof why, "it is gone: it has no replica, and its directory is no part of the cluster");
    snprintf(try_this, sizeof try_this, "start it with an empty directory: it comes in again");
    return report_failure(wish->cli, CLI_NOT_FOUND, "NOT_FOUND", what, why, try_this);
  }
  snprintf(why, sizeof why,
           leaves ? "it is about to leave the cluster, and leads nothing as it is" : "it is not leaving: it is drained");
  snprintf(try_this, sizeof try_this, "cairn broker %s %u --undo", leaves ? "decommission" : "drain", wish->broker);
  return report_failure(wish->cli, CLI_PRECONDITION, leaves ? "BROKER_LEAVES" : "BROKER_DRAINED", what, why, try_this);
}

static bool is_refused(const struct wish *wish, bool undo) {
  if (wish->now == CAIRN_BROKER_GONE) return true;
  if (wish->standing == CAIRN_BROKER_DRAINED) return wish->now == CAIRN_BROKER_LEAVING;
  return undo && wish->now == CAIRN_BROKER_DRAINED;
}

static int set(struct wish *wish, enum cairn_broker_standing standing, bool dry_run) {
  struct cairn_error error;
  if (cairn_broker_set_standing(wish->cli->client, wish->broker, standing, dry_run, broker_visit, wish, &error) == CAIRN_OK)
    return CLI_OK;
  if (strcmp(error.reason, "TOO_FEW_BROKERS") != 0)
    return report_error(wish->cli, &error, (struct report_subject){0}, "cannot change how broker %u stands", wish->broker);
  char what[TEXT_SIZE];
  snprintf(what, sizeof what, "broker %u cannot leave", wish->broker);
  return report_failure(wish->cli, report_exit_code(&error), error.reason, what, error.message,
                        "start another broker, or give these partitions fewer replicas: cairn partition move --help");
}

static int undo(struct wish *wish, bool dry_run) {
  if (wish->now == CAIRN_BROKER_IN) return print_state(wish, dry_run ? "validated" : "in", "is \"in\" already");
  int code = set(wish, CAIRN_BROKER_IN, dry_run);
  if (code != CLI_OK) return code;
  if (dry_run) return print_state(wish, "validated", "could be \"in\" again");
  return print_state(wish, "in", "is \"in\" again: it may lead, and gets replicas");
}

static int print_begun(const struct wish *wish, bool dry_run) {
  char words[TEXT_SIZE];
  if (wish->standing == CAIRN_BROKER_DRAINED)
    return dry_run ? print_state(wish, "validated", "could be drained")
                   : print_state(wish, "draining", "is being drained: others take over what it leads");
  const char *plural = wish->replicas == 1 ? "" : "s";
  snprintf(words, sizeof words,
           dry_run ? "could leave: %u replica%s would go to others" : "is leaving: %u replica%s go%s to others", wish->replicas,
           plural, wish->replicas == 1 ? "es" : "");
  return print_state(wish, dry_run ? "validated" : "leaving", words);
}

static int run(struct wish *wish) {
  struct cli *cli = wish->cli;
  bool undone = cli_flag(cli, "undo"), dry_run = cli_flag(cli, "dry-run"), waits = cli_flag(cli, "wait");
  int code = cli_operand_broker(cli, 0, &wish->broker);
  if (code == CLI_OK && waits && (undone || dry_run))
    code = report_usage(cli, "there is nothing to --wait for with --%s", undone ? "undo" : "dry-run");
  if (code == CLI_OK) code = cli_connect(cli);
  if (code != CLI_OK) return code;
  struct cairn_error error;
  if (look(wish, &error) != CAIRN_OK) return report_unseen(wish, &error);
  bool leave = wish->standing == CAIRN_BROKER_LEAVING && !undone;
  if (leave && wish->now == CAIRN_BROKER_GONE) return print_gone(wish, true);
  if (is_refused(wish, undone)) return refuse_other(wish, undone);
  if (undone) return undo(wish, dry_run);
  code = set(wish, wish->standing, dry_run);
  if (code != CLI_OK) return code;
  return waits ? wait_for_end(wish) : print_begun(wish, dry_run);
}

static const struct option standing_options[] = {
    {"wait", 0, NULL, "until it has come about"},
    {"undo", 0, NULL, "take it back: the broker is \"in\" again"},
    {"dry-run", 0, NULL, "check everything, change nothing"},
    {NULL, 0, NULL, NULL},
};

/* ---- drain ---- */

static int drain_run(struct cli *cli) {
  struct wish wish = {
      .cli = cli, .standing = CAIRN_BROKER_DRAINED, .done = "drained", .going = "hands over what others can lead"};
  return run(&wish);
}

static const char *const drain_examples[] = {
    "Before broker 2 is stopped for maintenance: nobody waits for an election then",
    "cairn broker drain 2 --wait",
    "When it is up again",
    "cairn broker drain 2 --undo",
    NULL,
};

const struct command broker_drain_command = {
    .noun = "broker",
    .verb = "drain",
    .also = "cluster drain",
    .operands = "BROKER",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Let a broker lead nothing, for maintenance",
    .changes = CHANGES_BROKERS,
    .details = "It keeps its replicas, and others lead what they can, until --undo, over restarts too. What has no other live "
               "replica it\n"
               "goes on leading. --wait ends when it leads nothing else; Ctrl-C ends the wait, and the drain goes on.\n",
    .options = standing_options,
    .examples = drain_examples,
    .run = drain_run,
};

/* ---- decommission ---- */

static int decommission_run(struct cli *cli) {
  struct wish wish = {.cli = cli, .standing = CAIRN_BROKER_LEAVING, .done = "leaving", .going = "is emptied, and then gone,"};
  return run(&wish);
}

static const char *const decommission_examples[] = {
    "Could broker 3 leave?",
    "cairn broker decommission 3 --dry-run",
    "Its replicas go to others, and it is gone when it has none",
    "cairn broker decommission 3 --wait",
    "It stays after all; what has moved by now stays where it is",
    "cairn broker decommission 3 --undo",
    NULL,
};

const struct command broker_decommission_command = {
    .noun = "broker",
    .verb = "decommission",
    .alias = "remove",
    .also = "cluster decommission",
    .operands = "BROKER",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Move a broker's replicas to others, then let it go",
    .changes = CHANGES_BROKERS,
    .details =
        "Partitions are appended to and read all the while. A broker that is dead can leave as well: its replicas are made anew\n"
        "from the others. When it is gone, stop it; its number may come back, with an empty directory. --wait has no end of its\n"
        "own: Ctrl-C ends it, and the broker goes on leaving.\n",
    .options = standing_options,
    .examples = decommission_examples,
    .run = decommission_run,
};
