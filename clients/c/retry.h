/* May this be sent again, when, and to whom? Pure: the failure and the time go in, a decision comes out.
 *
 * What changes something is sent again only when it surely had no effect (`executed: no`) and its reason says that trying again
 * may help. What changes nothing is also sent again when the connection failed under it. What a producer with a name sends is recognised by
 * the broker, so an unknown outcome is cleared up by sending it again.
 */
#ifndef CAIRN_CLIENTS_C_RETRY_H
#define CAIRN_CLIENTS_C_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/failure.h"

#define RETRY_LEADER_MS_MAX 200u /* while nobody is known to lead */
#define RETRY_BACKOFF_MS_MAX 2000u
/* A batch whose checksum did not match was damaged on the way, or by us: then once more will not help. */
#define RETRY_INVALID_MAX 2u

struct retry_case {
  const struct failure *failure;
  bool idempotent;   /* sending it twice does no harm */
  bool recognised;   /* the same, and the answer will tell what became of the first time */
  unsigned attempts; /* made so far, this one included */
  uint32_t backoff_ms;
  uint64_t now_ns;
  uint64_t deadline_ns;       /* of the whole */
  uint64_t reach_deadline_ns; /* while nobody answers; UINT64_MAX: the deadline holds */
  uint64_t chance;            /* for jitter */
};

struct retry_decision {
  bool again;
  bool elsewhere;    /* ask another broker: failure->leader if it names one, else the next server */
  uint64_t after_ns; /* from now */
};

struct retry_decision retry_decide(const struct retry_case *c);

#endif
