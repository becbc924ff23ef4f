"""The rules this tree builds with; tools/README.md shows each in use.

    cairn_cc_library, cairn_cc_binary     C with the house's flags
    cairn_cc_test                         a cmocka test
    cairn_cc_fuzz                         a fuzz target, and a test that replays its corpus
    cairn_py_test, cairn_sh_test          a test in Debian's Python or in bash, of the finished programs
    cairn_proto_c_library                 .proto to C, with protoc-c
    cairn_proto_py_library                .proto to Python
    cairn_descriptor_set, cairn_embed     .proto to a descriptor set; any file to a C array
"""

load("//tools/bazel:proto.bzl", "proto_c", "proto_descriptors", "proto_py", "proto_sources")
load("//tools/bazel:embed.bzl", "embed")

_LANGUAGE = [
    "-std=c11",
    "-D_GNU_SOURCE",
    "-O2",
    "-g",
    "-fno-strict-aliasing",
    "-fno-common",
]

COPTS = _LANGUAGE + [
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wshadow",
    "-Wstrict-prototypes",
    "-Wmissing-prototypes",
    "-Wold-style-definition",
    "-Wpointer-arith",
    "-Wcast-qual",
    "-Wwrite-strings",
    "-Wundef",
    "-Wvla",
    "-Wformat=2",
]

# What a generator wrote is not ours to warn about.
GENERATED_COPTS = _LANGUAGE + ["-w"]

_SANITIZERS = ["//tools/bazel:sanitizers"]

# A test that mounts, makes namespaces or changes limits of others needs the machine itself, and needs it alone.
_PRIVILEGED_TAGS = ["no-sandbox", "exclusive"]

def _tags(tags, privileged):
    return (tags or []) + (_PRIVILEGED_TAGS if privileged else [])

def cairn_cc_library(name, srcs = [], hdrs = [], deps = [], copts = [], **kwargs):
    """A library of ours. Includes are written from the root of the repository: "base/status.h"."""
    native.cc_library(
        name = name,
        srcs = srcs,
        hdrs = hdrs,
        deps = deps,
        copts = COPTS + copts,
        linkstatic = True,
        **kwargs
    )

def cairn_cc_binary(name, srcs = [], deps = [], copts = [], **kwargs):
    native.cc_binary(
        name = name,
        srcs = srcs,
        deps = deps + _SANITIZERS,
        copts = COPTS + copts,
        **kwargs
    )

def cairn_cc_test(name, srcs = [], deps = [], copts = [], size = "small", tags = None, privileged = False, **kwargs):
    """A test that uses cmocka. `privileged` takes it out of the sandbox and runs it alone."""
    native.cc_test(
        name = name,
        srcs = srcs,
        deps = deps + ["@system//:cmocka"] + _SANITIZERS,
        copts = COPTS + copts,
        linkstatic = True,
        size = size,
        tags = _tags(tags, privileged),
        **kwargs
    )

def cairn_cc_fuzz(name, srcs = [], deps = [], corpus = [], copts = [], **kwargs):
    """A libFuzzer target: LLVMFuzzerTestOneInput in srcs, `corpus` a list of files (a glob).

    Under --config=fuzz `name` is the fuzzer, which ./dev fuzz runs. In every build `name`_corpus is a test that runs
    each file of the corpus once.
    """
    engine = select({
        "//tools/bazel:fuzzing": [],
        "//conditions:default": ["//tools/bazel:fuzz_replay"],
    })
    native.cc_binary(
        name = name,
        testonly = True,
        srcs = srcs,
        deps = deps + _SANITIZERS + engine,
        copts = COPTS + ["-Wno-missing-prototypes"] + copts,
        linkopts = select({
            "//tools/bazel:fuzzing": ["-fsanitize=fuzzer"],
            "//conditions:default": [],
        }),
        tags = ["fuzz"],
        data = corpus,
        **kwargs
    )
    native.cc_test(
        name = name + "_corpus",
        srcs = srcs,
        deps = deps + _SANITIZERS + ["//tools/bazel:fuzz_replay"],
        copts = COPTS + ["-Wno-missing-prototypes"] + copts,
        linkstatic = True,
        data = corpus,
        args = ["$(location %s)" % file for file in corpus],
        size = "small",
        tags = ["corpus"],
        **kwargs
    )

def cairn_py_test(name, srcs, main = None, deps = [], data = [], args = [], size = "medium", tags = None, privileged = False, **kwargs):
    """A test in Python 3 from Debian (with python3-grpcio and python3-protobuf)."""
    native.py_test(
        name = name,
        srcs = srcs,
        main = main or srcs[0],
        deps = deps,
        data = data,
        args = args,
        size = size,
        python_version = "PY3",
        srcs_version = "PY3",
        tags = _tags(tags, privileged),
        **kwargs
    )

def cairn_sh_test(name, src, data = [], args = [], size = "medium", tags = None, privileged = False, **kwargs):
    native.sh_test(
        name = name,
        srcs = [src],
        data = data,
        args = args,
        size = size,
        tags = _tags(tags, privileged),
        **kwargs
    )

def cairn_proto_c_library(name, srcs, deps = [], import_root = "", visibility = None, **kwargs):
    """C for .proto files, by protoc-c.

    Files are imported relative to the package's folder (or `import_root` below it): in //proto, the file
    cairn/v1/log.proto is imported as "cairn/v1/log.proto" and its header included as "cairn/v1/log.pb-c.h".
    `deps` are other cairn_proto_c_library targets whose files are imported.
    """
    proto_sources(
        name = name + "_proto",
        srcs = srcs,
        deps = [_suffixed(d, "_proto") for d in deps],
        import_root = import_root,
        visibility = visibility,
    )
    proto_c(
        name = name + "_gen",
        proto = name + "_proto",
        out_dir = name + "_pb",
        visibility = ["//visibility:private"],
    )
    native.filegroup(
        name = name + "_hdrs",
        srcs = [name + "_gen"],
        output_group = "hdrs",
        visibility = ["//visibility:private"],
    )
    native.filegroup(
        name = name + "_srcs",
        srcs = [name + "_gen"],
        output_group = "srcs",
        visibility = ["//visibility:private"],
    )
    native.cc_library(
        name = name,
        srcs = [name + "_srcs"],
        hdrs = [name + "_hdrs"],
        includes = [name + "_pb"],
        copts = GENERATED_COPTS,
        linkstatic = True,
        deps = deps + ["@system//:protobuf_c"],
        visibility = visibility,
        **kwargs
    )

def cairn_proto_py_library(name, proto, visibility = None, **kwargs):
    """Python messages for a cairn_proto_c_library (`proto`) and what it imports: `from cairn.v1 import log_pb2`."""
    proto_py(
        name = name + "_gen",
        protos = [_suffixed(proto, "_proto")],
        out_dir = name + "_pb2",
        visibility = ["//visibility:private"],
    )
    native.py_library(
        name = name,
        srcs = [name + "_gen"],
        imports = [name + "_pb2"],
        srcs_version = "PY3",
        visibility = visibility,
        **kwargs
    )

def cairn_descriptor_set(name, protos, **kwargs):
    """`name`.binpb: a FileDescriptorSet of cairn_proto_c_library targets and everything they import."""
    proto_descriptors(
        name = name,
        protos = [_suffixed(p, "_proto") for p in protos],
        out = name + ".binpb",
        **kwargs
    )

def cairn_embed(name, src, symbol = None, visibility = None):
    """A library with the bytes of one file.

    Include "PACKAGE/name.h": `extern const unsigned char symbol[]; extern const size_t symbol_size;`. One zero byte
    follows the bytes. `symbol` is `name` unless given.
    """
    embed(
        name = name + "_gen",
        src = src,
        symbol = symbol or name,
        header = name + ".h",
        source = name + ".c",
        visibility = ["//visibility:private"],
    )
    native.cc_library(
        name = name,
        srcs = [name + ".c"],
        hdrs = [name + ".h"],
        copts = GENERATED_COPTS,
        linkstatic = True,
        visibility = visibility,
    )

def _suffixed(label, suffix):
    """//proto:log -> //proto:log_proto; //proto -> //proto:proto_proto."""
    if ":" in label or not label.startswith("//"):
        return label + suffix
    return label + ":" + label.split("/")[-1] + suffix
