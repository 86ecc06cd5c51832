"""What a kernel is, and how one is found for an op call.

A kernel file holds, in this order: a frozen `Shape` (everything that decides the code,
operands aside), frozen `Knobs`, `plain` (the algorithm, naively, as a `te` PrimFunc over the
op's own operands: the workload that tuning names and tests compare with), `default_knobs`
(analytic, from the target's fields), `choices` and `legal` (the knobs that tuning tries),
`pack` (constants into the kernel's layout), `build` (the PrimFunc), and the `Kernel` record
that ties them together.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from efcompile.targets.target import Target

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Operand:
    """A tensor argument of an op call: contiguous, `value` set if it is a constant, `rms` the root
    mean square of what it is expected to be (None: not known)."""

    shape: tuple[int, ...]
    dtype: str = "float32"
    value: Array | None = None
    rms: float | None = None


@dataclass(frozen=True)
class OpCall:
    """One dialect op call, by argument name: `Operand`s (or lists of them), numbers, strings
    and None, as the op's schema names them; `out` is the result."""

    op: str
    args: dict[str, Any]
    out: Operand

    def operand(self, name: str) -> Operand:
        """The tensor argument `name`, which must be there."""
        value = self.args[name]
        assert isinstance(value, Operand), f"{self.op}: {name} is not a tensor"
        return value

    def constant(self, name: str) -> Array | None:
        """The value of the constant tensor argument `name`, or None if absent or not constant."""
        value = self.args.get(name)
        return value.value if isinstance(value, Operand) else None

    def argument(self, name: str) -> str | Array:
        """What `Kernel.pack` lists for tensor `name`: its packed value if it is a constant."""
        value = self.constant(name)
        return name if value is None else contiguous(value)

    def value(self, name: str) -> Array:
        """The value of tensor argument `name`, which must be a constant."""
        value = self.constant(name)
        assert value is not None, f"{self.op}: {name} is not a constant"
        return value

    def present(self, *names: str) -> list[str | Array]:
        """`argument` of each of the tensors `names` that is there."""
        return [self.argument(name) for name in names if self.args[name] is not None]

    def not_float32(self) -> str | None:
        """Why this call is not all float32, or None if it is."""
        for name, value in [*self.args.items(), ("result", self.out)]:
            for operand in value if isinstance(value, list) else [value]:
                if isinstance(operand, Operand) and operand.dtype != "float32":
                    return f"{name} is {operand.dtype}, this kernel is for float32"
        return None


@dataclass(frozen=True)
class Built:
    """A kernel's code: the PrimFunc, the bytes of scratch each thread needs, and the number
    of independent tasks that begin/end range over.  `chained` tasks find work of the one before
    in scratch, so a thread had better get all of its tasks in one range."""

    func: Any
    scratch_bytes: int
    tasks: int
    chained: bool = False


def no_choices(shape: Any, target: Target) -> Mapping[str, Sequence[int]]:
    """Of a kernel that is not tuned."""
    return {}


def always_legal(shape: Any, target: Target, knobs: Any) -> bool:
    """Of a kernel that `build` makes right for whatever knobs it can be given."""
    return True


@dataclass(frozen=True)
class Kernel:
    """See the module's docstring.

    `shape_of(call)` returns the `Shape`, or a string: the reason this kernel cannot do the
    call.  `pack(call, shape, knobs)` lists the kernel's arguments in the order of `build`'s
    pointers: names of runtime tensor arguments (``"x"``, or ``"tensors.0"`` for the first of
    a list) and packed constant arrays; the result's pointer follows last and is not listed.
    `build(symbol, shape, target, knobs)`.

    `choices(shape, target)` lists, by knob path (see `knobs.flatten`), the values worth trying;
    a knob that is not listed keeps the default's value.  Not every combination makes sense:
    `legal(shape, target, knobs)` says, without building, whether `build` makes right code of
    them that is not plainly hopeless and leaves every core its share.
    """

    name: str
    op: str
    shape_of: Callable[[OpCall], Any]
    plain: Callable[[Any], Any]
    default_knobs: Callable[[Any, Target], Any]
    pack: Callable[[OpCall, Any, Any], Sequence[str | Array]]
    build: Callable[[str, Any, Target, Any], Built]
    choices: Callable[[Any, Target], Mapping[str, Sequence[int]]] = no_choices
    legal: Callable[[Any, Target, Any], bool] = always_legal


def contiguous(value: Array, dtype: str = "float32") -> Array:
    """`value` as a C-contiguous array of `dtype`."""
    return np.ascontiguousarray(value, dtype=dtype)
