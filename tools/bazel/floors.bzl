"""The order of the floors, as visibility: who may stand on whom.

A package says `package(default_visibility = LOG_VISIBLE)` and a target above that looks down too far, or one below
that looks up, does not build. The table is that of ARCHITECTURE.md, read the other way round; tools/tidy checks the
same order in the #include lines. The two agree because tools/tidy/rules.py reads FLOORS from this file.
"""

# folder: the folders it may include. tests and tools may include anything.
FLOORS = {
    "base": [],
    "security": ["base"],
    "proto": ["base"],
    "log": ["base", "security"],
    "replication": ["base", "proto", "log"],
    "controller": ["base", "security", "proto", "replication"],
    "server": ["base", "security", "proto", "log", "replication", "controller"],
    "clients": ["base", "proto", "security"],
}

_ANYTHING = ["tests", "tools"]

def _visible(folder):
    above = [f for f in FLOORS if folder in FLOORS[f]]
    return ["//%s:__subpackages__" % f for f in [folder] + above + _ANYTHING]

BASE_VISIBLE = _visible("base")
SECURITY_VISIBLE = _visible("security")
PROTO_VISIBLE = _visible("proto")
LOG_VISIBLE = _visible("log")
REPLICATION_VISIBLE = _visible("replication")
CONTROLLER_VISIBLE = _visible("controller")

# The root package has the aliases //:cairnd and //:cairn.
SERVER_VISIBLE = _visible("server") + ["//:__pkg__"]
CLIENTS_VISIBLE = _visible("clients") + ["//:__pkg__"]
TESTS_VISIBLE = ["//tests:__subpackages__", "//tools:__subpackages__"]
