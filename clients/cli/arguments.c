#include "clients/cli/arguments.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "clients/cli/commands.h"
#include "clients/cli/quantity.h"
#include "clients/cli/report.h"

#define TIMEOUT_MS_DEFAULT 30000
#define TIMEOUT_MS_MAX (UINT32_MAX / 2)

enum global { GLOBAL_SERVER, GLOBAL_OUTPUT, GLOBAL_TIMEOUT, GLOBAL_HELP, GLOBAL_COUNT };

const struct option global_options[] = {
    [GLOBAL_SERVER] = {"server", 's', "HOST:PORT",
                       "the broker; several with commas (environment: CAIRN_SERVER; default 127.0.0.1:7411)"},
    [GLOBAL_OUTPUT] = {"output", 'o', "FORMAT", "table (default) or json"},
    [GLOBAL_TIMEOUT] = {"timeout", 0, "TIME", "how long one request may take: 500ms, 30s (default), 5m"},
    [GLOBAL_HELP] = {"help", 'h', NULL, "this text"},
    {NULL, 0, NULL, NULL},
};

struct parse {
  struct cli *cli;
  const char *globals[GLOBAL_COUNT];
  const char *words[2 + CLI_OPERANDS_MAX + 1];
  unsigned word_count;
};

/* ---- Options ---- */

static const struct option *find_option(const struct option *options, const char *name, size_t size, char letter) {
  for (; options != NULL && options->name != NULL; options++) {
    if (letter != 0 && options->letter == letter) return options;
    if (letter == 0 && strlen(options->name) == size && memcmp(options->name, name, size) == 0) return options;
  }
  return NULL;
}

/* Where the value of an option goes, or NULL when neither the command nor everybody has it. */
static const char **slot_of(struct parse *parse, const char *name, size_t size, char letter, const struct option **out_option) {
  const struct command *command = parse->cli->command;
  const struct option *option = command == NULL ? NULL : find_option(command->options, name, size, letter);
  if (option != NULL) {
    *out_option = option;
    CHECK((size_t)(option - command->options) < CLI_OPTIONS_MAX);
    return &parse->cli->values[option - command->options];
  }
  option = find_option(global_options, name, size, letter);
  *out_option = option;
  return option == NULL ? NULL : &parse->globals[option - global_options];
}

/* One option; `*index` moves on when its value is the next word. */
static int take_option(struct parse *parse, int argc, char *const *argv, int *index) {
  const char *word = argv[*index];
  bool is_long = word[1] == '-';
  const char *name = is_long ? word + 2 : word + 1;
  size_t size = is_long ? strcspn(name, "=") : 1;
  const char *attached = name[size] == '\0' ? NULL : name + size + (is_long ? 1 : 0);
  const struct option *option = NULL;
  const char **slot = slot_of(parse, name, size, is_long ? 0 : *name, &option);
  if (slot == NULL) return report_usage(parse->cli, "there is no option %.*s", (int)(size + (is_long ? 2 : 1)), word);
  if (option->argument == NULL) {
    if (attached != NULL) return report_usage(parse->cli, "--%s takes no value", option->name);
    *slot = "";
    return CLI_OK;
  }
  if (attached == NULL) {
    if (++*index >= argc) return report_usage(parse->cli, "--%s needs a value: %s", option->name, option->argument);
    attached = argv[*index];
  }
  *slot = attached;
  return CLI_OK;
}

/* ---- Which command? Its words are the first that are no options and no options' values ---- */

static bool takes_next(const char *word) {
  if (word[1] != '-' && word[2] != '\0') return false;
  if (word[1] == '-' && strchr(word, '=') != NULL) return false;
  const char *name = word[1] == '-' ? word + 2 : word + 1;
  const struct option *option = find_option(global_options, name, strlen(name), word[1] == '-' ? 0 : *name);
  return option != NULL && option->argument != NULL;
}

static void find_words(int argc, char *const *argv, const char *out_words[2]) {
  unsigned count = 0;
  for (int i = 1; i < argc && count < 2; i++) {
    if (argv[i][0] != '-' || argv[i][1] == '\0') out_words[count++] = argv[i];
    else if (count == 0 && takes_next(argv[i])) i++;
    else if (count == 1) return; /* options of a command follow its words */
  }
}

static int unknown_command(const struct cli *cli, const char *noun, const char *verb) {
  const struct command *nearest = command_nearest(noun, verb);
  const char *gap = verb == NULL ? "" : " ";
  const char *word = verb == NULL ? "" : verb;
  if (nearest == NULL) return report_usage(cli, "there is no command \"%s%s%s\"", noun, gap, word);
  return report_usage(cli, "there is no command \"%s%s%s\"; did you mean \"%s%s%s\"?", noun, gap, word, nearest->noun,
                      nearest->verb == NULL ? "" : " ", nearest->verb == NULL ? "" : nearest->verb);
}

static int find_command(struct cli *cli, int argc, char *const *argv, unsigned *out_words_used) {
  const char *words[2] = {NULL, NULL};
  find_words(argc, argv, words);
  *out_words_used = 0;
  if (words[0] == NULL) {
    cli->help = true;
    return CLI_OK;
  }
  cli->command = command_find(words[0], words[1]);
  if (cli->command == NULL) {
    bool known = command_noun_known(words[0]);
    if (known) cli->noun = words[0];
    if (!known || words[1] != NULL) return unknown_command(cli, words[0], words[1]);
    cli->help = true; /* a noun alone: its verbs */
    cli->operands[cli->operand_count++] = words[0];
    return CLI_OK;
  }
  *out_words_used = cli->command->verb == NULL ? 1 : 2;
  return CLI_OK;
}

/* ---- All of it ---- */

static int take_globals(struct parse *parse, const char *environment_server) {
  struct cli *cli = parse->cli;
  cli->server = CAIRN_DEFAULT_SERVER;
  if (environment_server != NULL && environment_server[0] != '\0') cli->server = environment_server;
  if (parse->globals[GLOBAL_SERVER] != NULL) {
    cli->server = parse->globals[GLOBAL_SERVER];
    cli->server_given = true;
  }
  cli->help |= parse->globals[GLOBAL_HELP] != NULL;
  const char *output = parse->globals[GLOBAL_OUTPUT];
  if (output != NULL && strcmp(output, "json") != 0 && strcmp(output, "table") != 0) {
    return report_usage(cli, "-o is \"%s\"; it can be table or json", output);
  }
  cli->json = output != NULL && strcmp(output, "json") == 0;
  int64_t timeout_ms = TIMEOUT_MS_DEFAULT;
  const char *timeout = parse->globals[GLOBAL_TIMEOUT];
  enum status status = timeout == NULL ? STATUS_OK : quantity_parse_duration_ms(timeout, &timeout_ms);
  if (status == STATUS_INVALID) return report_usage(cli, "--timeout is \"%s\"; it should look like 500ms, 30s or 5m", timeout);
  if (status != STATUS_OK || timeout_ms < 1 || timeout_ms > TIMEOUT_MS_MAX)
    return report_usage(cli, "--timeout is %s; it can be 1ms to %us", timeout, TIMEOUT_MS_MAX / 1000);
  cli->timeout_ms = (uint32_t)timeout_ms;
  return CLI_OK;
}

static int take_operands(struct parse *parse, unsigned words_used) {
  struct cli *cli = parse->cli;
  for (unsigned i = words_used; i < parse->word_count; i++) {
    if (cli->operand_count == cli->command->operands_max)
      return report_usage(cli, "\"%s\" is one word too many", parse->words[i]);
    cli->operands[cli->operand_count++] = parse->words[i];
  }
  if (cli->operand_count >= cli->command->operands_min || cli->help) return CLI_OK;
  return report_usage(cli, "%s is missing", cli->command->operands);
}

int arguments_parse(struct cli *cli, int argc, char *const *argv, const char *environment_server) {
  struct parse parse = {.cli = cli};
  unsigned words_used = 0;
  if (argc == 2 && strcmp(argv[1], "--version") == 0) {
    cli->command = command_find("version", NULL);
    cli->server = CAIRN_DEFAULT_SERVER;
    return CLI_OK;
  }
  int code = find_command(cli, argc, argv, &words_used);
  if (code != CLI_OK) return code;
  bool options_over = false;
  for (int i = 1; i < argc; i++) {
    if (!options_over && strcmp(argv[i], "--") == 0) {
      options_over = true;
    } else if (!options_over && argv[i][0] == '-' && argv[i][1] != '\0') {
      code = take_option(&parse, argc, argv, &i);
      if (code != CLI_OK) return code;
    } else if (parse.word_count == sizeof parse.words / sizeof parse.words[0]) {
      return report_usage(cli, "\"%s\" is one word too many", argv[i]);
    } else {
      parse.words[parse.word_count++] = argv[i];
    }
  }
  code = take_globals(&parse, environment_server);
  if (code != CLI_OK || cli->command == NULL) return code;
  return take_operands(&parse, words_used);
}

/* ---- By name ---- */

const char *cli_option(const struct cli *cli, const char *name) {
  const struct option *option = find_option(cli->command->options, name, strlen(name), 0);
  CHECK_MSG(option != NULL, "no option --%s", name);
  return cli->values[option - cli->command->options];
}

bool cli_flag(const struct cli *cli, const char *name) { return cli_option(cli, name) != NULL; }

int cli_operand_partition(const struct cli *cli, unsigned operand, uint32_t *out_partition) {
  int64_t number = 0;
  if (quantity_parse_number(cli->operands[operand], &number) != STATUS_OK || number < 0 || number > INT32_MAX)
    return report_usage(cli, "\"%s\" is not the number of a partition", cli->operands[operand]);
  *out_partition = (uint32_t)number;
  return CLI_OK;
}

int cli_operand_broker(const struct cli *cli, unsigned operand, uint32_t *out_broker) {
  int64_t number = 0;
  if (quantity_parse_number(cli->operands[operand], &number) != STATUS_OK || number < 1 || number > UINT32_MAX)
    return report_usage(cli, "\"%s\" is not the number of a broker, as cairn broker list shows them", cli->operands[operand]);
  *out_broker = (uint32_t)number;
  return CLI_OK;
}

/* How an option's value is written. */
struct quantity {
  enum status (*parse)(const char *text, int64_t *out);
  const char *example;
  const char *unit; /* of its bounds */
};

static int option_quantity(const struct cli *cli, const char *name, const struct quantity *quantity, const int64_t bounds[2],
                           int64_t *out) {
  const char *text = cli_option(cli, name);
  if (text == NULL) return CLI_OK;
  int64_t value = 0;
  enum status status = quantity->parse(text, &value);
  if (status == STATUS_INVALID) return report_usage(cli, "--%s is \"%s\"; it should look like %s", name, text, quantity->example);
  if (status != STATUS_OK || value < bounds[0] || value > bounds[1]) {
    return report_usage(cli, "--%s is %s; it can be %lld to %lld%s", name, text, (long long)bounds[0], (long long)bounds[1],
                        quantity->unit);
  }
  *out = value;
  return CLI_OK;
}

int cli_option_number(const struct cli *cli, const char *name, int64_t min, int64_t max, int64_t *out) {
  static const struct quantity number = {quantity_parse_number, "42", ""};
  return option_quantity(cli, name, &number, (const int64_t[]){min, max}, out);
}

int cli_option_bytes(const struct cli *cli, const char *name, int64_t min, int64_t max, int64_t *out) {
  static const struct quantity bytes = {quantity_parse_bytes, "65536, 64KiB or 1MiB", " bytes"};
  return option_quantity(cli, name, &bytes, (const int64_t[]){min, max}, out);
}

int cli_option_brokers(const struct cli *cli, const char *name, size_t max, uint32_t *out_brokers, size_t *out_count) {
  const char *text = cli_option(cli, name), *at = text;
  if (text == NULL) return CLI_OK;
  for (size_t count = 0; count < max;) {
    char *end = NULL;
    unsigned long long broker = strtoull(at, &end, 10);
    if (end == at || broker == 0 || broker > INT32_MAX || (*end != '\0' && *end != ',')) break;
    out_brokers[count++] = (uint32_t)broker;
    *out_count = count;
    if (*end == '\0') return CLI_OK;
    at = end + 1;
  }
  return report_usage(cli, "\"%s\" is not a list of 1 to %zu brokers, as in --%s 2,3,4", text, max, name);
}

int cli_option_duration_ms(const struct cli *cli, const char *name, int64_t min, int64_t max, int64_t *out) {
  static const struct quantity duration = {quantity_parse_duration_ms, "250ms, 30s, 15m, 12h or 7d", " ms"};
  return option_quantity(cli, name, &duration, (const int64_t[]){min, max}, out);
}
