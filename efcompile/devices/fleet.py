"""All servers that a tracker has under one key, as one device."""

from collections.abc import Mapping, Sequence

from efcompile.bundle.load import Bundle
from efcompile.devices.device import Array
from efcompile.devices.farm import Farm
from efcompile.devices.measurement import Measurement
from efcompile.devices.rpc import Rpc
from efcompile.devices.tracker import Address
from efcompile.errors import DeviceError


class Fleet(Farm):
    """Trials run on all `servers` at once (see `Farm`), whole models on the first of them that is
    still in order: models that are compared must run on the same one."""

    summary = "the servers of a tracker together: trials on all, whole models on one"

    def __init__(self, servers: Sequence[Rpc]) -> None:
        """`servers` must be at least one; each shows with its address."""
        named = {f"rpc {server.where}": server for server in servers}
        super().__init__(named, name="rpc")
        self._servers = named

    @classmethod
    def behind(cls, tracker: str | Address | None, key: str | None = None) -> "Fleet":
        """The servers that `tracker` has under `key`; None: those that TVM's variables name.

        Raises `DeviceError` when it has none, or does not answer.
        """
        first = Rpc(tracker=tracker, key=key)
        if first.tracker is None:
            raise DeviceError(f"rpc: {first.unavailable()}")
        return cls(Rpc.fleet(first.tracker.address, key))

    def run(self, bundle: Bundle, inputs: Sequence[Array], *, threads: int = 1) -> list[Array]:
        """See `Device.run`."""
        return self._first().run(bundle, inputs, threads=threads)

    def measure(
        self, bundle: Bundle, inputs: Sequence[Array] | None = None, *, threads: int = 1
    ) -> Mapping[str, Measurement]:
        """See `Rpc.measure`."""
        return self._first().measure(bundle, inputs, threads=threads)

    def _first(self) -> Rpc:
        for state in self.states():
            if state.state in ("ready", "busy"):
                return self._servers[state.name]
        notes = "; ".join(f"{state.name}: {state.note}" for state in self.states())
        raise DeviceError(
            f"no server is left to run the whole model on ({notes}). See what `efcompile devices "
            "doctor` says of them; finished trials are kept"
        )
