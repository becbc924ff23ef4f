"""The house rules as a program: ./dev tidy, and //tools/tidy:tidy_test.

Reads every file of ours and holds it against the tables of rules.py. Each finding is a line `FILE:LINE: what, and what to do`
and makes the exit status 1. Sizes are advice and never fail.

    tidy.py [--root FOLDER] [--no-sizes]
"""

import argparse
import collections
import os
import pathlib
import re
import statistics
import sys

sys.dont_write_bytecode = True

import rules  # noqa: E402
import source  # noqa: E402

SKIPPED_FOLDERS = {".git", "out", "cairn-data", "__pycache__"}
C_SUFFIXES = (".c", ".h")
TEXT_SUFFIXES = C_SUFFIXES + (".proto", ".py", ".sh", ".bzl", ".def")
TEXT_NAMES = ("BUILD", "WORKSPACE", "dev", "run")
ROWS_SHOWN = 15

# Spelled so that this file does not find itself.
PROMISE = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b(?!\s*\(#\d+\))")

CALL_KINDS = {name: kind for kind, names in rules.DOOR_CALLS.items() for name in names.split()}


class Tree:
    """The files below a root, and what was found in them."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.findings = []
        self.files = sorted(self._walk())

    def _walk(self):
        for folder, names, files in os.walk(self.root):
            names[:] = [n for n in names if n not in SKIPPED_FOLDERS and not n.startswith("bazel-")]
            for name in files:
                path = os.path.relpath(os.path.join(folder, name), self.root)
                if path.endswith(TEXT_SUFFIXES) or name in TEXT_NAMES:
                    yield path

    def read(self, path):
        return (self.root / path).read_text(encoding="utf-8", errors="replace")

    def find(self, path, line, words):
        self.findings.append((path, line, words))


def is_in(path, places):
    return path.startswith(tuple(places))


def is_excepted(path, what):
    return (path, what) in rules.EXCEPTIONS


def check_include(tree, path, line, header, quoted):
    if header.endswith(rules.GENERATED_SUFFIX):
        check_floor(tree, path, line, header, "proto")
        return
    folder = header.split("/")[0]
    if folder in rules.FLOORS or f"{folder}/" in rules.FREE:
        check_floor(tree, path, line, header, folder)
        if not quoted:
            tree.find(path, line, f'<{header}> is ours: write "{header}"')
        return
    if quoted:
        tree.find(path, line, f'"{header}" is not written from the root: write "FOLDER/{header}", or <{header}> if it is foreign')
    check_foreign(tree, path, line, header)


def check_floor(tree, path, line, header, wanted):
    own = path.split("/")[0]
    if is_in(path, rules.FREE) or wanted == own:
        return
    if wanted not in rules.FLOORS.get(own, []):
        allowed = ", ".join(rules.FLOORS.get(own, [])) or "nothing but itself"
        tree.find(path, line, f"{own}/ may not include {header}: it stands on {allowed}")


def check_foreign(tree, path, line, header):
    if is_excepted(path, header):
        return
    for prefix, places in rules.FOREIGN:
        if header.startswith(prefix):
            if not is_in(path, places) and (prefix in rules.TESTS_ONLY or not is_in(path, rules.FREE)):
                tree.find(path, line, f"<{header}> belongs in {' '.join(places)} only")
            return
    if header in rules.THREAD_HEADERS and not is_in(path, rules.THREAD_PLACES):
        tree.find(path, line, f"<{header}> is outside the doors: a lane has no locks (base/loop.h)")
    if header.startswith(rules.DOOR_HEADERS) and not is_in(path, rules.DOORS):
        tree.find(path, line, f"<{header}> is outside the doors: go through base/ (loop, disk, store, rpc, entropy)")


def check_call(tree, path, line, name):
    if is_excepted(path, name):
        return
    if name in rules.BANNED:
        tree.find(path, line, f"{name}() is banned: {rules.BANNED[name]}")
    elif name in rules.HEAP and not is_in(path, rules.HEAP_PLACES):
        tree.find(path, line, f"{name}() outside base/: memory comes from base/memory.h")
    elif name == "assert" and not is_in(path, rules.ASSERT_PLACES):
        tree.find(path, line, "assert() outside tests/: CHECK, PRE and POST of base/check.h are always on")
    elif name in CALL_KINDS and not is_in(path, rules.DOORS):
        tree.find(path, line, f"{name}() is {CALL_KINDS[name]} outside the doors: go through base/ (loop, disk, store, rpc, entropy)")


def check_header(tree, path, text):
    comment = re.match(r"\s*/\*(.*?)\*/", text, re.S)
    if comment is None or len(comment.group(1).split()) < 5:
        tree.find(path, 1, "a header opens with a comment: what this is, what it promises, who owns what, on which lane it runs")
    if "#pragma once" not in text and not re.search(r"^#ifndef \w+_H\b", text, re.M):
        tree.find(path, 1, "a header without a guard")


def check_whitespace(tree, path, text):
    for number, line in enumerate(text.split("\n"), 1):
        if "\t" in line:
            tree.find(path, number, "a tab: ./dev fmt")
        if line.endswith((" ", "\r")):
            tree.find(path, number, "space at the end of the line: ./dev fmt")
    if text and not text.endswith("\n"):
        tree.find(path, text.count("\n") + 1, "the last line has no end")


def check_promises(tree, path, text):
    for number, line in enumerate(text.split("\n"), 1):
        match = PROMISE.search(line)
        if match:
            tree.find(path, number, f"{match.group(1)} without an issue: write {match.group(1)}(#NUMBER), or do it")


def check_c(tree, path, text):
    code = source.code_of(text)
    for line, header, quoted in source.includes_of(text):
        check_include(tree, path, line, header, quoted)
    for line, name in source.calls_of(code):
        check_call(tree, path, line, name)
    if path.endswith(".h"):
        check_header(tree, path, text)
    check_whitespace(tree, path, text)


def check_built(tree, c_files):
    """Every C file is named by the BUILD file of its package: what nothing builds is dead."""
    builds = {}
    for path in c_files:
        folder = os.path.dirname(path)
        while folder and not (tree.root / folder / "BUILD").is_file():
            folder = os.path.dirname(folder)
        if folder not in builds:
            build = tree.root / folder / "BUILD"
            builds[folder] = build.read_text(encoding="utf-8") if build.is_file() else ""
        text = builds[folder]
        name = os.path.relpath(path, folder) if folder else path
        stem = os.path.splitext(name)[0]
        # A list of tests may leave out what all their names share.
        names = (name, stem, stem.removesuffix("_test"), stem.removesuffix("_fuzz"))
        if "glob(" not in text and not any(f'"{n}"' in text for n in names):
            tree.find(path, 1, f"no target builds it: name it in {os.path.join(folder or os.path.dirname(path), 'BUILD')}")


def check_exceptions(tree, used):
    for path, what in rules.EXCEPTIONS:
        if (tree.root / path).is_file() and (path, what) not in used:
            tree.find("tools/tidy/rules.py", 1, f"the exception for {what} in {path} is no longer used: remove it")


def names_used(tree, c_files):
    for path in c_files:
        text = tree.read(path)
        for _, header, _ in source.includes_of(text):
            yield path, header
        for _, name in source.calls_of(source.code_of(text)):
            yield path, name


def check(root):
    """Everything wrong in the tree below `root`: a list of (path, line, words), in order."""
    tree = Tree(root)
    c_files = [p for p in tree.files if p.endswith(C_SUFFIXES)]
    for path in tree.files:
        text = tree.read(path)
        check_promises(tree, path, text)
        if path in c_files:
            check_c(tree, path, text)
    check_built(tree, c_files)
    check_exceptions(tree, set(names_used(tree, [p for p in c_files if any(p == e[0] for e in rules.EXCEPTIONS)])))
    return sorted(tree.findings)


def print_sizes(root):
    tree = Tree(root)
    files = []
    functions = []
    for path in tree.files:
        if not path.endswith(C_SUFFIXES):
            continue
        text = tree.read(path)
        files.append((text.count("\n"), path))
        for name, line, lines in source.functions_of(source.code_of(text)):
            functions.append((lines, f"{path}:{line}", name))
    if not files or not functions:
        return

    lengths = sorted(f[0] for f in functions)
    small = sum(1 for n in lengths if n <= rules.FUNCTION_LINES) * 100 // len(lengths)
    print(
        f"sizes: {len(files)} files, {sum(f[0] for f in files)} lines, median file {statistics.median_low(f[0] for f in files)}; "
        f"{len(functions)} functions, median {statistics.median_low(lengths)}, longest {lengths[-1]}, {small}% within {rules.FUNCTION_LINES}"
    )
    folders = collections.Counter()
    for lines, path in files:
        folders[path.split("/")[0]] += lines
    print("       " + ", ".join(f"{folder} {lines}" for folder, lines in folders.most_common()))
    long_files = [f"{lines:5}  {path}" for lines, path in sorted(files, reverse=True) if lines > rules.FILE_LINES]
    long_functions = [f"{n:5}  {where} {name}" for n, where, name in sorted(functions, reverse=True) if n > rules.FUNCTION_LINES]
    print_rows("files", rules.FILE_LINES, long_files)
    print_rows("functions", rules.FUNCTION_LINES, long_functions)


def print_rows(what, limit, rows):
    if not rows:
        return
    print(f"advice: {len(rows)} {what} of more than {limit} lines; is there a noun missing that wants its own room?")
    for row in rows[:ROWS_SHOWN]:
        print("  " + row)
    if len(rows) > ROWS_SHOWN:
        print(f"         and {len(rows) - ROWS_SHOWN} more")


def main():
    parser = argparse.ArgumentParser(description="The house rules as a program.")
    parser.add_argument("--root", default=rules.ROOT)
    parser.add_argument("--no-sizes", action="store_true")
    options = parser.parse_args()

    findings = check(options.root)
    for path, line, words in findings:
        print(f"{path}:{line}: {words}")
    if not options.no_sizes:
        print_sizes(options.root)
    print(f"tidy: {len(findings)} findings" if findings else "tidy: all in order")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
