#include "server/introduction.h"

void introduction_lead_changed(struct introduction *introduction) { introduction->occasions++; }

void introduction_see_level(struct introduction *introduction, uint32_t level) {
  if (introduction->level != level) introduction->occasions++;
  introduction->level = level;
}

bool introduction_is_due(const struct introduction *introduction) { return introduction->heard != introduction->occasions; }

void introduction_begin(struct introduction *introduction) { introduction->asked = introduction->occasions; }

void introduction_end(struct introduction *introduction) { introduction->heard = introduction->asked; }
