#include "clients/c/retry.h"

static bool in_doubt(const struct failure *failure) {
  if (failure->executed != EXECUTED_MAYBE) return false;
  return failure->reason == STATUS_UNKNOWN_OUTCOME || failure->reason == STATUS_DEADLINE || failure->reason == STATUS_CANCELLED ||
         failure->reason == STATUS_TRANSPORT;
}

static bool retry_allowed(const struct retry_case *c) {
  const struct failure *failure = c->failure;
  if (c->recognised && in_doubt(failure)) return true;
  enum retry class = status_retry(failure->reason);
  if (class == RETRY_NEVER) return false;
  if (status_grpc_code(failure->reason) == GRPC_CODE_INVALID_ARGUMENT && c->attempts > RETRY_INVALID_MAX) return false;
  return c->idempotent || failure->executed == EXECUTED_NO;
}

/* Doubles with every attempt; half of it is chance, so that clients that failed together do not come back together. */
static uint64_t retry_wait_ns(const struct retry_case *c) {
  unsigned doublings = c->attempts > 0 ? c->attempts - 1 : 0;
  uint64_t wait_ms = c->backoff_ms;
  /* An election is over in a second or two, and whoever asks about it costs the brokers little. */
  bool election = status_retry(c->failure->reason) == RETRY_LEADER;
  uint64_t max_ms = election ? RETRY_LEADER_MS_MAX : RETRY_BACKOFF_MS_MAX;
  while (doublings-- > 0 && wait_ms < max_ms) wait_ms *= 2;
  if (wait_ms > max_ms) wait_ms = max_ms;
  uint64_t wait_ns = wait_ms * 1000000u;
  wait_ns = wait_ns / 2 + (wait_ns / 2 == 0 ? 0 : c->chance % (wait_ns / 2));
  uint64_t asked_ns = (uint64_t)c->failure->retry_after_ms * 1000000u;
  return asked_ns > wait_ns ? asked_ns : wait_ns;
}

struct retry_decision retry_decide(const struct retry_case *c) {
  struct retry_decision decision = {0};
  if (!retry_allowed(c)) return decision;
  bool unreached = c->failure->reason == STATUS_TRANSPORT;
  bool named = c->failure->leader[0] != '\0';
  /* The first time a leader is named we believe it at once; a second time it may be an election that goes round. */
  decision.after_ns = named && c->attempts <= 1 ? 0 : retry_wait_ns(c);
  decision.elsewhere = unreached || status_retry(c->failure->reason) == RETRY_LEADER;
  uint64_t deadline_ns = c->deadline_ns;
  if (unreached && c->reach_deadline_ns < deadline_ns) deadline_ns = c->reach_deadline_ns;
  decision.again = decision.after_ns < deadline_ns && c->now_ns < deadline_ns - decision.after_ns;
  return decision;
}
