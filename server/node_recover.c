#include <inttypes.h>
#include <stdio.h>

#include "base/trace.h"
#include "log/identity.h"
#include "security/random.h"
#include "server/founding_run.h"
#include "server/node_internal.h"

#define SAY(problem, ...)                                          \
  do {                                                             \
    if (buffer_printf((problem), __VA_ARGS__) != STATUS_OK) break; \
  } while (0)

#define FILES_READY 2u /* of the journal, zero-filled before the broker is ready; the rest behind */

static struct log_set_options log_options(const struct options *options, struct account *account) {
  return (struct log_set_options){
      .journal = {.ring_bytes = options->journal_bytes,
                  .file_bytes = options->journal_file_bytes,
                  .group_bytes_max = (uint32_t)options->journal_group_bytes,
                  .files_ready = FILES_READY,
                  .idle_close_ms = (uint32_t)options->journal_idle_close_ms},
      .tail_bytes = options->tail_cache_bytes,
      .store_bytes_max = options->store_bytes_max,
      .disk_reserve_bytes = options->disk_reserve_bytes,
      .readers = (uint32_t)options->readers,
      .checkpoint_interval_ms = (uint32_t)options->checkpoint_interval_ms,
      .account = account,
  };
}

uint64_t node_files_max(const struct options *options) {
  struct log_set_options log = log_options(options, NULL);
  return log_set_files_max(&log);
}

static void trace_recovery(const struct node *node) {
  const struct log_set_report *report = &node->report;
  enum trace_level level =
      report->journal.rotten_groups > 0 || report->damaged_logs > 0 || report->store_rebuilt ? TRACE_WARN : TRACE_INFO;
  trace_line(level, "recovered",
             "fresh=%d logs=%" PRIu64 " bytes=%" PRIu64 " ms=%" PRIu64 " journal_files=%" PRIu64 " groups=%" PRIu64
             " torn=%" PRIu64 " rotten=%" PRIu64 " damaged_logs=%u tables_rebuilt=%d",
             report->fresh, report->recovered_logs, report->recovered_bytes, report->recovery_ms, report->journal.files,
             report->journal.groups, report->journal.torn_groups, report->journal.rotten_groups, report->damaged_logs,
             report->store_rebuilt);
}

static void explain(const struct node *node, enum status status, const struct buffer *reason, struct buffer *out_problem) {
  const char *directory = node->options->data_dir;
  if (out_problem->size > 0) return; /* whoever refused has said it */
  if (reason->size > 0) SAY(out_problem, "data directory %s: %.*s", directory, (int)reason->size, (const char *)reason->data);
  else if (status == STATUS_FOREIGN)
    SAY(out_problem,
        "data directory %s has files that this Cairn did not write, or its identity is gone; nothing was changed: name an "
        "empty directory, or restore its identity file",
        directory);
  else if (status == STATUS_NO_SPACE)
    SAY(out_problem,
        "no room left in the journal (%" PRIu64
        " bytes in %s), and nothing was lost: free space on its disk; where it has enough, "
        "the tables cannot grow: start with a larger store-bytes-max",
        node->options->journal_bytes, directory);
  else SAY(out_problem, "cannot open data directory %s: %s (%s)", directory, status_text(status), status_name(status));
}

/* It learns the map as a learner of group 0, and holds what the map gives it from then on. What it had in a directory that is no more is not
 * its own again. */
static void trace_entering(const struct log_identity *identity) {
  bool founded = identity_founder(identity, identity->broker_id) != NULL;
  char cluster[RANDOM_ID_HEX_SIZE];
  random_id_hex(identity->cluster, cluster);
  trace_warn("entering_cluster", "cluster=%s broker=%u why=\"the directory is empty: %s\"", cluster, identity->broker_id,
             founded ? "this broker founded the cluster with another one, and comes back as a new replica"
                     : "this broker is new, or comes back as a new replica");
}

/* With others, when --join is given and the directory is empty. */
static enum status found(struct node *node, const atomic_bool *cancelled, struct log_identity *format,
                         struct buffer *out_problem) {
  struct founding_result result;
  enum status status = founding_run(node->world, node->options, cancelled, &result, out_problem);
  if (status != STATUS_OK) return status;
  if (result.outcome == FOUNDING_RUN_ENTERS) trace_entering(&result.identity);
  if (result.outcome != FOUNDING_RUN_IN_USE) *format = result.identity;
  return STATUS_OK;
}

enum status node_recover(struct node *node, const atomic_bool *cancelled, struct buffer *out_problem) {
  enum status status = random_start();
  if (status != STATUS_OK) {
    SAY(out_problem, "the operating system gives no randomness: is /dev/urandom there?");
    return status;
  }
  struct log_identity format = {.broker_id = (uint32_t)node->options->broker_id};
  random_id(format.cluster);
  random_id(format.incarnation);
  if (node->options->join[0] != '\0') status = found(node, cancelled, &format, out_problem);
  if (status != STATUS_OK) return status;
  struct log_set_options options = log_options(node->options, node->read_account);
  struct node_going_on going_on = {
      .node = node, .formatted = format.incarnation, .cancelled = cancelled, .out_problem = out_problem};
  options.may_go_on = node_may_go_on;
  options.may_context = &going_on;
  struct buffer reason;
  buffer_init(&reason, 1024);
  status = log_set_open(node->world, &options, &format, &node->logs, &node->identity, &node->report, &reason);
  if (status != STATUS_OK) explain(node, status, &reason, out_problem);
  buffer_deinit(&reason);
  if (status == STATUS_OK) trace_recovery(node);
  return status;
}
