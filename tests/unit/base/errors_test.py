"""docs/ERRORS.md says what base/status.def says, row for row.

    errors_test.py STATUS_DEF ERRORS_MD
"""

import pathlib
import re
import sys
import unittest

STATUS = re.compile(r'^STATUS\((\w+),\s*(\w+),\s*(\w+),\s*(\w+),\s*"([^"]*)"\)$')
COLUMNS = 5


def rows_of_def(text):
    """(reason, code, executed, retry, words) of every STATUS(...) but OK, which is no error."""
    rows = []
    for line in text.splitlines():
        if not line.startswith("STATUS("):
            continue
        match = STATUS.match(line)
        if match is None:
            raise ValueError(f"not a row that this test can read: {line}")
        name, code, executed, retry, words = match.groups()
        if name != "OK":
            rows.append((name, code, executed.lower(), retry.lower(), words))
    return rows


def rows_of_table(text):
    """The rows of all tables with five columns, without their heads."""
    rows = []
    for line in text.splitlines():
        cells = tuple(cell.strip() for cell in line.strip().strip("|").split("|"))
        if line.startswith("|") and len(cells) == COLUMNS and cells[0] != "reason" and set(line) != set("|-"):
            rows.append(cells)
    return rows


class Errors(unittest.TestCase):
    maxDiff = None

    def test_the_document_has_every_row_as_it_is_in_that_order(self):
        self.assertEqual(rows_of_table(DOCUMENT), rows_of_def(DEFINITION))

    def test_every_status_is_read(self):
        self.assertEqual(len(rows_of_def(DEFINITION)) + 1, DEFINITION.count("\nSTATUS("))

    def test_a_row_that_differs_is_seen(self):
        row = rows_of_def(DEFINITION)[0]
        for column in range(COLUMNS):
            changed = row[:column] + ("something else",) + row[column + 1 :]
            self.assertNotEqual(rows_of_table("| " + " | ".join(changed) + " |"), [row])
        self.assertEqual(rows_of_table("| " + " | ".join(row) + " |"), [row])


if __name__ == "__main__":
    DEFINITION = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")
    DOCUMENT = pathlib.Path(sys.argv[2]).read_text(encoding="utf-8")
    unittest.main(argv=sys.argv[:1])
