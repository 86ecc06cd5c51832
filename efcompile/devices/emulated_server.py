"""A real arm64 TVM RPC server on this machine, under `qemu-aarch64`: a phone to rehearse with.

Its Python, its TVM and their libraries are arm64 programs in the user's cache folder; nothing is
installed.  Its numbers are right, its times mean nothing, and what it measures is ``emulated``.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from efcompile.devices.arm64_python import Arm64Python, arm64_python
from efcompile.devices.emulator import PLAIN_CPU, find_emulator
from efcompile.devices.rpc_server import EMULATED_VARIABLE, KEY_VARIABLE
from efcompile.devices.service import Service
from efcompile.devices.tracker import Address, serve_tracker
from efcompile.tvm_api import PINS

SCRIPT = Path(__file__).with_name("rpc_server.py")
KEY = "arm64"

WHEELS = (
    *(f"{package}=={version}" for package, version in PINS.items()),
    "cloudpickle==3.1.2",
    "ml_dtypes==0.5.4",
    "numpy==2.4.6",
    "psutil==7.1.3",
    "typing_extensions==4.15.0",
)
"""What TVM's RPC server imports."""

_TRY = """
import os
os.environ["TVM_USE_RUNTIME_LIB"] = "1"
import argparse, ctypes, json, logging, multiprocessing, platform, shutil, tempfile
import cloudpickle, psutil, tvm.rpc.server
"""


@dataclass(frozen=True)
class EmulatedServer:
    """A running server, and the tracker that it is registered with; `repr` hides the key."""

    tracker: Address
    server: Address
    key: str = field(repr=False)
    service: Service = field(repr=False)


@contextlib.contextmanager
def emulated_server(
    tracker: Address | None = None, *, key: str = KEY, cpu: str = PLAIN_CPU
) -> Iterator[EmulatedServer]:
    """Start the server on loopback, registered with `tracker` under `key`; without one, with a
    tracker of its own, on loopback too.  Both end with the block, and with this process.

    `cpu` is the emulator's.  The first use downloads some 120 MB.  Raises `DeviceError` without
    an emulator and when one of the two does not come up, `ToolchainError` when the arm64 Python
    cannot be had.
    """
    find_emulator()
    python = server_python()
    with contextlib.ExitStack() as stack:
        if tracker is None:
            tracker = Address("127.0.0.1", stack.enter_context(serve_tracker()).port)
        service = stack.enter_context(_start(python, tracker, key, cpu))
        yield EmulatedServer(tracker, Address("127.0.0.1", service.port), key, service)


def server_python() -> Arm64Python:
    """The arm64 Python with TVM, downloaded on first use; raises as `arm64_python` does."""
    return arm64_python(WHEELS, _TRY)


def _start(python: Arm64Python, tracker: Address, key: str, cpu: str) -> Service:
    # Without the compiler's half of TVM, it starts in a second.
    variables = {"TVM_USE_RUNTIME_LIB": "1", EMULATED_VARIABLE: "1"}
    emulator = [find_emulator(), "-cpu", cpu, *python.options(**variables)]
    options = ["--tracker", str(tracker), "--custom-addr", "127.0.0.1", "--end-with-stdin"]
    # The emulator hands its own environment down, and nobody sees that in a list of processes.
    return Service(
        "the emulated arm64 RPC server",
        [*emulator, python.program, SCRIPT, *options],
        {KEY_VARIABLE: key},
        timeout=120,
    )
