#include "server/address.h"

#include <stdio.h>
#include <string.h>

static bool parse_port(const char *text, uint16_t *out_port) {
  unsigned port = 0;
  size_t digits = 0;
  for (; text[digits] >= '0' && text[digits] <= '9' && digits < 6; digits++) port = port * 10 + (unsigned)(text[digits] - '0');
  if (digits == 0 || text[digits] != '\0' || port > UINT16_MAX) return false;
  *out_port = (uint16_t)port;
  return true;
}

bool address_parse(const char *text, struct address *out_address) {
  const char *host = text;
  const char *colon = strrchr(text, ':');
  if (colon == NULL) return false;
  size_t size = (size_t)(colon - text);
  if (text[0] == '[') {
    if (size < 3 || colon[-1] != ']') return false;
    host++;
    size -= 2;
  } else if (memchr(host, ':', size) != NULL) {
    return false; /* an IPv6 address wants brackets */
  }
  if (size == 0 || size >= ADDRESS_HOST_SIZE || strcspn(host, " \t/") < size) return false;
  struct address address = {0};
  memcpy(address.host, host, size);
  if (!parse_port(colon + 1, &address.port)) return false;
  *out_address = address;
  return true;
}

/* An IPv4 address beginning with 127, not a name that does. */
static bool is_127(const char *host) { return strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == strlen(host); }

bool address_is_loopback(const struct address *address) {
  return is_127(address->host) || strcmp(address->host, "::1") == 0 || strcmp(address->host, "localhost") == 0;
}

bool address_is_wildcard(const struct address *address) {
  return strcmp(address->host, "0.0.0.0") == 0 || strcmp(address->host, "::") == 0 || strcmp(address->host, "*") == 0;
}

bool address_print(const struct address *address, char *into, size_t size) {
  bool colons = strchr(address->host, ':') != NULL;
  int length = snprintf(into, size, "%s%s%s:%u", colons ? "[" : "", address->host, colons ? "]" : "", address->port);
  return length > 0 && (size_t)length < size;
}
