"""What tells two captured models apart, in 32 bytes."""

import hashlib
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from efcompile.capture.captured import Captured


def fingerprint(captured: Captured) -> bytes:
    """A digest of all that a captured model is: its calls with the modules they come from, every
    weight's bits, the example inputs' bits, how the outputs nest, its name and notes.

    Taken from the graph and not from the module, so nothing a module can hide (a mode, a global,
    another forward) is missed.
    """
    digest = hashlib.sha256()

    def text(*parts: object) -> None:
        # With its length first, no part can pass for another's end.
        for part in map(repr, parts):
            digest.update(f"{len(part)}:{part}".encode())

    text(captured.name, captured.notes, pytree.treespec_dumps(captured.output_spec))
    for node in captured.graph_module.graph.nodes:
        source = node.meta.get("custom", {}).get("source")
        text(node.op, node.name, _name_of(node.target), node.args, node.kwargs, source)
        if node.op == "get_attr":
            _tensor(digest, getattr(captured.graph_module, str(node.target)))
    for value in captured.example_inputs:
        _tensor(digest, value)
    return digest.digest()


def _name_of(target: Any) -> str:
    """An operation's name with where it lives: ``str`` of a function would show its address."""
    if callable(target) and not isinstance(target, torch._ops.OpOverload):
        return f"{target.__module__}.{target.__qualname__}"
    return str(target)


def _tensor(digest: Any, value: Tensor) -> None:
    digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
    digest.update(tensor_bytes(value))


def tensor_bytes(value: Tensor) -> memoryview:
    """The elements' bits in row-major order."""
    flat = value.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().data
