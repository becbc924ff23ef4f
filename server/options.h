/* Every setting of the broker, in one table: name, kind, default, bounds, meaning. `--help`, `--print-config`, the flags, the
 * environment and the configuration file are all read from it.
 *
 * A value is taken from the first place that has one: flag (--data-dir DIR), environment (CAIRN_DATA_DIR), file (data-dir = DIR),
 * default. An unknown name, or a value that cannot be read or lies out of bounds, is an error that names it, the nearest known
 * name, and what would be allowed. Sizes take KiB, MiB, GiB; times take ms, s, m, h.
 *
 * Plain data, no owner, no thread. Reads no file and no environment by itself: the caller brings both.
 */
#ifndef CAIRN_SERVER_OPTIONS_H
#define CAIRN_SERVER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "server/address.h"
#include "server/join.h"

#define OPTION_TEXT_SIZE 640u /* seven brokers in --join */
#define OPTIONS_MAX 64u
#define RACK_TEXT_SIZE 64u
#define OPTIONS_FILE_BYTES_MAX 65536u

/* Where a value came from; the greater overrides the lesser. */
enum option_origin { ORIGIN_DEFAULT, ORIGIN_FILE, ORIGIN_ENVIRONMENT, ORIGIN_FLAG };

/* In the order of the words in the table. */
enum lane_thread { LANE_THREAD_SHARED, LANE_THREAD_OWN };
enum preferred_leaders { PREFERRED_LEADERS_ON, PREFERRED_LEADERS_OFF };

struct options {
  char config[OPTION_TEXT_SIZE];
  char data_dir[OPTION_TEXT_SIZE];
  char listen[OPTION_TEXT_SIZE];
  char advertise[OPTION_TEXT_SIZE];
  char peer_listen[OPTION_TEXT_SIZE];
  char peer_advertise[OPTION_TEXT_SIZE];
  char join[OPTION_TEXT_SIZE];
  char rack[OPTION_TEXT_SIZE];
  bool insecure;
  uint64_t broker_id;
  uint64_t heartbeat_ms;
  uint64_t election_timeout_ms;
  uint64_t append_gather_ms;
  uint64_t catch_up_bytes_per_second;
  uint64_t replace_after_ms;
  uint64_t preferred_leaders; /* enum preferred_leaders */
  uint64_t preferred_leaders_after_ms;
  uint64_t preferred_leaders_hold_ms;
  uint64_t auto_balance; /* 0: off, 1: on */
  uint64_t balance_after_ms;
  uint64_t auto_upgrade;       /* 0: off, 1: on */
  uint64_t feature_level_most; /* 0: whatever this version can */
  uint64_t lanes;
  uint64_t lane_thread; /* enum lane_thread */
  uint64_t log_level;   /* enum trace_level */

  uint64_t journal_bytes;
  uint64_t journal_file_bytes;
  uint64_t journal_group_bytes;
  uint64_t journal_idle_close_ms;
  uint64_t checkpoint_interval_ms;
  uint64_t store_bytes_max;
  uint64_t disk_reserve_bytes;
  uint64_t readers;

  uint64_t memory_bytes;
  uint64_t tail_cache_bytes;
  uint64_t request_bytes_max;
  uint64_t uncompressed_bytes_max;
  uint64_t transport_memory_bytes;
  uint64_t streams_max;
  uint64_t calls_max;
  uint64_t peer_share_percent;
  uint64_t message_wait_ms;
  uint64_t waiters_max;
  uint64_t append_stall_ms;
  uint64_t producers_max;
  uint64_t map_watches_max;
  uint64_t map_history_changes;
  uint64_t drain_ms;

  uint64_t segment_bytes;
  uint64_t record_bytes_max;
  uint64_t retention_check_interval_ms;

  enum option_origin origins[OPTIONS_MAX]; /* by row of the table */
};

/* What the command line asks for besides values. */
enum options_action { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_VERSION, OPTIONS_PRINT };

void options_init(struct options *options); /* defaults */

/* Each overrides what lesser origins have set and leaves alone what greater ones have. STATUS_INVALID: `out_problem` has a sentence. */
enum status options_read_flags(struct options *options, int argc, char *const *argv, enum options_action *out_action,
                               struct buffer *out_problem) MUST_CHECK;
enum status options_read_environment(struct options *options, char *const *environment, struct buffer *out_problem) MUST_CHECK;
enum status options_read_file(struct options *options, const char *path, struct bytes contents,
                              struct buffer *out_problem) MUST_CHECK;

/* What no single row can tell: values that do not go together. */
enum status options_check(const struct options *options, struct buffer *out_problem) MUST_CHECK;

/* The brokers that found a cluster: those of join, and this one. PRE: checked. */
void options_named(const struct options *options, struct join *out_named);
/* Where other brokers reach this one; "": nowhere, it has no peers. PRE: checked. */
void options_peer_address(const struct options *options, char out_address[ADDRESS_TEXT_SIZE]);
/* What it shares with others that fall when it falls; "": not known. PRE: checked. */
void options_rack(const struct options *options, char out_rack[RACK_TEXT_SIZE]);

/* One setting that was read anew with another value. */
struct option_change {
  const char *name;
  struct bytes was, is;
  bool taken; /* false: it needs a restart */
};
struct options_reloaded {
  size_t taken;
  size_t need_restart;
};
/* Takes over from `fresh`, which was read and checked like the first, what may change without a restart, and tells all that differs: each change
 * before it is taken. */
struct options_reloaded options_reload(struct options *options, const struct options *fresh,
                                       void (*tell)(const struct option_change *change));

void options_print_help(struct buffer *out);
void options_print_config(const struct options *options, struct buffer *out);

#define CAIRND_VERSION "0.1.0"

#endif
