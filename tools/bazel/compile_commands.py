"""Writes compile_commands.json: compile_commands.py WORKSPACE EXECUTION_ROOT < output of `bazel aquery --output=jsonproto`."""

import json
import os
import sys


def main():
    workspace, execution_root = sys.argv[1:]
    commands = {}
    for action in json.load(sys.stdin).get("actions", []):
        arguments = action["arguments"]
        source = arguments[arguments.index("-c") + 1]
        generated = source.startswith("bazel-out/")
        file = os.path.join(execution_root if generated else workspace, source)
        commands[file] = {"directory": execution_root, "file": file, "arguments": arguments}
    with open(os.path.join(workspace, "compile_commands.json"), "w", encoding="utf-8") as out:
        json.dump(list(commands.values()), out, indent=1)
        out.write("\n")
    print(f"compile_commands.json: {len(commands)} files")


main()
