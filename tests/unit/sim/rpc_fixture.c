#include "tests/unit/sim/rpc_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/os/world_os.h"
#include "proto/rpc_grpc.h"
#include "tests/sim/sim_rpc.h"

struct rpc *fixture_open_rpc(struct fixture *f) {
  struct rpc *rpc = NULL;
  if (f->sim != NULL) return sim_rpc_new(sim_world_process(f->processes[1]), f->net, f->host, NULL);
  assert_int_equal(rpc_grpc_open(&rpc), STATUS_OK);
  return rpc;
}

void fixture_close_rpc(struct fixture *f, struct rpc *rpc) {
  if (f->sim != NULL) sim_rpc_free(rpc);
  else rpc_grpc_close(rpc);
}

void fixture_pause_ms(struct fixture *f, unsigned ms) {
  if (f->sim != NULL) sim_run_for(f->sim, (uint64_t)ms * 1000000u);
  else usleep(ms * 1000);
}

enum status fixture_serve(struct fixture *f, struct rpc *rpc, const char *listen, uint16_t *out_port) {
  struct rpc_serve_options options = {.listen = listen,
                                      .handlers = echo_handlers,
                                      .handler_count = echo_handler_count,
                                      .service = &f->echo,
                                      .message_bytes_max = MESSAGE_MAX,
                                      .memory_bytes_max = 64u * 1024 * 1024,
                                      .streams_max = 1000,
                                      .calls_max = CALLS_MAX,
                                      .peer_calls_max = f->peer_calls_max,
                                      .message_wait_ns = MESSAGE_WAIT_NS,
                                      .account = &f->account};
  return rpc_serve(rpc, &options, out_port);
}

/* `lane` is known before anything is served: the transport's thread looks at it. */
static int begin(struct fixture *f, struct loop *lane, void **state) {
  echo_init(&f->echo);
  f->echo.loop = lane;
  account_init(&f->account, 16u * 1024 * 1024);
  assert_int_equal(fixture_serve(f, f->server, "127.0.0.1:0", &f->port), STATUS_OK);
  snprintf(f->address, sizeof f->address, "127.0.0.1:%u", f->port);
  f->channel = rpc_channel_open(f->client, f->address);
  *state = f;
  return 0;
}

int fixture_real_set_up(void **state) {
  struct fixture *f = NEW(struct fixture);
  assert_int_equal(world_os_open("/", false, &f->world), STATUS_OK);
  f->server = fixture_open_rpc(f);
  f->client = fixture_open_rpc(f);
  return begin(f, world_loop_new(f->world, "lane", 0), state);
}

int fixture_one_thread_set_up(void **state) {
  struct fixture *f = NEW(struct fixture);
  assert_int_equal(world_os_open("/", false, &f->world), STATUS_OK);
  f->server = fixture_open_rpc(f);
  f->client = rpc_grpc_open_beside(f->server);
  return begin(f, rpc_grpc_loop_new(f->server, "lane"), state);
}

static struct sim *working; /* for echo_work() */

static bool work(void) { return sim_step(working); }

int fixture_simulated_set_up(void **state) {
  struct fixture *f = NEW(struct fixture);
  f->sim = sim_new(29);
  f->net = sim_net_new(f->sim);
  f->host = sim_host_new(f->net, "10.0.0.1");
  f->device = sim_disk_new(f->sim, "disk", 1 << 20);
  f->processes[0] = sim_world_new(f->sim, f->device, "server");
  f->processes[1] = sim_world_new(f->sim, f->device, "client");
  f->server = sim_rpc_new(sim_world_process(f->processes[0]), f->net, f->host, NULL);
  f->client = fixture_open_rpc(f);
  working = f->sim;
  echo_work = work;
  return begin(f, world_loop_new(sim_world_doors(f->processes[0]), "lane", 0), state);
}

int fixture_tear_down(void **state) {
  struct fixture *f = *state;
  rpc_channel_close(f->channel);
  rpc_serve_stop(f->server, 0);
  fixture_close_rpc(f, f->client);
  echo_deinit(&f->echo);
  loop_stop(f->echo.loop);
  fixture_close_rpc(f, f->server);
  assert_int_equal(account_used(&f->account), 0);
  echo_work = NULL;
  for (int i = 0; i < 2; i++) sim_world_free(f->processes[i]);
  sim_disk_free(f->device);
  sim_net_free(f->net);
  sim_free(f->sim);
  world_os_close(f->world);
  memory_free(f);
  return 0;
}

void assert_failed(const struct exchange *exchange, enum grpc_status code, enum status reason, enum executed executed) {
  assert_int_equal(exchange->code, code);
  assert_string_equal(status_name(exchange->failure.reason), status_name(reason));
  assert_int_equal(exchange->failure.executed, executed);
}

void assert_echoed(const struct exchange *exchange, const void *data, size_t size) {
  assert_int_equal(exchange->code, GRPC_CODE_OK);
  assert_int_equal(exchange->count, 1);
  assert_int_equal(exchange->messages[0]->size, size);
  if (size > 0) assert_memory_equal(exchange->messages[0]->data, data, size);
}
