/* The channel arguments of the floors and of the load: the same that matter for speed in proto/rpc_grpc, spelled out once more, because a
 * floor must not stand on the code that it measures.
 */
#ifndef CAIRN_TOOLS_BENCH_ARGS_H
#define CAIRN_TOOLS_BENCH_ARGS_H

#include <grpc/grpc.h>

#define BENCH_ARGS_MAX 6u

static inline size_t bench_args(grpc_arg args[BENCH_ARGS_MAX]) {
  size_t count = 0;
  const struct {
    const char *key;
    int value;
  } wanted[] = {
      {GRPC_ARG_ALLOW_REUSEPORT, 0}, {GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, 4 << 20},
      {GRPC_ARG_HTTP2_BDP_PROBE, 1}, {GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0},
      {GRPC_ARG_ENABLE_CHANNELZ, 0}, {GRPC_ARG_MAX_CHANNEL_TRACE_EVENT_MEMORY_PER_NODE, 0},
  };
  for (; count < sizeof wanted / sizeof *wanted; count++) {
    union {
      const char *in;
      char *out;
    } key = {.in = wanted[count].key}; /* C core only reads it */
    args[count] = (grpc_arg){.type = GRPC_ARG_INTEGER, .key = key.out, .value.integer = wanted[count].value};
  }
  return count;
}

#endif
