"""What goes into a model and comes out of it, handed to native code in few steps of Python.

A run empties the caches of what the interpreter needs: a step of Python then takes several times
what it takes in a loop of its own (70 us a run where that loop says 8).
"""

from collections.abc import Sequence
from ctypes import Array as Pointers
from ctypes import addressof, c_char, c_void_p
from typing import Any

import numpy as np
from numpy.typing import NDArray

from efcompile.bundle.manifest import Manifest
from efcompile.errors import InputError

Array = NDArray[Any]


class Boundary:
    """The tensors of a manifest's boundary."""

    def __init__(self, manifest: Manifest) -> None:
        self._model = manifest.model
        self._inputs = [(np.dtype(e.dtype), e.dims, e.name) for e in manifest.inputs]
        self._outputs = [(e.dims, np.dtype(e.dtype)) for e in manifest.outputs]

    def pointers(self) -> tuple["Pointers[c_void_p]", "Pointers[c_void_p]"]:
        """Room for the addresses of all inputs and of all outputs."""
        return (c_void_p * len(self._inputs))(), (c_void_p * len(self._outputs))()

    def results(self) -> list[Array]:
        """Outputs, not written yet."""
        return [np.empty(dims, dtype) for dims, dtype in self._outputs]

    def fitting(self, inputs: Sequence[Array]) -> Sequence[Array]:
        """The inputs, contiguous and aligned (copied where they are not), in the manifest's order.

        Raises `InputError` when their number, a dtype or a shape is not the manifest's.
        """
        ready = []
        if len(inputs) != len(self._inputs):
            raise InputError(f"{self._model} takes {len(self._inputs)} inputs, not {len(inputs)}")
        for array, (dtype, dims, name) in zip(inputs, self._inputs, strict=True):
            if array.dtype != dtype or array.shape != dims:
                raise InputError(
                    f"input {name!r} must be {dtype} of shape {list(dims)}, not {array.dtype} of "
                    f"shape {list(array.shape)}; for another batch or resolution compile the "
                    "model again with such example inputs"
                )
            flags = array.flags
            if not (flags.c_contiguous and flags.aligned):
                array = np.require(array, requirements=["C_CONTIGUOUS", "ALIGNED"])
            ready.append(array)
        return ready


def point(pointers: "Pointers[c_void_p]", arrays: Sequence[Array]) -> None:
    """Write the addresses of `arrays`, which must outlive their use."""
    for i, array in enumerate(arrays):
        # `array.ctypes` is many steps, but knows the way into arrays that nobody may write to.
        data: Any = array
        pointers[i] = (
            addressof(c_char.from_buffer(data)) if array.flags.writeable else array.ctypes.data
        )
