"""Made-up winners of tuning."""

from collections.abc import Mapping
from typing import Any

from efcompile.kernels import gemm
from efcompile.kernels.kernel import Kernel
from efcompile.kernels.knobs import flatten, with_values
from efcompile.kernels.tuned import Kind, Split, TargetClass, Winner, Winners
from efcompile.targets.target import Target

SHAPE = gemm.Shape(1, 13, 40, 24, True, False, "gelu")


def winner(target: Target, shape: Any = SHAPE, kernel: Any = gemm.KERNEL, **values: int) -> Winner:
    """The default knobs of `kernel` at `shape` with `values` for some of them."""
    knobs: Mapping[str, int] = flatten(kernel.default_knobs(shape, target))
    return Winner(
        kernel=kernel.name,
        shape=repr(shape),
        knobs={**knobs, **values},
        start=2.0,
        best=1.5,
        unit="ns",
        date="2026-11-22",
    )


def split(signature: str = "mlp(x)", apart: float = 1.0) -> Split:
    """Of a fused op that costs 2."""
    op = signature.partition("(")[0]
    return Split(op=op, signature=signature, fused=2.0, apart=apart, unit="ns", date="2026-11-22")


def winners(
    target: Target, *found: Winner, splits: tuple[Split, ...] = (), kind: Kind = "measured"
) -> Winners:
    """All that was found for the class of `target`."""
    return Winners(
        target=TargetClass.of(target),
        device="local" if kind == "measured" else "qemu",
        kind=kind,
        threads=1,
        versions={"efcompile": "0"},
        winners=found,
        splits=splits,
    )


def tuned(kernel: Kernel, shape: Any, target: Target) -> Winner:
    """Legal knobs of `kernel` that are not the default ones."""
    default = kernel.default_knobs(shape, target)
    for path, values in kernel.choices(shape, target).items():
        for value in values:
            knobs = with_values(default, {path: value})
            if knobs != default and kernel.legal(shape, target, knobs):
                return winner(target, shape, kernel, **{path: value})
    raise AssertionError(f"{kernel.name} has no choice at {shape}")
