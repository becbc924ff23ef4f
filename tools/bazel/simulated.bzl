"""Programs built as the simulator wants them: everything below them compiled once more with -DCAIRN_SIMULATED.

In that build REACHED() counts (base/probe.h) and MUTANT() can be switched on (base/mutant.h); in every other one both are
nothing. The two builds share no object file, so what is shipped cannot be sabotaged by a switch.
"""

def _simulated_impl(settings, attr):
    return {"//command_line_option:copt": settings["//command_line_option:copt"] + ["-DCAIRN_SIMULATED"]}

_simulated = transition(
    implementation = _simulated_impl,
    inputs = ["//command_line_option:copt"],
    outputs = ["//command_line_option:copt"],
)

def _simulated_binary_impl(ctx):
    actual = ctx.attr.actual[0][DefaultInfo]
    executable = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(output = executable, target_file = actual.files_to_run.executable, is_executable = True)
    return [DefaultInfo(
        executable = executable,
        runfiles = ctx.runfiles(files = [executable]).merge(actual.default_runfiles),
    )]

# The program `actual`, with all it depends on, built for simulation.
simulated_binary = rule(
    implementation = _simulated_binary_impl,
    attrs = {
        "actual": attr.label(executable = True, cfg = _simulated, mandatory = True),
        "_allowlist_function_transition": attr.label(default = "@bazel_tools//tools/allowlists/function_transition_allowlist"),
    },
    executable = True,
)
