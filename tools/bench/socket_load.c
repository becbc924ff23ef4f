/* Load over plain sockets: for replica_floor, and for NATS JetStream, whose protocol is lines of text.
 *
 *   socket_load bytes PORT -       OUTSTANDING MESSAGE_BYTES SECONDS [TOTAL_BYTES]
 *   socket_load nats  PORT SUBJECT OUTSTANDING MESSAGE_BYTES SECONDS
 *
 * One connection, one thread. `nats` publishes to SUBJECT, which a stream must hold, each message with an inbox of its own for JetStream's
 * acknowledgement: a message is answered when that has come, and says where in the stream it is. Prints one JSON object.
 */
#include <poll.h>
#include <stdbool.h>

#include "tools/bench/sockets.h"
#include "tools/bench/tally.h"

#define OUT_BYTES (1u << 20)
#define IN_BYTES (256u << 10)
#define OUTSTANDING_MAX 65536u

static int connection;
static unsigned outstanding, unanswered;
static size_t message_bytes;
static uint8_t *message;
static struct {
  uint8_t bytes[OUT_BYTES];
  size_t from, to;
} out;
static struct {
  char bytes[IN_BYTES];
  size_t size;
} in;

static void fail(const char *what) {
  fprintf(stderr, "socket_load: %s\n", what);
  exit(1);
}

static void put(const void *bytes, size_t size) {
  if (out.to + size > OUT_BYTES) fail("too much to send at once");
  memcpy(out.bytes + out.to, bytes, size);
  out.to += size;
}

static void put_text(const char *text) { put(text, strlen(text)); }

static void flush(void) {
  out.from += sockets_write(connection, out.bytes + out.from, out.to - out.from);
  if (out.from == out.to) out.from = out.to = 0;
}

static void receive(void) {
  int ended;
  if (in.size == IN_BYTES) fail("a line is too long");
  in.size += sockets_read(connection, in.bytes + in.size, IN_BYTES - in.size, &ended);
  if (ended) fail("the connection was closed");
}

static void drop_in(size_t size) {
  memmove(in.bytes, in.bytes + size, in.size - size);
  in.size -= size;
}

/* ---- Bytes, and how many of them are durable ---- */

static uint64_t sent_ns[OUTSTANDING_MAX]; /* a ring */
static uint64_t sent, answered;

static void send_bytes(void) {
  sent_ns[sent++ % OUTSTANDING_MAX] = tally_now_ns();
  put(message, message_bytes);
}

static void take_bytes(void) {
  size_t words = in.size / sizeof(uint64_t);
  if (words == 0) return;
  uint64_t durable;
  memcpy(&durable, in.bytes + (words - 1) * sizeof durable, sizeof durable);
  for (; (answered + 1) * message_bytes <= durable; answered++, unanswered--)
    tally_count(sent_ns[answered % OUTSTANDING_MAX], message_bytes);
  drop_in(words * sizeof durable);
}

/* ---- NATS ---- */

static const char *subject;
static uint64_t began_ns[OUTSTANDING_MAX]; /* by inbox */
static uint16_t free_inboxes[OUTSTANDING_MAX];
static unsigned free_count;

static void send_nats(void) {
  char line[128];
  unsigned inbox = free_inboxes[--free_count];
  int size = snprintf(line, sizeof line, "PUB %s _INBOX.load.%u %zu\r\n", subject, inbox, message_bytes);
  began_ns[inbox] = tally_now_ns();
  put(line, (size_t)size);
  put(message, message_bytes);
  put("\r\n", 2);
}

static void take_acknowledgement(unsigned inbox, const char *body, size_t size) {
  if (inbox >= outstanding) fail("an acknowledgement of nothing");
  bool well = memmem(body, size, "\"seq\":", 6) != NULL && memmem(body, size, "\"error\"", 7) == NULL;
  if (well) tally_count(began_ns[inbox], message_bytes);
  else tally_fail("JetStream refused a message");
  free_inboxes[free_count++] = (uint16_t)inbox;
  unanswered--;
}

/* One line, with what belongs to it. 0: it has not come whole. */
static size_t take_line(const char *line, size_t size) {
  const char *end = memmem(line, size, "\r\n", 2);
  if (end == NULL) return 0;
  size_t head = (size_t)(end - line) + 2;
  unsigned inbox;
  size_t body;
  char text[256];
  snprintf(text, sizeof text, "%.*s", (int)(end - line), line);
  if (sscanf(text, "MSG _INBOX.load.%u 1 %zu", &inbox, &body) == 2) {
    if (size < head + body + 2) return 0;
    take_acknowledgement(inbox, line + head, body);
    return head + body + 2;
  }
  if (strcmp(text, "PING") == 0) put_text("PONG\r\n");
  else if (strncmp(text, "-ERR", 4) == 0) fail(text);
  return head;
}

static void take_nats(void) {
  size_t at = 0;
  for (size_t taken; at < in.size && (taken = take_line(in.bytes + at, in.size - at)) > 0;) at += taken;
  drop_in(at);
}

static void greet(void) {
  put_text("CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"C\",\"version\":\"1\",\"protocol\":1}\r\nSUB _INBOX.load.* "
           "1\r\n");
  for (unsigned i = outstanding; i > 0; i--) free_inboxes[free_count++] = (uint16_t)(i - 1);
}

/* ---- The run ---- */

static void run(void (*send_one)(void), void (*take)(void)) {
  size_t room = message_bytes + 128;
  while (!tally_over() || unanswered > 0) {
    while (unanswered < outstanding && OUT_BYTES - out.to >= room && !tally_over()) {
      send_one();
      unanswered++;
    }
    flush();
    struct pollfd polled = {.fd = connection, .events = (short)(POLLIN | (out.to > 0 ? POLLOUT : 0))};
    if (poll(&polled, 1, -1) < 0) sockets_fail("poll");
    if ((polled.revents & ~POLLOUT) == 0) continue;
    receive();
    take();
  }
}

static uint64_t number(const char *text) { return strtoull(text, NULL, 10); }

int main(int argc, char **argv) {
  if (argc < 7) fail("usage: socket_load bytes|nats PORT SUBJECT OUTSTANDING MESSAGE_BYTES SECONDS [TOTAL_BYTES]");
  bool nats = strcmp(argv[1], "nats") == 0;
  subject = argv[3];
  outstanding = (unsigned)number(argv[4]);
  message_bytes = number(argv[5]);
  if (outstanding == 0 || outstanding > OUTSTANDING_MAX || message_bytes == 0 || message_bytes > OUT_BYTES / 4)
    fail("out of bounds");
  message = malloc(message_bytes);
  if (message == NULL) fail("no memory");
  for (size_t i = 0; i < message_bytes; i++) message[i] = (uint8_t)('a' + i * 7 % 26);
  connection = sockets_connect((unsigned)number(argv[2]));
  sockets_do_not_wait(connection);
  if (nats) greet();

  tally_begin(number(argv[6]) * UINT64_C(1000000000), argc > 7 ? number(argv[7]) : 0);
  run(nats ? send_nats : send_bytes, nats ? take_nats : take_bytes);
  return tally_report() ? 0 : 1;
}
