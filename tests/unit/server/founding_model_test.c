/* The rule of founding, against everything that can happen to it: machines that crash at any point and start again, directories that are
 * emptied, requests and answers that are lost, repeated, late beyond the life of who sent them.
 *
 * A state is what stands in the directories, the processes, and what is under way. All states that can be reached within a budget of
 * faults are visited once (by a hash of their bytes), and each is checked. Then longer stories of more brokers, by chance. Mutants of the
 * rule show that the checks can fail.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/codec.h"
#include "base/memory.h"
#include "log/identity.h"
#include "server/founding.h"

#define MACHINES_MAX 5u
#define LETTERS_MAX 24u

enum mutant { NONE, LATE_ANSWERS_COUNT, EMPTY_WHILE_WRITING, DRAFT_FORGOTTEN, ANSWERS_OUTLIVE, MUTANTS };
static enum mutant mutant;

struct machine {
  uint8_t wiped;  /* how often */
  uint8_t starts; /* how often a process was started: names its life, and what it would draw */
  bool drafted;   /* its incarnation is durable */
  uint8_t drawn;  /* incarnations so far: more than `wiped` + 1 only with the mutant */
  bool has_record;
  bool alive;
  bool running; /* it started with a record */
  bool in_round;
  uint8_t open_calls;
  struct log_identity record;
  struct founding founding;
};

/* A request under way, or the answer to it. */
struct letter {
  bool used;
  bool is_answer;
  bool given_up; /* the caller does not wait any more, or is gone */
  uint8_t from, to, life;
  struct meet_request request;
  struct meet_answer answer;
};

struct budget {
  uint8_t crashes, wipes, losses, repeats;
};

struct state {
  uint32_t count;
  struct budget left;
  struct machine machines[MACHINES_MAX];
  struct letter letters[LETTERS_MAX];
};

/* ---- What a machine does ---- */

static struct join everybody(uint32_t count) {
  struct join join = {0};
  for (uint32_t i = 0; i < count; i++) {
    char address[16];
    snprintf(address, sizeof address, "m%u:1", i);
    assert_true(join_add(&join, i + 1, address));
  }
  return join;
}

static void start(struct state *state, uint32_t i) {
  struct machine *machine = &state->machines[i];
  machine->alive = true;
  machine->starts++;
  machine->running = machine->has_record;
  if (machine->running) return;
  if (!machine->drafted) machine->drawn++;
  machine->drafted = true;
  struct log_identity draft = {.incarnation = {(uint8_t)(i + 1), machine->drawn}, .broker_id = i + 1};
  uint8_t fresh[LOG_ID_SIZE] = {0xc0, (uint8_t)(i + 1), machine->starts};
  struct join named = everybody(state->count);
  founding_init(&machine->founding, &draft, &named, fresh);
}

static void decide(struct state *state, uint32_t i);

static void begin_round(struct state *state, uint32_t i) {
  struct machine *machine = &state->machines[i];
  struct meet_request request = founding_begin_round(&machine->founding);
  machine->in_round = true;
  for (uint32_t to = 0; to < state->count; to++) {
    if (to == i) continue;
    for (size_t at = 0; at < LETTERS_MAX; at++) {
      if (state->letters[at].used) continue;
      struct letter letter = {.used = true, .from = (uint8_t)i, .to = (uint8_t)to, .life = machine->starts, .request = request};
      state->letters[at] = letter;
      machine->open_calls++;
      break;
    }
  }
  if (machine->open_calls == 0) decide(state, i);
}

static void call_is_over(struct state *state, uint32_t i) {
  if (--state->machines[i].open_calls == 0) decide(state, i);
}

static void write_down(struct machine *machine) {
  machine->has_record = true;
  machine->record = machine->founding.record;
}

static void decide(struct state *state, uint32_t i) {
  struct machine *machine = &state->machines[i];
  char problem[FOUNDING_PROBLEM_SIZE];
  machine->in_round = false;
  enum founding_stage stage = founding_decide(&machine->founding, problem);
  assert_true(stage != FOUNDING_REFUSED); /* nothing here contradicts */
}

static bool waits(const struct letter *letter) { return letter->used && !letter->given_up; }

static void crash(struct state *state, uint32_t i) {
  struct machine *machine = &state->machines[i];
  for (size_t at = 0; at < LETTERS_MAX; at++) {
    struct letter *letter = &state->letters[at];
    if (!letter->used || letter->from != i) continue;
    letter->given_up = true;
    if (letter->is_answer && mutant != ANSWERS_OUTLIVE) *letter = (struct letter){0};
  }
  machine->alive = machine->running = machine->in_round = false;
  machine->open_calls = 0;
  if (mutant == DRAFT_FORGOTTEN && !machine->has_record) machine->drafted = false;
  memset(&machine->founding, 0, sizeof machine->founding);
}

static struct meet_answer answer_of(struct machine *machine, const struct meet_request *request) {
  if (machine->running) return (struct meet_answer){.stage = MEET_FOUNDED, .who = machine->record};
  struct founding before = machine->founding;
  struct meet_answer answer = founding_asked(&machine->founding, request);
  if (mutant == LATE_ANSWERS_COUNT) memcpy(machine->founding.peers, before.peers, sizeof before.peers);
  if (mutant == EMPTY_WHILE_WRITING && before.stage == FOUNDING_WRITING && request->broker == 1) answer.stage = MEET_EMPTY;
  return answer;
}

static void deliver(struct state *state, size_t at, bool repeat) {
  struct letter *letter = &state->letters[at];
  struct machine *to = &state->machines[letter->to];
  if (letter->is_answer) {
    struct machine *from = &state->machines[letter->from];
    founding_answered(&from->founding, letter->to, &letter->answer);
    uint32_t caller = letter->from;
    bool counted = !letter->given_up;
    *letter = (struct letter){0};
    if (counted) call_is_over(state, caller);
    return;
  }
  struct letter answer = *letter;
  answer.is_answer = true;
  memset(&answer.request, 0, sizeof answer.request);
  answer.answer = answer_of(to, &letter->request);
  if (repeat) return; /* what came of the first is lost, the second is still to come */
  if (letter->given_up && mutant != ANSWERS_OUTLIVE) *letter = (struct letter){0};
  else *letter = answer;
}

/* ---- What can happen ---- */

enum step { START, ROUND, WRITE, DELIVER, REPEAT, GIVE_UP, LOSE, CRASH, CRASH_WRITTEN, WIPE, STEPS };

static bool may(const struct state *state, enum step step, size_t i) {
  const struct machine *machine = &state->machines[i < MACHINES_MAX ? i : 0];
  const struct letter *letter = &state->letters[i < LETTERS_MAX ? i : 0];
  bool founding = machine->alive && !machine->running;
  switch (step) {
    case START: return i < state->count && !machine->alive;
    case ROUND: return i < state->count && founding && machine->founding.stage == FOUNDING_WAITING && !machine->in_round;
    case WRITE: return i < state->count && founding && machine->founding.stage == FOUNDING_WRITING;
    case DELIVER: {
      if (!letter->used) return false;
      if (letter->is_answer) {
        const struct machine *from = &state->machines[letter->from];
        return from->alive && !from->running && from->founding.stage == FOUNDING_WAITING &&
               (mutant == ANSWERS_OUTLIVE || from->starts == letter->life);
      }
      return state->machines[letter->to].alive;
    }
    case REPEAT: return state->left.repeats > 0 && letter->used && !letter->is_answer && state->machines[letter->to].alive;
    case GIVE_UP: return state->left.losses > 0 && waits(letter) && !letter->is_answer;
    case LOSE: return (state->left.losses > 0 || !state->machines[letter->to].alive) && waits(letter);
    case CRASH: return i < state->count && state->left.crashes > 0 && machine->alive;
    case CRASH_WRITTEN: return may(state, WRITE, i) && state->left.crashes > 0;
    case WIPE: return i < state->count && state->left.wipes > 0 && !machine->alive && machine->drafted;
    case STEPS: break;
  }
  return false;
}

static void take(struct state *state, enum step step, size_t i) {
  struct machine *machine = &state->machines[i < MACHINES_MAX ? i : 0];
  struct letter *letter = &state->letters[i < LETTERS_MAX ? i : 0];
  uint32_t caller = letter->from;
  switch (step) {
    case START: start(state, (uint32_t)i); return;
    case ROUND: begin_round(state, (uint32_t)i); return;
    case WRITE:
      write_down(machine);
      founding_written(&machine->founding);
      return;
    case DELIVER: deliver(state, i, false); return;
    case REPEAT:
      state->left.repeats--;
      deliver(state, i, true);
      return;
    case GIVE_UP: /* a deadline: it may still arrive */
      state->left.losses--;
      letter->given_up = true;
      call_is_over(state, caller);
      return;
    case LOSE:
      if (state->machines[letter->to].alive) state->left.losses--;
      *letter = (struct letter){0};
      call_is_over(state, caller);
      return;
    case CRASH:
    case CRASH_WRITTEN:
      if (step == CRASH_WRITTEN) write_down(machine);
      state->left.crashes--;
      crash(state, (uint32_t)i);
      return;
    case WIPE:
      state->left.wipes--;
      machine->wiped++;
      machine->drafted = machine->has_record = false;
      memset(&machine->record, 0, sizeof machine->record);
      return;
    case STEPS: break;
  }
}

/* ---- What must hold ---- */

static const char *violation(const struct state *state) {
  const struct log_identity *first = NULL;
  for (uint32_t i = 0; i < state->count; i++) {
    const struct machine *machine = &state->machines[i];
    if (!machine->has_record) continue;
    const struct log_identity *record = &machine->record;
    if (first == NULL) first = record;
    if (memcmp(first->cluster, record->cluster, LOG_ID_SIZE) != 0) return "two clusters";
    if (memcmp(first->founders, record->founders, sizeof record->founders) != 0) return "two sets of founders";
    if (record->founder_count != state->count) return "founded without all";
    if (!identity_founded(record)) return "a founder that is not in its own record";
    for (uint32_t at = 0; at < state->count; at++) {
      const struct log_founder *founder = &record->founders[at];
      bool was = founder->broker_id == at + 1 && founder->incarnation[0] == at + 1 && founder->incarnation[1] >= 1 &&
                 founder->incarnation[1] <= state->machines[at].drawn;
      if (!was) return "a founder that never was";
    }
  }
  return NULL;
}

/* ---- Everything within a budget ---- */

struct seen {
  uint64_t *hashes;
  size_t size;
  size_t count;
};

/* False: it is there already. */
static bool note(struct seen *seen, uint64_t hash) {
  if (seen->count * 2 >= seen->size) {
    struct seen bigger = {.size = seen->size == 0 ? 1u << 16 : seen->size * 2};
    bigger.hashes = memory_new_array(bigger.size, sizeof *bigger.hashes);
    for (size_t i = 0; i < seen->size; i++)
      if (seen->hashes[i] != 0) (void)note(&bigger, seen->hashes[i]);
    memory_free(seen->hashes);
    *seen = bigger;
  }
  size_t at = hash & (seen->size - 1);
  for (; seen->hashes[at] != 0; at = (at + 1) & (seen->size - 1))
    if (seen->hashes[at] == hash) return false;
  seen->hashes[at] = hash;
  seen->count++;
  return true;
}

/* Which place a letter has means nothing. */
static uint64_t hash_of(const struct state *state) {
  uint64_t hash = xxh3(1, bytes_of(&state->left, sizeof state->left));
  for (uint32_t i = 0; i < state->count; i++) hash = xxh3(hash, bytes_of(&state->machines[i], sizeof state->machines[i]));
  uint64_t letters = 0;
  for (size_t at = 0; at < LETTERS_MAX; at++)
    if (state->letters[at].used) letters += xxh3(2, bytes_of(&state->letters[at], sizeof state->letters[at]));
  return (hash ^ letters) | 1;
}

struct search {
  struct seen seen;
  struct state *stack;
  size_t depth, room;
  size_t founded; /* states in which everybody has the record */
  const char *found;
};

static void push(struct search *search, const struct state *state) {
  if (search->depth == search->room) {
    search->room = search->room == 0 ? 256 : search->room * 2;
    search->stack = memory_grow_array(search->stack, search->room, sizeof *search->stack);
  }
  search->stack[search->depth++] = *state;
}

static void visit(struct search *search, const struct state *state) {
  struct state *next = NEW(struct state);
  for (enum step step = 0; step < STEPS && search->found == NULL; step++) {
    for (size_t i = 0; i < LETTERS_MAX; i++) {
      if (!may(state, step, i)) continue;
      *next = *state;
      take(next, step, i);
      if (!note(&search->seen, hash_of(next))) continue;
      search->found = violation(next);
      if (search->found != NULL) break;
      push(search, next);
    }
  }
  memory_free(next);
}

static const char *explore(uint32_t count, struct budget budget, size_t *out_states) {
  struct search search = {0};
  struct state *state = NEW(struct state);
  state->count = count;
  state->left = budget;
  push(&search, state);
  while (search.depth > 0 && search.found == NULL) {
    *state = search.stack[--search.depth];
    uint32_t records = 0;
    for (uint32_t i = 0; i < count; i++) records += state->machines[i].has_record;
    if (records == count) search.founded++;
    visit(&search, state);
  }
  if (search.found == NULL) assert_true(search.founded > 0);
  *out_states = search.seen.count;
  memory_free(search.seen.hashes);
  memory_free(search.stack);
  memory_free(state);
  return search.found;
}

static void check(uint32_t count, struct budget budget) {
  size_t states = 0;
  const char *found = explore(count, budget, &states);
  print_message("%u brokers, %u crashes, %u wipes, %u losses, %u repeats: %zu states\n", count, budget.crashes, budget.wipes,
                budget.losses, budget.repeats, states);
  if (found != NULL) fail_msg("%s", found);
}

static void two_brokers_found_one_cluster_whatever_happens(void **state) {
  (void)state;
  mutant = NONE;
  check(2, (struct budget){.crashes = 2, .wipes = 2, .losses = 1, .repeats = 1});
}

static void three_brokers_found_one_cluster_whatever_happens(void **state) {
  (void)state;
  mutant = NONE;
  check(3, (struct budget){.losses = 1}); /* crashes of three: below, by chance */
}

/* ---- Longer stories ---- */

static uint64_t chance(uint64_t *seed) {
  *seed ^= *seed << 13;
  *seed ^= *seed >> 7;
  *seed ^= *seed << 17;
  return *seed;
}

/* One step by chance; false when there is none of these. */
static bool wander(struct state *state, uint64_t *seed, enum step last) {
  struct {
    enum step step;
    size_t i;
  } choices[STEPS * LETTERS_MAX];
  size_t count = 0;
  for (enum step step = 0; step <= last; step++) {
    for (size_t i = 0; i < LETTERS_MAX; i++) {
      if (!may(state, step, i)) continue;
      choices[count].step = step;
      choices[count++].i = i;
    }
  }
  if (count == 0) return false;
  size_t pick = chance(seed) % count;
  take(state, choices[pick].step, choices[pick].i);
  return true;
}

/* Everybody belongs to the cluster. Somebody may have to enter it as new only if a directory was emptied. */
static bool is_settled(const struct state *state) {
  bool wiped = false, anybody = false;
  for (uint32_t i = 0; i < state->count; i++) wiped = wiped || state->machines[i].wiped > 0;
  for (uint32_t i = 0; i < state->count; i++) anybody = anybody || state->machines[i].has_record;
  for (uint32_t i = 0; i < state->count; i++) {
    const struct machine *machine = &state->machines[i];
    bool entering = wiped && machine->alive && !machine->running && machine->founding.stage == FOUNDING_ENTERING;
    if (!machine->has_record && !entering) return false;
  }
  return anybody;
}

/* Nothing is under way: calls to who is down fail, and who wanted to enter a cluster that was emptied since starts again. */
static void stir(struct state *state) {
  for (size_t at = 0; at < LETTERS_MAX; at++)
    if (may(state, LOSE, at)) take(state, LOSE, at);
  for (uint32_t i = 0; i < state->count; i++) {
    struct machine *machine = &state->machines[i];
    if (machine->alive && !machine->running && machine->founding.stage == FOUNDING_ENTERING) crash(state, i);
  }
}

static const char *live(uint32_t count, uint64_t seed, struct budget budget) {
  struct state *state = NEW(struct state);
  state->count = count;
  state->left = budget;
  const char *found = NULL;
  uint64_t chances = seed * 0x9e3779b97f4a7c15u + 1;
  for (unsigned i = 0; i < 400 && found == NULL; i++) {
    enum step last = chance(&chances) % 8 == 0 ? WIPE : DELIVER; /* faults come late, too */
    if (!wander(state, &chances, last) && last == WIPE) break;
    found = violation(state);
  }
  /* Nothing fails any more: sooner or later everybody belongs to one cluster. */
  state->left = (struct budget){0};
  for (unsigned i = 0; i < 20000 && found == NULL && !is_settled(state); i++) {
    if (i % 500 == 499 || !wander(state, &chances, DELIVER)) stir(state);
    found = violation(state);
  }
  if (found == NULL && !is_settled(state)) found = "they wait for ever";
  memory_free(state);
  return found;
}

static void long_stories_end_in_one_cluster(void **state) {
  (void)state;
  mutant = NONE;
  for (uint32_t count = 1; count <= MACHINES_MAX; count++) {
    for (uint64_t seed = 1; seed <= 800; seed++) {
      struct budget budget = {.crashes = 6, .wipes = 3, .losses = 8, .repeats = 4};
      const char *found = live(count, seed, budget);
      if (found != NULL) fail_msg("%u brokers, seed %lu: %s", count, (unsigned long)seed, found);
    }
  }
}

/* ---- One story ---- */

/* What goes from one to the other now: the request, or the answer to it. */
static void pass(struct state *state, uint8_t from, uint8_t to) {
  for (size_t at = 0; at < LETTERS_MAX; at++) {
    const struct letter *letter = &state->letters[at];
    if (!letter->used || letter->from != from || letter->to != to) continue;
    assert_true(may(state, DELIVER, at));
    deliver(state, at, false);
    return;
  }
  fail_msg("nothing is under way from %u to %u", from, to);
}

static void ask(struct state *state, uint8_t from, uint8_t to) {
  pass(state, from, to);
  pass(state, from, to);
}

static void full_round(struct state *state, uint8_t from) {
  begin_round(state, from);
  for (uint8_t to = 0; to < state->count; to++)
    if (to != from) ask(state, from, to);
}

static void step(struct state *state, enum step step, size_t i) {
  assert_true(may(state, step, i));
  take(state, step, i);
}

static void empty_and_start(struct state *state, size_t i) {
  step(state, CRASH, i);
  step(state, WIPE, i);
  step(state, START, i);
}

/* Brokers 0 and 1 have a record, and 2 is under way to learn it from 1. Then both directories are emptied, and 0 begins anew. */
static const char *a_record_comes_late(void) {
  struct state *state = NEW(struct state);
  state->count = 3;
  state->left = (struct budget){.crashes = 2, .wipes = 2};
  for (size_t i = 0; i < 3; i++) step(state, START, i);
  full_round(state, 1);
  full_round(state, 2); /* they see 0 */
  full_round(state, 0);
  step(state, WRITE, 0);
  full_round(state, 1);
  step(state, WRITE, 1);
  step(state, CRASH, 1);
  step(state, START, 1); /* it runs */
  begin_round(state, 2);
  pass(state, 2, 1); /* the answer, with the record, is under way from here on */
  state->left.crashes = 2;
  empty_and_start(state, 0);
  empty_and_start(state, 1);
  ask(state, 2, 0); /* 2 sees the new 0 */
  full_round(state, 1);
  full_round(state, 0);
  bool founded = may(state, WRITE, 0);
  if (founded) take(state, WRITE, 0);
  pass(state, 2, 1);
  if (may(state, WRITE, 2)) take(state, WRITE, 2);
  const char *found = violation(state);
  memory_free(state);
  assert_true(founded);
  return found;
}

static void a_record_of_emptied_directories_comes_to_nothing(void **state) {
  (void)state;
  mutant = NONE;
  assert_null(a_record_comes_late());
}

/* ---- That it can fail ---- */

static const char *hunt(uint32_t count, struct budget budget) {
  size_t states = 0;
  const char *found = mutant == ANSWERS_OUTLIVE ? NULL : a_record_comes_late();
  if (found == NULL) found = explore(2, budget, &states);
  for (uint64_t seed = 1; found == NULL && seed <= 3000; seed++) found = live(count, seed, budget);
  return found;
}

static void each_mutant_is_found(void **state) {
  (void)state;
  static const char *const names[MUTANTS] = {"none", "late answers count", "empty while writing", "draft forgotten",
                                             "answers outlive who asked"};
  struct budget budget = {.crashes = 2, .wipes = 2, .losses = 2, .repeats = 1};
  for (mutant = NONE + 1; mutant < MUTANTS; mutant++) {
    budget.wipes = mutant == DRAFT_FORGOTTEN ? 0 : 2; /* who loses its draft is as good as emptied */
    const char *found = hunt(3, budget);
    print_message("%s: %s\n", names[mutant], found == NULL ? "not found" : found);
    if (found == NULL) fail_msg("no check notices: %s", names[mutant]);
  }
  mutant = NONE;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(two_brokers_found_one_cluster_whatever_happens),
      cmocka_unit_test(three_brokers_found_one_cluster_whatever_happens),
      cmocka_unit_test(long_stories_end_in_one_cluster),
      cmocka_unit_test(a_record_of_emptied_directories_comes_to_nothing),
      cmocka_unit_test(each_mutant_is_found),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
