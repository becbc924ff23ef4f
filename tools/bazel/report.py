"""What a run of the tests came to: report.py EVENTS EXIT_STATUS.

EVENTS is what `bazel test --build_event_json_file` wrote. Prints a line for each test, what failed in it, and as the
last line of all `N passed, M failed`, counted in test cases where a log shows them (cmocka, Python's unittest, or
lines `ok NAME` and `not ok NAME`), else in tests. A case that was skipped has failed: a test that cannot run says what
it lacks and fails. The exit status is 0 only if nothing failed and something passed.
"""

import json
import re
import sys
import urllib.parse

LOG_LINES_SHOWN = 40
CASES_SHOWN = 20

# What Bazel writes above a test's own words.
LOG_HEAD = re.compile(r"\Aexec \$\{PAGER.*?\n-{20,}\n", re.S)

CMOCKA_RUN = re.compile(r"\[ RUN      \] (\S+)")
CMOCKA_END = re.compile(r"\[\s+(OK|FAILED|SKIPPED)\s+\] (\S+)")
UNITTEST_BAD = re.compile(r"^(?:FAIL|ERROR|UNEXPECTED SUCCESS): (\S+)", re.M)
UNITTEST_RAN = re.compile(r"^Ran (\d+) tests? in ", re.M)
UNITTEST_SKIPPED = re.compile(r"^(?:OK|FAILED) \(.*?skipped=(\d+)", re.M)
LINE = re.compile(r"^(ok|not ok)\b[ \d-]*(.*)$", re.M)


class Result:
    """One test: its label, its passed and failed cases, its log."""

    def __init__(self, label):
        self.label = label
        self.passed = 0
        self.bad = []
        self.seconds = 0.0
        self.cached = False
        self.log_path = None
        self.log = ""


def cmocka_cases(log):
    ended = {}
    for outcome, name in CMOCKA_END.findall(log):
        if not name.endswith(":"):  # `[  FAILED  ] group: 2 test(s), listed below:`
            ended.setdefault(name, outcome)
    bad = []
    for name in dict.fromkeys(CMOCKA_RUN.findall(log)):
        outcome = ended.get(name)
        if outcome == "FAILED":
            bad.append(name)
        elif outcome == "SKIPPED":
            bad.append(name + " (skipped)")
        elif outcome is None:
            bad.append(name + " (did not finish)")
    passed = sum(1 for name in set(CMOCKA_RUN.findall(log)) if ended.get(name) == "OK")
    return passed, bad


def unittest_cases(log):
    ran = sum(int(n) for n in UNITTEST_RAN.findall(log))
    bad = list(dict.fromkeys(UNITTEST_BAD.findall(log)))
    skipped = sum(int(n) for n in UNITTEST_SKIPPED.findall(log))
    if skipped:
        bad += ["(skipped)"] * skipped
    return max(ran - len(bad), 0), bad


def line_cases(log):
    lines = LINE.findall(log)
    return sum(1 for ok, _ in lines if ok == "ok"), [name or "(no name)" for ok, name in lines if ok != "ok"]


def count_cases(result, status):
    log = result.log
    if CMOCKA_RUN.search(log):
        result.passed, result.bad = cmocka_cases(log)
    elif UNITTEST_RAN.search(log):
        result.passed, result.bad = unittest_cases(log)
    elif LINE.search(log):
        result.passed, result.bad = line_cases(log)
    elif status == "PASSED":
        result.passed = 1

    if status != "PASSED" and not result.bad:
        result.bad = [{"TIMEOUT": "(out of time)", "FAILED": "(the test as a whole)"}.get(status, f"({status.lower()})")]


def read_log(event):
    for output in event.get("testActionOutput", []):
        if output.get("name") == "test.log" and output.get("uri", "").startswith("file://"):
            path = urllib.parse.unquote(urllib.parse.urlparse(output["uri"]).path)
            try:
                with open(path, encoding="utf-8", errors="replace") as file:
                    return path, LOG_HEAD.sub("", file.read(), count=1)
            except OSError:
                break
    return None, ""


def read_events(path):
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.readlines()
    except OSError:
        return
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            pass


def collect(path):
    results = {}
    broken = {}
    for event in read_events(path):
        name = event.get("id", {})
        if "testResult" in name and "testResult" in event:
            label = name["testResult"]["label"]
            outcome = event["testResult"]
            result = Result(label)
            result.seconds = int(outcome.get("testAttemptDurationMillis", 0)) / 1000
            result.cached = outcome.get("cachedLocally", False)
            result.log_path, result.log = read_log(outcome)
            count_cases(result, outcome.get("status", "NO_STATUS"))
            key = (label, name["testResult"].get("run", 1), name["testResult"].get("shard", 1))
            results[key] = result
        elif "targetCompleted" in name and not event.get("completed", {}).get("success"):
            broken[name["targetCompleted"]["label"]] = True
        elif "pattern" in name and "aborted" in event:
            for pattern in name["pattern"].get("pattern", []):
                broken[pattern] = True
    tested = {label for label, _, _ in results}
    return sorted(results.values(), key=lambda r: r.label), sorted(set(broken) - tested)


def print_result(result, width):
    cases = result.passed + len(result.bad)
    note = f"{result.passed} of {cases}" if result.bad else f"{cases}"
    when = "as before" if result.cached else f"{result.seconds:.1f} s"
    print(f"{'FAILED' if result.bad else 'passed'}  {result.label:<{width}}  {note:>9}  {when:>9}")
    if not result.bad:
        return
    for name in result.bad[:CASES_SHOWN]:
        print(f"        - {name}")
    if len(result.bad) > CASES_SHOWN:
        print(f"        - and {len(result.bad) - CASES_SHOWN} more")
    lines = result.log.rstrip().splitlines()
    if len(lines) > LOG_LINES_SHOWN:
        print(f"        (the last {LOG_LINES_SHOWN} lines of {len(lines)})")
    for line in lines[-LOG_LINES_SHOWN:]:
        print("        | " + line)
    if result.log_path:
        print(f"        all of it: {result.log_path}")


def main():
    results, broken = collect(sys.argv[1])
    bazel_status = int(sys.argv[2])

    width = max([len(r.label) for r in results], default=0)
    for result in results:
        print_result(result, width)
    for label in broken:
        print(f"FAILED  {label}: does not build, or is not there; why is above")

    passed = sum(r.passed for r in results)
    failed = sum(len(r.bad) for r in results) + len(broken)
    if failed == 0 and bazel_status != 0:
        print("FAILED  the build, see above" if bazel_status != 4 else "FAILED  there is no such test")
        failed = 1
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1


sys.exit(main())
