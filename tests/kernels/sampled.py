"""Legal knob vectors of a kernel's space, few but different."""

import random
from typing import Any

from efcompile.kernels.kernel import Kernel
from efcompile.kernels.knobs import flatten, with_values
from efcompile.targets.target import Target

_DRAWN = 1500


def legal_vectors(kernel: Kernel, shape: Any, target: Target) -> list[dict[str, int]]:
    """Distinct legal vectors among random ones of the values that `choices` gives, the default's
    first."""
    default = kernel.default_knobs(shape, target)
    values, start = kernel.choices(shape, target), flatten(default)
    rng = random.Random(0)
    drawn = [start]
    for _ in range(_DRAWN):
        # Half of the knobs as they are: some are legal only with others of the default's.
        changed = {p: rng.choice(list(v)) for p, v in values.items() if rng.random() < 0.5}
        drawn.append(start | changed)
    distinct = {tuple(vector.items()): vector for vector in drawn}.values()
    return [v for v in distinct if kernel.legal(shape, target, with_values(default, v))]


def different_knobs(kernel: Kernel, shape: Any, target: Target, count: int) -> list[Any]:
    """Up to `count` legal knobs other than the default, which together take as many values and
    pairs of values as can be."""
    default = kernel.default_knobs(shape, target)
    rest = [set(v.items()) for v in legal_vectors(kernel, shape, target)]
    seen = rest.pop(0)
    chosen: list[Any] = []
    while rest and len(chosen) < count:
        best = max(rest, key=lambda vector: len(vector - seen))
        rest.remove(best)
        seen = seen | best
        chosen.append(with_values(default, dict(best)))
    return chosen
