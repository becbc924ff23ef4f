/* May this process go on with its data directory? Asked when the journal has been judged and before anything is changed. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/probe.h"
#include "base/trace.h"
#include "server/node_internal.h"
#include "server/recall.h"

#define SAY(problem, ...)                                          \
  do {                                                             \
    if (buffer_printf((problem), __VA_ARGS__) != STATUS_OK) break; \
  } while (0)

#define LIVES_ELECTIONS 4u      /* whoever is heard of after so many election timeouts lives */
#define ASKED_ELECTIONS_MAX 40u /* then it is asked no more */
#define ASKED_IN_ELECTION 8u

/* Where the others were when the cluster was founded, or are now by what this broker was told. */
static void name_others(const struct node *node, struct join *others) {
  *others = (struct join){0};
  if (node->options->join[0] != '\0') options_named(node->options, others);
  for (uint32_t i = 0; i < node->identity.founder_count; i++) {
    const struct log_founder *founder = &node->identity.founders[i];
    bool named = join_find(others, founder->broker_id) != JOIN_MAX || founder->address[0] == '\0';
    if (!named) (void)join_add(others, founder->broker_id, founder->address);
  }
}

static bool is_cancelled(const struct node_going_on *going_on) {
  if (going_on->cancelled == NULL || !atomic_load_explicit(going_on->cancelled, memory_order_acquire)) return false;
  buffer_reset(going_on->out_problem);
  SAY(going_on->out_problem,
      "stopped while it waited for the process before it on data directory %s, of which others hear still, to fall silent. "
      "Nothing was changed",
      going_on->node->options->data_dir);
  return true;
}

/* The process before this one, if it was killed just now, falls silent in an election timeout; what it said last may be on its way for a while.
 * One that is heard of for longer lives. By the clocks of those who listen, which may be slow: so it is beats that count. */
static enum status recall(const struct node_going_on *going_on) {
  struct node *node = going_on->node;
  struct buffer *out_problem = going_on->out_problem;
  struct join others;
  struct recall_heard heard = {{0}};
  name_others(node, &others);
  uint64_t election_ns = node_timing(node).election_ns;
  uint64_t began_ns = world_now_ns(node->world);
  struct recall_question question = {.self = &node->identity,
                                     .others = &others,
                                     .lineage = &node->lineage,
                                     .heard = &heard,
                                     .patience_ns = election_ns,
                                     .directory = node->options->data_dir};
  for (;;) {
    bool more = false;
    enum status status = recall_ask(node->world, &question, &more, out_problem);
    uint64_t for_ns = world_now_ns(node->world) - began_ns;
    bool lives = more && for_ns >= LIVES_ELECTIONS * election_ns;
    if (status != STATUS_LOCKED || lives || for_ns >= ASKED_ELECTIONS_MAX * election_ns) return status;
    if (is_cancelled(going_on)) return STATUS_CANCELLED;
    buffer_reset(out_problem);
    atomic_uint nobody;
    atomic_init(&nobody, 0);
    world_wait_word(node->world, &nobody, 0, election_ns / ASKED_IN_ELECTION);
  }
}

static enum status read_lineage(struct node *node, uint64_t last_group) {
  enum status status = lineage_read(node->world->disk, node->identity.incarnation, &node->lineage);
  if (status == STATUS_CORRUPT)
    trace_error("lineage_lost", "do=\"others that know this directory will not listen to it: then start with an empty one\"");
  else if (status != STATUS_OK) return status;
  lineage_continue(&node->lineage, entropy_next(node->world->entropy) | 1, last_group);
  return STATUS_OK;
}

enum status node_may_go_on(void *context, const struct log_identity *identity, const struct log_set_report *report,
                           struct buffer *out_reason) {
  struct node_going_on *going_on = context;
  struct node *node = going_on->node;
  (void)out_reason; /* it would be told with the directory's name before it */
  node->identity = *identity;
  if (identity->broker_id != node->options->broker_id) {
    SAY(going_on->out_problem,
        "data directory %s belongs to broker %u, and broker-id says %" PRIu64 "; correct the one or the other",
        node->options->data_dir, identity->broker_id, node->options->broker_id);
    return STATUS_FOREIGN;
  }
  enum status status = read_lineage(node, report->journal.last_group);
  if (status == STATUS_OK) status = seen_check(node->world->disk);
  if (status == STATUS_FOREIGN)
    SAY(going_on->out_problem,
        "the file lineage or the file seen of data directory %s was written by a newer Cairn, and nothing was changed: start "
        "that version",
        node->options->data_dir);
  bool formatted_now = memcmp(identity->incarnation, going_on->formatted, LOG_ID_SIZE) == 0;
  bool has_others = node->options->peer_listen[0] != '\0' && !formatted_now;
  if (status == STATUS_OK && has_others) status = recall(going_on);
  if (status == STATUS_DIRECTORY_SUPERSEDED || status == STATUS_LOCKED) REACHED(superseded_start_is_refused);
  return status == STATUS_OK ? lineage_write(node->world->disk, &node->lineage) : status;
}
