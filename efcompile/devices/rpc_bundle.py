"""A bundle on the other side of an RPC session."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from efcompile.bundle.abi import STATUSES
from efcompile.bundle.boundary import Boundary
from efcompile.bundle.load import Bundle
from efcompile.bundle.manifest import Manifest
from efcompile.devices.device import Array
from efcompile.devices.rpc_session import SessionLost
from efcompile.errors import BundleError, DeviceError
from efcompile.lowering.program import ALIGNMENT

if TYPE_CHECKING:
    from efcompile.devices.rpc import Rpc


class LoadedBundle:
    """A bundle on the device, with its arrays: ready to run."""

    def __init__(
        self, device: "Rpc", bundle: Bundle, inputs: Sequence[Array], threads: int
    ) -> None:
        """Upload and load it; `DeviceError` when that fails, and for several threads."""
        if threads != 1:
            raise DeviceError(
                f"a bundle runs with one thread over rpc, not with {threads}: TVM calls it without "
                "our thread pool. Use threads=1, or the device adb"
            )
        self._manifest = manifest = bundle.manifest
        self._name = f"{manifest.prefix}_run"
        ready = Boundary(manifest).fitting(inputs)
        library, weights = bundle.file(f"lib{manifest.prefix}.so"), bundle.file("weights.bin")
        self._timeout = device.timeout
        self.session = session = device.session(device.timeout)
        try:
            device.accept(manifest.target, session)
            self._module = session.load(library)
            self._function = session.function(self._module, self._name)
            self._outputs = [session.zeros(e.dims, e.dtype) for e in manifest.outputs]
            self._arguments = [
                session.tensor(np.fromfile(weights, np.uint8)),
                session.zeros((_arena_bytes(manifest),), "uint8"),
                *(session.tensor(array) for array in ready),
                *self._outputs,
            ]
        except SessionLost as error:
            session.close()
            raise self._lost(error) from error
        except BaseException:
            session.close()
            raise

    def run(self) -> None:
        """One inference."""
        try:
            status = int(self.session.call(self._function, *self._arguments))
        except SessionLost as error:
            raise self._lost(error) from error
        if status == 0:
            return
        name = STATUSES[status] if 0 < status < len(STATUSES) else f"status {status}"
        where = self.session.address
        if name == "EF_BAD_CPU":
            needs = ", ".join(self._manifest.cpu_features)
            raise BundleError(
                f"{self._manifest.model} needs a CPU with {needs}, and the one at {where} lacks "
                "some of these: compile for a target that it fits"
            )
        raise DeviceError(f"{self._name} refused the call at {where} with {name}")

    def outputs(self) -> list[Array]:
        """What the last inference made."""
        try:
            return [self.session.fetch(tensor) for tensor in self._outputs]
        except SessionLost as error:
            raise self._lost(error) from error

    def times(self, iterations: int) -> list[float]:
        """Nanoseconds of so many inferences."""
        try:
            return self.session.time(self._module, self._name, iterations, *self._arguments)
        except SessionLost as error:
            raise self._lost(error) from error

    def __enter__(self) -> "LoadedBundle":
        return self

    def __exit__(self, *_: Any) -> None:
        self.session.close()

    def _lost(self, error: SessionLost) -> DeviceError:
        where = self.session.address
        if error.expired:
            return DeviceError(
                f"{self._manifest.model} did not finish within {self._timeout:g} s at {where}: "
                "raise the timeout, or measure fewer inferences"
            )
        return DeviceError(
            f"{self._manifest.model} crashed at {where}, or the device went away ({error}): "
            "see what the server says there, and try again"
        )


def _arena_bytes(manifest: Manifest) -> int:
    """As ``<m>_arena_bytes(1)``."""
    planned = -(-manifest.sizes.arena // ALIGNMENT) * ALIGNMENT
    return planned + manifest.sizes.scratch or ALIGNMENT
