#include "proto/reflection.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/wire.h"
#include "proto/failure.h"

/* google.protobuf: FileDescriptorSet, FileDescriptorProto, DescriptorProto and so on, as far as names go. */
enum { SET_FILE = 1 };
enum {
  FILE_NAME = 1,
  FILE_PACKAGE = 2,
  FILE_DEPENDENCY = 3,
  FILE_MESSAGE = 4,
  FILE_ENUM = 5,
  FILE_SERVICE = 6,
  FILE_EXTENSION = 7
};
enum { TYPE_NAME = 1, MESSAGE_FIELD = 2, MESSAGE_NESTED = 3, MESSAGE_ENUM = 4, MESSAGE_EXTENSION = 6, MESSAGE_ONEOF = 8 };
enum { ENUM_VALUE = 2, SERVICE_METHOD = 2 };

/* grpc.reflection.v1 and v1alpha */
enum {
  ASK_HOST = 1,
  ASK_FILE_BY_FILENAME = 3,
  ASK_FILE_CONTAINING_SYMBOL = 4,
  ASK_FILE_CONTAINING_EXTENSION = 5,
  ASK_ALL_EXTENSION_NUMBERS = 6,
  ASK_LIST_SERVICES = 7
};
enum { TELL_HOST = 1, TELL_REQUEST = 2, TELL_FILES = 4, TELL_EXTENSION_NUMBERS = 5, TELL_SERVICES = 6, TELL_ERROR = 7 };
enum { FILES_FILE = 1, NUMBERS_BASE_TYPE = 1, SERVICES_SERVICE = 1, SERVICE_NAME = 1, ERROR_CODE = 1, ERROR_TEXT = 2 };

#define NAME_MAX_BYTES 512u
#define NESTING_MAX 16u
#define ANSWER_BYTES_MAX (1024u * 1024u)

struct file {
  struct file *next;
  struct bytes contents; /* its FileDescriptorProto */
  bool visited;          /* while one answer is gathered */
};

struct service_name {
  struct service_name *next;
  char name[NAME_MAX_BYTES];
};

struct reflection {
  struct map *files;   /* by name */
  struct map *symbols; /* full name -> the file that defines it */
  struct file *first_file;
  struct service_name *first_service;
  struct service_name **last_service;
  struct account *account; /* may be NULL */
};

/* ---- The index, made once ---- */

/* `scope.name` into `into`; with an empty scope just the name. */
static enum status join(char into[NAME_MAX_BYTES], const char *scope, struct bytes name) {
  size_t scope_size = strlen(scope);
  if (name.size == 0 || scope_size + name.size + 2 > NAME_MAX_BYTES) return STATUS_MALFORMED;
  int size =
      snprintf(into, NAME_MAX_BYTES, "%s%s%.*s", scope, scope_size == 0 ? "" : ".", (int)name.size, (const char *)name.data);
  return size > 0 && (size_t)size < NAME_MAX_BYTES ? STATUS_OK : STATUS_MALFORMED;
}

/* The first bytes field of that number. */
static struct bytes find_bytes(struct bytes message, uint32_t number) {
  struct wire_cursor cursor = wire_cursor_of(message);
  struct wire_field field;
  while (wire_next(&cursor, &field) == STATUS_OK) {
    if (field.number == number && field.type == WIRE_BYTES) return field.bytes;
  }
  return bytes_of(NULL, 0);
}

static enum status add_symbol(struct reflection *reflection, struct file *file, const char *scope, struct bytes definition,
                              char out_name[NAME_MAX_BYTES]) {
  enum status status = join(out_name, scope, find_bytes(definition, TYPE_NAME));
  if (status != STATUS_OK) return status;
  map_put(reflection->symbols, bytes_of_string(out_name), file);
  return STATUS_OK;
}

/* Adds the names of all definitions of kind `number` in `message`, without what is inside them. */
static enum status add_members(struct reflection *reflection, struct file *file, const char *scope, struct bytes message,
                               uint32_t number) {
  struct wire_cursor cursor = wire_cursor_of(message);
  struct wire_field field;
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    if (field.number != number || field.type != WIRE_BYTES) continue;
    char name[NAME_MAX_BYTES];
    status = add_symbol(reflection, file, scope, field.bytes, name);
    if (status != STATUS_OK) return status;
  }
  return status == STATUS_END ? STATUS_OK : status;
}

/* An enum's values live beside it, as in C++. */
static enum status add_enum(struct reflection *reflection, struct file *file, const char *scope, struct bytes definition) {
  char name[NAME_MAX_BYTES];
  enum status status = add_symbol(reflection, file, scope, definition, name);
  if (status != STATUS_OK) return status;
  return add_members(reflection, file, scope, definition, ENUM_VALUE);
}

static enum status add_message(struct reflection *reflection, struct file *file, const char *scope, struct bytes definition,
                               unsigned depth) {
  if (depth > NESTING_MAX) return STATUS_MALFORMED;
  char name[NAME_MAX_BYTES];
  enum status status = add_symbol(reflection, file, scope, definition, name);
  if (status != STATUS_OK) return status;
  struct wire_cursor cursor = wire_cursor_of(definition);
  struct wire_field field;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    char member[NAME_MAX_BYTES];
    switch (field.number) {
      case MESSAGE_NESTED: status = add_message(reflection, file, name, field.bytes, depth + 1); break;
      case MESSAGE_ENUM: status = add_enum(reflection, file, name, field.bytes); break;
      case MESSAGE_FIELD:
      case MESSAGE_EXTENSION:
      case MESSAGE_ONEOF: status = add_symbol(reflection, file, name, field.bytes, member); break;
      default: break;
    }
    if (status != STATUS_OK) return status;
  }
  return status == STATUS_END ? STATUS_OK : status;
}

static enum status add_service(struct reflection *reflection, struct file *file, const char *scope, struct bytes definition) {
  struct service_name *service = NEW(struct service_name);
  *reflection->last_service = service;
  reflection->last_service = &service->next;
  enum status status = add_symbol(reflection, file, scope, definition, service->name);
  if (status != STATUS_OK) return status;
  return add_members(reflection, file, service->name, definition, SERVICE_METHOD);
}

static enum status add_file(struct reflection *reflection, struct bytes contents) {
  struct file *file = NEW(struct file);
  file->contents = contents;
  file->next = reflection->first_file;
  reflection->first_file = file;
  map_put(reflection->files, find_bytes(contents, FILE_NAME), file);

  char package[NAME_MAX_BYTES] = "";
  struct bytes package_name = find_bytes(contents, FILE_PACKAGE);
  if (package_name.size > 0) {
    enum status joined = join(package, "", package_name);
    if (joined != STATUS_OK) return joined;
  }
  struct wire_cursor cursor = wire_cursor_of(contents);
  struct wire_field field;
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    char name[NAME_MAX_BYTES];
    switch (field.number) {
      case FILE_MESSAGE: status = add_message(reflection, file, package, field.bytes, 1); break;
      case FILE_ENUM: status = add_enum(reflection, file, package, field.bytes); break;
      case FILE_SERVICE: status = add_service(reflection, file, package, field.bytes); break;
      case FILE_EXTENSION: status = add_symbol(reflection, file, package, field.bytes, name); break;
      default: break;
    }
    if (status != STATUS_OK) return status;
  }
  return status == STATUS_END ? STATUS_OK : status;
}

enum status reflection_new(struct bytes descriptor_set, struct reflection **out_reflection) {
  struct reflection *reflection = NEW(struct reflection);
  reflection->files = map_new(0); /* only our own names are put in, strangers' are looked up */
  reflection->symbols = map_new(0);
  reflection->last_service = &reflection->first_service;
  struct wire_cursor cursor = wire_cursor_of(descriptor_set);
  struct wire_field field;
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    if (field.number != SET_FILE || field.type != WIRE_BYTES) continue;
    status = add_file(reflection, field.bytes);
    if (status != STATUS_OK) break;
  }
  if (status != STATUS_END) {
    reflection_free(reflection);
    return STATUS_MALFORMED;
  }
  *out_reflection = reflection;
  return STATUS_OK;
}

void reflection_charge(struct reflection *reflection, struct account *account) { reflection->account = account; }

void reflection_free(struct reflection *reflection) {
  if (reflection == NULL) return;
  for (struct file *file = reflection->first_file, *next = NULL; file != NULL; file = next) {
    next = file->next;
    memory_free(file);
  }
  for (struct service_name *service = reflection->first_service, *next = NULL; service != NULL; service = next) {
    next = service->next;
    memory_free(service);
  }
  map_free(reflection->files);
  map_free(reflection->symbols);
  memory_free(reflection);
}

/* ---- One answer ---- */

/* A nested message: its head and contents. Answers are far smaller than the bound, so room is a matter of bugs. */
static void put_bytes(struct buffer *into, uint32_t number, struct bytes contents) {
  uint8_t head[2 * WIRE_VARINT_SIZE_MAX];
  size_t head_size = (size_t)(wire_put_bytes_head(head, number, contents.size) - head);
  enum status status = buffer_append(into, head, head_size);
  if (status == STATUS_OK && contents.size > 0) status = buffer_append(into, contents.data, contents.size);
  CHECK(status == STATUS_OK);
}

static void put_error(struct buffer *answer, enum grpc_status code, const char *text) {
  uint8_t error[256];
  uint8_t *at = wire_put_uint(error, ERROR_CODE, (uint64_t)code);
  at = wire_put_bytes(at, ERROR_TEXT, bytes_of_string(text));
  put_bytes(answer, TELL_ERROR, bytes_of(error, (size_t)(at - error)));
}

/* The file and everything it imports, each once. */
static void gather(struct reflection *reflection, struct file *file, struct buffer *files) {
  if (file == NULL || file->visited) return;
  file->visited = true;
  put_bytes(files, FILES_FILE, file->contents);
  struct wire_cursor cursor = wire_cursor_of(file->contents);
  struct wire_field field;
  while (wire_next(&cursor, &field) == STATUS_OK) {
    if (field.number == FILE_DEPENDENCY) gather(reflection, map_get(reflection->files, field.bytes), files);
  }
}

static void put_files(struct reflection *reflection, struct file *file, struct buffer *answer) {
  if (file == NULL) {
    put_error(answer, GRPC_CODE_NOT_FOUND, "no such file or symbol here; list_services tells what there is");
    return;
  }
  for (struct file *other = reflection->first_file; other != NULL; other = other->next) other->visited = false;
  struct buffer files;
  buffer_init(&files, ANSWER_BYTES_MAX);
  gather(reflection, file, &files);
  put_bytes(answer, TELL_FILES, buffer_bytes(&files));
  buffer_deinit(&files);
}

static void put_services(const struct reflection *reflection, struct buffer *answer) {
  struct buffer services, service;
  buffer_init(&services, ANSWER_BYTES_MAX);
  buffer_init(&service, 2 * NAME_MAX_BYTES);
  for (const struct service_name *at = reflection->first_service; at != NULL; at = at->next) {
    buffer_reset(&service);
    put_bytes(&service, SERVICE_NAME, bytes_of_string(at->name));
    put_bytes(&services, SERVICES_SERVICE, buffer_bytes(&service));
  }
  put_bytes(answer, TELL_SERVICES, buffer_bytes(&services));
  buffer_deinit(&services);
  buffer_deinit(&service);
}

/* None of our messages can be extended. */
static void put_extension_numbers(const struct reflection *reflection, struct bytes type, struct buffer *answer) {
  if (map_get(reflection->symbols, type) == NULL) {
    put_error(answer, GRPC_CODE_NOT_FOUND, "no such type here");
    return;
  }
  struct buffer numbers;
  buffer_init(&numbers, 2 * NAME_MAX_BYTES);
  put_bytes(&numbers, NUMBERS_BASE_TYPE, type);
  put_bytes(answer, TELL_EXTENSION_NUMBERS, buffer_bytes(&numbers));
  buffer_deinit(&numbers);
}

/* What a request asks. */
struct question {
  uint32_t number; /* 0: nothing */
  struct bytes operand;
  struct bytes host;
};

static enum status decode_question(struct bytes request, struct question *out_question) {
  struct question question = {0};
  struct wire_cursor cursor = wire_cursor_of(request);
  struct wire_field field;
  enum status status = STATUS_OK;
  while ((status = wire_next(&cursor, &field)) == STATUS_OK) {
    if (field.type != WIRE_BYTES) continue;
    if (field.number == ASK_HOST) {
      question.host = field.bytes;
    } else if (field.number >= ASK_FILE_BY_FILENAME && field.number <= ASK_LIST_SERVICES) {
      question.number = field.number;
      question.operand = field.bytes;
    } else {
      continue;
    }
    if (field.number != ASK_FILE_CONTAINING_EXTENSION && !utf8_valid_text(field.bytes)) return STATUS_MALFORMED;
  }
  if (status != STATUS_END) return status;
  *out_question = question;
  return STATUS_OK;
}

static void put_answer(struct reflection *reflection, const struct question *question, struct buffer *answer) {
  switch (question->number) {
    case ASK_FILE_BY_FILENAME: put_files(reflection, map_get(reflection->files, question->operand), answer); break;
    case ASK_FILE_CONTAINING_SYMBOL: put_files(reflection, map_get(reflection->symbols, question->operand), answer); break;
    case ASK_FILE_CONTAINING_EXTENSION: put_error(answer, GRPC_CODE_NOT_FOUND, "there are no extensions here"); break;
    case ASK_ALL_EXTENSION_NUMBERS: put_extension_numbers(reflection, question->operand, answer); break;
    case ASK_LIST_SERVICES: put_services(reflection, answer); break;
    default: put_error(answer, GRPC_CODE_INVALID_ARGUMENT, "the request asks nothing that this broker knows"); break;
  }
}

/* Longer questions are not echoed; no name here is that long. */
#define ECHO_BYTES_MAX 4096u

static enum status make_answer(struct reflection *reflection, struct bytes request, struct account *account,
                               struct blob_part *out_part) {
  struct buffer answer;
  buffer_init(&answer, 2 * ANSWER_BYTES_MAX);
  struct question question = {0};
  enum status status = request.size > ECHO_BYTES_MAX ? STATUS_TOO_LARGE : decode_question(request, &question);
  if (status != STATUS_OK) {
    put_error(&answer, GRPC_CODE_INVALID_ARGUMENT, "not a ServerReflectionRequest");
  } else {
    if (question.host.size > 0) put_bytes(&answer, TELL_HOST, question.host);
    put_bytes(&answer, TELL_REQUEST, request);
    put_answer(reflection, &question, &answer);
  }
  struct blob *blob = NULL;
  status = blob_new(account, answer.size, &blob);
  if (status == STATUS_OK) {
    memcpy(blob->data, answer.data, answer.size);
    *out_part = (struct blob_part){.blob = blob, .bytes = bytes_of(blob->data, blob->size)};
  }
  buffer_deinit(&answer);
  return status;
}

struct blob_part reflection_answer(struct reflection *reflection, struct bytes request) {
  struct blob_part part = {0};
  enum status status = make_answer(reflection, request, NULL, &part);
  CHECK(status == STATUS_OK);
  return part;
}

/* ---- The stream: the next question is read when the answer to this one was taken ---- */

void reflection_opened(struct reflection *reflection, struct rpc_call *call) {
  (void)reflection;
  rpc_call_receive(call);
}

void reflection_message(struct reflection *reflection, struct rpc_call *call, struct blob *message) {
  struct blob_part part = {0};
  enum status status = make_answer(reflection, bytes_of(message->data, message->size), reflection->account, &part);
  blob_release(message);
  if (status == STATUS_OK) rpc_call_send(call, &part, 1);
  else failure_refuse_call(call, status, "the broker's memory budget for answers is spent; try again later");
}

void reflection_sent(struct reflection *reflection, struct rpc_call *call) {
  (void)reflection;
  rpc_call_receive(call);
}

void reflection_half_closed(struct reflection *reflection, struct rpc_call *call) {
  (void)reflection;
  rpc_call_finish(call, GRPC_CODE_OK, NULL, NULL, 0);
}
