#include "tests/sim/jobs.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/probe.h"
#include "tests/sim/mutants.h"

#define JOBS_MAX 64u
#define SEED_SECONDS_MAX 120u /* real ones: a seed takes less than one */

/* What the processes share. */
struct slot {
  atomic_bool busy;
  uint64_t seed;
  int words; /* a file for what the process has to say at its end */
  pid_t pid;
  struct probe_count probes[PROBES_MAX];
  size_t probe_count;
};
struct shared {
  atomic_uint_fast64_t next;
  atomic_bool stop;
  double deadline;
  struct slot slots[JOBS_MAX];
};

_Static_assert(sizeof(struct run_result) < 4096, "a result is written in one piece");

static double now_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- In a process ---- */

static void count_probes(struct slot *slot) {
  for (const struct probe *probe = probe_first(); probe != NULL; probe = probe->next) {
    size_t at = 0;
    while (at < slot->probe_count && strcmp(slot->probes[at].name, probe->name) != 0) at++;
    CHECK(at < PROBES_MAX);
    if (at == slot->probe_count) snprintf(slot->probes[slot->probe_count++].name, sizeof slot->probes[0].name, "%s", probe->name);
    slot->probes[at].count += probe->count;
  }
  probe_reset();
}

/* Memory that nobody has written holds other bytes the second time: what depends on it tells another story. */
static void run_twice(const struct plan *plan, struct run_result *result) {
  struct run_result again;
  mallopt(M_PERTURB, 0x5a);
  run_seed(plan, TRACE_NOTHING, &again);
  if (again.failed || again.hash == result->hash) return;
  result->failed = true;
  snprintf(result->check, sizeof result->check, "D1 determinism");
  snprintf(result->what, sizeof result->what, "the same seed told two stories: %016llx and %016llx",
           (unsigned long long)result->hash, (unsigned long long)again.hash);
}

static void work(const struct jobs_options *options, struct shared *shared, struct slot *slot, int results) {
  dup2(slot->words, STDERR_FILENO);
  mallopt(M_MMAP_THRESHOLD, 1 << 30); /* one seed's memory is the next one's: the kernel's pages cost more than what is in them */
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mutant_switch_on(options->mutant);
  for (;;) {
    uint64_t number = atomic_fetch_add(&shared->next, 1);
    bool late = shared->deadline > 0 && now_seconds() >= shared->deadline;
    if (number >= options->count || late || atomic_load(&shared->stop)) _exit(0);
    struct plan plan;
    struct run_result result;
    slot->seed = options->list == NULL ? options->first + number : options->list[number];
    atomic_store(&slot->busy, true);
    alarm(SEED_SECONDS_MAX);
    plan_draw(&plan, slot->seed, options->nodes, options->kind);
    bool twice = options->twice_every > 0 && number % options->twice_every == 0;
    mallopt(M_PERTURB, twice ? 0xa5 : 0); /* what was freed is not what it was: that costs a tenth of the time */
    run_seed(&plan, TRACE_NOTHING, &result);
    if (!result.failed && twice) run_twice(&plan, &result);
    count_probes(slot);
    ssize_t written = write(results, &result, sizeof result);
    CHECK(written == (ssize_t)sizeof result);
    atomic_store(&slot->busy, false);
    if (result.failed) _exit(0); /* nothing was taken apart */
  }
}

/* ---- The parent ---- */

static void start(const struct jobs_options *options, struct shared *shared, struct slot *slot, const int results[2]) {
  fflush(NULL);
  pid_t pid = fork();
  CHECK_MSG(pid >= 0, "fork: %s", strerror(errno));
  if (pid > 0) {
    slot->pid = pid;
    return;
  }
  close(results[0]);
  work(options, shared, slot, results[1]);
}

/* What it said last tells why it died. */
static void read_words(struct slot *slot, char *into, size_t size) {
  ssize_t got = pread(slot->words, into, size - 1, 0);
  into[got > 0 ? got : 0] = '\0';
  char *end = strchr(into, '\n');
  if (end != NULL) *end = '\0';
  CHECK(ftruncate(slot->words, 0) == 0);
  lseek(slot->words, 0, SEEK_SET);
}

static void describe_death(struct slot *slot, int status, struct run_result *result) {
  *result = (struct run_result){.seed = slot->seed, .failed = true};
  int signal_number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  const char *check = signal_number == SIGALRM ? "H1 hang" : signal_number == SIGABRT ? "CHECK" : "crash";
  snprintf(result->check, sizeof result->check, "%s", check);
  read_words(slot, result->what, sizeof result->what);
}

struct parent {
  const struct jobs_options *options;
  struct shared *shared;
  int results[2];
  void (*got)(void *context, const struct run_result *result);
  void *context;
  struct jobs_report *report;
};

static void take(struct parent *parent, const struct run_result *result) {
  parent->report->seeds++;
  if (result->failed) parent->report->failures++;
  if (result->failed && parent->options->stop_at_failure) atomic_store(&parent->shared->stop, true);
  parent->got(parent->context, result);
}

static void take_all(struct parent *parent, int wait_ms) {
  struct pollfd one = {.fd = parent->results[0], .events = POLLIN};
  while (poll(&one, 1, wait_ms) == 1) {
    struct run_result result;
    if (read(parent->results[0], &result, sizeof result) != (ssize_t)sizeof result) return;
    take(parent, &result);
    wait_ms = 0;
  }
}

static bool finished(const struct parent *parent) {
  const struct shared *shared = parent->shared;
  bool late = shared->deadline > 0 && now_seconds() >= shared->deadline;
  return late || atomic_load(&shared->stop) || atomic_load(&shared->next) >= parent->options->count;
}

/* Returns whether the slot has a process. */
static bool look_after(struct parent *parent, struct slot *slot) {
  int status = 0;
  if (slot->pid == 0) return false;
  if (waitpid(slot->pid, &status, WNOHANG) != slot->pid) return true;
  slot->pid = 0;
  take_all(parent, 0);
  if (atomic_exchange(&slot->busy, false)) {
    struct run_result result;
    describe_death(slot, status, &result);
    take(parent, &result);
  }
  if (finished(parent)) return false;
  start(parent->options, parent->shared, slot, parent->results);
  return true;
}

static void merge_probes(const struct shared *shared, unsigned jobs, struct jobs_report *report) {
  for (unsigned i = 0; i < jobs; i++) {
    for (size_t k = 0; k < shared->slots[i].probe_count; k++) {
      const struct probe_count *from = &shared->slots[i].probes[k];
      size_t at = 0;
      while (at < report->probe_count && strcmp(report->probes[at].name, from->name) != 0) at++;
      if (at == report->probe_count) report->probes[report->probe_count++] = (struct probe_count){0};
      memcpy(report->probes[at].name, from->name, sizeof from->name);
      report->probes[at].count += from->count;
    }
  }
}

static double children_seconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_CHILDREN, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

void jobs_run(const struct jobs_options *options, void (*got)(void *context, const struct run_result *result), void *context,
              struct jobs_report *out_report) {
  unsigned jobs = options->jobs == 0 ? 1 : options->jobs > JOBS_MAX ? JOBS_MAX : options->jobs;
  struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(shared != MAP_FAILED);
  struct parent parent = {.options = options, .shared = shared, .got = got, .context = context, .report = out_report};
  double before = children_seconds();
  *out_report = (struct jobs_report){0};
  CHECK(pipe(parent.results) == 0);
  if (options->seconds > 0) shared->deadline = now_seconds() + options->seconds;
  for (unsigned i = 0; i < jobs; i++) {
    shared->slots[i].words = memfd_create("words", 0);
    start(options, shared, &shared->slots[i], parent.results);
  }
  for (bool any = true; any;) {
    take_all(&parent, 20);
    any = false;
    for (unsigned i = 0; i < jobs; i++) any = look_after(&parent, &shared->slots[i]) || any;
  }
  take_all(&parent, 0);
  merge_probes(shared, jobs, out_report);
  out_report->cpu_seconds = children_seconds() - before;
  for (unsigned i = 0; i < jobs; i++) close(shared->slots[i].words);
  close(parent.results[0]);
  close(parent.results[1]);
  munmap(shared, sizeof *shared);
}
