/* A server that echoes and a client, each with its own instance, and one channel between them: on gRPC (with threads of their own, or all on one) or
 * on simulated wires, and the test cannot tell which.
 */
#ifndef CAIRN_TESTS_UNIT_SIM_RPC_FIXTURE_H
#define CAIRN_TESTS_UNIT_SIM_RPC_FIXTURE_H

#include "base/world.h"
#include "tests/sim/sim_net.h"
#include "tests/sim/sim_world.h"
#include "tests/unit/proto/echo.h"

#define MESSAGE_MAX (1024u * 1024u)
#define CALLS_MAX 8u
#define MESSAGE_WAIT_NS (2 * SECOND_NS)

struct fixture {
  struct echo echo;
  struct account account;
  struct rpc *server;
  struct rpc *client;
  unsigned peer_calls_max;
  uint16_t port;
  char address[32];
  struct rpc_channel *channel;
  struct exchange exchange, other;
  struct world *world; /* the real one; NULL: all is pretended */
  struct sim *sim;
  struct sim_net *net;
  struct sim_host *host;
  struct sim_disk *device;
  struct sim_world *processes[2];
};

int fixture_real_set_up(void **state);
int fixture_one_thread_set_up(void **state); /* real: server, client and the lane share it */
int fixture_simulated_set_up(void **state);
int fixture_tear_down(void **state);

#define ON_ALL(test)                                                                       \
  {#test " (real)", test, fixture_real_set_up, fixture_tear_down, NULL},                   \
      {#test " (one thread)", test, fixture_one_thread_set_up, fixture_tear_down, NULL}, { \
#test " (simulated)", test, fixture_simulated_set_up, fixture_tear_down, NULL          \
  }

/* Another instance, on the client's side. */
struct rpc *fixture_open_rpc(struct fixture *f);
void fixture_close_rpc(struct fixture *f, struct rpc *rpc);

enum status fixture_serve(struct fixture *f, struct rpc *rpc, const char *listen, uint16_t *out_port);
void fixture_pause_ms(struct fixture *f, unsigned ms);

void assert_failed(const struct exchange *exchange, enum grpc_status code, enum status reason, enum executed executed);
/* With this one message. */
void assert_echoed(const struct exchange *exchange, const void *data, size_t size);

#endif
