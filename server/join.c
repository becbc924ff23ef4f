#include "server/join.h"

#include <string.h>

#define TOO_MANY "names more than 7 brokers; name those that found the cluster, the others join it later"

uint32_t join_find(const struct join *join, uint32_t broker) {
  for (uint32_t i = 0; i < join->count; i++)
    if (join->brokers[i].broker == broker) return i;
  return JOIN_MAX;
}

bool join_add(struct join *join, uint32_t broker, const char *address) {
  if (join_find(join, broker) < JOIN_MAX) return true;
  if (join->count == JOIN_MAX) return false;
  uint32_t place = join->count++;
  for (; place > 0 && join->brokers[place - 1].broker > broker; place--) join->brokers[place] = join->brokers[place - 1];
  struct join_broker added = {.broker = broker};
  size_t size = strnlen(address, sizeof added.address - 1);
  memcpy(added.address, address, size);
  join->brokers[place] = added;
  return true;
}

/* "12=": returns what is behind it, NULL when it is not there. */
static const char *read_number(const char *text, uint32_t *out_number) {
  uint64_t number = 0;
  const char *at = text;
  for (; *at >= '0' && *at <= '9' && at - text < 10; at++) number = number * 10 + (uint64_t)(*at - '0');
  if (at == text || *at != '=' || number == 0 || number > UINT32_MAX) return NULL;
  *out_number = (uint32_t)number;
  return at + 1;
}

/* One of them, up to `size`. */
static const char *parse_one(const char *text, size_t size, struct join *join) {
  char item[ADDRESS_TEXT_SIZE + 12];
  if (size >= sizeof item) return "has an address of more than 63 characters";
  memcpy(item, text, size);
  item[size] = '\0';
  struct join_broker broker = {0};
  const char *address = read_number(item, &broker.broker);
  if (address == NULL) return "is not of the form 1=HOST:PORT,2=HOST:PORT with broker numbers from 1 on";
  struct address parsed;
  if (!address_parse(address, &parsed)) return "has something that is not HOST:PORT behind a broker's number";
  if (address_is_wildcard(&parsed) || parsed.port == 0) return "has an address that nobody can connect to";
  if (strlen(address) >= ADDRESS_TEXT_SIZE) return "has an address of more than 63 characters";
  if (join_find(join, broker.broker) < JOIN_MAX) return "names a broker twice";
  for (uint32_t i = 0; i < join->count; i++)
    if (strcmp(join->brokers[i].address, address) == 0) return "names an address twice";
  return join_add(join, broker.broker, address) ? NULL : TOO_MANY;
}

const char *join_parse(const char *text, struct join *out_join) {
  struct join join = {0};
  while (*text != '\0') {
    size_t size = strcspn(text, ",");
    const char *problem = parse_one(text, size, &join);
    if (problem != NULL) return problem;
    text += size;
    if (text[0] == ',' && text[1] == '\0') return "ends with a comma";
    if (text[0] == ',') text++;
  }
  *out_join = join;
  return NULL;
}

struct join_ids join_ids_of(const struct join *join) {
  struct join_ids ids = {.count = join->count};
  for (uint32_t i = 0; i < join->count; i++) ids.ids[i] = join->brokers[i].broker;
  return ids;
}

bool join_ids_equal(const struct join_ids *a, const struct join_ids *b) {
  return a->count == b->count && memcmp(a->ids, b->ids, a->count * sizeof *a->ids) == 0;
}
