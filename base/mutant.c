#include "base/mutant.h"

#ifdef CAIRN_SIMULATED
enum mutant mutant_on = MUTANT_NONE;
#endif
