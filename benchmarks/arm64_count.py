"""Instructions of one inference on emulated arm64: of our bundle, and of a peer's own wheel."""

import copy
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

import efcompile
from benchmarks.case import Array, Case, relative_errors
from benchmarks.peers.peer import FilePeer
from benchmarks.peers.registry import FILE_PEERS
from efcompile.bundle.sample import TOLERANCE
from efcompile.devices.arm64_python import Arm64Python
from efcompile.devices.emulator import InstructionCounts, cpu_model
from efcompile.devices.qemu import Qemu
from efcompile.errors import DeviceError
from efcompile.targets.resolve import resolve

TARGET = "arm64"
PEERS = ("ort", "ncnn", "mnn", "mnn-tanh")
"""`mnn-tanh` is `mnn` as its converter leaves it: it takes ONNX's exact GELU for the tanh formula,
which is less work.  Such a model is not the one asked for; it is shown, and beaten, all the
same, and its numbers are checked against eager PyTorch with that formula."""

_CHILD = Path(__file__).with_name("arm64_child.py")
_STEADY, _START = 0.01, 200_000
"""Most that the second and third call may differ: this share of the figure, or what Python's
start was seen to vary by in instructions, a five-thousandth of it."""


@dataclass(frozen=True)
class Row:
    """A contestant's figure: `error` is max|y - eager| / max|eager|."""

    name: str
    counts: InstructionCounts
    error: float

    @property
    def right(self) -> bool:
        """Whether it computes the model; if not, its figure says nothing."""
        return self.error <= TOLERANCE


def emulated_cpu() -> str:
    """The emulator's CPU for everyone: what our target's features need."""
    return cpu_model(resolve(TARGET).features)


def count_ours(case: Case) -> Row:
    """Compile for arm64, run and count the bundle's static benchmark."""
    name = case.source.rpartition(":")[2]
    bundle = efcompile.optimize(case.model, (case.x,), target=TARGET, name=name).bundle
    qemu = Qemu()
    error = relative_errors(qemu.run(bundle, [case.input]), case.expected)
    measured = qemu.measure(bundle, [case.input])
    fields = InstructionCounts.__dataclass_fields__
    counts = InstructionCounts(**{name: int(measured[name].value) for name in fields})
    return Row("ours", counts, error)


def count_peer(case: Case, name: str, python: Arm64Python) -> Row | None:
    """Convert here and count there; None for ``mnn-tanh`` of a model without a GELU.

    Raises what converting raises, and `DeviceError` when loading or running fails.
    """
    if name != "mnn-tanh":
        return _count(case, FILE_PEERS[name], name, python)
    approximate = with_tanh_gelu(case.model)
    if approximate is None:
        return None
    folder = case.folder / name
    folder.mkdir()
    other = Case(case.source, approximate, case.x, folder)
    return _count(other, FILE_PEERS["mnn"], name, python)


def with_tanh_gelu(model: nn.Module) -> nn.Module | None:
    """A copy of `model` whose GELU modules are ``approximate="tanh"``; None if it has none."""
    copied = copy.deepcopy(model)
    found = [module for module in copied.modules() if isinstance(module, nn.GELU)]
    for module in found:
        module.approximate = "tanh"
    return copied if found else None


def _count(case: Case, peer: FilePeer, name: str, python: Arm64Python) -> Row:
    files = peer.prepared(case)
    with tempfile.TemporaryDirectory() as scratch:
        given, made = Path(scratch) / "input.npy", Path(scratch) / "outputs.npz"
        np.save(given, case.input)
        child: list[str | Path] = [_CHILD, peer.name, files, given, made]
        one, two, three = (
            python.count([*child, str(calls)], cpu=emulated_cpu()) for calls in (1, 2, 3)
        )
        with np.load(made) as outputs:
            got: list[Array] = list(outputs.values())
    counts = steady(one, two, three, f"{case.source}: {name}")
    return Row(name, counts, relative_errors(got, case.expected))


def steady(
    one: InstructionCounts, two: InstructionCounts, three: InstructionCounts, what: str
) -> InstructionCounts:
    """The third call's instructions, from processes that made one, two and three calls.

    Starting a process costs each the same, but for 10^5 instructions or so.  Raises
    `DeviceError` if the second call took notably more or less: then a process's cost varies,
    and the figure means nothing.
    """
    second, third = two - one, three - two
    if abs(third.total - second.total) > max(_STEADY * third.total, _START):
        raise DeviceError(
            f"{what} took {second.total} instructions for its second call and {third.total} for "
            "its third: its cost is not steady. Run it again, with nothing else changing the "
            "files it loads"
        )
    return third
