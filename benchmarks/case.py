"""What every contestant is given: a model with random weights, an input, what eager makes of it."""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from efcompile.models.input_size import default_input_size
from efcompile.models.randomize import randomize
from efcompile.models.zoo import FACTORIES, create, resolve_model

DEFAULT_SIDE = 224

OPSET = 20
"""ONNX opset of the shared file: the first with a GELU, which ONNX Runtime runs fastest."""

Array = NDArray[Any]


class Case:
    """A model in eval mode, one float32 input ``[batch, 3, height, width]``, and a folder that
    contestants may keep their files in as long as the case is open (see `open_case`)."""

    def __init__(self, source: str, model: nn.Module, x: Tensor, folder: Path) -> None:
        self.source = source
        self.model = model
        self.x = x
        self.folder = folder

    @cached_property
    def input(self) -> Array:
        """The input as a contiguous array."""
        return self.x.numpy()

    @cached_property
    def expected(self) -> list[Array]:
        """Eager's outputs, flat."""
        with torch.inference_mode():
            return [leaf.numpy() for leaf in pytree.tree_leaves(self.model(self.x))]

    @cached_property
    def onnx(self) -> Path:
        """The model exported by torch, once for all who read ONNX."""
        path = self.folder / "model.onnx"
        with warnings.catch_warnings(action="ignore"):  # of torch's own deprecations
            torch.onnx.export(
                self.model, (self.x,), path, dynamo=True, verbose=False, opset_version=OPSET
            )
        return path


@contextmanager
def open_case(source: str, batch: int = 1, resolution: int | None = None) -> Iterator[Case]:
    """The model named `source` with random weights, never zeros, and a random input.

    `resolution` is the side of the image, for the zoo's models; by default the size the model
    states.  The case's folder is removed at the end.
    """
    if resolution is not None and source in FACTORIES:
        model = create(source, resolution=resolution)
    elif resolution is not None:
        raise ValueError(f"only {', '.join(FACTORIES)} are built for a resolution, not {source}")
    else:
        model = resolve_model(source)
    model = randomize(model.eval(), seed=0)
    size = default_input_size(model) or (3, DEFAULT_SIDE, DEFAULT_SIDE)
    x = torch.randn(batch, *size, generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory(prefix="efcompile-bench-") as folder:
        yield Case(source, model, x, Path(folder))


def relative_errors(got: list[Array], wanted: list[Array]) -> float:
    """Largest max|got - wanted| / max|wanted| over all outputs; infinite where their number or
    shapes differ."""
    from efcompile.bundle.sample import relative_error

    if [np.shape(a) for a in got] != [np.shape(a) for a in wanted]:
        return float("inf")
    return relative_error(got, wanted)
