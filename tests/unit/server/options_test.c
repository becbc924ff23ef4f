/* Settings: where a value comes from, what is refused and with which words, and that what is printed can be read again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/status.h"
#include "server/options.h"

static struct options options;
static struct buffer problem;

static int setup(void **state) {
  (void)state;
  options_init(&options);
  buffer_init(&problem, 4096);
  return 0;
}
static int teardown(void **state) {
  (void)state;
  buffer_deinit(&problem);
  return 0;
}

static bool problem_has(const char *words) { return memmem(problem.data, problem.size, words, strlen(words)) != NULL; }

static enum status flags(const char *one, const char *two) {
  char *argv[] = {(char *)(uintptr_t) "cairnd", (char *)(uintptr_t)one, (char *)(uintptr_t)two, NULL};
  enum options_action action = OPTIONS_RUN;
  return options_read_flags(&options, two == NULL ? 2 : 3, argv, &action, &problem);
}
static enum status environment(const char *entry) {
  char *entries[] = {(char *)(uintptr_t) "PATH=/bin", (char *)(uintptr_t)entry, NULL};
  return options_read_environment(&options, entries, &problem);
}
static enum status file(const char *text) { return options_read_file(&options, "cairn.conf", bytes_of_string(text), &problem); }

static void defaults_go_together(void **state) {
  (void)state;
  assert_int_equal(options_check(&options, &problem), STATUS_OK);
  assert_string_equal(options.data_dir, "./cairn-data");
  assert_int_equal(options.journal_bytes, 512u << 20);
}

static void a_flag_is_read_in_both_forms(void **state) {
  (void)state;
  assert_int_equal(flags("--data-dir", "/a"), STATUS_OK);
  assert_string_equal(options.data_dir, "/a");
  assert_int_equal(flags("--data-dir=/b", NULL), STATUS_OK);
  assert_string_equal(options.data_dir, "/b");
  assert_int_equal(flags("--insecure", NULL), STATUS_OK);
  assert_true(options.insecure);
}

static void sizes_and_times_take_units(void **state) {
  (void)state;
  assert_int_equal(flags("--memory-bytes", "2GiB"), STATUS_OK);
  assert_int_equal(options.memory_bytes, 2ull << 30);
  assert_int_equal(flags("--drain-ms", "3m"), STATUS_OK);
  assert_int_equal(options.drain_ms, 180000);
  assert_int_equal(flags("--drain-ms", "250"), STATUS_OK);
  assert_int_equal(options.drain_ms, 250);
}

static void a_flag_beats_the_environment_beats_the_file(void **state) {
  (void)state;
  assert_int_equal(flags("--lanes", "3"), STATUS_OK);
  assert_int_equal(environment("CAIRN_LANES=2"), STATUS_OK);
  assert_int_equal(environment("CAIRN_READERS=5"), STATUS_OK);
  assert_int_equal(file("lanes = 1\nreaders = 6\nbroker-id = 9 # ours\n"), STATUS_OK);

  assert_int_equal(options.lanes, 3);
  assert_int_equal(options.readers, 5);
  assert_int_equal(options.broker_id, 9);
}

static void an_unknown_name_is_an_error_that_names_the_nearest(void **state) {
  (void)state;
  assert_int_equal(flags("--data-dri", "x"), STATUS_INVALID);
  assert_true(problem_has("\"data-dri\"") && problem_has("\"data-dir\""));
  buffer_reset(&problem);
  assert_int_equal(environment("CAIRN_DATADIR=x"), STATUS_INVALID);
  assert_true(problem_has("CAIRN_DATADIR") && problem_has("data-dir"));
  buffer_reset(&problem);
  assert_int_equal(flags("--bogus", "x"), STATUS_INVALID);
  assert_true(problem_has("\"bogus\"") && !problem_has("did you mean"));
  buffer_reset(&problem);
  assert_int_equal(file("\n\nlanez = 3\n"), STATUS_INVALID);
  assert_true(problem_has("cairn.conf:3") && problem_has("\"lanes\""));
}

static void what_others_put_into_the_environment_is_not_ours(void **state) {
  (void)state;
  assert_int_equal(environment("CAIRN_SERVER=127.0.0.1:7411"), STATUS_OK);
  assert_int_equal(environment("CAIRN_SERVICE_HOST=10.0.0.1"), STATUS_OK);
  assert_int_equal(environment("CAIRN_PORT_7411_TCP_ADDR=10.0.0.1"), STATUS_OK);
}

static void a_bad_value_is_an_error_that_names_the_bounds(void **state) {
  (void)state;
  static const char *const bad[] = {"0", "12x", "", "-1", "99999999999999999999", "1TiB", "2000GiB", "1.5GiB"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    buffer_reset(&problem);
    assert_int_equal(flags("--memory-bytes", bad[i]), STATUS_INVALID);
    assert_true(problem_has("memory-bytes") && problem_has("16MiB to 1024GiB"));
  }
  assert_int_equal(options.memory_bytes, 512u << 20);
}

static void a_bad_value_is_an_error_even_where_it_would_be_overridden(void **state) {
  (void)state;
  assert_int_equal(flags("--lanes", "3"), STATUS_OK);
  assert_int_equal(file("lanes = many"), STATUS_INVALID);
}

static void a_line_without_a_value_is_an_error(void **state) {
  (void)state;
  assert_int_equal(file("lanes\n"), STATUS_INVALID);
  assert_int_equal(flags("--lanes", NULL), STATUS_INVALID);
  assert_int_equal(flags("lanes", NULL), STATUS_INVALID);
}

static void a_file_names_no_other(void **state) {
  (void)state;
  assert_int_equal(file("config = other.conf\n"), STATUS_INVALID);
  assert_true(problem_has("cairn.conf:1: a file cannot name another") && !problem_has("did you mean"));
}

static void a_value_in_quotes_is_an_error(void **state) {
  (void)state;
  assert_int_equal(file("lanes = 2\ndata-dir = \"q\"\n"), STATUS_INVALID);
  assert_true(problem_has("cairn.conf:2: data-dir = \"q\" has quotes"));
  assert_int_equal(file("listen = '127.0.0.1:1'\n"), STATUS_INVALID);
  assert_string_equal(options.data_dir, "./cairn-data");
}

static void a_mark_in_front_of_a_file_is_passed_over(void **state) {
  (void)state;
  assert_int_equal(file("\xef\xbb\xbflanes = 2\n"), STATUS_OK);
  assert_int_equal(options.lanes, 2);
}

static void a_listener_beyond_loopback_wants_insecure_and_an_address(void **state) {
  (void)state;
  assert_int_equal(flags("--listen", "10.0.0.1:7411"), STATUS_OK);
  assert_int_equal(options_check(&options, &problem), STATUS_INVALID);
  assert_true(problem_has("--insecure"));
  assert_int_equal(flags("--insecure", NULL), STATUS_OK);
  assert_int_equal(options_check(&options, &problem), STATUS_OK);

  assert_int_equal(flags("--listen", "[::]:7411"), STATUS_OK);
  buffer_reset(&problem);
  assert_int_equal(options_check(&options, &problem), STATUS_INVALID);
  assert_true(problem_has("--advertise"));
  assert_int_equal(flags("--advertise", "db1.example:7411"), STATUS_OK);
  assert_int_equal(options_check(&options, &problem), STATUS_OK);
}

static void values_that_do_not_go_together_are_refused(void **state) {
  (void)state;
  assert_int_equal(flags("--journal-file-bytes", "256MiB"), STATUS_OK);
  assert_int_equal(options_check(&options, &problem), STATUS_INVALID);
  assert_true(problem_has("journal-bytes"));
}

static void a_ring_that_could_never_admit_a_whole_request_is_refused(void **state) {
  (void)state;
  assert_int_equal(flags("--journal-bytes", "6MiB"), STATUS_OK);
  assert_int_equal(flags("--journal-file-bytes", "1MiB"), STATUS_OK);
  assert_int_equal(flags("--journal-group-bytes", "64KiB"), STATUS_OK);
  assert_int_equal(options_check(&options, &problem), STATUS_INVALID);
  assert_true(problem_has("request-bytes-max"));
  assert_int_equal(flags("--request-bytes-max", "1MiB"), STATUS_OK);
  assert_int_equal(options_check(&options, &problem), STATUS_OK);
}

static void what_is_printed_can_be_read_again(void **state) {
  (void)state;
  assert_int_equal(flags("--memory-bytes", "123456789"), STATUS_OK);
  assert_int_equal(flags("--checkpoint-interval-ms", "90s"), STATUS_OK);
  struct buffer printed;
  buffer_init(&printed, 65536);

  options_print_config(&options, &printed);
  assert_non_null(memmem(printed.data, printed.size, "# flag", 6));
  struct options again;
  options_init(&again);
  assert_int_equal(options_read_file(&again, "printed", buffer_bytes(&printed), &problem), STATUS_OK);

  memcpy(again.origins, options.origins, sizeof again.origins);
  assert_memory_equal(&again, &options, sizeof again);
  buffer_deinit(&printed);
}

/* ---- Settings again ---- */

static unsigned told_taken, told_restart;
static char told[256];

static void tell(const struct option_change *change) {
  if (change->taken) told_taken++;
  else told_restart++;
  snprintf(told, sizeof told, "%s %.*s %.*s", change->name, (int)change->was.size, (const char *)change->was.data,
           (int)change->is.size, (const char *)change->is.data);
}

static void reload_takes_what_may_change_and_tells_the_rest(void **state) {
  (void)state;
  struct options fresh = options;
  told_taken = told_restart = 0;
  assert_int_equal(options_reload(&options, &fresh, tell).taken, 0);
  assert_int_equal(options_read_file(&fresh, "f", bytes_of_string("drain-ms = 3s\nlog-level = debug\n"), &problem), STATUS_OK);
  struct options_reloaded reloaded = options_reload(&options, &fresh, tell);
  assert_int_equal(reloaded.taken, 2);
  assert_int_equal(reloaded.need_restart, 0);
  assert_string_equal(told, "drain-ms 10s 3s");
  assert_memory_equal(&options, &fresh, sizeof options);

  assert_int_equal(options_read_file(&fresh, "f", bytes_of_string("data-dir = /elsewhere\n"), &problem), STATUS_OK);
  reloaded = options_reload(&options, &fresh, tell);
  assert_int_equal(reloaded.taken, 0);
  assert_int_equal(reloaded.need_restart, 1);
  assert_string_equal(told, "data-dir ./cairn-data /elsewhere");
  assert_string_equal(options.data_dir, "./cairn-data");
  assert_int_equal(told_taken, 2);
  assert_int_equal(told_restart, 1);
}

static void every_setting_is_in_the_help(void **state) {
  (void)state;
  struct buffer printed;
  buffer_init(&printed, 65536);

  options_print_help(&printed);

  assert_non_null(memmem(printed.data, printed.size, "--journal-bytes", 15));
  assert_non_null(memmem(printed.data, printed.size, "--print-config", 14));
  assert_non_null(memmem(printed.data, printed.size, "--retention-check-interval-ms", 29));
  buffer_deinit(&printed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static enum status checked(const char *peer_listen, const char *peer_advertise, const char *join) {
  options_init(&options);
  buffer_reset(&problem);
  snprintf(options.peer_listen, sizeof options.peer_listen, "%s", peer_listen);
  snprintf(options.peer_advertise, sizeof options.peer_advertise, "%s", peer_advertise);
  snprintf(options.join, sizeof options.join, "%s", join);
  return options_check(&options, &problem);
}

static void peers_are_told_an_address_they_can_use(void **state) {
  (void)state;
  char address[ADDRESS_TEXT_SIZE];
  assert_int_equal(checked("", "", ""), STATUS_OK);
  options_peer_address(&options, address);
  assert_string_equal(address, "");
  assert_int_equal(checked("127.0.0.1:7412", "", ""), STATUS_OK);
  options_peer_address(&options, address);
  assert_string_equal(address, "127.0.0.1:7412");
  assert_int_equal(checked("127.0.0.1:7412", "", "1=db1:7412,2=db2:7412"), STATUS_OK);
  options_peer_address(&options, address);
  assert_string_equal(address, "db1:7412");
  assert_int_equal(checked("127.0.0.1:7412", "db9:1", "2=db2:7412"), STATUS_OK);
  options_peer_address(&options, address);
  assert_string_equal(address, "db9:1");
}

static void whoever_joins_names_itself_too(void **state) {
  (void)state;
  struct join named;
  assert_int_equal(checked("127.0.0.1:7412", "db1:7412", "3=db3:7412,2=db2:7412"), STATUS_OK);
  options_named(&options, &named);
  assert_int_equal(named.count, 3);
  assert_int_equal(named.brokers[0].broker, 1);
  assert_string_equal(named.brokers[0].address, "db1:7412");
}

static void peers_that_make_no_sense_are_refused(void **state) {
  (void)state;
  static const struct {
    const char *peer_listen, *peer_advertise, *join, *words;
  } cases[] = {
      {"", "", "1=db1:7412", "join is given and peer-listen is not"},
      {"", "db1:7412", "", "peer-advertise is given and peer-listen is not"},
      {"7412", "", "", "peer-listen = \"7412\" is not HOST:PORT"},
      {"127.0.0.1:7411", "", "", "clients and brokers need a port each"},
      {"10.0.0.1:7412", "", "", "add --insecure"},
      {"127.0.0.1:0", "", "2=db2:7412", "nothing that other brokers could connect to; add --peer-advertise"},
      {"127.0.0.1:7412", "0.0.0.0:7412", "", "peer-advertise = \"0.0.0.0:7412\" is not an address"},
      {"127.0.0.1:7412", "db1:1", "1=db1:2", "join says that this broker, 1, is at db1:2, and peer-advertise says db1:1"},
      {"127.0.0.1:7412", "", "db1:7412", "join = \"db1:7412\" is not of the form"},
      {"127.0.0.1:7412", "", "2=a:1,3=b:1,4=c:1,5=d:1,6=e:1,7=f:1,8=g:1", "names 7 brokers, and this one is none of them"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    assert_int_equal(checked(cases[i].peer_listen, cases[i].peer_advertise, cases[i].join), STATUS_INVALID);
    if (!problem_has(cases[i].words)) fail_msg("%zu: %.*s", i, (int)problem.size, (const char *)problem.data);
  }
}

static enum status checked_rack(const char *rack) {
  options_init(&options);
  buffer_reset(&problem);
  snprintf(options.rack, sizeof options.rack, "%s", rack);
  return options_check(&options, &problem);
}

static void a_rack_is_a_short_name(void **state) {
  (void)state;
  char rack[RACK_TEXT_SIZE], longest[RACK_TEXT_SIZE + 1];
  memset(longest, 'x', sizeof longest);
  longest[RACK_TEXT_SIZE] = '\0';
  assert_int_equal(checked_rack(longest), STATUS_INVALID);
  longest[RACK_TEXT_SIZE - 1] = '\0';
  assert_int_equal(checked_rack(longest), STATUS_OK);
  options_rack(&options, rack);
  assert_string_equal(rack, longest);
  assert_int_equal(checked_rack(""), STATUS_OK);
  assert_int_equal(checked_rack("eu-west_1.a"), STATUS_OK);
  assert_int_equal(checked_rack("a b"), STATUS_INVALID);
  assert_true(problem_has("rack = \"a b\" is not a name of 1 to 63 characters of a-z A-Z 0-9 . _ -"));
  assert_int_equal(checked_rack("\xc3\xa4"), STATUS_INVALID);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(defaults_go_together),
      TEST(a_flag_is_read_in_both_forms),
      TEST(sizes_and_times_take_units),
      TEST(a_flag_beats_the_environment_beats_the_file),
      TEST(an_unknown_name_is_an_error_that_names_the_nearest),
      TEST(what_others_put_into_the_environment_is_not_ours),
      TEST(a_bad_value_is_an_error_that_names_the_bounds),
      TEST(a_bad_value_is_an_error_even_where_it_would_be_overridden),
      TEST(a_line_without_a_value_is_an_error),
      TEST(a_file_names_no_other),
      TEST(a_value_in_quotes_is_an_error),
      TEST(a_mark_in_front_of_a_file_is_passed_over),
      TEST(a_listener_beyond_loopback_wants_insecure_and_an_address),
      TEST(values_that_do_not_go_together_are_refused),
      TEST(a_ring_that_could_never_admit_a_whole_request_is_refused),
      TEST(what_is_printed_can_be_read_again),
      TEST(reload_takes_what_may_change_and_tells_the_rest),
      TEST(every_setting_is_in_the_help),
      TEST(peers_are_told_an_address_they_can_use),
      TEST(whoever_joins_names_itself_too),
      TEST(peers_that_make_no_sense_are_refused),
      TEST(a_rack_is_a_short_name),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
