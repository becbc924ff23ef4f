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
    .summary = "Check a data directory: every checksum, every offset; needs no broker",
    .details = "Nothing is changed. Exit code 8 when there is damage; each finding names the file, the place and the offsets.\n",
    .examples = verify_examples,
    .run = offline_verify,
};
