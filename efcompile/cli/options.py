"""Arguments and options that several verbs share."""

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    str,
    typer.Argument(
        help="A name of the zoo (efficientformer_l1), timm:NAME, or package.module:factory",
        show_default=False,
    ),
]
Target = Annotated[str, typer.Option(help="host, an alias (`efcompile devices`), a triple")]
Cpu = Annotated[str | None, typer.Option(help="The core to tune for, instead of the target's")]
Mattr = Annotated[
    str | None,
    typer.Option(help="The CPU features to use, instead of the core's: avx2,fma"),
]
Checkpoint = Annotated[
    Path | None,
    typer.Option(help="Weights: .safetensors, or .pth with tensors only", show_default=False),
]
Batch = Annotated[int, typer.Option(min=1, help="Images per inference")]
Resolution = Annotated[
    int | None,
    typer.Option(min=1, help="Side of the image in pixels; default: the model's own"),
]
Passes = Annotated[
    str | None,
    typer.Option(help="The passes to run instead of the pipeline: a,b,c", show_default=False),
]
DisablePass = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Leave out a pass (repeatable)", show_default=False),
]
TuningRecords = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Use what tuning found, in its --work-dir or a bundle, before what ships",
        show_default=False,
    ),
]
EmulatedRecords = Annotated[
    bool,
    typer.Option(
        "--emulated-records", help="Of the tuning records take those found under emulation"
    ),
]
Tuned = Annotated[
    bool,
    typer.Option(
        "--tuned/--no-tuned", help="Knobs that tuning found, or the analytic defaults alone"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output")]


def names(text: str | None) -> list[str] | None:
    """``a,b,c`` as a list; None stays None."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def features(text: str | None) -> tuple[str, ...] | None:
    """``+avx2,+fma`` or ``avx2,fma`` as LLVM's names without signs; None stays None."""
    return None if text is None else tuple(name.removeprefix("+") for name in names(text) or ())
