/* What a broker leads that another one could lead: what a drain waits for.
 *
 * Another one could lead a partition that has a replica there, if nothing else is wanted of it than to lead (it is "in") and it answers.
 * The map counts like a partition that is everywhere. Whoever is asked tells of leaders what it knows just then; of partitions that it
 * knows nothing of, their leader is asked. So it is a look, and not a proof: another one a moment later may see what this one missed.
 */
#ifndef CAIRN_CLIENTS_CLI_LEADS_H
#define CAIRN_CLIENTS_CLI_LEADS_H

#include "clients/cli/cli.h"

struct leads {
  uint32_t others; /* partitions, and the map, that it leads and another one could */
  uint32_t alone;  /* that it leads and nobody else could lead just now */
};

/* CLI_OK, or what cannot be seen was reported. It ends early, with what it has, when the user interrupts it. */
int leads_count(struct cli *cli, uint32_t broker, struct leads *out_leads);

#endif
