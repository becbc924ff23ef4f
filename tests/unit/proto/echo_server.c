/* The echo service as a program, for stock clients: prints its port, serves until its standard input ends. A line "up" or "down" there
 * sets its health. */
#include <stdio.h>
#include <string.h>

#include "proto/rpc_grpc.h"
#include "tests/unit/proto/echo.h"

int main(void) {
  struct echo echo;
  struct rpc *rpc = NULL;
  struct account account;
  echo_init(&echo);
  account_init(&account, 64u * 1024 * 1024);
  echo.health = health_new();
  health_set(echo.health, "", true);
  if (reflection_new_embedded(&echo.reflection) != STATUS_OK || rpc_grpc_open(&rpc) != STATUS_OK) return 1;
  struct rpc_serve_options options = {.listen = "127.0.0.1:0",
                                      .handlers = echo_handlers,
                                      .handler_count = echo_handler_count,
                                      .service = &echo,
                                      .message_bytes_max = 4u * 1024 * 1024,
                                      .memory_bytes_max = 64u * 1024 * 1024,
                                      .streams_max = 1000,
                                      .calls_max = 1000,
                                      .account = &account};
  uint16_t port = 0;
  enum status status = rpc_serve(rpc, &options, &port);
  if (status != STATUS_OK) {
    fprintf(stderr, "%s\n", status_text(status));
    return 1;
  }
  printf("%u\n", port);
  fflush(stdout);
  char line[16];
  while (fgets(line, sizeof line, stdin) != NULL) health_set(echo.health, "", strcmp(line, "up\n") == 0);
  rpc_grpc_close(rpc);
  health_free(echo.health);
  reflection_free(echo.reflection);
  echo_deinit(&echo);
  return 0;
}
