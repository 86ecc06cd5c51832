"""``efcompile passes``: what passes there are, and what they do to a model."""

from typing import Annotated

import typer

from efcompile.cli import options


def passes(
    explain: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Run the passes on this model and account for all"),
    ] = None,
    checkpoint: options.Checkpoint = None,
    batch: options.Batch = 1,
    resolution: options.Resolution = None,
    only: Annotated[
        str | None,
        typer.Option("--passes", help="With --explain: these instead of the pipeline: a,b,c"),
    ] = None,
    disable_pass: options.DisablePass = None,
    json: options.Json = False,
) -> None:
    """List the passes in their order, or explain what they do to a model.

    --explain shows, for every pass, what it rewrote and what it refused, where and why, then
    what of the batch norms, gathers, reshapes and permutes is left.  It compiles nothing.
    """
    from efcompile.cli import explaining
    from efcompile.cli.source import prepare
    from efcompile.passes.pipeline import build_pipeline

    if explain is None:
        if checkpoint or resolution or only or disable_pass or batch != 1:
            raise typer.BadParameter("only --json goes without --explain MODEL")
        explaining.list_passes(json)
        return
    pipeline = build_pipeline(options.names(only), disable_pass or ())
    source = prepare(explain, checkpoint, batch, resolution)
    explaining.explain(source, pipeline, json)
