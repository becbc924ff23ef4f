"""A file as a C array. cairn.bzl wraps it; nothing else loads this file."""

def _embed_impl(ctx):
    ctx.actions.run(
        executable = "/usr/bin/python3",
        arguments = [
            ctx.file._script.path,
            ctx.file.src.path,
            ctx.attr.symbol,
            ctx.outputs.header.path,
            ctx.outputs.source.path,
        ],
        inputs = [ctx.file.src, ctx.file._script],
        outputs = [ctx.outputs.header, ctx.outputs.source],
        mnemonic = "Embed",
    )
    return [DefaultInfo(files = depset([ctx.outputs.header, ctx.outputs.source]))]

embed = rule(
    implementation = _embed_impl,
    attrs = {
        "src": attr.label(allow_single_file = True, mandatory = True),
        "symbol": attr.string(mandatory = True),
        "header": attr.output(mandatory = True),
        "source": attr.output(mandatory = True),
        "_script": attr.label(default = "//tools/bazel:embed.py", allow_single_file = True),
    },
)
