/* The few calls that the floors and loads without gRPC make of sockets. What fails ends the program. */
#ifndef CAIRN_TOOLS_BENCH_SOCKETS_H
#define CAIRN_TOOLS_BENCH_SOCKETS_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static inline void sockets_fail(const char *what) {
  perror(what);
  exit(1);
}

static inline void sockets_at_once(int socket_fd) {
  int on = 1;
  if (setsockopt(socket_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) sockets_fail("TCP_NODELAY");
}

/* To 127.0.0.1. */
static inline int sockets_connect(unsigned port) {
  int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (made < 0 || connect(made, (const struct sockaddr *)&address, sizeof address) != 0) sockets_fail("connect");
  sockets_at_once(made);
  return made;
}

/* Listens on a port of the kernel's choice. */
static inline int sockets_listen(unsigned *out_port) {
  int made = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  if (made < 0 || bind(made, (const struct sockaddr *)&address, size) != 0 || listen(made, 8) != 0) sockets_fail("listen");
  if (getsockname(made, (struct sockaddr *)&address, &size) != 0) sockets_fail("getsockname");
  *out_port = ntohs(address.sin_port);
  return made;
}

static inline int sockets_accept(int listener) {
  int made = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  if (made < 0) sockets_fail("accept");
  sockets_at_once(made);
  return made;
}

static inline void sockets_do_not_wait(int socket_fd) {
  if (fcntl(socket_fd, F_SETFL, O_NONBLOCK) != 0) sockets_fail("O_NONBLOCK");
}

/* How many bytes went; 0: none just now. */
static inline size_t sockets_write(int socket_fd, const void *bytes, size_t size) {
  ssize_t wrote = send(socket_fd, bytes, size, MSG_NOSIGNAL);
  if (wrote < 0 && errno != EAGAIN && errno != EINTR) sockets_fail("send");
  return wrote < 0 ? 0 : (size_t)wrote;
}

/* How many came; 0: none just now, or, with `*out_ended`, no more ever. */
static inline size_t sockets_read(int socket_fd, void *into, size_t size, int *out_ended) {
  ssize_t got = recv(socket_fd, into, size, 0);
  if (got < 0 && errno != EAGAIN && errno != EINTR) sockets_fail("receive");
  *out_ended = got == 0;
  return got < 0 ? 0 : (size_t)got;
}

#endif
