"""What a model asks of its device: its distinct kernels, as tasks, and the data to try them on."""

import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch.fx import GraphModule

from efcompile.kernels import registry
from efcompile.kernels.kernel import Array, Kernel, OpCall, Operand
from efcompile.lowering import calls
from efcompile.ops import OPS, op_of
from efcompile.passes.base import sources
from efcompile.targets.target import Target
from efcompile.tuning.task import Task


def tasks_of(graph_module: GraphModule, target: Target) -> tuple[Task, ...]:
    """A task for each distinct kernel of a legalised graph that has knobs to choose, in the order
    of their first calls.  A task holds that first call, with constants that show mistakes."""
    found: dict[tuple[str, str], tuple[Any, Any, OpCall, list[str], int]] = {}
    for node in graph_module.graph.nodes:
        if op_of(node) is None:
            continue
        call = calls.op_call(graph_module, node)
        served = registry.find(call)
        if isinstance(served, str):
            continue  # a leftover: TVM's own code has no knobs of ours
        kernel, shape = served
        key = (kernel.name, repr(shape))
        _, _, first, paths, times = found.get(key, (kernel, shape, call, [], 0))
        found[key] = (kernel, shape, first, [*paths, *sources(node)], times + 1)
    return tuple(
        Task(kernel, shape, target, with_noise(kernel, call), times, tuple(dict.fromkeys(paths)))
        for kernel, shape, call, paths, times in found.values()
        if kernel.choices(shape, target)
    )


def with_noise(kernel: Kernel, call: OpCall) -> OpCall:
    """`call` with random constants in place of the model's.

    They take as long, and show mistakes that a model's may hide: behind a layer scale of 1e-5,
    any result is right to 1e-5.  A constant that the kernel's shape depends on stays as it is.
    """
    shape = kernel.shape_of(call)
    for name, value in call.args.items():
        if isinstance(value, Operand) and value.value is not None and value.dtype == "float32":
            spread = value.shape[-1] ** -0.5 if len(value.shape) > 1 else 0.5
            other = replace(value, value=_noise(name, value) * np.float32(spread))
            changed = replace(call, args=call.args | {name: other})
            if kernel.shape_of(changed) == shape:
                call = changed
    return call


def example(call: OpCall) -> tuple[dict[str, Array], Array]:
    """Arrays for the runtime operands of `call`, by the names `Kernel.pack` uses, and the op's own
    result on them in eager.  Operands are standard normal, and the same every time; two arguments
    that are one operand (a block's input and its residual) are one array, as in the model."""
    given: dict[str, Array] = {}
    made: dict[int, Array] = {}

    def tensor(name: str, operand: Operand) -> torch.Tensor:
        if operand.value is not None:
            return torch.from_numpy(np.array(operand.value))
        given[name] = made.setdefault(id(operand), _noise(name, operand))
        return torch.from_numpy(given[name])

    args: dict[str, Any] = {}
    for name, value in call.args.items():
        if isinstance(value, Operand):
            args[name] = tensor(name, value)
        elif isinstance(value, list) and any(isinstance(item, Operand) for item in value):
            args[name] = [tensor(f"{name}.{i}", item) for i, item in enumerate(value)]
        else:
            args[name] = value
    with torch.inference_mode():
        result = OPS[call.op].overload(**args)
    return given, result.numpy()


def _noise(name: str, operand: Operand) -> Array:
    source = np.random.default_rng(zlib.crc32(name.encode()))
    return source.standard_normal(operand.shape).astype(operand.dtype)
