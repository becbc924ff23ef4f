"""Debian's protoc-c and protoc as rules. cairn.bzl wraps them; nothing else loads this file."""

_Protos = provider(
    doc = "Some .proto files, and everything they import.",
    fields = {
        "direct": "the files themselves, in order",
        "names": "their import names, in the same order",
        "files": "depset: these files and all they import",
        "all_names": "depset: the import names of all those files",
        "roots": "depset: folders that import names are relative to",
    },
)

def _join(*parts):
    return "/".join([p for p in parts if p])

def _sources_impl(ctx):
    root = _join(ctx.label.workspace_root, ctx.label.package, ctx.attr.import_root)
    names = []
    for file in ctx.files.srcs:
        if root and not file.path.startswith(root + "/"):
            fail("%s is not below the import root %s" % (file.path, root))
        names.append(file.path[len(root) + 1:] if root else file.path)
    deps = [d[_Protos] for d in ctx.attr.deps]
    return [
        DefaultInfo(files = depset(ctx.files.srcs)),
        _Protos(
            direct = ctx.files.srcs,
            names = names,
            files = depset(ctx.files.srcs, transitive = [d.files for d in deps]),
            all_names = depset(names, transitive = [d.all_names for d in deps]),
            roots = depset([root or "."], transitive = [d.roots for d in deps]),
        ),
    ]

proto_sources = rule(
    implementation = _sources_impl,
    attrs = {
        "srcs": attr.label_list(allow_files = [".proto"], mandatory = True),
        "deps": attr.label_list(providers = [_Protos]),
        "import_root": attr.string(),
    },
)

def _stem(name):
    return name[:-len(".proto")]

def _run(ctx, tool, protos, outputs, options, names, mnemonic):
    args = ctx.actions.args()
    args.add_all(depset(transitive = [p.roots for p in protos]), format_each = "--proto_path=%s")
    args.add_all(options)
    args.add_all(names)
    ctx.actions.run(
        executable = tool,
        inputs = depset(transitive = [p.files for p in protos]),
        outputs = outputs,
        arguments = [args],
        mnemonic = mnemonic,
        progress_message = "%s %s" % (mnemonic, ctx.label),
    )

def _out_path(ctx):
    return _join(ctx.bin_dir.path, ctx.label.workspace_root, ctx.label.package, ctx.attr.out_dir)

def _c_impl(ctx):
    protos = ctx.attr.proto[_Protos]
    hdrs = [ctx.actions.declare_file(_join(ctx.attr.out_dir, _stem(n) + ".pb-c.h")) for n in protos.names]
    srcs = [ctx.actions.declare_file(_join(ctx.attr.out_dir, _stem(n) + ".pb-c.c")) for n in protos.names]
    _run(ctx, "/usr/bin/protoc-c", [protos], hdrs + srcs, ["--c_out=" + _out_path(ctx)], protos.names, "ProtocC")
    return [
        DefaultInfo(files = depset(hdrs + srcs)),
        OutputGroupInfo(hdrs = depset(hdrs), srcs = depset(srcs)),
    ]

proto_c = rule(
    implementation = _c_impl,
    attrs = {
        "proto": attr.label(providers = [_Protos], mandatory = True),
        "out_dir": attr.string(mandatory = True),
    },
)

def _py_impl(ctx):
    protos = [p[_Protos] for p in ctx.attr.protos]
    names = depset(transitive = [p.all_names for p in protos]).to_list()
    outputs = [
        ctx.actions.declare_file(_join(ctx.attr.out_dir, _stem(n).replace("-", "_") + "_pb2.py"))
        for n in names
    ]
    _run(ctx, "/usr/bin/protoc", protos, outputs, ["--python_out=" + _out_path(ctx)], names, "ProtocPython")
    return [DefaultInfo(files = depset(outputs))]

proto_py = rule(
    implementation = _py_impl,
    attrs = {
        "protos": attr.label_list(providers = [_Protos], mandatory = True),
        "out_dir": attr.string(mandatory = True),
    },
)

def _descriptors_impl(ctx):
    protos = [p[_Protos] for p in ctx.attr.protos]
    names = [n for p in protos for n in p.names]
    options = ["--include_imports", "--descriptor_set_out=" + ctx.outputs.out.path]
    _run(ctx, "/usr/bin/protoc", protos, [ctx.outputs.out], options, names, "ProtocDescriptors")
    return [DefaultInfo(files = depset([ctx.outputs.out]))]

proto_descriptors = rule(
    implementation = _descriptors_impl,
    attrs = {
        "protos": attr.label_list(providers = [_Protos], mandatory = True),
        "out": attr.output(mandatory = True),
    },
)
