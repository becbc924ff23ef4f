#include <string.h>

#include "base/wire.h"
#include "controller/feature_level.h"
#include "server/options_internal.h"

#define KIB ((uint64_t)1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)
#define SECOND ((uint64_t)1000)
#define HOUR (SECOND * 3600)
/* What stock gRPC clients accept is 4 MiB; an answer needs a little more than the batch in it. */
#define REQUEST_BYTES_MAX (4 * MIB - 2 * KIB)

#define AT(field) offsetof(struct options, field)

const struct option_row option_rows[] = {
    {"config", OPTION_TEXT, AT(config), "", 0, 0, false, "FILE", "Where",
     "read settings from FILE: lines of `name = value`, # begins a comment"},
    {"data-dir", OPTION_TEXT, AT(data_dir), "./cairn-data", 1, 0, false, "DIR", "Where",
     "everything the broker keeps; made if it is absent; one broker per directory"},
    {"listen", OPTION_TEXT, AT(listen), "127.0.0.1:7411", 1, 0, false, "HOST:PORT", "Where",
     "where clients connect; port 0 picks a free one"},
    {"advertise", OPTION_TEXT, AT(advertise), "", 0, 0, false, "HOST:PORT", "Where",
     "the address that clients are told; default: that of --listen; required when that is a wildcard"},
    {"peer-listen", OPTION_TEXT, AT(peer_listen), "", 0, 0, false, "HOST:PORT", "Where",
     "where the cluster's other brokers connect, and nobody else; without it the broker is a cluster of one"},
    {"peer-advertise", OPTION_TEXT, AT(peer_advertise), "", 0, 0, false, "HOST:PORT", "Where",
     "the address that other brokers are told; default: its own in --join, else that of --peer-listen"},
    {"join", OPTION_TEXT, AT(join), "", 0, 0, false, "ID=HOST:PORT,...", "Where",
     "brokers of the cluster and their peer addresses; with an empty data directory it is founded by them together, once all of "
     "them are there"},
    {"rack", OPTION_TEXT, AT(rack), "", 0, 0, false, "NAME", "Where",
     "what this broker shares with others that fall when it falls, such as a rack or a zone: replicas of a partition are kept "
     "apart from one another by it"},
    {"insecure", OPTION_FLAG, AT(insecure), "false", 0, 1, false, NULL, "Where",
     "serve beyond loopback without encryption: whoever reaches a port may do everything"},
    {"broker-id", OPTION_COUNT, AT(broker_id), "1", 1, UINT32_MAX, false, "N", "Where",
     "this broker's number in its cluster; kept in the data directory"},
    {"heartbeat-ms", OPTION_TIME, AT(heartbeat_ms), "100ms", 10, 10000, false, "TIME", "Where",
     "how often brokers tell each other that they are alive"},
    {"election-timeout-ms", OPTION_TIME, AT(election_timeout_ms), "1000ms", 50, 100000, false, "TIME", "Where",
     "after so long without a word from a leader, up to twice that, another replica stands for election"},
    {"log-level", OPTION_CHOICE, AT(log_level), "info", 0, 3, true, "error|warn|info|debug", "Where",
     "what is written to standard error"},

    {"lanes", OPTION_COUNT, AT(lanes), "0", 0, 64, false, "N", "Work",
     "threads that own partitions; 0: half of the processors, at least 1. With 1, clients and brokers are heard on one thread "
     "too"},
    {"lane-thread", OPTION_CHOICE, AT(lane_thread), "shared", 0, 1, false, "shared|own", "Work",
     "with one lane: whether it works on the thread on which clients and brokers are heard, or on its own"},
    {"readers", OPTION_COUNT, AT(readers), "2", 1, 16, false, "N", "Work", "threads that read cold data from disk"},
    {"append-gather-ms", OPTION_TIME, AT(append_gather_ms), "2ms", 0, 1000, false, "TIME", "Work",
     "how long a few records may wait to go to a replica together, while it still writes the ones before; 0: they do not"},
    {"catch-up-bytes-per-second", OPTION_SIZE, AT(catch_up_bytes_per_second), "32MiB", MIB, 64 * GIB, false, "SIZE", "Work",
     "how fast new replicas get what they lack, all that this broker gives, or takes: live traffic has the rest"},
    {"replace-after-ms", OPTION_TIME, AT(replace_after_ms), "10m", 0, 365 * 24 * HOUR, false, "TIME", "Work",
     "how long a broker is missed before its replicas are made anew on others; 0: never"},
    {"preferred-leaders", OPTION_CHOICE, AT(preferred_leaders), "on", 0, 1, true, "on|off", "Work",
     "whether this broker hands what it leads to the first of a partition's replicas that may lead"},
    {"preferred-leaders-after-ms", OPTION_TIME, AT(preferred_leaders_after_ms), "30s", 100, 24 * HOUR, true, "TIME", "Work",
     "and for how long that one has to have been up and willing before; longer for one that falls again and again"},
    {"preferred-leaders-hold-ms", OPTION_TIME, AT(preferred_leaders_hold_ms), "1h", 0, 365 * 24 * HOUR, true, "TIME", "Work",
     "how long a leader that was asked for (cairn partition transfer) stays in that one's place"},
    {"auto-balance", OPTION_CHOICE, AT(auto_balance), "off", 0, 1, true, "off|on", "Work",
     "spread replicas and leaders evenly by itself, a few moves at a time, while all brokers are up and nobody else moves "
     "anything; "
     "give all brokers the same"},
    {"balance-after-ms", OPTION_TIME, AT(balance_after_ms), "5m", SECOND, 365 * 24 * HOUR, false, "TIME", "Work",
     "how long everything has to be calm before that begins"},
    {"auto-upgrade", OPTION_CHOICE, AT(auto_upgrade), "off", 0, 1, true, "off|on", "Work",
     "raise the cluster's feature level by itself once all brokers are up and can, which cannot be taken back (else: cairn "
     "cluster "
     "upgrade); "
     "give all brokers the same"},
    {"feature-level-most", OPTION_COUNT, AT(feature_level_most), "0", 0, FEATURE_LEVEL_MOST, false, "N", "Work",
     "what this broker tells to be able to, at most: holds the cluster back at this feature level; 0: all that this version can"},
    {"retention-check-interval-ms", OPTION_TIME, AT(retention_check_interval_ms), "30s", 10, 24 * HOUR, true, "TIME", "Work",
     "how often each partition is asked what retention lets go"},
    {"drain-ms", OPTION_TIME, AT(drain_ms), "10s", 0, HOUR, true, "TIME", "Work",
     "after SIGTERM: how long open calls may take to finish"},

    {"journal-bytes", OPTION_SIZE, AT(journal_bytes), "512MiB", 6 * MIB, 64 * GIB, false, "SIZE", "Disk",
     "the journal's ring of recycled files; appends are refused while all of it waits for a checkpoint, and a start may need so "
     "much memory for a moment"},
    {"journal-file-bytes", OPTION_SIZE, AT(journal_file_bytes), "64MiB", MIB, 4 * GIB, false, "SIZE", "Disk",
     "one file of the ring; the ring has at least six"},
    {"journal-group-bytes", OPTION_SIZE, AT(journal_group_bytes), "1MiB", 64 * KIB, 4 * MIB, false, "SIZE", "Disk",
     "what one sync covers, at most"},
    {"journal-idle-close-ms", OPTION_TIME, AT(journal_idle_close_ms), "20ms", 1, 10 * SECOND, false, "TIME", "Disk",
     "an idle journal writes a closing group after this long"},
    {"checkpoint-interval-ms", OPTION_TIME, AT(checkpoint_interval_ms), "60s", 10, 24 * HOUR, false, "TIME", "Disk",
     "how long anything waits for a checkpoint, at most; a quarter of the ring being full starts one too, and a deletion within "
     "5 s"},
    {"store-bytes-max", OPTION_SIZE, AT(store_bytes_max), "16GiB", 16 * MIB, 1024 * GIB, false, "SIZE", "Disk",
     "address space kept for the tables (index, positions); not memory, and not taken from the disk until used"},
    {"disk-reserve-bytes", OPTION_SIZE, AT(disk_reserve_bytes), "64MiB", 0, 1024 * GIB, false, "SIZE", "Disk",
     "appends are refused while less than this is free beyond what waits for a checkpoint"},

    {"memory-bytes", OPTION_SIZE, AT(memory_bytes), "512MiB", 16 * MIB, 1024 * GIB, false, "SIZE", "Bounds",
     "batches in memory: received, kept for readers, on their way out (of those read from disk at most half of it); beyond it "
     "requests are refused"},
    {"tail-cache-bytes", OPTION_SIZE, AT(tail_cache_bytes), "64MiB", 0, 512 * GIB, false, "SIZE", "Bounds",
     "of that, the newest batches, kept for readers at the tail"},
    {"transport-memory-bytes", OPTION_SIZE, AT(transport_memory_bytes), "256MiB", 16 * MIB, 1024 * GIB, false, "SIZE", "Bounds",
     "gRPC's own buffers"},
    {"request-bytes-max", OPTION_SIZE, AT(request_bytes_max), "4190208", 64 * KIB, REQUEST_BYTES_MAX, false, "SIZE", "Bounds",
     "a larger request is refused; just under the 4 MiB that stock clients accept as an answer"},
    {"uncompressed-bytes-max", OPTION_SIZE, AT(uncompressed_bytes_max), "16MiB", 64 * KIB, 64 * MIB, false, "SIZE", "Bounds",
     "a compressed batch that declares more than this is refused; readers have to hold as much"},
    {"streams-max", OPTION_COUNT, AT(streams_max), "1000", 1, 100000, false, "N", "Bounds", "open calls of one connection"},
    {"calls-max", OPTION_COUNT, AT(calls_max), "20000", 1, 1000000, false, "N", "Bounds", "open calls of all connections"},
    {"peer-share-percent", OPTION_COUNT, AT(peer_share_percent), "50", 1, 100, false, "N", "Bounds",
     "of calls-max, what the connections of one address may hold; more where all clients come through one proxy"},
    {"message-wait-ms", OPTION_TIME, AT(message_wait_ms), "10s", 100, HOUR, false, "TIME", "Bounds",
     "how long the request of a call may take to arrive once the call is open; streams may stay silent"},
    {"waiters-max", OPTION_COUNT, AT(waiters_max), "4096", 1, 1000000, false, "N", "Bounds",
     "reads and appends that wait on one partition; the next is refused"},
    {"append-stall-ms", OPTION_TIME, AT(append_stall_ms), "5s", 0, HOUR, false, "TIME", "Bounds",
     "how long an append waits for room before it is refused, though never past half of its deadline"},
    {"producers-max", OPTION_COUNT, AT(producers_max), "1024", 1, 65536, false, "N", "Bounds",
     "producers that one partition remembers; a new one beyond it makes the one forgotten that appended least recently"},
    {"map-watches-max", OPTION_COUNT, AT(map_watches_max), "4096", 1, 100000, false, "N", "Bounds",
     "watches of the cluster's map that may be open; the next is refused"},
    {"map-history-changes", OPTION_COUNT, AT(map_history_changes), "16384", 16, 1048576, false, "N", "Bounds",
     "the newest changes of the map that are kept, in memory (of 16 MiB together) so that a watch can go on, and in the log of "
     "group 0 for "
     "brokers that were away; whoever is behind them gets the whole map"},

    {"segment-bytes", OPTION_SIZE, AT(segment_bytes), "256MiB", MIB, GIB, false, "SIZE", "Defaults of new topics",
     "begin a new segment file beyond this size"},
    {"record-bytes-max", OPTION_SIZE, AT(record_bytes_max), "1MiB", 1, 3 * MIB, false, "SIZE", "Defaults of new topics",
     "refuse larger records"},
};
const size_t option_row_count = sizeof option_rows / sizeof option_rows[0];
_Static_assert(sizeof option_rows / sizeof option_rows[0] <= OPTIONS_MAX, "origins has a place for each");

/* ---- Names ---- */

const struct option_row *option_find(struct bytes name) {
  for (size_t i = 0; i < option_row_count; i++)
    if (bytes_equal(bytes_of_string(option_rows[i].name), name)) return &option_rows[i];
  return NULL;
}

#define NAME_SIZE 64u

/* Levenshtein, one row at a time. */
static size_t edit_distance(struct bytes a, struct bytes b) {
  size_t row[NAME_SIZE + 1];
  if (a.size > NAME_SIZE || b.size > NAME_SIZE) return SIZE_MAX;
  for (size_t j = 0; j <= b.size; j++) row[j] = j;
  for (size_t i = 1; i <= a.size; i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size; j++) {
      size_t best = diagonal + (a.data[i - 1] == b.data[j - 1] ? 0 : 1);
      diagonal = row[j];
      if (row[j] + 1 < best) best = row[j] + 1;
      if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
      row[j] = best;
    }
  }
  return row[b.size];
}

const char *option_nearest(struct bytes name, size_t *out_distance) {
  const char *nearest = option_rows[0].name;
  *out_distance = SIZE_MAX;
  for (size_t i = 0; i < option_row_count; i++) {
    size_t distance = edit_distance(name, bytes_of_string(option_rows[i].name));
    if (distance >= *out_distance) continue;
    *out_distance = distance;
    nearest = option_rows[i].name;
  }
  return nearest;
}

/* ---- Values in ---- */

struct unit {
  const char *name;
  uint64_t factor;
};
static const struct unit sizes[] = {{"GiB", GIB}, {"MiB", MIB}, {"KiB", KIB}, {"B", 1}, {"", 1}};
static const struct unit times[] = {{"h", HOUR}, {"m", 60 * SECOND}, {"s", SECOND}, {"ms", 1}, {"", 1}};
static const struct unit counts[] = {{"", 1}};

static const struct unit *units_of(enum option_kind kind, size_t *out_count) {
  *out_count = kind == OPTION_SIZE ? sizeof sizes / sizeof *sizes : kind == OPTION_TIME ? sizeof times / sizeof *times : 1;
  return kind == OPTION_SIZE ? sizes : kind == OPTION_TIME ? times : counts;
}

static bool read_number(enum option_kind kind, struct bytes value, uint64_t *out_number) {
  uint64_t number = 0;
  size_t digits = 0;
  for (; digits < value.size && value.data[digits] >= '0' && value.data[digits] <= '9'; digits++) {
    uint64_t digit = (uint64_t)(value.data[digits] - '0');
    if (number > (UINT64_MAX - digit) / 10) return false;
    number = number * 10 + digit;
  }
  if (digits == 0) return false;
  struct bytes suffix = bytes_after(value, digits);
  while (suffix.size > 0 && suffix.data[0] == ' ') suffix = bytes_after(suffix, 1);
  size_t count = 0;
  const struct unit *units = units_of(kind, &count);
  for (size_t i = 0; i < count; i++) {
    if (!bytes_equal(bytes_of_string(units[i].name), suffix)) continue;
    if (number > UINT64_MAX / units[i].factor) return false;
    *out_number = number * units[i].factor;
    return true;
  }
  return false;
}

static bool read_flag(struct bytes value, bool *out_flag) {
  bool yes = bytes_equal(value, bytes_of_string("true")) || bytes_equal(value, bytes_of_string("1"));
  bool no = bytes_equal(value, bytes_of_string("false")) || bytes_equal(value, bytes_of_string("0"));
  if (yes || no) *out_flag = yes;
  return yes || no;
}

static bool read_choice(const char *words, struct bytes value, uint64_t *out_number) {
  uint64_t number = 0;
  for (const char *word = words;; number++) {
    size_t size = strcspn(word, "|");
    if (bytes_equal(bytes_of(word, size), value)) {
      *out_number = number;
      return true;
    }
    if (word[size] == '\0') return false;
    word += size + 1;
  }
}

static void *field_of(struct options *options, const struct option_row *row) { return (char *)options + row->offset; }

enum status option_set(struct options *options, const struct option_row *row, struct bytes value) {
  void *field = field_of(options, row);
  uint64_t number = 0;
  switch (row->kind) {
    case OPTION_TEXT:
      if (value.size < row->min || value.size >= OPTION_TEXT_SIZE || !utf8_valid_text(value)) return STATUS_INVALID;
      if (value.size > 0) memcpy(field, value.data, value.size);
      ((char *)field)[value.size] = '\0';
      return STATUS_OK;
    case OPTION_FLAG: return read_flag(value, field) ? STATUS_OK : STATUS_INVALID;
    case OPTION_CHOICE:
      if (!read_choice(row->placeholder, value, &number)) return STATUS_INVALID;
      break;
    case OPTION_COUNT:
    case OPTION_SIZE:
    case OPTION_TIME:
      if (!read_number(row->kind, value, &number) || number < row->min || number > row->max) return STATUS_INVALID;
      break;
  }
  memcpy(field, &number, sizeof number);
  return STATUS_OK;
}

/* ---- Values out ---- */

#define PRINT(...)                                       \
  do {                                                   \
    if (buffer_printf(__VA_ARGS__) != STATUS_OK) return; \
  } while (0)

void option_print_number(enum option_kind kind, uint64_t number, struct buffer *out) {
  size_t count = 0;
  const struct unit *units = units_of(kind, &count);
  for (size_t i = 0; i < count; i++) {
    bool last = i + 1 == count || units[i].factor == 1;
    if (!last && (number == 0 || number % units[i].factor != 0)) continue;
    PRINT(out, "%llu%s", (unsigned long long)(number / units[i].factor), kind == OPTION_SIZE && last ? "" : units[i].name);
    return;
  }
}

void option_print_value(const struct options *options, const struct option_row *row, struct buffer *out) {
  const char *field = (const char *)options + row->offset;
  uint64_t number = 0;
  switch (row->kind) {
    case OPTION_TEXT: PRINT(out, "%s", field); return;
    case OPTION_FLAG: PRINT(out, "%s", *(const bool *)(const void *)field ? "true" : "false"); return;
    case OPTION_CHOICE: {
      memcpy(&number, field, sizeof number);
      const char *word = row->placeholder;
      for (; number > 0; number--) word += strcspn(word, "|") + 1;
      PRINT(out, "%.*s", (int)strcspn(word, "|"), word);
      return;
    }
    case OPTION_COUNT:
    case OPTION_SIZE:
    case OPTION_TIME:
      memcpy(&number, field, sizeof number);
      option_print_number(row->kind, number, out);
      return;
  }
}

void option_print_bounds(const struct option_row *row, struct buffer *out) {
  switch (row->kind) {
    case OPTION_TEXT:
      PRINT(out, "%s text of at most %u bytes", row->min > 0 ? "a" : "a (perhaps empty)", OPTION_TEXT_SIZE - 1);
      return;
    case OPTION_FLAG: PRINT(out, "true or false"); return;
    case OPTION_CHOICE: PRINT(out, "one of %s", row->placeholder); return;
    case OPTION_COUNT: PRINT(out, "a number from "); break;
    case OPTION_SIZE: PRINT(out, "a size (bytes, KiB, MiB, GiB) from "); break;
    case OPTION_TIME: PRINT(out, "a time (ms, s, m, h) from "); break;
  }
  option_print_number(row->kind, row->min, out);
  PRINT(out, " to ");
  option_print_number(row->kind, row->max, out);
}
