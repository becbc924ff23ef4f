#include "base/witness.h"

#ifdef CAIRN_SIMULATED
struct witness witness;
#endif
