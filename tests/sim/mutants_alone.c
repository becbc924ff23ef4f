#include "tests/sim/mutants_alone.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "tests/scenarios/raft_schedule.h"

#define DISRUPT_EVERY 10u

static bool run_one(uint64_t number, char found[256]) {
  struct schedule_result result;
  if (number % DISRUPT_EVERY == 0) schedule_disrupt(number, &result);
  else schedule_run(number, NULL, &result);
  snprintf(found, 256, "%s", result.violation);
  return found[0] == '\0';
}

static void hunt(struct lone_hunt *hunt) {
  for (hunt->schedules = 1; hunt->schedules < SCHEDULES_MAX; hunt->schedules++) {
    if (!run_one(hunt->schedules, hunt->found)) return;
  }
}

static void check_health(struct lone_hunt *hunt) {
  char found[256];
  hunt->healthy = run_one(hunt->schedules, found);
}

/* A CHECK that stops it has found it, too. False: it was stopped. */
static bool in_child(const struct sim_mutant *mutant, void (*run)(struct lone_hunt *hunt), struct lone_hunt *shared) {
  fflush(NULL);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    if (freopen("/dev/null", "w", stderr) == NULL) _exit(1);
    mutant_switch_on(mutant);
    run(shared);
    _exit(0);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  bool aborted = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT; /* by a CHECK */
  bool ended = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  CHECK_MSG(aborted || ended, "a child that hunts ended with %d", status);
  return ended;
}

void mutants_hunt_alone(const struct sim_mutant *mutant, struct lone_hunt *out_hunt) {
  struct lone_hunt *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(shared != MAP_FAILED);
  if (!in_child(mutant, hunt, shared)) snprintf(shared->found, sizeof shared->found, "CHECK");
  if (shared->found[0] != '\0' && !in_child(NULL, check_health, shared)) shared->healthy = false;
  *out_hunt = *shared;
  munmap(shared, sizeof *shared);
}
