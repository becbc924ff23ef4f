#include <stdlib.h>
#include <time.h>

#include "clients/cli/commands.h"
#include "clients/cli/output.h"
#include "clients/cli/report.h"

#define LOOK_NS 200000000

/* "2,3,4". */
static int read_brokers(const struct cli *cli, uint32_t out_brokers[CAIRN_REPLICAS_MAX], size_t *out_count) {
  const char *text = cli_option(cli, "to");
  if (text == NULL) return report_usage(cli, "--to BROKERS is missing");
  for (const char *at = text; *out_count < CAIRN_REPLICAS_MAX;) {
    char *end = NULL;
    unsigned long long broker = strtoull(at, &end, 10);
    if (end == at || broker == 0 || broker > INT32_MAX || (*end != '\0' && *end != ',')) break;
    out_brokers[(*out_count)++] = (uint32_t)broker;
    if (*end == '\0') return CLI_OK;
    at = end + 1;
  }
  return report_usage(cli, "\"%s\" is not a list of 1 to %u brokers, as in --to 2,3,4", text, CAIRN_REPLICAS_MAX);
}

struct arrival {
  uint32_t partition;
  bool moving;
};

static void arrival_visit(void *context, const struct cairn_partition *partition) {
  struct arrival *arrival = context;
  if (partition->partition == arrival->partition) arrival->moving = partition->moving_to_count > 0;
}

static int wait_for_arrival(const struct cli *cli, const char *topic, uint32_t partition) {
  struct arrival arrival = {.partition = partition, .moving = true};
  struct cairn_error error;
  for (;;) {
    if (cairn_topic_describe(cli->client, topic, NULL, arrival_visit, &arrival, &error) != CAIRN_OK)
      return report_error(cli, &error, (struct report_subject){.topic = topic, .has_partition = true, .partition = partition},
                          "cannot see how far partition %u of \"%s\" is", partition, topic);
    if (!arrival.moving) return CLI_OK;
    nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
  }
}

static int move_run(struct cli *cli) {
  uint32_t partition = 0;
  uint32_t brokers[CAIRN_REPLICAS_MAX];
  size_t count = 0;
  int code = cli_operand_partition(cli, 1, &partition);
  if (code == CLI_OK) code = read_brokers(cli, brokers, &count);
  if (code == CLI_OK) code = cli_connect(cli);
  if (code != CLI_OK) return code;
  const char *topic = cli->operands[0];
  bool dry_run = cli_flag(cli, "dry-run");
  bool waits = cli_flag(cli, "wait") && !dry_run;
  struct cairn_error error;
  if (cairn_partition_move(cli->client, topic, partition, brokers, count, dry_run, &error) != CAIRN_OK) {
    return report_error(cli, &error, (struct report_subject){.topic = topic, .has_partition = true, .partition = partition},
                        "cannot move partition %u of \"%s\"", partition, topic);
  }
  if (waits) code = wait_for_arrival(cli, topic, partition);
  if (code != CLI_OK) return code;
  const char *state = dry_run ? "could move" : waits ? "has moved" : "is on its way";
  if (cli->json) output_printf(cli->output, "{\"arrived\": %s}\n", waits ? "true" : "false");
  else output_printf(cli->output, "partition %u of %s %s to %s\n", partition, topic, state, cli_option(cli, "to"));
  return CLI_OK;
}

static const struct option move_options[] = {
    {"to", 0, "BROKERS", "the brokers that are to have it; the first is to lead"},
    {"wait", 0, NULL, "until it has arrived"},
    {"dry-run", 0, NULL, "check everything, change nothing"},
    {NULL, 0, NULL, NULL},
};

static const char *const move_examples[] = {
    "Partition 0 of orders goes to brokers 2, 3 and 4, and leaves every other",
    "cairn partition move orders 0 --to 2,3,4 --wait",
    "A move is called off by moving it back",
    "cairn partition move orders 0 --to 1,2,3",
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
    .details =
        "It is read and appended to all the while. New replicas get the records from its leader before they count; old ones are\n"
        "given up when all new ones are in. cairn topic describe shows where partitions are, and where they are going.\n",
    .options = move_options,
    .examples = move_examples,
    .run = move_run,
};
