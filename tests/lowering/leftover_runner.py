"""Compiles a lowered group for this machine and runs it on numpy buffers."""

import ctypes
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.fx import GraphModule, Node

from efcompile.lowering.leftovers import Leftover, lower_group
from efcompile.targets.resolve import resolve
from efcompile.tvm_api import build_object

HOST = resolve("host")


def captured(module: Callable[..., Any], inputs: Sequence[torch.Tensor]) -> GraphModule:
    """The module's ATen graph with ``meta["val"]`` on every node."""

    class Holder(torch.nn.Module):
        def forward(self, *args: torch.Tensor) -> Any:
            return module(*args)

    holder = module if isinstance(module, torch.nn.Module) else Holder()
    traced: GraphModule = torch.export.export(holder, tuple(inputs)).module()
    for node in reversed(traced.graph.nodes):
        if "assert" in str(node.target):  # reads a value, and would make it an output
            traced.graph.erase_node(node)
    return traced


def leftover_nodes(graph_module: GraphModule) -> list[Node]:
    """Every op of the graph, but for the guards torch.export adds."""
    return [
        node
        for node in graph_module.graph.nodes
        if node.op == "call_function" and node.meta.get("val") is not None
    ]


def lower_all(module: Callable[..., Any], inputs: Sequence[torch.Tensor]) -> Leftover:
    """All of the module's ops lowered as one group."""
    graph_module = captured(module, inputs)
    return lower_group(graph_module, leftover_nodes(graph_module), HOST)


def run(lowered: Leftover, inputs: Sequence[torch.Tensor]) -> list[np.ndarray[Any, Any]]:
    """The values of the group's outputs; tasks are run in two ranges, the last one first."""
    values = {
        node.name: np.ascontiguousarray(value.numpy())
        for node, value in zip(lowered.inputs, inputs, strict=True)
    }
    values |= lowered.constants
    for name, (shape, dtype) in lowered.buffers.items():
        values[name] = np.full(shape, 77, np.dtype(dtype))
    functions = {call.symbol: call.func for call in lowered.calls}
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "k.o", Path(folder) / "k.so"
        source.write_bytes(build_object(list(functions.values()), HOST))
        symbols = subprocess.run(["nm", "-u", source], capture_output=True, text=True, check=True)
        assert "TVM" not in symbols.stdout, symbols.stdout
        subprocess.run(["cc", "-shared", "-o", library, source, "-lm"], check=True)
        loaded = ctypes.CDLL(str(library))
        for call in lowered.calls:
            pointers = [ctypes.c_void_p(values[name].ctypes.data) for name in call.args]
            half = call.tasks // 2
            for begin, end in ((half, call.tasks), (0, half)):
                function = getattr(loaded, call.symbol)
                function(*pointers, None, ctypes.c_int32(begin), ctypes.c_int32(end))
    return [values[name] for name in lowered.outputs.values()]
