/* Meet, of any bytes: the first chooses a request or an answer. What is taken packs and comes back the same; an answer never makes a broker
 * found anything that does not name all whom it knows. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/check.h"
#include "log/identity.h"
#include "server/meet.h"

static void check_request(struct bytes bytes) {
  struct meet_request request, again;
  if (meet_request_unpack(bytes, &request) != STATUS_OK) return;
  struct blob_part part = meet_request_pack(&request);
  enum status status = meet_request_unpack(part.bytes, &again);
  CHECK(status == STATUS_OK && memcmp(&request, &again, sizeof request) == 0);
  blob_part_release(part);
}

static void check_answer(struct bytes bytes) {
  struct meet_answer answer, again;
  if (meet_answer_unpack(bytes, &answer) != STATUS_OK) return;
  struct blob_part part = meet_answer_pack(&answer);
  enum status status = meet_answer_unpack(part.bytes, &again);
  CHECK(status == STATUS_OK && memcmp(&answer, &again, sizeof answer) == 0);
  blob_part_release(part);

  static const uint8_t fresh[LOG_ID_SIZE] = {1};
  struct log_identity draft = {.broker_id = 1, .incarnation = {1}};
  struct join named;
  CHECK(join_parse("1=a:1,2=b:1,3=c:1", &named) == NULL);
  struct founding founding;
  char problem[FOUNDING_PROBLEM_SIZE];
  founding_init(&founding, &draft, &named, fresh);
  (void)founding_begin_round(&founding);
  founding_answered(&founding, 1, &answer);
  if (founding_decide(&founding, problem) != FOUNDING_WRITING) return;
  CHECK(answer.stage == MEET_FOUNDED && identity_founded(&founding.record));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 1) return 0;
  struct bytes bytes = bytes_of(data + 1, size - 1);
  if (data[0] % 2 == 0) check_request(bytes);
  else check_answer(bytes);
  return 0;
}
