/* Appends that find no room in the journal: how soon there is some, and who gets it. On pretended doors, so that time is exact. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/wire.h"
#include "security/random.h"
#include "server/partition.h"
#include "tests/sim/sim_world.h"

#define KIB 1024u
#define MIB (1024u * KIB)
#define MS_NS ((uint64_t)1000000)
#define SECOND_NS (1000 * MS_NS)
#define PARTITIONS 8u
#define ACCEPTED_MAX 16u

/* One append after another to a partition, or with `once` a single one. */
struct stream {
  struct partition_append append;
  struct room *room;
  unsigned number;
  unsigned partition;
  uint32_t bytes;
  bool once;
  uint64_t patience_ns;
  uint64_t handed_in_ns;
  uint64_t longest_ns;
  unsigned appended;
  unsigned refused;
};

struct room {
  struct sim *sim;
  struct sim_disk *device;
  struct sim_world *machine;
  struct world *world;
  struct account account;
  struct log_set *logs;
  struct lane *lane;
  struct offload *inflater;
  struct partition_host host;
  struct partition *partitions[PARTITIONS];
  struct stream streams[64];
  unsigned stream_count;
  bool stopping;
  void (*story)(struct room *room);
  char order[ACCEPTED_MAX]; /* whose appends were proposed first, as letters */
  size_t accepted;
};

static struct room room;

/* ---- The machine ---- */

static void nap(uint64_t ns) { sim_block(sim_world_process(room.machine), ns); }

struct errand {
  struct task task;
  void (*run)(void);
  bool done;
};
static void run_errand(struct task *task) {
  struct errand *errand = container_of(task, struct errand, task);
  errand->run();
  errand->done = true;
}
static void on_lane(void (*run)(void)) {
  struct errand errand = {.task.run = run_errand, .run = run};
  loop_post(room.host.loop, &errand.task);
  while (!errand.done) nap(MS_NS / 10);
}

static void make_partitions(void) {
  struct log_settings settings = partition_log_settings(&topic_settings_default);
  for (unsigned i = 0; i < PARTITIONS; i++) {
    struct partition_place place = {.topic_id = 1, .number = i, .group = i + 1, .instance = 1};
    struct log *log = log_create(room.logs, room.host.loop, lane_write(room.lane), place.group, 1, &settings);
    if (partition_open(&room.host, log, &place, &topic_settings_default, &room.partitions[i]) != STATUS_OK) fail();
    partition_start(room.partitions[i]);
  }
}

static void open_all(void) {
  account_init(&room.account, 64 * MIB);
  struct log_set_options options = {
      .journal = {.ring_bytes = 6 * 256 * KIB,
                  .file_bytes = 256 * KIB,
                  .group_bytes_max = 128 * KIB,
                  .files_ready = 2,
                  .idle_close_ms = 20},
      .tail_bytes = MIB,
      .store_bytes_max = 64 * MIB,
      .readers = 1,
      .checkpoint_interval_ms = 60000,
      .account = &room.account,
  };
  struct log_identity identity = {.broker_id = 1};
  struct log_set_report report;
  if (log_set_open(room.world, &options, &identity, &room.logs, &identity, &report, NULL) != STATUS_OK) fail();
  room.lane = lane_new(room.world, room.logs, 0, NULL, NULL);
  room.inflater = offload_new(room.world, "inflater");
  room.host = (struct partition_host){.lane = room.lane,
                                      .loop = lane_loop(room.lane),
                                      .inflater = room.inflater,
                                      .self = {.broker = 1},
                                      .uncompressed_bytes_max = MIB,
                                      .waiters_max = 64,
                                      .append_stall_ns = 5 * SECOND_NS,
                                      .retention_interval_ns = 3600 * SECOND_NS,
                                      .producers_max = 3};
  partition_host_init(&room.host);
  on_lane(make_partitions);
}

static void close_all(void) {
  offload_free(room.inflater);
  lane_stop(room.lane);
  log_set_close(room.logs, false);
  partition_host_close(&room.host);
  for (unsigned i = 0; i < PARTITIONS; i++) partition_release(room.partitions[i]);
  lane_free(room.lane);
}

static void live(void *context) {
  (void)context;
  open_all();
  room.story(&room);
  close_all();
}

static void tell(void (*story)(struct room *room)) {
  memset(&room, 0, sizeof room);
  assert_int_equal(random_start(), STATUS_OK);
  random_use_seed(1);
  room.sim = sim_new(1);
  room.device = sim_disk_new(room.sim, "disk", (uint64_t)1024 * MIB);
  room.machine = sim_world_new(room.sim, room.device, "broker");
  room.world = sim_world_doors(room.machine);
  room.story = story;
  sim_world_boot(room.machine, live, NULL);
  assert_true(sim_run_until(room.sim, sim_world_booted, room.machine, 600 * SECOND_NS));
  sim_world_kill(room.machine);
  sim_world_free(room.machine);
  sim_disk_free(room.device);
  sim_free(room.sim);
}

/* ---- Streams of appends ---- */

static struct blob *one_record(uint32_t bytes) {
  uint8_t head[32];
  uint8_t *at = wire_put_bytes_head(head, 2, bytes);
  size_t inner = (size_t)(at - head);
  uint8_t outer[16];
  size_t outer_size = (size_t)(wire_put_bytes_head(outer, 1, inner + bytes) - outer);
  struct blob *blob = NULL;
  if (blob_new(NULL, outer_size + inner + bytes, &blob) != STATUS_OK) fail();
  memset(blob->data, 'v', blob->size);
  memcpy(blob->data, outer, outer_size);
  memcpy(blob->data + outer_size, head, inner);
  return blob;
}

static void hand_in(struct stream *stream);

static void accepted(struct partition_append *append) {
  if (room.accepted < ACCEPTED_MAX)
    room.order[room.accepted++] = (char)('A' + container_of(append, struct stream, append)->number);
}

static void done(struct partition_append *append) {
  struct stream *stream = container_of(append, struct stream, append);
  uint64_t took_ns = sim_now_ns(room.sim) - stream->handed_in_ns;
  if (took_ns > stream->longest_ns) stream->longest_ns = took_ns;
  if (append->failure == NULL) stream->appended++;
  else stream->refused++, stream->once = true;
  memory_free(append->failure);
  if (!stream->once && !room.stopping) hand_in(stream);
}

static void hand_in(struct stream *stream) {
  struct blob *payload = one_record(stream->bytes);
  stream->append = (struct partition_append){.partition = room.partitions[stream->partition],
                                             .message = payload,
                                             .request.payload = bytes_of(payload->data, payload->size),
                                             .patience_ns = stream->patience_ns,
                                             .accepted = accepted,
                                             .done = done};
  stream->handed_in_ns = sim_now_ns(room.sim);
  partition_append(&stream->append);
}

static struct stream *add_stream(unsigned partition, uint32_t bytes, bool once) {
  struct stream *stream = &room.streams[room.stream_count];
  *stream = (struct stream){.room = &room,
                            .number = room.stream_count++,
                            .partition = partition,
                            .bytes = bytes,
                            .once = once,
                            .patience_ns = UINT64_MAX};
  return stream;
}

static unsigned all_done(void) {
  unsigned count = 0;
  for (unsigned i = 0; i < room.stream_count; i++) count += room.streams[i].appended + room.streams[i].refused;
  return count;
}

/* ---- The tests ---- */

/* Seven partitions are written to without a pause, by as many as can wait; the eighth now and then. */
static uint64_t rare_longest_ns, busy_longest_ns;
static unsigned rare_appended, rare_refused, busy_refused, busy_appended;

static void begin_busy(void) {
  for (unsigned i = 0; i < 7 * 4; i++) hand_in(add_stream(i % 7, 2000 + 997 * i, false));
}
static struct stream *rare;
static void append_rare(void) { hand_in(rare); }

static void a_rare_one_among_busy_ones(struct room *of) {
  (void)of;
  on_lane(begin_busy);
  rare = add_stream(7, 20000, true);
  for (unsigned i = 0; i < 20; i++) {
    nap(200 * MS_NS);
    unsigned before = rare->appended + rare->refused;
    on_lane(append_rare);
    while (rare->appended + rare->refused == before) nap(MS_NS);
  }
  room.stopping = true;
  nap(6 * SECOND_NS);
  rare_longest_ns = rare->longest_ns;
  rare_appended = rare->appended;
  rare_refused = rare->refused;
  busy_longest_ns = busy_refused = busy_appended = 0;
  for (unsigned i = 0; i < 28; i++) {
    struct stream *stream = &room.streams[i];
    busy_refused += stream->refused;
    busy_appended += stream->appended;
    if (stream->longest_ns > busy_longest_ns) busy_longest_ns = stream->longest_ns;
  }
}

static void none_waits_long_on_a_small_ring(void **state) {
  (void)state;
  tell(a_rare_one_among_busy_ones);

  print_message("rare: %u appended, at most %" PRIu64 " ms; busy: %u appended, at most %" PRIu64 " ms\n", rare_appended,
                rare_longest_ns / MS_NS, busy_appended, busy_longest_ns / MS_NS);
  assert_int_equal(rare_appended, 20);
  assert_int_equal(rare_refused, 0);
  assert_int_equal(busy_refused, 0);
  assert_in_range(rare_longest_ns, 0, 500 * MS_NS);
  assert_in_range(busy_longest_ns, 0, 500 * MS_NS);
  assert_in_range(busy_appended, 1000, UINT32_MAX);
}

/* One application, small batches to all partitions in turn: whenever the ring is full, nothing else happens on the lane. */
static uint64_t one_longest_ns;
static unsigned one_next;

static void append_next(void) {
  room.streams[0].partition = one_next++ % PARTITIONS;
  hand_in(&room.streams[0]);
}

static void small_ones_in_turn(struct room *of) {
  (void)of;
  struct stream *stream = add_stream(0, 100, true);
  for (unsigned i = 0; i < 1500; i++) {
    on_lane(append_next);
    while (stream->appended + stream->refused == i) nap(MS_NS / 10);
  }
  one_longest_ns = stream->refused > 0 ? UINT64_MAX : stream->longest_ns;
}

static void room_comes_soon_for_one_who_waits_alone(void **state) {
  (void)state;
  one_next = 0;
  tell(small_ones_in_turn);

  print_message("at most %" PRIu64 " ms\n", one_longest_ns / MS_NS);
  assert_in_range(one_longest_ns, 2 * MS_NS, 200 * MS_NS); /* it did wait */
}

/* The room is taken by nobody's appends, and given back at will. */
static unsigned taken;
static void take_all_room(void) {
  for (taken = 0; log_set_admit(room.logs, 1000) == STATUS_OK;) taken++;
}
static void give_room_back(void) {
  for (; taken > 0; taken--) log_set_admit_undo(room.logs, 1000);
}

static char order_of_five[8];

static void hand_in_four(void) {
  take_all_room();
  for (unsigned i = 0; i < 4; i++) hand_in(add_stream(i % 2, 1000, true));
}
static void give_back_and_hand_in_one_more(void) {
  give_room_back();
  hand_in(add_stream(2, 1000, true));
}

static void five_in_order(struct room *of) {
  (void)of;
  on_lane(hand_in_four);
  nap(100 * MS_NS);
  if (all_done() > 0) snprintf(order_of_five, sizeof order_of_five, "early");
  on_lane(give_back_and_hand_in_one_more);
  while (all_done() < 5) nap(MS_NS / 10);
  if (order_of_five[0] == '\0') memcpy(order_of_five, room.order, 5);
}

static void room_goes_to_those_who_came_first(void **state) {
  (void)state;
  memset(order_of_five, 0, sizeof order_of_five);
  tell(five_in_order);

  assert_string_equal(order_of_five, "ABCDE");
}

/* Whoever has less patience than those before it is told in time. */
static uint64_t patient_ns, impatient_ns;
static bool patient_appended, impatient_refused;

static void hand_in_two(void) {
  take_all_room();
  hand_in(add_stream(0, 1000, true));
  struct stream *impatient = add_stream(1, 1000, true);
  impatient->patience_ns = 200 * MS_NS;
  hand_in(impatient);
}

static void two_of_different_patience(struct room *of) {
  (void)of;
  on_lane(hand_in_two);
  nap(1000 * MS_NS);
  on_lane(give_room_back);
  while (all_done() < 2) nap(MS_NS / 10);
  patient_ns = room.streams[0].longest_ns;
  impatient_ns = room.streams[1].longest_ns;
  patient_appended = room.streams[0].appended == 1;
  impatient_refused = room.streams[1].refused == 1;
}

static void patience_is_ones_own(void **state) {
  (void)state;
  tell(two_of_different_patience);

  assert_true(impatient_refused);
  assert_in_range(impatient_ns, 100 * MS_NS, 110 * MS_NS); /* half of it: an answer in time tells more than a deadline */
  assert_true(patient_appended);
  assert_in_range(patient_ns, 1000 * MS_NS, 1100 * MS_NS);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(none_waits_long_on_a_small_ring),
      cmocka_unit_test(room_comes_soon_for_one_who_waits_alone),
      cmocka_unit_test(room_goes_to_those_who_came_first),
      cmocka_unit_test(patience_is_ones_own),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
