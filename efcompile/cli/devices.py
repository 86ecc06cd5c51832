"""``efcompile devices``: where code can run; its subcommands examine and rehearse."""

import typer
from rich.markup import escape
from rich.table import Table

from efcompile.cli import doctor, emulate, options
from efcompile.cli.console import out, print_json

app = typer.Typer(no_args_is_help=False)
app.command("doctor")(doctor.doctor)
app.command("emulate")(emulate.emulate)


@app.callback(invoke_without_command=True)
def devices(context: typer.Context, json: options.Json = False) -> None:
    """List devices (and why one is not available) and the targets to compile for.

    `efcompile devices doctor` examines one, `efcompile devices emulate` starts an arm64 one here.
    """
    if context.invoked_subcommand is None:
        _list(json)
    elif json:
        raise typer.BadParameter(f"give it to {context.invoked_subcommand}: after that word")


def _list(json: bool) -> None:
    from efcompile.devices.registry import DEVICES
    from efcompile.targets.aliases import ALIASES
    from efcompile.targets.resolve import resolve

    states = {device.name: device.unavailable() for device in DEVICES}
    names = ("host", *ALIASES)
    targets = [resolve(name) for name in names]
    if json:
        print_json(
            {
                "devices": [
                    {"name": d.name, "summary": d.summary, "unavailable": states[d.name]}
                    for d in DEVICES
                ],
                "targets": [
                    {"alias": alias, "triple": t.triple, "cpu": t.cpu, "features": t.features}
                    for alias, t in zip(names, targets, strict=True)
                ],
            }
        )
        return
    table = Table("device", "state", "what it does", title="Devices")
    for device in DEVICES:
        state = states[device.name]
        shown = "[green]ready[/]" if state is None else escape(state)
        table.add_row(device.name, shown, device.summary)
    out.print(table)
    known = Table("target", "triple", "cpu", "vectors", "runs on", title="Targets")
    for alias, target in zip(names, targets, strict=True):
        hosts = [d.name for d in DEVICES if states[d.name] is None and not d.refuses(target)]
        vectors = f"{target.registers} x {target.vector_bits} bit"
        known.add_row(alias, target.triple, target.cpu, vectors, ", ".join(hosts) or "-")
    out.print(known)
