#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "clients/cli/commands.h"
#include "clients/cli/output.h"
#include "clients/cli/quantity.h"
#include "clients/cli/report.h"
#include "clients/cli/table.h"

#define TEXT_SIZE 512u

struct transfer {
  struct cli *cli;
  const char *topic;
  uint32_t partition;
  uint32_t to;
  bool dry_run;
};

static int read_broker(const struct cli *cli, uint32_t *out_broker) {
  const char *text = cli_option(cli, "to");
  int64_t number = 0;
  if (text == NULL) return report_usage(cli, "--to BROKER is missing");
  if (quantity_parse_number(text, &number) != STATUS_OK || number < 1 || number > UINT32_MAX)
    return report_usage(cli, "\"%s\" is not the number of one broker, as in --to 2", text);
  *out_broker = (uint32_t)number;
  return CLI_OK;
}

static int report_not_transferred(const struct transfer *transfer, const struct cairn_error *error) {
  char what[CAIRN_NAME_MAX + 64], try_this[CAIRN_NAME_MAX + 64];
  bool cannot = strncmp(error->reason, "CANNOT_LEAD", strlen("CANNOT_LEAD")) == 0;
  struct report_subject subject = {.topic = transfer->topic, .has_partition = true, .partition = transfer->partition};
  snprintf(what, sizeof what, "cannot hand partition %u of \"%s\" to broker %u", transfer->partition, transfer->topic,
           transfer->to);
  if (!cannot) return report_error(transfer->cli, error, subject, "%s", what);
  snprintf(try_this, sizeof try_this, "cairn topic describe %s", transfer->topic);
  return report_failure(transfer->cli, report_exit_code(error), error->reason, what, error->message, try_this);
}

static const char *state_of(const struct transfer *transfer, const struct cairn_leadership *leadership) {
  if (leadership->leader_before == transfer->to) return "already";
  return transfer->dry_run ? "validated" : "transferred";
}

static int print_leadership(const struct transfer *transfer, const struct cairn_leadership *leadership) {
  struct output *output = transfer->cli->output;
  const char *state = state_of(transfer, leadership), *topic = transfer->topic;
  uint32_t partition = transfer->partition;
  if (transfer->cli->json) {
    json_t *object =
        json_pack("{s:s, s:I, s:I, s:I, s:s, s:I, s:s}", "topic", topic, "partition", (json_int_t)partition, "leader_before",
                  (json_int_t)leadership->leader_before, "leader_after", (json_int_t)leadership->leader_after, "leader",
                  leadership->leader, "term", (json_int_t)leadership->term, "state", state);
    int code = table_print_json(transfer->cli, object);
    json_decref(object);
    return code;
  }
  if (leadership->leader_before == transfer->to)
    output_printf(output, "partition %u of %s is led by broker %u already\n", partition, topic, transfer->to);
  else if (transfer->dry_run)
    output_printf(output, "partition %u of %s could be handed from broker %u to broker %u\n", partition, topic,
                  leadership->leader_before, transfer->to);
  else
    output_printf(output, "partition %u of %s is led by broker %u now, in term %llu; before by broker %u\n", partition, topic,
                  leadership->leader_after, (unsigned long long)leadership->term, leadership->leader_before);
  return CLI_OK;
}

static int transfer_run(struct cli *cli) {
  struct transfer transfer = {.cli = cli, .topic = cli->operands[0], .dry_run = cli_flag(cli, "dry-run")};
  int code = cli_operand_partition(cli, 1, &transfer.partition);
  if (code == CLI_OK) code = read_broker(cli, &transfer.to);
  if (code == CLI_OK) code = cli_connect(cli);
  if (code != CLI_OK) return code;
  struct cairn_leadership leadership;
  struct cairn_error error;
  if (cairn_partition_transfer(cli->client, transfer.topic, transfer.partition, transfer.to, transfer.dry_run, &leadership,
                               &error) != CAIRN_OK)
    return report_not_transferred(&transfer, &error);
  return print_leadership(&transfer, &leadership);
}

static const struct option transfer_options[] = {
    {"to", 0, "BROKER", "that is to lead it: one of its replicas"},
    {"dry-run", 0, NULL, "check everything, change nothing"},
    {NULL, 0, NULL, NULL},
};

static const char *const transfer_examples[] = {
    "Broker 2 leads partition 0 of orders from now on",
    "cairn partition transfer orders 0 --to 2",
    NULL,
};

const struct command partition_transfer_command = {
    .noun = "partition",
    .verb = "transfer",
    .operands = "TOPIC PARTITION",
    .operands_min = 2,
    .operands_max = 2,
    .summary = "Let another of its replicas lead a partition",
    .changes = CHANGES_TOPICS,
    .details =
        "It is over when that broker is seen to lead. Appends wait for some milliseconds; where they would wait longer, because "
        "that\n"
        "broker does not have the newest records yet, it is tried again until --timeout. The new leader stays, though the first\n"
        "replica is preferred, for the brokers' preferred-leaders-hold-ms (1 h), or until the leader or the replicas change.\n",
    .options = transfer_options,
    .examples = transfer_examples,
    .run = transfer_run,
};
