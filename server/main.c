#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/os/descriptors.h"
#include "base/os/world_os.h"
#include "base/trace.h"
#include "log/log_set.h"
#include "proto/rpc_grpc.h"
#include "server/node.h"
#include "server/options.h"

/* cairnd: reads its settings, opens the real world, starts a node, waits for signals, stops it. */

/* Of descriptors, beyond those that the data directory takes: what the process has by itself (the transport, standard streams), and room for
 * so many connections that it is worth starting. */
#define FILES_OF_PROCESS 64u
#define FILES_FOR_CONNECTIONS 256u
#define FILES_WANTED 4096u
#define EXIT_USAGE 2 /* a restart would not help */
#define PROBLEM_BYTES_MAX 4096u
#define PRINT_BYTES_MAX 65536u

extern char **environ;

static void print(FILE *to, const struct buffer *text) { fwrite(text->data, 1, text->size, to); }

static int fail(const struct buffer *problem, int code) {
  fputs("cairnd: ", stderr);
  print(stderr, problem);
  fputc('\n', stderr);
  return code;
}

#define SAY(problem, ...)                                          \
  do {                                                             \
    if (buffer_printf((problem), __VA_ARGS__) != STATUS_OK) break; \
  } while (0)

/* ---- Settings ---- */

/* Reads a small file through the disk door: its directory, then its name. */
static enum status read_small_file(const char *path, struct buffer *out) {
  char directory[OPTION_TEXT_SIZE] = ".";
  const char *slash = strrchr(path, '/');
  if (slash != NULL) snprintf(directory, sizeof directory, "%.*s", slash == path ? 1 : (int)(slash - path), path);
  struct disk *disk = NULL;
  enum status status = disk_os_open(directory, false, &disk);
  if (status != STATUS_OK) return status;
  struct disk_file *file = NULL;
  status = disk_open(disk, slash == NULL ? path : slash + 1, DISK_READ_ONLY, &file);
  struct disk_stat stat = {0};
  if (status == STATUS_OK) status = disk_stat_file(file, &stat);
  uint8_t *into = status == STATUS_OK ? buffer_extend(out, stat.size) : NULL;
  size_t size = 0;
  if (status == STATUS_OK) status = into == NULL ? STATUS_TOO_LARGE : disk_read(file, 0, into, stat.size, &size);
  disk_close(file);
  disk_os_close(disk);
  return status;
}

static enum status read_config_file(struct options *options, struct buffer *out_problem) {
  if (options->config[0] == '\0') return STATUS_OK;
  struct buffer contents;
  buffer_init(&contents, OPTIONS_FILE_BYTES_MAX);
  enum status status = read_small_file(options->config, &contents);
  if (status == STATUS_WRONG_KIND)
    SAY(out_problem,
        "cannot read the configuration file %s: it is a directory, or leads through a file; name a file with --config",
        options->config);
  else if (status != STATUS_OK)
    SAY(out_problem, "cannot read the configuration file %s: %s; does it exist, and may you read it?", options->config,
        status_text(status));
  else status = options_read_file(options, options->config, buffer_bytes(&contents), out_problem);
  buffer_deinit(&contents);
  return status;
}

struct arguments {
  int count;
  char **words;
};

static void settle_lanes(struct options *options) {
  if (options->lanes > 0) return;
  long processors = sysconf(_SC_NPROCESSORS_ONLN);
  options->lanes = processors > 3 ? (uint64_t)processors / 2 : 1;
  if (options->lanes > 64) options->lanes = 64;
}

static enum status read_options(struct options *options, struct arguments arguments, enum options_action *out_action,
                                struct buffer *out_problem) {
  options_init(options);
  enum status status = options_read_flags(options, arguments.count, arguments.words, out_action, out_problem);
  if (status != STATUS_OK || *out_action == OPTIONS_HELP || *out_action == OPTIONS_VERSION) return status;
  status = options_read_environment(options, environ, out_problem);
  if (status == STATUS_OK) status = read_config_file(options, out_problem);
  if (status == STATUS_OK) status = options_check(options, out_problem);
  return status;
}

static enum status print_asked(enum options_action action, const struct options *options, struct buffer *out_problem) {
  struct buffer out;
  buffer_init(&out, PRINT_BYTES_MAX);
  if (action == OPTIONS_HELP) options_print_help(&out);
  else if (action == OPTIONS_PRINT) options_print_config(options, &out);
  else SAY(&out, "cairnd %s\n", CAIRND_VERSION);
  print(stdout, &out);
  buffer_deinit(&out);
  if (fflush(stdout) == 0 && ferror(stdout) == 0) return STATUS_OK;
  SAY(out_problem, "cannot write to standard output: %s", strerror(errno));
  return STATUS_IO;
}

/* ---- Settings again, while the broker runs ---- */

static void tell_change(const struct option_change *change) {
  char was[2 * OPTION_TEXT_SIZE], is[2 * OPTION_TEXT_SIZE];
  trace_quote(was, sizeof was, (const char *)change->was.data, change->was.size);
  trace_quote(is, sizeof is, (const char *)change->is.data, change->is.size);
  if (change->taken) trace_info("setting_changed", "name=%s was=%s is=%s", change->name, was, is);
  else trace_warn("setting_needs_restart", "name=%s in_force=%s given=%s", change->name, was, is);
}

static void take_options(struct node *node, struct options *options, const struct options *fresh) {
  if (fresh->log_level > options->log_level) trace_set_level((enum trace_level)fresh->log_level);
  struct options_reloaded reloaded = options_reload(options, fresh, tell_change);
  node_reload(node);
  trace_info("settings_reloaded", "changed=%zu need_restart=%zu", reloaded.taken, reloaded.need_restart);
  trace_set_level((enum trace_level)options->log_level);
}

static void reload(struct node *node, struct options *options, struct arguments arguments) {
  struct options fresh;
  struct buffer problem;
  buffer_init(&problem, PROBLEM_BYTES_MAX);
  enum options_action action = OPTIONS_RUN;
  enum status status = read_options(&fresh, arguments, &action, &problem);
  if (status == STATUS_OK) {
    settle_lanes(&fresh);
    take_options(node, options, &fresh);
  } else {
    char why[PROBLEM_BYTES_MAX];
    trace_quote(why, sizeof why, (const char *)problem.data, problem.size);
    trace_error("settings_not_reloaded", "why=%s do=\"all stays as it was: correct it, and send SIGHUP again\"", why);
  }
  buffer_deinit(&problem);
}

/* ---- Signals ---- */

static void stop_at_once(int signal) {
  (void)signal;
  static const char words[] = "cairnd: stopped at once by a second signal\n";
  ssize_t written = write(STDERR_FILENO, words, sizeof words - 1);
  (void)written;
  _exit(EXIT_FAILURE);
}

static sigset_t stop_signals(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  return set;
}

#define MUST_END_SIGNAL SIGUSR2 /* from this process to itself */

static sigset_t all_signals(void) {
  sigset_t set = stop_signals();
  sigaddset(&set, SIGHUP);
  sigaddset(&set, MUST_END_SIGNAL);
  return set;
}

static void wake_main(void *context) {
  (void)context;
  kill(getpid(), MUST_END_SIGNAL);
}

static const char *name_of(int signal_number) {
  if (signal_number == MUST_END_SIGNAL) return "SIGUSR2";
  return signal_number == SIGTERM ? "SIGTERM" : "SIGINT";
}

/* Before any thread: all of them inherit the mask, and only main() takes these. SIGHUP waits while the broker starts or stops. */
static void take_signals(void) {
  signal(SIGPIPE, SIG_IGN);
  sigset_t set = all_signals();
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  signal(SIGHUP, SIG_DFL); /* one that is ignored, as nohup has it, cannot be waited for */
}

static int next_signal(void) {
  sigset_t set = all_signals();
  int signal_number = 0;
  while (sigwait(&set, &signal_number) != 0) continue;
  return signal_number;
}

static void wait_for_stop(struct node *node, struct options *options, struct arguments arguments) {
  int signal_number = next_signal();
  for (; signal_number == SIGHUP; signal_number = next_signal()) reload(node, options, arguments);
  sigset_t set = stop_signals();
  trace_info("stopping", "signal=%s", name_of(signal_number));
  struct sigaction action = {.sa_handler = stop_at_once};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* ---- The broker ---- */

static enum status open_directory(const struct options *options, struct world **out_world, struct disk_lock **out_lock,
                                  struct buffer *out_problem) {
  const char *directory = options->data_dir;
  enum status status = world_os_open(directory, true, out_world);
  if (status == STATUS_NOT_FOUND)
    SAY(out_problem, "cannot make data directory %s: the directory above it does not exist; make that first", directory);
  else if (status == STATUS_DENIED)
    SAY(out_problem, "may not use data directory %s; give this user the right to write there, or name another --data-dir",
        directory);
  else if (status == STATUS_WRONG_KIND)
    SAY(out_problem, "cannot use data directory %s: it is a file, or leads through one; name a directory with --data-dir",
        directory);
  else if (status == STATUS_NAME_TOO_LONG)
    SAY(out_problem, "cannot use data directory %s: %s; name another one with --data-dir", directory, status_text(status));
  else if (status != STATUS_OK) SAY(out_problem, "cannot open data directory %s: %s", directory, status_text(status));
  if (status != STATUS_OK) return status;
  if (log_set_survey((*out_world)->disk) == STATUS_FOREIGN) {
    SAY(out_problem,
        "data directory %s is not empty and holds nothing of Cairn; name an empty or a new directory with --data-dir", directory);
    return STATUS_FOREIGN;
  }
  status = disk_lock((*out_world)->disk, "lock", out_lock);
  if (status == STATUS_LOCKED)
    SAY(out_problem, "another broker runs on data directory %s, or `cairn verify` reads it; stop it, or name another --data-dir",
        directory);
  else if (status == STATUS_DENIED)
    SAY(out_problem, "may not write in data directory %s; give this user the right to, or name another --data-dir", directory);
  else if (status != STATUS_OK) SAY(out_problem, "cannot lock data directory %s: %s", directory, status_text(status));
  return status;
}

static void say_ready(const struct node *node, const struct options *options) {
  struct node_info info = node_info(node);
  fprintf(stderr, "cairnd: ready on %s broker=%" PRIu32 " data=%s recovered_ms=%" PRIu64 " partitions=%zu\n", info.address,
          info.broker_id, options->data_dir, info.recovered_ms, info.partitions);
}

/* While the broker starts, which may take as long as others let it wait. */
static atomic_bool stop_wanted;

static void note_stop(int signal) {
  (void)signal;
  atomic_store_explicit(&stop_wanted, true, memory_order_release);
}

static enum status start(struct world *world, const struct options *options, struct node **out_node, struct buffer *out_problem) {
  sigset_t set = stop_signals();
  struct sigaction action = {.sa_handler = note_stop};
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  enum status status = node_start(world, options, &stop_wanted, out_node, out_problem);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  return status;
}

static enum status run(struct options *options, struct arguments arguments, struct buffer *out_problem) {
  struct world *world = NULL;
  struct disk_lock *lock = NULL;
  struct node *node = NULL;
  enum status status = open_directory(options, &world, &lock, out_problem);
  if (status != STATUS_OK) goto out;
  status = rpc_grpc_open(&world->rpc);
  if (status != STATUS_OK) {
    SAY(out_problem, "the operating system gives no more threads; raise the limit of processes");
    goto out;
  }
  bool one_lane = options->lanes == 1;
  if (one_lane && options->lane_thread == LANE_THREAD_SHARED) world_os_lend_thread(world, rpc_grpc_loop_new);
  if (options->peer_listen[0] != '\0' && one_lane) world->peers = rpc_grpc_open_beside(world->rpc);
  else if (options->peer_listen[0] != '\0') status = rpc_grpc_open(&world->peers);
  if (status == STATUS_OK) status = start(world, options, &node, out_problem);
  if (status == STATUS_OK) {
    say_ready(node, options);
    node_watch(node, &(struct node_watch){.must_end = wake_main});
    if (!atomic_load_explicit(&stop_wanted, memory_order_acquire)) wait_for_stop(node, options, arguments);
    status = node_must_end(node, out_problem);
    node_stop(node, status == STATUS_OK);
    trace_info("stopped", "data=%s", options->data_dir);
  }
out:
  if (world != NULL) rpc_grpc_close(world->peers);
  if (world != NULL) rpc_grpc_close(world->rpc);
  if (lock != NULL) disk_unlock(world->disk, lock);
  world_os_close(world);
  return status;
}

/* A transport that runs out of descriptors accepts nobody for seconds, so what is sure to run out is not begun. */
static enum status raise_file_limit(const struct options *options, struct buffer *out_problem) {
  uint64_t own = node_files_max(options) + DESCRIPTORS_RESERVED + FILES_OF_PROCESS;
  uint64_t needed = own + FILES_FOR_CONNECTIONS;
  unsigned long limit = world_os_raise_file_limit();
  if (limit < needed) {
    SAY(out_problem,
        "the operating system lets this process open %lu files, and it needs %" PRIu64 ": %" PRIu64
        " for itself with these settings (journal-bytes / journal-file-bytes, readers) and %u for connections; raise the hard "
        "limit (ulimit -Hn, LimitNOFILE= of systemd, --ulimit nofile= of docker)",
        limit, needed, own, FILES_FOR_CONNECTIONS);
    return STATUS_DENIED;
  }
  if (limit < FILES_WANTED)
    trace_warn("few_files", "limit=%lu wanted=%u room_for_connections=%" PRIu64, limit, FILES_WANTED, limit - own);
  return STATUS_OK;
}

DESCRIPTORS_HOLD_STANDARD_FIRST;

int main(int argc, char **argv) {
  const struct arguments arguments = {argc, argv};
  struct options options;
  struct buffer problem;
  buffer_init(&problem, PROBLEM_BYTES_MAX);
  enum options_action action = OPTIONS_RUN;
  enum status status = read_options(&options, arguments, &action, &problem);
  int code = status == STATUS_OK ? EXIT_FAILURE : EXIT_USAGE;
  if (status == STATUS_OK && action != OPTIONS_RUN) {
    status = print_asked(action, &options, &problem);
  } else if (status == STATUS_OK) {
    take_signals();
    trace_set_level((enum trace_level)options.log_level);
    settle_lanes(&options);
    status = raise_file_limit(&options, &problem);
    if (status == STATUS_OK) status = run(&options, arguments, &problem);
  }
  code = status == STATUS_OK ? EXIT_SUCCESS : fail(&problem, code);
  buffer_deinit(&problem);
  return code;
}
