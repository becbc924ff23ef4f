/* What is wanted of a broker, in words: the same in tables and in JSON. */
#ifndef CAIRN_CLIENTS_CLI_STANDING_H
#define CAIRN_CLIENTS_CLI_STANDING_H

#include "clients/c/cairn_admin.h"

const char *standing_word(enum cairn_broker_standing standing); /* "in", "drained", "leaving", "gone", "unknown" */

#endif
