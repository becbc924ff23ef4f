#include "clients/cli/commands.h"
#include "clients/cli/offline.h"

static const struct option dump_options[] = {
    {"headers-only", 0, NULL, "one line per batch, without its records"},
    {NULL, 0, NULL, NULL},
};

static const char *const dump_examples[] = {
    "Batches and records of one file",
    "cairn segment dump cairn-data/p/7-1/00000000000000000001.segment",
    "For scripts",
    "cairn segment dump FILE -o json | jq .base_offset",
    NULL,
};

const struct command segment_dump_command = {
    .noun = "segment",
    .verb = "dump",
    .operands = "FILE",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Print what a segment file holds; needs no broker",
    .options = dump_options,
    .examples = dump_examples,
    .run = offline_segment_dump,
};

static const char *const verify_examples[] = {
    "Check every checksum of a broker that is down",
    "cairn verify ./cairn-data",
    NULL,
};

const struct command verify_command = {
    .noun = "verify",
    .operands = "DATA_DIR",
    .operands_min = 1,
    .operands_max = 1,
    .summary = "Check the data directory of a broker that is down",
    .details =
        "Reads all that a start of the broker would find: identity, lineage, what it has seen of others, tables, dumps, the\n"
        "journal, and every entry of every segment that counts. Where the tables are damaged, it checks\n"
        "what the broker would make of the rest. Nothing is changed, so a directory that may only be read will do. Each finding\n"
        "names the file and, as far as they can be told, the place, the group and the offsets. `dropped` is the journal's end\n"
        "after a crash: nobody was told that it is durable.\n"
        "Exit code 8 when there is damage, 4 while a broker runs on the directory.\n",
    .examples = verify_examples,
    .run = offline_verify,
};
