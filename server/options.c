#include "server/options.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/wire.h"
#include "server/address.h"
#include "server/options_internal.h"

static size_t row_number(const struct option_row *row) { return (size_t)(row - option_rows); }

void options_init(struct options *options) {
  memset(options, 0, sizeof *options);
  for (size_t i = 0; i < option_row_count; i++) {
    enum status status = option_set(options, &option_rows[i], bytes_of_string(option_rows[i].value));
    CHECK_MSG(status == STATUS_OK, "default of %s", option_rows[i].name);
  }
}

/* Adds words to a problem; one that is too long is cut. */
#define SAY(problem, ...)                                          \
  do {                                                             \
    if (buffer_printf((problem), __VA_ARGS__) != STATUS_OK) break; \
  } while (0)

static enum status unknown(const char *where, struct bytes name, struct buffer *out_problem) {
  size_t distance = 0;
  const char *nearest = option_nearest(name, &distance);
  SAY(out_problem, "%s: there is no setting \"%.*s\"; ", where, (int)name.size, (const char *)name.data);
  if (distance <= 1 + name.size / 4) SAY(out_problem, "did you mean \"%s\"? ", nearest);
  SAY(out_problem, "cairnd --help lists them all");
  return STATUS_INVALID;
}

static enum status set(struct options *options, const struct option_row *row, struct bytes value, enum option_origin origin,
                       const char *where, struct buffer *out_problem) {
  enum option_origin *held = &options->origins[row_number(row)];
  struct options trial = *options; /* a bad value is an error also where a greater origin hides it */
  enum status status = option_set(&trial, row, value);
  if (status != STATUS_OK) {
    SAY(out_problem, "%s: %s = \"%.*s\" is not allowed; give ", where, row->name, (int)value.size, (const char *)value.data);
    option_print_bounds(row, out_problem);
    return status;
  }
  if (*held > origin) return STATUS_OK;
  *held = origin;
  return option_set(options, row, value);
}

/* ---- Flags ---- */

static bool is_action(const char *argument, enum options_action *out_action) {
  if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) *out_action = OPTIONS_HELP;
  else if (strcmp(argument, "--version") == 0) *out_action = OPTIONS_VERSION;
  else if (strcmp(argument, "--print-config") == 0) *out_action = OPTIONS_PRINT;
  else return false;
  return true;
}

enum status options_read_flags(struct options *options, int argc, char *const *argv, enum options_action *out_action,
                               struct buffer *out_problem) {
  *out_action = OPTIONS_RUN;
  for (int i = 1; i < argc; i++) {
    const char *argument = argv[i];
    if (is_action(argument, out_action)) continue;
    if (strncmp(argument, "--", 2) != 0) {
      SAY(out_problem, "flags: \"%s\" is not a flag; cairnd takes --name value or --name=value, and nothing else", argument);
      return STATUS_INVALID;
    }
    struct bytes name = bytes_of(argument + 2, strcspn(argument + 2, "="));
    const struct option_row *row = option_find(name);
    if (row == NULL) return unknown("flags", name, out_problem);
    struct bytes value = bytes_of_string("true");
    if (argument[2 + name.size] == '=') {
      value = bytes_of_string(argument + 2 + name.size + 1);
    } else if (row->kind != OPTION_FLAG) {
      if (i + 1 == argc) {
        SAY(out_problem, "flags: --%s wants a value: ", row->name);
        option_print_bounds(row, out_problem);
        return STATUS_INVALID;
      }
      value = bytes_of_string(argv[++i]);
    }
    enum status status = set(options, row, value, ORIGIN_FLAG, "flags", out_problem);
    if (status != STATUS_OK) return status;
  }
  return STATUS_OK;
}

/* ---- Environment ---- */

#define ENVIRONMENT_PREFIX "CAIRN_"

static bool ends_with(struct bytes name, const char *end) {
  size_t size = strlen(end);
  return name.size >= size && memcmp(name.data + name.size - size, end, size) == 0;
}

static bool contains(struct bytes name, const char *part) { return memmem(name.data, name.size, part, strlen(part)) != NULL; }

/* Names with our prefix that others set: the `cairn` command's own, and what Kubernetes gives every container beside a service that
 * is called "cairn". */
static bool is_of_others(struct bytes name) {
  static const char *const command[] = {"SERVER", "OUTPUT", "CONTEXT"};
  for (size_t i = 0; i < sizeof command / sizeof *command; i++)
    if (bytes_equal(name, bytes_of_string(command[i]))) return true;
  return ends_with(name, "SERVICE_HOST") || contains(name, "SERVICE_PORT") || ends_with(name, "PORT") || contains(name, "PORT_");
}

static bool lower_name(struct bytes name, char *into, size_t size) {
  if (name.size >= size) return false;
  for (size_t i = 0; i < name.size; i++) {
    char c = (char)name.data[i];
    into[i] = c == '_' ? '-' : c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
  }
  into[name.size] = '\0';
  return true;
}

enum status options_read_environment(struct options *options, char *const *environment, struct buffer *out_problem) {
  for (char *const *entry = environment; *entry != NULL; entry++) {
    if (strncmp(*entry, ENVIRONMENT_PREFIX, strlen(ENVIRONMENT_PREFIX)) != 0) continue;
    const char *text = *entry + strlen(ENVIRONMENT_PREFIX);
    struct bytes name = bytes_of(text, strcspn(text, "="));
    if (text[name.size] != '=') continue;
    char lower[64];
    const struct option_row *row = lower_name(name, lower, sizeof lower) ? option_find(bytes_of_string(lower)) : NULL;
    if (row == NULL) {
      if (is_of_others(name)) continue;
      char where[128];
      snprintf(where, sizeof where, "environment variable %.*s", (int)(name.size + strlen(ENVIRONMENT_PREFIX)), *entry);
      return unknown(where, lower_name(name, lower, sizeof lower) ? bytes_of_string(lower) : name, out_problem);
    }
    enum status status = set(options, row, bytes_of_string(text + name.size + 1), ORIGIN_ENVIRONMENT, "environment", out_problem);
    if (status != STATUS_OK) return status;
  }
  return STATUS_OK;
}

/* ---- File ---- */

static bool is_blank(uint8_t c) { return c == ' ' || c == '\t' || c == '\r'; }

static struct bytes trimmed(struct bytes text) {
  while (text.size > 0 && is_blank(text.data[0])) text = bytes_after(text, 1);
  while (text.size > 0 && is_blank(text.data[text.size - 1])) text.size--;
  return text;
}

static struct bytes up_to(struct bytes text, char mark) {
  const uint8_t *at = text.size == 0 ? NULL : memchr(text.data, mark, text.size);
  return at == NULL ? text : bytes_of(text.data, (size_t)(at - text.data));
}

/* A value goes as it stands, to the end of the line or a '#': with quotes around it, these would be a part of it. */
static bool is_quoted(struct bytes value) { return value.size > 0 && (value.data[0] == '"' || value.data[0] == '\''); }

static enum status set_from_line(struct options *options, struct bytes name, struct bytes value, const char *where,
                                 struct buffer *out_problem) {
  const struct option_row *row = option_find(name);
  if (row == NULL) return unknown(where, name, out_problem);
  if (row->offset == offsetof(struct options, config)) {
    SAY(out_problem, "%s: a file cannot name another; give --config as a flag, or CAIRN_CONFIG", where);
    return STATUS_INVALID;
  }
  if (is_quoted(value)) {
    SAY(out_problem, "%s: %s = %.*s has quotes; give the value without them", where, row->name, (int)value.size,
        (const char *)value.data);
    return STATUS_INVALID;
  }
  return set(options, row, value, ORIGIN_FILE, where, out_problem);
}

#define BYTE_ORDER_MARK "\xef\xbb\xbf"

enum status options_read_file(struct options *options, const char *path, struct bytes contents, struct buffer *out_problem) {
  size_t mark_size = strlen(BYTE_ORDER_MARK);
  bool marked = contents.size >= mark_size && memcmp(contents.data, BYTE_ORDER_MARK, mark_size) == 0;
  if (marked) contents = bytes_after(contents, mark_size); /* some editors put one in front of UTF-8 */
  unsigned line_number = 0;
  while (contents.size > 0) {
    struct bytes line = up_to(contents, '\n');
    contents = bytes_after(contents, line.size < contents.size ? line.size + 1 : line.size);
    line_number++;
    char where[OPTION_TEXT_SIZE + 32];
    snprintf(where, sizeof where, "%s:%u", path, line_number);
    struct bytes text = trimmed(up_to(line, '#'));
    if (text.size == 0) continue;
    struct bytes name = up_to(text, '=');
    if (name.size == text.size) {
      SAY(out_problem, "%s: \"%.*s\" has no '='; a line is: name = value", where, (int)text.size, (const char *)text.data);
      return STATUS_INVALID;
    }
    struct bytes value = trimmed(bytes_after(text, name.size + 1));
    enum status status = set_from_line(options, trimmed(name), value, where, out_problem);
    if (status != STATUS_OK) return status;
  }
  return STATUS_OK;
}

/* ---- All together ---- */

static enum status check_addresses(const struct options *options, struct buffer *out_problem) {
  struct address listen;
  if (!address_parse(options->listen, &listen)) {
    SAY(out_problem, "listen = \"%s\" is not HOST:PORT; for example 127.0.0.1:7411 or [::1]:7411", options->listen);
    return STATUS_INVALID;
  }
  struct address advertise;
  if (options->advertise[0] != '\0' && (!address_parse(options->advertise, &advertise) || address_is_wildcard(&advertise) ||
                                        advertise.port == 0 || strlen(options->advertise) >= ADDRESS_TEXT_SIZE)) {
    SAY(out_problem,
        "advertise = \"%s\" is not an address that clients could connect to; give HOST:PORT of at most %u characters",
        options->advertise, ADDRESS_TEXT_SIZE - 1);
    return STATUS_INVALID;
  }
  if (address_is_wildcard(&listen) && options->advertise[0] == '\0') {
    SAY(out_problem,
        "listen = \"%s\" means every address of this machine, which clients cannot be told; "
        "add --advertise HOST:PORT with the one they should use",
        options->listen);
    return STATUS_INVALID;
  }
  if (!address_is_loopback(&listen) && !options->insecure) {
    SAY(out_problem,
        "listen = \"%s\" is reachable from other machines, and this version does not encrypt or ask who calls; "
        "add --insecure if the network is trusted, or listen on 127.0.0.1",
        options->listen);
    return STATUS_INVALID;
  }
  return STATUS_OK;
}

/* ---- Peers ---- */

static bool can_be_told(const char *text) {
  struct address address;
  return address_parse(text, &address) && !address_is_wildcard(&address) && address.port != 0 && strlen(text) < ADDRESS_TEXT_SIZE;
}

static enum status check_peer_listen(const struct options *options, const struct join *join, struct buffer *out_problem) {
  struct address listen;
  if (!address_parse(options->peer_listen, &listen)) {
    SAY(out_problem, "peer-listen = \"%s\" is not HOST:PORT; for example 127.0.0.1:7412 or [::1]:7412", options->peer_listen);
    return STATUS_INVALID;
  }
  if (listen.port != 0 && strcmp(options->peer_listen, options->listen) == 0) {
    SAY(out_problem, "listen and peer-listen are both \"%s\"; clients and brokers need a port each", options->listen);
    return STATUS_INVALID;
  }
  if (!address_is_loopback(&listen) && !options->insecure) {
    SAY(out_problem,
        "peer-listen = \"%s\" is reachable from other machines, and this version does not encrypt or ask who calls; "
        "add --insecure if the network is trusted, or listen on 127.0.0.1",
        options->peer_listen);
    return STATUS_INVALID;
  }
  bool named = join_find(join, (uint32_t)options->broker_id) < JOIN_MAX;
  if (options->peer_advertise[0] == '\0' && !named && !can_be_told(options->peer_listen)) {
    SAY(out_problem,
        "peer-listen = \"%s\" is nothing that other brokers could connect to; add --peer-advertise HOST:PORT (of at most %u "
        "characters), or this broker itself to --join",
        options->peer_listen, ADDRESS_TEXT_SIZE - 1);
    return STATUS_INVALID;
  }
  return STATUS_OK;
}

static enum status check_peer_advertise(const struct options *options, const struct join *join, struct buffer *out_problem) {
  if (!can_be_told(options->peer_advertise)) {
    SAY(out_problem,
        "peer-advertise = \"%s\" is not an address that brokers could connect to; give HOST:PORT of at most %u characters",
        options->peer_advertise, ADDRESS_TEXT_SIZE - 1);
    return STATUS_INVALID;
  }
  uint32_t place = join_find(join, (uint32_t)options->broker_id);
  if (place < JOIN_MAX && strcmp(join->brokers[place].address, options->peer_advertise) != 0) {
    SAY(out_problem, "join says that this broker, %u, is at %s, and peer-advertise says %s; correct the one or the other",
        join->brokers[place].broker, join->brokers[place].address, options->peer_advertise);
    return STATUS_INVALID;
  }
  return STATUS_OK;
}

static enum status check_peers(const struct options *options, struct buffer *out_problem) {
  struct join join = {0};
  const char *problem = join_parse(options->join, &join);
  if (problem != NULL) {
    SAY(out_problem, "join = \"%s\" %s; for example 1=db1.example:7412,2=db2.example:7412,3=db3.example:7412", options->join,
        problem);
    return STATUS_INVALID;
  }
  bool wanted = options->join[0] != '\0' || options->peer_advertise[0] != '\0';
  if (options->peer_listen[0] == '\0' && wanted) {
    SAY(out_problem, "%s is given and peer-listen is not: other brokers could not reach this one; add --peer-listen HOST:PORT",
        options->join[0] != '\0' ? "join" : "peer-advertise");
    return STATUS_INVALID;
  }
  if (join.count == JOIN_MAX && join_find(&join, (uint32_t)options->broker_id) == JOIN_MAX) {
    SAY(out_problem, "join names %u brokers, and this one is none of them; at most %u found a cluster together", join.count,
        JOIN_MAX);
    return STATUS_INVALID;
  }
  enum status status = STATUS_OK;
  if (options->peer_advertise[0] != '\0') status = check_peer_advertise(options, &join, out_problem);
  if (status == STATUS_OK && options->peer_listen[0] != '\0') status = check_peer_listen(options, &join, out_problem);
  return status;
}

static void parse_join(const struct options *options, struct join *out_join) {
  const char *problem = join_parse(options->join, out_join);
  CHECK_MSG(problem == NULL, "join %s", problem); /* as options_check() saw to */
}

void options_peer_address(const struct options *options, char out_address[ADDRESS_TEXT_SIZE]) {
  struct join join = {0};
  parse_join(options, &join);
  uint32_t place = join_find(&join, (uint32_t)options->broker_id);
  const char *address = options->peer_advertise[0] != '\0' ? options->peer_advertise
                        : place < JOIN_MAX                 ? join.brokers[place].address
                                                           : options->peer_listen;
  size_t size = strlen(address);
  CHECK(size < ADDRESS_TEXT_SIZE);
  memcpy(out_address, address, size + 1);
}

void options_rack(const struct options *options, char out_rack[RACK_TEXT_SIZE]) {
  size_t size = strlen(options->rack);
  CHECK(size < RACK_TEXT_SIZE);
  memcpy(out_rack, options->rack, size + 1);
}

void options_named(const struct options *options, struct join *out_named) {
  char self[ADDRESS_TEXT_SIZE];
  options_peer_address(options, self);
  parse_join(options, out_named);
  bool fits = join_add(out_named, (uint32_t)options->broker_id, self);
  CHECK(fits);
}

static enum status check_rack(const struct options *options, struct buffer *out_problem) {
  if (strlen(options->rack) < RACK_TEXT_SIZE && plain_text(bytes_of_string(options->rack))) return STATUS_OK;
  SAY(out_problem, "rack = \"%s\" is not a name of 1 to %u characters of a-z A-Z 0-9 . _ -; for example eu-west-1a",
      options->rack, RACK_TEXT_SIZE - 1);
  return STATUS_INVALID;
}

enum status options_check(const struct options *options, struct buffer *out_problem) {
  /* Two files are kept for what must always be possible, one for the next start, and one is freed only when two newer ones are in use. */
  if (options->journal_bytes / 6 < options->journal_file_bytes) {
    SAY(out_problem, "journal-bytes has to be at least six times journal-file-bytes; raise the one or lower the other");
    return STATUS_INVALID;
  }
  /* Beside those three and the one being written, the others together must have room for one request, or it would never be admitted. */
  uint64_t request_room = (options->journal_bytes / options->journal_file_bytes - 4) * options->journal_file_bytes;
  if (request_room < options->request_bytes_max + options->request_bytes_max / 16) {
    SAY(out_problem,
        "journal-bytes, less four times journal-file-bytes, has to hold one request of request-bytes-max; raise the first or "
        "lower one of the others");
    return STATUS_INVALID;
  }
  if (options->journal_file_bytes / 4 < options->journal_group_bytes) {
    SAY(out_problem, "journal-file-bytes has to be at least four times journal-group-bytes; raise the one or lower the other");
    return STATUS_INVALID;
  }
  if (options->tail_cache_bytes > options->memory_bytes / 2) {
    SAY(out_problem,
        "tail-cache-bytes may be at most half of memory-bytes, of which it is a part; raise the one or lower the other");
    return STATUS_INVALID;
  }
  enum status status = check_addresses(options, out_problem);
  if (status == STATUS_OK) status = check_rack(options, out_problem);
  return status == STATUS_OK ? check_peers(options, out_problem) : status;
}
