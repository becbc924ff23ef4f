#include "tests/sim/sim_net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/memory.h"

#define HOSTS_MAX 64u
#define FIRST_PORT 40000u
#define RESEND_NS 200000000u /* TCP waits at least so long before it sends again */

enum { SIGNAL_NONE, SIGNAL_CONNECT, SIGNAL_UP, SIGNAL_RESET };

struct sim_host {
  char name[SIM_HOST_NAME_SIZE];
  struct sim_net *net;
  unsigned number;
  bool off;
  struct list listeners;
  void (*heard)(void *context); /* NULL: nobody wants to know */
  void *heard_context;
};

/* Towards one end. */
struct sim_pipe {
  struct sim_wire *wire;
  unsigned side;
  struct list frames;
  struct sim_event arrival;
  uint64_t last_due_ns;
};

struct sim_wire {
  struct list_node node;
  struct sim_net *net;
  struct sim_host *hosts[2];
  struct sim_end *ends[2];
  struct sim_pipe pipes[2];
  uint16_t port;
  bool busy; /* an arrival is being told */
};

struct sim_net {
  struct sim *sim;
  struct sim_random chance;
  struct sim_host *hosts[HOSTS_MAX];
  unsigned host_count;
  struct sim_link links[HOSTS_MAX][HOSTS_MAX];
  struct list wires;
  uint16_t next_port;
};

static const struct sim_link default_link = {.latency_ns = 60000, .jitter_ns = 80000};

/* ---- Machines ---- */

struct sim_net *sim_net_new(struct sim *sim) {
  struct sim_net *net = NEW(struct sim_net);
  net->sim = sim;
  net->next_port = FIRST_PORT;
  sim_random_init(&net->chance, sim_seed(sim), "net");
  list_init(&net->wires);
  return net;
}

struct sim_host *sim_host_new(struct sim_net *net, const char *name) {
  CHECK(net->host_count < HOSTS_MAX);
  struct sim_host *host = NEW(struct sim_host);
  snprintf(host->name, sizeof host->name, "%s", name);
  host->net = net;
  host->number = net->host_count;
  list_init(&host->listeners);
  net->hosts[net->host_count++] = host;
  for (unsigned i = 0; i < net->host_count; i++) {
    net->links[i][host->number] = default_link;
    net->links[host->number][i] = default_link;
  }
  return host;
}

void sim_host_listen_in(struct sim_host *host, void (*heard)(void *context), void *context) {
  host->heard = heard;
  host->heard_context = context;
}

const char *sim_host_name(const struct sim_host *host) { return host->name; }

static struct sim_host *find_host(struct sim_net *net, struct sim_host *self, const char *name, size_t size) {
  if (bytes_equal(bytes_of(name, size), bytes_of_string("localhost"))) return self;
  if (bytes_equal(bytes_of(name, size), bytes_of_string("127.0.0.1"))) return self;
  for (unsigned i = 0; i < net->host_count; i++) {
    if (bytes_equal(bytes_of_string(net->hosts[i]->name), bytes_of(name, size))) return net->hosts[i];
  }
  return NULL;
}

/* ---- Pipes ---- */

static struct sim_host *sender_of(const struct sim_pipe *pipe) { return pipe->wire->hosts[1 - pipe->side]; }
static struct sim_host *receiver_of(const struct sim_pipe *pipe) { return pipe->wire->hosts[pipe->side]; }

static const struct sim_link *link_of(const struct sim_pipe *pipe) {
  return &pipe->wire->net->links[sender_of(pipe)->number][receiver_of(pipe)->number];
}

static void schedule(struct sim_pipe *pipe) {
  struct list_node *first = list_first(&pipe->frames);
  if (first == NULL || link_of(pipe)->cut || list_node_linked(&pipe->arrival.held)) return;
  sim_event_set(pipe->wire->net->sim, &pipe->arrival, list_entry(first, struct sim_frame, node)->due_ns);
}

static uint64_t travel_ns(struct sim_net *net, const struct sim_link *link, size_t size) {
  uint64_t ns = link->latency_ns + sim_random_below(&net->chance, link->jitter_ns + 1);
  if (link->bytes_per_second > 0) ns += (uint64_t)size * 1000000000u / link->bytes_per_second;
  for (uint64_t wait_ns = RESEND_NS; sim_random_below(&net->chance, 1000000) < link->loss_per_million; wait_ns *= 2)
    ns += wait_ns;
  return ns;
}

static void put(struct sim_pipe *pipe, struct sim_frame *frame) {
  struct sim_net *net = pipe->wire->net;
  frame->due_ns = sim_now_ns(net->sim) + travel_ns(net, link_of(pipe), frame->size);
  if (frame->due_ns < pipe->last_due_ns) frame->due_ns = pipe->last_due_ns;
  pipe->last_due_ns = frame->due_ns;
  bool was_empty = list_empty(&pipe->frames);
  list_push_back(&pipe->frames, &frame->node);
  if (was_empty) schedule(pipe);
}

static void drop_signal(struct sim_frame *frame) { memory_free(frame); }

static void put_signal(struct sim_pipe *pipe, unsigned signal) {
  struct sim_frame *frame = NEW(struct sim_frame);
  frame->signal = signal;
  frame->size = 64;
  frame->drop = drop_signal;
  put(pipe, frame);
}

static void drop_all(struct sim_pipe *pipe) {
  for (struct list_node *node; (node = list_pop_front(&pipe->frames)) != NULL;) {
    struct sim_frame *frame = list_entry(node, struct sim_frame, node);
    frame->drop(frame);
  }
  sim_event_cancel(pipe->wire->net->sim, &pipe->arrival);
}

/* ---- Wires ---- */

static void arrive(struct sim_event *event);

static struct sim_wire *wire_new(struct sim_net *net, struct sim_host *from, struct sim_host *to, uint16_t port) {
  struct sim_wire *wire = NEW(struct sim_wire);
  wire->net = net;
  wire->hosts[0] = from;
  wire->hosts[1] = to;
  wire->port = port;
  for (unsigned side = 0; side < 2; side++) {
    wire->pipes[side] = (struct sim_pipe){.wire = wire, .side = side, .arrival = {.fire = arrive}};
    list_init(&wire->pipes[side].frames);
  }
  list_push_back(&net->wires, &wire->node);
  return wire;
}

static void free_if_over(struct sim_wire *wire) {
  if (wire->busy || wire->ends[0] != NULL || wire->ends[1] != NULL) return;
  if (!list_empty(&wire->pipes[0].frames) || !list_empty(&wire->pipes[1].frames)) return;
  list_remove(&wire->node);
  memory_free(wire);
}

static void detach(struct sim_wire *wire, unsigned side) {
  struct sim_end *end = wire->ends[side];
  if (end == NULL) return;
  wire->ends[side] = NULL;
  end->wire = NULL;
}

static void lose(struct sim_wire *wire, unsigned side) {
  struct sim_end *end = wire->ends[side];
  if (end == NULL) return;
  detach(wire, side);
  end->ops->lost(end);
}

static struct sim_listener *find_listener(const struct sim_host *host, uint16_t port) {
  list_for_each(&host->listeners, node, following) {
    struct sim_listener *listener = list_entry(node, struct sim_listener, node);
    if (listener->port == port) return listener;
  }
  return NULL;
}

static void meet(struct sim_wire *wire, struct sim_listener *listener) {
  struct sim_end *end = listener->accept(listener);
  end->wire = wire;
  end->side = 1;
  wire->ends[1] = end;
  put_signal(&wire->pipes[0], SIGNAL_UP);
}

/* To an end that is no more: a machine that is up says so. */
static void answer_stranger(struct sim_wire *wire, unsigned side) {
  if (wire->hosts[side]->off || wire->ends[1 - side] == NULL) return;
  put_signal(&wire->pipes[1 - side], SIGNAL_RESET);
}

static void tell(struct sim_wire *wire, unsigned side, struct sim_frame *frame) {
  struct sim_end *end = wire->ends[side];
  struct sim_listener *listener = find_listener(wire->hosts[side], wire->port);
  unsigned signal = frame->signal;
  if (signal == SIGNAL_NONE && end != NULL) {
    end->ops->frame(end, frame);
    return;
  }
  frame->drop(frame);
  if (wire->hosts[side]->off) return;
  if (signal == SIGNAL_CONNECT && listener != NULL) meet(wire, listener);
  else if (signal == SIGNAL_UP && end != NULL) end->ops->up(end);
  else if (signal == SIGNAL_RESET) lose(wire, side);
  else answer_stranger(wire, side);
}

static struct sim_process *process_of(const struct sim_wire *wire, unsigned side) {
  if (wire->ends[side] != NULL) return wire->ends[side]->process;
  const struct sim_listener *listener = find_listener(wire->hosts[side], wire->port);
  return side == 1 && listener != NULL ? listener->process : NULL;
}

static void arrive(struct sim_event *event) {
  struct sim_pipe *pipe = container_of(event, struct sim_pipe, arrival);
  struct sim_wire *wire = pipe->wire;
  struct sim_process *process = process_of(wire, pipe->side);
  if (process != NULL && sim_process_holds(process, event)) return;
  struct list_node *node = list_pop_front(&pipe->frames);
  if (node == NULL) return;
  wire->busy = true;
  struct sim_frame *frame = list_entry(node, struct sim_frame, node);
  const struct sim_host *host = receiver_of(pipe);
  if (host->heard != NULL && frame->signal == SIGNAL_NONE) host->heard(host->heard_context);
  tell(wire, pipe->side, frame);
  wire->busy = false;
  schedule(pipe);
  free_if_over(wire);
}

/* ---- Ends ---- */

static uint16_t port_of(const char *address, const char **out_colon) {
  *out_colon = strrchr(address, ':');
  return *out_colon == NULL ? 0 : (uint16_t)strtoul(*out_colon + 1, NULL, 10);
}

void sim_net_connect(struct sim_net *net, struct sim_host *from, const char *address, struct sim_end *end) {
  const char *colon = NULL;
  uint16_t port = port_of(address, &colon);
  struct sim_host *to = colon == NULL ? NULL : find_host(net, from, address, (size_t)(colon - address));
  struct sim_wire *wire = wire_new(net, from, to == NULL ? from : to, port);
  wire->ends[0] = end;
  end->wire = wire;
  end->side = 0;
  if (to == NULL) put_signal(&wire->pipes[0], SIGNAL_RESET); /* no such machine */
  else put_signal(&wire->pipes[1], SIGNAL_CONNECT);
}

void sim_end_send(struct sim_end *end, struct sim_frame *frame) {
  frame->signal = SIGNAL_NONE;
  if (end->wire == NULL) frame->drop(frame);
  else put(&end->wire->pipes[1 - end->side], frame);
}

void sim_end_close(struct sim_end *end) {
  struct sim_wire *wire = end->wire;
  if (wire == NULL) return;
  unsigned side = end->side;
  detach(wire, side);
  /* What the kernel had not sent yet goes with it when it still had something to read. */
  if (sim_random_chance(&wire->net->chance, 50)) drop_all(&wire->pipes[1 - side]);
  drop_all(&wire->pipes[side]);
  if (wire->ends[1 - side] != NULL || !list_empty(&wire->pipes[1 - side].frames))
    put_signal(&wire->pipes[1 - side], SIGNAL_RESET);
  free_if_over(wire);
}

const char *sim_end_peer(const struct sim_end *end) {
  return end->wire == NULL ? "nobody" : end->wire->hosts[1 - end->side]->name;
}

/* ---- Listeners ---- */

bool sim_net_listen(struct sim_host *host, uint16_t port, struct sim_listener *listener) {
  if (port != 0 && find_listener(host, port) != NULL) return false;
  listener->host = host;
  listener->port = port != 0 ? port : ++host->net->next_port;
  list_push_back(&host->listeners, &listener->node);
  return true;
}

void sim_net_unlisten(struct sim_listener *listener) {
  if (list_node_linked(&listener->node)) list_remove(&listener->node);
}

/* ---- What breaks ---- */

struct sim_link sim_net_link(struct sim_net *net, const struct sim_host *from, const struct sim_host *to) {
  return net->links[from->number][to->number];
}

void sim_net_set_link(struct sim_net *net, const struct sim_host *from, const struct sim_host *to, struct sim_link link) {
  bool mended = net->links[from->number][to->number].cut && !link.cut;
  net->links[from->number][to->number] = link;
  list_for_each(&net->wires, node, following) {
    struct sim_wire *wire = list_entry(node, struct sim_wire, node);
    for (unsigned side = 0; side < 2; side++) {
      struct sim_pipe *pipe = &wire->pipes[side];
      if (sender_of(pipe) != from || receiver_of(pipe) != to) continue;
      if (link.cut) sim_event_cancel(net->sim, &pipe->arrival);
      if (!mended || list_empty(&pipe->frames)) continue;
      /* It is sent again when TCP tries next. */
      uint64_t again_ns = sim_now_ns(net->sim) + sim_random_below(&net->chance, 2 * RESEND_NS);
      list_for_each(&pipe->frames, frame, after) {
        struct sim_frame *waiting = list_entry(frame, struct sim_frame, node);
        if (waiting->due_ns < again_ns) waiting->due_ns = again_ns;
      }
      if (pipe->last_due_ns < again_ns) pipe->last_due_ns = again_ns;
      schedule(pipe);
    }
  }
}

unsigned sim_net_reset(struct sim_net *net, const struct sim_host *host, uint32_t percent) {
  unsigned count = 0;
  list_for_each(&net->wires, node, following) {
    struct sim_wire *wire = list_entry(node, struct sim_wire, node);
    bool touches = host == NULL || wire->hosts[0] == host || wire->hosts[1] == host;
    if (!touches || !sim_random_chance(&net->chance, percent)) continue;
    count++;
    for (unsigned side = 0; side < 2; side++) {
      drop_all(&wire->pipes[side]);
      if (wire->ends[side] != NULL) put_signal(&wire->pipes[side], SIGNAL_RESET);
    }
    free_if_over(wire);
  }
  return count;
}

void sim_host_power(struct sim_host *host, bool on) {
  host->off = !on;
  if (on) return;
  list_for_each(&host->net->wires, node, following) {
    struct sim_wire *wire = list_entry(node, struct sim_wire, node);
    for (unsigned side = 0; side < 2; side++) {
      if (wire->hosts[side] == host) lose(wire, side);
    }
    free_if_over(wire);
  }
}

void sim_net_free(struct sim_net *net) {
  if (net == NULL) return;
  list_for_each(&net->wires, node, following) {
    struct sim_wire *wire = list_entry(node, struct sim_wire, node);
    PRE(wire->ends[0] == NULL && wire->ends[1] == NULL);
    for (unsigned side = 0; side < 2; side++) drop_all(&wire->pipes[side]);
    free_if_over(wire);
  }
  CHECK(list_empty(&net->wires));
  for (unsigned i = 0; i < net->host_count; i++) {
    PRE(list_empty(&net->hosts[i]->listeners));
    memory_free(net->hosts[i]);
  }
  memory_free(net);
}
