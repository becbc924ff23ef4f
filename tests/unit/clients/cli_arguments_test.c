#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "clients/cli/arguments.h"
#include "clients/cli/commands.h"
#include "clients/cli/offline.h"

#define WORDS_MAX 16

/* The offline commands are linked into the program from elsewhere; here they are only names. */
int offline_segment_dump(struct cli *cli) { return cli == NULL ? CLI_OK : CLI_FAILED; }
int offline_verify(struct cli *cli) { return cli == NULL ? CLI_OK : CLI_FAILED; }

/* `line` is split at blanks; ends up in *cli. Errors go to standard error, as they do for a user. */
static int parse(struct cli *cli, const char *line, const char *environment_server) {
  static char copy[256];
  static char *words[WORDS_MAX];
  int count = 0;
  snprintf(copy, sizeof copy, "%s", line);
  words[count++] = copy;
  for (char *at = copy; *at != '\0'; at++) {
    if (*at != ' ') continue;
    *at = '\0';
    words[count++] = at + 1;
  }
  *cli = (struct cli){0};
  return arguments_parse(cli, count, words, environment_server);
}

static void arguments_find_command_options_and_operands(void **state) {
  (void)state;
  struct cli cli;
  assert_int_equal(parse(&cli, "cairn --server h:1 topic create orders --partitions 8 --retention=7d -o json", NULL), CLI_OK);
  assert_ptr_equal(cli.command, &topic_create_command);
  assert_string_equal(cli.server, "h:1");
  assert_true(cli.server_given && cli.json);
  assert_string_equal(cli.operands[0], "orders");
  int64_t value = 0;
  assert_int_equal(cli_option_number(&cli, "partitions", 1, 100, &value), CLI_OK);
  assert_int_equal(value, 8);
  assert_int_equal(cli_option_duration_ms(&cli, "retention", -1, INT64_MAX, &value), CLI_OK);
  assert_int_equal(value, 604800000);
  assert_null(cli_option(&cli, "segment-bytes"));
  assert_false(cli_flag(&cli, "dry-run"));
}

static void arguments_take_a_negative_value_and_letters(void **state) {
  (void)state;
  struct cli cli;
  assert_int_equal(parse(&cli, "cairn read orders --from -10 -c5 -p 2 --follow", NULL), CLI_OK);
  assert_ptr_equal(cli.command, &read_command);
  assert_string_equal(cli_option(&cli, "from"), "-10");
  assert_string_equal(cli_option(&cli, "count"), "5");
  assert_string_equal(cli_option(&cli, "partition"), "2");
  assert_true(cli_flag(&cli, "follow"));
  assert_int_equal(cli.operand_count, 1);
  assert_int_equal(parse(&cli, "cairn append -- --strange", NULL), CLI_OK);
  assert_string_equal(cli.operands[0], "--strange");
}

static void arguments_know_aliases(void **state) {
  (void)state;
  struct cli cli;
  assert_int_equal(parse(&cli, "cairn produce t", NULL), CLI_OK);
  assert_ptr_equal(cli.command, &append_command);
  assert_int_equal(parse(&cli, "cairn consume t", NULL), CLI_OK);
  assert_ptr_equal(cli.command, &read_command);
  assert_int_equal(parse(&cli, "cairn topic ls", NULL), CLI_OK);
  assert_ptr_equal(cli.command, &topic_list_command);
  assert_int_equal(parse(&cli, "cairn topic rm t", NULL), CLI_OK);
  assert_ptr_equal(cli.command, &topic_delete_command);
}

static void arguments_prefer_flag_to_environment_to_default(void **state) {
  (void)state;
  struct cli cli;
  assert_int_equal(parse(&cli, "cairn topic list", NULL), CLI_OK);
  assert_string_equal(cli.server, CAIRN_DEFAULT_SERVER);
  assert_int_equal(parse(&cli, "cairn topic list", "env:2"), CLI_OK);
  assert_string_equal(cli.server, "env:2");
  assert_false(cli.server_given);
  assert_int_equal(parse(&cli, "cairn topic list -s flag:3", "env:2"), CLI_OK);
  assert_string_equal(cli.server, "flag:3");
  assert_int_equal(parse(&cli, "cairn topic list --timeout 5s", "env:2"), CLI_OK);
  assert_int_equal(cli.timeout_ms, 5000);
}

static void arguments_refuse_what_makes_no_sense(void **state) {
  (void)state;
  static const char *const lines[] = {
      "cairn frobnicate",        "cairn topic",
      "cairn topic frobnicate",  "cairn append",
      "cairn append a b",        "cairn read t --frobnicate",
      "cairn read t --from",     "cairn read t --follow=yes",
      "cairn topic list -o xml", "cairn topic list --timeout soon",
      "cairn read t -x",
  };
  struct cli cli;
  for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
    int expected = strcmp(lines[i], "cairn topic") == 0 ? CLI_OK : CLI_USAGE; /* a noun alone shows its verbs */
    assert_int_equal(parse(&cli, lines[i], NULL), expected);
  }
  int64_t value = 0;
  assert_int_equal(parse(&cli, "cairn topic create t --partitions 0", NULL), CLI_OK);
  assert_int_equal(cli_option_number(&cli, "partitions", 1, 100, &value), CLI_USAGE);
  assert_int_equal(parse(&cli, "cairn topic create t --partitions many", NULL), CLI_OK);
  assert_int_equal(cli_option_number(&cli, "partitions", 1, 100, &value), CLI_USAGE);
}

static void arguments_give_help_without_operands(void **state) {
  (void)state;
  struct cli cli;
  assert_int_equal(parse(&cli, "cairn append --help", NULL), CLI_OK);
  assert_true(cli.help);
  assert_int_equal(parse(&cli, "cairn --help", NULL), CLI_OK);
  assert_true(cli.help && cli.command == NULL);
}

/* Every row can be shown and completed: names are unique, examples are pairs, letters do not clash with everybody's. */
static void commands_are_well_formed(void **state) {
  (void)state;
  for (size_t i = 0; commands[i] != NULL; i++) {
    const struct command *command = commands[i];
    assert_non_null(command->summary);
    assert_non_null(command->run);
    assert_true(command->operands_max <= CLI_OPERANDS_MAX);
    assert_ptr_equal(command_find(command->noun, command->verb), command);
    for (size_t j = 0; command->options != NULL && command->options[j].name != NULL; j++) {
      assert_true(j < CLI_OPTIONS_MAX);
      for (size_t k = 0; global_options[k].name != NULL; k++) {
        assert_string_not_equal(command->options[j].name, global_options[k].name);
        if (command->options[j].letter != 0) assert_int_not_equal(command->options[j].letter, global_options[k].letter);
      }
    }
    for (const char *const *example = command->examples; example != NULL && example[0] != NULL; example += 2) {
      assert_non_null(strstr(example[1], "cairn "));
    }
  }
}

static void commands_go_by_another_noun_too(void **state) {
  (void)state;
  assert_ptr_equal(command_find("cluster", "brokers"), &broker_list_command);
  assert_ptr_equal(command_find("cluster", "drain"), &broker_drain_command);
  assert_ptr_equal(command_find("cluster", "decommission"), &broker_decommission_command);
  assert_ptr_equal(command_find("topic", "grow"), &topic_alter_command);
  assert_null(command_find("cluster", "drai"));
  assert_null(command_find("cluster", NULL));
  assert_null(command_find("cluster drain", "drain"));
}

static void commands_guess_what_was_meant(void **state) {
  (void)state;
  assert_ptr_equal(command_nearest("topic", "creat"), &topic_create_command);
  assert_ptr_equal(command_nearest("apend", NULL), &append_command);
  assert_ptr_equal(command_nearest("topics", "lst"), &topic_list_command);
  assert_null(command_nearest("frobnicate", NULL));
  assert_int_equal(words_distance("kitten", "sitting"), 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(arguments_find_command_options_and_operands),
      cmocka_unit_test(arguments_take_a_negative_value_and_letters),
      cmocka_unit_test(arguments_know_aliases),
      cmocka_unit_test(arguments_prefer_flag_to_environment_to_default),
      cmocka_unit_test(arguments_refuse_what_makes_no_sense),
      cmocka_unit_test(arguments_give_help_without_operands),
      cmocka_unit_test(commands_are_well_formed),
      cmocka_unit_test(commands_go_by_another_noun_too),
      cmocka_unit_test(commands_guess_what_was_meant),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
