/* Door 5, chance: jitter, salts, hash seeds. Identities and keys come from security/, never from here. */
#ifndef CAIRN_BASE_ENTROPY_H
#define CAIRN_BASE_ENTROPY_H

#include <stdint.h>

struct entropy;
struct entropy_ops {
  uint64_t (*next)(struct entropy *entropy);
};
struct entropy {
  const struct entropy_ops *ops;
};

/* @any-thread */
static inline uint64_t entropy_next(struct entropy *entropy) { return entropy->ops->next(entropy); }

#endif
