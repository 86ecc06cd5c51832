"""The files through which a bundle's static benchmark takes inputs and gives outputs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from efcompile.bundle.boundary import Boundary
from efcompile.bundle.manifest import Manifest
from efcompile.devices.device import Array
from efcompile.errors import DeviceError


def write_inputs(path: Path, manifest: Manifest, inputs: Sequence[Array]) -> None:
    """Write the inputs' raw values one after the other; `InputError` if they do not fit."""
    path.write_bytes(b"".join(array.tobytes() for array in Boundary(manifest).fitting(inputs)))


def outputs_size(manifest: Manifest) -> int:
    """Bytes of all outputs."""
    return sum(entry.bytes for entry in manifest.outputs)


def read_outputs(path: Path, manifest: Manifest) -> list[Array]:
    """The outputs that the benchmark wrote; `DeviceError` if there are more or fewer bytes."""
    data = path.read_bytes()
    if len(data) != outputs_size(manifest):
        raise DeviceError(
            f"the outputs of {manifest.model} are {len(data)} bytes and should be "
            f"{outputs_size(manifest)}: see that the disk has room, and run again"
        )
    outputs: list[Array] = []
    at = 0
    for entry in manifest.outputs:
        values = np.frombuffer(data, entry.dtype, int(np.prod(entry.dims)), at)
        outputs.append(values.reshape(entry.dims).copy())
        at += entry.bytes
    return outputs
