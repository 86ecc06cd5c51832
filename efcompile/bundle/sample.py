"""The check sample a bundle carries: inputs, and what eager PyTorch made of them.

It lets anyone who holds the bundle (on a phone, under emulation, a year later) see that it
still computes the model, without the model at hand.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save

from efcompile.bundle.load import Bundle

NAME = "sample.safetensors"

TOLERANCE = 1e-4
"""Largest accepted max|y - eager| / max|eager| of a compiled model, in fp32."""

Array = NDArray[Any]


def dump(inputs: Sequence[Array], outputs: Sequence[Array]) -> bytes:
    """The file's content: tensors ``input.0`` ... and ``output.0`` ..."""
    tensors = {f"input.{i}": np.ascontiguousarray(a) for i, a in enumerate(inputs)}
    tensors |= {f"output.{i}": np.ascontiguousarray(a) for i, a in enumerate(outputs)}
    return save(tensors)


def read(bundle: Bundle) -> tuple[list[Array], list[Array]]:
    """The sample's inputs and expected outputs; `BundleError` if the bundle has none."""
    tensors = load(bundle.file(NAME).read_bytes())
    inputs = [tensors[f"input.{i}"] for i in range(len(bundle.manifest.inputs))]
    outputs = [tensors[f"output.{i}"] for i in range(len(bundle.manifest.outputs))]
    return inputs, outputs


def relative_error(got: Sequence[Array], wanted: Sequence[Array]) -> float:
    """Largest max|got - wanted| / max|wanted| of any output; infinite where only one
    has NaN or infinity."""
    return max((_error(g, w) for g, w in zip(got, wanted, strict=True)), default=0.0)


def _error(got: Array, wanted: Array) -> float:
    finite = np.isfinite(wanted)
    if not np.array_equal(got[~finite], wanted[~finite], equal_nan=True):
        return float("inf")
    difference = np.abs(got[finite] - wanted[finite])
    if not np.isfinite(difference).all():
        return float("inf")
    scale = float(np.abs(wanted[finite]).max(initial=0.0))
    return float(difference.max(initial=0.0)) / (scale or 1.0)
