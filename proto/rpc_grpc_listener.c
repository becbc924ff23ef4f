#include <arpa/inet.h>
#include <errno.h>
#include <grpc/grpc_security.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/codec.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/os/signals.h"
#include "base/trace.h"
#include "proto/rpc_grpc_flood.h"
#include "proto/rpc_grpc_internal.h"

/* The listening side of one instance: options, dispatch, stop, and the watchdog.
 *
 * The watchdog is a thread of its own, because it blocks in connect() and read(). It also ends the calls that stay silent. Its answer to a listener that does not answer is a
 * new grpc_server on the same port: the old one is shut down, which frees the port at once and lets its calls go on, and is destroyed
 * when C core says that it is down.
 */

#define ARMED_CALLS 64u /* calls C core may hand over before the thread gets to ask for more */
#define PROBE_INTERVAL_MS 1000u
#define PROBE_TIMEOUT_MS 1000
#define PROBE_MISSES_MAX 3u
#define PROBE_MISSES_BUSY_MAX 30u
#define BUSY_PERCENT 50u /* of a probe's time */
#define REBIND_INTERVAL_MS 20u
#define REBINDS_MAX 50u
#define HOST_SIZE 256u

struct listener {
  struct serving serving;
  const struct rpc_handler **table; /* by hash of the method's name; a power of two, at most half full */
  size_t table_size;

  char host[HOST_SIZE]; /* as given, brackets and all */
  uint16_t port;
  unsigned streams_max;
  grpc_resource_quota *quota;
  struct sockaddr_storage probe_address;
  socklen_t probe_address_size;

  struct flood_guard *guard;
  pthread_t watchdog;
  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t changed;
  struct server *servers; /* the newest first */
  bool stopping;
};

struct serving *rpc_grpc_serving(struct listener *listener) {
  return &listener->serving;
}

/* ---- Time ---- */

/* Under the lock: waits for a change, at most until then. */
static void wait_until(struct listener *listener, uint64_t deadline_ns) {
  struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / 1000000000u), .tv_nsec = (long)(deadline_ns % 1000000000u)};
  pthread_cond_timedwait(&listener->changed, &listener->lock, &deadline);
}

/* ---- Dispatch ---- */

static size_t slot_of(const struct listener *listener, struct bytes method) {
  return (size_t)xxh3(0, method) & (listener->table_size - 1);
}

static void build_table(struct listener *listener, const struct rpc_handler *handlers, size_t count) {
  listener->table_size = 8;
  while (listener->table_size < 2 * count) listener->table_size *= 2;
  listener->table = memory_new_array(listener->table_size, sizeof *listener->table);
  for (size_t i = 0; i < count; i++) {
    PRE(handlers[i].message != NULL);
    size_t slot = slot_of(listener, bytes_of_string(handlers[i].method));
    while (listener->table[slot] != NULL) {
      PRE(strcmp(listener->table[slot]->method, handlers[i].method) != 0);
      slot = (slot + 1) & (listener->table_size - 1);
    }
    listener->table[slot] = &handlers[i];
  }
}

const struct rpc_handler *rpc_grpc_find_handler(const struct listener *listener, struct bytes method) {
  for (size_t slot = slot_of(listener, method); listener->table[slot] != NULL; slot = (slot + 1) & (listener->table_size - 1)) {
    if (bytes_equal(bytes_of_string(listener->table[slot]->method), method)) return listener->table[slot];
  }
  return NULL;
}

/* ---- One grpc_server ---- */

/* Polling thread. */
static void destroy_if_over(struct server *server) {
  if (!server->is_down || atomic_load(&server->armed) > 0) return;
  struct listener *listener = server->listener;
  pthread_mutex_lock(&listener->lock);
  struct server **link = &listener->servers;
  while (*link != server) link = &(*link)->next;
  *link = server->next;
  grpc_server_destroy(server->handle);
  pthread_cond_broadcast(&listener->changed);
  pthread_mutex_unlock(&listener->lock);
  memory_free(server);
}

static void on_down(struct tag *tag, bool ok) {
  struct server *server = container_of(tag, struct server, down);
  CHECK(ok);
  server->is_down = true;
  destroy_if_over(server);
}

void rpc_grpc_server_disarmed(struct server *server) {
  atomic_fetch_sub(&server->armed, 1);
  destroy_if_over(server);
}

static char *const_name(const char *name) { return (char *)(uintptr_t)name; } /* C core's args are not const; it only reads */

static grpc_arg int_arg(const char *name, int value) {
  return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = const_name(name), .value.integer = value};
}

/* A request that is a little too large is read and refused with reason and advice; what is larger than twice the limit C core
 * cuts off unread, with a bare status. */
static int core_message_bytes_max(size_t bytes_max) {
  PRE(bytes_max < INT32_MAX / 2);
  return (int)(2 * bytes_max);
}

static grpc_server *create_handle(struct listener *listener) {
  grpc_arg args[] = {
      int_arg(GRPC_ARG_ALLOW_REUSEPORT, 0), /* or two brokers share a port without a word */
      int_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, core_message_bytes_max(listener->serving.message_bytes_max)),
      int_arg(GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, -1),
      int_arg(GRPC_ARG_MAX_CONCURRENT_STREAMS, (int)listener->streams_max),
      int_arg(GRPC_ARG_MAX_METADATA_SIZE, 8 * 1024),
      int_arg(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, 5000), /* default: 2 minutes */
      /* Inflating happens before any limit is checked: a 200 KB message became 200 MiB. */
      int_arg(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0),
      int_arg(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1 << GRPC_COMPRESS_NONE),
      int_arg(GRPC_ARG_HTTP2_BDP_PROBE, 1), /* without it a stream's window stays near 64 KiB */
      int_arg(GRPC_ARG_KEEPALIVE_TIME_MS, 30000),
      int_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000),
      int_arg(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
      int_arg(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10000), /* default: 5 minutes, then GOAWAY */
      int_arg(GRPC_ARG_ENABLE_CHANNELZ, 0),
      int_arg(GRPC_ARG_MAX_CHANNEL_TRACE_EVENT_MEMORY_PER_NODE, 0),
      {.type = GRPC_ARG_POINTER,
       .key = const_name(GRPC_ARG_RESOURCE_QUOTA),
       .value.pointer = {.p = listener->quota, .vtable = grpc_resource_quota_arg_vtable()}},
  };
  grpc_channel_args channel_args = {.num_args = sizeof args / sizeof args[0], .args = args};
  return grpc_server_create(&channel_args, NULL);
}

static bool bind_handle(struct listener *listener, grpc_server *handle, uint16_t *out_port) {
  char address[HOST_SIZE + 8];
  snprintf(address, sizeof address, "%s:%u", listener->host, listener->port);
  grpc_server_credentials *credentials = grpc_insecure_server_credentials_create();
  int port = grpc_server_add_http2_port(handle, address, credentials);
  grpc_server_credentials_release(credentials);
  *out_port = (uint16_t)port;
  return port > 0;
}

/* A started server on the listener's port, not on its list yet; NULL when the port cannot be had. */
static struct server *open_server(struct listener *listener) {
  grpc_server *handle = create_handle(listener);
  grpc_server_register_completion_queue(handle, listener->serving.transport->poller->queue, NULL);
  uint16_t port = 0;
  if (!bind_handle(listener, handle, &port)) {
    grpc_server_destroy(handle);
    return NULL;
  }
  if (listener->port == 0) listener->port = port; /* once: other threads read it from then on */
  grpc_server_start(handle);
  struct server *server = NEW(struct server);
  server->listener = listener;
  server->handle = handle;
  server->down.run = on_down;
  atomic_init(&server->armed, 0);
  return server;
}

static void publish_server(struct listener *listener, struct server *server) {
  pthread_mutex_lock(&listener->lock);
  server->next = listener->servers;
  listener->servers = server;
  pthread_mutex_unlock(&listener->lock);
  for (unsigned i = 0; i < ARMED_CALLS; i++) rpc_grpc_call_arm(server);
}

/* ---- The watchdog ---- */

enum probe { PROBE_ANSWERED, PROBE_SILENT, PROBE_UNKNOWN };

/* A client's preface (RFC 9113, section 3.4): the magic and an empty SETTINGS frame. */
static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";

static bool wait_for(int fd, short events, uint64_t deadline_ns) {
  uint64_t now = rpc_grpc_now_ns();
  struct pollfd one = {.fd = fd, .events = events};
  return now < deadline_ns && poll(&one, 1, (int)((deadline_ns - now) / 1000000u) + 1) == 1;
}

/* A connection that is made proves nothing, the kernel makes it alone. The server's SETTINGS frame is proof. */
static bool hear_settings(int fd, uint64_t deadline_ns) {
  uint8_t frame[9];
  size_t size = 0;
  while (size < sizeof frame) {
    if (!wait_for(fd, POLLIN, deadline_ns)) return false;
    ssize_t got = recv(fd, frame + size, sizeof frame - size, 0);
    if (got <= 0) return false;
    size += (size_t)got;
  }
  return frame[3] == 4;
}

static enum probe probe(const struct listener *listener) {
  uint64_t deadline_ns = rpc_grpc_now_ns() + PROBE_TIMEOUT_MS * UINT64_C(1000000);
  int fd = socket(listener->probe_address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return PROBE_UNKNOWN; /* no descriptor left: a new listener would not live either */
  const struct sockaddr *address = (const struct sockaddr *)(const void *)&listener->probe_address;
  enum probe result = PROBE_SILENT;
  int connected = connect(fd, address, listener->probe_address_size);
  if ((connected == 0 || errno == EINPROGRESS) && wait_for(fd, POLLOUT, deadline_ns) &&
      send(fd, preface, sizeof preface - 1, MSG_NOSIGNAL) == (ssize_t)(sizeof preface - 1) && hear_settings(fd, deadline_ns)) {
    result = PROBE_ANSWERED;
  }
  close(fd);
  return result;
}

/* Under the lock. Its calls go on until then. */
static void tell_down(struct server *server, uint64_t cancel_at_ns) {
  bool told = server->cancel_at_ns != 0;
  server->cancel_at_ns = cancel_at_ns == 0 ? 1 : cancel_at_ns;
  if (told) return;
  tag_leaves(&server->down);
  grpc_server_shutdown_and_notify(server->handle, server->listener->serving.transport->poller->queue, &server->down);
}

/* True when there is a listener again. */
static bool rebuild(struct listener *listener) {
  pthread_mutex_lock(&listener->lock);
  for (struct server *server = listener->servers; server != NULL; server = server->next) {
    if (server->cancel_at_ns == 0) tell_down(server, UINT64_MAX);
  }
  pthread_mutex_unlock(&listener->lock);

  /* The old socket is closed by another thread, soon. */
  for (unsigned i = 0; i < REBINDS_MAX; i++) {
    struct server *server = open_server(listener);
    if (server != NULL) {
      publish_server(listener, server);
      return true;
    }
    pthread_mutex_lock(&listener->lock);
    if (!listener->stopping) wait_until(listener, rpc_grpc_now_ns() + REBIND_INTERVAL_MS * UINT64_C(1000000));
    bool stopping = listener->stopping;
    pthread_mutex_unlock(&listener->lock);
    if (stopping) return false;
  }
  return false;
}

/* How long the polling thread has run or waited for a processor, ever; 0 where the kernel does not tell. */
static uint64_t thread_busy_ns(const struct transport *transport) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/task/%d/schedstat",
           atomic_load_explicit(&transport->poller->thread_id, memory_order_relaxed));
  unsigned long long ran_ns = 0;
  unsigned long long waited_ns = 0;
  FILE *file = fopen(path, "r");
  if (file == NULL) return 0;
  int count = fscanf(file, "%llu %llu", &ran_ns, &waited_ns);
  fclose(file);
  return count == 2 ? ran_ns + waited_ns : 0;
}

/* Silences in a row. A thread that has its hands full may be late with everything, and a new listener would not help it: it would take the
 * connections that there are from those who use them. So silence counts by itself only while the thread has time. */
struct silences {
  unsigned idle;
  unsigned busy;
};

static void watch_once(struct listener *listener, struct silences *silences) {
  const struct transport *transport = listener->serving.transport;
  uint64_t began_ns = rpc_grpc_now_ns();
  uint64_t busy_before_ns = thread_busy_ns(transport);
  switch (probe(listener)) {
    case PROBE_ANSWERED: *silences = (struct silences){0}; return;
    case PROBE_UNKNOWN: return;
    case PROBE_SILENT: break;
  }
  uint64_t took_ns = rpc_grpc_now_ns() - began_ns;
  bool busy = thread_busy_ns(transport) - busy_before_ns > took_ns * BUSY_PERCENT / 100;
  if (busy) silences->busy++;
  else silences->idle++;
  if (silences->idle < PROBE_MISSES_MAX && silences->idle + silences->busy < PROBE_MISSES_BUSY_MAX) return;
  trace_warn("listener_silent", "address=\"%s:%u\" misses=%u busy=%u", listener->host, listener->port, silences->idle,
             silences->busy);
  if (!rebuild(listener)) {
    trace_error("listener_not_rebuilt", "address=\"%s:%u\"", listener->host, listener->port);
    return; /* the next second tries again */
  }
  *silences = (struct silences){0};
  atomic_fetch_add_explicit(&listener->serving.transport->listener_rebuilds, 1, memory_order_relaxed);
  trace_warn("listener_rebuilt", "address=\"%s:%u\"", listener->host, listener->port);
}

static void *watch_forever(void *argument) {
  struct listener *listener = argument;
  struct silences silences = {0};
  pthread_mutex_lock(&listener->lock);
  while (!listener->stopping) {
    uint64_t next_ns = rpc_grpc_now_ns() + PROBE_INTERVAL_MS * UINT64_C(1000000);
    while (!listener->stopping && rpc_grpc_now_ns() < next_ns) wait_until(listener, next_ns);
    if (listener->stopping) break;
    pthread_mutex_unlock(&listener->lock);
    silence_give_up_overdue(&listener->serving.silence, rpc_grpc_now_ns());
    watch_once(listener, &silences);
    pthread_mutex_lock(&listener->lock);
  }
  pthread_mutex_unlock(&listener->lock);
  return NULL;
}

/* ---- Serve ---- */

/* "[::1]:7411", "localhost:0". */
static enum status split_address(const char *address, char *host, uint16_t *out_port) {
  const char *colon = strrchr(address, ':');
  if (colon == NULL || colon == address || (size_t)(colon - address) >= HOST_SIZE) return STATUS_INVALID;
  unsigned port = 0;
  size_t digits = 0;
  for (const char *at = colon + 1; *at >= '0' && *at <= '9' && digits < 6; at++, digits++)
    port = port * 10 + (unsigned)(*at - '0');
  if (digits == 0 || colon[1 + digits] != '\0' || port > UINT16_MAX) return STATUS_INVALID;
  memcpy(host, address, (size_t)(colon - address));
  host[colon - address] = '\0';
  *out_port = (uint16_t)port;
  return STATUS_OK;
}

/* Where the host is, for the probe and to learn why a port cannot be had: C core does not tell. */
static enum status resolve(const char *host, struct sockaddr_storage *out_address, socklen_t *out_size) {
  char name[HOST_SIZE];
  snprintf(name, sizeof name, "%s", host[0] == '[' ? host + 1 : host);
  size_t size = strlen(name);
  if (host[0] == '[' && size > 0 && name[size - 1] == ']') name[size - 1] = '\0';
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
  struct addrinfo *found = NULL;
  if (getaddrinfo(name, NULL, &hints, &found) != 0) return STATUS_INVALID;
  memcpy(out_address, found->ai_addr, found->ai_addrlen);
  *out_size = found->ai_addrlen;
  freeaddrinfo(found);
  return STATUS_OK;
}

static void set_port(struct sockaddr_storage *address, uint16_t port) {
  if (address->ss_family == AF_INET6) {
    ((struct sockaddr_in6 *)(void *)address)->sin6_port = htons(port);
  } else {
    ((struct sockaddr_in *)(void *)address)->sin_port = htons(port);
  }
}

static enum status why_not_bound(struct sockaddr_storage address, socklen_t size, uint16_t port) {
  int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return STATUS_IO;
  int yes = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  set_port(&address, port);
  int error = 0;
  if (bind(fd, (const struct sockaddr *)(const void *)&address, size) != 0 || listen(fd, 1) != 0) error = errno;
  close(fd);
  switch (error) {
    case EADDRINUSE: return STATUS_EXISTS;
    case EACCES: return STATUS_DENIED;
    case EADDRNOTAVAIL: return STATUS_INVALID;
    default: return STATUS_IO;
  }
}

/* A wildcard is asked on loopback. */
static void loopback_for_wildcard(struct sockaddr_storage *address) {
  if (address->ss_family == AF_INET6) {
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)(void *)address;
    if (IN6_IS_ADDR_UNSPECIFIED(&six->sin6_addr)) six->sin6_addr = in6addr_loopback;
  } else {
    struct sockaddr_in *four = (struct sockaddr_in *)(void *)address;
    if (four->sin_addr.s_addr == htonl(INADDR_ANY)) four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  }
}

static void free_listener(struct listener *listener) {
  grpc_resource_quota_unref(listener->quota);
  silence_deinit(&listener->serving.silence);
  callers_free(listener->serving.callers);
  pthread_cond_destroy(&listener->changed);
  pthread_mutex_destroy(&listener->lock);
  memory_free(listener->table);
  memory_free(listener);
}

static struct listener *new_listener(struct transport *transport, const struct rpc_serve_options *options) {
  struct listener *listener = NEW(struct listener);
  listener->serving.transport = transport;
  listener->serving.service = options->service;
  listener->serving.account = options->account;
  listener->serving.message_bytes_max = options->message_bytes_max;
  listener->serving.calls_max = options->calls_max;
  listener->serving.peer_calls_max = options->peer_calls_max == 0 ? options->calls_max : options->peer_calls_max;
  listener->serving.callers = callers_new(options->hash_seed);
  silence_init(&listener->serving.silence, options->message_wait_ns);
  atomic_init(&listener->serving.held_calls, 0);
  listener->streams_max = options->streams_max;
  build_table(listener, options->handlers, options->handler_count);
  listener->quota = grpc_resource_quota_create("cairn");
  if (options->memory_bytes_max > 0) grpc_resource_quota_resize(listener->quota, options->memory_bytes_max);
  pthread_mutex_init(&listener->lock, NULL);
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&listener->changed, &monotonic);
  pthread_condattr_destroy(&monotonic);
  return listener;
}

/* Under the lock. */
static void cancel_overdue(struct listener *listener, uint64_t now) {
  for (struct server *server = listener->servers; server != NULL; server = server->next) {
    if (server->cancel_at_ns != 0 && server->cancel_at_ns <= now) {
      grpc_server_cancel_all_calls(server->handle);
      server->cancel_at_ns = UINT64_MAX;
    }
  }
}

/* Ends all servers of the listener and waits until they are gone, and every handler with them. */
static void shut_down(struct listener *listener, uint64_t grace_ns) {
  uint64_t now = rpc_grpc_now_ns();
  uint64_t cancel_at_ns = grace_ns < UINT64_MAX - now ? now + grace_ns : UINT64_MAX;
  uint64_t give_up_at_ns = grace_ns < UINT64_MAX - now ? now + grace_ns / 2 : UINT64_MAX;
  pthread_mutex_lock(&listener->lock);
  for (struct server *server = listener->servers; server != NULL; server = server->next) tell_down(server, cancel_at_ns);
  /* C core may call a server down while calls of a lost connection are still to be told so. */
  while (listener->servers != NULL || atomic_load_explicit(&listener->serving.held_calls, memory_order_acquire) > 0) {
    if (rpc_grpc_now_ns() >= give_up_at_ns) silence_give_up_all(&listener->serving.silence);
    cancel_overdue(listener, rpc_grpc_now_ns());
    wait_until(listener, rpc_grpc_now_ns() + UINT64_C(5000000));
  }
  pthread_mutex_unlock(&listener->lock);
}

static enum status serve(struct transport *transport, const struct rpc_serve_options *options, uint16_t *out_port) {
  PRE(transport->listener == NULL);
  PRE(options->calls_max > 0 && options->streams_max > 0 && options->message_bytes_max > 0);
  struct listener *listener = new_listener(transport, options);
  enum status status = split_address(options->listen, listener->host, &listener->port);
  if (status != STATUS_OK) goto refuse;
  status = resolve(listener->host, &listener->probe_address, &listener->probe_address_size);
  if (status != STATUS_OK) goto refuse;
  struct server *server = open_server(listener);
  if (server == NULL) {
    status = why_not_bound(listener->probe_address, listener->probe_address_size, listener->port);
    goto refuse;
  }
  loopback_for_wildcard(&listener->probe_address);
  set_port(&listener->probe_address, listener->port);
  publish_server(listener, server);
  uint16_t port = listener->port;
  if (pthread_create(&listener->watchdog, NULL, watch_forever, listener) != 0) {
    shut_down(listener, 0);
    status = STATUS_IO;
    goto refuse;
  }
  pthread_setname_np(listener->watchdog, "rpc-watchdog");
  listener->guard = flood_guard_start(transport, port, listener->serving.account);
  pthread_mutex_lock(&transport->lock);
  transport->listener = listener;
  pthread_mutex_unlock(&transport->lock);
  *out_port = port;
  return STATUS_OK;

refuse:
  free_listener(listener);
  return status;
}

/* The watchdog and the guard begin here, and perhaps threads of C core. */
enum status rpc_grpc_serve(struct rpc *rpc, const struct rpc_serve_options *options, uint16_t *out_port) {
  struct transport *transport = transport_of(rpc);
  PRE(!rpc_grpc_on_thread(transport));
  sigset_t before;
  signals_hold(&before);
  enum status status = serve(transport, options, out_port);
  signals_let_go(&before);
  return status;
}

void rpc_grpc_serve_stop(struct rpc *rpc, uint64_t grace_ns) {
  struct transport *transport = transport_of(rpc);
  PRE(!rpc_grpc_on_thread(transport));
  pthread_mutex_lock(&transport->lock);
  struct listener *listener = transport->listener;
  transport->listener = NULL;
  pthread_mutex_unlock(&transport->lock);
  if (listener == NULL) return;

  pthread_mutex_lock(&listener->lock);
  listener->stopping = true;
  pthread_cond_broadcast(&listener->changed);
  pthread_mutex_unlock(&listener->lock);
  pthread_join(listener->watchdog, NULL);
  flood_guard_stop(listener->guard);
  shut_down(listener, grace_ns);
  free_listener(listener);
}
