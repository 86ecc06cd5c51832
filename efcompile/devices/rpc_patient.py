"""What the doctor asks of a TVM RPC server."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efcompile.devices.doctor import Fault
from efcompile.devices.patients import our_versions
from efcompile.devices.probe import CAPACITY, FUNCTION, Machine, build_probe_library, read_machine
from efcompile.devices.rpc import Rpc
from efcompile.devices.rpc_session import ServerInfo, Session, SessionLost
from efcompile.errors import DeviceError
from efcompile.targets.target import Target
from efcompile.tvm_api import PINS

_SECONDS = 60.0


@dataclass
class RpcPatient:
    """The server that `device` means; behind a tracker the first one that is free."""

    device: Rpc
    _info: ServerInfo | None = None

    name = "rpc"

    def reach(self) -> str:
        """See `Patient`: the tracker knows a server with the key, and that takes a session."""
        with self.device.session(_SECONDS) as session:
            info = self._info = session.info
            where = f"the server at {session.address}"
        if info is None:
            return f"{where}: TVM's own, which says nothing of itself"
        emulated = " (emulated)" if info.emulated else ""
        return f"{where}: {info.machine} {info.system}{emulated}, Python {info.python}"

    def refuses(self, target: Target) -> str | None:
        """See `Patient`.  What the device itself refuses a version for is for `versions` to say."""
        if self._info is not None and not _fits(self._info):
            return None
        return self.device.refuses(target)

    def probe(self, target: Target, folder: Path) -> Machine:
        """See `Patient`: uploads the probe as a library and calls it there."""
        library = build_probe_library(target, folder)
        with self.device.session(_SECONDS) as session:
            try:
                module = session.load(library)
            except DeviceError as error:
                raise Fault(
                    f"it does not load a library for {target.triple}: {error}",
                    self._mending(target),
                ) from error
            try:
                return read_machine(_ask(session, module))
            except SessionLost as error:
                raise Fault(
                    f"the probe of the machine ended the session: {error}",
                    "look into the server's log, and start it again",
                ) from error

    def versions(self, machine: Machine) -> str:
        """See `Patient`: TVM there and here are of one series."""
        ours = our_versions()
        return f"there {theirs(self._info, machine)}; here {ours}"

    def _mending(self, target: Target) -> str:
        machine = self._info.machine if self._info else ""
        if machine and machine != target.arch:
            return f"it is {machine}: give a target of that, such as --target {machine}-linux-gnu"
        return "give the --target of its architecture and system, and the 64-bit one"


def theirs(info: ServerInfo | None, machine: Machine) -> str:
    """The versions on the other side in words; `Fault` if they do not fit ours."""
    wanted = PINS["apache-tvm"]
    install = " ".join(f"{package}=={version}" for package, version in PINS.items())
    mend = f"install the same there and start the server again: pip install {install}"
    if info is not None and not _fits(info):
        raise Fault(f"the server runs TVM {info.tvm}, and this is made with {wanted}", mend)
    # The probe's library is called through tvm-ffi, whose calls are the same within 0.1.
    called = PINS["apache-tvm-ffi"].split(".")[:2]
    if machine.ffi and machine.ffi.split(".")[:2] != called:
        raise Fault(f"the server runs tvm-ffi {machine.ffi}, and calls are of another kind", mend)
    if info is not None:
        return f"TVM {info.tvm}"
    return f"a TVM that does not tell its version, with tvm-ffi {machine.ffi or 'unknown'}"


def _fits(info: ServerInfo) -> bool:
    """Whether TVM there is of our series: libraries differ between these."""
    return info.tvm.split(".")[:2] == PINS["apache-tvm"].split(".")[:2]


def _ask(session: Session, module: object) -> str:
    text = session.tensor(np.zeros(CAPACITY, np.uint8))
    written = int(session.call(session.function(module, FUNCTION), text))
    return session.fetch(text)[: max(0, written)].tobytes().decode(errors="replace")
