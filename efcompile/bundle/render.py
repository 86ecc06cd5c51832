"""The C text written for each model: its public header and its driver's tables."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from efcompile.bundle.abi import ABI, HEADER_BYTES, MAX_RANK
from efcompile.bundle.cpu_features import Feature
from efcompile.bundle.names import identifier, kernel_symbol, layout
from efcompile.errors import BundleError
from efcompile.lowering.program import ALIGNMENT, Buffer, Program

NATIVE = Path(__file__).parent / "native"
"""The C sources that are the same for every model, and the templates."""

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(NATIVE),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


_AHEAD = 32
"""The part of L2, as its divisor, that a call's code and each of its constants may take when they
are asked for during the call before (of 16 and 64 there was less to gain)."""


def write_sources(
    program: Program,
    build: bytes,
    weight_bytes: int,
    features: Sequence[Feature],
    folder: Path,
    code_bytes: Mapping[str, int],
) -> None:
    """Write ``<m>.h``, ``ef_model.h`` and ``ef_tables.h`` into `folder`; `code_bytes` are the
    sizes of the kernels' objects, by C symbol."""
    model = identifier(program.name)
    values = _tables(program, model, code_bytes) | {
        "m": model,
        "abi": ABI,
        "target": program.target.name,
        "build_id": list(build),
        "build_id_hex": build.hex(),
        "features": features,
        "weight_bytes": HEADER_BYTES + weight_bytes,
        "arena_bytes": -(-program.arena_bytes // ALIGNMENT) * ALIGNMENT,
        "scratch_bytes": program.scratch_bytes,
        "common": (NATIVE / "ef.h").read_text(),
        "pad": " " * len(f"ef_status {model}_run("),
        "profile_pad": " " * len(f"ef_status {model}_profile("),
    }
    for template, name in (
        ("model.h.j2", f"{model}.h"),
        ("ef_model.h.j2", "ef_model.h"),
        ("ef_tables.h.j2", "ef_tables.h"),
    ):
        (folder / name).write_text(render(template, values))


def render(template: str, values: Mapping[str, Any]) -> str:
    """The text of a template in `NATIVE`; a value that it lacks is an error."""
    return _TEMPLATES.get_template(template).render(values)


def _tables(program: Program, model: str, code_bytes: Mapping[str, int]) -> dict[str, Any]:
    if not (program.inputs and program.outputs and program.calls):
        raise BundleError(f"{program.name!r} has no inputs, no outputs or no calls: nothing to run")
    # Elsewhere nobody has measured it.
    most = program.target.l2_bytes // _AHEAD if program.target.arch == "x86_64" else 0
    inputs = [_tensor(program.buffers[name]) for name in program.inputs]
    outputs = [_tensor(program.buffers[name]) for name in program.outputs]
    args: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    for call in program.calls:
        if len(call.args) != program.kernels[call.symbol].arity:
            raise BundleError(
                f"a call of {call.symbol!r} passes {len(call.args)} buffers; the kernel takes "
                f"{program.kernels[call.symbol].arity}"
            )
        symbol = kernel_symbol(model, call.symbol)
        calls.append(
            {
                "symbol": symbol,
                "tasks": call.tasks,
                "chained": int(program.kernels[call.symbol].chained),
                "arg_count": len(call.args),
                "first_arg": len(args),
                "code_ahead": min(most, code_bytes[symbol]),
            }
        )
        for name in call.args:
            buffer = program.buffers[name]
            ahead = min(most, buffer.bytes) if buffer.kind == "constant" else 0
            args.append({"space": buffer.kind.upper(), "offset": buffer.offset, "ahead": ahead})
    used = {call.symbol for call in program.calls}
    kernels = [
        {"symbol": kernel_symbol(model, kernel.symbol), "arity": kernel.arity}
        for kernel in program.kernels.values()
        if kernel.symbol in used
    ]
    return {
        "inputs": inputs,
        "outputs": outputs,
        "boundary": [("in ", t) for t in inputs] + [("out", t) for t in outputs],
        "kernels": kernels,
        "calls": calls,
        "args": args,
        "max_args": max(len(call.args) for call in program.calls),
    }


def _tensor(buffer: Buffer) -> dict[str, Any]:
    if len(buffer.shape) > MAX_RANK:
        raise BundleError(f"{buffer.name!r} has {len(buffer.shape)} dimensions, over {MAX_RANK}")
    return {
        "name": re.sub(r"[^\w.]", "_", buffer.name, flags=re.ASCII),
        "dtype": buffer.dtype,
        "layout": layout(buffer.shape),
        "dims": list(buffer.shape) or [1],
        "bytes": buffer.bytes,
        "alignment": np.dtype(buffer.dtype).itemsize,
    }
