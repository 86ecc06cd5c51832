"""Tracing: a module and its inputs to one graph of ATen calls, spelled as the tracer found them.

`torch.export` does it; where it refuses (scripted submodules, for example) `make_fx` gets a
try. Either way the result is a `Trace`, which `normal_form` then rewrites.
"""

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.fx.traceback as fx_traceback
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind
from torch.fx import Graph, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree

from efcompile.capture.blame import first_line, place_of
from efcompile.errors import CaptureError

ROOT = "(model)"
"""The source of operations that stand in the model's own forward, outside any submodule."""


@dataclass(frozen=True)
class Trace:
    """`graph` is what the tracer recorded; `constants` maps the names of nodes that stand for
    parameters, buffers and other tensors to (path in the model, value); `outputs` are the
    graph's flat results; `output_spec` is the structure that the module returned."""

    graph: Graph
    constants: dict[str, tuple[str, Tensor]]
    outputs: tuple[Any, ...]
    output_spec: pytree.TreeSpec


def trace(
    copy: Callable[[], nn.Module], inputs: tuple[Tensor, ...], *, functional: bool = False
) -> Trace:
    """Trace the module that `copy` makes (see `isolated_copy`) on `inputs`; with `functional`,
    to a graph without in-place operations.

    Raises `CaptureError` if neither tracer can make a static graph, saying where and why.
    """
    with _quiet(), torch.no_grad():
        model = copy()
        try:
            program = torch.export.export(model, inputs, strict=False)
            if functional or _has_regions(program.graph):
                program = program.run_decompositions({})
        except Exception as refusal:
            # What the refused attempt left in the first copy's caches is not real data.
            return _trace_fallback(copy(), inputs, refusal, place_of(refusal, model))
    return _from_export(program)


def source_of(node: Node) -> tuple[str, ...]:
    """The module path that a traced node came from."""
    noted = node.meta.get("custom", {}).get("source")
    if noted:
        return tuple(noted)
    stack = node.meta.get("nn_module_stack") or {}
    path = str(next(reversed(stack.values()))[0]) if stack else ""
    # A module called several times appears as path, path@1, ...
    return (path.partition("@")[0] or ROOT,)


def _from_export(program: ExportedProgram) -> Trace:
    constants: dict[str, tuple[str, Tensor]] = {}
    for spec in program.graph_signature.input_specs:
        if spec.kind is InputKind.USER_INPUT:
            continue
        path = str(spec.target)
        value = program.state_dict.get(path, program.constants.get(path))
        if not isinstance(value, Tensor):
            raise CaptureError(f"{path} is a {type(value).__name__}, not a tensor")
        constants[str(spec.arg.name)] = (path, value)
    specs = program.graph_signature.output_specs
    values = next(n for n in program.graph.nodes if n.op == "output").args[0]
    for spec in specs:
        if spec.kind is not OutputKind.USER_OUTPUT:
            raise CaptureError(
                f"the model changes {spec.target or 'its input'} in place while it runs: "
                "a compiled model keeps no state"
            )
    outputs = tuple(
        spec.arg.value if isinstance(spec.arg, ConstantArgument) else value
        for spec, value in zip(specs, values, strict=True)
    )
    assert program.call_spec.out_spec is not None
    return Trace(program.graph, constants, outputs, program.call_spec.out_spec)


def _trace_fallback(
    model: nn.Module, inputs: tuple[Tensor, ...], refusal: Exception, place: str
) -> Trace:
    _raise_if_broken(model, inputs)
    spec: list[pytree.TreeSpec] = []

    def flat(*args: Tensor) -> list[Any]:
        values, structure = pytree.tree_flatten(model(*args))
        spec.append(structure)
        return list(values)

    for name, module in model.named_modules():
        if name and not isinstance(module, torch.jit.ScriptModule):
            module.forward = _annotated(module.forward, name)
    tracer = make_fx(flat, tracing_mode="fake", pre_dispatch=True, _allow_non_fake_inputs=True)
    try:
        with fx_traceback.preserve_node_meta():
            traced = tracer(*inputs)
    except Exception:
        raise CaptureError(
            f"{type(model).__name__} cannot be captured as a static graph: {first_line(refusal)}"
            f"{place}. {_ADVICE}"
        ) from refusal
    names = {id(value): name for name, value in (*model.named_parameters(), *model.named_buffers())}
    constants: dict[str, tuple[str, Tensor]] = {}
    for node in traced.graph.nodes:
        if node.op == "get_attr":
            value = getattr(traced, str(node.target))
            constants[node.name] = (names.get(id(value), str(node.target)), value)
    outputs = next(n for n in traced.graph.nodes if n.op == "output").args[0]
    return Trace(traced.graph, constants, tuple(outputs), spec[-1])


_ADVICE = (
    "Shapes and control flow must not depend on the values of tensors: replace .item(), "
    "boolean masks and Python branches on tensors, or leave that part out of the model"
)


def _raise_if_broken(model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Raise if the model does not even run on the inputs: then tracing is not to blame."""
    try:
        model(*inputs)
    except Exception as error:
        shapes = ", ".join(f"{tuple(x.shape)} {x.dtype}" for x in inputs)
        raise CaptureError(
            f"{type(model).__name__} does not run on the example input {shapes}: "
            f"{first_line(error)}{place_of(error, model)}"
        ) from error


def _annotated(forward: Callable[..., Any], path: str) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        with fx_traceback.annotate({"source": (path,)}):
            return forward(*args, **kwargs)

    return call


def _has_regions(graph: Graph) -> bool:
    """Whether a node calls a subgraph (a forward that changes grad mode or autocast)."""
    return any(n.op == "get_attr" or "higher_order" in str(n.target) for n in graph.nodes)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the tracer says about caches and symbols: errors are raised, not logged."""
    loggers = [logging.getLogger(name) for name in ("torch.fx", "torch.export", "torch._export")]
    loggers.append(logging.getLogger("torch.fx.experimental.symbolic_shapes"))
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
