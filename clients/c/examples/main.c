#include <stdio.h>

#include "clients/c/examples/append_read.h"

int main(int argc, char **argv) {
  if (argc == 3) return append_read(argv[1], argv[2]) == 0 ? 0 : 1;
  fprintf(stderr, "usage: append_read HOST:PORT TOPIC\n");
  return 2;
}
