#include "server/founding.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "log/identity.h"

_Static_assert(JOIN_MAX == LOG_FOUNDERS_MAX, "whoever is named can be a founder");
_Static_assert(ADDRESS_TEXT_SIZE == LOG_ADDRESS_SIZE, "an address that can be named can be kept");

static bool same_id(const uint8_t a[LOG_ID_SIZE], const uint8_t b[LOG_ID_SIZE]) { return memcmp(a, b, LOG_ID_SIZE) == 0; }

static bool is_founder(const struct founding *founding) { return founding->self == 0; }

void founding_init(struct founding *founding, const struct log_identity *draft, const struct join *named,
                   const uint8_t fresh[LOG_ID_SIZE]) {
  PRE(join_find(named, draft->broker_id) < JOIN_MAX);
  memset(founding, 0, sizeof *founding);
  founding->draft = *draft;
  founding->named = *named;
  founding->ids = join_ids_of(named);
  founding->self = join_find(named, draft->broker_id);
  memcpy(founding->fresh, fresh, LOG_ID_SIZE);
}

/* ---- Answering ---- */

/* Is it the founder, at the address where this broker has seen it, and does it mean the same brokers? */
static bool may_promise(const struct founding *founding, const struct meet_request *request) {
  const struct founding_peer *founder = &founding->peers[0];
  if (founding->stage != FOUNDING_WAITING || is_founder(founding)) return false;
  if (request->broker != founding->named.brokers[0].broker) return false;
  if (!join_ids_equal(&request->named, &founding->ids)) return false;
  return founder->seen && same_id(founder->incarnation, request->incarnation);
}

/* Forgets what it has answered. */
static void ask_peer(struct founding_peer *peer, bool asked) {
  peer->asked = asked;
  peer->answered = false;
  memset(&peer->answer, 0, sizeof peer->answer);
}

/* What is still under way was asked for before: it may be older than this founder. */
static void promise(struct founding *founding, const uint8_t founder[LOG_ID_SIZE]) {
  if (founding->promised && same_id(founding->founder, founder)) return;
  founding->promised = true;
  memcpy(founding->founder, founder, LOG_ID_SIZE);
  for (uint32_t i = 0; i < founding->named.count; i++) ask_peer(&founding->peers[i], false);
}

struct meet_answer founding_asked(struct founding *founding, const struct meet_request *request) {
  struct meet_answer answer = {.stage = MEET_WAITING, .who = founding->draft, .named = founding->ids};
  if (founding->stage == FOUNDING_FOUNDED) {
    answer.stage = MEET_FOUNDED;
    answer.who = founding->record;
  } else if (may_promise(founding, request)) {
    promise(founding, request->incarnation);
    answer.stage = MEET_EMPTY;
  }
  return answer;
}

/* ---- Asking ---- */

struct meet_request founding_begin_round(struct founding *founding) {
  for (uint32_t i = 0; i < founding->named.count; i++) ask_peer(&founding->peers[i], i != founding->self);
  struct meet_request request = {.broker = founding->draft.broker_id, .named = founding->ids};
  memcpy(request.incarnation, founding->draft.incarnation, LOG_ID_SIZE);
  return request;
}

void founding_answered(struct founding *founding, uint32_t place, const struct meet_answer *answer) {
  PRE(place < founding->named.count && place != founding->self);
  struct founding_peer *peer = &founding->peers[place];
  if (!peer->asked) return;
  peer->answered = true;
  peer->answer = *answer;
  if (answer->who.broker_id != founding->named.brokers[place].broker) return;
  peer->seen = true;
  memcpy(peer->incarnation, answer->who.incarnation, LOG_ID_SIZE);
}

/* ---- Deciding ---- */

struct words {
  char *text;
  size_t size;
};

#define SAY(words, ...)                                                         \
  do {                                                                          \
    int said = snprintf((words)->text, (words)->size, __VA_ARGS__);             \
    if (said < 0) break;                                                        \
    size_t taken = (size_t)said < (words)->size ? (size_t)said : (words)->size; \
    (words)->text += taken;                                                     \
    (words)->size -= taken;                                                     \
  } while (0)

/* What no waiting would mend. */
static bool contradicts(const struct founding *founding, uint32_t place, struct words *words) {
  const struct join_broker *named = &founding->named.brokers[place];
  const struct meet_answer *answer = &founding->peers[place].answer;
  if (answer->who.broker_id != named->broker) {
    SAY(words, "join says that broker %u is at %s, but broker %u answers there: correct join, or the broker-id of that broker",
        named->broker, named->address, answer->who.broker_id);
    return true;
  }
  if (same_id(answer->who.incarnation, founding->draft.incarnation)) {
    SAY(words, "broker %u at %s has a copy of this broker's data directory: give one of them an empty one", named->broker,
        named->address);
    return true;
  }
  if (answer->stage == MEET_FOUNDED || join_ids_equal(&answer->named, &founding->ids)) return false;
  SAY(words, "broker %u at %s was told to found a cluster of %u brokers", named->broker, named->address, answer->named.count);
  for (uint32_t i = 0; i < answer->named.count; i++) SAY(words, "%s%u", i == 0 ? " (" : ", ", answer->named.ids[i]);
  SAY(words, "), and this one of %u", founding->ids.count);
  for (uint32_t i = 0; i < founding->ids.count; i++) SAY(words, "%s%u", i == 0 ? " (" : ", ", founding->ids.ids[i]);
  SAY(words, "): give all of them the same join");
  return true;
}

/* The place of somebody who belongs to a cluster, or JOIN_MAX. */
static uint32_t find_record(const struct founding *founding) {
  for (uint32_t i = 0; i < founding->named.count; i++)
    if (founding->peers[i].answered && founding->peers[i].answer.stage == MEET_FOUNDED) return i;
  return JOIN_MAX;
}

static bool two_clusters(const struct founding *founding, uint32_t first, struct words *words) {
  const struct join_broker *brokers = founding->named.brokers;
  const uint8_t *cluster = founding->peers[first].answer.who.cluster;
  for (uint32_t i = first + 1; i < founding->named.count; i++) {
    const struct founding_peer *peer = &founding->peers[i];
    if (!peer->answered || peer->answer.stage != MEET_FOUNDED || same_id(peer->answer.who.cluster, cluster)) continue;
    SAY(words, "brokers %u at %s and %u at %s belong to different clusters: name brokers of one cluster in join",
        brokers[first].broker, brokers[first].address, brokers[i].broker, brokers[i].address);
    return true;
  }
  return false;
}

/* Takes the record of the cluster that is there, with this broker's own number and incarnation. */
static enum founding_stage take_record(struct founding *founding, const struct log_identity *found) {
  founding->record = *found;
  founding->record.broker_id = founding->draft.broker_id;
  memcpy(founding->record.incarnation, founding->draft.incarnation, LOG_ID_SIZE);
  return identity_founded(&founding->record) ? FOUNDING_WRITING : FOUNDING_ENTERING;
}

static void make_record(struct founding *founding) {
  struct log_identity *record = &founding->record;
  *record = founding->draft;
  memcpy(record->cluster, founding->fresh, LOG_ID_SIZE);
  record->founder_count = founding->named.count;
  for (uint32_t i = 0; i < founding->named.count; i++) {
    struct log_founder *founder = &record->founders[i];
    const uint8_t *incarnation = i == founding->self ? founding->draft.incarnation : founding->peers[i].answer.who.incarnation;
    founder->broker_id = founding->named.brokers[i].broker;
    memcpy(founder->incarnation, incarnation, LOG_ID_SIZE);
    memcpy(founder->address, founding->named.brokers[i].address, LOG_ADDRESS_SIZE);
  }
}

/* Who is missing, in words; returns how many. The founder needs everybody, the others only the founder. */
static uint32_t tell_missing(const struct founding *founding, struct words *words) {
  uint32_t missing = 0;
  uint32_t needed = is_founder(founding) ? founding->named.count : 1;
  for (uint32_t i = 0; i < needed; i++) {
    const struct founding_peer *peer = &founding->peers[i];
    if (i == founding->self || (is_founder(founding) && peer->answered && peer->answer.stage == MEET_EMPTY)) continue;
    SAY(words, "%sbroker %u at %s %s", missing++ == 0 ? "" : ", ", founding->named.brokers[i].broker,
        founding->named.brokers[i].address,
        !peer->answered        ? "does not answer: start it"
        : is_founder(founding) ? "has not found this one yet"
                               : "gathers the others");
  }
  return missing;
}

static enum founding_stage decide(struct founding *founding, struct words *words) {
  for (uint32_t i = 0; i < founding->named.count; i++)
    if (founding->peers[i].answered && contradicts(founding, i, words)) return FOUNDING_REFUSED;
  uint32_t place = find_record(founding);
  if (place < JOIN_MAX) {
    if (two_clusters(founding, place, words)) return FOUNDING_REFUSED;
    return take_record(founding, &founding->peers[place].answer.who);
  }
  if (tell_missing(founding, words) > 0) return FOUNDING_WAITING;
  if (!is_founder(founding)) return FOUNDING_WAITING;
  make_record(founding);
  return FOUNDING_WRITING;
}

enum founding_stage founding_decide(struct founding *founding, char out_problem[FOUNDING_PROBLEM_SIZE]) {
  PRE(founding->stage == FOUNDING_WAITING);
  struct words words = {.text = out_problem, .size = FOUNDING_PROBLEM_SIZE};
  out_problem[0] = '\0';
  founding->stage = decide(founding, &words);
  return founding->stage;
}

void founding_written(struct founding *founding) {
  PRE(founding->stage == FOUNDING_WRITING);
  founding->stage = FOUNDING_FOUNDED;
}
