/* Machines and the wires between them: what TCP gives to whoever speaks over it, and how it fails.
 *
 * A connection delivers frames whole and in order, or not at all any more; two connections have no order between them. A
 * link (one direction between two machines) has a latency, a jitter, a bandwidth, and packets that are lost, which costs a
 * retransmission. A link that is cut holds what is sent until it is mended; only time tells the two ends.
 *
 *   closed, or its process killed    the other end hears it, behind what was sent before (or instead of it)
 *   reset by a fault                 both ends hear it, and what was on its way is lost
 *   the power goes                   nobody hears anything; who sends to a machine that came back gets a reset
 *
 * 1. A process that is paused gets its frames when it goes on; its machine takes them meanwhile, and accepts nobody.
 * 2. Everything happens in events, one at a time: an end's functions are called from there and nowhere else.
 */
#ifndef CAIRN_TESTS_SIM_SIM_NET_H
#define CAIRN_TESTS_SIM_SIM_NET_H

#include "tests/sim/sim.h"
#include "tests/sim/sim_random.h"

#define SIM_HOST_NAME_SIZE 32u

struct sim_net;
struct sim_host;
struct sim_wire;

struct sim_net *sim_net_new(struct sim *sim);
void sim_net_free(struct sim_net *net); /* PRE: all ends are closed, nobody listens */

/* A machine with one address, "10.0.0.1"; "127.0.0.1" and "localhost" are itself. Owned by the net. */
struct sim_host *sim_host_new(struct sim_net *net, const char *name);
const char *sim_host_name(const struct sim_host *host);
/* Off: what is sent to it vanishes, and so do its ends of connections, without a word. */
void sim_host_power(struct sim_host *host, bool on);

/* From now on this is called whenever something that somebody sent has come, right before it is taken. NULL: nobody wants to know. */
void sim_host_listen_in(struct sim_host *host, void (*heard)(void *context), void *context);

/* ---- Links ---- */

struct sim_link {
  uint64_t latency_ns;
  uint64_t jitter_ns;        /* up to so much more, each frame by itself */
  uint64_t bytes_per_second; /* 0: no bound */
  uint32_t loss_per_million; /* frames that have to be sent again */
  bool cut;
};
struct sim_link sim_net_link(struct sim_net *net, const struct sim_host *from, const struct sim_host *to);
void sim_net_set_link(struct sim_net *net, const struct sim_host *from, const struct sim_host *to, struct sim_link link);

/* Resets each connection that touches the machine with so many chances in a hundred; NULL: any machine. Returns how many. */
unsigned sim_net_reset(struct sim_net *net, const struct sim_host *host, uint32_t percent);

/* ---- Ends ---- */

/* Embedded in what travels. */
struct sim_frame {
  struct list_node node;
  uint64_t due_ns;
  size_t size;
  unsigned signal; /* the net's own; 0 for all others */
  void (*drop)(struct sim_frame *frame);
};

/* One end of a connection, embedded in what its user makes of it. */
struct sim_end {
  const struct sim_end_ops *ops;
  struct sim_process *process;
  struct sim_wire *wire; /* NULL: over */
  unsigned side;
};
struct sim_end_ops {
  void (*up)(struct sim_end *end);                             /* of the side that connects: it is made */
  void (*frame)(struct sim_end *end, struct sim_frame *frame); /* takes over the frame */
  void (*lost)(struct sim_end *end);                           /* the last: reset, closed, or never made */
};

/* Begins to connect to "HOST:PORT". */
void sim_net_connect(struct sim_net *net, struct sim_host *from, const char *address, struct sim_end *end);
void sim_end_send(struct sim_end *end, struct sim_frame *frame); /* takes over the frame */
void sim_end_close(struct sim_end *end);             /* the other one hears of it; `lost` is not called. Fine when over */
const char *sim_end_peer(const struct sim_end *end); /* the other machine's name */

/* ---- Listeners ---- */

struct sim_listener {
  struct list_node node;
  struct sim_host *host;
  uint16_t port;
  struct sim_process *process;
  /* Somebody connected: the new end, with ops and process set. */
  struct sim_end *(*accept)(struct sim_listener *listener);
};
/* `port` 0 picks one. False: the port is taken. */
bool sim_net_listen(struct sim_host *host, uint16_t port, struct sim_listener *listener);
void sim_net_unlisten(struct sim_listener *listener);

#endif
