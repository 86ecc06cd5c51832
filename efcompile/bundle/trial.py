"""A trial: kernels run apart from any model, to see how long they take and whether they are right.

What `trials.py` links and the devices measure; tuning makes one of every candidate.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

PartKind = Literal["input", "constant", "middle", "output"]


@dataclass(frozen=True, eq=False)
class Part:
    """An array of a trial, `bytes` long.

    `data` is the values of an input or constant (any dtype, contiguous), the expected result
    (float32) of an output, and None for a `middle`, which one kernel writes for a later one.
    """

    kind: PartKind
    bytes: int
    data: NDArray[Any] | None


@dataclass(frozen=True)
class Step:
    """One kernel call.

    `symbol` is what the relocatable `object` exports, with the signature of `lowering.program`;
    `args` are positions in the trial's parts, in the order of the kernel's pointers, the result
    last; `scratch_bytes` are for each thread; see `KernelFunction` for `chained`.
    """

    symbol: str
    object: Path
    args: tuple[int, ...]
    tasks: int
    scratch_bytes: int
    chained: bool


@dataclass(frozen=True, eq=False)
class Trial:
    """One candidate: kernels that run one after the other, a single one or the parts of an op
    that is not fused, and everything they read and write."""

    name: str
    steps: tuple[Step, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class TrialSettings:
    """How trials are measured.

    A candidate is called `warmup` times, then timed for `seconds`, but at least `least` calls.
    Its constants are copied until all copies take `rotate_bytes`, and each call uses the next
    copy: with a model's whole weight size there, weights are as cold as in the model.
    `timeout` is in seconds, for one candidate, until it counts as hung.  `cores` pins to some
    (``4-7``, ``0,2``); None leaves one core for each thread to the device's choice.
    """

    threads: int = 1
    seconds: float = 0.08
    least: int = 7
    warmup: int = 2
    rotate_bytes: int = 0
    timeout: float = 20.0
    cores: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What a device says of one trial.

    `values` are samples in `unit`: nanoseconds of a call, or one number of instructions.
    `kind` is that of a `Measurement`.  `error` is max|y - expected| / max|expected| over the
    outputs, nan where one is nan and the other is not.  When it could not be measured, `failure`
    says why (a crash, a hang, no machine for it), and there are no values.  `device` ran it.
    """

    values: tuple[float, ...]
    unit: Literal["ns", "instructions"]
    kind: Literal["measured", "emulated"]
    error: float
    failure: str = ""
    device: str = ""
