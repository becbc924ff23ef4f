/* Can the random schedules fail? Each deliberate fault of raft_mutant.h must be found, by a named check, within so many schedules; and the
 * same schedules must find nothing in the protocol as it is. Prints the table: fault, schedules until it was found, what found it.
 *
 * Each fault runs in a process of its own: a CHECK that stops it has found it too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "replication/raft_mutant.h"
#include "tests/scenarios/raft_schedule.h"
#include "tests/unit/replication/chance.h"

#define FIRST_SEED 1u
#define SCHEDULES_MAX 12000u
#define DISRUPT_EVERY 10u
#define FORGET_EVERY 25u

extern enum raft_mutant raft_mutant;

/* Shared with the process that runs the schedules. */
struct hunt {
  uint64_t schedules;
  char found[256];
};

static bool run_one(uint64_t number, struct schedule_result *result) {
  if (number % DISRUPT_EVERY == 0) schedule_disrupt(FIRST_SEED + number, result);
  else if (number % FORGET_EVERY == 5) schedule_forget(FIRST_SEED + number, result);
  else schedule_run(FIRST_SEED + number, NULL, result);
  return result->violation[0] == '\0';
}

static void hunt(struct hunt *hunt, uint64_t schedules_max) {
  struct schedule_result result;
  for (hunt->schedules = 1; hunt->schedules <= schedules_max; hunt->schedules++) {
    if (run_one(hunt->schedules, &result)) continue;
    memcpy(hunt->found, result.violation, sizeof hunt->found);
    return;
  }
}

/* True: found. */
static bool hunt_in_child(enum raft_mutant mutant, struct hunt *shared) {
  memset(shared, 0, sizeof *shared);
  fflush(stdout);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    if (freopen("/dev/null", "w", stderr) == NULL) _exit(1);
    raft_mutant = mutant;
    hunt(shared, SCHEDULES_MAX);
    _exit(0);
  }
  int status = 0;
  assert_int_equal(waitpid(child, &status, 0), child);
  if (WIFSIGNALED(status)) snprintf(shared->found, sizeof shared->found, "a CHECK stopped it");
  return shared->found[0] != '\0';
}

static struct hunt *shared_new(void) {
  void *memory = mmap(NULL, sizeof(struct hunt), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert_true(memory != MAP_FAILED);
  return memory;
}

static void every_mutant_is_found_and_nothing_else(void **state) {
  (void)state;
  static const struct {
    enum raft_mutant mutant;
    const char *name;
    const char *text;
  } mutants[] = {
#define MUTANT(name, text) {RAFT_MUTANT_##name, #name, text},
      RAFT_MUTANTS(MUTANT)
#undef MUTANT
  };
  struct hunt *shared = shared_new();
  uint64_t most = 0;
  size_t alive = 0;
  for (size_t i = 0; i < sizeof mutants / sizeof mutants[0]; i++) {
    bool found = hunt_in_child(mutants[i].mutant, shared);
    print_message("%-20s %6llu  %s\n", mutants[i].name, (unsigned long long)shared->schedules, found ? shared->found : "LIVES");
    if (!found) print_error("%s lives: %s\n", mutants[i].name, mutants[i].text);
    alive += !found;
    if (found && shared->schedules > most) most = shared->schedules;
  }
  assert_int_equal(alive, 0);

  memset(shared, 0, sizeof *shared);
  hunt(shared, most);
  print_message("%-20s %6llu  %s\n", "none", (unsigned long long)most,
                shared->found[0] == '\0' ? "nothing found" : shared->found);
  assert_string_equal(shared->found, "");
  munmap(shared, sizeof *shared);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_mutant_is_found_and_nothing_else),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
