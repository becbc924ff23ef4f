"""Which lines the tests reached: coverage.py COUNTS BUILD.

COUNTS is where the programs of a build with --config=cover wrote what they counted (GCOV_PREFIX), BUILD the folder of that build,
which has the other half. Prints a line for each source file, the least covered first, and the sum. Uses gcov, which comes with gcc.
"""

import collections
import json
import os
import subprocess
import sys


def counted(counts, build):
    """Each file of counts, with its other half linked beside it, where gcov looks for it."""
    for path, _, names in os.walk(counts):
        for name in names:
            if not name.endswith(".gcda"):
                continue
            stem = os.path.join(path, name[: -len(".gcda")])
            notes = os.path.join(build, os.path.relpath(stem, counts)) + ".gcno"
            if os.path.exists(notes) and not os.path.lexists(stem + ".gcno"):
                os.symlink(notes, stem + ".gcno")
            yield stem + ".gcda"


def lines_reached(counts, build):
    """file -> line -> how often, over all programs that the file is linked into."""
    reached = collections.defaultdict(collections.Counter)
    for path in counted(counts, build):
        run = subprocess.run(["gcov", "--json-format", "--stdout", path], capture_output=True, check=False)
        for text in run.stdout.splitlines():
            for file in json.loads(text).get("files", []):
                for line in file["lines"]:
                    reached[file["file"]][line["line_number"]] += line["count"]
    return reached


def main():
    rows = []
    for file, lines in lines_reached(*sys.argv[1:]).items():
        if os.path.isfile(file) and not file.startswith(("/", "bazel-out/", "tests/", "tools/")):
            rows.append((sum(1 for count in lines.values() if count), len(lines), file))
    if not rows:
        print("cover: nothing was counted")
        return 1
    for hit, lines, file in sorted(rows, key=lambda row: (row[0] / row[1], row[2])):
        print(f"{100 * hit / lines:5.1f}%  {hit:5} of {lines:5}  {file}")
    hit, lines = sum(row[0] for row in rows), sum(row[1] for row in rows)
    print(f"{100 * hit / lines:5.1f}%  {hit:5} of {lines:5}  all {len(rows)} files")
    return 0


sys.exit(main())
