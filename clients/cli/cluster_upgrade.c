#include <jansson.h>
#include <string.h>

#include "clients/cli/commands.h"
#include "clients/cli/output.h"
#include "clients/cli/report.h"
#include "clients/cli/table.h"

static int report_not_raised(struct cli *cli, const struct cairn_error *error) {
  if (strcmp(error->reason, "FEATURE_LEVEL") != 0)
    return report_error(cli, error, (struct report_subject){0}, "cannot raise the cluster's feature level");
  return report_failure(cli, report_exit_code(error), error->reason, "the cluster's feature level stays as it is", error->message,
                        "cairn broker list shows what each broker can; --to LEVEL asks for a lower one");
}

static int print_level(struct cli *cli, bool dry_run, uint32_t before, uint32_t level) {
  const char *state = level == before ? "unchanged" : dry_run ? "validated" : "raised";
  if (cli->json) {
    json_t *object = json_pack("{s:s, s:I, s:I}", "state", state, "level_before", (json_int_t)before, "level", (json_int_t)level);
    int code = table_print_json(cli, object);
    json_decref(object);
    return code;
  }
  if (level == before) output_printf(cli->output, "the cluster is at feature level %u already\n", level);
  else if (dry_run)
    output_printf(cli->output, "the cluster is at feature level %u, and could be raised to %u: all its brokers can\n", before,
                  level);
  else output_printf(cli->output, "the cluster is at feature level %u now; before at %u\n", level, before);
  return CLI_OK;
}

static int upgrade_run(struct cli *cli) {
  int64_t wanted = 0;
  bool dry_run = cli_flag(cli, "dry-run");
  uint32_t before = 0, level = 0;
  struct cairn_error error;
  int code = cli_option_number(cli, "to", 1, UINT32_MAX, &wanted);
  if (code == CLI_OK) code = cli_connect(cli);
  if (code != CLI_OK) return code;
  if (cairn_feature_level_raise(cli->client, (uint32_t)wanted, dry_run, &before, &level, &error) != CAIRN_OK)
    return report_not_raised(cli, &error);
  return print_level(cli, dry_run, before, level);
}

static const struct option upgrade_options[] = {
    {"to", 0, "LEVEL", "this one (default: the highest that any broker can)"},
    {"dry-run", 0, NULL, "check everything, change nothing"},
    {NULL, 0, NULL, NULL},
};

static const char *const upgrade_examples[] = {
    "Could it be done, and who holds it back?",
    "cairn cluster upgrade --dry-run",
    "Every broker runs the new version, and the old one is not wanted back",
    "cairn cluster upgrade",
    NULL,
};

const struct command cluster_upgrade_command = {
    .noun = "cluster",
    .verb = "upgrade",
    .summary = "Raise the feature level, once every broker runs the new version",
    .changes = CHANGES_BROKERS,
    .details =
        "What a new version writes that older ones cannot read, it writes only from a feature level on that all brokers can. "
        "Until it is\n"
        "raised each broker can be run with the version before again; from then on it cannot: a level is never lowered. A "
        "new\n"
        "cluster begins with the highest. `cairn broker list` shows the levels that each broker can.\n",
    .options = upgrade_options,
    .examples = upgrade_examples,
    .run = upgrade_run,
};
