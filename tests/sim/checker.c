#include "tests/sim/checker.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/codec.h"
#include "base/list.h"
#include "base/map.h"
#include "base/memory.h"

#define WHAT_SIZE 400u

enum attempt_state { ATTEMPT_OPEN, ATTEMPT_ACKED, ATTEMPT_REFUSED, ATTEMPT_UNKNOWN };

struct attempt {
  struct check_partition *partition;
  enum attempt_state state;
  int64_t floor;  /* where the log ended, for sure, when it began */
  int64_t offset; /* -1: not known */
  uint64_t writer;
};

struct leadership {
  uint8_t key[16]; /* group, term */
  uint32_t leader;
};

/* A group's history as brokers have applied it; place 0 is index 1. An entry_term of 0: nobody has. */
struct history {
  uint8_t key[8];
  struct check_applied *entries;
  size_t count;
};

struct check_partition {
  struct list_node node;
  struct checker *checker;
  char topic[64];
  uint32_t number;
  bool retains;
  bool deleted;
  uint64_t *at; /* the number of the record at each offset, plus one; 0: not seen */
  size_t at_count;
  uint64_t sent;      /* records that ever began their way here */
  int64_t end;        /* behind what is known to be there */
  int64_t start;      /* the log starts here or later */
  int64_t trim_asked; /* and not behind this */
};

struct checker {
  struct map *leaders;   /* struct leadership, by group and term */
  struct map *histories; /* struct history, by group */
  uint64_t seed;
  struct attempt *attempts;
  size_t attempt_count;
  size_t attempt_capacity;
  struct list partitions;
  const char *failed;
  char what[WHAT_SIZE];
  uint64_t acked, refused, unknown;
};

/* ---- Life ---- */

struct checker *checker_new(uint64_t seed) {
  struct checker *checker = NEW(struct checker);
  checker->seed = seed;
  checker->leaders = map_new(0);
  checker->histories = map_new(0);
  list_init(&checker->partitions);
  return checker;
}

void checker_free(struct checker *checker) {
  if (checker == NULL) return;
  list_for_each(&checker->partitions, node, following) {
    struct check_partition *partition = list_entry(node, struct check_partition, node);
    memory_free(partition->at);
    memory_free(partition);
  }
  struct map_cursor cursor = {0};
  for (struct leadership *known; (known = map_next(checker->leaders, &cursor)) != NULL;) memory_free(known);
  map_free(checker->leaders);
  cursor = (struct map_cursor){0};
  for (struct history *history; (history = map_next(checker->histories, &cursor)) != NULL;) {
    memory_free(history->entries);
    memory_free(history);
  }
  map_free(checker->histories);
  memory_free(checker->attempts);
  memory_free(checker);
}

const char *checker_failed(const struct checker *checker, const char **out_what) {
  if (checker->failed != NULL && out_what != NULL) *out_what = checker->what;
  return checker->failed;
}

void checker_violation(struct checker *checker, const char *check, const char *format, ...) {
  if (checker->failed != NULL) return;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(checker->what, sizeof checker->what, format, arguments);
  va_end(arguments);
  checker->failed = check;
}

#define VIOLATION(partition, check, format, ...) \
  checker_violation((partition)->checker, check, "%s/%u: " format, (partition)->topic, (partition)->number, __VA_ARGS__)

struct check_partition *checker_partition_new(struct checker *checker, const char *topic, uint32_t number, bool retains) {
  struct check_partition *partition = NEW(struct check_partition);
  partition->checker = checker;
  snprintf(partition->topic, sizeof partition->topic, "%s", topic);
  partition->number = number;
  partition->retains = retains;
  list_push_back(&checker->partitions, &partition->node);
  return partition;
}

void check_partition_deleted(struct check_partition *partition) { partition->deleted = true; }
bool check_partition_is_deleted(const struct check_partition *partition) { return partition->deleted; }
int64_t check_partition_end(const struct check_partition *partition) { return partition->end; }
int64_t check_partition_start(const struct check_partition *partition) { return partition->start; }
uint64_t checker_acked(const struct checker *checker) { return checker->acked; }
uint64_t checker_refused(const struct checker *checker) { return checker->refused; }
uint64_t checker_unknown(const struct checker *checker) { return checker->unknown; }

uint64_t checker_hash(const struct checker *checker) {
  uint64_t hash = checker->seed;
  list_for_each(&checker->partitions, node, following) {
    const struct check_partition *partition = list_entry(node, struct check_partition, node);
    hash = xxh3(hash, bytes_of(partition->at, partition->at_count * sizeof *partition->at));
  }
  return hash;
}

/* ---- Values: number, size, sum, and filler that follows from the number ---- */

uint64_t check_append(struct check_partition *partition, uint64_t writer) {
  struct checker *checker = partition->checker;
  if (checker->attempt_count == checker->attempt_capacity) {
    checker->attempt_capacity = checker->attempt_capacity == 0 ? 1024 : checker->attempt_capacity * 2;
    checker->attempts = memory_grow_array(checker->attempts, checker->attempt_capacity, sizeof *checker->attempts);
  }
  checker->attempts[checker->attempt_count] =
      (struct attempt){.partition = partition, .floor = partition->end, .offset = -1, .writer = writer};
  partition->sent++;
  return checker->attempt_count++;
}

static uint64_t value_sum(const struct checker *checker, const uint8_t *value, size_t size) {
  uint64_t sum = xxh3(checker->seed, bytes_of(value, 16));
  return size > CHECK_VALUE_MIN ? xxh3(sum, bytes_of(value + CHECK_VALUE_MIN, size - CHECK_VALUE_MIN)) : sum;
}

void check_value(const struct checker *checker, uint64_t number, uint8_t *into, size_t size) {
  CHECK(size >= CHECK_VALUE_MIN);
  put_u64(into, number);
  put_u64(into + 8, size);
  uint64_t word = number * 0x9e3779b97f4a7c15u + checker->seed;
  for (size_t at = CHECK_VALUE_MIN; at < size; at++) into[at] = (uint8_t)(word >> (at % 8 * 8)) ^ (uint8_t)(at / 64);
  put_u64(into + 16, value_sum(checker, into, size));
}

static struct attempt *attempt_of(struct check_partition *partition, struct cairn_bytes value) {
  struct checker *checker = partition->checker;
  if (value.size < CHECK_VALUE_MIN) return NULL;
  uint64_t number = get_u64(value.data);
  bool ours = number < checker->attempt_count && get_u64((const uint8_t *)value.data + 8) == value.size &&
              get_u64((const uint8_t *)value.data + 16) == value_sum(checker, value.data, value.size);
  return ours ? &checker->attempts[number] : NULL;
}

/* ---- What is where ---- */

static uint64_t number_of(const struct attempt *attempt) { return (uint64_t)(attempt - attempt->partition->checker->attempts); }

static uint64_t *place_at(struct check_partition *partition, int64_t offset) {
  if ((size_t)offset >= partition->at_count) {
    size_t count = (size_t)offset + 1 + partition->at_count / 2 + 64;
    partition->at = memory_grow_array(partition->at, count, sizeof *partition->at);
    memset(partition->at + partition->at_count, 0, (count - partition->at_count) * sizeof *partition->at);
    partition->at_count = count;
  }
  return &partition->at[offset];
}

/* The nearest neighbours of one writer that are known: enough, since every record is looked at. */
static void check_writer_order(struct check_partition *partition, const struct attempt *attempt, int64_t offset) {
  const struct attempt *attempts = partition->checker->attempts;
  if (attempt->writer == 0) return;
  for (int64_t at = offset - 1; at >= 0 && at > offset - 200; at--) {
    if (partition->at[at] == 0) continue;
    const struct attempt *before = &attempts[partition->at[at] - 1];
    if (before->writer != attempt->writer) continue;
    if (before > attempt)
      VIOLATION(partition, "A2 session-order", "record %llu of a producer stands at %lld, behind its later record %llu at %lld",
                (unsigned long long)number_of(attempt), (long long)offset, (unsigned long long)number_of(before), (long long)at);
    return;
  }
}

/* A record is known to stand at an offset, from an answer or from a read. */
static void settle(struct check_partition *partition, struct attempt *attempt, int64_t offset, const char *from) {
  unsigned long long number = (unsigned long long)number_of(attempt);
  if (offset < 0 || (uint64_t)offset >= partition->sent) {
    VIOLATION(partition, "L3 dense", "%s puts record %llu at offset %lld, though only %llu were ever sent", from, number,
              (long long)offset, (unsigned long long)partition->sent);
    return;
  }
  uint64_t *place = place_at(partition, offset);
  if (*place != 0 && *place != number + 1)
    VIOLATION(partition, "L4 immutable", "%s puts record %llu at offset %lld, where record %llu was seen", from, number,
              (long long)offset, (unsigned long long)*place - 1);
  if (attempt->offset >= 0 && attempt->offset != offset)
    VIOLATION(partition, "L4 immutable", "%s puts record %llu at offset %lld, and it was seen at %lld", from, number,
              (long long)offset, (long long)attempt->offset);
  if (attempt->state == ATTEMPT_REFUSED)
    VIOLATION(partition, "A1 executed-no", "record %llu was refused as not executed, and %s puts it at offset %lld", number, from,
              (long long)offset);
  if (offset < attempt->floor)
    VIOLATION(partition, "A6 real-time", "%s puts record %llu at offset %lld; when it was begun, the log ended at %lld", from,
              number, (long long)offset, (long long)attempt->floor);
  attempt->offset = offset;
  *place = number + 1;
  check_writer_order(partition, attempt, offset);
  if (offset >= partition->end) partition->end = offset + 1;
}

void check_appended(struct checker *checker, uint64_t number, enum check_outcome outcome, int64_t offset) {
  CHECK(number < checker->attempt_count);
  struct attempt *attempt = &checker->attempts[number];
  CHECK(attempt->state == ATTEMPT_OPEN);
  switch (outcome) {
    case CHECK_ACKED:
      checker->acked++;
      attempt->state = ATTEMPT_ACKED;
      if (!attempt->partition->deleted) settle(attempt->partition, attempt, offset, "an answer");
      return;
    case CHECK_REFUSED:
      checker->refused++;
      attempt->state = ATTEMPT_REFUSED;
      if (attempt->offset >= 0)
        VIOLATION(attempt->partition, "A1 executed-no", "record %llu was read at offset %lld, and then refused as not executed",
                  (unsigned long long)number, (long long)attempt->offset);
      return;
    case CHECK_UNKNOWN:
      checker->unknown++;
      attempt->state = ATTEMPT_UNKNOWN;
      return;
  }
}

void check_expected(struct check_partition *partition, int64_t expected, int code, const struct cairn_error *error, int64_t got) {
  if (code == CAIRN_OK && got != expected)
    VIOLATION(partition, "A5 conditional", "an append that expected offset %lld got %lld", (long long)expected, (long long)got);
  if (code != CAIRN_ABORTED || strcmp(error->reason, "OFFSET_MISMATCH") != 0) return;
  if (!error->has_next_offset || error->next_offset == expected)
    VIOLATION(partition, "A5 conditional",
              "an append that expected offset %lld was refused, though the log is said to end at %lld", (long long)expected,
              (long long)error->next_offset);
  if (!partition->deleted && error->has_next_offset && error->next_offset > partition->end) partition->end = error->next_offset;
}

/* ---- Looks ---- */

struct check_look check_look_begin(const struct check_partition *partition) {
  return (struct check_look){.end = partition->end, .start = partition->start};
}

void check_look_end(struct check_partition *partition, const struct check_look *look, int64_t high_watermark, int64_t log_start) {
  if (partition->deleted) return;
  if (high_watermark >= 0) {
    if (high_watermark < look->end)
      VIOLATION(partition, "A3 read-your-writes", "the log is said to end at %lld; it ended at %lld before that was asked",
                (long long)high_watermark, (long long)look->end);
    if ((uint64_t)high_watermark > partition->sent)
      VIOLATION(partition, "L3 dense", "the log is said to end at %lld; only %llu records were ever sent",
                (long long)high_watermark, (unsigned long long)partition->sent);
    if (high_watermark > partition->end) partition->end = high_watermark;
  }
  if (log_start < 0) return;
  if (log_start < look->start)
    VIOLATION(partition, "A7 trim", "the log is said to start at %lld; it started at %lld before that was asked",
              (long long)log_start, (long long)look->start);
  if (log_start > partition->trim_asked && !partition->retains)
    VIOLATION(partition, "A7 trim", "the log is said to start at %lld; nobody asked to trim beyond %lld", (long long)log_start,
              (long long)partition->trim_asked);
  if (log_start > partition->start) partition->start = log_start;
}

void check_record(struct check_partition *partition, const struct cairn_record *record) {
  if (partition->deleted) return;
  struct attempt *attempt = attempt_of(partition, record->value);
  if (attempt == NULL) {
    VIOLATION(partition, "L4 immutable", "the record at offset %lld was never sent (%zu bytes)", (long long)record->offset,
              record->value.size);
  } else if (attempt->partition != partition) {
    VIOLATION(partition, "L4 immutable", "the record at offset %lld is one of %s/%u", (long long)record->offset,
              attempt->partition->topic, attempt->partition->number);
  } else {
    settle(partition, attempt, record->offset, "a read");
  }
}

void check_trim_begin(struct check_partition *partition, int64_t before) {
  if (before > partition->trim_asked) partition->trim_asked = before;
}

void check_trim_end(struct check_partition *partition, int64_t log_start) {
  struct check_look look = check_look_begin(partition);
  look.start = 0; /* another trim may have overtaken the answer */
  check_look_end(partition, &look, -1, log_start);
}

void check_leader(struct checker *checker, uint64_t group, uint64_t term, uint32_t leader) {
  struct leadership *found = NEW(struct leadership);
  put_u64(found->key, group);
  put_u64(found->key + 8, term);
  found->leader = leader;
  struct leadership *known = map_get(checker->leaders, bytes_of(found->key, sizeof found->key));
  if (known == NULL) {
    map_put(checker->leaders, bytes_of(found->key, sizeof found->key), found);
    return;
  }
  if (known->leader != leader)
    checker_violation(checker, "R4 one-leader", "group %llu is led by broker %u and by broker %u in term %llu",
                      (unsigned long long)group, known->leader, leader, (unsigned long long)term);
  memory_free(found);
}

/* ---- What brokers tell ---- */

static struct history *history_of(struct checker *checker, uint64_t group) {
  uint8_t key[8];
  put_u64(key, group);
  struct history *history = map_get(checker->histories, bytes_of(key, sizeof key));
  if (history != NULL) return history;
  history = NEW(struct history);
  put_u64(history->key, group);
  map_put(checker->histories, bytes_of(history->key, sizeof history->key), history);
  return history;
}

void check_applied(struct checker *checker, uint32_t broker, uint64_t group, uint64_t index,
                   const struct check_applied *applied) {
  struct history *history = history_of(checker, group);
  CHECK(index > 0);
  if (index > history->count) {
    size_t count = index + history->count / 2 + 16;
    history->entries = memory_grow_array(history->entries, count, sizeof *history->entries);
    memset(history->entries + history->count, 0, (count - history->count) * sizeof *history->entries);
    history->count = count;
  }
  struct check_applied *known = &history->entries[index - 1];
  if (known->entry_term == 0) *known = *applied;
  if (known->entry_term != applied->entry_term || known->chain != applied->chain)
    checker_violation(checker, "R13 one-history",
                      "group %llu: at index %llu broker %u applies an entry of term %llu, chain %016llx; applied before was one "
                      "of term %llu, %016llx",
                      (unsigned long long)group, (unsigned long long)index, broker, (unsigned long long)applied->entry_term,
                      (unsigned long long)applied->chain, (unsigned long long)known->entry_term,
                      (unsigned long long)known->chain);
}

void check_leads(struct checker *checker, uint32_t broker, uint64_t group, uint64_t term, uint64_t last_index) {
  const struct history *history = history_of(checker, group);
  check_leader(checker, group, term, broker);
  for (uint64_t index = history->count; index > last_index; index--) {
    const struct check_applied *known = &history->entries[index - 1];
    if (known->entry_term == 0 || known->term >= term) continue; /* committed by a later leader, perhaps */
    checker_violation(checker, "R14 leader-complete",
                      "group %llu: broker %u leads in term %llu with a log up to %llu; %llu was committed in term %llu or before",
                      (unsigned long long)group, broker, (unsigned long long)term, (unsigned long long)last_index,
                      (unsigned long long)index, (unsigned long long)known->term);
    return;
  }
}

void check_error(struct checker *checker, const char *call, const struct cairn_error *error) {
  if (error->code == CAIRN_INTERNAL || error->code == CAIRN_UNKNOWN)
    checker_violation(checker, "A10 no-internal", "%s: %s: %s", call, error->reason, error->message);
}

/* ---- The end ---- */

void check_final(struct check_partition *partition, int64_t log_start, int64_t end) {
  if (partition->deleted) return;
  for (int64_t offset = log_start; offset < end; offset++) {
    if (*place_at(partition, offset) == 0)
      VIOLATION(partition, "L3 dense", "offset %lld was not read, between %lld and %lld", (long long)offset, (long long)log_start,
                (long long)end);
  }
}
