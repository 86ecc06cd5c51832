"""A device behind TVM's RPC: a phone, a board, or an emulated arm64 machine.

Which one is said by a server's address, or by a tracker's and a key; without either, by the
variables that TVM reads: ``TVM_TRACKER_HOST``, ``TVM_TRACKER_PORT`` and ``TVM_TRACKER_KEY``.
"""

import os
import time
from collections.abc import Sequence
from typing import Literal

from efcompile import tvm_api
from efcompile.bundle.load import Bundle
from efcompile.bundle.trial import Outcome, Trial, TrialSettings
from efcompile.devices.device import Array, Watch, ignore
from efcompile.devices.local import noise
from efcompile.devices.measurement import Measurement, summarise
from efcompile.devices.rpc_bundle import LoadedBundle
from efcompile.devices.rpc_session import ServerInfo, Session
from efcompile.devices.rpc_trials import measure_there
from efcompile.devices.tracker import DEFAULT_PORT, Address, NoSuchServer, Tracker, Unreachable
from efcompile.errors import DeviceError
from efcompile.targets.target import Target

VARIABLES = ("TVM_TRACKER_HOST", "TVM_TRACKER_PORT", "TVM_TRACKER_KEY")
HOW = (
    "give tracker='HOST:PORT' and key='KEY', or server='HOST:PORT' (--tracker, --key, --server), "
    f"or set {', '.join(VARIABLES[:2])} and {VARIABLES[2]}; `efcompile devices emulate` starts a "
    "server to try it with"
)


class Rpc:
    """A server by its address, or one of those that a tracker has under a key.

    Bundles run with one thread.  `measure` runs `warmup` inferences untimed, then times
    `iterations` of them, by the device's own clock.  `timeout` is in seconds, for one `run` or
    `measure`, uploads included.

    A device that was reached once is waited for when it is gone: `patience` seconds for a tracker
    that does not answer (it may be being restarted), a quarter of that for a server.
    """

    name = "rpc"
    summary = "a phone or board behind TVM's RPC server, and a tracker or not: runs and times"

    def __init__(
        self,
        *,
        tracker: str | Address | Tracker | None = None,
        server: str | Address | None = None,
        key: str | None = None,
        only: Address | None = None,
        timeout: float = 600,
        patience: float = 60,
        warmup: int = 3,
        iterations: int = 20,
    ) -> None:
        """`only` is one of the servers that the tracker has under `key`.  Raises `DeviceError`
        for what is no address, and for a tracker and a server together."""
        if tracker is not None and server is not None:
            raise DeviceError("give a tracker or a server, not both: a tracker knows its servers")
        self._problem = f"it is not known where: {HOW}"
        if tracker is None and server is None and (host := os.environ.get(VARIABLES[0])):
            port = os.environ.get(VARIABLES[1], str(DEFAULT_PORT))
            try:
                tracker = Address.parse(f"{host}:{port}")
            except DeviceError as error:
                self._problem = f"{VARIABLES[0]} and {VARIABLES[1]}: {error}"
        if isinstance(tracker, str):
            tracker = Address.parse(tracker)
        self.tracker = Tracker(tracker) if isinstance(tracker, Address) else tracker
        self.server = Address.parse(server, 9090) if isinstance(server, str) else server
        self.only = only
        self.timeout = timeout
        self.patience = patience
        self.warmup, self.iterations = warmup, iterations
        self._key = os.environ.get(VARIABLES[2], "") if key is None else key
        self._info: ServerInfo | None = None
        self._reached = False

    @classmethod
    def fleet(cls, tracker: str | Address, key: str | None = None) -> "tuple[Rpc, ...]":
        """A device for each of the servers that the tracker has under `key`, so that each can be
        told from the others.  Raises `DeviceError` when there is none."""
        first = cls(tracker=tracker, key=key)
        assert first.tracker is not None
        found = first.tracker.find(first._key)
        return tuple(cls(tracker=first.tracker, key=key, only=address) for address in found)

    def __repr__(self) -> str:
        return f"Rpc({self.where})"

    @property
    def where(self) -> str:
        """Its address, for people; never the key."""
        if self.server is not None:
            return str(self.server)
        if self.only is not None:
            return str(self.only)
        return f"tracker {self.tracker.address}" if self.tracker is not None else "not configured"

    def unavailable(self) -> str | None:
        """Nothing said of where it is, nobody there, or no server with this key."""
        try:
            if self.server is not None:
                self.info()
            elif self.tracker is None:
                return self._problem
            elif not self._key:
                return f"a tracker's servers have keys: {HOW}"
            else:
                self.tracker.find(self._key, self.only)
        except DeviceError as error:
            return str(error)
        return None

    def refuses(self, target: Target) -> str | None:
        """Code for Apple's systems, and code for another instruction set where the server tells
        its own (ours does, when it can be reached)."""
        if target.object_format != "elf":
            return (
                f"a library for {target.triple} cannot be linked here, so there is nothing to "
                "upload"
            )
        if self._info is None and self.unavailable() is None:
            self.info()
        return _misfit(self._info, target, self.where)

    def info(self) -> ServerInfo | None:
        """What the server says of itself; None from TVM's own server.  Raises `DeviceError` when
        it cannot be reached."""
        with self.session(30.0) as session:
            return session.info

    def run(self, bundle: Bundle, inputs: Sequence[Array], *, threads: int = 1) -> list[Array]:
        """See `Device.run`."""
        with LoadedBundle(self, bundle, inputs, threads) as loaded:
            loaded.run()
            return loaded.outputs()

    def measure(
        self, bundle: Bundle, inputs: Sequence[Array] | None = None, *, threads: int = 1
    ) -> dict[str, Measurement]:
        """The ``latency`` of one inference in nanoseconds, the network between us left out."""
        given = noise(bundle) if inputs is None else inputs
        with LoadedBundle(self, bundle, given, threads) as loaded:
            for _ in range(max(1, self.warmup)):
                loaded.run()
            times = loaded.times(self.iterations)
        median, quartiles = summarise(times)
        latency = Measurement(
            value=median,
            unit="ns",
            spread=quartiles,
            samples=len(times),
            device=f"{self.name} {self.where}",
            target=bundle.manifest.target.name,
            threads=1,
            kind=self.kind(),
            versions=bundle.manifest.versions,
        )
        return {"latency": latency}

    def measure_trials(
        self,
        trials: Sequence[Trial],
        target: Target,
        settings: TrialSettings,
        *,
        interleaved: bool = False,
        watch: Watch = ignore,
    ) -> list[Outcome]:
        """See `TrialDevice.measure_trials`.  Where the server computes is its own affair: start it
        under ``taskset`` to pin it (`DeviceError` for `settings` with cores)."""
        if settings.cores is not None:
            raise DeviceError(
                f"rpc cannot pin to cores {settings.cores} from here: start the server there "
                "under `taskset`, and leave the cores out"
            )
        return measure_there(self, trials, target, settings, interleaved=interleaved, watch=watch)

    def session(self, seconds: float) -> Session:
        """Open a session of `seconds` with it.

        Raises `DeviceError` when it cannot be had: at once if it never could, else when the
        patience is over.
        """
        start = {Unreachable: time.monotonic(), NoSuchServer: time.monotonic()}
        pause = 0.2
        while True:
            try:
                session = self._open(seconds)
            except (Unreachable, NoSuchServer) as error:
                now = time.monotonic()
                tracker_gone = isinstance(error, Unreachable) and self.server is None
                if tracker_gone:  # when it is back, the servers need a moment to come back too
                    start[NoSuchServer] = now
                since = start[Unreachable if tracker_gone else NoSuchServer]
                patience = self.patience if tracker_gone else self.patience / 4
                if not self._reached or now + pause - since > patience:
                    raise
                time.sleep(pause)
                pause = min(2 * pause, 5.0)
            else:
                self._reached = True
                self._info = session.info
                return session

    def kind(self) -> Literal["measured", "emulated"]:
        """What its times are, by what the server said last; one that does not say is taken for
        real hardware."""
        return "emulated" if self._info is not None and self._info.emulated else "measured"

    def accept(self, target: Target, session: Session) -> None:
        """`DeviceError` unless code for `target` can run where `session` is."""
        if refusal := _misfit(session.info, target, str(session.address)):
            raise DeviceError(f"{refusal}. Compile for what the device is, or use another one.")

    def _open(self, seconds: float) -> Session:
        if self.server is not None:
            return Session(self.server, self._key, seconds=seconds)
        if self.tracker is None or not self._key:
            raise DeviceError(f"rpc: {self.unavailable()}")
        grant = self.tracker.request(self._key, only=self.only)
        return Session(grant.address, grant.match, seconds=seconds)


def _misfit(info: ServerInfo | None, target: Target, where: str) -> str | None:
    if info is None:
        return None
    if info.machine != target.arch:
        return f"{where} is {info.machine}, and this code is for {target.arch} ({target.triple})"
    ours = tvm_api.PINS["apache-tvm"]
    if info.tvm.split(".")[:2] != ours.split(".")[:2]:
        return (
            f"{where} runs TVM {info.tvm}, whose libraries differ from those of {ours}: "
            f"`pip install apache-tvm=={ours}` there"
        )
    return None
