#include "clients/cli/help.h"

#include <stdio.h>
#include <string.h>

#include "clients/cli/arguments.h"
#include "clients/cli/commands.h"
#include "clients/cli/output.h"
#include "clients/cli/report.h"

#define NAME_SIZE 128u

/* ---- Topics ---- */

struct topic {
  const char *name;
  const char *text;
};

static const struct topic topics[] = {
    {"format", "How `cairn read -f FORMAT` prints a record (the language of kcat):\n\n"
               "  %t  topic                 %k  key           %v or %s  value\n"
               "  %p  partition             %K  size of the key    %S  size of the value (-1: there is none)\n"
               "  %o  offset                %T  timestamp, ms since 1970\n"
               "  %h  headers, name=value,name=value          %%  a percent sign\n"
               "  %R  size of the value as four bytes, big endian, signed\n\n"
               "Escapes: \\n \\r \\t \\\\ \\xNN. Nothing is added: end the format with \\n for lines.\n\n"
               "  cairn read orders -f '%p:%o %k=%v\\n'\n"},
    {"positions",
     "Where `--from` and `--to` can stand:\n\n"
     "  start        the oldest record that is kept\n"
     "  end          behind the newest record\n"
     "  42           offset 42\n"
     "  -10          10 records before the end\n"
     "  @2024-05-01T10:00:00Z   the first record of that time or later; also @2024-05-01, which is its midnight\n"
     "                          Z or nothing is UTC, whatever the time here; @2024-05-01T12:00+02:00 is another zone's\n"
     "  @-15m        15 minutes ago (ms, s, m, h, d)\n"
     "  @1714557600000          ms since 1970\n\n"
     "`--to` ends before its position, and at the end of the log if that comes first; with --follow it is waited for.\n"},
    {"exit-codes", "  0    done\n"
                   "  1    failed\n"
                   "  2    the command line makes no sense\n"
                   "  3    there is no such thing\n"
                   "  4    it exists already, or another precondition does not hold\n"
                   "  5    not allowed\n"
                   "  6    no broker could do it now: unavailable, overloaded, or too late\n"
                   "  7    some of it was done\n"
                   "  8    a check found damage\n"
                   "  130  interrupted\n"},
    {"environment", "  CAIRN_SERVER  the broker, HOST:PORT (the flag --server wins; default 127.0.0.1:7411)\n"
                    "  NO_COLOR      no color, also on a terminal\n"},
    {NULL, NULL},
};

/* ---- Pages ---- */

static void name_of(const struct command *command, char name[NAME_SIZE]) {
  snprintf(name, NAME_SIZE, "%s%s%s", command->noun, command->verb == NULL ? "" : " ",
           command->verb == NULL ? "" : command->verb);
}

static void print_options(struct output *output, const struct option *options) {
  for (; options != NULL && options->name != NULL; options++) {
    char left[64];
    char letter[8] = "    ";
    if (options->letter != 0) snprintf(letter, sizeof letter, "-%c, ", options->letter);
    snprintf(left, sizeof left, "%s--%s%s%s", letter, options->name, options->argument == NULL ? "" : " ",
             options->argument == NULL ? "" : options->argument);
    output_printf(output, strlen(left) > 28 ? "  %s\n%32s%s\n" : "  %-28s  %s%s\n", left, "", options->help);
  }
}

static void print_examples(struct output *output, const struct command *command) {
  if (command->examples == NULL) return;
  output_printf(output, "\nExamples:\n");
  for (const char *const *example = command->examples; example[0] != NULL; example += 2) {
    output_printf(output, "  # %s\n  %s\n", example[0], example[1]);
  }
}

static void print_command(struct output *output, const struct command *command) {
  char name[NAME_SIZE];
  name_of(command, name);
  output_printf(output, "%s\n\nUsage: cairn %s%s%s%s\n", command->summary, name, command->operands == NULL ? "" : " ",
                command->operands == NULL ? "" : command->operands, command->options == NULL ? "" : " [OPTIONS]");
  if (command->alias != NULL) {
    output_printf(output, "Alias: cairn %s%s%s\n", command->verb == NULL ? "" : command->noun, command->verb == NULL ? "" : " ",
                  command->alias);
  }
  if (command->also != NULL) output_printf(output, "Also: cairn %s\n", command->also);
  print_examples(output, command);
  if (command->details != NULL) output_printf(output, "\n%s", command->details);
  if (command->options != NULL) {
    output_printf(output, "\nOptions:\n");
    print_options(output, command->options);
  }
  output_printf(output, "\nOptions of every command:\n");
  print_options(output, global_options);
  output_printf(output, "\nExit codes: `cairn help exit-codes`. Environment: `cairn help environment`.\n");
}

static void print_commands(struct output *output, const char *noun) {
  for (size_t i = 0; commands[i] != NULL; i++) {
    if (noun != NULL && strcmp(commands[i]->noun, noun) != 0) continue;
    char name[NAME_SIZE];
    name_of(commands[i], name);
    output_printf(output, "  %-20s  %s\n", name, commands[i]->summary);
  }
}

/* The verbs of a noun, and the first example of each. */
static void print_noun(struct output *output, const char *noun) {
  output_printf(output, "Commands:\n");
  print_commands(output, noun);
  output_printf(output, "\nExamples:\n");
  for (size_t i = 0; commands[i] != NULL; i++) {
    if (strcmp(commands[i]->noun, noun) != 0 || commands[i]->examples == NULL) continue;
    output_printf(output, "  # %s\n  %s\n", commands[i]->examples[0], commands[i]->examples[1]);
  }
  output_printf(output, "\nMore: `cairn %s VERB --help`.\n", noun);
}

static void print_overview(struct output *output) {
  output_printf(output, "cairn: the command line of a replicated commit log\n\n"
                        "Usage: cairn [--server HOST:PORT] [-o table|json] COMMAND ...\n\n"
                        "Begin with:\n"
                        "  cairn topic create orders --partitions 3\n"
                        "  echo hello | cairn append orders\n"
                        "  cairn read orders\n\n"
                        "Commands:\n");
  print_commands(output, NULL);
  output_printf(output, "\nMore: `cairn COMMAND --help`, and `cairn help` with");
  for (size_t i = 0; topics[i].name != NULL; i++) output_printf(output, "%s %s", i == 0 ? "" : ",", topics[i].name);
  output_printf(output, ".\n\nOptions of every command:\n");
  print_options(output, global_options);
}

int help_print(const struct cli *cli) {
  if (cli->command != NULL) {
    print_command(cli->output, cli->command);
  } else if (cli->operand_count > 0) {
    print_noun(cli->output, cli->operands[0]);
  } else {
    print_overview(cli->output);
  }
  return CLI_OK;
}

/* ---- cairn help, cairn version ---- */

static int help_run(struct cli *cli) {
  if (cli->operand_count == 0) {
    print_overview(cli->output);
    return CLI_OK;
  }
  for (size_t i = 0; topics[i].name != NULL; i++) {
    if (strcmp(topics[i].name, cli->operands[0]) != 0) continue;
    output_write(cli->output, topics[i].text, strlen(topics[i].text));
    return CLI_OK;
  }
  const struct command *command = command_find(cli->operands[0], cli->operand_count > 1 ? cli->operands[1] : NULL);
  if (command != NULL) {
    print_command(cli->output, command);
    return CLI_OK;
  }
  if (!command_noun_known(cli->operands[0])) return report_usage(cli, "there is no help about \"%s\"", cli->operands[0]);
  print_noun(cli->output, cli->operands[0]);
  return CLI_OK;
}

static const char *const help_examples[] = {
    "How records are printed", "cairn help format", "One command", "cairn help topic create", NULL,
};

const struct command help_command = {
    .noun = "help",
    .operands = "[COMMAND | format | positions | exit-codes | environment]",
    .operands_max = 2,
    .summary = "Explain a command or a topic",
    .examples = help_examples,
    .run = help_run,
};

static int version_run(struct cli *cli) {
  if (cli->json) output_printf(cli->output, "{\"version\": \"%s\"}\n", cairn_version());
  else output_printf(cli->output, "cairn %s\n", cairn_version());
  return CLI_OK;
}

const struct command version_command = {
    .noun = "version",
    .summary = "Print the version of this command",
    .run = version_run,
};
