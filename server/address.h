/* HOST:PORT, as people write it: "127.0.0.1:7411", "[::1]:7411", "db1.example:7411". Looks nothing up. */
#ifndef CAIRN_SERVER_ADDRESS_H
#define CAIRN_SERVER_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADDRESS_HOST_SIZE 256u
#define ADDRESS_TEXT_SIZE 64u /* of an address that clients are told, with its NUL */

struct address {
  char host[ADDRESS_HOST_SIZE]; /* without brackets */
  uint16_t port;
};

bool address_parse(const char *text, struct address *out_address);
bool address_is_loopback(const struct address *address);
bool address_is_wildcard(const struct address *address);
/* With brackets around a host that has colons. False when it does not fit. */
bool address_print(const struct address *address, char *into, size_t size);

#endif
