"""Leftovers: ops that no kernel of ours covers, through TVM's importer.

A connected group of leftover nodes is decomposed in torch to a few tested primitives, imported
into Relax, legalised and fused there, and cut into raw kernels (see `nests`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray
from torch.fx import GraphModule, Node

from efcompile.errors import UnsupportedOpError
from efcompile.lowering.importer import Imported, import_program
from efcompile.lowering.nests import Cut, cut
from efcompile.lowering.primitives import decompose, describe
from efcompile.targets.target import Target
from efcompile.tvm_api import structural


@dataclass(frozen=True)
class LeftoverCall:
    """One kernel call: `args` name the buffers of `func`'s pointers, those it writes last."""

    symbol: str
    func: Any
    args: tuple[str, ...]
    tasks: int


@dataclass(frozen=True, eq=False)
class Leftover:
    """A lowered group: `calls` in order over named values.

    A name is an input's (its node's name), one of `constants`, or one of `buffers` (shape and
    dtype; the caller gives it memory).  `outputs` maps the nodes that others read to names.
    Equal code has equal symbols.
    """

    inputs: tuple[Node, ...]
    outputs: dict[Node, str]
    calls: tuple[LeftoverCall, ...]
    buffers: dict[str, tuple[tuple[int, ...], str]]
    constants: dict[str, NDArray[Any]]


def lower_group(graph_module: GraphModule, group: Sequence[Node], target: Target) -> Leftover:
    """Lower the connected nodes `group` (in graph order, ``meta["val"]`` set).

    Raises `UnsupportedOpError` naming the ops and their modules when one of them has no tested
    way through the importer.
    """
    primitives = decompose(graph_module, group)
    try:
        imported = import_program(primitives.program)
        return _assemble(primitives.inputs, primitives.outputs, imported, target)
    except UnsupportedOpError as error:
        raise UnsupportedOpError(f"{describe(group)}: {error}") from error


def _assemble(
    inputs: Sequence[Node], outputs: Sequence[Node], imported: Imported, target: Target
) -> Leftover:
    """Cut every step into kernels and name the buffers between them."""
    names = dict(zip(imported.inputs, (node.name for node in inputs), strict=True))
    buffers = dict(imported.buffers)
    calls: list[LeftoverCall] = []
    cuts: dict[Any, Cut] = {}
    for number, step in enumerate(imported.steps):
        if step.func not in cuts:
            cuts[step.func] = cut(step.func, target)
        pieces = cuts[step.func]
        local = dict(zip(pieces.params, (names.get(a, a) for a in step.args), strict=True))
        for index, buffer in enumerate(pieces.intermediates):
            local[buffer] = f"s{number}.{index}"
            shape = tuple(int(d) for d in buffer.shape)
            buffers[local[buffer]] = (shape, str(buffer.dtype))
        for nest in pieces.nests:
            symbol = f"leftover_{structural.structural_hash(nest.func) & (1 << 64) - 1:016x}"
            func = nest.func.with_attr("global_symbol", symbol)
            args = tuple(local[buffer] for buffer in nest.buffers)
            calls.append(LeftoverCall(symbol, func, args, nest.tasks))
    results = {
        node: names.get(name, name) for node, name in zip(outputs, imported.outputs, strict=True)
    }
    used = {name for call in calls for name in call.args} | set(results.values())
    return Leftover(
        tuple(inputs),
        results,
        tuple(calls),
        {name: value for name, value in buffers.items() if name in used},
        {name: value for name, value in imported.constants.items() if name in used},
    )
