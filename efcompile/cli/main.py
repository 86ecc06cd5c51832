"""The command line: one file per verb, errors as one line on stderr."""

import sys
from collections.abc import Sequence

import typer

from efcompile.cli import bench, check, devices, diff, optimize, passes, profile, report, tune
from efcompile.cli.console import err, say
from efcompile.errors import EfcompileError

app = typer.Typer(
    name="efcompile",
    help="Fused, verified, shippable code from PyTorch vision models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="markdown",
)
app.command("optimize")(optimize.optimize)
app.command("bench")(bench.bench)
app.command("profile")(profile.profile)
app.command("report")(report.report)
app.command("tune")(tune.tune)
app.command("check")(check.check)
app.command("diff")(diff.diff)
app.command("passes")(passes.passes)
app.add_typer(devices.app, name="devices")


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the command line on `arguments` (default: the process's own) and exit.

    An error of ours becomes its message and exit code 1; wrong usage is exit code 2.
    """
    try:
        app(arguments)
    except EfcompileError as error:
        err.print(f"[bold red]error:[/] {type(error).__name__}: ", end="")
        say(str(error))
        sys.exit(1)
