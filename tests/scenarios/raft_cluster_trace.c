/* The cluster's doings in words: one line for what happens to a node, and one for each thing that follows. Heartbeats, and the host's own
 * small talk with raft, are left out.
 */
#include <stdarg.h>
#include <stdio.h>

#include "base/check.h"
#include "tests/scenarios/raft_cluster.h"

static void add(struct buffer *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct buffer *out, const char *format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  int size = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  CHECK(size >= 0 && (size_t)size < sizeof text);
  CHECK(buffer_append(out, text, (size_t)size) == STATUS_OK);
}

static void add_time(struct cluster *cluster) { add(cluster->trace, "    %7.3f  ", (double)cluster->now_ns / 1e9); }

void cluster_say(struct cluster *cluster, const char *format, ...) {
  char text[400];
  if (cluster->trace == NULL) return;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  add_time(cluster);
  add(cluster->trace, "%s\n", text);
}

/* ---- Messages ---- */

static void add_vote(struct buffer *out, const char *what, const struct raft_message *message) {
  add(out, "%s for term %lu, log ends at %lu of term %lu%s", what, message->term, message->vote.last_index,
      message->vote.last_term, message->vote.transfer ? ", asked to" : "");
}

static void add_append(struct buffer *out, const struct raft_message *message) {
  const struct raft_append *append = &message->append;
  add(out, "append term %lu behind %lu of term %lu: ", message->term, append->prev_index, append->prev_term);
  if (append->count == 0) add(out, "nothing");
  else if (append->count == 1) add(out, "entry %lu", append->prev_index + 1);
  else add(out, "entries %lu..%lu", append->prev_index + 1, append->prev_index + append->count);
  add(out, ", committed %lu", append->commit);
}

static void add_answer(struct buffer *out, const struct raft_message *message) {
  const struct raft_append_answer *answer = &message->append_answer;
  switch (answer->verdict) {
    case RAFT_MATCHED: add(out, "has everything up to %lu", answer->match); break;
    case RAFT_REJECTED:
      add(out, "rejects term %lu: behind %lu; try %lu of term %lu", message->term, answer->rejected, answer->hint_index,
          answer->hint_term);
      break;
    case RAFT_OUTDATED: add(out, "knows of term %lu", message->term); break;
    case RAFT_DAMAGED: add(out, "is damaged"); break;
    case RAFT_DIVERGED: add(out, "has other bytes at %lu", answer->match); break;
    case RAFT_UNPROVEN: add(out, "has everything up to %lu, and is not to be counted", answer->match); break;
  }
}

static void add_message(struct buffer *out, const struct raft_message *message) {
  switch (message->kind) {
    case RAFT_PRE_VOTE: add_vote(out, "pre-vote", message); break;
    case RAFT_VOTE: add_vote(out, "vote", message); break;
    case RAFT_PRE_VOTE_ANSWER:
    case RAFT_VOTE_ANSWER:
      add(out, "%s to %s for term %lu, own term %lu", message->vote_answer.granted ? "yes" : "no",
          message->kind == RAFT_VOTE_ANSWER ? "vote" : "pre-vote", message->vote_answer.asked_term, message->term);
      break;
    case RAFT_APPEND: add_append(out, message); break;
    case RAFT_APPEND_ANSWER: add_answer(out, message); break;
    case RAFT_SNAPSHOT:
      add(out, "snapshot term %lu up to %lu of term %lu", message->term, message->snapshot.index, message->snapshot.index_term);
      break;
    case RAFT_READ_PROBE: add(out, "read %lu of term %lu: do I still lead?", message->sequence, message->term); break;
    case RAFT_READ_ANSWER: add(out, "read %lu of term %lu: yes", message->sequence, message->term); break;
    case RAFT_TIMEOUT_NOW:
      add(out, "campaign now, term %lu%s", message->term, message->summons.wished ? ", it is wished" : "");
      break;
    case RAFT_RESIGN: add(out, "leads term %lu no longer", message->term); break;
    case RAFT_PROVEN: add(out, "entry %lu shows it: count again", message->sequence); break;
    case RAFT_FETCH_STATE:
    case RAFT_FETCH_ENTRIES:
    case RAFT_SHIPPED_STATE:
    case RAFT_SHIPPED_ENTRIES:
    case RAFT_SHIPS_NOT:
    case RAFT_WANT:
    case RAFT_GIVEN:
    case RAFT_GIVES_NOT: CHECK_MSG(false, "the core says what is between hosts"); break;
  }
}

/* ---- Events ---- */

static const char *const event_words[] = {
    [RAFT_TIMER] = "timer",          [RAFT_DISK_FAILED] = "its disk fails",
    [RAFT_PROPOSE] = "proposal",     [RAFT_READ] = "read",
    [RAFT_TRANSFER] = "transfer",    [RAFT_CHANGE_MEMBERS] = "change of members",
    [RAFT_CAMPAIGN] = "campaign",    [RAFT_INSTALLED] = "snapshot is in place",
    [RAFT_REPAIRED] = "is repaired", [RAFT_INSTALL_FAILED] = "snapshot could not be put in place",
    [RAFT_COMPACTED] = "compaction", [RAFT_HOLED] = "has lost entries",
};

void cluster_tell_event(struct cluster *cluster, const struct cluster_node *node, const struct raft_event *event) {
  if (cluster->trace == NULL) return;
  switch (event->kind) {
    case RAFT_SENT:
    case RAFT_PEER_UP: return; /* nothing anybody would miss; effects are told all the same */
    case RAFT_MESSAGE:
      add_time(cluster);
      add(cluster->trace, "%u < %u  ", node->id.broker, event->message->from.broker);
      add_message(cluster->trace, event->message);
      break;
    case RAFT_PERSISTED:
      add_time(cluster);
      add(cluster->trace, "%u durable: term %lu, vote %u, entries up to %lu", node->id.broker, event->persisted.term,
          event->persisted.vote, event->persisted.index);
      break;
    case RAFT_LEADER_HEARD:
    case RAFT_LEADER_GONE:
    case RAFT_PEER_DOWN:
    case RAFT_PEER_RESET:
    case RAFT_RELUCTANT:
    case RAFT_WILLING:
    case RAFT_CATCH_UP_FAILED:
      add_time(cluster);
      add(cluster->trace, "%u hears that %u %s", node->id.broker, event->peer.broker,
          event->kind == RAFT_LEADER_HEARD  ? "lives and leads"
          : event->kind == RAFT_LEADER_GONE ? "leads no longer"
          : event->kind == RAFT_PEER_DOWN   ? "is silent"
          : event->kind == RAFT_RELUCTANT   ? "had better not lead"
          : event->kind == RAFT_WILLING     ? "may lead again"
                                            : "lost its connection");
      break;
    case RAFT_OFFER:
      add_time(cluster);
      add(cluster->trace, "%u offer to %u%s", node->id.broker, event->peer.broker, event->wished ? ", it is wished" : "");
      break;
    default:
      add_time(cluster);
      add(cluster->trace, "%u %s", node->id.broker, event_words[event->kind]);
      break;
  }
  add(cluster->trace, "\n");
}

/* ---- Effects ---- */

static void add_line(struct cluster *cluster) { add(cluster->trace, "               "); }

static void tell_appends(struct cluster *cluster, const struct raft_effects *effects) {
  static const char *const words[] = {[RAFT_APPEND_NOOP] = "no-op",
                                      [RAFT_APPEND_CONFIG] = "configuration",
                                      [RAFT_APPEND_PROPOSAL] = "proposal",
                                      [RAFT_APPEND_MESSAGE] = "what it was sent"};
  for (size_t i = 0; i < effects->append_count; i++) {
    const struct raft_appended *appended = &effects->appends[i];
    add_line(cluster);
    if (appended->count == 1) add(cluster->trace, "writes %lu, %s\n", appended->first, words[appended->kind]);
    else
      add(cluster->trace, "writes %lu..%lu, %s\n", appended->first, appended->first + appended->count - 1, words[appended->kind]);
  }
}

static void tell_role(struct cluster *cluster, const struct cluster_node *node, const struct raft_effects *effects) {
  if (!effects->role_changed) return;
  add_line(cluster);
  if (effects->role == RAFT_LEADER) add(cluster->trace, "LEADS term %lu\n", effects->term);
  else if (node->led) add(cluster->trace, "leads no longer, term %lu\n", effects->term);
  else if (effects->role == RAFT_CANDIDATE) add(cluster->trace, "campaigns for term %lu\n", effects->term);
  else if (effects->leader.broker != 0) add(cluster->trace, "follows %u in term %lu\n", effects->leader.broker, effects->term);
  else add(cluster->trace, "follows nobody, term %lu\n", effects->term);
}

static void add_members(struct buffer *out, const struct raft_config *config) {
  static const char *const phases[] = {"stable", "preparing", "joint"};
  static const char *const ranks[] = {"nobody", "learner", "voter"};
  add(out, "members, %s:", phases[config->phase]);
  for (size_t i = 0; i < config->count; i++) {
    const struct raft_member *member = &config->members[i];
    add(out, "%s %u %s", i == 0 ? "" : ",", member->id.broker, ranks[member->now]);
    if (member->then != member->now) add(out, " -> %s", ranks[member->then]);
  }
  add(out, "\n");
}

static const char *const offer_words[] = {
    [RAFT_OFFER_BEGUN] = "begins",
    [RAFT_OFFER_NOT_LEADER] = "refused: not the leader",
    [RAFT_OFFER_STRANGER] = "refused: no other voter",
    [RAFT_OFFER_RELUCTANT] = "refused: had better not lead",
    [RAFT_OFFER_UNREACHABLE] = "refused: unreachable",
    [RAFT_OFFER_UNSOUND] = "refused: has lost something",
    [RAFT_OFFER_BEHIND] = "refused: behind",
    [RAFT_OFFER_BUSY] = "refused: busy",
};

static void tell_offer(struct cluster *cluster, const struct raft_effects *effects) {
  add_line(cluster);
  add(cluster->trace, "%s\n", offer_words[effects->offer]);
}

static void tell_rare(struct cluster *cluster, const struct raft_effects *effects) {
  struct {
    bool so;
    const char *words;
  } const rare[] = {
      {effects->status != STATUS_OK, status_name(effects->status)},
      {effects->reads_failed, "reads fail"},
      {effects->install, "puts the snapshot in place"},
      {effects->diverged, "DIVERGED: gives up its rights"},
      {effects->reverted, "REVERTED: that log has gone back"},
      {effects->reconnect, "opens its connections anew"},
      {effects->proven, "PROVEN: has its rights back"},
      {effects->stays, "keeps its leadership"},
  };
  for (size_t i = 0; i < sizeof rare / sizeof rare[0]; i++) {
    if (!rare[i].so) continue;
    add_line(cluster);
    add(cluster->trace, "%s\n", rare[i].words);
  }
  if (effects->reads_done == 0) return;
  add_line(cluster);
  add(cluster->trace, "reads up to %lu are confirmed, at %lu\n", effects->reads_done, effects->read_index);
}

static void tell_sends(struct cluster *cluster, const struct raft_effects *effects) {
  for (size_t i = 0; i < effects->now_count; i++) {
    add_line(cluster);
    add(cluster->trace, "> %u  ", effects->send_now[i].to.broker);
    add_message(cluster->trace, &effects->send_now[i]);
    add(cluster->trace, "\n");
  }
  for (size_t i = 0; i < effects->held_count; i++) {
    add_line(cluster);
    add(cluster->trace, "> %u, when durable:  ", effects->send_after_sync[i].message.to.broker);
    add_message(cluster->trace, &effects->send_after_sync[i].message);
    add(cluster->trace, "\n");
  }
}

void cluster_tell_effects(struct cluster *cluster, const struct cluster_node *node, const struct raft_event *event,
                          const struct raft_effects *effects) {
  if (cluster->trace == NULL) return;
  if (event->kind == RAFT_OFFER) tell_offer(cluster, effects);
  tell_role(cluster, node, effects);
  if (effects->cut) {
    add_line(cluster);
    add(cluster->trace, "cuts from %lu\n", effects->cut_from);
  }
  tell_appends(cluster, effects);
  if (effects->config_changed) {
    add_line(cluster);
    add_members(cluster->trace, effects->config);
  }
  if (effects->commit_advanced) {
    add_line(cluster);
    add(cluster->trace, "commits up to %lu\n", effects->commit);
  }
  tell_rare(cluster, effects);
  tell_sends(cluster, effects);
}

void cluster_show(struct cluster *cluster) {
  static const char *const roles[] = {"follower", "pre-candidate", "candidate", "LEADER"};
  for (broker_id broker = 1; broker <= CLUSTER_NODES_MAX; broker++) {
    const struct cluster_node *node = &cluster->nodes[broker];
    if (!node->exists) continue;
    add(cluster->trace, "    %u  ", broker);
    if (!node->up) {
      add(cluster->trace, "down           disk: term %lu, log %lu..%lu\n", node->disk_state.term, node->disk.base + 1,
          node->disk.last);
      continue;
    }
    const struct raft *raft = &node->raft;
    const char *role = raft->stopped ? "stopped" : raft->damage.damaged ? "damaged" : roles[raft->role];
    add(cluster->trace, "%-13s  term %lu, log %lu..%lu, committed %lu, %s\n", role, raft_term(raft), node->log.base + 1,
        raft_last_index(raft), raft_commit(raft), node->deadline_ns == UINT64_MAX ? "asleep" : "awake");
  }
}
