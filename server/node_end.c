/* What becomes of a process that must not go on: others have seen more of its directory than it has, or the cluster is at a feature level that it
 * cannot. */
#include <inttypes.h>
#include <stdio.h>

#include "base/trace.h"
#include "server/node_internal.h"

#define SAY(problem, ...)                                          \
  do {                                                             \
    if (buffer_printf((problem), __VA_ARGS__) != STATUS_OK) break; \
  } while (0)

static void end(struct node *node, enum status status, const char *event, const char *why) {
  if (atomic_exchange(&node->ending, true)) return;
  snprintf(node->end_why, sizeof node->end_why, "%s", why);
  node->end_status = status;
  atomic_store(&node->must_end, true);
  trace_error(event, "why=\"%s\" do=\"this broker stops\"", why);
  if (atomic_load(&node->watched)) node->watch.must_end(node->watch.context);
}

void node_superseded_by(void *context, const char *text) { end(context, STATUS_DIRECTORY_SUPERSEDED, "superseded", text); }

/* ---- Feature levels ---- */

struct feature_range node_features(const struct node *node) {
  return feature_range_own(node->options->feature_level_most);
}

void node_refused_by(void *context, const char *text) { end(context, STATUS_FEATURE_LEVEL, "outgrown", text); }

void node_outgrown(void *context, uint32_t level) {
  struct node *node = context;
  char why[FEATURE_LEVEL_PROBLEM_SIZE];
  feature_problem(node->identity.broker_id, node_features(node), level, why);
  end(node, STATUS_FEATURE_LEVEL, "outgrown", why);
}

enum status node_check_features(const struct node *node, struct buffer *out_problem) {
  uint32_t level = controller_outgrown(node->controller);
  char why[FEATURE_LEVEL_PROBLEM_SIZE];
  if (level == 0) return STATUS_OK;
  feature_problem(node->identity.broker_id, node_features(node), level, why);
  SAY(out_problem, "%s. Nothing that data directory %s has is lost", why, node->options->data_dir);
  return STATUS_FEATURE_LEVEL;
}

/* ---- For whoever stops it ---- */

/* Either side sees what the other did first. */
void node_watch(struct node *node, const struct node_watch *watch) {
  node->watch = *watch;
  atomic_store(&node->watched, true);
  if (atomic_load(&node->must_end)) watch->must_end(watch->context);
}

enum status node_must_end(const struct node *node, struct buffer *out_problem) {
  if (!atomic_load(&node->must_end)) return STATUS_OK;
  if (node->end_status == STATUS_FEATURE_LEVEL) {
    SAY(out_problem, "%s. This process stopped for it, and lost nothing", node->end_why);
    return node->end_status;
  }
  SAY(out_problem,
      "%s. This process stopped for it: what it did meanwhile counts nowhere. If data directory %s is an older copy, put the "
      "newest one "
      "back; if that is gone, or this is a copy of a directory that is in use, start with an empty one, as a new member of the "
      "cluster",
      node->end_why, node->options->data_dir);
  return node->end_status;
}
