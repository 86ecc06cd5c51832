"""The command that is running, as text that can be run again."""

import shlex
from collections.abc import Collection

import typer


def command_line(context: typer.Context, only: Collection[str] | None = None) -> str:
    """``efcompile verb ARGUMENT --option value ...`` with what was given, not the defaults; of
    it, the parameters named in `only`, if there is such."""
    words = ["efcompile", str(context.info_name)]
    for parameter in context.command.params:
        name = str(parameter.name)
        source = context.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE":
            continue
        if only is not None and name not in only:
            continue
        value = context.params[name]
        if parameter.param_type_name == "argument":
            words.append(str(value))
        elif value is True:
            words.append(parameter.opts[0])
        elif value is False:
            words.append(parameter.secondary_opts[0])
        else:
            for one in value if isinstance(value, list | tuple) else [value]:
                words += [parameter.opts[0], str(one)]
    return shlex.join(words)
