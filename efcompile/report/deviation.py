"""How much a pass changed the numbers, as a signal-to-noise ratio."""

import itertools
import math
from collections.abc import Sequence

from torch import Tensor

from efcompile.passes.probing import probes_of, probing
from efcompile.report.subject import Subject


def stage_snrs(subject: Subject) -> tuple[float | None, ...]:
    """For every pass, decibels of what the graph before it computes over what the pass added to
    that, in eager PyTorch: the worst of the example and a random input; None where nothing
    differs."""
    found: list[float | None] = []
    with probing(probes_of(subject.captured.example_inputs)) as probes:
        before = probes.run(subject.graphs[0])
        for earlier, graph in itertools.pairwise(subject.graphs):
            after = before if graph is earlier else probes.run(graph)
            ratios = [ratio_db(*pair) for pair in zip(after, before, strict=True)]
            found.append(min((r for r in ratios if r is not None), default=None))
            before = after
    return tuple(found)


def ratio_db(got: Sequence[Tensor], wanted: Sequence[Tensor]) -> float | None:
    """10 log10 of the sum of squares of `wanted` over that of ``got - wanted``, all outputs
    together and in float64; elements where either is not finite do not count."""
    signal = noise = 0.0
    for y, reference in zip(got, wanted, strict=True):
        counted = y.isfinite() & reference.isfinite()
        exact = reference[counted].double()
        signal += float(exact.square().sum())
        noise += float((y[counted].double() - exact).square().sum())
    if noise == 0.0:
        return None
    return 10.0 * math.log10(max(signal, 5e-324) / noise)
