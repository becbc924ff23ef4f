"""Each rule of tidy finds what it is for and lets pass what is right; and this tree keeps them all."""

import os
import pathlib
import sys
import tempfile
import unittest

# The real file, not the link to it that a test is given: what is checked is the tree around it.
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
sys.dont_write_bytecode = True

import rules  # noqa: E402
import source  # noqa: E402
import tidy  # noqa: E402

HEADER = "/* A thing that promises to be a thing, owned by whoever made it. */\n#ifndef X_H\n#define X_H\n#endif\n"


def findings_of(files):
    """What tidy says of a tree of these files, as text; every C file is named in a BUILD file unless there is one."""
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            file = pathlib.Path(root, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        if not any(path.endswith("BUILD") for path in files):
            pathlib.Path(root, "BUILD").write_text("".join(f'"{path}"\n' for path in files), encoding="utf-8")
        return [f"{path}:{line}: {words}" for path, line, words in tidy.check(root)]


class Case(unittest.TestCase):
    def assert_clean(self, path, text):
        self.assertEqual(findings_of({path: text}), [])

    def assert_found(self, path, text, *words):
        found = findings_of({path: text})
        self.assertEqual(len(found), len(words), found)
        for line, word in zip(found, words):
            self.assertIn(word, line)


class Includes(Case):
    def test_a_floor_includes_itself_and_what_it_stands_on(self):
        self.assert_clean("log/x.c", '#include "log/entry.h"\n#include "base/bytes.h"\n#include "security/hash.h"\n')

    def test_a_floor_that_looks_up_or_aside_is_found(self):
        self.assert_found("base/x.c", '#include "log/entry.h"\n', "base/x.c:1: base/ may not include log/entry.h")
        self.assert_found("log/x.c", '\n#include "proto/pack.h"\n', "log/x.c:2: log/ may not include proto/pack.h")
        self.assert_found("clients/c/x.c", '#include "server/node.h"\n', "clients/ may not include server/node.h")
        self.assert_found("server/x.c", '#include "tests/sim/sim.h"\n', "server/ may not include tests/sim/sim.h")

    def test_generated_messages_belong_to_proto(self):
        self.assert_clean("replication/x.c", '#include "cairn/v1/log.pb-c.h"\n')
        self.assert_found("log/x.c", '#include "cairn/v1/log.pb-c.h"\n', "log/ may not include cairn/v1/log.pb-c.h")

    def test_tests_and_tools_include_anything_of_ours(self):
        self.assert_clean("tests/x.c", '#include "server/node.h"\n#include "clients/c/cairn.h"\n#include <lmdb.h>\n')
        self.assert_clean("tools/dump/x.c", '#include "log/entry.h"\n#include <unistd.h>\n')

    def test_an_include_is_written_from_the_root(self):
        self.assert_found("log/x.c", '#include "entry.h"\n', "not written from the root")
        self.assert_found("log/x.c", "#include <log/entry.h>\n", "is ours")

    def test_a_foreign_header_stands_in_its_one_place(self):
        self.assert_clean("base/os/store_lmdb.c", "#include <lmdb.h>\n")
        self.assert_clean("security/x.c", "#include <sodium.h>\n")
        self.assert_clean("proto/rpc_grpc_call.c", "#include <grpc/grpc.h>\n")
        self.assert_found("base/os/x.c", "#include <lmdb.h>\n", "<lmdb.h> belongs in base/os/store_lmdb only")
        self.assert_found("server/x.c", "#include <sodium/utils.h>\n", "belongs in security/ only")
        self.assert_found("proto/x.c", "#include <grpc/grpc.h>\n", "belongs in proto/rpc_grpc only")
        self.assert_found("tools/x.c", "#include <cmocka.h>\n", "belongs in tests/ only")

    def test_the_operating_system_is_behind_the_doors(self):
        self.assert_clean("base/os/x.c", "#include <fcntl.h>\n#include <sys/epoll.h>\n")
        self.assert_found("log/x.c", "#include <fcntl.h>\n", "outside the doors")
        self.assert_found("base/x.c", "#include <sys/mman.h>\n", "outside the doors")

    def test_threads_are_behind_the_doors(self):
        self.assert_clean("clients/c/x.c", "#include <pthread.h>\n")
        self.assert_found("log/x.c", "#include <pthread.h>\n", "a lane has no locks")

    def test_a_comment_includes_nothing(self):
        self.assert_clean("base/x.c", '/*\n#include "server/node.h"\n*/\n')


class Calls(Case):
    def test_banned_everywhere(self):
        self.assert_found("tests/x.c", "void f(void) { strcpy(a, b); }\n", "strcpy() is banned")
        self.assert_found("base/os/x.c", "void f(void) {\n  x = time(NULL);\n}\n", "base/os/x.c:2: time() is banned")
        self.assert_found("clients/cli/x.c", "void f(void) { sleep(1); n = atoi(s); }\n", "atoi() is banned", "sleep() is banned")

    def test_the_heap_is_bases(self):
        self.assert_clean("base/arena.c", "void f(void) { free(malloc(1)); }\n")
        self.assert_found("log/x.c", "void f(void) { free(p); }\n", "free() outside base/")

    def test_doors(self):
        self.assert_clean("base/os/x.c", "void f(void) { fdatasync(fd); }\n")
        self.assert_found("log/x.c", "void f(void) { fdatasync(fd); }\n", "fdatasync() is a file outside the doors")
        self.assert_found("server/x.c", "void f(void) { clock_gettime(a, b); }\n", "is a clock outside the doors")

    def test_assert_is_for_tests(self):
        self.assert_clean("tests/x.c", "void f(void) { assert(1); }\n")
        self.assert_found("log/x.c", "void f(void) { assert(1); }\n", "assert() outside tests/")
        self.assert_clean("log/x.c", '_Static_assert(sizeof(int) == 4, "");\n')

    def test_only_plain_calls_of_foreign_functions_count(self):
        self.assert_clean("log/x.c", "void f(void) { disk->read(disk); d.free(p); segment_read(s); }\n")
        self.assert_clean("log/x.c", "static int send(int x) { return x; }\nint g(void) { return send(1); }\n")
        self.assert_clean("log/x.c", "static int send(int x);\nint g(void) { return send(1); }\nstatic int send(int x) { return x; }\n")
        self.assert_clean("log/x.c", '/* calls free() */\nconst char *x = "free(p)";\n')


class Text(Case):
    def test_a_header_opens_with_a_paragraph_and_has_a_guard(self):
        self.assert_clean("base/x.h", HEADER)
        self.assert_found("base/x.h", "#ifndef X_H\n#define X_H\n#endif\n", "opens with a comment")
        self.assert_found("base/x.h", "/* A thing that promises to be a thing. */\n", "without a guard")

    def test_a_promise_names_its_issue(self):
        word = "TO" + "DO"
        self.assert_found("base/x.c", f"/* {word}: later */\n", "without an issue")
        self.assert_clean("base/x.c", f"/* {word}(#12): later */\n")

    def test_white_space(self):
        self.assert_found("base/x.c", "\tint x;\n", "a tab")
        self.assert_found("base/x.c", "int x; \n", "end of the line")
        self.assert_found("base/x.c", "int x;", "the last line has no end")


class Built(Case):
    def test_a_file_that_nothing_builds_is_dead(self):
        found = findings_of({"base/BUILD": '"a.c", "os/c.c"', "base/a.c": "int a;\n", "base/b.c": "int b;\n", "base/os/c.c": "int c;\n"})
        self.assertEqual(len(found), 1, found)
        self.assertIn("base/b.c:1: no target builds it", found[0])


class Reading(unittest.TestCase):
    def test_functions_and_their_lengths(self):
        code = source.code_of(
            "struct a {\n  int (*f)(void);\n};\n"
            "static int table[] = {1, 2};\n"
            "int one(void) { return 1; }\n"
            "__attribute__((format(printf, 1, 2)))\nstatic void two(const char *f,\n    ...)\n{\n  if (f) {\n  }\n}\n"
        )
        self.assertEqual([(name, lines) for name, _, lines in source.functions_of(code)], [("one", 1), ("two", 6)])

    def test_the_floors_are_those_of_bazel(self):
        self.assertEqual(rules.FLOORS["base"], [])
        self.assertIn("log", rules.FLOORS["replication"])


class Tree(unittest.TestCase):
    def test_this_tree(self):
        found = [f"{path}:{line}: {words}" for path, line, words in tidy.check(rules.ROOT)]
        if found:
            self.fail("\n" + "\n".join(found))


if __name__ == "__main__":
    unittest.main()
