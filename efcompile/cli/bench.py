"""``efcompile bench``: run a bundle on a device, check it, and say what it costs."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from efcompile.cli import device_options, options
from efcompile.cli.console import err, ms, out, print_json, say
from efcompile.devices.measurement import Measurement


def bench(
    bundle: Annotated[Path, typer.Argument(help="The directory that `optimize` printed")],
    device: device_options.Device = "local",
    threads: Annotated[int, typer.Option("--threads", "--num-threads", min=1)] = 1,
    warmup: Annotated[
        int | None,
        typer.Option(
            min=0, help="Untimed runs first", show_default="5; elsewhere than local: the device's"
        ),
    ] = None,
    iterations: Annotated[
        int | None,
        typer.Option(
            min=1, help="Timed runs", show_default="50; elsewhere than local: the device's"
        ),
    ] = None,
    tracker: device_options.Tracker = None,
    server: device_options.Server = None,
    key: device_options.Key = None,
    serial: device_options.Serial = None,
    json: options.Json = False,
) -> None:
    """Measure BUNDLE, and compare it with eager PyTorch on the sample it carries.

    On `local`, `rpc` and `adb` the latency; on `qemu` the instructions of one inference by class,
    counted under emulation (exact with one thread; no times).  Exits non-zero if the outputs are
    wrong.
    """
    from efcompile.bundle import sample
    from efcompile.bundle.load import load_bundle
    from efcompile.errors import ParityError

    loaded = load_bundle(bundle)
    if device == "local":
        warmup, iterations = 5 if warmup is None else warmup, iterations or 50
    elif device == "qemu" and (warmup is not None or iterations is not None):
        raise typer.BadParameter("qemu counts one inference: no --warmup, no --iterations")
    chosen = device_options.chosen(
        device,
        tracker=tracker,
        server=server,
        key=key,
        serial=serial,
        warmup=warmup,
        iterations=iterations,
    )
    say(f"{loaded.manifest.model} for {loaded.manifest.target.name} on {chosen.name}")
    with err.status("checking against the sample"):
        inputs, wanted = sample.read(loaded)
        error = sample.relative_error(chosen.run(loaded, inputs, threads=threads), wanted)
    if not error <= sample.TOLERANCE:
        raise ParityError(
            f"{bundle} differs from eager PyTorch by {error:.2e} of the output's scale on "
            f"{chosen.name} (limit {sample.TOLERANCE:.0e})"
        )
    with err.status("measuring"):
        measured = chosen.measure(loaded, inputs, threads=threads)
    if json:
        figures: dict[str, Any] = {name: asdict(m) for name, m in measured.items()}
        print_json({"bundle": str(bundle), "relative_error": error, "measurements": figures})
        return
    out.print(f"parity with eager PyTorch: {error:.1e} of the output's scale")
    out.print(_table(measured))


def _table(measured: "dict[str, Measurement] | Any") -> Table:
    first = next(iter(measured.values()))
    title = f"{first.kind} on {first.device}, {first.threads} thread(s), {first.date}"
    if first.unit == "ns":
        table = Table("figure", "median", "quartiles", "samples", title=title)
        for name, m in measured.items():
            quartiles = f"{ms(m.spread[0])} .. {ms(m.spread[1])}"
            table.add_row(name, ms(m.value), quartiles, str(m.samples))
        return table
    total = measured["instructions"].value
    table = Table("class", "instructions", "share", title=title)
    for name, m in measured.items():
        table.add_row(name, f"{m.value:,.0f}", f"{m.value / total:.1%}")
    for column in table.columns[1:]:
        column.justify = "right"
    return table
